//! Dropped and opened files: a text, a labelled file, a bundle, or one in an archive.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web::dropped::{self, Dropped, MOST_BUNDLE, MOST_TEXT, REPORT, REQUIRED};
use web::number::fixed;
use web::protocol::Role;
use web::tar::{self, Head};
use web_sys::{
    DragEvent, Event, File, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry,
    HtmlInputElement,
};

use super::dom::{self, by_id, click, document, listen, show};
use super::state::{Origin, change};
use super::{controls, models, notice, score, tagging, teach};

/// Connects the file button and the whole page as a place to drop on.
pub fn wire() {
    click(&by_id("open"), || by_id::<HtmlInputElement>("file").click());
    listen(&by_id::<HtmlInputElement>("file"), "change", |_: Event| {
        let input = by_id::<HtmlInputElement>("file");
        let list = input.files().map(|list| Array::from(&list)).unwrap_or_default();
        input.set_value("");
        take(list.iter().map(JsCast::unchecked_into).collect(), "own model".to_owned(), false);
    });
    click(&by_id("open-lessons"), || by_id::<HtmlInputElement>("lessons-file").click());
    listen(&by_id::<HtmlInputElement>("lessons-file"), "change", |_: Event| {
        let input = by_id::<HtmlInputElement>("lessons-file");
        let file = input.files().and_then(|list| list.get(0));
        input.set_value("");
        spawn_local(take_text(file, true));
    });
    listen(&document(), "dragover", |event: DragEvent| {
        if has_files(&event) {
            event.prevent_default();
            show("drop", true);
        }
    });
    listen(&document(), "dragleave", |event: DragEvent| {
        if event.related_target().is_none() {
            show("drop", false);
        }
    });
    listen(&document(), "drop", |event: DragEvent| {
        if has_files(&event) {
            event.prevent_default();
            show("drop", false);
            spawn_local(dropped(event));
        }
    });
}

/// Whether files are dragged, and not a selection, which belongs to the field it is dropped on.
fn has_files(event: &DragEvent) -> bool {
    let types = event.data_transfer().map(|transfer| transfer.types());
    types.is_some_and(|types| types.iter().any(|name| name == "Files"))
}

/// The files of a drop; of a folder those that lie in it.
async fn dropped(event: DragEvent) {
    let Some(transfer) = event.data_transfer() else { return };
    let target = dom::target(&event);
    let is_lesson = target.is_some_and(|target| target.closest("#teach").ok().flatten().is_some());
    // Both must be asked for before the first pause: afterwards the browser has emptied the drop.
    let plain = transfer.files().map(|list| Array::from(&list)).unwrap_or_default();
    let items = transfer.items();
    let entries: Vec<FileSystemEntry> = (0..items.length())
        .filter_map(|index| items.get(index)?.webkit_get_as_entry().ok().flatten())
        .collect();
    let folder = entries.iter().find(|entry| entry.is_directory());
    match folder {
        Some(folder) => {
            let files = files_in(folder.unchecked_ref()).await;
            if files.is_empty() {
                let message = format!(
                    "{}: there is no file in this folder, but perhaps in one inside it. Drop the folder \
                     that `understudy export` wrote.",
                    folder.name()
                );
                return notice::bad(&message, None);
            }
            take(files, folder.name(), is_lesson);
        }
        None => {
            let files = plain.iter().map(JsCast::unchecked_into).collect();
            take(files, "own model".to_owned(), is_lesson);
        }
    }
}

async fn files_in(folder: &FileSystemDirectoryEntry) -> Vec<File> {
    let reader = folder.create_reader();
    let mut files = Vec::new();
    loop {
        // Browsers give a hundred at a time, and none at the end.
        let entries =
            called_back(|done| reader.read_entries_with_callback_and_callback(done, done).is_ok());
        let entries = entries.await;
        let Some(entries) = entries.dyn_ref::<Array>().filter(|entries| entries.length() > 0)
        else {
            return files;
        };
        for entry in entries.iter() {
            let entry: FileSystemEntry = entry.unchecked_into();
            if entry.is_file() {
                let entry: FileSystemFileEntry = entry.unchecked_into();
                let file = called_back(|done| {
                    entry.file_with_callback_and_callback(done, done);
                    true
                });
                files.extend(file.await.dyn_into::<File>().ok());
            }
        }
    }
}

/// What an old-fashioned function hands to its callback.
async fn called_back(call: impl FnOnce(&Function) -> bool) -> JsValue {
    let resolve: Rc<RefCell<Option<Function>>> = Rc::default();
    let promise = Promise::new(&mut |done, _| *resolve.borrow_mut() = Some(done));
    let done = resolve.take().expect("a promise calls its executor at once");
    if !call(&done) {
        return JsValue::NULL;
    }
    JsFuture::from(promise).await.unwrap_or(JsValue::NULL)
}

/// `is_lesson` = texts are to learn from, and not to be tagged.
fn take(files: Vec<File>, folder: String, is_lesson: bool) {
    let names: Vec<String> = files.iter().map(File::name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        return;
    }
    match dropped::classify(&names) {
        Ok(Dropped::Bundle) => take_bundle(files, folder),
        Ok(Dropped::Archive) => spawn_local(take_archive(files.into_iter().next())),
        Ok(Dropped::Text) => spawn_local(take_text(files.into_iter().next(), is_lesson)),
        Err(message) => notice::bad(&message, None),
    }
}

fn take_bundle(files: Vec<File>, folder: String) {
    let is_part = |file: &File| {
        let name = file.name();
        REQUIRED.contains(&name.as_str()) || name == REPORT
    };
    let files: Vec<File> = files.into_iter().filter(is_part).collect();
    if let Some(file) = files.iter().find(|file| file.size() > MOST_BUNDLE) {
        let message = format!(
            "{}: {} GB; expected 1.2 GB at most, for a tab holds the model made of it too.",
            file.name(),
            fixed(file.size() / 1e9, 1)
        );
        return notice::bad(&message, None);
    }
    models::put(dropped::role(&folder), Origin::Dropped { name: folder, files });
}

/// A bundle in one file: its parts are cut out without being read.
async fn take_archive(file: Option<File>) {
    let Some(file) = file else { return };
    match parts(&file).await {
        Ok(parts) => {
            let names: Vec<String> = parts.iter().map(File::name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let archive = file.name();
            let name = archive.rsplit_once('.').map_or(archive.as_str(), |(stem, _)| stem);
            match dropped::classify(&names) {
                Ok(Dropped::Bundle) => take_bundle(parts, name.to_owned()),
                Ok(_) => notice::bad(&format!("{archive}: expected a bundle in it."), None),
                Err(message) => notice::bad(&format!("{archive}: {message}"), None),
            }
        }
        Err(message) => notice::bad(&format!("{}: {message}.", file.name()), None),
    }
}

async fn parts(archive: &File) -> Result<Vec<File>, String> {
    let unreadable = |_| "the browser cannot read it".to_owned();
    let cut = |start: f64, end: f64| archive.slice_with_f64_and_f64(start, end).map_err(unreadable);
    let mut parts = Vec::new();
    let mut at = 0.0;
    while at < archive.size() {
        let header = cut(at, at + tar::BLOCK as f64)?;
        let header = JsFuture::from(header.array_buffer()).await.map_err(unreadable)?;
        at += tar::BLOCK as f64;
        let size = match tar::read(&Uint8Array::new(&header).to_vec())? {
            Head::End => break,
            Head::Other { size } => size,
            Head::File { name, size } => {
                if at + size as f64 > archive.size() {
                    return Err("the archive is cut off".to_owned());
                }
                let content = Array::of1(&cut(at, at + size as f64)?.into());
                parts.push(File::new_with_blob_sequence(&content, &name).map_err(unreadable)?);
                size
            }
        };
        at += (size + tar::padding(size) as u64) as f64;
    }
    Ok(parts)
}

async fn take_text(file: Option<File>, is_lesson: bool) {
    let Some(file) = file else { return };
    if file.size() > MOST_TEXT {
        let message =
            format!("{}: {} MB; expected 8 MB at most.", file.name(), fixed(file.size() / 1e6, 0));
        return notice::bad(&message, None);
    }
    let name = file.name();
    let wrong = |message: &str| notice::bad(&format!("{name}: {message}."), None);
    let Ok(bytes) = JsFuture::from(file.array_buffer()).await else {
        return wrong("the browser cannot read it; was it moved or changed?");
    };
    let (text, is_labelled) = match dropped::readable(&name, Uint8Array::new(&bytes).to_vec()) {
        Ok(read) => read,
        Err(message) => return wrong(&message),
    };
    if is_lesson {
        return if is_labelled { teach::add_file(&text) } else { teach::add_unlabelled(&text) };
    }
    let words = if is_labelled { dropped::preview(&text) } else { text.replace('\r', "") };
    controls::drop_file();
    controls::set_text(&words);
    change(|app| app.file = is_labelled.then(|| Rc::from(text)));
    tagging::now();
    Role::BOTH.into_iter().for_each(tagging::score);
    score::show();
    show("score-card", is_labelled);
}
