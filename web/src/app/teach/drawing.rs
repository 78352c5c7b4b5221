//! The text word by word with its marks, in the document. Nothing is drawn twice.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use web::colour;
use web::correction::{self, Choice};
use web::protocol::{LessonSpan, Role};
use web_sys::Element;

use super::super::dom::{self, Build, add_text, by_id, element};
use super::super::stage;
use super::super::state::{change, read};
use super::editor::{MOST_WORDS, Sheet, sheet};

/// Stands where there is no word.
const NOTHING: &str = "Nothing to correct yet: type a text above, and it is tagged first.";

/// The element of a word.
pub fn word(index: usize) -> Option<Element> {
    dom::document().get_element_by_id(&format!("word-{index}"))
}

/// What was drawn last, so that nothing is drawn twice, and the words that are shown as chosen.
#[derive(Default)]
struct Drawn {
    text: Rc<str>,
    spans: Vec<LessonSpan>,
    chosen: Range<usize>,
}

thread_local! {
    static DRAWN: RefCell<Option<Drawn>> = const { RefCell::new(None) };
}

/// The text with its marks.
pub fn show() {
    let area = by_id::<Element>("teach-marks");
    let Some(sheet) = read(sheet) else {
        // Until it is tagged the text cannot be edited, and what was is no longer there.
        let is_coming = read(|app| !app.text.is_empty() && stage::is_busy(app, Role::Student));
        area.set_class_name(if is_coming {
            "marks editor is-old"
        } else {
            "marks editor is-empty"
        });
        if !is_coming {
            DRAWN.set(None);
            area.set_text_content(Some(NOTHING));
        }
        return;
    };
    let count = sheet.words().len();
    change(|app| {
        let is_there = |choice: &Choice| choice.anchor.max(choice.focus) < count;
        app.teach.choice = app.teach.choice.filter(is_there);
    });
    let is_same = DRAWN.with_borrow(|drawn| {
        let same = |drawn: &Drawn| drawn.text == sheet.text && drawn.spans == sheet.spans;
        drawn.as_ref().is_some_and(same)
    });
    area.set_class_name(if count == 0 { "marks editor is-empty" } else { "marks editor" });
    if !is_same {
        draw(&area, &sheet);
        let (text, spans) = (sheet.text, sheet.spans);
        DRAWN.set(Some(Drawn { text, spans, chosen: 0..0 }));
    }
    show_choice();
}

/// Words are options of a list, entities groups among them.
fn draw(area: &Element, sheet: &Sheet) {
    area.set_text_content(None);
    let words = sheet.words();
    if words.is_empty() {
        return area.set_text_content(Some(NOTHING));
    }
    let mut end = 0;
    let mut open: Option<(usize, Element)> = None;
    for (index, (start, stop)) in words.iter().enumerate() {
        let inside = correction::at(words, &sheet.spans, index);
        if let Some((last, mark)) = open.take_if(|(last, _)| inside != Some(*last)) {
            close(&mark, &sheet.spans[last]);
        }
        let between = &sheet.text[end..*start];
        match &open {
            Some((_, mark)) => add_text(mark, between),
            None => add_text(area, between),
        }
        if let (None, Some(entity)) = (&open, inside) {
            let mark = begin(&sheet.spans[entity], &sheet.text);
            area.append_child(&mark).expect("an element takes children");
            open = Some((entity, mark));
        }
        let word = element("span")
            .class("word")
            .with("id", format!("word-{index}"))
            .with("role", "option")
            .with("aria-selected", false)
            .with("data-word", index)
            .text(&sheet.text[*start..*stop]);
        let parent = open.as_ref().map_or(area, |(_, mark)| mark);
        parent.append_child(&word).expect("an element takes children");
        end = *stop;
    }
    if let Some((last, mark)) = open {
        close(&mark, &sheet.spans[last]);
    }
    if words.len() < sheet.all_words() {
        let rest = format!(" … only the first {MOST_WORDS} words can be corrected at once.");
        let rest = element("span").class("quiet").with("role", "presentation").text(&rest);
        area.append_child(&rest).expect("an element takes children");
    }
}

fn begin(span: &LessonSpan, text: &str) -> Element {
    let label = format!("{}: {}", span.entity_type, &text[span.start_byte..span.end_byte]);
    let mark = element("mark").class(&colour::class(&span.entity_type));
    mark.with("role", "group").with("aria-label", label).child(&edge("start"))
}

fn close(mark: &Element, span: &LessonSpan) {
    let name = element("b").with("aria-hidden", true).text(&span.entity_type);
    mark.clone().child(&name).child(&edge("end"));
}

fn edge(name: &str) -> Element {
    element("span").class(&format!("edge {name}")).with("data-edge", name).with("aria-hidden", true)
}

/// The chosen words, without drawing the text again: the browser's own selection would be lost.
pub fn show_choice() {
    let (range, focus) = read(|app| {
        let choice = app.teach.choice;
        let range = choice.and_then(|choice| Some(sheet(app)?.range(&choice)));
        (range.unwrap_or(0..0), choice.map(|choice| choice.focus))
    });
    let before = DRAWN.with_borrow_mut(|drawn| {
        drawn.as_mut().map(|drawn| std::mem::replace(&mut drawn.chosen, range.clone()))
    });
    for index in before.unwrap_or(0..0).chain(range.clone()) {
        let is_chosen = range.contains(&index);
        if let Some(word) = word(index) {
            word.class(if is_chosen { "word chosen" } else { "word" })
                .with("aria-selected", is_chosen);
        }
    }
    let area = by_id::<Element>("teach-marks");
    match focus {
        Some(focus) => drop(area.with("aria-activedescendant", format!("word-{focus}"))),
        None => drop(area.remove_attribute("aria-activedescendant")),
    }
    let is_none = range.is_empty();
    for button in dom::all("#type-keys button") {
        button.toggle_attribute_with_force("disabled", is_none).expect("a plain attribute name");
    }
}
