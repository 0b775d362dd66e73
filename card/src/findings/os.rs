//! What the prices of the kernel mean for programs.

use crate::declare::Unit;

use super::{Finding, believed};
use crate::file::Card;
use crate::format::quantity;
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

fn ns(value: f64) -> String {
    quantity(value, Unit::Ns)
}

/// A filter runs at every call.
fn filter(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let filtered = card.header.machine.limits.seccomp.known().is_some_and(|mode| mode == "filter");
    let call = believed(metrics, CALL).filter(|_| filtered)?;
    let text = format!(
        "a seccomp filter is run at every system call here: the {} of the simplest one contain it, \
         and so does every price of the kernel",
        ns(call)
    );
    Some(Finding::note(text, &[CALL]))
}

/// Without a call, reading the clock takes a fraction of one.
fn clock(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let (read, call) = (believed(metrics, CLOCK)?, believed(metrics, CLOCK_CALL)?);
    let source = card.header.machine.kernel.clock_source.known();
    (read > 0.7 * call).then(|| {
        let source = source.map_or(String::new(), |name| format!(" (it is {name})"));
        Finding::warning(
            format!(
                "reading the clock takes {}, as long as a real system call ({}): the clock source{source} \
                 cannot be read without one, and programs that look at the time often are slowed \
                 down by it",
                ns(read),
                ns(call)
            ),
            &[CLOCK, CLOCK_CALL],
        )
    })
}

/// What the kernel adds to every sleep so that it wakes up less often.
fn late(metrics: &Metrics) -> Option<Finding> {
    let (late, tight) = (believed(metrics, LATE)?, believed(metrics, TIGHT)?);
    (late > 1.3 * tight && late - tight > 20e3).then(|| {
        Finding::note(
            format!(
                "a sleep ends {} late, but {} late without timer slack: threads that must be on time \
                 set it with prctl(PR_SET_TIMERSLACK, 1)",
                ns(late),
                ns(tight)
            ),
            &[LATE, TIGHT],
        )
    })
}

fn cold(metrics: &Metrics) -> Option<Finding> {
    let (id, warm) = WARM.into_iter().find_map(|id| Some((id, believed(metrics, id)?)))?;
    let cold = believed(metrics, COLD)?;
    let text = format!(
        "memory that the host has to find first costs {} a page to touch, {:.1} times as much as \
         memory in use before: touch what must be quick before it is needed",
        ns(cold),
        cold / warm
    );
    (cold > 1.5 * warm).then(|| Finding::note(text, &[COLD, id]))
}

/// What is copied for a child grows with what its parent uses.
fn fork(metrics: &Metrics) -> Option<Finding> {
    let (small, large) = (believed(metrics, FORK)?, believed(metrics, FORK_LARGE)?);
    let spawn = believed(metrics, SPAWN)?;
    (large > 2.0 * small && large > 2.0 * spawn).then(|| {
        Finding::note(
            format!(
                "fork takes {} with 64 MiB in use and {} with little; posix_spawn copies nothing and \
                 starts a program in {}",
                ns(large),
                ns(small),
                ns(spawn)
            ),
            &[FORK, FORK_LARGE, SPAWN],
        )
    })
}

#[cfg(test)]
mod tests {
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
        assert!(text.contains("1.20 µs, as long as a real system call"), "{text}");
    }

    #[test]
    fn slack_and_cold_memory_are_told() {
        let text = said(vec![one(LATE, 85e3), one(TIGHT, 31e3)]).join("\n");
        assert!(text.contains("85.0 µs late, but 31.0 µs"), "{text}");
        let text = said(vec![one(WARM[1], 500.0), one(COLD, 3000.0)]).join("\n");
        assert!(text.contains("6.0 times as much"), "{text}");
    }

    #[test]
    fn a_fork_that_grows_is_told_with_what_does_not() {
        let summary = recorded();
        let found = find(&summary.card, &summary.metrics);
        let text = &found.iter().find(|f| f.metrics.contains(&FORK.to_owned())).unwrap().text;
        let cost = |id| ns(summary.metrics.number(id).unwrap());
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
        assert!(filter(&card, &metrics).unwrap().text.contains("300 ns"));
    }
}
