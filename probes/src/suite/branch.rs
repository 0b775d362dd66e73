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

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::code;
use crate::harness::sampling::Policy;
use crate::kernel::{branch, chain};
use crate::probe::Probe;
use card::counters::Event;
use card::declare::{
    Better, Derive, Estimator, Metric, Mode, Proof, Select, Text, Tier, Unit, metric, select, text,
};

mod history;
mod indirect;
mod refill;
mod returns;
mod targets;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "branch",
    summary: "mispredict penalty (pipeline and effective), cost of taken and not-taken branches",
    needs: &[],
    uses: &[],
    seconds: 5.0,
    metrics: &[
        effective("branch.mispredict_cycles", Unit::Cycles),
        effective("branch.mispredict_ns", Unit::Ns),
        branch_metric(
            "branch.mispredict_pipeline_cycles",
            "pipeline penalty from condition ready to the next dependent operation: the fit at no delay",
            Unit::Cycles,
            Derive::Times(2.0, Cow::Borrowed(FIT_INTERCEPT)),
        ),
        branch_metric(
            "branch.mispredict_fit_slope_ratio",
            "cycles of penalty per cycle of resolution delay; 1 when half the branches fail",
            Unit::Ratio,
            Derive::Times(2.0, Cow::Borrowed(FIT_SLOPE)),
        ),
        branch_metric(
            "branch.mispredict_serial_cycles",
            "pipeline penalty measured directly, without delay; the faster state if there are two",
            Unit::Cycles,
            Derive::Times(2.0, Cow::Borrowed(SERIAL_FAST)),
        ),
        branch_metric(
            "branch.mispredict_serial_slow_cycles",
            "pipeline penalty measured directly, in the slower of two states",
            Unit::Cycles,
            Derive::Times(2.0, Cow::Borrowed(SERIAL_SLOW)),
        ),
        branch_metric(
            "branch.mispredict_slow_share_ratio",
            "share of the samples in the slower state of the penalty",
            Unit::Ratio,
            Derive::SlowShare(SERIAL_RANDOM),
        ),
        branch_metric(
            "branch.predicted_cycles",
            "one branch of an alternating pattern, predicted right: what it costs with its work",
            Unit::Cycles,
            PARALLEL_ALTERNATING,
        ),
        branch_metric(
            "branch.branch_free_cycles",
            "the same work without a branch",
            Unit::Cycles,
            Derive::Value(select("parallel", BRANCH_FREE), Estimator::LowerQuartile),
        ),
        branch_metric(
            "branch.taken_cycles",
            "one branch that is always taken, with its compare, 16 bytes apart",
            Unit::Cycles,
            Derive::Value(select("fixed", TAKEN), Estimator::LowerQuartile),
        ),
        branch_metric(
            "branch.not_taken_cycles",
            "one branch that is never taken, with its compare, 16 bytes apart",
            Unit::Cycles,
            Derive::Value(select("fixed", NOT_TAKEN), Estimator::LowerQuartile),
        ),
        indirect("branch.indirect_mispredict_cycles", Unit::Cycles),
        indirect("branch.indirect_mispredict_ns", Unit::Ns),
        branch_metric(
            "branch.indirect_predicted_cycles",
            "an indirect jump to the same place as before, with its loop",
            Unit::Cycles,
            SAME_TARGET,
        ),
        entries(
            "branch.return_depth_entries",
            "calls within calls whose returns are all predicted",
            Derive::LastBefore(select("call", &[]), text("depth"), 0.3),
        ),
        entries(
            "branch.btb_l1_entries",
            "jumps that the core follows at full speed",
            Derive::LastBefore(select("jump", SPACED), text("jumps"), 0.04),
        ),
        entries(
            "branch.btb_l2_entries",
            "jumps that the core follows without decoding them first",
            Derive::Crossing(select("jump", SPACED), text("jumps"), 0.35),
        ),
        metric(
            "branch.learnable_entries",
            "random outcomes of one branch that come again and are known by heart: under 1 % failures",
            Unit::Count,
            Better::Higher,
            Tier::T2,
            "branch",
            Derive::Crossing(select("history", ONE_BRANCH), text("length"), 0.02),
        ),
        refilled(
            "branch.mispredict_op_cache_cycles",
            "effective cost of a mispredicted branch that leads to another line of a small code",
            REFILL_OP_CACHE,
        ),
        refilled(
            "branch.mispredict_beyond_op_cache_cycles",
            "the same in code that has to be decoded each time",
            REFILL_L1I,
        ),
        refilled(
            "branch.mispredict_beyond_l1i_cycles",
            "the same in code that does not fit into the first-level cache",
            REFILL_L2,
        ),
    ],
    // Half of the random branches fail, and none of those that alternate.
    proofs: &[
        Proof::between(EFFECTIVE_IDS, PARALLEL_RANDOM, Event::Mispredicts, 0.48, 0.52),
        Proof::at_most(EFFECTIVE_IDS, PARALLEL_ORDER, None, Event::Mispredicts, 0.01),
        Proof::between(FIT_IDS, DELAYED_RANDOM, Event::Mispredicts, 0.48, 0.52),
        Proof::at_most(FIT_IDS, DELAYED_ORDER, None, Event::Mispredicts, 0.01),
        Proof::between(SERIAL_IDS, SERIAL_RANDOM, Event::Mispredicts, 0.48, 0.52),
        Proof::at_most(SERIAL_IDS, SERIAL_ORDER, None, Event::Mispredicts, 0.01),
        // Of 16 targets one is right by chance.
        Proof::between(INDIRECT_IDS, INDIRECT_RANDOM, Event::Mispredicts, 0.9, 0.97),
        Proof::at_most(INDIRECT_IDS, INDIRECT_ORDER, None, Event::Mispredicts, 0.01),
    ],
    in_kernel: false,
    declare: |_| (),
    run,
};

const fn branch_metric(
    id: &'static str,
    summary: &'static str,
    unit: Unit,
    from: Derive,
) -> Metric {
    metric(id, summary, unit, Better::Lower, Tier::T2, "branch", from)
}

const fn effective(id: &'static str, unit: Unit) -> Metric {
    let summary = "effective cost of a mispredicted branch, the next ones overlapping; the faster state if two";
    branch_metric(id, summary, unit, Derive::Times(2.0, Cow::Borrowed(EFFECTIVE)))
}

const fn entries(id: &'static str, summary: &'static str, from: Derive) -> Metric {
    metric(id, summary, Unit::Count, Better::Same, Tier::T1, "branch", from)
}

/// Of 16 targets one is right by chance: 16/15.
const OF_THE_WRONG: f64 = 1.0667;

const fn indirect(id: &'static str, unit: Unit) -> Metric {
    let summary = "cost of an indirect jump to another place than predicted";
    branch_metric(id, summary, unit, Derive::Times(OF_THE_WRONG, Cow::Borrowed(INDIRECT)))
}

const fn refilled(id: &'static str, summary: &'static str, from: &'static [Derive]) -> Metric {
    branch_metric(id, summary, Unit::Cycles, Derive::Times(2.0, Cow::Borrowed(from)))
}

const EFFECTIVE_IDS: &[Text] = &[
    text("branch.mispredict_cycles"),
    text("branch.mispredict_ns"),
    text("branch.predicted_cycles"),
];
const FIT_IDS: &[Text] =
    &[text("branch.mispredict_pipeline_cycles"), text("branch.mispredict_fit_slope_ratio")];
const SERIAL_IDS: &[Text] =
    &[text("branch.mispredict_serial_cycles"), text("branch.mispredict_serial_slow_cycles")];
const INDIRECT_IDS: &[Text] =
    &[text("branch.indirect_mispredict_cycles"), text("branch.indirect_mispredict_ns")];
const PARALLEL_RANDOM: Select = select("parallel", RANDOM_ONLY);
const PARALLEL_ORDER: Select = select("parallel", ALTERNATING_ONLY);
const DELAYED_RANDOM: Select = select("delayed", RANDOM_ONLY);
const DELAYED_ORDER: Select = select("delayed", ALTERNATING_ONLY);
const SERIAL_ORDER: Select = select("serial", ALTERNATING_ONLY);
const INDIRECT_RANDOM: Select = select("indirect", RANDOM_TARGET);
const INDIRECT_ORDER: Select = select("indirect", CONSTANT_TARGET);
const SPACED: &[(Text, Text)] = &[(text("spacing"), text("16"))];
const ONE_BRANCH: &[(Text, Text)] = &[(text("branches"), text("1"))];
const RANDOM_TARGET: &[(Text, Text)] = &[(text("target"), text("random"))];
const CONSTANT_TARGET: &[(Text, Text)] = &[(text("target"), text("constant"))];
const SAME_TARGET: Derive =
    Derive::Value(select("indirect", CONSTANT_TARGET), Estimator::LowerQuartile);
const INDIRECT: &[Derive] = &[Derive::Difference(Cow::Borrowed(&[
    Derive::Value(select("indirect", RANDOM_TARGET), Estimator::LowerQuartile),
    SAME_TARGET,
]))];

const REFILL_OP_CACHE: &[Derive] =
    &[Derive::Difference(Cow::Borrowed(&[refill(OP_CACHE_RANDOM), refill(OP_CACHE_ALTERNATING)]))];
const OP_CACHE_RANDOM: &[(Text, Text)] = &[(text("code"), text("op_cache")), RANDOM];
const OP_CACHE_ALTERNATING: &[(Text, Text)] = &[(text("code"), text("op_cache")), ALTERNATING];
const REFILL_L1I: &[Derive] =
    &[Derive::Difference(Cow::Borrowed(&[refill(L1I_RANDOM), refill(L1I_ALTERNATING)]))];
const L1I_RANDOM: &[(Text, Text)] = &[(text("code"), text("l1i")), RANDOM];
const L1I_ALTERNATING: &[(Text, Text)] = &[(text("code"), text("l1i")), ALTERNATING];
const REFILL_L2: &[Derive] =
    &[Derive::Difference(Cow::Borrowed(&[refill(L2_RANDOM), refill(L2_ALTERNATING)]))];
const L2_RANDOM: &[(Text, Text)] = &[(text("code"), text("l2")), RANDOM];
const L2_ALTERNATING: &[(Text, Text)] = &[(text("code"), text("l2")), ALTERNATING];

const fn refill(params: &'static [(Text, Text)]) -> Derive {
    Derive::Value(select("refill", params), Estimator::Median)
}

const RANDOM: (Text, Text) = (text("pattern"), text("random"));
const ALTERNATING: (Text, Text) = (text("pattern"), text("alternating"));
const RANDOM_ONLY: &[(Text, Text)] = &[RANDOM];
const ALTERNATING_ONLY: &[(Text, Text)] = &[ALTERNATING];
const BRANCH_FREE: &[(Text, Text)] = &[(text("pattern"), text("branch_free"))];
const TAKEN: &[(Text, Text)] = &[(text("direction"), text("taken"))];
const NOT_TAKEN: &[(Text, Text)] = &[(text("direction"), text("not_taken"))];

const PARALLEL_ALTERNATING: Derive =
    Derive::Value(select("parallel", ALTERNATING_ONLY), Estimator::LowerQuartile);
const SERIAL_RANDOM: Select = select("serial", RANDOM_ONLY);
const SERIAL_ALTERNATING: Derive =
    Derive::Value(select("serial", ALTERNATING_ONLY), Estimator::LowerQuartile);

const EFFECTIVE: &[Derive] = &[Derive::Difference(Cow::Borrowed(PARALLEL))];
const PARALLEL: &[Derive] =
    &[Derive::ModeValue(select("parallel", RANDOM_ONLY), Mode::Fast), PARALLEL_ALTERNATING];
const SERIAL_FAST: &[Derive] = &[Derive::Difference(Cow::Borrowed(&[
    Derive::ModeValue(SERIAL_RANDOM, Mode::Fast),
    SERIAL_ALTERNATING,
]))];
const SERIAL_SLOW: &[Derive] = &[Derive::Difference(Cow::Borrowed(&[
    Derive::ModeValue(SERIAL_RANDOM, Mode::Slow),
    SERIAL_ALTERNATING,
]))];
const DELAY: Text = text("delay");
const FIT_SLOPE: &[Derive] = &[Derive::Difference(Cow::Borrowed(&[
    Derive::Slope(select("delayed", RANDOM_ONLY), DELAY),
    Derive::Slope(select("delayed", ALTERNATING_ONLY), DELAY),
]))];
const FIT_INTERCEPT: &[Derive] = &[Derive::Difference(Cow::Borrowed(&[
    Derive::Intercept(select("delayed", RANDOM_ONLY), DELAY),
    Derive::Intercept(select("delayed", ALTERNATING_ONLY), DELAY),
]))];

const ALTERNATING_BITS: [u64; 2] = [0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA];

/// What the bits of a run look like.
#[derive(Clone, Copy, Debug)]
enum Pattern {
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
struct Outcomes {
    pattern: Pattern,
    words: Vec<u64>,
    /// Clear bits in them.
    clear: u64,
    rng: fastrand::Rng,
}

impl Outcomes {
    fn new(pattern: Pattern, rng: fastrand::Rng) -> RefCell<Outcomes> {
        RefCell::new(Outcomes { pattern, words: Vec::new(), clear: 0, rng })
    }

    fn refill(&mut self, branches: u64) {
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
        Err(Some(refusal)) => bench.skip(code::refused(NEED_CODE, refusal)),
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
const NEED_CODE: &str = "branch.return_depth_entries, branch.btb_l1_entries, branch.btb_l2_entries, \
                         branch.learnable_entries, branch.mispredict_op_cache_cycles, \
                         branch.mispredict_beyond_op_cache_cycles, \
                         branch.mispredict_beyond_l1i_cycles";

fn policy(bench: &Bench<'_>, share: f64) -> Policy {
    Policy { want: 9, ..Policy::structural(bench.share(share)) }
}

/// No delay, looked at all through its share of the round: two states of the penalty last from a
/// tenth of a second to seconds, and a few milliseconds would meet only one.
fn serial(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = Policy { spaced: true, ..policy(bench, 0.22) };
    compare(bench, "serial", &[0], &policy)
}

fn delayed(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = Policy { most: 32, ..policy(bench, 0.22) };
    compare(bench, "delayed", &branch::DELAYS, &policy)
}

/// Random against alternating outcomes at each delay in multiplications, interleaved.
fn compare(
    bench: &mut Bench<'_>,
    quantity: &'static str,
    delays: &[u32],
    policy: &Policy,
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
            let cycles = (f64::from(*delay) * chain::mul_cycles()) as u64;
            let setting = params([("pattern", pattern.into()), ("delay", cycles.into())]);
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
    arms.push(arm("branch_free", branch::branch_free, &free));
    bench.interleave(arms, &policy)?;
    bench.check(right.get(), || "a wrong count of clear bits".into())
}

fn fixed(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = policy(bench, 0.06);
    let arm = |name: &str, kernel: fn(u64)| {
        Arm::new("fixed", params([("direction", name.into())]), kernel).in_blocks_of(branch::BLOCK)
    };
    let arms = vec![arm("taken", branch::always_taken), arm("not_taken", branch::never_taken)];
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
