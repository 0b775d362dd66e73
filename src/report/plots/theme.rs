//! Colours and type of the pictures: one light palette, safe for colour-blind readers
//! (Okabe and Ito), each colour with the CSS variable that stands for it in the page.

use plotters::style::RGBColor;

/// A colour of the palette.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ink {
    /// As it is written into SVG.
    pub(super) hex: &'static str,
    /// Its name in the page's style sheet.
    pub(super) variable: &'static str,
    rgb: (u8, u8, u8),
}

impl Ink {
    const fn new(hex: &'static str, variable: &'static str, rgb: u32) -> Ink {
        let [_, r, g, b] = rgb.to_be_bytes();
        Ink { hex, variable, rgb: (r, g, b) }
    }

    pub(super) fn color(self) -> RGBColor {
        RGBColor(self.rgb.0, self.rgb.1, self.rgb.2)
    }
}

pub(super) const PAPER: Ink = Ink::new("#FFFFFF", "--paper", 0xFF_FFFF);
pub(super) const INK: Ink = Ink::new("#1A1D21", "--ink", 0x1A_1D21);
pub(super) const MUTED: Ink = Ink::new("#5C6670", "--muted", 0x5C_6670);
pub(super) const FAINT: Ink = Ink::new("#A9B1BA", "--faint", 0xA9_B1BA);
pub(super) const GRID: Ink = Ink::new("#E4E7EB", "--grid", 0xE4_E7EB);
pub(super) const BAND: Ink = Ink::new("#EDF3F9", "--band", 0xED_F3F9);
pub(super) const BLUE: Ink = Ink::new("#0072B2", "--blue", 0x00_72B2);
pub(super) const BLUE_PALE: Ink = Ink::new("#CBE1EF", "--blue-pale", 0xCB_E1EF);
pub(super) const VERMILION: Ink = Ink::new("#D55E00", "--vermilion", 0xD5_5E00);
pub(super) const GREEN: Ink = Ink::new("#00805D", "--green", 0x00_805D);
pub(super) const PURPLE: Ink = Ink::new("#A8578A", "--purple", 0xA8_578A);

/// Every colour that a picture may hold; the page replaces each by its variable.
pub(super) const PALETTE: [Ink; 11] =
    [PAPER, INK, MUTED, FAINT, GRID, BAND, BLUE, BLUE_PALE, VERMILION, GREEN, PURPLE];

/// The font of the pictures. Its name is also what SVG says to browsers, hence the fallback.
pub(super) const FAMILY: &str = "Roboto, sans-serif";

/// Where a text is anchored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Align {
    Left,
    Center,
    Right,
}

/// How a text is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) ink: Ink,
    pub(super) align: Align,
}

impl Type {
    pub(super) const fn new(size: f64, ink: Ink) -> Type {
        Type { size, bold: false, ink, align: Align::Left }
    }

    pub(super) const fn bold(self) -> Type {
        Type { bold: true, ..self }
    }

    pub(super) const fn ink(self, ink: Ink) -> Type {
        Type { ink, ..self }
    }

    pub(super) const fn size(self, size: f64) -> Type {
        Type { size, ..self }
    }

    pub(super) const fn align(self, align: Align) -> Type {
        Type { align, ..self }
    }
}

/// Four sizes are enough for all pictures; none is below what a README at 900 px can show.
pub(super) const TITLE: Type = Type::new(19.0, INK).bold();
pub(super) const BODY: Type = Type::new(14.0, INK);
pub(super) const SMALL: Type = Type::new(12.5, MUTED);
pub(super) const TICK: Type = Type::new(12.5, MUTED);
