//! What several test modules share: goldens, differences, random numbers, the tiny corpus.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use understudy_shared::checkpoint::weights::{NamedTensor, StoredAs, read_back, to_bytes};
use understudy_shared::data::conll::{Sentence, read_conll};
use understudy_shared::data::example::{Example, ExampleOptions, labelled_examples};
use understudy_shared::data::label::LabelSet;
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::model::{BertConfig, TokenClassifier};

pub const TRAIN: &[u8] = include_bytes!("../fixtures/tiny/train.txt");
pub const VALID: &[u8] = include_bytes!("../fixtures/tiny/valid.txt");
pub const TOKENIZER: &[u8] = include_bytes!("../fixtures/tiny/tokenizer.json");

/// A tensor as the goldens store it.
#[derive(Deserialize)]
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Golden {
    /// The same on a device.
    pub fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape.clone()), device)
    }

    /// The largest difference of `tensor` from it; the shapes must be the same.
    pub fn difference<const D: usize>(&self, tensor: Tensor<D>) -> f32 {
        assert_eq!(tensor.dims().as_slice(), self.shape);
        max_difference(&values(tensor), &self.values)
    }
}

pub fn parse<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("a golden has the form its script writes")
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("floats")
}

/// The largest absolute difference; NaN where either side has one.
pub fn max_difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let differences = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs());
    differences.fold(0.0, |most, next| if next > most || next.is_nan() { next } else { most })
}

/// Rows of equal length as ids.
pub fn id_tensor(rows: &[Vec<i32>], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), rows[0].len()]), device)
}

/// Rows of equal length as a mask, `true` where not 0.
pub fn mask_tensor(rows: &[Vec<i32>], device: &Device) -> Tensor<2, Bool> {
    id_tensor(rows, device).not_equal_elem(0)
}

/// SplitMix64: random numbers that are the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Uniform in `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Uniform between -1 and 1.
    pub fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// The tensors of a new model, each value moved a little, so that biases and norms count too.
pub fn random_tensors(config: &BertConfig, num_labels: usize, seed: u64) -> Vec<NamedTensor> {
    let model = TokenClassifier::init(config, num_labels, seed, &Device::flex());
    let mut tensors = pollster::block_on(read_back(&model));
    let mut random = Random(seed);
    for tensor in &mut tensors {
        tensor.values.iter_mut().for_each(|value| *value += 0.1 * random.signed());
    }
    tensors
}

/// The safetensors bytes of a new model in f32.
pub fn model_bytes(config: &BertConfig, num_labels: usize, seed: u64) -> Vec<u8> {
    to_bytes(&random_tensors(config, num_labels, seed), StoredAs::F32).expect("finite")
}

pub fn tokenizer() -> SubwordTokenizer {
    SubwordTokenizer::from_bytes(TOKENIZER).expect("the fixture's tokenizer")
}

pub fn sentences(conll: &[u8], count: usize) -> Vec<Sentence> {
    let sentences = read_conll(conll).expect("the fixture's sentences");
    sentences.into_iter().take(count).collect()
}

/// Examples of the first `count` sentences of a fixture, with CoNLL's labels.
pub fn examples(conll: &[u8], count: usize, options: &ExampleOptions) -> Vec<Example> {
    let labels = LabelSet::conll2003();
    labelled_examples(&sentences(conll, count), &tokenizer(), &labels, options)
        .expect("the fixture has CoNLL's tags")
}
