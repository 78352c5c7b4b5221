//! Messages at the top of what is seen of the page, read out by screen readers.

use web_sys::Element;

use super::dom::{self, Build, button, by_id, element};
use super::state::read;

/// Milliseconds that a notice stays if it is only to know.
const MOMENT: i32 = 10_000;

/// Something went wrong; `action` is a way out.
pub fn bad(message: &str, action: Option<(&str, fn())>) {
    put("notice is-bad", message, action);
}

/// Something to know for a moment.
pub fn good(message: &str) {
    let notice = put("notice", message, None);
    dom::after(MOMENT, move || notice.remove());
}

/// Takes the place of a notice of the same words.
fn put(class: &str, message: &str, action: Option<(&str, fn())>) -> Element {
    let board = by_id::<Element>("notices");
    for words in dom::all_in(&board, "p") {
        if words.text_content().as_deref() == Some(message) {
            words.parent_element().iter().for_each(Element::remove);
        }
    }
    let notice = element("div").class(class).child(&element("p").text(message));
    if let Some((label, act)) = action {
        let gone = notice.clone();
        let act = move || {
            gone.remove();
            act();
        };
        notice.clone().child(&button(label, act));
    }
    let gone = notice.clone();
    let close = button("Dismiss", move || gone.remove());
    let notice = notice.child(&close);
    board.child(&notice);
    notice
}

/// Says so where there is no model, and how to get one.
pub fn about_models() {
    if read(|app| app.manifest.models.is_empty()) {
        let message =
            "There is no model beside this page. Drop a bundle that `understudy export` wrote.";
        put("notice", message, None);
    }
}
