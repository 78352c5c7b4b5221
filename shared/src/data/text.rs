//! Plain text, one sentence a line; and the decoding that all readers share.

use super::error::DataError;

/// One line of unlabelled text, trimmed; `None` where it is blank. A UTF-8 byte order mark at the start
/// of the file is no part of it.
///
/// `line` counts from 1; `offset` is where the line starts in its file, for the errors.
///
/// # Errors
///
/// [`DataError::NotUtf8`] and [`DataError::Binary`].
pub fn read_text_line(bytes: &[u8], line: usize, offset: usize) -> Result<Option<&str>, DataError> {
    if let Some(place) = bytes.iter().position(|&byte| byte == 0) {
        return Err(DataError::Binary { line, offset: offset + place });
    }
    let text = str::from_utf8(bytes)
        .map_err(|error| DataError::NotUtf8 { line, offset: offset + error.valid_up_to() })?;
    let text = if offset == 0 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

/// Reads unlabelled text: one sentence a line, trimmed, blank lines skipped.
///
/// Takes LF and CRLF, and a UTF-8 byte order mark.
///
/// # Errors
///
/// Those of [`read_text_line`], and [`DataError::NoSentence`] if all is blank.
pub fn read_text(bytes: &[u8]) -> Result<Vec<String>, DataError> {
    let (mut sentences, mut offset) = (vec![], 0);
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        sentences.extend(read_text_line(line, index + 1, offset)?.map(str::to_owned));
        offset += line.len();
    }
    if sentences.is_empty() {
        return Err(DataError::NoSentence { expected: TEXT_EXPECTED });
    }
    Ok(sentences)
}

/// What a file of unlabelled text is.
pub const TEXT_EXPECTED: &str = "text in UTF-8, one sentence a line";

/// The lines of a UTF-8 file with their numbers from 1, without byte order mark and line ends.
pub(super) fn lines(bytes: &[u8]) -> Result<impl Iterator<Item = (usize, &str)>, DataError> {
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        return Err(DataError::Binary { line: line_of(bytes, offset), offset });
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        DataError::NotUtf8 { line: line_of(bytes, offset), offset }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(text.lines().enumerate().map(|(idx, line)| (idx + 1, line)))
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_a_line() {
        let bytes = "\u{feff} A b.\r\n\r\n \t\u{a0}\nC\u{a0}d.\t\n\nE".as_bytes();
        assert_eq!(read_text(bytes), Ok(vec!["A b.".into(), "C\u{a0}d.".into(), "E".into()]));
    }

    #[test]
    fn blank_text_is_an_error() {
        for bytes in [&b""[..], b"\n \r\n", b"\xef\xbb\xbf"] {
            assert!(matches!(read_text(bytes), Err(DataError::NoSentence { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn wrong_byte_is_located() {
        assert_eq!(read_text(b"a\nb\xff"), Err(DataError::NotUtf8 { line: 2, offset: 3 }));
        assert_eq!(read_text(b"a\nb\xe2\x82"), Err(DataError::NotUtf8 { line: 2, offset: 3 }));
        assert_eq!(
            read_text(b"\xef\xbb\xbf\n\n\0\xff"),
            Err(DataError::Binary { line: 3, offset: 5 })
        );
        assert_eq!(read_text(b"\xff\xfea\0"), Err(DataError::Binary { line: 1, offset: 3 }));
    }
}
