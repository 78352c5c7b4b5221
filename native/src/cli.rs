//! What can be typed. What it means is in `preset` and `command`.

mod training;
mod usage;

use clap::{Args, Parser, Subcommand};

use crate::device::Wanted;
pub use training::*;
pub use usage::*;

/// Distils a BERT named-entity tagger into a small, fast student.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, for the whole process")]
pub enum Command {
    /// Fine-tune a pretrained encoder on labelled text: this makes a teacher
    #[command(
        after_help = "Examples:\n  understudy finetune --base bert-base-cased --data lhoestq/conll2003 --out runs/teacher\n  understudy finetune --base models/bert/ --data conll2003/ --out runs/teacher"
    )]
    Finetune(FinetuneArgs),
    /// Distil a teacher into a small student
    ///
    /// Without --data the preset `text` applies, and its values replace the defaults shown here.
    #[command(
        after_help = "Examples:\n  understudy distill\n  understudy distill --teacher runs/teacher/best --data conll2003/ --preset seed --out runs/student\n  understudy distill --teacher dslim/bert-base-NER --data lhoestq/conll2003 --out runs/student"
    )]
    Distill(DistillArgs),
    /// Let a teacher label text ahead of a distillation, in parts for many machines
    #[command(
        after_help = "Example:\n  understudy label --teacher runs/teacher/best --text news.txt --cache logits/ --shard 3/16\n  understudy distill --teacher runs/teacher/best --data conll2003/ --text news.txt --cache logits/ --out runs/student"
    )]
    Label(LabelArgs),
    /// Replace a model's token table by two thin matrices (SVD)
    #[command(
        after_help = "Example:\n  understudy factorize --model bert-base-cased/ --rank 64 --data conll2003/ --out runs/bert-rank-64\n  understudy finetune --base runs/bert-rank-64 --data conll2003/ --out runs/factorised"
    )]
    Factorize(FactorizeArgs),
    /// Write a model in half precision or eight bits, with its scores and a model card
    #[command(
        after_help = "Example:\n  understudy export --model runs/student/best --dtype int8 --data conll2003/test.txt --out models/my-best"
    )]
    Export(ExportArgs),
    /// Score a model on a labelled file: word and sub-word F1, default and strict
    #[command(
        after_help = "Example:\n  understudy evaluate --model runs/student/best --data conll2003/test.txt --json"
    )]
    Evaluate(EvaluateArgs),
    /// Find the entities in text, with their exact places
    #[command(
        after_help = "Examples:\n  understudy tag \"Ada Lovelace lived in London.\"\n  understudy tag --model runs/student/best --json < texts.txt"
    )]
    Tag(TagArgs),
    /// List the models beside the page, and write the list that the page reads
    #[command(after_help = "Example:\n  understudy models")]
    Models(ModelsArgs),
    /// Fetch models and data sets from the hub ahead of time, or check what was fetched
    #[command(
        after_help = "Examples:\n  understudy fetch dslim/bert-base-NER lhoestq/conll2003\n  understudy fetch --verify dslim/bert-base-NER"
    )]
    Fetch(FetchArgs),
    /// List the graphics adapters, with memory and features, and say which one is taken
    #[command(after_help = "Example:\n  understudy devices --json")]
    Devices(CommonArgs),
    /// Measure training and forward speed against a plain matrix product
    #[command(
        after_help = "Examples:\n  understudy bench --model student --batch-size 64\n  understudy bench --on-text"
    )]
    Bench(BenchArgs),
}

/// Where to compute.
#[derive(Debug, Clone, Copy, Args)]
pub struct DeviceArgs {
    /// auto: a GPU if there is a real one, else the CPU; gpu, gpu:N as `devices` lists them, or cpu
    #[arg(long, value_name = "DEVICE", default_value = "auto", env = "UNDERSTUDY_DEVICE")]
    pub device: Wanted,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long)]
    pub quiet: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Take models and data sets of the hub from the cache alone, as with HF_HUB_OFFLINE=1
    #[arg(long)]
    pub offline: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
