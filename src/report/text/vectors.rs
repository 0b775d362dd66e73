//! Vectors in short: what instructions cost at each width, and what the widths give to programs.

use super::sheet::{Cell, Sheet, Style};
use super::{Summary, mark};
use crate::metrics::State;
use crate::report::bandwidth::LEVELS;
use crate::report::format;
use crate::report::vectors::{Cost, INSTRUCTIONS, Instruction, KERNELS, WAYS, WIDTHS, speed_up};

const NAME: usize = 23;
const NUMBER: usize = 7;
const KERNEL: usize = 13;
const WAY: usize = 9;
const LEVEL: usize = 8;

pub(super) fn draw(sheet: &mut Sheet, summary: &Summary) {
    let costs = costs(summary, sheet.width());
    let gains = gains(summary);
    if costs.is_empty() && gains.is_empty() {
        return;
    }
    sheet.heading("Vectors");
    if !costs.is_empty() {
        let what = "Operations completed in a core cycle, and where there is room before them the \
                    cycles from result to result; a multiply-add counts two.";
        sheet.wrapped("", what, Style::Dim);
        let both = with_latency(sheet.width());
        let width = if both { NUMBER } else { 0 } + NUMBER;
        let mut head = vec![Cell::left("", NAME, Style::Dim)];
        head.extend(WIDTHS.iter().map(|(_, name, _)| Cell::right(name, width, Style::Dim)));
        sheet.row(&head);
        costs.iter().for_each(|row| sheet.row(row));
    }
    if !gains.is_empty() {
        let what = "Speed against honest scalar code, by where the arrays are:";
        sheet.wrapped("", what, Style::Dim);
        let mut head = vec![Cell::left("", KERNEL + WAY, Style::Dim)];
        head.extend(LEVELS.iter().map(|(_, name)| Cell::right(name, LEVEL, Style::Dim)));
        sheet.row(&head);
        gains.iter().for_each(|row| sheet.row(row));
    }
}

fn with_latency(width: usize) -> bool {
    // A row has a blank between its cells.
    width > NAME + WIDTHS.len() * 2 * (NUMBER + 1)
}

/// A line for each instruction that was measured.
fn costs(summary: &Summary, width: usize) -> Vec<Vec<Cell>> {
    let both = with_latency(width);
    let line = |instruction: &Instruction| {
        let costs = [0, 1, 2, 3].map(|width| instruction.cost(&summary.metrics, width));
        let shown = |c: &Cost<'_>| c.operations().is_some() || (both && c.latency.is_some());
        let any = costs.iter().any(shown);
        let mut cells = vec![Cell::left(instruction.name, NAME, Style::Plain)];
        for cost in costs {
            let latency = cost.latency.and_then(|v| v.value).map(format::number);
            if both {
                let text = latency.unwrap_or_default();
                cells.push(Cell::right(&text, NUMBER - 1, Style::Plain));
            }
            let rate = cost.operations().map(format::number).unwrap_or_default();
            let (text, style) = match cost.steady() {
                true => (rate, Style::Bold),
                false => (format!("~{rate}"), Style::Yellow),
            };
            cells.push(Cell::right(&text, NUMBER, style));
        }
        any.then_some(cells)
    };
    INSTRUCTIONS.iter().filter_map(line).collect()
}

/// A line for each kernel and width.
fn gains(summary: &Summary) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (kernel, name) in KERNELS {
        for (way, width) in WAYS {
            let values = LEVELS.map(|(level, _)| speed_up(&summary.metrics, kernel, way, level));
            if values.iter().all(Option::is_none) {
                continue;
            }
            let mut cells = vec![
                Cell::left(name, KERNEL, Style::Plain),
                Cell::left(width, WAY - 1, Style::Plain),
            ];
            for value in values {
                let text = value.and_then(|v| v.value).map(format::number);
                let (mark, style) = match value.map(|v| v.state) {
                    Some(State::Ok) | None => ("", Style::Bold),
                    Some(state) => mark(state),
                };
                let text = text.map(|t| format!("{mark}{t}×")).unwrap_or_default();
                cells.push(Cell::right(&text, LEVEL - 1, style));
            }
            rows.push(cells);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::{card, sheet};
    use crate::report::fixture;

    #[test]
    fn instructions_and_kernels_are_tables_and_have_no_lines_of_their_own() {
        let text = card(&fixture::vectors(), 100, false);
        for part in ["multiply-add f32", "byte search", "256 bit", "Speed against"] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        assert!(!text.contains("simd.add.f32.avx.latency_cycles"), "{text}");
        assert!(text.contains("simd.peak.f32_gflops"), "{text}");
    }

    #[test]
    fn tables_fit_the_narrowest_sheet() {
        for width in [60, 80, 100, 160] {
            for line in card(&fixture::vectors(), width, false).lines() {
                assert!(sheet::columns(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn without_vectors_there_is_no_section() {
        assert!(!card(&fixture::empty(), 80, false).contains("Vectors"));
    }
}
