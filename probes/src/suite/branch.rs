//! What a mispredicted branch costs.
//!
//! Method: the same code on different outcomes. Every sample branches on random bits that never
//! come back, so that half of all predictions fail; alternating bits, as often taken, are learned
//! at once: twice the difference is the cost of one failure. (1) Pipeline penalty: each branch
//! waits for a chain of multiplications that waits for the branch before it. (2) Resolution delay: the
//! condition is held back by D more cycles; the line through the costs must rise by one cycle per
//! cycle, which shows that half the branches really fail, and meets D = 0 at the pipeline penalty.
//! (3) Effective cost: independent branches as programs have them, where the next ones overlap
//! with the failure. (4) Branches that are always or never taken, by themselves.
//! Blind spots: the refill is from the op cache; code beyond it pays more. Some machines have two
//! states of the penalty that change together in every kernel within seconds: both are given, with
//! the share of each.
//! Expect: pipeline penalty 11 to 20 cycles; slope 1; one or two taken branches a cycle.

use std::cell::{Cell, RefCell};
use std::io;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::code;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::branch;
use crate::probe::Probe;
use card::counters::Event;
use card::declare::{
    Better, Declare, Derive, Estimator, Mode, NoiseClass, Points, ReportOnly, Unit, at_most,
    between,
};

mod history;
mod indirect;
mod refill;
mod returns;
mod targets;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "branch",
    summary: "mispredict penalty, BTB and pattern history capacity, return address stack",
    needs: &[],
    uses: &[],
    seconds: 5.0,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("branch");
    let quantity = |d: &mut Declare, name| d.quantity(name, Unit::Ns, Estimator::LowerQuartile);
    let serial = Both::of(&quantity(d, "serial"));
    let delayed = Both::of(&quantity(d, "delayed"));
    let parallel = quantity(d, "parallel");
    let fixed = quantity(d, "fixed");

    let effective = Both::of(&parallel);
    d.cost(
        "branch.mispredict",
        NoiseClass::T2,
        twice(effective.random.mode(Mode::Fast) - effective.alternating.clone()),
        "mispredict penalty, throughput-effective (faster state)",
    );
    d.metric(
        "branch.mispredict_pipeline_cycles",
        NoiseClass::T2,
        twice(delayed.random.intercept(DELAY) - delayed.alternating.intercept(DELAY)),
        "mispredict penalty, pipeline: fit at zero resolution delay",
    );
    d.metric(
        "branch.mispredict_fit_slope_ratio",
        NoiseClass::T2,
        twice(delayed.random.slope(DELAY) - delayed.alternating.slope(DELAY)),
        "slope of the mispredict penalty fit; 1: half of the branches mispredict",
    )
    .better(Better::Lower);
    d.metric(
        "branch.mispredict_serial_cycles",
        NoiseClass::T2,
        twice(serial.random.mode(Mode::Fast) - serial.alternating.clone()),
        "mispredict penalty, pipeline: direct (faster state)",
    );
    d.metric(
        "branch.mispredict_serial_slow_cycles",
        NoiseClass::T2,
        twice(serial.random.mode(Mode::Slow) - serial.alternating.clone()),
        "mispredict penalty, pipeline: direct (slower state)",
    )
    .report_only(ReportOnly::Unsteady);
    d.metric(
        "branch.mispredict_slow_share_ratio",
        NoiseClass::T2,
        serial.random.slow_share(),
        "share of samples in the slower state of the mispredict penalty",
    )
    .better(Better::Lower);
    d.metric(
        "branch.predicted_cycles",
        NoiseClass::T2,
        effective.alternating.clone(),
        "predicted branch, alternating pattern, with its work",
    );
    d.metric(
        "branch.branch_free_cycles",
        NoiseClass::T2,
        parallel.with("pattern", BRANCH_FREE),
        "work of a predicted branch, without the branch",
    );
    d.metric(
        "branch.taken_cycles",
        NoiseClass::T2,
        fixed.with("direction", TAKEN),
        "taken branch with compare, 16 bytes apart",
    );
    d.metric(
        "branch.not_taken_cycles",
        NoiseClass::T2,
        fixed.with("direction", NOT_TAKEN),
        "not-taken branch with compare, 16 bytes apart",
    );
    effective
        .proofs(d, ["branch.mispredict_cycles", "branch.mispredict_ns", "branch.predicted_cycles"]);
    delayed.proofs(d, ["branch.mispredict_pipeline_cycles", "branch.mispredict_fit_slope_ratio"]);
    serial.proofs(d, ["branch.mispredict_serial_cycles", "branch.mispredict_serial_slow_cycles"]);

    indirect::declare(d);
    returns::declare(d);
    targets::declare(d);
    history::declare(d);
    refill::declare(d);
}

/// The same code on outcomes of which half fail, and on outcomes of which none does.
struct Both {
    random: Points,
    alternating: Points,
}

impl Both {
    fn of(points: &Points) -> Both {
        let with = |pattern: Pattern| points.with("pattern", pattern.name());
        Both { random: with(Pattern::Random), alternating: with(Pattern::Alternating) }
    }

    fn proofs<const N: usize>(self, d: &mut Declare, metrics: [&'static str; N]) {
        d.proof(metrics, self.random, Event::Mispredicts, between(0.48, 0.52));
        d.proof(metrics, self.alternating, Event::Mispredicts, at_most(0.01));
    }
}

/// The cost of one failure, where every second branch fails.
fn twice(difference: Derive) -> Derive {
    difference.times(2.0)
}

const DELAY: &str = "delay";
const BRANCH_FREE: &str = "branch_free";
const TAKEN: &str = "taken";
const NOT_TAKEN: &str = "not_taken";

const ALTERNATING_BITS: [u64; 2] = [0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA];

/// What the bits of a run look like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    Random,
    Alternating,
    /// Alternating, the other way round after so many words.
    Laps(u64),
    Never,
    Always,
}

impl Pattern {
    fn name(self) -> &'static str {
        match self {
            Pattern::Random => "random",
            Pattern::Alternating | Pattern::Laps(_) => "alternating",
            Pattern::Never => "never",
            Pattern::Always => "always",
        }
    }
}

/// The outcomes of one sample, made anew before each, so that nothing can be learned from the
/// samples before it.
pub(super) struct Outcomes {
    pattern: Pattern,
    pub(super) words: Vec<u64>,
    /// Clear bits in them.
    clear: u64,
    rng: fastrand::Rng,
}

impl Outcomes {
    pub(super) fn new(pattern: Pattern, rng: fastrand::Rng) -> RefCell<Outcomes> {
        RefCell::new(Outcomes { pattern, words: Vec::new(), clear: 0, rng })
    }

    pub(super) fn refill(&mut self, branches: u64) {
        let words = branches.div_ceil(branch::BLOCK);
        let (pattern, rng) = (self.pattern, &mut self.rng);
        self.words.clear();
        self.words.extend((0..words).map(|i| match pattern {
            Pattern::Random => rng.u64(..),
            // Each site of the unrolled kernel alternates too, not only the sequence.
            Pattern::Alternating => ALTERNATING_BITS[(i % 2) as usize],
            Pattern::Laps(words) => ALTERNATING_BITS[(i / words % 2) as usize],
            Pattern::Never => 0,
            Pattern::Always => u64::MAX,
        }));
        self.clear = self.words.iter().map(|w| u64::from(w.count_zeros())).sum();
    }
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // On a busy machine, what comes first takes the time of what comes last.
    if bench.round.is_multiple_of(2) {
        penalties(bench)?;
        made_code(bench)
    } else {
        made_code(bench)?;
        penalties(bench)
    }
}

fn penalties(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    serial(bench)?;
    delayed(bench)?;
    parallel(bench)?;
    fixed(bench)?;
    indirect::measure(bench)
}

fn made_code(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let done = sizes(bench);
    match done.as_ref().map_err(|e| e.downcast_ref::<io::Error>()) {
        Err(Some(refusal)) => bench.skip(code::refused(refusal).of(MADE_CODE)),
        _ => done,
    }
}

/// What needs code that is made at run time.
fn sizes(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    returns::measure(bench)?;
    targets::measure(bench)?;
    history::measure(bench)?;
    refill::measure(bench)
}

/// The metrics that are missing without it.
const MADE_CODE: [&str; 5] = [
    "branch.return_depth_entries",
    "branch.btb_*",
    "branch.learnable_entries",
    "branch.mispredict_op_cache_cycles",
    "branch.mispredict_beyond_*",
];

fn policy(bench: &Bench<'_>, share: f64) -> SamplingPlan {
    SamplingPlan { min_samples: 9, ..SamplingPlan::structural(bench.share(share)) }
}

/// No delay, looked at all through its share of the round: two states of the penalty last from a
/// tenth of a second to seconds, and a few milliseconds would meet only one.
fn serial(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = SamplingPlan { spread: true, ..policy(bench, 0.22) };
    compare(bench, "serial", &[0], &policy)
}

fn delayed(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = SamplingPlan { max_samples: 32, ..policy(bench, 0.22) };
    compare(bench, "delayed", &branch::DELAYS, &policy)
}

/// Random against alternating outcomes at each delay in multiplications, interleaved.
fn compare(
    bench: &mut Bench<'_>,
    quantity: &'static str,
    delays: &[u32],
    policy: &SamplingPlan,
) -> anyhow::Result<()> {
    let right = Cell::new(true);
    let cases: Vec<(u32, RefCell<Outcomes>)> = delays
        .iter()
        .flat_map(|&delay| [(delay, Pattern::Random), (delay, Pattern::Alternating)])
        .map(|(delay, pattern)| (delay, Outcomes::new(pattern, bench.rng.fork())))
        .collect();
    let arms = cases
        .iter()
        .map(|(delay, outcomes)| {
            let pattern = outcomes.borrow().pattern.name();
            let cycles = (f64::from(*delay) * bench.clock.multiply.cycles) as u64;
            let setting = params([("pattern", pattern.into()), (DELAY, cycles.into())]);
            let work = |_| {
                let chain = branch::serial(&outcomes.borrow().words, *delay);
                right.set(right.get() & (chain == 1));
            };
            Arm::new(quantity, setting, work)
                .in_blocks_of(branch::BLOCK)
                .prepared(|ops| outcomes.borrow_mut().refill(ops))
        })
        .collect();
    bench.interleave(arms, policy)?;
    bench.check(right.get(), || format!("the {quantity} branch kernel lost its chain"))
}

/// The five patterns through the same code, and the count without a branch.
fn parallel(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = policy(bench, 0.12);
    let right = Cell::new(true);
    let patterns = [Pattern::Random, Pattern::Alternating, Pattern::Never, Pattern::Always];
    let outcomes: Vec<RefCell<Outcomes>> =
        patterns.map(|p| Outcomes::new(p, bench.rng.fork())).into();
    let free = Outcomes::new(Pattern::Random, bench.rng.fork());
    let arm = |name: &str, kernel: fn(&[u64]) -> u64, outcomes| {
        let (outcomes, right): (&RefCell<Outcomes>, &Cell<bool>) = (outcomes, &right);
        let work = move |_| {
            let outcomes = outcomes.borrow();
            right.set(right.get() & (kernel(&outcomes.words) == outcomes.clear));
        };
        Arm::new("parallel", params([("pattern", name.into())]), work)
            .in_blocks_of(branch::BLOCK)
            .prepared(move |ops| outcomes.borrow_mut().refill(ops))
    };
    let mut arms: Vec<Arm<'_>> =
        patterns.iter().zip(&outcomes).map(|(p, o)| arm(p.name(), branch::parallel, o)).collect();
    arms.push(arm(BRANCH_FREE, branch::branch_free, &free));
    bench.interleave(arms, &policy)?;
    bench.check(right.get(), || "a wrong count of clear bits".into())
}

fn fixed(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = policy(bench, 0.06);
    let arm = |name: &str, kernel: fn(u64)| {
        Arm::new("fixed", params([("direction", name.into())]), kernel).in_blocks_of(branch::BLOCK)
    };
    let arms = vec![arm(TAKEN, branch::always_taken), arm(NOT_TAKEN, branch::never_taken)];
    bench.interleave(arms, &policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_outcomes_are_fresh_and_even() {
        let outcomes = Outcomes::new(Pattern::Random, fastrand::Rng::with_seed(2));
        let mut outcomes = outcomes.borrow_mut();
        outcomes.refill(64 * 1000);
        let first = outcomes.words.clone();
        outcomes.refill(64 * 1000);
        assert_eq!(outcomes.words.len(), 1000);
        assert!(first.iter().zip(&outcomes.words).all(|(a, b)| a != b));
        assert!((31_000..33_000).contains(&outcomes.clear));
    }

    #[test]
    fn alternating_outcomes_alternate_at_every_site() {
        let outcomes = Outcomes::new(Pattern::Alternating, fastrand::Rng::with_seed(2));
        let mut outcomes = outcomes.borrow_mut();
        outcomes.refill(128);
        assert_eq!(outcomes.words[0] ^ outcomes.words[1], u64::MAX);
        assert_eq!(outcomes.words[0] ^ (outcomes.words[0] << 1), u64::MAX);
    }
}
