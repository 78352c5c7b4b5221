//! Which examples a step learns from: everything follows from the settings, the lengths of the examples
//! and the step's number.

use super::config::TrainConfig;
use super::source::Source;
use crate::data::batch::shuffled;

/// Which batches belong to which step, for the whole run.
pub(super) struct Plan<'a> {
    config: &'a TrainConfig,
    source: &'a dyn Source,
    /// First step of each epoch; one more at the end.
    first_steps: Vec<usize>,
    /// The epoch that `batches` are of.
    epoch: usize,
    batches: Vec<Vec<usize>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(config: &'a TrainConfig, source: &'a dyn Source) -> Self {
        let (epoch, batches, first_steps) = (usize::MAX, vec![], vec![0]);
        let mut plan = Self { config, source, first_steps, epoch, batches };
        for epoch in 0..config.epochs {
            let steps = plan.of_epoch(epoch).len().div_ceil(config.gradient_accumulation);
            plan.first_steps.push(plan.first_steps[epoch] + steps);
        }
        plan
    }

    fn of_epoch(&self, epoch: usize) -> Vec<Vec<usize>> {
        self.source.batches(self.config, epoch)
    }

    pub(super) fn total_steps(&self) -> usize {
        self.first_steps[self.config.epochs]
    }

    pub(super) fn step(&mut self, step: usize) -> &[Vec<usize>] {
        let epoch = self.first_steps.partition_point(|first| *first <= step) - 1;
        if epoch != self.epoch {
            self.batches = self.of_epoch(epoch);
            self.epoch = epoch;
        }
        let accumulation = self.config.gradient_accumulation;
        let start = (step - self.first_steps[epoch]) * accumulation;
        &self.batches[start..(start + accumulation).min(self.batches.len())]
    }

    /// Epochs done after `step` steps.
    pub(super) fn epochs_done(&self, step: usize) -> f64 {
        let epoch = self.first_steps.partition_point(|first| *first <= step) - 1;
        if epoch >= self.config.epochs {
            return self.config.epochs as f64;
        }
        let (first, next) = (self.first_steps[epoch], self.first_steps[epoch + 1]);
        epoch as f64 + (step - first) as f64 / (next - first) as f64
    }

    pub(super) fn evaluates_after(&self, step: usize) -> bool {
        let regular = match self.config.evaluate_every {
            Some(every) => step.is_multiple_of(every),
            None => self.first_steps.contains(&step),
        };
        regular || step == self.total_steps()
    }
}

/// The number of steps a run will take, for a progress bar.
pub fn total_steps(config: &TrainConfig, source: &dyn Source) -> usize {
    Plan::new(config, source).total_steps()
}

/// Which of `all` examples are learned from in an epoch, counted from 0: all of them; or with a ratio
/// the first `num_labelled` and the next part of the others, which are taken in an order that is new
/// each time it has been through.
pub fn examples_of_epoch(
    config: &TrainConfig,
    all: usize,
    num_labelled: usize,
    epoch: usize,
) -> Vec<usize> {
    let text = all - num_labelled;
    let Some(ratio) = config.text_ratio.filter(|_| text > 0) else {
        return (0..all).collect();
    };
    let count = (ratio * num_labelled.max(1) as f64).round() as usize;
    let mut examples: Vec<usize> = (0..num_labelled).collect();
    let mut place = epoch * count;
    while place < (epoch + 1) * count {
        let (pass, start) = (place / text, place % text);
        let taken = (text - start).min((epoch + 1) * count - place);
        let order = shuffled(text, config.stream(3, pass as u64));
        examples.extend(order[start..start + taken].iter().map(|index| num_labelled + index));
        place += taken;
    }
    examples
}
