//! The commands: each reads what was typed, calls `understudy_shared`, and prints.

mod bench;
mod devices;
mod distill;
mod evaluate;
mod export;
mod factorize;
mod fetch;
mod finetune;
mod label;
mod models;
mod tag;

use std::io::{self, Write};

use anyhow::Result;
use serde_json::{Value, json};
use understudy_shared::metric::entity_f1::EntityF1;
use understudy_shared::train::evaluate::SplitScores;

use crate::cli::{Cli, Command};

/// Runs a command.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Finetune(args) => finetune::run(&args),
        Command::Distill(args) => distill::run(&args),
        Command::Label(args) => label::run(&args),
        Command::Factorize(args) => factorize::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Tag(args) => tag::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}

/// Whether the reader of our output went away, as `| head` does: no error of ours.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a line on stdout.
pub fn print(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// The four scores as JSON: `word.default.f1`, `word.strict.f1`, `subword.default.f1`,
/// `subword.strict.f1`, each with precision, recall, support, macro average and types beside it.
pub fn scores_json(scores: &SplitScores) -> Value {
    let mode = |scores: &EntityF1| {
        let mut object = json!(scores.micro);
        object["macro_average"] = json!(scores.macro_average);
        object["per_type"] = json!(scores.per_type);
        object
    };
    json!({
        "sentences": scores.sentences,
        "words": scores.words,
        "word": { "default": mode(&scores.word_default), "strict": mode(&scores.word_strict) },
        "subword":
            { "default": mode(&scores.subword_default), "strict": mode(&scores.subword_strict) },
    })
}

/// The four scores and the types as a table.
pub fn scores_table(scores: &SplitScores) -> String {
    let mut text =
        format!("{:<20}{:>10}{:>10}{:>10}{:>10}\n", "", "precision", "recall", "F1", "support");
    let mut row = |name: &str, scores: &understudy_shared::metric::entity_f1::Scores| {
        text += &format!(
            "{name:<20}{:>10.4}{:>10.4}{:>10.4}{:>10}\n",
            scores.precision, scores.recall, scores.f1, scores.support
        );
    };
    row("word, default", &scores.word_default.micro);
    row("word, strict", &scores.word_strict.micro);
    row("sub-word, default", &scores.subword_default.micro);
    row("sub-word, strict", &scores.subword_strict.micro);
    row("word, macro average", &scores.word_default.macro_average);
    for (entity_type, scores) in &scores.word_default.per_type {
        row(&format!("  {entity_type}"), scores);
    }
    text.trim_end().to_owned()
}
