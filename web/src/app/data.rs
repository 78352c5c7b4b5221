//! The entities as data, to look at, to copy and to download.

use js_sys::Array;
use wasm_bindgen_futures::spawn_local;
use web::export::Format;
use web::protocol::Role;
use web_sys::{Blob, BlobPropertyBag, Element, Event};

use super::dom::{self, Build, by_id, click, listen, text};
use super::state::{App, change, read};
use super::{controls, notice};

/// Connects the buttons.
pub fn wire() {
    for button in dom::all("[data-format]") {
        let name = button.get_attribute("data-format").unwrap_or_default();
        click(&button, move || {
            change(|app| app.format = Format::named(&name));
            for other in dom::all("[data-format]") {
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
    match Blob::new_with_str_sequence_and_options(&parts, &options) {
        Ok(blob) => dom::download(&blob, format.file_name()),
        Err(_) => notice::bad("The browser cannot make a file of this.", None),
    }
}
