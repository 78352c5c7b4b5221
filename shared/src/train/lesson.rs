//! Lessons: texts with all their entities, from which a tagger that is in use goes on learning, and the
//! settings of such a short run.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use unicode_segmentation::UnicodeSegmentation;

use super::adamw::AdamWConfig;
use super::config::TrainConfig;
use super::scope::Scope;
use crate::data::IGNORE_INDEX;
use crate::data::align::{Continuation, align};
use crate::data::batch::BatchBudget;
use crate::data::example::{Example, ExampleOptions, cut};
use crate::data::label::LabelSet;
use crate::data::tokenize::{SubwordTokenizer, TokenizeError};
use crate::infer::chunk::ChunkError;
use crate::loss::objective::{Combination, Objective, SoftReduction};

/// A text and all its entities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Raw text.
    pub text: String,
    /// Its entities, in any order.
    pub spans: Vec<LessonSpan>,
}

/// An entity of a text, half-open bytes; a word that it touches belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LessonSpan {
    /// Such as `PER`.
    pub entity_type: String,
    /// First byte in the text.
    pub start_byte: usize,
    /// One past the last byte.
    pub end_byte: usize,
}

/// How a tagger learns from lessons, or from a teacher's labels of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonSettings {
    /// What is trained.
    pub scope: Scope,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Sentences of a step.
    pub batch_size: usize,
    /// Share of them that rehearse what the tagger knew, 0 up to but not including 1.
    pub rehearsal: f64,
    /// Softens distributions in the soft loss.
    pub temperature: f64,
    /// Share of the soft loss, 0 to 1.
    pub alpha: f64,
    /// Seed of batches, and of LoRA's first values.
    pub seed: u64,
}

/// Found on the student that ships, one corrected sentence at a time (docs/BENCHMARKS.md): of the settings
/// that learned all of them these kept most of what it knew. Most of a batch and of the loss is rehearsal,
/// softened so that small probabilities count; a few labels are learned quickly all the same.
impl Default for LessonSettings {
    fn default() -> Self {
        Self {
            scope: Scope::Last(1),
            learning_rate: 3e-4,
            steps: 50,
            batch_size: 16,
            rehearsal: 0.75,
            temperature: 4.0,
            alpha: 0.95,
            seed: 1,
        }
    }
}

/// What can be wrong with a lesson or with settings.
#[derive(Debug, Error)]
pub enum LessonError {
    /// A span that is none of the text.
    #[error(
        "lesson {lesson}: `{entity_type}` at bytes {start}..{end}; expected a part of the text, whole \
         characters, not empty and not overlapping another"
    )]
    Span {
        /// Counted from 1.
        lesson: usize,
        /// Its type.
        entity_type: String,
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// A type that the model does not have.
    #[error("lesson {lesson}: type `{entity_type}`; expected one of {expected}")]
    Type {
        /// Counted from 1.
        lesson: usize,
        /// The type.
        entity_type: String,
        /// The model's types, separated by commas.
        expected: String,
    },
    /// A setting out of its range.
    #[error("{setting} is {found}; expected {expected}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// Its value.
        found: f64,
        /// Its range.
        expected: &'static str,
    },
    /// Nothing to learn from.
    #[error("there is nothing to learn from; expected a lesson, or a text and a teacher")]
    Empty,
    /// A teacher's logits that are not of this text.
    #[error("the kept labels of the teacher: {0}")]
    Taught(ChunkError),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
}

impl LessonSettings {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first one that is out of its range.
    pub fn check(&self) -> Result<(), LessonError> {
        let rules = [
            ("learning rate", self.learning_rate, 0.0..=1.0, "a number above 0, 1 at most"),
            ("steps", self.steps as f64, 1.0..=100_000.0, "1 to 100000"),
            ("batch size", self.batch_size as f64, 1.0..=256.0, "1 to 256"),
            ("rehearsal", self.rehearsal, 0.0..=0.99, "a share from 0 to 0.99"),
            ("temperature", self.temperature, 0.1..=100.0, "0.1 to 100"),
            ("alpha", self.alpha, 0.0..=1.0, "a share from 0 to 1"),
        ];
        for (setting, found, range, expected) in rules {
            let is_zero_rate = setting == "learning rate" && found == 0.0;
            if !range.contains(&found) || is_zero_rate {
                return Err(LessonError::Setting { setting, found, expected });
            }
        }
        Ok(())
    }

    /// The settings of the loop: as many steps as are asked for, one epoch.
    pub fn train_config(&self) -> TrainConfig {
        TrainConfig {
            epochs: 1,
            batch: BatchBudget::Sentences(self.batch_size),
            gradient_accumulation: 1,
            learning_rate: self.learning_rate,
            warmup_steps: self.steps / 10,
            max_gradient_norm: Some(1.0),
            optimizer: AdamWConfig::default(),
            objective: Objective {
                combination: Combination::Weighted { alpha: self.alpha },
                temperature: self.temperature,
                soft_reduction: SoftReduction::CountedMean,
                ..Objective::hard()
            },
            text_ratio: None,
            token_dropout: 0.0,
            evaluate_every: None,
            patience: None,
            log_every: 1,
            seed: self.seed,
        }
    }
}

/// Windows of a lesson, and the tag of each of its words.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledText {
    /// Its windows; every sub-word is counted in one of them.
    pub examples: Vec<Example>,
    /// For each word its tag, as the model's labels name it.
    pub tags: Vec<String>,
}

/// Lessons as examples of sentence 0, 1, …; a blank one gives none. Words are the tokenizer's own, as
/// when a text is tagged.
///
/// # Errors
///
/// A span or a type that does not fit.
pub fn labelled_texts(
    lessons: &[Lesson],
    tokenizer: &SubwordTokenizer,
    labels: &LabelSet,
    options: &ExampleOptions,
) -> Result<Vec<LabelledText>, LessonError> {
    let mut texts = Vec::with_capacity(lessons.len());
    for (index, lesson) in lessons.iter().enumerate() {
        let (subwords, words) = tokenizer.encode_text(&lesson.text)?;
        let word_labels = word_labels(index, lesson, &words, labels)?;
        if words.is_empty() {
            continue;
        }
        let mut examples = cut(texts.len(), &subwords, words.len(), &[], tokenizer, options);
        for example in &mut examples {
            let aligned = align(&example.word_ids, &word_labels, labels, Continuation::Inside);
            let counted = aligned.into_iter().zip(&example.counted);
            example.label_ids = counted
                .map(|(label, counted)| if *counted { label } else { IGNORE_INDEX })
                .collect();
        }
        let tags = word_labels.iter().map(|label| labels.name(*label).to_owned()).collect();
        texts.push(LabelledText { examples, tags });
    }
    Ok(texts)
}

/// The label of each word: `B-X` for the first that a span touches, `I-X` for the others.
fn word_labels(
    index: usize,
    lesson: &Lesson,
    words: &[(usize, usize)],
    labels: &LabelSet,
) -> Result<Vec<usize>, LessonError> {
    let mut word_labels = vec![None; words.len()];
    for LessonSpan { entity_type, start_byte, end_byte } in &lesson.spans {
        let (start, end) = (*start_byte, *end_byte);
        let wrong_span = || LessonError::Span {
            lesson: index + 1,
            entity_type: entity_type.clone(),
            start,
            end,
        };
        let wrong_type = || LessonError::Type {
            lesson: index + 1,
            entity_type: entity_type.clone(),
            expected: labels.entity_types().join(", "),
        };
        if lesson.text.get(start..end).is_none_or(|part| part.trim().is_empty()) {
            return Err(wrong_span());
        }
        let mut prefix = "B";
        for (label, _) in word_labels
            .iter_mut()
            .zip(words)
            .filter(|(_, (first, last))| *first < end && *last > start)
        {
            let id = labels.nearest(&format!("{prefix}-{entity_type}")).ok_or_else(wrong_type)?;
            if label.replace(id).is_some() {
                return Err(wrong_span());
            }
            prefix = "I";
        }
    }
    let outside = labels.id("O").expect("every label set has it");
    Ok(word_labels.into_iter().map(|label| label.unwrap_or(outside)).collect())
}

/// The sentences of a text: its lines, and in them the sentences by Unicode's rules (UAX 29, section 5).
pub fn sentences(text: &str) -> Vec<String> {
    let lines = text.lines().flat_map(UnicodeSegmentation::split_sentence_bounds);
    let trimmed = lines.map(str::trim).filter(|sentence| !sentence.is_empty());
    trimmed.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenize::tests::small_tokenizer;

    fn lesson(text: &str, spans: &[(&str, usize, usize)]) -> Lesson {
        let span = |(entity_type, start_byte, end_byte): &(&str, usize, usize)| LessonSpan {
            entity_type: (*entity_type).to_owned(),
            start_byte: *start_byte,
            end_byte: *end_byte,
        };
        Lesson { text: text.to_owned(), spans: spans.iter().map(span).collect() }
    }

    fn texts(lessons: &[Lesson]) -> Result<Vec<LabelledText>, LessonError> {
        let options = ExampleOptions::default();
        labelled_texts(lessons, &small_tokenizer(), &LabelSet::conll2003(), &options)
    }

    #[test]
    fn words_that_a_span_touches_are_labelled() {
        let lessons =
            [lesson("Ada lives in Berne.", &[("LOC", 13, 18), ("PER", 0, 2)]), lesson("  ", &[])];
        let texts = texts(&lessons).expect("fitting spans");
        assert_eq!(texts.len(), 1);
        assert_eq!(texts[0].tags, ["B-PER", "O", "O", "B-LOC", "O"]);
        let example = &texts[0].examples[0];
        assert_eq!(example.label_ids, [-100, 1, 2, 0, 0, 5, 6, 0, -100]);
        assert_eq!(example.counted.iter().filter(|counted| **counted).count(), 7);
    }

    #[test]
    fn neighbours_of_one_type_stay_two_entities() {
        let lessons = [lesson("Ada Bern lives", &[("PER", 0, 3), ("PER", 4, 8)])];
        assert_eq!(texts(&lessons).expect("fitting")[0].tags, ["B-PER", "B-PER", "O"]);
        let lessons = [lesson("Ada Bern lives", &[("PER", 0, 8)])];
        assert_eq!(texts(&lessons).expect("fitting")[0].tags, ["B-PER", "I-PER", "O"]);
    }

    #[test]
    fn spans_that_do_not_fit_are_named() {
        for (spans, message) in [
            (&[("PER", 3, 3)][..], "lesson 1: `PER` at bytes 3..3; expected a part"),
            (&[("PER", 0, 99)], "bytes 0..99"),
            (&[("PER", 5, 4)], "bytes 5..4"),
            (&[("PER", 0, 1)], "bytes 0..1"),
            (&[("PER", 0, 5), ("LOC", 3, 6)], "bytes 3..6"),
            (&[("CITY", 0, 5)], "type `CITY`; expected one of PER, ORG, LOC, MISC"),
        ] {
            let error = texts(&[lesson("éda lives", spans)]).expect_err("wrong").to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        LessonSettings::default().check().expect("the defaults");
        let check = |change: fn(&mut LessonSettings), message: &str| {
            let mut settings = LessonSettings::default();
            change(&mut settings);
            let error = settings.check().expect_err("out of range").to_string();
            assert!(error.starts_with(message), "{error}");
        };
        check(|settings| settings.learning_rate = 0.0, "learning rate is 0; expected a number");
        check(|settings| settings.learning_rate = f64::NAN, "learning rate is NaN");
        check(|settings| settings.steps = 0, "steps is 0; expected 1 to");
        check(|settings| settings.batch_size = 257, "batch size is 257");
        check(|settings| settings.rehearsal = 1.0, "rehearsal is 1;");
        check(|settings| settings.temperature = 0.0, "temperature is 0;");
        check(|settings| settings.alpha = -0.1, "alpha is -0.1;");
    }

    #[test]
    fn a_text_becomes_sentences() {
        let text = " Ada left. Bob stayed!\r\n\n A heading \nWhy? ";
        let want = ["Ada left.", "Bob stayed!", "A heading", "Why?"];
        assert_eq!(sentences(text), want);
        assert!(sentences(" \n").is_empty());
    }
}
