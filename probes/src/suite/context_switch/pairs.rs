//! Two tasks that answer each other.

use std::collections::BTreeMap;
use std::io;

use super::counted::{self, Arm, Expect, Samples, Trial};
use crate::harness::bench::{Bench, Effort, params};
use crate::harness::clock::Timer;
use crate::harness::meter::Meter;
use crate::harness::need::Need;
use crate::sys::ipc::yield_now;
use crate::threads::cpus;
use crate::threads::partner::{Alone, Kind, Mechanism, Partner, Waiting, Yielded};
use card::estimate::median;
use card::machine::{Machine, Relation};
use card::record::{Params, Skip};

/// Where the partner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    SameCpu,
    Sibling,
    OtherCpu,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Place::SameCpu => "same_cpu",
            Place::Sibling => "sibling",
            Place::OtherCpu => "other_cpu",
        }
    }
}

pub(super) fn run(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    let mut places = vec![(Place::SameCpu, bench.cpu)];
    match sibling(bench, cpus) {
        Ok(cpu) => places.push((Place::Sibling, cpu)),
        Err(unmet) => bench.skip(unmet)?,
    }
    match other(bench, cpus) {
        Some(cpu) => places.push((Place::OtherCpu, cpu)),
        None => {
            let skip = no_other(bench.machine, bench.cpu, cpus);
            bench.skip(skip.of(["context_switch.*.other_cpu.*", "context_switch.wakeup*"]))?;
        }
    }
    let mut team = Team::default();
    // Processes first: they are copies of a process that has no other threads yet.
    for kind in [Kind::Process, Kind::Thread] {
        for &(place, cpu) in &places {
            team.add(bench, kind, place, cpu);
        }
    }
    team.say_who_is_missing(bench)?;
    let alone = alone(bench)?;
    let timer = bench.timer;
    // The places apart: a pair on one CPU would be disturbed by one that spins on its sibling.
    for (i, &(place, cpu)) in places.iter().enumerate() {
        let mut arms = team.arms(place, &timer);
        if place != Place::SameCpu {
            let home = bench.cpu;
            arms.extend(Mechanism::ALL.map(|how| spinning(how, place, cpu, home)));
        } else {
            arms.extend(alone.iter().map(|(how, alone)| without_switch(how.name(), alone)));
            arms.push(yields_alone());
        }
        let share = SHARES[i.min(SHARES.len() - 1)];
        counted::sample(bench, &mut arms, effort(bench, share))?;
    }
    Ok(())
}

/// Of the round's time: for the same CPU, and for each place beyond.
const SHARES: [f64; 2] = [0.25, 0.16];

pub(super) fn effort(bench: &Bench<'_>, share: f64) -> Samples {
    let samples = if bench.tier == Effort::Quick { 5 } else { 7 };
    Samples { samples, time: bench.share(share) }
}

fn sibling(bench: &Bench<'_>, cpus: &[usize]) -> Result<usize, Skip> {
    let claimed = bench.machine.siblings_of(bench.cpu);
    let mut others = claimed.iter().filter(|&&cpu| cpu != bench.cpu);
    let allowed = others.clone().find(|cpu| cpus.contains(cpu));
    allowed.copied().ok_or_else(|| {
        let none = others.next().is_none();
        Skip::new(
            "an SMT sibling",
            if none {
                format!(
                    "the machine claims none for CPU {} (a virtual machine may not be told)",
                    bench.cpu
                )
            } else {
                format!("that of CPU {} may not be used", bench.cpu)
            },
            "a CPU with SMT, both threads of a core in the affinity mask",
        )
        .of(["context_switch.*.sibling.*"])
    })
}

/// The nearest CPU that is claimed to be a core of its own, or not claimed at all.
fn other(bench: &Bench<'_>, cpus: &[usize]) -> Option<usize> {
    let relation = |&cpu: &usize| bench.machine.relation(bench.cpu, cpu);
    let others = cpus::others(bench, cpus).into_iter();
    others.filter(|cpu| relation(cpu) != Relation::Siblings).min_by_key(relation)
}

/// Why there is none.
fn no_other(machine: &Machine, cpu: usize, cpus: &[usize]) -> Skip {
    let siblings = || {
        cpus.iter().any(|&other| other != cpu).then(|| {
            Skip::new(
                "a CPU of another core",
                format!("all other allowed CPUs are SMT siblings of CPU {cpu}"),
                "give the process a CPU of another core (taskset, cpuset)",
            )
        })
    };
    let unpinned = || cpus::unpinned(machine, cpu);
    Need::Cpus(2).unmet(machine).or_else(siblings).unwrap_or_else(unpinned)
}

/// All partners. They sleep while others are asked.
#[derive(Default)]
struct Team {
    members: Vec<Member>,
    /// Who could not be started, by what they are, why, and what would help.
    missing: BTreeMap<(&'static str, String, &'static str), Vec<Mechanism>>,
}

struct Member {
    how: Mechanism,
    kind: Kind,
    place: Place,
    partner: Partner,
}

impl Team {
    fn add(&mut self, bench: &Bench<'_>, kind: Kind, place: Place, cpu: usize) {
        for how in Mechanism::ALL {
            match Partner::start((how, kind, Waiting::Asleep), cpu, bench.cpu) {
                Ok(partner) => self.members.push(Member { how, kind, place, partner }),
                Err(e) => {
                    let why = (kind.name(), counted::reason(&e), counted::remedy(&e));
                    let missing = self.missing.entry(why).or_default();
                    if !missing.contains(&how) {
                        missing.push(how);
                    }
                }
            }
        }
    }

    fn say_who_is_missing(&self, bench: &mut Bench<'_>) -> anyhow::Result<()> {
        for ((kind, reason, remedy), mechanisms) in &self.missing {
            let ways: Vec<&str> = mechanisms.iter().map(|how| how.name()).collect();
            let mut lost: Vec<String> =
                ways.iter().map(|how| format!("context_switch.{how}.{kind}.*")).collect();
            let thread = *kind == Kind::Thread.name();
            if thread {
                lost.extend(ways.iter().map(|how| format!("context_switch.{how}.direct_ns")));
            }
            if mechanisms.contains(&Mechanism::Futex) {
                lost.push(format!("context_switch.yield.{kind}.*"));
                if thread {
                    let of_threads = ["context_switch.wakeup*", "context_switch.yield.direct_ns"];
                    lost.extend(of_threads.map(Into::into));
                }
            }
            if mechanisms.contains(&Mechanism::Pipe) {
                let of_pipe: &[&str] = if thread {
                    &[
                        "context_switch.direct_ns",
                        "context_switch.per_switch_ns",
                        "context_switch.thread_to*",
                    ]
                } else {
                    &["context_switch.process.*"]
                };
                lost.extend(of_pipe.iter().map(ToString::to_string));
            }
            let need = format!("a {kind} that answers by {}", ways.join(", "));
            bench.skip(Skip::new(need, reason.clone(), *remedy).of(lost))?;
        }
        Ok(())
    }

    /// What can be repeated with the partners at one place.
    fn arms<'a>(&'a self, place: Place, timer: &'a Timer) -> Vec<Arm<'a>> {
        let here = self.members.iter().filter(|m| m.place == place);
        here.flat_map(|member| member.arms(timer)).collect()
    }
}

impl Member {
    fn arms<'a>(&'a self, timer: &'a Timer) -> Vec<Arm<'a>> {
        let place = self.place.name();
        let partner = &self.partner;
        let labels = |how: &str| {
            params([
                ("how", how.into()),
                ("kind", self.kind.name().into()),
                ("place", place.into()),
            ])
        };
        let mut arms = vec![round_trips(labels(self.how.name()), partner)];
        if self.how == Mechanism::Futex && self.place == Place::SameCpu {
            arms.push(yields(labels("yield"), partner));
        }
        let wakes = self.how == Mechanism::Futex && self.kind == Kind::Thread;
        if wakes && self.place != Place::SameCpu {
            arms.extend(ASLEEP_US.map(|us| wakeups(place, us, partner, timer)));
        }
        arms
    }
}

fn round_trips<'a>(params: Params, partner: &'a Partner) -> Arm<'a> {
    let repeat = move |meter: &mut dyn Meter, ops: u64| {
        timed(meter, ops, Some(partner), &mut |ops| partner.round_trips(ops))
    };
    Arm::new(("round_trip", params), Expect::Sleep, repeat)
}

/// With a partner that does not sleep. It would disturb everything else: each repetition has one of
/// its own.
fn spinning(how: Mechanism, place: Place, cpu: usize, home: usize) -> Arm<'static> {
    let repeat = move |meter: &mut dyn Meter, ops: u64| {
        let partner = Partner::start((how, Kind::Thread, Waiting::Awake), cpu, home)?;
        partner.round_trips(FIRST_TRIPS)?;
        timed(meter, ops, Some(&partner), &mut |ops| partner.round_trips(ops))
    };
    let params = params([("how", how.name().into()), ("place", place.name().into())]);
    Arm::new(("spinning", params), Expect::NoSwitch, repeat)
}

/// Round trips before the first that is timed.
const FIRST_TRIPS: u64 = 100;

/// Times some work, with the switches of both sides.
fn timed(
    meter: &mut dyn Meter,
    ops: u64,
    partner: Option<&Partner>,
    work: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<Trial> {
    let count = || partner.map_or(Ok(0), Partner::switches);
    let before = count()?;
    let mut done = Ok(());
    let reading = meter.measure(ops, &mut |ops| done = work(ops));
    done?;
    // The counter wraps, and saying it costs a switch.
    let slept = count()?.wrapping_sub(before);
    Ok(Trial::of(&reading, u64::from(slept)))
}

fn yields<'a>(params: Params, partner: &'a Partner) -> Arm<'a> {
    let repeat = move |meter: &mut dyn Meter, ops: u64| {
        let give_away = |times| (0..times).for_each(|_| yield_now());
        // The first ones let the partner fall asleep, ...
        give_away(FIRST_YIELDS);
        let calls = ops.div_ceil(4);
        let alone = meter.measure(calls, &mut |calls| give_away(calls));
        let (reading, theirs) = partner.while_yielding(|| {
            // ... and these wake it up.
            give_away(FIRST_YIELDS);
            meter.measure(ops, &mut |ops| give_away(ops))
        })?;
        let mut trial = Trial::of(&reading, theirs.switches);
        let idle = idle_calls((ops, trial.own), theirs);
        trial.ns -= idle as f64 * alone.ns / calls as f64;
        let lost = alone.usage.nvcsw + alone.usage.nivcsw;
        trial.spoiled |= alone.migrated || lost > 0;
        Ok(trial)
    };
    Arm::new(("round_trip", params), Expect::OwnSwitches, repeat)
}

const FIRST_YIELDS: u64 = 8;

/// Calls of either side that led to no switch, by so many calls and switches of ours. The scheduler
/// may leave a task its CPU until that has had its share of time.
fn idle_calls((calls, switches): (u64, u64), theirs: Yielded) -> u64 {
    calls.saturating_sub(switches) + theirs.calls.saturating_sub(theirs.switches)
}

fn yields_alone() -> Arm<'static> {
    let repeat = |meter: &mut dyn Meter, ops: u64| {
        timed(meter, ops, None, &mut |ops| {
            (0..ops).for_each(|_| yield_now());
            Ok(())
        })
    };
    let labels = params([("how", "yield".into())]);
    Arm::new(("without_switch", labels), Expect::NoSwitch, repeat)
}

fn alone(bench: &mut Bench<'_>) -> anyhow::Result<Vec<(Mechanism, Alone)>> {
    let mut made = Vec::new();
    for how in Mechanism::ALL {
        match Alone::new(how) {
            Ok(alone) => made.push((how, alone)),
            Err(e) => {
                let how = how.name();
                let need = format!("messages by {how} to oneself");
                let skip = Skip::new(need, counted::reason(&e), counted::remedy(&e));
                bench.skip(skip.of([format!("context_switch.{how}.direct_ns")]))?;
            }
        }
    }
    Ok(made)
}

fn without_switch<'a>(how: &'static str, alone: &'a Alone) -> Arm<'a> {
    let repeat = move |meter: &mut dyn Meter, ops: u64| {
        timed(meter, ops, None, &mut |ops| alone.send_and_receive(ops))
    };
    let labels = params([("how", how.into())]);
    Arm::new(("without_switch", labels), Expect::NoSwitch, repeat)
}

/// How long the other CPU was idle before it is woken: a moment, in which a guest may still be
/// polling, and longer than any of them polls (200 µs by default).
pub(super) const ASLEEP_US: [u64; 2] = [50, 1000];

/// Wake-ups in a trial.
const WAKEUPS: u64 = 5;

fn wakeups<'a>(place: &str, asleep_us: u64, partner: &'a Partner, timer: &'a Timer) -> Arm<'a> {
    let repeat = move |meter: &mut dyn Meter, ops: u64| {
        let mut times = Vec::with_capacity(ops as usize);
        let mut trial = timed(meter, ops, Some(partner), &mut |ops| {
            for _ in 0..ops {
                let idle = timer.stamp();
                while timer.ns_between(idle, timer.quick_stamp()) < (asleep_us * 1000) as f64 {
                    std::hint::spin_loop();
                }
                let start = timer.stamp();
                partner.wake()?;
                times.push(timer.ns_between(start, timer.stamp()));
            }
            Ok(())
        })?;
        // One that takes a tick would hide the others in a mean.
        trial.ns = median(&times).unwrap_or(f64::NAN) * ops as f64;
        // The waker does not sleep.
        trial.own = trial.partner;
        Ok(trial)
    };
    let labels = params([("place", place.into()), ("asleep_us", asleep_us.into())]);
    Arm::new(("wakeup", labels), Expect::Sleep, repeat).of(WAKEUPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::machine::Fact;

    #[test]
    fn a_call_without_a_switch_is_idle_on_either_side() {
        let theirs = |calls, switches| Yielded { calls, switches };
        assert_eq!(idle_calls((100, 100), theirs(105, 105)), 0);
        assert_eq!(idle_calls((100, 50), theirs(120, 55)), 50 + 65);
        // A partner that is switched out for another reason as well has no idle calls.
        assert_eq!(idle_calls((100, 101), theirs(100, 103)), 0);
    }

    #[test]
    fn siblings_alone_are_no_matter_of_permission() {
        let mut machine = Machine::default();
        machine.limits.allowed_cpus = vec![0, 1];
        machine.topology.cores = Fact::Known(vec![vec![0, 1]]);
        let unmet = no_other(&machine, 1, &[0, 1]);
        assert!(unmet.reason.ends_with("siblings of CPU 1"), "{unmet:?}");
        assert!(unmet.remedy.contains("another core"), "{unmet:?}");
        // One of the two cannot be pinned to.
        assert!(no_other(&machine, 1, &[1]).reason.contains("cannot be pinned"));
        machine.limits.allowed_cpus = vec![1];
        assert_eq!(no_other(&machine, 1, &[1]).need, "2 CPUs");
    }
}
