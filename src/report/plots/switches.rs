//! Context switches: what a message to another task and its answer take, by mechanism and place.

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{Frame, LEFT, Tick, WIDTH, heading, time_label};
use super::scale::{Axis, decades, one_two_five};
use super::theme::{Align, BLUE, BODY, GREEN, GRID, INK, Ink, SMALL, VERMILION};
use super::{Picture, picture};
use card::format;
use card::summary::Summary;

const TITLE: &str = "Context switches: to another task and back";
const LEFT_EDGE: f64 = 190.0;
const RIGHT_EDGE: f64 = 868.0;
const TOP: f64 = 112.0;
/// Height of a row, and of the heading of a group.
const ROW: f64 = 26.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 62.0;
/// Room for the numbers behind the slowest row.
const NUMBERS: f64 = 150.0;

/// Places in ids, and for readers.
const PLACES: [(&str, &str); 3] = [
    ("same_cpu", "On one CPU"),
    ("sibling", "To a hyperthread sibling"),
    ("other_cpu", "To another CPU"),
];

const MECHANISMS: [(&str, &str); 4] =
    [("pipe", "pipe"), ("futex", "futex"), ("eventfd", "eventfd"), ("yield", "sched_yield")];

/// Switches that the kernel knows nothing of: ids, and for readers.
const WITHOUT: [(&str, &str); 4] = [
    ("user_ns", "two stacks, by jump"),
    ("user_return_ns", "two stacks, by return"),
    ("coroutine_ns", "coroutine"),
    ("async_ns", "async tasks"),
];

/// What a mark stands for: its shape and its colour.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Thread,
    Process,
    Spinning,
    User,
}

impl Mark {
    const fn ink(self) -> Ink {
        match self {
            Mark::Thread => BLUE,
            Mark::Process => VERMILION,
            Mark::Spinning => GREEN,
            Mark::User => INK,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Mark::Thread => "thread",
            Mark::Process => "process",
            Mark::Spinning => "thread, neither sleeps",
            Mark::User => "one thread, without the kernel",
        }
    }

    fn draw<DB: DrawingBackend>(self, c: &Canvas<'_, DB>, at: (f64, f64)) {
        match self {
            Mark::Thread | Mark::User => c.dot(at, 4.6, self.ink()),
            Mark::Process => c.diamond(at, 5.6, self.ink()),
            Mark::Spinning => c.ring(at, 4.4, self.ink()),
        }
    }
}

/// A round trip in ns, and how far the rounds went apart.
struct Trip {
    mark: Mark,
    ns: f64,
    low: f64,
    high: f64,
}

struct Row {
    name: &'static str,
    trips: Vec<Trip>,
}

struct Group {
    name: &'static str,
    rows: Vec<Row>,
}

/// The data of the picture.
pub(super) struct Switches {
    groups: Vec<Group>,
    machine: String,
}

impl Switches {
    /// `None` when no round trip was measured.
    pub(super) fn of(summary: &Summary) -> Option<Switches> {
        let without = WITHOUT.into_iter().filter_map(|(id, name)| {
            // Of one switch: a round trip is two.
            let trip = trip(summary, id, Mark::User, 2.0)?;
            Some(Row { name, trips: vec![trip] })
        });
        let without = Group { name: "Without the kernel", rows: without.collect() };
        let places = PLACES.into_iter().map(|(place, name)| Group {
            name,
            rows: MECHANISMS.into_iter().filter_map(|how| row(summary, how, place)).collect(),
        });
        let groups: Vec<Group> =
            [without].into_iter().chain(places).filter(|group| !group.rows.is_empty()).collect();
        (!groups.is_empty())
            .then(|| Switches { groups, machine: summary.card.header.machine.title() })
    }

    pub(super) fn picture(self) -> Picture {
        let caption =
            "A round trip is a message to another task and its answer. On one CPU it takes \
                       two switches; across CPUs nobody switches, each wakes the other's CPU. \
                       Without the kernel it is two switches as well: twice what the table says of \
                       one. Lines reach from the fastest to the slowest round."
                .to_owned();
        picture("switches", TITLE, caption, self)
    }

    fn trips(&self) -> impl Iterator<Item = &Trip> {
        self.groups.iter().flat_map(|g| &g.rows).flat_map(|r| &r.trips)
    }

    fn bottom(&self) -> f64 {
        let rows: usize = self.groups.iter().map(|g| g.rows.len()).sum();
        TOP + HEAD * self.groups.len() as f64 + ROW * rows as f64 + 6.0
    }

    fn frame(&self) -> Frame {
        let low = self.trips().map(|t| t.low).fold(f64::INFINITY, f64::min);
        let high = self.trips().map(|t| t.high).fold(0.0, f64::max);
        let range = (low / 1.5, high.max(low * 4.0) * 1.1);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: self.bottom(),
            x: Axis::log(range, (LEFT_EDGE, RIGHT_EDGE - NUMBERS)),
            y: Axis::linear((0.0, 1.0), (self.bottom(), TOP)),
        }
    }

    fn ticks(&self) -> Vec<Tick> {
        let low = self.trips().map(|t| t.low).fold(f64::INFINITY, f64::min);
        let high = self.trips().map(|t| t.high).fold(0.0, f64::max);
        let (low, high) = (low / 1.5, high.max(low * 4.0) * 1.1);
        let whole = decades(low, high);
        let values = if whole.len() < 2 { one_two_five(low, high) } else { whole };
        values.into_iter().map(|ns| (ns, time_label(ns))).collect()
    }
}

fn trip(summary: &Summary, id: &str, mark: Mark, times: f64) -> Option<Trip> {
    let value = summary.metrics.get(&format!("context_switch.{id}"))?;
    let ns = format::believable(value).filter(|ns| *ns > 0.0)? * times;
    let end = |end: Option<f64>| end.map_or(ns, |v| v * times).max(ns / 1e3);
    Some(Trip { mark, ns, low: end(value.low).min(ns), high: end(value.high).max(ns) })
}

fn row(summary: &Summary, (how, name): (&str, &'static str), place: &str) -> Option<Row> {
    let at = |kind: &str, what: &str| format!("{how}.{kind}.{place}.{what}");
    let trips = [
        (at("thread", "round_trip_ns"), Mark::Thread),
        (at("process", "round_trip_ns"), Mark::Process),
        (at("thread", "spinning_round_trip_ns"), Mark::Spinning),
    ];
    let trips: Vec<Trip> =
        trips.iter().filter_map(|(id, mark)| trip(summary, id, *mark, 1.0)).collect();
    (!trips.is_empty()).then_some(Row { name, trips })
}

impl Drawing for Switches {
    fn size(&self) -> (f64, f64) {
        (WIDTH, self.bottom() + FOOT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        self.legend(c);
        let frame = self.frame();
        let ticks = self.ticks();
        for (ns, _) in &ticks {
            c.line((frame.x.at(*ns), TOP), (frame.x.at(*ns), frame.bottom), 1.0, GRID);
        }
        frame.grid(c, &ticks, &[]);
        frame.names(c, "time of a round trip, logarithmic", "");
        let mut y = TOP;
        for group in &self.groups {
            y += HEAD;
            c.line((LEFT, y - HEAD + 8.0), (RIGHT_EDGE, y - HEAD + 8.0), 1.0, GRID);
            c.text((LEFT, y - 6.0), group.name, BODY.bold().size(13.0));
            for row in &group.rows {
                y += ROW;
                c.text((LEFT + 12.0, y - 8.0), row.name, SMALL);
                row.draw(c, &frame, y - 12.0);
            }
        }
    }
}

impl Row {
    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame, y: f64) {
        // Thread and process nearly coincide; who does not sleep is elsewhere.
        let (spinning, asleep): (Vec<&Trip>, Vec<&Trip>) =
            self.trips.iter().partition(|t| t.mark == Mark::Spinning);
        let step = if asleep.len() > 1 { 10.0 } else { 0.0 };
        let mut x = 0.0_f64;
        for (i, trip) in asleep.iter().enumerate() {
            trip.draw(c, frame, y + step * (i as f64 - 0.5));
            x = x.max(frame.x.at(trip.high) + 12.0);
        }
        spinning.iter().for_each(|trip| trip.draw(c, frame, y));
        for trip in asleep {
            let text = format::quantity(trip.ns, Unit::Ns);
            c.text((x, y + 4.5), &text, SMALL.ink(trip.mark.ink()));
            x += text_width(&text, SMALL) + 12.0;
        }
    }
}

impl Trip {
    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame, y: f64) {
        let (low, high) = (frame.x.at(self.low), frame.x.at(self.high));
        c.line((low, y), (high, y), 1.4, self.mark.ink());
        self.mark.draw(c, (frame.x.at(self.ns), y));
    }
}

impl Switches {
    /// What the marks stand for, as far as there are any.
    fn legend<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let mut x = LEFT + 6.0;
        for mark in [Mark::Thread, Mark::Process, Mark::Spinning, Mark::User] {
            if self.trips().any(|t| t.mark == mark) {
                mark.draw(c, (x, 82.0));
                c.text((x + 11.0, 86.5), mark.words(), SMALL.align(Align::Left));
                x += 34.0 + text_width(mark.words(), SMALL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn every_place_that_was_measured_has_its_rows() {
        let drawn = svg(&Switches::of(&fixture::recorded()).unwrap(), TITLE);
        for text in ["On one CPU", "To another CPU", "Without the kernel", "sched_yield", "process"]
        {
            assert!(drawn.contains(text), "{text}");
        }
        assert!(!drawn.contains("sibling") && !drawn.contains("NaN"));
    }

    #[test]
    fn one_round_trip_is_a_picture_and_none_is_not() {
        let mut card = fixture::recorded().card;
        let thread = |p: &card::record::Point| {
            p.probe == "context-switch"
                && p.quantity == "round_trip"
                && p.params["kind"].to_string() == "thread"
        };
        card.points.retain(thread);
        card.points.retain(|p| {
            p.params["how"].to_string() == "pipe" && p.params["place"].to_string() == "same_cpu"
        });
        let drawn = svg(&Switches::of(&Summary::of(card)).unwrap(), TITLE);
        assert!(drawn.contains("On one CPU") && !drawn.contains("NaN"));
        assert!(!drawn.contains("Without the kernel") && !drawn.contains("another CPU"));
        assert!(Switches::of(&fixture::empty()).is_none());
    }
}
