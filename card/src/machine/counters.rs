//! Which hardware counters there might be. Whether one really counts only a trial can tell.

use serde::{Deserialize, Serialize};

use super::Fact;
use super::files::{Files, Found, field};

const DEVICES: &str = "/sys/bus/event_source/devices";

/// What the kernel says of performance counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Everything that the kernel can count with.
    pub devices: Fact<Vec<String>>,
    /// Those among them that count events of the core; two on a machine with two kinds of core.
    pub core_pmus: Fact<Vec<String>>,
    /// Those of them that count the events of some CPUs only, each of one kind of core.
    pub partial_pmus: Vec<PartialPmu>,
    /// Who may count: −1 all, 2 only oneself, 3 and above nobody without privilege.
    pub paranoid: Fact<i64>,
    /// Whether the process holds CAP_PERFMON or CAP_SYS_ADMIN, which overrule `paranoid`.
    pub privileged: Fact<bool>,
    /// Whether the watchdog keeps one of the counters for itself.
    pub nmi_watchdog: Fact<bool>,
}

/// Counters of the cores of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartialPmu {
    /// "cpu_core", "armv8_cortex_a725".
    pub name: String,
    /// The number by which the kernel is asked for its events.
    pub kind: u32,
    /// The CPUs that have it.
    pub cpus: Vec<usize>,
}

impl Counters {
    /// The counters of this CPU, where other CPUs have others.
    pub fn partial_pmu(&self, cpu: usize) -> Option<&PartialPmu> {
        self.partial_pmus.iter().find(|pmu| pmu.cpus.contains(&cpu))
    }

    pub(super) fn detect(files: &Files) -> Self {
        let devices = files.names(DEVICES);
        let path = "/proc/sys/kernel/perf_event_paranoid";
        let paranoid = files
            .number(path)
            .map_err(|reason| format!("{reason} (a kernel without perf events, or no /proc)"));
        let watchdog = files.number::<u8>("/proc/sys/kernel/nmi_watchdog");
        let core_pmus = devices.clone().and_then(core_pmus);
        Self {
            partial_pmus: partial_pmus(files, core_pmus.as_deref().unwrap_or_default()),
            core_pmus: core_pmus.into(),
            devices: devices.into(),
            paranoid: paranoid.into(),
            privileged: privileged(files).into(),
            nmi_watchdog: watchdog.map(|on| on != 0).into(),
        }
    }
}

fn core_pmus(devices: Vec<String>) -> Found<Vec<String>> {
    let is_core = |name: &String| {
        matches!(name.as_str(), "cpu" | "cpu_core" | "cpu_atom" | "cpu_lowpower")
            || name.starts_with("armv8_")
            || name.starts_with("armv9_")
            || name.starts_with("apple_") && name.ends_with("_pmu")
    };
    let found: Vec<String> = devices.into_iter().filter(is_core).collect();
    if found.is_empty() {
        return Err(format!("{DEVICES} has no core PMU (usual in a VM)"));
    }
    Ok(found)
}

/// Where there is but one, the kernel's own names for events mean that one.
fn partial_pmus(files: &Files, names: &[String]) -> Vec<PartialPmu> {
    let pmu = |name: &String| {
        let kind = files.number(&format!("{DEVICES}/{name}/type")).ok()?;
        let cpus = files.list(&format!("{DEVICES}/{name}/cpus")).ok()?;
        Some(PartialPmu { name: name.clone(), kind, cpus })
    };
    if names.len() < 2 { Vec::new() } else { names.iter().filter_map(pmu).collect() }
}

fn privileged(files: &Files) -> Found<bool> {
    const CAP_SYS_ADMIN: u32 = 21;
    const CAP_PERFMON: u32 = 38;
    let path = "/proc/self/status";
    let status = files.text(path)?;
    let mask = field(&status, "CapEff").and_then(|text| u64::from_str_radix(text, 16).ok());
    let mask = mask.ok_or_else(|| format!("{path} has no CapEff"))?;
    Ok(mask & (1 << CAP_SYS_ADMIN | 1 << CAP_PERFMON) != 0)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn core(devices: &[&str]) -> Fact<Vec<String>> {
        let fill = |tree: Tree, name: &&str| tree.file(&format!("{DEVICES}/{name}/type"), "4\n");
        devices.iter().fold(Tree::new(), fill).machine().counters.core_pmus
    }

    #[test]
    fn core_counters_by_name() {
        let names = |list: &[&str]| Fact::Known(list.iter().map(|n| (*n).to_owned()).collect());
        assert_eq!(core(&["breakpoint", "cpu", "software"]), names(&["cpu"]));
        assert_eq!(core(&["armv8_pmuv3", "tracepoint"]), names(&["armv8_pmuv3"]));
        assert_eq!(core(&["armv8_pmuv3_0"]), names(&["armv8_pmuv3_0"]));
        assert_eq!(core(&["cpu_core", "cpu_atom", "msr"]), names(&["cpu_atom", "cpu_core"]));
        let none = core(&["breakpoint", "msr", "software"]);
        assert!(none.reason().is_some_and(|r| r.contains("no core PMU")));
    }

    #[test]
    fn each_kind_of_core_has_counters_of_its_own() {
        let pmu = |tree: Tree, name: &str, kind: &str, cpus: &str| {
            tree.file(&format!("{DEVICES}/{name}/type"), kind)
                .file(&format!("{DEVICES}/{name}/cpus"), cpus)
        };
        let one = pmu(Tree::new(), "armv8_pmuv3_0", "8\n", "0-3\n");
        assert_eq!(one.machine().counters.partial_pmu(1), None, "the only one");
        let tree = pmu(Tree::new(), "cpu_core", "4\n", "0-15\n");
        let counters = pmu(tree, "cpu_atom", "10\n", "16-23\n").machine().counters;
        let kind = |cpu| counters.partial_pmu(cpu).map(|pmu| (pmu.name.as_str(), pmu.kind));
        assert_eq!(kind(3), Some(("cpu_core", 4)));
        assert_eq!((kind(16), kind(24)), (Some(("cpu_atom", 10)), None));
    }

    #[test]
    fn who_may_count() {
        let counters = |mask: &str| {
            Tree::new()
                .file("/proc/sys/kernel/perf_event_paranoid", "-1\n")
                .file("/proc/self/status", format!("CapEff:\t{mask}\n"))
                .machine()
                .counters
        };
        assert_eq!(counters("0000000000000000").privileged, Fact::Known(false));
        assert_eq!(counters("000001fffeffffff").privileged, Fact::Known(true));
        assert_eq!(counters("0000004000000000").privileged, Fact::Known(true));
        assert_eq!(counters("0").paranoid, Fact::Known(-1));
        assert!(Tree::new().machine().counters.paranoid.reason().is_some());
    }
}
