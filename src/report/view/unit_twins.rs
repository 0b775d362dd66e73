//! Metrics as people read them: by family, and a time in ns and cycles on one line.

use card::metrics::{Metrics, Value};

/// One line: a metric, with its twin in cycles where it has one.
pub(in crate::report) struct Line<'a> {
    /// The id, without `_ns` where there is a twin.
    pub(in crate::report) name: &'a str,
    /// The metric.
    pub(in crate::report) main: &'a Value,
    /// The same in cycles.
    pub(in crate::report) cycles: Option<&'a Value>,
}

/// A component family with its lines.
pub(in crate::report) struct Family<'a> {
    pub(in crate::report) name: &'a str,
    pub(in crate::report) lines: Vec<Line<'a>>,
}

/// All metrics in the order of the card, families in the order of their first metric.
pub(in crate::report) fn families(metrics: &Metrics) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for value in &metrics.0 {
        let Some(line) = line(metrics, value) else { continue };
        match families.iter_mut().find(|f| f.name == value.family) {
            Some(family) => family.lines.push(line),
            None => families.push(Family { name: &value.family, lines: vec![line] }),
        }
    }
    families
}

/// `None` for the cycles of a time that is on the card too: they stand on its line.
fn line<'a>(metrics: &'a Metrics, value: &'a Value) -> Option<Line<'a>> {
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
        Some((name, cycles)) => Line { name, main: value, cycles: Some(cycles) },
        None => Line { name: &value.id, main: value, cycles: None },
    })
}

/// Names of what has no value, by why.
pub(in crate::report) fn by_reason<'a>(lines: &[&Line<'a>]) -> Vec<(String, Vec<&'a str>)> {
    let reason = |of: &Line<'_>| of.main.reason.clone().unwrap_or_else(|| "not measured".into());
    super::grouped(lines.iter().map(|line| (reason(line), line.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn time_and_cycles_share_a_line_and_nothing_is_lost() {
        let summary = fixture::summary();
        let families = families(&summary.metrics);
        let lines: Vec<&Line<'_>> = families.iter().flat_map(|f| &f.lines).collect();
        let l1 = lines.iter().find(|p| p.name == "memory.latency.l1").unwrap();
        assert_eq!(l1.cycles.unwrap().id, "memory.latency.l1_cycles");
        let shown = lines.len() + lines.iter().filter(|p| p.cycles.is_some()).count();
        assert_eq!(shown, summary.metrics.0.len());
    }
}
