//! Bytes per cycle: a group of bars for each level, a bar for each kernel, with what the ports of
//! the microarchitecture can do.

use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{LEFT, WIDTH, heading};
use super::scale::{Axis, round_ticks};
use super::theme::{Align, BLUE, BLUE_PALE, BODY, FAINT, GRID, INK, MUTED, SMALL, TICK, VERMILION};
use super::{Picture, picture};
use crate::report::view::bandwidth::{self, LEVELS};
use crate::report::view::machine_view;
use card::format;
use card::metrics::State;
use card::reference;
use card::summary::Summary;

const TITLE: &str = "Bytes per cycle of one thread: how much of a core's paths is used";
const TOP: f64 = 114.0;
const ROW: f64 = 30.0;
/// Half the height of a bar.
const BAR: f64 = 8.0;
/// Where the bars of the first level begin, and where those of the last one must end.
const BARS: (f64, f64) = (116.0, 884.0);
/// Room behind the longest bar of a level for its number.
const NUMBER: f64 = 52.0;
/// Bytes per cycle between which the longest bar of a level is taken to be; others are cut.
const PLAUSIBLE: (f64, f64) = (1e-3, 1e6);
/// The title of a level must fit above its bars.
const NARROWEST: f64 = 40.0;

#[derive(Clone, Copy)]
struct Bar {
    /// `None`: not measured.
    rate: Option<f64>,
    noisy: bool,
    /// What is published for it.
    limit: Option<f64>,
}

/// The data of the picture.
pub(super) struct BytesPerCycle {
    kernels: Vec<String>,
    /// The levels that have at least one bar, with a bar for each kernel.
    levels: Vec<(&'static str, Vec<Bar>)>,
    machine: String,
}

impl BytesPerCycle {
    /// `None` when the card has no bandwidths per cycle.
    pub(super) fn of(summary: &Summary) -> Option<BytesPerCycle> {
        let machine = &summary.card.header.machine;
        let arch = machine_view::arch_key(machine);
        let rows = bandwidth::rows(&summary.metrics);
        let bar = |value: &card::metrics::Value| Bar {
            rate: format::believable(value).filter(|rate| *rate > 0.0),
            noisy: value.state == State::Noisy,
            limit: arch.and_then(|key| reference::published(key, &value.id)).map(|p| p.high),
        };
        let none = Bar { rate: None, noisy: false, limit: None };
        let levels = LEVELS.iter().enumerate().map(|(i, (_, name))| {
            let bars = rows.iter().map(|row| row.levels[i].per_cycle.map_or(none, bar));
            (*name, bars.collect::<Vec<Bar>>())
        });
        let levels: Vec<_> = levels.filter(|l| l.1.iter().any(|b| b.rate.is_some())).collect();
        (!levels.is_empty()).then(|| BytesPerCycle {
            kernels: rows.iter().map(|row| row.kernel.to_owned()).collect(),
            levels,
            machine: machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let limit = if self.limits() {
            " The orange tick is what is published of the core's load and store paths; a bar that ends \
             well before it leaves something over."
        } else {
            ""
        };
        let caption = format!(
            "Bytes that one thread moves in a core cycle, at its best width, for each kernel and \
             level; all bars have the same scale. Hollow bars: the rounds disagree.{limit} Copy, \
             triad and update count every byte read and every byte written."
        );
        picture("bytes_per_cycle", TITLE, caption, self)
    }

    fn limits(&self) -> bool {
        self.levels.iter().flat_map(|l| &l.1).any(|b| b.limit.is_some())
    }

    fn bottom(&self) -> f64 {
        TOP + ROW * self.kernels.len() as f64
    }

    /// Units per byte a cycle, and where each level's bars begin and how far they may reach.
    fn places(&self) -> (f64, Vec<(f64, f64)>) {
        let longest: Vec<f64> = self.levels.iter().map(|(_, bars)| longest(bars)).collect();
        let gaps = NUMBER * self.levels.len() as f64;
        let room = BARS.1 - BARS.0 - gaps;
        // Narrow levels take what they need, the others share the rest in proportion.
        let mut unit = room / longest.iter().sum::<f64>();
        for _ in 0..longest.len() {
            let narrow = longest.iter().filter(|l| **l * unit < NARROWEST).count() as f64;
            let wide: f64 = longest.iter().filter(|l| **l * unit >= NARROWEST).sum();
            if wide > 0.0 {
                unit = (room - narrow * NARROWEST) / wide;
            }
        }
        let mut left = BARS.0;
        let places = longest.iter().map(|l| {
            let width = (l * unit).max(NARROWEST);
            let place = (left, width);
            left += width + NUMBER;
            place
        });
        (unit, places.collect())
    }
}

/// The longest bar of a level, in what a core could move.
fn longest(bars: &[Bar]) -> f64 {
    let all = bars.iter().flat_map(|b| [b.rate, b.limit]).flatten();
    all.fold(PLAUSIBLE.0, f64::max).min(PLAUSIBLE.1)
}

impl Drawing for BytesPerCycle {
    fn size(&self) -> (f64, f64) {
        (WIDTH, (self.bottom() + 44.0).ceil())
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        if self.limits() {
            let x = WIDTH - LEFT - text_width("published limit", SMALL);
            c.text((x, 55.0), "published limit", SMALL.ink(VERMILION));
            c.line((x - 9.0, 42.0), (x - 9.0, 59.0), 2.4, VERMILION);
        }
        for (i, kernel) in self.kernels.iter().enumerate() {
            let y = TOP + ROW * (i as f64 + 0.5);
            c.text((LEFT, y + 5.0), kernel, BODY);
        }
        let (unit, places) = self.places();
        for ((name, bars), (left, width)) in self.levels.iter().zip(places) {
            c.text((left, TOP - 18.0), name, BODY.bold());
            let axis = Axis::linear((0.0, width / unit), (left, left + width));
            for tick in round_ticks(0.0, width / unit, width / 45.0) {
                let x = axis.at(tick);
                c.line(
                    (x, TOP - 2.0),
                    (x, self.bottom()),
                    1.0,
                    if tick == 0.0 { FAINT } else { GRID },
                );
                let label = format::plain(tick);
                c.text((x, self.bottom() + 17.0), &label, TICK.align(Align::Center));
            }
            for (i, bar) in bars.iter().enumerate() {
                draw(c, bar, left, TOP + ROW * (i as f64 + 0.5), &axis);
            }
        }
        let name = "bytes per core cycle";
        c.text((BARS.1, self.bottom() + 36.0), name, SMALL.align(Align::Right));
    }
}

fn draw<DB: DrawingBackend>(c: &Canvas<'_, DB>, bar: &Bar, left: f64, middle: f64, axis: &Axis) {
    let end = axis.at(bar.rate.unwrap_or(0.0));
    if bar.rate.is_some() {
        c.rect((left, middle - BAR), (end.max(left + 1.0), middle + BAR), BLUE);
        if bar.noisy && end - left > 4.0 {
            let inside = (end - 1.6, middle + BAR - 1.6);
            c.rect((left + 1.6, middle - BAR + 1.6), inside, BLUE_PALE);
        }
    }
    let mut number = end + 6.0;
    if let Some(limit) = bar.limit {
        let x = axis.at(limit);
        c.line((x, middle - BAR - 3.0), (x, middle + BAR + 3.0), 2.4, VERMILION);
        // The number must not lie on the tick.
        let text = bar.rate.map(format::number).unwrap_or_default();
        if x > end - 2.0 && x < number + text_width(&text, SMALL) + 4.0 {
            number = x + 6.0;
        }
    }
    match bar.rate {
        Some(rate) => c.tag((number, middle + 4.5), &format::number(rate), SMALL.ink(INK)),
        None => c.text((left + 5.0, middle + 4.5), "–", SMALL.ink(MUTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn every_kernel_has_a_bar_in_every_level() {
        let bars = BytesPerCycle::of(&fixture::recorded()).unwrap();
        let names: Vec<&str> = bars.levels.iter().map(|l| l.0).collect();
        assert_eq!(names, ["L1", "L2", "L3", "memory"]);
        let svg = svg(&bars, TITLE);
        for text in ["write_nt", "memcpy", "bytes per core cycle", "memory"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn bars_and_their_numbers_stay_on_the_sheet_and_off_each_other() {
        let mut bars = BytesPerCycle::of(&fixture::recorded()).unwrap();
        bars.levels[0].1[0].limit = Some(128.0);
        let (unit, places) = bars.places();
        for ((_, bars), (_, width)) in bars.levels.iter().zip(&places) {
            assert!(longest(bars) * unit <= width + 1e-9);
        }
        assert!(places.windows(2).all(|w| w[0].0 + w[0].1 + NUMBER <= w[1].0 + 1e-9));
        let (left, width) = places[places.len() - 1];
        assert!(left + width + NUMBER <= BARS.1 + 1e-9, "{left} {width}");
        assert!(svg(&bars, TITLE).contains("published limit"));
        assert!(bars.picture().caption.contains("orange tick"));
    }

    #[test]
    fn what_is_missing_or_noisy_is_drawn_as_such() {
        let mut summary = fixture::recorded();
        let mut change = |id: &str, state| {
            summary.metrics.0.iter_mut().find(|v| v.id == id).unwrap().state = state;
        };
        change("memory.bandwidth.read.l1_bytes_per_cycle", State::Noisy);
        change("memory.bandwidth.write.l1_bytes_per_cycle", State::Inconsistent);
        let bars = BytesPerCycle::of(&summary).unwrap();
        let at =
            |kernel: &str| bars.levels[0].1[bars.kernels.iter().position(|k| k == kernel).unwrap()];
        assert!(at("read").noisy && at("read").rate.is_some());
        assert!(at("write").rate.is_none());
        assert!(svg(&bars, TITLE).contains("–"));
    }

    #[test]
    fn one_level_is_enough_and_none_is_no_picture() {
        let mut summary = fixture::recorded();
        summary.metrics.0.retain(|v| v.id.ends_with("dram_bytes_per_cycle"));
        let bars = BytesPerCycle::of(&summary).unwrap();
        assert_eq!(bars.levels.len(), 1);
        assert!(!svg(&bars, TITLE).contains("NaN"));
        assert!(BytesPerCycle::of(&fixture::empty()).is_none());
    }
}
