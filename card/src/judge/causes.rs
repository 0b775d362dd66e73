//! What may be behind a change: signatures over groups, as data, each with the fact that would confirm
//! it.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::judgement::{GroupChange, MetricChange, Standing};
use crate::glob;
use crate::machine::Machine;

const CAUSES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/reference/causes.toml"));

/// Causes that are named at most.
const NAMED: usize = 2;

/// What may be behind a change, and how to find out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// In field terms.
    pub title: String,
    /// What the card says of the facts that would confirm it.
    pub facts: Vec<String>,
    /// Where to look.
    pub look: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    title: String,
    worse: Vec<String>,
    same: Vec<String>,
    #[serde(default)]
    metrics: Vec<String>,
    /// Memory nodes that there must be.
    #[serde(default)]
    nodes: usize,
    facts: Vec<String>,
    look: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cause: Vec<Signature>,
}

fn signatures() -> &'static [Signature] {
    static READ: LazyLock<Vec<Signature>> = LazyLock::new(|| {
        let file: File = toml::from_str(CAUSES).expect("causes.toml is compiled in and tested");
        file.cause
    });
    &READ
}

/// The nearest causes. All that a signature says must hold; of those that fit, the ones that explain
/// more of what is suspect, and then the ones that say more, come first.
pub(super) fn nearest(
    groups: &[GroupChange],
    metrics: &[MetricChange],
    machine: &Machine,
) -> Vec<Cause> {
    let suspect: Vec<&str> = groups
        .iter()
        .filter(|group| group.standing == Standing::Worse)
        .map(|group| group.id.as_str())
        .collect();
    let single: Vec<&str> = metrics
        .iter()
        .filter(|metric| metric.standing == Standing::Worse)
        .map(|metric| metric.id.as_str())
        .collect();
    let mut fitting: Vec<(usize, usize, &Signature)> = signatures()
        .iter()
        .filter(|s| machine.numa_nodes().len() >= s.nodes)
        .filter(|s| s.worse.iter().all(|group| suspect.contains(&group.as_str())))
        .filter(|s| !s.same.iter().any(|group| suspect.contains(&group.as_str())))
        .filter(|s| s.metrics.iter().all(|glob| single.iter().any(|id| glob::matches(glob, id))))
        .map(|s| (s.worse.len() + s.metrics.len(), s.same.len(), s))
        .collect();
    fitting.sort_by_key(|&(explained, said, _)| std::cmp::Reverse((explained, said)));
    let rows = machine.rows();
    let mut named: Vec<Cause> = Vec::new();
    for (.., signature) in fitting {
        if named.len() < NAMED && !named.iter().any(|cause| cause.title == signature.title) {
            let facts = rows.iter().filter(|row| signature.facts.contains(&row.label));
            named.push(Cause {
                title: signature.title.clone(),
                facts: facts.map(|row| format!("{}: {}", row.label, row.value)).collect(),
                look: signature.look.clone(),
            });
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::recorded;
    use crate::judge::rules::rules;

    #[test]
    fn signatures_speak_of_groups_and_facts_that_there_are() {
        let groups: Vec<&str> = rules().groups.iter().map(|g| g.id.as_str()).collect();
        let machine = crate::fixture::two_nodes().card.header.machine;
        let labels: Vec<String> = machine.rows().into_iter().map(|row| row.label).collect();
        for signature in signatures() {
            for group in signature.worse.iter().chain(&signature.same) {
                assert!(groups.contains(&group.as_str()), "{group}");
            }
            for fact in &signature.facts {
                assert!(labels.contains(fact), "{fact}: {labels:?}");
            }
            assert!(
                !signature.look.is_empty() && signature.worse.len() + signature.metrics.len() > 0
            );
        }
    }

    #[test]
    fn nothing_suspect_has_no_cause() {
        assert_eq!(nearest(&[], &[], &recorded().card.header.machine), []);
    }
}
