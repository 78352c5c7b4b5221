//! Weights spread over several files: their index, and the one file they make together.
//!
//! `model.safetensors.index.json` is `{"weight_map": {"tensor": "model-00001-of-00003.safetensors"}}`
//! (<https://huggingface.co/docs/transformers/big_models#sharded-checkpoints>).

use std::collections::{BTreeMap, BTreeSet};

use safetensors::tensor::{SafeTensors, TensorView};
use serde::Deserialize;
use thiserror::Error;

/// What can be wrong with weights in several files.
#[derive(Debug, Error)]
pub enum ShardError {
    /// The index is no index.
    #[error(
        "model.safetensors.index.json: {0}; expected {{\"weight_map\": {{\"tensor\": \"file.safetensors\"}}}}"
    )]
    Index(String),
    /// A file that is no part of the folder.
    #[error(
        "model.safetensors.index.json: file {0:?}; expected the name of a .safetensors file beside it"
    )]
    Name(String),
    /// A file that is not safetensors, or not whole.
    #[error("{file}: {cause}; expected a whole safetensors file")]
    Parse {
        /// Which file.
        file: String,
        /// What the reader says.
        cause: safetensors::SafeTensorError,
    },
    /// A tensor that is not where the index says.
    #[error("{file}: no tensor `{tensor}`; expected it there by model.safetensors.index.json")]
    Missing {
        /// Which file.
        file: String,
        /// Which tensor.
        tensor: String,
    },
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files an index names, sorted, each once.
///
/// # Errors
///
/// Bytes that are no index, and names that are more than a file's name.
pub fn shard_names(index: &[u8]) -> Result<Vec<String>, ShardError> {
    let files: BTreeSet<String> = parse(index)?.weight_map.into_values().collect();
    if files.is_empty() {
        return Err(ShardError::Index("no tensor".to_owned()));
    }
    let is_plain =
        |name: &String| name.ends_with(".safetensors") && !name.contains(['/', '\\', '\0']);
    match files.iter().find(|name| !is_plain(name)) {
        Some(name) => Err(ShardError::Name(name.clone())),
        None => Ok(files.into_iter().collect()),
    }
}

/// One safetensors file with every tensor of `files`, which are names and bytes.
///
/// # Errors
///
/// A file that cannot be read, or lacks a tensor that the index looks for in it. A tensor that the
/// index does not name is left out.
pub fn merge(index: &[u8], files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, ShardError> {
    let mut parsed = BTreeMap::new();
    for (file, bytes) in files {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|cause| ShardError::Parse { file: file.clone(), cause })?;
        parsed.insert(file.as_str(), tensors);
    }
    let mut all: Vec<(String, TensorView<'_>)> = Vec::new();
    for (tensor, file) in parse(index)?.weight_map {
        let view = parsed.get(file.as_str()).and_then(|tensors| tensors.tensor(&tensor).ok());
        match view {
            Some(view) => all.push((tensor, view)),
            None => return Err(ShardError::Missing { file, tensor }),
        }
    }
    safetensors::serialize(all, None)
        .map_err(|cause| ShardError::Parse { file: "model.safetensors".to_owned(), cause })
}

fn parse(index: &[u8]) -> Result<Index, ShardError> {
    serde_json::from_slice(index).map_err(|error| ShardError::Index(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::Dtype;

    fn file(names: &[&str], value: f32) -> Vec<u8> {
        let bytes = value.to_le_bytes();
        let tensors = names
            .iter()
            .map(|name| (*name, TensorView::new(Dtype::F32, vec![1], &bytes).expect("one float")));
        safetensors::serialize(tensors.collect::<Vec<_>>(), None).expect("written")
    }

    const INDEX: &[u8] = br#"{"metadata": {"total_size": 12}, "weight_map":
        {"a": "m-1.safetensors", "c": "m-2.safetensors", "b": "m-1.safetensors"}}"#;

    #[test]
    fn shards_make_one_file() {
        assert_eq!(shard_names(INDEX).expect("names"), ["m-1.safetensors", "m-2.safetensors"]);
        let files = [
            ("m-1.safetensors".to_owned(), file(&["a", "b"], 1.5)),
            ("m-2.safetensors".to_owned(), file(&["c"], 2.5)),
        ];
        let merged = merge(INDEX, &files).expect("one file");
        let merged = SafeTensors::deserialize(&merged).expect("safetensors");
        for (name, value) in [("a", 1.5_f32), ("b", 1.5), ("c", 2.5)] {
            assert_eq!(merged.tensor(name).expect(name).data(), value.to_le_bytes());
        }
    }

    #[test]
    fn each_way_to_be_wrong_has_its_error() {
        let message = |index: &[u8]| shard_names(index).expect_err("no index").to_string();
        assert!(message(b"{}").contains("missing field `weight_map`"));
        assert!(message(br#"{"weight_map": {}}"#).contains("no tensor; expected"));
        for name in ["../m.safetensors", "/m.safetensors", "m.bin"] {
            let index = format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#);
            assert!(message(index.as_bytes()).contains("beside it"), "{name}");
        }
        let files = [("m-1.safetensors".to_owned(), file(&["a"], 1.0))];
        let error = merge(INDEX, &files).expect_err("a tensor is missing").to_string();
        assert!(error.starts_with("m-1.safetensors: no tensor `b`; expected"), "{error}");
        let files = [("m-1.safetensors".to_owned(), vec![1, 2])];
        let error = merge(INDEX, &files).expect_err("not safetensors").to_string();
        assert!(error.ends_with("expected a whole safetensors file"), "{error}");
    }
}
