//! What a GPU does wrong: memory that runs out, and devices that are lost.
//!
//! Burn's tensors are lazy, and the faults of a device surface as panics: where a result is read, or in
//! the thread that serves the device. Here they become errors, and a lack of memory another attempt.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use thiserror::Error;

use super::{PARTS, is_gpu};
use crate::progress::print_line;

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
            print_line(&format!(
                "the device has too little memory ({}); each batch is computed in {} parts from here on",
                brief(&fault),
                parts * 2
            ));
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

/// A panic: what it said, and in which file.
#[derive(Clone, Debug)]
struct Panic {
    message: String,
    file: String,
}

impl Panic {
    /// Whether a device is to blame, and not a mistake of ours.
    fn is_of_device(&self) -> bool {
        let names = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
        is_memory(&self.message)
            || names(&self.message, &["device", "wgpu", "cubecl"])
            || names(&self.file, &["wgpu", "cubecl", "burn-fusion"])
    }
}

/// What `work` gives, or why its device failed. A device's own thread survives some panics, and what is
/// read afterwards is of no worth, so those count as well; panics that no device is to blame for go on.
fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let panics = Arc::new(Mutex::new(Vec::<Panic>::new()));
    let seen = Arc::clone(&panics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no message").to_owned();
        let file = panic.location().map_or(String::new(), |place| place.to_string());
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(Panic { message, file });
    }));
    let done = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(before);
    let panics = panics.lock().unwrap_or_else(PoisonError::into_inner);
    // The one that ended the work is the last; where it only says that a result is missing, one before
    // it may say why.
    let memory = panics.iter().rev().find(|panic| is_memory(&panic.message));
    let blamed = memory.or(panics.last());
    match (done, blamed) {
        (Ok(done), None) => Ok(done),
        (_, Some(panic)) if panic.is_of_device() => Err(panic.message.clone()),
        (Ok(done), Some(_)) => Ok(done),
        (Err(payload), panic) => {
            if let Some(Panic { message, file }) = panic {
                print_line(&format!("panicked at {file}: {message}"));
            }
            resume_unwind(payload)
        }
    }
}

/// Whether a fault is for lack of memory, in the words of cubecl and wgpu, on a device that lives on.
fn is_memory(fault: &str) -> bool {
    let fault = fault.to_lowercase();
    let is_lost = ["poisoned", "lost"].iter().any(|word| fault.contains(word));
    let words =
        ["out of memory", "out-of-memory", "outofmemory", "out of device memory", "can't allocate"];
    !is_lost && words.iter().any(|words| fault.contains(words))
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
        assert!(!is_memory("the device is poisoned: Out of Memory"));
    }

    #[test]
    fn a_mistake_of_ours_is_no_fault_of_the_device() {
        let panic = |message: &str, file: &str| Panic {
            message: message.to_owned(),
            file: file.to_owned(),
        };
        assert!(panic("Out of memory", "a.rs").is_of_device());
        assert!(panic("index out of bounds", "cubecl-wgpu-0.11.3/src/lib.rs").is_of_device());
        assert!(!panic("index out of bounds", "native/src/runner.rs").is_of_device());
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
        let lost = retry_in_parts(&parts, true, || -> Result<()> { panic!("the device is gone") });
        let lost = lost.expect_err("nothing to retry");
        assert!(
            lost.is::<Fault>() && lost.to_string() == "the device failed: the device is gone",
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
