//! BERT's encoder layers: self-attention and feed-forward, each with a residual and a LayerNorm
//! after it (Vaswani et al. 2017, arXiv:1706.03762, section 3; GELU as in arXiv:1606.08415).
//!
//! `Attention(Q, K, V) = softmax(Q Kᵀ / √d + bias) V`, with a bias of −1e9 on padded keys.
//!
//! Activations travel as `[batch_size * seq_len, hidden_size]`: a `Linear` is then one large matrix
//! product, where a three-dimensional input would be multiplied sentence by sentence.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Tensor};

use super::activation::{gelu_on_device, gelu_on_host};
use super::{BertConfig, Noise};

/// What every layer needs to know of a batch: its shape, and where it is padded.
#[derive(Clone, Debug)]
pub struct AttentionBias {
    batch_size: usize,
    seq_len: usize,
    /// `[batch_size, 1, 1, seq_len]`: 0 for a sub-word, −1e9 for padding; `None` without padding.
    bias: Option<Tensor<4>>,
}

impl AttentionBias {
    /// From the mask of a batch; `is_padded` spares the addition where nothing is padded.
    ///
    /// # Shapes
    ///
    /// - `attention_mask`: `[batch_size, seq_len]`, `true` = a sub-word, `false` = padding
    pub fn new(attention_mask: Tensor<2, Bool>, is_padded: bool) -> Self {
        let [batch_size, seq_len] = attention_mask.dims();
        let bias = is_padded.then(|| {
            let device = attention_mask.device();
            Tensor::<2>::zeros([batch_size, seq_len], &device)
                .mask_fill(attention_mask.bool_not(), -1e9)
                .reshape([batch_size, 1, 1, seq_len])
        });
        Self { batch_size, seq_len, bias }
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
        let query = heads(self.query.forward(input.clone()).mul_scalar(scale));
        let key = heads(self.key.forward(input.clone()));
        let value = heads(self.value.forward(input));
        let mut scores = query.matmul(key.transpose());
        if let Some(bias) = &bias.bias {
            scores = scores + bias.clone();
        }
        let weights = noise.dropout(softmax(scores, 3), self.dropout);
        let context = weights.matmul(value).swap_dims(1, 2).reshape([rows, hidden_size]);
        self.output.forward(context)
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
            on_host: false,
        }
    }

    /// # Shapes
    ///
    /// - `input`: `[batch_size * seq_len, hidden_size]`
    /// - returns: the same
    pub fn forward(&self, input: Tensor<2>, bias: &AttentionBias, noise: &mut Noise) -> Tensor<2> {
        let attended = self.attention.forward(input.clone(), bias, noise);
        let hidden = self.attention_norm.forward(input + noise.dropout(attended, self.dropout));
        let expanded = self.intermediate.forward(hidden.clone());
        let expanded = if self.on_host { gelu_on_host(expanded) } else { gelu_on_device(expanded) };
        let output = noise.dropout(self.output.forward(expanded), self.dropout);
        self.output_norm.forward(hidden + output)
    }
}
