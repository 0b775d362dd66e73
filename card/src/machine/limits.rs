//! What this process may use: CPUs, CPU time, memory, system calls.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroups, CpuQuota};
use super::files::{Files, Found, field, parse_list};
use super::{Fact, Memory};

const STATUS: &str = "/proc/self/status";
const LIMITS: &str = "/proc/self/limits";

/// One thing that bounds the memory of this process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryBound {
    /// "MemAvailable", "cgroup memory.max /foo", "RLIMIT_AS".
    pub source: String,
    /// The bound itself.
    pub limit_bytes: u64,
    /// What it leaves, what is used already taken off.
    pub available_bytes: u64,
}

/// Limits of this process when it started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// CPUs that may be used: those of the affinity mask and the cpuset that are online.
    pub allowed_cpus: Vec<usize>,
    /// The affinity mask.
    pub affinity: Fact<Vec<usize>>,
    /// The cpuset of the control group; `null` where there is none.
    pub cpuset: Fact<Option<Vec<usize>>>,
    /// The tightest quota of CPU time; `null` where there is none.
    pub cpu_quota: Fact<Option<CpuQuota>>,
    /// Memory nodes that may be used.
    pub memory_nodes: Fact<Vec<usize>>,
    /// Everything that bounds memory, the tightest first.
    pub memory: Vec<MemoryBound>,
    /// RLIMIT_MEMLOCK; `null` is no limit.
    pub locked_memory_bytes: Fact<Option<u64>>,
    /// Filter of system calls: "off", "strict", "filter".
    pub seccomp: Fact<String>,
}

impl Limits {
    pub(super) fn detect(
        files: &Files,
        groups: &Cgroups<'_>,
        memory: &Memory,
        online: &Fact<Vec<usize>>,
    ) -> Self {
        let status = files.text(STATUS);
        let rlimits = files.text(LIMITS);
        let affinity: Fact<Vec<usize>> = list(&status, "Cpus_allowed_list").into();
        let cpuset: Fact<Option<Vec<usize>>> = groups.cpuset().into();
        Self {
            allowed_cpus: allowed(&affinity, &cpuset, online),
            affinity,
            cpuset,
            cpu_quota: groups.cpu_quota().into(),
            memory_nodes: list(&status, "Mems_allowed_list").into(),
            memory: memory_bounds(groups, memory, &status, &rlimits),
            locked_memory_bytes: rlimit(&rlimits, "Max locked memory").into(),
            seccomp: seccomp(&status).into(),
        }
    }
}

/// Affinity ∩ cpuset ∩ online, as far as they are known. The kernel keeps the mask within the
/// cpuset; a cpuset without any CPU of the mask is therefore another group's, and ignored.
fn allowed(
    affinity: &Fact<Vec<usize>>,
    cpuset: &Fact<Option<Vec<usize>>>,
    online: &Fact<Vec<usize>>,
) -> Vec<usize> {
    let cpuset = cpuset.known().and_then(Option::as_ref);
    let sets = [affinity.known(), online.known(), cpuset];
    let mut allowed: Option<BTreeSet<usize>> = None;
    for set in sets.into_iter().flatten() {
        let both: BTreeSet<usize> = match &allowed {
            None => set.iter().copied().collect(),
            Some(so_far) => set.iter().copied().filter(|cpu| so_far.contains(cpu)).collect(),
        };
        if !both.is_empty() {
            allowed = Some(both);
        }
    }
    allowed.into_iter().flatten().collect()
}

fn memory_bounds(
    groups: &Cgroups<'_>,
    memory: &Memory,
    status: &Found<String>,
    rlimits: &Found<String>,
) -> Vec<MemoryBound> {
    let mut bounds = groups.memory();
    if let Some(&available) = memory.available_bytes.known() {
        let total = memory.total_bytes.known().copied().unwrap_or(available);
        bounds.push(MemoryBound {
            source: "MemAvailable".into(),
            limit_bytes: total,
            available_bytes: available,
        });
    }
    let kinds =
        [("RLIMIT_AS", "Max address space", "VmSize"), ("RLIMIT_DATA", "Max data size", "VmData")];
    for (source, line, usage) in kinds {
        if let Ok(Some(limit)) = rlimit(rlimits, line) {
            let used = kib(status, usage).unwrap_or(0);
            bounds.push(MemoryBound {
                source: source.into(),
                limit_bytes: limit,
                available_bytes: limit.saturating_sub(used),
            });
        }
    }
    bounds.sort_by_key(|bound| bound.available_bytes);
    bounds
}

/// The soft limit; `None` when unlimited.
/// `Max address space         unlimited            unlimited            bytes`
fn rlimit(rlimits: &Found<String>, name: &str) -> Found<Option<u64>> {
    let text = rlimits.as_ref().map_err(Clone::clone)?;
    let soft = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(None),
        Some(number) => {
            let bytes = number.parse().map_err(|_| format!("{LIMITS}: {name} {number:?}"))?;
            Ok(Some(bytes))
        }
        None => Err(format!("{LIMITS} has no {name}")),
    }
}

fn status_field<'a>(status: &'a Found<String>, key: &str) -> Found<&'a str> {
    let text = status.as_ref().map_err(Clone::clone)?;
    field(text, key).ok_or_else(|| format!("{STATUS} has no {key}"))
}

fn list(status: &Found<String>, key: &str) -> Found<Vec<usize>> {
    let text = status_field(status, key)?;
    parse_list(text).ok_or_else(|| format!("{STATUS} has {key} {text:?}, which is no list"))
}

fn kib(status: &Found<String>, key: &str) -> Option<u64> {
    let kib: u64 = status_field(status, key).ok()?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn seccomp(status: &Found<String>) -> Found<String> {
    let mode = status_field(status, "Seccomp")
        .map_err(|reason| format!("{reason} (or a kernel without seccomp)"))?;
    Ok(match mode {
        "0" => "off".into(),
        "1" => "strict".into(),
        "2" => "filter".into(),
        other => format!("mode {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    const ONLINE: &str = "/sys/devices/system/cpu/online";
    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    fn limits_text(space: &str, data: &str) -> String {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max data size             {data:<20} unlimited            bytes     \n\
             Max locked memory         8388608              8388608              bytes     \n\
             Max address space         {space:<20} unlimited            bytes     \n"
        )
    }

    fn base() -> Tree {
        Tree::new()
            .file("/proc/meminfo", "MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\n")
            .file(LIMITS, limits_text("unlimited", "unlimited"))
    }

    #[test]
    fn memory_available_is_the_limit_of_a_free_process() {
        let machine = base().machine();
        assert_eq!(machine.memory_limit_source(), "MemAvailable");
        assert_eq!(machine.buffer_limit_reason(), "half of what MemAvailable leaves");
        assert_eq!(machine.buffer_limit(), 1_000_000 * 1024 / 2);
        assert_eq!(machine.limits.locked_memory_bytes, Fact::Known(Some(8 << 20)));
    }

    #[test]
    fn a_container_of_200_mb() {
        let machine = base()
            .file("/proc/self/mountinfo", V2)
            .file("/proc/self/cgroup", "0::/box\n")
            .file("/sys/fs/cgroup/box/memory.max", "209715200\n")
            .file("/sys/fs/cgroup/box/memory.current", "9715200\n")
            .file("/sys/fs/cgroup/box/cpu.max", "50000 100000\n")
            .machine();
        assert_eq!(machine.memory_limit_source(), "cgroup memory.max /box");
        assert_eq!(machine.buffer_limit(), 100_000_000);
        let quota = machine.limits.cpu_quota.known().cloned().flatten().expect("a quota");
        assert_eq!(quota.cpus, 0.5);
    }

    #[test]
    fn limits_of_the_process() {
        let status = "VmSize:\t    1000 kB\nVmData:\t 100 kB\n";
        let machine = base()
            .file(LIMITS, limits_text("11024000", "unlimited"))
            .file(STATUS, status)
            .machine();
        assert_eq!(machine.memory_limit_source(), "RLIMIT_AS");
        assert_eq!(machine.buffer_limit(), 5_000_000);
        let machine =
            base().file(LIMITS, limits_text("11024000", "302400")).file(STATUS, status).machine();
        assert_eq!(machine.memory_limit_source(), "RLIMIT_DATA");
        assert_eq!(machine.buffer_limit(), 100_000);
    }

    #[test]
    fn nothing_known_of_memory_is_a_reason_for_caution() {
        let machine = Tree::new().machine();
        assert_eq!(machine.buffer_limit(), 32 << 20);
        assert_eq!(machine.buffer_limit_reason(), "nothing tells how much memory there is");
    }

    #[test]
    fn mask_cpuset_and_online_together() {
        let tree = |mask: &str, cpuset: &str| {
            Tree::new()
                .file(ONLINE, "0-5")
                .file(STATUS, format!("Cpus_allowed_list:\t{mask}\nMems_allowed_list:\t0\n"))
                .file("/proc/self/mountinfo", V2)
                .file("/proc/self/cgroup", "0::/\n")
                .file("/sys/fs/cgroup/cpuset.cpus.effective", cpuset)
                .machine()
        };
        assert_eq!(tree("1-7", "2-9").allowed_cpus(), [2, 3, 4, 5]);
        assert_eq!(tree("1", "0-5").allowed_cpus(), [1]);
        assert_eq!(tree("1-2", "4").allowed_cpus(), [1, 2], "another group's cpuset");
        assert_eq!(tree("0-1", "").limits.cpuset, Fact::Known(None));
        assert_eq!(tree("0-1", "").limits.memory_nodes, Fact::Known(vec![0]));
    }

    #[test]
    fn without_a_mask_all_that_are_online() {
        assert_eq!(Tree::new().file(ONLINE, "0,2").machine().allowed_cpus(), [0, 2]);
        assert_eq!(Tree::new().machine().allowed_cpus(), [0; 0]);
    }

    #[test]
    fn seccomp_modes() {
        let mode = |n: u8| {
            let status = format!("Name:\tx\nSeccomp:\t{n}\nSeccomp_filters:\t3\n");
            Tree::new().file(STATUS, status).machine().limits.seccomp
        };
        assert_eq!(mode(0), Fact::Known("off".into()));
        assert_eq!(mode(1), Fact::Known("strict".into()));
        assert_eq!(mode(2), Fact::Known("filter".into()));
        let none = Tree::new().file(STATUS, "Name:\tx\n").machine().limits.seccomp;
        assert!(none.reason().is_some_and(|r| r.contains("no Seccomp")), "{none:?}");
    }
}
