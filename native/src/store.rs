//! Files: whole reads, atomic writes, the log of a run, and the lock on its folder.
//!
//! Everything here survives `kill -9` at any instant: a reader finds the old content or the new,
//! never a mixture. A file is written under a temporary name beside its target, synced and renamed
//! (`man 2 rename`); a folder is built beside its target and swapped in, and the next writer or
//! reader finishes a swap that was interrupted. Nothing that the user put there is ever deleted.

mod folder;
mod run;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use sha2::{Digest, Sha256};

pub use folder::{recover_dir, write_dir_atomic};
pub use run::{LogFile, RUN_CONFIG, RunFolder};

/// Whole content of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    ensure!(
        !path.is_dir(),
        "cannot read {shown}: expected a file, found a folder; name a file inside it"
    );
    fs::read(path).with_context(|| format!("cannot read {shown}: expected a readable file"))
}

/// SHA-256 in lower-case hexadecimal, 64 characters.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// That nothing is in the place of a new folder, and that one can be swapped in there.
pub fn expect_new(folder: &Path) -> Result<()> {
    let is_empty = !folder.exists()
        || folder.is_dir()
            && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(
        is_empty,
        "{} is there already; expected a new or empty folder: name another, or remove it",
        folder.display()
    );
    folder::check_swap(folder).with_context(|| {
        format!(
            "cannot put a folder in the place of {}; expected a place that can be written, such as a new \
             folder inside it",
            folder.display()
        )
    })
}

/// Replaces the content of `path`, or leaves it as it was when this returns an error.
///
/// Pipes, devices and what is open already (`/dev/stdout`) cannot be renamed over and are written directly.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, bytes.len(), |file| file.write_all(bytes))
}

/// As [`write_atomic`], for content of about `wanted` bytes that `write` streams to the file it is
/// given, so that it is never whole in memory.
///
/// # Errors
///
/// Names the file and how many bytes were wanted, also when the disk is full.
pub fn write_atomic_with(
    path: &Path,
    wanted: usize,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    // Before links are followed, which lead from what is open to a file's name.
    if let Some(device) = device(path) {
        let written = device.and_then(|mut device| {
            write(&mut *device)?;
            device.flush()
        });
        return written.map_err(|error| write_error(error, path, wanted));
    }
    let path = &resolve(path);
    ensure!(!path.is_dir(), "cannot write {}: expected a file, found a folder", path.display());
    remove_abandoned(path);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = sibling(path, &format!("{}-{count}.tmp", std::process::id()));
    // The handle, and with it the lock, lives until after the rename.
    let result = write_synced(&temporary, write).and_then(|_locked| {
        fs::rename(&temporary, path)?;
        sync_folder(folder_of(path))
    });
    result.map_err(|error| {
        fs::remove_file(&temporary).ok();
        write_error(error, path, wanted)
    })
}

/// What is written to and never replaced: a pipe, a device, or what this process has open already, whatever
/// file its output was sent to; `None` for a file.
fn device(path: &Path) -> Option<io::Result<Box<dyn Write>>> {
    let name = path.to_str().unwrap_or_default();
    let is_open =
        name.starts_with("/dev/fd/") || name.starts_with("/proc/") && name.contains("/fd/");
    Some(match name {
        // By the handle that prints: a line printed later would overwrite what came by another one.
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Ok(Box::new(io::stdout())),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Ok(Box::new(io::stderr())),
        _ if is_open || path.exists() && !path.is_file() && !path.is_dir() => {
            let opened = OpenOptions::new().append(true).open(path);
            opened.map(|file| Box::new(file) as Box<dyn Write>)
        }
        _ => return None,
    })
}

/// Creates the file, locked for as long as the handle lives, and syncs it.
fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = create()?;
    // A file system without locks only loses the sweep of abandoned temporary files.
    file.lock().ok();
    // Before it was locked, another process may have taken it for abandoned and swept it.
    while !path.exists() {
        drop(file);
        file = create()?;
        file.lock().ok();
    }
    write(&mut file)?;
    file.sync_all()?;
    Ok(file)
}

/// Removes the temporary files of killed processes: those that nobody holds the lock of.
fn remove_abandoned(path: &Path) {
    let prefix = sibling(path, "");
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let temporary = name.starts_with(&*prefix) && name.ends_with(".tmp");
        // The lock is held until it is removed, so that its writer, if there is one, sees it go.
        if temporary
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Follows symbolic links, so that the file is replaced and not the link.
fn resolve(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Hidden path beside `path`, on the same file system, that only this module uses.
fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".understudy-");
    name.push(suffix);
    folder_of(path).join(name)
}

/// A rename is only durable once its folder is synced; some file systems cannot, and need not.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let Ok(handle) = File::open(folder) else {
        return Ok(());
    };
    match handle.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Ok(())
        }
        result => result,
    }
}

/// Makes a rename into the folder of `path` survive a power cut.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    sync_folder(folder_of(path))
}

/// What could not be written, and whether the disk is full.
pub fn write_error(error: io::Error, path: &Path, wanted: usize) -> anyhow::Error {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let full = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
    let reason = if full { "the disk is full; " } else { "" };
    let shown = path.display();
    anyhow!(error).context(format!("cannot write {shown}: {reason}{wanted} bytes were wanted"))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tempfile::tempdir;

    pub fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub fn check_error<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
        let message = format!("{:#}", result.expect_err(expected));
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn read_says_what_was_expected() -> Result<()> {
        let folder = tempdir()?;
        check_error(read(folder.path()), "expected a file, found a folder");
        check_error(read(&folder.path().join("none")), "none: expected a readable file: No such");
        Ok(())
    }

    #[test]
    fn write_replaces_a_file_and_leaves_nothing_else() -> Result<()> {
        let folder = tempdir()?;
        let path = folder.path().join("a.json");
        fs::write(folder.path().join(".a.json.understudy-1-0.tmp"), "of a killed process")?;
        write_atomic(&path, b"one")?;
        write_atomic(&path, b"two")?;
        assert_eq!(read(&path)?, b"two");
        assert_eq!(names(folder.path()), ["a.json"]);
        check_error(write_atomic(&folder.path().join("no/a"), b"x"), "no/a: 1 bytes were wanted");
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn full_disk_names_the_file_and_the_bytes() {
        let result = write_atomic(Path::new("/dev/full"), b"four");
        check_error(result, "cannot write /dev/full: the disk is full; 4 bytes were wanted");
    }
}
