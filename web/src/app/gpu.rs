//! The graphics adapter, asked for in JavaScript before any module that needs it is fetched: what
//! Burn's WebGPU backend requires and the adapter lacks would end that module in a panic.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::dom::{property, window};

/// An adapter that Burn can use.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// What the browser tells of it.
    pub name: String,
    /// Whether it is the processor in disguise, and so slower than the processor itself.
    pub is_software: bool,
}

/// Features that cubecl-wgpu 0.11 takes for granted in a browser.
const FEATURES: [&str; 1] = ["timestamp-query"];

/// Limits below which the student's tensors do not fit, or kernels do not start.
const LIMITS: [(&str, f64); 4] = [
    ("maxStorageBufferBindingSize", 128.0 * 1024.0 * 1024.0),
    ("maxComputeInvocationsPerWorkgroup", 256.0),
    ("maxComputeWorkgroupStorageSize", 16_384.0),
    ("maxStorageBuffersPerShaderStage", 8.0),
];

/// Parts of the names of software adapters.
const SOFTWARE: [&str; 5] = ["swiftshader", "llvmpipe", "lavapipe", "basic render", "softpipe"];

/// Asks for an adapter.
///
/// # Errors
///
/// What is missing, in words for the page.
pub async fn probe() -> Result<Adapter, String> {
    let gpu = property(&window().navigator(), "gpu");
    if gpu.is_undefined() {
        return Err("this browser has no WebGPU".to_owned());
    }
    let request: Function = property(&gpu, "requestAdapter").unchecked_into();
    let adapter = request.call0(&gpu).map_err(|_| "WebGPU is switched off".to_owned())?;
    let adapter = JsFuture::from(adapter.unchecked_into::<Promise>()).await;
    let adapter = adapter.ok().filter(|adapter| !adapter.is_null());
    let adapter = adapter.ok_or("WebGPU has no adapter here")?;
    let features = property(&adapter, "features");
    let has: Function = property(&features, "has").unchecked_into();
    for feature in FEATURES {
        let found = has.call1(&features, &feature.into());
        if !found.is_ok_and(|found| found.is_truthy()) {
            return Err(format!("the graphics adapter lacks `{feature}`"));
        }
    }
    let limits = property(&adapter, "limits");
    for (limit, least) in LIMITS {
        let found = property(&limits, limit).as_f64().unwrap_or(0.0);
        if found < least {
            return Err(format!(
                "the graphics adapter’s `{limit}` is {found}; {least} or more is needed"
            ));
        }
    }
    Ok(describe(&adapter))
}

fn describe(adapter: &JsValue) -> Adapter {
    let info = property(adapter, "info");
    let part = |name: &str| property(&info, name).as_string().filter(|text| !text.is_empty());
    let mut parts: Vec<String> =
        ["description", "device", "vendor", "architecture"].into_iter().filter_map(part).collect();
    parts.dedup();
    let name = if parts.is_empty() { "unnamed adapter".to_owned() } else { parts.join(", ") };
    let lower = name.to_ascii_lowercase();
    let is_fallback = [&info, adapter].iter().any(|object| {
        Reflect::get(object, &"isFallbackAdapter".into()).is_ok_and(|flag| flag.is_truthy())
    });
    let is_software = is_fallback || SOFTWARE.iter().any(|part| lower.contains(part));
    Adapter { name, is_software }
}
