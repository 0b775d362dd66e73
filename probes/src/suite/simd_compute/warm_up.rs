//! The first use of the upper lanes.
//!
//! Method: multiply-adds of each width after a millisecond of scalar work, timed in slices until they
//! are as short as later.

use std::time::{Duration, Instant};

use super::widths;
use crate::harness::bench::{Bench, params};
use crate::harness::clock::Timer;
use crate::kernel::chain;
use crate::kernel::simd::{Chains, Op, Type, Width};
use crate::kernel::width;
use card::declare::{Declare, Estimator, NoiseClass, ReportOnly, Unit};
use card::estimate::median;

const QUANTITY: &str = "warm_up";

pub(super) fn declare(d: &mut Declare) {
    let first = d.quantity(QUANTITY, Unit::Ns, Estimator::Median);
    for width::Width { name, title, .. } in widths(|width| width.is_vector()) {
        d.metric(
            format!("simd.warm_up.{name}_ns"),
            NoiseClass::T4,
            first.with("width", name),
            format!("SIMD warm-up, {title}: time to full throughput after 1 ms idle"),
        )
        .report_only(ReportOnly::Tail);
    }
}

/// Of the round.
const SHARE: f64 = 0.04;

/// Longer than the upper lanes stay powered without work (0.7 ms on Intel).
const PAUSE: Duration = Duration::from_millis(1);
/// Blocks timed together, some 0.3 µs, and how many of them are followed: cores that power up
/// their upper lanes need 10 to 50 µs.
const SLICE: u64 = 4;
const SLICES: usize = 300;
/// A slice this much longer than usual is not at its pace.
const AT_PACE: f64 = 1.25;

/// The first vector work after a pause.
pub(super) fn measure(bench: &mut Bench<'_>, widths: &[Width]) -> anyhow::Result<()> {
    let timer = bench.timer;
    let loops = widths.iter().filter_map(|&width| {
        // With 128 bits for comparison: code that has not run for a while begins slowly anyway.
        let vector = width.name() != "scalar";
        Some((width, vector.then(|| Chains::new(width, Op::Fma, Type::F32, 12))??))
    });
    let mut loops: Vec<(Width, Chains)> = loops.collect();
    let until = Instant::now() + bench.share(SHARE);
    let mut seen = vec![Vec::new(); loops.len()];
    while Instant::now() < until && seen.iter().any(|trials: &Vec<f64>| trials.len() < 9) {
        for ((_, chains), trials) in loops.iter_mut().zip(&mut seen) {
            let rest = Instant::now() + PAUSE;
            while Instant::now() < rest {
                std::hint::black_box(chain::add(chain::BLOCK));
            }
            trials.extend(until_at_pace(&slices(&timer, chains)));
        }
    }
    for ((width, _), trials) in loops.iter().zip(seen) {
        bench.record(QUANTITY, params([("width", width.name().into())]), Unit::Ns, trials)?;
    }
    Ok(())
}

/// Times of successive slices of work.
fn slices(timer: &Timer, chains: &mut Chains) -> Vec<f64> {
    let mut before = timer.stamp();
    let slice = |_| {
        chains.run(SLICE);
        let now = timer.stamp();
        let ns = timer.ns_between(before, now);
        before = now;
        ns
    };
    (0..SLICES).map(slice).collect()
}

/// Time until the slices are as short as in the second half; 0 if the first one is.
fn until_at_pace(slices: &[f64]) -> Option<f64> {
    let pace = median(&slices[slices.len() / 2..])?;
    let slow = slices.iter().take_while(|&&ns| ns > pace * AT_PACE);
    Some(slow.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_reached_when_slices_are_as_short_as_later() {
        let steady = [100.0; 40];
        assert_eq!(until_at_pace(&steady), Some(0.0));
        let mut slow = steady;
        slow[..12].fill(400.0);
        // A later interrupt is none of the beginning.
        slow[15] = 5000.0;
        assert_eq!(until_at_pace(&slow), Some(4800.0));
        assert_eq!(until_at_pace(&[]), None);
    }
}
