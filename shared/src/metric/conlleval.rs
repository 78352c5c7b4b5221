//! Predictions in the columns that the classic `conlleval` reads.
//!
//! That Perl script of the CoNLL-2000 shared task splits a line at each space and takes the last two
//! columns as gold and predicted tag: <https://www.cnts.ua.ac.be/conll2000/chunking/conlleval.txt>.

use crate::data::conll::Sentence;

/// Lines `token gold predicted` parted by one space, with a blank line after each sentence.
///
/// White space inside a token becomes `_`, since `conlleval` stops at a line with more columns.
///
/// # Panics
///
/// If sentences or words differ in number.
pub fn predictions_conll<S: AsRef<str>>(sentences: &[Sentence], predicted: &[Vec<S>]) -> String {
    assert_eq!(sentences.len(), predicted.len(), "number of gold and predicted sentences");
    let mut text = String::new();
    for (idx, (sentence, predicted)) in sentences.iter().zip(predicted).enumerate() {
        let Sentence { tokens, tags } = sentence;
        assert_eq!(tokens.len(), tags.len(), "tokens and gold tags of sentence {idx}");
        assert_eq!(tokens.len(), predicted.len(), "tokens and predicted tags of sentence {idx}");
        for ((token, gold), predicted) in tokens.iter().zip(tags).zip(predicted) {
            text.extend(token.chars().map(|char| if char.is_whitespace() { '_' } else { char }));
            for column in [" ", gold, " ", predicted.as_ref(), "\n"] {
                text.push_str(column);
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::conll::read_conll;

    fn sentence(words: &str) -> Sentence {
        let (tokens, tags) = words
            .split(' ')
            .filter_map(|word| word.split_once('/'))
            .map(|(token, tag)| (token.to_owned(), tag.to_owned()))
            .unzip();
        Sentence { tokens, tags }
    }

    #[test]
    fn three_columns_and_blank_lines() {
        let sentences = [sentence("EU/B-ORG is/O"), sentence("New\u{a0}York\t!/B-LOC")];
        let text = predictions_conll(&sentences, &[vec!["O", "O"], vec!["I-LOC"]]);
        assert_eq!(text, "EU B-ORG O\nis O O\n\nNew_York_! B-LOC I-LOC\n\n");
        assert_eq!(predictions_conll::<&str>(&[], &[]), "");
    }

    #[test]
    fn our_reader_reads_it_back() {
        let sentences = [sentence("EU/B-ORG is/O"), sentence("Rome/B-LOC")];
        let predicted = [vec!["B-LOC", "I-LOC"], vec!["O"]];
        let read = read_conll(predictions_conll(&sentences, &predicted).as_bytes()).expect("valid");
        assert_eq!(read[0].tokens, sentences[0].tokens);
        assert_eq!([&read[0].tags[..], &read[1].tags[..]], [&predicted[0][..], &predicted[1][..]]);
    }

    #[test]
    #[should_panic(expected = "tokens and predicted tags of sentence 0")]
    fn different_lengths_panic() {
        predictions_conll(&[sentence("a/O b/O")], &[vec!["O"]]);
    }
}
