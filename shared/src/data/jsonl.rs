//! Labelled sentences as JSON, one `{"tokens": [...], "tags": [...]}` a line.

use serde::Deserialize;

use super::conll::{Sentence, to_bio};
use super::error::DataError;
use super::tag::Tag;
use super::text;

/// One line; `Sentence` itself is not read, so that its own format may change.
#[derive(Deserialize)]
struct Row {
    tokens: Vec<String>,
    tags: Vec<String>,
}

/// Reads one sentence a line; blank lines and unknown fields are skipped.
///
/// Takes LF and CRLF, a UTF-8 byte order mark, any entity types, and IOB1 as well as BIO (see
/// [`to_bio`]).
///
/// # Errors
///
/// The [`DataError`] of the first wrong line, or [`DataError::NoSentence`].
pub fn read_jsonl(bytes: &[u8]) -> Result<Vec<Sentence>, DataError> {
    let mut sentences = Vec::new();
    for (line, content) in text::lines(bytes)? {
        if !content.trim().is_empty() {
            sentences.push(sentence(line, content)?);
        }
    }
    if sentences.is_empty() {
        let expected = "lines `{\"tokens\": [\"…\"], \"tags\": [\"…\"]}` in UTF-8";
        return Err(DataError::NoSentence { expected });
    }
    Ok(sentences)
}

fn sentence(line: usize, content: &str) -> Result<Sentence, DataError> {
    let row: Row = serde_json::from_str(content).map_err(|error| json_error(line, &error))?;
    let Row { tokens, mut tags } = row;
    if tokens.len() != tags.len() {
        return Err(DataError::LengthMismatch { line, tokens: tokens.len(), tags: tags.len() });
    }
    if tokens.is_empty() {
        return Err(DataError::NoTokens { line });
    }
    if let Some(index) = tokens.iter().position(|token| token.trim().is_empty()) {
        return Err(DataError::BlankToken { line, index });
    }
    for tag in &tags {
        Tag::parse(tag).map_err(|cause| DataError::UnknownTag { line, cause })?;
    }
    to_bio(&mut tags);
    Ok(Sentence { tokens, tags })
}

/// The parser counts lines within its one line, so its own position is cut off the message.
fn json_error(line: usize, error: &serde_json::Error) -> DataError {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let cause = message.strip_suffix(&position).unwrap_or(&message).to_owned();
    DataError::Json { line, column: error.column(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        read_jsonl(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn one_sentence_a_line() {
        let text = "\u{feff}{\"tokens\": [\"New York\", \"is\"], \"tags\": [\"I-LOC\", \"O\"], \"id\": {}}\r\n\
                    \r\n{\"tags\": [\"B-x\"], \"tokens\": [\"\\u00e9\"]}";
        let sentences = read_jsonl(text.as_bytes()).expect("valid");
        assert_eq!(sentences[0].tokens, ["New York", "is"]);
        assert_eq!(sentences[0].tags, ["B-LOC", "O"]);
        let second = Sentence { tokens: vec!["é".into()], tags: vec!["B-x".into()] };
        assert_eq!(sentences[1..], [second]);
    }

    #[test]
    fn lists_of_different_length_are_an_error() {
        assert_eq!(
            message("\n{\"tokens\": [\"a\"], \"tags\": []}"),
            "line 2: 1 tokens but 0 tags: expected one tag for each token"
        );
    }

    #[test]
    fn blank_and_missing_tokens_are_errors() {
        for blank in ["", " ", "\\t\\n", "\u{a0}", "\u{3000}"] {
            let text = format!(r#"{{"tokens": ["a", "{blank}"], "tags": ["O", "O"]}}"#);
            let error = read_jsonl(text.as_bytes());
            assert_eq!(error, Err(DataError::BlankToken { line: 1, index: 1 }), "{blank:?}");
        }
        let empty = read_jsonl(br#"{"tokens": [], "tags": []}"#);
        assert_eq!(empty, Err(DataError::NoTokens { line: 1 }));
    }

    #[test]
    fn unknown_tag_is_located() {
        let error = message("\n\n{\"tokens\": [\"a\"], \"tags\": [\"PER\"]}");
        assert!(
            error.starts_with("line 3: unknown tag \"PER\": expected `O`, `B-TYPE`"),
            "{error}"
        );
    }

    #[test]
    fn wrong_json_is_located() {
        let form = "expected {\"tokens\": [\"…\"], \"tags\": [\"…\"]}";
        let good = "{\"tokens\": [\"a\"], \"tags\": [\"O\"]}\n";
        let check = |line: &str, start: &str| {
            assert_eq!(message(&format!("{good}{line}")), format!("line 2, {start}: {form}"));
        };
        check("{\"tokens\": [\"a\"]}", "column 17: missing field `tags`");
        check("{\"tokens\": [\"a\"", "column 15: EOF while parsing a list");
        check("a O", "column 1: expected value");
        check(
            "{\"tokens\": [\"a\"], \"tags\": [0]}",
            "column 28: invalid type: integer `0`, expected a string",
        );
    }

    #[test]
    fn file_without_a_sentence_is_an_error() {
        assert_eq!(
            message("\n \r\n"),
            "no sentence found: expected lines `{\"tokens\": [\"…\"], \"tags\": [\"…\"]}` in UTF-8"
        );
    }
}
