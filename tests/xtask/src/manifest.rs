//! `models/manifest.json`: the bundles that lie beside the page, with size and SHA-256 of every file.
//!
//! A folder whose name holds `teacher` is one; every other bundle is a student. The largest teacher and
//! the best student stand first, and the page loads what stands first.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::report;
use crate::run::Failure;

/// Files of a bundle that a browser needs.
const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// Writes the manifest of all bundles in a folder.
///
/// # Errors
///
/// A folder that cannot be read, or a bundle without a report that says how many parameters it has.
pub fn write(folder: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| failure(folder, &error))?;
    let mut models = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failure(folder, &error))?.path();
        if FILES.iter().all(|name| path.join(name).is_file()) {
            models.push(model(&path)?);
        }
    }
    if models.is_empty() {
        return Err(Failure(format!(
            "{}: no bundle; expected folders that `understudy export` wrote",
            folder.display()
        )));
    }
    models.sort_by_key(order);
    for model in &models {
        println!("{} {}", model["role"].as_str().unwrap_or(""), model["folder"]);
    }
    let manifest = json!({ "format": 1, "models": models });
    let text = format!("{manifest:#}\n");
    let path = folder.join("manifest.json");
    fs::write(&path, text).map_err(|error| failure(&path, &error))
}

/// Real models before toys; the better before the worse; then the larger.
fn order(model: &Value) -> impl Ord + use<> {
    let parameters = model["parameters"].as_u64().unwrap_or(0);
    let f1 = (model["f1"].as_f64().unwrap_or(0.0) * 1e6) as i64;
    let name = model["folder"].as_str().unwrap_or("").to_owned();
    (parameters < 1_000_000, -f1, std::cmp::Reverse(parameters), name)
}

fn model(path: &Path) -> Result<Value, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let report_path = path.join("report.json");
    let report = fs::read(&report_path).map_err(|error| failure(&report_path, &error))?;
    let report: Value = serde_json::from_slice(&report)
        .map_err(|error| Failure(format!("{}: {error}", report_path.display())))?;
    let parameters = ["/parameters", "/model/parameters"].iter().find_map(|at| report.pointer(at));
    let parameters = parameters.and_then(Value::as_u64).ok_or_else(|| {
        let expected = "expected a report of `understudy export`, with `parameters`";
        Failure(format!("{}: {expected}", report_path.display()))
    })?;
    let role = if name.contains("teacher") { "teacher" } else { "student" };
    let files: Result<Vec<Value>, Failure> = FILES.iter().map(|file| entry(path, file)).collect();
    Ok(json!({
        "folder": name,
        "role": role,
        "parameters": parameters,
        "dtype": report["dtype"].as_str().unwrap_or("f32"),
        "f1": report::f1(&report),
        "files": files?,
    }))
}

fn entry(folder: &Path, name: &str) -> Result<Value, Failure> {
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(|error| failure(&path, &error))?;
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(json!({ "name": name, "size": bytes.len(), "sha256": hash }))
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure(format!("{}: {error}", path.display()))
}
