//! The TLB: what an access costs by how many pages are in use, with the found reach of both levels
//! beside the published one.

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{Frame, LEFT, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, one_two_five, spread};
use super::theme::{Align, BAND, BLUE, BODY, FAINT, GREEN, INK, Ink, MUTED, SMALL, VERMILION};
use super::{Picture, notes, picture};
use crate::report::view::machine_view;
use card::format;
use card::reference;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "Address translation: what an access costs, by how many pages are in use";
const PROBE: &str = "tlb";
const HEIGHT: f64 = 540.0;
const TOP: f64 = 106.0;
const BOTTOM: f64 = 420.0;
const LEFT_EDGE: f64 = 92.0;
const RIGHT_EDGE: f64 = 720.0;

/// In the order in which they are drawn. A kernel has one of the three sizes of small pages, and one
/// of huge ones.
const VARIANTS: [(&str, &str, Ink); 9] = [
    ("4k_control", "same lines, packed", GREEN),
    ("16k_control", "same lines, packed", GREEN),
    ("64k_control", "same lines, packed", GREEN),
    ("2m", "in 2 MiB pages", BLUE),
    ("32m", "in 32 MiB pages", BLUE),
    ("512m", "in 512 MiB pages", BLUE),
    ("4k", "in 4 KiB pages", VERMILION),
    ("16k", "in 16 KiB pages", VERMILION),
    ("64k", "in 64 KiB pages", VERMILION),
];

struct Curve {
    label: &'static str,
    ink: Ink,
    points: Vec<(f64, f64)>,
}

/// A level of the TLB as found, with what is published of it.
struct Reach {
    name: &'static str,
    entries: f64,
    text: String,
}

/// The data of the picture.
pub(super) struct Tlb {
    curves: Vec<Curve>,
    reaches: Vec<Reach>,
    unit: Unit,
    note: String,
    machine: String,
}

impl Tlb {
    /// `None` when the card has no such curve.
    pub(super) fn of(summary: &Summary) -> Option<Tlb> {
        let settings = series::settings(&summary.card, PROBE, "latency");
        // Without the clock beside every point, times must do.
        let cycles = settings.iter().all(|s| s.cycles.is_some());
        let curve = |(variant, label, ink): (&str, &'static str, Ink)| {
            let points = points(&settings, variant, cycles);
            (points.len() > 1).then_some(Curve { label, ink, points })
        };
        let curves: Vec<Curve> = VARIANTS.into_iter().filter_map(curve).collect();
        let levels = [("L1 DTLB", "tlb.l1_entries"), ("L2 DTLB", "tlb.l2_entries")];
        (!curves.is_empty()).then(|| Tlb {
            curves,
            reaches: levels.into_iter().filter_map(|l| reach(summary, l)).collect(),
            unit: if cycles { Unit::Cycles } else { Unit::Ns },
            note: notes(&settings),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "A chain of loads touches one line in each of ever more pages. A step up is the end of a \
             level of the TLB, which knows where pages lie: beyond the second one, page tables are \
             walked. The control touches as many lines packed together, so that what is shaded \
             between it and the small pages is address translation and not the caches. The same \
             places in huge pages should need next to no translation; where that curve rises at \
             the same steps, the host backs the pages with smaller ones.{}",
            self.note
        );
        picture("tlb", TITLE, caption, self)
    }

    fn range(&self, of: fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.curves.iter().flat_map(|c| &c.points).map(of);
        values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
    }

    fn frame(&self) -> Frame {
        let (x_low, x_high) = self.range(|p| p.0);
        let (y_low, y_high) = self.range(|p| p.1);
        Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::log((x_low, x_high.max(x_low * 2.0)), (LEFT_EDGE, RIGHT_EDGE)),
            y: Axis::log((y_low * 0.8, y_high * 1.2), (BOTTOM, TOP)),
        }
    }

    fn ticks(&self) -> (Vec<Tick>, Vec<Tick>) {
        let (low, high) = self.range(|p| p.0);
        let powers = (0..40).map(|e| (e, 2f64.powi(e)));
        let pages = powers.filter(|(_, n)| *n >= low * 0.99 && *n <= high * 1.01);
        let label = |e: i32, n: f64| if e % 2 == 0 { format!("{n:.0}") } else { String::new() };
        let x = pages.map(|(e, n)| (n, label(e, n))).collect();
        let (low, high) = self.range(|p| p.1);
        let y = one_two_five(low * 0.8, high * 1.2).into_iter();
        (x, y.map(|v| (v, format::quoted(v, self.unit))).collect())
    }
}

fn points(settings: &[Setting], variant: &str, cycles: bool) -> Vec<(f64, f64)> {
    let of = settings.iter().filter(|s| s.is("variant", variant));
    let y = |s: &Setting| if cycles { s.cycles } else { Some(s.value) };
    let mut points: Vec<(f64, f64)> =
        of.filter_map(|s| Some((s.int("pages").filter(|n| *n > 0)? as f64, y(s)?))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn reach(summary: &Summary, (name, id): (&'static str, &str)) -> Option<Reach> {
    let value = summary.metrics.get(id)?;
    let entries = format::believable(value).filter(|n| *n > 0.0)?;
    let published = machine_view::arch_key(&summary.card.header.machine)
        .and_then(|key| reference::published(key, id))
        .map(|p| format!(", published {}", format::range(p.low, p.high, Unit::Count)))
        .unwrap_or_default();
    let found = format::quantity(entries, Unit::Count);
    Some(Reach { name, entries, text: format!("found {found}{published}") })
}

impl Drawing for Tlb {
    fn size(&self) -> (f64, f64) {
        (WIDTH, if self.reaches.is_empty() { BOTTOM + 60.0 } else { HEIGHT })
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let frame = self.frame();
        self.shade(c, &frame);
        let (x, y) = self.ticks();
        frame.grid(c, &x, &y);
        c.text((LEFT, TOP - 12.0), "time per access, logarithmic", SMALL);
        c.text((RIGHT_EDGE + 34.0, BOTTOM + 20.0), "pages, logarithmic", SMALL);
        self.draw_reaches(c, &frame);
        for curve in &self.curves {
            frame.curve(c, curve.points.iter().copied(), 2.2, curve.ink);
        }
        let label = |curve: &Curve| {
            let end = *curve.points.last()?;
            Some(Label {
                at: frame.place(end),
                head: curve.label.to_owned(),
                lines: vec![format::quantity(end.1, self.unit)],
                ink: curve.ink,
            })
        };
        let all: Vec<Label> = self.curves.iter().filter_map(label).collect();
        labels(c, &all, RIGHT_EDGE + 18.0, (TOP - 8.0, BOTTOM + 4.0), false);
    }
}

impl Tlb {
    /// What translation adds to the control, as far as both go.
    fn shade<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let find = |ink: Ink| self.curves.iter().find(|curve| curve.ink == ink);
        let (Some(small), Some(control)) = (find(VERMILION), find(GREEN)) else { return };
        // The control has fewer points; each curve is followed at its own.
        let ends = |points: &[(f64, f64)]| Some((points.first()?.0, points.last()?.0));
        let (Some(a), Some(b)) = (ends(&small.points), ends(&control.points)) else { return };
        let common = a.0.max(b.0)..=a.1.min(b.1);
        let inside = |p: &&(f64, f64)| common.contains(&p.0);
        let upper = small.points.iter().filter(inside).map(|p| frame.place(*p));
        let lower = control.points.iter().rev().filter(inside).map(|p| frame.place(*p));
        let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
        if outline.len() > 3 {
            c.polygon(&outline, BAND, 1.0);
        }
    }

    fn draw_reaches<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let strip = BOTTOM + 66.0;
        let wanted: Vec<f64> = self.reaches.iter().map(|r| frame.x.at(r.entries)).collect();
        let size = |r: &Reach| text_width(&r.text, SMALL).max(text_width(r.name, SMALL)) + 18.0;
        let sizes: Vec<f64> = self.reaches.iter().map(size).collect();
        let places = spread(&wanted, &sizes, LEFT, WIDTH - LEFT);
        for ((reach, x), place) in self.reaches.iter().zip(wanted).zip(places) {
            // The gap leaves the tick labels alone.
            c.dashes((x, TOP), (x, BOTTOM + 6.0), 1.2, MUTED);
            c.line((x, BOTTOM + 26.0), (place, strip - 14.0), 1.0, FAINT);
            c.text((place, strip), reach.name, BODY.bold().size(13.0).align(Align::Center));
            c.text((place, strip + 17.0), &reach.text, SMALL.ink(INK).align(Align::Center));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn curves_reaches_and_published_values_are_drawn() {
        let summary = fixture::recorded();
        let tlb = Tlb::of(&summary).unwrap();
        let svg = svg(&tlb, TITLE);
        for text in ["in 4 KiB pages", "in 2 MiB pages", "same lines", "L1 DTLB", "cycles"] {
            assert!(svg.contains(text), "{text}");
        }
        for id in ["tlb.l1_entries", "tlb.l2_entries"] {
            let found = format::quantity(summary.metrics.number(id).unwrap(), Unit::Count);
            let published = reference::published("zen4", id).unwrap();
            let published = format::range(published.low, published.high, Unit::Count);
            let text = format!("found {found}, published {published}");
            assert!(svg.contains(&text), "{text}");
        }
    }

    #[test]
    fn without_a_clock_or_a_reach_times_are_drawn() {
        let mut summary = fixture::recorded();
        summary.card.points.iter_mut().for_each(|p| p.core_ghz = Vec::new());
        summary.metrics.0.retain(|v| !v.id.starts_with("tlb."));
        let tlb = Tlb::of(&summary).unwrap();
        assert!(tlb.reaches.is_empty() && tlb.unit == Unit::Ns);
        let svg = svg(&tlb, TITLE);
        assert!(svg.contains("10 ns") && !svg.contains("cycles") && !svg.contains("NaN"));
    }

    #[test]
    fn one_variant_is_enough_and_none_is_no_picture() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.params.get("variant").is_some_and(|v| v.to_string() == "4k"));
        let tlb = Tlb::of(&Summary::of(card)).unwrap();
        assert_eq!(tlb.curves.len(), 1);
        assert!(!svg(&tlb, TITLE).contains("NaN"));
        assert!(Tlb::of(&fixture::empty()).is_none());
    }
}
