//! Losses and their gradients against PyTorch, case by case.
//!
//! `tests/golden/losses.py` made the goldens and says how; tolerance 2e-5 plus 2e-5 of the value.
//! Every position of these cases is real, so that PyTorch's `batchmean` sums what ours does.

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;
use understudy_shared::data::batch::{Batch, BatchCounts};
use understudy_shared::loss::distillation::distillation_kl_sum;
use understudy_shared::loss::objective::{Combination, Objective, SoftReduction};
use understudy_shared::loss::token_cross_entropy::token_cross_entropy_sum;

use crate::support::{id_tensor, mask_tensor, parse, values};

#[derive(Deserialize)]
struct Goldens {
    tolerance: Tolerance,
    sum_temperature: f64,
    alpha: f64,
    cases: Vec<Case>,
}

#[derive(Clone, Copy, Deserialize)]
struct Tolerance {
    absolute: f32,
    relative: f32,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: [usize; 3],
    student_logits: Vec<f32>,
    teacher_logits: Vec<f32>,
    labels: Vec<i32>,
    cross_entropy: Expected,
    kl: Vec<Divergence>,
    reference_sum: Expected,
    weighted_sum: Expected,
}

#[derive(Deserialize)]
struct Divergence {
    temperature: f64,
    batchmean: Expected,
    counted_mean: Expected,
}

#[derive(Deserialize)]
struct Expected {
    value: f32,
    gradient: Vec<f32>,
}

fn goldens() -> Goldens {
    let goldens: Goldens = parse(include_str!("../golden/losses.json"));
    assert_eq!(goldens.cases.len(), 7);
    goldens
}

impl Case {
    fn logits(&self, values: &[f32], device: &Device) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), self.shape), device)
    }

    fn batch(&self, device: &Device) -> Batch {
        let [sentences, seq_len, _] = self.shape;
        let rows = |value: fn(i32) -> i32| -> Vec<Vec<i32>> {
            let row = |row: &[i32]| row.iter().map(|label| value(*label)).collect();
            self.labels.chunks(seq_len).map(row).collect()
        };
        let label_mask = mask_tensor(&rows(|label| i32::from(label >= 0)), device);
        let labelled = self.labels.iter().filter(|label| **label >= 0).count();
        let subwords = sentences * seq_len;
        Batch {
            input_ids: id_tensor(&rows(|_| 1), device),
            attention_mask: mask_tensor(&rows(|_| 1), device),
            is_padded: false,
            label_ids: id_tensor(&rows(|label| label.max(0)), device),
            label_mask: label_mask.clone(),
            counted_mask: label_mask,
            counts: BatchCounts { sentences, subwords, labelled, counted: labelled },
        }
    }

    /// `loss` of student, teacher and batch has the expected value and gradient.
    fn check(
        &self,
        what: &str,
        tolerance: Tolerance,
        expected: &Expected,
        loss: impl Fn(Tensor<3>, Tensor<3>, &Batch) -> Tensor<1>,
    ) {
        let device = Device::flex().autodiff();
        let student = self.logits(&self.student_logits, &device).require_grad();
        let teacher = self.logits(&self.teacher_logits, &device);
        let loss = loss(student.clone(), teacher, &self.batch(&device));
        let gradient = values(student.grad(&loss.backward()).expect("the student is tracked"));
        assert_eq!(gradient.len(), expected.gradient.len());
        let pairs = gradient.iter().zip(&expected.gradient).map(|(ours, theirs)| (*ours, *theirs));
        let mut share: f32 = 0.0;
        for (idx, (ours, theirs)) in pairs.chain([(values(loss)[0], expected.value)]).enumerate() {
            let allowed = tolerance.absolute + tolerance.relative * theirs.abs();
            let difference = (ours - theirs).abs();
            let name = &self.name;
            assert!(difference <= allowed, "{name}, {what}, {idx}: {ours}, PyTorch {theirs}");
            share = share.max(difference / allowed);
        }
        println!("{}, {what}: {share:.3} of the tolerance", self.name);
    }
}

fn mean(sum: Tensor<1>, count: usize) -> Tensor<1> {
    sum.div_scalar(count.max(1) as f64)
}

#[test]
fn cross_entropy_equals_pytorch_s() {
    let goldens = goldens();
    for case in &goldens.cases {
        case.check("cross entropy", goldens.tolerance, &case.cross_entropy, |student, _, batch| {
            let (label_ids, mask) = (batch.label_ids.clone(), batch.label_mask.clone());
            mean(token_cross_entropy_sum(student, label_ids, mask), batch.counts.labelled)
        });
    }
}

#[test]
fn divergence_equals_pytorch_s_in_both_reductions() {
    let goldens = goldens();
    for case in &goldens.cases {
        assert_eq!(case.kl.len(), 3);
        for Divergence { temperature, batchmean, counted_mean } in &case.kl {
            let what = format!("batchmean at {temperature}");
            case.check(&what, goldens.tolerance, batchmean, |student, teacher, batch| {
                let mask = batch.attention_mask.clone();
                let sum = distillation_kl_sum(student, teacher, mask, *temperature);
                mean(sum, batch.counts.sentences)
            });
            let what = format!("counted mean at {temperature}");
            case.check(&what, goldens.tolerance, counted_mean, |student, teacher, batch| {
                let mask = batch.counted_mask.clone();
                let sum = distillation_kl_sum(student, teacher, mask, *temperature);
                mean(sum, batch.counts.counted)
            });
        }
    }
}

#[test]
fn objectives_equal_pytorch_s() {
    let goldens = goldens();
    let weighted = Objective {
        combination: Combination::Weighted { alpha: goldens.alpha },
        temperature: goldens.sum_temperature,
        soft_reduction: SoftReduction::CountedMean,
        ..Objective::hard()
    };
    assert_eq!(Objective::reference().temperature, goldens.sum_temperature);
    for case in &goldens.cases {
        let check = |what, objective: Objective, expected| {
            case.check(what, goldens.tolerance, expected, |student, teacher, batch| {
                let losses = objective.losses(student, Some(teacher), vec![], batch, &batch.counts);
                assert_eq!(losses.soft.is_some(), objective.is_soft());
                losses.total
            });
        };
        check("hard", Objective::hard(), &case.cross_entropy);
        check("reference", Objective::reference(), &case.reference_sum);
        check("weighted", weighted, &case.weighted_sum);
    }
}

/// The parts are those that the log shows, and batches of one step add up to the whole.
#[test]
fn parts_add_up_to_the_whole() {
    let goldens = goldens();
    let device = Device::flex();
    for case in &goldens.cases {
        let batch = case.batch(&device);
        let losses = |whole: &BatchCounts| {
            let [student, teacher] = [&case.student_logits, &case.teacher_logits]
                .map(|logits| case.logits(logits, &device));
            let losses =
                Objective::reference().losses(student, Some(teacher), vec![], &batch, whole);
            let soft = losses.soft.expect("a soft loss");
            [losses.total, losses.hard, soft].map(|loss| values(loss)[0])
        };
        let [total, hard, soft] = losses(&batch.counts);
        assert!((total - (hard + soft)).abs() <= 1e-6 * total.abs(), "{total} {hard} {soft}");
        let mut twice = batch.counts;
        twice += batch.counts;
        let share = twice.labelled.max(1) as f32 / batch.counts.labelled.max(1) as f32;
        let [half, half_hard, half_soft] = losses(&twice);
        assert!((2.0 * half_soft - soft).abs() <= 1e-5 * soft, "{}", case.name);
        assert!((share * half_hard - hard).abs() <= 1e-5 * hard, "{}", case.name);
        assert!((half - (half_hard + half_soft)).abs() <= 1e-6 * total, "{}", case.name);
    }
}
