//! Messages above the stage, read out by screen readers.

use web_sys::Element;

use super::dom::{Build, button, by_id, element};
use super::state::read;

/// Something went wrong; `action` is a way out.
pub fn bad(message: &str, action: Option<(&str, fn())>) {
    put("notice is-bad", message, action);
}

/// Something to know.
pub fn good(message: &str) {
    put("notice", message, None);
}

fn put(class: &str, message: &str, action: Option<(&str, fn())>) {
    let notice = element("div").class(class).child(&element("p").text(message));
    let board = by_id::<Element>("notices");
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
    board.child(&notice.child(&close));
}

/// Says so where there is no model, and how to get one.
pub fn about_models() {
    if read(|app| app.manifest.models.is_empty()) {
        good("There is no model beside this page. Drop a bundle that `understudy export` wrote.");
    }
}
