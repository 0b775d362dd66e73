//! How the CPUs belong together: cores, level 3 caches, packages, memory nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Fact;
use super::caches;
use super::cpuinfo::CpuInfo;
use super::files::{Files, Found, field};

const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";

/// A memory node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NumaNode {
    /// Its number.
    pub id: usize,
    /// Its CPUs; none on a node that is only memory.
    pub cpus: Vec<usize>,
    /// Its memory, 0 on a node that is only CPUs.
    pub memory_bytes: Fact<u64>,
    /// Memory available without reclaiming from running programs: free pages and inactive file pages.
    pub available_bytes: Fact<u64>,
    /// Relative distance to each node, in their order; 10 is the node itself.
    pub distances: Fact<Vec<u64>>,
}

/// The CPUs and their groups, as claimed. Only CPUs that are online are in any list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topology {
    /// CPUs that are switched on.
    pub online: Fact<Vec<usize>>,
    /// How many CPUs the kernel is prepared for.
    pub possible: Fact<usize>,
    /// Hardware threads by core.
    pub cores: Fact<Vec<Vec<usize>>>,
    /// CPUs by level 3 cache.
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

impl Topology {
    pub(super) fn detect(files: &Files, info: &CpuInfo) -> Self {
        let online = online(files, info);
        Self {
            possible: files.list(&format!("{CPUS}/possible")).map(|cpus| cpus.len()).into(),
            cores: online.clone().and_then(|online| cores(files, info, &online)).into(),
            l3_groups: online.clone().and_then(|online| l3_groups(files, &online)).into(),
            packages: online.clone().and_then(|online| packages(files, info, &online)).into(),
            numa_nodes: numa_nodes(files, &online).into(),
            smt_control: files.text(&format!("{CPUS}/smt/control")).into(),
            isolated: files.list(&format!("{CPUS}/isolated")).into(),
            inventory: online.clone().and_then(|online| inventory(files, &online)).into(),
            online: online.into(),
        }
    }
}

fn online(files: &Files, info: &CpuInfo) -> Found<Vec<usize>> {
    let listed = files.list(&format!("{CPUS}/online"));
    listed.or_else(|no_sysfs| info.cpus().map_err(|no_proc| format!("{no_sysfs}, and {no_proc}")))
}

fn cores(files: &Files, info: &CpuInfo, online: &[usize]) -> Found<Vec<Vec<usize>>> {
    let by_sysfs =
        groups(online, |cpu| files.list(&format!("{CPUS}/cpu{cpu}/topology/thread_siblings_list")));
    by_sysfs.or_else(|no_sysfs| {
        keyed(online, |cpu| Ok((info.get(cpu, "physical id")?, info.get(cpu, "core id")?)))
            .map_err(|no_proc| format!("{no_sysfs}, and {no_proc}"))
    })
}

fn l3_groups(files: &Files, online: &[usize]) -> Found<Vec<Vec<usize>>> {
    groups(online, |cpu| caches::l3_cpus(files, cpu))
}

fn packages(files: &Files, info: &CpuInfo, online: &[usize]) -> Found<Vec<Vec<usize>>> {
    let id = |cpu: usize| files.text(&format!("{CPUS}/cpu{cpu}/topology/physical_package_id"));
    keyed(online, id).or_else(|no_sysfs| {
        keyed(online, |cpu| info.get(cpu, "physical id"))
            .map_err(|no_proc| format!("{no_sysfs}, and {no_proc}"))
    })
}

fn inventory(files: &Files, online: &[usize]) -> Found<BTreeMap<String, Vec<usize>>> {
    let mut by_number: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for &cpu in online {
        let number = files.text(&format!("{CPUS}/cpu{cpu}/topology/ppin"))?;
        by_number.entry(number).or_default().push(cpu);
    }
    Ok(by_number)
}

/// The groups that the CPUs name for themselves. A CPU that another one has named already is not
/// asked again: with hundreds of CPUs the files add up.
fn groups(
    online: &[usize],
    members: impl Fn(usize) -> Found<Vec<usize>>,
) -> Found<Vec<Vec<usize>>> {
    let on: BTreeSet<usize> = online.iter().copied().collect();
    let mut placed: BTreeSet<usize> = BTreeSet::new();
    let mut groups = Vec::new();
    for &cpu in online {
        if placed.contains(&cpu) {
            continue;
        }
        let mut group: BTreeSet<usize> =
            members(cpu)?.into_iter().filter(|m| on.contains(m) && !placed.contains(m)).collect();
        group.insert(cpu);
        placed.extend(&group);
        groups.push(group.into_iter().collect());
    }
    Ok(groups)
}

/// CPUs with equal keys, in the order in which the keys appear.
fn keyed<K: Ord>(online: &[usize], key: impl Fn(usize) -> Found<K>) -> Found<Vec<Vec<usize>>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for &cpu in online {
        groups.entry(key(cpu)?).or_default().push(cpu);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort();
    Ok(groups)
}

fn numa_nodes(files: &Files, online: &Found<Vec<usize>>) -> Found<Vec<NumaNode>> {
    let ids = files
        .numbered(NODES, "node")
        .map_err(|reason| format!("{reason} (no /sys, or a kernel without NUMA)"))?;
    if ids.is_empty() {
        return Err(format!("{NODES} lists no node"));
    }
    let is_on = |cpu: &usize| online.as_ref().map_or(true, |online| online.contains(cpu));
    Ok(ids.into_iter().map(|id| numa_node(files, id, is_on)).collect())
}

fn numa_node(files: &Files, id: usize, is_on: impl Fn(&usize) -> bool) -> NumaNode {
    let cpus = files.list(&format!("{NODES}/node{id}/cpulist")).unwrap_or_default();
    let path = format!("{NODES}/node{id}/meminfo");
    let meminfo = files.text(&path);
    // "Node 0 MemTotal:       5728460 kB"
    let bytes = |key: &str| {
        let text = meminfo.as_ref().map_err(Clone::clone)?;
        field(text, &format!("Node {id} {key}"))
            .and_then(|value| value.strip_suffix("kB")?.trim().parse::<u64>().ok())
            .map(|kib| kib << 10)
            .ok_or_else(|| format!("{path} has no {key}"))
    };
    let available = bytes("MemFree").map(|free| free + bytes("Inactive(file)").unwrap_or(0));
    let memory = bytes("MemTotal");
    let path = format!("{NODES}/node{id}/distance");
    let distances = files.text(&path).and_then(|text| {
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        numbers.map_err(|_| format!("{path} holds {text:?}, which is no list of numbers"))
    });
    NumaNode {
        id,
        cpus: cpus.into_iter().filter(is_on).collect(),
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
        assert_eq!(nodes[0].cpus, [0, 1], "CPU 9 is off");
        assert_eq!(nodes[0].available_bytes, Fact::Known(1 << 10));
        assert_eq!(nodes[1].memory_bytes, Fact::Known(0));
        assert_eq!(nodes[2].cpus, [0; 0]);
        assert_eq!(nodes[2].memory_bytes, Fact::Known(4 << 30));
        assert_eq!(nodes[0].distances, Fact::Known(vec![10, 21, 28]));
    }
}
