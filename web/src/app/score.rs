//! The scores of both models on a labelled file.

use std::collections::BTreeMap;

use web::number::fixed;
use web::protocol::{Role, ScoreRow, Scored};
use web_sys::Element;

use super::dom::{Build, by_id, element, fill, text};
use super::numbers::duration;
use super::state::read;

/// The table, as far as it is known.
pub fn show() {
    let (scored, is_running, is_ready) = read(|app| {
        let scored: Vec<Scored> =
            Role::BOTH.into_iter().filter_map(|role| app.place(role).scored.clone()).collect();
        let is_running = app.places.iter().any(|place| place.scoring.is_some());
        (scored, is_running, Role::BOTH.into_iter().any(|role| app.loaded(role).is_some()))
    });
    let mut words: Vec<String> = scored.iter().map(in_words).collect();
    match (is_running, scored.is_empty()) {
        (true, _) => words.push("Scoring…".to_owned()),
        (false, true) if is_ready => {
            words.push("Not scored. Open the file again to score it.".to_owned());
        }
        (false, true) => words.push("It is scored as soon as a model is in its place.".to_owned()),
        (false, false) => {}
    }
    text("score-text", &words.join(" "));
    let table = by_id::<Element>("scores");
    if scored.is_empty() {
        return table.set_text_content(None);
    }
    let mut head = element("tr").child(&column("Type"));
    for scored in &scored {
        let name = scored.role.name();
        for part in ["precision", "recall", "F1"] {
            head = head.child(&column(&format!("{name} {part}")));
        }
    }
    head = head.child(&column("support"));
    let body = element("tbody");
    for (name, rows) in rows(&scored) {
        let mut row = element("tr").child(&element("th").with("scope", "row").text(&name));
        for found in &rows {
            let parts = found.map(|row| [row.precision, row.recall, row.f1]);
            for part in parts.map_or([None; 3], |parts| parts.map(Some)) {
                let number = part.map_or("–".to_owned(), |part| fixed(part, 3));
                row = row.child(&element("td").text(&number));
            }
        }
        let support = rows.iter().flatten().map(|row| row.support).max().unwrap_or(0);
        body.clone().child(&row.child(&element("td").text(&support.to_string())));
    }
    fill(&table, &[element("thead").child(&head), body]);
}

fn column(name: &str) -> Element {
    element("th").with("scope", "col").text(name)
}

fn in_words(scored: &Scored) -> String {
    format!(
        "The {} reaches an F1 of {} over {} sentences in {}.",
        scored.role.name(),
        fixed(scored.micro.f1, 3),
        scored.sentences,
        duration(scored.millis)
    )
}

/// For each type what each model scores, and all types together at the end.
fn rows(scored: &[Scored]) -> Vec<(String, Vec<Option<&ScoreRow>>)> {
    let mut types: BTreeMap<&str, Vec<Option<&ScoreRow>>> = BTreeMap::new();
    for (index, scored) in scored.iter().enumerate() {
        for row in &scored.per_type {
            let rows = types.entry(&row.name).or_default();
            rows.resize(index, None);
            rows.push(Some(row));
        }
    }
    let mut rows: Vec<_> = types.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect();
    rows.iter_mut().for_each(|(_, rows)| rows.resize(scored.len(), None));
    let all = scored.iter().map(|scored| Some(&scored.micro)).collect();
    rows.push(("all types".to_owned(), all));
    rows
}
