//! The levels of the memory system, one row each: what is claimed, what was measured, what is published.

use card::declare::Unit;
use card::findings::{Finding, size_ids};
use card::format;
use card::machine::human_bytes;
use card::metrics::Value;
use card::reference;
use card::summary::Summary;

use super::machine_view::arch_key;

/// One level. Texts are empty where there is nothing to say.
#[derive(Default)]
pub(in crate::report) struct Level<'a> {
    /// `L1D`, `L2`, `L3`, `DRAM`, and DRAM in small pages.
    pub(in crate::report) name: String,
    /// As measured; of DRAM what the machine has.
    pub(in crate::report) size: String,
    /// As claimed.
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
    /// The same in bytes per cycle.
    pub(in crate::report) per_cycle: Option<&'a Value>,
    /// What is published of that.
    pub(in crate::report) limit: Option<f64>,
    /// Writing with one thread.
    pub(in crate::report) write: Option<&'a Value>,
    /// Loads in flight of one core.
    pub(in crate::report) outstanding: Option<&'a Value>,
}

/// The levels of which anything was measured.
pub(in crate::report) fn levels(summary: &Summary) -> Vec<Level<'_>> {
    let machine = &summary.card.header.machine;
    let [small, _] = machine.memory.page_sizes().map(human_bytes);
    let small_name = small.to_lowercase().replace(" kib", "k");
    let memory = machine.memory.total_bytes.known().copied();
    let mut all: Vec<Level<'_>> = size_ids()
        .zip(["L1D", "L2", "L3"])
        .map(|((level, sizes), name)| {
            let claimed = machine.claimed_cache(level, true).map(|c| c.bytes);
            let id = name.trim_end_matches('D').to_lowercase();
            Level {
                size: size(summary, sizes),
                claimed: claimed.map(human_bytes).unwrap_or_default(),
                finding: finding(summary, &format!("{name}_CAPACITY")),
                ..measured(summary, name.to_owned(), &id)
            }
        })
        .collect();
    let size = memory.map(human_bytes).unwrap_or_default();
    all.push(Level { size, ..measured(summary, "DRAM".into(), "dram") });
    all.push(measured(summary, format!("{small} pages"), &format!("dram_{small_name}")));
    let any = |value: Option<&Value>| value.is_some_and(|value| value.value.is_some());
    all.retain(|level| any(level.ns) || any(level.read));
    all
}

fn finding<'a>(summary: &'a Summary, code: &str) -> Option<&'a Finding> {
    summary.findings.iter().find(|f| f.code == code)
}

/// The first of these that was measured.
fn size(summary: &Summary, ids: [&str; 2]) -> String {
    let values = ids.iter().filter_map(|id| summary.metrics.get(id));
    values.into_iter().find(|v| v.value.is_some()).map_or("?".into(), format::size)
}

fn measured<'a>(summary: &'a Summary, name: String, id: &str) -> Level<'a> {
    let of = |id: &str| summary.metrics.get(id);
    let published = |value: Option<&Value>| {
        reference::published(arch_key(&summary.card.header.machine)?, &value?.id)
    };
    let cycles = of(&format!("memory.latency.{id}_cycles"));
    let range = published(cycles).map(|p| format::range(p.low, p.high, Unit::Unknown));
    let per_cycle = of(&format!("memory.bandwidth.read.{id}_bytes_per_cycle"));
    Level {
        name,
        ns: of(&format!("memory.latency.{id}_ns")),
        cycles,
        published: range.unwrap_or_default(),
        read: of(&format!("memory.bandwidth.read.{id}_gbs")),
        per_cycle,
        limit: published(per_cycle).map(|p| p.high).filter(|limit| *limit > 0.0),
        write: of(&format!("memory.bandwidth.write.{id}_gbs")),
        outstanding: of(&format!("memory.parallelism.{id}_misses")),
        ..Level::default()
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
        assert_eq!(levels[1].outstanding, number("memory.parallelism.l2_misses"));
        assert!(levels[0].limit.is_some() && levels[4].per_cycle.is_none());
        assert!(levels[2].finding.is_some() && levels[2].size.contains('–'), "{}", levels[2].size);
        assert!(super::levels(&fixture::empty()).is_empty());
    }
}
