//! Teacher above, student below: the marked text, what differs, and how far a model or a text is.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web::colour;
use web::diff::{Comparison, Kind, Span, compare};
use web::number::fixed;
use web::order::order;
use web::protocol::{Entity, Progress, Role, Stage, Tagged};
use web_sys::{Element, HtmlSelectElement};

use super::dom::{Build, add_text, button, by_id, element, fill, focus, show, text};
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
            let can_retry = *can_retry;
            let label = if can_retry { "Try again" } else { "Use the model of this page" };
            let again = move || {
                spawn_local(retry(role, can_retry));
                // The button goes.
                focus(&format!("#{}-title", role.name()));
            };
            vec![message, button(label, again)]
        }
    };
    area.set_class_name(match loading {
        Loading::Failed { .. } => "load is-bad",
        _ => "load",
    });
    show(&id, !children.is_empty());
    fill(&area, &children);
}

/// Loads a model again, or one of the page where it cannot be loaded. The list of models is read again
/// first: they may have been replaced on the server, and their hashes with them.
async fn retry(role: Role, is_same: bool) {
    let list = super::manifest().await;
    if !read(|app| matches!(app.place(role).loading, Loading::Failed { .. })) {
        // The button was pressed twice.
        return;
    }
    change(|app| {
        // Without a connection the list is what it was.
        if let Ok(list) = list {
            app.manifest = list;
        }
        let listed = match &app.place(role).origin {
            Some(Origin::Manifest(old)) => {
                app.manifest.of(role).find(|entry| entry.folder == old.folder).cloned()
            }
            Some(_) if is_same => return,
            _ => None,
        };
        app.place_mut(role).origin = listed.map(Origin::Manifest).or_else(|| app.first(role));
    });
    match read(|app| app.client.is_some()) {
        true => models::load(role).await,
        false => backend::begin().await,
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
    let comparison = read(comparison);
    Role::BOTH.into_iter().for_each(|role| show_marks_of(role, comparison.as_ref()));
    show_verdict(comparison.as_ref());
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
fn comparison(app: &App) -> Option<Comparison> {
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

/// Whether what a model makes of the text is still to come.
pub fn is_busy(app: &App, role: Role) -> bool {
    let place = app.place(role);
    match place.loading {
        Loading::Done(_) => place.tagging.is_some() || app.timer.is_some(),
        Loading::Under(_) => true,
        // The student is loaded unasked.
        Loading::No => role == Role::Student && place.origin.is_some(),
        Loading::Failed { .. } => false,
    }
}

/// The marked text of one model.
pub fn show_marks(role: Role) {
    show_marks_of(role, read(comparison).as_ref());
}

/// What a panel's marks are drawn from: a text, what its model made of it, and what the other one did.
type Drawn = (Rc<str>, Rc<Tagged>, Option<Rc<Tagged>>);

thread_local! {
    /// By role. What is drawn already is left alone: a selection in it stays, and a long text costs nothing.
    static DRAWN: RefCell<[Option<Drawn>; 2]> = RefCell::default();
}

fn is_drawn(role: Role, own: &Drawn) -> bool {
    let is_same = |left: &Option<Rc<Tagged>>, right: &Option<Rc<Tagged>>| match (left, right) {
        (Some(left), Some(right)) => Rc::ptr_eq(left, right),
        (left, right) => left.is_none() && right.is_none(),
    };
    DRAWN.with_borrow(|drawn| {
        drawn[role as usize].as_ref().is_some_and(|(text, tagged, other)| {
            Rc::ptr_eq(text, &own.0) && Rc::ptr_eq(tagged, &own.1) && is_same(other, &own.2)
        })
    })
}

fn show_marks_of(role: Role, comparison: Option<&Comparison>) {
    if role == Role::Former {
        // It has no place on the stage.
        return;
    }
    let area = by_id::<Element>(&format!("{}-marks", role.name()));
    read(|app| {
        let place = app.place(role);
        let is_busy = is_busy(app, role);
        let area = area.with("aria-busy", is_busy);
        match &place.tagged {
            Some((text, tagged)) if is_busy || **text == *app.text => {
                let class = match (text.is_empty(), is_busy) {
                    (true, _) => "marks is-empty",
                    (_, true) => "marks is-old",
                    (_, false) => "marks",
                };
                area.set_class_name(class);
                let other = Role::BOTH.into_iter().find(|other| *other != role);
                let other = other.filter(|_| comparison.is_some());
                let other = other.and_then(|other| app.tagged(other).cloned());
                let own = (text.clone(), tagged.clone(), other);
                if !is_drawn(role, &own) {
                    draw(&area, text, &marks(app, role, tagged, comparison));
                    DRAWN.with_borrow_mut(|drawn| drawn[role as usize] = Some(own));
                }
            }
            _ => {
                DRAWN.with_borrow_mut(|drawn| drawn[role as usize] = None);
                area.set_class_name("marks is-empty");
                area.set_text_content(Some(match (&place.loading, role) {
                    (Loading::No, Role::Teacher) => {
                        "The teacher is several times as large. Load it to see where the student differs."
                    }
                    (Loading::Failed { .. }, _) => "",
                    (Loading::Done(_), _) if !is_busy => {
                        "Not tagged. Change the text, and it is tagged again."
                    }
                    _ => "…",
                }));
            }
        }
    });
}

fn marks<'a>(
    app: &'a App,
    role: Role,
    tagged: &'a Tagged,
    comparison: Option<&Comparison>,
) -> Vec<Mark<'a>> {
    let kinds = comparison.map(|comparison| match role {
        Role::Teacher => &comparison.teacher,
        Role::Student | Role::Former => &comparison.student,
    });
    let kind = |index: usize| kinds.and_then(|kinds| kinds.get(index).copied());
    let own = tagged.entities.iter().enumerate();
    let mut marks: Vec<Mark<'_>> =
        own.map(|(index, entity)| Mark { entity, kind: kind(index), is_ghost: false }).collect();
    if let (Role::Student, Some(comparison), Some(teacher)) =
        (role, comparison, app.tagged(Role::Teacher))
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

fn show_verdict(comparison: Option<&Comparison>) {
    let (head, f1, rest) = match comparison {
        Some(comparison) => {
            let f1 = comparison.agreement().map_or("–".to_owned(), |f1| fixed(f1, 3));
            let counts = Kind::DISAGREEMENTS
                .map(|kind| format!("{} {}", comparison.count(kind), kind.name()));
            let same = comparison.count(Kind::Same);
            let rest = format!(" · {same} same · {}", counts.join(" · "));
            ("Agreement F1 ".to_owned(), f1, rest)
        }
        None => {
            let count = read(|app| app.tagged(Role::Student).map(|tagged| tagged.entities.len()));
            let head = count.map_or(String::new(), |count| {
                let noun = if count == 1 { "entity" } else { "entities" };
                format!("The student marks {count} {noun}.")
            });
            (head, String::new(), String::new())
        }
    };
    let verdict = by_id::<Element>("verdict");
    // What is written again is read out again.
    if verdict.text_content() == Some(format!("{head}{f1}{rest}")) {
        return;
    }
    text("verdict", &head);
    if !f1.is_empty() {
        verdict.child(&element("b").text(&f1)).text(&rest);
    }
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
