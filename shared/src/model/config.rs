//! `config.json` of BERT and of DistilBERT, in Hugging Face's words.
//!
//! DistilBERT (Sanh et al. 2019, arXiv:1910.01108) is a BERT without token types: with a token-type
//! table of zeros both compute the same function, so one configuration describes both. Field names:
//! <https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/models/bert/configuration_bert.py>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::config_fields::Fields;
use crate::data::label::{LabelError, LabelSet};

/// The sizes and rates of a BERT encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of the encoder.
    pub hidden_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Heads; must divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Longest input, in sub-words with `[CLS]` and `[SEP]`.
    pub max_position_embeddings: usize,
    /// Rows of the token-type table; only row 0 is used.
    pub type_vocab_size: usize,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f64,
    /// Dropout after the embeddings and each sub-layer.
    pub hidden_dropout_prob: f64,
    /// Dropout before the classifier; `None` = that of the sub-layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier_dropout: Option<f64>,
    /// Dropout of the attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Id that fills short rows of a batch; it is masked, so its embedding never matters.
    pub pad_token_id: u32,
    /// Rank of a factorised token table; `None` = dense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_rank: Option<usize>,
}

/// What can be wrong with a `config.json`.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Not JSON, or not an object.
    #[error("config.json: {0}; expected a JSON object as Hugging Face writes it")]
    Json(#[from] serde_json::Error),
    /// A field is missing or of the wrong type.
    #[error("config.json: field `{field}` is {found}; expected {expected}")]
    Field {
        /// The field's name in the file.
        field: String,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// An architecture this crate does not compute.
    #[error("config.json: {what} is `{found}`; expected {expected}")]
    Unsupported {
        /// Which property.
        what: &'static str,
        /// Its value.
        found: String,
        /// The values that are supported.
        expected: &'static str,
    },
    /// The labels are not a BIO label set.
    #[error(
        "config.json: id2label: {0}; labels with other names can be given theirs with --labels FILE"
    )]
    Labels(#[from] LabelError),
}

impl BertConfig {
    /// `bert-base-cased`: 12 layers of width 768.
    pub fn bert_base_cased() -> Self {
        Self {
            vocab_size: 28_996,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            classifier_dropout: None,
            attention_probs_dropout_prob: 0.1,
            initializer_range: 0.02,
            pad_token_id: 0,
            embedding_rank: None,
        }
    }

    /// The reference experiment's student: 6 layers of width 384, 19,620,489 parameters with a
    /// 9-label head.
    pub fn reference_student() -> Self {
        Self {
            hidden_size: 384,
            num_hidden_layers: 6,
            num_attention_heads: 6,
            intermediate_size: 1024,
            ..Self::bert_base_cased()
        }
    }

    /// Two layers of width 32, for tests and examples.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            vocab_size,
            hidden_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            intermediate_size: 64,
            max_position_embeddings: 64,
            ..Self::bert_base_cased()
        }
    }

    /// Reads a `config.json` of `model_type` `bert` or `distilbert`.
    ///
    /// Returns the label set of `id2label` too, where the file has one that is not the placeholder
    /// `LABEL_0`, `LABEL_1`, … of an encoder that was never fine-tuned.
    ///
    /// # Errors
    ///
    /// Malformed JSON, a missing or mistyped field, sizes that contradict each other, an
    /// architecture other than BERT's with GELU, or labels that are not BIO.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Option<LabelSet>), ConfigError> {
        let object: Map<String, Value> = serde_json::from_slice(bytes)?;
        Ok((Self::of_fields(&Fields(&object))?, Fields(&object).labels()?))
    }

    /// Reads a `config.json` whose labels do not matter, and are not checked: how many there are,
    /// where the file says so.
    ///
    /// # Errors
    ///
    /// As [`BertConfig::parse`], but for the labels.
    pub fn parse_without_labels(bytes: &[u8]) -> Result<(Self, Option<usize>), ConfigError> {
        let object: Map<String, Value> = serde_json::from_slice(bytes)?;
        let num_labels = object.get("id2label").and_then(Value::as_object).map(Map::len);
        Ok((Self::of_fields(&Fields(&object))?, num_labels))
    }

    fn of_fields(file: &Fields<'_>) -> Result<Self, ConfigError> {
        let config = match file.text("model_type")?.as_str() {
            "bert" => file.bert()?,
            "distilbert" => file.distilbert()?,
            other => {
                return Err(ConfigError::Unsupported {
                    what: "model_type",
                    found: other.to_owned(),
                    expected: "`bert` or `distilbert`",
                });
            }
        };
        config.check()?;
        Ok(config)
    }

    /// The `config.json` of a token classifier with these labels, or of an encoder without, as
    /// `transformers` reads it.
    pub fn to_json(&self, labels: Option<&LabelSet>) -> String {
        let mut object = match json!(self) {
            Value::Object(object) => object,
            _ => unreachable!("a struct serialises as an object"),
        };
        object.insert("model_type".into(), json!("bert"));
        object.insert("hidden_act".into(), json!("gelu"));
        let architecture = match labels {
            Some(_) => "BertForTokenClassification",
            None => "BertModel",
        };
        object.insert("architectures".into(), json!([architecture]));
        if let Some(labels) = labels {
            let id2label: BTreeMap<usize, &String> = labels.names().iter().enumerate().collect();
            let label2id: BTreeMap<&String, usize> =
                labels.names().iter().enumerate().map(|(id, name)| (name, id)).collect();
            object.insert("id2label".into(), json!(id2label));
            object.insert("label2id".into(), json!(label2id));
        }
        serde_json::to_string_pretty(&object).expect("a JSON value can be written") + "\n"
    }

    /// Checks the sizes and rates against each other.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vocab_size", self.vocab_size, 10_000_000),
            ("hidden_size", self.hidden_size, 65_536),
            ("num_hidden_layers", self.num_hidden_layers, 1_000),
            ("num_attention_heads", self.num_attention_heads, 65_536),
            ("intermediate_size", self.intermediate_size, 1_000_000),
            ("max_position_embeddings", self.max_position_embeddings, 1_000_000),
            ("type_vocab_size", self.type_vocab_size, 65_536),
            ("embedding_rank", self.embedding_rank.unwrap_or(1), 65_536),
        ];
        for (field, size, most) in sizes {
            if size == 0 || size > most {
                return Err(out_of_range(field, size, "a whole number from 1 to a plausible size"));
            }
        }
        if self.max_position_embeddings < 3 {
            let (field, size) = ("max_position_embeddings", self.max_position_embeddings);
            return Err(out_of_range(field, size, "3 or more: [CLS], a sub-word, [SEP]"));
        }
        if let Some(rank) = self.embedding_rank.filter(|rank| *rank >= self.hidden_size) {
            return Err(out_of_range("embedding_rank", rank, "a rank below hidden_size"));
        }
        if self.pad_token_id as usize >= self.vocab_size {
            return Err(out_of_range(
                "pad_token_id",
                self.pad_token_id,
                "a row of the token table",
            ));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = "a divisor of hidden_size";
            return Err(out_of_range("num_attention_heads", self.num_attention_heads, expected));
        }
        let rates = [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("classifier_dropout", self.classifier_dropout.unwrap_or(0.0)),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ];
        for (field, rate) in rates {
            if !(0.0..1.0).contains(&rate) {
                return Err(out_of_range(field, rate, "a number from 0 up to but not including 1"));
            }
        }
        for (field, value) in
            [("layer_norm_eps", self.layer_norm_eps), ("initializer_range", self.initializer_range)]
        {
            // As it is computed with.
            let single = value as f32;
            if !(single.is_finite() && single > 0.0) {
                return Err(out_of_range(field, value, "a number above 0 of single precision"));
            }
        }
        Ok(())
    }
}

pub(super) fn out_of_range(
    field: &str,
    found: impl ToString,
    expected: &'static str,
) -> ConfigError {
    ConfigError::Field { field: field.to_owned(), found: found.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let text = BertConfig::reference_student().to_json(Some(&LabelSet::conll2003()));
        let mut object = serde_json::from_str(&text).expect("our own config");
        change(&mut object);
        BertConfig::parse(&json!(object).to_string().into_bytes()).expect_err("bad").to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let labels = LabelSet::conll2003();
        for rank in [None, Some(64)] {
            let classifier_dropout = rank.map(|_| 0.3);
            let student = BertConfig::reference_student();
            let config = BertConfig { embedding_rank: rank, classifier_dropout, ..student };
            let read =
                BertConfig::parse(config.to_json(Some(&labels)).as_bytes()).expect("our own");
            assert_eq!(read, (config, Some(labels.clone())));
        }
    }

    #[test]
    fn distilbert_names_are_read() {
        let file = br#"{"model_type":"distilbert","activation":"gelu","n_layers":6,"dim":768,
            "n_heads":12,"hidden_dim":3072,"max_position_embeddings":512,"vocab_size":28996,
            "dropout":0.2,"attention_dropout":0.3,"id2label":{"0":"LABEL_0","1":"LABEL_1"}}"#;
        let (config, labels) = BertConfig::parse(file).expect("valid");
        let want = BertConfig {
            num_hidden_layers: 6,
            hidden_dropout_prob: 0.2,
            attention_probs_dropout_prob: 0.3,
            ..BertConfig::bert_base_cased()
        };
        assert_eq!((config, labels), (want, None));
    }

    #[test]
    fn missing_field_is_named() {
        let message = error(|object| drop(object.remove("hidden_size")));
        assert_eq!(message, "config.json: field `hidden_size` is missing; expected a whole number");
    }

    #[test]
    fn mistyped_field_is_named() {
        let message = error(|object| drop(object.insert("vocab_size".into(), json!("many"))));
        assert!(
            message.contains("`vocab_size` is `\"many\"`; expected a whole number"),
            "{message}"
        );
    }

    #[test]
    fn heads_must_divide_the_width() {
        let message = error(|object| drop(object.insert("num_attention_heads".into(), json!(7))));
        assert!(message.contains("`num_attention_heads` is 7; expected a divisor"), "{message}");
    }

    #[test]
    fn a_rank_is_below_the_width() {
        let message = error(|object| drop(object.insert("embedding_rank".into(), json!(384))));
        assert!(message.contains("`embedding_rank` is 384; expected a rank below"), "{message}");
    }

    #[test]
    fn the_padding_is_a_token() {
        let message = error(|object| drop(object.insert("pad_token_id".into(), json!(28_996))));
        assert!(message.contains("`pad_token_id` is 28996; expected a row"), "{message}");
        let message = error(|object| drop(object.insert("pad_token_id".into(), json!(1u64 << 32))));
        assert!(message.contains("`pad_token_id` is `4294967296`"), "{message}");
    }

    #[test]
    fn dropout_is_a_rate() {
        let message = error(|object| drop(object.insert("hidden_dropout_prob".into(), json!(1.0))));
        assert!(
            message.contains("`hidden_dropout_prob` is 1; expected a number from 0"),
            "{message}"
        );
    }

    #[test]
    fn other_architectures_are_refused() {
        let message = error(|object| drop(object.insert("model_type".into(), json!("roberta"))));
        assert!(message.contains("`roberta`; expected `bert` or `distilbert`"), "{message}");
        let message = error(|object| drop(object.insert("hidden_act".into(), json!("relu"))));
        assert!(message.contains("`relu`; expected `gelu`"), "{message}");
    }

    #[test]
    fn gaps_in_the_label_ids_are_refused() {
        let message =
            error(|object| drop(object.insert("id2label".into(), json!({"0": "O", "2": "B-X"}))));
        assert!(message.contains("`id2label`"), "{message}");
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        assert!(BertConfig::parse(b"\x80").is_err());
        assert!(BertConfig::parse(b"[]").is_err());
    }
}
