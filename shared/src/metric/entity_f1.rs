//! Entity precision, recall and F1, as seqeval 1.2.2's `classification_report` computes them.
//!
//! An entity counts as found if type, start and end agree. `precision = found / predicted`,
//! `recall = found / gold`, `f1 = 2 · precision · recall / (precision + recall)`, 0 where a
//! denominator is 0. Micro sums the counts over types and is the headline; macro is the mean of the
//! types' scores, its F1 the mean of their F1.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::data::span::{Mode, spans};

/// The scores of one type, or of all together; all but `support` between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Part of the predicted entities that are right.
    pub precision: f64,
    /// Part of the gold entities that were found.
    pub recall: f64,
    /// Harmonic mean of the two (for macro, the mean of the types' F1).
    pub f1: f64,
    /// Number of gold entities.
    pub support: usize,
}

/// Entity scores of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EntityF1 {
    /// Every type with a gold or predicted entity, in the order of their names.
    ///
    /// In strict mode a type that occurs in illegal sequences only is not among them.
    pub per_type: BTreeMap<String, Scores>,
    /// Over all entities, whatever their type: the headline.
    pub micro: Scores,
    /// Mean over `per_type`, with the support of all; zeros if there is no type.
    pub macro_average: Scores,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    found: usize,
    predicted: usize,
    gold: usize,
}

/// Scores predicted BIO tags against gold ones, sentence by sentence.
///
/// # Shapes
///
/// - `gold`, `predicted`: the same number of sentences, each with the same number of tags
///
/// # Panics
///
/// If the shapes differ, or if a tag is none (as [`spans`]).
pub fn entity_f1<S: AsRef<str>>(gold: &[Vec<S>], predicted: &[Vec<S>], mode: Mode) -> EntityF1 {
    assert_eq!(gold.len(), predicted.len(), "number of gold and predicted sentences");
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for (idx, (gold, predicted)) in gold.iter().zip(predicted).enumerate() {
        assert_eq!(gold.len(), predicted.len(), "gold and predicted tags of sentence {idx}");
        let gold: HashSet<_> = spans(gold, mode).into_iter().collect();
        for span in spans(predicted, mode) {
            let found = usize::from(gold.contains(&span));
            let counts = counts.entry(span.entity_type).or_default();
            counts.predicted += 1;
            counts.found += found;
        }
        for span in gold {
            counts.entry(span.entity_type).or_default().gold += 1;
        }
    }
    summary(&counts)
}

fn summary(counts: &BTreeMap<String, Counts>) -> EntityF1 {
    let total = counts.values().fold(Counts::default(), |total, counts| Counts {
        found: total.found + counts.found,
        predicted: total.predicted + counts.predicted,
        gold: total.gold + counts.gold,
    });
    let per_type: BTreeMap<String, Scores> =
        counts.iter().map(|(entity_type, &counts)| (entity_type.clone(), scores(counts))).collect();
    let mean = |score: fn(&Scores) -> f64| {
        ratio(per_type.values().map(score).sum(), per_type.len() as f64)
    };
    let macro_average = Scores {
        precision: mean(|scores| scores.precision),
        recall: mean(|scores| scores.recall),
        f1: mean(|scores| scores.f1),
        support: total.gold,
    };
    EntityF1 { per_type, micro: scores(total), macro_average }
}

fn scores(counts: Counts) -> Scores {
    let precision = ratio(counts.found as f64, counts.predicted as f64);
    let recall = ratio(counts.found as f64, counts.gold as f64);
    let f1 = ratio(2.0 * precision * recall, precision + recall);
    Scores { precision, recall, f1, support: counts.gold }
}

fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences parted by `|`, tags by spaces.
    fn corpus(text: &str) -> Vec<Vec<&str>> {
        text.split('|').map(|sentence| sentence.split_whitespace().collect()).collect()
    }

    fn score(gold: &str, predicted: &str, mode: Mode) -> EntityF1 {
        entity_f1(&corpus(gold), &corpus(predicted), mode)
    }

    #[test]
    fn example_of_seqeval_s_documentation() {
        let gold = "O O O B-MISC I-MISC I-MISC O|B-PER I-PER O";
        let predicted = "O O B-MISC I-MISC I-MISC I-MISC O|B-PER I-PER O";
        for mode in [Mode::Default, Mode::Strict] {
            let report = score(gold, predicted, mode);
            let half = Scores { precision: 0.5, recall: 0.5, f1: 0.5, support: 2 };
            let one = Scores { precision: 1.0, recall: 1.0, f1: 1.0, support: 1 };
            assert_eq!((report.micro, report.macro_average), (half, half));
            assert_eq!(report.per_type["PER"], one);
            assert_eq!(report.per_type["MISC"], Scores { support: 1, ..Scores::default() });
        }
    }

    #[test]
    fn macro_f1_is_the_mean_of_f1() {
        let report = score("B-A B-A B-B O", "B-A O B-B B-B", Mode::Default);
        let mean = Scores { precision: 0.75, recall: 0.75, f1: 2.0 / 3.0, support: 3 };
        assert_eq!(report.macro_average, mean);
    }

    #[test]
    fn illegal_predictions_count_only_by_default() {
        let gold = "B-A I-A O B-A";
        let predicted = "I-A I-A O B-A";
        assert_eq!(score(gold, predicted, Mode::Default).micro.f1, 1.0);
        let strict = score(gold, predicted, Mode::Strict).micro;
        assert_eq!((strict.precision, strict.recall, strict.support), (1.0, 0.5, 2));
    }

    #[test]
    fn type_of_illegal_tags_alone_is_absent_in_strict_mode() {
        let types = |mode| score("B-A O", "B-A I-B", mode).per_type.into_keys().collect::<Vec<_>>();
        assert_eq!(types(Mode::Default), ["A", "B"]);
        assert_eq!(types(Mode::Strict), ["A"]);
    }

    #[test]
    fn spans_do_not_cross_sentences() {
        assert_eq!(score("B-A|I-A", "B-A|I-A", Mode::Default).micro.support, 2);
        assert_eq!(score("B-A|O", "O|B-A", Mode::Default).micro.f1, 0.0);
    }

    #[test]
    fn no_entity_gives_zeros() {
        for corpus in ["O O|O", "", "|"] {
            assert_eq!(score(corpus, corpus, Mode::Default), EntityF1::default());
        }
        assert_eq!(entity_f1::<&str>(&[], &[], Mode::Strict), EntityF1::default());
    }

    #[test]
    #[should_panic(expected = "gold and predicted tags of sentence 1")]
    fn different_lengths_panic() {
        score("O|O", "O|O O", Mode::Default);
    }

    #[test]
    fn json_round_trip() {
        let report = score("B-A B-B", "B-A O", Mode::Default);
        let json = serde_json::to_string(&report).expect("serialises");
        assert_eq!(serde_json::from_str::<EntityF1>(&json).expect("reads back"), report);
    }
}
