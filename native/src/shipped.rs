//! The models that lie in `models/` beside the program: what is taken where none is named, and the list
//! of them that the page reads too.

mod manifest;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::hub::{Hub, Source};
use crate::store;
pub use manifest::{MANIFEST, Manifest, Role, is_plain};

/// The model to tag with: the one that was named, or the student that ships.
///
/// # Errors
///
/// As [`Hub::model`] and [`find`].
pub fn student(hub: &Hub, named: Option<&Path>) -> Result<Source> {
    named.map_or_else(|| find(Role::Student), |named| hub.model(named, true))
}

/// The folder `models` with a manifest that lies nearest: above the working folder, or else above the
/// program, which cargo builds inside the project.
pub fn folder() -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let places = [here.as_deref(), program.as_deref()];
    let folders = places.into_iter().flatten().flat_map(Path::ancestors);
    let mut models = folders.map(|folder| folder.join("models"));
    let found = models.find(|models| models.join(MANIFEST).is_file())?;
    // As a person would type it.
    let below_here = here.as_deref().and_then(|here| found.strip_prefix(here).ok());
    Some(below_here.unwrap_or(&found).to_path_buf())
}

/// The model of a role that ships, which is called as its role, or else the best one in the manifest.
///
/// # Errors
///
/// No manifest above the working folder and the program, no model of the role, or a file that has not
/// the size it should have.
pub fn find(role: Role) -> Result<Source> {
    let (flag, name) = match role {
        Role::Teacher => ("--teacher", "teacher"),
        Role::Student => ("--model", "student"),
    };
    let models = folder().with_context(|| {
        format!(
            "no {flag}, and no models/{MANIFEST} in this folder or above it; expected {flag} DIR, or a \
             folder of the project, in which a {name} lies"
        )
    })?;
    let path = models.join(MANIFEST);
    let manifest =
        Manifest::from_bytes(&store::read(&path)?).with_context(|| path.display().to_string())?;
    let of_role = || manifest.models.iter().filter(|model| model.role == role);
    let model = of_role().find(|model| model.folder == name).or_else(|| of_role().next());
    let model = model
        .with_context(|| format!("{}: no {name} in it; expected {flag} DIR", path.display()))?;
    let folder = models.join(&model.folder);
    for file in &model.files {
        let place = folder.join(&file.name);
        let found = std::fs::metadata(&place).map_or(0, |metadata| metadata.len());
        ensure!(
            found == file.size,
            "{}: {found} bytes, expected {} (see {}); is the clone complete?",
            place.display(),
            file.size,
            path.display()
        );
    }
    Ok(Source::local(&folder))
}
