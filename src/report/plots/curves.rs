//! A panel with two axes: series, bars, bands, shaded spans, claims as dashed lines, published
//! limits as short ones.

use super::canvas::{Area, Dash, Sheet, Spot, Symbol, fit, text_width, widest};
use super::chart::Place;
use super::scale::{Axis, decades, one_two_five, round_ticks, spread, within};
use super::theme::{Align, BAND, BLUE, BLUE_PALE, BODY, FAINT, GRID, INK, Ink, MUTED, SMALL};
use card::declare::Unit;
use card::format;

/// Height of the plot, and of a narrow one.
const HEIGHT: f64 = 280.0;
const NARROW_HEIGHT: f64 = 210.0;
/// No line between a curve and its name is longer.
pub(super) const LONGEST_LEADER: f64 = 40.0;
/// Every so many points of a curve are marked, if any, by a symbol that reaches so far.
const MARKED: usize = 8;
const MARK: f64 = 4.2;
/// From the right edge of the plot to the names of the curves.
const NAMES: f64 = 28.0;
/// Height of a line of small text.
const LINE: f64 = 17.0;

/// A tick: the value and what is written at it (nothing: a grid line only).
pub(super) type Tick = (f64, String);

/// An axis: what it is of, its range, and its ticks from the finest choice to the coarsest.
pub(super) struct Scale {
    pub(super) title: String,
    range: (f64, f64),
    log: bool,
    ticks: Vec<Vec<Tick>>,
}

impl Scale {
    /// Powers of ten, with 2 and 5 between them where there is room.
    pub(super) fn log(
        title: &str,
        (low, high): (f64, f64),
        label: impl Fn(f64) -> String,
    ) -> Scale {
        let with = |values: Vec<f64>| -> Vec<Tick> {
            values.into_iter().map(|value| (value, label(value))).collect()
        };
        let tens = decades(low, high);
        let third = tens.iter().copied().step_by(3).collect();
        let ticks = [one_two_five(low, high), tens, third].map(with);
        Scale { title: title.into(), range: (low, high), log: true, ticks: ticks.into() }
    }

    /// Powers of two.
    pub(super) fn doubling(
        title: &str,
        (low, high): (f64, f64),
        label: impl Fn(f64) -> String,
    ) -> Scale {
        let inside = |v: &f64| *v >= low * 0.999 && *v <= high * 1.001;
        let every = |step: i32| -> Vec<Tick> {
            let powers = (0..60).map(|e| (e, 2f64.powi(e))).filter(|(_, v)| inside(v));
            let tick =
                |(e, v): (i32, f64)| (v, if e % step == 0 { label(v) } else { String::new() });
            powers.map(tick).filter(|t| step < 8 || !t.1.is_empty()).collect()
        };
        let ticks = [1, 2, 4, 8].map(every).into();
        Scale { title: title.into(), range: (low, high), log: true, ticks }
    }

    /// Round steps.
    pub(super) fn linear(
        title: &str,
        (low, high): (f64, f64),
        label: impl Fn(f64) -> String,
    ) -> Scale {
        let about = |count: f64| -> Vec<Tick> {
            round_ticks(low, high, count).into_iter().map(|value| (value, label(value))).collect()
        };
        let ticks = [7.0, 4.0, 2.0].map(about).into();
        Scale { title: title.into(), range: (low, high), log: false, ticks }
    }

    pub(super) fn axis(&self, ends: (f64, f64)) -> Axis {
        if self.log { Axis::log(self.range, ends) } else { Axis::linear(self.range, ends) }
    }

    /// The finest ticks whose labels have room side by side (or one below the other).
    pub(super) fn fitting(&self, axis: &Axis, size: impl Fn(&str) -> f64) -> &[Tick] {
        let fits = |ticks: &&Vec<Tick>| {
            let labelled: Vec<(f64, f64)> = ticks
                .iter()
                .filter(|tick| !tick.1.is_empty())
                .map(|(value, label)| (axis.at(*value), size(label)))
                .collect();
            labelled.windows(2).all(|w| (w[1].0 - w[0].0).abs() >= (w[0].1 + w[1].1) / 2.0)
        };
        self.ticks.iter().find(fits).or(self.ticks.last()).map_or(&[], Vec::as_slice)
    }

    /// The same for labels side by side.
    pub(super) fn across(&self, axis: &Axis) -> &[Tick] {
        self.fitting(axis, |label| text_width(label, SMALL) + 10.0)
    }
}

/// `1 ns`, `10 ns`, … as they stand at ticks.
pub(super) fn time(ns: f64) -> String {
    if ns == 0.0 { "0".into() } else { format::quoted(ns, Unit::Ns) }
}

/// `4 KiB`, `32 MiB`.
pub(super) fn bytes(bytes: f64) -> String {
    format::quoted(bytes, Unit::Bytes)
}

/// The lowest and the highest; of nothing, 1 and 2.
pub(super) fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if low > high { (1.0, 2.0) } else { (low, high) }
}

/// A line through points.
pub(super) struct Series {
    /// Empty: it needs no name.
    pub(super) name: String,
    /// A number that belongs to it, as its metric says it.
    pub(super) value: String,
    pub(super) ink: Ink,
    pub(super) dash: Dash,
    pub(super) width: f64,
    /// What marks every few of its points, and from which one on.
    pub(super) symbol: Option<(Symbol, usize)>,
    pub(super) points: Vec<Spot>,
    /// Lowest and highest round at each point; empty: not drawn.
    pub(super) band: Vec<(f64, f64)>,
}

impl Series {
    /// Of this machine, the most telling one of its panel.
    pub(super) fn main(name: &str, value: String, points: Vec<Spot>) -> Series {
        let (ink, dash, width) = (BLUE, Dash::Solid, 2.6);
        let (symbol, band) = (None, Vec::new());
        Series { name: name.into(), value, ink, dash, width, symbol, points, band }
    }

    /// What it is held against: a level or a curve that was not measured.
    pub(super) fn reference(name: &str, value: String, points: Vec<Spot>) -> Series {
        let (ink, dash, width) = (MUTED, Dash::Short, 1.2);
        let (symbol, band) = (None, Vec::new());
        Series { name: name.into(), value, ink, dash, width, symbol, points, band }
    }

    pub(super) fn look(self, ink: Ink, dash: Dash, width: f64) -> Series {
        Series { ink, dash, width, ..self }
    }
}

/// A shaded stretch of the x axis with its name and figures above it.
pub(super) struct Span {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) head: String,
    pub(super) lines: Vec<String>,
}

/// From one x to another, so high, with a number on it.
pub(super) struct Bar {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) height: f64,
    pub(super) label: Vec<String>,
}

/// A dashed line at an x, named below the axis.
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) name: String,
    pub(super) ink: Ink,
}

/// What is published for a stretch of the x axis.
pub(super) struct Limit {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) y: f64,
}

/// The panel.
pub(super) struct Curves {
    /// Above the panel, where a picture has several.
    pub(super) title: String,
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) spans: Vec<Span>,
    pub(super) bars: Vec<Bar>,
    pub(super) series: Vec<Series>,
    pub(super) marks: Vec<Mark>,
    /// What the limits are, and where.
    pub(super) limits: (&'static str, Vec<Limit>),
}

impl Curves {
    pub(super) fn new(x: Scale, y: Scale, series: Vec<Series>) -> Curves {
        Curves {
            title: String::new(),
            x,
            y,
            spans: Vec::new(),
            bars: Vec::new(),
            series,
            marks: Vec::new(),
            limits: ("", Vec::new()),
        }
    }
}

/// The plot area with its axes.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    fn place(&self, (x, y): Spot) -> Spot {
        (self.x.at(x), self.y.at(y))
    }
}

const SET: super::theme::Type = SMALL;

impl Curves {
    pub(super) fn draw(&self, s: &mut Sheet, place: Place) -> f64 {
        let mut top = place.top;
        if !self.title.is_empty() {
            s.text((place.left, top + 14.0), &self.title, BODY.bold());
            top += 26.0;
        }
        let heads_top = top;
        top += self.heads_height(place.narrow);
        s.text((place.left, top + 11.0), &self.y.title, SET);
        top += 22.0;
        let bottom = top + if place.narrow { NARROW_HEIGHT } else { HEIGHT };
        let y = self.y.axis((bottom, top));
        let y_ticks = self.y.fitting(&y, |_| LINE);
        let left = place.left + widest(y_ticks.iter().map(|t| t.1.as_str()), SET) + 8.0;
        let names = if place.narrow { 0.0 } else { self.names_width() };
        let right = place.right() - if names > 0.0 { names + NAMES } else { 6.0 };
        let frame = Frame { left, right, top, bottom, x: self.x.axis((left, right)), y };
        self.draw_spans(s, &frame, heads_top, place);
        let below = self.draw_axes(s, &frame, y_ticks, place);
        self.draw_marks(s, &frame);
        self.draw_data(s, &frame);
        let below = self.draw_mark_names(s, &frame, below, place);
        if place.narrow {
            self.draw_legend(s, below, place)
        } else {
            self.draw_names(s, &frame);
            below
        }
    }

    fn heads_height(&self, narrow: bool) -> f64 {
        let lines = self.spans.iter().map(|span| span.lines.len()).max();
        lines.map_or(0.0, |n| LINE * (1.0 + if narrow { n } else { n.min(1) } as f64) + 8.0)
    }

    /// Bands of shade, with what they are above them.
    fn draw_spans(&self, s: &mut Sheet, frame: &Frame, top: f64, place: Place) {
        let end = |span: &Span| (frame.x.at(span.from), frame.x.at(span.to));
        let wanted: Vec<f64> = self.spans.iter().map(|p| (end(p).0 + end(p).1) / 2.0).collect();
        let lines = |span: &Span| match place.narrow {
            true => span.lines.clone(),
            false => vec![span.lines.join(" · ")],
        };
        let size = |span: &Span| {
            let lines = lines(span);
            let below = widest(lines.iter().map(String::as_str), SET);
            text_width(&span.head, SET.bold()).max(below) + 12.0
        };
        let sizes: Vec<f64> = self.spans.iter().map(size).collect();
        let places = spread(&wanted, &sizes, place.left, place.right() + 6.0);
        for (span, x) in self.spans.iter().zip(places) {
            let (from, to) = end(span);
            s.rect((from, frame.top), (to, frame.bottom), BAND);
            s.line((from, frame.top), (to, frame.top), 1.0, FAINT);
            let mut y = top + 12.0;
            s.text((x, y), &span.head, SET.bold().ink(INK).align(Align::Center));
            for line in lines(span) {
                y += LINE;
                s.text((x, y), &line, SET.align(Align::Center));
            }
        }
    }

    /// Grid, ticks and the name of the x axis; returns where it ends.
    fn draw_axes(&self, s: &mut Sheet, frame: &Frame, y_ticks: &[Tick], place: Place) -> f64 {
        let room = (place.left, place.right() + 6.0);
        for (value, label) in y_ticks {
            let at = frame.y.at(*value);
            s.line((frame.left, at), (frame.right, at), 1.0, GRID);
            s.text((frame.left - 8.0, at + 4.5), label, SET.align(Align::Right));
        }
        for (value, label) in self.x.across(&frame.x) {
            let at = frame.x.at(*value);
            let length = if label.is_empty() { 3.0 } else { 5.0 };
            s.line((at, frame.bottom), (at, frame.bottom + length), 1.0, FAINT);
            let middle = within(at, text_width(label, SET), room);
            s.text((middle, frame.bottom + 19.0), label, SET.align(Align::Center));
        }
        s.line((frame.left, frame.bottom), (frame.right, frame.bottom), 1.0, FAINT);
        let below = frame.bottom + 38.0;
        s.text((frame.right, below), &self.x.title, SET.align(Align::Right));
        if !self.limits.1.is_empty() {
            s.line((frame.left, below - 4.5), (frame.left + 20.0, below - 4.5), 3.0, FAINT);
            s.text((frame.left + 26.0, below), self.limits.0, SET);
        }
        below + 4.0
    }

    fn draw_marks(&self, s: &mut Sheet, frame: &Frame) {
        for mark in &self.marks {
            let x = frame.x.at(mark.at);
            s.path(&[(x, frame.top), (x, frame.bottom + 5.0)], 1.2, mark.ink, Dash::Short);
        }
        for limit in &self.limits.1 {
            let (from, to) = (frame.place((limit.from, limit.y)), frame.place((limit.to, limit.y)));
            s.line(from, to, 3.0, FAINT);
        }
    }

    /// Names of the marks, in as few rows as they need.
    fn draw_mark_names(&self, s: &mut Sheet, frame: &Frame, below: f64, place: Place) -> f64 {
        let mut end = below;
        for mark in &self.marks {
            let set = SET.ink(mark.ink).align(Align::Center);
            let name = fit(&mark.name, place.width, set);
            let width = text_width(&name, set);
            let x = within(frame.x.at(mark.at), width, (place.left, place.right()));
            let mut y = below + LINE;
            while !s.is_free(Area::of((x, y), &format!("{name}  "), set)) {
                y += LINE;
            }
            s.text((x, y), &name, set);
            end = end.max(y + 4.0);
        }
        end
    }

    fn draw_data(&self, s: &mut Sheet, frame: &Frame) {
        for series in &self.series {
            let at = |(p, y): (&Spot, f64)| frame.place((p.0, y));
            let ends = || series.points.iter().zip(&series.band);
            let upper = ends().map(|(p, band)| at((p, band.1)));
            let lower = ends().rev().map(|(p, band)| at((p, band.0)));
            let outline: Vec<Spot> = upper.chain(lower).collect();
            if outline.len() > 2 {
                s.polygon(&outline, BLUE_PALE);
            }
        }
        for bar in &self.bars {
            let (left, right) = (frame.x.at(bar.from), frame.x.at(bar.to));
            s.rect((left + 1.0, self.bar_top(frame, bar)), (right - 1.0, frame.bottom), BLUE);
        }
        // The most telling one is on top.
        for series in self.series.iter().rev() {
            let points: Vec<Spot> = series.points.iter().map(|p| frame.place(*p)).collect();
            s.path(&points, series.width, series.ink, series.dash);
            if let [only] = points[..] {
                s.dot(only, series.width, series.ink);
            }
            if let Some((symbol, first)) = series.symbol {
                let some = points.iter().skip(first).step_by(MARKED);
                some.for_each(|at| s.symbol(symbol, *at, MARK, series.ink));
            }
        }
        self.draw_bar_labels(s, frame);
    }

    /// A bar of something is never invisible.
    fn bar_top(&self, frame: &Frame, bar: &Bar) -> f64 {
        frame.y.at(bar.height).min(frame.bottom - 2.0)
    }

    /// Where numbers are crowded, those on the high bars matter most.
    fn draw_bar_labels(&self, s: &mut Sheet, frame: &Frame) {
        let mut bars: Vec<&Bar> = self.bars.iter().collect();
        bars.sort_by(|a, b| b.height.total_cmp(&a.height));
        for bar in bars {
            let set = SET.ink(INK).align(Align::Center);
            let width = widest(bar.label.iter().map(String::as_str), set);
            let middle = (frame.x.at(bar.from) + frame.x.at(bar.to)) / 2.0;
            let x = within(middle, width, (frame.left, frame.right));
            let first = self.bar_top(frame, bar) - 5.0 - LINE * (bar.label.len() as f64 - 1.0);
            let area = Area {
                left: x - width / 2.0 - 3.0,
                right: x + width / 2.0 + 3.0,
                top: first - 11.0,
                bottom: self.bar_top(frame, bar) - 1.0,
            };
            let covered = |other: &Bar| {
                let (left, right) = (frame.x.at(other.from), frame.x.at(other.to));
                left < area.right && area.left < right && self.bar_top(frame, other) < area.bottom
            };
            if s.is_free(area) && !self.bars.iter().any(covered) {
                for (i, line) in bar.label.iter().enumerate() {
                    s.tag((x, first + LINE * i as f64), line, set);
                }
            }
        }
    }

    fn named(&self) -> impl Iterator<Item = (&Series, Spot)> {
        let named = self.series.iter().filter(|s| !s.name.is_empty());
        named.filter_map(|s| Some((s, *s.points.last()?)))
    }

    /// Whether a curve ends where the plot does: its name stands beside it.
    fn ends_right(&self, (x, _): Spot) -> bool {
        let axis = self.x.axis((0.0, 1.0));
        axis.at(x) > 0.93
    }

    fn names_width(&self) -> f64 {
        let names = self.named().filter(|(_, end)| self.ends_right(*end));
        let width = |s: &Series| text_width(&s.name, SET.bold()).max(text_width(&s.value, SET));
        names.map(|(s, _)| width(s)).fold(0.0, f64::max)
    }

    /// Names to the right of the plot, moved off one another; what ends earlier has its name there.
    fn draw_names(&self, s: &mut Sheet, frame: &Frame) {
        let (beside, inside): (Vec<_>, Vec<_>) =
            self.named().partition(|(_, end)| self.ends_right(*end));
        let wanted: Vec<f64> = beside.iter().map(|(_, end)| frame.place(*end).1).collect();
        let height = |series: &Series| if series.value.is_empty() { 18.0 } else { 35.0 };
        let sizes: Vec<f64> = beside.iter().map(|(series, _)| height(series)).collect();
        let places = spread(&wanted, &sizes, frame.top - 8.0, frame.bottom + 8.0);
        let x = frame.right + NAMES;
        for ((series, end), y) in beside.into_iter().zip(places) {
            let first = if series.value.is_empty() { y + 4.5 } else { y - 4.0 };
            let from = frame.place(end);
            let (from, to) = ((from.0 + 3.0, from.1), (x - 4.0, y));
            let alone = |other: &f64| (other - from.1).abs() > 8.0;
            if wanted.iter().filter(|y| !alone(y)).count() == 1
                && (to.0 - from.0).hypot(to.1 - from.1) <= LONGEST_LEADER
            {
                s.line(from, to, 1.0, series.ink);
            } else {
                // Too far for a line, or as near to another curve: a piece of it says whose name it is.
                s.path(&[(x - 26.0, y), (x - 4.0, y)], series.width, series.ink, series.dash);
                if let Some((symbol, _)) = series.symbol {
                    s.symbol(symbol, (x - 15.0, y), MARK, series.ink);
                }
            }
            s.text((x, first), &series.name, SET.bold().ink(INK));
            s.text((x, first + 16.0), &series.value, SET);
        }
        inside.into_iter().for_each(|(series, _)| draw_inside(s, frame, series));
    }

    /// What the curves are, below a narrow plot.
    fn draw_legend(&self, s: &mut Sheet, below: f64, place: Place) -> f64 {
        let mut y = below + 2.0;
        for (series, _) in self.named() {
            y += 19.0;
            let sample = [(place.left, y - 4.5), (place.left + 26.0, y - 4.5)];
            s.path(&sample, series.width, series.ink, series.dash);
            if let Some((symbol, _)) = series.symbol {
                s.symbol(symbol, (place.left + 13.0, y - 4.5), MARK, series.ink);
            }
            let room = place.width - 34.0 - text_width(&series.value, SET) - 10.0;
            s.text((place.left + 34.0, y), &fit(&series.name, room, SET), SET.ink(INK));
            s.text((place.right(), y), &series.value, SET.align(Align::Right));
        }
        y + 4.0
    }
}

/// A name in the plot, at the end of its curve or before it: where it covers the least.
fn draw_inside(s: &mut Sheet, frame: &Frame, series: &Series) {
    let set = SET.bold().ink(INK);
    let text = [series.name.as_str(), series.value.as_str()].join(" ");
    let text = text.trim();
    let last = series.points.len() - 1;
    let along = [last, 3 * last / 4, last / 2, last / 4].into_iter().enumerate();
    let spots = along.flat_map(|(i, at)| {
        let (x, y) = frame.place(series.points[at]);
        let spots = [
            ((x + 8.0, y + 4.5), Align::Left),
            ((x, y - 9.0), Align::Right),
            ((x, y + 19.0), Align::Right),
            ((x + 8.0, y - 12.0), Align::Left),
            ((x + 8.0, y + 21.0), Align::Left),
            ((x, y - 24.0), Align::Right),
            ((x, y - 9.0), Align::Center),
            ((x - 8.0, y + 4.5), Align::Right),
        ];
        spots.map(|spot| (i as f64, (x, y), spot))
    });
    let cost = |(early, (x, y), (at, align)): (f64, Spot, (Spot, Align))| {
        let area = Area::of(at, text, set.align(align));
        let outside = area.left < frame.left
            || area.right > frame.right
            || area.top < frame.top
            || area.bottom > frame.bottom;
        let taken = if outside || !s.is_free(area) { 1e3 } else { 0.0 };
        // What lies between a curve and its name takes the name.
        let (top, bottom) = (area.bottom.min(y + 3.0), area.top.max(y - 3.0));
        let between = Area { left: x - 4.0, right: x + 4.0, top, bottom };
        (early + taken + s.crossed(area) + 3.0 * s.crossed(between), at, align)
    };
    let best = spots.map(cost).min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, at, align)) = best {
        s.tag(at, text, set.align(align));
    }
}
