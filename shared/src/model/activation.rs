//! GELU with the exact error function (Hendrycks and Gimpel 2016, arXiv:1606.08415).
//!
//! `gelu(x) = x Φ(x)`, `gelu'(x) = Φ(x) + x φ(x)`, with `Φ(x) = (1 + erf(x / √2)) / 2` and
//! `φ(x) = exp(−x² / 2) / √(2π)`.
//!
//! On the CPU, Burn calls a scalar `erff` for each element on one thread, which took a quarter of a
//! training step. Where tensors are host memory, value and slope are computed here in one pass that
//! the compiler can vectorise, and the graph gets `y = slope · x + (gelu(x) − slope · x)`, whose value
//! is GELU's and whose gradient is the slope.

use burn::tensor::activation::gelu;
use burn::tensor::{Tensor, TensorData};

/// GELU by Burn's own operations, for any device.
pub fn gelu_on_device(input: Tensor<2>) -> Tensor<2> {
    gelu(input)
}

/// GELU where tensors are host memory: taking the values out neither waits nor computes there.
pub fn gelu_on_host(input: Tensor<2>) -> Tensor<2> {
    let is_tracked = input.is_autodiff();
    let device = input.device();
    let shape = input.shape();
    let mut data = input.clone().without_autodiff().into_data();
    let values = data.as_mut_slice::<f32>().expect("activations are f32");
    let arch = pulp::Arch::new();
    if !is_tracked {
        arch.dispatch(|| {
            for value in values.iter_mut() {
                *value = gelu_and_slope(*value).0;
            }
        });
        return Tensor::from_data(data, &device);
    }
    let mut slopes = vec![0.0; values.len()];
    arch.dispatch(|| {
        for (value, slope) in values.iter_mut().zip(&mut slopes) {
            let x = *value;
            let (gelu, derivative) = gelu_and_slope(x);
            *value = gelu - derivative * x;
            *slope = derivative;
        }
    });
    let rest = Tensor::from_data(data, &device);
    input * Tensor::from_data(TensorData::new(slopes, shape), &device) + rest
}

/// `gelu(x)` and `gelu'(x)`.
#[inline(always)]
fn gelu_and_slope(x: f32) -> (f32, f32) {
    const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
    let cdf = 0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2);
    let pdf = FRAC_1_SQRT_2PI * exp_of_negative(-0.5 * x * x);
    (x * cdf, cdf + x * pdf)
}

/// The error function by the rational approximation that Eigen and XLA use for `f32`
/// (<https://github.com/openxla/xla/blob/v0.1/xla/client/lib/math.cc>, `ErfImpl32`).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut above = -2.726_142_3e-10;
    for coefficient in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_5e-5,
        -7.349_906_4e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        above = above * square + coefficient;
    }
    let mut below = -1.456_607_2e-5;
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2] {
        below = below * square + coefficient;
    }
    x * above / below
}

/// `exp(x)` for `x ≤ 0`: `2ⁿ · eʳ` with a polynomial for `eʳ`, `|r| ≤ ln 2 / 2` (Cephes, `expf`).
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 · 2²³ rounds to the nearest whole number, and leaves it in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut power = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        power = power * r + coefficient;
    }
    let power = power * r * r + r + 1.0;
    power * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn points() -> Vec<f32> {
        (-2400..=2400).map(|step| step as f32 / 200.0).collect()
    }

    #[test]
    fn error_function_and_exponential_are_exact_to_rounding() {
        let device = Device::flex();
        let xs = points();
        let exact = Tensor::<1>::from_floats(xs.as_slice(), &device).erf().into_data();
        for (x, want) in xs.iter().zip(exact.iter::<f32>()) {
            assert!((erf(*x) - want).abs() < 3e-7, "erf({x}) = {want}, not {}", erf(*x));
        }
        for x in xs.iter().map(|x| -x.abs()) {
            let want = x.exp();
            assert!((exp_of_negative(x) - want).abs() <= 3e-7 * want, "exp({x})");
        }
    }

    #[test]
    fn value_and_gradient_are_burns() {
        let device = Device::flex().autodiff();
        let xs = points();
        let input = Tensor::<1>::from_floats(xs.as_slice(), &device).reshape([1, -1]);
        let run = |function: fn(Tensor<2>) -> Tensor<2>| {
            let input = input.clone().require_grad();
            let output = function(input.clone());
            let gradient = input.grad(&output.clone().sum().backward()).expect("tracked");
            (output.without_autodiff(), gradient)
        };
        let (want, want_gradient) = run(gelu_on_device);
        let (got, gradient) = run(gelu_on_host);
        let untracked = gelu_on_host(input.clone().without_autodiff());
        let largest = |difference: Tensor<2>| difference.abs().max().into_scalar::<f32>();
        assert!(largest(want.clone() - got) < 2e-6);
        assert!(largest(want - untracked) < 2e-6);
        assert!(largest(want_gradient - gradient) < 2e-6);
    }
}
