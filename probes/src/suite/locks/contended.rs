//! Locks that all CPUs want all the time.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

use super::kinds::{Lock, Read, Spin};
use crate::harness::bench::{Bench, params};
use crate::harness::clock::Timer;
use crate::threads::cpus;
use crate::threads::windows::{self, Window, Worker};
use card::declare::Unit;
use card::record::{Disturbances, Point, PointState};

/// Windows at each setting, and how long each lasts: thousands of locks, and sleeps in between.
const WINDOWS: usize = 5;
const WINDOW: Duration = Duration::from_millis(4);

/// Nanoseconds of work inside.
pub(super) const WORKS: [u64; 3] = [0, 100, 1000];

pub(super) fn run(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    let mut others = cpus::others(bench, cpus);
    bench.rng.shuffle(&mut others);
    let steps = pace(&bench.timer);
    let fight = Fight { others, steps };
    for threads in cpus::thread_counts(cpus.len()).into_iter().filter(|&threads| threads > 1) {
        let all = threads == cpus.len();
        if let Err(reason) = fight.at(bench, threads, all)? {
            return bench.skip(cpus::few_threads(threads, reason).of(IDS));
        }
    }
    Ok(())
}

/// What is missing where there are too few threads.
const IDS: [&str; 3] = ["locks.*_contended_ns", "locks.*_work_*_ns", "locks.*_fairness_ratio"];

/// What all settings have in common.
struct Fight {
    others: Vec<usize>,
    /// Steps of work in a nanosecond.
    steps: f64,
}

impl Fight {
    /// All locks with so many threads: beyond the mutex and beyond empty hands only with all CPUs.
    /// Ends with the reason where there cannot be so many.
    fn at(
        &self,
        bench: &mut Bench<'_>,
        threads: usize,
        all: bool,
    ) -> anyhow::Result<Result<(), String>> {
        for work in WORKS.into_iter().filter(|&work| all || work == 0) {
            let fair = |name| (all && work == 0).then_some(name);
            let mutex = ("mutex_contended", fair("mutex_fairness"));
            let spin = ("spin_contended", fair("spin_fairness"));
            let mut done = self.over::<Mutex<u64>>(bench, mutex, threads, work)?;
            if all && done.is_ok() {
                done = self.over::<Spin>(bench, spin, threads, work)?;
            }
            if all && work == 0 && done.is_ok() {
                done = self.over::<Read>(bench, ("rwlock_read_contended", None), threads, work)?;
            }
            if done.is_err() {
                return Ok(done);
            }
        }
        Ok(Ok(()))
    }

    fn over<L: Lock>(
        &self,
        bench: &mut Bench<'_>,
        (quantity, fairness): (&str, Option<&str>),
        threads: usize,
        work: u64,
    ) -> anyhow::Result<Result<(), String>> {
        let lock = L::default();
        let steps = (work as f64 * self.steps) as u64;
        // So short that even who gets the lock rarely looks at the time often enough.
        let slice = (64 / threads as u64).max(1);
        let make_worker = |_| Ok(Taker { lock: &lock, slice, steps });
        let team = (bench.cpu, &self.others[..threads - 1]);
        let windows = match windows::measure(team, &bench.timer, (WINDOWS, WINDOW), make_worker) {
            Ok(windows) => windows,
            Err(reason) => return Ok(Err(reason)),
        };
        let taken: u64 = windows.iter().flat_map(|w| &w.0).map(|share| share.amount).sum();
        let counted = lock.counted();
        bench.check(counted.is_none_or(|counted| counted == taken), || {
            format!("{taken} times under a lock of {threads} CPUs gave {counted:?}")
        })?;
        let (kept, state, disturbances) = sorted_out::<L>(&windows);
        let mut labels = params([("threads", (threads as u64).into()), ("work", work.into())]);
        if threads > self.others.len() {
            labels.insert("cpus".into(), "all".into());
        }
        if let Some(fairness) = fairness {
            let even = kept.iter().map(|window| window.least_share()).collect();
            let point = bench.point(fairness, params([]), Unit::Ratio, even, state);
            bench.emit(Point { disturbances, ..point })?;
        }
        let times = kept.iter().map(|window| 1.0 / window.rate()).collect();
        let point = bench.point(quantity, labels, Unit::Ns, times, state);
        bench.emit(Point { disturbances, ..point })?;
        Ok(Ok(()))
    }
}

/// Who spins should always have its CPU. Who sleeps as it waits has none then, and that is how it is.
fn sorted_out<L: Lock>(windows: &[Window]) -> (Vec<&Window>, PointState, Disturbances) {
    if L::SLEEPS {
        (windows.iter().collect(), PointState::Ok, Disturbances::default())
    } else {
        windows::undisturbed(windows)
    }
}

/// One of many that take the same lock.
struct Taker<'a, L> {
    lock: &'a L,
    slice: u64,
    steps: u64,
}

impl<L: Lock> Worker for Taker<'_, L> {
    fn setup(&mut self, _: usize) {}

    fn run_slice(&mut self) -> u64 {
        (0..self.slice).for_each(|_| self.lock.with(|| spend(self.steps)));
        self.slice
    }

    fn verify(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Work that touches nothing that others touch: steps that wait for one another and that no
/// compiler can take together.
fn spend(steps: u64) {
    let mut x = black_box(steps);
    for _ in 0..steps {
        x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (x >> 29);
    }
    // Stored, and not only known: what lets go of the lock is a store as well, and none overtakes
    // another. Otherwise the core would let go before the work is done.
    black_box(&x);
}

/// Steps of [`spend`] in a nanosecond: the best of a few tries, as work should not contain what
/// came between.
fn pace(timer: &Timer) -> f64 {
    const STEPS: u64 = 10_000;
    let one = |_| {
        let start = timer.stamp();
        spend(STEPS);
        STEPS as f64 / timer.ns_between(start, timer.stamp())
    };
    (0..7).map(one).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_has_a_pace() {
        let steps = pace(&Timer::CLOCK);
        assert!(steps > 0.001 && steps.is_finite(), "{steps}");
    }
}
