//! Time, and the clock of the core measured by itself.
//!
//! The two-chain clock: a dependent addition takes one cycle and a dependent multiplication a whole
//! number m of them, which is found out first ([`super::multiply`]). A busy hyperthread sibling
//! delays each dependent operation by the same fraction d of a cycle, so t_add = (1+d)/f and
//! t_mul = (m+d)/f: f = (m−1)/(t_mul − t_add) cancels the interference, and d = t_add·f − 1 shows
//! it, without counters and without being told that there is a sibling.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::multiply::{ADD_CYCLES, Multiply, Window};
use crate::kernel::{chain, timer};
use crate::sys::time::monotonic_raw_ns;

/// Additions on each side of the multiplications: about 9 µs each, 900 steps of a 10 ns counter.
const ADDS: u64 = 32_768;

/// Multiplications in between: about 20 µs, so that one counter step is 0.05 % of it.
const MULS: u64 = 24_576;

/// Above this the hyperthread sibling was at work; quiet samples lie near 0.001.
pub const BUSY_SIBLING: f64 = 0.01;

/// A sibling delays an operation by a few hundredths of a cycle, at most by half of one; beyond
/// that an interrupt fell into one of the chains.
pub const MOST_DELAY: f64 = 0.5;

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
    /// Whether something else than a sibling was at work: an interrupt, or the hypervisor.
    pub fn is_interrupted(&self) -> bool {
        // A NaN from a disturbed reading lies in no range.
        !(-MOST_DELAY..MOST_DELAY).contains(&self.sibling_delay_cycles)
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

/// Times of the two chains, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct ChainTimes {
    /// One addition, before and after the multiplications, ns.
    add: [f64; 2],
    /// One multiplication, ns.
    pub mul: f64,
}

impl ChainTimes {
    /// Runs both chains once, in about 40 µs.
    pub fn take(timer: &Timer) -> ChainTimes {
        ChainTimes::of(timer, chain::mul)
    }

    #[inline(always)]
    fn of(timer: &Timer, mul: impl FnOnce(u64) -> u64) -> ChainTimes {
        let t0 = timer.stamp();
        std::hint::black_box(chain::add(ADDS));
        let t1 = timer.stamp();
        std::hint::black_box(mul(MULS));
        let t2 = timer.stamp();
        std::hint::black_box(chain::add(ADDS));
        let t3 = timer.stamp();
        let add = [(t0, t1), (t2, t3)].map(|(from, to)| timer.ns_between(from, to) / ADDS as f64);
        ChainTimes { add, mul: timer.ns_between(t1, t2) / MULS as f64 }
    }

    /// One addition, ns.
    pub fn add(&self) -> f64 {
        self.add[0].midpoint(self.add[1])
    }

    /// Both times, unless the core changed its pace meanwhile.
    fn window(&self) -> Option<Window> {
        let steady = agree(self.add[0], self.add[1], STEADY);
        steady.then(|| Window { add: self.add(), mul: self.mul })
    }
}

/// Both stretches of additions around the multiplications agree so well, unless something came in
/// between.
const STEADY: f64 = 0.01;

/// The two-chain clock of the core that a thread is pinned to.
#[derive(Clone, Copy, Debug)]
pub struct CoreClock {
    /// Where time stamps come from.
    pub timer: Timer,
    /// What a multiplication takes on that core.
    pub multiply: Multiply,
}

/// How long a busy sibling is waited for where it leaves a doubt: such phases last 0.3 s and more.
const LEARN: Duration = Duration::from_millis(300);

impl CoreClock {
    /// The clock of the core that this thread runs on, which must stay there: looks for what a
    /// multiplication takes, in some 3 ms where nobody disturbs.
    pub fn learn(timer: Timer) -> CoreClock {
        CoreClock::with(timer, chain::mul)
    }

    fn with(timer: Timer, mul: fn(u64) -> u64) -> CoreClock {
        let until = Instant::now() + LEARN;
        let window = || ChainTimes::of(&timer, mul).window();
        CoreClock { timer, multiply: Multiply::find(window, || Instant::now() < until) }
    }

    /// Reads the clock once, in about 40 µs.
    pub fn read(&self) -> ClockReading {
        self.reading(&ChainTimes::take(&self.timer))
    }

    /// What the clock was while the chains took these times.
    pub fn reading(&self, times: &ChainTimes) -> ClockReading {
        let core_ghz = (self.multiply.cycles - ADD_CYCLES) / (times.mul - times.add());
        let sibling_delay_cycles = times.add() * core_ghz - ADD_CYCLES;
        ClockReading { core_ghz, sibling_delay_cycles }
    }

    /// A reading, unless an interrupt fell into it.
    pub fn undisturbed_ghz(&self) -> Option<f64> {
        let reading = self.read();
        (!reading.is_interrupted()).then_some(reading.core_ghz)
    }
}

/// The clock by those of these readings that nothing disturbed; where a sibling never rests, by those
/// that no interrupt fell into. What it takes from multiplications alone, as on a Xeon, does not
/// cancel out.
pub fn settled_ghz(readings: &[ClockReading]) -> Vec<f64> {
    let of = |holds: fn(&ClockReading) -> bool| -> Vec<f64> {
        readings.iter().filter(|r| holds(r)).map(|r| r.core_ghz).collect()
    };
    let quiet = of(|r| !r.is_busy());
    if quiet.len() >= ENOUGH { quiet } else { of(|r| !r.is_interrupted()) }
}

/// Readings that are better than many disturbed ones.
const ENOUGH: usize = 8;

/// Runs the core until its clock stands still: five readings in a row within 0.5 %, or the time is
/// up.
pub fn settle(timer: &Timer, at_most: Duration) {
    // The same multiple of the clock's period, whatever a sibling does.
    let pace = || {
        let times = ChainTimes::take(timer);
        times.mul - times.add()
    };
    let until = Instant::now() + at_most;
    let mut steady = 0;
    let mut last = pace();
    while steady < 5 && Instant::now() < until {
        let now = pace();
        steady = if agree(now, last, 0.005) { steady + 1 } else { 0 };
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::estimate::median;

    /// What is read on a machine at `ghz` on which a multiplication takes `cycles`, and whose sibling
    /// delays each dependent operation by `d` cycles.
    fn scripted(ghz: f64, cycles: f64, d: f64) -> ClockReading {
        let multiply = Multiply { cycles, doubt: None };
        let times = ChainTimes { add: [(1.0 + d) / ghz; 2], mul: (cycles + d) / ghz };
        CoreClock { timer: Timer::CLOCK, multiply }.reading(&times)
    }

    #[test]
    fn a_busy_sibling_cancels_out_and_is_seen_whatever_a_multiplication_takes() {
        for cycles in [2.0, 3.0, 4.0, 5.0, 6.0] {
            for d in [0.0, 0.045, 0.49] {
                let reading = scripted(3.7, cycles, d);
                assert!((reading.core_ghz - 3.7).abs() < 1e-9);
                assert!((reading.sibling_delay_cycles - d).abs() < 1e-9);
                assert_eq!((reading.is_busy(), reading.is_interrupted()), (d > 0.0, false));
            }
        }
    }

    #[test]
    fn a_broken_reading_is_not_quiet() {
        for (ghz, d) in [(f64::INFINITY, 0.0), (f64::NAN, 0.0), (3.7, 0.8)] {
            let reading = scripted(ghz, 3.0, d);
            assert!(reading.is_busy() && reading.is_interrupted(), "{reading:?}");
        }
    }

    #[test]
    fn quiet_readings_come_first_and_interrupted_ones_never_count() {
        let reading =
            |n: usize, ghz, d| vec![ClockReading { core_ghz: ghz, sibling_delay_cycles: d }; n];
        let all = |quiet| [reading(quiet, 3.7, 0.0), reading(9, 3.2, -0.13), reading(9, 1.0, 3.0)];
        assert_eq!(settled_ghz(&all(8).concat()), [3.7; 8]);
        assert_eq!(settled_ghz(&all(1).concat()), [vec![3.7], vec![3.2; 9]].concat());
    }

    #[test]
    fn only_a_window_at_one_pace_says_what_a_multiplication_takes() {
        let times = |add| ChainTimes { add, mul: 0.9 }.window();
        assert_eq!(times([0.25, 0.25]), Some(Window { add: 0.25, mul: 0.9 }));
        assert_eq!(times([0.3, 0.31]), None);
        assert_eq!(times([0.3, f64::NAN]), None);
    }

    /// This core with another multiplication: two more dependent additions in each.
    #[test]
    fn the_clock_of_a_core_with_a_slower_multiplication_is_as_fast() {
        let timer = Timer::CLOCK;
        settle(&timer, Duration::from_millis(100));
        let middle = |clock: &CoreClock, mul: fn(u64) -> u64| {
            let ghz = [(); 9].map(|()| clock.reading(&ChainTimes::of(&timer, mul)).core_ghz);
            median(&ghz).unwrap()
        };
        // A busy machine holds things up: one of many tries must be clean.
        let is_right = |_| {
            let clock = CoreClock::with(timer, chain::mul);
            let slower = CoreClock::with(timer, chain::mul_add_add);
            let sure = clock.multiply.doubt.is_none() && slower.multiply.doubt.is_none();
            let more = slower.multiply.cycles - clock.multiply.cycles;
            let ghz = [middle(&clock, chain::mul), middle(&slower, chain::mul_add_add)];
            sure && more == 2.0 && agree(ghz[0], ghz[1], 0.05)
        };
        assert!((0..50).any(is_right));
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
