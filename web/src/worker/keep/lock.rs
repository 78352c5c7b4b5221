//! The files of the run that goes on belong to one tab at a time: a lock of the browser, which gives it
//! back by itself when a tab is closed.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::worker::scope::global;

/// What is locked, among all that pages of this origin lock.
const NAME: &str = "understudy-1/run";

/// Held until this is dropped; in a browser without locks nothing is.
#[derive(Debug)]
pub struct Lock {
    release: Option<Function>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            // A function that a promise hands out does not throw.
            let _ = release.call0(&JsValue::NULL);
        }
    }
}

/// Calls a method of the browser's locks; none in a browser without.
fn call(method: &str, arguments: &Array) -> Option<Promise> {
    let locks = Reflect::get(&global().navigator(), &"locks".into()).ok()?;
    let method: Function = Reflect::get(&locks, &method.into()).ok()?.dyn_into().ok()?;
    method.apply(&locks, arguments).ok()?.dyn_into().ok()
}

/// A promise, and the function that keeps it.
fn promise() -> (Promise, Option<Function>) {
    let mut resolve = None;
    let promise = Promise::new(&mut |function: Function, _| resolve = Some(function));
    (promise, resolve)
}

/// Takes the lock; none while another tab holds it.
pub async fn take() -> Option<Lock> {
    let (answered, answer) = promise();
    let (held, release) = promise();
    let say = move |is_taken: bool| {
        if let Some(answer) = &answer {
            let _ = answer.call1(&JsValue::NULL, &is_taken.into());
        }
    };
    let say_taken = say.clone();
    // The lock is held until the promise that this gives is kept.
    let take = Closure::once_into_js(move |lock: JsValue| {
        say_taken(!lock.is_null());
        if lock.is_null() { JsValue::NULL } else { held.into() }
    });
    let options = Object::new();
    Reflect::set(&options, &"ifAvailable".into(), &true.into()).ok();
    let arguments = Array::of3(&NAME.into(), &options, &take);
    let Some(request) = call("request", &arguments) else { return Some(Lock { release: None }) };
    spawn_local(async move {
        // A browser that refuses locks is one without.
        if JsFuture::from(request).await.is_err() {
            say(true);
        }
    });
    let is_taken = JsFuture::from(answered).await.is_ok_and(|is_taken| is_taken.is_truthy());
    is_taken.then_some(Lock { release })
}

/// Whether no tab holds the lock.
pub async fn is_free() -> bool {
    let Some(state) = call("query", &Array::new()) else { return true };
    let held = match JsFuture::from(state).await {
        Ok(state) => Reflect::get(&state, &"held".into()).unwrap_or_default(),
        Err(_) => return true,
    };
    let is_it = |lock: JsValue| Reflect::get(&lock, &"name".into()).is_ok_and(|name| name == *NAME);
    !Array::from(&held).iter().any(is_it)
}
