//! Writes down what happens in a run: log, checkpoints, best bundle, progress, and the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use understudy_shared::checkpoint::bundle::to_files;
use understudy_shared::checkpoint::weights::{NamedTensor, StoredAs};
use understudy_shared::infer::decode::Decoding;
use understudy_shared::metric::conlleval::predictions_conll;
use understudy_shared::train::evaluate::{SplitScores as Scored, word_tags};
use understudy_shared::train::fit::{Control, EvaluationRecord, Event, StepRecord};
use understudy_shared::train::state::{Checkpoint, TrainState};

use super::{BEST, CHECKPOINT, Job, Outcome};
use crate::bundle_dir::BundleDir;
use crate::device;
use crate::hub::Source;
use crate::progress::Progress;
use crate::reading::Reading;
use crate::report::{
    AGREEMENT, Compared, Comparison, CurvePoint, EvaluationPoint, ModelSummary, Report,
    SplitScores, html, shell_line,
};
use crate::stop::{self, Stopped};
use crate::store::{self, LogFile};

fn seconds_of(log: &[Value]) -> f64 {
    log.iter().rev().find_map(|record| record["seconds"].as_f64()).unwrap_or(0.0)
}

/// Writes down what happens.
pub(super) struct Recorder<'a> {
    job: &'a Job<'a>,
    parameters: usize,
    log: LogFile,
    progress: Progress,
    /// Training time of earlier sessions of a resumed run.
    seconds_before: f64,
    started: Instant,
    last_checkpoint: Instant,
    stop: Arc<AtomicBool>,
}

impl<'a> Recorder<'a> {
    /// Begins, or continues behind the `log` of a resumed run.
    pub(super) fn new(
        job: &'a Job<'a>,
        log: LogFile,
        parameters: usize,
        steps: usize,
        state: &TrainState,
    ) -> Self {
        let quiet = job.settings.args.common.quiet;
        let recorder = Self {
            job,
            parameters,
            seconds_before: seconds_of(log.kept()),
            log,
            progress: Progress::new(quiet, steps, state.progress.step, device::log_every()),
            started: Instant::now(),
            last_checkpoint: Instant::now(),
            stop: stop::flag(),
        };
        recorder.greet(steps, state);
        recorder
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn greet(&self, steps: usize, state: &TrainState) {
        let job = self.job;
        let from = match state.progress.step {
            0 => String::new(),
            step => format!(", resumed at step {step}"),
        };
        self.progress.message(&format!(
            "{} · {} parameters · {} training windows · {} steps{from}",
            job.settings.description,
            self.parameters,
            job.train.lengths().len(),
            steps
        ));
    }

    /// Answers an event of the training loop.
    pub(super) fn on(&mut self, event: Event<'_>) -> Result<Control> {
        match event {
            Event::Step(record) => self.on_step(record)?,
            Event::Evaluated { record, weights, .. } => {
                self.on_evaluation(record, weights)?;
                self.progress.rest();
            }
            Event::Checkpoint(checkpoint) => {
                self.on_checkpoint(checkpoint)?;
                self.progress.rest();
            }
        }
        let pause =
            Duration::from_secs_f64(self.job.settings.args.checkpoint_minutes.max(0.0) * 60.0);
        Ok(if self.stop.load(Ordering::Relaxed) {
            Control::Stop
        } else if self.last_checkpoint.elapsed() >= pause {
            Control::Checkpoint
        } else {
            Control::Continue
        })
    }

    fn on_step(&mut self, record: &StepRecord) -> Result<()> {
        self.append("step", &json!(record))?;
        let epoch = record.epoch.ceil() as usize;
        self.progress.step(record.step, epoch, record.loss, record.subwords);
        Ok(())
    }

    fn on_evaluation(
        &mut self,
        record: &EvaluationRecord,
        weights: Option<&[NamedTensor]>,
    ) -> Result<()> {
        if let Some(weights) = weights {
            let Job { settings, folder, tokenizer, .. } = self.job;
            let (config, labels) = (&settings.model_config, Some(&settings.labels));
            let files = to_files(config, labels, tokenizer, weights, StoredAs::F32)?;
            store::write_dir_atomic(&folder.file(BEST), &files)?;
        }
        self.append("evaluation", &json!(record))?;
        let dev = dev_name(self.job);
        self.progress.message(&format!(
            "step {} · epoch {:.2} · {dev} F1 {:.4}{} · {dev} loss {:.4}",
            record.step,
            record.epoch,
            record.f1,
            if record.best { " (best)" } else { "" },
            record.loss
        ));
        Ok(())
    }

    fn on_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.log.sync()?;
        let wanted = checkpoint.tensors.iter().map(|tensor| tensor.values.len() * 4).sum();
        store::write_atomic_with(&self.job.folder.file(CHECKPOINT), wanted, |file| {
            checkpoint.to_parts().try_for_each(|part| file.write_all(&part))
        })?;
        self.last_checkpoint = Instant::now();
        Ok(())
    }

    fn append(&mut self, event: &str, record: &Value) -> Result<()> {
        let mut line = record.clone();
        line["event"] = json!(event);
        line["seconds"] = json!((self.seconds() * 1e3).round() / 1e3);
        self.log.append_line(&line)
    }

    /// Scores the best weights and writes the report beside them.
    pub(super) fn finish(self, snapshot: &Value) -> Result<Outcome> {
        let (job, wall_seconds) = (self.job, self.seconds());
        let Job { settings, folder, .. } = job;
        drop(self.progress);
        let best = BundleDir::read(&Source::local(&folder.file(BEST)))?;
        let bundle = best.load(&device::device())?;
        let mut scores = Vec::new();
        let mut speed = None;
        let sets = [("dev", Some(&job.dev)), ("test", job.test.as_ref())];
        for (split, set) in sets {
            let Some(set) = set else { continue };
            let name = if split == "dev" { dev_name(job) } else { split };
            let (quiet, decoding) = (settings.args.common.quiet, Decoding::default());
            let how = Reading { label: name, quiet, decoding };
            let pad_token_id = settings.model_config.pad_token_id;
            let read = how.read(&bundle.model, &settings.labels, set, pad_token_id);
            let Some((evaluation, subwords_per_second)) = read else {
                let how = "stopped while the best weights were scored; --resume scores them";
                return Err(Stopped(how.to_owned()).into());
            };
            speed.get_or_insert(subwords_per_second);
            let tags = word_tags(&evaluation.predictions, &settings.labels);
            let text = predictions_conll(&set.sentences, &tags);
            let file = format!("predictions.{split}.conll");
            store::write_atomic(&folder.file(&file), text.as_bytes())?;
            scores.push((name, evaluation.scores));
        }
        let comparison = job.compared.clone().zip(speed).map(|(teacher, subwords_per_second)| {
            let student = Compared { parameters: self.parameters, subwords_per_second };
            Comparison { student, teacher }
        });
        let log = LogFile::open(&folder.file("log.jsonl"), usize::MAX)?;
        let report = Report {
            command: command_line(),
            model: ModelSummary {
                description: settings.description.clone(),
                parameters: self.parameters,
                size_bytes: best.weights.len(),
            },
            device: device::name().to_owned(),
            wall_seconds,
            seed: settings.config.seed,
            config: json!({
                "train": snapshot["train"],
                "examples": snapshot["examples"],
                "model": snapshot["student_or_teacher"],
                "init": snapshot["init"],
                "mention_copies": snapshot["mention_copies"],
            }),
            data: settings.inputs.clone(),
            curve: log.kept().iter().filter_map(curve_point).collect(),
            evaluations: evaluation_points(log.kept()),
            scores: scores.iter().map(|(split, scores)| named(split, scores)).collect(),
            comparison,
        };
        let bytes = serde_json::to_vec_pretty(&report)?;
        store::write_atomic(&folder.file("report.html"), html(&report).as_bytes())?;
        store::write_atomic(&folder.file(BEST).join("report.json"), &bytes)?;
        store::write_atomic(&folder.file("report.json"), &bytes)?;
        let (folder, json) = (settings.out.to_path_buf(), settings.args.common.json);
        Ok(Outcome { report, scores, folder, json })
    }
}

/// What the dev split is called: where the teacher tagged it, a score is how far the two agree.
fn dev_name(job: &Job<'_>) -> &'static str {
    if job.compared.is_some() { AGREEMENT } else { "dev" }
}

fn curve_point(record: &Value) -> Option<CurvePoint> {
    if record["event"] != "step" {
        return None;
    }
    let record: StepRecord = serde_json::from_value(record.clone()).ok()?;
    Some(CurvePoint {
        step: record.step,
        epoch: record.epoch.ceil() as usize,
        loss: record.loss,
        learning_rate: record.learning_rate,
        gradient_norm: record.gradient_norm,
        subwords: record.subwords,
    })
}

/// What was typed, quoted as a shell wants it, without the folder the binary is in, and without `--resume`:
/// whoever repeats the run has nothing to resume.
fn command_line() -> String {
    let typed = std::env::args_os().skip(1);
    let typed = typed.map(|argument| argument.to_string_lossy().into_owned());
    let typed = typed.filter(|argument| argument != "--resume");
    let typed: Vec<String> = std::iter::once("understudy".to_owned()).chain(typed).collect();
    shell_line(&typed)
}

/// Every evaluation; `best` only for the one whose weights were kept in the end.
fn evaluation_points(log: &[Value]) -> Vec<EvaluationPoint> {
    let records = log.iter().filter(|record| record["event"] == "evaluation");
    let records = records.filter_map(|record| serde_json::from_value(record.clone()).ok());
    let records: Vec<EvaluationRecord> = records.collect();
    let kept = records.iter().rposition(|record| record.best);
    let points = records.iter().enumerate();
    points
        .map(|(index, record)| EvaluationPoint {
            step: record.step,
            epoch: record.epoch,
            f1: record.f1,
            loss: record.loss,
            best: Some(index) == kept,
        })
        .collect()
}

fn named(split: &str, scores: &Scored) -> SplitScores {
    SplitScores {
        split: split.to_owned(),
        sentences: scores.sentences,
        words: scores.words,
        word_default: scores.word_default.clone(),
        word_strict: scores.word_strict.clone(),
        subword_default: scores.subword_default.clone(),
        subword_strict: scores.subword_strict.clone(),
    }
}
