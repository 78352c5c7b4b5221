//! Students that are kept in the browser, and the run that a closed tab left unfinished.
//!
//! ```text
//! understudy-1/kept/ID/   config.json, model.safetensors, tokenizer.json, tokenizer_config.json,
//!                         report.json, and kept.json last: where there is none the folder is no student
//! understudy-1/run/       the former student's bundle and, last, run.json; beside them
//!                         checkpoint.safetensors and what else `train::unfinished` says
//! ```

pub mod disk;
pub mod lock;

use serde::{Deserialize, Serialize};
use serde_json::json;
use understudy_shared::checkpoint::bundle::small_files;
use understudy_shared::checkpoint::weights::{read_back, to_parts};
use wasm_bindgen::JsValue;
use web::dropped::REPORT;
use web::protocol::{Answer, KeptCommand, KeptStudent, Role};

use super::model::{self, Model};
use super::train::unfinished;
use super::{Stop, Task, model_in_place, scope};
use disk::Folder;

/// Marks a folder as whole, and says what is inside.
const RECORD: &str = "kept.json";
/// The folder of all kept students.
const KEPT: &str = "kept";
/// Saving takes less than this, even on a slow disk.
const SAVING_MILLIS: f64 = 600_000.0;
/// The files of a bundle, in the order in which they are downloaded.
const FILES: [&str; 5] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", REPORT];

/// The name of a student whose record cannot be read.
const NAMELESS: &str = "a student whose name was lost";

/// What [`RECORD`] says.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Record {
    name: String,
    size_bytes: u64,
    saved_millis: f64,
}

impl Default for Record {
    fn default() -> Self {
        Self { name: NAMELESS.to_owned(), size_bytes: 0, saved_millis: 0.0 }
    }
}

/// Answers a request about kept students; [`Answer::Files`] has its files beside it.
///
/// # Errors
///
/// A name that is not there, a disk that is full, or a browser that keeps nothing.
pub async fn answer(task: Task, command: KeptCommand) -> Result<(Answer, Vec<JsValue>), Stop> {
    let root = Folder::root().await?;
    let kept = root.folder(KEPT).await?;
    match command {
        KeptCommand::List => {}
        KeptCommand::Save { name } => save(&kept, &name).await?,
        KeptCommand::Rename { id, name } => {
            let folder = student(&kept, &id).await?;
            let record = record(&id, &folder).await.ok_or_else(|| missing(&id))?;
            write_record(&folder, &Record { name, ..record }).await?;
        }
        KeptCommand::Delete { id } => match unfinished::run_of(&id) {
            Some(run) => unfinished::delete(run).await?,
            None => kept.delete(&id).await,
        },
        KeptCommand::Load { id } => {
            let loaded = match unfinished::run_of(&id) {
                Some(run) => unfinished::load(task, run).await,
                None => load(task, &kept, &id).await,
            };
            return loaded.map(alone);
        }
        KeptCommand::Download { id } => return download(&kept, &id).await,
    }
    list(&kept).await.map(|students| alone(Answer::Kept(students)))
}

fn alone(answer: Answer) -> (Answer, Vec<JsValue>) {
    (answer, vec![])
}

fn missing(id: &str) -> Stop {
    Stop::failed(format!("no student `{id}` is kept in this browser"))
}

/// The folder of a kept student that is whole.
async fn student(kept: &Folder, id: &str) -> Result<Folder, Stop> {
    match kept.names().await?.iter().any(|name| name == id) {
        true => kept.folder(id).await,
        false => Err(missing(id)),
    }
}

/// What the record of a folder says; none only where there is none. One that cannot be read, because
/// another tab writes it just now or a tab was closed while it did, marks a whole student all the same.
async fn record(id: &str, folder: &Folder) -> Option<Record> {
    let record = match folder.read(RECORD).await {
        Ok(bytes) => serde_json::from_slice(&bytes?).ok(),
        Err(_) => None,
    };
    let saved_millis = || id.parse().unwrap_or(0.0);
    Some(record.unwrap_or_else(|| Record { saved_millis: saved_millis(), ..Record::default() }))
}

async fn write_record(folder: &Folder, record: &Record) -> Result<(), Stop> {
    let text = serde_json::to_vec(record).expect("plain data");
    folder.write(RECORD, std::iter::once(text)).await.map(drop)
}

/// Whether a folder that is not whole was begun long ago; its name is the time.
fn is_left_behind(id: &str) -> bool {
    id.parse().map_or(true, |begun: f64| js_sys::Date::now() - begun > SAVING_MILLIS)
}

/// The kept students, newest first, after the unfinished run.
async fn list(kept: &Folder) -> Result<Vec<KeptStudent>, Stop> {
    let mut students = Vec::new();
    for id in kept.names().await? {
        let folder = kept.folder(&id).await?;
        match record(&id, &folder).await {
            Some(Record { name, size_bytes, saved_millis }) => {
                students.push(KeptStudent { id, name, size_bytes, saved_millis, unfinished: None })
            }
            // A tab that was closed while it saved; another one may be saving just now.
            None if is_left_behind(&id) => kept.delete(&id).await,
            None => {}
        }
    }
    students.sort_by(|left, right| right.saved_millis.total_cmp(&left.saved_millis));
    if let Some(run) = unfinished::entry().await {
        students.insert(0, run);
    }
    Ok(students)
}

/// Writes a model's bundle, its weights in f32, and gives the bytes of all files.
///
/// # Errors
///
/// A full disk.
pub async fn write_bundle(folder: &Folder, model: &Model) -> Result<u64, Stop> {
    let bundle = &model.bundle;
    let mut files = small_files(&bundle.config, &bundle.labels, &model.tokenizer).to_vec();
    let report = json!({
        "parameters": bundle.num_params(true),
        "dtype": "f32",
        "taught_in_a_browser": model.name,
    });
    files.push((REPORT, format!("{report:#}\n").into_bytes()));
    let tensors = read_back(model.classifier()).await;
    let mut size_bytes = folder.write("model.safetensors", to_parts(&tensors)).await?;
    drop(tensors);
    for (name, bytes) in files {
        size_bytes += folder.write(name, std::iter::once(bytes)).await?;
    }
    Ok(size_bytes)
}

async fn save(kept: &Folder, name: &str) -> Result<(), Stop> {
    let model = model_in_place(Role::Student).await?;
    let saved_millis = js_sys::Date::now();
    let id = format!("{saved_millis:.0}");
    let saved = write_student(kept, &id, name, saved_millis, &model).await;
    if saved.is_err() {
        kept.delete(&id).await;
    }
    saved
}

async fn write_student(
    kept: &Folder,
    id: &str,
    name: &str,
    saved_millis: f64,
    model: &Model,
) -> Result<(), Stop> {
    let folder = kept.folder(id).await?;
    let size_bytes = write_bundle(&folder, model).await?;
    write_record(&folder, &Record { name: name.to_owned(), size_bytes, saved_millis }).await
}

async fn load(task: Task, kept: &Folder, id: &str) -> Result<Answer, Stop> {
    let start = scope::now();
    let folder = student(kept, id).await?;
    let record = record(id, &folder).await.ok_or_else(|| missing(id))?;
    let files = read_bundle(&folder).await?;
    let (name, fetch_millis) = (record.name, scope::now() - start);
    let source = model::Source { name, files, f1: None, from_cache: true, fetch_millis };
    model::place(task, Role::Student, source).await
}

/// The files of a bundle that are there.
///
/// # Errors
///
/// A file that is there and cannot be read.
pub async fn read_bundle(folder: &Folder) -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let mut files = Vec::new();
    for name in FILES {
        let bytes = folder.read(name).await?;
        files.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
    }
    Ok(files)
}

async fn download(kept: &Folder, id: &str) -> Result<(Answer, Vec<JsValue>), Stop> {
    let folder = student(kept, id).await?;
    let (mut names, mut files) = (Vec::new(), Vec::new());
    for name in FILES {
        if let Some(file) = folder.file(name).await? {
            names.push(name.to_owned());
            files.push(file.into());
        }
    }
    Ok((Answer::Files { names }, files))
}
