//! Which CPU a probe runs on.

use std::time::Duration;

use card::machine::Machine;

use crate::harness::clock::{CoreClock, Timer};
use crate::harness::multiply::Doubt;
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
    /// Why nothing can be said of a sibling there.
    pub doubt: Option<Doubt>,
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

/// Chooses the quietest of the allowed CPUs of the most capable kind: least time lost to others,
/// least often a busy hyperthread sibling.
pub fn choose(machine: &Machine, timer: &Timer) -> Choice {
    let (cpu, reason) = decide(machine, &looks(&machine.most_capable(), timer));
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

/// Which kind of core that is, where there are several; for a line that names the CPU.
pub fn kind(machine: &Machine, cpu: usize) -> Option<String> {
    let kind = machine.kind_of(cpu)?;
    Some(format!("{}, one of {} kinds of core", kind.name, machine.kinds().len()))
}

fn decide(machine: &Machine, looks: &[Look]) -> (usize, String) {
    let allowed = machine.allowed_cpus();
    let Some(best) = looks.iter().min_by(|a, b| (a.lost + a.busy).total_cmp(&(b.lost + b.busy)))
    else {
        let first = machine.most_capable().first().copied().unwrap_or(0);
        return (first, "the first of the affinity mask".into());
    };
    let kind = kind(machine, best.cpu);
    let reason = if allowed.len() == 1 {
        let kind = kind.map(|kind| format!(", a {kind}")).unwrap_or_default();
        format!("the only CPU of the affinity mask{kind}")
    } else {
        let kind = kind.map(|kind| format!(" of the most capable kind ({kind})"));
        format!(
            "the quietest of {} looked at{}: {:.2} % of its time lost, SMT sibling active {:.0} % of it",
            looks.len(),
            kind.unwrap_or_default(),
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
    use card::machine::{CoreKind, Fact};

    use super::*;

    fn machine(allowed: &[usize]) -> Machine {
        let mut machine = Machine::default();
        machine.limits.allowed_cpus = allowed.to_vec();
        machine
    }

    fn look(cpu: usize, lost: f64, busy: f64) -> Look {
        Look { cpu, lost, busy, doubt: None }
    }

    #[test]
    fn the_quieter_cpu_wins() {
        let looks = [look(2, 0.01, 0.2), look(5, 0.02, 0.0)];
        let (cpu, reason) = decide(&machine(&[2, 5]), &looks);
        assert_eq!(cpu, 5);
        assert!(reason.contains("2.00 %"), "{reason}");
    }

    #[test]
    fn the_kind_of_core_is_said_where_there_are_several() {
        let mut machine = machine(&[2, 5]);
        let kind = |name: &str, cpus: &[usize]| CoreKind {
            name: name.into(),
            cpus: cpus.to_vec(),
            ..CoreKind::default()
        };
        machine.cpu.kinds = Fact::Known(vec![kind("Cortex-X925", &[5]), kind("Cortex-A725", &[2])]);
        assert_eq!(machine.most_capable(), [5]);
        let (_, reason) = decide(&machine, &[look(5, 0.0, 0.0)]);
        let said = "the quietest of 1 looked at of the most capable kind (Cortex-X925, one of 2 kinds \
                    of core): ";
        assert!(reason.starts_with(said), "{reason}");
        // What may be used decides before what is capable.
        machine.limits.allowed_cpus = vec![2];
        assert_eq!(machine.most_capable(), [2]);
        let (_, reason) = decide(&machine, &[look(2, 0.0, 0.0)]);
        let said = "the only CPU of the affinity mask, a Cortex-A725, one of 2 kinds of core";
        assert_eq!(reason, said);
    }

    #[test]
    fn a_cpu_that_cannot_be_pinned_to_says_why() {
        assert_eq!(decide(&machine(&[3, 4]), &[]).0, 3);
        let choice = on(1_000_000_000, "chosen".into());
        let why = "not pinned: sched_setaffinity: Invalid argument";
        assert!(!choice.pinned && choice.reason.starts_with(why), "{}", choice.reason);
    }

    #[test]
    fn one_allowed_cpu_is_no_choice() {
        let (_, reason) = decide(&machine(&[7]), &[look(7, 0.5, 0.0)]);
        assert_eq!(reason, "the only CPU of the affinity mask");
    }
}
