//! Models that are damaged or of another kind: every command that reads one says so.

use std::fs;

use tempfile::tempdir;

use super::bad_input::check;
use super::{small_base, tiny};

/// Copies the tiny teacher, changes one file, and evaluates it.
fn model(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>, expected: &str) {
    let dir = tempdir().expect("a folder");
    let copy = dir.path().join("model");
    fs::create_dir(&copy).expect("a folder");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(tiny().join("teacher").join(name), copy.join(name)).expect("copied");
    }
    let bytes = fs::read(copy.join(file)).expect("a file");
    fs::write(copy.join(file), change(bytes)).expect("written");
    for arguments in [
        "evaluate --model {dir}/model --data {tiny}/test.txt",
        "tag --model {dir}/model Ada",
        "distill --teacher {dir}/model --data {tiny} --out {dir}/out",
        "finetune --base {dir}/model --data {tiny} --out {dir}/out",
        "export --model {dir}/model --out {dir}/out",
        "factorize --model {dir}/model --rank 4 --out {dir}/out",
        "label --teacher {dir}/model --text {tiny}/unlabelled.txt --cache {dir}/out",
    ] {
        check(dir.path(), arguments, expected);
    }
}

#[test]
fn a_model_folder_that_lacks_a_file() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let dir = tempdir().expect("a folder");
        let copy = dir.path().join("model");
        fs::create_dir(&copy).expect("a folder");
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            if name != file {
                fs::copy(tiny().join("teacher").join(name), copy.join(name)).expect("copied");
            }
        }
        let expected = format!("{file}: expected a readable file");
        check(dir.path(), "tag --model {dir}/model Ada", &expected);
    }
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(text.contains(from), "{from}");
    text.replace(from, to).into_bytes()
}

#[test]
fn truncated_weights() {
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    model("model.safetensors", cut, "expected a whole safetensors file");
    model("model.safetensors", |_| vec![], "expected a whole safetensors file");
}

#[test]
fn oversized_weights() {
    let grow = |mut bytes: Vec<u8>| {
        bytes.extend([0; 64]);
        bytes
    };
    model("model.safetensors", grow, "expected a whole safetensors file");
}

#[test]
fn weights_that_are_not_numbers() {
    let poison = |mut bytes: Vec<u8>| {
        // The first weight stands behind the header's length and the header.
        let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        bytes[8 + header..12 + header].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes
    };
    model("model.safetensors", poison, "holds NaN at index");
}

#[test]
fn a_configuration_that_contradicts_the_weights() {
    let wider = |bytes| replaced(bytes, "\"intermediate_size\": 128", "\"intermediate_size\": 96");
    model("config.json", wider, "misshapen `bert.encoder.layer.0.intermediate.dense.weight`");
    let deeper = |bytes| replaced(bytes, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    model("config.json", deeper, "missing `bert.encoder.layer.2.output.dense.weight`");
    let flatter = |bytes| replaced(bytes, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    model("config.json", flatter, "unexpected `bert.encoder.layer.1.output.dense.weight`");
}

#[test]
fn a_vocabulary_of_another_size() {
    let smaller = |bytes| replaced(bytes, "\"vocab_size\": 600", "\"vocab_size\": 599");
    model(
        "config.json",
        smaller,
        "tokenizer.json has 600 entries, config.json says vocab_size 599",
    );
}

#[test]
fn files_that_are_not_json() {
    model("config.json", |_| b"{".to_vec(), "expected a JSON object as Hugging Face writes it");
    model("tokenizer.json", |_| b"{}".to_vec(), "expected the `tokenizers` JSON format");
}

#[test]
fn an_encoder_where_a_tagger_is_needed() {
    let dir = tempdir().expect("a folder");
    small_base(dir.path());
    fs::copy(tiny().join("teacher/model.safetensors"), dir.path().join("base/model.safetensors"))
        .expect("copied");
    check(dir.path(), "tag --model {dir}/base Ada", "names no labels (`id2label`)");
}
