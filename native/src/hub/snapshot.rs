//! A repository at a commit: which files there are, and each of them in the cache, whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::cache::{RepoCache, etag_of};
use super::digest::{Verdict, verify};
use super::download::{Wanted, download};
use super::http::{Client, Fault};
use super::id::{HubId, Kind};
use super::progress::size;
use super::remote::{self, Metadata};
use super::settings::Settings;
use crate::progress::print_line;

/// Where the files come from that are not in the cache.
enum Supply<'a> {
    Hub(&'a Client),
    /// Nowhere, because of this.
    Cache(String),
}

/// A repository at a commit.
pub struct Snapshot<'a> {
    /// What was typed.
    pub id: HubId,
    /// Model or data set.
    pub kind: Kind,
    /// What it is by now.
    pub commit: String,
    /// The files in the repository, or in the cache alone where the hub is not asked.
    pub names: Vec<String>,
    cache: RepoCache,
    supply: Supply<'a>,
    quiet: bool,
}

impl<'a> Snapshot<'a> {
    /// Asks the hub which commit is meant, or the cache where the hub is not asked or not there.
    ///
    /// # Errors
    ///
    /// What the hub says against it; a hub that is not there and nothing in the cache.
    pub fn open(
        settings: &Settings,
        client: &'a Client,
        id: HubId,
        kind: Kind,
        quiet: bool,
    ) -> Result<Self, Refusal> {
        let cache = RepoCache::new(&settings.cache, &id, kind);
        if let Some(by) = settings.offline {
            let Some(commit) = cache.commit() else {
                return Err(Refusal::NotCached(not_cached(settings, &id, kind, by)));
            };
            let reason = format!("the hub is not asked ({by})");
            return Ok(Self::cached(id, kind, commit, cache, reason, quiet));
        }
        match remote::listing(client, &id, kind) {
            Ok(listing) => {
                let (commit, names) = (listing.commit, listing.names);
                Ok(Self { id, kind, commit, names, cache, supply: Supply::Hub(client), quiet })
            }
            Err(fault) if fault.is_passing() => match cache.commit() {
                Some(commit) => {
                    if !quiet {
                        print_line(&format!("{id}: {fault}; the cache's commit {commit} is used"));
                    }
                    Ok(Self::cached(id, kind, commit, cache, fault.to_string(), quiet))
                }
                None => Err(Refusal::Fault(fault)),
            },
            Err(fault) => Err(Refusal::Fault(fault)),
        }
    }

    fn cached(
        id: HubId,
        kind: Kind,
        commit: String,
        cache: RepoCache,
        reason: String,
        quiet: bool,
    ) -> Self {
        let names = cache.files(&commit);
        Self { id, kind, commit, names, cache, supply: Supply::Cache(reason), quiet }
    }

    /// The folder that holds the files.
    pub fn folder(&self) -> PathBuf {
        self.cache.snapshot(&self.commit)
    }

    /// A file as people and reports name it.
    pub fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.id)
    }

    /// Has these files in the folder, every one checked; what is missing or damaged is fetched.
    ///
    /// # Errors
    ///
    /// A file that cannot be had whole.
    pub fn get(&self, names: &[String]) -> Result<()> {
        let mut missing = Vec::new();
        for name in names {
            if !self.is_whole(name)? {
                let client = self.client(name)?;
                let (url, metadata) = self.metadata(client, name);
                let metadata = metadata.map_err(|error| self.explain(error, name))?;
                missing.push((name, url, metadata));
            }
        }
        if !self.quiet && !missing.is_empty() {
            let total: u64 = missing.iter().map(|(.., metadata)| metadata.size).sum();
            let files: Vec<String> = missing
                .iter()
                .map(|(name, _, metadata)| format!("{name} {}", size(metadata.size)))
                .collect();
            let commit = &self.commit[..7];
            print_line(&format!("{} at {commit}: {} ({})", self.id, size(total), files.join(", ")));
        }
        for (name, url, metadata) in missing {
            self.fetch(name, url, &metadata)?;
        }
        Ok(())
    }

    /// To be called when all that is needed is there: from now on the revision means this commit in
    /// the cache too.
    pub fn remember(&self) -> Result<()> {
        match self.supply {
            Supply::Hub(_) => self.cache.remember(&self.commit),
            Supply::Cache(_) => Ok(()),
        }
    }

    fn client(&self, name: &str) -> Result<&Client> {
        match &self.supply {
            Supply::Hub(client) => Ok(*client),
            Supply::Cache(reason) => bail!(
                "{} is not in the cache, and {reason}; expected it to be fetched before: understudy \
                 fetch {}",
                self.shown(name),
                self.id
            ),
        }
    }

    fn fetch(&self, name: &str, url: String, metadata: &Metadata) -> Result<()> {
        let client = self.client(name)?;
        let shown = self.shown(name);
        let waiting = || {
            if !self.quiet {
                print_line(&format!("{shown}: another process fetches it; waiting"));
            }
        };
        let _locked = self.cache.lock(&metadata.etag, waiting)?;
        let blob = self.cache.blob(&metadata.etag);
        if !is_blob(&blob, metadata)? {
            let wanted = Wanted { name: shown, url, metadata };
            download(client, &wanted, &self.cache, self.quiet)?;
        }
        self.cache.link(&metadata.etag, &self.commit, name)
    }

    /// Whether the file is in the folder and is what its name says. A damaged one is told, and is an
    /// error where no other can be had.
    fn is_whole(&self, name: &str) -> Result<bool> {
        let path = self.folder().join(name);
        if !path.is_file() {
            return Ok(false);
        }
        let verdict = match etag_of(&path) {
            Some(etag) => check(&path, &etag)?,
            // No link, so it has no name of the hub's.
            None => Verdict::Unknown,
        };
        let reason = match (verdict, &self.supply) {
            (Verdict::Whole, _) | (Verdict::Unknown, Supply::Cache(_)) => return Ok(true),
            (Verdict::Unknown, Supply::Hub(client)) => {
                return self.is_as_the_hub_says(client, name, &path);
            }
            (Verdict::Damaged(reason), _) => reason,
        };
        let shown = path.display();
        if let Supply::Cache(why) = &self.supply {
            bail!(
                "{shown} is damaged: {reason}; expected the file that was fetched, and {why}: understudy \
                 fetch {} gets it again",
                self.id
            );
        }
        if !self.quiet {
            print_line(&format!("{shown} is damaged: {reason}; fetching it again"));
        }
        Ok(false)
    }

    /// As far as the hub says so: one that is not there now says nothing against what was fetched before.
    fn is_as_the_hub_says(&self, client: &Client, name: &str, path: &Path) -> Result<bool> {
        match self.metadata(client, name).1 {
            Ok(metadata) => is_blob(path, &metadata),
            Err(error) if error.downcast_ref().is_some_and(Fault::is_passing) => Ok(true),
            Err(error) => Err(self.explain(error, name)),
        }
    }

    /// The address of a file, and what the hub says of it.
    fn metadata(&self, client: &Client, name: &str) -> (String, Result<Metadata>) {
        let url = remote::file_url(client, &self.id, self.kind, &self.commit, name);
        let metadata = remote::metadata(client, &url);
        (url, metadata)
    }

    /// Why a file cannot be had, and what can be done.
    fn explain(&self, error: anyhow::Error, name: &str) -> anyhow::Error {
        let error = match (error.downcast::<Fault>(), &self.supply) {
            (Ok(fault), Supply::Hub(client)) if fault.is_gated() => {
                remote::explain(fault, &self.id, self.kind, client)
            }
            (Ok(fault), _) => fault.into(),
            (Err(error), _) => error,
        };
        error.context(format!("cannot fetch {}", self.shown(name)))
    }
}

/// Whether a file is there, as long as it should be and with the content it should have.
fn is_blob(path: &Path, metadata: &Metadata) -> Result<bool> {
    let right_size = fs::metadata(path).is_ok_and(|found| found.len() == metadata.size);
    Ok(right_size && !matches!(check(path, &metadata.etag)?, Verdict::Damaged(_)))
}

fn check(path: &Path, etag: &str) -> Result<Verdict> {
    verify(path, etag).with_context(|| format!("cannot read {}", path.display()))
}

/// Why a repository cannot be opened.
pub enum Refusal {
    /// The hub says so, or is not there.
    Fault(Fault),
    /// The hub is not asked, and nothing was fetched before.
    NotCached(String),
}

impl Refusal {
    /// Whether the hub said nothing of the repository.
    pub fn is_passing(&self) -> bool {
        matches!(self, Refusal::Fault(fault) if fault.is_passing())
    }
}

fn not_cached(settings: &Settings, id: &HubId, kind: Kind, by: &str) -> String {
    format!(
        "{} {id} is not in the cache {}, and the hub is not asked ({by}); expected it to be fetched \
         before: understudy fetch {id}",
        kind.name(),
        settings.cache.path().display()
    )
}

/// The files that make a model.
///
/// # Errors
///
/// A repository that holds none that can be read, and what to do.
pub fn model_files(snapshot: &Snapshot<'_>, with_weights: bool) -> Result<Vec<String>> {
    let has = |name: &str| snapshot.names.iter().any(|known| known == name);
    let id = &snapshot.id;
    ensure!(
        has("config.json"),
        snapshot_lacks(snapshot, "config.json", "a model of `transformers`")
    );
    let mut files = vec!["config.json"];
    if has("tokenizer.json") {
        files.push("tokenizer.json");
    } else {
        let expected = "tokenizer.json, or vocab.txt beside it";
        ensure!(has("vocab.txt"), snapshot_lacks(snapshot, "tokenizer", expected));
        files.push("vocab.txt");
        files.extend(Some("tokenizer_config.json").filter(|name| has(name)));
    }
    if with_weights {
        let weights = ["model.safetensors", "model.safetensors.index.json"];
        match weights.into_iter().find(|name| has(name)) {
            Some(name) => files.push(name),
            None if snapshot.names.iter().any(|name| name.starts_with("pytorch_model")) => bail!(
                "{id} has no model.safetensors, only pytorch_model.bin, a format whose reader runs code \
                 that is in it and which is therefore not read; expected safetensors: another revision \
                 ({0}@refs/pr/N, where the hub's page lists a conversion under its pull requests), or a \
                 folder written by transformers' save_pretrained",
                id.repo
            ),
            None => bail!(snapshot_lacks(snapshot, "model.safetensors", "the weights of a model")),
        }
    }
    Ok(files.into_iter().map(str::to_owned).collect())
}

fn snapshot_lacks(snapshot: &Snapshot<'_>, name: &str, expected: &str) -> String {
    match &snapshot.supply {
        Supply::Hub(_) => format!("{} has no {name}; expected {expected}", snapshot.id),
        Supply::Cache(reason) => format!(
            "{name} of {} is not in the cache, and {reason}; expected it to be fetched before: \
             understudy fetch {}",
            snapshot.id, snapshot.id
        ),
    }
}
