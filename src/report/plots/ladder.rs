//! The latency ladder: what was measured here of every version of the list, on one logarithmic axis,
//! beside the version that the reader chooses and the table of 2025.

use std::cmp::Ordering;

use super::canvas::Symbol;
use super::chart::{Chart, Panel};
use super::curves::{Scale, ends, time};
use super::rows::{Cell, Dot, Group, Key, Row, Rows};
use super::theme::{BLUE, MUTED};
use crate::report::view::ladder::{Measured, Rung, extras, ratio, rungs};
use card::reference::{self, LATEST, QUOTED, Quote};
use card::summary::Summary;

/// A line that was measured here.
struct Line {
    rung: Rung,
    here: Measured,
}

/// `None` when the card has none of the numbers.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let all: Vec<Rung> = rungs(summary).into_iter().chain(extras(summary)).collect();
    let missing: Vec<&str> =
        all.iter().filter(|rung| rung.here.is_err()).map(Rung::label).collect();
    let caption = match &missing[..] {
        [] => String::new(),
        _ => format!("Not measured here: {}.", missing.join(", ")),
    };
    let line = |rung: Rung| {
        let here = *rung.here.as_ref().ok()?;
        Some(Line { rung, here })
    };
    let mut lines: Vec<Line> = all.into_iter().filter_map(line).collect();
    lines.sort_by(|a, b| a.here.ns.total_cmp(&b.here.ns));
    if lines.is_empty() {
        return None;
    }
    let years = years();
    let all = lines.iter().flat_map(|line| {
        let quotes = years.iter().filter_map(|year| line.rung.beside(*year));
        let quotes = quotes.chain(line.rung.latest()).map(|q| q.ns);
        quotes.chain([line.here.ns]).collect::<Vec<f64>>()
    });
    let (low, high) = ends(all.filter(|ns| *ns > 0.0));
    let range = (10f64.powf(low.log10().floor()), 10f64.powf(high.log10().ceil()));
    let says: Vec<String> =
        lines.iter().map(|l| format!("{} {}", l.rung.label(), l.text())).collect();
    Some(Chart {
        name: "ladder",
        title: title(&lines),
        subtitle: "Latency numbers every programmer should know: time per operation".into(),
        says: format!("Measured here: {}.", says.join(", ")),
        caption,
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Rows(Rows {
            x: Scale::log("time per operation, log", range, time),
            value: "this machine",
            keys: keys(&years),
            columns: vec![years.iter().map(|y| cell(*y, format!("against {y}"))).collect()],
            groups: vec![Group {
                head: String::new(),
                rows: lines.iter().map(|line| line.row(&years)).collect(),
            }],
        })],
    })
}

/// The versions that the reader can choose.
fn years() -> Vec<u16> {
    let mut years = reference::ladder().years();
    years.retain(|year| *year != LATEST);
    years
}

fn cell(year: u16, text: String) -> Cell {
    Cell { text, layer: Some(year) }
}

fn keys(years: &[u16]) -> Vec<Key> {
    let key = |symbol, ink, text: String, layer| Key { symbol, ink, text, layer };
    let here = key(Symbol::Dot, BLUE, "this machine (hollow: rounds differ)".into(), None);
    let latest = key(Symbol::Diamond, MUTED, format!("table of {LATEST}"), None);
    let years =
        years.iter().map(|year| key(Symbol::Square, MUTED, format!("list of {year}"), Some(*year)));
    [here, latest].into_iter().chain(years).collect()
}

const MEMORY: &str = "Main memory reference";

/// What stands out against the list that everybody quotes.
fn title(lines: &[Line]) -> String {
    let steady = lines.iter().filter(|l| !l.here.noisy && l.rung.but.is_none());
    let quoted = steady.filter_map(|l| {
        let quote = l.rung.beside(QUOTED).filter(|q| q.list.year == Some(QUOTED))?;
        Some((l, quote, quote.ns / l.here.ns))
    });
    let mut quoted: Vec<(&Line, Quote, f64)> = quoted.collect();
    quoted.sort_by(|a, b| a.2.total_cmp(&b.2));
    // Loads from memory mean the same in every list; the first one's L1 was no load.
    let memory = quoted.iter().find(|q| q.0.rung.label() == MEMORY);
    let part = |(line, quote, _): &(&Line, Quote, f64)| {
        let ratio = ratio(&line.here, *quote);
        (ratio.order != Ordering::Equal).then(|| format!("{} {}", line.rung.label(), ratio.text))
    };
    let parts: Vec<String> = match &quoted[..] {
        [] => Vec::new(),
        [only] => part(only).into_iter().collect(),
        [.., last] => memory.into_iter().chain([last]).filter_map(part).collect(),
    };
    match &parts[..] {
        [] => "Latency numbers on this machine".into(),
        _ => format!("Against {QUOTED}: {}", parts.join(", ")),
    }
}

impl Line {
    fn text(&self) -> String {
        self.here.text()
    }

    fn row(&self, years: &[u16]) -> Row {
        let reference = |quote: Quote, symbol, layer| Dot {
            at: quote.ns,
            range: None,
            symbol,
            ink: MUTED,
            layer,
        };
        let of_years = years.iter().filter_map(|year| {
            let quote = self.rung.beside(*year)?;
            Some(reference(quote, Symbol::Square, Some(*year)))
        });
        let latest = self.rung.latest().map(|quote| reference(quote, Symbol::Diamond, None));
        let symbol = if self.here.noisy { Symbol::Ring } else { Symbol::Dot };
        let here = Dot { at: self.here.ns, range: None, symbol, ink: BLUE, layer: None };
        let against = |year: &u16| {
            let Some(quote) = self.rung.beside(*year) else { return Cell::default() };
            let other = quote.list.year.filter(|of| of != year);
            let other = other.map(|of| format!(" of {of}")).unwrap_or_default();
            let ratio = ratio(&self.here, quote).text;
            cell(*year, format!("{ratio}, {}{other}", time(quote.ns)))
        };
        Row {
            name: self.rung.label().to_owned(),
            note: self.rung.but.unwrap_or_default().to_owned(),
            value: self.text(),
            // References first, so that this machine is on top of them.
            dots: of_years.chain(latest).chain([here]).collect(),
            cells: vec![years.iter().map(against).collect()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn what_was_measured_is_drawn_in_order_and_the_rest_is_named() {
        let summary = fixture::summary();
        let chart = chart(&summary).unwrap();
        let Panel::Rows(rows) = &chart.panels[0] else { panic!("rows") };
        let rows = &rows.groups[0].rows;
        let here: Vec<f64> = rows.iter().map(|row| row.dots.last().unwrap().at).collect();
        assert!(here.is_sorted() && here.len() > 8, "{here:?}");
        let missing = rungs(&summary).into_iter().filter(|r| r.here.is_err());
        for rung in missing {
            assert!(chart.caption.contains(rung.label()), "{}", rung.label());
            assert!(rows.iter().all(|row| row.name != rung.label()));
        }
        for text in ["Core-to-core transfer", "Context switch", "L3"] {
            let found =
                rows.iter().any(|row| row.name.to_lowercase().contains(&text.to_lowercase()));
            assert!(found, "{text}: {:?}", rows.iter().map(|r| &r.name).collect::<Vec<_>>());
        }
    }

    /// One drawing has all years; a file has the one that is quoted.
    #[test]
    fn years_are_layers() {
        let chart = chart(&fixture::summary()).unwrap();
        let page = chart.svg(Form::Wide);
        for year in years() {
            assert!(page.contains(&format!("class=\"year of-{year}\"")), "{year}");
        }
        let file = chart.svg(Form::File);
        assert!(file.contains("list of 2012") && !file.contains("list of 2007"));
        assert!(page.len() < 150_000, "{}", page.len());
    }

    #[test]
    fn a_card_without_any_of_the_numbers_has_no_ladder() {
        assert!(chart(&fixture::empty()).is_none());
    }
}
