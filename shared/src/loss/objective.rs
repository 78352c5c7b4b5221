//! What a training step minimises: the hard loss, the soft loss, or both.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::distillation::distillation_kl_sum;
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
}

impl Objective {
    /// Cross entropy alone.
    pub fn hard() -> Self {
        Self {
            combination: Combination::Hard,
            temperature: 1.0,
            soft_reduction: SoftReduction::CountedMean,
        }
    }

    /// The reference's loss: `KLDiv(batchmean) · T² + CE` with T = 2.
    pub fn reference() -> Self {
        Self {
            combination: Combination::Sum,
            temperature: 2.0,
            soft_reduction: SoftReduction::BatchMean,
        }
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
    pub fn losses(
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
            return Losses { total: hard.clone(), hard, soft: None };
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
        Losses { total, hard, soft: Some(soft) }
    }
}
