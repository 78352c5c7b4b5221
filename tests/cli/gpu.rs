//! `--device gpu` from end to end, on a software driver for Vulkan: `cargo xtask test` names one.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::tempdir;

use super::{SMALL_STUDENT, command, json, run, small_base, small_data};

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

#[test]
fn a_student_is_distilled_on_a_gpu_as_on_the_cpu() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let distil = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data {SMALL_STUDENT} --cache {{dir}}/cache \
         --hidden-dropout-prob 0 --attention-probs-dropout-prob 0"
    );
    let done = on_gpu(dir, &format!("{distil} --out {{dir}}/gpu")).output().expect("it runs");
    let said = stderr(&done);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("device: gpu ("), "{said}");
    json(dir, &format!("{distil} --out {{dir}}/cpu --json --quiet"));
    let (gpu, cpu) = (losses(dir, "gpu"), losses(dir, "cpu"));
    assert_eq!(gpu.len(), cpu.len());
    for (gpu, cpu) in gpu.iter().zip(&cpu) {
        assert!((gpu - cpu).abs() < 2e-2 * cpu, "{gpu}, on the CPU {cpu}");
    }
    // What was trained there scores the same here.
    let arguments =
        "evaluate --model {dir}/gpu/best --data {dir}/data/test.txt --max-length 64 --json";
    let scores = json(dir, &format!("{arguments} --quiet"));
    let report = std::fs::read(dir.join("gpu/report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let test = report["scores"].as_array().expect("splits").iter().find(|s| s["split"] == "test");
    let f1 = |value: &Value| value["micro"]["f1"].as_f64().or_else(|| value["f1"].as_f64());
    let (here, there) =
        (f1(&scores["word"]["default"]), f1(&test.expect("a test split")["word_default"]));
    assert!((here.expect("F1") - there.expect("F1")).abs() < 5e-3, "{here:?}, there {there:?}");
    assert!(report["device"].as_str().expect("a device").starts_with("gpu ("));
}

#[test]
fn a_run_that_is_out_of_memory_goes_on_in_parts_and_a_lost_device_can_be_resumed() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    small_base(dir);
    let finetune = "finetune --base {dir}/base --from-scratch --data {dir}/data --epochs 2 --batch-size 8 \
                    --learning-rate 3e-3 --max-length 64";
    let done = on_gpu(dir, &format!("{finetune} --out {{dir}}/plain")).output().expect("it runs");
    assert!(done.status.success(), "{}", stderr(&done));
    let mut short = on_gpu(dir, &format!("{finetune} --out {{dir}}/short"));
    let short = short.env("UNDERSTUDY_FAULT", "memory:5").output().expect("it runs");
    let said = stderr(&short);
    assert!(short.status.success(), "{said}");
    assert!(said.contains("each batch is computed in 2 parts from here on"), "{said}");
    let mut lost = on_gpu(dir, &format!("{finetune} --out {{dir}}/lost"));
    let lost = lost.env("UNDERSTUDY_FAULT", "lost:5").output().expect("it runs");
    assert_eq!(lost.status.code(), Some(2));
    assert!(stderr(&lost).contains("--resume"), "{}", stderr(&lost));
    assert!(!stderr(&lost).contains("panicked"), "{}", stderr(&lost));
    // On the other device, as the message says.
    let resumed = run(dir, &format!("{finetune} --out {{dir}}/lost --resume"));
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let plain = losses(dir, "plain");
    for other in [losses(dir, "short"), losses(dir, "lost")] {
        assert_eq!(other.len(), plain.len());
        // Dropout is drawn anew; the course is the same.
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!((mean(&other) - mean(&plain)).abs() < 0.1 * mean(&plain), "{other:?} {plain:?}");
    }
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
