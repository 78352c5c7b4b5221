//! The model card of an exported bundle: what it is, how good, how to load it, and what its licences
//! allow (Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993).

use std::fmt::Write;

use serde_json::Value;
use understudy_shared::checkpoint::bundle::Bundle;

use crate::cli::{DtypeName, ExportArgs};
use crate::dataset::{PAGE, PARQUET, Split};
use crate::runner::describe;

/// What a card is written from.
pub struct Card<'a> {
    /// What was typed.
    pub args: &'a ExportArgs,
    /// The model.
    pub bundle: &'a Bundle,
    /// Its report.
    pub report: &'a Value,
}

impl Card<'_> {
    /// The card.
    pub fn to_markdown(&self) -> String {
        let mut card = match self.args.out.file_name() {
            Some(name) => format!("# {}, a named-entity", name.to_string_lossy()),
            None => "# A named-entity".to_owned(),
        };
        card += " tagger by Understudy\n\n";
        self.what(&mut card);
        self.scores(&mut card);
        self.loading(&mut card);
        self.licence(&mut card);
        card
    }

    fn what(&self, card: &mut String) {
        let (config, report) = (&self.bundle.config, self.report);
        let table = match config.embedding_rank {
            Some(rank) => format!("factorised, rank {rank}"),
            None => "dense".to_owned(),
        };
        let labels = self.bundle.labels.entity_types().join(", ");
        let dtype = report["dtype"].as_str().unwrap_or("f32");
        let megabytes = report["size_bytes"].as_f64().unwrap_or(0.0) / 1e6;
        let mut row = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(card, "| {name} | {} |", value.replace('|', "\\|"));
        };
        row("property", "value");
        row("---", "---");
        row("architecture", &format!("BERT encoder, {}", describe(config)));
        row("token table", &table);
        row("entity types", &labels);
        row("parameters", &report["parameters"].to_string());
        row("weights", &format!("{dtype}, {megabytes:.1} MB"));
        let training = &report["training"];
        if let Some(command) = training["command"].as_str() {
            row("made by", &format!("`{command}`"));
        }
        for file in training["data"].as_array().into_iter().flatten() {
            let name = file["path"].as_str().unwrap_or_default();
            let sha256 = file["sha256"].as_str().unwrap_or_default();
            let short = sha256.get(..12).unwrap_or(sha256);
            row(part(name, file["sentences"].is_u64()), &format!("`{name}`, sha256 {short}…"));
        }
        if let Some(seed) = training["seed"].as_u64() {
            row("seed", &seed.to_string());
        }
    }

    fn scores(&self, card: &mut String) {
        let scores = &self.report["scores"];
        let after = &scores["after"];
        if after.is_null() {
            *card +=
                "\n## Scores\n\nNot measured: `understudy export --data FILE` measures them.\n";
            return;
        }
        let name = scores["data"]["path"].as_str().unwrap_or_default();
        let _ = write!(
            card,
            "\n## Scores\n\nEntity scores of this export on `{name}` ({} sentences, sha256 {}), as \
             seqeval counts them.\n\n| | precision | recall | F1 | F1 before export |\n\
             | --- | --- | --- | --- | --- |\n",
            after["sentences"],
            scores["data"]["sha256"].as_str().unwrap_or_default(),
        );
        let number = |value: &Value| format!("{:.4}", value.as_f64().unwrap_or(f64::NAN));
        for (title, unit, mode) in [
            ("words, default", "word", "default"),
            ("words, strict IOB2", "word", "strict"),
            ("sub-words, default", "subword", "default"),
            ("sub-words, strict IOB2", "subword", "strict"),
        ] {
            let (now, before) = (&after[unit][mode], &scores["before"][unit][mode]);
            let [precision, recall, f1, before] =
                [&now["precision"], &now["recall"], &now["f1"], &before["f1"]].map(number);
            let _ = writeln!(card, "| {title} | {precision} | {recall} | {f1} | {before} |");
        }
        for (entity_type, now) in
            after["word"]["default"]["per_type"].as_object().into_iter().flatten()
        {
            let before = &scores["before"]["word"]["default"]["per_type"][entity_type]["f1"];
            let [precision, recall, f1, before] =
                [&now["precision"], &now["recall"], &now["f1"], before].map(number);
            let _ = writeln!(card, "| {entity_type} | {precision} | {recall} | {f1} | {before} |");
        }
    }

    fn loading(&self, card: &mut String) {
        *card += "\n## How to use it\n\n```sh\nunderstudy tag --model . \"Ada Lovelace lived in London.\"\n```\n";
        let is_plain = self.args.dtype != DtypeName::Int8;
        *card += match (is_plain, self.bundle.config.embedding_rank) {
            (true, None) => {
                "\n`transformers.AutoModelForTokenClassification.from_pretrained` opens the folder too.\n"
            }
            (true, Some(_)) => {
                "\n`transformers` knows no factorised token table: `understudy export --dense` \
                 multiplies it out.\n"
            }
            (false, _) => {
                "\nMatrices are stored in eight bits (`I8`) with a scale a row (`…_scale`, `F32`): \
                 value = scale · q. Understudy turns them back into `f32` as it loads them.\n"
            }
        };
    }

    fn licence(&self, card: &mut String) {
        *card += "\n## Data and licences\n\n";
        *card += self.args.trained_on.as_deref().unwrap_or(
            "What text the model learned from was not said when it was exported \
             (`--trained-on`). A model may carry the conditions of its text and of its teacher.",
        );
        *card += "\n\nThe model finds what its training text calls an entity, in text like its training \
                  text; on other text expect lower scores, and do not base decisions about people on it \
                  alone.\n";
    }
}

/// What a file was to the run that read it, by its name and by whether it holds sentences.
fn part(path: &str, is_data: bool) -> &'static str {
    match Split::of(path) {
        _ if !is_data && path.ends_with(PAGE) => "names of its tags",
        _ if !is_data => "teacher or encoder",
        Some(Split::Train) => "learned from",
        Some(Split::Valid) => "best weights chosen by",
        Some(Split::Test) => "scored on",
        None if path.ends_with(PARQUET) => "labelled text",
        None => "text without labels",
    }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn a_file_has_its_part() {
        for (path, is_data, expected) in [
            ("owner/name@0a1b/config.json", false, "teacher or encoder"),
            ("vocab.txt", false, "teacher or encoder"),
            ("README.md", false, "names of its tags"),
            ("train.txt", true, "learned from"),
            ("data/validation-00000-of-00001.parquet", true, "best weights chosen by"),
            ("0000.parquet", true, "labelled text"),
            ("wiki.txt", true, "text without labels"),
        ] {
            assert_eq!(part(path, is_data), expected, "{path}");
        }
    }
}
