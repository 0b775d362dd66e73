//! Vectors and strings that grow, against those that know how large they become.

use std::cell::Cell;
use std::hint::black_box;

use super::{interleave, plan, ratio, times, way};
use crate::harness::bench::Bench;
use crate::kernel::begin_line;
use card::declare::{Declare, NoiseClass};

pub(super) fn declare(d: &mut Declare) {
    let vector = times(d, "vector");
    let string = times(d, "string");
    ratio(
        d,
        "idioms.vec_grow_ratio",
        NoiseClass::T2,
        (&vector, "grown", "reserved"),
        "1000 pushes: growing vector ÷ reserved capacity (nine reallocations)",
    );
    ratio(
        d,
        "idioms.string_concat_ratio",
        NoiseClass::T2,
        (&string, "copied", "appended"),
        "256 × 16-byte string concatenation: new string each ÷ one buffer",
    );
}

/// Numbers in a vector, 8 KB.
const NUMBERS: u64 = 1000;

/// Pieces of a string, and bytes of a piece: 4 KiB in the end.
const PIECES: u64 = 256;
const PIECE: &str = "sixteen letters ";

#[inline(never)]
fn fill(mut vector: Vec<u64>) -> Vec<u64> {
    begin_line();
    for number in 0..NUMBERS {
        vector.push(black_box(number));
    }
    vector
}

/// As in languages whose strings never change: every piece makes a new string.
#[inline(never)]
fn copied(pieces: u64) -> String {
    begin_line();
    let mut whole = String::new();
    for _ in 0..pieces {
        let mut next = String::with_capacity(whole.len() + PIECE.len());
        next.push_str(&whole);
        next.push_str(black_box(PIECE));
        whole = next;
    }
    whole
}

#[inline(never)]
fn appended(pieces: u64) -> String {
    begin_line();
    let mut whole = String::with_capacity(pieces as usize * PIECE.len());
    for _ in 0..pieces {
        whole.push_str(black_box(PIECE));
    }
    whole
}

/// Of the round, each.
const SHARE: f64 = 0.04;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let right = Cell::new(true);
    let vector = |how: &str, room: u64| {
        let right = &right;
        way("vector", how, move |ops| {
            for _ in 0..ops / NUMBERS {
                let vector = black_box(fill(Vec::with_capacity(room as usize)));
                right.set(right.get() & (vector.last() == Some(&(NUMBERS - 1))));
            }
        })
        .in_blocks_of(NUMBERS)
    };
    let arms = vec![vector("grown", 0), vector("reserved", NUMBERS)];
    let time = plan(bench, SHARE);
    interleave(bench, arms, time)?;
    let string = |how: &str, make: fn(u64) -> String| {
        let right = &right;
        way("string", how, move |ops| {
            for _ in 0..ops / PIECES {
                let whole = black_box(make(PIECES));
                right.set(right.get() & (whole.len() == PIECES as usize * PIECE.len()));
            }
        })
        .in_blocks_of(PIECES)
    };
    let arms = vec![string("copied", copied), string("appended", appended)];
    let time = plan(bench, SHARE);
    interleave(bench, arms, time)?;
    bench.check(right.get(), || "what grew has a wrong length or end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_come_to_the_same() {
        assert_eq!(copied(20), appended(20));
        assert_eq!(copied(20).len(), 20 * PIECE.len());
        let (grown, reserved) = (fill(Vec::new()), fill(Vec::with_capacity(NUMBERS as usize)));
        assert_eq!(grown, reserved);
        assert_eq!(reserved.capacity(), NUMBERS as usize, "it never grew");
    }
}
