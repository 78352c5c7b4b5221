//! A teacher's logits over text, kept on disk in chunks: another run finds them, a run that was
//! interrupted loses a chunk at most, and several machines can label a part of the chunks each.

mod precision;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::{Example, ExampleOptions};
use understudy_shared::infer::chunk::{ChunkLayout, from_bytes, to_bytes};
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::teacher::{Precision, TeacherLogits, cache_key, teacher_key};

use crate::bundle_dir::BundleDir;
use crate::progress::Progress;
use crate::stop::Stopped;
use crate::text_file::TextFile;
use crate::{device, stop, store};
use precision::Reader;

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

/// The logits of one teacher on disk, and the work of labelling a part of some text.
pub struct Labelling<'a> {
    folder: PathBuf,
    /// SHA-256 over the teacher's files.
    teacher_key: [u8; 32],
    teacher: &'a Bundle,
    reader: Reader<'a>,
    shard: Shard,
    progress: Progress,
    counts: Counts,
    keeping: Keeping,
    has_told_half: bool,
    quiet: bool,
}

/// What is done about logits that cannot be kept on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// They are an error.
    Required,
    /// They are told, once.
    Wanted,
    /// They have been told; no more is tried.
    GivenUp,
}

/// A file of logits, and where things are in it.
type Stored = (PathBuf, ChunkLayout);

/// What came of labelling.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Chunks that were there before.
    pub found: usize,
    /// Chunks that were labelled now and kept on disk.
    pub kept: usize,
    /// All chunks of the part that was asked for.
    pub chunks: usize,
    /// Chunks of all parts.
    seen: usize,
}

impl Counts {
    /// Whether all chunks of the part are on disk.
    pub fn all_kept(&self) -> bool {
        self.found + self.kept == self.chunks
    }
}

/// A labelled chunk on disk.
pub struct Labelled {
    /// The teacher's logits.
    pub logits: TeacherLogits,
    /// Its file.
    pub path: PathBuf,
    /// Where things are in it.
    pub layout: ChunkLayout,
}

impl<'a> Labelling<'a> {
    /// In `folder`, or else in the user's cache folder. `sentences` are all of the text, other parts' too,
    /// for the progress bar.
    pub fn new(
        folder: Option<&Path>,
        files: &BundleDir,
        teacher: &'a Bundle,
        shard: Shard,
        (sentences, quiet): (usize, bool),
    ) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None => cache_folder()?,
        };
        let teacher_key = teacher_key(&[&files.config, &files.weights]);
        let progress = Progress::count(quiet, "teacher labels", sentences).in_parts(shard.count);
        let counts = Counts::default();
        let reader = Reader::new(&teacher.model);
        Ok(Self {
            folder,
            teacher_key,
            teacher,
            reader,
            shard,
            progress,
            counts,
            keeping: Keeping::Wanted,
            has_told_half: false,
            quiet,
        })
    }

    /// With logits that cannot be kept as an error, for they are all that is wanted.
    pub fn or_fail(self) -> Self {
        Self { keeping: Keeping::Required, ..self }
    }

    /// Where the logits are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Labels examples in memory.
    ///
    /// # Errors
    ///
    /// An interruption: the chunks that were finished are kept. Logits that cannot be kept are told, and
    /// are an error after [`Labelling::or_fail`] alone.
    pub fn label(&mut self, examples: &[Example]) -> Result<TeacherLogits> {
        let mut logits = TeacherLogits::empty(self.teacher.labels.len());
        for chunk in examples.chunks(CHUNK) {
            if let Some((labelled, _)) = self.chunk(chunk)? {
                logits.append(&labelled);
            }
        }
        Ok(logits)
    }

    /// Labels a text file chunk by chunk, and gives `sink` each chunk. A text is learned from its chunks
    /// on disk, so here they are kept or nothing is.
    ///
    /// # Errors
    ///
    /// A text that cannot be read, logits that cannot be kept, or an interruption: the chunks that were
    /// finished are kept.
    pub fn label_text(
        &mut self,
        file: &TextFile,
        options: &ExampleOptions,
        mut sink: impl FnMut(&[Example], Labelled),
    ) -> Result<()> {
        self.keeping = Keeping::Required;
        for chunk in file.chunks(CHUNK, &self.teacher.tokenizer, options)? {
            let chunk = chunk?;
            let Some((logits, stored)) = self.chunk(&chunk)? else { continue };
            let (path, layout) = stored.context("a chunk of text that is not kept")?;
            sink(&chunk, Labelled { logits, path, layout });
        }
        Ok(())
    }

    /// The logits of a chunk, found, or computed and left on disk, and where they are if they could be
    /// kept; `None` if it is another part's.
    fn chunk(&mut self, chunk: &[Example]) -> Result<Option<(TeacherLogits, Option<Stored>)>> {
        stop::check(|| self.stopped())?;
        let number = self.counts.seen;
        self.counts.seen += 1;
        if number % self.shard.count != self.shard.index {
            self.progress.skip(sentences(chunk), "another part's");
            return Ok(None);
        }
        self.counts.chunks += 1;
        // Those in full precision are as good for one who reads in half, and those in half are worth more
        // than hours.
        for precision in [Precision::Full, Precision::Half] {
            let path = self.path(chunk, precision);
            if let Some((logits, layout)) = self.read(&path, chunk) {
                if precision != Precision::Full && self.reader.precision() == Precision::Full {
                    self.tell_half();
                }
                self.counts.found += 1;
                self.progress.skip(sentences(chunk), "done before");
                return Ok(Some((logits, Some((path, layout)))));
            }
        }
        let Some(logits) = self.compute(chunk)? else { return Err(Stopped(self.stopped()).into()) };
        let path = self.path(chunk, self.reader.precision());
        let mut stored = None;
        if self.keeping != Keeping::GivenUp {
            match self.keep(&path, chunk, &logits) {
                Ok(layout) => {
                    self.counts.kept += 1;
                    stored = Some((path, layout));
                }
                Err(error) if self.keeping == Keeping::Required => {
                    let why = "the teacher's logits cannot be kept; expected a --cache folder that can \
                               be written";
                    return Err(error.context(why));
                }
                // Without the cache the next run labels again.
                Err(error) => {
                    self.progress.message(&format!("{error:#}; the logits are not kept"));
                    self.keeping = Keeping::GivenUp;
                }
            }
        }
        Ok(Some((logits, stored)))
    }

    /// Once.
    fn tell_half(&mut self) {
        if !std::mem::replace(&mut self.has_told_half, true) {
            let what = "some of the teacher's logits are there in half precision, from a GPU; they are used";
            self.progress.message(what);
        }
    }

    /// What there is when it is stopped.
    fn stopped(&self) -> String {
        format!(
            "stopped while the teacher labelled the text; {} chunks are in {}, and the same command goes \
             on from there",
            self.counts.found + self.counts.kept,
            self.folder.display()
        )
    }

    fn path(&self, chunk: &[Example], precision: Precision) -> PathBuf {
        let key = cache_key(&self.teacher_key, chunk, precision);
        self.folder.join(format!("{key}.safetensors"))
    }

    fn read(&self, path: &Path, chunk: &[Example]) -> Option<(TeacherLogits, ChunkLayout)> {
        if !path.is_file() {
            return None;
        }
        let num_labels = self.teacher.labels.len();
        let read = store::read(path).and_then(|bytes| {
            Ok((from_bytes(&bytes, chunk, num_labels)?, ChunkLayout::of(&bytes)?))
        });
        // A damaged cache costs time, not the run.
        let warn = |error: &anyhow::Error| {
            self.progress.message(&format!("{}: {error:#}; computed again", path.display()));
        };
        read.inspect_err(warn).ok()
    }

    /// The logits of a chunk; `None` where it was interrupted before the end.
    fn compute(&mut self, chunk: &[Example]) -> Result<Option<TeacherLogits>> {
        let stop = stop::flag();
        let pad = self.teacher.config.pad_token_id;
        let (progress, reader) = (&mut self.progress, &mut self.reader);
        let mut counted = 0;
        device::retry(self.quiet, || {
            reader.check(chunk, pad, |message| progress.message(message));
            let mut logits = TeacherLogits::zeros(chunk, self.teacher.labels.len());
            let budget = BatchBudget::Subwords(device::feed().subwords);
            let mut done = 0;
            let sink = |index: usize, values: &[f32]| {
                logits.set(index, values);
                done += 1;
                // What a device that ran out of memory had done already is not counted twice.
                if done > counted {
                    progress
                        .advance(sentences(&chunk[index..=index]), chunk[index].input_ids.len());
                    counted = done;
                }
                !stop.load(Ordering::Relaxed)
            };
            pollster::block_on(for_each_logits(reader.model(), chunk, pad, budget, sink));
            Ok((done == chunk.len()).then_some(logits))
        })
    }

    fn keep(&self, path: &Path, chunk: &[Example], logits: &TeacherLogits) -> Result<ChunkLayout> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        let bytes = to_bytes(chunk, logits);
        store::write_atomic(path, &bytes)?;
        Ok(ChunkLayout::of(&bytes)?)
    }
}

/// Sentences whose first window is among the examples, which is the one that counts the first word.
pub fn sentences(examples: &[Example]) -> usize {
    let is_first = |example: &&Example| {
        let mut words = example.word_ids.iter().zip(&example.counted);
        words.any(|(word, counted)| *word == Some(0) && *counted)
    };
    examples.iter().filter(is_first).count()
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

    #[test]
    fn a_sentence_counts_where_it_begins() {
        let window = |words: [usize; 2], counted: [bool; 2]| Example {
            sentence: 0,
            input_ids: vec![2, 7, 8, 3],
            word_ids: vec![None, Some(words[0]), Some(words[1]), None],
            counted: vec![false, counted[0], counted[1], false],
            label_ids: vec![-100; 4],
        };
        let first = window([0, 1], [true, true]);
        let others = [window([1, 2], [false, true]), window([0, 1], [false, true])];
        assert_eq!(sentences(std::slice::from_ref(&first)), 1);
        // Such as those at the start of a chunk whose sentence began in the chunk before.
        assert_eq!(sentences(&others), 0);
        assert_eq!(sentences(&[&others[..], &[first.clone(), first]].concat()), 2);
    }
}
