//! `fetch`: models and data sets of the hub into the cache, ahead of time; or a check of the cache.

use anyhow::{Result, bail};
use serde_json::json;

use super::print;
use crate::cli::FetchArgs;
use crate::dataset;
use crate::hub::{Checked, Hub, size};

/// Fetches, or checks.
pub fn run(args: &FetchArgs) -> Result<()> {
    let hub = Hub::new(&args.common);
    if args.verify {
        return verify(args, &hub);
    }
    for typed in &args.ids {
        let (kind, source) = hub.fetch(typed, dataset::files_of)?;
        let folder = source.folder.display();
        let commit = source.origin.as_ref().map_or("", |origin| origin.commit.as_str());
        print(&match args.common.json {
            true => json!({
                "id": typed, "kind": kind.name(), "commit": commit, "folder": folder.to_string(),
            })
            .to_string(),
            false => format!("{typed}  {} at {commit}\n  {folder}", kind.name()),
        })?;
    }
    Ok(())
}

fn verify(args: &FetchArgs, hub: &Hub) -> Result<()> {
    let mut all = Checked::default();
    let ids: Vec<Option<&str>> = match args.ids.as_slice() {
        [] => vec![None],
        ids => ids.iter().map(|id| Some(id.as_str())).collect(),
    };
    for id in ids {
        let Checked { whole, size_bytes, unknown, damaged } = hub.verify(id)?;
        all.whole += whole;
        all.size_bytes += size_bytes;
        all.unknown += unknown;
        all.damaged.extend(damaged);
    }
    let Checked { whole, size_bytes, unknown, damaged } = all;
    if !damaged.is_empty() {
        bail!(
            "{} of {} files in the cache are damaged:\n  {}\nexpected the hash that a file is named after; \
             `understudy fetch ID` gets those again that it needs, the others can be deleted",
            damaged.len(),
            damaged.len() + whole + unknown,
            damaged.join("\n  ")
        );
    }
    if args.common.json {
        let report = json!({ "whole": whole, "unknown": unknown, "size_bytes": size_bytes });
        return print(&report.to_string());
    }
    let rest = match unknown {
        0 => String::new(),
        _ => format!("; {unknown} more have no hash to check"),
    };
    print(&format!(
        "{whole} files, {}: every one has the hash it is named after{rest}",
        size(size_bytes)
    ))
}
