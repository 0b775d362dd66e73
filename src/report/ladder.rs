//! The latency list beside this machine: what the picture, the terminal card and the page share.

use super::Summary;
use super::format;
use crate::metrics::{State, Value};
use crate::reference::{self, Quote, Row};

/// One line of the list with what this machine makes of it.
pub(super) struct Rung {
    /// The line's text.
    pub(super) label: &'static str,
    /// This machine's value, or why there is none.
    pub(super) here: Result<Measured, String>,
    /// The list of 2012.
    pub(super) old: Option<Quote>,
    /// The table of 2025.
    pub(super) new: Option<Quote>,
}

/// A value of this machine that may be drawn.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub(super) ns: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) noisy: bool,
}

impl Measured {
    /// `1.09 ns`
    pub(super) fn text(&self) -> String {
        format::quantity(self.ns, probecard_probes::probe::Unit::Ns)
    }

    /// `1.08–1.10`, in the unit of [`Measured::text`].
    pub(super) fn interval(&self) -> String {
        let scale = format::scale(self.ns, probecard_probes::probe::Unit::Ns);
        let (low, high) = (self.low / scale.factor, self.high / scale.factor);
        let (low, high) = (format::number(low), format::number(high));
        if low == high { low } else { format!("{low}–{high}") }
    }
}

/// The rows that are on the list of 2012 or the table of 2025.
pub(super) fn rungs(summary: &Summary) -> Vec<Rung> {
    let rows = &reference::ladder().rows;
    rows.iter()
        .map(|row| rung(summary, row))
        .filter(|r| r.old.is_some() || r.new.is_some())
        .collect()
}

/// What is on no list and was measured here.
pub(super) fn extras(summary: &Summary) -> Vec<Rung> {
    let rows = &reference::ladder().extras;
    rows.iter().map(|row| rung(summary, row)).filter(|r| r.here.is_ok()).collect()
}

fn rung(summary: &Summary, row: &'static Row) -> Rung {
    let metric = row.metric.as_deref().and_then(|id| summary.metrics.get(id));
    Rung {
        label: &row.label,
        here: measured(metric).map_err(|why| why.unwrap_or_else(|| format!("needs {}", row.needs))),
        old: row.of_2012(),
        new: row.of_2025(),
    }
}

/// The error is the card's own reason, if it has one.
fn measured(metric: Option<&Value>) -> Result<Measured, Option<String>> {
    let value = metric.ok_or(None)?;
    match format::believable(value) {
        Some(ns) if ns > 0.0 => Ok(Measured {
            ns,
            low: value.low.unwrap_or(ns).min(ns),
            high: value.high.unwrap_or(ns).max(ns),
            noisy: value.state == State::Noisy,
        }),
        _ => Err(value.reason.clone().map(|reason| match value.state {
            State::Inconsistent => format!("inconsistent: {reason}"),
            _ => reason,
        })),
    }
}

/// How this machine stands to a quoted figure: `6.2× faster`.
pub(super) fn ratio(here: &Measured, quote: Quote) -> Comparison {
    let factor = quote.ns / here.ns;
    if (0.95..=1.05).contains(&factor) {
        Comparison { text: "about equal".into(), order: std::cmp::Ordering::Equal }
    } else if factor > 1.0 {
        Comparison { text: format!("{}× faster", short(factor)), order: std::cmp::Ordering::Less }
    } else {
        let text = format!("{}× slower", short(1.0 / factor));
        Comparison { text, order: std::cmp::Ordering::Greater }
    }
}

/// A comparison in words, and whether this machine takes less time or more.
pub(super) struct Comparison {
    pub(super) text: String,
    pub(super) order: std::cmp::Ordering,
}

/// Two digits: a ratio to a rounded figure deserves no more.
fn short(factor: f64) -> String {
    if factor < 10.0 { format!("{factor:.1}") } else { format!("{factor:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_row_of_the_two_drawn_lists_is_there() {
        let rungs = rungs(&fixture::summary());
        assert_eq!(rungs.len(), 16);
        let labels: Vec<&str> = rungs.iter().map(|r| r.label).collect();
        assert!(labels.contains(&"L1 cache reference") && labels.contains(&"Disk seek"));
    }

    #[test]
    fn a_row_is_measured_or_says_what_it_needs() {
        let summary = fixture::summary();
        let rungs = rungs(&summary);
        let find = |label: &str| rungs.iter().find(|r| r.label == label).unwrap();
        assert!(find("L1 cache reference").here.is_ok());
        let needs = find("Send 2 KB over 1 Gbps").here.as_ref().err().unwrap();
        assert_eq!(needs, "needs --peer HOST:PORT");
    }

    #[test]
    fn what_two_methods_disagree_on_is_not_drawn() {
        let mut summary = fixture::summary();
        let l2 = summary.metrics.0.iter_mut().find(|v| v.id == "memory.latency.l2_ns").unwrap();
        l2.state = State::Inconsistent;
        l2.reason = Some("3 ns by one, 9 ns by the other".into());
        let rungs = rungs(&summary);
        let l2 = rungs.iter().find(|r| r.label == "L2 cache reference").unwrap();
        assert!(l2.here.as_ref().err().unwrap().starts_with("inconsistent: 3 ns"));
    }

    #[test]
    fn ratios_in_words() {
        let here = Measured { ns: 16.1, low: 16.0, high: 16.2, noisy: false };
        let quote = |ns| Quote { ns, list: reference::ladder().list("P25").unwrap() };
        assert_eq!(ratio(&here, quote(100.0)).text, "6.2× faster");
        assert_eq!(ratio(&here, quote(16.0)).text, "about equal");
        assert_eq!(ratio(&here, quote(0.5)).text, "32× slower");
    }
}
