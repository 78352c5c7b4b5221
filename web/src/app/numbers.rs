//! What was measured in this tab.

use web::number::fixed;
use web::protocol::{Loaded, Role};
use web_sys::Element;

use super::dom::{Build, by_id, element, fill};
use super::state::{App, read};

/// `19.6 M`
pub fn millions(count: usize) -> String {
    match count {
        0..1_000_000 => format!("{} k", count / 1000),
        _ => format!("{} M", fixed(count as f64 / 1e6, 1)),
    }
}

/// `19.9 MB`
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        _ => format!("{} MB", fixed(count as f64 / 1e6, 1)),
    }
}

/// `23 ms` or `1.4 s`
pub fn duration(millis: f64) -> String {
    match millis {
        millis if millis >= 1000.0 => format!("{} s", fixed(millis / 1e3, 1)),
        millis if millis >= 10.0 => format!("{} ms", fixed(millis, 0)),
        millis => format!("{} ms", fixed(millis, 1)),
    }
}

type Figure = (&'static str, fn(&App, Role) -> Option<String>);

fn of_model(app: &App, role: Role, show: impl Fn(&Loaded) -> String) -> Option<String> {
    app.loaded(role).map(|loaded| show(loaded))
}

const FIGURES: [Figure; 11] = [
    ("Parameters", |app, role| of_model(app, role, |model| millions(model.parameters))),
    ("Layers × width", |app, role| {
        of_model(app, role, |model| format!("{} × {}", model.shape[0], model.shape[1]))
    }),
    ("Files", |app, role| of_model(app, role, |model| bytes(model.size_bytes))),
    ("Fetched", |app, role| {
        let from = |model: &Loaded| if model.from_cache { ", cache" } else { "" };
        of_model(app, role, |model| format!("{}{}", duration(model.fetch_millis), from(model)))
    }),
    ("Made ready", |app, role| of_model(app, role, |model| duration(model.prepare_millis))),
    ("Warmed up", |app, role| of_model(app, role, |model| duration(model.warm_up_millis))),
    ("Tagging, median", |app, role| app.place(role).latencies.percentile(50).map(duration)),
    ("Tagging, 95 %", |app, role| app.place(role).latencies.percentile(95).map(duration)),
    ("Texts tagged", |app, role| {
        let count = app.place(role).latencies.count();
        (count > 0).then(|| count.to_string())
    }),
    ("Sub-words a second", |app, role| {
        app.place(role).latencies.subwords_per_second().map(|speed| fixed(speed, 0))
    }),
    ("F1 of its report", |app, role| app.loaded(role).and_then(|model| Some(fixed(model.f1?, 3)))),
];

/// The table.
pub fn show() {
    let head = element("tr")
        .child(
            &element("th")
                .with("scope", "col")
                .child(&element("span").class("hidden").text("Figure")),
        )
        .child(&element("th").with("scope", "col").text("Teacher"))
        .child(&element("th").with("scope", "col").text("Student"));
    let body = element("tbody");
    read(|app| {
        for (name, figure) in FIGURES {
            let mut row = element("tr").child(&element("th").with("scope", "row").text(name));
            for role in Role::BOTH {
                let value = figure(app, role).unwrap_or_else(|| "–".to_owned());
                row = row.child(&element("td").text(&value));
            }
            body.clone().child(&row);
        }
        let latest = |role: Role| app.place(role).tagged.as_ref().map(|(_, t)| t.memory_bytes);
        let loaded = |role: Role| app.loaded(role).map(|loaded| loaded.memory_bytes);
        let memory = Role::BOTH.into_iter().flat_map(|role| [latest(role), loaded(role)]);
        let memory = memory.flatten().max().map_or("–".to_owned(), bytes);
        let first_tag = app.first_tag.map_or("–".to_owned(), duration);
        for (name, value) in [("Memory, both", memory), ("Click to first tag", first_tag)] {
            let row = element("tr")
                .child(&element("th").with("scope", "row").text(name))
                .child(&element("td").with("colspan", 2).text(&value));
            body.clone().child(&row);
        }
    });
    let table = by_id::<Element>("numbers");
    fill(&table, &[element("thead").child(&head), body]);
}
