//! The one figure of a bundle's `report.json` that lists of models show: micro F1 over words, on the file
//! that `export --data` scored, else on the test split of the run.

use serde_json::Value;

/// Of an export that was scored, on whatever file it was; else of a run, or of the run that an export was
/// made from, on its test split.
pub fn f1(report: &Value) -> Option<f64> {
    let exported = report.pointer("/scores/after/word/default/f1");
    let of_run = || {
        let lists = [report.get("scores"), report.pointer("/training/scores")];
        let splits = lists.into_iter().flatten().filter_map(Value::as_array).flatten();
        let mut test = splits.filter(|split| split["split"] == "test");
        test.find_map(|split| split.pointer("/word_default/micro/f1"))
    };
    exported.or_else(of_run)?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_export_s_own_score_comes_first() {
        let of_run = json!([{ "split": "dev", "word_default": { "micro": { "f1": 0.1 } } },
            { "split": "test", "word_default": { "micro": { "f1": 0.9 } } }]);
        assert_eq!(f1(&json!({ "scores": of_run.clone() })), Some(0.9));
        let exported = json!({ "scores": null, "training": { "scores": of_run.clone() } });
        assert_eq!(f1(&exported), Some(0.9));
        let scored = json!({ "scores": { "after": { "word": { "default": { "f1": 0.8 } } } },
            "training": { "scores": of_run } });
        assert_eq!(f1(&scored), Some(0.8));
    }

    #[test]
    fn a_report_without_scores_has_none() {
        assert_eq!(f1(&json!({ "training": null })), None);
        assert_eq!(f1(&json!([])), None);
    }
}
