//! What the prices of the kernel mean for programs.

use super::{Finding, believed, shown};
use crate::file::Card;
use crate::metrics::Metrics;

const CALL: &str = "os.syscall_ns";
const CLOCK: &str = "os.clock_gettime_ns";
const CLOCK_CALL: &str = "os.clock_gettime_syscall_ns";
const LATE: &str = "os.timer_lateness_ns";
const TIGHT: &str = "os.timer_lateness_tight_ns";
/// By the kernel's page; as far from the caches as memory that is new.
const WARM: [&str; 6] = [
    "os.page_fault_4k_uncached_ns",
    "os.page_fault_16k_uncached_ns",
    "os.page_fault_64k_uncached_ns",
    "os.page_fault_4k_ns",
    "os.page_fault_16k_ns",
    "os.page_fault_64k_ns",
];
const COLD: &str = "os.page_fault_cold_ns";
const FORK: &str = "os.fork_ns";
const FORK_LARGE: &str = "os.fork_64m_ns";
const SPAWN: &str = "os.spawn_ns";

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let all =
        [filter(card, metrics), clock(card, metrics), late(metrics), cold(metrics), fork(metrics)];
    all.into_iter().flatten().collect()
}

/// A filter runs at every call.
fn filter(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let filtered = card.header.machine.limits.seccomp.known().is_some_and(|mode| mode == "filter");
    believed(metrics, CALL).filter(|_| filtered)?;
    let headline = format!("null system call {}, a seccomp filter included", shown(metrics, CALL));
    let cause = "the filter runs at every system call, in every OS latency of this card";
    Some(Finding::limit("SECCOMP_FILTER", headline).cause(cause).of(&[CALL]))
}

/// Without a call, reading the clock takes a fraction of one.
fn clock(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let (read, call) = (believed(metrics, CLOCK)?, believed(metrics, CLOCK_CALL)?);
    let source = card.header.machine.kernel.clock_source.known();
    (read > 0.7 * call).then(|| {
        let source = source.map_or(String::new(), |name| format!(" {name}"));
        let headline =
            format!("clock_gettime takes {}, as long as a system call", shown(metrics, CLOCK));
        let (claimed, measured) =
            ("vDSO clock", format!("{} per clock_gettime", shown(metrics, CLOCK)));
        Finding::claim("VDSO_CLOCK", headline, claimed, measured)
            .cause(format!(
                "clock source{source} is not read in user space: a system call takes {}",
                shown(metrics, CLOCK_CALL)
            ))
            .action("see /sys/devices/system/clocksource/clocksource0/current_clocksource")
            .of(&[CLOCK, CLOCK_CALL])
    })
}

/// What the kernel adds to every sleep so that it wakes up less often.
fn late(metrics: &Metrics) -> Option<Finding> {
    let (late, tight) = (believed(metrics, LATE)?, believed(metrics, TIGHT)?);
    (late > 1.3 * tight && late - tight > 20e3).then(|| {
        let headline = format!(
            "timer overshoot {} with the default slack, {} without",
            shown(metrics, LATE),
            shown(metrics, TIGHT)
        );
        let action = "PR_SET_TIMERSLACK 1";
        Finding::advice("TIMER_SLACK", headline, late / tight, action).of(&[LATE, TIGHT])
    })
}

fn cold(metrics: &Metrics) -> Option<Finding> {
    let (id, warm) = WARM.into_iter().find_map(|id| Some((id, believed(metrics, id)?)))?;
    let cold = believed(metrics, COLD)?;
    let ratio = cold / warm;
    let headline = format!(
        "first touch, not yet backed by the host (EPT fault): {} a page",
        shown(metrics, COLD)
    );
    (cold > 1.5 * warm).then(|| {
        Finding::advice("FIRST_TOUCH", headline, ratio, "pre-fault memory")
            .cause(format!(
                "{ratio:.1}× a minor page fault in backed memory ({})",
                shown(metrics, id)
            ))
            .of(&[COLD, id])
    })
}

/// What is copied for a child grows with what its parent uses.
fn fork(metrics: &Metrics) -> Option<Finding> {
    let (small, large) = (believed(metrics, FORK)?, believed(metrics, FORK_LARGE)?);
    let spawn = believed(metrics, SPAWN)?;
    (large > 2.0 * small && large > 2.0 * spawn).then(|| {
        let headline = format!(
            "fork takes {} with 64 MiB in use, posix_spawn {}",
            shown(metrics, FORK_LARGE),
            shown(metrics, SPAWN)
        );
        let cause = format!("page-table copy: {} with little memory in use", shown(metrics, FORK));
        let action = "posix_spawn, not fork";
        Finding::advice("FORK", headline, large / spawn, action)
            .cause(cause)
            .of(&[FORK_LARGE, FORK, SPAWN])
    })
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;
    use crate::machine::Fact;

    use super::super::tests::{said, value};
    use super::*;
    use crate::fixture::{blank, recorded};

    fn one(id: &str, number: f64) -> crate::metrics::Value {
        value(id, Unit::Ns, number)
    }

    #[test]
    fn usual_prices_are_no_news() {
        let values = vec![
            one(CALL, 70.0),
            one(CLOCK, 20.0),
            one(CLOCK_CALL, 120.0),
            one(LATE, 31e3),
            one(TIGHT, 30e3),
            one(FORK, 100e3),
            one(FORK_LARGE, 150e3),
            one(SPAWN, 120e3),
        ];
        assert_eq!(said(values), [] as [String; 0]);
    }

    #[test]
    fn a_clock_that_needs_a_call_is_a_warning() {
        let text = said(vec![one(CLOCK, 1200.0), one(CLOCK_CALL, 1260.0)]).join("\n");
        assert!(text.contains("clock_gettime takes 1.20 µs, as long as a system call"), "{text}");
    }

    #[test]
    fn slack_and_cold_memory_are_told() {
        let text = said(vec![one(LATE, 85e3), one(TIGHT, 31e3)]).join("\n");
        assert!(text.contains("overshoot 85.0 µs with the default slack, 31.0 µs"), "{text}");
        let text = said(vec![one(WARM[1], 500.0), one(COLD, 3000.0)]).join("\n");
        assert!(text.contains("6.0× a minor page fault"), "{text}");
    }

    #[test]
    fn a_fork_that_grows_is_told_with_what_does_not() {
        let summary = recorded();
        let found = find(&summary.card, &summary.metrics);
        let text = found.iter().find(|f| f.code == "FORK").unwrap().text();
        let cost = |id| shown(&summary.metrics, id);
        assert!(text.contains(&format!("{} with 64 MiB", cost(FORK_LARGE))), "{text}");
        assert!(text.contains(&cost(SPAWN)) && text.contains(&cost(FORK)), "{text}");
    }

    #[test]
    fn a_filter_is_part_of_every_price() {
        let mut card = blank("test");
        let metrics = Metrics(vec![one(CALL, 300.0)]);
        card.header.machine.limits.seccomp = Fact::Known("off".into());
        assert!(filter(&card, &metrics).is_none());
        card.header.machine.limits.seccomp = Fact::Known("filter".into());
        assert!(filter(&card, &metrics).unwrap().headline.contains("300 ns"));
    }
}
