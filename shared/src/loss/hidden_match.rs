//! How far a student's hidden states, taken to the teacher's width by learned linear projections, are
//! from the teacher's (Jiao et al. 2020, TinyBERT, arXiv:1909.10351, section 3.1, equation 8;
//! TextBrewer's `hidden_mse`).

use burn::tensor::{Bool, Tensor};

/// Mean squared difference over the width, summed over counted sub-words; divide by their number for
/// the mean.
///
/// # Shapes
///
/// - `student`, `teacher`: `[batch_size, seq_len, width]`
/// - `mask`: `[batch_size, seq_len]`, `true` = counted
/// - returns: `[1]`
pub fn hidden_match_sum(
    student: Tensor<3>,
    teacher: Tensor<3>,
    mask: Tensor<2, Bool>,
) -> Tensor<1> {
    assert_eq!(student.dims(), teacher.dims(), "hidden states of student and teacher differ");
    let square = (student - teacher).square().mean_dim(2).squeeze_dim::<2>(2);
    (square * mask.float()).sum()
}

/// Which hidden state of the teacher each hidden state of the student is compared with: evenly spread,
/// from the embeddings to the last layer (a uniform layer map, `m = n · teacher / student`).
///
/// Hidden state 0 is the embeddings' output, `i` that of layer `i`; returns one entry for each of the
/// student's `student_layers + 1`.
pub fn uniform_layer_map(student_layers: usize, teacher_layers: usize) -> Vec<usize> {
    let layers = student_layers.max(1);
    (0..=student_layers).map(|layer| (2 * layer * teacher_layers + layers) / (2 * layers)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn value_and_gradient_are_the_closed_form() {
        let device = Device::flex().autodiff();
        let student = Tensor::<3>::from_data([[[1.0, 2.0], [5.0, 5.0]]], &device).require_grad();
        let teacher = Tensor::<3>::from_data([[[0.0, 4.0], [0.0, 0.0]]], &device);
        let mask = Tensor::<2, Bool>::from_data([[true, false]], &device);
        let loss = hidden_match_sum(student.clone(), teacher, mask);
        let gradient = student.grad(&loss.backward()).expect("tracked").into_data();
        assert!((loss.into_scalar::<f32>() - 2.5).abs() < 1e-6);
        // d/d student = 2 (student − teacher) / width where counted, else 0.
        let gradient = gradient.try_to_vec::<f32>().expect("floats");
        assert_eq!(gradient, [1.0, -2.0, 0.0, 0.0]);
    }

    #[test]
    fn layers_are_spread_evenly() {
        assert_eq!(uniform_layer_map(6, 12), [0, 2, 4, 6, 8, 10, 12]);
        assert_eq!(uniform_layer_map(6, 6), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(uniform_layer_map(4, 6), [0, 2, 3, 5, 6]);
        assert_eq!(uniform_layer_map(0, 6), [0]);
    }
}
