//! The latency list beside this machine: what the picture, the terminal card and the page share.

use card::declare::Unit;
use card::findings::{own_peer, unknown_disk};
use card::format;
use card::metrics::{Grade, State, Value};
use card::reference::{self, Group, LATEST, Quote, Row};
use card::summary::Summary;

/// One line of the list with what this machine makes of it.
pub(in crate::report) struct Rung {
    row: &'static Row,
    /// This machine's value, or why there is none.
    pub(in crate::report) here: Result<Measured, String>,
    /// Why the value is not what the line speaks of.
    pub(in crate::report) but: Option<&'static str>,
}

impl Rung {
    /// The line's text.
    pub(in crate::report) fn label(&self) -> &'static str {
        &self.row.label
    }

    /// The same for narrow tables.
    pub(in crate::report) fn short(&self) -> &'static str {
        &self.row.short
    }

    /// The line in the version of that year; where neither that nor the latest table has it, in the
    /// nearest version that does.
    pub(in crate::report) fn beside(&self, year: u16) -> Option<Quote> {
        self.row.of(year).or_else(|| match self.latest() {
            Some(_) => None,
            None => self.row.nearest(year),
        })
    }

    /// The line in the version of that very year.
    pub(in crate::report) fn of(&self, year: u16) -> Option<Quote> {
        self.row.of(year)
    }

    /// The line in Dean and Ghemawat's own table.
    pub(in crate::report) fn latest(&self) -> Option<Quote> {
        self.row.of(LATEST)
    }
}

/// A value of this machine that may be drawn.
#[derive(Clone, Copy)]
pub(in crate::report) struct Measured {
    pub(in crate::report) ns: f64,
    pub(in crate::report) low: f64,
    pub(in crate::report) high: f64,
    pub(in crate::report) noisy: bool,
    /// How far the rounds differ.
    pub(in crate::report) grade: Option<Grade>,
}

impl Measured {
    /// `1.09 ns`
    pub(in crate::report) fn text(&self) -> String {
        format::within(self.ns, (self.low, self.high), Unit::Ns)
    }

    /// `1.08–1.10`, in the unit of [`Measured::text`].
    pub(in crate::report) fn interval(&self) -> String {
        format::ends(self.ns, (self.low, self.high), Unit::Ns)
    }
}

/// The rows of every version.
pub(in crate::report) fn rungs(summary: &Summary) -> Vec<Rung> {
    reference::ladder().rows.iter().map(|row| rung(summary, row)).collect()
}

/// What is on no list and was measured here.
pub(in crate::report) fn extras(summary: &Summary) -> Vec<Rung> {
    let rows = &reference::ladder().extras;
    rows.iter().map(|row| rung(summary, row)).filter(|r| r.here.is_ok()).collect()
}

fn rung(summary: &Summary, row: &'static Row) -> Rung {
    let other = row.unless.as_deref().and_then(|id| summary.metrics.number(id)).is_some();
    let metric = row.metric.as_deref().filter(|_| !other);
    let metric = metric.and_then(|id| summary.metrics.get(id));
    let own = row.group == Some(Group::Network) && own_peer(&summary.card);
    let here =
        measured(metric).map_err(|why| why.unwrap_or_else(|| format!("needs {}", row.needs)));
    // What no one knows to be an SSD or a rotating disk is neither.
    let unknown = || unknown_disk(&summary.card).filter(|_| row.group == Some(Group::Storage));
    Rung {
        row,
        but: own.then_some("the peer is this machine"),
        here: here.and_then(|measured| unknown().map_or(Ok(measured), Err)),
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
            grade: value.grade,
        }),
        _ => Err(value.reason.clone().map(|reason| match value.state {
            State::Inconsistent => format!("inconsistent: {reason}"),
            _ => reason,
        })),
    }
}

/// How this machine stands to a quoted figure: `6.2× faster`.
pub(in crate::report) fn ratio(here: &Measured, quote: Quote) -> Comparison {
    compared(quote.ns / here.ns)
}

/// How many times as fast, in words.
fn compared(factor: f64) -> Comparison {
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
pub(in crate::report) struct Comparison {
    pub(in crate::report) text: String,
    pub(in crate::report) order: std::cmp::Ordering,
}

/// Two digits: a ratio to a rounded figure deserves no more.
fn short(factor: f64) -> String {
    match factor {
        f if f < 10.0 => format!("{f:.1}"),
        f if f < 1e6 => format!("{f:.0}"),
        f => format::number(f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn every_row_of_every_version_is_there_with_a_figure() {
        let rungs = rungs(&fixture::summary());
        assert_eq!(rungs.len(), 18);
        for year in reference::ladder().years() {
            assert!(
                rungs.iter().all(|r| r.beside(year).is_some() || r.latest().is_some()),
                "{year}"
            );
        }
    }

    #[test]
    fn a_row_is_measured_or_says_what_it_needs() {
        let summary = fixture::recorded();
        let here = |summary: &Summary, label: &str| {
            rungs(summary).into_iter().find(|r| r.label() == label).unwrap().here
        };
        assert!(here(&summary, "L1 cache reference").is_ok());
        let skip = summary.card.skips.iter().find(|skip| skip.probe == "network").unwrap();
        let needs = format!("needs --peer HOST:PORT: {}", skip.reason);
        let row = "Round trip in datacenter";
        assert_eq!(here(&summary, row).err().unwrap(), needs);
        assert_eq!(here(&fixture::empty(), row).err().unwrap(), "needs --peer HOST:PORT");
    }

    #[test]
    fn what_two_methods_disagree_on_is_not_drawn() {
        let mut summary = fixture::summary();
        let l2 = summary.metrics.0.iter_mut().find(|v| v.id == "memory.latency.l2_ns").unwrap();
        l2.state = State::Inconsistent;
        l2.reason = Some("3 ns by one, 9 ns by the other".into());
        let rungs = rungs(&summary);
        let l2 = rungs.iter().find(|r| r.label() == "L2 cache reference").unwrap();
        assert!(l2.here.as_ref().err().unwrap().starts_with("inconsistent: 3 ns"));
    }

    #[test]
    fn a_rotating_disk_is_no_ssd() {
        let mut summary = fixture::recorded();
        let ssd = |summary: &Summary| {
            let rungs = rungs(summary);
            let row = rungs.into_iter().find(|r| r.label() == "Read 4 KB from SSD").unwrap();
            row.here
        };
        assert!(ssd(&summary).is_ok());
        let seek = summary.metrics.0.iter_mut().find(|v| v.id == "storage.seek_ns").unwrap();
        seek.value = Some(8e6);
        assert_eq!(ssd(&summary).err().unwrap(), "needs --scratch DIR on an SSD");
    }

    #[test]
    fn an_unknown_disk_is_no_ssd() {
        let mut summary = fixture::recorded();
        let file = |p: &&mut card::record::Point| p.probe == "storage" && p.quantity == "file";
        for point in summary.card.points.iter_mut().filter(file) {
            for (name, to) in [("claim", "unknown"), ("disk", "unknown"), ("file_system", "nfs4")] {
                point.params.insert(name.into(), to.into());
            }
        }
        let rungs = rungs(&summary);
        for row in ["Read 4 KB from SSD", "Read 1 MB from SSD"] {
            let rung = rungs.iter().find(|r| r.label() == row).unwrap();
            let why = rung.here.as_ref().err().unwrap();
            assert!(why.ends_with("the file is on nfs4, which names no disk"), "{why}");
        }
    }

    #[test]
    fn a_machine_is_no_network_of_its_own() {
        let but = |summary: &Summary| {
            let rungs = rungs(summary);
            rungs.iter().find(|r| r.row.id == "datacenter").unwrap().but
        };
        let mut summary = fixture::recorded();
        assert_eq!(but(&summary), None);
        let trip = fixture::point("network", "peer_round_trip", 0, Unit::Ns, vec![1e4]);
        let own = fixture::with(trip, &[("peer", "this_machine".into())]);
        summary.card.points.push(own);
        assert_eq!(but(&summary), Some("the peer is this machine"));
    }

    #[test]
    fn ratios_in_words() {
        let here = Measured { ns: 16.1, low: 16.0, high: 16.2, noisy: false, grade: None };
        let quote = |ns| Quote { ns, list: reference::ladder().list("P25").unwrap() };
        assert_eq!(ratio(&here, quote(100.0)).text, "6.2× faster");
        assert_eq!(ratio(&here, quote(16.0)).text, "about equal");
        assert_eq!(ratio(&here, quote(0.5)).text, "32× slower");
    }
}
