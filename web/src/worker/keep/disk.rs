//! Files in the browser's private file system (OPFS): whole or not there. A file is written under a
//! temporary name, flushed, and moved to its own.

use js_sys::{AsyncIterator, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemRemoveOptions,
    FileSystemSyncAccessHandle,
};

use crate::worker::Stop;
use crate::worker::scope::{global, reason};

/// The folder of everything that is kept, so that other pages of the same origin stay apart.
const ROOT: &str = "understudy-1";

/// A folder.
#[derive(Clone, Debug)]
pub struct Folder(FileSystemDirectoryHandle);

/// What to do where a disk, or the part of it that a page may use, is full.
const FULL: &str = "there is no room left in this browser; delete a kept student to make some";

fn failed(what: &str, error: &JsValue) -> Stop {
    match is_named(error, "QuotaExceededError") {
        true => Stop::failed(format!("{what}: {FULL}")),
        false => Stop::failed(format!("{what}: {}", reason(error))),
    }
}

fn is_named(error: &JsValue, name: &str) -> bool {
    Reflect::get(error, &"name".into()).is_ok_and(|found| found == *name)
}

async fn wait<T: JsCast>(promise: Promise) -> Result<T, JsValue> {
    JsFuture::from(promise).await.map(JsCast::unchecked_into)
}

impl Folder {
    /// The folder of this page.
    ///
    /// # Errors
    ///
    /// A browser, or a private window, that keeps nothing.
    pub async fn root() -> Result<Self, Stop> {
        let storage = Reflect::get(&global().navigator(), &"storage".into()).unwrap_or_default();
        let open = Reflect::get(&storage, &"getDirectory".into()).unwrap_or_default();
        let nothing = "this browser keeps no files for a page";
        let access = Reflect::get(&global(), &"FileSystemSyncAccessHandle".into());
        if access.unwrap_or_default().is_undefined() {
            return Err(Stop::failed(nothing));
        }
        let Ok(open) = open.dyn_into::<Function>() else { return Err(Stop::failed(nothing)) };
        let promise = open.call0(&storage).map_err(|error| failed(nothing, &error))?;
        let root = wait(promise.unchecked_into()).await.map_err(|error| failed(nothing, &error))?;
        Self(root).folder(ROOT).await
    }

    /// A folder inside, made where it is not there.
    ///
    /// # Errors
    ///
    /// Whatever the browser says.
    pub async fn folder(&self, name: &str) -> Result<Self, Stop> {
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        let promise = self.0.get_directory_handle_with_options(name, &options);
        wait(promise).await.map(Self).map_err(|error| failed(name, &error))
    }

    /// The names of what is inside.
    ///
    /// # Errors
    ///
    /// Whatever the browser says.
    pub async fn names(&self) -> Result<Vec<String>, Stop> {
        let keys: AsyncIterator = self.0.keys();
        let mut names = Vec::new();
        loop {
            let next = keys.next().map_err(|error| failed("a folder", &error))?;
            let next: JsValue =
                wait(next.unchecked_into()).await.map_err(|error| failed("a folder", &error))?;
            let part = |name: &str| Reflect::get(&next, &name.into()).unwrap_or_default();
            if part("done").is_truthy() {
                return Ok(names);
            }
            names.extend(part("value").as_string());
        }
    }

    /// Deletes a file, or a folder with all that is inside; one that is not there is no fault.
    pub async fn delete(&self, name: &str) {
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        let promise = self.0.remove_entry_with_options(name, &options);
        let _ = JsFuture::from(promise).await;
    }

    /// A file as the browser hands it to a page, without its bytes being read; none where there is none.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be opened.
    pub async fn file(&self, name: &str) -> Result<Option<File>, Stop> {
        let open = async {
            let handle: FileSystemFileHandle = wait(self.0.get_file_handle(name)).await?;
            wait(handle.get_file()).await
        };
        match open.await {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_named(&error, "NotFoundError") => Ok(None),
            Err(error) => Err(failed(name, &error)),
        }
    }

    /// The bytes of a file; none where there is none.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be read.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Stop> {
        let Some(file) = self.file(name).await? else { return Ok(None) };
        let buffer: Result<JsValue, _> = wait(file.array_buffer()).await;
        let buffer = buffer.map_err(|error| failed(name, &error))?;
        Ok(Some(Uint8Array::new(&buffer).to_vec()))
    }

    /// Writes a file of these parts, one after the other, or leaves the one that was there. Gives its
    /// bytes.
    ///
    /// # Errors
    ///
    /// A full disk, or another tab that writes the same file.
    pub async fn write<P: AsRef<[u8]>>(
        &self,
        name: &str,
        parts: impl Iterator<Item = P>,
    ) -> Result<u64, Stop> {
        let temporary = format!("{name}.part");
        let write = async {
            let (handle, size) = self.write_here(&temporary, parts).await?;
            self.rename(&handle, &temporary, name).await?;
            Ok(size)
        };
        let written: Result<f64, JsValue> = write.await;
        if written.is_err() {
            self.delete(&temporary).await;
        }
        written.map(|size| size as u64).map_err(|error| failed(name, &error))
    }

    /// The file and its bytes, or half a file.
    async fn write_here<P: AsRef<[u8]>>(
        &self,
        name: &str,
        parts: impl Iterator<Item = P>,
    ) -> Result<(FileSystemFileHandle, f64), JsValue> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let promise = self.0.get_file_handle_with_options(name, &options);
        let handle: FileSystemFileHandle = wait(promise).await?;
        let access: FileSystemSyncAccessHandle = wait(handle.create_sync_access_handle()).await?;
        let written = write_parts(&access, parts);
        access.close();
        written.map(|size| (handle, size))
    }

    async fn rename(
        &self,
        handle: &FileSystemFileHandle,
        from: &str,
        to: &str,
    ) -> Result<(), JsValue> {
        let rename = Reflect::get(handle, &"move".into())?.dyn_into::<Function>();
        if let Ok(rename) = rename {
            let moved = rename.call1(handle, &to.into())?;
            return JsFuture::from(moved.unchecked_into::<Promise>()).await.map(|_| ());
        }
        // A browser that cannot move: the bytes again, which is not atomic but all there is.
        let file: File = wait(handle.get_file()).await?;
        let bytes: JsValue = wait(file.array_buffer()).await?;
        let bytes = Uint8Array::new(&bytes).to_vec();
        self.write_here(to, std::iter::once(bytes)).await?;
        self.delete(from).await;
        Ok(())
    }
}

/// Gives the bytes that were written.
fn write_parts<P: AsRef<[u8]>>(
    access: &FileSystemSyncAccessHandle,
    parts: impl Iterator<Item = P>,
) -> Result<f64, JsValue> {
    access.truncate_with_u32(0)?;
    let mut place = 0.0;
    for part in parts {
        let bytes = part.as_ref();
        let options = FileSystemReadWriteOptions::new();
        options.set_at(place);
        let written = access.write_with_u8_array_and_options(bytes, &options)?;
        if written < bytes.len() as f64 {
            return Err(JsValue::from_str(FULL));
        }
        place += written;
    }
    access.flush()?;
    Ok(place)
}
