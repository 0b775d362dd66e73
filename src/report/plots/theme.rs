//! Colours and type of the pictures: one light palette, safe for colour-blind readers, each colour
//! with one meaning (blue this machine, grey what it is held against, orange what fails) and with
//! the CSS variable that stands for it in the page.

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
pub(super) const FAINT: Ink = Ink::new("#838C96", "--faint", 0x83_8C96);
pub(super) const GRID: Ink = Ink::new("#E4E7EB", "--grid", 0xE4_E7EB);
pub(super) const BAND: Ink = Ink::new("#EDF3F9", "--band", 0xED_F3F9);
pub(super) const BLUE: Ink = Ink::new("#0072B2", "--blue", 0x00_72B2);
pub(super) const BLUE_PALE: Ink = Ink::new("#CBE1EF", "--blue-pale", 0xCB_E1EF);
/// Other series of this machine in one panel: darker, and lighter.
pub(super) const BLUE_DEEP: Ink = Ink::new("#0B3C66", "--blue-deep", 0x0B_3C66);
pub(super) const BLUE_LIGHT: Ink = Ink::new("#4A97CC", "--blue-light", 0x4A_97CC);
/// What fails, and nothing else.
pub(super) const ORANGE: Ink = Ink::new("#B54A00", "--orange", 0xB5_4A00);

/// Cards beside the first one, which has [`INK`]: in grey they are about alike, and dash and symbol tell
/// them apart.
pub(super) const OTHERS: [Ink; 7] = [
    BLUE,
    ORANGE,
    Ink::new("#00805D", "--card-d", 0x00_805D),
    Ink::new("#A8578A", "--card-e", 0xA8_578A),
    Ink::new("#3A86B8", "--card-f", 0x3A_86B8),
    Ink::new("#8A6A00", "--card-g", 0x8A_6A00),
    Ink::new("#6B7680", "--card-h", 0x6B_7680),
];

/// From less to more than another card: blue, the paper's own, amber.
pub(super) const SHIFT: [Ink; 7] = [
    Ink::new("#7FB8DC", "--shift-0", 0x7F_B8DC),
    Ink::new("#B3D4EA", "--shift-1", 0xB3_D4EA),
    Ink::new("#DBE9F4", "--shift-2", 0xDB_E9F4),
    Ink::new("#F1F2F3", "--shift-3", 0xF1_F2F3),
    Ink::new("#FBE3CF", "--shift-4", 0xFB_E3CF),
    Ink::new("#F3BF94", "--shift-5", 0xF3_BF94),
    Ink::new("#E59A5C", "--shift-6", 0xE5_9A5C),
];

/// Steps from low to high, ever further from the paper: in the dark theme they get brighter.
pub(super) const HEAT: [Ink; 8] = [
    Ink::new("#E3EEF8", "--heat-0", 0xE3_EEF8),
    Ink::new("#C9DFF0", "--heat-1", 0xC9_DFF0),
    Ink::new("#A6CCE6", "--heat-2", 0xA6_CCE6),
    Ink::new("#7AB3D9", "--heat-3", 0x7A_B3D9),
    Ink::new("#4F97C8", "--heat-4", 0x4F_97C8),
    Ink::new("#2C7AB3", "--heat-5", 0x2C_7AB3),
    Ink::new("#135C96", "--heat-6", 0x13_5C96),
    Ink::new("#083D70", "--heat-7", 0x08_3D70),
];

/// What can be read on a step, in both themes.
pub(super) fn on_heat(step: usize) -> Ink {
    if step < 5 { INK } else { PAPER }
}

/// Every colour that a picture may hold; the page replaces each by its variable.
pub(super) fn palette() -> impl Iterator<Item = Ink> {
    [PAPER, INK, MUTED, FAINT, GRID, BAND, BLUE, BLUE_PALE, BLUE_DEEP, BLUE_LIGHT, ORANGE]
        .into_iter()
        .chain(HEAT)
        .chain(SHIFT)
        .chain(OTHERS.into_iter().skip(2))
}

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

/// Three sizes are enough for all pictures. The smallest is 11 pixels where the page shows a wide
/// picture narrowest.
pub(super) const TITLE: Type = Type::new(19.0, INK).bold();
pub(super) const BODY: Type = Type::new(14.0, INK);
pub(super) const SMALL: Type = Type::new(13.0, MUTED);

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG defines it.
    fn luminance(hex: &str) -> f64 {
        let channel = |i: usize| {
            let share = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
            if share <= 0.04 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    /// The values of a variable in the page's style sheet: light, then dark.
    fn themes(variable: &str) -> (f64, f64) {
        let css = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/templates/style.css"));
        let name = format!("{variable}: ");
        let values: Vec<f64> = css.split(&name).skip(1).map(|rest| luminance(&rest[..7])).collect();
        assert_eq!(values.len(), 2, "{variable} in both themes");
        (values[0], values[1])
    }

    fn contrast(a: f64, b: f64) -> f64 {
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_colour_of_the_pictures_has_its_variable_in_both_themes() {
        for ink in palette() {
            let (light, _) = themes(ink.variable);
            assert!((light - luminance(ink.hex)).abs() < 1e-9, "{}", ink.variable);
        }
    }

    /// As WCAG asks it: 4.5 to 1 for texts, 3 to 1 for marks and borders that mean something. Grid lines,
    /// bands and leaders mean nothing by themselves.
    #[test]
    fn texts_can_be_read_and_marks_be_seen_in_both_themes() {
        let texts = ["--ink", "--muted", "--blue", "--orange", "--amber", "--bad"];
        let pairs =
            ["--paper", "--page"].into_iter().flat_map(|back| texts.map(|t| (t, back, 4.5)));
        let on_colors = [
            ("--paper", "--blue", 4.5),
            ("--paper", "--orange", 4.5),
            ("--paper", "--bad", 4.5),
            ("--ink", "--band", 4.5),
            ("--muted", "--band", 4.5),
            ("--ink", "--warn-back", 4.5),
            ("--muted", "--warn-back", 4.5),
            ("--blue", "--warn-back", 4.5),
            ("--amber", "--warn-back", 4.5),
            ("--bad", "--bad-back", 4.5),
            ("--blue-deep", "--paper", 3.0),
            ("--blue-light", "--paper", 3.0),
            ("--faint", "--paper", 3.0),
            ("--faint", "--page", 3.0),
        ];
        let cards = OTHERS.map(|ink| (ink.variable, "--paper", 3.0));
        for (front, back, least) in pairs.chain(on_colors).chain(cards) {
            let (front_of, back_of) = (themes(front), themes(back));
            let both = (contrast(front_of.0, back_of.0), contrast(front_of.1, back_of.1));
            assert!(both.0 >= least && both.1 >= least, "{front} on {back}: {both:?}");
        }
    }

    #[test]
    fn numbers_in_cells_can_be_read_in_both_themes() {
        for (i, step) in HEAT.into_iter().enumerate() {
            let (text, cell) = (themes(on_heat(i).variable), themes(step.variable));
            let both = (contrast(text.0, cell.0), contrast(text.1, cell.1));
            assert!(both.0 >= 4.5 && both.1 >= 4.5, "step {i}: {both:?}");
        }
    }

    #[test]
    fn ratios_can_be_read_on_every_shade_of_a_difference() {
        let ink = themes(INK.variable);
        for step in SHIFT {
            let cell = themes(step.variable);
            let both = (contrast(ink.0, cell.0), contrast(ink.1, cell.1));
            assert!(both.0 >= 4.5 && both.1 >= 4.5, "{}: {both:?}", step.variable);
        }
    }

    #[test]
    fn steps_go_one_way_in_both_themes() {
        let steps: Vec<(f64, f64)> = HEAT.iter().map(|ink| themes(ink.variable)).collect();
        assert!(steps.windows(2).all(|w| w[1].0 < w[0].0 && w[1].1 > w[0].1), "{steps:?}");
    }
}
