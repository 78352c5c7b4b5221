//! Models and data sets of the Hugging Face hub, in the cache that Python's `huggingface_hub` shares.
//!
//! The crate `hf-hub` knows where things lie in the cache. Its client knows no time-out, continues
//! nothing, checks no hash and reads no `HF_HUB_OFFLINE`, and its latest version needs an async
//! runtime; so the requests are made here, on `ureq`:
//!
//! 1. the hub says which commit a revision is and which files are in it (`remote`);
//! 2. what the cache holds is checked against its name, which is its hash (`digest`);
//! 3. what is missing is fetched beside its place, checked, and moved there (`download`);
//! 4. only then does the revision mean the new commit (`snapshot`).

mod cache;
mod digest;
mod download;
mod http;
mod id;
mod progress;
mod remote;
mod settings;
mod snapshot;
mod verify;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use understudy_shared::checkpoint::shards::shard_names;

use crate::cli::CommonArgs;
use crate::store::{self, RUN_CONFIG};
use cache::RepoCache;
use http::Client;
use id::{HubId, Kind};
pub use progress::size;
use settings::Settings;
use snapshot::{Refusal, Snapshot, model_files};
pub use verify::Checked;

/// The repository that a run took files from, as it stands in `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Model or data set.
    pub kind: Kind,
    /// `dslim/bert-base-NER`
    pub repo: String,
    /// What was asked for: a branch, a tag or a commit.
    pub revision: String,
    /// What it was.
    pub commit: String,
}

/// A folder with the files of a model or of a data set, and the repository they are from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The folder.
    pub folder: PathBuf,
    /// `None` for a folder of the user's.
    pub origin: Option<Origin>,
}

impl Source {
    /// A folder of the user's.
    pub fn local(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), origin: None }
    }

    /// A file as reports name it: with repository and commit, or where it lies.
    pub fn shown(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.folder).unwrap_or(path).display();
        match &self.origin {
            Some(origin) => format!("{}@{}/{inside}", origin.repo, origin.commit),
            None => path.display().to_string(),
        }
    }
}

/// The hub and its cache. Its settings are read when they are first needed: whoever names folders alone
/// needs none.
pub struct Hub {
    opened: OnceCell<(Settings, Client)>,
    offline: bool,
    quiet: bool,
    /// What a run that is continued took.
    pinned: Vec<Origin>,
}

impl Hub {
    /// As the environment and the flags say; asks nothing yet.
    pub fn new(args: &CommonArgs) -> Self {
        let (offline, quiet) = (args.offline, args.quiet);
        Self { opened: OnceCell::new(), offline, quiet, pinned: vec![] }
    }

    fn opened(&self) -> Result<&(Settings, Client)> {
        if self.opened.get().is_none() {
            let settings = Settings::from_env(self.offline)?;
            let client = Client::new(&settings);
            self.opened.set((settings, client)).ok();
        }
        self.opened.get().context("the hub's settings")
    }

    /// The hub for a run: one that is continued keeps the commits it began with, whatever its
    /// branches are by now.
    pub fn for_run(args: &CommonArgs, run: &Path, resume: bool) -> Result<Self> {
        let mut hub = Self::new(args);
        let path = run.join(RUN_CONFIG);
        if resume && path.is_file() {
            let snapshot: Map<String, Value> = serde_json::from_slice(&store::read(&path)?)
                .with_context(|| format!("{}: expected the settings of a run", path.display()))?;
            let origins = snapshot.get("hub").cloned().unwrap_or_default();
            hub.pinned = serde_json::from_value(origins).unwrap_or_default();
        }
        Ok(hub)
    }

    /// A model's folder: the one that was typed, or that of a hub id, with its files fetched.
    ///
    /// # Errors
    ///
    /// Neither a folder nor an id; a repository that is not there or is no model; a file that cannot
    /// be had whole.
    pub fn model(&self, typed: &Path, with_weights: bool) -> Result<Source> {
        store::recover_dir(typed)?;
        let expected = "expected a folder with config.json, tokenizer.json and model.safetensors, or \
                        the id of a model on the hub";
        let Some(id) = folder_or_id(typed, expected)? else { return Ok(Source::local(typed)) };
        let snapshot = self.open(id, Kind::Model, typed)?;
        self.get_model(&snapshot, with_weights)
    }

    /// A data set's folder: the one that was typed, or that of a hub id, with the files fetched that
    /// `choose` finds among the names of all.
    ///
    /// # Errors
    ///
    /// As [`Hub::model`].
    pub fn data(&self, typed: &Path, choose: Choose) -> Result<Source> {
        let expected = "expected a folder with train, valid and test files, or the id of a data set on \
                        the hub";
        let Some(id) = folder_or_id(typed, expected)? else { return Ok(Source::local(typed)) };
        let snapshot = self.open(id, Kind::Dataset, typed)?;
        self.get_data(&snapshot, choose)
    }

    /// Fetches a repository, which may be a model or a data set.
    ///
    /// # Errors
    ///
    /// As [`Hub::model`].
    pub fn fetch(&self, typed: &str, choose: Choose) -> Result<(Kind, Source)> {
        let (id, kinds) = ids(typed)?;
        let opened = self.opened()?;
        let mut refused = None;
        for kind in kinds {
            // Where the hub could not say what it is, only what is in the cache is known to be there.
            let is_known = || RepoCache::new(&opened.0.cache, &id, *kind).commit().is_some();
            let is_unclear =
                refused.as_ref().is_some_and(|(refusal, _)| Refusal::is_passing(refusal));
            if is_unclear && !is_known() {
                continue;
            }
            match self.try_open(opened, id.clone(), *kind) {
                Ok(snapshot) => {
                    let source = match kind {
                        Kind::Model => self.get_model(&snapshot, true),
                        Kind::Dataset => self.get_data(&snapshot, choose),
                    };
                    return Ok((*kind, source?));
                }
                Err(Refusal::Fault(fault)) if !fault.is_absence() && !fault.is_passing() => {
                    return Err(refuse(opened, Refusal::Fault(fault), &id, *kind));
                }
                // What is no model may be a data set, and what the hub cannot say, the cache may.
                Err(refusal) if refused.is_none() || refusal.is_passing() => {
                    refused = Some((refusal, *kind));
                }
                Err(_) => {}
            }
        }
        let (refusal, kind) = refused.context("no kind of repository")?;
        Err(refuse(opened, refusal, &id, kind))
    }

    /// Checks what the cache holds of a repository, or of all.
    ///
    /// # Errors
    ///
    /// An id of which nothing is in the cache.
    pub fn verify(&self, typed: Option<&str>) -> Result<Checked> {
        let cache = &self.opened()?.0.cache;
        match typed {
            None => verify::all(cache, self.quiet),
            Some(typed) => {
                let (id, kinds) = ids(typed)?;
                verify::repository(cache, &id, kinds, self.quiet)
            }
        }
    }

    /// Whether a text can be an id.
    pub fn is_id(text: &str) -> bool {
        HubId::parse(text.strip_prefix(DATASETS).unwrap_or(text)).is_some()
    }

    fn get_model(&self, snapshot: &Snapshot<'_>, with_weights: bool) -> Result<Source> {
        let files = model_files(snapshot, with_weights)?;
        snapshot.get(&files)?;
        if let Some(index) = files.iter().find(|name| name.ends_with(".index.json")) {
            let bytes = store::read(&snapshot.folder().join(index))?;
            let shards = shard_names(&bytes).with_context(|| snapshot.id.to_string())?;
            snapshot.get(&shards)?;
        }
        self.done(snapshot)
    }

    fn get_data(&self, snapshot: &Snapshot<'_>, choose: Choose) -> Result<Source> {
        let files = choose(&snapshot.names).with_context(|| snapshot.id.to_string())?;
        snapshot.get(&files)?;
        self.done(snapshot)
    }

    fn done(&self, snapshot: &Snapshot<'_>) -> Result<Source> {
        snapshot.remember()?;
        let (repo, revision) = (snapshot.id.repo.clone(), snapshot.id.revision.clone());
        let (kind, commit) = (snapshot.kind, snapshot.commit.clone());
        let origin = Some(Origin { kind, repo, revision, commit });
        Ok(Source { folder: snapshot.folder(), origin })
    }

    fn open(&self, id: HubId, kind: Kind, typed: &Path) -> Result<Snapshot<'_>> {
        let is_same = |origin: &&Origin| {
            origin.kind == kind && origin.repo == id.repo && origin.revision == id.revision
        };
        let (asked, context) = match self.pinned.iter().find(is_same) {
            Some(Origin { commit, .. }) => (
                HubId { revision: commit.clone(), ..id.clone() },
                format!("the run began with {id} at commit {commit}"),
            ),
            None => (id.clone(), format!("{} is no folder here", typed.display())),
        };
        let opened = self.opened()?;
        let snapshot = self.try_open(opened, asked.clone(), kind);
        let mut snapshot =
            snapshot.map_err(|refusal| refuse(opened, refusal, &asked, kind).context(context))?;
        snapshot.id = id;
        Ok(snapshot)
    }

    fn try_open<'a>(
        &self,
        (settings, client): &'a (Settings, Client),
        id: HubId,
        kind: Kind,
    ) -> Result<Snapshot<'a>, Refusal> {
        Snapshot::open(settings, client, id, kind, self.quiet)
    }
}

fn refuse(
    (_, client): &(Settings, Client),
    refusal: Refusal,
    id: &HubId,
    kind: Kind,
) -> anyhow::Error {
    match refusal {
        Refusal::NotCached(reason) => anyhow!(reason),
        Refusal::Fault(fault) => remote::explain(fault, id, kind, client),
    }
}

/// The id that was typed; `None` for a folder.
fn folder_or_id(typed: &Path, expected: &str) -> Result<Option<HubId>> {
    if typed.is_dir() {
        return Ok(None);
    }
    // A data set may be named as `fetch` wants it where it could be a model.
    let id = typed.to_str().map(|text| text.strip_prefix(DATASETS).unwrap_or(text));
    match id.and_then(HubId::parse) {
        Some(id) if !typed.exists() => Ok(Some(id)),
        _ => bail!("{}: no such folder; {expected}", typed.display()),
    }
}

/// Finds the files of a data set among all names of its repository.
pub type Choose = fn(&[String]) -> Result<Vec<String>>;

/// What stands before the id of a data set where a model may be meant too, as in the hub's addresses.
pub const DATASETS: &str = "datasets/";

/// What is typed where a model or a data set may be meant; `datasets/owner/name` is a data set.
fn ids(typed: &str) -> Result<(HubId, &'static [Kind])> {
    let (text, kinds): (&str, &[Kind]) = match typed.strip_prefix(DATASETS) {
        Some(rest) => (rest, &[Kind::Dataset]),
        None => (typed, &[Kind::Model, Kind::Dataset]),
    };
    let id = HubId::parse(text);
    let id = id.with_context(|| {
        format!("{typed}: expected an id of the hub, owner/name or owner/name@revision")
    })?;
    Ok((id, kinds))
}
