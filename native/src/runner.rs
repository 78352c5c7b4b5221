//! A training run: its folder, log, checkpoints, best bundle and report, around `train::fit`.

mod outcome;
mod recorder;
mod settings;

use anyhow::{Context, Result, anyhow};
use burn::module::Module;
use serde_json::Value;
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

use crate::dataset::{self, Splits};
use crate::device;
pub use crate::report::Compared;
use crate::report::FileHash;
use crate::stop::Stopped;
use crate::store::{self, LogFile, RunFolder};
pub use outcome::Outcome;
use recorder::Recorder;
pub use settings::Settings;

const CHECKPOINT: &str = "checkpoint.safetensors";
/// The folder of the best bundle in a run's.
pub const BEST: &str = "best";

/// All a run needs.
pub struct Job<'a> {
    /// What it is.
    pub settings: Settings<'a>,
    /// Its folder, as [`Settings::open`] gave it.
    pub folder: RunFolder,
    /// The model's `tokenizer.json`.
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
    let all = all.into_iter().flatten();
    // One page names the tags of all splits.
    let page = all.clone().find_map(|split| split.page.as_ref());
    all.map(|split| &split.file).chain(page).cloned().collect()
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
    let args = job.settings.args;
    let snapshot = job.settings.keep(&job.folder)?;
    device::start_in_one_part();
    let mut first = Some(model);
    let mut continues = args.resume;
    let done = device::retry(args.common.quiet, || {
        // A GPU's memory may run out; then the run goes on from its last checkpoint.
        let model = if device::is_gpu() { first.clone() } else { first.take() };
        let model = model.expect("only a GPU is tried again");
        // Before the attempt, for a device that fails does not come back from it.
        let continues = std::mem::replace(&mut continues, true);
        attempt(&job, model, &snapshot, continues)
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
    Trainee { classifier, projections }: Trainee,
    snapshot: &Value,
    continues: bool,
) -> Result<Outcome> {
    let (settings, folder) = (&job.settings, &job.folder);
    let parameters = classifier.num_params();
    let model = Trainee { classifier: classifier.with_feed(device::feed()), projections };
    let optimizer = AdamW::new(settings.config.optimizer, device::placement());
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
    let steps = total_steps(&settings.config, job.train);
    let mut recorder = Recorder::new(job, log, parameters, steps, &state);
    if device::is_gpu() && !has_checkpoint {
        recorder.on(Event::Checkpoint(&pollster::block_on(state.checkpoint())))?;
        device::inject_fault(0);
    }
    let config = TrainConfig { log_every: device::log_every(), ..settings.config.clone() };
    let task = Task {
        train: job.train,
        teacher: job.teacher,
        dev: Some(&job.dev),
        labels: &settings.labels,
        pad_token_id: settings.model_config.pad_token_id,
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
