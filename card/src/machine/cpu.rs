//! Which processor this is.

use serde::{Deserialize, Serialize};

use super::cpuinfo::CpuInfo;
use super::design::{self, Microarchitecture, Midr};
use super::files::{Files, Found};
use super::kinds::{self, CoreKind, Hybrid};
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

/// The source of a rate that is a convention wherever the kernel's delay loop does not wait by the
/// counter.
const BOGOMIPS: &str = "BogoMIPS / 2";

/// How far from another word on the counter's rate a figure is that cannot mean the counter.
const FAR_OFF: f64 = 1.5;

impl TscClaim {
    /// Whether it is a claim at all, now that the counter is known to run at `hz`.
    pub fn means_the_counter(&self, hz: f64) -> bool {
        self.source != BOGOMIPS || about(self.hz as f64, hz)
    }
}

fn about(a: f64, b: f64) -> bool {
    (a / b).max(b / a) < FAR_OFF
}

/// Identity of the processor: all but the kinds are facts of the CPU that measures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// The CPU that was asked: the one that measures, and before that is chosen the first one of the
    /// most capable kind that may be used.
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
    /// The kinds of core, the most capable first; one on most machines.
    pub kinds: Fact<Vec<CoreKind>>,
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
    "hypervisor",
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
        let economical = Hybrid::read(files).is_economical(cpu);
        match (cpuid, info.cpuid(cpu)) {
            (Fact::Known(cpuid), _) => common.with_cpuid(cpuid, info, cpu, economical),
            (Fact::Unknown { .. }, Some(cpuid)) => common.with_cpuid(&cpuid, info, cpu, economical),
            (Fact::Unknown { unknown }, None) => {
                common.with_midr(midr(files, info, cpu), unknown, info, cpu)
            }
        }
    }

    fn with_cpuid(self, cpuid: &CpuidFacts, info: &CpuInfo, cpu: usize, economical: bool) -> Self {
        let design = design::x86(&cpuid.vendor, cpuid.family, cpuid.model, cpuid.stepping);
        let design = if economical { design::economical(cpuid.model) } else { design };
        let features = self.features.known().map_or(&[][..], Vec::as_slice);
        let design = design.and_then(|design| design::with_features(design, features));
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
            tsc: info
                .get(cpu, "BogoMIPS")
                .or_else(|_| info.get(cpu, "bogomips"))
                .and_then(bogomips)
                .map(|claim| vec![claim])
                .into(),
            base_hz: Fact::unknown(format!("{no_cpuid}, which would claim it")),
            ..self
        }
    }
}

/// The kernel's list, because it leaves out what the kernel has switched off; CPUID without it, and
/// beside a list in the words of another architecture, which an emulator of x86 lets through.
fn features(cpuid: &Fact<CpuidFacts>, info: &CpuInfo, cpu: usize) -> Found<Vec<String>> {
    let listed = info.get(cpu, "flags");
    let listed = match cpuid {
        Fact::Known(_) => listed,
        Fact::Unknown { .. } => listed.or_else(|_| info.get(cpu, "Features")),
    };
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
pub(super) fn midr(files: &Files, info: &CpuInfo, cpu: usize) -> Found<Midr> {
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
    let claim = |hz: u64, source: String| TscClaim { hz, source };
    let mut claims = Vec::new();
    claims.extend(cpuid.tsc_hz.map(|hz| claim(hz, "CPUID 15h".into())));
    let told =
        cpuid.hypervisor_tsc.map(|(leaf, khz)| claim(khz * 1000, format!("CPUID {leaf:x}h")));
    claims.extend(told);
    let figure = info.get(cpu, "bogomips").and_then(bogomips).and_then(|figure| {
        let mhz = info.get(cpu, "cpu MHz").ok().and_then(|mhz| mhz.parse::<f64>().ok());
        let base = claims.first().map(|claim| claim.hz).or_else(|| base_hz(cpuid).ok());
        match (mhz, base) {
            // Two digits of the one, three of the other.
            (Some(mhz), _) if (figure.hz as f64 / 5e5 - mhz).abs() < 0.01 => {
                Err("bogomips repeats the clock (cpu MHz), so it does not count the TSC".into())
            }
            (_, Some(base)) if !about(figure.hz as f64, base as f64) => {
                Err(format!("bogomips is not about twice the {base} Hz of the TSC or base clock"))
            }
            _ => Ok(figure),
        }
    });
    match figure {
        Ok(rate) => claims.push(rate),
        Err(reason) if claims.is_empty() => {
            return Err(format!("no rate in CPUID 15h or 40000010h, and {reason}"));
        }
        Err(_) => {}
    }
    Ok(claims)
}

/// The kernel's delay loop counts two for each tick of the time counter, where it waits by that.
fn bogomips(text: &str) -> Found<TscClaim> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < MOST_BOGOMIPS => {
            Ok(TscClaim { hz: (value * 0.5e6).round() as u64, source: BOGOMIPS.into() })
        }
        _ => Err(format!("/proc/cpuinfo has bogomips {text:?}, which is no rate")),
    }
}

/// A counter of a terahertz.
const MOST_BOGOMIPS: f64 = 2e6;

/// Leaf 16h, else the figure that Intel used to print into the brand string.
fn base_hz(cpuid: &CpuidFacts) -> Found<u64> {
    let printed = || {
        let (_, rate) = cpuid.brand.as_deref()?.rsplit_once('@')?;
        let ghz: f64 = rate.trim().strip_suffix("GHz")?.trim().parse().ok()?;
        (ghz > 0.0 && ghz < 1000.0).then_some((ghz * 1e9).round() as u64)
    };
    cpuid
        .base_mhz
        .map(|mhz| mhz * 1_000_000)
        .or_else(printed)
        .ok_or_else(|| "neither CPUID 16h nor the brand string says one".into())
}

fn max_hz(files: &Files, cpuid: &Fact<CpuidFacts>, cpu: usize) -> Found<u64> {
    kinds::max_hz(files, cpu).or_else(|reason| {
        let leaf = cpuid.known().and_then(|cpuid| cpuid.max_mhz);
        leaf.map(|mhz| mhz * 1_000_000)
            .ok_or_else(|| format!("{reason}, and CPUID 16h does not say one"))
    })
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
            hypervisor_tsc: Some((0x4000_0010, 2_000_001)),
            ..milan()
        };
        let info = "processor: 0\nbogomips: 4000.00\n";
        let cpu = Tree::new().file("/proc/cpuinfo", info).machine_with(facts).cpu;
        let claims = cpu.tsc.known().expect("known");
        let sources: Vec<&str> = claims.iter().map(|claim| claim.source.as_str()).collect();
        assert_eq!(sources, ["CPUID 15h", "CPUID 40000010h", "BogoMIPS / 2"]);
    }

    #[test]
    fn a_figure_that_does_not_count_the_counter_is_no_claim() {
        let tsc = |info: &str, facts: CpuidFacts| {
            let info = format!("processor: 0\n{info}\n");
            Tree::new().file("/proc/cpuinfo", info).machine_with(facts).cpu.tsc
        };
        // A kernel of a sandbox that gives the clock for both, and one that waits by the TSC.
        let same = tsc("cpu MHz: 2600.000\nbogomips: 2600.00", milan());
        assert!(same.reason().is_some_and(|r| r.contains("repeats the clock")), "{same:?}");
        let twice = tsc("cpu MHz: 2445.440\nbogomips: 4890.88", milan());
        assert_eq!(twice.known().map(|claims| claims[0].hz), Some(2_445_440_000));
        // The same where the clock is not given, but the base clock is.
        let brand = Some("Intel(R) Xeon(R) CPU @ 2.60GHz".to_owned());
        let half = tsc("bogomips: 2600.00", CpuidFacts { brand, ..milan() });
        assert!(half.reason().is_some_and(|r| r.contains("not about twice")), "{half:?}");
        let told = CpuidFacts { tsc_hz: Some(2_600_000_000), ..milan() };
        assert_eq!(tsc("bogomips: 2600.00", told).known().map(Vec::len), Some(1));
        for text in ["nan", "inf", "-1", "0.00", "1e300", ""] {
            let tsc = tsc(&format!("bogomips: {text}"), milan());
            assert!(tsc.reason().is_some_and(|r| r.contains("no rate")), "{text}: {tsc:?}");
        }
    }

    #[test]
    fn an_emulator_that_shows_another_architectures_proc() {
        let info = "processor: 0\nBogoMIPS: 48.00\nFeatures: fp asimd aes\nCPU implementer: 0x61\n";
        let facts = CpuidFacts { vendor: "VirtualApple".into(), ..milan() };
        let cpu = Tree::new().file("/proc/cpuinfo", info).machine_with(facts).cpu;
        assert_eq!(cpu.features, Fact::Known(vec!["sse2".into(), "avx2".into()]));
        assert!(
            cpu.tsc.reason().is_some_and(|r| r.contains("no line \"bogomips\"")),
            "{:?}",
            cpu.tsc
        );
    }

    #[test]
    fn rates_and_clocks_that_overflow_are_none() {
        let path = "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq";
        let cpu = Tree::new().file(path, "18446744073709551615").machine().cpu;
        assert!(cpu.max_hz.reason().is_some_and(|r| r.contains("no frequency")));
        let brand = Some("X @ nanGHz".to_owned());
        let cpu = Tree::new().machine_with(CpuidFacts { brand, ..milan() }).cpu;
        assert!(cpu.base_hz.known().is_none());
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
    fn only_the_conventional_figure_may_not_mean_the_counter() {
        let claim = |source: &str| TscClaim { hz: 1_300_000_000, source: source.into() };
        assert!(!claim(BOGOMIPS).means_the_counter(2.6e9));
        assert!(claim(BOGOMIPS).means_the_counter(1.31e9));
        assert!(claim("CPUID 15h").means_the_counter(2.6e9));
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
