//! A colour class for each entity type, so that a type looks the same everywhere on the page.

/// Colours that the style sheet has.
const COLOURS: usize = 8;

/// CoNLL-2003's types have colours of their own; another type's follows from its letters.
pub fn class(entity_type: &str) -> String {
    let plain = plain_type(entity_type);
    let colour = match plain {
        "PER" => 0,
        "ORG" => 1,
        "LOC" => 2,
        "MISC" => 3,
        other => 4 + other.bytes().map(usize::from).sum::<usize>() % (COLOURS - 4),
    };
    format!("type-{colour}")
}

/// The type of `B-PER` is `PER`.
pub fn plain_type(label: &str) -> &str {
    label.strip_prefix("B-").or_else(|| label.strip_prefix("I-")).unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_look_like_their_type() {
        assert_eq!(class("B-LOC"), class("LOC"));
        assert_ne!(class("PER"), class("ORG"));
        assert_eq!(plain_type("I-a-b"), "a-b");
    }

    #[test]
    fn unknown_types_have_a_colour_too() {
        for name in ["DISEASE", "é", ""] {
            let class = class(name);
            assert!(["type-4", "type-5", "type-6", "type-7"].contains(&class.as_str()), "{class}");
        }
    }
}
