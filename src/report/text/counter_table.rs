//! What counters say: the proofs, and a table for each probe.

use super::sheet::{self, Cell, Sheet, Style};
use crate::report::view::counter_table::{self, Column, Table};
use card::counters::CounterSupport;
use card::metrics::counters::Row;
use card::summary::Summary;

/// Settings of a probe that are shown; the page has all.
const MOST_ROWS: usize = 8;

/// A label that gets less room than this has a line of its own.
const LEAST_LABEL: usize = 26;

const INDENT: usize = 2;

pub(super) fn draw(sheet: &mut Sheet, summary: &Summary) {
    let card = &summary.card;
    let (clock, decided) = (counter_table::clock(card), counter_table::decided(card));
    let (obstacles, tables) = (counter_table::obstacles(card), counter_table::tables(card));
    if clock.is_none() && decided.is_empty() && obstacles.is_empty() && tables.is_empty() {
        return;
    }
    sheet.heading("Counters");
    if let Some(clock) = clock {
        sheet.wrapped("· ", &clock, Style::Plain);
    }
    for proof in decided {
        let (mark, style) = if proof.holds { ("✓ ", Style::Plain) } else { ("≠ ", Style::Red) };
        sheet.wrapped(mark, &proof.text, style);
    }
    legend(sheet, &tables);
    for table in &tables {
        draw_table(sheet, &card.header.counters, table);
    }
    for obstacle in obstacles {
        sheet.wrapped("– ", &obstacle, Style::Dim);
    }
}

fn legend(sheet: &mut Sheet, tables: &[Table]) {
    if tables.is_empty() {
        return;
    }
    let columns = counter_table::columns(tables);
    let heads = columns.iter().filter_map(|c| Some(format!("{}: {}", c.head(), c.meaning()?)));
    let heads = heads.collect::<Vec<String>>().join("; ");
    sheet.wrapped("", &format!("{} {heads}.", counter_table::LEGEND), Style::Dim);
    if let Some(legend) = counter_table::slots_legend(tables) {
        sheet.wrapped("", &legend, Style::Dim);
    }
}

fn draw_table(sheet: &mut Sheet, survey: &CounterSupport, table: &Table) {
    let (rows, more) = table.first(MOST_ROWS);
    let (columns, left_out) = fitting(&table.columns, sheet.width() - INDENT);
    let room = sheet.width().saturating_sub(taken(&columns) + 1);
    let labels: Vec<String> = rows.iter().map(|row| counter_table::label(row)).collect();
    let longest = labels.iter().map(|label| sheet::columns(label)).max().unwrap_or(0);
    let in_line = longest <= room || room >= 2 * LEAST_LABEL;
    let put = |sheet: &mut Sheet, label: &str, figures: Vec<String>, bold, style| {
        let figures =
            columns.iter().zip(figures).map(|(c, text)| Cell::right(&text, c.width(), style));
        let label = if in_line {
            label
        } else {
            sheet.wrapped("", label, bold);
            ""
        };
        let cells: Vec<Cell> = [Cell::left(label, room, bold)].into_iter().chain(figures).collect();
        sheet.row(&cells);
    };
    let heads = columns.iter().map(|column| column.head().to_owned()).collect();
    put(sheet, &table.probe, heads, Style::Bold, Style::Dim);
    for (row, label) in rows.into_iter().zip(&labels) {
        let figures = columns.iter().map(|column| column.text(row, survey)).collect();
        put(sheet, label, figures, Style::Plain, Style::Plain);
    }
    let left_out: Vec<&str> = left_out.iter().map(|column| column.head()).collect();
    for (what, which) in [
        ("more settings, on the page", if more > 0 { more.to_string() } else { String::new() }),
        ("columns too many for this width", left_out.join(", ")),
        ("under 0.001 per operation", table.seldom.join(", ")),
    ] {
        if !which.is_empty() {
            sheet.wrapped("  ", &format!("{what}: {which}"), Style::Dim);
        }
    }
}

/// Figures side by side: the shares of slots stand together in one of them.
#[derive(Clone)]
enum Figures {
    One(Column),
    Slots(Vec<Column>),
}

impl Figures {
    fn width(&self) -> usize {
        match self {
            Figures::One(Column::Ipc) => 5,
            Figures::One(_) => 7,
            Figures::Slots(_) => 11,
        }
    }

    fn head(&self) -> &'static str {
        match self {
            Figures::One(column) => column.head(),
            Figures::Slots(_) => "slots %",
        }
    }

    fn text(&self, row: &Row, survey: &CounterSupport) -> String {
        match self {
            Figures::One(column) => column.text(row, survey),
            Figures::Slots(parts) => {
                let shares: Vec<String> = parts.iter().map(|part| part.text(row, survey)).collect();
                // Where the shares contradict each other, the rest is not known.
                let known = |share: String| if share.is_empty() { "?".to_owned() } else { share };
                if shares.iter().all(String::is_empty) {
                    return String::new();
                }
                shares.into_iter().map(known).collect::<Vec<String>>().join("/")
            }
        }
    }
}

/// As many columns as fit, and the heads of the others: the last events go first.
fn fitting(columns: &[Column], room: usize) -> (Vec<Figures>, Vec<Column>) {
    let (parts, single): (Vec<Column>, Vec<Column>) =
        columns.iter().partition(|column| matches!(column, Column::Share(_)));
    let mut kept: Vec<Figures> = single.into_iter().map(Figures::One).collect();
    if !parts.is_empty() {
        kept.push(Figures::Slots(parts));
    }
    let mut left_out = Vec::new();
    while taken(&kept) > room {
        let counts = |figures: &Figures| matches!(figures, Figures::One(Column::Count(_)));
        let Some(at) = kept.iter().rposition(counts) else { break };
        if let Figures::One(column) = kept.remove(at) {
            left_out.insert(0, column);
        }
    }
    (kept, left_out)
}

/// What the figures take, each with a blank before it.
fn taken(columns: &[Figures]) -> usize {
    columns.iter().map(|figures| figures.width() + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::super::card;
    use super::*;
    use card::machine::human_bytes;
    use card::{fixture, series};

    /// The lines of the section.
    fn section(summary: &Summary, width: usize) -> String {
        let text = card(summary, width, false);
        let lines = text.lines().skip_while(|l| !l.starts_with("Counters ─"));
        let lines: Vec<&str> = lines.take_while(|l| !l.is_empty()).collect();
        lines.join("\n")
    }

    #[test]
    fn every_probe_has_a_short_table_and_every_proof_its_verdict() {
        let summary = fixture::counted();
        let walks = series::settings(&summary.card, "memory-latency", "latency");
        let huge = walks.iter().filter(|s| s.is("variant", "random_2m"));
        let largest = huge.filter_map(|s| s.int("working_set")).max().unwrap();
        let largest = format!("random 2m, {}", human_bytes(largest.cast_unsigned()));
        for width in [60, 80, 120] {
            let text = section(&summary, width);
            for part in [
                "cycles by the counter / by the add chain: 1.00",
                "✓ 0.98",
                "it really was main memory",
                "≠ 0.3",
                "IPC: instructions per cycle",
                "memory-latency",
                &largest,
                "under 0.001 per operation: mispredicts",
                "wrong speculation (or an active SMT sibling)",
            ] {
                let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(flat.contains(part), "{width}: {part} missing in\n{text}");
            }
            assert!(text.lines().all(|line| sheet::columns(line) <= width), "{text}");
            let rows = text.lines().filter(|l| l.starts_with("latency, ")).count();
            assert!((4..=MOST_ROWS).contains(&rows), "{rows} rows in\n{text}");
        }
        let narrow = section(&summary, 60);
        assert!(narrow.contains("too many for this width: "), "{narrow}");
        assert!(!section(&summary, 120).contains("too many for"));
    }

    #[test]
    fn where_nothing_is_counted_a_line_says_why_and_what_helps() {
        let summary = fixture::uncounted();
        let text = section(&summary, 80);
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("no core PMU") && flat.contains("-cpu host,pmu=on"), "{text}");
        assert!(text.lines().count() <= 6, "{text}");
        assert!(!text.contains("IPC"), "no table of blanks:\n{text}");
        // An old card says nothing of counters, and so does its report.
        let mut old = fixture::uncounted();
        old.card.header.counters = Default::default();
        assert_eq!(section(&old, 80), "");
    }

    #[test]
    fn events_of_the_kernel_are_shown_where_they_are_part_of_the_operation() {
        let mut summary = fixture::uncounted();
        let faults = |n| [(card::counters::Event::Faults, n)].into();
        let card = &mut summary.card;
        card.points.iter_mut().filter(|p| p.probe == "tlb").for_each(|p| p.counts = faults(1));
        assert!(!section(&summary, 80).contains("tlb"));
        let card = &mut summary.card;
        let ops = |p: &mut card::record::Point| p.counts = faults(p.ops);
        card.points.iter_mut().filter(|p| p.probe == "memory-latency").for_each(ops);
        let text = section(&summary, 80);
        assert!(text.contains("memory-latency") && text.contains("faults"), "{text}");
        assert!(!text.contains("IPC"), "{text}");
    }
}
