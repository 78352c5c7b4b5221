//! Selections and dragged edges in the editor, by mouse, pen and touch.
//!
//! What is selected is the browser's own selection, so long presses and double clicks work as
//! everywhere. An edge is dragged with the pointer captured by the editor, which stays while its content
//! is drawn again.

use std::cell::RefCell;

use web::correction::{Choice, Edge, at, stretch, with_edge};
use web::protocol::LessonSpan;
use web_sys::{Element, Event, MouseEvent, PointerEvent};

use super::super::dom::{self, by_id, document, listen, window};
use super::super::state::{change, read};
use super::drawing;
use super::editor::{Sheet, choose, edit, settled};

/// A dragged edge.
#[derive(Clone)]
struct Drag {
    /// Of this entity. What else is marked may change meanwhile.
    entity: LessonSpan,
    edge: Edge,
    /// The word it is at.
    word: usize,
}

thread_local! {
    static DRAG: RefCell<Option<Drag>> = const { RefCell::new(None) };
}

/// Connects the pointer.
pub fn wire() {
    let area = by_id::<Element>("teach-marks");
    listen(&document(), "selectionchange", |_: Event| select());
    listen(&area, "click", |event: MouseEvent| click(&event));
    listen(&area, "pointerdown", |event: PointerEvent| grab(&event));
    // A finger on an edge does not scroll; `touch-action` would not do for parts of a line.
    listen(&area, "touchstart", |event: Event| {
        if dom::target(&event).is_some_and(|target| target.has_attribute("data-edge")) {
            event.prevent_default();
        }
    });
    listen(&area, "pointermove", |event: PointerEvent| drag(&event));
    listen(&area, "pointerup", |_: PointerEvent| release(true));
    listen(&area, "pointercancel", |_: PointerEvent| release(false));
}

/// Takes the words of the browser's selection.
fn select() {
    let Ok(Some(selection)) = window().get_selection() else { return };
    let area = by_id::<Element>("teach-marks");
    let ends = [selection.anchor_node(), selection.focus_node()];
    let is_inside = ends.iter().any(|node| area.contains(node.as_ref()));
    if selection.is_collapsed() || !is_inside || DRAG.with_borrow(Option::is_some) {
        return;
    }
    let is_selected = |word: &Element| {
        selection.contains_node_with_allow_partial_containment(word, true).unwrap_or(false)
    };
    let words = dom::all("#teach-marks .word");
    let first = words.iter().position(is_selected);
    let last = words.iter().rposition(is_selected);
    if let Some((anchor, focus)) = first.zip(last) {
        change(|app| app.teach.choice = Some(Choice { anchor, focus, is_exact: true }));
        drawing::show_choice();
    }
}

/// A click chooses a word, or the entity around it; one that selects, as with Shift, what it selects.
fn click(event: &MouseEvent) {
    let is_selecting = window()
        .get_selection()
        .is_ok_and(|selection| selection.is_some_and(|selection| !selection.is_collapsed()));
    if is_selecting {
        // The browser tells of the selection a little later, and a key may come before that.
        return select();
    }
    let Some(target) = dom::target(event) else { return };
    let mark = || target.closest("mark").ok()??.query_selector(".word").ok()?;
    choose(word_of(&target).or_else(|| word_of(&mark()?)).map(Choice::word));
}

/// The word that an element is in.
fn word_of(element: &Element) -> Option<usize> {
    element.closest(".word").ok()??.get_attribute("data-word")?.parse().ok()
}

fn grab(event: &PointerEvent) {
    let Some(target) = dom::target(event) else { return };
    let edge = match target.get_attribute("data-edge").as_deref() {
        Some("start") => Edge::Start,
        Some("end") => Edge::End,
        _ => return,
    };
    let words = target.closest("mark").ok().flatten().map(|mark| dom::all_in(&mark, ".word"));
    let words = words.unwrap_or_default();
    let end = if edge == Edge::Start { words.first() } else { words.last() };
    let Some(word) = end.and_then(word_of) else { return };
    let entity = read(|app| {
        let sheet = settled(app)?;
        Some(sheet.spans[at(sheet.words(), &sheet.spans, word)?].clone())
    });
    let Some(entity) = entity else { return };
    event.prevent_default();
    DRAG.set(Some(Drag { entity, edge, word }));
    // Without the capture the drag works as long as the pointer stays in the editor.
    let _ = by_id::<Element>("teach-marks").set_pointer_capture(event.pointer_id());
}

fn drag(event: &PointerEvent) {
    let Some(drag) = DRAG.with_borrow(Clone::clone) else { return };
    let (x, y) = (event.client_x() as f32, event.client_y() as f32);
    let under = document().element_from_point(x, y);
    let Some(word) = under.as_ref().and_then(word_of).filter(|word| *word != drag.word) else {
        return;
    };
    let drag = Drag { word, ..drag };
    let dragged = read(|app| Some(stretched(&settled(app)?, &drag)));
    DRAG.set(Some(drag));
    change(|app| app.teach.dragged = dragged);
    drawing::show();
}

/// All as it is where the student no longer marks the entity.
fn stretched(sheet: &Sheet, drag: &Drag) -> Vec<LessonSpan> {
    let index = sheet.spans.iter().position(|span| *span == drag.entity);
    let Some(index) = index else { return sheet.spans.clone() };
    let range = with_edge(&sheet.text, sheet.words(), &drag.entity, drag.edge, drag.word);
    stretch(sheet.words(), &sheet.spans, index, range)
}

fn release(is_dropped: bool) {
    let Some(drag) = DRAG.take() else { return };
    change(|app| app.teach.dragged = None);
    if is_dropped {
        edit(|sheet| stretched(sheet, &drag));
    }
    drawing::show();
}
