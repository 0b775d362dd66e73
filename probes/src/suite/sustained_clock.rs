//! What is left of the core's clock when all CPUs have worked with vectors for a while.
//!
//! Method: for 21 s all CPUs run multiply-adds of the widest vectors; the clock of the probe's own is
//! read ten times a second, right after the work, whose clock lasts half a millisecond beyond it.
//! Blind spots: what a heat sink the size of a fist stores takes minutes to warm; neighbours on a
//! shared host heat the same package.
//! Expect: 1.00 on servers and in most guests; 0.7 to 0.95 on laptops and small desktops, once a power
//! limit that holds for seconds gives way to one that holds for ever.

use std::time::{Duration, Instant};

use crate::harness::bench::{Bench, Effort, params};
use crate::kernel::chain;
use crate::kernel::vector::Width;
use crate::probe::Probe;
use crate::threads::cpus;
use crate::threads::team::Team;
use card::declare::{Declare, Estimator, NoiseClass, Unit};
use card::record::Skip;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "sustained-clock",
    summary: "core clock after 20 s of vector work on all CPUs",
    needs: &[],
    uses: &[],
    // Of a round that measures nothing; the few that do take what they need.
    seconds: 1.2,
    in_kernel: false,
    declare,
    run,
};

const METRIC: &str = "clock.sustained_ratio";

fn declare(d: &mut Declare) {
    d.family("core-frequency");
    let ghz = d.quantity("core_ghz_under_load", Unit::Ghz, Estimator::Median);
    let after = |seconds: usize| ghz.with("after_s", seconds);
    let summary = "core clock after 20 s of vector work on all CPUs ÷ after 2 s";
    d.metric(METRIC, NoiseClass::T2, after(20) / after(2), summary).judged();
}

/// Seconds of load, of which each gets a point.
const SECONDS: usize = 21;

/// Between two readings.
const WORK: Duration = Duration::from_millis(100);

/// It heats the machine for others, and does not change from round to round: two of eleven.
const EVERY: u32 = 8;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if bench.tier != Effort::Thorough {
        let skip = Skip::new("--tier thorough", "it takes 21 s a round", "add --tier thorough");
        return if bench.skips.is_empty() { bench.skip(skip.of([METRIC])) } else { Ok(()) };
    }
    if !bench.round.is_multiple_of(EVERY) {
        return Ok(());
    }
    let (clock, widest) = (bench.clock, Width::detect().pop());
    let work = || match widest {
        Some(width) => width.multiply_add(20_000),
        None => drop(std::hint::black_box(chain::add(20_000))),
    };
    let follow = |team: &Team, _| {
        while !team.stopped() {
            work();
        }
    };
    let lead = |_: &Team| {
        let began = Instant::now();
        let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); SECONDS];
        loop {
            let until = Instant::now() + WORK;
            while Instant::now() < until {
                work();
            }
            let at = began.elapsed().as_secs() as usize;
            let Some(second) = seconds.get_mut(at) else { return seconds };
            second.extend(clock.undisturbed_ghz());
        }
    };
    let others = cpus::others(bench, bench.machine.allowed_cpus());
    let seconds = match Team::pinned(bench.cpu, &others, follow, lead) {
        Ok(seconds) => seconds,
        Err(error) => return bench.skip(cpus::few_threads(others.len() + 1, error).of([METRIC])),
    };
    for (second, ghz) in seconds.into_iter().enumerate() {
        bench.record(
            "core_ghz_under_load",
            params([("after_s", (second as u64).into())]),
            Unit::Ghz,
            ghz,
        )?;
    }
    Ok(())
}
