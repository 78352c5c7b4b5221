//! BERT for token classification: configuration, embeddings, encoder, classifier.

pub mod config;
mod config_fields;
pub mod embedding;
pub mod encoder;
pub mod noise;
pub mod token_classifier;

pub use config::{BertConfig, ConfigError};
pub use noise::Noise;
pub use token_classifier::TokenClassifier;
