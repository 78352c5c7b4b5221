//! Dropout whose masks come from a seed, so that a step is the same natively, in the browser, and
//! after a resume.
//!
//! `y = x · mask / keep`, with `mask ~ Bernoulli(keep)` (Srivastava et al. 2014, "Dropout", JMLR 15).
//! Masks are drawn 16 bits an element: `keep` is rounded to a multiple of 1/65,536. On a CPU this is
//! several times faster than drawing a float each, which cost a fifth of a training step.

use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The source of one forward pass's dropout masks; [`Noise::off`] makes dropout the identity.
#[derive(Debug)]
pub struct Noise(Option<ChaCha8Rng>);

impl Noise {
    /// No dropout: evaluation, labelling, tagging.
    pub fn off() -> Self {
        Self(None)
    }

    /// Masks of the stream that `seed` names.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(ChaCha8Rng::seed_from_u64(seed)))
    }

    /// Zeroes each element with `probability` and scales the others by `1 / (1 - probability)`.
    pub fn dropout<const D: usize>(&mut self, input: Tensor<D>, probability: f64) -> Tensor<D> {
        let Some(rng) = self.0.as_mut().filter(|_| probability > 0.0) else {
            return input;
        };
        let shape = input.shape();
        let values = mask(rng, shape.num_elements(), probability);
        let device = input.device();
        input * Tensor::from_data(TensorData::new(values, shape), &device)
    }
}

/// `len` values that are 0 with `probability` and otherwise the inverse of the chance to be kept.
fn mask(rng: &mut ChaCha8Rng, len: usize, probability: f64) -> Vec<f32> {
    let dropped = (probability * 65_536.0).round().min(65_535.0) as u32;
    let keep = (65_536.0 / (65_536 - dropped) as f64) as f32;
    let mut bytes = vec![0; 2 * len];
    rng.fill_bytes(&mut bytes);
    let mut values = vec![0.0; len];
    pulp::Arch::new().dispatch(|| {
        for (value, draw) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
            let is_kept = u32::from(u16::from_le_bytes(*draw)) >= dropped;
            *value = if is_kept { keep } else { 0.0 };
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn mask_keeps_the_mean_and_drops_the_wanted_share() {
        let values = mask(&mut ChaCha8Rng::seed_from_u64(7), 100_003, 0.1);
        let zeros = values.iter().filter(|value| **value == 0.0).count() as f64 / 100_003.0;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / 100_003.0;
        assert!((zeros - 0.1).abs() < 0.005, "{zeros}");
        assert!((mean - 1.0).abs() < 0.005, "{mean}");
    }

    #[test]
    fn the_same_seed_gives_the_same_mask() {
        let input = Tensor::<2>::ones([5, 7], &Device::flex());
        let once = Noise::seeded(3).dropout(input.clone(), 0.5).into_data();
        assert_eq!(once, Noise::seeded(3).dropout(input.clone(), 0.5).into_data());
        assert_ne!(once, Noise::seeded(4).dropout(input, 0.5).into_data());
    }

    #[test]
    fn off_is_the_identity() {
        let input = Tensor::<1>::from_data([1.0, 2.0], &Device::flex());
        assert_eq!(Noise::off().dropout(input.clone(), 0.9).into_data(), input.into_data());
    }
}
