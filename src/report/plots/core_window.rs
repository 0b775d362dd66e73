//! The core's window: the time of two slow chains against what stands between them, one step for
//! each resource that runs out.

use std::collections::BTreeMap;

use card::declare::Unit;
use card::record::{Params, Point};
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{Frame, Tick, WIDTH, heading};
use super::scale::{Axis, round_ticks, spread};
use super::theme::{Align, BLUE, BODY, GREEN, Ink, MUTED, PURPLE, SMALL, VERMILION};
use super::{Picture, notes, picture};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "The core's window: how far it looks ahead";
const PROBE: &str = "core-window";
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 40.0;
const TOP: f64 = 140.0;
const BOTTOM: f64 = 380.0;

/// What is filled in, how the picture calls what runs out, the metric and the colour.
const FILLERS: [(&str, &str, &str, Ink); 5] = [
    ("nop", "instructions", "core.reorder_window_entries", BLUE),
    ("integer", "integer results", "core.integer_registers_entries", GREEN),
    ("vector", "vector results", "core.vector_registers_entries", PURPLE),
    ("load", "loads", "core.load_queue_entries", VERMILION),
    ("store", "stores", "core.store_queue_entries", MUTED),
];

struct Curve {
    name: &'static str,
    entries: Option<f64>,
    ink: Ink,
    points: Vec<(f64, f64)>,
}

/// The data of the picture.
pub(super) struct CoreWindow {
    curves: Vec<Curve>,
    unit: Unit,
    note: String,
    machine: String,
}

impl CoreWindow {
    /// `None` when the card has no two points of a filler.
    pub(super) fn of(summary: &Summary) -> Option<CoreWindow> {
        let settings = series::settings(&summary.card, PROBE, "two_chains");
        let cycles = settings.iter().all(|s| s.cycles.is_some());
        let y = |s: &Setting| if cycles { s.cycles } else { Some(s.value) };
        let curve = |(filler, name, id, ink)| {
            let usual = usual(summary, filler);
            let of = settings.iter().filter(|s| usual.contains(&&s.params));
            let points: Vec<(f64, f64)> =
                of.filter_map(|s| Some((s.int("entries")? as f64, y(s)?))).collect();
            let entries = summary.metrics.get(id).and_then(format::believable);
            (points.len() > 1).then_some(Curve { name, entries, ink, points })
        };
        let curves: Vec<Curve> = FILLERS.into_iter().filter_map(curve).collect();
        (!curves.is_empty()).then(|| CoreWindow {
            unit: if cycles { Unit::Cycles } else { Unit::Ns },
            note: notes(&settings),
            curves,
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "Two chains of slow operations with other work between them. At the left both run at the \
             same time, because the core has all of it in work at once; at the right the second chain \
             waits until the first one is done, which takes twice as long. Where the line rises, the \
             core has no room for more of what stands between the chains: of instructions that do \
             nothing, as many as its reorder window has entries; of results, as many as it has \
             registers to put them into; of loads and stores, as many as their queues hold.{}",
            self.note
        );
        picture("core_window", TITLE, caption, self)
    }

    fn frame(&self) -> Frame {
        let points = || self.curves.iter().flat_map(|c| &c.points);
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1.0, f64::max);
        Frame {
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::linear((0.0, most(|p| p.0) * 1.02), (LEFT, RIGHT)),
            y: Axis::linear((0.0, most(|p| p.1) * 1.08), (BOTTOM, TOP)),
        }
    }

    /// Names with their numbers above the steps, moved off one another.
    fn draw_names<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let named: Vec<(&Curve, f64)> =
            self.curves.iter().filter_map(|curve| Some((curve, curve.entries?))).collect();
        let (head, text) = (BODY.bold().align(Align::Center), SMALL.align(Align::Center));
        let wanted: Vec<f64> = named.iter().map(|n| frame.x.at(n.1)).collect();
        let width = |n: &(&Curve, f64)| text_width(n.0.name, text).max(24.0) + 14.0;
        let sizes: Vec<f64> = named.iter().map(width).collect();
        let places = spread(&wanted, &sizes, LEFT, RIGHT);
        for (((curve, entries), x), step) in named.iter().zip(places).zip(wanted) {
            c.line((x, TOP - 20.0), (step, TOP), 1.0, curve.ink);
            c.dashes((step, TOP), (step, BOTTOM), 1.0, curve.ink);
            c.text((x, TOP - 42.0), &format::plain(entries.round()), head.ink(curve.ink));
            c.text((x, TOP - 26.0), curve.name, text);
        }
    }
}

/// The settings of most rounds: one that found less, because the sibling was awake, would draw
/// another step into the curve.
fn usual<'a>(summary: &'a Summary, filler: &str) -> Vec<&'a Params> {
    let mut rounds: BTreeMap<&Params, usize> = BTreeMap::new();
    let own = |p: &&Point| {
        p.probe == PROBE && p.params.get("filler").is_some_and(|f| f.to_string() == filler)
    };
    for point in summary.card.points.iter().filter(own) {
        *rounds.entry(&point.params).or_default() += 1;
    }
    // The smallest window is sampled in every round; where all others differ, all are drawn.
    let mut counts: Vec<usize> = rounds.values().copied().collect();
    counts.sort_unstable();
    let most = counts.iter().rev().nth(1).copied().unwrap_or(1);
    rounds.into_iter().filter(|(_, n)| 2 * n > most).map(|(params, _)| params).collect()
}

impl Drawing for CoreWindow {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let frame = self.frame();
        let ticks = |most: f64, count: f64| -> Vec<Tick> {
            round_ticks(0.0, most, count).into_iter().map(|v| (v, format::plain(v))).collect()
        };
        let ends = self.curves.iter().flat_map(|c| &c.points);
        let (x, y) = ends.fold((1.0_f64, 1.0_f64), |m, p| (m.0.max(p.0), m.1.max(p.1)));
        frame.grid(c, &ticks(x, 10.0), &ticks(y, 6.0));
        let symbol = self.unit.symbol();
        frame.names(c, "what the core has to hold at a time", &format!("{symbol} for both chains"));
        for curve in &self.curves {
            frame.curve(c, curve.points.iter().copied(), 2.0, curve.ink);
        }
        self.draw_names(c, &frame);
    }
}

#[cfg(test)]
mod tests {
    use card::record::Param;

    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn every_resource_has_its_step_and_its_number() {
        let summary = fixture::recorded();
        let window = CoreWindow::of(&summary).unwrap();
        assert_eq!(window.curves.len(), FILLERS.len());
        let svg = svg(&window, TITLE);
        for (_, name, id, _) in FILLERS {
            let entries = format::plain(summary.metrics.number(id).unwrap().round());
            for text in [name, &entries] {
                assert!(svg.lines().any(|line| line == text), "{id}: {text}");
            }
        }
        assert!(svg.contains("cycles for both chains"));
    }

    #[test]
    fn a_round_that_found_half_draws_no_step_of_its_own() {
        let mut card = fixture::recorded().card;
        let halve = |p: &mut Point| {
            if let Some(Param::Int(n)) = p.params.get_mut("entries") {
                *n = (*n / 2).max(8);
            }
        };
        card.points.iter_mut().filter(|p| p.probe == PROBE && p.round == 3).for_each(halve);
        let all = |summary: &Summary| -> Vec<usize> {
            CoreWindow::of(summary).unwrap().curves.iter().map(|c| c.points.len()).collect()
        };
        assert_eq!(all(&Summary::of(card)), all(&fixture::recorded()));
    }

    #[test]
    fn without_a_clock_or_a_number_the_curves_are_there() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.probe == PROBE && p.params["filler"].to_string() == "store");
        card.points.iter_mut().for_each(|p| p.core_ghz = Vec::new());
        card.header.declarations.clear();
        let window = CoreWindow::of(&Summary::of(card)).unwrap();
        assert_eq!(window.curves.len(), 1);
        assert!(svg(&window, TITLE).contains("ns for both chains"));
        assert!(CoreWindow::of(&fixture::empty()).is_none());
    }
}
