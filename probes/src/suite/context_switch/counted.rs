//! Trials that count only if the scheduler did in them what they are about.

use std::io;
use std::time::Duration;

use crate::harness::bench::Bench;
use crate::harness::meter::{Meter, Reading};
use crate::harness::sampling::{ClockHistory, Collector, Patience, SamplingPlan};
use crate::harness::turns::{Amount, Sampled, Taken};
use crate::sys::errno;
use card::declare::Unit;
use card::record::{Params, Point, PointState, Skip};

/// Switches per operation that a repetition must have had, of those it is to have.
const ENOUGH: f64 = 0.95;

/// What the scheduler must do in a repetition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expect {
    /// Both sides sleep once in each operation.
    Sleep,
    /// Nobody sleeps.
    NoSwitch,
    /// The operations that led to a switch, of both sides as often.
    OwnSwitches,
}

/// One repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Trial {
    pub(super) ns: f64,
    /// Switches of this thread.
    pub(super) own: u64,
    /// Switches of the partner, or of the partner that had fewest.
    pub(super) partner: u64,
    /// It was moved to another CPU, or the host took its CPU.
    pub(super) spoiled: bool,
}

impl Trial {
    pub(super) fn of(reading: &Reading, partner: u64) -> Trial {
        let own = reading.usage.nvcsw + reading.usage.nivcsw;
        Trial { ns: reading.ns, own, partner, spoiled: reading.migrated }
    }

    /// Time of an operation, if this repetition counts.
    fn time(&self, expect: Expect, ops: u64) -> Option<f64> {
        let ops = ops as f64;
        let least = self.own.min(self.partner) as f64;
        let divisor = match expect {
            _ if self.spoiled => return None,
            Expect::Sleep => (least >= ENOUGH * ops).then_some(ops),
            Expect::NoSwitch => {
                let most = (1.0 - ENOUGH) * ops;
                ((self.own + self.partner) as f64 <= most.max(1.0)).then_some(ops)
            }
            Expect::OwnSwitches => {
                // They take turns: each was switched out as often as the other.
                let own = self.own as f64;
                (least >= ((ENOUGH - 0.5) * ops).max(ENOUGH * own)).then_some(own)
            }
        };
        divisor.map(|d| self.ns / d)
    }
}

/// Runs so many operations, timed.
type Repeat<'a> = dyn FnMut(&mut dyn Meter, u64) -> io::Result<Trial> + 'a;

/// Something to repeat.
pub(super) struct Arm<'a> {
    pub(super) quantity: &'static str,
    pub(super) params: Params,
    pub(super) expect: Expect,
    repeat: Box<Repeat<'a>>,
    /// Operations of every repetition; `None` to find out how many fill its time.
    ops: Option<u64>,
    last: Option<Trial>,
}

impl<'a> Arm<'a> {
    pub(super) fn new(
        (quantity, params): (&'static str, Params),
        expect: Expect,
        repeat: impl FnMut(&mut dyn Meter, u64) -> io::Result<Trial> + 'a,
    ) -> Arm<'a> {
        Arm { quantity, params, expect, repeat: Box::new(repeat), ops: None, last: None }
    }

    /// So many operations in every repetition.
    pub(super) fn of(self, ops: u64) -> Arm<'a> {
        Arm { ops: Some(ops), ..self }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Samples {
    /// Samples of an arm.
    pub(super) samples: usize,
    /// Time of all arms together.
    pub(super) time: Duration,
}

/// Samples without which a point is `noisy`.
const WANT: usize = 3;

/// Arms that lack samples may go on for so many times as many passes.
const MAX_PASSES_FACTOR: usize = 2;

/// Operations of the shortest repetition: of those between sleeping CPUs each may take 0.1 ms.
const FIRST: u64 = 4;

impl Sampled for Arm<'_> {
    fn amount(&self) -> Amount {
        self.ops.map_or(Amount::Fill { first: FIRST, block: 1, least: FIRST }, Amount::Fixed)
    }

    fn take(&mut self, meter: &mut dyn Meter, ops: u64) -> io::Result<Reading> {
        if self.ops.is_some() && self.last.is_none() {
            // The others are warm from their calibration.
            (self.repeat)(meter, ops)?;
        }
        let steal = meter.steal_ticks();
        let mut trial = (self.repeat)(meter, ops)?;
        trial.spoiled |= meter.steal_ticks() != steal;
        self.last = Some(trial);
        Ok(Reading { ns: trial.ns, ..Reading::default() })
    }

    fn offer(
        &mut self,
        _: &Reading,
        ops: u64,
        _: (&SamplingPlan, &mut ClockHistory),
        collector: &mut Collector,
    ) -> bool {
        let Some(trial) = self.last else { return false };
        collector.disturbances.nvcsw += trial.own;
        collector.accept(trial.time(self.expect, ops))
    }
}

/// Repeats all arms in turn and records a point for each.
pub(super) fn sample(
    bench: &mut Bench<'_>,
    arms: &mut [Arm<'_>],
    effort: Samples,
) -> anyhow::Result<()> {
    let policy = SamplingPlan {
        min_samples: WANT,
        max_samples: effort.samples,
        sample: effort.time.div_f64((arms.len() * effort.samples).max(1) as f64),
        need_idle_sibling: false,
        need_steady_clock: false,
        patience: Patience::Both(MAX_PASSES_FACTOR * effort.samples),
        ..SamplingPlan::structural(effort.time)
    };
    let mut all: Vec<&mut dyn Sampled> =
        arms.iter_mut().map(|arm| arm as &mut dyn Sampled).collect();
    let taken = bench.take_turns(&mut all, &policy)?;
    for (arm, taken) in arms.iter().zip(taken) {
        if let Some(error) = &taken.refused {
            bench.skip(missing(arm.quantity, &arm.params, error))?;
        } else {
            let point = point(bench, arm, taken);
            bench.emit(point)?;
        }
    }
    Ok(())
}

/// What the kernel refused, for readers.
pub(super) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            format!("a limit on processes, threads or their memory is used up ({error})")
        }
        Some(libc::EPERM | libc::ENOSYS) => format!("it is not permitted here ({error})"),
        _ => error.to_string(),
    }
}

/// What helps against it.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        // A partner that ended at once was refused what ties its life to ours.
        Some(libc::EPERM | libc::ENOSYS) => CALLS,
        None if error.kind() != io::ErrorKind::OutOfMemory => CALLS,
        _ => errno::remedy(error),
    }
}

const CALLS: &str = "allow fork, clone, eventfd2 and prctl in the seccomp profile";

fn words(params: &Params) -> String {
    params.values().map(ToString::to_string).collect::<Vec<String>>().join(", ")
}

/// What is missing without an arm.
fn missing(quantity: &str, params: &Params, error: &io::Error) -> Skip {
    let need = format!("messages for {quantity} by {}", words(params));
    let skip = Skip::new(need, reason(error), remedy(error));
    skip.of(super::metrics_of(quantity, params))
}

fn point(bench: &Bench<'_>, arm: &Arm<'_>, Taken { ops, collector, .. }: Taken) -> Point {
    let few = collector.samples.len() < WANT;
    let note = few.then(|| {
        let what = match arm.expect {
            Expect::Sleep | Expect::OwnSwitches => {
                "a task did not switch as often as it was to, or was disturbed"
            }
            Expect::NoSwitch => "a task lost its CPU",
        };
        let (aside, all) = (collector.disturbances.rejected, collector.taken());
        format!("{}: in {aside} of {all} repetitions {what}", words(&arm.params))
    });
    let state = if few { PointState::Noisy } else { PointState::Ok };
    Point {
        ops,
        note,
        disturbances: collector.disturbances,
        ..bench.point(arm.quantity, arm.params.clone(), Unit::Ns, collector.samples, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::bench::params;

    fn slept(own: u64, partner: u64) -> Trial {
        Trial { ns: 1000.0, own, partner, spoiled: false }
    }

    #[test]
    fn what_is_missing_names_its_metrics() {
        let refused = io::Error::from_raw_os_error(libc::EPERM);
        let params = params([("how", "pipe".into()), ("place", "other_cpu".into())]);
        let skip = missing("spinning", &params, &refused);
        assert_eq!(skip.need, "messages for spinning by pipe, other_cpu");
        assert_eq!(skip.metrics, ["context_switch.pipe.thread.other_cpu.spinning_round_trip_ns"]);
        let alone = [("how".into(), "futex".into())].into();
        let skip = missing("without_switch", &alone, &refused);
        assert_eq!(skip.metrics, ["context_switch.futex.direct_ns"]);
    }

    #[test]
    fn remedies_are_those_of_the_limit() {
        let of = |code| remedy(&io::Error::from_raw_os_error(code));
        assert!(of(libc::ENOMEM).contains("memory.max"));
        assert!(of(libc::EMFILE).contains("ulimit -n"));
        assert!(of(libc::EAGAIN).contains("pids.max") && of(libc::EAGAIN).contains("ulimit -v"));
        assert!(of(libc::EPERM).contains("seccomp"));
        assert!(remedy(&io::Error::other("it ended at once")).contains("prctl"));
    }

    #[test]
    fn who_did_not_sleep_does_not_count() {
        assert_eq!(slept(100, 100).time(Expect::Sleep, 100), Some(10.0));
        assert_eq!(slept(95, 120).time(Expect::Sleep, 100), Some(10.0));
        assert_eq!(slept(94, 100).time(Expect::Sleep, 100), None);
        assert_eq!(slept(100, 94).time(Expect::Sleep, 100), None);
    }

    #[test]
    fn who_slept_does_not_count_as_spinning() {
        assert_eq!(slept(2, 3).time(Expect::NoSwitch, 100), Some(10.0));
        assert_eq!(slept(3, 3).time(Expect::NoSwitch, 100), None);
        assert_eq!(slept(1, 0).time(Expect::NoSwitch, 4), Some(250.0));
    }

    #[test]
    fn yields_are_divided_by_the_switches_they_led_to() {
        assert_eq!(slept(50, 53).time(Expect::OwnSwitches, 100), Some(20.0));
        assert_eq!(slept(40, 40).time(Expect::OwnSwitches, 100), None);
        assert_eq!(slept(90, 50).time(Expect::OwnSwitches, 100), None, "others had the CPU");
    }

    #[test]
    fn a_spoiled_repetition_never_counts() {
        let spoiled = Trial { spoiled: true, ..slept(100, 100) };
        for expect in [Expect::Sleep, Expect::NoSwitch, Expect::OwnSwitches] {
            assert_eq!(spoiled.time(expect, 100), None);
        }
    }
}
