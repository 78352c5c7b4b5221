//! Plain text, one sentence a line; and the decoding that all readers share.

use super::error::DataError;

/// Reads unlabelled text: one sentence a line, trimmed, blank lines skipped.
///
/// Takes LF and CRLF, and a UTF-8 byte order mark.
///
/// # Errors
///
/// [`DataError::NotUtf8`], [`DataError::Binary`], and [`DataError::NoSentence`] if all is blank.
pub fn read_text(bytes: &[u8]) -> Result<Vec<String>, DataError> {
    let sentences: Vec<String> = lines(bytes)?
        .map(|(_, line)| line.trim())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if sentences.is_empty() {
        return Err(DataError::NoSentence { expected: "text in UTF-8, one sentence a line" });
    }
    Ok(sentences)
}

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
