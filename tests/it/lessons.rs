//! Teaching a student a little more: the golden of a browser's run, what is frozen, checkpoints of what
//! is trained, and a gradient that is no number.
//!
//! `tests/golden/lessons.json` was made by the example `lessons` (its head says how). The browser's test
//! `tests/e2e/teaching.spec.js` takes the same steps in a tab; both allow 1e-4 of each loss, for sums of
//! `f32` in another order.

use std::convert::Infallible;
use std::fs;

use burn::module::Module;
use serde::Deserialize;
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::checkpoint::weights::{NamedTensor, read_back};
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::label::LabelSet;
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::loss::objective::Objective;
use understudy_shared::train::adamw::{AdamW, Placement};
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::course::{Course, Material, Teaching, Work};
use understudy_shared::train::fit::{Control, Ending, Event, FitError, StepRecord, Task, fit};
use understudy_shared::train::lesson::{LessonError, LessonSettings};
use understudy_shared::train::lesson_source::{LessonSource, Part};
use understudy_shared::train::scope::{Scope, merged};
use understudy_shared::train::source::{InMemory, Loaded, Source, SourceError};
use understudy_shared::train::state::{Checkpoint, Progress, TrainState};
use understudy_shared::train::trainee::Trainee;

use crate::lesson_run::{Learned, bundle, rehearsal, root, teach};
use crate::training::{HOST, new_state, train_config, train_examples};

#[derive(Deserialize)]
struct Golden {
    tolerance: f64,
    settings: LessonSettings,
    #[serde(flatten)]
    learned: Learned,
    losses: Vec<f64>,
}

fn golden() -> Golden {
    let bytes = fs::read(root().join("tests/golden/lessons.json")).expect("the golden");
    serde_json::from_slice(&bytes).expect("as the example writes it")
}

fn student() -> Bundle {
    bundle(&root().join("tests/fixtures/models/tiny-student"))
}

#[test]
fn the_losses_are_those_of_the_golden() {
    let Golden { tolerance, settings, learned, losses } = golden();
    let teacher = bundle(&root().join("tests/fixtures/models/tiny-teacher"));
    let taught = teach(&student(), Some(&teacher), &learned, &settings).expect("it fits");
    assert_eq!(taught.losses.len(), losses.len());
    assert_eq!(losses.len(), 20);
    for (step, ([found, ..], want)) in taught.losses.iter().zip(losses).enumerate() {
        assert!((found / want - 1.0).abs() < tolerance, "step {step}: {found}, golden {want}");
    }
}

#[test]
fn lessons_are_learned_and_the_rest_is_kept() {
    let learned = Learned { text: vec![], ..golden().learned };
    for (scope, learning_rate) in [("last:1", 1e-3), ("lora:8", 2e-3), ("no-embeddings", 5e-4)] {
        let scope: Scope = scope.parse().expect("a scope");
        let (steps, alpha) = (100, 0.9);
        let settings =
            LessonSettings { scope, learning_rate, steps, alpha, ..LessonSettings::default() };
        let taught = teach(&student(), None, &learned, &settings).expect("it fits");
        let (_, first) = taught.marks[0];
        let (step, last) = taught.marks[taught.marks.len() - 1];
        println!("{scope}: {first:?} to {last:?}");
        assert_eq!((step, first.kept, first.teacher), (settings.steps, Some(1.0), None));
        assert!(last.new > first.new && last.new >= Some(0.9), "{scope}: {first:?} to {last:?}");
        assert!(last.kept >= Some(0.9), "{scope}: {last:?}");
        // Merged: under the names, and of the number, of any other student's weights.
        let before = pollster::block_on(read_back(&student().model));
        let after = pollster::block_on(read_back(&taught.model));
        let names = |tensors: &[NamedTensor]| -> Vec<String> {
            tensors.iter().map(|tensor| tensor.name.clone()).collect()
        };
        assert_eq!(names(&after), names(&before), "{scope}");
        assert_ne!(after, before, "{scope}");
    }
}

fn course(student: &Bundle, settings: &LessonSettings) -> Course {
    let learned = golden().learned;
    let rehearsal = rehearsal(student);
    let material = Material { lessons: &learned.lessons, text: &[], rehearsal: &rehearsal };
    let mut pause = async |_: Work, _, _| Ok::<_, LessonError>(());
    let teaching = Teaching::Nobody;
    let prepared = Course::prepare(student, None, teaching, material, settings, &mut pause);
    pollster::block_on(prepared).expect("it fits")
}

/// One sentence of text among many lessons may be in no batch, and is there still when the run goes on.
#[test]
fn a_text_that_no_batch_uses_is_kept_with_the_run() {
    let student = student();
    let teacher = bundle(&root().join("tests/fixtures/models/tiny-teacher"));
    let (learned, rehearsal) = (golden().learned, rehearsal(&student));
    let text = &learned.text[..1];
    let material = || Material { lessons: &learned.lessons, text, rehearsal: &rehearsal };
    let settings = LessonSettings { steps: 1, batch_size: 2, ..LessonSettings::default() };
    let prepare = |teaching| {
        let mut pause = async |_: Work, _, _| Ok::<_, LessonError>(());
        let prepared = Course::prepare(&student, None, teaching, material(), &settings, &mut pause);
        pollster::block_on(prepared).expect("it fits")
    };
    let course = prepare(Teaching::Teacher(&teacher.model));
    assert!(course.source.used(Part::Taught).is_empty());
    let kept = course.taught().expect("what the teacher said");
    let again = prepare(Teaching::Known(&kept));
    assert_eq!(again.source.examples().len(), course.source.examples().len());
    let nobody = prepare(Teaching::Nobody);
    assert!(nobody.taught().is_none());
    assert_eq!(nobody.source.examples().len() + 1, course.source.examples().len());
}

#[test]
fn lessons_with_the_soft_loss_alone_are_refused() {
    let settings = LessonSettings { alpha: 1.0, ..LessonSettings::default() };
    let taught = teach(&student(), None, &golden().learned, &settings);
    assert_eq!(
        taught.err().map(|error| error.to_string()).as_deref(),
        Some("alpha is 1; expected less than 1, for lessons are learned by the hard loss")
    );
}

fn state(student: &Bundle, settings: &LessonSettings) -> TrainState {
    let model = student.model.clone().train().without_dropout();
    TrainState {
        model: Trainee::new(settings.scope.apply(model, settings.seed)),
        optimizer: AdamW::new(settings.train_config().optimizer, Placement::Host),
        progress: Progress::default(),
    }
}

/// Steps from `state` on, and the checkpoint after the step `keep`.
fn steps(
    student: &Bundle,
    source: &dyn Source,
    settings: &LessonSettings,
    state: &mut TrainState,
    keep: usize,
) -> (Vec<StepRecord>, Option<Checkpoint>) {
    let task = Task {
        train: source,
        teacher: None,
        dev: None,
        labels: &student.labels,
        pad_token_id: 0,
        mask_token_id: 4,
    };
    let (mut records, mut kept) = (vec![], None);
    let config = settings.train_config();
    let ended = pollster::block_on(fit::<Infallible>(state, &task, &config, |event| {
        Ok(match event {
            Event::Step(record) => {
                records.push(record.clone());
                if record.step == keep { Control::Checkpoint } else { Control::Continue }
            }
            Event::Checkpoint(checkpoint) => {
                kept = Some(checkpoint.clone());
                Control::Continue
            }
            Event::Evaluated { .. } => Control::Continue,
        })
    }));
    assert!(matches!(ended, Ok(Ending::Finished)));
    (records, kept)
}

fn weights(state: &TrainState) -> Vec<NamedTensor> {
    pollster::block_on(read_back(&merged(&state.model.classifier)))
}

/// A source that keeps no states.
struct Whole<'a>(&'a LessonSource);

impl Source for Whole<'_> {
    fn lengths(&self) -> &[u32] {
        self.0.lengths()
    }

    fn num_labelled(&self) -> usize {
        self.0.num_labelled()
    }

    fn batches(&self, config: &TrainConfig, epoch: usize) -> Vec<Vec<usize>> {
        self.0.batches(config, epoch)
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, SourceError> {
        Ok(Loaded { states: None, ..self.0.load(indices)? })
    }
}

#[test]
fn beginning_above_the_frozen_layers_changes_nothing() {
    let student = student();
    for (scope, is_kept) in [("head", true), ("last:1", true), ("last:2", false), ("all", false)] {
        let scope: Scope = scope.parse().expect("a scope");
        let settings = LessonSettings { scope, steps: 6, ..LessonSettings::default() };
        let source = course(&student, &settings).source;
        assert_eq!(source.states().is_some(), is_kept, "{scope}");
        let run = |source: &dyn Source| {
            let mut state = state(&student, &settings);
            steps(&student, source, &settings, &mut state, 0).0
        };
        for (kept, whole) in run(&source).iter().zip(run(&Whole(&source))) {
            assert!((kept.loss / whole.loss - 1.0).abs() < 1e-5, "{scope}: {kept:?}, {whole:?}");
            let norms = (kept.gradient_norm, whole.gradient_norm);
            assert!((norms.0 / norms.1 - 1.0).abs() < 1e-4, "{scope}: {norms:?}");
        }
    }
}

#[test]
fn a_checkpoint_holds_what_is_trained_and_the_run_continues_from_it() {
    let student = student();
    for scope in ["head", "last:1", "lora:4", "all"] {
        let scope: Scope = scope.parse().expect("a scope");
        let settings = LessonSettings { scope, steps: 9, ..LessonSettings::default() };
        let source = course(&student, &settings).source;
        let mut first = state(&student, &settings);
        let (whole, kept) = steps(&student, &source, &settings, &mut first, 5);
        let kept = kept.expect("asked for");
        let count = |prefix: &str| {
            let names = kept.tensors.iter().map(|tensor| &tensor.name);
            names.filter(|name| name.starts_with(prefix)).count()
        };
        let trained = [("head", 2), ("last:1", 18), ("lora:4", 10), ("all", 39)];
        let (_, want) =
            trained.into_iter().find(|(name, _)| *name == scope.to_string()).expect("listed");
        assert_eq!([count("model/"), count("first/"), count("second/")], [want; 3], "{scope}");
        let mut second = state(&student, &settings);
        let bytes: Vec<u8> = kept.to_parts().flat_map(|part| part.into_owned()).collect();
        second.restore(Checkpoint::from_bytes(&bytes).expect("whole")).expect("the same run");
        let (rest, _) = steps(&student, &source, &settings, &mut second, 0);
        assert_eq!(rest, whole[5..], "{scope}");
        assert_eq!(weights(&second), weights(&first), "{scope}");
    }
}

#[test]
fn a_checkpoint_of_another_scope_is_refused() {
    let student = student();
    let settings = |scope| LessonSettings { scope, steps: 2, ..LessonSettings::default() };
    let last = settings(Scope::Last(1));
    let source = course(&student, &last).source;
    let kept =
        steps(&student, &source, &last, &mut state(&student, &last), 1).1.expect("asked for");
    for other in [Scope::Head, Scope::All, Scope::Lora(2)] {
        let refused = state(&student, &settings(other)).restore(kept.clone());
        assert!(refused.is_err(), "{other}");
    }
}

#[test]
fn a_gradient_that_is_no_number_changes_no_weight() {
    for placement in [HOST, Placement::Device] {
        // Four steps in the dark, so that later ones follow the bad one before anyone reads its loss.
        let config = TrainConfig {
            objective: Objective::reference(),
            warmup_steps: 0,
            epochs: 1,
            log_every: 4,
            batch: BatchBudget::Sentences(8),
            ..train_config()
        };
        let train = train_examples(32);
        let mut logits = TeacherLogits::zeros(&train, 9);
        let len = train[3].input_ids.len();
        logits.set(3, &vec![f32::NAN; len * 9]);
        let (bad, bad_logits) = (train[3].clone(), logits.select(&[3]));
        let source = InMemory::new(train, Some(logits));
        let task = Task {
            train: &source,
            teacher: None,
            dev: None,
            labels: &LabelSet::conll2003(),
            pad_token_id: 0,
            mask_token_id: 4,
        };
        let mut state = new_state(0.0, 1, AdamW::new(config.optimizer, placement));
        let ended = pollster::block_on(fit::<Infallible>(&mut state, &task, &config, |_| {
            Ok(Control::Continue)
        }));
        let Err(FitError::NotFinite { step, .. }) = ended else { panic!("{ended:?}") };
        assert!(step < 4, "good steps follow the bad one");
        let all = weights(&state);
        assert!(all.iter().flat_map(|tensor| &tensor.values).all(|value| value.is_finite()));
        let untouched = new_state(0.0, 1, AdamW::new(config.optimizer, placement));
        assert_ne!(all, weights(&untouched), "the good steps did train");
        // The bad step alone trains nothing, not even by weight decay.
        let alone = InMemory::new(vec![bad.clone()], Some(bad_logits.clone()));
        let task = Task { train: &alone, ..task };
        let mut state = new_state(0.0, 1, AdamW::new(config.optimizer, placement));
        let ended = pollster::block_on(fit::<Infallible>(&mut state, &task, &config, |_| {
            Ok(Control::Continue)
        }));
        assert!(matches!(ended, Err(FitError::NotFinite { step: 1, .. })), "{ended:?}");
        assert_eq!(weights(&state), weights(&untouched));
    }
}
