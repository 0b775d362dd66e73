//! Identity and claims: what CPUID, sysfs and the kernel say of this machine.
//!
//! Nothing here is measured, and nothing is guessed: a [`Fact`] that cannot be known carries the
//! reason. All files are read below a root folder and CPUID comes as plain data, so that tests
//! can make up any machine. No call changes anything.

mod caches;
mod cgroup;
mod collection;
mod counters;
mod cpu;
mod cpuid;
mod cpuinfo;
mod design;
mod disk;
mod fact;
mod files;
mod host;
mod kernel;
mod kinds;
mod limits;
mod memory;
mod mounts;
mod presence;
mod relation;
mod rows;
mod topology;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod trees;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use crate::format::human_bytes;
pub use caches::{CacheClaim, CacheKind};
pub use cgroup::{CpuQuota, Throttled};
pub use collection::{Collection, Entry};
pub use counters::{Counters, PartialPmu};
pub use cpu::{Cpu, TscClaim};
pub use cpuid::{CpuidCache, CpuidFacts};
pub use design::Microarchitecture;
pub use disk::{Device, Disk};
pub use fact::Fact;
pub use files::{Files, format_list, parse_list};
pub use host::Host;
pub use kernel::Kernel;
pub use kinds::CoreKind;
pub use limits::{BufferBound, Limits, MemoryBound};
pub use memory::{HugePool, Memory};
pub use relation::Relation;
pub use rows::Row;
pub use topology::{NumaNode, Topology};

use cgroup::Cgroups;
use cpuinfo::CpuInfo;
use presence::Presence;

/// Identity and claims of one machine. Cards store it, so fields may be added, but none changes
/// its name or meaning; a card without a field reads as "not recorded".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Which processor this is.
    pub cpu: Cpu,
    /// Caches of that CPU, nearest first.
    pub caches: Fact<Vec<CacheClaim>>,
    /// How the CPUs belong together.
    pub topology: Topology,
    /// Memory and huge pages.
    pub memory: Memory,
    /// What this process may use.
    pub limits: Limits,
    /// The kernel and its settings.
    pub kernel: Kernel,
    /// What the kernel can count with.
    pub counters: Counters,
    /// Host, operating system, virtual machine, container.
    pub host: Host,
    /// Sources that contradict one another, with what each says. What they disagree on is unknown.
    pub contradictions: Vec<String>,
}

/// What may be used where no limit of memory can be read: enough to go beyond any L2 cache, too
/// little to hurt a small machine.
const CAUTIOUS_BYTES: u64 = 64 << 20;

impl Machine {
    /// The machine that runs this.
    pub fn detect() -> Self {
        Self::detect_in(Path::new("/"), &CpuidFacts::read())
    }

    /// The machine whose files lie below `root` and whose CPUID answers so.
    pub fn detect_in(root: &Path, cpuid: &Fact<CpuidFacts>) -> Self {
        Self::of(&Files::new(root), cpuid)
    }

    /// The machine whose files these are, with nothing of the one that runs this.
    pub fn described_by(files: &Files) -> Self {
        let mut machine = Self::of(files, &Fact::unknown("not known from files"));
        machine.cpu.architecture = cpu::architecture(files);
        machine
    }

    fn of(files: &Files, cpuid: &Fact<CpuidFacts>) -> Self {
        let groups = Cgroups::read(files);
        let (info, presence) = cpus(files, &limits::affinity(files).into());
        let on = presence.on.clone().into();
        let topology = Topology::detect(files, &info, &presence);
        let memory = Memory::detect(files);
        let kinds = kinds::detect(files, cpuid, &info, &presence.on, &topology.cores);
        let mut machine = Self {
            cpu: Cpu { kinds: kinds.into(), ..Cpu::default() },
            limits: Limits::detect(files, &groups, &memory, &on, &topology.numa_nodes),
            counters: Counters::detect(files),
            host: Host::detect(files, cpuid, &info, &groups),
            topology,
            memory,
            contradictions: presence.contradictions,
            ..Self::default()
        };
        let first = machine.most_capable().first().copied().unwrap_or(0);
        machine.take_facts(files, cpuid, &info, first);
        machine
    }

    /// Takes the facts of this CPU in the place of another one's: the claims that measurements on it
    /// are held against. The calling thread must be on it, because CPUID answers for the CPU at hand.
    pub fn turn_to(&mut self, cpu: usize) {
        self.turn_to_in(Path::new("/"), &CpuidFacts::read(), cpu);
    }

    /// The same by files below `root` and a CPUID that answers so.
    fn turn_to_in(&mut self, root: &Path, cpuid: &Fact<CpuidFacts>, cpu: usize) {
        let files = Files::new(root);
        // The mask of now may be that of a thread that was pinned meanwhile.
        let (info, _) = cpus(&files, &self.limits.affinity);
        self.take_facts(&files, cpuid, &info, cpu);
    }

    fn take_facts(&mut self, files: &Files, cpuid: &Fact<CpuidFacts>, info: &CpuInfo, cpu: usize) {
        let kinds = std::mem::take(&mut self.cpu.kinds);
        self.cpu = Cpu { kinds, ..Cpu::detect(files, cpuid, info, cpu) };
        self.caches = caches::detect(files, cpuid, cpu).into();
        // What is of no CPU stays: where /proc is hidden, a system call told it.
        let Kernel { release, version, .. } = std::mem::take(&mut self.kernel);
        self.kernel = Kernel::detect(files, cpu);
        for (then, now) in
            [(release, &mut self.kernel.release), (version, &mut self.kernel.version)]
        {
            if then.known().is_some() {
                *now = then;
            }
        }
    }

    /// CPUs that this process may use, sorted.
    pub fn allowed_cpus(&self) -> &[usize] {
        &self.limits.allowed_cpus
    }

    /// Most bytes that all buffers together may take: half of what the tightest bound of memory leaves,
    /// or what there is time for.
    pub fn buffer_limit(&self) -> u64 {
        self.tighter_than_memory().map_or_else(|| self.half_of_memory(), |bound| bound.bytes)
    }

    fn half_of_memory(&self) -> u64 {
        self.limits.memory.first().map_or(CAUTIOUS_BYTES, |bound| bound.available_bytes) / 2
    }

    fn tighter_than_memory(&self) -> Option<&BufferBound> {
        self.limits.buffers.as_ref().filter(|bound| bound.bytes < self.half_of_memory())
    }

    /// What sets that limit: "MemAvailable", "cgroup memory.max /foo", "RLIMIT_AS".
    pub fn memory_limit_source(&self) -> &str {
        match (self.tighter_than_memory(), self.limits.memory.first()) {
            (Some(bound), _) => &bound.source,
            (None, Some(bound)) => &bound.source,
            (None, None) => "nothing tells how much memory there is",
        }
    }

    /// Why it is no more: "half of what MemAvailable leaves".
    pub fn buffer_limit_reason(&self) -> String {
        let source = self.memory_limit_source();
        let by_half = self.tighter_than_memory().is_none() && !self.limits.memory.is_empty();
        if by_half { format!("half of what {source} leaves") } else { source.to_owned() }
    }

    /// What is claimed of the cache that loads (`data`) or fetches go through at that level.
    pub fn claimed_cache(&self, level: u8, data: bool) -> Option<&CacheClaim> {
        let serves = |claim: &&CacheClaim| {
            claim.level == level
                && if data { claim.holds_data() } else { claim.holds_instructions() }
        };
        self.caches.known()?.iter().find(serves)
    }

    /// Claimed capacity of the cache nearest to memory.
    pub fn last_cache_bytes(&self) -> Option<u64> {
        kinds::last(self.caches.known()?)
    }

    /// Claimed line size: of the nearest data cache, else of CLFLUSH.
    pub fn claimed_line_bytes(&self) -> Option<u64> {
        let claims = self.caches.known().into_iter().flatten().filter(|claim| claim.holds_data());
        let mut lines = claims.filter_map(|claim| claim.line_bytes.known().copied());
        lines.next().or_else(|| self.cpu.clflush_line_bytes.known().copied())
    }

    /// The best claim of the rate of the TSC, in Hz.
    pub fn claimed_tsc_hz(&self) -> Option<u64> {
        self.cpu.tsc.known()?.first().map(|claim| claim.hz)
    }

    /// Memory nodes; empty where they are not known.
    pub fn numa_nodes(&self) -> &[NumaNode] {
        self.topology.numa_nodes.known().map_or(&[], Vec::as_slice)
    }

    /// Why the time counter is not to be used although the CPU promises a constant rate: the kernel has
    /// found it unfit, and no longer offers it as a source of its clock.
    pub fn withdrawn_counter(&self) -> Option<String> {
        let offered = self.kernel.clock_sources.known().filter(|sources| !sources.is_empty())?;
        let counters = ["tsc", "arch_sys_counter"];
        let withdrawn = !offered.iter().any(|source| counters.contains(&source.as_str()));
        withdrawn.then(|| {
            format!("the kernel does not offer it as a clock source (only {})", offered.join(" "))
        })
    }

    /// The tightest quota of CPU time, where there is one.
    pub fn cpu_quota(&self) -> Option<&CpuQuota> {
        self.limits.cpu_quota.known()?.as_ref()
    }

    /// Hardware threads of the largest core.
    pub fn threads_per_core(&self) -> Option<usize> {
        self.topology.cores.known()?.iter().map(Vec::len).max()
    }

    /// "CPU 6", with the inventory number of its processor where that is known.
    pub fn cpu_name(&self, cpu: usize) -> String {
        let numbers = self.topology.inventory.known().into_iter().flatten();
        let number = numbers.filter(|(_, cpus)| cpus.contains(&cpu)).map(|(number, _)| number);
        let number = number.map(|number| format!(" (PPIN {number})")).next().unwrap_or_default();
        format!("CPU {cpu}{number}")
    }

    /// All hardware threads of the core of `cpu`, **itself included**; empty where it is not known.
    pub fn siblings_of(&self, cpu: usize) -> &[usize] {
        let cores = self.topology.cores.known().map_or(&[][..], Vec::as_slice);
        cores.iter().find(|core| core.contains(&cpu)).map_or(&[], Vec::as_slice)
    }

    /// CPUs by level 3 cache; empty where it is not known.
    pub fn l3_groups(&self) -> &[Vec<usize>] {
        self.topology.l3_groups.known().map_or(&[], Vec::as_slice)
    }

    /// Whether the kernel and CPUID list this feature, under Linux's name for it.
    pub fn has_feature(&self, name: &str) -> bool {
        self.cpu.features.known().is_some_and(|features| features.iter().any(|f| f == name))
    }
}

/// /proc/cpuinfo, and which CPUs are on by that and all other sources.
fn cpus(files: &Files, affinity: &Fact<Vec<usize>>) -> (CpuInfo, Presence) {
    let mut info = CpuInfo::read(files);
    let presence = Presence::of(files, &info, affinity);
    if let Ok(on) = &presence.on {
        info.hold_against(on);
    }
    (info, presence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine() {
        let machine = Machine::detect();
        assert!(!machine.allowed_cpus().is_empty());
        assert!(machine.buffer_limit() > 0);
        assert!(!machine.title().is_empty());
        let json = serde_json::to_string(&machine).expect("serializes");
        let back: Machine = serde_json::from_str(&json).expect("reads its own writing");
        assert_eq!(back, machine);
    }

    #[test]
    fn a_card_of_another_version() {
        let empty: Machine = serde_json::from_str("{}").expect("every field has a default");
        assert_eq!(empty, Machine::default());
        assert_eq!(empty.cpu.vendor.reason(), Some("not recorded"));
        let later = r#"{"cpu":{"vendor":"Arm","family":"eight","lanes":4},"zoo":{"bears":2}}"#;
        let machine: Machine = serde_json::from_str(later).expect("unknown fields are ignored");
        assert_eq!(machine.cpu.vendor, Fact::Known("Arm".into()));
        assert!(machine.cpu.family.reason().is_some_and(|r| r.contains("this version")));
    }

    #[test]
    fn an_empty_root_is_survived() {
        let machine = tree::Tree::new().machine();
        assert_eq!(machine.allowed_cpus(), [0; 0]);
        assert_eq!(machine.last_cache_bytes(), None);
        assert_eq!(machine.claimed_tsc_hz(), None);
        assert!(machine.rows().iter().all(|row| !row.value.is_empty()));
        let json = serde_json::to_string(&machine).expect("serializes");
        assert_eq!(serde_json::from_str::<Machine>(&json).expect("reads back"), machine);
    }
}
