//! What counters say, for the page's template.

use serde::Serialize;

use crate::report::view::counter_table::{self, Column, Table};
use card::file::Card;

/// The section of the counters.
#[derive(Serialize)]
pub(super) struct Counters {
    obstacles: Vec<String>,
    clock: Option<String>,
    proofs: Vec<ProofView>,
    legend: &'static str,
    slots: Option<String>,
    /// Of all tables together, so that figures of two probes stand below each other.
    heads: Vec<HeadView>,
    tables: Vec<TableView>,
}

#[derive(Serialize)]
struct ProofView {
    holds: bool,
    text: String,
}

#[derive(Serialize)]
struct HeadView {
    head: &'static str,
    meaning: &'static str,
}

#[derive(Serialize)]
struct TableView {
    probe: String,
    rows: Vec<RowView>,
}

#[derive(Serialize)]
struct RowView {
    label: String,
    cells: Vec<String>,
}

impl Counters {
    /// `None` where the card says nothing of counters, as old ones do.
    pub(super) fn of(card: &Card) -> Option<Counters> {
        let (obstacles, clock) = (counter_table::obstacles(card), counter_table::clock(card));
        let decided = counter_table::decided(card).into_iter();
        let proofs: Vec<ProofView> =
            decided.map(|p| ProofView { holds: p.holds, text: p.text }).collect();
        let tables = counter_table::tables(card);
        let columns = counter_table::columns(&tables);
        let head =
            |c: &Column| HeadView { head: c.head(), meaning: c.meaning().unwrap_or_default() };
        let any =
            !obstacles.is_empty() || clock.is_some() || !proofs.is_empty() || !tables.is_empty();
        any.then(|| Counters {
            obstacles,
            clock,
            proofs,
            legend: counter_table::LEGEND,
            slots: counter_table::slots_legend(&tables),
            heads: columns.iter().map(head).collect(),
            tables: tables.iter().map(|t| table(card, t, &columns)).collect(),
        })
    }
}

fn table(card: &Card, table: &Table, columns: &[Column]) -> TableView {
    let row = |row| RowView {
        label: counter_table::label(row),
        cells: columns.iter().map(|c| c.text(row, &card.header.counters)).collect(),
    };
    TableView {
        probe: table.probe.clone(),
        rows: table.first(usize::MAX).0.into_iter().map(row).collect(),
    }
}
