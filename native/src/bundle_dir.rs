//! A bundle on disk: configuration, tokenizer and weights, which belong together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use understudy_shared::checkpoint::bundle::{Bundle, BundleError, BundleFiles};
use understudy_shared::checkpoint::shards::{merge, shard_names};
use understudy_shared::data::label::LabelSet;
use understudy_shared::data::label_file::read_labels;
use understudy_shared::data::vocabulary::tokenizer_json;

use crate::device;
use crate::hub::Source;
use crate::report::FileHash;
use crate::store;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The bytes of a bundle's files, and where they are from.
#[derive(Debug)]
pub struct BundleDir {
    source: Source,
    /// `config.json`
    pub config: Vec<u8>,
    /// `tokenizer.json`, or what is made of an older model's `vocab.txt`.
    pub tokenizer: Vec<u8>,
    /// `model.safetensors`, or what its parts make together; empty where it was not asked for.
    pub weights: Vec<u8>,
    /// The names of the labels that were given beside the model.
    labels: Option<LabelSet>,
    /// What was read, in that order.
    read: Vec<FileHash>,
}

impl BundleDir {
    /// Reads a folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub fn read(source: &Source) -> Result<Self> {
        Self::read_parts(source, true)
    }

    /// Reads `config.json` and `tokenizer.json` alone.
    pub fn read_without_weights(source: &Source) -> Result<Self> {
        Self::read_parts(source, false)
    }

    fn read_parts(source: &Source, with_weights: bool) -> Result<Self> {
        store::recover_dir(&source.folder)?;
        if !source.folder.is_dir() {
            bail!(
                "{}: no such folder; expected a folder with config.json, tokenizer.json and \
                 model.safetensors",
                source.folder.display()
            );
        }
        let mut dir = Self::empty(source.clone());
        dir.config = dir.take("config.json")?;
        dir.tokenizer = dir.take_tokenizer()?;
        if with_weights {
            dir.weights = dir.take_weights()?;
        }
        Ok(dir)
    }

    fn empty(source: Source) -> Self {
        let (config, tokenizer, weights) = (Vec::new(), Vec::new(), Vec::new());
        Self { source, config, tokenizer, weights, labels: None, read: Vec::new() }
    }

    /// Reads a file and remembers its hash.
    fn take(&mut self, name: &str) -> Result<Vec<u8>> {
        let path = self.file(name);
        let bytes = store::read(&path)?;
        let (path, sha256) = (self.source.shown(&path), store::sha256_hex(&bytes));
        self.read.push(FileHash { path, sha256, sentences: None });
        Ok(bytes)
    }

    fn take_weights(&mut self) -> Result<Vec<u8>> {
        let has = |name: &str| self.file(name).is_file();
        if !has(WEIGHTS) && has(INDEX) {
            let index = self.take(INDEX)?;
            let context = self.source.folder.display().to_string();
            let names = shard_names(&index).with_context(|| context.clone())?;
            let shards = names.into_iter().map(|name| Ok((name.clone(), self.take(&name)?)));
            let shards = shards.collect::<Result<Vec<_>>>()?;
            return merge(&index, &shards).context(context);
        }
        if !has(WEIGHTS) && has("pytorch_model.bin") {
            bail!(
                "{}: no model.safetensors, only pytorch_model.bin, a format whose reader runs code that \
                 is in it and which is therefore not read; expected safetensors, as transformers' \
                 save_pretrained writes them",
                self.source.folder.display()
            );
        }
        self.take(WEIGHTS)
    }

    fn take_tokenizer(&mut self) -> Result<Vec<u8>> {
        let has = |name: &str| self.file(name).is_file();
        if has("tokenizer.json") || !has("vocab.txt") {
            return self.take("tokenizer.json");
        }
        let settings = has("tokenizer_config.json").then(|| self.take("tokenizer_config.json"));
        let settings = settings.transpose()?;
        let vocabulary = self.take("vocab.txt")?;
        tokenizer_json(&vocabulary, settings.as_deref())
            .with_context(|| self.source.folder.display().to_string())
    }

    /// With the names of its labels from a file, whatever its configuration calls them.
    pub fn with_labels(mut self, file: Option<&Path>) -> Result<Self> {
        if let Some(path) = file {
            let bytes = store::read(path)?;
            let labels = read_labels(&bytes).with_context(|| path.display().to_string())?;
            self.labels = Some(labels);
            let (path, sha256) = (path.display().to_string(), store::sha256_hex(&bytes));
            self.read.push(FileHash { path, sha256, sentences: None });
        }
        Ok(self)
    }

    fn files(&self) -> BundleFiles<'_> {
        BundleFiles { config: &self.config, tokenizer: &self.tokenizer, weights: &self.weights }
    }

    /// A fine-tuned tagger.
    pub fn load(&self, device: &Device) -> Result<Bundle> {
        let bundle = match &self.labels {
            Some(labels) => Bundle::load_with_labels(&self.files(), labels.clone(), device),
            None => Bundle::load(&self.files(), device),
        };
        self.placed(bundle)
    }

    /// The files of a bundle that is not on disk yet.
    pub fn of_parts(folder: &Path, config: &[u8], tokenizer: &[u8], weights: &[u8]) -> Self {
        let (config, tokenizer, weights) = (config.to_vec(), tokenizer.to_vec(), weights.to_vec());
        Self { config, tokenizer, weights, ..Self::empty(Source::local(folder)) }
    }

    /// A tagger, or an encoder with a head of no meaning; whether it is a tagger.
    pub fn load_any(&self, device: &Device) -> Result<(Bundle, bool)> {
        match self.load(device) {
            Ok(bundle) => Ok((bundle, true)),
            Err(error) if matches!(error.downcast_ref(), Some(BundleError::NoLabels)) => {
                Ok((self.load_base(LabelSet::conll2003(), 0, device)?, false))
            }
            Err(error) => Err(error),
        }
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.source.folder.join(name)
    }

    /// An encoder with a new head.
    pub fn load_base(&self, labels: LabelSet, seed: u64, device: &Device) -> Result<Bundle> {
        let bundle = Bundle::load_base(&self.files(), labels, seed, device);
        self.placed(bundle)
    }

    fn placed(&self, bundle: Result<Bundle, BundleError>) -> Result<Bundle> {
        let bundle = bundle.with_context(|| self.source.folder.display().to_string())?;
        Ok(Bundle { model: device::place(bundle.model), ..bundle })
    }

    /// Name and hash of the weights, of those in several files that of what they make together.
    pub fn weights_hash(&self) -> FileHash {
        let path = self.source.shown(&self.file(WEIGHTS));
        FileHash { path, sha256: store::sha256_hex(&self.weights), sentences: None }
    }

    /// Name and hash of every file that was read.
    pub fn hashes(&self) -> Vec<FileHash> {
        self.read.clone()
    }
}
