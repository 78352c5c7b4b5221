//! Where the student's entities differ from its teacher's.
//!
//! Every entity of either model belongs to one finding. Pairs are made in three passes: the same
//! entity, the same place with another type, and then the largest overlap first; what is left is
//! missed or extra.

use std::cmp::Reverse;

use crate::order::order;

/// How an entity of one model relates to the other model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Both models say the same.
    Same,
    /// The teacher alone has it.
    Missed,
    /// The student alone has it.
    Extra,
    /// Both see an entity here, of different types.
    OtherType,
    /// Both see an entity of one type, with different ends.
    OtherBoundary,
}

impl Kind {
    /// The four kinds of disagreement.
    pub const DISAGREEMENTS: [Self; 4] =
        [Self::Missed, Self::Extra, Self::OtherType, Self::OtherBoundary];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Missed => "missed",
            Self::Extra => "extra",
            Self::OtherType => "other type",
            Self::OtherBoundary => "other boundary",
        }
    }
}

/// An entity as far as it is compared: half-open bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Its type.
    pub entity_type: &'a str,
}

impl Span<'_> {
    fn overlap(&self, other: &Self) -> usize {
        self.end.min(other.end).saturating_sub(self.start.max(other.start))
    }

    fn is_at(&self, other: &Self) -> bool {
        self.start == other.start && self.end == other.end
    }
}

/// How two models' entities compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// For each of the teacher's entities.
    pub teacher: Vec<Kind>,
    /// For each of the student's entities.
    pub student: Vec<Kind>,
}

/// Compares; the order of either list does not matter.
pub fn compare(teacher: &[Span<'_>], student: &[Span<'_>]) -> Comparison {
    let mut comparison = Comparison {
        teacher: vec![Kind::Missed; teacher.len()],
        student: vec![Kind::Extra; student.len()],
    };
    let pairs = overlapping(teacher, student);
    // Identical entities first, then those in one place, then the largest overlaps.
    let key = |pair: usize| {
        let (t, s) = pairs[pair];
        let (teacher, student) = (&teacher[t], &student[s]);
        let same_place = teacher.is_at(student);
        let same_type = teacher.entity_type == student.entity_type;
        (!(same_place && same_type), !same_place, Reverse(teacher.overlap(student)), t, s)
    };
    let sorted = order(pairs.len(), &|left, right| key(left) < key(right));
    let (mut is_taken, mut is_paired) = (vec![false; teacher.len()], vec![false; student.len()]);
    for (t, s) in sorted.into_iter().map(|pair| pairs[pair]) {
        if is_taken[t] || is_paired[s] {
            continue;
        }
        let kind =
            match (teacher[t].is_at(&student[s]), teacher[t].entity_type == student[s].entity_type)
            {
                (true, true) => Kind::Same,
                (_, false) => Kind::OtherType,
                (false, true) => Kind::OtherBoundary,
            };
        (is_taken[t], is_paired[s]) = (true, true);
        (comparison.teacher[t], comparison.student[s]) = (kind, kind);
    }
    comparison
}

/// The indices of all pairs that overlap, found in one pass over both lists in the order of the text.
fn overlapping(teacher: &[Span<'_>], student: &[Span<'_>]) -> Vec<(usize, usize)> {
    let by_start = |spans: &[Span<'_>]| {
        order(spans.len(), &|left, right| spans[left].start < spans[right].start)
    };
    let (teachers, mut pairs) = (by_start(teacher), Vec::new());
    // Before this one all have ended.
    let mut first = 0;
    for s in by_start(student) {
        let own = &student[s];
        while teachers.get(first).is_some_and(|t| teacher[*t].end <= own.start) {
            first += 1;
        }
        let begun = teachers[first..].iter().take_while(|t| teacher[**t].start < own.end);
        pairs.extend(begun.filter(|t| teacher[**t].overlap(own) > 0).map(|t| (*t, s)));
    }
    pairs
}

impl Comparison {
    /// Findings of a kind; a pair counts once.
    pub fn count(&self, kind: Kind) -> usize {
        let side = if kind == Kind::Missed { &self.teacher } else { &self.student };
        side.iter().filter(|other| **other == kind).count()
    }

    /// The F1 of the student's entities, with the teacher's taken for truth; `None` where neither has
    /// any.
    pub fn agreement(&self) -> Option<f64> {
        let all = self.teacher.len() + self.student.len();
        (all > 0).then(|| 2.0 * self.count(Kind::Same) as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0-3 PER, 5-8 LOC`
    fn spans(text: &str) -> Vec<Span<'_>> {
        text.split(", ")
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (place, entity_type) = part.split_once(' ').expect("place and type");
                let (start, end) = place.split_once('-').expect("start and end");
                let number = |text: &str| text.parse().expect("a number");
                Span { start: number(start), end: number(end), entity_type }
            })
            .collect()
    }

    fn check(teacher: &str, student: &str, want: [usize; 5], agreement: Option<f64>) {
        let comparison = compare(&spans(teacher), &spans(student));
        let counts = [Kind::Same, Kind::Missed, Kind::Extra, Kind::OtherType, Kind::OtherBoundary]
            .map(|kind| comparison.count(kind));
        assert_eq!(counts, want, "{teacher} | {student}");
        assert_eq!(comparison.agreement(), agreement);
    }

    #[test]
    fn equal_entities_agree() {
        check("0-3 PER, 5-8 LOC", "0-3 PER, 5-8 LOC", [2, 0, 0, 0, 0], Some(1.0));
    }

    #[test]
    fn missed_and_extra() {
        check("0-3 PER", "5-8 LOC", [0, 1, 1, 0, 0], Some(0.0));
    }

    #[test]
    fn another_type_in_one_place() {
        check("0-3 PER, 5-8 LOC", "0-3 ORG, 5-8 LOC", [1, 0, 0, 1, 0], Some(0.5));
    }

    #[test]
    fn another_boundary() {
        check("0-8 PER", "4-8 PER", [0, 0, 0, 0, 1], Some(0.0));
    }

    #[test]
    fn another_type_and_boundary_counts_as_type() {
        check("0-8 PER", "4-8 ORG", [0, 0, 0, 1, 0], Some(0.0));
    }

    #[test]
    fn the_same_entity_is_paired_before_an_overlapping_one() {
        check("0-8 PER, 4-8 PER", "4-8 PER", [1, 1, 0, 0, 0], Some(2.0 / 3.0));
    }

    #[test]
    fn one_entity_split_in_two_is_a_boundary_and_an_extra() {
        check("0-9 ORG", "0-5 ORG, 6-9 ORG", [0, 0, 1, 0, 1], Some(0.0));
    }

    /// A few spans that begin, end and overlap anyhow, and stand in any order.
    fn any_spans(next: &mut impl FnMut(usize) -> usize) -> Vec<Span<'static>> {
        let count = next(7);
        let span = |_| {
            let start = next(14);
            Span { start, end: start + next(6), entity_type: ["PER", "LOC"][next(2)] }
        };
        (0..count).map(span).collect()
    }

    #[test]
    fn one_pass_finds_every_pair_that_overlaps() {
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..5000 {
            let (teacher, student) = (any_spans(&mut next), any_spans(&mut next));
            let all = (0..teacher.len()).flat_map(|t| (0..student.len()).map(move |s| (t, s)));
            let want: Vec<_> = all.filter(|(t, s)| teacher[*t].overlap(&student[*s]) > 0).collect();
            let mut found = overlapping(&teacher, &student);
            found.sort_unstable();
            assert_eq!(found, want, "{teacher:?} {student:?}");
        }
    }

    #[test]
    fn nothing_has_no_agreement() {
        check("", "", [0; 5], None);
    }
}
