//! The core clock over time after idle: how long a thread must run before it runs at speed; and what
//! wide vectors and busy neighbours leave of it.

use std::collections::BTreeMap;

use card::declare::{Select, Unit};
use card::record::Param;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{Frame, Tick, WIDTH, heading, time_label};
use super::scale::{Axis, decades, round_ticks, within};
use super::theme::{Align, BLUE, BLUE_PALE, GREEN, INK, MUTED, SMALL, VERMILION};
use super::{Picture, picture};
use card::format;
use card::series::{self, CurvePoint};
use card::summary::Summary;

const HEIGHT: f64 = 430.0;
const TOP: f64 = 100.0;
const BOTTOM: f64 = 362.0;
const LEFT_EDGE: f64 = 86.0;
const RIGHT_EDGE: f64 = 600.0;
/// Where the bars under load begin, and where the longest one may end.
const BARS: (f64, f64) = (706.0, 822.0);
const TITLE: &str = "The core clock after idle, and under load";
const AFTER_IDLE: &str = "core_ghz_after_idle";
const TIME: &str = "after_idle_us";

/// The data of the picture.
pub(super) struct Clock {
    points: Vec<CurvePoint>,
    settled_ghz: Option<f64>,
    settle_us: Option<f64>,
    loads: Vec<Load>,
    machine: String,
}

/// The clock under one kind of work.
struct Load {
    name: &'static str,
    one_ghz: Option<f64>,
    all_ghz: Option<f64>,
}

impl Clock {
    /// `None` when the card does not follow the clock.
    pub(super) fn of(summary: &Summary) -> Option<Clock> {
        let select = Select::of(AFTER_IDLE, &[]);
        let mut points = series::curve(&summary.card, "clock", &select, TIME);
        let rounds = rounds(summary);
        let most = rounds.values().copied().max().unwrap_or(0);
        // What one round alone has seen may be an interruption.
        points.retain(|p| {
            let seen = rounds.get(&(p.x as i64)).copied().unwrap_or(0);
            p.x > 0.0 && p.low.is_finite() && p.high.is_finite() && (seen > 1 || most == 1)
        });
        let metric = |id: &str| summary.metrics.get(id).and_then(format::believable);
        let settled_ghz = metric("clock.core_ghz");
        let load = |name, one: Option<f64>, all: &str| {
            let ghz = |ratio: Option<f64>| Some(ratio? * settled_ghz?);
            Load { name, one_ghz: ghz(one), all_ghz: ghz(metric(all)) }
        };
        let mut loads = vec![load("scalar", Some(1.0), "clock.all_core_ratio")];
        let widths =
            [("128 bit", "neon"), ("SVE", "sve"), ("256 bit", "avx"), ("512 bit", "avx512")];
        for (name, width) in widths {
            let one = format!("clock.{width}_ratio");
            // Another architecture's width has no metric, and SVE is not in every processor.
            let here = summary.metrics.get(&one).is_some();
            if here && (width != "sve" || metric(&one).is_some()) {
                let all = format!("simd.clock.{width}_all_core_ratio");
                loads.push(load(name, metric(&one), &all));
            }
        }
        (points.len() > 1).then(|| Clock {
            points,
            settled_ghz,
            loads,
            settle_us: metric("clock.settle_ms").map(|ms| ms * 1e3).filter(|us| *us > 0.0),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = "The clock of the core, measured by two chains of dependent instructions, \
                       from the moment a sleeping thread wakes. The pale band is the spread \
                       between rounds. The vertical axis does not start at zero. At the right the settled \
                       clock under scalar and vector work, on one CPU and on all of them at once.";
        picture("clock", TITLE, caption.to_owned(), self)
    }

    /// At least a tenth of the clock is shown, so that jitter does not look like a fall.
    fn y_range(&self) -> (f64, f64) {
        let ends = self.points.iter().flat_map(|p| [p.low, p.high]).chain(self.settled_ghz);
        let (low, high) = ends.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let room = ((high * 0.1 - (high - low)) / 2.0).max((high - low) * 0.12).max(0.01);
        ((low - room).max(0.0), high + room)
    }

    fn frame(&self) -> Frame {
        let (first, last) = (self.points[0].x, self.points[self.points.len() - 1].x);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::log((first, last.max(first * 2.0)), (LEFT_EDGE, RIGHT_EDGE)),
            y: Axis::linear(self.y_range(), (BOTTOM, TOP)),
        }
    }

    fn ticks(&self) -> (Vec<Tick>, Vec<Tick>) {
        let (first, last) = (self.points[0].x, self.points[self.points.len() - 1].x);
        let x = decades(first, last).into_iter().map(|us| (us, time_label(us * 1e3))).collect();
        let (low, high) = self.y_range();
        let y = round_ticks(low, high, 7.0).into_iter().map(|g| (g, format::quoted(g, Unit::Ghz)));
        (x, y.collect())
    }
}

impl Drawing for Clock {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let frame = self.frame();
        let (x, y) = self.ticks();
        frame.grid(c, &x, &y);
        frame.names(c, "time since the thread woke, logarithmic", "core clock");
        let upper = self.points.iter().map(|p| frame.place((p.x, p.high)));
        let lower = self.points.iter().rev().map(|p| frame.place((p.x, p.low)));
        c.polygon(&upper.chain(lower).collect::<Vec<_>>(), BLUE_PALE, 1.0);
        self.draw_settled(c, &frame);
        frame.curve(c, self.points.iter().map(|p| (p.x, p.value)), 2.6, BLUE);
        self.draw_loads(c);
    }
}

/// In how many rounds each time was seen.
fn rounds(summary: &Summary) -> BTreeMap<i64, usize> {
    let mut rounds = BTreeMap::new();
    for point in summary.card.points.iter().filter(|p| p.quantity == AFTER_IDLE) {
        if let Some(Param::Int(us)) = point.params.get(TIME) {
            *rounds.entry(*us).or_default() += usize::from(!point.samples.is_empty());
        }
    }
    rounds
}

impl Clock {
    /// A bar for one CPU and one for all, by the width of the work.
    fn draw_loads<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let all = self.loads.iter().flat_map(|load| [load.one_ghz, load.all_ghz]).flatten();
        let most = all.fold(0.0, f64::max);
        if most <= 0.0 {
            return;
        }
        let length = Axis::linear((0.0, most), BARS);
        let mut y = TOP + 24.0;
        c.text((BARS.0, TOP - 6.0), "one CPU", SMALL.ink(BLUE).bold());
        c.text((BARS.0 + 62.0, TOP - 6.0), "all CPUs", SMALL.ink(GREEN).bold());
        for load in &self.loads {
            c.text((BARS.0 - 10.0, y + 22.0), load.name, SMALL.ink(INK).align(Align::Right));
            for (ghz, ink) in [(load.one_ghz, BLUE), (load.all_ghz, GREEN)] {
                if let Some(ghz) = ghz {
                    let end = length.at(ghz);
                    c.rect((BARS.0, y), (end, y + 16.0), ink);
                    c.text((end + 6.0, y + 13.0), &format::quoted(ghz, Unit::Ghz), SMALL);
                }
                y += 19.0;
            }
            y += 22.0;
        }
        c.line((BARS.0, TOP), (BARS.0, BOTTOM), 1.0, MUTED);
    }

    /// The settled clock as a level, the time it took as a mark on the time axis.
    fn draw_settled<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        if let Some(ghz) = self.settled_ghz {
            let y = frame.y.at(ghz);
            c.dashes((LEFT_EDGE, y), (RIGHT_EDGE, y), 1.2, MUTED);
            let label = format!("under load: {}", format::quantity(ghz, Unit::Ghz));
            // Where the curve starts below the level, the space above its start is free.
            let set = SMALL.ink(INK);
            if self.points[0].value < ghz {
                c.text((LEFT_EDGE + 4.0, y - 7.0), &label, set);
            } else {
                c.text((RIGHT_EDGE, y + 17.0), &label, set.align(Align::Right));
            }
        }
        let Some(us) = self.settle_us else { return };
        let x = frame.x.at(us);
        c.dashes((x, TOP), (x, BOTTOM), 1.2, VERMILION);
        let label = format!("settled after {}", time_label(us * 1e3));
        let at = within(x, text_width(&label, SMALL), (LEFT_EDGE, RIGHT_EDGE));
        c.text((at, TOP - 6.0), &label, SMALL.ink(VERMILION).align(Align::Center));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn both_axes_have_units_and_the_settled_clock_is_named() {
        let mut summary = fixture::recorded();
        // It was at once.
        let settle = summary.metrics.0.iter_mut().find(|v| v.id == "clock.settle_ms").unwrap();
        settle.value = Some(8.4);
        let ghz = format::quantity(summary.metrics.number("clock.core_ghz").unwrap(), Unit::Ghz);
        let svg = svg(&Clock::of(&summary).unwrap(), TITLE);
        for text in ["100 µs", "100 ms", &format!("under load: {ghz}"), "settled after"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn a_steady_clock_does_not_look_unsteady() {
        let mut clock = Clock::of(&fixture::recorded()).unwrap();
        clock.points.iter_mut().for_each(|p| (p.low, p.value, p.high) = (3.70, 3.70, 3.71));
        let (low, high) = clock.y_range();
        assert!(high - low > 0.35, "{low} {high}");
    }

    #[test]
    fn no_points_no_picture() {
        assert!(Clock::of(&fixture::empty()).is_none());
    }
}
