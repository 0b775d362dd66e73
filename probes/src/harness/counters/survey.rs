//! Which events can be counted here, tried one by one: a counter that opens may still stand still.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::events::aperf;
use super::{Counting, Counts, Event, EventFile, Session, Wanted, wanted};
use crate::kernel::chase::{Order, Ring};
use crate::kernel::{branch, chain, forward, line};
use crate::machine::Machine;
use crate::sys::memory::{Buffer, Pages, SMALL_PAGE};

/// What counters there are, and what becomes of the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Survey {
    /// What will be counted.
    pub counting: Counting,
    /// What will not.
    pub missing: Vec<Missing>,
    /// What counters said of a known number of additions, where they said anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Slots that this core can fill in a cycle, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_per_cycle: Option<u32>,
    /// Where the numbers of its own events are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An event that cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub event: Event,
    /// Why.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

/// A run of dependent additions, whose instructions and cycles are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Additions done, each one cycle.
    pub additions: u64,
    /// Instructions that makes, the loop around them included.
    pub instructions: u64,
    /// Instructions counted; `None` if they cannot be.
    pub instructions_counted: Option<u64>,
    /// Core cycles counted.
    pub cycles_counted: Option<u64>,
}

const ADDITIONS: u64 = 1_000_000;

/// Nothing else runs in between but the calls that start and stop the counters.
const MOST_OFF: f64 = 0.02;

/// Cycles also hold what other work on the same core and an interrupt's cold caches cost.
const MOST_OFF_CYCLES: f64 = 0.03;

/// What makes an event happen.
type Work = Box<dyn FnMut()>;

/// More pages than any TLB has entries.
const PAGES: usize = 8192;

impl Survey {
    /// Tries everything that this machine's design is known to have, or what a file of the user's
    /// says of it, on the CPU that this thread runs on.
    pub fn take(machine: &Machine, file: Option<&EventFile>) -> Survey {
        let built_in = if file.is_none() { EventFile::of(machine) } else { None };
        let file = file.or(built_in.as_ref());
        let mut survey = Survey {
            slots_per_cycle: file.and_then(|f| f.slots_per_cycle),
            source: file.map(|f| f.source.clone()),
            ..Survey::default()
        };
        let mut asked = wanted(file);
        if machine.counters.core_pmus.known().is_none() {
            // The cycles of the core, kernel and all, where at least they are offered.
            let instead = aperf(Path::new("/sys/bus/event_source/devices/msr"));
            asked.extend(instead);
        }
        for event in Event::ALL {
            let mut ways = asked.iter().filter(|w| w.event == event).map(|w| (w, try_out(w)));
            let first = ways.next();
            match first {
                Some((w, Ok(()))) => survey.counting.events.push(w.clone()),
                Some((w, Err(e))) => match ways.find(|(_, tried)| tried.is_ok()) {
                    Some((other, _)) => survey.counting.events.push(other.clone()),
                    None => {
                        let (reason, remedy) = obstacle(&e, w, machine);
                        survey.leave_out(event, reason, remedy);
                    }
                },
                None => {
                    let design = machine.cpu.microarchitecture.known();
                    let name = design.map_or("this CPU", |design| design.name.as_str());
                    survey.leave_out(
                        event,
                        format!("no event of {name} is known for it"),
                        "write a file of events for it (probes/events/ has examples) and give it \
                         with --events",
                    );
                }
            }
        }
        survey.trial = survey.additions();
        survey.drop_what_stands_still();
        survey.counting.direct = survey.direct_is_right();
        survey
    }

    fn leave_out(&mut self, event: Event, reason: String, remedy: &str) {
        self.counting.events.retain(|w| w.event != event);
        self.missing.push(Missing { event, reason, remedy: remedy.to_owned() });
    }

    /// The events of that list that are counted here, in a session of their own.
    fn session(&self, events: &[Event], direct: bool) -> Session {
        let of = |w: &&Wanted| events.contains(&w.event);
        let events = self.counting.events.iter().filter(of).cloned().collect();
        Session::open(&Counting { events, direct })
    }

    /// Counts known additions, and leaves out what counts them wrongly.
    fn additions(&mut self) -> Option<Trial> {
        let mut session = self.session(&[Event::CoreCycles, Event::Instructions], false);
        // Interrupts only add.
        let trials = three_times(&mut session, &mut || {
            std::hint::black_box(chain::add(ADDITIONS));
        });
        let counts = trials.into_iter().min_by_key(|counts| counts.values().sum::<u64>())?;
        let additions = ADDITIONS.next_multiple_of(chain::BLOCK);
        let trial = Trial {
            additions,
            instructions: chain::instructions(ADDITIONS),
            instructions_counted: counts.get(&Event::Instructions).copied(),
            cycles_counted: counts.get(&Event::CoreCycles).copied(),
        };
        let checks = [
            (Event::Instructions, trial.instructions_counted, trial.instructions, MOST_OFF),
            (Event::CoreCycles, trial.cycles_counted, trial.additions, MOST_OFF_CYCLES),
        ];
        for (event, counted, known, most_off) in checks {
            let Some(counted) = counted else { continue };
            if (counted as f64 / known as f64 - 1.0).abs() > most_off {
                let reason = format!(
                    "the counter opens but says {counted} {} where {known} are known to happen",
                    event.title()
                );
                self.leave_out(event, reason, "tell the provider of the VM; it is not used");
            }
        }
        Some(trial)
    }

    /// Lets every event happen that can be made to, and leaves out what counts none of it.
    fn drop_what_stands_still(&mut self) {
        let of_branches =
            [Event::Branches, Event::Mispredicts, Event::FrontendSlots, Event::RetiredSlots];
        self.provoke(&of_branches, "64000 random branches", || {
            let mut rng = fastrand::Rng::with_seed(1);
            let words: Vec<u64> = (0..1000).map(|_| rng.u64(..)).collect();
            Some(Box::new(move || {
                std::hint::black_box(branch::parallel(&words));
            }))
        });
        let beyond = [
            Event::L1dMisses,
            Event::L2Misses,
            Event::LlcMisses,
            Event::DtlbMisses,
            Event::DtlbWalks,
            Event::BackendSlots,
        ];
        // Without a flush the lines may lie in any cache but the first.
        let missed = if line::can_flush() { &beyond[..] } else { &beyond[..1] };
        self.provoke(missed, "8192 dependent loads from as many pages of main memory", || {
            let mut ring = Ring::with_capacity(PAGES * SMALL_PAGE, Pages::Small).ok()?;
            let mut rng = fastrand::Rng::with_seed(1);
            ring.lay(PAGES * SMALL_PAGE, SMALL_PAGE, Order::Random, &mut rng);
            Some(Box::new(move || {
                for page in 0..PAGES {
                    line::flush(ring.buffer(), page * SMALL_PAGE);
                }
                ring.walk(PAGES as u64);
            }))
        });
        let refused = "10000 loads that are wider than the store before them";
        self.provoke(&[Event::StoreForwardBlocks], refused, || {
            let buffer = Buffer::new(SMALL_PAGE, Pages::Small).ok()?;
            let mut chain = forward::Chain::new(buffer, forward::Shape::EightOfFour, 0, 0);
            Some(Box::new(move || chain.run(10_000)))
        });
        self.provoke(&[Event::Faults], "the first touch of a page", || {
            Some(Box::new(|| {
                if let Ok(buffer) = Buffer::untouched(SMALL_PAGE, Pages::Small) {
                    line::touch(&buffer, 0);
                }
            }))
        });
        self.provoke(&[Event::ContextSwitches], "a sleep", || {
            Some(Box::new(|| std::thread::sleep(Duration::from_micros(100))))
        });
    }

    /// Leaves out those of the events that are counted but not while this makes them happen.
    fn provoke(&mut self, events: &[Event], what: &str, make: impl FnOnce() -> Option<Work>) {
        let mut counted = self.counting.events.clone();
        counted.retain(|w| events.contains(&w.event));
        let Some(mut work) = (!counted.is_empty()).then(make).flatten() else { return };
        for Wanted { event, .. } in counted {
            let trials = three_times(&mut self.session(&[event], false), &mut *work);
            let stands = |counts: &Counts| counts.get(&event) == Some(&0);
            if !trials.is_empty() && trials.iter().all(stands) {
                let reason = format!("the counter opens but stays 0 during {what}");
                self.leave_out(event, reason, "none: the hypervisor does not count it");
            }
        }
    }

    /// Whether reading from user space says the same as the kernel.
    fn direct_is_right(&self) -> bool {
        let Some(Trial { instructions, .. }) = self.trial else { return false };
        let mut session = self.session(&[Event::Instructions], true);
        let mut work = || {
            std::hint::black_box(chain::add(ADDITIONS));
        };
        let is_right = |counts: &Counts| {
            let counted = counts.get(&Event::Instructions).map_or(f64::NAN, |&n| n as f64);
            (counted / instructions as f64 - 1.0).abs() < MOST_OFF
        };
        three_times(&mut session, &mut work).iter().any(is_right) && session.is_direct()
    }
}

fn three_times(session: &mut Session, work: &mut dyn FnMut()) -> Vec<Counts> {
    let mut trial = || {
        session.begin();
        work();
        session.end()
    };
    (0..3).map(|_| trial()).filter(|counts| !counts.is_empty()).collect()
}

/// Opens the event alone, as it will be opened.
fn try_out(wanted: &Wanted) -> io::Result<()> {
    super::Group::open(&[wanted], false).map(drop)
}

/// Why an event cannot be opened, and what would help.
fn obstacle(error: &io::Error, wanted: &Wanted, machine: &Machine) -> (String, &'static str) {
    let counters = &machine.counters;
    let of_core = !wanted.event.is_software();
    let (paranoid, privileged) = (counters.paranoid.known(), counters.privileged.known());
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV | libc::EINVAL)
            if of_core && counters.core_pmus.known().is_none() =>
        {
            (
                counters.core_pmus.reason().unwrap_or("no core PMU").to_owned(),
                "none needed for times and cycles; counts need bare metal or a VM with a virtual PMU \
                 (KVM: -cpu host,pmu=on; clouds: the metal sizes, or those that fill a socket)",
            )
        }
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL) => {
            (format!("the PMU has no such event ({}: {error})", wanted.name), "none on this CPU")
        }
        Some(libc::EACCES) => (
            format!(
                "perf_event_paranoid is {}, and this process has no CAP_PERFMON",
                paranoid.map_or_else(|| "unknown".to_owned(), i64::to_string)
            ),
            if of_core {
                "sysctl kernel.perf_event_paranoid=2, or run with CAP_PERFMON"
            } else {
                "sysctl kernel.perf_event_paranoid=1, or run with CAP_PERFMON; getrusage counts it \
                 meanwhile"
            },
        ),
        Some(libc::EPERM | libc::ENOSYS) => (
            format!(
                "perf_event_open is refused ({error}){}",
                if privileged == Some(&true) { " although the process may count" } else { "" }
            ),
            "allow perf_event_open in the seccomp profile (docker: --cap-add PERFMON and a profile \
             that lists it), or, without one, use a kernel with CONFIG_PERF_EVENTS",
        ),
        Some(libc::EMFILE | libc::ENFILE) => {
            (error.to_string(), "raise the limit on open files (ulimit -n)")
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof || error.raw_os_error().is_none() => (
            "it opens but is never counted: other programs hold the counters".to_owned(),
            if counters.nmi_watchdog.known() == Some(&true) {
                "sysctl kernel.nmi_watchdog=0 frees one; or stop other perf sessions"
            } else {
                "stop other perf sessions"
            },
        ),
        _ => (error.to_string(), "see what the error says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles() -> Wanted {
        wanted(None).into_iter().find(|w| w.event == Event::CoreCycles).unwrap()
    }

    #[test]
    fn every_obstacle_is_named_with_its_remedy() {
        let mut machine = Machine::default();
        machine.counters.paranoid = crate::machine::Fact::Known(3);
        machine.counters.nmi_watchdog = crate::machine::Fact::Known(true);
        let say = |error: io::Error| obstacle(&error, &cycles(), &machine);
        let os = io::Error::from_raw_os_error;
        let said = |(reason, remedy): (String, &str)| format!("{reason} -> {remedy}");
        assert!(said(say(os(libc::EACCES))).contains("paranoid is 3"));
        assert!(said(say(os(libc::EACCES))).contains("sysctl kernel.perf_event_paranoid=2"));
        assert!(said(say(os(libc::EPERM))).contains("seccomp"));
        assert!(said(say(os(libc::ENOENT))).contains("virtual PMU"));
        assert!(said(say(os(libc::EMFILE))).contains("ulimit -n"));
        assert!(said(say(io::ErrorKind::UnexpectedEof.into())).contains("nmi_watchdog=0"));
    }

    /// Whatever this machine has: each event is either counted or has a reason.
    #[test]
    fn every_purpose_is_counted_or_explained() {
        let survey = Survey::take(&Machine::detect(), None);
        for event in Event::ALL {
            let counted = survey.counting.events.iter().any(|w| w.event == event);
            let why = survey.missing.iter().find(|m| m.event == event);
            assert!(counted != why.is_some(), "{event:?}: {survey:?}");
            assert!(why.is_none_or(|m| !m.reason.is_empty() && !m.remedy.is_empty()));
        }
        let of_core = survey.counting.events.iter().any(|w| !w.event.is_software());
        assert!(!of_core || survey.trial.is_some());
    }
}
