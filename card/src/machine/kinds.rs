//! The kinds of core of one machine: a fast and an economical design, or one design with caches or
//! clocks of two sizes.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::cpu::midr;
use super::cpuinfo::CpuInfo;
use super::design;
use super::files::{Files, Found};
use super::topology::CPUS;
use super::{
    CacheClaim, CacheKind, CpuidFacts, Fact, Machine, Microarchitecture, caches, human_bytes,
};

/// CPUs of one design that are claimed to have the same caches and about the same clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CoreKind {
    /// "Cortex-X925", "Raptor Lake P-core", "Zen 4 with L3 96 MiB"; no two of a machine are alike.
    pub name: String,
    /// Its CPUs that are on, sorted.
    pub cpus: Vec<usize>,
    /// Highest clock, in Hz: the lowest and the highest of what is claimed of its CPUs.
    pub max_hz: Fact<(u64, u64)>,
    /// How much work the scheduler thinks they do, 1024 being the most: the lowest and the highest.
    pub capacity: Fact<(u64, u64)>,
    /// Caches of each of its CPUs, nearest first. What is not the same for all of them is unknown.
    pub caches: Fact<Vec<CacheClaim>>,
}

/// Intel's names for the kinds of core, by the performance counters that each has of its own; the
/// most capable first.
const HYBRID: [(&str, &str); 3] =
    [("cpu_core", "P-core"), ("cpu_atom", "E-core"), ("cpu_lowpower", "LP E-core")];

/// Which CPUs have which of those counters; empty on a processor with cores of one kind.
pub(super) struct Hybrid(Vec<(&'static str, Vec<usize>)>);

impl Hybrid {
    pub(super) fn read(files: &Files) -> Self {
        let cpus = |name: &str| files.list(&format!("/sys/devices/{name}/cpus")).ok();
        Self(HYBRID.into_iter().filter_map(|(pmu, name)| Some((name, cpus(pmu)?))).collect())
    }

    /// The place in the list of kinds, and the name of the kind.
    fn of(&self, cpu: usize) -> Option<(usize, &'static str)> {
        let at = self.0.iter().position(|(_, cpus)| cpus.contains(&cpu))?;
        let (name, _) = self.0[at];
        Some((at, name))
    }

    /// Whether this CPU is one of those that save energy.
    pub(super) fn is_economical(&self, cpu: usize) -> bool {
        self.of(cpu).is_some_and(|(_, name)| name != HYBRID[0].1)
    }
}

/// A core that is slower than this share of the fastest one is of another kind. The best cores of
/// one kind are clocked up to a tenth higher than the rest (Turbo Boost Max, preferred cores); kinds
/// with the same caches differ by a quarter and more (Zen 4 and 4c in Phoenix 2: 4.9 and 3.5 GHz).
const FAVOURED: f64 = 0.85;

/// What is claimed of a core.
struct Core {
    cpus: Vec<usize>,
    economy: usize,
    name: String,
    caches: Found<Vec<CacheClaim>>,
    max_hz: Found<u64>,
    capacity: Found<u64>,
}

/// What tells one kind from another: a rank, a name, and caches by level, kind and size.
type Build<'a> = (usize, &'a str, Option<Vec<(u8, CacheKind, u64)>>);

impl Core {
    /// What a kind has in common, besides its clock.
    fn build(&self) -> Build<'_> {
        let sizes = self.caches.as_ref().ok().map(|claims| {
            claims.iter().map(|claim| (claim.level, claim.kind, claim.bytes)).collect()
        });
        (self.economy, &self.name, sizes)
    }
}

/// All kinds, the most capable first. `cores` are hardware threads by core, as far as they are known.
pub(super) fn detect(
    files: &Files,
    cpuid: &Fact<CpuidFacts>,
    info: &CpuInfo,
    on: &Found<Vec<usize>>,
    cores: &Fact<Vec<Vec<usize>>>,
) -> Found<Vec<CoreKind>> {
    let hybrid = Hybrid::read(files);
    // CPUID answers for the CPU at hand, which may be of another kind.
    let by_cpuid = if hybrid.0.is_empty() { caches::from_cpuid(cpuid).ok() } else { None };
    let by_cpuid = by_cpuid.unwrap_or_default();
    let mut left = on.clone()?;
    let mut groups: Vec<Vec<Core>> = Vec::new();
    while let Some(&cpu) = left.first() {
        // Threads of one core are alike; with hundreds of CPUs the files add up.
        let core = cores.known().into_iter().flatten().find(|core| core.contains(&cpu));
        let core = core.cloned().unwrap_or_else(|| vec![cpu]);
        left.retain(|other| *other != cpu && !core.contains(other));
        let (economy, part) = hybrid.of(cpu).unzip();
        let name = [design(files, cpuid, info, cpu), part.map(str::to_owned)];
        let name = name.into_iter().flatten().reduce(|design, part| format!("{design} {part}"));
        let core = Core {
            cpus: core,
            economy: economy.unwrap_or_default(),
            name: name.unwrap_or_else(|| "core".to_owned()),
            caches: caches::from_sysfs(files, cpu, &by_cpuid),
            max_hz: max_hz(files, cpu),
            capacity: files.number(&format!("{CPUS}/cpu{cpu}/cpu_capacity")),
        };
        match groups.iter_mut().find(|group| group[0].build() == core.build()) {
            Some(group) => group.push(core),
            None => groups.push(vec![core]),
        }
    }
    let mut kinds: Vec<(Rank, CoreKind)> =
        groups.into_iter().flat_map(by_speed).map(kind).collect();
    kinds.sort_by_key(|(rank, kind)| (Reverse(*rank), kind.cpus.first().copied()));
    let mut kinds: Vec<CoreKind> = kinds.into_iter().map(|(_, kind)| kind).collect();
    tell_apart(&mut kinds);
    Ok(kinds)
}

/// The design in short, "Zen 4" of "Zen 4 (Genoa)".
fn design(files: &Files, cpuid: &Fact<CpuidFacts>, info: &CpuInfo, cpu: usize) -> Option<String> {
    let short = |d: Microarchitecture| d.name.split(" (").next().unwrap_or_default().to_owned();
    let by_cpuid = |facts: &CpuidFacts| {
        design::x86(&facts.vendor, facts.family, facts.model, facts.stepping).ok().map(short)
    };
    let by_midr = || {
        let midr = midr(files, info, cpu).ok()?;
        Some(midr.design().map_or_else(|_| format!("part {:x}h", midr.part), short))
    };
    cpuid.known().map_or_else(by_midr, by_cpuid)
}

/// What the kernel's driver of the clock says, in Hz.
pub(super) fn max_hz(files: &Files, cpu: usize) -> Found<u64> {
    let path = format!("{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq");
    let khz: u64 = files.number(&path)?;
    khz.checked_mul(1000).ok_or_else(|| format!("{path} is {khz}, which is no frequency"))
}

/// Cores that are alike but for their clocks, each kind of clock apart.
fn by_speed(cores: Vec<Core>) -> Vec<Vec<Core>> {
    let all = |of: fn(&Core) -> &Found<u64>| -> Option<Vec<u64>> {
        cores.iter().map(|core| of(core).as_ref().ok().copied()).collect()
    };
    let Some(speeds) = all(|core| &core.capacity).or_else(|| all(|core| &core.max_hz)) else {
        return vec![cores];
    };
    let mut cores: Vec<(u64, Core)> = speeds.into_iter().zip(cores).collect();
    cores.sort_by_key(|(speed, _)| Reverse(*speed));
    let mut kinds: Vec<(u64, Vec<Core>)> = Vec::new();
    for (speed, core) in cores {
        match kinds.last_mut() {
            Some((best, kind)) if speed as f64 >= FAVOURED * *best as f64 => kind.push(core),
            _ => kinds.push((speed, vec![core])),
        }
    }
    kinds.into_iter().map(|(_, kind)| kind).collect()
}

/// What makes a kind more capable, the most telling first: Intel's word, capacity, clock, bytes of
/// cache, CPUs.
type Rank = (Reverse<usize>, Option<u64>, Option<u64>, u64, usize);

fn kind(cores: Vec<Core>) -> (Rank, CoreKind) {
    let first = &cores[0];
    let mut cpus: Vec<usize> = cores.iter().flat_map(|core| core.cpus.clone()).collect();
    cpus.sort_unstable();
    let kind = CoreKind {
        name: first.name.clone(),
        cpus,
        max_hz: extremes(cores.iter().map(|core| &core.max_hz)).into(),
        capacity: extremes(cores.iter().map(|core| &core.capacity)).into(),
        caches: first.caches.clone().map(|claims| in_common(claims, &cores)).into(),
    };
    let data = kind.caches.known().into_iter().flatten().filter(|claim| claim.holds_data());
    let rank = (
        Reverse(first.economy),
        kind.capacity.known().map(|capacity| capacity.1),
        kind.max_hz.known().map(|hz| hz.1),
        data.map(|claim| claim.bytes).sum(),
        kind.cpus.len(),
    );
    (rank, kind)
}

/// The lowest and the highest, where every one is known.
fn extremes<'a>(values: impl Iterator<Item = &'a Found<u64>>) -> Found<(u64, u64)> {
    let values = values.cloned().collect::<Found<Vec<u64>>>()?;
    let extremes = values.iter().min().copied().zip(values.iter().max().copied());
    extremes.ok_or_else(|| "there is no CPU".to_owned())
}

/// The claims of one core, with those details that all cores share.
fn in_common(mut claims: Vec<CacheClaim>, cores: &[Core]) -> Vec<CacheClaim> {
    fn agreed<T: PartialEq>(fact: &mut Fact<T>, other: &Fact<T>) {
        if fact.known().is_some() && fact != other {
            *fact = Fact::unknown("not the same for all CPUs of this kind");
        }
    }
    for core in cores {
        // Cores of one kind list the same caches in the same order.
        for (claim, other) in claims.iter_mut().zip(core.caches.iter().flatten()) {
            agreed(&mut claim.line_bytes, &other.line_bytes);
            agreed(&mut claim.ways, &other.ways);
            agreed(&mut claim.sharers, &other.sharers);
            agreed(&mut claim.shared_cpus, &other.shared_cpus);
        }
    }
    claims
}

/// Adds to names that are alike what the kinds differ in.
fn tell_apart(kinds: &mut [CoreKind]) {
    let cache = |kind: &CoreKind, level: u8, data: bool| match kind.caches.known() {
        None => "unknown caches".to_owned(),
        Some(claims) => {
            let serves = |claim: &&CacheClaim| {
                claim.level == level
                    && if data { claim.holds_data() } else { claim.holds_instructions() }
            };
            let claim = claims.iter().find(serves);
            claim.map_or(format!("no L{level}"), |c| {
                format!("{} {}", c.label(), human_bytes(c.bytes))
            })
        }
    };
    let clock = |kind: &CoreKind| match (kind.max_hz.known(), kind.capacity.known()) {
        (Some((_, hz)), _) => format!("at most {:.2} GHz", *hz as f64 / 1e9),
        (None, Some((_, capacity))) => format!("capacity {capacity}"),
        (None, None) => "an unknown clock".to_owned(),
    };
    let details: [&dyn Fn(&CoreKind) -> String; 5] = [
        &|kind| cache(kind, 3, true),
        &|kind| cache(kind, 2, true),
        &|kind| cache(kind, 1, true),
        &|kind| cache(kind, 1, false),
        &clock,
    ];
    for detail in details {
        let said: Vec<(String, String)> =
            kinds.iter().map(|kind| (kind.name.clone(), detail(kind))).collect();
        for (kind, (name, own)) in kinds.iter_mut().zip(&said) {
            if said.iter().any(|(other, theirs)| other == name && theirs != own) {
                let joint = if kind.name.contains(" with ") { "," } else { " with" };
                kind.name = format!("{name}{joint} {own}");
            }
        }
    }
}

impl Machine {
    /// The kinds of core, the most capable first; empty where they are not known.
    pub fn kinds(&self) -> &[CoreKind] {
        self.cpu.kinds.known().map_or(&[], Vec::as_slice)
    }

    /// The kind of this CPU, where it is known and there is another one besides.
    pub fn kind_of(&self, cpu: usize) -> Option<&CoreKind> {
        let kinds = self.kinds();
        kinds.iter().find(|kind| kinds.len() > 1 && kind.cpus.contains(&cpu))
    }

    /// The CPUs of the most capable kind that this process may use: all that it may use where kinds
    /// are not known.
    pub fn most_capable(&self) -> Vec<usize> {
        let allowed = self.allowed_cpus();
        let those = |kind: &CoreKind| -> Vec<usize> {
            allowed.iter().copied().filter(|cpu| kind.cpus.contains(cpu)).collect()
        };
        let mut usable = self.kinds().iter().map(those).filter(|cpus| !cpus.is_empty());
        usable.next().unwrap_or_else(|| allowed.to_vec())
    }

    /// Cores of a kind: its CPUs, those of one core counted once.
    pub fn cores_of(&self, kind: &CoreKind) -> usize {
        let known = self.topology.cores.known().map_or(&[][..], Vec::as_slice);
        let is_first = |cpu: &&usize| {
            let core = known.iter().find(|core| core.contains(cpu));
            core.is_none_or(|core| core.iter().find(|c| kind.cpus.contains(c)) == Some(*cpu))
        };
        kind.cpus.iter().filter(is_first).count()
    }

    /// Claimed capacity of the cache nearest to memory of this CPU.
    pub fn last_cache_of(&self, cpu: usize) -> Option<u64> {
        let Some(kind) = self.kind_of(cpu) else { return self.last_cache_bytes() };
        last(kind.caches.known()?)
    }
}

/// Capacity of the data cache nearest to memory.
pub(super) fn last(claims: &[CacheClaim]) -> Option<u64> {
    let data = claims.iter().filter(|claim| claim.holds_data());
    data.max_by_key(|claim| claim.level).map(|claim| claim.bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    /// A CPU with its caches, `(index, level, kind, size, sharers)`.
    fn cpu(tree: Tree, cpu: usize, siblings: &str, caches: &[(u8, &str, &str, &str)]) -> Tree {
        let folder = format!("{CPUS}/cpu{cpu}");
        let tree = tree.file(&format!("{folder}/topology/thread_siblings_list"), siblings);
        caches.iter().enumerate().fold(tree, |tree, (index, (level, kind, size, shared))| {
            let entry = format!("{folder}/cache/index{index}");
            tree.file(&format!("{entry}/level"), level.to_string())
                .file(&format!("{entry}/type"), kind)
                .file(&format!("{entry}/size"), size)
                .file(&format!("{entry}/shared_cpu_list"), shared)
        })
    }

    fn clock(tree: Tree, cpu: usize, khz: u64) -> Tree {
        tree.file(&format!("{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq"), khz.to_string())
    }

    fn row(machine: &Machine, label: &str) -> String {
        let rows = machine.rows();
        rows.into_iter().find(|row| row.label == label).expect("a row").value
    }

    /// Four CPUs of an Arm machine, two of each design, the economical ones first; the last one of
    /// the fast ones is clocked a little higher.
    fn two_designs() -> Tree {
        (0..4).fold(Tree::new().file(&format!("{CPUS}/online"), "0-3"), |tree, n| {
            let (own, fast) = (n.to_string(), n >= 2);
            let (part, l2, l3) =
                if fast { ("d85", "2048K", "16384K") } else { ("d87", "512K", "8192K") };
            let near = if fast { "2-3" } else { "0-1" };
            let caches =
                [(1, "Data", "64K", &*own), (2, "Unified", l2, &*own), (3, "Unified", l3, near)];
            let tree = cpu(tree, n, &own, &caches);
            let tree = clock(tree, n, [2_808_000, 2_808_000, 3_900_000, 4_004_000][n]);
            tree.file(
                &format!("{CPUS}/cpu{n}/regs/identification/midr_el1"),
                format!("0x00000000410f{part}1"),
            )
        })
    }

    #[test]
    fn two_designs_on_one_chip() {
        let mut machine = two_designs().machine();
        assert_eq!(machine.title(), "Arm (2 × Cortex-X925 + 2 × Cortex-A725), 4 CPUs");
        let kinds: Vec<(&str, &[usize])> =
            machine.kinds().iter().map(|kind| (kind.name.as_str(), kind.cpus.as_slice())).collect();
        assert_eq!(kinds, [("Cortex-X925", &[2, 3][..]), ("Cortex-A725", &[0, 1])]);
        assert_eq!(machine.kinds()[0].max_hz, Fact::Known((3_900_000_000, 4_004_000_000)));
        // The first of the most capable kind, until one is chosen.
        assert_eq!((machine.most_capable(), machine.cpu.number), (vec![2, 3], 2));
        let facts = |machine: &Machine| {
            let l2 = machine.claimed_cache(2, true).map(|claim| claim.bytes >> 10);
            let design = machine.cpu.microarchitecture.known().map(|design| design.key.clone());
            (l2, machine.last_cache_bytes().map(|bytes| bytes >> 20), design)
        };
        assert_eq!(facts(&machine), (Some(2048), Some(16), Some("cortex-x925".into())));
        assert_eq!(machine.last_cache_of(1), Some(8 << 20));
        let caches = "L1D 64 KiB · L2 2 MiB (CPU 2–3), 512 KiB (CPU 0–1) · \
                      L3 16 MiB shared by 2 CPUs (CPU 2–3), 8 MiB shared by 2 CPUs (CPU 0–1)";
        assert_eq!(row(&machine, "Caches"), caches);
        let cpu = "Arm (2 × Cortex-X925 + 2 × Cortex-A725) · CPU 2: Cortex-X925, part d85h r0p1";
        assert_eq!(row(&machine, "CPU"), cpu);
        // Every fact of a CPU is of the one that measures.
        let tree =
            two_designs().file(&format!("{CPUS}/cpu1/cpufreq/scaling_governor"), "powersave");
        machine.turn_to_in(tree.path(), &Fact::unknown("no CPUID"), 1);
        assert_eq!(facts(&machine), (Some(512), Some(8), Some("cortex-a725".into())));
        assert_eq!((machine.cpu.number, machine.cpu.model.known()), (1, Some(&0xd87)));
        assert_eq!(machine.cpu.max_hz, Fact::Known(2_808_000_000));
        assert_eq!(machine.kinds().len(), 2, "the kinds stay");
        let clock = "powersave · at most 3.90 to 4.00 GHz (CPU 2–3), 2.81 GHz (CPU 0–1)";
        assert_eq!(row(&machine, "Governor"), clock);
    }

    fn raptor_lake() -> CpuidFacts {
        CpuidFacts {
            vendor: "GenuineIntel".into(),
            brand: Some("13th Gen Intel(R) Core(TM) i7-1370P".into()),
            family: 6,
            model: 0xba,
            ..CpuidFacts::default()
        }
    }

    /// A P-core of two threads, two E-cores, and one more without an L3.
    fn hybrid() -> Tree {
        let tree = Tree::new()
            .file(&format!("{CPUS}/online"), "0-4\n")
            .file("/sys/devices/cpu_core/cpus", "0-1\n")
            .file("/sys/devices/cpu_atom/cpus", "2-4\n");
        let l1 = |size, shared| (1, "Data", size, shared);
        let l3 = (3, "Unified", "24576K", "0-3");
        let tree = cpu(tree, 0, "0-1", &[l1("48K", "0-1"), (2, "Unified", "1280K", "0-1"), l3]);
        let tree = cpu(tree, 1, "0-1", &[l1("48K", "0-1"), (2, "Unified", "1280K", "0-1"), l3]);
        let tree = cpu(tree, 2, "2", &[l1("32K", "2"), (2, "Unified", "2048K", "2-3"), l3]);
        let tree = cpu(tree, 3, "3", &[l1("32K", "3"), (2, "Unified", "2048K", "2-3"), l3]);
        cpu(tree, 4, "4", &[l1("32K", "4"), (2, "Unified", "2048K", "4")])
    }

    #[test]
    fn performance_and_economy() {
        let mut machine = hybrid().machine_with(raptor_lake());
        let title = "13th Gen Intel Core i7-1370P (1 × Raptor Lake P-core + 2 × Raptor Lake E-core with \
                     L3 24 MiB + 1 × Raptor Lake E-core with no L3), 5 CPUs";
        assert_eq!(machine.title(), title);
        assert_eq!(machine.cpu.number, 0);
        assert_eq!(
            row(&machine, "Topology"),
            "5 CPUs · 2 threads per core on 1 of 4 cores · 1 L3 cache (none claimed for CPU 4)"
        );
        let caches = "L1D 48 KiB shared by 2 CPUs (CPU 0–1), 32 KiB (CPU 2–4) · L2 1.25 MiB shared by 2 \
                      CPUs (CPU 0–1), 2 MiB shared by 2 CPUs (CPU 2–3), 2 MiB (CPU 4) · \
                      L3 24 MiB shared by 4 CPUs (CPU 0–3), none (CPU 4)";
        assert_eq!(row(&machine, "Caches"), caches);
        // What is published of the one kind is not held against the other.
        let key = |machine: &Machine| machine.cpu.microarchitecture.known().map(|m| m.key.clone());
        assert_eq!(key(&machine).as_deref(), Some("raptor-lake"));
        machine.turn_to_in(hybrid().path(), &Fact::Known(raptor_lake()), 4);
        assert_eq!(key(&machine).as_deref(), Some("gracemont"));
        assert_eq!(machine.last_cache_bytes(), Some(2 << 20));
        // What may be used decides before what is capable.
        let status = "Cpus_allowed_list:\t3-4\n";
        let machine = hybrid().file("/proc/self/status", status).machine_with(raptor_lake());
        assert_eq!((machine.most_capable(), machine.cpu.number), (vec![3], 3));
    }

    fn raphael() -> CpuidFacts {
        CpuidFacts {
            vendor: "AuthenticAMD".into(),
            family: 0x19,
            model: 0x61,
            ..CpuidFacts::default()
        }
    }

    #[test]
    fn one_design_with_caches_of_two_sizes() {
        let tree = (0..4).fold(Tree::new().file(&format!("{CPUS}/online"), "0-3"), |tree, n| {
            let (size, shared) = if n < 2 { ("98304K", "0-1") } else { ("32768K", "2-3") };
            cpu(tree, n, &n.to_string(), &[(3, "Unified", size, shared)])
        });
        let machine = tree.machine_with(raphael());
        let title = "AuthenticAMD (2 × Zen 4 with L3 96 MiB + 2 × Zen 4 with L3 32 MiB), 4 CPUs";
        assert_eq!(machine.title(), title);
        assert_eq!(machine.last_cache_of(3), Some(32 << 20));
        // The clock tells more of a core than its cache.
        let tree =
            (0..4).fold(tree, |tree, n| clock(tree, n, if n < 2 { 5_250_000 } else { 5_750_000 }));
        assert_eq!(tree.machine_with(raphael()).most_capable(), [2, 3]);
    }

    #[test]
    fn one_design_at_two_clocks() {
        let of = |khz: [u64; 3]| {
            let tree = Tree::new().file(&format!("{CPUS}/online"), "0-2");
            let tree = khz.into_iter().enumerate().fold(tree, |tree, (n, khz)| {
                clock(cpu(tree, n, &n.to_string(), &[(3, "Unified", "16384K", "0-2")]), n, khz)
            });
            let governor = |tree: Tree, n: usize| {
                tree.file(&format!("{CPUS}/cpu{n}/cpufreq/scaling_governor"), "performance")
            };
            (0..3).fold(tree, governor).machine_with(raphael())
        };
        let title = "AuthenticAMD (1 × Zen 4 with at most 4.90 GHz + 2 × Zen 4 with at most 3.50 GHz), \
                     3 CPUs";
        assert_eq!(of([3_400_000, 3_500_000, 4_900_000]).title(), title);
        // The best cores of one kind are no kind of their own.
        let favoured = of([5_000_000, 5_200_000, 5_000_000]);
        assert_eq!(favoured.title(), "AuthenticAMD (Zen 4, Raphael), 3 CPUs");
        assert_eq!(row(&favoured, "Governor"), "performance · at most 5.00 to 5.20 GHz");
    }

    #[test]
    fn a_plain_machine_has_one_kind_and_says_what_is_the_same_for_all() {
        let tree = (0..3).fold(Tree::new().file(&format!("{CPUS}/online"), "0-2"), |tree, n| {
            let shared = if n < 2 { "0-1" } else { "2" };
            cpu(tree, n, &n.to_string(), &[(3, "Unified", "16384K", shared)])
        });
        let machine = tree.machine_with(raphael());
        assert_eq!((machine.kinds().len(), machine.kind_of(0)), (1, None));
        assert_eq!(machine.title(), "AuthenticAMD (Zen 4, Raphael), 3 CPUs");
        assert_eq!(row(&machine, "Caches"), "L3 16 MiB", "two share one, one has its own");
        let unknown = Tree::new().machine();
        assert_eq!((unknown.kinds().len(), unknown.most_capable().len()), (0, 0));
        let reason = unknown.cpu.kinds.reason().expect("no kinds");
        assert_eq!(reason, "/sys does not exist, and /proc does not exist");
    }

    #[test]
    fn a_design_that_is_not_in_the_table_goes_by_its_number() {
        let midr = |tree: Tree, n: usize, part: &str| {
            let path = format!("{CPUS}/cpu{n}/regs/identification/midr_el1");
            tree.file(&path, format!("0x00000000410f{part}0"))
        };
        let tree = Tree::new().file(&format!("{CPUS}/online"), "0-1");
        let tree = midr(midr(tree, 0, "fff"), 1, "ffe");
        assert_eq!(tree.machine().title(), "Arm (1 × part fffh + 1 × part ffeh), 2 CPUs");
    }
}
