//! A sheet to draw on in page units, the same for SVG and PNG.
//!
//! plotters draws on whole numbers. The sheet is therefore four times as fine as its units, and
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

/// What a picture draws: its size in page units, and the drawing itself.
pub(super) trait Drawing {
    fn size(&self) -> (f64, f64);
    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>);
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

fn fonts() {
    static REGISTERED: LazyLock<bool> = LazyLock::new(|| {
        let (regular, medium) = (super::REGULAR, super::MEDIUM);
        register_font(FAMILY, FontStyle::Normal, regular).is_ok()
            && register_font(FAMILY, FontStyle::Bold, medium).is_ok()
    });
    assert!(*REGISTERED, "the compiled-in fonts are TrueType files");
}

/// Draws as SVG; `title` is what screen readers say.
pub(super) fn svg(drawing: &impl Drawing, title: &str) -> String {
    fonts();
    let (width, height) = size(drawing);
    let fine = fine_size(drawing);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, fine).into_drawing_area();
        let canvas = Canvas { area: &root, backend: SVG };
        drawing.draw(&canvas);
        root.present().expect(WHY);
    }
    let fine = format!(r#"width="{}" height="{}""#, fine.0, fine.1);
    let page = format!(
        r#"width="{width}" height="{height}" role="img" aria-label="{}""#,
        minijinja::HtmlEscape(&clean::line(title))
    );
    text.replacen(&fine, &page, 1)
}

/// Draws as PNG.
pub(super) fn png(drawing: &impl Drawing) -> Vec<u8> {
    fonts();
    let (width, height) = fine_size(drawing);
    let mut pixels = vec![255u8; width as usize * height as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        drawing.draw(&Canvas { area: &root, backend: BITMAP });
        root.present().expect(WHY);
    }
    let small = shrink(&pixels, width as usize);
    encode(&small, width / SHRINK as u32, height / SHRINK as u32).expect(WHY)
}

/// The size of the sheet in page units.
fn size(drawing: &impl Drawing) -> (f64, f64) {
    let (width, height) = drawing.size();
    (width.min(LARGEST), height.min(LARGEST))
}

fn fine_size(drawing: &impl Drawing) -> (u32, u32) {
    let (width, height) = size(drawing);
    ((width * FINE) as u32, (height * FINE) as u32)
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
    encoder.set_compression(png::Compression::High);
    // Filters help photographs; letters and flat areas are smaller without.
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// The sheet. Coordinates are page units from the upper left corner.
pub(super) struct Canvas<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    backend: Backend,
}

impl<DB: DrawingBackend> Canvas<'_, DB> {
    /// Paints the whole sheet.
    pub(super) fn paper(&self) {
        self.area.fill(&PAPER.color()).expect(WHY);
    }

    pub(super) fn rect(&self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        let shape = Rectangle::new([fine(from), fine(to)], filled(ink, 1.0));
        self.area.draw(&shape).expect(WHY);
    }

    /// A line through all points.
    pub(super) fn path(&self, points: &[(f64, f64)], width: f64, ink: Ink) {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        if points.len() > 1 {
            self.area.draw(&PathElement::new(points, stroke(ink, width))).expect(WHY);
        }
    }

    pub(super) fn line(&self, from: (f64, f64), to: (f64, f64), width: f64, ink: Ink) {
        self.path(&[from, to], width, ink);
    }

    /// A straight line in dashes of four units.
    pub(super) fn dashes(&self, from: (f64, f64), to: (f64, f64), width: f64, ink: Ink) {
        let (from, to) = (near(from), near(to));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let at = |d: f64| (from.0 + dx * d / length, from.1 + dy * d / length);
        let mut start = 0.0;
        while start < length {
            self.line(at(start), at((start + 4.0).min(length)), width, ink);
            start += 8.0;
        }
    }

    pub(super) fn polygon(&self, points: &[(f64, f64)], ink: Ink, opacity: f64) {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        self.area.draw(&Polygon::new(points, filled(ink, opacity))).expect(WHY);
    }

    pub(super) fn dot(&self, center: (f64, f64), radius: f64, ink: Ink) {
        let radius = (radius * FINE).round() as i32;
        self.area.draw(&Circle::new(fine(center), radius, filled(ink, 1.0))).expect(WHY);
    }

    /// A dot with an empty middle.
    pub(super) fn ring(&self, center: (f64, f64), radius: f64, ink: Ink) {
        self.dot(center, radius, ink);
        self.dot(center, radius - 1.8, PAPER);
    }

    /// A square with an empty middle.
    pub(super) fn square(&self, center: (f64, f64), half: f64, ink: Ink) {
        let corner = |d: f64| ((center.0 - d, center.1 - d), (center.0 + d, center.1 + d));
        let (outer, inner) = (corner(half), corner(half - 1.6));
        self.rect(outer.0, outer.1, ink);
        self.rect(inner.0, inner.1, PAPER);
    }

    /// A diamond with an empty middle.
    pub(super) fn diamond(&self, center: (f64, f64), half: f64, ink: Ink) {
        let (x, y) = center;
        let corners = |d: f64| [(x, y - d), (x + d, y), (x, y + d), (x - d, y)];
        self.polygon(&corners(half), ink, 1.0);
        self.polygon(&corners(half - 2.3), PAPER, 1.0);
    }

    /// A text whose baseline is at `at`.
    pub(super) fn text(&self, at: (f64, f64), text: &str, set: Type) {
        let asked = set.size * FINE * self.backend.size;
        let (x, y) = fine(at);
        let top = y - (asked * self.backend.baseline).round() as i32;
        let h_pos = match set.align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = style(set, asked).pos(Pos::new(h_pos, VPos::Top));
        self.area.draw(&Text::new(clean::line(text), (x, top), style)).expect(WHY);
    }
}

impl<DB: DrawingBackend> Canvas<'_, DB> {
    /// A text on a piece of paper, for where lines would run through it.
    pub(super) fn tag(&self, at: (f64, f64), text: &str, set: Type) {
        let width = text_width(text, set);
        let left = match set.align {
            Align::Left => at.0,
            Align::Center => at.0 - width / 2.0,
            Align::Right => at.0 - width,
        };
        let (top, bottom) = (at.1 - 0.9 * set.size, at.1 + 0.3 * set.size);
        self.rect((left - 2.0, top), (left + width + 2.0, bottom), PAPER);
        self.text(at, text, set);
    }
}

/// Width of a text in page units; the same on both backends.
pub(super) fn text_width(text: &str, set: Type) -> f64 {
    fonts();
    let style = style(set, set.size * FINE * BITMAP.size);
    let ((left, _), (right, _)) = style.font.layout_box(text).expect(WHY);
    f64::from(right - left) / FINE
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
fn fit(text: &str, width: f64, set: Type) -> String {
    let mut kept = text.to_owned();
    while text_width(&kept, set) > width && kept.len() > 1 {
        kept = card::format::shorten(&kept, kept.chars().count() - 1);
    }
    kept
}

fn style(set: Type, size: f64) -> TextStyle<'static> {
    let weight = if set.bold { FontStyle::Bold } else { FontStyle::Normal };
    TextStyle {
        color: set.ink.color().to_backend_color(),
        ..(FontFamily::Name(FAMILY), size, weight).into_text_style(&(1, 1))
    }
}

/// The place itself, if it is on the sheet or not far from it.
fn near((x, y): (f64, f64)) -> (f64, f64) {
    (x.clamp(-LARGEST, LARGEST), y.clamp(-LARGEST, LARGEST))
}

/// In steps of the drawing; what is no number is at the sheet's corner.
fn fine(at: (f64, f64)) -> (i32, i32) {
    let (x, y) = near(at);
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn filled(ink: Ink, opacity: f64) -> ShapeStyle {
    ink.color().mix(opacity).filled()
}

fn stroke(ink: Ink, width: f64) -> ShapeStyle {
    ink.color().stroke_width((width * FINE).round() as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::theme::{BODY, INK, SMALL};
    use super::*;

    /// Something of every kind at these places.
    struct Anywhere([(f64, f64); 3]);

    impl Drawing for Anywhere {
        fn size(&self) -> (f64, f64) {
            (60.0, 40.0)
        }

        fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
            let places = self.0;
            c.rect(places[0], places[1], INK);
            c.path(&places, 2.0, INK);
            c.dashes(places[1], places[2], 1.0, INK);
            c.ring(places[0], 5.0, INK);
            c.square(places[1], 5.0, INK);
            c.diamond(places[2], 5.0, INK);
            c.tag(places[0], "text", BODY);
        }
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
    }

    #[test]
    fn no_sheet_is_larger_than_can_be_drawn() {
        struct Tall;
        impl Drawing for Tall {
            fn size(&self) -> (f64, f64) {
                (10.0, 1e9)
            }

            fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
                c.paper();
            }
        }
        assert!(svg(&Tall, "").contains(r#"height="2000""#) && png(&Tall).len() < 100_000);
    }

    proptest! {
        #[test]
        fn places_off_the_sheet_are_no_fault(
            places in prop::array::uniform3((any::<f64>(), any::<f64>())),
        ) {
            let anywhere = Anywhere(places);
            prop_assert!(!png(&anywhere).is_empty());
            prop_assert!(!svg(&anywhere, "").contains("NaN"));
        }
    }
}
