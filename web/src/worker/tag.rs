//! From a text or a labelled file to what the page shows.

use std::rc::Rc;

use understudy_shared::data::conll::read_conll;
use understudy_shared::data::example::{Example, ExampleOptions, labelled_examples};
use understudy_shared::infer::decode::{Aggregation, Decoding, decode};
use understudy_shared::infer::tagger::{DecidedText, PreparedTexts, TagOptions};
use understudy_shared::metric::entity_f1::Scores;
use understudy_shared::train::evaluate::score as score_sentences;
use web::position::places;
use web::protocol::{Answer, Entity, MOST_TOKENS, Options, Role, ScoreRow, Scored, Tagged, Token};

use super::model::Model;
use super::work::{Computed, logits};
use super::{Stop, Task, scope};

/// Tags one text.
///
/// # Errors
///
/// Options that name nothing, what the tokenizer refuses, or a cancelled request.
pub async fn tag(
    task: Task,
    model: &Model,
    role: Role,
    text: String,
    options: &Options,
) -> Result<Answer, Stop> {
    let decoding = decoding(options)?;
    let known = model.last.borrow().clone().filter(|last| last.text == text);
    let computed = known.is_none();
    let known = match known {
        Some(known) => known,
        None => Rc::new(compute(task, model, text).await?),
    };
    *model.last.borrow_mut() = Some(known.clone());
    let start = scope::now();
    let tag_options = TagOptions { decoding, threshold: options.threshold };
    let labels = &model.bundle.labels;
    let decided = known.prepared.decide(&known.logits, labels, tag_options).remove(0);
    let tagged = Tagged {
        role,
        entities: entities(&known.text, &decided),
        tokens: tokens(&known, &decided, labels.len()),
        words: known.prepared.texts()[0].words.clone(),
        subwords: known.prepared.texts()[0].subwords.ids.len(),
        millis: known.millis + scope::now() - start,
        computed,
        memory_bytes: scope::memory_bytes(),
    };
    Ok(Answer::Tagged(Box::new(tagged)))
}

async fn compute(task: Task, model: &Model, text: String) -> Result<Computed, Stop> {
    task.pause().await?;
    let start = scope::now();
    let texts = std::slice::from_ref(&text);
    let prepared = PreparedTexts::new(&model.bundle, texts).map_err(Stop::failed)?;
    let tokenized = scope::now() - start;
    let (logits, millis) = logits(task, model, &prepared.examples).await?;
    Ok(Computed { text, prepared, logits, millis: tokenized + millis })
}

fn decoding(options: &Options) -> Result<Decoding, Stop> {
    let named = |aggregation: &Aggregation| aggregation.name() == options.aggregation;
    let aggregation = Aggregation::ALL.into_iter().find(named).ok_or_else(|| {
        Stop::failed(format!(
            "aggregation `{}`: expected none, simple, first, average or max",
            options.aggregation
        ))
    })?;
    Ok(Decoding { aggregation, constrained: options.constrained })
}

fn entities(text: &str, decided: &DecidedText) -> Vec<Entity> {
    let ranges: Vec<_> =
        decided.entities.iter().map(|entity| (entity.start_byte, entity.end_byte)).collect();
    let placed = decided.entities.iter().zip(places(text, &ranges));
    placed
        .map(|(entity, place)| Entity {
            entity_type: entity.entity_type.clone(),
            place,
            score: entity.score,
        })
        .collect()
}

/// The first sub-words with their logits, which stand in the windows in the order of the text.
fn tokens(computed: &Computed, decided: &DecidedText, num_labels: usize) -> Vec<Token> {
    let windows = computed.prepared.examples.iter().zip(&computed.logits);
    let counted = windows.flat_map(|(example, logits)| {
        let rows = logits.chunks_exact(num_labels).zip(&example.counted);
        rows.filter(|(_, counted)| **counted).map(|(row, _)| row)
    });
    let subwords = decided.subwords.iter().zip(counted).take(MOST_TOKENS);
    subwords
        .map(|(subword, logits)| Token {
            start_byte: subword.place.0,
            end_byte: subword.place.1,
            word: subword.word,
            label: subword.label,
            logits: logits.to_vec(),
        })
        .collect()
}

/// Tags a labelled file and scores it over words, as the command line's `evaluate` does.
///
/// # Errors
///
/// A file in another format, tags that the model does not have, or a cancelled request.
pub async fn score(
    task: Task,
    model: &Model,
    role: Role,
    file: &str,
    options: &Options,
) -> Result<Answer, Stop> {
    let bundle = &model.bundle;
    let sentences = read_conll(file.as_bytes()).map_err(Stop::failed)?;
    let windows = ExampleOptions::for_model(bundle.config.max_position_embeddings);
    let examples: Vec<Example> =
        labelled_examples(&sentences, &bundle.tokenizer, &bundle.labels, &windows)
            .map_err(Stop::failed)?;
    let (logits, millis) = logits(task, model, &examples).await?;
    let decoded = decode(&examples, &logits, &bundle.labels, sentences.len(), decoding(options)?);
    let scores = score_sentences(&sentences, &decoded, &bundle.labels).word_default;
    Ok(Answer::Scored(Box::new(Scored {
        role,
        micro: row("all", scores.micro),
        per_type: scores.per_type.iter().map(|(name, scores)| row(name, *scores)).collect(),
        sentences: sentences.len(),
        millis,
    })))
}

fn row(name: &str, scores: Scores) -> ScoreRow {
    ScoreRow {
        name: name.to_owned(),
        precision: scores.precision,
        recall: scores.recall,
        f1: scores.f1,
        support: scores.support,
    }
}
