//! The fields of a run's settings. Their values begin as the worker says they are good for this student.

use web::number::shortest;
use web::protocol::{Loaded, TrainSettings};
use web::settings::{FIELDS, check, scopes};
use web_sys::{Element, HtmlInputElement, HtmlSelectElement};

use super::super::dom::{Build, by_id, click, element, fill};
use super::super::state::{change, read};

/// Makes the fields.
pub fn wire() {
    let area = by_id::<Element>("train-fields");
    for field in &FIELDS {
        let id = format!("train-{}", field.name);
        let input = element("input")
            .with("type", "number")
            .with("id", &id)
            .with("min", field.least)
            .with("max", field.most)
            .with("step", if field.is_whole { "1" } else { "any" })
            .with("aria-describedby", format!("{id}-help"));
        let help =
            element("small").with("id", format!("{id}-help")).class("quiet").text(field.help);
        let label = element("label").with("for", &id).text(field.label);
        area.clone().child(&element("div").class("field").child(&label).child(&input).child(&help));
    }
    click(&by_id("train-defaults"), || {
        let defaults = read(|app| app.teach.defaults.clone());
        defaults.iter().for_each(fill_in);
    });
}

/// Fills the fields in for a student, unless they are for one like it already.
pub fn follow(loaded: &Loaded) {
    let scope = by_id::<HtmlSelectElement>("train-scope");
    let chosen = scope.value();
    let mut known = scopes(loaded.shape[0]);
    let own = &loaded.teaching.scope;
    if known.iter().all(|(value, _)| value != own) {
        known.push((own.clone(), own.clone()));
    }
    let options: Vec<Element> = known
        .iter()
        .map(|(value, words)| element("option").with("value", value).text(words))
        .collect();
    fill(&scope, &options);
    scope.set_value(&chosen);
    let is_new = change(|app| {
        let before = app.teach.defaults.replace(loaded.teaching.clone());
        before.as_ref() != Some(&loaded.teaching)
    });
    if is_new || scope.selected_index() < 0 {
        fill_in(&loaded.teaching);
    }
}

fn fill_in(settings: &TrainSettings) {
    by_id::<HtmlSelectElement>("train-scope").set_value(&settings.scope);
    for field in &FIELDS {
        input(field.name).set_value(&shortest((field.get)(settings)));
    }
}

fn input(name: &str) -> HtmlInputElement {
    by_id(&format!("train-{name}"))
}

/// What the fields say.
///
/// # Errors
///
/// A value out of its limits, or no student to teach.
pub fn chosen() -> Result<TrainSettings, String> {
    let defaults = read(|app| app.teach.defaults.clone());
    let mut settings = defaults.ok_or("There is no student to teach yet.")?;
    let values = FIELDS.each_ref().map(|field| input(field.name).value_as_number());
    check(&values)?;
    settings.scope = by_id::<HtmlSelectElement>("train-scope").value();
    for (field, value) in FIELDS.iter().zip(values) {
        (field.set)(&mut settings, value);
    }
    Ok(settings)
}
