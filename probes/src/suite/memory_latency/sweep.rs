//! The latency curve: four rings, of four sizes an octave.

use std::time::Duration;

use anyhow::Context;

use super::{IN_MEMORY, STRETCH, beyond_caches, random};
use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, Effort, params};
use crate::harness::levels;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chase::{self, Order, Ring};
use crate::sys::memory::{Buffer, LINE, Pages};
use card::machine::human_bytes;
use card::record::{Backing, Skip};

/// Smallest working set: every data cache of the last twenty years holds it.
const SMALLEST: u64 = 4 << 10;

/// A quick run has three rounds.
const THIRDS: usize = 3;

/// Time for a handful of samples, four times that if they are disturbed.
pub(super) const LEAST_SAMPLING: Duration = Duration::from_millis(4);

/// Rings up to this size are touched at random before they are walked, and checked node by node.
const SMALL: u64 = 4 << 20;

/// Warm-up beyond this changes nothing any more, in any cache that a lap fits into.
const LONGEST_WARM_UP: Duration = Duration::from_millis(50);

struct Variant {
    pages: Pages,
    order: Order,
    /// Measure only every n-th size of the sweep.
    coarse: usize,
}

/// The four rings. Groups of 256 KiB are 64 pages of 4 KiB, the reach of the smallest first-level
/// data TLB in use.
const VARIANTS: [Variant; 4] = [
    Variant { pages: Pages::Huge, order: Order::Random, coarse: 1 },
    Variant { pages: Pages::Small, order: Order::Random, coarse: 1 },
    Variant { pages: Pages::Small, order: Order::Grouped(256 << 10), coarse: 2 },
    Variant { pages: Pages::Huge, order: Order::Sequential, coarse: 4 },
];

impl Variant {
    fn name(&self) -> String {
        match self.order {
            Order::Random => random(self.pages),
            Order::Grouped(_) => "page_local".into(),
            Order::Sequential => "sequential".into(),
        }
    }
}

/// A variant by its index, and a working set.
type Setting = (usize, u64);

/// The working sets of all variants.
pub(super) struct Sweep {
    pub(super) largest: u64,
    all: usize,
    unmeasured: Vec<Setting>,
    left_out: usize,
}

impl Sweep {
    pub(super) fn of(bench: &mut Bench<'_>) -> anyhow::Result<Sweep> {
        let sizes = sizes(bench)?;
        let unmeasured: Vec<Setting> = (0..VARIANTS.len())
            .flat_map(|v| sizes.iter().step_by(VARIANTS[v].coarse).map(move |&s| (v, s)))
            .collect();
        let largest = *sizes.last().context("no size fits")?;
        Ok(Sweep { largest, all: unmeasured.len(), unmeasured, left_out: 0 })
    }

    /// The variants in the pages of this memory: what is due, and the rest until that part of the slice
    /// is over.
    pub(super) fn measure(
        &mut self,
        bench: &mut Bench<'_>,
        buffer: Buffer,
        until: f64,
    ) -> anyhow::Result<()> {
        let pages = buffer.pages();
        let mut ring = Ring::over(buffer);
        let backing = backing::of(ring.buffer());
        let (here, elsewhere): (Vec<Setting>, Vec<Setting>) =
            self.unmeasured.iter().partition(|&&(v, _)| VARIANTS[v].pages == pages);
        let (due, here) = in_turn(here, bench.round, &mut bench.rng);
        for (done, &(v, size)) in here.iter().enumerate() {
            if done >= due && bench.meter.elapsed() > bench.share(until) {
                self.left_out += here.len() - done;
                break;
            }
            let share = bench.left() / u32::try_from(here.len() - done + elsewhere.len())?;
            let Variant { order, .. } = VARIANTS[v];
            sample(bench, &mut ring, &VARIANTS[v].name(), order, (size, share), &backing)?;
        }
        self.unmeasured = elsewhere;
        Ok(())
    }

    /// Says how many working sets there was no time for.
    pub(super) fn finish(self, bench: &mut Bench<'_>) -> anyhow::Result<()> {
        if self.left_out == 0 {
            return Ok(());
        }
        let (measured, all) = (self.all - self.left_out, self.all);
        bench.skip(Skip::new(
            "time for every working set",
            format!("round {}: {measured} of {all} were measured", bench.round + 1),
            "give the run more time (--tier thorough or --budget)",
        ))
    }
}

/// In random order, but a third of the sizes of the first variant first, another third in each round,
/// and how many those are: three rounds have all of them, however little time there is.
fn in_turn(settings: Vec<Setting>, round: u32, rng: &mut fastrand::Rng) -> (usize, Vec<Setting>) {
    let first = settings.first().map(|setting| setting.0);
    let turn = round as usize % THIRDS;
    let is_due = |(i, setting): &(usize, Setting)| Some(setting.0) == first && i % THIRDS == turn;
    let mut numbered: Vec<(usize, Setting)> = settings.into_iter().enumerate().collect();
    let due = numbered.iter().filter(|n| is_due(n)).count();
    rng.shuffle(&mut numbered);
    numbered.sort_by_key(|n| !is_due(n));
    (due, numbered.into_iter().map(|(_, setting)| setting).collect())
}

/// Four sizes an octave, from inside L1 to four times the last cache, or
/// to what memory allows, in which case the card says so.
fn sizes(bench: &mut Bench<'_>) -> anyhow::Result<Vec<u64>> {
    let wanted = levels::BEYOND * levels::last_cache(bench.machine);
    let largest = wanted.min(bench.machine.buffer_limit()).min(levels::LARGEST);
    if largest < wanted {
        let skip = Skip::new(
            format!("{} for the largest working set", human_bytes(wanted)),
            format!(
                "the sweep ends at {} ({})",
                human_bytes(largest),
                bench.machine.buffer_limit_reason()
            ),
            "raise the memory limit to see main memory beyond the last-level cache",
        );
        let missed: &[&str] = if beyond_caches(bench, largest) { &[] } else { &IN_MEMORY };
        bench.skip(skip.of(missed))?;
    }
    Ok(octaves(SMALLEST, largest, 4))
}

/// `per_octave` sizes a doubling, whole lines or kernel blocks, from `from` up to `to` inclusive.
fn octaves(from: u64, to: u64, per_octave: u32) -> Vec<u64> {
    let steps = f64::from(per_octave);
    let mut sizes: Vec<u64> = (0..)
        .map(|i| whole((from as f64 * (f64::from(i) / steps).exp2()) as u64))
        .take_while(|&size| size < to)
        .collect();
    sizes.push(whole(to));
    sizes
}

/// Large working sets are whole kernel blocks, so that a lap ends where it began and can be
/// checked; small ones, which are checked otherwise, whole lines.
fn whole(bytes: u64) -> u64 {
    let unit = if bytes > SMALL { chase::BLOCK * LINE as u64 } else { LINE as u64 };
    bytes / unit * unit
}

/// Samples a ring over so many bytes within a share of the time.
pub(super) fn sample(
    bench: &mut Bench<'_>,
    ring: &mut Ring,
    variant: &str,
    order: Order,
    (size, share): (u64, Duration),
    backing: &Backing,
) -> anyhow::Result<()> {
    let began = bench.meter.elapsed();
    ring.lay(usize::try_from(size)?, LINE, order, &mut bench.rng);
    warm(bench, ring, size, share)?;
    // Laying a large ring can take more than the point's share; it is measured all the same.
    let left = share.saturating_sub(bench.meter.elapsed() - began).max(LEAST_SAMPLING);
    let (want, most) = if bench.tier == Effort::Quick { (3, 5) } else { (5, 6) };
    let policy =
        SamplingPlan { min_samples: want, max_samples: most, ..SamplingPlan::structural(left) };
    let setting = params([("variant", variant.into()), ("working_set", size.into())]);
    let arm = Arm::new("latency", setting, |loads| ring.walk(loads))
        .in_blocks_of(chase::BLOCK)
        .backed(backing.clone());
    bench.sample(arm, &policy)
}

/// Fills the caches with this ring and nothing else. Small rings are first touched in random,
/// non-cyclic order: a cyclic walk over a set that just fits can miss for ever when stale lines
/// stay. Then it is walked until two laps agree, or half the share is up; laying a ring has touched all
/// of it already.
fn warm(bench: &mut Bench<'_>, ring: &mut Ring, size: u64, share: Duration) -> anyhow::Result<()> {
    if size <= SMALL {
        let nodes = usize::try_from(ring.nodes())?;
        ring.touch((0..6 * nodes).map(|_| bench.rng.usize(..nodes) * LINE));
        bench.check(ring.is_one_cycle(), || format!("a ring over {size} bytes is broken"))?;
    }
    let until = bench.meter.elapsed() + (share / 2).min(LONGEST_WARM_UP);
    let mut last = f64::INFINITY;
    let from = ring.position();
    for _ in 0..8 {
        let start = bench.timer.stamp();
        let mut left = ring.nodes();
        // A lap through main memory can take a second: look at the time in between.
        while left > 0 && bench.meter.elapsed() < until {
            let loads = left.min(STRETCH);
            ring.walk(loads);
            left -= loads;
        }
        let lap = bench.timer.ns_between(start, bench.timer.stamp());
        if left == 0 {
            let closed = size <= SMALL || ring.position() == from;
            bench.check(closed, || format!("a ring over {size} bytes does not close"))?;
        }
        if left > 0 || (lap / last - 1.0).abs() < 0.02 {
            break;
        }
        last = lap;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_sizes_an_octave_from_end_to_end() {
        let sizes = octaves(4096, 16 << 20, 4);
        assert_eq!(sizes.len(), 12 * 4 + 1);
        assert_eq!((sizes[0], sizes[4], sizes[48]), (4096, 8192, 16 << 20));
        assert!(sizes.windows(2).all(|w| w[0] < w[1]));
        assert!(sizes.iter().all(|s| s % 64 == 0));
        assert!(sizes.iter().filter(|&&s| s > SMALL).all(|s| s % 4096 == 0));
        assert_eq!(octaves(4096, 5000, 4), [4096, 4864, 4992]);
    }

    #[test]
    fn three_rounds_have_every_size_of_the_first_variant_whatever_the_time() {
        let mut rng = fastrand::Rng::with_seed(1);
        let settings: Vec<Setting> =
            (0..61).map(|size| (0, size)).chain((0..31).map(|size| (2, size))).collect();
        let mut seen = Vec::new();
        for round in 0..3 {
            let (due, order) = in_turn(settings.clone(), round, &mut rng);
            assert_eq!((order.len(), due / 2), (92, 10));
            assert!(order[..due].iter().all(|setting| setting.0 == 0));
            let ascending = order[..due].windows(2).filter(|w| w[0].1 < w[1].1).count();
            assert!((4..16).contains(&ascending), "in random order: {ascending} of {due}");
            seen.extend(order[..due].iter().map(|setting| setting.1));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..61).collect::<Vec<u64>>());
    }
}
