//! What a `tokenizer.json` must be before the library reads it: it ends the process over some files, and over
//! post-processors that name what is not there.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{PostProcessorWrapper, Tokenizer};

use super::tokenize::TokenizeError;

/// What is looked at. A [`Value`] only has to be JSON: the library expects that, and its own error is none.
#[derive(Deserialize)]
struct Parts {
    #[serde(default, rename = "normalizer")]
    _normalizer: Value,
    #[serde(default, rename = "pre_tokenizer")]
    _pre_tokenizer: Value,
    #[serde(default, rename = "decoder")]
    _decoder: Value,
    #[serde(default)]
    post_processor: Option<PostProcessor>,
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

/// A tokenizer that adds, cuts and fills nothing, and the ids of the two tokens that frame a text.
///
/// # Errors
///
/// Bytes that are no tokenizer, or one that frames a text in another way.
pub(super) fn parse(bytes: &[u8]) -> Result<(Tokenizer, [u32; 2]), TokenizeError> {
    let parts: Parts =
        serde_json::from_slice(bytes).map_err(|error| TokenizeError::Parse(error.to_string()))?;
    let frame = parts.post_processor.as_ref().map(PostProcessor::frame).unwrap_or_default();
    let wrong = |reason: tokenizers::Error| TokenizeError::Parse(reason.to_string());
    let mut inner = Tokenizer::from_bytes(bytes).map_err(wrong)?;
    inner.with_padding(None);
    inner.with_truncation(None).map_err(wrong)?;
    inner.with_post_processor(None::<PostProcessorWrapper>);
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
    fn what_the_library_ends_the_process_over_is_an_error() {
        // Half a surrogate pair, a special token without ids, one beyond the vocabulary, and a second text.
        let error = with("\"decoder\":null", r#""decoder":{"type":"\ud800"}"#).expect_err("half");
        assert!(error.contains("unexpected end of hex escape"), "{error}");
        let error = with("\"[SEP]\":{\"id\"", "\"[OTHER]\":{\"id\"").expect_err("no ids");
        assert!(error.contains("becomes 1 special tokens"), "{error}");
        let error = with("\"ids\":[3]", "\"ids\":[4000000000]").expect_err("no such id");
        assert!(error.contains("4000000000 is not in the vocabulary"), "{error}");
        let second = r#"{"Sequence":{"id":"B","type_id":0}},
                {"SpecialToken":{"id":"[SEP]""#;
        assert_eq!(with(r#"{"SpecialToken":{"id":"[SEP]""#, second), Ok([2, 3]));
    }
}
