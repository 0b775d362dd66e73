//! False sharing: what two CPUs cost each other, by how far apart their data are.

use card::record::Param;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, LEFT, Tick, WIDTH, heading};
use super::scale::{Axis, round_ticks, spread};
use super::theme::{Align, BLUE, BODY, GREEN, INK, Ink, PURPLE, SMALL, VERMILION};
use super::{Picture, notes, picture};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "False sharing: how far apart is enough?";
const PROBE: &str = "false-sharing";
const HEIGHT: f64 = 470.0;
const LEFT_EDGE: f64 = 66.0;
const RIGHT_EDGE: f64 = 640.0;
const TOP: f64 = 112.0;
const BOTTOM: f64 = 404.0;
/// Where the column at the right begins.
const COLUMN: f64 = 672.0;

/// Kernel, its name for readers, its colour.
const KERNELS: [(&str, &str, Ink); 3] = [
    ("atomic", "atomic additions", BLUE),
    ("store", "plain stores", GREEN),
    ("write_read", "loads, the other CPU stores", PURPLE),
];

struct Curve {
    label: &'static str,
    ink: Ink,
    /// Distance in bytes, and how many times as long as at the largest distance.
    points: Vec<(f64, f64)>,
    /// Time per operation at the largest distance, ns.
    apart_ns: f64,
}

/// The data of the picture.
pub(super) struct FalseSharing {
    curves: Vec<Curve>,
    step: Option<f64>,
    padding: Option<f64>,
    /// Other pairs of CPUs, and the slow-down of their atomic additions.
    others: Vec<(&'static str, f64)>,
    note: String,
    machine: String,
}

impl FalseSharing {
    /// `None` without a curve.
    pub(super) fn of(summary: &Summary) -> Option<FalseSharing> {
        let settings = series::settings(&summary.card, PROBE, "time_per_op");
        let curves: Vec<Curve> =
            KERNELS.into_iter().filter_map(|kernel| curve(&settings, kernel)).collect();
        let number = |id| format::believable(summary.metrics.get(id)?);
        (!curves.is_empty()).then(|| FalseSharing {
            curves,
            step: number("false_sharing.step_bytes"),
            padding: number("false_sharing.safe_padding_bytes"),
            others: others(&series::settings(&summary.card, PROBE, "other_pair")),
            note: notes(&settings),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "Two CPUs work at once, each on a word of its own; the curves say how many times as long \
             an operation takes as with 1024 bytes in between. Words on one line are fought for, \
             although no one shares them. Atomic additions show it best: plain stores wait in the \
             store buffer, and loads are read ahead.{}",
            self.note
        );
        picture("false_sharing", TITLE, caption, self)
    }

    fn frame(&self) -> Frame {
        let points = || self.curves.iter().flat_map(|c| &c.points);
        let most = points().map(|p| p.1).fold(1.0, f64::max);
        let far = points().map(|p| p.0).fold(16.0, f64::max);
        let near = points().map(|p| p.0).fold(8.0, f64::min);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::log((near, far), (LEFT_EDGE + 12.0, RIGHT_EDGE)),
            y: Axis::linear((0.0, most * 1.15), (BOTTOM, TOP)),
        }
    }
}

fn curve(settings: &[Setting], (kernel, label, ink): (&str, &'static str, Ink)) -> Option<Curve> {
    let own = |s: &&Setting| s.params.get("kernel").is_some_and(|k| k.to_string() == kernel);
    let mut points: Vec<(f64, f64)> = settings
        .iter()
        .filter(own)
        .filter_map(|s| Some((s.int("offset")? as f64, s.value)))
        .filter(|p| p.0 > 0.0 && p.1.is_finite())
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let apart_ns = points.last()?.1;
    points.iter_mut().for_each(|p| p.1 /= apart_ns);
    (points.len() > 1).then_some(Curve { label, ink, points, apart_ns })
}

/// The slow-downs of pairs that were only measured near and far.
fn others(settings: &[Setting]) -> Vec<(&'static str, f64)> {
    let kinds = [
        ("siblings", "hyperthreads of one core"),
        ("same_l3", "at one L3 cache"),
        ("other_l3", "at different L3 caches"),
        ("other_node", "of different nodes"),
        ("unclaimed", "place not claimed"),
    ];
    let at = |kind: &str, offset: i64| {
        let is = |s: &&Setting| {
            s.int("offset") == Some(offset) && s.params.get("with") == Some(&Param::from(kind))
        };
        settings.iter().find(is).map(|s| s.value)
    };
    let ratio = |(kind, words)| Some((words, at(kind, 8)? / at(kind, 1024)?));
    kinds.into_iter().filter_map(ratio).collect()
}

impl Drawing for FalseSharing {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let frame = self.frame();
        let x: Vec<Tick> = [8, 16, 32, 64, 128, 256, 512, 1024]
            .iter()
            .map(|bytes| (f64::from(*bytes), bytes.to_string()))
            .collect();
        let most = self.curves.iter().flat_map(|c| &c.points).map(|p| p.1).fold(1.0, f64::max);
        let y: Vec<Tick> = round_ticks(0.0, most * 1.15, 6.0)
            .into_iter()
            .map(|times| (times, format!("{}×", format::plain(times))))
            .collect();
        frame.grid(c, &x, &y);
        frame.names(c, "bytes between the two words, logarithmic", "");
        c.text((LEFT, TOP - 14.0), "time per operation ÷ time with 1024 bytes in between", SMALL);
        if let Some(step) = self.step {
            let at = frame.x.at(step);
            c.dashes((at, TOP), (at, BOTTOM), 1.4, VERMILION);
            let text = format!("no cost from {} bytes on", format::plain(step));
            c.tag((at + 8.0, TOP + 16.0), &text, SMALL.ink(VERMILION));
        }
        for curve in &self.curves {
            frame.curve(c, curve.points.iter().copied(), 2.2, curve.ink);
        }
        self.draw_column(c, &frame);
    }
}

impl FalseSharing {
    /// The answer, the curves' names with what they cost, and other pairs.
    fn draw_column<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let ends = self.curves.iter().map(|curve| frame.place(curve.points[0]));
        let wanted: Vec<f64> = ends.map(|end| end.1 - 12.0).collect();
        let places = spread(&wanted, &vec![20.0; wanted.len()], TOP, BOTTOM);
        for (curve, y) in self.curves.iter().zip(places) {
            c.tag((frame.left + 18.0, y), curve.label, SMALL.bold().ink(curve.ink));
        }
        let mut y = TOP + 12.0;
        if let Some(padding) = self.padding.or(self.step) {
            c.text((COLUMN, y), &format!("Pad to {} bytes", format::plain(padding)), BODY.bold());
            if self.step.is_some_and(|step| padding > step) {
                y += 18.0;
                c.text((COLUMN, y), "as lines come with their neighbours", SMALL);
            }
            y += 30.0;
        }
        c.text((COLUMN, y), "8 and 1024 bytes apart", SMALL.ink(INK).bold());
        for curve in &self.curves {
            let near = format::number(curve.points[0].1 * curve.apart_ns);
            let apart = format!("{near} and {} ns", format::number(curve.apart_ns));
            c.text((COLUMN, y + 22.0), curve.label, SMALL.ink(curve.ink));
            c.text((COLUMN, y + 39.0), &apart, SMALL);
            y += 44.0;
        }
        if !self.others.is_empty() {
            y += 34.0;
            c.text((COLUMN, y), "Atomic additions of other CPUs", SMALL.ink(INK).bold());
        }
        for (words, ratio) in &self.others {
            y += 20.0;
            c.text((COLUMN, y), words, SMALL);
            let text = format!("{}×", format::number(*ratio));
            c.text((WIDTH - LEFT, y), &text, SMALL.ink(INK).align(Align::Right));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn curves_step_and_answer_are_drawn() {
        let drawn = svg(&FalseSharing::of(&fixture::cores(2)).unwrap(), TITLE);
        for text in
            ["atomic additions", "plain stores", "from 64 bytes on", "Pad to 64 bytes", "4×"]
        {
            assert!(drawn.contains(text), "{text}");
        }
        assert!(!drawn.contains("other CPUs"));
    }

    #[test]
    fn other_pairs_have_their_slowdown() {
        let mut card = fixture::cores(2).card;
        let mut more: Vec<_> =
            card.points.iter().filter(|p| p.quantity == "time_per_op").cloned().collect();
        more.retain(|p| p.params["kernel"].to_string() == "atomic");
        for point in &mut more {
            point.quantity = "other_pair".into();
            point.params.insert("with".into(), "other_node".into());
        }
        card.points.extend(more);
        let drawn = svg(&FalseSharing::of(&Summary::of(card)).unwrap(), TITLE);
        assert!(drawn.contains("other CPUs") && drawn.contains("of different nodes"));
    }

    #[test]
    fn nothing_and_a_single_point_are_no_picture() {
        assert!(FalseSharing::of(&fixture::empty()).is_none());
        let mut card = fixture::cores(2).card;
        card.points.retain(|p| p.quantity == "time_per_op");
        card.points.truncate(1);
        assert!(FalseSharing::of(&Summary::of(card)).is_none());
    }
}
