//! `models`: lists the bundles beside the page, and writes the list that the page reads.

use anyhow::{Context, Result};
use serde_json::json;

use super::print;
use crate::cli::ModelsArgs;
use crate::progress::print_line;
use crate::shipped::{self, Manifest, Role};

/// Lists.
pub fn run(args: &ModelsArgs) -> Result<()> {
    let folder = args.folder.clone().or_else(shipped::folder).context(
        "no models/manifest.json in this folder or above it; expected the folder with the bundles",
    )?;
    let (manifest, left_out) = Manifest::write(&folder)?;
    left_out.iter().for_each(|reason| print_line(&format!("left out: {reason}")));
    if args.common.json {
        return print(&json!(manifest).to_string());
    }
    print(&format!(
        "{:<24}{:<10}{:>14}{:>8}{:>10}{:>9}",
        "", "", "parameters", "type", "MB", "F1"
    ))?;
    for model in &manifest.models {
        let role = if model.role == Role::Teacher { "teacher" } else { "student" };
        let f1 = model.f1.map_or("–".to_owned(), |f1| format!("{f1:.4}"));
        print(&format!(
            "{:<24}{role:<10}{:>14}{:>8}{:>10.1}{f1:>9}",
            model.folder,
            model.parameters,
            model.dtype,
            model.size_bytes() as f64 / 1e6
        ))?;
    }
    Ok(())
}
