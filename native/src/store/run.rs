//! The folder of a run: its lock, and its log that a killed process leaves readable.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{read, write_atomic, write_error};

/// Name of the config snapshot: written first, its presence makes a folder a run.
pub const RUN_CONFIG: &str = "run.json";

/// A JSONL log: one object a line, in the order of training.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    kept: Vec<Value>,
}

impl LogFile {
    /// Opens the log of a run that continues from step `keep_until_step`; 0 for a new run.
    ///
    /// A torn last line is cut off, and records whose `"step"` is greater are dropped, since those
    /// steps are trained again. Records without a `"step"` stay.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, or a line before the last one is not an object.
    pub fn open(path: &Path, keep_until_step: usize) -> Result<Self> {
        let bytes = if path.exists() { read(path)? } else { Vec::new() };
        let (text, kept) = kept_records(&bytes, keep_until_step)
            .with_context(|| format!("cannot resume from {}", path.display()))?;
        if text != bytes || !path.exists() {
            write_atomic(path, &text)?;
        }
        let file = OpenOptions::new().append(true).open(path);
        let file = file.with_context(|| format!("cannot append to {}", path.display()))?;
        Ok(Self { file, path: path.to_path_buf(), kept })
    }

    /// The records that were in the log when it was opened and stayed.
    pub fn kept(&self) -> &[Value] {
        &self.kept
    }

    /// Appends a record with one write, which survives the death of this process.
    pub fn append_line(&mut self, record: &impl serde::Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let end = self.file.metadata()?.len();
        self.file.write_all(&line).map_err(|error| {
            // Half a line in the middle of the log would make it unreadable later.
            self.file.set_len(end).ok();
            write_error(error, &self.path, line.len())
        })
    }

    /// Makes what was appended survive a power cut too; call before saving a checkpoint.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().with_context(|| format!("cannot sync {}", self.path.display()))
    }
}

/// The lines of a log to keep, as text and as records.
fn kept_records(bytes: &[u8], keep_until_step: usize) -> Result<(Vec<u8>, Vec<Value>)> {
    let (mut text, mut kept, mut torn) = (Vec::new(), Vec::new(), None);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
        let Some(record) = record else {
            torn.get_or_insert(index + 1);
            continue;
        };
        if let Some(number) = torn {
            bail!("line {number}: expected a JSON object");
        }
        if record["step"].as_u64().is_none_or(|step| step <= keep_until_step as u64) {
            text.extend_from_slice(line);
            text.push(b'\n');
            kept.push(record);
        }
    }
    Ok((text, kept))
}

/// The folder of one run, locked for as long as this value lives, at the latest until the kernel
/// ends the process. One that was made for a run that never began is removed again.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    is_new: bool,
    _lock: File,
}

/// Name of the file that is locked.
const LOCK: &str = ".lock";

impl RunFolder {
    /// Creates the folder with its parents, or with `resume` opens the run in it.
    ///
    /// # Errors
    ///
    /// When a new run would mix with files already there, there is nothing to resume, or another
    /// process holds the lock.
    pub fn create(path: &Path, resume: bool) -> Result<Self> {
        let shown = path.display();
        // Before anything is created, so that a refusal writes nothing; again under the lock.
        Self::check(path, resume)?;
        let is_new = !path.exists();
        fs::create_dir_all(path).with_context(|| format!("cannot create folder {shown}"))?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.with_context(|| format!("cannot write in {shown}"))?;
        match lock.try_lock() {
            Ok(()) if path.join(LOCK).exists() => {}
            // Or in this moment removed by one.
            Ok(()) | Err(TryLockError::WouldBlock) => bail!(
                "{shown} is in use by another understudy process; wait for it to end or use \
                 another --out"
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {shown}"));
            }
        }
        check_run(path, resume)?;
        Ok(Self { path: path.to_path_buf(), is_new, _lock: lock })
    }

    /// Whether [`RunFolder::create`] would take the folder; to be asked before long work.
    ///
    /// # Errors
    ///
    /// When a new run would mix with files already there, or there is nothing to resume.
    pub fn check(path: &Path, resume: bool) -> Result<()> {
        check_run(path, resume)
    }

    /// The path of a file in the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.is_new && !self.file(RUN_CONFIG).exists() {
            fs::remove_file(self.file(LOCK)).ok();
            // Nothing is removed with it that came into it meanwhile.
            fs::remove_dir(&self.path).ok();
        }
    }
}

fn check_run(path: &Path, resume: bool) -> Result<()> {
    let shown = path.display();
    ensure!(!path.exists() || path.is_dir(), "{shown}: expected a folder, found a file");
    let is_run = path.join(RUN_CONFIG).is_file();
    if resume {
        ensure!(is_run, "{shown} holds no run to resume (no {RUN_CONFIG}); leave out --resume");
        return Ok(());
    }
    ensure!(!is_run, "{shown} holds another run; continue it with --resume or use another --out");
    if path.exists() {
        let entries = fs::read_dir(path).with_context(|| format!("cannot list {shown}"))?;
        // Hidden files do not count: our own lock, and what file managers leave behind.
        let visible =
            |entry: &fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
        let found = entries.flatten().find(visible);
        if let Some(found) = found {
            let name = found.file_name();
            bail!("{shown} is not empty (it holds {}); use another --out", name.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::check_error;
    use serde_json::json;
    use tempfile::tempdir;

    #[test]
    fn resumed_log_drops_the_torn_line_and_later_steps() -> Result<()> {
        let folder = tempdir()?;
        let path = folder.path().join("log.jsonl");
        fs::write(&path, "{\"seed\":1}\n{\"step\":1}\n{\"step\":2}\n{\"st")?;
        let mut log = LogFile::open(&path, 1)?;
        assert_eq!(log.kept(), [json!({"seed": 1}), json!({"step": 1})]);
        log.append_line(&json!({"step": 2, "loss": 0.5}))?;
        log.sync()?;
        let expected = "{\"seed\":1}\n{\"step\":1}\n{\"loss\":0.5,\"step\":2}\n";
        assert_eq!(String::from_utf8(read(&path)?)?, expected);
        fs::write(&path, "oops\n{\"step\":1}\n")?;
        check_error(LogFile::open(&path, 1), "log.jsonl: line 1: expected a JSON object");
        Ok(())
    }

    #[test]
    fn run_folder_holds_one_run_of_one_process() -> Result<()> {
        let folder = tempdir()?;
        let path = folder.path().join("runs/a");
        check_error(RunFolder::create(&path, true), "holds no run to resume");
        assert!(!path.exists());
        let run = RunFolder::create(&path, false)?;
        check_error(RunFolder::create(&path, false), "is in use by another");
        write_atomic(&run.file(RUN_CONFIG), b"{}")?;
        drop(run);
        check_error(RunFolder::create(&path, false), "with --resume or use another --out");
        let unused = folder.path().join("runs/b");
        drop(RunFolder::create(&unused, false)?);
        assert!(!unused.exists());
        RunFolder::create(&path, true)?;
        check_error(RunFolder::create(folder.path(), false), "is not empty (it holds runs)");
        Ok(())
    }
}
