//! The levels of the memory system, one row each: what is claimed, what was measured, what is published.

use card::declare::Unit;
use card::findings::{Finding, size_ids};
use card::format;
use card::metrics::Value;
use card::reference;
use card::summary::Summary;

use super::machine_view::arch_key;

/// One level.
pub(in crate::report) struct Level<'a> {
    /// `L1D`, `L2`, `L3`, `DRAM`, and DRAM in small pages.
    pub(in crate::report) name: String,
    /// As measured; of DRAM what the machine has.
    pub(in crate::report) size: String,
    /// As claimed; empty where nothing is.
    pub(in crate::report) claimed: String,
    /// The finding that says that the claim does not hold.
    pub(in crate::report) finding: Option<&'a Finding>,
    /// Load to use, in nanoseconds.
    pub(in crate::report) ns: Option<&'a Value>,
    /// The same in cycles.
    pub(in crate::report) cycles: Option<&'a Value>,
    /// What is published of that.
    pub(in crate::report) published: String,
    /// Reading with one thread.
    pub(in crate::report) read: Option<&'a Value>,
}

/// A size whose rounds scatter further is a range.
const SCATTERS: f64 = 1.25;

/// The levels of which anything was measured.
pub(in crate::report) fn levels(summary: &Summary) -> Vec<Level<'_>> {
    let machine = &summary.card.header.machine;
    let [small, _] = machine.memory.page_sizes().map(card::machine::human_bytes);
    let small_name = small.to_lowercase().replace(" kib", "k");
    let memory = machine.memory.total_bytes.known().copied();
    let mut all: Vec<Level<'_>> = size_ids()
        .zip(["L1D", "L2", "L3"])
        .map(|((level, sizes), name)| {
            let claimed = machine.claimed_cache(level, true).map(|c| c.bytes);
            let id = name.trim_end_matches('D').to_lowercase();
            Level {
                size: size(summary, sizes),
                claimed: claimed.map(card::machine::human_bytes).unwrap_or_default(),
                finding: finding(summary, &format!("{name}_CAPACITY")),
                ..latency(summary, name.to_owned(), &id)
            }
        })
        .collect();
    let size = memory.map(card::machine::human_bytes).unwrap_or_default();
    all.push(Level { size, ..latency(summary, "DRAM".into(), "dram") });
    all.push(latency(summary, format!("{small} pages"), &format!("dram_{small_name}")));
    all.retain(|level| level.ns.is_some_and(|ns| ns.value.is_some()) || level.read.is_some());
    all
}

fn finding<'a>(summary: &'a Summary, code: &str) -> Option<&'a Finding> {
    summary.findings.iter().find(|f| f.code == code)
}

/// The first of these that was measured.
fn size(summary: &Summary, ids: [&str; 2]) -> String {
    let values = ids.iter().filter_map(|id| summary.metrics.get(id));
    let Some(value) = values.into_iter().find(|v| v.value.is_some()) else { return "?".into() };
    match (value.low, value.high) {
        (Some(low), Some(high)) if high > low * SCATTERS => format::range(low, high, Unit::Bytes),
        _ => value.value.map(|v| format::quantity(v, Unit::Bytes)).unwrap_or_default(),
    }
}

fn latency<'a>(summary: &'a Summary, name: String, id: &str) -> Level<'a> {
    let of = |id: &str| summary.metrics.get(id);
    let cycles = of(&format!("memory.latency.{id}_cycles"));
    let published = cycles.zip(arch_key(&summary.card.header.machine)).and_then(|(value, arch)| {
        let published = reference::published(arch, &value.id)?;
        let range = format::range(published.low, published.high, Unit::Cycles);
        Some(range.trim_end_matches(" cycles").to_owned())
    });
    Level {
        name,
        size: String::new(),
        claimed: String::new(),
        finding: None,
        ns: of(&format!("memory.latency.{id}_ns")),
        cycles,
        published: published.unwrap_or_default(),
        read: of(&format!("memory.bandwidth.read.{id}_gbs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn each_level_has_the_numbers_of_its_metrics() {
        let summary = fixture::recorded();
        let levels = levels(&summary);
        let names: Vec<&str> = levels.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["L1D", "L2", "L3", "DRAM", "4 KiB pages"]);
        let number = |id: &str| summary.metrics.get(id);
        assert_eq!(levels[2].ns, number("memory.latency.l3_ns"));
        assert_eq!(levels[4].ns, number("memory.latency.dram_4k_ns"));
        assert_eq!(levels[3].read, number("memory.bandwidth.read.dram_gbs"));
        assert_eq!(levels[0].claimed, "32 KiB");
        assert_eq!(levels[0].published, "4");
        assert!(levels[2].finding.is_some() && levels[2].size.contains('–'), "{}", levels[2].size);
        assert!(super::levels(&fixture::empty()).is_empty());
    }
}
