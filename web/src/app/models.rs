//! Models on their way to their places.

use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web::protocol::{Answer, Command, KeptCommand, Loaded, Role};
use web_sys::File;

use super::client::{AnswerOf, Client, News};
use super::state::{Loading, Origin, change, read};
use super::{dom, numbers, stage, tagging, teach};

/// Absolute address of the folder `models`.
pub fn base() -> String {
    let page = dom::document().base_uri().ok().flatten().unwrap_or_default();
    let page = page.split(['#', '?']).next().unwrap_or_default();
    let folder = page.rfind('/').map_or(page, |slash| &page[..=slash]);
    format!("{folder}models/")
}

/// Loads the model that belongs in a place, and tags with it.
pub async fn load(role: Role) {
    let (client, origin, generation) =
        read(|app| (app.client.clone(), app.place(role).origin.clone(), app.generation));
    let (Some(client), Some(origin)) = (client, origin) else { return };
    tagging::forget(role);
    change(|app| {
        let place = app.place_mut(role);
        place.loading = Loading::Under(None);
        place.latencies = Default::default();
    });
    if role == Role::Student {
        teach::student_leaves();
    }
    stage::show_place(role);
    let answer = match ask(&client, role, origin).await {
        Ok(answer) => answer.await,
        Err(message) => Answer::Failed { message, can_retry: false },
    };
    if read(|app| app.generation) != generation {
        return;
    }
    let loading = match answer {
        Answer::Loaded(loaded) => return adopt(*loaded),
        Answer::Failed { message, can_retry } => Loading::Failed { message, can_retry },
        Answer::Crashed { message } => Loading::Failed { message, can_retry: true },
        _ => Loading::No,
    };
    change(|app| app.place_mut(role).loading = loading);
    stage::show_place(role);
    numbers::show();
}

/// A model has come to its place: shows it, and tags with it.
pub fn adopt(loaded: Loaded) {
    let (role, loaded) = (loaded.role, Rc::new(loaded));
    // What another one made of the text may have labels that this one lacks.
    tagging::forget(role);
    change(|app| app.place_mut(role).loading = Loading::Done(loaded.clone()));
    stage::show_place(role);
    numbers::show();
    tagging::tag(role);
    tagging::score(role);
    if role == Role::Student {
        teach::student_came(&loaded);
    }
    if teach::is_taught() {
        tagging::tag(Role::Former);
    }
}

/// Puts another model of the list in a place.
pub fn choose(role: Role, folder: &str) {
    let entry = read(|app| app.manifest.of(role).find(|entry| entry.folder == folder).cloned());
    let Some(entry) = entry else { return };
    if role == Role::Student && teach::refuses("another student") {
        // The list goes back to what is there.
        return stage::show_place(role);
    }
    change(|app| {
        app.place_mut(role).origin = Some(Origin::Manifest(entry));
        app.link.compare |= role == Role::Teacher;
    });
    spawn_local(load(role));
}

async fn ask(client: &Rc<Client>, role: Role, origin: Origin) -> Result<AnswerOf, String> {
    let on_progress = move |_, news: News| {
        let News::Progress(progress) = news else { return };
        change(|app| {
            if let Loading::Under(latest) = &mut app.place_mut(role).loading {
                *latest = Some(progress);
            }
        });
        stage::show_loading(role);
    };
    let asked = match origin {
        Origin::Manifest(model) => {
            client.send(Command::Load { role, model, base: base() }, &[], on_progress)
        }
        Origin::Dropped { name, files } => {
            let buffers = read_all(&files).await?;
            let files = files.iter().map(|file| file.name()).collect();
            client.send(Command::LoadFiles { role, name, files }, &buffers, on_progress)
        }
        Origin::Kept { id, .. } => {
            client.send(Command::Kept(KeptCommand::Load { id }), &[], on_progress)
        }
    };
    Ok(asked.answer)
}

async fn read_all(files: &[File]) -> Result<Vec<JsValue>, String> {
    let mut buffers = Vec::new();
    for file in files {
        let buffer = JsFuture::from(file.array_buffer()).await;
        buffers.push(buffer.map_err(|_| {
            format!("{}: the browser cannot read it; was it moved or changed?", file.name())
        })?);
    }
    Ok(buffers)
}
