//! Entities with exact places in raw text.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::decode::{Aggregation, Decoding, ScoredLabel, SentencePrediction, decode};
use super::logits::for_each_logits;
use crate::checkpoint::bundle::Bundle;
use crate::data::batch::BatchBudget;
use crate::data::example::{Example, ExampleOptions, cut};
use crate::data::label::LabelSet;
use crate::data::span::{EntitySpan, Mode, spans};
use crate::data::tokenize::{Subwords, TokenizeError};

/// An entity in a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Such as `PER`; with [`Aggregation::None`] the label, such as `B-PER`.
    pub entity_type: String,
    /// First byte in the text.
    pub start_byte: usize,
    /// One past the last byte.
    pub end_byte: usize,
    /// Mean probability of its words' labels (of its sub-words' where words are not decided), 0 to 1.
    pub score: f32,
}

/// Which entities are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TagOptions {
    /// How labels are decided.
    pub decoding: Decoding,
    /// Entities with a lower score are left out, 0 to 1.
    pub threshold: f32,
}

/// Tags texts of any length: each is cut into windows where it is too long for the model, and the
/// windows of all texts are batched together.
///
/// # Errors
///
/// Only what the tokenizer itself refuses.
pub async fn tag(
    bundle: &Bundle,
    texts: &[String],
    options: TagOptions,
) -> Result<Vec<Vec<Entity>>, TokenizeError> {
    let prepared = PreparedTexts::new(bundle, texts)?;
    let mut logits = vec![Vec::new(); prepared.examples.len()];
    let budget = BatchBudget::Subwords(bundle.model.feed().subwords);
    let pad_token_id = bundle.config.pad_token_id;
    for_each_logits(&bundle.model, &prepared.examples, pad_token_id, budget, |example, values| {
        logits[example] = values.to_vec();
        true
    })
    .await;
    Ok(prepared
        .decide(&logits, &bundle.labels, options)
        .into_iter()
        .map(|text| text.entities)
        .collect())
}

/// Texts made into windows. Whoever wants to pause between windows, or to decide the same logits in
/// several ways, computes the logits of [`PreparedTexts::examples`] and hands them to
/// [`PreparedTexts::decide`]; [`tag`] does both in one.
#[derive(Clone, Debug)]
pub struct PreparedTexts {
    /// The windows of all texts, in order.
    pub examples: Vec<Example>,
    texts: Vec<PreparedText>,
}

/// Where one text's sub-words and words stand.
#[derive(Clone, Debug)]
pub struct PreparedText {
    /// Its sub-words, without special tokens.
    pub subwords: Subwords,
    /// Half-open byte range of each word.
    pub words: Vec<(usize, usize)>,
}

/// What was decided about one text.
#[derive(Clone, Debug)]
pub struct DecidedText {
    /// Its entities, in order.
    pub entities: Vec<Entity>,
    /// Every decided sub-word: all but the end of a word longer than its window.
    pub subwords: Vec<DecidedSubword>,
}

/// A sub-word and its label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecidedSubword {
    /// Half-open byte range in the text.
    pub place: (usize, usize),
    /// Index of its word.
    pub word: usize,
    /// Label id.
    pub label: usize,
}

impl PreparedTexts {
    /// Tokenises texts and cuts them where they are too long for the model.
    ///
    /// # Errors
    ///
    /// Only what the tokenizer itself refuses.
    pub fn new(bundle: &Bundle, texts: &[String]) -> Result<Self, TokenizeError> {
        let windows = ExampleOptions::for_model(bundle.config.max_position_embeddings);
        let mut prepared = Self { examples: Vec::new(), texts: Vec::with_capacity(texts.len()) };
        for (index, text) in texts.iter().enumerate() {
            let (subwords, words) = bundle.tokenizer.encode_text(text)?;
            if !words.is_empty() {
                let starts = sentence_starts(text, &words);
                let tokenizer = &bundle.tokenizer;
                let examples = cut(index, &subwords, words.len(), &starts, tokenizer, &windows);
                prepared.examples.extend(examples);
            }
            prepared.texts.push(PreparedText { subwords, words });
        }
        Ok(prepared)
    }

    /// The texts, in order.
    pub fn texts(&self) -> &[PreparedText] {
        &self.texts
    }

    /// Decides labels and entities from the logits of each example, `[len, num_labels]` row by row.
    pub fn decide(
        &self,
        logits: &[Vec<f32>],
        labels: &LabelSet,
        options: TagOptions,
    ) -> Vec<DecidedText> {
        let decoding = options.decoding;
        let sentences = decode(&self.examples, logits, labels, self.texts.len(), decoding);
        let decided = sentences.iter().zip(&self.texts).map(|(sentence, text)| {
            let by_subword = subword_places(sentence, &text.subwords);
            let mut entities = match decoding.aggregation {
                Aggregation::None => each_alone(&sentence.subwords, &by_subword, labels),
                Aggregation::Simple => joined(&sentence.subwords, &by_subword, labels),
                _ => joined(&sentence.words, &text.words, labels),
            };
            entities.retain(|entity| entity.score >= options.threshold);
            let places = by_subword.iter().zip(&sentence.subword_words);
            let subwords = places.zip(&sentence.subwords).map(|((place, word), scored)| {
                DecidedSubword { place: *place, word: *word, label: scored.label }
            });
            DecidedText { entities, subwords: subwords.collect() }
        });
        decided.collect()
    }
}

/// The words that begin a sentence, by the rules of Unicode (UAX 29, section 5).
fn sentence_starts(text: &str, words: &[(usize, usize)]) -> Vec<usize> {
    let begins = |(byte, _)| words.partition_point(|(start, _)| *start < byte);
    let mut starts: Vec<usize> = text.split_sentence_bound_indices().map(begins).collect();
    starts.dedup();
    starts
}

/// The place of each sub-word that was decided: all but the end of a word longer than its window.
fn subword_places(sentence: &SentencePrediction, subwords: &Subwords) -> Vec<(usize, usize)> {
    let mut next = 0;
    let place = |word: &usize| {
        let later = subwords.word_ids[next..].iter().position(|other| other == word);
        next += later.expect("a decided sub-word is one of the text's") + 1;
        subwords.offsets[next - 1]
    };
    sentence.subword_words.iter().map(place).collect()
}

/// Neighbours of one type are one entity.
fn joined(decided: &[ScoredLabel], places: &[(usize, usize)], labels: &LabelSet) -> Vec<Entity> {
    let tags: Vec<&str> = decided.iter().map(|scored| labels.name(scored.label)).collect();
    let entity = |span: EntitySpan| {
        let scores = decided[span.start..span.end].iter().map(|scored| scored.score);
        Entity {
            entity_type: span.entity_type,
            start_byte: places[span.start].0,
            end_byte: places[span.end - 1].1,
            score: scores.sum::<f32>() / (span.end - span.start) as f32,
        }
    };
    spans(&tags, Mode::Default).into_iter().map(entity).collect()
}

/// Everything that is not `O` stands for itself.
fn each_alone(
    decided: &[ScoredLabel],
    places: &[(usize, usize)],
    labels: &LabelSet,
) -> Vec<Entity> {
    let placed = decided.iter().zip(places);
    let entities = placed.filter(|(scored, _)| labels.tag(scored.label).entity_type().is_some());
    entities
        .map(|(scored, (start_byte, end_byte))| Entity {
            entity_type: labels.name(scored.label).to_owned(),
            start_byte: *start_byte,
            end_byte: *end_byte,
            score: scored.score,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_begin_at_words() {
        let text = "Ada left.  Bob (of U.S.A. fame) stayed\n\n\u{1f600} Why? 東京。大阪 ";
        let mut words = Vec::new();
        for word in ["Ada", "left", ".", "Bob", "(", "stayed", "Why", "?", "東", "京", "。", "大"]
        {
            let start = words.last().map_or(0, |(_, end)| *end);
            let start = start + text[start..].find(word).expect("a word of the text");
            words.push((start, start + word.len()));
        }
        let starts = sentence_starts(text, &words);
        assert_eq!(starts, [0, 3, 6, 8, 11]);
        assert_eq!(sentence_starts("", &[]), [0; 0]);
    }
}
