//! Curves of a run: points, as many as a drawing needs, and what they say in words.

use crate::number::fixed;

/// Values by step, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    points: Vec<(usize, f64)>,
}

impl Curve {
    /// Adds a value; one of a step that is already there replaces it, and later steps go: a run that was
    /// taken up again repeats some.
    pub fn add(&mut self, step: usize, value: f64) {
        self.points.truncate(self.points.partition_point(|(own, _)| *own < step));
        self.points.push((step, value));
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// First and last value.
    pub fn ends(&self) -> Option<(f64, f64)> {
        Some((self.points.first()?.1, self.points.last()?.1))
    }

    /// The last step that has a value.
    pub fn last_step(&self) -> Option<usize> {
        self.points.last().map(|(step, _)| *step)
    }

    /// The largest value.
    pub fn most(&self) -> f64 {
        self.points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
    }

    /// At most `count` points: each the mean of equally many neighbours, but the first and the last as they
    /// are.
    pub fn thinned(&self, count: usize) -> Vec<(f64, f64)> {
        let exact = |(step, value): &(usize, f64)| (*step as f64, *value);
        if self.points.len() <= count.max(2) {
            return self.points.iter().map(exact).collect();
        }
        let inner = &self.points[1..self.points.len() - 1];
        let size = inner.len().div_ceil(count.max(3) - 2);
        let mean = |part: &[(usize, f64)]| {
            let len = part.len() as f64;
            let sum = part.iter().map(exact).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            (sum.0 / len, sum.1 / len)
        };
        let ends = [self.points.first(), self.points.last()].map(|end| end.map(exact));
        let [first, last] = ends;
        first.into_iter().chain(inner.chunks(size).map(mean)).chain(last).collect()
    }

    /// `NAME from 2.310 to 0.120`, or nothing.
    pub fn in_words(&self, name: &str) -> Option<String> {
        let (first, last) = self.ends()?;
        Some(match self.points.len() {
            1 => format!("{name} {}", fixed(last, 3)),
            _ => format!("{name} from {} to {}", fixed(first, 3), fixed(last, 3)),
        })
    }
}

/// A round number that is not below `value`, for the end of an axis: 1, 2 or 5 times a power of ten.
pub fn round_up(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 1.0;
    }
    let mut power = 1.0;
    while power > value {
        power /= 10.0;
    }
    while power * 10.0 <= value {
        power *= 10.0;
    }
    let steps = [1.0, 2.0, 5.0, 10.0];
    // What is a hair above a step for rounding's sake only counts as that step.
    let step = steps.into_iter().find(|step| step * power >= value * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> Curve {
        let mut curve = Curve::default();
        values.iter().enumerate().for_each(|(step, value)| curve.add(step, *value));
        curve
    }

    #[test]
    fn few_points_stay_as_they_are() {
        assert_eq!(curve(&[3.0, 1.0]).thinned(9), [(0.0, 3.0), (1.0, 1.0)]);
        assert_eq!(Curve::default().thinned(9), []);
        assert_eq!(curve(&[1.0]).thinned(0), [(0.0, 1.0)]);
    }

    #[test]
    fn many_points_become_means_between_the_ends() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        for count in [3, 10, 199, 200, 999] {
            let points = curve(&values).thinned(count);
            assert!(points.len() <= count, "{count}: {}", points.len());
            assert_eq!((points[0], points[points.len() - 1]), ((0.0, 0.0), (999.0, 999.0)));
            assert!(points.iter().all(|(step, value)| (step - value).abs() < 1e-9));
            assert!(points.is_sorted_by(|left, right| left.0 < right.0));
        }
    }

    #[test]
    fn a_run_that_is_taken_up_again_replaces_its_last_steps() {
        let mut curve = curve(&[4.0, 3.0, 2.0, 1.0]);
        curve.add(2, 7.0);
        assert_eq!(curve.thinned(9), [(0.0, 4.0), (1.0, 3.0), (2.0, 7.0)]);
    }

    #[test]
    fn a_curve_in_words() {
        assert_eq!(
            curve(&[2.31, 1.0, 0.12]).in_words("Loss").as_deref(),
            Some("Loss from 2.310 to 0.120")
        );
        assert_eq!(curve(&[0.5]).in_words("F1").as_deref(), Some("F1 0.500"));
        assert_eq!(Curve::default().in_words("F1"), None);
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (value, want) in
            [(0.7, 1.0), (1.0, 1.0), (1.1, 2.0), (2.3, 5.0), (7.0, 10.0), (0.03, 0.05), (0.0, 1.0)]
        {
            assert!((round_up(value) - want).abs() < 1e-12, "{value}");
        }
        assert_eq!(round_up(f64::NAN), 1.0);
    }
}
