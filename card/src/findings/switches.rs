//! Switches: what the kernel adds, and what decides on it.

use super::{Finding, believed, shown};
use crate::file::Card;
use crate::metrics::Metrics;

const THREAD: &str = "context_switch.per_switch_ns";
const ASYNC: &str = "context_switch.async_ns";
const USER: &str = "context_switch.user_ns";
const RETURN: &str = "context_switch.user_return_ns";
const THREADS: &str = "context_switch.futex.thread.same_cpu.round_trip_ns";
const PROCESSES: &str = "context_switch.futex.process.same_cpu.round_trip_ns";
const WAKEUP: &str = "context_switch.wakeup_ns";
const CALM: &str = "context_switch.ring_0k_ns";
const FULL: &str = "context_switch.ring_256k_ns";

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let found = [
        goroutine(metrics),
        by_return(metrics),
        processes(card, metrics),
        refill(metrics),
        wakeup(metrics),
    ];
    found.into_iter().flatten().collect()
}

/// The line that everyone asks for.
fn goroutine(metrics: &Metrics) -> Option<Finding> {
    let (thread, tasks) = (believed(metrics, THREAD)?, believed(metrics, ASYNC)?);
    let ratio = thread / tasks;
    let headline = format!(
        "async task switch {}, thread switch with system calls {}",
        shown(metrics, ASYNC),
        shown(metrics, THREAD)
    );
    let stack = believed(metrics, USER).map(|_| {
        format!("user-level context switch {}; threads pay system calls", shown(metrics, USER))
    });
    let found = Finding::advice("ASYNC_SWITCH", headline, ratio, "async tasks for short work");
    Some(Finding { cause: stack, ..found }.of(&[THREAD, ASYNC, USER]))
}

/// Stacks that are left by a return are left by a mispredict.
fn by_return(metrics: &Metrics) -> Option<Finding> {
    let (jump, back) = (believed(metrics, USER)?, believed(metrics, RETURN)?);
    (back > 1.5 * jump).then(|| {
        let headline = format!(
            "user-level context switch by ret {}, by indirect jump {}",
            shown(metrics, RETURN),
            shown(metrics, USER)
        );
        let cause = "return address stack (RAS) mispredict";
        let action = "leave stacks by jump, not ret";
        Finding::advice("RETURN_SWITCH", headline, back / jump, action)
            .cause(cause)
            .of(&[RETURN, USER])
    })
}

/// Ratio beyond which processes are said to cost more: futexes of processes are found more slowly,
/// which alone is a few hundredths.
const MORE: f64 = 1.25;

/// Switches between processes change the address space, and what is done against attacks.
fn processes(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let (threads, processes) = (believed(metrics, THREADS)?, believed(metrics, PROCESSES)?);
    let ratio = processes / threads;
    (ratio > MORE).then(|| {
        let mitigations = card.header.machine.kernel.mitigations.known();
        let guards: Vec<&str> = mitigations
            .into_iter()
            .flatten()
            .flat_map(|(_, state)| state.split([';', ',']).map(str::trim))
            .filter(|part| part.contains("IBPB") || part.contains("PTI"))
            .collect();
        let guards =
            if guards.is_empty() { String::new() } else { format!(", with {}", guards.join(", ")) };
        let headline = format!("switch between processes: {ratio:.1}× one between threads");
        let cause = format!("the address space changes{guards}");
        Finding::limit("PROCESS_SWITCH", headline).cause(cause).of(&[PROCESSES, THREADS])
    })
}

/// The part of a switch that no benchmark of a switch shows.
fn refill(metrics: &Metrics) -> Option<Finding> {
    let (calm, full) = (believed(metrics, CALM)?, believed(metrics, FULL)?);
    (full > 2.0 * calm).then(|| {
        let headline = format!(
            "context switch with 256 KiB footprint each: {}, without {}",
            shown(metrics, FULL),
            shown(metrics, CALM)
        );
        let cause = "cache refill in a ring of 16 threads, 64 KiB read per turn";
        Finding::limit("SWITCH_REFILL", headline).cause(cause).of(&[FULL, CALM])
    })
}

/// Across CPUs it is the wake-up that costs.
fn wakeup(metrics: &Metrics) -> Option<Finding> {
    let (wakeup, thread) = (believed(metrics, WAKEUP)?, believed(metrics, THREAD)?);
    (wakeup > 2.0 * thread).then(|| {
        let ratio = wakeup / thread;
        let headline = format!(
            "cross-CPU wake-up {}, {} a same-CPU context switch",
            shown(metrics, WAKEUP),
            super::times(ratio)
        );
        let action = "batch work shorter than a wake-up";
        Finding::limit("WAKEUP", headline).action(action).of(&[WAKEUP, THREAD])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn metrics(values: &[(&str, f64)]) -> Metrics {
        let mut all = fixture::recorded().metrics;
        all.0.retain_mut(|value| {
            let given = values.iter().find(|(id, _)| *id == value.id);
            value.value = given.map(|(_, v)| *v);
            given.is_some()
        });
        all
    }

    #[test]
    fn the_line_has_both_numbers() {
        let card = fixture::empty().card;
        let found = find(&card, &metrics(&[(THREAD, 1500.0), (ASYNC, 20.0), (USER, 2.5)]));
        let [line] = &found[..] else { panic!("{found:?}") };
        assert_eq!(line.factor, Some(75.0));
        for part in ["20.0 ns", "1.50 µs", "2.50 ns"] {
            assert!(line.text().contains(part), "{part}: {line:?}");
        }
        assert!(find(&card, &metrics(&[(THREAD, 1500.0)])).is_empty());
    }

    #[test]
    fn what_makes_no_difference_is_not_said() {
        let card = fixture::empty().card;
        let same = [
            (USER, 2.5),
            (RETURN, 2.6),
            (THREADS, 3000.0),
            (PROCESSES, 3200.0),
            (CALM, 1500.0),
            (FULL, 1600.0),
            (THREAD, 1500.0),
            (WAKEUP, 1600.0),
        ];
        assert!(find(&card, &metrics(&same)).is_empty());
        let other = [
            (USER, 2.5),
            (RETURN, 8.0),
            (THREADS, 3000.0),
            (PROCESSES, 5200.0),
            (CALM, 1500.0),
            (FULL, 100_000.0),
            (THREAD, 1500.0),
            (WAKEUP, 16_000.0),
        ];
        let found = find(&card, &metrics(&other));
        assert_eq!(found.len(), 4);
        // What a turn visits, not only what there is.
        assert!(found.iter().any(|f| f.text().contains("read per turn")), "{found:?}");
    }
}
