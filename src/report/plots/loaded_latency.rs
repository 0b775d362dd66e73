//! Loaded latency: how long one load takes while others use up ever more of the bandwidth.

use std::collections::BTreeMap;

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, wrap};
use super::frame::{Frame, LEFT, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, round_ticks};
use super::theme::{
    Align, BLUE, BLUE_PALE, BODY, GREEN, INK, Ink, MUTED, PURPLE, SMALL, VERMILION,
};
use super::{Picture, notes, picture};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "Loaded latency: what a load costs while others use the memory";
const PROBE: &str = "loaded-latency";
const HEIGHT: f64 = 482.0;
const TOP: f64 = 152.0;
const BOTTOM: f64 = 422.0;
const LEFT_EDGE: f64 = 86.0;
const RIGHT_EDGE: f64 = 770.0;
const SHARES: [(f64, &str); 3] = [(0.25, "at_25_ns"), (0.5, "at_50_ns"), (0.75, "at_75_ns")];

/// At one delay of the loaders.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    gbs: f64,
    ns: f64,
    low: f64,
    high: f64,
}

/// All delays of so many loaders, by rising load.
struct Series {
    loaders: i64,
    points: Vec<Load>,
}

/// A share of the highest load, where that lies, and the latency there.
struct Mark {
    share: f64,
    gbs: f64,
    ns: f64,
}

/// The data of the picture.
pub(super) struct LoadedLatency {
    /// By rising number of loaders.
    series: Vec<Series>,
    idle: Option<f64>,
    marks: Vec<Mark>,
    /// The card's own words on what this machine can show.
    label: Option<String>,
    note: String,
    machine: String,
}

impl LoadedLatency {
    /// `None` when the card has no latency under load.
    pub(super) fn of(summary: &Summary) -> Option<LoadedLatency> {
        let latency = series::settings(&summary.card, PROBE, "latency");
        let load = series::settings(&summary.card, PROBE, "load");
        let series = series(&latency, &load);
        let metric = |id: &str| {
            let value = summary.metrics.get(&format!("memory.loaded_latency.{id}"))?;
            format::believable(value)
        };
        let mark = |(share, id): (f64, &str)| {
            Some(Mark { share, gbs: share * metric("peak_gbs")?, ns: metric(id)? })
        };
        // What stands in the picture is not said again below it.
        let label = latency.iter().chain(&load).find_map(|s| s.note.clone());
        let others: Vec<Setting> = latency.iter().filter(|s| s.note != label).cloned().collect();
        (!series.is_empty()).then(|| LoadedLatency {
            idle: metric("idle_ns"),
            marks: SHARES.into_iter().filter_map(mark).collect(),
            label,
            note: notes(&others),
            machine: summary.card.header.machine.title(),
            series,
        })
    }

    pub(super) fn picture(self) -> Picture {
        let knee = if self.knee().is_some() {
            " The ring is the knee, the point farthest below a straight line between the ends: \
             beyond it, every further GB/s costs more latency than before."
        } else {
            " There is no knee: the latency rises evenly, or not at all, up to the highest load."
        };
        let caption = format!(
            "One thread follows a chain of loads through main memory while others read as fast as \
             they are let; each point is another pace of theirs. Further right is more load, \
             further up is slower.{knee} The marks at the top are shares of the highest load.{}",
            self.note
        );
        picture("loaded_latency", TITLE, caption, self)
    }

    /// The knee of the curve with most loaders.
    fn knee(&self) -> Option<Load> {
        knee(&self.series.last()?.points)
    }

    fn points(&self) -> impl Iterator<Item = &Load> {
        self.series.iter().flat_map(|s| &s.points)
    }

    fn frame(&self) -> Frame {
        let most = self.points().map(|p| p.gbs).fold(0.1, f64::max);
        let slowest = self.points().map(|p| p.high).chain(self.idle).fold(1.0, f64::max);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::linear((0.0, most * 1.03), (LEFT_EDGE, RIGHT_EDGE)),
            y: Axis::linear((0.0, slowest * 1.08), (BOTTOM, TOP)),
        }
    }

    fn ticks(&self) -> (Vec<Tick>, Vec<Tick>) {
        let most = self.points().map(|p| p.gbs).fold(0.1, f64::max);
        let slowest = self.points().map(|p| p.high).chain(self.idle).fold(1.0, f64::max);
        let x = round_ticks(0.0, most * 1.03, 7.0);
        let y = round_ticks(0.0, slowest * 1.08, 5.0);
        let with_unit = |value: f64, unit: &str| match value {
            0.0 => "0".to_owned(),
            _ => format!("{} {unit}", format::plain(value)),
        };
        let rate = |gbs: f64| with_unit(gbs, "GB/s");
        let time = |ns: f64| with_unit(ns, "ns");
        (
            x.into_iter().map(|v| (v, rate(v))).collect(),
            y.into_iter().map(|v| (v, time(v))).collect(),
        )
    }
}

/// Latencies with the loads that were achieved beside them.
fn series(latency: &[Setting], load: &[Setting]) -> Vec<Series> {
    let mut by_loaders: BTreeMap<i64, Vec<Load>> = BTreeMap::new();
    for point in latency {
        // Without loaders there is no load that could be drawn.
        let loaders = point.int("loaders").unwrap_or(1);
        let beside = load.iter().find(|l| l.params == point.params);
        if let Some(beside) = beside.filter(|_| loaders > 0) {
            let (ns, low, high) = (point.value, point.low, point.high);
            by_loaders.entry(loaders).or_default().push(Load { gbs: beside.value, ns, low, high });
        }
    }
    let series = by_loaders.into_iter().map(|(loaders, mut points)| {
        points.sort_by(|a, b| a.gbs.total_cmp(&b.gbs));
        Series { loaders, points }
    });
    series.filter(|s| s.points.len() > 1).collect()
}

/// How far below the line between its ends, as a share of its height, a curve must sag.
const SAG: f64 = 0.15;
/// How much slower the fullest load must be than the least.
const RISE: f64 = 1.15;

/// The point farthest below the straight line between the first and the last.
fn knee(points: &[Load]) -> Option<Load> {
    let (first, last) = (points.first()?, points.last()?);
    let (width, height) = (last.gbs - first.gbs, last.ns - first.ns);
    if width <= 0.0 || last.ns < RISE * first.ns {
        return None;
    }
    let sag = |p: &Load| (p.gbs - first.gbs) / width - (p.ns - first.ns) / height;
    let knee = points.iter().max_by(|a, b| sag(a).total_cmp(&sag(b)))?;
    (sag(knee) >= SAG).then_some(*knee)
}

impl Drawing for LoadedLatency {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let label = self.label.as_deref().unwrap_or_default();
        for (i, line) in wrap(label, WIDTH - 2.0 * LEFT, 2, BODY).iter().enumerate() {
            c.text((LEFT, 80.0 + 18.0 * i as f64), line, BODY);
        }
        let frame = self.frame();
        let (x, y) = self.ticks();
        frame.grid(c, &x, &y);
        frame.names(c, "load that the others achieve", "time per load");
        for series in &self.series {
            let upper = series.points.iter().map(|p| frame.place((p.gbs, p.high)));
            let lower = series.points.iter().rev().map(|p| frame.place((p.gbs, p.low)));
            c.polygon(&upper.chain(lower).collect::<Vec<_>>(), BLUE_PALE, 1.0);
        }
        self.draw_marks(c, &frame);
        for (series, ink) in self.series.iter().rev().zip(inks()) {
            frame.curve(c, series.points.iter().map(|p| (p.gbs, p.ns)), 2.6, ink);
        }
        self.draw_names(c, &frame);
        if let Some(knee) = self.knee() {
            let (x, y) = frame.place((knee.gbs, knee.ns));
            c.ring((x, y), 7.5, VERMILION);
            let at = format::quantity(knee.gbs, Unit::Gbs);
            let text = format!("knee: {at}, {}", format::quantity(knee.ns, Unit::Ns));
            // The curve sags, so that there is room above it.
            c.tag((x - 2.0, y - 16.0), &text, SMALL.ink(VERMILION).align(Align::Right));
        }
    }
}

/// The curve with most loaders first.
fn inks() -> impl Iterator<Item = Ink> {
    [BLUE, GREEN, PURPLE, MUTED].into_iter().chain(std::iter::repeat(MUTED))
}

impl LoadedLatency {
    /// The idle latency as a level, the shares as marks from the top down to their latency.
    fn draw_marks<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        if let Some(idle) = self.idle {
            let y = frame.y.at(idle);
            c.dashes((LEFT_EDGE, y), (RIGHT_EDGE, y), 1.2, MUTED);
            let text = format!("idle: {}", format::quantity(idle, Unit::Ns));
            c.text((RIGHT_EDGE, y + 17.0), &text, SMALL.ink(INK).align(Align::Right));
        }
        for mark in &self.marks {
            let (x, y) = frame.place((mark.gbs, mark.ns));
            c.dashes((x, TOP), (x, y), 1.2, MUTED);
            let head = format!("{:.0} % load", mark.share * 100.0);
            c.text((x, TOP - 24.0), &head, SMALL.align(Align::Center));
            let value = format::quantity(mark.ns, Unit::Ns);
            c.text((x, TOP - 7.0), &value, SMALL.bold().ink(INK).align(Align::Center));
        }
    }

    fn draw_names<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let label = |(series, ink): (&Series, Ink)| {
            let end = series.points.last()?;
            let plural = if series.loaders == 1 { "" } else { "s" };
            Some(Label {
                at: frame.place((end.gbs, end.ns)),
                head: format!("{} loader{plural}", series.loaders),
                lines: vec![format::quantity(end.ns, Unit::Ns)],
                ink,
            })
        };
        let all: Vec<Label> = self.series.iter().rev().zip(inks()).filter_map(label).collect();
        labels(c, &all, RIGHT_EDGE + 18.0, (TOP - 8.0, BOTTOM + 4.0), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    fn load(gbs: f64, ns: f64) -> Load {
        Load { gbs, ns, low: ns, high: ns }
    }

    #[test]
    fn the_knee_is_where_latency_starts_to_run_away() {
        let curve = [(1.0, 100.0), (5.0, 101.0), (10.0, 104.0), (15.0, 110.0), (20.0, 200.0)];
        let points: Vec<Load> = curve.iter().map(|&(gbs, ns)| load(gbs, ns)).collect();
        assert_eq!(knee(&points), Some(load(15.0, 110.0)));
        // Straight lines and flat curves have none.
        let straight: Vec<Load> =
            (0..9).map(|i| load(f64::from(i), 100.0 + 20.0 * f64::from(i))).collect();
        assert_eq!(knee(&straight), None);
        assert_eq!(knee(&points[..4]), None, "too little rise");
        assert_eq!(knee(&[]), None);
    }

    #[test]
    fn axes_shares_knee_and_the_honest_label_are_drawn() {
        let mut summary = fixture::recorded();
        // Two CPUs leave this memory without a knee.
        let flat = LoadedLatency::of(&summary).unwrap().picture().caption;
        assert!(flat.contains("There is no knee"));
        let load = series::settings(&summary.card, PROBE, "load");
        let full = load.iter().max_by(|a, b| a.value.total_cmp(&b.value)).unwrap();
        let points = summary.card.points.iter_mut();
        points
            .filter(|p| p.quantity == "latency" && p.params == full.params)
            .for_each(|p| p.samples.iter_mut().for_each(|ns| *ns *= 3.0));
        let loaded = LoadedLatency::of(&summary).unwrap();
        let svg = svg(&loaded, TITLE);
        for text in ["GB/s", "ns", "50 % load", "knee: ", "1 loader", "idle: ", "the socket"] {
            assert!(svg.contains(text), "{text}");
        }
        let caption = loaded.picture().caption;
        assert!(caption.contains("The ring is the knee") && !caption.contains("the socket"));
    }

    #[test]
    fn points_without_a_load_or_without_loaders_are_left_out() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| {
            let is = |name: &str, value: &str| {
                p.params.get(name).is_some_and(|v| v.to_string() == value)
            };
            !(p.quantity == "load" && is("delay", "96"))
        });
        let settings = series::settings(&card, PROBE, "latency");
        let loaded = settings.iter().filter(|s| s.int("loaders") == Some(1)).count();
        let idle = card.points.iter().filter(|p| p.probe == PROBE && p.round == 0).cloned();
        let idle: Vec<_> = idle
            .map(|mut p| {
                p.params.insert("loaders".into(), card::record::Param::Int(0));
                p
            })
            .collect();
        card.points.extend(idle);
        let drawn = LoadedLatency::of(&Summary::of(card)).unwrap();
        assert_eq!(drawn.series.len(), 1);
        assert_eq!((drawn.series[0].loaders, drawn.series[0].points.len()), (1, loaded - 1));
    }

    #[test]
    fn several_numbers_of_loaders_are_several_curves() {
        let mut card = fixture::recorded().card;
        let loaded = |p: &&card::record::Point| p.params.get("loaders") == Some(&1_u64.into());
        let more = card.points.iter().filter(|p| p.probe == PROBE).filter(loaded).cloned();
        let more: Vec<_> = more
            .map(|mut p| {
                p.params.insert("loaders".into(), card::record::Param::Int(3));
                p.samples.iter_mut().for_each(|s| *s *= 1.5);
                p
            })
            .collect();
        card.points.extend(more);
        let svg = svg(&LoadedLatency::of(&Summary::of(card)).unwrap(), TITLE);
        assert!(svg.contains("1 loader") && svg.contains("3 loaders") && !svg.contains("NaN"));
    }

    #[test]
    fn no_load_no_picture() {
        assert!(LoadedLatency::of(&fixture::empty()).is_none());
    }
}
