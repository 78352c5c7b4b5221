//! `distill`: a teacher's logits over labelled and unlabelled text make a student.

mod text_alone;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use serde_json::Value;
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::compress::frequency::TokenCounts;
use understudy_shared::compress::student_fit::{check_embeddings, check_layers};
use understudy_shared::compress::student_init::{init_embeddings, init_layers};
use understudy_shared::data::example::{Example, ExampleOptions};
use understudy_shared::model::{BertConfig, TokenClassifier};
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::plan::total_steps;
use understudy_shared::train::trainee::Trainee;

use crate::bundle_dir::BundleDir;
use crate::chart::thousands;
use crate::cli::{DistillArgs, DtypeName, ExportArgs, InitName};
use crate::command::export;
use crate::corpus::Corpus;
use crate::dataset;
use crate::hub::{Hub, Source};
use crate::labelling::{Labelling, Shard, sentences};
use crate::progress::print_line;
use crate::runner::{self, Compared, Job, Settings};
use crate::shipped::{self, Role};
use crate::store::{self, RunFolder};
use crate::text_file::TextFile;
use crate::{device, preset, stop};

/// Training examples over which the teacher's neurons are compared.
const SAMPLE: usize = 1024;

/// Distils.
pub fn run(args: &DistillArgs) -> Result<()> {
    let config = preset::distill(args)?;
    check_material(args)?;
    RunFolder::check(&args.out, args.train.resume)?;
    let hub = Hub::for_run(&args.train.common, &args.out, args.train.resume)?;
    let source = match &args.teacher {
        Some(teacher) => hub.model(teacher, true)?,
        None => shipped::find(Role::Teacher)?,
    };
    let data = args.data.as_deref().map(|data| hub.data(data, dataset::files_of)).transpose()?;
    let mut splits = data.as_ref().map(dataset::read_splits).transpose()?;
    if let Some(splits) = &mut splits {
        dataset::augment(&mut splits.train, args.train.mention_copies, args.train.common.seed)?;
    }
    let mut texts = match (&splits, args.text.as_slice()) {
        (None, []) => vec![TextFile::sample()?],
        (_, paths) => paths.iter().map(|path| TextFile::check(path)).collect::<Result<_>>()?,
    };
    let mut inputs = splits.as_ref().map(runner::split_files).unwrap_or_default();
    let files = BundleDir::read(&source)?.with_labels(args.labels.as_deref())?;
    inputs.extend(files.hashes());
    inputs.extend(texts.iter().map(|text| text.file.clone()));
    device::choose(args.train.device.device, args.train.common.quiet)?;
    let teacher = files.load(&device::device())?;
    let student = preset::student(args, &teacher.config)?;
    match args.init {
        None | Some(InitName::Random) => {}
        Some(InitName::Embeddings) => check_embeddings(&student, &teacher.config)?,
        Some(InitName::Layers) => check_layers(&student, &teacher.config)?,
    }
    let most = student.max_position_embeddings.min(teacher.config.max_position_embeddings);
    let options = preset::example_options(&args.train, most)?;
    let quiet = args.train.common.quiet;
    let prepared = splits.map(|splits| {
        let prepared = runner::prepare(splits, &teacher.tokenizer, &teacher.labels, &options);
        let whose = || format!("with the labels of the teacher {}", source.folder.display());
        prepared.with_context(whose)
    });
    let prepared = prepared.transpose()?;
    let origins = [source.origin.clone(), data.and_then(|data| data.origin)];
    let mut settings = Settings {
        description: format!("student: {}", runner::describe(&student)),
        init: match args.init {
            None | Some(InitName::Random) => "random",
            Some(InitName::Embeddings) => "teacher's embeddings",
            Some(InitName::Layers) => "teacher's layers",
        },
        out: &args.out,
        args: &args.train,
        config,
        options,
        model_config: student,
        labels: teacher.labels.clone(),
        inputs,
        origins: origins.into_iter().flatten().collect(),
    };
    let folder = settings.open()?;
    let (runner::Prepared { train, dev, test }, teacher_speed) = match prepared {
        Some(prepared) => (prepared, None),
        None => {
            greet(args, &source, &texts);
            let (dev, speed) = text_alone::held_out(&mut texts, &teacher, &options, quiet)?;
            (runner::Prepared { train: vec![], dev, test: None }, Some(speed))
        }
    };
    if let Some(note) = unread(&settings.config, train.len(), &texts).filter(|_| !quiet) {
        print_line(&note);
    }
    let (corpus, counts, sample) = label(args, &files, &teacher, train, (&texts, &options))?;
    let student = &settings.model_config;
    let model = device::retry(quiet, || new_student(args, student, &teacher, (&counts, &sample)))?;
    stop::check(|| {
        let how = "the same command goes on, with the logits that the teacher left";
        format!("stopped before the training began; {how}")
    })?;
    if args.train.warmup_steps.is_none() {
        settings.config.warmup_steps = total_steps(&settings.config, &corpus) / 10;
    }
    let compared = teacher_speed.map(|subwords_per_second| Compared {
        parameters: teacher.num_params(true),
        subwords_per_second,
    });
    let mask_token_id = teacher.tokenizer.mask_id();
    let (teacher_config, teacher) = (teacher.config, teacher.model);
    // Without hidden states to compare, the teacher has done its work.
    let config = &settings.config;
    let teacher = (config.objective.hidden_weight > 0.0).then_some(teacher);
    let model = match teacher {
        Some(_) => Trainee::matching(model, student, &teacher_config, config.stream(4, 0)),
        None => Trainee::new(model),
    };
    let job = Job {
        settings,
        folder,
        tokenizer: &files.tokenizer,
        mask_token_id,
        train: &corpus,
        teacher: teacher.as_ref(),
        dev,
        test,
        compared,
    };
    let outcome = runner::train(job, model)?;
    // What was trained is announced whatever comes of its copy.
    let page = match args.teacher {
        None => for_the_page(args, &source.folder).unwrap_or_else(|error| {
            print_line(&format!("no copy in eight bits for the page: {error:#}"));
            None
        }),
        Some(_) => None,
    };
    outcome.announce(page.as_deref())
}

/// That settings about labels, and about labels and text, have what they are about.
fn check_material(args: &DistillArgs) -> Result<()> {
    let ratio = match &args.preset {
        Some(preset) => {
            format!("a ratio of text to labelled text (--text-ratio, or of --preset {preset})")
        }
        None => "--text-ratio".to_owned(),
    };
    ensure!(
        args.text_ratio.is_none() || args.data.is_some(),
        "{ratio} without labelled text: expected --data DIR too"
    );
    ensure!(
        args.text_ratio.is_none() || !args.text.is_empty(),
        "{ratio} without text: expected --text FILE too"
    );
    if args.data.is_none() {
        ensure!(
            args.train.mention_copies.unwrap_or(0) == 0,
            "--mention-copies without labelled text: expected --data DIR too"
        );
        let is_blind = args.alpha == Some(0.0) && args.final_alpha.is_none_or(|alpha| alpha == 0.0);
        ensure!(
            !is_blind || args.hidden_weight.unwrap_or(0.0) > 0.0,
            "--alpha 0 without labelled text leaves nothing to learn from: expected --data DIR too, or a \
             larger alpha"
        );
    }
    Ok(())
}

/// Puts the finished student beside the models that ship, in eight bits, where the page lists it; where
/// it is then, if there is such a place.
fn for_the_page(args: &DistillArgs, teacher: &Path) -> Result<Option<PathBuf>> {
    let Some(models) = shipped::folder() else { return Ok(None) };
    let name = args.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if shipped::is_plain(&name) { name } else { "student".to_owned() };
    // The page goes by the name: see `shipped::Role`.
    let name = if name.contains("teacher") { format!("student-{name}") } else { name };
    let best = args.out.join(runner::BEST);
    let weights = store::sha256_hex(&store::read(&best.join("model.safetensors"))?);
    let names = (1..).map(|number| match number {
        1 => format!("my-{name}"),
        _ => format!("my-{name}-{number}"),
    });
    for folder in names.map(|name| models.join(name)) {
        if folder.exists() {
            let report = fs::read(folder.join("report.json")).unwrap_or_default();
            let report: Value = serde_json::from_slice(&report).unwrap_or_default();
            // A run that is continued after its end makes nothing new.
            if report["source"]["sha256"] == weights.as_str() {
                return Ok(Some(folder));
            }
            continue;
        }
        let text = match (&args.data, args.text.as_slice()) {
            (None, []) => "sentences of Wikipedia (CC BY-SA 4.0, native/text/README.md)".to_owned(),
            _ => "the files that are named above".to_owned(),
        };
        let teacher = teacher.file_name().unwrap_or_default().to_string_lossy().into_owned();
        export::write(&ExportArgs {
            model: best,
            labels: None,
            dtype: DtypeName::Int8,
            dense: false,
            data: None,
            trained_on: Some(format!(
                "It learned from {text}, labelled by the teacher `{teacher}`, whose own text and licence its \
                 model card names; the conditions of both are this model's too."
            )),
            out: folder.clone(),
            common: args.train.common.clone(),
        })?;
        return Ok(Some(folder));
    }
    Ok(None)
}

/// What a run from text alone is made of, and what there is besides.
fn greet(args: &DistillArgs, source: &Source, texts: &[TextFile]) {
    if args.train.common.quiet {
        return;
    }
    let names: Vec<&str> = texts.iter().map(|text| text.file.path.as_str()).collect();
    let sentences = sentences_of(texts);
    print_line(&format!(
        "teacher: {}\ntext: {}, {sentences} sentences, the last of them held out\n\
         with labelled text (--data conll2003 --text FILE… --preset best) a student becomes better, see \
         README.md",
        source.folder.display(),
        names.join(", "),
    ));
}

fn sentences_of(texts: &[TextFile]) -> usize {
    texts.iter().map(|text| text.sentences).sum()
}

/// A note where a ratio of text ends the run before all of it was read, for the teacher labels all.
fn unread(config: &TrainConfig, labelled: usize, texts: &[TextFile]) -> Option<String> {
    let of_epoch = (config.text_ratio? * labelled as f64).round() as usize;
    let (read, all) = (config.epochs * of_epoch, sentences_of(texts));
    (read < all).then(|| {
        format!(
            "note: of {} sentences of text the run reads about {} (epochs · text ratio · labelled sentences), and \
             the teacher labels all of them; expected a shorter --text or more --epochs",
            thousands(all),
            thousands(read)
        )
    })
}

/// A student with its first weights.
fn new_student(
    args: &DistillArgs,
    config: &BertConfig,
    teacher: &Bundle,
    (counts, sample): (&TokenCounts, &[Example]),
) -> Result<TokenClassifier> {
    let (seed, num_labels) = (args.train.common.seed, teacher.labels.len());
    let student = TokenClassifier::init(config, num_labels, seed, &device::device());
    let (model, theirs) = (&teacher.model, &teacher.config);
    let student = match args.init {
        None | Some(InitName::Random) => student,
        Some(InitName::Embeddings) => {
            pollster::block_on(init_embeddings(student, config, model, theirs, counts))?
        }
        Some(InitName::Layers) => {
            if !args.train.common.quiet {
                let sentences = sample.len();
                print_line(&format!(
                    "cutting the teacher's layers, as {sentences} sentences use them"
                ));
            }
            pollster::block_on(init_layers(student, config, model, theirs, counts, sample))?
        }
    };
    Ok(device::place(student.train()))
}

/// The training examples and the text with the teacher's logits, how often each token stands in them,
/// and some of them.
fn label(
    args: &DistillArgs,
    files: &BundleDir,
    teacher: &Bundle,
    train: Vec<Example>,
    (texts, options): (&[TextFile], &ExampleOptions),
) -> Result<(Corpus, TokenCounts, Vec<Example>)> {
    let mut counts = TokenCounts::new(teacher.config.vocab_size);
    let mut count = |examples: &[Example]| {
        counts.add(examples.iter().flat_map(|example| example.input_ids.iter().copied()));
    };
    count(&train);
    let mut sample = train[..train.len().min(SAMPLE)].to_vec();
    let from_text = if train.is_empty() { SAMPLE } else { 0 };
    let quiet = args.train.common.quiet;
    let all = sentences(&train) + sentences_of(texts);
    let cache = args.cache.as_deref();
    let mut labelling = Labelling::new(cache, files, teacher, Shard::WHOLE, (all, quiet))?;
    let logits = labelling.label(&train)?;
    let mut corpus = Corpus::new(train, logits);
    for text in texts {
        labelling.label_text(text, options, |examples, labelled| {
            count(examples);
            let wanted = from_text.saturating_sub(sample.len()).min(examples.len());
            sample.extend_from_slice(&examples[..wanted]);
            corpus.add(examples, labelled);
        })?;
    }
    let labelled = labelling.counts();
    if !quiet && labelled.all_kept() {
        let whence = if labelled.kept == 0 { "from" } else { "kept in" };
        print_line(&format!("teacher logits: {whence} {}", labelling.folder().display()));
    }
    Ok((corpus, counts, sample))
}
