//! A bundle in its place: read as strictly as natively, put on the device, warmed up.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use understudy_shared::checkpoint::bundle::{Bundle, BundleFiles};
use understudy_shared::checkpoint::report;
use understudy_shared::model::TokenClassifier;
use wasm_bindgen::JsValue;
use web::dropped::{REPORT, REQUIRED};
use web::manifest::ModelEntry;
use web::protocol::{Answer, Loaded, Role, Stage};

use super::work::Computed;
use super::{Stop, Task, device, fetch, scope, train, with_state, work};

/// A model that is ready.
pub struct Model {
    /// Its bundle; of a student that is taught that of before.
    pub bundle: Rc<Bundle>,
    /// What it is called.
    pub name: String,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Micro F1 of its report.
    pub f1: Option<f64>,
    /// Its `tokenizer.json`, to be kept with it.
    pub tokenizer: Rc<[u8]>,
    /// Its weights where it was taught, else the bundle's.
    pub weights: Option<TokenClassifier>,
    /// What was computed last, to be decoded again in another way.
    pub last: RefCell<Option<Rc<Computed>>>,
}

impl Model {
    /// Its weights.
    pub fn classifier(&self) -> &TokenClassifier {
        self.weights.as_ref().unwrap_or(&self.bundle.model)
    }

    /// The same with other weights.
    pub fn taught(&self, weights: TokenClassifier) -> Self {
        Self {
            bundle: self.bundle.clone(),
            name: self.name.clone(),
            size_bytes: self.size_bytes,
            f1: self.f1,
            tokenizer: self.tokenizer.clone(),
            weights: Some(weights),
            last: RefCell::default(),
        }
    }
}

/// A bundle's bytes and where they are from.
pub struct Source {
    /// What to call it.
    pub name: String,
    /// Its files.
    pub files: Vec<(String, Vec<u8>)>,
    /// Micro F1 of its report.
    pub f1: Option<f64>,
    /// Whether no byte was fetched.
    pub from_cache: bool,
    /// How long that took.
    pub fetch_millis: f64,
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

/// Makes a bundle's bytes the model of a role. A student is then one that was never taught.
///
/// # Errors
///
/// A bundle that is none, or a student while another one is taught.
pub async fn place(task: Task, role: Role, source: Source) -> Result<Answer, Stop> {
    let (model, loaded) = prepared(task, role, source).await?;
    put(task, role, model)?;
    Ok(Answer::Loaded(Box::new(loaded)))
}

/// The model of a bundle's bytes, warmed up, and what is known of it; what is in the places stays there.
///
/// # Errors
///
/// A bundle that is none, or a student while another one is taught.
pub async fn prepared(task: Task, role: Role, source: Source) -> Result<(Rc<Model>, Loaded), Stop> {
    refuse_while_taught(role)?;
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
    let tokenizer = Rc::from(files.tokenizer);
    let prepare_millis = scope::now() - start;
    let size_bytes = source.files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let (name, f1, from_cache) = (source.name.clone(), source.f1, source.from_cache);
    let fetch_millis = source.fetch_millis;
    drop(source);
    task.progress(Stage::Prepare, 1, 2);
    task.pause().await?;
    let start = scope::now();
    let (bundle, weights, last) = (Rc::new(bundle), None, RefCell::default());
    let model = Rc::new(Model { bundle, name, size_bytes, f1, tokenizer, weights, last });
    work::forward(&model, work::SAMPLE_LENGTH, 1).await;
    let warm_up_millis = scope::now() - start;
    let described = described(role, &model);
    let loaded = Loaded { from_cache, fetch_millis, prepare_millis, warm_up_millis, ..described };
    Ok((model, loaded))
}

/// Puts a model in its place, unless another one is wanted there by now.
///
/// # Errors
///
/// A request that was given up, or a student while another one is taught.
pub fn put(task: Task, role: Role, model: Rc<Model>) -> Result<(), Stop> {
    task.check()?;
    refuse_while_taught(role)?;
    with_state(|state| {
        if role == Role::Student {
            state.models.remove(&Role::Former);
            state.continues = false;
        }
        state.models.insert(role, model);
    });
    train::expect_growth();
    Ok(())
}

fn refuse_while_taught(role: Role) -> Result<(), Stop> {
    match role == Role::Student && with_state(|state| state.lesson.is_some()) {
        true => {
            Err(Stop::failed("the student is being taught; stop that before another is loaded"))
        }
        false => Ok(()),
    }
}

/// What is known of a model that was there before.
pub fn described(role: Role, model: &Model) -> Loaded {
    let config = &model.bundle.config;
    Loaded {
        role,
        name: model.name.clone(),
        parameters: model.bundle.num_params(true),
        size_bytes: model.size_bytes,
        labels: model.bundle.labels.names().to_vec(),
        shape: [config.num_hidden_layers, config.hidden_size, config.num_attention_heads],
        from_cache: true,
        f1: model.f1,
        fetch_millis: 0.0,
        prepare_millis: 0.0,
        warm_up_millis: 0.0,
        memory_bytes: scope::memory_bytes(),
        teaching: train::settings::defaults(),
    }
}
