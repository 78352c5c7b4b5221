//! `export`: a bundle in another type, with its scores and a model card.

mod card;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use understudy_shared::checkpoint::bundle::{Bundle, to_files};
use understudy_shared::checkpoint::weights::{StoredAs, read_back};
use understudy_shared::compress::factorize::densify;
use understudy_shared::infer::decode::Decoding;
use understudy_shared::train::evaluate::{LabelledSet, SplitScores};

use super::{print, scores_json};
use crate::bundle_dir::BundleDir;
use crate::cli::{DtypeName, ExportArgs};
use crate::hub::{DATASETS, Hub};
use crate::progress::print_line;
use crate::reading::Reading;
use crate::report::{FileHash, shell_line};
use crate::shipped::{MANIFEST, Manifest};
use crate::stop::Stopped;
use crate::{dataset, device, preset, store};
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
    let report = write(args)?;
    if args.common.json {
        return print(&report.to_string());
    }
    announce(args, &report)
}

/// Writes the exported bundle; its report.
pub fn write(args: &ExportArgs) -> Result<Value> {
    store::expect_new(&args.out)?;
    let hub = Hub::new(&args.common);
    let read = |path| dataset::read_scored(&hub, path, None);
    let data = args.data.as_deref().map(read).transpose()?;
    let files = BundleDir::read(&hub.model(&args.model, true)?)?;
    let files = files.with_labels(args.labels.as_deref())?;
    let mut bundle = files.load(&device::device())?;
    let most = bundle.config.max_position_embeddings;
    let options = preset::window_options(None, most)?;
    let data = data.map(|labelled| {
        let file = FileHash { path: file_name(&labelled.file.path), ..labelled.file.clone() };
        dataset::labelled_set(labelled, &bundle.tokenizer, &bundle.labels, &options)
            .map(|set| (file, set))
    });
    let data = data.transpose()?;
    let before = data.as_ref().map(|(_, set)| score(args, "before", &bundle, set)).transpose()?;
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
    let exported = exported.load(&device::device()).context("the export cannot be read back")?;
    let scores = match data.zip(before) {
        Some(((data, set), before)) => {
            let after = scores_json(&score(args, "after", &exported, &set)?);
            Some(Scores { data, before: scores_json(&before), after })
        }
        None => None,
    };
    let source = files.weights_hash();
    let report = ExportReport {
        parameters: bundle.num_params(true),
        dtype: stored_as,
        size_bytes: weights.len(),
        source: FileHash { path: file_name(&source.path), ..source },
        training: training_report(&files)?,
        scores,
    };
    let report = json!(report);
    let card = Card { args, bundle: &bundle, report: &report }.to_markdown();
    let mut written = Vec::from(written);
    written.push(("report.json", serde_json::to_vec_pretty(&report)?));
    written.push(("README.md", card.into_bytes()));
    store::write_dir_atomic(&args.out, &written)?;
    // Where there is a list of models, the new one is in it.
    let beside = args.out.parent().filter(|folder| folder.join(MANIFEST).is_file());
    if let Some(Err(error)) = beside.map(Manifest::write) {
        print_line(&format!("the list of models beside it stays as it was: {error:#}"));
    }
    Ok(report)
}

fn score(
    args: &ExportArgs,
    label: &str,
    bundle: &Bundle,
    set: &LabelledSet,
) -> Result<SplitScores> {
    let how = Reading { label, quiet: args.common.quiet, decoding: Decoding::default() };
    let read = how.read(&bundle.model, &bundle.labels, set, bundle.config.pad_token_id);
    let stopped = || Stopped("stopped before the end; nothing was written".to_owned());
    let (evaluation, _) = read.ok_or_else(stopped)?;
    Ok(evaluation.scores)
}

/// `report.json` of the run that made the model, without its curve, which is most of it, and without
/// the folders of the machine it ran on.
fn training_report(files: &BundleDir) -> Result<Option<Value>> {
    let path = files.file("report.json");
    if !path.is_file() {
        return Ok(None);
    }
    let mut report: Value = serde_json::from_slice(&store::read(&path)?)
        .with_context(|| format!("{}: expected the report of a run", path.display()))?;
    // That of an exported bundle holds the run's.
    if report["training"].is_object() {
        report = report["training"].take();
    }
    if let Some(object) = report.as_object_mut() {
        object.remove("curve");
    }
    // What is from the hub has no place on this machine, and is named in full.
    let mut repositories = Vec::new();
    let files = report.get_mut("data").and_then(Value::as_array_mut);
    for file in files.into_iter().flatten() {
        if let Some(path) = file["path"].as_str() {
            match repository(path) {
                Some(repository) => repositories.push(repository.to_owned()),
                None => file["path"] = file_name(path).into(),
            }
        }
    }
    if let Some(command) = report["command"].as_str() {
        report["command"] = without_folders(command, &repositories).into();
    }
    Ok(Some(report))
}

/// A command as a shell reads it, with the names of files alone and of `repositories` in full.
fn without_folders(command: &str, repositories: &[String]) -> String {
    let shown = |value: &str| {
        let id = value.strip_prefix(DATASETS).unwrap_or(value);
        let id = id.split_once('@').map_or(id, |(id, _)| id);
        let is_id = repositories.iter().any(|repository| repository == id);
        if is_id { value.to_owned() } else { file_name(value) }
    };
    // Not every report was quoted.
    let words = shlex::split(command);
    let words = words.unwrap_or_else(|| command.split(' ').map(str::to_owned).collect());
    let words = words.iter().map(|word| match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => format!("{flag}={}", shown(value)),
        _ => shown(word),
    });
    shell_line(&words.collect::<Vec<_>>())
}

/// The repository of a file of the hub as reports name it: `owner/name` of `owner/name@COMMIT/file`.
fn repository(path: &str) -> Option<&str> {
    let (id, rest) = path.split_once('@')?;
    let commit = rest.split('/').next()?;
    (commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// What stands behind the last slash, or before one at the end.
fn file_name(path: &str) -> String {
    let path = path.trim_end_matches(['/', '\\']);
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_flags_and_loses_folders() {
        let command = "understudy distill --teacher=/data/jane/t --data '/data/jane/Secret Client/d' --epochs 2 \
                       --base owner/name@main --out 'my runs/a b'";
        let shown =
            "understudy distill --teacher=t --data d --epochs 2 --base owner/name@main --out 'a b'";
        assert_eq!(without_folders(command, &["owner/name".to_owned()]), shown);
    }

    #[test]
    fn folders_of_a_machine_are_left_out() {
        for (path, name) in
            [("a/b/c.txt", "c.txt"), ("a\\b", "b"), ("a/best/", "best"), ("--x", "--x")]
        {
            assert_eq!(file_name(path), name);
        }
    }

    #[test]
    fn what_is_from_the_hub_is_named_in_full() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let path = format!("dslim/bert-base-NER@{commit}/model.safetensors");
        assert_eq!(repository(&path), Some("dslim/bert-base-NER"));
        for path in ["me@home/model.safetensors", "runs/best/config.json", "a@b"] {
            assert_eq!(repository(path), None);
        }
    }
}
