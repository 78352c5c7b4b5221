//! What a set of dropped files is: a bundle, labelled text, plain text, or nothing the page can read.

use crate::json::Json;
use crate::protocol::Role;

/// Largest text file, in bytes.
pub const MOST_TEXT: f64 = 8e6;

/// Largest file of a bundle, in bytes: what a 32-bit module can hold beside the model made of it.
pub const MOST_BUNDLE: f64 = 1.2e9;

/// How the name of a file of JSON lines ends.
const JSON_LINES: &str = ".jsonl";

/// How the names of files end that hold columns and nothing else.
const COLUMNS: [&str; 3] = [".conll", ".bio", ".iob"];

/// What was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The files of a bundle, among others perhaps.
    Bundle,
    /// One file that holds the files of a bundle, as the page gives students away.
    Archive,
    /// One file of text.
    Text,
}

/// Files that a bundle must have.
pub const REQUIRED: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// A file that says how good a bundle is.
pub const REPORT: &str = "report.json";

/// Says what files of these names are.
///
/// # Errors
///
/// What is missing, in words for the page.
pub fn classify(names: &[&str]) -> Result<Dropped, String> {
    let is_text = |name: &str| ends_in(name, &[".txt", JSON_LINES]) || ends_in(name, &COLUMNS);
    let has = |name: &&str| names.contains(name);
    if REQUIRED.iter().all(has) {
        return Ok(Dropped::Bundle);
    }
    if REQUIRED.iter().any(has) {
        let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| !has(name)).collect();
        return Err(format!(
            "This bundle lacks {}. Drop the folder that `understudy export` wrote, or its files \
             together.",
            missing.join(" and ")
        ));
    }
    match names {
        [name] if is_text(name) => Ok(Dropped::Text),
        [name] if ends_in(name, &[".tar"]) => Ok(Dropped::Archive),
        [_, _, ..] if names.iter().all(|name| is_text(name)) => {
            Err("Drop one text at a time.".to_owned())
        }
        _ => Err(format!(
            "Nothing here can be read: {}. Expected a .txt, .conll or .jsonl file, or a bundle: \
             config.json, tokenizer.json and model.safetensors, or a .tar of them.",
            names.join(", ")
        )),
    }
}

/// The role that a bundle of this name most likely has.
pub fn role(name: &str) -> Role {
    let says = |role: &str| name.to_ascii_lowercase().contains(role);
    match says("teacher") && !says("student") {
        true => Role::Teacher,
        false => Role::Student,
    }
}

/// The text of a file of this name, and whether it is columns with a BIO tag at every line's end, rather than
/// prose. JSON lines become columns, the form that everything else here reads.
///
/// # Errors
///
/// Bytes that are no UTF-8, or the first wrong line of a labelled file, in words for the page.
pub fn readable(name: &str, bytes: Vec<u8>) -> Result<(String, bool), String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let number = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {number} is not written in UTF-8; save the file as UTF-8 and open it again")
    })?;
    let text = text.trim_start_matches('\u{feff}');
    if ends_in(name, &[JSON_LINES]) {
        return Ok((columns(text)?, true));
    }
    let is_labelled = is_labelled(name, text)?;
    Ok((text.to_owned(), is_labelled))
}

/// Whether a name ends so, in small or large letters.
fn ends_in(name: &str, ends: &[&str]) -> bool {
    let lower = name.to_ascii_lowercase();
    ends.iter().any(|end| lower.ends_with(end))
}

/// A file that is named as labelled, or is so in most of its lines, must be so in all of them.
fn is_labelled(name: &str, text: &str) -> Result<bool, String> {
    let (mut tagged, mut other) = (0, 0);
    let mut first_other = None;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with("-DOCSTART-") {
            continue;
        }
        let mut columns = line.split([' ', '\t']).filter(|column| !column.is_empty());
        let last = columns.next_back().unwrap_or("");
        if is_tag(last) && columns.next().is_some() {
            tagged += 1;
        } else {
            other += 1;
            first_other = first_other.or(Some((index + 1, line)));
        }
    }
    if tagged <= other && !ends_in(name, &COLUMNS) {
        return Ok(false);
    }
    match first_other {
        None => Ok(true),
        Some((number, line)) => {
            let line: String = line.chars().take(60).collect();
            Err(format!(
                "line {number}: expected a word and then a tag, such as O, B-PER or I-PER, found `{line}`"
            ))
        }
    }
}

fn is_tag(text: &str) -> bool {
    text == "O" || text.starts_with("B-") || text.starts_with("I-")
}

fn columns(text: &str) -> Result<String, String> {
    let mut columns = String::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        let pairs = Json::parse(line).ok().and_then(pairs).ok_or_else(|| {
            format!(
                "line {number}: expected {{\"tokens\": [\"Ada\", …], \"tags\": [\"B-PER\", …]}}, \
                 as many BIO tags as words"
            )
        })?;
        for (token, tag) in pairs {
            if token.is_empty() || token.contains(char::is_whitespace) {
                return Err(format!("line {number}: `{token}` is no single word"));
            }
            columns += &format!("{token} {tag}\n");
        }
        columns.push('\n');
    }
    Ok(columns)
}

/// The words of a line with their tags.
fn pairs(mut row: Json) -> Option<Vec<(String, String)>> {
    let (Json::List(tokens), Json::List(tags)) = (row.take("tokens"), row.take("tags")) else {
        return None;
    };
    if tokens.len() != tags.len() {
        return None;
    }
    let pairs = tokens.into_iter().zip(tags).map(|pair| match pair {
        (Json::Text(token), Json::Text(tag)) if is_tag(&tag) => Some((token, tag)),
        _ => None,
    });
    pairs.collect()
}

/// Sentences of a labelled file that are put in the text field.
const PREVIEW: usize = 12;

/// The first sentences of a labelled file as text.
pub fn preview(labelled: &str) -> String {
    let mut sentences = vec![String::new()];
    for line in labelled.lines() {
        let word = line.split([' ', '\t']).find(|column| !column.is_empty());
        let open = sentences.last_mut().expect("there is one from the start");
        match word.filter(|_| !line.starts_with("-DOCSTART-")) {
            Some(word) => {
                let space = if open.is_empty() { "" } else { " " };
                *open += &format!("{space}{word}");
            }
            None if open.is_empty() => {}
            None if sentences.len() == PREVIEW => break,
            None => sentences.push(String::new()),
        }
    }
    sentences.join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_may_have_more_files() {
        let names = ["README.md", "config.json", "model.safetensors", "tokenizer.json"];
        assert_eq!(classify(&names), Ok(Dropped::Bundle));
    }

    #[test]
    fn what_a_bundle_lacks_is_named() {
        let message = classify(&["model.safetensors"]).expect_err("not whole");
        assert!(message.contains("lacks config.json and tokenizer.json"), "{message}");
    }

    #[test]
    fn one_text_is_taken() {
        assert_eq!(classify(&["Notes.TXT"]), Ok(Dropped::Text));
        assert_eq!(classify(&["test.conll"]), Ok(Dropped::Text));
        assert_eq!(classify(&["my student.TAR"]), Ok(Dropped::Archive));
        assert!(classify(&["a.txt", "b.txt"]).is_err());
        assert!(classify(&["photo.png"]).is_err_and(|message| message.contains("photo.png")));
        assert!(classify(&[]).is_err());
    }

    /// The text of a file and whether it is labelled, or what is wrong.
    fn read(name: &str, text: &str) -> Result<(String, bool), String> {
        readable(name, text.as_bytes().to_vec())
    }

    #[test]
    fn columns_with_tags_are_labelled() {
        let columns = "-DOCSTART- -X- O\r\n\r\nAda NNP B-PER\r\nlives VBZ O\r\n";
        assert_eq!(read("a.txt", &format!("\u{feff}{columns}")), Ok((columns.to_owned(), true)));
        assert!(read("a.txt", "Oslo\tI-LOC\n").is_ok_and(|(_, is_labelled)| is_labelled));
        for prose in ["", "\n\n", "Ada lives in Oslo.", "The answer is O\nand Ada lives", "O\nO"] {
            assert_eq!(read("a.txt", prose), Ok((prose.to_owned(), false)), "{prose:?}");
        }
    }

    #[test]
    fn an_odd_line_of_a_labelled_file_is_named() {
        let odd = "Ada B-PER\nlives O\n\nin\nOslo B-LOC\n";
        for (name, text, number) in [
            ("a.txt", odd, 4),
            ("a.CONLL", "Ada lives in Oslo.\n", 1),
            ("a.bio", "Ada PER\nlives O\n", 1),
        ] {
            let message = read(name, text).expect_err(text);
            assert!(message.starts_with(&format!("line {number}: expected a word")), "{message}");
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        let message = readable("a.txt", b"Ada\nJos\xe9\n".to_vec()).expect_err("Latin-1");
        assert!(message.starts_with("line 2 is not written in UTF-8"), "{message}");
    }

    #[test]
    fn json_lines_become_columns() {
        let text = "\u{feff}{\"tokens\": [\"Ada\", \"né\"], \"tags\": [\"B-PER\", \"O\"], \"id\": 1}\r\n\n\
                    {\"tags\": [\"O\"], \"tokens\": [\"x\"]}\n";
        let columns = "Ada B-PER\nné O\n\nx O\n\n".to_owned();
        assert_eq!(read("mine.JSONL", text), Ok((columns, true)));
        assert_eq!(read("notes.txt", "{"), Ok(("{".to_owned(), false)));
        for (line, expected) in [
            ("{", "line 2: expected {\"tokens\""),
            ("{\"tokens\": [\"a\"], \"tags\": []}", "as many BIO tags as words"),
            ("{\"tokens\": [\"a\"], \"tags\": [0]}", "line 2: expected"),
            ("{\"tokens\": [\"a\"], \"tags\": [\"PER\"]}", "line 2: expected"),
            ("{\"tokens\": [\"a b\"], \"tags\": [\"O\"]}", "line 2: `a b` is no single word"),
        ] {
            let message = read("a.jsonl", &format!("\n{line}\n")).expect_err(line);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_preview_is_the_first_sentences() {
        assert_eq!(
            preview("-DOCSTART- O\n\nAda B-PER\nlives O\n\nOslo B-LOC\n"),
            "Ada lives\nOslo"
        );
        let many = "word O\n\n".repeat(50);
        assert_eq!(preview(&many).lines().count(), PREVIEW);
    }

    #[test]
    fn a_teacher_is_told_by_its_name() {
        assert_eq!(role("my-Teacher-int8"), Role::Teacher);
        assert_eq!(role("export"), Role::Student);
        assert_eq!(role("my-student-of-a-teacher"), Role::Student);
    }
}
