//! Where the right way comes from after a misprediction.
//!
//! Method: branches whose two ways lead to different lines at random places, in code of three sizes:
//! a little; too many instructions for the cache of decoded operations, but within the first-level
//! cache; and beyond that. Random outcomes against ones that alternate from branch to branch and
//! from lap to lap, so that both go everywhere alike.

use std::cell::{Cell, RefCell};

use super::{Both, Outcomes, Pattern, twice};
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::jumps::ScatteredBranches;
use card::declare::{Declare, Estimator, NoiseClass, Unit};

pub(super) fn declare(d: &mut Declare) {
    let branch = d.quantity("refill", Unit::Ns, Estimator::Median);
    let codes = [
        (
            "branch.mispredict_op_cache_cycles",
            OP_CACHE,
            "mispredict penalty, target in the op cache",
        ),
        (
            "branch.mispredict_beyond_op_cache_cycles",
            L1I,
            "mispredict penalty, code beyond the op cache",
        ),
        ("branch.mispredict_beyond_l1i_cycles", L2, "mispredict penalty, code beyond L1I"),
    ];
    for (id, code, summary) in codes {
        let Both { random, alternating } = Both::of(&branch.with("code", code));
        d.metric(id, NoiseClass::T2, twice(random - alternating), summary);
    }
}

const OP_CACHE: &str = "op_cache";
const L1I: &str = "l1i";
const L2: &str = "l2";

/// Name, words of outcomes a lap, and whether the lines are full: 12, 24 and 84 KiB. Full ones need
/// about four entries each of a cache of operations, 1500 in all; the largest code has 1344 branches,
/// which the first level of targets still remembers.
const CODES: [(&str, u64, bool); 3] = [(OP_CACHE, 1, false), (L1I, 2, true), (L2, 7, false)];

/// How much of a code meets in the same sets of a cache depends on where its lines lie: so many codes
/// of each kind are looked at together.
const LAYOUTS: usize = 3;

/// Of the round.
const SHARE: f64 = 0.05;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = SamplingPlan { max_samples: 5, ..SamplingPlan::structural(bench.share(SHARE)) };
    let right = Cell::new(true);
    let mut cases = Vec::new();
    for (name, words, full) in [CODES; LAYOUTS].concat() {
        for pattern in [Pattern::Random, Pattern::Laps(words)] {
            let branches = ScatteredBranches::new(words, full, &mut bench.rng)?;
            cases.push((name, branches, Outcomes::new(pattern, bench.rng.fork())));
        }
    }
    let arms = cases
        .iter()
        .map(|(name, branches, outcomes): &(&str, ScatteredBranches, RefCell<Outcomes>)| {
            let pattern = outcomes.borrow().pattern.name();
            let setting = params([("code", (*name).into()), ("pattern", pattern.into())]);
            let work = |_| {
                let outcomes = outcomes.borrow();
                right.set(right.get() & (branches.run(&outcomes.words) == outcomes.clear));
            };
            Arm::new("refill", setting, work)
                .in_blocks_of(branches.lap())
                .prepared(|ops| outcomes.borrow_mut().refill(ops.next_multiple_of(branches.lap())))
        })
        .collect();
    bench.interleave(arms, &policy)?;
    bench.check(right.get(), || "branches far apart were counted wrong".into())
}
