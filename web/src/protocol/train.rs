//! Teaching the student in the tab: what the page asks for, and what the worker tells on the way.
//!
//! [`Command::Train`] and [`Command::Continue`] are answered by any number of [`Answer::Progress`]
//! (while text is labelled), then by [`Answer::Trained`] once before the first step, after every step
//! and whenever the run is paused; the first whose [`RunState::is_over`] is the last answer. A failure
//! before the first step is [`Answer::Failed`], a stop before it [`Answer::Cancelled`].
//!
//! While a run goes on, every other request is answered between two steps: `Tag` with
//! [`Role::Student`] by the weights so far, with [`Role::Former`] by those of before.
//! [`Command::Control`] is not answered by itself: the next report says what it did.
//!
//! [`Answer::Progress`]: super::Answer::Progress
//! [`Answer::Trained`]: super::Answer::Trained
//! [`Answer::Failed`]: super::Answer::Failed
//! [`Answer::Cancelled`]: super::Answer::Cancelled
//! [`Command::Train`]: super::Command::Train
//! [`Command::Continue`]: super::Command::Continue
//! [`Command::Control`]: super::Command::Control
//! [`Role::Student`]: super::Role::Student
//! [`Role::Former`]: super::Role::Former

use serde::{Deserialize, Serialize};

/// How the student learns. The defaults for a student stand in [`super::Loaded::teaching`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// What is trained: `head`, `last:K` (head and last K layers), `no-embeddings`, `all`, or `lora:R`
    /// (head, and an addition of rank R to every query and value matrix).
    pub scope: String,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Sentences of a step.
    pub batch_size: usize,
    /// Share of them that rehearse what the student knew, 0 up to but not including 1.
    pub rehearsal: f64,
    /// Softens distributions in the soft loss.
    pub temperature: f64,
    /// Share of the soft loss (rehearsal, the teacher's logits), 0 to 1; the rest is the hard loss
    /// (corrections, the teacher's decided labels).
    pub alpha: f64,
    /// Fixes batches and dropout. Below 2⁵³, as JavaScript's numbers are.
    pub seed: u64,
}

/// A text and all its entities, as the student should find them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Raw text.
    pub text: String,
    /// Not overlapping, in any order; a word that a span touches belongs to it.
    pub spans: Vec<LessonSpan>,
}

/// An entity of a lesson, half-open bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LessonSpan {
    /// One of the student's, such as `PER`.
    pub entity_type: String,
    /// First byte in the text.
    pub start_byte: usize,
    /// One past the last byte.
    pub end_byte: usize,
}

/// How to go on with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Wait after this step.
    Pause,
    /// Go on.
    Resume,
    /// Take one step, then wait.
    Step,
    /// End after this step and keep the weights.
    Stop,
}

/// A run after a step; step 0 is before the first. Scores are there after some steps only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Steps taken.
    pub step: usize,
    /// Of how many.
    pub of: usize,
    /// Whether it goes on.
    pub state: RunState,
    /// What the step minimised; none at step 0, and none when only the state changed.
    pub loss: Option<f64>,
    /// Entity F1 on the lessons, 0 to 1.
    pub new_f1: Option<f64>,
    /// Agreement with the teacher on text that is not learned from, as entity F1.
    pub teacher_f1: Option<f64>,
    /// Agreement with the former student on sentences that are not learned from, as entity F1.
    pub kept_f1: Option<f64>,
    /// Of the step, without the scores; of the whole run, scores and all, when it is over.
    pub millis: f64,
    /// Memory of the worker afterwards.
    pub memory_bytes: u64,
    /// Why it ended, where that is not as planned; of a run that goes on, why it is not kept, so that a
    /// closed tab would lose it. Told once.
    pub message: Option<String>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Taking steps.
    Running,
    /// Waiting for [`Action::Resume`], [`Action::Step`] or [`Action::Stop`].
    Paused,
    /// Over: all steps were taken.
    Finished,
    /// Over: it was told to stop; the weights are those of its last step.
    Stopped,
    /// Over: a loss or a gradient was no number; the weights are the last good ones.
    NotFinite,
    /// Over for this worker, whose memory has grown beyond [`MEMORY_LIMIT`], or further where the models
    /// alone come near it: everything is kept. Start a new worker, have it load the unfinished run
    /// ([`KeptCommand::Load`]), and send [`Command::Continue`](super::Command::Continue).
    MemoryFull,
}

impl RunState {
    /// Whether this was the last report.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

/// Bytes of a worker's memory at which a run is put aside for a new worker.
pub const MEMORY_LIMIT: u64 = 1_400_000_000;

/// About students that are kept in the browser. Each of these is answered by
/// [`Answer::Kept`](super::Answer::Kept), the list as it is then, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptCommand {
    /// The list.
    List,
    /// Keep the student as it is now.
    Save {
        /// What to call it.
        name: String,
    },
    /// Call one by another name.
    Rename {
        /// Which one.
        id: String,
        /// What to call it.
        name: String,
    },
    /// Delete one, or the unfinished run.
    Delete {
        /// Which one.
        id: String,
    },
    /// Make one the student, or the student of the unfinished run as far as it was taught (and as the
    /// former student what it was before); answered by [`Answer::Loaded`](super::Answer::Loaded).
    Load {
        /// Which one.
        id: String,
    },
    /// Its files; answered by [`Answer::Files`](super::Answer::Files).
    Download {
        /// Which one.
        id: String,
    },
}

/// A student that is kept in the browser, or a run that a closed tab left unfinished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptStudent {
    /// Names it in [`KeptCommand`].
    pub id: String,
    /// What the user calls it; of an unfinished run, what its student was called.
    pub name: String,
    /// Bytes of its files; of a run 0.
    pub size_bytes: u64,
    /// When it was kept, in milliseconds since 1970.
    pub saved_millis: f64,
    /// Steps taken and steps planned, of a run that
    /// [`Command::Continue`](super::Command::Continue) goes on with; there is one at most.
    pub unfinished: Option<(usize, usize)>,
}
