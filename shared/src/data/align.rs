//! Labels of words to labels of sub-words.
//!
//! As the reference does: special tokens are ignored; a word's first sub-word takes the word's
//! label; those after it take `I-X` where the word is `B-X` or `I-X`, and `O` where it is `O`.

use serde::{Deserialize, Serialize};

use super::IGNORE_INDEX;
use super::label::LabelSet;

/// What the second and later sub-words of a word are labelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuation {
    /// `I-X` inside an entity, `O` outside.
    #[default]
    Inside,
    /// Ignored: only first sub-words count.
    Ignore,
}

/// The label id of every sub-word, [`IGNORE_INDEX`] for special tokens.
///
/// `word_ids` rise, `None` = special token; `word_labels` holds a label id for each word.
pub fn align(
    word_ids: &[Option<usize>],
    word_labels: &[usize],
    labels: &LabelSet,
    continuation: Continuation,
) -> Vec<i32> {
    let mut previous = None;
    let mut aligned = Vec::with_capacity(word_ids.len());
    for word in word_ids {
        aligned.push(match word {
            None => IGNORE_INDEX,
            Some(index) if previous != Some(*index) => word_labels[*index] as i32,
            Some(index) => match continuation {
                Continuation::Inside => labels.inside(word_labels[*index]) as i32,
                Continuation::Ignore => IGNORE_INDEX,
            },
        });
        previous = *word;
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD_IDS: [Option<usize>; 8] =
        [None, Some(0), Some(0), Some(1), Some(2), Some(2), Some(3), None];

    fn check(continuation: Continuation, want: [i32; 8]) {
        let labels = LabelSet::conll2003();
        let id = |name| labels.id(name).expect("a CoNLL label");
        let words = [id("B-PER"), id("I-PER"), id("O"), id("B-LOC")];
        assert_eq!(align(&WORD_IDS, &words, &labels, continuation), want);
    }

    #[test]
    fn second_subword_continues_its_word() {
        check(Continuation::Inside, [-100, 1, 2, 2, 0, 0, 5, -100]);
    }

    #[test]
    fn second_subword_is_ignored() {
        check(Continuation::Ignore, [-100, 1, -100, 2, 0, -100, 5, -100]);
    }
}
