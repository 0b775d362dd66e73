//! Switches: what the kernel adds, and what decides on it.

use super::{Finding, believed};
use crate::declare::Unit;
use crate::file::Card;
use crate::format;
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
    let stacks = believed(metrics, USER).map_or(String::new(), |user| {
        format!(
            ", {} times a bare switch between two stacks ({})",
            format::number(thread / user),
            ns(user)
        )
    });
    let text = format!(
        "a goroutine-like switch (async tasks, a queue) costs {} here, a thread switch {} times that \
         ({}, system calls included){stacks}",
        ns(tasks),
        format::number(thread / tasks),
        ns(thread),
    );
    Some(Finding::note(text, &[ASYNC, THREAD, USER]))
}

fn ns(value: f64) -> String {
    format::quantity(value, Unit::Ns)
}

/// Stacks that are left by a return are left by a misprediction.
fn by_return(metrics: &Metrics) -> Option<Finding> {
    let (jump, back) = (believed(metrics, USER)?, believed(metrics, RETURN)?);
    (back > 1.5 * jump).then(|| {
        let text = format!(
            "a switch between stacks that ends in a return takes {} instead of {}: the CPU expects \
             the return to go where the last call came from",
            ns(back),
            ns(jump)
        );
        Finding::note(text, &[USER, RETURN])
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
        let guards = if guards.is_empty() {
            String::new()
        } else {
            format!("; the kernel's guards: {}", guards.join(", "))
        };
        let text = format!(
            "a switch between processes takes {ratio:.1} times as long as one between threads (futex, \
             one CPU): the address space changes with it{guards}"
        );
        Finding::note(text, &[PROCESSES, THREADS])
    })
}

/// The part of a switch that no benchmark of a switch shows.
fn refill(metrics: &Metrics) -> Option<Finding> {
    let (calm, full) = (believed(metrics, CALM)?, believed(metrics, FULL)?);
    (full > 2.0 * calm).then(|| {
        let text = format!(
            "among 16 threads with 256 KiB each, of which a turn visits 64 KiB, a switch and what it \
             throws out of the caches cost {}, {} times the switch alone: most of it is paid \
             afterwards",
            ns(full),
            format::number(full / calm)
        );
        Finding::note(text, &[FULL, CALM])
    })
}

/// Across CPUs it is the wake-up that costs.
fn wakeup(metrics: &Metrics) -> Option<Finding> {
    let (wakeup, thread) = (believed(metrics, WAKEUP)?, believed(metrics, THREAD)?);
    (wakeup > 2.0 * thread).then(|| {
        let text = format!(
            "waking a thread on another, idle CPU takes {}, {} times a switch on one CPU: short work \
             is not worth handing over",
            ns(wakeup),
            format::number(wakeup / thread)
        );
        Finding::note(text, &[WAKEUP, THREAD])
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
        for part in ["20", "75.0 times", "600 times", "1.5"] {
            assert!(line.text.contains(part), "{part}: {}", line.text);
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
        assert!(found.iter().any(|f| f.text.contains("a turn visits 64 KiB")), "{found:?}");
    }
}
