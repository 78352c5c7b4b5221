//! The operations of an encoder layer as Burn backend extensions for the CPU, with their gradients.
//!
//! They are called through [`attention`], [`linear_gelu`] and [`linear_add_norm`], on tensors of
//! Burn's `flex` backend only, with or without autodiff.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;

use super::add_norm::{Normed, add_norm, add_norm_backward};
use super::attention::{self as attend, Attended, ProjectionGradients};
use super::linear::{
    HostTensor, bias_gradient, contiguous, gelu, gelu_backward, input_gradient, linear, multiply,
    weight_gradient,
};
use super::mask::DropoutMask;

pub use super::attention::AttentionShape;

/// Weight `[in, out]` and bias `[out]` of a linear layer.
#[derive(Clone, Debug, ExtensionType)]
pub struct LinearTensors<B: Backend> {
    /// `[in, out]`
    pub weight: FloatTensor<B>,
    /// `[out]`
    pub bias: FloatTensor<B>,
}

/// Scale and shift of a LayerNorm, `[width]` each.
#[derive(Clone, Debug, ExtensionType)]
pub struct NormTensors<B: Backend> {
    /// Scale.
    pub gamma: FloatTensor<B>,
    /// Shift.
    pub beta: FloatTensor<B>,
}

/// What [`linear_add_norm`] needs beside tensors.
#[derive(Clone, Copy, Debug)]
pub struct AddNormSettings {
    /// Added to the variance.
    pub epsilon: f64,
    /// Dropout before the residual.
    pub dropout: DropoutMask,
}

/// The fused operations; see the functions of the same names.
#[backend_extension(Flex, Autodiff)]
pub trait HostOps: Backend {
    /// See [`attention`].
    fn attention(
        input: FloatTensor<Self>,
        #[extension_type] query: LinearTensors<Self>,
        #[extension_type] key: LinearTensors<Self>,
        #[extension_type] value: LinearTensors<Self>,
        padding: FloatTensor<Self>,
        shape: AttentionShape,
    ) -> FloatTensor<Self>;

    /// See [`linear_gelu`].
    fn linear_gelu(
        input: FloatTensor<Self>,
        #[extension_type] linear: LinearTensors<Self>,
    ) -> FloatTensor<Self>;

    /// See [`linear_add_norm`].
    fn linear_add_norm(
        input: FloatTensor<Self>,
        #[extension_type] linear: LinearTensors<Self>,
        residual: FloatTensor<Self>,
        #[extension_type] norm: NormTensors<Self>,
        settings: AddNormSettings,
    ) -> FloatTensor<Self>;
}

/// Self-attention of every head with its three projections.
///
/// # Shapes
///
/// - `input`: `[batch_size * seq_len, width]`
/// - `padding`: `[batch_size, seq_len]`, added to the scores of each key
/// - returns: `[batch_size * seq_len, width]`
pub fn attention(
    input: Tensor<2>,
    [query, key, value]: [&Linear; 3],
    padding: Tensor<2>,
    shape: AttentionShape,
) -> Tensor<2> {
    let [query, key, value] = [query, key, value].map(linear_tensors);
    let (input, padding) = (input.into_dispatch(), padding.into_dispatch());
    Tensor::from_dispatch(<Dispatch as HostOps>::attention(
        input, query, key, value, padding, shape,
    ))
}

/// `GELU(input W + b)`.
///
/// # Shapes
///
/// - `input`: `[rows, in]`
/// - returns: `[rows, out]`
pub fn linear_gelu(input: Tensor<2>, linear: &Linear) -> Tensor<2> {
    let output = <Dispatch as HostOps>::linear_gelu(input.into_dispatch(), linear_tensors(linear));
    Tensor::from_dispatch(output)
}

/// `LayerNorm(residual + dropout(input W + b))`.
///
/// # Shapes
///
/// - `input`: `[rows, in]`
/// - `residual`, returns: `[rows, out]`
pub fn linear_add_norm(
    input: Tensor<2>,
    linear: &Linear,
    residual: Tensor<2>,
    norm: &LayerNorm,
    settings: AddNormSettings,
) -> Tensor<2> {
    let beta = norm.beta.as_ref().expect("BERT's LayerNorm has a shift").val();
    let norm = NormTensors { gamma: norm.gamma.val().into_dispatch(), beta: beta.into_dispatch() };
    let (input, residual) = (input.into_dispatch(), residual.into_dispatch());
    let linear = linear_tensors(linear);
    Tensor::from_dispatch(<Dispatch as HostOps>::linear_add_norm(
        input, linear, residual, norm, settings,
    ))
}

fn linear_tensors(linear: &Linear) -> LinearTensors<Dispatch> {
    let bias = linear.bias.as_ref().expect("BERT's linear layers have a bias").val();
    LinearTensors { weight: linear.weight.val().into_dispatch(), bias: bias.into_dispatch() }
}

impl HostOps for Flex {
    fn attention(
        input: HostTensor,
        query: LinearTensors<Self>,
        key: LinearTensors<Self>,
        value: LinearTensors<Self>,
        padding: HostTensor,
        shape: AttentionShape,
    ) -> HostTensor {
        attend::attention(input, [query, key, value], padding, shape).0
    }

    fn linear_gelu(input: HostTensor, parameters: LinearTensors<Self>) -> HostTensor {
        gelu(&linear(&contiguous(input), &parameters.weight, &parameters.bias))
    }

    fn linear_add_norm(
        input: HostTensor,
        linear: LinearTensors<Self>,
        residual: HostTensor,
        norm: NormTensors<Self>,
        settings: AddNormSettings,
    ) -> HostTensor {
        let product = multiply(&contiguous(input), &linear.weight);
        add_norm(product, residual, linear.bias, norm, settings).0
    }
}

/// Computes and registers a gradient where a parent asks for one. (The type of a parent is private to
/// Burn, so this is no function.)
macro_rules! register {
    ($grads:ident, $parent:expr, $gradient:expr) => {
        if let Some(parent) = $parent {
            let gradient = $gradient;
            $grads.register::<Flex>(parent.id, gradient);
        }
    };
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 7> for AttentionBackward {
    type State = Attended;

    fn backward(
        self,
        ops: Ops<Self::State, 7>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let [input, parameters @ ..] = ops.parents;
        let gradients = ProjectionGradients::new(ops.state, gradient);
        register!(grads, input, gradients.input());
        for (index, node) in parameters.into_iter().enumerate() {
            let projection = index / 2;
            let is_weight = index % 2 == 0;
            register!(
                grads,
                node,
                match is_weight {
                    true => gradients.weight(projection),
                    false => gradients.bias(projection),
                }
            );
        }
    }
}

#[derive(Debug)]
struct LinearGeluBackward;

impl Backward<Flex, 3> for LinearGeluBackward {
    /// The input where the weight's gradient is asked for, the weight, and what GELU was taken of.
    type State = (Option<HostTensor>, [HostTensor; 2]);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let ([input_node, weight_node, bias_node], (input, [weight, expanded])) =
            (ops.parents, ops.state);
        let gradient = gelu_backward(&expanded, gradient);
        register!(grads, bias_node, bias_gradient(&gradient));
        register!(grads, weight_node, weight_gradient(&kept(input), &gradient));
        register!(grads, input_node, input_gradient(&gradient, &weight));
    }
}

#[derive(Debug)]
struct LinearAddNormBackward;

impl Backward<Flex, 6> for LinearAddNormBackward {
    /// The input where the weight's gradient is asked for, the weight, and what the rest keeps.
    type State = (Option<HostTensor>, HostTensor, Normed);

    fn backward(
        self,
        ops: Ops<Self::State, 6>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let [input_node, weight_node, bias_node, residual_node, gamma_node, beta_node] =
            ops.parents;
        let (input, weight, normed) = ops.state;
        let gradients = add_norm_backward(normed, gradient);
        register!(grads, bias_node, gradients.bias);
        register!(grads, residual_node, gradients.residual);
        register!(grads, gamma_node, gradients.gamma);
        register!(grads, beta_node, gradients.beta);
        register!(grads, weight_node, weight_gradient(&kept(input), &gradients.input));
        register!(grads, input_node, input_gradient(&gradients.input, &weight));
    }
}

/// An input that was kept because its weight's gradient was asked for.
fn kept(input: Option<HostTensor>) -> HostTensor {
    input.expect("kept where the weight is trained")
}

impl<C: CheckpointStrategy> HostOps for Autodiff<Flex, C> {
    fn attention(
        input: FloatTensor<Self>,
        query: LinearTensors<Self>,
        key: LinearTensors<Self>,
        value: LinearTensors<Self>,
        padding: FloatTensor<Self>,
        shape: AttentionShape,
    ) -> FloatTensor<Self> {
        let (input, input_node) = input.into_parts();
        let [(query, query_nodes), (key, key_nodes), (value, value_nodes)] =
            [query, key, value].map(into_parts);
        let [query_weight, query_bias] = query_nodes;
        let [key_weight, key_bias] = key_nodes;
        let [value_weight, value_bias] = value_nodes;
        let nodes =
            [input_node, query_weight, query_bias, key_weight, key_bias, value_weight, value_bias];
        let projections = [query, key, value];
        let (context, attended) =
            attend::attention(input, projections, padding.into_primitive(), shape);
        match AttentionBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(attended, context),
            OpsKind::UnTracked(prep) => prep.finish(context),
        }
    }

    fn linear_gelu(input: FloatTensor<Self>, parameters: LinearTensors<Self>) -> FloatTensor<Self> {
        let is_trained = parameters.weight.is_tracked();
        let (input, input_node) = input.into_parts();
        let (LinearTensors { weight, bias }, [weight_node, bias_node]) = into_parts(parameters);
        let nodes = [input_node, weight_node, bias_node];
        let input = contiguous(input);
        let expanded = linear(&input, &weight, &bias);
        match LinearGeluBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let output = gelu(&expanded);
                prep.finish((is_trained.then_some(input), [weight, expanded]), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(gelu(&expanded)),
        }
    }

    fn linear_add_norm(
        input: FloatTensor<Self>,
        linear: LinearTensors<Self>,
        residual: FloatTensor<Self>,
        norm: NormTensors<Self>,
        settings: AddNormSettings,
    ) -> FloatTensor<Self> {
        let is_trained = linear.weight.is_tracked();
        let (input, input_node) = input.into_parts();
        let (LinearTensors { weight, bias }, [weight_node, bias_node]) = into_parts(linear);
        let (residual, residual_node) = residual.into_parts();
        let (gamma, gamma_node) = norm.gamma.into_parts();
        let (beta, beta_node) = norm.beta.into_parts();
        let nodes = [input_node, weight_node, bias_node, residual_node, gamma_node, beta_node];
        let input = contiguous(input);
        let product = multiply(&input, &weight);
        let norm = NormTensors { gamma, beta };
        let (output, normed) = add_norm(product, residual, bias, norm, settings);
        match LinearAddNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((is_trained.then_some(input), weight, normed), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

fn into_parts<C: CheckpointStrategy>(
    linear: LinearTensors<Autodiff<Flex, C>>,
) -> (LinearTensors<Flex>, [NodeGuard; 2]) {
    let (weight, weight_node) = linear.weight.into_parts();
    let (bias, bias_node) = linear.bias.into_parts();
    (LinearTensors { weight, bias }, [weight_node, bias_node])
}
