//! Which compiler makes the browser's modules.
//!
//! Where rustup has the target, nothing needs to be said. Where it cannot be downloaded, Debian's
//! `rustc-web` builds the standard library from its own sources; what cargo must know for that stands
//! in `.cargo/wasm.env`, which `cargo xtask setup` writes, and the wrapper around trunk that it
//! installs reads. The file is not tracked: it is about one machine.

use std::fs;
use std::path::PathBuf;

use crate::root;
use crate::run::{Failure, Run};

/// The target of all modules.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Trunk as the repository builds with it.
pub fn trunk() -> Run {
    let mut run = Run::new("trunk");
    if let Ok(text) = fs::read_to_string(environment_file()) {
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            run = run.set(name, value.trim_matches('\''));
        }
    }
    // It asks a server for newer versions otherwise, and takes no `NO_COLOR=1`.
    run.set("TRUNK_SKIP_VERSION_CHECK", "true").set("NO_COLOR", "true")
}

/// Where the fallback's environment stands, `NAME='value'`, one a line, as a shell reads it too.
pub fn environment_file() -> PathBuf {
    root().join(".cargo/wasm.env")
}

/// Whether rustup's toolchain has the target's standard library.
pub fn has_target() -> bool {
    let folder = sysroot().map(|sysroot| sysroot.join("lib/rustlib").join(TARGET));
    folder.is_some_and(|folder| folder.is_dir())
}

/// Where the toolchain of `rust-toolchain.toml` lies.
pub fn sysroot() -> Option<PathBuf> {
    let printed = Run::new("rustc").with(&["--print", "sysroot"]).within(&root()).output()?;
    Some(PathBuf::from(printed.trim()))
}

/// What Debian's compiler needs, as `NAME='value'`.
///
/// # Errors
///
/// No `rustc-web`, or no linker in rustup's toolchain.
pub fn fallback() -> Result<String, Failure> {
    let listed = Run::new("dpkg").with(&["--listfiles", "rustc-web"]).output();
    let listed = listed.ok_or_else(|| Failure("the package rustc-web is not installed".into()))?;
    let compiler = listed.lines().find(|line| line.ends_with("/bin/rustc"));
    let compiler = compiler.ok_or_else(|| Failure("rustc-web has no rustc".into()))?;
    let sysroot = sysroot().ok_or_else(|| Failure("rustc says no sysroot".into()))?;
    let linker = sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    if !linker.is_file() {
        return Err(Failure(format!("{}: expected rust-lld", linker.display())));
    }
    // A target folder of its own, so that neither compiler rebuilds what the other has built.
    Ok(format!(
        "RUSTC='{compiler}'\nRUSTC_BOOTSTRAP=1\nCARGO_UNSTABLE_BUILD_STD=std,panic_abort\n\
         CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='{}'\nCARGO_TARGET_DIR='{}'\n",
        linker.display(),
        root().join("target/rustc-web").display()
    ))
}
