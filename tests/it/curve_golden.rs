//! Ten training steps against PyTorch's AdamW, clipping and schedule.
//!
//! `tests/golden/curve.py` made the goldens and says how; tolerance 1e-4 on losses, on gradient norms
//! (of the norm where it is above 1) and on final weights. The golden lists what some wrong formulas
//! do: the least of them, weight decay on other parameters, is eight times the tolerance away.

use burn::optim::GradientsParams;
use burn::tensor::Device;
use serde::Deserialize;
use std::collections::BTreeMap;
use understudy_shared::checkpoint::weights::{Head, load, read_back};
use understudy_shared::data::batch::{Batch, BatchCounts};
use understudy_shared::loss::objective::{Combination, Objective, SoftReduction};
use understudy_shared::model::{BertConfig, Noise};
use understudy_shared::train::adamw::{AdamW, AdamWConfig, Placement};
use understudy_shared::train::schedule::learning_rate;
use understudy_shared::train::trainee::Trainee;

use crate::support::{Golden, id_tensor, mask_tensor, max_difference, parse, values};

#[derive(Deserialize)]
struct Goldens {
    tolerance: Tolerance,
    optimizer: OptimizerSettings,
    schedule: Schedule,
    batches: Vec<GoldenBatch>,
    curves: Vec<Curve>,
}

#[derive(Deserialize)]
struct Tolerance {
    steps: f64,
    weights: f32,
}

#[derive(Deserialize)]
struct OptimizerSettings {
    peak_learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    max_norm: f64,
}

#[derive(Deserialize)]
struct Schedule {
    warmup_steps: usize,
    num_steps: usize,
}

#[derive(Deserialize)]
struct GoldenBatch {
    input_ids: Vec<Vec<i32>>,
    attention_mask: Vec<Vec<i32>>,
    labels: Vec<Vec<i32>>,
    teacher_logits: Golden,
}

#[derive(Deserialize)]
struct Curve {
    name: String,
    weight_decay: f64,
    decay_bias_and_layer_norm: bool,
    alpha: Option<f64>,
    temperature: Option<f64>,
    steps: Vec<Step>,
    final_weights: BTreeMap<String, Golden>,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
    learning_rate: f64,
    gradient_norm: f64,
}

impl GoldenBatch {
    fn batch(&self, device: &Device) -> Batch {
        let map = |value: fn(i32) -> i32| -> Vec<Vec<i32>> {
            self.labels.iter().map(|row| row.iter().map(|label| value(*label)).collect()).collect()
        };
        let is_labelled = map(|label| i32::from(label >= 0));
        let total = |rows: &[Vec<i32>]| rows.iter().flatten().sum::<i32>() as usize;
        let label_mask = mask_tensor(&is_labelled, device);
        Batch {
            input_ids: id_tensor(&self.input_ids, device),
            attention_mask: mask_tensor(&self.attention_mask, device),
            is_padded: true,
            label_ids: id_tensor(&map(|label| label.max(0)), device),
            label_mask: label_mask.clone(),
            counted_mask: label_mask,
            counts: BatchCounts {
                sentences: self.labels.len(),
                subwords: total(&self.attention_mask),
                labelled: total(&is_labelled),
                counted: total(&is_labelled),
            },
        }
    }
}

impl Curve {
    fn objective(&self) -> Objective {
        let Some((alpha, temperature)) = self.alpha.zip(self.temperature) else {
            return Objective::hard();
        };
        let combination = Combination::Weighted { alpha };
        let soft_reduction = SoftReduction::CountedMean;
        Objective { combination, temperature, soft_reduction, ..Objective::hard() }
    }
}

fn check_near(what: &str, ours: f64, golden: f64, tolerance: f64) -> f64 {
    let difference = (ours - golden).abs() / golden.abs().max(1.0);
    assert!(difference <= tolerance, "{what}: {ours}, PyTorch {golden}");
    difference
}

/// Takes the ten steps of the curve called `name` and compares every one.
fn check(name: &str, placement: Placement) {
    let goldens: Goldens = parse(include_str!("../golden/curve.json"));
    let curve = goldens.curves.iter().find(|curve| curve.name == name).expect("a curve");
    assert_eq!((curve.steps.len(), goldens.schedule.num_steps), (10, 10));
    let device = Device::flex().autodiff();
    let config = include_bytes!("../golden/bert_tiny/config.json");
    let (config, _) = BertConfig::parse(config).expect("a config");
    let weights = include_bytes!("../golden/bert_tiny/model.safetensors");
    let mut model = load(weights, &config, 9, Head::Trained, &device).expect("weights");
    if matches!(placement, Placement::Host) {
        model = model.on_host();
    }
    let mut model = Trainee::new(model);
    let settings = &goldens.optimizer;
    let mut optimizer = AdamW::new(
        AdamWConfig {
            beta_1: settings.betas[0],
            beta_2: settings.betas[1],
            epsilon: settings.epsilon,
            weight_decay: curve.weight_decay,
            decay_bias_and_norm: curve.decay_bias_and_layer_norm,
        },
        placement,
    );
    let mut worst: f64 = 0.0;
    for (idx, (step, golden)) in curve.steps.iter().zip(&goldens.batches).enumerate() {
        let Schedule { warmup_steps, num_steps } = goldens.schedule;
        let rate = learning_rate(idx, warmup_steps, num_steps, settings.peak_learning_rate);
        check_near("learning rate", rate, step.learning_rate, 1e-9);
        let batch = golden.batch(&device);
        let (input_ids, mask) = (batch.input_ids.clone(), batch.attention_mask.clone());
        let logits = model.classifier.forward(input_ids, mask, batch.is_padded, &mut Noise::off());
        let teacher = golden.teacher_logits.tensor(&device);
        let loss =
            curve.objective().losses(logits, Some(teacher), vec![], &batch, &batch.counts).total;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let norm;
        (model, norm) = optimizer.step(model, gradients, rate, Some(settings.max_norm));
        let [loss, norm] = [loss, norm].map(|value| f64::from(values(value)[0]));
        let what = format!("{name}, step {idx}");
        let tolerance = goldens.tolerance.steps;
        worst = worst.max(check_near(&format!("{what}, loss"), loss, step.loss, tolerance));
        worst =
            worst.max(check_near(&format!("{what}, norm"), norm, step.gradient_norm, tolerance));
    }
    println!("{name}: steps {worst:e}");
    let weights = pollster::block_on(read_back(&model.classifier));
    assert_eq!(curve.final_weights.len(), 6);
    for (tensor, golden) in &curve.final_weights {
        let ours = weights.iter().find(|ours| ours.name == *tensor).expect("BERT's names");
        assert_eq!(ours.shape, golden.shape, "{tensor}");
        let difference = max_difference(&ours.values, &golden.values);
        println!("{name}: {tensor} {difference:e}");
        assert!(difference <= goldens.tolerance.weights, "{name}, {tensor}: {difference}");
    }
}

const HOST: Placement = Placement::Host;

#[test]
fn fine_tuning_follows_pytorch_s_curve_in_host_memory() {
    check("cross_entropy", HOST);
}

#[test]
fn fine_tuning_follows_pytorch_s_curve_on_the_device() {
    check("cross_entropy", Placement::Device);
}

#[test]
fn distillation_follows_pytorch_s_curve_in_host_memory() {
    check("distillation", HOST);
}

#[test]
fn distillation_follows_pytorch_s_curve_on_the_device() {
    check("distillation", Placement::Device);
}

#[test]
fn spared_biases_and_norms_follow_pytorch_s_curve_in_host_memory() {
    check("cross_entropy_no_decay", HOST);
}

#[test]
fn spared_biases_and_norms_follow_pytorch_s_curve_on_the_device() {
    check("cross_entropy_no_decay", Placement::Device);
}
