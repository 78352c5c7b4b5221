//! What a command line means: each flag, else the preset's value.

use anyhow::{Result, anyhow, ensure};
use understudy_shared::data::align::Continuation;
use understudy_shared::data::batch::BatchBudget;
use understudy_shared::data::example::ExampleOptions;
use understudy_shared::infer::decode::{Aggregation, Decoding};
use understudy_shared::loss::objective::{Combination, Objective, SoftReduction};
use understudy_shared::model::BertConfig;
use understudy_shared::train::adamw::AdamWConfig;
use understudy_shared::train::config::TrainConfig;

use crate::cli::{
    AggregationName, ContinuationName, DecodingArgs, DistillArgs, InitName, SoftReductionName,
    TrainArgs,
};

/// The reference's fine-tuning of its teacher: lr 5e-5, batch 32, 5 epochs, clip 3, weight decay
/// 1e-6 on everything, 1000 warm-up steps.
pub fn finetune(args: &TrainArgs) -> Result<TrainConfig> {
    resolve(args, Objective::hard(), Defaults { epochs: 5, learning_rate: 5e-5 })
}

/// The settings of a distillation.
pub fn distill(args: &DistillArgs) -> Result<TrainConfig> {
    let combination = match args.plain_sum {
        true => Combination::Sum,
        false => Combination::Weighted { alpha: args.alpha.unwrap_or(0.5) },
    };
    let alphas = [("--alpha", args.alpha), ("--final-alpha", args.final_alpha)];
    for (flag, alpha) in alphas.into_iter().filter_map(|(flag, alpha)| Some((flag, alpha?))) {
        ensure!((0.0..=1.0).contains(&alpha), "{flag} {alpha}: expected a number from 0 to 1");
    }
    ensure!(
        args.final_alpha.is_none() || !args.plain_sum,
        "--final-alpha with --plain-sum: expected one of them, for the plain sum has no share"
    );
    let temperature = args.temperature.unwrap_or(2.0);
    let last = args.final_temperature.unwrap_or(temperature);
    for (flag, temperature) in [("--temperature", temperature), ("--final-temperature", last)] {
        ensure!(
            temperature.is_finite() && temperature > 0.0,
            "{flag} {temperature}: expected a number above 0"
        );
    }
    let soft_reduction = match args.soft_reduction {
        Some(SoftReductionName::Batchmean) => SoftReduction::BatchMean,
        Some(SoftReductionName::Counted) | None => SoftReduction::CountedMean,
    };
    let numbers = [("--hidden-weight", args.hidden_weight), ("--text-ratio", args.text_ratio)];
    for (flag, number) in numbers.into_iter().filter_map(|(flag, number)| Some((flag, number?))) {
        ensure!((0.0..=1e4).contains(&number), "{flag} {number}: expected 0 to 10000");
    }
    let objective = Objective {
        combination,
        temperature,
        soft_reduction,
        final_alpha: args.final_alpha,
        final_temperature: args.final_temperature,
        hidden_weight: args.hidden_weight.unwrap_or(0.0),
    };
    let defaults = Defaults { epochs: 10, learning_rate: 3e-4 };
    let config = resolve(&args.train, objective, defaults)?;
    Ok(TrainConfig { text_ratio: args.text_ratio, ..config })
}

/// The student that the flags describe, with the teacher's vocabulary; what it
/// takes of the teacher's weights has the teacher's sizes.
pub fn student(args: &DistillArgs, teacher: &BertConfig) -> Result<BertConfig> {
    let mut default = BertConfig::reference_student();
    if matches!(args.init, Some(InitName::Embeddings | InitName::Layers)) {
        default.max_position_embeddings = teacher.max_position_embeddings;
        default.type_vocab_size = teacher.type_vocab_size;
    }
    if args.init == Some(InitName::Layers) {
        default.hidden_size = teacher.hidden_size;
        default.num_attention_heads = teacher.num_attention_heads;
        default.layer_norm_eps = teacher.layer_norm_eps;
    }
    let student = BertConfig {
        vocab_size: teacher.vocab_size,
        pad_token_id: teacher.pad_token_id,
        hidden_size: args.hidden_size.unwrap_or(default.hidden_size),
        num_hidden_layers: args.num_hidden_layers.unwrap_or(default.num_hidden_layers),
        num_attention_heads: args.num_attention_heads.unwrap_or(default.num_attention_heads),
        intermediate_size: args.intermediate_size.unwrap_or(default.intermediate_size),
        hidden_dropout_prob: args.hidden_dropout_prob.unwrap_or(default.hidden_dropout_prob),
        attention_probs_dropout_prob: args
            .attention_probs_dropout_prob
            .unwrap_or(default.attention_probs_dropout_prob),
        max_position_embeddings: args
            .max_position_embeddings
            .unwrap_or(default.max_position_embeddings),
        initializer_range: args.initializer_range.unwrap_or(default.initializer_range),
        embedding_rank: args.embedding_rank,
        ..default
    };
    // It stands in no file yet.
    student.check().map_err(|error| {
        let told = error.to_string();
        anyhow!("the student: {}", told.strip_prefix("config.json: ").unwrap_or(&told))
    })?;
    Ok(student)
}

/// How sentences become examples for models that read at most `most` sub-words.
pub fn example_options(args: &TrainArgs, most: usize) -> Result<ExampleOptions> {
    let continuation = match args.continuation {
        Some(ContinuationName::Ignore) => Continuation::Ignore,
        Some(ContinuationName::Inside) | None => Continuation::Inside,
    };
    Ok(ExampleOptions { continuation, ..window_options(args.max_length, most)? })
}

/// Windows of at most `max_length` sub-words for models that read at most `most`.
pub fn window_options(max_length: Option<usize>, most: usize) -> Result<ExampleOptions> {
    let max_length = max_length.unwrap_or(most.min(ExampleOptions::MAX_LENGTH));
    ensure!(
        (3..=most).contains(&max_length),
        "--max-length {max_length}: expected 3 to {most}, the model's longest input"
    );
    Ok(ExampleOptions::of_length(max_length))
}

/// How labels are decided.
pub fn decoding(args: DecodingArgs) -> Decoding {
    let aggregation = match args.aggregation {
        AggregationName::None => Aggregation::None,
        AggregationName::Simple => Aggregation::Simple,
        AggregationName::First => Aggregation::First,
        AggregationName::Average => Aggregation::Average,
        AggregationName::Max => Aggregation::Max,
    };
    Decoding { aggregation, constrained: args.constrained }
}

struct Defaults {
    epochs: usize,
    learning_rate: f64,
}

fn resolve(args: &TrainArgs, objective: Objective, defaults: Defaults) -> Result<TrainConfig> {
    let batch = match args.batch_subwords {
        Some(most) => BatchBudget::Subwords(positive("--batch-subwords", most)?),
        None => BatchBudget::Sentences(positive("--batch-size", args.batch_size.unwrap_or(32))?),
    };
    let learning_rate = args.learning_rate.unwrap_or(defaults.learning_rate);
    ensure!(
        learning_rate.is_finite() && learning_rate > 0.0,
        "--learning-rate {learning_rate}: expected a number above 0"
    );
    let weight_decay = args.weight_decay.unwrap_or(1e-6);
    ensure!(
        weight_decay.is_finite() && weight_decay >= 0.0,
        "--weight-decay {weight_decay}: expected 0 or more"
    );
    let max_gradient_norm = args.max_gradient_norm.unwrap_or(3.0);
    ensure!(
        max_gradient_norm.is_finite() && max_gradient_norm >= 0.0,
        "--max-gradient-norm {max_gradient_norm}: expected 0 or more"
    );
    let minutes = args.checkpoint_minutes;
    ensure!(
        (0.0..=1e6).contains(&minutes),
        "--checkpoint-minutes {minutes}: expected 0 to 1000000"
    );
    let token_dropout = args.token_dropout.unwrap_or(0.0);
    for (flag, share) in
        [("--beta1", args.beta1), ("--beta2", args.beta2), ("--token-dropout", token_dropout)]
    {
        // As it is computed with.
        ensure!(
            (0.0..1.0).contains(&(share as f32)),
            "{flag} {share}: expected 0 up to but not including 1"
        );
    }
    ensure!(
        args.epsilon.is_finite() && args.epsilon > 0.0,
        "--epsilon {}: expected a number above 0",
        args.epsilon
    );
    Ok(TrainConfig {
        epochs: positive("--epochs", args.epochs.unwrap_or(defaults.epochs))?,
        batch,
        gradient_accumulation: positive(
            "--gradient-accumulation",
            args.gradient_accumulation.unwrap_or(1),
        )?,
        learning_rate,
        // Where it is not given, the command sets it by the number of steps.
        warmup_steps: args.warmup_steps.unwrap_or(0),
        max_gradient_norm: (max_gradient_norm > 0.0).then_some(max_gradient_norm),
        optimizer: AdamWConfig {
            beta_1: args.beta1,
            beta_2: args.beta2,
            epsilon: args.epsilon,
            weight_decay,
            decay_bias_and_norm: !args.no_decay_on_bias_and_norm,
        },
        objective,
        text_ratio: None,
        token_dropout,
        evaluate_every: args.evaluate_every.map(|n| positive("--evaluate-every", n)).transpose()?,
        patience: args.patience.map(|n| positive("--patience", n)).transpose()?,
        log_every: 1,
        seed: args.common.seed,
    })
}

fn positive(flag: &str, value: usize) -> Result<usize> {
    ensure!(value > 0, "{flag} 0: expected 1 or more");
    Ok(value)
}
