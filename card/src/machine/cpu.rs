//! Which processor this is.

use serde::{Deserialize, Serialize};

use super::cpuinfo::CpuInfo;
use super::design::{self, Microarchitecture, Midr};
use super::files::{Files, Found};
use super::{CpuidFacts, Fact};

/// A rate of the time-stamp counter, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TscClaim {
    /// Ticks per second.
    pub hz: u64,
    /// "CPUID 15h".
    pub source: String,
}

/// Identity of the processor. On a machine with several kinds of core: of the CPU that measures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// The CPU that was asked, the first one that may be used.
    pub number: usize,
    /// Instruction set the program was built for, or that a machine's collected files are of:
    /// `x86_64`, `aarch64`; empty where they do not tell.
    pub architecture: String,
    /// "AuthenticAMD", "Arm".
    pub vendor: Fact<String>,
    /// The brand string, as it is.
    pub brand: Fact<String>,
    /// Family (x86).
    pub family: Fact<u32>,
    /// Model; the part number on aarch64.
    pub model: Fact<u32>,
    /// Stepping; on aarch64 variant × 16 + revision, so that r3p1 is 31h.
    pub stepping: Fact<u32>,
    /// The design that these numbers stand for.
    pub microarchitecture: Fact<Microarchitecture>,
    /// Revision of the microcode. A hypervisor may make one up.
    pub microcode: Fact<String>,
    /// Features that matter to the probes, under Linux's names.
    pub features: Fact<Vec<String>>,
    /// Line size of CLFLUSH.
    pub clflush_line_bytes: Fact<u64>,
    /// Whether the time counter (TSC; CNTVCT on aarch64) runs at one rate in all power states.
    pub invariant_tsc: Fact<bool>,
    /// What is claimed of the rate of the time counter, the best source first.
    pub tsc: Fact<Vec<TscClaim>>,
    /// Claimed base clock.
    pub base_hz: Fact<u64>,
    /// Claimed highest clock.
    pub max_hz: Fact<u64>,
}

/// What the probes can make use of, or what changes a result.
const FEATURES: &[&str] = &[
    "sse2",
    "sse4_2",
    "popcnt",
    "bmi2",
    "f16c",
    "fma",
    "avx",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512dq",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "clflush",
    "clflushopt",
    "clwb",
    "clzero",
    "erms",
    "fsrm",
    "rdtscp",
    "rdpid",
    "rdpru",
    "constant_tsc",
    "nonstop_tsc",
    "tsc_known_freq",
    "pdpe1gb",
    "la57",
    "rtm",
    "waitpkg",
    "mwaitx",
    "movdir64b",
    "fp",
    "asimd",
    "asimdhp",
    "asimddp",
    "atomics",
    "crc32",
    "lrcpc",
    "uscat",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
    "sme",
    "dcpop",
    "dczva",
    "ecv",
    "wfxt",
    "mops",
    "bti",
    "paca",
];

impl Cpu {
    pub(super) fn detect(
        files: &Files,
        cpuid: &Fact<CpuidFacts>,
        info: &CpuInfo,
        cpu: usize,
    ) -> Self {
        let common = Cpu {
            number: cpu,
            architecture: std::env::consts::ARCH.to_owned(),
            features: features(cpuid, info, cpu).into(),
            max_hz: max_hz(files, cpuid, cpu).into(),
            ..Cpu::default()
        };
        match (cpuid, info.cpuid(cpu)) {
            (Fact::Known(cpuid), _) => common.with_cpuid(cpuid, info, cpu),
            (Fact::Unknown { .. }, Some(cpuid)) => common.with_cpuid(&cpuid, info, cpu),
            (Fact::Unknown { unknown }, None) => {
                common.with_midr(midr(files, info, cpu), unknown, info, cpu)
            }
        }
    }

    fn with_cpuid(self, cpuid: &CpuidFacts, info: &CpuInfo, cpu: usize) -> Self {
        let design = design::x86(&cpuid.vendor, cpuid.family, cpuid.model, cpuid.stepping);
        let no_clflush = "CPUID claims no CLFLUSH".to_owned();
        Cpu {
            vendor: Fact::Known(cpuid.vendor.clone()),
            brand: cpuid.brand.clone().ok_or("CPUID has no brand string".to_owned()).into(),
            family: Fact::Known(cpuid.family),
            model: Fact::Known(cpuid.model),
            stepping: Fact::Known(cpuid.stepping),
            microarchitecture: design.into(),
            microcode: info.get(cpu, "microcode").map(str::to_owned).into(),
            clflush_line_bytes: cpuid.clflush_line_bytes.ok_or(no_clflush).into(),
            invariant_tsc: Fact::Known(cpuid.invariant_tsc),
            tsc: tsc(cpuid, info, cpu).into(),
            base_hz: base_hz(cpuid).into(),
            ..self
        }
    }

    fn with_midr(self, midr: Found<Midr>, no_cpuid: &str, info: &CpuInfo, cpu: usize) -> Self {
        let from = |get: fn(Midr) -> u32| -> Fact<u32> { midr.clone().map(get).into() };
        Cpu {
            vendor: midr.clone().and_then(Midr::vendor).into(),
            brand: Fact::unknown(format!("{no_cpuid}, so no brand string")),
            family: Fact::unknown(format!("{no_cpuid}, so no family")),
            model: from(|midr| midr.part),
            stepping: from(|midr| midr.variant << 4 | midr.revision),
            microarchitecture: midr.clone().and_then(Midr::design).into(),
            microcode: Fact::unknown(format!("{no_cpuid}, so no microcode revision")),
            clflush_line_bytes: Fact::unknown(no_cpuid),
            // The architecture promises one rate for its system counter.
            invariant_tsc: midr.clone().map(|_| true).into(),
            tsc: bogomips(info, cpu).map(|claim| vec![claim]).into(),
            base_hz: Fact::unknown(format!("{no_cpuid}, which would claim it")),
            ..self
        }
    }
}

/// The kernel's list, because it leaves out what the kernel has switched off; CPUID without it.
fn features(cpuid: &Fact<CpuidFacts>, info: &CpuInfo, cpu: usize) -> Found<Vec<String>> {
    let listed = info.get(cpu, "flags").or_else(|_| info.get(cpu, "Features"));
    match (listed, cpuid) {
        (Ok(flags), _) => {
            let has: Vec<&str> = flags.split_whitespace().collect();
            Ok(FEATURES.iter().filter(|f| has.contains(f)).map(|f| (*f).to_owned()).collect())
        }
        (Err(_), Fact::Known(cpuid)) => Ok(cpuid.features.clone()),
        (Err(reason), Fact::Unknown { .. }) => Err(reason),
    }
}

/// The architecture that the files are of: by the kernel's word (since 6.1), else by the way in which
/// it describes its CPUs; the empty word where neither tells.
pub(super) fn architecture(files: &Files) -> String {
    files.text("/proc/sys/kernel/arch").unwrap_or_else(|_| {
        let info = CpuInfo::read(files);
        let has = |key| info.cpus().is_ok_and(|cpus| info.get(cpus[0], key).is_ok());
        let marks = [("cpu family", "x86_64"), ("CPU implementer", "aarch64")];
        let found = marks.iter().find(|(key, _)| has(key));
        found.map_or_else(String::new, |(_, name)| (*name).to_owned())
    })
}

/// The register itself where the kernel shows it, else its fields in /proc/cpuinfo.
fn midr(files: &Files, info: &CpuInfo, cpu: usize) -> Found<Midr> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/regs/identification/midr_el1");
    if let Ok(text) = files.text(&path)
        && let Some(value) = number(&text)
    {
        return Ok(Midr::from_register(value));
    }
    let part = |key: &str| -> Found<u32> {
        let text = info.get(cpu, key)?;
        let value = number(text).and_then(|n| u32::try_from(n).ok());
        value.ok_or_else(|| format!("/proc/cpuinfo has \"{key}: {text}\", which is no number"))
    };
    Ok(Midr {
        implementer: part("CPU implementer")?,
        variant: part("CPU variant")?,
        part: part("CPU part")?,
        revision: part("CPU revision")?,
    })
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn tsc(cpuid: &CpuidFacts, info: &CpuInfo, cpu: usize) -> Found<Vec<TscClaim>> {
    let claim = |hz: u64, source: &str| TscClaim { hz, source: source.to_owned() };
    let mut claims = Vec::new();
    claims.extend(cpuid.tsc_hz.map(|hz| claim(hz, "CPUID 15h")));
    claims.extend(cpuid.hypervisor_tsc_khz.map(|khz| claim(khz * 1000, "CPUID 40000010h")));
    match bogomips(info, cpu) {
        Ok(rate) => claims.push(rate),
        Err(reason) if claims.is_empty() => {
            return Err(format!("no rate in CPUID 15h or 40000010h, and {reason}"));
        }
        Err(_) => {}
    }
    Ok(claims)
}

/// The kernel's delay loop counts two for each tick of the time counter, where it waits by that.
fn bogomips(info: &CpuInfo, cpu: usize) -> Found<TscClaim> {
    let text = info.get(cpu, "bogomips").or_else(|_| info.get(cpu, "BogoMIPS"))?;
    let value: f64 = text.parse().map_err(|_| format!("/proc/cpuinfo has bogomips {text:?}"))?;
    Ok(TscClaim { hz: (value * 0.5e6).round() as u64, source: "BogoMIPS / 2".into() })
}

/// Leaf 16h, else the figure that Intel used to print into the brand string.
fn base_hz(cpuid: &CpuidFacts) -> Found<u64> {
    let printed = || {
        let (_, rate) = cpuid.brand.as_deref()?.rsplit_once('@')?;
        let ghz: f64 = rate.trim().strip_suffix("GHz")?.trim().parse().ok()?;
        Some((ghz * 1e9).round() as u64)
    };
    cpuid
        .base_mhz
        .map(|mhz| mhz * 1_000_000)
        .or_else(printed)
        .ok_or_else(|| "neither CPUID 16h nor the brand string says one".into())
}

fn max_hz(files: &Files, cpuid: &Fact<CpuidFacts>, cpu: usize) -> Found<u64> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq");
    match files.number::<u64>(&path) {
        Ok(khz) => Ok(khz * 1000),
        Err(reason) => {
            let leaf = cpuid.known().and_then(|cpuid| cpuid.max_mhz);
            leaf.map(|mhz| mhz * 1_000_000)
                .ok_or_else(|| format!("{reason}, and CPUID 16h does not say one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn milan() -> CpuidFacts {
        CpuidFacts {
            vendor: "AuthenticAMD".into(),
            brand: Some("AMD EPYC 7B13".into()),
            family: 0x19,
            model: 1,
            stepping: 1,
            features: vec!["sse2".into(), "avx2".into()],
            invariant_tsc: true,
            ..CpuidFacts::default()
        }
    }

    #[test]
    fn x86_with_and_without_proc() {
        let info = "processor: 0\nflags: fpu avx2 sse2 what avx\nmicrocode: 0xa0011d1\n\
                    bogomips: 4890.88\n";
        let cpu = Tree::new().file("/proc/cpuinfo", info).machine_with(milan()).cpu;
        assert_eq!(cpu.microarchitecture.known().map(|m| m.key.as_str()), Some("zen3"));
        assert_eq!(cpu.microcode, Fact::Known("0xa0011d1".into()));
        assert_eq!(cpu.features, Fact::Known(vec!["sse2".into(), "avx".into(), "avx2".into()]));
        assert_eq!(cpu.tsc.known().map(|t| t[0].hz), Some(2_445_440_000));

        let cpu = Tree::new().machine_with(milan()).cpu;
        assert_eq!(cpu.brand, Fact::Known("AMD EPYC 7B13".into()));
        assert_eq!(cpu.features, Fact::Known(vec!["sse2".into(), "avx2".into()]));
        assert_eq!(cpu.microcode.reason(), Some("/proc does not exist"));
        assert!(cpu.tsc.reason().is_some_and(|r| r.contains("15h")), "{:?}", cpu.tsc);
        assert!(cpu.max_hz.reason().is_some_and(|r| r.contains("/sys does not exist")));
    }

    #[test]
    fn an_unknown_design_keeps_its_numbers() {
        let cpu = Tree::new().machine_with(CpuidFacts { model: 0xf0, ..milan() }).cpu;
        assert_eq!(cpu.model, Fact::Known(0xf0));
        assert!(cpu.microarchitecture.reason().is_some_and(|r| r.contains("model f0h")));
    }

    #[test]
    fn tsc_claims_in_order_of_trust() {
        let facts = CpuidFacts {
            tsc_hz: Some(2_000_000_000),
            hypervisor_tsc_khz: Some(2_000_001),
            ..milan()
        };
        let info = "processor: 0\nbogomips: 4000.00\n";
        let cpu = Tree::new().file("/proc/cpuinfo", info).machine_with(facts).cpu;
        let claims = cpu.tsc.known().expect("known");
        let sources: Vec<&str> = claims.iter().map(|claim| claim.source.as_str()).collect();
        assert_eq!(sources, ["CPUID 15h", "CPUID 40000010h", "BogoMIPS / 2"]);
    }

    #[test]
    fn clocks_from_leaf_brand_and_cpufreq() {
        let brand = Some("Intel(R) Xeon(R) CPU @ 2.60GHz".to_owned());
        let cpu = Tree::new()
            .file("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3500000\n")
            .machine_with(CpuidFacts { brand, ..milan() })
            .cpu;
        assert_eq!(cpu.base_hz, Fact::Known(2_600_000_000));
        assert_eq!(cpu.max_hz, Fact::Known(3_500_000_000));
        let facts = CpuidFacts { base_mhz: Some(2000), max_mhz: Some(3800), ..milan() };
        let cpu = Tree::new().machine_with(facts).cpu;
        assert_eq!(cpu.base_hz, Fact::Known(2_000_000_000));
        assert_eq!(cpu.max_hz, Fact::Known(3_800_000_000));
    }

    const N1: &str = "processor: 0\nBogoMIPS: 50.00\nFeatures: fp asimd atomics lrcpc\nCPU implementer: 0x41\n\
                      CPU architecture: 8\nCPU variant: 0x3\nCPU part: 0xd0c\nCPU revision: 1\n";

    #[test]
    fn arm_by_proc_cpuinfo() {
        let cpu = Tree::new().file("/proc/cpuinfo", N1).machine().cpu;
        assert_eq!(cpu.vendor, Fact::Known("Arm".into()));
        assert_eq!(cpu.microarchitecture.known().map(|m| m.key.as_str()), Some("neoverse-n1"));
        assert_eq!((cpu.model, cpu.stepping), (Fact::Known(0xd0c), Fact::Known(0x31)));
        assert!(cpu.family.reason().is_some_and(|r| r.contains("no family")));
        assert_eq!(cpu.features.known().map(Vec::len), Some(4));
        assert_eq!(cpu.invariant_tsc, Fact::Known(true));
        assert_eq!(cpu.tsc.known().map(|claims| claims[0].hz), Some(25_000_000));
    }

    #[test]
    fn arm_by_register() {
        let path = "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1";
        let cpu = Tree::new().file(path, "0x00000000410fd4f1\n").machine().cpu;
        assert_eq!(cpu.microarchitecture.known().map(|m| m.key.as_str()), Some("neoverse-v2"));
    }

    #[test]
    fn nothing_is_known() {
        let cpu = Tree::new().machine().cpu;
        assert_eq!(cpu.vendor.reason(), Some("/proc does not exist"));
        assert_eq!(cpu.invariant_tsc.reason(), Some("/proc does not exist"));
        assert_eq!(cpu.features.reason(), Some("/proc does not exist"));
    }
}
