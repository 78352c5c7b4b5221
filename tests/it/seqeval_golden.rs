//! Our entity scores and spans against Python's seqeval 1.2.2, on random tag sequences.
//!
//! `tests/golden/seqeval.py` made the expected values and says how; tolerance 1e-9, since both sides
//! divide small integers in 64-bit floats and the file keeps 12 decimals.

use std::collections::BTreeMap;

use serde_json::Value;
use understudy_shared::data::span::{EntitySpan, Mode, spans};
use understudy_shared::metric::entity_f1::{Scores, entity_f1};

const GOLDEN: &str = include_str!("../golden/seqeval.json");
const TOLERANCE: f64 = 1e-9;
const MODES: [(Mode, &str); 2] = [(Mode::Default, "default"), (Mode::Strict, "strict")];

fn corpora() -> Vec<Value> {
    let golden: Value = serde_json::from_str(GOLDEN).expect("the golden is JSON");
    golden["corpora"].as_array().expect("a list of corpora").clone()
}

/// Sentences are parted by `|`, their parts by spaces.
fn split(text: &Value) -> Vec<Vec<&str>> {
    let text = text.as_str().expect("one string for a corpus");
    text.split('|').map(|sentence| sentence.split_whitespace().collect()).collect()
}

/// `[precision, recall, f1, support]`; seqeval's NaN (macro average of no type) is `null`, our 0.
fn check_scores(actual: Scores, expected: &Value, what: &str) {
    let pairs = [(actual.precision, 0), (actual.recall, 1), (actual.f1, 2)];
    for (actual, idx) in pairs {
        let expected =
            if expected[idx].is_null() { 0.0 } else { expected[idx].as_f64().expect(what) };
        let difference = (actual - expected).abs();
        assert!(difference <= TOLERANCE, "{what}, score {idx}: {actual}, seqeval {expected}");
    }
    assert_eq!(Some(actual.support as u64), expected[3].as_u64(), "{what}, support");
}

#[test]
fn scores_equal_seqeval_s() {
    let corpora = corpora();
    assert_eq!(corpora.len(), 500);
    for (idx, case) in corpora.iter().enumerate() {
        let (gold, predicted) = (split(&case["gold"]), split(&case["predicted"]));
        for (mode, name) in MODES {
            let what = format!("corpus {idx}, {name}");
            let report = entity_f1(&gold, &predicted, mode);
            check_scores(report.micro, &case[name]["micro"], &format!("{what}, micro"));
            check_scores(report.macro_average, &case[name]["macro"], &format!("{what}, macro"));
            let types = case[name]["types"].as_object().expect("scores by type");
            let expected: BTreeMap<_, _> = types.iter().collect();
            assert!(report.per_type.keys().eq(expected.keys().copied()), "{what}: types");
            for (entity_type, scores) in report.per_type {
                check_scores(scores, &types[&entity_type], &format!("{what}, {entity_type}"));
            }
        }
    }
}

#[test]
fn spans_equal_seqeval_s() {
    let mut checked = 0;
    for (idx, case) in corpora().iter().enumerate().step_by(4) {
        for (mode, name) in MODES {
            let expected = split(&case[name]["spans"]);
            let sentences = split(&case["predicted"]);
            assert_eq!(sentences.len(), expected.len());
            for (tags, expected) in sentences.iter().zip(&expected) {
                let show = |EntitySpan { entity_type, start, end }: &EntitySpan| {
                    format!("{entity_type}:{start}:{end}")
                };
                let actual: Vec<String> = spans(tags, mode).iter().map(show).collect();
                assert_eq!(&actual, expected, "corpus {idx}, {name}: {tags:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 1000, "only {checked} sentences have golden spans");
}

/// The golden tests what it should: both modes differ, and each kind of illegal sequence is there.
#[test]
fn golden_has_the_hard_cases() {
    let corpora = corpora();
    let count =
        |predicate: fn(&Value) -> bool| corpora.iter().filter(|case| predicate(case)).count();
    assert!(count(|case| case["default"]["micro"] != case["strict"]["micro"]) > 100);
    assert!(count(|case| case["default"]["types"] == serde_json::json!({})) > 2);
    assert!(count(|case| case["strict"]["macro"][2].is_null()) > 2);
    assert!(count(|case| case["default"]["micro"][2].as_f64() == Some(1.0)) > 20);
    let sequences: usize = corpora.iter().map(|case| 2 * split(&case["gold"]).len()).sum();
    assert!(sequences > 4000, "{sequences} sequences");
}
