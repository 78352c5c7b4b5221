//! Data files: which file holds which split, and what its bytes are.

mod parquet;
mod split;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use understudy_shared::data::augment::replace_mentions;
use understudy_shared::data::conll::{Sentence, read_conll};
use understudy_shared::data::example::ExampleOptions;
use understudy_shared::data::jsonl::read_jsonl;
use understudy_shared::data::label::LabelSet;
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::train::evaluate::LabelledSet;

use crate::hub::{Hub, Source};
use crate::report::FileHash;
use crate::store;
use parquet::read_parquet;
pub use split::{PARQUET, Split, files_of};

/// Gold sentences of a file, and its hash.
#[derive(Debug)]
pub struct Labelled {
    /// The sentences.
    pub sentences: Vec<Sentence>,
    /// The file they are from.
    pub file: FileHash,
    /// The data set's page, where the names of the tags are from it.
    pub page: Option<FileHash>,
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

/// The page of a data set, where the hub has it.
pub const PAGE: &str = "README.md";
/// Endings of files, by which one is told from a folder or an id.
const ENDINGS: [&str; 4] = ["txt", "conll", "jsonl", "parquet"];

/// Reads `train`, `valid` (or `dev`, `validation`) and `test` of a folder.
pub fn read_splits(source: &Source) -> Result<Splits> {
    let names = names_in(&source.folder)?;
    Ok(Splits {
        train: required(source, &names, Split::Train)?,
        valid: required(source, &names, Split::Valid)?,
        test: read_split(source, &names, Split::Test)?,
    })
}

/// Reads `train` of a folder.
pub fn read_train(source: &Source) -> Result<Labelled> {
    required(source, &names_in(&source.folder)?, Split::Train)
}

/// Reads a file, or one split of a folder or of a data set of the hub: `test` where none is named.
pub fn read_scored(hub: &Hub, typed: &Path, split: Option<Split>) -> Result<Labelled> {
    let ending = typed.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let is_id = typed.to_str().is_some_and(Hub::is_id);
    if !typed.is_dir() && (ENDINGS.contains(&ending) || typed.exists() || !is_id) {
        ensure!(
            split.is_none() || !typed.exists(),
            "--split with the file {}: expected the folder it lies in, or no --split",
            typed.display()
        );
        return read_labelled(typed);
    }
    let source = hub.data(typed, files_of)?;
    required(&source, &names_in(&source.folder)?, split.unwrap_or(Split::Test))
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

fn required(source: &Source, names: &[String], split: Split) -> Result<Labelled> {
    let (usual, all) = (split.names()[0], split.names().join(" / "));
    let found = read_split(source, names, split)?;
    found.with_context(|| {
        let folder = source.folder.display();
        format!(
            "{folder}: no {usual} file; expected {all}.txt, .conll or .jsonl in the folder, or Parquet"
        )
    })
}

/// Every file of a folder, as Parquet files of the hub lie three folders deep at most.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        bail!(
            "{}: no such folder; expected a folder with train, valid and test files",
            folder.display()
        );
    }
    let mut names = Vec::new();
    let mut open = vec![(String::new(), 0)];
    while let Some((inside, depth)) = open.pop() {
        let path = folder.join(&inside);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            // Such as the `lost+found` of a disk.
            Err(_) if depth > 0 => continue,
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            match entry.path().is_dir() {
                true if depth < 3 => open.push((name, depth + 1)),
                true => {}
                false => names.push(name),
            }
        }
    }
    Ok(names)
}

fn read_split(source: &Source, names: &[String], split: Split) -> Result<Option<Labelled>> {
    let files = split.files(names).with_context(|| source.folder.display().to_string())?;
    let mut all: Option<Labelled> = None;
    let (mut bytes, count) = (Vec::new(), files.len());
    for name in &files {
        let path = source.folder.join(name);
        let read = Bytes::from(store::read(&path)?);
        let (sentences, page) = sentences(&path, &read, Some(&source.folder))?;
        bytes.extend(&read);
        let page = page.map(|page| FileHash {
            path: source.shown(&source.folder.join(PAGE)),
            sha256: store::sha256_hex(page.as_bytes()),
            sentences: None,
        });
        match &mut all {
            Some(all) => {
                all.sentences.extend(sentences);
                all.page = all.page.take().or(page);
            }
            None => {
                let path = source.shown(&path);
                let file = FileHash { path, sha256: String::new(), sentences: None };
                all = Some(Labelled { sentences, file, page });
            }
        }
    }
    Ok(all.map(|mut all| {
        if count > 1 {
            all.file.path += &format!(" and {} more", count - 1);
        }
        // Of several files, the hash of one after the other.
        all.file.sha256 = store::sha256_hex(&bytes);
        all.file.sentences = Some(all.sentences.len());
        all
    }))
}

/// Reads a labelled file: JSON lines and Parquet by their endings, else columns.
pub fn read_labelled(path: &Path) -> Result<Labelled> {
    let bytes = Bytes::from(store::read(path)?);
    let folder = path.parent();
    let (sentences, _) = sentences(path, &bytes, folder)?;
    let file = FileHash {
        path: path.display().to_string(),
        sha256: store::sha256_hex(&bytes),
        sentences: Some(sentences.len()),
    };
    Ok(Labelled { sentences, file, page: None })
}

/// The sentences of a file; what a Parquet file's tags are called may stand on the page in `folder`, which
/// is returned where it does.
fn sentences(
    path: &Path,
    bytes: &Bytes,
    folder: Option<&Path>,
) -> Result<(Vec<Sentence>, Option<String>)> {
    let alone = |sentences| (sentences, None);
    let read = match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => read_jsonl(bytes).map(alone).map_err(anyhow::Error::from),
        Some("parquet") => {
            let page = folder.and_then(|folder| fs::read_to_string(folder.join(PAGE)).ok());
            let read = read_parquet(bytes.clone(), page.as_deref());
            read.map(|(sentences, is_of_page)| (sentences, page.filter(|_| is_of_page)))
        }
        _ => read_conll(bytes).map(alone).map_err(anyhow::Error::from),
    };
    read.with_context(|| path.display().to_string())
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
    let set = LabelledSet::new(labelled.sentences, tokenizer, labels, options);
    set.with_context(|| labelled.file.path)
}
