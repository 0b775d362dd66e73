//! How long a line takes from one CPU to another, for pairs of all CPUs.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::bench::{Bench, Effort, params};
use crate::kernel::coherence::HandOver;
use crate::threads::ping_pong::{self, Visit, VisitPlan};
use crate::threads::pinning;
use card::declare::Unit;
use card::format::count;
use card::machine::{Machine, Relation};
use card::record::{Disturbances, Point, PointState, Skip};

/// Pairs of one round on large machines: with two numbers for each, five rounds stay below 200 kB.
const MOST_PAIRS: usize = 1300;

/// Pairs up to which each is visited several times, with more effort.
const FEW_PAIRS: usize = 64;

/// Visits of a round, where there are few pairs: so many moments at which a CPU may be elsewhere.
const VISITS: usize = 8;

pub(super) fn run(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    let thorough = bench.tier == Effort::Thorough;
    let most = if thorough { usize::MAX } else { MOST_PAIRS };
    let pairs = plan(bench.machine, cpus, bench.round, most, &mut bench.rng);
    let few = pairs.len() <= FEW_PAIRS;
    let repeats = if few { (FEW_PAIRS / pairs.len()).clamp(1, VISITS) } else { 1 };
    let effort = if few {
        VisitPlan { lines_each: 16, bursts: 3, trips: 100, warm_up: 2000 }
    } else {
        VisitPlan { lines_each: 16, bursts: 3, trips: 24, warm_up: 500 }
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
            format!(
                "{} failed, the first to CPUs {a} and {b}: {reason}",
                count(refused.len(), "measurement")
            ),
            "give the process whole CPUs and threads (cpuset, ulimit -u)",
        ))?;
    }
    let visited = seen.iter().map(|visit| visit.0).collect::<BTreeSet<_>>().len();
    let all = cpus * (cpus - 1) / 2;
    // The other rounds look at other pairs, and say no more than this one.
    if visited < all && refused.is_empty() && bench.round == 0 {
        bench.skip(Skip::new(
            "time for every pair of CPUs",
            format!("a round measures {visited} of {all}, each round others"),
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
