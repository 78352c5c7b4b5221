//! Cuts texts that are too long for a model, between sentences or at least words, with context on both
//! sides.
//!
//! Every word is counted in exactly one window; the words around it are there to be looked at.

use std::ops::Range;

/// One stretch of words that fits the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Words the model sees.
    pub words: Range<usize>,
    /// Words whose labels are counted here, a part of `words`.
    pub counted: Range<usize>,
}

/// Windows of at most `budget` sub-words over words of the given lengths in sub-words.
///
/// Texts within the budget are one window. Longer ones are cut into stretches of at most
/// `budget - 2 · context` counted sub-words, each widened by whole words up to `context` sub-words on
/// either side. A stretch ends with a sentence, where one ends in its second half: `sentence_starts`
/// are the words that begin one, ascending. A single word longer than its window stands alone in it; the
/// caller shortens it.
pub fn windows(
    lengths: &[usize],
    sentence_starts: &[usize],
    budget: usize,
    context: usize,
) -> Vec<Window> {
    assert!(budget > 0, "a window needs room for one sub-word");
    if lengths.iter().sum::<usize>() <= budget {
        return vec![Window { words: 0..lengths.len(), counted: 0..lengths.len() }];
    }
    let context = context.min((budget - 1) / 3);
    let core = budget - 2 * context;
    let mut windows = Vec::new();
    let mut start = 0;
    while start < lengths.len() {
        let full = start + fitting(lengths[start..].iter(), core).max(1);
        let end = if full < lengths.len() {
            let half = start + fitting(lengths[start..].iter(), core / 2) + 1;
            let next = sentence_starts.partition_point(|word| *word <= full);
            sentence_starts[..next].last().copied().filter(|end| *end >= half).unwrap_or(full)
        } else {
            full
        };
        let used: usize = lengths[start..end].iter().sum();
        let spare = budget.saturating_sub(used);
        let before = fitting(lengths[..start].iter().rev(), context.min(spare));
        let room = spare - lengths[start - before..start].iter().sum::<usize>();
        let after = fitting(lengths[end..].iter(), context.min(room));
        windows.push(Window { words: start - before..end + after, counted: start..end });
        start = end;
    }
    windows
}

/// How many words from the front fit into `budget` sub-words.
fn fitting<'a>(lengths: impl Iterator<Item = &'a usize>, budget: usize) -> usize {
    let mut used = 0;
    lengths
        .take_while(|length| {
            used += **length;
            used <= budget
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_text_is_one_window() {
        assert_eq!(windows(&[1, 2, 1], &[], 4, 1), [Window { words: 0..3, counted: 0..3 }]);
    }

    #[test]
    fn no_words_are_one_empty_window() {
        assert_eq!(windows(&[], &[], 4, 1), [Window { words: 0..0, counted: 0..0 }]);
    }

    #[test]
    fn a_long_text_overlaps_by_the_context() {
        let want = [
            Window { words: 0..4, counted: 0..3 },
            Window { words: 2..7, counted: 3..6 },
            Window { words: 5..8, counted: 6..8 },
        ];
        assert_eq!(windows(&[1; 8], &[], 5, 1), want);
    }

    #[test]
    fn a_stretch_ends_with_a_sentence_in_its_second_half() {
        let counted = |starts: &[usize]| -> Vec<_> {
            windows(&[1; 14], starts, 8, 1).into_iter().map(|window| window.counted).collect()
        };
        assert_eq!(counted(&[0, 4, 5]), [0..5, 5..11, 11..14]);
        assert_eq!(counted(&[0, 6, 12]), [0..6, 6..12, 12..14]);
        assert_eq!(counted(&[0, 3]), [0..6, 6..12, 12..14], "too early to be worth it");
        assert_eq!(counted(&[0, 5, 13]), [0..5, 5..11, 11..14], "the end needs no cut");
    }

    proptest! {
        #[test]
        fn every_word_is_counted_once(
            lengths in prop::collection::vec(1usize..9, 0..60),
            starts in prop::collection::btree_set(0usize..60, 0..10),
            budget in 1usize..20,
            context in 0usize..9,
        ) {
            let starts: Vec<usize> = starts.into_iter().filter(|start| *start < lengths.len()).collect();
            let windows = windows(&lengths, &starts, budget, context);
            let mut next = 0;
            for window in &windows {
                prop_assert_eq!(window.counted.start, next);
                prop_assert!(window.words.start <= window.counted.start);
                prop_assert!(window.counted.end <= window.words.end);
                let size: usize = lengths[window.words.clone()].iter().sum();
                prop_assert!(size <= budget || window.words.len() == 1, "{:?}", window);
                next = window.counted.end;
            }
            prop_assert_eq!(next, lengths.len());
        }
    }
}
