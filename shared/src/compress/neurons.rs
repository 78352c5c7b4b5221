//! A feed-forward layer with fewer neurons, as near as can be to the whole one.
//!
//! With the activations `a` of the neurons over some text, `C` their covariance and `W` the rows of the
//! output matrix: the neurons with the largest `Cᵢᵢ ‖Wᵢ‖²` are kept, for each of the others alone would
//! change the output by less. What the others did is then made up for by least squares: with `K` the
//! kept and `R` the removed neurons
//!
//! `W'_K = W_K + (C_KK + λ I)⁻¹ C_KR W_R`, `b' = b + μ W − μ_K W'_K`
//!
//! is the best linear stand-in for the removed ones (the closed form of the layer-wise reconstruction
//! of He, Zhang and Sun 2017, arXiv:1707.06168, section 3.1, equation 3); the ridge `λ` keeps it near
//! to what it was where the text says little.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use nalgebra::{DMatrix, DVector};

use crate::checkpoint::weights::read_tensors;
use crate::data::batch::{Batch, BatchBudget, sorted_batches};
use crate::data::example::Example;
use crate::model::encoder::{AttentionBias, EncoderLayer};
use crate::model::{Noise, TokenClassifier};

/// The ridge as a share of the kept neurons' mean variance.
const RIDGE: f64 = 0.01;

/// Mean and covariance of the neurons of one feed-forward layer.
pub struct Activations {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Activations {
    /// Of the given layers of `model`, over the sub-words of `sample`.
    pub async fn of(
        model: &TokenClassifier,
        layers: &[usize],
        sample: &[Example],
        pad_token_id: u32,
    ) -> Vec<Self> {
        let device = model.device();
        let lengths: Vec<u32> =
            sample.iter().map(|example| example.input_ids.len() as u32).collect();
        let mut sums: Vec<Option<[Tensor<2>; 2]>> = vec![None; layers.len()];
        for indices in sorted_batches(&lengths, BatchBudget::Subwords(2048)) {
            let examples: Vec<&Example> = indices.iter().map(|index| &sample[*index]).collect();
            let batch = Batch::new(&examples, pad_token_id, &device);
            let (ids, mask) = (batch.input_ids, batch.attention_mask);
            let bias = AttentionBias::new(mask.clone(), true);
            let states = model
                .forward_with_hidden_states(ids, mask.clone(), &mut Noise::off())
                .hidden_states;
            let [rows, columns] = mask.dims();
            let real = mask.float().reshape([rows * columns, 1]);
            for (layer, sums) in layers.iter().zip(&mut sums) {
                let [batch_size, seq_len, width] = states[*layer].dims();
                let input = states[*layer].clone().reshape([batch_size * seq_len, width]);
                let neurons = model.layers[*layer].neurons(input, &bias) * real.clone();
                let told =
                    [neurons.clone().sum_dim(0), neurons.clone().transpose().matmul(neurons)];
                *sums = Some(match sums.take() {
                    None => told,
                    Some([first, second]) => {
                        let [sum, product] = told;
                        [first + sum, second + product]
                    }
                });
            }
        }
        let count: f64 = lengths.iter().sum::<u32>().max(1).into();
        let mut all = Vec::with_capacity(layers.len());
        for [sum, product] in sums.into_iter().flatten() {
            let mean = matrix(sum).await.transpose().column(0) / count;
            let covariance = matrix(product).await / count - &mean * mean.transpose();
            all.push(Self { mean, covariance });
        }
        all
    }
}

/// The two linear layers of `layer`'s feed-forward part with `count` neurons.
///
/// # Panics
///
/// If `layer` has fewer neurons.
pub async fn keep_neurons(
    layer: &EncoderLayer,
    activations: &Activations,
    count: usize,
) -> (Linear, Linear) {
    let Activations { mean, covariance } = activations;
    let weights = matrix(layer.output.weight.val()).await;
    assert!(count <= weights.nrows(), "{count} of {} neurons", weights.nrows());
    let score =
        |neuron: usize| covariance[(neuron, neuron)].max(0.0) * weights.row(neuron).norm_squared();
    let mut order: Vec<usize> = (0..weights.nrows()).collect();
    order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    let (kept, removed) = order.split_at_mut(count);
    // In their old order, so that nothing depends on how ties fall.
    kept.sort_unstable();
    let columns = covariance.select_columns(&*kept);
    let mut within = columns.select_rows(&*kept);
    let ridge = (RIDGE * within.trace() / count as f64).max(f64::MIN_POSITIVE);
    (0..count).for_each(|place| within[(place, place)] += ridge);
    let across = columns.select_rows(&*removed).transpose() * weights.select_rows(&*removed);
    let mut kept_weights = weights.select_rows(&*kept);
    if let Some(factor) = within.cholesky() {
        kept_weights += factor.solve(&across);
    }
    let kept_mean = DVector::from_iterator(count, kept.iter().map(|neuron| mean[*neuron]));
    let shift = weights.transpose() * mean - kept_weights.transpose() * kept_mean;

    let device = layer.output.weight.device();
    let bias = layer.output.bias.as_ref().expect("BERT's layers have biases").val();
    let shift: Vec<f32> = shift.iter().map(|value| *value as f32).collect();
    let bias = bias + Tensor::<1>::from_floats(shift.as_slice(), &device);
    // nalgebra stores columns: the transpose, read column by column, is the matrix row by row.
    let rows: Vec<f32> = kept_weights.transpose().iter().map(|value| *value as f32).collect();
    let rows = TensorData::new(rows, [count, weights.ncols()]);
    let output =
        Linear { weight: Param::from_data(rows, &device), bias: Some(Param::from_tensor(bias)) };
    let places: Vec<i64> = kept.iter().map(|neuron| *neuron as i64).collect();
    let places = Tensor::from_ints(places.as_slice(), &device);
    let chosen = &layer.intermediate;
    let bias = chosen.bias.as_ref().expect("BERT's layers have biases").val();
    let intermediate = Linear {
        weight: Param::from_tensor(chosen.weight.val().select(1, places.clone())),
        bias: Some(Param::from_tensor(bias.select(0, places))),
    };
    (intermediate, output)
}

async fn matrix(tensor: Tensor<2>) -> DMatrix<f64> {
    let [rows, columns] = tensor.dims();
    let flat = tensor.without_autodiff().reshape([-1]);
    let read = read_tensors(vec![(String::new(), vec![rows, columns], flat)]).await.remove(0);
    DMatrix::from_row_iterator(rows, columns, read.values.into_iter().map(f64::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BertConfig;
    use burn::tensor::Device;

    fn sample() -> Vec<Example> {
        let example = |start: u32| {
            let len = 20 + (start as usize % 5);
            Example {
                sentence: 0,
                input_ids: (0..len as u32).map(|step| (start + 7 * step) % 59 + 1).collect(),
                word_ids: vec![Some(0); len],
                counted: vec![true; len],
                label_ids: vec![-100; len],
            }
        };
        (0..30).map(example).collect()
    }

    /// What a feed-forward part of `layer` computes over the sample.
    fn output(model: &TokenClassifier, parts: &(Linear, Linear)) -> Tensor<2> {
        let sample = sample();
        let batch = Batch::new(&sample.iter().collect::<Vec<_>>(), 0, &Device::flex());
        let real = batch.attention_mask.clone().float();
        let [rows, columns] = real.dims();
        let bias = AttentionBias::new(batch.attention_mask.clone(), true);
        let states = model.forward_with_hidden_states(
            batch.input_ids,
            batch.attention_mask,
            &mut Noise::off(),
        );
        let input = states.hidden_states[1].clone().reshape([rows * columns, 32]);
        let mut layer = model.layers[1].clone();
        (layer.intermediate, layer.output) = parts.clone();
        let neurons = layer.neurons(input, &bias);
        layer.output.forward(neurons) * real.reshape([rows * columns, 1])
    }

    fn model() -> TokenClassifier {
        let config = BertConfig { initializer_range: 0.3, ..BertConfig::tiny(60) };
        TokenClassifier::init(&config, 3, 1, &Device::flex())
    }

    fn activations(model: &TokenClassifier) -> Activations {
        pollster::block_on(Activations::of(model, &[1], &sample(), 0)).remove(0)
    }

    #[test]
    fn all_neurons_are_the_layer_itself() {
        let model = model();
        let whole = (model.layers[1].intermediate.clone(), model.layers[1].output.clone());
        let same = pollster::block_on(keep_neurons(&model.layers[1], &activations(&model), 64));
        let difference = (output(&model, &whole) - output(&model, &same)).abs().max();
        assert!(difference.into_scalar::<f32>() < 1e-4);
    }

    #[test]
    fn half_the_neurons_with_their_weights_made_up_are_nearer_than_without() {
        let model = model();
        let layer = &model.layers[1];
        let whole = (layer.intermediate.clone(), layer.output.clone());
        let half = pollster::block_on(keep_neurons(layer, &activations(&model), 32));
        assert_eq!(half.0.weight.dims(), [32, 32]);
        assert_eq!(half.1.weight.dims(), [32, 32]);
        // The same neurons with the weights that they had.
        let places = |neuron: usize| {
            let column = |weight: Tensor<2>, at| weight.slice([0..32, at..at + 1]).into_data();
            let kept = column(half.0.weight.val(), neuron);
            (0..64).find(|at| column(layer.intermediate.weight.val(), *at) == kept)
        };
        let places: Vec<i64> =
            (0..32).map(|neuron| places(neuron).expect("one of the layer's") as i64).collect();
        let places = Tensor::from_ints(places.as_slice(), &Device::flex());
        let rows = layer.output.weight.val().select(0, places);
        let plain = (
            half.0.clone(),
            Linear { weight: Param::from_tensor(rows), bias: layer.output.bias.clone() },
        );
        let error = |parts: &(Linear, Linear)| {
            let difference = output(&model, parts) - output(&model, &whole);
            difference.square().sum().into_scalar::<f32>()
        };
        assert!(error(&half) < 0.5 * error(&plain), "{} {}", error(&half), error(&plain));
    }
}
