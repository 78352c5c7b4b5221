//! The soft loss of distillation: how far the student's softened distribution is from the teacher's.
//!
//! `T² · KL(softmax(teacher / T) ‖ softmax(student / T))`; the factor keeps the gradient's size
//! independent of `T` (Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2).

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Tensor};

/// Summed soft loss in nats times `temperature²`; divide by the number of counted sub-words for the
/// mean, or by the number of sentences for PyTorch's `batchmean`.
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, seq_len, num_labels]`
/// - `mask`: `[batch_size, seq_len]`, `true` = counted
/// - returns: `[1]`
pub fn distillation_kl_sum(
    student_logits: Tensor<3>,
    teacher_logits: Tensor<3>,
    mask: Tensor<2, Bool>,
    temperature: f64,
) -> Tensor<1> {
    assert_eq!(student_logits.dims(), teacher_logits.dims(), "student and teacher logits differ");
    let student = log_softmax(student_logits.div_scalar(temperature), 2);
    let teacher = log_softmax(teacher_logits.div_scalar(temperature), 2);
    let divergence = (teacher.clone().exp() * (teacher - student)).sum_dim(2).squeeze_dim::<2>(2);
    (divergence * mask.float()).sum().mul_scalar(temperature * temperature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn softmax(logits: [f64; 2], temperature: f64) -> [f64; 2] {
        let weights = logits.map(|logit| (logit / temperature).exp());
        weights.map(|weight| weight / (weights[0] + weights[1]))
    }

    #[test]
    fn equal_logits_have_no_divergence() {
        let logits = Tensor::<3>::from_data([[[1.0, -3.0, 0.5]]], &Device::flex());
        let mask = Tensor::<2, Bool>::from_data([[true]], &Device::flex());
        let loss = distillation_kl_sum(logits.clone(), logits, mask, 4.0);
        assert!(loss.into_scalar::<f32>().abs() < 1e-6);
    }

    #[test]
    fn value_and_gradient_are_the_closed_form() {
        let device = Device::flex().autodiff();
        for temperature in [1.0, 2.0, 8.0] {
            let student =
                Tensor::<3>::from_data([[[1.0, -1.0], [5.0, 5.0]]], &device).require_grad();
            let teacher = Tensor::<3>::from_data([[[0.5, 2.0], [0.0, 9.0]]], &device);
            let mask = Tensor::<2, Bool>::from_data([[true, false]], &device);
            let loss = distillation_kl_sum(student.clone(), teacher, mask, temperature);
            let (p, q) = (softmax([0.5, 2.0], temperature), softmax([1.0, -1.0], temperature));
            let want: f64 = (0..2).map(|label| p[label] * (p[label] / q[label]).ln()).sum();
            let gradient = student.grad(&loss.backward()).expect("tracked").into_data();
            let gradient = gradient.try_to_vec::<f32>().expect("floats");
            let got = f64::from(loss.into_scalar::<f32>());
            assert!((got - want * temperature * temperature).abs() < 1e-5, "{got}");
            // d/d student = T · (softmax(student / T) − softmax(teacher / T)), 0 where not counted.
            let slope = temperature * (q[0] - p[0]);
            assert!((f64::from(gradient[0]) - slope).abs() < 1e-5, "{gradient:?} {slope}");
            assert_eq!(&gradient[2..], [0.0, 0.0]);
        }
    }
}
