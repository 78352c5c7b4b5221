//! From a model and text to logits, labels and entities.

pub mod chunk;
pub mod decode;
pub mod logits;
pub mod states;
pub mod tagger;
pub mod teacher;
