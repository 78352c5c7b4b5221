//! One BIO tag: `O`, `B-PER`, `I-PER`.
//!
//! BIO (IOB2; Tjong Kim Sang and Veenstra 1999, arXiv:cs/9907006): `B-X` opens every entity of type
//! `X`, `I-X` continues it, `O` is outside of all entities.

use super::error::LabelError;

/// Longest part of an unknown tag that an error repeats, in characters.
const MAX_QUOTED_CHARS: usize = 40;

/// One BIO tag, borrowed from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag<'a> {
    /// `O`: outside of every entity.
    Outside,
    /// `B-X`: the first word or sub-word of an entity of type `X`.
    Begin(&'a str),
    /// `I-X`: a following one.
    Inside(&'a str),
}

impl<'a> Tag<'a> {
    /// Reads `O`, `B-X` or `I-X`; `X` is any non-empty text without white space, hyphens included.
    ///
    /// # Errors
    ///
    /// [`LabelError::UnknownTag`] for every other text.
    pub fn parse(name: &'a str) -> Result<Self, LabelError> {
        let is_type = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        match name.split_once('-') {
            None if name == "O" => Ok(Tag::Outside),
            Some(("B", entity_type)) if is_type(entity_type) => Ok(Tag::Begin(entity_type)),
            Some(("I", entity_type)) if is_type(entity_type) => Ok(Tag::Inside(entity_type)),
            _ => Err(LabelError::UnknownTag { tag: shortened(name) }),
        }
    }

    /// The type `X` of `B-X` and `I-X`; `None` for `O`.
    pub fn entity_type(self) -> Option<&'a str> {
        match self {
            Tag::Outside => None,
            Tag::Begin(entity_type) | Tag::Inside(entity_type) => Some(entity_type),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_of_tag_are_read() {
        assert_eq!(Tag::parse("O"), Ok(Tag::Outside));
        assert_eq!(Tag::parse("B-PER"), Ok(Tag::Begin("PER")));
        assert_eq!(Tag::parse("I-creative-work"), Ok(Tag::Inside("creative-work")));
        assert_eq!(Tag::parse("B-Ä").map(Tag::entity_type), Ok(Some("Ä")));
        assert_eq!(Tag::Outside.entity_type(), None);
    }

    #[test]
    fn other_texts_are_no_tags() {
        for name in
            ["", "o", "B", "B-", "I-", "-", "-PER", "PER", "BPER", "B-A B", "E-PER", "O-X", " O"]
        {
            let error = Tag::parse(name).expect_err(name);
            assert_eq!(error, LabelError::UnknownTag { tag: name.to_owned() });
        }
        let long = "ä".repeat(1000);
        let message = Tag::parse(&long).expect_err("too long").to_string();
        assert!(message.starts_with(&format!("unknown tag \"{}…\": expected", "ä".repeat(40))));
    }
}
