//! From byte offsets, which Rust and the models use, to UTF-16 offsets, which the browser uses.
//!
//! This is the only place that makes them, in one pass over the text.

use serde::{Deserialize, Serialize};

/// A stretch of a text in both units, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// First byte in UTF-8.
    pub start_byte: usize,
    /// One past the last byte in UTF-8.
    pub end_byte: usize,
    /// First unit in UTF-16.
    pub start_utf16: usize,
    /// One past the last unit in UTF-16.
    pub end_utf16: usize,
}

/// The places of byte ranges in `text`; ranges may overlap and need no order.
///
/// # Panics
///
/// If an offset is outside the text or inside a character.
pub fn places(text: &str, ranges: &[(usize, usize)]) -> Vec<Place> {
    let mut offsets: Vec<usize> = ranges.iter().flat_map(|(start, end)| [*start, *end]).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let mut units = Vec::with_capacity(offsets.len());
    let (mut byte, mut unit) = (0, 0);
    for offset in &offsets {
        unit += text[byte..*offset].chars().map(char::len_utf16).sum::<usize>();
        byte = *offset;
        units.push(unit);
    }
    let utf16 = |offset: usize| {
        let index = offsets.binary_search(&offset);
        units[index.expect("every offset was collected above")]
    };
    let place = |(start, end): &(usize, usize)| Place {
        start_byte: *start,
        end_byte: *end,
        start_utf16: utf16(*start),
        end_utf16: utf16(*end),
    };
    ranges.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `part` in `before + part + after` stands at the UTF-16 units that `str::encode_utf16` counts,
    /// and cutting there gives it back.
    fn check(before: &str, part: &str, after: &str) {
        let text = format!("{before}{part}{after}");
        let range = (before.len(), before.len() + part.len());
        let place = places(&text, &[range])[0];
        let units: Vec<u16> = text.encode_utf16().collect();
        let cut = &units[place.start_utf16..place.end_utf16];
        assert_eq!(String::from_utf16(cut).ok().as_deref(), Some(part), "{text:?}");
        assert_eq!((place.start_byte, place.end_byte), range);
    }

    #[test]
    fn an_entity_at_position_zero() {
        check("", "Ada", " lives");
    }

    #[test]
    fn emoji_are_two_units() {
        check("\u{1f600}\u{1f680} ", "Ada", "\u{1f600}");
        check("", "\u{1f600}", "");
    }

    #[test]
    fn zero_width_joiner_sequences() {
        let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
        check(family, "Oslo", family);
        check("a", family, "b");
    }

    #[test]
    fn combining_marks_are_units_of_their_own() {
        check("e\u{301}a\u{308}", "Jose\u{301}", "\u{301}");
    }

    #[test]
    fn no_break_spaces_tabs_and_newlines() {
        check("a\u{a0}b\t\r\n", "New\u{a0}York", "\n\n");
    }

    #[test]
    fn chinese_japanese_and_korean() {
        check("東京", "株式会社", "に\u{20bb7}");
        check("\u{20bb7}", "野家", "");
    }

    #[test]
    fn right_to_left() {
        check("\u{202b}السيد ", "محمد", " في القاهرة\u{202c}");
    }

    #[test]
    fn ranges_overlap_and_need_no_order() {
        let text = "\u{1f600}ab";
        let found = places(text, &[(5, 6), (0, 6), (0, 4), (6, 6)]);
        let units: Vec<_> =
            found.iter().map(|place| (place.start_utf16, place.end_utf16)).collect();
        assert_eq!(units, [(3, 4), (0, 4), (0, 2), (4, 4)]);
    }

    #[test]
    fn no_ranges_in_no_text() {
        assert_eq!(places("", &[]), []);
        assert_eq!(places("", &[(0, 0)])[0].end_utf16, 0);
    }
}
