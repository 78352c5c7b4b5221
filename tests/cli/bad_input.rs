//! What goes wrong: each ends with a message that says what, where and what was expected, with exit
//! code 2, and writes nothing.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use super::{SMALL_STUDENT, command, run, small_data};

/// Runs a command that must fail with exactly one line on stderr that holds `expected`.
pub fn check(dir: &Path, arguments: &str, expected: &str) {
    let output = run(dir, &format!("{arguments} --quiet"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "understudy {arguments}\n{message}");
    assert!(message.starts_with("error: "), "{message}");
    assert!(message.contains(expected), "expected {expected:?} in {message}");
    assert!(!message.contains("panicked"), "{message}");
    assert!(output.stdout.is_empty());
    assert!(!dir.join("out").exists(), "understudy {arguments} left a folder");
}

fn evaluate(data: &[u8], expected: &str) {
    let dir = tempdir().expect("a folder");
    fs::write(dir.path().join("data.txt"), data).expect("written");
    check(dir.path(), "evaluate --model {tiny}/teacher --data {dir}/data.txt", expected);
}

#[test]
fn missing_data_file() {
    let dir = tempdir().expect("a folder");
    let arguments = "evaluate --model {tiny}/teacher --data {dir}/none.txt";
    check(dir.path(), arguments, "none.txt: expected a readable file");
}

#[test]
fn missing_model_folder() {
    let dir = tempdir().expect("a folder");
    let arguments = "evaluate --model {dir}/none --data {tiny}/test.txt";
    check(dir.path(), arguments, "none: no such folder; expected a folder with config.json");
}

#[test]
fn missing_data_folder_and_split() {
    let dir = tempdir().expect("a folder");
    let arguments = "distill --teacher {tiny}/teacher --data {dir}/none --out {dir}/out";
    check(dir.path(), arguments, "none: no such folder; expected a folder with train");
    fs::create_dir(dir.path().join("none")).expect("a folder");
    check(dir.path(), arguments, "no train file; expected train.txt, .conll or .jsonl");
}

#[test]
fn empty_data() {
    evaluate(b"", "data.txt: no sentence");
}

#[test]
fn binary_data() {
    evaluate(b"Ada B-PER\n\0\0\0 O\n", "line 2");
}

#[test]
fn data_that_is_not_utf8() {
    evaluate(b"Ada B-PER\nl\xefves O\n", "line 2, byte 11: not valid UTF-8");
}

#[test]
fn ragged_lines() {
    evaluate(b"Ada _ _ B-PER\nlives O\n", "line 2: expected 4 columns");
}

#[test]
fn truncated_line() {
    evaluate(b"Ada B-PER\nliv", "line 2: expected 2 columns as on line 1, found 1");
}

#[test]
fn a_single_column() {
    evaluate(b"Ada\nlives\n", "line 1: expected at least 2 columns (token, …, tag), found 1");
}

#[test]
fn unknown_tag_form() {
    evaluate(b"Ada PERSON\n", "line 1: unknown tag \"PERSON\": expected `O`, `B-TYPE` or `I-TYPE`");
}

#[test]
fn a_tag_the_model_does_not_know() {
    evaluate(b"Ada B-ANIMAL\n", "tag `B-ANIMAL` is not in the label set; expected one of O, B-PER");
}

#[test]
fn a_label_set_that_differs_from_the_teachers() {
    let dir = tempdir().expect("a folder");
    small_data(dir.path());
    fs::write(dir.path().join("data/valid.txt"), "Rex B-ANIMAL\n").expect("written");
    let arguments = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --out {{dir}}/out {SMALL_STUDENT}"
    );
    check(
        dir.path(),
        &arguments,
        "valid.txt: sentence 1, word 1: tag `B-ANIMAL` is not in the label set; expected one of O, B-PER",
    );
}

/// Distils with this unlabelled text.
fn unlabelled(text: Option<&[u8]>, expected: &str) {
    let dir = tempdir().expect("a folder");
    small_data(dir.path());
    if let Some(text) = text {
        fs::write(dir.path().join("text.txt"), text).expect("written");
    }
    let arguments = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --text {{dir}}/text.txt \
         --cache {{dir}}/cache --out {{dir}}/out {SMALL_STUDENT}"
    );
    check(dir.path(), &arguments, expected);
    assert!(!dir.path().join("cache").exists());
}

#[test]
fn unlabelled_text_that_cannot_be_read() {
    unlabelled(None, "text.txt: expected a readable file");
    unlabelled(Some(b" \n\n"), "text.txt: no sentence");
    unlabelled(Some(b"one\ntw\0o\n"), "text.txt: line 2");
    unlabelled(Some(b"one\ntw\xffo\n"), "text.txt: line 2, byte 6: not valid UTF-8");
}

#[test]
fn json_lines_that_are_no_sentences() {
    let dir = tempdir().expect("a folder");
    for (text, expected) in [
        ("{\"tokens\": [\"Ada\"]}\n", "data.jsonl: line 1"),
        ("{\"tokens\": [\"Ada\"], \"tags\": []}\n", "data.jsonl: line 1"),
        ("{\"tokens\": [\"Ada\"], \"tags\": [\"O\"]}\noops\n", "data.jsonl: line 2"),
    ] {
        fs::write(dir.path().join("data.jsonl"), text).expect("written");
        check(dir.path(), "evaluate --model {tiny}/teacher --data {dir}/data.jsonl", expected);
    }
}

#[test]
fn an_output_folder_that_is_there_already() {
    let dir = tempdir().expect("a folder");
    fs::create_dir(dir.path().join("mine")).expect("a folder");
    fs::write(dir.path().join("mine/notes.txt"), "keep").expect("written");
    for command in ["export", "factorize --rank 4"] {
        let arguments = format!("{command} --model {{tiny}}/teacher --out {{dir}}/mine");
        check(dir.path(), &arguments, "mine is there already; expected a new or empty folder");
    }
}

#[test]
fn factorising_what_cannot_be() {
    let dir = tempdir().expect("a folder");
    let factorize = "factorize --model {tiny}/teacher --out {dir}/out --rank";
    check(dir.path(), &format!("{factorize} 0"), "rank 0: expected 1 to");
    check(dir.path(), &format!("{factorize} 600"), "rank 600: expected 1 to");
    super::stdout(dir.path(), "factorize --model {tiny}/teacher --out {dir}/thin --rank 4 --quiet");
    let twice = "factorize --model {dir}/thin --out {dir}/out --rank 2";
    check(dir.path(), twice, "the token table is factorised already, with rank 4");
    let dense = "export --model {tiny}/teacher --dense --out {dir}/out";
    check(dir.path(), dense, "the token table is dense");
}

#[test]
fn settings_out_of_range() {
    let dir = tempdir().expect("a folder");
    let cases = [
        ("--epochs 0", "--epochs 0: expected 1 or more"),
        ("--learning-rate -1", "unexpected argument"),
        ("--learning-rate=-1", "--learning-rate -1: expected a number above 0"),
        ("--alpha 2", "--alpha 2: expected a number from 0 to 1"),
        ("--temperature 0", "--temperature 0: expected a number above 0"),
        ("--num-attention-heads 7", "`num_attention_heads` is 7; expected a divisor"),
        ("--max-length 4000", "--max-length 4000: expected 3 to"),
        ("--checkpoint-minutes inf", "--checkpoint-minutes inf: expected 0 to"),
        ("--beta2 1", "--beta2 1: expected 0 up to but not including 1"),
        ("--beta2 0.99999999", "--beta2 0.99999999: expected 0 up to but not including 1"),
        ("--epsilon 0", "--epsilon 0: expected a number above 0"),
        ("--final-alpha 3", "--final-alpha 3: expected a number from 0 to 1"),
        ("--final-alpha 0.5 --plain-sum", "--final-alpha with --plain-sum: expected one of them"),
        ("--final-temperature 0", "--final-temperature 0: expected a number above 0"),
        ("--hidden-weight=-1", "--hidden-weight -1: expected 0 to 10000"),
        ("--text-ratio 2", "--text-ratio without text: expected --text FILE too"),
        ("--embedding-rank 384", "`embedding_rank` is 384; expected a rank below hidden_size"),
        (
            "--init embeddings --hidden-size 96 --num-attention-heads 2",
            "the student is 96 wide, its",
        ),
        (
            "--init layers",
            "the student's num_hidden_layers is 6, its teacher's 2; expected as many",
        ),
        ("--init layers --hidden-size 32", "the student's hidden_size is 32, its teacher's 64"),
        ("--token-dropout 1", "--token-dropout 1: expected 0 up to but not including 1"),
        ("--mention-copies 1001", "--mention-copies 1001: expected 0 to 1000"),
        ("--preset none", "--preset none: expected seed, conll2003, best, text or a file of flags"),
    ];
    for (flags, expected) in cases {
        let arguments =
            format!("distill --teacher {{tiny}}/teacher --data {{tiny}} --out {{dir}}/out {flags}");
        check(dir.path(), &arguments, expected);
    }
}

#[test]
fn a_split_of_a_file() {
    let dir = tempdir().expect("a folder");
    let arguments = "evaluate --model {tiny}/teacher --data {tiny}/test.txt --split valid";
    check(dir.path(), arguments, "expected the folder it lies in, or no --split");
    let arguments = "evaluate --model {tiny}/teacher --data {tiny} --max-length 4000";
    check(dir.path(), arguments, "--max-length 4000: expected 3 to");
}

/// What a teacher labels is kept or is an error with its cause, before more is computed.
#[test]
fn logits_that_cannot_be_kept() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    fs::write(dir.join("file"), "").expect("written");
    let label = "label --teacher {tiny}/teacher --cache {dir}/file/cache --quiet --";
    let expected = "expected a --cache folder that can be written: cannot create";
    check(dir, &format!("{label}text {{tiny}}/unlabelled.txt"), expected);
    check(dir, &format!("{label}data {{dir}}/data"), expected);
    let student = small_run().replace("--cache {dir}/cache", "--cache {dir}/file/cache");
    check(dir, &format!("{student} --text {{tiny}}/unlabelled.txt"), expected);
    assert!(!dir.join("run").exists());
    // Labelled text is learned from in memory.
    assert!(run(dir, &student).status.success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_no_text_and_a_report_that_is_none() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xe9");
    let mut command = command(dir, &small_run().replace("--out {dir}/run", "--json"));
    let output = command.arg("--out").arg(dir.join(odd)).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let best = dir.join(odd).join("best");
    fs::rename(best, dir.join("best")).expect("renamed");
    fs::write(dir.join("best/report.json"), "[]").expect("written");
    let output = run(dir, "export --model {dir}/best --out {dir}/small");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The file that stdout was sent to is written into, not replaced, and what is printed comes behind.
#[cfg(target_os = "linux")]
#[test]
fn predictions_on_stdout() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    let evaluate = "evaluate --model {tiny}/teacher --data {tiny}/test.txt --quiet --predictions";
    super::stdout(dir, &format!("{evaluate} {{dir}}/alone.conll"));
    let predictions = fs::read_to_string(dir.join("alone.conll")).expect("written");
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let file = fs::File::create(dir.join("all.txt")).expect("a file");
        let mut command = command(dir, &format!("{evaluate} {name}"));
        let output = command.stdout(file).output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let all = fs::read_to_string(dir.join("all.txt")).expect("still there");
        let printed = all.strip_prefix(&predictions).expect("the predictions come first");
        assert!(printed.contains("word, default") && printed.contains("sub-words/s"), "{printed}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let dir = tempdir().expect("a folder");
    let arguments =
        "evaluate --model {tiny}/teacher --data {tiny}/test.txt --predictions /dev/full";
    check(dir.path(), arguments, "cannot write /dev/full: the disk is full");
}

/// A distillation of [`small_data`] into the folder `run`.
fn small_run() -> String {
    format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --cache {{dir}}/cache --quiet \
         --out {{dir}}/run {SMALL_STUDENT}"
    )
}

/// The largest file a run may write is smaller than its checkpoint.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_at_the_next_checkpoint() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let arguments = small_run();
    let started = format!("{arguments} --checkpoint-minutes 0");
    super::interruption::interrupt_in(dir, "run", &started, "-KILL", 2);
    let checkpoint = dir.join("run/checkpoint.safetensors");
    let before = fs::read(&checkpoint).expect("a checkpoint");
    let mut command = command(dir, &format!("{arguments} --resume"));
    let program = command.get_program().to_owned();
    let rest: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    command = std::process::Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]).arg(program).args(rest);
    let output = command.output().expect("sh runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("the disk is full"), "{message}");
    assert!(fs::read(&checkpoint).expect("still there") == before);
    super::stdout(dir, &format!("{arguments} --resume"));
}

#[test]
fn a_damaged_checkpoint() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let arguments = small_run();
    super::stdout(dir, &arguments);
    let path = dir.join("run/checkpoint.safetensors");
    let bytes = fs::read(&path).expect("a checkpoint");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    check(dir, &format!("{arguments} --resume"), "expected a whole safetensors file");
}

#[test]
fn an_output_folder_with_the_users_files() {
    let dir = tempdir().expect("a folder");
    fs::create_dir(dir.path().join("mine")).expect("a folder");
    fs::write(dir.path().join("mine/notes.txt"), "keep").expect("written");
    let arguments = format!(
        "distill --teacher {{tiny}}/teacher --data {{tiny}} --cache {{dir}}/cache \
         --out {{dir}}/mine {SMALL_STUDENT}"
    );
    check(dir.path(), &arguments, "mine is not empty (it holds notes.txt)");
    assert_eq!(fs::read_dir(dir.path().join("mine")).expect("a folder").count(), 1);
    assert!(!dir.path().join("cache").exists(), "it labelled text for a run that could not be");
}
