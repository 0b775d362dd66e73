//! What vectors give to programs that go through arrays, and where that ends.
//!
//! Method: the sum of an array of f32, the dot product of two, y = y + a·x, and the search for a
//! byte, at each width, with one working set in each level of the memory hierarchy; the widths of
//! a kernel take turns. The yardstick is honest scalar code: eight accumulators, so that it does
//! not wait for itself, and eight bytes at a time in the search. The naive loop has one
//! accumulator, as compilers write it who may not change the order of additions, and looks at
//! single bytes. A run goes on where the last one ended, so that main memory is memory that no
//! cache has seen since the last lap. All numbers are small and whole: every width must leave
//! exactly what scalar arithmetic leaves, and that is checked after each sample.
//! Blind spots: baseline widths multiply and add where wider ones have one instruction for both;
//! prefetchers are on. A lap through L3 of a size near that of L2 may find lines there.
//! Expect: in L1 the ratio of the widths, up to what the load ports do; in main memory hardly
//! more than 1, because one scalar thread already has as many misses in flight as there can be.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Context;

use crate::harness::backing;
use crate::harness::bench::{self, Arm, Bench, Effort, params};
use crate::harness::levels::{self, Levels};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::harness::width::lacking;
use crate::kernel::elements::{Arrays, Kernel, Variant};
use crate::kernel::vector;
use crate::kernel::width::Width;
use crate::probe::Probe;
use crate::sys::memory::Pages;
use card::declare::{Declare, Estimator, Level, NoiseClass, Unit};
use card::machine::human_bytes;
use card::record::Skip;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "simd-memory",
    summary: "SIMD speedup of sum, dot product, saxpy and byte search, by memory level",
    needs: &[Need::Memory(8 << 20)],
    uses: levels::USES,
    seconds: 2.0,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let element = d.quantity(QUANTITY, Unit::Ns, Estimator::LowerQuartile);
    let vectors = || Width::declared().iter().filter(|width| width.is_vector()).map(|w| w.name);
    let class = |level: Level| match level {
        Level::L1 => (NoiseClass::T1, "alu"),
        Level::L2 => (NoiseClass::T1, "l1-l2"),
        Level::L3 => (NoiseClass::T2, "l3"),
        Level::Dram => (NoiseClass::T3, "dram-bandwidth"),
    };
    let speed_up = |d: &mut Declare, id, kernel: Kernel, level: Level, width: &str| {
        let (tier, family) = class(level);
        let at = element.with("kernel", kernel.name()).with("level", level.name());
        d.family(family);
        d.metric(
            id,
            tier,
            at.with("width", SCALAR) / at.with("width", width),
            format!("{}: speedup over {}", title(kernel, level, width), code(kernel, SCALAR)),
        );
    };
    // The clock of the core has no part in how fast main memory is.
    let pace = |d: &mut Declare, kernel: Kernel, level: Level, width: &str| {
        let (tier, family) = class(level);
        let (unit, words) = match level {
            Level::Dram => ("gbs", "GB/s"),
            _ => ("bytes_per_cycle", "bytes per cycle"),
        };
        let at = element.with("kernel", kernel.name()).with("level", level.name());
        let at = at.with("width", width);
        d.family(family);
        d.metric(
            format!("simd.{}.{width}.{}_{unit}", kernel.name(), level.name()),
            tier,
            at.value().rate(kernel.bytes() as f64),
            format!("{}: {words} loaded and stored", title(kernel, level, width)),
        );
    };
    for width in vectors() {
        let id = format!("simd.speedup.{width}_ratio");
        speed_up(d, id, Kernel::Sum, Level::L1, width);
    }
    for kernel in [Kernel::Sum, Kernel::Dot, Kernel::Saxpy, Kernel::Search] {
        // There is no naive saxpy: its elements do not wait for one another.
        let naive = (kernel != Kernel::Saxpy).then_some(NAIVE);
        for width in naive.into_iter().chain(vectors()) {
            for level in LEVELS.into_iter().filter(|&level| is_told(width, level)) {
                let id = format!("simd.{}.{width}.{}_ratio", kernel.name(), level.name());
                speed_up(d, id, kernel, level, width);
            }
        }
        for width in [SCALAR].into_iter().chain(naive).chain(vectors()) {
            for level in LEVELS.into_iter().filter(|&level| is_told(width, level)) {
                pace(d, kernel, level, width);
            }
        }
    }
}

/// `sum in L1, 256-bit`.
fn title(kernel: Kernel, level: Level, width: &str) -> String {
    let name = match kernel {
        Kernel::Dot => "dot product",
        Kernel::Search => "byte search",
        _ => kernel.name(),
    };
    format!("{name} in {}, {}", level.name().to_uppercase(), code(kernel, width))
}

/// What the code of that width is called.
fn code(kernel: Kernel, width: &str) -> &'static str {
    match (width, kernel) {
        (NAIVE, Kernel::Search) => "scalar, 1 byte at a time",
        (NAIVE, _) => "scalar, one accumulator",
        (SCALAR, Kernel::Search) => "scalar, 8 bytes at a time",
        (SCALAR, Kernel::Saxpy) => "scalar code",
        (SCALAR, _) => "scalar with 8 accumulators",
        _ => Width::declared().iter().find(|w| w.name == width).map_or("", |w| w.title),
    }
}

const QUANTITY: &str = "element";
const NAIVE: &str = "naive";
const SCALAR: &str = "scalar";
const LEVELS: [Level; 4] = [Level::L1, Level::L2, Level::L3, Level::Dram];

/// How naive code does is the same story in all caches.
fn is_told(width: &str, level: Level) -> bool {
    width != NAIVE || matches!(level, Level::L1 | Level::Dram)
}

/// A run is whole laps of a small working set, or so many bytes of a large one: enough that the
/// calibration needs two or three trials.
const RUN: u64 = 1 << 18;

/// A sample of a cache: hundreds of laps through L1. The shorter it is, the more of a disturbance
/// shows in the readings of the clock around it.
const SAMPLE: Duration = Duration::from_micros(150);

/// A sample of main memory: some 8 MiB on the servers of today.
const MEMORY_SAMPLE: Duration = Duration::from_micros(400);

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let levels = Levels::of(bench);
    let memory = bench.machine.buffer_limit().min(levels::LARGEST);
    let mut sets: Vec<(Level, u64)> =
        levels.working_sets().into_iter().filter(|set| set.1 <= memory).collect();
    // The first and the last level say most, if time runs out.
    sets.sort_by_key(|(level, _)| !matches!(level, Level::L1 | Level::Dram));
    for level in [Level::L2, Level::L3, Level::Dram] {
        if !sets.iter().any(|set| set.0 == level) {
            missing(bench, &levels, level)?;
        }
    }
    let variants = Variant::detect();
    for absent in vector::absent() {
        let width = absent.width;
        let metrics = [format!("simd.*.{width}.*"), format!("simd.speedup.{width}_ratio")];
        bench.skip(lacking(absent).of(metrics))?;
    }
    let top = sets.iter().map(|set| set.1).max().unwrap_or(memory);
    let (len, seed) = (usize::try_from(top)?, bench.rng.u64(..));
    let mut arrays = bench
        .map(|| Arrays::new(len, Pages::Huge, seed))
        .with_context(|| format!("cannot map {}", human_bytes(top)))?;
    let notes = [backing::note(arrays.buffer()), levels.note.clone()];
    let note = notes.into_iter().flatten().reduce(|a, b| a + "; " + &b);
    // Within a level first what leaves the arrays as they are: contents are then written as rarely
    // as can be.
    let all = sets.len() * Kernel::ALL.len();
    let settings = sets.iter().flat_map(|set| Kernel::ALL.map(|kernel| (*set, kernel)));
    for (done, (set, kernel)) in settings.enumerate() {
        if bench.left().is_zero() {
            return bench.skip(Skip::new(
                "time for every kernel and level",
                format!("round {}: {done} of {all} were measured", bench.round + 1),
                "give the run more time (--tier thorough or --budget)",
            ));
        }
        let share = bench.left() / u32::try_from(all - done)?;
        point(bench, &mut arrays, (kernel, set), &variants, share, note.as_deref())?;
    }
    Ok(())
}

/// There is no working set for a level, or none that fits into memory.
fn missing(bench: &mut Bench<'_>, levels: &Levels, level: Level) -> anyhow::Result<()> {
    let name = level.name();
    let set = levels.working_sets().into_iter().find(|set| set.0 == level);
    let limit = human_bytes(bench.machine.buffer_limit());
    let why = bench.machine.buffer_limit_reason();
    let reason = match set {
        Some((_, bytes)) => format!("{} is more than {limit} ({why})", human_bytes(bytes)),
        None => levels.why_not(level),
    };
    let remedy = if set.is_some() || level == Level::Dram {
        "raise the memory limit"
    } else {
        "none, if there is no such cache; on a shared host, try when it is less busy"
    };
    let need = format!("a working set in {name}");
    bench.skip(Skip::new(need, reason, remedy).of([format!("simd.*.{name}_*")]))
}

/// Samples one kernel in one level, all widths in turn.
fn point(
    bench: &mut Bench<'_>,
    arrays: &mut Arrays,
    (kernel, (level, bytes)): (Kernel, (Level, u64)),
    variants: &[Variant],
    time: Duration,
    note: Option<&str>,
) -> anyhow::Result<()> {
    arrays.lay(kernel, usize::try_from(bytes)?);
    let (lap, least, element) = (arrays.lap(), arrays.block(), kernel.element() as u64);
    let most = RUN / element;
    let block = if lap < most { most / lap * lap } else { most / least * least };
    let memory = level == Level::Dram;
    let arrays = &RefCell::new(arrays);
    let arm = |&variant: &Variant| {
        let labels = params([
            ("kernel", kernel.name().into()),
            ("level", level.name().into()),
            ("width", variant.name().into()),
        ]);
        Arm::of(QUANTITY, labels, Pass { arrays, variant })
            .in_blocks_of(block)
            .noted(note.map(Into::into))
    };
    let told = |variant: &&Variant| is_told(variant.name(), level);
    let arms: Vec<Arm<'_>> =
        variants.iter().filter(|variant| variant.can(kernel)).filter(told).map(arm).collect();
    let (want, most) = match (bench.tier, memory) {
        (Effort::Quick, _) | (_, false) => (3, 4),
        // Main memory is the noisiest.
        (_, true) => (4, 6),
    };
    let sample = if memory { MEMORY_SAMPLE } else { SAMPLE };
    bench.interleave(
        arms,
        &SamplingPlan {
            min_samples: want,
            max_samples: most,
            sample,
            ..SamplingPlan::structural(time)
        },
    )
}

/// One variant's way through the arrays that all of them share.
struct Pass<'a, 'b> {
    arrays: &'a RefCell<&'b mut Arrays>,
    variant: Variant,
}

impl bench::Kernel for Pass<'_, '_> {
    fn prepare(&mut self, elements: u64) {
        self.arrays.borrow_mut().prepare(elements);
    }

    fn run(&mut self, elements: u64) {
        self.arrays.borrow_mut().run(self.variant, elements);
    }

    fn check(&mut self) -> Result<(), String> {
        self.arrays.borrow_mut().check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_but_the_yardstick_has_its_metrics() {
        let declared = PROBE.declaration();
        for variant in Variant::detect().into_iter().filter(|variant| variant.name() != "scalar") {
            for kernel in Kernel::ALL {
                let id = format!("simd.{}.{}.l1_ratio", kernel.name(), variant.name());
                let is_declared = declared.metrics.iter().any(|metric| metric.id == id);
                assert_eq!(is_declared, variant.can(kernel), "{id}");
            }
        }
    }

    #[test]
    fn every_ratio_has_its_numerator_and_denominator() {
        let declared = PROBE.declaration();
        let has = |id: String| declared.metrics.iter().any(|metric| metric.id == id);
        let ratios = declared.metrics.iter().filter_map(|metric| {
            let [_, kernel, width, level] = metric.id.split('.').collect::<Vec<_>>()[..] else {
                return None;
            };
            Some((kernel, width, level.strip_suffix("_ratio")?))
        });
        let mut count = 0;
        for (kernel, width, level) in ratios {
            let unit = if level == "dram" { "gbs" } else { "bytes_per_cycle" };
            for width in [width, SCALAR] {
                assert!(has(format!("simd.{kernel}.{width}.{level}_{unit}")), "{kernel} {width}");
            }
            count += 1;
        }
        assert!(count > 20, "{count}");
    }
}
