//! /proc/cpuinfo: one block of lines for each CPU that is online.

use std::collections::BTreeMap;

use super::CpuidFacts;
use super::files::{Files, Found};

const PATH: &str = "/proc/cpuinfo";

/// One block: key to value.
pub(super) type Block = BTreeMap<String, String>;

/// The blocks by CPU number.
pub(super) struct CpuInfo {
    blocks: Found<BTreeMap<usize, Block>>,
    /// Its numbers are not those of the CPUs here, so that a block may be of another CPU.
    renumbered: bool,
}

impl CpuInfo {
    pub(super) fn read(files: &Files) -> Self {
        Self { blocks: files.text(PATH).map(|text| parse(&text)), renumbered: false }
    }

    /// Holds its numbers against the CPUs that are on. A container's own view of this file may begin
    /// at 0 whatever the CPUs are called elsewhere.
    pub(super) fn hold_against(&mut self, on: &[usize]) {
        self.renumbered = self.cpus().is_ok_and(|cpus| cpus != on);
    }

    /// All CPUs listed.
    pub(super) fn cpus(&self) -> Found<Vec<usize>> {
        let blocks = self.blocks()?;
        Ok(blocks.keys().copied().collect())
    }

    /// The value of `key` for that CPU. Where the numbers are not those of the CPUs, the value that
    /// all blocks agree on.
    pub(super) fn get(&self, cpu: usize, key: &str) -> Found<&str> {
        let blocks = self.blocks()?;
        let block = if self.renumbered { blocks.values().next() } else { blocks.get(&cpu) };
        let block = block.ok_or_else(|| format!("{PATH} has no block for CPU {cpu}"))?;
        let value = block.get(key).ok_or_else(|| format!("{PATH} has no line \"{key}\""))?;
        if self.renumbered && blocks.values().any(|other| other.get(key) != Some(value)) {
            return Err(format!("{PATH} numbers its CPUs anew, and they differ in \"{key}\""));
        }
        Ok(value)
    }

    /// The value of `key` in that CPU's own block, to tell it from other CPUs by.
    pub(super) fn own(&self, cpu: usize, key: &str) -> Found<&str> {
        if self.renumbered {
            return Err(format!("{PATH} numbers its CPUs anew"));
        }
        self.get(cpu, key)
    }

    /// What an x86 kernel repeats here of CPUID's answers; `None` on other architectures.
    pub(super) fn cpuid(&self, cpu: usize) -> Option<CpuidFacts> {
        let get = |key: &str| self.get(cpu, key).ok();
        let number = |key: &str| get(key)?.parse().ok();
        let flags: Vec<&str> = get("flags").unwrap_or_default().split_whitespace().collect();
        Some(CpuidFacts {
            vendor: get("vendor_id")?.to_owned(),
            family: number("cpu family")?,
            model: number("model")?,
            stepping: number("stepping")?,
            brand: get("model name").map(str::to_owned),
            clflush_line_bytes: number("clflush size").map(u64::from),
            invariant_tsc: ["constant_tsc", "nonstop_tsc"].iter().all(|f| flags.contains(f)),
            ..CpuidFacts::default()
        })
    }

    fn blocks(&self) -> Found<&BTreeMap<usize, Block>> {
        let blocks = self.blocks.as_ref().map_err(Clone::clone)?;
        if blocks.is_empty() {
            return Err(format!("{PATH} lists no processor"));
        }
        Ok(blocks)
    }
}

/// Every block begins with its "processor" line.
fn parse(text: &str) -> BTreeMap<usize, Block> {
    let mut blocks: BTreeMap<usize, Block> = BTreeMap::new();
    let mut current = None;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    for (key, value) in lines.map(|(key, value)| (key.trim(), value.trim())) {
        if key == "processor" {
            current = value.parse().ok();
        }
        if let Some(cpu) = current {
            blocks.entry(cpu).or_default().insert(key.to_owned(), value.to_owned());
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn blocks_by_cpu_number() {
        let text = "processor\t: 0\ncore id\t: 0\n\nprocessor\t: 3\ncore id\t: 7\n\nHardware: x\n";
        let info = CpuInfo::read(&Tree::new().file(PATH, text).files());
        assert_eq!(info.cpus(), Ok(vec![0, 3]));
        assert_eq!(info.get(3, "core id"), Ok("7"));
        assert!(info.get(1, "core id").is_err_and(|e| e.contains("CPU 1")));
        assert!(info.get(0, "microcode").is_err_and(|e| e.contains("microcode")));
    }

    #[test]
    fn blocks_under_other_numbers_say_what_they_agree_on() {
        let text = "processor: 0\nflags: avx\ncore id: 0\n\nprocessor: 1\nflags: avx\ncore id: 1\n";
        let mut info = CpuInfo::read(&Tree::new().file(PATH, text).files());
        info.hold_against(&[0, 1]);
        assert_eq!((info.get(1, "core id"), info.own(1, "core id")), (Ok("1"), Ok("1")));
        info.hold_against(&[1, 9]);
        assert_eq!(info.get(9, "flags"), Ok("avx"));
        assert!(info.get(1, "core id").is_err_and(|e| e.contains("differ in \"core id\"")));
        assert!(info.own(1, "flags").is_err_and(|e| e.contains("anew")));
    }

    #[test]
    fn absent_and_empty() {
        let info = CpuInfo::read(&Tree::new().files());
        assert_eq!(info.cpus(), Err("/proc does not exist".into()));
        let info = CpuInfo::read(&Tree::new().file(PATH, "").files());
        assert!(info.cpus().is_err_and(|e| e.contains("no processor")));
    }
}
