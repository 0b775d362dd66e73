//! Places that jumps and returns go to: cycles per jump against how many there are, and per call
//! against how deep they go.

use std::collections::BTreeSet;

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, round_ticks};
use super::theme::{Align, BLUE, BODY, GREEN, Ink, MUTED, PURPLE, SMALL, VERMILION};
use super::{Picture, notes, picture};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "Branch targets: how many places a core remembers";
const PROBE: &str = "branch";
const HEIGHT: f64 = 450.0;
const TOP: f64 = 128.0;
const BOTTOM: f64 = 390.0;
const JUMPS: (f64, f64) = (66.0, 440.0);
const CALLS: (f64, f64) = (610.0, 870.0);
const INKS: [Ink; 4] = [BLUE, GREEN, PURPLE, MUTED];

/// How the metrics are called in the picture.
const LEVELS: [(&str, &str); 2] =
    [("branch.btb_l1_entries", "first level"), ("branch.btb_l2_entries", "second level")];
const DEPTH: &str = "branch.return_depth_entries";

/// The data of the picture.
pub(super) struct BranchTargets {
    /// Bytes between the jumps, and the curve.
    jumps: Vec<(i64, Vec<(f64, f64)>)>,
    levels: Vec<(&'static str, f64)>,
    calls: Vec<(f64, f64)>,
    depth: Option<f64>,
    unit: Unit,
    note: String,
    machine: String,
}

impl BranchTargets {
    /// `None` when the card has two points of neither.
    pub(super) fn of(summary: &Summary) -> Option<BranchTargets> {
        let jump = series::settings(&summary.card, PROBE, "jump");
        let call = series::settings(&summary.card, PROBE, "call");
        let cycles = jump.iter().chain(&call).all(|s| s.cycles.is_some());
        let y = |s: &Setting| if cycles { s.cycles } else { Some(s.value) };
        let curve = |settings: &[Setting], x: &str, spacing: Option<i64>| -> Vec<(f64, f64)> {
            let own = settings.iter().filter(|s| s.int("spacing") == spacing);
            own.filter_map(|s| Some((s.int(x).filter(|n| *n > 0)? as f64, y(s)?))).collect()
        };
        let spacings: BTreeSet<i64> = jump.iter().filter_map(|s| s.int("spacing")).collect();
        let jumps: Vec<(i64, Vec<(f64, f64)>)> = spacings
            .into_iter()
            .map(|spacing| (spacing, curve(&jump, "jumps", Some(spacing))))
            .filter(|(_, points)| points.len() > 1)
            .collect();
        let calls = Some(curve(&call, "depth", None)).filter(|c| c.len() > 1).unwrap_or_default();
        let number = |id: &str| summary.metrics.get(id).and_then(format::believable);
        (!jumps.is_empty() || !calls.is_empty()).then(|| BranchTargets {
            jumps,
            levels: LEVELS.iter().filter_map(|(id, name)| Some((*name, number(id)?))).collect(),
            calls,
            depth: number(DEPTH),
            unit: if cycles { Unit::Cycles } else { Unit::Ns },
            note: notes(&[jump, call].concat()),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "Left: a ring of jumps, those of eight lines in random order, at different distances in \
             the code. A core that remembers where a jump goes fetches on at once; one that does not \
             has to decode the jump first. Each rise is a level of that memory, or of the instruction \
             caches, coming to its end: what depends on the number of jumps is the memory of targets, \
             what depends on the bytes is a cache. Right: calls within calls. The core notes where \
             each returns to, as many as its return stack holds; what is deeper is mispredicted on \
             the way back.{}",
            self.note
        );
        picture("branch_targets", TITLE, caption, self)
    }

    fn draw_jumps<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let points = || self.jumps.iter().flat_map(|j| &j.1).copied();
        let low = points().map(|p| p.0).fold(f64::MAX, f64::min);
        let high = points().map(|p| p.0).fold(low * 2.0, f64::max);
        // The names of the levels stand above the curves.
        let most = 1.2 * points().map(|p| p.1).fold(1.0, f64::max);
        let frame = frame(JUMPS, Axis::log((low, high), JUMPS), most);
        let powers = (0..31).map(|e| 1_u64 << e).map(|n| (n as f64, count(n)));
        let x: Vec<Tick> = powers.filter(|(n, _)| *n >= low && *n <= high).collect();
        self.panel(c, &frame, "Jumps, always taken", (&x, most), ("jumps", "jump"));
        for (i, (name, entries)) in self.levels.iter().enumerate() {
            let x = frame.x.at(*entries);
            c.dashes((x, TOP), (x, BOTTOM), 1.2, VERMILION);
            // The first one's name to the left of its line, the second one's to the right.
            let (align, away) = if i == 0 { (Align::Right, -5.0) } else { (Align::Left, 5.0) };
            let set = SMALL.ink(VERMILION).align(align);
            c.tag((x + away, TOP + 10.0), &format::quantity(*entries, Unit::Count), set);
            c.tag((x + away, TOP + 25.0), name, set);
        }
        let mut ends = Vec::new();
        for ((spacing, points), ink) in self.jumps.iter().zip(INKS.into_iter().cycle()) {
            frame.curve(c, points.iter().copied(), 1.8, ink);
            let last = points.last().copied().unwrap_or_default();
            let head = format!("{spacing} bytes apart");
            ends.push(Label { at: frame.place(last), head, lines: Vec::new(), ink });
        }
        labels(c, &ends, JUMPS.1 + 22.0, (TOP, BOTTOM), false);
    }

    fn draw_calls<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let ends = self.calls.iter().fold((1.0_f64, 1.0_f64), |m, p| (m.0.max(p.0), m.1.max(p.1)));
        let frame = frame(CALLS, Axis::linear((0.0, ends.0), CALLS), ends.1);
        let x = round_ticks(0.0, ends.0, 6.0).into_iter().map(|v| (v, format::plain(v)));
        let x: Vec<Tick> = x.collect();
        self.panel(
            c,
            &frame,
            "Calls within calls",
            (&x, ends.1),
            ("depth", "call with its return"),
        );
        if let Some(depth) = self.depth {
            let x = frame.x.at(depth);
            c.dashes((x, TOP), (x, BOTTOM), 1.2, VERMILION);
            let text = format!("{} deep", format::plain(depth));
            c.tag((x - 5.0, TOP + 10.0), &text, SMALL.ink(VERMILION).align(Align::Right));
        }
        frame.curve(c, self.calls.iter().copied(), 1.8, BLUE);
    }

    fn panel<DB: DrawingBackend>(
        &self,
        c: &Canvas<'_, DB>,
        frame: &Frame,
        title: &str,
        (x, most): (&[Tick], f64),
        (across, per): (&str, &str),
    ) {
        let y = round_ticks(0.0, most, 6.0).into_iter().map(|v| (v, format::plain(v)));
        frame.grid(c, x, &y.collect::<Vec<Tick>>());
        c.text((frame.left - 46.0, TOP - 38.0), title, BODY.bold());
        let per = format!("{} per {per}", self.unit.symbol());
        c.text((frame.left - 46.0, TOP - 16.0), &per, SMALL);
        c.text((frame.right, BOTTOM + 38.0), across, SMALL.align(Align::Right));
    }
}

fn frame((left, right): (f64, f64), x: Axis, most: f64) -> Frame {
    let y = Axis::linear((0.0, most * 1.08), (BOTTOM, TOP));
    Frame { left, right, top: TOP, bottom: BOTTOM, x, y }
}

/// `512`, `4 K`.
fn count(n: u64) -> String {
    if n >= 1024 { format!("{} K", n >> 10) } else { n.to_string() }
}

impl Drawing for BranchTargets {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        if !self.jumps.is_empty() {
            self.draw_jumps(c);
        }
        if !self.calls.is_empty() {
            self.draw_calls(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn both_levels_and_the_return_stack_are_marked() {
        let targets = BranchTargets::of(&fixture::recorded()).unwrap();
        assert_eq!(targets.jumps.len(), 3);
        assert_eq!(targets.depth, Some(32.0));
        let svg = svg(&targets, TITLE);
        for text in ["1536", "first level", "second level", "32 deep", "16 bytes apart"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn either_half_is_a_picture_and_none_is_none() {
        for half in ["jump", "call"] {
            let mut card = fixture::recorded().card;
            card.points.retain(|p| p.quantity == half);
            let targets = BranchTargets::of(&Summary::of(card)).unwrap();
            assert_eq!(targets.calls.is_empty(), half == "jump");
            assert!(!svg(&targets, TITLE).contains("NaN"));
        }
        assert!(BranchTargets::of(&fixture::empty()).is_none());
    }
}
