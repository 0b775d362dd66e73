//! Bandwidth against working set: a panel for each kernel, a line for each width of its loads and
//! stores, one thread.

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{Frame, LEFT, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, one_two_five};
use super::theme::{
    Align, BAND, BLUE, BODY, GREEN, INK, Ink, MUTED, PURPLE, SMALL, TICK, VERMILION,
};
use super::{Picture, notes, picture};
use card::findings;
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "Bandwidth of one thread, by working set";
const PROBE: &str = "memory-bandwidth";
/// First panel, and the distance to the next ones.
const TOP: f64 = 108.0;
const ROW: f64 = 292.0;
const COLUMN: f64 = 436.0;
/// Size of a panel.
const HEIGHT: f64 = 200.0;
const PANEL: f64 = 376.0;
const FIRST: f64 = 66.0;
/// Room in a panel for the names of the lines.
const GUTTER: f64 = 94.0;

/// The kernels with a panel of their own, and those drawn into it for comparison.
const PANELS: [(&str, &str, &[Beside]); 4] = [
    ("read", "Read", &[]),
    ("write", "Write", &[("write_nt", "past caches", VERMILION)]),
    (
        "copy",
        "Copy, reads and writes counted",
        &[("copy_nt", "past caches", VERMILION), ("memcpy", "memcpy", INK)],
    ),
    ("triad", "Triad a = b + s·c, all three counted", &[]),
];

/// Another kernel, what it is called in the panel, and its colour.
type Beside = (&'static str, &'static str, Ink);

/// Widths in ascending order, the widest drawn last and on top.
const WIDTHS: [(&str, &str, Ink); 6] = [
    ("scalar", "scalar", MUTED),
    ("sse", "128 bit", GREEN),
    ("neon", "128 bit", GREEN),
    ("avx", "256 bit", PURPLE),
    ("sve", "SVE", BLUE),
    ("avx512", "512 bit", BLUE),
];

struct Line {
    label: &'static str,
    ink: Ink,
    /// Bytes and GB/s.
    points: Vec<(f64, f64)>,
}

struct Panel {
    title: &'static str,
    lines: Vec<Line>,
}

/// The data of the picture.
pub(super) struct Bandwidth {
    panels: Vec<Panel>,
    /// Where each level ends, as measured.
    ends: Vec<(&'static str, f64)>,
    note: String,
    machine: String,
}

impl Bandwidth {
    /// `None` when the card has no bandwidths.
    pub(super) fn of(summary: &Summary) -> Option<Bandwidth> {
        let mut settings = series::settings(&summary.card, PROBE, "time_per_byte");
        // Where there is one CPU, all of them together are one thread too.
        settings.retain(|s| {
            matches!(s.int("threads"), None | Some(1)) && !s.params.contains_key("cpus")
        });
        let panels = PANELS.iter().filter_map(|(kernel, title, beside)| {
            let mut lines = widths(&settings, kernel);
            // Alone they would be a comparison with nothing.
            if !lines.is_empty() {
                lines.extend(beside.iter().filter_map(|b| best(&settings, *b)));
            }
            (!lines.is_empty()).then_some(Panel { title, lines })
        });
        let panels: Vec<Panel> = panels.collect();
        (!panels.is_empty()).then(|| Bandwidth {
            panels,
            ends: findings::level_ends(&summary.metrics),
            note: notes(&settings),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "How many bytes a second one thread moves when it goes through ever larger arrays, by \
             the width of its loads and stores; higher is better, and all panels have the same \
             scales. The working set is that of all arrays together. Counted are the bytes that the \
             code asks for; that most CPUs read a line before they store to it comes on top of \
             that. Names and shades at the top are the cache levels as measured.{}",
            self.note
        );
        picture("bandwidth", TITLE, caption, self)
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.panels.iter().flat_map(|p| &p.lines)
    }

    fn range(&self, of: fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.lines().flat_map(|l| &l.points).map(of);
        values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
    }

    fn frame(&self, i: usize) -> Frame {
        let left = FIRST + COLUMN * (i % 2) as f64;
        let top = TOP + 34.0 + ROW * (i / 2) as f64;
        let (x_low, x_high) = self.range(|p| p.0);
        let (y_low, y_high) = self.range(|p| p.1);
        let (right, bottom) = (left + PANEL, top + HEIGHT);
        Frame {
            left,
            right,
            top,
            bottom,
            x: Axis::log((x_low, x_high.max(x_low * 2.0)), (left + GUTTER, right)),
            y: Axis::log((y_low * 0.8, y_high * 1.25), (bottom, top)),
        }
    }

    fn ticks(&self) -> (Vec<Tick>, Vec<Tick>) {
        let (low, high) = self.range(|p| p.0);
        let powers = (0..50).map(|e| (e, 2f64.powi(e)));
        let sizes = powers.filter(|(_, bytes)| *bytes >= low && *bytes <= high);
        let label = |e: i32, bytes: f64| {
            if e % 4 == 2 { format::quoted(bytes, Unit::Bytes) } else { String::new() }
        };
        let x = sizes.filter(|(e, _)| e % 2 == 0).map(|(e, bytes)| (bytes, label(e, bytes)));
        let (low, high) = self.range(|p| p.1);
        let y = one_two_five(low * 0.8, high * 1.25).into_iter().map(|v| (v, format::plain(v)));
        (x.collect(), y.collect())
    }
}

/// A line for each width of a kernel.
fn widths(settings: &[Setting], kernel: &str) -> Vec<Line> {
    let line = |(width, label, ink): (&str, &'static str, Ink)| {
        let of = |s: &&Setting| s.is("kernel", kernel) && s.is("width", width);
        let points = curve(settings.iter().filter(of));
        (!points.is_empty()).then_some(Line { label, ink, points })
    };
    WIDTHS.into_iter().filter_map(line).collect()
}

/// The highest rate of any width at each size.
fn best(settings: &[Setting], (kernel, label, ink): Beside) -> Option<Line> {
    let mut points = curve(settings.iter().filter(|s| s.is("kernel", kernel)));
    points.reverse();
    points.dedup_by(|lower, kept| lower.0 == kept.0);
    points.reverse();
    (!points.is_empty()).then_some(Line { label, ink, points })
}

/// In ascending order of sizes and, within one, of rates.
fn curve<'a>(settings: impl Iterator<Item = &'a Setting>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = settings
        .filter_map(|s| Some((s.int("working_set").filter(|b| *b > 0)? as f64, 1.0 / s.value)))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points
}

impl Drawing for Bandwidth {
    fn size(&self) -> (f64, f64) {
        (WIDTH, TOP + ROW * self.panels.len().div_ceil(2) as f64 - 4.0)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        c.text((LEFT, 84.0), "GB/s of one thread, logarithmic", SMALL);
        let (x, y) = self.ticks();
        for (i, panel) in self.panels.iter().enumerate() {
            let frame = self.frame(i);
            c.text((frame.left, frame.top - 26.0), panel.title, BODY.bold());
            self.levels(c, &frame);
            frame.grid(c, &x, &y);
            let name = "working set, logarithmic";
            c.text((frame.right, frame.bottom + 38.0), name, SMALL.align(Align::Right));
            for line in &panel.lines {
                // The widest often covers the one before it, which must show below it.
                let width = if line.ink == PURPLE { 4.0 } else { 2.0 };
                frame.curve(c, line.points.iter().copied(), width, line.ink);
            }
            names(c, &frame, panel);
        }
    }
}

impl Bandwidth {
    /// A band for every other level, all with their names.
    fn levels<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, frame: &Frame) {
        let (low, high) = self.range(|p| p.0);
        let beyond = if self.ends.iter().any(|e| e.0 == "L3") { "memory" } else { "beyond" };
        let mut from = low;
        for (i, (name, to)) in self.ends.iter().copied().chain([(beyond, high)]).enumerate() {
            let (left, right) = (frame.x.at(from), frame.x.at(to));
            if i % 2 == 0 {
                c.rect((left, frame.top), (right, frame.bottom), BAND);
            }
            let set = TICK.align(Align::Center);
            if text_width(name, set) + 4.0 < right - left && !self.ends.is_empty() {
                c.text(((left + right) / 2.0, frame.top - 6.0), name, set);
            }
            from = to.clamp(low, high);
        }
    }
}

/// The name of each line at its left end.
fn names<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, panel: &Panel) {
    let label = |line: &Line| {
        let first = *line.points.first()?;
        let (head, ink) = (line.label.to_owned(), line.ink);
        Some(Label { at: frame.place(first), head, lines: Vec::new(), ink })
    };
    let all: Vec<Label> = panel.lines.iter().filter_map(label).collect();
    labels(c, &all, frame.left + GUTTER - 18.0, (frame.top, frame.bottom), true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn a_panel_for_each_kernel_and_a_line_for_each_width() {
        let bandwidth = Bandwidth::of(&fixture::recorded()).unwrap();
        assert_eq!(bandwidth.panels.len(), 4);
        let svg = svg(&bandwidth, TITLE);
        for text in ["Triad", "512 bit", "scalar", "past caches", "memcpy", "GB/s", "memory"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn only_one_thread_is_drawn_and_only_the_best_width_beside_others() {
        let summary = fixture::recorded();
        let all = series::settings(&summary.card, PROBE, "time_per_byte");
        let sizes = all.iter().filter(|s| s.is("kernel", "write_nt") && s.is("width", "avx"));
        let sizes = sizes.filter(|s| s.int("threads") == Some(1)).count();
        let bandwidth = Bandwidth::of(&summary).unwrap();
        let write = &bandwidth.panels[1];
        let past = write.lines.iter().find(|l| l.label == "past caches").unwrap();
        assert_eq!(past.points.len(), sizes);
        assert!(past.points.windows(2).all(|w| w[0].0 < w[1].0));
        let (_, fastest) = bandwidth.range(|p| p.1);
        assert!(bandwidth.lines().flat_map(|l| &l.points).all(|p| p.1 <= fastest));
    }

    #[test]
    fn a_card_with_one_kernel_and_without_caches_has_a_picture() {
        let mut summary = fixture::recorded();
        summary.card.points.retain(|p| {
            p.probe == PROBE && p.params.get("kernel").is_some_and(|k| k.to_string() == "copy")
        });
        summary.metrics.0.retain(|v| !v.id.starts_with("cache."));
        let bandwidth = Bandwidth::of(&summary).unwrap();
        assert_eq!((bandwidth.panels.len(), bandwidth.ends.len()), (1, 0));
        assert!(!svg(&bandwidth, TITLE).contains("NaN"));
    }

    #[test]
    fn no_points_no_picture() {
        assert!(Bandwidth::of(&fixture::empty()).is_none());
    }
}
