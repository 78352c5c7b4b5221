//! `models/manifest.json`: the bundles that lie in a folder, with size and SHA-256 of every file.
//!
//! A folder whose name holds `teacher` is one; every other bundle is a student. The best stand first, and
//! what stands first is taken.

use std::cmp::Reverse;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use understudy_shared::checkpoint::report::f1;

use crate::store;

/// The name of the list.
pub const MANIFEST: &str = "manifest.json";

/// The format that the page reads.
const FORMAT: u32 = 1;
/// Files of a bundle that a browser needs.
const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Learned from.
    Teacher,
    /// Tagged with.
    Student,
}

/// The list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Best first.
    pub models: Vec<Model>,
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name, in the folder of the manifest.
    pub folder: String,
    /// What it is for.
    pub role: Role,
    /// The head's included.
    pub parameters: u64,
    /// Such as `int8`.
    pub dtype: String,
    /// Micro F1 over words on the test split, of its report.
    pub f1: Option<f64>,
    /// Its files.
    pub files: Vec<ModelFile>,
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// In the bundle's folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// What is no list of models of this format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let expected = "expected a list of models; `understudy models` writes it again";
        let manifest: Self = serde_json::from_slice(bytes).context(expected)?;
        ensure!(manifest.format == FORMAT, "format {}; {expected}", manifest.format);
        Ok(manifest)
    }

    /// Lists all bundles in a folder.
    ///
    /// # Errors
    ///
    /// A folder that cannot be read, or a bundle without a report that says how many parameters it has.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let entries = fs::read_dir(folder);
        let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
        let mut models = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if FILES.iter().all(|name| path.join(name).is_file()) {
                models.push(Model::of_folder(&path)?);
            }
        }
        models.sort_by_key(Model::order);
        Ok(Self { format: FORMAT, models })
    }

    /// Lists all bundles in a folder and leaves the list there.
    ///
    /// # Errors
    ///
    /// As [`Manifest::of_folder`], and when it cannot be written.
    pub fn write(folder: &Path) -> Result<Self> {
        let manifest = Self::of_folder(folder)?;
        let text = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
        store::write_atomic(&folder.join(MANIFEST), text.as_bytes())?;
        Ok(manifest)
    }
}

impl Model {
    fn of_folder(path: &Path) -> Result<Self> {
        let folder = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = path.join("report.json");
        let report: Value = serde_json::from_slice(&store::read(&place)?)
            .with_context(|| place.display().to_string())?;
        let counts = ["/parameters", "/model/parameters"].map(|at| report.pointer(at));
        let parameters =
            counts.into_iter().flatten().find_map(Value::as_u64).with_context(|| {
                format!(
                    "{}: expected a report of `understudy export`, with `parameters`",
                    place.display()
                )
            })?;
        let is_teacher = folder.contains("teacher");
        Ok(Self {
            folder,
            role: if is_teacher { Role::Teacher } else { Role::Student },
            parameters,
            dtype: report["dtype"].as_str().unwrap_or("f32").to_owned(),
            f1: f1(&report),
            files: FILES.iter().map(|name| ModelFile::of(path, name)).collect::<Result<_>>()?,
        })
    }

    /// The better before the worse; then the larger.
    fn order(&self) -> impl Ord + use<> {
        let f1 = (self.f1.unwrap_or(0.0) * 1e6) as i64;
        (Reverse(f1), Reverse(self.parameters), self.folder.clone())
    }

    /// Bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl ModelFile {
    fn of(folder: &Path, name: &str) -> Result<Self> {
        let bytes = store::read(&folder.join(name))?;
        let (size, sha256) = (bytes.len() as u64, store::sha256_hex(&bytes));
        Ok(Self { name: name.to_owned(), size, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(models: &Path, name: &str, report: &str) -> Result<()> {
        let folder = models.join(name);
        fs::create_dir(&folder)?;
        for file in FILES {
            fs::write(folder.join(file), name)?;
        }
        Ok(fs::write(folder.join("report.json"), report)?)
    }

    #[test]
    fn the_best_stands_first() -> Result<()> {
        let models = tempfile::tempdir()?;
        let models = models.path();
        bundle(
            models,
            "small",
            r#"{"parameters": 114377, "scores": [{"split": "test",
            "word_default": {"micro": {"f1": 0.89}}}]}"#,
        )?;
        bundle(models, "new", r#"{"parameters": 19000000}"#)?;
        bundle(
            models,
            "good",
            r#"{"dtype": "int8", "parameters": 19000000, "scores":
            {"after": {"word": {"default": {"f1": 0.88}}}}}"#,
        )?;
        bundle(models, "a-teacher", r#"{"model": {"parameters": 44000000}}"#)?;
        fs::create_dir(models.join("empty"))?;
        let written = Manifest::write(models)?;
        let names: Vec<&str> = written.models.iter().map(|model| model.folder.as_str()).collect();
        assert_eq!(names, ["small", "good", "a-teacher", "new"]);
        assert_eq!(written.models[2].role, Role::Teacher);
        assert_eq!((written.models[1].f1, written.models[1].size_bytes()), (Some(0.88), 12));
        assert_eq!(Manifest::from_bytes(&store::read(&models.join(MANIFEST))?)?, written);
        fs::write(models.join("new/report.json"), "{}")?;
        store::tests::check_error(Manifest::of_folder(models), "expected a report");
        Ok(())
    }

    #[test]
    fn what_is_no_manifest_is_told() {
        for text in ["", "[]", r#"{"format": 2, "models": []}"#] {
            store::tests::check_error(Manifest::from_bytes(text.as_bytes()), "expected a list");
        }
    }
}
