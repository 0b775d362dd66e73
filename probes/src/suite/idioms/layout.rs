//! The order and the layout of data: rows and columns, structs of arrays, packed records.

use std::cell::Cell;
use std::hint::black_box;

use super::{Plan, interleave, memory_plan, plan, way};
use crate::harness::bench::Bench;
use crate::probe::Unmet;

/// Rows and columns of a matrix of 32-bit numbers: 16 MB, beyond any L2. Not a power of two: a
/// column would fall into one set of the caches, which is another matter.
const SIDE: usize = 2000;

/// Records: 16 MiB with 64 bytes each.
const RECORDS: usize = 1 << 18;

/// Small records: in L1 with 16 bytes each, and 24 MiB of them.
const FEW: usize = 1 << 10;
const MANY: usize = 3 << 19;

/// What all buffers of the largest pair take.
const MEMORY: u64 = 40 << 20;

/// Of the round, each pair.
const SHARE: f64 = 0.06;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    packed(bench, FEW, ["packed", "padded"])?;
    let have = bench.machine.buffer_limit();
    if have < MEMORY {
        return bench.skip(Unmet {
            need: format!(
                "{} MiB for data beyond the caches (idioms.column_order_ratio, \
                 idioms.array_of_structs_ratio, idioms.packed_dram_ratio)",
                MEMORY >> 20
            ),
            reason: format!(
                "half of the memory that may be used is {} MiB (limit set by {})",
                have >> 20,
                bench.machine.memory_limit_source()
            ),
            remedy: "raise the memory limit of the container or free memory".into(),
        });
    }
    matrix(bench)?;
    field(bench)?;
    packed(bench, MANY, ["packed_dram", "padded_dram"])
}

/// Which row or column is next, and whether all sums so far were right.
struct Lines {
    next: usize,
    right: bool,
}

impl Lines {
    fn walk(&mut self, ops: u64, sum: impl Fn(usize) -> u32, expected: impl Fn(usize) -> u32) {
        for _ in 0..ops / SIDE as u64 {
            self.right &= sum(self.next) == expected(self.next);
            self.next = (self.next + 1) % SIDE;
        }
    }
}

#[inline(never)]
fn row_sum(matrix: &[u32], row: usize) -> u32 {
    matrix[row * SIDE..][..SIDE].iter().fold(0, |sum, value| sum.wrapping_add(*value))
}

#[inline(never)]
fn column_sum(matrix: &[u32], column: usize) -> u32 {
    let values = matrix[column..].iter().step_by(SIDE);
    values.fold(0, |sum, value| sum.wrapping_add(*value))
}

/// The value at a place is 3 times its row and 5 times its column.
fn line_sum(fixed: usize, own: u32, other: u32) -> u32 {
    let side = SIDE as u32;
    own * fixed as u32 * side + other * (side * (side - 1) / 2)
}

fn filled() -> Vec<u32> {
    let value = |at: usize| 3 * (at / SIDE) as u32 + 5 * (at % SIDE) as u32;
    (0..SIDE * SIDE).map(value).collect()
}

fn matrix(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let matrix = black_box(filled());
    let mut rows = Lines { next: 0, right: true };
    let mut columns = Lines { next: 0, right: true };
    let arms = vec![
        way("matrix", "rows", |ops| {
            rows.walk(ops, |row| row_sum(&matrix, row), |row| line_sum(row, 3, 5));
        })
        .in_blocks_of(SIDE as u64),
        way("matrix", "columns", |ops| {
            columns.walk(ops, |at| column_sum(&matrix, at), |at| line_sum(at, 5, 3));
        })
        .in_blocks_of(SIDE as u64),
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
    all.iter().fold(0, |sum, record| sum.wrapping_add(record.wanted))
}

#[inline(never)]
fn sum_of_array(all: &[u64]) -> u64 {
    all.iter().fold(0, |sum, wanted| sum.wrapping_add(*wanted))
}

fn field(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let whole = |number| Whole { wanted: number, others: [number; 7] };
    let structs: Vec<Whole> = black_box((0..RECORDS as u64).map(whole).collect());
    let array: Vec<u64> = black_box((0..RECORDS as u64).collect());
    let plan = memory_plan(bench, SHARE);
    compare(
        bench,
        ("field", RECORDS, plan),
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
    all.iter().fold(0, |sum, item| sum.wrapping_add(item.number ^ u64::from(item.flag)))
}

#[inline(never)]
fn sum_of_padded(all: &[Padded]) -> u64 {
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
        let matrix = filled();
        for line in [0, 1, 77, SIDE - 1] {
            assert_eq!(row_sum(&matrix, line), line_sum(line, 3, 5));
            assert_eq!(column_sum(&matrix, line), line_sum(line, 5, 3));
        }
        let mut lines = Lines { next: SIDE - 1, right: true };
        lines.walk(2 * SIDE as u64, |row| row_sum(&matrix, row), |row| line_sum(row, 3, 5));
        assert!(lines.right && lines.next == 1);
        lines.walk(SIDE as u64, |row| row_sum(&matrix, row) + 1, |row| line_sum(row, 3, 5));
        assert!(!lines.right);
    }

    #[test]
    fn a_walk_goes_round_and_checks_every_block() {
        assert!(
            RECORDS.is_multiple_of(BLOCK)
                && FEW.is_multiple_of(BLOCK)
                && MANY.is_multiple_of(BLOCK)
        );
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
        let most = (RECORDS * 72).max(MANY * 25).max(SIDE * SIDE * 4);
        assert!(most as u64 <= MEMORY);
    }
}
