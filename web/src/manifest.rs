//! `models/manifest.json`: the bundles that lie beside the page, with the size and hash of every file.
//!
//! `understudy models` writes it.

use serde::{Deserialize, Serialize};

use crate::json::{Json, Wire};
use crate::protocol::Role;

/// The format that this page reads.
pub const FORMAT: u32 = 1;

/// The whole list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Best first.
    pub models: Vec<ModelEntry>,
}

/// One bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Its folder, relative to the manifest.
    pub folder: String,
    /// Teacher or student.
    pub role: Role,
    /// Parameters, the head included.
    pub parameters: usize,
    /// Micro F1 over words, of the bundle's report.
    #[serde(default)]
    pub f1: Option<f64>,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// Text that is no manifest of this format, or a name that would leave its folder.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("models/manifest.json: {what}; expected a list of models");
        let json = Json::parse(text).map_err(|error| wrong(&error))?;
        let manifest = Self::from_json(json).ok_or_else(|| wrong("another form"))?;
        if manifest.format != FORMAT {
            return Err(format!(
                "models/manifest.json: format {}; expected {FORMAT}: write it again with \
                 `understudy models`",
                manifest.format
            ));
        }
        for model in &manifest.models {
            let names = model.files.iter().map(|file| &file.name).chain([&model.folder]);
            if let Some(name) = names.into_iter().find(|name| !is_plain(name)) {
                return Err(format!(
                    "models/manifest.json: `{name}`; expected a plain name without `/` and `..`"
                ));
            }
        }
        Ok(manifest)
    }

    /// The models of a role, best first.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &ModelEntry> {
        self.models.iter().filter(move |model| model.role == role)
    }

    /// The one of a role that is loaded by itself, as the command line takes it: in the folder that is
    /// called as the role, or else the best. Scores on different texts do not say which is better.
    pub fn first(&self, role: Role) -> Option<&ModelEntry> {
        self.of(role).find(|model| model.folder == role.name()).or_else(|| self.of(role).next())
    }
}

impl ModelEntry {
    /// Bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(folder: &str, format: u32) -> String {
        format!(
            r#"{{"format":{format},"models":[{{"folder":"{folder}","role":"student",
            "parameters":19620489,"dtype":"int8","f1":0.75,
            "files":[{{"name":"config.json","size":3,"sha256":"ab"}},
                {{"name":"model.safetensors","size":4,"sha256":"cd"}}]}}]}}"#
        )
    }

    #[test]
    fn models_are_found_by_role() {
        let manifest = Manifest::parse(&text("student-int8", 1)).expect("valid");
        let student = manifest.of(Role::Student).next().expect("one");
        assert_eq!(student.size_bytes(), 7);
        assert_eq!(manifest.of(Role::Teacher).count(), 0);
    }

    #[test]
    fn the_folder_called_as_its_role_comes_before_a_better_score() {
        let mut manifest = Manifest::parse(&text("my-own-student", 1)).expect("valid");
        let first =
            |manifest: &Manifest| manifest.first(Role::Student).map(|model| model.folder.clone());
        assert_eq!(first(&manifest).as_deref(), Some("my-own-student"));
        manifest.models.extend(Manifest::parse(&text("student", 1)).expect("valid").models);
        assert_eq!(first(&manifest).as_deref(), Some("student"));
        assert_eq!(manifest.first(Role::Teacher), None);
    }

    #[test]
    fn another_format_is_refused() {
        let message = Manifest::parse(&text("a", 9)).expect_err("newer");
        assert!(message.contains("format 9; expected 1"), "{message}");
    }

    #[test]
    fn names_stay_in_their_folder() {
        for folder in ["../up", "", "a/b", ".hidden", "https:evil"] {
            assert!(Manifest::parse(&text(folder, 1)).is_err(), "{folder}");
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for text in ["<!doctype html>", "[]", r#"{"format": 1, "models": [{}]}"#] {
            let message = Manifest::parse(text).expect_err("no manifest");
            assert!(message.starts_with("models/manifest.json: "), "{message}");
        }
    }
}
