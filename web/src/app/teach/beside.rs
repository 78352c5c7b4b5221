//! What the student said of the text before it was taught, beside what it says now.

use web::colour;
use web::diff::{Kind, compare};
use web::protocol::{Role, Tagged};
use web_sys::Element;

use super::super::dom::{self, Build, add_text, by_id, element};
use super::super::stage::spans;
use super::super::state::read;

/// Both, once the student was taught and has read the text.
pub fn show() {
    let is_shown = read(|app| {
        let (Some(before), Some(now)) = (app.tagged(Role::Former), app.tagged(Role::Student))
        else {
            return None;
        };
        if !app.teach.is_taught || app.text.trim().is_empty() {
            return Some(false);
        }
        let comparison = compare(&spans(before), &spans(now));
        draw("marks-before", &app.text, before, &comparison.teacher);
        draw("marks-now", &app.text, now, &comparison.student);
        let is_other = |kind: &&Kind| **kind != Kind::Same;
        let gone = comparison.teacher.iter().filter(is_other).count();
        let new = comparison.student.iter().filter(is_other).count();
        dom::text(
            "beside-words",
            &match (gone, new) {
                (0, 0) => "The student marks this text as it did before.".to_owned(),
                _ => format!(
                    "Marks that are new or other: {new}. Marks that are gone or were other: {gone}."
                ),
            },
        );
        Some(true)
    });
    // While a text is on its way, what stands there stays, but for one that was never taught.
    let is_taught = read(|app| app.teach.is_taught);
    if !is_taught || is_shown == Some(true) {
        dom::show("beside", is_taught && is_shown == Some(true));
    }
}

/// Text and marks; those that the other side has not are framed.
fn draw(id: &str, text: &str, tagged: &Tagged, kinds: &[Kind]) {
    let area = by_id::<Element>(id);
    area.set_text_content(None);
    let mut end = 0;
    for (entity, kind) in tagged.entities.iter().zip(kinds) {
        let place = entity.place;
        if place.start_byte < end {
            continue;
        }
        add_text(&area, &text[end..place.start_byte]);
        let differs = if *kind == Kind::Same { "" } else { " differs" };
        let mark =
            element("mark").class(&format!("{}{differs}", colour::class(&entity.entity_type)));
        let mark = mark.text(&text[place.start_byte..place.end_byte]);
        let mark = mark.child(&element("b").text(&entity.entity_type));
        area.append_child(&mark).expect("an element takes children");
        end = place.end_byte;
    }
    add_text(&area, &text[end..]);
}
