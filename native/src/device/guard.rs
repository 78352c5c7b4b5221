//! What a GPU does wrong: memory that runs out, and devices that are lost.
//!
//! Burn's tensors are lazy, and the faults of a device surface as panics: where a result is read, or in
//! the thread that serves the device. Here they become errors, and a lack of memory another attempt.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use thiserror::Error;

use super::{PARTS, is_gpu};

/// Most parts a step is cut into.
const MOST_PARTS: usize = 64;

/// A device that is lost, or too small.
#[derive(Debug, Error)]
#[error("the device failed: {0}")]
pub struct Fault(String);

/// Runs `work`; where a GPU's memory runs out, again and again with half as much at once, which
/// [`super::feed`] tells. On the CPU it just runs it.
///
/// # Errors
///
/// Those of `work`, a lost device, or too little memory for the least that can be computed.
pub fn retry<T>(quiet: bool, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    match is_gpu() {
        false => work(),
        true => retry_in_parts(&PARTS, quiet, work),
    }
}

fn retry_in_parts<T>(
    parts_now: &AtomicUsize,
    quiet: bool,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    loop {
        let fault = match catch(&mut work) {
            Ok(done) => return done,
            Err(fault) => fault,
        };
        let parts = parts_now.load(Ordering::Relaxed);
        if !is_memory(&fault) || parts >= MOST_PARTS {
            return Err(Fault(brief(&fault)).into());
        }
        parts_now.store(parts * 2, Ordering::Relaxed);
        if !quiet {
            eprintln!(
                "the device has too little memory ({}); each batch is computed in {} parts from here on",
                brief(&fault),
                parts * 2
            );
        }
    }
}

/// Fails as a device does, at the step that the variable `UNDERSTUDY_FAULT` names (`memory:3`, `lost:3`):
/// no driver does so when a test needs it. Not in a release build.
pub fn inject_fault(step: usize) {
    let wanted = if cfg!(debug_assertions) { std::env::var("UNDERSTUDY_FAULT") } else { return };
    let Ok(wanted) = wanted else { return };
    let is_first_attempt = PARTS.load(Ordering::Relaxed) == 1;
    match wanted.split_once(':') {
        Some(("memory", at)) if at == step.to_string() && is_first_attempt => {
            panic!("out of device memory allocating 3 bytes")
        }
        Some(("lost", at)) if at == step.to_string() => panic!("the device is poisoned"),
        _ => {}
    }
}

/// What the first panic said, on whichever thread.
fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let first = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&first);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let payload = panic.payload_as_str().unwrap_or("no message");
        seen.get_or_insert_with(|| payload.to_owned());
    }));
    let done = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(before);
    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
    done.map_err(|_| first.take().unwrap_or_else(|| "no message".to_owned()))
}

/// Whether a fault is for lack of memory, in the words of cubecl and wgpu.
fn is_memory(fault: &str) -> bool {
    let fault = fault.to_lowercase();
    [
        "out of memory",
        "out-of-memory",
        "outofmemory",
        "out of device memory",
        "can't allocate buffer",
    ]
    .iter()
    .any(|words| fault.contains(words))
}

/// A fault in one line.
fn brief(fault: &str) -> String {
    let line = fault.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_other_faults() {
        for fault in [
            "out of device memory allocating 3 bytes",
            "can't allocate buffer of size: 3",
            "An out-of-memory error happened during launch",
            "wgpu error: Out of Memory",
        ] {
            assert!(is_memory(fault), "{fault}");
        }
        assert!(!is_memory("the device is poisoned: illegal memory access"));
    }

    #[test]
    fn work_is_tried_in_more_parts_until_it_fits() {
        let parts = AtomicUsize::new(1);
        let mut tried = vec![];
        let done = retry_in_parts(&parts, true, || {
            tried.push(parts.load(Ordering::Relaxed));
            assert!(tried.len() > 2, "out of device memory allocating 3 bytes");
            Ok(7)
        });
        assert_eq!((done.ok(), tried), (Some(7), vec![1, 2, 4]));
    }

    #[test]
    fn a_lost_device_and_what_never_fits_are_errors() {
        let parts = AtomicUsize::new(1);
        let lost = retry_in_parts(&parts, true, || -> Result<()> { panic!("it was lost") });
        let lost = lost.expect_err("nothing to retry");
        assert!(
            lost.is::<Fault>() && lost.to_string() == "the device failed: it was lost",
            "{lost}"
        );
        assert_eq!(parts.load(Ordering::Relaxed), 1);
        let never = retry_in_parts(&parts, true, || -> Result<()> { panic!("Out of memory") });
        assert!(never.is_err() && parts.load(Ordering::Relaxed) == MOST_PARTS);
        let other = retry_in_parts(&parts, true, || -> Result<()> { anyhow::bail!("no file") });
        assert_eq!(other.expect_err("an error of the work").to_string(), "no file");
    }

    #[test]
    fn a_fault_is_one_short_line() {
        assert_eq!(brief("a\n  b"), "a b");
        assert_eq!(brief(&"é".repeat(400)).chars().count(), 301);
    }
}
