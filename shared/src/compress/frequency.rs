//! How often each token occurs in some text: what a row of the token table is worth.
//!
//! The table is cut to a rank for the text that the model will read, not for the vocabulary as a list:
//! half of the vocabulary of `bert-base-cased` does not occur in the training split of CoNLL-2003.
//! Rows weighted by their frequency (Chen et al. 2018, GroupReduce, arXiv:1806.06950, equation 2)
//! leave the smallest squared error over the tokens of a text. What it is worth is in `docs/RESULTS.md`.

/// Occurrences of each token of a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCounts(Vec<u64>);

impl TokenCounts {
    /// Of no text yet, over a vocabulary of `vocab_size`.
    pub fn new(vocab_size: usize) -> Self {
        Self(vec![0; vocab_size])
    }

    /// Counts some more tokens.
    ///
    /// # Panics
    ///
    /// If a token is not in the vocabulary.
    pub fn add(&mut self, tokens: impl IntoIterator<Item = u32>) {
        for id in tokens {
            self.0[id as usize] += 1;
        }
    }

    /// Tokens counted.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Tokens of the vocabulary that occur.
    pub fn distinct(&self) -> usize {
        self.0.iter().filter(|count| **count > 0).count()
    }

    /// A weight for each of the first `rows` tokens: its count and one more, so that tokens which the
    /// text lacks are kept as far as nothing else needs the room; scaled to a mean of 1.
    pub fn weights(&self, rows: usize) -> Vec<f64> {
        let counts = &self.0[..rows];
        let mean = counts.iter().map(|count| *count as f64 + 1.0).sum::<f64>() / rows as f64;
        counts.iter().map(|count| (*count as f64 + 1.0) / mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_counts_and_one_with_a_mean_of_one() {
        let mut counts = TokenCounts::new(4);
        counts.add([2, 0, 2]);
        counts.add([2]);
        assert_eq!((counts.total(), counts.distinct()), (4, 2));
        assert_eq!(counts.weights(4), [1.0, 0.5, 2.0, 0.5]);
        assert_eq!(counts.weights(2), [4.0 / 3.0, 2.0 / 3.0]);
    }
}
