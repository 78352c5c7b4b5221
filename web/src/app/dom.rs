//! Short words for the document. Text from outside enters it through [`text`] and [`Build::text`] only,
//! as text nodes; nothing is ever parsed as HTML.

use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, Element, Event, Window};

const SVG: &str = "http://www.w3.org/2000/svg";

/// The window.
pub fn window() -> Window {
    web_sys::window().expect("a page has a window")
}

/// The document.
pub fn document() -> Document {
    window().document().expect("a window has a document")
}

/// An element of `index.html`.
///
/// # Panics
///
/// If there is none of this id, or it is of another kind.
pub fn by_id<T: JsCast>(id: &str) -> T {
    let element = document().get_element_by_id(id);
    let element = element.unwrap_or_else(|| panic!("index.html has no element `{id}`"));
    element.dyn_into().unwrap_or_else(|_| panic!("element `{id}` is of another kind"))
}

/// A new element.
pub fn element(tag: &str) -> Element {
    document().create_element(tag).expect("a plain tag name")
}

/// A new element of a drawing.
pub fn svg(tag: &str) -> Element {
    document().create_element_ns(Some(SVG), tag).expect("a plain tag name")
}

/// Elements put together in one expression.
pub trait Build: Sized {
    /// With classes.
    fn class(self, classes: &str) -> Self;
    /// With an attribute.
    fn with(self, name: &str, value: impl ToString) -> Self;
    /// With text at its end.
    fn text(self, text: &str) -> Self;
    /// With a child at its end.
    fn child(self, child: &Element) -> Self;
}

impl Build for Element {
    fn class(self, classes: &str) -> Self {
        self.with("class", classes)
    }

    fn with(self, name: &str, value: impl ToString) -> Self {
        self.set_attribute(name, &value.to_string()).expect("a plain attribute name");
        self
    }

    fn text(self, text: &str) -> Self {
        add_text(&self, text);
        self
    }

    fn child(self, child: &Element) -> Self {
        self.append_child(child).expect("an element takes children");
        self
    }
}

/// Adds a text node.
pub fn add_text(parent: &Element, text: &str) {
    let node = document().create_text_node(text);
    parent.append_child(&node).expect("an element takes text");
}

/// Empties an element and puts others in.
pub fn fill(parent: &Element, children: &[Element]) {
    parent.set_text_content(None);
    for child in children {
        parent.append_child(child).expect("an element takes children");
    }
}

/// Replaces an element's content by text.
pub fn text(id: &str, text: &str) {
    by_id::<Element>(id).set_text_content(Some(text));
}

/// Shows or hides an element.
pub fn show(id: &str, is_shown: bool) {
    let element = by_id::<Element>(id);
    match is_shown {
        true => element.remove_attribute("hidden"),
        false => element.set_attribute("hidden", ""),
    }
    .expect("a plain attribute name");
}

/// Calls `react` on every event of a kind, as long as the page lives.
pub fn listen<E: JsCast>(target: &web_sys::EventTarget, kind: &str, react: impl Fn(E) + 'static) {
    let listener = Closure::<dyn Fn(Event)>::new(move |event: Event| react(event.unchecked_into()));
    let added = target.add_event_listener_with_callback(kind, listener.as_ref().unchecked_ref());
    added.expect("any target takes listeners");
    listener.forget();
}

/// Calls `react` when a button is pressed.
pub fn click(target: &Element, react: impl Fn() + 'static) {
    listen(target, "click", move |_: Event| react());
}

/// A button.
pub fn button(label: &str, react: impl Fn() + 'static) -> Element {
    let button = element("button").with("type", "button").text(label);
    click(&button, react);
    button
}

/// Calls `run` once after some milliseconds; the number is for [`forget_timer`].
pub fn after(millis: i32, run: impl FnOnce() + 'static) -> i32 {
    let callback = Closure::once_into_js(run);
    let timer = window()
        .set_timeout_with_callback_and_timeout_and_arguments_0(callback.unchecked_ref(), millis);
    timer.expect("a window has timers")
}

/// Stops a timer that has not run.
pub fn forget_timer(timer: i32) {
    window().clear_timeout_with_handle(timer);
}

/// A property of a JavaScript value, `undefined` where there is none.
pub fn property(value: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Milliseconds since the click that opened the page.
pub fn since_click() -> Option<f64> {
    window().performance().map(|performance| performance.now())
}
