//! The memory system in short: bandwidths as a table, and what several metrics say together.

use super::sheet::{Cell, Sheet, Style};
use super::{Summary, mark};
use crate::report::view::bandwidth::{self, LEVELS, Row};
use card::metrics::{State, Value};

/// Which columns fit.
#[derive(Clone, Copy)]
struct Columns {
    per_cycle: bool,
    bus: bool,
}

const NAME: usize = 9;
const GBS: usize = 7;
const PER_CYCLE: usize = 6;
const ALL: usize = 8;
const BUS: usize = 8;

impl Columns {
    fn of(width: usize, rows: &[Row<'_>]) -> Columns {
        let slim = NAME + LEVELS.len() * (1 + GBS) + 1 + ALL;
        let full = slim + LEVELS.len() * (1 + PER_CYCLE);
        Columns {
            per_cycle: width >= full,
            bus: width > full + BUS && rows.iter().any(|r| r.bus.is_some()),
        }
    }
}

pub(super) fn draw(sheet: &mut Sheet, summary: &Summary) {
    let rows = bandwidth::rows(&summary.metrics);
    if rows.is_empty() {
        return;
    }
    sheet.heading("Bandwidth");
    table(sheet, &rows);
}

fn table(sheet: &mut Sheet, rows: &[Row<'_>]) {
    let columns = Columns::of(sheet.width(), rows);
    let what = "Application bytes (no RFO), one thread at its best width; of DRAM also all threads \
                together.";
    sheet.wrapped("", what, Style::Dim);
    head(sheet, columns);
    for row in rows {
        line(sheet, columns, row);
    }
    for (reason, cells) in bandwidth::missing(rows) {
        sheet.wrapped("– ", &format!("{}: {reason}", cells.join("; ")), Style::Dim);
    }
    if let Some((least, most)) = bandwidth::noise(rows) {
        let (least, most) = (format!("{:.0}", 100.0 * least), format!("{:.0}", 100.0 * most));
        let range = if least == most { most } else { format!("{least} to {most}") };
        sheet.wrapped("~ ", &format!("spread of {range} % between rounds"), Style::Dim);
    }
}

fn head(sheet: &mut Sheet, columns: Columns) {
    let dim = |text: &str, width| Cell::right(text, width, Style::Dim);
    let mut names = vec![Cell::left("", NAME, Style::Dim)];
    let mut units = vec![Cell::left("", NAME, Style::Dim)];
    for (_, name) in LEVELS {
        names.push(dim(name, GBS));
        units.push(dim("GB/s", GBS));
        if columns.per_cycle {
            names.push(dim("", PER_CYCLE));
            units.push(dim("B/cyc", PER_CYCLE));
        }
    }
    names.push(dim("all", ALL));
    units.push(dim("threads", ALL));
    if columns.bus {
        names.push(dim("with", BUS));
        units.push(dim("RFO", BUS));
    }
    sheet.row(&names);
    sheet.row(&units);
}

fn line(sheet: &mut Sheet, columns: Columns, row: &Row<'_>) {
    let mut cells = vec![Cell::left(row.kernel, NAME, Style::Plain)];
    for cell in row.levels {
        cells.push(rate(cell.gbs, GBS, Style::Bold));
        if columns.per_cycle {
            cells.push(rate(cell.per_cycle, PER_CYCLE, Style::Plain));
        }
    }
    cells.push(rate(row.all_threads, ALL, Style::Plain));
    if columns.bus {
        cells.push(rate(row.bus, BUS, Style::Plain));
    }
    sheet.row(&cells);
}

fn rate(value: Option<&Value>, width: usize, good: Style) -> Cell {
    let Some(value) = value else { return Cell::right("", width, Style::Plain) };
    let (mark, style) = mark(value);
    let style = if value.state == State::Ok { good } else { style };
    Cell::right(&format!("{mark}{}", bandwidth::number(value)), width, style)
}

#[cfg(test)]
mod tests {
    use super::super::card;
    use super::*;
    use card::fixture;

    /// The lines of the section.
    fn section(summary: &Summary, width: usize) -> Vec<String> {
        let text = card(summary, width, false);
        let lines = text.lines().skip_while(|l| !l.starts_with("Bandwidth"));
        lines.take_while(|l| !l.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn eighty_bandwidths_are_a_line_for_each_kernel() {
        let summary = fixture::recorded();
        let kernels: Vec<&str> =
            bandwidth::rows(&summary.metrics).iter().map(|row| row.kernel).collect();
        for width in [60, 80, 120] {
            let lines = section(&summary, width);
            let first = lines.iter().filter_map(|l| l.split_whitespace().next());
            let first: Vec<&str> = first.filter(|word| kernels.contains(word)).collect();
            assert_eq!(first, kernels);
            assert!(lines.len() < kernels.len() + 12, "{lines:#?}");
            assert_eq!(lines.iter().any(|l| l.contains("B/cyc")), width >= 80);
            assert_eq!(lines.iter().any(|l| l.ends_with("   RFO")), width >= 120);
        }
        let text = card(&summary, 120, false);
        assert!(!text.contains("memory.bandwidth."), "{text}");
    }

    #[test]
    fn states_stay_visible() {
        let mut summary = fixture::recorded();
        summary.metrics.0.iter_mut().for_each(|v| v.state = State::Ok);
        let mut change = |id: &str, state, value: Option<f64>| {
            let at = summary.metrics.0.iter_mut().find(|v| v.id == id).unwrap();
            (at.state, at.value) = (state, value);
            (at.low, at.high) = (value.map(|v| 0.9 * v), value.map(|v| 1.1 * v));
            at.reason = Some("because of the test".into());
        };
        change("memory.bandwidth.read.l1_gbs", State::Noisy, Some(123.0));
        change("memory.bandwidth.read.l2_gbs", State::Inconsistent, Some(45.6));
        change("memory.bandwidth.write.l3_gbs", State::Unavailable, None);
        let lines = section(&summary, 80);
        let read = lines.iter().find(|l| l.starts_with("read ")).unwrap();
        assert!(read.contains(" ~123 ") && read.contains(" ≠46 "), "{read}");
        let text = lines.join("\n");
        assert!(text.contains("– write in L3: because of the test"), "{text}");
        assert!(text.contains("spread of 20 % between rounds"), "{text}");
    }

    #[test]
    fn a_card_without_a_memory_system_has_no_section() {
        assert!(section(&fixture::empty(), 80).is_empty());
    }
}
