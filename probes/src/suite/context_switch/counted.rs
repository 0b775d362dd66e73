//! Repetitions that count only if the scheduler did in them what they are about.

use std::io;
use std::time::Duration;

use crate::harness::bench::Bench;
use crate::harness::meter::{Meter, Reading};
use crate::sys::errno;
use card::declare::Unit;
use card::record::{Disturbances, Params, Point, PointState, Skip};

/// Switches per operation that a repetition must have had, of those it is about.
const ENOUGH: f64 = 0.95;

/// What a repetition is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum About {
    /// Both sides sleep once in each operation.
    Sleep,
    /// Nobody sleeps.
    NoSwitch,
    /// The operations that led to a switch, of both sides as often.
    OwnSwitches,
}

/// One repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Repetition {
    pub(super) ns: f64,
    /// Switches of this thread.
    pub(super) own: u64,
    /// Switches of the partner, or of the partner that had fewest.
    pub(super) partner: u64,
    /// It was moved to another CPU, or the host took its CPU.
    pub(super) spoiled: bool,
}

impl Repetition {
    pub(super) fn of(reading: &Reading, partner: u64) -> Repetition {
        let own = reading.usage.nvcsw + reading.usage.nivcsw;
        Repetition { ns: reading.ns, own, partner, spoiled: reading.migrated }
    }

    /// Time of an operation, if this repetition counts.
    fn time(&self, about: About, ops: u64) -> Option<f64> {
        let ops = ops as f64;
        let least = self.own.min(self.partner) as f64;
        let divisor = match about {
            _ if self.spoiled => return None,
            About::Sleep => (least >= ENOUGH * ops).then_some(ops),
            About::NoSwitch => {
                let most = (1.0 - ENOUGH) * ops;
                ((self.own + self.partner) as f64 <= most.max(1.0)).then_some(ops)
            }
            About::OwnSwitches => {
                // They take turns: each was switched out as often as the other.
                let own = self.own as f64;
                (least >= ((ENOUGH - 0.5) * ops).max(ENOUGH * own)).then_some(own)
            }
        };
        divisor.map(|d| self.ns / d)
    }
}

/// Runs so many operations, timed.
pub(super) type Repeat<'a> = dyn FnMut(&mut dyn Meter, u64) -> io::Result<Repetition> + 'a;

/// Something to repeat.
pub(super) struct Arm<'a> {
    pub(super) quantity: &'static str,
    pub(super) params: Params,
    pub(super) about: About,
    pub(super) repeat: Box<Repeat<'a>>,
    /// Operations of every repetition; `None` to find out how many fill its time.
    pub(super) ops: Option<u64>,
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Effort {
    /// Samples of an arm.
    pub(super) samples: usize,
    /// Time of all arms together.
    pub(super) time: Duration,
}

#[derive(Default)]
struct Taken {
    samples: Vec<f64>,
    own: u64,
    set_aside: u64,
    failed: Option<io::Error>,
}

/// Arms that lack samples may go on for so many times as many passes, and as much time.
const PATIENCE: usize = 2;

/// Samples without which a point is `noisy`.
const WANT: usize = 3;

/// Repeats all arms in turn, in a new order each time, and records a point for each.
pub(super) fn sample(
    bench: &mut Bench<'_>,
    arms: &mut [Arm<'_>],
    effort: Effort,
) -> anyhow::Result<()> {
    let each = effort.time.div_f64((arms.len() * effort.samples).max(1) as f64);
    let until = bench.meter.elapsed() + effort.time * PATIENCE as u32;
    let mut taken: Vec<Taken> = arms.iter().map(|_| Taken::default()).collect();
    let mut ops = vec![0; arms.len()];
    for (i, arm) in arms.iter_mut().enumerate() {
        match calibrate(bench.meter, arm, each) {
            Ok(found) => ops[i] = found,
            Err(e) => taken[i].failed = Some(e),
        }
    }
    let mut order: Vec<usize> = (0..arms.len()).collect();
    for pass in 0..PATIENCE * effort.samples {
        bench.rng.shuffle(&mut order);
        let lacking = |t: &Taken| t.failed.is_none() && t.samples.len() < effort.samples;
        if !taken.iter().any(lacking) || (pass >= WANT && bench.meter.elapsed() > until) {
            break;
        }
        for &i in &order {
            if !lacking(&taken[i]) {
                continue;
            }
            let steal = bench.meter.steal_ticks();
            match (arms[i].repeat)(bench.meter, ops[i]) {
                Ok(mut repetition) => {
                    repetition.spoiled |= bench.meter.steal_ticks() != steal;
                    taken[i].offer(&repetition, arms[i].about, ops[i]);
                }
                Err(e) => taken[i].failed = Some(e),
            }
        }
    }
    for ((arm, taken), ops) in arms.iter().zip(taken).zip(ops) {
        if let Some(error) = &taken.failed {
            bench.skip(Skip::new(need(arm.quantity, &arm.params), reason(error), remedy(error)))?;
        } else {
            let point = taken.point(bench, arm, ops);
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

/// What is missing without an arm, with the metrics that come of it.
fn need(quantity: &str, params: &Params) -> String {
    let metrics = super::metrics_of(quantity, params);
    let ids = if metrics.is_empty() { "pictures only".into() } else { metrics.join(", ") };
    format!("messages for {quantity} by {} ({ids})", words(params))
}

/// How many operations fill a repetition. Also warms up.
fn calibrate(meter: &mut dyn Meter, arm: &mut Arm<'_>, each: Duration) -> io::Result<u64> {
    let mut ops = arm.ops.unwrap_or(FIRST);
    loop {
        let ns = (arm.repeat)(meter, ops)?.ns.max(1.0);
        if arm.ops.is_some() {
            return Ok(ops);
        }
        // Short trials overrate the cost of an operation; grow by no more than 16.
        let factor = each.as_nanos() as f64 / ns;
        if factor < 4.0 {
            return Ok((ops as f64 * factor).max(FIRST as f64) as u64);
        }
        ops = (ops as f64 * factor.min(16.0)) as u64;
    }
}

/// Operations of the shortest repetition: of those between sleeping CPUs each may take 0.1 ms.
const FIRST: u64 = 4;

impl Taken {
    fn offer(&mut self, repetition: &Repetition, about: About, ops: u64) {
        self.own += repetition.own;
        match repetition.time(about, ops) {
            Some(ns) => self.samples.push(ns),
            None => self.set_aside += 1,
        }
    }

    fn point(self, bench: &Bench<'_>, arm: &Arm<'_>, ops: u64) -> Point {
        let few = self.samples.len() < WANT;
        let note = few.then(|| match arm.about {
            About::Sleep | About::OwnSwitches => format!(
                "{}: in {} of {} repetitions a task did not switch as often as it was to, or was \
                 disturbed",
                words(&arm.params),
                self.set_aside,
                self.set_aside + self.samples.len() as u64
            ),
            About::NoSwitch => format!(
                "{}: in {} of {} repetitions a task lost its CPU",
                words(&arm.params),
                self.set_aside,
                self.set_aside + self.samples.len() as u64
            ),
        });
        let state = if few { PointState::Noisy } else { PointState::Ok };
        let (nvcsw, rejected) = (self.own, self.set_aside);
        Point {
            ops,
            note,
            disturbances: Disturbances { nvcsw, rejected, ..Disturbances::default() },
            ..bench.point(arm.quantity, arm.params.clone(), Unit::Ns, self.samples, state)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::bench::params;

    fn slept(own: u64, partner: u64) -> Repetition {
        Repetition { ns: 1000.0, own, partner, spoiled: false }
    }

    #[test]
    fn what_is_missing_is_named_by_its_metrics() {
        let params = params([("how", "pipe".into()), ("place", "other_cpu".into())]);
        assert_eq!(
            need("spinning", &params),
            "messages for spinning by pipe, other_cpu \
             (context_switch.pipe.thread.other_cpu.spinning_round_trip_ns)"
        );
        let alone =
            super::super::metrics_of("without_switch", &[("how".into(), "futex".into())].into());
        assert_eq!(alone, ["context_switch.futex.direct_ns"]);
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
        assert_eq!(slept(100, 100).time(About::Sleep, 100), Some(10.0));
        assert_eq!(slept(95, 120).time(About::Sleep, 100), Some(10.0));
        assert_eq!(slept(94, 100).time(About::Sleep, 100), None);
        assert_eq!(slept(100, 94).time(About::Sleep, 100), None);
    }

    #[test]
    fn who_slept_does_not_count_as_spinning() {
        assert_eq!(slept(2, 3).time(About::NoSwitch, 100), Some(10.0));
        assert_eq!(slept(3, 3).time(About::NoSwitch, 100), None);
        assert_eq!(slept(1, 0).time(About::NoSwitch, 4), Some(250.0));
    }

    #[test]
    fn yields_are_divided_by_the_switches_they_led_to() {
        assert_eq!(slept(50, 53).time(About::OwnSwitches, 100), Some(20.0));
        assert_eq!(slept(40, 40).time(About::OwnSwitches, 100), None);
        assert_eq!(slept(90, 50).time(About::OwnSwitches, 100), None, "others had the CPU");
    }

    #[test]
    fn a_spoiled_repetition_never_counts() {
        let spoiled = Repetition { spoiled: true, ..slept(100, 100) };
        for about in [About::Sleep, About::NoSwitch, About::OwnSwitches] {
            assert_eq!(spoiled.time(about, 100), None);
        }
    }
}
