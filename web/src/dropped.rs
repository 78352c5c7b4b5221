//! What a set of dropped files is: a bundle, labelled text, plain text, or nothing the page can read.

use crate::json::Json;
use crate::protocol::Role;

/// Largest text file, in bytes.
pub const MOST_TEXT: f64 = 8e6;

/// Largest file of a bundle, in bytes: what a 32-bit module can hold beside the model made of it.
pub const MOST_BUNDLE: f64 = 1.2e9;

/// How a file of JSON lines ends.
const JSON_LINES: &str = ".jsonl";

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
    let is_text = |name: &str| {
        let lower = name.to_ascii_lowercase();
        [".txt", ".conll", ".bio", ".iob", JSON_LINES].iter().any(|end| lower.ends_with(end))
    };
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
        [name] if name.to_ascii_lowercase().ends_with(".tar") => Ok(Dropped::Archive),
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
    match name.to_ascii_lowercase().contains("teacher") {
        true => Role::Teacher,
        false => Role::Student,
    }
}

/// Whether text is columns with a BIO tag at every line's end, rather than prose.
pub fn is_labelled(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let mut seen = false;
    let all = lines.all(|line| {
        if line.is_empty() || line.starts_with("-DOCSTART-") {
            return true;
        }
        seen = true;
        let mut columns = line.split([' ', '\t']).filter(|column| !column.is_empty());
        let last = columns.next_back().unwrap_or("");
        is_tag(last) && columns.next().is_some()
    });
    all && seen
}

fn is_tag(text: &str) -> bool {
    text == "O" || text.starts_with("B-") || text.starts_with("I-")
}

/// What a text file of this name says, where JSON lines become columns, the form that everything else here
/// reads.
///
/// # Errors
///
/// The first line that is no sentence with a tag for each word, in words for the page.
pub fn readable(name: &str, text: String) -> Result<String, String> {
    if !name.to_ascii_lowercase().ends_with(JSON_LINES) {
        return Ok(text);
    }
    let mut columns = String::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
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
    for line in labelled.trim_start_matches('\u{feff}').lines() {
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

    #[test]
    fn columns_with_tags_are_labelled() {
        assert!(is_labelled("\u{feff}-DOCSTART- -X- O\r\n\r\nAda NNP B-PER\r\nlives VBZ O\r\n"));
        assert!(is_labelled("Oslo\tI-LOC\n"));
        for prose in ["", "\n\n", "Ada lives in Oslo.", "The answer is O\nand Ada lives", "O\nO"] {
            assert!(!is_labelled(prose), "{prose:?}");
        }
    }

    #[test]
    fn json_lines_become_columns() {
        let text = "\u{feff}{\"tokens\": [\"Ada\", \"né\"], \"tags\": [\"B-PER\", \"O\"], \"id\": 1}\r\n\n\
                    {\"tags\": [\"O\"], \"tokens\": [\"x\"]}\n";
        let columns = readable("mine.JSONL", text.to_owned());
        assert_eq!(columns.as_deref(), Ok("Ada B-PER\nné O\n\nx O\n\n"));
        assert!(columns.is_ok_and(|columns| is_labelled(&columns)));
        assert_eq!(readable("notes.txt", "{".to_owned()).as_deref(), Ok("{"));
        for (line, expected) in [
            ("{", "line 2: expected {\"tokens\""),
            ("{\"tokens\": [\"a\"], \"tags\": []}", "as many BIO tags as words"),
            ("{\"tokens\": [\"a\"], \"tags\": [0]}", "line 2: expected"),
            ("{\"tokens\": [\"a\"], \"tags\": [\"PER\"]}", "line 2: expected"),
            ("{\"tokens\": [\"a b\"], \"tags\": [\"O\"]}", "line 2: `a b` is no single word"),
        ] {
            let message = readable("a.jsonl", format!("\n{line}\n")).expect_err(line);
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
    }
}
