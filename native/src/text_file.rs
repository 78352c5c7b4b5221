//! Unlabelled text that may be larger than memory: read once to check it, then again in pieces.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use sha2::{Digest, Sha256};
use understudy_shared::data::error::DataError;
use understudy_shared::data::example::{Example, ExampleOptions, unlabelled_examples};
use understudy_shared::data::text::{TEXT_EXPECTED, read_text_line};
use understudy_shared::data::tokenize::SubwordTokenizer;

use crate::report::FileHash;
use crate::store::hex;

/// Sentences that are tokenised together.
const SENTENCES: usize = 1024;

/// What is learned from when no text is named: sentences of Wikipedia (`native/text/README.md`).
const SAMPLE: &[u8] = include_bytes!("../text/wiki_vital.txt");
/// Sentences that are held out of a text, at most; see [`TextFile::hold_out`].
const HELD_OUT: usize = 500;

/// Where text is from.
#[derive(Clone, Debug)]
enum Origin {
    /// A file of the user's.
    File(PathBuf),
    /// It is in the program.
    Sample,
}

/// A file of sentences that was read from start to end and found to be text.
#[derive(Debug)]
pub struct TextFile {
    origin: Origin,
    /// Its name, SHA-256 and number of sentences, those held out too.
    pub file: FileHash,
    /// Sentences to learn from.
    pub sentences: usize,
}

impl TextFile {
    /// Reads it once.
    ///
    /// # Errors
    ///
    /// A file that cannot be read twice, bytes that are no text (with their place), or no sentence.
    pub fn check(path: &Path) -> Result<Self> {
        let shown = path.display();
        ensure!(
            !path.exists() || path.is_file(),
            "cannot read {shown}: expected a file that can be read twice, no folder and no pipe"
        );
        Self::read(Origin::File(path.to_owned()))
    }

    /// The text that is in the program.
    ///
    /// # Errors
    ///
    /// None, for it is text.
    pub fn sample() -> Result<Self> {
        Self::read(Origin::Sample)
    }

    fn read(origin: Origin) -> Result<Self> {
        let shown = origin.to_string();
        let mut lines = Lines::open(&origin)?;
        let (mut hasher, mut sentences) = (Sha256::new(), 0);
        while let Some(is_sentence) = lines.next(|line| line.is_some())? {
            hasher.update(&lines.bytes);
            sentences += usize::from(is_sentence);
        }
        if sentences == 0 {
            let error = DataError::NoSentence { expected: TEXT_EXPECTED };
            return Err(anyhow!(error).context(shown));
        }
        let sha256 = hex(&hasher.finalize());
        let file = FileHash { path: shown, sha256, sentences: Some(sentences) };
        Ok(Self { origin, file, sentences })
    }

    /// Takes away the last tenth of the text, 500 sentences at most, and returns it: neighbours are
    /// often about the same thing, so it is all of one piece.
    ///
    /// # Errors
    ///
    /// A text that cannot be read any more.
    pub fn hold_out(&mut self) -> Result<Vec<String>> {
        let count = (self.sentences / 10).min(HELD_OUT);
        self.sentences -= count;
        let mut lines = Lines::open(&self.origin)?;
        let mut left = self.sentences;
        while left > 0 {
            let skipped = lines.sentences(left.min(SENTENCES))?.len();
            ensure!(skipped > 0, "{} has become shorter", self.origin);
            left -= skipped;
        }
        lines.sentences(count)
    }

    /// Its first sentences, at most `count`.
    ///
    /// # Errors
    ///
    /// A text that cannot be read any more.
    pub fn first(&self, count: usize) -> Result<Vec<String>> {
        Lines::open(&self.origin)?.sentences(count.min(self.sentences))
    }

    /// Its examples in chunks of `size`, the last one smaller, read as they are asked for.
    pub fn chunks<'a>(
        &'a self,
        size: usize,
        tokenizer: &'a SubwordTokenizer,
        options: &'a ExampleOptions,
    ) -> Result<impl Iterator<Item = Result<Vec<Example>>> + 'a> {
        let mut lines = Some(Lines::open(&self.origin)?);
        let mut left = self.sentences;
        let mut waiting: Vec<Example> = Vec::new();
        let mut next = move || -> Result<Option<Vec<Example>>> {
            while let Some(open) = lines.as_mut().filter(|_| waiting.len() < size) {
                let texts = open.sentences(left.min(SENTENCES))?;
                left -= texts.len();
                if texts.is_empty() {
                    lines = None;
                    break;
                }
                let examples = unlabelled_examples(&texts, tokenizer, options);
                waiting.extend(examples.with_context(|| self.origin.to_string())?);
            }
            let rest = waiting.split_off(waiting.len().min(size));
            let chunk = std::mem::replace(&mut waiting, rest);
            Ok((!chunk.is_empty()).then_some(chunk))
        };
        Ok(std::iter::from_fn(move || next().transpose()))
    }
}

impl Origin {
    fn open(&self) -> Result<Box<dyn Read>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path).with_context(|| self.unreadable())?),
            Self::Sample => Box::new(SAMPLE),
        })
    }

    fn unreadable(&self) -> String {
        format!("cannot read {self}: expected a readable file")
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Sample => f.write_str("wiki_vital.txt (in the program)"),
        }
    }
}

/// The lines of a text, one at a time.
struct Lines {
    origin: Origin,
    reader: BufReader<Box<dyn Read>>,
    bytes: Vec<u8>,
    line: usize,
    offset: usize,
}

impl Lines {
    fn open(origin: &Origin) -> Result<Self> {
        let reader = BufReader::with_capacity(1 << 18, origin.open()?);
        Ok(Self { origin: origin.clone(), reader, bytes: vec![], line: 0, offset: 0 })
    }

    /// What `read` makes of the next line; `None` at the end of the file.
    fn next<T>(&mut self, read: impl FnOnce(Option<&str>) -> T) -> Result<Option<T>> {
        self.offset += self.bytes.len();
        self.line += 1;
        self.bytes.clear();
        let count = self.reader.read_until(b'\n', &mut self.bytes);
        if count.with_context(|| self.origin.unreadable())? == 0 {
            return Ok(None);
        }
        let text = read_text_line(&self.bytes, self.line, self.offset);
        Ok(Some(read(text.with_context(|| self.origin.to_string())?)))
    }

    /// The next sentences, at most `count`; none at the end of the file.
    fn sentences(&mut self, count: usize) -> Result<Vec<String>> {
        let mut sentences = Vec::new();
        while sentences.len() < count {
            match self.next(|text| text.map(str::to_owned))? {
                Some(text) => sentences.extend(text),
                None => break,
            }
        }
        Ok(sentences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_shared::data::text::read_text;

    const TOKENIZER: &[u8] = include_bytes!("../../tests/fixtures/tiny/tokenizer.json");

    #[test]
    fn pieces_are_the_examples_of_the_whole() -> Result<()> {
        let path = tempfile::NamedTempFile::new()?.into_temp_path();
        let text: String = (0..2500).map(|n| format!("Ralville {n} spoke .\r\n \n")).collect();
        std::fs::write(&path, format!("\u{feff}{text}no line end"))?;
        let file = TextFile::check(&path)?;
        assert_eq!((file.sentences, file.file.sentences), (2501, Some(2501)));
        let bytes = std::fs::read(&path)?;
        assert_eq!(file.file.sha256, crate::store::sha256_hex(&bytes));
        let tokenizer = SubwordTokenizer::from_bytes(TOKENIZER)?;
        let options = ExampleOptions { max_length: 6, context: 0, ..ExampleOptions::default() };
        let whole = unlabelled_examples(&read_text(&bytes)?, &tokenizer, &options)?;
        let chunks: Vec<_> = file.chunks(700, &tokenizer, &options)?.collect::<Result<_>>()?;
        let (last, others) = chunks.split_last().context("chunks")?;
        assert!(others.iter().all(|chunk| chunk.len() == 700) && last.len() <= 700);
        // Only the number of the sentence is counted from the start of the piece.
        let ids = |examples: &[Example]| -> Vec<Vec<u32>> {
            examples.iter().map(|example| example.input_ids.clone()).collect()
        };
        assert_eq!(ids(&chunks.concat()), ids(&whole));
        Ok(())
    }

    #[test]
    fn what_is_held_out_is_not_learned_from() -> Result<()> {
        let path = tempfile::NamedTempFile::new()?.into_temp_path();
        let text: String = (0..2500).map(|n| format!("{n}\n\n")).collect();
        std::fs::write(&path, text)?;
        let mut file = TextFile::check(&path)?;
        let held_out: Vec<String> = (2250..2500).map(|n| n.to_string()).collect();
        assert_eq!(file.hold_out()?, held_out);
        assert_eq!((file.sentences, file.file.sentences), (2250, Some(2500)));
        let tokenizer = SubwordTokenizer::from_bytes(TOKENIZER)?;
        let options = ExampleOptions::default();
        let chunks: Vec<_> = file.chunks(2000, &tokenizer, &options)?.collect::<Result<_>>()?;
        assert_eq!(chunks.concat().len(), 2250);
        Ok(())
    }

    #[test]
    fn the_sample_is_text() -> Result<()> {
        let mut sample = TextFile::sample()?;
        assert_eq!(sample.hold_out()?.len(), HELD_OUT);
        assert!(sample.sentences >= 8000, "{}", sample.sentences);
        Ok(())
    }

    #[test]
    fn a_wrong_byte_is_told_with_its_place_in_the_file() -> Result<()> {
        let path = tempfile::NamedTempFile::new()?.into_temp_path();
        for (bytes, expected) in [
            (&b"one\ntw\xffo\n"[..], "line 2, byte 6: not valid UTF-8"),
            (&b"one\ntw\0o\n"[..], "line 2, byte 6: NUL byte"),
            (&b" \n\n"[..], "no sentence found"),
        ] {
            std::fs::write(&path, bytes)?;
            crate::store::tests::check_error(TextFile::check(&path), expected);
        }
        crate::store::tests::check_error(TextFile::check(Path::new("/")), "no folder and no pipe");
        Ok(())
    }
}
