//! Vectors in short: what instructions cost at each width, and what the widths give to programs.

use super::sheet::{Cell, Sheet, Style};
use super::{Summary, mark};
use crate::report::view::bandwidth::LEVELS;
use crate::report::view::vectors::{
    Cost, INSTRUCTIONS, Instruction, KERNELS, WAYS, WIDTHS, scalar_pace, speed_up, widths,
};
use card::format;
use card::metrics::State;

const NAME: usize = 23;
const NUMBER: usize = 7;
const KERNEL: usize = 13;
const WAY: usize = 9;
const LEVEL: usize = 8;

pub(super) fn draw(sheet: &mut Sheet, summary: &Summary) {
    let widths = widths(&summary.metrics);
    let both = with_latency(sheet.width(), widths.len());
    let costs = costs(summary, &widths, if both { Shown::Both } else { Shown::Rate });
    let gains = gains(summary);
    if costs.is_empty() && gains.is_empty() {
        return;
    }
    sheet.heading("Vectors");
    if !costs.is_empty() {
        if both {
            let what = "Latency in cycles, throughput in operations per cycle (FMA = 2):";
            table(sheet, what, &widths, NUMBER * 2, &costs);
        } else {
            table(sheet, "Throughput, operations per cycle (FMA = 2):", &widths, NUMBER, &costs);
            let latencies = self::costs(summary, &widths, Shown::Latency);
            table(sheet, "Latency, cycles:", &widths, NUMBER, &latencies);
        }
    }
    if !gains.is_empty() {
        let what = "Speedup over scalar code with 8 accumulators, by level of the arrays; of the scalar code \
                    itself bytes per cycle, in DRAM GB/s:";
        sheet.wrapped("", what, Style::Dim);
        let mut head = vec![Cell::left("", KERNEL + WAY, Style::Dim)];
        head.extend(LEVELS.iter().map(|(_, name)| Cell::right(name, LEVEL, Style::Dim)));
        sheet.row(&head);
        gains.iter().for_each(|row| sheet.row(row));
    }
}

fn with_latency(width: usize, columns: usize) -> bool {
    // A row has a blank between its cells.
    width > NAME + columns * 2 * (NUMBER + 1)
}

/// A table with a column for each width.
fn table(sheet: &mut Sheet, what: &str, widths: &[usize], width: usize, rows: &[Vec<Cell>]) {
    sheet.wrapped("", what, Style::Dim);
    let mut head = vec![Cell::left("", NAME, Style::Dim)];
    head.extend(widths.iter().map(|&i| Cell::right(WIDTHS[i].1, width, Style::Dim)));
    sheet.row(&head);
    rows.iter().for_each(|row| sheet.row(row));
}

/// What a line says of an instruction.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Latency,
    Rate,
    Both,
}

/// A line for each instruction that was measured.
fn costs(summary: &Summary, widths: &[usize], shown: Shown) -> Vec<Vec<Cell>> {
    let line = |instruction: &Instruction| {
        let costs: Vec<Cost<'_>> =
            widths.iter().map(|&width| instruction.cost(&summary.metrics, width)).collect();
        let has = |c: &Cost<'_>| {
            (shown != Shown::Latency && c.operations().is_some())
                || (shown != Shown::Rate && c.latency.is_some())
        };
        let any = costs.iter().any(has);
        let mut cells = vec![Cell::left(instruction.name, NAME, Style::Plain)];
        for cost in costs {
            let latency = cost.latency.and_then(|v| v.value).map(format::number);
            if shown != Shown::Rate {
                let width = if shown == Shown::Both { NUMBER - 1 } else { NUMBER };
                cells.push(Cell::right(&latency.unwrap_or_default(), width, Style::Plain));
            }
            if shown == Shown::Latency {
                continue;
            }
            let rate = cost.text().unwrap_or_default();
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

/// A line for each kernel and width, below that of scalar code.
fn gains(summary: &Summary) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (kernel, name) in KERNELS {
        let gains = WAYS.map(|(way, width)| {
            (width, "×", LEVELS.map(|(level, _)| speed_up(&summary.metrics, kernel, way, level)))
        });
        let pace = LEVELS.map(|(level, _)| scalar_pace(&summary.metrics, kernel, level));
        for (width, unit, values) in [("scalar", "", pace)].into_iter().chain(gains) {
            if values.iter().all(Option::is_none) {
                continue;
            }
            let mut cells = vec![
                Cell::left(name, KERNEL, Style::Plain),
                Cell::left(width, WAY - 1, Style::Plain),
            ];
            for value in values {
                let text = value.map(format::bare);
                let (mark, style) = match value {
                    Some(value) if value.state != State::Ok => mark(value),
                    _ => ("", Style::Bold),
                };
                let text = text.map(|t| format!("{mark}{t}{unit}")).unwrap_or_default();
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
    use card::fixture;

    #[test]
    fn an_arm_card_has_no_columns_of_x86() {
        let text = card(&fixture::neon(), 100, false);
        for part in ["128 bit", "FMA f32", "NEON sum"] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        for part in ["256 bit", "512 bit", "AVX", "SSE", "SVE"] {
            assert!(!text.contains(part), "{part} in\n{text}");
        }
        let text = card(&fixture::sve(), 100, false);
        for part in ["128 bit", "SVE sum", "simd.sve_vector_bytes"] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        // 32 bytes are eight numbers, and two additions of them a cycle.
        let row = text.lines().find(|l| l.trim_start().starts_with("add f32")).unwrap();
        let rate: f64 = row.split_whitespace().last().unwrap().parse().unwrap();
        assert!((rate / 16.0 - 1.0).abs() < 0.01, "{row}");
    }

    #[test]
    fn instructions_and_kernels_are_tables_and_have_no_lines_of_their_own() {
        let text = card(&fixture::recorded(), 100, false);
        for part in ["FMA f32", "byte search", "256 bit", "Speedup over"] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        assert!(!text.contains("simd.add.f32.avx.latency_cycles"), "{text}");
        assert!(text.contains("simd.peak.f32_gflops"), "{text}");
    }

    #[test]
    fn a_narrow_sheet_has_the_latencies_in_a_table_of_their_own() {
        let text = card(&fixture::recorded(), 80, false);
        let (_, latencies) = text.split_once("Latency, cycles:").unwrap();
        let row = latencies.lines().find(|l| l.contains("FMA f32")).unwrap();
        let cycles = row.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        assert_eq!(cycles.filter(|cycles| (3.9..4.1).contains(cycles)).count(), 4, "{row}");
        assert!(!card(&fixture::recorded(), 120, false).contains("Latency, cycles:"));
    }

    #[test]
    fn tables_fit_the_narrowest_sheet() {
        for width in [60, 80, 100, 160] {
            for line in card(&fixture::recorded(), width, false).lines() {
                assert!(sheet::columns(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn without_vectors_there_is_no_section() {
        assert!(!card(&fixture::empty(), 80, false).contains("Vectors"));
    }
}
