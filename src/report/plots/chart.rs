//! A picture as a value: what it states, what is plotted, and panels of data. One piece of code lays
//! it out, for the page and for files, for wide screens and for narrow ones.

use super::canvas::{Sheet, wrap};
use super::curves::Curves;
use super::heat::Heat;
use super::rows::Rows;
use super::theme::{BODY, SMALL, TITLE};
use card::reference::QUOTED;

/// Where a picture is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// As a file of its own, with its title and the machine's name.
    File,
    /// On the page, below a heading that is the title.
    Wide,
    /// The same where a screen is narrow.
    Narrow,
}

/// Width of a sheet, in page units.
const WIDE: f64 = 860.0;
const NARROW: f64 = 360.0;
/// What is kept free at both sides.
const MARGIN: f64 = 20.0;
const NARROW_MARGIN: f64 = 8.0;
/// Between panels.
const GAP: f64 = 36.0;

/// A picture.
pub(super) struct Chart {
    /// Stem of its files.
    pub(super) name: &'static str,
    /// What the data say, in a few words.
    pub(super) title: String,
    /// What is plotted.
    pub(super) subtitle: String,
    /// What the data say, in numbers, for those who do not see them.
    pub(super) says: String,
    /// What has to be known beyond that.
    pub(super) caption: String,
    pub(super) machine: String,
    pub(super) panels: Vec<Panel>,
}

pub(super) enum Panel {
    Curves(Curves),
    Rows(Rows),
    Heat(Heat),
}

/// Where a panel may draw; how far down it goes it finds out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) narrow: bool,
}

impl Place {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }
}

impl Panel {
    /// Draws, and returns where the panel ends.
    fn draw(&self, sheet: &mut Sheet, place: Place) -> f64 {
        match self {
            Panel::Curves(curves) => curves.draw(sheet, place),
            Panel::Rows(rows) => rows.draw(sheet, place),
            Panel::Heat(heat) => heat.draw(sheet, place),
        }
    }
}

impl Chart {
    /// The picture laid out.
    pub(super) fn sheet(&self, form: Form) -> Sheet {
        let (width, margin) = match form {
            Form::Narrow => (NARROW, NARROW_MARGIN),
            Form::File | Form::Wide => (WIDE, MARGIN),
        };
        let mut sheet = Sheet::new(width, 0.0);
        let room = width - 2.0 * margin;
        let mut top = 12.0;
        if form == Form::File {
            for line in wrap(&self.title, room, 2, TITLE) {
                top += 24.0;
                sheet.text((margin, top), &line, TITLE);
            }
            let subtitle = wrap(&self.subtitle, room, 2, BODY);
            let machine = wrap(&self.machine, room, 1, SMALL);
            for (line, set) in
                subtitle.iter().map(|l| (l, BODY)).chain(machine.iter().map(|l| (l, SMALL)))
            {
                top += 20.0;
                sheet.text((margin, top), line, set);
            }
            top += 22.0;
        }
        let abreast = if form == Form::Narrow { 1 } else { self.panels.len().clamp(1, 2) };
        let across = (room - GAP * (abreast - 1) as f64) / abreast as f64;
        for row in self.panels.chunks(abreast) {
            let mut bottom = top;
            for (i, panel) in row.iter().enumerate() {
                let left = margin + (across + GAP) * i as f64;
                let narrow = form == Form::Narrow;
                let end = panel.draw(&mut sheet, Place { left, top, width: across, narrow });
                bottom = bottom.max(end);
            }
            top = bottom + GAP / 2.0;
        }
        if form == Form::File {
            sheet.keep(QUOTED);
        }
        sheet.height = (top - GAP / 2.0 + 12.0).ceil();
        sheet
    }

    /// As it stands on the page or in a file.
    pub(super) fn svg(&self, form: Form) -> String {
        self.sheet(form).svg(&self.title, &self.says)
    }
}
