//! Jumps whose target is computed.
//!
//! Method: one jump to one of 16 targets, of random numbers that never come back, against the same
//! code with the same numbers in order, so that almost every jump goes where the last one went. The
//! difference is paid by 15 of 16 jumps.

use std::cell::{Cell, RefCell};

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::jumps::{self, TARGETS};
use card::counters::Event;
use card::declare::{Declare, Estimator, NoiseClass, Unit, at_most, between};

pub(super) fn declare(d: &mut Declare) {
    let jump = d.quantity("indirect", Unit::Ns, Estimator::LowerQuartile);
    let [random, constant] = [RANDOM, CONSTANT].map(|target| jump.with("target", target));
    d.cost(
        "branch.indirect_mispredict",
        NoiseClass::T2,
        (random.clone() - constant.clone()).times(OF_THE_WRONG),
        "indirect branch mispredict penalty",
    );
    d.metric(
        "branch.indirect_predicted_cycles",
        NoiseClass::T2,
        constant.clone(),
        "predicted indirect branch, one target, with its loop",
    );
    let mispredicted = ["branch.indirect_mispredict_cycles", "branch.indirect_mispredict_ns"];
    d.proof(mispredicted, random, Event::Mispredicts, between(0.9, 0.97));
    d.proof(mispredicted, constant, Event::Mispredicts, at_most(0.01));
}

/// Of 16 targets one is right by chance: 16/15.
const OF_THE_WRONG: f64 = 1.0667;

const RANDOM: &str = "random";
const CONSTANT: &str = "constant";

/// Numbers of the targets of one sample.
struct Numbers {
    random: bool,
    all: Vec<u8>,
    sum: u64,
    rng: fastrand::Rng,
}

impl Numbers {
    fn new(random: bool, rng: fastrand::Rng) -> RefCell<Numbers> {
        RefCell::new(Numbers { random, all: Vec::new(), sum: 0, rng })
    }

    fn name(&self) -> &'static str {
        if self.random { RANDOM } else { CONSTANT }
    }

    fn refill(&mut self, count: u64) {
        let (random, rng) = (self.random, &mut self.rng);
        let mut number = |i| if random { rng.u64(..TARGETS) } else { i * TARGETS / count };
        self.all.clear();
        self.all.extend((0..count).map(|i| number(i) as u8));
        self.sum = self.all.iter().map(|&n| u64::from(n)).sum();
    }
}

/// Of the round.
const SHARE: f64 = 0.04;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let policy = SamplingPlan {
        min_samples: 7,
        max_samples: 12,
        ..SamplingPlan::structural(bench.share(SHARE))
    };
    let right = Cell::new(true);
    let numbers = [true, false].map(|random| Numbers::new(random, bench.rng.fork()));
    let arms = numbers
        .iter()
        .map(|numbers| {
            let setting = params([("target", numbers.borrow().name().into())]);
            let work = |_| {
                let numbers = numbers.borrow();
                right.set(right.get() & (jumps::indirect(&numbers.all) == numbers.sum));
            };
            Arm::new("indirect", setting, work).prepared(|ops| numbers.borrow_mut().refill(ops))
        })
        .collect();
    bench.interleave(arms, &policy)?;
    bench.check(right.get(), || "indirect jumps went to wrong targets".into())
}
