//! How far a run is, on standard error: a bar on a terminal, else a line a round.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use card::clean;

use crate::cmd::say;
use card::record::Fail;

pub(super) struct Progress {
    bar: ProgressBar,
    rounds: u32,
    last_round: Option<u32>,
}

impl Progress {
    pub(super) fn new(items: usize, rounds: u32) -> Progress {
        let bar = ProgressBar::with_draw_target(
            Some(items as u64),
            // Drawn only between rounds: a ticking bar would disturb what is measured.
            ProgressDrawTarget::stderr(),
        );
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}") {
            bar.set_style(style);
        }
        Progress { bar, rounds, last_round: None }
    }

    /// The next round begins; `left` is what remains of the budget.
    pub(super) fn begin(&mut self, probe: &str, round: u32, left: Duration) {
        let text =
            format!("round {}/{}, {probe}, {} s left", round + 1, self.rounds, left.as_secs());
        if self.last_round.is_some() {
            self.bar.inc(1);
        }
        if self.bar.is_hidden() && self.last_round != Some(round) {
            say(&format!("round {}/{}, {} s left", round + 1, self.rounds, left.as_secs()));
        }
        self.last_round = Some(round);
        self.bar.set_message(text);
        self.bar.tick();
    }

    /// What went wrong, at once.
    pub(super) fn fail(&self, fail: &Fail) {
        let text = format!("{} round {}: {}", fail.probe, fail.round + 1, fail.how);
        if self.bar.is_hidden() {
            say(&text);
        } else {
            self.bar.println(clean::lines(&text));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
