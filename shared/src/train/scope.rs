//! Which parameters of a tagger are trained: its head alone, its last layers, all of it, or a low-rank
//! addition to its attention.
//!
//! What is not trained asks for no gradient, so neither is one computed nor an activation kept that only
//! such a gradient needs; below the lowest trained parameter nothing is recorded at all.
//!
//! LoRA (Hu et al. 2021, arXiv:2106.09685, section 4.1): `W' = W + alpha / rank · A B`, with A from
//! N(0, 1 / rank) and B zero, so that training begins at W; on the query and value matrices, which that
//! paper finds best at equal size (section 7.1). Here the head is trained with them, and
//! `alpha = 2 · rank`.

use std::fmt;
use std::str::FromStr;

use burn::module::{Lora, Module, ModuleMapper, Param, ParamGroup};
use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::TokenClassifier;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// The classification head: `head`.
    Head,
    /// The head and the last layers, at least one: `last:K`.
    Last(usize),
    /// The head and all layers: `no-embeddings`.
    NoEmbeddings,
    /// Everything: `all`.
    All,
    /// The head, and additions of this rank, at least one, to the query and value matrices: `lora:R`.
    Lora(usize),
}

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}`; expected head, last:K, no-embeddings, all or lora:R with K and R from 1 to 999")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let error = || ScopeError(text.to_owned());
        let number = |digits: &str| match digits.parse() {
            Ok(number @ 1..=999) => Ok(number),
            _ => Err(error()),
        };
        match (text, text.split_once(':')) {
            ("head", _) => Ok(Self::Head),
            ("no-embeddings", _) => Ok(Self::NoEmbeddings),
            ("all", _) => Ok(Self::All),
            (_, Some(("last", layers))) => Ok(Self::Last(number(layers)?)),
            (_, Some(("lora", rank))) => Ok(Self::Lora(number(rank)?)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => formatter.write_str("head"),
            Self::Last(layers) => write!(formatter, "last:{layers}"),
            Self::NoEmbeddings => formatter.write_str("no-embeddings"),
            Self::All => formatter.write_str("all"),
            Self::Lora(rank) => write!(formatter, "lora:{rank}"),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl Scope {
    /// How many of the lowest of `num_layers` layers stay as they are, the embeddings too.
    pub fn frozen_layers(self, num_layers: usize) -> usize {
        match self {
            Self::Head => num_layers,
            Self::Last(layers) => num_layers.saturating_sub(layers),
            Self::NoEmbeddings | Self::All | Self::Lora(_) => 0,
        }
    }

    /// Makes a model on a device with autodiff ask for gradients of what is trained alone; `seed` fixes
    /// the first values of LoRA's additions.
    pub fn apply(self, model: TokenClassifier, seed: u64) -> TokenClassifier {
        let first = self.frozen_layers(model.layers.len());
        if let Self::Lora(rank) = self {
            let adapted = |attention: &crate::model::encoder::SelfAttention| {
                [attention.query.weight.id, attention.value.weight.id]
            };
            let ids = model.layers.iter().flat_map(|layer| adapted(&layer.attention)).collect();
            let lora =
                Lora::new(rank, 2.0 * rank as f64).set_param_group(ParamGroup::from_ids(ids));
            let rng = ChaCha8Rng::seed_from_u64(seed);
            let mut fill = FillAdapters { rng, rank, path: vec![] };
            let mut model = model.apply_lora(lora).map(&mut fill);
            model.classifier = model.classifier.map(&mut Ask(true));
            return model;
        }
        let mut model = model;
        model.embeddings = model.embeddings.map(&mut Ask(self == Self::All));
        let layers = model.layers.into_iter().enumerate();
        model.layers = layers.map(|(index, layer)| layer.map(&mut Ask(index >= first))).collect();
        model.classifier = model.classifier.map(&mut Ask(true));
        model
    }
}

/// The model as it would be published: on a plain device, additions merged into their matrices.
pub fn merged(model: &TokenClassifier) -> TokenClassifier {
    model.valid().materialize()
}

/// Asks for gradients of all parameters, or of none.
struct Ask(bool);

impl ModuleMapper for Ask {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad(self.0)
    }
}

/// Sets LoRA's A from a seed: Burn's own values would be others in every process.
struct FillAdapters {
    rng: ChaCha8Rng,
    rank: usize,
    path: Vec<String>,
}

impl ModuleMapper for FillAdapters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !matches!(self.path.as_slice(), [.., lora, factor] if lora == "lora" && factor == "a") {
            return param;
        }
        let shape = param.lazy_shape();
        let normal = Normal::new(0.0, 1.0 / self.rank as f32).expect("a positive deviation");
        let values = normal.sample_iter(&mut self.rng).take(shape.num_elements()).collect();
        Param::from_data(TensorData::new::<f32, _>(values, shape), &param.lazy_device())
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
