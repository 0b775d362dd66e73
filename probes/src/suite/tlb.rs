//! Reach of the data TLBs, what missing them costs, and which pages the hardware really has.
//!
//! Method: a pointer chase over one line each of more and more pages. The lines lie at a different
//! place in each page, so that they spread over all sets of the caches, and a control chases as many lines
//! within few pages. The pages are first touched in random order, or neighbours may be folded into
//! one entry; the same with pages touched in order brackets that. The set of pages grows: stale
//! entries of a larger one could stay for ever. Page walks are measured by memory-latency, where
//! they matter.
//! Blind spots: second-level TLBs hash their index, so their end is a ramp; its first third is
//! taken. Walks in a guest are those of the guest and the host together. Entries are those of the
//! kernel's pages, whatever their size, which the variants are named by (4k and 2m, 16k and 32m, …);
//! lines in huge pages lie a small page apart.
//! Expect: 48 to 96 entries in the first level and 7 cycles to the second, which has 1024 to 4096;
//! huge pages reach hundreds of MiB, unless the host backs the guest with small ones.

use std::cell::RefCell;
use std::time::Duration;

use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chase::{self, Ring};
use crate::probe::Probe;
use crate::sys::memory::{Buffer, LINE, Pages};
use card::counters::Event;
use card::declare::{Declare, Estimator, NoiseClass, ReportOnly, Unit, at_least, at_most};
use card::machine::human_bytes;
use card::record::{Params, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "tlb",
    summary: "DTLB entries, DTLB reach, L1 DTLB miss penalty",
    needs: &[Need::Memory(32 << 20)],
    uses: &[],
    seconds: 2.4,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("tlb");
    let latency = d.quantity("latency", Unit::Ns, Estimator::LowerQuartile);
    let few = latency.with("part", "few");
    let [page, huge] = [Pages::Small, Pages::Huge].map(|pages| human_bytes(pages.bytes() as u64));
    let small = few.with("variant", Way::Scattered.name());
    d.metric(
        "tlb.l1_entries",
        NoiseClass::T1,
        small.last_before("pages", 1.0),
        format!("L1 DTLB entries, {page} pages"),
    );
    d.metric(
        "tlb.l1_in_order_entries",
        NoiseClass::T2,
        few.with("variant", Way::InOrder.name()).last_before("pages", 1.0),
        format!("L1 DTLB entries, {page} pages in order (coalescing counts)"),
    );
    let many = latency.with("part", "many").with("variant", Way::Scattered.name());
    d.metric(
        "tlb.l2_entries",
        NoiseClass::T3,
        many.crossing("pages", 1.0 / 3.0),
        format!("L2 DTLB entries, {page} pages: a third of accesses walk"),
    )
    .report_only(ReportOnly::Unsteady);
    let between = |way: Way| latency.with("variant", way.name()).with("pages", BETWEEN);
    d.cost(
        "tlb.l1_miss",
        NoiseClass::T2,
        between(Way::Scattered) - between(Way::Control),
        "L1 DTLB miss, L2 DTLB hit: extra latency",
    );
    d.metric(
        "tlb.huge_page_reach_bytes",
        NoiseClass::T2,
        few.with("variant", Way::Huge.name())
            .last_before("pages", 1.0)
            .times(Pages::Small.bytes() as f64),
        format!("L1 DTLB reach in {huge} pages"),
    );
    let first = ["tlb.l1_entries"];
    d.proof(first, small.least("pages"), Event::DtlbMisses, at_most(0.02));
    d.proof(first, small.most("pages"), Event::DtlbMisses, at_least(0.9));
    d.proof(["tlb.l2_entries"], many.most("pages"), Event::DtlbWalks, at_least(0.5));
    let misses = ["tlb.l1_miss_cycles", "tlb.l1_miss_ns"];
    d.proof(misses, between(Way::Scattered), Event::DtlbMisses, at_least(0.9));
    d.proof(misses, between(Way::Scattered), Event::DtlbWalks, at_most(0.02));
}

/// Pages that no first level holds and every second one does; their lines fit any L1 cache.
const BETWEEN: usize = 192;

/// Half again as much as the largest second level in use.
const MOST_PAGES: usize = 6144;

/// What a line is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Each from a small page, which were touched in random order.
    Scattered,
    /// The same, touched in order.
    InOrder,
    /// A small page apart, in huge pages.
    Huge,
    /// One after the other.
    Control,
}

impl Way {
    fn name(self) -> String {
        let small = Pages::Small.name();
        match self {
            Way::Scattered => small,
            Way::InOrder => format!("{small}_in_order"),
            Way::Huge => Pages::Huge.name(),
            Way::Control => format!("{small}_control"),
        }
    }
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let page = Pages::Small.bytes();
    let most = MOST_PAGES.min(usize::try_from(bench.machine.buffer_limit())? / page);
    if most < MOST_PAGES {
        let reason = format!(
            "{MOST_PAGES} pages of {} are more than half of what {} leaves",
            human_bytes(page as u64),
            bench.machine.memory_limit_source()
        );
        let skip = Skip::new("more pages than a second-level TLB holds", reason, "raise the limit");
        bench.skip(skip.of(["tlb.l2_entries"]))?;
    }
    let mut small = Ring::over(Buffer::scattered(most * page, &mut bench.rng)?);
    few(bench, &mut small, Way::Scattered, &dense())?;
    let mut control = Ring::with_capacity(MOST_PAGES * LINE, Pages::Huge)?;
    few(bench, &mut control, Way::Control, &[16, 64, BETWEEN, 384])?;
    let mut huge = Ring::with_capacity(144 * page, Pages::Huge)?;
    few(bench, &mut huge, Way::Huge, &(16..=144).step_by(8).collect::<Vec<usize>>())?;
    let mut in_order = Ring::with_capacity(448 * page, Pages::Small)?;
    let folded = (16..144).step_by(8).chain((160..=448).step_by(32));
    few(bench, &mut in_order, Way::InOrder, &folded.collect::<Vec<usize>>())?;
    if most < MOST_PAGES {
        return Ok(());
    }
    many(bench, &mut control, Way::Control, &[768, 1536, 3072, MOST_PAGES])?;
    // Twelve an octave.
    let counts = (0..=36).map(|i| (768.0 * (f64::from(i) / 12.0).exp2()) as usize);
    many(bench, &mut small, Way::Scattered, &counts.collect::<Vec<usize>>())
}

/// Every other count where first levels end, and what no first level holds.
fn dense() -> Vec<usize> {
    let ends = (40..=104).step_by(2);
    (16..40).step_by(8).chain(ends).chain((112..=144).step_by(8)).chain([BETWEEN, 384]).collect()
}

/// All counts in turn, again and again over a part of the round: a neighbour on the same core takes
/// entries away for as long as it works, which no clock shows.
fn few(bench: &mut Bench<'_>, ring: &mut Ring, way: Way, counts: &[usize]) -> anyhow::Result<()> {
    let backing = backing::of(ring.buffer());
    let (ring, rng) = (&RefCell::new(ring), &RefCell::new(bench.rng.fork()));
    let arm = |&count: &usize| {
        let prepare = move |_| lay(&mut ring.borrow_mut(), way, count, &mut rng.borrow_mut());
        let work = move |loads| ring.borrow_mut().walk(loads);
        let arm = Arm::new("latency", setting(way, "few", count), work);
        arm.in_blocks_of(chase::BLOCK).prepared(prepare).backed(backing.clone())
    };
    let policy = SamplingPlan {
        min_samples: 3,
        max_samples: 8,
        sample: Duration::from_micros(30),
        spread: true,
        ..SamplingPlan::structural(bench.share(0.2))
    };
    bench.interleave(counts.iter().map(arm).collect(), &policy)
}

/// Ascending counts, one after the other: stale entries of a larger set could stay for ever.
fn many(bench: &mut Bench<'_>, ring: &mut Ring, way: Way, counts: &[usize]) -> anyhow::Result<()> {
    for (done, &count) in counts.iter().enumerate() {
        lay(ring, way, count, &mut bench.rng);
        let policy = SamplingPlan {
            min_samples: 3,
            max_samples: 5,
            sample: Duration::from_micros(250),
            ..SamplingPlan::structural(bench.left() / u32::try_from(counts.len() - done)?)
        };
        let arm = Arm::new("latency", setting(way, "many", count), |loads| ring.walk(loads));
        bench.sample(arm.in_blocks_of(chase::BLOCK), &policy)?;
    }
    Ok(())
}

fn setting(way: Way, part: &str, pages: usize) -> Params {
    params([
        ("variant", way.name().as_str().into()),
        ("part", part.into()),
        ("pages", (pages as u64).into()),
    ])
}

/// One line in each of so many pages, or as many lines without a gap, in random order; touched at
/// random until no stale entry is left.
fn lay(ring: &mut Ring, way: Way, count: usize, rng: &mut fastrand::Rng) {
    let (page, lines) = (Pages::Small.bytes(), Pages::Small.lines());
    let mut nodes: Vec<usize> = if way == Way::Control {
        (0..count).map(|i| i * LINE).collect()
    } else {
        (0..count).map(|i| i * page + i % lines * LINE).collect()
    };
    // The control stays within a few pages at a time.
    let group = if way == Way::Control { 32 * lines } else { count };
    nodes.chunks_mut(group).for_each(|nodes| rng.shuffle(nodes));
    ring.link(&nodes);
    ring.touch((0..8 * count).map(|_| nodes[rng.usize(..count)]));
    ring.walk(ring.nodes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_holds_what_the_metrics_ask_for() {
        assert!(dense().is_sorted() && dense().contains(&BETWEEN));
    }

    #[test]
    fn a_line_in_each_page_or_as_many_without_a_gap() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut ring = Ring::with_capacity(128 * Pages::Small.bytes(), Pages::Small).unwrap();
        for way in [Way::Scattered, Way::Control] {
            lay(&mut ring, way, 128, &mut rng);
            assert_eq!(ring.nodes(), 128);
            assert!(ring.is_one_cycle(), "{way:?}");
        }
    }
}
