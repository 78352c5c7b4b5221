//! Which worker there is, and why: forced, or the faster of two that were measured.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web::latency::percentile;
use web::number::fixed;
use web::protocol::{Answer, Backend, Command, Role};
use web_sys::HtmlSelectElement;

use super::client::Client;
use super::dom::by_id;
use super::state::{App, Loading, Origin, change, read};
use super::{dom, gpu, models, notice, stage, teach};

/// Sub-words of the passes that are measured, special tokens included: a sentence.
const SUBWORDS: usize = 32;

/// Passes that are measured.
const ROUNDS: usize = 7;

/// Brings the student to a new worker; boxed, because what waits for it is large.
type Bring = Pin<Box<dyn Future<Output = ()>>>;

fn loaded_student() -> Bring {
    Box::pin(models::load(Role::Student))
}

/// Starts the forced backend, or the CPU and then, if there is a real graphics adapter, measures both.
pub async fn begin() {
    let (choice, current) = read(|app| (app.link.backend, current(app)));
    match choice {
        _ if !replaces(choice) => {}
        Some(Backend::Webgpu) => force_webgpu().await,
        _ => open_cpu().await,
    }
    if choice.is_none() && (current.is_none() || current != fastest()) {
        measure_both().await;
    }
    show_why();
}

/// What computes.
fn current(app: &App) -> Option<Backend> {
    app.client.as_ref().map(|client| client.backend())
}

/// The faster one, once both were measured.
fn fastest() -> Option<Backend> {
    read(|app| {
        let measured = app.backends.measured.iter();
        measured.min_by(|left, right| left.1.total_cmp(&right.1)).map(|(backend, _)| *backend)
    })
}

/// Whether a choice begins with another worker. The CPU's stays until another one was faster.
fn replaces(choice: Option<Backend>) -> bool {
    let current = read(current);
    current.is_none()
        || match choice {
            Some(backend) => current != Some(backend),
            None => current != Some(Backend::Cpu) && current != fastest(),
        }
}

/// The user chose. Says whether another worker starts.
pub fn choose(backend: Option<Backend>) -> bool {
    let is_other = replaces(backend);
    let may = !is_other || teach::may_leave();
    if may {
        change(|app| {
            app.link.backend = backend;
            app.backends.failure = None;
        });
        spawn_local(begin());
    }
    let chosen = read(|app| app.link.backend).map_or("auto", Backend::name);
    by_id::<HtmlSelectElement>("backend").set_value(chosen);
    is_other && may
}

/// The last resort: if this fails, nothing works, and the user should know why.
async fn open_cpu() {
    if !open(Backend::Cpu, loaded_student()).await {
        let message = read(|app| app.backends.failure.clone()).unwrap_or_default();
        let said = format!("Nothing computes: {message}.");
        notice::bad(&said, Some(("Try again", || spawn_local(begin()))));
        empty(Loading::Failed { message: said, can_retry: true });
    }
}

async fn force_webgpu() {
    let adapter = gpu::probe().await;
    if read(|app| app.link.backend) != Some(Backend::Webgpu) {
        // Another choice was made meanwhile.
        return;
    }
    let lacks = adapter.as_ref().err().cloned();
    change(|app| app.backends.adapter = Some(adapter));
    let failure = match lacks {
        Some(lack) => Some(lack),
        None if open(Backend::Webgpu, loaded_student()).await => None,
        None => read(|app| app.backends.failure.clone()),
    };
    if let Some(failure) = failure {
        notice::bad(&format!("WebGPU cannot be used: {failure}. Using the CPU."), None);
        change(|app| app.backends.failure = Some(failure));
        open_cpu().await;
    }
}

/// Another worker of the same kind, for one whose memory is full; `student` brings the student there.
pub async fn renew(student: Bring) {
    let backend = read(current).unwrap_or_default();
    if !open(backend, student).await {
        open_cpu().await;
    }
    show_why();
}

/// Replaces the worker, brings the student and loads the teacher if there was one. Gives `false` if it has
/// no device.
async fn open(backend: Backend, student: Bring) -> bool {
    let generation = change(|app| {
        app.generation += 1;
        app.client = None;
        app.generation
    });
    empty(Loading::Under(None));
    let started = start(backend, generation).await;
    let is_current = || read(|app| app.generation) == generation;
    if !is_current() {
        return true;
    }
    match started {
        Ok(client) => change(|app| app.client = Some(Rc::new(client))),
        Err(message) => {
            change(|app| app.backends.failure = Some(message));
            return false;
        }
    }
    show_why();
    teach::look_what_is_kept();
    let wants_teacher =
        read(|app| app.link.compare || !matches!(app.place(Role::Teacher).loading, Loading::No));
    student.await;
    if wants_teacher && is_current() {
        models::begin_missing(Role::Teacher);
    }
    true
}

/// Without the worker no model is in its place; the student, and a teacher that was there or on its way, are
/// now as `loading` says.
fn empty(loading: Loading) {
    change(|app| {
        for role in [Role::Teacher, Role::Student, Role::Former] {
            let place = app.place_mut(role);
            if role == Role::Student || !matches!(place.loading, Loading::No) {
                place.loading = loading.clone();
            }
            (place.coming, place.before, place.progress) = (None, None, None);
            (place.tagging, place.scoring) = (None, None);
        }
    });
    stage::show_all();
    teach::show_all();
}

async fn start(backend: Backend, generation: u32) -> Result<Client, String> {
    let client = Client::new(backend, move |message| crashed(backend, generation, message))?;
    client.start().await?;
    Ok(client)
}

/// A lost worker: from the GPU to the CPU by itself, from the CPU when the user says so, because the
/// same file or text might end the next one too.
fn crashed(backend: Backend, generation: u32, message: String) {
    if read(|app| app.generation) != generation || read(|app| app.client.is_none()) {
        return;
    }
    change(|app| {
        app.client = None;
        app.backends.failure = Some(message.clone());
        for role in Role::BOTH {
            let first = app.first(role);
            let place = app.place_mut(role);
            // A dropped bundle may be what ended it.
            let is_suspect = matches!(place.loading, Loading::Under(_))
                && matches!(place.origin, Some(Origin::Dropped { .. }));
            if is_suspect {
                place.origin = place.before.take().map(|(origin, _)| origin).or(first);
            }
        }
    });
    match backend {
        Backend::Webgpu => {
            notice::bad(&format!("The graphics device was lost ({message}). Using the CPU."), None);
            spawn_local(async {
                open_cpu().await;
                show_why();
            });
        }
        Backend::Cpu => {
            let again = || spawn_local(begin());
            notice::bad(&format!("The worker ended: {message}."), Some(("Start again", again)));
            empty(Loading::Failed {
                message: format!("The worker ended: {message}."),
                can_retry: true,
            });
        }
    }
}

/// Asks for an adapter and, if it is a real one, times the same passes on both devices. The GPU's
/// module is not even fetched for a software adapter.
async fn measure_both() {
    // Both would have less than their device while another model is made ready.
    models::settled(Role::Teacher).await;
    let adapter = gpu::probe().await;
    let is_real = adapter.as_ref().is_ok_and(|adapter| !adapter.is_software);
    let generation = change(|app| {
        app.backends.adapter = Some(adapter);
        app.generation
    });
    show_why();
    let student = read(|app| app.place(Role::Student).origin.clone());
    let (true, Some(Origin::Manifest(entry))) = (is_real, student) else { return };
    let Some(cpu) = read(|app| app.client.as_ref().map(Rc::downgrade)) else { return };
    let gpu = match start(Backend::Webgpu, 0).await {
        Ok(gpu) => gpu,
        Err(message) => return change(|app| app.backends.failure = Some(message)),
    };
    let load = Command::Load { role: Role::Student, model: entry, base: models::base() };
    match gpu.ask(load).answer.await {
        Answer::Loaded(_) => {}
        Answer::Failed { message, .. } | Answer::Crashed { message } => {
            return change(|app| app.backends.failure = Some(message));
        }
        _ => return,
    }
    // The user may have chosen meanwhile.
    let Some(cpu) = cpu.upgrade() else { return };
    let mut measured = Vec::new();
    for client in [&*cpu, &gpu] {
        let rounds = ROUNDS;
        let ask =
            Command::Measure { role: Role::Student, subwords: SUBWORDS, sentences: 1, rounds };
        if let Answer::Measured { millis } = client.ask(ask).answer.await {
            measured.extend(percentile(millis.into_iter(), 50).map(|m| (client.backend(), m)));
        }
    }
    drop(gpu);
    let is_current = change(|app| {
        app.backends.measured = measured;
        app.generation == generation && app.link.backend.is_none()
    });
    // Whoever has begun to teach is not interrupted.
    let is_current = is_current && !teach::is_busy() && !teach::is_taught();
    if is_current
        && fastest() == Some(Backend::Webgpu)
        && !open(Backend::Webgpu, loaded_student()).await
    {
        open_cpu().await;
    }
}

/// Says what computes, and why.
pub fn show_why() {
    let why = read(|app| {
        let backends = &app.backends;
        let current = current(app);
        let name = match (current, &backends.adapter) {
            (Some(Backend::Webgpu), Some(Ok(adapter))) => format!("WebGPU on {}.", adapter.name),
            (Some(Backend::Webgpu), _) => "WebGPU.".to_owned(),
            (Some(Backend::Cpu), _) => "The CPU, one thread with SIMD.".to_owned(),
            (None, _) => match &backends.failure {
                Some(failure) => return format!("Nothing computes: {failure}."),
                None => return "Starting…".to_owned(),
            },
        };
        let mut parts = vec![name];
        if let Some(backend) = app.link.backend.filter(|backend| Some(*backend) == current) {
            parts.push(format!("Chosen by you: {}.", backend.name()));
        }
        for (backend, millis) in &backends.measured {
            let millis = fixed(*millis, 1);
            parts.push(format!("{}: {millis} ms for {SUBWORDS} sub-words.", backend.name()));
        }
        match &backends.adapter {
            Some(Err(lack)) => parts.push(format!("No GPU: {lack}.")),
            Some(Ok(adapter)) if adapter.is_software && current == Some(Backend::Cpu) => {
                parts
                    .push(format!("The adapter {} is software, so it is not tried.", adapter.name));
            }
            _ => {}
        }
        if let Some(failure) = &backends.failure {
            parts.push(format!("What failed: {failure}."));
        }
        parts.join(" ")
    });
    dom::text("backend-why", &why);
}
