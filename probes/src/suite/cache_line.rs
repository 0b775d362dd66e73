//! Cache-line size by four independent methods, without asking the CPU.
//!
//! Method: a vote of (1) split loads: an 8-byte load that crosses a line costs more, and the
//! costly offsets repeat every line; (2) coherence: two CPUs add atomically at a distance, and
//! stop hindering each other one line apart; (3) flush: flushing one address makes loads slow up
//! to one line away; (4) pairs: of two nodes in one block, the second is a free hit while it
//! shares the line of the first.
//! Blind spots: (4) sees adjacent-line prefetch as a longer line; (2) needs two CPUs, (3) needs
//! permission to flush. A disagreement is reported, never averaged away.
//! Expect: 64 on x86 and Neoverse, 128 on Apple silicon; the load penalty is one cycle.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::clock::{Source, Timer};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chase::{self, Ring};
use crate::kernel::line::{add_atomically, can_flush, reload_after_flush};
use crate::probe::Probe;
use crate::sys::memory::{Buffer, Pages};
use crate::threads::cpus;
use crate::threads::team::Team;
use card::declare::{Declare, Derive, Estimator, NoiseClass, Unit};
use card::record::Skip;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "cache-line",
    summary: "cache-line size by four methods; latency of loads across a cache-line boundary",
    needs: &[],
    uses: &[],
    seconds: 1.6,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("l1-l2");
    let time = |d: &mut Declare, name| d.quantity(name, Unit::Ns, Estimator::LowerQuartile);
    let coherence = time(d, "coherence");
    let reload_after_flush = time(d, "reload_after_flush");
    let pair = time(d, "pair");
    let split_penalty = time(d, "split_penalty");
    let split_load = time(d, "split_load");
    d.metric(
        "cache.line_bytes",
        NoiseClass::T1,
        Derive::vote([
            split_load.borders("offset", 8.0),
            coherence.step_down("distance"),
            reload_after_flush.step_down("distance"),
            pair.step_up("distance"),
        ]),
        "cache-line size, by a vote of split loads, coherence, flush and pairs",
    );
    d.cost(
        "cache.split_load_penalty",
        NoiseClass::T1,
        split_penalty.with("load", "crossing") - split_penalty.with("load", "inside"),
        "extra load-to-use latency across a cache-line boundary",
    );
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    coherence(bench)?;
    flush(bench)?;
    pairs(bench)?;
    split_penalty_pair(bench)?;
    // Last, with what time is left: it has the most points, each of which may have to wait for a
    // quiet moment.
    split_loads(bench)
}

/// One node that points to itself, at every other offset across four lines: a chain of loads that all
/// hit L1 and differ only in what they cross.
fn split_loads(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    const OFFSETS: u32 = 97;
    let mut ring = Ring::with_capacity(4096, Pages::Small)?;
    let mut offsets: Vec<usize> = (0..OFFSETS as usize).map(|i| i * 2).collect();
    bench.rng.shuffle(&mut offsets);
    for (done, offset) in offsets.into_iter().enumerate() {
        ring.link(&[offset]);
        let policy = SamplingPlan {
            max_samples: 7,
            sample: Duration::from_micros(50),
            ..SamplingPlan::structural(bench.left() / (OFFSETS - done as u32))
        };
        let setting = params([("offset", (offset as u64).into())]);
        bench.sample(
            Arm::new("split_load", setting, |loads| ring.walk(loads)).in_blocks_of(chase::BLOCK),
            &policy,
        )?;
    }
    Ok(())
}

/// The same load across a border and inside a line, interleaved. At 124 bytes it crosses whether
/// lines have 64 bytes or 128.
fn split_penalty_pair(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut rings = [("crossing", 124), ("inside", 0)].map(|(name, offset)| {
        Ring::with_capacity(4096, Pages::Small).map(|mut ring| {
            ring.link(&[offset]);
            (name, ring)
        })
    });
    let mut arms = Vec::new();
    for ring in &mut rings {
        let (name, ring) = match ring {
            Ok(made) => made,
            Err(e) => anyhow::bail!("cannot map a page: {e}"),
        };
        let setting = params([("load", (*name).into())]);
        let arm = Arm::new("split_penalty", setting, |loads| ring.walk(loads));
        arms.push(arm.in_blocks_of(chase::BLOCK));
    }
    let policy = SamplingPlan {
        min_samples: 9,
        max_samples: 32,
        ..SamplingPlan::structural(bench.share(0.1))
    };
    bench.interleave(arms, &policy)
}

/// Counters four bytes apart, in memory of their own.
struct Counters(Vec<AtomicU32>);

impl Counters {
    const STEP: usize = 4;

    fn at(&self, distance: usize) -> &AtomicU32 {
        // The first counter that is aligned to 512 bytes is the origin.
        let start = self.0.as_ptr().addr().next_multiple_of(512) - self.0.as_ptr().addr();
        &self.0[(start + distance) / Self::STEP]
    }

    /// All additions together.
    fn total(&self) -> u64 {
        self.0.iter().map(|c| u64::from(c.load(Ordering::Relaxed))).sum()
    }
}

/// Additions of one burst: a tenth of a millisecond and more.
const BURST: u64 = 10_000;

/// One CPU adds at +0, another at +distance; the first one's time per addition falls when they no
/// longer share a line. The partner's count shows that it really ran meanwhile.
fn coherence(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if let Some(unmet) = Need::Cpus(2).unmet(bench.machine) {
        let remedy = format!("{}; the other methods vote without it", unmet.remedy);
        let need = "2 CPUs for the coherence method".into();
        return bench.skip(Skip { need, remedy, ..unmet });
    }
    let Some(&partner) = cpus::others(bench, &cpus::pinnable(bench)).first() else {
        return bench.skip(cpus::unpinned(bench.machine, bench.cpu));
    };
    let timer = bench.timer;
    let counters = Counters((0..512).map(|_| AtomicU32::new(0)).collect());
    let distances: Vec<usize> = (1..=16).map(|i| i * 8).chain((9..=32).map(|i| i * 16)).collect();
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); distances.len()];
    let each = bench.share(0.3) / 5;
    let mut added = 0;
    for _ in 0..5 {
        let mut order: Vec<usize> = (0..distances.len()).collect();
        bench.rng.shuffle(&mut order);
        // Which distance the partner works at; 0 bids it wait.
        let chosen = AtomicU64::new(0);
        let done = AtomicU64::new(0);
        let follow = |team: &Team, _| {
            while !team.stopped() {
                match chosen.load(Ordering::Acquire) {
                    0 => std::hint::spin_loop(),
                    distance => {
                        add_atomically(counters.at(distance as usize), 50);
                        done.fetch_add(50, Ordering::Release);
                    }
                }
            }
        };
        let deadline = bench.meter.elapsed() + each * 4;
        let bursts = Team::pinned(bench.cpu, &[partner], follow, |_| {
            for i in order {
                if bench.meter.elapsed() < deadline {
                    let mut burst = || {
                        added += BURST;
                        burst(&timer, &counters, &chosen, &done, distances[i])
                    };
                    rows[i].extend((0..3).find_map(|_| burst()));
                }
            }
        });
        if let Err(e) = bursts {
            return bench.skip(cpus::few_threads(2, e));
        }
        added += done.into_inner();
    }
    let counted = counters.total();
    bench.check(counted == added, || format!("{added} atomic additions gave {counted}"))?;
    for (&distance, row) in distances.iter().zip(rows) {
        if !row.is_empty() {
            let setting = params([("distance", (distance as u64).into())]);
            bench.record("coherence", setting, Unit::Ns, row)?;
        }
    }
    Ok(())
}

/// ns per addition, or `None` if the partner did not keep up: it was preempted.
fn burst(
    timer: &Timer,
    counters: &Counters,
    chosen: &AtomicU64,
    done: &AtomicU64,
    distance: usize,
) -> Option<f64> {
    let wait_until = timer.stamp() + timer.units(50e6);
    let before = done.load(Ordering::Acquire);
    chosen.store(distance as u64, Ordering::Release);
    // Not before the partner is at work, and not for ever: it may have lost its CPU.
    while done.load(Ordering::Acquire) == before && timer.stamp() < wait_until {
        std::hint::spin_loop();
    }
    let meanwhile = done.load(Ordering::Acquire);
    let start = timer.stamp();
    add_atomically(counters.at(0), BURST);
    let ns = timer.ns_between(start, timer.stamp());
    let kept_up = done.load(Ordering::Acquire) - meanwhile > BURST / 10;
    chosen.store(0, Ordering::Release);
    kept_up.then_some(ns / BURST as f64)
}

/// Flushes one line and times a load at a distance, on another random line each time, so that a
/// prefetcher learns nothing.
fn flush(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    const SPAN: usize = 1 << 20;
    if !can_flush() {
        return bench.skip(Skip::new(
            "clflush for the flush method",
            "the CPU does not announce it",
            "none; the other methods vote without it",
        ));
    }
    let buffer = Buffer::new(SPAN, Pages::Small)?;
    // The kernel counts in ticks of the CPU whatever the run's timer is.
    let ns_per_tick = match bench.timer.source {
        Source::Counter => bench.timer.ns_per_unit,
        Source::Clock => Timer::calibrate(Duration::from_millis(20)).ns_per_unit,
    };
    let distances: Vec<usize> = (0..=32).map(|i| i * 8).collect();
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); distances.len()];
    for _ in 0..31 {
        let mut order: Vec<usize> = (0..distances.len()).collect();
        bench.rng.shuffle(&mut order);
        for i in order {
            let at = bench.rng.usize(..SPAN / 4096 - 1) * 4096 + bench.rng.usize(..4) * 512;
            let ticks = reload_after_flush(&buffer, at, distances[i]);
            rows[i].extend(ticks.map(|t| t as f64 * ns_per_tick));
        }
    }
    for (&distance, row) in distances.iter().zip(rows) {
        let setting = params([("distance", (distance as u64).into())]);
        bench.record("reload_after_flush", setting, Unit::Ns, row)?;
    }
    Ok(())
}

/// Blocks of 1 KiB in random order, in each a node at +0 and one at +distance. The blocks do not
/// fit L1, so the first node of each misses; the second hits if it came with the first.
fn pairs(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    const BLOCK: usize = 1024;
    // 256 blocks of 1 KiB put 256 lines into a sixteenth of the L1 sets: they never fit L1 and
    // always L2.
    const BLOCKS: usize = 256;
    let distances = [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 160, 192, 256, 384];
    let mut ring = Ring::with_capacity(BLOCK * (BLOCKS + 1), Pages::Huge)?;
    let mut order = distances;
    bench.rng.shuffle(&mut order);
    let each = bench.share(0.2) / u32::try_from(order.len())?;
    for distance in order {
        let mut blocks: Vec<usize> = (0..BLOCKS).map(|b| b * BLOCK).collect();
        bench.rng.shuffle(&mut blocks);
        let nodes: Vec<usize> = blocks.iter().flat_map(|&b| [b, b + distance]).collect();
        ring.link(&nodes);
        for _ in 0..4 {
            ring.walk(ring.nodes());
        }
        let policy = SamplingPlan {
            max_samples: 16,
            sample: Duration::from_micros(100),
            ..SamplingPlan::structural(each)
        };
        let setting = params([("distance", (distance as u64).into())]);
        bench.sample(
            Arm::new("pair", setting, |loads| ring.walk(loads)).in_blocks_of(chase::BLOCK),
            &policy,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lie_at_their_distance() {
        let counters = Counters((0..512).map(|_| AtomicU32::new(0)).collect());
        let origin: *const AtomicU32 = counters.at(0);
        assert_eq!(origin.addr() % 512, 0);
        for distance in [4, 64, 512] {
            let at: *const AtomicU32 = counters.at(distance);
            assert_eq!(at.addr() - origin.addr(), distance);
        }
    }
}
