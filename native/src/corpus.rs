//! What a student learns from: labelled examples in memory, and text that stays on disk with its
//! teacher's logits, in the chunks that labelling left there. Of a text only the length and the place
//! of each example are in memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::anyhow;
use understudy_shared::data::example::Example;
use understudy_shared::infer::chunk::ChunkLayout;
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::train::source::{InMemory, Loaded, Source, SourceError};

use crate::labelling::Labelled;

/// Labelled examples and text on disk.
pub struct Corpus {
    labelled: InMemory,
    num_labels: usize,
    chunks: Vec<Chunk>,
    /// Sub-words of every example, the labelled ones first.
    lengths: Vec<u32>,
    /// Where each example of a text starts in its chunk, in sub-words.
    starts: Vec<u32>,
}

struct Chunk {
    path: PathBuf,
    layout: ChunkLayout,
    /// The number of its first example.
    first: usize,
}

impl Corpus {
    /// Labelled examples with the teacher's logits, and no text yet.
    pub fn new(examples: Vec<Example>, logits: TeacherLogits) -> Self {
        let num_labels = logits.num_labels();
        let labelled = InMemory::new(examples, Some(logits));
        let lengths = labelled.lengths().to_vec();
        Self { labelled, num_labels, chunks: vec![], lengths, starts: vec![] }
    }

    /// Adds a chunk of text.
    pub fn add(&mut self, examples: &[Example], labelled: Labelled) {
        let Labelled { path, layout, .. } = labelled;
        self.chunks.push(Chunk { path, layout, first: self.lengths.len() });
        let mut start = 0;
        for example in examples {
            let len = example.input_ids.len() as u32;
            self.lengths.push(len);
            self.starts.push(start);
            start += len;
        }
    }

    fn read(&self, index: usize) -> anyhow::Result<(Example, Vec<half::f16>)> {
        let place = self.chunks.partition_point(|chunk| chunk.first <= index) - 1;
        let Chunk { path, layout, .. } = &self.chunks[place];
        let start = self.starts[index - self.labelled.lengths().len()] as usize;
        let read = || -> io::Result<_> {
            let mut file = File::open(path)?;
            let mut parts = [vec![], vec![], vec![]];
            let ranges = layout.ranges(start, self.lengths[index] as usize);
            for (part, range) in parts.iter_mut().zip(ranges) {
                file.seek(SeekFrom::Start(range.start))?;
                part.resize((range.end - range.start) as usize, 0);
                file.read_exact(part)?;
            }
            Ok(ChunkLayout::decode(parts.each_ref().map(Vec::as_slice)))
        };
        read().map_err(|error| {
            anyhow!(
                "cannot read {}: {error}; expected the logits that were there when the run began: \
                 --resume labels the text again and goes on",
                path.display()
            )
        })
    }
}

impl Source for Corpus {
    fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    fn num_labelled(&self) -> usize {
        self.labelled.num_labelled()
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, SourceError> {
        let mut examples = Vec::with_capacity(indices.len());
        let mut all_logits = TeacherLogits::empty(self.num_labels);
        for index in indices {
            if *index < self.num_labelled() {
                let loaded = self.labelled.load(&[*index])?;
                examples.extend(loaded.examples);
                loaded.teacher_logits.iter().for_each(|logits| all_logits.append(logits));
            } else {
                let (example, logits) = self.read(*index)?;
                examples.push(example);
                all_logits.push(&logits);
            }
        }
        Ok(Loaded { examples, teacher_logits: Some(all_logits), states: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;
    use understudy_shared::infer::chunk::to_bytes;

    fn examples(count: u32, len: u32) -> Vec<Example> {
        let example = |number: u32| {
            let len = (len + number % 3) as usize;
            Example {
                sentence: 0,
                input_ids: (0..len as u32).map(|place| 100 * number + place).collect(),
                word_ids: vec![None; len],
                counted: (0..len).map(|place| place % 2 == 0).collect(),
                label_ids: vec![-100; len],
            }
        };
        (0..count).map(example).collect()
    }

    fn logits(examples: &[Example]) -> TeacherLogits {
        let mut logits = TeacherLogits::empty(2);
        for example in examples {
            let values = example.input_ids.iter().flat_map(|id| [*id as f32, -1.0]);
            logits.push(&values.map(half::f16::from_f32).collect::<Vec<_>>());
        }
        logits
    }

    #[test]
    fn text_on_disk_is_loaded_as_if_it_were_in_memory() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let labelled = examples(3, 4);
        let mut corpus = Corpus::new(labelled.clone(), logits(&labelled));
        let mut all = labelled;
        for (name, text) in [("a", examples(5, 2)), ("b", examples(4, 7))] {
            let path = folder.path().join(name);
            let bytes = to_bytes(&text, &logits(&text));
            std::fs::write(&path, &bytes)?;
            let layout = ChunkLayout::of(&bytes)?;
            corpus.add(&text, Labelled { logits: logits(&text), path, layout });
            all.extend(text);
        }
        assert_eq!(corpus.num_labelled(), 3);
        let lengths: Vec<u32> = all.iter().map(|example| example.input_ids.len() as u32).collect();
        assert_eq!(corpus.lengths(), lengths);
        let order = [11, 0, 3, 7, 8, 2, 4];
        let loaded = corpus.load(&order).map_err(|error| anyhow!(error))?;
        let want: Vec<Example> = order.iter().map(|index| all[*index].clone()).collect();
        assert_eq!(loaded.teacher_logits, Some(logits(&want)));
        assert_eq!(loaded.examples, want);
        std::fs::remove_file(folder.path().join("b"))?;
        let error = corpus.load(&[9]).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("--resume labels the text again")));
        Ok(())
    }
}
