//! A `tokenizer.json` from an older model's `vocab.txt`, one entry a line, its number the id.
//!
//! Many taggers were published before `tokenizer.json` was. What is made here is what
//! `BertConverter` of transformers makes of the same files:
//! <https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/convert_slow_tokenizer.py>.

use serde_json::{Map, Value, json};
use thiserror::Error;

/// Entries with a meaning of their own, in the order of BERT's vocabularies.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// What can be wrong with the files of an older tokenizer.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum VocabularyError {
    /// Not text.
    #[error("vocab.txt: not valid UTF-8; expected one entry of the vocabulary a line")]
    NotUtf8,
    /// An entry that BERT's tokenizer cannot do without.
    #[error("vocab.txt: no entry `{0}`; expected the WordPiece vocabulary of a BERT")]
    Missing(&'static str),
    /// The settings are no JSON object.
    #[error("tokenizer_config.json: {0}; expected a JSON object")]
    Settings(String),
}

/// The `tokenizer.json` of a WordPiece vocabulary.
///
/// `settings` is `tokenizer_config.json`. Where it does not say whether letters are lowered, the
/// vocabulary does: one without a capital letter is an uncased one.
///
/// # Errors
///
/// The [`VocabularyError`] of the first thing that is wrong.
pub fn tokenizer_json(
    vocabulary: &[u8],
    settings: Option<&[u8]>,
) -> Result<Vec<u8>, VocabularyError> {
    let text = std::str::from_utf8(vocabulary).map_err(|_| VocabularyError::NotUtf8)?;
    let mut ids = Map::new();
    for (id, entry) in text.lines().enumerate() {
        ids.insert(entry.to_owned(), json!(id));
    }
    for needed in &SPECIAL[1..4] {
        if !ids.contains_key(*needed) {
            return Err(VocabularyError::Missing(needed));
        }
    }
    let settings: Map<String, Value> = match settings {
        Some(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| VocabularyError::Settings(error.to_string()))?,
        None => Map::new(),
    };
    let flag = |name: &str| settings.get(name).and_then(Value::as_bool);
    let has_capitals = ids
        .keys()
        .filter(|entry| !SPECIAL.contains(&entry.as_str()))
        .any(|entry| entry.contains(char::is_uppercase));
    let special = SPECIAL.iter().filter_map(|name| Some((*name, ids.get(*name)?.clone())));
    let added: Vec<Value> = special.map(|(name, id)| added_token(name, &id)).collect();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": flag("tokenize_chinese_chars").unwrap_or(true),
            "strip_accents": flag("strip_accents"),
            "lowercase": flag("do_lower_case").unwrap_or(!has_capitals),
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": frame(&ids),
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    });
    Ok(tokenizer.to_string().into_bytes())
}

fn added_token(name: &str, id: &Value) -> Value {
    json!({
        "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    })
}

/// `[CLS]`, the text, `[SEP]`.
fn frame(ids: &Map<String, Value>) -> Value {
    let special = |name: &str| json!({ "SpecialToken": { "id": name, "type_id": 0 } });
    let sequence = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    let entry = |name: &str| json!({ "id": name, "ids": [ids[name]], "tokens": [name] });
    json!({
        "type": "TemplateProcessing",
        "single": [special("[CLS]"), sequence("A"), special("[SEP]")],
        "pair": [special("[CLS]"), sequence("A"), special("[SEP]"), sequence("B"), special("[SEP]")],
        "special_tokens": { "[CLS]": entry("[CLS]"), "[SEP]": entry("[SEP]") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenize::SubwordTokenizer;

    const CASED: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nAda\nlove\n##lace\nada\n";

    fn ids(vocabulary: &str, settings: Option<&[u8]>, words: &[&str]) -> Vec<u32> {
        let json = tokenizer_json(vocabulary.as_bytes(), settings).expect("a vocabulary");
        let tokenizer = SubwordTokenizer::from_bytes(&json).expect("a tokenizer");
        assert_eq!(tokenizer.vocab_size(), vocabulary.lines().count());
        assert_eq!((tokenizer.mask_id(), tokenizer.frame([9].into_iter())), (4, vec![2, 9, 3]));
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        tokenizer.encode_words(&words).expect("sub-words").ids
    }

    #[test]
    fn a_vocabulary_becomes_a_tokenizer() {
        assert_eq!(ids(CASED, None, &["Ada", "lovelace", "x"]), [5, 6, 7, 1]);
        let windows = CASED.replace('\n', "\r\n");
        assert_eq!(ids(&windows, None, &["ada"]), [8]);
    }

    #[test]
    fn letters_are_lowered_where_the_settings_or_the_vocabulary_say_so() {
        assert_eq!(ids(CASED, Some(br#"{"do_lower_case": true}"#), &["Ada"]), [8]);
        let uncased = CASED.replace("Ada", "eda");
        assert_eq!(ids(&uncased, None, &["Ada"]), [8]);
        assert_eq!(ids(&uncased, Some(br#"{"do_lower_case": false}"#), &["Ada"]), [1]);
    }

    #[test]
    fn files_that_are_none_are_told() {
        let check = |bytes: &[u8], settings: Option<&[u8]>, expected: &str| {
            let message = tokenizer_json(bytes, settings).expect_err(expected).to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(b"\xff", None, "vocab.txt: not valid UTF-8");
        check(b"[UNK]\n[CLS]\n", None, "vocab.txt: no entry `[SEP]`");
        check(CASED.as_bytes(), Some(b"[]"), "tokenizer_config.json");
    }
}
