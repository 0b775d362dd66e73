//! How the CPUs belong together: cores, level 3 caches, packages, memory nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Fact;
use super::caches;
use super::cpuinfo::CpuInfo;
use super::files::{Files, Found, field};
use super::presence::Presence;

pub(super) const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";

/// A memory node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NumaNode {
    /// Its number.
    pub id: usize,
    /// Its CPUs; the empty list on a node that is only memory.
    pub cpus: Fact<Vec<usize>>,
    /// Its memory, 0 on a node that is only CPUs.
    pub memory_bytes: Fact<u64>,
    /// Memory available without reclaiming from running programs: free pages and inactive file pages.
    pub available_bytes: Fact<u64>,
    /// Relative distance to each node, in their order; 10 is the node itself.
    pub distances: Fact<Vec<u64>>,
}

/// The CPUs and their groups, as claimed. Only CPUs that are online are in any list, where that is
/// known of them. A CPU of which a group is not known is in none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topology {
    /// CPUs that are switched on.
    pub online: Fact<Vec<usize>>,
    /// How many CPUs the kernel is prepared for.
    pub possible: Fact<usize>,
    /// Hardware threads by core.
    pub cores: Fact<Vec<Vec<usize>>>,
    /// CPUs by level 3 cache; a CPU without such a cache is in none.
    pub l3_groups: Fact<Vec<Vec<usize>>>,
    /// CPUs by package.
    pub packages: Fact<Vec<Vec<usize>>>,
    /// Memory nodes.
    pub numa_nodes: Fact<Vec<NumaNode>>,
    /// The kernel's word on hyperthreads: "on", "off", "notsupported".
    pub smt_control: Fact<String>,
    /// CPUs that the scheduler leaves alone (`isolcpus`).
    pub isolated: Fact<Vec<usize>>,
    /// CPUs by the protected inventory number (PPIN) of their processor.
    pub inventory: Fact<BTreeMap<String, Vec<usize>>>,
}

impl NumaNode {
    /// Its CPUs; the empty list where they are not known.
    pub fn cpus(&self) -> &[usize] {
        self.cpus.known().map_or(&[], Vec::as_slice)
    }

    /// Whether it is known to have no CPU: memory of another kind (HBM, CXL) or of a device.
    pub fn is_memory_only(&self) -> bool {
        self.cpus.known().is_some_and(Vec::is_empty)
    }
}

impl Topology {
    pub(super) fn detect(files: &Files, info: &CpuInfo, presence: &Presence) -> Self {
        let on = presence.on.as_ref().map_err(Clone::clone);
        let those_on = |cpus: Vec<usize>| -> Vec<usize> {
            cpus.into_iter().filter(|&cpu| presence.is_on(cpu)).collect()
        };
        let groups = |of: &dyn Fn(usize) -> Found<Vec<usize>>| {
            groups(on.clone()?, |cpu| of(cpu).map(those_on))
        };
        let keyed = |of: &dyn Fn(usize) -> Found<Vec<String>>| keyed(on.clone()?, of);
        let siblings = |cpu: usize| {
            files.group(&format!("{CPUS}/cpu{cpu}/topology/thread_siblings_list"), cpu)
        };
        let own = |cpu: usize, key: &str| info.own(cpu, key).map(str::to_owned);
        let cores = either(groups(&siblings), || {
            keyed(&|cpu| Ok(vec![own(cpu, "physical id")?, own(cpu, "core id")?]))
        });
        let packages = either(keyed(&|cpu| Ok(vec![package(files, cpu)?])), || {
            keyed(&|cpu| Ok(vec![own(cpu, "physical id")?]))
        });
        Self {
            online: presence.online.clone().into(),
            possible: files.list(&format!("{CPUS}/possible")).map(|cpus| cpus.len()).into(),
            cores: cores.into(),
            l3_groups: groups(&|cpu| caches::l3_cpus(files, cpu)).into(),
            packages: packages.into(),
            numa_nodes: numa_nodes(files, those_on).into(),
            smt_control: files.text(&format!("{CPUS}/smt/control")).into(),
            isolated: files.list(&format!("{CPUS}/isolated")).into(),
            inventory: on.clone().and_then(|on| inventory(files, on)).into(),
        }
    }
}

/// What sysfs says, else what /proc does.
fn either<T>(sysfs: Found<T>, proc: impl FnOnce() -> Found<T>) -> Found<T> {
    sysfs.or_else(|no_sysfs| proc().map_err(|no_proc| format!("{no_sysfs}, and {no_proc}")))
}

/// Some architectures say −1 for a package that they do not know.
fn package(files: &Files, cpu: usize) -> Found<String> {
    let path = format!("{CPUS}/cpu{cpu}/topology/physical_package_id");
    match files.number::<i64>(&path)? {
        id @ 0.. => Ok(id.to_string()),
        id => Err(format!("{path} is {id}: not known")),
    }
}

/// CPUs by the number of their processor, as far as they tell; a reason where none does.
fn inventory(files: &Files, on: &[usize]) -> Found<BTreeMap<String, Vec<usize>>> {
    let mut by_number: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut reason = None;
    for &cpu in on {
        match files.text(&format!("{CPUS}/cpu{cpu}/topology/ppin")) {
            Ok(number) => by_number.entry(number).or_default().push(cpu),
            Err(why) => reason = reason.or(Some(why)),
        }
    }
    reason.filter(|_| by_number.is_empty()).map_or(Ok(by_number), Err)
}

/// The groups that the CPUs name for themselves, as far as they do; a reason where none does. A CPU
/// that another one has named already is not asked again: with hundreds of CPUs the files add up.
fn groups(on: &[usize], members: impl Fn(usize) -> Found<Vec<usize>>) -> Found<Vec<Vec<usize>>> {
    let mut placed: BTreeSet<usize> = BTreeSet::new();
    let mut groups = Vec::new();
    let mut reason = None;
    for &cpu in on {
        if placed.contains(&cpu) {
            continue;
        }
        match members(cpu) {
            Ok(mut group) => {
                group.retain(|member| !placed.contains(member));
                placed.extend(&group);
                groups.push(group);
            }
            Err(why) => reason = reason.or(Some(why)),
        }
    }
    reason.filter(|_| groups.is_empty()).map_or(Ok(groups), Err)
}

/// CPUs with equal keys, as far as they have one; a reason where none has.
fn keyed<K: Ord>(on: &[usize], key: impl Fn(usize) -> Found<K>) -> Found<Vec<Vec<usize>>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    let mut reason = None;
    for &cpu in on {
        match key(cpu) {
            Ok(key) => groups.entry(key).or_default().push(cpu),
            Err(why) => reason = reason.or(Some(why)),
        }
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort();
    reason.filter(|_| groups.is_empty()).map_or(Ok(groups), Err)
}

fn numa_nodes(files: &Files, those_on: impl Fn(Vec<usize>) -> Vec<usize>) -> Found<Vec<NumaNode>> {
    let ids = files
        .numbered(NODES, "node")
        .map_err(|reason| format!("{reason} (no /sys, or a kernel without NUMA)"))?;
    if ids.is_empty() {
        return Err(format!("{NODES} lists no node"));
    }
    Ok(ids.into_iter().map(|id| numa_node(files, id, &those_on)).collect())
}

fn numa_node(files: &Files, id: usize, those_on: impl Fn(Vec<usize>) -> Vec<usize>) -> NumaNode {
    let cpus = files.list(&format!("{NODES}/node{id}/cpulist")).map(those_on);
    let path = format!("{NODES}/node{id}/meminfo");
    let meminfo = files.text(&path);
    // "Node 0 MemTotal:       5728460 kB"
    let bytes = |key: &str| {
        let text = meminfo.as_ref().map_err(Clone::clone)?;
        field(text, &format!("Node {id} {key}"))
            .and_then(|value| {
                value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
            })
            .ok_or_else(|| format!("{path} has no {key}"))
    };
    let available =
        bytes("MemFree").map(|free| free.saturating_add(bytes("Inactive(file)").unwrap_or(0)));
    let memory = bytes("MemTotal");
    let path = format!("{NODES}/node{id}/distance");
    let distances = files.text(&path).and_then(|text| {
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        numbers.map_err(|_| format!("{path} holds {text:?}, which is no list of numbers"))
    });
    NumaNode {
        id,
        cpus: cpus.into(),
        memory_bytes: memory.into(),
        available_bytes: available.into(),
        distances: distances.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn cpu(tree: Tree, cpu: usize, siblings: &str, l3: &str, package: usize) -> Tree {
        let folder = format!("{CPUS}/cpu{cpu}");
        tree.file(&format!("{folder}/topology/thread_siblings_list"), siblings)
            .file(&format!("{folder}/topology/physical_package_id"), package.to_string())
            .file(&format!("{folder}/cache/index0/level"), "1")
            .file(&format!("{folder}/cache/index3/level"), "3")
            .file(&format!("{folder}/cache/index3/shared_cpu_list"), l3)
    }

    /// Eight threads, four cores, two level 3 caches, two packages.
    fn eight() -> Tree {
        let tree = Tree::new().file(&format!("{CPUS}/online"), "0-7\n");
        (0..8).fold(tree, |tree, n| {
            let core = n % 4;
            let (l3, package) = if core < 2 { ("0-1,4-5", 0) } else { ("2-3,6-7", 1) };
            cpu(tree, n, &format!("{core},{}", core + 4), l3, package)
        })
    }

    #[test]
    fn groups_of_a_server() {
        let machine = eight().file(&format!("{CPUS}/possible"), "0-15").machine();
        assert_eq!(machine.threads_per_core(), Some(2));
        assert_eq!(machine.siblings_of(5), [1, 5]);
        assert_eq!(machine.siblings_of(99), [0; 0]);
        assert_eq!(machine.l3_groups(), [vec![0, 1, 4, 5], vec![2, 3, 6, 7]]);
        assert_eq!(machine.topology.packages.known().map(Vec::len), Some(2));
        assert_eq!(machine.topology.possible, Fact::Known(16));
    }

    #[test]
    fn a_cpu_is_named_with_the_number_of_its_processor_where_that_may_be_read() {
        let number = |package: usize| format!("0x2b8c9d0e1f{package:06x}\n");
        let tree = (0..8).fold(eight(), |tree, n| {
            tree.file(&format!("{CPUS}/cpu{n}/topology/ppin"), number(n % 4 / 2))
        });
        let machine = tree.machine();
        assert_eq!(machine.cpu_name(6), "CPU 6 (PPIN 0x2b8c9d0e1f000001)");
        assert_eq!(eight().machine().cpu_name(6), "CPU 6");
    }

    #[test]
    fn cpus_that_are_off_are_in_no_group() {
        // The kernel takes the folders of a CPU away with it, and its number out of the lists;
        // a stale number must do no harm.
        let tree = Tree::new().file(&format!("{CPUS}/online"), "0,2-3\n");
        let tree = cpu(tree, 0, "0-1", "0-3", 0);
        let tree = cpu(tree, 2, "2-3", "0-3", 0);
        let machine = cpu(tree, 3, "2-3", "0-3", 0).machine();
        assert_eq!(machine.topology.cores, Fact::Known(vec![vec![0], vec![2, 3]]));
        assert_eq!(machine.l3_groups(), [vec![0, 2, 3]]);
        assert_eq!(machine.threads_per_core(), Some(2));
    }

    #[test]
    fn one_cpu() {
        let machine =
            cpu(Tree::new().file(&format!("{CPUS}/online"), "0"), 0, "0", "0", 0).machine();
        assert_eq!(machine.threads_per_core(), Some(1));
        assert_eq!(machine.siblings_of(0), [0]);
        assert_eq!(machine.l3_groups(), [vec![0]]);
    }

    #[test]
    fn cpuinfo_when_there_is_no_sysfs() {
        let block =
            |n: usize, core: usize| format!("processor: {n}\nphysical id: 0\ncore id: {core}\n\n");
        let text = block(0, 0) + &block(1, 0) + &block(2, 1) + &block(3, 1);
        let machine = Tree::new().file("/proc/cpuinfo", text).machine();
        assert_eq!(machine.topology.online, Fact::Known(vec![0, 1, 2, 3]));
        assert_eq!(machine.topology.cores, Fact::Known(vec![vec![0, 1], vec![2, 3]]));
        assert_eq!(machine.topology.packages, Fact::Known(vec![vec![0, 1, 2, 3]]));
        assert_eq!(machine.topology.l3_groups.reason(), Some("/sys does not exist"));
        assert_eq!(machine.l3_groups(), [[0; 0]; 0]);
    }

    #[test]
    fn no_level_3_cache() {
        let tree = Tree::new()
            .file(&format!("{CPUS}/online"), "0")
            .file(&format!("{CPUS}/cpu0/cache/index0/level"), "1");
        let reason = tree.machine().topology.l3_groups;
        assert!(reason.reason().is_some_and(|r| r.contains("no cache of level 3")));
    }

    #[test]
    fn nothing_at_all() {
        let topology = Tree::new().machine().topology;
        assert_eq!(topology.online.reason(), Some("/sys does not exist, and /proc does not exist"));
        assert!(topology.numa_nodes.reason().is_some_and(|r| r.contains("without NUMA")));
    }

    #[test]
    fn nodes_without_memory_or_cpus() {
        let node = |tree: Tree, id: usize, cpus: &str, kib: u64| {
            tree.file(&format!("{NODES}/node{id}/cpulist"), format!("{cpus}\n"))
                .file(
                    &format!("{NODES}/node{id}/meminfo"),
                    format!("\nNode {id} MemTotal:       {kib} kB\nNode {id} MemFree: 1 kB\n"),
                )
                .file(&format!("{NODES}/node{id}/distance"), "10 21 28\n")
        };
        let tree = Tree::new().file(&format!("{CPUS}/online"), "0-2");
        let tree = node(tree, 0, "0-1,9", 1 << 20);
        let tree = node(tree, 1, "2", 0);
        let machine = node(tree, 10, "", 4 << 20).machine();
        let nodes = machine.numa_nodes();
        assert_eq!(nodes.iter().map(|n| n.id).collect::<Vec<_>>(), [0, 1, 10]);
        assert_eq!(nodes[0].cpus, Fact::Known(vec![0, 1]), "CPU 9 is off");
        assert_eq!(nodes[0].available_bytes, Fact::Known(1 << 10));
        assert_eq!(nodes[1].memory_bytes, Fact::Known(0));
        assert!(nodes[2].is_memory_only());
        assert_eq!(nodes[2].memory_bytes, Fact::Known(4 << 30));
        assert_eq!(nodes[0].distances, Fact::Known(vec![10, 21, 28]));
    }

    #[test]
    fn a_list_of_cpus_that_cannot_be_read_is_not_empty() {
        let tree = Tree::new().file(&format!("{CPUS}/online"), "0-3\n\0");
        let tree = tree.file(&format!("{NODES}/node0/cpulist"), "0-1\n\0");
        let tree = tree.file(&format!("{NODES}/node1/cpulist"), "none\n");
        let machine = tree.file(&format!("{NODES}/node2/distance"), "10 20 20\n").machine();
        let nodes = machine.numa_nodes();
        assert_eq!(nodes[0].cpus(), [0, 1], "a zero byte at the end");
        assert!(nodes[1].cpus.reason().is_some_and(|r| r.contains("\"none\", which is no list")));
        assert!(nodes[2].cpus.reason().is_some_and(|r| r.contains("cpulist does not exist")));
        assert!(nodes.iter().all(|node| !node.is_memory_only()));
        let rows = machine.rows();
        let row = rows.iter().find(|row| row.label == "NUMA").expect("a row");
        assert_eq!(row.value, "3 nodes · CPUs of 2 unknown · distance up to 20");
    }

    #[test]
    fn what_one_cpu_does_not_tell_is_no_reason_to_forget_the_others() {
        // CPU 2 has no level 3 cache, CPU 3 tells nothing.
        let tree = Tree::new().file(&format!("{CPUS}/online"), "0-3");
        let tree = cpu(cpu(tree, 0, "0-1", "0-1", 0), 1, "0-1", "0-1", 0);
        let tree = tree
            .file(&format!("{CPUS}/cpu2/topology/thread_siblings_list"), "2")
            .file(&format!("{CPUS}/cpu2/topology/physical_package_id"), "0")
            .file(&format!("{CPUS}/cpu2/cache/index0/level"), "1");
        let machine = tree.machine();
        assert_eq!(machine.l3_groups(), [[0, 1]]);
        assert_eq!(machine.topology.cores, Fact::Known(vec![vec![0, 1], vec![2]]));
        assert_eq!(machine.topology.packages, Fact::Known(vec![vec![0, 1, 2]]));
        let rows = machine.rows();
        let row = rows.iter().find(|row| row.label == "Topology").expect("a row");
        let line = "4 CPUs · 2 threads per core on 1 of 2 cores (CPU 3 unknown) · 1 L3 cache (none \
                    claimed for CPU 2–3) · 1 package (CPU 3 unknown)";
        assert_eq!(row.value, line);
    }

    #[test]
    fn minus_one_is_no_package() {
        let id = |tree: Tree, cpu: usize, id: &str| {
            tree.file(&format!("{CPUS}/cpu{cpu}/topology/physical_package_id"), id)
        };
        let tree = || Tree::new().file(&format!("{CPUS}/online"), "0-1");
        let unknown = id(id(tree(), 0, "-1\n"), 1, "-1\n").machine().topology.packages;
        assert!(unknown.reason().is_some_and(|r| r.contains("is -1: not known")), "{unknown:?}");
        let one = id(id(tree(), 0, "-1\n"), 1, "3\n").machine().topology.packages;
        assert_eq!(one, Fact::Known(vec![vec![1]]));
    }

    #[test]
    fn an_empty_list_of_sharers_is_unknown() {
        let tree = Tree::new().file(&format!("{CPUS}/online"), "0-1");
        let machine = cpu(cpu(tree, 0, "", "", 0), 1, "", "", 0).machine();
        for groups in [&machine.topology.l3_groups, &machine.topology.cores] {
            assert!(groups.reason().is_some_and(|r| r.contains("leaves out CPU 0 itself")));
        }
    }
}
