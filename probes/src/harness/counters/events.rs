//! What counters are asked, by purpose, and how the CPU at hand calls it.
//!
//! Events that every kernel knows by a name of its own are asked by that name. What they stand for
//! differs between vendors beyond the first few (a "dTLB read miss" is a page walk on some), so the
//! files in `probes/events/` say it for each design, with their source; a user can add one for a
//! CPU that they do not know.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use card::counters::{Encoding, Event, Wanted};
use card::machine::Machine;
use serde::Deserialize;

/// Kinds of event that the kernel has names for.
const HARDWARE: u32 = 0;
const SOFTWARE: u32 = 1;
const CACHE: u32 = 3;

/// By the kernel's own name, where it means the same on every CPU.
fn generic(event: Event) -> Option<Encoding> {
    const L1D_READ_MISS: u64 = 1 << 16;
    let (kind, config) = match event {
        Event::CoreCycles => (HARDWARE, 0),
        Event::Instructions => (HARDWARE, 1),
        Event::Branches => (HARDWARE, 4),
        Event::Mispredicts => (HARDWARE, 5),
        Event::L1dMisses => (CACHE, L1D_READ_MISS),
        Event::ContextSwitches => (SOFTWARE, 3),
        Event::Migrations => (SOFTWARE, 4),
        Event::Faults => (SOFTWARE, 2),
        _ => return None,
    };
    Some(Encoding { kind, config })
}

/// Of the kernel's devices the one that takes the core's own numbers, as in `perf stat -e r01b7`.
const RAW: u32 = 4;

/// The same event of one kind of core: the kernel's own names mean the first kind, unless the number
/// of another kind's counters stands above them, and a core's own numbers are asked of its counters.
fn of_kind(encoding: Encoding, pmu: u32) -> Encoding {
    match encoding {
        Encoding { kind: HARDWARE | CACHE, config } => {
            Encoding { config: u64::from(pmu) << 32 | config, ..encoding }
        }
        Encoding { kind: RAW, .. } => Encoding { kind: pmu, ..encoding },
        of_kernel => of_kernel,
    }
}

/// A file that says how one or several designs call their events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventFile {
    /// The designs by the keys that `probecard doctor --json` prints (`microarchitecture.key`); a
    /// file given on the command line holds for the machine at hand whatever it says here.
    #[serde(default)]
    pub designs: Vec<String>,
    /// Where the numbers are from.
    pub source: String,
    /// Slots that a core can fill in a cycle, for the top-down shares.
    pub slots_per_cycle: Option<u32>,
    /// By purpose.
    pub events: BTreeMap<Event, RawEvent>,
}

/// One event of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEvent {
    /// Number as the kernel takes it: on x86 the unit mask above eight bits of event, on Arm the
    /// event alone.
    pub raw: u64,
    /// The vendor's name.
    pub name: String,
}

macro_rules! files {
    ($($name:literal)+) => {
        &[$(($name, include_str!(concat!("../../../events/", $name, ".toml")))),+]
    };
}

/// The files that are built in.
const BUILT_IN: &[(&str, &str)] = files! {
    "ice-lake-sp"
    "neoverse-n1"
    "neoverse-n2"
    "neoverse-v1"
    "neoverse-v2"
    "sapphire-rapids"
    "skylake-sp"
    "zen2"
    "zen3"
    "zen4"
    "zen5"
};

impl EventFile {
    /// A file of the user's.
    ///
    /// # Errors
    ///
    /// That the file cannot be read, or what in it is no file of events.
    pub fn read(path: &Path) -> anyhow::Result<EventFile> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the events in {}", path.display()))?;
        toml::from_str(&text).with_context(|| {
            format!("{} is no file of events; probes/events/ has examples", path.display())
        })
    }

    /// The built-in file for a machine's design.
    pub fn of(machine: &Machine) -> Option<EventFile> {
        let key = &machine.cpu.microarchitecture.known()?.key;
        built_in().map(|(_, file)| file).find(|file| file.designs.contains(key))
    }
}

fn built_in() -> impl Iterator<Item = (&'static str, EventFile)> {
    BUILT_IN.iter().filter_map(|(name, text)| Some((*name, toml::from_str(text).ok()?)))
}

/// What to ask for, in the order of [`Event::ALL`]: as the file says, else by the kernel's name; of
/// the counters with that number, where each kind of core has its own.
pub fn wanted(file: Option<&EventFile>, pmu: Option<u32>) -> Vec<Wanted> {
    let ask = |event: Event| {
        let special = file.and_then(|file| file.events.get(&event));
        match special {
            Some(RawEvent { raw, name }) => {
                let (name, encoding) = (name.clone(), Encoding { kind: RAW, config: *raw });
                Some(Wanted { event, name, encoding, in_kernel: false })
            }
            None => {
                let name = format!("the kernel's {}", event.title());
                let in_kernel = matches!(event, Event::ContextSwitches | Event::Migrations);
                generic(event).map(|encoding| Wanted { event, name, encoding, in_kernel })
            }
        }
    };
    let own = |encoding| pmu.map_or(encoding, |pmu| of_kind(encoding, pmu));
    let asked = Event::ALL.into_iter().filter_map(ask);
    asked.map(|wanted| Wanted { encoding: own(wanted.encoding), ..wanted }).collect()
}

/// Core cycles by the register that hypervisors sometimes offer without a PMU, from this folder of
/// sysfs.
pub fn aperf(device: &Path) -> Option<Wanted> {
    let read = |name: &str| std::fs::read_to_string(device.join(name)).ok();
    let kind = read("type")?.trim().parse().ok()?;
    let event = read("events/aperf")?;
    let config = u64::from_str_radix(event.trim().strip_prefix("event=0x")?, 16).ok()?;
    Some(Wanted {
        event: Event::CoreCycles,
        name: "msr/aperf/".into(),
        encoding: Encoding { kind, config },
        in_kernel: true,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_built_in_file_is_sound_and_no_design_has_two() {
        let mut seen = BTreeSet::new();
        for (name, text) in BUILT_IN {
            let file: EventFile = toml::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(file.source.contains("://"), "{name} names its source");
            assert!(!file.designs.is_empty() && !file.events.is_empty(), "{name}");
            for design in &file.designs {
                assert!(seen.insert(design.clone()), "{design} twice");
            }
            let codes: BTreeSet<u64> = file.events.values().map(|e| e.raw).collect();
            assert_eq!(codes.len(), file.events.len(), "{name}: one number for two purposes");
            assert!(file.events.keys().all(|event| !event.is_software()), "{name}");
        }
    }

    #[test]
    fn a_file_overrules_the_kernels_names_and_adds_what_they_lack() {
        let text = "source = \"https://example.com\"\nslots_per_cycle = 6\n[events]\n\
                    llc_misses = { raw = 0x4843, name = \"fills from memory\" }\n\
                    l1d_misses = { raw = 0x1ff43, name = \"fills\" }\n";
        let file: EventFile = toml::from_str(text).unwrap();
        let wanted = wanted(Some(&file), None);
        let of = |event| wanted.iter().find(|w| w.event == event);
        assert_eq!(of(Event::LlcMisses).unwrap().encoding, Encoding { kind: 4, config: 0x4843 });
        assert_eq!(of(Event::L1dMisses).unwrap().name, "fills");
        assert_eq!(of(Event::Instructions).unwrap().encoding, Encoding { kind: 0, config: 1 });
        assert!(of(Event::RemoteFills).is_none());
        assert!(toml::from_str::<EventFile>("source = \"x\"\n[events]\nmisses = 3\n").is_err());
    }

    #[test]
    fn every_kind_of_core_is_asked_by_its_own_counters() {
        let text = "source = \"x\"\n[events]\nllc_misses = { raw = 0x4843, name = \"fills\" }\n";
        let file: EventFile = toml::from_str(text).unwrap();
        let wanted = wanted(Some(&file), Some(10));
        let of = |event| wanted.iter().find(|w| w.event == event).map(|w| w.encoding);
        let encoding = |kind, config| Some(Encoding { kind, config });
        assert_eq!(of(Event::Instructions), encoding(0, 10 << 32 | 1));
        assert_eq!(of(Event::L1dMisses), encoding(3, 10 << 32 | 1 << 16));
        assert_eq!(of(Event::LlcMisses), encoding(10, 0x4843));
        assert_eq!(of(Event::Faults), encoding(1, 2), "the kernel counts it, not a core");
    }

    #[test]
    fn the_register_without_a_pmu_is_found_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(aperf(dir.path()), None);
        std::fs::create_dir(dir.path().join("events")).unwrap();
        put("type", "9\n");
        put("events/tsc", "event=0x00\n");
        assert_eq!(aperf(dir.path()), None);
        put("events/aperf", "event=0x01\n");
        let found = aperf(dir.path()).unwrap();
        assert_eq!(found.encoding, Encoding { kind: 9, config: 1 });
        assert!(found.in_kernel);
    }

    #[test]
    fn purposes_are_written_as_they_are_read() {
        for event in Event::ALL {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }
}
