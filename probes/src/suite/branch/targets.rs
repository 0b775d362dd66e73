//! Places that jumps go to.
//!
//! Method: a ring of N jumps that are always taken, `spacing` bytes apart. The jumps of eight lines
//! come in random order, so that nothing but the predictor knows where the next one is, and the next
//! eight lines follow. While it remembers all of them, one takes a cycle or four; beyond that each has
//! to be decoded before the core knows where to go on, which takes a dozen. In random order over all
//! of the code, lines are late as well: on Zen 3 the rise then began at 3072 jumps, with the code
//! within the instruction cache too, and went to 21 cycles; its middle was at 3900. By stretches, as
//! in plain sequence, it is between 4600 and 6100 jumps (published: 5120 to 6656).

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::jumps::TakenBranchRing;
use card::declare::{Declare, Estimator, NoiseClass, ReportOnly, Unit};

pub(super) fn declare(d: &mut Declare) {
    let jump = d.quantity("jump", Unit::Ns, Estimator::LowerQuartile);
    let spaced = jump.with("spacing", SPACING);
    d.metric(
        "branch.btb_l1_entries",
        NoiseClass::T1,
        spaced.last_before("jumps", 0.06),
        "L1 BTB entries: zero-bubble taken branches",
    )
    .report_only(ReportOnly::Unsteady);
    d.metric(
        "branch.btb_l2_entries",
        NoiseClass::T1,
        spaced.crossing("jumps", 0.35),
        "L2 BTB entries: taken branches followed before decode",
    )
    .report_only(ReportOnly::Unsteady);
}

/// The distance in bytes that the metrics go by: one line holds four jumps, and what is found up to
/// 2048 of them lies in the instruction cache.
const SPACING: usize = 16;

/// Distances, and how many jumps.
const GRID: [(usize, &[usize]); 3] = [
    (8, &[128, 1024, 2048, 3072, 4096, 5120, 8192, 16384]),
    (
        SPACING,
        &[
            64, 256, 512, 1024, 1280, 1408, 1536, 1600, 1664, 1792, 2048, 2560, 3072, 3584, 3840,
            4096, 4608, 5120, 6144, 8192, 12288, 16384, 24576,
        ],
    ),
    (32, &[128, 1024, 2048, 3072, 4096, 5120, 8192, 16384]),
];

/// Of the round.
const SHARE: f64 = 0.12;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let count = GRID.iter().map(|g| g.1.len() as u32).sum::<u32>();
    let policy =
        SamplingPlan { max_samples: 5, ..SamplingPlan::structural(bench.share(SHARE) / count) };
    for (spacing, all) in GRID {
        for &jumps in all {
            // A mapping of its own, and the blocks in another order.
            let mut ring = TakenBranchRing::new(jumps, spacing, &mut bench.rng)?;
            let setting =
                params([("spacing", (spacing as u64).into()), ("jumps", (jumps as u64).into())]);
            let arm = Arm::new("jump", setting, |ops| ring.run(ops)).in_blocks_of(jumps as u64);
            bench.sample(arm, &policy)?;
            bench.check(ring.is_right(), || "a ring of jumps lost a lap".into())?;
        }
    }
    Ok(())
}
