//! How far a file has come: a bar with bytes, rate and time left in a terminal, else a line every
//! ten seconds.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::duration;

const LINE_EVERY: Duration = Duration::from_secs(10);

enum Output {
    Silent,
    Bar(ProgressBar),
    Lines { next: Instant },
}

/// Shows the bytes of one file. Ends when dropped.
pub struct Transfer {
    output: Output,
    name: String,
    total: u64,
    position: u64,
    started: Instant,
    started_at: u64,
}

impl Transfer {
    /// A file of `total` bytes, of which `position` are there.
    pub fn new(quiet: bool, name: &str, total: u64, position: u64) -> Self {
        let now = Instant::now();
        let output = if quiet {
            Output::Silent
        } else if io::stderr().is_terminal() {
            let template = "{prefix} {decimal_bytes}/{decimal_total_bytes} {wide_bar} \
                            {decimal_bytes_per_sec} · ETA {eta}";
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total).with_style(style).with_position(position);
            Output::Bar(bar.with_prefix(name.to_owned()))
        } else {
            Output::Lines { next: now + LINE_EVERY }
        };
        Self { output, name: name.to_owned(), total, position, started: now, started_at: position }
    }

    /// So many bytes more.
    pub fn advance(&mut self, bytes: usize) {
        self.move_to(self.position + bytes as u64);
    }

    /// So many bytes in all, as after a new start.
    pub fn move_to(&mut self, position: u64) {
        self.position = position;
        self.started_at = self.started_at.min(position);
        let text = match &mut self.output {
            Output::Silent => return,
            Output::Bar(bar) => return bar.set_position(position),
            Output::Lines { next } if Instant::now() >= *next => {
                *next = Instant::now() + LINE_EVERY;
                self.line(self.started.elapsed())
            }
            Output::Lines { .. } => return,
        };
        say(&text);
    }

    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let rate = (self.position - self.started_at) as f64 / seconds;
        let eta = self.total.saturating_sub(self.position) as f64 / rate.max(1.0);
        format!(
            "{} {}/{} · {}/s · ETA {}",
            self.name,
            size(self.position),
            size(self.total),
            size(rate as u64),
            duration(eta)
        )
    }

    /// Prints a line above the bar; nothing when quiet.
    pub fn message(&self, text: &str) {
        match &self.output {
            Output::Silent => {}
            Output::Bar(bar) => bar.suspend(|| say(text)),
            Output::Lines { .. } => say(text),
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        match &self.output {
            Output::Silent => {}
            Output::Bar(bar) => bar.abandon(),
            Output::Lines { .. } => say(&self.line(self.started.elapsed())),
        }
    }
}

/// Prints a line on stderr, which may be closed.
pub fn say(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

/// Bytes for people: `433.3 MB`.
pub fn size(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        let sizes = [0, 999, 1_234, 433_292_294, 2_100_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.2 kB", "433.3 MB", "2.10 GB"]);
    }

    #[test]
    fn a_line_has_bytes_rate_and_time_left() {
        let mut transfer = Transfer::new(true, "a/b/model.safetensors", 10_000_000, 1_000_000);
        transfer.advance(3_000_000);
        let line = transfer.line(Duration::from_secs(2));
        assert_eq!(line, "a/b/model.safetensors 4.0 MB/10.0 MB · 1.5 MB/s · ETA 4s");
    }

    #[test]
    fn quiet_counts_without_output() {
        let mut transfer = Transfer::new(true, "a", 10, 4);
        transfer.advance(3);
        assert_eq!((transfer.position, transfer.started_at), (7, 4));
        transfer.move_to(0);
        assert_eq!((transfer.position, transfer.started_at), (0, 0));
    }
}
