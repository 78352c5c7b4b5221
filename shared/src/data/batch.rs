//! Batches of similar length, in an order that a seed fixes.
//!
//! Examples are shuffled, cut into pools, sorted by length within a pool and filled into batches;
//! the batches are then shuffled. Padding all sentences to 128 would do six times the work.

use std::borrow::Borrow;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::example::Example;

/// When a batch is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchBudget {
    /// At most this many sentences.
    Sentences(usize),
    /// At most this many sub-words, padding included (one longer sentence stands alone).
    Subwords(usize),
}

/// How a model is best given its examples on the device it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Which sizes batches may have.
    pub shapes: Shapes,
    /// Sub-words, padding included, that are read at once where nothing is learned.
    pub subwords: usize,
    /// How many parts a step's batch is computed in, one after the other; their gradients are added
    /// up, so the step stays the same and takes less memory.
    pub parts: usize,
}

impl Default for Feed {
    fn default() -> Self {
        Self { shapes: Shapes::Exact, subwords: 2048, parts: 1 }
    }
}

/// Which sizes batches may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// As many rows as examples, each as long as the longest.
    Exact,
    /// One of a few sizes, filled up with padding: for devices whose kernels are compiled and tuned
    /// for each size.
    Few,
}

/// The lengths of [`Shapes::Few`]: from one to the next a half or a third more.
const LENGTHS: [usize; 10] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512];

impl Shapes {
    /// The length of a batch whose longest example has `longest` sub-words; `most` is what the model
    /// can read.
    pub fn seq_len(self, longest: usize, most: usize) -> usize {
        let fits = |length: &&usize| **length >= longest;
        match self {
            Self::Exact => longest,
            Self::Few => LENGTHS.iter().find(fits).map_or(longest, |length| (*length).min(most)),
        }
    }

    /// The rows of a batch of `examples` examples, where a full one has `full`.
    pub fn rows(self, examples: usize, full: usize) -> usize {
        match self {
            Self::Exact => examples,
            // More than are full where the batch was filled by the exact lengths.
            Self::Few if examples > full => examples.next_multiple_of(8),
            Self::Few => examples.next_power_of_two().min(full),
        }
    }
}

impl BatchBudget {
    /// The examples of a full batch where each is `seq_len` long.
    pub fn full(self, seq_len: usize) -> usize {
        match self {
            Self::Sentences(most) => most,
            Self::Subwords(most) => (most / seq_len.max(1)).max(1),
        }
    }
}

/// Examples that are shuffled together before they are sorted by length.
const POOL: usize = 1024;

/// The numbers below `len` in an order that the seed fixes.
pub fn shuffled(len: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}

/// The batches of one epoch over the examples `order`, whose lengths are `lengths[index]`; the same
/// seed gives the same batches.
pub fn shuffled_batches(
    mut order: Vec<usize>,
    lengths: &[u32],
    budget: BatchBudget,
    seed: u64,
) -> Vec<Vec<usize>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    order.shuffle(&mut rng);
    let mut batches = Vec::new();
    for pool in order.chunks_mut(POOL) {
        pool.sort_by_key(|index| lengths[*index]);
        batches.extend(fill(pool, lengths, budget));
    }
    batches.shuffle(&mut rng);
    batches
}

/// Batches for reading everything once, longest first, so that memory peaks at the start.
pub fn sorted_batches(lengths: &[u32], budget: BatchBudget) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    fill(&order, lengths, budget)
}

fn fill(order: &[usize], lengths: &[u32], budget: BatchBudget) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for index in order {
        longest = longest.max(lengths[*index] as usize);
        let fits = |batch: &Vec<usize>| match budget {
            BatchBudget::Sentences(most) => batch.len() < most,
            BatchBudget::Subwords(most) => (batch.len() + 1) * longest <= most,
        };
        match batches.last_mut() {
            Some(batch) if fits(batch) => batch.push(*index),
            _ => {
                longest = lengths[*index] as usize;
                batches.push(vec![*index]);
            }
        }
    }
    batches
}

/// Padded tensors of some examples.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch_size, seq_len]`, filled up with the padding id.
    pub input_ids: Tensor<2, Int>,
    /// `[batch_size, seq_len]`, `true` = a sub-word or special token, `false` = padding.
    pub attention_mask: Tensor<2, Bool>,
    /// Whether any row is shorter than the longest.
    pub is_padded: bool,
    /// `[batch_size, seq_len]`, 0 where `label_mask` is `false`.
    pub label_ids: Tensor<2, Int>,
    /// `[batch_size, seq_len]`, `true` = the label counts.
    pub label_mask: Tensor<2, Bool>,
    /// `[batch_size, seq_len]`, `true` = a counted sub-word, labelled or not.
    pub counted_mask: Tensor<2, Bool>,
    /// How many of each there are.
    pub counts: BatchCounts,
}

/// Sizes of a batch that are known without asking the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Rows.
    pub sentences: usize,
    /// Sub-words and special tokens, without padding.
    pub subwords: usize,
    /// Sub-words with a label that counts.
    pub labelled: usize,
    /// Sub-words that count, labelled or not.
    pub counted: usize,
}

impl std::ops::AddAssign for BatchCounts {
    fn add_assign(&mut self, other: Self) {
        self.sentences += other.sentences;
        self.subwords += other.subwords;
        self.labelled += other.labelled;
        self.counted += other.counted;
    }
}

/// The sizes of some examples.
pub fn counts<E: Borrow<Example>>(examples: &[E]) -> BatchCounts {
    let sum =
        |size: fn(&Example) -> usize| examples.iter().map(|example| size(example.borrow())).sum();
    BatchCounts {
        sentences: examples.len(),
        subwords: sum(|example| example.input_ids.len()),
        labelled: sum(|example| example.label_ids.iter().filter(|label| **label >= 0).count()),
        counted: sum(|example| example.counted.iter().filter(|counted| **counted).count()),
    }
}

impl Batch {
    /// Pads `examples` to the longest of them.
    pub fn new<E: Borrow<Example>>(examples: &[E], pad_token_id: u32, device: &Device) -> Self {
        let shape = [examples.len(), longest(examples)];
        Self::padded(examples, shape, pad_token_id, device)
    }

    /// Pads `examples` to `shape`, `[rows, seq_len]`: short rows, and rows that are missing.
    ///
    /// # Panics
    ///
    /// If the examples are more or longer.
    pub fn padded<E: Borrow<Example>>(
        examples: &[E],
        shape: [usize; 2],
        pad_token_id: u32,
        device: &Device,
    ) -> Self {
        let [rows, seq_len] = shape;
        let longest = longest(examples);
        assert!(
            examples.len() <= rows && longest <= seq_len,
            "{} examples of up to {longest} sub-words in {shape:?}",
            examples.len()
        );
        let examples: Vec<&Example> = examples.iter().map(Borrow::borrow).collect();
        let examples = examples.as_slice();
        let ids = padded(examples, shape, pad_token_id as i32, |example, position| {
            example.input_ids[position] as i32
        });
        let labels =
            padded(examples, shape, 0, |example, position| example.label_ids[position].max(0));
        let flags = |of: fn(&Example, usize) -> bool| {
            let flags = TensorData::new(padded(examples, shape, false, of), shape);
            Tensor::<2, Bool>::from_data(flags, device)
        };
        Self {
            input_ids: Tensor::from_data(TensorData::new(ids, shape), device),
            attention_mask: flags(|_, _| true),
            is_padded: examples.len() < rows
                || examples.iter().any(|example| example.input_ids.len() != seq_len),
            label_ids: Tensor::from_data(TensorData::new(labels, shape), device),
            label_mask: flags(|example, position| example.label_ids[position] >= 0),
            counted_mask: flags(|example, position| example.counted[position]),
            counts: counts(examples),
        }
    }
}

impl Batch {
    /// `input_ids` with each counted sub-word replaced by `mask_token_id` with probability `share`; the
    /// same seed replaces the same ones.
    pub fn hide(&self, share: f64, mask_token_id: u32, seed: u64) -> Tensor<2, Int> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = self.input_ids.dims();
        let chosen: Vec<bool> = (0..shape[0] * shape[1]).map(|_| rng.random_bool(share)).collect();
        let device = self.input_ids.device();
        let chosen = Tensor::<2, Bool>::from_data(TensorData::new(chosen, shape), &device);
        let hidden = chosen.bool_and(self.counted_mask.clone());
        self.input_ids.clone().mask_fill(hidden, mask_token_id)
    }
}

/// Sub-words of the longest example; 1 where there is none.
pub fn longest<E: Borrow<Example>>(examples: &[E]) -> usize {
    let lengths = examples.iter().map(|example| example.borrow().input_ids.len());
    lengths.max().unwrap_or(1)
}

/// Row after row, each filled up to `seq_len` with `filler`, and further rows of it.
fn padded<T: Copy>(
    examples: &[&Example],
    [rows, seq_len]: [usize; 2],
    filler: T,
    value: impl Fn(&Example, usize) -> T,
) -> Vec<T> {
    let mut values = Vec::with_capacity(rows * seq_len);
    for example in examples {
        let len = example.input_ids.len();
        values.extend((0..len).map(|position| value(example, position)));
        values.extend(std::iter::repeat_n(filler, seq_len - len));
    }
    values.resize(rows * seq_len, filler);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_example_is_in_one_batch(
            lengths in prop::collection::vec(1u32..50, 0..200), most in 1usize..200, by_sentence: bool
        ) {
            let budget = if by_sentence { BatchBudget::Sentences(most) } else { BatchBudget::Subwords(most) };
            for batches in [
                shuffled_batches((0..lengths.len()).collect(), &lengths, budget, 5),
                sorted_batches(&lengths, budget),
            ] {
                let mut seen: Vec<usize> = batches.concat();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
                for batch in batches {
                    let longest = batch.iter().map(|index| lengths[*index] as usize).max().unwrap_or(0);
                    let size = if by_sentence { batch.len() } else { batch.len() * longest };
                    prop_assert!(size <= most || batch.len() == 1);
                }
            }
        }
    }

    #[test]
    fn the_seed_fixes_the_order() {
        let lengths: Vec<u32> = (0..100).map(|index| index % 17 + 1).collect();
        let batches =
            |seed| shuffled_batches((0..100).collect(), &lengths, BatchBudget::Sentences(8), seed);
        assert_eq!(batches(1), batches(1));
        assert_ne!(batches(1), batches(2));
    }

    fn example(len: usize) -> Example {
        Example {
            sentence: 0,
            input_ids: vec![7; len],
            word_ids: vec![None; len],
            counted: (0..len).map(|position| position > 0).collect(),
            label_ids: (0..len).map(|position| position as i32 - 1).collect(),
        }
    }

    #[test]
    fn there_are_few_shapes() {
        for longest in 1..=512 {
            let length = Shapes::Few.seq_len(longest, 512);
            assert!(length >= longest && LENGTHS.contains(&length), "{longest}: {length}");
        }
        assert_eq!(Shapes::Few.seq_len(97, 100), 100);
        assert_eq!(Shapes::Few.seq_len(600, 1024), 600);
        assert_eq!(Shapes::Exact.seq_len(97, 512), 97);
        assert_eq!([1, 5, 17, 32].map(|rows| Shapes::Few.rows(rows, 32)), [1, 8, 32, 32]);
        assert_eq!([150, 171].map(|rows| Shapes::Few.rows(rows, 170)), [170, 176]);
        assert_eq!(BatchBudget::Subwords(2048).full(48), 42);
        assert_eq!(BatchBudget::Subwords(100).full(512), 1);
    }

    #[test]
    fn rows_that_are_missing_are_padding() {
        let batch = Batch::padded(&[example(2)], [2, 3], 9, &Device::flex());
        let ids = batch.input_ids.into_data().try_to_vec::<i32>().ok();
        assert_eq!(ids, Some(vec![7, 7, 9, 9, 9, 9]));
        let mask = batch.attention_mask.into_data().iter::<bool>().collect::<Vec<_>>();
        assert_eq!(mask, [true, true, false, false, false, false]);
        assert!(batch.is_padded);
        assert_eq!(batch.counts, counts(&[example(2)]));
    }

    #[test]
    fn short_rows_are_padded_and_masked() {
        let (short, long) = (example(2), example(3));
        let batch = Batch::new(&[&short, &long], 9, &Device::flex());
        assert_eq!(
            batch.input_ids.clone().into_data().try_to_vec::<i32>().ok(),
            Some(vec![7, 7, 9, 7, 7, 7])
        );
        assert_eq!(
            batch.label_ids.clone().into_data().try_to_vec::<i32>().ok(),
            Some(vec![0, 0, 0, 0, 0, 1])
        );
        let mask = batch.label_mask.clone().into_data().iter::<bool>().collect::<Vec<_>>();
        assert_eq!(mask, [false, true, false, false, true, true]);
        assert!(batch.is_padded);
        let hidden = |share, seed| batch.hide(share, 5, seed).into_data().try_to_vec::<i32>().ok();
        assert_eq!(hidden(0.0, 1), Some(vec![7, 7, 9, 7, 7, 7]));
        assert_eq!(hidden(1.0, 1), Some(vec![7, 5, 9, 7, 5, 5]));
        assert_eq!(hidden(0.5, 1), hidden(0.5, 1));
        assert!((0..20).any(|seed| hidden(0.5, seed) != hidden(0.5, 20)));
        let want = BatchCounts { sentences: 2, subwords: 5, labelled: 3, counted: 3 };
        assert_eq!(batch.counts, want);
    }
}
