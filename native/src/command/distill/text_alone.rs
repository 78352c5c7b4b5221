//! A distillation without labelled text: it is measured by the teacher, on text that is held out.

use anyhow::{Result, ensure};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::data::example::ExampleOptions;
use understudy_shared::infer::decode::Decoding;
use understudy_shared::train::evaluate::LabelledSet;

use crate::device;
use crate::reading::Reading;
use crate::stop::Stopped;
use crate::text_file::TextFile;

/// Takes the end of each text of 10 sentences or more away and has the teacher tag it; and how many
/// sub-words the teacher reads in a second.
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
        "{found} sentences of text, and no --data: expected a text of 10 or more, of which one can be \
         held out"
    );
    // Scores are over all sub-words whatever the training ignores.
    let options = ExampleOptions { continuation: Default::default(), ..*options };
    let set = LabelledSet::unlabelled(&sentences, tokenizer, labels, &options)?;
    let (evaluation, speed) = device::retry(quiet, || {
        let how = Reading { label: "teacher, held-out text", quiet, decoding: Decoding::default() };
        let read = how.read(model, labels, &set, config.pad_token_id);
        Ok(read.ok_or_else(|| Stopped("stopped before the run began".to_owned()))?)
    })?;
    let found = evaluation.predictions.iter().flat_map(|sentence| &sentence.words);
    ensure!(
        found.clone().any(|word| labels.name(word.label) != "O"),
        "the teacher finds no entity in the {} sentences that are held out of the text, so nothing can be \
         measured: expected more text, or text with entities at its end",
        set.sentences.len()
    );
    let set = set.labelled_by(&evaluation.predictions, tokenizer, labels, &options)?;
    Ok((set, speed))
}
