//! A training run: its folder, log, checkpoints, best bundle and report, around `train::fit`.

mod outcome;
mod recorder;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use burn::module::Module;
use serde_json::{Value, json};
use understudy_shared::data::example::{Example, ExampleOptions, labelled_examples};
use understudy_shared::data::label::LabelSet;
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::model::{BertConfig, TokenClassifier};
use understudy_shared::train::adamw::AdamW;
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::evaluate::LabelledSet;
use understudy_shared::train::fit::{Ending, Event, FitError, Task, fit};
use understudy_shared::train::plan::total_steps;
use understudy_shared::train::source::Source;
use understudy_shared::train::state::{Checkpoint, Progress as RunProgress, TrainState};
use understudy_shared::train::trainee::Trainee;

use crate::cli::TrainArgs;
use crate::dataset::{self, Splits};
use crate::device;
use crate::hub::Origin;
pub use crate::report::Compared;
use crate::report::FileHash;
use crate::stop::Stopped;
use crate::store::{self, LogFile, RUN_CONFIG, RunFolder};
pub use outcome::Outcome;
use recorder::Recorder;

const CHECKPOINT: &str = "checkpoint.safetensors";
/// The folder of the best bundle in a run's.
pub const BEST: &str = "best";

/// All a run needs.
pub struct Job<'a> {
    /// For people: what is trained.
    pub description: String,
    /// What the model began with.
    pub init: &'static str,
    /// Its folder.
    pub out: &'a Path,
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
    /// Its `[MASK]`.
    pub mask_token_id: u32,
    /// Learned from.
    pub train: &'a dyn Source,
    /// The teacher, where hidden states are compared.
    pub teacher: Option<&'a TokenClassifier>,
    /// The best weights are chosen by it.
    pub dev: LabelledSet,
    /// Scored once at the end.
    pub test: Option<LabelledSet>,
    /// The teacher, where the dev split is text that it tagged.
    pub compared: Option<Compared>,
    /// Hashes of everything that went in.
    pub inputs: Vec<FileHash>,
    /// The repositories of the hub it is from.
    pub origins: Vec<Origin>,
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

/// Trains `model`, on a device with autodiff and with its first weights, from the start or from the
/// last checkpoint, writes the report, and gives what is to be said.
pub fn train(job: Job<'_>, model: Trainee) -> Result<Outcome> {
    let args = job.args;
    let folder = RunFolder::create(job.out, args.resume)?;
    let snapshot = snapshot(&job);
    check_or_write_snapshot(&folder, &snapshot, args.resume)?;
    device::start_in_one_part();
    let mut first = Some(model);
    let mut continues = args.resume;
    let done = device::retry(args.common.quiet, || {
        // A GPU's memory may run out; then the run goes on from its last checkpoint.
        let model = if device::is_gpu() { first.clone() } else { first.take() };
        let model = model.expect("only a GPU is tried again");
        // Before the attempt, for a device that fails does not come back from it.
        let continues = std::mem::replace(&mut continues, true);
        attempt(&job, &folder, model, &snapshot, continues)
    });
    done.map_err(|error| match error.is::<device::Fault>() {
        true => error.context(
            "the run stopped, its last checkpoint is kept: continue with the same command and \
             --resume, or on the CPU with --device cpu as well",
        ),
        false => error,
    })
}

/// Trains to the end, or as far as the device goes.
fn attempt(
    job: &Job<'_>,
    folder: &RunFolder,
    Trainee { classifier, projections }: Trainee,
    snapshot: &Value,
    continues: bool,
) -> Result<Outcome> {
    let parameters = classifier.num_params();
    let model = Trainee { classifier: classifier.with_feed(device::feed()), projections };
    let optimizer = AdamW::new(job.config.optimizer, device::placement());
    let progress = RunProgress::default();
    let mut state = TrainState { model, optimizer, progress };
    let has_checkpoint = continues && folder.file(CHECKPOINT).is_file();
    if has_checkpoint {
        let bytes = store::read(&folder.file(CHECKPOINT))?;
        let restored = Checkpoint::from_bytes(&bytes).map(|checkpoint| state.restore(checkpoint));
        let restored = restored.and_then(std::convert::identity);
        restored.with_context(|| folder.file(CHECKPOINT).display().to_string())?;
    }
    let log = LogFile::open(&folder.file("log.jsonl"), state.progress.step)?;
    let steps = total_steps(&job.config, job.train);
    let mut recorder = Recorder::new(job, folder, log, parameters, steps, &state);
    if device::is_gpu() && !has_checkpoint {
        recorder.on(Event::Checkpoint(&pollster::block_on(state.checkpoint())))?;
        device::inject_fault(0);
    }
    let config = TrainConfig { log_every: device::log_every(), ..job.config.clone() };
    let task = Task {
        train: job.train,
        teacher: job.teacher,
        dev: Some(&job.dev),
        labels: &job.labels,
        pad_token_id: job.model_config.pad_token_id,
        mask_token_id: job.mask_token_id,
    };
    let ending = fit(&mut state, &task, &config, |event| {
        if let Event::Step(record) = &event {
            device::inject_fault(record.step);
        }
        recorder.on(event)
    });
    let ending = pollster::block_on(ending).map_err(|error| match error {
        FitError::Observer(error) => error,
        other => anyhow!(other.to_string()),
    })?;
    if ending == Ending::Stopped {
        drop(recorder);
        let step = state.progress.step;
        let how = "continue with the same command and --resume";
        return Err(Stopped(format!("stopped at step {step} of {steps}; {how}")).into());
    }
    drop(state);
    recorder.finish(snapshot)
}

/// What a run is, as it stands in `run.json`: a resumed run must be the same.
fn snapshot(job: &Job<'_>) -> Value {
    json!({
        "understudy": env!("CARGO_PKG_VERSION"),
        "model": job.description,
        "init": job.init,
        "mention_copies": job.args.mention_copies.unwrap_or(0),
        "train": job.config,
        "examples": job.options,
        "student_or_teacher": job.model_config,
        "labels": job.labels,
        "files": job.inputs,
        "hub": job.origins,
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
    // A file is what it holds, wherever it lies or comes from.
    let is_path = |key: &str| {
        key.starts_with("files.") && key.ends_with(".path")
            || key == "hub"
            || key.starts_with("hub.")
    };
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
