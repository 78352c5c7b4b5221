//! Labels from logits: the most likely label of every counted sub-word, and of every word by its
//! first sub-word.

use crate::data::example::Example;

/// A label and how sure the model is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredLabel {
    /// Label id.
    pub label: usize,
    /// Its probability, 0 to 1.
    pub score: f32,
}

/// One sentence's predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentencePrediction {
    /// For each word the label of its first sub-word.
    pub words: Vec<ScoredLabel>,
    /// For each counted sub-word its label.
    pub subwords: Vec<ScoredLabel>,
    /// The known label of each counted sub-word, [`crate::data::IGNORE_INDEX`] where there is none.
    pub subword_gold: Vec<i32>,
}

/// The most likely label of one row of logits, the first one in a tie.
pub fn most_likely(logits: &[f32]) -> ScoredLabel {
    let mut best = 0;
    for (label, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = label;
        }
    }
    let sum: f32 = logits.iter().map(|logit| (logit - logits[best]).exp()).sum();
    ScoredLabel { label: best, score: 1.0 / sum }
}

/// Puts the windows of `num_sentences` sentences together again.
///
/// `logits[i]` belongs to `examples[i]`, `[len, num_labels]` row by row; the windows of a sentence
/// stand in the order of its words.
pub fn decode(
    examples: &[Example],
    logits: &[Vec<f32>],
    num_labels: usize,
    num_sentences: usize,
) -> Vec<SentencePrediction> {
    let mut sentences = vec![SentencePrediction::default(); num_sentences];
    for (example, logits) in examples.iter().zip(logits) {
        let sentence = &mut sentences[example.sentence];
        for (position, row) in logits.chunks_exact(num_labels).enumerate() {
            let Some(word) = example.word_ids[position].filter(|_| example.counted[position])
            else {
                continue;
            };
            let label = most_likely(row);
            if word == sentence.words.len() {
                sentence.words.push(label);
            }
            sentence.subwords.push(label);
            sentence.subword_gold.push(example.label_ids[position]);
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_the_softmax_of_the_best_label() {
        let best = most_likely(&[0.0, 2.0, 1.0]);
        let want = 2.0f32.exp() / (1.0 + 2.0f32.exp() + 1.0f32.exp());
        assert_eq!(best.label, 1);
        assert!((best.score - want).abs() < 1e-6);
    }

    #[test]
    fn a_word_takes_its_first_subword_and_windows_join() {
        let window = |word_ids: &[Option<usize>], counted: &[bool]| Example {
            sentence: 0,
            input_ids: vec![0; word_ids.len()],
            word_ids: word_ids.to_vec(),
            counted: counted.to_vec(),
            label_ids: vec![1; word_ids.len()],
        };
        let examples = [
            window(&[None, Some(0), Some(0), Some(1), None], &[false, true, true, false, false]),
            window(&[None, Some(0), Some(1), None], &[false, false, true, false]),
        ];
        let row = |label: usize| if label == 0 { [1.0, 0.0] } else { [0.0, 1.0] };
        let logits = [[0, 1, 0, 0, 0].map(row).concat(), [1, 0, 1, 1].map(row).concat()];
        let sentences = decode(&examples, &logits, 2, 1);
        let labels = |scored: &[ScoredLabel]| scored.iter().map(|s| s.label).collect::<Vec<_>>();
        assert_eq!(labels(&sentences[0].words), [1, 1]);
        assert_eq!(labels(&sentences[0].subwords), [1, 0, 1]);
        assert_eq!(sentences[0].subword_gold, [1, 1, 1]);
    }
}
