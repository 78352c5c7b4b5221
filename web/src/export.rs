//! What was tagged, as JSON, as CoNLL columns and as a page of its own.

use crate::correction::by_words;
use crate::json::{Json, Wire};
use crate::protocol::{Entity, Tagged};

/// A file to give away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// All positions and scores.
    Json,
    /// `word tag`, one a line.
    Conll,
    /// The marked text.
    Html,
}

impl Format {
    /// By the name that the page uses.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "conll" => Some(Self::Conll),
            "html" => Some(Self::Html),
            _ => None,
        }
    }

    /// Name of a downloaded file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Json => "entities.json",
            Self::Conll => "entities.conll",
            Self::Html => "entities.html",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Conll => "text/plain;charset=utf-8",
            Self::Html => "text/html;charset=utf-8",
        }
    }

    /// The text with what one or two models made of it; CoNLL columns and HTML show the last one.
    pub fn write(self, text: &str, tagged: &[&Tagged]) -> String {
        match (self, tagged.last()) {
            (Self::Json, _) => to_json(text, tagged),
            (Self::Conll, Some(tagged)) => to_conll(text, tagged),
            (Self::Html, Some(tagged)) => to_html(text, &tagged.entities),
            (_, None) => String::new(),
        }
    }
}

fn to_json(text: &str, tagged: &[&Tagged]) -> String {
    let mut fields = vec![("text", text.to_owned().to_json())];
    for tagged in tagged {
        // Characters are counted once, for entities stand in the order of the text.
        let mut counted = (0, 0);
        let mut char_at = |byte: usize| {
            let (before, count) = if counted.0 <= byte { counted } else { (0, 0) };
            counted = (byte, count + text[before..byte].chars().count());
            counted.1
        };
        let entity = |entity| entity_json(text, entity, &mut char_at);
        let entities = tagged.entities.iter().map(entity).collect();
        fields.push((tagged.role.name(), Json::List(entities)));
    }
    Json::object(fields).to_lines() + "\n"
}

fn entity_json(text: &str, entity: &Entity, char_at: &mut impl FnMut(usize) -> usize) -> Json {
    let place = entity.place;
    Json::object(vec![
        ("entity_type", entity.entity_type.to_json()),
        ("text", text[place.start_byte..place.end_byte].to_owned().to_json()),
        ("start_byte", place.start_byte.to_json()),
        ("end_byte", place.end_byte.to_json()),
        ("start_char", char_at(place.start_byte).to_json()),
        ("end_char", char_at(place.end_byte).to_json()),
        ("start_utf16", place.start_utf16.to_json()),
        ("end_utf16", place.end_utf16.to_json()),
        ("score", ((f64::from(entity.score) * 1e4).round() / 1e4).to_json()),
    ])
}

/// Words as the tokenizer makes them, a blank line where the text has a line's end.
fn to_conll(text: &str, tagged: &Tagged) -> String {
    let mut columns = String::new();
    let mut last_end = 0;
    let spans = by_words(&tagged.words, &tagged.entities);
    let mut entities = spans.iter().peekable();
    for (start, end) in &tagged.words {
        if text[last_end..*start].contains('\n') && !columns.is_empty() {
            columns.push('\n');
        }
        last_end = *end;
        while entities.peek().is_some_and(|entity| entity.end_byte <= *start) {
            entities.next();
        }
        let inside = entities.peek().filter(|entity| entity.start_byte < *end);
        let tag = inside.map_or("O".to_owned(), |entity| {
            let is_first = entity.start_byte >= *start;
            format!("{}-{}", if is_first { 'B' } else { 'I' }, entity.entity_type)
        });
        columns += &format!("{} {tag}\n", &text[*start..*end]);
    }
    columns
}

/// A page that needs no other file; everything from outside is escaped.
fn to_html(text: &str, entities: &[Entity]) -> String {
    let mut body = String::new();
    let mut end = 0;
    for entity in entities {
        let place = entity.place;
        if place.start_byte < end {
            continue;
        }
        body += &escape(&text[end..place.start_byte]);
        body += &format!(
            "<mark>{} <b>{}</b></mark>",
            escape(&text[place.start_byte..place.end_byte]),
            escape(&entity.entity_type)
        );
        end = place.end_byte;
    }
    body += &escape(&text[end..]);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Entities</title>\n\
         <style>body{{font:1.1rem/2 system-ui;margin:2rem;white-space:pre-wrap}}\
         mark{{background:#e4e7fb;color:#1b1d29;padding:.2em .35em;border-radius:.3em}}\
         b{{font-size:.7em;letter-spacing:.04em}}</style>\n<body>{body}</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::position::places;
    use crate::protocol::Role;

    fn tagged(text: &str, words: &[(usize, usize)], entities: &[(usize, usize, &str)]) -> Tagged {
        let ranges: Vec<_> = entities.iter().map(|(start, end, _)| (*start, *end)).collect();
        let entity = |(place, (_, _, name)): (_, &(usize, usize, &str))| Entity {
            entity_type: (*name).to_owned(),
            place,
            score: 0.987_654,
        };
        Tagged {
            role: Role::Student,
            entities: places(text, &ranges).into_iter().zip(entities).map(entity).collect(),
            tokens: vec![],
            words: words.to_vec(),
            subwords: words.len(),
            millis: 1.0,
            computed: true,
            memory_bytes: 0,
        }
    }

    #[test]
    fn json_counts_bytes_characters_and_units() {
        let text = "\u{1f600} Ada";
        let written = Format::Json.write(text, &[&tagged(text, &[], &[(5, 8, "PER")])]);
        let value: Value = serde_json::from_str(&written).expect("JSON");
        let want = json!({"entity_type": "PER", "text": "Ada", "start_byte": 5, "end_byte": 8,
            "start_char": 2, "end_char": 5, "start_utf16": 3, "end_utf16": 6, "score": 0.9877});
        assert_eq!(value["student"][0], want);
    }

    #[test]
    fn columns_are_bio_and_lines_are_sentences() {
        let text = "Ada May met\n\nOslo .";
        let words = [(0, 3), (4, 7), (8, 11), (13, 17), (18, 19)];
        let entities = [(0, 7, "PER"), (13, 17, "LOC")];
        let written = Format::Conll.write(text, &[&tagged(text, &words, &entities)]);
        assert_eq!(written, "Ada B-PER\nMay I-PER\nmet O\n\nOslo B-LOC\n. O\n");
    }

    #[test]
    fn html_is_escaped() {
        let text = "<script>x</script> & \"Ada\"";
        let written = Format::Html.write(text, &[&tagged(text, &[], &[(22, 25, "<b>")])]);
        assert!(!written.contains("<script>"), "{written}");
        assert!(written.contains("&quot;<mark>Ada <b>&lt;b&gt;</b></mark>&quot;"), "{written}");
    }

    #[test]
    fn nothing_tagged_gives_nothing_but_the_text() {
        assert_eq!(Format::Conll.write("Ada", &[]), "");
        assert!(Format::Json.write("Ada", &[]).contains("\"Ada\""));
    }
}
