//! The latency ladder: every line of every version of the list on one logarithmic axis, this
//! machine's value beside one version and the table of 2025.

use std::cmp::Ordering;

use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, svg, text_width, wrap};
use super::frame::{LEFT, WIDTH, heading};
use super::scale::{Axis, decades};
use super::theme::{Align, BLUE, BODY, FAINT, GREEN, GRID, Ink, MUTED, SMALL, TICK, VERMILION};
use super::{Picture, picture};
use crate::report::view::ladder::{Measured, Rung, extras, progress, ratio, rungs};
use card::reference::{LATEST, QUOTED, Quote};
use card::summary::Summary;

const ROW: f64 = 37.0;
const TOP: f64 = 162.0;
/// Right edge of the column with this machine's numbers.
const VALUE: f64 = 322.0;
/// The plot's ends.
const PLOT: (f64, f64) = (342.0, 668.0);
/// Left edges of the two columns of ratios.
const OLD: f64 = 688.0;
const NEW: f64 = 790.0;
/// Half the height of a mark.
const MARK: f64 = 5.5;
const TITLE: &str = "Latency numbers every programmer should know, on this machine";

/// The data of the picture.
pub(super) struct Ladder {
    rungs: Vec<Rung>,
    extras: Vec<Rung>,
    machine: String,
    /// Of the version that is drawn beside the latest one.
    year: u16,
}

impl Ladder {
    /// `None` when the card has none of the numbers.
    pub(super) fn of(summary: &Summary) -> Option<Ladder> {
        let ladder = Ladder {
            rungs: rungs(summary),
            extras: extras(summary),
            machine: summary.card.header.machine.title(),
            year: QUOTED,
        };
        let measured = ladder.rows().any(|r| r.here.is_ok());
        measured.then_some(ladder)
    }

    pub(super) fn picture(self) -> Picture {
        let caption = "Each line is one latency, further right is slower, each grid line ten times \
                       the one before. The filled dot is this machine (a hollow one: the rounds \
                       disagree) with the spread between rounds; the square is the list of 2012 \
                       that everybody quotes (where that has no such line, of the year in \
                       brackets), the diamond Dean and Ghemawat's own table of 2025. \
                       Grey lines were not measured and say what they need.";
        picture("ladder", TITLE, caption.to_owned(), self)
    }

    /// The same beside the version of another year.
    pub(super) fn beside(self, year: u16) -> Ladder {
        Ladder { year, ..self }
    }

    pub(super) fn svg(&self) -> String {
        svg(self, TITLE)
    }

    fn rows(&self) -> impl Iterator<Item = &Rung> {
        self.rungs.iter().chain(&self.extras)
    }

    /// The axis holds every mark, from the decade below the fastest to the one above the slowest.
    fn axis(&self) -> (Axis, Vec<f64>) {
        let marks = self.rows().flat_map(|r| {
            let here = r.here.as_ref().ok();
            let (old, new) = (r.beside(self.year), r.latest());
            [here.map(|h| h.low), here.map(|h| h.high), old.map(|q| q.ns), new.map(|q| q.ns)]
        });
        let (low, high) = marks
            .flatten()
            .filter(|v| *v > 0.0)
            .fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let low = 10f64.powf(low.log10().floor());
        let high = 10f64.powf(high.log10().ceil());
        (Axis::log((low, high), PLOT), decades(low, high))
    }

    fn extras_top(&self) -> f64 {
        TOP + self.rungs.len() as f64 * ROW + 34.0
    }

    fn bottom(&self) -> f64 {
        if self.extras.is_empty() {
            TOP + self.rungs.len() as f64 * ROW
        } else {
            self.extras_top() + self.extras.len() as f64 * ROW
        }
    }
}

impl Drawing for Ladder {
    fn size(&self) -> (f64, f64) {
        (WIDTH, (self.bottom() + 42.0).ceil())
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let (axis, ticks) = self.axis();
        let progress = progress(&self.rungs, self.year).unwrap_or_default();
        for (i, line) in wrap(&progress, WIDTH - 2.0 * LEFT, 2, SMALL).iter().enumerate() {
            c.text((LEFT, 78.0 + 16.0 * i as f64), line, SMALL);
        }
        columns(c, self.year);
        for tick in &ticks {
            let x = axis.at(*tick);
            c.line((x, TOP - 4.0), (x, self.bottom()), 1.0, GRID);
            for y in [TOP - 12.0, self.bottom() + 18.0] {
                c.text((x, y), &tick_label(*tick), TICK.align(Align::Center));
            }
        }
        c.text(
            (PLOT.1, self.bottom() + 36.0),
            "time per operation, logarithmic",
            SMALL.align(Align::Right),
        );
        for (i, rung) in self.rungs.iter().enumerate() {
            row(c, &axis, rung, self.year, TOP + i as f64 * ROW);
        }
        if !self.extras.is_empty() {
            let top = self.extras_top();
            c.rect((LEFT, top - 33.0), (WIDTH - LEFT, top - 1.0), super::theme::PAPER);
            c.text((LEFT, top - 10.0), "On no list, measured here", SMALL.bold());
        }
        for (i, rung) in self.extras.iter().enumerate() {
            row(c, &axis, rung, self.year, self.extras_top() + i as f64 * ROW);
        }
    }
}

/// Only every third decade has a unit: more would not fit side by side.
fn tick_label(ns: f64) -> String {
    let exponent = ns.log10().round() as i32;
    if exponent < 0 {
        return card::format::plain(ns);
    }
    match exponent.rem_euclid(3) {
        0 => super::frame::time_label(ns),
        rest => format!("{}", 10i32.pow(rest as u32)),
    }
}

/// The heads of the columns are also the legend.
fn columns<DB: DrawingBackend>(c: &Canvas<'_, DB>, year: u16) {
    let (upper, lower) = (TOP - 40.0, TOP - 24.0);
    let here = BODY.bold().ink(BLUE).align(Align::Right);
    c.text((VALUE, upper), "this machine", here);
    c.dot((VALUE - text_width("this machine", here) - 13.0, upper - 4.5), MARK, BLUE);
    c.text((VALUE, lower), "lowest–highest", SMALL.align(Align::Right));
    c.square((OLD + MARK, upper - 4.5), MARK, VERMILION);
    c.text((OLD + 17.0, upper), &format!("{year} list"), BODY.bold().ink(VERMILION));
    c.diamond((NEW + MARK, upper - 4.5), MARK + 1.0, GREEN);
    c.text((NEW + 17.0, upper), &format!("{LATEST} table"), BODY.bold().ink(GREEN));
}

fn row<DB: DrawingBackend>(c: &Canvas<'_, DB>, axis: &Axis, rung: &Rung, year: u16, top: f64) {
    let middle = top + ROW / 2.0;
    c.line((LEFT, top + ROW), (WIDTH - LEFT, top + ROW), 1.0, GRID);
    let (old, new) = (rung.beside(year), rung.latest());
    marks(c, axis, rung, [old, new], middle);
    match &rung.here {
        Ok(here) => {
            let lift = if rung.but.is_some() { 7.0 } else { 0.0 };
            c.text((LEFT, middle + 5.0 - lift), rung.label(), BODY);
            c.text((LEFT, middle + 13.0), rung.but.unwrap_or_default(), SMALL);
            value(c, here, middle);
        }
        Err(why) => {
            c.text((LEFT, middle - 2.0), rung.label(), BODY.ink(MUTED));
            for line in wrap(why, PLOT.0 - LEFT, 1, SMALL) {
                c.text((LEFT, middle + 13.0), &line, SMALL);
            }
        }
    }
    let here = rung.here.as_ref().ok();
    quote(c, (OLD, year), middle, here, old);
    quote(c, (NEW, LATEST), middle, here, new);
}

fn value<DB: DrawingBackend>(c: &Canvas<'_, DB>, here: &Measured, middle: f64) {
    c.text((VALUE, middle - 1.0), &here.text(), BODY.bold().align(Align::Right));
    let spread = match here.noisy {
        true => format!("noisy {}", here.interval()),
        false => here.interval(),
    };
    let ink = if here.noisy { VERMILION } else { MUTED };
    c.text((VALUE, middle + 14.0), &spread, SMALL.ink(ink).align(Align::Right));
}

/// References first, so that this machine is on top of them.
fn marks<DB: DrawingBackend>(
    c: &Canvas<'_, DB>,
    axis: &Axis,
    rung: &Rung,
    [old, new]: [Option<Quote>; 2],
    middle: f64,
) {
    let ink = |ink: Ink| if rung.here.is_ok() { ink } else { FAINT };
    if let Some(old) = old {
        c.square((axis.at(old.ns), middle), MARK, ink(VERMILION));
    }
    if let Some(new) = new {
        c.diamond((axis.at(new.ns), middle), MARK + 1.0, ink(GREEN));
    }
    let Ok(here) = &rung.here else { return };
    let (low, high) = (axis.at(here.low), axis.at(here.high));
    c.line((low, middle), (high, middle), 2.4, BLUE);
    for end in [low, high] {
        c.line((end, middle - MARK), (end, middle + MARK), 1.4, BLUE);
    }
    let center = (axis.at(here.ns), middle);
    if here.noisy { c.ring(center, MARK, BLUE) } else { c.dot(center, MARK, BLUE) }
}

/// The ratio to a reference with the reference's own value below it, and its year if that is not
/// the column's.
fn quote<DB: DrawingBackend>(
    c: &Canvas<'_, DB>,
    (x, year): (f64, u16),
    middle: f64,
    here: Option<&Measured>,
    quote: Option<Quote>,
) {
    let Some(quote) = quote else { return };
    let other = quote.list.year.filter(|y| *y != year);
    let other = other.map(|y| format!(" ({y})")).unwrap_or_default();
    let value = format!("{}{other}", super::frame::time_label(quote.ns));
    let Some(here) = here else {
        c.text((x, middle + 4.5), &value, SMALL);
        return;
    };
    let ratio = ratio(here, quote);
    let (set, word) = match ratio.order {
        Ordering::Less => (BODY.bold(), "than"),
        Ordering::Equal => (BODY, "to"),
        Ordering::Greater => (BODY, "than"),
    };
    c.text((x, middle - 1.0), &ratio.text, set);
    c.text((x, middle + 14.0), &format!("{word} {value}"), SMALL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn all_rows_their_needs_and_the_units_are_drawn() {
        let ladder = Ladder::of(&fixture::summary()).unwrap();
        let svg = svg(&ladder, TITLE);
        for rung in ladder.rows() {
            assert!(svg.contains(rung.label()), "{}", rung.label());
        }
        for text in ["1 ns", "1 µs", "1 ms", "needs --peer HOST:PORT", "noisy", "× slower"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn another_year_is_drawn_beside_the_latest() {
        let ladder = || Ladder::of(&fixture::summary()).unwrap();
        let svg = ladder().beside(2007).svg();
        assert!(svg.contains("2007 list") && svg.contains("Against 2007: "));
        assert!(!svg.contains("(2007)") && ladder().svg().contains("10 ms (2007)"));
    }

    #[test]
    fn a_card_without_any_of_the_numbers_has_no_ladder() {
        assert!(Ladder::of(&fixture::empty()).is_none());
    }

    #[test]
    fn ticks_carry_units_at_every_third_decade() {
        assert_eq!(tick_label(0.1), "0.1");
        assert_eq!(tick_label(1.0), "1 ns");
        assert_eq!(tick_label(1e4), "10");
        assert_eq!(tick_label(1e6), "1 ms");
    }
}
