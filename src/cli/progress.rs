//! A line on standard error that says how far a sweep or a plan is, its rate and the time left. On a terminal only, and not where
//! `--quiet` or `NO_COLOR` asks for plain output; no escape sequences.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Least time between two changes of the line.
const EVERY: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    all: u64,
    before: u64,
    done: u64,
    started: Instant,
    last: Option<Instant>,
}

impl Progress {
    /// `done` of `all` points are there already.
    pub(super) fn new(quiet: bool, done: u64, all: u64) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let shown = !quiet && !plain && stderr().is_terminal();
        Progress { shown, all, before: done, done, started: Instant::now(), last: None }
    }

    /// One point more.
    pub(super) fn step(&mut self) {
        self.done += 1;
        let due = self.done == self.all || self.last.is_none_or(|last| last.elapsed() >= EVERY);
        if self.shown && due {
            self.last = Some(Instant::now());
            // Blanks wipe what a longer line left.
            let _ = write!(stderr(), "\r{:<70}", self.text(self.started.elapsed().as_secs_f64()));
        }
    }

    /// So many points more.
    pub(super) fn steps(&mut self, points: usize) {
        (0..points).for_each(|_| self.step());
    }

    /// Ends the line.
    pub(super) fn end(&self) {
        if self.shown && self.last.is_some() {
            let _ = writeln!(stderr());
        }
    }

    fn text(&self, seconds: f64) -> String {
        let rate = (self.done - self.before) as f64 / seconds.max(1e-3);
        let left = (self.all - self.done) as f64 / rate.max(1e-9);
        let percent = 100 * self.done / self.all.max(1);
        format!("{}/{} points ({percent} %), {rate:.1} a second, {} left", self.done, self.all, clock(left))
    }
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_what_this_run_did() {
        let mut progress = Progress::new(true, 10, 110);
        for _ in 0..50 {
            progress.step();
        }
        assert_eq!(progress.text(10.0), "60/110 points (54 %), 5.0 a second, 10 s left");
        assert_eq!(clock(3725.0), "1 h 2 min");
        assert_eq!(clock(61.0), "1 min 1 s");
    }
}
