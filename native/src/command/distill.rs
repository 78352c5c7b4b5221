//! `distill`: a teacher's logits over labelled and unlabelled text make a student.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::{Example, ExampleOptions, unlabelled_examples};
use understudy_shared::data::label::LabelSet;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::teacher::{TeacherLogits, cache_key};
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::fit::total_steps;

use crate::bundle_dir::BundleDir;
use crate::cli::DistillArgs;
use crate::dataset::{self, Splits};
use crate::progress::Progress;
use crate::report::FileHash;
use crate::runner::{self, Job};
use crate::{device, preset, store};

/// Distils.
pub fn run(args: &DistillArgs) -> Result<()> {
    let mut config = preset::distill(args)?;
    let splits = dataset::read_splits(&args.train.data)?;
    let files = BundleDir::read(&args.teacher)?;
    let teacher = files.load(&device::device())?;
    check_labels(&splits, &teacher.labels, &args.teacher)?;
    let student = preset::student(args, teacher.config.vocab_size, teacher.config.pad_token_id)?;
    let options = preset::example_options(&args.train, &student)?;
    ensure!(
        options.max_length <= teacher.config.max_position_embeddings,
        "--max-length {}: expected at most {}, the teacher's longest input",
        options.max_length,
        teacher.config.max_position_embeddings
    );
    let mut inputs = runner::split_files(&splits);
    inputs.push(files.weights_hash());
    let mut prepared = runner::prepare(splits, &teacher.tokenizer, &teacher.labels, &options)?;
    add_unlabelled(&mut prepared.train, &mut inputs, args, &teacher, &options)?;
    if args.preset.is_none() && args.train.warmup_steps.is_none() {
        config.warmup_steps = total_steps(&config, &prepared.train) / 10;
    }
    let teacher_logits = match config.objective.is_soft() {
        true => Some(label(args, &files, &teacher, &prepared.train)?),
        false => None,
    };
    let (seed, num_labels) = (args.train.common.seed, teacher.labels.len());
    let model = device::place(TokenClassifier::init(
        &student,
        num_labels,
        seed,
        &device::device().autodiff(),
    ));
    let labels = teacher.labels.clone();
    drop(teacher);
    let job = Job {
        description: format!("student: {}", runner::describe(&student)),
        args: &args.train,
        config,
        options,
        model_config: student,
        labels,
        tokenizer: &files.tokenizer,
        train: prepared.train,
        teacher_logits,
        dev: prepared.dev,
        test: prepared.test,
        inputs,
    };
    runner::train(job, model)
}

/// The data may use fewer labels than the teacher has, but none that it lacks.
fn check_labels(splits: &Splits, labels: &LabelSet, teacher: &Path) -> Result<()> {
    let mut labelled = vec![&splits.train, &splits.valid];
    labelled.extend(&splits.test);
    for split in labelled {
        for (index, sentence) in split.sentences.iter().enumerate() {
            if let Some(tag) = sentence.tags.iter().find(|tag| labels.id(tag).is_none()) {
                bail!(
                    "{}: sentence {} has the tag `{tag}`, which the teacher {} does not know; \
                     expected one of {}",
                    split.file.path,
                    index + 1,
                    teacher.display(),
                    labels.names().join(", ")
                );
            }
        }
    }
    Ok(())
}

fn add_unlabelled(
    train: &mut Vec<Example>,
    inputs: &mut Vec<FileHash>,
    args: &DistillArgs,
    teacher: &Bundle,
    options: &ExampleOptions,
) -> Result<()> {
    for path in &args.text {
        let (texts, file) = dataset::read_unlabelled(path)?;
        inputs.push(file);
        let examples = unlabelled_examples(&texts, &teacher.tokenizer, options);
        train.extend(examples.with_context(|| path.display().to_string())?);
    }
    Ok(())
}

/// The teacher's logits: from the cache where another run left them, else computed and left there.
fn label(
    args: &DistillArgs,
    files: &BundleDir,
    teacher: &Bundle,
    examples: &[Example],
) -> Result<TeacherLogits> {
    let num_labels = teacher.labels.len();
    let key = cache_key(&[&files.config, &files.weights], examples);
    let path = cache_folder(args.cache.as_deref())?.join(format!("{key}.safetensors"));
    let quiet = args.train.common.quiet;
    let mut progress = Progress::count(quiet, "teacher labels", examples.len());
    if path.is_file() {
        match TeacherLogits::from_bytes(&store::read(&path)?, examples, num_labels) {
            Ok(logits) => {
                progress.message(&format!("teacher logits: from {}", path.display()));
                return Ok(logits);
            }
            // A damaged cache costs time, not the run.
            Err(error) => progress.message(&format!("{}: {error}; computed again", path.display())),
        }
    }
    let mut logits = TeacherLogits::zeros(examples, num_labels);
    let stop = runner::stop_flag();
    let (pad, budget) = (teacher.config.pad_token_id, BatchBudget::Subwords(2048));
    let mut stopped = false;
    pollster::block_on(for_each_logits(&teacher.model, examples, pad, budget, |index, values| {
        logits.set(index, values);
        progress.advance(1);
        stopped = stop.load(std::sync::atomic::Ordering::Relaxed);
        !stopped
    }));
    ensure!(!stopped, "stopped while the teacher labelled the text; nothing was written");
    let folder = path.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    store::write_atomic(&path, &logits.to_bytes())?;
    progress.message(&format!("teacher logits: kept in {}", path.display()));
    Ok(logits)
}

/// `--cache`, else `understudy` in the user's cache folder.
fn cache_folder(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder.to_path_buf());
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = variable("XDG_CACHE_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let base = base.context("no cache folder: expected --cache DIR or the variable HOME")?;
    Ok(base.join("understudy").join("teacher-logits"))
}
