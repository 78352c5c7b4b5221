//! BERT's input embeddings: token + position + token type, then LayerNorm and dropout
//! (Devlin et al. 2019, arXiv:1810.04805, section 3 and figure 2).
//!
//! The token table may be factorised into `[vocab_size, rank] × [rank, hidden_size]`
//! ("factorized embedding parameterization", Lan et al. 2020, ALBERT, arXiv:1909.11942, section 3.1).

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};

use super::{BertConfig, Noise};

/// Token, position and token-type tables with their LayerNorm.
#[derive(Module, Debug)]
pub struct Embeddings {
    /// Token table, `[vocab_size, hidden_size]`, or `[vocab_size, rank]` where it is factorised.
    pub word_embeddings: Embedding,
    /// `[rank, hidden_size]`, without bias, where the token table is factorised.
    pub projection: Option<Linear>,
    /// Position table, `[max_position_embeddings, hidden_size]`.
    pub position_embeddings: Embedding,
    /// Token-type table, `[type_vocab_size, hidden_size]`; all zero for a model that came from
    /// DistilBERT, which has none.
    pub token_type_embeddings: Embedding,
    /// LayerNorm over `hidden_size`.
    pub layer_norm: LayerNorm,
    pub(super) dropout: f64,
}

impl Embeddings {
    /// Tables of `config`'s sizes with unspecified values; see `TokenClassifier::init`.
    pub(super) fn skeleton(config: &BertConfig, device: &Device) -> Self {
        let table = |rows| EmbeddingConfig::new(rows, config.hidden_size).init(device);
        let width = config.embedding_rank.unwrap_or(config.hidden_size);
        Self {
            word_embeddings: EmbeddingConfig::new(config.vocab_size, width).init(device),
            projection: config.embedding_rank.map(|rank| {
                LinearConfig::new(rank, config.hidden_size).with_bias(false).init(device)
            }),
            position_embeddings: table(config.max_position_embeddings),
            token_type_embeddings: table(config.type_vocab_size),
            layer_norm: LayerNormConfig::new(config.hidden_size)
                .with_epsilon(config.layer_norm_eps)
                .init(device),
            dropout: config.hidden_dropout_prob,
        }
    }

    /// Embeds every sub-word; all are of token type 0.
    ///
    /// # Shapes
    ///
    /// - `input_ids`: `[batch_size, seq_len]`
    /// - returns: `[batch_size * seq_len, hidden_size]`
    pub fn forward(&self, input_ids: Tensor<2, Int>, noise: &mut Noise) -> Tensor<2> {
        let [batch_size, seq_len] = input_ids.dims();
        let device = input_ids.device();
        let positions = Tensor::<1, Int>::arange(0..seq_len as i64, &device).unsqueeze::<2>();
        let first_type = Tensor::<2, Int>::zeros([1, 1], &device);
        // Position and type rows are summed before they are spread over the batch: two small
        // tensors are added, not two of the batch's size.
        let place = self.position_embeddings.forward(positions)
            + self.token_type_embeddings.forward(first_type);
        let mut tokens = self.word_embeddings.forward(input_ids);
        if let Some(projection) = &self.projection {
            let width = tokens.dims()[2];
            let rows = projection.forward(tokens.reshape([batch_size * seq_len, width]));
            let hidden_size = rows.dims()[1];
            tokens = rows.reshape([batch_size, seq_len, hidden_size]);
        }
        let sum = tokens + place;
        let hidden_size = sum.dims()[2];
        let normed = self.layer_norm.forward(sum.reshape([batch_size * seq_len, hidden_size]));
        noise.dropout(normed, self.dropout)
    }
}
