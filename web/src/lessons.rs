//! Lessons: texts with all their entities, from corrections, from a labelled file, or from the teacher.
//!
//! A lesson is one line. Another correction of the same line changes its lesson, so no text is learned in
//! two ways.

use std::rc::Rc;

use crate::json::{Json, Wire};
use crate::protocol::{Lesson, LessonSpan};

/// Lessons at most; a run in a tab sees a few hundred sentences.
pub const MOST: usize = 1000;

/// Lessons in the order in which they came; shared, because undo keeps every list that was.
pub type Lessons = Vec<Rc<Lesson>>;

/// With another lesson, in the place of the one of the same text.
pub fn with(lessons: &[Rc<Lesson>], lesson: Lesson) -> Lessons {
    let mut lessons = lessons.to_vec();
    put(&mut lessons, lesson);
    lessons
}

fn put(lessons: &mut Lessons, lesson: Lesson) {
    match lessons.iter_mut().find(|own| own.text == lesson.text) {
        Some(own) if **own == lesson => {}
        Some(own) => *own = Rc::new(lesson),
        None => lessons.push(Rc::new(lesson)),
    }
}

/// The lines of a text that are not blank, as half-open bytes without the space around them.
pub fn lines(text: &str) -> Vec<(usize, usize)> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        let trimmed = line.trim();
        if !trimmed.is_empty() {
            let first = start + line.len() - line.trim_start().len();
            lines.push((first, first + trimmed.len()));
        }
        start += line.len() + 1;
    }
    lines
}

/// What is marked in a text: in a line with a lesson what the lesson says, elsewhere `tagged`.
pub fn marked(text: &str, tagged: &[LessonSpan], lessons: &[Rc<Lesson>]) -> Vec<LessonSpan> {
    let mut marked = Vec::new();
    for (start, end) in lines(text) {
        match lessons.iter().find(|lesson| lesson.text == text[start..end]) {
            Some(lesson) => marked.extend(lesson.spans.iter().map(|span| LessonSpan {
                entity_type: span.entity_type.clone(),
                start_byte: span.start_byte + start,
                end_byte: span.end_byte + start,
            })),
            None => marked.extend(inside(tagged, start, end).cloned()),
        }
    }
    marked
}

/// Lessons after an edit that made `after` of `before`: one for each line in which they differ.
pub fn corrected(
    text: &str,
    before: &[LessonSpan],
    after: &[LessonSpan],
    lessons: &[Rc<Lesson>],
) -> Lessons {
    let mut all = lessons.to_vec();
    for (start, end) in lines(text) {
        if !inside(before, start, end).eq(inside(after, start, end)) {
            put(&mut all, lesson(text, after, start, end));
        }
    }
    all
}

/// Lessons with every line of a text as it is marked.
pub fn accepted(text: &str, spans: &[LessonSpan], lessons: &[Rc<Lesson>]) -> Lessons {
    let mut all = lessons.to_vec();
    for (start, end) in lines(text) {
        put(&mut all, lesson(text, spans, start, end));
        // The rest of a text that is too long changes nothing: the list is refused.
        if all.len() > MOST {
            break;
        }
    }
    all
}

/// Of spans in the order of the text, those that are inside a part of it. A long text has thousands of both
/// lines and spans, so they are looked up.
fn inside(
    spans: &[LessonSpan],
    start: usize,
    end: usize,
) -> impl Iterator<Item = &LessonSpan> + Clone {
    let first = spans.partition_point(|span| span.start_byte < start);
    let in_line = spans[first..].iter().take_while(move |span| span.start_byte < end);
    in_line.filter(move |span| span.end_byte <= end)
}

fn lesson(text: &str, spans: &[LessonSpan], start: usize, end: usize) -> Lesson {
    let spans = inside(spans, start, end).map(|span| LessonSpan {
        entity_type: span.entity_type.clone(),
        start_byte: span.start_byte - start,
        end_byte: span.end_byte - start,
    });
    Lesson { text: text[start..end].to_owned(), spans: spans.collect() }
}

/// The sentences of CoNLL columns, the word first and its BIO or IOB1 tag last, as lessons.
///
/// # Errors
///
/// The first line that is not of this form, or has a type that is not among `types`; no sentence; or
/// more than [`MOST`] of them.
pub fn from_conll(columns: &str, types: &[&str]) -> Result<Vec<Lesson>, String> {
    let mut lessons = vec![];
    let mut open = Lesson { text: String::new(), spans: vec![] };
    let mut last: Option<&str> = None;
    let lines = columns.trim_start_matches('\u{feff}').lines().chain([""]);
    for (index, line) in lines.enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with("-DOCSTART-") {
            if !open.text.is_empty() {
                lessons.push(std::mem::replace(
                    &mut open,
                    Lesson { text: String::new(), spans: vec![] },
                ));
            }
            last = None;
            continue;
        }
        let wrong = |what: String| Err(format!("line {}: {what}", index + 1));
        let mut parts = line.split([' ', '\t']).filter(|part| !part.is_empty());
        let (Some(word), Some(tag)) = (parts.next(), parts.next_back()) else {
            return wrong(format!("expected a word and a tag, found `{line}`"));
        };
        let entity_type = tag.strip_prefix("B-").or_else(|| tag.strip_prefix("I-"));
        if entity_type.is_none() && tag != "O" {
            return wrong(format!("expected a tag as O, B-{0} or I-{0}, found `{tag}`", "PER"));
        }
        if let Some(other) = entity_type.filter(|own| !types.contains(own)) {
            let known = types.join(", ");
            return wrong(format!("the type `{other}` is new to this student, which has {known}"));
        }
        if !open.text.is_empty() {
            open.text.push(' ');
        }
        let start_byte = open.text.len();
        open.text += word;
        let end_byte = open.text.len();
        let goes_on = tag.starts_with("I-") && last == entity_type;
        match (entity_type, open.spans.last_mut()) {
            (Some(_), Some(span)) if goes_on => span.end_byte = end_byte,
            (Some(own), _) => {
                let entity_type = own.to_owned();
                open.spans.push(LessonSpan { entity_type, start_byte, end_byte });
            }
            (None, _) => {}
        }
        last = entity_type;
    }
    match lessons.len() {
        0 => Err("there is no sentence in it; expected a word and its tag on each line".to_owned()),
        1..=MOST => Ok(lessons),
        many => Err(format!("{many} sentences; expected {MOST} at most")),
    }
}

/// As text, to be kept by the browser.
pub fn to_text(lessons: &[Rc<Lesson>]) -> String {
    Json::List(lessons.iter().map(|lesson| lesson.to_json()).collect()).to_line()
}

/// From what [`to_text`] wrote; what is not that, or is marked where its text has no characters, is left
/// out.
pub fn from_text(text: &str) -> Lessons {
    let Ok(Json::List(items)) = Json::parse(text) else { return vec![] };
    let is_sound = |lesson: &Lesson| {
        let is_place = |byte: usize| lesson.text.is_char_boundary(byte);
        let is_sound = |span: &LessonSpan| {
            span.start_byte < span.end_byte && is_place(span.start_byte) && is_place(span.end_byte)
        };
        lesson.spans.iter().all(is_sound)
    };
    items.into_iter().filter_map(Lesson::from_json).filter(is_sound).map(Rc::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "  Ana met Halden .\n\n\tOslo won .\r\n";

    fn span(part: &str, entity_type: &str) -> LessonSpan {
        let start_byte = TEXT.find(part).expect("in the text");
        let entity_type = entity_type.to_owned();
        LessonSpan { entity_type, start_byte, end_byte: start_byte + part.len() }
    }

    /// A lesson in one line, its entities in brackets: `[Ana Ribeiro PER] met …`.
    fn in_words(lesson: &Lesson) -> String {
        let mut words = String::new();
        let mut end = 0;
        for span in &lesson.spans {
            let (start, stop) = (span.start_byte.max(end), span.end_byte.max(end));
            words += &lesson.text[end..start];
            words += &format!("[{} {}]", &lesson.text[start..stop], span.entity_type);
            end = stop;
        }
        words + &lesson.text[end..]
    }

    fn shown(lessons: &[Rc<Lesson>]) -> Vec<String> {
        lessons.iter().map(|lesson| in_words(lesson)).collect()
    }

    #[test]
    fn lines_are_without_the_space_around_them() {
        let found: Vec<&str> = lines(TEXT).iter().map(|(start, end)| &TEXT[*start..*end]).collect();
        assert_eq!(found, ["Ana met Halden .", "Oslo won ."]);
        assert_eq!(lines("\n \n"), []);
        assert_eq!(lines("a"), [(0, 1)]);
    }

    #[test]
    fn an_edit_makes_a_lesson_of_its_line_alone() {
        let before = [span("Halden", "LOC"), span("Oslo", "LOC")];
        let after = [span("Ana", "PER"), span("Halden", "ORG"), span("Oslo", "LOC")];
        let lessons = corrected(TEXT, &before, &after, &[]);
        assert_eq!(shown(&lessons), ["[Ana PER] met [Halden ORG] ."]);
        assert_eq!(marked(TEXT, &before, &lessons), after);
        let again = corrected(TEXT, &after, &before, &lessons);
        assert_eq!(shown(&again), ["Ana met [Halden LOC] ."]);
        assert_eq!(corrected(TEXT, &after, &after, &lessons), lessons);
    }

    #[test]
    fn all_lines_are_accepted_as_they_are() {
        let spans = [span("Oslo", "ORG")];
        let lessons = accepted(TEXT, &spans, &[]);
        assert_eq!(shown(&lessons), ["Ana met Halden .", "[Oslo ORG] won ."]);
        assert_eq!(accepted(TEXT, &spans, &lessons), lessons);
        assert_eq!(marked(TEXT, &[span("Ana", "PER")], &lessons), spans);
    }

    #[test]
    fn columns_become_lessons() {
        let columns = "\u{feff}-DOCSTART- -X- O\r\n\r\nAna NNP B-PER\r\nRibeiro NNP I-PER\r\nmet VBD O\r\n\r\n\
            Oslo\tI-LOC\nBergen\tB-LOC\nHalden\tI-ORG\nShipping\tI-ORG\n";
        let lessons = from_conll(columns, &["PER", "LOC", "ORG"]).expect("columns");
        let shown: Vec<String> = lessons.iter().map(in_words).collect();
        assert_eq!(
            shown,
            ["[Ana Ribeiro PER] met", "[Oslo LOC] [Bergen LOC] [Halden Shipping ORG]"]
        );
    }

    #[test]
    fn columns_that_are_wrong_say_where_and_what() {
        for (columns, want) in [
            ("Ana B-PER\nmet\n", "line 2: expected a word and a tag, found `met`"),
            ("Ana PERSON\n", "line 1: expected a tag as O, B-PER or I-PER, found `PERSON`"),
            (
                "\n\nAna B-GENE\n",
                "line 3: the type `GENE` is new to this student, which has PER, LOC",
            ),
            (
                "-DOCSTART- O\n\n",
                "there is no sentence in it; expected a word and its tag on each line",
            ),
            (&"a O\n\n".repeat(MOST + 1), "1001 sentences; expected 1000 at most"),
        ] {
            assert_eq!(from_conll(columns, &["PER", "LOC"]), Err(want.to_owned()));
        }
    }

    #[test]
    fn lessons_are_kept_as_text() {
        let lessons = accepted("Ana \u{1f600} \"met\"\nÉ", &[], &[]);
        assert_eq!(from_text(&to_text(&lessons)), lessons);
        for text in ["", "7", "{}", "[1, {}]", r#"[{"text": "é", "spans": "no"}]"#] {
            assert_eq!(from_text(text), Lessons::new(), "{text}");
        }
        for (start, end) in [(0, 1), (1, 2), (0, 9), (2, 2), (2, 0)] {
            let text = format!(
                r#"[{{"text": "é", "spans": [{{"entity_type": "PER", "start_byte": {start}, "end_byte": {end}}}]}}]"#
            );
            assert_eq!(from_text(&text), Lessons::new(), "{text}");
        }
    }
}
