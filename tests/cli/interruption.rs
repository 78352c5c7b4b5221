//! Runs that are killed, interrupted or continued wrongly.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::tempdir;

use super::{SMALL_STUDENT, command, run, small_data, stdout, tiny};

fn arguments(out: &str) -> String {
    format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --cache {{dir}}/cache --quiet \
         --checkpoint-minutes 0.002 --out {{dir}}/{out} {SMALL_STUDENT}"
    )
}

fn steps(run: &Path) -> Vec<(u64, f64)> {
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap_or_default();
    let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .filter(|record| record["event"] == "step")
        .map(|record| {
            (record["step"].as_u64().expect("a step"), record["loss"].as_f64().expect("a loss"))
        })
        .collect()
}

/// Starts a run and sends it a signal once it has taken some steps and left a checkpoint.
fn interrupt(dir: &Path, arguments: &str, signal: &str, after_steps: usize) -> Option<i32> {
    interrupt_in(dir, "cut", arguments, signal, after_steps)
}

/// The same of the run in the folder `run`.
pub fn interrupt_in(
    dir: &Path,
    run: &str,
    arguments: &str,
    signal: &str,
    after_steps: usize,
) -> Option<i32> {
    let mut child = command(dir, arguments).spawn().expect("it starts");
    let folder = dir.join(run);
    wait_until(&mut child, || {
        steps(&folder).len() >= after_steps && folder.join("checkpoint.safetensors").is_file()
    });
    send(child.id(), signal);
    child.wait().expect("it ends").code()
}

#[cfg(unix)]
#[test]
fn a_killed_run_continues_to_the_same_losses_and_weights() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    stdout(dir, &arguments("whole"));
    assert_eq!(interrupt(dir, &arguments("cut"), "-KILL", 4), None);
    interrupt(dir, &format!("{} --resume", arguments("cut")), "-KILL", 9);
    stdout(dir, &format!("{} --resume", arguments("cut")));
    assert_eq!(steps(&dir.join("cut")), steps(&dir.join("whole")));
    let weights =
        |name: &str| std::fs::read(dir.join(name).join("best/model.safetensors")).expect("weights");
    assert!(weights("cut") == weights("whole"));
}

/// Waits until something is so, or fails where the process ended before or it takes too long.
fn wait_until(child: &mut Child, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(120), "it never got there");
        assert!(child.try_wait().expect("asked").is_none(), "it ended before");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal, such as `-INT`, to a process.
pub fn send(id: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &id.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// As under `nohup`: where SIGHUP is ignored, a run outlives its terminal.
#[cfg(unix)]
#[test]
fn a_hangup_stays_ignored() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let run = command(dir, &arguments("cut"));
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut child = shell.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts");
    wait_until(&mut child, || steps(&dir.join("cut")).len() >= 3);
    send(child.id(), "-HUP");
    assert!(child.wait().expect("it ends").success());
}

/// While the teacher labels there is no run yet, but what stops is no failure either.
#[cfg(unix)]
#[test]
fn an_interrupt_while_the_teacher_labels_exits_with_130() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    let text = std::fs::read_to_string(tiny().join("unlabelled.txt")).expect("a text");
    std::fs::write(dir.join("text"), text.repeat(100)).expect("written");
    let label = "label --teacher {tiny}/teacher --text {dir}/text --cache {dir}/cache";
    let mut child = command(dir, label);
    let mut child = child.stderr(Stdio::piped()).spawn().expect("it starts");
    wait_until(&mut child, || dir.join("cache").is_dir());
    send(child.id(), "-INT");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("the same command goes on") && !said.contains("error"), "{said}");
    stdout(dir, label);
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_first_and_exits_with_130() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    // Checkpoints only at evaluations, so that the one at the interrupt is its own.
    let arguments = arguments("cut").replace("0.002", "60");
    assert_eq!(interrupt(dir, &arguments, "-INT", 3), Some(130));
    let taken = steps(&dir.join("cut")).len();
    stdout(dir, &format!("{arguments} --resume"));
    let all = steps(&dir.join("cut"));
    let numbers: Vec<u64> = all.iter().map(|(step, _)| *step).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(taken < numbers.len());
}

#[test]
fn a_folder_with_another_run_is_refused_and_left_alone() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    stdout(dir, &arguments("run"));
    let log = std::fs::read(dir.join("run/log.jsonl")).expect("a log");
    let output = run(dir, &arguments("run"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("holds another run; continue it with --resume"), "{message}");
    assert_eq!(std::fs::read(dir.join("run/log.jsonl")).expect("a log"), log);
}

#[test]
fn a_run_resumes_only_with_its_own_settings() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    stdout(dir, &arguments("run"));
    let output = run(dir, &format!("{} --resume --temperature 3", arguments("run")));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("train.objective.temperature was 2.0, now 3.0"), "{message}");
}
