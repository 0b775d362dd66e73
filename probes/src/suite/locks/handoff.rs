//! How long a lock takes from the one that lets go to the one that waited.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::kinds::{Lock, Spin};
use crate::harness::bench::{Bench, params};
use crate::harness::clock::Timer;
use crate::sys::thread::usage;
use crate::threads::cpus;
use crate::threads::team::Team;
use card::declare::Unit;
use card::record::{Disturbances, Point, PointState};

/// Times that the lock changes hands.
const TRIALS: usize = 24;

/// Hand-offs without which the point is noisy.
const WANT: usize = 5;

/// Samples that are kept.
const KEPT: usize = 9;

/// So long is the lock held, and up to twice as long: the standard library's waiters spin for a few
/// microseconds before they sleep, and a CPU needs a moment to become idle.
const HOLD: Duration = Duration::from_micros(60);

/// A spinning waiter is there at once.
const HOLD_SPINNING: Duration = Duration::from_micros(3);

pub(super) fn run(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    let Some(partner) = cpus::nearest(bench, cpus) else { return Ok(()) };
    between::<Mutex<u64>>(bench, partner, "handoff", HOLD)?;
    between::<Spin>(bench, partner, "handoff_spin", HOLD_SPINNING)
}

fn between<L: Lock>(
    bench: &mut Bench<'_>,
    partner: usize,
    quantity: &str,
    hold: Duration,
) -> anyhow::Result<()> {
    let trials: Vec<f64> =
        (0..TRIALS).map(|_| hold.as_nanos() as f64 * (1.0 + bench.rng.f64())).collect();
    let handed = match pass::<L>(&bench.timer, (bench.cpu, partner), &trials) {
        Ok(handed) => handed,
        Err(e) => {
            let metric = format!("locks.{quantity}_ns");
            return bench.skip(cpus::few_threads(2, e).of([metric]));
        }
    };
    let counted = handed.counted;
    bench.check(counted == Some(2 * TRIALS as u64), || {
        format!("a lock that changed hands {TRIALS} times counted {counted:?}")
    })?;
    // Who slept gave up its CPU, and who spun kept it; whatever did otherwise was something else.
    let as_meant = handed.waits.iter().filter(|wait| (wait.switches > 0) == L::SLEEPS);
    let mut samples: Vec<f64> = as_meant.map(|wait| wait.ns).collect();
    let rejected = (TRIALS - samples.len()) as u64;
    let state = if samples.len() < WANT { PointState::Noisy } else { PointState::Ok };
    samples.truncate(KEPT);
    let disturbances = Disturbances { rejected, ..Disturbances::default() };
    let point = bench.point(quantity, params([]), Unit::Ns, samples, state);
    bench.emit(Point { disturbances, ..point })
}

/// What a waiter saw.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// From the holder's last moment to the waiter's first.
    ns: f64,
    /// Times that the waiter gave up or lost its CPU meanwhile.
    switches: u64,
}

struct Handed {
    waits: Vec<Wait>,
    counted: Option<u64>,
}

/// The first CPU holds the lock for so long each time, and the second one waits for it.
fn pass<L: Lock>(
    timer: &Timer,
    (first, second): (usize, usize),
    holds: &[f64],
) -> std::io::Result<Handed> {
    let lock = L::default();
    let (got, switched) = (AtomicU64::new(0), AtomicU64::new(0));
    let follow = |team: &Team, _| {
        // The holder has it by now.
        while team.wait() {
            let before = switches();
            let at = lock.with(|| timer.stamp());
            switched.store(switches() - before, Ordering::Relaxed);
            got.store(at, Ordering::Relaxed);
            team.wait();
        }
    };
    let lead = |team: &Team| {
        let one = |hold: &f64| {
            let last = lock.with(|| {
                team.wait();
                let start = timer.stamp();
                while timer.ns_between(start, timer.stamp()) < *hold {
                    std::hint::spin_loop();
                }
                timer.stamp()
            });
            team.wait();
            let ns = timer.ns_between(last, got.load(Ordering::Relaxed));
            Wait { ns, switches: switched.load(Ordering::Relaxed) }
        };
        holds.iter().map(one).collect()
    };
    let waits = Team::pinned(first, &[second], follow, lead)?;
    Ok(Handed { waits, counted: lock.counted() })
}

fn switches() -> u64 {
    let usage = usage();
    usage.nvcsw + usage.nivcsw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_changes_hands_each_time() {
        let cpus: Vec<usize> = (0..64).filter(|&cpu| crate::threads::pinning::pin(cpu)).collect();
        let [first, second, ..] = cpus[..] else { return };
        let handed = pass::<Mutex<u64>>(&Timer::CLOCK, (first, second), &[200e3; 6]).unwrap();
        assert_eq!((handed.waits.len(), handed.counted), (6, Some(12)));
        assert!(handed.waits.iter().all(|wait| wait.ns > 0.0), "{:?}", handed.waits);
        assert!(handed.waits.iter().any(|wait| wait.switches > 0), "{:?}", handed.waits);
        let handed = pass::<Spin>(&Timer::CLOCK, (first, second), &[2e3; 6]).unwrap();
        assert_eq!((handed.waits.len(), handed.counted), (6, Some(12)));
    }
}
