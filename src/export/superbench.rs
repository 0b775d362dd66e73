//! A line for the diagnosis of `SuperBench` (`sb result diagnosis`): one flat object for a node.

use std::collections::BTreeSet;

use card::clean;
use card::format::believable;
use card::summary::Summary;
use serde_json::{Map, Value};

use super::tidy;

/// `{"node": "name", "clock/return_code": 0, "clock/clock.core_ghz:0": 3.7, …}`: a benchmark for each probe. Numbers
/// are in the unit that their id ends in, and the rank is always 0; what was not measured is left out. A return code
/// is 1 where a round failed, as the rule that each benchmark must have expects.
pub fn text(summary: &Summary) -> String {
    let mut node = Map::new();
    let host = &summary.card.header.machine.host.name;
    node.insert("node".into(), host.known().map_or("unknown", String::as_str).into());
    let failed: BTreeSet<&str> = summary.card.fails.iter().map(|f| f.probe.as_str()).collect();
    for value in &summary.metrics.0 {
        let code = u8::from(failed.contains(value.probe.as_str()));
        node.insert(format!("{}/return_code", value.probe), code.into());
        if let Some(number) = believable(value) {
            node.insert(format!("{}/{}:0", value.probe, value.id), tidy(number).into());
        }
    }
    clean::json(&Value::Object(node).to_string()) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::{HOSTILE, hostile};
    use card::fixture;

    fn object(summary: &Summary) -> Map<String, Value> {
        let line = text(summary);
        assert_eq!(line.lines().count(), 1);
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn everything_but_the_name_of_the_node_is_a_number() {
        for summary in [fixture::summary(), hostile(HOSTILE)] {
            let node = object(&summary);
            assert!(node["node"].is_string());
            assert!(node.iter().all(|(key, value)| key == "node" || value.is_number()));
        }
    }

    #[test]
    fn a_failed_round_is_a_return_code_and_no_number_is_no_key() {
        let node = object(&fixture::summary());
        assert_eq!(
            (&node["branch/return_code"], &node["clock/return_code"]),
            (&1.into(), &0.into())
        );
        assert!(node["clock/clock.core_ghz:0"].as_f64().unwrap() > 0.1);
        // Two methods disagree on it.
        assert!(!node.contains_key("cache-line/cache.line_bytes:0"));
    }
}
