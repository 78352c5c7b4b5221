//! Sentences and texts made into what a model reads: one example for each window.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::IGNORE_INDEX;
use super::align::{Continuation, align};
use super::conll::Sentence;
use super::label::LabelSet;
use super::tokenize::{SubwordTokenizer, Subwords, TokenizeError};
use super::window::windows;

/// One window of a sentence, ready to be batched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Index of the sentence it was cut from.
    pub sentence: usize,
    /// `[CLS]`, sub-words, `[SEP]`.
    pub input_ids: Vec<u32>,
    /// Word of each sub-word in the sentence; `None` = special token.
    pub word_ids: Vec<Option<usize>>,
    /// Whether this window is the one that counts the sub-word; never for special tokens.
    pub counted: Vec<bool>,
    /// Label of each sub-word; [`IGNORE_INDEX`] where it is not counted or not known.
    pub label_ids: Vec<i32>,
}

/// How sentences become examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleOptions {
    /// Longest window in sub-words, special tokens included.
    pub max_length: usize,
    /// Sub-words of context on either side of a window that was cut.
    pub context: usize,
    /// What later sub-words of a word are labelled.
    pub continuation: Continuation,
}

impl ExampleOptions {
    /// Longest window in sub-words unless another is asked for: what a model learns from, is scored with and
    /// tags with. Positions beyond it may never have been trained.
    pub const MAX_LENGTH: usize = 128;

    /// Windows of at most `max_length` sub-words, a quarter of which is context on either side.
    pub fn of_length(max_length: usize) -> Self {
        Self { max_length, context: max_length / 4, continuation: Continuation::Inside }
    }

    /// For a model that reads at most `most` sub-words.
    pub fn for_model(most: usize) -> Self {
        Self::of_length(most.min(Self::MAX_LENGTH))
    }
}

impl Default for ExampleOptions {
    fn default() -> Self {
        Self::of_length(Self::MAX_LENGTH)
    }
}

/// What can go wrong on the way from a sentence to an example.
#[derive(Debug, Error)]
pub enum ExampleError {
    /// A tag that the label set does not have.
    #[error(
        "sentence {sentence}, word {word}: tag `{tag}` is not in the label set; expected one of {expected}"
    )]
    UnknownTag {
        /// Counted from 1.
        sentence: usize,
        /// Counted from 1.
        word: usize,
        /// The tag.
        tag: String,
        /// The labels, separated by commas.
        expected: String,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
}

/// Examples of labelled sentences, in order; a long sentence gives several.
///
/// # Errors
///
/// A tag outside `labels`, named with its place.
pub fn labelled_examples(
    sentences: &[Sentence],
    tokenizer: &SubwordTokenizer,
    labels: &LabelSet,
    options: &ExampleOptions,
) -> Result<Vec<Example>, ExampleError> {
    let mut examples = Vec::with_capacity(sentences.len());
    for (index, sentence) in sentences.iter().enumerate() {
        let word_labels = label_ids(index, sentence, labels)?;
        let subwords = tokenizer.encode_words(&sentence.tokens)?;
        for mut example in cut(index, &subwords, sentence.tokens.len(), &[], tokenizer, options) {
            let aligned = align(&example.word_ids, &word_labels, labels, options.continuation);
            for ((label, known), counted) in
                example.label_ids.iter_mut().zip(aligned).zip(&example.counted)
            {
                *label = if *counted { known } else { IGNORE_INDEX };
            }
            examples.push(example);
        }
    }
    Ok(examples)
}

/// Examples of raw texts without labels, one text after the other.
///
/// # Errors
///
/// Only what the tokenizer itself refuses.
pub fn unlabelled_examples(
    texts: &[String],
    tokenizer: &SubwordTokenizer,
    options: &ExampleOptions,
) -> Result<Vec<Example>, ExampleError> {
    let mut examples = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let (subwords, words) = tokenizer.encode_text(text)?;
        if !words.is_empty() {
            examples.extend(cut(index, &subwords, words.len(), &[], tokenizer, options));
        }
    }
    Ok(examples)
}

/// The windows of one tokenised text, without labels; see [`windows`] for `sentence_starts`.
pub fn cut(
    sentence: usize,
    subwords: &Subwords,
    num_words: usize,
    sentence_starts: &[usize],
    tokenizer: &SubwordTokenizer,
    options: &ExampleOptions,
) -> Vec<Example> {
    let budget = options.max_length.saturating_sub(2).max(1);
    let mut starts = vec![usize::MAX; num_words + 1];
    starts[num_words] = subwords.ids.len();
    for (position, word) in subwords.word_ids.iter().enumerate().rev() {
        starts[*word] = position;
    }
    let lengths: Vec<usize> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    windows(&lengths, sentence_starts, budget, options.context)
        .into_iter()
        .map(|window| {
            // Only a single word longer than the whole window is shortened, to its first sub-words.
            let first = starts[window.words.start];
            let last = starts[window.words.end].min(first + budget);
            let inner = first..last;
            let words = subwords.word_ids[inner.clone()].iter();
            let word_ids: Vec<Option<usize>> =
                std::iter::once(None).chain(words.map(|word| Some(*word))).chain([None]).collect();
            let counted = word_ids
                .iter()
                .map(|word| word.is_some_and(|word| window.counted.contains(&word)))
                .collect();
            Example {
                sentence,
                input_ids: tokenizer.frame(subwords.ids[inner].iter().copied()),
                label_ids: vec![IGNORE_INDEX; word_ids.len()],
                word_ids,
                counted,
            }
        })
        .collect()
}

fn label_ids(
    index: usize,
    sentence: &Sentence,
    labels: &LabelSet,
) -> Result<Vec<usize>, ExampleError> {
    let tags = sentence.tags.iter().enumerate();
    tags.map(|(word, tag)| {
        labels.nearest(tag).ok_or_else(|| ExampleError::UnknownTag {
            sentence: index + 1,
            word: word + 1,
            tag: tag.clone(),
            expected: labels.names().join(", "),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tokenize::tests::small_tokenizer;
    use super::*;

    fn sentence(words: &[&str], tags: &[&str]) -> Sentence {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Sentence { tokens: owned(words), tags: owned(tags) }
    }

    fn options(max_length: usize, context: usize) -> ExampleOptions {
        ExampleOptions { max_length, context, ..ExampleOptions::default() }
    }

    #[test]
    fn a_tag_that_the_set_lacks_takes_its_partner() {
        let names = ["O", "I-PER", "B-LOC"].map(str::to_owned);
        let labels = LabelSet::new(names.to_vec()).expect("a label set");
        let ids = |tags| label_ids(0, &sentence(&["Ada", "lives"], tags), &labels);
        assert_eq!(ids(&["B-PER", "I-LOC"]).expect("known"), [1, 2]);
        let error = ids(&["O", "B-ORG"]).expect_err("unknown").to_string();
        assert!(error.contains("B-ORG") && error.contains("O, I-PER, B-LOC"), "{error}");
    }

    #[test]
    fn a_sentence_is_framed_and_labelled() {
        let sentence = sentence(&["Ada", "lives"], &["B-PER", "O"]);
        let examples = labelled_examples(
            &[sentence],
            &small_tokenizer(),
            &LabelSet::conll2003(),
            &options(16, 2),
        );
        let want = Example {
            sentence: 0,
            input_ids: vec![2, 4, 5, 6, 3],
            word_ids: vec![None, Some(0), Some(0), Some(1), None],
            counted: vec![false, true, true, true, false],
            label_ids: vec![-100, 1, 2, 0, -100],
        };
        assert_eq!(examples.expect("known tags"), [want]);
    }

    #[test]
    fn context_is_seen_but_not_counted() {
        let sentence = sentence(&["in"; 8], &["O"; 8]);
        let examples = labelled_examples(
            &[sentence],
            &small_tokenizer(),
            &LabelSet::conll2003(),
            &options(7, 1),
        )
        .expect("known tags");
        assert_eq!(examples.len(), 3);
        assert_eq!(examples[1].counted, [false, false, true, true, true, false, false]);
        assert_eq!(examples[1].label_ids, [-100, -100, 0, 0, 0, -100, -100]);
        let counted: usize =
            examples.iter().map(|example| example.counted.iter().filter(|c| **c).count()).sum();
        assert_eq!(counted, 8);
    }

    #[test]
    fn a_word_longer_than_its_window_keeps_its_first_subwords() {
        let sentence = sentence(&["Adada", "in"], &["B-PER", "O"]);
        let labels = LabelSet::conll2003();
        let examples = labelled_examples(&[sentence], &small_tokenizer(), &labels, &options(4, 0));
        let examples = examples.expect("known tags");
        assert_eq!(examples[0].input_ids, [2, 4, 5, 3]);
        assert_eq!(examples[1].input_ids, [2, 7, 3]);
    }

    #[test]
    fn an_unknown_tag_is_named_with_its_place() {
        let sentence = sentence(&["in", "Bern"], &["O", "B-CITY"]);
        let labels = LabelSet::conll2003();
        let error = labelled_examples(&[sentence], &small_tokenizer(), &labels, &options(8, 0));
        let message = error.expect_err("unknown").to_string();
        assert!(message.starts_with("sentence 1, word 2: tag `B-CITY` is not"), "{message}");
    }

    #[test]
    fn blank_texts_give_no_example() {
        let texts = ["  ".to_owned(), "Ada lives.".to_owned()];
        let examples = unlabelled_examples(&texts, &small_tokenizer(), &options(8, 0));
        let examples = examples.expect("plain text");
        assert_eq!((examples.len(), examples[0].sentence), (1, 1));
        assert!(examples[0].label_ids.iter().all(|label| *label == IGNORE_INDEX));
    }
}
