//! Multi-head self-attention of padded sentences on flex tensors, with its three projections:
//! `softmax(Q Kᵀ / √d + bias) V` in every head (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).
//!
//! Each sentence is one piece of work: its heads are columns of the projections, read and written in
//! place, and what a head needs fits the caches.

use burn::backend::Flex;

use super::gemm::{Matrix, add_product, write_product};
use super::linear::{
    HostTensor, bias_gradient, contiguous, dims, linear, matrix, tensor, values, weight_gradient,
};
use super::mask::DropoutMask;
use super::math::{dot, exp_of_negative, max};
use super::ops::LinearTensors;
use super::parallel::for_each_chunk;

/// How rows are sentences and columns are heads, and which weights are dropped.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Sentences.
    pub batch_size: usize,
    /// Rows of each sentence.
    pub seq_len: usize,
    /// Heads.
    pub heads: usize,
    /// Dropout of the attention weights.
    pub dropout: DropoutMask,
}

/// The sizes of one sentence's attention.
#[derive(Clone, Copy)]
struct Sizes {
    seq_len: usize,
    width: usize,
    head_size: usize,
    dropout: DropoutMask,
}

impl Sizes {
    fn new(shape: &AttentionShape, width: usize) -> Self {
        let AttentionShape { seq_len, heads, dropout, .. } = *shape;
        Self { seq_len, width, head_size: width / heads, dropout }
    }

    /// `1 / √head_size`
    fn factor(&self) -> f32 {
        1.0 / (self.head_size as f32).sqrt()
    }

    /// Values of one sentence's rows.
    fn rows(&self) -> usize {
        self.seq_len * self.width
    }

    /// Values of one head's attention weights.
    fn square(&self) -> usize {
        self.seq_len * self.seq_len
    }

    /// The columns of a head in the rows of a sentence.
    fn head<'a>(&self, projected: &'a [f32], sentence: usize, head: usize) -> Matrix<'a> {
        let start = sentence * self.rows() + head * self.head_size;
        Matrix::new(&projected[start..], [self.seq_len, self.head_size], self.width)
    }

    fn weights<'a>(&self, weights: &'a [f32]) -> Matrix<'a> {
        Matrix::whole(weights, [self.seq_len, self.seq_len])
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(super) struct Attended {
    input: HostTensor,
    weights: [HostTensor; 3],
    /// Queries, keys and values, `[rows, width]` each.
    projected: [HostTensor; 3],
    /// Attention weights before dropout, `[batch_size, heads, seq_len, seq_len]`.
    attention: Vec<f32>,
    shape: AttentionShape,
}

/// The context of every row, and what the backward pass needs.
///
/// # Shapes
///
/// - `input`: `[batch_size * seq_len, width]`
/// - `padding`: `[batch_size, seq_len]`, added to the scores of each key
/// - returns: `[batch_size * seq_len, width]`
pub(super) fn attention(
    input: HostTensor,
    projections: [LinearTensors<Flex>; 3],
    padding: HostTensor,
    shape: AttentionShape,
) -> (HostTensor, Attended) {
    let (input, padding) = (contiguous(input), contiguous(padding));
    let projected =
        projections.each_ref().map(|LinearTensors { weight, bias }| linear(&input, weight, bias));
    let [query, key, value] = projected.each_ref().map(values);
    let [rows, width] = dims(&projected[0]);
    let sizes = Sizes::new(&shape, width);
    let (square, padding) = (sizes.square(), values(&padding));
    let mut context = vec![0.0; rows * width];
    let mut attention = vec![0.0; shape.batch_size * shape.heads * square];
    let outputs = [(&mut context[..], sizes.rows()), (&mut attention[..], shape.heads * square)];
    for_each_chunk(outputs, |sentence, [context, attention]| {
        let padding = &padding[sentence * shape.seq_len..(sentence + 1) * shape.seq_len];
        let mut dropped = vec![0.0; square];
        for (head, weights) in attention.chunks_exact_mut(square).enumerate() {
            let [query, key, value] =
                [query, key, value].map(|projected| sizes.head(projected, sentence, head));
            write_product(weights, shape.seq_len, query, key.transposed(), sizes.factor());
            softmax_rows(weights, padding);
            drop_weights(
                &sizes.dropout,
                (sentence * shape.heads + head) * square,
                weights,
                &mut dropped,
            );
            let context = &mut context[head * sizes.head_size..];
            write_product(context, width, sizes.weights(&dropped), value, 1.0);
        }
    });
    let context = tensor(context, [rows, width]);
    let weights = projections.map(|projection| projection.weight);
    (context, Attended { input, weights, projected, attention, shape })
}

/// Adds the bias of their key to scores and makes each row sum to one.
fn softmax_rows(scores: &mut [f32], padding: &[f32]) {
    pulp::Arch::new().dispatch(|| {
        for row in scores.chunks_exact_mut(padding.len()) {
            for (score, padding) in row.iter_mut().zip(padding) {
                *score += padding;
            }
            let largest = max(row);
            for score in row.iter_mut() {
                *score = exp_of_negative(*score - largest);
            }
            let share = 1.0 / super::math::total(row);
            row.iter_mut().for_each(|weight| *weight *= share);
        }
    });
}

/// Weights times their part of the mask, which begins at element `start`.
fn drop_weights(dropout: &DropoutMask, start: usize, weights: &[f32], dropped: &mut [f32]) {
    if dropout.is_none() {
        dropped.copy_from_slice(weights);
        return;
    }
    dropout.fill(start, dropped);
    dropped.iter_mut().zip(weights).for_each(|(value, weight)| *value *= weight);
}

/// The gradients of queries, keys and values, and what turns them into those of the parameters.
pub(super) struct ProjectionGradients {
    input: HostTensor,
    weights: [HostTensor; 3],
    /// `[rows, width]` each.
    projected: [HostTensor; 3],
}

impl ProjectionGradients {
    /// From the gradient of the context.
    pub(super) fn new(saved: Attended, context_gradient: HostTensor) -> Self {
        let Attended { input, weights, projected, attention, shape } = saved;
        let context_gradient = contiguous(context_gradient);
        let [rows, width] = dims(&context_gradient);
        let sizes = Sizes::new(&shape, width);
        let (square, factor) = (sizes.square(), sizes.factor());
        let [query, key, value] = projected.each_ref().map(values);
        let context_gradient = values(&context_gradient);
        let mut gradients = [(); 3].map(|()| vec![0.0; rows * width]);
        let outputs = gradients.each_mut().map(|gradient| (&mut gradient[..], sizes.rows()));
        for_each_chunk(outputs, |sentence, [queries, keys, values]| {
            let mut dropped = vec![0.0; square];
            let mut scores = vec![0.0; square];
            for head in 0..shape.heads {
                let index = sentence * shape.heads + head;
                let attention = &attention[index * square..(index + 1) * square];
                let [query, key, value, gradient] = [query, key, value, context_gradient]
                    .map(|projected| sizes.head(projected, sentence, head));
                let start = head * sizes.head_size;
                drop_weights(&sizes.dropout, index * square, attention, &mut dropped);
                let weights = sizes.weights(&dropped).transposed();
                write_product(&mut values[start..], width, weights, gradient, 1.0);
                write_product(&mut scores, shape.seq_len, gradient, value.transposed(), 1.0);
                sizes.dropout.fill(index * square, &mut dropped);
                scores_gradient(&mut scores, attention, &dropped, shape.seq_len);
                let scores = sizes.weights(&scores);
                write_product(&mut queries[start..], width, scores, key, factor);
                write_product(&mut keys[start..], width, scores.transposed(), query, factor);
            }
        });
        let projected = gradients.map(|gradient| tensor(gradient, [rows, width]));
        Self { input, weights, projected }
    }

    /// The gradient of the input, through all three projections.
    pub(super) fn input(&self) -> HostTensor {
        let shape = dims(&self.input);
        let mut sum = vec![0.0; shape[0] * shape[1]];
        for (gradient, weight) in self.projected.iter().zip(&self.weights) {
            add_product(&mut sum, matrix(gradient), matrix(weight).transposed());
        }
        tensor(sum, shape)
    }

    /// The gradient of a projection's weight.
    pub(super) fn weight(&self, projection: usize) -> HostTensor {
        weight_gradient(&self.input, &self.projected[projection])
    }

    /// The gradient of a projection's bias.
    pub(super) fn bias(&self, projection: usize) -> HostTensor {
        bias_gradient(&self.projected[projection])
    }
}

/// From the gradient of the dropped weights to that of the scores, in place: through the mask, then
/// `w · (g − Σ g w)` in each row.
fn scores_gradient(gradient: &mut [f32], weights: &[f32], mask: &[f32], seq_len: usize) {
    pulp::Arch::new().dispatch(|| {
        let rows = weights.chunks_exact(seq_len).zip(mask.chunks_exact(seq_len));
        for (row, (weights, mask)) in gradient.chunks_exact_mut(seq_len).zip(rows) {
            for (gradient, mask) in row.iter_mut().zip(mask) {
                *gradient *= mask;
            }
            let mean = dot(row, weights);
            for (gradient, weight) in row.iter_mut().zip(weights) {
                *gradient = weight * (*gradient - mean);
            }
        }
    });
}
