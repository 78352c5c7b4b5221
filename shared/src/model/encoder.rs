//! BERT's encoder layers: self-attention and feed-forward, each with a residual and a LayerNorm
//! after it (Vaswani et al. 2017, arXiv:1706.03762, section 3; GELU as in arXiv:1606.08415).
//!
//! `Attention(Q, K, V) = softmax(Q Kᵀ / √d + bias) V`, with a bias of −1e9 on padded keys.
//!
//! Activations travel as `[batch_size * seq_len, hidden_size]`: a `Linear` is then one large matrix
//! product, where a three-dimensional input would be multiplied sentence by sentence.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, softmax};
use burn::tensor::{Bool, Device, FloatDType, Tensor};

use super::{BertConfig, Noise};
use crate::host::ops::{self, AddNormSettings, AttentionShape};

/// What every layer needs to know of a batch: its shape, and where it is padded.
#[derive(Clone, Debug)]
pub struct AttentionBias {
    batch_size: usize,
    seq_len: usize,
    /// `[batch_size, seq_len]`: 0 for a sub-word, −1e9 for padding.
    padding: Tensor<2>,
    is_padded: bool,
}

impl AttentionBias {
    /// From the mask of a batch; `is_padded` spares the addition where nothing is padded.
    ///
    /// # Shapes
    ///
    /// - `attention_mask`: `[batch_size, seq_len]`, `true` = a sub-word, `false` = padding
    pub fn new(attention_mask: Tensor<2, Bool>, is_padded: bool) -> Self {
        let [batch_size, seq_len] = attention_mask.dims();
        let zeros = Tensor::zeros([batch_size, seq_len], &attention_mask.device());
        let padding = match is_padded {
            true => zeros.mask_fill(attention_mask.bool_not(), -1e9),
            false => zeros,
        };
        Self { batch_size, seq_len, padding, is_padded }
    }
}

/// Multi-head self-attention with its output projection.
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// `[hidden_size, hidden_size]`
    pub query: Linear,
    /// `[hidden_size, hidden_size]`
    pub key: Linear,
    /// `[hidden_size, hidden_size]`
    pub value: Linear,
    /// `[hidden_size, hidden_size]`
    pub output: Linear,
    num_attention_heads: usize,
    dropout: f64,
}

impl SelfAttention {
    fn skeleton(config: &BertConfig, device: &Device) -> Self {
        let linear = || LinearConfig::new(config.hidden_size, config.hidden_size).init(device);
        Self {
            query: linear(),
            key: linear(),
            value: linear(),
            output: linear(),
            num_attention_heads: config.num_attention_heads,
            dropout: config.attention_probs_dropout_prob,
        }
    }

    /// # Shapes
    ///
    /// - `input`: `[batch_size * seq_len, hidden_size]`
    /// - returns: the same
    fn forward(&self, input: Tensor<2>, bias: &AttentionBias, noise: &mut Noise) -> Tensor<2> {
        let [rows, hidden_size] = input.dims();
        let head_size = hidden_size / self.num_attention_heads;
        let heads = |projected: Tensor<2>| {
            projected
                .reshape([bias.batch_size, bias.seq_len, self.num_attention_heads, head_size])
                .swap_dims(1, 2)
        };
        // The scale goes on the queries: they are fewer numbers than the scores of a long text.
        let scale = 1.0 / (head_size as f64).sqrt();
        let query = heads(apply(&self.query, input.clone()).mul_scalar(scale));
        let key = heads(apply(&self.key, input.clone()));
        let value = heads(apply(&self.value, input));
        let mut scores = query.matmul(key.transpose());
        if bias.is_padded {
            let shape = [bias.batch_size, 1, 1, bias.seq_len];
            scores = scores + bias.padding.clone().reshape(shape);
        }
        let weights = noise.dropout(softmax(scores, 3), self.dropout);
        let context = weights.matmul(value).swap_dims(1, 2).reshape([rows, hidden_size]);
        apply(&self.output, context)
    }
}

/// A linear layer, whose product is taken in half precision where its matrix is.
///
/// # Shapes
///
/// - `input`: `[rows, inputs]`
/// - returns: `[rows, outputs]`
fn apply(linear: &Linear, input: Tensor<2>) -> Tensor<2> {
    let (weight, dtype) = (linear.weight.val(), input.dtype());
    if weight.dtype() == dtype {
        return linear.forward(input);
    }
    let product = input.cast(FloatDType::F16).matmul(weight).cast(FloatDType::F32);
    match &linear.bias {
        Some(bias) => product + bias.val().unsqueeze(),
        None => product,
    }
}

/// One encoder layer.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    /// Self-attention.
    pub attention: SelfAttention,
    /// LayerNorm after the attention's residual.
    pub attention_norm: LayerNorm,
    /// `[hidden_size, intermediate_size]`
    pub intermediate: Linear,
    /// `[intermediate_size, hidden_size]`
    pub output: Linear,
    /// LayerNorm after the feed-forward's residual.
    pub output_norm: LayerNorm,
    dropout: f64,
    epsilon: f64,
    pub(super) on_host: bool,
}

impl EncoderLayer {
    pub(super) fn skeleton(config: &BertConfig, device: &Device) -> Self {
        let norm = || {
            LayerNormConfig::new(config.hidden_size)
                .with_epsilon(config.layer_norm_eps)
                .init(device)
        };
        Self {
            attention: SelfAttention::skeleton(config, device),
            attention_norm: norm(),
            intermediate: LinearConfig::new(config.hidden_size, config.intermediate_size)
                .init(device),
            output: LinearConfig::new(config.intermediate_size, config.hidden_size).init(device),
            output_norm: norm(),
            dropout: config.hidden_dropout_prob,
            epsilon: config.layer_norm_eps,
            on_host: false,
        }
    }

    /// Turns dropout off for good.
    pub(super) fn drop_nothing(&mut self) {
        self.dropout = 0.0;
        self.attention.dropout = 0.0;
    }

    /// # Shapes
    ///
    /// - `input`: `[batch_size * seq_len, hidden_size]`
    /// - returns: the same
    pub fn forward(&self, input: Tensor<2>, bias: &AttentionBias, noise: &mut Noise) -> Tensor<2> {
        if self.on_host {
            return self.forward_on_host(input, bias, noise);
        }
        let hidden = self.attend(input, bias, noise);
        let expanded = gelu(apply(&self.intermediate, hidden.clone()));
        let output = noise.dropout(apply(&self.output, expanded), self.dropout);
        self.output_norm.forward(hidden + output)
    }

    fn attend(&self, input: Tensor<2>, bias: &AttentionBias, noise: &mut Noise) -> Tensor<2> {
        let attended = self.attention.forward(input.clone(), bias, noise);
        self.attention_norm.forward(input + noise.dropout(attended, self.dropout))
    }

    /// What the neurons of the feed-forward part put out, without dropout.
    ///
    /// # Shapes
    ///
    /// - `input`: `[batch_size * seq_len, hidden_size]`
    /// - returns: `[batch_size * seq_len, intermediate_size]`
    pub fn neurons(&self, input: Tensor<2>, bias: &AttentionBias) -> Tensor<2> {
        gelu(self.intermediate.forward(self.attend(input, bias, &mut Noise::off())))
    }

    /// The same, fused for tensors in host memory.
    fn forward_on_host(
        &self,
        input: Tensor<2>,
        bias: &AttentionBias,
        noise: &mut Noise,
    ) -> Tensor<2> {
        let SelfAttention { query, key, value, output, .. } = &self.attention;
        let shape = AttentionShape {
            batch_size: bias.batch_size,
            seq_len: bias.seq_len,
            heads: self.attention.num_attention_heads,
            dropout: noise.mask(self.attention.dropout),
        };
        let context =
            ops::attention(input.clone(), [query, key, value], bias.padding.clone(), shape);
        let mut settings =
            || AddNormSettings { epsilon: self.epsilon, dropout: noise.mask(self.dropout) };
        let norm = &self.attention_norm;
        let hidden = ops::linear_add_norm(context, output, input, norm, settings());
        let expanded = ops::linear_gelu(hidden.clone(), &self.intermediate);
        ops::linear_add_norm(expanded, &self.output, hidden, &self.output_norm, settings())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TokenClassifier;
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::Int;

    /// Compares the gradients of every parameter by name.
    struct Gradients<'a> {
        gradients: &'a burn::tensor::Gradients,
        path: Vec<String>,
        all: Vec<(String, Vec<f32>)>,
    }

    impl ModuleVisitor for Gradients<'_> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.gradients).expect("every parameter is used");
            let values = gradient.into_data().try_to_vec::<f32>().expect("floats");
            self.all.push((self.path.join("."), values));
        }
    }

    /// Logits and all gradients of three sentences with dropout, padded where they differ.
    fn run(config: &BertConfig, lengths: [i32; 3], on_host: bool) -> Vec<(String, Vec<f32>)> {
        let device = Device::flex().autodiff();
        let len = lengths[0] as usize;
        let mut model = TokenClassifier::init(config, 5, 3, &device);
        if on_host {
            model = model.on_host();
        }
        let ids = (0..3 * len as i32).map(|index| (index * 11) % 49 + 1).collect::<Vec<i32>>();
        let input_ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &device).reshape([3, len]);
        let is_padded = lengths.iter().any(|other| *other != lengths[0]);
        let lengths = Tensor::<2, Int>::from_data(lengths.map(|length| [length]), &device);
        let positions = Tensor::<1, Int>::arange(0..len as i64, &device).reshape([1, len]);
        let mask = positions.expand([3, len]).lower(lengths.expand([3, len]));
        let mut noise = Noise::seeded(9);
        let logits = model.forward(input_ids, mask, is_padded, &mut noise);
        let count = (3 * len * 5) as i64;
        let weights = Tensor::<1, Int>::arange(0..count, &device).float().cos();
        let loss = (logits.clone() * weights.reshape([3, len, 5])).sum();
        let gradients = loss.backward();
        let mut visitor = Gradients { gradients: &gradients, path: vec![], all: vec![] };
        model.visit(&mut visitor);
        let logits = logits.into_data().try_to_vec::<f32>().expect("floats");
        visitor.all.push(("logits".to_owned(), logits));
        visitor.all
    }

    #[test]
    fn fused_operations_give_the_values_and_gradients_of_burns_own() {
        check_fused(&BertConfig::tiny(50), [7, 4, 1]);
        check_fused(&BertConfig::tiny(50), [6, 6, 6]);
        check_fused(&BertConfig::tiny(50), [1, 1, 1]);
    }

    /// Wide and long enough that every pass is cut into several chunks, the last one shorter.
    #[test]
    fn fused_operations_are_right_over_many_chunks() {
        let config = BertConfig {
            hidden_size: 384,
            num_attention_heads: 6,
            intermediate_size: 1024,
            num_hidden_layers: 1,
            ..BertConfig::tiny(50)
        };
        check_fused(&config, [47, 47, 20]);
    }

    fn check_fused(config: &BertConfig, lengths: [i32; 3]) {
        let (want, got) = (run(config, lengths, false), run(config, lengths, true));
        assert_eq!(want.len(), got.len());
        for ((name, want), (other, got)) in want.iter().zip(&got) {
            assert_eq!(name, other);
            let scale = want.iter().fold(1e-3f32, |largest, value| largest.max(value.abs()));
            for (want, got) in want.iter().zip(got) {
                // A few roundings of f32 in sums of some hundred terms.
                assert!((want - got).abs() < 2e-5 * scale, "{name}: {got}, expected {want}");
            }
        }
    }

    #[test]
    fn without_autodiff_the_fused_logits_are_the_same() {
        let device = Device::flex();
        let model = TokenClassifier::init(&BertConfig::tiny(50), 5, 3, &device);
        let input_ids = Tensor::<2, Int>::from_data([[1, 2, 3, 4], [5, 6, 0, 0]], &device);
        let mask = input_ids.clone().not_equal_elem(0);
        let logits = |model: &TokenClassifier| {
            model.forward(input_ids.clone(), mask.clone(), true, &mut Noise::off())
        };
        let difference = (logits(&model) - logits(&model.clone().on_host())).abs().max();
        assert!(difference.into_scalar::<f32>() < 1e-5);
    }
}
