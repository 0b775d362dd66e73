//! What habits of code cost on this machine.

use super::{Finding, believed, times};
use crate::metrics::Metrics;

pub(super) fn find(metrics: &Metrics) -> Vec<Finding> {
    let mut found = dear(metrics);
    found.extend(free(metrics));
    found
}

/// Habits by metric: code, what is done, and what to do instead.
const HABITS: [(&str, &str, &str, &str); 6] = [
    (
        "idioms.write_unbuffered_ratio",
        "UNBUFFERED_WRITES",
        "unbuffered 1-byte writes",
        "buffer 1-byte writes",
    ),
    (
        "idioms.string_concat_ratio",
        "STRING_COPIES",
        "string concatenation by copying",
        "append to one buffer",
    ),
    (
        "idioms.column_order_ratio",
        "COLUMN_ORDER",
        "column-order matrix traversal",
        "traverse by rows",
    ),
    (
        "idioms.array_of_structs_ratio",
        "ARRAY_OF_STRUCTS",
        "one field of an array of structs",
        "struct of arrays",
    ),
    (
        "idioms.lock_around_io_ratio",
        "LOCK_AROUND_IO",
        "lock held during a write",
        "write outside the lock",
    ),
    (
        "idioms.vec_grow_ratio",
        "VECTOR_GROWTH",
        "vector growth by reallocation",
        "reserve the capacity",
    ),
];

/// A habit that is worth breaking.
const DEAR: f64 = 2.0;

fn dear(metrics: &Metrics) -> Vec<Finding> {
    let costs = HABITS.iter().filter_map(|habit| Some((believed(metrics, habit.0)?, habit)));
    let mut all: Vec<_> = costs.filter(|(cost, _)| *cost >= DEAR).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let finding = |(cost, (id, code, habit, action)): (f64, &(&str, &str, &str, &str))| {
        let headline = format!("{habit}: {} the time", times(cost));
        Finding::advice(code, headline, cost, action).of(&[id])
    };
    all.into_iter().map(finding).collect()
}

/// Pairs of times whose difference nobody would notice.
const FREE: f64 = 1.1;

fn free(metrics: &Metrics) -> Option<Finding> {
    let direct = "idioms.call_direct_ns";
    let calls = [
        ("idioms.call_indirect_ns", "constant function pointers"),
        ("idioms.call_dyn_ns", "monomorphic dyn calls"),
    ];
    let call = |(id, what)| {
        let ratio = believed(metrics, id)? / believed(metrics, direct)?;
        (ratio < FREE).then_some((id, what))
    };
    let packed = ("idioms.packed_ratio", "packed structs in cache");
    let packed = believed(metrics, packed.0).filter(|ratio| *ratio < FREE).map(|_| packed);
    let all: Vec<(&str, &str)> = calls.into_iter().filter_map(call).chain(packed).collect();
    let list: Vec<&str> = all.iter().map(|free| free.1).collect();
    let ids: Vec<&str> = all.iter().map(|free| free.0).collect();
    let headline = format!("no measurable cost here: {}", list.join(", "));
    (!all.is_empty()).then(|| Finding::no_gain("NO_COST", headline).of(&ids))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn habits_are_ordered_by_what_they_cost_and_those_that_cost_nothing_named() {
        let metrics = fixture::recorded().metrics;
        let found = find(&metrics);
        let cost = metrics.number("idioms.write_unbuffered_ratio").unwrap();
        assert_eq!(found[0].headline, format!("unbuffered 1-byte writes: {cost:.0}× the time"));
        assert_eq!(found[1].code, "COLUMN_ORDER");
        assert!(!found.iter().any(|f| f.code == "VECTOR_GROWTH"), "{found:?}");
        let last = &found.last().unwrap().headline;
        assert!(last.contains("no measurable cost") && last.contains("dyn calls"), "{last}");
    }
}
