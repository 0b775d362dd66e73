//! Bandwidth of reading, writing, copying and their mixtures, by width, working set and threads.
//!
//! Method: unrolled loops without arithmetic that could limit them, 512 bytes of each array per
//! taken branch, over private memory that its own thread touched first, in huge pages where the
//! kernel gives them. A run goes on where the last one ended, so that a sample of main memory is
//! memory that no cache has seen since the last lap. The widths of a kernel take turns. One working
//! set in each level for all kernels, and a sweep for four of them. All CPUs together: each on its
//! own memory for a fixed time, and what all got done is counted.
//! What is stored is never a line of zeros, which some processors write past the caches several times
//! as fast as anything else, but where the name says zero: the same stores of zeros, and an instruction
//! that clears a line.
//! Bytes are those that the code asks for: a copy counts what it loads and what it stores. A store
//! that allocates its line makes the memory read it first; `dram_bus_gbs` counts that too, and
//! assumes it: a processor that knows how to avoid it moves less.
//! Blind spots: prefetchers are on; one thread is limited by the misses it can have in flight, a
//! few CPUs of a large socket never fill its memory; memcpy and `rep movsb` choose for themselves
//! whether to store past the caches; a lap through L3 of a size near that of L2 may find lines
//! there. On a shared core a tenth to a third of the samples that the clock's chains call quiet were
//! still low, whatever the working set: load and store slots can be taken without delaying a chain.
//! Reading main memory in 2 to 8 streams, or prefetching 0.5 to 4 KiB ahead by instruction, was not
//! faster than one plain stream on the machine where this was tried.
//! Expect: L1 near the width of the load and store ports, L2 32 or 64 bytes a cycle, main memory 10
//! to 30 GB/s a thread on servers.

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;

use crate::harness::backing;
use crate::harness::bench::{self, Arm, Bench, Effort, params};
use crate::harness::levels::{self, Levels};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::bandwidth::{Kernel, StreamBuffers, Width};
use crate::probe::Probe;
use crate::sys::memory::Pages;
use crate::threads::cpus;
use crate::threads::windows::{self, Window, Worker};
use card::declare::{Declare, Estimator, Level, NoiseClass, ReportOnly, Unit};
use card::format::count;
use card::machine::human_bytes;
use card::record::{Params, Point, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "memory-bandwidth",
    summary: "read, write and copy bandwidth by SIMD width, working set and threads",
    needs: &[Need::Memory(8 << 20)],
    uses: levels::USES,
    seconds: 4.0,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let time = d.quantity("time_per_byte", Unit::Ns, Estimator::LowerQuartile);
    for (kernel, what) in [
        (Kernel::Read, "reading"),
        (Kernel::Write, "writing"),
        (Kernel::WriteNt, "non-temporal stores"),
        (Kernel::Copy, "copying (loads and stores)"),
        (Kernel::CopyNt, "copying with non-temporal stores (loads and stores)"),
        (Kernel::Triad, "a = b + s·c (two loads and a store)"),
        (Kernel::Update, "read-modify-write of each word (loads and stores)"),
        (Kernel::Memcpy, "the C library's memcpy (loads and stores)"),
    ] {
        let stem = format!("memory.bandwidth.{}", kernel.name());
        let time = time.with("kernel", kernel.name());
        // Stores past the caches speak of main memory wherever their data could lie.
        let past_caches = matches!(kernel, Kernel::WriteNt | Kernel::CopyNt);
        for (level, place, tier, family) in [
            (Level::L1, "L1", NoiseClass::T2, "l1-l2"),
            (Level::L2, "L2", NoiseClass::T2, "l1-l2"),
            (Level::L3, "L3", NoiseClass::T3, "l3"),
            (Level::Dram, "DRAM", NoiseClass::T3, "dram-bandwidth"),
        ] {
            let (tier, family) =
                if past_caches { (NoiseClass::T3, "dram-bandwidth") } else { (tier, family) };
            d.family(family);
            let best = time.with("level", level.name()).with("threads", 1).lowest().rate(1.0);
            for unit in ["gbs", "bytes_per_cycle"] {
                d.metric(
                    format!("{stem}.{}_{unit}", level.name()),
                    tier,
                    best.clone(),
                    format!("{what}, {place}, one thread, best width, application bytes (no RFO)"),
                );
            }
        }
        // What all threads get depends on where the host puts them.
        d.metric(
            format!("{stem}.dram_all_threads_gbs"),
            NoiseClass::T4,
            time.with("level", "dram").with("cpus", "all").lowest().rate(1.0),
            format!("{what}, DRAM, 1 thread per CPU, application bytes (no RFO)"),
        );
    }
    // What memory is filled with can decide how fast it is written: zeros are figures of their own.
    for (kernel, what) in [
        (Kernel::WriteNtZero, "non-temporal stores of zeros"),
        (Kernel::ZeroLine, "clearing lines by an instruction (CLZERO, DC ZVA)"),
    ] {
        let stem = format!("memory.bandwidth.{}", kernel.name());
        let time = time.with("kernel", kernel.name()).with("level", "dram");
        d.metric(
            format!("{stem}.dram_gbs"),
            NoiseClass::T3,
            time.with("threads", 1).lowest().rate(1.0),
            format!("{what}, DRAM, one thread, best width"),
        );
        d.metric(
            format!("{stem}.dram_all_threads_gbs"),
            NoiseClass::T4,
            time.with("cpus", "all").lowest().rate(1.0),
            format!("{what}, DRAM, 1 thread per CPU"),
        );
    }
    // Two lines move for each line stored, three for two and four for three.
    for (kernel, what, moved) in [
        (Kernel::Write, "writing", 2.0),
        (Kernel::Copy, "copying", 3.0 / 2.0),
        (Kernel::Triad, "a = b + s·c", 4.0 / 3.0),
    ] {
        let time = time.with("kernel", kernel.name()).with("level", "dram").with("threads", 1);
        d.metric(
            format!("memory.bandwidth.{}.dram_bus_gbs", kernel.name()),
            NoiseClass::T3,
            time.lowest().rate(moved),
            format!("{what}, DRAM, one thread, write-allocate (RFO) traffic included"),
        )
        .report_only(ReportOnly::Repeats);
    }
}

/// Smallest working set of the sweep.
const SMALLEST: u64 = 8 << 10;

/// Kernels whose bandwidth is swept over the working set.
const SWEPT: [Kernel; 4] = [Kernel::Read, Kernel::Write, Kernel::Copy, Kernel::Triad];

/// In this order the sources of main memory need to be filled once only: first those who need all
/// of them, then those who write over the upper half, then those who write over everything.
const IN_MEMORY: [Kernel; 12] = [
    Kernel::Read,
    Kernel::ReadSum,
    Kernel::Triad,
    Kernel::Copy,
    Kernel::CopyNt,
    Kernel::Movsb,
    Kernel::Memcpy,
    Kernel::Write,
    Kernel::WriteNt,
    Kernel::WriteNtZero,
    Kernel::ZeroLine,
    Kernel::Update,
];

/// Kernels that all CPUs run together.
const TOGETHER: [Kernel; 10] = [
    Kernel::Read,
    Kernel::Triad,
    Kernel::Copy,
    Kernel::CopyNt,
    Kernel::Memcpy,
    Kernel::Write,
    Kernel::WriteNt,
    Kernel::WriteNtZero,
    Kernel::ZeroLine,
    Kernel::Update,
];

/// Part of the slice for all CPUs together; what they leave goes to the rest.
const TOGETHER_SHARE: f64 = 0.2;

/// Windows of all CPUs together: long against the start, short against the slice.
const SHORTEST_WINDOW: Duration = Duration::from_millis(5);
const LONGEST_WINDOW: Duration = Duration::from_millis(40);

/// Bytes of each array between two looks at the time: some 50 µs, against which a fence is nothing.
const SLICE: u64 = 512 << 10;

/// Least memory of a thread among many; below it the windows would measure its second-level cache.
const LEAST_EACH: u64 = 4 << 20;

/// A run is whole laps of a small working set, or so many bytes of a large one: enough that the
/// calibration needs two or three trials.
const RUN: u64 = 1 << 20;

/// Working sets above this are measured one kernel after the other.
const LARGE: u64 = 16 << 20;

/// A sample of a cache: hundreds of laps through L1. The shorter it is, the more of a disturbance
/// shows in the readings of the clock around it.
const SAMPLE: Duration = Duration::from_micros(150);

/// A sample of main memory: some 8 MiB on the servers of today.
const MEMORY_SAMPLE: Duration = Duration::from_micros(400);

/// One kernel at one working set; the widths take turns in it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Setting {
    kernel: Kernel,
    bytes: u64,
    level: Option<Level>,
    /// A point of the curve alone.
    swept: bool,
    /// Too large for L2.
    beyond_l2: bool,
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let levels = Levels::of(bench);
    let sets = levels.working_sets();
    let memory = bench.machine.buffer_limit().min(levels::LARGEST);
    for level in [Level::L2, Level::L3, Level::Dram] {
        let set = sets.iter().find(|set| set.0 == level).map(|set| set.1);
        if set.is_none_or(|bytes| bytes > memory) {
            missing(bench, &levels, level, set)?;
        }
    }
    let sets: Vec<(Level, u64)> = sets.into_iter().filter(|set| set.1 <= memory).collect();
    if !Kernel::Movsb.is_here() {
        bench.skip(Skip::new(
            "an instruction that copies by itself",
            "x86 has it; those of other architectures have no kernel yet",
            "none; memcpy and copy say what a copy costs",
        ))?;
    }
    if !Kernel::ZeroLine.is_here() {
        let skip = Skip::new(
            "an instruction that clears a line",
            "this CPU has none that is known: CLZERO is AMD's, DC ZVA of 64 bytes is Arm's",
            "none; write_nt_zero says what storing zeros costs",
        );
        bench.skip(skip.of(["memory.bandwidth.zero_line.*"]))?;
    }
    let widths = Width::detect();
    let dram = sets.iter().find(|set| set.0 == Level::Dram).map(|set| set.1);
    if let (Some(dram), Some(&widest)) = (dram, widths.last()) {
        together(bench, dram, widest)?;
    }
    let top = dram.unwrap_or(memory);
    let (len, seed) = (usize::try_from(top)?, bench.rng.u64(..));
    let mut buffers = bench
        .map(|| StreamBuffers::new(len, Pages::Huge, seed))
        .with_context(|| format!("cannot map {}", human_bytes(top)))?;
    let note = joined([backing::note(buffers.buffer()), levels.note.clone()]);
    let settings = settings(bench, &levels, &sets, top);
    for (done, setting) in settings.iter().enumerate() {
        if bench.left().is_zero() {
            return out_of_time(bench, done, settings.len());
        }
        let share = bench.left() / u32::try_from(settings.len() - done)?;
        point(bench, &mut buffers, setting, &widths, share, note.as_deref())?;
    }
    Ok(())
}

fn joined(notes: [Option<String>; 2]) -> Option<String> {
    notes.into_iter().flatten().reduce(|a, b| a + "; " + &b)
}

/// There is no working set for a level, or none that fits.
fn missing(
    bench: &mut Bench<'_>,
    levels: &Levels,
    level: Level,
    set: Option<u64>,
) -> anyhow::Result<()> {
    let limit = human_bytes(bench.machine.buffer_limit());
    let why = bench.machine.buffer_limit_reason();
    let reason = match set {
        Some(bytes) => format!("{} is more than {limit} ({why})", human_bytes(bytes)),
        None => levels.why_not(level),
    };
    let remedy = if set.is_some() || level == Level::Dram {
        "raise the memory limit"
    } else {
        "none, if there is no such cache; on a shared host, try when it is less busy"
    };
    let skip = Skip::new(format!("a working set in {}", level.name()), reason, remedy);
    bench.skip(skip.of([format!("memory.bandwidth.*.{}_*", level.name())]))
}

fn out_of_time(bench: &mut Bench<'_>, measured: usize, all: usize) -> anyhow::Result<()> {
    bench.skip(Skip::new(
        "time for every kernel and working set",
        format!("round {}: {measured} of {all} were measured", bench.round + 1),
        "give the run more time (--tier thorough or --budget)",
    ))
}

/// First what metrics rest on, then the sweep: what may run out of time is a part of the curve,
/// and not the same in every round.
fn settings(
    bench: &mut Bench<'_>,
    levels: &Levels,
    sets: &[(Level, u64)],
    top: u64,
) -> Vec<Setting> {
    let at = |&(level, bytes): &(Level, u64)| {
        let beyond_l2 = level > Level::L2;
        let (level, swept) = (Some(level), false);
        // Zeros past the caches are a matter of memory alone.
        let counts = move |k: &Kernel| level == Some(Level::Dram) || !k.stores_zeros();
        let here = IN_MEMORY.into_iter().filter(|kernel| kernel.is_here()).filter(counts);
        here.map(move |kernel| Setting { kernel, bytes, level, swept, beyond_l2 })
    };
    let (large, mut all): (Vec<Setting>, Vec<Setting>) =
        sets.iter().flat_map(at).partition(|setting| setting.bytes > LARGE);
    bench.rng.shuffle(&mut all);
    all.extend(large);
    let octaves = match bench.tier {
        Effort::Quick => 3.0,
        Effort::Standard => 1.5,
        Effort::Thorough => 1.0,
    };
    let sizes = sweep(top, octaves, bench.round, sets);
    let swept = |&bytes: &u64| {
        let level = levels.level_of(bytes);
        let beyond_l2 = sets.iter().any(|set| set.0 == Level::L2 && bytes > 2 * set.1);
        SWEPT.map(|kernel| Setting { kernel, bytes, level, swept: true, beyond_l2 })
    };
    let mut curve: Vec<Setting> = sizes.iter().flat_map(swept).collect();
    bench.rng.shuffle(&mut curve);
    all.extend(curve);
    all
}

/// A size every so many octaves below `top`, in odd rounds those in the middle; none near a size
/// that is measured anyway.
fn sweep(top: u64, octaves: f64, round: u32, sets: &[(Level, u64)]) -> Vec<u64> {
    let shift = f64::from(round % 2) / 2.0;
    let near = |a: u64, b: u64| (a as f64 / b as f64).log2().abs() < octaves.min(1.5) / 3.0;
    (0..)
        .map(|step| (SMALLEST as f64 * ((f64::from(step) + shift) * octaves).exp2()) as u64)
        .take_while(|&bytes| bytes < top)
        .filter(|&bytes| !sets.iter().any(|&(_, set)| near(bytes, set)))
        .collect()
}

/// Samples one kernel at one working set, all widths in turn.
fn point(
    bench: &mut Bench<'_>,
    buffers: &mut StreamBuffers,
    setting: &Setting,
    widths: &[Width],
    share: Duration,
    note: Option<&str>,
) -> anyhow::Result<()> {
    let began = bench.meter.elapsed();
    let Setting { kernel, bytes, level, .. } = *setting;
    let working_set = buffers.lay(kernel, usize::try_from(bytes)?) as u64;
    let (lap, least) = (buffers.lap(), buffers.block());
    let block = if lap < RUN { RUN / lap * lap } else { RUN / least * least };
    let widths: Vec<Width> = match widths {
        [first, ..] if !kernel.has_widths() => vec![*first],
        // Between L2 and main memory the widths hardly differ: every other one, in each round.
        all if setting.swept && setting.beyond_l2 => {
            let first = bench.round as usize % all.len().min(2);
            all.iter().copied().skip(first).step_by(2).collect()
        }
        all => all.to_vec(),
    };
    let memory = level == Some(Level::Dram);
    let (want, most) = match (bench.tier, memory, setting.swept) {
        (Effort::Quick, true, _) => (3, 5),
        (Effort::Quick, false, _) | (_, _, true) => (3, 4),
        // Main memory is the noisiest.
        (_, true, false) => (5, 9),
        (_, false, false) => (5, 6),
    };
    let buffers = &RefCell::new(buffers);
    let arm = |&width: &Width| {
        let name = kernel.has_widths().then(|| width.name());
        let setting = labels(kernel, name, 1, working_set, level);
        let arm = Arm::of("time_per_byte", setting, Stream { buffers, width });
        arm.in_blocks_of(block).noted(note.map(Into::into))
    };
    let arms: Vec<Arm<'_>> = widths.iter().map(arm).collect();
    let time = share.saturating_sub(bench.meter.elapsed() - began);
    let sample = if memory { MEMORY_SAMPLE } else { SAMPLE };
    let policy = SamplingPlan {
        min_samples: want,
        max_samples: most,
        sample,
        ..SamplingPlan::structural(time)
    };
    bench.interleave(arms, &policy)
}

/// One width of those that take turns on the same memory.
struct Stream<'a> {
    buffers: &'a RefCell<&'a mut StreamBuffers>,
    width: Width,
}

impl bench::Kernel for Stream<'_> {
    fn prepare(&mut self, bytes: u64) {
        self.buffers.borrow_mut().prepare(bytes);
    }

    fn run(&mut self, bytes: u64) {
        self.buffers.borrow_mut().run(self.width, bytes);
    }

    fn check(&mut self) -> Result<(), String> {
        self.buffers.borrow_mut().check()
    }
}

fn labels(
    kernel: Kernel,
    width: Option<&str>,
    threads: u64,
    working_set: u64,
    level: Option<Level>,
) -> Params {
    let mut labels = params([
        ("kernel", kernel.name().into()),
        ("threads", threads.into()),
        ("working_set", working_set.into()),
    ]);
    labels.extend(width.map(|width| ("width".into(), width.into())));
    labels.extend(level.map(|level| ("level".into(), level.name().into())));
    labels
}

/// One thread of all CPUs together.
struct Streamer<'a> {
    kernels: &'a [Kernel],
    buffers: StreamBuffers,
    width: Width,
    bytes: usize,
    kernel: Option<Kernel>,
    windows_each: usize,
}

impl Worker for Streamer<'_> {
    fn setup(&mut self, window: usize) {
        let kernel = self.kernels[window / self.windows_each];
        if self.kernel != Some(kernel) {
            self.buffers.lay(kernel, self.bytes);
            self.kernel = Some(kernel);
            // What the kernel before left in the caches is not of this one's making.
            self.buffers.run(self.width, self.buffers.lap().min(64 * SLICE));
        }
        self.buffers.prepare(self.slice());
    }

    fn run_slice(&mut self) -> u64 {
        let slice = self.slice();
        self.buffers.run(self.width, slice);
        slice
    }

    fn verify(&mut self) -> Result<(), String> {
        self.buffers.check()
    }
}

impl Streamer<'_> {
    fn slice(&self) -> u64 {
        SLICE / self.buffers.block() * self.buffers.block()
    }
}

/// What rests on all CPUs together.
const ALL_THREADS: &str = "memory.bandwidth.*.dram_all_threads_gbs";

/// All CPUs at once, each on its own memory.
fn together(bench: &mut Bench<'_>, dram: u64, width: Width) -> anyhow::Result<()> {
    let others = cpus::others(bench, bench.machine.allowed_cpus());
    let threads = others.len() as u64 + 1;
    let each = match each(bench, dram, threads) {
        Ok(each) => usize::try_from(each)?,
        Err(skip) => return bench.skip(skip.of([ALL_THREADS])),
    };
    let windows_each = if bench.tier == Effort::Quick { 3 } else { 5 };
    let kernels: Vec<Kernel> = TOGETHER.into_iter().filter(|kernel| kernel.is_here()).collect();
    let windows = windows_each * kernels.len();
    let length = bench.share(TOGETHER_SHARE) / u32::try_from(windows)?;
    let length = length.clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
    let seed = bench.rng.u64(..);
    let small_pages = Mutex::new(None);
    let make_worker = |cpu: usize| {
        let buffers = StreamBuffers::new(each, Pages::Huge, seed.wrapping_add(cpu as u64))
            .map_err(|e| format!("cannot map {} on CPU {cpu}: {e}", human_bytes(each as u64)))?;
        if let (Some(note), Ok(mut known)) = (backing::note(buffers.buffer()), small_pages.lock()) {
            *known = Some(note);
        }
        let kernels = &*kernels;
        Ok(Streamer { kernels, buffers, width, bytes: each, kernel: None, windows_each })
    };
    let seen = windows::measure((bench.cpu, &others), &bench.timer, (windows, length), make_worker);
    let seen = match seen {
        Ok(seen) => seen,
        Err(reason) => {
            let skip = Skip::new(
                format!(
                    "{} with {} each",
                    count(others.len() + 1, "thread"),
                    human_bytes(each as u64)
                ),
                reason,
                cpus::MORE_THREADS,
            );
            return bench.skip(skip.of([ALL_THREADS]));
        }
    };
    let note = joined([small_pages.into_inner().unwrap_or(None), quota(bench, threads)]);
    for (kernel, windows) in kernels.iter().zip(seen.chunks(windows_each)) {
        let wrong = Window::wrong(windows);
        bench.check(wrong.is_none(), || wrong.unwrap_or_default())?;
        let name = kernel.has_widths().then(|| width.name());
        let mut labels = labels(*kernel, name, threads, each as u64, Some(Level::Dram));
        labels.insert("cpus".into(), "all".into());
        let point = window_point(bench, labels, windows);
        bench.emit(Point { note: note.clone(), ..point })?;
    }
    Ok(())
}

/// What a limit of CPU time takes from threads that all want a CPU.
fn quota(bench: &Bench<'_>, threads: u64) -> Option<String> {
    let quota = bench.machine.cpu_quota()?;
    let less = quota.cpus < threads as f64;
    less.then(|| format!("{threads} threads share {} CPUs of time ({})", quota.cpus, quota.source))
}

/// How much memory each thread gets: together four times every last-level cache, as one thread
/// alone has four times its own.
fn each(bench: &Bench<'_>, dram: u64, threads: u64) -> Result<u64, Skip> {
    let need = || "bandwidth of all CPUs together".to_owned();
    if threads < 2 {
        return Err(Skip::new(
            need(),
            "one CPU is allowed: all of them are one thread",
            "give the process more CPUs (taskset, cpuset, --cpus)",
        ));
    }
    let allowed = bench.machine.allowed_cpus();
    let group = bench.machine.l3_groups().iter().find(|group| group.contains(&bench.cpu));
    let sharers = group.map(|group| group.iter().filter(|cpu| allowed.contains(cpu)).count());
    let wanted = (dram / sharers.map_or(threads, |n| n.max(1) as u64)).max(LEAST_EACH);
    let most = bench.machine.buffer_limit() / threads;
    if most < wanted / 2 {
        return Err(Skip::new(
            need(),
            format!(
                "{threads} threads need {} each and may have {} ({})",
                human_bytes(wanted / 2),
                human_bytes(most),
                bench.machine.buffer_limit_reason()
            ),
            "raise the memory limit",
        ));
    }
    Ok(wanted.min(most) & !4095)
}

/// The point of some windows.
fn window_point(bench: &Bench<'_>, labels: Params, windows: &[Window]) -> Point {
    let (used, state, disturbances) = windows::undisturbed(windows);
    let samples = used.iter().map(|window| 1.0 / window.rate()).collect();
    let point = bench.point("time_per_byte", labels, Unit::Ns, samples, state);
    Point { disturbances, ..point }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETS: [(Level, u64); 2] = [(Level::L1, 24 << 10), (Level::Dram, 128 << 20)];

    #[test]
    fn the_sweep_covers_every_octave_and_shifts() {
        let even = sweep(128 << 20, 1.0, 0, &SETS);
        let odd = sweep(128 << 20, 1.0, 1, &SETS);
        assert_eq!(even.len() + 1, 15, "16 to 64 MiB and the octaves below; 32 KiB stays");
        assert_eq!(even[..3], [8 << 10, 16 << 10, 32 << 10]);
        assert!(odd.iter().all(|size| !even.contains(size)));
        assert!(!odd.contains(&(24 << 10)));
        for sizes in [even, odd] {
            assert!(sizes.windows(2).all(|w| w[0] < w[1]));
            assert!(sizes.iter().all(|&size| size < 128 << 20));
        }
    }

    #[test]
    fn what_skips_cost_is_declared() {
        let skip = Skip::new("", "", "").of([ALL_THREADS]);
        let metrics = PROBE.declaration().metrics;
        assert_eq!(metrics.iter().filter(|m| skip.names(&m.id)).count(), TOGETHER.len());
    }

    #[test]
    fn every_kernel_with_a_metric_is_measured() {
        for kernel in Kernel::ALL {
            assert!(IN_MEMORY.contains(&kernel), "{}", kernel.name());
        }
        for metric in PROBE.declaration().metrics.iter() {
            let stem = metric.id.strip_prefix("memory.bandwidth.").unwrap();
            let name = stem.split('.').next().unwrap();
            let measured = if metric.id.ends_with("all_threads_gbs") {
                TOGETHER.iter().any(|k| k.name() == name)
            } else {
                Kernel::ALL.iter().any(|k| k.name() == name)
            };
            assert!(measured, "{}", metric.id);
        }
    }
}
