//! Size against quality: a dot for each model that has both.

use web::number::fixed;
use web::protocol::Role;
use web_sys::Element;

use super::dom::{Build, by_id, element, fill, svg};
use super::numbers::{bytes, duration};
use super::state::{App, read};

const VIEW: &str = "0 0 320 190";
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 34.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 30.0;

struct Dot {
    role: Role,
    name: String,
    size_bytes: u64,
    f1: f64,
    millis: Option<f64>,
}

/// The chart, or why there is none.
pub fn show() {
    let dots = read(dots);
    let area = by_id::<Element>("chart");
    if dots.is_empty() {
        let none = "No model here has a report with scores.";
        return fill(&area, &[element("p").class("quiet").text(none)]);
    }
    let most = dots.iter().map(|dot| dot.size_bytes).max().unwrap_or(1) as f64 * 1.1;
    let across = |size: f64| LEFT + size / most * (WIDTH - LEFT - RIGHT);
    let up = |f1: f64| HEIGHT - BOTTOM - f1 * (HEIGHT - TOP - BOTTOM);
    let words: Vec<String> = dots.iter().map(in_words).collect();
    let label = format!("F1 against size. {}", words.join(" "));
    let mut drawing =
        svg("svg").with("viewBox", VIEW).with("role", "img").with("aria-label", label);
    for f1 in [0.0, 0.5, 1.0] {
        let line = svg("line").class("axis").with("x1", LEFT).with("x2", WIDTH - RIGHT);
        drawing = drawing.child(&line.with("y1", up(f1)).with("y2", up(f1)));
        drawing = drawing.child(&tick(LEFT - 6.0, up(f1) + 4.0, "end", &fixed(f1, 1)));
    }
    drawing = drawing.child(&tick(LEFT, HEIGHT - 12.0, "start", "0"));
    drawing = drawing.child(&tick(WIDTH - RIGHT, HEIGHT - 12.0, "end", &bytes(most as u64)));
    for dot in &dots {
        let (x, y) = (across(dot.size_bytes as f64), up(dot.f1));
        let circle = svg("circle").class(dot.role.name()).with("cx", x).with("cy", y).with("r", 5);
        drawing = drawing.child(&circle);
        // The student's below its dot and the teacher's above, so that near dots stay readable.
        let anchor = if x > WIDTH * 0.6 { "end" } else { "start" };
        let beside = if dot.role == Role::Teacher { -10.0 } else { 18.0 };
        let time = dot.millis.map_or(String::new(), |millis| format!(" · {}", duration(millis)));
        let name = format!("{} {}{time}", dot.role.name(), fixed(dot.f1, 3));
        let label = svg("text").with("x", x).with("y", y + beside).with("text-anchor", anchor);
        drawing = drawing.child(&label.text(&name));
    }
    fill(&area, &[drawing]);
}

fn tick(x: f64, y: f64, anchor: &str, words: &str) -> Element {
    svg("text").class("tick").with("x", x).with("y", y).with("text-anchor", anchor).text(words)
}

fn in_words(dot: &Dot) -> String {
    let f1 = fixed(dot.f1, 3);
    format!("{} ({}): {}, F1 {f1}.", dot.name, dot.role.name(), bytes(dot.size_bytes))
}

/// The models beside the page, and those that were dropped on it.
fn dots(app: &App) -> Vec<Dot> {
    let mut dots = Vec::new();
    for role in Role::BOTH {
        let loaded = app.loaded(role);
        let millis = app.place(role).latencies.percentile(50);
        for entry in app.manifest.of(role) {
            let Some(f1) = entry.f1 else { continue };
            let is_here = loaded.is_some_and(|loaded| loaded.name == entry.folder);
            let millis = millis.filter(|_| is_here);
            let (name, size_bytes) = (entry.folder.clone(), entry.size_bytes());
            dots.push(Dot { role, name, size_bytes, f1, millis });
        }
        if let Some(loaded) = loaded
            && let Some(f1) = loaded.f1
            && !app.manifest.of(role).any(|entry| entry.folder == loaded.name)
        {
            let (name, size_bytes) = (loaded.name.clone(), loaded.size_bytes);
            dots.push(Dot { role, name, size_bytes, f1, millis });
        }
    }
    dots
}
