//! More labelled sentences from those at hand: mention replacement (Dai and Adel 2020, "An Analysis of
//! Simple Data Augmentation for Named Entity Recognition", arXiv:2010.11683, section 3).

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::conll::Sentence;
use super::span::{EntitySpan, Mode, spans, tags_of};

/// For every sentence with an entity `copies` more, in which each entity is one of its type that is drawn
/// from all mentions in `sentences`, its own among them; the same `seed` draws the same.
pub fn replace_mentions(sentences: &[Sentence], copies: usize, seed: u64) -> Vec<Sentence> {
    let found: Vec<Vec<EntitySpan>> =
        sentences.iter().map(|sentence| spans(&sentence.tags, Mode::Default)).collect();
    let mut mentions: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for (sentence, entities) in sentences.iter().zip(&found) {
        for entity in entities {
            let words = &sentence.tokens[entity.start..entity.end];
            mentions.entry(&entity.entity_type).or_default().push(words);
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::new();
    for _ in 0..copies {
        for (sentence, entities) in sentences.iter().zip(&found) {
            if !entities.is_empty() {
                all.push(replaced(sentence, entities, |entity_type| {
                    let of_type = &mentions[entity_type];
                    of_type[rng.random_range(0..of_type.len())]
                }));
            }
        }
    }
    all
}

fn replaced<'a>(
    sentence: &Sentence,
    entities: &[EntitySpan],
    mut draw: impl FnMut(&str) -> &'a [String],
) -> Sentence {
    let (mut tokens, mut moved, mut place) = (vec![], vec![], 0);
    for entity in entities {
        tokens.extend_from_slice(&sentence.tokens[place..entity.start]);
        let start = tokens.len();
        tokens.extend_from_slice(draw(&entity.entity_type));
        moved.push(EntitySpan {
            entity_type: entity.entity_type.clone(),
            start,
            end: tokens.len(),
        });
        place = entity.end;
    }
    tokens.extend_from_slice(&sentence.tokens[place..]);
    let tags = tags_of(&moved, tokens.len());
    Sentence { tokens, tags }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::conll::read_conll;

    const TEXT: &[u8] = b"Ada B-PER\nLovelace I-PER\nmet O\nBo B-PER\nin O\nUlm B-LOC\n. O\n\n\
        no O\nname O\n\nCy B-PER\n\n";

    #[test]
    fn every_entity_becomes_one_of_its_type_and_the_rest_stays() {
        let sentences = read_conll(TEXT).expect("columns");
        let copies = replace_mentions(&sentences, 5, 1);
        // The sentence without an entity has no copies.
        assert_eq!(copies.len(), 2 * 5);
        for (copy, source) in copies.iter().zip([&sentences[0], &sentences[2]].iter().cycle()) {
            let rest = |sentence: &Sentence| -> Vec<String> {
                let words = sentence.tokens.iter().zip(&sentence.tags);
                words.filter(|(_, tag)| *tag == "O").map(|(word, _)| word.clone()).collect()
            };
            assert_eq!(rest(copy), rest(source));
            let kinds = |sentence: &Sentence| -> Vec<String> {
                spans(&sentence.tags, Mode::Strict).into_iter().map(|it| it.entity_type).collect()
            };
            assert_eq!(kinds(copy), kinds(source));
            for entity in spans(&copy.tags, Mode::Strict) {
                let words = copy.tokens[entity.start..entity.end].join(" ");
                let known = match entity.entity_type.as_str() {
                    "PER" => ["Ada Lovelace", "Bo", "Cy"].contains(&words.as_str()),
                    _ => words == "Ulm",
                };
                assert!(known, "{words} as {}", entity.entity_type);
            }
        }
        assert!(copies.iter().any(|copy| !sentences.contains(copy)));
    }

    #[test]
    fn the_seed_fixes_what_is_drawn() {
        let sentences = read_conll(TEXT).expect("columns");
        let drawn = |seed| replace_mentions(&sentences, 8, seed);
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!(replace_mentions(&sentences, 0, 1).is_empty());
    }
}
