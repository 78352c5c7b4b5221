//! Start, pause, step, stop, reset, and what follows from what a run reports.

use std::future::Future;

use js_sys::Reflect;
use wasm_bindgen_futures::spawn_local;
use web::curve::Curve;
use web::protocol::{Action, Answer, Command, Lesson, Progress, Role, RunState, TrainReport};
use web_sys::{Element, Event, HtmlTextAreaElement};

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
    click(&by_id("train-reset"), || alone(reset()));
    listen(&by_id::<Element>("teach-text"), "input", |_: Event| show());
    listen(&dom::window(), "beforeunload", |event: Event| {
        if is_at_stake() {
            event.prevent_default();
            // What browsers of before 2024 look at.
            let _ = Reflect::set(&event, &"returnValue".into(), &true.into());
        }
    });
}

/// What the latest report of a run says.
pub fn state(run: Option<&Run>) -> Option<RunState> {
    run?.report.as_ref().map(|report| report.state)
}

/// Whether the student is being taught.
pub fn is_running() -> bool {
    read(|app| app.teach.run.as_ref().is_some_and(|run| !run.is_over))
}

/// Whether nothing else can be begun with the student: a run goes on, or is about to.
pub fn is_busy() -> bool {
    read(|app| app.teach.is_changing) || is_running()
}

/// Does something with the student, unless it is busy; meanwhile it is.
pub fn alone(work: impl Future<Output = ()> + 'static) {
    if is_busy() {
        return;
    }
    set_changing(true);
    spawn_local(async {
        work.await;
        set_changing(false);
    });
}

fn set_changing(is_changing: bool) {
    change(|app| app.teach.is_changing = is_changing);
    show();
    kept::show();
}

/// Whether what the student was taught would be gone with it.
fn is_at_stake() -> bool {
    read(|app| app.teach.is_unkept && app.client.is_some())
}

/// Whether one step follows the other, with time for little else between them.
pub fn is_stepping() -> bool {
    is_running() && read(|app| state(app.teach.run.as_ref()) != Some(RunState::Paused))
}

/// Whether the student may make room for another one, or for another worker: not while it is taught, and
/// with what it was taught and is kept nowhere only if the user says so.
pub fn may_leave() -> bool {
    if is_busy() {
        let message =
            "The student is being taught. Stop the run first, then there is room for another one.";
        notice::bad(message, None);
        return false;
    }
    let question = "What the student was taught is not kept, and would be gone. Go on without it? \
         “Keep this student” under “Teach it” keeps it.";
    !is_at_stake() || dom::window().confirm_with_message(question).unwrap_or(true)
}

/// The text for the teacher to label.
pub fn text() -> String {
    by_id::<HtmlTextAreaElement>("teach-text").value().trim().to_owned()
}

fn start() {
    alone(async {
        // Another tab may have left a run since this one looked.
        match kept::left().await {
            Some(_) => problem(
                "A run was left unfinished, and a new one takes its place. “Go on” above goes on with it.",
                Some(("Start the new one", start_anew)),
            ),
            None => begin_new(),
        }
    });
}

fn start_anew() {
    if !is_busy() {
        begin_new();
    }
}

fn begin_new() {
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
    alone(async {
        say("Loading the teacher.");
        change(|app| app.link.compare = true);
        match models::ready(Role::Teacher).await {
            true => begin_new(),
            false => problem("The teacher could not be loaded. Its place above says why.", None),
        }
    });
}

/// Sends a run on its way; [`Command::Continue`] goes on with the curves that are there.
pub fn begin(command: Command) {
    if is_running() {
        return;
    }
    let Some(client) = read(|app| app.client.clone()) else { return no_worker() };
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

/// Nothing can be asked.
pub fn no_worker() {
    problem("There is no worker. Start it again, see the message at the top.", None);
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
        News::Trained(report) => {
            if let Some(said) = &report.message {
                let message = format!(
                    "The run goes on, but is not kept: {said}. Leave this tab open until it is over."
                );
                problem(&message, None);
            }
            take(*report);
        }
    }
    show_soon();
}

fn take(report: TrainReport) {
    let (step, state, has_learned) = (report.step, report.state, report.loss.is_some());
    let now = dom::since_click().unwrap_or(0.0);
    let (was_taught, is_time) = change(|app| {
        let was_taught = app.teach.is_taught;
        app.teach.is_taught |= step > 0;
        app.teach.is_unkept |= has_learned;
        app.teach.learned += u32::from(has_learned);
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
                message = format!(
                    "Teaching stopped: {said}. What the student has learned is there: keep it, and \
                     download it if there is no room."
                );
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
    change(|app| {
        app.teach.run.iter_mut().for_each(|run| (run.is_over, run.progress) = (true, None));
    });
    problem(&message, None);
    if is_full {
        set_changing(true);
        renew().await;
        return set_changing(false);
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
    match kept::left().await {
        Some(run) => backend::renew(Box::pin(kept::resume(run))).await,
        None => {
            let message = "The worker’s memory is full, and the run that was put aside is not there. Keep \
                 the student, then reload the page.";
            problem(message, None);
        }
    }
}

/// The student as it is shipped, or as it was when its folder was dropped.
async fn reset() {
    let (client, is_kept) = read(|app| {
        let is_kept = matches!(app.place(Role::Student).origin, Some(Origin::Kept { .. }));
        (app.client.clone(), is_kept)
    });
    problem("", None);
    if is_kept {
        return match read(|app| app.first(Role::Student)) {
            Some(first) => models::load_from(Role::Student, first).await,
            None => problem("There is no student beside this page.", None),
        };
    }
    let Some(client) = client else { return no_worker() };
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
