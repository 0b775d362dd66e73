//! False sharing: what two CPUs that write to one line cost each other, and how far apart their data
//! must be.
//!
//! Method: two pinned threads work for half a millisecond from a common start, each on a word of its
//! own, so and so many bytes apart: atomic additions, plain stores (with a store to a private line
//! in between, or the store buffer would put them together), and loads beside the other's stores.
//! The distances come in random order. A distance between the last one that costs and the first one
//! that does not is added until they are eight bytes apart. Pairs of lines: one CPU reads the even
//! lines of some MiB at random, the other adds to odd lines, of the same 128-byte pairs or of
//! others; where lines come in pairs, the reader takes away what it never asked for.
//! A hypervisor moves CPUs many times a second: before and after each of these moments the two hand
//! a word back and forth, and only moments of one state come together, that of two cores if there is
//! time to meet it.
//! Blind spots: plain stores are softened by the store buffer, loads by what is read ahead; the
//! verdict comes from atomic additions.
//! Expect: atomic additions to one line take several times as long as to two; from the line size on
//! nothing is left of it. Hyperthreads of one core share their caches and hinder each other as well,
//! on Zen 4 about as much.

use std::time::Duration;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::line::add_atomically;
use crate::probe::Probe;
use crate::sys::memory::{Pages, SharedWords};
use crate::threads::cpus;
use crate::threads::pinning;
use crate::threads::team::Team;
use card::counters::Event;
use card::declare::{Better, Declare, Estimator, NoiseClass, Points, Unit, at_least, at_most};
use card::machine::Relation;
use card::record::{Disturbances, Params, Point, PointState};
use card::view::core_matrix::SIBLINGS_NS;

mod adjacent_lines;
mod states;
mod sweep;

use sweep::{COARSEST, Kernel, Setting, curve, point, sweep};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "false-sharing",
    summary: "false sharing: slowdown of two CPUs by distance, safe padding",
    needs: &[Need::Cpus(2)],
    uses: &[PAIRS, L2],
    seconds: 1.6,
    in_kernel: false,
    declare,
    run,
};

/// What cache-structure says of the other line of a pair after a miss, relative to a far one.
const PAIRS: &str = "prefetch.adjacent_line_ratio";
const L2: &str = "cache.l2_bytes";

fn declare(d: &mut Declare) {
    d.family("core-to-core");
    d.quantity("one_way", Unit::Ns, Estimator::Median);
    let time = d.quantity("time_per_op", Unit::Ns, Estimator::Median);
    let atomic = Kernel::Atomic.name();
    let at = |points: &Points, offset| points.with("kernel", atomic).with("offset", offset);
    d.metric(
        "false_sharing.slowdown_ratio",
        NoiseClass::T4,
        at(&time, GRID) / at(&time, UNRELATED),
        format!("fetch_add by two CPUs, {GRID} B apart ÷ {UNRELATED} B apart"),
    )
    .better(Better::Lower);
    let step = time.with("kernel", atomic).step_down("offset");
    d.metric(
        "false_sharing.step_bytes",
        NoiseClass::T1,
        step.clone(),
        "least distance without false sharing",
    );
    let together = d.quantity("lines_together", Unit::Count, Estimator::Median);
    d.metric(
        "false_sharing.safe_padding_bytes",
        NoiseClass::T2,
        step * together.value(),
        "safe padding: twice the line where the adjacent-line prefetcher is active",
    );
    d.quantity("pair_add", Unit::Ns, Estimator::Median);
    d.quantity("other_pair", Unit::Ns, Estimator::Median);
    // A line that another core has changed is no longer in one's own L1; whose cache it comes from, no
    // two vendors tell alike.
    let counted = d.quantity("counted", Unit::Ns, Estimator::Median);
    let ids = ["false_sharing.slowdown_ratio"];
    d.proof(ids, at(&counted, GRID), Event::L1dMisses, at_least(0.05));
    d.proof(ids, at(&counted, UNRELATED), Event::L1dMisses, at_most(0.01));
}

/// Bytes of a word.
const WORD: usize = 4;

/// How exactly the step is placed, and up to where.
const GRID: usize = 8;

/// Far enough for anything but a page.
const UNRELATED: usize = 1024;

/// How long two threads work at a distance: bursts below 0.2 ms read nonsense.
const WINDOW: Duration = Duration::from_micros(500);

/// Operations between two looks at the time: a microsecond and more undisturbed, a tenth of a window
/// at the worst.
const SLICE: u64 = 1000;

/// With fewer a point is noisy.
const LEAST: usize = 3;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut partners = partners(bench);
    pinning::pin(bench.cpu);
    if partners.is_empty() {
        return bench.skip(cpus::unpinned(bench.machine, bench.cpu));
    }
    // Two cores at one cache are the case that everyone has; hyperthreads of one core the last.
    let (relation, partner) = partners.remove(0);
    let Some((rows, state)) = curve(bench, partner)? else { return Ok(()) };
    let note = siblings(state);
    let labels = params([("with", relation.name().into())]);
    bench.record("one_way", labels, Unit::Ns, vec![state])?;
    for row in rows {
        let point = point(bench, "time_per_op", row, None, note.clone());
        bench.emit(point)?;
    }
    counted(bench, partner)?;
    adjacent_lines::run(bench, partner)?;
    for (relation, partner) in partners {
        let settings = COARSEST.map(|offset| Setting { kernel: Kernel::Atomic, offset });
        let Some((rows, state)) = sweep(bench, partner, &settings, 0.06)? else { return Ok(()) };
        for row in rows {
            let point = point(bench, "other_pair", row, Some(relation), siblings(state));
            bench.emit(point)?;
        }
    }
    Ok(())
}

/// Near and far once more, for the counters of this CPU: how many of its additions missed.
fn counted(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<()> {
    if !bench.meter.counts(Event::L1dMisses) {
        return Ok(());
    }
    let policy = SamplingPlan {
        max_samples: 9,
        need_idle_sibling: false,
        ..SamplingPlan::structural(bench.share(0.02))
    };
    for offset in [GRID, UNRELATED] {
        let words = SharedWords::new(offset + WORD, Pages::Small)?;
        let [own, other] = [0, offset / WORD].map(|at| &words.words()[at]);
        let follow = |team: &Team, _| {
            while !team.stopped() {
                add_atomically(other, SLICE);
            }
        };
        let labels = params([("kernel", "atomic".into()), ("offset", (offset as u64).into())]);
        let cpu = bench.cpu;
        let lead = |_: &Team| {
            bench.sample(Arm::new("counted", labels, |ops| add_atomically(own, ops)), &policy)
        };
        match Team::pinned(cpu, &[partner], follow, lead) {
            Ok(sampled) => sampled?,
            Err(e) => return bench.skip(cpus::few_threads(2, e)),
        }
    }
    Ok(())
}

/// A CPU for each way to be related to the bench's own, the one that matters most first.
fn partners(bench: &mut Bench<'_>) -> Vec<(Relation, usize)> {
    const ORDER: [Relation; 5] = [
        Relation::SameL3,
        Relation::OtherL3,
        Relation::OtherNode,
        Relation::Unclaimed,
        Relation::Siblings,
    ];
    let mut others = cpus::others(bench, bench.machine.allowed_cpus());
    bench.rng.shuffle(&mut others);
    let with = |relation: Relation| {
        let is = |cpu: &&usize| bench.machine.relation(bench.cpu, **cpu) == relation;
        let cpu = others.iter().filter(is).find(|&&cpu| pinning::pin(cpu))?;
        Some((relation, *cpu))
    };
    ORDER.into_iter().filter_map(with).collect()
}

/// What the reader must know of the two CPUs' state.
fn siblings(one_way: f64) -> Option<String> {
    (one_way < SIBLINGS_NS)
        .then(|| "the two CPUs were SMT siblings, by their core-to-core latency".into())
}

fn timed(
    bench: &Bench<'_>,
    quantity: &str,
    labels: Params,
    samples: Vec<f64>,
    rejected: u64,
    note: Option<String>,
) -> Point {
    // Moments of other states are no disturbance; too few of this one are.
    let state = if samples.len() >= LEAST { PointState::Ok } else { PointState::Noisy };
    Point {
        disturbances: Disturbances { rejected, ..Disturbances::default() },
        note,
        ..bench.point(quantity, labels, Unit::Ns, samples, state)
    }
}
