//! What is typed for a model or a data set of the hub: `name` or `owner/name`, with `@revision`.

use std::fmt;

use hf_hub::{Repo, RepoType};
use serde::{Deserialize, Serialize};

/// The branch that is meant where none is named.
const MAIN: &str = "main";

/// Models and data sets have names of their own: the same id may be one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Dataset => "data set",
        }
    }

    /// The first part of an address of the hub's interface.
    pub fn api(self) -> &'static str {
        match self {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        }
    }

    /// What stands before the id in the address of a file.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Model => "",
            Kind::Dataset => "datasets/",
        }
    }
}

/// A repository of the hub at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    /// `bert-base-cased` or `dslim/bert-base-NER`.
    pub repo: String,
    /// A branch, a tag, `refs/pr/1`, or a commit.
    pub revision: String,
}

impl HubId {
    /// Reads an id; `None` for a text that can be none, such as a path.
    pub fn parse(text: &str) -> Option<Self> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let is_id = repo.split('/').count() <= 2 && repo.split('/').all(is_name);
        let is_revision = revision.split('/').all(is_name);
        (is_id && is_revision)
            .then(|| Self { repo: repo.to_owned(), revision: revision.to_owned() })
    }

    /// The crate's description of it, which knows the names of its folders.
    pub fn repo(&self, kind: Kind) -> Repo {
        let kind = match kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.repo.clone(), kind, self.revision.clone())
    }

    /// As a part of an address: a revision may hold slashes.
    pub fn url_revision(&self) -> String {
        self.revision.replace('/', "%2F")
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision.as_str() {
            MAIN => write!(formatter, "{}", self.repo),
            revision => write!(formatter, "{}@{revision}", self.repo),
        }
    }
}

/// One part of an id: what the hub allows, and no path to elsewhere.
fn is_name(part: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    !part.is_empty()
        && part.len() <= 96
        && part.chars().all(is_plain)
        && !part.starts_with(['.', '-'])
        && !part.contains("..")
}

/// Forty hexadecimal digits, as git names a commit.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_and_without_owner_and_revision_are_read() {
        for (text, repo, revision) in [
            ("bert-base-cased", "bert-base-cased", "main"),
            ("dslim/bert-base-NER", "dslim/bert-base-NER", "main"),
            ("dslim/bert-base-NER@v1.0", "dslim/bert-base-NER", "v1.0"),
            ("a/b@refs/pr/4", "a/b", "refs/pr/4"),
        ] {
            let id = HubId::parse(text).expect(text);
            assert_eq!((id.repo.as_str(), id.revision.as_str()), (repo, revision));
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn paths_are_no_ids() {
        for text in [
            "", "/", "/a", "a/", "a/b/c", "./a", "../a", "a/..", "a b", "a@", "a@b c", "a@../b",
            "a\\b",
        ] {
            assert_eq!(HubId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_commit_has_forty_digits() {
        assert!(is_commit(&"0a".repeat(20)));
        assert!(!is_commit(&"0A".repeat(20)) && !is_commit("main"));
    }
}
