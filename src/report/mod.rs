//! What people and programs read: the card in the terminal, the page with its pictures, JSON.
//! Everything is computed from a [`Card`]; nothing here measures or knows a probe's code.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, json};

use crate::card::Card;
use crate::files;
use crate::findings::{self, Finding};
use crate::metrics::{self, Metrics};

mod bandwidth;
mod counters;
pub mod format;
pub mod page;
pub mod plots;
pub mod text;

#[cfg(test)]
pub(crate) mod fixture;
mod ladder;
mod machine_view;
mod pairs;
mod roofline;
mod vectors;

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

/// Writes `report.html` and each picture as SVG and PNG into `dir`, which is made if need be.
/// Returns the files in the order in which a reader wants them, the page first.
/// Nothing is overwritten unless `force`.
pub fn write(dir: &Path, summary: &Summary, force: bool) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).with_context(|| {
        format!("cannot make the folder {}: choose another one with --out", dir.display())
    })?;
    let pictures = plots::all(summary);
    let page = page::html(summary, &pictures)?;
    let mut contents = vec![("report.html".to_owned(), page.as_bytes())];
    for picture in &pictures {
        contents.push((format!("{}.svg", picture.name), picture.svg.as_bytes()));
        contents.push((format!("{}.png", picture.name), &picture.png));
    }
    // All are looked at before the first is written.
    for path in contents.iter().map(|(name, _)| dir.join(name)) {
        anyhow::ensure!(
            force || !path.exists(),
            "{} exists: add --force to overwrite it, or choose another folder with --out",
            path.display()
        );
    }
    contents.iter().map(|(name, bytes)| save(dir, name, bytes)).collect()
}

fn save(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    files::write(&path, bytes)?;
    Ok(path)
}

/// The object that programs read; its shape is a promise.
pub fn json(summary: &Summary) -> serde_json::Value {
    let metrics: Map<String, serde_json::Value> =
        summary.metrics.0.iter().map(|v| (v.id.clone(), metric_json(v))).collect();
    json!({
        "format": crate::card::FORMAT,
        "machine": summary.card.header.machine,
        "metrics": metrics,
        "findings": summary.findings,
        "skips": summary.card.skips,
        "failures": summary.card.fails,
    })
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

    #[test]
    fn files_are_written_page_first() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("new/folder");
        let written = write(&out, &fixture::empty(), false).unwrap();
        assert_eq!(written, [out.join("report.html")]);
        let error = write(&out, &fixture::empty(), false).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        write(&out, &fixture::empty(), true).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = format!("{:#}", write(&blocked, &fixture::empty(), false).unwrap_err());
        assert!(error.contains("file") && error.contains("--out"), "{error}");
    }
}
