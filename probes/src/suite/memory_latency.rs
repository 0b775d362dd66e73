//! Latency of one dependent load, by working set, and the time to read 1 MB in a straight line.
//!
//! Method: a ring of 64-byte nodes in random order; each load's address is the value of the load
//! before it, so loads cannot overlap. Four rings: at random over huge pages (closest to the
//! hardware), the same over the kernel's small ones (what most programs see; the difference is
//! address translation), at random within 256 KiB groups (within a TLB's reach, yet not prefetchable), and
//! ascending (what prefetchers hide). Sizes come in random order. The page walk is measured where it
//! happens: visiting two lines of each random page in main memory instead of one halves the number
//! of walks and changes nothing else, so twice the difference is one walk. Small pages lie so far
//! apart that each has a line of the page table to itself, as in a program that uses eight times the
//! memory. 1 MB is 10⁶ bytes, each from another part of a buffer of four times the last-level cache.
//! Variants and metrics of a page size carry the size that the kernel has: 4k and 2m, 16k and 32m,
//! 64k and 512m.
//! Blind spots: where the host backs a guest with small pages, the curve of huge ones holds page walks
//! too; a shared or partitioned L3 shows what is left of it, not its size.
//! Expect: steps at the cache sizes; L1 4 or 5 cycles, L2 12 to 16, DRAM 80 to 140 ns.

use anyhow::Context;
use sweep::Sweep;

use crate::harness::bench::Bench;
use crate::harness::levels;
use crate::harness::need::Need;
use crate::probe::Probe;
use crate::sys::memory::{Buffer, Pages};
use card::counters::Event;
use card::declare::{
    Declare, Estimator, Level, NoiseClass, ReportOnly, Unit, at_least, at_most, between,
};
use card::machine::human_bytes;

mod gigantic;
mod read;
mod sweep;
mod walks;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "memory-latency",
    summary: "load-to-use latency by working set; sequential read of 1 MB",
    needs: &[Need::Memory(8 << 20)],
    uses: &[],
    seconds: 11.0,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let latency = d.quantity("latency", Unit::Ns, Estimator::LowerQuartile);
    let visit = d.quantity("visit", Unit::Ns, Estimator::LowerQuartile);
    let read = d.quantity("read_1m", Unit::Ns, Estimator::LowerQuartile);
    let curve = latency.with("variant", random(Pages::Huge));
    let curve_small = latency.with("variant", random(Pages::Small));
    let [small, huge] = [Pages::Small, Pages::Huge].map(|pages| human_bytes(pages.bytes() as u64));
    for (level, place) in [
        (Level::L1, "L1 hit".to_owned()),
        (Level::L2, "L2 hit".to_owned()),
        (Level::L3, "L3 hit".to_owned()),
        (Level::Dram, format!("DRAM, {huge} pages, full random")),
    ] {
        let summary = format!("load-to-use latency, {place}");
        let tier = if level <= Level::L2 { NoiseClass::T1 } else { NoiseClass::T3 };
        d.family(family(level));
        d.report_only((level == Level::L3).then_some(ReportOnly::Neighbours));
        d.cost(&format!("memory.latency.{}", level.name()), tier, curve.plateau(level), summary);
    }
    let in_small = format!("memory.latency.dram_{}", Pages::Small.name());
    // Where small pages lie is up to the guest's kernel and its host: 159 to 201 ns in six runs of an hour
    // on one machine, as its memory was used, beside 113 to 118 ns in huge ones.
    d.report_only(Some(ReportOnly::Placement));
    d.cost(
        &in_small,
        NoiseClass::T3,
        curve_small.plateau(Level::Dram),
        format!("load-to-use latency, DRAM, {small} pages, full random"),
    );
    d.report_only(None);
    d.cost(
        "memory.latency.dram_1g",
        NoiseClass::T3,
        latency.with("variant", random(Pages::Gigantic)),
        "load-to-use latency, DRAM, 1 GiB pages, full random, largest working set",
    );
    for (level, id, summary) in [
        (Level::L1, "cache.l1d_knee_bytes", "L1 capacity: knee of the latency curve"),
        (Level::L2, "cache.l2_knee_bytes", "L2 capacity: knee of the latency curve"),
        (Level::L3, "cache.l3_knee_bytes", "L3 capacity: knee of the latency curve"),
    ] {
        // Where the host scatters pages and shares L3, the later knees are its doing.
        let tier = if level == Level::L1 { NoiseClass::T1 } else { NoiseClass::T4 };
        d.family(family(level));
        d.report_only((level != Level::L1).then_some(ReportOnly::Unsteady));
        d.metric(id, tier, curve.capacity(level), summary);
    }
    d.family("tlb");
    d.report_only(Some(ReportOnly::Neighbours));
    let one = |pages: Pages| visit.with("lines", 1).with("variant", pages.name());
    let two = |pages: Pages| visit.with("lines", 2).with("variant", pages.name());
    // Small differences of large figures that hold the host's own page walks as well.
    d.metric(
        "tlb.small_pages_ns",
        NoiseClass::T4,
        one(Pages::Small) - one(Pages::Huge),
        format!("extra latency of a random DRAM load, {small} pages against {huge} pages"),
    );
    d.cost(
        "tlb.walk",
        NoiseClass::T4,
        (one(Pages::Small) - two(Pages::Small)).times(2.0),
        format!("page walk, {small} pages, one access per page in DRAM"),
    );
    d.metric(
        "tlb.huge_walk_ns",
        NoiseClass::T4,
        (one(Pages::Huge) - two(Pages::Huge)).times(2.0),
        format!("page walk, {huge} pages, one access per page in DRAM; 0 within DTLB reach"),
    );
    d.family("dram-bandwidth");
    d.report_only(None);
    d.metric(READ_ID, NoiseClass::T3, read, "sequential read of 10⁶ bytes from DRAM, one thread");
    let l1 = ["memory.latency.l1_cycles", "memory.latency.l1_ns"];
    let dram = ["memory.latency.dram_cycles", "memory.latency.dram_ns"];
    let dram_small = ["cycles", "ns"].map(|unit| format!("{in_small}_{unit}"));
    d.proof(l1, curve.least("working_set"), Event::L1dMisses, at_most(0.01));
    d.proof(dram, curve.most("working_set"), Event::LlcMisses, at_least(0.95));
    d.proof(dram_small, curve_small.most("working_set"), Event::LlcMisses, at_least(0.95));
    // A load after the other, and a sixty-fourth of a loop.
    d.proof(l1, curve, Event::Instructions, between(1.0, 1.15));
    // Half of the walks is what twice the difference rests on.
    let walk = ["tlb.walk_cycles", "tlb.walk_ns"];
    d.proof(walk, one(Pages::Small), Event::DtlbWalks, between(0.9, 1.1));
    d.proof(walk, two(Pages::Small), Event::DtlbWalks, between(0.45, 0.6));
}

/// The ring at random over such pages.
fn random(pages: Pages) -> String {
    format!("random_{}", pages.name())
}

fn family(level: Level) -> &'static str {
    match level {
        Level::L1 | Level::L2 => "l1-l2",
        Level::L3 => "l3",
        Level::Dram => "dram-latency",
    }
}

const READ_ID: &str = "memory.read_1m_sequential_ns";

/// What only a sweep that goes beyond the caches can tell.
const IN_MEMORY: [&str; 3] = ["memory.latency.dram*", "cache.l3_knee_bytes", walks::METRICS];

/// Loads between two looks at the time: a few milliseconds from main memory.
const STRETCH: u64 = 16_384;

/// Part of the slice after which working sets in small pages are left out, and then in huge ones.
const UNTIL_SMALL: f64 = 0.5;
const UNTIL: f64 = 1.2;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut sweep = Sweep::of(bench)?;
    let largest = sweep.largest;
    let in_memory = beyond_caches(bench, largest);
    let map = |bytes: u64, pages| {
        Buffer::new(usize::try_from(bytes)?, pages)
            .with_context(|| format!("cannot map {}", human_bytes(bytes)))
    };
    // Small pages first: taken from memory that huge ones have just given back, they would lie side
    // by side as they rarely do.
    let walks = in_memory && walks::in_time(bench, largest)?;
    if walks {
        walks::in_small(bench, largest)?;
    }
    sweep.measure(bench, map(largest, Pages::Small)?, UNTIL_SMALL)?;
    let mut huge = map(largest.max(read::LEAST), Pages::Huge)?;
    if in_memory {
        read::measure(bench, &mut huge)?;
    } else {
        read::skip(bench, largest)?;
    }
    if walks {
        huge = walks::in_huge(bench, huge, largest)?;
    }
    sweep.measure(bench, huge, UNTIL)?;
    if in_memory {
        gigantic::measure(bench, largest)?;
    }
    sweep.finish(bench)
}

/// Whether most of a working set must lie in main memory.
fn beyond_caches(bench: &Bench<'_>, bytes: u64) -> bool {
    bytes >= levels::LEAST_BEYOND * levels::last_cache(bench.machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::record::Skip;

    #[test]
    fn what_skips_cost_is_declared() {
        let declared = PROBE.declaration().metrics;
        for pattern in IN_MEMORY.into_iter().chain([READ_ID, gigantic::METRICS]) {
            let skip = Skip::new("", "", "").of([pattern]);
            assert!(declared.iter().any(|metric| skip.names(&metric.id)), "{pattern}");
        }
    }
}
