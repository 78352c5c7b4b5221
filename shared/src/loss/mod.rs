//! Losses over counted sub-words.

pub mod distillation;
pub mod hidden_match;
pub mod objective;
pub mod token_cross_entropy;
