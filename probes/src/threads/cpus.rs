//! Which CPUs a probe may use, and what stands on the card where they do not suffice.

use super::pinning::{pin, try_pin};
use crate::harness::bench::Bench;
use card::format::count;
use card::machine::{Machine, Relation};
use card::record::Skip;

/// Those that the calling thread can be pinned to; it is on the bench's own afterwards.
pub fn pinnable(bench: &Bench<'_>) -> Vec<usize> {
    let allowed = bench.machine.allowed_cpus();
    let cpus = allowed.iter().copied().filter(|&cpu| pin(cpu)).collect();
    pin(bench.cpu);
    cpus
}

/// All of them but the bench's own.
pub fn others(bench: &Bench<'_>, cpus: &[usize]) -> Vec<usize> {
    cpus.iter().copied().filter(|&cpu| cpu != bench.cpu).collect()
}

/// A CPU at the same L3 if there is one, else any other, siblings last.
pub fn nearest(bench: &Bench<'_>, cpus: &[usize]) -> Option<usize> {
    others(bench, cpus).into_iter().min_by_key(|&cpu| {
        match bench.machine.relation(bench.cpu, cpu) {
            Relation::Siblings => Relation::Unclaimed as usize + 1,
            other => other as usize,
        }
    })
}

/// Numbers of threads from one to all: 1, 2, 4, … and all.
pub fn thread_counts(all: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| *n < all).collect();
    counts.push(all);
    counts
}

/// Why nothing can be measured between two CPUs where threads cannot be pinned; the calling thread is
/// on `home` afterwards, if it can be.
pub fn unpinned(machine: &Machine, home: usize) -> Skip {
    let why = machine.allowed_cpus().iter().find_map(|&cpu| try_pin(cpu).err());
    pin(home);
    let why = why.map_or_else(|| "one CPU alone can be pinned to".into(), |why| why.to_string());
    Skip::new(
        "threads on two CPUs of their own",
        format!("threads cannot be pinned here: {why}"),
        PINNING,
    )
}

/// What helps where threads cannot be pinned.
pub const PINNING: &str = "allow sched_setaffinity in the seccomp profile, or leave the sandbox that only pretends to do it";

/// So many threads cannot be had.
pub fn few_threads(threads: usize, reason: impl ToString) -> Skip {
    Skip::new(count(threads, "thread"), reason.to_string(), MORE_THREADS)
}

/// What helps against that.
pub const MORE_THREADS: &str = "raise the limits on threads (ulimit -u, pids.max) and memory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_grow_to_all() {
        assert_eq!(thread_counts(2), [1, 2]);
        assert_eq!(thread_counts(6), [1, 2, 4, 6]);
        assert_eq!(thread_counts(512).len(), 10);
    }
}
