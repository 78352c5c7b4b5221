//! The entities as data, to look at, to copy and to download.

use js_sys::Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web::export::Format;
use web::protocol::Role;
use web_sys::{Blob, BlobPropertyBag, Element, Event, HtmlAnchorElement, NodeList, Url};

use super::dom::{Build, by_id, click, document, element, listen, text};
use super::state::{App, change, read};
use super::{controls, notice};

/// Connects the buttons.
pub fn wire() {
    for button in buttons() {
        let name = button.get_attribute("data-format").unwrap_or_default();
        click(&button, move || {
            change(|app| app.format = Format::named(&name));
            for other in buttons() {
                let is_chosen = other.get_attribute("data-format").is_some_and(|n| n == name);
                other.with("aria-pressed", is_chosen);
            }
            show();
        });
    }
    listen(&by_id::<Element>("data"), "toggle", |_: Event| show());
    click(&by_id("copy"), || {
        spawn_local(async {
            match controls::copy(&read(written)).await {
                true => notice::good("Copied."),
                false => notice::bad("The browser lets no page copy here; select the text.", None),
            }
        });
    });
    click(&by_id("download"), download);
}

fn buttons() -> Vec<Element> {
    let list = document().query_selector_all("[data-format]");
    let list: NodeList = list.expect("a plain selector");
    (0..list.length()).filter_map(|index| list.get(index)?.dyn_into().ok()).collect()
}

fn format(app: &App) -> Format {
    app.format.unwrap_or(Format::Json)
}

fn written(app: &App) -> String {
    let tagged: Vec<_> =
        Role::BOTH.into_iter().filter_map(|role| app.tagged(role)).map(|t| &**t).collect();
    format(app).write(&app.text, &tagged)
}

/// The text of the data view, where it is open.
pub fn show() {
    if by_id::<Element>("data").has_attribute("open") {
        text("data-text", &read(written));
    }
}

fn download() {
    let (format, content) = read(|app| (format(app), written(app)));
    let options = BlobPropertyBag::new();
    options.set_type(format.media_type());
    let parts = Array::of1(&content.into());
    let blob = Blob::new_with_str_sequence_and_options(&parts, &options);
    let address = blob.and_then(|blob| Url::create_object_url_with_blob(&blob));
    let Ok(address) = address else {
        return notice::bad("The browser cannot make a file of this.", None);
    };
    let anchor: HtmlAnchorElement = element("a").unchecked_into();
    anchor.set_href(&address);
    anchor.set_download(format.file_name());
    anchor.click();
    // The download has its own hold on the data by now.
    let _ = Url::revoke_object_url(&address);
}
