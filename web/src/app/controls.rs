//! Fields, buttons, examples and links.

use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web::link::Link;
use web::number::fixed;
use web::protocol::{Backend, Role};
use web_sys::{
    Element, Event, HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement, KeyboardEvent,
};

use super::dom::{self, Build, by_id, click, element, listen, text};
use super::state::{Loading, change, read};
use super::{backend, models, notice, stage, strip, tagging};

/// Names and sentences of our own, easy ones first.
const EXAMPLES: [(&str, &str); 5] = [
    (
        "News",
        "Minister Ana Ribeiro met the board of Halden Shipping in Rotterdam on Tuesday. A week \
         earlier the Dutch firm had bought two ferries from a yard near Gdansk.",
    ),
    (
        "Sport",
        "Marit Solberg scored twice as Tromso beat Real Zaragoza 3-1 in the Nordic Cup. Coach Ian \
         Okafor praised the Norwegian side.",
    ),
    (
        "Doubtful",
        "Washington said no. Jordan flew to Jordan with Paris, and Amazon opened an office near \
         the Amazon for the Reading team of Nice.",
    ),
    (
        "Unicode",
        "Zoe\u{308} O’Neill \u{1f469}\u{200d}\u{1f680} left São\u{a0}Paulo for 東京 and القاهرة;\n\
         \tJose\u{301} Nun\u{303}ez\u{1f600} of Łódź waited in Zürich.",
    ),
    (
        "Invented",
        "Ralville coach Puthgayn Seskak spoke at the University of Lamville. Grenburg fans \
         travelled to Gemora for the match against Lathora United.",
    ),
];

/// Connects every control.
pub fn wire() {
    let area = by_id::<HtmlTextAreaElement>("text");
    listen(&area, "input", |_: Event| {
        let typed = by_id::<HtmlTextAreaElement>("text").value();
        change(|app| app.text = Rc::from(typed));
        drop_file();
        tagging::later();
        stage::show_results();
    });
    examples();
    wire_options();
    click(&by_id("compare"), || {
        change(|app| app.link.compare = true);
        spawn_local(async { _ = models::ready(Role::Teacher).await });
        // The button goes.
        dom::focus("#teacher-title");
    });
    for role in Role::BOTH {
        let list = by_id::<HtmlSelectElement>(&stage::choice_id(role));
        listen(&list.clone(), "change", move |_: Event| models::choose(role, &list.value()));
    }
    click(&by_id("cancel"), tagging::cancel);
    listen(&dom::document(), "keydown", |event: KeyboardEvent| {
        if event.key() == "Escape" && !event.is_composing() {
            tagging::cancel();
        }
    });
    click(&by_id("share"), || spawn_local(share()));
    listen(&dom::window(), "hashchange", |_: Event| follow_link());
}

fn wire_options() {
    let reacts = |id: &str, kind: &str, react: fn()| {
        listen(&by_id::<Element>(id), kind, move |_: Event| react());
    };
    reacts("aggregation", "change", || {
        let aggregation = by_id::<HtmlSelectElement>("aggregation").value();
        change(|app| app.link.options.aggregation = aggregation);
        decode_again();
    });
    reacts("constrained", "change", || {
        let constrained = by_id::<HtmlInputElement>("constrained").checked();
        change(|app| app.link.options.constrained = constrained);
        decode_again();
    });
    reacts("threshold", "input", || {
        let threshold = by_id::<HtmlInputElement>("threshold").value_as_number() as f32;
        change(|app| app.link.options.threshold = threshold);
        text("threshold-value", &fixed(threshold.into(), 2));
        tagging::later();
    });
    reacts("temperature", "input", || {
        let temperature = by_id::<HtmlInputElement>("temperature").value_as_number();
        change(|app| app.link.temperature = Some(temperature));
        text("temperature-value", &fixed(temperature, 1));
        strip::show_lens();
    });
    reacts("backend", "change", || {
        _ = backend::choose(match by_id::<HtmlSelectElement>("backend").value().as_str() {
            "cpu" => Some(Backend::Cpu),
            "webgpu" => Some(Backend::Webgpu),
            _ => None,
        });
    });
}

fn decode_again() {
    tagging::now();
    Role::BOTH.into_iter().for_each(tagging::score);
}

fn examples() {
    let group = by_id::<Element>("examples");
    for (name, sentences) in EXAMPLES {
        let chip = element("button").with("type", "button").class("chip").text(name);
        click(&chip, move || {
            drop_file();
            set_text(sentences);
            tagging::now();
        });
        group.clone().child(&chip);
    }
}

/// Puts a text in the field.
pub fn set_text(words: &str) {
    by_id::<HtmlTextAreaElement>("text").set_value(words);
    change(|app| app.text = Rc::from(words));
    stage::show_results();
}

/// A text that was typed has no labels to score against.
pub fn drop_file() {
    let had = change(|app| app.file.take());
    if had.is_some() {
        tagging::forget_scoring();
        stage::show_work();
        dom::show("score-card", false);
    }
}

/// Sets controls and state as the address says.
pub fn apply_link() {
    let link = Link::parse(&dom::window().location().hash().unwrap_or_default());
    // Somebody may have typed before the page could hear it.
    let typed = by_id::<HtmlTextAreaElement>("text").value();
    let typed = Some(typed).filter(|typed| !typed.is_empty());
    let words = link.text.clone().or(typed).unwrap_or_else(|| EXAMPLES[0].1.to_owned());
    let options = &link.options;
    by_id::<HtmlSelectElement>("aggregation").set_value(&options.aggregation);
    by_id::<HtmlInputElement>("constrained").set_checked(options.constrained);
    by_id::<HtmlInputElement>("threshold").set_value_as_number(f64::from(options.threshold));
    text("threshold-value", &fixed(options.threshold.into(), 2));
    let temperature = link.temperature.unwrap_or(1.0);
    by_id::<HtmlInputElement>("temperature").set_value_as_number(temperature);
    text("temperature-value", &fixed(temperature, 1));
    let backend = link.backend.map_or("auto", Backend::name);
    by_id::<HtmlSelectElement>("backend").set_value(backend);
    change(|app| app.link = link);
    set_text(&words);
}

/// The address changed while the page was open.
fn follow_link() {
    let hash = dom::window().location().hash().unwrap_or_default();
    // A link within the page goes to a place in it, and going back from there changes nothing.
    if !hash.contains('=') {
        return;
    }
    let before = read(|app| app.link.backend);
    drop_file();
    apply_link();
    let (backend, wants_teacher) = change(|app| {
        let is_away = matches!(app.place(Role::Teacher).loading, Loading::No);
        let backend = std::mem::replace(&mut app.link.backend, before);
        (backend, app.link.compare && is_away)
    });
    if backend::choose(backend) {
        // The new worker does the rest.
        return;
    }
    tagging::now();
    strip::show();
    if wants_teacher {
        spawn_local(models::load(Role::Teacher));
    }
}

async fn share() {
    let link = read(|app| Link { text: Some(app.text.to_string()), ..app.link.clone() });
    let hash = format!("#{}", link.to_hash());
    let window = dom::window();
    // The address bar has it too, for browsers that let no page write to the clipboard.
    let replaced = window
        .history()
        .and_then(|history| history.replace_state_with_url(&JsValue::NULL, "", Some(&hash)));
    let address = window.location().href().unwrap_or_default();
    let address = format!("{}{hash}", address.split('#').next().unwrap_or_default());
    match (replaced, copy(&address).await) {
        (_, true) => {
            notice::good("The link is copied. Text and options are in it; nothing was sent.")
        }
        (Ok(()), false) => notice::good("The link is in the address bar."),
        (Err(_), false) => notice::bad("This text is too long for a link.", None),
    }
}

/// Writes to the clipboard; `false` where the browser does not let a page do that.
pub async fn copy(words: &str) -> bool {
    let navigator = dom::window().navigator();
    if dom::property(&navigator, "clipboard").is_undefined() {
        return false;
    }
    JsFuture::from(navigator.clipboard().write_text(words)).await.is_ok()
}
