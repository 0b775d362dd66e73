//! The latency ladder as a table, with a small log plot where the terminal is wide enough.

use super::sheet::{Cell, Sheet, Style};
use super::{Summary, format, order_style};
use crate::report::view::grouped;
use crate::report::view::ladder::{Measured, Rung, extras, ratio, rungs};
use card::declare::Unit;
use card::reference::{QUOTED, Quote};

/// The plot's scale: 0.1 ns to 1 s.
const DECADES: (f64, f64) = (-1.0, 9.0);

/// Which columns fit.
#[derive(Clone, Copy)]
struct Columns {
    /// Width of the labels.
    label: usize,
    /// The spread between rounds.
    interval: bool,
    /// A ratio to the list of 2012 beside the one to the table of 2025.
    both: bool,
    /// Width of the plot; 0: none.
    plot: usize,
}

impl Columns {
    fn of(width: usize) -> Columns {
        let plot = width.saturating_sub(88 + 2).min(41);
        Columns {
            label: if width >= 80 { 24 } else { 23 },
            interval: width >= 80,
            both: width >= 92,
            plot: if plot >= 21 { plot } else { 0 },
        }
    }
}

pub(super) fn draw(sheet: &mut Sheet, summary: &Summary) {
    sheet.heading("Latency numbers every programmer should know");
    let columns = Columns::of(sheet.width());
    head(sheet, columns);
    let all = rungs(summary);
    for rung in &all {
        row(sheet, columns, rung);
    }
    let extras = extras(summary);
    if !extras.is_empty() {
        sheet.row(&[Cell::left("Not on the list, measured here", 40, Style::Dim)]);
    }
    for rung in &extras {
        row(sheet, columns, rung);
    }
    if all.iter().any(|r| r.beside(QUOTED).is_some_and(other_year)) {
        let note = format!("not on the list of {QUOTED}: from the nearest version that has it");
        sheet.wrapped("* ", &note, Style::Dim);
    }
    for (rung, but) in all.iter().filter_map(|r| Some((r, r.but.filter(|_| r.here.is_ok())?))) {
        sheet.wrapped("! ", &format!("{}: {but}", rung.label()), Style::Yellow);
    }
    let missing = all.iter().filter_map(|r| Some((r.here.as_ref().err()?.clone(), r.label())));
    for (why, labels) in grouped(missing) {
        sheet.wrapped("– ", &format!("{}: {why}", labels.join(", ")), Style::Dim);
    }
}

fn head(sheet: &mut Sheet, columns: Columns) {
    let mut cells =
        vec![Cell::left("", columns.label, Style::Dim), Cell::right("here", 8, Style::Dim)];
    if columns.interval {
        cells.push(Cell::left("low–high", 12, Style::Dim));
    }
    cells.push(Cell::right("2012", 7, Style::Dim));
    if columns.both {
        cells.push(Cell::left("", 11, Style::Dim));
    }
    cells.push(Cell::right("2025", 7, Style::Dim));
    cells.push(Cell::left("", 11, Style::Dim));
    if columns.plot > 0 {
        cells.push(Cell::left("● here  □ 2012  ◇ 2025", columns.plot, Style::Dim));
    }
    sheet.row(&cells);
}

fn row(sheet: &mut Sheet, columns: Columns, rung: &Rung) {
    let here = rung.here.as_ref().ok();
    let (value, interval) = match here {
        Some(here) => (here.text(), here.interval()),
        None => ("–".to_owned(), String::new()),
    };
    let noisy = here.is_some_and(|h| h.noisy);
    let interval = if noisy { format!("{interval} ~") } else { interval };
    let label = if here.is_some() { Style::Plain } else { Style::Dim };
    let strong = if noisy { Style::Yellow } else { Style::Bold };
    let mut cells = vec![
        Cell::left(rung.label(), columns.label, label),
        Cell::right(&value, 8, if here.is_some() { strong } else { Style::Dim }),
    ];
    if columns.interval {
        cells.push(Cell::left(&interval, 12, Style::Dim));
    }
    let old = rung.beside(QUOTED);
    let star = if old.is_some_and(other_year) { "*" } else { "" };
    cells.push(quoted(old, star));
    if columns.both {
        cells.push(compared(here, old));
    }
    cells.push(quoted(rung.latest(), ""));
    cells.push(compared(here, rung.latest()));
    if columns.plot > 0 {
        cells.push(Cell::left(&plot(columns.plot, rung), columns.plot, Style::Plain));
    }
    sheet.row(&cells);
}

fn other_year(quote: Quote) -> bool {
    quote.list.year != Some(QUOTED)
}

fn quoted(quote: Option<Quote>, mark: &str) -> Cell {
    let text = quote.map(|q| format!("{}{mark}", format::quoted(q.ns, Unit::Ns)));
    let text = text.unwrap_or_default();
    Cell::right(&text, 7, Style::Dim)
}

fn compared(here: Option<&Measured>, quote: Option<Quote>) -> Cell {
    match here.zip(quote) {
        Some((here, quote)) => {
            let ratio = ratio(here, quote);
            Cell::left(&ratio.text, 11, order_style(ratio.order))
        }
        None => Cell::left("", 11, Style::Plain),
    }
}

/// This machine on top of the references, each at its place on the log scale.
fn plot(width: usize, rung: &Rung) -> String {
    let mut marks = vec!['·'; width];
    let mut put = |ns: f64, mark: char| {
        let share = (ns.max(f64::MIN_POSITIVE).log10() - DECADES.0) / (DECADES.1 - DECADES.0);
        let place = (share.clamp(0.0, 1.0) * (width - 1) as f64).round() as usize;
        marks[place] = mark;
    };
    if let Some(old) = rung.beside(QUOTED) {
        put(old.ns, '□');
    }
    if let Some(new) = rung.latest() {
        put(new.ns, '◇');
    }
    if let Ok(here) = &rung.here {
        put(here.ns, '●');
    }
    marks.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn marks_stand_in_the_order_of_their_times() {
        let all = rungs(&fixture::summary());
        let memory = all.iter().find(|r| r.label() == "Main memory reference").unwrap();
        let text = plot(41, memory);
        let at = |mark| text.chars().position(|c| c == mark).unwrap();
        assert!(at('◇') < at('●'), "{text}");
        assert_eq!(text.chars().count(), 41);
    }
}
