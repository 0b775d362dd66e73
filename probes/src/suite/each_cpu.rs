//! Every CPU by itself: is one of them slower than its like, or wrong?
//!
//! Method: in each round a fresh process is pinned to each CPU in turn, in a new random order. It
//! reads the core's clock and what a multiplication takes, and times loads from L1, branches of which
//! half are mispredicted, and as many multiply-adds as the widest vectors give, all in the core's own
//! cycles; the answers of all kernels are checked.
//! Blind spots: a visit is a fifth of a second, so that what is slow or wrong now and then, or only
//! when hot, passes; caches beyond L1 and memory are not looked at. Where the kernel does not tell the
//! kinds of core apart, only what a multiplication takes does.
//! Expect: all CPUs of a server within 1 %, favoured cores of a desktop 2 to 10 % ahead, and no wrong
//! answer ever.

use std::cell::Cell;

use crate::harness::bench::{Arm, Bench, Kernel, params};
use crate::harness::clock::{ClockReading, settled_ghz};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::branch::{self, serial};
use crate::kernel::chase::{Order, Ring};
use crate::kernel::simd::{Chains, Op, Type, Width};
use crate::probe::Probe;
use crate::suite::branch::{Outcomes, Pattern};
use crate::suite::simd_compute::Counted;
use crate::sys::memory::Pages;
use crate::threads::{cpus, pinning};
use card::declare::{Better, Declare, Estimator, NoiseClass, Points, Unit};
use card::record::{Params, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "each-cpu",
    summary: "each CPU alone: clock, L1 latency, mispredict penalty, SIMD; results verified",
    needs: &[],
    uses: &[],
    // Of one CPU; with its start a visit takes less than 0.35 s, and five of them 1.7 s.
    seconds: 0.18,
    in_kernel: false,
    declare,
    run,
};

pub(super) fn declare(d: &mut Declare) {
    d.family("each-cpu");
    let ghz = d.quantity("core_ghz", Unit::Ghz, Estimator::Median);
    d.quantity("multiply", Unit::Cycles, Estimator::Median);
    let mut time = |name| d.quantity(name, Unit::Ns, Estimator::LowerQuartile);
    let times = [time("l1_load"), time("branch"), time("flop")];
    let mut ratio = |id: &'static str, noise, from: &Points, summary: &'static str| {
        let spread = from.lowest() / from.highest();
        d.metric(id, noise, spread, summary).better(Better::Higher);
    };
    let summary = "core clock of the slowest CPU ÷ fastest, each alone";
    ratio("each_cpu.core_ghz_ratio", NoiseClass::T2, &ghz, summary);
    for (id, noise, from, summary) in [
        ("each_cpu.l1_ratio", NoiseClass::T1, &times[0], "L1 latency, fastest CPU ÷ slowest"),
        (
            "each_cpu.branch_ratio",
            NoiseClass::T2,
            &times[1],
            "mispredicted branch, fastest CPU ÷ slowest",
        ),
        ("each_cpu.simd_ratio", NoiseClass::T2, &times[2], "SIMD cycles, fastest CPU ÷ slowest"),
    ] {
        ratio(id, noise, from, summary);
    }
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    visit(bench, Vec::new())
}

/// One visit to the CPU of this round, with these arms besides.
pub(super) fn visit(bench: &mut Bench<'_>, more: Vec<Arm<'_>>) -> anyhow::Result<()> {
    if let Err(why) = pinning::try_pin(bench.cpu) {
        let reason = format!("threads cannot be pinned here: {why}");
        return bench.skip(Skip::new("a thread on each CPU", reason, cpus::PINNING));
    }
    let here = params([("cpu", (bench.cpu as u64).into())]);
    bench.record("multiply", here.clone(), Unit::Cycles, vec![bench.clock.multiply.cycles])?;
    let readings: Vec<ClockReading> = (0..READINGS).map(|_| bench.clock.read()).collect();
    bench.record("core_ghz", here.clone(), Unit::Ghz, settled_ghz(&readings))?;

    let mut ring = Ring::with_capacity(RING, Pages::Small)?;
    ring.lay(RING, 64, Order::Random, &mut bench.rng);
    let outcomes = Outcomes::new(Pattern::Random, bench.rng.fork());
    let right = Cell::new(true);
    let l1_load = Arm::new("l1_load", here.clone(), |loads| ring.walk(loads)).in_blocks_of(64);
    let branches = Arm::new("branch", here.clone(), |_| {
        right.set(right.get() & (serial(&outcomes.borrow().words, 0) == 1));
    })
    .in_blocks_of(branch::BLOCK)
    .prepared(|branches| outcomes.borrow_mut().refill(branches));
    let mut arms = vec![l1_load, branches];
    arms.extend(vectors(here));
    arms.extend(more);
    let plan =
        SamplingPlan { min_samples: 3, max_samples: 16, ..SamplingPlan::structural(bench.left()) };
    bench.interleave(arms, &plan)?;
    bench.check(right.get(), || "a chain of branches lost its value".into())?;
    bench.check(ring.is_one_cycle(), || "a ring in L1 lost a link".into())
}

/// Of the clock, some 20 ms.
const READINGS: usize = 400;

/// One line a set: a larger ring can keep missing in a cache that it fits.
const RING: usize = 4 << 10;

/// As many multiply-adds as the widest vectors give.
fn vectors(here: Params) -> Option<Arm<'static>> {
    let widths = Width::detect();
    let kinds = [(Op::Fma, 12), (Op::MulAdd, Op::OWN_CHAINS)];
    let mut all = widths.iter().rev().flat_map(|&width| kinds.map(|(op, n)| (width, op, n)));
    let chains = all.find_map(|(width, op, n)| Chains::new(width, op, Type::F32, n))?;
    let block = chains.flops();
    Some(Arm::of("flop", here, Counted { chains, block }).in_blocks_of(block))
}

/// A kernel that is wrong on purpose: what a defective core would be caught by.
#[derive(Debug)]
pub(super) struct Wrong;

impl Kernel for Wrong {
    fn run(&mut self, _: u64) {}

    fn check(&mut self) -> Result<(), String> {
        Err("1 + 1 is not 3".into())
    }
}
