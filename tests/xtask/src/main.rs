//! Chores: `cargo xtask test` runs every check of the project, the same as CI.

use std::process::{Command, ExitCode};
use std::time::Instant;

/// Every check: its name and the arguments of cargo.
const CHECKS: [(&str, &[&str]); 3] = [
    ("format", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    ("tests", &["test", "--workspace", "--locked"]),
];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("test") => test(),
        _ => {
            eprintln!("usage: cargo xtask test    every check: format, lints, tests");
            ExitCode::from(2)
        }
    }
}

fn test() -> ExitCode {
    for (name, arguments) in CHECKS {
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        let start = Instant::now();
        match Command::new(env!("CARGO")).args(arguments).status() {
            Ok(status) if status.success() => {}
            Ok(_) => {
                eprintln!("error: {name} failed: cargo {}", arguments.join(" "));
                return ExitCode::FAILURE;
            }
            Err(error) => {
                eprintln!("error: cannot start cargo: {error}; expected it on PATH");
                return ExitCode::FAILURE;
            }
        }
        eprintln!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}
