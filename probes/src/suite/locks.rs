//! What a lock costs: alone, fought for, and when it changes hands.
//!
//! Method: lock and unlock around one increment; the count must come out right. Alone: a
//! `std::sync::Mutex`, a read lock of a `std::sync::RwLock`, a spin lock that tests before it sets,
//! and an atomic addition for comparison. Fought for: 2, 4, 8, … and all CPUs at one lock for a
//! fixed time, nothing outside of it and 0, 100 or 1000 ns of work inside; how many times they had
//! it together, and the share of the one that had it least. Hand-off: the holder's last stamp before
//! it lets go, and the first stamp of the other CPU that waited, in its sleep (its switches are
//! counted) or spinning.
//! Blind spots: the standard library's mutex is one atomic exchange to take and one to release,
//! whether or not other threads exist; that of a C library may be cheaper while there is one thread.
//! Real programs do something between two locks: they fight less than these threads.
//! Expect: alone two locked operations, about 15 cycles on Zen 3 and 4, 40 on Zen 5 and Intel; a
//! spinning waiter has the lock after one or two transfers of its line, a sleeping one after some
//! microseconds, tens of them in a virtual machine.

use crate::harness::bench::Bench;
use crate::harness::need::Need;
use crate::probe::Probe;
use crate::threads::cpus;
use card::declare::{Declare, Estimator, NoiseClass, Points, ReportOnly, Unit};

mod alone;
mod contended;
mod handoff;
mod kinds;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "locks",
    summary: "uncontended and contended locks, lock hand-off, fairness",
    needs: &[],
    uses: &[],
    seconds: 0.6,
    in_kernel: true,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("locks");
    let mut alone = |stem, quantity, tier, summary: &'static str| {
        let time = d.quantity(quantity, Unit::Ns, Estimator::LowerQuartile);
        d.cost(stem, tier, time, summary);
    };
    alone(
        "locks.mutex_uncontended",
        "mutex_uncontended",
        NoiseClass::T1,
        "lock and unlock of an uncontended std::sync::Mutex",
    );
    alone(
        "locks.rwlock_read",
        "rwlock_read",
        NoiseClass::T2,
        "read lock and unlock of an uncontended std::sync::RwLock",
    );
    alone(
        "locks.spin_uncontended",
        "spin_uncontended",
        NoiseClass::T2,
        "lock and unlock of an uncontended spin lock",
    );
    alone("locks.atomic", "atomic", NoiseClass::T2, "uncontended atomic fetch_add");
    d.report_only(Some(ReportOnly::Contention));
    for (lock, name) in [("mutex", "mutex"), ("spin", "spin lock")] {
        let time = contended_by_all(d, lock, name);
        for work in contended::WORKS.into_iter().filter(|&work| work > 0) {
            d.metric(
                format!("locks.{lock}_work_{work}_ns"),
                NoiseClass::T4,
                time.with("work", work),
                format!("{name}, all CPUs: acquire-to-acquire interval, {work} ns of work inside"),
            );
        }
    }
    contended_by_all(d, "rwlock_read", "read lock");
    for (lock, name) in [("mutex", "mutex"), ("spin", "spin lock")] {
        let even = d.quantity(format!("{lock}_fairness"), Unit::Ratio, Estimator::Median);
        d.metric(
            format!("locks.{lock}_fairness_ratio"),
            NoiseClass::T4,
            even,
            format!("fairness of the contended {name} (min share ÷ fair share)"),
        );
    }
    let mut handed = |quantity: &'static str, summary: &'static str| {
        let time = d.quantity(quantity, Unit::Ns, Estimator::Median);
        d.metric(format!("locks.{quantity}_ns"), NoiseClass::T4, time, summary);
    };
    handed("handoff", "lock hand-off: from unlock to a sleeping waiter that has the mutex");
    handed("handoff_spin", "lock hand-off: from unlock to a spinning waiter on another CPU");
}

/// A lock that all CPUs want, with nothing inside; returns its times with whatever is.
fn contended_by_all(d: &mut Declare, lock: &str, name: &str) -> Points {
    let time = d.quantity(format!("{lock}_contended"), Unit::Ns, Estimator::Median);
    let time = time.with("cpus", "all");
    d.metric(
        format!("locks.{lock}_contended_ns"),
        NoiseClass::T4,
        time.with("work", 0),
        format!("{name}, all CPUs: contended acquire-to-acquire interval"),
    );
    time
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    alone::run(bench)?;
    if let Some(unmet) = Need::Cpus(2).unmet(bench.machine) {
        return bench.skip(unmet.of(BETWEEN_CPUS));
    }
    let cpus = cpus::pinnable(bench);
    if cpus.len() < 2 {
        return bench.skip(cpus::unpinned(bench.machine, bench.cpu).of(BETWEEN_CPUS));
    }
    handoff::run(bench, &cpus)?;
    contended::run(bench, &cpus)
}

/// What takes more than one CPU.
const BETWEEN_CPUS: [&str; 4] =
    ["locks.*_contended_ns", "locks.*_work_*_ns", "locks.*_fairness_ratio", "locks.handoff*_ns"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_first_four_takes_two_cpus() {
        let ends = ["_contended_ns", "_100_ns", "_1000_ns", "_fairness_ratio"];
        let between =
            |id: &str| ends.iter().any(|end| id.ends_with(end)) || id.starts_with("locks.handoff");
        let declared = PROBE.declaration();
        let ids = declared.metrics.iter().map(|metric| &*metric.id);
        let alone: Vec<&str> = ids.filter(|id| !between(id)).collect();
        // Each in ns and in cycles.
        assert_eq!(alone.len(), 4 * 2, "{alone:?}");
    }
}
