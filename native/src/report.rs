//! The report of a training run: `report.json` is the JSON of [`Report`], and [`html`] turns it
//! into one self-contained page, without network or script.

mod curves;
mod page;

use serde::Serialize;
use serde_json::Value;
use understudy_shared::loss::objective::{Combination, Objective};

pub use page::html;
pub use understudy_shared::metric::entity_f1::{EntityF1 as ModeScores, Scores};

/// What a run did and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The command line.
    pub command: String,
    /// What was trained.
    pub model: ModelSummary,
    /// Where it was trained.
    pub device: String,
    /// Time of the training with its evaluations and checkpoints, of all sessions of a resumed run: without
    /// what came before, such as the teacher's labelling, and without the scores of the best weights.
    pub wall_seconds: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// All settings.
    pub config: Value,
    /// Data and weights that went in.
    pub data: Vec<FileHash>,
    /// One point a training step, ascending.
    pub curve: Vec<CurvePoint>,
    /// One point an evaluation on the dev split, ascending.
    pub evaluations: Vec<EvaluationPoint>,
    /// Final scores by split.
    pub scores: Vec<SplitScores>,
    /// The model beside its teacher, where it learned from text alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// The split in which the teacher's entities are what is looked for.
pub const AGREEMENT: &str = "agreement";

/// A student beside its teacher, both on the text that was held out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The student.
    pub student: Compared,
    /// Its teacher.
    pub teacher: Compared,
}

/// How large and how fast a model is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Values, the head's included.
    pub parameters: usize,
    /// Read of the held-out text.
    pub subwords_per_second: f64,
}

/// The trained model in a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSummary {
    /// For people, such as `student: hidden 384, 6 layers`.
    pub description: String,
    /// Number of trained values.
    pub parameters: usize,
    /// Size of the weights file.
    pub size_bytes: usize,
}

/// A file that went into the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileHash {
    /// As it was named.
    pub path: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// `None` for a file that is not data, such as weights.
    pub sentences: Option<usize>,
}

/// A training step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Counted from 1.
    pub step: usize,
    /// Counted from 1.
    pub epoch: usize,
    /// Of this step's batch; NaN is `null` in JSON.
    pub loss: f64,
    /// In force at this step.
    pub learning_rate: f64,
    /// Global norm before clipping; NaN is `null` in JSON.
    pub gradient_norm: f64,
    /// Sub-words in this step's batch, without padding.
    pub subwords: usize,
}

/// An evaluation on the dev split during training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationPoint {
    /// Steps trained before it.
    pub step: usize,
    /// Epochs done, as a fraction.
    pub epoch: f64,
    /// Micro F1 by which the best weights are chosen.
    pub f1: f64,
    /// Mean cross entropy; NaN is `null` in JSON.
    pub loss: f64,
    /// Whether these weights were kept in the end.
    pub best: bool,
}

/// Scores on one split in the four modes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitScores {
    /// Such as `dev` or `test`.
    pub split: String,
    /// Number of sentences.
    pub sentences: usize,
    /// Number of words.
    pub words: usize,
    /// A word takes the tag of its first sub-word; spans as seqeval's default.
    pub word_default: ModeScores,
    /// A word takes the tag of its first sub-word; strict IOB2.
    pub word_strict: ModeScores,
    /// Every sub-word has a tag; spans as seqeval's default.
    pub subword_default: ModeScores,
    /// Every sub-word has a tag; strict IOB2.
    pub subword_strict: ModeScores,
}

impl EvaluationPoint {
    /// The epoch that it ended, or how far it was into the next one.
    fn epoch(&self) -> String {
        let decimals = usize::from((self.epoch - self.epoch.round()).abs() > 1e-9);
        format!("{:.decimals$}", self.epoch)
    }
}

impl Report {
    /// What training minimised.
    fn loss_name(&self) -> &'static str {
        let objective = serde_json::from_value(self.config["train"]["objective"].clone());
        let Ok(Objective { combination, final_alpha, hidden_weight, .. }) = objective else {
            return "loss";
        };
        let (soft, hard) = match combination {
            Combination::Hard => (false, true),
            Combination::Sum => (true, true),
            Combination::Weighted { alpha } => {
                let last = final_alpha.unwrap_or(alpha);
                (alpha.max(last) > 0.0, alpha.min(last) < 1.0)
            }
        };
        match (soft, hard, hidden_weight > 0.0) {
            (true, true, true) => "soft, hard and hidden loss",
            (true, true, false) => "soft and hard loss",
            (true, false, true) => "soft and hidden loss",
            (true, false, false) => "soft loss",
            (false, _, true) => "cross entropy and hidden loss",
            (false, _, false) => "cross entropy",
        }
    }

    /// What is drawn after each evaluation.
    fn f1_name(&self) -> &'static str {
        match self.comparison {
            Some(_) => "Agreement with the teacher, F1",
            None => "Dev F1",
        }
    }

    /// What it is measured on.
    fn dev_name(&self) -> &'static str {
        match self.comparison {
            Some(_) => "the held-out text",
            None => "the dev split",
        }
    }

    /// The same beside a line.
    fn dev_short(&self) -> &'static str {
        match self.comparison {
            Some(_) => "held out",
            None => "dev",
        }
    }
}

impl Comparison {
    /// For a terminal.
    pub fn to_table(&self) -> String {
        let mut text = format!("{:<20}{:>10}{:>10}", "", "student", "teacher");
        for (name, [student, teacher]) in self.rows() {
            text += &format!("\n{name:<20}{student:>10}{teacher:>10}");
        }
        text
    }

    /// Names and values of student and teacher; how many times as fast the student is stands last.
    fn rows(&self) -> [(&'static str, [String; 2]); 3] {
        let Self { student, teacher } = self;
        let both = |of: fn(&Compared) -> String| [of(student), of(teacher)];
        let ratio = student.subwords_per_second / teacher.subwords_per_second;
        [
            ("parameters", both(|model| format!("{:.1} M", model.parameters as f64 / 1e6))),
            ("sub-words/s", both(|model| format!("{:.0}", model.subwords_per_second))),
            ("speed", [format!("{ratio:.2} ×"), "1 ×".to_owned()]),
        ]
    }
}

impl SplitScores {
    fn modes(&self) -> [(&'static str, &ModeScores); 4] {
        [
            ("word, default", &self.word_default),
            ("word, strict", &self.word_strict),
            ("sub-word, default", &self.subword_default),
            ("sub-word, strict", &self.subword_strict),
        ]
    }
}

/// A command as it is typed into a shell, quoted where it must be.
pub fn shell_line<S: AsRef<str>>(words: &[S]) -> String {
    // An argument of a program holds no NUL, which is all that cannot be quoted.
    let quoted = |text: &str| shlex::try_quote(text).unwrap_or_default().into_owned();
    let words = words.iter().map(|word| match word.as_ref().split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => format!("{flag}={}", quoted(value)),
        _ => quoted(word.as_ref()),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scores(f1: f64) -> Scores {
        Scores { precision: f1 + 0.01, recall: f1 - 0.01, f1, support: 1668 }
    }

    fn mode(f1: f64) -> ModeScores {
        let per_type = [("LOC", 0.03), ("MISC", -0.1), ("ORG", -0.02), ("PER", 0.04)];
        let per_type = per_type.map(|(name, more)| (name.to_owned(), scores(f1 + more)));
        ModeScores {
            per_type: per_type.into(),
            micro: scores(f1),
            macro_average: scores(f1 - 0.01),
        }
    }

    /// A made-up run of 4,390 steps in 10 epochs.
    pub fn sample() -> Report {
        let curve = (1..=4390).map(|step| CurvePoint {
            step,
            epoch: step.div_ceil(439),
            loss: 0.1 + 6.0 * (-(step as f64) / 500.0).exp() * (1.3 + (step as f64 * 1.7).sin()),
            learning_rate: 3e-4 * (step as f64 / 400.0).min((4390 - step) as f64 / 3990.0),
            gradient_norm: 1.0,
            subwords: 700,
        });
        let evaluations = (1..=10).map(|epoch| EvaluationPoint {
            step: epoch * 439,
            epoch: epoch as f64,
            f1: 0.83 - 0.45 * (-(epoch as f64) / 2.0).exp() - if epoch == 10 { 0.01 } else { 0.0 },
            loss: 0.3 + 2.0 * (-(epoch as f64)).exp(),
            best: epoch == 9,
        });
        let file = |path: &str, sentences| FileHash {
            path: path.to_owned(),
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            sentences,
        };
        let split = |split: &str, f1: f64| SplitScores {
            split: split.to_owned(),
            sentences: 3453,
            words: 46435,
            word_default: mode(f1),
            word_strict: mode(f1 + 0.002),
            subword_default: mode(f1 - 0.06),
            subword_strict: mode(f1 - 0.02),
        };
        Report {
            command: "understudy distill --teacher models/teacher --data \"A&B\"".to_owned(),
            model: ModelSummary {
                description: "Student: hidden 384, 6 layers, <b>random</b> init".to_owned(),
                parameters: 19_620_489,
                size_bytes: 78_486_000,
            },
            device: "flex, 2 threads".to_owned(),
            wall_seconds: 1340.0,
            seed: 0,
            config: json!({
                "train": {"objective": Objective::reference()},
                "optimizer": {"name": "adamw", "betas": [0.9, 0.999]},
            }),
            data: vec![file("data/train.conll", Some(14041)), file("model.safetensors", None)],
            curve: curve.collect(),
            evaluations: evaluations.collect(),
            scores: vec![split("dev", 0.8244), split("test", 0.7584)],
            comparison: None,
        }
    }

    #[test]
    fn an_epoch_keeps_its_fraction_where_it_has_one() {
        let of = |epoch| EvaluationPoint { epoch, ..sample().evaluations[0].clone() }.epoch();
        assert_eq!([of(3.0), of(2.3), of(1.0 + 2.0 / 3.0)], ["3", "2.3", "1.7"]);
    }

    #[test]
    fn the_loss_has_the_name_of_what_is_minimised() {
        let name = |objective: Objective| {
            let config = json!({ "train": { "objective": objective } });
            Report { config, ..sample() }.loss_name()
        };
        let weighted =
            |alpha| Objective { combination: Combination::Weighted { alpha }, ..Objective::hard() };
        assert_eq!(name(Objective::hard()), "cross entropy");
        assert_eq!(name(Objective::reference()), "soft and hard loss");
        assert_eq!(name(weighted(0.5)), "soft and hard loss");
        assert_eq!(name(weighted(1.0)), "soft loss");
        assert_eq!(name(weighted(0.0)), "cross entropy");
        let changing = Objective { final_alpha: Some(0.5), hidden_weight: 1.0, ..weighted(1.0) };
        assert_eq!(name(changing), "soft, hard and hidden loss");
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_null() -> serde_json::Result<()> {
        let mut report = sample();
        report.curve[7].loss = f64::NAN;
        let value = serde_json::to_value(&report)?;
        assert_eq!(
            (&value["curve"][7]["loss"], &value["curve"][8]["step"]),
            (&json!(null), &json!(9))
        );
        assert!(!html(&report).contains("NaN"));
        Ok(())
    }
}
