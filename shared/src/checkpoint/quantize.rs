//! Matrices in eight bits: each row has a scale of its own, `value ≈ scale · q` with `q` from −127 to
//! 127 and `scale = max |row| / 127` (symmetric, per channel; Jacob et al. 2018, arXiv:1712.05877,
//! section 2.1 with a zero point of 0).
//!
//! Computing stays in `f32`: weights are dequantised when they are loaded. A row of a file's matrix is
//! an output of a linear layer, or a token of an embedding table.

/// A matrix `[rows, columns]` in eight bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Row by row.
    pub values: Vec<i8>,
    /// One a row.
    pub scales: Vec<f32>,
}

/// The largest value of `q`.
const MOST: f32 = 127.0;

/// Quantises a matrix with rows of `columns` values.
pub fn quantize(values: &[f32], columns: usize) -> Quantized {
    let mut quantized = Quantized { values: Vec::with_capacity(values.len()), scales: vec![] };
    for row in values.chunks_exact(columns.max(1)) {
        let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        // A scale below the smallest normal number would lose the row's digits in its inverse.
        let scale = if largest > 0.0 { (largest / MOST).max(f32::MIN_POSITIVE) } else { 0.0 };
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let rounded = row.iter().map(|value| (value * inverse).round().clamp(-MOST, MOST) as i8);
        quantized.values.extend(rounded);
        quantized.scales.push(scale);
    }
    quantized
}

/// The values that eight bits and a scale a row stand for; `bytes` are the `i8` of a file.
pub fn dequantize(bytes: &[u8], scales: &[f32], columns: usize) -> Vec<f32> {
    let rows = bytes.chunks_exact(columns.max(1)).zip(scales);
    rows.flat_map(|(row, scale)| row.iter().map(move |byte| f32::from(byte.cast_signed()) * scale))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(quantized: &Quantized) -> Vec<u8> {
        quantized.values.iter().map(|value| value.cast_unsigned()).collect()
    }

    #[test]
    fn each_row_has_its_own_scale() {
        let quantized = quantize(&[1.0, -0.5, 0.0, 127.0, 1.0, -127.0], 3);
        assert_eq!(quantized.values, [127, -64, 0, 127, 1, -127]);
        assert_eq!(quantized.scales, [1.0 / 127.0, 1.0]);
        let back = dequantize(&bytes(&quantized), &quantized.scales, 3);
        assert_eq!(back[3..], [127.0, 1.0, -127.0]);
    }

    #[test]
    fn a_row_of_zeros_stays_one() {
        let quantized = quantize(&[0.0, 0.0], 2);
        assert_eq!(dequantize(&bytes(&quantized), &quantized.scales, 2), [0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn the_error_is_half_a_step_at_most(
            values in prop::collection::vec(-1e3f32..1e3, 1..40), power in -40i32..30
        ) {
            let values: Vec<f32> = values.iter().map(|value| value * 2f32.powi(power)).collect();
            let quantized = quantize(&values, values.len());
            let back = dequantize(&bytes(&quantized), &quantized.scales, values.len());
            for (value, back) in values.iter().zip(back) {
                prop_assert!((value - back).abs() <= 0.501 * quantized.scales[0]);
            }
        }
    }
}
