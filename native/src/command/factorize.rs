//! `factorize`: a model's token table becomes two thin matrices.

use anyhow::{Context, Result};
use burn::module::Module;
use serde_json::{Value, json};
use understudy_shared::checkpoint::bundle::{Bundle, to_files};
use understudy_shared::checkpoint::weights::{StoredAs, read_back};
use understudy_shared::compress::factorize::{Spectrum, factorize, with_random_factors};
use understudy_shared::compress::frequency::TokenCounts;
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::model::BertConfig;

use super::print;
use crate::bundle_dir::BundleDir;
use crate::chart::{Chart, Series, Stroke, standalone};
use crate::cli::FactorizeArgs;
use crate::hub::Hub;
use crate::progress::print_line;
use crate::report::FileHash;
use crate::text_file::TextFile;
use crate::{dataset, device, preset, store};

/// Sentences that are counted together.
const CHUNK: usize = 2048;

/// Factorises.
pub fn run(args: &FactorizeArgs) -> Result<()> {
    store::expect_new(&args.out)?;
    let hub = Hub::new(&args.common);
    let files = BundleDir::read(&hub.model(&args.model, true)?)?;
    let files = files.with_labels(args.labels.as_deref())?;
    let (bundle, is_tagger) = files.load_any(&device::device())?;
    let names_labels = || {
        let config: Value = serde_json::from_slice(&files.config).unwrap_or_default();
        config["id2label"].is_object()
    };
    if !is_tagger && !args.common.quiet && names_labels() {
        print_line(
            "its labels have no names, so it is written as an encoder, without its classifier; --labels FILE \
             names them",
        );
    }
    let before = bundle.num_params(is_tagger);
    let Bundle { model, config, labels, tokenizer } = bundle;
    let counted = count(args, &hub, &tokenizer, &config)?;
    let counts = counted.as_ref().map(|(counts, _)| counts);
    let factorized = pollster::block_on(factorize(model, &config, args.rank, counts));
    let (mut model, config, spectrum) =
        factorized.with_context(|| args.model.display().to_string())?;
    if args.random {
        model = with_random_factors(model, &config, args.common.seed);
    }
    let head = if is_tagger { 0 } else { model.classifier.num_params() };
    let after = model.num_params() - head;
    let labels = is_tagger.then_some(&labels);
    let tensors = pollster::block_on(read_back(&model));
    let written = to_files(&config, labels, &files.tokenizer, &tensors, StoredAs::F32)?;
    let mut report = json!({
        "rank": args.rank,
        "random": args.random,
        "parameters_before": before,
        "parameters_after": after,
        "singular_values": spectrum.singular_values,
        "source_sha256": files.weights_hash().sha256,
    });
    if let Some((counts, files)) = &counted {
        report["weighted_by"] =
            json!({ "tokens": counts.total(), "distinct": counts.distinct(), "files": files });
    }
    if !args.random {
        report["mass_kept"] = json!(spectrum.mass_kept);
        report["relative_error"] = json!(spectrum.relative_error);
    }
    let mut written = Vec::from(written);
    written.push(("factorization.json", serde_json::to_vec_pretty(&report)?));
    written.push(("spectrum.svg", spectrum_svg(&spectrum).into_bytes()));
    store::write_dir_atomic(&args.out, &written)?;
    if args.common.json {
        return print(&report.to_string());
    }
    let kept = match args.random {
        true => "random factors: nothing of the table is kept".to_owned(),
        false => format!(
            "{:.2} % of the singular values' mass kept, relative error {:.4}{}",
            100.0 * spectrum.mass_kept,
            spectrum.relative_error,
            match counts {
                None => ", each token of the vocabulary once".to_owned(),
                Some(counts) => format!(
                    ", over {} tokens of text, {} of them distinct",
                    counts.total(),
                    counts.distinct()
                ),
            }
        ),
    };
    print(&format!(
        "rank {}: {kept}\nparameters  {before} -> {after}\nmodel       {}\nspectrum    {}",
        args.rank,
        args.out.display(),
        args.out.join("spectrum.svg").display()
    ))
}

/// How often each token stands in the text to weigh by, if there is some, and its files.
fn count(
    args: &FactorizeArgs,
    hub: &Hub,
    tokenizer: &SubwordTokenizer,
    config: &BertConfig,
) -> Result<Option<(TokenCounts, Vec<FileHash>)>> {
    let (mut counts, mut files) = (TokenCounts::new(config.vocab_size), vec![]);
    if let Some(folder) = &args.data {
        let train = dataset::read_train(&hub.data(folder, dataset::files_of)?)?;
        for sentence in &train.sentences {
            let subwords = tokenizer.encode_words(&sentence.tokens)?;
            counts.add(tokenizer.frame(subwords.ids.into_iter()));
        }
        files.push(train.file);
    }
    let options = preset::window_options(None, config.max_position_embeddings)?;
    for path in &args.text {
        let text = TextFile::check(path)?;
        for examples in text.chunks(CHUNK, tokenizer, &options)? {
            counts.add(examples?.into_iter().flat_map(|example| example.input_ids));
        }
        files.push(text.file);
    }
    Ok((!files.is_empty()).then_some((counts, files)))
}

/// The singular values, largest first, and where they were cut.
fn spectrum_svg(spectrum: &Spectrum) -> String {
    let values = spectrum.singular_values.iter().enumerate();
    let points: Vec<(f64, f64)> =
        values.map(|(index, value)| ((index + 1) as f64, *value)).collect();
    let cut = points.get(spectrum.rank - 1).copied();
    standalone(&Chart {
        id: "spectrum",
        title: "Singular values of the token table".to_owned(),
        description: format!(
            "{} singular values in falling order; the first {} are kept, {:.1} % of their sum.",
            points.len(),
            spectrum.rank,
            100.0 * spectrum.mass_kept
        ),
        x_label: "number".to_owned(),
        y_label: "singular value".to_owned(),
        from_zero: true,
        series: vec![Series { label: String::new(), stroke: Stroke::Solid, points }],
        mark: cut.map(|(x, y)| (x, y, format!("rank {}", spectrum.rank))),
    })
}
