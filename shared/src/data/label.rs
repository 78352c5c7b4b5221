//! The ordered set of labels a model predicts.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

pub use super::error::LabelError;
pub use super::tag::Tag;

/// CoNLL-2003's entity types, in the order of its nine labels.
const CONLL2003_TYPES: [&str; 4] = ["PER", "ORG", "LOC", "MISC"];

/// The labels of a model; a label's index is its id. Serialised as the plain list of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct LabelSet {
    names: Vec<String>,
}

#[expect(clippy::len_without_is_empty, reason = "a label set always has `O`")]
impl LabelSet {
    /// Checks the names: each a BIO tag and there once, `O` and others among them.
    ///
    /// Most sets have both `B-X` and `I-X` of a type. A tagger that learned from IOB1, or from text
    /// without a long or a neighbouring entity of a type, may have one of them only: it then stands
    /// for the other too, see [`LabelSet::nearest`].
    ///
    /// # Errors
    ///
    /// One [`LabelError`] variant for each of these.
    pub fn new(names: Vec<String>) -> Result<Self, LabelError> {
        if names.is_empty() {
            return Err(LabelError::Empty);
        }
        let mut seen = HashMap::with_capacity(names.len());
        for (second, name) in names.iter().enumerate() {
            Tag::parse(name)?;
            if let Some(first) = seen.insert(name.as_str(), second) {
                return Err(LabelError::Duplicate { name: name.clone(), first, second });
            }
        }
        let has_outside = seen.contains_key("O");
        match (has_outside, names.len()) {
            (false, _) => Err(LabelError::MissingOutside { names }),
            (true, 1) => Err(LabelError::NoType),
            (true, _) => Ok(Self { names }),
        }
    }

    /// The nine labels of CoNLL-2003: `O`, then `B-` and `I-` of `PER`, `ORG`, `LOC`, `MISC`.
    pub fn conll2003() -> Self {
        Self::of_types(&CONLL2003_TYPES)
    }

    /// The labels for the tags of a text: `O`, then `B-X`, `I-X` for each type, types sorted.
    ///
    /// A type seen with only one of the two gets both. If CoNLL-2003's four types cover the text
    /// (or it has no entity), the set is [`LabelSet::conll2003`], so that its parts agree on it.
    ///
    /// # Errors
    ///
    /// [`LabelError::UnknownTag`] for a tag that is none.
    pub fn from_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, LabelError> {
        let mut types = BTreeSet::new();
        for tag in tags {
            types.extend(Tag::parse(tag)?.entity_type());
        }
        if types.iter().all(|entity_type| CONLL2003_TYPES.contains(entity_type)) {
            return Ok(Self::conll2003());
        }
        Ok(Self::of_types(&types.into_iter().collect::<Vec<_>>()))
    }

    fn of_types(types: &[&str]) -> Self {
        let pairs = types.iter().flat_map(|name| [format!("B-{name}"), format!("I-{name}")]);
        Self { names: std::iter::once("O".to_owned()).chain(pairs).collect() }
    }

    /// The id of a label; `None` if the set has no such label.
    pub fn id(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The id of a text's tag: of the label of that name or, where the set has only one of `B-X` and
    /// `I-X`, of that one. `None` if it has neither.
    pub fn nearest(&self, tag: &str) -> Option<usize> {
        let partner = || match Tag::parse(tag).ok()? {
            Tag::Outside => None,
            Tag::Begin(entity_type) => self.id(&format!("I-{entity_type}")),
            Tag::Inside(entity_type) => self.id(&format!("B-{entity_type}")),
        };
        self.id(tag).or_else(partner)
    }

    /// Whether an entity may begin with the label `id`: `B-X`, or `I-X` in a set without `B-X`. Panics
    /// as [`LabelSet::name`].
    pub fn may_begin(&self, id: usize) -> bool {
        match self.tag(id) {
            Tag::Outside => false,
            Tag::Begin(_) => true,
            Tag::Inside(entity_type) => self.id(&format!("B-{entity_type}")).is_none(),
        }
    }

    /// The label with this id.
    ///
    /// # Panics
    ///
    /// If `id` is [`LabelSet::len`] or more.
    pub fn name(&self, id: usize) -> &str {
        assert!(id < self.len(), "label id {id} in a set of {} labels", self.len());
        &self.names[id]
    }

    /// Number of labels, `O` included.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// All labels in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The entity types in the order in which the labels name them first.
    pub fn entity_types(&self) -> Vec<&str> {
        let mut types = Vec::new();
        for entity_type in (0..self.len()).filter_map(|id| self.tag(id).entity_type()) {
            if !types.contains(&entity_type) {
                types.push(entity_type);
            }
        }
        types
    }

    /// The id for the second and later sub-words of a word with label `id`: that of `I-X` for `B-X`
    /// and `I-X`, or of `B-X` in a set without `I-X`; that of `O` for `O`. Panics as
    /// [`LabelSet::name`].
    pub fn inside(&self, id: usize) -> usize {
        match self.tag(id) {
            Tag::Outside | Tag::Inside(_) => id,
            Tag::Begin(entity_type) => self.id(&format!("I-{entity_type}")).unwrap_or(id),
        }
    }

    /// The label with this id, parsed. Panics as [`LabelSet::name`].
    pub fn tag(&self, id: usize) -> Tag<'_> {
        Tag::parse(self.name(id)).expect("`new` checked every name")
    }
}

impl TryFrom<Vec<String>> for LabelSet {
    type Error = LabelError;

    fn try_from(names: Vec<String>) -> Result<Self, LabelError> {
        Self::new(names)
    }
}

impl From<LabelSet> for Vec<String> {
    fn from(labels: LabelSet) -> Self {
        labels.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &str) -> Result<LabelSet, LabelError> {
        LabelSet::new(names.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn conll2003_has_the_usual_order() {
        let labels = LabelSet::conll2003();
        let expected = "O B-PER I-PER B-ORG I-ORG B-LOC I-LOC B-MISC I-MISC";
        assert_eq!(labels.names().join(" "), expected);
        assert_eq!(set(expected), Ok(labels.clone()));
        assert_eq!((labels.len(), labels.id("B-LOC"), labels.id("B-loc")), (9, Some(5), None));
        assert_eq!(labels.entity_types(), CONLL2003_TYPES);
    }

    #[test]
    fn inside_leaves_the_type() {
        let labels = set("I-A B-B O B-A I-B").expect("valid in any order");
        assert_eq!((0..5).map(|id| labels.inside(id)).collect::<Vec<_>>(), [0, 4, 2, 0, 4]);
        assert_eq!((labels.tag(3), labels.name(2)), (Tag::Begin("A"), "O"));
        assert_eq!(labels.entity_types(), ["A", "B"]);
    }

    #[test]
    fn one_of_a_pair_stands_for_both() {
        let labels = set("I-A O B-B B-C I-C").expect("one of a pair is enough");
        let id = |tag| labels.nearest(tag);
        assert_eq!(
            (id("B-A"), id("I-A"), id("B-B"), id("I-B")),
            (Some(0), Some(0), Some(2), Some(2))
        );
        assert_eq!((id("B-C"), id("I-C"), id("O")), (Some(3), Some(4), Some(1)));
        assert_eq!((id("B-D"), id("A"), id("B-")), (None, None, None));
        assert_eq!((0..5).map(|id| labels.inside(id)).collect::<Vec<_>>(), [0, 1, 2, 4, 4]);
        let begins: Vec<bool> = (0..5).map(|id| labels.may_begin(id)).collect();
        assert_eq!(begins, [true, false, true, true, false]);
    }

    #[test]
    fn labels_of_a_text() {
        let from =
            |tags: &str| LabelSet::from_tags(tags.split(' ')).map(|set| set.names().join(" "));
        assert_eq!(from("O I-z B-PER O B-a"), Ok("O B-PER I-PER B-a I-a B-z I-z".to_owned()));
        assert_eq!(LabelSet::from_tags(["O", "I-LOC"]), Ok(LabelSet::conll2003()));
        assert_eq!(LabelSet::from_tags([]), Ok(LabelSet::conll2003()));
        assert_eq!(from("O X"), Err(LabelError::UnknownTag { tag: "X".to_owned() }));
    }

    #[test]
    fn each_bad_set_has_its_error() {
        let check = |names: &str, message: &str| {
            assert_eq!(set(names).expect_err(names).to_string(), message);
        };
        check(
            "",
            "the label set is empty: expected `O` and a pair `B-TYPE`, `I-TYPE` for each type",
        );
        check("O O", "label `O` occurs twice, as 0 and 1: expected each label once");
        check(
            "B-A I-A",
            "the label set [\"B-A\", \"I-A\"] has no `O`: expected `O` and pairs `B-TYPE`, `I-TYPE`",
        );
        check(
            "O LABEL_1",
            "unknown tag \"LABEL_1\": expected `O`, `B-TYPE` or `I-TYPE`, TYPE without white space",
        );
    }

    #[test]
    fn json_is_a_checked_list_of_names() {
        let labels = set("O B-A I-A").expect("valid");
        let json = serde_json::to_string(&labels).expect("serialises");
        assert_eq!(json, r#"["O","B-A","I-A"]"#);
        assert_eq!(serde_json::from_str::<LabelSet>(&json).expect("reads back"), labels);
        assert!(serde_json::from_str::<LabelSet>(r#"["B-A"]"#).is_err());
    }

    #[test]
    #[should_panic(expected = "label id 9 in a set of 9 labels")]
    fn id_out_of_range_panics() {
        LabelSet::conll2003().name(9);
    }
}
