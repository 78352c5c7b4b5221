//! A bundle: the files a model needs, checked against each other.
//!
//! `config.json` (Hugging Face names, `id2label`), `tokenizer.json`, `tokenizer_config.json`,
//! `model.safetensors`. The folder opens in `transformers` as it is, unless its token table is
//! factorised or its weights are in eight bits.

use burn::module::Module;
use burn::tensor::Device;
use serde_json::{Value, json};
use thiserror::Error;

use super::weights::{self, Head, NamedTensor, StoredAs, WeightsError};
use crate::data::label::LabelSet;
use crate::data::tokenize::{SubwordTokenizer, TokenizeError};
use crate::model::{BertConfig, ConfigError, TokenClassifier};

/// The bytes of a bundle's files.
#[derive(Clone, Copy, Debug)]
pub struct BundleFiles<'a> {
    /// `config.json`
    pub config: &'a [u8],
    /// `tokenizer.json`
    pub tokenizer: &'a [u8],
    /// `model.safetensors`
    pub weights: &'a [u8],
}

/// What can be wrong with a bundle.
#[derive(Debug, Error)]
pub enum BundleError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The vocabulary is not the embedding's.
    #[error(
        "tokenizer.json has {tokenizer} entries, config.json says vocab_size {config}; \
         expected the tokenizer that the model was trained with"
    )]
    Vocabulary {
        /// Entries of the tokenizer.
        tokenizer: usize,
        /// Rows of the embedding.
        config: usize,
    },
    /// An encoder without labels where a tagger is needed.
    #[error(
        "config.json names no labels (`id2label`); expected a fine-tuned tagger: fine-tune this \
         encoder first or, if it is a tagger, name its labels with --labels FILE"
    )]
    NoLabels,
    /// Another number of label names than the model has labels.
    #[error(
        "{given} label names were given, config.json has {config} labels; expected a name for each"
    )]
    LabelCount {
        /// How many were given.
        given: usize,
        /// How many the model has.
        config: usize,
    },
}

/// A model with all it needs to tag.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Sizes and rates.
    pub config: BertConfig,
    /// Its labels; index = id.
    pub labels: LabelSet,
    /// Its tokenizer.
    pub tokenizer: SubwordTokenizer,
    /// Its weights.
    pub model: TokenClassifier,
}

impl Bundle {
    /// Reads a fine-tuned tagger.
    ///
    /// # Errors
    ///
    /// Anything wrong with one file, or files that do not fit together.
    pub fn load(files: &BundleFiles<'_>, device: &Device) -> Result<Self, BundleError> {
        let (config, labels) = BertConfig::parse(files.config)?;
        let labels = labels.ok_or(BundleError::NoLabels)?;
        Self::assemble(files, config, labels, Head::Trained, device)
    }

    /// Reads a fine-tuned tagger whose labels, in the order of their ids, are called `labels`,
    /// whatever its configuration calls them.
    ///
    /// # Errors
    ///
    /// As [`Bundle::load`], and another number of labels than the model has.
    pub fn load_with_labels(
        files: &BundleFiles<'_>,
        labels: LabelSet,
        device: &Device,
    ) -> Result<Self, BundleError> {
        let (config, num_labels) = BertConfig::parse_without_labels(files.config)?;
        let (given, config_says) = (labels.len(), num_labels.unwrap_or(labels.len()));
        if given != config_says {
            return Err(BundleError::LabelCount { given, config: config_says });
        }
        Self::assemble(files, config, labels, Head::Trained, device)
    }

    /// Reads an encoder and puts a new head for `labels` on it.
    ///
    /// # Errors
    ///
    /// As [`Bundle::load`], but the files may be those of an encoder that was never fine-tuned.
    pub fn load_base(
        files: &BundleFiles<'_>,
        labels: LabelSet,
        seed: u64,
        device: &Device,
    ) -> Result<Self, BundleError> {
        let (config, _) = BertConfig::parse_without_labels(files.config)?;
        Self::assemble(files, config, labels, Head::New { seed }, device)
    }

    /// Parameters of the model, with its head or without.
    pub fn num_params(&self, with_head: bool) -> usize {
        let head = if with_head { 0 } else { self.model.classifier.num_params() };
        self.model.num_params() - head
    }

    fn assemble(
        files: &BundleFiles<'_>,
        config: BertConfig,
        labels: LabelSet,
        head: Head,
        device: &Device,
    ) -> Result<Self, BundleError> {
        let tokenizer = SubwordTokenizer::from_bytes(files.tokenizer)?;
        check_vocabulary(&tokenizer, &config)?;
        let model = weights::load(files.weights, &config, labels.len(), head, device)?;
        Ok(Self { config, labels, tokenizer, model })
    }
}

/// That the tokenizer's ids are the embedding's rows.
///
/// # Errors
///
/// Another number of entries than `vocab_size`.
pub fn check_vocabulary(
    tokenizer: &SubwordTokenizer,
    config: &BertConfig,
) -> Result<(), BundleError> {
    if tokenizer.vocab_size() == config.vocab_size {
        return Ok(());
    }
    Err(BundleError::Vocabulary { tokenizer: tokenizer.vocab_size(), config: config.vocab_size })
}

/// The files of a bundle as name and bytes, from weights that were read back; without `labels` those
/// of an encoder, without its head.
///
/// # Errors
///
/// A value that the type cannot hold.
pub fn to_files(
    config: &BertConfig,
    labels: Option<&LabelSet>,
    tokenizer: &[u8],
    tensors: &[NamedTensor],
    stored_as: StoredAs,
) -> Result<[(&'static str, Vec<u8>); 4], WeightsError> {
    let weights = match labels {
        Some(_) => weights::to_bytes(tensors, stored_as)?,
        None => weights::to_bytes(&weights::without_head(tensors), stored_as)?,
    };
    Ok([
        ("config.json", config.to_json(labels).into_bytes()),
        ("model.safetensors", weights),
        ("tokenizer.json", tokenizer.to_vec()),
        ("tokenizer_config.json", tokenizer_config(tokenizer, config).into_bytes()),
    ])
}

/// The files of a bundle beside its weights, as [`to_files`] names and fills them.
pub fn small_files(
    config: &BertConfig,
    labels: &LabelSet,
    tokenizer: &[u8],
) -> [(&'static str, Vec<u8>); 3] {
    [
        ("config.json", config.to_json(Some(labels)).into_bytes()),
        ("tokenizer.json", tokenizer.to_vec()),
        ("tokenizer_config.json", tokenizer_config(tokenizer, config).into_bytes()),
    ]
}

/// The `tokenizer_config.json` that `transformers` needs beside `tokenizer.json`: without it, it takes
/// a BERT tokenizer for an uncased one and lowers every letter.
fn tokenizer_config(tokenizer: &[u8], config: &BertConfig) -> String {
    let tokenizer: Value = serde_json::from_slice(tokenizer).unwrap_or_default();
    let normalizer = &tokenizer["normalizer"];
    let object = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": normalizer["lowercase"].as_bool().unwrap_or(false),
        "strip_accents": normalizer["strip_accents"].as_bool(),
        "tokenize_chinese_chars": normalizer["handle_chinese_chars"].as_bool().unwrap_or(true),
        "model_max_length": config.max_position_embeddings,
    });
    serde_json::to_string_pretty(&object).expect("a JSON value can be written") + "\n"
}
