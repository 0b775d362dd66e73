//! Storage: how long a disk lets one wait, and how often.

use card::declare::{Better, Unit};
use card::record::{Param, Point};
use card::series;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, wrap};
use super::frame::{Frame, LEFT, Tick, WIDTH, heading, time_label};
use super::scale::{Axis, one_two_five};
use super::theme::{Align, BLUE, BODY, GREEN, INK, Ink, MUTED, PURPLE, SMALL};
use super::{Picture, picture};
use card::estimate::{middle, quantile};
use card::file::Card;
use card::format;
use card::summary::Summary;

const TITLE: &str = "Storage: how long requests take, and how often longer";
const PROBE: &str = "storage";
const HEIGHT: f64 = 462.0;
const TOP: f64 = 128.0;
const BOTTOM: f64 = 402.0;
const LEFT_EDGE: f64 = 86.0;
const RIGHT_EDGE: f64 = 690.0;

/// Quantities, what they are for readers, and their colour.
const KINDS: [(&str, Option<&str>, &str, Ink); 3] = [
    ("read_1m_sequential", None, "read the next 1 MiB", GREEN),
    ("durable_write", Some("fsync"), "write 4 KiB and fsync", PURPLE),
    ("read_4k_random", None, "read 4 KiB at random", BLUE),
];

/// Shares at which the samples of a round are looked at: they stand for even parts of it.
const SHARES: [f64; 9] = [0.025, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95];

/// Where the slowest of all stands: beyond 99.9 %.
const SLOWEST: f64 = 0.9997;

struct Curve {
    label: &'static str,
    ink: Ink,
    /// Share of the requests, and what they take at most, ns.
    points: Vec<(f64, f64)>,
    /// Half of them take no longer, ns.
    middle: f64,
}

/// The data of the picture.
pub(super) struct Storage {
    curves: Vec<Curve>,
    /// What 99 of 100 random reads stay below, ns.
    p99: Option<f64>,
    /// A durable write by the cheaper call, ns.
    fdatasync: Option<f64>,
    /// The disk in words.
    disk: String,
    machine: String,
}

impl Storage {
    /// `None` when no request was timed.
    pub(super) fn of(summary: &Summary) -> Option<Storage> {
        let card = &summary.card;
        let curves: Vec<Curve> = KINDS.into_iter().filter_map(|kind| curve(card, kind)).collect();
        let file = card.points.iter().find(|p| p.probe == PROBE && p.quantity == "file");
        let number = |id| format::believable(summary.metrics.get(id)?);
        (!curves.is_empty()).then(|| Storage {
            curves,
            p99: number("storage.read_4k_random_p99_ns"),
            fdatasync: number("storage.fdatasync_ns"),
            disk: file.and_then(|f| f.note.clone()).unwrap_or_default(),
            machine: card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = "Every request bypasses the page cache, one at a time. A curve says how long \
                       that share of the requests took at most: at 50 % the median, to the right \
                       ever rarer and slower ones, by nines. Both axes are logarithmic; lines are \
                       medians over the rounds.";
        picture("storage", TITLE, caption.to_owned(), self)
    }

    /// From below the shortest to above the longest, ns.
    fn times(&self) -> (f64, f64) {
        let all = || self.curves.iter().flat_map(|c| &c.points).map(|p| p.1);
        (all().fold(1e12, f64::min) / 1.8, all().fold(1.0, f64::max) * 1.3)
    }

    fn frame(&self) -> Frame {
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::linear((0.0, rarity(SLOWEST)), (LEFT_EDGE, RIGHT_EDGE)),
            y: Axis::log(self.times(), (BOTTOM, TOP)),
        }
    }
}

/// 0 for all requests, 1 for the slowest tenth, 2 for the slowest hundredth.
fn rarity(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn curve(
    card: &Card,
    (quantity, call, label, ink): (&str, Option<&str>, &'static str, Ink),
) -> Option<Curve> {
    let called = call.map(Param::from);
    let own = |p: &&Point| {
        p.probe == PROBE && p.quantity == quantity && p.params.get("call") == called.as_ref()
    };
    let rounds: Vec<&Point> = card.points.iter().filter(own).collect();
    let at = |share: f64| {
        let each: Vec<f64> =
            rounds.iter().filter_map(|round| quantile(&round.samples, share)).collect();
        middle(&each, Better::Lower).filter(|ns| ns.is_finite() && *ns > 0.0)
    };
    let settings = series::settings(card, PROBE, quantity);
    let middle = settings.iter().find(|s| s.params.get("call") == called.as_ref())?.value;
    let mut points: Vec<(f64, f64)> =
        SHARES.into_iter().filter_map(|share| Some((share, at(share)?))).collect();
    if quantity == "read_4k_random" {
        // What was recorded apart of the slowest reads.
        let tail = series::settings(card, PROBE, "read_4k_tail");
        let slowest = |per_mille| tail.iter().find(|s| s.int("per_mille") == Some(per_mille));
        points.extend(
            [(990, 0.99), (999, 0.999), (1000, SLOWEST)]
                .into_iter()
                .filter_map(|(per_mille, share)| Some((share, slowest(per_mille)?.value))),
        );
    }
    Some(Curve { label, ink, middle, points })
}

impl Drawing for Storage {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        for (i, line) in wrap(&self.disk, WIDTH - 2.0 * LEFT, 2, BODY).iter().enumerate() {
            c.text((LEFT, 80.0 + 18.0 * i as f64), line, BODY);
        }
        let frame = self.frame();
        let shares = [(0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")];
        let mut x: Vec<Tick> =
            shares.into_iter().map(|(share, text)| (rarity(share), text.to_owned())).collect();
        x.push((rarity(SLOWEST), "all".into()));
        let (low, high) = self.times();
        let y: Vec<Tick> =
            one_two_five(low, high).into_iter().map(|ns| (ns, time_label(ns))).collect();
        frame.grid(c, &x, &y);
        frame.names(c, "share of the requests that take no longer", "time per request");
        for curve in &self.curves {
            let points = curve.points.iter().map(|(share, ns)| (rarity(*share), *ns));
            frame.curve(c, points, 2.2, curve.ink);
        }
        self.draw_marks(c, &frame);
        self.draw_names(c, &frame);
    }
}

impl Storage {
    /// Median and tail of the random reads.
    fn draw_marks<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let random = self.curves.iter().find(|curve| curve.ink == BLUE);
        let marks = [(0.5, random.map(|curve| curve.middle)), (0.99, self.p99)];
        for (share, ns) in marks {
            let Some(ns) = ns else { continue };
            let (x, y) = frame.place((rarity(share), ns));
            c.dashes((x, y), (x, BOTTOM), 1.2, MUTED);
            c.ring((x, y), 6.0, BLUE);
            let text = format::quantity(ns, Unit::Ns);
            c.tag((x, y + 24.0), &text, SMALL.bold().ink(INK).align(Align::Center));
        }
    }

    /// What the curves are, with their medians, above where they begin.
    fn draw_names<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        for curve in &self.curves {
            let Some(&(_, ns)) = curve.points.last() else { continue };
            let half = format!("half within {}", format::quantity(curve.middle, Unit::Ns));
            let y = frame.y.at(ns);
            if curve.ink == BLUE {
                aside(c, y + 4.0, curve.label, &half, BLUE);
            } else {
                let rate = format::quantity(1_048_576.0 / curve.middle, Unit::Gbs);
                let rate = if curve.ink == GREEN { format!(", {rate}") } else { String::new() };
                let text = format!("{}: {half}{rate}", curve.label);
                c.tag((LEFT_EDGE + 12.0, y - 12.0), &text, SMALL.bold().ink(curve.ink));
            }
        }
        if let Some(ns) = self.fdatasync {
            let half = format!("half within {}", format::quantity(ns, Unit::Ns));
            aside(c, BOTTOM - 60.0, "write 4 KiB and fdatasync", &half, INK);
        }
    }
}

/// A name and a number to the right of the curves.
fn aside<DB: DrawingBackend>(c: &Canvas<'_, DB>, y: f64, name: &str, number: &str, ink: Ink) {
    let x = RIGHT_EDGE + 14.0;
    c.text((x, y), name, SMALL.bold().ink(ink));
    c.text((x, y + 17.0), number, SMALL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn curves_disk_and_marks_are_drawn() {
        let drawn = svg(&Storage::of(&fixture::recorded()).unwrap(), TITLE);
        for text in
            ["next 1 MiB", "and fsync", "at random", "ext4 on vda", "99.9 %", "GB/s", "1 ms"]
        {
            assert!(drawn.contains(text), "{text}");
        }
    }

    #[test]
    fn a_disk_too_slow_for_a_tail_has_its_curves() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.quantity != "read_4k_tail" && p.quantity != "file");
        let drawn = svg(&Storage::of(&Summary::of(card)).unwrap(), TITLE);
        assert!(drawn.contains("at random") && !drawn.contains("NaN"));
        assert!(Storage::of(&fixture::empty()).is_none());
    }

    #[test]
    fn nines_are_even_steps() {
        assert_eq!(rarity(0.0), 0.0);
        assert!((rarity(0.99) - 2.0 * rarity(0.9)).abs() < 1e-9);
        assert!(rarity(SLOWEST) > rarity(0.999));
    }
}
