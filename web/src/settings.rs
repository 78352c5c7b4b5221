//! The settings of a run as the page shows them: their names and limits, and what can be trained.

use crate::number::shortest;
use crate::protocol::TrainSettings;

/// A number among the settings.
pub struct Field {
    /// For ids.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
    /// What it does, in a few words.
    pub help: &'static str,
    /// The least that makes sense.
    pub least: f64,
    /// The most that makes sense.
    pub most: f64,
    /// Whether it counts something.
    pub is_whole: bool,
    /// Looks at it.
    pub get: fn(&TrainSettings) -> f64,
    /// Changes it.
    pub set: fn(&mut TrainSettings, f64),
}

macro_rules! field {
    ($name:ident $kind:ty, $least:literal..$most:literal, $label:literal, $help:literal) => {
        Field {
            name: stringify!($name),
            label: $label,
            help: $help,
            least: $least,
            most: $most,
            // No fraction survives the way to a whole number and back.
            is_whole: 0.5 as $kind as f64 == 0.0,
            get: |settings| settings.$name as f64,
            set: |settings, value| settings.$name = value as $kind,
        }
    };
}

/// Every number, in the order of the page.
pub const FIELDS: [Field; 7] = [
    field!(steps usize, 1.0..5000.0, "Steps", "each learns from one batch"),
    field!(batch_size usize, 1.0..64.0, "Batch", "sentences in a step"),
    field!(learning_rate f64, 0.0000001..0.1, "Learning rate", "the highest; it falls towards the end"),
    field!(rehearsal f64, 0.0..0.9, "Rehearsal", "share of a batch that keeps what it knew"),
    field!(alpha f64, 0.0..1.0, "Alpha", "share of the soft loss"),
    field!(temperature f64, 1.0..20.0, "Temperature", "softens what the teacher says"),
    field!(seed u64, 0.0..9007199254740991.0, "Seed", "the same one gives the same run"),
];

/// Checks every number, `scope` aside, which is chosen from a list.
///
/// # Errors
///
/// The first that is out of its limits, or no number at all.
pub fn check(values: &[f64]) -> Result<(), String> {
    for (field, value) in FIELDS.iter().zip(values) {
        let is_inside = (field.least..=field.most).contains(value);
        if !is_inside || field.is_whole && value.fract() != 0.0 {
            let kind = if field.is_whole { "a whole number" } else { "a number" };
            return Err(format!(
                "{}: expected {kind} from {} to {}.",
                field.label,
                shortest(field.least),
                shortest(field.most)
            ));
        }
    }
    Ok(())
}

/// What can be trained of a student with so many layers: values of [`TrainSettings::scope`] with words for
/// them.
pub fn scopes(layers: usize) -> Vec<(String, String)> {
    let own = |value: &str, words: &str| (value.to_owned(), words.to_owned());
    let mut scopes = vec![own("head", "the head alone")];
    scopes.extend((1..layers).map(|count| {
        let words = if count == 1 { "layer".to_owned() } else { format!("{count} layers") };
        (format!("last:{count}"), format!("the head and the last {words}"))
    }));
    scopes.push(own("no-embeddings", "all but the embeddings"));
    scopes.push(own("all", "everything"));
    scopes.extend([4, 8, 16].map(|rank| (format!("lora:{rank}"), format!("LoRA of rank {rank}"))));
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> TrainSettings {
        TrainSettings {
            scope: "head".to_owned(),
            learning_rate: 5e-4,
            steps: 50,
            batch_size: 8,
            rehearsal: 0.5,
            temperature: 2.0,
            alpha: 0.5,
            seed: 7,
        }
    }

    #[test]
    fn a_field_is_looked_at_and_changed() {
        for field in &FIELDS {
            let mut settings = settings();
            (field.set)(&mut settings, 1.0);
            assert_eq!((field.get)(&settings), 1.0, "{}", field.name);
        }
        let whole: Vec<_> =
            FIELDS.iter().filter(|field| field.is_whole).map(|field| field.name).collect();
        assert_eq!(whole, ["steps", "batch_size", "seed"]);
    }

    #[test]
    fn values_out_of_their_limits_are_named() {
        let values = FIELDS.each_ref().map(|field| (field.get)(&settings()));
        assert_eq!(check(&values), Ok(()));
        for (index, value, want) in [
            (0, 0.0, "Steps: expected a whole number from 1 to 5000."),
            (1, 2.5, "Batch: expected a whole number from 1 to 64."),
            (2, f64::NAN, "Learning rate: expected a number from 0.0000001 to 0.1."),
            (3, 1.0, "Rehearsal: expected a number from 0 to 0.9."),
        ] {
            let mut values = values;
            values[index] = value;
            assert_eq!(check(&values), Err(want.to_owned()));
        }
    }

    #[test]
    fn scopes_follow_the_layers() {
        let names = |layers: usize| {
            scopes(layers).into_iter().map(|(value, _)| value).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(1), "head no-embeddings all lora:4 lora:8 lora:16");
        assert_eq!(names(3), "head last:1 last:2 no-embeddings all lora:4 lora:8 lora:16");
    }
}
