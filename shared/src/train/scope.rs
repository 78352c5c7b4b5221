//! Which parameters of a tagger are trained: its head alone, its last layers, all of it, or a low-rank
//! addition to its attention.
//!
//! What is not trained asks for no gradient, so neither is one computed nor an activation kept that only
//! such a gradient needs; below the lowest trained parameter nothing is recorded at all.
//!
//! LoRA (Hu et al. 2021, arXiv:2106.09685, section 4.1): `W' = W + alpha / rank · A B`, with A from
//! N(0, 1 / rank²), as Burn's, and B zero, so that training begins at W; on the query and value
//! matrices, which that paper finds best at equal size (section 7.1). Here the head is trained with
//! them, and `alpha = 2 · rank`.

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
mod tests {
    use std::collections::BTreeMap;

    use burn::module::ModuleVisitor;
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Int};

    use super::*;
    use crate::checkpoint::weights::{NamedTensor, read_back};
    use crate::model::{BertConfig, Noise};
    use crate::train::adamw::{AdamW, AdamWConfig, Placement};
    use crate::train::trainee::Trainee;

    const ALL: [Scope; 6] = [
        Scope::Head,
        Scope::Last(1),
        Scope::Last(2),
        Scope::NoEmbeddings,
        Scope::All,
        Scope::Lora(3),
    ];

    fn model(on_host: bool) -> TokenClassifier {
        let config =
            BertConfig { initializer_range: 0.2, embedding_rank: Some(8), ..BertConfig::tiny(40) };
        let model = TokenClassifier::init(&config, 5, 3, &Device::flex().autodiff());
        if on_host { model.on_host() } else { model }
    }

    fn logits(model: &TokenClassifier) -> Tensor<3> {
        let device = model.device();
        let ids = (0..14).map(|index| (index * 11) % 39 + 1).collect::<Vec<i32>>();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &device).reshape([2, 7]);
        let mask = ids.clone().greater_elem(0);
        model.forward(ids, mask, false, &mut Noise::seeded(5))
    }

    fn backward(model: &TokenClassifier) -> GradientsParams {
        let logits = logits(model);
        let count = logits.dims().iter().product::<usize>() as i64;
        let weights = Tensor::<1, Int>::arange(0..count, &logits.device()).float().cos();
        let loss = (logits.clone() * weights.reshape(logits.dims())).sum();
        GradientsParams::from_grads(loss.backward(), model)
    }

    struct Collect<'a> {
        gradients: &'a GradientsParams,
        path: Vec<String>,
        all: BTreeMap<String, Vec<f32>>,
    }

    impl ModuleVisitor for Collect<'_> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let values = gradient.into_data().try_to_vec::<f32>().expect("floats");
                self.all.insert(self.path.join("."), values);
            }
        }
    }

    fn gradients(model: &TokenClassifier) -> BTreeMap<String, Vec<f32>> {
        let gradients = backward(model);
        let mut collect = Collect { gradients: &gradients, path: vec![], all: BTreeMap::new() };
        model.visit(&mut collect);
        collect.all
    }

    fn weights(model: &TokenClassifier) -> Vec<NamedTensor> {
        pollster::block_on(read_back(model))
    }

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().try_to_vec().expect("floats")
    }

    /// Whether a scope trains a parameter of this name in a file, in a model of two layers.
    fn trains(scope: Scope, name: &str) -> bool {
        let layer = |index: usize| name.contains(&format!(".layer.{index}."));
        let adapted = name.ends_with("query.weight") || name.ends_with("value.weight");
        name.starts_with("classifier")
            || match scope {
                Scope::Head => false,
                Scope::Last(1) => layer(1),
                Scope::Last(_) | Scope::NoEmbeddings => layer(0) || layer(1),
                Scope::All => true,
                Scope::Lora(_) => adapted,
            }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for scope in ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for wrong in
            ["", "last", "last:0", "last:x", "lora:", "lora:-1", "lora:1000", "heads", "all:1"]
        {
            let error = wrong.parse::<Scope>().expect_err("no scope");
            assert!(error.to_string().starts_with(&format!("`{wrong}`; expected head")), "{error}");
        }
    }

    #[test]
    fn layers_below_the_trained_ones_are_counted() {
        let frozen = |scope: Scope| scope.frozen_layers(4);
        assert_eq!(ALL.map(frozen), [4, 3, 2, 0, 0, 0]);
        assert_eq!(Scope::Last(9).frozen_layers(4), 0);
    }

    #[test]
    fn gradients_are_those_of_training_everything() {
        for on_host in [false, true] {
            let want = gradients(&model(on_host));
            for scope in ALL.into_iter().filter(|scope| !matches!(scope, Scope::Lora(_))) {
                let got = gradients(&scope.apply(model(on_host), 1));
                for (path, gradient) in &got {
                    assert_eq!(gradient, &want[path], "{scope}: {path}");
                }
                let layers = 2 - scope.frozen_layers(2);
                assert_eq!(
                    got.len(),
                    if scope == Scope::All { want.len() } else { 2 + 16 * layers }
                );
            }
        }
    }

    #[test]
    fn a_step_changes_what_is_trained_and_nothing_else() {
        for placement in [Placement::Host, Placement::Device] {
            for scope in ALL {
                let model = scope.apply(model(true), 1);
                let before = weights(&merged(&model));
                let mut optimizer = AdamW::new(AdamWConfig::default(), placement);
                let mut trainee = Trainee::new(model);
                // B moves in the first step, and with it A has a gradient in the second.
                for _ in 0..2 {
                    let gradients = backward(&trainee.classifier);
                    let logits_before = values(logits(&trainee.classifier));
                    trainee = optimizer.step(trainee, gradients, 1e-2, None).0;
                    assert_ne!(values(logits(&trainee.classifier)), logits_before, "{scope}");
                }
                let after = weights(&merged(&trainee.classifier));
                assert_eq!(before.len(), after.len());
                for (before, after) in before.iter().zip(&after) {
                    let changed = before.values != after.values;
                    // Row 1 of the token types is never used, but the table's gradient is there.
                    assert_eq!(changed, trains(scope, &before.name), "{scope}: {}", before.name);
                }
            }
        }
    }

    #[test]
    fn lora_begins_as_the_identity_and_follows_its_seed() {
        let plain = values(logits(&model(true)));
        let adapted = Scope::Lora(4).apply(model(true), 1);
        assert_eq!(values(logits(&adapted)), plain);
        let a = |seed| {
            let model = Scope::Lora(4).apply(model(true), seed);
            let gradients = gradients(&model);
            gradients["layers.0.attention.query.weight.lora.b"].clone()
        };
        assert_eq!(a(1), a(1));
        assert_ne!(a(1), a(2), "the gradient of B depends on A");
    }

    #[test]
    fn lora_merges_into_plain_weights() {
        let mut optimizer = AdamW::new(AdamWConfig::default(), Placement::Host);
        let mut trainee = Trainee::new(Scope::Lora(4).apply(model(true), 1));
        for _ in 0..3 {
            let gradients = backward(&trainee.classifier);
            trainee = optimizer.step(trainee, gradients, 1e-2, None).0;
        }
        let whole = values(logits(&trainee.classifier));
        let merged = merged(&trainee.classifier);
        for (merged, whole) in values(logits(&merged)).iter().zip(&whole) {
            // The sum A B is rounded in another order without autodiff.
            assert!((merged - whole).abs() < 1e-5, "{merged}, expected {whole}");
        }
        assert_eq!(merged.num_params(), model(true).num_params());
        assert_ne!(values(logits(&model(true))), whole);
    }

    #[test]
    fn lora_s_gradients_are_the_closed_form() {
        let gradients_of = |model: &TokenClassifier| gradients(model);
        let full = gradients_of(&model(true));
        let adapted = Scope::Lora(4).apply(model(true), 1);
        let got = gradients_of(&adapted);
        assert_eq!(got.len(), 2 + 2 * 2 * 2);
        // With B = 0: dB = alpha / rank · Aᵀ dW, dA = 0.
        let path = "layers.1.attention.value.weight";
        let mut find = FindA { path: vec![], wanted: format!("{path}.lora.a"), found: vec![] };
        adapted.visit(&mut find);
        let (a, weight) = (find.found, &full[path]);
        for (index, got) in got[&format!("{path}.lora.b")].iter().enumerate() {
            let (row, column) = (index / 32, index % 32);
            let want: f32 = (0..32).map(|k| 2.0 * a[k * 4 + row] * weight[k * 32 + column]).sum();
            assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{got}, expected {want}");
        }
        assert!(got[&format!("{path}.lora.a")].iter().all(|value| *value == 0.0));
    }

    struct FindA {
        path: Vec<String>,
        wanted: String,
        found: Vec<f32>,
    }

    impl ModuleVisitor for FindA {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.path.join(".") == self.wanted {
                self.found = param.val().into_data().try_to_vec().expect("floats");
            }
        }
    }
}
