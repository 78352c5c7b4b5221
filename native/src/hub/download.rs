//! One file from the hub into the cache: continued where it broke off, hashed while it comes, and
//! given its name only when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::cache::{RepoCache, create_parent};
use super::digest::{BUFFER, Check, read_through};
use super::http::{AGAIN, Client, Fault, text_of};
use super::progress::{Transfer, size};
use super::remote::Metadata;
use crate::store;

/// A file to fetch.
pub struct Wanted<'a> {
    /// For people.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What it is.
    pub metadata: &'a Metadata,
}

/// Fetches a file into the blobs of its repository. The caller holds the lock of its etag.
///
/// # Errors
///
/// Whatever went wrong. A blob of that name is then as it was before; a part that came stays for the
/// next try, unless it is known to be wrong.
pub fn download(
    client: &Client,
    wanted: &Wanted<'_>,
    cache: &RepoCache,
    quiet: bool,
) -> Result<()> {
    let etag = &wanted.metadata.etag;
    let path = cache.incomplete(etag);
    create_parent(&path)?;
    let mut part = Part::open(&path, wanted.metadata)?;
    let resumed = part.len > 0;
    let mut transfer = Transfer::new(quiet, &wanted.name, wanted.metadata.size, part.len);
    if resumed {
        transfer.message(&format!("{}: continued at {}", wanted.name, size(part.len)));
    }
    fetch(client, wanted, &mut part, &mut transfer)?;
    let mut checked = part.finish();
    if let (true, Err(reason)) = (resumed, checked.clone()) {
        // The part may have been another's, or half written.
        transfer.message(&format!("{}: {reason}; fetched again from the start", wanted.name));
        part = Part::open(&path, wanted.metadata)?;
        part.restart()?;
        transfer.move_to(0);
        fetch(client, wanted, &mut part, &mut transfer)?;
        checked = part.finish();
    }
    if let Err(reason) = checked {
        fs::remove_file(&path).ok();
        bail!(
            "{}: {reason}, as the hub names it; nothing of it was kept. If that stays so when it is \
             fetched again, something on the way changes the file: a proxy, or the mirror of HF_ENDPOINT",
            wanted.name
        );
    }
    let target = cache.blob(etag);
    fs::rename(&path, &target).with_context(|| format!("cannot write {}", target.display()))?;
    store::sync_parent(&target).with_context(|| format!("cannot write {}", target.display()))
}

/// Fetches what is missing, in as many tries as bring more: one that brought bytes starts the count of
/// those that did not again.
fn fetch(
    client: &Client,
    wanted: &Wanted<'_>,
    part: &mut Part,
    transfer: &mut Transfer,
) -> Result<()> {
    let size = wanted.metadata.size;
    let mut fruitless = 0;
    while part.len < size {
        let before = part.len;
        let fault = match attempt(client, wanted, part, transfer) {
            Ok(()) => continue,
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Fault(fault)) => fault,
        };
        if part.len > before {
            fruitless = 0;
        }
        if !fault.is_passing() {
            return Err(anyhow!(fault).context(format!("cannot fetch {}", wanted.name)));
        }
        let Some(wait) = AGAIN.get(fruitless) else {
            let kept = match part.len {
                0 => "nothing of it came".to_owned(),
                len => format!(
                    "{len} of {size} bytes came and are kept: the same command continues there"
                ),
            };
            return Err(anyhow!(fault).context(format!("cannot fetch {}: {kept}", wanted.name)));
        };
        transfer.message(&format!("{}: {fault}; trying again", wanted.name));
        std::thread::sleep(*wait);
        fruitless += 1;
    }
    part.sync()
}

enum Trouble {
    /// May pass.
    Fault(Fault),
    /// Will not.
    Final(anyhow::Error),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Fault(fault)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Trouble::Final(error)
    }
}

impl Trouble {
    fn wrong(text: String) -> Self {
        Trouble::Final(anyhow!(text))
    }
}

/// One request for all that is missing.
fn attempt(
    client: &Client,
    wanted: &Wanted<'_>,
    part: &mut Part,
    transfer: &mut Transfer,
) -> Result<(), Trouble> {
    let (name, url, size) = (&wanted.name, &wanted.url, wanted.metadata.size);
    let from = (part.len > 0).then_some(part.len);
    let response = client.bytes(url, from)?;
    let header = |name: &str| text_of(response.headers(), name);
    match response.status().as_u16() {
        206 => {
            let range = header("content-range").unwrap_or_default();
            let expected = format!("bytes {}-{}/{size}", part.len, size - 1);
            if range != expected {
                part.discard();
                return Err(Trouble::wrong(format!(
                    "{name}: the server sends {range:?}, expected {expected:?}; nothing of it was kept"
                )));
            }
        }
        // The server knows no ranges, or the part is not one of its file.
        200 | 416 if from.is_some() => {
            part.restart()?;
            transfer.move_to(0);
            if response.status() == 416 {
                return Ok(());
            }
        }
        _ => {}
    }
    if response.status() != 206
        && let Some(length) = header("content-length")
        && length != size.to_string()
    {
        part.discard();
        let found = format!("{name}: the server sends {length} bytes");
        return Err(Trouble::wrong(format!("{found}, expected {size} as the hub says")));
    }
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; BUFFER];
    while part.len < size {
        let read = match body.read(&mut buffer) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
                return Err(client.broken(url, error).into());
            }
            Ok(0) | Err(_) => {
                let cause = format!("the connection ended after {} of {size} bytes", part.len);
                return Err(Fault::Unreachable { url: url.clone(), cause }.into());
            }
            Ok(read) => read,
        };
        if read as u64 > size - part.len {
            return Err(too_long(part, name));
        }
        part.append(&buffer[..read])?;
        transfer.advance(read);
    }
    // One byte more would be another file.
    match body.read(&mut buffer) {
        Ok(more) if more > 0 => Err(too_long(part, name)),
        _ => Ok(()),
    }
}

fn too_long(part: &mut Part, name: &str) -> Trouble {
    part.discard();
    let size = part.size;
    Trouble::wrong(format!("{name}: more than {size} bytes came, expected {size} as the hub says"))
}

/// The part of a file that is there.
struct Part {
    file: File,
    path: PathBuf,
    len: u64,
    etag: String,
    size: u64,
    check: Check,
}

impl Part {
    fn open(path: &Path, metadata: &Metadata) -> Result<Self> {
        let context = || format!("cannot write {}", path.display());
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let (etag, size) = (metadata.etag.clone(), metadata.size);
        let check = Check::new(&etag, size);
        let file = file.with_context(context)?;
        let mut part = Self { file, path: path.to_path_buf(), len: 0, etag, size, check };
        let len = part.file.metadata().with_context(context)?.len();
        if len > size {
            part.restart()?;
            return Ok(part);
        }
        let check = &mut part.check;
        read_through(&mut part.file, |bytes| check.update(bytes)).with_context(context)?;
        part.len = len;
        Ok(part)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Whole again, as far as it was checked.
            self.file.set_len(self.len).ok();
            let target = self.path.with_extension("");
            return Err(store::write_error(error, &target, self.size as usize));
        }
        self.check.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.len = 0;
        self.check = Check::new(&self.etag, self.size);
        Ok(())
    }

    /// Wrong, so not to be continued.
    fn discard(&mut self) {
        fs::remove_file(&self.path).ok();
    }

    fn sync(&self) -> Result<()> {
        let synced: io::Result<()> = self.file.sync_all();
        synced.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Whether the whole is what it should be.
    fn finish(self) -> Result<(), String> {
        self.check.finish()
    }
}
