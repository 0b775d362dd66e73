//! Classes of noise, groups of metrics that fail together, and which metric belongs where: data, not
//! code.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::glob;

const JUDGING: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/reference/judging.toml"));

/// What is known of metrics that are noisy in the same way. Shares of 1.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Short name.
    pub id: String,
    /// What people read.
    pub title: String,
    /// No smaller change is worth anybody's time.
    pub floor: f64,
    /// What sessions of one machine differ by, beyond what their rounds say.
    pub between: f64,
    /// What the rounds of a run differ by where nothing was learned of the metric.
    pub rounds: f64,
    /// Times of it grow as the clock falls.
    #[serde(default)]
    pub follows_clock: bool,
}

/// Metrics that one fault moves together. Shares of 1.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Short name.
    pub id: String,
    /// What people read.
    pub title: String,
    /// No smaller change of its median is worth anybody's time.
    pub floor: f64,
    /// What its median differs by from run to run.
    pub spread: f64,
    /// And from session to session.
    pub between: f64,
    metrics: Vec<Members>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    ids: String,
    class: String,
    #[serde(default)]
    but: Vec<String>,
}

impl Members {
    fn hold(&self, id: &str) -> bool {
        glob::matches(&self.ids, id) && !self.but.iter().any(|but| glob::matches(but, id))
    }
}

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    #[serde(rename = "class")]
    classes: Vec<Class>,
    /// In the order in which people read them.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

impl Rules {
    /// The class and the group of a metric; `None`: it is shown and not judged.
    pub fn place(&self, id: &str) -> Option<(&Class, &Group)> {
        self.groups.iter().find_map(|group| {
            let members = group.metrics.iter().find(|members| members.hold(id))?;
            let class = self.classes.iter().find(|class| class.id == members.class)?;
            Some((class, group))
        })
    }
}

/// The rules that are compiled in.
pub fn rules() -> &'static Rules {
    static RULES: LazyLock<Rules> =
        LazyLock::new(|| toml::from_str(JUDGING).expect("judging.toml is compiled in and tested"));
    &RULES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::declare::{Better, Metric};
    use crate::fixture::all_declared;

    fn declared() -> impl Iterator<Item = &'static Metric> {
        all_declared().iter().flat_map(|declaration| &declaration.metrics)
    }

    #[test]
    fn every_class_is_used_and_every_pattern_holds_a_metric() {
        let rules = rules();
        let used: BTreeSet<&str> =
            rules.groups.iter().flat_map(|g| &g.metrics).map(|m| m.class.as_str()).collect();
        let classes: BTreeSet<&str> = rules.classes.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(used, classes);
        for members in rules.groups.iter().flat_map(|group| &group.metrics) {
            // Pages of other sizes are other machines'.
            let elsewhere = ["os.page_fault_16k*", "os.page_fault_64k*"];
            let held = declared().any(|metric| members.hold(&metric.id));
            assert!(held || elsewhere.contains(&members.ids.as_str()), "{}", members.ids);
        }
    }

    #[test]
    fn every_metric_that_may_speak_has_a_place_or_is_a_property() {
        let homeless: Vec<&str> = declared()
            .filter(|m| m.report_only.is_none() && m.better != Better::Same)
            .filter(|m| rules().place(&m.id).is_none())
            .map(|m| m.id.as_ref())
            .collect();
        // The file system's page cache decides, and what was measured once cannot be judged.
        assert_eq!(homeless, ["os.page_fault_cold_ns", "os.page_fault_file_ns"]);
    }

    #[test]
    fn a_metric_is_in_the_group_that_one_would_look_in() {
        for (id, class, group) in [
            ("memory.bandwidth.copy_nt.l1_bytes_per_cycle", "l3", "memory_bandwidth"),
            ("memory.bandwidth.copy_nt.dram_gbs", "memory", "memory_bandwidth"),
            ("memory.bandwidth.copy.l1_bytes_per_cycle", "core", "caches"),
            ("simd.sum.avx.l3_bytes_per_cycle", "l3", "l3"),
            ("simd.fma.f32.avx.flops_per_cycle", "core", "core"),
            ("simd.clock.avx_all_core_ratio", "clock", "clock_load"),
            ("idioms.map_int_key_dram_ns", "memory", "memory_latency"),
            ("idioms.map_int_key_cycles", "program", "programs"),
            ("context_switch.user_cycles", "program", "programs"),
            ("context_switch.process.direct_ns", "task", "switches"),
        ] {
            let (c, g) = rules().place(id).unwrap();
            assert_eq!((c.id.as_str(), g.id.as_str()), (class, group), "{id}");
        }
    }
}
