//! `tag`: the entities of texts, with half-open places in bytes and in characters.

use std::io::{self, BufRead, BufReader, IsTerminal};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::infer::tagger::{Entity, TagOptions, tag};

use super::print;
use crate::bundle_dir::BundleDir;
use crate::cli::TagArgs;
use crate::device::{self, Wanted};
use crate::hub::Hub;
use crate::{preset, shipped, store};

/// What may stand before the first text, and is no part of it.
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Texts that are tagged together.
const CHUNK: usize = 64;

/// Tags.
pub fn run(args: &TagArgs) -> Result<()> {
    ensure!(
        (0.0..=1.0).contains(&args.threshold),
        "--threshold {}: expected a number from 0 to 1",
        args.threshold
    );
    let files =
        BundleDir::read(&shipped::student(&Hub::new(&args.common), args.model.as_deref())?)?;
    let files = files.with_labels(args.labels.as_deref())?;
    device::choose(args.device, args.common.quiet || args.device == Wanted::Cpu)?;
    let mut bundle = files.load(&device::device())?;
    if let Some(text) = &args.text {
        return tag_all(&mut bundle, std::slice::from_ref(text), args);
    }
    if let Some(path) = &args.file {
        let text = String::from_utf8(store::read(path)?)
            .with_context(|| format!("{}: expected text in UTF-8", path.display()))?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        return lines.chunks(CHUNK).try_for_each(|texts| tag_all(&mut bundle, texts, args));
    }
    tag_stdin(&mut bundle, args)
}

/// Lines go through in chunks; where the next one is not there yet, those that are wait for none.
fn tag_stdin(bundle: &mut Bundle, args: &TagArgs) -> Result<()> {
    let mut stdin = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let mut texts = Vec::new();
    for number in 1.. {
        let mut line = Vec::new();
        if stdin.read_until(b'\n', &mut line).context("stdin")? == 0 {
            break;
        }
        let line = String::from_utf8(line);
        let is_text = line.is_ok();
        if let Ok(line) = &line {
            let mark = if number == 1 { BYTE_ORDER_MARK } else { "" };
            let line = line.strip_prefix(mark).unwrap_or(line);
            let line = line.strip_suffix('\n').unwrap_or(line);
            texts.push(line.strip_suffix('\r').unwrap_or(line).to_owned());
        }
        if texts.len() >= CHUNK || !is_text || !stdin.buffer().contains(&b'\n') {
            tag_all(bundle, &texts, args)?;
            texts.clear();
        }
        line.with_context(|| format!("stdin, line {number}: expected UTF-8"))?;
    }
    Ok(())
}

fn tag_all(bundle: &mut Bundle, texts: &[String], args: &TagArgs) -> Result<()> {
    let options =
        TagOptions { decoding: preset::decoding(args.decoding), threshold: args.threshold };
    let tagged = device::retry(args.common.quiet, || {
        bundle.model = bundle.model.clone().with_feed(device::feed());
        Ok(pollster::block_on(tag(bundle, texts, options))?)
    })?;
    for (text, entities) in texts.iter().zip(tagged) {
        print(&if args.common.json {
            json_line(text, &entities)
        } else if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            coloured(text, &entities)
        } else {
            plain(text, &entities)
        })?;
    }
    Ok(())
}

/// `{"text", "entities": [{"entity_type", "text", "start_byte", …, "score"}]}`.
fn json_line(text: &str, entities: &[Entity]) -> String {
    // Entities stand in order, so what was counted is not counted again.
    let (mut byte, mut char) = (0, 0);
    let entities: Vec<Value> = entities
        .iter()
        .map(|entity| {
            let words = &text[entity.start_byte..entity.end_byte];
            char += text[byte..entity.start_byte].chars().count();
            byte = entity.start_byte;
            json!({
                "entity_type": entity.entity_type,
                "text": words,
                "start_byte": entity.start_byte,
                "end_byte": entity.end_byte,
                "start_char": char,
                "end_char": char + words.chars().count(),
                "score": (f64::from(entity.score) * 1e4).round() / 1e4,
            })
        })
        .collect();
    json!({ "text": text, "entities": entities }).to_string()
}

/// `[Ada Lovelace](PER) lived in [London](LOC).`
fn plain(text: &str, entities: &[Entity]) -> String {
    marked(text, entities, |entity, words| format!("[{words}]({})", entity.entity_type))
}

fn coloured(text: &str, entities: &[Entity]) -> String {
    marked(text, entities, |entity, words| {
        let sum: usize = entity.entity_type.bytes().map(usize::from).sum();
        let colour = match entity.entity_type.as_str() {
            "PER" => 34,
            "ORG" => 35,
            "LOC" => 32,
            "MISC" => 33,
            _ => 31 + sum % 6,
        };
        format!("\x1b[1;{colour}m{words}\x1b[0;2m {}\x1b[0m", entity.entity_type)
    })
}

fn marked(text: &str, entities: &[Entity], mark: impl Fn(&Entity, &str) -> String) -> String {
    let mut line = String::new();
    let mut end = 0;
    for entity in entities {
        // Sub-words of one letter, such as the parts of a Korean syllable, have the same place.
        if entity.start_byte < end {
            continue;
        }
        line += &text[end..entity.start_byte];
        line += &mark(entity, &text[entity.start_byte..entity.end_byte]);
        end = entity.end_byte;
    }
    line + &text[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(start_byte: usize, end_byte: usize) -> Entity {
        Entity { entity_type: "PER".to_owned(), start_byte, end_byte, score: 0.987_654 }
    }

    #[test]
    fn json_counts_bytes_and_characters() {
        let line = json_line("été Ada ü Ada", &[entity(6, 9), entity(10, 12), entity(10, 16)]);
        let value: Value = serde_json::from_str(&line).expect("JSON");
        let want = json!({"entity_type": "PER", "text": "Ada", "start_byte": 6, "end_byte": 9,
            "start_char": 4, "end_char": 7, "score": 0.9877});
        assert_eq!(value["entities"][0], want);
        let chars = [1, 2].map(|index| {
            let entity = &value["entities"][index];
            [entity["start_char"].clone(), entity["end_char"].clone()]
        });
        assert_eq!(json!(chars), json!([[8, 9], [8, 13]]));
    }

    #[test]
    fn plain_text_is_marked_in_place() {
        assert_eq!(plain("été Ada.", &[entity(6, 9)]), "été [Ada](PER).");
    }
}
