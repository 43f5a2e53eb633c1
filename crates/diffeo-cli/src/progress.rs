//! Progress: one live line on a terminal, a plain line every ten seconds elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Console;

/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// How often the live line is drawn anew.
const LIVE_EVERY: Duration = Duration::from_millis(100);

/// A line that shows how far the work is.
pub(crate) struct Progress {
    console: Console,
    live: Option<ProgressBar>,
    last: Instant,
}

impl Progress {
    /// Starts to show progress, where `console` allows it.
    pub(crate) fn new(console: &Console) -> Self {
        let live = (!console.quiet && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            match ProgressStyle::with_template("{msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { console: console.clone(), live, last: Instant::now() }
    }

    /// Shows `line` if it is time to.
    pub(crate) fn update(&mut self, line: impl FnOnce() -> String) {
        let every = if self.live.is_some() { LIVE_EVERY } else { PLAIN_EVERY };
        if self.console.quiet || self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        match &self.live {
            Some(bar) => bar.set_message(line()),
            None => self.console.note(line()),
        }
    }

    /// Warns without tearing the live line.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        match &self.live {
            Some(bar) => bar.suspend(|| self.console.warn(text)),
            None => self.console.warn(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate of rows: `950 rows/s`, `12.3k rows/s`.
pub(crate) fn rate(rows: u64, elapsed: Duration) -> String {
    let per_second = rows as f64 / elapsed.as_secs_f64().max(1e-9);
    match per_second {
        r if r >= 1e6 => format!("{:.1}M rows/s", r / 1e6),
        r if r >= 1e3 => format!("{:.1}k rows/s", r / 1e3),
        r => format!("{r:.0} rows/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn rates_are_short() {
        assert_eq!(rate(5000, Duration::from_secs(2)), "2.5k rows/s");
        assert_eq!(rate(0, Duration::ZERO), "0 rows/s");
    }
}
