//! A labelled set read by a model, with progress, until someone stops it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::Example;
use understudy_shared::data::label::LabelSet;
use understudy_shared::infer::decode::Decoding;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::evaluate::{Evaluation, LabelledSet, evaluate};

use crate::progress::Progress;
use crate::{device, stop};

/// Batches that are read before a time is taken.
const BATCHES: usize = 4;

/// On a GPU reads some batches without taking the time: its kernels are made and tuned when they are first
/// asked for. On the CPU does nothing.
pub fn warm_up(model: &TokenClassifier, examples: &[Example], pad_token_id: u32) {
    if !device::is_gpu() {
        return;
    }
    let (mut subwords, full) = (0, device::feed().subwords);
    let sink = |index: usize, _: &[f32]| {
        subwords += examples[index].input_ids.len();
        subwords < BATCHES * full && !stop::flag().load(Ordering::Relaxed)
    };
    let budget = BatchBudget::Subwords(full);
    pollster::block_on(for_each_logits(model, examples, pad_token_id, budget, sink));
}

/// How a set is read.
pub struct Reading<'a> {
    /// What the progress is called.
    pub label: &'a str,
    /// No progress.
    pub quiet: bool,
    /// How labels are decided.
    pub decoding: Decoding,
}

impl Reading<'_> {
    /// The scores, and sub-words a second; `None` where it was stopped.
    pub fn read(
        &self,
        model: &TokenClassifier,
        labels: &LabelSet,
        set: &LabelledSet,
        pad_token_id: u32,
    ) -> Option<(Evaluation, f64)> {
        let stop = stop::flag();
        let model = model.clone().with_feed(device::feed());
        warm_up(&model, &set.examples, pad_token_id);
        let mut progress = Progress::count(self.quiet, self.label, set.examples.len());
        let mut subwords = 0;
        let advance = |more| {
            subwords += more;
            progress.advance(1, more);
            !stop.load(Ordering::Relaxed)
        };
        let start = Instant::now();
        let evaluation = evaluate(&model, labels, set, pad_token_id, self.decoding, advance);
        let evaluation = pollster::block_on(evaluation)?;
        Some((evaluation, subwords as f64 / start.elapsed().as_secs_f64()))
    }
}
