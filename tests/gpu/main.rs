//! The GPU against the CPU, on a software driver for Vulkan (SwiftShader, which comes with Chromium):
//! `cargo xtask test` names it in `VK_ICD_FILENAMES`. Fusion and autotune are on, as in the command
//! line.
//!
//! Tolerances: a GPU's `exp`, `erf` and `tanh` are good to about 1e-5, and sums are taken in another
//! order. Burn's derivative of GELU on these backends is that of its tanh approximation, which is off
//! by up to 1e-3 (arXiv:1606.08415, section 2), so gradients are compared to 5e-3 of the largest of
//! their tensor.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind, FloatDType, Tensor};
use std::sync::OnceLock;
use understudy_shared::checkpoint::weights::read_back;
use understudy_shared::data::batch::{Batch, BatchBudget, Feed, Shapes, counts};
use understudy_shared::data::example::Example;
use understudy_shared::data::label::LabelSet;
use understudy_shared::infer::logits::for_each_logits;
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::loss::objective::Objective;
use understudy_shared::model::{BertConfig, Noise, TokenClassifier};
use understudy_shared::train::adamw::{AdamW, AdamWConfig, Placement};
use understudy_shared::train::config::TrainConfig;
use understudy_shared::train::fit::{Control, Event, StepRecord, Task, fit};
use understudy_shared::train::source::InMemory;
use understudy_shared::train::state::{Progress, TrainState};
use understudy_shared::train::trainee::Trainee;

const VOCABULARY: usize = 50;
const NUM_LABELS: usize = 9;

/// The software adapter of Vulkan, or where there is none the machine's best.
fn gpu() -> Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    let software = || Device::wgpu_options().device_kind(DeviceKind::Cpu);
    let open = || {
        let opened = software().graphics_api(WgpuBackend::Vulkan).init();
        let opened = opened.or_else(|_| Device::wgpu_options().init());
        opened.unwrap_or_else(|error| {
            panic!(
                "{error}: expected a software driver for Vulkan in VK_ICD_FILENAMES; \
                 `cargo xtask setup` installs one and `cargo xtask test native` names it"
            )
        })
    };
    GPU.get_or_init(open).clone()
}

/// The models that differ in their operations: with a dense token table, a factorised one, and the
/// student's proportions.
fn models() -> [(&'static str, BertConfig); 3] {
    let tiny = BertConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.2,
        ..BertConfig::tiny(VOCABULARY)
    };
    let student = BertConfig { num_hidden_layers: 1, intermediate_size: 40, ..tiny.clone() };
    let factorized = BertConfig { embedding_rank: Some(8), ..tiny.clone() };
    [("bert", tiny), ("factorized", factorized), ("student", student)]
}

/// Sentences of different lengths, some of whose sub-words are not counted.
fn examples(count: usize) -> Vec<Example> {
    let example = |sentence: usize| {
        let len = 4 + sentence * 5 % 11;
        let ids = (0..len).map(|position| (1 + (sentence * 7 + position * 11) % 49) as u32);
        let is_special = |position: usize| position == 0 || position + 1 == len;
        let label = |position: usize| match is_special(position) {
            true => -100,
            false => ((sentence + position) % NUM_LABELS) as i32,
        };
        Example {
            sentence,
            input_ids: ids.collect(),
            word_ids: (0..len).map(|place| (!is_special(place)).then(|| place - 1)).collect(),
            counted: (0..len).map(|position| !is_special(position)).collect(),
            label_ids: (0..len).map(label).collect(),
        }
    };
    (0..count).map(example).collect()
}

fn teacher_logits(examples: &[Example]) -> TeacherLogits {
    let mut logits = TeacherLogits::zeros(examples, NUM_LABELS);
    for (index, example) in examples.iter().enumerate() {
        let values = 0..example.input_ids.len() * NUM_LABELS;
        logits
            .set(index, &values.map(|place| (place as f32 * 0.7).sin() * 3.0).collect::<Vec<_>>());
    }
    logits
}

/// Few shapes, as a GPU is fed, on either device.
fn feed() -> Feed {
    Feed { shapes: Shapes::Few, subwords: 512, parts: 1 }
}

/// Gathers the gradients of every parameter by name.
struct Gradients<'a> {
    gradients: &'a burn::tensor::Gradients,
    path: Vec<String>,
    all: Vec<(String, Vec<f32>)>,
}

impl ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).expect("every parameter is used");
        self.all.push((self.path.join("."), values(gradient)));
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = pollster::block_on(tensor.into_data_async()).expect("a result");
    data.try_to_vec::<f32>().expect("floats")
}

/// Logits, losses and all gradients of one batch.
fn one_step(config: &BertConfig, device: &Device) -> Vec<(String, Vec<f32>)> {
    let device = device.clone().autodiff();
    let model = TokenClassifier::init(config, NUM_LABELS, 3, &device);
    let examples = examples(5);
    let shape = [8, Shapes::Few.seq_len(14, 64)];
    let batch = Batch::padded(&examples, shape, 0, &device);
    let (ids, mask) = (batch.input_ids.clone(), batch.attention_mask.clone());
    let logits = model.forward(ids, mask, batch.is_padded, &mut Noise::off());
    let teacher = teacher_logits(&examples).batch(shape, &device);
    let whole = counts(&examples);
    let losses =
        Objective::reference().losses(logits.clone(), Some(teacher), vec![], &batch, &whole);
    let soft = losses.soft.clone().expect("a teacher");
    let mut all = vec![
        ("logits".to_owned(), values(logits)),
        ("total".to_owned(), values(losses.total.clone())),
        ("hard".to_owned(), values(losses.hard)),
        ("soft".to_owned(), values(soft)),
    ];
    let gradients = losses.total.backward();
    let mut visitor = Gradients { gradients: &gradients, path: vec![], all: vec![] };
    model.visit(&mut visitor);
    all.extend(visitor.all);
    all
}

#[test]
fn logits_losses_and_gradients_are_those_of_the_cpu() {
    for (name, config) in models() {
        let (want, got) = (one_step(&config, &Device::flex()), one_step(&config, &gpu()));
        assert_eq!(want.len(), got.len());
        for ((path, want), (other, got)) in want.iter().zip(&got) {
            assert_eq!((path, want.len()), (other, got.len()), "{name}");
            let is_forward = ["logits", "total", "hard", "soft"].contains(&path.as_str());
            let tolerance = if is_forward { 2e-4 } else { 5e-3 };
            let scale = want.iter().fold(1e-2f32, |largest, value| largest.max(value.abs()));
            for (want, got) in want.iter().zip(got) {
                let is_close = (want - got).abs() <= tolerance * scale;
                assert!(is_close, "{name}: {path}: {got}, expected {want}");
            }
        }
    }
}

/// Losses and final weights of a short run.
fn run(device: &Device, placement: Placement, feed: Feed) -> (Vec<StepRecord>, Vec<f32>) {
    let (_, config) = &models()[1];
    let device = device.clone().autodiff();
    let model = TokenClassifier::init(config, NUM_LABELS, 1, &device).with_feed(feed);
    let train_config = TrainConfig {
        epochs: 5,
        batch: BatchBudget::Sentences(8),
        gradient_accumulation: 1,
        learning_rate: 3e-3,
        warmup_steps: 2,
        max_gradient_norm: Some(1.0),
        optimizer: AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() },
        objective: Objective::reference(),
        text_ratio: None,
        token_dropout: 0.0,
        evaluate_every: None,
        patience: None,
        log_every: 5,
        seed: 7,
    };
    let examples = examples(16);
    let logits = teacher_logits(&examples);
    let source = InMemory::new(examples, Some(logits));
    let labels = LabelSet::conll2003();
    let task = Task {
        train: &source,
        teacher: None,
        dev: None,
        labels: &labels,
        pad_token_id: 0,
        mask_token_id: 4,
    };
    let optimizer = AdamW::new(train_config.optimizer, placement);
    let model = Trainee::new(model);
    let mut state = TrainState { model, optimizer, progress: Progress::default() };
    let mut steps = vec![];
    let fitted = fit(&mut state, &task, &train_config, |event| {
        if let Event::Step(record) = event {
            steps.push(record.clone());
        }
        Ok::<_, std::convert::Infallible>(Control::Continue)
    });
    pollster::block_on(fitted).expect("a run");
    let weights = pollster::block_on(read_back(&state.model.classifier));
    (steps, weights.into_iter().flat_map(|tensor| tensor.values).collect())
}

#[test]
fn ten_steps_follow_the_cpu() {
    let (want, _) = run(&Device::flex(), Placement::Host, feed());
    let (got, _) = run(&gpu(), Placement::Device, feed());
    assert_eq!((want.len(), got.len()), (10, 10));
    assert!(want[9].loss < want[0].loss * 0.8, "{want:?}");
    for (want, got) in want.iter().zip(&got) {
        for (want, got) in [(want.loss, got.loss), (want.gradient_norm, got.gradient_norm)] {
            // The derivative of GELU is another one, and its error adds up over the steps.
            assert!((want - got).abs() <= 1e-2 * want.abs(), "{got}, expected {want}");
        }
    }
}

#[test]
fn a_step_in_parts_is_the_same_step() {
    let whole = run(&Device::flex(), Placement::Host, feed());
    for parts in [2, 3, 8] {
        let (steps, weights) = run(&Device::flex(), Placement::Host, Feed { parts, ..feed() });
        for (want, got) in whole.0.iter().zip(&steps) {
            assert!((want.loss - got.loss).abs() < 1e-4 * want.loss, "{got:?}, expected {want:?}");
        }
        // Sums in another order; Adam makes much of small differences of small gradients.
        for (want, got) in whole.1.iter().zip(&weights) {
            assert!((want - got).abs() < 2e-3, "{parts} parts: {got}, expected {want}");
        }
    }
}

fn logits(model: &TokenClassifier) -> Vec<Vec<f32>> {
    let examples = examples(20);
    let mut all = vec![vec![]; examples.len()];
    let reading =
        for_each_logits(model, &examples, 0, BatchBudget::Subwords(100), |index, values| {
            all[index] = values.to_vec();
            true
        });
    pollster::block_on(reading);
    all
}

fn largest_difference(left: &[Vec<f32>], right: &[Vec<f32>]) -> f32 {
    let (left, right) = (left.concat(), right.concat());
    assert_eq!(left.len(), right.len());
    left.iter().zip(&right).fold(0.0, |largest, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() || difference > largest { difference } else { largest }
    })
}

#[test]
fn batches_of_few_shapes_give_the_same_logits() {
    let (_, config) = &models()[0];
    let exact = TokenClassifier::init(config, NUM_LABELS, 3, &Device::flex());
    let few = exact.clone().with_feed(feed());
    assert!(largest_difference(&logits(&exact), &logits(&few)) < 1e-4);
    let gpu = TokenClassifier::init(config, NUM_LABELS, 3, &gpu()).with_feed(feed());
    assert!(largest_difference(&logits(&exact), &logits(&gpu)) < 1e-3);
}

#[test]
fn half_precision_is_close_where_the_adapter_has_it() {
    let (_, config) = &models()[0];
    let full = TokenClassifier::init(config, NUM_LABELS, 3, &Device::flex());
    // SwiftShader may lack it; the CPU has it.
    for device in [Device::flex(), gpu()] {
        if !device.supports_dtype(FloatDType::F16) {
            continue;
        }
        let model = TokenClassifier::init(config, NUM_LABELS, 3, &device).with_feed(feed());
        let difference = largest_difference(&logits(&full), &logits(&model.with_half_products()));
        assert!(difference > 0.0 && difference < 0.1, "{difference}");
    }
}
