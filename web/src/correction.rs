//! Corrections: what stands marked in a text, edited by whole words.
//!
//! A model decides word by word, so every edge lies at a word's edge. Entities never overlap and never
//! cross a line, for a line is what a lesson is made of.

use std::ops::Range;

use crate::colour::plain_type;
use crate::order::order;
use crate::protocol::{Entity, LessonSpan as Span};

/// Half-open bytes of a word.
pub type Word = (usize, usize);

/// Entities as whole words: with some aggregations they begin and end inside words, and without any each
/// sub-word stands alone under its label. What continues a word or an entity (`I-`) belongs to what was there.
pub fn by_words(words: &[Word], entities: &[Entity]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    // One past the last word of the last span.
    let mut end = 0;
    for Entity { entity_type, place, .. } in entities {
        let own = touched(words, place.start_byte..place.end_byte);
        let Some(bytes) = bytes(words, &(own.start.max(end)..own.end)) else { continue };
        let plain = plain_type(entity_type);
        let goes_on = own.start <= end && entity_type.starts_with("I-");
        match spans.last_mut().filter(|last| goes_on && last.entity_type == plain) {
            Some(last) => last.end_byte = bytes.end,
            None => spans.push(Span {
                entity_type: plain.to_owned(),
                start_byte: bytes.start,
                end_byte: bytes.end,
            }),
        }
        end = own.end;
    }
    spans
}

/// The words that a range of bytes touches, or none.
pub fn touched(words: &[Word], bytes: Range<usize>) -> Range<usize> {
    let first = words.partition_point(|(_, end)| *end <= bytes.start);
    let end = words.partition_point(|(start, _)| *start < bytes.end);
    first..end.max(first)
}

/// The part of a range of words that is in the line of its first word.
fn in_one_line(text: &str, words: &[Word], range: Range<usize>) -> Range<usize> {
    let mut end = range.end.min(words.len());
    if let Some((start, _)) = words.get(range.start) {
        let line_end = text[*start..].find('\n').map_or(text.len(), |len| start + len);
        end = end.min(words.partition_point(|(start, _)| *start < line_end));
    }
    range.start..end.max(range.start)
}

/// The words around one that are in its line.
fn line_of(text: &str, words: &[Word], word: usize) -> Range<usize> {
    let Some((start, _)) = words.get(word) else { return 0..0 };
    let line_start = text[..*start].rfind('\n').map_or(0, |at| at + 1);
    in_one_line(text, words, words.partition_point(|(start, _)| *start < line_start)..words.len())
}

/// The entity that a word is in.
pub fn at(words: &[Word], spans: &[Span], word: usize) -> Option<usize> {
    let (start, end) = *words.get(word)?;
    spans.iter().position(|span| span.start_byte < end && start < span.end_byte)
}

/// Marks words as an entity; entities that it touches give way.
pub fn mark(words: &[Word], spans: &[Span], range: Range<usize>, entity_type: &str) -> Vec<Span> {
    let Some(bytes) = bytes(words, &range) else { return spans.to_vec() };
    let mut marked = clear(words, spans, range);
    let (start_byte, end_byte) = (bytes.start, bytes.end);
    marked.push(Span { start_byte, end_byte, entity_type: entity_type.to_owned() });
    sorted(marked)
}

/// Without the entities that words touch.
pub fn clear(words: &[Word], spans: &[Span], range: Range<usize>) -> Vec<Span> {
    let Some(bytes) = bytes(words, &range) else { return spans.to_vec() };
    let is_outside = |span: &&Span| span.end_byte <= bytes.start || bytes.end <= span.start_byte;
    spans.iter().filter(is_outside).cloned().collect()
}

/// Gives an entity other words; neighbours keep the words that are left to them, or go.
pub fn stretch(words: &[Word], spans: &[Span], index: usize, range: Range<usize>) -> Vec<Span> {
    let (Some(bytes), Some(chosen)) = (bytes(words, &range), spans.get(index)) else {
        return spans.to_vec();
    };
    let mut stretched = vec![Span {
        start_byte: bytes.start,
        end_byte: bytes.end,
        entity_type: chosen.entity_type.clone(),
    }];
    for (other, span) in spans.iter().enumerate() {
        if other == index {
            continue;
        }
        let own = touched(words, span.start_byte..span.end_byte);
        // Before the chosen one or after it, by where it began.
        let left = match span.start_byte < chosen.start_byte {
            true => own.start..own.end.min(range.start),
            false => own.start.max(range.end)..own.end,
        };
        let is_touched = bytes.start < span.end_byte && span.start_byte < bytes.end;
        match self::bytes(words, &left) {
            _ if !is_touched => stretched.push(span.clone()),
            Some(left) => stretched.push(Span {
                start_byte: left.start,
                end_byte: left.end,
                entity_type: span.entity_type.clone(),
            }),
            None => {}
        }
    }
    sorted(stretched)
}

/// The words that the next edit is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Where the choice began.
    pub anchor: usize,
    /// Where it is now, and where keys move it.
    pub focus: usize,
    /// Whether one word is that word, even inside an entity; else it stands for the entity.
    pub is_exact: bool,
}

impl Choice {
    /// One word, or the entity around it.
    pub fn word(word: usize) -> Self {
        Self { anchor: word, focus: word, is_exact: false }
    }

    /// The chosen words.
    pub fn range(&self, text: &str, words: &[Word], spans: &[Span]) -> Range<usize> {
        let (first, last) = (self.anchor.min(self.focus), self.anchor.max(self.focus));
        let entity = at(words, spans, first).filter(|_| first == last && !self.is_exact);
        match entity {
            Some(index) => touched(words, spans[index].start_byte..spans[index].end_byte),
            None => in_one_line(text, words, first.min(words.len())..last + 1),
        }
    }

    /// Moved by a key to another of `count` words; with `extends` the other end stays.
    pub fn moved(&self, word: usize, count: usize, extends: bool) -> Self {
        let focus = word.min(count.saturating_sub(1));
        Self { anchor: if extends { self.anchor } else { focus }, focus, is_exact: extends }
    }
}

/// An edge of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Where it begins.
    Start,
    /// Where it ends.
    End,
}

/// The words of an entity with one edge moved to a word, which is then its first or last; the other edge
/// and the line's ends hold it.
pub fn with_edge(text: &str, words: &[Word], span: &Span, edge: Edge, word: usize) -> Range<usize> {
    let own = touched(words, span.start_byte..span.end_byte);
    let line = line_of(text, words, own.start);
    match edge {
        Edge::Start => word.clamp(line.start, own.end.saturating_sub(1))..own.end,
        Edge::End => own.start..(word + 1).clamp(own.start + 1, line.end),
    }
}

/// From the first word's start to the last one's end.
fn bytes(words: &[Word], range: &Range<usize>) -> Option<Range<usize>> {
    let words = words.get(range.clone())?;
    Some(words.first()?.0..words.last()?.1)
}

fn sorted(spans: Vec<Span>) -> Vec<Span> {
    let is_before = |left: usize, right: usize| spans[left].start_byte < spans[right].start_byte;
    order(spans.len(), &is_before).into_iter().map(|index| spans[index].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Place;

    const TEXT: &str = "Ana Ribeiro met Halden\nShipping in Łódź .";

    fn words() -> Vec<Word> {
        let mut words = Vec::new();
        for word in TEXT.split([' ', '\n']) {
            let start = word.as_ptr() as usize - TEXT.as_ptr() as usize;
            words.push((start, start + word.len()));
        }
        words
    }

    fn spans(list: &[(&str, &str)]) -> Vec<Span> {
        let span = |(words, entity_type): &(&str, &str)| {
            let start_byte = TEXT.find(words).expect("in the text");
            let end_byte = start_byte + words.len();
            Span { start_byte, end_byte, entity_type: (*entity_type).to_owned() }
        };
        list.iter().map(span).collect()
    }

    /// What `edited` marks, as `words/TYPE`.
    fn shown(edited: &[Span]) -> String {
        let show =
            |span: &Span| format!("{}/{}", &TEXT[span.start_byte..span.end_byte], span.entity_type);
        edited.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    /// Entities by their bytes.
    fn by_bytes(list: &[(&str, usize, usize)]) -> String {
        let entity = |(entity_type, start_byte, end_byte): &(&str, usize, usize)| {
            let (start_byte, end_byte) = (*start_byte, *end_byte);
            let place = Place { start_byte, end_byte, start_utf16: 0, end_utf16: 0 };
            Entity { entity_type: (*entity_type).to_owned(), place, score: 1.0 }
        };
        shown(&by_words(&words(), &list.iter().map(entity).collect::<Vec<_>>()))
    }

    #[test]
    fn entities_of_sub_words_become_whole_words() {
        // Each sub-word for itself: A-na Ribei-ro.
        let alone = [("B-PER", 0, 1), ("I-PER", 1, 3), ("I-PER", 4, 9), ("I-PER", 9, 11)];
        assert_eq!(by_bytes(&alone), "Ana Ribeiro/PER");
        // Two types within a word, and one that begins in its middle.
        assert_eq!(
            by_bytes(&[("ORG", 16, 18), ("LOC", 18, 22), ("ORG", 25, 31)]),
            "Halden/ORG Shipping/ORG"
        );
        // Neighbours stay two.
        assert_eq!(by_bytes(&[("B-PER", 0, 3), ("B-PER", 4, 11)]), "Ana/PER Ribeiro/PER");
        assert_eq!(by_bytes(&[("PER", 0, 3), ("PER", 4, 11)]), "Ana/PER Ribeiro/PER");
        assert_eq!(by_bytes(&[("I-LOC", 35, 41), ("I-PER", 3, 4)]), "Łódź/LOC");
    }

    #[test]
    fn a_selection_snaps_to_the_words_it_touches() {
        let words = words();
        for (bytes, want) in [
            (0..3, 0..1),
            (1..2, 0..1),
            (2..5, 0..2),
            (3..4, 1..1),
            (0..TEXT.len(), 0..8),
            (12..12, 2..2),
            (13..13, 2..3),
            (100..200, 8..8),
        ] {
            assert_eq!(touched(&words, bytes.clone()), want, "{bytes:?}");
        }
        assert_eq!(touched(&[], 0..9), 0..0);
    }

    #[test]
    fn no_entity_leaves_its_line() {
        let words = words();
        assert_eq!(in_one_line(TEXT, &words, 2..6), 2..4);
        assert_eq!(in_one_line(TEXT, &words, 4..99), 4..8);
        assert_eq!(in_one_line(TEXT, &words, 9..12), 9..9);
        assert_eq!(line_of(TEXT, &words, 5), 4..8);
        assert_eq!(line_of(TEXT, &words, 0), 0..4);
        assert_eq!(line_of("", &[], 0), 0..0);
    }

    #[test]
    fn a_marked_range_replaces_what_it_touches() {
        let before = spans(&[("Ribeiro", "ORG"), ("Łódź", "LOC")]);
        assert_eq!(shown(&mark(&words(), &before, 0..2, "PER")), "Ana Ribeiro/PER Łódź/LOC");
        assert_eq!(shown(&mark(&words(), &before, 1..2, "LOC")), "Ribeiro/LOC Łódź/LOC");
        assert_eq!(mark(&words(), &before, 3..3, "PER"), before);
        assert_eq!(mark(&words(), &before, 7..12, "PER"), before);
    }

    #[test]
    fn a_word_tells_its_entity_and_clears_it() {
        let before = spans(&[("Ana Ribeiro", "PER"), ("Łódź", "LOC")]);
        let words = words();
        assert_eq!(at(&words, &before, 1), Some(0));
        assert_eq!((at(&words, &before, 2), at(&words, &before, 99)), (None, None));
        assert_eq!(shown(&clear(&words, &before, 1..3)), "Łódź/LOC");
        assert_eq!(clear(&words, &before, 2..3), before);
    }

    #[test]
    fn one_word_stands_for_its_entity() {
        let (words, spans) = (words(), spans(&[("Ana Ribeiro", "PER")]));
        let range = |choice: Choice| choice.range(TEXT, &words, &spans);
        assert_eq!(range(Choice::word(1)), 0..2);
        assert_eq!(range(Choice::word(2)), 2..3);
        assert_eq!(range(Choice { is_exact: true, ..Choice::word(1) }), 1..2);
        assert_eq!(range(Choice { anchor: 3, focus: 1, is_exact: false }), 1..4);
        assert_eq!(range(Choice { anchor: 3, focus: 6, is_exact: true }), 3..4);
        assert_eq!(range(Choice::word(99)), 8..8);
    }

    #[test]
    fn keys_move_a_choice_or_extend_it() {
        let choice = Choice::word(2);
        assert_eq!(choice.moved(3, 8, false), Choice::word(3));
        assert_eq!(choice.moved(99, 8, false), Choice::word(7));
        assert_eq!(choice.moved(9, 0, false), Choice::word(0));
        assert_eq!(choice.moved(1, 8, true), Choice { anchor: 2, focus: 1, is_exact: true });
    }

    /// Moves an edge of the second of three entities to a word.
    fn check_edge(edge: Edge, word: usize, want: &str) {
        let before = spans(&[("Ana", "PER"), ("met", "MISC"), ("Halden", "ORG")]);
        let words = words();
        let range = with_edge(TEXT, &words, &before[1], edge, word);
        assert_eq!(shown(&stretch(&words, &before, 1, range)), want);
    }

    #[test]
    fn an_edge_moves_by_words_and_neighbours_give_way() {
        check_edge(Edge::Start, 1, "Ana/PER Ribeiro met/MISC Halden/ORG");
        check_edge(Edge::Start, 0, "Ana Ribeiro met/MISC Halden/ORG");
        check_edge(Edge::End, 3, "Ana/PER met Halden/MISC");
        check_edge(Edge::End, 2, "Ana/PER met/MISC Halden/ORG");
    }

    #[test]
    fn an_edge_stops_at_the_other_one_and_at_the_line() {
        check_edge(Edge::Start, 7, "Ana/PER met/MISC Halden/ORG");
        check_edge(Edge::End, 0, "Ana/PER met/MISC Halden/ORG");
        check_edge(Edge::End, 7, "Ana/PER met Halden/MISC");
    }

    #[test]
    fn a_neighbour_keeps_the_words_that_are_left() {
        let before = spans(&[("Ana Ribeiro", "PER"), ("met Halden", "ORG")]);
        let words = words();
        assert_eq!(shown(&stretch(&words, &before, 1, 1..4)), "Ana/PER Ribeiro met Halden/ORG");
        assert_eq!(shown(&stretch(&words, &before, 0, 0..3)), "Ana Ribeiro met/PER Halden/ORG");
        assert_eq!(shown(&stretch(&words, &before, 0, 0..1)), "Ana/PER met Halden/ORG");
        assert_eq!(stretch(&words, &before, 7, 0..1), before);
        assert_eq!(stretch(&words, &before, 0, 2..2), before);
    }
}
