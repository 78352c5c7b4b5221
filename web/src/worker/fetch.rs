//! The files of a bundle: from the browser's cache, or streamed, hashed while they stream, and cached
//! only if size and hash are right.

use js_sys::{Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web::manifest::{FileEntry, ModelEntry};
use web::protocol::Stage;
use web_sys::{
    Cache, CacheStorage, ReadableStreamDefaultReader, Request, RequestCache, RequestInit, Response,
};

use super::scope::{global, reason};
use super::{Stop, Task};

/// The cache's name; raised when what it holds changes its meaning.
const CACHE: &str = "understudy-models-1";

/// A bundle's bytes.
pub struct Fetched {
    /// Name and content of each file.
    pub files: Vec<(String, Vec<u8>)>,
    /// Whether no byte was fetched.
    pub from_cache: bool,
}

fn retry(message: String) -> Stop {
    Stop::Failed { message, can_retry: true }
}

/// Gets all files of a bundle.
///
/// # Errors
///
/// A file that cannot be had, or that is not the one the manifest names.
pub async fn bundle(task: Task, model: &ModelEntry, base: &str) -> Result<Fetched, Stop> {
    let cache = open_cache().await;
    let mut bar = Bar { task, total: model.size_bytes(), done: 0, told: 0 };
    let mut fetched = Fetched { files: Vec::new(), from_cache: true };
    for file in &model.files {
        let address = format!("{base}{}/{}", model.folder, file.name);
        let bytes = match cached(cache.as_ref(), &address, file).await {
            Some(bytes) => {
                bar.advance(Stage::Cache, bytes.len());
                bytes
            }
            None => {
                fetched.from_cache = false;
                let bytes = streamed(&address, file, &mut bar).await?;
                keep(cache.as_ref(), &address, file, &bytes).await;
                bytes
            }
        };
        task.pause().await?;
        fetched.files.push((file.name.clone(), bytes));
    }
    Ok(fetched)
}

/// Without one, as on plain http of another host or in some private windows, files are fetched every time.
async fn open_cache() -> Option<Cache> {
    let caches = Reflect::get(&global(), &"caches".into()).ok()?;
    let caches: CacheStorage = Some(caches).filter(JsValue::is_object)?.unchecked_into();
    JsFuture::from(caches.open(CACHE)).await.ok().map(JsCast::unchecked_into)
}

/// Tells the page of bytes, but not of every packet.
struct Bar {
    task: Task,
    total: u64,
    done: u64,
    told: u64,
}

impl Bar {
    fn advance(&mut self, stage: Stage, bytes: usize) {
        self.done += bytes as u64;
        if self.done == self.total || self.done - self.told > self.total / 200 {
            self.told = self.done;
            self.task.progress(stage, self.done, self.total);
        }
    }
}

/// Where a file is kept: its hash is in its address, so a changed file is another one.
fn key(address: &str, file: &FileEntry) -> String {
    format!("{address}?sha256={}", file.sha256)
}

async fn cached(cache: Option<&Cache>, address: &str, file: &FileEntry) -> Option<Vec<u8>> {
    let found = JsFuture::from(cache?.match_with_str(&key(address, file))).await.ok()?;
    let response: Response = found.dyn_into().ok()?;
    let buffer = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    let bytes = Uint8Array::new(&buffer).to_vec();
    (bytes.len() as u64 == file.size).then_some(bytes)
}

async fn keep(cache: Option<&Cache>, address: &str, file: &FileEntry, bytes: &[u8]) {
    let Some(cache) = cache else { return };
    let buffer = Uint8Array::from(bytes);
    let Ok(response) = Response::new_with_opt_js_u8_array(Some(&buffer)) else { return };
    // What the file was before stays until all of its successor works (offline.js). A full disk or a private window: the next visit fetches again, and nothing else is lost.
    let _ = JsFuture::from(cache.put_with_str(&key(address, file), &response)).await;
}

async fn streamed(address: &str, file: &FileEntry, bar: &mut Bar) -> Result<Vec<u8>, Stop> {
    let name = &file.name;
    let options = RequestInit::new();
    // What is right goes into our own cache; a second copy in the browser's would be a waste.
    options.set_cache(RequestCache::NoStore);
    let request = Request::new_with_str_and_init(address, &options)
        .map_err(|error| Stop::failed(format!("{name}: {}", reason(&error))))?;
    let response = JsFuture::from(global().fetch_with_request(&request)).await;
    let response: Response = response
        .map_err(|error| retry(format!("{name}: no connection ({})", reason(&error))))?
        .unchecked_into();
    if !response.ok() {
        return Err(retry(format!("{name}: the server answered {}", response.status())));
    }
    let body = response.body().ok_or_else(|| retry(format!("{name}: an empty answer")))?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let bytes = read_all(&reader, file, bar).await?;
    check(file, &bytes.1, bytes.0.len())?;
    Ok(bytes.0)
}

/// The bytes and their hash.
async fn read_all(
    reader: &ReadableStreamDefaultReader,
    file: &FileEntry,
    bar: &mut Bar,
) -> Result<(Vec<u8>, String), Stop> {
    let mut bytes = Vec::with_capacity(usize::try_from(file.size).unwrap_or(0));
    let mut hasher = Sha256::new();
    loop {
        let chunk = JsFuture::from(reader.read()).await.map_err(|error| {
            retry(format!(
                "{}: the connection was cut after {} of {} bytes ({})",
                file.name,
                bytes.len(),
                file.size,
                reason(&error)
            ))
        })?;
        let is_done = Reflect::get(&chunk, &"done".into()).is_ok_and(|done| done.is_truthy());
        if is_done {
            break;
        }
        let value = Reflect::get(&chunk, &"value".into()).unwrap_or_default();
        let chunk = Uint8Array::new(&value).to_vec();
        if bytes.len() + chunk.len() > usize::try_from(file.size).unwrap_or(0) {
            let _ = JsFuture::from(reader.cancel()).await;
            return Err(retry(format!(
                "{}: more bytes than the {} that the manifest names",
                file.name, file.size
            )));
        }
        hasher.update(&chunk);
        bar.advance(Stage::Download, chunk.len());
        bytes.extend(chunk);
        if super::with_state(|state| state.cancelled.contains(&bar.task.id)) {
            let _ = JsFuture::from(reader.cancel()).await;
            return Err(Stop::Cancelled);
        }
    }
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, hash))
}

fn check(file: &FileEntry, hash: &str, len: usize) -> Result<(), Stop> {
    if len as u64 != file.size {
        return Err(retry(format!(
            "{}: the connection was cut after {len} of {} bytes",
            file.name, file.size
        )));
    }
    if hash != file.sha256 {
        return Err(retry(format!(
            "{}: SHA-256 is {}…, expected {}…: damaged on its way, or changed; it was not kept",
            file.name,
            &hash[..12],
            &file.sha256[..file.sha256.len().min(12)]
        )));
    }
    Ok(())
}
