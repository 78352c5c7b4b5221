//! Where a run's examples come from: memory, or wherever the caller keeps text that is larger.

use std::borrow::Cow;

use super::config::TrainConfig;
use super::plan::examples_of_epoch;
use crate::data::batch::shuffled_batches;
use crate::data::example::Example;
use crate::infer::states::KeptStates;
use crate::infer::teacher::TeacherLogits;

/// Why examples cannot be had any more, such as a file that is gone.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Training examples, the labelled ones first, then text of the ratio that
/// [`super::config::TrainConfig::text_ratio`] says.
pub trait Source {
    /// Sub-words of each example, special tokens too.
    fn lengths(&self) -> &[u32];

    /// How many examples, the first ones, are labelled.
    fn num_labelled(&self) -> usize;

    /// Which examples the batches of an epoch hold, counted from 0; everything follows from the settings
    /// and the lengths.
    fn batches(&self, config: &TrainConfig, epoch: usize) -> Vec<Vec<usize>> {
        let seed = config.stream(1, epoch as u64);
        let (all, labelled) = (self.lengths().len(), self.num_labelled());
        let examples = examples_of_epoch(config, all, labelled, epoch);
        shuffled_batches(examples, self.lengths(), config.batch, seed)
    }

    /// The examples of a batch.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from being read.
    fn load(&self, indices: &[usize]) -> Result<Loaded, SourceError>;
}

/// Some examples, in the order they were asked for.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The examples.
    pub examples: Vec<Example>,
    /// The teacher's logits of them; needed by a soft loss.
    pub teacher_logits: Option<TeacherLogits>,
    /// What the model's frozen lowest layers make of them, where that was kept: the model then begins
    /// above those.
    pub states: Option<KeptStates>,
}

impl Loaded {
    /// The same examples in at most `count` parts of nearly the same size.
    pub fn parts(&self, count: usize) -> Vec<Cow<'_, Self>> {
        if count <= 1 {
            return vec![Cow::Borrowed(self)];
        }
        let size = self.examples.len().div_ceil(count).max(1);
        let indices: Vec<usize> = (0..self.examples.len()).collect();
        let part = |indices: &[usize]| {
            let examples = indices.iter().map(|index| self.examples[*index].clone()).collect();
            let select = |logits: &TeacherLogits| logits.select(indices);
            let teacher_logits = self.teacher_logits.as_ref().map(select);
            let states = self.states.as_ref().map(|states| states.select(indices));
            Cow::Owned(Self { examples, teacher_logits, states })
        };
        indices.chunks(size).map(part).collect()
    }
}

/// Examples in memory.
#[derive(Clone, Debug)]
pub struct InMemory {
    examples: Vec<Example>,
    lengths: Vec<u32>,
    num_labelled: usize,
    teacher_logits: Option<TeacherLogits>,
}

impl InMemory {
    /// Labelled examples, with the teacher's logits where there is one.
    pub fn new(examples: Vec<Example>, teacher_logits: Option<TeacherLogits>) -> Self {
        let lengths = examples.iter().map(|example| example.input_ids.len() as u32).collect();
        Self { lengths, num_labelled: examples.len(), examples, teacher_logits }
    }

    /// Says that only the first `num_labelled` are labelled.
    pub fn with_num_labelled(self, num_labelled: usize) -> Self {
        assert!(num_labelled <= self.examples.len(), "{num_labelled} of {}", self.examples.len());
        Self { num_labelled, ..self }
    }
}

impl Source for InMemory {
    fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    fn num_labelled(&self) -> usize {
        self.num_labelled
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, SourceError> {
        let examples = indices.iter().map(|index| self.examples[*index].clone()).collect();
        let teacher_logits = self.teacher_logits.as_ref().map(|logits| logits.select(indices));
        Ok(Loaded { examples, teacher_logits, states: None })
    }
}
