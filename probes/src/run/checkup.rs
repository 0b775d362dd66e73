//! What a run will find here, in a second: timer, pinning, huge pages, counters, noise.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use serde::Serialize;

use crate::harness::clock::{Source, Timer};
use crate::harness::levels;
use crate::harness::scratch::Scratch;
use crate::run::placement::{self, Look};
use crate::sys::memory::{Buffer, Pages};
use crate::threads::cpus;
use crate::threads::pinning::try_pin;
use card::counters::{CounterSupport, Event, SelfTest, Unavailable};
use card::format;
use card::machine::{Disk, Machine, Throttled, human_bytes};

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// Whether measurements are as good as they can be in this respect.
    pub good: bool,
    /// What was found.
    pub found: String,
    /// What would help, where something is not good.
    pub remedy: Option<String>,
}

/// Every check, in the order of how much it matters.
pub fn all(machine: &Machine, counters: &CounterSupport) -> Vec<Check> {
    let timer = placement::timer(machine);
    let mut checks = vec![timer_check(machine, &timer)];
    let before = Throttled::so_far();
    let looks = placement::looks(machine.allowed_cpus(), &timer);
    let own = Throttled::so_far().since(&before).by(machine.cpu_quota());
    checks.push(pinning(machine, &looks));
    checks.extend(noise(&looks, own.as_deref()));
    checks.push(huge_pages());
    checks.push(memory(machine));
    checks.push(scratch());
    checks.push(network());
    checks.extend(counting(machine, counters));
    checks
}

fn check(what: &'static str, good: bool, found: String, remedy: &str) -> Check {
    Check { what, good, found, remedy: (!good).then(|| remedy.to_owned()) }
}

fn timer_check(machine: &Machine, timer: &Timer) -> Check {
    let good = timer.source == Source::Counter;
    let found = if good {
        format!("constant-rate counter at {:.4} GHz", 1.0 / timer.ns_per_unit)
    } else {
        let why = machine.withdrawn_counter();
        let why = why.as_deref().unwrap_or("it does not promise a constant rate");
        format!("CLOCK_MONOTONIC_RAW, not the counter: {why}")
    };
    let remedy = "use a CPU model with an invariant TSC for the VM, see `dmesg` for what the kernel \
                  found wrong with it; samples are coarser without";
    check("timer", good, found, remedy)
}

fn pinning(machine: &Machine, looks: &[Look]) -> Check {
    let allowed = machine.allowed_cpus().len();
    let why = || machine.allowed_cpus().iter().find_map(|&cpu| try_pin(cpu).err());
    let found = match looks.is_empty().then(why).flatten() {
        Some(why) => format!("not pinned: {why}"),
        None => {
            let allowed = format::count(allowed, "CPU");
            format!("{allowed} allowed, {} tried and could be pinned to", looks.len())
        }
    };
    let remedy = format!("{}; without it nothing is measured between CPUs", cpus::PINNING);
    check("pinning", !looks.is_empty(), found, &remedy)
}

/// `own` is what this process did to itself meanwhile.
fn noise(looks: &[Look], own: Option<&str>) -> impl Iterator<Item = Check> {
    looks.iter().map(move |look| {
        let busy = match look.doubt {
            Some(doubt) => format!("no core clock: {doubt}"),
            None => format!("SMT sibling active {:.0} % of it", look.busy * 100.0),
        };
        let found = format!(
            "CPU {}: {:.2} % of its time lost in gaps above 1 µs, {busy}",
            look.cpu,
            look.lost * 100.0,
        );
        let good = look.lost < 0.01 && look.busy < 0.2 && look.doubt.is_none();
        match own {
            Some(own) if !good => {
                check("noise", good, format!("{found}; {own}"), "give the group more CPU time")
            }
            _ => {
                let remedy =
                    "stop other work, or measure another time; disturbed samples are rejected";
                check("noise", good, found, remedy)
            }
        }
    })
}

fn huge_pages() -> Check {
    let remedy = "set /sys/kernel/mm/transparent_hugepage/enabled to madvise or always; without it \
                  latencies contain page walks";
    let page = Pages::Huge.bytes();
    // Four of them, or one of those that are larger than that.
    let asked = page.max(8 << 20);
    match Buffer::new(asked, Pages::Huge).and_then(|b| b.huge_bytes()) {
        Ok(huge) => {
            let [asked, got, each] = [asked as u64, huge, page as u64].map(human_bytes);
            let found = format!("asked for {asked}, got {got} in pages of {each}");
            check("huge pages", got == asked, found, remedy)
        }
        Err(e) => check("huge pages", false, format!("cannot tell: {e}"), remedy),
    }
}

/// How much of memory buffers may take: the one check that tries nothing.
pub fn memory(machine: &Machine) -> Check {
    let limit = machine.buffer_limit();
    let wanted = levels::last_cache(machine) * levels::BEYOND;
    let found = format!(
        "buffers may take {} ({}); the latency curve wants {}",
        human_bytes(limit),
        machine.buffer_limit_reason(),
        human_bytes(wanted)
    );
    check("memory", limit >= wanted, found, "raise the memory limit to see beyond the last cache")
}

/// What became of the real-time class that the program was started in, if it was.
pub fn scheduler(left_class: io::Result<Option<&str>>) -> Option<Check> {
    Some(match left_class {
        Ok(None) => return None,
        Ok(Some(class)) => {
            let found = format!(
                "started under {class}; a run measures under SCHED_OTHER, as threads that spin would \
                 starve others"
            );
            check("scheduler", true, found, "")
        }
        Err(error) => {
            let found = format!("the real-time class that this was started in stays: {error}");
            check("scheduler", false, found, "start it without chrt; a run would not begin")
        }
    })
}

/// The directory that a run would be started in.
fn scratch() -> Check {
    let here = match std::env::current_dir() {
        Ok(here) => here,
        Err(error) => {
            let found = format!("the directory that this was started in cannot be found: {error}");
            return check("storage", false, found, "change to one that exists");
        }
    };
    match Scratch::make(&here).and_then(|scratch| scratch.room(&here, 1 << 30)) {
        Ok(_) => {
            let found = format!("files of this directory are on {}", Disk::below(&here).title());
            check("storage", true, found, "")
        }
        Err(unmet) => check("storage", false, unmet.reason, &unmet.remedy),
    }
}

fn network() -> Check {
    let found = "messages within this machine; run --peer HOST:PORT adds the round trip to another \
                 one, at any open port";
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(_) => check("network", true, found.into(), ""),
        Err(e) => {
            let found = format!("no socket can listen at 127.0.0.1: {e}");
            let remedy =
                "allow sockets in the seccomp profile, and 127.0.0.1 (`ip link set lo up`)";
            check("network", false, found, remedy)
        }
    }
}

/// What is counted, and what is not: a line for each reason.
fn counting(machine: &Machine, survey: &CounterSupport) -> Vec<Check> {
    let counted: Vec<Event> = survey.counting.events.iter().map(|w| w.event).collect();
    let mut checks = Vec::new();
    if survey.counts_core() {
        let way = if survey.counting.direct { "from user space" } else { "by system calls" };
        let mut found = format!("counts {}, read {way}", titles(&counted));
        if let Some(SelfTest { instructions, instructions_counted: Some(n), .. }) = survey.self_test
        {
            found += &format!("; of {instructions} known instructions they counted {n}");
        }
        checks.push(check("counters", true, found, ""));
    }
    if let Some((reason, remedy)) = survey.nothing(machine) {
        let but =
            if counted.is_empty() { String::new() } else { format!(" but {}", titles(&counted)) };
        checks.push(check("counters", false, format!("counts nothing{but}: {reason}"), remedy));
    }
    for Unavailable { why, events } in survey.unavailable() {
        // What keeps the core's events from being counted was said.
        if survey.counts_core() || events.iter().all(|event| event.is_software()) {
            let found = format!("does not count {}: {}", titles(&events), why.reason);
            let remedy = Some(why.remedy.clone());
            checks.push(Check { what: "counters", good: why.inherent, found, remedy });
        }
    }
    checks
}

fn titles(events: &[Event]) -> String {
    events.iter().map(|event| event.title()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::counters::wanted;
    use card::counters::Missing;
    use card::machine::Fact;

    /// What is said, remedies behind an arrow.
    fn said(machine: &Machine, survey: &CounterSupport) -> Vec<String> {
        let text = |c: Check| {
            let remedy = c.remedy.map(|r| format!(" → {r}")).unwrap_or_default();
            format!("{} {}{remedy}", if c.good { "ok" } else { "!!" }, c.found)
        };
        counting(machine, survey).into_iter().map(text).collect()
    }

    #[test]
    fn a_counter_that_the_kernel_withdrew_and_an_own_quota_are_named() {
        let mut machine = Machine::default();
        machine.cpu.invariant_tsc = Fact::Known(true);
        machine.kernel.clock_sources = Fact::Known(vec!["hpet".into(), "acpi_pm".into()]);
        let timer = placement::timer(&machine);
        assert_eq!(timer, Timer::CLOCK);
        let check = timer_check(&machine, &timer);
        assert!(!check.good && check.found.ends_with("(only hpet acpi_pm)"), "{check:?}");
        let look = Look { cpu: 1, lost: 0.5, busy: 0.0, doubt: None };
        let said = |own| noise(&[look], own).map(|check| check.found).next().unwrap();
        assert!(said(Some("its own quota")).ends_with("; its own quota"));
        assert!(said(None).ends_with("% of it"));
    }

    #[test]
    fn a_real_time_class_is_named_whether_it_could_be_left_or_not() {
        assert_eq!(scheduler(Ok(None)), None);
        let left = scheduler(Ok(Some("SCHED_FIFO"))).unwrap();
        assert!(left.good && left.found.starts_with("started under SCHED_FIFO; "), "{left:?}");
        let refused = io::Error::from_raw_os_error(libc::EPERM);
        let stays = scheduler(Err(refused)).unwrap();
        assert!(!stays.good && stays.remedy.unwrap().contains("without chrt"));
    }

    fn missing(event: Event, reason: &str, inherent: bool) -> Missing {
        Missing { event, reason: reason.into(), remedy: "ask".into(), inherent }
    }

    #[test]
    fn a_full_pmu_is_a_line_and_what_it_does_not_have_is_no_fault() {
        let mut survey = CounterSupport::default();
        survey.counting.events = wanted(None, None);
        survey.missing = vec![missing(Event::L2Misses, "no event is known", true)];
        survey.self_test = Some(SelfTest {
            additions: 10,
            instructions: 12,
            instructions_counted: Some(13),
            cycles_counted: None,
        });
        let said = said(&Machine::default(), &survey);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("ok counts core cycles, instructions"), "{said:?}");
        assert!(said[0].contains("of 12 known instructions they counted 13"), "{said:?}");
        assert_eq!(said[1], "ok does not count L2 misses: no event is known → ask");
        // A counter that stands still is one.
        survey.missing[0].inherent = false;
        assert!(self::said(&Machine::default(), &survey)[1].starts_with("!!"));
    }

    #[test]
    fn where_nothing_can_be_counted_one_line_says_all_of_it() {
        let mut machine = Machine::default();
        machine.counters.core_pmus = Fact::Unknown { unknown: "no core PMU".into() };
        let mut survey = CounterSupport {
            missing: vec![
                missing(Event::L2Misses, "no event is known", true),
                missing(Event::CoreCycles, "refused", false),
                missing(Event::Faults, "refused", false),
            ],
            ..CounterSupport::default()
        };
        let wanted = ["!! counts nothing: refused; besides, no core PMU → ask"];
        assert_eq!(said(&machine, &survey), wanted);
        survey.missing[1].reason = "no core PMU".into();
        let wanted = [
            "!! counts nothing: no core PMU → ask",
            "!! does not count page faults: refused → ask",
        ];
        assert_eq!(said(&machine, &survey), wanted);
    }
}
