//! What real text makes of it: the teacher that ships labels sentences of the text in the program, the
//! student that ships learns from those logits, and is scored.

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Result, ensure};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::{Example, ExampleOptions};
use understudy_shared::infer::decode::Decoding;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::loss::objective::{Combination, Objective};
use understudy_shared::model::BertConfig;
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::evaluate::LabelledSet;
use understudy_shared::train::fit::Task;
use understudy_shared::train::source::InMemory;

use super::{Row, flops, steps, train_config};
use crate::bundle_dir::BundleDir;
use crate::cli::{BenchArgs, BenchModel};
use crate::reading::{Reading, warm_up};
use crate::shipped::{self, Role};
use crate::stop::Stopped;
use crate::text_file::TextFile;
use crate::{device, stop};

/// Sentences that are read for each of `--steps`: two training steps.
const SENTENCES: usize = 64;

/// Prints a row each for labelling, distilling and evaluating.
///
/// # Errors
///
/// No models that ship.
pub fn measure(args: &BenchArgs, gemm: f64) -> Result<()> {
    let read = |role| BundleDir::read(&shipped::find(role)?);
    let (teacher, files) = (read(Role::Teacher)?, read(Role::Student)?);
    let (teacher, student) = (teacher.load(&device::device())?, files.load(&device::device())?);
    ensure!(teacher.labels == student.labels, "teacher and student in models/ have other labels");
    let sentences = TextFile::sample()?.first(SENTENCES * args.steps)?;
    let options = ExampleOptions::default();
    let set = LabelledSet::unlabelled(&sentences, &teacher.tokenizer, &teacher.labels, &options)?;
    let examples = &set.examples;

    let (logits, seconds) = label(&teacher, examples)?;
    let row = |model, mode, (subwords, seconds): (usize, f64), work: f64| {
        let speed = subwords as f64 / seconds;
        Row { model, mode, batch: None, speed, gflops: work / seconds / 1e9 }.print(args, gemm)
    };
    let subwords = logits.subwords();
    if args.model != Some(BenchModel::Student) {
        row("teacher", "label", (subwords, seconds), work(&teacher.config, examples))?;
    }
    if args.model == Some(BenchModel::Teacher) {
        return Ok(());
    }
    let how = Reading { label: "", quiet: true, decoding: Decoding::default() };
    let read = how.read(&student.model, &student.labels, &set, student.config.pad_token_id);
    let (_, speed) = read.ok_or_else(|| Stopped(super::STOPPED.to_owned()))?;
    let seconds = subwords as f64 / speed;
    row("student", "evaluate", (subwords, seconds), work(&student.config, examples))?;

    let source = InMemory::new(examples.clone(), Some(logits)).with_num_labelled(0);
    let task = Task {
        train: &source,
        teacher: None,
        dev: None,
        labels: &student.labels,
        pad_token_id: student.config.pad_token_id,
        mask_token_id: student.config.pad_token_id,
    };
    let soft = Objective {
        combination: Combination::Weighted { alpha: 1.0 },
        temperature: 2.0,
        ..Objective::hard()
    };
    let batch = BatchBudget::Sentences(args.batch_size.unwrap_or(32));
    let config = TrainConfig { batch, ..train_config(soft, args) };
    let model = files.load(&device::device().autodiff())?.model;
    let steps = steps(model, &task, &config)?;
    ensure!(!steps.is_empty(), "--steps {} is too little text: expected more", args.steps);
    let seconds = steps.iter().map(|(seconds, _)| seconds).sum();
    let read: usize = steps.iter().map(|(_, subwords)| subwords).sum();
    let share = read as f64 / subwords as f64;
    row("student", "distill", (read, seconds), 3.0 * share * work(&student.config, examples))
}

/// The teacher's logits, and how many seconds they took.
fn label(teacher: &Bundle, examples: &[Example]) -> Result<(TeacherLogits, f64)> {
    let model = device::place(teacher.model.clone());
    let mut logits = TeacherLogits::zeros(examples, teacher.labels.len());
    let budget = BatchBudget::Subwords(device::feed().subwords);
    let stop = stop::flag();
    let sink = |index: usize, values: &[f32]| {
        logits.set(index, values);
        !stop.load(Ordering::Relaxed)
    };
    let pad = teacher.config.pad_token_id;
    warm_up(&model, examples, pad);
    let start = Instant::now();
    pollster::block_on(for_each_logits(&model, examples, pad, budget, sink));
    let seconds = start.elapsed().as_secs_f64();
    super::check_stop()?;
    Ok((logits, seconds))
}

/// FLOPs of one forward pass over examples.
fn work(config: &BertConfig, examples: &[Example]) -> f64 {
    let lengths = examples.iter().map(|example| example.input_ids.len());
    lengths.map(|length| length as f64 * flops(config, length)).sum()
}
