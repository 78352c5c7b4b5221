//! Elementary functions and sums in forms that the compiler vectorises; call them inside
//! `pulp::Arch::dispatch` to have the instructions of the machine at hand.

/// Sums in flight at once.
const LANES: usize = 16;

/// GELU with the exact error function and its derivative (Hendrycks and Gimpel 2016,
/// arXiv:1606.08415): `gelu(x) = x Φ(x)`, `gelu'(x) = Φ(x) + x φ(x)`, with
/// `Φ(x) = (1 + erf(x / √2)) / 2` and `φ(x) = exp(−x² / 2) / √(2π)`.
#[inline(always)]
pub fn gelu_and_slope(x: f32) -> (f32, f32) {
    const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
    let cdf = 0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2);
    let pdf = FRAC_1_SQRT_2PI * exp_of_negative(-0.5 * x * x);
    (x * cdf, cdf + x * pdf)
}

/// The error function by the rational approximation that Eigen and XLA use for `f32`
/// (<https://github.com/openxla/xla/blob/v0.1/xla/client/lib/math.cc>, `ErfImpl32`).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
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
/// 0 below −87, where the result would be no normal number; NaN stays NaN.
#[inline(always)]
pub fn exp_of_negative(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 · 2²³ rounds to the nearest whole number, and leaves it in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LEAST: f32 = -87.0;
    // Not `max`, which would turn NaN into a number.
    let is_tiny = x < LEAST;
    let x = if is_tiny { LEAST } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut power = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        power = power * r + coefficient;
    }
    let power = power * r * r + r + 1.0;
    let exp = power * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if is_tiny { 0.0 } else { exp }
}

/// `Σ values`.
#[inline(always)]
pub fn total(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane += value;
        }
    }
    lanes.iter().chain(rest).sum()
}

/// `Σ left · right`, of slices of one length.
#[inline(always)]
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (lefts, left_rest) = left.as_chunks::<LANES>();
    let (rights, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in lefts.iter().zip(rights) {
        for (lane, (left, right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
            *lane += left * right;
        }
    }
    let rest = left_rest.iter().zip(right_rest).map(|(left, right)| left * right);
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}

/// The largest of `values`, −∞ of none.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, value| largest.max(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor};

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
        assert!(exp_of_negative(-86.9) > 0.0);
        assert_eq!([-87.1, -1e9, f32::NEG_INFINITY].map(exp_of_negative), [0.0; 3]);
        assert!(exp_of_negative(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_take_every_value() {
        for len in [0, 1, 15, 16, 17, 50] {
            let values: Vec<f32> = (0..len).map(|index| ((index * 7) % 50) as f32).collect();
            assert_eq!(total(&values), values.iter().sum::<f32>());
            let squares: f32 = values.iter().map(|value| value * value).sum();
            assert_eq!(dot(&values, &values), squares);
            let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&values), largest);
        }
    }
}
