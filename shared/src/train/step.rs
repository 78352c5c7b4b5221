//! One step of training: batches to losses to gradients to new weights, and its figures.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Int, Tensor, Transaction};

use super::config::TrainConfig;
use super::fit::{StepRecord, Task};
use super::source::Loaded;
use super::state::TrainState;
use super::trainee::Trainee;
use crate::data::batch::{Batch, BatchCounts, Feed, counts, longest};
use crate::infer::states::KeptStates;
use crate::loss::objective::{HiddenPairs, Objective};
use crate::model::{Noise, TokenClassifier};

/// What a step computed, still on the device.
pub(super) struct StepTensors {
    total: Tensor<1>,
    hard: Tensor<1>,
    soft: Option<Tensor<1>>,
    hidden: Option<Tensor<1>>,
    gradient_norm: Tensor<1>,
    subwords: usize,
}

/// A step whose losses were not read yet.
pub(super) struct PendingStep {
    pub(super) step: usize,
    pub(super) epoch: f64,
    pub(super) learning_rate: f64,
    pub(super) tensors: StepTensors,
}

/// One step of the optimiser over one or more batches; advances `state`.
pub(super) fn train_step(
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
pub(super) async fn read_steps(steps: Vec<PendingStep>) -> Vec<StepRecord> {
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
