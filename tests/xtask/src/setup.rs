//! `cargo xtask setup`: looks for every tool that the page and its tests need, says what it finds, and
//! installs what is missing. It can be run again at any time.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;
use crate::run::{Failure, Run};
use crate::wasm;

/// Trunk 0.22 asks for a newer compiler than `rust-toolchain.toml` names.
const TRUNK: &str = "0.21.14";

/// Debian's binaryen 108 breaks modules without a word, so npm's is taken.
const BINARYEN: &str = "132";

/// Runs every step.
pub fn setup() -> Result<(), Failure> {
    target()?;
    wasm_bindgen()?;
    trunk()?;
    wasm_opt()?;
    chromium()?;
    vulkan()?;
    npm_packages()?;
    eprintln!("everything is there: `trunk serve`");
    Ok(())
}

fn say(what: &str, state: &str) {
    eprintln!("== {what}: {state}");
}

fn target() -> Result<(), Failure> {
    if wasm::has_target() {
        say(wasm::TARGET, "there");
        return forget_fallback();
    }
    if wasm::environment_file().is_file() {
        say(wasm::TARGET, "there, by Debian's rustc-web");
        return Ok(());
    }
    say(wasm::TARGET, "asking rustup");
    let add = ["target", "add", wasm::TARGET];
    // Rustup waits long where it cannot download.
    let added = match Run::new("timeout").with(&["--version"]).output() {
        Some(_) => Run::new("timeout").with(&["60", "rustup"]).with(&add),
        None => Run::new("rustup").with(&add),
    };
    let added = added.within(&root()).done();
    if added.is_ok() && wasm::has_target() {
        return forget_fallback();
    }
    say(wasm::TARGET, "rustup cannot add it; Debian's rustc-web instead");
    apt(&["rustc-web", "rust-web-src"])?;
    let path = wasm::environment_file();
    write(&path, &wasm::fallback()?)
}

fn forget_fallback() -> Result<(), Failure> {
    match fs::remove_file(wasm::environment_file()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure(format!("{}: {error}", wasm::environment_file().display())))
        }
        _ => Ok(()),
    }
}

fn wasm_bindgen() -> Result<(), Failure> {
    let version = locked("wasm-bindgen")?;
    let found = Run::new("wasm-bindgen").with(&["--version"]).output();
    if found.is_some_and(|found| found.trim().ends_with(&format!(" {version}"))) {
        say("wasm-bindgen", &version);
        return Ok(());
    }
    say("wasm-bindgen", &format!("installing {version}, the lock's"));
    // Not `--locked`: that lock may name a version that was taken back since.
    cargo_install("wasm-bindgen-cli", &version, &[])
}

/// The version of a package in `Cargo.lock`.
fn locked(package: &str) -> Result<String, Failure> {
    let path = root().join("Cargo.lock");
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    let name = format!("name = \"{package}\"");
    let mut lines = text.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = \""));
    let version = version.and_then(|line| line.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| Failure(format!("Cargo.lock has no {package}")))
}

fn trunk() -> Result<(), Failure> {
    let found = Run::new("trunk").with(&["--version"]).output();
    if found.is_some_and(|found| found.trim().ends_with(TRUNK)) {
        say("trunk", TRUNK);
    } else {
        say("trunk", &format!("installing {TRUNK}"));
        cargo_install("trunk", TRUNK, &["--locked"])?;
    }
    if wasm::environment_file().is_file() { wrap_trunk() } else { Ok(()) }
}

/// Puts a script in trunk's place that reads `.cargo/wasm.env` of the folder it is called in, so that
/// plain `trunk serve` finds the fallback's compiler. Elsewhere it changes nothing.
fn wrap_trunk() -> Result<(), Failure> {
    let trunk = cargo_bin()?.join("trunk");
    let real = cargo_bin()?.join("trunk-itself");
    let is_wrapped = fs::read(&trunk).is_ok_and(|bytes| bytes.starts_with(b"#!"));
    if is_wrapped {
        return Ok(());
    }
    say("trunk", "wrapped, to find Debian's compiler");
    fs::rename(&trunk, &real).map_err(|error| Failure(format!("{}: {error}", trunk.display())))?;
    write(
        &trunk,
        &format!(
            "#!/bin/sh\n# Written by `cargo xtask setup` of Understudy.\n\
             if [ -f .cargo/wasm.env ]; then set -a; . ./.cargo/wasm.env; set +a; fi\n\
             exec \"{}\" \"$@\"\n",
            real.display()
        ),
    )?;
    Run::new("chmod").with(&["+x", &trunk.to_string_lossy()]).done()
}

fn wasm_opt() -> Result<(), Failure> {
    let found = Run::new("wasm-opt").with(&["--version"]).output().unwrap_or_default();
    if found.contains(&format!("version {BINARYEN}")) {
        say("wasm-opt", BINARYEN);
        return Ok(());
    }
    say("wasm-opt", &format!("installing binaryen {BINARYEN} from npm"));
    let home = cargo_bin()?;
    let home = home.parent().unwrap_or(&home).to_string_lossy().into_owned();
    let package = format!("binaryen@{BINARYEN}");
    Run::new("npm").with(&["install", "--global", "--prefix", &home, &package]).done()
}

fn chromium() -> Result<(), Failure> {
    if Run::new("chromium").with(&["--version"]).output().is_some() {
        say("chromium", "there");
        return Ok(());
    }
    say("chromium", "installing");
    apt(&["chromium"])
}

/// Chromium brings a software driver for Vulkan, on which the GPU's tests run, but not for all to see
/// the library that loads drivers.
fn vulkan() -> Result<(), Failure> {
    let libraries = Run::new("ldconfig").with(&["-p"]).output();
    if libraries.is_none_or(|libraries| libraries.contains("libvulkan.so.1")) {
        say("vulkan", "there");
        return Ok(());
    }
    say("vulkan", "installing its loader");
    apt(&["libvulkan1"])
}

fn npm_packages() -> Result<(), Failure> {
    let folder = root().join("tests/e2e");
    if folder.join("node_modules/.package-lock.json").is_file() {
        say("packages of tests/e2e", "there");
        return Ok(());
    }
    say("packages of tests/e2e", "installing");
    Run::new("npm").with(&["ci", "--ignore-scripts"]).within(&folder).done()
}

fn apt(packages: &[&str]) -> Result<(), Failure> {
    Run::new("apt-get").with(&["update"]).done()?;
    let install = ["install", "--yes", "--no-install-recommends"];
    Run::new("apt-get").with(&install).with(packages).done()
}

fn cargo_install(package: &str, version: &str, options: &[&str]) -> Result<(), Failure> {
    let install = ["install", package, "--version", version, "--force"];
    // Tools that run for seconds need no build of many minutes.
    Run::new(env!("CARGO"))
        .with(&install)
        .with(options)
        .set("CARGO_PROFILE_RELEASE_LTO", "off")
        .set("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .set("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .within(&root())
        .done()
}

/// Where cargo puts programs.
fn cargo_bin() -> Result<PathBuf, Failure> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let home = home.ok_or_else(|| Failure("neither CARGO_HOME nor HOME is set".into()))?;
    Ok(home.join("bin"))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure(format!("{}: {error}", path.display())))
}
