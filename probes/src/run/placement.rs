//! Which CPU a probe runs on.

use std::time::Duration;

use card::machine::Machine;

use crate::harness::clock::{self, Timer};
use crate::kernel::timer::gaps;
use crate::threads::pinning::{pin, try_pin};

/// CPUs that are looked at before one is chosen; more would cost more time than it is worth.
const MOST_CANDIDATES: usize = 16;

/// The chosen CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its number.
    pub cpu: usize,
    /// Why, in words for the card.
    pub reason: String,
    /// Whether threads can be pinned to it.
    pub pinned: bool,
}

/// What was seen of a CPU in a few dozen milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Its number.
    pub cpu: usize,
    /// Share of time lost in gaps above 1 µs.
    pub lost: f64,
    /// Share of time in which a hyperthread sibling was at work.
    pub busy: f64,
}

/// The counter where it keeps a constant rate and the kernel has not found it unfit, calibrated in a
/// fifth of a second on one CPU, since those of two may differ; else the kernel's clock. Leaves the
/// thread pinned.
pub fn timer(machine: &Machine) -> Timer {
    let constant = machine.cpu.invariant_tsc.known() == Some(&true);
    if !constant || machine.withdrawn_counter().is_some() {
        return Timer::CLOCK;
    }
    machine.allowed_cpus().iter().find(|&&cpu| pin(cpu));
    Timer::calibrate(Duration::from_millis(200))
}

/// Looks at the allowed CPUs, an even choice of them on large machines, and leaves the thread
/// pinned to the last. Empty where pinning is not permitted.
pub fn looks(allowed: &[usize], timer: &Timer) -> Vec<Look> {
    let step = allowed.len().div_ceil(MOST_CANDIDATES).max(1);
    let candidates = allowed.iter().copied().step_by(step);
    candidates.filter(|&cpu| pin(cpu)).map(|cpu| look(cpu, timer)).collect()
}

/// Chooses the quietest of the allowed CPUs: least time lost to others, least often a busy
/// hyperthread sibling.
pub fn choose(allowed: &[usize], timer: &Timer) -> Choice {
    let (cpu, reason) = decide(allowed, &looks(allowed, timer));
    on(cpu, reason)
}

/// That CPU, if this thread can be pinned to it.
pub fn on(cpu: usize, reason: String) -> Choice {
    match try_pin(cpu) {
        Ok(()) => Choice { cpu, reason, pinned: true },
        Err(why) => Choice {
            cpu,
            reason: format!(
                "not pinned: {why} (a seccomp filter, a sandbox?); nothing is measured between \
                 CPUs, and samples that migrate are rejected"
            ),
            pinned: false,
        },
    }
}

fn decide(allowed: &[usize], looks: &[Look]) -> (usize, String) {
    let Some(best) = looks.iter().min_by(|a, b| (a.lost + a.busy).total_cmp(&(b.lost + b.busy)))
    else {
        return (allowed.first().copied().unwrap_or(0), "the first of the affinity mask".into());
    };
    let reason = if allowed.len() == 1 {
        "the only CPU of the affinity mask".into()
    } else {
        format!(
            "the quietest of {} looked at: {:.2} % of its time lost, sibling busy {:.0} % of it",
            looks.len(),
            best.lost * 100.0,
            best.busy * 100.0
        )
    };
    (best.cpu, reason)
}

/// The calling thread must be pinned to `cpu`.
fn look(cpu: usize, timer: &Timer) -> Look {
    let window = timer.units(Duration::from_millis(20).as_nanos() as f64);
    let gaps = gaps(|| timer.quick_stamp(), window, timer.units(1000.0), 0);
    let readings = 200;
    let busy = (0..readings).filter(|_| clock::reading(timer).is_busy()).count();
    Look {
        cpu,
        lost: gaps.lost as f64 / gaps.observed.max(1) as f64,
        busy: busy as f64 / f64::from(readings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quieter_cpu_wins() {
        let looks =
            [Look { cpu: 2, lost: 0.01, busy: 0.2 }, Look { cpu: 5, lost: 0.02, busy: 0.0 }];
        let (cpu, reason) = decide(&[2, 5], &looks);
        assert_eq!(cpu, 5);
        assert!(reason.contains("2.00 %"), "{reason}");
    }

    #[test]
    fn a_cpu_that_cannot_be_pinned_to_says_why() {
        assert_eq!(decide(&[3, 4], &[]).0, 3);
        let choice = on(1_000_000_000, "chosen".into());
        let why = "not pinned: sched_setaffinity: Invalid argument";
        assert!(!choice.pinned && choice.reason.starts_with(why), "{}", choice.reason);
    }

    #[test]
    fn one_allowed_cpu_is_no_choice() {
        let (_, reason) = decide(&[7], &[Look { cpu: 7, lost: 0.5, busy: 0.0 }]);
        assert_eq!(reason, "the only CPU of the affinity mask");
    }
}
