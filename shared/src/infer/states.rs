//! What the lowest layers of a model make of examples, kept where those layers no longer change: a short
//! run sees each sentence many times, and then computes the upper layers alone.

use burn::tensor::{Device, Tensor, TensorData, Transaction};

use crate::data::batch::Batch;
use crate::data::example::Example;
use crate::model::{Noise, TokenClassifier};

/// Hidden states of some examples, each `[len, hidden_size]`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptStates {
    layers: usize,
    width: usize,
    rows: Vec<Vec<f32>>,
}

impl KeptStates {
    /// Room for those of `count` examples, of the lowest `layers` layers of a model of this width.
    pub fn new(layers: usize, width: usize, count: usize) -> Self {
        Self { layers, width, rows: vec![vec![]; count] }
    }

    /// Layers that made them.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Runs the lowest layers over some of `examples`, in one batch. `model` is on a plain device.
    pub async fn compute(
        &mut self,
        model: &TokenClassifier,
        examples: &[Example],
        indices: &[usize],
        pad: u32,
    ) {
        let chosen: Vec<&Example> = indices.iter().map(|index| &examples[*index]).collect();
        let batch = Batch::new(&chosen, pad, &model.device());
        let [_, seq_len] = batch.input_ids.dims();
        let (ids, mask) = (batch.input_ids, batch.attention_mask);
        let hidden = model.forward_lower(ids, mask, batch.is_padded, self.layers);
        let values = read(hidden).await;
        for (index, row) in indices.iter().zip(values.chunks_exact(seq_len * self.width)) {
            self.rows[*index] = row[..examples[*index].input_ids.len() * self.width].to_vec();
        }
    }

    /// Those of some examples.
    pub fn select(&self, indices: &[usize]) -> Self {
        let rows = indices.iter().map(|index| self.rows[*index].clone()).collect();
        Self { rows, ..*self }
    }

    /// As a tensor, zero where padded.
    ///
    /// # Shapes
    ///
    /// - returns: `[rows * seq_len, hidden_size]`
    pub fn batch(&self, [rows, seq_len]: [usize; 2], device: &Device) -> Tensor<2> {
        let mut padded = vec![0.0; rows * seq_len * self.width];
        for (row, to) in self.rows.iter().zip(padded.chunks_exact_mut(seq_len * self.width)) {
            to[..row.len()].copy_from_slice(row);
        }
        let shape = [rows * seq_len, self.width];
        Tensor::from_data(TensorData::new(padded, shape), device)
    }

    /// The logits of some of `examples`, each `[len, num_labels]`, in one batch. `model` is on a plain
    /// device.
    pub async fn logits(
        &self,
        model: &TokenClassifier,
        examples: &[Example],
        indices: &[usize],
        pad: u32,
    ) -> Vec<Vec<f32>> {
        let chosen: Vec<&Example> = indices.iter().map(|index| &examples[*index]).collect();
        let batch = Batch::new(&chosen, pad, &model.device());
        let mask = batch.attention_mask;
        let hidden = self.select(indices).batch(mask.dims(), &mask.device());
        let logits =
            model.forward_upper(hidden, mask, batch.is_padded, self.layers, &mut Noise::off());
        let [_, seq_len, num_labels] = logits.dims();
        let values = read(logits).await;
        let rows = chosen.iter().zip(values.chunks_exact(seq_len * num_labels));
        rows.map(|(example, row)| row[..example.input_ids.len() * num_labels].to_vec()).collect()
    }
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = Transaction::default().register(tensor).execute_async().await;
    let values = data.expect("a device that computed a tensor gives it back").remove(0);
    values.try_into_vec().expect("activations are f32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::BatchBudget;
    use crate::infer::logits::for_each_logits;
    use crate::model::BertConfig;

    #[test]
    fn logits_from_kept_states_are_those_of_the_whole_model() {
        let model = TokenClassifier::init(&BertConfig::tiny(30), 3, 1, &Device::flex()).on_host();
        let example = |ids: &[u32]| Example {
            sentence: 0,
            input_ids: ids.to_vec(),
            word_ids: vec![None; ids.len()],
            counted: vec![true; ids.len()],
            label_ids: vec![0; ids.len()],
        };
        let examples = [example(&[2, 7, 9, 3]), example(&[2, 3]), example(&[2, 5, 3])];
        let mut want = vec![vec![]; 3];
        let budget = BatchBudget::Sentences(1);
        pollster::block_on(for_each_logits(&model, &examples, 0, budget, |index, logits| {
            want[index] = logits.to_vec();
            true
        }));
        let mut states = KeptStates::new(1, 32, 3);
        pollster::block_on(states.compute(&model, &examples, &[2, 0], 0));
        let got = pollster::block_on(states.logits(&model, &examples, &[2, 0], 0));
        for (got, want) in got.iter().flatten().zip(want[2].iter().chain(&want[0])) {
            assert!((got - want).abs() < 1e-5, "{got}, expected {want}");
        }
        assert_eq!((got[0].len(), got[1].len()), (9, 12));
    }
}
