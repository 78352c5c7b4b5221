//! Which files of a data set hold which split: by their names, in a folder or in a repository.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use super::PAGE;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// Learned from.
    Train,
    /// The best weights are chosen by it.
    Valid,
    /// Scored once at the end.
    Test,
}

/// Endings of files of text, in the order they are looked for.
const TEXT: [&str; 3] = ["txt", "conll", "jsonl"];
/// The ending of Parquet files.
pub const PARQUET: &str = ".parquet";

impl Split {
    /// What its files are called, the usual name first.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Split::Train => &["train"],
            Split::Valid => &["valid", "dev", "validation"],
            Split::Test => &["test"],
        }
    }

    /// The split that a file is of, by its name.
    pub fn of(path: &str) -> Option<Self> {
        let file = path.rsplit('/').next().unwrap_or(path);
        let (stem, end) = file.rsplit_once('.')?;
        let is_text = |split: &Self| TEXT.contains(&end) && split.names().contains(&stem);
        [Self::Train, Self::Valid, Self::Test]
            .into_iter()
            .find(|split| is_text(split) || split.folder_of(path).is_some())
    }

    /// The files of this split among `names`: one of text, or one or more of Parquet in order; none
    /// where there is no such split.
    ///
    /// # Errors
    ///
    /// Parquet files in several folders, which are several data sets; parts of which some are missing.
    pub fn files(self, names: &[String]) -> Result<Vec<String>> {
        let text = self.names().iter().flat_map(|name| TEXT.map(|end| format!("{name}.{end}")));
        if let Some(name) = text.into_iter().find(|name| names.contains(name)) {
            return Ok(vec![name]);
        }
        let mut files = Vec::new();
        let mut folders = BTreeSet::new();
        for name in names {
            if let Some(folder) = self.folder_of(name) {
                folders.insert(folder);
                files.push(name.clone());
            }
        }
        if folders.len() > 1 {
            let folders: Vec<String> = folders.into_iter().collect();
            bail!(
                "{} files of several data sets: {}; expected those of one: name its folder",
                self.names()[0],
                folders.join(", ")
            );
        }
        files.sort();
        Self::check_whole(&files)?;
        Ok(files)
    }

    /// That of parts which say how many there are (`train-00000-of-00002.parquet`) none is missing.
    fn check_whole(files: &[String]) -> Result<()> {
        let mut sets = BTreeMap::<(&str, usize), usize>::new();
        for set in files.iter().filter_map(|name| set_of(name)) {
            *sets.entry(set).or_default() += 1;
        }
        if let Some(((set, wanted), found)) =
            sets.iter().find(|((_, wanted), found)| wanted > found)
        {
            bail!(
                "{found} of the {wanted} parts of {set}; expected all of them (from the hub: understudy fetch \
                 ID)"
            );
        }
        Ok(())
    }

    /// The folder of the data set that this Parquet file holds a part of this split of: `data` for
    /// `data/train-00000-of-00001.parquet`, `conll2003` for `conll2003/train/0000.parquet`.
    fn folder_of(self, path: &str) -> Option<String> {
        let path = path.strip_suffix(PARQUET)?;
        let (folder, stem) = path.rsplit_once('/').unwrap_or(("", path));
        let starts = |name: &&&str| {
            let rest = stem.strip_prefix(**name);
            rest.is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
        };
        if self.names().iter().find(starts).is_some() {
            return Some(folder.to_owned());
        }
        let (above, last) = folder.rsplit_once('/').unwrap_or(("", folder));
        self.names().contains(&last).then(|| above.to_owned())
    }
}

/// What a Parquet file is a part of, and of how many: `data/train` and 2 for
/// `data/train-00000-of-00002.parquet`, also with a hash behind, as older versions of `datasets` wrote.
fn set_of(name: &str) -> Option<(&str, usize)> {
    let (front, behind) = name.strip_suffix(PARQUET)?.rsplit_once("-of-")?;
    let digits = behind.find(|char: char| !char.is_ascii_digit()).unwrap_or(behind.len());
    let (set, _) = front.rsplit_once('-')?;
    Some((set, behind[..digits].parse().ok()?))
}

/// The files of a data set among all names of its repository: all splits, and the page that may name
/// the labels.
///
/// # Errors
///
/// A repository without a file of any split, or with those of several data sets.
pub fn files_of(names: &[String]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for split in [Split::Train, Split::Valid, Split::Test] {
        files.extend(split.files(names)?);
    }
    ensure!(
        !files.is_empty(),
        "no train, valid or test file among {} files; expected .parquet, .txt, .conll or .jsonl. A data \
         set that is a script has its files as Parquet in the revision @refs/convert/parquet",
        names.len()
    );
    if files.iter().any(|name| name.ends_with(PARQUET)) && names.iter().any(|name| name == PAGE) {
        files.push(PAGE.to_owned());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    fn check(split: Split, all: &str, expected: &str) {
        assert_eq!(split.files(&names(all)).expect(all), names(expected), "{all}");
    }

    #[test]
    fn splits_are_found_by_name() {
        let hub = "README.md data/test-00000-of-00001.parquet data/train-00001-of-00002.parquet \
                   data/train-00000-of-00002.parquet data/validation-00000-of-00001.parquet";
        let train = "data/train-00000-of-00002.parquet data/train-00001-of-00002.parquet";
        check(Split::Train, hub, train);
        check(Split::Valid, hub, "data/validation-00000-of-00001.parquet");
        check(Split::Test, hub, "data/test-00000-of-00001.parquet");
        let converted = "conll2003/train/0000.parquet conll2003/test/0000.parquet";
        check(Split::Train, converted, "conll2003/train/0000.parquet");
        check(Split::Valid, converted, "");
        check(Split::Train, "train.jsonl train.parquet train.conll", "train.conll");
        check(
            Split::Train,
            "training.parquet trainer/a.parquet train_1.parquet",
            "train_1.parquet",
        );
    }

    #[test]
    fn a_file_tells_its_split() {
        for (path, split) in [
            ("train.txt", Some(Split::Train)),
            ("data/dev.jsonl", Some(Split::Valid)),
            ("conll2003/test/0000.parquet", Some(Split::Test)),
            ("training.txt", None),
            ("wiki.txt", None),
            ("train", None),
        ] {
            assert_eq!(Split::of(path), split, "{path}");
        }
    }

    #[test]
    fn files_of_several_data_sets_are_told() {
        let error = Split::Train.files(&names("de/train.parquet en/train.parquet"));
        let error = error.expect_err("two data sets").to_string();
        assert!(error.contains("several data sets: de, en; expected those of one"), "{error}");
    }

    #[test]
    fn a_missing_part_is_told() {
        for name in ["data/test-00001-of-00002.parquet", "data/test-00001-of-00002-0a1b.parquet"] {
            let error = Split::Test.files(&names(name)).expect_err("half a split").to_string();
            assert!(error.contains("1 of the 2 parts of data/test; expected all"), "{error}");
        }
        let years = "train_2020-00000-of-00001.parquet train_2021-00000-of-00001.parquet";
        check(Split::Train, years, years);
    }

    #[test]
    fn a_repository_gives_its_splits_and_its_page() -> Result<()> {
        let all = names("README.md conll.py data/train.parquet data/test.parquet");
        assert_eq!(files_of(&all)?, names("data/train.parquet data/test.parquet README.md"));
        let script = files_of(&names("README.md conll.py")).expect_err("no data").to_string();
        assert!(script.contains("@refs/convert/parquet"), "{script}");
        Ok(())
    }
}
