//! The command line, run as a user runs it: files, output, exit codes, interruptions.

mod bad_input;
mod bad_model;
#[cfg(feature = "gpu")]
mod gpu;
mod hub;
mod hub_cache;
mod hub_data;
mod hub_faults;
mod interruption;
#[cfg(unix)]
mod kills;
#[cfg(unix)]
mod labelling;
mod mirror;
mod shipped;
mod smaller;
mod tag;
mod workflow;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The repository's tiny corpus, with a tiny teacher in `teacher/`.
pub fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny")
}

/// `understudy` with these arguments, where `{tiny}` and `{dir}` stand for folders.
pub fn command(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_understudy"));
    for argument in arguments.split_whitespace() {
        let argument = argument.replace("{tiny}", &tiny().to_string_lossy());
        command.arg(argument.replace("{dir}", &dir.to_string_lossy()));
    }
    command.stdin(Stdio::null()).env("NO_COLOR", "1").env_remove("RUST_BACKTRACE");
    // No test asks the real hub, or finds what the user has of it.
    for name in ["HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE"]
    {
        command.env_remove(name);
    }
    // The processor is the same everywhere; `gpu.rs` asks for a GPU itself.
    command.env("UNDERSTUDY_DEVICE", "cpu");
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", dir.join("huggingface"));
    command
}

/// Runs `understudy` to its end.
pub fn run(dir: &Path, arguments: &str) -> Output {
    command(dir, arguments).output().expect("the binary runs")
}

/// Runs it, expects success, and gives what it printed.
pub fn stdout(dir: &Path, arguments: &str) -> String {
    let output = run(dir, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "understudy {arguments}\n{stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The last line it printed, as JSON.
pub fn json(dir: &Path, arguments: &str) -> Value {
    let text = stdout(dir, arguments);
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

/// Writes the first sentences of the tiny corpus as a data folder, so that a run takes a second.
pub fn small_data(dir: &Path) {
    let data = dir.join("data");
    std::fs::create_dir_all(&data).expect("a folder");
    for split in ["train", "valid", "test"] {
        let text = std::fs::read_to_string(tiny().join(format!("{split}.txt"))).expect("a split");
        let blocks: Vec<&str> = text.split("\n\n").take(60).collect();
        std::fs::write(data.join(format!("{split}.txt")), blocks.join("\n\n")).expect("written");
    }
}

/// A folder with the configuration of a tiny encoder, without weights.
pub fn small_base(dir: &Path) {
    let base = dir.join("base");
    std::fs::create_dir_all(&base).expect("a folder");
    std::fs::copy(tiny().join("tokenizer.json"), base.join("tokenizer.json")).expect("copied");
    let config = r#"{"model_type": "bert", "vocab_size": 600, "hidden_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
        "max_position_embeddings": 64, "type_vocab_size": 2}"#;
    std::fs::write(base.join("config.json"), config).expect("written");
}

/// Flags of a distillation that takes seconds.
pub const SMALL_STUDENT: &str = "--hidden-size 32 --num-hidden-layers 1 --num-attention-heads 2 \
    --intermediate-size 48 --epochs 3 --batch-size 8 --learning-rate 3e-3";
