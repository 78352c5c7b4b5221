//! Which worker there is, and why: forced, or the faster of two that were measured.

use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web::latency::percentile;
use web::link::Link;
use web::number::fixed;
use web::protocol::{Answer, Backend, Command, Role};

use super::client::Client;
use super::state::{Loading, Origin, change, read};
use super::{dom, gpu, models, notice, stage, teach};

/// Sub-words of the passes that are measured, special tokens included: a sentence.
const SUBWORDS: usize = 32;

/// Passes that are measured.
const ROUNDS: usize = 7;

/// Starts the forced backend, or the CPU and then, if there is a real graphics adapter, measures both.
pub async fn begin() {
    match read(|app| app.link.backend) {
        Some(Backend::Webgpu) => force_webgpu().await,
        Some(Backend::Cpu) => open_cpu().await,
        None => {
            open_cpu().await;
            measure_both().await;
        }
    }
    show_why();
}

/// The user chose.
pub fn choose(backend: Option<Backend>) {
    if teach::is_taught() {
        notice::good(
            "Another worker starts with the student as it was loaded. What was taught and not kept is gone.",
        );
    }
    change(|app| {
        let link = Link { backend, ..app.link.clone() };
        app.link = link;
        app.backends.failure = None;
    });
    spawn_local(begin());
}

/// The last resort: if this fails, nothing works, and the user should know why.
async fn open_cpu() {
    if !open(Backend::Cpu).await {
        let failure = read(|app| app.backends.failure.clone()).unwrap_or_default();
        notice::bad(&failure, Some(("Try again", || spawn_local(begin()))));
    }
}

async fn force_webgpu() {
    let adapter = gpu::probe().await;
    let lacks = adapter.as_ref().err().cloned();
    change(|app| app.backends.adapter = Some(adapter));
    let failure = match lacks {
        Some(lack) => Some(lack),
        None if open(Backend::Webgpu).await => None,
        None => read(|app| app.backends.failure.clone()),
    };
    if let Some(failure) = failure {
        notice::bad(&format!("WebGPU cannot be used: {failure}. Using the CPU."), None);
        change(|app| app.backends.failure = Some(failure));
        open_cpu().await;
    }
}

/// Another worker of the same kind, for one whose memory is full.
pub async fn renew() {
    let backend = read(|app| app.client.as_ref().map(|client| client.backend()));
    if !open(backend.unwrap_or_default()).await {
        open_cpu().await;
    }
    show_why();
}

/// Replaces the worker and loads what was loaded. Gives `false` if it has no device.
async fn open(backend: Backend) -> bool {
    let generation = change(|app| {
        app.generation += 1;
        app.client = None;
        for place in &mut app.places {
            place.tagging = None;
            place.scoring = None;
        }
        app.generation
    });
    let client = match start(backend, generation).await {
        Ok(client) => client,
        Err(message) => {
            change(|app| app.backends.failure = Some(message));
            return false;
        }
    };
    if read(|app| app.generation) != generation {
        return true;
    }
    adopt(client);
    show_why();
    let wants_teacher =
        read(|app| app.link.compare || !matches!(app.place(Role::Teacher).loading, Loading::No));
    models::load(Role::Student).await;
    if wants_teacher {
        models::load(Role::Teacher).await;
    }
    true
}

fn adopt(client: Client) {
    change(|app| {
        app.client = Some(Rc::new(client));
        for place in &mut app.places {
            place.latencies = Default::default();
        }
    });
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
        for place in &mut app.places {
            place.tagging = None;
            // A dropped bundle may be what ended it.
            if let (Some(Origin::Dropped { .. }), Loading::Under(_)) =
                (&place.origin, &place.loading)
            {
                place.origin = None;
                place.loading = Loading::No;
            }
        }
    });
    restore_origins();
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
            let message = format!("The worker ended: {message}");
            notice::bad(&message, Some(("Start again", again)));
        }
    }
    stage::show_all();
}

/// Puts the manifest's models where no model is.
fn restore_origins() {
    change(|app| {
        for role in Role::BOTH {
            let first = app.manifest.of(role).next().cloned();
            let place = app.place_mut(role);
            if place.origin.is_none() {
                place.origin = first.map(Origin::Manifest);
            }
        }
    });
}

/// Asks for an adapter and, if it is a real one, times the same passes on both devices. The GPU's
/// module is not even fetched for a software adapter.
async fn measure_both() {
    let adapter = gpu::probe().await;
    let is_real = adapter.as_ref().is_ok_and(|adapter| !adapter.is_software);
    let generation = change(|app| {
        app.backends.adapter = Some(adapter);
        app.generation
    });
    show_why();
    let student = read(|app| app.place(Role::Student).origin.clone());
    let (true, Some(Origin::Manifest(entry))) = (is_real, student) else { return };
    let Some(cpu) = read(|app| app.client.clone()) else { return };
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
    let best = measured.iter().min_by(|left, right| left.1.total_cmp(&right.1));
    let best = best.map_or(Backend::Cpu, |(backend, _)| *backend);
    let is_current = change(|app| {
        app.backends.measured = measured;
        app.generation == generation && app.link.backend.is_none()
    });
    // Whoever has begun to teach is not interrupted.
    let is_current = is_current && !teach::is_running() && !teach::is_taught();
    if is_current && best == Backend::Webgpu && !open(Backend::Webgpu).await {
        open_cpu().await;
    }
}

/// Says what computes, and why.
pub fn show_why() {
    let why = read(|app| {
        let backends = &app.backends;
        let current = app.client.as_ref().map(|client| client.backend());
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
