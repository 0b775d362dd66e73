//! Reach of the data TLBs, what missing them costs, and which pages the hardware really has.
//!
//! Method: a pointer chase over one line each of more and more pages. The lines lie at a different
//! place in each page, so that they spread over all sets of the caches, and a control chases as many lines
//! within few pages. The pages are first touched in random order, or neighbours may be folded into
//! one entry; the same with pages touched in order brackets that. The set of pages grows: stale
//! entries of a larger one could stay for ever. Page walks are measured by memory-latency, where
//! they matter.
//! Blind spots: second-level TLBs hash their index, so their end is a ramp; its first third is
//! taken. Walks in a guest are those of the guest and the host together.
//! Expect: 48 to 96 entries in the first level and 7 cycles to the second, which has 1024 to 4096;
//! huge pages reach hundreds of MiB, unless the host backs the guest with small ones.

use std::borrow::Cow;
use std::time::Duration;

use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::Policy;
use crate::kernel::chase::{self, Ring};
use crate::probe::{
    Better, Derive, Estimator, Metric, Need, Probe, Select, Text, Tier, Unit, metric, select, text,
};
use crate::sys::memory::{Buffer, Pages, SMALL_PAGE};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "tlb",
    summary: "reach of the data TLBs, page walks, and the pages that the hardware really has",
    needs: &[Need::Memory(32 << 20)],
    uses: &[],
    seconds: 2.4,
    metrics: &[
        entries(
            "tlb.l1_entries",
            "4 KiB pages up to which every translation hits the first-level data TLB",
            Tier::T1,
            Derive::LastBefore(FEW_SMALL, text("pages"), 1.0),
        ),
        entries(
            "tlb.l1_in_order_entries",
            "the same for pages touched in order, which some CPUs fold four into one entry",
            Tier::T2,
            Derive::LastBefore(FEW_IN_ORDER, text("pages"), 1.0),
        ),
        entries(
            "tlb.l2_entries",
            "4 KiB pages at which a third of the way from second-level hits to walks is gone",
            Tier::T2,
            Derive::Crossing(MANY_SMALL, text("pages"), 1.0 / 3.0),
        ),
        cost("tlb.l1_miss_cycles", L1_MISS, Unit::Cycles, Derive::Difference(Cow::Borrowed(MISS))),
        cost("tlb.l1_miss_ns", L1_MISS, Unit::Ns, Derive::Difference(Cow::Borrowed(MISS))),
        metric(
            "tlb.huge_page_reach_bytes",
            "memory in 2 MiB pages up to which every translation hits the first-level data TLB",
            Unit::Bytes,
            Better::Same,
            Tier::T2,
            "tlb",
            Derive::Times(SMALL_PAGE as f64, Cow::Borrowed(HUGE_REACH)),
        ),
    ],
    run,
};

const L1_MISS: &str = "extra latency of an access that misses the first-level data TLB only";
const fn entries(id: &'static str, summary: &'static str, tier: Tier, from: Derive) -> Metric {
    metric(id, summary, Unit::Count, Better::Same, tier, "tlb", from)
}

const fn cost(id: &'static str, summary: &'static str, unit: Unit, from: Derive) -> Metric {
    metric(id, summary, unit, Better::Lower, Tier::T2, "tlb", from)
}

const FEW_SMALL: Select = select("latency", FEW_SMALL_PARAMS);
const FEW_IN_ORDER: Select = select("latency", FEW_IN_ORDER_PARAMS);
const FEW_HUGE: Select = select("latency", FEW_HUGE_PARAMS);
const MANY_SMALL: Select = select("latency", MANY_SMALL_PARAMS);
const FEW: (Text, Text) = (text("part"), text("few"));
const FEW_SMALL_PARAMS: &[(Text, Text)] = &[FEW, (text("variant"), text("4k"))];
const FEW_IN_ORDER_PARAMS: &[(Text, Text)] = &[FEW, (text("variant"), text("4k_in_order"))];
const FEW_HUGE_PARAMS: &[(Text, Text)] = &[FEW, (text("variant"), text("2m"))];
const MANY_SMALL_PARAMS: &[(Text, Text)] =
    &[(text("part"), text("many")), (text("variant"), text("4k"))];

const HUGE_REACH: &[Derive] = &[Derive::LastBefore(FEW_HUGE, text("pages"), 1.0)];

/// Pages that no first level holds and every second one does; their lines fit any L1 cache.
const BETWEEN: usize = 192;
const MISS: &[Derive] = &[lower("latency", BETWEEN_SMALL), lower("latency", BETWEEN_CONTROL)];
const BETWEEN_SMALL: &[(Text, Text)] =
    &[(text("variant"), text("4k")), (text("pages"), text("192"))];
const BETWEEN_CONTROL: &[(Text, Text)] =
    &[(text("variant"), text("4k_control")), (text("pages"), text("192"))];

const fn lower(quantity: &'static str, params: &'static [(Text, Text)]) -> Derive {
    Derive::Value(select(quantity, params), Estimator::LowerQuartile)
}

const LINE: usize = 64;
const LINES_IN_PAGE: usize = SMALL_PAGE / LINE;

/// Half again as much as the largest second level in use.
const MOST_PAGES: usize = 6144;

/// How the pages of a sweep lie in memory.
struct Variant {
    name: &'static str,
    /// Number of pages, ascending, and the part of the curve they belong to.
    counts: Vec<(usize, &'static str)>,
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let variants = variants();
    let mut points: usize = variants.iter().map(|v| v.counts.len()).sum();
    for variant in variants {
        let most = variant.counts.last().map_or(0, |c| c.0) * SMALL_PAGE;
        let mut ring = Ring::over(match variant.name {
            "4k" => Buffer::scattered(most, &mut bench.rng)?,
            "4k_in_order" => Buffer::new(most, Pages::Small)?,
            _ => Buffer::new(most, Pages::Huge)?,
        });
        let note = if variant.name == "2m" { backing::note(ring.buffer()) } else { None };
        for (count, part) in variant.counts {
            let share = bench.left() / u32::try_from(points)?;
            points -= 1;
            let setting = params([
                ("variant", variant.name.into()),
                ("part", part.into()),
                ("pages", (count as u64).into()),
            ]);
            lay(&mut ring, variant.name, count, &mut bench.rng);
            let policy = Policy {
                want: 3,
                most: 4,
                sample: Duration::from_micros(if part == "few" { 50 } else { 250 }),
                ..Policy::structural(share)
            };
            let arm = Arm::new("latency", setting, |loads| ring.walk(loads));
            bench.sample(arm.in_blocks_of(chase::BLOCK).noted(note.clone()), &policy)?;
        }
    }
    Ok(())
}

fn variants() -> [Variant; 4] {
    let few = |from: usize, step: usize, to: usize| (from..=to).step_by(step).map(|n| (n, "few"));
    let dense = (16..40).step_by(8).chain((40..=104).step_by(2)).chain((112..=144).step_by(8));
    // Twelve an octave.
    let many = (0..=36).map(|i| ((768.0 * (f64::from(i) / 12.0).exp2()) as usize, "many"));
    let between = [BETWEEN, 256, 384, 512].map(|n| (n, "between"));
    let small = dense.map(|n| (n, "few")).chain(between);
    let control =
        [16, 64, BETWEEN, 256, 384, 512, 768, 1536, 3072, MOST_PAGES].map(|n| (n, "control"));
    [
        Variant { name: "4k", counts: small.chain(many).collect() },
        Variant { name: "4k_control", counts: control.into() },
        Variant { name: "4k_in_order", counts: few(16, 8, 144).chain(few(160, 32, 448)).collect() },
        Variant { name: "2m", counts: few(16, 8, 144).collect() },
    ]
}

/// One line in each of so many pages, or as many lines without a gap, in random order; touched at
/// random until no stale entry is left.
fn lay(ring: &mut Ring, variant: &str, count: usize, rng: &mut fastrand::Rng) {
    let mut nodes: Vec<usize> = if variant == "4k_control" {
        (0..count).map(|i| i * LINE).collect()
    } else {
        (0..count).map(|i| i * SMALL_PAGE + i % LINES_IN_PAGE * LINE).collect()
    };
    // The control stays within a few pages at a time.
    let group = if variant == "4k_control" { 32 * LINES_IN_PAGE } else { count };
    nodes.chunks_mut(group).for_each(|nodes| rng.shuffle(nodes));
    ring.link(&nodes);
    ring.touch((0..8 * count).map(|_| nodes[rng.usize(..count)]));
    ring.walk(ring.nodes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ascend_and_hold_what_the_metrics_ask_for() {
        for variant in variants() {
            assert!(variant.counts.is_sorted(), "{}", variant.name);
        }
        assert_eq!(BETWEEN_SMALL[1].1, BETWEEN.to_string());
        assert!(variants()[..2].iter().all(|v| v.counts.iter().any(|c| c.0 == BETWEEN)));
    }
}
