//! A training run: its folder, log, checkpoints, best bundle and report, around `train::fit`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use burn::module::Module;
use serde_json::{Value, json};
use understudy_shared::checkpoint::bundle::to_files;
use understudy_shared::checkpoint::weights::{NamedTensor, StoredAs};
use understudy_shared::data::example::{Example, ExampleOptions, labelled_examples};
use understudy_shared::data::label::LabelSet;
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::infer::decode::Decoding;
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::metric::conlleval::predictions_conll;
use understudy_shared::model::{BertConfig, TokenClassifier};
use understudy_shared::train::adamw::AdamW;
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::evaluate::{LabelledSet, evaluate, word_tags};
use understudy_shared::train::fit::{
    Control, Ending, EvaluationRecord, Event, FitError, StepRecord, Task, fit, total_steps,
};
use understudy_shared::train::state::{Checkpoint, Progress as RunProgress, TrainState};
use understudy_shared::train::trainee::Trainee;

use crate::bundle_dir::BundleDir;
use crate::cli::TrainArgs;
use crate::command::{print, scores_json, scores_table};
use crate::dataset::{self, Splits};
use crate::device;
use crate::progress::{Progress, duration};
use crate::report::{
    CurvePoint, EvaluationPoint, FileHash, ModelSummary, Report, SplitScores, html,
};
use crate::store::{self, LogFile, RUN_CONFIG, RunFolder};

const CHECKPOINT: &str = "checkpoint.safetensors";
const BEST: &str = "best";

/// All a run needs.
pub struct Job<'a> {
    /// For people: what is trained.
    pub description: String,
    /// What the model began with.
    pub init: &'static str,
    /// What was typed.
    pub args: &'a TrainArgs,
    /// What it means.
    pub config: TrainConfig,
    /// How sentences became examples.
    pub options: ExampleOptions,
    /// The model's configuration.
    pub model_config: BertConfig,
    /// Its labels.
    pub labels: LabelSet,
    /// Its `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// Learned from, the labelled ones first.
    pub train: Vec<Example>,
    /// How many are labelled.
    pub num_labelled: usize,
    /// The teacher's logits of `train`.
    pub teacher_logits: Option<TeacherLogits>,
    /// The teacher, where hidden states are compared.
    pub teacher: Option<&'a TokenClassifier>,
    /// The best weights are chosen by it.
    pub dev: LabelledSet,
    /// Scored once at the end.
    pub test: Option<LabelledSet>,
    /// Hashes of everything that went in.
    pub inputs: Vec<FileHash>,
}

/// Splits made into examples.
pub struct Prepared {
    /// Learned from.
    pub train: Vec<Example>,
    /// The best weights are chosen by it.
    pub dev: LabelledSet,
    /// Scored once at the end.
    pub test: Option<LabelledSet>,
}

/// Tokenises and aligns the splits.
pub fn prepare(
    splits: Splits,
    tokenizer: &SubwordTokenizer,
    labels: &LabelSet,
    options: &ExampleOptions,
) -> Result<Prepared> {
    let train = labelled_examples(&splits.train.sentences, tokenizer, labels, options);
    // Scores are over all sub-words whatever the training ignored.
    let scored = ExampleOptions { continuation: Default::default(), ..*options };
    let set = |split| dataset::labelled_set(split, tokenizer, labels, &scored);
    Ok(Prepared {
        train: train.with_context(|| splits.train.file.path.clone())?,
        dev: set(splits.valid)?,
        test: splits.test.map(set).transpose()?,
    })
}

/// The hashes of a data folder's files.
pub fn split_files(splits: &Splits) -> Vec<FileHash> {
    let all = [Some(&splits.train), Some(&splits.valid), splits.test.as_ref()];
    all.into_iter().flatten().map(|split| split.file.clone()).collect()
}

/// A configuration in a line.
pub fn describe(config: &BertConfig) -> String {
    format!(
        "hidden {}, {} layers, {} heads, intermediate {}",
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.intermediate_size
    )
}

/// Set by Ctrl-C or SIGTERM; a second one ends the process at once.
pub fn stop_flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let install = || {
        let flag = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&flag);
        // Where no handler can be set, Ctrl-C ends the process, and the last checkpoint is there.
        let _ = ctrlc::set_handler(move || {
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("stopping as soon as nothing is lost; once more stops at once");
        });
        flag
    };
    Arc::clone(FLAG.get_or_init(install))
}

/// Trains `model`, on a device with autodiff and with its first weights, from the start or from the
/// last checkpoint, and writes the report.
pub fn train(job: Job<'_>, model: Trainee) -> Result<()> {
    let (args, quiet) = (job.args, job.args.common.quiet);
    let folder = RunFolder::create(&args.out, args.resume)?;
    let snapshot = snapshot(&job);
    check_or_write_snapshot(&folder, &snapshot, args.resume)?;
    let parameters = model.classifier.num_params();
    let optimizer = AdamW::new(job.config.optimizer, device::placement());
    let progress = RunProgress::default();
    let mut state = TrainState { model, optimizer, progress };
    if args.resume && folder.file(CHECKPOINT).is_file() {
        let bytes = store::read(&folder.file(CHECKPOINT))?;
        let restored = Checkpoint::from_bytes(&bytes).map(|checkpoint| state.restore(checkpoint));
        let restored = restored.and_then(std::convert::identity);
        restored.with_context(|| folder.file(CHECKPOINT).display().to_string())?;
    }
    let log = LogFile::open(&folder.file("log.jsonl"), state.progress.step)?;
    let steps = total_steps(&job.config, &job.train, job.num_labelled);
    let mut recorder = Recorder {
        job: &job,
        folder: &folder,
        parameters,
        seconds_before: seconds_of(log.kept()),
        log,
        progress: Progress::new(quiet, steps, state.progress.step),
        started: Instant::now(),
        last_checkpoint: Instant::now(),
        stop: stop_flag(),
    };
    recorder.greet(steps, &state);
    let task = Task {
        train: &job.train,
        num_labelled: job.num_labelled,
        teacher_logits: job.teacher_logits.as_ref(),
        teacher: job.teacher,
        dev: Some(&job.dev),
        labels: &job.labels,
        pad_token_id: job.model_config.pad_token_id,
    };
    let ending = fit(&mut state, &task, &job.config, |event| recorder.on(event));
    let ending = pollster::block_on(ending).map_err(|error| match error {
        FitError::Observer(error) => error,
        other => anyhow!(other.to_string()),
    })?;
    if ending == Ending::Stopped {
        drop(recorder.progress);
        eprintln!(
            "stopped at step {} of {steps}; continue with the same command and --resume",
            state.progress.step
        );
        std::process::exit(130);
    }
    drop(state);
    recorder.finish(&snapshot)
}

/// What a run is, as it stands in `run.json`: a resumed run must be the same.
fn snapshot(job: &Job<'_>) -> Value {
    json!({
        "understudy": env!("CARGO_PKG_VERSION"),
        "model": job.description,
        "init": job.init,
        "train": job.config,
        "examples": job.options,
        "student_or_teacher": job.model_config,
        "labels": job.labels,
        "files": job.inputs,
    })
}

fn check_or_write_snapshot(folder: &RunFolder, snapshot: &Value, resume: bool) -> Result<()> {
    let path = folder.file(RUN_CONFIG);
    if !resume {
        return store::write_atomic(&path, &serde_json::to_vec_pretty(snapshot)?);
    }
    let before: Value = serde_json::from_slice(&store::read(&path)?)
        .with_context(|| format!("{}: expected the settings of a run", path.display()))?;
    let (before, now) = (flat(&before), flat(snapshot));
    let is_path = |key: &str| key.starts_with("files.") && key.ends_with(".path");
    // A file is what it holds, wherever it lies.
    for key in before.keys().chain(now.keys()).filter(|key| !is_path(key)) {
        let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
        ensure!(
            before.get(key) == now.get(key),
            "cannot resume {}: {key} was {}, now {}; expected the settings and files the run \
             began with",
            path.display(),
            show(before.get(key)),
            show(now.get(key))
        );
    }
    Ok(())
}

/// Nested settings as `train.learning_rate` and the like.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn add(prefix: &str, value: &Value, all: &mut BTreeMap<String, Value>) {
        let join = |key: &str| match prefix {
            "" => key.to_owned(),
            _ => format!("{prefix}.{key}"),
        };
        match value {
            Value::Object(object) => {
                object.iter().for_each(|(key, value)| add(&join(key), value, all));
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, item)| add(&join(&i.to_string()), item, all));
            }
            other => drop(all.insert(prefix.to_owned(), other.clone())),
        }
    }
    let mut all = BTreeMap::new();
    add("", value, &mut all);
    all
}

fn seconds_of(log: &[Value]) -> f64 {
    log.iter().rev().find_map(|record| record["seconds"].as_f64()).unwrap_or(0.0)
}

/// Writes down what happens.
struct Recorder<'a> {
    job: &'a Job<'a>,
    folder: &'a RunFolder,
    parameters: usize,
    log: LogFile,
    progress: Progress,
    /// Training time of earlier sessions of a resumed run.
    seconds_before: f64,
    started: Instant,
    last_checkpoint: Instant,
    stop: Arc<AtomicBool>,
}

impl Recorder<'_> {
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
            "{} · {} parameters · {} training windows · {} steps{from} · {}",
            job.description,
            self.parameters,
            job.train.len(),
            steps,
            device::name()
        ));
    }

    fn on(&mut self, event: Event<'_>) -> Result<Control> {
        match event {
            Event::Step(record) => self.on_step(record)?,
            Event::Evaluated { record, weights, .. } => self.on_evaluation(record, weights)?,
            Event::Checkpoint(checkpoint) => self.on_checkpoint(checkpoint)?,
        }
        let pause = Duration::from_secs_f64(self.job.args.checkpoint_minutes.max(0.0) * 60.0);
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
            let job = self.job;
            let labels = Some(&job.labels);
            let files = to_files(&job.model_config, labels, job.tokenizer, weights, StoredAs::F32)?;
            store::write_dir_atomic(&self.folder.file(BEST), &files)?;
        }
        self.append("evaluation", &json!(record))?;
        self.progress.message(&format!(
            "step {} · epoch {:.2} · dev F1 {:.4}{} · dev loss {:.4}",
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
        store::write_atomic_with(&self.folder.file(CHECKPOINT), wanted, |file| {
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
    fn finish(self, snapshot: &Value) -> Result<()> {
        let (job, wall_seconds) = (self.job, self.seconds());
        drop(self.progress);
        let best = BundleDir::read(&self.folder.file(BEST))?;
        let bundle = best.load(&device::device())?;
        let mut scores = Vec::new();
        let sets = [("dev", Some(&job.dev)), ("test", job.test.as_ref())];
        for (split, set) in sets {
            let Some(set) = set else { continue };
            let mut progress = Progress::count(job.args.common.quiet, split, set.examples.len());
            let pad = job.model_config.pad_token_id;
            let advance = || {
                progress.advance(1);
                !self.stop.load(Ordering::Relaxed)
            };
            let decoding = Decoding::default();
            let evaluation = evaluate(&bundle.model, &job.labels, set, pad, decoding, advance);
            let Some(evaluation) = pollster::block_on(evaluation) else {
                drop(progress);
                eprintln!("stopped while the best weights were scored; --resume scores them");
                std::process::exit(130);
            };
            let tags = word_tags(&evaluation.predictions, &job.labels);
            let text = predictions_conll(&set.sentences, &tags);
            let name = format!("predictions.{split}.conll");
            store::write_atomic(&self.folder.file(&name), text.as_bytes())?;
            scores.push((split, evaluation.scores));
        }
        let log = LogFile::open(&self.folder.file("log.jsonl"), usize::MAX)?;
        let report = Report {
            command: command_line(),
            model: ModelSummary {
                description: job.description.clone(),
                parameters: self.parameters,
                size_bytes: best.weights.len(),
            },
            device: device::name(),
            wall_seconds,
            seed: job.config.seed,
            config: json!({
                "train": snapshot["train"],
                "examples": snapshot["examples"],
                "model": snapshot["student_or_teacher"],
                "init": snapshot["init"],
            }),
            data: job.inputs.clone(),
            curve: log.kept().iter().filter_map(curve_point).collect(),
            evaluations: evaluation_points(log.kept()),
            scores: scores.iter().map(|(split, scores)| named(split, scores)).collect(),
        };
        let bytes = serde_json::to_vec_pretty(&report)?;
        store::write_atomic(&self.folder.file("report.html"), html(&report).as_bytes())?;
        store::write_atomic(&self.folder.file(BEST).join("report.json"), &bytes)?;
        store::write_atomic(&self.folder.file("report.json"), &bytes)?;
        announce(job, self.parameters, &scores, wall_seconds, self.folder)
    }
}

fn announce(
    job: &Job<'_>,
    parameters: usize,
    scores: &[(&str, understudy_shared::train::evaluate::SplitScores)],
    wall_seconds: f64,
    folder: &RunFolder,
) -> Result<()> {
    if job.args.common.json {
        let mut object = json!({
            "parameters": parameters,
            "wall_seconds": wall_seconds,
            "bundle": folder.file(BEST),
            "report": folder.file("report.html"),
        });
        for (split, scores) in scores {
            object[*split] = scores_json(scores);
        }
        return print(&serde_json::to_string(&object)?);
    }
    for (split, scores) in scores {
        print(&format!("{split}\n{}\n", scores_table(scores)))?;
    }
    print(&format!(
        "{parameters} parameters, trained in {}\nbundle  {}\nreport  {}",
        duration(wall_seconds),
        folder.file(BEST).display(),
        folder.file("report.html").display()
    ))
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

/// What was typed, without the folder the binary is in.
fn command_line() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("understudy".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
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
            epoch: record.epoch.ceil() as usize,
            f1: record.f1,
            loss: Some(record.loss),
            best: Some(index) == kept,
        })
        .collect()
}

fn named(split: &str, scores: &understudy_shared::train::evaluate::SplitScores) -> SplitScores {
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
