//! Short words for the document. Text from outside enters it through [`text`] and [`Build::text`] only,
//! as text nodes; nothing is ever parsed as HTML.

use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web::number::shortest;
use web_sys::{
    Blob, Document, Element, Event, HtmlAnchorElement, HtmlElement, NodeList, Url, Window,
};

/// Milliseconds until a file that was given away is let go.
const DOWNLOAD: i32 = 40_000;

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

/// The value of an attribute.
pub trait Value {
    /// As text.
    fn written(self) -> String;
}

impl Value for &str {
    fn written(self) -> String {
        self.to_owned()
    }
}

impl Value for String {
    fn written(self) -> String {
        self
    }
}

impl Value for &String {
    fn written(self) -> String {
        self.clone()
    }
}

impl Value for bool {
    fn written(self) -> String {
        if self { "true" } else { "false" }.to_owned()
    }
}

macro_rules! whole_values {
    ($($kind:ty)*) => {$(
        impl Value for $kind {
            fn written(self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_values!(i32 u64 usize);

impl Value for f64 {
    fn written(self) -> String {
        shortest(self)
    }
}

/// Elements put together in one expression.
pub trait Build: Sized {
    /// With classes.
    fn class(self, classes: &str) -> Self;
    /// With an attribute.
    fn with(self, name: &str, value: impl Value) -> Self;
    /// With text at its end.
    fn text(self, text: &str) -> Self;
    /// With a child at its end.
    fn child(self, child: &Element) -> Self;
}

impl Build for Element {
    fn class(self, classes: &str) -> Self {
        self.with("class", classes)
    }

    fn with(self, name: &str, value: impl Value) -> Self {
        self.set_attribute(name, &value.written()).expect("a plain attribute name");
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

/// Calls `react` on every event of a kind, as long as the target lives.
pub fn listen<E: JsCast>(target: &web_sys::EventTarget, kind: &str, react: impl Fn(E) + 'static) {
    listen_to(target, kind, Box::new(move |event| react(event.unchecked_into())));
}

/// Once for all kinds of events, because what makes a listener of a function is large.
fn listen_to(target: &web_sys::EventTarget, kind: &str, react: Box<dyn Fn(Event)>) {
    // The browser frees the function with the element that it listens to.
    let listener = Closure::<dyn Fn(Event)>::wrap(react).into_js_value();
    let added = target.add_event_listener_with_callback(kind, listener.unchecked_ref());
    added.expect("any target takes listeners");
}

/// Calls `react` when a button is pressed.
pub fn click(target: &Element, react: impl Fn() + 'static) {
    listen(target, "click", move |_: Event| react());
}

/// Every element of the document that a selector finds.
pub fn all(selector: &str) -> Vec<Element> {
    elements(document().query_selector_all(selector).ok())
}

/// Every element inside another one that a selector finds.
pub fn all_in(parent: &Element, selector: &str) -> Vec<Element> {
    elements(parent.query_selector_all(selector).ok())
}

fn elements(list: Option<NodeList>) -> Vec<Element> {
    let list = list.iter();
    list.flat_map(|list| (0..list.length()).filter_map(|index| list.get(index)))
        .filter_map(|node| node.dyn_into().ok())
        .collect()
}

/// The element that an event is about.
pub fn target(event: &Event) -> Option<Element> {
    event.target()?.dyn_into().ok()
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

/// Gives a file away. Where the browser makes no address for it there is none.
pub fn download(blob: &Blob, name: &str) {
    let Ok(address) = Url::create_object_url_with_blob(blob) else { return };
    let anchor: HtmlAnchorElement = element("a").unchecked_into();
    anchor.set_href(&address);
    anchor.set_download(name);
    anchor.click();
    // Some browsers ask where to put the file before they read it.
    after(DOWNLOAD, move || _ = Url::revoke_object_url(&address));
}

/// Moves the focus to the first element that a selector finds.
pub fn focus(selector: &str) {
    let found = document().query_selector(selector).ok().flatten();
    if let Some(element) = found.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        // What cannot be focused leaves the focus where it is.
        let _ = element.focus();
    }
}

/// A property of a JavaScript value, `undefined` where there is none.
pub fn property(value: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Says something to the service worker that the page is from, if it is from one.
pub fn tell_service_worker(words: &str) {
    let container = property(&window().navigator(), "serviceWorker");
    let worker = property(&container, "controller");
    if let Ok(post) = property(&worker, "postMessage").dyn_into::<js_sys::Function>() {
        let _ = post.call1(&worker, &words.into());
    }
}

/// Milliseconds since the click that opened the page.
pub fn since_click() -> Option<f64> {
    window().performance().map(|performance| performance.now())
}
