//! What goes wrong with the cache itself: damage, no network, no room.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::hub::{hub_command, tagger};
use super::hub_data::put_data;
use super::hub_faults::{
    FETCH, PATIENCE, WEIGHTS, failure, is_intact, ranges, run, setup, success, told,
};
use super::mirror::{Fault, etag};

/// Changes one byte of the weights in the cache.
fn damage(dir: &Path) {
    let (_, weights) = tagger(WEIGHTS);
    let blobs = dir.join("huggingface/hub/models--owner--tagger/blobs");
    let blob = blobs.join(etag(WEIGHTS, &weights));
    let mut bytes = fs::read(&blob).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, bytes).expect("written");
}

#[test]
fn a_file_that_was_damaged_in_the_cache() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    success(dir, &mirror, FETCH);
    damage(dir);
    for verify in ["fetch --verify owner/tagger", "fetch --verify"] {
        let message = told_lines(&run(dir, &mirror, verify));
        assert!(message.contains("1 of 3 files in the cache are damaged"), "{message}");
        assert!(message.contains("SHA-256 is "), "{message}");
    }
    let offline = "tag --model owner/tagger --offline Ada";
    let message = failure(dir, &mirror, offline);
    assert!(message.contains("is damaged: SHA-256 is "), "{message}");
    assert!(message.contains("the hub is not asked (--offline)"), "{message}");
    let message = success(dir, &mirror, "tag --model owner/tagger Ada");
    assert!(message.contains("fetching it again"), "{message}");
    success(dir, &mirror, offline);
    is_intact(dir);
}

fn told_lines(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("error: "), "{message}");
    message
}

#[test]
fn offline_without_and_with_a_cache() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    let message = failure(dir, &mirror, "tag --model owner/tagger --offline Ada");
    assert!(message.contains("model owner/tagger is not in the cache"), "{message}");
    assert!(
        message.contains(
            "(--offline); expected it to be fetched before: understudy fetch owner/tagger"
        ),
        "{message}"
    );
    let mut by_variable = hub_command(dir, &mirror, FETCH);
    let message = told(&by_variable.env("HF_HUB_OFFLINE", "1").output().expect("it runs"), FETCH);
    assert!(message.contains("(HF_HUB_OFFLINE)"), "{message}");
    assert!(mirror.requests().is_empty());
    success(dir, &mirror, FETCH);
    mirror.requests();
    success(dir, &mirror, "tag --model owner/tagger --offline Ada");
    assert!(mirror.requests().is_empty());
    // A file that was not needed before.
    let folder = fs::read_dir(dir.join("huggingface/hub/models--owner--tagger/snapshots"));
    let snapshot = folder.expect("a folder").next().expect("a commit").expect("a commit").path();
    fs::remove_file(snapshot.join(WEIGHTS)).expect("removed");
    let message = failure(dir, &mirror, "tag --model owner/tagger --offline Ada");
    assert!(message.contains("model.safetensors of owner/tagger is not in the cache"), "{message}");
}

#[test]
fn without_the_hub_the_cache_will_do() {
    let (dir, mut mirror) = setup();
    let dir = dir.path();
    success(dir, &mirror, FETCH);
    mirror.patience = PATIENCE;
    for fault in [Fault::Silent, Fault::Status(503, "")] {
        mirror.fault("api", fault);
        let message = success(dir, &mirror, "tag --model owner/tagger Ada");
        assert!(message.contains("the cache's commit "), "{message}");
    }
}

/// A data set is told from a model by the hub; where it is not there, by what is in the cache.
#[test]
fn without_the_hub_a_cached_data_set_is_fetched() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    put_data(&mirror);
    success(dir, &mirror, "fetch owner/sentences");
    mirror.fault("api", Fault::Status(503, ""));
    let output = run(dir, &mirror, "fetch owner/sentences");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("data set at "), "{output:?}");
    let message = failure(dir, &mirror, "fetch owner/none");
    assert!(message.contains("cannot fetch owner/none: "), "{message}");
}

/// A hub that cannot say what an id is for a moment does not make a data set of a model.
#[test]
fn what_a_repository_is_is_not_guessed() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    put_data(&mirror);
    mirror.fault("api/models", Fault::Status(503, ""));
    let message = failure(dir, &mirror, "fetch owner/sentences");
    assert!(message.contains("cannot fetch owner/sentences: "), "{message}");
    mirror.heal();
    success(dir, &mirror, "fetch owner/sentences");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    let full = hub_command(dir, &mirror, FETCH);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\""]);
    command.arg(full.get_program()).args(full.get_args());
    for (name, value) in full.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let message = told(&command.output().expect("sh runs"), FETCH);
    assert!(message.contains("the disk is full; 461732 bytes were wanted"), "{message}");
    is_intact(dir);
    mirror.requests();
    success(dir, &mirror, FETCH);
    let asked = ranges(&mirror);
    assert!(asked.len() == 1 && asked[0].is_some(), "{asked:?}");
    is_intact(dir);
}

#[test]
fn a_cache_that_cannot_be_written() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    fs::write(dir.join("huggingface"), "a file").expect("written");
    let message = failure(dir, &mirror, FETCH);
    assert!(message.contains("expected a folder that can be written"), "{message}");
}
