//! AdamW as PyTorch computes it, with clipping by the norm of all gradients together.
//!
//! ```text
//! g ← g · min(1, max_norm / (‖g‖ + 1e-6))
//! p ← p · (1 − lr · decay)
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//! p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2; the order of operations is that of
//! `torch.optim.AdamW`, the clipping that of `torch.nn.utils.clip_grad_norm_`.
//!
//! Burn's own optimiser is not used: it clips each tensor by itself, keys its state by ids that are
//! new in every process, and reads and writes every parameter a dozen times a step. Where tensors
//! live in host memory, the update here is one pass.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::trainee::Trainee;
use crate::checkpoint::weights::{NamedTensor, read_tensors};
use crate::host::math::dot;
use crate::host::parallel::{CHUNK, for_each_chunk, map_chunks};

/// Settings of AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the root of the second mean.
    pub epsilon: f64,
    /// Weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Whether biases and LayerNorm decay too, as in the reference.
    pub decay_bias_and_norm: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        let (beta_1, beta_2, epsilon) = (0.9, 0.999, 1e-8);
        Self { beta_1, beta_2, epsilon, weight_decay: 0.0, decay_bias_and_norm: true }
    }
}

/// The numbers of one step's update of one tensor.
#[derive(Clone, Copy, Debug)]
struct Update {
    gradient_scale: f32,
    keep: f32,
    beta_1: f32,
    beta_2: f32,
    step_size: f32,
    second_scale: f32,
    epsilon: f32,
}

/// Updates parameters, first and second moments in place.
fn update_slices(
    update: &Update,
    parameters: &mut [f32],
    gradients: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let Update { gradient_scale, keep, beta_1, beta_2, step_size, second_scale, epsilon } = *update;
    let outputs = [(parameters, CHUNK), (first, CHUNK), (second, CHUNK)];
    for_each_chunk(outputs, |chunk, [parameters, first, second]| {
        let gradients = &gradients[chunk * CHUNK..];
        pulp::Arch::new().dispatch(|| {
            let moments = first.iter_mut().zip(second.iter_mut());
            let pairs = parameters.iter_mut().zip(gradients);
            for ((parameter, gradient), (first, second)) in pairs.zip(moments) {
                let gradient = gradient * gradient_scale;
                *first = beta_1 * *first + (1.0 - beta_1) * gradient;
                *second = beta_2 * *second + (1.0 - beta_2) * gradient * gradient;
                let divisor = second.sqrt() * second_scale + epsilon;
                *parameter = *parameter * keep - step_size * *first / divisor;
            }
        });
    });
}

/// The sum of squares: of each chunk in `f32` lanes, of the chunks in `f64`.
fn sum_of_squares(values: &[f32]) -> f64 {
    let chunk = |index: usize| {
        let chunk = &values[index * CHUNK..values.len().min((index + 1) * CHUNK)];
        let parts = chunk.chunks(4096).map(|part| f64::from(dot(part, part)));
        pulp::Arch::new().dispatch(|| parts.sum::<f64>())
    };
    map_chunks(values.len().div_ceil(CHUNK), chunk).iter().sum()
}

/// Where the optimiser's arithmetic runs.
#[derive(Clone, Copy, Debug)]
pub enum Placement {
    /// As tensor operations, for devices with memory of their own.
    Device,
    /// On slices, for a backend whose tensors are host memory: taking one out neither copies nor
    /// waits there.
    Host,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are some dozens, of large tensors each")]
enum Moments {
    Device { first: Tensor<1>, second: Tensor<1> },
    Host { first: Vec<f32>, second: Vec<f32> },
}

/// AdamW with its state, keyed by our parameter paths.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    placement: Placement,
    moments: BTreeMap<String, Moments>,
    steps: u32,
}

impl AdamW {
    /// A fresh optimiser.
    pub fn new(config: AdamWConfig, placement: Placement) -> Self {
        Self { config, placement, moments: BTreeMap::new(), steps: 0 }
    }

    /// One step. Returns the model and the norm of all gradients before clipping, `[1]`; where that is
    /// not finite, every weight stays as it was.
    pub fn step(
        &mut self,
        model: Trainee,
        gradients: GradientsParams,
        learning_rate: f64,
        max_gradient_norm: Option<f64>,
    ) -> (Trainee, Tensor<1>) {
        self.steps += 1;
        let device = model.classifier.device().inner();
        match self.placement {
            Placement::Host => {
                let mut taken = TakeHost { path: vec![], gradients, data: BTreeMap::new() };
                model.visit(&mut taken);
                let squares = taken.data.values().map(|data| sum_of_squares(floats(data)));
                let norm = squares.sum::<f64>().sqrt();
                if !norm.is_finite() {
                    return (model, Tensor::from_data([norm as f32], &device));
                }
                let scale = max_gradient_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
                let (gradients, path) = (taken.data, vec![]);
                let mut apply =
                    ApplyHost { optimizer: self, gradients, scale, learning_rate, path };
                let model = model.map(&mut apply);
                (model, Tensor::from_data([norm as f32], &device))
            }
            Placement::Device => {
                let mut squares = Squares { gradients: &gradients, sum: None };
                model.visit(&mut squares);
                let norm = squares.sum.map_or_else(|| Tensor::zeros([1], &device), Tensor::sqrt);
                let scale = max_gradient_norm.map(|max| {
                    norm.clone().add_scalar(1e-6).recip().mul_scalar(max).clamp_max(1.0)
                });
                let (path, is_good) = (vec![], norm.clone().is_finite());
                let mut apply =
                    ApplyDevice { optimizer: self, gradients, scale, is_good, learning_rate, path };
                (model.map(&mut apply), norm)
            }
        }
    }

    fn update(&self, path: &str, learning_rate: f64, gradient_scale: f64) -> Update {
        let config = &self.config;
        let steps = self.steps as i32;
        let first_correction = 1.0 - config.beta_1.powi(steps);
        let second_correction = 1.0 - config.beta_2.powi(steps);
        let is_matrix = path.ends_with(".weight");
        let decay = if is_matrix || config.decay_bias_and_norm { config.weight_decay } else { 0.0 };
        Update {
            gradient_scale: gradient_scale as f32,
            keep: (1.0 - learning_rate * decay) as f32,
            beta_1: config.beta_1 as f32,
            beta_2: config.beta_2 as f32,
            step_size: (learning_rate / first_correction) as f32,
            second_scale: (1.0 / second_correction.sqrt()) as f32,
            epsilon: config.epsilon as f32,
        }
    }

    /// Reads the moments back as `first/PATH` and `second/PATH`.
    pub async fn read_back(&self) -> Vec<NamedTensor> {
        let mut host = Vec::new();
        let mut device = Vec::new();
        for (path, moments) in &self.moments {
            let (first_name, second_name) = (format!("first/{path}"), format!("second/{path}"));
            match moments {
                Moments::Host { first, second } => {
                    for (name, values) in [(first_name, first), (second_name, second)] {
                        let shape = vec![values.len()];
                        host.push(NamedTensor { name, shape, values: values.clone() });
                    }
                }
                Moments::Device { first, second } => {
                    for (name, tensor) in [(first_name, first), (second_name, second)] {
                        device.push((name, tensor.dims().to_vec(), tensor.clone()));
                    }
                }
            }
        }
        host.extend(read_tensors(device).await);
        host
    }

    /// Continues with the moments that [`AdamW::read_back`] gave after `steps` steps; `sizes` holds
    /// the number of values of every parameter.
    ///
    /// # Errors
    ///
    /// The name of a moment that has no partner, no parameter, or another number of values; nothing
    /// is changed then.
    pub fn restore(
        &mut self,
        tensors: Vec<NamedTensor>,
        sizes: &HashMap<String, usize>,
        steps: u32,
        device: &Device,
    ) -> Result<(), String> {
        let mut firsts = BTreeMap::new();
        let mut seconds = BTreeMap::new();
        for tensor in tensors {
            let (moments, path) = match tensor.name.split_once('/') {
                Some(("first", path)) => (&mut firsts, path),
                Some(("second", path)) => (&mut seconds, path),
                _ => return Err(tensor.name),
            };
            if sizes.get(path) != Some(&tensor.values.len()) {
                return Err(tensor.name);
            }
            moments.insert(path.to_owned(), tensor.values);
        }
        let mut restored = BTreeMap::new();
        for (path, first) in firsts {
            let Some(second) = seconds.remove(&path) else { return Err(format!("second/{path}")) };
            let moments = match self.placement {
                Placement::Host => Moments::Host { first, second },
                Placement::Device => {
                    let tensor = |values: Vec<f32>| {
                        let len = values.len();
                        Tensor::from_data(TensorData::new(values, [len]), device)
                    };
                    Moments::Device { first: tensor(first), second: tensor(second) }
                }
            };
            restored.insert(path, moments);
        }
        if let Some(path) = seconds.into_keys().next() {
            return Err(format!("first/{path}"));
        }
        self.moments = restored;
        self.steps = steps;
        Ok(())
    }
}

fn floats(data: &TensorData) -> &[f32] {
    data.as_slice().expect("gradients are f32")
}

/// Implements the path bookkeeping that every visitor and mapper here shares.
macro_rules! track_path {
    () => {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
    };
}

struct TakeHost {
    path: Vec<String>,
    gradients: GradientsParams,
    data: BTreeMap<String, TensorData>,
}

impl ModuleVisitor for TakeHost {
    track_path!();

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.data.insert(self.path.join("."), gradient.into_data());
        }
    }
}

struct ApplyHost<'a> {
    optimizer: &'a mut AdamW,
    gradients: BTreeMap<String, TensorData>,
    scale: f64,
    learning_rate: f64,
    path: Vec<String>,
}

impl ModuleMapper for ApplyHost<'_> {
    track_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(gradient) = self.gradients.remove(&path) else { return param };
        let update = self.optimizer.update(&path, self.learning_rate, self.scale);
        let (id, tensor, mapper) = param.consume();
        let inner = tensor.without_autodiff();
        let device = inner.device();
        let mut data = inner.into_data();
        let gradient = floats(&gradient);
        let zeros = || vec![0.0; gradient.len()];
        let moments = self.optimizer.moments.entry(path);
        let moments = moments.or_insert_with(|| Moments::Host { first: zeros(), second: zeros() });
        let Moments::Host { first, second } = moments else {
            unreachable!("the placement never changes")
        };
        let values = data.as_mut_slice::<f32>().expect("parameters are f32");
        update_slices(&update, values, gradient, first, second);
        let tensor = Tensor::from_data(data, &device).autodiff().require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squares = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + squares,
                None => squares,
            });
        }
    }
}

struct ApplyDevice<'a> {
    optimizer: &'a mut AdamW,
    gradients: GradientsParams,
    scale: Option<Tensor<1>>,
    /// `[1]`: whether the norm of all gradients is finite.
    is_good: Tensor<1, Bool>,
    learning_rate: f64,
    path: Vec<String>,
}

impl ModuleMapper for ApplyDevice<'_> {
    track_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let update = self.optimizer.update(&path, self.learning_rate, 1.0);
        let mut gradient = gradient.reshape([-1]);
        if let Some(scale) = &self.scale {
            gradient = gradient * scale.clone();
        }
        let (id, tensor, mapper) = param.consume();
        let inner = tensor.without_autodiff();
        let shape = inner.shape();
        let zeros = || gradient.zeros_like();
        let (old_first, old_second) = match self.optimizer.moments.remove(&path) {
            Some(Moments::Device { first, second }) => (first, second),
            _ => (zeros(), zeros()),
        };
        let first = old_first.clone() * update.beta_1 + gradient.clone() * (1.0 - update.beta_1);
        let second = old_second.clone() * update.beta_2 + gradient.square() * (1.0 - update.beta_2);
        let divisor = second.clone().sqrt() * update.second_scale + update.epsilon;
        let change = first.clone() / divisor * update.step_size;
        let inner = inner.reshape([-1]);
        let value = inner.clone() * update.keep - change;
        // A step whose gradient is no number leaves all three as they were.
        let is_good = self.is_good.clone().expand(value.dims());
        let value = inner.mask_where(is_good.clone(), value);
        let first = old_first.mask_where(is_good.clone(), first);
        let second = old_second.mask_where(is_good, second);
        self.optimizer.moments.insert(path, Moments::Device { first, second });
        let tensor = value.reshape(shape).autodiff().require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}
