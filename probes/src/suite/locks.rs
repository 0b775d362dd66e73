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
use crate::probe::{Need, Probe};
use crate::threads::pinning;
use card::declare::{Better, Derive, Estimator, Metric, Text, Tier, Unit, metric, select, text};

mod alone;
mod fought;
mod handoff;
mod kinds;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "locks",
    summary: "locks that no one else wants, that all want, and that change hands",
    needs: &[],
    uses: &[],
    seconds: 0.6,
    metrics: &[
        alone(
            "locks.mutex_uncontended_ns",
            "mutex_uncontended",
            "lock and unlock of an uncontended std::sync::Mutex",
            Tier::T1,
        ),
        alone(
            "locks.rwlock_read_ns",
            "rwlock_read",
            "read lock and unlock of an uncontended std::sync::RwLock",
            Tier::T2,
        ),
        alone(
            "locks.spin_uncontended_ns",
            "spin_uncontended",
            "lock and unlock of an uncontended spin lock",
            Tier::T2,
        ),
        alone("locks.atomic_ns", "atomic", "an atomic addition instead of a lock", Tier::T2),
        fought(
            "locks.mutex_contended_ns",
            "mutex_contended",
            "from one lock of a mutex to the next, whoever has it, all CPUs at it",
            WORK_0,
        ),
        fought(
            "locks.mutex_work_100_ns",
            "mutex_contended",
            "the same with 100 ns of work inside",
            WORK_100,
        ),
        fought(
            "locks.mutex_work_1000_ns",
            "mutex_contended",
            "the same with 1000 ns of work inside",
            WORK_1000,
        ),
        fought(
            "locks.spin_contended_ns",
            "spin_contended",
            "from one lock of a spin lock to the next, whoever has it, all CPUs at it",
            WORK_0,
        ),
        fought(
            "locks.spin_work_100_ns",
            "spin_contended",
            "the same with 100 ns of work inside",
            WORK_100,
        ),
        fought(
            "locks.spin_work_1000_ns",
            "spin_contended",
            "the same with 1000 ns of work inside",
            WORK_1000,
        ),
        fought(
            "locks.rwlock_read_contended_ns",
            "rwlock_read_contended",
            "from one read lock to the next, whoever has it, all CPUs reading",
            WORK_0,
        ),
        fairness("locks.mutex_fairness_ratio", "mutex_fairness"),
        fairness("locks.spin_fairness_ratio", "spin_fairness"),
        handed(
            "locks.handoff_ns",
            "handoff",
            "from unlock to a mutex's sleeping waiter that has it",
        ),
        handed(
            "locks.handoff_spin_ns",
            "handoff_spin",
            "from unlock to a spinning waiter that has it, on another CPU",
        ),
    ],
    proofs: &[],
    in_kernel: true,
    declare: |_| (),
    run,
};

const FAMILY: &str = "locks";
const ALL: (Text, Text) = (text("cpus"), text("all"));
const WORK_0: &[(Text, Text)] = &[ALL, (text("work"), text("0"))];
const WORK_100: &[(Text, Text)] = &[ALL, (text("work"), text("100"))];
const WORK_1000: &[(Text, Text)] = &[ALL, (text("work"), text("1000"))];

const fn alone(
    id: &'static str,
    quantity: &'static str,
    summary: &'static str,
    tier: Tier,
) -> Metric {
    let from = Derive::Value(select(quantity, &[]), Estimator::LowerQuartile);
    metric(id, summary, Unit::Ns, Better::Lower, tier, FAMILY, from)
}

const fn fought(
    id: &'static str,
    quantity: &'static str,
    summary: &'static str,
    at: &'static [(Text, Text)],
) -> Metric {
    let from = Derive::Value(select(quantity, at), Estimator::Median);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, FAMILY, from)
}

const fn fairness(id: &'static str, quantity: &'static str) -> Metric {
    let summary = "how often the CPU had the lock that had it least, relative to an even share";
    let from = Derive::Value(select(quantity, &[]), Estimator::Median);
    metric(id, summary, Unit::Ratio, Better::Higher, Tier::T4, FAMILY, from)
}

const fn handed(id: &'static str, quantity: &'static str, summary: &'static str) -> Metric {
    let from = Derive::Value(select(quantity, &[]), Estimator::Median);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, FAMILY, from)
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    alone::run(bench)?;
    if let Some(unmet) = Need::Cpus(2).unmet(bench.machine) {
        return bench.skip(unmet.of(BETWEEN_CPUS));
    }
    let cpus = pinning::pinnable(bench.machine.allowed_cpus());
    pinning::pin(bench.cpu);
    if cpus.len() < 2 {
        return bench.skip(pinning::unpinned().of(BETWEEN_CPUS));
    }
    handoff::run(bench, &cpus)?;
    fought::run(bench, &cpus)
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
        let alone: Vec<&str> =
            PROBE.metrics.iter().map(|m| m.id.as_ref()).filter(|id| !between(id)).collect();
        assert_eq!(alone.len(), 4, "{alone:?}");
    }
}
