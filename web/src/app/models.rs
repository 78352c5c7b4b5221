//! Models on their way to their places.

use std::rc::{Rc, Weak};

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};
use web::protocol::{Answer, Command, KeptCommand, Loaded, Role};
use web_sys::File;

use super::client::{AnswerOf, Client, News, number};
use super::state::{Loading, Origin, change, read};
use super::{dom, notice, numbers, stage, tagging, teach};

/// Absolute address of the folder `models`.
pub fn base() -> String {
    let page = dom::document().base_uri().ok().flatten().unwrap_or_default();
    let page = page.split(['#', '?']).next().unwrap_or_default();
    let folder = page.rfind('/').map_or(page, |slash| &page[..=slash]);
    format!("{folder}models/")
}

/// Loads the model that belongs in a place, and tags with it.
pub async fn load(role: Role) {
    match read(|app| app.place(role).origin.clone()) {
        Some(origin) => load_from(role, origin).await,
        None => nothing_to_load(role),
    }
}

/// Loads a model; what is on its way to the same place is given up. What is there stays until it came.
pub async fn load_from(role: Role, origin: Origin) {
    if let Some(coming) = begin(role, origin) {
        let _ = JsFuture::from(coming).await;
    }
}

/// Begins to load the model that belongs in a place, unless one is there or on its way.
pub fn begin_missing(role: Role) {
    let (is_missing, origin) = read(|app| {
        let place = app.place(role);
        let is_missing = place.coming.is_none() && !matches!(place.loading, Loading::Done(_));
        (is_missing, place.origin.clone())
    });
    match origin {
        Some(origin) if is_missing => _ = begin(role, origin),
        None if is_missing => nothing_to_load(role),
        _ => {}
    }
}

/// No model belongs in a place.
fn nothing_to_load(role: Role) {
    change(|app| app.place_mut(role).loading = Loading::No);
    show(role);
    if role == Role::Student {
        dom::tell_service_worker("works");
    }
}

/// Sends a model on its way at once; the promise is kept when it came or is given up.
fn begin(role: Role, origin: Origin) -> Option<Promise> {
    let Some(client) = read(|app| app.client.clone()) else {
        // The next worker loads it.
        change(|app| app.place_mut(role).origin = Some(origin));
        stage::show_place(role);
        return None;
    };
    tagging::forget(role);
    let id = number();
    let coming = future_to_promise({
        // A worker that is replaced meanwhile ends, whoever waits for it.
        let (client, origin) = (Rc::downgrade(&client), origin.clone());
        async move {
            bring(&client, id, role, origin).await;
            Ok(JsValue::UNDEFINED)
        }
    });
    let overtaken = change(|app| {
        let place = app.place_mut(role);
        let loading = std::mem::replace(&mut place.loading, Loading::Under(None));
        if let (Some(origin), Loading::Done(loaded)) = (place.origin.replace(origin), loading) {
            place.before = Some((origin, loaded));
        }
        place.coming.replace((id, coming.clone()))
    });
    overtaken.inspect(|(request, _)| client.cancel(*request));
    show(role);
    Some(coming)
}

/// Whether a load was not overtaken by another one.
fn is_current(role: Role, id: u32) -> bool {
    read(|app| app.place(role).coming.as_ref().is_some_and(|(request, _)| *request == id))
}

fn is_in_use(client: &Weak<Client>) -> bool {
    read(|app| app.client.as_ref().is_some_and(|own| Rc::as_ptr(own) == client.as_ptr()))
}

async fn bring(client: &Weak<Client>, id: u32, role: Role, origin: Origin) {
    let answer = match ask(client, id, role, &origin).await {
        Ok(answer) => answer.await,
        Err(message) => Answer::Failed { message, can_retry: false },
    };
    match answer {
        Answer::Loaded(loaded) if is_current(role, id) => {
            replace(*loaded);
            // Of the list, and so of this visit's files.
            if role == Role::Student && matches!(origin, Origin::Manifest(_)) {
                dom::tell_service_worker("works");
            }
        }
        // It came before it heard that it was overtaken: the worker has it until the other one is there.
        Answer::Loaded(loaded) if is_in_use(client) => {
            let is_last = change(|app| {
                let place = app.place_mut(role);
                match place.coming {
                    Some(_) => place.before = Some((origin, Rc::new((*loaded).clone()))),
                    None => place.origin = Some(origin),
                }
                place.coming.is_none()
            });
            // The other one has failed already.
            if is_last {
                replace(*loaded);
            }
        }
        Answer::Failed { message, can_retry } if is_current(role, id) => {
            failed(role, message, can_retry);
        }
        // Overtaken, or the worker was lost.
        _ => {}
    }
}

/// A model did not come: what was there before is there still.
fn failed(role: Role, message: String, can_retry: bool) {
    let stays = change(|app| {
        let place = app.place_mut(role);
        place.coming = None;
        match place.before.take() {
            Some((origin, loaded)) => {
                let name = loaded.name.clone();
                (place.origin, place.loading) = (Some(origin), Loading::Done(loaded));
                Some(name)
            }
            None => {
                place.loading = Loading::Failed { message: message.clone(), can_retry };
                None
            }
        }
    });
    match stays {
        Some(name) => {
            let role_name = role.name();
            let message = format!("Another {role_name} cannot be loaded: {message}. {name} stays.");
            notice::bad(&message, None);
            tagging::tag(role);
            tagging::score(role);
        }
        None if role == Role::Student => teach::student_leaves(),
        None => {}
    }
    show(role);
}

fn show(role: Role) {
    stage::show_place(role);
    numbers::show();
    if role == Role::Student {
        teach::show_all();
    }
}

/// A model has come in place of another one, if there was one.
fn replace(loaded: Loaded) {
    if loaded.role == Role::Student {
        teach::student_leaves();
    }
    adopt(loaded);
}

/// A model has come to its place: shows it, and tags with it.
pub fn adopt(loaded: Loaded) {
    let (role, loaded) = (loaded.role, Rc::new(loaded));
    // What another one made of the text may have labels that this one lacks.
    tagging::forget(role);
    change(|app| {
        let place = app.place_mut(role);
        place.loading = Loading::Done(loaded.clone());
        (place.coming, place.before, place.latencies) = (None, None, Default::default());
    });
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

/// Waits until the model of a place is there, or cannot be had; loads it unless it is on its way.
pub async fn ready(role: Role) -> bool {
    begin_missing(role);
    settled(role).await;
    read(|app| app.loaded(role).is_some())
}

/// Waits until nothing is on its way to a place.
pub async fn settled(role: Role) {
    while let Some((_, coming)) = read(|app| app.place(role).coming.clone()) {
        let _ = JsFuture::from(coming).await;
    }
}

/// Puts another model of the list in a place.
pub fn choose(role: Role, folder: &str) {
    let entry = read(|app| app.manifest.of(role).find(|entry| entry.folder == folder).cloned());
    entry.into_iter().for_each(|entry| put(role, Origin::Manifest(entry)));
}

/// Puts another model in a place, unless the student must or should stay.
pub fn put(role: Role, origin: Origin) {
    if role == Role::Student && !teach::may_leave() {
        // The list goes back to what is there.
        return stage::show_place(role);
    }
    change(|app| app.link.compare |= role == Role::Teacher);
    spawn_local(load_from(role, origin));
}

async fn ask(
    client: &Weak<Client>,
    id: u32,
    role: Role,
    origin: &Origin,
) -> Result<AnswerOf, String> {
    let on_progress = move |id, news: News| {
        let News::Progress(progress) = news else { return };
        if !is_current(role, id) {
            return;
        }
        change(|app| {
            if let Loading::Under(latest) = &mut app.place_mut(role).loading {
                *latest = Some(progress);
            }
        });
        stage::show_loading(role);
    };
    let mut buffers = vec![];
    let command = match origin.clone() {
        Origin::Manifest(model) => Command::Load { role, model, base: base() },
        Origin::Dropped { name, files } => {
            buffers = read_all(&files).await?;
            let files = files.iter().map(File::name).collect();
            Command::LoadFiles { role, name, files }
        }
        Origin::Kept { id, .. } => Command::Kept(KeptCommand::Load { id }),
    };
    match client.upgrade().filter(|_| is_current(role, id)) {
        Some(client) => Ok(client.send_as(id, command, &buffers, on_progress).answer),
        // Nobody hears this.
        None => Err(String::new()),
    }
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
