//! A sheet in page units: what is to be drawn is laid out once, and comes out as SVG and as PNG.
//!
//! plotters draws on whole numbers. The drawing is therefore four times as fine as its units, and
//! the PNG is averaged down by two afterwards, which leaves twice the size of the page in clean
//! edges. Texts are placed by their baseline, which plotters' two backends put at different
//! places; [`Backend`] knows where.

use std::sync::LazyLock;

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontFamily, FontStyle, IntoTextStyle, ShapeStyle, TextStyle, register_font,
};

use super::theme::{Align, FAMILY, Ink, PAPER, Type};
use card::clean;

/// Steps of the drawing per page unit.
const FINE: f64 = 4.0;
/// No sheet is larger, in page units, and nothing is drawn farther from its corner: how many rows a
/// picture has is up to a card.
const LARGEST: f64 = 2000.0;
/// Pixels of the drawing per pixel of the PNG, each way.
const SHRINK: usize = 2;
/// Height of Roboto from ascender to descender in units of its size.
const ROBOTO_HEIGHT: f64 = 2400.0 / 2048.0;

const WHY: &str = "drawing into memory cannot fail once the compiled-in font is registered";

/// A place on a sheet, from the upper left corner.
pub(super) type Spot = (f64, f64);

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dash {
    Solid,
    /// Claims and references.
    Short,
    /// The second series of a panel.
    Long,
    /// The third.
    Dots,
    /// Lengths of dashes and gaps in turns, in page units.
    Of(&'static [f64]),
}

impl Dash {
    /// Lengths of dashes and gaps in turns, in page units.
    pub(super) const fn pattern(self) -> &'static [f64] {
        match self {
            Dash::Solid => &[],
            Dash::Short => &[4.0, 4.0],
            Dash::Long => &[9.0, 4.0],
            Dash::Dots => &[2.0, 3.0],
            Dash::Of(lengths) => lengths,
        }
    }
}

/// What marks a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Symbol {
    Dot,
    Ring,
    Square,
    Diamond,
    Up,
    Down,
    Plus,
    Cross,
}

#[derive(Clone, Debug)]
enum Shape {
    Rect(Spot, Spot, Ink),
    Path(Vec<Spot>, f64, Ink),
    Polygon(Vec<Spot>, Ink),
    Dot(Spot, f64, Ink),
    Text(Spot, String, Type),
}

/// What neighbours in a group of the SVG have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    dash: Dash,
    layer: Option<u16>,
}

/// The box of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) area: Area,
    /// In which layer alone it is seen.
    pub(super) layer: Option<u16>,
}

/// A rectangle on a sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// Of a text by its baseline, from the height of its figures to below the line.
    pub(super) fn of(at: Spot, text: &str, set: Type) -> Area {
        let width = text_width(text, set);
        let left = match set.align {
            Align::Left => at.0,
            Align::Center => at.0 - width / 2.0,
            Align::Right => at.0 - width,
        };
        let (top, bottom) = (at.1 - 0.75 * set.size, at.1 + 0.2 * set.size);
        Area { left, top, right: left + width, bottom }
    }

    pub(super) fn touches(&self, other: &Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// What is to be drawn. Coordinates are page units from the upper left corner.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    pub(super) width: f64,
    pub(super) height: f64,
    /// What is drawn from here on is seen in this layer alone.
    pub(super) layer: Option<u16>,
    shapes: Vec<(Group, Shape)>,
}

impl Sheet {
    pub(super) fn new(width: f64, height: f64) -> Sheet {
        Sheet { width, height, layer: None, shapes: Vec::new() }
    }

    fn add(&mut self, dash: Dash, shape: Shape) {
        self.shapes.push((Group { dash, layer: self.layer }, shape));
    }

    pub(super) fn rect(&mut self, from: Spot, to: Spot, ink: Ink) {
        self.add(Dash::Solid, Shape::Rect(from, to, ink));
    }

    /// A line through all points.
    pub(super) fn path(&mut self, points: &[Spot], width: f64, ink: Ink, dash: Dash) {
        if points.len() > 1 {
            self.add(dash, Shape::Path(points.to_vec(), width, ink));
        }
    }

    pub(super) fn line(&mut self, from: Spot, to: Spot, width: f64, ink: Ink) {
        self.path(&[from, to], width, ink, Dash::Solid);
    }

    pub(super) fn polygon(&mut self, points: &[Spot], ink: Ink) {
        self.add(Dash::Solid, Shape::Polygon(points.to_vec(), ink));
    }

    pub(super) fn dot(&mut self, center: Spot, radius: f64, ink: Ink) {
        self.add(Dash::Solid, Shape::Dot(center, radius, ink));
    }

    /// A symbol that reaches so far from its place; all but the dot have an empty middle.
    pub(super) fn symbol(&mut self, symbol: Symbol, (x, y): Spot, reach: f64, ink: Ink) {
        let corners = |symbol, d: f64| match symbol {
            Symbol::Up => vec![(x, y - d), (x + d, y + d), (x - d, y + d)],
            Symbol::Down => vec![(x, y + d), (x + d, y - d), (x - d, y - d)],
            _ => vec![(x, y - d), (x + d, y), (x, y + d), (x - d, y)],
        };
        let bar = |a: Spot, b: Spot| [(x + a.0, y + a.1), (x + b.0, y + b.1)];
        match symbol {
            Symbol::Dot => self.dot((x, y), reach, ink),
            Symbol::Ring => {
                self.dot((x, y), reach, ink);
                self.dot((x, y), reach - 1.8, PAPER);
            }
            Symbol::Square => {
                self.rect((x - reach, y - reach), (x + reach, y + reach), ink);
                let inner = reach - 1.6;
                self.rect((x - inner, y - inner), (x + inner, y + inner), PAPER);
            }
            Symbol::Diamond | Symbol::Up | Symbol::Down => {
                let reach = reach + 1.0;
                self.polygon(&corners(symbol, reach), ink);
                self.polygon(&corners(symbol, reach - 2.3), PAPER);
            }
            Symbol::Plus => {
                self.path(&bar((-reach, 0.0), (reach, 0.0)), 2.2, ink, Dash::Solid);
                self.path(&bar((0.0, -reach), (0.0, reach)), 2.2, ink, Dash::Solid);
            }
            Symbol::Cross => {
                let reach = reach - 1.0;
                self.path(&bar((-reach, -reach), (reach, reach)), 2.2, ink, Dash::Solid);
                self.path(&bar((-reach, reach), (reach, -reach)), 2.2, ink, Dash::Solid);
            }
        }
    }

    /// A text whose baseline is at `at`.
    pub(super) fn text(&mut self, at: Spot, text: &str, set: Type) {
        if !text.is_empty() {
            self.add(Dash::Solid, Shape::Text(at, clean::line(text), set));
        }
    }

    /// A text on a piece of paper, for where lines would run through it.
    pub(super) fn tag(&mut self, at: Spot, text: &str, set: Type) {
        let area = Area::of(at, text, set);
        self.rect((area.left - 2.0, area.top - 1.0), (area.right + 2.0, area.bottom + 1.0), PAPER);
        self.text(at, text, set);
    }

    /// Of the layers only this one.
    pub(super) fn keep(&mut self, layer: u16) {
        self.shapes.retain(|(group, _)| group.layer.is_none_or(|of| of == layer));
    }

    /// The texts with their boxes.
    pub(super) fn words(&self) -> impl Iterator<Item = Words> {
        self.shapes.iter().filter_map(|(group, shape)| match shape {
            Shape::Text(at, text, set) => {
                let area = Area::of(*at, text, *set);
                Some(Words { text: text.clone(), area, layer: group.layer })
            }
            _ => None,
        })
    }

    /// Whether nothing is written there so far.
    pub(super) fn is_free(&self, area: Area) -> bool {
        !self.words().any(|words| words.area.touches(&area))
    }

    /// Lengths of the lines that join a curve and its name: straight, thin, and not of the grid.
    #[cfg(test)]
    pub(super) fn leaders(&self) -> impl Iterator<Item = f64> {
        let grid = [super::theme::GRID, super::theme::FAINT, super::theme::INK];
        self.shapes.iter().filter_map(move |(_, shape)| match shape {
            Shape::Path(points, 1.0, ink) if !grid.contains(ink) => {
                let [(a, b), (c, d)] = points[..] else { return None };
                Some((c - a).hypot(d - b))
            }
            _ => None,
        })
    }

    /// No text is cut, and none lies on another that is seen at the same time.
    #[cfg(test)]
    pub(super) fn assert_words_are_apart(&self, name: &str) {
        let together =
            |a: &Words, b: &Words| a.layer.is_none() || b.layer.is_none() || a.layer == b.layer;
        let words: Vec<Words> = self.words().collect();
        for (i, a) in words.iter().enumerate() {
            let (text, area) = (&a.text, a.area);
            let inside = area.left >= 0.0
                && area.right <= self.width
                && area.top >= 0.0
                && area.bottom <= self.height;
            assert!(inside, "{name}, {} wide: {text} is cut", self.width);
            for b in words[i + 1..].iter().filter(|b| together(a, b)) {
                assert!(!area.touches(&b.area), "{name}, {} wide: {text}, {}", self.width, b.text);
            }
        }
    }

    /// How much is drawn there of curves.
    pub(super) fn crossed(&self, area: Area) -> f64 {
        let inside = |a: Spot, b: Spot| {
            let steps = ((b.0 - a.0).hypot(b.1 - a.1) / 2.0).clamp(1.0, 500.0) as usize;
            let at = |i: usize| {
                let share = i as f64 / steps as f64;
                (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share)
            };
            let hit = |p: Spot| {
                (area.left..area.right).contains(&p.0) && (area.top..area.bottom).contains(&p.1)
            };
            (0..steps).filter(|i| hit(at(*i))).count() as f64
        };
        let paths = self.shapes.iter().filter_map(|(_, shape)| match shape {
            Shape::Path(points, width, _) if *width > 1.1 => Some(points),
            _ => None,
        });
        paths.flat_map(|points| points.windows(2)).map(|w| inside(near(w[0]), near(w[1]))).sum()
    }

    fn fine_size(&self) -> (u32, u32) {
        let end = |length: f64| (length.min(LARGEST) * FINE) as u32;
        (end(self.width), end(self.height))
    }

    /// As SVG, with what screen readers say of it.
    pub(super) fn svg(&self, title: &str, description: &str) -> String {
        fonts();
        let (width, height) = self.fine_size();
        let escaped = |text: &str| minijinja::HtmlEscape(&clean::line(text)).to_string();
        let mut out = format!(
            "<svg width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
             xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" font-family=\"{FAMILY}\">\n\
             <title>{}</title>\n<desc>{}</desc>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
            f64::from(width) / FINE,
            f64::from(height) / FINE,
            escaped(title),
            escaped(description),
            PAPER.hex,
        );
        for run in self.shapes.chunk_by(|a, b| a.0 == b.0) {
            let Group { dash, layer } = run[0].0;
            let class = layer.map(|year| format!(" class=\"year of-{year}\""));
            let lengths = dash.pattern().iter().map(|length| (length * FINE).to_string());
            let lengths: Vec<String> = lengths.collect();
            let lengths = (!lengths.is_empty())
                .then(|| format!(" stroke-dasharray=\"{}\"", lengths.join(" ")));
            let elements = elements(run, (width, height));
            match (class, lengths) {
                (None, None) => out.push_str(&elements),
                (class, lengths) => {
                    let (class, lengths) = (class.unwrap_or_default(), lengths.unwrap_or_default());
                    out.push_str(&format!("<g{class}{lengths}>\n{elements}</g>\n"));
                }
            }
        }
        out + "</svg>\n"
    }

    /// As PNG.
    pub(super) fn png(&self) -> Vec<u8> {
        fonts();
        let (width, height) = self.fine_size();
        let mut pixels = vec![255u8; width as usize * height as usize * 3];
        {
            let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
            for (group, shape) in &self.shapes {
                match (shape, group.dash.pattern()) {
                    (Shape::Path(points, width, ink), pattern @ [_, ..]) => {
                        for dash in dashes(points, pattern) {
                            draw(&root, BITMAP, &Shape::Path(dash, *width, *ink));
                        }
                    }
                    _ => draw(&root, BITMAP, shape),
                }
            }
            root.present().expect(WHY);
        }
        let small = shrink(&pixels, width as usize);
        encode(&small, width / SHRINK as u32, height / SHRINK as u32).expect(WHY)
    }
}

/// What plotters writes of some shapes, without the frame that it puts around them, and without
/// what is said once for all of them or goes without saying.
fn elements(run: &[(Group, Shape)], size: (u32, u32)) -> String {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        run.iter().for_each(|(_, shape)| draw(&root, SVG, shape));
        root.present().expect(WHY);
    }
    let inside = text.split_once('\n').map_or("", |(_, rest)| rest);
    let inside = inside.strip_suffix("</svg>\n").unwrap_or(inside);
    let family = format!(" font-family=\"{FAMILY}\"");
    let spare = [
        " opacity=\"1\"",
        " stroke=\"none\"",
        " stroke-width=\"1\"",
        " text-anchor=\"start\"",
        &family,
    ];
    let text = spare.iter().fold(inside.to_owned(), |text, spare| text.replace(spare, ""));
    let mut parts = text.split(SIZE);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + SIZE + &short_number(part))
}

const SIZE: &str = "font-size=\"";

/// `51.6" …` for `51.612903225806456" …`.
fn short_number(text: &str) -> String {
    let number = text.split_once('"').and_then(|(n, rest)| Some((n.parse::<f64>().ok()?, rest)));
    number.map_or_else(|| text.to_owned(), |(number, rest)| format!("{number:.1}\"{rest}"))
}

/// How a plotters backend turns a text size and a position into letters.
#[derive(Clone, Copy)]
struct Backend {
    /// Size to ask for per unit of real font size.
    size: f64,
    /// Baseline below the position, per asked size, for texts anchored at their top.
    baseline: f64,
}

/// plotters divides the size by 1.24 and writes `dy="0.76em"`.
const SVG: Backend = Backend { size: 1.24, baseline: 0.76 / 1.24 };
/// ab_glyph scales the whole height, and plotters draws the baseline at half of it.
const BITMAP: Backend = Backend { size: ROBOTO_HEIGHT, baseline: 0.5 };

fn draw<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, backend: Backend, shape: &Shape) {
    let all = |points: &[Spot]| points.iter().copied().map(fine).collect::<Vec<(i32, i32)>>();
    match shape {
        Shape::Rect(from, to, ink) => {
            area.draw(&Rectangle::new([fine(*from), fine(*to)], filled(*ink))).expect(WHY);
        }
        Shape::Path(points, width, ink) => {
            let width = (width * FINE).round() as u32;
            let style = ink.color().stroke_width(width);
            area.draw(&PathElement::new(all(points), style)).expect(WHY);
        }
        Shape::Polygon(points, ink) => {
            area.draw(&Polygon::new(all(points), filled(*ink))).expect(WHY);
        }
        Shape::Dot(center, radius, ink) => {
            let radius = (radius * FINE).round() as i32;
            area.draw(&Circle::new(fine(*center), radius, filled(*ink))).expect(WHY);
        }
        Shape::Text(at, text, set) => {
            let asked = set.size * FINE * backend.size;
            let (x, y) = fine(*at);
            let top = y - (asked * backend.baseline).round() as i32;
            let h_pos = match set.align {
                Align::Left => HPos::Left,
                Align::Center => HPos::Center,
                Align::Right => HPos::Right,
            };
            let style = style(*set, asked).pos(Pos::new(h_pos, VPos::Top));
            area.draw(&Text::new(text.as_str(), (x, top), style)).expect(WHY);
        }
    }
}

fn fonts() {
    static REGISTERED: LazyLock<bool> = LazyLock::new(|| {
        let (regular, medium) = (super::REGULAR, super::MEDIUM);
        register_font(FAMILY, FontStyle::Normal, regular).is_ok()
            && register_font(FAMILY, FontStyle::Bold, medium).is_ok()
    });
    assert!(*REGISTERED, "the compiled-in fonts are TrueType files");
}

/// A line in pieces, by lengths of dashes and gaps in turns.
fn dashes(points: &[Spot], pattern: &[f64]) -> Vec<Vec<Spot>> {
    let whole: f64 = pattern.iter().sum();
    // Where in the pattern something lies: whether a dash is there, since when, and for how long.
    let phase = |at: f64| {
        let mut since = at % whole;
        for (i, length) in pattern.iter().enumerate() {
            if since < *length {
                return (i % 2 == 0, since, length - since);
            }
            since -= length;
        }
        (false, 0.0, 0.0)
    };
    let mut pieces: Vec<Vec<Spot>> = Vec::new();
    let mut along = 0.0;
    for ends in points.windows(2) {
        let (from, to) = (near(ends[0]), near(ends[1]));
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at =
            |d: f64| (from.0 + (to.0 - from.0) * d / length, from.1 + (to.1 - from.1) * d / length);
        let mut start = 0.0;
        while start < length {
            let (drawn, since, left) = phase(along + start);
            // Never so little that rounding makes nothing of it.
            let end = (start + left.max(1e-3)).min(length);
            match pieces.last_mut() {
                Some(last) if drawn && start == 0.0 && since > 0.0 => last.push(at(end)),
                _ if drawn => pieces.push(vec![at(start), at(end)]),
                _ => {}
            }
            start = end;
        }
        along += length;
    }
    pieces
}

/// The mean of each square of pixels.
fn shrink(pixels: &[u8], width: usize) -> Vec<u8> {
    let row = width * 3;
    let mut out = Vec::with_capacity(pixels.len() / (SHRINK * SHRINK));
    for rows in pixels.chunks_exact(row * SHRINK) {
        let (upper, lower) = rows.split_at(row);
        for left in (0..row - row % (3 * SHRINK)).step_by(3 * SHRINK) {
            for at in left..left + 3 {
                let square = [upper[at], upper[at + 3], lower[at], lower[at + 3]];
                out.push((square.into_iter().map(u16::from).sum::<u16>() / 4) as u8);
            }
        }
    }
    out
}

fn encode(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    // Filters help photographs; letters and flat areas are smaller without.
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// Width of a text in page units; the same on both backends.
pub(super) fn text_width(text: &str, set: Type) -> f64 {
    fonts();
    let style = style(set, set.size * FINE * BITMAP.size);
    let ((left, _), (right, _)) = style.font.layout_box(text).expect(WHY);
    f64::from(right - left) / FINE
}

/// Width of the widest.
pub(super) fn widest<'a>(texts: impl Iterator<Item = &'a str>, set: Type) -> f64 {
    texts.map(|text| text_width(text, set)).fold(0.0, f64::max)
}

/// Breaks a text at spaces into at most `lines` lines of `width`; the last one may end in `…`.
pub(super) fn wrap(text: &str, width: f64, lines: usize, set: Type) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let longer = out.last().map(|line| format!("{line} {word}"));
        match longer.filter(|line| text_width(line, set) <= width) {
            Some(line) => *out.last_mut().expect("it was just read") = line,
            None => out.push(word.to_owned()),
        }
    }
    if out.len() > lines {
        out.truncate(lines);
        out.last_mut().into_iter().for_each(|last| last.push_str(" …"));
    }
    out.iter().map(|line| fit(line, width, set)).collect()
}

/// Cuts a text that is wider than `width`.
pub(super) fn fit(text: &str, width: f64, set: Type) -> String {
    if text_width(text, set) <= width {
        return text.to_owned();
    }
    // Halved each time: a card's texts may be very long.
    let (mut fits, mut too_many) = (1, text.chars().count());
    while too_many - fits > 1 {
        let middle = usize::midpoint(fits, too_many);
        match text_width(&card::format::shorten(text, middle), set) <= width {
            true => fits = middle,
            false => too_many = middle,
        }
    }
    card::format::shorten(text, fits)
}

fn style(set: Type, size: f64) -> TextStyle<'static> {
    let weight = if set.bold { FontStyle::Bold } else { FontStyle::Normal };
    TextStyle {
        color: set.ink.color().to_backend_color(),
        ..(FontFamily::Name(FAMILY), size, weight).into_text_style(&(1, 1))
    }
}

/// The place itself, if it is on the sheet or not far from it; what is no number is at its corner.
fn near((x, y): Spot) -> Spot {
    let near = |v: f64| if v.is_nan() { 0.0 } else { v.clamp(-LARGEST, LARGEST) };
    (near(x), near(y))
}

/// In steps of the drawing.
fn fine(at: Spot) -> (i32, i32) {
    let (x, y) = near(at);
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn filled(ink: Ink) -> ShapeStyle {
    ink.color().filled()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::theme::{BODY, INK, SMALL};
    use super::*;

    /// Something of every kind at these places.
    fn anywhere(places: [Spot; 3]) -> Sheet {
        let mut sheet = Sheet::new(60.0, 40.0);
        sheet.rect(places[0], places[1], INK);
        for dash in [Dash::Solid, Dash::Short, Dash::Dots] {
            sheet.path(&places, 2.0, INK, dash);
        }
        for symbol in [Symbol::Ring, Symbol::Square, Symbol::Diamond, Symbol::Up, Symbol::Cross] {
            sheet.symbol(symbol, places[0], 5.0, INK);
        }
        sheet.tag(places[0], "text", BODY);
        sheet
    }

    #[test]
    fn squares_of_pixels_are_averaged() {
        let pixels: Vec<u8> = [0, 0, 0, 200, 200, 200, 0, 0, 0, 200, 200, 200].to_vec();
        assert_eq!(shrink(&pixels, 2), [100, 100, 100]);
    }

    #[test]
    fn text_has_a_width_and_wraps_within_it() {
        assert!(text_width("wide", BODY) > text_width("i", BODY));
        let lines = wrap("needs a rotating disk that is mounted under the folder", 90.0, 2, SMALL);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…'));
        assert!(lines.iter().all(|l| text_width(l, SMALL) <= 90.0));
        assert!(wrap("", 90.0, 2, SMALL).is_empty());
        let cut = fit(&"endless".repeat(10_000), 90.0, SMALL);
        assert!(cut.ends_with('…') && (60.0..=90.0).contains(&text_width(&cut, SMALL)), "{cut}");
    }

    #[test]
    fn no_sheet_is_larger_than_can_be_drawn() {
        let tall = Sheet::new(10.0, 1e9);
        assert!(tall.svg("", "").contains(r#"height="2000""#) && tall.png().len() < 100_000);
    }

    /// A dash of the page is one line with a pattern, however long; its layer is a class.
    #[test]
    fn dashes_and_layers_are_groups() {
        let mut sheet = Sheet::new(100.0, 100.0);
        sheet.path(&[(0.0, 0.0), (90.0, 0.0)], 1.0, INK, Dash::Short);
        sheet.layer = Some(2012);
        sheet.text((0.0, 50.0), "then", BODY);
        let svg = sheet.svg("a <title>", "what it says");
        assert!(svg.contains("<title>a &lt;title&gt;</title>") && svg.contains("what it says"));
        assert!(svg.contains("<g stroke-dasharray=\"16 16\">\n<polyline"), "{svg}");
        assert!(svg.contains("<g class=\"year of-2012\">\n<text"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert_eq!(svg.matches("<svg").count(), 1);
        let pieces = dashes(&[(0.0, 0.0), (10.0, 0.0), (20.0, 0.0)], &[4.0, 4.0]);
        assert_eq!(pieces.len(), 3, "{pieces:?}");
        let of_four = dashes(&[(0.0, 0.0), (36.0, 0.0)], &[10.0, 3.0, 2.0, 3.0]);
        assert_eq!(of_four.len(), 4, "{of_four:?}");
    }

    proptest! {
        #[test]
        fn places_off_the_sheet_are_no_fault(
            places in prop::array::uniform3((any::<f64>(), any::<f64>())),
        ) {
            let sheet = anywhere(places);
            prop_assert!(!sheet.png().is_empty());
            prop_assert!(!sheet.svg("", "").contains("NaN"));
        }
    }
}
