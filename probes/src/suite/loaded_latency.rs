//! Latency of main memory while other CPUs use it: what a load costs at a given traffic.
//!
//! Method: one thread chases pointers through lines in random order; all other CPUs read buffers of
//! their own in a straight line and pause after every four lines. The pauses go from none to so long
//! that next to nothing is read, in random order and several times over. A sample holds the latency
//! and the bytes that the others read meanwhile; latency is shown against achieved traffic, not
//! against pauses. One word of each 64-byte line is read, which moves the line.
//! Blind spots: few CPUs cannot saturate the memory of a socket; the curve then ends at what they
//! achieve, and a note says so. A loader on the chaser's hyperthread sibling takes from its core,
//! too; a guest may not know that it is one. On several nodes each loader reads memory of its own.
//! Prefetched lines that are never read are not counted.
//! Expect: a flat beginning at the idle latency; where the loaders saturate the memory a knee at 70
//! to 90 % of the highest traffic and two to four times the idle latency at the end; with one loader
//! a rise of up to a third.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;

use crate::harness::backing;
use crate::harness::bench::{Bench, Effort, WrongAnswer, params};
use crate::harness::levels;
use crate::harness::meter::Reading;
use crate::harness::need::Need;
use crate::harness::sampling::{ClockHistory, Collector, SamplingPlan};
use crate::kernel::load::{CHUNK, Load};
use crate::kernel::parallel::{Lines, Way};
use crate::probe::Probe;
use crate::sys::memory::Pages;
use crate::threads::cpus;
use crate::threads::team::Team;
use card::declare::{Declare, Estimator, NoiseClass, Unit};
use card::estimate::quantile;
use card::machine::human_bytes;
use card::record::{Param, Point, PointState, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "loaded-latency",
    summary: "loaded latency of DRAM against injected bandwidth",
    needs: &[Need::Cpus(2), Need::Memory(8 << 20)],
    uses: &[],
    seconds: 1.2,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let latency = d.quantity("latency", Unit::Ns, Estimator::LowerQuartile);
    let load = d.quantity("load", Unit::Gbs, Estimator::UpperQuartile);
    d.family("dram-latency");
    d.metric(
        "memory.loaded_latency.idle_ns",
        NoiseClass::T3,
        latency.with("loaders", 0),
        "DRAM latency while all other CPUs are idle",
    );
    for (share, part) in [(0.25, "a quarter"), (0.5, "half"), (0.75, "three quarters")] {
        d.metric(
            format!("memory.loaded_latency.at_{}_ns", share * 100.0),
            NoiseClass::T3,
            latency.at_share(&load, "delay", share),
            format!("loaded latency of DRAM at {part} of peak injected bandwidth"),
        );
    }
    d.family("dram-bandwidth");
    d.metric(
        "memory.loaded_latency.peak_gbs",
        NoiseClass::T4,
        load.with("delay", 0),
        "peak injected bandwidth: DRAM reads of all other CPUs",
    );
}

/// Pauses in multiplications, of three cycles mostly, after every four lines: from flat out to a percent of
/// what one loader can do, close to each other where one loader (12 to 24) or a hundred of them (64
/// to 192) come near the most that they get.
const DELAYS: [u64; 13] = [0, 6, 12, 16, 24, 32, 48, 64, 96, 128, 192, 384, 1024];

/// Loaders that get this delay sleep.
const OFF: u64 = u64::MAX;

/// Visits of each setting, in the quick tier and else: its samples in a round.
const PASSES: (u32, u32) = (4, 7);

/// Chased before each sample, under its traffic. Latency is where it stays within 2 % after 3 ms
/// here: sleeping loaders wake up, and the page tables come back into the caches.
const SETTLE: Duration = Duration::from_millis(4);

/// One sample: long enough to count chunks to a percent, below a 4 ms tick, so that most samples see
/// none.
const SAMPLES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(3));

/// Clean samples without which a setting is noisy.
const WANT: usize = 3;

/// Traffic beside a sample, as a share of the upper quartile of its setting.
const LEAST_TRAFFIC: f64 = 0.7;

/// Samples in one visit until one is clean.
const TRIES: u32 = 3;

/// No loader's buffer is smaller, lest a share of it stay in a second-level cache.
const LEAST_EACH: u64 = 8 << 20;

/// So few CPUs saturate no socket.
const FEW: usize = 8;

/// What the chaser and the loaders share.
struct Traffic {
    delay: AtomicU64,
    /// Bytes that each loader has read.
    read: Vec<Counter>,
    wrong: Mutex<Option<usize>>,
}

/// Alone on its lines, and on those that a prefetcher brings along.
#[repr(align(128))]
#[derive(Default)]
struct Counter(AtomicU64);

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let loaders = cpus::others(bench, bench.machine.allowed_cpus());
    let last = levels::last_cache(bench.machine);
    let all = levels::last_caches(bench.machine, bench.machine.allowed_cpus());
    let limit = bench.machine.buffer_limit();
    let Some(sizes) = Sizes::fit(last, all, loaders.len() as u64, limit) else {
        return bench.skip(Skip::new(
            "memory for loaded-latency",
            format!(
                "all buffers beyond a cache of {} do not fit {} ({})",
                human_bytes(last),
                human_bytes(limit),
                bench.machine.buffer_limit_reason()
            ),
            "raise the memory limit",
        ));
    };
    let mut lines = Lines::new(usize::try_from(sizes.chase)?, Pages::Huge)
        .with_context(|| format!("cannot map {}", human_bytes(sizes.chase)))?;
    lines.lay(lines.buffer().len(), &mut bench.rng);
    let traffic = Traffic::of(loaders.len());
    let each = usize::try_from(sizes.each)?;
    let follow = |team: &Team, cpu: usize| {
        let place = loaders.iter().position(|&c| c == cpu).unwrap_or(0);
        traffic.make(team, cpu, &traffic.read[place].0, each);
    };
    let curve = Team::pinned(bench.cpu, &loaders, follow, |team| {
        team.all_ready(Ok(()))?;
        Ok::<_, String>(measure(bench, &mut lines, &traffic))
    });
    let curve = match curve.map_err(|e| e.to_string()).flatten() {
        Ok(curve) => curve,
        Err(reason) => return bench.skip(cpus::few_threads(loaders.len() + 1, reason)),
    };
    bench
        .check(lines.is_right() && lines.is_whole(), || "a ring in main memory is broken".into())?;
    let wrong = traffic.wrong.into_inner().ok().flatten();
    wrong.map_or(Ok(()), |cpu| {
        Err(WrongAnswer { cpu, what: "a loader read something else than was written".into() })
    })?;
    record(bench, curve, &loaders, backing::note(lines.buffer()))
}

/// Bytes of the buffers.
#[derive(Debug, PartialEq)]
struct Sizes {
    chase: u64,
    each: u64,
}

impl Sizes {
    /// Of so many loaders whose last-level caches, of that size at the chaser, hold `caches` bytes
    /// together; within a limit for all buffers.
    fn fit(last: u64, caches: u64, loaders: u64, limit: u64) -> Option<Sizes> {
        let all = |times: u64| {
            let chase = (times * last).min(levels::LARGEST);
            Sizes { chase, each: (times * caches / loaders).max(LEAST_EACH) }
        };
        let fits = |sizes: &Sizes| sizes.chase + sizes.each * loaders <= limit;
        (levels::LEAST_BEYOND..=levels::BEYOND).rev().map(all).find(fits)
    }
}

impl Traffic {
    fn of(loaders: usize) -> Traffic {
        Traffic {
            delay: AtomicU64::new(OFF),
            read: (0..loaders).map(|_| Counter::default()).collect(),
            wrong: Mutex::new(None),
        }
    }

    /// What a loader does, from its own first touch of the buffer to the end.
    fn make(&self, team: &Team, cpu: usize, read: &AtomicU64, bytes: usize) {
        let load = Load::new(bytes);
        let load =
            load.map_err(|e| format!("a loader could not map {}: {e}", human_bytes(bytes as u64)));
        // The leader is told as well.
        let Ok(mut load) = team.all_ready(load) else { return };
        while !team.stopped() {
            match self.delay.load(Ordering::Relaxed) {
                OFF => std::thread::sleep(Duration::from_millis(1)),
                delay => {
                    load.read(delay);
                    read.fetch_add(CHUNK as u64, Ordering::Relaxed);
                }
            }
        }
        if !load.is_right()
            && let Ok(mut wrong) = self.wrong.lock()
        {
            *wrong = Some(cpu);
        }
    }

    /// Bytes that all loaders have read so far.
    fn total(&self) -> u64 {
        self.read.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum()
    }
}

/// Samples at one setting.
#[derive(Default)]
struct Setting {
    /// `None` while the loaders sleep.
    delay: Option<u64>,
    /// Of ns per load.
    collector: Collector,
    /// GB/s beside each.
    load: Vec<f64>,
}

/// A busy sibling is what is measured, and beside a loader's irregular work the two-chain clock moves
/// by more than a percent even where the core's does not: neither counts, and the clock is not
/// recorded.
const POLICY: SamplingPlan = SamplingPlan {
    min_samples: WANT,
    need_idle_sibling: false,
    need_steady_clock: false,
    ..SamplingPlan::structural(Duration::ZERO)
};

impl Setting {
    /// Takes a sample in unless the chaser was interrupted or no loader ran.
    fn offer(
        &mut self,
        reading: &Reading,
        loads: u64,
        gbs: f64,
        history: &mut ClockHistory,
    ) -> bool {
        let idle = self.delay.is_some() && gbs == 0.0;
        let clean = if idle {
            self.collector.accept(None)
        } else {
            self.collector.offer(reading, loads, &POLICY, history)
        };
        self.load.extend(clean.then_some(gbs));
        clean
    }

    /// Leaves out the samples beside which a loader had lost its CPU: they speak for other traffic
    /// than the rest.
    fn drop_stalled(&mut self) {
        let usual = quantile(&self.load, 0.75).unwrap_or(0.0);
        let held: Vec<bool> = self.load.iter().map(|&gbs| gbs >= usual * LEAST_TRAFFIC).collect();
        for samples in [&mut self.collector.samples, &mut self.load] {
            let mut held = held.iter();
            samples.retain(|_| held.next() == Some(&true));
        }
        self.collector.disturbances.rejected += held.iter().filter(|&&held| !held).count() as u64;
    }
}

/// All settings, in a new random order each time.
fn measure(bench: &mut Bench<'_>, lines: &mut Lines, traffic: &Traffic) -> (Vec<Setting>, u64) {
    let delays = DELAYS.map(Some).into_iter().chain([None]);
    let mut curve: Vec<Setting> =
        delays.map(|delay| Setting { delay, ..Setting::default() }).collect();
    let passes = if bench.tier == Effort::Quick { PASSES.0 } else { PASSES.1 };
    let visits = passes * curve.len() as u32;
    let time = (bench.left() / visits).saturating_sub(SETTLE).clamp(SAMPLES.0, SAMPLES.1);
    let loads = loads_in(bench, lines, time);
    let mut order: Vec<usize> = (0..curve.len()).collect();
    for _ in 0..passes {
        bench.rng.shuffle(&mut order);
        for &i in &order {
            traffic.delay.store(curve[i].delay.unwrap_or(OFF), Ordering::Relaxed);
            let settled = bench.meter.elapsed() + SETTLE;
            while bench.meter.elapsed() < settled {
                lines.read(Way::Chase(1), LOOK);
            }
            (0..TRIES).any(|_| sample(bench, lines, traffic, &mut curve[i], loads));
        }
    }
    curve.iter_mut().for_each(Setting::drop_stalled);
    (curve, loads)
}

/// Loads between two looks at the time: a fraction of a millisecond.
const LOOK: u64 = 1024;

/// How many loads take that long on an idle machine.
fn loads_in(bench: &mut Bench<'_>, lines: &mut Lines, time: Duration) -> u64 {
    let way = Way::Chase(1);
    let trial = 16 * LOOK;
    let ns = bench.meter.measure(trial, &mut |loads| lines.read(way, loads)).ns.max(1.0);
    let loads = time.as_nanos() as f64 / ns * trial as f64;
    (loads as u64).next_multiple_of(way.block())
}

/// One sample; `false` if it was spoiled.
fn sample(
    bench: &mut Bench<'_>,
    lines: &mut Lines,
    traffic: &Traffic,
    at: &mut Setting,
    loads: u64,
) -> bool {
    let steal = bench.meter.steal_ticks();
    let (mut bytes, mut window) = (0, 0.0);
    let timer = bench.timer;
    let reading = bench.meter.measure(loads, &mut |loads| {
        let (from, start) = (traffic.total(), timer.stamp());
        lines.read(Way::Chase(1), loads);
        window = timer.ns_between(start, timer.stamp());
        bytes = traffic.total() - from;
    });
    let stolen = bench.meter.steal_ticks().saturating_sub(steal);
    let reading = Reading { ns: window, stolen, ..reading };
    at.offer(&reading, loads, bytes as f64 / window, &mut bench.history)
}

fn record(
    bench: &mut Bench<'_>,
    (curve, ops): (Vec<Setting>, u64),
    loaders: &[usize],
    backing: Option<String>,
) -> anyhow::Result<()> {
    let notes = [note(bench, loaders), backing];
    let note = notes.into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
    for Setting { delay, collector: Collector { samples: latency, disturbances, .. }, load } in
        curve
    {
        // A delay that no setting has stands for loaders at rest.
        let setting = params([
            ("delay", delay.map_or(Param::Int(-1), Into::into)),
            ("loaders", (delay.map_or(0, |_| loaders.len()) as u64).into()),
        ]);
        let state = if latency.len() < WANT { PointState::Noisy } else { PointState::Ok };
        for (quantity, unit, samples) in [("latency", Unit::Ns, latency), ("load", Unit::Gbs, load)]
        {
            let point = bench.point(quantity, setting.clone(), unit, samples, state);
            bench.emit(Point { disturbances, note: note.clone(), ops, ..point })?;
        }
    }
    Ok(())
}

/// What the reader must know of the loaders.
fn note(bench: &Bench<'_>, loaders: &[usize]) -> Option<String> {
    let siblings = bench.machine.siblings_of(bench.cpu);
    let few = (loaders.len() < FEW).then(|| {
        let n = loaders.len();
        let s = if n == 1 { "" } else { "s" };
        format!("{n} loader{s}: what {} CPUs achieve, not the socket's limit", n + 1)
    });
    let sibling = loaders
        .iter()
        .any(|cpu| siblings.contains(cpu))
        .then(|| "one of them on the chaser's SMT sibling, so the core is shared, too".into());
    let guest = (few.is_some() && sibling.is_none() && bench.machine.has_feature("hypervisor"))
        .then(|| "in a guest, one of them may be the chaser's SMT sibling".into());
    [few, sibling, guest].into_iter().flatten().reduce(|a, b| format!("{a}; {b}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::harness::clock::ClockReading;
    use crate::sys::thread::Usage;

    const MIB: u64 = 1 << 20;

    #[test]
    fn buffers_lie_beyond_every_cache_or_are_none() {
        let fit =
            |caches, loaders, limit| Sizes::fit(32 * MIB, 32 * MIB * caches, loaders, limit * MIB);
        let sizes = |chase, each| Some(Sizes { chase: chase * MIB, each: each * MIB });
        assert_eq!(fit(1, 1, 8192), sizes(128, 128));
        assert_eq!(fit(1, 1, 200), sizes(96, 96));
        assert_eq!(fit(1, 1, 100), None);
        // Sixteen caches with eight CPUs each, and one cache with more CPUs than it has megabytes.
        assert_eq!(fit(16, 127, 1 << 20), Some(Sizes { chase: 128 * MIB, each: 2048 * MIB / 127 }));
        assert_eq!(fit(1, 63, 1 << 20), sizes(128, 8));
    }

    fn reading() -> Reading {
        let busy = ClockReading { core_ghz: 3.7, sibling_delay_cycles: 0.2 };
        Reading { ns: 1500.0, before: busy, after: busy, ..Reading::default() }
    }

    /// What a setting makes of a reading beside so much traffic.
    fn offer(setting: &mut Setting, reading: &Reading, gbs: f64) -> bool {
        setting.offer(reading, 10, gbs, &mut ClockHistory::default())
    }

    #[test]
    fn only_interruptions_spoil_a_sample() {
        let mut setting = Setting::default();
        assert!(offer(&mut setting, &reading(), 10.0), "a busy sibling is what is measured");
        let usage = Usage { nivcsw: 1, ..Usage::default() };
        assert!(!offer(&mut setting, &Reading { usage, ..reading() }, 10.0));
        assert!(!offer(&mut setting, &Reading { stolen: 1, ..reading() }, 10.0));
        assert!(!offer(&mut setting, &Reading { migrated: true, ..reading() }, 10.0));
        assert_eq!(
            (&setting.collector.samples[..], &setting.load[..]),
            (&[150.0][..], &[10.0][..])
        );
        assert_eq!(setting.collector.disturbances.rejected, 3);
        assert!(offer(&mut setting, &reading(), 0.0), "the others are to be idle");
        let mut loaded = Setting { delay: Some(0), ..Setting::default() };
        assert!(!offer(&mut loaded, &reading(), 0.0), "no loader ran");
        assert!(loaded.load.is_empty() && loaded.collector.disturbances.rejected == 1);
    }

    #[test]
    fn samples_beside_a_stalled_loader_are_left_out() {
        let setting = |samples, load| {
            let collector = Collector { samples, ..Collector::default() };
            let mut setting = Setting { collector, load, ..Setting::default() };
            setting.drop_stalled();
            setting
        };
        let one = setting(vec![170.0, 150.0, 171.0, 172.0], vec![18.0, 1.0, 17.0, 19.0]);
        assert_eq!(one.collector.samples, [170.0, 171.0, 172.0]);
        assert_eq!(one.load, [18.0, 17.0, 19.0]);
        assert_eq!(one.collector.disturbances.rejected, 1);
        let idle = setting(vec![150.0; 3], vec![0.0; 3]);
        assert_eq!(idle.collector.samples.len(), 3);
    }

    #[test]
    fn many_loaders_read_as_long_as_they_are_told_to() {
        let traffic = Traffic::of(20);
        let next = AtomicUsize::new(0);
        let follow = |team: &Team, cpu| {
            let place = next.fetch_add(1, Ordering::Relaxed);
            traffic.make(team, cpu, &traffic.read[place].0, CHUNK);
        };
        let everyone = || traffic.read.iter().all(|read| read.0.load(Ordering::Relaxed) > 0);
        Team::pinned(0, &[0; 20], follow, |team| {
            team.all_ready(Ok(())).unwrap();
            assert_eq!(traffic.total(), 0, "nobody reads before being told");
            traffic.delay.store(1, Ordering::Relaxed);
            while !everyone() {
                std::thread::sleep(Duration::from_millis(1));
            }
        })
        .unwrap();
        assert_eq!(traffic.total() % CHUNK as u64, 0);
        assert_eq!(*traffic.wrong.lock().unwrap(), None);
    }

    #[test]
    fn a_loader_without_memory_is_noticed() {
        let traffic = Traffic::of(1);
        let follow = |team: &Team, cpu| traffic.make(team, cpu, &traffic.read[0].0, 1 << 50);
        let said = Team::pinned(0, &[0], follow, |team| team.all_ready(Ok(()))).unwrap();
        assert!(said.unwrap_err().contains("could not map"));
    }
}
