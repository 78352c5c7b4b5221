//! A piece of text with its teacher's logits, as it lies on disk: a safetensors file that is written
//! once and from which any example can be read alone, so that a run can learn from more text than fits
//! in memory.
//!
//! | tensor | type | shape |
//! | --- | --- | --- |
//! | `input_ids` | `U32` | `[sub-words]` of all examples, one after the other |
//! | `counted` | `U8`, 0 or 1 | `[sub-words]` |
//! | `lengths` | `U32` | `[examples]` |
//! | `logits` | `F16` | `[sub-words, num_labels]` |

use std::ops::Range;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

use super::teacher::TeacherLogits;
use crate::data::IGNORE_INDEX;
use crate::data::example::Example;

/// What can be wrong with a stored chunk.
#[derive(Debug, Error)]
pub enum ChunkError {
    /// Not safetensors, or truncated.
    #[error("stored logits: {0}; expected a whole safetensors file")]
    Parse(#[from] safetensors::SafeTensorError),
    /// A tensor of another type or shape.
    #[error("stored logits: {found}; expected {expected}")]
    Mismatch {
        /// What is there.
        found: String,
        /// What belongs there.
        expected: String,
    },
    /// The text of the chunk is another.
    #[error("stored logits: they are of another text; expected the sub-words of this one")]
    Text,
}

/// The file of some examples and the teacher's logits of them.
pub fn to_bytes(examples: &[Example], logits: &TeacherLogits) -> Vec<u8> {
    let ids = examples.iter().flat_map(|example| &example.input_ids);
    let ids: Vec<u8> = ids.flat_map(|id| id.to_le_bytes()).collect();
    let counted: Vec<u8> =
        examples.iter().flat_map(|example| example.counted.iter().copied().map(u8::from)).collect();
    let lengths = examples.iter().map(|example| example.input_ids.len() as u32);
    let lengths: Vec<u8> = lengths.flat_map(u32::to_le_bytes).collect();
    let values: Vec<u8> = logits.values().iter().flat_map(|value| value.to_le_bytes()).collect();
    let subwords = logits.subwords();
    let view = |dtype, shape, bytes| {
        TensorView::new(dtype, shape, bytes).expect("the values fill the shape")
    };
    let tensors = [
        ("counted", view(Dtype::U8, vec![subwords], &counted)),
        ("input_ids", view(Dtype::U32, vec![subwords], &ids)),
        ("lengths", view(Dtype::U32, vec![examples.len()], &lengths)),
        ("logits", view(Dtype::F16, vec![subwords, logits.num_labels()], &values)),
    ];
    safetensors::serialize(tensors, None).expect("plain tensors")
}

/// Reads what [`to_bytes`] wrote for these examples.
///
/// # Errors
///
/// A truncated file, or one of other examples or labels.
pub fn from_bytes(
    bytes: &[u8],
    examples: &[Example],
    num_labels: usize,
) -> Result<TeacherLogits, ChunkError> {
    let mut logits = TeacherLogits::zeros(examples, num_labels);
    let file = SafeTensors::deserialize(bytes)?;
    let subwords = logits.subwords();
    let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
        let view = file.tensor(name)?;
        if view.dtype() != dtype || view.shape() != shape {
            return Err(ChunkError::Mismatch {
                found: format!("{name} {:?} {:?}", view.dtype(), view.shape()),
                expected: format!("{dtype:?} {shape:?}"),
            });
        }
        Ok(view.data())
    };
    let ids = tensor("input_ids", Dtype::U32, &[subwords])?;
    let counted = tensor("counted", Dtype::U8, &[subwords])?;
    let lengths = tensor("lengths", Dtype::U32, &[examples.len()])?;
    let values = tensor("logits", Dtype::F16, &[subwords, num_labels])?;
    let numbers = |bytes: &[u8]| -> Vec<u32> {
        bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    };
    let same_ids = examples.iter().flat_map(|example| &example.input_ids).copied().eq(numbers(ids));
    let same_lengths =
        examples.iter().map(|example| example.input_ids.len() as u32).eq(numbers(lengths));
    let flags = examples.iter().flat_map(|example| &example.counted).copied().map(u8::from);
    if !(same_ids && same_lengths && flags.eq(counted.iter().copied())) {
        return Err(ChunkError::Text);
    }
    logits.set_all(values.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes)));
    Ok(logits)
}

/// Where the tensors of a chunk lie in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLayout {
    input_ids: u64,
    counted: u64,
    logits: u64,
    num_labels: usize,
}

impl ChunkLayout {
    /// Of a file that [`from_bytes`] accepts.
    ///
    /// # Errors
    ///
    /// A header that cannot be read.
    pub fn of(bytes: &[u8]) -> Result<Self, ChunkError> {
        let (header, metadata) = SafeTensors::read_metadata(bytes)?;
        let info = |name: &str| {
            let missing = || safetensors::SafeTensorError::TensorNotFound(name.to_owned());
            metadata.info(name).ok_or_else(missing)
        };
        // The data starts behind the header and its length of eight bytes.
        let place = |name| Ok::<_, ChunkError>((8 + header + info(name)?.data_offsets.0) as u64);
        Ok(Self {
            input_ids: place("input_ids")?,
            counted: place("counted")?,
            logits: place("logits")?,
            num_labels: info("logits")?.shape.last().copied().unwrap_or(0),
        })
    }

    /// The bytes of `len` sub-words from the chunk's sub-word `start` on: of `input_ids`, `counted` and
    /// `logits`.
    pub fn ranges(&self, start: usize, len: usize) -> [Range<u64>; 3] {
        let range = |place: u64, size: usize| {
            let first = place + (start * size) as u64;
            first..first + (len * size) as u64
        };
        [range(self.input_ids, 4), range(self.counted, 1), range(self.logits, 2 * self.num_labels)]
    }

    /// The example that the bytes of [`ChunkLayout::ranges`] are of, and its logits.
    ///
    /// It has no labels, and which word a sub-word is of is not kept.
    pub fn decode([ids, counted, logits]: [&[u8]; 3]) -> (Example, Vec<f16>) {
        let ids = ids.as_chunks::<4>().0;
        let example = Example {
            sentence: 0,
            input_ids: ids.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect(),
            word_ids: vec![None; ids.len()],
            counted: counted.iter().map(|flag| *flag != 0).collect(),
            label_ids: vec![IGNORE_INDEX; ids.len()],
        };
        let logits = logits.as_chunks::<2>().0.iter();
        (example, logits.map(|bytes| f16::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(ids: &[u32]) -> Example {
        Example {
            sentence: 0,
            input_ids: ids.to_vec(),
            word_ids: vec![None; ids.len()],
            counted: ids.iter().map(|id| id % 2 == 0).collect(),
            label_ids: vec![IGNORE_INDEX; ids.len()],
        }
    }

    fn examples_and_logits() -> ([Example; 3], TeacherLogits) {
        let examples = [example(&[1, 2]), example(&[3]), example(&[4, 6, 5])];
        let mut logits = TeacherLogits::zeros(&examples, 2);
        logits.set(0, &[1.0, 2.0, 3.0, 4.0]);
        logits.set(1, &[5.0, -6.0]);
        logits.set(2, &[7.0, 8.0, 9.0, 10.0, 11.0, 0.5]);
        (examples, logits)
    }

    #[test]
    fn what_is_written_is_read() {
        let (examples, logits) = examples_and_logits();
        let bytes = to_bytes(&examples, &logits);
        assert_eq!(from_bytes(&bytes, &examples, 2).expect("our own"), logits);
    }

    #[test]
    fn any_example_is_read_alone() {
        let (examples, logits) = examples_and_logits();
        let bytes = to_bytes(&examples, &logits);
        let layout = ChunkLayout::of(&bytes).expect("our own");
        let mut start = 0;
        for (index, example) in examples.iter().enumerate() {
            let len = example.input_ids.len();
            let ranges = layout.ranges(start, len);
            let parts =
                ranges.each_ref().map(|range| &bytes[range.start as usize..range.end as usize]);
            let (read, values) = ChunkLayout::decode(parts);
            assert_eq!(&read, example);
            assert_eq!(values, logits.select(&[index]).values());
            start += len;
        }
    }

    #[test]
    fn chunks_of_other_examples_or_labels_are_refused() {
        let (examples, logits) = examples_and_logits();
        let bytes = to_bytes(&examples, &logits);
        let refused = |examples: &[Example], num_labels, expected: &str| {
            let error = from_bytes(&bytes, examples, num_labels).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(&examples[..2], 2, "input_ids U32 [6]; expected U32 [3]");
        refused(&examples, 3, "logits F16 [6, 2]; expected F16 [6, 3]");
        let other = [example(&[1, 2]), example(&[3]), example(&[4, 6, 7])];
        refused(&other, 2, "of another text");
        let cut = [example(&[1, 2, 3]), example(&[]), example(&[4, 6, 5])];
        refused(&cut, 2, "of another text");
        assert!(from_bytes(&bytes[..20], &examples, 2).is_err());
    }
}
