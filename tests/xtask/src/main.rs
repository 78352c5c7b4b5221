//! Chores: `cargo xtask setup` installs what is missing, and `cargo xtask test` runs every check of the
//! project, the same as CI.

mod driver;
mod run;
mod setup;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use run::{Failure, Run};

/// Every check of the native crates: its name and the arguments of cargo.
const CHECKS: [(&str, &[&str]); 6] = [
    ("format", &["fmt", "--all", "--check"]),
    ("format of the fuzz targets", &["fmt", "--manifest-path", "tests/fuzz/Cargo.toml", "--check"]),
    // They are one line each; what they call is a library of the workspace.
    (
        "lock of the fuzz targets",
        &[
            "tree",
            "--quiet",
            "--manifest-path",
            "tests/fuzz/Cargo.toml",
            "--depth",
            "0",
            "--locked",
        ],
    ),
    ("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    // The command line for the processor alone is another program.
    (
        "lints without a GPU",
        &["clippy", "-p", "native", "--no-default-features", "--locked", "--", "-D", "warnings"],
    ),
    ("tests", &["test", "--workspace", "--locked"]),
];

const USAGE: &str = "usage:
  cargo xtask setup             installs what the page and its tests need and what is missing
  cargo xtask test              the same, and every check: format, lints, tests, the page in a browser
  cargo xtask test native       without the page
  cargo xtask test browser      the page alone";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["setup"] => setup::setup(),
        // The tests have built the command line.
        ["test"] => setup::setup()
            .and_then(|()| native())
            .and_then(|()| beside(""))
            .and_then(|binary| browser(&binary)),
        ["test", "native"] => native(),
        ["test", "browser"] => {
            setup::setup().and_then(|()| command_line()).and_then(|binary| browser(&binary))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("the package lies two folders down").to_owned()
}

fn native() -> Result<(), Failure> {
    let driver = driver::software_vulkan();
    for (name, arguments) in CHECKS {
        let mut run = Run::new(env!("CARGO")).with(arguments).within(&root());
        if let Some((variable, file)) = &driver {
            run = run.set(variable, file);
        }
        timed(name, || run.done())?;
    }
    Ok(())
}

/// The command line that was built in `folder` of cargo's target folder, in which this program lies too.
fn beside(folder: &str) -> Result<PathBuf, Failure> {
    let name = format!("understudy{}", std::env::consts::EXE_SUFFIX);
    let this = std::env::current_exe();
    let target = this.as_ref().ok().and_then(|this| this.parent()?.parent());
    let found = target.map(|target| target.join(folder).join("debug").join(name));
    let found = found.filter(|binary| binary.is_file());
    found.ok_or_else(|| Failure("the command line that was just built cannot be found".into()))
}

/// The command line, for what the page's tests hand over to it: without a GPU, which they do not need,
/// and in a folder of its own, so that it does not undo what other builds have built.
fn command_line() -> Result<PathBuf, Failure> {
    let folder = "cpu";
    let this = std::env::current_exe().unwrap_or_default();
    let target = this.ancestors().nth(2).unwrap_or(Path::new("target")).join(folder);
    let arguments = ["build", "--locked", "-p", "native", "--no-default-features", "--target-dir"];
    let build = Run::new(env!("CARGO")).with(&arguments).with(&[&target.to_string_lossy()]);
    timed("command line", || build.within(&root()).done())?;
    beside(folder)
}

/// Builds the page once, as it is published, and tries it in a browser; `binary` is the command line.
fn browser(binary: &Path) -> Result<(), Failure> {
    timed("page", || wasm::trunk().with(&["build"]).within(&root()).done())?;
    let mut run = Run::new("npx").with(&["--no-install", "playwright", "test"]);
    if let Some(chromium) = setup::chromium() {
        run = run.set("CHROMIUM", &chromium.to_string_lossy());
    }
    let run = run.within(&root().join("tests/e2e")).set("UNDERSTUDY", &binary.to_string_lossy());
    timed("browser", || run.done())
}

fn timed(name: &str, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    eprintln!("== {name}");
    let start = Instant::now();
    work().map_err(|Failure(message)| Failure(format!("{name} failed: {message}")))?;
    eprintln!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
