//! Start, pause, step, stop, reset, and what follows from what a run reports.

use wasm_bindgen_futures::spawn_local;
use web::curve::Curve;
use web::protocol::{Action, Answer, Command, Lesson, Progress, Role, RunState, TrainReport};
use web_sys::{Element, HtmlTextAreaElement};

use super::super::client::News;
use super::super::dom::{self, Build, by_id, click, listen};
use super::super::state::{Origin, change, read};
use super::super::{backend, models, notice, tagging};
use super::board::{in_words, show, show_soon};
use super::{editor, kept, lessons, problem, say, settings};

/// Milliseconds between two looks at what the student makes of the text now.
const LOOK: f64 = 900.0;

/// A run as far as it has come.
pub struct Run {
    request: u32,
    /// Text that is being labelled, before the first step.
    pub progress: Option<Progress>,
    /// The latest one.
    pub report: Option<TrainReport>,
    /// Whether there will be no other one.
    pub is_over: bool,
    /// When the text was last tagged.
    looked: f64,
    pub loss: Curve,
    pub new_f1: Curve,
    pub teacher_f1: Curve,
    pub kept_f1: Curve,
}

impl Run {
    fn new(request: u32) -> Self {
        Self {
            request,
            progress: None,
            report: None,
            is_over: false,
            looked: 0.0,
            loss: Curve::default(),
            new_f1: Curve::default(),
            teacher_f1: Curve::default(),
            kept_f1: Curve::default(),
        }
    }

    fn take(&mut self, report: TrainReport) {
        let step = report.step;
        let curves = [
            (&mut self.loss, report.loss),
            (&mut self.new_f1, report.new_f1),
            (&mut self.teacher_f1, report.teacher_f1),
            (&mut self.kept_f1, report.kept_f1),
        ];
        for (curve, value) in curves {
            value.into_iter().for_each(|value| curve.add(step, value));
        }
        self.progress = None;
        self.is_over = report.state.is_over();
        self.report = Some(report);
    }
}

/// Connects the buttons.
pub fn wire() {
    click(&by_id("train-start"), start);
    click(&by_id("train-pause"), || {
        let is_paused = read(|app| state(app.teach.run.as_ref()) == Some(RunState::Paused));
        control(if is_paused { Action::Resume } else { Action::Pause });
    });
    click(&by_id("train-step"), || control(Action::Step));
    click(&by_id("train-stop"), || control(Action::Stop));
    click(&by_id("train-reset"), || spawn_local(reset()));
    listen(&by_id::<Element>("teach-text"), "input", |_: web_sys::Event| show());
}

/// What the latest report of a run says.
pub fn state(run: Option<&Run>) -> Option<RunState> {
    run?.report.as_ref().map(|report| report.state)
}

/// Whether the student is being taught.
pub fn is_running() -> bool {
    read(|app| app.teach.run.as_ref().is_some_and(|run| !run.is_over))
}

/// Whether one step follows the other, with time for little else between them.
pub fn is_stepping() -> bool {
    is_running() && read(|app| state(app.teach.run.as_ref()) != Some(RunState::Paused))
}

/// Whether the student is being taught, so that it cannot make room for `what`; then that is said.
pub fn refuses(what: &str) -> bool {
    let is_running = is_running();
    if is_running {
        let message = format!(
            "The student is being taught. Stop the run first, then there is room for {what}."
        );
        notice::bad(&message, None);
    }
    is_running
}

/// The text for the teacher to label.
pub fn text() -> String {
    by_id::<HtmlTextAreaElement>("teach-text").value().trim().to_owned()
}

fn start() {
    match kept::has_unfinished() {
        true => problem(
            "A run was left unfinished, and a new one takes its place. “Go on” above goes on with it.",
            Some(("Start the new one", start_anew)),
        ),
        false => start_anew(),
    }
}

fn start_anew() {
    problem("", None);
    let settings = match settings::chosen() {
        Ok(settings) => settings,
        Err(message) => {
            by_id::<Element>("train-settings").with("open", "");
            return problem(&message, None);
        }
    };
    let (lessons, left_out, has_teacher) = read(|app| {
        let types = editor::types(app);
        let all = app.teach.lessons.present().iter().map(|lesson| Lesson::clone(lesson));
        let is_known = |lesson: &Lesson| lessons::new_type(lesson, &types).is_none();
        let (known, other): (Vec<Lesson>, Vec<Lesson>) = all.partition(is_known);
        (known, other.len(), app.loaded(Role::Teacher).is_some())
    });
    let text = text();
    if lessons.is_empty() && left_out > 0 && text.is_empty() {
        let message = "Every lesson has a type that this student does not have.";
        return problem(message, None);
    }
    if lessons.is_empty() && text.is_empty() {
        let message = "There is nothing to learn from yet. Correct what stands marked above, open a \
             labelled file, or give the teacher a text to label.";
        return problem(message, None);
    }
    if !text.is_empty() && !has_teacher {
        let message = "The teacher labels your text, and it is not loaded yet.";
        return problem(message, Some(("Load the teacher and start", load_and_start)));
    }
    if left_out > 0 {
        let count = lessons::count_of(left_out);
        problem(&format!("{count} with a type that this student does not have, left out."), None);
    }
    begin(Command::Train { settings, lessons, text });
}

fn load_and_start() {
    spawn_local(async {
        say("Loading the teacher.");
        change(|app| app.link.compare = true);
        models::load(Role::Teacher).await;
        match read(|app| app.loaded(Role::Teacher).is_some()) {
            true => start_anew(),
            false => problem("The teacher could not be loaded. Its place above says why.", None),
        }
    });
}

/// Sends a run on its way; [`Command::Continue`] goes on with the curves that are there.
pub fn begin(command: Command) {
    let Some(client) = read(|app| app.client.clone()) else {
        return problem("There is no worker. Start it again, see the message at the top.", None);
    };
    let goes_on = command == Command::Continue;
    let asked = client.send(command, &[], heard);
    let request = asked.id;
    change(|app| match &mut app.teach.run {
        Some(run) if goes_on => (run.request, run.is_over) = (request, false),
        run => *run = Some(Run::new(request)),
    });
    say("Teaching begins.");
    show();
    spawn_local(async move {
        let answer = asked.answer.await;
        if is_current(request) {
            ended(answer).await;
        }
    });
}

fn is_current(request: u32) -> bool {
    read(|app| app.teach.run.as_ref().is_some_and(|run| run.request == request && !run.is_over))
}

fn control(action: Action) {
    let (client, request) = read(|app| {
        let run = app.teach.run.as_ref().filter(|run| !run.is_over);
        (app.client.clone(), run.map(|run| run.request))
    });
    if let (Some(client), Some(request)) = (client, request) {
        client.tell(Command::Control { request, action });
    }
}

fn heard(request: u32, news: News) {
    if !is_current(request) {
        return;
    }
    match news {
        News::Progress(progress) => change(|app| {
            app.teach.run.iter_mut().for_each(|run| run.progress = Some(progress));
        }),
        News::Trained(report) => take(*report),
    }
    show_soon();
}

fn take(report: TrainReport) {
    let (step, state) = (report.step, report.state);
    let now = dom::since_click().unwrap_or(0.0);
    let (was_taught, is_time) = change(|app| {
        let was_taught = app.teach.is_taught;
        app.teach.is_taught |= step > 0;
        let is_free = app.place(Role::Student).tagging.is_none();
        let Some(run) = &mut app.teach.run else { return (was_taught, false) };
        let is_time = step > 0 && is_free && now - run.looked > LOOK || state == RunState::Paused;
        if is_time {
            run.looked = now;
        }
        run.take(report);
        (was_taught, is_time)
    });
    if !was_taught && step > 0 {
        tagging::tag(Role::Former);
    }
    if is_time {
        tagging::look();
    }
    if state == RunState::Paused {
        say(&format!("Paused after step {step}."));
    }
}

async fn ended(answer: Answer) {
    let mut message = String::new();
    let mut is_full = false;
    match answer {
        Answer::Trained(report) => {
            let (state, said) = (report.state, report.message.clone().unwrap_or_default());
            take(*report);
            is_full = state == RunState::MemoryFull;
            if state == RunState::NotFinite {
                message = format!(
                    "Teaching stopped: {said}. The last good weights are kept. A lower learning rate helps."
                );
            } else if !said.is_empty() {
                message = format!("{said}.");
            }
        }
        Answer::Failed { message: said, .. } => {
            message = format!("The student cannot be taught: {said}.")
        }
        Answer::Crashed { message: said } => {
            message = format!(
                "Teaching broke off: {said}. At most ten steps are lost; go on below when the worker is \
                 there again."
            );
        }
        _ => {}
    }
    change(|app| app.teach.run.iter_mut().for_each(|run| run.is_over = true));
    problem(&message, None);
    if is_full {
        return renew().await;
    }
    let words =
        read(|app| app.teach.run.as_ref().and_then(|run| run.report.as_ref()).map(in_words));
    say(&words.unwrap_or_default());
    show();
    tagging::now();
    tagging::score(Role::Student);
    kept::refresh();
}

/// A new worker goes on where one with full memory stopped.
async fn renew() {
    say("The worker’s memory is full; a new one goes on.");
    let run = change(|app| app.teach.run.take());
    backend::renew().await;
    change(|app| app.teach.run = run);
    kept::go_on().await;
}

/// The student as it is shipped, or as it was when its folder was dropped.
async fn reset() {
    let (client, is_kept) = read(|app| {
        let is_kept = matches!(app.place(Role::Student).origin, Some(Origin::Kept { .. }));
        (app.client.clone(), is_kept)
    });
    problem("", None);
    if is_kept {
        change(|app| {
            let first = app.manifest.of(Role::Student).next().cloned();
            app.place_mut(Role::Student).origin = first.map(Origin::Manifest);
        });
        return models::load(Role::Student).await;
    }
    let Some(client) = client else { return };
    match client.ask(Command::Reset).answer.await {
        Answer::Loaded(loaded) => {
            super::student_leaves();
            models::adopt(*loaded);
            say("The student is as it was.");
        }
        Answer::Failed { message, .. } => problem(&format!("{message}."), None),
        _ => {}
    }
}

/// The student has left its place, and its run with it.
pub fn leave() {
    control(Action::Stop);
    change(|app| app.teach.run = None);
}
