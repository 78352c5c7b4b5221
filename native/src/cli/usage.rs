//! What can be typed where a model is used: `evaluate`, `tag`, `export`, `factorize`, `fetch`, `bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CommonArgs, DeviceArgs};
use crate::dataset::Split;
use crate::device::Wanted;

/// Flags of `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Folder of the model, or its id on the hub [default: the student that ships, models/student]
    #[arg(long, value_name = "DIR|ID")]
    pub model: Option<PathBuf>,
    /// Names of the model's labels, one a line in the order of their ids, where its config.json has
    /// LABEL_0 and the like or other names
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Labelled file (columns as CoNLL's, .jsonl or .parquet), or a folder or a data set of the hub
    #[arg(long, value_name = "FILE|DIR|ID")]
    pub data: PathBuf,
    /// Which split of a folder or of a data set of the hub [default: test]
    #[arg(long, value_enum)]
    pub split: Option<Split>,
    /// Write `token gold predicted` lines that conlleval reads
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// How labels are decided
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Longest window in sub-words [default: 128, or what the model can read if that is less]
    #[arg(long)]
    pub max_length: Option<usize>,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `tag`.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// Folder of the model, or its id on the hub [default: the student that ships, models/student]
    #[arg(long, value_name = "DIR|ID")]
    pub model: Option<PathBuf>,
    /// Names of the model's labels, one a line in the order of their ids, where its config.json has
    /// LABEL_0 and the like or other names
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
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
    /// cpu; auto, gpu or gpu:N for many texts
    #[arg(long, value_name = "DEVICE", default_value = "cpu", env = "UNDERSTUDY_DEVICE")]
    pub device: Wanted,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
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

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of the model, or its id on the hub
    #[arg(long, value_name = "DIR|ID")]
    pub model: PathBuf,
    /// Names of the model's labels, one a line in the order of their ids, where its config.json has
    /// LABEL_0 and the like or other names
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Type of the weights
    #[arg(long, value_enum, default_value = "f16")]
    pub dtype: DtypeName,
    /// Multiply a factorised token table out, so that `transformers` opens the folder
    #[arg(long)]
    pub dense: bool,
    /// Labelled file to score the model on before and after, or a folder or a data set of the hub, of
    /// which the test split is taken
    #[arg(long, value_name = "FILE|DIR|ID")]
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

/// Flags of `factorize`.
#[derive(Debug, Args)]
pub struct FactorizeArgs {
    /// Folder of the model, an encoder or a tagger with a dense token table, or its id on the hub
    #[arg(long, value_name = "DIR|ID")]
    pub model: PathBuf,
    /// Names of the model's labels, one a line in the order of their ids, where its config.json has
    /// LABEL_0 and the like or other names
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Columns of the first factor, rows of the second
    #[arg(long, default_value_t = 64)]
    pub rank: usize,
    /// Weigh each token by how often it stands in the train file of this folder, or of this data set of
    /// the hub
    #[arg(long, value_name = "DIR|ID")]
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

/// Flags of `models`.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// Folder with the bundles [default: models, in this folder or above it]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Ids of models and data sets: owner/name, owner/name@revision, or datasets/owner/name where a
    /// model has the same name
    #[arg(value_name = "ID", required_unless_present = "verify")]
    pub ids: Vec<String>,
    /// Fetch nothing; check every file in the cache against the hash the hub named it after: of these
    /// ids, or without an id of all
    #[arg(long)]
    pub verify: bool,
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
    /// This batch size alone [default: 16, 64 and 128; with --on-text 32]
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// Sub-words in a sentence
    #[arg(long, default_value_t = 24)]
    pub seq_len: usize,
    /// Timed steps of each row, of which the median is reported; with --on-text 64 sentences each
    #[arg(long, default_value_t = 7)]
    pub steps: usize,
    /// Labelling, distilling and evaluating on the text in the program, with the models that ship
    #[arg(long, conflicts_with = "seq_len")]
    pub on_text: bool,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
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
