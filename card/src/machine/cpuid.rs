//! What the CPUID instruction says, as plain data, so that tests and other architectures need no
//! such instruction.

use super::Fact;
use super::caches::CacheKind;

/// One cache in the deterministic cache parameters (leaf 4, or 8000001Dh on AMD).
#[derive(Clone, Debug, PartialEq)]
pub struct CpuidCache {
    /// 1, 2, 3.
    pub level: u8,
    /// Data, instruction or unified.
    pub kind: CacheKind,
    /// Capacity.
    pub bytes: u64,
    /// Line size.
    pub line_bytes: u64,
    /// Associativity.
    pub ways: u64,
    /// The largest number of hardware threads that share it; CPUID does not say which.
    pub sharers: usize,
}

/// The answers of CPUID that matter here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuidFacts {
    /// "AuthenticAMD".
    pub vendor: String,
    /// The brand string.
    pub brand: Option<String>,
    /// Family, the extended part added.
    pub family: u32,
    /// Model, the extended part included.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// Features that matter, under the names that Linux gives them.
    pub features: Vec<String>,
    /// Line size of CLFLUSH, where it exists.
    pub clflush_line_bytes: Option<u64>,
    /// Leaf 80000007h: the TSC runs at one rate in all power states.
    pub invariant_tsc: bool,
    /// Leaf 15h: rate of the TSC in Hz.
    pub tsc_hz: Option<u64>,
    /// Leaf 16h: base clock in MHz.
    pub base_mhz: Option<u64>,
    /// Leaf 16h: highest clock in MHz.
    pub max_mhz: Option<u64>,
    /// Name of the hypervisor; `None` when the hypervisor bit is clear.
    pub hypervisor: Option<String>,
    /// Rate of the TSC in kHz according to the hypervisor, and the leaf that says so: 40000010h, or
    /// 40000110h where the first leaves are those of another interface.
    pub hypervisor_tsc: Option<(u32, u64)>,
    /// Leaf 4 or 8000001Dh.
    pub caches: Vec<CpuidCache>,
}

impl CpuidFacts {
    /// Executes CPUID on the CPU that runs this.
    #[cfg(target_arch = "x86_64")]
    pub fn read() -> Fact<Self> {
        Fact::Known(x86::facts(raw_cpuid::CpuIdReaderNative))
    }

    /// There is nothing to execute.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn read() -> Fact<Self> {
        Fact::unknown(format!("{} has no CPUID", std::env::consts::ARCH))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use raw_cpuid::{CacheType, CpuId, CpuIdReader, Hypervisor};

    use super::{CacheKind, CpuidCache, CpuidFacts};

    /// No processor has more caches; some emulators answer every sub-leaf alike, without end.
    const MOST_CACHES: usize = 8;

    pub(super) fn facts<R: CpuIdReader>(reader: R) -> CpuidFacts {
        let cpuid = &CpuId::with_cpuid_reader(reader.clone());
        let identity = cpuid.get_feature_info();
        let clocks = cpuid.get_processor_frequency_info();
        let positive = |mhz: u16| (mhz > 0).then_some(u64::from(mhz));
        CpuidFacts {
            vendor: cpuid.get_vendor_info().map(|v| v.as_str().to_owned()).unwrap_or_default(),
            brand: cpuid.get_processor_brand_string().map(|b| b.as_str().to_owned()),
            family: identity.as_ref().map_or(0, |i| u32::from(i.family_id())),
            model: identity.as_ref().map_or(0, |i| u32::from(i.model_id())),
            stepping: identity.as_ref().map_or(0, |i| u32::from(i.stepping_id())),
            features: features(cpuid),
            clflush_line_bytes: identity
                .as_ref()
                .filter(|i| i.has_clflush())
                // The field counts units of 8 bytes.
                .map(|i| u64::from(i.cflush_cache_line_size()) * 8),
            invariant_tsc: cpuid
                .get_advanced_power_mgmt_info()
                .is_some_and(|power| power.has_invariant_tsc()),
            tsc_hz: cpuid.get_tsc_info().and_then(|tsc| tsc.tsc_frequency()),
            base_mhz: clocks.as_ref().and_then(|c| positive(c.processor_base_frequency())),
            max_mhz: clocks.as_ref().and_then(|c| positive(c.processor_max_frequency())),
            hypervisor: hypervisor(cpuid, &reader),
            hypervisor_tsc: hypervisor_tsc(cpuid, &reader),
            caches: caches(cpuid),
        }
    }

    fn caches<R: CpuIdReader>(cpuid: &CpuId<R>) -> Vec<CpuidCache> {
        let parameters = cpuid.get_cache_parameters().into_iter().flatten().take(MOST_CACHES);
        parameters
            .map(|cache| CpuidCache {
                level: cache.level(),
                kind: match cache.cache_type() {
                    CacheType::Data => CacheKind::Data,
                    CacheType::Instruction => CacheKind::Instruction,
                    CacheType::Unified => CacheKind::Unified,
                    CacheType::Null | CacheType::Reserved => CacheKind::Other,
                },
                bytes: [
                    cache.associativity(),
                    cache.physical_line_partitions(),
                    cache.coherency_line_size(),
                    cache.sets(),
                ]
                .iter()
                .map(|&factor| factor as u64)
                .product(),
                line_bytes: cache.coherency_line_size() as u64,
                ways: cache.associativity() as u64,
                sharers: cache.max_cores_for_cache(),
            })
            .collect()
    }

    fn hypervisor<R: CpuIdReader>(cpuid: &CpuId<R>, reader: &R) -> Option<String> {
        if !cpuid.get_feature_info()?.has_hypervisor() {
            return None;
        }
        let Some(info) = cpuid.get_hypervisor_info() else {
            return Some("unnamed hypervisor".into());
        };
        Some(match info.identify() {
            Hypervisor::Xen => "Xen".into(),
            Hypervisor::VMware => "VMware".into(),
            Hypervisor::HyperV if kvm_behind(reader).is_some() => KVM_AS_HYPER_V.into(),
            Hypervisor::HyperV => "Hyper-V".into(),
            Hypervisor::KVM => "KVM".into(),
            Hypervisor::QEMU => "QEMU (TCG)".into(),
            Hypervisor::Bhyve => "bhyve".into(),
            Hypervisor::QNX => "QNX".into(),
            Hypervisor::ACRN => "ACRN".into(),
            Hypervisor::Unknown(ebx, ecx, edx) => signature([ebx, ecx, edx]),
        })
    }

    /// KVM that offers Hyper-V's interface, for Windows guests and now for most.
    const KVM_AS_HYPER_V: &str = "KVM (with Hyper-V's interface)";

    /// Where KVM's own leaves begin when Hyper-V's have taken the first place.
    const KVM_BEHIND: u32 = 0x4000_0100;

    /// KVM's last leaf, if its leaves are there.
    fn kvm_behind<R: CpuIdReader>(reader: &R) -> Option<u32> {
        let first = reader.cpuid1(KVM_BEHIND);
        let letters = [first.ebx, first.ecx, first.edx].map(u32::to_le_bytes).concat();
        (letters == *b"KVMKVMKVM\0\0\0").then_some(first.eax)
    }

    /// The twelve letters of a hypervisor that the library does not know, "VBoxVBoxVBox".
    fn signature(registers: [u32; 3]) -> String {
        let bytes: Vec<u8> = registers.iter().flat_map(|r| r.to_le_bytes()).collect();
        let printable = bytes.iter().filter(|b| b.is_ascii_graphic() || **b == b' ');
        let name: String = printable.map(|b| char::from(*b)).collect();
        match name.trim() {
            "" => "unnamed hypervisor".into(),
            "Linux KVM Hv" => KVM_AS_HYPER_V.into(),
            named => named.into(),
        }
    }

    /// VMware's convention, which KVM and others follow. Hyper-V and Xen number their leaves
    /// otherwise.
    fn hypervisor_tsc<R: CpuIdReader>(cpuid: &CpuId<R>, reader: &R) -> Option<(u32, u64)> {
        /// From the first leaf of a hypervisor.
        const RATE: u32 = 0x10;
        let info = cpuid.get_hypervisor_info()?;
        let (leaf, khz) = match info.identify() {
            Hypervisor::HyperV => {
                let leaf = KVM_BEHIND + RATE;
                let last = kvm_behind(reader)?;
                (leaf, (last >= leaf).then(|| reader.cpuid1(leaf).eax)?)
            }
            Hypervisor::Xen => return None,
            _ => (0x4000_0000 + RATE, info.tsc_frequency()?),
        };
        (khz > 0).then_some((leaf, u64::from(khz)))
    }

    fn features<R: CpuIdReader>(cpuid: &CpuId<R>) -> Vec<String> {
        let mut names = Vec::new();
        let mut add = |pairs: &[(&str, bool)]| {
            names.extend(pairs.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()));
        };
        if let Some(f) = cpuid.get_feature_info() {
            add(&[
                ("sse2", f.has_sse2()),
                ("sse4_2", f.has_sse42()),
                ("popcnt", f.has_popcnt()),
                ("clflush", f.has_clflush()),
                ("avx", f.has_avx()),
                ("f16c", f.has_f16c()),
                ("fma", f.has_fma()),
                ("hypervisor", f.has_hypervisor()),
            ]);
        }
        if let Some(f) = cpuid.get_extended_feature_info() {
            add(&[
                ("avx2", f.has_avx2()),
                ("bmi2", f.has_bmi2()),
                ("erms", f.has_rep_movsb_stosb()),
                ("rdpid", f.has_rdpid()),
                ("clflushopt", f.has_clflushopt()),
                ("clwb", f.has_clwb()),
                ("avx512f", f.has_avx512f()),
                ("avx512dq", f.has_avx512dq()),
                ("avx512bw", f.has_avx512bw()),
                ("avx512vl", f.has_avx512vl()),
                ("avx512_vnni", f.has_avx512vnni()),
                ("avx512_bf16", f.has_avx512_bf16()),
                ("avx512_fp16", f.has_avx512_fp16()),
                ("amx_tile", f.has_amx_tile()),
                ("rtm", f.has_rtm()),
            ]);
        }
        if let Some(f) = cpuid.get_extended_processor_and_feature_identifiers() {
            add(&[("rdtscp", f.has_rdtscp()), ("pdpe1gb", f.has_1gib_pages())]);
        }
        names
    }

    #[cfg(test)]
    mod tests {
        use raw_cpuid::CpuIdResult;

        use super::*;

        /// Answers from a table, zero for all other leaves.
        fn scripted(table: &'static [(u32, u32, [u32; 4])]) -> CpuidFacts {
            let reader = move |leaf: u32, sub: u32| {
                let found = table.iter().find(|(l, s, _)| (*l, *s) == (leaf, sub));
                let [eax, ebx, ecx, edx] = found.map_or([0; 4], |row| row.2);
                CpuIdResult { eax, ebx, ecx, edx }
            };
            facts(reader)
        }

        const AMD: [u32; 3] = [0x6874_7541, 0x444d_4163, 0x6974_6e65];
        const INTEL: [u32; 3] = [0x756e_6547, 0x6c65_746e, 0x4965_6e69];

        #[test]
        fn genoa_in_a_kvm_guest() {
            let facts = scripted(&[
                (0, 0, [0x10, AMD[0], AMD[1], AMD[2]]),
                (1, 0, [0x00a1_0f11, 0x0002_0800, 1 << 31 | 1 << 28, 1 << 19 | 1 << 26]),
                (7, 0, [0, 1 << 5 | 1 << 16, 0, 0]),
                (0x4000_0000, 0, [0x4000_0010, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
                (0x4000_0010, 0, [2_596_148, 0, 0, 0]),
                (0x8000_0000, 0, [0x8000_001f, 0, 0, 0]),
                (0x8000_0007, 0, [0, 0, 0, 1 << 8]),
                // 32 KiB of 64 sets, 8 ways, 64 bytes; then 32 MiB of 16 ways for 16 threads.
                (0x8000_001d, 0, [0x121, 0x01c0_003f, 63, 0]),
                (0x8000_001d, 1, [0x163 | 15 << 14, 0x03c0_003f, 32767, 0]),
            ]);
            assert_eq!(facts.vendor, "AuthenticAMD");
            assert_eq!((facts.family, facts.model, facts.stepping), (0x19, 0x11, 1));
            assert_eq!(facts.hypervisor.as_deref(), Some("KVM"));
            assert_eq!(facts.hypervisor_tsc, Some((0x4000_0010, 2_596_148)));
            assert_eq!(facts.clflush_line_bytes, Some(64));
            assert!(facts.invariant_tsc);
            assert_eq!(facts.features, ["sse2", "clflush", "avx", "hypervisor", "avx2", "avx512f"]);
            assert_eq!(facts.caches.len(), 2);
            assert_eq!((facts.caches[0].bytes, facts.caches[0].ways), (32 << 10, 8));
            assert_eq!((facts.caches[1].bytes, facts.caches[1].sharers), (32 << 20, 16));
            assert_eq!(facts.caches[1].kind, CacheKind::Unified);
        }

        #[test]
        fn kvm_behind_the_interface_of_hyper_v() {
            const HYPER_V: [u32; 4] = [0x4000_000c, 0x7263_694d, 0x666f_736f, 0x7648_2074];
            const VENDOR: [u32; 4] = [1, AMD[0], AMD[1], AMD[2]];
            let facts = scripted(&[
                (0, 0, VENDOR),
                (1, 0, [0x00a1_0f11, 0, 1 << 31, 0]),
                (0x4000_0000, 0, HYPER_V),
                (0x4000_0100, 0, [0x4000_0110, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
                (0x4000_0110, 0, [2_445_424, 0, 0, 0]),
            ]);
            assert_eq!(facts.hypervisor.as_deref(), Some("KVM (with Hyper-V's interface)"));
            assert_eq!(facts.hypervisor_tsc, Some((0x4000_0110, 2_445_424)));
            // Its leaves may end before that one, which then says nothing.
            let facts = scripted(&[
                (0, 0, VENDOR),
                (1, 0, [0x00a1_0f11, 0, 1 << 31, 0]),
                (0x4000_0000, 0, HYPER_V),
                (0x4000_0100, 0, [0x4000_0101, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
                (0x4000_0110, 0, [2_445_424, 0, 0, 0]),
            ]);
            assert_eq!(facts.hypervisor_tsc, None);
            let facts = scripted(&[
                (0, 0, VENDOR),
                (1, 0, [0x00a1_0f11, 0, 1 << 31, 0]),
                (0x4000_0000, 0, HYPER_V),
            ]);
            assert_eq!(facts.hypervisor.as_deref(), Some("Hyper-V"));
            assert_eq!(facts.hypervisor_tsc, None);
        }

        #[test]
        fn sapphire_rapids_on_the_metal() {
            let facts = scripted(&[
                (0, 0, [0x1f, INTEL[0], INTEL[1], INTEL[2]]),
                (1, 0, [0x0008_06f8, 0, 0, 0]),
                (4, 0, [0x121, 0x02c0_003f, 63, 0]),
                (0x15, 0, [2, 160, 25_000_000, 0]),
                (0x16, 0, [2000, 3800, 100, 0]),
            ]);
            assert_eq!((facts.family, facts.model, facts.stepping), (6, 0x8f, 8));
            assert_eq!(facts.hypervisor, None);
            assert_eq!(facts.tsc_hz, Some(2_000_000_000));
            assert_eq!((facts.base_mhz, facts.max_mhz), (Some(2000), Some(3800)));
            assert_eq!(facts.caches[0].bytes, 48 << 10);
            assert!(!facts.invariant_tsc);
        }

        #[test]
        fn an_emulator_that_repeats_itself_has_an_end() {
            let vendor = [INTEL[0], INTEL[1], INTEL[2]];
            let reader = move |leaf: u32, _| match leaf {
                0 => CpuIdResult { eax: 4, ebx: vendor[0], ecx: vendor[1], edx: vendor[2] },
                _ => CpuIdResult { eax: 0x21, ebx: 0x01c0_003f, ecx: 63, edx: 0 },
            };
            assert_eq!(facts(reader).caches.len(), MOST_CACHES);
        }

        #[test]
        fn hypervisors_that_the_library_does_not_know() {
            let letters = |s: &[u8; 12]| {
                let word = |i: usize| u32::from_le_bytes([s[i], s[i + 1], s[i + 2], s[i + 3]]);
                signature([word(0), word(4), word(8)])
            };
            assert_eq!(letters(b"VBoxVBoxVBox"), "VBoxVBoxVBox");
            assert_eq!(letters(b"Linux KVM Hv"), "KVM (with Hyper-V's interface)");
            assert_eq!(signature([0; 3]), "unnamed hypervisor");
        }

        #[test]
        fn no_leaf_at_all() {
            let facts = scripted(&[]);
            assert_eq!(facts.family, 0);
            assert_eq!(facts.caches, []);
            assert_eq!(facts.features, [""; 0]);
        }
    }
}
