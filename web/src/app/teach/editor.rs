//! The text word by word, what stands marked in it, and every edit.
//!
//! In a line with a lesson the lesson's entities are shown, elsewhere the student's. An edit makes a lesson
//! of its line.

use std::ops::Range;
use std::rc::Rc;

use web::colour;
use web::correction::{self, Choice, Edge, Word};
use web::keys::{TypeKey, of_key, type_keys};
use web::lessons::{corrected, marked};
use web::protocol::{LessonSpan, Role, Tagged};
use web_sys::{Element, KeyboardEvent};

use super::super::dom::{self, Build, button, by_id, click, element, fill, listen};
use super::super::state::{App, change, read};
use super::drawing::{show_choice, word};
use super::{lessons, say};

/// Words that can be edited at once: each is an element of its own.
pub const MOST_WORDS: usize = 600;

/// The text as it can be edited.
pub struct Sheet {
    /// All of it.
    pub text: Rc<str>,
    tagged: Rc<Tagged>,
    /// What stands marked.
    pub spans: Vec<LessonSpan>,
}

impl Sheet {
    /// The words that can be edited.
    pub fn words(&self) -> &[Word] {
        &self.tagged.words[..self.tagged.words.len().min(MOST_WORDS)]
    }

    /// How many words the text has.
    pub fn all_words(&self) -> usize {
        self.tagged.words.len()
    }

    /// The words of a choice.
    pub fn range(&self, choice: &Choice) -> Range<usize> {
        choice.range(&self.text, self.words(), &self.spans)
    }

    /// The entity that a choice is in, and its words.
    fn entity(&self, choice: &Choice) -> Option<usize> {
        correction::at(self.words(), &self.spans, choice.focus)
    }
}

/// What a model marks, as lessons have it.
pub fn spans_of(tagged: &Tagged) -> Vec<LessonSpan> {
    correction::by_words(&tagged.words, &tagged.entities)
}

/// The text with its marks, once the student has tagged it, and with an edge that is being dragged.
pub fn sheet(app: &App) -> Option<Sheet> {
    let sheet = settled(app)?;
    let spans = app.teach.dragged.clone().unwrap_or(sheet.spans);
    Some(Sheet { spans, ..sheet })
}

/// The text with its marks, whatever is being dragged.
pub fn settled(app: &App) -> Option<Sheet> {
    let tagged = app.tagged(Role::Student)?.clone();
    let text = app.text.clone();
    let spans = marked(&text, &spans_of(&tagged), app.teach.lessons.present());
    Some(Sheet { text, tagged, spans })
}

/// The student's types with their keys.
pub fn types(app: &App) -> Vec<TypeKey> {
    app.loaded(Role::Student).map_or_else(Vec::new, |loaded| type_keys(&loaded.labels))
}

/// Connects the keys, and the way here from the student's marks.
pub fn wire() {
    click(&by_id("correct"), || dom::focus("#teach-marks"));
    listen(&by_id::<Element>("teach-marks"), "keydown", |event: KeyboardEvent| {
        if event.ctrl_key() || event.meta_key() {
            return;
        }
        let key = event.key();
        let did = match key.as_str() {
            "Delete" | "Backspace" => unmark(),
            "Escape" => {
                event.stop_propagation();
                choose(None);
                true
            }
            "ArrowLeft" | "ArrowRight" if event.alt_key() => move_edge(&key, event.shift_key()),
            _ if event.alt_key() => false,
            _ => walk(&key, event.shift_key()) || mark_by_key(&key),
        };
        if did {
            event.prevent_default();
        }
    });
}

fn mark_by_key(key: &str) -> bool {
    let found = read(|app| of_key(&types(app), key).map(str::to_owned));
    found.is_some_and(|entity_type| mark(&entity_type))
}

/// Moves or extends the choice.
fn walk(key: &str, extends: bool) -> bool {
    let Some((sheet, choice)) = read(|app| Some((sheet(app)?, app.teach.choice))) else {
        return false;
    };
    let count = sheet.words().len();
    let from = choice.map(|choice| choice.focus);
    let word = match (key, from) {
        ("ArrowRight" | "ArrowDown", Some(word)) => word + 1,
        ("ArrowLeft" | "ArrowUp", Some(word)) => word.saturating_sub(1),
        ("ArrowRight" | "ArrowDown" | "ArrowLeft" | "ArrowUp" | "Home", _) => 0,
        ("End", _) => count,
        _ => return false,
    };
    if count > 0 {
        choose(Some(choice.unwrap_or_default().moved(word, count, extends && from.is_some())));
    }
    true
}

/// Edits the marks, and makes lessons of the lines in which something changed; `false` if that was refused.
pub fn edit(change_spans: impl FnOnce(&Sheet) -> Vec<LessonSpan>) -> bool {
    let edited = read(|app| {
        let sheet = sheet(app)?;
        let after = change_spans(&sheet);
        Some(corrected(&sheet.text, &sheet.spans, &after, app.teach.lessons.present()))
    });
    edited.is_some_and(lessons::set)
}

/// Marks the chosen words as an entity; `false` where none are chosen.
pub fn mark(entity_type: &str) -> bool {
    let Some(range) = chosen() else { return false };
    if edit(|sheet| correction::mark(sheet.words(), &sheet.spans, range.clone(), entity_type)) {
        say(&read(|app| match sheet(app).and_then(|sheet| words_of(&sheet, &range)) {
            Some(words) => format!("{words} is {entity_type}."),
            None => String::new(),
        }));
    }
    true
}

/// Takes the marks of the chosen words away.
pub fn unmark() -> bool {
    let Some(range) = chosen() else { return false };
    if edit(|sheet| correction::clear(sheet.words(), &sheet.spans, range)) {
        say("No longer marked.");
    }
    true
}

fn move_edge(key: &str, is_start: bool) -> bool {
    let moved = read(|app| {
        let sheet = sheet(app)?;
        let index = sheet.entity(&app.teach.choice?)?;
        let span = &sheet.spans[index];
        let own = correction::touched(sheet.words(), span.start_byte..span.end_byte);
        let edge = if is_start { Edge::Start } else { Edge::End };
        let word = if is_start { own.start } else { own.end - 1 };
        let word = if key == "ArrowLeft" { word.checked_sub(1)? } else { word + 1 };
        let range = correction::with_edge(&sheet.text, sheet.words(), span, edge, word);
        Some((index, range))
    });
    if let Some((index, range)) = moved
        && edit(|sheet| correction::stretch(sheet.words(), &sheet.spans, index, range.clone()))
    {
        let words = read(|app| words_of(&sheet(app)?, &range));
        say(&words.unwrap_or_default());
        // The choice stays with the entity.
        choose(Some(Choice::word(range.start)));
    }
    true
}

fn chosen() -> Option<Range<usize>> {
    read(|app| Some(sheet(app)?.range(&app.teach.choice?))).filter(|range| !range.is_empty())
}

fn words_of(sheet: &Sheet, range: &Range<usize>) -> Option<String> {
    let words = sheet.words().get(range.clone())?;
    Some(sheet.text[words.first()?.0..words.last()?.1].to_owned())
}

/// Chooses words for the next edit.
pub fn choose(choice: Option<Choice>) {
    change(|app| app.teach.choice = choice);
    show_choice();
    let focus = choice.and_then(|choice| word(choice.focus));
    focus.iter().for_each(|word| {
        let options = web_sys::ScrollIntoViewOptions::new();
        options.set_block(web_sys::ScrollLogicalPosition::Nearest);
        word.scroll_into_view_with_scroll_into_view_options(&options);
    });
}

/// A button for each type, with its key.
pub fn show_types() {
    let types = read(types);
    let mut buttons: Vec<Element> = types.into_iter().map(type_button).collect();
    if !buttons.is_empty() {
        let none = button("", || _ = unmark()).class("chip");
        buttons
            .push(none.child(&element("kbd").text("Del")).child(&element("span").text("no name")));
    }
    fill(&by_id("type-keys"), &buttons);
    show_choice();
}

fn type_button(key: TypeKey) -> Element {
    let class = format!("chip {}", colour::class(&key.entity_type));
    let shown = key.shown();
    let name = key.entity_type.clone();
    let mut chip = button("", move || _ = mark(&key.entity_type)).class(&class);
    if let Some(shown) = shown {
        chip = chip.child(&element("kbd").text(&shown.to_string()));
    }
    chip.child(&element("span").text(&name))
}
