//! `--device gpu` from end to end, on a software driver for Vulkan: `cargo xtask test` names one.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::tempdir;

use super::{command, json, run, small_base, small_data};

fn on_gpu(dir: &Path, arguments: &str) -> Command {
    let mut command = command(dir, arguments);
    command.args(["--device", "gpu"]);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn losses(dir: &Path, run: &str) -> Vec<f64> {
    let log = std::fs::read_to_string(dir.join(run).join("log.jsonl")).expect("a log");
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    records.filter(|record| record["event"] == "step").filter_map(|r| r["loss"].as_f64()).collect()
}

/// The first sentences of each split: a GPU's kernels take longer to make here than a run.
fn few_sentences(dir: &Path) {
    small_data(dir);
    for split in ["train", "valid", "test"] {
        let path = dir.join("data").join(format!("{split}.txt"));
        let text = std::fs::read_to_string(&path).expect("a split");
        let blocks: Vec<&str> = text.split("\n\n").take(24).collect();
        std::fs::write(&path, blocks.join("\n\n")).expect("written");
    }
}

const DISTIL: &str = "distill --teacher {tiny}/teacher --data {dir}/data --hidden-size 32 \
    --num-hidden-layers 1 --num-attention-heads 2 --intermediate-size 48 --epochs 2 --batch-size 8 \
    --learning-rate 3e-3 --max-length 64 --hidden-dropout-prob 0 --attention-probs-dropout-prob 0";

#[test]
fn a_student_is_distilled_on_a_gpu_as_on_the_cpu_though_its_memory_runs_out_on_the_way() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    few_sentences(dir);
    let mut distil = on_gpu(dir, &format!("{DISTIL} --cache {{dir}}/cache --out {{dir}}/gpu"));
    let done = distil.env("UNDERSTUDY_FAULT", "memory:5").output().expect("it runs");
    let said = stderr(&done);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("device: gpu ("), "{said}");
    assert!(said.contains("each batch is computed in 2 parts from here on"), "{said}");
    // Not from the start: the evaluation after three steps left a checkpoint.
    assert!(said.contains("resumed at step 3"), "{said}");
    json(dir, &format!("{DISTIL} --cache {{dir}}/other --out {{dir}}/cpu --json --quiet"));
    let (gpu, cpu) = (losses(dir, "gpu"), losses(dir, "cpu"));
    assert_eq!((gpu.len(), cpu.len()), (6, 6));
    for (gpu, cpu) in gpu.iter().zip(&cpu) {
        assert!((gpu - cpu).abs() < 2e-2 * cpu, "{gpu}, on the CPU {cpu}");
    }
    // What was trained there scores the same here.
    let evaluate =
        "evaluate --model {dir}/gpu/best --data {dir}/data/test.txt --max-length 64 --json";
    let here = json(dir, &format!("{evaluate} --quiet"))["word"]["default"]["f1"].as_f64();
    let report = std::fs::read(dir.join("gpu/report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let splits = report["scores"].as_array().expect("splits");
    let test = splits.iter().find(|scores| scores["split"] == "test").expect("a test split");
    let there = test["word_default"]["micro"]["f1"].as_f64();
    assert!((here.expect("F1") - there.expect("F1")).abs() < 5e-3, "{here:?}, there {there:?}");
    assert!(report["device"].as_str().expect("a device").starts_with("gpu ("));
}

#[test]
fn a_run_whose_device_is_lost_goes_on_with_another() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    few_sentences(dir);
    small_base(dir);
    let finetune = "finetune --base {dir}/base --from-scratch --data {dir}/data --epochs 1 --batch-size 8 \
                    --learning-rate 3e-3 --max-length 64";
    let mut lost = on_gpu(dir, &format!("{finetune} --out {{dir}}/run"));
    let lost = lost.env("UNDERSTUDY_FAULT", "lost:0").output().expect("it runs");
    let said = stderr(&lost);
    assert_eq!(lost.status.code(), Some(2), "{said}");
    assert!(said.contains("--resume") && said.contains("--device cpu"), "{said}");
    assert!(said.contains("the device is poisoned") && !said.contains("panicked"), "{said}");
    assert!(dir.join("run/checkpoint.safetensors").is_file());
    // It is not overwritten by the same command without the word.
    assert_eq!(run(dir, &format!("{finetune} --out {{dir}}/run")).status.code(), Some(2));
    let resumed = run(dir, &format!("{finetune} --out {{dir}}/run --resume"));
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(losses(dir, "run").len(), 3);
}

#[test]
fn the_devices_are_listed_and_a_software_adapter_is_not_taken_unasked() {
    let dir = tempdir().expect("a folder");
    let listed = json(dir.path(), "devices --json");
    let adapters = listed["adapters"].as_array().expect("a list");
    assert!(!adapters.is_empty(), "expected a driver for Vulkan in VK_ICD_FILENAMES");
    assert!(
        adapters.iter().all(|adapter| adapter["largest_tensor_bytes"].as_u64() > Some(1 << 20))
    );
    if adapters.iter().all(|adapter| adapter["kind"] == "software") {
        assert!(listed["auto"].as_str().expect("a name").starts_with("cpu"), "{listed}");
    }
    let number = adapters.len();
    let model = format!("tag --model {{tiny}}/teacher --device gpu:{number} Ada");
    let refused = run(dir.path(), &model);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("expected a number below that"), "{}", stderr(&refused));
}
