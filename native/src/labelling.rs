//! A teacher's logits over text, kept on disk in chunks: another run finds them, a run that was
//! interrupted loses a chunk at most, and several machines can label a part of the chunks each.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::Example;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::teacher::{TeacherLogits, cache_key, teacher_key};

use crate::bundle_dir::BundleDir;
use crate::progress::Progress;
use crate::{runner, store};

/// Examples in a file of logits.
const CHUNK: usize = 2048;

/// Which chunks a process labels: those whose number leaves `index` when divided by `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: usize,
    /// At least 1.
    pub count: usize,
}

impl Shard {
    /// All chunks.
    pub const WHOLE: Self = Self { index: 0, count: 1 };
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// `3/16` is the third of sixteen.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected NUMBER/COUNT, such as 3/16");
        let (number, count) = text.split_once('/').ok_or_else(expected)?;
        let parse = |part: &str| part.parse::<usize>().map_err(|_| expected());
        let (number, count) = (parse(number)?, parse(count)?);
        if !(1..=count).contains(&number) {
            return Err(expected());
        }
        Ok(Self { index: number - 1, count })
    }
}

/// The logits of one teacher on disk.
pub struct Labelling<'a> {
    folder: PathBuf,
    /// SHA-256 over the teacher's files.
    teacher_key: [u8; 32],
    teacher: &'a Bundle,
    quiet: bool,
}

/// What came of labelling.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Chunks that were there before.
    pub found: usize,
    /// Chunks that were labelled now and kept on disk.
    pub kept: usize,
    /// All chunks of the part that was asked for.
    pub chunks: usize,
}

impl<'a> Labelling<'a> {
    /// In `folder`, or else in the user's cache folder.
    pub fn new(
        folder: Option<&Path>,
        files: &BundleDir,
        teacher: &'a Bundle,
        quiet: bool,
    ) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None => cache_folder()?,
        };
        let teacher_key = teacher_key(&[&files.config, &files.weights]);
        Ok(Self { folder, teacher_key, teacher, quiet })
    }

    /// Where the logits are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives `sink` the logits of all examples, chunk by chunk: found, or computed and left on disk.
    /// `sources` are cut into chunks one by one, so that a text has the same chunks whatever stands
    /// beside it.
    ///
    /// # Errors
    ///
    /// When it was interrupted; the chunks that were finished are kept.
    pub fn label(
        &self,
        sources: &[&[Example]],
        shard: Shard,
        mut sink: impl FnMut(TeacherLogits),
    ) -> Result<Counts> {
        let all: Vec<&[Example]> =
            sources.iter().flat_map(|examples| examples.chunks(CHUNK)).collect();
        let chunks: Vec<&[Example]> =
            all.into_iter().skip(shard.index).step_by(shard.count).collect();
        let examples = chunks.iter().map(|chunk| chunk.len()).sum();
        let mut progress = Progress::count(self.quiet, "teacher labels", examples);
        let mut counts = Counts { chunks: chunks.len(), ..Counts::default() };
        let mut can_keep = true;
        for chunk in chunks {
            let path = self.path(chunk);
            if let Some(logits) = self.read(&path, chunk, &progress) {
                counts.found += 1;
                progress.advance(chunk.len());
                sink(logits);
                continue;
            }
            let Some(logits) = self.compute(chunk, &mut progress) else {
                bail!(
                    "stopped while the teacher labelled the text; {} of {} chunks are in {}, and \
                     the same command goes on from there",
                    counts.found + counts.kept,
                    counts.chunks,
                    self.folder.display()
                );
            };
            if can_keep {
                match self.keep(&path, &logits) {
                    Ok(()) => counts.kept += 1,
                    // Without the cache the next run labels again; this one goes on.
                    Err(error) => {
                        progress
                            .message(&format!("{error:#}; going on without keeping the logits"));
                        can_keep = false;
                    }
                }
            }
            sink(logits);
        }
        Ok(counts)
    }

    fn path(&self, chunk: &[Example]) -> PathBuf {
        self.folder.join(format!("{}.safetensors", cache_key(&self.teacher_key, chunk)))
    }

    fn read(&self, path: &Path, chunk: &[Example], progress: &Progress) -> Option<TeacherLogits> {
        if !path.is_file() {
            return None;
        }
        let num_labels = self.teacher.labels.len();
        let read = store::read(path)
            .and_then(|bytes| Ok(TeacherLogits::from_bytes(&bytes, chunk, num_labels)?));
        // A damaged cache costs time, not the run.
        let warn = |error: &anyhow::Error| {
            progress.message(&format!("{}: {error:#}; computed again", path.display()));
        };
        read.inspect_err(warn).ok()
    }

    /// The logits of a chunk; `None` where it was interrupted before the end.
    fn compute(&self, chunk: &[Example], progress: &mut Progress) -> Option<TeacherLogits> {
        let stop = runner::stop_flag();
        let mut logits = TeacherLogits::zeros(chunk, self.teacher.labels.len());
        let (pad, budget) = (self.teacher.config.pad_token_id, BatchBudget::Subwords(2048));
        let mut done = 0;
        let sink = |index: usize, values: &[f32]| {
            logits.set(index, values);
            progress.advance(1);
            done += 1;
            !stop.load(Ordering::Relaxed)
        };
        pollster::block_on(for_each_logits(&self.teacher.model, chunk, pad, budget, sink));
        (done == chunk.len()).then_some(logits)
    }

    fn keep(&self, path: &Path, logits: &TeacherLogits) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        store::write_atomic(path, &logits.to_bytes())
    }
}

/// `understudy/teacher-logits` in the user's cache folder.
fn cache_folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = variable("XDG_CACHE_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let base = base.context("no cache folder: expected --cache DIR or the variable HOME")?;
    ensure!(!base.is_file(), "{}: expected a folder, found a file", base.display());
    Ok(base.join("understudy").join("teacher-logits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_number_of_a_count() {
        assert_eq!("3/16".parse(), Ok(Shard { index: 2, count: 16 }));
        assert_eq!("1/1".parse(), Ok(Shard::WHOLE));
        for wrong in ["", "3", "0/2", "3/2", "1/0", "a/b", "-1/2"] {
            let error = wrong.parse::<Shard>().expect_err(wrong);
            assert!(error.contains("expected NUMBER/COUNT"), "{error}");
        }
    }
}
