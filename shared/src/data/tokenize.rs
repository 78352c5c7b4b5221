//! WordPiece sub-words from `tokenizer.json` bytes, of given words or of raw text.

use thiserror::Error;
use tokenizers::{Encoding, Tokenizer};

use super::tokenizer_file;

/// What can go wrong with a tokenizer.
#[derive(Debug, Error)]
pub enum TokenizeError {
    /// The bytes are no tokenizer.
    #[error("tokenizer.json: {0}; expected the `tokenizers` JSON format of Hugging Face")]
    Parse(String),
    /// The tokenizer does not frame a text as BERT's does.
    #[error(
        "tokenizer.json: an empty text becomes {found} special tokens; expected 2, [CLS] and [SEP]"
    )]
    Frame {
        /// How many there are.
        found: usize,
    },
    /// A special token that stands for nothing.
    #[error("tokenizer.json: the special token {id} is not in the vocabulary")]
    NoSpecial {
        /// Its id.
        id: u32,
    },
    /// There is no token for what the vocabulary lacks.
    #[error("tokenizer.json: no unknown token; expected [UNK] in a WordPiece vocabulary")]
    NoUnknown,
    /// The library refused a text.
    #[error("cannot tokenise {text:?}: {reason}")]
    Encode {
        /// The first characters of the text.
        text: String,
        /// The library's reason.
        reason: String,
    },
}

/// Sub-words of one text, without special tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subwords {
    /// Vocabulary ids.
    pub ids: Vec<u32>,
    /// Index of the word each sub-word belongs to: rising, and every word has at least one.
    pub word_ids: Vec<usize>,
    /// Half-open byte range of each sub-word: into the text, or into its word where words were given.
    pub offsets: Vec<(usize, usize)>,
}

/// A WordPiece tokenizer with its special tokens.
#[derive(Clone, Debug)]
pub struct SubwordTokenizer {
    inner: Tokenizer,
    classify_id: u32,
    separate_id: u32,
    unknown_id: u32,
    mask_id: u32,
    vocab_size: usize,
}

impl SubwordTokenizer {
    /// Reads a `tokenizer.json`; truncation and padding set in it are ignored, for windows and
    /// batches are made by this crate.
    ///
    /// # Errors
    ///
    /// Bytes that are no tokenizer, or one without `[CLS]`, `[SEP]` and `[UNK]`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizeError> {
        let (inner, [classify_id, separate_id]) = tokenizer_file::parse(bytes)?;
        let unknown_id = inner.token_to_id("[UNK]").ok_or(TokenizeError::NoUnknown)?;
        let mask_id = inner.token_to_id("[MASK]").unwrap_or(unknown_id);
        let last = inner.get_vocab(true).into_values().max().unwrap_or(0);
        let vocab_size = (last as usize).saturating_add(1);
        Ok(Self { inner, classify_id, separate_id, unknown_id, mask_id, vocab_size })
    }

    /// Ids, added tokens' and gaps included; the embedding has as many rows.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// `[MASK]`, or the unknown token where the vocabulary has none: stands for a sub-word that is
    /// hidden.
    pub fn mask_id(&self) -> u32 {
        self.mask_id
    }

    /// Sub-words of words that are given. A word that leaves none, such as a lone control
    /// character, becomes the unknown token, so that every word gets a label.
    ///
    /// # Errors
    ///
    /// Only what the library itself refuses.
    pub fn encode_words(&self, words: &[String]) -> Result<Subwords, TokenizeError> {
        let encoding = self.inner.encode(words.to_vec(), false);
        let encoding = encoding.map_err(|reason| refusal(&words.join(" "), &reason))?;
        Ok(self.collect(&encoding, words.len()))
    }

    /// Sub-words of raw text with byte offsets into it, and the half-open byte range of every word.
    /// Words are what the tokenizer's own pre-tokenizer makes: runs of characters between spaces
    /// and punctuation, each punctuation mark alone.
    ///
    /// # Errors
    ///
    /// Only what the library itself refuses.
    pub fn encode_text(
        &self,
        text: &str,
    ) -> Result<(Subwords, Vec<(usize, usize)>), TokenizeError> {
        let encoding = self.inner.encode(text, false).map_err(|reason| refusal(text, &reason))?;
        // Words that leave no sub-word are not seen here at all, so ids are made dense again.
        let mut words: Vec<(usize, usize)> = Vec::new();
        let mut subwords = Subwords::default();
        let mut last = None;
        for ((id, word_id), (start, end)) in
            encoding.get_ids().iter().zip(encoding.get_word_ids()).zip(encoding.get_offsets())
        {
            if words.is_empty() || *word_id != last {
                words.push((*start, *end));
            }
            last = *word_id;
            let word = words.len() - 1;
            words[word].1 = words[word].1.max(*end);
            subwords.ids.push(*id);
            subwords.word_ids.push(word);
            subwords.offsets.push((*start, *end));
        }
        Ok((subwords, words))
    }

    /// `[CLS]`, the sub-words, `[SEP]`.
    pub fn frame(&self, ids: impl Iterator<Item = u32>) -> Vec<u32> {
        std::iter::once(self.classify_id).chain(ids).chain([self.separate_id]).collect()
    }

    fn collect(&self, encoding: &Encoding, num_words: usize) -> Subwords {
        let mut subwords = Subwords::default();
        let mut push = |id, word, offsets| {
            subwords.ids.push(id);
            subwords.word_ids.push(word);
            subwords.offsets.push(offsets);
        };
        let mut next_word = 0;
        let pieces = encoding.get_ids().iter().zip(encoding.get_word_ids());
        for ((id, word_id), offsets) in pieces.zip(encoding.get_offsets()) {
            let Some(word) = word_id.map(|word| word as usize) else { continue };
            for skipped in next_word..word {
                push(self.unknown_id, skipped, (0, 0));
            }
            push(*id, word, *offsets);
            next_word = word + 1;
        }
        for skipped in next_word..num_words {
            push(self.unknown_id, skipped, (0, 0));
        }
        subwords
    }
}

fn refusal(text: &str, reason: &tokenizers::Error) -> TokenizeError {
    TokenizeError::Encode { text: text.chars().take(60).collect(), reason: reason.to_string() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A WordPiece tokenizer over a dozen entries, framed as BERT's.
    pub(crate) fn small_tokenizer() -> SubwordTokenizer {
        SubwordTokenizer::from_bytes(SMALL.as_bytes()).expect("our own tokenizer")
    }

    pub(crate) const SMALL: &str = r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
        "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,
            "strip_accents":null,"lowercase":false},
        "pre_tokenizer":{"type":"BertPreTokenizer"},
        "post_processor":{"type":"TemplateProcessing",
            "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
                {"SpecialToken":{"id":"[SEP]","type_id":0}}],
            "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],
            "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},
                "[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},
        "decoder":null,
        "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",
            "max_input_chars_per_word":100,
            "vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"A":4,"##da":5,"lives":6,"in":7,
                "Bern":8,".":9,"##e":10,"é":11}}}"###;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn words_are_split_and_numbered() {
        let subwords = small_tokenizer().encode_words(&words(&["Ada", "lives", "in", "Berne"]));
        let subwords = subwords.expect("plain words");
        assert_eq!(subwords.ids, [4, 5, 6, 7, 8, 10]);
        assert_eq!(subwords.word_ids, [0, 0, 1, 2, 3, 3]);
    }

    #[test]
    fn a_word_without_subwords_becomes_unknown() {
        let subwords = small_tokenizer().encode_words(&words(&["\u{200b}", "in", "\u{0}"]));
        let subwords = subwords.expect("odd words");
        assert_eq!((subwords.word_ids, subwords.ids), (vec![0, 1, 2], vec![1, 7, 1]));
    }

    #[test]
    fn text_keeps_byte_offsets() {
        let text = "é  Ada lives.";
        let (subwords, words) = small_tokenizer().encode_text(text).expect("plain text");
        let pieces: Vec<&str> = subwords.offsets.iter().map(|(s, e)| &text[*s..*e]).collect();
        assert_eq!(pieces, ["é", "A", "da", "lives", "."]);
        let words: Vec<&str> = words.iter().map(|(start, end)| &text[*start..*end]).collect();
        assert_eq!(words, ["é", "Ada", "lives", "."]);
        assert_eq!(subwords.word_ids, [0, 1, 1, 2, 3]);
    }

    #[test]
    fn frame_adds_the_special_tokens() {
        assert_eq!(small_tokenizer().frame([6, 7].into_iter()), [2, 6, 7, 3]);
    }

    #[test]
    fn bytes_that_are_no_tokenizer_are_refused() {
        let message = SubwordTokenizer::from_bytes(b"{}").expect_err("no tokenizer").to_string();
        assert!(message.starts_with("tokenizer.json: "), "{message}");
    }

    #[test]
    fn a_tokenizer_without_frame_is_refused() {
        let start = SMALL.find("\"post_processor\"").expect("there");
        let end = SMALL.find("\"decoder\"").expect("there");
        let text = format!("{}\"post_processor\":null,{}", &SMALL[..start], &SMALL[end..]);
        let message = SubwordTokenizer::from_bytes(text.as_bytes()).expect_err("no frame");
        assert!(message.to_string().contains("becomes 0 special tokens"), "{message}");
    }
}
