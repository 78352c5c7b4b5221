//! The worker's surroundings: messages, clock, pauses, memory.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web::protocol::{Answer, Response};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// The worker itself.
pub fn global() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends an answer.
pub fn reply(id: u32, answer: Answer) {
    reply_with(id, answer, &[]);
}

/// Sends an answer with what travels beside it.
pub fn reply_with(id: u32, answer: Answer, beside: &[JsValue]) {
    let text = serde_json::to_string(&Response { id, answer });
    let text = JsValue::from_str(&text.expect("responses are plain data"));
    let message = match beside {
        [] => text,
        _ => {
            let message = Array::of1(&text);
            for part in beside {
                message.push(part);
            }
            message.into()
        }
    };
    // Nobody listens to a worker that is being ended, and that is no fault.
    let _ = global().post_message(&message);
}

/// What the browser says of a failure.
pub fn reason(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|text| text.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}

/// Calls `receive` with the text and the buffers of every message.
pub fn on_message(receive: impl Fn(String, Vec<JsValue>) + 'static) {
    let listener = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        let data = event.data();
        let parts = match data.dyn_ref::<Array>() {
            Some(parts) => parts.to_vec(),
            None => vec![data],
        };
        let mut parts = parts.into_iter();
        let text = parts.next().and_then(|text| text.as_string()).unwrap_or_default();
        receive(text, parts.collect());
    });
    global().set_onmessage(Some(listener.as_ref().unchecked_ref()));
    listener.forget();
}

/// Milliseconds of a clock that only rises.
pub fn now() -> f64 {
    global().performance().map_or(0.0, |performance| performance.now())
}

/// Bytes of this module's memory.
pub fn memory_bytes() -> u64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    let buffer: js_sys::ArrayBuffer = memory.buffer().unchecked_into();
    u64::from(buffer.byte_length())
}

/// Lets waiting messages in.
pub async fn pause() {
    wait(0).await;
}

/// Waits, and lets messages in.
pub async fn wait(millis: i32) {
    let wait = Promise::new(&mut |resolve: Function, _| {
        let set = global().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, millis);
        // Without a timer the task goes on at once, only less politely.
        if set.is_err() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    let _ = JsFuture::from(wait).await;
}
