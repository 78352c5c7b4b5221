//! Numbers of an axis: the scale, ticks, their labels, and fewer points than were measured.
//!
//! Tick steps are 1, 2 or 5 times a power of ten (Heckbert, "Nice numbers for graph labels",
//! Graphics Gems, 1990).

use super::Chart;

pub(super) const WIDTH: f64 = 720.0;
pub(super) const HEIGHT: f64 = 420.0;
pub(super) const LEFT: f64 = 92.0;
pub(super) const TOP: f64 = 60.0;
pub(super) const BOTTOM: f64 = HEIGHT - 76.0;

/// Values on screen: x from 0 to the last point, y between nice numbers.
pub(super) struct Scale {
    pub(super) x_max: f64,
    pub(super) y_min: f64,
    pub(super) y_max: f64,
    pub(super) y_step: f64,
    pub(super) right: f64,
}

impl Scale {
    pub(super) fn new(chart: &Chart) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points).filter(finite);
        let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let high = points().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let low = if chart.from_zero { low.min(0.0) } else { low };
        // A flat line needs an axis too.
        let room = if high - low > 1e-12 * high.abs() { 0.0 } else { high.abs().max(1.0) / 10.0 };
        let y_step = nice_step(high + room - low, 5);
        let labelled = chart.series.iter().any(|series| !series.label.is_empty());
        Self {
            x_max: points().map(|point| point.0).fold(1.0, f64::max),
            y_min: (low / y_step + 1e-9).floor() * y_step,
            y_max: ((high + room) / y_step - 1e-9).ceil() * y_step,
            y_step,
            right: WIDTH - if labelled { 122.0 } else { 44.0 },
        }
    }

    pub(super) fn x(&self, value: f64) -> f64 {
        LEFT + value / self.x_max * (self.right - LEFT)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        BOTTOM - (value - self.y_min) / (self.y_max - self.y_min) * (BOTTOM - TOP)
    }
}

pub(super) fn finite(point: &&(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// At most `limit` points, with the lowest and the highest of each stretch, so that peaks stay.
pub(super) fn downsample(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    if points.len() <= limit {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(limit);
    for bucket in points.chunks(points.len().div_ceil(limit / 2)) {
        let by_y = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let low = bucket.iter().min_by(by_y);
        let high = bucket.iter().max_by(by_y);
        let mut pair: Vec<_> = low.into_iter().chain(high).copied().collect();
        pair.sort_by(|one, other| one.0.total_cmp(&other.0));
        kept.extend(pair);
    }
    kept
}

/// The smallest of 1, 2 or 5 times a power of ten that divides `span` into at most `count` parts.
pub(super) fn nice_step(span: f64, count: usize) -> f64 {
    let least = span / count as f64;
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

pub(super) fn ticks(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = (low / step - 1e-6).ceil() as i64;
    let last = (high / step + 1e-6).floor() as i64;
    (first..=last).map(|multiple| multiple as f64 * step).collect()
}

/// `12,000`, `0.85` or `3e-5`, with as many digits as tell ticks `step` apart.
pub(super) fn tick_label(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if step < 0.9e-3 {
        // A step of 5e-5 also makes 1.5e-4, which needs a digit more.
        let short = format!("{value:.0e}");
        let exact = short.parse().is_ok_and(|parsed: f64| (parsed - value).abs() < 1e-3 * step);
        return if exact { short } else { format!("{value:.1e}") };
    }
    if step >= 0.999 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", thousands(value.abs().round() as usize));
    }
    format!("{value:.*}", (-step.log10() - 1e-9).ceil() as usize)
}

/// `1,234,567`.
pub fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_ticks(high: f64, expected: &[&str]) {
        let step = nice_step(high, 5);
        let labels: Vec<_> =
            ticks(0.0, high, step).iter().map(|value| tick_label(*value, step)).collect();
        assert_eq!(labels, expected);
    }

    #[test]
    fn ticks_are_nice_numbers() {
        check_ticks(1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        check_ticks(3e-4, &["0", "1e-4", "2e-4", "3e-4"]);
        check_ticks(2e-4, &["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]);
        check_ticks(0.005, &["0", "0.001", "0.002", "0.003", "0.004", "0.005"]);
        check_ticks(4390.0, &["0", "1,000", "2,000", "3,000", "4,000"]);
    }

    #[test]
    fn downsampling_keeps_the_peaks() {
        let mut points: Vec<_> = (0..9_999).map(|index| (f64::from(index), 1.0)).collect();
        points[1234].1 = 9.0;
        points[4321].1 = -9.0;
        let kept = downsample(&points, 1000);
        assert!(kept.len() <= 1000);
        assert!(kept.contains(&(1234.0, 9.0)) && kept.contains(&(4321.0, -9.0)));
        assert!(kept.is_sorted_by(|one, other| one.0 <= other.0));
    }
}
