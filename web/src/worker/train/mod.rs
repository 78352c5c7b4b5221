//! Teaching the student: its former self stays beside it, and a run can be paused, stopped, put aside
//! and gone on with.
//!
//! | module | holds |
//! | --- | --- |
//! | [`settings`] | from the page's words to those of `shared` |
//! | [`control`] | what the page wants of a run, looked at between two steps |
//! | [`rehearsal`] | the sentences that are rehearsed |
//! | [`session`] | the run: steps, scores, reports |
//! | [`unfinished`] | its checkpoint in the browser's private files |

mod control;
mod rehearsal;
mod session;
pub mod settings;
pub mod unfinished;

use std::rc::Rc;

use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::data::example::ExampleOptions;
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::course::{Course, Material, Teaching, Work};
use understudy_shared::train::lesson::{LessonError, sentences};
use web::protocol::{Answer, Lesson, Role, Stage, TrainSettings};

use super::model::{Model, described};
use super::{Stop, Task, device, model_of, scope, with_state};
use control::Running;
pub use control::{Control, control, expect_growth};
use session::Session;
use unfinished::{Record, Unfinished};

impl From<LessonError> for Stop {
    fn from(error: LessonError) -> Self {
        Self::failed(error)
    }
}

/// Sentences by which teacher and student are checked to read alike.
const COMPARED: usize = 20;

fn begin(task: Task) -> Result<Running, Stop> {
    let going = || Stop::failed("the student is being taught; stop that before another run begins");
    Running::begin(task).ok_or_else(going)
}

/// Begins a run and answers when it is over.
///
/// # Errors
///
/// Settings, lessons or a teacher that do not fit, a device whose gradients are wrong, or a run that was
/// stopped before its first step.
pub async fn start(
    task: Task,
    settings: TrainSettings,
    lessons: Vec<Lesson>,
    text: &str,
) -> Result<Answer, Stop> {
    let running = begin(task)?;
    let settings = settings::settings(settings)?;
    settings.check()?;
    let (student, former) = (model_of(Role::Student)?, model_of(Role::Former)?);
    check_device().await?;
    let text = sentences(text);
    let teacher = match text.is_empty() {
        true => None,
        false => Some(teacher_of(&former, &text)?),
    };
    let now = js_sys::Date::now();
    let record = Record {
        id: format!("{now}-{}", js_sys::Math::random()),
        name: former.name.clone(),
        saved_millis: now,
        step: 0,
        settings,
        lessons: settings::lessons(lessons),
        text,
        rehearsal: rehearsal::sentences().await?,
        is_taught: student.weights.is_some(),
    };
    let teaching = match &teacher {
        Some(teacher) => Teaching::Teacher(teacher.classifier()),
        None => Teaching::Nobody,
    };
    let current = student.weights.as_ref();
    let course = prepare(&running, task, &former, current, teaching, &record).await?;
    let start = student.classifier().clone();
    drop((student, teacher));
    let taught = course.taught();
    let changed = record.is_taught.then_some(&start);
    let kept = Unfinished::create(record.clone(), &former, changed, taught).await;
    let session = Session { running, task, former, course, settings: record.settings, kept };
    session.run(start, None).await
}

/// Goes on with the unfinished run, whose student was loaded before.
///
/// # Errors
///
/// As [`start`], and where there is no such run.
pub async fn go_on(task: Task) -> Result<Answer, Stop> {
    let running = begin(task)?;
    if !with_state(|state| state.continues) {
        return Err(Stop::failed("there is no unfinished run whose student is loaded"));
    }
    let kept = Unfinished::open().await?;
    let former = model_of(Role::Former)?;
    check_device().await?;
    let start = kept.start(&former).await?;
    let (taught, record) = (kept.taught().await?, kept.record().clone());
    let teaching = taught.as_deref().map_or(Teaching::Nobody, Teaching::Known);
    let current = record.is_taught.then_some(&start);
    let course = prepare(&running, task, &former, current, teaching, &record).await?;
    let checkpoint = kept.read_checkpoint().await?;
    let settings = record.settings;
    let session = Session { running, task, former, course, settings, kept: Ok(kept) };
    session.run(start, checkpoint).await
}

/// The student as it was before it was taught.
///
/// # Errors
///
/// No student, or one that is being taught.
pub fn reset() -> Result<Answer, Stop> {
    if with_state(|state| state.lesson.is_some()) {
        return Err(Stop::failed("the student is being taught; stop that before it is reset"));
    }
    let former = model_of(Role::Former)?;
    with_state(|state| {
        state.models.remove(&Role::Former);
        state.models.insert(Role::Student, former.clone());
        state.continues = false;
    });
    Ok(Answer::Loaded(Box::new(described(Role::Student, &former))))
}

async fn prepare(
    running: &Running,
    task: Task,
    former: &Model,
    current: Option<&TokenClassifier>,
    teaching: Teaching<'_>,
    record: &Record,
) -> Result<Course, Stop> {
    let material =
        Material { lessons: &record.lessons, text: &record.text, rehearsal: &record.rehearsal };
    let mut pause = async |work: Work, done: usize, total: usize| {
        let stage = match work {
            Work::Rehearse => Stage::Rehearse,
            Work::Label => Stage::Label,
        };
        task.progress(stage, done as u64, total as u64);
        scope::pause().await;
        if running.is_stopped() { Err(Stop::Cancelled) } else { Ok(()) }
    };
    let settings = &record.settings;
    Course::prepare(&former.bundle, current, teaching, material, settings, &mut pause).await
}

/// The loaded teacher, if it reads and labels as the student does.
fn teacher_of(student: &Model, text: &[String]) -> Result<Rc<Model>, Stop> {
    let teacher = model_of(Role::Teacher)?;
    let (theirs, ours) = (&teacher.bundle, &student.bundle);
    if theirs.labels != ours.labels {
        return Err(Stop::failed(format!(
            "the teacher’s labels are {}; expected the student’s: {}",
            theirs.labels.names().join(", "),
            ours.labels.names().join(", ")
        )));
    }
    let reads = |bundle: &Bundle| ExampleOptions::for_model(bundle.config.max_position_embeddings);
    let (most, wanted) = (reads(theirs).max_length, reads(ours).max_length);
    if most < wanted || theirs.tokenizer.vocab_size() != ours.tokenizer.vocab_size() {
        return Err(Stop::failed(format!(
            "the teacher reads {most} sub-words at once of a vocabulary of {}; expected the student’s {wanted} \
             or more, and its {}",
            theirs.tokenizer.vocab_size(),
            ours.tokenizer.vocab_size()
        )));
    }
    for sentence in text.iter().take(COMPARED) {
        let read = |bundle: &Bundle| bundle.tokenizer.encode_text(sentence).map_err(Stop::failed);
        if read(theirs)? != read(ours)? {
            return Err(Stop::failed(
                "the teacher reads text in other sub-words than the student; expected one vocabulary",
            ));
        }
    }
    Ok(teacher)
}

/// Checks the device's gradients, once.
async fn check_device() -> Result<(), Stop> {
    if with_state(|state| state.can_train) {
        return Ok(());
    }
    let device = with_state(|state| state.device.clone());
    device::check_gradients(&device.ok_or_else(|| Stop::failed("the device was not started"))?)
        .await?;
    with_state(|state| state.can_train = true);
    Ok(())
}
