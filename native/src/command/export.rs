//! `export`: a bundle in another type, with its scores and a model card.

mod card;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use understudy_shared::checkpoint::bundle::{Bundle, to_files};
use understudy_shared::checkpoint::weights::{StoredAs, read_back};
use understudy_shared::compress::factorize::densify;
use understudy_shared::data::example::ExampleOptions;
use understudy_shared::infer::decode::Decoding;
use understudy_shared::train::evaluate::{LabelledSet, SplitScores, evaluate};

use super::{print, scores_json};
use crate::bundle_dir::BundleDir;
use crate::cli::{DtypeName, ExportArgs};
use crate::progress::Progress;
use crate::report::FileHash;
use crate::{dataset, device, store};
use card::Card;

/// What an exported bundle is, as it stands in its `report.json`.
#[derive(Debug, serde::Serialize)]
struct ExportReport {
    parameters: usize,
    dtype: StoredAs,
    size_bytes: usize,
    source: FileHash,
    /// The report of the run that made the model, without its curves.
    training: Option<Value>,
    /// Scores on the file that was given, of the model and of its export.
    scores: Option<Scores>,
}

#[derive(Debug, serde::Serialize)]
struct Scores {
    data: FileHash,
    before: Value,
    after: Value,
}

/// Exports.
pub fn run(args: &ExportArgs) -> Result<()> {
    store::expect_new(&args.out)?;
    let data = args.data.as_deref().map(dataset::read_labelled).transpose()?;
    let files = BundleDir::read(&args.model)?;
    let mut bundle = files.load(&device::device())?;
    let data = data.map(|labelled| {
        let file = labelled.file.clone();
        let options = ExampleOptions {
            max_length: bundle.config.max_position_embeddings.min(128),
            ..ExampleOptions::default()
        };
        dataset::labelled_set(labelled, &bundle.tokenizer, &bundle.labels, &options)
            .map(|set| (file, set))
    });
    let data = data.transpose()?;
    if args.dense {
        let dense = pollster::block_on(densify(bundle.model, &bundle.config));
        let (model, config) = dense.with_context(|| args.model.display().to_string())?;
        bundle = Bundle { model: device::place(model), config, ..bundle };
    }
    let stored_as = match args.dtype {
        DtypeName::F32 => StoredAs::F32,
        DtypeName::F16 => StoredAs::F16,
        DtypeName::Int8 => StoredAs::Int8,
    };
    let tensors = pollster::block_on(read_back(&bundle.model));
    let labels = Some(&bundle.labels);
    let written = to_files(&bundle.config, labels, &files.tokenizer, &tensors, stored_as)?;
    drop(tensors);
    let [(_, config), (_, weights), ..] = &written;
    let exported = BundleDir::of_parts(&args.out, config, &files.tokenizer, weights);
    let reloaded = exported.load(&device::device()).context("the export cannot be read back")?;
    let scores = data.map(|(file, set)| {
        let score = |name, bundle: &Bundle| score(args, name, bundle, &set);
        let (before, after) = (score("before", &bundle), score("after", &reloaded));
        Scores { data: file, before: scores_json(&before), after: scores_json(&after) }
    });
    let report = ExportReport {
        parameters: bundle.num_params(true),
        dtype: stored_as,
        size_bytes: weights.len(),
        source: files.weights_hash(),
        training: training_report(&files)?,
        scores,
    };
    let report = json!(report);
    let card = Card { args, bundle: &bundle, report: &report }.to_markdown();
    let mut written = written.to_vec();
    written.push(("report.json", serde_json::to_vec_pretty(&report)?));
    written.push(("README.md", card.into_bytes()));
    store::write_dir_atomic(&args.out, &written)?;
    if args.common.json {
        return print(&report.to_string());
    }
    announce(args, &report)
}

fn score(args: &ExportArgs, name: &str, bundle: &Bundle, set: &LabelledSet) -> SplitScores {
    let mut progress = Progress::count(args.common.quiet, name, set.examples.len());
    let pad = bundle.config.pad_token_id;
    let advance = || {
        progress.advance(1);
        true
    };
    let evaluation =
        evaluate(&bundle.model, &bundle.labels, set, pad, Decoding::default(), advance);
    pollster::block_on(evaluation).expect("nothing stops it").scores
}

/// `report.json` of the run or of the bundle, without its curve, which is most of it.
fn training_report(files: &BundleDir) -> Result<Option<Value>> {
    let path = files.file("report.json");
    if !path.is_file() {
        return Ok(None);
    }
    let mut report: Value = serde_json::from_slice(&store::read(&path)?)
        .with_context(|| format!("{}: expected the report of a run", path.display()))?;
    if let Some(object) = report.as_object_mut() {
        object.remove("curve");
    }
    Ok(Some(report))
}

fn announce(args: &ExportArgs, report: &Value) -> Result<()> {
    let f1 = |which: &str| report["scores"][which]["word"]["default"]["f1"].as_f64();
    let scores = match (f1("before"), f1("after")) {
        (Some(before), Some(after)) => {
            format!("word F1  {before:.4} -> {after:.4} ({:+.4})\n", after - before)
        }
        _ => String::new(),
    };
    let size = report["size_bytes"].as_f64().unwrap_or(0.0) / 1e6;
    print(&format!("{scores}weights  {size:.1} MB\nbundle   {}", args.out.display()))
}
