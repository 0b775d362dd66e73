//! The kernel: version, mitigations, clock source, frequency and idle policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;
use super::files::{Files, Found};

const CPUS: &str = "/sys/devices/system/cpu";

/// The kernel and the settings of it that change results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kernel {
    /// "6.18.44".
    pub release: Fact<String>,
    /// "#1 SMP PREEMPT_DYNAMIC …".
    pub version: Fact<String>,
    /// Vulnerabilities of the CPU and what the kernel does about each, verbatim.
    pub mitigations: Fact<BTreeMap<String, String>>,
    /// What the kernel tells the time by: "tsc", "kvm-clock".
    pub clock_source: Fact<String>,
    /// What it could use instead.
    pub clock_sources: Fact<Vec<String>>,
    /// Policy of the clock: "performance", "powersave", "schedutil".
    pub governor: Fact<String>,
    /// Driver that sets the clock: "intel_pstate", "amd-pstate-epp".
    pub frequency_driver: Fact<String>,
    /// Whether the clock may rise above its base (turbo, boost).
    pub boost: Fact<bool>,
    /// Driver of the idle states: "intel_idle", "haltpoll".
    pub idle_driver: Fact<String>,
}

impl Kernel {
    pub(super) fn detect(files: &Files, cpu: usize) -> Self {
        let clock = "/sys/devices/system/clocksource/clocksource0";
        let cpufreq = format!("{CPUS}/cpu{cpu}/cpufreq");
        let policy = |name: &str| -> Fact<String> {
            let text = files.text(&format!("{cpufreq}/{name}"));
            text.map_err(|reason| format!("{reason} (no cpufreq driver: usual in a VM)")).into()
        };
        Self {
            release: files.text("/proc/sys/kernel/osrelease").into(),
            version: files.text("/proc/sys/kernel/version").into(),
            mitigations: mitigations(files).into(),
            clock_source: files.text(&format!("{clock}/current_clocksource")).into(),
            clock_sources: files
                .text(&format!("{clock}/available_clocksource"))
                .map(|text| text.split_whitespace().map(str::to_owned).collect())
                .into(),
            governor: policy("scaling_governor"),
            frequency_driver: policy("scaling_driver"),
            boost: boost(files).into(),
            idle_driver: files.text(&format!("{CPUS}/cpuidle/current_driver")).into(),
        }
    }

    /// Names of the vulnerabilities against which nothing, or not enough, is done.
    pub fn vulnerable(&self) -> Vec<&str> {
        let entries = self.mitigations.known().into_iter().flatten();
        // KVM's line on Intel reads "KVM: Vulnerable".
        entries
            .filter(|(_, state)| state.contains("Vulnerable"))
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

fn mitigations(files: &Files) -> Found<BTreeMap<String, String>> {
    let folder = format!("{CPUS}/vulnerabilities");
    let names = files.names(&folder)?;
    names
        .into_iter()
        .map(|name| Ok((name.clone(), files.text(&format!("{folder}/{name}"))?)))
        .collect()
}

/// One switch for all CPUs, in the place where the driver has it.
fn boost(files: &Files) -> Found<bool> {
    if let Ok(off) = files.number::<u8>(&format!("{CPUS}/intel_pstate/no_turbo")) {
        return Ok(off == 0);
    }
    let generic = files.number::<u8>(&format!("{CPUS}/cpufreq/boost"));
    generic.map(|on| on != 0).map_err(|reason| format!("{reason} (no cpufreq driver with boost)"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn mitigations_are_kept_verbatim() {
        let file = |tree: Tree, name: &str, text: &str| {
            tree.file(&format!("{CPUS}/vulnerabilities/{name}"), format!("{text}\n"))
        };
        let tree = file(Tree::new(), "meltdown", "Not affected");
        let tree = file(tree, "spec_store_bypass", "Vulnerable");
        let tree = file(tree, "itlb_multihit", "KVM: Vulnerable");
        let kernel =
            file(tree, "spectre_v1", "Mitigation: usercopy/swapgs barriers").machine().kernel;
        let known = kernel.mitigations.known().expect("listed");
        assert_eq!(known["spectre_v1"], "Mitigation: usercopy/swapgs barriers");
        assert_eq!(kernel.vulnerable(), ["itlb_multihit", "spec_store_bypass"]);
    }

    #[test]
    fn a_virtual_machine_without_cpufreq() {
        let kernel = Tree::new().file(&format!("{CPUS}/cpu0/uevent"), "").machine().kernel;
        assert_eq!(
            kernel.governor.reason(),
            Some(
                "/sys/devices/system/cpu/cpu0/cpufreq does not exist \
                 (no cpufreq driver: usual in a VM)"
            )
        );
        assert!(kernel.boost.known().is_none());
    }

    #[test]
    fn policy_of_the_clock() {
        let tree = || {
            Tree::new()
                .file(&format!("{CPUS}/cpu0/cpufreq/scaling_governor"), "performance\n")
                .file(&format!("{CPUS}/cpu0/cpufreq/scaling_driver"), "intel_pstate\n")
        };
        let kernel = tree().file(&format!("{CPUS}/intel_pstate/no_turbo"), "1\n").machine().kernel;
        assert_eq!(kernel.governor, Fact::Known("performance".into()));
        assert_eq!(kernel.boost, Fact::Known(false));
        let kernel = tree().file(&format!("{CPUS}/cpufreq/boost"), "1\n").machine().kernel;
        assert_eq!(kernel.boost, Fact::Known(true));
    }

    #[test]
    fn clock_sources() {
        let clock = "/sys/devices/system/clocksource/clocksource0";
        let kernel = Tree::new()
            .file(&format!("{clock}/current_clocksource"), "kvm-clock\n")
            .file(&format!("{clock}/available_clocksource"), "kvm-clock tsc \n")
            .machine()
            .kernel;
        assert_eq!(kernel.clock_source, Fact::Known("kvm-clock".into()));
        assert_eq!(kernel.clock_sources.known().map(Vec::len), Some(2));
    }
}
