//! How far `publish --lines` has come, told on a terminal.

use std::{
    io::{IsTerminal, Write, stderr, stdin},
    time::{Duration, Instant},
};

/// How often it is told.
const PACE: Duration = Duration::from_millis(100);

/// A line on standard error that is written over and over. Where that is no terminal, or what is
/// typed would stand in between, nothing is told.
pub(super) struct Progress {
    start: Instant,
    lines: usize,
    told: Option<Instant>,
    is_seen: bool,
}

impl Progress {
    pub(super) fn start() -> Self {
        let is_seen = stderr().is_terminal() && !stdin().is_terminal();
        Self { start: Instant::now(), lines: 0, told: None, is_seen }
    }

    pub(super) fn add(&mut self, lines: usize) {
        self.lines += lines;
        if self.is_seen && self.told.is_none_or(|told| told.elapsed() >= PACE) {
            self.told = Some(Instant::now());
            self.tell("");
        }
    }

    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    fn tell(&self, end: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        let (lines, rate) = (self.lines, self.lines as f64 / seconds);
        let line = format!("{lines} lines in {seconds:.1} s, {rate:.0}/s");
        // It is there to be looked at, no more.
        let _ = write!(stderr(), "\r{line}\x1b[K{end}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.is_some() {
            self.tell("\n");
        }
    }
}
