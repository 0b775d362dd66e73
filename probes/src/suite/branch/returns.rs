//! Where calls return to.
//!
//! Method: functions that call one another, D deep, each from a place of its own, and return. A call
//! with its return takes a few cycles while the core has noted all D places; of what goes deeper the
//! outermost returns are mispredicted. The depth at which that begins is looked for by halving, then
//! sampled around.

use std::io;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::harness::search;
use crate::kernel::jumps::Calls;
use card::declare::{Declare, Estimator, NoiseClass, Unit};

pub(super) fn declare(d: &mut Declare) {
    let call = d.quantity("call", Unit::Ns, Estimator::LowerQuartile);
    d.metric(
        "branch.return_depth_entries",
        NoiseClass::T1,
        call.last_before("depth", 0.3),
        "return address stack (RAS) depth",
    );
}

/// Depths between which every return stack ends.
const LEAST: u64 = 4;
const MOST: u64 = 256;

/// Where samples are taken, from the last depth without a misprediction.
const AROUND: [i64; 10] = [-24, -16, -8, -2, 0, 1, 2, 4, 8, 24];

/// One misprediction among a hundred calls costs more than this share of a call.
const MORE: f64 = 1.04;

/// Of the round.
const SHARE: f64 = 0.04;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = SamplingPlan { max_samples: 5, ..SamplingPlan::structural(bench.share(SHARE)) };
    let flat = cost(bench, LEAST * 2)?;
    let fits = |depth| Ok(cost(bench, depth)? < MORE * flat);
    let last = search::last_that_fits(LEAST..MOST, fits)?;
    let mut all = Vec::new();
    for depth in search::around(last, &AROUND, LEAST) {
        all.push((depth, Calls::new(depth as usize)?));
    }
    let arms = all
        .iter_mut()
        .map(|(depth, calls)| {
            Arm::new("call", params([("depth", (*depth).into())]), |ops| calls.run(ops))
                .in_blocks_of(*depth)
        })
        .collect();
    bench.interleave(arms, &policy)?;
    bench.check(all.iter().all(|c| c.1.is_right()), || "a call did not come back".into())
}

fn cost(bench: &mut Bench<'_>, depth: u64) -> io::Result<f64> {
    let mut calls = Calls::new(depth as usize)?;
    Ok(search::glance(bench, depth * 400, &mut |ops| calls.run(ops)))
}
