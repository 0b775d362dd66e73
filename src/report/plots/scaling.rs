//! Throughput against threads, relative to one: what more of them are worth, by kind of work.

use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, one_two_five, round_ticks};
use super::theme::{Align, BLUE, FAINT, GREEN, INK, Ink, MUTED, PURPLE, SMALL, VERMILION};
use super::{Picture, picture};
use card::format;
use card::summary::Summary;
use card::view::scaling::{self, Curve};

const TITLE: &str = "More threads: what they are worth";
const HEIGHT: f64 = 452.0;
const TOP: f64 = 118.0;
const BOTTOM: f64 = 390.0;
const LEFT_EDGE: f64 = 70.0;
const RIGHT_EDGE: f64 = 700.0;

/// How the picture calls each of [`scaling::KINDS`], and its colour.
const KINDS: [(&str, Ink); 4] = [
    ("computing", BLUE),
    ("reading memory", GREEN),
    ("half under a lock", VERMILION),
    ("messages", PURPLE),
];

/// Up to so many threads the axes are linear, which everybody reads right.
const FEW: i64 = 16;

/// The data of the picture.
pub(super) struct Scaling {
    curves: Vec<Curve>,
    cpus: i64,
    quota: Option<String>,
    machine: String,
}

impl Scaling {
    /// `None` when the card has no curve.
    pub(super) fn of(summary: &Summary) -> Option<Scaling> {
        let curves = scaling::curves(&summary.card);
        let (cpus, quota) = scaling::all_cpus(&summary.card)?;
        (!curves.is_empty()).then(|| Scaling {
            curves,
            cpus,
            quota: quota.map(ToOwned::to_owned),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let quota = self.quota.as_ref().map_or(String::new(), |quota| {
            format!(" This run had {quota}: no more threads than that allows count as CPUs.")
        });
        let caption = format!(
            "How much threads get done together, relative to one thread; the dashed line is the ideal \
             of as many times as much as there are threads at work. Small dots are single rounds: \
             where they form two groups, the host gave two kinds of CPUs. A single thread sends its \
             messages to itself, several hand them around and sleep in between.{quota}"
        );
        picture("scaling", TITLE, caption, self)
    }

    fn most_threads(&self) -> i64 {
        let points = self.curves.iter().flat_map(|curve| &curve.points);
        points.map(|point| point.threads).max().unwrap_or(2)
    }

    fn ratios(&self) -> impl Iterator<Item = f64> {
        self.curves.iter().flat_map(|curve| &curve.points).flat_map(|point| point.rounds.clone())
    }

    fn frame(&self) -> (Frame, Vec<Tick>, Vec<Tick>) {
        let most = self.most_threads();
        let highest = self.ratios().fold(self.cpus as f64, f64::max) * 1.08;
        let (x_place, y_place) = ((LEFT_EDGE, RIGHT_EDGE), (BOTTOM, TOP));
        let times = |value: f64| format!("{}×", format::plain(value));
        let (x, y, x_ticks, y_ticks): (Axis, Axis, Vec<i64>, Vec<f64>) = if most <= FEW {
            let step = 1 + most / 9;
            (
                Axis::linear((0.8, most as f64 + 0.2), x_place),
                Axis::linear((0.0, highest), y_place),
                (1..=most).filter(|n| n % step == 0 || *n == 1).collect(),
                round_ticks(0.0, highest, 5.0),
            )
        } else {
            let lowest = self.ratios().fold(1.0, f64::min) / 1.2;
            (
                Axis::log((0.9, most as f64 * 1.1), x_place),
                Axis::log((lowest, highest), y_place),
                (0..i64::BITS - 1).map(|power| 1 << power).take_while(|n| *n <= most).collect(),
                one_two_five(lowest, highest),
            )
        };
        let frame = Frame { left: LEFT_EDGE, right: RIGHT_EDGE, top: TOP, bottom: BOTTOM, x, y };
        let x_ticks = x_ticks.into_iter().map(|n| (n as f64, n.to_string())).collect();
        (frame, x_ticks, y_ticks.into_iter().map(|v| (v, times(v))).collect())
    }

    /// In proportion up to the CPUs, level from there.
    fn draw_ideal<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let cpus = self.cpus as f64;
        let mut last = frame.place((1.0, 1.0));
        // In short steps, as it is bent where only one axis is logarithmic.
        for i in 1..=20 {
            let at = 1.0 + (cpus - 1.0) * f64::from(i) / 20.0;
            let next = frame.place((at, at));
            if i % 2 == 1 || cpus < 9.0 {
                c.line(last, next, 1.2, FAINT);
            }
            last = next;
        }
        c.dashes(last, frame.place((self.most_threads() as f64, cpus)), 1.2, FAINT);
        let (x, top) = frame.place((cpus, cpus));
        c.dashes((x, top), (x, BOTTOM), 1.2, MUTED);
        let name = match (&self.quota, self.cpus) {
            (Some(_), n) => format!("all that the quota allows: {n}"),
            (None, 1) => "1 CPU".into(),
            (None, n) => format!("{n} CPUs"),
        };
        c.text((x, TOP - 14.0), &name, SMALL.ink(INK).align(Align::Center));
    }
}

impl Drawing for Scaling {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let (frame, x, y) = self.frame();
        frame.grid(c, &x, &y);
        frame.names(c, "threads", "throughput");
        self.draw_ideal(c, &frame);
        let mut all = Vec::new();
        for curve in &self.curves {
            let kind = scaling::KINDS.iter().position(|kind| *kind == curve.kind);
            let Some(&(name, ink)) = kind.and_then(|i| KINDS.get(i)) else { continue };
            for point in &curve.points {
                for ratio in &point.rounds {
                    c.dot(frame.place((point.threads as f64, *ratio)), 1.8, ink);
                }
            }
            let line = || curve.points.iter().map(|p| (p.threads as f64, p.ratio));
            frame.curve(c, line(), 2.6, ink);
            let Some(end) = line().next_back() else { continue };
            let full = curve.at(self.cpus).map(|point| {
                let plural = if self.cpus == 1 { "" } else { "s" };
                let ratio = format::number(point.ratio);
                format!("{ratio}× with {} thread{plural}", self.cpus)
            });
            let lines = full.into_iter().filter(|_| self.cpus > 1).collect();
            all.push(Label { at: frame.place(end), head: name.into(), lines, ink });
        }
        labels(c, &all, RIGHT_EDGE + 18.0, (TOP - 8.0, BOTTOM + 4.0), false);
    }
}

#[cfg(test)]
mod tests {
    use card::record::Param;

    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn every_kind_has_its_line_and_all_cpus_their_mark() {
        let svg = svg(&Scaling::of(&fixture::recorded()).unwrap(), TITLE);
        for text in ["computing", "reading memory", "half under a lock", "messages", "2 CPUs"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.contains("× with 2 threads") && !svg.contains("NaN"));
    }

    #[test]
    fn many_cpus_are_drawn_in_proportion() {
        let mut card = fixture::recorded().card;
        for point in card.points.iter_mut().filter(|p| p.probe == "scaling") {
            let Some(Param::Int(threads)) = point.params.get_mut("threads") else { continue };
            *threads = [1, 128, 192, 256][*threads as usize - 1];
        }
        let scaling = Scaling::of(&Summary::of(card)).unwrap();
        assert_eq!((scaling.cpus, scaling.most_threads()), (128, 256));
        let svg = svg(&scaling, TITLE);
        assert!(svg.contains("128 CPUs") && svg.contains("\n256\n") && !svg.contains("NaN"));
    }

    #[test]
    fn a_quota_is_named() {
        let mut card = fixture::recorded().card;
        for point in card.points.iter_mut().filter(|p| p.probe == "scaling") {
            point.note = Some("a quota of 1.5 CPUs (cgroup cpu.max /pod) on 8 CPUs".into());
        }
        let scaling = Scaling::of(&Summary::of(card)).unwrap();
        assert!(svg(&scaling, TITLE).contains("quota allows: 2"));
        assert!(scaling.picture().caption.contains("1.5 CPUs (cgroup"));
    }

    #[test]
    fn no_curve_no_picture() {
        assert!(Scaling::of(&fixture::empty()).is_none());
    }
}
