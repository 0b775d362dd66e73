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

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::clock::{self, Timer};
use crate::harness::sampling::Policy;
use crate::harness::width::lacking;
use crate::kernel::chain;
use crate::kernel::simd::{Assisted, Chains, MicrocodeAssists, Op, SubnormalAt, Type, Width};
use crate::kernel::{vector, widths};
use crate::probe::Probe;
use crate::threads::crew::{self, Hand, Window};
use crate::threads::gang::Gang;
use card::declare::{Better, Derive, Estimator, Metric, Text, Tier, Unit, metric, select, text};
use card::estimate::median;
use card::record::{Params, Point, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "simd-compute",
    summary: "latency and rate of vector instructions, peak arithmetic, subnormal numbers",
    needs: &[],
    uses: &[],
    seconds: 2.4,
    metrics: METRICS,
    proofs: &[],
    in_kernel: false,
    declare: |_| (),
    run,
};

/// Parameters that must have these values.
macro_rules! selected {
    ($quantity:literal $($name:literal = $value:literal),*) => {{
        const WHERE: &[(Text, Text)] = &[$((text($name), text($value))),*];
        select($quantity, WHERE)
    }};
}

/// A derivation from another one.
macro_rules! of {
    ($variant:ident $factor:expr, $inner:expr) => {{
        const INNER: &[Derive] = &[$inner];
        Derive::$variant($factor, Cow::Borrowed(INNER))
    }};
}

macro_rules! alu {
    ($id:expr, $summary:expr, $unit:ident, $better:ident, $from:expr) => {
        metric($id, $summary, Unit::$unit, Better::$better, Tier::T1, "alu", $from)
    };
}

/// Latency of an instruction from its single chain.
macro_rules! latency {
    ($op:literal $what:literal $type:literal $width:literal) => {
        alu!(
            concat!("simd.", $op, ".", $type, ".", $width, ".latency_cycles"),
            concat!($what, ", ", $type, ", ", $width, ": result to result"),
            Cycles,
            Lower,
            Derive::Value(
                selected!("instruction"
                    "op" = $op, "type" = $type, "width" = $width, "chains" = "1"),
                Estimator::LowerQuartile
            )
        )
    };
}

/// Instructions a cycle, at the best number of chains.
macro_rules! rate {
    ($op:literal $what:literal $type:literal $width:literal) => {
        alu!(
            concat!("simd.", $op, ".", $type, ".", $width, ".instructions_per_cycle"),
            concat!($what, ", ", $type, ", ", $width, ": instructions a cycle"),
            PerCycle,
            Higher,
            of!(Rate 1.0, Derive::Lowest(
                selected!("instruction" "op" = $op, "type" = $type, "width" = $width)
            ))
        )
    };
}

/// Floating-point operations a cycle, at the best number of chains.
macro_rules! flops {
    ($op:literal $what:literal $type:literal $width:literal) => {
        alu!(
            concat!("simd.", $op, ".", $type, ".", $width, ".flops_per_cycle"),
            concat!($what, ", ", $type, ", ", $width, ": floating-point operations a cycle"),
            PerCycle,
            Higher,
            of!(Rate 1.0, Derive::Lowest(
                selected!("flop" "op" = $op, "type" = $type, "width" = $width)
            ))
        )
    };
}

macro_rules! gather {
    ($width:literal) => {
        alu!(
            concat!("simd.gather.", $width, ".cycles_per_element_cycles"),
            concat!("gathering 32-bit numbers from L1, ", $width, ", for each of them"),
            Cycles,
            Lower,
            Derive::Value(
                selected!("element" "op" = "gather", "type" = "i32", "width" = $width),
                Estimator::LowerQuartile
            )
        )
    };
}

/// An instruction with a subnormal number ÷ the same without. Medians, because the same code was
/// seen in two states.
macro_rules! subnormal {
    ($id:literal, $summary:literal, $op:literal, $at:literal, $flush:literal) => {{
        const PAIR: &[Derive] = &[
            Derive::Value(
            selected!("subnormal" "op" = $op, "at" = $at, "flush" = $flush),
                Estimator::Median,
            ),
        Derive::Value(selected!("subnormal" "op" = $op, "at" = "none"), Estimator::Median),
        ];
        alu!($id, $summary, Ratio, Lower, Derive::Quotient(Cow::Borrowed(PAIR)))
    }};
}

macro_rules! peak {
    ($id:literal, $summary:literal, $unit:ident, $quantity:literal
     $($name:literal = $value:literal),*) => {
        metric(
            $id,
            $summary,
            Unit::$unit,
            Better::Higher,
            Tier::T2,
            "alu",
            of!(Rate 1.0, Derive::Lowest(selected!($quantity $($name = $value),*))),
        )
    };
}

macro_rules! warm_up {
    ($width:literal) => {
        metric(
            concat!("simd.warm_up.", $width, "_ns"),
            concat!("until ", $width, " work is at its pace after a millisecond without vectors"),
            Unit::Ns,
            Better::Lower,
            Tier::T4,
            "core-frequency",
            Derive::Value(selected!("warm_up" "width" = $width), Estimator::Median),
        )
    };
}

macro_rules! clock {
    ($width:literal $bits:literal) => {
        metric(
            concat!("simd.clock.", $width, "_all_core_ratio"),
            concat!(
                "core clock with all CPUs at ",
                $bits,
                " multiply-adds ÷ this one alone at scalar work"
            ),
            Unit::Ratio,
            Better::Higher,
            Tier::T2,
            "core-frequency",
            Derive::Value(selected!("clock_together_ratio" "width" = $width), Estimator::Median),
        )
    };
}

/// The limit of the multiply-add ports is published under this id.
const FMA_PEAK: &str = "simd.peak.f32_fma_flops_per_cycle";
const FMA_RATE: &[Derive] =
    &[of!(Rate 1.0, Derive::Lowest(selected!("flop" "op" = "fma", "type" = "f32")))];

/// The metrics of the widths that this architecture has.
macro_rules! metrics {
    (
        all: $([$width:literal])+;
        vectors: $([$vector:literal $bits:literal])+;
        wide: $([$wide:literal $wide_bits:literal])+;
        gathers: $([$gather:literal])+;
        unfused: $([$unfused:literal])*;
        scalable: $([$scalable:literal])*;
    ) => {
        &[
            peak!("simd.peak.f32_gflops", "f32 arithmetic, one core, best width and mix", Gflops,
                "flop" "type" = "f32"),
            peak!("simd.peak.f64_gflops", "f64 arithmetic, one core, best width and mix", Gflops,
                "flop" "type" = "f64"),
            peak!("simd.peak.f32_all_threads_gflops", "f32 arithmetic, all CPUs together, widest mix",
                Gflops, "flop_together" "type" = "f32"),
            peak!("simd.peak.f64_all_threads_gflops", "f64 arithmetic, all CPUs together, widest mix",
                Gflops, "flop_together" "type" = "f64"),
            alu!(
                "simd.peak.f32_fma_flops_per_cycle",
                "fused multiply-adds alone, f32, best width: floating-point operations a cycle",
                PerCycle,
                Higher,
                of!(Rate 1.0, Derive::Lowest(selected!("flop" "op" = "fma", "type" = "f32")))
            ),
            alu!(
                "simd.peak_ratio",
                "fused multiply-adds alone, f32, best width ÷ what the published ports allow",
                Ratio,
                Higher,
                Derive::OfPublished(Cow::Borrowed(FMA_RATE), text(FMA_PEAK))
            ),
            $(flops!("fma" "fused multiply-add" "f32" $width),)+
            $(flops!("fma" "fused multiply-add" "f64" $width),)+
            $(flops!("fma_add" "multiply-adds and additions" "f32" $width),)+
            $(flops!("fma_add" "multiply-adds and additions" "f64" $width),)+
            $(flops!("mul_add" "multiplications and additions" "f32" $unfused),)*
            $(flops!("mul_add" "multiplications and additions" "f64" $unfused),)*
            $(latency!("fma" "fused multiply-add" "f32" $width),)+
            $(latency!("fma" "fused multiply-add" "f64" $width),)+
            $(latency!("add" "addition" "f32" $width),)+
            $(latency!("add" "addition" "f64" $width),)+
            $(latency!("add" "addition" "i32" $width),)+
            $(latency!("mul" "multiplication" "f32" $width),)+
            $(latency!("mul" "multiplication" "f64" $width),)+
            $(latency!("shuffle" "shuffle within 128 bits" "i32" $vector),)+
            $(latency!("gather" "gather from L1" "i32" $gather),)+
            $(rate!("add" "addition" "f32" $width),)+
            $(rate!("add" "addition" "f64" $width),)+
            $(rate!("add" "addition" "i32" $width),)+
            $(rate!("mul" "multiplication" "f32" $width),)+
            $(rate!("mul" "multiplication" "f64" $width),)+
            $(rate!("shuffle" "shuffle within 128 bits" "i32" $vector),)+
            $(gather!($gather),)+
            subnormal!(
                "simd.denormal_ratio",
                "multiplications with a subnormal result ÷ normal",
                "mul",
                "output",
                "off"
            ),
            subnormal!(
                "simd.denormal.add_ratio",
                "additions with a subnormal result ÷ normal",
                "add",
                "output",
                "off"
            ),
            subnormal!(
                "simd.denormal.fma_ratio",
                "multiply-adds with a subnormal result ÷ normal",
                "fma",
                "output",
                "off"
            ),
            subnormal!(
                "simd.denormal.operand_ratio",
                "multiplications of a subnormal number ÷ normal",
                "mul",
                "input",
                "off"
            ),
            subnormal!(
                "simd.denormal.flushed_ratio",
                "multiplications with a subnormal result flushed to zero ÷ normal",
                "mul",
                "output",
                "on"
            ),
            $(warm_up!($vector),)+
            $(clock!($wide $wide_bits),)+
            $(alu!(
                concat!("simd.", $scalable, "_vector_bytes"),
                "length of a vector, which is the processor's and the system's choice",
                Bytes,
                Higher,
                Derive::Value(selected!("vector" "width" = $scalable), Estimator::Median)
            ),)*
        ]
    };
}

const METRICS: &[Metric] = widths!(metrics);

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

/// Parts of the slice for what is not sampled in batches.
const TOGETHER_SHARE: f64 = 0.08;
const CLOCK_SHARE: f64 = 0.1;
const WARM_UP_SHARE: f64 = 0.04;

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
    warm_up(bench, &widths)?;
    together(bench, &widths)?;
    clock_together(bench, &widths)?;
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
    let loops = widths.iter().flat_map(|&width| {
        counts.iter().filter_map(move |&count| {
            Some((width, count, RefCell::new(Chains::new(width, op, of, count)?)))
        })
    });
    let loops: Vec<(Width, u64, RefCell<Chains>)> = loops.collect();
    let wrong = RefCell::new(None);
    let check = |chains: &RefCell<Chains>| {
        if let Err(what) = chains.borrow().check() {
            wrong.borrow_mut().get_or_insert(what);
        }
    };
    let arms = loops.iter().map(|(w, count, chains)| arm_of((op, of), *w, *count, chains, &check));
    let arms: Vec<Arm<'_>> = arms.collect();
    if arms.is_empty() {
        return Ok(());
    }
    bench.interleave(arms, &policy(time))?;
    loops.iter().for_each(|(_, _, chains)| check(chains));
    let wrong = wrong.take();
    bench.check(wrong.is_none(), || wrong.unwrap_or_default())
}

/// Few samples, because the points are many.
fn policy(time: Duration) -> Policy {
    Policy { want: 3, most: 4, sample: SAMPLE, ..Policy::structural(time) }
}

/// One chain is counted in instructions, since it is there for their latency; more of them in what
/// is got from them: operations, elements of a gather, else instructions.
fn arm_of<'k>(
    (op, of): (Op, Type),
    width: Width,
    count: u64,
    chains: &'k RefCell<Chains>,
    check: &'k impl Fn(&RefCell<Chains>),
) -> Arm<'k> {
    let instructions = chains.borrow().block();
    let (quantity, block) = match op {
        _ if count == 1 => ("instruction", instructions),
        Op::Fma | Op::FmaAdd | Op::MulAdd => ("flop", chains.borrow().flops()),
        Op::Gather => ("element", instructions * width.lanes(of) as u64),
        _ => ("instruction", instructions),
    };
    let mut labels = params([
        ("op", op.name().into()),
        ("type", of.name().into()),
        ("width", width.name().into()),
    ]);
    if count != Op::OWN_CHAINS {
        labels.insert("chains".into(), count.into());
    }
    Arm::new(quantity, labels, move |ops| chains.borrow_mut().run(ops / block))
        .prepared(move |_| check(chains))
        .in_blocks_of(block)
}

/// Instructions on normal and subnormal numbers, flushed to zero or not.
fn subnormal(bench: &mut Bench<'_>, time: Duration) -> anyhow::Result<()> {
    let results = Assisted::ALL
        .into_iter()
        .flat_map(|op| [SubnormalAt::Nowhere, SubnormalAt::Result].map(|place| (op, place, false)));
    let more =
        [(SubnormalAt::Operand, false), (SubnormalAt::Operand, true), (SubnormalAt::Result, true)];
    let all = results.chain(more.map(|(place, flush)| (Assisted::Mul, place, flush)));
    let loops: Vec<(Params, RefCell<MicrocodeAssists>)> = all
        .filter_map(|(op, place, flush)| {
            let labels = params([
                ("op", op.name().into()),
                ("at", place.name().into()),
                ("flush", if flush { "on" } else { "off" }.into()),
            ]);
            Some((labels, RefCell::new(MicrocodeAssists::new(op, place, flush)?)))
        })
        .collect();
    let arms = loops.iter().map(|(labels, assists)| {
        let work = |ops| assists.borrow_mut().run(ops / MicrocodeAssists::BLOCK);
        Arm::new("subnormal", labels.clone(), work).in_blocks_of(MicrocodeAssists::BLOCK)
    });
    bench.interleave(arms.collect(), &policy(time))?;
    let wrong = loops.iter().find_map(|(_, assists)| assists.borrow().check().err());
    bench.check(wrong.is_none(), || wrong.unwrap_or_default())
}

/// Longer than the upper lanes stay powered without work (0.7 ms on Intel).
const PAUSE: Duration = Duration::from_millis(1);
/// Blocks timed together, some 0.3 µs, and how many of them are followed: cores that power up
/// their upper lanes need 10 to 50 µs.
const SLICE: u64 = 4;
const SLICES: usize = 300;
/// A slice this much longer than usual is not at its pace.
const AT_PACE: f64 = 1.25;

/// The first vector work after a pause.
fn warm_up(bench: &mut Bench<'_>, widths: &[Width]) -> anyhow::Result<()> {
    let timer = bench.timer;
    let loops = widths.iter().filter_map(|&width| {
        // With 128 bits for comparison: code that has not run for a while begins slowly anyway.
        let vector = width.name() != "scalar";
        Some((width, vector.then(|| Chains::new(width, Op::Fma, Type::F32, 12))??))
    });
    let mut loops: Vec<(Width, Chains)> = loops.collect();
    let until = Instant::now() + bench.share(WARM_UP_SHARE);
    let mut seen = vec![Vec::new(); loops.len()];
    while Instant::now() < until && seen.iter().any(|trials: &Vec<f64>| trials.len() < 9) {
        for ((_, chains), trials) in loops.iter_mut().zip(&mut seen) {
            let rest = Instant::now() + PAUSE;
            while Instant::now() < rest {
                std::hint::black_box(chain::add(chain::BLOCK));
            }
            trials.extend(until_at_pace(&slices(&timer, chains)));
        }
    }
    for ((width, _), trials) in loops.iter().zip(seen) {
        bench.record("warm_up", params([("width", width.name().into())]), Unit::Ns, trials)?;
    }
    Ok(())
}

/// Times of successive slices of work.
fn slices(timer: &Timer, chains: &mut Chains) -> Vec<f64> {
    let mut before = timer.stamp();
    let slice = |_| {
        chains.run(SLICE);
        let now = timer.stamp();
        let ns = timer.ns_between(before, now);
        before = now;
        ns
    };
    (0..SLICES).map(slice).collect()
}

/// Time until the slices are as short as in the second half; 0 if the first one is.
fn until_at_pace(slices: &[f64]) -> Option<f64> {
    let pace = median(&slices[slices.len() / 2..])?;
    let slow = slices.iter().take_while(|&&ns| ns > pace * AT_PACE);
    Some(slow.sum())
}

/// Windows of all CPUs together.
const WINDOWS: usize = 5;
/// Blocks between two looks at the time: some 10 µs.
const WORK: u64 = 200;

/// One CPU of all.
struct Worker(Vec<Chains>);

impl Hand for Worker {
    fn begin(&mut self, window: usize) {
        if window > 0 && window.is_multiple_of(WINDOWS) {
            self.0.remove(0);
        }
    }

    fn work(&mut self) -> u64 {
        let chains = &mut self.0[0];
        chains.run(WORK);
        WORK * chains.flops()
    }

    fn end(&mut self) -> Result<(), String> {
        self.0[0].check()
    }
}

/// Peak arithmetic of all CPUs at once.
fn together(bench: &mut Bench<'_>, widths: &[Width]) -> anyhow::Result<()> {
    let others = others(bench);
    let types = [Type::F32, Type::F64];
    // The widest mix that there is.
    let mix = |of: Type| {
        let mixes = widths.iter().rev().flat_map(|&w| [Op::FmaAdd, Op::MulAdd].map(|op| (w, op)));
        mixes.filter_map(|(w, op)| Some((w, Chains::new(w, op, of, Op::OWN_CHAINS)?))).next()
    };
    let length = bench.share(TOGETHER_SHARE) / (2 * WINDOWS) as u32;
    let hire = |_| Ok(Worker(types.into_iter().filter_map(|of| Some(mix(of)?.1)).collect()));
    let plan = (types.len() * WINDOWS, length.max(Duration::from_millis(2)));
    let seen = match crew::windows((bench.cpu, &others), &bench.timer, plan, hire) {
        Ok(seen) => seen,
        Err(reason) => {
            return few_threads(bench, "simd.peak.*_all_threads_gflops", reason);
        }
    };
    for (of, windows) in types.into_iter().zip(seen.chunks(WINDOWS)) {
        let wrong = windows.iter().flat_map(|w| &w.0).find_map(|share| share.wrong.clone());
        bench.check(wrong.is_none(), || wrong.unwrap_or_default())?;
        let Some((width, _)) = mix(of) else { continue };
        let labels = params([
            ("type", of.name().into()),
            ("width", width.name().into()),
            ("threads", (others.len() as u64 + 1).into()),
        ]);
        let point = window_point(bench, labels, windows);
        bench.emit(point)?;
    }
    Ok(())
}

/// The point of some windows.
fn window_point(bench: &Bench<'_>, labels: Params, windows: &[Window]) -> Point {
    let (used, state, disturbances) = crew::undisturbed(windows);
    let samples = used.iter().map(|window| 1.0 / window.rate()).collect();
    let point = bench.point("flop_together", labels, Unit::Ns, samples, state);
    Point { disturbances, ..point }
}

fn others(bench: &Bench<'_>) -> Vec<usize> {
    let cpus = bench.machine.allowed_cpus();
    cpus.iter().copied().filter(|&cpu| cpu != bench.cpu).collect()
}

/// This CPU's clock with all of them at multiply-adds of a width, against alone at scalar work.
fn clock_together(bench: &mut Bench<'_>, widths: &[Width]) -> anyhow::Result<()> {
    let (timer, others) = (bench.timer, others(bench));
    if others.is_empty() {
        return Ok(());
    }
    let moving = vector::Width::detect();
    let moves = |width: &&Width| moving.iter().any(|wide| wide.name() == width.name());
    let wide: Vec<Width> = widths.iter().filter(moves).copied().collect();
    let time = bench.share(CLOCK_SHARE) / (wide.len() as u32 + 1);
    let alone = clock_under(&timer, time, || {
        std::hint::black_box(chain::add(20_000));
    });
    for width in wide {
        let work = || Chains::new(width, Op::Fma, Type::F32, 12);
        let follow = |gang: &Gang, _| {
            let Some(mut chains) = work() else { return };
            while !gang.stopped() {
                chains.run(WORK);
            }
        };
        let Some(mut chains) = work() else { continue };
        let lead = |_: &Gang| clock_under(&timer, time, || chains.run(WORK));
        let together = match Gang::run(bench.cpu, &others, follow, lead) {
            Ok(together) => together,
            Err(error) => return few_threads(bench, "simd.clock.*", error.to_string()),
        };
        let ratio = together.zip(alone).map(|(t, a)| t / a);
        let labels = params([("width", width.name().into())]);
        let ratio = ratio.into_iter().collect();
        bench.record("clock_together_ratio", labels, Unit::Ratio, ratio)?;
    }
    Ok(())
}

/// Without a thread on every CPU, these metrics stay empty.
fn few_threads(bench: &mut Bench<'_>, metrics: &str, reason: String) -> anyhow::Result<()> {
    let threads = others(bench).len() + 1;
    bench.skip(Skip::new(
        format!("{threads} threads: {metrics}"),
        reason,
        "raise the limits on threads (ulimit -u, pids.max)",
    ))
}

/// The median clock in the second half of a stretch of work. It is read right after the work: the
/// clock of a licence lasts half a millisecond beyond it.
fn clock_under(timer: &Timer, time: Duration, mut work: impl FnMut()) -> Option<f64> {
    let began = Instant::now();
    let mut ghz = Vec::new();
    while began.elapsed() < time {
        let until = Instant::now() + Duration::from_micros(500);
        while Instant::now() < until {
            work();
        }
        if began.elapsed() > time / 2 {
            let bracket = clock::bracket(timer);
            // Beyond half a cycle an interrupt fell into one of the chains.
            ghz.extend((bracket.delay.abs() < 0.5).then_some(bracket.ghz));
        }
    }
    median(&ghz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_reached_when_slices_are_as_short_as_later() {
        let steady = [100.0; 40];
        assert_eq!(until_at_pace(&steady), Some(0.0));
        let mut slow = steady;
        slow[..12].fill(400.0);
        // A later interrupt is none of the beginning.
        slow[15] = 5000.0;
        assert_eq!(until_at_pace(&slow), Some(4800.0));
        assert_eq!(until_at_pace(&[]), None);
    }

    #[test]
    fn every_metric_of_an_instruction_is_measured() {
        for metric in METRICS.iter().filter(|m| m.id.matches('.').count() == 4) {
            let parts: Vec<&str> = metric.id.split('.').collect();
            let measured = GROUPS.iter().any(|(op, of, counts)| {
                let needs_one = parts[4] == "latency_cycles";
                parts[1] == op.name()
                    && parts[2] == of.name()
                    && (!needs_one || counts.contains(&1))
            });
            assert!(measured, "{}", metric.id);
        }
    }
}
