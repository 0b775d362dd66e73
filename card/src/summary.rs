//! A card with all that is computed from it, and the object that programs read.

use serde_json::{Map, json};

use crate::file::{self, Card};
use crate::findings::{self, Finding};
use crate::metrics::{self, Metrics};
use crate::view::each_cpu;

/// A card with all that is computed from it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The card.
    pub card: Card,
    /// Its metrics.
    pub metrics: Metrics,
    /// What contradicts a claim.
    pub findings: Vec<Finding>,
}

impl Summary {
    /// Evaluates the card.
    pub fn of(card: Card) -> Summary {
        let metrics = metrics::evaluate(&card);
        let findings = findings::find(&card, &metrics);
        Summary { card, metrics, findings }
    }
}

/// The object that programs read; its shape is a promise.
pub fn json(summary: &Summary) -> serde_json::Value {
    let metrics: Map<String, serde_json::Value> =
        summary.metrics.0.iter().map(|v| (v.id.clone(), metric_json(v))).collect();
    let mut all = json!({
        "format": file::FORMAT,
        "machine": summary.card.header.machine,
        "metrics": metrics,
        "findings": summary.findings,
        "skips": summary.card.skips,
        "failures": summary.card.fails,
    });
    let each_cpu = each_cpu::ranked(&summary.card);
    if !each_cpu.is_empty() {
        all["each_cpu"] = json!(each_cpu);
    }
    all
}

fn metric_json(value: &metrics::Value) -> serde_json::Value {
    let mut metric = json!({
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "unit": value.unit,
        "state": value.state,
        "grade": value.grade,
        "reason": value.reason,
        "family": value.family,
        "tier": value.tier,
        "better": value.better,
        "rounds": value.rounds,
    });
    if !value.states.is_empty() {
        metric["states"] = json!(value.states);
    }
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::series::Met;

    #[test]
    fn several_states_stand_beside_the_number() {
        let mut summary = fixture::summary();
        let met = |value, share, rounds| Met { value, share, rounds };
        summary.metrics.0[0].states = vec![met(1.93, 0.4, 2), met(2.17, 0.6, 3)];
        let id = summary.metrics.0[0].id.clone();
        let states = &json(&summary)["metrics"][id]["states"];
        assert_eq!(states[1], json!({"value": 2.17, "share": 0.6, "rounds": 3}));
    }

    #[test]
    fn json_has_the_promised_shape() {
        let summary = fixture::summary();
        let json = json(&summary);
        let mut keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["failures", "findings", "format", "machine", "metrics", "skips"]);
        let metric = &json["metrics"]["memory.latency.l1_ns"];
        let mut keys: Vec<&String> = metric.as_object().unwrap().keys().collect();
        keys.sort();
        let promised = [
            "better", "family", "grade", "high", "low", "reason", "rounds", "state", "tier",
            "unit", "value",
        ];
        assert_eq!(keys, promised);
        assert_eq!(metric["unit"], "ns");
        assert_eq!(metric["state"], "ok");
        assert_eq!(metric["grade"], "within_5");
        assert_eq!(metric["tier"], "T1");
        assert_eq!(json["skips"][0]["remedy"], summary.card.skips[0].remedy);
    }
}
