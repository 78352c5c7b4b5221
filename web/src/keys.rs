//! From the labels of a model to its entity types, and to the key of each.

use crate::colour::plain_type;

/// An entity type and the keys that mark it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeKey {
    /// Such as `PER`.
    pub entity_type: String,
    /// Its first letter that no type before it has, in lower case where it is one of A to Z.
    pub letter: Option<char>,
    /// 1 to 9, by its place.
    pub digit: Option<char>,
}

impl TypeKey {
    /// The key to show beside its name.
    pub fn shown(&self) -> Option<char> {
        self.letter.map(|letter| letter.to_ascii_uppercase()).or(self.digit)
    }
}

/// The types of `O`, `B-X` and `I-X` labels, in the order of the labels.
pub fn type_keys(labels: &[String]) -> Vec<TypeKey> {
    let mut keys: Vec<TypeKey> = Vec::new();
    for label in labels.iter().filter(|label| *label != "O") {
        let entity_type = plain_type(label);
        if keys.iter().any(|key| key.entity_type == entity_type) {
            continue;
        }
        let is_free = |letter: &char| keys.iter().all(|key| key.letter != Some(*letter));
        // Tables of all the world's letters would be a fifteenth of the page.
        let is_letter = |char: &char| char.is_ascii_alphabetic() || !char.is_ascii();
        let mut letters = entity_type.chars().map(|char| char.to_ascii_lowercase());
        let letter = letters.find(|letter| is_letter(letter) && is_free(letter));
        let digit =
            u32::try_from(keys.len() + 1).ok().and_then(|place| char::from_digit(place, 10));
        keys.push(TypeKey { entity_type: entity_type.to_owned(), letter, digit });
    }
    keys
}

/// The type of a pressed key, as the browser names it.
pub fn of_key<'a>(keys: &'a [TypeKey], pressed: &str) -> Option<&'a str> {
    let mut chars = pressed.chars().map(|char| char.to_ascii_lowercase());
    let (Some(pressed), None) = (chars.next(), chars.next()) else { return None };
    let found = keys.iter().find(|key| [key.letter, key.digit].contains(&Some(pressed)));
    found.map(|key| key.entity_type.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(labels: &str) -> Vec<TypeKey> {
        let labels: Vec<String> = labels.split(' ').map(str::to_owned).collect();
        type_keys(&labels)
    }

    #[test]
    fn every_type_has_its_first_letter() {
        let keys = keys("O B-PER I-PER B-ORG I-ORG B-LOC I-LOC B-MISC I-MISC");
        let shown: Vec<_> = keys.iter().filter_map(TypeKey::shown).collect();
        assert_eq!(shown, ['P', 'O', 'L', 'M']);
        for (pressed, want) in [
            ("p", Some("PER")),
            ("P", Some("PER")),
            ("1", Some("PER")),
            ("m", Some("MISC")),
            ("4", Some("MISC")),
            ("5", None),
            ("", None),
            ("PageUp", None),
        ] {
            assert_eq!(of_key(&keys, pressed), want, "{pressed}");
        }
    }

    #[test]
    fn a_letter_belongs_to_one_type() {
        let keys = keys("B-PER B-PROD I-PROD B-P B-É B-7");
        let letters: Vec<_> = keys.iter().map(|key| key.letter).collect();
        assert_eq!(letters, [Some('p'), Some('r'), None, Some('É'), None]);
        assert_eq!(keys[2].shown(), Some('3'));
        assert_eq!(of_key(&keys, "É"), Some("É"));
    }

    #[test]
    fn a_tenth_type_has_no_digit() {
        let labels: Vec<String> = ('A'..='K').map(|letter| format!("B-{letter}")).collect();
        let keys = type_keys(&labels);
        assert_eq!((keys[8].digit, keys[9].digit, keys.len()), (Some('9'), None, 11));
        assert_eq!(type_keys(&["O".to_owned()]), []);
    }
}
