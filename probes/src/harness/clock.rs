//! Time, and the clock of the core measured by itself.
//!
//! The two-chain clock: a dependent addition takes one cycle and a dependent multiplication three
//! (on Arm another whole number, found out once: [`chain::mul_cycles`]). A busy hyperthread sibling
//! delays each dependent operation by the same fraction d of a cycle, so t_add = (1+d)/f and
//! t_mul = (3+d)/f: f = 2/(t_mul − t_add) cancels the interference, and d = t_add·f − 1 shows it,
//! without counters and without being told that there is a sibling.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::{chain, timer};
use crate::sys::time::monotonic_raw_ns;

/// Additions on each side of the multiplications: about 9 µs each, 900 steps of a 10 ns counter.
const ADDS: u64 = 32_768;

/// Multiplications in between: about 20 µs, so that one counter step is 0.05 % of it.
const MULS: u64 = 24_576;

/// Above this the hyperthread sibling was at work; quiet samples lie near 0.001.
pub const BUSY_SIBLING: f64 = 0.01;

/// Where time stamps come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The CPU's constant-rate counter.
    Counter,
    /// CLOCK_MONOTONIC_RAW, where the counter changes its rate.
    Clock,
}

/// Turns stamps into nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// Where stamps come from.
    pub source: Source,
    /// Nanoseconds per unit of a stamp.
    pub ns_per_unit: f64,
}

impl Timer {
    /// The kernel's clock, which needs no calibration.
    pub const CLOCK: Timer = Timer { source: Source::Clock, ns_per_unit: 1.0 };

    /// Calibrates the counter against CLOCK_MONOTONIC_RAW over the given time.
    pub fn calibrate(over: Duration) -> Timer {
        let (clock, counter) = simultaneous();
        std::thread::sleep(over);
        let (clock_end, counter_end) = simultaneous();
        let ns = (clock_end - clock) as f64;
        Timer { source: Source::Counter, ns_per_unit: ns / (counter_end - counter) as f64 }
    }

    /// A stamp with all work before it done and none after it begun.
    #[inline(always)]
    pub fn stamp(&self) -> u64 {
        match self.source {
            Source::Counter => timer::fenced_ticks(),
            Source::Clock => monotonic_raw_ns(),
        }
    }

    /// A stamp without fences, for loops that do nothing but read it.
    #[inline(always)]
    pub fn quick_stamp(&self) -> u64 {
        match self.source {
            Source::Counter => timer::ticks(),
            Source::Clock => monotonic_raw_ns(),
        }
    }

    /// Nanoseconds between two stamps; negative if the second is the earlier one.
    pub fn ns_between(&self, from: u64, to: u64) -> f64 {
        to.wrapping_sub(from).cast_signed() as f64 * self.ns_per_unit
    }

    /// Units in so many nanoseconds.
    pub fn units(&self, ns: f64) -> u64 {
        (ns / self.ns_per_unit) as u64
    }
}

/// Both clocks at one instant: the tightest of a hundred readings, so that an interrupt in
/// between does not count.
fn simultaneous() -> (u64, u64) {
    let reading = || {
        let before = monotonic_raw_ns();
        let counter = timer::fenced_ticks();
        let after = monotonic_raw_ns();
        (after - before, (before.midpoint(after), counter))
    };
    let mut best = reading();
    for _ in 0..100 {
        best = std::cmp::min_by_key(best, reading(), |&(width, _)| width);
    }
    best.1
}

/// One reading of the two-chain clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockReading {
    /// The core clock.
    pub core_ghz: f64,
    /// Fraction of a cycle by which a dependent operation was delayed: d.
    pub sibling_delay_cycles: f64,
}

impl ClockReading {
    /// From the times of one addition and of one multiplication.
    pub fn of(add_ns: f64, mul_ns: f64) -> ClockReading {
        let ghz = (chain::mul_cycles() - chain::ADD_CYCLES) / (mul_ns - add_ns);
        ClockReading { core_ghz: ghz, sibling_delay_cycles: add_ns * ghz - chain::ADD_CYCLES }
    }

    /// Whether the hyperthread sibling was at work, or the reading itself was disturbed.
    pub fn is_busy(&self) -> bool {
        // A NaN from a disturbed reading lies in no range, and so counts as busy.
        !(-BUSY_SIBLING..BUSY_SIBLING).contains(&self.sibling_delay_cycles)
    }
}

/// Whether two readings of a clock agree within a relative difference; a NaN agrees with nothing.
pub fn agree(a: f64, b: f64, within: f64) -> bool {
    (a / b - 1.0).abs() <= within
}

/// Times of one addition and one multiplication, ns.
pub fn chain_times(timer: &Timer) -> (f64, f64) {
    let t0 = timer.stamp();
    std::hint::black_box(chain::add(ADDS));
    let t1 = timer.stamp();
    std::hint::black_box(chain::mul(MULS));
    let t2 = timer.stamp();
    std::hint::black_box(chain::add(ADDS));
    let t3 = timer.stamp();
    let add = (timer.ns_between(t0, t1) + timer.ns_between(t2, t3)) / (2 * ADDS) as f64;
    (add, timer.ns_between(t1, t2) / MULS as f64)
}

/// Reads the two-chain clock once, in about 40 µs.
pub fn reading(timer: &Timer) -> ClockReading {
    let (add, mul) = chain_times(timer);
    ClockReading::of(add, mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine at `ghz` whose sibling delays each dependent operation by `d` cycles.
    fn scripted(ghz: f64, d: f64) -> ClockReading {
        ClockReading::of((1.0 + d) / ghz, (chain::mul_cycles() + d) / ghz)
    }

    #[test]
    fn a_busy_sibling_cancels_out_and_is_seen() {
        for d in [0.0, 0.045, 0.5] {
            let reading = scripted(3.7, d);
            assert!((reading.core_ghz - 3.7).abs() < 1e-9);
            assert!((reading.sibling_delay_cycles - d).abs() < 1e-9);
            assert_eq!(reading.is_busy(), d > BUSY_SIBLING);
        }
    }

    #[test]
    fn a_broken_reading_is_not_quiet() {
        assert!(ClockReading::of(1.0, 1.0).is_busy());
        assert!(ClockReading::of(f64::NAN, 1.0).is_busy());
    }

    #[test]
    fn the_counter_agrees_with_the_kernel_clock() {
        let timer = Timer::calibrate(Duration::from_millis(50));
        // A busy machine may hold the test up between two stamps: one try of five must be clean.
        let off = || {
            let (clock, stamp) = (Timer::CLOCK.stamp(), timer.stamp());
            std::thread::sleep(Duration::from_millis(50));
            let ns = timer.ns_between(stamp, timer.stamp());
            (ns / Timer::CLOCK.ns_between(clock, Timer::CLOCK.stamp()) - 1.0).abs()
        };
        let best = (0..5).map(|_| off()).fold(f64::INFINITY, f64::min);
        assert!(best < 0.01, "{best}");
    }
}
