//! What this process may use: CPUs, CPU time, memory, system calls.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroups, CpuQuota};
use super::files::{Files, Found, field, format_list, parse_list};
use super::memory::commit_bound;
use super::{Fact, Machine, Memory, NumaNode};

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

/// What bounds buffers besides: the time that there is for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BufferBound {
    /// What all buffers together may take.
    pub bytes: u64,
    /// What sets it: "the time of a round, 1.6 s: …".
    pub source: String,
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
    /// Set by the run, where it is less than memory allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffers: Option<BufferBound>,
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
        on: &Fact<Vec<usize>>,
        nodes: &Fact<Vec<NumaNode>>,
    ) -> Self {
        let status = files.text(STATUS);
        let rlimits = files.text(LIMITS);
        let affinity: Fact<Vec<usize>> = affinity(files).into();
        let cpuset: Fact<Option<Vec<usize>>> = groups.cpuset().into();
        let memory_nodes: Fact<Vec<usize>> = memory_nodes(&status, groups).into();
        let mut bounds = process_bounds(&status, &rlimits);
        bounds.extend(groups.memory());
        bounds.extend(machine_bounds(files, memory, nodes, &memory_nodes));
        bounds.sort_by_key(|bound| bound.available_bytes);
        Self {
            allowed_cpus: allowed(&affinity, &cpuset, on),
            affinity,
            cpuset,
            cpu_quota: groups.cpu_quota().into(),
            memory_nodes,
            memory: bounds,
            buffers: None,
            locked_memory_bytes: rlimit(&rlimits, "Max locked memory").into(),
            seccomp: seccomp(&status).into(),
        }
    }
}

/// The affinity mask of this process.
pub(super) fn affinity(files: &Files) -> Found<Vec<usize>> {
    list(&files.text(STATUS), "Cpus_allowed_list")
}

/// Affinity ∩ cpuset ∩ those that are on, as far as they are known. The kernel keeps the mask within
/// the cpuset; a cpuset without any CPU of the mask is therefore another group's, and ignored.
fn allowed(
    affinity: &Fact<Vec<usize>>,
    cpuset: &Fact<Option<Vec<usize>>>,
    on: &Fact<Vec<usize>>,
) -> Vec<usize> {
    let cpuset = cpuset.known().and_then(Option::as_ref);
    in_all([affinity.known(), on.known(), cpuset])
}

/// The node list of the process, which the kernel keeps within the cpuset's.
fn memory_nodes(status: &Found<String>, groups: &Cgroups<'_>) -> Found<Vec<usize>> {
    let (own, cpuset) = (list(status, "Mems_allowed_list"), groups.memory_nodes());
    let cpuset = cpuset.ok().flatten();
    match own {
        Err(reason) if cpuset.is_none() => Err(reason),
        own => Ok(in_all([own.ok().as_ref(), cpuset.as_ref(), None])),
    }
}

/// What is in all of the sets that are known, but for those that have nothing in common with the ones
/// before them.
fn in_all(sets: [Option<&Vec<usize>>; 3]) -> Vec<usize> {
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

impl Machine {
    /// Takes it that the process has memory of these nodes alone, as its memory policy wants it
    /// (`numactl --membind`), which no file tells.
    pub fn bind_memory(&mut self, nodes: &[usize]) {
        let own = nodes.to_vec();
        let nodes = in_all([Some(&own), self.limits.memory_nodes.known(), None]);
        let available = self.memory.available_bytes.known().is_some();
        let bound = node_bound(self.numa_nodes(), Some(&nodes), "the memory policy's", available);
        self.limits.memory_nodes = Fact::Known(nodes);
        self.limits.memory.extend(bound);
        self.limits.memory.sort_by_key(|bound| bound.available_bytes);
    }
}

/// What the machine has left, in all and in what the process may use of it.
fn machine_bounds(
    files: &Files,
    memory: &Memory,
    nodes: &Fact<Vec<NumaNode>>,
    allowed: &Fact<Vec<usize>>,
) -> Vec<MemoryBound> {
    let available = memory.available_bytes.known().map(|&available| MemoryBound {
        source: "MemAvailable".into(),
        limit_bytes: memory.total_bytes.known().copied().unwrap_or(available),
        available_bytes: available,
    });
    let nodes = nodes.known().map_or(&[][..], Vec::as_slice);
    let nodes = node_bound(nodes, allowed.known(), "the cpuset's", available.is_some());
    [available, nodes, commit_bound(files)].into_iter().flatten().collect()
}

/// What the nodes leave that memory comes from: those that the process may use, without those that
/// have no CPU if there are others, because they are memory of another kind or of a device. `by` says
/// who forbids the others. `None`
/// where that is all of them and MemAvailable, which knows more of it, is known.
fn node_bound(
    nodes: &[NumaNode],
    allowed: Option<&Vec<usize>>,
    by: &str,
    available_known: bool,
) -> Option<MemoryBound> {
    let all: Vec<&NumaNode> =
        nodes.iter().filter(|node| node.memory_bytes.known() != Some(&0)).collect();
    let mut counted = all.clone();
    counted.retain(|node| allowed.is_none_or(|allowed| allowed.contains(&node.id)));
    let forbidden = counted.len() < all.len();
    let with_cpus = counted.iter().any(|node| !node.is_memory_only());
    counted.retain(|node| !with_cpus || !node.is_memory_only());
    if counted.is_empty() || counted.len() == all.len() && available_known {
        return None;
    }
    let sum = |of: fn(&NumaNode) -> &Fact<u64>| -> Option<u64> {
        counted.iter().try_fold(0_u64, |sum, node| Some(sum.saturating_add(*of(node).known()?)))
    };
    let ids: Vec<usize> = counted.iter().map(|node| node.id).collect();
    let named = format!("node{} {}", if ids.len() > 1 { "s" } else { "" }, format_list(&ids));
    let available_bytes = sum(|node| &node.available_bytes)?;
    Some(MemoryBound {
        source: match (forbidden, counted.len() < all.len()) {
            (true, _) => format!("{by} {named}"),
            (false, true) => format!("memory {named} (not counting nodes without CPUs)"),
            (false, false) => format!("memory {named}"),
        },
        limit_bytes: sum(|node| &node.memory_bytes).unwrap_or(available_bytes),
        available_bytes,
    })
}

/// What the process's own limits leave. Nothing is locked, so RLIMIT_MEMLOCK is none of them.
fn process_bounds(status: &Found<String>, rlimits: &Found<String>) -> Vec<MemoryBound> {
    let kinds =
        [("RLIMIT_AS", "Max address space", "VmSize"), ("RLIMIT_DATA", "Max data size", "VmData")];
    let bound = |(source, line, usage): (&str, &str, &str)| {
        let limit_bytes = rlimit(rlimits, line).ok()??;
        let used = kib(status, usage).unwrap_or(0);
        let available_bytes = limit_bytes.saturating_sub(used);
        Some(MemoryBound { source: source.into(), limit_bytes, available_bytes })
    };
    kinds.into_iter().filter_map(bound).collect()
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
    fn the_commit_limit_where_nothing_is_promised_twice() {
        let info = "MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\nCommitLimit: 600000 kB\n\
                    Committed_AS: 500000 kB\n";
        let machine = |mode: &str| {
            let tree = Tree::new().file("/proc/meminfo", info);
            tree.file("/proc/sys/vm/overcommit_memory", mode).machine()
        };
        let strict = machine("2\n");
        assert_eq!(strict.memory_limit_source(), "CommitLimit (vm.overcommit_memory is 2)");
        assert_eq!(strict.buffer_limit(), 100_000 * 1024 / 2);
        assert_eq!(machine("0\n").memory_limit_source(), "MemAvailable");
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
                .file("/sys/devices/system/cpu/offline", "6-7")
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
