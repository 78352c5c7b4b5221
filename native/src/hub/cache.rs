//! The cache folder, laid out as Python's `huggingface_hub` has it, so that both share it:
//!
//! ```text
//! models--owner--name/blobs/ETAG                  what was fetched; ETAG.incomplete: a part of it
//!                     snapshots/COMMIT/FILE       a relative link to its blob
//!                     refs/REVISION               the commit of a branch or tag, when last asked
//! .locks/models--owner--name/ETAG.lock            held while a blob is fetched
//! ```
//!
//! <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hf_hub::{Cache, CacheRepo};

use super::id::{HubId, Kind, is_commit};
use crate::store;

/// The place of one repository.
pub struct RepoCache {
    repo: CacheRepo,
    root: PathBuf,
    locks: PathBuf,
    revision: String,
}

impl RepoCache {
    /// The place of `id`; creates nothing.
    pub fn new(cache: &Cache, id: &HubId, kind: Kind) -> Self {
        let repo = id.repo(kind);
        let folder = repo.folder_name();
        Self {
            root: cache.path().join(&folder),
            locks: cache.path().join(".locks").join(&folder),
            revision: id.revision.clone(),
            repo: cache.repo(repo),
        }
    }

    /// The folder of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// The folder of all that is here of it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file with this etag is kept.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Where a part of it is kept.
    pub fn incomplete(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// The commit that the revision was when the hub was last asked.
    pub fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return self.snapshot(&self.revision).is_dir().then(|| self.revision.clone());
        }
        let commit = fs::read_to_string(self.ref_path()).ok()?.trim().to_owned();
        (is_commit(&commit) && self.snapshot(&commit).is_dir()).then_some(commit)
    }

    /// Remembers the revision's commit.
    pub fn remember(&self, commit: &str) -> Result<()> {
        let path = self.ref_path();
        if is_commit(&self.revision)
            || fs::read_to_string(&path).is_ok_and(|known| known.trim() == commit)
        {
            return Ok(());
        }
        create_parent(&path)?;
        store::write_atomic(&path, commit.as_bytes())
    }

    fn ref_path(&self) -> PathBuf {
        self.root.join("refs").join(&self.revision)
    }

    /// Puts a blob into the snapshot of a commit.
    pub fn link(&self, etag: &str, commit: &str, name: &str) -> Result<()> {
        let path = self.snapshot(commit).join(name);
        create_parent(&path)?;
        if etag_of(&path).as_deref() == Some(etag) {
            return Ok(());
        }
        let up = "../".repeat(2 + name.matches('/').count());
        let temporary = path.with_file_name(format!(".{etag}-{}.tmp", std::process::id()));
        place(&self.blob(etag), &format!("{up}blobs/{etag}"), &temporary)
            .and_then(|()| fs::rename(&temporary, &path))
            .inspect_err(|_| drop(fs::remove_file(&temporary)))
            .with_context(|| format!("cannot link {}", path.display()))
    }

    /// Keeps other processes, Python's too, from fetching the same file; waits for them.
    pub fn lock(&self, etag: &str, waiting: impl FnOnce()) -> Result<File> {
        let path = self.locks.join(format!("{etag}.lock"));
        create_parent(&path)?;
        let context =
            || format!("cannot lock {}; expected a folder that can be written", path.display());
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(context)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            waiting();
            file.lock().with_context(context)?;
        }
        // A file system without locks loses only this: what is fetched is checked anyway.
        Ok(file)
    }

    /// Every file of a snapshot, by its path inside.
    pub fn files(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let mut open = vec![String::new()];
        let mut files = Vec::new();
        while let Some(folder) = open.pop() {
            for name in names_of(&root.join(&folder)) {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                // A link to a blob that is gone is no file.
                match fs::metadata(root.join(&path)) {
                    Ok(found) if found.is_dir() => open.push(path),
                    Ok(_) => files.push(path),
                    Err(_) => {}
                }
            }
        }
        files.sort();
        files
    }
}

/// The etag of a file in a snapshot: the name of the blob it links to. `None` where it is no link, as
/// on a system without them.
pub fn etag_of(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_str()?.to_owned())
}

/// The names in a folder; none where there is no folder.
pub fn names_of(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Creates the folder of a file.
pub fn create_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).with_context(|| {
        format!("cannot create {}; expected a folder that can be written", parent.display())
    })
}

#[cfg(unix)]
fn place(_blob: &Path, relative: &str, path: &Path) -> io::Result<()> {
    fs::remove_file(path).ok();
    std::os::unix::fs::symlink(relative, path)
}

/// Links need a privilege on Windows; Python's library copies there too.
#[cfg(not(unix))]
fn place(blob: &Path, _relative: &str, path: &Path) -> io::Result<()> {
    fs::copy(blob, path).map(drop)
}
