//! The one training loop, for the terminal and for the browser.
//!
//! A step: batches by seed → student's logits → losses → gradients → AdamW. Everything a step needs
//! follows from the seed and its number, so a run that was stopped at any step, or killed, continues
//! from its last checkpoint to the same losses.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::config::TrainConfig;
use super::evaluate::{LabelledSet, SplitScores, evaluate};
use super::plan::Plan;
use super::schedule::learning_rate;
use super::scope::merged;
use super::source::{Source, SourceError};
use super::state::{Checkpoint, TrainState};
use super::step::{PendingStep, read_steps, train_step};
use super::trainee::Trainee;
use crate::checkpoint::weights::{NamedTensor, read_back};
use crate::data::label::LabelSet;
use crate::infer::decode::Decoding;
use crate::model::TokenClassifier;

/// What a run learns from and is measured on.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// Training examples, with the teacher's logits where there is a soft loss.
    pub train: &'a dyn Source,
    /// The teacher, on a device without autodiff; needed where hidden states are compared.
    pub teacher: Option<&'a TokenClassifier>,
    /// Measured on the way; the best checkpoint is chosen by its F1.
    pub dev: Option<&'a LabelledSet>,
    /// The labels.
    pub labels: &'a LabelSet,
    /// Fills short rows.
    pub pad_token_id: u32,
    /// Stands where [`TrainConfig::token_dropout`] leaves a sub-word out.
    pub mask_token_id: u32,
}

/// One step, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Counted from 1.
    pub step: usize,
    /// Epochs done, as a fraction.
    pub epoch: f64,
    /// What was minimised.
    pub loss: f64,
    /// Divergence from the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_loss: Option<f64>,
    /// Cross entropy with the labels.
    pub hard_loss: f64,
    /// Difference of hidden states from the teacher's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_loss: Option<f64>,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// Sub-words and special tokens it read, without padding.
    pub subwords: usize,
}

/// One evaluation, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// After this many steps.
    pub step: usize,
    /// Epochs done, as a fraction.
    pub epoch: f64,
    /// Mean cross entropy on the dev set.
    pub loss: f64,
    /// Word-level F1 on the dev set, default mode.
    pub f1: f64,
    /// Whether it is the best so far.
    pub best: bool,
}

/// What the loop tells.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step was taken.
    Step(&'a StepRecord),
    /// The dev set was scored; `weights` where it is the best so far.
    Evaluated {
        /// The line for the log.
        record: &'a EvaluationRecord,
        /// All four scores.
        scores: &'a SplitScores,
        /// The weights under BERT's names.
        weights: Option<&'a [NamedTensor]>,
    },
    /// A state to continue from, after [`Control::Checkpoint`], [`Control::Stop`] and evaluations.
    Checkpoint(&'a Checkpoint),
}

/// What the loop is told; of several answers the last variant wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Go on.
    Continue,
    /// Give a checkpoint, then go on.
    Checkpoint,
    /// Give a checkpoint, then end.
    Stop,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps were taken.
    Finished,
    /// The dev F1 did not rise for `patience` evaluations.
    OutOfPatience,
    /// It was told to stop.
    Stopped,
}

/// Why a run cannot go on.
#[derive(Debug, Error)]
pub enum FitError<E> {
    /// The loss or the gradient is no number any more.
    #[error(
        "step {step}: the loss is {loss}, the gradient's norm {gradient_norm}; expected finite numbers: \
         start a new run with a lower learning rate or a smaller gradient norm"
    )]
    NotFinite {
        /// The step.
        step: usize,
        /// Its loss.
        loss: f64,
        /// Its gradient's norm.
        gradient_norm: f64,
    },
    /// There is nothing to learn from.
    #[error("no training examples; expected at least one sentence")]
    Empty,
    /// The examples cannot be read any more.
    #[error(transparent)]
    Source(SourceError),
    /// The observer failed.
    #[error(transparent)]
    Observer(E),
}

/// Trains until all steps are taken, patience is out, or `observe` says stop.
///
/// # Errors
///
/// No examples, a loss that is not finite (that step changed no weight), or a failure of `observe`.
pub async fn fit<E>(
    state: &mut TrainState,
    task: &Task<'_>,
    config: &TrainConfig,
    mut observe: impl FnMut(Event<'_>) -> Result<Control, E>,
) -> Result<Ending, FitError<E>> {
    fit_with_pauses(state, task, config, async |event, _| observe(event)).await
}

/// The same with an observer that may wait, as a browser's must to let messages in, and that is given
/// the model as it is then.
///
/// # Errors
///
/// Those of [`fit`].
pub async fn fit_with_pauses<E>(
    state: &mut TrainState,
    task: &Task<'_>,
    config: &TrainConfig,
    mut observe: impl AsyncFnMut(Event<'_>, &Trainee) -> Result<Control, E>,
) -> Result<Ending, FitError<E>> {
    if task.train.lengths().is_empty() {
        return Err(FitError::Empty);
    }
    let mut plan = Plan::new(config, task.train);
    let patience = config.patience.unwrap_or(usize::MAX);
    if state.progress.evaluations_since_best >= patience {
        return Ok(Ending::OutOfPatience);
    }
    let mut pending = Vec::new();
    while state.progress.step < plan.total_steps() {
        let rate = learning_rate(
            state.progress.step,
            config.warmup_steps,
            plan.total_steps(),
            config.learning_rate,
        );
        let batches = plan.step(state.progress.step).to_vec();
        let done = state.progress.step as f64 / plan.total_steps() as f64;
        let objective = config.objective.at(done);
        let load = |indices: &Vec<usize>| task.train.load(indices);
        let batches = batches.iter().map(load).collect::<Result<Vec<_>, _>>();
        let batches = batches.map_err(FitError::Source)?;
        let tensors = train_step(state, task, config, &objective, &batches, rate);
        let step = state.progress.step;
        let (epoch, learning_rate) = (plan.epochs_done(step), rate);
        pending.push(PendingStep { step, epoch, learning_rate, tensors });
        let evaluates = task.dev.is_some() && plan.evaluates_after(step);
        let mut control = Control::Continue;
        if evaluates || pending.len() >= config.log_every || step == plan.total_steps() {
            for record in read_steps(std::mem::take(&mut pending)).await {
                let StepRecord { step, loss, gradient_norm, .. } = record;
                if !loss.is_finite() || !gradient_norm.is_finite() {
                    return Err(FitError::NotFinite { step, loss, gradient_norm });
                }
                let told = observe(Event::Step(&record), &state.model).await;
                control = control.max(told.map_err(FitError::Observer)?);
            }
        }
        let mut ending = None;
        if let Some(dev) = task.dev.filter(|_| evaluates) {
            let told =
                evaluate_step(state, task, dev, plan.epochs_done(step), &mut observe).await?;
            if state.progress.evaluations_since_best >= patience {
                ending = Some(Ending::OutOfPatience);
            }
            control = control.max(told);
        }
        if control == Control::Stop && step < plan.total_steps() {
            ending = ending.or(Some(Ending::Stopped));
        }
        if control != Control::Continue || evaluates || ending.is_some() {
            let checkpoint = state.checkpoint().await;
            let told = observe(Event::Checkpoint(&checkpoint), &state.model).await;
            told.map_err(FitError::Observer)?;
        }
        if let Some(ending) = ending {
            return Ok(ending);
        }
    }
    Ok(Ending::Finished)
}

/// Scores the dev set, keeps count of the best, and tells.
async fn evaluate_step<E>(
    state: &mut TrainState,
    task: &Task<'_>,
    dev: &LabelledSet,
    epoch: f64,
    observe: &mut impl AsyncFnMut(Event<'_>, &Trainee) -> Result<Control, E>,
) -> Result<Control, FitError<E>> {
    let model = merged(&state.model.classifier);
    let evaluation =
        evaluate(&model, task.labels, dev, task.pad_token_id, Decoding::default(), |_| true).await;
    let evaluation = evaluation.expect("nothing stops it");
    let f1 = evaluation.scores.word_default.micro.f1;
    let step = state.progress.step;
    let best = state.progress.best_f1.is_none_or(|best| f1 > best);
    if best {
        state.progress.best_f1 = Some(f1);
        state.progress.evaluations_since_best = 0;
    } else {
        state.progress.evaluations_since_best += 1;
    }
    let weights = if best { Some(read_back(&model).await) } else { None };
    let record = EvaluationRecord { step, epoch, loss: evaluation.loss, f1, best };
    let event = Event::Evaluated {
        record: &record,
        scores: &evaluation.scores,
        weights: weights.as_deref(),
    };
    observe(event, &state.model).await.map_err(FitError::Observer)
}
