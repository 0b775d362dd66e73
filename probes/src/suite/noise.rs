//! What others take from us: interrupts, other threads, the hypervisor, a hyperthread sibling.
//!
//! Method: read the time counter in a tight loop on each CPU and keep every step above 1 µs; read
//! the two-chain clock (harness/clock) back to back for the share of time in which a hyperthread
//! sibling delayed us; read the kernel's steal counter before and after.
//! Blind spots: a slowdown without holes (shared cache or memory bandwidth) does not show here; a
//! hypervisor may take time without reporting steal.
//! Expect: on an idle host a timer tick of a few µs 100 to 1000 times a second, less than 0.1 %
//! lost, sibling quiet.

use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::harness::clock::{self, ClockReading, CoreClock};
use crate::kernel::timer::gaps;
use crate::probe::Probe;
use crate::sys::thread;
use crate::threads::pinning;
use card::declare::{Better, Declare, Estimator, NoiseClass, ReportOnly, Unit};
use card::record::Skip;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "noise",
    summary: "OS and hypervisor noise (gaps > 1 µs), SMT sibling activity, steal time",
    needs: &[],
    uses: &[],
    seconds: 1.2,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("jitter");
    d.report_only(Some(ReportOnly::Tail));
    let gap_share = d.quantity("gap_share", Unit::Ratio, Estimator::Mean);
    let gap = d.quantity("gap", Unit::Ns, Estimator::P99);
    // How long was watched for the gaps that are kept, which the picture needs.
    d.quantity("observed_ns", Unit::Ns, Estimator::LowerQuartile);
    let sibling_busy = d.quantity("sibling_busy", Unit::Ratio, Estimator::Mean);
    let steal = d.quantity("steal", Unit::Ratio, Estimator::Mean);
    d.metric(
        "noise.gap_ratio",
        NoiseClass::T4,
        gap_share,
        "noise fraction: share of CPU time lost in gaps above 1 µs",
    )
    .better(Better::Lower);
    d.metric("noise.gap_p99_ns", NoiseClass::T4, gap, "p99 of the gaps above 1 µs");
    d.metric(
        "noise.sibling_busy_ratio",
        NoiseClass::T4,
        sibling_busy,
        "SMT sibling active, share of time",
    )
    .better(Better::Lower);
    d.metric("noise.steal_ratio", NoiseClass::T4, steal, "steal time reported by the kernel")
        .better(Better::Lower);
}

/// Steps of the counter above this are gaps: a hundred times what a reading costs.
const THRESHOLD_NS: f64 = 1000.0;

/// CPUs that are watched; on larger machines an even choice of them.
const MOST_CPUS: usize = 16;

/// Gaps kept for the histogram, per CPU and round; all of them count in the ratio.
const MOST_GAPS: usize = 400;

/// Kernel ticks a second in /proc/stat, on every Linux.
const USER_HZ: f64 = 100.0;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let allowed = bench.machine.allowed_cpus();
    let step = allowed.len().div_ceil(MOST_CPUS).max(1);
    let cpus: Vec<usize> = allowed.iter().copied().step_by(step).collect();
    let each = bench.left() / u32::try_from(cpus.len().max(1))?;
    for &cpu in &cpus {
        if pinning::pin(cpu) {
            watch(bench, cpu, each)?;
        }
    }
    if let Some(skip) = steal_blindness(&cpus) {
        bench.skip(skip)?;
    }
    Ok(())
}

fn watch(bench: &mut Bench<'_>, cpu: usize, time: Duration) -> anyhow::Result<()> {
    let setting = params([("cpu", (cpu as u64).into())]);
    let steal = thread::steal_ticks(cpu);
    let began = bench.timer.stamp();
    look_for_gaps(bench, cpu, time / 2)?;
    // Every CPU may be another kind of core.
    let busy = sibling_share(&CoreClock::learn(bench.timer), time / 2);
    bench.record("sibling_busy", setting.clone(), Unit::Ratio, busy)?;
    // Zero for ever is what a hypervisor reports that does not report.
    if let (Some(before), Some(after)) = (steal, thread::steal_ticks(cpu))
        && after > 0
    {
        let seconds = bench.timer.ns_between(began, bench.timer.stamp()) / 1e9;
        let share = (after - before) as f64 / USER_HZ / seconds;
        bench.record("steal", setting, Unit::Ratio, vec![share])?;
    }
    Ok(())
}

fn look_for_gaps(bench: &mut Bench<'_>, cpu: usize, time: Duration) -> anyhow::Result<()> {
    let timer = bench.timer;
    // Windows of 10 ms: their spread shows whether time is lost evenly or in bursts.
    let window = Duration::from_millis(10);
    let windows = (time.as_nanos() / window.as_nanos()).max(1);
    let mut lengths = Vec::new();
    let mut shares = Vec::new();
    let mut observed = 0.0;
    for _ in 0..windows {
        let units = timer.units(window.as_nanos() as f64);
        let seen = gaps(|| timer.quick_stamp(), units, timer.units(THRESHOLD_NS), MOST_GAPS);
        // What the kept gaps are a sample of: once there are enough, the time no longer counts.
        if lengths.len() < MOST_GAPS {
            observed += seen.observed as f64 * timer.ns_per_unit;
            lengths.extend(seen.lengths.iter().map(|&l| l as f64 * timer.ns_per_unit));
        }
        shares.push(seen.lost as f64 / seen.observed as f64);
    }
    let setting = params([("cpu", (cpu as u64).into())]);
    bench.record("gap", setting.clone(), Unit::Ns, lengths)?;
    bench.record("gap_share", setting.clone(), Unit::Ratio, shares)?;
    bench.record("observed_ns", setting, Unit::Ns, vec![observed])
}

/// Share of the readings of the clock that show a busy sibling, in groups of about 20 ms. An
/// interrupt within a reading looks alike but moves its clock too: such readings, which disagree
/// with the one before, count neither way.
fn sibling_share(clock: &CoreClock, time: Duration) -> Vec<f64> {
    let group = 400;
    let groups = (time.as_micros() / 20_000).max(1);
    (0..groups)
        .map(|_| {
            let readings: Vec<ClockReading> = (0..group).map(|_| clock.read()).collect();
            let steady: Vec<&ClockReading> = readings
                .windows(2)
                .filter(|w| clock::agree(w[0].core_ghz, w[1].core_ghz, 0.01))
                .map(|w| &w[1])
                .collect();
            let busy = steady.iter().filter(|b| b.is_busy()).count();
            busy as f64 / steady.len().max(1) as f64
        })
        .collect()
}

/// Why there is no steal figure, where there is none.
fn steal_blindness(cpus: &[usize]) -> Option<Skip> {
    let reported = cpus.iter().any(|&c| thread::steal_ticks(c).is_some_and(|ticks| ticks > 0));
    (!reported).then(|| {
        Skip::new(
            "a steal counter that counts",
            "it has been 0 since boot: no time was taken, or none is reported",
            "on a VM, ask the provider to report steal time; gaps and the sibling's work are \
                 measured without it",
        )
        .of(["noise.steal_ratio"])
    })
}
