//! `finetune`: an encoder and labelled text make a teacher.

use anyhow::Result;
use burn::tensor::Device;
use understudy_shared::checkpoint::bundle::{Bundle, check_vocabulary};
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::model::{BertConfig, TokenClassifier};
use understudy_shared::train::plan::total_steps;
use understudy_shared::train::source::InMemory;
use understudy_shared::train::trainee::Trainee;

use crate::bundle_dir::BundleDir;
use crate::cli::FinetuneArgs;
use crate::dataset::{self, Splits};
use crate::hub::Hub;
use crate::runner::{self, Job, Settings};
use crate::store::RunFolder;
use crate::{device, preset};

/// Fine-tunes.
pub fn run(args: &FinetuneArgs) -> Result<()> {
    let mut config = preset::finetune(&args.train)?;
    RunFolder::check(&args.out, args.train.resume)?;
    let hub = Hub::for_run(&args.train.common, &args.out, args.train.resume)?;
    let base = hub.model(&args.base, !args.from_scratch)?;
    let data = hub.data(&args.data, dataset::files_of)?;
    let mut splits = dataset::read_splits(&data)?;
    dataset::augment(&mut splits.train, args.train.mention_copies, args.train.common.seed)?;
    let files = match args.from_scratch {
        true => BundleDir::read_without_weights(&base)?,
        false => BundleDir::read(&base)?,
    };
    device::choose(args.train.device.device, args.train.common.quiet)?;
    let bundle = load(args, &files, &splits, &device::device().autodiff())?;
    let options = preset::example_options(&args.train, bundle.config.max_position_embeddings)?;
    let mut inputs = runner::split_files(&splits);
    inputs.extend(files.hashes());
    let runner::Prepared { train, dev, test } =
        runner::prepare(splits, &bundle.tokenizer, &bundle.labels, &options)?;
    let train = InMemory::new(train, None);
    if args.train.warmup_steps.is_none() {
        // The reference's 1000 steps would never end on a small text.
        let steps = total_steps(&config, &train);
        config.warmup_steps = if steps < 2000 { steps / 10 } else { 1000 };
    }
    let settings = Settings {
        description: format!("teacher: {}", runner::describe(&bundle.config)),
        init: if args.from_scratch { "random" } else { "pretrained" },
        out: &args.out,
        args: &args.train,
        config,
        options,
        model_config: bundle.config,
        labels: bundle.labels,
        inputs,
        origins: [base.origin, data.origin].into_iter().flatten().collect(),
    };
    let job = Job {
        folder: settings.open()?,
        settings,
        tokenizer: &files.tokenizer,
        mask_token_id: bundle.tokenizer.mask_id(),
        train: &train,
        teacher: None,
        dev,
        test,
        compared: None,
    };
    runner::train(job, Trainee::new(bundle.model))?.announce(None)
}

fn load(
    args: &FinetuneArgs,
    files: &BundleDir,
    splits: &Splits,
    device: &Device,
) -> Result<Bundle> {
    let mut labelled = vec![&splits.train, &splits.valid];
    labelled.extend(&splits.test);
    let labels = dataset::labels_of(&labelled)?;
    let seed = args.train.common.seed;
    if !args.from_scratch {
        return files.load_base(labels, seed, device);
    }
    let (config, _) = BertConfig::parse_without_labels(&files.config)?;
    let tokenizer = SubwordTokenizer::from_bytes(&files.tokenizer)?;
    check_vocabulary(&tokenizer, &config)?;
    let model = device::place(TokenClassifier::init(&config, labels.len(), seed, device));
    Ok(Bundle { config, labels, tokenizer, model })
}
