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

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::harness::bench::{Arm, Bench, Tier as RunTier, WrongAnswer, params};
use crate::harness::meter::{Meter, Reading};
use crate::harness::sampling::{ClockHistory, Collector, Patience, Policy};
use crate::harness::turns::{Amount, Sampled};
use crate::kernel::atomic::Form;
use crate::kernel::coherence::{HandOver, add_in_turn, load_each};
use crate::kernel::line::{add_atomically, add_in_form};
use crate::probe::{Need, Probe};
use crate::sys::memory::{LINE, Pages, SharedWords, WORDS_IN_LINE};
use crate::threads::cpus;
use crate::threads::ping_pong::{self, Effort, Visit};
use crate::threads::pinning;
use crate::threads::team::Team;
use crate::threads::windows::{self, Worker};
use card::counters::Event;
use card::declare::{Declare, Estimator, Tier, Unit, at_least, at_most};
use card::machine::{Machine, Relation};
use card::record::{Disturbances, Point, PointState, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "core-to-core",
    summary: "a line's way from CPU to CPU, and atomic additions near and far",
    needs: &[Need::Cpus(2)],
    uses: &[],
    seconds: 1.2,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("core-to-core");
    let one_way = d.quantity("one_way", Unit::Ns, Estimator::Median);
    let cas = one_way.with("method", HandOver::Cas.name());
    let mut way = |id: &'static str, estimator, summary: &'static str| {
        d.metric(id, Tier::T4, cas.statistic(estimator), summary);
    };
    way(
        "core_to_core.median_ns",
        Estimator::Median,
        "one way of a line between two CPUs, compare-and-swap: the middle of all visits",
    );
    way(
        "core_to_core.min_ns",
        Estimator::Lowest,
        "one way of a line between two CPUs: the shortest that any pair was seen at",
    );
    way(
        "core_to_core.max_ns",
        Estimator::Highest,
        "one way of a line between two CPUs: the longest that any pair was seen at",
    );
    d.quantity("line", Unit::Ns, Estimator::Median);
    additions_declared(d);
    let contended = d.quantity("contended", Unit::Ns, Estimator::Median).with("cpus", "all");
    d.metric(
        "atomics.contended_gops",
        Tier::T4,
        contended.value().rate(1.0),
        "atomic additions of all CPUs to one line, together",
    );
    let fairness = d.quantity("fairness", Unit::Ratio, Estimator::Median);
    d.metric(
        "atomics.fairness_ratio",
        Tier::T4,
        fairness,
        "share of the CPU that got least of them, relative to an even share",
    );
}

fn additions_declared(d: &mut Declare) {
    let add = d.quantity("fetch_add", Unit::Ns, Estimator::LowerQuartile);
    let [owned, remote, shared] = ["owned", "remote", "shared"].map(|line| add.with("line", line));
    let of_own = "atomic addition to a line of one's own";
    d.cost("atomics.fetch_add_owned", Tier::T1, owned.clone(), of_own);
    // The first one is what a compiler would choose, and has no name in the ids.
    for form in &Form::declared()[1..] {
        d.metric(
            format!("atomics.fetch_add_owned_{form}_cycles"),
            Tier::T1,
            add.with("line", format!("owned_{form}")),
            format!("{of_own} by a load and a store {form}"),
        );
    }
    d.cost(
        "atomics.fetch_add_remote",
        Tier::T4,
        remote.clone(),
        "atomic addition to a line that another CPU changed last",
    );
    d.cost(
        "atomics.fetch_add_shared",
        Tier::T4,
        shared,
        "atomic addition to a line that both CPUs have read",
    );
    // Where the other core is decides what the vendor calls it: a line of its own, a core's own
    // caches do not hold.
    let ids = ["atomics.fetch_add_owned_cycles", "atomics.fetch_add_owned_ns"];
    d.proof(ids, owned, Event::L1dMisses, at_most(0.01));
    let ids = ["atomics.fetch_add_remote_cycles", "atomics.fetch_add_remote_ns"];
    d.proof(ids, remote, Event::L1dMisses, at_least(0.9));
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let cpus = cpus::pinnable(bench);
    if cpus.len() < 2 {
        return bench.skip(cpus::unpinned());
    }
    let Some(partner) = cpus::nearest(bench, &cpus) else { return Ok(()) };
    additions(bench, partner)?;
    contended(bench, &cpus)?;
    // Last, with all the time that is left: it has as many points as there is time for.
    matrix(bench, &cpus)
}

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
    let memory = SharedWords::new(4 * LINES * LINE, Pages::Small)?;
    let words = memory.words();
    let mut at: Vec<u32> = (0..4 * LINES).map(|line| (line * WORDS_IN_LINE) as u32).collect();
    bench.rng.shuffle(&mut at);
    at.truncate(LINES);
    let follow = |team: &Team, _| {
        while team.wait() {
            add_in_turn(words, &at);
            team.wait();
            if read {
                // Once more, after the other has read them: a line that is read first after it was
                // changed may come as one's own.
                team.wait();
                std::hint::black_box(load_each(words, &at));
                team.wait();
            }
        }
    };
    let policy = Policy { patience: Patience::Passes(4 * policy.most), ..*policy };
    let cpu = bench.cpu;
    let lead = |team: &Team| {
        let mut lines = TakenOver { words, at: &at, read, team, passes: 0 };
        let taken = bench.take(&mut lines, &policy)?;
        Ok::<_, WrongAnswer>((taken.collector, lines.passes))
    };
    let (collector, passes) = match Team::pinned(cpu, &[partner], follow, lead) {
        Ok(taken) => taken?,
        Err(e) => return bench.skip(cpus::few_threads(2, e)),
    };
    let sum = load_each(words, &at);
    // The partner may have begun one pass more before it was told to stop.
    let passes = passes * LINES as u32;
    let right = sum == 2 * passes || sum == 2 * passes + LINES as u32;
    bench.check(right, || format!("{} additions by two CPUs gave {sum}", 2 * passes))?;
    let state = collector.state(&policy);
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

/// Lines that the partner has changed, and this CPU has read since or not.
struct TakenOver<'a> {
    words: &'a [AtomicU32],
    at: &'a [u32],
    read: bool,
    team: &'a Team,
    passes: u32,
}

impl Sampled for TakenOver<'_> {
    fn amount(&self) -> Amount {
        Amount::Fixed(LINES as u64)
    }

    fn take(&mut self, meter: &mut dyn Meter, ops: u64) -> io::Result<Reading> {
        self.team.wait();
        self.team.wait();
        if self.read {
            std::hint::black_box(load_each(self.words, self.at));
            self.team.wait();
            self.team.wait();
        }
        self.passes += 1;
        Ok(meter.measure(ops, &mut |_| add_in_turn(self.words, self.at)))
    }

    fn offer(
        &mut self,
        reading: &Reading,
        ops: u64,
        (policy, history): (&Policy, &mut ClockHistory),
        collector: &mut Collector,
    ) -> bool {
        // Many samples lie within one tick: were it counted, few of them would be left.
        let reading = Reading { stolen: 0, ..reading.clone() };
        collector.offer(&reading, ops, policy, history)
    }
}

/// One of many that add to the same counter.
struct Adder<'a> {
    counter: &'a AtomicU32,
    slice: u64,
}

impl Worker for Adder<'_> {
    fn setup(&mut self, _: usize) {}

    fn run_slice(&mut self) -> u64 {
        add_atomically(self.counter, self.slice);
        self.slice
    }

    fn verify(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Powers of two of CPUs, and all of them, at one counter.
fn contended(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    const WINDOWS: usize = 5;
    const WINDOW: Duration = Duration::from_millis(2);
    let mut others = cpus::others(bench, cpus);
    bench.rng.shuffle(&mut others);
    for threads in cpus::thread_counts(cpus.len()) {
        let counter = AtomicU32::new(0);
        // So short that even the slowest has many of them within a window.
        let slice = (1000 / threads as u64).max(1);
        let make_worker = |_| Ok(Adder { counter: &counter, slice });
        let team = (bench.cpu, &others[..threads - 1]);
        let windows = match windows::measure(team, &bench.timer, (WINDOWS, WINDOW), make_worker) {
            Ok(windows) => windows,
            Err(reason) => return bench.skip(cpus::few_threads(threads, reason)),
        };
        let added: u64 = windows.iter().flat_map(|w| &w.0).map(|share| share.amount).sum();
        let counted = counter.into_inner();
        bench.check(counted == added as u32, || {
            format!("{added} atomic additions by {threads} CPUs gave {counted}")
        })?;
        let (kept, state, disturbances) = windows::undisturbed(&windows);
        let times = kept.iter().map(|window| 1.0 / window.rate()).collect();
        let mut labels = params([("threads", (threads as u64).into())]);
        if threads == cpus.len() {
            labels.insert("cpus".into(), "all".into());
            let even = kept.iter().map(|window| window.least_share()).collect();
            let point = bench.point("fairness", params([]), Unit::Ratio, even, state);
            bench.emit(Point { disturbances, ..point })?;
        }
        let point = bench.point("contended", labels, Unit::Ns, times, state);
        bench.emit(Point { disturbances, ..point })?;
    }
    Ok(())
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
}
