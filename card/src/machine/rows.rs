//! The machine in words, for the terminal, the page and `doctor`.

use serde::Serialize;

use super::files::format_list;
use super::{CacheClaim, CacheKind, CoreKind, Fact, Machine, NumaNode, human_bytes};
use crate::format::count;

/// One line about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it is about: "Caches".
    pub label: String,
    /// The value, or the reason why there is none.
    pub value: String,
    /// Whether it is a value.
    pub known: bool,
}

fn join(parts: Vec<String>) -> String {
    parts.join(" · ")
}

/// "CPU 0–4,10–14".
fn cpus(list: &[usize]) -> String {
    format!("CPU {}", format_list(list).replace('-', "–"))
}

/// "3.90 GHz", "5.00 to 5.20 GHz".
fn clocks(lowest: u64, highest: u64) -> String {
    let ghz = |hz: u64| format!("{:.2}", hz as f64 / 1e9);
    let (low, high) = (ghz(lowest), ghz(highest));
    if low == high { format!("{high} GHz") } else { format!("{low} to {high} GHz") }
}

/// What is said of several kinds of core: once where it is the same for all, else each word with the
/// CPUs that it holds for. "8 MiB (CPU 0–9), 16 MiB (CPU 10–19)".
fn of_each(said: Vec<(String, &[usize])>) -> String {
    let mut words: Vec<(String, Vec<usize>)> = Vec::new();
    for (word, holds_for) in said {
        match words.iter_mut().find(|(other, _)| *other == word) {
            Some((_, cpus)) => cpus.extend(holds_for),
            None => words.push((word, holds_for.to_vec())),
        }
    }
    if let [(word, _)] = &words[..] {
        return word.clone();
    }
    let parts: Vec<String> = words
        .into_iter()
        .map(|(word, mut list)| {
            list.sort_unstable();
            format!("{word} ({})", cpus(&list))
        })
        .collect();
    parts.join(", ")
}

impl Machine {
    /// One line: "AMD EPYC (Zen 4, Genoa), 2 CPUs, KVM guest".
    pub fn title(&self) -> String {
        let mut parts = vec![self.processor()];
        parts.extend(self.cpu_count());
        parts.extend(self.host.guest_of().map(|name| format!("{name} guest")));
        parts.join(", ")
    }

    /// What is known of the machine, the most important first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![
            row("CPU", self.cpu_row()),
            row("Topology", self.topology_row()),
            row("Caches", self.caches_row()),
            row("Memory", self.memory_row()),
            row("Limits", Ok(self.limits_row())),
            row("Virtualisation", self.virtualisation_row()),
            row("Kernel", self.kernel_row()),
            row("Clock source", self.clock_row()),
            row("Huge pages", self.huge_pages_row()),
            row("Governor", self.governor_row()),
            row("Counters", self.counters_row()),
            row("Mitigations", self.mitigations_row()),
            row("Features", self.features_row()),
            row("Microcode", text(&self.cpu.microcode)),
            row("Seccomp", text(&self.limits.seccomp)),
            row("Product", text(&self.host.product)),
            row("Host", text(&self.host.name)),
        ];
        if self.numa_nodes().len() > 1 {
            rows.insert(3, row("NUMA", Ok(self.numa_row())));
        }
        if !self.contradictions.is_empty() {
            rows.push(row("Contradictions", Ok(join(self.contradictions.clone()))));
        }
        rows
    }

    /// "AMD EPYC (Zen 4, Genoa)", as much of it as is known; with several kinds of core "Arm
    /// (10 × Cortex-X925 + 10 × Cortex-A725)".
    fn processor(&self) -> String {
        let cpu = &self.cpu;
        let brand = cpu.brand.known().map(|brand| tidy(brand)).filter(|brand| !brand.is_empty());
        let name = brand.or_else(|| cpu.vendor.known().cloned());
        let name = name.unwrap_or_else(|| match cpu.architecture.as_str() {
            "" => "unknown processor".into(),
            architecture => format!("{architecture} processor"),
        });
        let each = |kind: &CoreKind| format!("{} × {}", self.cores_of(kind), kind.name);
        match (self.kinds(), cpu.microarchitecture.known()) {
            (kinds @ [_, _, ..], _) => {
                let kinds: Vec<String> = kinds.iter().map(each).collect();
                format!("{name} ({})", kinds.join(" + "))
            }
            // "Zen 4 (Genoa)" within parentheses.
            (_, Some(design)) => {
                format!("{name} ({})", design.name.replace(" (", ", ").replace(')', ""))
            }
            (_, None) => name,
        }
    }

    fn cpu_row(&self) -> Result<String, String> {
        let cpu = &self.cpu;
        let model = cpu.model.as_result()?;
        let stepping = cpu.stepping.as_result()?;
        let numbers = match cpu.family.known() {
            Some(family) => format!("family {family:x}h model {model:x}h stepping {stepping}"),
            None => format!("part {model:x}h r{}p{}", stepping >> 4, stepping & 15),
        };
        let kind =
            self.kind_of(cpu.number).map(|kind| format!("CPU {}: {}, ", cpu.number, kind.name));
        Ok(join(vec![self.processor(), kind.unwrap_or_default() + &numbers]))
    }

    /// "2 CPUs"; "2 of 192 CPUs" where this process may not use all that are online; nothing where
    /// neither is known.
    fn cpu_count(&self) -> Option<String> {
        let allowed = self.allowed_cpus().len();
        match self.topology.online.known() {
            Some(online) if online.len() != allowed => {
                Some(format!("{allowed} of {}", count(online.len(), "CPU")))
            }
            _ => (allowed > 0).then(|| count(allowed, "CPU")),
        }
    }

    fn topology_row(&self) -> Result<String, String> {
        let topology = &self.topology;
        let online = topology.online.as_result()?;
        let left_out = |groups: &[Vec<usize>], why: fn(String) -> String| {
            let listed = |cpu: &usize| groups.iter().any(|group| group.contains(cpu));
            let others: Vec<usize> = online.iter().copied().filter(|cpu| !listed(cpu)).collect();
            if others.is_empty() { String::new() } else { why(cpus(&others)) }
        };
        let unknown = |cpus| format!(" ({cpus} unknown)");
        let mut parts: Vec<String> = self.cpu_count().into_iter().collect();
        if let (Some(cores), Some(most)) = (topology.cores.known(), self.threads_per_core()) {
            let with_most = cores.iter().filter(|core| core.len() == most).count();
            let of_all = (with_most < cores.len())
                .then(|| format!(" on {with_most} of {}", count(cores.len(), "core")));
            let threads = count(most, "thread") + " per core" + &of_all.unwrap_or_default();
            parts.push(threads + &left_out(cores, unknown));
        }
        parts.extend(topology.l3_groups.known().map(|groups| {
            let without = left_out(groups, |cpus| format!(" (none claimed for {cpus})"));
            count(groups.len(), "L3 cache") + &without
        }));
        let packages = topology.packages.known();
        parts.extend(
            packages.map(|groups| count(groups.len(), "package") + &left_out(groups, unknown)),
        );
        parts.extend(
            topology
                .isolated
                .known()
                .filter(|cpus| !cpus.is_empty())
                .map(|cpus| format!("isolated {}", format_list(cpus))),
        );
        Ok(join(parts))
    }

    /// Of every kind of core: what is not the same for all of its CPUs is left out.
    fn caches_row(&self) -> Result<String, String> {
        let own = self.caches.as_result();
        let kinds: Vec<(&[CacheClaim], &[usize])> = self
            .kinds()
            .iter()
            .filter_map(|kind| Some((kind.caches.known()?.as_slice(), kind.cpus.as_slice())))
            .collect();
        if kinds.is_empty() || kinds.len() < self.kinds().len() {
            let shown = own?.iter().filter(|claim| is_shown(claim));
            let line =
                join(shown.map(|claim| format!("{} {}", claim.label(), cache(claim))).collect());
            // Of the other kinds nothing is known.
            let only =
                self.kind_of(self.cpu.number).map(|_| format!(" ({})", cpus(&[self.cpu.number])));
            return Ok(line + &only.unwrap_or_default());
        }
        let mut labels: Vec<(u8, String)> = Vec::new();
        for claim in kinds.iter().flat_map(|(claims, _)| claims.iter()).filter(|c| is_shown(c)) {
            let label = (claim.level, claim.label());
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels.sort_by_key(|(level, _)| *level);
        let of_label = |(_, label): (u8, String)| {
            let said = kinds.iter().map(|(claims, holds_for)| {
                let claim = claims.iter().find(|claim| claim.label() == label);
                (claim.map_or_else(|| "none".to_owned(), cache), *holds_for)
            });
            format!("{label} {}", of_each(said.collect()))
        };
        Ok(join(labels.into_iter().map(of_label).collect()))
    }

    fn memory_row(&self) -> Result<String, String> {
        let mut parts = vec![human_bytes(*self.memory.total_bytes.as_result()?)];
        let available = self.memory.available_bytes.known();
        parts.extend(available.map(|&bytes| format!("{} available", human_bytes(bytes))));
        let swap = self.memory.swap_bytes.known().filter(|&&bytes| bytes > 0);
        parts.extend(swap.map(|&bytes| format!("{} swap", human_bytes(bytes))));
        let page = self.memory.page_bytes.known();
        parts.extend(page.map(|&bytes| format!("pages of {}", human_bytes(bytes))));
        Ok(join(parts))
    }

    fn numa_row(&self) -> String {
        let nodes = self.numa_nodes();
        let with = |wanted: fn(&NumaNode) -> bool| nodes.iter().filter(|n| wanted(n)).count();
        let mut parts = vec![count(nodes.len(), "node")];
        let memoryless = with(|node| node.memory_bytes.known() == Some(&0));
        let cpuless = with(NumaNode::is_memory_only);
        let unknown = with(|node| node.cpus.known().is_none());
        parts.extend((memoryless > 0).then(|| format!("{memoryless} without memory")));
        parts.extend((cpuless > 0).then(|| format!("{cpuless} without CPUs")));
        parts.extend((unknown > 0).then(|| format!("CPUs of {unknown} unknown")));
        let distances = nodes.iter().filter_map(|node| node.distances.known()).flatten();
        parts.extend(distances.max().map(|farthest| format!("distance up to {farthest}")));
        join(parts)
    }

    fn limits_row(&self) -> String {
        let limit = human_bytes(self.buffer_limit());
        let mut parts = vec![format!("buffers up to {limit} ({})", self.memory_limit_source())];
        match &self.limits.cpu_quota {
            Fact::Known(Some(quota)) => {
                parts.push(format!("{:.2} CPUs of time ({})", quota.cpus, quota.source));
            }
            Fact::Known(None) => parts.push("no CPU quota".into()),
            Fact::Unknown { .. } => parts.push("CPU quota unknown".into()),
        }
        join(parts)
    }

    fn virtualisation_row(&self) -> Result<String, String> {
        let hypervisor = self.host.hypervisor.as_result()?;
        let guest = self.host.guest_of().map(|name| format!("{name} guest"));
        let mut parts = vec![guest.unwrap_or_else(|| format!("{hypervisor} that CPUID tells of"))];
        let hints = &self.host.container_hints;
        parts.extend((!hints.is_empty()).then(|| format!("container? {}", hints.join(", "))));
        Ok(join(parts))
    }

    fn kernel_row(&self) -> Result<String, String> {
        let mut parts = vec![format!("Linux {}", self.kernel.release.as_result()?)];
        parts.extend(self.host.os.known().cloned());
        Ok(join(parts))
    }

    fn clock_row(&self) -> Result<String, String> {
        let counter = if self.cpu.architecture == "aarch64" { "CNTVCT" } else { "TSC" };
        let mut parts = vec![self.kernel.clock_source.as_result()?.clone()];
        parts.extend(self.cpu.invariant_tsc.known().map(|&invariant| match invariant {
            true => format!("invariant {counter}"),
            false => format!("{counter} not claimed invariant"),
        }));
        parts.extend(self.cpu.tsc.known().and_then(|claims| claims.first()).map(|claim| {
            let rate = match claim.hz {
                hz if hz < 1_000_000_000 => format!("{} MHz", hz as f64 / 1e6),
                hz => format!("{:.3} GHz", hz as f64 / 1e9),
            };
            format!("{counter} {rate} ({})", claim.source)
        }));
        Ok(join(parts))
    }

    fn huge_pages_row(&self) -> Result<String, String> {
        let memory = &self.memory;
        let size =
            memory.huge_page_bytes.known().map(|&bytes| format!(" ({})", human_bytes(bytes)));
        let mut parts = vec![format!(
            "transparent: {}{}",
            memory.transparent_huge_pages.as_result()?,
            size.unwrap_or_default()
        )];
        for pool in self.memory.huge_pools.known().into_iter().flatten() {
            if let (Some(&total), Some(free)) = (pool.total.known(), pool.free.known())
                && total > 0
            {
                parts.push(format!("{free} of {total} × {} free", human_bytes(pool.page_bytes)));
            }
        }
        if parts.len() == 1 && self.memory.huge_pools.known().is_some() {
            parts.push("no reserved pages".into());
        }
        Ok(join(parts))
    }

    fn governor_row(&self) -> Result<String, String> {
        let kernel = &self.kernel;
        let mut parts = vec![kernel.governor.as_result()?.clone()];
        parts.extend(kernel.frequency_driver.known().cloned());
        let boost = kernel.boost.known();
        parts.extend(boost.map(|&on| format!("boost {}", if on { "on" } else { "off" })));
        parts.extend(self.highest_clock().map(|clock| format!("at most {clock}")));
        Ok(join(parts))
    }

    /// Claimed of each kind of core, or only of the CPU that measures.
    fn highest_clock(&self) -> Option<String> {
        let of = |kind: &'_ CoreKind| kind.max_hz.known().map(|&(low, high)| clocks(low, high));
        let all = self.kinds().iter().map(|kind| Some((of(kind)?, kind.cpus.as_slice())));
        if let Some(said) = all.collect::<Option<Vec<_>>>().filter(|said| !said.is_empty()) {
            return Some(of_each(said));
        }
        let own = self.cpu.max_hz.known().map(|&hz| clocks(hz, hz))?;
        let only =
            self.kind_of(self.cpu.number).map(|_| format!(" ({})", cpus(&[self.cpu.number])));
        Some(own + &only.unwrap_or_default())
    }

    fn counters_row(&self) -> Result<String, String> {
        let mut parts = vec![self.counters.core_pmus.as_result()?.join(", ")];
        let paranoid = self.counters.paranoid.known();
        parts.extend(paranoid.map(|level| format!("perf_event_paranoid {level}")));
        parts
            .extend((self.counters.privileged.known() == Some(&true)).then(|| "privileged".into()));
        let watchdog = self.counters.nmi_watchdog.known() == Some(&true);
        parts.extend(watchdog.then(|| "the NMI watchdog holds one".into()));
        Ok(join(parts))
    }

    fn mitigations_row(&self) -> Result<String, String> {
        let listed = self.kernel.mitigations.as_result()?;
        let working = listed.values().filter(|state| state.starts_with("Mitigation")).count();
        let vulnerable = self.kernel.vulnerable();
        let mut parts = vec![format!("{working} active of {} listed", listed.len())];
        if !vulnerable.is_empty() {
            parts.push(format!("vulnerable: {}", vulnerable.join(", ")));
        }
        Ok(join(parts))
    }

    fn features_row(&self) -> Result<String, String> {
        // The widest vectors and what else decides which loops run; all others are in the card.
        let telling: &[&str] = match self.cpu.architecture.as_str() {
            "aarch64" => &["sve2", "sve", "asimd", "atomics"],
            _ => &["avx512f", "avx2", "fma", "amx_tile", "erms", "fsrm", "clflushopt", "rdpid"],
        };
        let features = self.cpu.features.as_result()?;
        let has: Vec<&str> =
            telling.iter().copied().filter(|name| features.iter().any(|f| f == name)).collect();
        if has.is_empty() {
            return Ok(format!("none of {}", telling.join(", ")));
        }
        Ok(has.join(" "))
    }
}

fn row(label: &str, value: Result<String, String>) -> Row {
    let known = value.is_ok();
    Row { label: label.into(), value: value.unwrap_or_else(|reason| reason), known }
}

fn text(fact: &Fact<String>) -> Result<String, String> {
    Ok(fact.as_result()?.clone())
}

fn is_shown(claim: &CacheClaim) -> bool {
    claim.kind != CacheKind::Instruction
}

/// "32 MiB 16-way shared by 2 CPUs". What CPUID says of sharers is the most that there could be.
fn cache(claim: &CacheClaim) -> String {
    let mut words = vec![human_bytes(claim.bytes)];
    words.extend(claim.ways.known().map(|ways| format!("{ways}-way")));
    let up_to = if claim.source == "CPUID" { "up to " } else { "" };
    match (&claim.shared_cpus, &claim.sharers) {
        (Fact::Known(cpus), _) if cpus.len() > 1 => {
            words.push(format!("shared by {}", count(cpus.len(), "CPU")));
        }
        (Fact::Unknown { .. }, Fact::Known(most)) if *most > 1 => {
            words.push(format!("shared by {up_to}{most} CPUs"));
        }
        _ => {}
    }
    words.join(" ")
}

/// The brand string without what says nothing: "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"
/// is an Intel Xeon Platinum 8481C.
fn tidy(brand: &str) -> String {
    let brand = brand.split('@').next().unwrap_or_default();
    let brand = brand.replace("(R)", "").replace("(TM)", "").replace("(tm)", "");
    let mut words: Vec<&str> = brand.split_whitespace().collect();
    while let Some(last) = words.last() {
        if !matches!(*last, "CPU" | "Processor") && !last.ends_with("-Core") {
            break;
        }
        words.pop();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::{CpuidCache, CpuidFacts};
    use super::*;

    #[test]
    fn brands_without_decoration() {
        for (brand, tidied) in [
            ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "Intel Xeon Platinum 8481C"),
            ("Intel(R) Xeon(R) Processor @ 2.60GHz", "Intel Xeon"),
            ("AMD EPYC 9B14 96-Core Processor", "AMD EPYC 9B14"),
            ("AMD EPYC", "AMD EPYC"),
            ("QEMU Virtual CPU version 2.5+", "QEMU Virtual CPU version 2.5+"),
        ] {
            assert_eq!(tidy(brand), tidied);
        }
    }

    fn guest() -> CpuidFacts {
        CpuidFacts {
            vendor: "AuthenticAMD".into(),
            brand: Some("AMD EPYC".into()),
            family: 0x19,
            model: 0x11,
            stepping: 1,
            hypervisor: Some("KVM".into()),
            ..CpuidFacts::default()
        }
    }

    fn value(machine: &Machine, label: &str) -> (String, bool) {
        let rows = machine.rows();
        let row = rows.iter().find(|row| row.label == label).expect("a row");
        (row.value.clone(), row.known)
    }

    #[test]
    fn a_small_guest() {
        let machine =
            Tree::new().file("/sys/devices/system/cpu/online", "0-1").machine_with(guest());
        assert_eq!(machine.title(), "AMD EPYC (Zen 4, Genoa), 2 CPUs, KVM guest");
        let cpu = "AMD EPYC (Zen 4, Genoa) · family 19h model 11h stepping 1";
        assert_eq!(value(&machine, "CPU"), (cpu.into(), true));
        assert_eq!(value(&machine, "Virtualisation"), ("KVM guest".into(), true));
        assert_eq!(value(&machine, "Topology"), ("2 CPUs".into(), true));
        let (governor, known) = value(&machine, "Governor");
        assert!(!known && governor.contains("does not exist"), "{governor}");
    }

    #[test]
    fn a_part_of_a_large_machine() {
        let machine = Tree::new()
            .file("/sys/devices/system/cpu/online", "0-191")
            .file("/proc/self/status", "Cpus_allowed_list:\t6-7\n")
            .machine_with(guest());
        assert_eq!(machine.title(), "AMD EPYC (Zen 4, Genoa), 2 of 192 CPUs, KVM guest");
    }

    #[test]
    fn a_processor_of_unknown_design() {
        let facts = CpuidFacts { model: 0xff, hypervisor: None, ..guest() };
        let machine = Tree::new().file("/sys/devices/system/cpu/online", "0").machine_with(facts);
        assert_eq!(machine.title(), "AMD EPYC, 1 CPU");
        let (cpu, _) = value(&machine, "CPU");
        assert_eq!(cpu, "AMD EPYC · family 19h model ffh stepping 1");
    }

    #[test]
    fn an_arm_server() {
        let info = "processor: 0\nBogoMIPS: 62.50\nCPU implementer: 0x41\nCPU variant: 0x3\n\
                    CPU part: 0xd0c\nCPU revision: 1\n";
        let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        let tree = Tree::new().file("/proc/cpuinfo", info).file(source, "arch_sys_counter\n");
        let mut machine = tree.machine();
        machine.cpu.architecture = "aarch64".into();
        let clock = "arch_sys_counter · invariant CNTVCT · CNTVCT 31.25 MHz (BogoMIPS / 2)";
        assert_eq!(value(&machine, "Clock source").0, clock);
        assert_eq!(machine.title(), "Arm (Neoverse N1), 1 CPU");
        assert_eq!(value(&machine, "CPU").0, "Arm (Neoverse N1) · part d0ch r3p1");
    }

    #[test]
    fn caches_in_a_line() {
        let cache = |level, kind, bytes, ways, sharers| CpuidCache {
            level,
            kind,
            bytes,
            line_bytes: 64,
            ways,
            sharers,
        };
        let caches = vec![
            cache(1, CacheKind::Data, 32 << 10, 8, 1),
            cache(1, CacheKind::Instruction, 32 << 10, 8, 1),
            cache(2, CacheKind::Unified, 1 << 20, 8, 1),
            cache(3, CacheKind::Unified, 32 << 20, 16, 16),
        ];
        let machine = Tree::new().machine_with(CpuidFacts { caches, ..guest() });
        let line = "L1D 32 KiB 8-way · L2 1 MiB 8-way · L3 32 MiB 16-way shared by up to 16 CPUs";
        assert_eq!(value(&machine, "Caches"), (line.into(), true));
    }

    #[test]
    fn mitigations_in_a_line() {
        let folder = "/sys/devices/system/cpu/vulnerabilities";
        let machine = Tree::new()
            .file(&format!("{folder}/mds"), "Not affected")
            .file(&format!("{folder}/srbds"), "Vulnerable: No microcode")
            .file(&format!("{folder}/spectre_v1"), "Mitigation: barriers")
            .machine();
        let line = "1 active of 3 listed · vulnerable: srbds";
        assert_eq!(value(&machine, "Mitigations"), (line.into(), true));
    }

    #[test]
    fn two_nodes_get_a_row_of_their_own() {
        let node = |tree: Tree, id: usize| {
            let folder = format!("/sys/devices/system/node/node{id}");
            tree.file(&format!("{folder}/cpulist"), if id == 0 { "0" } else { "" })
                .file(&format!("{folder}/distance"), "10 21")
        };
        let machine = node(node(Tree::new(), 0), 1).machine();
        let line = "2 nodes · 1 without CPUs · distance up to 21";
        assert_eq!(value(&machine, "NUMA"), (line.into(), true));
        assert!(Tree::new().machine().rows().iter().all(|row| row.label != "NUMA"));
    }

    #[test]
    fn an_empty_machine_has_reasons_only() {
        let rows = Tree::new().machine().rows();
        let known: Vec<&str> =
            rows.iter().filter(|row| row.known).map(|row| row.label.as_str()).collect();
        assert_eq!(known, ["Limits"]);
    }
}
