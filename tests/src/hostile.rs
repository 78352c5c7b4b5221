//! What must hold whatever bytes come in: nothing panics, nothing hangs, and what is let through is
//! sound. `fuzz/` looks for bytes that break it; what it found stays in `fuzz/corpus/` and is tried by
//! the ordinary tests.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::tensor::Device;
use understudy_shared::checkpoint::bundle::{Bundle, BundleFiles};
use understudy_shared::checkpoint::shards::{merge, shard_names};
use understudy_shared::checkpoint::weights::{Head, load};
use understudy_shared::data::conll::{Sentence, read_conll};
use understudy_shared::data::jsonl::read_jsonl;
use understudy_shared::data::label::{LabelSet, Tag};
use understudy_shared::data::label_file::read_labels;
use understudy_shared::data::text::read_text;
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::data::vocabulary::tokenizer_json;
use understudy_shared::infer::chunk::ChunkLayout;
use understudy_shared::infer::tagger::{TagOptions, tag};
use understudy_shared::model::BertConfig;
use understudy_shared::train::state::Checkpoint;
use web::json::{Json, Wire};
use web::manifest::Manifest;
use web::protocol::{Request, Response};
use web::tar;

/// A target: its name, which is that of its corpus, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("conll", conll),
    ("jsonl", jsonl),
    ("tokenizer", tokenizer),
    ("config", config),
    ("safetensors", safetensors),
    ("bundle", bundle),
    ("protocol", protocol),
];

/// Texts with all that is awkward to count in.
const TEXTS: [&str; 4] =
    ["Ralville coach Puthgayn Seskak spoke.", "né 東京 👍🏽\u{200d}a", "  ", "a\u{301}\0B"];

static TEACHER: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let folder = repository().join("tests/fixtures/models/tiny-teacher");
    ["config.json", "tokenizer.json", "model.safetensors"]
        .map(|name| std::fs::read(folder.join(name)).expect("the repository's toy"))
});

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What holds for all sentences that a reader lets through.
///
/// # Panics
///
/// Where it does not hold.
pub fn check_sentences(sentences: &[Sentence]) {
    assert!(!sentences.is_empty());
    for Sentence { tokens, tags } in sentences {
        assert_eq!(tokens.len(), tags.len());
        assert!(!tokens.is_empty() && tokens.iter().all(|token| !token.trim().is_empty()));
        let mut open = None;
        for tag in tags {
            let tag = Tag::parse(tag).expect("a reader lets only tags through");
            if let Tag::Inside(entity_type) = tag {
                assert_eq!(open, Some(entity_type), "`I-` continues an entity in BIO");
            }
            open = tag.entity_type();
        }
    }
    let tags = sentences.iter().flat_map(|sentence| &sentence.tags);
    LabelSet::from_tags(tags.map(String::as_str)).expect("tags of a file make a label set");
}

/// Columns, and plain text, which is read line by line as they are.
///
/// # Panics
///
/// Where a reader lets through what is unsound, as all of these.
pub fn conll(bytes: &[u8]) {
    if let Ok(sentences) = read_conll(bytes) {
        check_sentences(&sentences);
    }
    if let Ok(sentences) = read_text(bytes) {
        assert!(!sentences.is_empty());
        assert!(sentences.iter().all(|line| !line.is_empty() && line.trim() == line));
    }
    if let Ok(labels) = read_labels(bytes) {
        assert!(labels.len() > 1, "{:?}", labels.names());
    }
}

/// JSON lines.
///
/// # Panics
///
/// As [`conll`].
pub fn jsonl(bytes: &[u8]) {
    if let Ok(sentences) = read_jsonl(bytes) {
        check_sentences(&sentences);
    }
}

/// `tokenizer.json`, and `vocab.txt` of older models.
///
/// # Panics
///
/// As [`conll`].
pub fn tokenizer(bytes: &[u8]) {
    if let Ok(tokenizer) = SubwordTokenizer::from_bytes(bytes) {
        check_tokenizer(&tokenizer);
    }
    if let Ok(json) = tokenizer_json(bytes, None) {
        let tokenizer = SubwordTokenizer::from_bytes(&json).expect("ours");
        check_tokenizer(&tokenizer);
    }
    drop(tokenizer_json(&TEACHER[1][..0], Some(bytes)));
}

/// Words and sub-words lie in their text, whatever the tokenizer makes of it.
fn check_tokenizer(tokenizer: &SubwordTokenizer) {
    for text in TEXTS {
        let Ok((subwords, words)) = tokenizer.encode_text(text) else { continue };
        for (start, end) in words.iter().chain(&subwords.offsets) {
            assert!(text.get(*start..*end).is_some(), "{start}..{end} of {text:?}");
        }
        assert!(subwords.ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
        assert!(subwords.word_ids.iter().all(|word| *word < words.len()));
        drop(tokenizer.encode_words(&[text.to_owned(), "x".to_owned()]));
    }
}

/// `config.json`.
///
/// # Panics
///
/// As [`conll`].
pub fn config(bytes: &[u8]) {
    if let Ok((config, labels)) = BertConfig::parse(bytes) {
        config.check().expect("what is parsed is sound");
        assert!(labels.is_none_or(|labels| labels.len() > 1));
    }
    drop(BertConfig::parse_without_labels(bytes));
}

/// Weights, their parts, checkpoints and chunks of logits: all that is safetensors.
///
/// # Panics
///
/// As [`conll`].
pub fn safetensors(bytes: &[u8]) {
    let (small, labels) = BertConfig::parse(&TEACHER[0]).expect("the toy's");
    let labels = labels.expect("the toy's").len();
    for head in [Head::Trained, Head::New { seed: 0 }] {
        drop(load(bytes, &small, labels, head, &Device::flex()));
    }
    drop(Checkpoint::from_bytes(bytes));
    drop(ChunkLayout::of(bytes));
    if let Ok(names) = shard_names(bytes) {
        assert!(names.iter().all(|name| !name.contains(['/', '\\'])), "{names:?}");
        drop(merge(bytes, &[]));
    }
}

/// A bundle of the toy's files, of which one is these bytes, or all three are, cut in three.
///
/// # Panics
///
/// As [`conll`].
pub fn bundle(bytes: &[u8]) {
    let [config, tokenizer, weights] = TEACHER.each_ref().map(Vec::as_slice);
    let third = bytes.len() / 3;
    let (head, rest) = bytes.split_at(third);
    for (config, tokenizer, weights) in [
        (bytes, tokenizer, weights),
        (config, bytes, weights),
        (config, tokenizer, bytes),
        (head, &rest[..third], &rest[third..]),
    ] {
        let files = BundleFiles { config, tokenizer, weights };
        if let Ok(bundle) = Bundle::load(&files, &Device::flex()) {
            let texts = TEXTS.map(str::to_owned);
            let tagged = pollster::block_on(tag(&bundle, &texts, TagOptions::default()));
            for (text, entities) in texts.iter().zip(tagged.into_iter().flatten()) {
                for entity in entities {
                    assert!(text.get(entity.start_byte..entity.end_byte).is_some());
                }
            }
        }
    }
}

/// Messages between page and worker, the list of models, and the head of an archive.
///
/// # Panics
///
/// As [`conll`]; and where the page's reader and `serde`, which the workers use, disagree.
pub fn protocol(bytes: &[u8]) {
    drop(tar::read(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    drop(Manifest::parse(text));
    // What a worker writes the page reads as the same.
    if let Ok(response) = serde_json::from_str::<Response>(text) {
        let written = serde_json::to_string(&response).expect("plain data");
        let read = Json::parse(&written).ok().and_then(Response::from_json);
        assert_eq!(read.as_ref(), Some(&response), "{text}");
    }
    // And the other way round.
    if let Some(request) = Json::parse(text).ok().and_then(Request::from_json) {
        let written = request.to_json().to_line();
        let read = serde_json::from_str::<Request>(&written).ok();
        assert_eq!(read.as_ref(), Some(&request), "{text}");
    }
}
