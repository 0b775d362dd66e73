//! Metrics as people read them: by family, and a time in ns and cycles on one line.

use card::metrics::{Metrics, Value};

/// One line: a metric, with its twin in cycles where it has one.
pub(super) struct Pair<'a> {
    /// The id, without `_ns` where there is a twin.
    pub(super) name: &'a str,
    /// The metric.
    pub(super) main: &'a Value,
    /// The same in cycles.
    pub(super) cycles: Option<&'a Value>,
}

/// A component family with its lines.
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) pairs: Vec<Pair<'a>>,
}

/// All metrics in the order of the card, families in the order of their first metric.
pub(super) fn families(metrics: &Metrics) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for value in &metrics.0 {
        let Some(pair) = pair(metrics, value) else { continue };
        match families.iter_mut().find(|f| f.name == value.family) {
            Some(family) => family.pairs.push(pair),
            None => families.push(Family { name: &value.family, pairs: vec![pair] }),
        }
    }
    families
}

/// `None` for the cycles of a time that is on the card too: they stand on its line.
fn pair<'a>(metrics: &'a Metrics, value: &'a Value) -> Option<Pair<'a>> {
    if let Some(stem) = value.id.strip_suffix("_cycles")
        && metrics.get(&format!("{stem}_ns")).is_some()
    {
        return None;
    }
    let twin = value
        .id
        .strip_suffix("_ns")
        .and_then(|stem| Some((stem, metrics.get(&format!("{stem}_cycles"))?)));
    Some(match twin {
        Some((name, cycles)) => Pair { name, main: value, cycles: Some(cycles) },
        None => Pair { name: &value.id, main: value, cycles: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn time_and_cycles_share_a_line_and_nothing_is_lost() {
        let summary = fixture::summary();
        let families = families(&summary.metrics);
        let lines: Vec<&Pair<'_>> = families.iter().flat_map(|f| &f.pairs).collect();
        let l1 = lines.iter().find(|p| p.name == "memory.latency.l1").unwrap();
        assert_eq!(l1.cycles.unwrap().id, "memory.latency.l1_cycles");
        let shown = lines.len() + lines.iter().filter(|p| p.cycles.is_some()).count();
        assert_eq!(shown, summary.metrics.0.len());
    }
}
