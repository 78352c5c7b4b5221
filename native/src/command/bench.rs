//! `bench`: training and forward throughput, as sub-words a second, GFLOP/s, and as a fraction of a
//! plain matrix product measured in the same run.
//!
//! FLOPs of a sub-word: forward 2 for each weight of a matrix product and `4 · seq_len · hidden_size`
//! a layer for attention; a training step is three times that. Padding does not count.

mod on_text;

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::{Distribution, Tensor};
use serde_json::json;
use understudy_shared::data::batch::{Batch, BatchBudget};
use understudy_shared::data::example::Example;
use understudy_shared::data::label::LabelSet;
use understudy_shared::loss::objective::Objective;
use understudy_shared::model::{BertConfig, Noise, TokenClassifier};
use understudy_shared::train::adamw::{AdamW, AdamWConfig};
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::fit::{Control, Event, Task, fit};
use understudy_shared::train::source::InMemory;
use understudy_shared::train::state::{Progress, TrainState};
use understudy_shared::train::trainee::Trainee;

use super::print;
use crate::cli::{BenchArgs, BenchModel};
use crate::{device, stop};

/// Measures.
pub fn run(args: &BenchArgs) -> Result<()> {
    // From here on an interruption is answered, not before the handler is there.
    check_stop()?;
    ensure!(args.steps > 0, "--steps 0: expected 1 or more");
    ensure!(args.batch_size != Some(0), "--batch-size 0: expected 1 or more");
    ensure!((3..=512).contains(&args.seq_len), "--seq-len {}: expected 3 to 512", args.seq_len);
    device::choose(args.device.device, args.common.quiet || args.common.json)?;
    let gemm = gemm_gflops(args.steps)?;
    if args.common.json {
        print(&json!({"model": "gemm", "mode": "2048^3", "gflops_per_second": gemm}).to_string())?;
    } else {
        print(&format!("{} · 2048³ f32 matrix product: {gemm:.0} GFLOP/s\n", device::name()))?;
        print(&format!(
            "{:<9}{:<9}{:>6} × {:<5}{:>14}{:>10}{:>9}",
            "model", "mode", "batch", "len", "sub-words/s", "GFLOP/s", "of GEMM"
        ))?;
    }
    if args.on_text {
        return on_text::measure(args, gemm);
    }
    for (name, model, config) in [
        ("student", BenchModel::Student, BertConfig::reference_student()),
        (
            "teacher",
            BenchModel::Teacher,
            BertConfig { num_hidden_layers: 6, ..BertConfig::bert_base_cased() },
        ),
    ] {
        if args.model.is_some_and(|only| only != model) {
            continue;
        }
        for batch_size in args.batch_size.map_or(vec![16, 64, 128], |only| vec![only]) {
            for (mode, passes) in [("forward", 1.0), ("train", 3.0)] {
                let subwords = (batch_size * args.seq_len) as f64;
                let seconds = match mode {
                    "forward" => forward_seconds(&config, batch_size, args)?,
                    _ => train_seconds(&config, batch_size, args)?,
                };
                let speed = subwords / seconds;
                let gflops = speed * passes * flops(&config, args.seq_len) / 1e9;
                Row { model: name, mode, batch: Some((batch_size, args.seq_len)), speed, gflops }
                    .print(args, gemm)?;
            }
        }
    }
    Ok(())
}

/// What it says when it is stopped.
const STOPPED: &str = "stopped; what was measured before is above";

/// Ends it where it was asked to stop.
fn check_stop() -> Result<()> {
    Ok(stop::check(|| STOPPED.to_owned())?)
}

/// A measurement.
struct Row {
    model: &'static str,
    mode: &'static str,
    /// Sentences, and sub-words of each; `None` where both vary.
    batch: Option<(usize, usize)>,
    /// Sub-words a second.
    speed: f64,
    /// GFLOP a second.
    gflops: f64,
}

impl Row {
    fn print(&self, args: &BenchArgs, gemm: f64) -> Result<()> {
        let Self { model, mode, batch, speed, gflops } = *self;
        let (batch_size, seq_len) = batch.unzip();
        let fraction = gflops / gemm;
        print(&if args.common.json {
            json!({
                "model": model, "mode": mode, "batch_size": batch_size, "seq_len": seq_len,
                "subwords_per_second": speed, "gflops_per_second": gflops, "gemm_fraction": fraction,
            })
            .to_string()
        } else {
            let [batch_size, seq_len] = [batch_size, seq_len]
                .map(|size| size.map_or("text".to_owned(), |size| size.to_string()));
            format!(
                "{model:<9}{mode:<9}{batch_size:>6} × {seq_len:<5}{speed:>14.0}{gflops:>10.1}{:>8.0}%",
                100.0 * fraction
            )
        })
    }
}

/// FLOPs of one sub-word's forward pass.
fn flops(config: &BertConfig, seq_len: usize) -> f64 {
    let hidden = config.hidden_size;
    let layer = 4 * hidden * hidden + 2 * hidden * config.intermediate_size;
    let table = config.embedding_rank.unwrap_or(0) * hidden;
    let products = 2 * (config.num_hidden_layers * layer + table + hidden * 9);
    (products + config.num_hidden_layers * 4 * seq_len * hidden) as f64
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn gemm_gflops(steps: usize) -> Result<f64> {
    let device = device::device();
    let matrix = || Tensor::<2>::random([2048, 2048], Distribution::Default, &device);
    let (left, right) = (matrix(), matrix());
    let seconds = median_seconds(steps, || {
        let product = left.clone().matmul(right.clone());
        let _ = pollster::block_on(product.slice([0..1, 0..1]).into_data_async());
    });
    Ok(2.0 * 2048f64.powi(3) / seconds? / 1e9)
}

/// The median of some times, after two that do not count.
fn median_seconds(steps: usize, work: impl Fn()) -> Result<f64> {
    let seconds = (0..steps + 2).map(|_| {
        check_stop()?;
        let start = Instant::now();
        work();
        Ok(start.elapsed().as_secs_f64())
    });
    Ok(median(seconds.skip(2).collect::<Result<_>>()?))
}

fn examples(batch_size: usize, seq_len: usize, config: &BertConfig) -> Vec<Example> {
    (0..batch_size)
        .map(|row| Example {
            sentence: row,
            input_ids: (0..seq_len)
                .map(|position| ((row * 7919 + position * 104_729) % config.vocab_size) as u32)
                .collect(),
            word_ids: (0..seq_len).map(Some).collect(),
            counted: vec![true; seq_len],
            label_ids: (0..seq_len).map(|position| ((row + position) % 9) as i32).collect(),
        })
        .collect()
}

fn forward_seconds(config: &BertConfig, batch_size: usize, args: &BenchArgs) -> Result<f64> {
    let device = device::device();
    let model = device::place(TokenClassifier::init(config, 9, args.common.seed, &device));
    let examples = examples(batch_size, args.seq_len, config);
    let chosen: Vec<&Example> = examples.iter().collect();
    median_seconds(args.steps, || {
        let batch = Batch::new(&chosen, config.pad_token_id, &device);
        let (input_ids, mask) = (batch.input_ids, batch.attention_mask);
        let logits = model.forward(input_ids, mask, batch.is_padded, &mut Noise::off());
        let _ = pollster::block_on(logits.into_data_async());
    })
}

/// The median step of the real training loop, dropout on.
fn train_seconds(config: &BertConfig, batch_size: usize, args: &BenchArgs) -> Result<f64> {
    let examples = InMemory::new(examples(batch_size, args.seq_len, config), None);
    let model = TokenClassifier::init(config, 9, args.common.seed, &device::device().autodiff());
    let task = Task {
        train: &examples,
        teacher: None,
        dev: None,
        labels: &LabelSet::conll2003(),
        pad_token_id: config.pad_token_id,
        mask_token_id: config.pad_token_id,
    };
    let train_config = TrainConfig {
        epochs: args.steps + 2,
        batch: BatchBudget::Sentences(batch_size),
        ..train_config(Objective::hard(), args)
    };
    let steps = steps(model, &task, &train_config)?;
    Ok(median(steps.into_iter().map(|(seconds, _)| seconds).collect()))
}

fn train_config(objective: Objective, args: &BenchArgs) -> TrainConfig {
    TrainConfig {
        epochs: 1,
        batch: BatchBudget::Sentences(32),
        gradient_accumulation: 1,
        learning_rate: 1e-4,
        warmup_steps: 0,
        max_gradient_norm: Some(1.0),
        optimizer: AdamWConfig { weight_decay: 1e-6, ..AdamWConfig::default() },
        objective,
        text_ratio: None,
        token_dropout: 0.0,
        evaluate_every: None,
        patience: None,
        log_every: 1,
        seed: args.common.seed,
    }
}

/// Seconds and sub-words of each step of the real training loop but the first two.
fn steps(
    model: TokenClassifier,
    task: &Task<'_>,
    config: &TrainConfig,
) -> Result<Vec<(f64, usize)>> {
    let mut state = TrainState {
        model: Trainee::new(device::place(model)),
        optimizer: AdamW::new(config.optimizer, device::placement()),
        progress: Progress::default(),
    };
    let mut last = Instant::now();
    let mut steps = Vec::new();
    let stop = stop::flag();
    let fitted = fit(&mut state, task, config, |event| {
        if let Event::Step(record) = event {
            steps.push((last.elapsed().as_secs_f64(), record.subwords));
            last = Instant::now();
        }
        let is_stopped = stop.load(Ordering::Relaxed);
        Ok::<_, Infallible>(if is_stopped { Control::Stop } else { Control::Continue })
    });
    pollster::block_on(fitted)?;
    check_stop()?;
    Ok(steps.split_off(steps.len().min(2)))
}
