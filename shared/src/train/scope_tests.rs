//! Unit tests of [`Scope`](super::Scope).

use std::collections::BTreeMap;

use burn::module::ModuleVisitor;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int};

use super::*;
use crate::checkpoint::weights::{NamedTensor, read_back};
use crate::model::{BertConfig, Noise};
use crate::train::adamw::{AdamW, AdamWConfig, Placement};
use crate::train::trainee::Trainee;

const ALL: [Scope; 6] =
    [Scope::Head, Scope::Last(1), Scope::Last(2), Scope::NoEmbeddings, Scope::All, Scope::Lora(3)];

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
    for wrong in ["", "last", "last:0", "last:x", "lora:", "lora:-1", "lora:1000", "heads", "all:1"]
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
            assert_eq!(got.len(), if scope == Scope::All { want.len() } else { 2 + 16 * layers });
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
