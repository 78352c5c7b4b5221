//! The one training loop, for the terminal and for the browser.
//!
//! A step: batches by seed → student's logits → losses → gradients → AdamW. Everything a step needs
//! follows from the seed and its number, so a run that was stopped at any step, or killed, continues
//! from its last checkpoint to the same losses.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Int, Tensor, Transaction};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::config::TrainConfig;
use super::evaluate::{LabelledSet, SplitScores, evaluate};
use super::plan::Plan;
use super::schedule::learning_rate;
use super::source::{Loaded, Source, SourceError};
use super::state::{Checkpoint, TrainState};
use super::trainee::Trainee;
use crate::checkpoint::weights::{NamedTensor, read_back};
use crate::data::batch::{Batch, BatchCounts, Feed, counts, longest};
use crate::data::label::LabelSet;
use crate::infer::decode::Decoding;
use crate::infer::states::KeptStates;
use crate::loss::objective::{HiddenPairs, Objective};
use crate::model::{Noise, TokenClassifier};

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

/// What a step computed, still on the device.
struct StepTensors {
    total: Tensor<1>,
    hard: Tensor<1>,
    soft: Option<Tensor<1>>,
    hidden: Option<Tensor<1>>,
    gradient_norm: Tensor<1>,
    subwords: usize,
}

struct PendingStep {
    step: usize,
    epoch: f64,
    learning_rate: f64,
    tensors: StepTensors,
}

/// One step of the optimiser over one or more batches; advances `state`.
fn train_step(
    state: &mut TrainState,
    task: &Task<'_>,
    config: &TrainConfig,
    objective: &Objective,
    batches: &[Loaded],
    learning_rate: f64,
) -> StepTensors {
    let device = state.model.classifier.device();
    let mut whole = BatchCounts::default();
    for loaded in batches {
        whole += counts(&loaded.examples);
    }
    let mut accumulator = GradientsAccumulator::new();
    let mut gradients = GradientsParams::new();
    let mut sums: Option<[Option<Tensor<1>>; 4]> = None;
    let feed = state.model.classifier.feed();
    let parts = batches.iter().flat_map(|loaded| loaded.parts(feed.parts)).collect::<Vec<_>>();
    for (micro, loaded) in parts.iter().enumerate() {
        let shape = shape_of(state, task, config, loaded);
        let batch = Batch::padded(&loaded.examples, shape, task.pad_token_id, &device);
        let stream = state.progress.step * config.gradient_accumulation * feed.parts + micro;
        let stream = stream as u64;
        let mut noise = Noise::seeded(config.stream(2, stream));
        let (logits, hidden_pairs) = match &loaded.states {
            Some(states) => (upper(&state.model, states, &batch, &mut noise), vec![]),
            None => {
                let seen = match config.token_dropout > 0.0 {
                    true => {
                        let seed = config.stream(5, stream);
                        batch.hide(config.token_dropout, task.mask_token_id, seed)
                    }
                    false => batch.input_ids.clone(),
                };
                forward(&state.model, task, objective, (&batch, seen), &mut noise)
            }
        };
        let teacher = loaded.teacher_logits.as_ref().filter(|_| objective.is_soft());
        let teacher = teacher.map(|logits| logits.batch(shape, &device));
        let losses = objective.losses(logits, teacher, hidden_pairs, &batch, &whole);
        let told = [Some(losses.total.clone()), Some(losses.hard), losses.soft, losses.hidden];
        let told = told.map(|loss| loss.map(Tensor::without_autodiff));
        gradients = GradientsParams::from_grads(losses.total.backward(), &state.model);
        if parts.len() > 1 {
            accumulator.accumulate(&state.model, std::mem::take(&mut gradients));
        }
        sums = Some(match sums.take() {
            None => told,
            Some(sums) => {
                let mut told = told.into_iter();
                sums.map(|sum| sum.zip(told.next().flatten()).map(|(sum, loss)| sum + loss))
            }
        });
    }
    if parts.len() > 1 {
        gradients = accumulator.grads();
    }
    let [Some(total), Some(hard), soft, hidden] = sums.expect("a step has a batch") else {
        unreachable!("every batch has these two losses")
    };
    // The optimiser works in place where it holds the only reference, so the model is moved there.
    let model = std::mem::replace(&mut state.model, Trainee::placeholder(&device));
    let (model, gradient_norm) =
        state.optimizer.step(model, gradients, learning_rate, config.max_gradient_norm);
    state.model = model;
    state.progress.step += 1;
    StepTensors { total, hard, soft, hidden, gradient_norm, subwords: whole.subwords }
}

/// `[rows, seq_len]` of a batch's tensors.
fn shape_of(
    state: &TrainState,
    task: &Task<'_>,
    config: &TrainConfig,
    loaded: &Loaded,
) -> [usize; 2] {
    let model = &state.model.classifier;
    let Feed { shapes, parts, .. } = model.feed();
    let others = task.teacher.map_or(usize::MAX, TokenClassifier::max_position_embeddings);
    let most = model.max_position_embeddings().min(others);
    let seq_len = shapes.seq_len(longest(&loaded.examples), most);
    let full = config.batch.full(seq_len).div_ceil(parts);
    [shapes.rows(loaded.examples.len(), full), seq_len]
}

/// The logits of a batch, of which the model in training sees `seen`, and the hidden states to compare
/// where they are compared.
fn forward(
    model: &Trainee,
    task: &Task<'_>,
    objective: &Objective,
    (batch, seen): (&Batch, Tensor<2, Int>),
    noise: &mut Noise,
) -> (Tensor<3>, HiddenPairs) {
    let mask = batch.attention_mask.clone();
    let Some(teacher) = task.teacher.filter(|_| objective.hidden_weight > 0.0) else {
        return (model.classifier.forward(seen, mask, batch.is_padded, noise), vec![]);
    };
    let ids = batch.input_ids.clone().without_autodiff();
    let theirs =
        teacher.forward_with_hidden_states(ids, mask.clone().without_autodiff(), &mut Noise::off());
    let ours = model.classifier.forward_with_hidden_states(seen, mask, noise);
    let layers = theirs.hidden_states.len() - 1;
    let projected = model.project(&ours.hidden_states, layers).into_iter();
    let pairs =
        projected.map(|(student, layer)| (student, theirs.hidden_states[layer].clone().autodiff()));
    (ours.logits, pairs.collect())
}

/// The logits of a batch from what the frozen lowest layers made of it.
fn upper(model: &Trainee, states: &KeptStates, batch: &Batch, noise: &mut Noise) -> Tensor<3> {
    let mask = batch.attention_mask.clone();
    let hidden = states.batch(mask.dims(), &mask.device());
    model.classifier.forward_upper(hidden, mask, batch.is_padded, states.layers(), noise)
}

/// Reads the losses of some steps in one transaction.
async fn read_steps(steps: Vec<PendingStep>) -> Vec<StepRecord> {
    let mut transaction = Transaction::default();
    for PendingStep { tensors, .. } in &steps {
        let zero = || tensors.hard.zeros_like();
        let soft = tensors.soft.clone().unwrap_or_else(zero);
        let hidden = tensors.hidden.clone().unwrap_or_else(zero);
        for tensor in [&tensors.total, &tensors.hard, &soft, &hidden, &tensors.gradient_norm] {
            transaction = transaction.register(tensor.clone());
        }
    }
    let data = transaction.execute_async().await.expect("a device that trains gives its losses");
    let values: Vec<f64> = data.iter().flat_map(|data| data.iter::<f64>()).collect();
    let values = values.as_chunks::<5>().0;
    let steps = steps.into_iter().zip(values);
    steps
        .map(|(pending, [loss, hard_loss, soft_loss, hidden_loss, gradient_norm])| StepRecord {
            step: pending.step,
            epoch: pending.epoch,
            loss: *loss,
            soft_loss: pending.tensors.soft.is_some().then_some(*soft_loss),
            hard_loss: *hard_loss,
            hidden_loss: pending.tensors.hidden.is_some().then_some(*hidden_loss),
            learning_rate: pending.learning_rate,
            gradient_norm: *gradient_norm,
            subwords: pending.tensors.subwords,
        })
        .collect()
}

/// Scores the dev set, keeps count of the best, and tells.
async fn evaluate_step<E>(
    state: &mut TrainState,
    task: &Task<'_>,
    dev: &LabelledSet,
    epoch: f64,
    observe: &mut impl AsyncFnMut(Event<'_>, &Trainee) -> Result<Control, E>,
) -> Result<Control, FitError<E>> {
    let model = state.model.classifier.valid();
    let evaluation =
        evaluate(&model, task.labels, dev, task.pad_token_id, Decoding::default(), |_| true).await;
    let evaluation = evaluation.expect("nothing stops it");
    let f1 = evaluation.scores.word_default.micro.f1;
    let step = state.progress.step;
    let best = state.progress.best_f1.is_none_or(|best| f1 > best);
    if best {
        state.progress.best_f1 = Some(f1);
        state.progress.best_step = step;
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
