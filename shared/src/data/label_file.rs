//! A file with the names of a model's labels, for one whose configuration has none or others.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::error::LabelError;
use super::label::LabelSet;

/// What can be wrong with a label file.
#[derive(Debug, Error)]
pub enum LabelFileError {
    /// Neither form.
    #[error(
        "{0}; expected one label a line in the order of their ids, or JSON: [\"O\", \"B-PER\", …] or \
         {{\"0\": \"O\", \"1\": \"B-PER\", …}}"
    )]
    Form(String),
    /// The names are no label set.
    #[error(transparent)]
    Labels(#[from] LabelError),
}

/// JSON: names in order, or each with its id, which may stand behind `LABEL_`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Json {
    List(Vec<String>),
    Ids(BTreeMap<String, String>),
}

/// Reads the label set of a model: the line's number, from 0, is the label's id; blank lines do not
/// count. Or JSON, as a list or as the `id2label` of a `config.json`.
///
/// # Errors
///
/// Another form, ids with gaps, or names that are not BIO.
pub fn read_labels(bytes: &[u8]) -> Result<LabelSet, LabelFileError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| LabelFileError::Form("not valid UTF-8".to_owned()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let names = match text.starts_with(['[', '{']) {
        false => {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        }
        true => match serde_json::from_str(text) {
            Ok(Json::List(names)) => names,
            Ok(Json::Ids(entries)) => in_order(entries)?,
            Err(error) => return Err(LabelFileError::Form(error.to_string())),
        },
    };
    Ok(LabelSet::new(names)?)
}

fn in_order(entries: BTreeMap<String, String>) -> Result<Vec<String>, LabelFileError> {
    let len = entries.len();
    let mut names = vec![None; len];
    for (key, name) in entries {
        let id: Option<usize> = key.strip_prefix("LABEL_").unwrap_or(&key).parse().ok();
        match id.and_then(|id| names.get_mut(id)) {
            Some(place) => *place = Some(name),
            None => {
                let reason = format!("`{key}` is no id of {len} labels");
                return Err(LabelFileError::Form(reason));
            }
        }
    }
    let all: Option<Vec<String>> = names.into_iter().collect();
    all.ok_or_else(|| LabelFileError::Form("an id is there twice".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_both_forms_of_json_are_read() {
        for text in [
            "O\nB-A\nI-A\n",
            "\u{feff} O\r\n\r\nB-A \r\nI-A",
            r#"["O", "B-A", "I-A"]"#,
            r#"{"2": "I-A", "0": "O", "1": "B-A"}"#,
            r#"{"LABEL_0": "O", "LABEL_1": "B-A", "LABEL_2": "I-A"}"#,
        ] {
            let labels = read_labels(text.as_bytes()).expect(text);
            assert_eq!(labels.names(), ["O", "B-A", "I-A"], "{text}");
        }
    }

    #[test]
    fn other_files_are_told() {
        let check = |text: &[u8], expected: &str| {
            let message = read_labels(text).expect_err(expected).to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(b"\xff", "not valid UTF-8; expected one label a line");
        check(b"{\"0\": 1}", "expected one label a line");
        check(b"{\"0\": \"O\", \"2\": \"B-A\"}", "`2` is no id of 2 labels");
        check(b"{\"0\": \"O\", \"LABEL_0\": \"B-A\"}", "an id is there twice");
        check(b"O\nPER\n", "unknown tag \"PER\"");
        check(b"", "the label set is empty");
        check(b"\rO", "no label but `O`");
    }
}
