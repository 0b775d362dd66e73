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
use std::rc::Rc;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::Policy;
use crate::kernel::branch;
use crate::probe::{
    Better, Derive, Estimator, Metric, Mode, Probe, Select, Text, Tier, Unit, metric, select, text,
};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "branch",
    summary: "mispredict penalty (pipeline and effective), cost of taken and not-taken branches",
    needs: &[],
    uses: &[],
    seconds: 3.2,
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
    ],
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

/// What the bits of a run look like.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    Random,
    Alternating,
    Never,
    Always,
}

impl Pattern {
    fn name(self) -> &'static str {
        match self {
            Pattern::Random => "random",
            Pattern::Alternating => "alternating",
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
    rng: fastrand::Rng,
}

impl Outcomes {
    fn new(pattern: Pattern, rng: fastrand::Rng) -> RefCell<Outcomes> {
        RefCell::new(Outcomes { pattern, words: Vec::new(), rng })
    }

    fn refill(&mut self, branches: u64) {
        let words = branches.div_ceil(branch::BLOCK);
        let (pattern, rng) = (self.pattern, &mut self.rng);
        self.words.clear();
        self.words.extend((0..words).map(|i| match pattern {
            Pattern::Random => rng.u64(..),
            // Each site of the unrolled kernel alternates too, not only the sequence.
            Pattern::Alternating if i % 2 == 0 => 0x5555_5555_5555_5555,
            Pattern::Alternating => 0xAAAA_AAAA_AAAA_AAAA,
            Pattern::Never => 0,
            Pattern::Always => u64::MAX,
        }));
    }

    fn clear_bits(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_zeros())).sum()
    }
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    serial(bench)?;
    delayed(bench)?;
    parallel(bench)?;
    fixed(bench)
}

fn policy(bench: &Bench<'_>, share: f64) -> Policy {
    Policy { want: 9, ..Policy::structural(bench.share(share)) }
}

/// No delay, looked at all through its share of the round: two states of the penalty last from a
/// tenth of a second to seconds, and a few milliseconds would meet only one.
fn serial(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = Policy { spaced: true, ..policy(bench, 0.35) };
    compare(bench, "serial", &[0], &policy)
}

fn delayed(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = Policy { most: 32, ..policy(bench, 0.35) };
    compare(bench, "delayed", &branch::DELAYS, &policy)
}

/// Random against alternating outcomes at each delay, interleaved.
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
            let setting =
                params([("pattern", pattern.into()), ("delay", u64::from(*delay).into())]);
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
    let policy = policy(bench, 0.2);
    let wrong = Cell::new(None);
    let patterns = [Pattern::Random, Pattern::Alternating, Pattern::Never, Pattern::Always];
    let outcomes: Vec<RefCell<Outcomes>> =
        patterns.map(|p| Outcomes::new(p, bench.rng.fork())).into();
    let free = Outcomes::new(Pattern::Random, bench.rng.fork());
    let arm = |name: &str, kernel: fn(&[u64]) -> u64, outcomes| {
        let outcomes: &RefCell<Outcomes> = outcomes;
        let counted = Rc::new(Cell::new(None));
        let (said, wrong) = (counted.clone(), &wrong);
        let check = move |outcomes: &Outcomes| {
            if let Some(count) = counted.take()
                && count != outcomes.clear_bits()
            {
                wrong.set(Some(count));
            }
        };
        let work = move |_| said.set(Some(kernel(&outcomes.borrow().words)));
        // The count of the sample before is checked outside the timed region.
        Arm::new("parallel", params([("pattern", name.into())]), work)
            .in_blocks_of(branch::BLOCK)
            .prepared(move |ops| {
                check(&outcomes.borrow());
                outcomes.borrow_mut().refill(ops);
            })
    };
    let mut arms: Vec<Arm<'_>> =
        patterns.iter().zip(&outcomes).map(|(p, o)| arm(p.name(), branch::parallel, o)).collect();
    arms.push(arm("branch_free", branch::branch_free, &free));
    bench.interleave(arms, &policy)?;
    bench.check(wrong.get().is_none(), || format!("a wrong count of clear bits: {wrong:?}"))
}

fn fixed(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = policy(bench, 0.1);
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
        assert!((31_000..33_000).contains(&outcomes.clear_bits()));
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
