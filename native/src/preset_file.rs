//! Presets: files of flags, spliced in before the ones that were typed, which override them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches};

use crate::cli::Cli;
use crate::store;

/// The presets that ship with the program.
const SHIPPED: [(&str, &str); 4] = [
    ("seed", include_str!("../presets/seed.toml")),
    ("conll2003", include_str!("../presets/conll2003.toml")),
    ("best", include_str!("../presets/best.toml")),
    (TEXT, include_str!("../presets/text.toml")),
];

/// The preset of a distillation for which neither data nor a preset is typed.
const TEXT: &str = "text";

/// Flags that say which files a run reads and writes, not how it works.
const NOT_SETTINGS: [&str; 8] =
    ["preset", "teacher", "labels", "data", "text", "cache", "out", "resume"];

/// Reads a command line, with the flags of its `--preset` put in.
///
/// # Errors
///
/// A preset that is not there, is no TOML table of flags, or has a flag that the command lacks. What
/// is wrong with the typed flags themselves ends the process, as clap does it.
pub fn parse(typed: Vec<OsString>) -> Result<Cli> {
    let Some(name) = preset(&typed) else {
        return Ok(from_matches(&typed).unwrap_or_else(|error| error.exit()));
    };
    let is_help = |text: &OsString| text == "--help" || text == "-h";
    if typed.iter().any(is_help) {
        return Ok(from_matches(&typed).unwrap_or_else(|error| error.exit()));
    }
    let (source, text) = read(&name)?;
    let flags = flags(&text).with_context(|| format!("preset {source}"))?;
    let mut spliced = typed.clone();
    // Behind the program and the command.
    spliced.splice(2..2, flags);
    from_matches(&spliced).or_else(|error| {
        // An error of the typed flags alone is told as ever.
        if let Err(error) = from_matches(&typed) {
            error.exit();
        }
        let told = error.to_string();
        let first = told.lines().next().unwrap_or_default().trim_start_matches("error: ");
        bail!("preset {source}: {first}; expected flags of the command, without their dashes")
    })
}

fn from_matches(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    // `--epochs 3` after the preset's `--epochs 10` wins.
    let command = Cli::command().args_override_self(true);
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_subcommands(|command| {
        // An empty variable counts as none.
        command.args_override_self(true).mut_args(|argument| {
            match argument.get_env().is_some_and(is_empty) {
                true => argument.env(Resettable::Reset),
                false => argument,
            }
        })
    });
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// The preset of a distillation: the last one that was typed, or else the one for text alone where no
/// data was typed either.
fn preset(typed: &[OsString]) -> Option<String> {
    let texts: Vec<&str> = typed.iter().map(|text| text.to_str().unwrap_or_default()).collect();
    if texts.get(1) != Some(&"distill") {
        return None;
    }
    let value_of = |flag: &str| {
        let mut value = None;
        for (place, text) in texts.iter().enumerate() {
            match text.strip_prefix(flag) {
                Some("") => value = texts.get(place + 1).copied(),
                Some(rest) => value = rest.strip_prefix('=').or(value),
                None => {}
            }
        }
        value
    };
    let without_data = || value_of("--data").is_none().then_some(TEXT);
    value_of("--preset").or_else(without_data).map(str::to_owned)
}

/// A preset's text, by its name or its file.
fn read(name: &str) -> Result<(String, String)> {
    if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return Ok((format!("`{name}`"), (*text).to_owned()));
    }
    let path = Path::new(name);
    if !path.is_file() {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        bail!("--preset {name}: expected {} or a file of flags (.toml)", names.join(", "));
    }
    let text = String::from_utf8(store::read(path)?)
        .with_context(|| format!("{name}: expected text in UTF-8"))?;
    Ok((name.to_owned(), text))
}

/// `epochs = 10` as `--epochs=10`; `true` as the bare flag, `false` as none.
fn flags(text: &str) -> Result<Vec<OsString>> {
    let table: toml::Table =
        toml::from_str(text).context("expected lines `flag = value` (TOML)")?;
    let mut flags = Vec::new();
    for (name, value) in table {
        if NOT_SETTINGS.contains(&name.as_str()) {
            bail!("`{name}` is no setting; expected it on the command line");
        }
        let value = match value {
            toml::Value::Boolean(true) => {
                flags.push(format!("--{name}").into());
                continue;
            }
            toml::Value::Boolean(false) => continue,
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            other => {
                bail!("`{name}` is {}; expected a text, a number, true or false", other.type_str())
            }
        };
        flags.push(format!("--{name}={value}").into());
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, DistillArgs, InitName};
    use crate::preset::{distill, student};
    use understudy_shared::data::batch::BatchBudget;
    use understudy_shared::loss::objective::{Combination, Objective};
    use understudy_shared::model::BertConfig;
    use understudy_shared::train::adamw::AdamWConfig;

    fn parsed(flags: &str) -> Result<DistillArgs> {
        parsed_alone(&format!("--data d {flags}"))
    }

    fn parsed_alone(flags: &str) -> Result<DistillArgs> {
        let typed = format!("understudy distill --teacher t --out o {flags}");
        let cli = parse(typed.split_whitespace().map(OsString::from).collect())?;
        match cli.command {
            Command::Distill(args) => Ok(args),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn the_preset_seed_is_the_reference() -> Result<()> {
        let args = parsed("--preset seed")?;
        // All of it stands in the file, whatever the defaults are.
        let train = &args.train;
        assert_eq!((train.epochs, train.batch_size), (Some(10), Some(32)));
        assert_eq!((train.learning_rate, train.warmup_steps), (Some(3e-4), Some(400)));
        assert_eq!((train.weight_decay, train.max_gradient_norm), (Some(1e-6), Some(3.0)));
        assert_eq!((args.hidden_size, args.num_hidden_layers), (Some(384), Some(6)));
        assert_eq!((args.num_attention_heads, args.intermediate_size), (Some(6), Some(1024)));
        assert_eq!((args.temperature, args.plain_sum), (Some(2.0), true));
        let config = distill(&args)?;
        assert_eq!((config.epochs, config.batch), (10, BatchBudget::Sentences(32)));
        assert_eq!((config.learning_rate, config.warmup_steps), (3e-4, 400));
        assert_eq!((config.max_gradient_norm, config.text_ratio), (Some(3.0), None));
        assert_eq!((config.gradient_accumulation, config.seed), (1, 0));
        let optimizer = AdamWConfig { weight_decay: 1e-6, ..AdamWConfig::default() };
        assert_eq!(config.optimizer, optimizer);
        assert_eq!(config.objective, Objective::reference());
        assert_eq!(
            student(&args, &BertConfig::bert_base_cased())?,
            BertConfig::reference_student()
        );
        Ok(())
    }

    #[test]
    fn without_data_the_preset_is_that_for_text() -> Result<()> {
        let args = parsed_alone("--epochs 1")?;
        assert_eq!((args.init, args.train.epochs), (Some(InitName::Layers), Some(1)));
        let teacher = BertConfig::tiny(100);
        let small = DistillArgs { intermediate_size: Some(8), embedding_rank: Some(8), ..args };
        let shape = student(&small, &teacher)?;
        assert_eq!(shape.hidden_size, teacher.hidden_size);
        assert_eq!(parsed_alone("--preset seed")?.train.epochs, Some(10));
        assert_eq!(parsed("")?.init, None);
        Ok(())
    }

    #[test]
    fn what_a_preset_switches_on_can_be_switched_off() -> Result<()> {
        let no_decay =
            |flags: &str| Ok::<_, anyhow::Error>(parsed(flags)?.train.no_decay_on_bias_and_norm);
        assert!(no_decay("--preset conll2003")? && no_decay("--no-decay-on-bias-and-norm")?);
        assert!(
            !no_decay("--preset conll2003 --no-decay-on-bias-and-norm=false")? && !no_decay("")?
        );
        Ok(())
    }

    #[test]
    fn typed_flags_override_the_preset_wherever_they_stand() -> Result<()> {
        for flags in
            ["--preset seed --epochs 2 --alpha 0.7", "--alpha=0.7 --epochs=2 --preset=seed"]
        {
            let config = distill(&parsed(flags)?)?;
            assert_eq!((config.epochs, config.learning_rate), (2, 3e-4));
            assert_eq!(config.objective.combination, Combination::Weighted { alpha: 0.7 });
        }
        Ok(())
    }

    #[test]
    fn every_shipped_preset_is_a_valid_command_line() -> Result<()> {
        for (name, _) in SHIPPED {
            let args = parsed(&format!("--preset {name}"))?;
            distill(&args)?;
            student(&args, &BertConfig::bert_base_cased())?;
        }
        Ok(())
    }

    #[test]
    fn presets_that_are_none_are_told() -> Result<()> {
        let check = |flags: &str, expected: &str| {
            let message = format!("{:#}", parsed(flags).expect_err(flags));
            assert!(message.contains(expected), "{message}");
        };
        check(
            "--preset best-of-all",
            "--preset best-of-all: expected seed, conll2003, best, text or a file",
        );
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("mine.toml");
        let flags = format!("--preset {}", path.display());
        for (text, expected) in [
            ("epochs", "expected lines `flag = value` (TOML)"),
            ("epoch = 3", "unexpected argument '--epoch'"),
            ("epochs = [3]", "`epochs` is array; expected a text, a number, true or false"),
            ("epochs = \"many\"", "invalid value 'many'"),
            ("text = \"news.txt\"", "`text` is no setting; expected it on the command line"),
        ] {
            std::fs::write(&path, text)?;
            check(&flags, expected);
        }
        std::fs::write(&path, "# mine\nepochs = 3\nplain-sum = false\n")?;
        assert_eq!(parsed(&flags)?.train.epochs, Some(3));
        Ok(())
    }
}
