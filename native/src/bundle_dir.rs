//! A bundle on disk: configuration, tokenizer and weights, which belong together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use understudy_shared::checkpoint::bundle::{Bundle, BundleError, BundleFiles};
use understudy_shared::data::label::LabelSet;

use crate::dataset::hash;
use crate::device;
use crate::report::FileHash;
use crate::store;

/// The bytes of a bundle's files, and where they are from.
#[derive(Debug)]
pub struct BundleDir {
    folder: PathBuf,
    /// `config.json`
    pub config: Vec<u8>,
    /// `tokenizer.json`
    pub tokenizer: Vec<u8>,
    /// `model.safetensors`; empty where it was not asked for.
    pub weights: Vec<u8>,
}

impl BundleDir {
    /// Reads a folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub fn read(folder: &Path) -> Result<Self> {
        Self::read_parts(folder, true)
    }

    /// Reads `config.json` and `tokenizer.json` alone.
    pub fn read_without_weights(folder: &Path) -> Result<Self> {
        Self::read_parts(folder, false)
    }

    fn read_parts(folder: &Path, with_weights: bool) -> Result<Self> {
        store::recover_dir(folder)?;
        if !folder.is_dir() {
            bail!(
                "{}: no such folder; expected a folder with config.json, tokenizer.json and \
                 model.safetensors",
                folder.display()
            );
        }
        let weights = match with_weights {
            true => store::read(&folder.join("model.safetensors"))?,
            false => Vec::new(),
        };
        Ok(Self {
            config: store::read(&folder.join("config.json"))?,
            tokenizer: store::read(&folder.join("tokenizer.json"))?,
            weights,
            folder: folder.to_path_buf(),
        })
    }

    fn files(&self) -> BundleFiles<'_> {
        BundleFiles { config: &self.config, tokenizer: &self.tokenizer, weights: &self.weights }
    }

    /// A fine-tuned tagger.
    pub fn load(&self, device: &Device) -> Result<Bundle> {
        let bundle = Bundle::load(&self.files(), device);
        self.placed(bundle)
    }

    /// The files of a bundle that is not on disk yet.
    pub fn of_parts(folder: &Path, config: &[u8], tokenizer: &[u8], weights: &[u8]) -> Self {
        let (config, tokenizer, weights) = (config.to_vec(), tokenizer.to_vec(), weights.to_vec());
        Self { folder: folder.to_path_buf(), config, tokenizer, weights }
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
        self.folder.join(name)
    }

    /// An encoder with a new head.
    pub fn load_base(&self, labels: LabelSet, seed: u64, device: &Device) -> Result<Bundle> {
        let bundle = Bundle::load_base(&self.files(), labels, seed, device);
        self.placed(bundle)
    }

    fn placed(&self, bundle: Result<Bundle, BundleError>) -> Result<Bundle> {
        let bundle = bundle.with_context(|| self.folder.display().to_string())?;
        Ok(Bundle { model: device::place(bundle.model), ..bundle })
    }

    /// Name and hash of the weights.
    pub fn weights_hash(&self) -> FileHash {
        hash(&self.folder.join("model.safetensors"), &self.weights, None)
    }

    /// Name and hash of every file that was read.
    pub fn hashes(&self) -> Vec<FileHash> {
        let file = |name: &str, bytes: &[u8]| hash(&self.folder.join(name), bytes, None);
        let mut hashes =
            vec![file("config.json", &self.config), file("tokenizer.json", &self.tokenizer)];
        if !self.weights.is_empty() {
            hashes.push(self.weights_hash());
        }
        hashes
    }
}
