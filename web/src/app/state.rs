//! What the page knows.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use web::export::Format;
use web::latency::Latencies;
use web::link::Link;
use web::manifest::{Manifest, ModelEntry};
use web::protocol::{Backend, Loaded, Progress, Role, Scored, Tagged};
use web_sys::File;

use super::client::Client;
use super::gpu::Adapter;
use super::teach::Teach;

/// Where a model is from.
#[derive(Clone)]
pub enum Origin {
    /// Beside the page.
    Manifest(ModelEntry),
    /// Dropped on it; the browser reads the files again when the backend changes.
    Dropped {
        /// The folder's name.
        name: String,
        /// Its files.
        files: Vec<File>,
    },
    /// Kept in the browser.
    Kept {
        /// Names it for the worker.
        id: String,
        /// What the user calls it.
        name: String,
    },
}

impl Origin {
    /// What it is called on the page.
    pub fn name(&self) -> &str {
        match self {
            Self::Manifest(entry) => &entry.folder,
            Self::Dropped { name, .. } | Self::Kept { name, .. } => name,
        }
    }
}

/// Where a model is on its way to its place.
#[derive(Clone, Default)]
pub enum Loading {
    /// Nobody asked for it.
    #[default]
    No,
    /// Under way.
    Under(Option<Progress>),
    /// In its place.
    Done(Rc<Loaded>),
    /// It cannot be loaded.
    Failed {
        /// Why.
        message: String,
        /// Whether trying again may help.
        can_retry: bool,
    },
}

/// The place of a model: one of the two on the stage, or that of the student before it was taught.
#[derive(Default)]
pub struct Place {
    /// Where its model is from.
    pub origin: Option<Origin>,
    /// How far it is.
    pub loading: Loading,
    /// The number of the request that loads, and when it is over.
    pub coming: Option<(u32, Promise)>,
    /// What the worker still has while another model is on its way, and where that is from.
    pub before: Option<(Origin, Rc<Loaded>)>,
    /// The number of the request that tags, if one does.
    pub tagging: Option<u32>,
    /// How far it is, where it takes long.
    pub progress: Option<Progress>,
    /// The text and what was made of it.
    pub tagged: Option<(Rc<str>, Rc<Tagged>)>,
    /// How long tagging took.
    pub latencies: Latencies,
    /// Scores on a labelled file.
    pub scored: Option<Scored>,
    /// The number of the request that scores.
    pub scoring: Option<u32>,
}

/// What was found out about backends.
#[derive(Default)]
pub struct Backends {
    /// The adapter, once it was asked for; the error says what is missing.
    pub adapter: Option<Result<Adapter, String>>,
    /// Median milliseconds of the same passes on either.
    pub measured: Vec<(Backend, f64)>,
    /// What failed on the way.
    pub failure: Option<String>,
}

/// Everything.
#[derive(Default)]
pub struct App {
    /// Options, as a link holds them; its text is not used.
    pub link: Link,
    /// The models beside the page.
    pub manifest: Manifest,
    /// The worker.
    pub client: Option<Rc<Client>>,
    /// Raised with every worker, so that what was meant for an earlier one is dropped.
    pub generation: u32,
    /// Teacher, student, and the student before it was taught.
    pub places: [Place; 3],
    /// What is in the text field.
    pub text: Rc<str>,
    /// A labelled file.
    pub file: Option<Rc<str>>,
    /// Backends.
    pub backends: Backends,
    /// Milliseconds from the click that opened the page to the first tagged text.
    pub first_tag: Option<f64>,
    /// Waits for a pause in typing.
    pub timer: Option<i32>,
    /// Index of the chosen sub-word.
    pub chosen: usize,
    /// Format of the data view.
    pub format: Option<Format>,
    /// Teaching the student.
    pub teach: Teach,
}

impl App {
    /// A model's place.
    pub fn place(&self, role: Role) -> &Place {
        &self.places[role as usize]
    }

    /// A model's place.
    pub fn place_mut(&mut self, role: Role) -> &mut Place {
        &mut self.places[role as usize]
    }

    /// A model that is in its place. The former student comes with the student.
    pub fn loaded(&self, role: Role) -> Option<&Rc<Loaded>> {
        let role = if role == Role::Former { Role::Student } else { role };
        match &self.place(role).loading {
            Loading::Done(loaded) => Some(loaded),
            _ => None,
        }
    }

    /// What is loaded by itself.
    pub fn first(&self, role: Role) -> Option<Origin> {
        self.manifest.first(role).cloned().map(Origin::Manifest)
    }

    /// What a model made of the text that is in the field now.
    pub fn tagged(&self, role: Role) -> Option<&Rc<Tagged>> {
        let (text, tagged) = self.place(role).tagged.as_ref()?;
        (**text == *self.text).then_some(tagged)
    }

    /// Temperature of the token strip.
    pub fn temperature(&self) -> f64 {
        self.link.temperature.unwrap_or(1.0)
    }
}

thread_local! {
    static APP: RefCell<App> = RefCell::default();
}

/// Looks at the state.
pub fn read<T>(look: impl FnOnce(&App) -> T) -> T {
    APP.with_borrow(look)
}

/// Changes the state.
pub fn change<T>(change: impl FnOnce(&mut App) -> T) -> T {
    APP.with_borrow_mut(change)
}
