//! The curves of a run: its loss, and what it is for, the scores on what is new and on what was known.

use web::curve::{Curve, round_up};
use web::number::{fixed, shortest};
use web_sys::Element;

use super::super::dom::{Build, by_id, element, fill, show as show_element, svg};
use super::super::state::read;

const VIEW: &str = "0 0 360 170";
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// Points of a drawn curve at most.
const POINTS: usize = 150;

/// A curve with its name and its class in the style sheet.
type Named<'a> = (&'a Curve, &'static str, &'static str);

/// Both drawings, or nothing before there is a first value.
pub fn show() {
    let drawn = read(|app| {
        let run = app.teach.run.as_ref()?;
        let loss = [(&run.loss, "loss", "loss")];
        let scores = [
            (&run.new_f1, "F1 on the lessons", "new"),
            (&run.teacher_f1, "agreement with the teacher", "labelled"),
            (&run.kept_f1, "agreement with its former self", "kept"),
        ];
        let has_values = [&loss[..], &scores].concat().iter().any(|(curve, ..)| !curve.is_empty());
        has_values.then(|| {
            let top = round_up(run.loss.most());
            let all = [&loss[..], &scores].concat();
            let steps = all.iter().filter_map(|(curve, ..)| curve.last_step()).max();
            let steps = steps.unwrap_or(1).max(1);
            vec![figure("Loss", &loss, top, steps), figure("Scores", &scores, 1.0, steps)]
        })
    });
    show_element("curves", drawn.is_some());
    if let Some(drawn) = drawn {
        fill(&by_id("curves"), &drawn);
    }
}

/// A drawing of curves over `steps`, from 0 to `top`.
fn figure(title: &str, curves: &[Named<'_>], top: f64, steps: usize) -> Element {
    let words: Vec<String> =
        curves.iter().filter_map(|(curve, name, _)| curve.in_words(name)).collect();
    let label = match words.is_empty() {
        true => format!("{title}: no value yet."),
        false => format!("{title} by step: {}.", words.join(", ")),
    };
    let across = |step: f64| LEFT + step / steps as f64 * (WIDTH - LEFT - RIGHT);
    let up = |value: f64| HEIGHT - BOTTOM - value.clamp(0.0, top) / top * (HEIGHT - TOP - BOTTOM);
    let mut drawing =
        svg("svg").with("viewBox", VIEW).with("role", "img").with("aria-label", label);
    for part in [0.0, 0.5, 1.0] {
        let y = up(top * part);
        let line = svg("line").class("axis").with("x1", LEFT).with("x2", WIDTH - RIGHT);
        drawing = drawing.child(&line.with("y1", y).with("y2", y));
        drawing = drawing.child(&tick(LEFT - 6.0, y + 4.0, "end", &short(top * part)));
    }
    drawing = drawing.child(&tick(LEFT, HEIGHT - 6.0, "start", "0"));
    drawing = drawing.child(&tick(WIDTH - RIGHT, HEIGHT - 6.0, "end", &format!("step {steps}")));
    for (curve, _, class) in curves {
        let points = curve.thinned(POINTS);
        let place = |(step, value): &(f64, f64)| {
            format!("{},{}", fixed(across(*step), 1), fixed(up(*value), 1))
        };
        let line: Vec<String> = points.iter().map(place).collect();
        drawing = drawing.child(
            &svg("polyline").class(&format!("curve {class}")).with("points", line.join(" ")),
        );
        if let Some((step, value)) = points.last() {
            let dot = svg("circle").class(&format!("dot {class}")).with("r", 3);
            drawing = drawing.child(&dot.with("cx", across(*step)).with("cy", up(*value)));
        }
    }
    let mut legend = element("figcaption").class("key");
    for (curve, name, class) in curves {
        let Some((_, last)) = curve.ends() else { continue };
        let entry = element("span").class(&format!("line {class}"));
        legend = legend.child(&entry.text(&format!("{name} {}", fixed(last, 3))));
    }
    element("figure").child(&drawing).child(&legend)
}

fn tick(x: f64, y: f64, anchor: &str, words: &str) -> Element {
    svg("text").class("tick").with("x", x).with("y", y).with("text-anchor", anchor).text(words)
}

/// `0.05` or `2.5`, without zeros at the end.
fn short(value: f64) -> String {
    shortest((value * 1e4 + 0.5).floor() / 1e4)
}
