//! Scores: entity precision, recall and F1 as seqeval counts them, and the file conlleval reads.

pub mod conlleval;
pub mod entity_f1;
