//! Understudy's core: everything that is the same natively and in the browser.
//!
//! ```text
//! text with labels ─ data::{conll, tokenize, align, window} ─ examples ─ data::batch ─┐
//! config.json + model.safetensors ─ checkpoint ─ model::TokenClassifier ─ compress ───┤
//! teacher ─ infer::logits ─ infer::teacher, kept on disk ─ loss::objective ───────────┤
//!                                                                            train::fit
//! model + text ─ infer::{logits, decode, tagger} ─ entities ─ metric::entity_f1
//! ```
//!
//! Modules in reading order; each uses only those above it:
//!
//! | module | holds |
//! | --- | --- |
//! | [`data`] | labels, sentences, spans, readers, augmentation, tokenisation, alignment, windows, batches |
//! | [`metric`] | entity precision, recall and F1, as seqeval counts them |
//! | [`host`] | fused operations and parallel work on the CPU's memory |
//! | [`model`] | `config.json`, embeddings, encoder, token classifier |
//! | [`checkpoint`] | Hugging Face names, safetensors bytes, eight-bit matrices, bundles |
//! | [`compress`] | truncated SVD, factorised token tables, a student's first weights from its teacher's |
//! | [`loss`] | cross entropy, distillation and hidden states over counted sub-words |
//! | [`infer`] | logits, decoding, tagging of raw text, a teacher's logits and the chunks they are stored in, what frozen layers made of examples |
//! | [`train`] | schedule, AdamW, clipping, where examples come from, what is trained, and the one training loop; lessons for a student that is in use |
//!
//! The crate does no IO and reads no clock or environment: bytes go in, bytes come out. Threads are
//! used in [`host`] alone, and no result depends on how many there are.
//! Every read of a tensor is `async`, because a blocking read panics on WebGPU.

pub mod checkpoint;
pub mod compress;
pub mod data;
pub mod host;
pub mod infer;
pub mod loss;
pub mod metric;
pub mod model;
pub mod train;
