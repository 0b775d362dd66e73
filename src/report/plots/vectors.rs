//! What vector instructions cost: for each of them a bar for each width, latency at the left, what
//! a cycle gets done at the right, with what the published ports allow.

use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{LEFT, WIDTH, heading};
use super::scale::{Axis, round_ticks};
use super::theme::{
    Align, BLUE, BLUE_PALE, BODY, FAINT, GREEN, GRID, Ink, MUTED, PAPER, PURPLE, SMALL, TICK,
    VERMILION,
};
use super::{Picture, picture};
use crate::report::view::machine_view;
use crate::report::view::vectors::{INSTRUCTIONS, WIDTHS, widths};
use card::format;
use card::metrics::State;
use card::reference;
use card::summary::Summary;

const TITLE: &str = "Vector instructions: how long one takes, and how much a core does at once";
const PEAK: &str = "simd.peak.f32_fma_flops_per_cycle";
const TOP: f64 = 124.0;
/// Height of a bar with the gap below it, and the gap between instructions.
const BAR: f64 = 12.0;
const GAP: f64 = 10.0;
/// Where the two panels begin and how far their longest bars go.
const LATENCY: (f64, f64) = (196.0, 400.0);
const RATE: (f64, f64) = (486.0, 840.0);
/// Latencies beyond this are cut: a gather takes longer than everything else together.
const LONGEST: f64 = 8.0;
const INKS: [Ink; WIDTHS.len()] = [MUTED, GREEN, GREEN, PURPLE, BLUE, BLUE];

struct Bar {
    /// Which width.
    width: usize,
    latency: Option<f64>,
    rate: Option<f64>,
    steady: bool,
}

struct Group {
    name: &'static str,
    bars: Vec<Bar>,
    /// Operations a cycle that the published ports allow.
    limit: Option<f64>,
}

/// The data of the picture.
pub(super) struct Vectors {
    /// Places of the widths in their table.
    widths: Vec<usize>,
    groups: Vec<Group>,
    machine: String,
}

impl Vectors {
    /// `None` when the card has no vector instructions.
    pub(super) fn of(summary: &Summary) -> Option<Vectors> {
        let machine = &summary.card.header.machine;
        let limit = machine_view::arch_key(machine).and_then(|key| reference::published(key, PEAK));
        let widths = widths(&summary.metrics);
        let groups = INSTRUCTIONS.iter().filter_map(|instruction| {
            let bar = |width| {
                let cost = instruction.cost(&summary.metrics, width);
                let latency = cost.latency.filter(|v| v.state != State::Inconsistent);
                let latency = latency.and_then(|v| v.value);
                let bar = Bar { width, latency, rate: cost.operations(), steady: cost.steady() };
                (bar.latency.is_some() || bar.rate.is_some()).then_some(bar)
            };
            let bars: Vec<Bar> = widths.iter().copied().filter_map(bar).collect();
            // Half as many numbers of twice the size.
            let share = match instruction.name {
                "multiply-add f32" => Some(1.0),
                "multiply-add f64" => Some(0.5),
                _ => None,
            };
            let limit = limit.as_ref().zip(share).map(|(limit, share)| limit.high * share);
            (!bars.is_empty()).then_some(Group { name: instruction.name, bars, limit })
        });
        let groups: Vec<Group> = groups.collect();
        (!groups.is_empty()).then(|| Vectors { widths, groups, machine: machine.title() })
    }

    pub(super) fn picture(self) -> Picture {
        let limit = if self.groups.iter().any(|g| g.limit.is_some()) {
            " The orange tick is what is published of the ports for multiply-adds alone; additions \
             may have ports of their own."
        } else {
            ""
        };
        let caption = format!(
            "At the left the cycles from one result to the next that waits for it, at the right the \
             operations that a core completes in a cycle when many are independent; a multiply-add \
             counts two for each number. Pale bars: the rounds disagree. Gathers read a table in \
             L1, and what they load is counted.{limit}"
        );
        picture("vectors", TITLE, caption, self)
    }

    /// Where each group begins, and where the last one ends.
    fn places(&self) -> (Vec<f64>, f64) {
        let mut y = TOP;
        let places = self.groups.iter().map(|group| {
            let at = y;
            y += group.bars.len() as f64 * BAR + GAP;
            at
        });
        (places.collect(), y)
    }

    fn longest(&self, of: fn(&Bar) -> Option<f64>) -> f64 {
        let bars = self.groups.iter().flat_map(|g| &g.bars).filter_map(of);
        bars.chain(self.groups.iter().filter_map(|g| g.limit)).fold(1.0, f64::max)
    }
}

impl Drawing for Vectors {
    fn size(&self) -> (f64, f64) {
        (WIDTH, (self.places().1 + 40.0).ceil())
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        legend(c, &self.widths, self.groups.iter().any(|g| g.limit.is_some()));
        let (places, bottom) = self.places();
        let latencies = self.groups.iter().flat_map(|g| &g.bars).filter_map(|b| b.latency);
        let slowest = latencies.filter(|l| *l <= LONGEST).fold(1.0, f64::max);
        let [latencies, rates] = [(LATENCY, slowest), (RATE, self.longest(|b| b.rate))]
            .map(|(place, most)| (place, most, Axis::linear((0.0, most), place)));
        for (((left, right), most, axis), name) in
            [(latencies, "latency, cycles"), (rates, "operations per cycle")]
        {
            c.text((left, TOP - 14.0), name, BODY.bold());
            for tick in round_ticks(0.0, most, (right - left) / 60.0) {
                let x = axis.at(tick);
                let ink = if tick == 0.0 { FAINT } else { GRID };
                c.line((x, TOP - 4.0), (x, bottom), 1.0, ink);
                c.text((x, bottom + 17.0), &format::plain(tick), TICK.align(Align::Center));
            }
        }
        for (group, top) in self.groups.iter().zip(places) {
            let middle = top + group.bars.len() as f64 * BAR / 2.0;
            c.text((LEFT, middle + 4.0), group.name, SMALL.ink(super::theme::INK));
            for (i, bar) in group.bars.iter().enumerate() {
                let y = top + BAR * i as f64;
                latency(c, bar, y, &latencies.2);
                rate(c, bar, y, &rates.2);
            }
            if let Some(limit) = group.limit {
                let x = rates.2.at(limit);
                let end = top + group.bars.len() as f64 * BAR;
                c.line((x, top - 2.0), (x, end), 2.4, VERMILION);
            }
        }
    }
}

/// The widths and their colours at the right of the subtitle.
fn legend<DB: DrawingBackend>(c: &Canvas<'_, DB>, widths: &[usize], limit: bool) {
    let mut x = LEFT;
    for &width in widths {
        let name = WIDTHS[width].1;
        c.rect((x, 72.0), (x + 14.0, 82.0), INKS[width]);
        c.text((x + 20.0, 82.0), name, SMALL);
        x += 20.0 + text_width(name, SMALL) + 22.0;
    }
    if limit {
        c.line((x + 4.0, 69.0), (x + 4.0, 85.0), 2.4, VERMILION);
        c.text((x + 14.0, 82.0), "published limit of multiply-adds alone", SMALL);
    }
}

fn latency<DB: DrawingBackend>(c: &Canvas<'_, DB>, bar: &Bar, y: f64, axis: &Axis) {
    let Some(cycles) = bar.latency else { return };
    let end = axis.at(cycles);
    c.rect((LATENCY.0, y), (end, y + BAR - 3.0), INKS[bar.width]);
    if cycles > LONGEST {
        // A gap says that the bar goes on.
        c.rect((end - 16.0, y), (end - 12.0, y + BAR - 3.0), PAPER);
    }
    c.tag((end + 5.0, y + BAR - 3.0), &format::number(cycles), SMALL.size(11.0));
}

fn rate<DB: DrawingBackend>(c: &Canvas<'_, DB>, bar: &Bar, y: f64, axis: &Axis) {
    let Some(rate) = bar.rate else { return };
    let end = axis.at(rate).max(RATE.0 + 1.0);
    let ink = INKS[bar.width];
    c.rect((RATE.0, y), (end, y + BAR - 3.0), ink);
    if !bar.steady && end - RATE.0 > 6.0 {
        c.rect((RATE.0 + 1.6, y + 1.6), (end - 1.6, y + BAR - 4.6), BLUE_PALE);
    }
    c.tag((end + 6.0, y + BAR - 3.0), &format::number(rate), SMALL.size(11.0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn every_instruction_has_its_bars_and_the_limit_a_tick() {
        let vectors = Vectors::of(&fixture::recorded()).unwrap();
        assert_eq!(vectors.groups.len(), INSTRUCTIONS.len());
        assert_eq!(vectors.groups.iter().filter(|g| g.limit.is_some()).count(), 2);
        let svg = svg(&vectors, TITLE);
        for text in ["multiply-add + add f32", "gather i32", "operations per cycle", "512 bit"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(vectors.picture().caption.contains("orange tick"));
    }

    #[test]
    fn only_widths_of_the_architecture_are_in_the_legend() {
        let svg = svg(&Vectors::of(&fixture::neon()).unwrap(), TITLE);
        assert!(svg.contains("128 bit") && !svg.contains("256 bit"));
    }

    #[test]
    fn no_bar_is_cut_off() {
        let vectors = Vectors::of(&fixture::recorded()).unwrap();
        let longest = vectors.longest(|b| b.rate);
        let bars = vectors.groups.iter().flat_map(|g| &g.bars);
        assert!(bars.filter_map(|b| b.rate).all(|r| r <= longest));
        assert!(!svg(&vectors, TITLE).contains("NaN"));
    }

    #[test]
    fn an_unknown_microarchitecture_has_no_limit() {
        let mut summary = fixture::recorded();
        summary.card.header.machine.cpu.microarchitecture = Default::default();
        let vectors = Vectors::of(&summary).unwrap();
        assert!(vectors.groups.iter().all(|g| g.limit.is_none()));
        assert!(!svg(&vectors, TITLE).contains("published"));
    }

    #[test]
    fn no_vectors_no_picture() {
        assert!(Vectors::of(&fixture::empty()).is_none());
    }
}
