//! A small line chart in SVG: series, axes, ticks, one mark.
//!
//! The drawing scales with its column, and [`STYLE`] enlarges the text on
//! narrow screens, for which the margins are made.

mod axis;

use std::fmt::Write;

pub use axis::thousands;
use axis::{
    BOTTOM, HEIGHT, LEFT, Scale, TOP, WIDTH, downsample, finite, nice_step, tick_label, ticks,
};

const LABEL_GAP: f64 = 30.0;
const MAX_POINTS: usize = 1000;

/// Style sheet of the charts; needs the custom properties `--text`, `--grid`, `--line-one` and
/// `--line-two`.
pub const STYLE: &str = "
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--text);font-size:14px;font-variant-numeric:tabular-nums}
svg path,svg circle{vector-effect:non-scaling-stroke;fill:none;stroke-linejoin:round}
svg .grid{stroke:var(--grid);stroke-width:1px}
svg .one{stroke:var(--line-one);stroke-width:2px}
svg .two{stroke:var(--line-two);stroke-width:2px;stroke-dasharray:6 4}
svg .faint{stroke:var(--line-one);stroke-width:1px;opacity:.35}
svg circle.one,svg circle.two{fill:var(--page);stroke-dasharray:none}
svg text.one{fill:var(--line-one)}svg text.two{fill:var(--line-two)}
svg text.one,svg text.two{stroke:none;font-weight:600}
svg .mark{stroke:var(--text);stroke-width:2px}
@media(max-width:560px){svg text{font-size:25px}}
";

/// How a line is drawn; the dashes and dots tell lines apart without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// Thin and pale, for noisy values behind their average; has no label.
    Faint,
    /// Solid, first colour.
    Solid,
    /// Solid with a dot at each point, first colour.
    Dotted,
    /// Dashed with a dot at each point, second colour.
    Dashed,
}

/// A line through points `(x, y)` in ascending order of x; points that are not finite are left out.
#[derive(Debug, Clone)]
pub struct Series {
    /// Written at the end of the line; empty for none.
    pub label: String,
    /// How the line looks.
    pub stroke: Stroke,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// A chart; [`Chart::svg`] draws it.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Unique in the document.
    pub id: &'static str,
    /// Name of the drawing for screen readers.
    pub title: String,
    /// What there is to see, in a sentence, for those who do not see it.
    pub description: String,
    /// What x counts.
    pub x_label: String,
    /// What y measures.
    pub y_label: String,
    /// Whether the y axis begins at zero.
    pub from_zero: bool,
    /// Drawn in this order.
    pub series: Vec<Series>,
    /// A point to stand out and its text.
    pub mark: Option<(f64, f64, String)>,
}

/// A chart as a file of its own, light or dark as the viewer is. Colours are written out, for viewers
/// other than browsers know no custom properties.
pub fn standalone(chart: &Chart) -> String {
    let with = |colours: [&str; 5]| {
        let names = ["--text", "--grid", "--line-one", "--line-two", "--page"];
        let style = names.iter().zip(colours).fold(STYLE.to_owned(), |style, (name, colour)| {
            style.replace(&format!("var({name})"), colour)
        });
        format!("svg{{font-family:system-ui,sans-serif;background:{}}}{style}", colours[4])
    };
    let light = with(["#333", "#ddd", "#1a5fb4", "#a33", "#fff"]);
    let dark = with(["#ddd", "#444", "#7ab7ff", "#ff9d8a", "#16181d"]);
    let style = format!("<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>");
    let svg = chart.svg().replacen("<svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"", 1);
    svg.replacen('>', &format!(">{style}"), 1)
}

impl Chart {
    /// The `<svg>` element.
    pub fn svg(&self) -> String {
        let scale = Scale::new(self);
        let id = self.id;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title\" \
             aria-describedby=\"{id}-desc\"><title id=\"{id}-title\">{}</title>\
             <desc id=\"{id}-desc\">{}</desc>\n",
            escape(&self.title),
            escape(&self.description)
        );
        self.draw_axes(&scale, &mut svg);
        for series in &self.series {
            draw_series(series, &scale, &mut svg);
        }
        self.draw_labels(&scale, &mut svg);
        self.draw_mark(&scale, &mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axes(&self, scale: &Scale, svg: &mut String) {
        let right = scale.right;
        let mut path = String::new();
        for value in ticks(scale.y_min, scale.y_max, scale.y_step) {
            let y = scale.y(value);
            write!(path, "M{LEFT} {y:.1}H{right}").ok();
            let text = tick_label(value, scale.y_step);
            text_at(svg, LEFT - 10.0, y, "end", ".35em", "", &text);
        }
        let x_step = nice_step(scale.x_max, 5).max(1.0);
        for value in ticks(0.0, scale.x_max, x_step) {
            let x = scale.x(value);
            write!(path, "M{x:.1} {BOTTOM}v6").ok();
            text_at(svg, x, BOTTOM + 10.0, "middle", "1em", "", &tick_label(value, x_step));
        }
        writeln!(svg, "<path class=\"grid\" d=\"{path}\"/>").ok();
        let middle = (LEFT + right) / 2.0;
        text_at(svg, middle, BOTTOM + 14.0, "middle", "2.2em", "", &self.x_label);
        text_at(svg, 8.0, TOP - 26.0, "start", "0", "", &self.y_label);
    }

    /// Labels right of the line ends, pushed apart where lines end close together.
    fn draw_labels(&self, scale: &Scale, svg: &mut String) {
        let mut labels = Vec::new();
        for series in self.series.iter().filter(|series| !series.label.is_empty()) {
            if let Some(last) = series.points.iter().rfind(finite) {
                labels.push((scale.y(last.1), series));
            }
        }
        labels.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut below = BOTTOM;
        for (y, _) in labels.iter_mut().rev() {
            *y = y.min(below);
            below = *y - LABEL_GAP;
        }
        for (y, series) in labels {
            text_at(svg, scale.right + 10.0, y, "start", ".35em", class(series), &series.label);
        }
    }

    fn draw_mark(&self, scale: &Scale, svg: &mut String) {
        let Some((x, y, text)) = &self.mark else {
            return;
        };
        let (x, y) = (scale.x(*x), scale.y(*y));
        let anchor = match (x - LEFT) / (scale.right - LEFT) {
            share if share < 0.3 => "start",
            share if share > 0.7 => "end",
            _ => "middle",
        };
        writeln!(svg, "<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"/>").ok();
        text_at(svg, x, y - 16.0, anchor, "0", "", text);
    }
}

fn draw_series(series: &Series, scale: &Scale, svg: &mut String) {
    let points: Vec<_> = series.points.iter().copied().filter(|point| finite(&point)).collect();
    let points = downsample(&points, MAX_POINTS);
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        write!(path, "{command}{:.1} {:.1}", scale.x(*x), scale.y(*y)).ok();
    }
    let class = class(series);
    writeln!(svg, "<path class=\"{class}\" d=\"{path}\"/>").ok();
    // More dots than this run into each other.
    if matches!(series.stroke, Stroke::Dotted | Stroke::Dashed) && points.len() <= 60 {
        for (x, y) in &points {
            let (x, y) = (scale.x(*x), scale.y(*y));
            writeln!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>").ok();
        }
    }
}

fn class(series: &Series) -> &'static str {
    match series.stroke {
        Stroke::Faint => "faint",
        Stroke::Solid | Stroke::Dotted => "one",
        Stroke::Dashed => "two",
    }
}

fn text_at(svg: &mut String, x: f64, y: f64, anchor: &str, dy: &str, class: &str, text: &str) {
    let text = escape(text);
    writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" dy=\"{dy}\" \
         text-anchor=\"{anchor}\">{text}</text>"
    )
    .ok();
}

/// Text as HTML and SVG content or attribute value.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            id: "loss",
            title: "a < b".to_owned(),
            description: String::new(),
            x_label: "step".to_owned(),
            y_label: "loss".to_owned(),
            from_zero: true,
            series: vec![Series { label: String::new(), stroke: Stroke::Solid, points }],
            mark: None,
        }
    }

    #[test]
    fn outside_text_is_escaped() {
        let svg = chart(vec![(1.0, 2.0)]).svg();
        assert!(svg.contains("a &lt; b</title>") && !svg.contains("a < b"));
    }

    #[test]
    fn nothing_flat_or_infinite_breaks_the_drawing() {
        for points in
            [vec![], vec![(1.0, 0.0), (2.0, 0.0)], vec![(1.0, f64::NAN), (2.0, f64::INFINITY)]]
        {
            let svg = chart(points).svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
