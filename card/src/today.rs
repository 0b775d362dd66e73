//! What this version calls probes and metrics: cards of earlier ones say the same in other words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::declare::{Declaration, Unit};

/// What the probes declare, as `probecard list --json` prints it: kept as text, since a card knows no
/// probe's code.
pub(crate) const DECLARED: &str = include_str!("declarations.json");

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    probe: Cow<'a, str>,
    #[serde(borrow)]
    summary: Cow<'a, str>,
    method: u32,
    #[serde(borrow)]
    metrics: Vec<Metric<'a>>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    summary: Cow<'a, str>,
    unit: Unit,
}

/// Puts today's words in the place of a card's, of what it measured by today's method, in the same unit;
/// cards of before methods had numbers have none that would be another.
pub fn reword(declarations: &mut [Declaration]) {
    static TODAY: LazyLock<BTreeMap<Cow<'static, str>, Probe<'static>>> = LazyLock::new(|| {
        let all: Vec<Probe<'_>> = serde_json::from_str(DECLARED).unwrap_or_default();
        all.into_iter().map(|probe| (probe.probe.clone(), probe)).collect()
    });
    for declaration in declarations {
        let today = TODAY.get(&declaration.probe);
        let same = |today: &&Probe<'_>| [0, today.method].contains(&declaration.method);
        let Some(today) = today.filter(same) else { continue };
        declaration.summary = today.summary.clone();
        for metric in &mut declaration.metrics {
            let same = |m: &&Metric<'_>| m.id == metric.id && m.unit == metric.unit;
            if let Some(today) = today.metrics.iter().find(same) {
                metric.summary = today.summary.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::declared;

    /// What a card that says `old` everywhere says after it was read.
    fn read(change: impl Fn(&mut Declaration)) -> Declaration {
        let mut old = declared("os");
        old.summary = "old".into();
        old.metrics.iter_mut().for_each(|metric| metric.summary = "old".into());
        change(&mut old);
        let mut all = [old];
        reword(&mut all);
        let [read] = all;
        read
    }

    #[test]
    fn the_same_by_the_same_method_has_the_words_of_today() {
        assert_eq!(read(|_| ()), declared("os"));
        let before_methods = read(|old| old.method = 0);
        assert_eq!(before_methods.metrics, declared("os").metrics);
    }

    #[test]
    fn what_is_measured_otherwise_keeps_its_own_words() {
        let other = read(|old| old.method += 1);
        assert!(other.summary == "old" && other.metrics.iter().all(|m| m.summary == "old"));
        let other = read(|old| old.metrics[0].unit = Unit::Cycles);
        assert!(other.metrics[0].summary == "old" && other.metrics[1].summary != "old");
        let other = read(|old| old.metrics[0].id = "os.unheard_of_ns".into());
        assert!(other.metrics[0].summary == "old" && other.metrics[1].summary != "old");
        assert_eq!(read(|old| old.probe = "unheard-of".into()).summary, "old");
    }
}
