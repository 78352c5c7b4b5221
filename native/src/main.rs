//! `understudy`: fine-tune, distil, evaluate and tag from the terminal.

mod bundle_dir;
mod chart;
mod cli;
mod command;
mod corpus;
mod dataset;
mod device;
mod hub;
mod labelling;
mod preset;
mod preset_file;
mod progress;
mod reading;
mod report;
mod runner;
mod shipped;
mod stop;
mod store;
mod text_file;

use std::process::ExitCode;

use progress::print_line;

/// Training frees and asks for the same large buffers every step; this allocator can be told to keep them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_freed_memory();
    let typed = std::env::args_os().collect();
    match preset_file::parse(typed).and_then(command::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if command::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<stop::Stopped>() => {
            print_line(&format!("{error:#}"));
            ExitCode::from(stop::EXIT)
        }
        Err(error) => {
            print_line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Tells mimalloc never to purge freed memory: purged pages are cleared by the kernel when they are
/// touched again. Training a 768 × 6 model, 161 to 219 sub-words a second became 244 to 289
/// (`docs/BENCHMARKS.md`).
#[allow(unsafe_code, reason = "the allocator's settings are a C function")]
fn keep_freed_memory() {
    // `mi_option_purge_delay` of mimalloc 2 and 3, which the -sys crate does not name yet.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets one number; mimalloc allows it at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
