//! Parallelism: how many accesses a core keeps in flight, and what that makes of main memory.

use plotters::backend::DrawingBackend;
use probecard_probes::probe::Unit;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, one_two_five};
use super::theme::{Align, BLUE, BODY, FAINT, GREEN, INK, Ink, MUTED, PURPLE, SMALL, VERMILION};
use super::{Picture, notes, picture};
use crate::findings;
use crate::metrics::{self, Setting};
use crate::report::bandwidth::LEVELS;
use crate::report::{Summary, format};

const TITLE: &str = "Parallelism: how many misses one core keeps in flight";
const PROBE: &str = "memory-parallelism";
const HEIGHT: f64 = 470.0;
const TOP: f64 = 128.0;
const BOTTOM: f64 = 408.0;
/// Left and right edges of the two panels; the names stand to the right of each.
const MEMORY: (f64, f64) = (76.0, 376.0);
const ALL: (f64, f64) = (532.0, 798.0);
const LINE_BYTES: f64 = 64.0;

/// What asks for several lines at once, and how that is called.
const METHODS: [(&str, &str, Ink); 3] = [
    ("chase", "chains of loads", BLUE),
    ("gather", "gathers", PURPLE),
    ("prefetch", "prefetches", GREEN),
];

/// Those of them that are loads, and wait for what they ask for.
const LOADS: [&str; 2] = ["chase", "gather"];

struct Curve {
    name: String,
    /// A figure of the card that belongs to it.
    figure: Option<String>,
    ink: Ink,
    /// Accesses offered, and what came of them.
    points: Vec<(f64, f64)>,
}

/// The data of the picture.
pub(super) struct Parallelism {
    /// GB/s from main memory by method.
    memory: Vec<Curve>,
    /// One thread's stream from memory, GB/s.
    stream: Option<f64>,
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
        let settings = metrics::settings(&summary.card, PROBE, "time_per_load");
        let memory: Vec<Curve> =
            METHODS.iter().filter_map(|m| method(summary, &settings, m)).collect();
        let levels: Vec<Curve> = LEVELS
            .into_iter()
            .zip([MUTED, GREEN, PURPLE, BLUE])
            .filter_map(|(level, ink)| in_flight(summary, &settings, level, ink))
            .collect();
        let sentence = findings::one_core(&summary.metrics);
        (!memory.is_empty() || !levels.is_empty()).then(|| Parallelism {
            stream: summary
                .metrics
                .get("memory.bandwidth.read.dram_gbs")
                .and_then(format::believable)
                .filter(|gbs| *gbs > 0.0),
            single: alone(&settings, "dram").map(|ns| LINE_BYTES / ns),
            memory,
            levels,
            sentence: sentence.map(|f| format!(" Here {}.", f.text)).unwrap_or_default(),
            note: notes(&settings),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(&self) -> Picture {
        let caption = format!(
            "The code offers ever more accesses at a time that do not wait for one another. Left: \
             what that gets out of main memory, one line of 64 bytes per access; the thin grey line \
             is what it would be if all that is offered were in flight. Where a curve leaves it and \
             goes flat, the core has no more buffers for misses. Dashed: what a plain read of one \
             thread gets. Right: the same for each level, as accesses really in flight, that is, how \
             many times faster than one after the other.{}{}",
            self.sentence, self.note
        );
        picture("parallelism", TITLE, caption, self)
    }

    fn memory_frame(&self) -> Frame {
        let xs = self.memory.iter().flat_map(|c| &c.points).map(|p| p.0);
        let ys = self.memory.iter().flat_map(|c| &c.points).map(|p| p.1);
        frame(MEMORY, range(xs, (1.0, 2.0)), range(ys.chain(self.stream), (1.0, 2.0)))
    }

    fn level_frame(&self) -> Frame {
        let points = || self.levels.iter().flat_map(|c| &c.points);
        let most = points().map(|p| p.1).fold(2.0, f64::max);
        frame(ALL, range(points().map(|p| p.0), (1.0, 2.0)), (1.0, most))
    }
}

/// From the lowest to the highest, a factor of two at least.
fn range(values: impl Iterator<Item = f64>, empty: (f64, f64)) -> (f64, f64) {
    let ends = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if ends.0 > ends.1 { empty } else { (ends.0, ends.1.max(ends.0 * 2.0)) }
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
        of.filter_map(|s| Some((s.int("chains").filter(|n| *n > 0)? as f64, s.y))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup_by(|longer, kept| longer.0 == kept.0);
    points
}

/// The time of one access that waits for the one before.
fn alone(settings: &[Setting], level: &str) -> Option<f64> {
    curve(settings, level, &["chase"]).first().filter(|p| p.0 == 1.0).map(|p| p.1)
}

fn metric(summary: &Summary, id: &str) -> Option<String> {
    let value = summary.metrics.get(&format!("memory.parallelism.{id}"))?;
    let number = format::believable(value)?;
    Some(match value.unit {
        Unit::Count => format!("{number:.0}"),
        unit => format::quantity(number, unit),
    })
}

/// GB/s from main memory by a method, with what the card calls the lines in flight beside the best
/// one of the loads, and beside prefetches.
fn method(summary: &Summary, settings: &[Setting], m: &(&str, &str, Ink)) -> Option<Curve> {
    let (method, name, ink) = *m;
    let fastest = |methods: &[&str]| {
        curve(settings, "dram", methods).into_iter().map(|p| p.1).min_by(f64::total_cmp)
    };
    let own = fastest(&[method])?;
    let id = match method {
        "prefetch" => Some("dram_prefetch_misses"),
        _ => Some("dram_misses").filter(|_| Some(own) == fastest(&LOADS)),
    };
    let gbs = format::quantity(LINE_BYTES / own, Unit::Gbs);
    let figure = match id.and_then(|id| metric(summary, id)) {
        Some(lines) => format!("{gbs}, {lines} lines"),
        None => gbs,
    };
    let times = curve(settings, "dram", &[method]);
    let points = times.into_iter().map(|(n, ns)| (n, LINE_BYTES / ns)).collect();
    Some(Curve { name: name.to_owned(), figure: Some(figure), ink, points })
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
    let figure = metric(summary, &format!("{level}_misses")).map(|n| format!("{n} in flight"));
    (points.len() > 1).then(|| Curve { name: name.to_owned(), figure, ink, points })
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
        let frame = self.memory_frame();
        let (low, high) =
            range(self.memory.iter().flat_map(|c| &c.points).map(|p| p.0), (1.0, 2.0));
        let ys = self.memory.iter().flat_map(|c| &c.points).map(|p| p.1);
        let (y_low, y_high) = range(ys.chain(self.stream), (1.0, 2.0));
        let y = one_two_five(y_low * 0.9, y_high * 1.2).into_iter();
        let y: Vec<Tick> = y.map(|v| (v, format!("{} GB/s", format::plain(v)))).collect();
        title(c, &frame, "From main memory");
        frame.grid(c, &doubles(low, high), &y);
        axis(c, &frame, "accesses offered at a time");
        if let Some(single) = self.single {
            diagonal(c, &frame, single, (low, high));
        }
        if let Some(stream) = self.stream {
            let y = frame.y.at(stream);
            c.dashes((frame.left, y), (frame.right, y), 1.4, VERMILION);
            let text = format!("plain read: {}", format::quantity(stream, Unit::Gbs));
            c.tag((frame.left + 6.0, y - 7.0), &text, SMALL.ink(VERMILION));
        }
        draw(c, &frame, &self.memory);
    }

    fn draw_levels<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let frame = self.level_frame();
        let points = || self.levels.iter().flat_map(|c| &c.points);
        let (low, high) = range(points().map(|p| p.0), (1.0, 2.0));
        let most = points().map(|p| p.1).fold(2.0, f64::max);
        title(c, &frame, "Accesses really in flight");
        frame.grid(c, &doubles(low, high), &doubles(0.9, most * 1.2));
        axis(c, &frame, "loads offered at a time");
        diagonal(c, &frame, 1.0, (low, high));
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

fn draw<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, curves: &[Curve]) {
    for curve in curves {
        frame.curve(c, curve.points.iter().copied(), 2.2, curve.ink);
    }
    let label = |curve: &Curve| {
        Some(Label {
            at: frame.place(*curve.points.last()?),
            head: curve.name.clone(),
            lines: curve.figure.clone().into_iter().collect(),
            ink: curve.ink,
        })
    };
    let all: Vec<Label> = curves.iter().filter_map(label).collect();
    labels(c, &all, frame.right + 18.0, (frame.top - 8.0, frame.bottom + 4.0), false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::report::plots::canvas::svg;

    #[test]
    fn methods_levels_and_the_stream_are_drawn() {
        let parallelism = Parallelism::of(&fixture::memory()).unwrap();
        let svg = svg(&parallelism, TITLE);
        for text in ["chains of loads", "prefetches", "plain read", "L1", "in flight", "GB/s", "32"]
        {
            assert!(svg.contains(text), "{text}");
        }
        assert!(parallelism.picture().caption.contains("miss-buffer limit"));
    }

    #[test]
    fn in_flight_is_how_many_times_faster_than_one_after_the_other() {
        let parallelism = Parallelism::of(&fixture::memory()).unwrap();
        let l2 = parallelism.levels.iter().find(|c| c.name == "L2").unwrap();
        assert_eq!(l2.points[0], (1.0, 1.0));
        let (offered, in_flight) = l2.points[2];
        assert!(offered == 4.0 && (in_flight - 4.0).abs() < 0.2, "{in_flight}");
        // The formula of the card allows 21.
        let most = l2.points.iter().map(|p| p.1).fold(0.0, f64::max);
        assert!((most - 21.0).abs() < 1.5, "{most}");
    }

    #[test]
    fn without_a_single_chain_there_is_no_panel_of_levels_but_a_picture() {
        let mut card = fixture::memory().card;
        card.points.retain(|p| {
            p.probe == PROBE && p.params.get("method").is_some_and(|m| m.to_string() != "chase")
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
