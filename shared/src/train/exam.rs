//! What a tagger is measured by while it learns: its entities in a few sentences against those they
//! should have, given by hand, by a teacher, or by itself before it began to learn.

use super::evaluate::word_tags;
use crate::data::batch::{BatchBudget, sorted_batches};
use crate::data::example::Example;
use crate::data::label::LabelSet;
use crate::data::span::Mode;
use crate::infer::decode::{Decoding, decode};
use crate::infer::logits::for_each_logits;
use crate::infer::states::KeptStates;
use crate::metric::entity_f1::entity_f1;
use crate::model::TokenClassifier;

/// Sub-words that are computed between two pauses: about a tenth of a second of a student in a browser.
pub const PORTION: usize = 256;

/// Examples and the tags their words should have.
#[derive(Clone, Debug)]
pub struct Exam {
    examples: Vec<Example>,
    /// Of each sentence.
    tags: Vec<Vec<String>>,
    /// What the frozen lowest layers make of the examples, where that was kept.
    states: Option<KeptStates>,
}

impl Exam {
    /// Examples of sentences 0, 1, … and the tags of their words.
    pub fn new(examples: Vec<Example>, tags: Vec<Vec<String>>) -> Self {
        Self { examples, tags, states: None }
    }

    /// As these logits tag the examples of sentences 0, 1, ….
    pub fn of_logits(examples: Vec<Example>, logits: &[Vec<f32>], labels: &LabelSet) -> Self {
        let sentences = examples.last().map_or(0, |example| example.sentence + 1);
        let decided = decode(&examples, logits, labels, sentences, Decoding::default());
        Self { tags: word_tags(&decided, labels), examples, states: None }
    }

    /// Begins above the frozen layers from now on.
    pub fn with_states(self, states: Option<KeptStates>) -> Self {
        Self { states, ..self }
    }

    /// The examples.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The logits of a model on a plain device; `pause` is awaited between portions.
    ///
    /// # Errors
    ///
    /// Whatever `pause` says.
    pub async fn logits<E>(
        &self,
        model: &TokenClassifier,
        pad_token_id: u32,
        pause: &mut impl AsyncFnMut(usize, usize) -> Result<(), E>,
    ) -> Result<Vec<Vec<f32>>, E> {
        logits(model, &self.examples, self.states.as_ref(), pad_token_id, pause).await
    }

    /// Micro F1 of the entities that these logits find, 0 to 1; 1 where there are none, neither found nor
    /// looked for.
    pub fn score(&self, logits: &[Vec<f32>], labels: &LabelSet) -> f64 {
        let decoding = Decoding::default();
        let decided = decode(&self.examples, logits, labels, self.tags.len(), decoding);
        let found = word_tags(&decided, labels);
        let is_blank = |tags: &[Vec<String>]| tags.iter().flatten().all(|tag| tag == "O");
        if is_blank(&self.tags) && is_blank(&found) {
            return 1.0;
        }
        entity_f1(&self.tags, &found, Mode::Default).micro.f1
    }
}

/// The logits of examples, from kept states where there are some; `pause` is told before each portion how
/// many examples are done, and of how many.
///
/// # Errors
///
/// Whatever `pause` says.
pub async fn logits<E>(
    model: &TokenClassifier,
    examples: &[Example],
    states: Option<&KeptStates>,
    pad_token_id: u32,
    pause: &mut impl AsyncFnMut(usize, usize) -> Result<(), E>,
) -> Result<Vec<Vec<f32>>, E> {
    let lengths: Vec<u32> = examples.iter().map(|example| example.input_ids.len() as u32).collect();
    let mut logits = vec![Vec::new(); examples.len()];
    let mut done = 0;
    for portion in sorted_batches(&lengths, BatchBudget::Subwords(PORTION)) {
        pause(done, examples.len()).await?;
        done += portion.len();
        let computed = match states {
            Some(states) => states.logits(model, examples, &portion, pad_token_id).await,
            None => {
                let budget = BatchBudget::Sentences(portion.len());
                let chosen: Vec<Example> =
                    portion.iter().map(|index| examples[*index].clone()).collect();
                let mut computed = vec![Vec::new(); chosen.len()];
                for_each_logits(model, &chosen, pad_token_id, budget, |index, values| {
                    computed[index] = values.to_vec();
                    true
                })
                .await;
                computed
            }
        };
        for (index, values) in portion.into_iter().zip(computed) {
            logits[index] = values;
        }
    }
    Ok(logits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(sentence: usize, len: usize) -> Example {
        Example {
            sentence,
            input_ids: vec![1; len],
            word_ids: (0..len).map(Some).collect(),
            counted: vec![true; len],
            label_ids: vec![-100; len],
        }
    }

    /// Logits that decide these labels of `O B-PER I-PER`.
    fn sure(labels: &[usize]) -> Vec<f32> {
        labels
            .iter()
            .flat_map(|label| (0..3).map(move |id| f32::from(u8::from(id == *label))))
            .collect()
    }

    #[test]
    fn agreement_is_the_f1_of_entities() {
        let names = ["O", "B-PER", "I-PER"].map(str::to_owned);
        let labels = LabelSet::new(names.to_vec()).expect("a label set");
        let examples = vec![example(0, 3), example(1, 2)];
        let before = [sure(&[1, 2, 0]), sure(&[0, 1])];
        let exam = Exam::of_logits(examples.clone(), &before, &labels);
        assert_eq!(exam.score(&before, &labels), 1.0);
        // One of two found, nothing else.
        let found = exam.score(&[sure(&[1, 2, 0]), sure(&[0, 0])], &labels);
        assert!((found - 2.0 / 3.0).abs() < 1e-9, "{found}");
        let nothing = [sure(&[0, 0, 0]), sure(&[0, 0])];
        assert_eq!(exam.score(&nothing, &labels), 0.0);
        assert_eq!(Exam::of_logits(examples, &nothing, &labels).score(&nothing, &labels), 1.0);
    }
}
