//! Windows of text through a model, a few at a time, with pauses in which a request can be cancelled.

use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::Example;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::tagger::PreparedTexts;
use web::protocol::{Answer, Stage};

use super::model::Model;
use super::{Stop, Task, scope};

/// Sub-words between two pauses: what a student computes in a tenth of a second.
const PORTION: usize = 256;

/// Sub-words, special tokens included, of the sentence that warms a model up.
pub const SAMPLE_LENGTH: usize = 16;

/// A text's windows and their logits.
pub struct Computed {
    /// The text.
    pub text: String,
    /// Its windows.
    pub prepared: PreparedTexts,
    /// Of each window, `[len, num_labels]` row by row.
    pub logits: Vec<Vec<f32>>,
    /// Without pauses.
    pub millis: f64,
}

/// The logits of every example, and the milliseconds that went into them.
pub async fn logits(
    task: Task,
    model: &Model,
    examples: &[Example],
) -> Result<(Vec<Vec<f32>>, f64), Stop> {
    let mut logits = vec![Vec::new(); examples.len()];
    let mut millis = 0.0;
    let mut first = 0;
    // Lets requests in that supersede this one before anything is computed.
    task.pause().await?;
    while first < examples.len() {
        let mut end = first + 1;
        let mut subwords = examples[first].input_ids.len();
        while let Some(next) = examples.get(end).filter(|_| subwords < PORTION) {
            subwords += next.input_ids.len();
            end += 1;
        }
        let start = scope::now();
        run(model, &examples[first..end], |index, values| logits[first + index] = values.to_vec())
            .await;
        millis += scope::now() - start;
        first = end;
        if first < examples.len() {
            task.progress(Stage::Tag, first as u64, examples.len() as u64);
            task.pause().await?;
        }
    }
    Ok((logits, millis))
}

async fn run(model: &Model, examples: &[Example], mut take: impl FnMut(usize, &[f32])) {
    let bundle = &model.bundle;
    let budget = BatchBudget::Subwords(2 * PORTION);
    for_each_logits(
        model.classifier(),
        examples,
        bundle.config.pad_token_id,
        budget,
        |index, values| {
            take(index, values);
            true
        },
    )
    .await;
}

/// One forward pass over made-up sentences.
pub async fn forward(model: &Model, subwords: usize, sentences: usize) {
    let config = &model.bundle.config;
    let len = subwords.min(config.max_position_embeddings);
    let id = |sentence: usize, index: usize| {
        ((sentence * 7919 + index * 104_729) % config.vocab_size) as u32
    };
    let example = |sentence: usize| Example {
        sentence,
        input_ids: (0..len).map(|index| id(sentence, index)).collect(),
        word_ids: vec![None; len],
        counted: vec![false; len],
        label_ids: vec![0; len],
    };
    let examples: Vec<Example> = (0..sentences).map(example).collect();
    let budget = BatchBudget::Sentences(sentences);
    for_each_logits(model.classifier(), &examples, config.pad_token_id, budget, |_, _| true).await;
}

/// Times forward passes, after one that is not counted.
pub async fn measure(
    task: Task,
    model: &Model,
    subwords: usize,
    sentences: usize,
    rounds: usize,
) -> Result<Answer, Stop> {
    let mut millis = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        let start = scope::now();
        forward(model, subwords, sentences).await;
        if round > 0 {
            millis.push(scope::now() - start);
        }
        task.pause().await?;
    }
    Ok(Answer::Measured { millis })
}
