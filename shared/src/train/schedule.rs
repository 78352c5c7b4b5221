//! Linear warm-up, then linear decay to 0, as `transformers.get_linear_schedule_with_warmup`.

/// The learning rate of step `step`, counted from 0.
pub fn learning_rate(step: usize, warmup_steps: usize, total_steps: usize, peak: f64) -> f64 {
    if step < warmup_steps {
        return peak * step as f64 / warmup_steps as f64;
    }
    let left = total_steps.saturating_sub(step) as f64;
    peak * left / total_steps.saturating_sub(warmup_steps).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_to_the_peak_and_falls_to_zero() {
        let rates: Vec<f64> = (0..=10).map(|step| learning_rate(step, 4, 10, 1.2)).collect();
        let want = [0.0, 0.3, 0.6, 0.9, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0];
        assert!(
            rates.iter().zip(want).all(|(rate, want)| (rate - want).abs() < 1e-12),
            "{rates:?}"
        );
    }

    #[test]
    fn no_warm_up_starts_at_the_peak() {
        assert_eq!(learning_rate(0, 0, 10, 1.0), 1.0);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_never_divides_by_zero() {
        assert_eq!(learning_rate(5, 10, 5, 1.0), 0.5);
        assert_eq!(learning_rate(10, 10, 10, 1.0), 0.0);
    }
}
