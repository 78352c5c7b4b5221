//! A run that is stopped at any step and continued from its checkpoint's bytes takes the same steps
//! as one that was not, bit for bit, dropout and all.

use safetensors::tensor::{Dtype, TensorView};
use std::convert::Infallible;
use understudy_shared::checkpoint::weights::read_back;
use understudy_shared::data::label::LabelSet;
use understudy_shared::train::adamw::{AdamW, Placement};
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::fit::{Control, Ending, Event, Task, fit};
use understudy_shared::train::source::InMemory;
use understudy_shared::train::state::{Checkpoint, CheckpointError, TrainState};

use crate::training::{HOST, Told, dev_set, new_state, train_config, train_examples};

/// A checkpoint as the bytes of its file.
fn to_bytes(checkpoint: &Checkpoint) -> Vec<u8> {
    checkpoint.to_parts().flat_map(|part| part.into_owned()).collect()
}

/// Runs on from `state`; asks for `control` after each step it names; gives the checkpoints too.
fn run(
    state: &mut TrainState,
    config: &TrainConfig,
    control: impl Fn(usize) -> Control,
) -> (Told, Vec<Vec<u8>>) {
    let (train, dev, labels) = (train_examples(24), dev_set(6), LabelSet::conll2003());
    let source = InMemory::new(train, None);
    let task = Task {
        train: &source,
        teacher: None,
        dev: Some(&dev),
        labels: &labels,
        pad_token_id: 0,
        mask_token_id: 4,
    };
    let (mut steps, mut evaluations, mut checkpoints) = (vec![], vec![], vec![]);
    let ending = pollster::block_on(fit::<Infallible>(state, &task, config, |event| {
        Ok(match event {
            Event::Step(record) => {
                steps.push(record.clone());
                control(record.step)
            }
            Event::Evaluated { record, .. } => {
                evaluations.push(record.clone());
                Control::Continue
            }
            Event::Checkpoint(checkpoint) => {
                checkpoints.push(to_bytes(checkpoint));
                Control::Continue
            }
        })
    }));
    let weights = pollster::block_on(read_back(&state.model.classifier));
    (Told { steps, evaluations, ending, weights }, checkpoints)
}

fn config() -> TrainConfig {
    TrainConfig { epochs: 4, evaluate_every: Some(4), ..train_config() }
}

fn fresh(config: &TrainConfig, placement: Placement, seed: u64) -> TrainState {
    new_state(0.2, seed, AdamW::new(config.optimizer, placement))
}

/// Stops after each of `stops`, goes on in a state with other weights, and compares with a run that
/// never stopped.
fn check(config: &TrainConfig, placement: Placement, stops: &[usize]) {
    let (whole, _) = run(&mut fresh(config, placement, 1), config, |_| Control::Continue);
    assert!(matches!(whole.ending, Ok(Ending::Finished)));
    for stop in stops {
        let at = |step| if step >= *stop { Control::Stop } else { Control::Continue };
        let (first, checkpoints) = run(&mut fresh(config, placement, 1), config, at);
        assert!(matches!(first.ending, Ok(Ending::Stopped)), "{:?}", first.ending);
        let bytes = checkpoints.last().expect("a checkpoint before the end");
        let checkpoint = Checkpoint::from_bytes(bytes).expect("a whole checkpoint");
        assert_eq!(checkpoint.progress.step, first.steps.len());
        let mut state = fresh(config, placement, 99);
        state.restore(checkpoint).expect("the same model");
        let (second, _) = run(&mut state, config, |_| Control::Continue);
        let steps = [first.steps, second.steps].concat();
        assert_eq!(steps, whole.steps, "stopped at {stop}");
        let evaluations = [first.evaluations, second.evaluations].concat();
        assert_eq!(evaluations, whole.evaluations, "stopped at {stop}");
        assert_eq!(second.weights, whole.weights, "stopped at {stop}");
    }
}

#[test]
fn a_run_stopped_at_any_step_continues_to_the_same_losses() {
    check(&config(), HOST, &[1, 2, 3, 4, 5, 8, 11]);
}

#[test]
fn a_run_on_the_device_continues_to_the_same_losses() {
    check(&config(), Placement::Device, &[1, 7]);
}

#[test]
fn a_run_that_accumulates_and_reads_losses_together_continues_to_the_same_losses() {
    let config = TrainConfig { gradient_accumulation: 2, log_every: 3, epochs: 6, ..config() };
    check(&config, HOST, &[2, 6]);
}

/// What `kill -9` leaves: the last checkpoint, while the run went on for some steps.
#[test]
fn a_killed_run_continues_from_its_last_checkpoint() {
    let config = config();
    let at = |step| if step == 6 { Control::Checkpoint } else { Control::Continue };
    let (whole, checkpoints) = run(&mut fresh(&config, HOST, 1), &config, at);
    let progress = |bytes: &Vec<u8>| Checkpoint::from_bytes(bytes).expect("whole").progress.step;
    assert_eq!(checkpoints.iter().map(progress).collect::<Vec<_>>(), [4, 6, 8, 12]);
    let mut state = fresh(&config, HOST, 99);
    let checkpoint = Checkpoint::from_bytes(&checkpoints[1]).expect("a whole checkpoint");
    state.restore(checkpoint).expect("the same model");
    let (rest, _) = run(&mut state, &config, |_| Control::Continue);
    assert_eq!(rest.steps, whole.steps[6..]);
    assert_eq!(rest.weights, whole.weights);
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let config = config();
    let (_, checkpoints) = run(&mut fresh(&config, HOST, 1), &config, |_| Control::Continue);
    let last = checkpoints.last().expect("one after the last evaluation");
    let mut state = fresh(&config, HOST, 99);
    state.restore(Checkpoint::from_bytes(last).expect("whole")).expect("the same model");
    let (rest, _) = run(&mut state, &config, |_| Control::Continue);
    assert!(matches!(rest.ending, Ok(Ending::Finished)) && rest.steps.is_empty());
}

/// The losses depend on the seed, or the comparisons above would prove nothing.
#[test]
fn another_seed_takes_other_steps() {
    let losses = |seed| {
        let config = TrainConfig { seed, ..config() };
        let (told, _) = run(&mut fresh(&config, HOST, 1), &config, |_| Control::Continue);
        told.steps.iter().map(|record| record.loss).collect::<Vec<_>>()
    };
    assert_eq!(losses(1), losses(1));
    assert_ne!(losses(1), losses(2));
}

#[test]
fn damaged_and_foreign_checkpoints_are_refused() {
    let config = config();
    let stop = |_| Control::Stop;
    let (_, checkpoints) = run(&mut fresh(&config, HOST, 1), &config, stop);
    let bytes = &checkpoints[0];
    for len in (0..400).chain((400..bytes.len()).step_by(4999)).chain([bytes.len() - 1]) {
        let error = Checkpoint::from_bytes(&bytes[..len]).expect_err("a part of a file");
        assert!(matches!(error, CheckpointError::Parse(_)), "{len}: {error}");
    }
    let whole = Checkpoint::from_bytes(bytes).expect("a whole checkpoint");
    let views = whole.tensors.iter().map(|tensor| {
        let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        (&tensor.name, (Dtype::F32, tensor.shape.clone(), bytes))
    });
    let views: Vec<_> = views.collect();
    let views = views.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("the values fill the shape"))
    });
    let plain = safetensors::serialize(views, None).expect("valid names");
    assert!(matches!(Checkpoint::from_bytes(&plain), Err(CheckpointError::NoProgress)));
    let lacking = |name: &str| {
        let mut checkpoint = whole.clone();
        checkpoint.tensors.retain(|tensor| tensor.name != name);
        fresh(&config, HOST, 99).restore(checkpoint)
    };
    assert!(lacking("").is_ok());
    let Err(CheckpointError::Mismatch { name }) = lacking("model/classifier.classifier.bias")
    else {
        panic!("a checkpoint without the head's bias is no checkpoint of this model");
    };
    assert_eq!(name, "model/classifier.classifier.bias");
}
