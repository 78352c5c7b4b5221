//! Weights in and out: Hugging Face names, safetensors bytes, bundles.

pub mod bundle;
pub mod key_map;
pub mod quantize;
pub mod report;
pub mod shards;
pub mod weights;
