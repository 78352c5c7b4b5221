//! What works: every command on a tiny model, and the files it leaves.

use serde_json::Value;
use tempfile::tempdir;

use super::{SMALL_STUDENT, command, json, run, small_base, small_data, stdout, tiny};

#[test]
fn every_command_has_help_with_an_example() {
    let dir = tempdir().expect("a folder");
    for name in [
        "finetune",
        "distill",
        "label",
        "factorize",
        "export",
        "evaluate",
        "tag",
        "models",
        "fetch",
        "devices",
        "bench",
    ] {
        let text = stdout(dir.path(), &format!("{name} --help"));
        assert!(text.contains("Example"), "{name}");
        assert!(text.contains(&format!("understudy {name}")), "{name}");
        assert!(text.contains("--json") && text.contains("--quiet") && text.contains("--seed"));
    }
    let distil = stdout(dir.path(), "distill --help");
    assert!(distil.contains("Without --data the preset `text` applies"), "{distil}");
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
    let bundle = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
    for name in bundle.into_iter().chain(["report.json"]) {
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
    // Three splits, and the teacher's configuration, tokenizer and weights.
    assert_eq!(snapshot["files"].as_array().map(Vec::len), Some(6));
}

#[test]
fn evaluation_says_what_each_decoding_is_worth() {
    let dir = tempdir().expect("a folder");
    let arguments = "evaluate --model {tiny}/teacher --data {tiny}/test.txt --quiet";
    let scores = json(dir.path(), &format!("{arguments} --json"));
    let decodings = scores["decoding"].as_array().expect("a list");
    assert_eq!(decodings.len(), 8);
    let f1 = |aggregation: &str, constrained: bool| {
        let is_it =
            |row: &&Value| row["aggregation"] == aggregation && row["constrained"] == constrained;
        decodings.iter().find(is_it).expect("a row")["f1"].clone()
    };
    assert_eq!(f1("first", false), scores["word"]["default"]["f1"]);
    assert_eq!(f1("simple", false), scores["subword"]["default"]["f1"]);
    let other = json(dir.path(), &format!("{arguments} --json --aggregation max --constrained"));
    assert_eq!(f1("max", true), other["word"]["default"]["f1"]);
    // Legal sequences are read alike in both modes.
    assert_eq!(other["word"]["default"]["f1"], other["word"]["strict"]["f1"]);
    assert!(stdout(dir.path(), arguments).contains("F1 by decoding"));
}

#[test]
fn a_preset_of_ones_own_with_every_lever() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let preset = "# mine\nhidden-size = 32\nnum-hidden-layers = 1\nnum-attention-heads = 2\n\
                  intermediate-size = 48\nmax-position-embeddings = 64\nepochs = 9\n\
                  init = \"embeddings\"\nhidden-weight = 0.5\ntext-ratio = 2\nalpha = 0.9\n\
                  final-alpha = 0.4\ntemperature = 4\nfinal-temperature = 2\n";
    std::fs::write(dir.join("mine.toml"), preset).expect("written");
    stdout(
        dir,
        "distill --preset {dir}/mine.toml --teacher {tiny}/teacher --data {dir}/data \
         --text {tiny}/unlabelled.txt --cache {dir}/cache --out {dir}/run --epochs 2 --quiet",
    );
    let bytes = std::fs::read(dir.join("run/run.json")).expect("a snapshot");
    let snapshot: Value = serde_json::from_slice(&bytes).expect("JSON");
    let (train, objective) = (&snapshot["train"], &snapshot["train"]["objective"]);
    assert_eq!((&train["epochs"], &train["text_ratio"]), (&2.into(), &2.0.into()));
    assert_eq!(
        (&objective["final_alpha"], &objective["hidden_weight"]),
        (&0.4.into(), &0.5.into())
    );
    assert_eq!(snapshot["init"], "teacher's embeddings");
    let log = std::fs::read_to_string(dir.join("run/log.jsonl")).expect("a log");
    let first: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    let loss = |key: &str| first[key].as_f64().expect("a loss");
    let want = 0.9 * loss("soft_loss") + 0.1 * loss("hard_loss") + 0.5 * loss("hidden_loss");
    assert!((loss("loss") - want).abs() < 1e-5 * want, "{first}");
}

#[test]
fn a_student_begins_as_a_part_of_its_teacher() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let start = |init: &str| {
        json(
            dir,
            &format!(
                "distill --teacher {{tiny}}/teacher --data {{dir}}/data --cache {{dir}}/cache \
                 --hidden-size 64 --num-hidden-layers 2 --num-attention-heads 4 \
                 --intermediate-size 96 --embedding-rank 48 --max-position-embeddings 64 \
                 --mention-copies 1 --token-dropout 0.1 --epochs 1 --learning-rate 1e-6 \
                 --init {init} --out {{dir}}/{init} --quiet --json"
            ),
        )
    };
    let f1 = |report: &Value| report["test"]["word"]["default"]["f1"].as_f64().expect("a score");
    let (random, layers) = (start("random"), start("layers"));
    assert_eq!(random["parameters"], layers["parameters"]);
    assert!(f1(&layers) > f1(&random) + 0.3, "{} {}", f1(&layers), f1(&random));
    let bytes = std::fs::read(dir.join("layers/run.json")).expect("a snapshot");
    let snapshot: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(snapshot["init"], "teacher's layers");
    assert_eq!(snapshot["mention_copies"], 1);
    assert_eq!(snapshot["train"]["token_dropout"], 0.1);
}

#[test]
fn a_damaged_cache_costs_time_and_not_the_run() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let label = "label --teacher {tiny}/teacher --data {dir}/data --cache {dir}/cache --json";
    let first = json(dir, label);
    let cache = std::fs::read_dir(dir.join("cache")).expect("a folder");
    for entry in cache.map(|entry| entry.expect("an entry").path()) {
        let bytes = std::fs::read(&entry).expect("logits");
        std::fs::write(&entry, &bytes[..bytes.len() - 9]).expect("written");
    }
    let output = run(dir, label);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("computed again"), "{said}");
    let third = json(dir, label);
    assert_eq!((&first["found"], &third["found"]), (&0.into(), &1.into()));
    assert_eq!(first["subwords"], third["subwords"]);
}

#[test]
fn labelled_parts_are_found_together() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let text = "--data {dir}/data --text {tiny}/unlabelled.txt --cache {dir}/cache";
    let part = |shard: &str| {
        let arguments = format!("label --teacher {{tiny}}/teacher {text} --shard {shard}");
        json(dir, &format!("{arguments} --json --quiet"))
    };
    let (first, second) = (part("1/2"), part("2/2"));
    assert_eq!((&first["chunks"], &second["chunks"]), (&1.into(), &1.into()));
    assert_eq!(part("1/1")["found"], 2);
    let arguments =
        format!("distill --teacher {{tiny}}/teacher {text} --out {{dir}}/run {SMALL_STUDENT}");
    let output = run(dir, &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("teacher logits: from"), "{said}");
}

/// The words of a line of shell, quotes taken off, up to a redirection.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (place, part) in line.split('"').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words.into_iter().take_while(|word| word != "<" && word != ">").collect()
}

#[test]
fn every_command_of_the_readme_and_the_docs_is_one() {
    let dir = tempdir().expect("a folder");
    let root = tiny().join("../../..");
    // The models that ship are found from anywhere in the project; nearer ones come first, and here are none.
    let models = dir.path().join("models");
    std::fs::create_dir(&models).expect("a folder");
    let none = r#"{"format": 1, "models": []}"#;
    std::fs::write(models.join("manifest.json"), none).expect("written");
    let mut count = 0;
    for file in
        ["README.md", "docs/RESULTS.md", "docs/BENCHMARKS.md", "docs/GUIDE.md", "docs/HUB.md"]
    {
        let text = std::fs::read_to_string(root.join(file)).expect(file);
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        for line in blocks.flat_map(str::lines) {
            let prefixes = ["understudy ", "cargo run -p native -- "];
            let Some(rest) = prefixes.iter().find_map(|prefix| line.strip_prefix(prefix)) else {
                continue;
            };
            let mut words = shell_words(rest);
            if ["bench", "devices", "models"].contains(&words[0].as_str()) {
                // They need no file, and would run.
                words.push("--help".to_owned());
                let output = command(dir.path(), "").args(words).output().expect("it runs");
                assert!(output.status.success(), "{file}: {line}");
                continue;
            }
            // In an empty folder each ends with an error of ours, but not with one of its words.
            let output = command(dir.path(), "").args(words).current_dir(dir.path()).output();
            let output = output.expect("it runs");
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(message.starts_with("error: "), "{file}: {line}\n{message}");
            assert!(!message.contains("Usage:"), "{file}: {line}\n{message}");
            count += 1;
        }
    }
    assert!(count >= 25, "{count} commands found");
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
