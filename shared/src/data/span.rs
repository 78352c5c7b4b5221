//! From BIO tags to entity spans and back, in both of seqeval 1.2.2's readings.
//!
//! They differ on illegal sequences only, where `I-X` continues no entity of type `X`.
//! [`Mode::Default`] opens an entity there, as `seqeval.metrics.sequence_labeling.get_entities` and
//! conlleval do; [`Mode::Strict`] ignores that `I-X`, as `seqeval.scheme.Entities` with `IOB2` does.
//! Sources: <https://github.com/chakki-works/seqeval/tree/v1.2.2/seqeval>.

use serde::{Deserialize, Serialize};

use super::tag::Tag;

/// One entity, in words or sub-words: half-open, `start..end`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntitySpan {
    /// The type, as `PER`.
    pub entity_type: String,
    /// First index.
    pub start: usize,
    /// Index after the last one.
    pub end: usize,
}

/// Which tag sequences make an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// seqeval's default and conlleval's: `B-X` opens an entity, and so does `I-X` at the start,
    /// after `O` and after another type.
    #[default]
    Default,
    /// seqeval's `mode='strict', scheme=IOB2`: only `B-X` opens an entity.
    ///
    /// As there, hyphens at either end of a type are dropped (a type of hyphens alone becomes `_`).
    Strict,
}

/// The entities of one sentence, in order.
///
/// # Panics
///
/// If a tag is none of `O`, `B-X`, `I-X`: readers and [`LabelSet`](super::label::LabelSet) let none
/// through.
pub fn spans(tags: &[impl AsRef<str>], mode: Mode) -> Vec<EntitySpan> {
    let mut spans = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for (idx, name) in tags.iter().enumerate() {
        let tag = read(name.as_ref(), mode);
        if let (Tag::Inside(entity_type), Some((open_type, _))) = (tag, open)
            && entity_type == open_type
        {
            continue;
        }
        spans.extend(open.map(|(entity_type, start)| span(entity_type, start, idx)));
        open = match tag {
            Tag::Begin(entity_type) => Some((entity_type, idx)),
            Tag::Inside(entity_type) if mode == Mode::Default => Some((entity_type, idx)),
            Tag::Outside | Tag::Inside(_) => None,
        };
    }
    spans.extend(open.map(|(entity_type, start)| span(entity_type, start, tags.len())));
    spans
}

/// The BIO tags of a sentence of `len` words with these entities, in any order.
///
/// # Panics
///
/// If an entity is empty, ends after `len` or overlaps another one.
pub fn tags_of(spans: &[EntitySpan], len: usize) -> Vec<String> {
    let mut tags = vec![None; len];
    for EntitySpan { entity_type, start, end } in spans {
        assert!(start < end && *end <= len, "{entity_type} at {start}..{end} in {len} words");
        for (idx, tag) in tags[*start..*end].iter_mut().enumerate() {
            let prefix = if idx == 0 { 'B' } else { 'I' };
            let taken = tag.replace(format!("{prefix}-{entity_type}"));
            assert!(taken.is_none(), "{entity_type} at {start}..{end} overlaps {taken:?}");
        }
    }
    tags.into_iter().map(|tag| tag.unwrap_or_else(|| "O".to_owned())).collect()
}

fn read(name: &str, mode: Mode) -> Tag<'_> {
    let tag = Tag::parse(name).unwrap_or_else(|error| panic!("{error}"));
    match (mode, tag) {
        (Mode::Default, _) | (_, Tag::Outside) => tag,
        (Mode::Strict, Tag::Begin(entity_type)) => Tag::Begin(without_hyphens(entity_type)),
        (Mode::Strict, Tag::Inside(entity_type)) => Tag::Inside(without_hyphens(entity_type)),
    }
}

fn without_hyphens(entity_type: &str) -> &str {
    match entity_type.trim_matches('-') {
        "" => "_",
        trimmed => trimmed,
    }
}

fn span(entity_type: &str, start: usize, end: usize) -> EntitySpan {
    EntitySpan { entity_type: entity_type.to_owned(), start, end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Spans as `type:start:end`, parted by spaces, in both modes.
    fn check(tags: &str, default: &str, strict: &str) {
        let tags: Vec<&str> = tags.split_whitespace().collect();
        let show = |mode| {
            let found = spans(&tags, mode).into_iter();
            let parts =
                found.map(|span| format!("{}:{}:{}", span.entity_type, span.start, span.end));
            parts.collect::<Vec<_>>().join(" ")
        };
        assert_eq!((show(Mode::Default).as_str(), show(Mode::Strict).as_str()), (default, strict));
    }

    #[test]
    fn legal_tags_read_alike_in_both_modes() {
        let both = |tags, expected| check(tags, expected, expected);
        both("", "");
        both("O O", "");
        both("B-A", "A:0:1");
        both("B-A I-A O B-A B-A I-A", "A:0:2 A:3:4 A:4:6");
        both("O B-A B-B I-B", "A:1:2 B:2:4");
        both("B-x-y I-x-y", "x-y:0:2");
    }

    #[test]
    fn inside_without_begin_is_an_entity_only_by_default() {
        check("I-A I-A", "A:0:2", "");
        check("O I-A B-A", "A:1:2 A:2:3", "A:2:3");
        check("B-A O I-A", "A:0:1 A:2:3", "A:0:1");
    }

    #[test]
    fn inside_of_another_type_ends_the_entity_in_both_modes() {
        check("B-A I-A I-B I-A", "A:0:2 B:2:3 A:3:4", "A:0:2");
    }

    #[test]
    fn strict_mode_drops_outer_hyphens_of_types() {
        check("B--A- I-A B--- O", "-A-:0:1 A:1:2 --:2:3", "A:0:2 _:2:3");
    }

    #[test]
    #[should_panic(expected = "unknown tag \"E-A\"")]
    fn other_schemes_panic() {
        spans(&["E-A"], Mode::Default);
    }

    #[test]
    #[should_panic(expected = "B at 1..3 overlaps Some(\"I-A\")")]
    fn overlap_panics() {
        tags_of(&[span("A", 0, 2), span("B", 1, 3)], 3);
    }

    #[test]
    fn modes_are_snake_case_in_json() {
        let json = serde_json::to_string(&[Mode::Default, Mode::Strict]).expect("serialises");
        assert_eq!(json, r#"["default","strict"]"#);
    }

    /// Spans from `(gap before, length, type)`, and a sentence length with a gap at the end.
    fn laid_out(parts: &[(usize, usize, &str)], tail: usize) -> (Vec<EntitySpan>, usize) {
        let mut end = 0;
        let lay = |&(gap, len, entity_type): &(usize, usize, &str)| {
            let start = end + gap;
            end = start + len;
            span(entity_type, start, end)
        };
        let spans = parts.iter().map(lay).collect();
        (spans, end + tail)
    }

    proptest! {
        #[test]
        fn spans_to_tags_to_spans(
            parts in prop::collection::vec(
                (0_usize..3, 1_usize..4, prop::sample::select(vec!["A", "B", "x-y"])), 0..6),
            tail in 0_usize..3,
        ) {
            let (expected, len) = laid_out(&parts, tail);
            let tags = tags_of(&expected, len);
            prop_assert_eq!(tags.len(), len);
            prop_assert_eq!(&spans(&tags, Mode::Default), &expected);
            prop_assert_eq!(&spans(&tags, Mode::Strict), &expected);
        }

        #[test]
        fn default_spans_of_any_tags_survive_the_round_trip(
            tags in prop::collection::vec(
                prop::sample::select(vec!["O", "B-A", "I-A", "B-B", "I-B"]), 0..12),
        ) {
            let found = spans(&tags, Mode::Default);
            let legal = tags_of(&found, tags.len());
            prop_assert_eq!(spans(&legal, Mode::Default), found.clone());
            prop_assert_eq!(spans(&legal, Mode::Strict), found);
        }
    }
}
