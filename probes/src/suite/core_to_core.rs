//! How long a line takes from one CPU to another, for pairs of all CPUs, and what atomic additions
//! cost by where their line is.
//!
//! Method: two pinned threads hand a word back and forth, by compare-and-swap and by load and store,
//! without a pause while they wait; half of a round trip is one way. 16 lines and more are in memory
//! that the one touched first, as many in memory of the other; a line's time is the median of its
//! bursts, the pair's the median of its lines. Additions: to a line of one's own, in each form that
//! the CPU has (on aarch64 single instructions, and loads and stores exclusive); to lines that the
//! other CPU has just changed; to lines that both have read; and all CPUs on one line for a fixed
//! time. On large machines each round takes other rows of the matrix, and some pairs of each row.
//! Blind spots: who has a line's home on the chip depends on its address; 32 lines are a sample of
//! them. In a virtual machine a CPU may be moved between two visits: visits are spread over time.
//! Expect: below 12 ns hyperthreads of one core, 15 to 60 ns cores at one L3, up to 130 ns across
//! the chip, more between sockets.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::harness::bench::{Arm, Bench, Tier as RunTier, params};
use crate::harness::sampling::{Collector, Policy};
use crate::kernel::atomic::Form;
use crate::kernel::coherence::{HandOver, add_in_turn, load_each};
use crate::kernel::line::{add_atomically, add_in_form};
use crate::probe::{Need, Probe};
use crate::sys::memory::{Pages, SharedWords};
use crate::threads::crew::{self, Hand, Window};
use crate::threads::gang::Gang;
use crate::threads::ping_pong::{self, Effort, Visit};
use crate::threads::pinning;
use card::counters::Event;
use card::declare::{
    Better, Derive, Estimator, Metric, Proof, Text, Tier, Unit, metric, select, text,
};
use card::machine::{Machine, Relation};
use card::record::{Disturbances, Point, PointState, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "core-to-core",
    summary: "a line's way from CPU to CPU, and atomic additions near and far",
    needs: &[Need::Cpus(2)],
    uses: &[],
    seconds: 1.2,
    metrics: match METRICS.split_last() {
        Some((_, usual)) if Form::declared().len() == 1 => usual,
        _ => METRICS,
    },
    // Where the other core is decides what the vendor calls it: a line of its own, a core's own
    // caches do not hold.
    proofs: &[
        Proof::at_most(OWNED_IDS, select("fetch_add", OWNED), None, Event::L1dMisses, 0.01),
        Proof::at_least(REMOTE_IDS, select("fetch_add", REMOTE), None, Event::L1dMisses, 0.9),
    ],
    in_kernel: false,
    declare: |_| (),
    run,
};

/// The last one is of those architectures where an addition may be one instruction by itself: the
/// older way is measured beside it.
const METRICS: &[Metric] = &[
    one_way(
        "core_to_core.median_ns",
        "one way of a line between two CPUs, compare-and-swap: the middle of all visits",
        Estimator::Median,
    ),
    one_way(
        "core_to_core.min_ns",
        "one way of a line between two CPUs: the shortest that any pair was seen at",
        Estimator::Lowest,
    ),
    one_way(
        "core_to_core.max_ns",
        "one way of a line between two CPUs: the longest that any pair was seen at",
        Estimator::Highest,
    ),
    owned("atomics.fetch_add_owned_cycles", Unit::Cycles),
    owned("atomics.fetch_add_owned_ns", Unit::Ns),
    remote("atomics.fetch_add_remote_cycles", Unit::Cycles),
    remote("atomics.fetch_add_remote_ns", Unit::Ns),
    shared("atomics.fetch_add_shared_cycles", Unit::Cycles),
    shared("atomics.fetch_add_shared_ns", Unit::Ns),
    metric(
        "atomics.contended_gops",
        "atomic additions of all CPUs to one line, together",
        Unit::Gops,
        Better::Higher,
        Tier::T4,
        FAMILY,
        Derive::Rate(1.0, Cow::Borrowed(CONTENDED)),
    ),
    metric(
        "atomics.fairness_ratio",
        "share of the CPU that got least of them, relative to an even share",
        Unit::Ratio,
        Better::Higher,
        Tier::T4,
        FAMILY,
        Derive::Value(select("fairness", &[]), Estimator::Median),
    ),
    fetch_add(
        "atomics.fetch_add_owned_exclusive_cycles",
        "atomic addition to a line of one's own by a load and a store exclusive",
        Unit::Cycles,
        Tier::T1,
        OWNED_EXCLUSIVE,
    ),
];

const FAMILY: &str = "core-to-core";
const OWNED_IDS: &[Text] =
    &[text("atomics.fetch_add_owned_cycles"), text("atomics.fetch_add_owned_ns")];
const REMOTE_IDS: &[Text] =
    &[text("atomics.fetch_add_remote_cycles"), text("atomics.fetch_add_remote_ns")];
const CAS: &[(Text, Text)] = &[(text("method"), text("cas"))];
const OWNED: &[(Text, Text)] = &[(text("line"), text("owned"))];
const OWNED_EXCLUSIVE: &[(Text, Text)] = &[(text("line"), text("owned_exclusive"))];
const REMOTE: &[(Text, Text)] = &[(text("line"), text("remote"))];
const SHARED: &[(Text, Text)] = &[(text("line"), text("shared"))];
const ALL_CPUS: &[(Text, Text)] = &[(text("cpus"), text("all"))];
const CONTENDED: &[Derive] = &[Derive::Value(select("contended", ALL_CPUS), Estimator::Median)];

const fn one_way(id: &'static str, summary: &'static str, which: Estimator) -> Metric {
    let from = Derive::Value(select("one_way", CAS), which);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, FAMILY, from)
}

const fn fetch_add(
    id: &'static str,
    summary: &'static str,
    unit: Unit,
    tier: Tier,
    line: &'static [(Text, Text)],
) -> Metric {
    let from = Derive::Value(select("fetch_add", line), Estimator::LowerQuartile);
    metric(id, summary, unit, Better::Lower, tier, FAMILY, from)
}

const fn owned(id: &'static str, unit: Unit) -> Metric {
    fetch_add(id, "atomic addition to a line of one's own", unit, Tier::T1, OWNED)
}

const fn remote(id: &'static str, unit: Unit) -> Metric {
    fetch_add(id, "atomic addition to a line that another CPU changed last", unit, Tier::T4, REMOTE)
}

const fn shared(id: &'static str, unit: Unit) -> Metric {
    fetch_add(id, "atomic addition to a line that both CPUs have read", unit, Tier::T4, SHARED)
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let cpus = pinning::pinnable(bench.machine.allowed_cpus());
    pinning::pin(bench.cpu);
    if cpus.len() < 2 {
        return bench.skip(pinning::unpinned());
    }
    let Some(&partner) = nearest(bench, &cpus) else { return Ok(()) };
    additions(bench, partner)?;
    contended(bench, &cpus)?;
    // Last, with all the time that is left: it has as many points as there is time for.
    matrix(bench, &cpus)
}

/// A CPU at the same L3 if there is one, else any other, siblings last.
pub(super) fn nearest<'a>(bench: &Bench<'_>, cpus: &'a [usize]) -> Option<&'a usize> {
    let others = cpus.iter().filter(|&&cpu| cpu != bench.cpu);
    others.min_by_key(|&&cpu| match bench.machine.relation(bench.cpu, cpu) {
        Relation::Siblings => Relation::Unclaimed as usize + 1,
        other => other as usize,
    })
}

/// Words of a line.
const LINE: usize = 16;

/// Lines that change hands at a time: some microseconds at least.
const LINES: usize = 256;

/// Additions to a line of one's own, and to lines that another CPU has changed or read.
fn additions(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<()> {
    let policy = Policy { most: 9, ..Policy::structural(bench.share(0.08)) };
    for (i, form) in Form::all().into_iter().enumerate() {
        let line = if i == 0 { "owned".to_owned() } else { format!("owned_{}", form.name()) };
        let counter = AtomicU32::new(0);
        let mut added = 0_u64;
        let arm = Arm::new("fetch_add", params([("line", line.as_str().into())]), |ops| {
            add_in_form(form, &counter, ops);
            added += ops;
        });
        bench.sample(arm, &policy)?;
        let counted = counter.into_inner();
        let right = counted == added as u32;
        bench.check(right, || format!("{added} atomic additions gave {counted}"))?;
    }
    // The other CPU waits while this one works: whether they are siblings shows in the time, and no
    // sample would ever be quiet.
    let policy = Policy { quiet: false, ..policy };
    for (name, read) in [("remote", false), ("shared", true)] {
        taken_over(bench, partner, name, read, &policy)?;
    }
    Ok(())
}

/// The partner adds to all lines, and then this CPU does, each time in a new order.
fn taken_over(
    bench: &mut Bench<'_>,
    partner: usize,
    name: &str,
    read: bool,
    policy: &Policy,
) -> anyhow::Result<()> {
    let memory = SharedWords::new(4 * LINES * LINE * 4, Pages::Small)?;
    let words = memory.words();
    let mut at: Vec<u32> = (0..4 * LINES).map(|line| (line * LINE) as u32).collect();
    bench.rng.shuffle(&mut at);
    at.truncate(LINES);
    let follow = |gang: &Gang, _| {
        while gang.meet() {
            add_in_turn(words, &at);
            gang.meet();
            if read {
                // Once more, after the other has read them: a line that is read first after it was
                // changed may come as one's own.
                gang.meet();
                std::hint::black_box(load_each(words, &at));
                gang.meet();
            }
        }
    };
    let mut collector = Collector::default();
    let until = bench.meter.elapsed() + policy.time;
    let Bench { meter, history, cpu, .. } = bench;
    let mut passes = 0_u32;
    let lead = |gang: &Gang| {
        while collector.samples.len() < policy.most
            && (meter.elapsed() < until || collector.samples.len() < policy.want)
            && passes < 4 * policy.most as u32
        {
            gang.meet();
            gang.meet();
            if read {
                std::hint::black_box(load_each(words, &at));
                gang.meet();
                gang.meet();
            }
            let reading = meter.measure(LINES as u64, &mut |_| add_in_turn(words, &at));
            collector.offer(&reading, LINES as u64, policy, history);
            passes += 1;
        }
    };
    if let Err(e) = Gang::run(*cpu, &[partner], follow, lead) {
        return bench.skip(few_threads(2, &e.to_string()));
    }
    let sum = load_each(words, &at);
    // The partner may have begun one pass more before it was told to stop.
    let passes = passes * LINES as u32;
    let right = sum == 2 * passes || sum == 2 * passes + LINES as u32;
    bench.check(right, || format!("{} additions by two CPUs gave {sum}", 2 * passes))?;
    let state = collector.state(policy);
    let labels = params([("line", name.into())]);
    let point = Point {
        ops: LINES as u64,
        counts: collector.middle_counts(),
        core_ghz: collector.core_ghz,
        disturbances: collector.disturbances,
        ..bench.point("fetch_add", labels, Unit::Ns, collector.samples, state)
    };
    bench.emit(point)
}

pub(super) fn few_threads(threads: usize, reason: &str) -> Skip {
    Skip::new(
        format!("{threads} threads"),
        reason,
        "raise the limits on threads (ulimit -u, pids.max) and memory",
    )
}

/// One of many that add to the same counter.
struct Adder<'a> {
    counter: &'a AtomicU32,
    slice: u64,
}

impl Hand for Adder<'_> {
    fn begin(&mut self, _: usize) {}

    fn work(&mut self) -> u64 {
        add_atomically(self.counter, self.slice);
        self.slice
    }

    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Powers of two of CPUs, and all of them, at one counter.
fn contended(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    const WINDOWS: usize = 5;
    const WINDOW: Duration = Duration::from_millis(2);
    let mut others: Vec<usize> = cpus.iter().copied().filter(|&cpu| cpu != bench.cpu).collect();
    bench.rng.shuffle(&mut others);
    for threads in crowds(cpus.len()) {
        let counter = AtomicU32::new(0);
        // So short that even the slowest has many of them within a window.
        let slice = (1000 / threads as u64).max(1);
        let hire = |_| Ok(Adder { counter: &counter, slice });
        let team = (bench.cpu, &others[..threads - 1]);
        let windows = match crew::windows(team, &bench.timer, (WINDOWS, WINDOW), hire) {
            Ok(windows) => windows,
            Err(reason) => return bench.skip(few_threads(threads, &reason)),
        };
        let added: u64 = windows.iter().flat_map(|w| &w.0).map(|share| share.amount).sum();
        let counted = counter.into_inner();
        bench.check(counted == added as u32, || {
            format!("{added} atomic additions by {threads} CPUs gave {counted}")
        })?;
        let (kept, state, disturbances) = crew::undisturbed(&windows);
        let times = kept.iter().map(|window| 1.0 / window.rate()).collect();
        let mut labels = params([("threads", (threads as u64).into())]);
        if threads == cpus.len() {
            labels.insert("cpus".into(), "all".into());
            let even = kept.iter().map(|window| least_share(window)).collect();
            let point = bench.point("fairness", params([]), Unit::Ratio, even, state);
            bench.emit(Point { disturbances, ..point })?;
        }
        let point = bench.point("contended", labels, Unit::Ns, times, state);
        bench.emit(Point { disturbances, ..point })?;
    }
    Ok(())
}

/// 1, 2, 4, … and all.
pub(super) fn crowds(all: usize) -> Vec<usize> {
    let mut crowds: Vec<usize> =
        std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| *n < all).collect();
    crowds.push(all);
    crowds
}

/// What the one got that got least, relative to an even share.
pub(super) fn least_share(window: &Window) -> f64 {
    let rates = || window.0.iter().map(|share| share.amount as f64 / share.ns);
    let least = rates().fold(f64::INFINITY, f64::min);
    least * window.0.len() as f64 / rates().sum::<f64>()
}

/// Pairs of one round on large machines: with two numbers for each, five rounds stay below 200 kB.
const MOST_PAIRS: usize = 1300;

/// Pairs up to which each is visited several times, with more effort.
const FEW_PAIRS: usize = 64;

/// Visits of a round, where there are few pairs: so many moments at which a CPU may be elsewhere.
const VISITS: usize = 8;

fn matrix(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    let thorough = bench.tier == RunTier::Thorough;
    let most = if thorough { usize::MAX } else { MOST_PAIRS };
    let pairs = plan(bench.machine, cpus, bench.round, most, &mut bench.rng);
    let few = pairs.len() <= FEW_PAIRS;
    let repeats = if few { (FEW_PAIRS / pairs.len()).clamp(1, VISITS) } else { 1 };
    let effort = if few {
        Effort { lines_each: 16, bursts: 3, trips: 100, warm_up: 2000 }
    } else {
        Effort { lines_each: 16, bursts: 3, trips: 24, warm_up: 500 }
    };
    let visits: Vec<(usize, usize)> = pairs.repeat(repeats);
    let (began, time) = (bench.meter.elapsed(), bench.left());
    let mut seen: Vec<((usize, usize), Visit)> = Vec::with_capacity(visits.len());
    let mut refused: Vec<((usize, usize), String)> = Vec::new();
    for (i, &pair) in visits.iter().enumerate() {
        if few {
            let due = time.mul_f64(i as f64 / visits.len() as f64);
            bench.meter.pause(due.saturating_sub(bench.meter.elapsed() - began));
        }
        if i > 0 && bench.left().is_zero() {
            break;
        }
        let visit = ping_pong::visit(&bench.timer, pair, &effort, &mut bench.rng);
        let lost = visit.as_ref() == Err(&ping_pong::WRONG.to_owned());
        bench.check(!lost, || format!("{}: CPUs {} and {}", ping_pong::WRONG, pair.0, pair.1))?;
        match visit {
            Ok(visit) => seen.push((pair, visit)),
            Err(reason) => refused.push((pair, reason)),
        }
    }
    pinning::pin(bench.cpu);
    left_out(bench, cpus.len(), &seen, &refused)?;
    for how in HandOver::ALL {
        for (from, to) in rows(&seen) {
            let point = row(bench, how, from, &to);
            bench.emit(point)?;
        }
    }
    // How much the lines of a pair differ, of one pair a round.
    if let Some(((from, to), visit)) = seen.first() {
        for (home, ns) in [from, to].iter().zip(visit.lines(HandOver::Cas)) {
            let labels = params([
                ("from", (*from as u64).into()),
                ("to", (*to as u64).into()),
                ("home", (**home as u64).into()),
            ]);
            bench.record("line", labels, Unit::Ns, ns.clone())?;
        }
    }
    Ok(())
}

/// Says which pairs are missing, and why.
fn left_out(
    bench: &mut Bench<'_>,
    cpus: usize,
    seen: &[((usize, usize), Visit)],
    refused: &[((usize, usize), String)],
) -> anyhow::Result<()> {
    if let Some(((a, b), reason)) = refused.first() {
        bench.skip(Skip::new(
            "pairs of CPUs that hand a line over",
            format!("{} visits failed, the first to CPUs {a} and {b}: {reason}", refused.len()),
            "give the process whole CPUs and threads (cpuset, ulimit -u)",
        ))?;
    }
    let visited = seen.iter().map(|visit| visit.0).collect::<BTreeSet<_>>().len();
    let all = cpus * (cpus - 1) / 2;
    // The other rounds look at other pairs, and say no more than this one.
    if visited < all && refused.is_empty() && bench.round == 0 {
        bench.skip(Skip::new(
            "time for every pair of CPUs",
            format!("a round visits {visited} of {all}, each round others"),
            "give the run more time (--tier thorough or --budget)",
        ))?;
    }
    Ok(())
}

/// Visits by their first CPU, in the order in which they were made.
fn rows(seen: &[((usize, usize), Visit)]) -> BTreeMap<usize, Vec<(usize, &Visit)>> {
    let mut rows: BTreeMap<usize, Vec<(usize, &Visit)>> = BTreeMap::new();
    for ((from, to), visit) in seen {
        rows.entry(*from).or_default().push((*to, visit));
    }
    rows
}

/// A row of the matrix as one point: the samples are in the order of the CPUs named in `to`. A
/// point for each pair would make half the card of a large machine.
fn row(bench: &Bench<'_>, how: HandOver, from: usize, to: &[(usize, &Visit)]) -> Point {
    let timed: Vec<(usize, f64)> =
        to.iter().filter_map(|(cpu, visit)| Some((*cpu, visit.middle(how)?))).collect();
    let names: Vec<String> = timed.iter().map(|(cpu, _)| cpu.to_string()).collect();
    let labels = params([
        ("from", (from as u64).into()),
        ("to", names.join(",").as_str().into()),
        ("method", how.name().into()),
    ]);
    let samples = timed.into_iter().map(|(_, ns)| ns).collect();
    let nivcsw = to.iter().map(|(_, visit)| visit.switches).sum();
    // A visit is the median of many bursts: one interruption does not move it.
    let interrupted = to.iter().filter(|(_, visit)| visit.switches > 0).count();
    let state = if 2 * interrupted > to.len() { PointState::Noisy } else { PointState::Ok };
    Point {
        disturbances: Disturbances { nivcsw, ..Disturbances::default() },
        ..bench.point("one_way", labels, Unit::Ns, samples, state)
    }
}

/// The pairs of a round in random order. All of them if there are no more than `most`; else whole
/// rows of CPUs that no other round takes before all were taken, and in each row a pair of every
/// kind that the machine claims, and others at random.
fn plan(
    machine: &Machine,
    cpus: &[usize],
    round: u32,
    most: usize,
    rng: &mut fastrand::Rng,
) -> Vec<(usize, usize)> {
    let count = cpus.len();
    let mut pairs: Vec<(usize, usize)> = if count * (count - 1) / 2 <= most {
        let later = |i: usize| cpus[i + 1..].iter().map(move |&to| (cpus[i], to));
        (0..count).flat_map(later).collect()
    } else {
        let rows = most.isqrt().clamp(1, count);
        // The same order in all rounds.
        let mut order = cpus.to_vec();
        fastrand::Rng::with_seed(count as u64).shuffle(&mut order);
        order.rotate_left(round as usize * rows % count);
        order.truncate(rows);
        order.iter().flat_map(|&from| targets(machine, cpus, from, most / rows, rng)).collect()
    };
    rng.shuffle(&mut pairs);
    pairs
}

/// Some CPUs for a row.
fn targets(
    machine: &Machine,
    cpus: &[usize],
    from: usize,
    most: usize,
    rng: &mut fastrand::Rng,
) -> Vec<(usize, usize)> {
    let mut others: Vec<usize> = cpus.iter().copied().filter(|&cpu| cpu != from).collect();
    rng.shuffle(&mut others);
    let mut kinds: Vec<Relation> = Vec::new();
    let (mut first, rest): (Vec<usize>, Vec<usize>) = others.into_iter().partition(|&to| {
        let kind = machine.relation(from, to);
        let new = !kinds.contains(&kind);
        if new {
            kinds.push(kind);
        }
        new
    });
    first.extend(rest);
    first.truncate(most);
    first.into_iter().map(|to| (from, to)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    /// CPUs 0..n: the second half are the siblings of the first, so many cores at an L3 cache, two
    /// nodes.
    fn machine(cpus: usize, cores_at_l3: usize) -> Machine {
        let cores = cpus / 2;
        let core: Vec<Vec<usize>> = (0..cores).map(|c| vec![c, c + cores]).collect();
        let l3: Vec<Vec<usize>> = core.chunks(cores_at_l3).map(<[Vec<usize>]>::concat).collect();
        let node = |id: usize| {
            let cpus: Vec<usize> = core[id * cores / 2..(id + 1) * cores / 2].concat();
            serde_json::json!({ "id": id, "cpus": cpus })
        };
        serde_json::from_value(serde_json::json!({ "topology": {
            "cores": core, "l3_groups": l3, "numa_nodes": [node(0), node(1)],
        }}))
        .unwrap()
    }

    fn planned(machine: &Machine, cpus: usize, round: u32, most: usize) -> Vec<(usize, usize)> {
        let all: Vec<usize> = (0..cpus).collect();
        plan(machine, &all, round, most, &mut fastrand::Rng::with_seed(u64::from(round)))
    }

    #[test]
    fn small_machines_are_measured_whole() {
        assert_eq!(planned(&Machine::default(), 2, 0, MOST_PAIRS), [(0, 1)]);
        let all = planned(&machine(50, 8), 50, 3, MOST_PAIRS);
        let different: HashSet<_> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (50 * 49 / 2, 50 * 49 / 2));
        assert!(all.iter().all(|(from, to)| from < to));
        assert_eq!(planned(&machine(128, 8), 128, 0, usize::MAX).len(), 128 * 127 / 2);
    }

    #[test]
    fn large_machines_are_measured_in_different_rows_with_pairs_of_every_kind() {
        for (cpus, cores_at_l3) in [(128, 8), (512, 8)] {
            let machine = machine(cpus, cores_at_l3);
            let mut rows = BTreeSet::new();
            for round in 0..3 {
                let pairs = planned(&machine, cpus, round, MOST_PAIRS);
                assert!(pairs.len() <= MOST_PAIRS && pairs.len() > MOST_PAIRS * 9 / 10);
                assert_eq!(pairs.iter().collect::<HashSet<_>>().len(), pairs.len());
                assert!(pairs.iter().all(|(from, to)| from != to));
                let here: BTreeSet<usize> = pairs.iter().map(|p| p.0).collect();
                assert!(here.is_disjoint(&rows), "round {round} repeats a row");
                for &from in &here {
                    let own = pairs.iter().filter(|p| p.0 == from);
                    let kinds: HashSet<Relation> =
                        own.map(|&(from, to)| machine.relation(from, to)).collect();
                    assert_eq!(kinds.len(), 4, "{kinds:?}");
                }
                rows.extend(here);
            }
        }
    }

    #[test]
    fn a_large_machine_stays_a_small_card() {
        // What a row and a pair take, five rounds, both ways of handing over.
        let pairs = planned(&machine(512, 8), 512, 0, MOST_PAIRS);
        let rows = pairs.iter().map(|p| p.0).collect::<HashSet<_>>().len();
        let bytes = 5 * 2 * (rows * 150 + pairs.len() * "511,123.45,".len());
        assert!(bytes < 200_000, "{bytes}");
    }

    #[test]
    fn crowds_grow_to_all() {
        assert_eq!(crowds(2), [1, 2]);
        assert_eq!(crowds(6), [1, 2, 4, 6]);
        assert_eq!(crowds(512).len(), 10);
    }

    #[test]
    fn the_least_share_is_relative_to_an_even_one() {
        let share = |amount| crew::Share { amount, ns: 10.0, ..crew::Share::default() };
        assert!((least_share(&Window(vec![share(100), share(100)])) - 1.0).abs() < 1e-9);
        assert!((least_share(&Window(vec![share(300), share(100)])) - 0.5).abs() < 1e-9);
    }
}
