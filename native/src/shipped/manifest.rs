//! `models/manifest.json`: the bundles that lie in a folder, with size and SHA-256 of every file.
//!
//! Whether a bundle is a teacher or a student its name says, or else its report. The best stand first.

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
    /// Micro F1 over words of its report: on the file that `export --data` scored, else on the test split of
    /// the run it is from.
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
        let expected =
            "expected a list of models, as `understudy models DIR` writes it where there is none";
        let manifest: Self = serde_json::from_slice(bytes).context(expected)?;
        ensure!(manifest.format == FORMAT, "format {}; {expected}", manifest.format);
        for model in &manifest.models {
            for name in model.files.iter().map(|file| &file.name).chain([&model.folder]) {
                ensure!(is_plain(name), "`{name}`; {expected}");
            }
        }
        Ok(manifest)
    }

    /// Lists all bundles in a folder.
    ///
    /// # Errors
    ///
    /// A folder or a file that cannot be read.
    pub fn of_folder(folder: &Path) -> Result<(Self, Vec<String>)> {
        let entries = fs::read_dir(folder);
        let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
        let (mut models, mut left_out) = (Vec::new(), Vec::new());
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // Hidden ones are on their way to their names, or were left by a process that was killed.
            if name.starts_with('.') || !FILES.iter().all(|name| path.join(name).is_file()) {
                continue;
            }
            if !is_plain(&name) {
                left_out
                    .push(format!("{name}: expected a name of letters, digits, `.`, `_` and `-`"));
                continue;
            }
            match Model::of_folder(&path, name)? {
                Ok(model) => models.push(model),
                Err(reason) => left_out.push(reason),
            }
        }
        models.sort_by_key(Model::order);
        Ok((Self { format: FORMAT, models }, left_out))
    }

    /// Lists all bundles in a folder and leaves the list there; and what was left out of it, and why.
    ///
    /// # Errors
    ///
    /// A folder that cannot be read, a list that cannot be written, or a file of its name that is none.
    pub fn write(folder: &Path) -> Result<(Self, Vec<String>)> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let path = folder.join(MANIFEST);
        if path.is_file() {
            Self::from_bytes(&store::read(&path)?).with_context(|| path.display().to_string())?;
        }
        let (manifest, left_out) = Self::of_folder(folder)?;
        ensure!(
            path.is_file() || !manifest.models.is_empty(),
            "{}: no bundle; expected folders that `understudy export` wrote",
            folder.display()
        );
        let text = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
        store::write_atomic(&path, text.as_bytes())?;
        Ok((manifest, left_out))
    }
}

impl Model {
    /// A bundle, or why it is none that can be listed.
    fn of_folder(path: &Path, folder: String) -> Result<Result<Self, String>> {
        let report = fs::read(path.join("report.json")).unwrap_or_default();
        let report: Value = serde_json::from_slice(&report).unwrap_or_default();
        let counts = ["/parameters", "/model/parameters"].map(|at| report.pointer(at));
        let Some(parameters) = counts.into_iter().flatten().find_map(Value::as_u64) else {
            let expected = "expected a report.json of `understudy export`, with `parameters`";
            return Ok(Err(format!("{folder}: {expected}")));
        };
        let said = ["/model/description", "/training/model/description"];
        let said = said.into_iter().find_map(|at| report.pointer(at)?.as_str());
        // A teacher may be a student itself, such as one whose token table is cut; its name says more.
        let is_teacher = match (folder.contains("student"), folder.contains("teacher")) {
            (false, false) => said.is_some_and(|said| said.starts_with("teacher:")),
            (is_student, _) => !is_student,
        };
        Ok(Ok(Self {
            folder,
            role: if is_teacher { Role::Teacher } else { Role::Student },
            parameters,
            dtype: report["dtype"].as_str().unwrap_or("f32").to_owned(),
            f1: f1(&report),
            files: FILES.iter().map(|name| ModelFile::of(path, name)).collect::<Result<_>>()?,
        }))
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

/// Whether the page takes it for a name in a folder.
pub fn is_plain(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
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
        let thin = r#"{"model": {"parameters": 44000000, "description": "student: hidden 768"}}"#;
        bundle(models, "a-teacher", thin)?;
        fs::create_dir(models.join("empty"))?;
        // What a killed process left, what the page could not ask for, and what nobody exported.
        bundle(models, ".new.understudy-new", r#"{"parameters": 1}"#)?;
        bundle(models, "my run", r#"{"parameters": 1}"#)?;
        bundle(models, "downloaded", "")?;
        let (written, left_out) = Manifest::write(models)?;
        assert!(left_out.iter().any(|reason| reason.starts_with("my run: expected a name")));
        assert!(left_out.iter().any(|reason| reason.starts_with("downloaded: expected a report")));
        assert_eq!(left_out.len(), 2);
        let names: Vec<&str> = written.models.iter().map(|model| model.folder.as_str()).collect();
        assert_eq!(names, ["small", "good", "a-teacher", "new"]);
        let role = |name: &str| {
            let model = written.models.iter().find(|model| model.folder == name);
            model.map(|model| model.role)
        };
        assert_eq!(role("a-teacher"), Some(Role::Teacher));
        assert_eq!(role("good"), Some(Role::Student));
        assert_eq!((written.models[1].f1, written.models[1].size_bytes()), (Some(0.88), 12));
        assert_eq!(Manifest::from_bytes(&store::read(&models.join(MANIFEST))?)?, written);
        // A file of the same name that is something else is left alone.
        let theirs = r#"{"name": "a page", "icons": []}"#;
        fs::write(models.join(MANIFEST), theirs)?;
        store::tests::check_error(Manifest::write(models), "expected a list of models");
        assert_eq!(fs::read_to_string(models.join(MANIFEST))?, theirs);
        store::tests::check_error(Manifest::write(&models.join("empty")), "no bundle; expected");
        Ok(())
    }

    #[test]
    fn what_is_no_manifest_is_told() {
        let up = r#"{"format": 1, "models": [{"folder": "../up", "role": "student", "parameters": 1,
            "dtype": "f32", "f1": null, "files": []}]}"#;
        for text in ["", "[]", r#"{"format": 2, "models": []}"#, up] {
            store::tests::check_error(Manifest::from_bytes(text.as_bytes()), "expected a list");
        }
    }
}
