//! A panel of lines of text, each with marks on one axis that all of them share. Where it is narrow,
//! the marks stand below the text.

use super::canvas::{Sheet, Symbol, fit, text_width, widest};
use super::chart::Place;
use super::curves::Scale;
use super::scale::{Axis, within};
use super::theme::{Align, BODY, FAINT, GRID, INK, Ink, MUTED, SMALL, Type};

/// Height of a row, and of one with a second line.
const ROW: f64 = 27.0;
const TALL: f64 = 41.0;
const NARROW_ROW: f64 = 46.0;
const NARROW_TALL: f64 = 62.0;
/// The heading of a group.
const HEAD: f64 = 32.0;
/// Half the size of a mark.
const MARK: f64 = 5.0;
const GAP: f64 = 16.0;

/// A value on the axis, with the spread between rounds where that can be seen.
pub(super) struct Dot {
    pub(super) at: f64,
    pub(super) range: Option<(f64, f64)>,
    pub(super) symbol: Symbol,
    pub(super) ink: Ink,
    /// The layer that alone has it.
    pub(super) layer: Option<u16>,
}

/// A text in a column at the right.
#[derive(Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) layer: Option<u16>,
}

pub(super) struct Row {
    pub(super) name: String,
    /// A second line below it.
    pub(super) note: String,
    /// This machine's number.
    pub(super) value: String,
    pub(super) dots: Vec<Dot>,
    /// For each column the texts of all layers.
    pub(super) cells: Vec<Vec<Cell>>,
}

pub(super) struct Group {
    /// May be empty.
    pub(super) head: String,
    pub(super) rows: Vec<Row>,
}

/// What a mark stands for.
pub(super) struct Key {
    pub(super) symbol: Symbol,
    pub(super) ink: Ink,
    pub(super) text: String,
    pub(super) layer: Option<u16>,
}

/// The panel.
pub(super) struct Rows {
    pub(super) x: Scale,
    /// What stands in the column of values.
    pub(super) value: &'static str,
    pub(super) keys: Vec<Key>,
    /// Heads of the columns at the right, the texts of all layers.
    pub(super) columns: Vec<Vec<Cell>>,
    pub(super) groups: Vec<Group>,
}

const SET: Type = SMALL;

/// Where things are across.
struct Columns {
    /// Right edge of the values.
    value: f64,
    plot: (f64, f64),
    /// Right edges of the columns behind it.
    cells: Vec<f64>,
    names: f64,
}

impl Rows {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    fn columns(&self, place: Place) -> Columns {
        let names = self.rows().flat_map(|r| [r.name.as_str(), r.note.as_str()]);
        let names = widest(names, BODY).min(place.width * 0.42);
        let values = self.rows().map(|r| r.value.as_str());
        let values = widest(values, BODY.bold()).max(text_width(self.value, SET));
        let widths: Vec<f64> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, heads)| {
                let cells = self.rows().filter_map(|row| row.cells.get(i)).flatten();
                widest(heads.iter().chain(cells).map(|cell| cell.text.as_str()), SET)
            })
            .collect();
        let all: f64 = widths.iter().map(|w| w + GAP).sum();
        let mut right = place.right() - all;
        let plot_right = right;
        let cells = widths.iter().map(|w| {
            right += w + GAP;
            right
        });
        let cells = cells.collect();
        if place.narrow {
            let plot = (place.left + MARK, plot_right - MARK);
            return Columns {
                value: place.right(),
                plot,
                cells,
                names: place.width - values - GAP,
            };
        }
        let value = place.left + names + GAP + values;
        Columns { value, plot: (value + 20.0, plot_right - MARK), cells, names }
    }

    pub(super) fn draw(&self, s: &mut Sheet, place: Place) -> f64 {
        let columns = self.columns(place);
        let axis = self.x.axis(columns.plot);
        let top = self.draw_keys(s, place) + 16.0;
        if !place.narrow {
            s.text((columns.value, top), self.value, SET.align(Align::Right));
        }
        for (heads, right) in self.columns.iter().zip(&columns.cells) {
            draw_cells(s, heads, (*right, top), SET.ink(INK));
        }
        let mut y = top + if self.value.is_empty() && self.columns.is_empty() { -8.0 } else { 8.0 };
        // Lines of the grid lie below everything; how far they go is known from the rows.
        let bottom = y + self.height(place.narrow);
        let ticks = self.x.across(&axis);
        for (value, label) in ticks {
            let x = axis.at(*value);
            s.line((x, y), (x, bottom + 4.0), 1.0, GRID);
            let middle = within(x, text_width(label, SET), (place.left, place.right()));
            s.text((middle, bottom + 19.0), label, SET.align(Align::Center));
        }
        for group in &self.groups {
            if !group.head.is_empty() {
                s.tag((place.left, y + HEAD - 10.0), &group.head, BODY.bold());
                y += HEAD;
            }
            for row in &group.rows {
                y = draw_row(s, row, y, place, &columns, &axis);
            }
        }
        let below = bottom + 38.0;
        let right = columns.plot.1 + MARK;
        s.text((right, below), &self.x.title, SET.align(Align::Right));
        below + 4.0
    }

    fn height(&self, narrow: bool) -> f64 {
        let heads = self.groups.iter().filter(|g| !g.head.is_empty()).count() as f64;
        self.rows().map(|row| row.height(narrow)).sum::<f64>() + HEAD * heads
    }

    /// What the marks stand for, in as many lines as that takes.
    fn draw_keys(&self, s: &mut Sheet, place: Place) -> f64 {
        let (mut x, mut y) = (place.left, place.top + 12.0);
        let mut layers_from: Option<f64> = None;
        for (i, key) in self.keys.iter().enumerate() {
            // All layers have their key at one place.
            let before = i.checked_sub(1).and_then(|i| self.keys[i].layer);
            if key.layer.is_some() && before.is_some() {
                x = layers_from.unwrap_or(x);
            }
            let width = 16.0 + text_width(&key.text, SET);
            if x > place.left && x + width > place.right() {
                (x, y) = (place.left, y + 20.0);
            }
            layers_from = key.layer.map(|_| x);
            s.layer = key.layer;
            s.symbol(key.symbol, (x + MARK + 1.0, y - 4.5), MARK, key.ink);
            s.text((x + 16.0, y), &key.text, SET.ink(INK));
            s.layer = None;
            x += width + 20.0;
        }
        if self.keys.is_empty() { place.top } else { y + 4.0 }
    }
}

fn draw_cells(s: &mut Sheet, cells: &[Cell], at: (f64, f64), set: Type) {
    for cell in cells {
        s.layer = cell.layer;
        s.text(at, &cell.text, set.align(Align::Right));
    }
    s.layer = None;
}

impl Row {
    fn height(&self, narrow: bool) -> f64 {
        match (narrow, self.note.is_empty()) {
            (false, true) => ROW,
            (false, false) => TALL,
            (true, true) => NARROW_ROW,
            (true, false) => NARROW_TALL,
        }
    }
}

/// Draws a row from `top` on, and returns where the next one begins.
fn draw_row(s: &mut Sheet, row: &Row, top: f64, place: Place, at: &Columns, axis: &Axis) -> f64 {
    let bottom = top + row.height(place.narrow);
    s.line((place.left, bottom), (place.right(), bottom), 1.0, GRID);
    let first = if place.narrow { top + 17.0 } else { (top + bottom) / 2.0 + 5.0 };
    let first = if row.note.is_empty() || place.narrow { first } else { first - 8.0 };
    let note = first + 16.0;
    // Marks and numbers are in the middle of a row, or below its text.
    let middle = if place.narrow { bottom - 15.0 } else { (top + bottom) / 2.0 };
    s.text((place.left, first), &fit(&row.name, at.names, BODY), BODY);
    let room = if place.narrow { place.width } else { at.names };
    s.text((place.left, note), &fit(&row.note, room, SET), SET);
    let value = if place.narrow { first } else { middle + 5.0 };
    s.text((at.value, value), &row.value, BODY.bold().align(Align::Right));
    for (cells, right) in row.cells.iter().zip(&at.cells) {
        draw_cells(s, cells, (*right, middle + 4.5), SET.ink(MUTED));
    }
    for dot in &row.dots {
        s.layer = dot.layer;
        if let Some((low, high)) = dot.range {
            let (low, high) = (axis.at(low), axis.at(high));
            if high - low > 1.0 {
                s.line((low, middle), (high, middle), 2.0, dot.ink);
            }
        }
        s.symbol(dot.symbol, (axis.at(dot.at), middle), MARK, dot.ink);
    }
    s.layer = None;
    if row.dots.is_empty() {
        s.line((at.plot.0, middle), (at.plot.0 + 8.0, middle), 1.0, FAINT);
    }
    bottom
}
