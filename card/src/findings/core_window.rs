//! Reorder buffer, load and store queues, against what is published.

use super::{Finding, design, published};
use crate::file::Card;
use crate::metrics::Metrics;
use crate::reference;

const WINDOW: &str = "core.reorder_window_entries";
const LOADS: &str = "core.load_queue_entries";

/// What is counted is held against what is published for the core.
const COUNTS: [&str; 3] = [WINDOW, LOADS, "core.store_queue_entries"];

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    // A window that is halved explains itself, whatever is published.
    let halved = halved(card, metrics);
    let counts = if halved.is_some() { &COUNTS[1..] } else { &COUNTS };
    let window = metrics.number(WINDOW);
    let mut found = published::counts(card, metrics, counts, |id, measured| {
        (id == LOADS && window.is_some_and(|window| measured > 0.9 * window))
            .then_some("lower bound: the reorder buffer is full before the load queue is")
    });
    found.extend(halved);
    found
}

/// A core that runs two threads gives each of them half of its window.
fn halved(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let value = metrics.get(WINDOW)?;
    let (measured, low, high) = (value.value?, value.low?, value.high?);
    let half = |part: f64, whole: f64| (0.4..0.6).contains(&(part / whole));
    let published = design(card).and_then(|arch| reference::published(&arch.key, WINDOW));
    let (headline, cause) = if half(low, high) {
        (
            format!(
                "reorder buffer looks halved: {low:.0} entries in some rounds, {high:.0} in others"
            ),
            "the SMT sibling is busy: other counts of this card may be those of half a core too",
        )
    } else if let Some(published) = published.filter(|p| half(measured, p.high)) {
        (
            format!(
                "reorder buffer looks halved: {measured:.0} entries, published {:.0}",
                published.high
            ),
            "the SMT sibling is always busy, or the core is split between two threads",
        )
    } else {
        return None;
    };
    Some(Finding::quality("ROB_HALVED", headline).cause(cause).of(&[WINDOW]))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::tests::{said, value};
    use super::*;
    use crate::metrics::Value;

    fn entries(id: &str, n: f64) -> Value {
        value(id, Unit::Count, n)
    }

    #[test]
    fn counts_near_the_published_ones_need_no_words() {
        // Zen 5: a window of 448, 104 stores.
        let near = vec![entries(WINDOW, 441.0), entries("core.store_queue_entries", 104.0)];
        assert_eq!(said(near), [] as [String; 0]);
    }

    #[test]
    fn loads_that_the_window_limits_are_noted_with_that_reason() {
        let loads = vec![entries(WINDOW, 445.0), entries(LOADS, 440.0)];
        let text = said(loads).join("\n");
        assert!(text.contains("lower bound: the reorder buffer is full"), "{text}");
    }

    #[test]
    fn a_window_that_looks_halved_is_a_warning_and_said_once() {
        let all = said(vec![entries(WINDOW, 222.0)]);
        assert_eq!(all.len(), 1);
        assert!(all[0].contains("looks halved"), "{all:?}");
        let mut mixed = entries(WINDOW, 440.0);
        mixed.low = Some(220.0);
        assert!(said(vec![mixed]).join("\n").contains("220 entries in some rounds"));
        // A window that is merely another one is not halved.
        assert!(!said(vec![entries(WINDOW, 320.0)]).join("\n").contains("halved"));
    }
}
