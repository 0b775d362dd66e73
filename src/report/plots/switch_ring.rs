//! What a switch costs more where the tasks have memory of their own: the caches must be filled
//! again.

use std::collections::BTreeMap;

use card::declare::Better;
use card::machine::human_bytes;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, LEFT, Label, Tick, WIDTH, heading, labels, time_label};
use super::scale::{Axis, one_two_five};
use super::theme::{BLUE, GREEN, Ink, MUTED, PURPLE, SMALL, VERMILION};
use super::{Picture, picture};
use card::summary::Summary;
use card::{findings, series};

const TITLE: &str = "Switches with memory: the caches that the others have filled";
const PROBE: &str = "context-switch";
const HEIGHT: f64 = 470.0;
const TOP: f64 = 112.0;
const BOTTOM: f64 = 400.0;
const LEFT_EDGE: f64 = 78.0;
const RIGHT_EDGE: f64 = 770.0;
/// Where labels begin.
const COLUMN: f64 = 790.0;
/// Tasks that have no memory of their own stand at the left end.
const NOTHING: f64 = 8.0 * 1024.0;
const INKS: [Ink; 4] = [BLUE, GREEN, PURPLE, VERMILION];

/// A ring of so many tasks.
struct Ring {
    tasks: i64,
    ink: Ink,
    /// Bytes of all tasks together, and ns of one switch beyond the walk.
    points: Vec<(f64, f64)>,
}

/// The data of the picture.
pub(super) struct SwitchRing {
    rings: Vec<Ring>,
    /// Names and ends of the caches, as measured or else as claimed.
    caches: Vec<(&'static str, f64)>,
    machine: String,
}

impl SwitchRing {
    /// `None` without a curve.
    pub(super) fn of(summary: &Summary) -> Option<SwitchRing> {
        let rings = series::settings(&summary.card, PROBE, "ring");
        let walks = series::settings(&summary.card, PROBE, "walk");
        let mut curves: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
        for ring in &rings {
            let (Some(tasks), Some(bytes)) = (ring.int("tasks"), ring.int("footprint")) else {
                continue;
            };
            let walk = walks.iter().find(|walk| walk.int("footprint") == Some(bytes));
            let beyond =
                walk.and_then(|walk| ring.with(walk, Better::Lower, |ring, walk| ring - walk));
            if let Some(beyond) = beyond.filter(|beyond| beyond.value > 0.0) {
                let all = tasks as f64 * bytes as f64;
                curves.entry(tasks).or_default().push((all.max(NOTHING), beyond.value));
            }
        }
        let rings: Vec<Ring> = curves
            .into_iter()
            .filter(|(_, points)| points.len() > 1)
            .zip(INKS)
            .map(|((tasks, points), ink)| Ring { tasks, ink, points })
            .collect();
        (!rings.is_empty()).then(|| SwitchRing {
            rings,
            caches: caches(summary),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = "Threads on one CPU pass a token; who has it follows a chain of loads through \
                       memory of its own, at most 1024 lines in a turn, and passes it on. What the \
                       same loads and calls take one thread alone is subtracted: what is left is the \
                       switch, and fetching again what the others have thrown out. Each step up is a \
                       cache that all of them together no longer fit into."
            .to_owned();
        picture("switch_ring", TITLE, caption, self)
    }

    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.rings.iter().flat_map(|r| &r.points)
    }

    fn range(&self) -> (f64, f64) {
        let low = self.points().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let high = self.points().map(|p| p.1).fold(0.0, f64::max);
        (low / 1.3, high.max(low * 2.0) * 1.3)
    }

    fn frame(&self) -> Frame {
        let most = self.points().map(|p| p.0).fold(4.0 * NOTHING, f64::max);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::log((NOTHING, most), (LEFT_EDGE + 12.0, RIGHT_EDGE - 8.0)),
            y: Axis::log(self.range(), (BOTTOM, TOP)),
        }
    }

    fn ticks(&self) -> (Vec<Tick>, Vec<Tick>) {
        let most = self.points().map(|p| p.0).fold(4.0 * NOTHING, f64::max);
        let powers = std::iter::successors(Some(4.0 * NOTHING), |b| Some(b * 4.0));
        let sizes = powers.take_while(|b| *b <= most * 1.01);
        let size = |bytes: f64| (bytes, human_bytes(bytes as u64));
        let x = [(NOTHING, "none".to_owned())].into_iter().chain(sizes.map(size)).collect();
        let (low, high) = self.range();
        let y = one_two_five(low, high).into_iter().map(|ns| (ns, time_label(ns))).collect();
        (x, y)
    }
}

/// Measured where that is known, else claimed.
fn caches(summary: &Summary) -> Vec<(&'static str, f64)> {
    let measured = findings::level_ends(&summary.metrics);
    let machine = &summary.card.header.machine;
    let claimed = |(level, name): (u8, &'static str)| {
        let found = measured.iter().find(|m| m.0 == name).copied();
        found.or_else(|| Some((name, machine.claimed_cache(level, true)?.bytes as f64)))
    };
    [(1, "L1"), (2, "L2"), (3, "L3")].into_iter().filter_map(claimed).collect()
}

impl Drawing for SwitchRing {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let frame = self.frame();
        let (x, y) = self.ticks();
        frame.grid(c, &x, &y);
        frame.names(c, "memory of all tasks together, logarithmic", "");
        c.text(
            (LEFT, TOP - 14.0),
            "one switch and what it makes slower, walk and calls subtracted",
            SMALL,
        );
        let end = self.points().map(|p| p.0).fold(0.0, f64::max);
        for (name, bytes) in self.caches.iter().filter(|cache| cache.1 < end) {
            let at = frame.x.at(*bytes);
            c.dashes((at, TOP), (at, BOTTOM), 1.2, MUTED);
            c.tag((at + 5.0, TOP + 14.0), &format!("{name} ends"), SMALL);
        }
        for ring in &self.rings {
            frame.curve(c, ring.points.iter().copied(), 2.2, ring.ink);
        }
        let named: Vec<Label> = self
            .rings
            .iter()
            .filter_map(|ring| {
                let at = frame.place(*ring.points.last()?);
                let head = format!("{} tasks", ring.tasks);
                Some(Label { at, head, lines: Vec::new(), ink: ring.ink })
            })
            .collect();
        labels(c, &named, COLUMN, (TOP, BOTTOM), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn rings_and_the_caches_they_leave_are_drawn() {
        let drawn = svg(&SwitchRing::of(&fixture::recorded()).unwrap(), TITLE);
        for text in ["2 tasks", "16 tasks", "L1 ends", "L2 ends", "none", "2 MiB"] {
            assert!(drawn.contains(text), "{text}");
        }
        assert!(!drawn.contains("NaN"));
    }

    #[test]
    fn without_the_walk_or_with_one_point_there_is_no_picture() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.quantity != "walk");
        assert!(SwitchRing::of(&Summary::of(card)).is_none());
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.params.get("footprint").is_none_or(|f| f.to_string() == "0"));
        assert!(SwitchRing::of(&Summary::of(card)).is_none());
        assert!(SwitchRing::of(&fixture::empty()).is_none());
    }
}
