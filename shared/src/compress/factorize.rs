//! The token table of a trained model as the product of two thin ones, and back.
//!
//! `[vocab_size, hidden_size] ≈ [vocab_size, rank] · [rank, hidden_size]`: "factorized embedding
//! parameterization" (Lan et al. 2020, ALBERT, arXiv:1909.11942, section 3.1), but of a table that was
//! learned whole. With rank 64 `bert-base-cased` falls from 107,726,601 to 87,362,569 parameters.

use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::frequency::TokenCounts;
use super::svd::{TruncatedSvd, truncated_svd};
use crate::checkpoint::weights::read_tensors;
use crate::model::{BertConfig, TokenClassifier};

/// Why a token table cannot be factorised or multiplied out.
#[derive(Debug, Error)]
pub enum FactorizeError {
    /// It already is.
    #[error(
        "the token table is factorised already, with rank {rank}; expected a dense one of \
         [vocab_size, hidden_size]"
    )]
    AlreadyFactorized {
        /// Its rank.
        rank: usize,
    },
    /// It is not factorised.
    #[error(
        "the token table is dense; expected a factorised one (`embedding_rank` in config.json)"
    )]
    Dense,
    /// A rank that makes nothing smaller.
    #[error(
        "rank {rank}: expected 1 to {most}, so that the factors are smaller than the table of \
         {vocab_size} × {hidden_size}"
    )]
    Rank {
        /// The rank asked for.
        rank: usize,
        /// The highest that saves anything.
        most: usize,
        /// Rows of the table.
        vocab_size: usize,
        /// Columns of the table.
        hidden_size: usize,
    },
}

/// What a factorisation keeps of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Singular values that were kept.
    pub rank: usize,
    /// All singular values, largest first; of the table with its rows' weights, where they have some.
    pub singular_values: Vec<f64>,
    /// `Σ kept σ / Σ σ`, 0 to 1.
    pub mass_kept: f64,
    /// `‖A − A'‖ / ‖A‖` in the Frobenius norm, weighted as the rows are, 0 to 1.
    pub relative_error: f64,
}

impl Spectrum {
    fn new(singular_values: Vec<f64>, rank: usize) -> Self {
        let (kept, lost) = singular_values.split_at(rank);
        let sum = |values: &[f64]| values.iter().sum::<f64>();
        let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let (mass, energy) = (sum(&singular_values), squares(&singular_values));
        let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
        Self {
            mass_kept: share(sum(kept), mass),
            relative_error: share(squares(lost), energy).sqrt(),
            rank,
            singular_values,
        }
    }
}

/// Replaces the dense token table by its best factors of `rank`; returns the model, its
/// configuration, and what was kept.
///
/// With `counts` the factors are the best over the text that was counted, else over the vocabulary,
/// each token once. The second factor is `Vᵀ`, the first the table times `V`.
///
/// # Errors
///
/// A table that is factorised already, or a rank that is out of range.
pub async fn factorize(
    model: TokenClassifier,
    config: &BertConfig,
    rank: usize,
    counts: Option<&TokenCounts>,
) -> Result<(TokenClassifier, BertConfig, Spectrum), FactorizeError> {
    if let Some(rank) = config.embedding_rank {
        return Err(FactorizeError::AlreadyFactorized { rank });
    }
    let BertConfig { vocab_size, hidden_size, .. } = *config;
    // The factors are smaller while rank · (vocab_size + hidden_size) < vocab_size · hidden_size.
    let most = (vocab_size * hidden_size - 1) / (vocab_size + hidden_size);
    if !(1..=most).contains(&rank) {
        return Err(FactorizeError::Rank { rank, most, vocab_size, hidden_size });
    }
    let table = read(model.embeddings.word_embeddings.weight.val()).await;
    let weights = counts.map(|counts| counts.weights(vocab_size));
    let svd = truncated_svd(&table, [vocab_size, hidden_size], rank, weights.as_deref());
    let TruncatedSvd { left, right, singular_values } = svd;
    let factors = [(left, [vocab_size, rank]), (right, [rank, hidden_size])];
    let config = BertConfig { embedding_rank: Some(rank), ..config.clone() };
    Ok((with_table(model, factors), config, Spectrum::new(singular_values, rank)))
}

/// Puts random factors in the place of trained ones: N(0, `initializer_range`²), from `seed`.
pub fn with_random_factors(
    model: TokenClassifier,
    config: &BertConfig,
    seed: u64,
) -> TokenClassifier {
    let fresh = TokenClassifier::init(config, 1, seed, &model.device());
    let mut model = model;
    model.embeddings.word_embeddings = fresh.embeddings.word_embeddings;
    model.embeddings.projection = fresh.embeddings.projection;
    model
}

/// Multiplies a factorised token table out, so that programs that know only dense ones can read it.
///
/// # Errors
///
/// A table that is dense already.
pub async fn densify(
    model: TokenClassifier,
    config: &BertConfig,
) -> Result<(TokenClassifier, BertConfig), FactorizeError> {
    let Some(projection) = &model.embeddings.projection else { return Err(FactorizeError::Dense) };
    let factor = model.embeddings.word_embeddings.weight.val().without_autodiff();
    let table = read(factor.matmul(projection.weight.val().without_autodiff())).await;
    let table = (table, [config.vocab_size, config.hidden_size]);
    let config = BertConfig { embedding_rank: None, ..config.clone() };
    Ok((with_table(model, [table, (vec![], [0, 0])]), config))
}

async fn read(tensor: Tensor<2>) -> Vec<f32> {
    let shape = tensor.dims().to_vec();
    let tensor = tensor.without_autodiff().reshape([-1]);
    read_tensors(vec![(String::new(), shape, tensor)]).await.remove(0).values
}

/// The model with another token table: factors, or a table and an empty projection.
fn with_table(
    mut model: TokenClassifier,
    [(table, table_shape), (projection, projection_shape)]: [(Vec<f32>, [usize; 2]); 2],
) -> TokenClassifier {
    let device = model.device();
    let parameter = |values, shape| Param::from_data(TensorData::new(values, shape), &device);
    model.embeddings.word_embeddings = Embedding { weight: parameter(table, table_shape) };
    model.embeddings.projection = (!projection.is_empty())
        .then(|| Linear { weight: parameter(projection, projection_shape), bias: None });
    model
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Noise;
    use burn::module::Module;
    use burn::tensor::{Device, Int};

    fn model(config: &BertConfig) -> TokenClassifier {
        TokenClassifier::init(config, 3, 1, &Device::flex())
    }

    fn logits(model: &TokenClassifier) -> Tensor<3> {
        let input_ids = Tensor::<2, Int>::from_data([[1, 7, 30, 59]], &Device::flex());
        let mask = input_ids.clone().not_equal_elem(0);
        model.forward(input_ids, mask, false, &mut Noise::off())
    }

    fn difference(left: &TokenClassifier, right: &TokenClassifier) -> f32 {
        (logits(left) - logits(right)).abs().max().into_scalar::<f32>()
    }

    #[test]
    fn factors_multiplied_out_are_the_factorised_model() {
        let config = BertConfig::tiny(60);
        let (factorized, smaller, spectrum) =
            pollster::block_on(factorize(model(&config), &config, 8, None)).expect("dense");
        assert_eq!(smaller.embedding_rank, Some(8));
        let saved = 60 * 32 - 8 * (60 + 32);
        assert_eq!(model(&config).num_params() - factorized.num_params(), saved);
        assert!((0.3..0.9).contains(&spectrum.relative_error), "{}", spectrum.relative_error);
        let (dense, larger) =
            pollster::block_on(densify(factorized.clone(), &smaller)).expect("factorised");
        assert_eq!(larger, config);
        assert!(difference(&dense, &factorized) < 1e-5);
    }

    #[test]
    fn tokens_that_were_counted_are_kept_better_and_the_error_is_theirs() {
        let config = BertConfig::tiny(60);
        let mut counts = TokenCounts::new(60);
        counts.add((0..1000).map(|n| [1, 7, 30, 59][n % 4]));
        let cut = |counts| {
            let cut = pollster::block_on(factorize(model(&config), &config, 6, counts));
            let (cut, _, spectrum) = cut.expect("dense");
            (difference(&cut, &model(&config)), spectrum.relative_error)
        };
        let (plain, weighted) = (cut(None), cut(Some(&counts)));
        assert!(weighted.0 < 0.3 * plain.0, "{weighted:?} against {plain:?}");
        assert!(weighted.1 < 0.3 * plain.1, "{weighted:?} against {plain:?}");
    }

    #[test]
    fn a_table_of_low_rank_loses_nothing() {
        let config = BertConfig { embedding_rank: Some(4), ..BertConfig::tiny(60) };
        let low = model(&config);
        let (dense, config) = pollster::block_on(densify(low, &config)).expect("factorised");
        let (again, _, spectrum) =
            pollster::block_on(factorize(dense.clone(), &config, 4, None)).expect("dense");
        assert!(spectrum.relative_error < 1e-6 && spectrum.mass_kept > 1.0 - 1e-6);
        assert!(difference(&dense, &again) < 1e-5);
    }

    #[test]
    fn ranks_that_save_nothing_are_refused() {
        let config = BertConfig::tiny(60);
        for rank in [0, 21, 32] {
            let error = pollster::block_on(factorize(model(&config), &config, rank, None));
            let message = error.expect_err("out of range").to_string();
            assert!(message.contains("expected 1 to 20"), "{message}");
        }
    }

    #[test]
    fn twice_and_back_twice_are_errors() {
        let config = BertConfig { embedding_rank: Some(4), ..BertConfig::tiny(60) };
        let twice = pollster::block_on(factorize(model(&config), &config, 2, None));
        assert!(matches!(twice, Err(FactorizeError::AlreadyFactorized { rank: 4 })));
        let config = BertConfig::tiny(60);
        let back = pollster::block_on(densify(model(&config), &config));
        assert!(matches!(back, Err(FactorizeError::Dense)));
    }
}
