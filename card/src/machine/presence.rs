//! Which CPUs are on, where not all sources agree.

use std::collections::BTreeSet;

use super::Fact;
use super::cpuinfo::CpuInfo;
use super::files::{Files, Found, format_list};
use super::topology::CPUS;

/// What the sources say together.
pub(super) struct Presence {
    /// What the kernel lists as switched on; a reason where another source proves it wrong.
    pub(super) online: Found<Vec<usize>>,
    /// Those and what else this process can be pinned to.
    pub(super) on: Found<Vec<usize>>,
    /// Sources that contradict each other, with what they say.
    pub(super) contradictions: Vec<String>,
}

impl Presence {
    /// `affinity` is the mask of this process.
    pub(super) fn of(files: &Files, info: &CpuInfo, affinity: &Fact<Vec<usize>>) -> Self {
        let path = format!("{CPUS}/online");
        let listed = files.list(&path).and_then(|cpus| match cpus.is_empty() {
            true => Err(format!("{path} lists no CPU")),
            false => Ok(cpus),
        });
        let online = listed.or_else(|no_sysfs| {
            info.cpus().map_err(|no_proc| format!("{no_sysfs}, and {no_proc}"))
        });
        let Ok(listed) = &online else {
            // Who may be pinned to a CPU needs no list to know that it is on.
            let on = affinity.known().cloned().ok_or(()).or_else(|()| online.clone());
            return Self { online, on, contradictions: Vec::new() };
        };
        let mask = affinity.known().map_or(&[][..], Vec::as_slice);
        let besides = beyond(files, listed, mask);
        let on: BTreeSet<usize> = listed.iter().chain(&besides).copied().collect();
        let on: Vec<usize> = on.into_iter().collect();
        let mut contradictions = Vec::new();
        if let Ok(blocks) = info.cpus()
            && ![listed, &on].contains(&&blocks)
        {
            let (blocks, listed) = (format_list(&blocks), format_list(listed));
            contradictions.push(format!("/proc/cpuinfo has CPUs {blocks}, {path} {listed}"));
        }
        let online = if besides.is_empty() {
            online
        } else {
            let (besides, listed) = (format_list(&besides), format_list(listed));
            let doubt = format!("{path} has CPUs {listed}, the affinity mask {besides} besides");
            contradictions.push(doubt.clone());
            Err(doubt)
        };
        Self { online, on: Ok(on), contradictions }
    }

    /// Whether a CPU that a list names is on: what is off is in no list that the kernel keeps, and a
    /// list of CPUs that are on can only be proven wrong by what it leaves out.
    pub(super) fn is_on(&self, cpu: usize) -> bool {
        self.online.as_ref().map_or(true, |online| online.binary_search(&cpu).is_ok())
    }
}

/// What the mask has beyond the CPUs that are listed, without those that are off: a mask that nobody
/// has narrowed names every CPU that there could be.
fn beyond(files: &Files, listed: &[usize], mask: &[usize]) -> Vec<usize> {
    let unlisted = mask.iter().copied().filter(|cpu| listed.binary_search(cpu).is_err());
    let possible = files.list(&format!("{CPUS}/possible"));
    let unlisted: Vec<usize> =
        unlisted.filter(|cpu| possible.as_ref().map_or(true, |all| all.contains(cpu))).collect();
    match files.list(&format!("{CPUS}/offline")) {
        Ok(off) => unlisted.into_iter().filter(|cpu| !off.contains(cpu)).collect(),
        Err(_) if listed.iter().all(|cpu| mask.contains(cpu)) => Vec::new(),
        Err(_) => unlisted,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Machine;
    use super::super::tree::Tree;
    use super::*;

    fn tree(online: &str, mask: &str) -> Tree {
        Tree::new()
            .file(&format!("{CPUS}/online"), online)
            .file("/proc/self/status", format!("Cpus_allowed_list:\t{mask}\n"))
    }

    fn row(machine: &Machine, label: &str) -> Option<String> {
        machine.rows().into_iter().find(|row| row.label == label).map(|row| row.value)
    }

    #[test]
    fn what_can_be_pinned_to_is_on_whatever_online_lists() {
        // A container's own view of `online`, begun at 0, and of another part of the machine.
        for (online, mask, allowed) in
            [("0", "1", vec![1]), ("0-3", "2-5", vec![2, 3, 4, 5]), ("0", "24", vec![24])]
        {
            let machine = tree(online, mask).machine();
            assert_eq!(machine.allowed_cpus(), allowed);
            let reason = machine.topology.online.reason().expect("no claim");
            assert!(reason.contains("the affinity mask"), "{reason}");
            assert_eq!(machine.contradictions, [reason]);
            assert_eq!(row(&machine, "Contradictions").as_deref(), Some(reason));
            let cpus = if allowed.len() == 1 { "1 CPU" } else { "4 CPUs" };
            assert!(machine.title().ends_with(cpus), "{}", machine.title());
        }
    }

    #[test]
    fn groups_reach_as_far_as_the_topology_names_them() {
        let machine = tree("0", "24")
            .file(&format!("{CPUS}/possible"), "0-31")
            .file(&format!("{CPUS}/cpu24/topology/thread_siblings_list"), "8,24")
            .file(&format!("{CPUS}/cpu0/topology/thread_siblings_list"), "0,16")
            .file("/sys/devices/system/node/node0/cpulist", "0-31")
            .machine();
        assert_eq!(machine.siblings_of(24), [8, 24]);
        assert_eq!(machine.threads_per_core(), Some(2));
        assert_eq!(machine.numa_nodes()[0].cpus.known().map(Vec::len), Some(32));
        let topology = row(&machine, "Topology").expect("a row");
        assert!(topology.contains("the affinity mask 24 besides"), "{topology}");
    }

    #[test]
    fn a_mask_that_nobody_has_narrowed_names_cpus_that_are_off() {
        let plain = tree("0-3", "0-127").machine();
        assert_eq!((plain.allowed_cpus().len(), plain.contradictions.len()), (4, 0));
        let off = tree("0-3", "0-127").file(&format!("{CPUS}/offline"), "4-127").machine();
        assert_eq!((off.allowed_cpus().len(), off.contradictions.len()), (4, 0));
        // A CPU that was switched off after the mask was set.
        let off = tree("0,2-3", "1-2").file(&format!("{CPUS}/offline"), "1").machine();
        assert_eq!((off.allowed_cpus(), off.contradictions.len()), (&[2][..], 0));
        let holes = tree("0,2", "0-2").file(&format!("{CPUS}/possible"), "0,2");
        let holes = holes.file(&format!("{CPUS}/offline"), "").machine();
        assert_eq!((holes.allowed_cpus(), holes.contradictions.len()), (&[0, 2][..], 0));
        // A container that is shown as many CPUs as its quota is worth.
        let few = tree("0-1", "0-7").file(&format!("{CPUS}/offline"), "").machine();
        assert_eq!((few.allowed_cpus().len(), few.contradictions.len()), (8, 1));
    }

    #[test]
    fn cpuinfo_under_other_numbers_is_named_and_no_block_is_taken_for_another_cpus() {
        let block = |n: usize, mhz: u32| {
            format!(
                "processor: {n}\nflags: avx avx2\nphysical id: 0\ncore id: {n}\ncpu MHz: {mhz}\n\n"
            )
        };
        let text = block(0, 1000) + &block(1, 2000) + &block(2, 3000) + &block(3, 1000);
        let machine = tree("2-3,24-25", "2-3,24-25").file("/proc/cpuinfo", text).machine();
        assert_eq!(machine.allowed_cpus(), [2, 3, 24, 25]);
        let said = "/proc/cpuinfo has CPUs 0-3, /sys/devices/system/cpu/online 2-3,24-25";
        assert_eq!(machine.contradictions, [said]);
        assert!(machine.has_feature("avx2"), "all blocks agree on it");
        assert!(machine.topology.cores.reason().is_some_and(|r| r.contains("anew")));
    }

    #[test]
    fn no_cpu_at_all_is_no_list() {
        let machine = Tree::new().file(&format!("{CPUS}/online"), "\n").machine();
        assert!(machine.topology.online.reason().is_some_and(|r| r.contains("lists no CPU")));
        assert!(!machine.title().contains("CPU"), "{}", machine.title());
        // The mask alone tells which CPUs there are at least.
        let machine = Tree::new().file("/proc/self/status", "Cpus_allowed_list:\t3\n").machine();
        assert_eq!(
            (machine.allowed_cpus(), machine.title().ends_with(", 1 CPU")),
            (&[3][..], true)
        );
    }
}
