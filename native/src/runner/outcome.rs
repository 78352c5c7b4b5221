//! What a run says at its end.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use understudy_shared::train::evaluate::SplitScores;

use super::BEST;
use crate::command::{print, scores_json, scores_table};
use crate::progress::duration;
use crate::report::{AGREEMENT, ModelSummary, Report};

/// A finished run.
pub struct Outcome {
    pub(super) report: Report,
    /// By split.
    pub(super) scores: Vec<(&'static str, SplitScores)>,
    pub(super) folder: PathBuf,
    pub(super) json: bool,
}

impl Outcome {
    /// Prints scores and places; `page` is where the model lies for the page, if it does.
    ///
    /// # Errors
    ///
    /// When nobody reads what is printed.
    pub fn announce(&self, page: Option<&Path>) -> Result<()> {
        let Report { wall_seconds, model: ModelSummary { parameters, .. }, .. } = &self.report;
        let (bundle, report) = (self.folder.join(BEST), self.folder.join("report.html"));
        if self.json {
            let mut object = json!({
                "parameters": parameters,
                "wall_seconds": wall_seconds,
                "bundle": bundle.display().to_string(),
                "report": report.display().to_string(),
            });
            for (split, scores) in &self.scores {
                object[*split] = scores_json(scores);
            }
            if let Some(comparison) = &self.report.comparison {
                object["comparison"] = json!(comparison);
            }
            if let Some(page) = page {
                object["page"] = json!(page.display().to_string());
            }
            return print(&serde_json::to_string(&object)?);
        }
        for (split, scores) in &self.scores {
            let title = if *split == AGREEMENT { "agreement with the teacher" } else { split };
            print(&format!("{title}\n{}\n", scores_table(scores)))?;
        }
        if let Some(comparison) = &self.report.comparison {
            print(&format!("{}\n", comparison.to_table()))?;
        }
        print(&format!(
            "{parameters} parameters, trained in {}\nbundle  {}\nreport  {}",
            duration(*wall_seconds),
            bundle.display(),
            report.display()
        ))?;
        match page {
            Some(page) => print(&format!(
                "page    {}, in eight bits: `trunk serve` shows it beside the others",
                page.display()
            )),
            None => Ok(()),
        }
    }
}
