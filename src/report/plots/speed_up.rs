//! What vectors give against honest scalar code, in each level: a panel for each kernel, a line
//! for each width, and what the measured arithmetic and bandwidths allow beside it.

use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, LEFT, Label, Tick, WIDTH, heading, labels};
use super::scale::{Axis, one_two_five};
use super::theme::{BLUE, BODY, FAINT, GREEN, INK, Ink, MUTED, PURPLE, SMALL};
use super::{Picture, notes, picture};
use crate::report::view::bandwidth::LEVELS;
use crate::report::view::roofline;
use crate::report::view::vectors::{KERNELS, WAYS, speed_up};
use card::format;
use card::metrics::State;
use card::series;
use card::summary::Summary;

const TITLE: &str = "What vectors give, and where it ends: speed against honest scalar code";
/// First panel, and the distance to the next ones.
const TOP: f64 = 112.0;
const ROW: f64 = 270.0;
const COLUMN: f64 = 436.0;
/// Size of a panel.
const HEIGHT: f64 = 190.0;
const PANEL: f64 = 376.0;
const FIRST: f64 = 58.0;
/// Room at the right of a panel for the names of the lines.
const GUTTER: f64 = 78.0;
const INKS: [Ink; WAYS.len()] = [MUTED, GREEN, GREEN, PURPLE, BLUE, BLUE];

struct Line {
    name: &'static str,
    ink: Ink,
    /// Which level, and the speed-up.
    points: Vec<(usize, f64)>,
    /// The same by the model.
    model: Vec<(usize, f64)>,
}

struct Panel {
    title: &'static str,
    lines: Vec<Line>,
}

/// The data of the picture.
pub(super) struct SpeedUp {
    panels: Vec<Panel>,
    note: String,
    machine: String,
}

impl SpeedUp {
    /// `None` when the card has no such kernels.
    pub(super) fn of(summary: &Summary) -> Option<SpeedUp> {
        let panels = KERNELS.iter().filter_map(|(kernel, title)| {
            let lines = WAYS
                .iter()
                .zip(INKS)
                .filter_map(|((way, name), ink)| line(summary, kernel, way, name, ink));
            let lines: Vec<Line> = lines.collect();
            (!lines.is_empty()).then_some(Panel { title, lines })
        });
        let panels: Vec<Panel> = panels.collect();
        let settings = series::settings(&summary.card, "simd-memory", "element");
        (!panels.is_empty()).then(|| SpeedUp {
            panels,
            note: notes(&settings),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let model = if self.has_model() {
            " Diamonds are what this machine's own arithmetic and bandwidths, as measured, allow if \
             the two overlap perfectly; a line above them means that scalar code falls shorter of \
             that than vectors do."
        } else {
            ""
        };
        let caption = format!(
            "How many times as fast as honest scalar code (eight sums at once; eight bytes at once \
             in the search) each width of vectors goes through arrays in each level of memory; all \
             panels have the same logarithmic scale. Naive code has one sum, or looks at single \
             bytes.{model}{}",
            self.note
        );
        picture("speed_up", TITLE, caption, self)
    }

    fn has_model(&self) -> bool {
        self.panels.iter().flat_map(|p| &p.lines).any(|l| !l.model.is_empty())
    }

    fn range(&self) -> (f64, f64) {
        let lines = self.panels.iter().flat_map(|p| &p.lines);
        let values = lines.flat_map(|l| l.points.iter().chain(&l.model)).map(|p| p.1);
        values.fold((1.0, 2.0), |(low, high), v| (f64::min(low, v), f64::max(high, v)))
    }

    fn frame(&self, i: usize) -> Frame {
        let left = FIRST + COLUMN * (i % 2) as f64;
        let top = TOP + 28.0 + ROW * (i / 2) as f64;
        let (right, bottom) = (left + PANEL, top + HEIGHT);
        let (low, high) = self.range();
        let levels = (0.0, (LEVELS.len() - 1) as f64);
        Frame {
            left,
            right: right - GUTTER + 18.0,
            top,
            bottom,
            x: Axis::linear(levels, (left + 26.0, right - GUTTER)),
            y: Axis::log((low * 0.85, high * 1.15), (bottom, top)),
        }
    }

    fn ticks(&self) -> (Vec<Tick>, Vec<Tick>) {
        let x = LEVELS.iter().enumerate().map(|(i, (_, name))| (i as f64, (*name).to_owned()));
        let (low, high) = self.range();
        let y = one_two_five(low * 0.85, high * 1.15).into_iter();
        (x.collect(), y.map(|v| (v, format!("{}×", format::plain(v)))).collect())
    }
}

fn line(summary: &Summary, kernel: &str, way: &str, name: &'static str, ink: Ink) -> Option<Line> {
    let value = |level: &str| {
        let value = speed_up(&summary.metrics, kernel, way, level)?;
        value.value.filter(|v| value.state != State::Inconsistent && *v > 0.0)
    };
    let modelled =
        |level: &str| roofline::speed_up(&summary.card, &summary.metrics, kernel, way, level);
    let at = |of: &dyn Fn(&str) -> Option<f64>| -> Vec<(usize, f64)> {
        let all = LEVELS.iter().enumerate();
        all.filter_map(|(i, (level, _))| Some((i, of(level)?))).collect()
    };
    let points = at(&value);
    // A model of a level that was not measured is no comparison.
    let mut model = if way == "naive" { Vec::new() } else { at(&modelled) };
    model.retain(|m| points.iter().any(|p| p.0 == m.0));
    (!points.is_empty()).then_some(Line { name, ink, points, model })
}

impl Drawing for SpeedUp {
    fn size(&self) -> (f64, f64) {
        let rows = self.panels.len().div_ceil(2) as f64;
        (WIDTH, TOP + ROW * rows)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        if self.has_model() {
            c.diamond((LEFT + 8.0, 78.0), 5.5, INK);
            let text = "roofline of the measured arithmetic and bandwidths";
            c.text((LEFT + 22.0, 82.0), text, SMALL);
        }
        let (x, y) = self.ticks();
        for (i, panel) in self.panels.iter().enumerate() {
            let frame = self.frame(i);
            frame.grid(c, &x, &y);
            c.text((frame.left - 38.0, frame.top - 12.0), panel.title, BODY.bold());
            let one = frame.y.at(1.0);
            c.line((frame.left, one), (frame.right, one), 1.6, FAINT);
            for line in &panel.lines {
                draw(c, &frame, line);
            }
            names(c, &frame, panel);
        }
    }
}

fn draw<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, line: &Line) {
    for (level, value) in &line.model {
        c.diamond(frame.place((*level as f64, *value)), 6.5, line.ink);
    }
    let points = line.points.iter().map(|(level, value)| (*level as f64, *value));
    frame.curve(c, points, 2.2, line.ink);
}

/// Names at the last level that each line has.
fn names<DB: DrawingBackend>(c: &Canvas<'_, DB>, frame: &Frame, panel: &Panel) {
    let label = |line: &Line| {
        let (level, value) = *line.points.last()?;
        Some(Label {
            at: frame.place((level as f64, value)),
            head: format!("{} {}×", line.name, format::number(value)),
            lines: Vec::new(),
            ink: line.ink,
        })
    };
    let all: Vec<Label> = panel.lines.iter().filter_map(label).collect();
    labels(c, &all, frame.right + 6.0, (frame.top, frame.bottom + 8.0), false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn each_kernel_has_a_panel_with_its_model() {
        let speed_up = SpeedUp::of(&fixture::recorded()).unwrap();
        assert_eq!(speed_up.panels.len(), 4);
        assert!(speed_up.has_model());
        let svg = svg(&speed_up, TITLE);
        for text in ["dot product", "byte search", "512 bit", "memory", "naive", "10×"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn without_bandwidths_there_are_lines_and_no_model() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.probe == "simd-memory");
        let speed_up = SpeedUp::of(&Summary::of(card)).unwrap();
        assert!(!speed_up.has_model());
        assert!(!svg(&speed_up, TITLE).contains("NaN"));
        assert!(!speed_up.picture().caption.contains("Diamonds"));
    }

    #[test]
    fn all_points_lie_within_their_panel() {
        let speed_up = SpeedUp::of(&fixture::recorded()).unwrap();
        for (i, panel) in speed_up.panels.iter().enumerate() {
            let frame = speed_up.frame(i);
            for (level, value) in panel.lines.iter().flat_map(|l| l.points.iter().chain(&l.model)) {
                let (x, y) = frame.place((*level as f64, *value));
                assert!((frame.left..=frame.right).contains(&x));
                assert!((frame.top..=frame.bottom).contains(&y), "{value}");
            }
        }
    }

    #[test]
    fn no_kernels_no_picture() {
        assert!(SpeedUp::of(&fixture::empty()).is_none());
    }
}
