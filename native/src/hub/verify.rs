//! `fetch --verify`: every file in the cache against the hash it is named after, without the network.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use hf_hub::Cache;

use super::cache::{RepoCache, etag_of, names_of};
use super::digest::{Verdict, verify};
use super::id::{HubId, Kind};
use super::progress::Transfer;

/// What came of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// Files that are what they are named after.
    pub whole: usize,
    /// Their size and that of the others that were read.
    pub size_bytes: u64,
    /// Files whose name is no hash, so that nothing can be said.
    pub unknown: usize,
    /// Where the damaged ones are, and what is wrong.
    pub damaged: Vec<String>,
}

/// Checks a repository, whichever of `kinds` it is.
///
/// # Errors
///
/// A repository of which nothing is in the cache.
pub fn repository(cache: &Cache, id: &HubId, kinds: &[Kind], quiet: bool) -> Result<Checked> {
    let mut checked = Checked::default();
    let mut found = false;
    for kind in kinds {
        let repo = RepoCache::new(cache, id, *kind);
        if repo.root().is_dir() {
            found = true;
            folder(repo.root(), quiet, &mut checked)?;
        }
    }
    let shown = cache.path().display();
    ensure!(
        found,
        "{id} is not in the cache {shown}; expected it to be fetched before: understudy fetch {id}"
    );
    Ok(checked)
}

/// Checks every repository in the cache.
pub fn all(cache: &Cache, quiet: bool) -> Result<Checked> {
    let mut checked = Checked::default();
    for name in names_of(cache.path()) {
        if name.starts_with("models--") || name.starts_with("datasets--") {
            folder(&cache.path().join(&name), quiet, &mut checked)?;
        }
    }
    Ok(checked)
}

/// Checks what was fetched into the folder of a repository, and that what a commit names is there.
fn folder(root: &Path, quiet: bool, checked: &mut Checked) -> Result<()> {
    let blobs = root.join("blobs");
    let mut names = names_of(&blobs);
    names.retain(|name| !name.contains(".incomplete") && !name.starts_with('.'));
    names.sort();
    let total =
        names.iter().filter_map(|name| blobs.join(name).metadata().ok()).map(|file| file.len());
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let mut progress = Transfer::new(quiet, &name, total.sum(), 0);
    for etag in names {
        let path = blobs.join(&etag);
        let context = || format!("cannot read {}", path.display());
        let len = path.metadata().with_context(context)?.len();
        checked.size_bytes += len;
        match verify(&path, &etag).with_context(context)? {
            Verdict::Whole => checked.whole += 1,
            Verdict::Unknown => checked.unknown += 1,
            Verdict::Damaged(reason) => {
                checked.damaged.push(format!("{}: {reason}", path.display()))
            }
        }
        progress.advance(len as usize);
    }
    links(&root.join("snapshots"), checked);
    Ok(())
}

/// Finds the links of all snapshots that lead nowhere, and the files that are none.
fn links(folder: &Path, checked: &mut Checked) {
    for name in names_of(folder) {
        let path = folder.join(name);
        match etag_of(&path) {
            Some(etag) if !path.exists() => {
                checked.damaged.push(format!(
                    "{}: {etag} is gone; expected the blob it links to",
                    path.display()
                ));
            }
            Some(_) => {}
            None if path.is_dir() => links(&path, checked),
            None => checked.unknown += 1,
        }
    }
}
