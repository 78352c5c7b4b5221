//! `evaluate`: the four scores of a model on a labelled file.

use anyhow::Result;
use serde_json::json;
use understudy_shared::metric::conlleval::predictions_conll;
use understudy_shared::train::evaluate::{DecodingScore, word_tags};

use super::{print, scores_json, scores_table};
use crate::bundle_dir::BundleDir;
use crate::cli::EvaluateArgs;
use crate::hub::Hub;
use crate::reading::Reading;
use crate::stop::Stopped;
use crate::{dataset, device, preset, shipped, store};

/// Evaluates.
pub fn run(args: &EvaluateArgs) -> Result<()> {
    let hub = Hub::new(&args.common);
    let labelled = dataset::read_scored(&hub, &args.data, args.split)?;
    let files = BundleDir::read(&shipped::student(&hub, args.model.as_deref())?)?;
    let files = files.with_labels(args.labels.as_deref())?;
    device::choose(args.device.device, args.common.quiet || args.common.json)?;
    let bundle = files.load(&device::device())?;
    let most = bundle.config.max_position_embeddings;
    let options = preset::window_options(args.max_length, most)?;
    let set = dataset::labelled_set(labelled, &bundle.tokenizer, &bundle.labels, &options)?;
    let decoding = preset::decoding(args.decoding);
    let how = Reading { label: "sentences", quiet: args.common.quiet, decoding };
    let (evaluation, speed) = device::retry(args.common.quiet, || {
        let read = how.read(&bundle.model, &bundle.labels, &set, bundle.config.pad_token_id);
        let stopped = || Stopped("stopped before the end; nothing was scored".to_owned());
        Ok(read.ok_or_else(stopped)?)
    })?;
    let subwords: usize = set.examples.iter().map(|example| example.input_ids.len()).sum();
    let seconds = subwords as f64 / speed;
    if let Some(path) = &args.predictions {
        let tags = word_tags(&evaluation.predictions, &bundle.labels);
        store::write_atomic(path, predictions_conll(&set.sentences, &tags).as_bytes())?;
    }
    let decodings = evaluation.decodings(&set, &bundle.labels);
    if args.common.json {
        let mut object = scores_json(&evaluation.scores);
        object["loss"] = json!(evaluation.loss);
        object["aggregation"] = json!(decoding.aggregation);
        object["constrained"] = json!(decoding.constrained);
        object["decoding"] = json!(decodings);
        object["seconds"] = json!(seconds);
        object["subwords_per_second"] = json!(speed);
        return print(&serde_json::to_string(&object)?);
    }
    print(&scores_table(&evaluation.scores))?;
    print(&format!("\n{}", decodings_table(&decodings)))?;
    print(&format!(
        "\n{} sentences, {} words, {subwords} sub-words in {seconds:.1} s: {speed:.0} sub-words/s on {}",
        evaluation.scores.sentences,
        evaluation.scores.words,
        device::name()
    ))
}

/// F1 by aggregation, without and with the constraint.
fn decodings_table(scores: &[DecodingScore]) -> String {
    let mut text = format!("{:<20}{:>10}{:>10}", "F1 by decoding", "free", "BIO only");
    for pair in scores.chunks(2) {
        text += &format!("\n  {:<18}", pair[0].decoding.aggregation.name());
        pair.iter().for_each(|score| text += &format!("{:>10.4}", score.f1));
    }
    text
}
