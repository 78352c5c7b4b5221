//! `label`: a teacher's logits over text, into the cache that `distill` reads; in parts, so that many
//! machines can share the work.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use understudy_shared::data::example::labelled_examples;

use super::print;
use crate::bundle_dir::BundleDir;
use crate::cli::LabelArgs;
use crate::hub::Hub;
use crate::labelling::{Labelling, sentences};
use crate::text_file::TextFile;
use crate::{dataset, device, preset};

/// Labels.
pub fn run(args: &LabelArgs) -> Result<()> {
    ensure!(
        args.data.is_some() || !args.text.is_empty(),
        "nothing to label: expected --data DIR or --text FILE"
    );
    let hub = Hub::new(&args.common);
    let files = BundleDir::read(&hub.model(&args.teacher, true)?)?;
    let files = files.with_labels(args.labels.as_deref())?;
    device::choose(args.device.device, args.common.quiet)?;
    let teacher = files.load(&device::device())?;
    let most = teacher.config.max_position_embeddings;
    let options = preset::window_options(args.max_length, most)?;
    let texts = args.text.iter().map(|path| TextFile::check(path)).collect::<Result<Vec<_>>>()?;
    let examples = match &args.data {
        Some(folder) => {
            let mut train = dataset::read_train(&hub.data(folder, dataset::files_of)?)?;
            dataset::augment(&mut train, args.mention_copies, args.common.seed)?;
            let (tokenizer, labels) = (&teacher.tokenizer, &teacher.labels);
            labelled_examples(&train.sentences, tokenizer, labels, &options)
                .with_context(|| train.file.path)?
        }
        None => vec![],
    };
    let all = sentences(&examples) + texts.iter().map(|text| text.sentences).sum::<usize>();
    let (cache, quiet) = (args.cache.as_deref(), args.common.quiet);
    let mut labelling = Labelling::new(cache, &files, &teacher, args.shard, (all, quiet))?;
    labelling = labelling.or_fail();
    let mut subwords = labelling.label(&examples)?.subwords();
    for text in &texts {
        labelling
            .label_text(text, &options, |_, labelled| subwords += labelled.logits.subwords())?;
    }
    let counts = labelling.counts();
    let (number, count) = (args.shard.index + 1, args.shard.count);
    if args.common.json {
        let report = json!({
            "shard": number, "shards": count, "chunks": counts.chunks, "found": counts.found,
            "subwords": subwords, "cache": labelling.folder().display().to_string(),
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
