//! Which events can be counted here, tried one by one: a counter that opens may still stand still.

use std::io;
use std::path::Path;
use std::time::Duration;

use card::counters::{CounterSupport, Counting, Counts, Event, Missing, SelfTest, Wanted};
use card::machine::Machine;

use crate::harness::counters::{EventFile, Session, aperf, opens, wanted};
use crate::kernel::chase::{Order, Ring};
use crate::kernel::{branch, chain, forward, line};
use crate::sys::memory::{Buffer, Pages};

const ADDITIONS: u64 = 1_000_000;

/// Nothing else runs in between but the calls that start and stop the counters.
const MOST_OFF: f64 = 0.02;

/// Cycles also hold what other work on the same core and an interrupt's cold caches cost.
const MOST_OFF_CYCLES: f64 = 0.03;

/// What makes an event happen.
type Work = Box<dyn FnMut()>;

/// More pages than any TLB has entries.
const PAGES: usize = 8192;

/// Tries everything that this machine's design is known to have, or what a file of the user's
/// says of it, on the CPU that this thread runs on.
pub fn take(machine: &Machine, file: Option<&EventFile>) -> CounterSupport {
    let mut trying = Trying { support: CounterSupport::default() };
    trying.all(machine, file);
    trying.support
}

/// What is known so far.
struct Trying {
    support: CounterSupport,
}

impl Trying {
    fn all(&mut self, machine: &Machine, file: Option<&EventFile>) {
        let built_in = if file.is_none() { EventFile::of(machine) } else { None };
        let file = file.or(built_in.as_ref());
        self.support.slots_per_cycle = file.and_then(|f| f.slots_per_cycle);
        self.support.source = file.map(|f| f.source.clone());
        let pmu = machine.counters.partial_pmu(machine.cpu.number).map(|pmu| pmu.kind);
        let mut asked = wanted(file, pmu);
        if machine.counters.core_pmus.known().is_none() {
            // The cycles of the core, kernel and all, where at least they are offered.
            let instead = aperf(Path::new("/sys/bus/event_source/devices/msr"));
            asked.extend(instead);
        }
        for event in Event::ALL {
            let mut ways = asked.iter().filter(|w| w.event == event).map(|w| (w, try_out(w)));
            match ways.next() {
                Some((w, Ok(()))) => self.support.counting.events.push(w.clone()),
                Some((w, Err(e))) => match ways.find(|(_, tried)| tried.is_ok()) {
                    Some((other, _)) => self.support.counting.events.push(other.clone()),
                    None => self.leave_out(unavailable(&e, w, machine)),
                },
                None => {
                    let design = machine.cpu.microarchitecture.known();
                    let name = design.map_or("this CPU", |design| design.name.as_str());
                    let reason = format!("no event of {name} is known");
                    let remedy =
                        "a file of events, given with --events; probes/events/ has examples";
                    let missing = Missing::new(event, reason, remedy);
                    self.leave_out(Missing { inherent: true, ..missing });
                }
            }
        }
        self.support.self_test = self.additions();
        self.drop_stuck();
        self.support.counting.direct = self.direct_is_right();
    }

    fn leave_out(&mut self, missing: Missing) {
        self.support.counting.events.retain(|w| w.event != missing.event);
        self.support.missing.push(missing);
    }

    /// The events of that list that are counted here, in a session of their own.
    fn session(&self, events: &[Event], direct: bool) -> Session {
        let of = |w: &&Wanted| events.contains(&w.event);
        let events = self.support.counting.events.iter().filter(of).cloned().collect();
        Session::open(&Counting { events, direct })
    }

    /// Counts known additions, and leaves out what counts them wrongly.
    fn additions(&mut self) -> Option<SelfTest> {
        let mut session = self.session(&[Event::CoreCycles, Event::Instructions], false);
        // Interrupts only add.
        let trials = three_times(&mut session, &mut || {
            std::hint::black_box(chain::add(ADDITIONS));
        });
        let counts = trials.into_iter().min_by_key(|counts| counts.values().sum::<u64>())?;
        let additions = ADDITIONS.next_multiple_of(chain::BLOCK);
        let trial = SelfTest {
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
                let remedy = "none here: it is not used; tell the provider of the VM";
                self.leave_out(Missing::new(event, reason, remedy));
            }
        }
        Some(trial)
    }

    /// Lets every event happen that can be made to, and leaves out what counts none of it.
    fn drop_stuck(&mut self) {
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
            let page = Pages::Small.bytes();
            let mut ring = Ring::with_capacity(PAGES * page, Pages::Small).ok()?;
            let mut rng = fastrand::Rng::with_seed(1);
            ring.lay(PAGES * page, page, Order::Random, &mut rng);
            Some(Box::new(move || {
                for at in (0..PAGES * page).step_by(page) {
                    line::flush(ring.buffer(), at);
                }
                ring.walk(PAGES as u64);
            }))
        });
        let refused = "10000 loads that are wider than the store before them";
        self.provoke(&[Event::StoreForwardBlocks], refused, || {
            let buffer = Buffer::new(1, Pages::Small).ok()?;
            let mut chain = forward::StoreLoadChain::new(buffer, forward::Shape::EightOfFour, 0, 0);
            Some(Box::new(move || chain.run(10_000)))
        });
        self.provoke(&[Event::Faults], "the first touch of a page", || {
            Some(Box::new(|| {
                if let Ok(buffer) = Buffer::untouched(1, Pages::Small) {
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
        let mut counted = self.support.counting.events.clone();
        counted.retain(|w| events.contains(&w.event));
        let Some(mut work) = (!counted.is_empty()).then(make).flatten() else { return };
        for Wanted { event, .. } in counted {
            let trials = three_times(&mut self.session(&[event], false), &mut *work);
            let stands = |counts: &Counts| counts.get(&event) == Some(&0);
            if !trials.is_empty() && trials.iter().all(stands) {
                let reason = format!("the counter opens but stays 0 during {what}");
                let remedy = "none here: the hypervisor or the CPU does not count it";
                self.leave_out(Missing::new(event, reason, remedy));
            }
        }
    }

    /// Whether reading from user space says the same as the kernel.
    fn direct_is_right(&self) -> bool {
        let Some(SelfTest { instructions, .. }) = self.support.self_test else { return false };
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
    opens(wanted)
}

/// The level of `perf_event_paranoid` from which the kernel does not let everyone count what the
/// core does in user space: an addition of Debian and Ubuntu.
const ALL_FORBIDDEN: i64 = 3;

/// The level from which it does not let everyone count what happens in the kernel.
const KERNEL_FORBIDDEN: i64 = 2;

/// Why an event cannot be opened, and what would help.
fn unavailable(error: &io::Error, wanted: &Wanted, machine: &Machine) -> Missing {
    let counters = &machine.counters;
    let of_core = !wanted.event.is_software();
    let say = |reason: String, remedy: &str| Missing::new(wanted.event, reason, remedy);
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV | libc::EINVAL)
            if of_core && counters.core_pmus.known().is_none() =>
        {
            say(
                counters.core_pmus.reason().unwrap_or("no core PMU").to_owned(),
                "bare metal, or a VM with a virtual PMU (KVM: -cpu host,pmu=on; clouds: metal sizes \
                 and those that fill a socket); times and cycles need none",
            )
        }
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL) => Missing {
            inherent: true,
            ..say(format!("the PMU has no such event ({})", wanted.name), "none on this CPU")
        },
        Some(libc::EACCES) => {
            let from = if wanted.in_kernel { KERNEL_FORBIDDEN } else { ALL_FORBIDDEN };
            let privileged = counters.privileged.known() == Some(&true);
            let all = "sysctl -w kernel.perf_event_paranoid=2 (1 for context switches too), or \
                       CAP_PERFMON";
            match counters.paranoid.known() {
                Some(level) if *level >= from && !privileged => say(
                    format!("perf_event_paranoid is {level}, and there is no CAP_PERFMON"),
                    if *level >= ALL_FORBIDDEN {
                        all
                    } else {
                        "sysctl -w kernel.perf_event_paranoid=1, or CAP_PERFMON; samples that they \
                         disturb are rejected all the same"
                    },
                ),
                None => say(format!("perf_event_open is not permitted ({error})"), all),
                Some(_) => say(
                    format!("a security module refuses perf_event_open ({error})"),
                    "allow it in the policy (SELinux: perf_event; AppArmor: capability perfmon)",
                ),
            }
        }
        Some(libc::EPERM) => say(
            format!("a filter on system calls (seccomp) refuses perf_event_open ({error})"),
            "a seccomp profile that lists perf_event_open (docker: --security-opt seccomp=FILE; \
             --cap-add PERFMON where the default profile goes by that)",
        ),
        Some(libc::ENOSYS) => say(
            format!("the kernel does not know perf_event_open ({error})"),
            "a kernel with CONFIG_PERF_EVENTS, outside of gVisor and the like, or a seccomp profile \
             that lists perf_event_open",
        ),
        Some(libc::EMFILE | libc::ENFILE) => {
            say(error.to_string(), "raise the limit on open files (ulimit -n)")
        }
        None => say(
            "it opens but is never counted: other programs hold the counters".to_owned(),
            if counters.nmi_watchdog.known() == Some(&true) {
                "sysctl -w kernel.nmi_watchdog=0 (it holds one), or stop other perf sessions"
            } else {
                "stop other perf sessions"
            },
        ),
        Some(_) => say(error.to_string(), "see what the error says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles() -> Wanted {
        wanted(None, None).into_iter().find(|w| w.event == Event::CoreCycles).unwrap()
    }

    #[test]
    fn every_obstacle_is_named_with_its_remedy() {
        let mut machine = Machine::default();
        machine.counters.paranoid = card::machine::Fact::Known(3);
        machine.counters.nmi_watchdog = card::machine::Fact::Known(true);
        let say = |error: io::Error| unavailable(&error, &cycles(), &machine);
        let os = io::Error::from_raw_os_error;
        let said = |missing: Missing| format!("{} -> {}", missing.reason, missing.remedy);
        assert!(said(say(os(libc::EACCES))).contains("paranoid is 3"));
        assert!(said(say(os(libc::EACCES))).contains("sysctl -w kernel.perf_event_paranoid=2"));
        assert!(said(say(os(libc::EPERM))).contains("seccomp"));
        assert!(said(say(os(libc::ENOSYS))).contains("CONFIG_PERF_EVENTS"));
        assert!(said(say(os(libc::ENOENT))).contains("virtual PMU"));
        assert!(said(say(os(libc::EMFILE))).contains("ulimit -n"));
        assert!(said(say(io::ErrorKind::UnexpectedEof.into())).contains("nmi_watchdog=0"));
        // A level that lets everyone count is not to blame.
        let mut open = machine.clone();
        open.counters.paranoid = card::machine::Fact::Known(2);
        let refused = unavailable(&os(libc::EACCES), &cycles(), &open);
        assert!(said(refused).contains("a security module"));
        let kernel = Wanted { in_kernel: true, ..cycles() };
        let refused = unavailable(&os(libc::EACCES), &kernel, &open);
        assert!(said(refused).contains("perf_event_paranoid=1"));
        // With a PMU, what it does not have is nobody's fault.
        open.counters.core_pmus = card::machine::Fact::Known(vec!["cpu".into()]);
        assert!(unavailable(&os(libc::ENOENT), &cycles(), &open).inherent);
        assert!(!say(os(libc::ENOENT)).inherent);
    }

    #[test]
    fn obstacles_are_grouped_and_where_nothing_is_counted_names_do_not_matter() {
        let unknown = |event| Missing { inherent: true, ..Missing::new(event, "?".into(), "!") };
        let forbidden = |event| Missing::new(event, "forbidden".into(), "ask");
        let mut survey = CounterSupport {
            missing: vec![
                unknown(Event::L2Misses),
                forbidden(Event::CoreCycles),
                forbidden(Event::Instructions),
            ],
            ..CounterSupport::default()
        };
        let reasons = |survey: &CounterSupport| -> Vec<(String, usize)> {
            let all = survey.unavailable();
            all.iter().map(|o| (o.why.reason.clone(), o.events.len())).collect()
        };
        assert_eq!(reasons(&survey), [("forbidden".to_owned(), 2)]);
        survey.counting.events.push(Wanted { event: Event::Branches, ..cycles() });
        assert_eq!(reasons(&survey), [("forbidden".to_owned(), 2), ("?".to_owned(), 1)]);
    }

    /// Whatever this machine has: each event is either counted or has a reason.
    #[test]
    fn every_purpose_is_counted_or_explained() {
        let survey = take(&Machine::detect(), None);
        for event in Event::ALL {
            let counted = survey.counting.events.iter().any(|w| w.event == event);
            let why = survey.missing.iter().find(|m| m.event == event);
            assert!(counted != why.is_some(), "{event:?}: {survey:?}");
            assert!(why.is_none_or(|m| !m.reason.is_empty() && !m.remedy.is_empty()));
        }
        let of_core = survey.counting.events.iter().any(|w| !w.event.is_software());
        assert!(!of_core || survey.self_test.is_some());
    }
}
