//! A table as a value: what it states, its heads, and rows of numbers as the metrics have them. The
//! page makes HTML of it.

use serde::Serialize;

use super::measured::{mark, text};
use card::metrics::Value;

/// A table.
#[derive(Debug, Serialize)]
pub struct Table {
    /// What the page calls it.
    pub name: &'static str,
    /// What the data say, in a few words.
    pub title: String,
    /// What has to be known beyond that; may be empty.
    pub caption: String,
    /// Heads of the columns.
    pub heads: Vec<String>,
    /// Rows below their heading.
    pub groups: Vec<Group>,
}

/// Rows that belong together.
#[derive(Debug, Serialize)]
pub struct Group {
    /// May be empty.
    pub head: String,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it is of.
    pub name: String,
    /// For each column but the first.
    pub cells: Vec<Cell>,
}

/// A number with what may be thought of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    /// As it is written, with its unit.
    pub text: String,
    /// `~` and `?` where the rounds differ by more than 5 % and by more than 25 %.
    pub mark: &'static str,
}

impl Cell {
    /// A metric, or that there is none.
    pub(super) fn of(value: Option<&Value>) -> Cell {
        match value {
            Some(value) => Cell { text: text(value), mark: mark(value) },
            None => Cell::plain("–".into()),
        }
    }

    /// What is not measured.
    pub(super) fn plain(text: String) -> Cell {
        Cell { text, mark: "" }
    }

    /// With another text made of its own.
    pub(super) fn with(self, change: impl FnOnce(String) -> String) -> Cell {
        Cell { text: change(self.text), ..self }
    }
}

impl Table {
    pub(super) fn new(name: &'static str, title: String, heads: &[&str]) -> Table {
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        Table { name, title, caption: String::new(), heads, groups: Vec::new() }
    }

    /// Adds a row below a heading, unless there is nothing to say.
    pub(super) fn row(&mut self, head: &str, name: &str, cells: Option<Vec<Cell>>) {
        let Some(cells) = cells else { return };
        let row = Row { name: name.to_owned(), cells };
        match self.groups.last_mut().filter(|group| group.head == head) {
            Some(group) => group.rows.push(row),
            None => self.groups.push(Group { head: head.to_owned(), rows: vec![row] }),
        }
    }

    /// The table, unless it is empty.
    pub(super) fn filled(self) -> Option<Table> {
        (!self.groups.is_empty()).then_some(self)
    }

    /// Every text in it.
    #[cfg(test)]
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let rows = self.groups.iter().flat_map(|group| &group.rows);
        rows.flat_map(|row| &row.cells).map(|cell| cell.text.as_str())
    }
}
