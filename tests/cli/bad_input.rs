//! What goes wrong: each ends with a message that says what, where and what was expected, with exit
//! code 2, and writes nothing.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use super::{SMALL_STUDENT, run, small_base, small_data, tiny};

/// Runs a command that must fail with exactly one line on stderr that holds `expected`.
fn check(dir: &Path, arguments: &str, expected: &str) {
    let output = run(dir, &format!("{arguments} --quiet"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "understudy {arguments}\n{message}");
    assert!(message.starts_with("error: "), "{message}");
    assert!(message.contains(expected), "expected {expected:?} in {message}");
    assert!(!message.contains("panicked"), "{message}");
    assert!(output.stdout.is_empty());
    assert!(!dir.join("out").exists(), "understudy {arguments} left a folder");
}

fn evaluate(data: &[u8], expected: &str) {
    let dir = tempdir().expect("a folder");
    fs::write(dir.path().join("data.txt"), data).expect("written");
    check(dir.path(), "evaluate --model {tiny}/teacher --data {dir}/data.txt", expected);
}

#[test]
fn missing_data_file() {
    let dir = tempdir().expect("a folder");
    let arguments = "evaluate --model {tiny}/teacher --data {dir}/none.txt";
    check(dir.path(), arguments, "none.txt: expected a readable file");
}

#[test]
fn missing_model_folder() {
    let dir = tempdir().expect("a folder");
    let arguments = "evaluate --model {dir}/none --data {tiny}/test.txt";
    check(dir.path(), arguments, "none: no such folder; expected a folder with config.json");
}

#[test]
fn missing_data_folder_and_split() {
    let dir = tempdir().expect("a folder");
    let arguments = "distill --teacher {tiny}/teacher --data {dir}/none --out {dir}/out";
    check(dir.path(), arguments, "none: no such folder; expected a folder with train");
    fs::create_dir(dir.path().join("none")).expect("a folder");
    check(dir.path(), arguments, "no train file; expected train.txt, .conll or .jsonl");
}

#[test]
fn empty_data() {
    evaluate(b"", "data.txt: ");
}

#[test]
fn binary_data() {
    evaluate(b"Ada B-PER\n\0\0\0 O\n", "line 2");
}

#[test]
fn data_that_is_not_utf8() {
    evaluate(b"Ada B-PER\nl\xefves O\n", "line 2, byte 11: not valid UTF-8");
}

#[test]
fn ragged_lines() {
    evaluate(b"Ada _ _ B-PER\nlives O\n", "line 2: expected 4 columns");
}

#[test]
fn truncated_line() {
    evaluate(b"Ada B-PER\nliv", "line 2: expected 2 columns as on line 1, found 1");
}

#[test]
fn a_single_column() {
    evaluate(b"Ada\nlives\n", "line 1: expected at least 2 columns (token, …, tag), found 1");
}

#[test]
fn unknown_tag_form() {
    evaluate(b"Ada PERSON\n", "line 1");
}

#[test]
fn a_tag_the_model_does_not_know() {
    evaluate(b"Ada B-ANIMAL\n", "tag `B-ANIMAL` is not in the label set; expected one of O, B-PER");
}

#[test]
fn a_label_set_that_differs_from_the_teachers() {
    let dir = tempdir().expect("a folder");
    small_data(dir.path());
    fs::write(dir.path().join("data/valid.txt"), "Rex B-ANIMAL\n").expect("written");
    let arguments = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --out {{dir}}/out {SMALL_STUDENT}"
    );
    check(
        dir.path(),
        &arguments,
        "valid.txt: sentence 1 has the tag `B-ANIMAL`, which the teacher",
    );
}

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
    check(dir.path(), "evaluate --model {dir}/model --data {tiny}/test.txt", expected);
    check(dir.path(), "tag --model {dir}/model Ada", expected);
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
        let len = bytes.len();
        bytes[len - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
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

#[test]
fn settings_out_of_range() {
    let dir = tempdir().expect("a folder");
    let cases = [
        ("--epochs 0", "--epochs 0: expected 1 or more"),
        ("--learning-rate -1", "unexpected argument"),
        ("--learning-rate=-1", "--learning-rate -1: expected a number above 0"),
        ("--alpha 2", "--alpha 2: expected a number from 0 to 1"),
        ("--temperature 0", "--temperature 0: expected a number above 0"),
        ("--num-attention-heads 7", "`num_attention_heads` is 7; expected a divisor"),
        ("--max-length 4000", "--max-length 4000: expected 3 to 512"),
    ];
    for (flags, expected) in cases {
        let arguments =
            format!("distill --teacher {{tiny}}/teacher --data {{tiny}} --out {{dir}}/out {flags}");
        check(dir.path(), &arguments, expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let dir = tempdir().expect("a folder");
    let arguments =
        "evaluate --model {tiny}/teacher --data {tiny}/test.txt --predictions /dev/full";
    check(dir.path(), arguments, "cannot write /dev/full: the disk is full");
}

#[test]
fn an_output_folder_with_the_users_files() {
    let dir = tempdir().expect("a folder");
    fs::create_dir(dir.path().join("mine")).expect("a folder");
    fs::write(dir.path().join("mine/notes.txt"), "keep").expect("written");
    let arguments = format!(
        "distill --teacher {{tiny}}/teacher --data {{tiny}} --out {{dir}}/mine {SMALL_STUDENT}"
    );
    check(dir.path(), &arguments, "mine");
    assert_eq!(fs::read_dir(dir.path().join("mine")).expect("a folder").count(), 1);
}
