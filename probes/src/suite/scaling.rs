//! Throughput against the number of threads, up to twice as many as there are CPUs.
//!
//! Method: threads that the scheduler places as it likes do the same work as fast as they can, and
//! what all of them have done is read now and then while they go on. Work of four kinds: (1)
//! compute, in registers; (2) memory, each thread reading through a buffer beyond the caches; (3)
//! lock, some 20 ns under one mutex and as much outside; (4) message, a ring of threads each of
//! which hands what it receives to the next. A thread on its own sends to itself.
//! Blind spots: the windows are some milliseconds long, and a scheduler may still be moving
//! threads; under a quota of CPU time they last one of its periods. Where the host moves CPUs, as
//! many threads may be worth one core or two: rounds differ then.
//! Expect: compute in proportion to cores, and a quarter more for their second hyperthreads; memory
//! until its bandwidth is used up, by 2 to 8 threads; less than one thread's work under a lock; more
//! threads than CPUs gain nothing and, where they wait for each other, lose.

use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::harness::need::Need;
use crate::probe::Probe;
use crate::sys::thread;
use crate::threads::{cpus, pinning};
use card::declare::{Declare, NoiseClass, ReportOnly, Unit};
use card::machine::{CpuQuota, Machine, format_list};
use card::record::{Point, PointState, Skip};

mod watch;
mod work;

use watch::Windows;
use work::Kind;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "scaling",
    summary: "thread scaling, 1 to 2 × CPUs threads: compute, memory, lock, messages",
    needs: &[Need::Memory(8 << 20)],
    uses: &[],
    seconds: 0.9,
    in_kernel: true,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("scaling");
    d.report_only(Some(ReportOnly::Contention));
    // Throughput is one divided by time.
    let times = Kind::ALL.map(|kind| {
        let of_kind = [("kind", kind.name())];
        d.quantity_where("time_per_op", &of_kind, Unit::Ns, kind.estimator())
    });
    let mut ratios =
        |id: fn(Kind) -> &'static str, [fewer, more]: [&str; 2], summaries: [&'static str; 4]| {
            for ((kind, time), summary) in Kind::ALL.into_iter().zip(&times).zip(summaries) {
                d.metric(
                    id(kind),
                    NoiseClass::T4,
                    time.with("at", fewer) / time.with("at", more),
                    summary,
                );
            }
        };
    ratios(
        Kind::ratio,
        ["one", "full"],
        [
            "compute scaling: throughput, 1 thread per CPU ÷ 1 thread",
            "DRAM read scaling: throughput, 1 thread per CPU ÷ 1 thread",
            "scaling of work half under a lock: throughput, 1 thread per CPU ÷ 1 thread",
            "message rate between threads, 1 per CPU ÷ 1 thread to itself",
        ],
    );
    ratios(
        Kind::oversubscribed,
        ["full", "double"],
        [
            "compute: throughput, 2 threads per CPU ÷ 1 per CPU",
            "DRAM reads: throughput, 2 threads per CPU ÷ 1 per CPU",
            "work half under a lock: throughput, 2 threads per CPU ÷ 1 per CPU",
            "message rate, 2 threads per CPU ÷ 1 per CPU",
        ],
    );
}

/// Windows of a setting.
const WINDOWS: usize = 5;

/// The shortest window in which a scheduler puts threads where they belong, and one that is long
/// enough for that.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(10);

/// In each of these a group of processes gets its quota of CPU time, and then nothing: Linux' own
/// period. A shorter window sees all CPUs, or none.
const QUOTA_PERIOD: Duration = Duration::from_millis(100);

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let allowed = bench.machine.allowed_cpus().to_vec();
    // The threads inherit it. Where it is not permitted, this thread was never pinned.
    thread::set_affinity(&allowed);
    let measured = kinds(bench);
    pinning::pin(bench.cpu);
    measured
}

fn kinds(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let all = usable(bench.machine);
    if all.count < 2 {
        let unmet = Need::Cpus(2).unmet(bench.machine);
        let skip = Skip::new(
            "2 CPUs",
            all.note.clone().or(unmet.map(|u| u.reason)).unwrap_or_default(),
            "give the process 2 CPUs (taskset, cpuset, --cpus)",
        );
        bench.skip(skip.of(Kind::ALL.map(Kind::ratio)))?;
    }
    let mut kinds = Kind::ALL;
    bench.rng.shuffle(&mut kinds);
    for (i, kind) in kinds.into_iter().enumerate() {
        let time = bench.left() / (kinds.len() - i) as u32;
        one_kind(bench, kind, &all, time)?;
    }
    Ok(())
}

/// As many threads as can be at work at a time.
struct Usable {
    count: usize,
    /// What grants less time than there are CPUs.
    note: Option<String>,
}

fn usable(machine: &Machine) -> Usable {
    let cpus = machine.allowed_cpus().len().max(1);
    let quota = machine.cpu_quota().filter(|quota| quota.cpus < cpus as f64);
    let note = |quota: &CpuQuota| {
        format!("a quota of {} CPUs ({}) on {cpus} CPUs", quota.cpus, quota.source)
    };
    Usable {
        count: quota.map_or(cpus, |quota| (quota.cpus.ceil() as usize).max(1)),
        note: quota.map(note),
    }
}

/// Why threads that are placed by the scheduler may share a CPU while others are idle.
fn isolated(machine: &Machine) -> Option<String> {
    let isolated = machine.topology.isolated.known()?;
    let (mine, others): (Vec<usize>, Vec<usize>) =
        machine.allowed_cpus().iter().partition(|cpu| isolated.contains(cpu));
    let all = if others.is_empty() { "" } else { "some of " };
    (!mine.is_empty()).then(|| {
        format!(
            "{all}the CPUs are isolated ({}): the scheduler leaves threads there where they began",
            format_list(&mine)
        )
    })
}

/// 1 to twice as many: those that metrics are made of first, then the others up to 8 and powers of
/// two.
fn counts(all: usize) -> Vec<usize> {
    let mut counts = vec![1, all, 2 * all];
    counts.extend((2..=8).chain((4..).map(|power| 1 << power).take_while(|n| *n < 2 * all)));
    let mut seen = std::collections::BTreeSet::new();
    counts.retain(|count| *count <= 2 * all && seen.insert(*count));
    counts
}

/// What a number of threads is called in the metrics. A single CPU is all there is: nothing scales.
fn called(threads: usize, all: usize) -> Option<&'static str> {
    match threads {
        _ if threads == all => Some("full"),
        _ if threads == 2 * all => Some("double"),
        1 => Some("one"),
        _ => None,
    }
}

fn one_kind(bench: &mut Bench<'_>, kind: Kind, all: &Usable, time: Duration) -> anyhow::Result<()> {
    let until = bench.meter.elapsed() + time;
    let ground = match kind.prepare(bench.machine) {
        Ok(ground) => ground,
        Err(unmet) => return bench.skip(unmet),
    };
    let counts = counts(all.count);
    let must = counts.iter().filter(|count| called(**count, all.count).is_some()).count();
    let (mut first, mut more) = (counts[..must].to_vec(), counts[must..].to_vec());
    bench.rng.shuffle(&mut first);
    bench.rng.shuffle(&mut more);
    let left = until.saturating_sub(bench.meter.elapsed());
    let windows = windows(left / counts.len() as u32, all.note.is_some());
    for (i, threads) in first.into_iter().chain(more).enumerate() {
        let left = until.saturating_sub(bench.meter.elapsed());
        if i >= must && left < windows.time() {
            break;
        }
        let seen = match ground.throughput(threads, &windows) {
            Ok(seen) => seen,
            Err(watch::Unable::Start(reason)) => {
                // More threads will not start either, fewer may.
                bench.skip(
                    cpus::few_threads(threads, reason).of(missed(kind, threads, all.count)),
                )?;
                continue;
            }
            Err(watch::Unable::Wrong(what)) => {
                bench.check(false, || format!("{} with {threads} threads: {what}", kind.name()))?;
                continue;
            }
        };
        let mut labels =
            params([("kind", kind.name().into()), ("threads", (threads as u64).into())]);
        let called = called(threads, all.count);
        if let Some(at) = called {
            labels.insert("at".into(), at.into());
        }
        let point = bench.point("time_per_op", labels, Unit::Ns, seen, PointState::Ok);
        // It need not be said of every point.
        let note = all.note.clone().or_else(|| isolated(bench.machine));
        let note = note.filter(|_| called == Some("full"));
        bench.emit(Point { note, ..point })?;
    }
    Ok(())
}

/// As long as there is time for, within reason.
fn windows(time: Duration, quota: bool) -> Windows {
    if quota {
        return Windows { count: 1, length: QUOTA_PERIOD, before: Duration::ZERO };
    }
    // Half a window more for the threads to start and find their places.
    let length = (time / (2 * WINDOWS as u32 + 1) * 2).clamp(SHORTEST, LONGEST);
    Windows { count: WINDOWS, length, before: length / 2 }
}

/// What is not known without that number of threads: no metric where it is a part of the curve.
fn missed(kind: Kind, threads: usize, all: usize) -> Vec<&'static str> {
    match called(threads, all) {
        Some("one") => vec![kind.ratio()],
        Some("full") => vec![kind.ratio(), kind.oversubscribed()],
        Some(_) => vec![kind.oversubscribed()],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::machine::Fact;

    #[test]
    fn what_is_missed_is_named_as_it_is_declared() {
        let declared = PROBE.declaration();
        for kind in Kind::ALL {
            for id in [kind.ratio(), kind.oversubscribed()] {
                assert!(declared.metrics.iter().any(|metric| metric.id == id), "{id}");
            }
            assert_eq!(missed(kind, 4, 4), [kind.ratio(), kind.oversubscribed()]);
            assert!(missed(kind, 3, 4).is_empty());
        }
    }

    #[test]
    fn all_counts_up_to_8_then_powers_of_two_and_twice_as_many() {
        assert_eq!(counts(1), [1, 2]);
        assert_eq!(counts(2), [1, 2, 4, 3]);
        assert_eq!(counts(6), [1, 6, 12, 2, 3, 4, 5, 7, 8]);
        assert_eq!(counts(24), [1, 24, 48, 2, 3, 4, 5, 6, 7, 8, 16, 32]);
        for all in 1..300 {
            let counts = counts(all);
            let names: Vec<_> = counts.iter().filter_map(|n| called(*n, all)).collect();
            assert_eq!(names.len(), if all == 1 { 2 } else { 3 });
            assert!(counts[..names.len()].iter().all(|n| called(*n, all).is_some()));
            assert!(counts.iter().all(|n| (1..=2 * all).contains(n)) && counts.len() < 20);
        }
    }

    fn machine(cpus: usize, quota: Option<f64>) -> Machine {
        let mut machine = Machine::default();
        machine.limits.allowed_cpus = (0..cpus).collect();
        let quota = quota.map(|cpus| CpuQuota { cpus, source: "cgroup cpu.max /pod".into() });
        machine.limits.cpu_quota = Fact::Known(quota);
        machine
    }

    #[test]
    fn a_quota_counts_where_it_is_less_than_the_cpus() {
        let all = |cpus, quota| usable(&machine(cpus, quota));
        assert_eq!((all(8, None).count, all(8, None).note), (8, None));
        let tight = all(8, Some(1.5));
        assert_eq!(tight.count, 2, "two threads can use it up");
        let note = tight.note.unwrap();
        assert!(note.contains("1.5 CPUs") && note.contains("cpu.max /pod"), "{note}");
        assert_eq!(all(8, Some(0.2)).count, 1);
        assert_eq!((all(2, Some(4.0)).count, all(2, Some(4.0)).note), (2, None));
        assert_eq!(usable(&Machine::default()).count, 1);
    }

    #[test]
    fn windows_fit_the_time_and_a_quota_its_period() {
        let short = windows(Duration::from_millis(1), false);
        assert_eq!(short.length, SHORTEST);
        let fitting = windows(Duration::from_millis(40), false);
        assert!(fitting.time() <= Duration::from_millis(41), "{:?}", fitting.time());
        assert!(windows(Duration::from_secs(9), false).length == LONGEST);
        assert_eq!(windows(Duration::ZERO, true).length, QUOTA_PERIOD);
    }
}
