//! A labelled set read by a model, with progress, until someone stops it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use understudy_shared::data::label::LabelSet;
use understudy_shared::infer::decode::Decoding;
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::evaluate::{Evaluation, LabelledSet, evaluate};

use crate::progress::Progress;
use crate::{device, stop};

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
        let mut progress = Progress::count(self.quiet, self.label, set.examples.len());
        let model = model.clone().with_feed(device::feed());
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
