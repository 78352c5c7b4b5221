//! The fields of a `config.json` in Hugging Face's format: what `bert` and `distilbert` call the same
//! things.

use serde_json::{Map, Value};

use super::config::{BertConfig, ConfigError, out_of_range};
use crate::data::label::LabelSet;

/// Typed access to a `config.json`; every failure names the field.
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl Fields<'_> {
    pub(super) fn bert(&self) -> Result<BertConfig, ConfigError> {
        self.gelu("hidden_act")?;
        Ok(BertConfig {
            vocab_size: self.size("vocab_size")?,
            hidden_size: self.size("hidden_size")?,
            num_hidden_layers: self.size("num_hidden_layers")?,
            num_attention_heads: self.size("num_attention_heads")?,
            intermediate_size: self.size("intermediate_size")?,
            max_position_embeddings: self.size("max_position_embeddings")?,
            type_vocab_size: self.size_or("type_vocab_size", 2)?,
            layer_norm_eps: self.number_or("layer_norm_eps", 1e-12)?,
            hidden_dropout_prob: self.number_or("hidden_dropout_prob", 0.1)?,
            classifier_dropout: match self.0.get("classifier_dropout") {
                None | Some(Value::Null) => None,
                Some(_) => Some(self.number_or("classifier_dropout", 0.0)?),
            },
            attention_probs_dropout_prob: self.number_or("attention_probs_dropout_prob", 0.1)?,
            initializer_range: self.number_or("initializer_range", 0.02)?,
            pad_token_id: self.pad_token_id()?,
            embedding_rank: match self.0.get("embedding_rank") {
                None | Some(Value::Null) => None,
                Some(_) => Some(self.size("embedding_rank")?),
            },
        })
    }

    pub(super) fn distilbert(&self) -> Result<BertConfig, ConfigError> {
        self.gelu("activation")?;
        Ok(BertConfig {
            vocab_size: self.size("vocab_size")?,
            hidden_size: self.size("dim")?,
            num_hidden_layers: self.size("n_layers")?,
            num_attention_heads: self.size("n_heads")?,
            intermediate_size: self.size("hidden_dim")?,
            max_position_embeddings: self.size("max_position_embeddings")?,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: self.number_or("dropout", 0.1)?,
            classifier_dropout: None,
            attention_probs_dropout_prob: self.number_or("attention_dropout", 0.1)?,
            initializer_range: self.number_or("initializer_range", 0.02)?,
            pad_token_id: self.pad_token_id()?,
            embedding_rank: None,
        })
    }

    pub(super) fn labels(&self) -> Result<Option<LabelSet>, ConfigError> {
        let Some(value) = self.0.get("id2label") else { return Ok(None) };
        let expected = "an object from \"0\", \"1\", … to label names";
        let wrong = || out_of_range("id2label", value, expected);
        let entries = value.as_object().ok_or_else(wrong)?;
        let mut names = vec![None; entries.len()];
        for (id, name) in entries {
            let id: usize = id.parse().map_err(|_| wrong())?;
            let name = name.as_str().ok_or_else(wrong)?;
            *names.get_mut(id).ok_or_else(wrong)? = Some(name.to_owned());
        }
        let names: Vec<String> = names.into_iter().collect::<Option<_>>().ok_or_else(wrong)?;
        let is_placeholder = |(id, name): (usize, &String)| *name == format!("LABEL_{id}");
        if names.iter().enumerate().all(is_placeholder) {
            return Ok(None);
        }
        Ok(Some(LabelSet::new(names)?))
    }

    fn gelu(&self, field: &'static str) -> Result<(), ConfigError> {
        match self.0.get(field) {
            None => Ok(()),
            Some(Value::String(name)) if name == "gelu" => Ok(()),
            Some(other) => Err(ConfigError::Unsupported {
                what: field,
                found: other.as_str().map_or_else(|| other.to_string(), str::to_owned),
                expected: "`gelu`",
            }),
        }
    }

    pub(super) fn text(&self, field: &str) -> Result<String, ConfigError> {
        let text = self.0.get(field).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| self.wrong(field, "a string"))
    }

    fn size(&self, field: &str) -> Result<usize, ConfigError> {
        let size = self.0.get(field).and_then(Value::as_u64).and_then(|size| size.try_into().ok());
        size.ok_or_else(|| self.wrong(field, "a whole number"))
    }

    fn size_or(&self, field: &str, default: usize) -> Result<usize, ConfigError> {
        if self.0.contains_key(field) { self.size(field) } else { Ok(default) }
    }

    /// 0 where there is none, as in BERT's vocabularies.
    fn pad_token_id(&self) -> Result<u32, ConfigError> {
        match self.0.get("pad_token_id") {
            None | Some(Value::Null) => Ok(0),
            Some(_) => {
                let id = self.size("pad_token_id")?;
                id.try_into().map_err(|_| self.wrong("pad_token_id", "a row of the token table"))
            }
        }
    }

    fn number_or(&self, field: &str, default: f64) -> Result<f64, ConfigError> {
        match self.0.get(field) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.wrong(field, "a number")),
        }
    }

    fn wrong(&self, field: &str, expected: &'static str) -> ConfigError {
        let found = self.0.get(field).map_or("missing".to_owned(), |value| format!("`{value}`"));
        ConfigError::Field { field: field.to_owned(), found, expected }
    }
}
