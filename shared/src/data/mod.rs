//! From text to padded batches: labels, sentences, spans, readers, augmentation,
//! tokenisation, alignment.

pub mod align;
pub mod augment;
pub mod batch;
pub mod conll;
pub mod error;
pub mod example;
pub mod jsonl;
pub mod label;
pub mod label_file;
pub mod span;
pub mod tag;
pub mod text;
pub mod tokenize;
mod tokenizer_file;
pub mod vocabulary;
pub mod window;

/// Label id of a sub-word that no loss and no score counts (PyTorch's `ignore_index`).
pub const IGNORE_INDEX: i32 = -100;
