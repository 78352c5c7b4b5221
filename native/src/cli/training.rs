//! What can be typed where something is trained: `finetune`, `distill` and `label`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::{CommonArgs, DeviceArgs};
use crate::labelling::Shard;

/// Flags of `finetune`.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// Encoder, BERT or DistilBERT: a folder with config.json, tokenizer.json and model.safetensors, or
    /// an id on the hub (owner/name or owner/name@revision)
    #[arg(long, value_name = "DIR|ID")]
    pub base: PathBuf,
    /// Start from random weights: the folder then needs no model.safetensors
    #[arg(long)]
    pub from_scratch: bool,
    /// Data set: a folder with train, valid and test files (.txt or .conll columns, .jsonl or
    /// .parquet), or an id on the hub
    #[arg(long, value_name = "DIR|ID", default_value = "lhoestq/conll2003")]
    pub data: PathBuf,
    /// Folder of the run: log, checkpoints, best bundle, report
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// How
    #[command(flatten)]
    pub train: TrainArgs,
}

/// Flags of `distill`.
#[derive(Debug, Args)]
pub struct DistillArgs {
    /// Teacher: the folder of a bundle that `finetune` wrote or of any BERT tagger, or the id of one on
    /// the hub (owner/name or owner/name@revision) [default: the one that ships, models/teacher]
    #[arg(long, value_name = "DIR|ID")]
    pub teacher: Option<PathBuf>,
    /// Names of the teacher's labels, one a line in the order of their ids, where its config.json has
    /// LABEL_0 and the like or other names
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Data set: a folder with train, valid and test files (.txt or .conll columns, .jsonl or
    /// .parquet), or an id on the hub [default: none; the student learns from text alone, and is
    /// measured by how far it agrees with its teacher on the end of it]
    #[arg(long, value_name = "DIR|ID")]
    pub data: Option<PathBuf>,
    /// Text without labels to learn from, one sentence a line; the teacher labels it [default: no text
    /// if --data is given, otherwise the 8,500 sentences in the program]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Folder of the run: log, checkpoints, best bundle, report. Without --teacher, models/my-NAME becomes
    /// a copy in eight bits, which the page lists
    #[arg(long, value_name = "RUN", default_value = "runs/student")]
    pub out: PathBuf,
    /// A file of flags (TOML), or the name of one that ships (seed, conll2003, best, text); typed flags
    /// override it [default: `text` if there is no --data, otherwise none]
    #[arg(long, value_name = "NAME|FILE")]
    pub preset: Option<String>,
    /// Folder of stored teacher logits [default: understudy/teacher-logits in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Width of the student [default: 384; with --init layers its teacher's]
    #[arg(long)]
    pub hidden_size: Option<usize>,
    /// Layers of the student [default: 6]
    #[arg(long)]
    pub num_hidden_layers: Option<usize>,
    /// Attention heads of the student [default: 6; with --init layers its teacher's]
    #[arg(long)]
    pub num_attention_heads: Option<usize>,
    /// Feed-forward width of the student [default: 1024]
    #[arg(long)]
    pub intermediate_size: Option<usize>,
    /// Longest input of the student, in sub-words [default: 512; with --init embeddings or layers its
    /// teacher's]
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
    /// soft + hard, as in the PyTorch reference, instead of a share of each
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
    /// How
    #[command(flatten)]
    pub train: TrainArgs,
}

/// Flags of `label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Folder of the teacher, or its id on the hub
    #[arg(long, value_name = "DIR|ID")]
    pub teacher: PathBuf,
    /// Names of the teacher's labels, one a line in the order of their ids, where its config.json has
    /// LABEL_0 and the like or other names
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Label the train file of this folder, or of this data set of the hub
    #[arg(long, value_name = "DIR|ID")]
    pub data: Option<PathBuf>,
    /// Label this text, one sentence a line
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Folder of the logits [default: understudy/teacher-logits in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Which part to label: 3/16 is the third of sixteen
    #[arg(long, value_name = "NUMBER/COUNT", default_value = "1/1")]
    pub shard: Shard,
    /// Copies of each training sentence with its entities replaced, as the distillation's
    #[arg(long)]
    pub mention_copies: Option<usize>,
    /// Longest window in sub-words; the distillation's must be the same [default: 128]
    #[arg(long)]
    pub max_length: Option<usize>,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
    /// JSON, quiet, seed
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of every training.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Continue the run in --out from its last checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Passes over the training text [default: 5; distill 10]
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Sentences in a batch [default: 32]
    #[arg(long, overrides_with = "batch_subwords")]
    pub batch_size: Option<usize>,
    /// Sub-words in a batch, padding included, instead of a number of sentences
    #[arg(long, overrides_with = "batch_size")]
    pub batch_subwords: Option<usize>,
    /// Batches whose gradients make one step [default: 1]
    #[arg(long)]
    pub gradient_accumulation: Option<usize>,
    /// Highest learning rate [default: 5e-5; distill 3e-4]
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Steps of linear warm-up [default: a tenth of all steps; in a finetune of 2000 steps or more the
    /// PyTorch reference's 1000]
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
    /// Weight decay of AdamW [default: 1e-6]
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// No decay on biases and LayerNorm (the PyTorch reference decays all alike); =false undoes a preset's
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, hide_possible_values = true,
          value_name = "BOOL", default_value = "false", default_missing_value = "true")]
    pub no_decay_on_bias_and_norm: bool,
    /// Largest norm of all gradients together; 0 = no clipping [default: 3]
    #[arg(long)]
    pub max_gradient_norm: Option<f64>,
    /// Steps between two evaluations [default: one epoch]
    #[arg(long)]
    pub evaluate_every: Option<usize>,
    /// Evaluations without a better F1 after which the run ends [default: never]
    #[arg(long)]
    pub patience: Option<usize>,
    /// Longest window in sub-words [default: 128, or what the model can read if that is less]
    #[arg(long)]
    pub max_length: Option<usize>,
    /// Copies of each training sentence with its entities replaced by others of their type [default: 0]
    #[arg(long)]
    pub mention_copies: Option<usize>,
    /// Share of the input's sub-words that the model in training does not see [default: 0]
    #[arg(long)]
    pub token_dropout: Option<f64>,
    /// Label of a word's later sub-words [default: inside]
    #[arg(long, value_enum)]
    pub continuation: Option<ContinuationName>,
    /// Minutes between two checkpoints
    #[arg(long, default_value_t = 5.0)]
    pub checkpoint_minutes: f64,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
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
