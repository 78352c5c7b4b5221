//! The parts of a `tokenizer.json` that are needed, read with care: the library ends the process over some
//! decoders and post-processors that it does not understand, so it never sees these.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::Tokenizer;

use super::tokenize::TokenizeError;

/// What stays of the file. All but the model is small, and read whole to be sure that it is JSON.
#[derive(Deserialize, Serialize)]
struct Parts<'a> {
    version: Value,
    #[serde(default)]
    added_tokens: Vec<Value>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default, skip_serializing)]
    post_processor: Option<PostProcessor>,
    #[serde(borrow)]
    model: &'a RawValue,
}

/// What puts special tokens around a text.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum PostProcessor {
    TemplateProcessing { single: Vec<Piece>, special_tokens: HashMap<String, Special> },
    BertProcessing { cls: (String, u32), sep: (String, u32) },
    RobertaProcessing { cls: (String, u32), sep: (String, u32) },
    Sequence { processors: Vec<PostProcessor> },
    ByteLevel {},
}

#[derive(Deserialize)]
enum Piece {
    SpecialToken { id: String },
    Sequence {},
}

#[derive(Deserialize)]
struct Special {
    ids: Vec<u32>,
}

impl PostProcessor {
    /// The special tokens of an empty text; those that have no id are left out.
    fn frame(&self) -> Vec<u32> {
        match self {
            Self::TemplateProcessing { single, special_tokens } => {
                let named = single.iter().filter_map(|piece| match piece {
                    Piece::SpecialToken { id } => special_tokens.get(id),
                    Piece::Sequence {} => None,
                });
                named.flat_map(|special| special.ids.iter().copied()).collect()
            }
            Self::BertProcessing { cls, sep } | Self::RobertaProcessing { cls, sep } => {
                vec![cls.1, sep.1]
            }
            Self::Sequence { processors } => processors.iter().flat_map(Self::frame).collect(),
            Self::ByteLevel {} => vec![],
        }
    }
}

/// A tokenizer without special tokens, and the ids of the two that frame a text. Truncation, padding and
/// decoder are left out.
///
/// # Errors
///
/// Bytes that are no tokenizer, or one that frames a text in another way.
pub(super) fn parse(bytes: &[u8]) -> Result<(Tokenizer, [u32; 2]), TokenizeError> {
    let parts: Parts<'_> =
        serde_json::from_slice(bytes).map_err(|error| TokenizeError::Parse(error.to_string()))?;
    let frame = parts.post_processor.as_ref().map(PostProcessor::frame).unwrap_or_default();
    let needed = serde_json::to_vec(&parts).expect("what was read can be written");
    let inner = Tokenizer::from_bytes(needed)
        .map_err(|reason| TokenizeError::Parse(reason.to_string()))?;
    let [classify, separate] = *frame else {
        return Err(TokenizeError::Frame { found: frame.len() });
    };
    match [classify, separate].into_iter().find(|id| inner.id_to_token(*id).is_none()) {
        Some(id) => Err(TokenizeError::NoSpecial { id }),
        None => Ok((inner, [classify, separate])),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokenize::tests::SMALL;
    use super::*;

    fn with(from: &str, to: &str) -> Result<[u32; 2], String> {
        assert!(SMALL.contains(from), "{from}");
        let text = SMALL.replace(from, to);
        parse(text.as_bytes()).map(|(_, frame)| frame).map_err(|error| error.to_string())
    }

    #[test]
    fn a_frame_is_found_in_each_form() {
        let start = SMALL.find("{\"type\":\"TemplateProcessing\"").expect("there");
        let end = SMALL.find(",\n        \"decoder\"").expect("there");
        let template = &SMALL[start..end];
        assert_eq!(with(template, template), Ok([2, 3]));
        let bert = r#"{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}"#;
        assert_eq!(with(template, bert), Ok([2, 3]));
        let sequence = format!(r#"{{"type":"Sequence","processors":[{bert}]}}"#);
        assert_eq!(with(template, &sequence), Ok([2, 3]));
        let error = with(template, "null").expect_err("no frame");
        assert!(error.contains("becomes 0 special tokens"), "{error}");
        let error = with(template, r#"{"type":"Odd"}"#).expect_err("unknown");
        assert!(error.contains("unknown variant `Odd`"), "{error}");
    }

    #[test]
    fn what_the_library_ends_the_process_over_is_an_error_or_not_read() {
        // A decoder with half a surrogate pair, a special token without ids, and one beyond the vocabulary.
        assert_eq!(with("\"decoder\":null", r#""decoder":{"type":"\ud800"}"#), Ok([2, 3]));
        let error = with("\"[SEP]\":{\"id\"", "\"[OTHER]\":{\"id\"").expect_err("no ids");
        assert!(error.contains("becomes 1 special tokens"), "{error}");
        let error = with("\"ids\":[3]", "\"ids\":[4000000000]").expect_err("no such id");
        assert!(error.contains("4000000000 is not in the vocabulary"), "{error}");
    }
}
