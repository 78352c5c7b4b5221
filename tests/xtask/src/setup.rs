//! `cargo xtask setup`: looks for every tool that the page and its tests need, says what it finds, and
//! installs what is missing. It can be run again at any time.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;
use crate::run::{Failure, Run};
use crate::wasm;

/// What Playwright runs on.
const NODE: u32 = 20;

/// Runs every step.
pub fn setup() -> Result<(), Failure> {
    node()?;
    target()?;
    wasm_bindgen()?;
    trunk()?;
    wasm_opt()?;
    npm_packages()?;
    let of_the_tests = install_chromium().and_then(|()| vulkan());
    of_the_tests.map_err(|Failure(reason)| {
        Failure(format!("{reason}\nThe tests need it. All else is there: `trunk serve`"))
    })?;
    eprintln!("everything is there: `trunk serve`");
    Ok(())
}

fn say(what: &str, state: &str) {
    eprintln!("== {what}: {state}");
}

fn node() -> Result<(), Failure> {
    let found = Run::new("node").with(&["--version"]).output().unwrap_or_default();
    let major = found
        .trim()
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    let has_npm = Run::new("npm").with(&["--version"]).output().is_some();
    match major {
        Some(major) if major >= NODE && has_npm => {
            say("node", found.trim());
            Ok(())
        }
        _ => Err(Failure(format!(
            "node {}{}; expected node {NODE} or newer, with npm (https://nodejs.org/en/download)",
            if found.is_empty() { "is not there" } else { found.trim() },
            if has_npm { "" } else { ", no npm" }
        ))),
    }
}

fn target() -> Result<(), Failure> {
    if wasm::has_target() {
        say(wasm::TARGET, "there");
        return forget_fallback();
    }
    if wasm::environment_file().is_file() {
        say(wasm::TARGET, "there, by Debian's rustc-web");
        // The clone or the toolchain may have moved, or the compiler may be gone.
        if let Ok(text) = wasm::fallback() {
            return write(&wasm::environment_file(), &text);
        }
    }
    say(wasm::TARGET, "asking rustup");
    let add = ["target", "add", wasm::TARGET];
    // Rustup waits long where it cannot download.
    let added = match Run::new("timeout").with(&["--version"]).output() {
        Some(_) => Run::new("timeout").with(&["120", "rustup"]).with(&add),
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
    // Not `--locked`: its lock names a version of webpki-roots that was taken back.
    let install = || cargo_install("wasm-bindgen-cli", &version, &[]);
    tool("wasm-bindgen", &version, install)
}

/// Installs a tool of a version unless it is there, and looks again: another one may come first.
fn tool(
    name: &str,
    version: &str,
    install: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let found = || Run::new(name).with(&["--version"]).output().unwrap_or_default();
    let is_there = |found: &str| found.split_whitespace().any(|word| word == version);
    let before = found();
    if is_there(&before) {
        say(name, version);
        return Ok(());
    }
    let instead = match before.trim() {
        "" => String::new(),
        before => format!(" in place of `{before}`"),
    };
    say(name, &format!("installing {version}{instead}"));
    install()?;
    match found() {
        now if is_there(&now) => Ok(()),
        now => Err(Failure(format!(
            "{name} {version} is installed, but what is called is `{}`; expected {} first in PATH",
            now.trim(),
            cargo_bin()?.display()
        ))),
    }
}

/// A version that `Trunk.toml` names, behind `prefix`.
fn pinned(prefix: &str) -> Result<String, Failure> {
    let path = root().join("Trunk.toml");
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    let version = text.lines().find_map(|line| line.strip_prefix(prefix)?.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| Failure(format!("Trunk.toml has no {prefix}")))
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
    let version = pinned("trunk-version = \"=")?;
    tool("trunk", &version, || cargo_install("trunk", &version, &["--locked"]))?;
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
    if !trunk.is_file() {
        say(
            "trunk",
            "not where cargo installs it: before `trunk serve`, `set -a; . .cargo/wasm.env`",
        );
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

/// Debian's binaryen 108 breaks modules without a word, so npm's is taken.
fn wasm_opt() -> Result<(), Failure> {
    let version = pinned("wasm_opt = \"version_")?;
    let home = cargo_bin()?;
    let home = home.parent().unwrap_or(&home).to_string_lossy().into_owned();
    let package = format!("binaryen@{version}.0.0");
    tool("wasm-opt", &version, || {
        Run::new("npm").with(&["install", "--global", "--prefix", &home, &package]).done()
    })
}

/// The browser of the tests: the one that the variable `CHROMIUM` names, or else one in `PATH`, but no snap:
/// that sees neither the tests' folders nor their flags.
pub fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let all = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    // Ubuntu's `chromium-browser` is a script that starts the snap.
    let is_snap = |path: &PathBuf| {
        let starts_it = |text: &str| text.len() < 10_000 && text.contains("/snap/");
        path.starts_with("/snap") || fs::read_to_string(path).is_ok_and(|text| starts_it(&text))
    };
    all.filter(|path| path.is_file() && !is_snap(path))
        .find(|path| Run::new(&path.to_string_lossy()).with(&["--version"]).output().is_some())
}

fn install_chromium() -> Result<(), Failure> {
    if let Some(path) = chromium() {
        say("chromium", &path.display().to_string());
        return Ok(());
    }
    if let Some(named) = std::env::var_os("CHROMIUM") {
        let named = named.display();
        return Err(Failure(format!(
            "CHROMIUM is `{named}`, where no file is; expected a browser"
        )));
    }
    say("chromium", "installing");
    apt(&["chromium"])?;
    match chromium() {
        Some(_) => Ok(()),
        None => Err(Failure("chromium is installed, and is not in PATH; expected CHROMIUM".into())),
    }
}

/// Chromium brings a software driver for Vulkan, on which the GPU's tests run, but not for all to see
/// the library that loads drivers.
fn vulkan() -> Result<(), Failure> {
    // Debian's is not on everybody's PATH.
    let mut programs = ["ldconfig", "/sbin/ldconfig"].into_iter();
    match programs.find_map(|program| Run::new(program).with(&["-p"]).output()) {
        Some(libraries) if libraries.contains("libvulkan.so.1") => {
            say("vulkan", "there");
            return Ok(());
        }
        None => {
            say("vulkan", "not known, for there is no ldconfig; the tests of the GPU will tell");
            return Ok(());
        }
        Some(_) => {}
    }
    say("vulkan", "installing its loader");
    apt(&["libvulkan1"])
}

fn npm_packages() -> Result<(), Failure> {
    let folder = root().join("tests/e2e");
    // It fails where one is missing or of another version.
    if Run::new("npm").with(&["ls", "--all"]).within(&folder).output().is_some() {
        say("packages of tests/e2e", "there");
        return Ok(());
    }
    say("packages of tests/e2e", "installing");
    Run::new("npm").with(&["ci", "--ignore-scripts"]).within(&folder).done()
}

fn apt(packages: &[&str]) -> Result<(), Failure> {
    let install = ["install", "--yes", "--no-install-recommends"];
    let updated = Run::new("apt-get").with(&["update"]).done();
    let done = updated.and_then(|()| Run::new("apt-get").with(&install).with(packages).done());
    let names = packages.join(" ");
    done.map_err(|Failure(reason)| {
        Failure(format!(
            "{reason}; expected {names}: as root, `apt-get install {names}`, or what another distribution \
             calls them, and then `cargo xtask setup` again"
        ))
    })
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
