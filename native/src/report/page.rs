//! The HTML page of a report.

use std::fmt::Write;

use serde_json::Value;

use super::curves::{f1_chart, figure, learning_rate_chart, loss_chart};
use super::{Report, Scores, SplitScores};
use crate::chart::{self, escape, thousands};
use crate::progress::duration;

const STYLE: &str = include_str!("style.css");

/// The report as one HTML page.
pub fn html(report: &Report) -> String {
    let title = escape(&report.model.description);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none';style-src 'unsafe-inline'\">\n\
         <title>Understudy: {title}</title>\n<style>{STYLE}{}</style></head>\n\
         <body><main>\n<h1>{title}</h1>\n<code class=\"command\">{}</code>\n",
        chart::STYLE,
        escape(&report.command)
    );
    headline(report, &mut page);
    curves(report, &mut page);
    for split in &report.scores {
        type_scores(split, &mut page);
    }
    settings(report, &mut page);
    page.push_str("</main></body></html>\n");
    page
}

fn headline(report: &Report, page: &mut String) {
    let best = report.evaluations.iter().find(|point| point.best);
    let facts = [
        ("Parameters", thousands(report.model.parameters)),
        ("Size", format!("{:.1} MB", report.model.size_bytes as f64 / 1e6)),
        ("Training time", duration(report.wall_seconds)),
        ("Device", report.device.clone()),
        ("Seed", report.seed.to_string()),
        ("Steps", thousands(report.curve.last().map_or(0, |point| point.step))),
        ("Best epoch", best.map_or("–".to_owned(), |point| point.epoch())),
    ];
    page.push_str("<dl>");
    for (name, value) in facts {
        write!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value)).ok();
    }
    page.push_str("</dl>\n");
    if !report.scores.is_empty() {
        headline_scores(report, page);
    }
    if let Some(comparison) = &report.comparison {
        let rows =
            comparison.rows().map(|(name, values)| [vec![name.to_owned()], values.into()].concat());
        let columns = ["", "student", "teacher"];
        table(page, "headline", "Beside its teacher, both on the held-out text", &columns, rows);
    }
}

fn headline_scores(report: &Report, page: &mut String) {
    let rows = report.scores.iter().map(|split| {
        let mut row = vec![split.split.clone()];
        row.extend(split.modes().map(|(_, scores)| score(scores.micro.f1)));
        row
    });
    let columns =
        ["split", "word, default", "word, strict", "sub-word, default", "sub-word, strict"];
    table(page, "headline", "Micro F1 over entities", &columns, rows);
    page.push_str(
        "<p class=\"note\">In word modes a word takes the tag of its first sub-word; in sub-word \
         modes every sub-word counts. Default reads spans as seqeval and conlleval do; strict \
         wants an entity to begin with B-.</p>\n",
    );
}

fn curves(report: &Report, page: &mut String) {
    if !report.curve.is_empty() {
        page.push_str("<h2>Loss</h2>\n");
        let loss = report.loss_name();
        let dev = match report.evaluations.is_empty() {
            true => String::new(),
            false => format!(" Dashed: the cross entropy on {}.", report.dev_name()),
        };
        let note = format!("Thin: the {loss} of each step. Thick: the same, smoothed.{dev}");
        figure(page, &loss_chart(report), &note);
    }
    if !report.evaluations.is_empty() {
        evaluations(report, page);
    }
    if !report.curve.is_empty() {
        page.push_str("<h2>Learning rate</h2>\n");
        figure(page, &learning_rate_chart(report), "In force at each step.");
    }
}

fn evaluations(report: &Report, page: &mut String) {
    writeln!(page, "<h2>{}</h2>", report.f1_name()).ok();
    figure(page, &f1_chart(report), "Each dot is an evaluation; the ring is the model kept.");
    let rows = report.evaluations.iter().map(|point| {
        vec![
            thousands(point.step),
            point.epoch(),
            score(point.f1),
            score(point.loss),
            if point.best { "best" } else { "" }.to_owned(),
        ]
    });
    page.push_str("<details><summary>All evaluations</summary>\n");
    let columns = ["step", "epoch", "F1", "cross entropy", "kept"];
    table(page, "", &format!("Evaluations on {}", report.dev_name()), &columns, rows);
    page.push_str("</details>\n");
}

fn type_scores(split: &SplitScores, page: &mut String) {
    let name = &split.split;
    writeln!(page, "<h2>Scores on {} by entity type</h2>", escape(name)).ok();
    let (sentences, words) = (thousands(split.sentences), thousands(split.words));
    writeln!(page, "<p class=\"note\">{sentences} sentences, {words} words.</p>").ok();
    for (index, (mode, scores)) in split.modes().into_iter().enumerate() {
        if index == 1 {
            page.push_str("<details><summary>The three other modes</summary>\n");
        }
        let averages = [("micro", &scores.micro), ("macro", &scores.macro_average)];
        let types = scores.per_type.iter().map(|(name, scores)| (name.as_str(), scores));
        let rows = types.chain(averages).map(|(name, scores)| {
            let Scores { precision, recall, f1, support } = *scores;
            vec![name.to_owned(), score(precision), score(recall), score(f1), thousands(support)]
        });
        let columns = ["type", "precision", "recall", "F1", "support"];
        table(page, "averages", &format!("{name}: {mode}"), &columns, rows);
    }
    page.push_str("</details>\n");
}

fn settings(report: &Report, page: &mut String) {
    page.push_str("<h2>Configuration</h2>\n");
    let mut rows = Vec::new();
    flatten("", &report.config, &mut rows);
    table(page, "plain", "Every setting of the run", &["setting", "value"], rows);
    page.push_str("<h2>Files</h2>\n");
    let rows = report.data.iter().map(|file| {
        let sentences = file.sentences.map_or("–".to_owned(), thousands);
        vec![file.path.clone(), file.sha256.clone(), sentences]
    });
    let columns = ["file", "sha256", "sentences"];
    table(page, "files", "Data and weights that went in", &columns, rows);
}

/// Nested settings as `outer.inner` rows.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let separator = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{separator}{name}"), field, rows);
            }
        }
        Value::String(text) => rows.push(vec![prefix.to_owned(), text.clone()]),
        other => rows.push(vec![prefix.to_owned(), other.to_string()]),
    }
}

/// A table whose first column names the rows.
fn table(
    page: &mut String,
    class: &str,
    caption: &str,
    columns: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) {
    let caption = escape(caption);
    write!(page, "<table class=\"{class}\"><caption>{caption}</caption><thead><tr>").ok();
    for column in columns {
        write!(page, "<th scope=\"col\">{}</th>", escape(column)).ok();
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            if index == 0 {
                write!(page, "<th scope=\"row\">{cell}</th>").ok();
            } else {
                write!(page, "<td>{cell}</td>").ok();
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

/// Four digits tell models apart; a score over nothing is a dash.
pub(super) fn score(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn page_holds_the_scores_and_escapes_outside_text() {
        let page = html(&sample());
        for expected in [
            "19,620,489",
            "Training time</dt><dd>22m 20s",
            "training: soft and hard loss · dev: cross entropy",
            "<td>0.7584</td>",
            "optimizer.betas",
            "best 0.8250, epoch 9",
            "A&amp;B",
            "&lt;b&gt;random&lt;/b&gt;",
            "14,041",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        assert!(!page.contains("<b>") && !page.contains("http://") && !page.contains("<script"));
        assert!(page.len() < 200_000, "{} bytes", page.len());
    }

    #[test]
    fn empty_run_has_a_page() {
        let empty = Report { curve: vec![], evaluations: vec![], scores: vec![], ..sample() };
        let page = html(&empty);
        assert!(page.contains("Configuration") && !page.contains("<svg"));
    }
}
