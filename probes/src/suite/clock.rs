//! The core's clock, the timer, and what moves them.
//!
//! Method: the two-chain clock (harness/clock): dependent additions and multiplications, whose
//! difference is a whole number of cycles, found out first, whatever a hyperthread sibling does. Its
//! parts are recorded apart, with an L1 pointer chase as third witness, sorted by whether the sibling
//! was busy. The clock is also followed after an idle pause, under vector load, and with all CPUs at
//! work.
//! Blind spots: a core on which a dependent addition does not take one cycle would be misread; the L1
//! chase, a whole number of cycles, may show it.
//! Expect: multiplication ÷ addition 3.00 (x86 E-cores 4 or 5, Jaguar 6, Arm 2 to 5), L1 chase 3.00,
//! 4.00 or 5.00 cycles, on server parts a settled clock within milliseconds, no drop under 256 bits,
//! little or none under 512.

use std::time::{Duration, Instant};

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::clock::{self, ChainTimes, CoreClock, Source, Timer};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chain;
use crate::kernel::chase::{Order, Ring};
use crate::kernel::vector::Width;
use crate::kernel::width;
use crate::probe::Probe;
use crate::sys::memory::Pages;
use crate::threads::cpus;
use crate::threads::team::Team;
use card::counters::Event;
use card::declare::{Better, Declare, Estimator, NoiseClass, ReportOnly, Unit, between};
use card::estimate::median;
use card::record::{Point, PointState};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "clock",
    summary: "core clock: settled, after idle, under SIMD and all-core load; timer cost",
    needs: &[],
    uses: &[],
    seconds: 2.0,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let core_ghz = d.quantity("core_ghz", Unit::Ghz, Estimator::Median);
    d.quantity("core_ghz_after_idle", Unit::Ghz, Estimator::UpperQuartile);
    let settle = d.quantity("settle", Unit::Ms, Estimator::Median);
    let tsc_ghz = d.quantity("tsc_ghz", Unit::Ghz, Estimator::Median);
    let width_ratio = d.quantity("width_ratio", Unit::Ratio, Estimator::Median);
    let all_core_ratio = d.quantity("all_core_ratio", Unit::Ratio, Estimator::Median);
    let granularity = d.quantity("timer_granularity", Unit::Ns, Estimator::Median);
    let timer_cost = d.quantity("timer_cost", Unit::Ns, Estimator::LowerQuartile);
    let empty_kernel = d.quantity("empty_kernel", Unit::Ns, Estimator::LowerQuartile);
    let multiply = d.quantity("multiply", Unit::Cycles, Estimator::Median);
    let mul_add = d.quantity("mul_add", Unit::Ratio, Estimator::UpperQuartile);
    // The median for the clock's own chains, as for the clock; for the chase the quartile, as for any
    // latency.
    let chain = |d: &mut Declare, op, estimator| {
        d.quantity_where("chain", &[("op", op)], Unit::Ns, estimator).with("sibling", "quiet")
    };
    let add = chain(d, "add", Estimator::Median);
    chain(d, "mul", Estimator::Median);
    let l1_load = chain(d, "l1_load", Estimator::LowerQuartile);
    let counted = d.quantity("counted", Unit::Ns, Estimator::LowerQuartile);
    let [counted_add, counted_mul] = ["add", "mul"].map(|op| counted.with("op", op));

    d.family("core-frequency");
    d.metric("clock.core_ghz", NoiseClass::T2, core_ghz, "core clock, settled, one core active");
    d.metric(
        "clock.settle_ms",
        NoiseClass::T4,
        settle,
        "ramp-up time from idle to within 1 % of the settled clock",
    )
    .report_only(ReportOnly::Tail);
    d.family("timer");
    d.metric(
        "clock.tsc_ghz",
        NoiseClass::T1,
        tsc_ghz,
        "time-stamp counter frequency against CLOCK_MONOTONIC_RAW",
    )
    .better(Better::Same);
    d.family("core-frequency");
    for width in width::Width::declared().iter().filter(|width| width.moves_clock) {
        d.metric(
            format!("clock.{}_ratio", width.name),
            NoiseClass::T2,
            width_ratio.with("width", width.name),
            format!("core clock under {} FMA ÷ under scalar code", width.title),
        )
        .judged();
    }
    d.metric(
        "clock.all_core_ratio",
        NoiseClass::T2,
        all_core_ratio,
        "core clock, all CPUs active ÷ one active",
    )
    .judged();
    d.family("timer");
    d.metric(
        "clock.timer_granularity_ns",
        NoiseClass::T2,
        granularity,
        "time-stamp counter granularity",
    )
    .better(Better::Same);
    d.metric("clock.timer_cost_ns", NoiseClass::T2, timer_cost, "serialised time-stamp read");
    d.metric(
        "clock.empty_kernel_ns",
        NoiseClass::T2,
        empty_kernel,
        "empty timed region: overhead in every sample",
    )
    .report_only(ReportOnly::Repeats);
    d.family("core-frequency");
    d.metric(
        "clock.add_ns",
        NoiseClass::T2,
        add.clone(),
        "latency of a dependent add, SMT sibling idle: one core cycle",
    );
    d.family("alu");
    d.metric(
        "clock.add_cycles",
        NoiseClass::T1,
        add,
        "latency of a dependent add, SMT sibling idle: must be 1",
    )
    .better(Better::Same);
    d.metric(
        "clock.multiply_cycles",
        NoiseClass::T1,
        multiply,
        "latency of a dependent 64-bit multiply, as assumed by the two-chain clock",
    )
    .better(Better::Same);
    d.metric(
        "clock.mul_add_ratio",
        NoiseClass::T1,
        mul_add,
        "dependent multiply ÷ dependent add, upper quartile: multiply latency in cycles",
    )
    .judged()
    .better(Better::Same);
    d.metric(
        "clock.l1_chase_cycles",
        NoiseClass::T1,
        l1_load,
        "L1 pointer chase in two-chain cycles, SMT sibling idle: must be a whole number",
    )
    .report_only(ReportOnly::Unsteady)
    .better(Better::Same);
    d.metric(
        "clock.counted_add_cycles",
        NoiseClass::T1,
        counted_add.count(Event::CoreCycles),
        "latency of a dependent add by the core-cycle counter: must be 1",
    )
    .better(Better::Same);
    d.metric(
        "clock.counted_mul_cycles",
        NoiseClass::T1,
        counted_mul.count(Event::CoreCycles),
        "latency of a dependent 64-bit multiply by the core-cycle counter: must be a whole number",
    )
    .better(Better::Same);

    // Both chains are what they are called, and so is the clock that they make.
    let clock = ["clock.core_ghz", "clock.add_cycles", "clock.add_ns"];
    d.proof(clock, counted_add.clone(), Event::CoreCycles, between(0.97, 1.03));
    d.proof(clock, counted_add, Event::Instructions, between(1.0, 1.02));
    d.proof(clock, counted_mul, Event::Instructions, between(1.0, 1.02));
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    timer(bench)?;
    chains(bench)?;
    counted(bench)?;
    after_idle(bench)?;
    under_vector_load(bench)?;
    all_cores(bench)
}

/// Granularity, cost, and the empty timed region.
fn timer(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let timer = bench.timer;
    let stamps: Vec<u64> = (0..20_000).map(|_| timer.stamp()).collect();
    let steps: Vec<f64> =
        stamps.windows(2).map(|w| w[1].saturating_sub(w[0]) as f64 * timer.ns_per_unit).collect();
    bench.record("timer_granularity", params([]), Unit::Ns, vec![granularity(&steps)])?;
    bench.record("timer_cost", params([]), Unit::Ns, block_means(&steps, 1000))?;
    // A single empty region is often shorter than a step of the counter: means over many.
    let empty: Vec<f64> = (0..20_000)
        .map(|_| {
            let start = timer.stamp();
            std::hint::black_box(());
            timer.ns_between(start, timer.stamp())
        })
        .collect();
    bench.record("empty_kernel", params([]), Unit::Ns, block_means(&empty, 1000))
}

/// The smallest difference between two different step lengths: the counter may move in units that
/// are smaller than the cost of reading it.
fn granularity(steps: &[f64]) -> f64 {
    let mut distinct: Vec<f64> = steps.iter().copied().filter(|&s| s > 0.0).collect();
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup_by(|a, b| (*a - *b).abs() < 1e-6);
    let between = distinct.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
    distinct.first().copied().unwrap_or(f64::INFINITY).min(between)
}

fn block_means(values: &[f64], block: usize) -> Vec<f64> {
    values.chunks_exact(block).map(|c| c.iter().sum::<f64>() / block as f64).collect()
}

/// The parts of the two-chain clock and the L1 chase, ns per operation, sorted by the sibling's
/// state around each of them.
fn chains(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (timer, core) = (bench.timer, bench.clock);
    bench.record("multiply", params([]), Unit::Cycles, vec![core.multiply.cycles])?;
    // One line a set: a larger ring can keep missing in a cache that it fits.
    const RING: usize = 4 << 10;
    let mut ring = Ring::with_capacity(RING, Pages::Small)?;
    ring.lay(RING, 64, Order::Random, &mut bench.rng);
    ring.walk(10_000);
    let until = Instant::now() + bench.share(0.3);
    let (mut all, mut ratios) = (Vec::new(), Vec::new());
    let mut rows: [[Vec<(f64, f64)>; 3]; 2] = Default::default();
    while Instant::now() < until && all.len() < 2000 {
        let before = core.read();
        let times = ChainTimes::take(&timer);
        let start = timer.stamp();
        ring.walk(8192);
        let load = timer.ns_between(start, timer.stamp()) / 8192.0;
        let after = core.read();
        let own = core.reading(&times);
        // Of every reading: to choose quiet ones first would be to assume what this is to show.
        ratios.push(times.mul / times.add());
        if own.is_interrupted() || !clock::agree(before.core_ghz, after.core_ghz, 0.01) {
            continue;
        }
        all.push(own);
        let busy = [before.is_busy(), own.is_busy(), after.is_busy()];
        // All quiet or all busy; what lies between belongs to neither.
        let state = match busy {
            [false, false, false] => 0,
            [true, true, true] => 1,
            _ => continue,
        };
        let around = before.core_ghz.midpoint(after.core_ghz);
        for (row, ns) in rows[state].iter_mut().zip([times.add(), times.mul, load]) {
            row.push((ns, around));
        }
    }
    bench.record("core_ghz", params([]), Unit::Ghz, thin(&clock::settled_ghz(&all), 64))?;
    bench.record("mul_add", params([]), Unit::Ratio, thin(&ratios, 200))?;
    for (state, rows) in ["quiet", "busy"].into_iter().zip(rows) {
        for (op, row) in ["add", "mul", "l1_load"].into_iter().zip(rows) {
            let setting = params([("op", op.into()), ("sibling", state.into())]);
            let row = thin(&row, 64);
            let (samples, core_ghz): (Vec<f64>, Vec<f64>) = row.into_iter().unzip();
            if !samples.is_empty() {
                let point = bench.point("chain", setting, Unit::Ns, samples, Default::default());
                bench.emit(Point { core_ghz, ..point })?;
            }
        }
    }
    Ok(())
}

/// Both chains once more, for the counters: the time of the core's clock is not for them to prove.
fn counted(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if !bench.meter.counts(Event::Instructions) {
        return Ok(());
    }
    let arm = |op: &'static str, work: fn(u64) -> u64| {
        let setting = params([("op", op.into())]);
        let work = move |ops| {
            std::hint::black_box(work(ops));
        };
        Arm::new("counted", setting, work).in_blocks_of(chain::BLOCK)
    };
    let arms = vec![arm("add", chain::add), arm("mul", chain::mul)];
    // Whatever the clock does meanwhile.
    let policy = SamplingPlan {
        max_samples: 9,
        need_idle_sibling: false,
        need_steady_clock: false,
        ..SamplingPlan::structural(bench.share(0.05))
    };
    bench.interleave(arms, &policy)
}

/// At most `most` values, evenly chosen.
fn thin<T: Copy>(values: &[T], most: usize) -> Vec<T> {
    values.iter().copied().step_by(values.len().div_ceil(most).max(1)).collect()
}

/// Sleeps, then follows the clock from the first microsecond of work. The pause also calibrates
/// the time counter anew.
fn after_idle(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let idle = bench.share(0.2).max(Duration::from_millis(100));
    if bench.timer.source == Source::Counter {
        let counted = 1.0 / Timer::calibrate(idle).ns_per_unit;
        let point = bench.point("tsc_ghz", params([]), Unit::Ghz, vec![counted], PointState::Ok);
        // It is not the core's clock.
        bench.emit(Point { clock_doubt: None, ..point })?;
    } else {
        std::thread::sleep(idle);
    }
    let timer = bench.timer;
    let start = timer.stamp();
    let window = bench.share(0.2).max(Duration::from_millis(50)).as_nanos() as f64;
    let mut readings: Vec<(f64, f64)> = Vec::new();
    loop {
        let began = timer.ns_between(start, timer.stamp());
        if began > window {
            break;
        }
        let ghz = bench.clock.undisturbed_ghz();
        let middle = began.midpoint(timer.ns_between(start, timer.stamp()));
        readings.extend(ghz.map(|ghz| (middle / 1000.0, ghz)));
    }
    for (us, ghz) in by_time(&readings) {
        bench.record(
            "core_ghz_after_idle",
            params([("after_idle_us", us.into())]),
            Unit::Ghz,
            ghz,
        )?;
    }
    let settled = settle_us(&readings).map(|us| us / 1000.0);
    bench.record("settle", params([]), Unit::Ms, settled.into_iter().collect())
}

/// Readings sorted into four steps of time per octave, each named by its geometric middle, at most
/// eight readings a step.
fn by_time(readings: &[(f64, f64)]) -> Vec<(u64, Vec<f64>)> {
    let step = |us: f64| (us.log2() * 4.0).floor() as i32;
    let mut steps: Vec<(u64, Vec<f64>)> = Vec::new();
    for chunk in readings.chunk_by(|a, b| step(a.0) == step(b.0)) {
        let middle = ((f64::from(step(chunk[0].0)) + 0.5) / 4.0).exp2().round() as u64;
        let ghz: Vec<f64> = chunk.iter().map(|r| r.1).collect();
        steps.push((middle, thin(&ghz, 8)));
    }
    steps
}

/// When the clock first came within 1 % of the median of its last half; 0 if it was there from the
/// first reading on. A median of five readings counts, since single ones are spoiled by interrupts;
/// what leaves the plateau again later is no longer the ramp.
fn settle_us(readings: &[(f64, f64)]) -> Option<f64> {
    let ghz: Vec<f64> = readings.iter().map(|r| r.1).collect();
    let plateau = median(&ghz[ghz.len() / 2..])?;
    let there = |window: &[(f64, f64)]| {
        let ghz: Vec<f64> = window.iter().map(|r| r.1).collect();
        median(&ghz).is_some_and(|m| clock::agree(m, plateau, 0.01))
    };
    let first = readings.windows(5).position(there)?;
    Some(if first == 0 { 0.0 } else { readings[first].0 })
}

/// The clock under scalar work, then under multiply-adds of each width: a licence changes within
/// a tenth of a second, and its clock lasts half a millisecond beyond the work, long enough to be
/// read.
fn under_vector_load(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let clock = bench.clock;
    let scalar = || {
        std::hint::black_box(chain::add(20_000));
    };
    for width in Width::detect() {
        let before = clock_under(&clock, scalar);
        let vector = clock_under(&clock, || width.multiply_add(20_000));
        let ratio = vector.zip(before).map(|(v, s)| v / s);
        let setting = params([("width", width.name().into())]);
        bench.record("width_ratio", setting, Unit::Ratio, ratio.into_iter().collect())?;
    }
    Ok(())
}

/// How long each kind of work lasts: longer than any licence takes to be granted.
const UNDER_LOAD: Duration = Duration::from_millis(100);

/// The median clock in the second half of a stretch of work.
fn clock_under(clock: &CoreClock, work: impl Fn()) -> Option<f64> {
    let began = Instant::now();
    let mut ghz = Vec::new();
    while began.elapsed() < UNDER_LOAD {
        let until = Instant::now() + Duration::from_millis(1);
        while Instant::now() < until {
            work();
        }
        if began.elapsed() > UNDER_LOAD / 2 {
            ghz.extend(clock.undisturbed_ghz());
        }
    }
    median(&ghz)
}

/// This CPU's clock with all others at work, against alone.
fn all_cores(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let clock = bench.clock;
    let others = cpus::others(bench, bench.machine.allowed_cpus());
    if others.is_empty() {
        return Ok(());
    }
    let time = bench.share(0.1);
    let read = |time: Duration| {
        let until = Instant::now() + time;
        let mut ghz = Vec::new();
        while Instant::now() < until {
            ghz.extend(clock.undisturbed_ghz());
        }
        median(&ghz)
    };
    let alone = read(time / 2);
    let work = |team: &Team, _| {
        while !team.stopped() {
            std::hint::black_box(chain::add(chain::BLOCK));
        }
    };
    let together = match Team::pinned(bench.cpu, &others, work, |_| read(time / 2)) {
        Ok(together) => together,
        Err(e) => {
            let threads = others.len() + 1;
            return bench.skip(cpus::few_threads(threads, e).of(["clock.all_core_ratio"]));
        }
    };
    let ratio = together.zip(alone).map(|(t, a)| t / a);
    bench.record("all_core_ratio", params([]), Unit::Ratio, ratio.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granularity_is_seen_below_the_cost_of_a_reading() {
        assert!((granularity(&[20.0, 30.0, 20.0, 50.0]) - 10.0).abs() < 1e-9);
        assert!((granularity(&[0.0, 0.0, 10.0]) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn settling_is_found_despite_a_spoiled_reading() {
        let readings: Vec<(f64, f64)> = (0..200)
            .map(|i| (f64::from(i) * 40.0, if i < 50 || i == 120 { 2.0 } else { 3.5 }))
            .collect();
        let us = settle_us(&readings).unwrap();
        assert!((1920.0..=2000.0).contains(&us), "{us}");
        let boost_then_drop: Vec<(f64, f64)> =
            (0..200).map(|i| (f64::from(i) * 40.0, if i < 50 { 3.9 } else { 3.5 })).collect();
        assert!(settle_us(&boost_then_drop).unwrap() > 1900.0);
        let steady: Vec<(f64, f64)> = (0..200).map(|i| (f64::from(i) * 40.0, 3.5)).collect();
        assert_eq!(settle_us(&steady), Some(0.0));
        assert_eq!(settle_us(&[]), None);
    }

    #[test]
    fn time_steps_ascend() {
        let readings: Vec<(f64, f64)> = (1..500).map(|i| (f64::from(i) * 40.0, 3.5)).collect();
        let steps = by_time(&readings);
        assert!(steps.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(steps.iter().all(|s| s.1.len() <= 8));
    }
}
