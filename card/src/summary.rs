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
    json!({
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "unit": value.unit,
        "state": value.state,
        "reason": value.reason,
        "family": value.family,
        "tier": value.tier,
        "better": value.better,
        "rounds": value.rounds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn json_has_the_promised_shape() {
        let json = json(&fixture::summary());
        let mut keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["failures", "findings", "format", "machine", "metrics", "skips"]);
        let metric = &json["metrics"]["memory.latency.l1_ns"];
        let mut keys: Vec<&String> = metric.as_object().unwrap().keys().collect();
        keys.sort();
        let promised = [
            "better", "family", "high", "low", "reason", "rounds", "state", "tier", "unit", "value",
        ];
        assert_eq!(keys, promised);
        assert_eq!(metric["unit"], "ns");
        assert_eq!(metric["state"], "ok");
        assert_eq!(metric["tier"], "T1");
        assert_eq!(json["skips"][0]["remedy"], "mount a disk");
    }
}
