//! Commands that are given no model and no data: they take those that lie beside the program.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};

use super::{command, tiny};

/// Flags of a student that is a part of the tiny teacher.
const PART: &str = "--num-hidden-layers 1 --intermediate-size 48 --embedding-rank 32 \
    --learning-rate 3e-3 --cache {dir}/cache";

/// A project whose only model is the tiny teacher.
fn project() -> TempDir {
    let dir = tempdir().expect("a folder");
    let bundle = dir.path().join("models/small-teacher");
    fs::create_dir_all(&bundle).expect("a folder");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(tiny().join("teacher").join(name), bundle.join(name)).expect("copied");
    }
    fs::write(bundle.join("report.json"), r#"{"parameters": 114377}"#).expect("written");
    let models = within(dir.path(), "models {dir}/models");
    let listed = String::from_utf8_lossy(&models.stdout).into_owned();
    assert!(listed.contains("small-teacher           teacher           114377"), "{listed}");
    dir
}

/// A command in the project's folder.
fn in_project(dir: &Path, arguments: &str) -> Command {
    let mut command = command(dir, arguments);
    command.current_dir(dir);
    command
}

fn within(dir: &Path, arguments: &str) -> Output {
    in_project(dir, arguments).output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_student_of_the_shipped_teacher_learns_from_text_alone_and_is_listed() {
    let dir = project();
    let dir = dir.path();
    let arguments = format!("distill --text {{tiny}}/unlabelled.txt --epochs 12 {PART} --json");
    let output = within(dir, &arguments);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("teacher: models/small-teacher\ntext: ") && said.contains("--preset best")
    );
    let result: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let f1 = result["agreement"]["word"]["default"]["f1"].as_f64().expect("a score");
    assert!(f1 > 0.6, "{f1}\n{said}");
    assert_eq!(result["agreement"]["sentences"], 30);
    let comparison = &result["comparison"];
    assert_eq!(comparison["teacher"]["parameters"], 114_377);
    for model in ["student", "teacher"] {
        assert!(comparison[model]["subwords_per_second"].as_f64().expect("a speed") > 0.0);
    }
    let html = fs::read_to_string(dir.join("runs/student/report.html")).expect("a report");
    assert!(html.contains("Agreement with the teacher") && html.contains("Beside its teacher"));
    assert!(!html.contains("Dev F1"));
    // What nobody scored has no F1 in the list, but it is there, and it is what tags now.
    let listed = within(dir, "models --json");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let of = |role: &str| -> Value {
        let models = listed["models"].as_array().expect("a list");
        models.iter().find(|model| model["role"] == role).expect("one").clone()
    };
    assert_eq!(
        (&of("student")["folder"], &of("student")["f1"]),
        (&"my-student".into(), &Value::Null)
    );
    let manifest = fs::read(dir.join("models/manifest.json")).expect("a manifest");
    assert_eq!(serde_json::from_slice::<Value>(&manifest).expect("JSON"), listed);
    for arguments in ["tag Ralville --json", "evaluate --data {tiny}/test.txt --json --quiet"] {
        let output = within(dir, arguments);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    // The same again is refused, with what to do.
    let again = stderr(&within(dir, &arguments));
    assert!(again.contains("runs/student holds another run; continue it with --resume"), "{again}");
}

#[test]
fn without_any_word_the_text_is_that_in_the_program() {
    let dir = project();
    let dir = dir.path();
    let output = within(dir, &format!("distill --epochs 1 {PART}"));
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("text: wiki_vital.txt (in the program), 8500 sentences"), "{said}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in
        ["agreement with the teacher", "sub-words/s", "bundle  runs/student/best", "trunk serve"]
    {
        assert!(printed.contains(part), "{printed}");
    }
}

/// A copy that cannot be made hides nothing of what was trained.
#[test]
fn a_student_without_its_copy_is_announced() {
    let dir = project();
    let dir = dir.path();
    // Where the new folder would be built lies a file.
    fs::write(dir.join("models/.my-student-a-teacher.understudy-new"), "").expect("written");
    let arguments =
        format!("distill --text {{tiny}}/unlabelled.txt --epochs 1 {PART} --out a-teacher");
    let output = within(dir, &arguments);
    let (said, printed) = (stderr(&output), String::from_utf8_lossy(&output.stdout).into_owned());
    assert!(output.status.success(), "{said}");
    assert!(said.contains("no copy in eight bits for the page: "), "{said}");
    assert!(printed.contains("bundle  a-teacher/best") && !printed.contains("trunk serve"));
}

#[test]
fn an_interrupted_student_of_text_alone_goes_on() {
    let dir = project();
    let dir = dir.path();
    let arguments =
        format!("distill --text {{tiny}}/unlabelled.txt --epochs 12 {PART} --json --quiet");
    let whole = within(dir, &format!("{arguments} --out whole"));
    assert!(whole.status.success(), "{}", stderr(&whole));
    let log = |out: &str| fs::read_to_string(dir.join(out).join("log.jsonl")).unwrap_or_default();
    let mut cut = in_project(dir, &format!("{arguments} --out cut --checkpoint-minutes 0"));
    let mut running = cut.spawn().expect("the binary runs");
    while log("cut").lines().count() < 8 && running.try_wait().expect("a process").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running.kill().ok();
    running.wait().expect("ended");
    assert!(!dir.join("cut/report.json").is_file(), "it ended before it was killed");
    let rest = within(dir, &format!("{arguments} --out cut --resume"));
    assert!(rest.status.success(), "{}", stderr(&rest));
    let losses = |out: &str| -> Vec<f64> {
        let records = log(out);
        let records =
            records.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        records.filter_map(|record| record["loss"].as_f64()).collect()
    };
    assert_eq!(losses("cut"), losses("whole"));
}

#[test]
fn what_does_not_fit_is_told() {
    let dir = project();
    let dir = dir.path();
    let check = |arguments: &str, expected: &str| {
        let output = within(dir, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    };
    check("tag Ada", "no student in it; expected --model DIR");
    check("distill --quiet --text {tiny}/unlabelled.txt --text-ratio 2", "expected --data DIR too");
    check("distill --quiet", "`embedding_rank` is 64; expected a rank below hidden_size");
    fs::write(dir.join("few.txt"), "Ralville spoke .\n").expect("written");
    check(&format!("distill --quiet --text few.txt {PART}"), "expected a text of 10 or more");
    fs::write(dir.join("models/small-teacher/model.safetensors"), "version").expect("written");
    check("distill --quiet", "model.safetensors: 7 bytes, expected ");
    fs::write(dir.join("models/manifest.json"), "{}").expect("written");
    check(
        "tag Ada",
        "manifest.json: expected a list of models, as `understudy models DIR` writes it",
    );
}

#[test]
fn bench_measures_what_ships_on_the_text_in_the_program() {
    let dir = project();
    let dir = dir.path();
    let lacking = stderr(&within(dir, "bench --on-text --steps 2"));
    assert!(lacking.contains("no student in it; expected"), "{lacking}");
    let (teacher, student) = (dir.join("models/small-teacher"), dir.join("models/small-student"));
    fs::create_dir(&student).expect("a folder");
    for file in fs::read_dir(&teacher).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), student.join(file.file_name())).expect("copied");
    }
    within(dir, "models {dir}/models");
    let output = within(dir, "bench --on-text --steps 2 --json");
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let modes: Vec<&str> = rows.iter().filter_map(|row| row["mode"].as_str()).collect();
    assert_eq!(modes, ["2048^3", "label", "evaluate", "distill"]);
    for row in &rows[1..] {
        assert!(row["gemm_fraction"].as_f64().is_some_and(|share| share > 0.0), "{row}");
    }
    let short = stderr(&within(dir, "bench --on-text --steps 1 --batch-size 64"));
    assert!(short.contains("--steps 1 is too little text"), "{short}");
}

#[test]
fn a_teacher_and_a_student_ship() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let manifest = fs::read(models.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let listed = manifest["models"].as_array().expect("a list");
    for (name, most_bytes) in [("teacher", 50_000_000), ("student", 21_000_000)] {
        let model = listed.iter().find(|model| model["folder"] == name).expect(name);
        assert_eq!(model["role"], name);
        let mut bytes = 0;
        for file in model["files"].as_array().expect("files") {
            let content = fs::read(models.join(name).join(file["name"].as_str().expect("a name")));
            let content = content.expect("a file");
            bytes += content.len();
            assert_eq!(file["size"], content.len());
            let hash = Sha256::digest(&content);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(file["sha256"], hash.as_str(), "{name}: {}", file["name"]);
        }
        assert!(bytes <= most_bytes, "{name}: {bytes} bytes");
        for part in ["README.md", "report.json"] {
            assert!(models.join(name).join(part).is_file(), "{name}: no {part}");
        }
    }
    let mut tag = command(&models, "tag");
    tag.arg("Marie Curie moved from Warsaw to Paris.").current_dir(&models);
    let output = tag.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "[Marie Curie](PER) moved from [Warsaw](LOC) to [Paris](LOC).\n");
}
