//! Sizes and ways of the caches, and what comes along with a line, without asking the CPU.
//!
//! Method: L1D size: a pointer chase over 1 KiB more each time, until it slows down. L1D ways: a
//! chase over lines of one set on random pages, one line more each time. L2: lines at one place of
//! many random pages that together evict a target are cut down until none can be left out: as many
//! remain as there are ways. A line that can stand in for one of them is of the same set, and the
//! share of such lines among all tells how many sets there are. L3: the working set at which a
//! random chase has gone a quarter of the way from L3 to main memory. Neighbours: two lines of a page
//! are flushed, one is loaded, and half a microsecond later the other is timed; the distance is
//! drawn anew each time, or the test itself would train the prefetcher.
//! Blind spots: a busy hyperthread takes ways and bytes away, so only quiet samples count. L3 is
//! what neighbours have left of it at that moment. A line that is fetched into L3 only counts as half
//! fetched.
//! Expect: L1D 32 to 64 KiB with 8 or 12 ways, L2 0.5 to 2 MiB with 8 to 20 ways; a virtual machine
//! has a fraction of the L3 that it claims.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Context;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::clock::{Source, Timer};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chase::{self, Order, Ring};
use crate::kernel::line::{self, can_flush, load_after};
use crate::probe::Probe;
use crate::sys::memory::{Buffer, LINE, Pages};
use card::declare::{Better, Declare, Estimator, NoiseClass, ReportOnly, Unit};
use card::machine::human_bytes;
use card::record::Skip;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "cache-structure",
    summary: "cache sizes and ways; adjacent-line and next-line prefetchers",
    needs: &[Need::Memory(32 << 20)],
    uses: &[],
    seconds: 2.4,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let latency = d.quantity("latency", Unit::Ns, Estimator::LowerQuartile);
    let conflict = d.quantity("conflict", Unit::Ns, Estimator::LowerQuartile);
    let neighbour = d.quantity("neighbour", Unit::Ns, Estimator::Median);
    // Each of its samples is one set that was found, or one count of lines.
    let ways = d.quantity("eviction_set", Unit::Count, Estimator::Median).value();
    let same_set = d.quantity("same_set", Unit::Ratio, Estimator::Mean);
    d.family("l1-l2");
    d.metric(
        "cache.l1d_bytes",
        NoiseClass::T1,
        latency.with("part", "l1").last_before("working_set", 1.5),
        "L1D capacity: largest working set with only hits",
    );
    d.metric(
        "cache.l1d_ways",
        NoiseClass::T1,
        conflict.with("level", "l1").last_before("lines", 1.0),
        "L1D associativity (ways)",
    );
    let sets = same_set.value().rate(1.0).power_of_two();
    d.metric(
        "cache.l2_bytes",
        NoiseClass::T1,
        (ways.clone() * sets).times(LINE as f64),
        "L2 capacity: ways × sets × line, by eviction sets",
    );
    d.metric(
        "cache.l2_ways",
        NoiseClass::T1,
        ways,
        "L2 associativity (ways), by minimal eviction sets",
    );
    d.family("l3");
    d.metric(
        "cache.l3_effective_bytes",
        NoiseClass::T4,
        latency.with("part", "l3").crossing("working_set", 0.25),
        "L3 effective capacity: working set still mostly served by L3",
    )
    .better(Better::Higher)
    .report_only(ReportOnly::Neighbours);
    d.family("l1-l2");
    let of_far = |line| neighbour.with("line", line) / neighbour.with("line", "far");
    d.metric(
        "prefetch.adjacent_line_ratio",
        NoiseClass::T4,
        of_far("buddy"),
        "adjacent-line prefetcher: latency of the other line of 128 B ÷ random line",
    )
    .better(Better::Same);
    d.metric(
        "prefetch.next_line_ratio",
        NoiseClass::T4,
        of_far("outer"),
        "next-line prefetcher: latency of the line beyond the 128 B ÷ random line",
    )
    .better(Better::Same);
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // First what is quickly done and matters most, in a short run too.
    l1_ways(bench)?;
    l1_size(bench)?;
    neighbours(bench)?;
    l2(bench)?;
    l3(bench)
}

/// Where the first level ends: KiB by KiB up to 72, which holds all first levels but Apple's.
fn l1_size(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    const LARGEST: usize = 160;
    let mut ring = Ring::with_capacity(LARGEST << 10, Pages::Huge)?;
    let sizes: Vec<usize> =
        (16..24).step_by(4).chain(24..72).chain((72..=LARGEST).step_by(8)).collect();
    // Nested sets in ascending order: stale lines of a larger one could stay for ever.
    for &kib in &sizes {
        ring.lay(kib << 10, LINE, Order::Random, &mut bench.rng);
        let nodes = usize::try_from(ring.nodes())?;
        ring.touch((0..6 * nodes).map(|_| bench.rng.usize(..nodes) * LINE));
        ring.walk(ring.nodes());
        let policy = SamplingPlan {
            min_samples: 3,
            max_samples: 5,
            sample: Duration::from_micros(50),
            ..SamplingPlan::structural(bench.share(0.25) / u32::try_from(sizes.len())?)
        };
        let setting = params([("part", "l1".into()), ("working_set", (kib as u64 * 1024).into())]);
        let arm = Arm::new("latency", setting, |loads| ring.walk(loads));
        bench.sample(arm.in_blocks_of(chase::BLOCK), &policy)?;
    }
    Ok(())
}

/// One set of L1 filled line by line. Each sample takes other pages: where a way predictor mixes
/// two lines of a set up, it does so on those pages only.
fn l1_ways(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    const BYTES: usize = 8 << 20;
    const MOST_LINES: u32 = 20;
    let page = Pages::Small.bytes();
    let ring = RefCell::new(Ring::over(Buffer::scattered(BYTES, &mut bench.rng)?));
    let rng = RefCell::new(bench.rng.fork());
    for lines in 1..=MOST_LINES {
        let prepare = |_| {
            let (mut ring, mut rng) = (ring.borrow_mut(), rng.borrow_mut());
            let slot = rng.usize(..page / LINE) * LINE;
            let pages = rng.choose_multiple(0..BYTES / page, lines as usize);
            let set: Vec<usize> = pages.into_iter().map(|p| p * page + slot).collect();
            ring.link(&set);
            ring.touch((0..20 * set.len()).map(|_| set[rng.usize(..set.len())]));
            ring.walk(2000);
        };
        let policy = SamplingPlan {
            min_samples: 5,
            max_samples: 9,
            sample: Duration::from_micros(30),
            ..SamplingPlan::structural(bench.share(0.1) / MOST_LINES)
        };
        let setting = params([("level", "l1".into()), ("lines", u64::from(lines).into())]);
        let arm = Arm::new("conflict", setting, |loads| ring.borrow_mut().walk(loads));
        bench.sample(arm.in_blocks_of(chase::BLOCK).prepared(prepare), &policy)?;
    }
    Ok(())
}

/// Times one load after another one, at all distances within 4 KiB, which no prefetcher leaves.
fn neighbours(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    const WITHIN: usize = 4096;
    const LINES: usize = WITHIN / LINE;
    const TRIALS: usize = 3000;
    /// One sample is the mean of so many trials: a neighbour comes along or it does not, and the
    /// ticks are coarse.
    const GROUP: usize = 10;
    /// Interrupted.
    const LONGEST_NS: f64 = 1000.0;
    if !can_flush() {
        let skip = Skip::new(
            "clflush to see the adjacent-line prefetcher",
            "the CPU does not announce it",
            "none",
        );
        return bench.skip(skip.of(["prefetch.*"]));
    }
    let buffer = Buffer::new(16 << 20, Pages::Huge)?;
    let ticks = match bench.timer.source {
        Source::Counter => bench.timer,
        Source::Clock => Timer::calibrate(Duration::from_millis(20)),
    };
    let mut kinds: [(&str, Vec<f64>); 3] =
        [("buddy", Vec::new()), ("outer", Vec::new()), ("far", Vec::new())];
    for _ in 0..TRIALS {
        let from = bench.rng.usize(..buffer.len() / WITHIN) * WITHIN;
        let first = bench.rng.usize(1..LINES - 1);
        let outer = if first.is_multiple_of(2) { first - 1 } else { first + 1 };
        let (kind, other) = match bench.rng.u32(..6) {
            0 => (0, first ^ 1),
            1 => (1, outer),
            _ => (2, bench.rng.usize(..LINES)),
        };
        line::flush(&buffer, from + first * LINE);
        line::flush(&buffer, from + other * LINE);
        line::touch(&buffer, from + first * LINE);
        let until = ticks.stamp() + ticks.units(600.0);
        while ticks.stamp() < until {}
        let ns = line::timed_load(&buffer, from + other * LINE) as f64 * ticks.ns_per_unit;
        if (kind < 2 || other.abs_diff(first) > 8) && ns < LONGEST_NS {
            kinds[kind].1.push(ns);
        }
    }
    for (name, ns) in kinds {
        let mean = |group: &[f64]| group.iter().sum::<f64>() / group.len() as f64;
        // As many groups of the far lines as of the others are enough.
        let samples = ns.chunks_exact(GROUP).take(TRIALS / 6 / GROUP).map(mean).collect();
        bench.record("neighbour", params([("line", name.into())]), Unit::Ns, samples)?;
    }
    Ok(())
}

/// Random pages, one line of each of which may evict a target from L2.
struct Pool {
    buffer: Buffer,
    /// Bytes of a page.
    page: usize,
    /// Ticks between those of an L2 hit and of a miss.
    border: f64,
}

/// What a set of lines does to a target.
impl Pool {
    /// Enough pages for any L2 to 2 MiB whose index takes all address bits: the larger they are, the
    /// fewer sets can a line at one place of them belong to.
    const BYTES: usize = 24 << 20;
    /// A load that is interrupted takes longer than any miss.
    const LONGEST: u64 = 300;

    fn new(rng: &mut fastrand::Rng) -> std::io::Result<Pool> {
        let buffer = Buffer::scattered(Pool::BYTES, rng)?;
        Ok(Pool { buffer, page: Pages::Small.bytes(), border: 0.0 })
    }

    /// The line at one place of each page.
    fn lines_at(&self, slot: usize) -> Vec<usize> {
        (0..Pool::BYTES / self.page).map(|page| page * self.page + slot).collect()
    }

    /// Mean ticks of a load of the target after these lines were loaded.
    fn ticks(&self, target: usize, lines: &[usize], trials: u32) -> f64 {
        // Another set of L1, whose index goes up to 4 KiB at least.
        let mate = target ^ 2048;
        // A replacement that is not quite least-recently-used needs to be asked several times.
        let passes = if lines.len() < 100 { 10 } else { 5 };
        let one = |_| load_after(&self.buffer, target, mate, lines, passes).min(Self::LONGEST);
        (0..trials).map(one).sum::<u64>() as f64 / f64::from(trials)
    }

    /// Whether these lines evict the target; looked at more closely when it is a near thing.
    fn evicts(&self, target: usize, lines: &[usize]) -> bool {
        let first = self.ticks(target, lines, 10);
        if (first - self.border).abs() > 8.0 {
            first > self.border
        } else {
            self.ticks(target, lines, 40) > self.border
        }
    }

    /// A set of lines that evicts the target as long as none is left out, or `None` where noise got
    /// in between.
    fn minimal_set(&mut self, target: usize, lines: &[usize]) -> Option<Vec<usize>> {
        // Of 6144 pages of 4 KiB some 40 are in L2 beside the target and 4000 drive it out; of larger
        // pages fewer.
        let all = Pool::BYTES / self.page;
        let (few, most) = (lines.get(..all / 150)?, lines.get(..all * 2 / 3)?);
        self.border = self.ticks(target, few, 40).midpoint(self.ticks(target, most, 20));
        let sure = |set: &[usize]| self.ticks(target, set, 40) > self.border;
        let sizes = std::iter::successors(Some(64), |n| Some(n * 5 / 4));
        let mut set = sizes
            .take_while(|&n| n < lines.len())
            .map(|n| &lines[..n])
            .find(|set| self.evicts(target, set) && sure(set))?
            .to_vec();
        // More groups than any cache has ways: one of them at least can be left out, if the set is
        // not minimal.
        let mut groups = 25;
        while set.len() > 1 {
            let before = set.len();
            let size = before.div_ceil(groups);
            let mut at = 0;
            while at < set.len() {
                let end = (at + size).min(set.len());
                let without = [&set[..at], &set[end..]].concat();
                if self.evicts(target, &without) {
                    set = without;
                } else {
                    at = end;
                }
            }
            if set.len() == before && size == 1 {
                break;
            }
            if set.len() == before {
                groups *= 2;
                if before > 100 {
                    // A group was left out by mistake.
                    return None;
                }
            }
        }
        self.is_minimal(target, &set).then_some(set)
    }

    /// With all lines the target is evicted almost always, without any one of them almost never.
    fn is_minimal(&self, target: usize, set: &[usize]) -> bool {
        let without = |i: usize| [&set[..i], &set[i + 1..]].concat();
        self.ticks(target, set, 120) > self.border
            && (0..set.len()).all(|i| self.ticks(target, &without(i), 40) < self.border)
    }

    /// Whether a line makes up for the member that a set lacks. A neighbour that evicts the target
    /// meanwhile would do so without the line as well.
    fn completes(&self, target: usize, lacking: &[usize], line: usize) -> bool {
        let with = [lacking, &[line]].concat();
        let evicts = |lines: &[usize], trials| self.ticks(target, lines, trials) > self.border;
        // In the 999 of a thousand cases where it does not, four trials are enough to see it.
        self.ticks(target, &with, 4) > self.border - 8.0
            && (0..3).any(|_| evicts(&with, 20) && !evicts(lacking, 20) && evicts(&with, 20))
    }
}

/// Ways by minimal eviction sets, sets by the share of lines that belong to one.
fn l2(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    /// Sets that are looked for.
    const WANTED: usize = 3;
    /// Fewer and more than any L2 has: such sets come of noise, an empty one where a target seems to
    /// be evicted by nothing.
    const WAYS: std::ops::RangeInclusive<usize> = 2..=32;
    /// Lines that are tried as members of a set; one in a thousand or two is.
    const TRIED: usize = 64 << 10;
    let until = bench.meter.elapsed() + bench.share(0.4);
    let mut pool = Pool::new(&mut bench.rng)?;
    let (mut ways, mut shares, mut attempts) = (Vec::new(), Vec::new(), 0);
    while ways.len() < WANTED && bench.meter.elapsed() < until {
        attempts += 1;
        let slot = bench.rng.usize(..pool.page / LINE) * LINE;
        let mut lines = pool.lines_at(slot);
        bench.rng.shuffle(&mut lines);
        let Some(target) = lines.pop() else { break };
        let set = pool.minimal_set(target, &lines);
        let Some(set) = set.filter(|set| WAYS.contains(&set.len())) else { continue };
        ways.push(set.len() as f64);
        let mut same = 0;
        for _ in 0..TRIED {
            let line = bench.rng.usize(..Pool::BYTES / LINE) * LINE;
            let is_new = !set.contains(&line) && line / pool.page != target / pool.page;
            same += usize::from(is_new && pool.completes(target, &set[1..], line));
        }
        // A sibling that has come to work meanwhile takes ways away.
        if pool.is_minimal(target, &set) {
            shares.push(same as f64 / TRIED as f64);
        }
    }
    if ways.is_empty() {
        let skip = Skip::new(
            "an idle SMT sibling to find L2 eviction sets",
            format!("none of {attempts} attempts gave a reliable eviction set"),
            "run again while the SMT sibling and the neighbours are idle, or with \
             --tier thorough",
        );
        return bench.skip(skip.of(["cache.l2_bytes", "cache.l2_ways"]));
    }
    bench.record("eviction_set", params([]), Unit::Count, ways)?;
    bench.record("same_set", params([]), Unit::Ratio, shares)
}

/// Two sizes an octave from beyond L2 to main memory.
fn l3(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    /// Where the machine claims no L3; larger shares of a virtual machine are not known.
    const UNKNOWN: u64 = 32 << 20;
    /// Beyond this laying a ring takes too long.
    const MOST: u64 = 768 << 20;
    let claimed = bench.machine.claimed_cache(3, true).map(|c| c.bytes).filter(|&b| b > 0);
    let end = (claimed.unwrap_or(UNKNOWN) * 3).min(MOST);
    let memory = bench.machine.buffer_limit();
    if memory < end {
        let skip = Skip::new(
            format!("{} to see where L3 ends", human_bytes(end)),
            format!(
                "half of the memory that may be used is {} (limit set by {})",
                human_bytes(memory),
                bench.machine.memory_limit_source()
            ),
            "raise the memory limit",
        );
        return bench.skip(skip.of(["cache.l3_effective_bytes"]));
    }
    let l2 = bench.machine.claimed_cache(2, true).map_or(1 << 20, |c| c.bytes);
    let sizes: Vec<u64> = (0_u32..)
        .map(|i| ((256 << 10) as f64 * (f64::from(i) / 2.0).exp2()) as u64 & !4095)
        .skip_while(|&size| size < l2 / 2 * 3)
        .take_while(|&size| size <= end)
        .collect();
    let capacity = usize::try_from(*sizes.last().context("L3 is smaller than L2")?)?;
    let mut ring = Ring::with_capacity(capacity, Pages::Huge)?;
    let each = bench.share(0.3) / u32::try_from(sizes.len())?;
    for size in sizes {
        ring.lay(usize::try_from(size)?, LINE, Order::Random, &mut bench.rng);
        // Laps until the cache holds what it can: one is enough beyond it.
        let began = bench.meter.elapsed();
        let mut lap = 0;
        while lap < 3 * ring.nodes() && bench.meter.elapsed() - began < each / 2 {
            ring.walk(4096);
            lap += 4096;
        }
        let policy = SamplingPlan {
            min_samples: 3,
            max_samples: 5,
            sample: Duration::from_millis(1),
            ..SamplingPlan::structural(each / 2)
        };
        let setting = params([("part", "l3".into()), ("working_set", size.into())]);
        let arm = Arm::new("latency", setting, |loads| ring.walk(loads));
        bench.sample(arm.in_blocks_of(chase::BLOCK), &policy)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let pool = Pool::new(&mut fastrand::Rng::with_seed(1)).unwrap();
        Pool { border: f64::INFINITY, ..pool }
    }

    #[test]
    fn nothing_evicts_where_every_load_counts_as_a_hit() {
        let mut pool = pool();
        let lines = pool.lines_at(0).split_off(1);
        assert!(!pool.evicts(0, &lines));
        assert!(!pool.completes(0, &lines[..8], lines[9]));
        assert!(!pool.is_minimal(0, &lines[..8]));
        // Too few lines to tell a hit from a miss.
        assert_eq!(pool.minimal_set(0, &lines[..lines.len() / 2]), None);
    }

    #[test]
    fn more_lines_than_any_l2_holds_evict_and_none_do_not() {
        let mut pool = pool();
        let all = pool.lines_at(0).split_off(1);
        let hit = pool.ticks(0, &[], 200);
        let miss = pool.ticks(0, &all, 20);
        assert!(miss > hit, "{miss} against {hit} ticks");
        pool.border = hit.midpoint(miss);
        assert!(!pool.evicts(0, &[]));
    }
}
