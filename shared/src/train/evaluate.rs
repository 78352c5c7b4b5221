//! The four scores of a labelled set, from one pass over it.

use serde::{Deserialize, Serialize};

use crate::data::batch::BatchBudget;
use crate::data::conll::Sentence;
use crate::data::example::{Example, ExampleError, ExampleOptions, labelled_examples};
use crate::data::label::LabelSet;
use crate::data::span::Mode;
use crate::data::tokenize::SubwordTokenizer;
use crate::infer::decode::{Aggregation, Decoding, SentencePrediction, decode};
use crate::infer::logits::for_each_logits;
use crate::metric::entity_f1::{EntityF1, entity_f1};
use crate::model::TokenClassifier;

/// Sentences with gold tags, and what a model reads of them.
#[derive(Clone, Debug)]
pub struct LabelledSet {
    /// The sentences.
    pub sentences: Vec<Sentence>,
    /// Their windows, in order.
    pub examples: Vec<Example>,
}

/// Entity scores of one set of predictions, over words and over sub-words, each in seqeval's default
/// mode and in its strict mode with IOB2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitScores {
    /// Sentences scored.
    pub sentences: usize,
    /// Words scored.
    pub words: usize,
    /// Each word labelled as the decoding says, by default by its first sub-word; default mode: the
    /// headline.
    pub word_default: EntityF1,
    /// The same in strict mode.
    pub word_strict: EntityF1,
    /// Every sub-word by itself, default mode: the reference's metric.
    pub subword_default: EntityF1,
    /// The same in strict mode.
    pub subword_strict: EntityF1,
}

impl LabelledSet {
    /// Raw texts, cut into words as the tokenizer has them, with nothing in them yet: every tag is `O`.
    /// Texts without a word are left out.
    ///
    /// # Errors
    ///
    /// Only what the tokenizer itself refuses.
    pub fn unlabelled(
        texts: &[String],
        tokenizer: &SubwordTokenizer,
        labels: &LabelSet,
        options: &ExampleOptions,
    ) -> Result<Self, ExampleError> {
        let mut sentences = Vec::with_capacity(texts.len());
        for text in texts {
            let (_, words) = tokenizer.encode_text(text)?;
            let tokens: Vec<String> =
                words.into_iter().map(|(start, end)| text[start..end].to_owned()).collect();
            let tags = vec!["O".to_owned(); tokens.len()];
            sentences.extend((!tokens.is_empty()).then_some(Sentence { tokens, tags }));
        }
        Self::new(sentences, tokenizer, labels, options)
    }

    /// Sentences with their windows.
    ///
    /// # Errors
    ///
    /// A tag outside `labels`, named with its place.
    pub fn new(
        sentences: Vec<Sentence>,
        tokenizer: &SubwordTokenizer,
        labels: &LabelSet,
        options: &ExampleOptions,
    ) -> Result<Self, ExampleError> {
        let examples = labelled_examples(&sentences, tokenizer, labels, options)?;
        Ok(Self { sentences, examples })
    }

    /// The same words with the tags that `predictions` have: the entities that another model found are
    /// then what a model is measured by.
    ///
    /// # Errors
    ///
    /// As [`LabelledSet::new`]'s.
    pub fn labelled_by(
        self,
        predictions: &[SentencePrediction],
        tokenizer: &SubwordTokenizer,
        labels: &LabelSet,
        options: &ExampleOptions,
    ) -> Result<Self, ExampleError> {
        let tagged = self.sentences.into_iter().zip(word_tags(predictions, labels));
        let sentences = tagged.map(|(sentence, tags)| Sentence { tags, ..sentence }).collect();
        Self::new(sentences, tokenizer, labels, options)
    }
}

/// A scored set.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// What was predicted for each sentence.
    pub predictions: Vec<SentencePrediction>,
    /// How good that is.
    pub scores: SplitScores,
    /// Mean cross entropy of the labelled sub-words, in nats.
    pub loss: f64,
    /// The logits of each example, `[len, num_labels]` row by row.
    pub logits: Vec<Vec<f32>>,
}

/// What a way of decoding is worth on a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodingScore {
    /// The way.
    #[serde(flatten)]
    pub decoding: Decoding,
    /// Micro F1 of entities, default mode: over words, or over sub-words with
    /// [`Aggregation::Simple`], where an entity must begin and end with its words too.
    pub f1: f64,
}

impl Evaluation {
    /// The F1 of every way of decoding that makes entities, from the same logits.
    pub fn decodings(&self, set: &LabelledSet, labels: &LabelSet) -> Vec<DecodingScore> {
        let mut scores = Vec::new();
        for aggregation in Aggregation::ALL {
            if aggregation == Aggregation::None {
                continue;
            }
            for constrained in [false, true] {
                let decoding = Decoding { aggregation, constrained };
                let (examples, logits) = (&set.examples, &self.logits);
                let decoded = decode(examples, logits, labels, set.sentences.len(), decoding);
                let scored = score(&set.sentences, &decoded, labels);
                let mode = match aggregation.is_by_word() {
                    true => scored.word_default,
                    false => scored.subword_default,
                };
                scores.push(DecodingScore { decoding, f1: mode.micro.f1 });
            }
        }
        scores
    }
}

/// Runs `model` over `set` and scores it. `advance` is told of every example how many
/// sub-words it has; `false` stops and
/// gives `None`.
pub async fn evaluate(
    model: &TokenClassifier,
    labels: &LabelSet,
    set: &LabelledSet,
    pad_token_id: u32,
    decoding: Decoding,
    mut advance: impl FnMut(usize) -> bool,
) -> Option<Evaluation> {
    let mut logits = vec![Vec::new(); set.examples.len()];
    let mut done = true;
    let budget = BatchBudget::Subwords(model.feed().subwords);
    for_each_logits(model, &set.examples, pad_token_id, budget, |example, values| {
        logits[example] = values.to_vec();
        done = advance(set.examples[example].input_ids.len());
        done
    })
    .await;
    if !done {
        return None;
    }
    let loss = mean_cross_entropy(&set.examples, &logits, labels.len());
    let predictions = decode(&set.examples, &logits, labels, set.sentences.len(), decoding);
    let scores = score(&set.sentences, &predictions, labels);
    Some(Evaluation { predictions, scores, loss, logits })
}

/// The names of the words' predicted labels.
pub fn word_tags(predictions: &[SentencePrediction], labels: &LabelSet) -> Vec<Vec<String>> {
    let name = |label: usize| labels.name(label).to_owned();
    predictions
        .iter()
        .map(|sentence| sentence.words.iter().map(|scored| name(scored.label)).collect())
        .collect()
}

/// Scores predictions against the sentences they were made for.
pub fn score(
    sentences: &[Sentence],
    predictions: &[SentencePrediction],
    labels: &LabelSet,
) -> SplitScores {
    let gold: Vec<Vec<String>> = sentences.iter().map(|sentence| sentence.tags.clone()).collect();
    let predicted = word_tags(predictions, labels);
    let mut subword_gold = Vec::with_capacity(predictions.len());
    let mut subword_predicted = Vec::with_capacity(predictions.len());
    for sentence in predictions {
        let known = sentence.subword_gold.iter().zip(&sentence.subwords);
        let (gold, predicted): (Vec<_>, Vec<_>) = known
            .filter(|(gold, _)| **gold >= 0)
            .map(|(gold, scored)| (labels.name(*gold as usize), labels.name(scored.label)))
            .unzip();
        subword_gold.push(gold);
        subword_predicted.push(predicted);
    }
    SplitScores {
        sentences: sentences.len(),
        words: gold.iter().map(Vec::len).sum(),
        word_default: entity_f1(&gold, &predicted, Mode::Default),
        word_strict: entity_f1(&gold, &predicted, Mode::Strict),
        subword_default: entity_f1(&subword_gold, &subword_predicted, Mode::Default),
        subword_strict: entity_f1(&subword_gold, &subword_predicted, Mode::Strict),
    }
}

fn mean_cross_entropy(examples: &[Example], logits: &[Vec<f32>], num_labels: usize) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for (example, logits) in examples.iter().zip(logits) {
        for (label, row) in example.label_ids.iter().zip(logits.chunks_exact(num_labels)) {
            let Ok(label) = usize::try_from(*label) else { continue };
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f32 = row.iter().map(|logit| (logit - largest).exp()).sum();
            sum += f64::from(total.ln() + largest - row[label]);
            count += 1;
        }
    }
    sum / count.max(1) as f64
}
