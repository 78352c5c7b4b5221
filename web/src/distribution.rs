//! Probabilities from logits, softened by a temperature, and how far two of them are apart.
//!
//! As the loss has it: `softmax(z / T)`, and `T² · KL(teacher ‖ student)` in nats (Hinton, Vinyals and
//! Dean 2015, arXiv:1503.02531, section 2).

/// `softmax(logits / temperature)`.
pub fn softened(logits: &[f32], temperature: f64) -> Vec<f64> {
    let scaled = || logits.iter().map(|logit| f64::from(*logit) / temperature);
    let largest = scaled().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scaled().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

/// `KL(teacher ‖ student)` in nats, of two sets of logits at one temperature.
pub fn divergence(teacher: &[f32], student: &[f32], temperature: f64) -> f64 {
    let (teacher, student) = (softened(teacher, temperature), softened(student, temperature));
    let term =
        |(p, q): (f64, f64)| if p > 0.0 { p * (p / q.max(f64::MIN_POSITIVE)).ln() } else { 0.0 };
    teacher.into_iter().zip(student).map(term).sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9, "{left} and {right}");
    }

    #[test]
    fn probabilities_sum_to_one_however_large_the_logits() {
        let probabilities = softened(&[1e30, 0.0, -1e30], 1.0);
        close(probabilities.iter().sum(), 1.0);
        close(probabilities[0], 1.0);
    }

    #[test]
    fn a_higher_temperature_is_softer() {
        let logits = [3.0, 1.0, 0.0];
        let top = |temperature| softened(&logits, temperature)[0];
        assert!(top(1.0) > top(2.0) && top(2.0) > top(8.0));
        close(softened(&[2.0, 0.0], 2.0)[0], 1.0 / (1.0 + (-1.0f64).exp()));
    }

    #[test]
    fn divergence_is_zero_for_equal_logits_only() {
        close(divergence(&[1.0, 2.0], &[1.0, 2.0], 3.0), 0.0);
        close(divergence(&[1.0, 2.0], &[2.0, 3.0], 3.0), 0.0);
        assert!(divergence(&[1.0, 2.0], &[2.0, 1.0], 3.0) > 0.05);
    }

    #[test]
    fn divergence_by_hand() {
        // p = (3/4, 1/4), q = (1/2, 1/2).
        let want = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((divergence(&[3.0f32.ln(), 0.0], &[0.0, 0.0], 1.0) - want).abs() < 1e-6);
    }
}
