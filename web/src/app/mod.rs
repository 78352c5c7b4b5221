//! The page.
//!
//! | module | holds |
//! | --- | --- |
//! | [`state`] | what the page knows |
//! | [`dom`] | short words for the document |
//! | [`client`] | a worker, seen from here |
//! | [`gpu`] | the graphics adapter, asked for before anything is fetched for it |
//! | [`backend`] | which worker there is, and why |
//! | [`models`] | models on their way to their places |
//! | [`tagging`] | text on its way to a model, and back |
//! | [`controls`] | fields, buttons, examples, links |
//! | [`files`] | dropped and opened files |
//! | [`teach`] | teaching the student in the tab |
//! | [`stage`], [`strip`], [`numbers`], [`chart`], [`score`], [`data`] | what is shown |
//!
//! A handler changes the state in one short borrow and shows the parts that depend on it.

mod backend;
mod chart;
mod client;
mod controls;
mod data;
mod dom;
mod files;
mod gpu;
mod models;
mod notice;
mod numbers;
mod score;
mod stage;
mod state;
mod strip;
mod tagging;
mod teach;

use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web::manifest::Manifest;
use web::protocol::Role;
use web_sys::{RequestCache, RequestInit, Response};

use state::change;

/// Fills the page and starts the first worker.
pub fn start() {
    controls::wire();
    files::wire();
    strip::wire();
    data::wire();
    teach::wire();
    controls::apply_link();
    stage::show_all();
    begin();
}

/// Reads the list of models and loads the student; again, if that failed before.
fn begin() {
    spawn_local(async {
        match manifest().await {
            Ok(manifest) => {
                change(|app| {
                    app.manifest = manifest;
                    for role in Role::BOTH {
                        app.place_mut(role).origin = app.first(role);
                    }
                });
                stage::show_all();
                notice::about_models();
                backend::begin().await;
            }
            Err(message) => notice::bad(&message, Some(("Try again", begin))),
        }
    });
}

/// The list of models as it stands on the server now.
async fn manifest() -> Result<Manifest, String> {
    let reason = |what: &str| format!("models/manifest.json: {what}; expected the list of models");
    let options = RequestInit::new();
    options.set_cache(RequestCache::NoCache);
    let response = dom::window().fetch_with_str_and_init("models/manifest.json", &options);
    let response = JsFuture::from(response).await;
    let response: Response = response.map_err(|_| reason("no connection"))?.unchecked_into();
    if !response.ok() {
        return Err(reason(&format!("the server answered {}", response.status())));
    }
    let text = response.text().map_err(|_| reason("no text"))?;
    let text = JsFuture::from(text).await.map_err(|_| reason("the connection was cut"))?;
    Manifest::parse(&text.as_string().unwrap_or_default())
}
