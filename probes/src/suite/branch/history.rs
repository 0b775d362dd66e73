//! Branches learned by heart.
//!
//! Method: B branches, each with L random outcomes that come again and again; the code goes from the
//! last to the first by a conditional move, so that there is no other branch to learn. Each pattern
//! is first shown up to 64 times. While the predictor knows it, a branch costs a few cycles; where it
//! has forgotten, as much as a random one.

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::jumps::Pattern;
use card::declare::{Better, Declare, Estimator, NoiseClass, ReportOnly, Unit};

pub(super) fn declare(d: &mut Declare) {
    let repeated = d.quantity("history", Unit::Ns, Estimator::LowerQuartile);
    d.metric(
        "branch.learnable_entries",
        NoiseClass::T2,
        repeated.with("branches", 1).crossing("length", 0.02),
        "pattern history capacity (one branch, random period; under 1 % mispredicts)",
    )
    .better(Better::Higher)
    .report_only(ReportOnly::Unsteady);
}

/// Branches, and the lengths of their patterns.
const GRID: [(usize, &[usize]); 4] = [
    (
        1,
        &[
            128, 1024, 2048, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 40960, 49152, 65536,
            98304, 131_072, 262_144,
        ],
    ),
    (8, &[16, 128, 1024, 4096, 8192, 16384, 32768]),
    (64, &[2, 16, 128, 512, 1024, 2048, 4096]),
    (512, &[2, 16, 64, 128, 256, 512]),
];

/// Branches shown before the first sample, at most: 64 times the longest pattern that was learned on
/// any core so far, of 48 Ki outcomes.
const SHOWN: u64 = 64 << 16;
const LAPS: u64 = 64;

/// Of the round.
const SHARE: f64 = 0.12;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let settings = GRID.iter().flat_map(|&(b, lengths)| lengths.iter().map(move |&l| (b, l)));
    let count = GRID.iter().map(|g| g.1.len() as u32).sum::<u32>();
    let policy =
        SamplingPlan { max_samples: 5, ..SamplingPlan::structural(bench.share(SHARE) / count) };
    for (branches, length) in settings {
        let mut pattern = Pattern::new(branches, length, &mut bench.rng)?;
        let all = (branches * length) as u64;
        pattern.run((LAPS * all).min(SHOWN));
        let setting =
            params([("branches", (branches as u64).into()), ("length", (length as u64).into())]);
        let arm =
            Arm::new("history", setting, |ops| pattern.run(ops)).in_blocks_of(branches as u64);
        bench.sample(arm, &policy)?;
        bench.check(pattern.is_right(), || "repeated branches were counted wrong".into())?;
    }
    Ok(())
}
