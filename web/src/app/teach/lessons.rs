//! The list of lessons, where they come from, undo and redo.
//!
//! The list is kept in the browser's local storage, so that a reload loses no correction.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web::colour;
use web::history::History;
use web::keys::TypeKey;
use web::lessons::{Lessons, MOST, accepted, from_conll, from_text, to_text, with};
use web::protocol::{Lesson, LessonSpan, Role};
use web_sys::{Element, HtmlButtonElement, KeyboardEvent, Storage, StorageEvent};

use super::super::dom::{self, Build, add_text, button, by_id, click, element, fill, listen};
use super::super::state::{change, read};
use super::super::{controls, models, tagging};
use super::editor::{self, spans_of};
use super::{board, drawing, problem, say};

/// Lessons that are shown; a longer list would be a page of its own.
const SHOWN: usize = 40;

/// Under this name the browser keeps the lessons.
const STORED: &str = "understudy-lessons";

thread_local! {
    /// Whether the user knows that they are not kept.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Connects buttons and keys, and brings the lessons of the last visit back.
pub fn wire() {
    let stored = storage().and_then(|storage| storage.get_item(STORED).ok().flatten());
    let lessons = stored.map_or_else(Vec::new, |text| from_text(&text));
    change(|app| app.teach.lessons = History::new(lessons));
    click(&by_id("undo"), undo);
    click(&by_id("redo"), redo);
    click(&by_id("accept"), accept);
    click(&by_id("ask-teacher"), || spawn_local(ask_teacher()));
    click(&by_id("add-file"), || {
        let file = read(|app| app.file.clone());
        file.into_iter().for_each(|file| add_file(&file));
    });
    click(&by_id("forget-lessons"), || {
        set(vec![]);
        dom::focus("#lessons-title");
    });
    // Another tab has changed them.
    listen(&dom::window(), "storage", |event: StorageEvent| {
        if event.key().as_deref() == Some(STORED) {
            let lessons = from_text(&event.new_value().unwrap_or_default());
            change(|app| app.teach.lessons.push(lessons));
            show_changed();
        }
    });
    listen(&dom::document(), "keydown", |event: KeyboardEvent| {
        let is_typing = dom::target(&event)
            .is_some_and(|target| target.matches("input, textarea, select").unwrap_or(false));
        if is_typing || !(event.ctrl_key() || event.meta_key()) || event.alt_key() {
            return;
        }
        match (event.key().to_ascii_lowercase().as_str(), event.shift_key()) {
            ("z", false) => undo(),
            ("z", true) | ("y", false) => redo(),
            _ => return,
        }
        event.prevent_default();
    });
}

fn storage() -> Option<Storage> {
    dom::window().local_storage().ok().flatten()
}

/// Goes on to another list, if that is not too long.
pub fn set(lessons: Lessons) -> bool {
    if lessons.len() > MOST {
        let message = format!("That would be more than {MOST} lessons; remove some first.");
        problem(&message, None);
        return false;
    }
    change(|app| app.teach.lessons.push(lessons));
    changed();
    true
}

/// A type of a lesson that is not among these.
pub fn new_type<'a>(lesson: &'a Lesson, types: &[TypeKey]) -> Option<&'a str> {
    let is_new = |name: &&str| types.iter().all(|key| key.entity_type != *name);
    lesson.spans.iter().map(|span| span.entity_type.as_str()).find(is_new)
}

fn undo() {
    if change(|app| app.teach.lessons.undo()) {
        changed();
        say("Taken back.");
    }
}

fn redo() {
    if change(|app| app.teach.lessons.redo()) {
        changed();
        say("Made again.");
    }
}

fn changed() {
    let text = read(|app| to_text(app.teach.lessons.present()));
    let is_stored = storage().is_some_and(|storage| storage.set_item(STORED, &text).is_ok());
    if !is_stored && !TOLD.replace(true) {
        let message = "The lessons are not stored: this browser has no room for them, or lets this page store \
             nothing. They are there until the page is closed, so teach the student before that.";
        problem(message, None);
    }
    show_changed();
}

fn show_changed() {
    drawing::show();
    show();
    board::show();
}

/// What stands marked is right as it is.
fn accept() {
    let lessons = read(|app| {
        let sheet = editor::settled(app)?;
        Some(accepted(&sheet.text, &sheet.spans, app.teach.lessons.present()))
    });
    lessons.into_iter().for_each(|lessons| _ = set(lessons));
}

/// The teacher's marks become the lessons of the text. It is loaded first if need be.
async fn ask_teacher() {
    let button = by_id::<HtmlButtonElement>("ask-teacher");
    button.set_disabled(true);
    if read(|app| app.loaded(Role::Teacher).is_none()) {
        say("Loading the teacher.");
        change(|app| app.link.compare = true);
    }
    let has_teacher = models::ready(Role::Teacher).await;
    if has_teacher && read(|app| app.tagged(Role::Teacher).is_none()) {
        tagging::tag_and_wait(Role::Teacher).await;
    }
    button.set_disabled(false);
    let lessons = read(|app| {
        let tagged = app.tagged(Role::Teacher)?;
        // A teacher with other labels is asked for what both know.
        let types = editor::types(app);
        let is_known =
            |span: &LessonSpan| types.iter().any(|key| key.entity_type == span.entity_type);
        let mut spans = spans_of(tagged);
        spans.retain(is_known);
        Some(accepted(&app.text, &spans, app.teach.lessons.present()))
    });
    match lessons {
        Some(lessons) => {
            if set(lessons) {
                say("The teacher’s marks are lessons now.");
            }
        }
        None if !has_teacher => {
            problem(
                "There is no teacher to ask: it could not be loaded. Its place above says why.",
                None,
            );
        }
        None => problem("The teacher has not read this text; ask again when it has.", None),
    }
}

/// The sentences of a labelled file become lessons.
pub fn add_file(columns: &str) {
    let read_file = read(|app| {
        let types = editor::types(app);
        let names: Vec<&str> = types.iter().map(|key| key.entity_type.as_str()).collect();
        let found = from_conll(columns, &names)?;
        let own = app.teach.lessons.present().clone();
        Ok::<_, String>((
            found.len(),
            found.into_iter().fold(own, |all, lesson| with(&all, lesson)),
        ))
    });
    match read_file {
        Ok((count, lessons)) => {
            problem("", None);
            if set(lessons) {
                say(&format!("{count} sentences of the file are lessons now."));
            }
        }
        Err(message) => {
            let message = format!("The file cannot be learned from: {message}.");
            problem(&message, None);
        }
    }
}

/// Text for the teacher to label.
pub fn add_unlabelled(text: &str) {
    let area = by_id::<web_sys::HtmlTextAreaElement>("teach-text");
    let before = area.value();
    let gap = if before.trim().is_empty() { "" } else { "\n" };
    area.set_value(&format!("{}{gap}{}", before.trim_end(), text.trim()));
    by_id::<Element>("distil").set_attribute("open", "").expect("a plain attribute name");
    board::show();
}

/// The list, undo and redo.
pub fn show() {
    let (lessons, can_undo, can_redo) = read(|app| {
        let history = &app.teach.lessons;
        (history.present().clone(), history.can_undo(), history.can_redo())
    });
    by_id::<HtmlButtonElement>("undo").set_disabled(!can_undo);
    by_id::<HtmlButtonElement>("redo").set_disabled(!can_redo);
    dom::show("forget-lessons", !lessons.is_empty());
    dom::text("lesson-count", &count_of(lessons.len()));
    // The newest first, for it is what the user has just made.
    let mut items: Vec<Element> = lessons.iter().rev().take(SHOWN).map(item).collect();
    if lessons.len() > SHOWN {
        let rest = format!("… and {} more", lessons.len() - SHOWN);
        items.push(element("li").class("quiet").text(&rest));
    }
    fill(&by_id("lessons"), &items);
    show_sources();
}

/// `1 lesson`
pub fn count_of(count: usize) -> String {
    match count {
        0 => "none yet".to_owned(),
        1 => "1 lesson".to_owned(),
        _ => format!("{count} lessons"),
    }
}

/// What lessons can come from now.
pub fn show_sources() {
    let (has_file, has_text, has_teacher) = read(|app| {
        let has_teacher = app.place(Role::Teacher).origin.is_some();
        (
            app.file.is_some(),
            app.tagged(Role::Student).is_some() && !app.text.trim().is_empty(),
            has_teacher,
        )
    });
    dom::show("add-file", has_file);
    dom::show("ask-teacher", has_teacher);
    by_id::<HtmlButtonElement>("accept").set_disabled(!has_text);
}

fn item(lesson: &Rc<Lesson>) -> Element {
    let words = element("p").class("lesson").with("dir", "auto");
    let mut end = 0;
    for span in &lesson.spans {
        if span.start_byte < end {
            continue;
        }
        add_text(&words, &lesson.text[end..span.start_byte]);
        let mark = element("mark").class(&colour::class(&span.entity_type));
        let mark = mark.text(&lesson.text[span.start_byte..span.end_byte]);
        words
            .append_child(&mark.child(&element("b").text(&span.entity_type)))
            .expect("takes children");
        end = span.end_byte;
    }
    add_text(&words, &lesson.text[end..]);
    let text = lesson.text.clone();
    let open = button("Show", move || {
        controls::drop_file();
        controls::set_text(&text);
        tagging::now();
    });
    let own = lesson.clone();
    let remove = button("Remove", move || {
        let rest = |app: &super::super::state::App| {
            let lessons = app.teach.lessons.present().iter();
            lessons.filter(|lesson| lesson.text != own.text).cloned().collect()
        };
        set(read(rest));
        // The button is gone; whoever uses keys goes on from the head of the list.
        dom::focus("#lessons-title");
    });
    let named = |button: Element, what: &str| {
        let start: String = lesson.text.chars().take(40).collect();
        button.class("plain").with("aria-label", format!("{what} the lesson {start}"))
    };
    element("li").child(&words).child(
        &element("div")
            .class("buttons")
            .child(&named(open, "Show"))
            .child(&named(remove, "Remove")),
    )
}
