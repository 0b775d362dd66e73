//! Which CPU a probe runs on.

use std::time::Duration;

use card::machine::Machine;

use crate::harness::clock::{CoreClock, Timer};
use crate::harness::multiply::Doubt;
use crate::kernel::timer::gaps;
use crate::threads::pinning::pin;

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
    /// Why nothing can be said of a sibling there.
    pub doubt: Option<Doubt>,
}

/// The counter where it keeps a constant rate, calibrated in a fifth of a second; else the
/// kernel's clock.
pub fn timer(machine: &Machine) -> Timer {
    match machine.cpu.invariant_tsc.known() {
        Some(true) => Timer::calibrate(Duration::from_millis(200)),
        _ => Timer::CLOCK,
    }
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
    decide(allowed, &looks(allowed, timer))
}

fn decide(allowed: &[usize], looks: &[Look]) -> Choice {
    let Some(best) = looks.iter().min_by(|a, b| (a.lost + a.busy).total_cmp(&(b.lost + b.busy)))
    else {
        return Choice {
            cpu: allowed.first().copied().unwrap_or(0),
            reason: "not pinned: sched_setaffinity is not permitted here (a seccomp filter?); \
                     samples that migrate are rejected"
                .into(),
            pinned: false,
        };
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
    Choice { cpu: best.cpu, reason, pinned: true }
}

/// The calling thread must be pinned to `cpu`.
fn look(cpu: usize, timer: &Timer) -> Look {
    let window = timer.units(Duration::from_millis(20).as_nanos() as f64);
    let gaps = gaps(|| timer.quick_stamp(), window, timer.units(1000.0), 0);
    let readings = 200;
    let clock = CoreClock::learn(*timer);
    let busy = (0..readings).filter(|_| clock.read().is_busy()).count();
    Look {
        cpu,
        lost: gaps.lost as f64 / gaps.observed.max(1) as f64,
        busy: busy as f64 / f64::from(readings),
        doubt: clock.multiply.doubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quieter_cpu_wins() {
        let look = |cpu, lost, busy| Look { cpu, lost, busy, doubt: None };
        let looks = [look(2, 0.01, 0.2), look(5, 0.02, 0.0)];
        let choice = decide(&[2, 5], &looks);
        assert_eq!(choice.cpu, 5);
        assert!(choice.reason.contains("2.00 %"), "{}", choice.reason);
    }

    #[test]
    fn without_permission_the_reason_says_so() {
        let choice = decide(&[3, 4], &[]);
        assert_eq!(choice.cpu, 3);
        assert!(choice.reason.contains("not permitted"));
    }

    #[test]
    fn one_allowed_cpu_is_no_choice() {
        let choice = decide(&[7], &[Look { cpu: 7, lost: 0.5, busy: 0.0, doubt: None }]);
        assert_eq!(choice.reason, "the only CPU of the affinity mask");
    }

    #[test]
    fn a_cpu_that_does_not_exist_cannot_be_pinned() {
        assert!(!pin(1_000_000_000));
    }
}
