//! What a lock costs.
//!
//! Method: lock and unlock a `std::sync::Mutex` that no other thread wants, around one increment,
//! in a loop; the count must come out right. The standard library's lock is one atomic exchange to
//! take and one to release, whether or not other threads exist.
//! Blind spots: contended locks are another matter.
//! Expect: two locked operations: about 15 cycles on Zen 3 and 4, 40 on Zen 5 and Intel.

use std::sync::Mutex;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::Policy;
use crate::probe::{Better, Derive, Estimator, Probe, Tier, Unit, metric, select};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "locks",
    summary: "lock and unlock of a mutex that no one else wants",
    needs: &[],
    uses: &[],
    seconds: 0.3,
    metrics: &[metric(
        "locks.mutex_uncontended_ns",
        "lock and unlock of an uncontended std::sync::Mutex",
        Unit::Ns,
        Better::Lower,
        Tier::T1,
        "core-to-core",
        Derive::Value(select("mutex_uncontended", &[]), Estimator::LowerQuartile),
    )],
    run,
};

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mutex = Mutex::new(0_u64);
    let mut done = 0;
    let work = |pairs| {
        for _ in 0..pairs {
            // A poisoned lock costs the same; no one panics while holding it.
            *mutex.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        }
        done += pairs;
    };
    let policy = Policy::structural(bench.left());
    bench.sample(Arm::new("mutex_uncontended", params([]), work), &policy)?;
    let counted = mutex.into_inner().unwrap_or_else(|e| e.into_inner());
    bench.check(counted == done, || format!("{done} increments under the lock gave {counted}"))
}
