//! Median, 95th percentile and speed of what was tagged.

use crate::order::order;

/// Latest measurements that are kept.
const MOST: usize = 200;

/// Measured passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latencies {
    /// Milliseconds and sub-words of each pass, oldest first.
    passes: Vec<(f64, usize)>,
    /// How many there were, those that are not kept any more too.
    count: usize,
}

impl Latencies {
    /// Adds a pass.
    pub fn add(&mut self, millis: f64, subwords: usize) {
        if self.passes.len() == MOST {
            self.passes.remove(0);
        }
        self.passes.push((millis, subwords));
        self.count += 1;
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Milliseconds that `percent` of the passes took at most, the nearest rank; `None` without any.
    pub fn percentile(&self, percent: usize) -> Option<f64> {
        percentile(self.passes.iter().map(|(millis, _)| *millis), percent)
    }

    /// Sub-words a second over all passes.
    pub fn subwords_per_second(&self) -> Option<f64> {
        let millis: f64 = self.passes.iter().map(|(millis, _)| millis).sum();
        let subwords: usize = self.passes.iter().map(|(_, subwords)| subwords).sum();
        (millis > 0.0).then(|| subwords as f64 / millis * 1e3)
    }
}

/// The value that `percent` of `values` do not exceed, by the nearest rank.
pub fn percentile(values: impl Iterator<Item = f64>, percent: usize) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    let sorted = order(values.len(), &|left, right| values[left] < values[right]);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|index| values[*index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values = || (1..=20).rev().map(f64::from);
        assert_eq!(percentile(values(), 50), Some(10.0));
        assert_eq!(percentile(values(), 95), Some(19.0));
        assert_eq!(percentile(values(), 100), Some(20.0));
        assert_eq!(percentile([3.0].into_iter(), 5), Some(3.0));
        assert_eq!(percentile([].into_iter(), 50), None);
    }

    #[test]
    fn speed_is_over_all_passes() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.subwords_per_second(), None);
        latencies.add(10.0, 20);
        latencies.add(30.0, 20);
        assert_eq!(latencies.subwords_per_second(), Some(1000.0));
    }

    #[test]
    fn old_passes_are_forgotten() {
        let mut latencies = Latencies::default();
        (0..500).for_each(|pass| latencies.add(f64::from(pass), 1));
        assert_eq!((latencies.count(), latencies.percentile(1)), (500, Some(301.0)));
    }
}
