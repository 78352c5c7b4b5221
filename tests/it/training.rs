//! The training loop on a small problem: a model of two layers and sentences of the tiny corpus.

use burn::tensor::Device;
use std::convert::Infallible;
use understudy_shared::checkpoint::weights::{NamedTensor, read_back};
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::{Example, ExampleOptions};
use understudy_shared::data::label::LabelSet;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::loss::objective::{Combination, Objective, SoftReduction};
use understudy_shared::model::{BertConfig, TokenClassifier};
use understudy_shared::train::adamw::{AdamW, AdamWConfig, Placement};
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::evaluate::LabelledSet;
use understudy_shared::train::fit::{
    Control, Ending, EvaluationRecord, Event, FitError, StepRecord, Task, fit,
};
use understudy_shared::train::plan::{examples_of_epoch, total_steps};
use understudy_shared::train::source::{InMemory, Source};
use understudy_shared::train::state::{Progress, TrainState};
use understudy_shared::train::trainee::Trainee;

use crate::support::{TRAIN, VALID, examples, sentences};

pub const HOST: Placement = Placement::Host;

/// A tiny model for the corpus's tokenizer.
pub fn model_config(dropout: f64) -> BertConfig {
    BertConfig {
        hidden_dropout_prob: dropout,
        attention_probs_dropout_prob: dropout,
        ..BertConfig::tiny(600)
    }
}

pub fn new_state(dropout: f64, seed: u64, optimizer: AdamW) -> TrainState {
    let device = Device::flex().autodiff();
    let model = TokenClassifier::init(&model_config(dropout), 9, seed, &device).on_host();
    TrainState { model: Trainee::new(model), optimizer, progress: Progress::default() }
}

pub fn train_config() -> TrainConfig {
    TrainConfig {
        epochs: 3,
        batch: BatchBudget::Sentences(8),
        gradient_accumulation: 1,
        learning_rate: 3e-3,
        warmup_steps: 2,
        max_gradient_norm: Some(1.0),
        optimizer: AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() },
        objective: Objective::hard(),
        text_ratio: None,
        token_dropout: 0.0,
        evaluate_every: None,
        patience: None,
        log_every: 1,
        seed: 7,
    }
}

pub fn train_examples(count: usize) -> Vec<Example> {
    let options = ExampleOptions { max_length: 64, context: 8, ..ExampleOptions::default() };
    examples(TRAIN, count, &options)
}

pub fn dev_set(count: usize) -> LabelledSet {
    let options = ExampleOptions { max_length: 64, context: 8, ..ExampleOptions::default() };
    LabelledSet { sentences: sentences(VALID, count), examples: examples(VALID, count, &options) }
}

/// What a run told.
pub struct Told {
    pub steps: Vec<StepRecord>,
    pub evaluations: Vec<EvaluationRecord>,
    pub ending: Result<Ending, FitError<Infallible>>,
    pub weights: Vec<NamedTensor>,
}

/// A whole run from new weights.
fn run(
    config: &TrainConfig,
    dropout: f64,
    train: &[Example],
    teacher_logits: Option<&TeacherLogits>,
    dev: Option<&LabelledSet>,
) -> Told {
    let labels = LabelSet::conll2003();
    let source = InMemory::new(train.to_vec(), teacher_logits.cloned());
    let task = Task {
        train: &source,
        teacher: None,
        dev,
        labels: &labels,
        pad_token_id: 0,
        mask_token_id: 4,
    };
    let mut state = new_state(dropout, 1, AdamW::new(config.optimizer, HOST));
    let (mut steps, mut evaluations) = (vec![], vec![]);
    let ending = pollster::block_on(fit(&mut state, &task, config, |event| {
        match event {
            Event::Step(record) => steps.push(record.clone()),
            Event::Evaluated { record, .. } => evaluations.push(record.clone()),
            Event::Checkpoint(_) => {}
        }
        Ok(Control::Continue)
    }));
    Told {
        steps,
        evaluations,
        ending,
        weights: pollster::block_on(read_back(&state.model.classifier)),
    }
}

fn mean(records: &[StepRecord], value: impl Fn(&StepRecord) -> f64) -> f64 {
    records.iter().map(value).sum::<f64>() / records.len() as f64
}

#[test]
fn the_loss_falls_and_f1_rises() {
    let config = TrainConfig { epochs: 8, log_every: 7, ..train_config() };
    let (train, dev) = (train_examples(80), dev_set(20));
    let told = run(&config, 0.1, &train, None, Some(&dev));
    assert!(matches!(told.ending, Ok(Ending::Finished)));
    assert_eq!(told.steps.len(), total_steps(&config, &InMemory::new(train, None)));
    assert!(told.steps.iter().map(|record| record.step).eq(1..=told.steps.len()));
    let epoch = told.steps.len() / 8;
    let loss = |record: &StepRecord| record.loss;
    let (first, last) =
        (mean(&told.steps[..epoch], loss), mean(&told.steps[told.steps.len() - epoch..], loss));
    println!("loss {first:.3} to {last:.3}");
    assert!(last < 0.5 * first, "{first} to {last}");
    assert_eq!(told.evaluations.len(), 8);
    assert!(told.evaluations[0].best);
    let best = told.evaluations.iter().map(|record| record.f1).fold(0.0, f64::max);
    println!("F1 {} to {best}", told.evaluations[0].f1);
    assert!(best > told.evaluations[0].f1 + 0.05, "F1 {} to {best}", told.evaluations[0].f1);
    assert!(told.evaluations[7].loss < told.evaluations[0].loss);
}

/// All sentences make one step, in one batch or in several, and the run is the same.
fn check_accumulation(objective: Objective, batches: usize) {
    let train = train_examples(24);
    let teacher = teacher_logits(&train, 3);
    let config = |sentences, gradient_accumulation| TrainConfig {
        epochs: 10,
        batch: BatchBudget::Sentences(sentences),
        gradient_accumulation,
        objective,
        ..train_config()
    };
    let whole = run(&config(train.len(), 1), 0.0, &train, Some(&teacher), None);
    let sentences = train.len().div_ceil(batches);
    let parts = run(&config(sentences, batches), 0.0, &train, Some(&teacher), None);
    assert_eq!((whole.steps.len(), parts.steps.len()), (10, 10));
    let mut worst: f64 = 0.0;
    for (whole, parts) in whole.steps.iter().zip(&parts.steps) {
        let pairs = [
            (whole.loss, parts.loss),
            (whole.hard_loss, parts.hard_loss),
            (whole.soft_loss.unwrap_or(1.0), parts.soft_loss.unwrap_or(1.0)),
            (whole.gradient_norm, parts.gradient_norm),
        ];
        for (whole, parts) in pairs {
            worst = worst.max((whole - parts).abs() / whole);
        }
        assert_eq!((whole.subwords, whole.step), (parts.subwords, parts.step));
    }
    println!("{objective:?} in {batches}: {worst:e}");
    assert!(worst <= 1e-4, "{objective:?} in {batches}: {worst}");
    assert!(whole.steps[9].loss < 0.9 * whole.steps[0].loss, "something is learned");
}

#[test]
fn accumulated_batches_equal_one_large_batch() {
    let counted = Objective {
        combination: Combination::Weighted { alpha: 0.3 },
        temperature: 4.0,
        soft_reduction: SoftReduction::CountedMean,
        ..Objective::hard()
    };
    check_accumulation(Objective::hard(), 2);
    check_accumulation(Objective::reference(), 3);
    check_accumulation(counted, 5);
}

/// The logits of a model of the same shape.
fn teacher_logits(examples: &[Example], seed: u64) -> TeacherLogits {
    let teacher = TokenClassifier::init(
        &BertConfig { initializer_range: 0.3, ..model_config(0.0) },
        9,
        seed,
        &Device::flex(),
    );
    let mut logits = TeacherLogits::zeros(examples, 9);
    let budget = BatchBudget::Subwords(500);
    pollster::block_on(for_each_logits(&teacher, examples, 0, budget, |example, values| {
        logits.set(example, values);
        true
    }));
    logits
}

/// Distils a teacher into a student; gives the soft loss of the first and of the last epoch.
fn check_distillation(objective: Objective) {
    let train = train_examples(48);
    let teacher = teacher_logits(&train, 5);
    let config = TrainConfig { epochs: 12, objective, ..train_config() };
    let told = run(&config, 0.0, &train, Some(&teacher), None);
    let epoch = told.steps.len() / 12;
    let soft = |record: &StepRecord| record.soft_loss.expect("a soft loss");
    let (first, last) =
        (mean(&told.steps[..epoch], soft), mean(&told.steps[told.steps.len() - epoch..], soft));
    println!("{objective:?}: soft loss {first:.3} to {last:.3}");
    assert!(last < 0.7 * first, "{objective:?}: {first} to {last}");
    for record in &told.steps {
        let (soft, hard) = (soft(record), record.hard_loss);
        let want = match objective.combination {
            Combination::Weighted { alpha } => alpha * soft + (1.0 - alpha) * hard,
            _ => soft + hard,
        };
        assert!((record.loss - want).abs() < 1e-5 * want, "step {}", record.step);
    }
}

#[test]
fn distillation_lowers_the_soft_loss() {
    check_distillation(Objective::reference());
    check_distillation(Objective {
        combination: Combination::Weighted { alpha: 1.0 },
        temperature: 3.0,
        soft_reduction: SoftReduction::CountedMean,
        ..Objective::hard()
    });
}

/// The steps of a student with half the teacher's width that matches its hidden states.
fn hidden_matching(
    config: &TrainConfig,
    state: &mut TrainState,
    stop_at: usize,
) -> Vec<StepRecord> {
    let train = train_examples(24);
    let teacher_config = BertConfig { initializer_range: 0.3, ..model_config(0.0) };
    let teacher = TokenClassifier::init(&teacher_config, 9, 5, &Device::flex()).on_host();
    let logits = teacher_logits(&train, 5);
    let source = InMemory::new(train, Some(logits));
    let task = Task {
        train: &source,
        teacher: Some(&teacher),
        dev: None,
        labels: &LabelSet::conll2003(),
        pad_token_id: 0,
        mask_token_id: 4,
    };
    let mut steps = vec![];
    let ended = pollster::block_on(fit::<Infallible>(state, &task, config, |event| {
        Ok(match event {
            Event::Step(record) => {
                steps.push(record.clone());
                if record.step == stop_at { Control::Stop } else { Control::Continue }
            }
            _ => Control::Continue,
        })
    }));
    assert!(ended.is_ok());
    steps
}

#[test]
fn hidden_states_are_matched_and_the_projections_are_kept_in_the_checkpoint() {
    let objective = Objective { hidden_weight: 2.0, ..Objective::reference() };
    let config = TrainConfig { epochs: 30, learning_rate: 1e-2, objective, ..train_config() };
    let student = BertConfig { hidden_size: 16, num_hidden_layers: 1, ..model_config(0.1) };
    let fresh = |seed| {
        let device = Device::flex().autodiff();
        let model = TokenClassifier::init(&student, 9, seed, &device).on_host();
        let model = Trainee::matching(model, &student, &model_config(0.0), seed);
        let optimizer = AdamW::new(config.optimizer, HOST);
        TrainState { model, optimizer, progress: Progress::default() }
    };
    let steps = hidden_matching(&config, &mut fresh(1), usize::MAX);
    let hidden = |record: &StepRecord| record.hidden_loss.expect("a hidden loss");
    let (first, last) = (mean(&steps[..3], hidden), mean(&steps[steps.len() - 3..], hidden));
    assert!(last < 0.7 * first, "{first} to {last}");
    for record in &steps {
        let parts = record.soft_loss.expect("soft") + record.hard_loss + 2.0 * hidden(record);
        assert!((record.loss - parts).abs() < 1e-5 * parts, "step {}", record.step);
    }
    let mut state = fresh(1);
    hidden_matching(&config, &mut state, 5);
    let checkpoint = pollster::block_on(state.checkpoint());
    let mut other = fresh(2);
    other.restore(checkpoint).expect("the same shapes");
    let rest = hidden_matching(&config, &mut other, usize::MAX);
    assert_eq!(rest, steps[5..]);
}

#[test]
fn text_is_taken_in_turn_in_the_set_ratio() {
    let train = train_examples(30);
    let (num_labelled, mut seen) = (8, vec![0usize; 30]);
    let source = InMemory::new(train, None).with_num_labelled(num_labelled);
    let config = TrainConfig {
        epochs: 4,
        batch: BatchBudget::Sentences(5),
        text_ratio: Some(1.5),
        ..train_config()
    };
    // 8 labelled and 12 others in each of 4 epochs: 22 others are seen twice in 48 draws, and 4 thrice.
    assert_eq!(total_steps(&config, &source), 4 * 4);
    let everything = TrainConfig { text_ratio: None, ..config.clone() };
    assert_eq!(total_steps(&everything, &source), 4 * 6);
    let none = TrainConfig { text_ratio: Some(0.0), ..config.clone() };
    assert_eq!(total_steps(&none, &source), 4 * 2);
    for epoch in 0..4 {
        for index in examples_of_epoch(&config, source.lengths().len(), num_labelled, epoch) {
            seen[index] += 1;
        }
    }
    assert!(seen[..num_labelled].iter().all(|count| *count == 4), "{seen:?}");
    assert!(seen[num_labelled..].iter().all(|count| (2..=3).contains(count)), "{seen:?}");
    assert_eq!(seen[num_labelled..].iter().sum::<usize>(), 48);
}

#[test]
fn the_loss_follows_its_schedule() {
    let train = train_examples(24);
    let teacher = teacher_logits(&train, 5);
    let objective = Objective {
        combination: Combination::Weighted { alpha: 1.0 },
        final_alpha: Some(0.0),
        ..Objective::reference()
    };
    let config = TrainConfig { epochs: 2, objective, ..train_config() };
    let told = run(&config, 0.0, &train, Some(&teacher), None);
    let count = told.steps.len() as f64;
    for (index, record) in told.steps.iter().enumerate() {
        let alpha = 1.0 - index as f64 / count;
        let soft = record.soft_loss.expect("a soft loss");
        let want = alpha * soft + (1.0 - alpha) * record.hard_loss;
        assert!((record.loss - want).abs() < 1e-5 * want, "step {}", record.step);
    }
}

#[test]
fn sub_words_that_are_left_out_change_the_steps_and_not_what_is_learned() {
    let train = train_examples(24);
    let whole = run(&train_config(), 0.0, &train, None, None);
    let config = TrainConfig { token_dropout: 0.3, ..train_config() };
    let (once, twice) =
        (run(&config, 0.0, &train, None, None), run(&config, 0.0, &train, None, None));
    assert_eq!(once.steps, twice.steps);
    assert_ne!(once.steps[0].hard_loss, whole.steps[0].hard_loss);
    assert_eq!(once.steps[0].subwords, whole.steps[0].subwords);
}

#[test]
fn patience_ends_a_run_that_does_not_get_better() {
    let config = TrainConfig {
        epochs: 20,
        learning_rate: 0.0,
        evaluate_every: Some(2),
        patience: Some(3),
        ..train_config()
    };
    let told = run(&config, 0.1, &train_examples(16), None, Some(&dev_set(5)));
    assert!(matches!(told.ending, Ok(Ending::OutOfPatience)));
    let best: Vec<(usize, bool)> =
        told.evaluations.iter().map(|record| (record.step, record.best)).collect();
    assert_eq!(best, [(2, true), (4, false), (6, false), (8, false)]);
    assert_eq!(told.steps.len(), 8);
    let unchanged = new_state(0.1, 1, AdamW::new(config.optimizer, HOST));
    assert_eq!(told.weights, pollster::block_on(read_back(&unchanged.model.classifier)));
}

fn check_not_finite(log_every: usize) {
    let config = TrainConfig { learning_rate: 1e30, warmup_steps: 0, log_every, ..train_config() };
    let told = run(&config, 0.1, &train_examples(24), None, None);
    let Err(FitError::NotFinite { step, loss, gradient_norm }) = told.ending else {
        panic!("{:?}", told.ending);
    };
    assert!(
        (1..=3).contains(&step) && !(loss.is_finite() && gradient_norm.is_finite()),
        "step {step}: {loss}"
    );
    assert!(told.steps.iter().all(|record| record.loss.is_finite()));
    let message = FitError::<Infallible>::NotFinite { step, loss, gradient_norm }.to_string();
    assert!(message.contains("expected finite numbers"), "{message}");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    check_not_finite(1);
    check_not_finite(4);
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    assert!(matches!(run(&train_config(), 0.1, &[], None, None).ending, Err(FitError::Empty)));
}
