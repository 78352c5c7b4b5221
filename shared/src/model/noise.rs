//! Where a forward pass takes its dropout masks from.
//!
//! `y = x · mask / keep`, with `mask ~ Bernoulli(keep)` (Srivastava et al. 2014, "Dropout", JMLR 15).
//! The masks come from a seed, so that a step is the same natively, in the browser, and after a
//! resume.

use burn::tensor::{Tensor, TensorData};

use crate::host::mask::DropoutMask;
use crate::host::parallel::{CHUNK, for_each_chunk};

/// The source of one forward pass's dropout masks; [`Noise::off`] makes dropout the identity.
#[derive(Debug)]
pub struct Noise(Option<Masks>);

#[derive(Debug)]
struct Masks {
    seed: u64,
    taken: u64,
}

impl Noise {
    /// No dropout: evaluation, labelling, tagging.
    pub fn off() -> Self {
        Self(None)
    }

    /// Masks that `seed` names.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Masks { seed, taken: 0 }))
    }

    /// The next mask, which drops each element with `probability`.
    pub fn mask(&mut self, probability: f64) -> DropoutMask {
        let Some(masks) = &mut self.0 else { return DropoutMask::NONE };
        masks.taken += 1;
        DropoutMask::new(masks.seed, masks.taken, probability)
    }

    /// Zeroes each element with `probability` and scales the others by `1 / (1 - probability)`.
    pub fn dropout<const D: usize>(&mut self, input: Tensor<D>, probability: f64) -> Tensor<D> {
        let mask = self.mask(probability);
        if mask.is_none() {
            return input;
        }
        let shape = input.shape();
        let mut values = vec![0.0; shape.num_elements()];
        for_each_chunk([(&mut values, CHUNK)], |chunk, [values]| mask.fill(chunk * CHUNK, values));
        let device = input.device();
        input * Tensor::from_data(TensorData::new(values, shape), &device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_same_seed_gives_the_same_masks_one_after_the_other() {
        let input = Tensor::<2>::ones([5, 7], &Device::flex());
        let twice = |seed| {
            let mut noise = Noise::seeded(seed);
            [0, 1].map(|_| noise.dropout(input.clone(), 0.5).into_data())
        };
        let [first, second] = twice(3);
        assert_ne!(first, second);
        assert_eq!([first.clone(), second], twice(3));
        assert_ne!(first, twice(4)[0]);
    }

    #[test]
    fn off_is_the_identity() {
        let input = Tensor::<1>::from_data([1.0, 2.0], &Device::flex());
        assert_eq!(Noise::off().dropout(input.clone(), 0.9).into_data(), input.into_data());
    }
}
