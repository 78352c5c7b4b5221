//! `label`: a teacher's logits over text, into the cache that `distill` reads; in parts, so that many
//! machines can share the work.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use understudy_shared::data::example::{labelled_examples, unlabelled_examples};

use super::print;
use crate::bundle_dir::BundleDir;
use crate::cli::LabelArgs;
use crate::labelling::Labelling;
use crate::{dataset, device, preset};

/// Labels.
pub fn run(args: &LabelArgs) -> Result<()> {
    ensure!(
        args.data.is_some() || !args.text.is_empty(),
        "nothing to label: expected --data DIR or --text FILE"
    );
    let files = BundleDir::read(&args.teacher)?;
    let teacher = files.load(&device::device())?;
    let most = teacher.config.max_position_embeddings;
    let options = preset::window_options(args.max_length, most)?;
    let mut sources = Vec::new();
    if let Some(folder) = &args.data {
        let train = dataset::read_train(folder)?;
        let examples =
            labelled_examples(&train.sentences, &teacher.tokenizer, &teacher.labels, &options);
        sources.push(examples.with_context(|| train.file.path)?);
    }
    for path in &args.text {
        let (texts, _) = dataset::read_unlabelled(path)?;
        let examples = unlabelled_examples(&texts, &teacher.tokenizer, &options);
        sources.push(examples.with_context(|| path.display().to_string())?);
    }
    let labelling = Labelling::new(args.cache.as_deref(), &files, &teacher, args.common.quiet)?;
    let sources: Vec<&[_]> = sources.iter().map(Vec::as_slice).collect();
    let mut subwords = 0;
    let counts = labelling.label(&sources, args.shard, |logits| subwords += logits.subwords())?;
    let (number, count) = (args.shard.index + 1, args.shard.count);
    ensure!(
        counts.found + counts.kept == counts.chunks,
        "the logits could not be kept in {}; expected a folder that can be written",
        labelling.folder().display()
    );
    if args.common.json {
        let report = json!({
            "shard": number, "shards": count, "chunks": counts.chunks, "found": counts.found,
            "subwords": subwords, "cache": labelling.folder(),
        });
        return print(&report.to_string());
    }
    print(&format!(
        "part {number} of {count}: {subwords} sub-words in {} chunks, {} of them there before\n\
         cache  {}",
        counts.chunks,
        counts.found,
        labelling.folder().display()
    ))
}
