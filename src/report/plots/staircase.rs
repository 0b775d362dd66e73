//! The latency staircase: the time of one dependent load against the working set, with the
//! levels that were found and the cache sizes that are claimed.

use card::declare::{Level, Select, Unit};
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width, wrap};
use super::frame::{Frame, Label, Tick, WIDTH, heading, labels, time_label};
use super::scale::{Axis, one_two_five, spread};
use super::theme::{
    Align, BAND, BLUE, BLUE_PALE, FAINT, GREEN, INK, Ink, MUTED, PURPLE, SMALL, VERMILION,
};
use super::{Picture, picture};
use crate::report::view::machine_view::{self, Claim};
use card::file::Card;
use card::format;
use card::machine::human_bytes;
use card::metrics::{self, Plateau};
use card::series::{self, CurvePoint};
use card::summary::Summary;

const PROBE: &str = "memory-latency";

const HEIGHT: f64 = 560.0;
const LEFT_EDGE: f64 = 78.0;
const RIGHT_EDGE: f64 = 726.0;
const TOP: f64 = 138.0;
const BOTTOM: f64 = 462.0;
const TITLE: &str = "The latency staircase: how far away is the data?";

/// The variants in the order in which they are drawn, the most telling one last and on top. A kernel
/// has one of the three sizes of small pages, and one of huge ones.
const VARIANTS: [(&str, &str, Ink); 8] = [
    ("sequential", "sequential", GREEN),
    ("page_local", "random within 256 KiB", PURPLE),
    ("random_4k", "random, 4 KiB pages", VERMILION),
    ("random_16k", "random, 16 KiB pages", VERMILION),
    ("random_64k", "random, 64 KiB pages", VERMILION),
    ("random_2m", "random, 2 MiB pages", BLUE),
    ("random_32m", "random, 32 MiB pages", BLUE),
    ("random_512m", "random, 512 MiB pages", BLUE),
];

/// Those in huge pages.
const HUGE: [&str; 3] = ["random_2m", "random_32m", "random_512m"];

/// One variant's curve.
struct Series {
    label: &'static str,
    ink: Ink,
    points: Vec<CurvePoint>,
    /// What the card notes on its points.
    note: Option<String>,
}

/// A level with the texts that stand above it.
struct Step {
    plateau: Plateau,
    name: &'static str,
    ns: String,
    cycles: String,
}

/// The data of the picture.
pub(super) struct Staircase {
    series: Vec<Series>,
    steps: Vec<Step>,
    claims: Vec<Claim>,
    machine: String,
}

impl Staircase {
    /// `None` when the card has no latency curve.
    pub(super) fn of(summary: &Summary) -> Option<Staircase> {
        let card = &summary.card;
        let series: Vec<Series> = VARIANTS.into_iter().filter_map(|v| series(card, v)).collect();
        if series.is_empty() {
            return None;
        }
        let of = |variant| metrics::plateaus(card, PROBE, &select(variant));
        let plateaus = HUGE.into_iter().flat_map(of);
        Some(Staircase {
            series,
            steps: plateaus.map(|p| step(summary, p)).collect(),
            claims: machine_view::claims(&card.header.machine),
            machine: card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let mut caption = String::from(
            "Each curve follows a chain of loads, each load's address being the value of the one \
             before it, through ever larger working sets. A step is the edge of a cache; the \
             shaded levels were found on the curve of fully random loads, the dashed lines are \
             the sizes that the machine claims. Pale bands are the spread between rounds.",
        );
        for series in &self.series {
            if let Some(note) = &series.note {
                caption.push_str(&format!(" Note on \u{201c}{}\u{201d}: {note}.", series.label));
            }
        }
        picture("staircase", TITLE, caption, self)
    }

    fn frame(&self) -> Frame {
        let points = || self.series.iter().flat_map(|s| &s.points);
        let ends = |of: fn(&CurvePoint) -> f64| {
            points().map(of).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (x_low, x_high) = ends(|p| p.x);
        let (y_low, y_high) = (ends(|p| p.low).0, ends(|p| p.high).1);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::log((x_low, x_high.max(x_low * 2.0)), (LEFT_EDGE, RIGHT_EDGE)),
            y: Axis::log((y_low.max(0.01) * 0.8, y_high.max(0.02) * 1.25), (BOTTOM, TOP)),
        }
    }

    fn y_ticks(&self) -> Vec<Tick> {
        let all = self.series.iter().flat_map(|s| &s.points);
        let (low, high) =
            all.fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p.low), high.max(p.high)));
        one_two_five(low.max(0.01) * 0.8, high * 1.25)
            .into_iter()
            .map(|ns| (ns, time_label(ns)))
            .collect()
    }

    /// Powers of four from the smallest to the largest working set have a label.
    fn x_ticks(&self) -> Vec<Tick> {
        let all = self.series.iter().flat_map(|s| &s.points);
        let (low, high) = all.fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.x), h.max(p.x)));
        (0..50)
            .map(|e| (e, 2f64.powi(e)))
            .filter(|(_, bytes)| *bytes >= low && *bytes <= high)
            .map(|(e, bytes)| {
                let label = format::quoted(bytes, Unit::Bytes);
                (bytes, if e % 2 == 0 { label } else { String::new() })
            })
            .collect()
    }
}

fn select(variant: &'static str) -> Select {
    Select::of("latency", &[("variant", variant)])
}

fn series(card: &Card, (variant, label, ink): (&'static str, &'static str, Ink)) -> Option<Series> {
    let mut points = series::curve(card, PROBE, &select(variant), "working_set");
    points.retain(|p| p.x > 0.0 && p.low > 0.0 && p.high.is_finite());
    let note = card
        .points
        .iter()
        .filter(|p| p.params.get("variant").is_some_and(|v| v.to_string() == variant))
        .find_map(|p| p.note.clone());
    (!points.is_empty()).then_some(Series { label, ink, points, note })
}

/// The metrics of the level say ns and cycles; the curve's own height stands in for missing ones.
fn step(summary: &Summary, plateau: Plateau) -> Step {
    let (name, id) = match plateau.level {
        Level::L1 => ("L1", "l1"),
        Level::L2 => ("L2", "l2"),
        Level::L3 => ("L3", "l3"),
        Level::Dram => ("Memory", "dram"),
    };
    let metric = |unit: &str| {
        let value = summary.metrics.get(&format!("memory.latency.{id}_{unit}"))?;
        Some(format::quantity(format::believable(value)?, value.unit))
    };
    let ns = metric("ns").unwrap_or_else(|| format::quantity(plateau.ns, Unit::Ns));
    Step { plateau, name, ns, cycles: metric("cycles").unwrap_or_default() }
}

impl Drawing for Staircase {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let frame = self.frame();
        for step in &self.steps {
            let (from, to) = (frame.x.at(step.plateau.from), frame.x.at(step.plateau.to));
            c.rect((from, TOP), (to, BOTTOM), BAND);
        }
        frame.grid(c, &self.x_ticks(), &self.y_ticks());
        c.text((super::frame::LEFT, TOP - 12.0), "time per load, logarithmic", SMALL);
        c.text((RIGHT_EDGE + 18.0, BOTTOM + 20.0), "working set, logarithmic", SMALL);
        self.draw_claims(c, &frame);
        self.draw_steps(c, &frame);
        // The band is opaque, so it must not lie on another curve.
        self.series.iter().filter(|s| s.ink == BLUE).for_each(|s| band(c, &frame, s));
        for series in &self.series {
            let width = if series.ink == BLUE { 2.6 } else { 1.8 };
            frame.curve(c, series.points.iter().map(|p| (p.x, p.value)), width, series.ink);
        }
        self.draw_labels(c, &frame);
    }
}

impl Staircase {
    fn draw_steps<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let wanted: Vec<f64> = self
            .steps
            .iter()
            .map(|s| (frame.x.at(s.plateau.from) + frame.x.at(s.plateau.to)) / 2.0)
            .collect();
        let line = |s: &Step| {
            if s.cycles.is_empty() { s.ns.clone() } else { format!("{} = {}", s.ns, s.cycles) }
        };
        let sizes: Vec<f64> =
            self.steps.iter().map(|s| text_width(&line(s), SMALL) + 12.0).collect();
        // The name of the y axis keeps the left end of the strip.
        let places = spread(&wanted, &sizes, LEFT_EDGE - 50.0, WIDTH - 10.0);
        for (step, x) in self.steps.iter().zip(places) {
            let (from, to) = (frame.x.at(step.plateau.from), frame.x.at(step.plateau.to));
            c.line((from, TOP), (to, TOP), 2.0, FAINT);
            let head = match step.plateau.level {
                // Memory ends where the sweep ends, which says nothing.
                Level::Dram => step.name.to_owned(),
                _ => format!("{} to {}", step.name, format::quoted(step.plateau.to, Unit::Bytes)),
            };
            c.text((x, TOP - 46.0), &head, SMALL.bold().ink(INK).align(Align::Center));
            c.text((x, TOP - 30.0), &line(step), SMALL.align(Align::Center));
        }
    }

    fn draw_claims<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let strip = BOTTOM + 66.0;
        let label = |claim: &Claim| format!("{} {}", claim.label, human_bytes(claim.bytes));
        let wanted: Vec<f64> = self.claims.iter().map(|k| frame.x.at(k.bytes as f64)).collect();
        let sizes: Vec<f64> =
            self.claims.iter().map(|k| text_width(&label(k), SMALL) + 14.0).collect();
        let places = spread(&wanted, &sizes, LEFT_EDGE, WIDTH - 10.0);
        if !self.claims.is_empty() {
            c.text((super::frame::LEFT, strip), "claimed", SMALL);
        }
        for ((claim, x), place) in self.claims.iter().zip(wanted).zip(places) {
            // The gap leaves the tick labels alone.
            c.dashes((x, TOP), (x, BOTTOM + 6.0), 1.2, MUTED);
            c.line((x, BOTTOM + 26.0), (place, strip - 14.0), 1.2, MUTED);
            c.text((place, strip), &label(claim), SMALL.ink(INK).align(Align::Center));
        }
    }

    /// Names at the right ends of the curves, moved off one another.
    fn draw_labels<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let label = |series: &Series| {
            let end = series.points.last()?;
            let at = (frame.x.at(end.x), frame.y.at(end.value));
            let head = series.label.to_owned();
            Some(Label { at, head, lines: under_label(series), ink: series.ink })
        };
        let all: Vec<Label> = self.series.iter().filter_map(label).collect();
        labels(c, &all, RIGHT_EDGE + 18.0, (TOP - 8.0, BOTTOM + 4.0), false);
    }
}

/// The value at the end of a curve, and in two more lines what the card notes on it.
fn under_label(series: &Series) -> Vec<String> {
    let value = series.points.last().map(|p| format::quantity(p.value, Unit::Ns));
    let note = series.note.as_deref().unwrap_or_default();
    value.into_iter().chain(wrap(note, WIDTH - RIGHT_EDGE - 26.0, 2, SMALL)).collect()
}

/// The spread between rounds.
fn band<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, series: &Series) {
    let upper = series.points.iter().map(|p| (frame.x.at(p.x), frame.y.at(p.high)));
    let lower = series.points.iter().rev().map(|p| (frame.x.at(p.x), frame.y.at(p.low)));
    c.polygon(&upper.chain(lower).collect::<Vec<_>>(), BLUE_PALE, 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;
    use card::record::Param;

    #[test]
    fn levels_claims_and_units_are_drawn() {
        let stairs = Staircase::of(&fixture::recorded()).unwrap();
        let svg = svg(&stairs, TITLE);
        for text in ["L1 to ", "Memory", "claimed", "KiB", "MiB", "100 ns", "cycles"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn pages_of_other_kernels_are_drawn_as_large_as_they_are() {
        let mut summary = fixture::recorded();
        let as_4k = Staircase::of(&summary).unwrap();
        for (old, new) in [("random_4k", "random_16k"), ("random_2m", "random_32m")] {
            let variants =
                summary.card.points.iter_mut().filter_map(|p| p.params.get_mut("variant"));
            variants.filter(|v| **v == Param::from(old)).for_each(|v| *v = Param::from(new));
        }
        let stairs = Staircase::of(&summary).unwrap();
        assert_eq!(stairs.steps.len(), as_4k.steps.len());
        let svg = svg(&stairs, TITLE);
        assert!(svg.contains("random, 16 KiB pages") && svg.contains("random, 32 MiB pages"));
        assert!(!svg.contains(", 4 KiB pages") && !svg.contains(", 2 MiB pages"));
    }

    #[test]
    fn what_the_card_notes_on_a_curve_is_told() {
        let mut summary = fixture::recorded();
        let caption = |summary: &Summary| Staircase::of(summary).unwrap().picture().caption;
        assert!(!caption(&summary).contains("huge pages not granted"));
        let huge = Param::from("random_2m");
        let points = summary.card.points.iter_mut();
        points
            .filter(|p| p.params.get("variant") == Some(&huge))
            .for_each(|p| p.note = Some("huge pages not granted: 4K".into()));
        assert!(caption(&summary).contains("huge pages not granted"));
    }

    #[test]
    fn no_curve_no_picture() {
        assert!(Staircase::of(&fixture::empty()).is_none());
    }
}
