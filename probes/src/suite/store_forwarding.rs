//! What a load costs that needs what was just stored, or seems to.
//!
//! Method: a chain in which each step stores a value and loads the next one, with separate
//! registers for the two addresses (same register and displacement would be renamed instead of
//! forwarded). Where the load lies within the store, the time per step is the forwarding latency;
//! where it overlaps otherwise, that of waiting for the store to reach the cache; where they do not
//! meet, steps are independent and it is a throughput. For the metrics a multiplication stands
//! between load and store, and the time of multiplications alone is taken off: without it the load
//! looks for its data too early, and the chain wavers between two whole numbers of cycles. 4K
//! aliasing: a load that chases itself, with a store in front that differs from it only above the
//! lowest 12 bits of the address, and whose data are the address the load waits for; the same a
//! line beside the alias is the control. Then a copy within L1 at distances between source and
//! target modulo 4096.
//! Blind spots: Zen 3 and later predict which store a load in a small loop needs, and hand the
//! value over in no time (`same_in_small_loop`); 64 loads in a row are beyond the predictor.
//! Expect: same address 4 to 8 cycles, partial overlap 12 to 20; an alias costs up to 7.

use std::time::Duration;

use anyhow::Context;

use crate::harness::bench::{Arm, Bench, Effort, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chain;
use crate::kernel::forward::{self, Bystander, Shape, StoreLoadChain, Wide};
use crate::probe::Probe;
use crate::sys::memory::{Buffer, Pages};
use card::counters::Event;
use card::declare::{Declare, Estimator, NoiseClass, Unit, at_least, at_most};
use card::record::Skip;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "store-forwarding",
    summary: "store-to-load forwarding: successful, blocked, 4 KiB aliasing",
    needs: &[],
    uses: &[],
    seconds: 0.6,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("l1-l2");
    let case = d.quantity("forward_case", Unit::Ns, Estimator::LowerQuartile);
    let alias = d.quantity("alias_4k", Unit::Ns, Estimator::LowerQuartile);
    d.quantity("copy_alias", Unit::Ns, Estimator::LowerQuartile);
    d.quantity("forward", Unit::Ns, Estimator::LowerQuartile);
    let of = |name| case.with("case", name);
    d.cost(
        "store_forward.ok",
        NoiseClass::T1,
        of(SAME) - of(MULTIPLY),
        "store-to-load forwarding, same 8 bytes",
    );
    d.cost(
        "store_forward.fail",
        NoiseClass::T1,
        of(OVERLAP) - of(MULTIPLY),
        "blocked store forwarding, 8-byte load 4 bytes into an 8-byte store",
    );
    d.cost(
        "store_forward.alias_4k",
        NoiseClass::T1,
        alias.with("delta", ALIAS) - alias.with("delta", BESIDE),
        "4 KiB aliasing: extra latency of a load 4 KiB beyond a store",
    );
    let refused = ["store_forward.fail_cycles", "store_forward.fail_ns"];
    d.proof(refused, of(OVERLAP), Event::StoreForwardBlocks, at_least(0.9));
    let forwarded = ["store_forward.ok_cycles", "store_forward.ok_ns"];
    d.proof(forwarded, of(SAME), Event::StoreForwardBlocks, at_most(0.01));
}

/// The cases that metrics rest on.
const SAME: &str = "same_and_multiply";
const OVERLAP: &str = "load_4_later_and_multiply";
const MULTIPLY: &str = "multiply";

/// Distances of a load from 4 KiB beyond a store: the alias, and its control a line further on.
const ALIAS: i64 = 0;
const BESIDE: i64 = 64;

/// Addresses that are so far apart look alike to cores that compare 12 bits first.
const ALIASED: usize = 4096;

/// Accesses begin here unless a case says otherwise: away from any border.
const INSIDE: usize = 1024;

/// One way for a load to lie behind a store.
struct Case {
    name: &'static str,
    shape: Shape,
    store: usize,
    load: usize,
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    latencies(bench)?;
    alias_pair(bench)?;
    // Pictures, not metrics: none of it waits for a quiet moment.
    cases(bench)?;
    aliases(bench)?;
    copies(bench)?;
    // Last, with what time is left: it has the most points.
    matrix(bench)
}

/// What metrics rest on. Samples may wait for quiet four times as long as planned: both comparisons
/// together half of the round.
fn exact(bench: &Bench<'_>) -> SamplingPlan {
    let sample = Duration::from_micros(100);
    SamplingPlan {
        min_samples: 7,
        max_samples: 16,
        sample,
        ..SamplingPlan::structural(bench.share(0.06))
    }
}

/// What is only drawn: a quarter of the round at most, the rest is for the matrix.
fn sketch(bench: &Bench<'_>) -> SamplingPlan {
    let (want, most, quiet) = (2, 4, false);
    let sample = Duration::from_micros(40);
    SamplingPlan {
        min_samples: want,
        max_samples: most,
        need_idle_sibling: quiet,
        sample,
        ..SamplingPlan::structural(bench.share(0.02))
    }
}

fn buffer(len: usize) -> anyhow::Result<Buffer> {
    Buffer::new(len, Pages::Small).context("cannot map a few pages")
}

/// A chain that is ready to run, and what it must end with.
struct Running {
    name: &'static str,
    chain: StoreLoadChain,
    expected: [u64; 4],
}

impl Running {
    fn new(case: Case, rng: &mut fastrand::Rng) -> anyhow::Result<Running> {
        let buffer = buffer(2 * Pages::Small.bytes())?;
        let mut chain = StoreLoadChain::new(buffer, case.shape, case.store, case.load);
        chain.start([(); 4].map(|()| rng.u64(..)), rng);
        let expected = chain.expected();
        Ok(Running { name: case.name, chain, expected })
    }

    fn arm(&mut self) -> Arm<'_> {
        let setting = params([("case", self.name.into())]);
        let work = |steps| self.chain.run(steps);
        Arm::new("forward_case", setting, work).in_blocks_of(forward::BLOCK)
    }

    fn check(&self, bench: &Bench<'_>) -> anyhow::Result<()> {
        bench.check(self.chain.value() == self.expected, || {
            format!("a value went wrong between store and load ({})", self.name)
        })
    }
}

/// Forwarded and refused, each with a multiplication, and multiplications alone.
fn latencies(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let shape = Shape::EightAndMultiply;
    let same = Case { name: SAME, shape, store: INSIDE, load: INSIDE };
    let overlap = Case { name: OVERLAP, load: INSIDE + 4, ..same };
    let mut chains = [Running::new(same, &mut bench.rng)?, Running::new(overlap, &mut bench.rng)?];
    let mut right = true;
    let block = 3_u64.wrapping_pow(chain::BLOCK as u32);
    let multiply = |n: u64| {
        let blocks = n.div_ceil(chain::BLOCK) as u32;
        right &= chain::mul(n) == block.wrapping_pow(blocks);
    };
    let mut arms: Vec<Arm<'_>> = chains.iter_mut().map(Running::arm).collect();
    let setting = params([("case", MULTIPLY.into())]);
    arms.push(Arm::new("forward_case", setting, multiply).in_blocks_of(chain::BLOCK));
    bench.interleave(arms, &exact(bench))?;
    bench.check(right, || "a chain of multiplications lost its value".into())?;
    chains.iter().try_for_each(|c| c.check(bench))
}

fn all_cases() -> Vec<Case> {
    let case = |name, shape, store, load| Case { name, shape, store, load };
    let before_page = Pages::Small.bytes() - 4;
    let mut cases = vec![
        case("same", Shape::Eight, INSIDE, INSIDE),
        case("same_in_small_loop", Shape::EightInSmallLoop, INSIDE, INSIDE),
        case("narrow_at_start", Shape::FourOfEight, INSIDE, INSIDE),
        case("narrow_at_end", Shape::FourOfEight, INSIDE, INSIDE + 4),
        case("load_wider", Shape::EightOfFour, INSIDE, INSIDE),
        case("load_4_later", Shape::Eight, INSIDE, INSIDE + 4),
        case("load_4_earlier", Shape::Eight, INSIDE, INSIDE - 4),
        case("two_stores", Shape::TwoStores, INSIDE, INSIDE),
        case("line_crossing", Shape::Eight, INSIDE + 60, INSIDE + 60),
        case("page_crossing", Shape::Eight, before_page, before_page),
        case("vector_16", Shape::Vector16, INSIDE, INSIDE),
    ];
    let wide = Wide::detect().map(Shape::Vector32);
    cases.extend(wide.map(|shape| case("vector_32", shape, INSIDE, INSIDE)));
    cases
}

/// All cases in turn, so that their differences are real.
fn cases(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut chains = Vec::new();
    for case in all_cases() {
        chains.push(Running::new(case, &mut bench.rng)?);
    }
    bench.interleave(chains.iter_mut().map(Running::arm).collect(), &sketch(bench))?;
    chains.iter().try_for_each(|c| c.check(bench))
}

/// The load 4 KiB beyond the store and its control.
fn alias_pair(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = exact(bench);
    past_stores(bench, &[ALIAS, BESIDE], &policy)
}

/// All other distances from the alias, to see how far it reaches.
fn aliases(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut deltas: Vec<i64> = (-64..=56).step_by(8).filter(|&delta| delta != ALIAS).collect();
    // Half of a load of 8 bytes.
    deltas.extend([-4, 4]);
    let policy = sketch(bench);
    past_stores(bench, &deltas, &policy)
}

/// Chases past an unrelated store, at these distances from 4 KiB beyond it.
fn past_stores(bench: &mut Bench<'_>, deltas: &[i64], policy: &SamplingPlan) -> anyhow::Result<()> {
    let mut chases = Vec::new();
    for &delta in deltas {
        let offset = (ALIASED as i64 + delta) as usize;
        chases.push((delta, Bystander::new(buffer(3 * ALIASED)?, offset), true));
    }
    let arms = chases.iter_mut().map(|(delta, chase, right)| {
        let setting = params([("delta", (*delta).into())]);
        let work = |steps| *right &= chase.run(steps);
        Arm::new("alias_4k", setting, work).in_blocks_of(forward::BLOCK)
    });
    bench.interleave(arms.collect(), policy)?;
    for (delta, _, right) in chases {
        bench.check(right, || format!("a load {delta} bytes from an alias lost its address"))?;
    }
    Ok(())
}

/// Bytes of one pass of the copy: source and target fit any L1 together.
const COPY: usize = 4096;

/// Distances of target from source modulo 4096: close behind the source, where loads meet the
/// stores just made, in powers of two, and close before it, where they do not.
const COPY_DELTAS: [usize; 14] =
    [0, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 3072, 4096 - 64, 4096 - 16];

/// The same copy at different distances, in turn.
fn copies(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut buffers = Vec::new();
    for delta in COPY_DELTAS {
        let mut buffer = buffer(4 * ALIASED)?;
        bench.rng.fill(&mut buffer.bytes_mut()[..COPY]);
        buffers.push((delta, buffer));
    }
    let target = |delta| 2 * ALIASED + delta;
    let arms = buffers.iter_mut().map(|(delta, buffer)| {
        let setting = params([("delta", (*delta as u64).into())]);
        let to = target(*delta);
        let work = move |bytes: u64| {
            (0..bytes.div_ceil(COPY as u64)).for_each(|_| forward::copy(buffer, 0, to, COPY));
        };
        Arm::new("copy_alias", setting, work).in_blocks_of(COPY as u64)
    });
    bench.interleave(arms.collect(), &sketch(bench))?;
    for (delta, buffer) in buffers {
        let (source, rest) = buffer.bytes().split_at(COPY);
        let copied = &rest[target(delta) - COPY..][..COPY];
        bench.check(source == copied, || format!("a copy to {delta} bytes beyond is none"))?;
    }
    Ok(())
}

/// Offsets of the matrix: a line border lies at 64.
const OFFSETS: [usize; 19] =
    [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68, 72];

/// Rounds that share the cells of the matrix between them: as many as the tier has at least.
fn parts(tier: Effort) -> usize {
    if tier == Effort::Quick { 3 } else { 5 }
}

/// The cells of this round.
fn cells(round: u32, parts: usize) -> Vec<(usize, usize)> {
    let all = OFFSETS.iter().flat_map(|&s| OFFSETS.iter().map(move |&l| (s, l)));
    all.skip(round as usize % parts).step_by(parts).collect()
}

/// 8 bytes stored, 8 bytes loaded, at every pair of offsets.
fn matrix(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut cells = cells(bench.round, parts(bench.tier));
    bench.rng.shuffle(&mut cells);
    let mut chain = StoreLoadChain::new(buffer(1)?, Shape::Eight, 0, 0);
    let all = cells.len();
    for (done, (store, load)) in cells.into_iter().enumerate() {
        if bench.left().is_zero() {
            return bench.skip(Skip::new(
                "time for every cell of the matrix",
                format!("round {}: {done} of {all} were measured", bench.round + 1),
                "give the run more time (--tier thorough or --budget)",
            ));
        }
        chain.place(INSIDE + store, INSIDE + load);
        chain.start([bench.rng.u64(..), 0, 0, 0], &mut bench.rng);
        let expected = chain.expected();
        let policy = SamplingPlan {
            min_samples: 2,
            max_samples: 3,
            need_idle_sibling: false,
            sample: Duration::from_micros(20),
            ..SamplingPlan::structural(bench.left() / u32::try_from(all - done)?)
        };
        let setting = params([
            ("store_offset", (store as u64).into()),
            ("load_offset", (load as u64).into()),
        ]);
        let work = |steps| chain.run(steps);
        bench.sample(Arm::new("forward", setting, work).in_blocks_of(forward::BLOCK), &policy)?;
        bench.check(chain.value() == expected, || {
            format!("a value went wrong between a store at {store} and a load at {load}")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_rounds_of_a_run_cover_the_matrix() {
        for tier in [Effort::Quick, Effort::Standard] {
            let parts = parts(tier);
            let covered: BTreeSet<(usize, usize)> =
                (0..parts as u32).flat_map(|round| cells(round, parts)).collect();
            assert_eq!(covered.len(), OFFSETS.len().pow(2));
            assert!(cells(0, parts).len() <= 121, "the card stays small");
        }
    }

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let cases = all_cases();
        let names: BTreeSet<&str> = cases.iter().map(|c| c.name).collect();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn copies_stay_within_their_buffers_and_apart() {
        for delta in COPY_DELTAS {
            let mut buffer = buffer(4 * ALIASED).unwrap();
            forward::copy(&mut buffer, 0, 2 * ALIASED + delta, COPY);
        }
    }
}
