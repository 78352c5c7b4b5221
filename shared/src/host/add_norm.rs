//! `LayerNorm(residual + dropout(x + b))`, the end of both halves of an encoder layer, in one pass
//! (Ba et al. 2016, arXiv:1607.06450; Srivastava et al. 2014, "Dropout", JMLR 15).

use burn::backend::Flex;

use super::linear::{HostTensor, contiguous, dims, tensor, values, values_mut};
use super::mask::DropoutMask;
use super::math::{dot, total};
use super::ops::{AddNormSettings, NormTensors};
use super::parallel::{add, fold_rows, for_each_chunk, rows_per_chunk};

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(super) struct Normed {
    /// `[rows, width]`, normalised.
    normed: HostTensor,
    /// `[rows]`, one over the standard deviation.
    inverse_deviation: HostTensor,
    gamma: HostTensor,
    dropout: DropoutMask,
}

/// The gradients of an [`add_norm`].
pub(super) struct AddNormGradients {
    pub(super) input: HostTensor,
    pub(super) residual: HostTensor,
    pub(super) bias: HostTensor,
    pub(super) gamma: HostTensor,
    pub(super) beta: HostTensor,
}

/// Normalises each row in place; returns one over its standard deviation.
#[inline(always)]
fn normalise(row: &mut [f32], epsilon: f32) -> f32 {
    let share = 1.0 / row.len() as f32;
    let mean = total(row) * share;
    row.iter_mut().for_each(|value| *value -= mean);
    let inverse_deviation = 1.0 / (dot(row, row) * share + epsilon).sqrt();
    row.iter_mut().for_each(|value| *value *= inverse_deviation);
    inverse_deviation
}

/// The output, and what the backward pass needs.
pub(super) fn add_norm(
    input: HostTensor,
    residual: HostTensor,
    bias: HostTensor,
    norm: NormTensors<Flex>,
    settings: AddNormSettings,
) -> (HostTensor, Normed) {
    let [rows, width] = dims(&input);
    let chunk_rows = rows_per_chunk(width);
    let residual = contiguous(residual);
    let (NormTensors { gamma, beta }, dropout) = (norm, settings.dropout);
    let (bias, gammas, betas) = (values(&bias), values(&gamma), values(&beta));
    let epsilon = settings.epsilon as f32;
    let residual = values(&residual);
    let mut normed = input;
    let mut output = vec![0.0; rows * width];
    let mut inverse_deviation = vec![0.0; rows];
    let size = chunk_rows * width;
    let outputs = [
        (values_mut(&mut normed), size),
        (&mut output[..], size),
        (&mut inverse_deviation[..], chunk_rows),
    ];
    for_each_chunk(outputs, |chunk, [rows, outputs, deviations]| {
        // The output's place holds the mask first.
        dropout.fill(chunk * size, outputs);
        let residual = &residual[chunk * size..];
        pulp::Arch::new().dispatch(|| {
            let pairs = rows.chunks_exact_mut(width).zip(outputs.chunks_exact_mut(width));
            let others = residual.chunks_exact(width).zip(deviations.iter_mut());
            for ((row, output), (residual, deviation)) in pairs.zip(others) {
                for ((value, bias), (mask, residual)) in
                    row.iter_mut().zip(bias).zip(output.iter().zip(residual))
                {
                    *value = (*value + bias) * mask + residual;
                }
                *deviation = normalise(row, epsilon);
                for ((output, value), (gamma, beta)) in
                    output.iter_mut().zip(row.iter()).zip(gammas.iter().zip(betas))
                {
                    *output = value * gamma + beta;
                }
            }
        });
    });
    let inverse_deviation = tensor(inverse_deviation, [rows]);
    (tensor(output, [rows, width]), Normed { normed, inverse_deviation, gamma, dropout })
}

/// The gradients of the input, the residual, the bias, gamma and beta.
///
/// With `ĝ = gamma · dY`, a row of the sum's gradient is
/// `(ĝ − mean(ĝ) − x̂ · mean(ĝ · x̂)) / deviation`.
pub(super) fn add_norm_backward(saved: Normed, mut residual: HostTensor) -> AddNormGradients {
    let [rows, width] = dims(&saved.normed);
    let chunk_rows = rows_per_chunk(width);
    let (normed, gamma) = (values(&saved.normed), values(&saved.gamma));
    let inverse_deviation = values(&saved.inverse_deviation);
    let dropout = saved.dropout;
    let mut input = vec![0.0; rows * width];
    // Of each chunk the sums for bias, gamma and beta, one after the other.
    let mut sums = vec![0.0; rows.div_ceil(chunk_rows) * 3 * width];
    let share = 1.0 / width as f32;
    let size = chunk_rows * width;
    let outputs =
        [(values_mut(&mut residual), size), (&mut input[..], size), (&mut sums[..], 3 * width)];
    for_each_chunk(outputs, |chunk, [rows, inputs, sums]| {
        // The input's place holds the mask first.
        dropout.fill(chunk * size, inputs);
        let (bias_sum, sums) = sums.split_at_mut(width);
        let (gamma_sum, beta_sum) = sums.split_at_mut(width);
        let normed = normed[chunk * size..].chunks_exact(width);
        let normed = normed.zip(&inverse_deviation[chunk * chunk_rows..]);
        pulp::Arch::new().dispatch(|| {
            let pairs = rows.chunks_exact_mut(width).zip(inputs.chunks_exact_mut(width));
            for ((row, input), (normed, inverse_deviation)) in pairs.zip(normed) {
                add(beta_sum, row);
                for ((sum, gamma), (gradient, normed)) in
                    gamma_sum.iter_mut().zip(gamma).zip(row.iter_mut().zip(normed))
                {
                    *sum += *gradient * normed;
                    *gradient *= gamma;
                }
                let mean = total(row) * share;
                let slope = dot(row, normed) * share;
                for ((gradient, normed), input) in row.iter_mut().zip(normed).zip(input.iter_mut())
                {
                    *gradient = (*gradient - mean - normed * slope) * inverse_deviation;
                    *input *= *gradient;
                }
                add(bias_sum, input);
            }
        });
    });
    let input = tensor(input, [rows, width]);
    let sums = fold_rows(&sums, 3 * width);
    let vector = |index: usize| tensor(sums[index * width..(index + 1) * width].to_vec(), [width]);
    AddNormGradients { input, residual, bias: vector(0), gamma: vector(1), beta: vector(2) }
}
