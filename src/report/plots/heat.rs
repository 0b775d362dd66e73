//! A matrix as coloured cells, from two rows to hundreds: numbers in the cells where they fit,
//! medians of blocks where the cells would be too small to see.

use std::collections::{BTreeMap, BTreeSet};

use super::canvas::{Sheet, Spot, fit, text_width, widest, wrap};
use super::chart::Place;
use super::scale::{one_two_five, round_ticks};
use super::theme::{Align, BODY, GRID, HEAT, INK, Ink, MUTED, PAPER, SHIFT, SMALL, on_heat};
use card::declare::{Better, Unit};
use card::estimate::{middle, quantile};
use card::format;
use card::series::Setting;

/// Cells from this size on are separated by thin lines.
const SEPARATE: f64 = 9.0;
/// Higher cells have larger numbers.
const LARGE: f64 = 60.0;
/// The largest cell, and the largest matrix.
const CELL: f64 = 110.0;
const SIDE: f64 = 440.0;
/// Where the colours of factors meet.
pub const FACTORS: [f64; 6] = [0.5, 0.67, 0.9, 1.1, 1.5, 2.0];
/// Between groups, wider than between cells.
const BORDER: f64 = 2.4;
/// Groups that are narrower are not marked.
const NARROWEST_GROUP: f64 = 12.0;

/// The matrix.
pub(super) struct Heat {
    rows: Vec<String>,
    columns: Vec<String>,
    /// Row by row; `None`: not measured.
    cells: Vec<Vec<Option<f64>>>,
    /// Where one colour ends and the next begins.
    borders: Vec<f64>,
    colors: &'static [Ink],
    unit: Unit,
    /// Rows and columns that make one of a cell.
    block: usize,
    /// Above the matrix, where a picture has several.
    title: String,
    row_title: String,
    column_title: String,
    /// Where another group of rows and columns begins, as shares of the whole.
    pub(super) groups: Vec<f64>,
    /// What stands beside the matrix: headings, each with its lines.
    pub(super) aside: Vec<(String, Vec<String>)>,
}

impl Heat {
    /// More cells than this in a row cannot be told apart, and would make the page heavy.
    pub(super) const MOST: usize = 128;

    /// No matrix of a machine has more rows: its cells would take the memory of the reader.
    pub(super) const LARGEST: usize = 4096;

    /// `None` without a single value.
    pub(super) fn new(
        rows: Vec<String>,
        columns: Vec<String>,
        cells: Vec<Vec<Option<f64>>>,
        unit: Unit,
    ) -> Option<Heat> {
        let block = rows.len().max(columns.len()).div_ceil(Heat::MOST).max(1);
        Heat::in_blocks(rows, columns, &cells, unit, block)
    }

    /// With so many rows and columns as one cell, where most of a matrix was not measured.
    pub(super) fn in_blocks(
        rows: Vec<String>,
        columns: Vec<String>,
        cells: &[Vec<Option<f64>>],
        unit: Unit,
        block: usize,
    ) -> Option<Heat> {
        let cells = blocks(cells, block);
        let values: Vec<f64> = cells.iter().flatten().flatten().copied().collect();
        let first = |labels: Vec<String>| labels.into_iter().step_by(block).collect();
        Some(Heat {
            borders: borders(&values)?,
            colors: &HEAT,
            rows: first(rows),
            columns: first(columns),
            cells,
            unit,
            block,
            title: String::new(),
            row_title: String::new(),
            column_title: String::new(),
            groups: Vec::new(),
            aside: Vec::new(),
        })
    }

    /// Settings by two of their parameters, of which the first counts the rows. `None` without a
    /// single value, or of a larger matrix than a machine has.
    pub(super) fn over(
        settings: &[Setting],
        (row, column): (&str, &str),
        value: impl Fn(&Setting) -> Option<f64>,
        unit: Unit,
    ) -> Option<Heat> {
        let (rows, columns) = (values_of(settings, row), values_of(settings, column));
        (rows.len().max(columns.len()) <= Heat::LARGEST).then_some(())?;
        let at = |s: &Setting| Some((s.int(row)?, s.int(column)?));
        let by_place: BTreeMap<(i64, i64), &Setting> =
            settings.iter().rev().filter_map(|s| Some((at(s)?, s))).collect();
        let cell = |row: i64, column: i64| by_place.get(&(row, column)).and_then(|s| value(s));
        let cells = rows.iter().map(|r| columns.iter().map(|c| cell(*r, *c)).collect()).collect();
        let names = |values: Vec<i64>| values.iter().map(i64::to_string).collect();
        Heat::new(names(rows), names(columns), cells, unit)
    }

    /// With what it is of, and what its rows and columns are.
    pub(super) fn titled(self, title: &str, row: &str, column: &str) -> Heat {
        let [title, row_title, column_title] = [title, row, column].map(str::to_owned);
        Heat { title, row_title, column_title, ..self }
    }

    /// The same cells as factors: below 1 in one colour, above it in another.
    pub(super) fn of_factors(self) -> Heat {
        Heat { borders: FACTORS.to_vec(), colors: &SHIFT, ..self }
    }

    /// Two matrices whose colours mean the same.
    pub(super) fn on_one_scale(mut self, mut other: Heat) -> [Heat; 2] {
        let values = [&self, &other].into_iter().flat_map(|heat| heat.cells.iter().flatten());
        let values: Vec<f64> = values.flatten().copied().collect();
        if let Some(borders) = borders(&values) {
            self.borders.clone_from(&borders);
            other.borders = borders;
        }
        [self, other]
    }

    /// How many rows and columns make one cell.
    pub(super) fn block(&self) -> usize {
        self.block
    }

    /// Which colour a value has.
    fn step(&self, value: f64) -> usize {
        let below = self.borders.iter().filter(|border| value >= **border).count();
        self.color(below)
    }

    /// Few steps are spread over the whole palette.
    fn color(&self, i: usize) -> usize {
        match self.borders.len() {
            0 => 2,
            n => i * (self.colors.len() - 1) / n,
        }
    }

    /// Places of the borders between columns, from 0 to 1; the same for rows.
    fn places(count: usize) -> impl Fn(usize) -> f64 {
        move |i| i as f64 / count as f64
    }

    /// Draws title, cells, labels and legend.
    pub(super) fn draw(&self, s: &mut Sheet, place: Place) -> f64 {
        let mut top = place.top;
        if !self.title.is_empty() {
            s.text((place.left, top + 14.0), &self.title, BODY.bold());
            top += 26.0;
        }
        s.text((place.left, top + 11.0), &self.row_title, SMALL);
        top += 22.0;
        let labels = widest(self.rows.iter().map(String::as_str), SMALL) + 10.0;
        let left = place.left + labels;
        let count = self.rows.len().max(self.columns.len()) as f64;
        let room = (place.right() - left).min(SIDE);
        let cell = (room / count).min(CELL);
        let size = (cell * self.columns.len() as f64, cell * self.rows.len() as f64);
        self.draw_cells(s, (left, top), size);
        let bottom = top + size.1;
        // A narrow matrix has its title at the left, where there is room for it.
        let end = (left + size.0).max(left + text_width(&self.column_title, SMALL));
        s.text((end, bottom + 38.0), &self.column_title, SMALL.align(Align::Right));
        let mut below = bottom + 44.0;
        // The numbers in the cells of a small matrix say all.
        if self.rows.len() > 2 {
            self.legend(s, (left, below + 10.0), (room - 60.0).min(320.0));
            below += 44.0;
        }
        let beside = place.right() - end > 180.0;
        let (x, mut y) = if beside { (end + 40.0, top + 12.0) } else { (place.left, below + 18.0) };
        let width = place.right() - x;
        for (head, lines) in &self.aside {
            s.text((x, y), &fit(head, width, BODY.bold()), BODY.bold());
            for line in lines.iter().flat_map(|line| wrap(line, width, 2, SMALL)) {
                y += 17.0;
                s.text((x, y), &line, SMALL);
            }
            y += 30.0;
        }
        if self.aside.is_empty() { below } else { below.max(y - 26.0) }
    }

    fn draw_cells(&self, s: &mut Sheet, (left, top): Spot, (width, height): Spot) {
        let (across, down) = (Heat::places(self.columns.len()), Heat::places(self.rows.len()));
        let x = |i: usize| left + width * across(i);
        let y = |i: usize| top + height * down(i);
        let size = (x(1) - left, y(1) - top);
        let gap = if size.0.min(size.1) >= SEPARATE { 0.5 } else { 0.0 };
        for (row, cells) in self.cells.iter().enumerate() {
            for (from, to, step) in self.runs(cells, gap > 0.0) {
                let ink = step.map_or(GRID, |step| self.colors[step]);
                let (upper, lower) =
                    ((x(from) + gap, y(row) + gap), (x(to) - gap, y(row + 1) - gap));
                s.rect(upper, lower, ink);
            }
        }
        let lines = self.groups.iter().map(|share| (left + width * share, top + height * share));
        // Where there are too many groups, lines would be all that is seen.
        if width / (self.groups.len() + 1) as f64 >= NARROWEST_GROUP {
            for (x, y) in lines {
                s.line((x, top), (x, top + height), BORDER, PAPER);
                s.line((left, y), (left + width, y), BORDER, PAPER);
            }
        }
        self.numbers(s, &x, &y, size);
        let set = SMALL.align(Align::Center);
        let widest = widest(self.columns.iter().map(String::as_str), set);
        for i in every(self.columns.len(), (widest + 8.0) / size.0) {
            s.text(((x(i) + x(i + 1)) / 2.0, top + height + 18.0), &self.columns[i], set);
        }
        for i in every(self.rows.len(), 16.0 / size.1) {
            let middle = (y(i) + y(i + 1)) / 2.0 + 4.5;
            s.text((left - 8.0, middle), &self.rows[i], SMALL.align(Align::Right));
        }
    }

    /// Neighbours of one colour as one rectangle: from, to, step. Each for itself if `separate`.
    fn runs(&self, cells: &[Option<f64>], separate: bool) -> Vec<(usize, usize, Option<usize>)> {
        let mut runs: Vec<(usize, usize, Option<usize>)> = Vec::new();
        for (i, cell) in cells.iter().enumerate() {
            let step = cell.map(|value| self.step(value));
            match runs.last_mut() {
                Some(run) if run.2 == step && !separate => run.1 = i + 1,
                _ => runs.push((i, i + 1, step)),
            }
        }
        runs
    }

    /// The values, where the cells have room for all of them.
    fn numbers(
        &self,
        s: &mut Sheet,
        x: &impl Fn(usize) -> f64,
        y: &impl Fn(usize) -> f64,
        size: Spot,
    ) {
        let base = if size.1 >= LARGE { SMALL.size(16.0).bold() } else { SMALL };
        let set = base.align(Align::Center);
        let text = |cell: Option<f64>| cell.map_or_else(|| "–".to_owned(), format::number);
        let all = self.cells.iter().flatten();
        let widest = all.map(|cell| text_width(&text(*cell), set)).fold(0.0, f64::max);
        if widest + 6.0 > size.0 || set.size + 5.0 > size.1 {
            return;
        }
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let ink = cell.map_or(MUTED, |value| self.ink_on(self.step(value)));
                let middle = (y(row) + y(row + 1)) / 2.0 + 0.36 * set.size;
                s.text(((x(column) + x(column + 1)) / 2.0, middle), &text(*cell), set.ink(ink));
            }
        }
    }

    /// What can be read on a colour.
    fn ink_on(&self, step: usize) -> Ink {
        if self.colors.len() == HEAT.len() { on_heat(step) } else { INK }
    }

    /// The colours in a strip with the values at their borders.
    fn legend(&self, s: &mut Sheet, (left, top): Spot, width: f64) {
        let steps = self.borders.len() + 1;
        let at = |i: usize| left + width * i as f64 / steps as f64;
        for i in 0..steps {
            s.rect((at(i), top), (at(i + 1), top + 12.0), self.colors[self.color(i)]);
        }
        let labels: Vec<String> = self.borders.iter().map(|b| format::plain(*b)).collect();
        let room = width / steps as f64;
        let widest = widest(labels.iter().map(String::as_str), SMALL) + 6.0;
        for i in every(labels.len(), widest / room) {
            s.text((at(i + 1), top + 28.0), &labels[i], SMALL.align(Align::Center));
        }
        s.text((left + width + 8.0, top + 11.0), self.unit.symbol(), SMALL.ink(INK));
    }
}

/// The values of a parameter, in ascending order.
fn values_of(settings: &[Setting], name: &str) -> Vec<i64> {
    let all: BTreeSet<i64> = settings.iter().filter_map(|s| s.int(name)).collect();
    all.into_iter().collect()
}

/// Every n-th of `count`, with n the smallest of the usual steps that is at least `least`.
fn every(count: usize, least: f64) -> impl Iterator<Item = usize> {
    let steps = [1, 2, 4, 8, 16, 32, 64, 128];
    let step = steps.into_iter().find(|s| *s as f64 >= least).unwrap_or(count.max(1));
    (0..count).step_by(step)
}

/// Medians of square blocks.
fn blocks(cells: &[Vec<Option<f64>>], block: usize) -> Vec<Vec<Option<f64>>> {
    if block == 1 {
        return cells.to_vec();
    }
    let row = |rows: &[Vec<Option<f64>>]| {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |from: usize| {
            let values = rows.iter().flat_map(|r| r.iter().skip(from).take(block)).flatten();
            middle(&values.copied().collect::<Vec<f64>>(), Better::Lower)
        };
        (0..columns).step_by(block).map(cell).collect()
    };
    cells.chunks(block).map(row).collect()
}

/// Values within this of a border are as good as on it.
const NEAR: f64 = 0.05;
/// A border with so many times more values on it than an even spread would put there draws their
/// noise.
const CROWD: f64 = 2.5;

/// Round values that divide the range into at most as many parts as there are colours; a few
/// outliers do not stretch it, and none goes through a crowd of like values. `None` without values.
fn borders(values: &[f64]) -> Option<Vec<f64>> {
    let (low, high) = (quantile(values, 0.02)?, quantile(values, 0.98)?);
    // Differences of a twentieth are no pattern.
    if high <= low * (1.0 + NEAR) {
        return Some(Vec::new());
    }
    let even = 2.0 * NEAR / (high / low.max(high * 1e-3)).ln();
    let crowded = |border: f64| {
        let near = values.iter().filter(|v| (**v / border - 1.0).abs() < NEAR).count();
        near as f64 > CROWD * even * values.len() as f64
    };
    let most = HEAT.len() - 1;
    let inside = |ticks: Vec<f64>| -> Vec<f64> {
        let between = |t: &f64| *t > low * 1.001 && *t < high * 0.999;
        ticks.into_iter().filter(between).filter(|t| !crowded(*t)).collect()
    };
    let log = inside(if low > 0.0 { log_steps(low, high) } else { Vec::new() });
    if high > 8.0 * low && (3..=most).contains(&log.len()) {
        return Some(log);
    }
    // The finest round ones that there are colours for.
    let linear = (1..=14).rev().map(|count| inside(round_ticks(low, high, f64::from(count))));
    linear.into_iter().find(|ticks| ticks.len() <= most)
}

/// 1, 1.5, 2, 3, 5, 7, 10, 15, … within a decade and a half, beyond that only powers of ten in
/// three steps.
fn log_steps(low: f64, high: f64) -> Vec<f64> {
    if high > 30.0 * low {
        return one_two_five(low, high);
    }
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    decades.flat_map(|e| [1.0, 1.5, 2.0, 3.0, 5.0, 7.0].map(|m| m * 10f64.powi(e))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize) -> Vec<String> {
        (0..count).map(|i| i.to_string()).collect()
    }

    /// CPUs in groups of eight: near within the group, far outside.
    fn cores(count: usize) -> Heat {
        let cell =
            |a: usize, b: usize| (a != b).then_some(if a / 8 == b / 8 { 20.0 } else { 110.0 });
        let cells = (0..count).map(|a| (0..count).map(|b| cell(a, b)).collect()).collect();
        Heat::new(labels(count), labels(count), cells, Unit::Ns).unwrap()
    }

    fn svg(heat: &Heat) -> String {
        let mut sheet = Sheet::new(360.0, 0.0);
        let place = Place { left: 10.0, top: 0.0, width: 500.0, narrow: false };
        sheet.height = heat.draw(&mut sheet, place);
        sheet.svg("", "")
    }

    #[test]
    fn from_two_to_hundreds_of_rows_are_drawn() {
        let two = svg(&cores(2));
        assert!(two.contains("–"), "the diagonal is not measured");
        for (count, block) in [(2, 1), (16, 1), (128, 1), (192, 2), (512, 4)] {
            let heat = cores(count);
            assert_eq!((heat.block(), heat.rows.len()), (block, count / block));
            let drawn = svg(&heat);
            assert!(drawn.len() < 200_000 && !drawn.contains("NaN"), "{count}: {}", drawn.len());
        }
    }

    #[test]
    fn numbers_stand_in_cells_that_have_room() {
        let has = |count: usize| svg(&cores(count)).contains("\n110\n");
        assert!(has(9) && !has(64));
    }

    #[test]
    fn blocks_are_medians_of_what_was_measured() {
        let cells = vec![
            vec![Some(1.0), Some(2.0), None],
            vec![Some(3.0), None, None],
            vec![Some(9.0), Some(9.0), Some(5.0)],
        ];
        assert_eq!(blocks(&cells, 2), [[Some(2.0), None], [Some(9.0), Some(5.0)]]);
    }

    #[test]
    fn borders_are_round_and_outliers_do_not_stretch_them() {
        let mut values: Vec<f64> = (0..100).map(|i| 5.0 + f64::from(i) / 10.0).collect();
        let plain = borders(&values).unwrap();
        values.push(9000.0);
        assert_eq!(borders(&values).unwrap(), plain);
        assert!(plain.len() >= 3 && plain.len() < HEAT.len(), "{plain:?}");
        assert_eq!(borders(&[7.0, 7.01]), Some(Vec::new()));
        // Half of the values scatter around 1, as many around 20: no border lies there.
        let around = |middle: f64| (0..50).map(move |i| middle * (0.98 + 0.0008 * f64::from(i)));
        let two = borders(&around(1.0).chain(around(20.0)).collect::<Vec<f64>>()).unwrap();
        assert!(two.len() > 2 && !two.contains(&1.0) && !two.contains(&20.0), "{two:?}");
        assert_eq!(borders(&[]), None);
        assert!(borders(&[1.0, 3.0, 40.0, 800.0]).unwrap().len() < HEAT.len());
        assert!(borders(&[10.0, 30.0, 40.0, 280.0]).unwrap().contains(&100.0));
    }

    #[test]
    fn steps_rise_with_the_value_over_the_whole_palette() {
        let heat = cores(16);
        assert_eq!(heat.step(0.0), 0);
        assert_eq!(heat.step(1e9), HEAT.len() - 1);
        let steps: Vec<usize> = (0..130).map(|v| heat.step(f64::from(v))).collect();
        assert!(steps.windows(2).all(|w| w[0] <= w[1]));
    }
}
