//! Entities with exact places in raw text.

use serde::{Deserialize, Serialize};

use super::decode::{Aggregation, Decoding, ScoredLabel, SentencePrediction, decode};
use super::logits::for_each_logits;
use crate::checkpoint::bundle::Bundle;
use crate::data::batch::BatchBudget;
use crate::data::example::{ExampleOptions, cut};
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
    let max_length = bundle.config.max_position_embeddings.min(256);
    let windows = ExampleOptions { max_length, context: max_length / 8, ..Default::default() };
    let aggregation = options.decoding.aggregation;
    let mut examples = Vec::new();
    let mut places = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let (subwords, words) = bundle.tokenizer.encode_text(text)?;
        if !words.is_empty() {
            examples.extend(cut(index, &subwords, words.len(), &bundle.tokenizer, &windows));
        }
        places.push((subwords, words));
    }
    let mut logits = vec![Vec::new(); examples.len()];
    let budget = BatchBudget::Subwords(2048);
    let pad_token_id = bundle.config.pad_token_id;
    for_each_logits(&bundle.model, &examples, pad_token_id, budget, |example, values| {
        logits[example] = values.to_vec();
        true
    })
    .await;
    let labels = &bundle.labels;
    let sentences = decode(&examples, &logits, labels, texts.len(), options.decoding);
    let tagged = sentences.iter().zip(&places).map(|(sentence, (subwords, words))| {
        let by_subword = || subword_places(sentence, subwords);
        let mut entities = match aggregation {
            Aggregation::None => each_alone(&sentence.subwords, &by_subword(), labels),
            Aggregation::Simple => joined(&sentence.subwords, &by_subword(), labels),
            _ => joined(&sentence.words, words, labels),
        };
        entities.retain(|entity| entity.score >= options.threshold);
        entities
    });
    Ok(tagged.collect())
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
