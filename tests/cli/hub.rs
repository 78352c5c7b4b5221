//! Models and data sets from a hub, end to end: the layout of the cache, every command by id, other
//! labels, weights in parts, older tokenizers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::hub_data::{put_data, write_test};
use super::mirror::{Mirror, etag};
use super::{SMALL_STUDENT, command, tiny};

/// The tiny teacher's place on the mirror.
pub const ID: &str = "models/owner/tagger";

/// A file of the tiny teacher.
pub fn tagger(name: &str) -> (&str, Vec<u8>) {
    (name, fs::read(tiny().join("teacher").join(name)).expect(name))
}

pub fn files_of_teacher() -> Vec<(&'static str, Vec<u8>)> {
    ["config.json", "tokenizer.json", "model.safetensors"].map(tagger).to_vec()
}

/// `understudy` with a mirror for a hub, the mirror's time-outs, and an own cache.
pub fn hub_command(dir: &Path, mirror: &Mirror, arguments: &str) -> Command {
    let mut command = command(dir, arguments);
    for proxy in
        ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"]
    {
        command.env_remove(proxy);
    }
    command.env("HF_ENDPOINT", &mirror.endpoint).env_remove("HF_HUB_OFFLINE");
    command
        .env("HF_HUB_ETAG_TIMEOUT", mirror.patience)
        .env("HF_HUB_DOWNLOAD_TIMEOUT", mirror.patience);
    command
}

/// Runs it, expects success, and gives what it printed on stdout and stderr.
fn run(dir: &Path, mirror: &Mirror, arguments: &str) -> (String, String) {
    let output = hub_command(dir, mirror, arguments).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "understudy {arguments}\n{stderr}");
    (String::from_utf8(output.stdout).expect("UTF-8"), stderr)
}

pub fn json_of(dir: &Path, mirror: &Mirror, arguments: &str) -> Value {
    let (stdout, _) = run(dir, mirror, &format!("{arguments} --json --quiet"));
    serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON")
}

fn f1(scores: &Value) -> f64 {
    scores["word"]["default"]["f1"].as_f64().expect("a score")
}

#[test]
fn the_cache_is_the_one_that_python_has() {
    let (dir, mirror) = (tempdir().expect("a folder"), Mirror::start());
    let dir = dir.path();
    let commit = mirror.put(ID, &files_of_teacher());
    let (stdout, stderr) = run(dir, &mirror, "fetch owner/tagger");
    assert!(stdout.contains(&format!("owner/tagger  model at {commit}")), "{stdout}");
    // The size is told before the first byte.
    assert!(stderr.contains("model.safetensors 461.7 kB"), "{stderr}");
    let repo = dir.join("huggingface/hub/models--owner--tagger");
    assert_eq!(fs::read_to_string(repo.join("refs/main")).expect("a ref"), commit);
    for (name, bytes) in files_of_teacher() {
        let tag = etag(name, &bytes);
        let link = fs::read_link(repo.join("snapshots").join(&commit).join(name)).expect("a link");
        assert_eq!(link, Path::new("../../blobs").join(&tag));
        assert!(fs::read(repo.join("blobs").join(&tag)).expect("a blob") == bytes);
    }
    let names: Vec<_> = fs::read_dir(repo.join("blobs")).expect("a folder").collect();
    assert_eq!(names.len(), 3, "nothing but the blobs is left: {names:?}");
    // What is there is not fetched again, by its revision or its commit.
    mirror.requests();
    run(dir, &mirror, "fetch owner/tagger");
    run(dir, &mirror, &format!("tag --model owner/tagger@{commit} Ada"));
    let requests = mirror.requests();
    assert!(
        requests.iter().all(|request| request.path.starts_with("/api/models/")),
        "{requests:?}"
    );
    let (stdout, _) = run(dir, &mirror, "fetch --verify");
    assert!(stdout.starts_with("3 files, 476.3 kB: every one has the hash"), "{stdout}");
    // A new commit takes over what it shares with the old one.
    let mut files = files_of_teacher();
    files.push(("README.md", b"new".to_vec()));
    let newer = mirror.put(ID, &files);
    let (stdout, stderr) = run(dir, &mirror, "fetch owner/tagger");
    assert!(stdout.contains(&newer) && newer != commit, "{stdout}");
    assert_eq!(fs::read_to_string(repo.join("refs/main")).expect("a ref"), newer);
    assert!(mirror.requests().iter().all(|request| !request.at_storage), "{stderr}");
}

#[test]
fn finetune_distil_evaluate_and_tag_by_id() {
    let (dir, mirror) = (tempdir().expect("a folder"), Mirror::start());
    let dir = dir.path();
    let commit = mirror.put(ID, &files_of_teacher());
    let data = put_data(&mirror);
    let finetuned = json_of(
        dir,
        &mirror,
        "finetune --base owner/tagger --data owner/sentences --epochs 1 --out {dir}/teacher",
    );
    assert!(finetuned["parameters"].is_u64(), "{finetuned}");
    let distil = format!(
        "distill --teacher owner/tagger --data owner/sentences --cache {{dir}}/cache --out {{dir}}/run \
         {SMALL_STUDENT}"
    );
    json_of(dir, &mirror, &distil);
    let bytes = fs::read(dir.join("run/run.json")).expect("a snapshot");
    let snapshot: Value = serde_json::from_slice(&bytes).expect("JSON");
    let origin = |kind: &str, repo: &str, commit: &str| json!({ "kind": kind, "repo": repo, "revision": "main", "commit": commit });
    assert_eq!(
        snapshot["hub"],
        json!([
            origin("model", "owner/tagger", &commit),
            origin("dataset", "owner/sentences", &data)
        ])
    );
    let files = snapshot["files"].as_array().expect("files");
    let paths: Vec<&str> = files.iter().filter_map(|file| file["path"].as_str()).collect();
    assert!(
        paths.contains(&format!("owner/tagger@{commit}/model.safetensors").as_str()),
        "{paths:?}"
    );
    assert_eq!(files[0]["sentences"], 60, "two files make one split: {paths:?}");
    // A run that is continued keeps its commits, whatever the branch is by now.
    let mut files = files_of_teacher();
    files[0].1.push(b'\n');
    mirror.put(ID, &files);
    json_of(dir, &mirror, &format!("{distil} --resume"));
    let evaluate = "evaluate --model owner/tagger --data owner/sentences";
    let by_id = json_of(dir, &mirror, evaluate);
    write_test(dir);
    let by_folder = json_of(dir, &mirror, "evaluate --model {tiny}/teacher --data {dir}/test.txt");
    assert_eq!(by_id["word"], by_folder["word"]);
    assert!(f1(&by_id) > 0.5);
    let valid = json_of(dir, &mirror, &format!("{evaluate} --split valid"));
    assert_eq!(valid["sentences"], 30);
    let offline = json_of(dir, &mirror, &format!("{evaluate} --offline"));
    assert_eq!(offline["word"], by_id["word"]);
    let label = "label --teacher owner/tagger --data datasets/owner/sentences --cache {dir}/cache";
    assert_eq!(json_of(dir, &mirror, label)["chunks"], 1);
    let factorize =
        "factorize --model owner/tagger --rank 4 --data owner/sentences --out {dir}/thin";
    let thin = json_of(dir, &mirror, factorize);
    assert_eq!(
        (&thin["rank"], &thin["weighted_by"]["files"][0]["sentences"]),
        (&json!(4), &json!(60))
    );
    let export = "export --model owner/tagger --data owner/sentences --out {dir}/small";
    let exported = json_of(dir, &mirror, export);
    assert_eq!(exported["source"]["path"], "model.safetensors");
}

/// The teacher with its labels in another order: row `i` of the head is the old row `order[i]`.
fn reordered(order: &[usize; 9], names: &[String]) -> Vec<(&'static str, Vec<u8>)> {
    let mut files = files_of_teacher();
    let mut config: Value = serde_json::from_slice(&files[0].1).expect("JSON");
    let id2label: BTreeMap<usize, &String> = names.iter().enumerate().collect();
    config["id2label"] = json!(id2label);
    files[0].1 = config.to_string().into_bytes();
    let weights = &mut files[2].1;
    let header_len = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&weights[8..8 + header_len]).expect("a header");
    for name in ["classifier.weight", "classifier.bias"] {
        let place =
            |end: usize| header[name]["data_offsets"][end].as_u64().expect("a place") as usize;
        let (start, end) = (8 + header_len + place(0), 8 + header_len + place(1));
        let old = weights[start..end].to_vec();
        let row = old.len() / 9;
        for (new, from) in order.iter().enumerate() {
            let target = start + new * row;
            weights[target..target + row].copy_from_slice(&old[from * row..(from + 1) * row]);
        }
    }
    files
}

#[test]
fn a_tagger_with_labels_of_its_own_is_a_teacher_at_once() {
    let (dir, mirror) = (tempdir().expect("a folder"), Mirror::start());
    let dir = dir.path();
    let ours = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"];
    let order = [0, 7, 8, 2, 1, 3, 4, 6, 5];
    let theirs = order.map(|old| ours[old].to_owned());
    mirror.put(ID, &reordered(&order, &theirs));
    write_test(dir);
    let data = "--data {dir}/test.txt";
    let want = json_of(dir, &mirror, &format!("evaluate --model {{tiny}}/teacher {data}"));
    let got = json_of(dir, &mirror, &format!("evaluate --model owner/tagger {data}"));
    assert_eq!(got["word"], want["word"]);
    // The student keeps the teacher's labels.
    super::small_data(dir);
    json_of(
        dir,
        &mirror,
        &format!(
            "distill --teacher owner/tagger --data {{dir}}/data --cache {{dir}}/cache --out {{dir}}/run \
             {SMALL_STUDENT}"
        ),
    );
    let bytes = fs::read(dir.join("run/best/config.json")).expect("a student");
    let config: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(config["id2label"]["3"], theirs[3].as_str());
    // Names that say nothing, and a file that does.
    let nameless: Vec<String> = (0..9).map(|id| format!("LABEL_{id}")).collect();
    mirror.put("models/owner/nameless", &reordered(&order, &nameless));
    let evaluate = format!("evaluate --model owner/nameless {data}");
    let output = hub_command(dir, &mirror, &evaluate).output().expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("name its labels with --labels FILE"), "{message}");
    fs::write(dir.join("labels.txt"), theirs.join("\n")).expect("written");
    let named = json_of(dir, &mirror, &format!("{evaluate} --labels {{dir}}/labels.txt"));
    assert_eq!(named["word"], want["word"]);
    json_of(
        dir,
        &mirror,
        &format!(
            "distill --teacher owner/nameless --labels {{dir}}/labels.txt --data {{dir}}/data \
             --cache {{dir}}/cache --out {{dir}}/named {SMALL_STUDENT}"
        ),
    );
    // Without a label for the beginning of a type, as taggers have that learned from IOB1.
    let partial = theirs.join("\n").replace("B-MISC", "I-OTHER");
    fs::write(dir.join("labels.txt"), partial).expect("written");
    json_of(
        dir,
        &mirror,
        &format!(
            "distill --teacher owner/nameless --labels {{dir}}/labels.txt --data {{dir}}/data \
             --cache {{dir}}/cache --out {{dir}}/partial {SMALL_STUDENT}"
        ),
    );
    fs::write(dir.join("labels.txt"), "O\nB-PER\nI-PER\n").expect("written");
    let evaluate = format!("{evaluate} --labels {{dir}}/labels.txt");
    let output = hub_command(dir, &mirror, &evaluate).output().expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("3 label names were given, config.json has 9 labels"), "{message}");
}

/// The weights in two files, and their index.
fn in_parts(weights: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let header_len = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&weights[8..8 + header_len]).expect("a header");
    let (header, data) = (header.as_object().expect("tensors"), &weights[8 + header_len..]);
    let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut parts = [(json!({}), Vec::new()), (json!({}), Vec::new())];
    let mut map = json!({});
    for (index, (name, tensor)) in
        header.iter().filter(|(name, _)| *name != "__metadata__").enumerate()
    {
        let (part, bytes) = &mut parts[index % 2];
        let place = |end: usize| tensor["data_offsets"][end].as_u64().expect("a place") as usize;
        let start = bytes.len();
        bytes.extend_from_slice(&data[place(0)..place(1)]);
        part[name] = tensor.clone();
        part[name]["data_offsets"] = json!([start, bytes.len()]);
        map[name] = json!(files[index % 2]);
    }
    let file = |(header, data): &(Value, Vec<u8>)| {
        let header = header.to_string();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    };
    let index = json!({ "metadata": {}, "weight_map": map }).to_string().into_bytes();
    let [first, second] = &parts;
    [(files[0], file(first)), (files[1], file(second)), ("model.safetensors.index.json", index)]
}

#[test]
fn weights_in_parts_an_older_tokenizer_and_pickles() {
    let (dir, mirror) = (tempdir().expect("a folder"), Mirror::start());
    let dir = dir.path();
    let [config, (_, tokenizer), (_, weights)] =
        ["config.json", "tokenizer.json", "model.safetensors"].map(tagger);
    let parsed: Value = serde_json::from_slice(&tokenizer).expect("JSON");
    let mut entries: Vec<(&String, u64)> = parsed["model"]["vocab"]
        .as_object()
        .expect("a vocabulary")
        .iter()
        .map(|(entry, id)| (entry, id.as_u64().expect("an id")))
        .collect();
    entries.sort_by_key(|(_, id)| *id);
    let vocabulary: String = entries.iter().map(|(entry, _)| format!("{entry}\n")).collect();
    let mut files = vec![
        config.clone(),
        ("vocab.txt", vocabulary.into_bytes()),
        ("tokenizer_config.json", br#"{"do_lower_case": false}"#.to_vec()),
    ];
    files.extend(in_parts(&weights));
    mirror.put(ID, &files);
    write_test(dir);
    let want = json_of(dir, &mirror, "evaluate --model {tiny}/teacher --data {dir}/test.txt");
    let got = json_of(dir, &mirror, "evaluate --model owner/tagger --data {dir}/test.txt");
    assert_eq!((&got["word"], &got["loss"]), (&want["word"], &want["loss"]));
    // And the same folder without a hub.
    let copy = dir.join("copy");
    fs::create_dir(&copy).expect("a folder");
    for (name, bytes) in &files {
        fs::write(copy.join(name), bytes).expect("written");
    }
    let local = json_of(dir, &mirror, "evaluate --model {dir}/copy --data {dir}/test.txt");
    assert_eq!(local["word"], want["word"]);
    let pickled = vec![config, ("tokenizer.json", tokenizer), ("pytorch_model.bin", weights)];
    mirror.put("models/owner/pickled", &pickled);
    let output = hub_command(dir, &mirror, "fetch owner/pickled").output().expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("only pytorch_model.bin") && message.contains("@refs/pr/N"),
        "{message}"
    );
}

#[test]
fn a_repository_that_was_renamed_is_found() {
    let (dir, mirror) = (tempdir().expect("a folder"), Mirror::start());
    mirror.put("models/new/tagger", &files_of_teacher());
    mirror.rename("owner/old", "new/tagger");
    run(dir.path(), &mirror, "tag --model owner/old Ada");
    assert!(dir.path().join("huggingface/hub/models--owner--old/refs/main").is_file());
}

#[test]
fn several_ids_at_once_and_data_sets_by_their_place() {
    let (dir, mirror) = (tempdir().expect("a folder"), Mirror::start());
    let dir = dir.path();
    mirror.put(ID, &files_of_teacher());
    let commit = put_data(&mirror);
    let (stdout, _) = run(dir, &mirror, "fetch owner/tagger owner/sentences");
    assert!(stdout.contains(&format!("owner/sentences  data set at {commit}")), "{stdout}");
    let repo = dir.join("huggingface/hub/datasets--owner--sentences");
    let link = repo.join("snapshots").join(&commit).join("data/test-00000-of-00001.parquet");
    assert!(fs::read_link(link).expect("a link").starts_with("../../../blobs"));
    let fetched = json_of(dir, &mirror, "fetch datasets/owner/sentences");
    assert_eq!((&fetched["kind"], &fetched["commit"]), (&json!("data set"), &json!(commit)));
    let verified = json_of(dir, &mirror, "fetch --verify");
    assert_eq!((&verified["whole"], &verified["unknown"]), (&json!(8), &json!(0)));
}
