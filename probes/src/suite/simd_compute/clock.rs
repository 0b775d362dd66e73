//! The core's clock while all CPUs work at a width.

use std::time::{Duration, Instant};

use super::{few_threads, others, widths};
use crate::harness::bench::{Bench, params};
use crate::harness::clock::CoreClock;
use crate::kernel::simd::{Chains, Op, Type, Width};
use crate::kernel::{chain, vector};
use crate::threads::team::Team;
use card::declare::{Declare, Estimator, NoiseClass, Unit};
use card::estimate::median;

const QUANTITY: &str = "clock_together_ratio";

pub(super) fn declare(d: &mut Declare) {
    let ratio = d.quantity(QUANTITY, Unit::Ratio, Estimator::Median);
    for width in widths(|width| width.moves_clock) {
        d.metric(
            format!("simd.clock.{}_all_core_ratio", width.name),
            NoiseClass::T2,
            ratio.with("width", width.name),
            format!("core clock, all CPUs at {} FMA ÷ one CPU at scalar code", width.title),
        );
    }
}

/// Of the round.
const SHARE: f64 = 0.1;

/// Blocks between two looks at the time: some 10 µs.
const WORK: u64 = 200;

/// This CPU's clock with all of them at multiply-adds of a width, against alone at scalar work.
pub(super) fn measure(bench: &mut Bench<'_>, widths: &[Width]) -> anyhow::Result<()> {
    let (clock, others) = (bench.clock, others(bench));
    if others.is_empty() {
        return Ok(());
    }
    let moving = vector::Width::detect();
    let moves = |width: &&Width| moving.iter().any(|wide| wide.name() == width.name());
    let wide: Vec<Width> = widths.iter().filter(moves).copied().collect();
    let time = bench.share(SHARE) / (wide.len() as u32 + 1);
    let alone = clock_under(&clock, time, || {
        std::hint::black_box(chain::add(20_000));
    });
    for width in wide {
        let work = || Chains::new(width, Op::Fma, Type::F32, 12);
        let follow = |team: &Team, _| {
            let Some(mut chains) = work() else { return };
            while !team.stopped() {
                chains.run(WORK);
            }
        };
        let Some(mut chains) = work() else { continue };
        let lead = |_: &Team| clock_under(&clock, time, || chains.run(WORK));
        let together = match Team::pinned(bench.cpu, &others, follow, lead) {
            Ok(together) => together,
            Err(error) => return few_threads(bench, "simd.clock.*", error.to_string()),
        };
        let ratio = together.zip(alone).map(|(t, a)| t / a);
        let labels = params([("width", width.name().into())]);
        let ratio = ratio.into_iter().collect();
        bench.record(QUANTITY, labels, Unit::Ratio, ratio)?;
    }
    Ok(())
}

/// The median clock in the second half of a stretch of work. It is read right after the work: the
/// clock of a licence lasts half a millisecond beyond it.
fn clock_under(clock: &CoreClock, time: Duration, mut work: impl FnMut()) -> Option<f64> {
    let began = Instant::now();
    let mut ghz = Vec::new();
    while began.elapsed() < time {
        let until = Instant::now() + Duration::from_micros(500);
        while Instant::now() < until {
            work();
        }
        if began.elapsed() > time / 2 {
            ghz.extend(clock.undisturbed_ghz());
        }
    }
    median(&ghz)
}
