//! A bundle in its place: read as strictly as natively, put on the device, warmed up.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use understudy_shared::checkpoint::bundle::{Bundle, BundleFiles};
use wasm_bindgen::JsValue;
use web::dropped::{REPORT, REQUIRED};
use web::manifest::ModelEntry;
use web::protocol::{Answer, Loaded, Role, Stage};
use web::report;

use super::work::Computed;
use super::{Stop, Task, device, fetch, scope, with_state, work};

/// A model that is ready.
pub struct Model {
    /// Its bundle.
    pub bundle: Bundle,
    /// What was computed last, to be decoded again in another way.
    pub last: RefCell<Option<Rc<Computed>>>,
}

/// A bundle's bytes and where they are from.
struct Source {
    name: String,
    files: Vec<(String, Vec<u8>)>,
    f1: Option<f64>,
    from_cache: bool,
    fetch_millis: f64,
}

impl Source {
    fn file(&self, name: &str) -> Result<&[u8], Stop> {
        let found = self.files.iter().find(|(file, _)| file == name);
        let missing = || Stop::failed(format!("{name}: missing; expected it in the bundle"));
        found.map(|(_, bytes)| bytes.as_slice()).ok_or_else(missing)
    }
}

/// Loads a model that lies beside the page.
///
/// # Errors
///
/// A file that cannot be had, or a bundle that is none.
pub async fn load(task: Task, role: Role, model: ModelEntry, base: &str) -> Result<Answer, Stop> {
    let start = scope::now();
    let fetched = fetch::bundle(task, &model, base).await?;
    let source = Source {
        name: model.folder,
        files: fetched.files,
        f1: model.f1,
        from_cache: fetched.from_cache,
        fetch_millis: scope::now() - start,
    };
    place(task, role, source).await
}

/// Loads a model from dropped files.
///
/// # Errors
///
/// A bundle that is none.
pub async fn load_files(
    task: Task,
    role: Role,
    name: String,
    names: Vec<String>,
    buffers: Vec<JsValue>,
) -> Result<Answer, Stop> {
    let start = scope::now();
    let contents = buffers.iter().map(|buffer| Uint8Array::new(buffer).to_vec());
    let files: Vec<(String, Vec<u8>)> = names.into_iter().zip(contents).collect();
    let report = files.iter().find(|(name, _)| name == REPORT);
    let report = report.and_then(|(_, bytes)| serde_json::from_slice(bytes).ok());
    let f1 = report.and_then(|report| report::f1(&report));
    let fetch_millis = scope::now() - start;
    place(task, role, Source { name, files, f1, from_cache: false, fetch_millis }).await
}

async fn place(task: Task, role: Role, source: Source) -> Result<Answer, Stop> {
    let device = with_state(|state| state.device.clone());
    let device = device.ok_or_else(|| Stop::failed("the device was not started"))?;
    task.progress(Stage::Prepare, 0, 2);
    task.pause().await?;
    let start = scope::now();
    let [config, tokenizer, weights] = REQUIRED.map(|name| source.file(name));
    let files = BundleFiles { config: config?, tokenizer: tokenizer?, weights: weights? };
    let mut bundle = Bundle::load(&files, &device)
        .map_err(|error| Stop::failed(format!("{}: {error}", source.name)))?;
    bundle.model = device::place(bundle.model);
    let prepare_millis = scope::now() - start;
    let size_bytes = source.files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let (name, f1, from_cache) = (source.name.clone(), source.f1, source.from_cache);
    let fetch_millis = source.fetch_millis;
    drop(source);
    task.progress(Stage::Prepare, 1, 2);
    task.pause().await?;
    let start = scope::now();
    let model = Rc::new(Model { bundle, last: RefCell::default() });
    work::forward(&model, work::SAMPLE_LENGTH, 1).await;
    let warm_up_millis = scope::now() - start;
    let config = &model.bundle.config;
    let loaded = Loaded {
        role,
        name,
        parameters: model.bundle.num_params(true),
        size_bytes,
        labels: model.bundle.labels.names().to_vec(),
        shape: [config.num_hidden_layers, config.hidden_size, config.num_attention_heads],
        from_cache,
        f1,
        fetch_millis,
        prepare_millis,
        warm_up_millis,
        memory_bytes: scope::memory_bytes(),
    };
    with_state(|state| state.models.insert(role, model));
    Ok(Answer::Loaded(Box::new(loaded)))
}
