//! Hugging Face parameter names and ours. Nothing outside this file knows the former.
//!
//! Names: `BertForTokenClassification` and `DistilBertForTokenClassification` of transformers 4.57,
//! and the older `LayerNorm.gamma`/`beta` that `bert-base-cased` on the hub still has.

/// A parameter's place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// BERT's name for it.
    pub name: String,
    /// Whether the file holds the transpose: PyTorch's linear weights are `[out, in]`.
    pub transposed: bool,
}

/// The name in a BERT file of our parameter `path`, such as `layers.0.attention.query.weight`.
pub fn bert_name(path: &str) -> FileName {
    let path = path.replace(".gamma", ".weight").replace(".beta", ".bias");
    let is_table = path.contains("_embeddings.");
    let transposed = path.ends_with(".weight") && !is_table && !path.contains("norm.");
    let name = if path.starts_with("classifier.") {
        path
    } else if let Some(rest) = path.strip_prefix("embeddings.") {
        format!("bert.embeddings.{}", rest.replace("layer_norm.", "LayerNorm."))
    } else if let Some((index, rest)) =
        path.strip_prefix("layers.").and_then(|rest| rest.split_once('.'))
    {
        format!("bert.encoder.layer.{index}.{}", layer_part(rest))
    } else {
        unreachable!("no such parameter: {path}")
    };
    FileName { name, transposed }
}

fn layer_part(part: &str) -> String {
    let (module, kind) = part.rsplit_once('.').unwrap_or((part, ""));
    let module = match module {
        "attention.query" => "attention.self.query",
        "attention.key" => "attention.self.key",
        "attention.value" => "attention.self.value",
        "attention.output" => "attention.output.dense",
        "attention_norm" => "attention.output.LayerNorm",
        "intermediate" => "intermediate.dense",
        "output" => "output.dense",
        "output_norm" => "output.LayerNorm",
        other => unreachable!("no such module: {other}"),
    };
    format!("{module}.{kind}")
}

/// DistilBERT's module names within a layer, and BERT's.
const DISTILBERT_LAYER: [(&str, &str); 8] = [
    ("attention.q_lin", "attention.self.query"),
    ("attention.k_lin", "attention.self.key"),
    ("attention.v_lin", "attention.self.value"),
    ("attention.out_lin", "attention.output.dense"),
    ("sa_layer_norm", "attention.output.LayerNorm"),
    ("ffn.lin1", "intermediate.dense"),
    ("ffn.lin2", "output.dense"),
    ("output_layer_norm", "output.LayerNorm"),
];

/// Parts of pretraining and of other heads that a token classifier does not have.
const UNUSED: [&str; 9] = [
    "bert.pooler.",
    "pooler.",
    "cls.",
    "bert.embeddings.position_ids",
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "pre_classifier.",
    "qa_outputs.",
];

/// BERT's name for a tensor of a BERT or DistilBERT file; `None` for parts that are not used here.
pub fn canonical_name(file_name: &str) -> Option<String> {
    let mut name = match file_name.strip_prefix("distilbert.") {
        Some(rest) => format!("bert.{rest}"),
        None => file_name.to_owned(),
    };
    if name.starts_with("embeddings.") || name.starts_with("encoder.") {
        name = format!("bert.{name}");
    }
    if name.starts_with("transformer.") {
        name = format!("bert.{name}");
    }
    if UNUSED.iter().any(|unused| name.starts_with(unused)) {
        return None;
    }
    for (old, new) in
        [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")]
    {
        if name.ends_with(old) {
            name = name.replace(old, new);
        }
    }
    if let Some((index, part)) =
        name.strip_prefix("bert.transformer.layer.").and_then(|rest| rest.split_once('.'))
    {
        let (module, kind) = part.rsplit_once('.').unwrap_or((part, ""));
        let known = DISTILBERT_LAYER.iter().find(|(distilbert, _)| *distilbert == module);
        let module = known.map_or(module, |(_, bert)| bert);
        name = format!("bert.encoder.layer.{index}.{module}.{kind}");
    }
    Some(name)
}

/// Whether a file's names are DistilBERT's, which has no token-type table.
pub fn is_distilbert<'a>(mut file_names: impl Iterator<Item = &'a str>) -> bool {
    file_names.any(|name| name.starts_with("distilbert.") || name.starts_with("transformer.layer."))
}

/// The canonical name of the token-type table.
pub const TOKEN_TYPE_TABLE: &str = "bert.embeddings.token_type_embeddings.weight";

/// Whether a canonical name belongs to the classification head.
pub fn is_head(name: &str) -> bool {
    name.starts_with("classifier.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, name: &str, transposed: bool) {
        assert_eq!(bert_name(path), FileName { name: name.to_owned(), transposed });
    }

    #[test]
    fn embeddings_are_not_transposed() {
        let name = "bert.embeddings.word_embeddings.weight";
        check("embeddings.word_embeddings.weight", name, false);
        check("embeddings.layer_norm.gamma", "bert.embeddings.LayerNorm.weight", false);
        check("embeddings.projection.weight", "bert.embeddings.projection.weight", true);
    }

    #[test]
    fn linear_weights_are_transposed() {
        let name = "bert.encoder.layer.3.attention.self.query.weight";
        check("layers.3.attention.query.weight", name, true);
        check("layers.3.output.bias", "bert.encoder.layer.3.output.dense.bias", false);
        let name = "bert.encoder.layer.11.attention.output.LayerNorm.bias";
        check("layers.11.attention_norm.beta", name, false);
        check("classifier.weight", "classifier.weight", true);
    }

    #[test]
    fn distilbert_names_become_bert_names() {
        let canonical = |name: &str| canonical_name(name).expect("used");
        assert_eq!(
            canonical("distilbert.transformer.layer.5.attention.q_lin.weight"),
            "bert.encoder.layer.5.attention.self.query.weight"
        );
        assert_eq!(
            canonical("transformer.layer.0.sa_layer_norm.bias"),
            "bert.encoder.layer.0.attention.output.LayerNorm.bias"
        );
    }

    #[test]
    fn old_layer_norm_names_and_bare_encoders_are_read() {
        let canonical = |name: &str| canonical_name(name).expect("used");
        let want = "bert.embeddings.LayerNorm.weight";
        assert_eq!(canonical("bert.embeddings.LayerNorm.gamma"), want);
        assert_eq!(canonical("embeddings.LayerNorm.weight"), want);
    }

    #[test]
    fn other_heads_are_left_out() {
        for name in ["cls.predictions.bias", "bert.pooler.dense.weight", "vocab_projector.bias"] {
            assert_eq!(canonical_name(name), None);
        }
    }
}
