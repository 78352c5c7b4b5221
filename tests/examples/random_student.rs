//! Writes a student of the shape of the preset `best` with random weights, to measure speed and memory
//! with: 20 million parameters.
//!
//! ```sh
//! cargo run -p tests --example random_student -- OUT_FOLDER TOKENIZER.json
//! ```
//!
//! `TOKENIZER.json` is that of `bert-base-cased`.

use std::error::Error;
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use understudy_shared::checkpoint::bundle::to_files;
use understudy_shared::checkpoint::weights::{StoredAs, read_back};
use understudy_shared::data::label::LabelSet;
use understudy_shared::model::{BertConfig, TokenClassifier};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tokenizer] = arguments.as_slice() else {
        return Err("expected OUT_FOLDER TOKENIZER.json".into());
    };
    let config = BertConfig {
        num_hidden_layers: 4,
        intermediate_size: 1024,
        embedding_rank: Some(128),
        ..BertConfig::bert_base_cased()
    };
    let labels = LabelSet::conll2003();
    let model = TokenClassifier::init(&config, labels.len(), 1, &Device::flex());
    let tensors = pollster::block_on(read_back(&model));
    let tokenizer = fs::read(tokenizer)?;
    fs::create_dir_all(folder)?;
    for (name, bytes) in to_files(&config, Some(&labels), &tokenizer, &tensors, StoredAs::F32)? {
        fs::write(Path::new(folder).join(name), bytes)?;
    }
    Ok(())
}
