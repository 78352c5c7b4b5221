//! What the page and a worker say to each other: numbered requests, and responses with the number of
//! the request they answer.
//!
//! Both travel as JSON text, `{"id": 7, "command": {"tag": {…}}}` and `{"id": 7, "answer": {"tagged": {…}}}`;
//! a name inside the content, as `"kind": "tag"`, would make readers that buffer, and a larger page. A request is answered by any number of [`Answer::Progress`] and then by
//! exactly one other answer (a run of training by several, see [`train`]); one that was cancelled by
//! [`Command::Cancel`] is answered by [`Answer::Cancelled`]. Bytes of dropped files travel beside the
//! text, as transferred buffers: `[text, buffer, …]`. So do the files of [`Answer::Files`]; every other
//! response is the text alone.

pub mod train;

use serde::{Deserialize, Serialize};

use crate::manifest::ModelEntry;
use crate::position::Place;

pub use train::{
    Action, KeptCommand, KeptStudent, Lesson, LessonSpan, MEMORY_LIMIT, RunState, TrainReport,
    TrainSettings,
};

/// Raised with every change of this file, so that a page never talks to another version's worker.
pub const VERSION: u32 = 3;

/// The number that responses without a request carry.
pub const NO_REQUEST: u32 = 0;

/// Where tensors are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// One thread with SIMD128.
    #[default]
    Cpu,
    /// WebGPU.
    Webgpu,
}

impl Backend {
    /// As in an address and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Webgpu => "webgpu",
        }
    }
}

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The large one.
    Teacher,
    /// The small one.
    Student,
    /// The student as it was before it was taught; until then the same as the student. It can be
    /// asked to tag, to score and to be measured, and is never loaded by itself.
    Former,
}

impl Role {
    /// The two that are loaded, the teacher first as on the page.
    pub const BOTH: [Self; 2] = [Self::Teacher, Self::Student];

    /// As in an address, in files and in the page's ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Former => "former",
        }
    }
}

/// How labels become entities, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// One of [`AGGREGATIONS`].
    pub aggregation: String,
    /// Whether only legal BIO sequences are taken.
    pub constrained: bool,
    /// Entities with a lower score are left out, 0 to 1.
    pub threshold: f32,
}

/// Hugging Face's five aggregation strategies; `first` is the default.
pub const AGGREGATIONS: [&str; 5] = ["none", "simple", "first", "average", "max"];

impl Default for Options {
    fn default() -> Self {
        Self { aggregation: "first".to_owned(), constrained: false, threshold: 0.0 }
    }
}

/// What the page asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Above 0 and rising.
    pub id: u32,
    /// What is asked.
    pub command: Command,
}

/// A request's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Prepare the device; the first request to a worker.
    Start {
        /// Which one.
        backend: Backend,
    },
    /// Fetch a model that lies beside the page, or take it from the cache.
    Load {
        /// Whose place it takes.
        role: Role,
        /// Its files.
        model: ModelEntry,
        /// Absolute address of the folder `models`, with a slash at its end.
        base: String,
    },
    /// Take a model from dropped files, whose buffers travel beside this.
    LoadFiles {
        /// Whose place it takes.
        role: Role,
        /// What to call it.
        name: String,
        /// The names of the files, in the order of the buffers.
        files: Vec<String>,
    },
    /// Tag one text.
    Tag {
        /// By which model.
        role: Role,
        /// Raw text.
        text: String,
        /// How.
        options: Options,
    },
    /// Tag a labelled file and score it.
    Score {
        /// By which model.
        role: Role,
        /// CoNLL columns.
        file: String,
        /// How labels are decided; the threshold does not count here.
        options: Options,
    },
    /// Time forward passes.
    Measure {
        /// By which model.
        role: Role,
        /// Length of each sentence, special tokens included.
        subwords: usize,
        /// How many at once.
        sentences: usize,
        /// How often.
        rounds: usize,
    },
    /// Teach the student; see [`train`] for the answers. One run at a time.
    Train {
        /// How.
        settings: TrainSettings,
        /// Corrected texts, learned from by their labels. May be empty where there is `text`.
        lessons: Vec<Lesson>,
        /// Text that the loaded teacher labels, learned from by its logits; empty = none. Every fifth
        /// sentence is kept apart for [`TrainReport::teacher_f1`].
        text: String,
    },
    /// Go on with the run that a closed tab or a full memory left unfinished, after its student was
    /// loaded by [`KeptCommand::Load`]; answered as [`Command::Train`].
    Continue,
    /// Pause, resume, step or stop a run; not answered.
    Control {
        /// The number of the run's request.
        request: u32,
        /// What to do.
        action: Action,
    },
    /// Make the student what it was before it was taught; answered by [`Answer::Loaded`].
    Reset,
    /// About students that are kept in the browser.
    Kept(KeptCommand),
    /// Give up another request. A run of training stops as by [`Action::Stop`].
    Cancel {
        /// Its number.
        request: u32,
    },
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's number, or [`NO_REQUEST`].
    pub id: u32,
    /// The answer.
    pub answer: Answer,
}

/// A response's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The device is ready.
    Started {
        /// [`VERSION`] of the worker.
        version: u32,
        /// Which device.
        backend: Backend,
    },
    /// A long request goes on.
    Progress(Progress),
    /// A model is in its place.
    Loaded(Box<Loaded>),
    /// A text was tagged.
    Tagged(Box<Tagged>),
    /// A file was scored.
    Scored(Box<Scored>),
    /// Forward passes were timed.
    Measured {
        /// Each pass.
        millis: Vec<f64>,
    },
    /// A run of training after a step; the last one if its state is over.
    Trained(Box<TrainReport>),
    /// The students that are kept in the browser, newest first.
    Kept(Vec<KeptStudent>),
    /// The files of a bundle, which travel beside this as `File` objects in the same order.
    Files {
        /// Their names.
        names: Vec<String>,
    },
    /// The request was given up.
    Cancelled,
    /// The request failed.
    Failed {
        /// What, where, and what was expected.
        message: String,
        /// Whether trying again may help, as after a cut connection.
        can_retry: bool,
    },
    /// The worker is lost: a panic, a lost device, or memory that ran out.
    Crashed {
        /// Why.
        message: String,
    },
}

/// How far a long request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is counted.
    pub stage: Stage,
    /// How many so far.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

/// What [`Progress`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes that arrived.
    Download,
    /// Bytes from the cache.
    Cache,
    /// Steps of making a model of the bytes.
    Prepare,
    /// Windows of a text, or of a file.
    Tag,
    /// Windows of the sample that is rehearsed, by the student.
    Rehearse,
    /// Windows of a text, by the teacher.
    Label,
}

/// A model that is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Whose place it takes.
    pub role: Role,
    /// What it is called.
    pub name: String,
    /// Parameters, the head included.
    pub parameters: usize,
    /// Bytes of all its files.
    pub size_bytes: u64,
    /// Labels; index = id.
    pub labels: Vec<String>,
    /// Layers, width, heads.
    pub shape: [usize; 3],
    /// Whether no byte was fetched.
    pub from_cache: bool,
    /// Micro F1 of its report, if it has one.
    pub f1: Option<f64>,
    /// Fetching and hashing, or reading from the cache.
    pub fetch_millis: f64,
    /// Reading the files' formats and making tensors.
    pub prepare_millis: f64,
    /// The first forward pass.
    pub warm_up_millis: f64,
    /// Memory of the worker afterwards.
    pub memory_bytes: u64,
    /// Good settings to teach it with.
    pub teaching: TrainSettings,
}

/// An entity in a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Such as `PER`, or a label such as `B-PER` where nothing is aggregated.
    pub entity_type: String,
    /// Where it stands.
    pub place: Place,
    /// 0 to 1.
    pub score: f32,
}

/// A sub-word and what a model thinks of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// First byte in the text.
    pub start_byte: usize,
    /// One past the last byte.
    pub end_byte: usize,
    /// Index of its word.
    pub word: usize,
    /// Decided label.
    pub label: usize,
    /// One for each label.
    pub logits: Vec<f32>,
}

/// A tagged text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tagged {
    /// Who tagged it.
    pub role: Role,
    /// In the order of the text.
    pub entities: Vec<Entity>,
    /// The first [`MOST_TOKENS`] sub-words.
    pub tokens: Vec<Token>,
    /// The words of the text, as half-open bytes.
    pub words: Vec<(usize, usize)>,
    /// All sub-words of the text.
    pub subwords: usize,
    /// Tokenising, computing and decoding; pauses are not counted.
    pub millis: f64,
    /// Whether logits were computed, and not only decoded in another way.
    pub computed: bool,
    /// Memory of the worker afterwards.
    pub memory_bytes: u64,
}

/// Sub-words that come with their logits; longer texts would fill the page with numbers.
pub const MOST_TOKENS: usize = 512;

/// Precision, recall and F1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// An entity type.
    pub name: String,
    /// 0 to 1.
    pub precision: f64,
    /// 0 to 1.
    pub recall: f64,
    /// 0 to 1.
    pub f1: f64,
    /// Entities in the file.
    pub support: usize,
}

/// A scored file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Who was scored.
    pub role: Role,
    /// All types together.
    pub micro: ScoreRow,
    /// Each type.
    pub per_type: Vec<ScoreRow>,
    /// Sentences in the file.
    pub sentences: usize,
    /// As [`Tagged::millis`].
    pub millis: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_journey() {
        let command = Command::Tag {
            role: Role::Student,
            text: "Ada \u{1f600} \u{200d}\n".to_owned(),
            options: Options::default(),
        };
        let request = Request { id: 7, command };
        let text = serde_json::to_string(&request).expect("JSON");
        assert_eq!(serde_json::from_str::<Request>(&text).expect("our own"), request);
    }

    #[test]
    fn a_response_survives_the_journey() {
        let place = Place { start_byte: 4, end_byte: 8, start_utf16: 4, end_utf16: 6 };
        let entities = vec![Entity { entity_type: "PER".to_owned(), place, score: 0.1 }];
        let tagged = Tagged {
            role: Role::Teacher,
            entities,
            tokens: vec![],
            words: vec![(0, 3)],
            subwords: 1,
            millis: 0.5,
            computed: true,
            memory_bytes: 1,
        };
        let response = Response { id: 1, answer: Answer::Tagged(Box::new(tagged)) };
        let text = serde_json::to_string(&response).expect("JSON");
        assert!(text.contains(r#""start_utf16":4"#), "{text}");
        assert_eq!(serde_json::from_str::<Response>(&text).expect("our own"), response);
    }
}
