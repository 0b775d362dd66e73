//! How far a run is, on standard error: on a terminal a bar below the card as far as it is known, which
//! sharpens from round to round; else a line a round.

use std::time::Duration;

use card::clean;
use card::file::{Card, End, EndState};
use card::record::Fail;
use card::summary::Summary;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cmd::say;
use crate::report::text;

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
        if let Ok(style) = ProgressStyle::with_template("{prefix}{bar:24} {msg}") {
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

    /// Whether someone looks on, and a round has ended since.
    pub(super) fn wants_card(&self, round: u32) -> bool {
        !self.bar.is_hidden() && self.last_round.is_some_and(|last| last < round)
    }

    /// The card as far as it is known, above the bar.
    pub(super) fn show_card(&self, card: &Card, so_far: Duration) {
        let (height, width) = Term::stderr().size();
        // As if it had ended now: what is missing is what the rounds to come are for.
        let end = End { state: EndState::Complete, wall_s: so_far.as_secs_f64() };
        let summary = Summary::of(Card { end: Some(end), ..card.clone() });
        let text =
            text::brief(&summary, "CARD", usize::from(width), console::colors_enabled_stderr());
        // A line for the bar, and one so that nothing scrolls.
        let room = usize::from(height).saturating_sub(2);
        let lines = text.lines().take(room).map(|line| format!("{line}\n"));
        self.bar.set_prefix(lines.collect::<String>());
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
