//! What the pictures with two axes share: title, plot area, grid, curves and their labels.

use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, wrap};
use super::scale::{Axis, spread};
use super::theme::{Align, BODY, FAINT, GRID, Ink, SMALL, TICK, TITLE};

/// Width of every picture in page units.
pub(super) const WIDTH: f64 = 900.0;
/// Where titles start.
pub(super) const LEFT: f64 = 20.0;

/// A plot area with its two axes.
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

/// A tick: the value and what is written at it (nothing: a grid line only).
pub(super) type Tick = (f64, String);

/// Paper, title and subtitle.
pub(super) fn heading<DB: DrawingBackend>(c: &Canvas<'_, DB>, title: &str, subtitle: &str) {
    c.paper();
    c.text((LEFT, 34.0), title, TITLE);
    for line in wrap(subtitle, WIDTH - 2.0 * LEFT, 1, SMALL) {
        c.text((LEFT, 55.0), &line, SMALL);
    }
}

impl Frame {
    /// Grid lines with their labels, below and at the left.
    pub(super) fn grid<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, x: &[Tick], y: &[Tick]) {
        for (value, label) in y {
            let at = self.y.at(*value);
            c.line((self.left, at), (self.right, at), 1.0, GRID);
            c.text((self.left - 8.0, at + 4.5), label, TICK.align(Align::Right));
        }
        for (value, label) in x {
            let at = self.x.at(*value);
            let length = if label.is_empty() { 3.0 } else { 5.0 };
            c.line((at, self.bottom), (at, self.bottom + length), 1.0, FAINT);
            c.text((at, self.bottom + 20.0), label, TICK.align(Align::Center));
        }
        c.line((self.left, self.bottom), (self.right, self.bottom), 1.0, FAINT);
    }

    /// The place of a point.
    pub(super) fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }

    /// A line through the points, with a dot at each.
    pub(super) fn curve<DB: DrawingBackend>(
        &self,
        c: &Canvas<'_, DB>,
        points: impl IntoIterator<Item = (f64, f64)>,
        width: f64,
        ink: Ink,
    ) {
        let line: Vec<(f64, f64)> = points.into_iter().map(|p| self.place(p)).collect();
        c.path(&line, width, ink);
        for point in line {
            c.dot(point, width, ink);
        }
    }

    /// The names of the axes: y above its labels, x at the right end below its own.
    pub(super) fn names<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, x: &str, y: &str) {
        c.text((LEFT, self.top - 12.0), y, SMALL);
        c.text((self.right, self.bottom + 38.0), x, SMALL.align(Align::Right));
    }
}

/// `1 ns`, `10 ns`, … as they stand at ticks.
pub(super) fn time_label(ns: f64) -> String {
    card::format::quoted(ns, card::declare::Unit::Ns)
}

/// A text that belongs to the end of a curve.
pub(super) struct Label {
    /// Where the curve ends, on the sheet.
    pub(super) at: (f64, f64),
    /// The curve's name.
    pub(super) head: String,
    /// What else is to say of it.
    pub(super) lines: Vec<String>,
    pub(super) ink: Ink,
}

/// Labels one below the other, moved off one another, each joined to its curve: to the right of
/// `x` or, with `left`, to its left.
pub(super) fn labels<DB: DrawingBackend>(
    c: &Canvas<'_, DB>,
    labels: &[Label],
    x: f64,
    (top, bottom): (f64, f64),
    left: bool,
) {
    let wanted: Vec<f64> = labels.iter().map(|l| l.at.1).collect();
    let sizes: Vec<f64> = labels.iter().map(|l| 18.0 + 16.0 * l.lines.len() as f64).collect();
    let places = spread(&wanted, &sizes, top, bottom);
    let (align, away) = if left { (Align::Right, -1.0) } else { (Align::Left, 1.0) };
    for (label, y) in labels.iter().zip(places) {
        let first = y - 8.0 * label.lines.len() as f64 + 5.0;
        let from = (label.at.0 + 3.0 * away, label.at.1);
        c.line(from, (x - 4.0 * away, first - 4.0), 1.0, label.ink);
        let head = BODY.bold().ink(label.ink).size(13.0).align(align);
        c.text((x, first), &label.head, head);
        for (i, line) in label.lines.iter().enumerate() {
            c.text((x, first + 16.0 * (i + 1) as f64), line, SMALL.align(align));
        }
    }
}
