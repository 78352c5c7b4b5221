//! The data readers on hostile input: no panic on any bytes, errors on the right line, and the
//! message of each error once.

use proptest::prelude::*;
use proptest::sample::Index;
use tests::hostile::check_sentences;
use understudy_shared::data::conll::{Sentence, read_conll};
use understudy_shared::data::error::DataError;
use understudy_shared::data::jsonl::read_jsonl;
use understudy_shared::data::text::read_text;

const CONLL: &str = "-DOCSTART- -X- O\n\nNorvik NNP B-ORG\nsells VBZ O\r\nVellish JJ I-MISC\n\n\
                     Mara NNP B-PER\nVelling NNP I-PER\n\nß\tX\tO\n";
const JSONL: &str = "{\"tokens\": [\"Ada\", \"né\"], \"tags\": [\"B-ORG\", \"O\"]}\n\n\
                     {\"id\": 7, \"tags\": [\"I-x\"], \"tokens\": [\"\\u00e9\"]}\r\n";
const TEXT: &str = "\u{feff}One sentence.\r\n\n  Another – one.\n";

type Reader = fn(&[u8]) -> Result<Vec<Sentence>, DataError>;

fn read_with_all(bytes: &[u8]) {
    for reader in [read_conll as Reader, read_jsonl] {
        if let Ok(sentences) = reader(bytes) {
            check_sentences(&sentences);
        }
    }
    if let Ok(sentences) = read_text(bytes) {
        assert!(!sentences.is_empty());
        assert!(sentences.iter().all(|line| !line.is_empty() && line.trim() == line));
    }
}

/// Cuts, doubles, flips or inserts at random places.
fn mutated(valid: &str, changes: &[(u8, Index, u8)]) -> Vec<u8> {
    let mut bytes = valid.as_bytes().to_vec();
    for (kind, place, byte) in changes {
        let at = place.index(bytes.len() + 1);
        match kind % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *byte),
            2 => bytes.extend_from_within(at..),
            3 => drop(bytes.drain(at..).next()),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte),
        }
    }
    bytes
}

/// The line an error names.
fn line_of(error: &DataError) -> Option<usize> {
    let message = error.to_string();
    let rest = message.strip_prefix("line ")?;
    rest.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

fn arbitrary_changes() -> impl Strategy<Value = Vec<(u8, Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b" \t\r\n-BIO\"\\{[\0\xef".to_vec())];
    prop::collection::vec((any::<u8>(), any::<Index>(), byte), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_reader_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_with_all(&bytes);
    }

    #[test]
    fn no_reader_panics_on_any_text(text in "[ \t\r\n\u{a0}\u{feff}aé{}\\[\\]\":,OBI-]{0,60}") {
        read_with_all(text.as_bytes());
    }

    #[test]
    fn no_reader_panics_on_damaged_files(changes in arbitrary_changes()) {
        for valid in [CONLL, JSONL, TEXT] {
            read_with_all(&mutated(valid, &changes));
        }
    }
}

proptest! {
    /// A wrong line between good ones is the line the error names, whatever the line ends.
    #[test]
    fn errors_name_the_wrong_line(
        before in prop::collection::vec(0_usize..3, 1..30),
        after in 0_usize..5,
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        mark in prop::sample::select(vec!["", "\u{feff}"]),
        wrong in 0_usize..3,
    ) {
        let json = "{\"tokens\": [\"a\"], \"tags\": [\"O\"]}";
        let cases = [
            (read_conll as Reader, ["EU X B-ORG", "", "-DOCSTART- O"], ["EU", "EU X Y", "a X O X"]),
            (read_jsonl, [json, "", " \t"], ["{\"tokens\": [\"a\"]}", "[", "{\"tokens\":[],\"tags\":[]}"]),
        ];
        for (reader, good, bad) in cases {
            // The first line is a good one, so that the number of columns is known.
            let mut lines = vec![good[0]];
            lines.extend(before.iter().map(|&kind| good[kind]));
            lines.push(bad[wrong]);
            lines.extend(std::iter::repeat_n(good[0], after));
            let file = format!("{mark}{}", lines.join(line_end));
            let error = reader(file.as_bytes()).expect_err("one line is wrong");
            prop_assert_eq!(line_of(&error), Some(before.len() + 2), "{}", error);
        }
    }

    /// A wrong byte is named by its offset in the file and its line.
    #[test]
    fn errors_name_the_wrong_byte(place in any::<Index>(), byte in prop::sample::select(vec![0, 0xff])) {
        for valid in [CONLL, JSONL, TEXT] {
            let offset = place.index(valid.len());
            let mut bytes = valid.as_bytes().to_vec();
            // At a character's start, since inside one the character itself begins the wrong part.
            let offset = (0..=offset).rev().find(|&at| valid.is_char_boundary(at)).unwrap_or(0);
            bytes[offset] = byte;
            let line = 1 + valid[..offset].matches('\n').count();
            let expected = match byte {
                0 => DataError::Binary { line, offset },
                _ => DataError::NotUtf8 { line, offset },
            };
            prop_assert_eq!(read_conll(&bytes), Err(expected.clone()));
            prop_assert_eq!(read_jsonl(&bytes), Err(expected.clone()));
            prop_assert_eq!(read_text(&bytes), Err(expected));
        }
    }
}

#[test]
fn valid_files_are_read() {
    let conll = read_conll(CONLL.as_bytes()).expect("valid");
    let tags: Vec<String> = conll.iter().map(|sentence| sentence.tags.join(" ")).collect();
    assert_eq!(tags, ["B-ORG O B-MISC", "B-PER I-PER", "O"]);
    check_sentences(&conll);
    let jsonl = read_jsonl(JSONL.as_bytes()).expect("valid");
    assert_eq!(
        (jsonl.len(), jsonl[1].tokens[0].as_str(), jsonl[1].tags[0].as_str()),
        (2, "é", "B-x")
    );
    check_sentences(&jsonl);
    assert_eq!(
        read_text(TEXT.as_bytes()),
        Ok(vec!["One sentence.".into(), "Another – one.".into()])
    );
}

/// `reader` refuses `bytes` with exactly this message.
fn check_message(reader: Reader, bytes: &[u8], message: &str) {
    let error = reader(bytes).expect_err(message);
    assert_eq!(error.to_string(), message);
}

#[test]
fn errors_of_all_readers_say_what_where_and_what_was_expected() {
    let check = |bytes, message| check_message(read_conll, bytes, message);
    check(b"EU B-ORG\n\xe9t\xe9 O\n", "line 2, byte 9: not valid UTF-8: expected text in UTF-8");
    check(
        b"PK\x03\x04\0\0",
        "line 1, byte 4: NUL byte: expected text in UTF-8, not a binary file or UTF-16",
    );
    check(
        b"",
        "no sentence found: expected lines `token … tag` in UTF-8, blank lines between sentences",
    );
    let blank = read_text(b" \n").expect_err("blank").to_string();
    assert_eq!(blank, "no sentence found: expected text in UTF-8, one sentence a line");
}

#[test]
fn errors_of_columns_say_what_where_and_what_was_expected() {
    let check = |bytes, message| check_message(read_conll, bytes, message);
    check(b"\nEU\n", "line 2: expected at least 2 columns (token, …, tag), found 1");
    check(
        b"-DOCSTART-\n\nEU X B-ORG\n\nis O\n",
        "line 5: expected 3 columns as on line 3, found 2",
    );
    check(
        b"a O\rb O",
        "line 1: carriage return inside the line: expected lines ended by LF or CRLF",
    );
    check(
        b"a O\nb S-PER",
        "line 2: unknown tag \"S-PER\": expected `O`, `B-TYPE` or `I-TYPE`, TYPE without white space",
    );
}

#[test]
fn errors_of_jsonl_say_what_where_and_what_was_expected() {
    let check = |bytes, message| check_message(read_jsonl, bytes, message);
    check(
        br#"{"tokens": ["a", " "], "tags": ["O", "O"]}"#,
        "line 1: token 1 is blank: expected at least one visible character",
    );
    check(
        br#"{"tokens": ["a"], "tags": "O"}"#,
        "line 1, column 29: invalid type: string \"O\", expected a sequence: \
         expected {\"tokens\": [\"…\"], \"tags\": [\"…\"]}",
    );
    check(
        br#"{"tokens": ["a"], "tags": ["O", "O"]}"#,
        "line 1: 1 tokens but 2 tags: expected one tag for each token",
    );
    check(
        br#"{"tokens": [], "tags": []}"#,
        "line 1: the list of tokens is empty: expected at least one token",
    );
}
