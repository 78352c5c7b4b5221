//! Entities with exact places in raw text.

use serde::{Deserialize, Serialize};

use super::decode::{ScoredLabel, decode};
use super::logits::for_each_logits;
use crate::checkpoint::bundle::Bundle;
use crate::data::batch::BatchBudget;
use crate::data::example::{ExampleOptions, cut};
use crate::data::span::{Mode, spans};
use crate::data::tokenize::TokenizeError;

/// An entity in a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Such as `PER`.
    pub entity_type: String,
    /// First byte in the text.
    pub start_byte: usize,
    /// One past the last byte.
    pub end_byte: usize,
    /// Mean probability of its words' labels, 0 to 1.
    pub score: f32,
}

/// Tags texts of any length: each is cut into windows where it is too long for the model, and the
/// windows of all texts are batched together.
///
/// # Errors
///
/// Only what the tokenizer itself refuses.
pub async fn tag(bundle: &Bundle, texts: &[String]) -> Result<Vec<Vec<Entity>>, TokenizeError> {
    let max_length = bundle.config.max_position_embeddings.min(256);
    let options = ExampleOptions { max_length, context: max_length / 8, ..Default::default() };
    let mut examples = Vec::new();
    let mut words = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let (subwords, ranges) = bundle.tokenizer.encode_text(text)?;
        if !ranges.is_empty() {
            examples.extend(cut(index, &subwords, ranges.len(), &bundle.tokenizer, &options));
        }
        words.push(ranges);
    }
    let mut logits = vec![Vec::new(); examples.len()];
    let budget = BatchBudget::Subwords(2048);
    let pad_token_id = bundle.config.pad_token_id;
    for_each_logits(&bundle.model, &examples, pad_token_id, budget, |example, values| {
        logits[example] = values.to_vec();
        true
    })
    .await;
    let sentences = decode(&examples, &logits, bundle.labels.len(), texts.len());
    let tagged = sentences.iter().zip(&words);
    Ok(tagged.map(|(sentence, words)| entities(&sentence.words, words, bundle)).collect())
}

fn entities(labels: &[ScoredLabel], words: &[(usize, usize)], bundle: &Bundle) -> Vec<Entity> {
    let tags: Vec<&str> = labels.iter().map(|scored| bundle.labels.name(scored.label)).collect();
    spans(&tags, Mode::Default)
        .into_iter()
        .map(|span| {
            let scores = labels[span.start..span.end].iter().map(|scored| scored.score);
            Entity {
                entity_type: span.entity_type,
                start_byte: words[span.start].0,
                end_byte: words[span.end - 1].1,
                score: scores.sum::<f32>() / (span.end - span.start) as f32,
            }
        })
        .collect()
}
