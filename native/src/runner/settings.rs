//! What a run is, as it stands in `run.json`: one that is continued must be the same.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use understudy_shared::data::example::ExampleOptions;
use understudy_shared::data::label::LabelSet;
use understudy_shared::model::BertConfig;
use understudy_shared::train::config::TrainConfig;

use crate::cli::TrainArgs;
use crate::hub::Origin;
use crate::report::FileHash;
use crate::store::{self, RUN_CONFIG, RunFolder};

/// What a run is: all of it is known before any long work, but for steps of warm-up that follow from the
/// number of steps.
pub struct Settings<'a> {
    /// For people: what is trained.
    pub description: String,
    /// What the model began with.
    pub init: &'static str,
    /// Its folder.
    pub out: &'a Path,
    /// What was typed.
    pub args: &'a TrainArgs,
    /// What it means.
    pub config: TrainConfig,
    /// How sentences became examples.
    pub options: ExampleOptions,
    /// The model's configuration.
    pub model_config: BertConfig,
    /// Its labels.
    pub labels: LabelSet,
    /// Hashes of everything that went in.
    pub inputs: Vec<FileHash>,
    /// The repositories of the hub it is from.
    pub origins: Vec<Origin>,
}

impl Settings<'_> {
    /// Takes the folder for this process, to be asked for before long work.
    ///
    /// # Errors
    ///
    /// Those of [`RunFolder::create`], and a run that was begun with other settings.
    pub fn open(&self) -> Result<RunFolder> {
        let folder = RunFolder::create(self.out, self.args.resume)?;
        if self.args.resume {
            self.compare(&folder, self.args.warmup_steps.is_some())?;
        }
        Ok(folder)
    }

    /// Writes them into the folder of a new run, or compares all of them with those of a run that is
    /// continued; gives them as they stand there.
    pub(super) fn keep(&self, folder: &RunFolder) -> Result<Value> {
        let snapshot = self.snapshot();
        if self.args.resume {
            self.compare(folder, true)?;
        } else {
            let bytes = serde_json::to_vec_pretty(&snapshot)?;
            store::write_atomic(&folder.file(RUN_CONFIG), &bytes)?;
        }
        Ok(snapshot)
    }

    fn snapshot(&self) -> Value {
        json!({
            "understudy": env!("CARGO_PKG_VERSION"),
            "model": self.description,
            "init": self.init,
            "mention_copies": self.args.mention_copies.unwrap_or(0),
            "train": self.config,
            "examples": self.options,
            "student_or_teacher": self.model_config,
            "labels": self.labels,
            "files": self.inputs,
            "hub": self.origins,
        })
    }

    fn compare(&self, folder: &RunFolder, with_warmup: bool) -> Result<()> {
        let path = folder.file(RUN_CONFIG);
        let before: Value = serde_json::from_slice(&store::read(&path)?)
            .with_context(|| format!("{}: expected the settings of a run", path.display()))?;
        let (before, now) = (flat(&before), flat(&self.snapshot()));
        // A file is what it holds, wherever it lies or comes from.
        let is_path = |key: &str| {
            key.starts_with("files.") && key.ends_with(".path")
                || key == "hub"
                || key.starts_with("hub.")
        };
        let is_compared =
            |key: &&String| !is_path(key) && (with_warmup || *key != "train.warmup_steps");
        for key in before.keys().chain(now.keys()).filter(is_compared) {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            ensure!(
                before.get(key) == now.get(key),
                "cannot resume {}: {key} was {}, now {}; expected the settings and files the run \
                 began with",
                path.display(),
                show(before.get(key)),
                show(now.get(key))
            );
        }
        Ok(())
    }
}

/// Nested settings as `train.learning_rate` and the like.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn add(prefix: &str, value: &Value, all: &mut BTreeMap<String, Value>) {
        let join = |key: &str| match prefix {
            "" => key.to_owned(),
            _ => format!("{prefix}.{key}"),
        };
        match value {
            Value::Object(object) => {
                object.iter().for_each(|(key, value)| add(&join(key), value, all));
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, item)| add(&join(&i.to_string()), item, all));
            }
            other => drop(all.insert(prefix.to_owned(), other.clone())),
        }
    }
    let mut all = BTreeMap::new();
    add("", value, &mut all);
    all
}
