//! What a run needs to continue exactly where it was.

use std::borrow::Cow;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::adamw::AdamW;
use super::trainee::Trainee;
use crate::checkpoint::weights::{Gather, NamedTensor, file_parts, read_tensors};

/// How far a run is. Batches and dropout follow from the seed and the step, so nothing else of them
/// is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: usize,
    /// Best dev F1 so far.
    pub best_f1: Option<f64>,
    /// Evaluations since then.
    pub evaluations_since_best: usize,
}

/// A run in progress.
#[derive(Clone, Debug)]
pub struct TrainState {
    /// The model, on a device with autodiff.
    pub model: Trainee,
    /// The optimiser.
    pub optimizer: AdamW,
    /// How far it is.
    pub progress: Progress,
}

/// A run's state, read back from the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far it is.
    pub progress: Progress,
    /// `model/PATH`, `first/PATH`, `second/PATH`.
    pub tensors: Vec<NamedTensor>,
}

/// What can be wrong with a checkpoint.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// Not safetensors, or truncated.
    #[error("checkpoint: {0}; expected a whole safetensors file")]
    Parse(#[from] safetensors::SafeTensorError),
    /// No record of the progress.
    #[error("checkpoint: no `progress` in its metadata; expected a file that a run wrote")]
    NoProgress,
    /// A tensor that belongs to another model.
    #[error(
        "checkpoint: tensor `{name}` does not fit the model; expected a checkpoint of this run"
    )]
    Mismatch {
        /// Its name.
        name: String,
    },
}

impl TrainState {
    /// Reads the state back: all that is trained, for what is frozen stands in the first weights.
    pub async fn checkpoint(&self) -> Checkpoint {
        let mut gather = Gather::of_trained();
        self.model.visit(&mut gather);
        let named = gather.tensors.into_iter();
        let named = named.map(|(path, shape, tensor)| (format!("model/{path}"), shape, tensor));
        let mut tensors = read_tensors(named.collect()).await;
        tensors.extend(self.optimizer.read_back().await);
        Checkpoint { progress: self.progress.clone(), tensors }
    }

    /// Goes back to a checkpoint of the same model and settings.
    ///
    /// # Errors
    ///
    /// A trained parameter that the checkpoint lacks or that has another shape there, or one that is
    /// not trained here.
    pub fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), CheckpointError> {
        let (values, moments): (Vec<_>, Vec<_>) =
            checkpoint.tensors.into_iter().partition(|tensor| tensor.name.starts_with("model/"));
        let values: HashMap<String, NamedTensor> =
            values.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let sizes = values
            .iter()
            .map(|(name, tensor)| (name["model/".len()..].to_owned(), tensor.values.len()))
            .collect();
        let device = self.model.classifier.device().inner();
        let mut fill = Fill { values, path: vec![], wrong: None };
        let model = self.model.clone().map(&mut fill);
        if let Some(name) = fill.wrong.or_else(|| fill.values.into_keys().next()) {
            return Err(CheckpointError::Mismatch { name });
        }
        let steps = checkpoint.progress.step as u32;
        self.optimizer
            .restore(moments, &sizes, steps, &device)
            .map_err(|name| CheckpointError::Mismatch { name })?;
        self.model = model;
        self.progress = checkpoint.progress;
        Ok(())
    }
}

impl Checkpoint {
    /// The pieces of a safetensors file, one after the other, so that it need not be whole in memory.
    ///
    /// The library's own writer to a file cannot be used: it renames a file of its own to the path,
    /// which is then not synced, and is left behind by a kill.
    pub fn to_parts(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let progress = serde_json::to_string(&self.progress).expect("plain numbers");
        file_parts(&self.tensors, ("progress", progress))
    }

    /// Reads a checkpoint file.
    ///
    /// # Errors
    ///
    /// A truncated file, or one that no run wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let progress = header.metadata().as_ref().and_then(|metadata| metadata.get("progress"));
        let progress = progress.and_then(|text| serde_json::from_str(text).ok());
        let progress = progress.ok_or(CheckpointError::NoProgress)?;
        let file = SafeTensors::deserialize(bytes)?;
        let mut tensors = Vec::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(CheckpointError::Mismatch { name: name.to_owned() });
            }
            let values = view.data().as_chunks::<4>().0.iter();
            let values = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let shape = view.shape().to_vec();
            tensors.push(NamedTensor { name: name.to_owned(), shape, values });
        }
        Ok(Self { progress, tensors })
    }
}

struct Fill {
    values: HashMap<String, NamedTensor>,
    path: Vec<String>,
    wrong: Option<String>,
}

impl ModuleMapper for Fill {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        let name = format!("model/{}", self.path.join("."));
        let shape = param.lazy_shape();
        match self.values.remove(&name) {
            Some(tensor) if tensor.shape == shape.to_vec() => {
                Param::from_data(TensorData::new(tensor.values, shape), &param.lazy_device())
            }
            _ => {
                self.wrong.get_or_insert(name);
                param
            }
        }
    }
}
