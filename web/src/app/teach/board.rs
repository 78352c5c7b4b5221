//! What is shown of a run: its buttons, how far it is, its curves.

use web::number::fixed;
use web::protocol::{Progress, Role, RunState, Stage, TrainReport};
use web_sys::{Element, HtmlButtonElement};

use super::super::dom::{self, Build, by_id};
use super::super::numbers::{bytes, duration};
use super::super::stage;
use super::super::state::{Origin, change, read};
use super::run::{Run, is_busy, is_running, state, text};
use super::{beside, curves, lessons};

/// Milliseconds between two drawings of a run.
const DRAWING: i32 = 120;

/// Draws the run once in a while, however fast its steps are.
pub fn show_soon() {
    let is_drawing = change(|app| std::mem::replace(&mut app.teach.is_drawing, true));
    if !is_drawing {
        dom::after(DRAWING, || {
            change(|app| app.teach.is_drawing = false);
            show();
        });
    }
}

/// Buttons, progress, words and curves.
pub fn show() {
    let (is_running, is_busy) = (is_running(), is_busy());
    let (state, is_taught, has_student, count, words, steps) = read(|app| {
        let run = app.teach.run.as_ref();
        let is_taught = app.teach.is_taught
            || matches!(app.place(Role::Student).origin, Some(Origin::Kept { .. }));
        let words = match run {
            Some(Run { progress: Some(progress), .. }) => preparing(*progress),
            Some(Run { report: Some(report), .. }) => in_words(report),
            Some(Run { is_over: false, .. }) => "Getting ready…".to_owned(),
            _ => String::new(),
        };
        let steps = run.and_then(|run| run.report.as_ref()).map(|report| (report.step, report.of));
        let count = app.teach.lessons.present().len();
        let has_student = app.loaded(Role::Student).is_some();
        (state(run), is_taught, has_student, count, words, steps)
    });
    let is_paused = is_running && state == Some(RunState::Paused);
    let is_going = is_running && state.is_some();
    let enable = |id: &str, is_on: bool| by_id::<HtmlButtonElement>(id).set_disabled(!is_on);
    enable("train-start", has_student && !is_busy);
    enable("train-pause", is_going);
    enable("train-step", is_going);
    enable("train-stop", is_running);
    enable("train-reset", is_taught && has_student && !is_busy);
    enable("keep", has_student);
    dom::text("train-pause", if is_paused { "Resume" } else { "Pause" });
    dom::show("train-bar", is_running);
    let bar = by_id::<Element>("train-bar");
    match steps {
        Some((step, of)) => drop(bar.with("max", of).with("value", step)),
        None => drop(bar.remove_attribute("value")),
    }
    dom::text("train-words", &if words.is_empty() { ready(count) } else { words });
    // Another device would start with another student.
    let backend = by_id::<Element>("backend");
    backend.toggle_attribute_with_force("disabled", is_busy).expect("a plain attribute name");
    curves::show();
    beside::show();
}

fn ready(lessons: usize) -> String {
    let lines = text().lines().filter(|line| !line.trim().is_empty()).count();
    let noun = if lines == 1 { "line" } else { "lines" };
    match (lessons, lines) {
        (0, 0) => "Nothing to learn from yet.".to_owned(),
        (0, _) => format!("Ready: {lines} {noun} for the teacher to label."),
        (_, 0) => format!("Ready: {}.", lessons::count_of(lessons)),
        _ => {
            let count = lessons::count_of(lessons);
            format!("Ready: {count}, and {lines} {noun} for the teacher to label.")
        }
    }
}

fn preparing(progress: Progress) -> String {
    let (_, _, how_far) = stage::in_words(Some(progress));
    match progress.stage {
        Stage::Label => format!("The teacher has labelled {how_far}"),
        Stage::Rehearse => format!("The student has rehearsed {how_far}"),
        _ => how_far,
    }
}

/// A run after a step.
pub fn in_words(report: &TrainReport) -> String {
    let TrainReport { step, of, .. } = report;
    let head = match report.state {
        RunState::Running => format!("Step {step} of {of}"),
        RunState::Paused => format!("Paused after step {step} of {of}"),
        RunState::Finished => format!("Finished {of} steps in {}", duration(report.millis)),
        RunState::Stopped => format!("Stopped after step {step} of {of}"),
        RunState::NotFinite => format!("Broke off after step {step} of {of}"),
        RunState::MemoryFull => format!("Put aside after step {step} of {of}"),
    };
    let mut parts = vec![head];
    parts.extend(report.loss.map(|loss| format!("loss {}", fixed(loss, 3))));
    if !report.state.is_over() && *step > 0 {
        parts.push(format!("{} a step", duration(report.millis)));
    }
    parts.push(bytes(report.memory_bytes));
    parts.join(" · ")
}
