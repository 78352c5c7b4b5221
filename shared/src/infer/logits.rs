//! Logits of many examples, in batches of similar length.

use burn::tensor::Transaction;

use crate::data::batch::{Batch, BatchBudget, longest, sorted_batches};
use crate::data::example::Example;
use crate::model::{Noise, TokenClassifier};

/// Computes the logits of every example without dropout and hands them over as
/// `(example, [len, num_labels])`, in the order of the batches. `sink` returns `false` to stop.
///
/// `model` is best on a device without autodiff ([`burn::module::Module::valid`]), which keeps no
/// graph.
pub async fn for_each_logits(
    model: &TokenClassifier,
    examples: &[Example],
    pad_token_id: u32,
    budget: BatchBudget,
    mut sink: impl FnMut(usize, &[f32]) -> bool,
) {
    let (device, shapes) = (model.device(), model.feed().shapes);
    let most = model.max_position_embeddings();
    let lengths: Vec<usize> = examples.iter().map(|example| example.input_ids.len()).collect();
    let padded = lengths.iter().map(|length| shapes.seq_len(*length, most) as u32);
    for indices in sorted_batches(&padded.collect::<Vec<u32>>(), budget) {
        let chosen: Vec<&Example> = indices.iter().map(|index| &examples[*index]).collect();
        let seq_len = shapes.seq_len(longest(&chosen), most);
        let shape = [shapes.rows(chosen.len(), budget.full(seq_len)), seq_len];
        let batch = Batch::padded(&chosen, shape, pad_token_id, &device);
        let logits = model.forward(
            batch.input_ids,
            batch.attention_mask,
            batch.is_padded,
            &mut Noise::off(),
        );
        let [_, seq_len, num_labels] = logits.dims();
        let data = Transaction::default().register(logits).execute_async().await;
        let values = data.expect("a device that computed logits gives them back").remove(0);
        let values = values.try_into_vec::<f32>().expect("logits are f32");
        for (row, index) in indices.iter().enumerate() {
            let start = row * seq_len * num_labels;
            if !sink(*index, &values[start..start + lengths[*index] * num_labels]) {
                return;
            }
        }
    }
}
