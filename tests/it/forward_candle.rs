//! Forward passes against `candle-transformers` on the same random weights, layer by layer.
//!
//! candle gives the last hidden state only, so it is built with 0, 1, … n layers from one file. Both
//! sides compute in f32; tolerance 1e-4 on every value, padded positions too.
//!
//! candle's DistilBERT takes GELU by tanh where `transformers` takes it by erf; they differ by up to
//! 5e-4 a value at ±2, and by less than 1e-6 below 0.2, where the weights of `quiet` keep it. The
//! same DistilBERT file is also compared with candle's BERT, which takes erf, at full size.

use burn::tensor::Device;
use candle_core::{DType, Tensor as CandleTensor};
use candle_nn::{Module, VarBuilder};
use candle_transformers::models::bert::{BertModel, Config as CandleBert};
use candle_transformers::models::distilbert::{Config as CandleDistilBert, DistilBertModel};
use serde_json::json;
use understudy_shared::checkpoint::weights::{Head, NamedTensor, StoredAs, load, to_bytes};
use understudy_shared::model::{BertConfig, Noise};

use crate::support::{Random, id_tensor, mask_tensor, max_difference, random_tensors, values};

const TOLERANCE: f32 = 1e-4;
const NUM_LABELS: usize = 5;
const CPU: candle_core::Device = candle_core::Device::Cpu;

/// DistilBERT's names for BERT's, where they differ.
const DISTILBERT_NAMES: [(&str, &str); 10] = [
    ("bert.encoder.layer.", "distilbert.transformer.layer."),
    ("bert.embeddings.", "distilbert.embeddings."),
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"),
    ("output.LayerNorm", "output_layer_norm"),
];

fn small() -> BertConfig {
    BertConfig { num_hidden_layers: 3, ..BertConfig::tiny(50) }
}

/// Other proportions: an odd head size, a narrow feed-forward, another epsilon.
fn wide() -> BertConfig {
    BertConfig {
        hidden_size: 120,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        intermediate_size: 72,
        max_position_embeddings: 40,
        type_vocab_size: 1,
        ..BertConfig::tiny(211)
    }
}

/// Padded rows of random ids; the padding holds ids too, so that a leaking mask shows.
struct Input {
    input_ids: Vec<Vec<i32>>,
    attention_mask: Vec<Vec<i32>>,
}

fn input(config: &BertConfig, lengths: &[usize]) -> Input {
    let seq_len = lengths.iter().copied().max().expect("a row");
    let mut random = Random(11);
    let row = |_: &usize| (0..seq_len).map(|_| random.below(config.vocab_size) as i32).collect();
    let input_ids = lengths.iter().map(row).collect();
    let mask = |len: &usize| (0..seq_len).map(|position| i32::from(position < *len)).collect();
    Input { input_ids, attention_mask: lengths.iter().map(mask).collect() }
}

fn candle_rows(rows: &[Vec<i32>]) -> CandleTensor {
    let rows: Vec<Vec<u32>> =
        rows.iter().map(|row| row.iter().map(|id| *id as u32).collect()).collect();
    CandleTensor::new(rows, &CPU).expect("rows of one length")
}

fn variables(bytes: &[u8]) -> VarBuilder<'static> {
    VarBuilder::from_buffered_safetensors(bytes.to_vec(), DType::F32, &CPU).expect("safetensors")
}

fn flat(tensor: &CandleTensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("floats")
}

/// candle's BERT with the first `layers` layers of a file.
fn candle_bert(bytes: &[u8], config: &BertConfig, layers: usize, input: &Input) -> CandleTensor {
    let config = CandleBert {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        num_hidden_layers: layers,
        num_attention_heads: config.num_attention_heads,
        intermediate_size: config.intermediate_size,
        max_position_embeddings: config.max_position_embeddings,
        type_vocab_size: config.type_vocab_size,
        layer_norm_eps: config.layer_norm_eps,
        ..CandleBert::default()
    };
    let model = BertModel::load(variables(bytes), &config).expect("candle reads BERT's names");
    let input_ids = candle_rows(&input.input_ids);
    let types = input_ids.zeros_like().expect("zeros");
    let mask = candle_rows(&input.attention_mask);
    model.forward(&input_ids, &types, Some(&mask)).expect("a forward pass")
}

/// candle's DistilBERT with the first `layers` layers of a file.
fn candle_distilbert(
    bytes: &[u8],
    config: &BertConfig,
    layers: usize,
    input: &Input,
) -> CandleTensor {
    let config: CandleDistilBert = serde_json::from_value(json!({
        "vocab_size": config.vocab_size,
        "dim": config.hidden_size,
        "n_layers": layers,
        "n_heads": config.num_attention_heads,
        "hidden_dim": config.intermediate_size,
        "activation": "gelu",
        "max_position_embeddings": config.max_position_embeddings,
        "initializer_range": config.initializer_range,
        "pad_token_id": config.pad_token_id,
        "model_type": "distilbert",
    }))
    .expect("candle's own fields");
    let model = DistilBertModel::load(variables(bytes), &config).expect("DistilBERT's names");
    // Here 1 is a key that is not looked at.
    let masked = candle_rows(&input.attention_mask).eq(0u32);
    let masked = masked.and_then(|mask| mask.unsqueeze(1)?.unsqueeze(1)).expect("a mask");
    model.forward(&candle_rows(&input.input_ids), &masked).expect("a forward pass")
}

type Reference = fn(&[u8], &BertConfig, usize, &Input) -> CandleTensor;

/// Our reading of `ours` against `reference`'s of `theirs`, at every layer and after the classifier.
fn check(ours: &[u8], reference: Reference, theirs: &[u8], config: &BertConfig, lengths: &[usize]) {
    let device = Device::flex();
    let input = input(config, lengths);
    let model = load(ours, config, NUM_LABELS, Head::Trained, &device).expect("our own names");
    let output = model.forward_with_hidden_states(
        id_tensor(&input.input_ids, &device),
        mask_tensor(&input.attention_mask, &device),
        &mut Noise::off(),
    );
    assert_eq!(output.hidden_states.len(), config.num_hidden_layers + 1);
    let mut last = None;
    for (layer, hidden) in output.hidden_states.into_iter().enumerate() {
        let want = reference(theirs, config, layer, &input);
        assert_eq!(hidden.dims().as_slice(), want.dims());
        let difference = max_difference(&values(hidden), &flat(&want));
        println!("hidden state {layer}: {difference:e}");
        assert!(difference <= TOLERANCE, "hidden state {layer}: {difference}");
        last = Some(want);
    }
    let head = variables(theirs).pp("classifier");
    let head = candle_nn::linear(config.hidden_size, NUM_LABELS, head).expect("a head");
    let logits = head.forward(&last.expect("a layer")).expect("logits");
    assert_eq!(output.logits.dims().as_slice(), logits.dims());
    let difference = max_difference(&values(output.logits), &flat(&logits));
    println!("logits: {difference:e}");
    assert!(difference <= TOLERANCE, "logits: {difference}");
}

/// Weights whose feed-forward stays where both forms of GELU agree.
fn quiet(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    for tensor in &mut tensors {
        if tensor.name.contains("intermediate.dense") {
            tensor.values.iter_mut().for_each(|value| *value *= 0.05);
        }
    }
    tensors
}

/// A file under DistilBERT's names, without token types.
fn distilbert_file(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut tensors = tensors.to_vec();
    tensors.retain(|tensor| !tensor.name.contains("token_type"));
    for tensor in &mut tensors {
        for (bert, distilbert) in DISTILBERT_NAMES {
            tensor.name = tensor.name.replace(bert, distilbert);
        }
    }
    to_bytes(&tensors, StoredAs::F32).expect("finite")
}

/// The BERT file of the same function: its token types are zero.
fn bert_file(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut tensors = tensors.to_vec();
    for tensor in tensors.iter_mut().filter(|tensor| tensor.name.contains("token_type")) {
        tensor.values.fill(0.0);
    }
    to_bytes(&tensors, StoredAs::F32).expect("finite")
}

fn check_bert(config: &BertConfig, lengths: &[usize]) {
    let bytes = to_bytes(&random_tensors(config, NUM_LABELS, 3), StoredAs::F32).expect("finite");
    check(&bytes, candle_bert, &bytes, config, lengths);
}

fn check_distilbert(config: &BertConfig, lengths: &[usize]) {
    let file = distilbert_file(&quiet(random_tensors(config, NUM_LABELS, 4)));
    check(&file, candle_distilbert, &file, config, lengths);
    let tensors = random_tensors(config, NUM_LABELS, 5);
    check(&distilbert_file(&tensors), candle_bert, &bert_file(&tensors), config, lengths);
}

#[test]
fn small_bert_equals_candle_at_every_layer() {
    check_bert(&small(), &[9, 4, 1]);
}

#[test]
fn wide_bert_equals_candle_at_every_layer() {
    check_bert(&wide(), &[3, 40, 17, 26]);
}

#[test]
fn unpadded_bert_equals_candle_at_every_layer() {
    check_bert(&small(), &[12, 12]);
}

#[test]
fn small_distilbert_equals_candle_at_every_layer() {
    check_distilbert(&small(), &[9, 4, 1]);
}

#[test]
fn wide_distilbert_equals_candle_at_every_layer() {
    check_distilbert(&wide(), &[3, 40, 17, 26]);
}

#[test]
#[should_panic(expected = "hidden state 1")]
fn other_weights_are_seen() {
    let config = small();
    let mut tensors = random_tensors(&config, NUM_LABELS, 3);
    let theirs = to_bytes(&tensors, StoredAs::F32).expect("finite");
    let query = tensors
        .iter_mut()
        .find(|tensor| tensor.name.ends_with("layer.0.attention.self.query.weight"));
    query.expect("a query").values[0] += 0.1;
    check(
        &to_bytes(&tensors, StoredAs::F32).expect("finite"),
        candle_bert,
        &theirs,
        &config,
        &[9, 4, 1],
    );
}
