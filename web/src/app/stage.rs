//! Teacher above, student below: the marked text, what differs, and how far a model or a text is.

use web::colour;
use web::diff::{Comparison, Kind, Span, compare};
use web::number::fixed;
use web::order::order;
use web::protocol::{Entity, Progress, Role, Stage, Tagged};
use web_sys::{Element, HtmlSelectElement};

use super::dom::{Build, add_text, button, by_id, element, fill, show, text};
use super::numbers::{bytes, millions};
use super::state::{App, Loading, Origin, change, read};
use super::{backend, chart, models, numbers, strip, teach};

/// Everything.
pub fn show_all() {
    Role::BOTH.into_iter().for_each(show_place);
    show_results();
    strip::show();
    numbers::show();
    backend::show_why();
}

/// One place: its facts, its progress and its marks.
pub fn show_place(role: Role) {
    let name = role.name();
    let facts = read(|app| match (&app.place(role).loading, &app.place(role).origin) {
        (Loading::Done(loaded), _) => format!(
            "{} · {} parameters · {}",
            loaded.name,
            millions(loaded.parameters),
            bytes(loaded.size_bytes)
        ),
        (_, Some(Origin::Manifest(entry))) => format!(
            "{} · {} parameters · {} to download",
            entry.folder,
            millions(entry.parameters),
            bytes(entry.size_bytes())
        ),
        (_, Some(origin)) => origin.name().to_owned(),
        (_, None) => "no model here yet".to_owned(),
    });
    text(&format!("{name}-facts"), &facts);
    show_choice(role);
    let can_compare = read(|app| {
        let place = app.place(Role::Teacher);
        matches!(place.loading, Loading::No) && place.origin.is_some()
    });
    show("compare", can_compare);
    show_loading(role);
    show_results();
    chart::show();
}

/// The models that can stand in a place, where there are several: those of the list, after one from
/// elsewhere.
fn show_choice(role: Role) {
    let (folders, chosen) = read(|app| {
        let folders = app.manifest.of(role).map(|entry| entry.folder.clone());
        let mut folders: Vec<String> = folders.collect();
        let chosen = match &app.place(role).origin {
            Some(Origin::Manifest(entry)) => entry.folder.clone(),
            Some(origin) => {
                folders.insert(0, origin.name().to_owned());
                origin.name().to_owned()
            }
            None => String::new(),
        };
        (folders, chosen)
    });
    let id = choice_id(role);
    show(&id, folders.len() > 1);
    let options: Vec<Element> =
        folders.iter().map(|folder| element("option").text(folder)).collect();
    let list = by_id::<HtmlSelectElement>(&id);
    fill(&list, &options);
    list.set_value(&chosen);
}

/// The list of models for a place.
pub fn choice_id(role: Role) -> String {
    format!("{}-choice", role.name())
}

/// The progress of a model on its way.
pub fn show_loading(role: Role) {
    let id = format!("{}-load", role.name());
    let loading = read(|app| app.place(role).loading.clone());
    let area = by_id::<Element>(&id);
    let children = match &loading {
        Loading::No | Loading::Done(_) => vec![],
        Loading::Under(progress) => {
            let (done, total, words) = in_words(*progress);
            let bar =
                element("progress").with("aria-label", format!("Loading the {}", role.name()));
            let bar = match total {
                0 => bar,
                _ => bar.with("max", total).with("value", done),
            };
            vec![bar, element("span").text(&words)]
        }
        Loading::Failed { message, can_retry } => {
            let message = element("p").with("role", "alert").text(message);
            let label = if *can_retry { "Try again" } else { "Use the model of this page" };
            vec![message, button(label, move || retry(role))]
        }
    };
    area.set_class_name(match loading {
        Loading::Failed { .. } => "load is-bad",
        _ => "load",
    });
    show(&id, !children.is_empty());
    fill(&area, &children);
}

fn retry(role: Role) {
    let first = read(|app| app.manifest.of(role).next().cloned());
    change(|app| {
        let place = app.place_mut(role);
        let is_elsewhere = !matches!(place.origin, Some(Origin::Manifest(_)));
        if is_elsewhere && let Some(entry) = first {
            place.origin = Some(Origin::Manifest(entry));
        }
    });
    match read(|app| app.client.is_some()) {
        true => wasm_bindgen_futures::spawn_local(models::load(role)),
        false => wasm_bindgen_futures::spawn_local(backend::begin()),
    }
}

/// How far something is: done, of how many, and in words.
pub fn in_words(progress: Option<Progress>) -> (u64, u64, String) {
    let Some(Progress { stage, done, total }) = progress else {
        return (0, 0, "waiting".to_owned());
    };
    let words = match stage {
        Stage::Download => format!("{} of {}", bytes(done), bytes(total)),
        Stage::Cache => format!("{} from the cache", bytes(done)),
        Stage::Prepare if done == 0 => "reading the weights".to_owned(),
        Stage::Prepare => "warming up".to_owned(),
        Stage::Tag | Stage::Rehearse | Stage::Label => format!("{done} of {total} windows"),
    };
    (done, total, words)
}

/// The marks of both, what differs, and the progress of long texts.
pub fn show_results() {
    Role::BOTH.into_iter().for_each(show_marks);
    show_verdict();
    show_work();
    teach::show_text();
}

/// What a model marks, as it is compared.
pub fn spans(tagged: &Tagged) -> Vec<Span<'_>> {
    let entities = tagged.entities.iter().map(|entity| Span {
        start: entity.place.start_byte,
        end: entity.place.end_byte,
        entity_type: &entity.entity_type,
    });
    entities.collect()
}

/// Teacher and student compared, where both have tagged the text that is in the field.
pub fn comparison(app: &App) -> Option<Comparison> {
    let (teacher, student) = (app.tagged(Role::Teacher)?, app.tagged(Role::Student)?);
    Some(compare(&spans(teacher), &spans(student)))
}

/// What stands marked in a panel.
#[derive(Clone, Copy)]
struct Mark<'a> {
    entity: &'a Entity,
    kind: Option<Kind>,
    is_ghost: bool,
}

/// The marked text of one model.
pub fn show_marks(role: Role) {
    if role == Role::Former {
        // It has no place on the stage.
        return;
    }
    let area = by_id::<Element>(&format!("{}-marks", role.name()));
    read(|app| {
        let place = app.place(role);
        let Some((marked_text, tagged)) = &place.tagged else {
            area.set_class_name("marks is-empty");
            area.set_text_content(Some(match (&place.loading, role) {
                (Loading::No, Role::Teacher) => {
                    "The teacher is several times as large. Load it to see where the student differs."
                }
                (Loading::Failed { .. }, _) => "",
                _ => "…",
            }));
            return;
        };
        let is_old = place.tagging.is_some() || **marked_text != *app.text;
        area.set_class_name(if is_old { "marks is-old" } else { "marks" });
        area.set_attribute("aria-busy", if is_old { "true" } else { "false" })
            .expect("a plain attribute name");
        let marks = marks(app, role, tagged);
        draw(&area, marked_text, &marks);
    });
}

fn marks<'a>(app: &'a App, role: Role, tagged: &'a Tagged) -> Vec<Mark<'a>> {
    let comparison = comparison(app);
    let kinds = comparison.as_ref().map(|comparison| match role {
        Role::Teacher => &comparison.teacher,
        Role::Student | Role::Former => &comparison.student,
    });
    let kind = |index: usize| kinds.and_then(|kinds| kinds.get(index).copied());
    let own = tagged.entities.iter().enumerate();
    let mut marks: Vec<Mark<'_>> =
        own.map(|(index, entity)| Mark { entity, kind: kind(index), is_ghost: false }).collect();
    if let (Role::Student, Some(comparison), Some(teacher)) =
        (role, &comparison, app.tagged(Role::Teacher))
    {
        let missed = teacher.entities.iter().zip(&comparison.teacher);
        let missed = missed.filter(|(_, kind)| **kind == Kind::Missed);
        marks.extend(missed.map(|(entity, kind)| Mark {
            entity,
            kind: Some(*kind),
            is_ghost: true,
        }));
        let key = |index: usize| (marks[index].entity.place.start_byte, marks[index].is_ghost);
        let sorted = order(marks.len(), &|left, right| key(left) < key(right));
        marks = sorted.into_iter().map(|index| marks[index]).collect();
    }
    marks
}

/// Text and marks, in order; a mark that begins inside another one is left out.
fn draw(area: &Element, text: &str, marks: &[Mark<'_>]) {
    area.set_text_content(None);
    if text.is_empty() {
        area.set_class_name("marks is-empty");
        area.set_text_content(Some("Nothing to tag yet."));
        return;
    }
    let mut end = 0;
    for Mark { entity, kind, is_ghost } in marks {
        let place = entity.place;
        if place.start_byte < end {
            continue;
        }
        add_text(area, &text[end..place.start_byte]);
        let words = &text[place.start_byte..place.end_byte];
        let differs = kind.filter(|kind| *kind != Kind::Same);
        let mut class = colour::class(&entity.entity_type);
        if *is_ghost {
            class = "ghost".to_owned();
        }
        if let Some(kind) = differs {
            class += if kind == Kind::Missed { " differs missed" } else { " differs" };
        }
        let title =
            format!("{} {} %", entity.entity_type, fixed(f64::from(entity.score) * 100.0, 1));
        let mark = element("mark").class(&class).with("title", title).text(words);
        let mark = mark.child(&element("b").text(&entity.entity_type));
        let mark = match differs {
            Some(kind) => mark.child(&element("i").text(kind.name())),
            None => mark,
        };
        area.append_child(&mark).expect("an element takes children");
        end = place.end_byte;
    }
    add_text(area, &text[end..]);
}

fn show_verdict() {
    let verdict = by_id::<Element>("verdict");
    verdict.set_text_content(None);
    read(|app| match comparison(app) {
        Some(comparison) => {
            let f1 = match comparison.agreement() {
                Some(f1) => fixed(f1, 3),
                None => "–".to_owned(),
            };
            add_text(&verdict, "Agreement F1 ");
            let verdict = verdict.child(&element("b").text(&f1));
            let counts = Kind::DISAGREEMENTS
                .map(|kind| format!("{} {}", comparison.count(kind), kind.name()));
            let same = comparison.count(Kind::Same);
            add_text(&verdict, &format!(" · {same} same · {}", counts.join(" · ")));
        }
        None => {
            if let Some(tagged) = app.tagged(Role::Student) {
                let count = tagged.entities.len();
                let noun = if count == 1 { "entity" } else { "entities" };
                add_text(&verdict, &format!("The student marks {count} {noun}."));
            }
        }
    });
}

/// The progress of a text or file that takes long.
pub fn show_work() {
    let progress = read(|app| {
        let mut both =
            Role::BOTH.into_iter().filter_map(|role| app.place(role).progress.map(|p| (role, p)));
        both.next_back()
    });
    show("work", progress.is_some());
    let Some((role, progress)) = progress else { return };
    let bar = by_id::<Element>("work-bar").with("max", progress.total);
    bar.with("value", progress.done);
    let (_, _, words) = in_words(Some(progress));
    text("work-text", &format!("The {} has read {words}", role.name()));
}
