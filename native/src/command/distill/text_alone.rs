//! A distillation without labelled text: it is measured by the teacher, on text that is held out.

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::data::example::ExampleOptions;
use understudy_shared::infer::decode::Decoding;
use understudy_shared::train::evaluate::{LabelledSet, evaluate};

use crate::cli::{DistillArgs, DtypeName, ExportArgs};
use crate::command::{export, print};
use crate::progress::Progress;
use crate::text_file::TextFile;
use crate::{device, runner, shipped};

/// Takes the end of each text away and has the teacher tag it; and how many sub-words it reads in a
/// second.
///
/// # Errors
///
/// So little text that nothing can be held out, or an interruption.
pub fn held_out(
    texts: &mut [TextFile],
    teacher: &Bundle,
    options: &ExampleOptions,
    quiet: bool,
) -> Result<(LabelledSet, f64)> {
    let Bundle { tokenizer, labels, model, config } = teacher;
    let mut sentences = Vec::new();
    for text in &mut *texts {
        sentences.extend(text.hold_out()?);
    }
    let found: usize = texts.iter().map(|text| text.sentences).sum();
    ensure!(
        !sentences.is_empty(),
        "{found} sentences of text, and no --data: expected 10 or more, of which one can be held out"
    );
    // Scores are over all sub-words whatever the training ignores.
    let options = ExampleOptions { continuation: Default::default(), ..*options };
    let set = LabelledSet::unlabelled(&sentences, tokenizer, labels, &options)?;
    let subwords: usize = set.examples.iter().map(|example| example.input_ids.len()).sum();
    let stop = runner::stop_flag();
    let (evaluation, seconds) = device::retry(quiet, || {
        let mut progress = Progress::count(quiet, "teacher reads held-out", set.examples.len());
        let model = model.clone().with_feed(device::feed());
        let start = Instant::now();
        let advance = |subwords| {
            progress.advance(1, subwords);
            !stop.load(Ordering::Relaxed)
        };
        let (pad, decoding) = (config.pad_token_id, Decoding::default());
        let evaluation = pollster::block_on(evaluate(&model, labels, &set, pad, decoding, advance));
        let evaluation = evaluation.context("stopped before the run began")?;
        Ok((evaluation, start.elapsed().as_secs_f64()))
    })?;
    let set = set.labelled_by(&evaluation.predictions, tokenizer, labels, &options)?;
    Ok((set, subwords as f64 / seconds))
}

/// Puts the finished student beside the models that ship, in eight bits, where the page lists it.
pub fn show(args: &DistillArgs) -> Result<()> {
    let Some(models) = shipped::folder() else { return Ok(()) };
    let name = args.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = (1..).map(|number| match number {
        1 => format!("my-{name}"),
        _ => format!("my-{name}-{number}"),
    });
    let mut folders = names.map(|name| models.join(name)).filter(|folder| !folder.exists());
    let folder = folders.next().expect("numbers do not end");
    // The manifest beside it lists it from then on.
    let report = export::write(&ExportArgs {
        model: args.out.join(runner::BEST),
        labels: None,
        dtype: DtypeName::Int8,
        dense: false,
        data: None,
        trained_on: Some(
            "The text and the teacher it learned from stand above; it is under their licences too."
                .to_owned(),
        ),
        out: folder.clone(),
        common: args.train.common.clone(),
    })?;
    if args.train.common.json {
        return Ok(());
    }
    let megabytes = report["size_bytes"].as_f64().unwrap_or(0.0) / 1e6;
    print(&format!(
        "page    {} ({megabytes:.1} MB in eight bits): `trunk serve` shows it",
        folder.display()
    ))
}
