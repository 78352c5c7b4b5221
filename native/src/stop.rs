//! Ctrl-C, SIGTERM and SIGHUP: long work is asked to stop, and stops where nothing is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::progress::print_line;

/// What a stopped process exits with, as shells have it for Ctrl-C.
pub const EXIT: u8 = 130;

/// Work that stopped because it was asked to, which is no fault; it says what is there now.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Stopped(pub String);

/// Ends work that was asked to stop, with what there is now.
///
/// # Errors
///
/// [`Stopped`], where it was.
pub fn check(what: impl FnOnce() -> String) -> Result<(), Stopped> {
    if flag().load(Ordering::Relaxed) { Err(Stopped(what())) } else { Ok(()) }
}

/// Set by Ctrl-C, SIGTERM or SIGHUP; a second one ends the process at once.
pub fn flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let install = || {
        let flag = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&flag);
        let handler = move || {
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(EXIT.into());
            }
            print_line("stopping as soon as nothing is lost; once more stops at once");
        };
        // Where no handler can be set, Ctrl-C ends the process, and the last checkpoint is there.
        with_hangup_as_it_is(|| ctrlc::set_handler(handler).ok());
        flag
    };
    Arc::clone(FLAG.get_or_init(install))
}

/// Sets handlers, but leaves SIGHUP ignored where it is: under `nohup` work goes on when its terminal is
/// closed.
#[cfg(unix)]
#[allow(unsafe_code, reason = "what a signal does is asked of the C library")]
fn with_hangup_as_it_is(set: impl FnOnce() -> Option<()>) {
    // SAFETY: both calls are given valid pointers to what they read or write, and `sigaction` is plain
    // numbers, for which zeroes are a value.
    let before = unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut before);
        before
    };
    set();
    if before.sa_sigaction == libc::SIG_IGN {
        // SAFETY: as above.
        unsafe { libc::sigaction(libc::SIGHUP, &before, std::ptr::null_mut()) };
    }
}

#[cfg(not(unix))]
fn with_hangup_as_it_is(set: impl FnOnce() -> Option<()>) {
    set();
}
