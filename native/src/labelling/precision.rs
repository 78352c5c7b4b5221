//! Whether a teacher reads in half precision: on a GPU that has it, and only if a sample of the text
//! gets the same labels as in full precision.

use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::Example;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::teacher::Precision;
use understudy_shared::model::TokenClassifier;

use crate::device;

/// Examples that are read in both.
const SAMPLE: usize = 64;

/// One sub-word in so many may get another label in half precision: those whose two best labels are as
/// good as equal.
const TOLERATED: usize = 200;

/// A teacher, and its half where that is as good.
pub struct Reader<'a> {
    full: &'a TokenClassifier,
    half: Option<TokenClassifier>,
    is_checked: bool,
}

impl<'a> Reader<'a> {
    /// In half precision where the device prefers it.
    pub fn new(full: &'a TokenClassifier) -> Self {
        let half = device::prefers_half().then(|| full.clone().with_half_products());
        Self { full, is_checked: half.is_none(), half }
    }

    /// Compares both over the first examples, once, and tells what came of it.
    pub fn check(&mut self, examples: &[Example], pad_token_id: u32, say: impl FnOnce(&str)) {
        let Some(half) = self.half.as_ref().filter(|_| !self.is_checked) else { return };
        let sample = &examples[..examples.len().min(SAMPLE)];
        let read = |model: &TokenClassifier| {
            let mut logits = vec![vec![]; sample.len()];
            let budget = BatchBudget::Subwords(device::feed().subwords);
            let reading =
                for_each_logits(model, sample, pad_token_id, budget, |example, values| {
                    logits[example] = values.to_vec();
                    true
                });
            pollster::block_on(reading);
            logits.concat()
        };
        let (full, half) = (read(self.full), read(half));
        let difference = Difference::of(&full, &half, full.len() / subwords(sample).max(1));
        let Difference { largest, other_labels, subwords } = difference;
        let found = format!(
            "of {subwords} sub-words {other_labels} get another label, a logit differs by {largest:.3} \
             at most"
        );
        if difference.is_small() {
            say(&format!("the teacher reads in half precision: {found}"));
        } else {
            say(&format!("the teacher reads in full precision, for in half {found}"));
            self.half = None;
        }
        self.is_checked = true;
    }

    /// How it reads; before the check, how it would like to.
    pub fn precision(&self) -> Precision {
        if self.half.is_some() { Precision::Half } else { Precision::Full }
    }

    /// The model to read with.
    pub fn model(&self) -> &TokenClassifier {
        self.half.as_ref().unwrap_or(self.full)
    }
}

fn subwords(examples: &[Example]) -> usize {
    examples.iter().map(|example| example.input_ids.len()).sum()
}

/// How far two ways of computing the same logits are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    largest: f32,
    other_labels: usize,
    subwords: usize,
}

impl Difference {
    fn of(full: &[f32], half: &[f32], num_labels: usize) -> Self {
        let best =
            |row: &[f32]| (0..row.len()).max_by(|left, right| row[*left].total_cmp(&row[*right]));
        let rows = || full.chunks(num_labels.max(1)).zip(half.chunks(num_labels.max(1)));
        let differences = full.iter().zip(half).map(|(full, half)| (full - half).abs());
        Self {
            // A NaN must not pass, and `f32::max` would drop it.
            largest: differences.fold(0.0, |a, b| if b.is_nan() || b > a { b } else { a }),
            other_labels: rows().filter(|(full, half)| best(full) != best(half)).count(),
            subwords: rows().count(),
        }
    }

    fn is_small(self) -> bool {
        self.largest.is_finite() && self.other_labels * TOLERATED <= self.subwords
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_label_or_no_number_is_not_small() {
        let full = [0.0, 1.0, 3.0, 2.0];
        assert!(Difference::of(&full, &[0.1, 1.0, 3.0, 2.2], 2).is_small());
        let other = Difference::of(&full, &[1.1, 1.0, 3.0, 2.0], 2);
        assert_eq!((other.other_labels, other.subwords), (1, 2));
        assert!(!other.is_small());
        assert!(!Difference::of(&full, &[0.0, f32::NAN, 3.0, 2.0], 2).is_small());
        assert!(!Difference::of(&full, &[0.0, 1.0, f32::INFINITY, 2.0], 2).is_small());
    }
}
