//! The order and the layout of data: rows and columns, structs of arrays, packed records.

use std::cell::Cell;
use std::hint::black_box;

use super::{Plan, beyond, fits, interleave, memory_plan, plan, ratio, times, way};
use crate::harness::bench::Bench;
use crate::kernel::begin_line;
use card::declare::{Declare, NoiseClass};

pub(super) fn declare(d: &mut Declare) {
    let matrix = times(d, "matrix");
    let field = times(d, "field");
    let record = times(d, "packed");
    ratio(
        d,
        COLUMNS,
        NoiseClass::T3,
        (&matrix, "columns", "rows"),
        "column-order ÷ row-order traversal of a matrix in DRAM",
    );
    ratio(
        d,
        STRUCTS,
        NoiseClass::T3,
        (&field, "structs", "arrays"),
        "array of 64-byte structs ÷ struct of arrays, one 8-byte field read",
    );
    let [packed, padded] = IN_CACHE;
    ratio(
        d,
        "idioms.packed_ratio",
        NoiseClass::T2,
        (&record, packed, padded),
        "9-byte packed ÷ 16-byte aligned structs, in cache",
    );
    let [packed, padded] = IN_MEMORY;
    ratio(
        d,
        PACKED_DRAM,
        NoiseClass::T3,
        (&record, packed, padded),
        "9-byte packed ÷ 16-byte aligned structs, in DRAM",
    );
}

/// What needs data beyond the caches.
const COLUMNS: &str = "idioms.column_order_ratio";
const STRUCTS: &str = "idioms.array_of_structs_ratio";
const PACKED_DRAM: &str = "idioms.packed_dram_ratio";

/// Packed and padded records, few and many.
const IN_CACHE: [&str; 2] = ["packed", "padded"];
const IN_MEMORY: [&str; 2] = ["packed_dram", "padded_dram"];

/// The least that is beyond any L2, where that is the last cache.
const LEAST: u64 = 16 << 20;

/// Small records: in L1 with 16 bytes each.
const FEW: usize = 1 << 10;

/// Rows and columns of a matrix of 32-bit numbers with so many bytes. A row is an odd number of
/// lines: with a power of two a column would fall into one set of the caches, which is another
/// matter.
fn side(bytes: u64) -> usize {
    let lines = (bytes / 4).isqrt() / 16;
    16 * ((lines + 1) | 1) as usize
}

/// So many items of some bytes take so many bytes in all, in whole blocks.
fn count(bytes: u64, each: usize) -> usize {
    (bytes as usize / each).next_multiple_of(BLOCK)
}

/// Of the round, each pair.
const SHARE: f64 = 0.06;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    packed(bench, FEW, IN_CACHE)?;
    let bytes = beyond(bench.machine).max(LEAST);
    if let Err(skip) = fits(bench.machine, bench.tier, bytes, memory(bytes)) {
        return bench.skip(skip.of([COLUMNS, STRUCTS, PACKED_DRAM]));
    }
    matrix(bench, side(bytes))?;
    field(bench, count(bytes, size_of::<Whole>()))?;
    packed(bench, count(bytes, size_of::<Packed>()), IN_MEMORY)
}

/// What the larger pair of data takes: that of small records, each of the smaller with so many
/// bytes.
fn memory(bytes: u64) -> u64 {
    (count(bytes, size_of::<Packed>()) * (size_of::<Packed>() + size_of::<Padded>())) as u64
}

/// Which row or column is next, and whether all sums so far were right.
struct Lines {
    side: usize,
    next: usize,
    right: bool,
}

impl Lines {
    fn of(side: usize) -> Lines {
        Lines { side, next: 0, right: true }
    }

    fn walk(&mut self, ops: u64, sum: impl Fn(usize) -> u32, expected: impl Fn(usize) -> u32) {
        for _ in 0..ops / self.side as u64 {
            self.right &= sum(self.next) == expected(self.next);
            self.next = (self.next + 1) % self.side;
        }
    }
}

#[inline(never)]
fn row_sum(matrix: &[u32], side: usize, row: usize) -> u32 {
    begin_line();
    matrix[row * side..][..side].iter().fold(0, |sum, value| sum.wrapping_add(*value))
}

#[inline(never)]
fn column_sum(matrix: &[u32], side: usize, column: usize) -> u32 {
    begin_line();
    let values = matrix[column..].iter().step_by(side);
    values.fold(0, |sum, value| sum.wrapping_add(*value))
}

/// The value at a place is 3 times its row and 5 times its column.
fn line_sum(side: usize, fixed: usize, own: u32, other: u32) -> u32 {
    let side = side as u32;
    own * fixed as u32 * side + other * (side * (side - 1) / 2)
}

fn filled(side: usize) -> Vec<u32> {
    let line = |row: u32| (0..side as u32).map(move |column| 3 * row + 5 * column);
    let mut matrix = Vec::with_capacity(side * side);
    (0..side as u32).for_each(|row| matrix.extend(line(row)));
    matrix
}

fn matrix(bench: &mut Bench<'_>, side: usize) -> anyhow::Result<()> {
    let matrix = black_box(filled(side));
    let mut rows = Lines::of(side);
    let mut columns = Lines::of(side);
    let arms = vec![
        way("matrix", "rows", |ops| {
            rows.walk(ops, |row| row_sum(&matrix, side, row), |row| line_sum(side, row, 3, 5));
        })
        .in_blocks_of(side as u64),
        way("matrix", "columns", |ops| {
            columns.walk(ops, |at| column_sum(&matrix, side, at), |at| line_sum(side, at, 5, 3));
        })
        .in_blocks_of(side as u64),
    ];
    let plan = memory_plan(bench, SHARE);
    interleave(bench, arms, plan)?;
    bench.check(rows.right && columns.right, || "rows or columns were added up wrongly".into())
}

/// Goes round through `count` items in blocks, and checks the sum of each.
struct Walk {
    next: usize,
    right: bool,
}

/// Items of a block.
const BLOCK: usize = 1 << 10;

impl Walk {
    /// The items hold their own numbers.
    fn through(&mut self, count: usize, ops: u64, sum: impl Fn(std::ops::Range<usize>) -> u64) {
        for _ in 0..ops / BLOCK as u64 {
            let (from, to) = (self.next, self.next + BLOCK);
            self.right &= sum(from..to) == (from + to - 1) as u64 * BLOCK as u64 / 2;
            self.next = to % count;
        }
    }
}

/// A record of which one field is wanted.
#[derive(Clone)]
#[repr(C)]
struct Whole {
    wanted: u64,
    others: [u64; 7],
}

#[inline(never)]
fn sum_of_structs(all: &[Whole]) -> u64 {
    begin_line();
    all.iter().fold(0, |sum, record| sum.wrapping_add(record.wanted))
}

#[inline(never)]
fn sum_of_array(all: &[u64]) -> u64 {
    begin_line();
    all.iter().fold(0, |sum, wanted| sum.wrapping_add(*wanted))
}

fn field(bench: &mut Bench<'_>, records: usize) -> anyhow::Result<()> {
    let whole = |number| Whole { wanted: number, others: [number; 7] };
    let structs: Vec<Whole> = black_box((0..records as u64).map(whole).collect());
    let array: Vec<u64> = black_box((0..records as u64).collect());
    let plan = memory_plan(bench, SHARE);
    compare(
        bench,
        ("field", records, plan),
        ("structs", &|range| sum_of_structs(&structs[range])),
        ("arrays", &|range| sum_of_array(&array[range])),
    )
}

/// A flag and a number without room in between: the number lies across lines now and then.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Packed {
    flag: u8,
    number: u64,
}

/// The same with the number where the hardware likes it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Padded {
    flag: u8,
    number: u64,
}

#[inline(never)]
fn sum_of_packed(all: &[Packed]) -> u64 {
    begin_line();
    all.iter().fold(0, |sum, item| sum.wrapping_add(item.number ^ u64::from(item.flag)))
}

#[inline(never)]
fn sum_of_padded(all: &[Padded]) -> u64 {
    begin_line();
    all.iter().fold(0, |sum, item| sum.wrapping_add(item.number ^ u64::from(item.flag)))
}

fn packed(bench: &mut Bench<'_>, count: usize, [packed, padded]: [&str; 2]) -> anyhow::Result<()> {
    let all = || 0..count as u64;
    let small: Vec<Packed> = black_box(all().map(|number| Packed { flag: 0, number }).collect());
    let large: Vec<Padded> = black_box(all().map(|number| Padded { flag: 0, number }).collect());
    let plan = if count == FEW { plan(bench, SHARE) } else { memory_plan(bench, SHARE) };
    compare(
        bench,
        ("packed", count, plan),
        (packed, &|range| sum_of_packed(&small[range])),
        (padded, &|range| sum_of_padded(&large[range])),
    )
}

/// Its name, and the sum of a range of items.
type Way<'a> = (&'a str, &'a dyn Fn(std::ops::Range<usize>) -> u64);

/// Adds up the numbers of so many items in two ways.
fn compare(
    bench: &mut Bench<'_>,
    (quantity, count, plan): (&'static str, usize, Plan),
    first: Way<'_>,
    second: Way<'_>,
) -> anyhow::Result<()> {
    let walks = [first, second].map(|way| (way, Cell::new(0), Cell::new(true)));
    let arms = walks.iter().map(|((how, sum), next, right)| {
        let work = move |ops| {
            let mut walk = Walk { next: next.get(), right: right.get() };
            walk.through(count, ops, sum);
            next.set(walk.next);
            right.set(walk.right);
        };
        way(quantity, how, work).in_blocks_of(BLOCK as u64)
    });
    let arms = arms.collect();
    interleave(bench, arms, plan)?;
    let right = walks.iter().all(|walk| walk.2.get());
    bench.check(right, || "the fields of records were added up wrongly".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_add_up() {
        let side = 272;
        let matrix = filled(side);
        for line in [0, 1, 77, side - 1] {
            assert_eq!(row_sum(&matrix, side, line), line_sum(side, line, 3, 5));
            assert_eq!(column_sum(&matrix, side, line), line_sum(side, line, 5, 3));
        }
        let sum = |row: usize| row_sum(&matrix, side, row);
        let expected = |row: usize| line_sum(side, row, 3, 5);
        let mut lines = Lines { next: side - 1, ..Lines::of(side) };
        lines.walk(2 * side as u64, sum, expected);
        assert!(lines.right && lines.next == 1);
        lines.walk(side as u64, |row| sum(row) + 1, expected);
        assert!(!lines.right);
    }

    #[test]
    fn a_walk_goes_round_and_checks_every_block() {
        assert!(FEW.is_multiple_of(BLOCK));
        let numbers: Vec<u64> = (0..3 * BLOCK as u64).collect();
        let mut walk = Walk { next: 0, right: true };
        walk.through(numbers.len(), 4 * BLOCK as u64, |range| sum_of_array(&numbers[range]));
        assert!(walk.right && walk.next == BLOCK);
        walk.through(numbers.len(), BLOCK as u64, |_| 1);
        assert!(!walk.right);
    }

    #[test]
    fn records_have_the_sizes_that_are_said() {
        assert_eq!(size_of::<Whole>(), 64);
        assert_eq!((size_of::<Packed>(), size_of::<Padded>()), (9, 16));
        for bytes in [LEAST, 30 << 20, 64 << 20, 1 << 30] {
            let side = side(bytes);
            assert!(side % 32 == 16, "a row is an odd number of lines");
            let matrix = 4 * (side * side) as u64;
            let [records, small] = [64, 9].map(|each| count(bytes, each));
            assert!(records.is_multiple_of(BLOCK) && small.is_multiple_of(BLOCK));
            // Beyond the caches, hardly more than that, and within what was asked for.
            for taken in [matrix, 64 * records as u64, 9 * small as u64] {
                assert!(taken >= bytes && taken < bytes + bytes / 8, "{taken} of {bytes}");
            }
            let most = matrix.max(72 * records as u64).max(25 * small as u64);
            assert_eq!(most, memory(bytes));
        }
    }

    #[test]
    fn the_sums_of_the_largest_matrix_fit_into_32_bits() {
        let side = side(1 << 30) as u64;
        assert!(6 * side * side + side * side / 2 < 1 << 32);
    }
}
