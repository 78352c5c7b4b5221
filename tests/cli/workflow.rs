//! What works: every command on a tiny model, and the files it leaves.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use tempfile::tempdir;

use super::{SMALL_STUDENT, command, json, run, small_base, small_data, stdout};

#[test]
fn every_command_has_help_with_an_example() {
    let dir = tempdir().expect("a folder");
    for name in ["finetune", "distill", "evaluate", "tag", "bench"] {
        let text = stdout(dir.path(), &format!("{name} --help"));
        assert!(text.contains("Example"), "{name}");
        assert!(text.contains(&format!("understudy {name}")), "{name}");
        assert!(text.contains("--json") && text.contains("--quiet") && text.contains("--seed"));
    }
}

#[test]
fn a_teacher_is_trained_and_its_bundle_evaluates_to_the_reported_score() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    small_base(dir);
    let result = json(
        dir,
        "finetune --base {dir}/base --from-scratch --data {dir}/data --out {dir}/run --epochs 3 \
         --batch-size 8 --learning-rate 3e-3 --warmup-steps 2 --max-length 64 --json --quiet",
    );
    for name in ["run.json", "log.jsonl", "checkpoint.safetensors", "report.json", "report.html"] {
        assert!(dir.join("run").join(name).is_file(), "{name}");
    }
    for name in ["config.json", "tokenizer.json", "model.safetensors", "report.json"] {
        assert!(dir.join("run/best").join(name).is_file(), "{name}");
    }
    let log = std::fs::read_to_string(dir.join("run/log.jsonl")).expect("a log");
    let records: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let losses: Vec<f64> = records.iter().filter_map(|record| record["loss"].as_f64()).collect();
    assert!(losses[losses.len() - 2] < losses[0] * 0.85, "{losses:?}");
    let scores = json(
        dir,
        "evaluate --model {dir}/run/best --data {dir}/data/test.txt --max-length 64 --json --quiet \
         --predictions {dir}/predictions.conll",
    );
    for mode in ["word", "subword"] {
        for scheme in ["default", "strict"] {
            assert_eq!(scores[mode][scheme]["f1"], result["test"][mode][scheme]["f1"]);
            assert!(scores[mode][scheme]["f1"].is_f64());
        }
    }
    let predictions = std::fs::read_to_string(dir.join("predictions.conll")).expect("written");
    let first = predictions.lines().next().expect("a line");
    assert_eq!(first.split(' ').count(), 3, "{first}");
    let html = std::fs::read_to_string(dir.join("run/report.html")).expect("a report");
    assert!(html.contains("<svg") && !html.contains("http://") && !html.contains("<script"));
}

#[test]
fn a_second_distillation_finds_the_teachers_logits() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let arguments = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --text {{tiny}}/unlabelled.txt \
         --cache {{dir}}/cache {SMALL_STUDENT} --json"
    );
    let first = run(dir, &format!("{arguments} --out {{dir}}/one"));
    let second = run(dir, &format!("{arguments} --out {{dir}}/two"));
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(&first).contains("teacher logits: kept in"), "{}", said(&first));
    assert!(said(&second).contains("teacher logits: from"), "{}", said(&second));
    let losses = |name: &str| {
        let log = std::fs::read_to_string(dir.join(name).join("log.jsonl")).expect("a log");
        let records = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        records.map(|record| record["loss"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(losses("one"), losses("two"));
}

#[test]
fn the_preset_is_the_references() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let arguments = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --preset seed --cache {{dir}}/cache \
         --out {{dir}}/run --quiet {SMALL_STUDENT}"
    );
    stdout(dir, &arguments);
    let bytes = std::fs::read(dir.join("run/run.json")).expect("a snapshot");
    let snapshot: Value = serde_json::from_slice(&bytes).expect("JSON");
    let objective = &snapshot["train"]["objective"];
    assert_eq!(objective["combination"], "sum");
    assert_eq!(objective["temperature"], 2.0);
    assert_eq!(objective["soft_reduction"], "batch_mean");
    assert_eq!(snapshot["train"]["optimizer"]["decay_bias_and_norm"], true);
    assert_eq!(snapshot["files"].as_array().map(Vec::len), Some(4));
}

#[test]
fn entities_have_half_open_offsets_into_the_text() {
    let dir = tempdir().expect("a folder");
    let text = "Élan 🙂 visits the Norvik Institute in Port Ellery, said Mara Velling.\n\nOk.\n";
    let mut child = command(dir.path(), "tag --model {tiny}/teacher --json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    let sentence = lines[0]["text"].as_str().expect("text");
    let entities = lines[0]["entities"].as_array().expect("a list");
    assert!(!entities.is_empty());
    for entity in entities {
        let place = |key: &str| entity[key].as_u64().expect("a place") as usize;
        let words = entity["text"].as_str().expect("text");
        assert_eq!(&sentence[place("start_byte")..place("end_byte")], words);
        let chars = sentence.chars().skip(place("start_char"));
        let chars = chars.take(place("end_char") - place("start_char"));
        assert_eq!(chars.collect::<String>(), words);
        assert!(entity["score"].as_f64().is_some_and(|score| (0.0..=1.0).contains(&score)));
    }
    assert_eq!(lines[1]["entities"], serde_json::json!([]));
}

#[test]
fn text_from_an_argument_is_marked_and_a_long_one_is_not_cut() {
    let dir = tempdir().expect("a folder");
    let text = "Mara Velling joined Norvik Systems . ".repeat(200);
    let output = command(dir.path(), "tag --model {tiny}/teacher").arg(&text).output();
    let output = String::from_utf8(output.expect("it runs").stdout).expect("UTF-8");
    let plain: String = output.replace(['[', ']'], "");
    let stripped = ["(PER)", "(ORG)", "(LOC)", "(MISC)"]
        .iter()
        .fold(plain, |text, mark| text.replace(mark, ""));
    assert_eq!(stripped.trim_end(), text.trim_end());
    assert!(output.rfind('[').is_some_and(|last| last > output.len() * 9 / 10), "{output}");
}

#[test]
fn bench_prints_throughput_and_a_ratio() {
    let dir = tempdir().expect("a folder");
    let arguments = "bench --model student --batch-size 16 --seq-len 8 --steps 1 --json";
    let text = stdout(dir.path(), arguments);
    let rows: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows[2]["gemm_fraction"].as_f64().is_some_and(|fraction| fraction > 0.0));
}
