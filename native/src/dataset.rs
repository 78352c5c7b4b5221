//! Data files: which file holds which split, and what its bytes are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use understudy_shared::data::augment::replace_mentions;
use understudy_shared::data::conll::{Sentence, read_conll};
use understudy_shared::data::example::{ExampleOptions, labelled_examples};
use understudy_shared::data::jsonl::read_jsonl;
use understudy_shared::data::label::LabelSet;
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::train::evaluate::LabelledSet;

use crate::report::FileHash;
use crate::store;

/// Gold sentences of a file, and its hash.
#[derive(Debug)]
pub struct Labelled {
    /// The sentences.
    pub sentences: Vec<Sentence>,
    /// The file they are from.
    pub file: FileHash,
}

/// The splits of a data folder.
#[derive(Debug)]
pub struct Splits {
    /// Learned from.
    pub train: Labelled,
    /// The best weights are chosen by it.
    pub valid: Labelled,
    /// Scored once at the end, where there is one.
    pub test: Option<Labelled>,
}

const ENDINGS: [&str; 3] = ["txt", "conll", "jsonl"];

/// Reads `train`, `valid` (or `dev`, `validation`) and `test` of a folder.
pub fn read_splits(folder: &Path) -> Result<Splits> {
    Ok(Splits {
        train: read_train(folder)?,
        valid: required(folder, &["valid", "dev", "validation"])?,
        test: find(folder, &["test"]).map(|path| read_labelled(&path)).transpose()?,
    })
}

/// Reads `train` of a folder.
pub fn read_train(folder: &Path) -> Result<Labelled> {
    if !folder.is_dir() {
        bail!(
            "{}: no such folder; expected a folder with train, valid and test files",
            folder.display()
        );
    }
    required(folder, &["train"])
}

/// Adds `copies` of each sentence with other entities of the same types.
///
/// # Errors
///
/// So many that it is surely a slip.
pub fn augment(train: &mut Labelled, copies: Option<usize>, seed: u64) -> Result<()> {
    let copies = copies.unwrap_or(0);
    ensure!(copies <= 1000, "--mention-copies {copies}: expected 0 to 1000");
    let more = replace_mentions(&train.sentences, copies, seed);
    train.sentences.extend(more);
    Ok(())
}

fn required(folder: &Path, names: &[&str]) -> Result<Labelled> {
    match find(folder, names) {
        Some(path) => read_labelled(&path),
        None => bail!(
            "{}: no {} file; expected {}.txt, .conll or .jsonl in the folder",
            folder.display(),
            names[0],
            names.join(" / ")
        ),
    }
}

fn find(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let candidates = names.iter().flat_map(|name| ENDINGS.map(|end| format!("{name}.{end}")));
    candidates.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads a labelled file: JSON lines by its ending, else columns.
pub fn read_labelled(path: &Path) -> Result<Labelled> {
    let bytes = store::read(path)?;
    let sentences = match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => read_jsonl(&bytes),
        _ => read_conll(&bytes),
    };
    let sentences = sentences.with_context(|| path.display().to_string())?;
    let file = hash(path, &bytes, Some(sentences.len()));
    Ok(Labelled { sentences, file })
}

/// A file's name and SHA-256.
pub fn hash(path: &Path, bytes: &[u8], sentences: Option<usize>) -> FileHash {
    FileHash { path: path.display().to_string(), sha256: store::sha256_hex(bytes), sentences }
}

/// The label set of some sentences.
pub fn labels_of(labelled: &[&Labelled]) -> Result<LabelSet> {
    let sentences = labelled.iter().flat_map(|labelled| &labelled.sentences);
    let tags = sentences.flat_map(|sentence| sentence.tags.iter().map(String::as_str));
    Ok(LabelSet::from_tags(tags)?)
}

/// Sentences with their windows.
pub fn labelled_set(
    labelled: Labelled,
    tokenizer: &SubwordTokenizer,
    labels: &LabelSet,
    options: &ExampleOptions,
) -> Result<LabelledSet> {
    let examples = labelled_examples(&labelled.sentences, tokenizer, labels, options);
    let examples = examples.with_context(|| labelled.file.path.clone())?;
    Ok(LabelledSet { sentences: labelled.sentences, examples })
}
