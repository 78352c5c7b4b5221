//! A run that goes on: `shared`'s loop with a pause after every step, in which the page is told, other
//! requests are answered with the weights so far, and the run's files are written.

use std::convert::Infallible;
use std::rc::Rc;

use burn::module::Module;
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::adamw::AdamW;
use understudy_shared::train::course::{Course, Marks};
use understudy_shared::train::fit::{self, Ending, Event, FitError, StepRecord, fit_with_pauses};
use understudy_shared::train::lesson::LessonSettings;
use understudy_shared::train::scope::merged;
use understudy_shared::train::state::{Checkpoint, Progress, TrainState};
use understudy_shared::train::trainee::Trainee;
use web::protocol::{Answer, Role, RunState, TrainReport};

use super::control::{Running, expect_growth};
use super::unfinished::Unfinished;
use crate::worker::model::Model;
use crate::worker::{Stop, Task, device, scope, with_state};

/// Steps between two checkpoints.
const CHECKPOINT_EVERY: usize = 10;

/// A run, ready to go on.
pub struct Session {
    /// Its control.
    pub running: Running,
    /// Its request.
    pub task: Task,
    /// The student as it was before it was ever taught.
    pub former: Rc<Model>,
    /// What is learned from, and the exams.
    pub course: Course,
    /// How.
    pub settings: LessonSettings,
    /// Its files, or why there are none.
    pub kept: Result<Unfinished, Stop>,
}

/// The state of a run that began with `start`, at a checkpoint or at its beginning.
///
/// # Errors
///
/// A checkpoint of another run.
pub fn state_of(
    start: &TokenClassifier,
    settings: &LessonSettings,
    checkpoint: Option<Checkpoint>,
) -> Result<TrainState, Stop> {
    let model = settings.scope.apply(start.clone().train().without_dropout(), settings.seed);
    let optimizer = AdamW::new(settings.train_config().optimizer, device::placement());
    let model = Trainee::new(model);
    let mut state = TrainState { model, optimizer, progress: Progress::default() };
    if let Some(checkpoint) = checkpoint {
        state.restore(checkpoint).map_err(Stop::failed)?;
    }
    Ok(state)
}

/// Why a run is not kept.
fn in_words(stop: Stop) -> String {
    match stop {
        Stop::Failed { message, .. } => message,
        Stop::Cancelled => "it was given up".to_owned(),
    }
}

/// A report without anything.
fn report(step: usize, of: usize, state: RunState) -> TrainReport {
    TrainReport {
        step,
        of,
        state,
        loss: None,
        new_f1: None,
        teacher_f1: None,
        kept_f1: None,
        millis: 0.0,
        memory_bytes: scope::memory_bytes(),
        message: None,
    }
}

fn with_marks(report: TrainReport, marks: Marks) -> TrainReport {
    TrainReport { new_f1: marks.new, teacher_f1: marks.teacher, kept_f1: marks.kept, ..report }
}

impl Session {
    fn tell(&self, report: TrainReport) {
        scope::reply(self.task.id, Answer::Trained(Box::new(report)));
    }

    /// Makes these weights the student's for other requests, and the former ones the former student's.
    fn publish(&self, model: &TokenClassifier) {
        let student = Rc::new(self.former.taught(model.clone()));
        with_state(|state| {
            state.models.insert(Role::Former, self.former.clone());
            state.models.insert(Role::Student, student);
        });
    }

    /// Takes the student back, so that the optimiser is alone with its weights and changes them in place.
    fn take_back() {
        with_state(|state| state.models.remove(&Role::Student));
    }

    /// Scores of a model, unless the run is stopped meanwhile.
    async fn marks(&self, model: &TokenClassifier) -> Marks {
        let mut pause = async |_, _| {
            scope::pause().await;
            if self.running.is_stopped() { Err(()) } else { Ok(()) }
        };
        let marks = self.course.measure(model, &self.former.bundle, &mut pause).await;
        marks.unwrap_or_default()
    }

    /// Trains, and answers when that is over.
    ///
    /// # Errors
    ///
    /// A checkpoint of another run.
    pub async fn run(
        mut self,
        start: TokenClassifier,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Answer, Stop> {
        let begun = scope::now();
        let config = self.settings.train_config();
        let of = self.settings.steps;
        let mut state = state_of(&start, &self.settings, checkpoint)?;
        drop(start);
        let first = merged(&state.model.classifier);
        self.publish(&first);
        let mut marks = self.marks(&first).await;
        drop(first);
        expect_growth();
        let (mut kept, mut trouble) = match std::mem::replace(&mut self.kept, Err(Stop::Cancelled))
        {
            Ok(run) => (Some(run), None),
            Err(stop) => (None, Some(in_words(stop))),
        };
        let step = state.progress.step;
        let first = TrainReport { message: trouble.clone(), ..report(step, of, RunState::Running) };
        self.tell(with_marks(first, marks));
        let paused = |session: &Self, step| session.tell(report(step, of, RunState::Paused));
        let go_on = self.running.pause(|| paused(&self, step)).await;
        Self::take_back();
        let (mut is_full, mut last) = (false, scope::now());
        let labels = self.former.bundle.labels.clone();
        let task = fit::Task {
            train: &self.course.source,
            teacher: None,
            dev: None,
            labels: &labels,
            pad_token_id: self.former.bundle.config.pad_token_id,
            mask_token_id: self.former.bundle.tokenizer.mask_id(),
        };
        let observe = async |event: Event<'_>, trainee: &Trainee| -> Result<_, Infallible> {
            let record = match event {
                Event::Step(record) => record,
                Event::Checkpoint(checkpoint) => {
                    // What is stopped is not gone on with, so its last checkpoint need not be kept.
                    let is_wanted = is_full || !self.running.is_stopped();
                    if let Some(run) = kept.as_mut().filter(|_| is_wanted) {
                        let error = run.write_checkpoint(checkpoint).await.err().map(in_words);
                        // Told once, until it was possible again.
                        if trouble.is_none() && error.is_some() {
                            let step = checkpoint.progress.step;
                            let report = report(step, of, RunState::Running);
                            self.tell(TrainReport { message: error.clone(), ..report });
                        }
                        trouble = error;
                    }
                    last = scope::now();
                    return Ok(fit::Control::Continue);
                }
                Event::Evaluated { .. } => return Ok(fit::Control::Continue),
            };
            let (step, millis) = (record.step, scope::now() - last);
            let model = merged(&trainee.classifier);
            self.publish(&model);
            let mut scores = Marks::default();
            if Course::is_measured(step, of) && !self.running.is_stopped() {
                scores = self.marks(&model).await;
                marks = scores;
            }
            drop(model);
            self.tell(with_marks(self.step_report(record, millis), scores));
            let mut control = self.running.pause(|| paused(&self, step)).await;
            Self::take_back();
            // Without its files no other worker could go on; what is stopped need not.
            let goes_on = control != fit::Control::Stop;
            if goes_on && self.running.is_full() && kept.is_some() && trouble.is_none() && step < of
            {
                is_full = true;
                control = fit::Control::Stop;
            }
            if step.is_multiple_of(CHECKPOINT_EVERY) {
                control = control.max(fit::Control::Checkpoint);
            }
            last = scope::now();
            Ok(control)
        };
        let ended = match go_on {
            fit::Control::Stop => Ok(Ending::Stopped),
            _ => fit_with_pauses(&mut state, &task, &config, observe).await,
        };
        self.publish(&merged(&state.model.classifier));
        let (state_of_run, message) = match ended {
            Ok(Ending::Finished | Ending::OutOfPatience) => (RunState::Finished, None),
            Ok(Ending::Stopped) if is_full => match trouble {
                None => (RunState::MemoryFull, None),
                Some(trouble) => {
                    (RunState::Stopped, Some(format!("memory is full, and {trouble}")))
                }
            },
            Ok(Ending::Stopped) => (RunState::Stopped, None),
            Err(error @ FitError::NotFinite { .. }) => {
                (RunState::NotFinite, Some(error.to_string()))
            }
            Err(error) => return Err(Stop::failed(error)),
        };
        if let Some(kept) = &kept
            && state_of_run != RunState::MemoryFull
        {
            kept.finish().await;
            with_state(|state| state.continues = false);
        }
        let report = report(state.progress.step, of, state_of_run);
        let millis = scope::now() - begun;
        let scores = if state_of_run == RunState::Finished { marks } else { Marks::default() };
        let report = TrainReport { millis, message, ..with_marks(report, scores) };
        Ok(Answer::Trained(Box::new(report)))
    }

    fn step_report(&self, record: &StepRecord, millis: f64) -> TrainReport {
        TrainReport {
            loss: Some(record.loss),
            millis,
            ..report(record.step, self.settings.steps, RunState::Running)
        }
    }
}
