//! What can be typed. What it means is in `preset` and `command`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::labelling::Shard;

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
        after_help = "Example:\n  understudy finetune --base bert-base-cased/ --data conll2003/ --out runs/teacher"
    )]
    Finetune(FinetuneArgs),
    /// Distil a teacher into a small student
    #[command(
        after_help = "Example:\n  understudy distill --teacher runs/teacher/best --data conll2003/ --preset seed --out runs/student"
    )]
    Distill(DistillArgs),
    /// Let a teacher label text ahead of a distillation, in parts for many machines
    #[command(
        after_help = "Example:\n  understudy label --teacher runs/teacher/best --text news.txt --cache logits/ --shard 3/16\n  understudy distill --teacher runs/teacher/best --data conll2003/ --text news.txt --cache logits/ --out runs/student"
    )]
    Label(LabelArgs),
    /// Replace a model's token table by two thin matrices (SVD)
    #[command(
        after_help = "Example:\n  understudy factorize --model bert-base-cased/ --rank 64 --data conll2003/ --out models/bert-rank-64\n  understudy finetune --base models/bert-rank-64 --data conll2003/ --out runs/factorised"
    )]
    Factorize(FactorizeArgs),
    /// Write a model in half precision or eight bits, with its scores and a model card
    #[command(
        after_help = "Example:\n  understudy export --model runs/student/best --dtype int8 --data conll2003/test.txt --out models/student"
    )]
    Export(ExportArgs),
    /// Score a model on a labelled file: word and sub-word F1, default and strict
    #[command(
        after_help = "Example:\n  understudy evaluate --model runs/student/best --data conll2003/test.txt --json"
    )]
    Evaluate(EvaluateArgs),
    /// Find the entities in text, with their exact places
    #[command(
        after_help = "Examples:\n  understudy tag --model runs/student/best \"Ada Lovelace lived in London.\"\n  understudy tag --model runs/student/best --json < texts.txt"
    )]
    Tag(TagArgs),
    /// Measure training and forward speed against a plain matrix product
    #[command(after_help = "Example:\n  understudy bench --model student --batch-size 64")]
    Bench(BenchArgs),
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
}

/// Flags of `finetune`.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// Folder of the encoder: config.json, tokenizer.json, model.safetensors (BERT or DistilBERT)
    #[arg(long, value_name = "DIR")]
    pub base: PathBuf,
    /// Start from random weights: the folder then needs no model.safetensors
    #[arg(long)]
    pub from_scratch: bool,
    /// What and how
    #[command(flatten)]
    pub train: TrainArgs,
}

/// Flags of `distill`.
#[derive(Debug, Args)]
pub struct DistillArgs {
    /// Folder of the teacher: a bundle that `finetune` wrote, or any BERT tagger
    #[arg(long, value_name = "DIR")]
    pub teacher: PathBuf,
    /// Text without labels to learn from as well, one sentence a line; the teacher labels it
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// A file of flags (TOML), or the name of one that ships (seed, conll2003, best); typed flags override it
    #[arg(long, value_name = "NAME|FILE")]
    pub preset: Option<String>,
    /// Folder of stored teacher logits [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Width of the student [default: 384]
    #[arg(long)]
    pub hidden_size: Option<usize>,
    /// Layers of the student [default: 6]
    #[arg(long)]
    pub num_hidden_layers: Option<usize>,
    /// Attention heads of the student [default: 6]
    #[arg(long)]
    pub num_attention_heads: Option<usize>,
    /// Feed-forward width of the student [default: 1024]
    #[arg(long)]
    pub intermediate_size: Option<usize>,
    /// Longest input of the student, in sub-words [default: 512]
    #[arg(long)]
    pub max_position_embeddings: Option<usize>,
    /// Factorise the student's token table with this rank [default: a dense table]
    #[arg(long)]
    pub embedding_rank: Option<usize>,
    /// Dropout after the student's embeddings and sub-layers [default: 0.1]
    #[arg(long)]
    pub hidden_dropout_prob: Option<f64>,
    /// Dropout of the student's attention weights [default: 0.1]
    #[arg(long)]
    pub attention_probs_dropout_prob: Option<f64>,
    /// Standard deviation of the student's first weights [default: 0.02]
    #[arg(long)]
    pub initializer_range: Option<f64>,
    /// Softens teacher and student in the soft loss [default: 2]
    #[arg(long)]
    pub temperature: Option<f64>,
    /// Temperature at the end of the run, reached in a straight line [default: the same]
    #[arg(long)]
    pub final_temperature: Option<f64>,
    /// Share of the soft loss: alpha · soft + (1 − alpha) · hard [default: 0.5]
    #[arg(long, overrides_with = "plain_sum")]
    pub alpha: Option<f64>,
    /// Alpha at the end of the run, reached in a straight line [default: the same]
    #[arg(long)]
    pub final_alpha: Option<f64>,
    /// soft + hard, as in the reference, instead of a share of each
    #[arg(long, overrides_with = "alpha")]
    pub plain_sum: bool,
    /// Weight of matching the teacher's hidden states, through learned projections and a uniform
    /// layer map; above 0 the teacher runs along [default: 0]
    #[arg(long)]
    pub hidden_weight: Option<f64>,
    /// Unlabelled sentences for each labelled one in an epoch, taken in turn [default: all of them in
    /// every epoch]
    #[arg(long)]
    pub text_ratio: Option<f64>,
    /// What the student begins with [default: random]
    #[arg(long, value_enum)]
    pub init: Option<InitName>,
    /// What the soft loss is averaged over [default: counted]
    #[arg(long, value_enum)]
    pub soft_reduction: Option<SoftReductionName>,
    /// What and how
    #[command(flatten)]
    pub train: TrainArgs,
}

/// Flags of every training.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Folder with train, valid and test files (.txt or .conll columns, or .jsonl)
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder of the run: log, checkpoints, best bundle, report
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Continue the run in --out from its last checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Passes over the training text
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Sentences in a batch
    #[arg(long, overrides_with = "batch_subwords")]
    pub batch_size: Option<usize>,
    /// Sub-words in a batch, padding included, instead of a number of sentences
    #[arg(long, overrides_with = "batch_size")]
    pub batch_subwords: Option<usize>,
    /// Batches whose gradients make one step
    #[arg(long)]
    pub gradient_accumulation: Option<usize>,
    /// Highest learning rate
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Steps of linear warm-up [default: a tenth of all steps; in a finetune of 2000 steps or more the
    /// reference's 1000]
    #[arg(long)]
    pub warmup_steps: Option<usize>,
    /// Decay of AdamW's mean of gradients
    #[arg(long, default_value_t = 0.9)]
    pub beta1: f64,
    /// Decay of AdamW's mean of squared gradients
    #[arg(long, default_value_t = 0.999)]
    pub beta2: f64,
    /// Added to the root of AdamW's second mean
    #[arg(long, default_value_t = 1e-8)]
    pub epsilon: f64,
    /// Weight decay of AdamW
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// No decay on biases and LayerNorm (the reference decays all alike)
    #[arg(long)]
    pub no_decay_on_bias_and_norm: bool,
    /// Largest norm of all gradients together; 0 = no clipping
    #[arg(long)]
    pub max_gradient_norm: Option<f64>,
    /// Steps between two evaluations [default: one epoch]
    #[arg(long)]
    pub evaluate_every: Option<usize>,
    /// Evaluations without a better F1 after which the run ends
    #[arg(long)]
    pub patience: Option<usize>,
    /// Longest window in sub-words
    #[arg(long)]
    pub max_length: Option<usize>,
    /// Copies of each training sentence with its entities replaced by others of their type [default: 0]
    #[arg(long)]
    pub mention_copies: Option<usize>,
    /// Share of the input's sub-words that the model in training does not see [default: 0]
    #[arg(long)]
    pub token_dropout: Option<f64>,
    /// Label of a word's later sub-words
    #[arg(long, value_enum)]
    pub continuation: Option<ContinuationName>,
    /// Minutes between two checkpoints
    #[arg(long, default_value_t = 5.0)]
    pub checkpoint_minutes: f64,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What a student begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InitName {
    /// Random weights
    Random,
    /// The teacher's token, position and type tables in the student's width (SVD); random layers
    Embeddings,
    /// The teacher's tables, layers and classifier, evenly spread from first to last, with the
    /// feed-forward layers cut to the student's; width and heads must be the teacher's
    Layers,
}

/// What the soft loss is averaged over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SoftReductionName {
    /// Sum over positions, mean over sentences: PyTorch's KLDivLoss(reduction="batchmean")
    Batchmean,
    /// Mean over counted sub-words
    Counted,
}

/// What the second and later sub-words of a word are labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContinuationName {
    /// I-X inside an entity
    Inside,
    /// Not at all
    Ignore,
}

/// Flags of `label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Folder of the teacher
    #[arg(long, value_name = "DIR")]
    pub teacher: PathBuf,
    /// Label the train file of this folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Label this text, one sentence a line
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Folder of the logits [default: understudy in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Which part to label: 3/16 is the third of sixteen
    #[arg(long, value_name = "NUMBER/COUNT", default_value = "1/1")]
    pub shard: Shard,
    /// Copies of each training sentence with its entities replaced, as the distillation's
    #[arg(long)]
    pub mention_copies: Option<usize>,
    /// Longest window in sub-words; the distillation's must be the same
    #[arg(long)]
    pub max_length: Option<usize>,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `factorize`.
#[derive(Debug, Args)]
pub struct FactorizeArgs {
    /// Folder of the model: an encoder or a tagger with a dense token table
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Columns of the first factor, rows of the second
    #[arg(long, default_value_t = 64)]
    pub rank: usize,
    /// Weigh each token by how often it stands in the train file of this folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Weigh each token by how often it stands in this text, one sentence a line
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Random factors instead of the best ones, to see what the decomposition is worth
    #[arg(long, conflicts_with_all = ["data", "text"])]
    pub random: bool,
    /// Folder of the factorised model
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Type of the weights
    #[arg(long, value_enum, default_value = "f16")]
    pub dtype: DtypeName,
    /// Multiply a factorised token table out, so that `transformers` opens the folder
    #[arg(long)]
    pub dense: bool,
    /// Labelled file to score the model on before and after
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// One line for the model card: what text the model learned from, and its licence
    #[arg(long, value_name = "TEXT")]
    pub trained_on: Option<String>,
    /// Folder of the exported model
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Types of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeName {
    /// Full precision: four bytes a weight
    F32,
    /// Half precision: two bytes
    F16,
    /// Eight bits and a scale a row for matrices: one byte
    Int8,
}

/// How labels are decided.
#[derive(Debug, Clone, Copy, Args)]
pub struct DecodingArgs {
    /// How sub-words make words, as Hugging Face's aggregation_strategy
    #[arg(long, value_enum, default_value = "first")]
    pub aggregation: AggregationName,
    /// Only legal label sequences (BIO), the likeliest one by Viterbi
    #[arg(long)]
    pub constrained: bool,
}

/// How sub-words make words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AggregationName {
    /// Each sub-word stands for itself
    None,
    /// Neighbouring sub-words of one type are an entity
    Simple,
    /// A word is what its first sub-word is
    First,
    /// A word is what its sub-words are on average
    Average,
    /// A word is what its surest sub-word is
    Max,
}

/// Flags of `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Labelled file: columns as CoNLL's, or .jsonl
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Write `token gold predicted` lines that conlleval reads
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// How labels are decided
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Longest window in sub-words
    #[arg(long, default_value_t = 128)]
    pub max_length: usize,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `tag`.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The text [default: stdin, one text a line]
    pub text: Option<String>,
    /// Read texts from a file, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// How labels are decided
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Leave out entities with a lower score, 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub threshold: f32,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Only this shape [default: both]
    #[arg(long, value_enum)]
    pub model: Option<BenchModel>,
    /// This batch size alone [default: 16, 64 and 128]
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// Sub-words in a sentence
    #[arg(long, default_value_t = 24)]
    pub seq_len: usize,
    /// Timed steps of each row; the median is reported
    #[arg(long, default_value_t = 7)]
    pub steps: usize,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Shapes that `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchModel {
    /// 384 × 6, feed-forward 1024
    Student,
    /// 768 × 6, feed-forward 3072
    Teacher,
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
