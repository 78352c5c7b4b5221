//! The sentences that a student rehearses, so that what it knew stays: a file beside the page, invented
//! for this, one sentence a line.

use js_sys::Uint8Array;
use understudy_shared::data::text::read_text;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::worker::Stop;
use crate::worker::scope::{global, reason};

/// English sentences with people, places, organisations and other names.
const FILE: &str = "rehearsal.txt";

/// The sentences.
///
/// # Errors
///
/// A file that cannot be had.
pub async fn sentences() -> Result<Vec<String>, Stop> {
    let failed = |message: String| Stop::Failed {
        message: format!("{FILE}, which is rehearsed: {message}"),
        can_retry: true,
    };
    let response = JsFuture::from(global().fetch_with_str(FILE)).await;
    let response: Response = response.map_err(|error| failed(reason(&error)))?.unchecked_into();
    if !response.ok() {
        return Err(failed(format!("the server answered {}", response.status())));
    }
    let buffer = response.array_buffer().map_err(|error| failed(reason(&error)))?;
    let buffer = JsFuture::from(buffer).await.map_err(|error| failed(reason(&error)))?;
    read_text(&Uint8Array::new(&buffer).to_vec()).map_err(|error| failed(error.to_string()))
}
