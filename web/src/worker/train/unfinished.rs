//! A run in the browser's private files, so that a closed tab loses ten steps at most.
//!
//! Beside the former student's bundle: `start.safetensors`, the weights the run began with where those
//! are others; `taught.safetensors`, the teacher's logits of its text; `checkpoint.safetensors`; and
//! `run.json`, without which there is no run. While a run goes on its tab holds a lock, so no other one
//! touches the files, or offers them as a run that was left.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use understudy_shared::checkpoint::weights::{Head, load as load_weights, read_back, to_parts};
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::lesson::{Lesson, LessonSettings};
use understudy_shared::train::scope::merged;
use understudy_shared::train::state::Checkpoint;
use web::protocol::{Answer, KeptStudent, Role};

use super::session::state_of;
use crate::worker::keep::disk::Folder;
use crate::worker::keep::lock::{self, Lock};
use crate::worker::keep::{read_bundle, write_bundle};
use crate::worker::model::{self, Model, Source};
use crate::worker::{Stop, Task, device, scope, with_state};

/// Before the run's own id it makes one that no kept student has.
const PREFIX: &str = "unfinished-";

const FOLDER: &str = "run";
const RECORD: &str = "run.json";
const START: &str = "start.safetensors";
const TAUGHT: &str = "taught.safetensors";
const CHECKPOINT: &str = "checkpoint.safetensors";

/// What a run is, besides weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Tells it from a run of another tab.
    pub id: String,
    /// What its student is called.
    pub name: String,
    /// When it was last written.
    pub saved_millis: f64,
    /// Steps taken at the last checkpoint.
    pub step: usize,
    /// How it learns.
    pub settings: LessonSettings,
    /// From what.
    pub lessons: Vec<Lesson>,
    /// From what else.
    pub text: Vec<String>,
    /// What is rehearsed.
    pub rehearsal: Vec<String>,
    /// Whether its student had been taught before.
    pub is_taught: bool,
}

/// The run of a [`KeptStudent::id`], if it is none of a kept student.
pub fn run_of(id: &str) -> Option<&str> {
    id.strip_prefix(PREFIX)
}

/// The files of a run, which are this tab's as long as this lives.
#[derive(Debug)]
pub struct Unfinished {
    folder: Folder,
    record: Record,
    _lock: Lock,
}

impl Unfinished {
    /// Puts a run's files in the place of those of another one.
    ///
    /// # Errors
    ///
    /// A full disk, a browser that keeps nothing, or a run in another tab.
    pub async fn create(
        record: Record,
        former: &Model,
        start: Option<&TokenClassifier>,
        taught: Option<Vec<u8>>,
    ) -> Result<Self, Stop> {
        let lock = take_lock().await?;
        delete_files().await;
        let folder = Folder::root().await?.folder(FOLDER).await?;
        let run = Self { folder, record, _lock: lock };
        let written = run.write_all(former, start, taught).await;
        if written.is_err() {
            delete_files().await;
        }
        written.map(|()| run)
    }

    async fn write_all(
        &self,
        former: &Model,
        start: Option<&TokenClassifier>,
        taught: Option<Vec<u8>>,
    ) -> Result<(), Stop> {
        let former = former.taught(former.bundle.model.clone());
        write_bundle(&self.folder, &former).await?;
        if let Some(start) = start {
            self.folder.write(START, to_parts(&read_back(start).await)).await?;
        }
        if let Some(taught) = taught {
            self.folder.write(TAUGHT, std::iter::once(taught)).await?;
        }
        self.write_record().await
    }

    /// The run that is there.
    ///
    /// # Errors
    ///
    /// None, or one that goes on in another tab.
    pub async fn open() -> Result<Self, Stop> {
        let lock = take_lock().await?;
        let found = stored().await.ok_or_else(|| Stop::failed("there is no unfinished run"))?;
        let (folder, record) = found;
        Ok(Self { folder, record, _lock: lock })
    }

    /// What it is.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Whether the files are still those of this run, and not of another tab's.
    async fn is_own(&self) -> bool {
        stored().await.is_some_and(|(_, record)| record.id == self.record.id)
    }

    /// Deletes the files of a run that is over.
    pub async fn finish(&self) {
        if self.is_own().await {
            delete_files().await;
        }
    }

    async fn write_record(&self) -> Result<(), Stop> {
        let text = serde_json::to_vec(&self.record).expect("plain data");
        self.folder.write(RECORD, std::iter::once(text)).await.map(drop)
    }

    /// Keeps a checkpoint in the place of the one before.
    ///
    /// # Errors
    ///
    /// A full disk, or another tab's run in the place of this one.
    pub async fn write_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Stop> {
        if !self.is_own().await {
            return Err(Stop::failed("another tab has begun a run"));
        }
        self.folder.write(CHECKPOINT, checkpoint.to_parts()).await?;
        self.record.step = checkpoint.progress.step;
        self.record.saved_millis = js_sys::Date::now();
        self.write_record().await
    }

    /// The last checkpoint; none before the first.
    ///
    /// # Errors
    ///
    /// A file that is none.
    pub async fn read_checkpoint(&self) -> Result<Option<Checkpoint>, Stop> {
        let bytes = self.folder.read(CHECKPOINT).await?;
        bytes.map(|bytes| Checkpoint::from_bytes(&bytes).map_err(Stop::failed)).transpose()
    }

    /// What the teacher said of the text.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub async fn taught(&self) -> Result<Option<Vec<u8>>, Stop> {
        self.folder.read(TAUGHT).await
    }

    /// The weights it began with.
    ///
    /// # Errors
    ///
    /// A file that is none.
    pub async fn start(&self, former: &Model) -> Result<TokenClassifier, Stop> {
        let bundle = &former.bundle;
        let bytes = match self.record.is_taught {
            true => self.folder.read(START).await?,
            false => return Ok(bundle.model.clone()),
        };
        let bytes = bytes.ok_or_else(|| Stop::failed(format!("{START}: missing")))?;
        let device = bundle.model.device();
        let loaded =
            load_weights(&bytes, &bundle.config, bundle.labels.len(), Head::Trained, &device);
        loaded.map(device::place).map_err(Stop::failed)
    }
}

async fn take_lock() -> Result<Lock, Stop> {
    lock::take()
        .await
        .ok_or_else(|| Stop::failed("another tab of this page has a run that goes on"))
}

/// The folder of the run that is there, and what it is.
async fn stored() -> Option<(Folder, Record)> {
    let folder = Folder::root().await.ok()?.folder(FOLDER).await.ok()?;
    let record = serde_json::from_slice(&folder.read(RECORD).await.ok()??).ok()?;
    Some((folder, record))
}

async fn delete_files() {
    if let Ok(root) = Folder::root().await {
        root.delete(FOLDER).await;
    }
}

/// Deletes the unfinished run; one that goes on keeps its files, and so does another one than is meant.
///
/// # Errors
///
/// A run that goes on in another tab.
pub async fn delete(id: &str) -> Result<(), Stop> {
    if with_state(|state| state.lesson.is_none()) {
        let _lock = take_lock().await?;
        with_state(|state| state.continues = false);
        if stored().await.is_some_and(|(_, record)| record.id == id) {
            delete_files().await;
        }
    }
    Ok(())
}

/// The unfinished run as the list of kept students shows it; none while a run goes on, here or in another
/// tab.
pub async fn entry() -> Option<KeptStudent> {
    if with_state(|state| state.lesson.is_some()) || !lock::is_free().await {
        return None;
    }
    let (_, record) = stored().await?;
    Some(KeptStudent {
        id: format!("{PREFIX}{}", record.id),
        name: record.name,
        // Nobody asks for it, and it would take opening every file.
        size_bytes: 0,
        saved_millis: record.saved_millis,
        unfinished: Some((record.step, record.settings.steps)),
    })
}

/// Makes the run's student the student, as far as it was taught; the one that is there stays until all of
/// it was read.
///
/// # Errors
///
/// Another run than is meant, or none, or files that are none.
pub async fn load(task: Task, id: &str) -> Result<Answer, Stop> {
    let start = scope::now();
    let run = Unfinished::open().await?;
    if run.record.id != id {
        return Err(Stop::failed("another run has taken its place"));
    }
    let (name, files) = (run.record.name.clone(), read_bundle(&run.folder).await?);
    let fetch_millis = scope::now() - start;
    let source = Source { name, files, f1: None, from_cache: true, fetch_millis };
    let (former, loaded) = model::prepared(task, Role::Student, source).await?;
    let mut weights = run.start(&former).await?;
    if let Some(checkpoint) = run.read_checkpoint().await? {
        let state = state_of(&weights, &run.record.settings, Some(checkpoint))?;
        weights = merged(&state.model.classifier);
    }
    let student = Rc::new(former.taught(weights));
    model::put(task, Role::Student, student)?;
    with_state(|state| {
        state.models.insert(Role::Former, former);
        state.continues = true;
    });
    Ok(Answer::Loaded(Box::new(loaded)))
}
