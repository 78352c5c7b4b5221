//! The CoNLL column format, and the sentence every labelled reader gives.
//!
//! One token a line, its first column the word and its last one the tag, blank lines between
//! sentences (Tjong Kim Sang and De Meulder 2003, arXiv:cs/0306050, section 2.1). The original files
//! are IOB1, where `B-X` stands only between two adjacent entities of one type; all tags become BIO.

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::tag::Tag;
use super::text;

/// First column of the line that opens a document.
const DOCUMENT_MARK: &str = "-DOCSTART-";

/// The words of one sentence with their gold labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// The words; none is blank.
    pub tokens: Vec<String>,
    /// One BIO tag for each word.
    pub tags: Vec<String>,
}

/// Reads sentences in two or more columns parted by spaces or tabs.
///
/// The number of columns is the same through the file, except on `-DOCSTART-` lines, which end a
/// sentence and are skipped. Takes LF and CRLF, a UTF-8 byte order mark, any entity types, and IOB1
/// as well as BIO (see [`to_bio`]).
///
/// # Errors
///
/// The [`DataError`] of the first wrong line, or [`DataError::NoSentence`].
pub fn read_conll(bytes: &[u8]) -> Result<Vec<Sentence>, DataError> {
    let mut sentences = Vec::new();
    let mut open = Sentence::default();
    let mut width = None;
    for (line, content) in text::lines(bytes)? {
        if content.trim().is_empty() || content.trim_start().starts_with(DOCUMENT_MARK) {
            close(&mut open, &mut sentences);
            continue;
        }
        let (token, tag) = first_and_last_column(line, content, &mut width)?;
        if token.trim().is_empty() {
            return Err(DataError::BlankToken { line, index: open.tokens.len() });
        }
        Tag::parse(tag).map_err(|cause| DataError::UnknownTag { line, cause })?;
        open.tokens.push(token.to_owned());
        open.tags.push(tag.to_owned());
    }
    close(&mut open, &mut sentences);
    if sentences.is_empty() {
        let expected = "lines `token … tag` in UTF-8, blank lines between sentences";
        return Err(DataError::NoSentence { expected });
    }
    Ok(sentences)
}

/// Turns IOB1 into BIO: `I-X` that continues no entity of type `X` becomes `B-X`.
///
/// Valid BIO stays as it is. A text that is no tag is left alone, and ends an entity.
pub fn to_bio(tags: &mut [String]) {
    for idx in 0..tags.len() {
        let (before, from) = tags.split_at_mut(idx);
        let previous = before.last().and_then(|tag| Tag::parse(tag).ok()?.entity_type());
        if let Ok(Tag::Inside(entity_type)) = Tag::parse(&from[0])
            && previous != Some(entity_type)
        {
            from[0] = format!("B-{entity_type}");
        }
    }
}

/// Checks the number of columns against `width`, the first line's number and columns.
fn first_and_last_column<'a>(
    line: usize,
    content: &'a str,
    width: &mut Option<(usize, usize)>,
) -> Result<(&'a str, &'a str), DataError> {
    if content.contains('\r') {
        return Err(DataError::CarriageReturn { line });
    }
    // Only these two: a no-break space is part of its token.
    let columns = || content.split([' ', '\t']).filter(|column| !column.is_empty());
    let found = columns().count();
    let (first_line, expected) = *width.get_or_insert((line, found));
    if found != expected {
        return Err(DataError::RaggedColumns { line, expected, first_line, found });
    }
    match (columns().next(), columns().next_back()) {
        (Some(token), Some(tag)) if found >= 2 => Ok((token, tag)),
        _ => Err(DataError::TooFewColumns { line, found }),
    }
}

fn close(open: &mut Sentence, sentences: &mut Vec<Sentence>) {
    if !open.tokens.is_empty() {
        to_bio(&mut open.tags);
        sentences.push(std::mem::take(open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::error::LabelError;

    /// `text` reads as `expected`: sentences parted by `|`, words as `token/tag`.
    fn check(text: &str, expected: &str) {
        let sentences = read_conll(text.as_bytes()).expect(text);
        let show = |sentence: &Sentence| {
            let words = sentence.tokens.iter().zip(&sentence.tags);
            words.map(|(token, tag)| format!("{token}/{tag}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sentences.iter().map(show).collect::<Vec<_>>().join("|"), expected);
    }

    fn check_error(text: &str, expected: DataError) {
        assert_eq!(read_conll(text.as_bytes()), Err(expected), "{text:?}");
    }

    #[test]
    fn first_column_is_the_token_and_last_the_tag() {
        check("EU NNP I-NP B-ORG\nis VBZ I-VP O\n\nHere RB X O", "EU/B-ORG is/O|Here/O");
        check("a\tO\nb\tB-x-y\n", "a/O b/B-x-y");
        check("a \t O  \n  b O", "a/O b/O");
        check("a\u{a0}b O", "a\u{a0}b/O");
    }

    #[test]
    fn document_marks_and_blank_lines_end_sentences() {
        check("-DOCSTART- -X- O\n\na O\n-DOCSTART-\nb O\n \t\n\n\nc O\n", "a/O|b/O|c/O");
    }

    #[test]
    fn windows_files_are_read() {
        check("\u{feff}-DOCSTART- O\r\n\r\na B-A\r\nb I-A\r\n\r\nc O\r\n", "a/B-A b/I-A|c/O");
    }

    #[test]
    fn iob1_becomes_bio() {
        check("a I-A\nb I-A\nc B-A\nd O\ne I-B", "a/B-A b/I-A c/B-A d/O e/B-B");
        check("a I-A\nb I-B\n\nc I-B", "a/B-A b/B-B|c/B-B");
    }

    #[test]
    fn bio_stays() {
        check("a B-A\nb I-A\nc B-A\nd I-A\ne B-B\nf O", "a/B-A b/I-A c/B-A d/I-A e/B-B f/O");
    }

    #[test]
    fn ragged_lines_are_errors() {
        let ragged = |line, first_line, found| DataError::RaggedColumns {
            line,
            expected: 3,
            first_line,
            found,
        };
        check_error("\na X O\nb O", ragged(3, 2, 2));
        check_error("a X O\n\nb X X O", ragged(3, 1, 4));
        check_error("a X O\nb", ragged(2, 1, 1));
        check_error("\n\na", DataError::TooFewColumns { line: 3, found: 1 });
    }

    #[test]
    fn unknown_tag_is_located() {
        let cause = LabelError::UnknownTag { tag: "B-".to_owned() };
        check_error("-DOCSTART- X\n\na O\nb B-", DataError::UnknownTag { line: 4, cause });
    }

    #[test]
    fn lone_carriage_return_is_an_error() {
        check_error("a B-A\rb O\r", DataError::CarriageReturn { line: 1 });
    }

    #[test]
    fn blank_token_is_an_error() {
        check_error("a O\n\u{a0} O", DataError::BlankToken { line: 2, index: 1 });
    }

    #[test]
    fn file_without_a_sentence_is_an_error() {
        for text in ["", "\n\n", "-DOCSTART- -X- O\n\n", "\u{feff}"] {
            let error = read_conll(text.as_bytes()).expect_err(text);
            assert!(matches!(error, DataError::NoSentence { .. }));
        }
    }
}
