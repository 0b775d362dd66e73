//! The noise histogram: how long, and how much of the time, somebody else had the CPU.

use card::declare::Unit;
use card::record::Point;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{Frame, Tick, WIDTH, heading, time_label};
use super::scale::{Axis, decades, round_ticks, within};
use super::theme::{Align, BLUE, BODY, INK, PAPER, SMALL, VERMILION};
use super::{Picture, picture};
use card::format;
use card::summary::Summary;

const HEIGHT: f64 = 430.0;
const TOP: f64 = 110.0;
const BOTTOM: f64 = 362.0;
const LEFT_EDGE: f64 = 86.0;
const RIGHT_EDGE: f64 = 876.0;
/// Bars per factor of ten.
const PER_DECADE: f64 = 5.0;
const TITLE: &str = "Time taken away from a thread that never rests";

/// Gaps of a like length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    gaps: f64,
    ns: f64,
}

/// The data of the picture.
pub(super) struct Noise {
    /// From 1 µs upward, [`PER_DECADE`] to each factor of ten.
    bins: Vec<Bin>,
    observed_ns: f64,
    gap_ratio: Option<f64>,
    p99_ns: Option<f64>,
    machine: String,
}

impl Noise {
    /// `None` when the card does not say how long the thread was watched.
    pub(super) fn of(summary: &Summary) -> Option<Noise> {
        let samples = |quantity: &'static str| {
            let is = move |p: &&Point| p.quantity == quantity && p.probe == "noise";
            summary.card.points.iter().filter(is).flat_map(|p| p.samples.iter().copied())
        };
        let observed_ns: f64 = samples("observed_ns").sum();
        let longest = samples("gap").fold(1e3, f64::max);
        (observed_ns > 0.0 && longest.is_finite()).then(|| {
            let mut bins = vec![Bin::default(); bin(longest).max(bin(1e6)) + 1];
            for ns in samples("gap").filter(|ns| *ns > 0.0) {
                let bin = &mut bins[bin(ns)];
                bin.gaps += 1.0;
                bin.ns += ns;
            }
            let metric = |id: &str| summary.metrics.get(id).and_then(format::believable);
            Noise {
                bins,
                observed_ns,
                gap_ratio: metric("noise.gap_ratio"),
                p99_ns: metric("noise.gap_p99_ns"),
                machine: summary.card.header.machine.title(),
            }
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "A thread reads the clock in a tight loop; every gap of more than a microsecond is \
             time that an interrupt, another thread or the hypervisor took. The height of a bar \
             is the time lost to gaps of that length per second of watching, the number on it \
             how many of them came per second. Watched for {}.",
            format::quantity(self.observed_ns, Unit::Ns)
        );
        picture("noise", TITLE, caption, self)
    }

    /// µs lost per second of watching.
    fn lost(&self, bin: &Bin) -> f64 {
        bin.ns / self.observed_ns * 1e6
    }

    /// The metric's word where there is one: the page must not state the share twice, and
    /// differently.
    fn lost_ratio(&self) -> f64 {
        let lost = self.bins.iter().map(|b| b.ns).sum::<f64>() / self.observed_ns;
        self.gap_ratio.unwrap_or(lost)
    }

    fn summary(&self) -> String {
        let gaps = self.bins.iter().map(|b| b.gaps).sum::<f64>() / self.observed_ns * 1e9;
        let share = format::number(self.lost_ratio() * 100.0);
        format!("{share} % of the time was lost, in {} gaps per second", format::number(gaps))
    }

    fn frame(&self) -> Frame {
        let last = edge(self.bins.len());
        let most = self.bins.iter().map(|b| self.lost(b)).fold(1.0, f64::max);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::log((edge(0), last), (LEFT_EDGE, RIGHT_EDGE)),
            y: Axis::linear((0.0, most * 1.12), (BOTTOM, TOP)),
        }
    }
}

/// The bin of a gap; shorter ones than a microsecond count as one.
fn bin(ns: f64) -> usize {
    ((ns / 1e3).max(1.0).log10() * PER_DECADE + 1e-9).floor() as usize
}

/// Two digits are enough on a bar.
fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e6 => format::number(r),
        r if r >= 9.95 => format!("{r:.0}"),
        r if r >= 0.995 => format!("{r:.1}"),
        r if r >= 0.005 => format::plain((r * 100.0).round() / 100.0),
        _ => "<0.01".to_owned(),
    }
}

/// Where a bin begins, in ns.
fn edge(bin: usize) -> f64 {
    1e3 * 10f64.powf(bin as f64 / PER_DECADE)
}

impl Drawing for Noise {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        c.text((super::frame::LEFT, 76.0), &self.summary(), BODY);
        let frame = self.frame();
        let most = self.bins.iter().map(|b| self.lost(b)).fold(1.0, f64::max);
        let label = |us: f64| if us == 0.0 { "0".into() } else { time_label(us * 1e3) };
        let y: Vec<Tick> =
            round_ticks(0.0, most * 1.12, 5.0).into_iter().map(|v| (v, label(v))).collect();
        let x: Vec<Tick> = decades(edge(0), edge(self.bins.len()))
            .into_iter()
            .map(|v| (v, time_label(v)))
            .collect();
        frame.grid(c, &x, &y);
        frame.names(c, "length of a gap, logarithmic", "time lost per second");
        self.draw_p99(c, &frame);
        self.draw_bars(c, &frame);
    }
}

impl Noise {
    fn draw_bars<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let mut bars: Vec<(usize, &Bin)> =
            self.bins.iter().enumerate().filter(|(_, bin)| bin.gaps > 0.0).collect();
        for (i, bin) in &bars {
            let (left, right) = (frame.x.at(edge(*i)) + 1.5, frame.x.at(edge(i + 1)) - 1.5);
            c.rect((left, self.top(frame, bin)), (right, BOTTOM), BLUE);
        }
        // Where numbers are crowded, those on the high bars matter most.
        bars.sort_by(|a, b| b.1.ns.total_cmp(&a.1.ns));
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        for (i, bin) in bars {
            let label = format!("{}/s", rate(bin.gaps / (self.observed_ns / 1e9)));
            let half = text_width(&label, SMALL) / 2.0;
            let middle = (frame.x.at(edge(i)) + frame.x.at(edge(i + 1))) / 2.0;
            let top = self.top(frame, bin);
            let free = taken.iter().all(|(x, y, other)| {
                (x - middle).abs() > half + other + 3.0 || (y - top).abs() > 16.0
            });
            if free && !self.hits_neighbour(frame, i, half) {
                c.rect((middle - half, top - 15.0), (middle + half, top - 2.0), PAPER);
                c.text((middle, top - 5.0), &label, SMALL.ink(INK).align(Align::Center));
                taken.push((middle, top, half));
            }
        }
    }

    /// Top of a bar; a bin that has gaps is never invisible.
    fn top(&self, frame: &Frame, bin: &Bin) -> f64 {
        if bin.gaps > 0.0 { frame.y.at(self.lost(bin)).min(BOTTOM - 2.0) } else { BOTTOM }
    }

    /// Whether a number of that half width above a bar would lie on a higher bar beside it.
    fn hits_neighbour(&self, frame: &Frame, i: usize, half: f64) -> bool {
        let room = (frame.x.at(edge(i + 1)) - frame.x.at(edge(i))) / 2.0 + 1.0;
        let top = self.top(frame, &self.bins[i]);
        let higher = |bin: Option<&Bin>| bin.is_some_and(|b| self.top(frame, b) < top - 2.0);
        let before = i.checked_sub(1).and_then(|i| self.bins.get(i));
        half > room && (higher(before) || higher(self.bins.get(i + 1)))
    }

    fn draw_p99<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let Some(p99) = self.p99_ns.filter(|ns| *ns >= edge(0)) else { return };
        let x = frame.x.at(p99);
        c.dashes((x, TOP), (x, BOTTOM), 1.2, VERMILION);
        let label = format!("99 % below {}", format::quantity(p99, Unit::Ns));
        // The name of the vertical axis is at the left end of that line.
        let at = within(x, text_width(&label, SMALL), (LEFT_EDGE + 80.0, RIGHT_EDGE));
        c.text((at, TOP - 6.0), &label, SMALL.ink(VERMILION).align(Align::Center));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn gaps_fall_into_bins_of_a_fifth_of_a_decade() {
        assert_eq!((bin(500.0), bin(1e3), bin(1e4), bin(1.01e6)), (0, 0, 5, 15));
        assert!((edge(5) - 1e4).abs() < 1e-6);
    }

    #[test]
    fn both_axes_have_units_and_nothing_observed_is_left_out() {
        let summary = fixture::recorded();
        let noise = Noise::of(&summary).unwrap();
        let gaps = summary.card.points.iter().filter(|p| p.quantity == "gap");
        let gaps: Vec<f64> = gaps.flat_map(|p| p.samples.clone()).collect();
        assert_eq!(noise.bins.iter().map(|b| b.gaps).sum::<f64>(), gaps.len() as f64);
        let lost = noise.bins.iter().map(|b| b.ns).sum::<f64>() / gaps.iter().sum::<f64>();
        assert!((lost - 1.0).abs() < 1e-9, "{lost}");
        let svg = svg(&noise, TITLE);
        for text in ["µs", "1 ms", "/s", "time lost per second", "% of the time"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn no_watching_no_picture() {
        assert!(Noise::of(&fixture::empty()).is_none());
    }
}
