//! Parallelism: how many accesses a core keeps in flight, and what that makes of main memory.

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, one_two_five};
use super::theme::{Align, BLUE, BODY, FAINT, GREEN, Ink, MUTED, PURPLE, SMALL, VERMILION};
use super::{Picture, notes, picture};
use crate::report::view::bandwidth::LEVELS;
use card::findings;
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "Parallelism: how many misses one core keeps in flight";
const PROBE: &str = "memory-parallelism";
const HEIGHT: f64 = 470.0;
const TOP: f64 = 128.0;
const BOTTOM: f64 = 408.0;
/// Left and right edges of the two panels; the names stand to the right of each.
const MEMORY: (f64, f64) = (76.0, 356.0);
const ALL: (f64, f64) = (540.0, 786.0);
const LINE_BYTES: f64 = 64.0;

/// How lines are asked for: how that is called in the picture, the methods it sums up, and what
/// the card calls the lines it has in flight.
struct Way {
    name: &'static str,
    methods: &'static [&'static str],
    ink: Ink,
}

const WAYS: [Way; 4] = [
    Way { name: "chains of loads", methods: &["chase"], ink: BLUE },
    Way { name: "gathers", methods: &["gather"], ink: PURPLE },
    Way { name: "list of addresses", methods: &["list"], ink: MUTED },
    Way { name: "prefetches", methods: &["prefetch", "prefetch_t0", "prefetch_t1"], ink: GREEN },
];

/// Those that are loads, and wait for what they ask for.
const LOADS: [&str; 3] = ["chase", "gather", "list"];

struct Curve {
    name: String,
    /// A figure of the card that belongs to it.
    figure: Option<String>,
    ink: Ink,
    /// Accesses offered, and what came of them.
    points: Vec<(f64, f64)>,
    /// What came of offering as many as the core can take.
    all: Option<f64>,
}

impl Curve {
    fn results(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|p| p.1).chain(self.all)
    }
}

/// The data of the picture.
pub(super) struct Parallelism {
    /// GB/s from main memory by method.
    memory: Vec<Curve>,
    /// One thread's stream from memory, what it is, and its GB/s.
    stream: Option<(&'static str, f64)>,
    /// What one access after the other gets, GB/s.
    single: Option<f64>,
    /// Accesses in flight by level.
    levels: Vec<Curve>,
    sentence: String,
    note: String,
    machine: String,
}

impl Parallelism {
    /// `None` when the card has no parallel accesses.
    pub(super) fn of(summary: &Summary) -> Option<Parallelism> {
        let settings = series::settings(&summary.card, PROBE, "time_per_load");
        let memory: Vec<Curve> =
            WAYS.iter().filter_map(|way| from_memory(summary, &settings, way)).collect();
        let levels: Vec<Curve> = LEVELS
            .into_iter()
            .zip([MUTED, GREEN, PURPLE, BLUE])
            .filter_map(|(level, ink)| in_flight(summary, &settings, level, ink))
            .collect();
        let sentence = findings::one_core(&summary.metrics);
        (!memory.is_empty() || !levels.is_empty()).then(|| Parallelism {
            stream: stream(summary),
            single: alone(&settings, "dram").map(|ns| LINE_BYTES / ns),
            memory,
            levels,
            sentence: sentence.map(|f| format!(" Here {}.", f.text())).unwrap_or_default(),
            note: notes(&settings),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "The code offers ever more accesses at a time that do not wait for one another. Left: \
             what that gets out of main memory, one line of 64 bytes per access; the thin grey line \
             is what it would be if all that is offered were in flight. Where a curve leaves it and \
             goes flat, the core has no more buffers for misses. Dashed: what reading in a straight \
             line gets, with the help of the hardware prefetcher. Right: the same for each level, as \
             accesses really in flight, that is, how many times faster than one after the other. \
             Rings: from a list of addresses, which offers as many as the core can take.{}{}",
            self.sentence, self.note
        );
        picture("parallelism", TITLE, caption, self)
    }

    /// GB/s from memory, the stream included.
    fn rates(&self) -> (f64, f64) {
        let rates = self.memory.iter().flat_map(Curve::results);
        range(rates.chain(self.stream.map(|s| s.1)))
    }
}

/// Accesses offered.
fn offers(curves: &[Curve]) -> (f64, f64) {
    range(curves.iter().flat_map(|c| &c.points).map(|p| p.0))
}

/// What reading in a straight line gets, GB/s.
fn stream(summary: &Summary) -> Option<(&'static str, f64)> {
    let rate = |id: &str| summary.metrics.get(id).and_then(format::believable);
    let plain = rate("memory.bandwidth.read.dram_gbs").map(|gbs| ("plain read", gbs));
    let lines = || rate("memory.parallelism.dram_stream_gbs").map(|gbs| ("straight lines", gbs));
    plain.or_else(lines).filter(|(_, gbs)| *gbs > 0.0)
}

/// From the lowest to the highest, a factor of two at least.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if ends.0 > ends.1 { (1.0, 2.0) } else { (ends.0, ends.1.max(ends.0 * 2.0)) }
}

fn frame((left, right): (f64, f64), x: (f64, f64), (low, high): (f64, f64)) -> Frame {
    Frame {
        left,
        right,
        top: TOP,
        bottom: BOTTOM,
        x: Axis::log(x, (left, right)),
        y: Axis::log((low * 0.9, high * 1.2), (BOTTOM, TOP)),
    }
}

/// Time per access against accesses offered, the shortest of these methods.
fn curve(settings: &[Setting], level: &str, methods: &[&str]) -> Vec<(f64, f64)> {
    let by = |s: &&Setting| methods.iter().any(|method| s.is("method", method));
    let of = settings.iter().filter(|s| s.is("level", level)).filter(by);
    let mut points: Vec<(f64, f64)> =
        of.filter_map(|s| Some((s.int("chains").filter(|n| *n > 0)? as f64, s.value))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup_by(|longer, kept| longer.0 == kept.0);
    points
}

/// The time per access of methods that do not say how many they offer.
fn unnumbered(settings: &[Setting], level: &str, methods: &[&str]) -> Option<f64> {
    let by = |s: &&Setting| methods.iter().any(|method| s.is("method", method));
    let of = settings.iter().filter(|s| s.is("level", level)).filter(by);
    of.filter(|s| s.int("chains").is_none()).map(|s| s.value).min_by(f64::total_cmp)
}

/// The shortest time per access by any of these methods.
fn fastest(settings: &[Setting], level: &str, methods: &[&str]) -> Option<f64> {
    let numbered = curve(settings, level, methods).into_iter().map(|p| p.1);
    numbered.chain(unnumbered(settings, level, methods)).min_by(f64::total_cmp)
}

/// The time of one access that waits for the one before.
fn alone(settings: &[Setting], level: &str) -> Option<f64> {
    curve(settings, level, &["chase"]).first().filter(|p| p.0 == 1.0).map(|p| p.1)
}

/// A count of misses on the card.
fn misses(summary: &Summary, id: &str) -> Option<String> {
    let value = summary.metrics.get(&format!("memory.parallelism.{id}_misses"))?;
    format::believable(value).map(|count| format!("{count:.0}"))
}

/// GB/s from main memory in one way. What the card says of lines in flight stands beside the best
/// way of loading, and beside prefetches.
fn from_memory(summary: &Summary, settings: &[Setting], way: &Way) -> Option<Curve> {
    let own = fastest(settings, "dram", way.methods)?;
    let loads = way.methods.iter().all(|method| LOADS.contains(method));
    let lines = if !loads {
        misses(summary, "dram_prefetch")
    } else if Some(own) == fastest(settings, "dram", &LOADS) {
        misses(summary, "dram")
    } else {
        None
    };
    let rate = |ns: f64| LINE_BYTES / ns;
    let gbs = format::quantity(rate(own), Unit::Gbs);
    let figure = match lines {
        Some(lines) => format!("{gbs}, {lines} lines"),
        None => gbs,
    };
    let times = curve(settings, "dram", way.methods);
    Some(Curve {
        name: way.name.to_owned(),
        figure: Some(figure),
        ink: way.ink,
        points: times.into_iter().map(|(n, ns)| (n, rate(ns))).collect(),
        all: unnumbered(settings, "dram", way.methods).map(rate),
    })
}

fn in_flight(
    summary: &Summary,
    settings: &[Setting],
    (level, name): (&str, &str),
    ink: Ink,
) -> Option<Curve> {
    let single = alone(settings, level)?;
    let points: Vec<(f64, f64)> =
        curve(settings, level, &LOADS).into_iter().map(|(n, ns)| (n, single / ns)).collect();
    (points.len() > 1).then(|| Curve {
        name: name.to_owned(),
        figure: misses(summary, level).map(|n| format!("{n} in flight")),
        ink,
        points,
        all: unnumbered(settings, level, &LOADS).map(|ns| single / ns),
    })
}

impl Drawing for Parallelism {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        if !self.memory.is_empty() {
            self.draw_memory(c);
        }
        if !self.levels.is_empty() {
            self.draw_levels(c);
        }
    }
}

/// 1, 2, 4, … from `low` to `high`, every label that fits.
fn doubles(low: f64, high: f64) -> Vec<Tick> {
    let powers = (0..20).map(|e| 2f64.powi(e)).filter(|v| *v >= low * 0.99 && *v <= high * 1.01);
    powers.map(|v| (v, format::plain(v))).collect()
}

impl Parallelism {
    fn draw_memory<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let (x, (low, high)) = (offers(&self.memory), self.rates());
        let frame = frame(MEMORY, x, (low, high));
        let y = one_two_five(low * 0.9, high * 1.2).into_iter();
        let y: Vec<Tick> = y.map(|v| (v, format!("{} GB/s", format::plain(v)))).collect();
        title(c, &frame, "From main memory");
        frame.grid(c, &doubles(x.0, x.1), &y);
        axis(c, &frame, "accesses offered at a time");
        if let Some(single) = self.single {
            diagonal(c, &frame, single, x);
        }
        if let Some((name, gbs)) = self.stream {
            let y = frame.y.at(gbs);
            c.dashes((frame.left, y), (frame.right, y), 1.4, VERMILION);
            let text = format!("{name}: {}", format::quantity(gbs, Unit::Gbs));
            c.tag((frame.left + 6.0, y - 7.0), &text, SMALL.ink(VERMILION));
        }
        draw(c, &frame, &self.memory);
    }

    fn draw_levels<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let x = offers(&self.levels);
        let most = self.levels.iter().flat_map(Curve::results).fold(2.0, f64::max);
        let frame = frame(ALL, x, (1.0, most));
        title(c, &frame, "Accesses really in flight");
        frame.grid(c, &doubles(x.0, x.1), &doubles(0.9, most * 1.2));
        axis(c, &frame, "loads offered at a time");
        diagonal(c, &frame, 1.0, x);
        draw(c, &frame, &self.levels);
    }
}

fn title<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, text: &str) {
    c.text((frame.left, frame.top - 20.0), text, BODY.bold());
}

fn axis<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, text: &str) {
    c.text((frame.right, frame.bottom + 38.0), text, SMALL.align(Align::Right));
}

/// What it would be if everything offered were in flight, as far as the panel goes.
fn diagonal<DB: DrawingBackend>(
    c: &Canvas<'_, DB>,
    frame: &Frame,
    slope: f64,
    (low, high): (f64, f64),
) {
    let steps = (0..=200).map(|i| low * (high / low).powf(f64::from(i) / 200.0));
    let inside = steps.map(|n| frame.place((n, slope * n))).take_while(|p| p.1 > frame.top + 0.5);
    let line: Vec<(f64, f64)> = inside.collect();
    if let (Some(first), Some(last)) = (line.first(), line.last()) {
        c.line(*first, *last, 1.2, FAINT);
    }
}

/// Curves, at the right edge the rings of what has no number, and the names beside them.
fn draw<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, curves: &[Curve]) {
    for curve in curves {
        frame.curve(c, curve.points.iter().copied(), 2.2, curve.ink);
    }
    let ring = |y: f64| (frame.right + 6.0, frame.y.at(y));
    for curve in curves {
        curve.all.into_iter().for_each(|y| c.ring(ring(y), 4.5, curve.ink));
    }
    let label = |curve: &Curve| {
        let end = curve.points.last().copied();
        // The name belongs to whatever reaches further.
        let best = curve.all.filter(|y| end.is_none_or(|p| *y > p.1));
        Some(Label {
            at: match best {
                Some(y) => (ring(y).0 + 2.0, ring(y).1),
                None => frame.place(end?),
            },
            head: curve.name.clone(),
            lines: curve.figure.clone().into_iter().collect(),
            ink: curve.ink,
        })
    };
    let all: Vec<Label> = curves.iter().filter_map(label).collect();
    labels(c, &all, frame.right + 28.0, (frame.top - 8.0, frame.bottom + 4.0), false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;
    use card::record::Param;

    #[test]
    fn methods_levels_and_the_stream_are_drawn() {
        let summary = fixture::recorded();
        let parallelism = Parallelism::of(&summary).unwrap();
        let svg = svg(&parallelism, TITLE);
        for text in ["chains of loads", "prefetches", "plain read", "L1", "in flight", "GB/s", "32"]
        {
            assert!(svg.contains(text), "{text}");
        }
        let limit = findings::one_core(&summary.metrics).unwrap().text();
        assert!(parallelism.picture().caption.contains(&limit));
    }

    #[test]
    fn in_flight_is_how_many_times_faster_than_one_after_the_other() {
        let summary = fixture::recorded();
        let parallelism = Parallelism::of(&summary).unwrap();
        let l2 = parallelism.levels.iter().find(|c| c.name == "L2").unwrap();
        let settings = series::settings(&summary.card, PROBE, "time_per_load");
        let ns = |method: &str, chains: Option<i64>| {
            let of_l2 = settings.iter().filter(|s| s.is("level", "l2"));
            let mut by = of_l2.filter(|s| s.is("method", method) && s.int("chains") == chains);
            by.next().unwrap().value
        };
        let alone = ns("chase", Some(1));
        assert_eq!(l2.points[0], (1.0, 1.0));
        for (offered, in_flight) in &l2.points {
            assert_eq!(*in_flight, alone / ns("chase", Some(*offered as i64)), "{offered}");
        }
        assert_eq!(l2.all, Some(alone / ns("list", None)));
        // So few are all in flight, and so many are not.
        let (few, many) = (l2.points[1], l2.points[l2.points.len() - 1]);
        assert!(few.0 == 2.0 && (few.1 - 2.0).abs() < 0.2, "{few:?}");
        assert!(many.1 < 0.75 * many.0, "{many:?}");
    }

    #[test]
    fn lines_in_flight_stand_beside_the_best_of_the_loads() {
        let mut summary = fixture::recorded();
        let lines = |summary: &Summary| {
            let parallelism = Parallelism::of(summary).unwrap();
            let lines = |c: &Curve| c.figure.as_ref().is_some_and(|f| f.contains("lines"));
            let with = parallelism.memory.into_iter().filter(lines);
            with.map(|c| c.name).collect::<Vec<String>>()
        };
        assert_eq!(lines(&summary), ["chains of loads", "prefetches"]);
        let gather = Param::from("gather");
        let points = summary.card.points.iter_mut();
        points
            .filter(|p| p.params.get("method") == Some(&gather))
            .for_each(|p| p.samples.iter_mut().for_each(|ns| *ns /= 2.0));
        assert_eq!(lines(&summary), ["gathers", "prefetches"]);
    }

    #[test]
    fn without_a_plain_read_there_are_straight_lines() {
        let mut summary = fixture::recorded();
        let plain = "memory.bandwidth.read.dram_gbs";
        assert_eq!(stream(&summary).unwrap().0, "plain read");
        summary.metrics.0.retain(|v| v.id != plain);
        assert_eq!(stream(&summary).unwrap().0, "straight lines");
    }

    #[test]
    fn without_a_single_chain_there_is_no_panel_of_levels_but_a_picture() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| {
            let way = p.params.get("method").map(ToString::to_string).unwrap_or_default();
            p.probe == PROBE && (way == "list" || way.starts_with("prefetch"))
        });
        let parallelism = Parallelism::of(&Summary::of(card)).unwrap();
        assert!(parallelism.levels.is_empty() && parallelism.stream.is_none());
        let svg = svg(&parallelism, TITLE);
        assert!(svg.contains("prefetches") && !svg.contains("NaN"));
        assert!(!parallelism.picture().caption.contains("Here"));
    }

    #[test]
    fn no_accesses_no_picture() {
        assert!(Parallelism::of(&fixture::empty()).is_none());
    }
}
