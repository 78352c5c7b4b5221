//! `y = x W + b`, with and without GELU after it, and the gradients, on flex tensors.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;

use super::gemm::{Matrix, product};
use super::math::gelu_and_slope;
use super::parallel::{CHUNK, add, column_sums, for_each_chunk, rows_per_chunk};

/// A tensor of Burn's CPU backend.
pub(super) type HostTensor = FloatTensor<Flex>;

/// Row-major values, copied only where the tensor is a view that is not.
pub(super) fn contiguous(tensor: HostTensor) -> HostTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a contiguous tensor.
pub(super) fn values(tensor: &HostTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous f32 tensor")
}

/// The values of a tensor to change in place; copied where something else holds them.
pub(super) fn values_mut(tensor: &mut HostTensor) -> &mut [f32] {
    let len = tensor.layout().num_elements();
    if tensor.layout().contiguous_offsets() != Some((0, len)) {
        *tensor = tensor.to_contiguous();
    }
    &mut tensor.storage_mut()[..len]
}

/// A tensor of these values.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> HostTensor {
    HostTensor::from_data(TensorData::new(values, shape))
}

/// Rows and columns of a matrix.
pub(super) fn dims(matrix: &HostTensor) -> [usize; 2] {
    let shape = matrix.layout().shape();
    [shape[0], shape[1]]
}

/// A contiguous tensor as a matrix.
pub(super) fn matrix(tensor: &HostTensor) -> Matrix<'_> {
    Matrix::whole(values(tensor), dims(tensor))
}

/// `x W`
pub(super) fn multiply(input: &HostTensor, weight: &HostTensor) -> HostTensor {
    let shape = [dims(input)[0], dims(weight)[1]];
    tensor(product(matrix(input), matrix(weight)), shape)
}

/// `x W`, plus `b` in each row.
pub(super) fn linear(input: &HostTensor, weight: &HostTensor, bias: &HostTensor) -> HostTensor {
    let mut output = multiply(input, weight);
    let [_, width] = dims(&output);
    let bias = values(bias);
    for_each_chunk([(values_mut(&mut output), rows_per_chunk(width) * width)], |_, [rows]| {
        pulp::Arch::new().dispatch(|| rows.chunks_exact_mut(width).for_each(|row| add(row, bias)));
    });
    output
}

/// `dX = dY Wᵀ`.
pub(super) fn input_gradient(output_gradient: &HostTensor, weight: &HostTensor) -> HostTensor {
    let shape = [dims(output_gradient)[0], dims(weight)[0]];
    tensor(product(matrix(output_gradient), matrix(weight).transposed()), shape)
}

/// `dW = Xᵀ dY`.
pub(super) fn weight_gradient(input: &HostTensor, output_gradient: &HostTensor) -> HostTensor {
    let shape = [dims(input)[1], dims(output_gradient)[1]];
    tensor(product(matrix(input).transposed(), matrix(output_gradient)), shape)
}

/// `db`, the sums of the columns of `dY`.
pub(super) fn bias_gradient(output_gradient: &HostTensor) -> HostTensor {
    let [_, columns] = dims(output_gradient);
    tensor(column_sums(values(output_gradient), columns), [columns])
}

/// GELU of every element.
pub(super) fn gelu(input: &HostTensor) -> HostTensor {
    let from = values(input);
    let mut output = vec![0.0; from.len()];
    for_each_chunk([(&mut output, CHUNK)], |chunk, [output]| {
        pulp::Arch::new().dispatch(|| {
            for (output, input) in output.iter_mut().zip(&from[chunk * CHUNK..]) {
                *output = gelu_and_slope(*input).0;
            }
        });
    });
    tensor(output, dims(input))
}

/// The gradient of GELU's input: its slope there times the gradient of its output.
pub(super) fn gelu_backward(input: &HostTensor, mut gradient: HostTensor) -> HostTensor {
    let input = values(input);
    for_each_chunk([(values_mut(&mut gradient), CHUNK)], |chunk, [gradients]| {
        pulp::Arch::new().dispatch(|| {
            for (gradient, input) in gradients.iter_mut().zip(&input[chunk * CHUNK..]) {
                *gradient *= gelu_and_slope(*input).1;
            }
        });
    });
    gradient
}
