//! How far a file has come: a bar with bytes, rate and time left in a terminal, else a line every
//! ten seconds.

use std::time::{Duration, Instant};

use crate::progress::{Output, duration, print_line};

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
        let template = "{prefix} {decimal_bytes}/{decimal_total_bytes} {wide_bar} \
                        {decimal_bytes_per_sec} · ETA {eta}";
        let output = Output::new(quiet, template, name, (position, total));
        let (name, started) = (name.to_owned(), Instant::now());
        Self { output, name, total, position, started, started_at: position }
    }

    /// So many bytes more.
    pub fn advance(&mut self, bytes: usize) {
        self.move_to(self.position + bytes as u64);
    }

    /// So many bytes in all, as after a new start.
    pub fn move_to(&mut self, position: u64) {
        self.position = position;
        self.started_at = self.started_at.min(position);
        if let Output::Bar(bar) = &self.output {
            bar.set_position(position);
        } else if self.output.is_line_due(false) {
            print_line(&self.line(self.started.elapsed()));
        }
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
        self.output.message(text);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Output::Lines { .. } = &self.output {
            print_line(&self.line(self.started.elapsed()));
        }
    }
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
