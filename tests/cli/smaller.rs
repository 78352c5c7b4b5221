//! Smaller models: factorised token tables and exports.

use serde_json::Value;
use tempfile::tempdir;

use super::{SMALL_STUDENT, json, small_base, small_data, stdout};

#[test]
fn a_factorised_teacher_tags_and_multiplied_out_it_scores_the_same() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    let report =
        json(dir, "factorize --model {tiny}/teacher --rank 24 --out {dir}/thin --json --quiet");
    let number = |key: &str| report[key].as_u64().expect("a number");
    let config = std::fs::read(dir.join("thin/config.json")).expect("a configuration");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(config["embedding_rank"], 24);
    let size = |key: &str| config[key].as_u64().expect("a size");
    let (rows, columns) = (size("vocab_size"), size("hidden_size"));
    let saved = rows * columns - 24 * (rows + columns);
    assert_eq!(number("parameters_before") - number("parameters_after"), saved);
    assert_eq!(report["singular_values"].as_array().map(Vec::len), Some(columns as usize));
    assert!(report["relative_error"].as_f64().is_some_and(|error| (0.0..1.0).contains(&error)));
    let svg = std::fs::read_to_string(dir.join("thin/spectrum.svg")).expect("a drawing");
    assert!(
        svg.starts_with("<svg") && svg.contains("rank 24") && svg.trim_end().ends_with("</svg>")
    );
    let thin = json(dir, "evaluate --model {dir}/thin --data {tiny}/test.txt --json --quiet");
    let arguments = "export --model {dir}/thin --dense --dtype f32 --data {tiny}/test.txt \
                     --out {dir}/dense --json --quiet";
    let dense = json(dir, arguments);
    assert_eq!(dense["scores"]["after"]["word"], thin["word"]);
    let config = std::fs::read_to_string(dir.join("dense/config.json")).expect("a configuration");
    assert!(!config.contains("embedding_rank"));
    let random =
        "factorize --model {tiny}/teacher --rank 24 --random --out {dir}/random --json --quiet";
    assert_eq!(json(dir, random)["random"], true);
    let random = json(dir, "evaluate --model {dir}/random --data {tiny}/test.txt --json --quiet");
    let f1 = |scores: &Value| scores["word"]["default"]["f1"].as_f64().expect("a score");
    assert!(f1(&random) < f1(&thin));
}

#[test]
fn a_table_is_cut_for_the_text_that_it_is_told_of() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    let text = "Ralville spoke .\nRalville did not .\n".repeat(500);
    std::fs::write(dir.join("text.txt"), text).expect("a text");
    let cut = |flags: &str, out: &str| {
        let arguments = "factorize --model {tiny}/teacher --rank 4 --json --quiet";
        json(dir, &format!("{arguments} --out {{dir}}/{out} {flags}"))
    };
    let plain = cut("", "plain");
    let by_text = cut("--text {dir}/text.txt", "text");
    let by_both = cut("--data {dir}/data --text {dir}/text.txt", "both");
    assert!(plain["weighted_by"].is_null());
    let error = |report: &Value| report["relative_error"].as_f64().expect("an error");
    assert!(error(&by_text) < error(&plain));
    let of = |report: &Value, key: &str| report["weighted_by"][key].as_u64().expect("a number");
    assert!(of(&by_text, "distinct") < of(&by_both, "distinct"));
    assert!(of(&by_text, "tokens") > 1000 && of(&by_text, "tokens") < of(&by_both, "tokens"));
    let files = by_both["weighted_by"]["files"].as_array().expect("files");
    assert_eq!((files.len(), &files[1]["sentences"]), (2, &Value::from(1000)));
}

#[test]
fn a_factorised_encoder_can_be_fine_tuned_and_a_factorised_student_distilled() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    small_data(dir);
    small_base(dir);
    let flags = "--epochs 1 --batch-size 8 --max-length 64 --quiet --json";
    let arguments = format!(
        "finetune --base {{dir}}/base --from-scratch --data {{dir}}/data --out {{dir}}/run {flags}"
    );
    stdout(dir, &arguments);
    stdout(dir, "factorize --model {dir}/run/best --rank 4 --out {dir}/thin --quiet");
    let again =
        format!("finetune --base {{dir}}/thin --data {{dir}}/data --out {{dir}}/again {flags}");
    let dense = 600 * 32;
    let before = json(dir, "export --model {dir}/run/best --out {dir}/copy --json --quiet");
    let parameters = |report: &Value| report["parameters"].as_u64().expect("a number");
    assert_eq!(parameters(&before) - parameters(&json(dir, &again)), dense - 4 * (600 + 32));
    let student = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/data --cache {{dir}}/cache \
         --max-position-embeddings 64 --quiet --json {SMALL_STUDENT}"
    );
    let dense_student = json(dir, &format!("{student} --out {{dir}}/student"));
    let thin_student = json(dir, &format!("{student} --out {{dir}}/thinner --embedding-rank 8"));
    let saved = parameters(&dense_student) - parameters(&thin_student);
    assert_eq!(saved, dense - 8 * (600 + 32));
}

#[test]
fn an_export_is_smaller_and_says_how_good_it_is() {
    let dir = tempdir().expect("a folder");
    let dir = dir.path();
    let mut sizes = vec![];
    for dtype in ["f32", "f16", "int8"] {
        let report = json(
            dir,
            &format!(
                "export --model {{tiny}}/teacher --dtype {dtype} --data {{tiny}}/test.txt \
                 --out {{dir}}/{dtype} --json --quiet"
            ),
        );
        let arguments = "evaluate --model {dir}/DTYPE --data {tiny}/test.txt --json --quiet";
        let scores = json(dir, &arguments.replace("DTYPE", dtype));
        assert_eq!(report["scores"]["after"]["word"], scores["word"], "{dtype}");
        let weights = dir.join(dtype).join("model.safetensors");
        let size = std::fs::metadata(weights).expect("weights").len();
        assert_eq!(report["size_bytes"], size);
        sizes.push(size as f64);
        let card = std::fs::read_to_string(dir.join(dtype).join("README.md")).expect("a card");
        let f1 = scores["word"]["default"]["f1"].as_f64().expect("a score");
        assert!(card.contains(&format!("{f1:.4}")), "{card}");
        assert!(card.contains("`test.txt`") && card.contains("understudy tag"), "{card}");
        assert!(card.starts_with(&format!("# {dtype}, a named-entity tagger")), "{card}");
        assert!(!card.contains(&dir.display().to_string()), "{card}");
    }
    assert!(sizes[1] < 0.6 * sizes[0] && sizes[2] < 0.4 * sizes[0], "{sizes:?}");
}
