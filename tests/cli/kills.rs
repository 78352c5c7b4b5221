//! `kill -9` at moments drawn by a seed, in training, labelling, export and download: what is there is
//! whole, and the same command goes on to what it would have made undisturbed. `KILLS` says how often in
//! each; four times where it is not set.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::tempdir;

use super::hub::{ID, files_of_teacher, hub_command};
use super::mirror::{Fault, Mirror};
use super::{SMALL_STUDENT, command, small_data, stdout};

fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// A number from 0 up to 1 for each number (Steele et al. 2014, SplitMix64).
fn share(number: usize) -> f64 {
    let mut mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Runs it to its end, and says how long it took.
fn whole(mut command: Command) -> Duration {
    let start = Instant::now();
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start.elapsed()
}

/// Kills it after some time, and says whether it had not ended before.
fn kill_after(mut command: Command, time: Duration) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the binary runs");
    std::thread::sleep(time);
    child.kill().ok();
    child.wait().expect("it ends").signal() == Some(9)
}

/// That they were killed on the way: one in eleven comes after the usual end, and on a busy machine the first run
/// of all, by which the moments are drawn, may have been much slower than the others.
fn check_hits(hits: usize, of: usize) {
    eprintln!("{hits} of {of} were killed on the way");
    assert!(hits > 0 || of < 4, "{hits} of {of} were killed on the way");
}

/// Every file below a folder that is no temporary one, by its place.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return all };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name.contains(".tmp") {
            continue;
        }
        if entry.path().is_dir() {
            let inside = files(&entry.path());
            all.extend(inside.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            all.insert(name, fs::read(entry.path()).expect("readable"));
        }
    }
    all
}

#[test]
fn a_training_killed_at_any_moment_ends_as_if_nothing_had_been() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let arguments = |out: &str| {
        format!(
            "distill --teacher {{tiny}}/teacher --data {{dir}}/data --cache {{dir}}/cache-{out} --quiet \
             --checkpoint-minutes 0.002 --out {{dir}}/{out} {SMALL_STUDENT}"
        )
    };
    let time = whole(command(dir, &arguments("whole")));
    let best = |out: &str| files(&dir.join(out).join("best"))["model.safetensors"].clone();
    let (mut hits, mut tries) = (0, 0);
    for number in 0..kills() {
        let out = format!("cut-{number}");
        // Killed a second time on the way, every other time.
        for again in 0..=number % 2 {
            let is_run = dir.join(&out).join("run.json").is_file();
            let resume = if is_run { " --resume" } else { "" };
            let moment = time.mul_f64(share(2 * number + again) * 1.1);
            let command = command(dir, &format!("{}{resume}", arguments(&out)));
            hits += usize::from(kill_after(command, moment));
            tries += 1;
        }
        let folder = dir.join(&out);
        if folder.join("best").is_dir() {
            let scored =
                format!("evaluate --model {{dir}}/{out}/best --data {{dir}}/data/test.txt --quiet");
            stdout(dir, &scored);
        }
        if !folder.join("report.json").is_file() {
            let resume = if folder.join("run.json").is_file() { " --resume" } else { "" };
            stdout(dir, &format!("{}{resume}", arguments(&out)));
        }
        assert!(best(&out) == best("whole"), "kill {number}");
    }
    check_hits(hits, tries);
}

#[test]
fn a_labelling_killed_at_any_moment_leaves_whole_chunks_and_goes_on() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    // Three chunks.
    let text = fs::read_to_string(super::tiny().join("unlabelled.txt")).expect("a text");
    fs::write(dir.join("text.txt"), text.repeat(20)).expect("written");
    let arguments = |cache: &str| {
        format!(
            "label --teacher {{tiny}}/teacher --text {{dir}}/text.txt --cache {{dir}}/{cache} --quiet"
        )
    };
    let time = whole(command(dir, &arguments("whole")));
    let expected = files(&dir.join("whole"));
    assert_eq!(expected.len(), 3);
    let mut hits = 0;
    for number in 0..kills() {
        let cache = format!("cut-{number}");
        let moment = time.mul_f64(share(1000 + number) * 1.1);
        hits += usize::from(kill_after(command(dir, &arguments(&cache)), moment));
        for (name, bytes) in files(&dir.join(&cache)) {
            assert!(expected.get(&name) == Some(&bytes), "kill {number}: {name} is half");
        }
        stdout(dir, &arguments(&cache));
        assert!(files(&dir.join(&cache)) == expected, "kill {number}");
    }
    check_hits(hits, kills());
}

#[test]
fn an_export_killed_at_any_moment_is_there_or_not() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    let arguments = |out: &str| {
        format!(
            "export --model {{tiny}}/teacher --dtype int8 --data {{tiny}}/valid.txt --out {{dir}}/{out} --quiet"
        )
    };
    let time = whole(command(dir, &arguments("whole")));
    let expected = files(&dir.join("whole"));
    let mut hits = 0;
    for number in 0..kills() {
        let out = format!("cut-{number}");
        let moment = time.mul_f64(share(2000 + number) * 1.1);
        hits += usize::from(kill_after(command(dir, &arguments(&out)), moment));
        if !dir.join(&out).exists() {
            stdout(dir, &arguments(&out));
        }
        let found = files(&dir.join(&out));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        let name = "model.safetensors";
        assert!(found[name] == expected[name], "kill {number}");
    }
    check_hits(hits, kills());
}

#[test]
fn a_download_killed_at_any_moment_is_continued_and_never_half_used() {
    let mirror = Mirror::start();
    mirror.put(ID, &files_of_teacher());
    // Two breaks on the way, after each of which it waits: most of the time it is in a download.
    let slow = || mirror.fault("model.safetensors", Fault::Cut(150_000, 2));
    let start = |dir: &Path| hub_command(dir, &mirror, "fetch owner/tagger --quiet");
    let dir = tempdir().expect("a folder");
    slow();
    let time = whole(start(dir.path()));
    let mut hits = 0;
    for number in 0..kills() {
        let dir = tempdir().expect("a folder");
        let dir = dir.path();
        slow();
        hits += usize::from(kill_after(start(dir), time.mul_f64(share(3000 + number) * 1.1)));
        // What is in the cache under its name is whole.
        whole(hub_command(dir, &mirror, "fetch --verify --quiet"));
        mirror.heal();
        whole(start(dir));
        whole(hub_command(dir, &mirror, "fetch --verify owner/tagger --quiet --offline"));
        let arguments = "evaluate --model owner/tagger --data {tiny}/test.txt --quiet --offline";
        whole(hub_command(dir, &mirror, arguments));
    }
    check_hits(hits, kills());
}
