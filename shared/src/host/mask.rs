//! Dropout masks from a seed: the same natively, in the browser and after a resume, and any part of
//! one can be drawn at any time, so that a backward pass draws it again instead of keeping it.
//!
//! Masks are drawn 16 bits an element from ChaCha8: the share that is kept is rounded to a multiple
//! of 1/65,536.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Elements drawn from one block of ChaCha: 16 words of 32 bits.
const BLOCK: usize = 32;

/// Describes the mask of one dropout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutMask {
    seed: u64,
    stream: u64,
    /// Draws below it, of 65,536, are dropped; 0 = all is kept.
    dropped: u32,
}

impl DropoutMask {
    /// Keeps everything.
    pub const NONE: Self = Self { seed: 0, stream: 0, dropped: 0 };

    /// Drops each element with `probability`; each `seed` and `stream` is another mask.
    pub fn new(seed: u64, stream: u64, probability: f64) -> Self {
        let dropped = (probability * 65_536.0).round().clamp(0.0, 65_535.0) as u32;
        Self { seed, stream, dropped }
    }

    /// Whether it drops nothing.
    pub fn is_none(&self) -> bool {
        self.dropped == 0
    }

    /// The mask from element `start` on: 0 where dropped, else the inverse of the share that is kept.
    pub fn fill(&self, start: usize, values: &mut [f32]) {
        if self.is_none() {
            values.fill(1.0);
            return;
        }
        let keep = (65_536.0 / f64::from(65_536 - self.dropped)) as f32;
        let dropped = self.dropped;
        let skipped = start % BLOCK;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.stream);
        rng.set_word_pos((start - skipped) as u128 / 2);
        let mut bytes = vec![0; 2 * (skipped + values.len())];
        rng.fill_bytes(&mut bytes);
        let draws = &bytes.as_chunks::<2>().0[skipped..];
        pulp::Arch::new().dispatch(|| {
            for (value, draw) in values.iter_mut().zip(draws) {
                let is_kept = u32::from(u16::from_le_bytes(*draw)) >= dropped;
                *value = if is_kept { keep } else { 0.0 };
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(mask: DropoutMask, start: usize, len: usize) -> Vec<f32> {
        let mut values = vec![9.0; len];
        mask.fill(start, &mut values);
        values
    }

    #[test]
    fn a_part_is_the_part_of_the_whole() {
        let mask = DropoutMask::new(3, 8, 0.3);
        let whole = filled(mask, 0, 1000);
        for (start, len) in [(0, 7), (1, 40), (31, 2), (32, 64), (500, 500)] {
            assert_eq!(filled(mask, start, len), whole[start..start + len], "{start} {len}");
        }
    }

    #[test]
    fn the_mean_is_kept_and_the_wanted_share_dropped() {
        let values = filled(DropoutMask::new(7, 0, 0.1), 0, 100_003);
        let zeros = values.iter().filter(|value| **value == 0.0).count() as f64 / 100_003.0;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / 100_003.0;
        assert!((zeros - 0.1).abs() < 0.005, "{zeros}");
        assert!((mean - 1.0).abs() < 0.005, "{mean}");
    }

    #[test]
    fn seeds_and_streams_differ_and_none_keeps_all() {
        let mask = |seed, stream| filled(DropoutMask::new(seed, stream, 0.5), 0, 64);
        assert_eq!(mask(1, 2), mask(1, 2));
        assert_ne!(mask(1, 2), mask(2, 2));
        assert_ne!(mask(1, 2), mask(1, 3));
        assert_eq!(filled(DropoutMask::NONE, 5, 3), [1.0; 3]);
        assert!(DropoutMask::new(1, 1, 0.0).is_none());
    }
}
