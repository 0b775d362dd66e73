//! Branches learned by heart: what one costs against the length of its pattern, and the grid of
//! branches and lengths.

use std::collections::BTreeSet;

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, LEFT, Tick, WIDTH, heading};
use super::heat::Heat;
use super::scale::{Axis, round_ticks};
use super::theme::{Align, BLUE, BODY, GREEN, INK, Ink, MUTED, PURPLE, SMALL, VERMILION};
use super::{Picture, notes, picture};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "Branch prediction: how much a core learns by heart";
const PROBE: &str = "branch";
const LEARNABLE: &str = "branch.learnable_entries";
const AREA: (f64, f64) = (76.0, 860.0);
const TOP: f64 = 108.0;
const BOTTOM: f64 = 350.0;
/// Upper edge of the grid, and the height of its rows.
const GRID: f64 = 450.0;
const ROW: f64 = 30.0;
const INKS: [Ink; 5] = [BLUE, GREEN, PURPLE, VERMILION, MUTED];

struct Curve {
    branches: i64,
    points: Vec<(f64, f64)>,
}

/// The data of the picture.
pub(super) struct BranchHistory {
    curves: Vec<Curve>,
    grid: Option<Heat>,
    unit: Unit,
    learnable: Option<f64>,
    note: String,
    machine: String,
}

impl BranchHistory {
    /// `None` when the card has no two lengths of a pattern.
    pub(super) fn of(summary: &Summary) -> Option<BranchHistory> {
        let settings = series::settings(&summary.card, PROBE, "history");
        let cycles = settings.iter().all(|s| s.cycles.is_some());
        let unit = if cycles { Unit::Cycles } else { Unit::Ns };
        let y = |s: &Setting| if cycles { s.cycles } else { Some(s.value) };
        let of = |name: &str| -> BTreeSet<i64> {
            settings.iter().filter_map(|s| s.int(name)).filter(|n| *n > 0).collect()
        };
        let points = |branches: &i64| -> Vec<(f64, f64)> {
            let own = settings.iter().filter(|s| s.int("branches") == Some(*branches));
            own.filter_map(|s| Some((s.int("length").filter(|l| *l > 0)? as f64, y(s)?))).collect()
        };
        let curve = |branches: i64| Curve { branches, points: points(&branches) };
        let curves: Vec<Curve> =
            of("branches").into_iter().map(curve).filter(|c| c.points.len() > 1).collect();
        (!curves.is_empty()).then(|| BranchHistory {
            grid: grid(&curves, unit),
            curves,
            unit,
            learnable: summary.metrics.get(LEARNABLE).and_then(format::believable),
            note: notes(&settings),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let learnable = self.learnable.map_or(String::new(), |n| {
            format!(" Of a single branch this core still knows {} outcomes.", format::plain(n))
        });
        let caption = format!(
            "Branches whose outcomes are random, but come again after a while. A core that remembers \
             them predicts them all, and a branch costs little; one that has forgotten fails on every \
             second, and the line rises to what a truly random branch costs. The more branches there \
             are, the fewer outcomes of each are remembered. Benchmarks that run over the same short \
             data again and again are on the left, and programs with fresh data on the right. Below: \
             the same as a grid.{learnable}{}",
            self.note
        );
        picture("branch_history", TITLE, caption, self)
    }

    fn frame(&self) -> Frame {
        let points = || self.curves.iter().flat_map(|c| &c.points);
        let low = points().map(|p| p.0).fold(f64::MAX, f64::min);
        let high = points().map(|p| p.0).fold(low * 2.0, f64::max);
        let most = points().map(|p| p.1).fold(1.0, f64::max);
        Frame {
            left: AREA.0,
            right: AREA.1,
            top: TOP,
            bottom: BOTTOM,
            x: Axis::log((low, high), AREA),
            y: Axis::linear((0.0, most * 1.2), (BOTTOM, TOP)),
        }
    }

    fn draw_curves<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let frame = self.frame();
        let points = || self.curves.iter().flat_map(|c| &c.points);
        let most = points().map(|p| p.1).fold(1.0, f64::max);
        let lengths: BTreeSet<u64> =
            points().map(|p| p.0 as u64).filter(|l| l.is_power_of_two()).collect();
        let x: Vec<Tick> = lengths.into_iter().map(|l| (l as f64, short(l as i64))).collect();
        let y = round_ticks(0.0, most, 6.0).into_iter().map(|v| (v, format::plain(v)));
        frame.grid(c, &x, &y.collect::<Vec<Tick>>());
        let per = format!("{} per branch", self.unit.symbol());
        frame.names(c, "outcomes before they come again", &per);
        for (curve, ink) in self.curves.iter().zip(INKS.into_iter().cycle()) {
            frame.curve(c, curve.points.iter().copied(), 2.0, ink);
            let (x, y) = frame.place(curve.points.last().copied().unwrap_or_default());
            let set = BODY.bold().size(13.0).ink(ink).align(Align::Right);
            c.tag(((x + 22.0).min(AREA.1), y - 9.0), &name(curve.branches), set);
        }
        if let Some(learnable) = self.learnable {
            let x = frame.x.at(learnable);
            c.dashes((x, TOP), (x, BOTTOM), 1.2, INKS[0]);
            let text = format!("{} learned", format::plain(learnable));
            c.tag((x - 6.0, TOP + 4.0), &text, SMALL.ink(INKS[0]).align(Align::Right));
        }
    }
}

fn name(branches: i64) -> String {
    if branches == 1 { "1 branch".into() } else { format!("{branches} branches") }
}

/// `512`, `4 K`.
fn short(count: i64) -> String {
    if count >= 1024 && count % 1024 == 0 {
        format!("{} K", count >> 10)
    } else {
        count.to_string()
    }
}

/// Branches down, lengths that are powers of two across.
fn grid(curves: &[Curve], unit: Unit) -> Option<Heat> {
    let lengths: BTreeSet<u64> = curves
        .iter()
        .flat_map(|c| &c.points)
        .map(|p| p.0 as u64)
        .filter(|l| l.is_power_of_two())
        .collect();
    let cell = |curve: &Curve, length: u64| {
        curve.points.iter().find(|p| p.0 as u64 == length).map(|p| p.1)
    };
    let row = |curve: &Curve| lengths.iter().map(|&l| cell(curve, l)).collect();
    let names = curves.iter().map(|c| c.branches.to_string()).collect();
    let columns = lengths.iter().map(|&l| short(l as i64)).collect();
    Heat::new(names, columns, curves.iter().map(row).collect(), unit)
}

impl Drawing for BranchHistory {
    fn size(&self) -> (f64, f64) {
        let rows = self.grid.as_ref().map_or(0, |g| g.size().0) as f64;
        (WIDTH, if rows > 0.0 { GRID + ROW * rows + 96.0 } else { BOTTOM + 60.0 })
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        self.draw_curves(c);
        let Some(grid) = &self.grid else { return };
        let height = ROW * grid.size().0 as f64;
        c.text((AREA.0, GRID - 32.0), "The grid", BODY.bold());
        c.text((LEFT, GRID - 12.0), "branches", SMALL);
        let right = WIDTH - LEFT;
        grid.draw(c, (AREA.0, GRID), (right - AREA.0, height));
        let below = (right, GRID + height + 38.0);
        c.text(below, "outcomes of each before they come again", SMALL.align(Align::Right));
        let per = format!("{} per branch", self.unit.symbol());
        grid.legend(c, (AREA.0, GRID + height + 52.0), 360.0, &per);
        let set = SMALL.ink(INK).align(Align::Right);
        c.text((right, GRID + height + 62.0), "grey: not measured", set.ink(MUTED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn curves_grid_and_the_one_number_are_drawn() {
        let history = BranchHistory::of(&fixture::recorded()).unwrap();
        assert_eq!(history.curves.iter().map(|c| c.branches).collect::<Vec<_>>(), [1, 8, 64, 512]);
        let learnable = history.learnable.expect("declared");
        assert!((15_000.0..50_000.0).contains(&learnable), "{learnable}");
        let svg = svg(&history, TITLE);
        for text in ["512 branches", "32 K", "learned", "cycles per branch", "The grid"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(history.picture().caption.contains("single branch"));
    }

    #[test]
    fn one_curve_is_enough_and_no_curve_is_no_picture() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.quantity == "history" && p.params["branches"] == 8_u64.into());
        let history = BranchHistory::of(&Summary::of(card)).unwrap();
        assert!(history.curves.len() == 1 && !svg(&history, TITLE).contains("NaN"));
        assert!(BranchHistory::of(&fixture::empty()).is_none());
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!(
            (short(512), short(4096), short(1536)),
            ("512".into(), "4 K".into(), "1536".into())
        );
    }
}
