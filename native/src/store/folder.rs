//! A folder whose files change all at once: built beside its target, then swapped in by renames.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{folder_of, resolve, sibling, sync_folder, write_error, write_synced};

/// Writes the files of a bundle into folder `path` so that all of them change at once.
///
/// Other files already in the folder are carried over. Parents are created.
pub fn write_dir_atomic<N, B>(path: &Path, files: &[(N, B)]) -> Result<()>
where
    N: AsRef<str>,
    B: AsRef<[u8]>,
{
    let path = &resolve(path);
    let shown = path.display();
    ensure!(!path.exists() || path.is_dir(), "cannot write {shown}: expected a folder");
    for (name, _) in files {
        let target = path.join(name.as_ref());
        ensure!(!target.is_dir(), "cannot write {}: expected a file", target.display());
    }
    let parent = folder_of(path);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let _locked = lock_parent(parent)?;
    let new = sibling(path, "new");
    finish_swap(path).with_context(|| format!("cannot finish replacing {shown}"))?;
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    if let Err(error) = build_folder(&new, path, files) {
        fs::remove_dir_all(&new).ok();
        return Err(error);
    }
    swap_in(path).with_context(|| format!("cannot replace {shown}"))
}

/// Puts the complete `new` in the place of `path`.
fn swap_in(path: &Path) -> io::Result<()> {
    let (new, old) = (sibling(path, "new"), sibling(path, "old"));
    if path.exists() {
        fs::rename(path, &old)?;
    }
    if let Err(error) = fs::rename(&new, path) {
        fs::rename(&old, path).ok();
        return Err(error);
    }
    sync_folder(folder_of(path))?;
    finish_swap(path)
}

/// Whether a folder could be swapped in: tried with an empty one, of which nothing stays. An empty folder
/// in its place is moved away and back, which no place of a mount allows.
pub fn check_swap(path: &Path) -> io::Result<()> {
    let path = &resolve(path);
    if path.exists() {
        let old = sibling(path, "old");
        fs::rename(path, &old)?;
        return fs::rename(&old, path);
    }
    // The nearest folder above that is there; those between are made with it.
    let is_there = |parent: &&Path| parent.as_os_str().is_empty() || parent.exists();
    let parent = path.ancestors().skip(1).find(is_there).unwrap_or(Path::new(""));
    let trial = sibling(&parent.join("trial"), &std::process::id().to_string());
    fs::create_dir(&trial)?;
    fs::remove_dir(&trial)
}

/// Call before reading a bundle: completes a swap that was killed halfway. Usually does nothing.
pub fn recover_dir(path: &Path) -> Result<()> {
    if path.exists() || !sibling(path, "old").exists() {
        return Ok(());
    }
    // Under the lock, so that a swap in progress in another process is waited for.
    let _locked = lock_parent(folder_of(path))?;
    finish_swap(path).with_context(|| format!("cannot recover {}", path.display()))
}

/// The state after any kill: `old` is only there once `new` was complete and synced.
fn finish_swap(path: &Path) -> io::Result<()> {
    let (new, old) = (sibling(path, "new"), sibling(path, "old"));
    if !old.exists() {
        return Ok(());
    }
    if !path.exists() {
        fs::rename(if new.exists() { &new } else { &old }, path)?;
        sync_folder(folder_of(path))?;
    }
    if !old.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&old)? {
        let entry = entry?;
        let replacement = path.join(entry.file_name());
        if replacement.symlink_metadata().is_ok() {
            fs::remove_file(entry.path())?;
        } else {
            fs::rename(entry.path(), replacement)?;
        }
    }
    fs::remove_dir(&old)
}

fn build_folder<N, B>(new: &Path, path: &Path, files: &[(N, B)]) -> Result<()>
where
    N: AsRef<str>,
    B: AsRef<[u8]>,
{
    fs::create_dir(new).with_context(|| format!("cannot create {}", new.display()))?;
    for (name, bytes) in files {
        let (name, bytes) = (name.as_ref(), bytes.as_ref());
        write_synced(&new.join(name), |file| file.write_all(bytes))
            .map_err(|error| write_error(error, &path.join(name), bytes.len()))?;
    }
    sync_folder(new).with_context(|| format!("cannot sync {}", new.display()))
}

/// Keeps two processes from swapping the same folder; `None` where folders cannot be locked.
fn lock_parent(parent: &Path) -> Result<Option<File>> {
    let Ok(handle) = File::open(parent) else {
        return Ok(None);
    };
    for _ in 0..600 {
        match handle.try_lock() {
            Ok(()) => return Ok(Some(handle)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    bail!("cannot write in {}: another process has held it for 30 s", parent.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::read;
    use crate::store::tests::{check_error, names};
    use tempfile::tempdir;

    #[test]
    fn folder_is_replaced_whole_or_not_at_all() -> Result<()> {
        let folder = tempdir()?;
        let path = folder.path().join("parent/best");
        write_dir_atomic(&path, &[("config.json", "1"), ("weights", "1")])?;
        fs::write(path.join("notes.txt"), "the user's")?;
        write_dir_atomic(&path, &[("config.json", "2"), ("weights", "2")])?;
        assert_eq!(names(&path), ["config.json", "notes.txt", "weights"]);
        let result = write_dir_atomic(&path, &[("config.json", "3"), ("bad\0name", "3")]);
        check_error(result, "1 bytes were wanted");
        assert_eq!(read(&path.join("config.json"))?, b"2");
        assert_eq!(names(&folder.path().join("parent")), ["best"]);
        Ok(())
    }

    #[test]
    fn a_place_is_tried_without_a_trace() -> Result<()> {
        let folder = tempdir()?;
        let (new, empty) = (folder.path().join("a/b"), folder.path().join("empty"));
        fs::create_dir(&empty)?;
        check_swap(&new)?;
        check_swap(&empty)?;
        assert_eq!(names(folder.path()), ["empty"]);
        check_swap(Path::new("of the working folder"))?;
        fs::write(folder.path().join("a"), "a file")?;
        assert!(check_swap(&new).is_err());
        Ok(())
    }

    #[test]
    fn interrupted_swap_is_finished() -> Result<()> {
        let folder = tempdir()?;
        let path = folder.path().join("best");
        for kept_new in [true, false] {
            write_dir_atomic(&path, &[("weights", "old")])?;
            fs::rename(&path, sibling(&path, "old"))?;
            if kept_new {
                fs::create_dir(sibling(&path, "new"))?;
                fs::write(sibling(&path, "new").join("weights"), "new")?;
            }
            recover_dir(&path)?;
            let expected = if kept_new { "new" } else { "old" };
            assert_eq!(read(&path.join("weights"))?, expected.as_bytes());
            assert_eq!(names(folder.path()), ["best"]);
        }
        Ok(())
    }
}
