//! Labels from logits: for every counted sub-word and for every word, the most likely one each, or the
//! most likely legal sequence.
//!
//! A word's distribution is that of its first sub-word, the mean of its sub-words' distributions, or
//! that of its surest sub-word: the strategies `first`, `average` and `max` of Hugging Face's pipeline
//! (<https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/pipelines/token_classification.py>,
//! `aggregate_word`).
//!
//! The legal sequence is found by Viterbi's algorithm (1967, doi:10.1109/TIT.1967.1054010) over
//! log-probabilities, with every transition free but `I-X` after anything other than `B-X` and `I-X`,
//! and at the start; where there is no `B-X`, `I-X` may begin an entity.

use serde::{Deserialize, Serialize};

use crate::data::example::Example;
use crate::data::label::{LabelSet, Tag};

/// How the labels of sub-words become entities, as Hugging Face's `aggregation_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Not at all: every sub-word that is not `O` stands for itself.
    None,
    /// Neighbouring sub-words of one type are an entity, whatever the words.
    Simple,
    /// A word is what its first sub-word is.
    #[default]
    First,
    /// A word is what its sub-words are on average.
    Average,
    /// A word is what its surest sub-word is.
    Max,
}

impl Aggregation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Simple, Self::First, Self::Average, Self::Max];

    /// Whether labels are decided word by word.
    pub fn is_by_word(self) -> bool {
        !matches!(self, Self::None | Self::Simple)
    }

    /// Hugging Face's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Simple => "simple",
            Self::First => "first",
            Self::Average => "average",
            Self::Max => "max",
        }
    }
}

/// How labels are decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decoding {
    /// What a word's distribution is.
    pub aggregation: Aggregation,
    /// Whether only legal BIO sequences are taken.
    pub constrained: bool,
}

/// A label and how sure the model is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredLabel {
    /// Label id.
    pub label: usize,
    /// Its probability, 0 to 1.
    pub score: f32,
}

/// One sentence's predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentencePrediction {
    /// For each word its label.
    pub words: Vec<ScoredLabel>,
    /// For each counted sub-word its label.
    pub subwords: Vec<ScoredLabel>,
    /// The word that each counted sub-word belongs to.
    pub subword_words: Vec<usize>,
    /// The known label of each counted sub-word, [`crate::data::IGNORE_INDEX`] where there is none.
    pub subword_gold: Vec<i32>,
}

/// The distributions of one sentence, as its windows give them.
#[derive(Default)]
struct Distributions {
    /// `[sub-words, num_labels]`, row by row.
    subwords: Vec<f32>,
    /// First sub-word of each word.
    starts: Vec<usize>,
    /// Word of each sub-word.
    words: Vec<usize>,
    gold: Vec<i32>,
}

/// Puts the windows of `num_sentences` sentences together again and decides their labels.
///
/// `logits[i]` belongs to `examples[i]`, `[len, num_labels]` row by row; the windows of a sentence
/// stand in the order of its words.
pub fn decode(
    examples: &[Example],
    logits: &[Vec<f32>],
    labels: &LabelSet,
    num_sentences: usize,
    decoding: Decoding,
) -> Vec<SentencePrediction> {
    let num_labels = labels.len();
    let mut sentences: Vec<Distributions> = Vec::new();
    sentences.resize_with(num_sentences, Distributions::default);
    for (example, logits) in examples.iter().zip(logits) {
        let sentence = &mut sentences[example.sentence];
        for (position, row) in logits.chunks_exact(num_labels).enumerate() {
            let Some(word) = example.word_ids[position].filter(|_| example.counted[position])
            else {
                continue;
            };
            if word == sentence.starts.len() {
                sentence.starts.push(sentence.gold.len());
            }
            sentence.subwords.extend(softmax(row));
            sentence.words.push(word);
            sentence.gold.push(example.label_ids[position]);
        }
    }
    let transitions = decoding.constrained.then(|| Transitions::new(labels));
    let decide = |rows: &[f32]| match &transitions {
        Some(transitions) => transitions.best_sequence(rows),
        None => rows.chunks_exact(num_labels).map(most_likely).collect(),
    };
    let predict = |sentence: Distributions| SentencePrediction {
        words: decide(&sentence.of_words(num_labels, decoding.aggregation)),
        subwords: decide(&sentence.subwords),
        subword_words: sentence.words,
        subword_gold: sentence.gold,
    };
    sentences.into_iter().map(predict).collect()
}

impl Distributions {
    /// The distribution of each word, `[words, num_labels]` row by row.
    fn of_words(&self, num_labels: usize, aggregation: Aggregation) -> Vec<f32> {
        let ends = self.starts.iter().skip(1).copied().chain([self.gold.len()]);
        let mut words = Vec::with_capacity(self.starts.len() * num_labels);
        for (start, end) in self.starts.iter().copied().zip(ends) {
            let mut rows =
                self.subwords[start * num_labels..end * num_labels].chunks_exact(num_labels);
            match aggregation {
                Aggregation::Average => {
                    let share = 1.0 / (end - start) as f32;
                    let mean =
                        |label: usize| rows.clone().map(|row| row[label]).sum::<f32>() * share;
                    words.extend((0..num_labels).map(mean));
                }
                Aggregation::Max => {
                    let first = rows.next().expect("a word has a sub-word");
                    let surer = |best, row| {
                        if most_likely(row).score > most_likely(best).score { row } else { best }
                    };
                    words.extend_from_slice(rows.fold(first, surer));
                }
                Aggregation::None | Aggregation::Simple | Aggregation::First => {
                    words.extend_from_slice(rows.next().expect("a word has a sub-word"));
                }
            }
        }
        words
    }
}

/// The distribution that a row of logits stands for.
pub fn softmax(logits: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    logits.iter().map(move |logit| (logit - largest).exp() / sum)
}

/// The most likely label of a distribution, or the one with the largest logit; the first one in a tie.
pub fn most_likely(distribution: &[f32]) -> ScoredLabel {
    let mut best = 0;
    for (label, probability) in distribution.iter().enumerate() {
        if *probability > distribution[best] {
            best = label;
        }
    }
    ScoredLabel { label: best, score: distribution[best] }
}

/// Which label may follow which.
struct Transitions {
    num_labels: usize,
    /// Before each label, the labels that may stand there.
    before: Vec<Vec<usize>>,
    /// Whether a sentence may begin with each label.
    first: Vec<bool>,
}

impl Transitions {
    fn new(labels: &LabelSet) -> Self {
        let num_labels = labels.len();
        let is_free: Vec<bool> = (0..num_labels)
            .map(|label| labels.tag(label) == Tag::Outside || labels.may_begin(label))
            .collect();
        let may_follow = |label: usize, before: usize| {
            is_free[label] || labels.tag(before).entity_type() == labels.tag(label).entity_type()
        };
        let before = |label: usize| {
            (0..num_labels).filter(|before| may_follow(label, *before)).collect::<Vec<_>>()
        };
        Self { num_labels, before: (0..num_labels).map(before).collect(), first: is_free }
    }

    /// The legal sequence with the largest product of probabilities, of the lowest ids in a tie.
    fn best_sequence(&self, distributions: &[f32]) -> Vec<ScoredLabel> {
        let log = |probability: f32| f64::from(probability.max(f32::MIN_POSITIVE)).ln();
        let mut scores: Vec<f64> = Vec::new();
        let mut steps: Vec<Vec<usize>> = Vec::new();
        for row in distributions.chunks_exact(self.num_labels) {
            if scores.is_empty() {
                let start = |(label, probability): (usize, &f32)| match self.first[label] {
                    true => log(*probability),
                    false => f64::NEG_INFINITY,
                };
                scores = row.iter().enumerate().map(start).collect();
                continue;
            }
            let best_before = |before: &Vec<usize>| {
                let better = |best: usize, label: &usize| {
                    if scores[*label] > scores[best] { *label } else { best }
                };
                before.iter().fold(before[0], better)
            };
            let from: Vec<usize> = self.before.iter().map(best_before).collect();
            scores = from.iter().zip(row).map(|(from, p)| scores[*from] + log(*p)).collect();
            steps.push(from);
        }
        let better =
            |best: usize, label: usize| if scores[label] > scores[best] { label } else { best };
        let Some(last) = (0..scores.len()).reduce(better) else { return vec![] };
        let mut sequence = vec![last];
        for from in steps.iter().rev() {
            sequence.push(from[sequence[sequence.len() - 1]]);
        }
        let rows = distributions.chunks_exact(self.num_labels);
        let labelled = sequence.into_iter().rev().zip(rows);
        labelled.map(|(label, row)| ScoredLabel { label, score: row[label] }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels() -> LabelSet {
        let names = ["O", "B-A", "I-A", "B-B", "I-B"];
        LabelSet::new(names.map(str::to_owned).to_vec()).expect("BIO")
    }

    fn ids(scored: &[ScoredLabel]) -> Vec<usize> {
        scored.iter().map(|scored| scored.label).collect()
    }

    fn window(word_ids: &[Option<usize>], counted: &[bool]) -> Example {
        Example {
            sentence: 0,
            input_ids: vec![0; word_ids.len()],
            word_ids: word_ids.to_vec(),
            counted: counted.to_vec(),
            label_ids: vec![1; word_ids.len()],
        }
    }

    /// Logits of which the softmax is `probabilities`.
    fn logits(probabilities: &[[f32; 5]]) -> Vec<f32> {
        probabilities.concat().iter().map(|probability| probability.ln()).collect()
    }

    const SURE: [[f32; 5]; 3] = [
        [0.96, 0.01, 0.01, 0.01, 0.01],
        [0.01, 0.96, 0.01, 0.01, 0.01],
        [0.01, 0.01, 0.96, 0.01, 0.01],
    ];

    #[test]
    fn a_word_takes_its_first_subword_and_windows_join() {
        let examples = [
            window(&[None, Some(0), Some(0), Some(1), None], &[false, true, true, false, false]),
            window(&[None, Some(0), Some(1), None], &[false, false, true, false]),
        ];
        let [o, b, i] = SURE;
        let rows = [logits(&[o, b, i, o, o]), logits(&[i, o, b, b])];
        let sentences = decode(&examples, &rows, &labels(), 1, Decoding::default());
        assert_eq!(ids(&sentences[0].words), [1, 1]);
        assert_eq!(ids(&sentences[0].subwords), [1, 2, 1]);
        assert_eq!(sentences[0].subword_gold, [1, 1, 1]);
        assert_eq!(sentences[0].subword_words, [0, 0, 1]);
        assert!((sentences[0].words[0].score - 0.96).abs() < 1e-6);
    }

    #[test]
    fn words_are_averaged_or_take_their_surest_subword() {
        let example =
            window(&[None, Some(0), Some(0), Some(0), None], &[false, true, true, true, false]);
        let rows = [
            SURE[0],
            [0.50, 0.40, 0.04, 0.03, 0.03],
            [0.02, 0.45, 0.03, 0.05, 0.45],
            [0.02, 0.05, 0.03, 0.30, 0.60],
            SURE[0],
        ];
        let word = |aggregation| {
            let decoding = Decoding { aggregation, constrained: false };
            decode(std::slice::from_ref(&example), &[logits(&rows)], &labels(), 1, decoding)[0]
                .words[0]
        };
        let check = |aggregation, label: usize, score: f32| {
            let word = word(aggregation);
            assert_eq!(word.label, label, "{aggregation:?}");
            assert!((word.score - score).abs() < 1e-6, "{aggregation:?}: {}", word.score);
        };
        check(Aggregation::First, 0, 0.5);
        check(Aggregation::Average, 4, 0.36);
        check(Aggregation::Max, 4, 0.6);
    }

    #[test]
    fn constrained_decoding_repairs_an_inside_without_begin() {
        // Alone the second word would be I-A; after O only B-A is legal, and B-A is likelier than
        // making the first word an entity.
        let rows = [[0.90, 0.04, 0.02, 0.02, 0.02], [0.05, 0.40, 0.50, 0.03, 0.02]];
        let free = rows.concat().chunks_exact(5).map(most_likely).collect::<Vec<_>>();
        assert_eq!(ids(&free), [0, 2]);
        let legal = Transitions::new(&labels()).best_sequence(&rows.concat());
        assert_eq!(ids(&legal), [0, 1]);
        assert!((legal[1].score - 0.4).abs() < 1e-6);
    }

    #[test]
    fn inside_may_begin_where_there_is_no_begin() {
        let names = ["O", "I-A", "B-B", "I-B"].map(str::to_owned);
        let labels = LabelSet::new(names.to_vec()).expect("a label set");
        let rows = [0.1, 0.8, 0.05, 0.05, 0.1, 0.05, 0.05, 0.8_f32];
        assert_eq!(ids(&Transitions::new(&labels).best_sequence(&rows)), [1, 0]);
    }

    #[test]
    fn a_sentence_never_begins_inside() {
        let legal = Transitions::new(&labels()).best_sequence(&SURE[2]);
        assert_ne!(ids(&legal), [2]);
        assert!(Transitions::new(&labels()).best_sequence(&[]).is_empty());
    }

    /// All sequences of a length, by counting.
    fn brute_force(rows: &[f32], labels: &LabelSet) -> f64 {
        let (len, num_labels) = (rows.len() / labels.len(), labels.len());
        let is_legal = |sequence: &[usize]| {
            sequence.iter().enumerate().all(|(place, label)| match labels.tag(*label) {
                Tag::Inside(entity_type) => {
                    place > 0 && labels.tag(sequence[place - 1]).entity_type() == Some(entity_type)
                }
                _ => true,
            })
        };
        let sequences = (0..num_labels.pow(len as u32)).map(|number| {
            (0..len)
                .map(|place| number / num_labels.pow(place as u32) % num_labels)
                .collect::<Vec<_>>()
        });
        sequences
            .filter(|sequence| is_legal(sequence))
            .map(|sequence| log_score(rows, &sequence, num_labels))
            .fold(f64::NEG_INFINITY, f64::max)
    }

    fn log_score(rows: &[f32], sequence: &[usize], num_labels: usize) -> f64 {
        let rows = rows.chunks_exact(num_labels).zip(sequence);
        rows.map(|(row, label)| f64::from(row[*label].max(f32::MIN_POSITIVE)).ln()).sum()
    }

    proptest! {
        #[test]
        fn the_best_legal_sequence_is_found(
            logits in prop::collection::vec(-6.0f32..6.0, 5..26)
        ) {
            let len = logits.len() / 5 * 5;
            let rows: Vec<f32> = logits[..len].chunks_exact(5).flat_map(softmax).collect();
            let labels = labels();
            let found = ids(&Transitions::new(&labels).best_sequence(&rows));
            prop_assert_eq!(found.len(), len / 5);
            let score = log_score(&rows, &found, 5);
            prop_assert!((score - brute_force(&rows, &labels)).abs() < 1e-9);
        }
    }
}
