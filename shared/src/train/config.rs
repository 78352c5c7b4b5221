//! The settings of a training run, as they stand in its snapshot.

use serde::{Deserialize, Serialize};

use super::adamw::AdamWConfig;
use crate::data::batch::BatchBudget;
use crate::loss::objective::Objective;

/// Everything that decides what a run computes, besides its data and its first weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the training examples.
    pub epochs: usize,
    /// When a batch is full.
    pub batch: BatchBudget,
    /// Batches whose gradients make one step.
    pub gradient_accumulation: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: usize,
    /// Largest norm of all gradients together; `None` = no clipping.
    pub max_gradient_norm: Option<f64>,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// What is minimised.
    pub objective: Objective,
    /// Unlabelled examples for each labelled one in an epoch, taken in turn; `None` = all of them in
    /// every epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_ratio: Option<f64>,
    /// Share of the input's sub-words that the model in training does not see, 0 up to but not including
    /// 1; what is to be learned of them stays (word dropout: Iyyer et al. 2015, ACL P15-1162, section
    /// 3.1).
    #[serde(default)]
    pub token_dropout: f64,
    /// Steps between two evaluations; `None` = after each epoch.
    pub evaluate_every: Option<usize>,
    /// Evaluations without a better F1 after which the run ends; `None` = never.
    pub patience: Option<usize>,
    /// Steps whose losses are read from the device together.
    pub log_every: usize,
    /// Seed of batches and dropout.
    pub seed: u64,
}

impl TrainConfig {
    /// A seed of its own for each use, so that no two streams run in step (SplitMix64's finaliser,
    /// <https://doi.org/10.1145/2714064.2660195>).
    pub fn stream(&self, purpose: u64, index: u64) -> u64 {
        let mut seed = self.seed;
        for value in [purpose, index] {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_add(value);
            seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            seed ^= seed >> 31;
        }
        seed
    }
}
