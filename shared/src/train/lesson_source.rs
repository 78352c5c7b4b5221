//! The examples of a short run: what is new and what is rehearsed, mixed in each batch.

use std::collections::BTreeSet;

use super::config::TrainConfig;
use super::lesson::LessonSettings;
use super::source::{Loaded, Source, SourceError};
use crate::data::IGNORE_INDEX;
use crate::data::batch::shuffled;
use crate::data::example::Example;
use crate::infer::decode::most_likely;
use crate::infer::states::KeptStates;
use crate::infer::teacher::TeacherLogits;

/// What an example is learned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Labels given by hand: the hard loss alone.
    Lesson,
    /// A teacher's logits, and its decided labels: both losses.
    Taught,
    /// The former model's logits: the soft loss alone.
    Rehearsed,
}

/// Lessons, taught text and rehearsal. Each batch takes the share that is rehearsed from the rehearsal,
/// the rest from what is new, each in an order that is new with each pass (so an example may be twice in a
/// batch where a pass ends); fewer new examples than their share are in the batch once each.
#[derive(Clone, Debug)]
pub struct LessonSource {
    examples: Vec<Example>,
    lengths: Vec<u32>,
    parts: Vec<Part>,
    num_new: usize,
    logits: TeacherLogits,
    states: Option<KeptStates>,
    settings: LessonSettings,
}

impl LessonSource {
    /// Lessons with labels, and text without; logits are all zero until they are set.
    pub fn new(
        lessons: Vec<Example>,
        taught: Vec<Example>,
        rehearsed: Vec<Example>,
        num_labels: usize,
        settings: &LessonSettings,
    ) -> Self {
        let num_new = lessons.len() + taught.len();
        let part = |part: Part, count: usize| std::iter::repeat_n(part, count);
        let parts = part(Part::Lesson, lessons.len())
            .chain(part(Part::Taught, taught.len()))
            .chain(part(Part::Rehearsed, rehearsed.len()))
            .collect();
        let mut examples = lessons;
        // A lesson has no distribution to compare with.
        examples.iter_mut().for_each(|example| example.counted.fill(false));
        examples.extend(taught);
        examples.extend(rehearsed);
        let lengths = examples.iter().map(|example| example.input_ids.len() as u32).collect();
        let logits = TeacherLogits::zeros(&examples, num_labels);
        let settings = settings.clone();
        Self { lengths, parts, num_new, logits, states: None, settings, examples }
    }

    /// The examples, in order.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The examples of one part that some batch of the run asks for.
    pub fn used(&self, part: Part) -> Vec<usize> {
        let config = self.settings.train_config();
        let used: BTreeSet<usize> = self.batches(&config, 0).into_iter().flatten().collect();
        used.into_iter().filter(|index| self.parts[*index] == part).collect()
    }

    /// Sets the logits of an example, `[len, num_labels]`; of a taught one the labels too.
    pub fn set_logits(&mut self, index: usize, logits: &[f32]) {
        self.logits.set(index, logits);
        if self.parts[index] != Part::Taught {
            return;
        }
        let example = &mut self.examples[index];
        let rows = logits.chunks_exact(self.logits.num_labels());
        for ((label, row), counted) in example.label_ids.iter_mut().zip(rows).zip(&example.counted)
        {
            *label = if *counted { most_likely(row).label as i32 } else { IGNORE_INDEX };
        }
    }

    /// Gives what the frozen lowest layers make of every example that is used.
    pub fn set_states(&mut self, states: KeptStates) {
        self.states = Some(states);
    }

    /// What the frozen lowest layers make of the examples, where that was given.
    pub fn states(&self) -> Option<&KeptStates> {
        self.states.as_ref()
    }
}

/// The next numbers below `len`, in passes of an order that is new each time.
struct Passes {
    len: usize,
    purpose: u64,
    place: usize,
    order: Vec<usize>,
}

impl Passes {
    fn new(len: usize, purpose: u64) -> Self {
        Self { len, purpose, place: 0, order: vec![] }
    }

    fn take(&mut self, count: usize, config: &TrainConfig, taken: &mut Vec<usize>) {
        for place in self.place..self.place + count {
            if place.is_multiple_of(self.len) {
                let pass = (place / self.len) as u64;
                self.order = shuffled(self.len, config.stream(self.purpose, pass));
            }
            taken.push(self.order[place % self.len]);
        }
        self.place += count;
    }
}

impl Source for LessonSource {
    fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    fn num_labelled(&self) -> usize {
        self.num_new
    }

    fn batches(&self, config: &TrainConfig, _epoch: usize) -> Vec<Vec<usize>> {
        let (new, rehearsal) = (self.num_new, self.lengths.len() - self.num_new);
        let size = self.settings.batch_size;
        let share = (size as f64 * self.settings.rehearsal).round() as usize;
        let rehearsed = share.min(size - usize::from(new > 0)).min(rehearsal);
        let fresh = (size - rehearsed).min(new);
        let mut new = Passes::new(new, 6);
        let mut old = Passes::new(rehearsal, 7);
        let batch = |_| {
            let mut batch = Vec::with_capacity(size);
            old.take(rehearsed, config, &mut batch);
            batch.iter_mut().for_each(|index| *index += self.num_new);
            new.take(fresh, config, &mut batch);
            batch.sort_unstable();
            batch
        };
        (0..self.settings.steps).map(batch).collect()
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, SourceError> {
        Ok(Loaded {
            examples: indices.iter().map(|index| self.examples[*index].clone()).collect(),
            teacher_logits: Some(self.logits.select(indices)),
            states: self.states.as_ref().map(|states| states.select(indices)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(len: usize) -> Example {
        Example {
            sentence: 0,
            input_ids: vec![1; len],
            word_ids: vec![Some(0); len],
            counted: vec![true; len],
            label_ids: vec![0; len],
        }
    }

    fn source(lessons: usize, rehearsed: usize, settings: &LessonSettings) -> LessonSource {
        let examples = |count| vec![example(3); count];
        LessonSource::new(examples(lessons), vec![], examples(rehearsed), 2, settings)
    }

    fn batches(lessons: usize, rehearsed: usize, rehearsal: f64) -> Vec<Vec<usize>> {
        let batch_size = 8;
        let settings =
            LessonSettings { rehearsal, steps: 30, batch_size, ..LessonSettings::default() };
        let source = source(lessons, rehearsed, &settings);
        source.batches(&settings.train_config(), 0)
    }

    #[test]
    fn every_batch_has_its_share_of_both() {
        for batch in batches(16, 100, 0.25) {
            assert_eq!(batch.iter().filter(|index| **index < 16).count(), 6);
            assert_eq!(batch.len(), 8);
        }
        // One lesson is in every batch, once.
        for batch in batches(1, 100, 0.5) {
            assert_eq!((batch[0], batch.len()), (0, 5));
        }
        assert!(batches(20, 0, 0.5).iter().all(|batch| batch.len() == 8));
        // Whatever the share, something new is learned.
        assert!(batches(5, 100, 0.99).iter().all(|batch| batch[0] < 5 && batch.len() == 8));
    }

    #[test]
    fn everything_is_seen_before_anything_is_seen_again() {
        let batches = batches(16, 100, 0.5);
        let first: BTreeSet<usize> = batches[..4].iter().flatten().copied().collect();
        assert_eq!(first.iter().filter(|index| **index < 16).count(), 16);
        let all: BTreeSet<usize> = batches.iter().flatten().copied().collect();
        assert_eq!(all.len(), 116);
        assert_ne!(batches[0], batches[4]);
    }

    #[test]
    fn only_what_is_used_is_asked_for() {
        let (steps, batch_size, rehearsal) = (2, 8, 0.5);
        let settings = LessonSettings { steps, batch_size, rehearsal, ..LessonSettings::default() };
        let source = source(3, 100, &settings);
        assert_eq!(source.used(Part::Rehearsed).len(), 8);
        assert_eq!(source.used(Part::Lesson), [0, 1, 2]);
        assert!(source.used(Part::Taught).is_empty());
    }

    #[test]
    fn each_part_is_learned_by_its_own_loss() {
        let settings = LessonSettings::default();
        let blank = Example { label_ids: vec![IGNORE_INDEX; 2], ..example(2) };
        let (lessons, others) = (vec![example(2)], vec![blank]);
        let mut source = LessonSource::new(lessons, others.clone(), others, 2, &settings);
        source.set_logits(1, &[0.0, 1.0, 2.0, 1.0]);
        source.set_logits(2, &[0.0, 1.0, 2.0, 1.0]);
        let loaded = source.load(&[0, 1, 2]).expect("in memory");
        let labels = loaded.examples.iter().map(|example| example.label_ids.clone());
        let none = IGNORE_INDEX;
        assert_eq!(labels.collect::<Vec<_>>(), [[0, 0], [1, 0], [none, none]]);
        let counted = loaded.examples.iter().map(|example| example.counted.clone());
        assert_eq!(counted.collect::<Vec<_>>(), [[false; 2], [true; 2], [true; 2]]);
    }
}
