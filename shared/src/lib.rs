//! Understudy's core: everything that is the same natively and in the browser.
//!
//! ```text
//! text with labels ─ data::{conll, tokenize, align, window} ─ examples ─ data::batch ─┐
//! config.json + model.safetensors ─ checkpoint ─ model::TokenClassifier ──────────────┤
//! teacher ─ infer::label ─ logits, cached ──── loss::distillation ────────────────────┤
//!                                                                            train::fit
//! model + text ─ infer::{predict, decode, tag} ─ entities ─ metric::entity_f1
//! ```
//!
//! Modules in reading order; each uses only those above it:
//!
//! | module | holds |
//! | --- | --- |
//! | [`data`] | labels, sentences, spans, readers, tokenisation, alignment, windows, batches |
//! | [`metric`] | entity precision, recall and F1, as seqeval counts them |
//! | [`model`] | `config.json`, embeddings, encoder, token classifier |
//! | [`checkpoint`] | Hugging Face names, safetensors bytes, bundles |
//! | [`loss`] | cross entropy and distillation over counted sub-words |
//! | [`infer`] | logits, decoding, tagging of raw text, teacher labels |
//! | [`train`] | schedule, AdamW, clipping, and the one training loop |
//!
//! The crate does no IO and reads no clock, environment or thread: bytes go in, bytes come out.
//! Every read of a tensor is `async`, because a blocking read panics on WebGPU.

pub mod checkpoint;
pub mod data;
pub mod host;
pub mod infer;
pub mod loss;
pub mod metric;
pub mod model;
pub mod train;
