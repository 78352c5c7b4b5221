//! Teaching the student in the tab.
//!
//! | module | holds |
//! | --- | --- |
//! | [`editor`] | the text word by word, what stands marked in it, and every edit |
//! | [`drawing`] | both in the document |
//! | [`pointer`] | selections and dragged edges, by mouse and by touch |
//! | [`lessons`] | the list of lessons, where they come from, undo and redo |
//! | [`settings`] | the fields of a run's settings |
//! | [`run`] | start, pause, step, stop, reset, and what follows from a run's reports |
//! | [`board`] | what is shown of a run |
//! | [`curves`] | the curves of a run |
//! | [`beside`] | what the student said before and what it says now |
//! | [`kept`] | students that are kept in the browser |

mod beside;
mod board;
mod curves;
mod drawing;
mod editor;
mod kept;
mod lessons;
mod pointer;
mod run;
mod settings;

use std::rc::Rc;

use web::correction::Choice;
use web::history::History;
use web::lessons::Lessons;
use web::protocol::{KeptStudent, LessonSpan, Loaded, Role, TrainSettings};

use super::dom::{self, button, by_id, fill, show, text};
use super::state::{change, read};

pub use kept::refresh as look_what_is_kept;
pub use lessons::{add_file, add_unlabelled};
pub use run::{is_busy, is_stepping, may_leave};

/// What the page knows about teaching.
#[derive(Default)]
pub struct Teach {
    /// Lessons, and those that were.
    lessons: History<Lessons>,
    /// The words that the next edit is about.
    choice: Option<Choice>,
    /// What would stand marked if a dragged edge were dropped here.
    dragged: Option<Vec<LessonSpan>>,
    /// The last run.
    run: Option<run::Run>,
    /// Whether a drawing is on its way.
    is_drawing: bool,
    /// Whether the student is another than it was when it was loaded.
    is_taught: bool,
    /// Whether what it was taught last is kept nowhere.
    is_unkept: bool,
    /// Raised with every step that it learns.
    learned: u32,
    /// Whether a run is about to begin, or the student about to change.
    is_changing: bool,
    /// Students that are kept, as far as they were asked for.
    kept: Vec<KeptStudent>,
    /// The settings that the fields began with.
    defaults: Option<TrainSettings>,
}

/// Connects every control and brings the lessons of the last visit back.
pub fn wire() {
    editor::wire();
    pointer::wire();
    lessons::wire();
    run::wire();
    kept::wire();
    settings::wire();
    show_all();
}

/// Another text or other marks.
pub fn show_text() {
    drawing::show();
    beside::show();
    lessons::show_sources();
}

/// The whole card.
pub fn show_all() {
    show_text();
    lessons::show();
    board::show();
    kept::show();
}

/// Another student is in the place, or none: what was taught to the last one is gone.
pub fn student_leaves() {
    change(|app| {
        (app.teach.is_taught, app.teach.is_unkept) = (false, false);
        app.places[Role::Former as usize].tagged = None;
    });
    run::leave();
    show_all();
}

/// A student is in its place.
pub fn student_came(loaded: &Rc<Loaded>) {
    settings::follow(loaded);
    editor::show_types();
    show_all();
    kept::refresh();
}

/// Whether the student was taught since it was loaded.
pub fn is_taught() -> bool {
    read(|app| app.teach.is_taught)
}

/// Says something to those who listen instead of looking.
fn say(words: &str) {
    text("teach-said", words);
}

/// A way out of a problem: its name, and what it does.
type WayOut = (&'static str, fn());

/// Something went wrong, and what to do about it; an empty message takes the last one away.
fn problem(message: &str, way_out: Option<WayOut>) {
    let area = by_id::<web_sys::Element>("teach-problem");
    let mut parts = vec![];
    if !message.is_empty() {
        parts.push(dom::Build::text(dom::element("p"), message));
        parts.extend(way_out.map(|(label, act)| {
            button(label, move || {
                problem("", None);
                act();
            })
        }));
    }
    show("teach-problem", !parts.is_empty());
    fill(&area, &parts);
}
