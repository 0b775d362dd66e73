//! Which design a processor is, by the numbers it identifies itself with.
//!
//! Sources: the vendors' revision guides and the tables of the Linux kernel
//! (`intel-family.h`, `bsp_init_amd`, `cputype.h`).

use serde::{Deserialize, Serialize};

use super::files::Found;

/// The design of the core, which decides what it should be able to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Microarchitecture {
    /// Stable short name, by which published values are looked up: `zen4`, `sapphire-rapids`.
    pub key: String,
    /// Name for people: "Zen 4 (Genoa)".
    pub name: String,
}

/// One line of the x86 table: first match wins.
struct X86 {
    vendor: &'static str,
    family: u32,
    models: (u32, u32),
    /// Servers of three generations share Intel's model 55h.
    steppings: (u32, u32),
    key: &'static str,
    name: &'static str,
}

const ANY: (u32, u32) = (0, u32::MAX);

const fn amd(family: u32, first: u32, last: u32, key: &'static str, name: &'static str) -> X86 {
    X86 { vendor: "AuthenticAMD", family, models: (first, last), steppings: ANY, key, name }
}

const fn intel(model: u32, key: &'static str, name: &'static str) -> X86 {
    intel_steps(model, ANY, key, name)
}

const fn intel_steps(
    model: u32,
    steppings: (u32, u32),
    key: &'static str,
    name: &'static str,
) -> X86 {
    X86 { vendor: "GenuineIntel", family: 6, models: (model, model), steppings, key, name }
}

const fn other(vendor: &'static str, family: u32, key: &'static str, name: &'static str) -> X86 {
    X86 { vendor, family, models: ANY, steppings: ANY, key, name }
}

const X86_DESIGNS: &[X86] = &[
    amd(0x15, 0x00, 0x01, "bulldozer", "Bulldozer"),
    amd(0x15, 0x02, 0x1f, "piledriver", "Piledriver"),
    amd(0x15, 0x30, 0x3f, "steamroller", "Steamroller"),
    amd(0x15, 0x60, 0x7f, "excavator", "Excavator"),
    amd(0x16, 0x00, 0x0f, "jaguar", "Jaguar"),
    amd(0x16, 0x30, 0x3f, "puma", "Puma"),
    amd(0x17, 0x01, 0x01, "zen", "Zen (Naples or Summit Ridge)"),
    amd(0x17, 0x08, 0x08, "zen-plus", "Zen+ (Pinnacle Ridge)"),
    amd(0x17, 0x18, 0x18, "zen-plus", "Zen+ (Picasso)"),
    amd(0x17, 0x00, 0x2f, "zen", "Zen"),
    amd(0x17, 0x31, 0x31, "zen2", "Zen 2 (Rome)"),
    amd(0x17, 0x60, 0x6f, "zen2", "Zen 2 (Renoir)"),
    amd(0x17, 0x71, 0x71, "zen2", "Zen 2 (Matisse)"),
    amd(0x17, 0xa0, 0xaf, "zen2", "Zen 2 (Mendocino)"),
    amd(0x17, 0x30, 0x9f, "zen2", "Zen 2"),
    amd(0x19, 0x00, 0x07, "zen3", "Zen 3 (Milan)"),
    amd(0x19, 0x08, 0x0f, "zen3", "Zen 3 (Chagall)"),
    amd(0x19, 0x18, 0x1f, "zen4", "Zen 4 (Storm Peak)"),
    amd(0x19, 0x10, 0x17, "zen4", "Zen 4 (Genoa)"),
    amd(0x19, 0x21, 0x21, "zen3", "Zen 3 (Vermeer)"),
    amd(0x19, 0x40, 0x4f, "zen3", "Zen 3+ (Rembrandt)"),
    amd(0x19, 0x50, 0x5f, "zen3", "Zen 3 (Cezanne)"),
    amd(0x19, 0x20, 0x5f, "zen3", "Zen 3"),
    amd(0x19, 0x60, 0x6f, "zen4", "Zen 4 (Raphael)"),
    amd(0x19, 0x70, 0x7f, "zen4", "Zen 4 (Phoenix)"),
    amd(0x19, 0x80, 0x9f, "zen4", "Zen 4"),
    amd(0x19, 0xa0, 0xaf, "zen4c", "Zen 4c (Bergamo or Siena)"),
    amd(0x1a, 0x00, 0x0f, "zen5", "Zen 5 (Turin)"),
    amd(0x1a, 0x10, 0x1f, "zen5c", "Zen 5c (Turin Dense)"),
    amd(0x1a, 0x20, 0x2f, "zen5", "Zen 5 (Strix Point)"),
    amd(0x1a, 0x40, 0x4f, "zen5", "Zen 5 (Granite Ridge)"),
    amd(0x1a, 0x60, 0x6f, "zen5", "Zen 5 (Krackan Point)"),
    amd(0x1a, 0x70, 0x7f, "zen5", "Zen 5 (Strix Halo)"),
    other("HygonGenuine", 0x18, "zen", "Zen (Hygon Dhyana)"),
    intel(0x1a, "nehalem", "Nehalem"),
    intel(0x1e, "nehalem", "Nehalem"),
    intel(0x2e, "nehalem", "Nehalem (EX)"),
    intel(0x25, "westmere", "Westmere"),
    intel(0x2c, "westmere", "Westmere (EP)"),
    intel(0x2f, "westmere", "Westmere (EX)"),
    intel(0x2a, "sandy-bridge", "Sandy Bridge"),
    intel(0x2d, "sandy-bridge-ep", "Sandy Bridge (EP)"),
    intel(0x3a, "ivy-bridge", "Ivy Bridge"),
    intel(0x3e, "ivy-bridge-ep", "Ivy Bridge (EP)"),
    intel(0x3c, "haswell", "Haswell"),
    intel(0x45, "haswell", "Haswell"),
    intel(0x46, "haswell", "Haswell"),
    intel(0x3f, "haswell-ep", "Haswell (EP)"),
    intel(0x3d, "broadwell", "Broadwell"),
    intel(0x47, "broadwell", "Broadwell"),
    intel(0x4f, "broadwell-ep", "Broadwell (EP)"),
    intel(0x56, "broadwell-ep", "Broadwell (DE)"),
    intel(0x4e, "skylake", "Skylake"),
    intel(0x5e, "skylake", "Skylake"),
    intel_steps(0x55, (0, 4), "skylake-sp", "Skylake-SP"),
    intel_steps(0x55, (5, 9), "cascade-lake", "Cascade Lake"),
    intel_steps(0x55, (10, u32::MAX), "cooper-lake", "Cooper Lake"),
    intel(0x8e, "skylake", "Kaby, Coffee or Whiskey Lake"),
    intel(0x9e, "skylake", "Kaby or Coffee Lake"),
    intel(0xa5, "skylake", "Comet Lake"),
    intel(0xa6, "skylake", "Comet Lake"),
    intel(0x66, "cannon-lake", "Cannon Lake"),
    intel(0x7d, "ice-lake", "Ice Lake"),
    intel(0x7e, "ice-lake", "Ice Lake"),
    intel(0x6a, "ice-lake-sp", "Ice Lake-SP"),
    intel(0x6c, "ice-lake-sp", "Ice Lake-D"),
    intel(0x8c, "tiger-lake", "Tiger Lake"),
    intel(0x8d, "tiger-lake", "Tiger Lake"),
    intel(0xa7, "rocket-lake", "Rocket Lake"),
    intel(0x97, "alder-lake", "Alder Lake"),
    intel(0x9a, "alder-lake", "Alder Lake"),
    intel(0xbe, "gracemont", "Gracemont (Alder Lake-N)"),
    intel(0xb7, "raptor-lake", "Raptor Lake"),
    intel(0xba, "raptor-lake", "Raptor Lake"),
    intel(0xbf, "raptor-lake", "Raptor Lake"),
    intel(0x8f, "sapphire-rapids", "Sapphire Rapids"),
    intel(0xcf, "emerald-rapids", "Emerald Rapids"),
    intel(0xad, "granite-rapids", "Granite Rapids"),
    intel(0xae, "granite-rapids", "Granite Rapids-D"),
    intel(0xaf, "sierra-forest", "Sierra Forest"),
    intel(0xb6, "grand-ridge", "Grand Ridge"),
    intel(0xdd, "clearwater-forest", "Clearwater Forest"),
    intel(0xaa, "meteor-lake", "Meteor Lake"),
    intel(0xac, "meteor-lake", "Meteor Lake"),
    intel(0xbd, "lunar-lake", "Lunar Lake"),
    intel(0xb5, "arrow-lake", "Arrow Lake"),
    intel(0xc5, "arrow-lake", "Arrow Lake"),
    intel(0xc6, "arrow-lake", "Arrow Lake"),
    intel(0xcc, "panther-lake", "Panther Lake"),
    intel(0x57, "knights-landing", "Knights Landing"),
    intel(0x85, "knights-mill", "Knights Mill"),
    intel(0x37, "silvermont", "Silvermont"),
    intel(0x4d, "silvermont", "Silvermont"),
    intel(0x4c, "airmont", "Airmont"),
    intel(0x5c, "goldmont", "Goldmont"),
    intel(0x5f, "goldmont", "Goldmont (Denverton)"),
    intel(0x7a, "goldmont-plus", "Goldmont Plus"),
    intel(0x86, "tremont", "Tremont (Snow Ridge)"),
    intel(0x96, "tremont", "Tremont"),
    intel(0x9c, "tremont", "Tremont"),
];

/// The design of an x86 processor.
pub(super) fn x86(
    vendor: &str,
    family: u32,
    model: u32,
    stepping: u32,
) -> Found<Microarchitecture> {
    let within = |(first, last): (u32, u32), n: u32| first <= n && n <= last;
    X86_DESIGNS
        .iter()
        .find(|design| {
            design.vendor == vendor
                && design.family == family
                && within(design.models, model)
                && within(design.steppings, stepping)
        })
        .map(|design| Microarchitecture { key: design.key.into(), name: design.name.into() })
        .ok_or_else(|| {
            format!("{vendor} family {family:x}h model {model:x}h is not in the table of designs")
        })
}

/// Designs with matrix tiles.
const TILES: [&str; 3] = ["sapphire-rapids", "emerald-rapids", "granite-rapids"];

/// A design that these features can be of: a hypervisor may hide the model behind another number.
pub(super) fn with_features(
    design: Microarchitecture,
    features: &[String],
) -> Found<Microarchitecture> {
    let tiles = features.iter().any(|feature| feature == "amx_tile");
    if tiles && !TILES.contains(&design.key.as_str()) {
        return Err(format!("its number is that of {}, which has no amx_tile", design.name));
    }
    Ok(design)
}

/// The cores that save energy in Intel's processors with cores of two kinds, by model.
const ECONOMICAL: &[(u32, &str, &str)] = &[
    (0x97, "gracemont", "Gracemont (Alder Lake)"),
    (0x9a, "gracemont", "Gracemont (Alder Lake)"),
    (0xb7, "gracemont", "Gracemont (Raptor Lake)"),
    (0xba, "gracemont", "Gracemont (Raptor Lake)"),
    (0xbf, "gracemont", "Gracemont (Raptor Lake)"),
    (0xaa, "crestmont", "Crestmont (Meteor Lake)"),
    (0xac, "crestmont", "Crestmont (Meteor Lake)"),
    (0xb5, "crestmont", "Crestmont (Arrow Lake-U)"),
    (0xbd, "skymont", "Skymont (Lunar Lake)"),
    (0xc5, "skymont", "Skymont (Arrow Lake)"),
    (0xc6, "skymont", "Skymont (Arrow Lake)"),
    (0xcc, "darkmont", "Darkmont (Panther Lake)"),
];

/// The design of those cores, which have the model number of the whole processor.
pub(super) fn economical(model: u32) -> Found<Microarchitecture> {
    let found = ECONOMICAL.iter().find(|(number, ..)| *number == model);
    found
        .map(|(_, key, name)| Microarchitecture { key: (*key).into(), name: (*name).into() })
        .ok_or_else(|| format!("the economical cores of model {model:x}h are not in the table"))
}

/// What `MIDR_EL1` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Midr {
    pub(super) implementer: u32,
    pub(super) variant: u32,
    pub(super) part: u32,
    pub(super) revision: u32,
}

impl Midr {
    pub(super) fn from_register(value: u64) -> Self {
        let bits = |from: u32, count: u32| {
            u32::try_from((value >> from) & ((1 << count) - 1)).unwrap_or_default()
        };
        Self {
            implementer: bits(24, 8),
            variant: bits(20, 4),
            part: bits(4, 12),
            revision: bits(0, 4),
        }
    }

    /// Who made the core.
    pub(super) fn vendor(self) -> Found<String> {
        let found = IMPLEMENTERS.iter().find(|(code, _)| *code == self.implementer);
        found
            .map(|(_, name)| (*name).to_owned())
            .ok_or_else(|| format!("implementer {:x}h is not in the table", self.implementer))
    }

    /// The design of the core.
    pub(super) fn design(self) -> Found<Microarchitecture> {
        let found = ARM_DESIGNS
            .iter()
            .find(|(implementer, part, ..)| (*implementer, *part) == (self.implementer, self.part));
        found
            .map(|(_, _, key, name)| Microarchitecture { key: (*key).into(), name: (*name).into() })
            .ok_or_else(|| {
                format!(
                    "implementer {:x}h part {:x}h is not in the table of designs",
                    self.implementer, self.part
                )
            })
    }
}

const IMPLEMENTERS: &[(u32, &str)] = &[
    (0x41, "Arm"),
    (0x42, "Broadcom"),
    (0x43, "Cavium"),
    (0x46, "Fujitsu"),
    (0x48, "HiSilicon"),
    (0x4e, "NVIDIA"),
    (0x51, "Qualcomm"),
    (0x61, "Apple"),
    (0x6d, "Microsoft"),
    (0x70, "Phytium"),
    (0xc0, "Ampere"),
];

/// Implementer, part, key, name.
const ARM_DESIGNS: &[(u32, u32, &str, &str)] = &[
    (0x41, 0xd03, "cortex-a53", "Cortex-A53"),
    (0x41, 0xd05, "cortex-a55", "Cortex-A55"),
    (0x41, 0xd07, "cortex-a57", "Cortex-A57"),
    (0x41, 0xd08, "cortex-a72", "Cortex-A72"),
    (0x41, 0xd09, "cortex-a73", "Cortex-A73"),
    (0x41, 0xd0a, "cortex-a75", "Cortex-A75"),
    (0x41, 0xd0b, "cortex-a76", "Cortex-A76"),
    (0x41, 0xd0c, "neoverse-n1", "Neoverse N1"),
    (0x41, 0xd0d, "cortex-a77", "Cortex-A77"),
    (0x41, 0xd40, "neoverse-v1", "Neoverse V1"),
    (0x41, 0xd41, "cortex-a78", "Cortex-A78"),
    (0x41, 0xd44, "cortex-x1", "Cortex-X1"),
    (0x41, 0xd46, "cortex-a510", "Cortex-A510"),
    (0x41, 0xd47, "cortex-a710", "Cortex-A710"),
    (0x41, 0xd48, "cortex-x2", "Cortex-X2"),
    (0x41, 0xd49, "neoverse-n2", "Neoverse N2"),
    (0x41, 0xd4a, "neoverse-e1", "Neoverse E1"),
    (0x41, 0xd4d, "cortex-a715", "Cortex-A715"),
    (0x41, 0xd4e, "cortex-x3", "Cortex-X3"),
    (0x41, 0xd4f, "neoverse-v2", "Neoverse V2"),
    (0x41, 0xd80, "cortex-a520", "Cortex-A520"),
    (0x41, 0xd81, "cortex-a720", "Cortex-A720"),
    (0x41, 0xd82, "cortex-x4", "Cortex-X4"),
    (0x41, 0xd83, "neoverse-v3ae", "Neoverse V3AE"),
    (0x41, 0xd84, "neoverse-v3", "Neoverse V3"),
    (0x41, 0xd85, "cortex-x925", "Cortex-X925"),
    (0x41, 0xd87, "cortex-a725", "Cortex-A725"),
    (0x41, 0xd8e, "neoverse-n3", "Neoverse N3"),
    (0x43, 0x0a1, "thunderx", "ThunderX"),
    (0x43, 0x0af, "thunderx2", "ThunderX2"),
    (0x46, 0x001, "a64fx", "A64FX"),
    (0x48, 0xd01, "taishan-v110", "TaiShan V110 (Kunpeng 920)"),
    (0x4e, 0x004, "carmel", "Carmel"),
    (0x51, 0x001, "oryon", "Oryon"),
    (0x51, 0xc00, "falkor", "Falkor"),
    (0x61, 0x022, "icestorm", "Icestorm (M1)"),
    (0x61, 0x023, "firestorm", "Firestorm (M1)"),
    (0x61, 0x032, "blizzard", "Blizzard (M2)"),
    (0x61, 0x033, "avalanche", "Avalanche (M2)"),
    // Microsoft's own number for an unchanged Arm core.
    (0x6d, 0xd49, "neoverse-n2", "Neoverse N2 (Cobalt 100)"),
    (0xc0, 0xac3, "ampere1", "AmpereOne"),
    (0xc0, 0xac4, "ampere1a", "AmpereOne (1A)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn key(vendor: &str, family: u32, model: u32, stepping: u32) -> String {
        x86(vendor, family, model, stepping).map(|design| design.key).expect("in the table")
    }

    #[test]
    fn a_number_that_the_features_cannot_be_of_is_no_design() {
        let found = |model| {
            let design = x86("GenuineIntel", 6, model, 1).unwrap();
            with_features(design, &["avx2".into(), "amx_tile".into()])
        };
        assert_eq!(found(0x8f).unwrap().key, "sapphire-rapids");
        let why = found(0xa7).unwrap_err();
        assert!(why.contains("Rocket Lake, which has no amx_tile"), "{why}");
        let rocket_lake = x86("GenuineIntel", 6, 0xa7, 1).unwrap();
        assert_eq!(with_features(rocket_lake.clone(), &["avx2".into()]), Ok(rocket_lake));
    }

    #[test]
    fn amd_servers() {
        for (family, model, expected) in [
            (0x17, 0x01, "zen"),
            (0x17, 0x08, "zen-plus"),
            (0x17, 0x31, "zen2"),
            (0x17, 0x90, "zen2"),
            (0x19, 0x01, "zen3"),
            (0x19, 0x11, "zen4"),
            (0x19, 0x21, "zen3"),
            (0x19, 0x44, "zen3"),
            (0x19, 0x61, "zen4"),
            (0x19, 0xa0, "zen4c"),
            (0x1a, 0x02, "zen5"),
            (0x1a, 0x11, "zen5c"),
            (0x1a, 0x44, "zen5"),
        ] {
            assert_eq!(key("AuthenticAMD", family, model, 1), expected, "{family:x} {model:x}");
        }
    }

    #[test]
    fn one_intel_model_three_generations() {
        assert_eq!(key("GenuineIntel", 6, 0x55, 4), "skylake-sp");
        assert_eq!(key("GenuineIntel", 6, 0x55, 7), "cascade-lake");
        assert_eq!(key("GenuineIntel", 6, 0x55, 11), "cooper-lake");
    }

    #[test]
    fn intel_servers() {
        for (model, expected) in [
            (0x3f, "haswell-ep"),
            (0x6a, "ice-lake-sp"),
            (0x8f, "sapphire-rapids"),
            (0xcf, "emerald-rapids"),
            (0xad, "granite-rapids"),
            (0xaf, "sierra-forest"),
        ] {
            assert_eq!(key("GenuineIntel", 6, model, 2), expected);
        }
    }

    #[test]
    fn a_processor_that_is_not_in_the_table_says_its_numbers() {
        let reason = x86("AuthenticAMD", 0x1c, 0x51, 0).expect_err("from the future");
        assert!(reason.contains("family 1ch model 51h"), "{reason}");
        assert!(x86("GenuineIntel", 0x19, 0x11, 0).is_err(), "AMD's numbers on an Intel CPU");
    }

    #[test]
    fn midr_of_neoverse_n1() {
        let midr = Midr::from_register(0x413f_d0c1);
        assert_eq!((midr.implementer, midr.part), (0x41, 0xd0c));
        assert_eq!((midr.variant, midr.revision), (3, 1));
        assert_eq!(midr.vendor(), Ok("Arm".into()));
        assert_eq!(midr.design().map(|design| design.key), Ok("neoverse-n1".into()));
        assert!(Midr { part: 0xfff, ..midr }.design().is_err_and(|e| e.contains("part fffh")));
    }

    #[test]
    fn keys_are_lower_case_words() {
        let keys = X86_DESIGNS.iter().map(|d| d.key).chain(ARM_DESIGNS.iter().map(|d| d.2));
        let keys = keys.chain(ECONOMICAL.iter().map(|d| d.1));
        for key in keys {
            assert!(
                key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{key}"
            );
        }
    }

    #[test]
    fn no_line_of_the_table_is_out_of_reach() {
        for design in X86_DESIGNS {
            let mut models = design.models.0..=design.models.1.min(0xff);
            let reached = models.any(|model| {
                let found = x86(design.vendor, design.family, model, design.steppings.0);
                found.is_ok_and(|found| found.name == design.name)
            });
            assert!(reached, "{}", design.name);
        }
    }
}
