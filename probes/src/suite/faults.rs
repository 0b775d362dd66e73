//! Probes that go wrong on purpose, to prove that a run survives them. Never part of a run unless
//! named.
//!
//! Method: hang, crash, run what is no instruction, report a wrong answer, on one CPU or on all.
//! Blind spots: none; they measure nothing.
//! Expect: a `fail` row each, and all other probes measured.

use std::time::Duration;

use super::each_cpu::{self, Wrong};
use crate::harness::bench::{Arm, Bench, params};
use crate::probe::Probe;
use card::declare::{Declare, Estimator, Unit};

const fn fault(
    name: &'static str,
    summary: &'static str,
    run: fn(&mut Bench<'_>) -> anyhow::Result<()>,
) -> Probe {
    Probe { name, summary, needs: &[], uses: &[], seconds: 0.1, in_kernel: false, declare, run }
}

fn declare(d: &mut Declare) {
    d.quantity("before", Unit::Count, Estimator::Median);
}

/// Never comes back.
pub const HANGS: Probe = fault("fault-hang", "hangs until it is killed", |bench| {
    bench.record("before", params([]), Unit::Count, vec![1.0])?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
});

/// Dies after its first point.
pub const CRASHES: Probe = fault("fault-crash", "aborts after its first point", |bench| {
    bench.record("before", params([]), Unit::Count, vec![1.0])?;
    std::process::abort()
});

/// Ends by itself with an error.
pub const ERRS: Probe =
    fault("fault-error", "returns an error", |_| anyhow::bail!("this probe fails on purpose"));

/// Finds a wrong answer.
pub const WRONG_ANSWER: Probe =
    fault("fault-wrong-answer", "reports a wrong answer of a kernel", |bench| {
        bench.check(1 + 1 == 3, || "1 + 1 is not 3".into())
    });

/// Visits every CPU, and finds a wrong answer on the last.
pub const WRONG_CPU: Probe = Probe {
    declare: each_cpu::declare,
    ..fault("fault-wrong-cpu", "a kernel is wrong on the last CPU", |bench| {
        let wrong = bench.machine.allowed_cpus().last() == Some(&bench.cpu);
        let arm = wrong.then(|| Arm::of("before", params([]), Wrong));
        each_cpu::visit(bench, arm.into_iter().collect())
    })
};
