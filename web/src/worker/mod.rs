//! A worker: owns the device, the models and their tokenizers, and answers numbered requests.
//!
//! | module | holds |
//! | --- | --- |
//! | [`device`] | the one place that names a backend, and its self-check |
//! | [`fetch`] | files: streamed, hashed, kept in the browser's cache |
//! | [`model`] | a bundle in its place, warmed up |
//! | [`work`] | windows of text through a model, with pauses in which a request can be cancelled |
//! | [`tag`] | from logits to what the page shows |
//! | [`train`] | teaching the student: a run between pauses, its checkpoints, its control |
//! | [`keep`] | students and runs in the browser's private files |
//! | [`scope`] | messages, clock, pauses |
//!
//! A request runs as a task of its own, so that a model can be fetched while another one tags. Tensors
//! are computed between two pauses without interruption.

mod device;
mod fetch;
mod keep;
mod model;
mod scope;
mod tag;
mod train;
mod work;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web::protocol::{Answer, Command, NO_REQUEST, Progress, Request, Role, Stage, VERSION};

use model::Model;

/// Everything a worker knows. A request takes what it needs and gives the rest back before a pause.
#[derive(Default)]
struct State {
    device: Option<burn::tensor::Device>,
    models: BTreeMap<Role, Rc<Model>>,
    cancelled: HashSet<u32>,
    running: HashSet<u32>,
    /// The run that goes on.
    lesson: Option<train::Control>,
    /// Whether the student is that of the unfinished run.
    continues: bool,
    /// Whether the device's gradients were checked.
    can_train: bool,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with_state<T>(use_it: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(use_it)
}

/// Why a request ends without a result.
#[derive(Debug)]
pub enum Stop {
    /// The page gave it up.
    Cancelled,
    /// It cannot be done.
    Failed {
        /// What, where, and what was expected.
        message: String,
        /// Whether trying again may help.
        can_retry: bool,
    },
}

impl Stop {
    /// A failure that stays one.
    fn failed(message: impl ToString) -> Self {
        Self::Failed { message: message.to_string(), can_retry: false }
    }
}

/// A running request.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    id: u32,
}

impl Task {
    /// Tells the page how far it is.
    pub fn progress(self, stage: Stage, done: u64, total: u64) {
        scope::reply(self.id, Answer::Progress(Progress { stage, done, total }));
    }

    /// Lets messages in, and stops if one of them cancelled this.
    pub async fn pause(self) -> Result<(), Stop> {
        scope::pause().await;
        self.check()
    }

    /// Stops if a message has cancelled this.
    pub fn check(self) -> Result<(), Stop> {
        match with_state(|state| state.cancelled.contains(&self.id)) {
            true => Err(Stop::Cancelled),
            false => Ok(()),
        }
    }
}

/// Waits for requests.
pub fn start() {
    std::panic::set_hook(Box::new(|panic| {
        scope::reply(NO_REQUEST, Answer::Crashed { message: panic.to_string() });
    }));
    scope::on_message(|text, buffers| match serde_json::from_str(&text) {
        Ok(request) => receive(request, buffers),
        Err(error) => {
            let message = format!("a message that is no request: {error}");
            scope::reply(NO_REQUEST, Answer::Failed { message, can_retry: false });
        }
    });
}

fn receive(Request { id, command }: Request, buffers: Vec<JsValue>) {
    if let Command::Cancel { request } = command {
        with_state(|state| {
            if state.running.contains(&request) {
                state.cancelled.insert(request);
            }
        });
        return;
    }
    if let Command::Control { request, action } = command {
        return train::control(request, action);
    }
    with_state(|state| state.running.insert(id));
    spawn_local(async move {
        let answered = match command {
            Command::Kept(command) => keep::answer(Task { id }, command).await,
            command => answer(Task { id }, command, buffers).await.map(|answer| (answer, vec![])),
        };
        let (answer, beside) = answered.unwrap_or_else(|stop| match stop {
            Stop::Cancelled => (Answer::Cancelled, vec![]),
            Stop::Failed { message, can_retry } => (Answer::Failed { message, can_retry }, vec![]),
        });
        with_state(|state| {
            state.running.remove(&id);
            state.cancelled.remove(&id);
        });
        scope::reply_with(id, answer, &beside);
    });
}

async fn answer(task: Task, command: Command, buffers: Vec<JsValue>) -> Result<Answer, Stop> {
    match command {
        Command::Start { backend } => {
            let device = device::open(backend).await?;
            with_state(|state| state.device = Some(device));
            Ok(Answer::Started { version: VERSION, backend })
        }
        Command::Load { role, model, base } => model::load(task, role, model, &base).await,
        Command::LoadFiles { role, name, files } => {
            model::load_files(task, role, name, files, buffers).await
        }
        Command::Tag { role, text, options } => {
            let model = model_in_place(role).await?;
            tag::tag(task, &model, role, text, &options).await
        }
        Command::Score { role, file, options } => {
            let model = model_in_place(role).await?;
            tag::score(task, &model, role, &file, &options).await
        }
        Command::Measure { role, subwords, sentences, rounds } => {
            let model = model_in_place(role).await?;
            work::measure(task, &model, subwords, sentences, rounds).await
        }
        Command::Train { settings, lessons, text } => {
            train::start(task, settings, lessons, &text).await
        }
        Command::Continue => train::go_on(task).await,
        Command::Reset => train::reset(),
        Command::Kept(_) | Command::Control { .. } | Command::Cancel { .. } => {
            unreachable!("answered when it arrives")
        }
    }
}

/// A model, as soon as it is in its place: within a step, and while a checkpoint is written, a run has the
/// student for itself.
async fn model_in_place(role: Role) -> Result<Rc<Model>, Stop> {
    loop {
        let is_away = |state: &mut State| {
            state.lesson.is_some() && !state.models.contains_key(&Role::Student)
        };
        match model_of(role) {
            Err(_) if role == Role::Student && with_state(is_away) => scope::pause().await,
            found => return found,
        }
    }
}

fn model_of(role: Role) -> Result<Rc<Model>, Stop> {
    let model = with_state(|state| {
        // A student that was never taught is its own former self.
        let otherwise = if role == Role::Former { Role::Student } else { role };
        state.models.get(&role).or_else(|| state.models.get(&otherwise)).cloned()
    });
    model.ok_or_else(|| Stop::failed(format!("there is no {} yet", role.name())))
}
