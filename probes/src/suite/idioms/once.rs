//! A value that is made on first use, against one that is simply there. Both are read through
//! atomics, which no compiler takes out of the loop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{HOW, interleave, plan, times, way};
use crate::harness::bench::Bench;
use crate::kernel::begin_line;
use card::declare::{Declare, NoiseClass};

pub(super) fn declare(d: &mut Declare) {
    let read = times(d, "once");
    d.cost(
        "idioms.once",
        NoiseClass::T2,
        read.with(HOW, "once"),
        "read of a lazily initialised value (OnceLock)",
    );
}

const VALUE: u64 = 7;

#[inline(never)]
fn once(value: &OnceLock<AtomicU64>, ops: u64) -> u64 {
    begin_line();
    let read = || value.get_or_init(|| AtomicU64::new(VALUE)).load(Ordering::Relaxed);
    (0..ops).fold(0, |sum, _| sum + read())
}

#[inline(never)]
fn plain(value: &AtomicU64, ops: u64) -> u64 {
    begin_line();
    (0..ops).fold(0, |sum, _| sum + value.load(Ordering::Relaxed))
}

/// Of the round.
const SHARE: f64 = 0.03;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (lazy, ready) = (OnceLock::new(), AtomicU64::new(VALUE));
    let (mut right, mut right_too) = (true, true);
    let arms = vec![
        way("once", "once", |ops| {
            right &= once(&lazy, ops) == VALUE * ops;
        }),
        way("once", "plain", |ops| {
            right_too &= plain(&ready, ops) == VALUE * ops;
        }),
    ];
    let plan = plan(bench, SHARE);
    interleave(bench, arms, plan)?;
    bench.check(right && right_too, || "a value that is made once was read wrongly".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_read_as_often_as_asked() {
        assert_eq!(once(&OnceLock::new(), 1000), plain(&AtomicU64::new(VALUE), 1000));
    }
}
