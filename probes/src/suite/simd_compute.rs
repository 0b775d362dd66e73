//! What vector instructions cost in registers, and how many of them a core does at once.
//!
//! Method: chains of one instruction, 240 per taken branch. One chain gives the latency, twelve
//! independent ones the rate (24 on Arm), and fused multiply-adds are swept over the number of
//! chains. Numbers stay normal and near 1. The peak is the best of all widths, of multiply-adds
//! alone and one for one with additions, for which some cores have ports of their own. Gathers
//! read a table of 4 KiB; subnormal numbers are made with and without the flags that flush them to
//! zero, within one block of assembly. The upper lanes' first use comes after a millisecond of
//! scalar work; all CPUs together run the best mix for a fixed time, and multiply-adds of a width
//! while this one reads its clock. (Gathers and subnormal numbers need no memory beyond L1; that is
//! why they are here and not in simd-memory.)
//! Blind spots: an addition is timed in turn with the subtraction that undoes it, a multiplication
//! by 2 with one by ½; a core that forwards an addition's result faster to another addition shows
//! that and nothing else. Shuffles within 128 bits are the cheapest kind. Scalar gathers are plain
//! loads at indices in registers. Arm's vector multiply-adds add to their target, so that their
//! latency there is that of the sum, which some cores forward early. One clock that stays reduced
//! between the widths would be missed.
//! Expect: additions and multiplications 3 or 4 cycles, multiply-adds 4 (Zen 2: 5); two
//! multiply-adds a cycle of 256 bits on Zen 2 to 4, of 512 on Zen 5 and large Xeons; subnormal
//! numbers nearly free on AMD, 100 cycles and more on Intel. On Zen 4 a multiplication with a
//! subnormal result was seen in two states, as fast as any other and 2.5 times as slow.

use std::time::Duration;

use crate::harness::bench::{Arm, Bench, Kernel, params};
use crate::harness::sampling::SamplingPlan;
use crate::harness::width::lacking;
use crate::kernel::simd::{Assisted, Chains, MicrocodeAssists, Op, SubnormalAt, Type, Width};
use crate::kernel::vector;
use crate::kernel::width::{self, Length};
use crate::probe::Probe;
use crate::threads::cpus;
use card::declare::{Better, Declare, Estimator, NoiseClass, Points, Unit};

mod clock;
mod together;
mod warm_up;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "simd-compute",
    summary: "SIMD instruction latency and throughput, peak FLOP/s, subnormals",
    needs: &[],
    uses: &[],
    seconds: 2.4,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("alu");
    let instruction = d.quantity(INSTRUCTION, Unit::Ns, Estimator::LowerQuartile);
    let flop = d.quantity(FLOP, Unit::Ns, Estimator::LowerQuartile);
    let element = d.quantity(ELEMENT, Unit::Ns, Estimator::LowerQuartile);
    for of in FLOATS {
        d.metric(
            format!("simd.peak.{}_gflops", of.name()),
            NoiseClass::T2,
            flop.with("type", of.name()).lowest().rate(1.0),
            format!("peak {} FLOP/s, one core, best width and mix", of.name()),
        );
    }
    together::declare(d);
    let fma = flop.with("op", Op::Fma.name()).with("type", Type::F32.name()).lowest().rate(1.0);
    d.metric(
        FMA_PEAK,
        NoiseClass::T1,
        fma.clone(),
        "FMA throughput, f32, best width (FMA = 2 FLOP)",
    );
    d.metric(
        "simd.peak_ratio",
        NoiseClass::T1,
        fma.of_published(FMA_PEAK),
        "FMA throughput, f32, best width ÷ published",
    );
    for (op, of, _) in GROUPS.into_iter().filter(|group| counted_in(group.0) == FLOP) {
        for setting in settings(op, of) {
            d.metric(
                format!("{}.flops_per_cycle", setting.stem()),
                NoiseClass::T1,
                setting.of(&flop).lowest().rate(1.0),
                format!("{}: throughput, FLOP/cycle (FMA = 2)", setting.title()),
            );
        }
    }
    for (op, of, _) in GROUPS.into_iter().filter(|group| group.2.contains(&1)) {
        for setting in settings(op, of) {
            d.metric(
                format!("{}.latency_cycles", setting.stem()),
                NoiseClass::T1,
                setting.of(&instruction).with("chains", 1),
                format!("{}: latency", setting.title()),
            );
        }
    }
    for (op, of, _) in GROUPS.into_iter().filter(|group| counted_in(group.0) == INSTRUCTION) {
        for setting in settings(op, of) {
            d.metric(
                format!("{}.instructions_per_cycle", setting.stem()),
                NoiseClass::T1,
                setting.of(&instruction).lowest().rate(1.0),
                format!("{}: throughput, instructions per cycle", setting.title()),
            );
        }
    }
    for setting in settings(Op::Gather, Type::I32) {
        d.metric(
            format!("simd.gather.{}.cycles_per_element_cycles", setting.width.name),
            NoiseClass::T1,
            setting.of(&element),
            format!("gather from L1, i32, {}: cycles per element", setting.width.title),
        );
    }
    declare_subnormal(d);
    d.family("core-frequency");
    warm_up::declare(d);
    clock::declare(d);
    d.family("alu");
    let length = d.quantity("vector", Unit::Bytes, Estimator::Median);
    for width in widths(|width| width.length == Length::Scalable) {
        d.metric(
            format!("simd.{}_vector_bytes", width.name),
            NoiseClass::T1,
            length.with("width", width.name),
            "length of a vector, which is the processor's and the system's choice",
        )
        .better(Better::Higher);
    }
}

/// What a subnormal number costs. Medians, because the same code was seen in two states.
fn declare_subnormal(d: &mut Declare) {
    let all = d.quantity("subnormal", Unit::Ns, Estimator::Median);
    for (id, op, at, flush, summary) in [
        (
            "simd.denormal_ratio",
            Assisted::Mul,
            SubnormalAt::Result,
            false,
            "multiplications with a subnormal result ÷ normal",
        ),
        (
            "simd.denormal.add_ratio",
            Assisted::Add,
            SubnormalAt::Result,
            false,
            "additions with a subnormal result ÷ normal",
        ),
        (
            "simd.denormal.fma_ratio",
            Assisted::Fma,
            SubnormalAt::Result,
            false,
            "multiply-adds with a subnormal result ÷ normal",
        ),
        (
            "simd.denormal.operand_ratio",
            Assisted::Mul,
            SubnormalAt::Operand,
            false,
            "multiplications of a subnormal number ÷ normal",
        ),
        (
            "simd.denormal.flushed_ratio",
            Assisted::Mul,
            SubnormalAt::Result,
            true,
            "multiplications with a subnormal result flushed to zero ÷ normal",
        ),
    ] {
        let with = |at: SubnormalAt| all.with("op", op.name()).with("at", at.name());
        let subnormal = with(at).with("flush", flushing(flush));
        d.metric(id, NoiseClass::T1, subnormal / with(SubnormalAt::Nowhere), summary)
            .better(Better::Lower);
    }
}

const INSTRUCTION: &str = "instruction";
const FLOP: &str = "flop";
const ELEMENT: &str = "element";

/// The limit of the multiply-add ports is published under this id.
const FMA_PEAK: &str = "simd.peak.f32_fma_flops_per_cycle";

const FLOATS: [Type; 2] = [Type::F32, Type::F64];

/// Widths that this architecture can have.
fn widths(which: impl Fn(&width::Width) -> bool) -> impl Iterator<Item = width::Width> {
    width::Width::declared().iter().copied().filter(move |width| which(width))
}

/// An instruction at one of the widths that it can have.
struct Setting {
    op: Op,
    of: Type,
    width: width::Width,
}

fn settings(op: Op, of: Type) -> impl Iterator<Item = Setting> {
    let has = move |width: &width::Width| match op {
        Op::MulAdd => width.unfused,
        Op::Shuffle => width.is_vector(),
        Op::Gather => width.gathers,
        _ => true,
    };
    widths(has).map(move |width| Setting { op, of, width })
}

impl Setting {
    /// The beginning of its ids.
    fn stem(&self) -> String {
        format!("simd.{}.{}.{}", self.op.name(), self.of.name(), self.width.name)
    }

    /// The beginning of its summaries.
    fn title(&self) -> String {
        let op = match self.op {
            Op::Add => "addition",
            Op::Mul => "multiplication",
            Op::Fma => "FMA",
            Op::Shuffle => "shuffle within 128 bits",
            Op::Gather => "gather from L1",
            Op::FmaAdd => "FMA + addition",
            Op::MulAdd => "multiplication + addition",
        };
        format!("{op}, {}, {}", self.of.name(), self.width.title)
    }

    /// Its points.
    fn of(&self, points: &Points) -> Points {
        let Setting { op, of, width } = self;
        points.with("op", op.name()).with("type", of.name()).with("width", width.name)
    }
}

/// Numbers of chains for the curve of multiply-adds; 16 registers hold up to twelve.
const CURVE: [u64; 6] = [1, 2, 4, 8, 12, 24];
/// One chain for the latency, and more than two ports at five cycles can use, or four at one cycle
/// in general registers; 24 where the architecture has 32 registers and may have four ports.
const USUAL: [u64; 4] = [1, 8, 12, 24];
const DOUBLE: [u64; 3] = [1, 12, 24];
const MIXED: [u64; 1] = [Op::OWN_CHAINS];
const GATHERS: [u64; 2] = [1, 8];

/// What is measured, and with how many chains. In a group all widths take turns.
const GROUPS: [(Op, Type, &[u64]); 13] = [
    (Op::Fma, Type::F32, &CURVE),
    (Op::Fma, Type::F64, &USUAL),
    (Op::FmaAdd, Type::F32, &MIXED),
    (Op::FmaAdd, Type::F64, &MIXED),
    (Op::MulAdd, Type::F32, &MIXED),
    (Op::MulAdd, Type::F64, &MIXED),
    (Op::Add, Type::F32, &USUAL),
    (Op::Add, Type::F64, &DOUBLE),
    (Op::Add, Type::I32, &USUAL),
    (Op::Mul, Type::F32, &USUAL),
    (Op::Mul, Type::F64, &DOUBLE),
    (Op::Shuffle, Type::I32, &USUAL),
    (Op::Gather, Type::I32, &GATHERS),
];

/// The shorter a sample is, the more of a disturbance shows in the readings of the clock around it.
const SAMPLE: Duration = Duration::from_micros(150);

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let widths = Width::detect();
    missing(bench)?;
    for width in &widths {
        let bytes = (width.lanes(Type::I32) * Type::I32.bytes()) as f64;
        bench.record(
            "vector",
            params([("width", width.name().into())]),
            Unit::Bytes,
            vec![bytes],
        )?;
    }
    warm_up::measure(bench, &widths)?;
    together::measure(bench, &widths)?;
    clock::measure(bench, &widths)?;
    let mut groups: Vec<Option<(Op, Type, &[u64])>> = GROUPS.into_iter().map(Some).collect();
    groups.push(None);
    bench.rng.shuffle(&mut groups);
    let all = groups.len();
    for (done, group) in groups.into_iter().enumerate() {
        let share = bench.left() / u32::try_from(all - done)?;
        match group {
            Some((op, of, counts)) => chains(bench, &widths, (op, of, counts), share)?,
            None => subnormal(bench, share)?,
        }
    }
    Ok(())
}

/// What this CPU does not have, with the metrics that it leaves empty.
fn missing(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for absent in vector::absent() {
        let width = absent.width;
        let mut metrics = vec![format!("simd.*.{width}.*"), format!("simd.*{width}_*")];
        if absent.takes_fused {
            metrics.extend(["simd.fma*", "simd.peak*fma*", "simd.peak_ratio"].map(str::to_owned));
        }
        bench.skip(lacking(absent).of(metrics))?;
    }
    Ok(())
}

/// Samples an instruction at all widths and numbers of chains, in turn.
fn chains(
    bench: &mut Bench<'_>,
    widths: &[Width],
    (op, of, counts): (Op, Type, &[u64]),
    time: Duration,
) -> anyhow::Result<()> {
    let settings = widths.iter().flat_map(|&width| counts.iter().map(move |&n| (width, n)));
    let arms: Vec<Arm<'_>> =
        settings.filter_map(|(width, count)| arm((op, of), width, count)).collect();
    if arms.is_empty() {
        return Ok(());
    }
    bench.interleave(arms, &policy(time))
}

/// Few samples, because the points are many.
fn policy(time: Duration) -> SamplingPlan {
    SamplingPlan {
        min_samples: 3,
        max_samples: 4,
        sample: SAMPLE,
        ..SamplingPlan::structural(time)
    }
}

/// What several chains are counted in: what is got from them.
fn counted_in(op: Op) -> &'static str {
    match op {
        Op::Fma | Op::FmaAdd | Op::MulAdd => FLOP,
        Op::Gather => ELEMENT,
        Op::Add | Op::Mul | Op::Shuffle => INSTRUCTION,
    }
}

/// One chain is counted in instructions, since it is there for their latency.
fn arm((op, of): (Op, Type), width: Width, count: u64) -> Option<Arm<'static>> {
    let chains = Chains::new(width, op, of, count)?;
    let quantity = if count == 1 { INSTRUCTION } else { counted_in(op) };
    let block = match quantity {
        FLOP => chains.flops(),
        ELEMENT => chains.block() * width.lanes(of) as u64,
        _ => chains.block(),
    };
    let mut labels = params([
        ("op", op.name().into()),
        ("type", of.name().into()),
        ("width", width.name().into()),
    ]);
    if count != Op::OWN_CHAINS {
        labels.insert("chains".into(), count.into());
    }
    Some(Arm::of(quantity, labels, Counted { chains, block }).in_blocks_of(block))
}

/// Chains that are counted in what they do, so much a block.
pub(super) struct Counted {
    pub(super) chains: Chains,
    pub(super) block: u64,
}

impl Kernel for Counted {
    fn run(&mut self, ops: u64) {
        self.chains.run(ops / self.block);
    }

    fn check(&mut self) -> Result<(), String> {
        self.chains.check()
    }
}

/// As in parameters.
fn flushing(flush: bool) -> &'static str {
    if flush { "on" } else { "off" }
}

/// Instructions on normal and subnormal numbers, flushed to zero or not.
fn subnormal(bench: &mut Bench<'_>, time: Duration) -> anyhow::Result<()> {
    let results = Assisted::ALL
        .into_iter()
        .flat_map(|op| [SubnormalAt::Nowhere, SubnormalAt::Result].map(|place| (op, place, false)));
    let more =
        [(SubnormalAt::Operand, false), (SubnormalAt::Operand, true), (SubnormalAt::Result, true)];
    let all = results.chain(more.map(|(place, flush)| (Assisted::Mul, place, flush)));
    let arm = |(op, place, flush): (Assisted, SubnormalAt, bool)| {
        let labels = params([
            ("op", op.name().into()),
            ("at", place.name().into()),
            ("flush", flushing(flush).into()),
        ]);
        let assists = Instructions(MicrocodeAssists::new(op, place, flush)?);
        Some(Arm::of("subnormal", labels, assists).in_blocks_of(MicrocodeAssists::BLOCK))
    };
    bench.interleave(all.filter_map(arm).collect(), &policy(time))
}

/// Counted one by one.
struct Instructions(MicrocodeAssists);

impl Kernel for Instructions {
    fn run(&mut self, ops: u64) {
        self.0.run(ops / MicrocodeAssists::BLOCK);
    }

    fn check(&mut self) -> Result<(), String> {
        self.0.check()
    }
}

/// All CPUs but this one.
fn others(bench: &Bench<'_>) -> Vec<usize> {
    cpus::others(bench, bench.machine.allowed_cpus())
}

/// Without a thread on every CPU, these metrics stay empty.
fn few_threads(bench: &mut Bench<'_>, metrics: &'static str, reason: String) -> anyhow::Result<()> {
    let threads = others(bench).len() + 1;
    bench.skip(cpus::few_threads(threads, reason).of([metrics]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_that_is_measured_has_its_metric() {
        let declared = PROBE.declaration();
        for (op, of, counts) in GROUPS {
            for width in Width::detect() {
                for count in counts.iter().filter(|&&n| Chains::new(width, op, of, n).is_some()) {
                    let (op, of, width) = (op.name(), of.name(), width.name());
                    let stem = match (op, count) {
                        ("gather", 2..) => format!("simd.gather.{width}."),
                        _ => format!("simd.{op}.{of}.{width}."),
                    };
                    assert!(declared.metrics.iter().any(|m| m.id.starts_with(&stem)), "{stem}");
                }
            }
        }
    }
}
