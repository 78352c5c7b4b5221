//! The charts of a report.

use std::fmt::Write;

use super::Report;
use super::page::score;
use crate::chart::{Chart, Series, Stroke, escape};

pub(super) fn loss_chart(report: &Report) -> Chart {
    let raw: Vec<_> = report.curve.iter().map(|point| (point.step as f64, point.loss)).collect();
    let smooth = smoothed(&raw);
    let dev: Vec<_> =
        report.evaluations.iter().map(|point| (point.step as f64, point.loss)).collect();
    let description = loss_description(&smooth, &dev, report);
    let label = if dev.is_empty() { "" } else { "training" };
    let mut series = vec![
        Series { label: String::new(), stroke: Stroke::Faint, points: raw },
        Series { label: label.to_owned(), stroke: Stroke::Solid, points: smooth },
    ];
    let has_dev = !dev.is_empty();
    if has_dev {
        series.push(Series {
            label: report.dev_short().to_owned(),
            stroke: Stroke::Dashed,
            points: dev,
        });
    }
    // Two quantities: what is minimised, and what tells how good the labels are.
    let mut y_label = format!("training: {}", report.loss_name());
    if has_dev {
        write!(y_label, " · {}: cross entropy", report.dev_short()).ok();
    }
    chart("loss", "Loss by step", description, &y_label, true, series)
}

fn loss_description(smooth: &[(f64, f64)], dev: &[(f64, f64)], report: &Report) -> String {
    let mut description = format!("The {} of training", report.loss_name());
    if let (Some(first), Some(last)) = (smooth.first(), smooth.last()) {
        let (from, to) = (first.1, last.1);
        write!(description, " goes from {from:.4} to {to:.4} in {} steps", last.0).ok();
    }
    if let Some(last) = dev.last() {
        let dev = report.dev_name();
        write!(description, "; the cross entropy on {dev} ends at {:.4}", last.1).ok();
    }
    description + "."
}

pub(super) fn f1_chart(report: &Report) -> Chart {
    let evaluations = &report.evaluations;
    let points = evaluations.iter().map(|point| (point.step as f64, point.f1)).collect();
    let series = Series { label: String::new(), stroke: Stroke::Dotted, points };
    let best = evaluations.iter().find(|point| point.best);
    let dev = report.dev_name();
    let description = best.map_or(format!("F1 on {dev}."), |best| {
        format!("F1 on {dev}; the best is {} after epoch {}.", score(best.f1), best.epoch())
    });
    let mark = best.map(|best| {
        let text = format!("best {}, epoch {}", score(best.f1), best.epoch());
        (best.step as f64, best.f1, text)
    });
    let chart = chart(
        "f1",
        &format!("{} by step", report.f1_name()),
        description,
        "F1",
        false,
        vec![series],
    );
    Chart { mark, ..chart }
}

pub(super) fn learning_rate_chart(report: &Report) -> Chart {
    let points: Vec<_> =
        report.curve.iter().map(|point| (point.step as f64, point.learning_rate)).collect();
    let peak = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let series = Series { label: String::new(), stroke: Stroke::Solid, points };
    let description = format!("The learning rate peaks at {peak:.2e}.");
    chart("rate", "Learning rate by step", description, "learning rate", true, vec![series])
}

fn chart(
    id: &'static str,
    title: &str,
    description: String,
    y_label: &str,
    from_zero: bool,
    series: Vec<Series>,
) -> Chart {
    let (title, x_label, y_label) = (title.to_owned(), "step".to_owned(), y_label.to_owned());
    Chart { id, title, description, x_label, y_label, from_zero, series, mark: None }
}

pub(super) fn figure(page: &mut String, chart: &Chart, caption: &str) {
    let svg = chart.svg();
    writeln!(page, "<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption)).ok();
}

/// Exponential moving average over about a fortieth of the run, without bias at its start.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 80.0).clamp(1.0, 100.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = points.iter().filter(|point| point.1.is_finite());
    finite
        .filter_map(|(x, y)| {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
            // The average of the first few is as noisy as they are.
            (weight > 0.2).then_some((*x, sum / weight))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_is_not_pulled_to_zero_at_the_start() {
        let points: Vec<_> = (0..1000).map(|step| (f64::from(step), 3.0)).collect();
        assert!(smoothed(&points).iter().all(|point| (point.1 - 3.0).abs() < 1e-9));
    }
}
