//! What is claimed of the caches: by sysfs, and by CPUID where sysfs is silent.

use serde::{Deserialize, Serialize};

use super::cpuid::CpuidCache;
use super::files::{Files, Found};
use super::{CpuidFacts, Fact};

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Both.
    Unified,
    /// Something that this version of the program does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// One cache of the CPU that measures, as claimed. Without a level and a size it is no claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheClaim {
    /// 1, 2, 3.
    pub level: u8,
    /// What it holds.
    #[serde(default)]
    pub kind: CacheKind,
    /// Capacity.
    pub bytes: u64,
    /// Line size.
    #[serde(default)]
    pub line_bytes: Fact<u64>,
    /// Associativity.
    #[serde(default)]
    pub ways: Fact<u64>,
    /// The CPUs that share it, this one included.
    #[serde(default)]
    pub shared_cpus: Fact<Vec<usize>>,
    /// The largest number of hardware threads that share it. A hypervisor that passes the host's CPUID
    /// through may claim more than the guest has.
    #[serde(default)]
    pub sharers: Fact<usize>,
    /// "sysfs", "CPUID".
    #[serde(default)]
    pub source: String,
}

impl CacheClaim {
    /// Whether loads go through it.
    pub fn holds_data(&self) -> bool {
        matches!(self.kind, CacheKind::Data | CacheKind::Unified)
    }

    /// Whether fetches go through it.
    pub fn holds_instructions(&self) -> bool {
        matches!(self.kind, CacheKind::Instruction | CacheKind::Unified)
    }

    /// "L1D", "L1I", "L3".
    pub fn label(&self) -> String {
        let suffix = match self.kind {
            CacheKind::Data => "D",
            CacheKind::Instruction => "I",
            CacheKind::Unified | CacheKind::Other => "",
        };
        format!("L{}{suffix}", self.level)
    }
}

/// The caches of one CPU, nearest first. Sysfs wins because it names the CPUs that share.
pub(super) fn detect(
    files: &Files,
    cpuid: &Fact<CpuidFacts>,
    cpu: usize,
) -> Found<Vec<CacheClaim>> {
    let by_cpuid = from_cpuid(cpuid);
    let besides = by_cpuid.as_ref().map_or(&[][..], Vec::as_slice);
    from_sysfs(files, cpu, besides).or_else(|no_sysfs| {
        by_cpuid.clone().map_err(|no_cpuid| format!("{no_sysfs}, and {no_cpuid}"))
    })
}

/// What sysfs claims, and in the place of an entry without a size the one of `besides` that it speaks
/// of. A device tree may give caches without any size; then the first missing one is the reason.
pub(super) fn from_sysfs(
    files: &Files,
    cpu: usize,
    besides: &[CacheClaim],
) -> Found<Vec<CacheClaim>> {
    let folder = folder(cpu);
    let (mut claims, mut gaps) = (Vec::new(), Vec::new());
    for index in files.numbered(&folder, "index")? {
        let entry = format!("{folder}/index{index}");
        match sysfs_claim(files, cpu, &entry) {
            Ok(claim) => claims.push(claim),
            Err(reason) => gaps.push((entry, reason)),
        }
    }
    if claims.is_empty() {
        let reason = gaps.into_iter().next().map(|(_, reason)| reason);
        return Err(reason.unwrap_or_else(|| format!("{folder} lists no cache")));
    }
    for (entry, _) in gaps {
        let place = level(files, &entry).and_then(|level| Ok((level, kind(files, &entry)?)));
        let is = |claim: &&CacheClaim| place == Ok((claim.level, claim.kind));
        claims.extend(besides.iter().find(is).cloned());
    }
    claims.sort_by_key(|claim| claim.level);
    Ok(claims)
}

fn folder(cpu: usize) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/cache")
}

fn level(files: &Files, index: &str) -> Found<u8> {
    files.number(&format!("{index}/level"))
}

fn kind(files: &Files, index: &str) -> Found<CacheKind> {
    Ok(match files.text(&format!("{index}/type"))?.as_str() {
        "Data" => CacheKind::Data,
        "Instruction" => CacheKind::Instruction,
        "Unified" => CacheKind::Unified,
        _ => CacheKind::Other,
    })
}

fn sysfs_claim(files: &Files, cpu: usize, index: &str) -> Found<CacheClaim> {
    let positive = |name: &str| -> Fact<u64> {
        let path = format!("{index}/{name}");
        // Zero is the kernel's way of not knowing.
        let value = files.number(&path).and_then(|n| match n {
            0 => Err(format!("{path} is 0")),
            n => Ok(n),
        });
        value.into()
    };
    let shared_cpus = files.group(&format!("{index}/shared_cpu_list"), cpu);
    Ok(CacheClaim {
        level: level(files, index)?,
        kind: kind(files, index)?,
        bytes: size(files, &format!("{index}/size"))?,
        line_bytes: positive("coherency_line_size"),
        ways: positive("ways_of_associativity"),
        sharers: shared_cpus.clone().map(|cpus| cpus.len()).into(),
        shared_cpus: shared_cpus.into(),
        source: "sysfs".into(),
    })
}

/// "32K", "32768K", "32M".
fn size(files: &Files, path: &str) -> Found<u64> {
    let text = files.text(path)?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0_u32,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("{path} holds {text:?}, which is no size")),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| format!("{path} holds {text:?}, which is no size"))
}

pub(super) fn from_cpuid(cpuid: &Fact<CpuidFacts>) -> Found<Vec<CacheClaim>> {
    let facts = cpuid.as_result()?;
    if facts.caches.is_empty() {
        return Err("CPUID lists no cache in leaf 4 or 8000001Dh".into());
    }
    let mut claims: Vec<CacheClaim> = facts.caches.iter().map(cpuid_claim).collect();
    claims.sort_by_key(|claim| claim.level);
    Ok(claims)
}

fn cpuid_claim(cache: &CpuidCache) -> CacheClaim {
    CacheClaim {
        level: cache.level,
        kind: cache.kind,
        bytes: cache.bytes,
        line_bytes: Fact::Known(cache.line_bytes),
        ways: Fact::Known(cache.ways),
        shared_cpus: Fact::unknown("CPUID says how many CPUs share a cache, not which"),
        sharers: Fact::Known(cache.sharers),
        source: "CPUID".into(),
    }
}

/// The CPUs of the same level 3 cache as `cpu`.
pub(super) fn l3_cpus(files: &Files, cpu: usize) -> Found<Vec<usize>> {
    let folder = folder(cpu);
    let indices = files.numbered(&folder, "index")?;
    let entries = indices.iter().map(|index| format!("{folder}/index{index}"));
    let l3 = entries.into_iter().find(|entry| level(files, entry) == Ok(3));
    let l3 = l3.ok_or_else(|| format!("{folder} lists no cache of level 3"))?;
    files.group(&format!("{l3}/shared_cpu_list"), cpu)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn cache(tree: Tree, index: usize, level: u8, kind: &str, size: &str, shared: &str) -> Tree {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        tree.file(&format!("{folder}/level"), level.to_string())
            .file(&format!("{folder}/type"), format!("{kind}\n"))
            .file(&format!("{folder}/size"), format!("{size}\n"))
            .file(&format!("{folder}/coherency_line_size"), "64\n")
            .file(&format!("{folder}/ways_of_associativity"), "8\n")
            .file(&format!("{folder}/shared_cpu_list"), format!("{shared}\n"))
    }

    fn genoa() -> Tree {
        let tree = cache(Tree::new(), 0, 1, "Data", "32K", "0,4");
        let tree = cache(tree, 1, 1, "Instruction", "32K", "0,4");
        let tree = cache(tree, 2, 2, "Unified", "1024K", "0,4");
        cache(tree, 3, 3, "Unified", "32M", "0-7")
    }

    fn cpuid() -> CpuidFacts {
        let cache = |level, kind, bytes, sharers| CpuidCache {
            level,
            kind,
            bytes,
            line_bytes: 64,
            ways: 12,
            sharers,
        };
        CpuidFacts {
            clflush_line_bytes: Some(64),
            caches: vec![
                cache(1, CacheKind::Data, 48 << 10, 2),
                cache(1, CacheKind::Instruction, 32 << 10, 2),
                cache(3, CacheKind::Unified, 36 << 20, 64),
                cache(2, CacheKind::Unified, 2 << 20, 2),
            ],
            ..CpuidFacts::default()
        }
    }

    #[test]
    fn from_the_files() {
        let machine = genoa().machine_with(cpuid());
        let l1 = machine.claimed_cache(1, true).expect("claimed");
        assert_eq!(l1.bytes, 32 << 10);
        assert_eq!((l1.label(), l1.source.as_str()), ("L1D".into(), "sysfs"));
        assert_eq!(machine.claimed_cache(1, false).map(CacheClaim::label), Some("L1I".into()));
        let l3 = machine.claimed_cache(3, false).expect("a unified cache serves both");
        assert_eq!(l3.sharers, Fact::Known(8));
        assert_eq!(machine.last_cache_bytes(), Some(32 << 20));
        assert_eq!(machine.claimed_line_bytes(), Some(64));
    }

    #[test]
    fn without_cache_files_cpuid_answers() {
        let machine =
            Tree::new().file("/sys/devices/system/cpu/online", "0-1").machine_with(cpuid());
        let labels: Vec<String> =
            machine.caches.known().expect("claimed").iter().map(CacheClaim::label).collect();
        assert_eq!(labels, ["L1D", "L1I", "L2", "L3"]);
        let l3 = machine.claimed_cache(3, true).expect("claimed");
        assert_eq!((l3.source.as_str(), &l3.sharers), ("CPUID", &Fact::Known(64)));
        assert!(l3.shared_cpus.reason().is_some_and(|r| r.contains("not which")));
        assert_eq!(machine.last_cache_bytes(), Some(36 << 20));
    }

    #[test]
    fn files_without_sizes_are_no_claims() {
        let tree = || {
            Tree::new()
                .file("/sys/devices/system/cpu/cpu0/cache/index0/level", "1\n")
                .file("/sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n")
        };
        let machine = tree().machine();
        assert!(machine.caches.reason().is_some_and(|r| r.contains("index0/size does not exist")));
        assert_eq!(machine.claimed_cache(1, true), None);
        assert_eq!(tree().machine_with(cpuid()).last_cache_bytes(), Some(36 << 20));
    }

    #[test]
    fn an_entry_without_a_size_leaves_the_others_standing() {
        let l3 = |name: &str| format!("/sys/devices/system/cpu/cpu0/cache/index3/{name}");
        let tree = || {
            let tree = cache(Tree::new(), 0, 1, "Data", "48K", "0");
            tree.file(&l3("level"), "3").file(&l3("type"), "Unified")
        };
        let sizes = |machine: super::super::Machine| {
            [1, 3].map(|level| machine.claimed_cache(level, true).map(|claim| claim.bytes))
        };
        assert_eq!(sizes(tree().machine()), [Some(48 << 10), None]);
        assert_eq!(sizes(tree().machine_with(cpuid())), [Some(48 << 10), Some(36 << 20)]);
        let overflow = tree().file(&l3("size"), "18446744073709551615K");
        assert_eq!(sizes(overflow.machine()), [Some(48 << 10), None]);
    }

    #[test]
    fn zero_ways_are_unknown() {
        let path = "/sys/devices/system/cpu/cpu0/cache/index3/ways_of_associativity";
        let machine = genoa().file(path, "0\n").machine();
        let l3 = machine.claimed_cache(3, true).expect("claimed");
        assert!(l3.ways.reason().is_some_and(|r| r.ends_with("is 0")));
    }

    #[test]
    fn neither_says_anything() {
        let machine = Tree::new().machine_with(CpuidFacts::default());
        let reason = machine.caches.reason().expect("unknown");
        assert!(reason.contains("/sys does not exist") && reason.contains("leaf 4"), "{reason}");
        assert_eq!(machine.claimed_line_bytes(), None);
        let machine = Tree::new().machine_with(CpuidFacts { caches: vec![], ..cpuid() });
        assert_eq!(machine.claimed_line_bytes(), Some(64), "from CLFLUSH");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("48K", 48 << 10), ("2M", 2 << 20), ("1G", 1 << 30), ("512", 512)] {
            let tree = Tree::new().file("/size", text);
            assert_eq!(size(&tree.files(), "/size"), Ok(bytes));
        }
        for text in ["", "0K", "K", "12X", "-1K", "18446744073709551615K", "17179869184G"] {
            assert!(size(&Tree::new().file("/size", text).files(), "/size").is_err(), "{text}");
        }
    }

    #[test]
    fn a_kind_from_a_later_version() {
        let claim: CacheClaim =
            serde_json::from_str(r#"{"level":4,"kind":"memory_side","bytes":1}"#).expect("read");
        assert_eq!((claim.kind, claim.bytes), (CacheKind::Other, 1));
    }
}
