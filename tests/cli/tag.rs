//! Tagging: from an argument, a file and a pipe, and what each way of decoding finds.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use tempfile::tempdir;

use super::{command, stdout};

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
fn texts_from_a_file_are_answered_line_by_line() {
    let dir = tempdir().expect("a folder");
    std::fs::write(dir.path().join("texts.txt"), "Mara Velling left.\n\nNothing here.\n")
        .expect("written");
    let text = stdout(dir.path(), "tag --model {tiny}/teacher --file {dir}/texts.txt --json");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    let found = lines[0]["entities"][0]["text"].as_str().expect("an entity");
    assert!(found.ends_with("Velling"), "{found}");
    assert_eq!(lines[1]["entities"], serde_json::json!([]));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_text() {
    let dir = tempdir().expect("a folder");
    let text = "\u{feff}Mara Velling left.\n\u{feff}Nothing here.\n";
    std::fs::write(dir.path().join("texts.txt"), text).expect("written");
    let file = stdout(dir.path(), "tag --model {tiny}/teacher --file {dir}/texts.txt --json");
    let mut piped = command(dir.path(), "tag --model {tiny}/teacher --json");
    piped.stdin(std::fs::File::open(dir.path().join("texts.txt")).expect("a file"));
    let piped = String::from_utf8(piped.output().expect("it runs").stdout).expect("UTF-8");
    for output in [file, piped] {
        let texts: Vec<Value> = output
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["text"].clone())
            .collect();
        assert_eq!(texts, ["Mara Velling left.", "\u{feff}Nothing here."]);
    }
}

#[test]
fn an_empty_variable_names_no_device() {
    let dir = tempdir().expect("a folder");
    let tag = |device: &str| {
        let mut tag = command(dir.path(), "tag --model {tiny}/teacher Ada");
        tag.env("UNDERSTUDY_DEVICE", device).output().expect("it runs")
    };
    let empty = tag("");
    assert!(empty.status.success(), "{}", String::from_utf8_lossy(&empty.stderr));
    let wrong = tag("none");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("expected auto, gpu, cpu"));
}

/// The entities of a sentence with some flags.
fn entities(dir: &Path, flags: &str) -> Vec<Value> {
    let arguments = format!("tag --model {{tiny}}/teacher --json {flags}");
    let output = command(dir, &arguments).arg("Mara Velling joined Norvik Systems.").output();
    let output = String::from_utf8(output.expect("it runs").stdout).expect("UTF-8");
    let line: Value = serde_json::from_str(&output).expect("JSON");
    line["entities"].as_array().expect("a list").clone()
}

#[test]
fn aggregation_threshold_and_constraint_change_what_is_an_entity() {
    let dir = tempdir().expect("a folder");
    let first = entities(dir.path(), "");
    assert!(!first.is_empty());
    for aggregation in ["average", "max", "simple"] {
        let found = entities(dir.path(), &format!("--aggregation {aggregation}"));
        assert!(!found.is_empty(), "{aggregation}");
        assert!(found.iter().all(|entity| entity["entity_type"] != "B-PER"), "{aggregation}");
    }
    let alone = entities(dir.path(), "--aggregation none --constrained");
    assert!(alone.len() > first.len());
    let mut open = "";
    for entity in &alone {
        let label = entity["entity_type"].as_str().expect("a label");
        let (prefix, entity_type) = label.split_once('-').expect("B or I and a type");
        assert!(prefix == "B" || entity_type == open, "{alone:?}");
        open = entity_type;
    }
    let mut scores: Vec<f64> = first.iter().filter_map(|entity| entity["score"].as_f64()).collect();
    scores.sort_by(f64::total_cmp);
    let between = (scores[0] + scores[scores.len() - 1]) / 2.0;
    let kept = entities(dir.path(), &format!("--threshold {between}"));
    let want: Vec<Value> = first
        .iter()
        .filter(|entity| entity["score"].as_f64().is_some_and(|score| score >= between))
        .cloned()
        .collect();
    assert_eq!(kept, want);
    assert!(kept.len() < first.len());
}

#[test]
fn the_five_aggregations_are_those_of_transformers() {
    let golden: Value =
        serde_json::from_str(include_str!("../golden/aggregation.json")).expect("a golden");
    let texts = golden["texts"].as_array().expect("texts");
    let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
    let dir = tempdir().expect("a folder");
    std::fs::write(dir.path().join("texts.txt"), texts.join("\n")).expect("written");
    for (strategy, want) in golden["strategies"].as_object().expect("strategies") {
        let arguments = format!(
            "tag --model {{tiny}}/teacher --file {{dir}}/texts.txt --json --aggregation {strategy}"
        );
        let output = stdout(dir.path(), &arguments);
        let want = want.as_array().expect("a list for each text");
        assert_eq!(output.lines().count(), want.len());
        let mut count = 0;
        for (line, want) in output.lines().zip(want) {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let (got, want) = (line["entities"].as_array(), want.as_array());
            let (got, want) = (got.expect("entities"), want.expect("entities"));
            assert_eq!(got.len(), want.len(), "{strategy}: {line} {want:?}");
            for (got, want) in got.iter().zip(want) {
                let place = [&got["entity_type"], &got["start_char"], &got["end_char"]];
                assert_eq!(place, [&want[0], &want[1], &want[2]], "{strategy}: {line}");
                let score = |value: &Value| value.as_f64().expect("a score");
                assert!((score(&got["score"]) - score(&want[3])).abs() < 2e-4, "{line} {want}");
                count += 1;
            }
        }
        assert!(count > 20, "{strategy}: {count} entities");
    }
}

/// A program that writes a line and waits for its entities gets them, and what stands before a line that is no
/// text is tagged.
#[test]
fn a_line_from_a_pipe_is_answered_at_once() {
    let dir = tempdir().expect("a folder");
    let mut child = command(dir.path(), "tag --model {tiny}/teacher --json");
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    // A thread reads, so that what never comes is waited for no longer than a minute.
    let stdout = BufReader::new(child.stdout.take().expect("its stdout"));
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        stdout.lines().try_for_each(|line| sender.send(line.ok()).map_err(drop))
    });
    let stdin = child.stdin.as_mut().expect("its stdin");
    for text in ["Ada", "one\r", ""] {
        writeln!(stdin, "{text}").expect("written");
        let line = lines.recv_timeout(Duration::from_secs(60)).expect("a line").expect("text");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer["text"], text.trim_end());
    }
    stdin.write_all(b"two\nthree\n\xff\nfour\n").expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("stdin, line 6: expected UTF-8"), "{said}");
    assert_eq!(lines.iter().flatten().count(), 2);
}
