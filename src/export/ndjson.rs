//! A metric on each line, for tables and databases (BigQuery, jq, DuckDB).

use card::clean;
use card::file::Header;
use card::metrics::Value;
use card::summary::Summary;
use serde::Serialize;

/// A line: of which run on which machine, and all that is known of the metric, as in `show --json`.
#[derive(Serialize)]
struct Row<'a> {
    host: Option<&'a str>,
    run: &'a str,
    start: &'a str,
    probecard: &'a str,
    cpu: usize,
    plan: &'a str,
    metric: &'a str,
    #[serde(flatten)]
    value: &'a Value,
}

/// One JSON object a line, of all metrics; `value` is null where there is none, and `reason` says why.
pub fn text(summary: &Summary) -> String {
    summary.metrics.0.iter().map(|value| line(&summary.card.header, value)).collect()
}

fn line(header: &Header, value: &Value) -> String {
    let row = Row {
        host: header.machine.host.name.known().map(String::as_str),
        run: &header.id,
        start: &header.start,
        probecard: &header.tool.version,
        cpu: header.plan.cpu,
        plan: &header.plan.tier,
        metric: &value.id,
        value,
    };
    // Numbers, texts and lists of them: nothing that has no JSON.
    clean::json(&serde_json::to_string(&row).unwrap_or_default()) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::{HOSTILE, hostile};
    use card::fixture;

    #[test]
    fn a_line_is_an_object_whatever_stands_in_it() {
        let summary = hostile(HOSTILE);
        let text = text(&summary);
        assert_eq!(text.lines().count(), summary.metrics.0.len());
        for (line, value) in text.lines().zip(&summary.metrics.0) {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(row["metric"], value.id.as_str());
            assert_eq!(row["host"], HOSTILE);
            assert_eq!(row["value"].as_f64(), value.value.filter(|v| v.is_finite()));
            assert!(!line.contains(|c: char| c.is_control()), "{line}");
        }
    }

    #[test]
    fn what_was_not_measured_says_why() {
        let text = text(&fixture::recorded());
        let rows = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        let absent: Vec<_> = rows.filter(|row| row["state"] == "unavailable").collect();
        assert!(!absent.is_empty());
        for row in absent {
            assert!(row["value"].is_null() && row["reason"].is_string(), "{row}");
        }
    }
}
