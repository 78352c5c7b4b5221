//! Students that are kept in the browser, and the run that a closed tab left unfinished.

use std::cell::RefCell;

use js_sys::{Array, Date, Function, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web::protocol::{Answer, Command, KeptCommand, KeptStudent, Role, RunState};
use web::tar;
use web_sys::{Blob, Element, HtmlInputElement, KeyboardEvent};

use super::super::dom::{self, Build, button, by_id, click, element, fill, listen};
use super::super::numbers::bytes;
use super::super::state::{Loading, Origin, change, read};
use super::super::{models, notice};
use super::{problem, run, say};

/// What a row asks for: a new name, or whether it is meant.
#[derive(Clone, Default, PartialEq)]
enum Asking {
    #[default]
    Nothing,
    Name(String),
    Deletion(String),
}

thread_local! {
    static ASKING: RefCell<Asking> = RefCell::default();
}

/// Connects the field for a name and its button.
pub fn wire() {
    click(&by_id("keep"), keep);
    listen(&by_id::<Element>("keep-name"), "keydown", |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            keep();
        }
    });
    click(&by_id("go-on"), || {
        if let Some(run) = unfinished().filter(|_| run::may_leave()) {
            run::alone(resume(run.id));
        }
    });
    click(&by_id("discard"), || {
        unfinished()
            .into_iter()
            .for_each(|kept| ask(KeptCommand::Delete { id: kept.id }, "Discarded."));
    });
}

fn keep() {
    let field = by_id::<HtmlInputElement>("keep-name");
    let typed = field.value().trim().to_owned();
    let name = if typed.is_empty() { read(default_name) } else { typed };
    field.set_value("");
    if read(|app| app.teach.kept.iter().all(|kept| kept.unfinished.is_some())) {
        spawn_local(ask_to_stay());
    }
    let said = format!("Kept as {name}.");
    ask(KeptCommand::Save { name }, said);
}

/// Asks the browser to delete nothing of this page when the disk is full. Where it says no, what is kept
/// stays as long as there is room.
async fn ask_to_stay() {
    let storage = dom::property(&dom::window().navigator(), "storage");
    let persist = dom::property(&storage, "persist").dyn_into::<Function>();
    let answer = persist.ok().and_then(|persist| persist.call0(&storage).ok());
    if let Some(answer) = answer.and_then(|answer| answer.dyn_into::<Promise>().ok()) {
        let _ = JsFuture::from(answer).await;
    }
}

/// `tiny-student, taught`, with a number if there is one already.
fn default_name(app: &super::super::state::App) -> String {
    let name = app.loaded(Role::Student).map_or("student", |loaded| &loaded.name);
    let base = format!("{}, taught", name.split(", taught").next().unwrap_or(name));
    let is_free = |name: &String| app.teach.kept.iter().all(|kept| kept.name != *name);
    let numbered = (2..).map(|number| format!("{base} {number}"));
    std::iter::once(base.clone()).chain(numbered).find(is_free).unwrap_or(base)
}

/// Asks the worker for something and shows the list that it answers with.
fn ask(command: KeptCommand, said: impl Into<String>) {
    let Some(client) = read(|app| app.client.clone()) else { return run::no_worker() };
    let said = said.into();
    let is_save = matches!(command, KeptCommand::Save { .. });
    let learned = read(|app| app.teach.learned);
    spawn_local(async move {
        match client.ask(Command::Kept(command)).answer.await {
            Answer::Kept(kept) => {
                change(|app| {
                    app.teach.kept = kept;
                    // What is learned while it is written may not be in it.
                    app.teach.is_unkept &= !is_save || app.teach.learned != learned;
                });
                ASKING.take();
                problem("", None);
                say(&said);
                show();
                // The button is gone; whoever uses keys goes on from the list, if not from elsewhere by now.
                let focused = dom::document().active_element();
                if focused.is_none_or(|element| element.tag_name() == "BODY") {
                    dom::focus("#kept");
                }
            }
            Answer::Failed { message, .. } => problem(&format!("{message}."), None),
            _ => {}
        }
    });
}

/// Looks what is kept.
pub fn refresh() {
    let Some(client) = read(|app| app.client.clone()) else { return };
    spawn_local(async move {
        let note = match client.ask(Command::Kept(KeptCommand::List)).answer.await {
            Answer::Kept(kept) => {
                change(|app| app.teach.kept = kept);
                String::new()
            }
            Answer::Failed { message, .. } => {
                format!("This browser keeps no students here: {message}.")
            }
            _ => return,
        };
        dom::text("kept-note", &note);
        drop(by_id::<Element>("kept").with("aria-busy", false));
        show();
    });
}

fn unfinished() -> Option<KeptStudent> {
    read(|app| app.teach.kept.iter().find(|kept| kept.unfinished.is_some()).cloned())
}

/// The id of the run that was left, as this worker knows it now.
pub async fn left() -> Option<String> {
    let client = read(|app| app.client.clone())?;
    if let Answer::Kept(kept) = client.ask(Command::Kept(KeptCommand::List)).answer.await {
        change(|app| app.teach.kept = kept);
    }
    unfinished().map(|run| run.id)
}

/// Loads the student of a run that was left, and goes on with it.
pub async fn resume(id: String) {
    let Some(client) = read(|app| app.client.clone()) else { return run::no_worker() };
    problem("", None);
    match client.ask(Command::Kept(KeptCommand::Load { id })).answer.await {
        Answer::Loaded(loaded) => {
            // One that was put aside goes on with the curves that are there.
            if read(|app| run::state(app.teach.run.as_ref())) != Some(RunState::MemoryFull) {
                super::student_leaves();
            }
            change(|app| (app.teach.is_taught, app.teach.is_unkept) = (true, true));
            models::adopt(*loaded);
            run::begin(Command::Continue);
        }
        Answer::Failed { message, .. } => {
            problem(&format!("The run cannot go on: {message}. Discard it, or try again."), None);
            // A new worker has no student yet.
            if read(|app| app.loaded(Role::Student).is_none()) {
                models::load(Role::Student).await;
            }
            refresh();
        }
        _ => {}
    }
}

/// The list, and the run that waits.
pub fn show() {
    let is_ready = !run::is_busy()
        && read(|app| !matches!(app.place(Role::Student).loading, Loading::Under(_)));
    let waiting = unfinished().filter(|_| is_ready);
    dom::show("unfinished", waiting.is_some());
    if let Some(KeptStudent { name, unfinished: Some((step, of)), .. }) = waiting {
        let words = format!("A run of {name} was left after step {step} of {of}.");
        dom::text("unfinished-words", &words);
    }
    // A question that is being answered stays.
    if ASKING.with_borrow(|asking| *asking == Asking::Nothing) {
        show_rows();
    }
}

fn show_rows() {
    let kept = read(|app| app.teach.kept.clone());
    let asking = ASKING.with_borrow(Clone::clone);
    let finished = kept.iter().filter(|kept| kept.unfinished.is_none());
    let rows: Vec<Element> = finished.map(|kept| row(kept, &asking)).collect();
    let list = by_id::<Element>("kept");
    if rows.is_empty() && list.get_attribute("aria-busy").as_deref() == Some("true") {
        // What there is is not known yet.
        return;
    }
    let none = element("li").class("quiet").text("None yet. What is kept stays in this browser.");
    fill(&list, if rows.is_empty() { std::slice::from_ref(&none) } else { &rows });
}

fn row(kept: &KeptStudent, asking: &Asking) -> Element {
    match asking {
        Asking::Name(id) if *id == kept.id => return naming(kept),
        Asking::Deletion(id) if *id == kept.id => return deletion(kept),
        _ => {}
    }
    let date = Date::new(&JsValue::from_f64(kept.saved_millis));
    let date = String::from(date.to_locale_string("default", &JsValue::UNDEFINED));
    let facts = format!("{} · {date}", bytes(kept.size_bytes));
    let about = element("p")
        .child(&element("b").text(&kept.name))
        .child(&element("span").class("quiet").text(&facts));
    let named = |label: &str, act: fn(KeptStudent)| {
        let own = kept.clone();
        let label_of = format!("{label} {}", kept.name);
        button(label, move || act(own.clone())).class("plain").with("aria-label", label_of)
    };
    let buttons = element("div")
        .class("buttons")
        .child(&named("Load", load))
        .child(&named("Download", |kept| spawn_local(download(kept))))
        .child(&named("Rename", |kept| ask_for(Asking::Name(kept.id))))
        .child(&named("Delete", |kept| ask_for(Asking::Deletion(kept.id))));
    element("li").child(&about).child(&buttons)
}

/// Shows a row's question and goes to its first field.
fn ask_for(asking: Asking) {
    ASKING.set(asking);
    show_rows();
    dom::focus("#kept .asks");
}

fn nothing_asked() {
    ASKING.take();
    show();
    dom::focus("#kept");
}

fn naming(kept: &KeptStudent) -> Element {
    let field = element("input")
        .class("asks")
        .with("type", "text")
        .with("id", "new-name")
        .with("maxlength", 80)
        .with("value", &kept.name)
        .with("aria-label", format!("New name of {}", kept.name));
    let id = kept.id.clone();
    let rename = move || {
        let name = by_id::<HtmlInputElement>("new-name").value().trim().to_owned();
        if name.is_empty() {
            return problem("Expected a name of at least one letter.", None);
        }
        let said = format!("It is called {name} now.");
        ask(KeptCommand::Rename { id: id.clone(), name }, said);
    };
    let by_key = rename.clone();
    listen(&field, "keydown", move |event: KeyboardEvent| match event.key().as_str() {
        _ if event.is_composing() => {}
        "Enter" => by_key(),
        "Escape" => {
            event.stop_propagation();
            nothing_asked();
        }
        _ => {}
    });
    let buttons = element("div")
        .class("buttons")
        .child(&button("Rename", rename))
        .child(&button("Cancel", nothing_asked));
    element("li").child(&field).child(&buttons)
}

fn deletion(kept: &KeptStudent) -> Element {
    let id = kept.id.clone();
    let said = format!("{} is deleted.", kept.name);
    let delete =
        button("Delete", move || ask(KeptCommand::Delete { id: id.clone() }, said.clone()));
    let buttons = element("div")
        .class("buttons")
        .child(&delete.class("asks bad"))
        .child(&button("Leave it", nothing_asked));
    let question = format!("Delete {} for good?", kept.name);
    element("li").child(&element("p").text(&question)).child(&buttons)
}

fn load(kept: KeptStudent) {
    let KeptStudent { id, name, .. } = kept;
    models::put(Role::Student, Origin::Kept { id, name });
}

/// One archive of all files. They are put together by the browser, and none is read here.
async fn download(kept: KeptStudent) {
    let Some(client) = read(|app| app.client.clone()) else { return run::no_worker() };
    let asked = client.ask(Command::Kept(KeptCommand::Download { id: kept.id }));
    let request = asked.id;
    let names = match asked.answer.await {
        Answer::Files { names } => names,
        Answer::Failed { message, .. } => return problem(&format!("{message}."), None),
        _ => return,
    };
    let parts = Array::new();
    for (name, file) in names.iter().zip(client.take_files(request)) {
        let size = file.size() as u64;
        parts.push(&Uint8Array::from(&tar::header(name, size)[..]));
        parts.push(&file);
        parts.push(&Uint8Array::new_with_length(tar::padding(size) as u32));
    }
    // Two empty blocks end an archive.
    parts.push(&Uint8Array::new_with_length(2 * tar::BLOCK as u32));
    let plain = |char: char| {
        if char.is_ascii_alphanumeric() || !char.is_ascii() || "-_".contains(char) {
            char
        } else {
            '-'
        }
    };
    let name: String = kept.name.chars().map(plain).collect();
    match Blob::new_with_blob_sequence(&parts) {
        Ok(blob) => dom::download(&blob, &format!("{name}.tar")),
        Err(_) => notice::bad("The browser cannot make a file of this.", None),
    }
}
