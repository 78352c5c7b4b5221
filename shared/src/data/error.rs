//! What can be wrong with tags, label sets and data files: one variant for each way.
//!
//! Lines count from 1, byte offsets from 0 at the file's first byte, a byte order mark included.

use thiserror::Error;

/// Why a text is no tag, or a list of names no label set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// The name is none of the three forms.
    #[error("unknown tag {tag:?}: expected `O`, `B-TYPE` or `I-TYPE`, TYPE without white space")]
    UnknownTag {
        /// The name as found, cut after 40 characters.
        tag: String,
    },
    /// There is no name at all.
    #[error("the label set is empty: expected `O` and a pair `B-TYPE`, `I-TYPE` for each type")]
    Empty,
    /// A name is there twice.
    #[error("label `{name}` occurs twice, as {first} and {second}: expected each label once")]
    Duplicate {
        /// The repeated name.
        name: String,
        /// Id of its first occurrence.
        first: usize,
        /// Id of its second occurrence.
        second: usize,
    },
    /// There is nothing but `O`.
    #[error("the label set has no label but `O`: expected a pair `B-TYPE`, `I-TYPE` for each type")]
    NoType,
    /// `O` is missing.
    #[error("the label set {names:?} has no `O`: expected `O` and pairs `B-TYPE`, `I-TYPE`")]
    MissingOutside {
        /// All names found.
        names: Vec<String>,
    },
}

/// Why bytes are no data set; the caller adds the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DataError {
    /// A byte that cannot stand there in UTF-8.
    #[error("line {line}, byte {offset}: not valid UTF-8: expected text in UTF-8")]
    NotUtf8 {
        /// Line of the first wrong byte.
        line: usize,
        /// Offset of the first wrong byte.
        offset: usize,
    },
    /// A NUL byte, as binary files and UTF-16 have it.
    #[error(
        "line {line}, byte {offset}: NUL byte: expected text in UTF-8, not a binary file or UTF-16"
    )]
    Binary {
        /// Line of the first NUL.
        line: usize,
        /// Offset of the first NUL.
        offset: usize,
    },
    /// The file is empty, or has only blank lines and document marks.
    #[error("no sentence found: expected {expected}")]
    NoSentence {
        /// The form the reader takes.
        expected: &'static str,
    },
    /// A line without a tag.
    #[error("line {line}: expected at least 2 columns (token, …, tag), found {found}")]
    TooFewColumns {
        /// Where.
        line: usize,
        /// Columns of that line.
        found: usize,
    },
    /// A line with more or fewer columns than the first one.
    #[error("line {line}: expected {expected} columns as on line {first_line}, found {found}")]
    RaggedColumns {
        /// Where.
        line: usize,
        /// Columns of the first line that has any.
        expected: usize,
        /// That line.
        first_line: usize,
        /// Columns of the wrong line.
        found: usize,
    },
    /// A carriage return that no line feed follows.
    #[error("line {line}: carriage return inside the line: expected lines ended by LF or CRLF")]
    CarriageReturn {
        /// Where.
        line: usize,
    },
    /// A tag that is none.
    #[error("line {line}: {cause}")]
    UnknownTag {
        /// Where.
        line: usize,
        /// Names the tag and the expected form.
        cause: LabelError,
    },
    /// A token of white space only, or of nothing.
    #[error("line {line}: token {index} is blank: expected at least one visible character")]
    BlankToken {
        /// Where.
        line: usize,
        /// Its place in the sentence, from 0.
        index: usize,
    },
    /// A JSONL line that is no JSON, or not of the expected shape.
    #[error(
        "line {line}, column {column}: {cause}: expected {{\"tokens\": [\"…\"], \"tags\": [\"…\"]}}"
    )]
    Json {
        /// Where.
        line: usize,
        /// Where in the line, in bytes from 1.
        column: usize,
        /// What the JSON parser says.
        cause: String,
    },
    /// A JSONL sentence whose lists differ in length.
    #[error("line {line}: {tokens} tokens but {tags} tags: expected one tag for each token")]
    LengthMismatch {
        /// Where.
        line: usize,
        /// Number of tokens.
        tokens: usize,
        /// Number of tags.
        tags: usize,
    },
    /// A JSONL sentence without tokens.
    #[error("line {line}: the list of tokens is empty: expected at least one token")]
    NoTokens {
        /// Where.
        line: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_says_what_where_and_what_was_expected() {
        let error = DataError::RaggedColumns { line: 12, expected: 4, first_line: 3, found: 1 };
        assert_eq!(error.to_string(), "line 12: expected 4 columns as on line 3, found 1");
    }
}
