//! `distill`: a teacher's logits over labelled and unlabelled text make a student.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::compress::student_init::init_embeddings;
use understudy_shared::data::example::{Example, ExampleOptions, unlabelled_examples};
use understudy_shared::data::label::LabelSet;
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::model::{BertConfig, TokenClassifier};
use understudy_shared::train::plan::total_steps;
use understudy_shared::train::trainee::Trainee;

use crate::bundle_dir::BundleDir;
use crate::cli::{DistillArgs, InitName};
use crate::dataset::{self, Splits};
use crate::labelling::{Labelling, Shard};
use crate::report::FileHash;
use crate::runner::{self, Job};
use crate::store::RunFolder;
use crate::{device, preset};

/// Distils.
pub fn run(args: &DistillArgs) -> Result<()> {
    let mut config = preset::distill(args)?;
    ensure!(
        args.text_ratio.is_none() || !args.text.is_empty(),
        "--text-ratio without text: expected --text FILE too"
    );
    RunFolder::check(&args.train.out, args.train.resume)?;
    let splits = dataset::read_splits(&args.train.data)?;
    let files = BundleDir::read(&args.teacher)?;
    let teacher = files.load(&device::device())?;
    check_labels(&splits, &teacher.labels, &args.teacher)?;
    let student = preset::student(args, teacher.config.vocab_size, teacher.config.pad_token_id)?;
    let most = student.max_position_embeddings.min(teacher.config.max_position_embeddings);
    let options = preset::example_options(&args.train, most)?;
    let model = new_student(args, &student, &teacher)?;
    let mut inputs = runner::split_files(&splits);
    inputs.extend(files.hashes());
    let runner::Prepared { train, dev, test } =
        runner::prepare(splits, &teacher.tokenizer, &teacher.labels, &options)?;
    let mut sources = vec![train];
    sources.extend(unlabelled(&mut inputs, args, &teacher, &options)?);
    let teacher_logits = match config.objective.is_soft() {
        true => Some(label(args, &files, &teacher, &sources)?),
        false => None,
    };
    let num_labelled = sources[0].len();
    let train: Vec<Example> = sources.into_iter().flatten().collect();
    if args.train.warmup_steps.is_none() {
        config.warmup_steps = total_steps(&config, &train, num_labelled) / 10;
    }
    let labels = teacher.labels.clone();
    let (teacher_config, teacher) = (teacher.config, teacher.model);
    // Without hidden states to compare, the teacher has done its work.
    let teacher = (config.objective.hidden_weight > 0.0).then_some(teacher);
    let model = match teacher {
        Some(_) => Trainee::matching(model, &student, &teacher_config, config.stream(4, 0)),
        None => Trainee::new(model),
    };
    let job = Job {
        description: format!("student: {}", runner::describe(&student)),
        init: match args.init {
            None | Some(InitName::Random) => "random",
            Some(InitName::Teacher) => "teacher's embeddings",
        },
        args: &args.train,
        config,
        options,
        model_config: student,
        labels,
        tokenizer: &files.tokenizer,
        train,
        num_labelled,
        teacher_logits,
        teacher: teacher.as_ref(),
        dev,
        test,
        inputs,
    };
    runner::train(job, model)
}

/// A student with its first weights.
fn new_student(
    args: &DistillArgs,
    config: &BertConfig,
    teacher: &Bundle,
) -> Result<TokenClassifier> {
    let (seed, num_labels) = (args.train.common.seed, teacher.labels.len());
    let device = device::device().autodiff();
    let student = TokenClassifier::init(config, num_labels, seed, &device);
    let student = match args.init {
        None | Some(InitName::Random) => student,
        Some(InitName::Teacher) => {
            let (model, theirs) = (&teacher.model, &teacher.config);
            pollster::block_on(init_embeddings(student, config, model, theirs))?
        }
    };
    Ok(device::place(student))
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

/// The examples of each text file.
fn unlabelled(
    inputs: &mut Vec<FileHash>,
    args: &DistillArgs,
    teacher: &Bundle,
    options: &ExampleOptions,
) -> Result<Vec<Vec<Example>>> {
    let mut sources = Vec::with_capacity(args.text.len());
    for path in &args.text {
        let (texts, file) = dataset::read_unlabelled(path)?;
        inputs.push(file);
        let examples = unlabelled_examples(&texts, &teacher.tokenizer, options);
        sources.push(examples.with_context(|| path.display().to_string())?);
    }
    Ok(sources)
}

/// The teacher's logits of all examples.
fn label(
    args: &DistillArgs,
    files: &BundleDir,
    teacher: &Bundle,
    sources: &[Vec<Example>],
) -> Result<TeacherLogits> {
    let quiet = args.train.common.quiet;
    let labelling = Labelling::new(args.cache.as_deref(), files, teacher, quiet)?;
    let sources: Vec<&[Example]> = sources.iter().map(Vec::as_slice).collect();
    let mut logits = TeacherLogits::empty(teacher.labels.len());
    let counts = labelling.label(&sources, Shard::WHOLE, |chunk| logits.append(&chunk))?;
    if !quiet && counts.found + counts.kept == counts.chunks {
        let whence = if counts.kept == 0 { "from" } else { "kept in" };
        eprintln!("teacher logits: {whence} {}", labelling.folder().display());
    }
    Ok(logits)
}
