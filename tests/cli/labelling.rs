//! The teacher's work over text: what is told of it, what is refused before it, and what stops it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use tempfile::tempdir;

use super::bad_input::check;
use super::interruption::send;
use super::{SMALL_STUDENT, command, run, small_data, stdout};

/// A distillation of [`small_data`] into the folder `run`, with logits in another folder each time.
fn distil(cache: &str, flags: &str) -> String {
    format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --cache {{dir}}/{cache} \
         --out {{dir}}/run {SMALL_STUDENT} {flags}"
    )
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_end_of_a_part_is_told_once() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    // Windows of 16 sub-words, so that sentences have several.
    let label = "label --teacher {tiny}/teacher --data {dir}/data --text {tiny}/unlabelled.txt \
                 --cache {dir}/cache --max-length 16 --shard";
    for _ in 0..2 {
        for shard in ["1/2", "2/2", "1/1"] {
            let output = run(dir, &format!("{label} {shard}"));
            assert!(output.status.success(), "{}", stderr(&output));
            let said = stderr(&output);
            let lines: Vec<&str> =
                said.lines().filter(|line| line.starts_with("teacher labels ")).collect();
            let is_end = |line: &&str| line.starts_with("teacher labels 355/355 · ");
            assert!(lines.last().is_some_and(is_end), "{shard}: {said}");
            assert_eq!(lines.iter().copied().filter(|line| is_end(line)).count(), 1, "{said}");
        }
    }
}

#[test]
fn text_that_a_run_will_not_read_is_told() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let read = |ratio: &str| {
        let flags = format!("--text {{tiny}}/unlabelled.txt --text-ratio {ratio}");
        let said = stderr(&run(dir, &distil("cache", &flags)));
        fs::remove_dir_all(dir.join("run")).expect("a run");
        said
    };
    // Three epochs, 28 for the 55 labelled sentences in each.
    let said = read("0.5");
    assert!(said.contains("note: of 300 sentences of text the run reads about 84 ("), "{said}");
    assert!(!read("2").contains("note: "));
}

/// Whatever is wrong with a run is told before the teacher labels anything for it.
#[test]
fn a_run_that_cannot_be_is_refused_before_the_teacher_labels() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let unlabelled = |arguments: &str, expected: &str| {
        check(dir, arguments, expected);
        assert!(!dir.join("other").exists(), "{arguments}: it labelled before");
    };
    fs::write(dir.join("file"), "").expect("written");
    let nowhere = distil("other", "").replace("{dir}/run", "{dir}/file/run");
    unlabelled(&nowhere, "cannot create folder ");
    stdout(dir, &distil("cache", "--quiet"));
    for (flags, expected) in [
        ("--temperature 3", "train.objective.temperature was 2.0, now 3.0"),
        ("--hidden-size 48", "model was \"student: hidden 32, 1 layers"),
        ("--max-length 64", "examples.context was 32, now 16"),
        ("--text {tiny}/unlabelled.txt", "files.6.sentences was nothing, now 300"),
        ("--warmup-steps 7", "train.warmup_steps was 2, now 7"),
    ] {
        unlabelled(&distil("other", &format!("--resume {flags}")), expected);
    }
    let lock = fs::File::open(dir.join("run/.lock")).expect("a lock");
    lock.lock().expect("locked");
    unlabelled(&distil("other", "--resume"), "run is in use by another understudy process");
    drop(lock);
    for text in ["[]", "7", "{"] {
        fs::write(dir.join("run/run.json"), text).expect("written");
        unlabelled(&distil("other", "--resume"), "run.json: expected the settings of a run");
    }
}

/// Whether a process has a handler for SIGINT by now.
#[cfg(target_os = "linux")]
fn handles_interrupts(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0) & 2 != 0
}

/// Logits that are there already take time too.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_while_logits_are_read_exits_with_130() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    let text = fs::read_to_string(super::tiny().join("unlabelled.txt")).expect("a text");
    fs::write(dir.join("text"), text.repeat(60)).expect("written");
    let label = "label --teacher {tiny}/teacher --text {dir}/text --cache {dir}/cache --quiet";
    stdout(dir, label);
    // It may be at its end before it is interrupted, so it is tried again.
    let interrupted = (0..20).any(|_| {
        let mut child = command(dir, label).stderr(Stdio::piped()).spawn().expect("it starts");
        let id = child.id();
        while !handles_interrupts(id) && child.try_wait().expect("asked").is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if child.try_wait().expect("asked").is_none() {
            send(id, "-INT");
        }
        let output = child.wait_with_output().expect("it ends");
        let code = output.status.code();
        assert!(code == Some(130) || code == Some(0), "{}", stderr(&output));
        code == Some(130)
    });
    assert!(interrupted);
}

#[cfg(unix)]
#[test]
fn an_interrupt_while_it_measures_exits_with_130() {
    let dir = tempdir().expect("a folder");
    let mut bench = command(dir.path(), "bench --steps 100000 --seq-len 3");
    let mut child = bench.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(first.starts_with("device: "), "{first}");
    send(child.id(), "-INT");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(said.iter().any(|line| line.starts_with("stopped; ")), "{said:?}");
}
