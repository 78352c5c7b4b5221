//! Progress on stderr: a bar in a terminal, a plain line every ten seconds elsewhere.
//!
//! The loss shown is an exponential moving average with the bias correction of Adam (Kingma, Ba
//! 2015, section 3), so that the first steps are not pulled towards zero.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(10);
const SMOOTHING: f64 = 0.98;

/// All bars of the process, so that a bar for evaluating goes below the one for training.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Where progress is shown; a bar stays on the screen as it was last.
pub enum Output {
    /// Nowhere.
    Silent,
    /// In a terminal.
    Bar(ProgressBar),
    /// Elsewhere, a line at a time.
    Lines {
        /// When the next one is due.
        next: Instant,
    },
}

impl Output {
    /// On stderr, unless `quiet`; a bar as `template` has it, with `position` of `total` done.
    pub fn new(quiet: bool, template: &str, label: &str, (position, total): (u64, u64)) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !io::stderr().is_terminal() {
            return Self::Lines { next: Instant::now() + LINE_EVERY };
        }
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total).with_style(style).with_position(position);
        Self::Bar(BARS.add(bar.with_prefix(label.to_owned())))
    }

    /// Whether a line is to be printed now: where its time has come, or at the end.
    pub fn is_line_due(&mut self, is_end: bool) -> bool {
        let now = Instant::now();
        match self {
            Self::Lines { next } if now >= *next || is_end => {
                *next = now + LINE_EVERY;
                true
            }
            _ => false,
        }
    }

    /// Prints a line above the bar; nothing when quiet.
    pub fn message(&self, text: &str) {
        match self {
            Self::Silent => {}
            // The bars are cleared, the line scrolls up, and the bars come back below it.
            Self::Bar(_) => BARS.suspend(|| print_line(text)),
            Self::Lines { .. } => print_line(text),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            // The last state stays on the screen, also when the work was stopped early.
            bar.abandon();
            BARS.remove(bar);
        }
    }
}

/// Shows how far a training run, or a count over items, has come. Ends when dropped.
pub struct Progress {
    output: Output,
    label: String,
    total: usize,
    position: usize,
    /// Of the position, what cost nothing.
    skipped: usize,
    /// One in so many of the items that are left costs something.
    parts: usize,
    is_ended: bool,
    /// When the work began, later by the time in which nothing was done.
    started: Instant,
    /// When something was last counted.
    last: Instant,
    subwords: usize,
    loss: Average,
    speed: Speed,
}

impl Progress {
    /// Progress of training from step `resumed_at`, 0 for a new run, to `total_steps`, whose records come
    /// `together`, so many at a time.
    pub fn new(quiet: bool, total_steps: usize, resumed_at: usize, together: usize) -> Self {
        let speed = Speed::new(together);
        Self { speed, ..Self::start(quiet, "step", total_steps, resumed_at) }
    }

    /// Progress over `total` items, such as sentences to label; `label` says what is done.
    pub fn count(quiet: bool, label: &str, total: usize) -> Self {
        Self::start(quiet, label, total, 0)
    }

    /// Where one in `parts` items is done here, and the others are skipped.
    pub fn in_parts(self, parts: usize) -> Self {
        Self { parts, ..self }
    }

    /// Shows a finished training step, its loss, and how many sub-words were in it.
    pub fn step(&mut self, step: usize, epoch: usize, loss: f64, subwords: usize) {
        self.loss.add(loss);
        self.speed.add(subwords);
        self.position = step;
        let average = if loss.is_finite() { self.loss.value() } else { loss };
        let speed = self.speed.value().map(|speed| format!(" · {speed:.0} sub-words/s"));
        let speed = speed.unwrap_or_default();
        self.show(&format!("epoch {epoch} · loss {average:.4}{speed}"));
    }

    /// After what is no step, such as an evaluation or a checkpoint: its time is none of the next step's.
    pub fn rest(&mut self) {
        self.speed.rest();
    }

    /// Counts `items` more as done, and the sub-words that were read for them.
    pub fn advance(&mut self, items: usize, subwords: usize) {
        self.last = Instant::now();
        self.position += items;
        self.subwords += subwords;
        let seconds = (self.last - self.started).as_secs_f64().max(1e-9);
        self.show(&format!("{:.0} sub-words/s", self.subwords as f64 / seconds));
    }

    /// Counts `items` more that cost nothing, and no time either, because of `why`.
    pub fn skip(&mut self, items: usize, why: &str) {
        let now = Instant::now();
        self.started += now - self.last;
        self.last = now;
        self.position += items;
        self.skipped += items;
        self.show(why);
    }

    /// Prints a line above the bar; nothing when quiet.
    pub fn message(&self, text: &str) {
        self.output.message(text);
    }

    fn start(quiet: bool, label: &str, total: usize, resumed_at: usize) -> Self {
        let now = Instant::now();
        // In a narrow terminal the bar shrinks first, then the message is cut.
        let template = "{prefix} {pos}/{len} {wide_bar} {msg}";
        let output = Output::new(quiet, template, label, (resumed_at as u64, total as u64));
        Self {
            output,
            label: label.to_owned(),
            total,
            position: resumed_at,
            skipped: resumed_at,
            parts: 1,
            is_ended: false,
            started: now,
            last: now,
            subwords: 0,
            loss: Average::default(),
            speed: Speed::new(1),
        }
    }

    fn show(&mut self, details: &str) {
        let done = self.position.saturating_sub(self.skipped);
        let left = self.total.saturating_sub(self.position);
        // More may come that is counted with the last item, such as its other windows.
        let is_end = left == 0 && !self.is_ended;
        self.is_ended |= is_end;
        let text = match done {
            0 => details.to_owned(),
            // The whole time counts, with its evaluations and checkpoints, since more will come.
            _ => {
                let left = left as f64 / self.parts as f64;
                let eta = self.started.elapsed().as_secs_f64() * left / done as f64;
                format!("{details} · ETA {}", duration(eta))
            }
        };
        if let Output::Bar(bar) = &self.output {
            bar.set_message(text);
            bar.set_position(self.position as u64);
        } else if self.output.is_line_due(is_end) {
            print_line(&format!("{} {}/{} · {text}", self.label, self.position, self.total));
        }
    }
}

/// A closed stderr must not end a training run, which `eprintln!` would.
pub fn print_line(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

/// Two units at most, such as `1h 02m`, `3m 05s` and `7s`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m {rest:02}s"),
        _ => format!("{hours}h {minutes:02}m"),
    }
}

/// Sub-words a second of steps whose records come some at a time, so that only a group of them has a time.
struct Speed {
    /// Records that come at a time.
    together: usize,
    /// When the group began.
    started: Instant,
    /// When its last record came.
    last: Instant,
    steps: usize,
    subwords: usize,
    seconds_per_group: Average,
    subwords_per_group: Average,
}

impl Speed {
    fn new(together: usize) -> Self {
        let now = Instant::now();
        Self {
            together,
            started: now,
            last: now,
            steps: 0,
            subwords: 0,
            seconds_per_group: Average::default(),
            subwords_per_group: Average::default(),
        }
    }

    /// Counts the record of a step.
    fn add(&mut self, subwords: usize) {
        self.last = Instant::now();
        self.steps += 1;
        self.subwords += subwords;
        if self.steps == self.together {
            self.end_group();
        }
    }

    /// Begins a new group now, for the time since the last record is that of something else.
    fn rest(&mut self) {
        if self.steps > 0 {
            self.end_group();
        }
        self.started = Instant::now();
    }

    fn end_group(&mut self) {
        self.seconds_per_group.add((self.last - self.started).as_secs_f64());
        self.subwords_per_group.add(self.subwords as f64);
        (self.started, self.steps, self.subwords) = (self.last, 0, 0);
    }

    /// `None` before the first group is whole.
    fn value(&self) -> Option<f64> {
        let (seconds, subwords) = (&self.seconds_per_group, &self.subwords_per_group);
        (subwords.weight > 0.0).then(|| subwords.value() / seconds.value().max(1e-9))
    }
}

/// Exponential moving average without bias; values that are not finite are left out.
#[derive(Default)]
struct Average {
    sum: f64,
    weight: f64,
}

impl Average {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.sum = SMOOTHING * self.sum + (1.0 - SMOOTHING) * value;
            self.weight = SMOOTHING * self.weight + (1.0 - SMOOTHING);
        }
    }

    fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        assert_eq!(duration(6.6), "7s");
        assert_eq!(duration(185.0), "3m 05s");
        assert_eq!(duration(3725.0), "1h 02m");
    }

    #[test]
    fn average_starts_at_the_first_value_and_skips_nan() {
        let mut average = Average::default();
        average.add(2.0);
        assert!((average.value() - 2.0).abs() < 1e-12);
        average.add(f64::NAN);
        average.add(4.0);
        // Weights 0.98 and 1 of the first and second value.
        assert!((average.value() - (0.98 * 2.0 + 4.0) / 1.98).abs() < 1e-12);
    }

    #[test]
    fn quiet_counts_without_output() {
        let mut progress = Progress::new(true, 10, 4, 1);
        assert!(matches!(progress.output, Output::Silent));
        progress.step(5, 1, f64::NAN, 100);
        assert_eq!(progress.position, 5);
        let mut count = Progress::count(true, "labelling", 10);
        count.advance(3, 30);
        count.advance(4, 40);
        assert_eq!(count.position, 7);
    }

    #[test]
    fn what_was_done_before_takes_no_time() {
        let mut count = Progress::count(true, "labelling", 10);
        count.skip(2, "done before");
        count.skip(1, "done before");
        assert_eq!(count.started, count.last);
        count.advance(3, 30);
        let (started, last) = (count.started, count.last);
        count.skip(1, "done before");
        assert_eq!(count.started - started, count.last - last);
        assert_eq!((count.position, count.skipped), (7, 4));
    }

    #[test]
    fn the_end_is_told_once() {
        let mut count = Progress::count(true, "labelling", 3);
        count.output = Output::Lines { next: Instant::now() + Duration::from_secs(3600) };
        // A line sets the time of the next one.
        let next = |count: &Progress| match count.output {
            Output::Lines { next } => next,
            _ => count.started,
        };
        let before = next(&count);
        count.advance(2, 20);
        assert_eq!(next(&count), before);
        count.advance(1, 10);
        let at_end = next(&count);
        assert!(at_end < before);
        // Another window of the last sentence.
        count.advance(0, 10);
        assert_eq!(next(&count), at_end);
    }

    #[test]
    fn records_that_come_together_have_one_time() {
        let mut speed = Speed::new(3);
        speed.add(10);
        speed.add(20);
        assert_eq!(speed.value(), None);
        speed.add(30);
        assert!((speed.subwords_per_group.value() - 60.0).abs() < 1e-9);
        assert_eq!((speed.started, speed.steps, speed.subwords), (speed.last, 0, 0));
        // An evaluation ends a group, and its own time belongs to none.
        speed.add(40);
        let (started, last) = (speed.started, speed.last);
        let seconds = speed.seconds_per_group.sum;
        speed.rest();
        assert_eq!((speed.steps, speed.subwords), (0, 0));
        let added = speed.seconds_per_group.sum - SMOOTHING * seconds;
        assert!((added - (1.0 - SMOOTHING) * (last - started).as_secs_f64()).abs() < 1e-12);
        assert!(speed.started >= last);
    }
}
