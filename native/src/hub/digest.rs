//! What the hub calls a file tells what is in it: the SHA-256 of a large file (LFS), the SHA-1 that
//! git gives a small one, which is over `blob`, a space, the length, a zero byte, and the content.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::store::hex;

/// Bytes that are read at once.
pub const BUFFER: usize = 1 << 16;

/// The hash of a file that grows, and the one it should have.
pub struct Check {
    expected: String,
    running: Running,
}

enum Running {
    Sha256(Sha256),
    /// Git's, and the plain one that some mirrors use as an etag.
    Sha1 {
        git: Sha1,
        plain: Sha1,
    },
    /// An etag that is no hash of the content.
    None,
}

impl Check {
    /// For a file of `size` bytes with this etag.
    pub fn new(etag: &str, size: u64) -> Self {
        let is_hex = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let running = match etag.len() {
            64 if is_hex => Running::Sha256(Sha256::new()),
            40 if is_hex => {
                let mut git = Sha1::new();
                git.update(format!("blob {size}\0"));
                Running::Sha1 { git, plain: Sha1::new() }
            }
            _ => Running::None,
        };
        Self { expected: etag.to_ascii_lowercase(), running }
    }

    /// Whether the content can be checked by more than its size.
    pub fn is_hash(&self) -> bool {
        !matches!(self.running, Running::None)
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Sha256(hash) => hash.update(bytes),
            Running::Sha1 { git, plain } => {
                git.update(bytes);
                plain.update(bytes);
            }
            Running::None => {}
        }
    }

    /// Whether all that came is the file.
    ///
    /// # Errors
    ///
    /// What the hash is, and what was expected.
    pub fn finish(self) -> Result<(), String> {
        let (name, found) = match self.running {
            Running::None => return Ok(()),
            Running::Sha256(hash) => ("SHA-256", hex(&hash.finalize())),
            Running::Sha1 { git, plain } => {
                if hex(&plain.finalize()) == self.expected {
                    return Ok(());
                }
                ("git's SHA-1", hex(&git.finalize()))
            }
        };
        match found == self.expected {
            true => Ok(()),
            false => Err(format!("{name} is {found}, expected {}", self.expected)),
        }
    }
}

/// What a file on disk is.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its hash is the one it is named after.
    Whole,
    /// Its name is no hash.
    Unknown,
    /// What is wrong.
    Damaged(String),
}

/// Checks a file against its etag.
pub fn verify(path: &Path, etag: &str) -> io::Result<Verdict> {
    let mut file = File::open(path)?;
    let mut check = Check::new(etag, file.metadata()?.len());
    if !check.is_hash() {
        return Ok(Verdict::Unknown);
    }
    read_through(&mut file, |bytes| check.update(bytes))?;
    Ok(match check.finish() {
        Ok(()) => Verdict::Whole,
        Err(reason) => Verdict::Damaged(reason),
    })
}

/// Gives every byte from the file's position on to `each`.
pub fn read_through(file: &mut File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => each(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(etag: &str, bytes: &[u8]) -> Result<(), String> {
        let mut check = Check::new(etag, bytes.len() as u64);
        let (start, end) = bytes.split_at(bytes.len() / 2);
        check.update(start);
        check.update(end);
        check.finish()
    }

    #[test]
    fn all_three_hashes_are_known() {
        // `printf hello | sha256sum`, `| git hash-object --stdin`, `| sha1sum`.
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let git = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
        let plain = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
        for etag in [sha256, git, plain, "an-etag"] {
            assert_eq!(check(etag, b"hello"), Ok(()));
        }
        let error = check(sha256, b"hellO").expect_err("another content");
        assert!(error.starts_with("SHA-256 is ") && error.contains(sha256), "{error}");
        assert!(check(git, b"hellO").is_err());
    }
}
