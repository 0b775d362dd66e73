//! What habits cost on this machine.

use super::{Finding, believed};
use crate::metrics::Metrics;

pub(super) fn find(metrics: &Metrics) -> Vec<Finding> {
    [dear(metrics), free(metrics)].into_iter().flatten().collect()
}

/// Habits by metric: what is done, and what would be done instead.
const HABITS: [(&str, &str); 6] = [
    ("idioms.write_unbuffered_ratio", "single bytes written without a buffer"),
    ("idioms.string_concat_ratio", "strings put together by copying"),
    ("idioms.column_order_ratio", "a matrix read by columns"),
    ("idioms.array_of_structs_ratio", "one field read from an array of structs"),
    ("idioms.lock_around_io_ratio", "a lock held while writing"),
    ("idioms.vec_grow_ratio", "vectors that grow"),
];

/// A habit that is worth breaking.
const DEAR: f64 = 2.0;

fn dear(metrics: &Metrics) -> Option<Finding> {
    let cost = |(id, what)| Some((believed(metrics, id)?, id, what));
    let mut all: Vec<(f64, &str, &str)> =
        HABITS.into_iter().filter_map(cost).filter(|habit| habit.0 >= DEAR).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let words = |(ratio, _, what): &(f64, &str, &str)| format!("{what} ({})", times(*ratio));
    let list: Vec<String> = all.iter().map(words).collect();
    let ids: Vec<&str> = all.iter().map(|habit| habit.1).collect();
    let text = format!("dearest of the habits that guides warn of: {}", list.join(", "));
    (!all.is_empty()).then(|| Finding::note(text, &ids))
}

/// Pairs of times whose difference nobody would notice.
const FREE: f64 = 1.1;

fn free(metrics: &Metrics) -> Option<Finding> {
    let direct = "idioms.call_direct_ns";
    let calls = [
        ("idioms.call_indirect_ns", "function pointers that keep their target"),
        ("idioms.call_dyn_ns", "dyn calls to one type"),
    ];
    let call = |(id, what)| {
        let ratio = believed(metrics, id)? / believed(metrics, direct)?;
        (ratio < FREE).then_some((id, what))
    };
    let packed = ("idioms.packed_ratio", "packed records in cache");
    let packed = believed(metrics, packed.0).filter(|ratio| *ratio < FREE).map(|_| packed);
    let all: Vec<(&str, &str)> = calls.into_iter().filter_map(call).chain(packed).collect();
    let list: Vec<&str> = all.iter().map(|free| free.1).collect();
    let ids: Vec<&str> = all.iter().map(|free| free.0).collect();
    let text = format!("warned of, and free on this machine: {}", list.join(", "));
    (!all.is_empty()).then(|| Finding::note(text, &ids))
}

fn times(ratio: f64) -> String {
    if ratio < 9.5 { format!("{ratio:.1}×") } else { format!("{ratio:.0}×") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn habits_are_ordered_by_what_they_cost_and_those_that_cost_nothing_named() {
        let metrics = fixture::recorded().metrics;
        let found = find(&metrics);
        let texts: Vec<&str> = found.iter().map(|f| f.text.as_str()).collect();
        let cost = metrics.number("idioms.write_unbuffered_ratio").unwrap();
        let first = format!("without a buffer ({cost:.0}×), a matrix read by columns");
        assert!(texts[0].contains(&first), "{texts:?}");
        assert!(!texts[0].contains("grow"), "{texts:?}");
        assert!(texts[1].contains("free") && texts[1].contains("dyn calls"), "{texts:?}");
    }

    #[test]
    fn every_metric_that_is_named_is_declared() {
        let metrics = fixture::recorded().metrics;
        for finding in find(&metrics) {
            assert!(finding.metrics.iter().all(|id| metrics.get(id).is_some()), "{finding:?}");
        }
    }
}
