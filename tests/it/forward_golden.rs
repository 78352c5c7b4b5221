//! Forward passes of BERT and DistilBERT against `transformers`, at every layer.
//!
//! `tests/golden/bert_tiny.py` made the goldens and says how; tolerance 1e-4 on every value. The
//! weights are read by our loader from the file that `save_pretrained` wrote.

use burn::tensor::Device;
use serde::Deserialize;
use understudy_shared::checkpoint::weights::{Head, load};
use understudy_shared::data::label::LabelSet;
use understudy_shared::model::{BertConfig, Noise, TokenClassifier};

use crate::support::{Golden, id_tensor, mask_tensor, parse, values};

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Forward {
    input_ids: Vec<Vec<i32>>,
    attention_mask: Vec<Vec<i32>>,
    hidden_states: Vec<Golden>,
    logits: Golden,
}

struct Files {
    config: &'static [u8],
    weights: &'static [u8],
    forward: &'static str,
}

const BERT: Files = Files {
    config: include_bytes!("../golden/bert_tiny/config.json"),
    weights: include_bytes!("../golden/bert_tiny/model.safetensors"),
    forward: include_str!("../golden/bert_tiny/forward.json"),
};

const DISTILBERT: Files = Files {
    config: include_bytes!("../golden/distilbert_tiny/config.json"),
    weights: include_bytes!("../golden/distilbert_tiny/model.safetensors"),
    forward: include_str!("../golden/distilbert_tiny/forward.json"),
};

fn model(files: &Files, device: &Device) -> TokenClassifier {
    let (config, labels) = BertConfig::parse(files.config).expect("a config of transformers");
    assert_eq!(labels, Some(LabelSet::conll2003()));
    load(files.weights, &config, 9, Head::Trained, device).expect("weights of transformers")
}

fn check(files: &Files) {
    let device = Device::flex();
    for model in [model(files, &device), model(files, &device).on_host()] {
        check_model(files, &model, &device);
    }
}

fn check_model(files: &Files, model: &TokenClassifier, device: &Device) {
    let golden: Forward = parse(files.forward);
    let input_ids = id_tensor(&golden.input_ids, device);
    let mask = mask_tensor(&golden.attention_mask, device);
    let output = model.forward_with_hidden_states(input_ids, mask, &mut Noise::off());
    assert_eq!(output.hidden_states.len(), golden.hidden_states.len());
    for (layer, (ours, golden)) in
        output.hidden_states.into_iter().zip(&golden.hidden_states).enumerate()
    {
        let difference = golden.difference(ours);
        println!("hidden state {layer}: {difference:e}");
        assert!(difference <= TOLERANCE, "hidden state {layer}: {difference}");
    }
    let difference = golden.logits.difference(output.logits);
    println!("logits: {difference:e}");
    assert!(difference <= TOLERANCE, "logits: {difference}");
}

#[test]
fn bert_equals_transformers_at_every_layer() {
    check(&BERT);
}

#[test]
fn distilbert_equals_transformers_at_every_layer() {
    check(&DISTILBERT);
}

/// The goldens tell models apart: another input or another file is far outside the tolerance.
#[test]
fn a_wrong_mask_and_a_wrong_model_are_seen() {
    let device = Device::flex();
    let golden: Forward = parse(BERT.forward);
    let run = |files, mask: &[Vec<i32>]| {
        let input_ids = id_tensor(&golden.input_ids, &device);
        let mask = mask_tensor(mask, &device);
        golden.logits.difference(model(files, &device).forward(
            input_ids,
            mask,
            true,
            &mut Noise::off(),
        ))
    };
    let unmasked = vec![vec![1; 11]; 3];
    assert!(run(&BERT, &golden.attention_mask) <= TOLERANCE);
    assert!(run(&BERT, &unmasked) > 100.0 * TOLERANCE);
    assert!(run(&DISTILBERT, &golden.attention_mask) > 100.0 * TOLERANCE);
}

/// Without padding the mask is left out of the sum; the result is the same, bit for bit.
#[test]
fn an_unpadded_batch_needs_no_mask() {
    let device = Device::flex();
    let golden: Forward = parse(BERT.forward);
    let model = model(&BERT, &device);
    let run = |is_padded| {
        let input_ids = id_tensor(&golden.input_ids[..1], &device);
        let mask = mask_tensor(&golden.attention_mask[..1], &device);
        values(model.forward(input_ids, mask, is_padded, &mut Noise::off()))
    };
    assert_eq!(run(true), run(false));
}
