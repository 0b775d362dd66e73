//! Latency of one dependent load, by working set, and the time to read 1 MB in a straight line.
//!
//! Method: a ring of 64-byte nodes in random order; each load's address is the value of the load
//! before it, so loads cannot overlap. Four rings: at random over 2 MiB pages (closest to the
//! hardware), the same over 4 KiB pages (what most programs see; the difference is address
//! translation), at random within 256 KiB groups (within a TLB's reach, yet not prefetchable), and
//! ascending (what prefetchers hide). Sizes come in random order. The page walk is measured where it
//! happens: visiting two lines of each random page in main memory instead of one halves the number
//! of walks and changes nothing else, so twice the difference is one walk. Small pages lie so far
//! apart that each has a line of the page table to itself, as in a program that uses eight times the
//! memory. 1 MB is 10⁶ bytes, each from another part of a buffer of four times the last-level cache.
//! Blind spots: where the host backs a guest with 4 KiB pages, the 2 MiB curve holds page walks
//! too; a shared or partitioned L3 shows what is left of it, not its size.
//! Expect: steps at the cache sizes; L1 4 or 5 cycles, L2 12 to 16, DRAM 80 to 140 ns.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::Context;

use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, Tier as RunTier, params};
use crate::harness::levels;
use crate::harness::sampling::Policy;
use crate::kernel::chase::{self, Order, Ring, Rings};
use crate::kernel::stream;
use crate::probe::{Need, Probe};
use crate::sys::memory::{Buffer, LINE, LINES_IN_PAGE, Pages, SMALL_PAGE};
use card::counters::Event;
use card::declare::{Declare, Estimator, Level, Tier, Unit, at_least, at_most, between};
use card::machine::human_bytes;
use card::record::Skip;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "memory-latency",
    summary: "latency of one dependent load, by working set; reading 1 MB sequentially",
    needs: &[Need::Memory(8 << 20)],
    uses: &[],
    seconds: 11.0,
    metrics: &[],
    proofs: &[],
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let latency = d.quantity("latency", Unit::Ns, Estimator::LowerQuartile);
    let visit = d.quantity("visit", Unit::Ns, Estimator::LowerQuartile);
    let read = d.quantity("read_1m", Unit::Ns, Estimator::LowerQuartile);
    let curve = latency.with("variant", "random_2m");
    let curve_4k = latency.with("variant", "random_4k");
    for (level, summary) in [
        (Level::L1, "load-to-use latency, L1 hit"),
        (Level::L2, "load-to-use latency, L2 hit"),
        (Level::L3, "load-to-use latency, L3 hit"),
        (Level::Dram, "load-to-use latency, main memory, 2 MiB pages, full random"),
    ] {
        let tier = if level <= Level::L2 { Tier::T1 } else { Tier::T3 };
        d.family(family(level));
        d.cost(&format!("memory.latency.{}", level.name()), tier, curve.plateau(level), summary);
    }
    d.cost(
        "memory.latency.dram_4k",
        Tier::T3,
        curve_4k.plateau(Level::Dram),
        "load-to-use latency, main memory, 4 KiB pages, full random",
    );
    for (level, id, summary) in [
        (Level::L1, "cache.l1d_knee_bytes", "working set at which L1 hits end"),
        (Level::L2, "cache.l2_knee_bytes", "working set at which L2 hits end"),
        (Level::L3, "cache.l3_knee_bytes", "working set at which L3 hits end"),
    ] {
        // Where the host scatters pages and shares L3, the later knees are its doing.
        let tier = if level == Level::L1 { Tier::T1 } else { Tier::T4 };
        d.family(family(level));
        d.metric(id, tier, curve.capacity(level), summary);
    }
    d.family("tlb");
    let one = |variant| visit.with("lines", 1).with("variant", variant);
    let two = |variant| visit.with("lines", 2).with("variant", variant);
    // Small differences of large figures that hold the host's own page walks as well.
    d.metric(
        "tlb.small_pages_ns",
        Tier::T4,
        one("4k") - one("2m"),
        "extra latency of a random access to main memory in 4 KiB pages against 2 MiB pages",
    );
    d.cost(
        "tlb.walk",
        Tier::T4,
        (one("4k") - two("4k")).times(2.0),
        "extra latency of a random access to main memory in 4 KiB pages: the page walk",
    );
    d.metric(
        "tlb.huge_walk_ns",
        Tier::T4,
        (one("2m") - two("2m")).times(2.0),
        "the same in 2 MiB pages: nothing as long as the TLB reaches",
    );
    d.family("dram-bandwidth");
    d.metric(
        READ_ID,
        Tier::T3,
        read,
        "reading 10⁶ bytes sequentially from main memory, one thread",
    );
    let l1 = ["memory.latency.l1_cycles", "memory.latency.l1_ns"];
    let dram = ["memory.latency.dram_cycles", "memory.latency.dram_ns"];
    let dram_4k = ["memory.latency.dram_4k_cycles", "memory.latency.dram_4k_ns"];
    d.proof(l1, curve.least("working_set"), Event::L1dMisses, at_most(0.01));
    d.proof(dram, curve.most("working_set"), Event::LlcMisses, at_least(0.95));
    d.proof(dram_4k, curve_4k.most("working_set"), Event::LlcMisses, at_least(0.95));
    // A load after the other, and a sixty-fourth of a loop.
    d.proof(l1, curve, Event::Instructions, between(1.0, 1.15));
    // Half of the walks is what twice the difference rests on.
    let walk = ["tlb.walk_cycles", "tlb.walk_ns"];
    d.proof(walk, one("4k"), Event::DtlbWalks, between(0.9, 1.1));
    d.proof(walk, two("4k"), Event::DtlbWalks, between(0.45, 0.6));
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
const IN_MEMORY: [&str; 3] = ["memory.latency.dram*", "cache.l3_knee_bytes", "tlb.*"];

/// Smallest working set: every data cache of the last twenty years holds it.
const SMALLEST: u64 = 4 << 10;

/// Entries of the page table in a line of 64 bytes.
const PAGES_OF_A_LINE: usize = 8;

/// Dean's "1 MB".
const MEGABYTE: usize = 1_000_000;

/// A sixteenth of a standard round goes to the 1 MB reads.
const READ_SHARE: f64 = 1.0 / 16.0;

/// As much to the page walks of either page size.
const WALK_SHARE: f64 = 1.0 / 16.0;

/// Part of the slice after which working sets are left out.
const MOST_OVERTIME: f64 = 1.2;

/// A quick run has three rounds.
const THIRDS: usize = 3;

/// Time for a handful of samples, four times that if they are disturbed.
const LEAST_SAMPLING: Duration = Duration::from_millis(4);

/// Rings up to this size are touched at random before they are walked, and checked node by node.
const SMALL: u64 = 4 << 20;

/// Warm-up beyond this changes nothing any more, in any cache that a lap fits into.
const LONGEST_WARM_UP: Duration = Duration::from_millis(50);

/// Loads between two looks at the time: a few milliseconds from main memory.
const STRETCH: u64 = 16_384;

struct Variant {
    name: &'static str,
    pages: Pages,
    order: Order,
    /// Measure only every n-th size of the sweep.
    coarse: usize,
}

/// The four rings. Groups of 256 KiB are 64 small pages, the reach of the smallest first-level
/// data TLB in use.
const VARIANTS: [Variant; 4] = [
    Variant { name: "random_2m", pages: Pages::Huge, order: Order::Random, coarse: 1 },
    Variant { name: "random_4k", pages: Pages::Small, order: Order::Random, coarse: 1 },
    Variant {
        name: "page_local",
        pages: Pages::Small,
        order: Order::Grouped(256 << 10),
        coarse: 2,
    },
    Variant { name: "sequential", pages: Pages::Huge, order: Order::Sequential, coarse: 4 },
];

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let sizes = sizes(bench)?;
    read_megabyte(bench, *sizes.last().context("no size fits")?)?;
    let mut settings: Vec<(usize, u64)> = (0..VARIANTS.len())
        .flat_map(|v| sizes.iter().step_by(VARIANTS[v].coarse).map(move |&s| (v, s)))
        .collect();
    let all = settings.len();
    // Small pages first: taken from memory that huge ones have just given back, they would lie side
    // by side as they rarely do.
    let mut left_out = 0;
    for (pages, until) in [(Pages::Small, 0.5), (Pages::Huge, MOST_OVERTIME)] {
        let largest = *sizes.last().context("no size fits")?;
        let capacity = usize::try_from(largest)?;
        if beyond_caches(bench, largest) {
            walks(bench, capacity, pages)?;
        }
        let mut ring = Ring::with_capacity(capacity, pages)
            .with_context(|| format!("cannot map {}", human_bytes(capacity as u64)))?;
        let note = backing::note(ring.buffer());
        let mut here: Vec<(usize, u64)> = Vec::new();
        settings.retain(|&(v, size)| {
            let now = VARIANTS[v].pages == pages;
            if now {
                here.push((v, size));
            }
            !now
        });
        let (due, here) = in_turn(here, bench.round, &mut bench.rng);
        let elsewhere = settings.len();
        for (done, &(v, size)) in here.iter().enumerate() {
            // Laying a ring costs time that no share can shorten.
            if done >= due && bench.meter.elapsed() > bench.share(until) {
                left_out += here.len() - done;
                break;
            }
            let share = bench.left() / u32::try_from(here.len() - done + elsewhere)?;
            point(bench, &mut ring, &VARIANTS[v], size, share, note.as_deref())?;
        }
    }
    if left_out > 0 {
        out_of_time(bench, all - left_out, all)?;
    }
    Ok(())
}

/// In random order, but a third of the sizes of the first variant first, another third in each round,
/// and how many those are: three rounds have all of them, however little time there is.
fn in_turn(
    settings: Vec<(usize, u64)>,
    round: u32,
    rng: &mut fastrand::Rng,
) -> (usize, Vec<(usize, u64)>) {
    let first = settings.first().map(|setting| setting.0);
    let turn = round as usize % THIRDS;
    let is_due =
        |(i, setting): &(usize, (usize, u64))| Some(setting.0) == first && i % THIRDS == turn;
    let mut numbered: Vec<(usize, (usize, u64))> = settings.into_iter().enumerate().collect();
    let due = numbered.iter().filter(|n| is_due(n)).count();
    rng.shuffle(&mut numbered);
    numbered.sort_by_key(|n| !is_due(n));
    (due, numbered.into_iter().map(|(_, setting)| setting).collect())
}

/// Two rings through the same pages of main memory: one visits a line of a random page, the other
/// one two lines of each, which halves the page walks and changes nothing else.
fn walks(bench: &mut Bench<'_>, bytes: usize, pages: Pages) -> anyhow::Result<()> {
    let (variant, apart) = match pages {
        Pages::Small => ("4k", PAGES_OF_A_LINE),
        Pages::Huge => ("2m", 1),
    };
    let (buffer, apart, crowded) = match Buffer::untouched(bytes * apart, pages) {
        Ok(buffer) => (buffer, apart, None),
        Err(e) => {
            let wanted = human_bytes((bytes * apart) as u64);
            let note = format!("pages side by side: {wanted} of address space: {e}");
            let buffer = Buffer::untouched(bytes, pages);
            (
                buffer.with_context(|| format!("cannot map {}", human_bytes(bytes as u64)))?,
                1,
                Some(note),
            )
        }
    };
    let [single, double] = visits(bytes / SMALL_PAGE, apart, &mut bench.rng);
    let rings = Rings::link(buffer, &[&single, &double]);
    let note = crowded.or(backing::note(rings.buffer()));
    let rings = RefCell::new(rings);
    let arm = |i: usize| {
        let setting = params([("variant", variant.into()), ("lines", (i as u64 + 1).into())]);
        let rings = &rings;
        let go_on = move |loads| rings.borrow_mut().walk(i, loads);
        // The other ring has driven the lines of this one out of the caches, and the page tables
        // have to come back.
        let arm = Arm::new("visit", setting, go_on).prepared(move |_| go_on(STRETCH));
        arm.in_blocks_of(chase::BLOCK).noted(note.clone())
    };
    let (want, most) = if bench.tier == RunTier::Quick { (3, 6) } else { (5, 16) };
    let policy = Policy {
        want,
        most,
        sample: Duration::from_millis(2),
        ..Policy::structural(bench.share(WALK_SHARE))
    };
    bench.interleave(vec![arm(0), arm(1)], &policy)
}

/// The lines of so many pages, so far apart, for two rings: each has half of each page, the second
/// one visits two lines of a page at a time.
fn visits(pages: usize, apart: usize, rng: &mut fastrand::Rng) -> [Vec<usize>; 2] {
    let mut slots: Vec<usize> = (0..LINES_IN_PAGE).map(|i| i * LINE).collect();
    let mut rings = [Vec::new(), Vec::new()];
    for page in 0..pages {
        rng.shuffle(&mut slots);
        let at = page * apart * SMALL_PAGE;
        for (lines, slots) in rings.iter_mut().zip(slots.chunks(LINES_IN_PAGE / 2)) {
            lines.extend(slots.iter().map(|slot| at + slot));
        }
    }
    let [single, double] = rings;
    [in_random_order(&single, 1, rng), in_random_order(&double, 2, rng)]
}

/// So many of them at a time.
fn in_random_order(lines: &[usize], together: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut groups: Vec<&[usize]> = lines.chunks(together).collect();
    rng.shuffle(&mut groups);
    groups.concat()
}

fn out_of_time(bench: &mut Bench<'_>, measured: usize, all: usize) -> anyhow::Result<()> {
    bench.skip(Skip::new(
        "time for every working set",
        format!("round {}: {measured} of {all} were measured", bench.round + 1),
        "give the run more time (--tier thorough or --budget)",
    ))
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
                "the sweep ends at {} (half of what {} leaves)",
                human_bytes(largest),
                bench.machine.memory_limit_source()
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

fn point(
    bench: &mut Bench<'_>,
    ring: &mut Ring,
    variant: &Variant,
    size: u64,
    share: Duration,
    note: Option<&str>,
) -> anyhow::Result<()> {
    let began = bench.meter.elapsed();
    ring.lay(usize::try_from(size)?, LINE, variant.order, &mut bench.rng);
    warm(bench, ring, size, share)?;
    // Laying a large ring can take more than the point's share; it is measured all the same.
    let left = share.saturating_sub(bench.meter.elapsed() - began).max(LEAST_SAMPLING);
    let (want, most) = if bench.tier == RunTier::Quick { (3, 5) } else { (5, 6) };
    let policy = Policy { want, most, ..Policy::structural(left) };
    let setting = params([("variant", variant.name.into()), ("working_set", size.into())]);
    let arm = Arm::new("latency", setting, |loads| ring.walk(loads))
        .in_blocks_of(chase::BLOCK)
        .noted(note.map(Into::into));
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

/// Whether most of a working set must lie in main memory.
fn beyond_caches(bench: &Bench<'_>, bytes: u64) -> bool {
    bytes >= levels::LEAST_BEYOND * levels::last_cache(bench.machine)
}

fn read_megabyte(bench: &mut Bench<'_>, largest: u64) -> anyhow::Result<()> {
    if !beyond_caches(bench, largest) {
        let skip = Skip::new(
            "twice the last-level cache to read 1 MB from memory",
            format!("{} would be read from the last-level cache", human_bytes(largest)),
            "raise the memory limit",
        );
        return bench.skip(skip.of([READ_ID]));
    }
    // A whole number of megabytes, each rounded up to whole kernel blocks.
    let step = MEGABYTE.next_multiple_of(stream::BLOCK);
    let len = usize::try_from(largest)?.max(2 * step);
    let mut buffer = Buffer::new(len, Pages::Huge).context("cannot map the read buffer")?;
    for (i, word) in buffer.words_mut().iter_mut().enumerate() {
        *word = i as u64;
    }
    let slices = buffer.len() / step;
    let note = backing::note(&buffer);
    let (next, sum) = (Cell::new(0), Cell::new(expected_sum(0, step)));
    let wrong = Cell::new(None);
    let offset = |n: usize| n % slices * step;
    let read = |_| {
        sum.set(stream::sum(&buffer, offset(next.get()), MEGABYTE));
        next.set(next.get() + 1);
    };
    // The sum of the read before is checked outside the timed region.
    let check = |_| {
        let last = offset(next.get().saturating_sub(1));
        if sum.get() != expected_sum(last, step) {
            wrong.set(Some(last));
        }
    };
    let policy = Policy {
        want: 9,
        // One read is one sample.
        sample: Duration::from_nanos(1),
        ..Policy::structural(bench.share(READ_SHARE))
    };
    bench.sample(Arm::new("read_1m", params([]), read).prepared(check).noted(note), &policy)?;
    bench.check(wrong.get().is_none(), || format!("a wrong sum of the megabyte at {wrong:?}"))
}

/// Sum of the 32-bit halves of the words `offset/8 ..` of a buffer that counts its words: the
/// upper halves are zero below 32 GiB.
fn expected_sum(offset: usize, len: usize) -> u32 {
    let (first, count) = (offset as u64 / 8, len as u64 / 8);
    (first * count).wrapping_add(count * (count - 1) / 2) as u32
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
        let settings: Vec<(usize, u64)> =
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

    #[test]
    fn two_rings_share_the_pages_and_no_line() {
        let mut rng = fastrand::Rng::with_seed(1);
        let [single, double] = visits(64, 8, &mut rng);
        let page = |line: usize| line / SMALL_PAGE;
        assert!(double.chunks(2).all(|pair| page(pair[0]) == page(pair[1])));
        let stays = |lines: &[usize]| lines.windows(2).filter(|w| page(w[0]) == page(w[1])).count();
        assert!(stays(&single) < 100, "{} of 2047 stay in their page", stays(&single));
        for lines in [&single, &double] {
            let mut sorted = lines.clone();
            sorted.sort_unstable();
            let pages = sorted.chunks(LINES_IN_PAGE / 2).enumerate();
            assert!(pages.into_iter().all(|(i, of)| of.iter().all(|&line| page(line) == i * 8)));
        }
        let all: std::collections::HashSet<usize> = single.into_iter().chain(double).collect();
        assert_eq!(all.len(), 64 * LINES_IN_PAGE);
    }

    #[test]
    fn the_expected_sum_is_the_sum() {
        let mut buffer = Buffer::new(4 << 20, Pages::Small).unwrap();
        for (i, word) in buffer.words_mut().iter_mut().enumerate() {
            *word = i as u64;
        }
        let step = MEGABYTE.next_multiple_of(stream::BLOCK);
        for slice in 0..4 {
            let offset = slice * step;
            assert_eq!(stream::sum(&buffer, offset, MEGABYTE), expected_sum(offset, step));
        }
    }
}
