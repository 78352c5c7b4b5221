//! A bundle as one file: a tar archive (POSIX.1-1988 `ustar`), which is headers of 512 bytes between the
//! files as they are.
//!
//! So the page makes and reads an archive of any size without reading the files in it. Every system has a
//! program that unpacks it.

/// Bytes of a header, and what every file is filled up to.
pub const BLOCK: usize = 512;

/// The header of a file.
///
/// # Panics
///
/// If the name has more than 99 bytes; those of a bundle have fewer.
pub fn header(name: &str, size: u64) -> [u8; BLOCK] {
    assert!(name.len() < 100, "`{name}`: expected 99 bytes at most");
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum = format!("{:06o}\0 ", sum(&header));
    header[148..156].copy_from_slice(sum.as_bytes());
    header
}

/// The zeros after a file of this size.
pub fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A file follows.
    File {
        /// Its name, without folders.
        name: String,
        /// Its size.
        size: u64,
    },
    /// Something else follows, to be passed over.
    Other {
        /// Its size.
        size: u64,
    },
    /// The archive ends here.
    End,
}

/// Reads a header.
///
/// # Errors
///
/// Bytes that are none: too few, or of another sum than they say.
pub fn read(header: &[u8]) -> Result<Head, String> {
    let header: &[u8; BLOCK] =
        header.try_into().map_err(|_| "the archive is cut off".to_owned())?;
    if header.iter().all(|byte| *byte == 0) {
        return Ok(Head::End);
    }
    let (said, size) = (octal(&header[148..156]), octal(&header[124..136]));
    let (Some(_), Some(size)) = (said.filter(|said| *said == sum(header)), size) else {
        return Err("it is no tar archive, or a damaged one".to_owned());
    };
    let end = header[..100].iter().position(|byte| *byte == 0).unwrap_or(100);
    let path = String::from_utf8_lossy(&header[..end]).into_owned();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    // Type 0 is a file; folders, links and attributes of other programs are passed over.
    Ok(match header[156] {
        b'0' | 0 if !name.is_empty() => Head::File { name, size },
        b'1'..=b'6' => Head::Other { size: 0 },
        _ => Head::Other { size },
    })
}

/// Of all bytes, those of the sum itself counted as spaces.
fn sum(header: &[u8; BLOCK]) -> u64 {
    let byte = |(index, byte): (usize, &u8)| {
        if (148..156).contains(&index) { u64::from(b' ') } else { u64::from(*byte) }
    };
    header.iter().enumerate().map(byte).sum()
}

fn octal(bytes: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(bytes).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back() {
        for size in [0, 1, 511, 512, 513, 78_000_000, 8_000_000_000] {
            let name = "model.safetensors".to_owned();
            assert_eq!(read(&header(&name, size)), Ok(Head::File { name, size }));
            assert_eq!((size + padding(size) as u64) % 512, 0);
        }
    }

    #[test]
    fn another_program_s_archive_is_read() {
        // As GNU tar writes it: a folder, and a file in it.
        let mut folder = header("kept/", 0);
        folder[156] = b'5';
        let sum = format!("{:06o}\0 ", sum(&folder));
        folder[148..156].copy_from_slice(sum.as_bytes());
        assert_eq!(read(&folder), Ok(Head::Other { size: 0 }));
        let file = Head::File { name: "config.json".to_owned(), size: 3 };
        assert_eq!(read(&header("./kept/config.json", 3)), Ok(file));
        assert_eq!(read(&[0; BLOCK]), Ok(Head::End));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(read(&[0; 100]).is_err_and(|message| message.contains("cut off")));
        assert!(read(&[b'a'; BLOCK]).is_err_and(|message| message.contains("no tar archive")));
        let mut damaged = header("config.json", 3);
        damaged[0] ^= 1;
        assert!(read(&damaged).is_err());
    }
}
