//! What goes wrong between the hub and the cache: each ends with a message that says what, where and
//! what was expected, with exit code 2, and with a cache in which every file is whole.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::{TempDir, tempdir};

use super::hub::{ID, files_of_teacher, hub_command, tagger};
use super::mirror::{Fault, Mirror, Request, etag};

pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const FETCH: &str = "fetch owner/tagger";

/// A hub with the tiny teacher, and an empty cache.
pub(super) fn setup() -> (TempDir, Mirror) {
    let mirror = Mirror::start();
    mirror.put(ID, &files_of_teacher());
    (tempdir().expect("a folder"), mirror)
}

pub(super) fn run(dir: &Path, mirror: &Mirror, arguments: &str) -> Output {
    hub_command(dir, mirror, arguments).output().expect("the binary runs")
}

/// Runs a command that must fail, and gives its message.
pub(super) fn failure(dir: &Path, mirror: &Mirror, arguments: &str) -> String {
    told(&run(dir, mirror, arguments), arguments)
}

pub(super) fn told(output: &Output, arguments: &str) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "understudy {arguments}\n{message}");
    assert!(message.lines().last().is_some_and(|line| line.starts_with("error: ")), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    assert!(output.stdout.is_empty());
    message
}

pub(super) fn success(dir: &Path, mirror: &Mirror, arguments: &str) -> String {
    let output = run(dir, mirror, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "understudy {arguments}\n{message}");
    message
}

/// Every file with a name of a whole one is whole, and no link leads nowhere.
pub(super) fn is_intact(dir: &Path) {
    let hub = dir.join("huggingface/hub");
    if !hub.exists() {
        return;
    }
    let output = hub_command(dir, &Mirror::start(), "fetch --verify --json").output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// With this fault the fetch fails with a message; without it, it succeeds from what there is.
fn check(file: &str, fault: Fault, expected: &str) {
    check_within("60", file, fault, expected);
}

/// [`check`] with a time-out of so many seconds.
fn check_within(patience: &'static str, file: &str, fault: Fault, expected: &str) {
    let (dir, mut mirror) = setup();
    let dir = dir.path();
    mirror.patience = patience;
    mirror.fault(file, fault.clone());
    let message = failure(dir, &mirror, FETCH);
    assert!(message.contains(expected), "{fault:?}: expected {expected:?} in {message}");
    is_intact(dir);
    // Nor does a command take what is not whole.
    let tag = failure(dir, &mirror, "tag --model owner/tagger Ada");
    assert!(tag.contains(expected), "{fault:?}: {tag}");
    mirror.heal();
    mirror.patience = "60";
    success(dir, &mirror, FETCH);
    is_intact(dir);
}

#[test]
fn a_repository_a_revision_or_a_file_that_is_not_there() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    let message = failure(dir, &mirror, "fetch owner/none");
    assert!(message.contains("the hub has no model owner/none, or it is private"), "{message}");
    assert!(message.contains("HF_TOKEN"), "{message}");
    let message = failure(dir, &mirror, "fetch datasets/owner/none");
    assert!(message.contains("the hub has no data set owner/none"), "{message}");
    let message = failure(dir, &mirror, "fetch owner/tagger@v9");
    assert!(
        message.contains("model owner/tagger has no revision `v9`; expected a branch"),
        "{message}"
    );
    let message = failure(dir, &mirror, "tag --model owner/none Ada");
    assert!(message.contains("owner/none is no folder here"), "{message}");
    let message = failure(dir, &mirror, "fetch ../tagger");
    assert!(message.contains("expected an id of the hub, owner/name"), "{message}");
    check(WEIGHTS, Fault::Status(404, "EntryNotFound"), "answered 404 (EntryNotFound)");
}

#[test]
fn a_repository_that_is_private_or_gated() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    mirror.ask_for_token("hf_secret");
    let message = failure(dir, &mirror, FETCH);
    assert!(
        message.contains("or it is private; expected an id") && message.contains("401"),
        "{message}"
    );
    let with = |token: &str| {
        hub_command(dir, &mirror, FETCH).env("HF_TOKEN", token).output().expect("the binary runs")
    };
    let wrong = told(&with("hf_other"), FETCH);
    assert!(wrong.contains("the token may not read it") && !wrong.contains("hf_other"), "{wrong}");
    mirror.requests();
    assert!(with("hf_secret").status.success());
    let requests = mirror.requests();
    let (storage, hub): (Vec<Request>, Vec<Request>) =
        requests.into_iter().partition(|request| request.at_storage);
    assert!(!storage.is_empty() && storage.iter().all(|request| !request.has_token), "{storage:?}");
    assert!(!hub.is_empty() && hub.iter().all(|request| request.has_token), "{hub:?}");
    let (dir, mirror) = setup();
    mirror.fault("api", Fault::Status(403, "GatedRepo"));
    let message = failure(dir.path(), &mirror, FETCH);
    assert!(
        message.contains("owner/tagger is gated; expected its terms to be accepted"),
        "{message}"
    );
    // The hub lets everybody see which files there are.
    let (dir, mirror) = setup();
    mirror.fault("config.json", Fault::Status(401, "GatedRepo"));
    let message = failure(dir.path(), &mirror, FETCH);
    assert!(
        message.contains("owner/tagger is gated; expected its terms to be accepted"),
        "{message}"
    );
}

#[test]
fn a_file_of_another_size() {
    check(WEIGHTS, Fault::Longer, "the server sends 461732 bytes, expected 461733 as the hub says");
    check(
        WEIGHTS,
        Fault::Shorter,
        "the server sends 461722 bytes, expected 461732 as the hub says",
    );
}

#[test]
fn a_file_of_another_hash() {
    check(WEIGHTS, Fault::OtherHash, "SHA-256 is ");
}

#[test]
fn a_file_of_the_same_size_with_a_wrong_byte() {
    check(WEIGHTS, Fault::Corrupt, "owner/tagger/model.safetensors: SHA-256 is ");
    check("config.json", Fault::Corrupt, "owner/tagger/config.json: git's SHA-1 is ");
}

#[test]
fn answers_that_make_no_sense() {
    check("api", Fault::Garbage("<html>"), "expected the hub's description of a repository (JSON)");
    check("api", Fault::Garbage(r#"{"sha": "../x"}"#), "expected 40 hexadecimal digits");
    let outside = r#"{"sha": "0000000000000000000000000000000000000000", "siblings": [{"rfilename": "../x"}]}"#;
    check("api", Fault::Garbage(outside), "expected a path inside the repository");
}

#[test]
fn redirects_without_end_and_to_nowhere() {
    check("api", Fault::Loop, "more than 10 redirects");
    check(WEIGHTS, Fault::Loop, "more than 10 redirects");
    check(WEIGHTS, Fault::Nowhere, "a redirect to nowhere; expected a Location");
}

#[test]
fn a_signed_address_is_not_shown_with_its_signature() {
    let (dir, mirror) = setup();
    mirror.fault(WEIGHTS, Fault::Expired);
    let message = failure(dir.path(), &mirror, FETCH);
    assert!(message.contains("/model.safetensors answered 403"), "{message}");
    assert!(!message.contains("signature"), "{message}");
    is_intact(dir.path());
}

#[test]
fn a_server_in_trouble() {
    check("api", Fault::Status(503, ""), "answered 503");
    check(WEIGHTS, Fault::Status(500, ""), "answered 500");
}

/// Long enough for a busy machine to start the program and to answer what is to be answered.
pub(super) const PATIENCE: &str = "4";

#[test]
fn a_server_that_says_nothing_or_stops() {
    let silent = "no answer for 4 s; HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT set";
    check_within(PATIENCE, "api", Fault::Silent, silent);
    check_within(PATIENCE, WEIGHTS, Fault::Silent, silent);
}

#[test]
fn a_server_that_is_not_there() {
    let (dir, mirror) = setup();
    let mut command = hub_command(dir.path(), &mirror, FETCH);
    let message =
        told(&command.env("HF_ENDPOINT", "http://127.0.0.1:9").output().expect("it runs"), FETCH);
    assert!(message.contains("cannot reach http://127.0.0.1:9/api/"), "{message}");
    assert!(message.contains("expected the hub to answer (HF_ENDPOINT is"), "{message}");
    let told_of = |value| {
        told(
            &hub_command(dir.path(), &mirror, FETCH)
                .env("HF_ENDPOINT", value)
                .output()
                .expect("it runs"),
            FETCH,
        )
    };
    assert!(told_of("hub").contains("HF_ENDPOINT=hub: expected an address"));
}

/// The ranges that were asked of the storage.
pub(super) fn ranges(mirror: &Mirror) -> Vec<Option<String>> {
    let requests = mirror.requests().into_iter();
    requests.filter(|request| request.at_storage).map(|request| request.range).collect()
}

#[test]
fn a_connection_that_breaks_is_continued() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    mirror.fault(WEIGHTS, Fault::Cut(200_000, 2));
    let message = success(dir, &mirror, FETCH);
    assert!(message.contains("ended after 200000 of 461732 bytes"), "{message}");
    let asked = ranges(&mirror);
    assert_eq!(asked, [None, Some("bytes=200000-".into()), Some("bytes=400000-".into())]);
    is_intact(dir);
}

#[test]
fn what_came_is_continued_by_the_next_command() {
    let (dir, mut mirror) = setup();
    let dir = dir.path();
    mirror.patience = PATIENCE;
    mirror.fault(WEIGHTS, Fault::Stall(150_000));
    let message = failure(dir, &mirror, FETCH);
    assert!(message.contains("150000 of 461732 bytes came and are kept"), "{message}");
    assert!(message.contains("no answer for 4 s"), "{message}");
    // The size was told first, and how far it came.
    let first = message.lines().next().unwrap_or_default();
    assert!(
        first.contains(": 476.3 kB (") && first.contains("model.safetensors 461.7 kB"),
        "{message}"
    );
    assert!(message.contains("model.safetensors 150.0 kB/461.7 kB · "), "{message}");
    is_intact(dir);
    mirror.requests();
    mirror.heal();
    mirror.patience = "60";
    success(dir, &mirror, FETCH);
    assert_eq!(ranges(&mirror), [Some("bytes=150000-".into())]);
    is_intact(dir);
}

#[test]
fn two_at_once_fetch_a_file_once() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    let start = || {
        let mut command = hub_command(dir, &mirror, FETCH);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
    };
    for mut child in [start(), start()] {
        assert!(child.wait().expect("it ends").success());
    }
    assert_eq!(ranges(&mirror), [None]);
    is_intact(dir);
}

#[test]
fn a_part_that_is_wrong_is_fetched_again_from_the_start() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    let (_, weights) = tagger(WEIGHTS);
    let blobs = dir.join("huggingface/hub/models--owner--tagger/blobs");
    fs::create_dir_all(&blobs).expect("a folder");
    let part = blobs.join(format!("{}.incomplete", etag(WEIGHTS, &weights)));
    fs::write(&part, vec![7; 1000]).expect("written");
    let message = success(dir, &mirror, FETCH);
    assert!(message.contains("fetched again from the start"), "{message}");
    assert_eq!(ranges(&mirror), [Some("bytes=1000-".into()), None]);
    assert!(!part.exists());
    is_intact(dir);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let (dir, mirror) = setup();
    let dir = dir.path();
    mirror.without_ranges();
    mirror.fault(WEIGHTS, Fault::Cut(200_000, 1));
    success(dir, &mirror, FETCH);
    assert_eq!(ranges(&mirror), [None, Some("bytes=200000-".into())]);
    is_intact(dir);
}
