//! Rules of the repository that no compiler checks: what each part may name, and how a file opens.
//!
//! A rule reads source text line by line. Unit tests, from `#[cfg(test)]` on, are exempt where a
//! rule says so; comments never count, except for machine paths.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Modules of `shared` in reading order: each uses only those before it.
const ORDER: [&str; 9] =
    ["data", "metric", "host", "model", "checkpoint", "compress", "loss", "infer", "train"];

const SOURCES: [&str; 4] = ["shared", "native", "web", "tests"];

struct Source {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Lines of code, without comments, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(idx, line)| (idx + 1, line));
        lines.map(|(number, line)| (number, without_comment(line)))
    }

    /// Lines of code before the unit tests.
    fn code_outside_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().take_while(|(_, line)| !line.contains("#[cfg(test)]"))
    }

    /// The module of `shared` it belongs to.
    fn module(&self) -> Option<&str> {
        let path = self.path.strip_prefix("shared/src/")?;
        let name = path.split('/').next()?;
        Some(name.strip_suffix(".rs").unwrap_or(name))
    }
}

fn without_comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") {
        return "";
    }
    line.split(" // ").next().unwrap_or(line)
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package is in the repository").to_owned()
}

/// What git says of this repository, whoever the clone belongs to.
fn git(arguments: &[&str]) -> std::io::Result<Output> {
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*"]).args(arguments).current_dir(root()).output()
}

/// All files below a folder of the repository that git has or would add.
fn files(folder: &str) -> Vec<PathBuf> {
    let all = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder];
    let listed = git(&all);
    let listed = listed.expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names in UTF-8");
    let paths = names.split_terminator('\0').map(|name| root().join(name));
    // What was deleted is listed until it is committed.
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    files.dedup();
    assert!(!files.is_empty(), "no file in {folder}");
    files
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("a file of the repository");
    path.to_string_lossy().replace('\\', "/")
}

fn rust_files(folders: &[&str]) -> Vec<Source> {
    let paths = folders.iter().flat_map(|folder| files(folder));
    let rust = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<Source> = rust
        .map(|path| Source {
            text: fs::read_to_string(&path).expect("sources are UTF-8"),
            path: relative(&path),
        })
        .collect();
    assert!(!sources.is_empty(), "no sources in {folders:?}");
    sources
}

/// Fails with all of `breaches`, each `path:line: what`.
fn check(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}\n{}", breaches.join("\n"));
}

/// Whether `word` stands in `line` with no letter, digit or `_` around it.
fn names(line: &str, word: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_part) && !line[start + word.len()..].starts_with(is_part)
    })
}

/// The breaches of lines that contain one of `parts`.
fn lines_with<'a>(
    path: &str,
    lines: impl Iterator<Item = (usize, &'a str)>,
    parts: &[&str],
) -> Vec<String> {
    let breach = |(number, line): (usize, &str)| {
        let part = parts.iter().find(|part| line.contains(*part))?;
        Some(format!("{path}:{number}: `{part}`"))
    };
    lines.filter_map(breach).collect()
}

#[test]
fn every_file_opens_with_what_it_holds() {
    let sources = rust_files(&SOURCES);
    let breaches: Vec<String> = sources
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}:1", source.path))
        .collect();
    check("a Rust file opens with `//! `", &breaches);
}

#[test]
fn no_file_is_too_long() {
    let sources = rust_files(&SOURCES);
    let len = |source: &Source| (source.text.lines().count(), source.path.clone());
    let long = sources.iter().map(len).filter(|(len, _)| *len > 600);
    let breaches: Vec<String> = long.map(|(len, path)| format!("{path}: {len} lines")).collect();
    check("a Rust file has 600 lines at most", &breaches);
}

#[test]
fn shared_knows_nobody_who_uses_it() {
    let mut breaches = Vec::new();
    for source in rust_files(&["shared"]) {
        for (number, line) in source.code() {
            let named =
                ["native", "understudy_native", "web"].into_iter().find(|name| names(line, name));
            breaches.extend(named.map(|name| format!("{}:{number}: `{name}`", source.path)));
        }
    }
    let manifest = fs::read_to_string(root().join("shared/Cargo.toml")).expect("a manifest");
    breaches.extend(lines_with("shared/Cargo.toml", (1..).zip(manifest.lines()), &["../"]));
    check("arrows point to `shared`, never from it", &breaches);
}

#[test]
fn the_page_and_the_command_line_never_meet() {
    let mut breaches = Vec::new();
    for (folder, other) in [("web", "native"), ("native", "web")] {
        let manifest = format!("{folder}/Cargo.toml");
        let text = fs::read_to_string(root().join(&manifest)).expect("a manifest");
        let dependencies =
            text.lines().enumerate().skip_while(|(_, line)| !line.starts_with("[dependencies]"));
        let is_other = |line: &str| line.split([' ', '.', '=']).next() == Some(other);
        breaches.extend(
            dependencies
                .filter(|(_, line)| is_other(line))
                .map(|(index, _)| format!("{manifest}:{}: `{other}`", index + 1)),
        );
    }
    check("`web` and `native` use `shared`, and never each other", &breaches);
}

#[test]
fn the_page_computes_nothing() {
    let tensors = ["burn", "understudy_shared", "tokenizers"];
    let mut breaches = Vec::new();
    for source in rust_files(&["web/src"]) {
        if source.path.starts_with("web/src/worker/") {
            continue;
        }
        for (number, line) in source.code() {
            let named = tensors.into_iter().find(|name| names(line, name));
            breaches.extend(named.map(|name| format!("{}:{number}: `{name}`", source.path)));
        }
    }
    check("only `web/src/worker` knows tensors, models and tokenizers", &breaches);
}

#[test]
fn the_worker_touches_no_document() {
    let page = ["web_sys::window", "Document", "Element", "HtmlElement"];
    let mut breaches = Vec::new();
    for source in rust_files(&["web/src/worker"]) {
        for (number, line) in source.code() {
            let named = page.into_iter().find(|name| names(line, name));
            breaches.extend(named.map(|name| format!("{}:{number}: `{name}`", source.path)));
        }
    }
    check("`web/src/worker` knows no document", &breaches);
}

#[test]
fn the_page_makes_no_html_of_text() {
    let parsers = ["set_inner_html", "set_outer_html", "insert_adjacent_html", "innerHTML"];
    let mut breaches = Vec::new();
    for path in files("web") {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let lines = (1..).zip(text.lines().map(without_comment));
        breaches.extend(lines_with(&relative(&path), lines, &parsers));
    }
    check("text reaches the document as text nodes only", &breaches);
}

#[test]
fn only_position_makes_utf_16() {
    let ways = ["len_utf16", "encode_utf16", "from_utf16"];
    let mut breaches = Vec::new();
    for source in rust_files(&["shared/src", "native/src", "web/src"]) {
        if source.path != "web/src/position.rs" {
            breaches.extend(lines_with(&source.path, source.code(), &ways));
        }
    }
    check("only `web/src/position.rs` turns bytes into UTF-16 units", &breaches);
}

/// The modules of `shared` that a line of code names.
fn named_modules(line: &str) -> Vec<&str> {
    let mut modules = Vec::new();
    for (start, path) in line.match_indices("crate::") {
        let rest = &line[start + path.len()..];
        let list = rest.strip_prefix('{').and_then(|list| list.split('}').next());
        for item in
            list.unwrap_or(rest).split(',').take(if list.is_some() { usize::MAX } else { 1 })
        {
            let is_end = |char: char| !char.is_alphanumeric() && char != '_';
            modules.extend(item.trim().split(is_end).next());
        }
    }
    modules
}

#[test]
fn modules_of_shared_use_only_those_before_them() {
    assert_eq!(
        named_modules("use crate::{data::span, loss}; crate::train::fit"),
        ["data", "loss", "train"]
    );
    let place = |name: &str| ORDER.iter().position(|module| *module == name);
    let mut breaches = Vec::new();
    for source in rust_files(&["shared/src"]) {
        let Some(module) = source.module().filter(|module| *module != "lib") else { continue };
        let Some(own) = place(module) else {
            breaches.push(format!("{}: `{module}` has no place in {ORDER:?}", source.path));
            continue;
        };
        for (number, line) in source.code() {
            let later = |name: &&str| place(name).is_none_or(|place| place > own);
            let named = named_modules(line).into_iter().find(later);
            breaches.extend(named.map(|name| format!("{}:{number}: `{name}`", source.path)));
        }
        // Out of a module by `super` would hide an arrow; a unit test's own `super` is one deeper.
        let depth = source.path.matches('/').count() - "shared/src/".matches('/').count();
        let way_out = "super::".repeat(depth + usize::from(!source.path.ends_with("/mod.rs")));
        breaches.extend(lines_with(&source.path, source.code_outside_tests(), &[&way_out]));
    }
    check("a module of `shared` uses only modules to its left, as `crate::…`", &breaches);
}

#[test]
fn only_the_key_map_knows_hugging_face_s_names() {
    let theirs = [
        "attention.self",
        "attention.output.dense",
        "intermediate.dense",
        "encoder.layer",
        "transformer.layer",
        "bert.",
        "LayerNorm.",
        "_lin\"",
        "q_lin",
        "k_lin",
        "v_lin",
        "out_lin",
        "ffn.lin",
        "sa_layer_norm",
        "output_layer_norm",
    ];
    let mut breaches = Vec::new();
    for source in rust_files(&["shared/src", "native/src"]) {
        if source.path != "shared/src/checkpoint/key_map.rs" {
            breaches.extend(lines_with(&source.path, source.code_outside_tests(), &theirs));
        }
    }
    check("only `checkpoint/key_map.rs` has Hugging Face's parameter names", &breaches);
}

#[test]
fn only_the_device_file_and_the_cpus_kernels_name_a_backend() {
    let backends =
        ["Device::flex", "Device::wgpu", "Device::ndarray", "Device::cuda", "burn::backend"];
    let mut breaches = Vec::new();
    let devices = ["native/src/device.rs", "native/src/device/gpu.rs", "web/src/worker/device.rs"];
    for source in rust_files(&["shared/src", "native/src", "web/src"]) {
        // `host` works on the memory of Burn's CPU backend, and can do so for no other.
        if !devices.contains(&source.path.as_str()) && source.module() != Some("host") {
            breaches.extend(lines_with(&source.path, source.code_outside_tests(), &backends));
        }
    }
    check("only the files of devices and `shared/src/host` name a backend", &breaches);
}

#[test]
fn shared_does_no_io() {
    let io = [
        "std::fs",
        "std::env",
        "std::time",
        "std::thread",
        "std::net",
        "std::process",
        "std::io",
        "println!",
        "print!",
        "eprintln!",
        "dbg!",
    ];
    let mut breaches = Vec::new();
    for source in rust_files(&["shared"]) {
        breaches.extend(lines_with(&source.path, source.code(), &io));
    }
    check("`shared` reads no file, clock, environment or thread, and prints nothing", &breaches);
}

#[test]
fn shared_never_blocks_on_the_device() {
    let blocking = [".into_data()", ".to_data()", ".into_scalar", ".execute()", "block_on"];
    let mut breaches = Vec::new();
    for source in rust_files(&["shared/src"]) {
        // The optimiser takes tensors out only where they are host memory, which it is told.
        if source.path != "shared/src/train/adamw.rs" {
            breaches.extend(lines_with(&source.path, source.code_outside_tests(), &blocking));
        }
    }
    check("every read of a tensor in `shared` is async", &breaches);
}

#[test]
fn no_file_names_a_place_on_a_machine() {
    let places = ["work", "root", "home", "Users"].map(|folder| format!("/{folder}/"));
    let is_start = |before: &str| {
        !before.ends_with(|char: char| char.is_alphanumeric() || "._-".contains(char))
    };
    let mut breaches = Vec::new();
    for path in files(".") {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            for place in &places {
                if line.match_indices(place.as_str()).any(|(start, _)| is_start(&line[..start])) {
                    breaches.push(format!("{}:{number}: `{place}`", relative(&path)));
                }
            }
        }
    }
    check("no file names an absolute path of a machine", &breaches);
}

/// `understudy` writes what lies in `models/` into the list, and what is somebody's own is not committed.
#[test]
fn the_committed_list_names_committed_models() {
    let list = git(&["show", ":models/manifest.json"]).expect("git runs").stdout;
    let list: serde_json::Value = serde_json::from_slice(&list).expect("JSON");
    let committed = git(&["ls-files", "--", "models"]).expect("git runs").stdout;
    let committed = String::from_utf8(committed).expect("UTF-8");
    let mut missing = vec![];
    for model in list["models"].as_array().expect("a list") {
        for file in model["files"].as_array().expect("a list") {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let path = format!("models/{}/{}", text(&model["folder"]), text(&file["name"]));
            if !committed.lines().any(|line| line == path) {
                missing.push(format!("models/manifest.json: {path}"));
            }
        }
    }
    check("the list of models names only what is committed", &missing);
}
