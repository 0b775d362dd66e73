//! What the three pictures with two axes share: title, plot area, grid and tick labels.

use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, wrap};
use super::scale::Axis;
use super::theme::{Align, FAINT, GRID, SMALL, TICK, TITLE};

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

    /// The names of the axes: y above its labels, x at the right end below its own.
    pub(super) fn names<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, x: &str, y: &str) {
        c.text((LEFT, self.top - 12.0), y, SMALL);
        c.text((self.right, self.bottom + 38.0), x, SMALL.align(Align::Right));
    }
}

/// `1 ns`, `10 ns`, … as they stand at ticks.
pub(super) fn time_label(ns: f64) -> String {
    crate::report::format::quoted(ns, probecard_probes::probe::Unit::Ns)
}
