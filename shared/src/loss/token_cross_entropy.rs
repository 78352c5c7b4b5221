//! Cross entropy of the labels under the model, over the sub-words that count.
//!
//! `−log softmax(logits)[label]`; PyTorch's `cross_entropy` with `ignore_index` where it is divided
//! by the number of counted sub-words.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Int, Tensor};

/// Summed cross entropy in nats; divide by the number of counted sub-words for the mean.
///
/// # Shapes
///
/// - `logits`: `[batch_size, seq_len, num_labels]`
/// - `label_ids`: `[batch_size, seq_len]`, any valid id where not counted
/// - `label_mask`: `[batch_size, seq_len]`, `true` = counted
/// - returns: `[1]`
pub fn token_cross_entropy_sum(
    logits: Tensor<3>,
    label_ids: Tensor<2, Int>,
    label_mask: Tensor<2, Bool>,
) -> Tensor<1> {
    let [batch_size, seq_len, _] = logits.dims();
    assert_eq!(label_ids.dims(), [batch_size, seq_len], "labels do not fit the logits");
    let picked = log_softmax(logits, 2).gather(2, label_ids.unsqueeze_dim(2)).squeeze_dim::<2>(2);
    (picked * label_mask.float()).sum().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn ignored_subwords_add_nothing_and_get_no_gradient() {
        let device = Device::flex().autodiff();
        let values = [[[2.0, 0.0, 0.0], [0.0, 5.0, 0.0], [9.0, 9.0, 0.0]]];
        let logits = Tensor::<3>::from_data(values, &device).require_grad();
        let labels = Tensor::<2, Int>::from_data([[0, 1, 0]], &device);
        let mask = Tensor::<2, Bool>::from_data([[true, true, false]], &device);
        let loss = token_cross_entropy_sum(logits.clone(), labels, mask);
        let want = (1.0 + 2.0 * (-2.0f64).exp()).ln() + (1.0 + 2.0 * (-5.0f64).exp()).ln();
        let gradient = logits.grad(&loss.backward()).expect("tracked").into_data();
        assert!((f64::from(loss.into_scalar::<f32>()) - want).abs() < 1e-6);
        // Closed form: softmax − one-hot where counted, 0 elsewhere.
        let gradient = gradient.try_to_vec::<f32>().expect("floats");
        let share = 2.0f64.exp() / (2.0f64.exp() + 2.0);
        assert!((f64::from(gradient[0]) - (share - 1.0)).abs() < 1e-6, "{gradient:?}");
        assert_eq!(&gradient[6..], [0.0, 0.0, 0.0]);
    }
}
