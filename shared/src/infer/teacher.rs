//! A teacher's logits over a text, computed once and kept in half precision: 2 bytes a label and
//! sub-word, where the teacher itself would cost several training steps of the student each time.

use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use sha2::{Digest, Sha256};

use crate::data::example::Example;

/// Logits of every sub-word of every example, special tokens too.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherLogits {
    num_labels: usize,
    /// Where each example starts, in sub-words; one more at the end.
    starts: Vec<usize>,
    /// `[sub-words, num_labels]`, row by row.
    values: Vec<f16>,
}

impl TeacherLogits {
    /// Room for the logits of `examples`, all zero.
    pub fn zeros(examples: &[Example], num_labels: usize) -> Self {
        let mut starts = vec![0];
        for example in examples {
            starts.push(starts[starts.len() - 1] + example.input_ids.len());
        }
        let values = vec![f16::ZERO; starts[starts.len() - 1] * num_labels];
        Self { num_labels, starts, values }
    }

    /// Sets the logits of one example, `[len, num_labels]`.
    pub fn set(&mut self, example: usize, logits: &[f32]) {
        let range = self.range(example);
        assert_eq!(range.len(), logits.len(), "logits of another shape than example {example}");
        for (value, logit) in self.values[range].iter_mut().zip(logits) {
            *value = f16::from_f32(*logit);
        }
    }

    /// No examples yet; see [`TeacherLogits::append`].
    pub fn empty(num_labels: usize) -> Self {
        Self::zeros(&[], num_labels)
    }

    /// Adds the logits of further examples.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(self.num_labels, other.num_labels, "logits of another number of labels");
        let end = self.subwords();
        self.starts.extend(other.starts[1..].iter().map(|start| end + start));
        self.values.extend_from_slice(&other.values);
    }

    /// Sub-words of all examples, special tokens too.
    pub fn subwords(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Labels each sub-word can have.
    pub fn num_labels(&self) -> usize {
        self.num_labels
    }

    /// Those of some examples.
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut chosen = Self::empty(self.num_labels);
        indices.iter().for_each(|index| chosen.push(&self.values[self.range(*index)]));
        chosen
    }

    /// Adds the logits of another example, `[len, num_labels]`.
    pub fn push(&mut self, logits: &[f16]) {
        assert!(logits.len().is_multiple_of(self.num_labels), "{} values", logits.len());
        self.values.extend_from_slice(logits);
        self.starts.push(self.values.len() / self.num_labels);
    }

    /// Those of one example, `[len, num_labels]`.
    pub fn of(&self, example: usize) -> Vec<f32> {
        self.values[self.range(example)].iter().map(|value| value.to_f32()).collect()
    }

    /// As a tensor, zero where padded.
    ///
    /// # Shapes
    ///
    /// - returns: `[rows, seq_len, num_labels]`
    pub fn batch(&self, [rows, seq_len]: [usize; 2], device: &Device) -> Tensor<3> {
        let width = seq_len * self.num_labels;
        let mut padded = vec![0.0f32; rows * width];
        let examples = 0..self.starts.len() - 1;
        for (index, row) in examples.zip(padded.chunks_exact_mut(width.max(1))) {
            for (value, stored) in row.iter_mut().zip(&self.values[self.range(index)]) {
                *value = stored.to_f32();
            }
        }
        let shape = [rows, seq_len, self.num_labels];
        Tensor::from_data(TensorData::new(padded, shape), device)
    }

    /// All of them, `[sub-words, num_labels]` row by row.
    pub(super) fn values(&self) -> &[f16] {
        &self.values
    }

    /// Sets all of them.
    pub(super) fn set_all(&mut self, values: impl Iterator<Item = f16>) {
        self.values.iter_mut().zip(values).for_each(|(stored, value)| *stored = value);
    }

    fn range(&self, example: usize) -> std::ops::Range<usize> {
        self.starts[example] * self.num_labels..self.starts[example + 1] * self.num_labels
    }
}

/// SHA-256 over the SHA-256 of each of a teacher's files.
pub fn teacher_key(files: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    files.iter().for_each(|file| hasher.update(Sha256::digest(file)));
    hasher.finalize().into()
}

/// How a teacher reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// In full precision.
    Full,
    /// With the matrix products of its layers in half precision.
    Half,
}

/// Names the logits of `examples` under a teacher: SHA-256 over the teacher's key and every sub-word
/// id, so that another teacher, tokenizer, text or window length has another name; and another
/// precision.
pub fn cache_key(teacher_key: &[u8; 32], examples: &[Example], precision: Precision) -> String {
    let mut hasher = Sha256::new();
    hasher.update(teacher_key);
    if precision == Precision::Half {
        hasher.update(b"half precision");
    }
    for example in examples {
        hasher.update((example.input_ids.len() as u64).to_le_bytes());
        for id in &example.input_ids {
            hasher.update(id.to_le_bytes());
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(ids: &[u32]) -> Example {
        Example {
            sentence: 0,
            input_ids: ids.to_vec(),
            word_ids: vec![None; ids.len()],
            counted: vec![false; ids.len()],
            label_ids: vec![-100; ids.len()],
        }
    }

    #[test]
    fn chosen_examples_are_padded() {
        let mut logits = TeacherLogits::zeros(&[example(&[1, 2]), example(&[3])], 2);
        logits.set(0, &[1.0, 2.0, 3.0, 4.0]);
        logits.set(1, &[5.0, -6.0]);
        let batch = logits.select(&[1, 0]).batch([2, 2], &Device::flex()).into_data();
        let want = vec![5.0, -6.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(batch.try_to_vec::<f32>().ok(), Some(want));
    }

    #[test]
    fn the_key_tells_texts_and_teachers_apart() {
        let key = |file: &[u8], ids: &[&[u32]]| {
            let examples: Vec<Example> = ids.iter().map(|ids| example(ids)).collect();
            cache_key(&teacher_key(&[file]), &examples, Precision::Full)
        };
        assert_eq!(key(b"a", &[&[1, 2]]), key(b"a", &[&[1, 2]]));
        assert_ne!(key(b"a", &[&[1, 2]]), key(b"b", &[&[1, 2]]));
        assert_ne!(key(b"a", &[&[1, 2]]), key(b"a", &[&[1], &[2]]));
    }

    #[test]
    fn the_key_tells_precisions_apart() {
        let key = |precision| cache_key(&teacher_key(&[b"a"]), &[example(&[1, 2])], precision);
        assert_ne!(key(Precision::Full), key(Precision::Half));
        // That of full precision is the one under which caches of earlier versions are found.
        let known = "524b0550d66878a4b19b4ab439a02745b18e6b21bb2672f01e4aec2e5db0979e";
        assert_eq!(key(Precision::Full), known);
    }
}
