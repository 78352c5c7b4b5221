//! What a training step minimises: the hard loss, the soft loss, or both.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::distillation::distillation_kl_sum;
use super::hidden_match::hidden_match_sum;
use super::token_cross_entropy::token_cross_entropy_sum;
use crate::data::batch::{Batch, BatchCounts};

/// How soft and hard loss are put together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combination {
    /// Cross entropy alone, as in fine-tuning.
    Hard,
    /// `alpha · soft + (1 − alpha) · hard`.
    Weighted {
        /// Share of the soft loss, 0 to 1.
        alpha: f64,
    },
    /// `soft + hard`, as in the reference.
    Sum,
}

/// What the summed soft loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftReduction {
    /// The number of sentences: all real positions, special tokens too, are summed, as
    /// `KLDivLoss(reduction="batchmean")` does on `[batch, seq, labels]`. (The reference adds padded
    /// positions as well, which carry no text; they are left out here.)
    BatchMean,
    /// The number of counted sub-words, special tokens not among them.
    CountedMean,
}

/// The loss of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// How the two losses are combined.
    pub combination: Combination,
    /// Softens both distributions in the soft loss; 1 = as they are.
    pub temperature: f64,
    /// What the soft loss is averaged over.
    pub soft_reduction: SoftReduction,
    /// The share of the soft loss at the end of the run, where it changes on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_alpha: Option<f64>,
    /// The temperature at the end of the run, where it changes on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_temperature: Option<f64>,
    /// Weight of the mean squared difference of hidden states; 0 = they are not compared.
    #[serde(default)]
    pub hidden_weight: f64,
}

/// The losses of one batch, each `[1]`, already averaged.
#[derive(Clone, Debug)]
pub struct Losses {
    /// What is minimised.
    pub total: Tensor<1>,
    /// Cross entropy with the labels.
    pub hard: Tensor<1>,
    /// Divergence from the teacher, where there is one.
    pub soft: Option<Tensor<1>>,
    /// Mean squared difference of hidden states, where they are compared; not yet weighted.
    pub hidden: Option<Tensor<1>>,
}

/// Hidden states to compare, `[batch_size, seq_len, width]` each, the student's first.
pub type HiddenPairs = Vec<(Tensor<3>, Tensor<3>)>;

impl Objective {
    /// Cross entropy alone.
    pub fn hard() -> Self {
        Self {
            combination: Combination::Hard,
            temperature: 1.0,
            soft_reduction: SoftReduction::CountedMean,
            final_alpha: None,
            final_temperature: None,
            hidden_weight: 0.0,
        }
    }

    /// The reference's loss: `KLDiv(batchmean) · T² + CE` with T = 2.
    pub fn reference() -> Self {
        Self {
            combination: Combination::Sum,
            temperature: 2.0,
            soft_reduction: SoftReduction::BatchMean,
            ..Self::hard()
        }
    }

    /// The loss when `progress` of the run is done, 0 to 1: temperature and alpha go in a straight
    /// line from their first value to their last.
    pub fn at(&self, progress: f64) -> Self {
        let between = |first: f64, last: Option<f64>| {
            last.map_or(first, |last| first + (last - first) * progress)
        };
        let combination = match self.combination {
            Combination::Weighted { alpha } => {
                Combination::Weighted { alpha: between(alpha, self.final_alpha) }
            }
            other => other,
        };
        let temperature = between(self.temperature, self.final_temperature);
        Self { combination, temperature, ..*self }
    }

    /// Whether a teacher's logits are needed.
    pub fn is_soft(&self) -> bool {
        self.combination != Combination::Hard
    }

    /// The losses of one batch. `whole` counts all batches of the optimiser's step, so that losses
    /// of accumulated batches add up to the loss of the whole.
    ///
    /// # Shapes
    ///
    /// - `student_logits`, `teacher_logits`: `[batch_size, seq_len, num_labels]`
    /// - `hidden_pairs`: none where hidden states are not compared
    pub fn losses(
        &self,
        student_logits: Tensor<3>,
        teacher_logits: Option<Tensor<3>>,
        hidden_pairs: HiddenPairs,
        batch: &Batch,
        whole: &BatchCounts,
    ) -> Losses {
        let mut losses = self.label_losses(student_logits, teacher_logits, batch, whole);
        let share = 1.0 / (hidden_pairs.len() * whole.counted).max(1) as f64;
        let differences = hidden_pairs.into_iter().map(|(student, teacher)| {
            hidden_match_sum(student, teacher, batch.counted_mask.clone())
        });
        if let Some(sum) = differences.reduce(|sum, difference| sum + difference) {
            let hidden = sum.mul_scalar(share);
            losses.total = losses.total + hidden.clone().mul_scalar(self.hidden_weight);
            losses.hidden = Some(hidden);
        }
        losses
    }

    fn label_losses(
        &self,
        student_logits: Tensor<3>,
        teacher_logits: Option<Tensor<3>>,
        batch: &Batch,
        whole: &BatchCounts,
    ) -> Losses {
        let share = |count: usize| 1.0 / count.max(1) as f64;
        let (label_ids, label_mask) = (batch.label_ids.clone(), batch.label_mask.clone());
        let hard = token_cross_entropy_sum(student_logits.clone(), label_ids, label_mask)
            .mul_scalar(share(whole.labelled));
        if !self.is_soft() {
            return Losses { total: hard.clone(), hard, soft: None, hidden: None };
        }
        let teacher_logits = teacher_logits.expect("a soft loss is given the teacher's logits");
        let (mask, scale) = match self.soft_reduction {
            SoftReduction::BatchMean => (&batch.attention_mask, share(whole.sentences)),
            SoftReduction::CountedMean => (&batch.counted_mask, share(whole.counted)),
        };
        let soft =
            distillation_kl_sum(student_logits, teacher_logits, mask.clone(), self.temperature)
                .mul_scalar(scale);
        let total = match self.combination {
            Combination::Hard => unreachable!("returned above"),
            Combination::Sum => soft.clone() + hard.clone(),
            Combination::Weighted { alpha } => {
                soft.clone().mul_scalar(alpha) + hard.clone().mul_scalar(1.0 - alpha)
            }
        };
        Losses { total, hard, soft: Some(soft), hidden: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperature_and_alpha_go_in_a_straight_line() {
        let objective = Objective {
            combination: Combination::Weighted { alpha: 1.0 },
            temperature: 8.0,
            final_alpha: Some(0.5),
            final_temperature: Some(2.0),
            ..Objective::reference()
        };
        let at = |progress| {
            let now = objective.at(progress);
            (now.combination, now.temperature)
        };
        assert_eq!(at(0.0), (Combination::Weighted { alpha: 1.0 }, 8.0));
        assert_eq!(at(0.5), (Combination::Weighted { alpha: 0.75 }, 5.0));
        assert_eq!(at(1.0), (Combination::Weighted { alpha: 0.5 }, 2.0));
        assert_eq!(Objective::reference().at(0.7), Objective::reference());
    }
}
