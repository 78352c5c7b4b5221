//! The token strip: every sub-word with its label, and through the lens all probabilities of both
//! models for the chosen one, softened as the loss softens them.

use web::colour;
use web::distribution::{divergence, softened};
use web::number::fixed;
use web::protocol::{MOST_TOKENS, Role, Tagged, Token};
use web_sys::{Element, Event, KeyboardEvent};

use super::dom::{self, Build, by_id, element, fill, listen, show as show_element, svg, text};
use super::state::{App, change, read};

const HELP: &str = "Each sub-word with its label and how sure the student is. Point at one, or walk \
    with the arrow keys. The teacher’s doubts, softened by the temperature, are the lesson.";

/// Connects pointer and keys.
pub fn wire() {
    let strip = by_id::<Element>("strip");
    for kind in ["mouseover", "click"] {
        listen(&strip, kind, |event: Event| {
            let target = dom::target(&event).and_then(|target| target.closest(".token").ok()?);
            let index = target.and_then(|token| token.get_attribute("data-index")?.parse().ok());
            index.into_iter().for_each(choose);
        });
    }
    listen(&strip, "keydown", |event: KeyboardEvent| {
        let (chosen, count) = read(|app| (app.chosen, tokens(app).len()));
        let last = count.saturating_sub(1);
        let index = match event.key().as_str() {
            "ArrowRight" | "ArrowDown" => (chosen + 1).min(last),
            "ArrowLeft" | "ArrowUp" => chosen.saturating_sub(1),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        choose(index);
        let token = dom::document().get_element_by_id(&format!("token-{index}"));
        token.iter().for_each(|token| {
            let options = web_sys::ScrollIntoViewOptions::new();
            options.set_block(web_sys::ScrollLogicalPosition::Nearest);
            token.scroll_into_view_with_scroll_into_view_options(&options);
        });
    });
}

fn tokens(app: &App) -> &[Token] {
    app.tagged(Role::Student).map_or(&[], |tagged| &tagged.tokens)
}

/// The teacher's sub-words, where they are the student's: another tokenizer cannot be compared.
fn teacher(app: &App) -> Option<&Tagged> {
    let (teacher, student) = (app.tagged(Role::Teacher)?, app.tagged(Role::Student)?);
    let labels = |role: Role| app.loaded(role).map(|loaded| &loaded.labels);
    let place = |token: &Token| (token.start_byte, token.end_byte);
    let same_tokens = teacher.tokens.iter().map(place).eq(student.tokens.iter().map(place));
    (same_tokens && labels(Role::Teacher) == labels(Role::Student)).then_some(teacher)
}

/// The strip and its lens.
pub fn show() {
    change(|app| app.chosen = most_doubtful(app));
    let is_shown = read(|app| !tokens(app).is_empty());
    show_element("strip-card", is_shown);
    if !is_shown {
        return;
    }
    let help = read(|app| {
        let all = app.tagged(Role::Student).map_or(0, |tagged| tagged.subwords);
        match all > MOST_TOKENS {
            true => format!("{HELP} The first {MOST_TOKENS} of {all} sub-words."),
            false => HELP.to_owned(),
        }
    });
    text("strip-help", &help);
    let drawn = read(|app| {
        let Some(loaded) = app.loaded(Role::Student) else { return vec![] };
        let teacher = teacher(app);
        let draw = |(index, token): (usize, &Token)| {
            let previous = index.checked_sub(1).map(|index| tokens(app)[index].word);
            let differs = teacher.is_some_and(|teacher| teacher.tokens[index].label != token.label);
            draw_token(app, index, token, &loaded.labels, previous, differs)
        };
        tokens(app).iter().enumerate().map(draw).collect::<Vec<_>>()
    });
    fill(&by_id("strip"), &drawn);
    choose(read(|app| app.chosen));
}

/// Where the models differ most; without a teacher, the first entity.
fn most_doubtful(app: &App) -> usize {
    let tokens = tokens(app);
    if let Some(teacher) = teacher(app) {
        let pairs =
            teacher.tokens.iter().zip(tokens).map(|(t, s)| divergence(&t.logits, &s.logits, 1.0));
        let worst = pairs.enumerate().max_by(|left, right| left.1.total_cmp(&right.1));
        return worst.map_or(0, |(index, _)| index);
    }
    let labels = app.loaded(Role::Student).map(|loaded| &loaded.labels);
    let is_entity = |token: &Token| labels.is_some_and(|labels| labels[token.label] != "O");
    tokens.iter().position(is_entity).unwrap_or(0)
}

fn draw_token(
    app: &App,
    index: usize,
    token: &Token,
    labels: &[String],
    previous: Option<usize>,
    differs: bool,
) -> Element {
    let label = &labels[token.label];
    let mut class = "token".to_owned();
    if label != "O" {
        class += &format!(" is-entity {}", colour::class(colour::plain_type(label)));
    }
    if previous == Some(token.word) {
        class += " goes-on";
    }
    if differs {
        class += " differs";
    }
    let probability = softened(&token.logits, 1.0)[token.label];
    let difference = if differs { " ≠" } else { "" };
    element("div")
        .class(&class)
        .with("id", format!("token-{index}"))
        .with("role", "option")
        .with("aria-selected", false)
        .with("data-index", index)
        .text(&app.text[token.start_byte..token.end_byte])
        .child(
            &element("small")
                .text(&format!("{label} {} %{difference}", fixed(probability * 100.0, 0))),
        )
}

fn choose(index: usize) {
    let before = change(|app| std::mem::replace(&mut app.chosen, index));
    let token = |index: usize| dom::document().get_element_by_id(&format!("token-{index}"));
    token(before).into_iter().for_each(|token| drop(token.with("aria-selected", false)));
    if let Some(token) = token(index) {
        by_id::<Element>("strip").with("aria-activedescendant", token.id());
        token.with("aria-selected", true);
    }
    show_lens();
}

/// All probabilities of the chosen sub-word.
pub fn show_lens() {
    let drawn = read(|app| {
        let (Some(loaded), Some(token)) = (app.loaded(Role::Student), tokens(app).get(app.chosen))
        else {
            return vec![];
        };
        let temperature = app.temperature();
        let teacher = teacher(app).map(|teacher| &teacher.tokens[app.chosen]);
        let words = &app.text[token.start_byte..token.end_byte];
        let key = key(words, token, teacher, temperature);
        let student = softened(&token.logits, temperature);
        let teacher = teacher.map(|token| softened(&token.logits, temperature));
        let pairs = element("div").class("pairs");
        for (id, label) in loaded.labels.iter().enumerate() {
            let teacher = teacher.as_ref().map(|teacher| teacher[id]);
            pairs.clone().child(&pair(label, teacher, student[id]));
        }
        vec![key, pairs]
    });
    fill(&by_id("lens"), &drawn);
}

fn key(words: &str, student: &Token, teacher: Option<&Token>, temperature: f64) -> Element {
    let mut key = element("div").class("key").child(&element("b").text(words));
    if let Some(teacher) = teacher {
        let divergence = divergence(&teacher.logits, &student.logits, temperature);
        let scaled = divergence * temperature * temperature;
        key = key
            .child(&element("span").class("dot teacher").text("teacher"))
            .child(&element("span").class("dot student").text("student"));
        let words = format!("KL {} nats · T² · KL {}", fixed(divergence, 4), fixed(scaled, 4));
        return key.child(&element("span").with("id", "kl").text(&words));
    }
    key.child(&element("span").class("dot student").text("student"))
}

fn pair(label: &str, teacher: Option<f64>, student: f64) -> Element {
    let class = if teacher.is_some() { "pair" } else { "pair alone" };
    let mut pair = element("div").class(class).child(&element("b").text(label));
    for (name, probability) in [("teacher", teacher), ("student", Some(student))] {
        let Some(probability) = probability else { continue };
        pair = pair.child(&rail(name, probability));
        pair = pair.child(&element("span").text(&format!("{} %", fixed(probability * 100.0, 1))));
    }
    pair
}

fn rail(class: &str, probability: f64) -> Element {
    let width = fixed(probability * 100.0, 2);
    let bar = svg("rect").class(class).with("width", width).with("height", 10);
    let drawing = svg("svg")
        .with("viewBox", "0 0 100 10")
        .with("preserveAspectRatio", "none")
        .with("aria-hidden", true);
    element("div").class("rail").child(&drawing.child(&bar))
}
