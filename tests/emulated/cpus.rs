//! CPUs that few machines have so.

use std::collections::BTreeSet;

use card::file::{Card, EndState};
use card::record::Backing;

use super::{AARCH64, Architecture, Machine, explained, undisturbed, visit};

/// As Asahi and the Raspberry Pi 5 have it, and two kinds of core by what the scheduler is told.
const PAGES_OF_16_KIB: Machine = Machine {
    name: "pages of 16 KiB and two kinds of core",
    architecture: Architecture { kernel: "kernel-16k", ..AARCH64 },
    hardware: "-cpu neoverse-n1 -smp 4 -m 1024 -dtb kinds.dtb",
    kernel: "",
    arguments: "doctor , \
                first-round run --tier quick --budget 60s --only memory-latency --only tlb --only os",
};

/// The values of a parameter at the points of a probe.
fn settings(card: &Card, probe: &str, name: &str) -> BTreeSet<String> {
    let points = card.points.iter().filter(|p| p.probe == probe);
    points.filter_map(|p| p.params.get(name).map(ToString::to_string)).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

pub(super) fn pages_of_16_kib_and_two_kinds_of_core_are_told_and_measured() {
    let [doctor, run] = &visit(&PAGES_OF_16_KIB)[..] else { panic!("a doctor and a run") };
    let card = undisturbed(run, EndState::Interrupted);
    let machine = &card.header.machine;
    explained(&card);

    assert_eq!(machine.memory.page_sizes(), [16 << 10, 32 << 20]);
    let declared: BTreeSet<&str> =
        card.header.declarations.iter().flat_map(|d| &d.metrics).map(|m| m.id.as_ref()).collect();
    for id in ["memory.latency.dram_16k_ns", "os.page_fault_16k_ns", "os.page_fault_32m_ns"] {
        assert!(declared.contains(id), "{id}: {declared:?}");
    }
    for other in ["dram_4k", "page_fault_4k", "page_fault_2m"] {
        assert!(!declared.iter().any(|id| id.contains(other)), "{other}: {declared:?}");
    }
    let variants = settings(&card, "memory-latency", "variant");
    let known = set(["random_16k", "random_32m", "page_local", "sequential", "16k", "32m"]);
    assert!(variants.is_subset(&known), "{variants:?}");
    assert!(variants.contains("random_16k") && variants.contains("random_32m"), "{variants:?}");
    let tlb = settings(&card, "tlb", "variant");
    assert_eq!(tlb, set(["16k", "16k_in_order", "16k_control", "32m"]));
    // What was asked for is what was had: no huge page among the small ones, and whole huge ones.
    for point in card.points.iter().filter(|p| ["memory-latency", "tlb"].contains(&&*p.probe)) {
        assert_eq!(point.backing, Backing::AsAsked, "{point:?}");
    }

    let kinds: Vec<(&str, &[usize])> =
        machine.kinds().iter().map(|kind| (kind.name.as_str(), kind.cpus.as_slice())).collect();
    let [fast, slow] =
        [("Neoverse N1 with capacity 1024", &[2, 3]), ("Neoverse N1 with capacity 512", &[0, 1])];
    assert_eq!(kinds, [(fast.0, &fast.1[..]), (slow.0, &slow.1[..])]);
    // Which one was measured is in the plan, and the facts are those of that CPU.
    let plan = &card.header.plan;
    assert!(fast.1.contains(&plan.cpu) && machine.cpu.number == plan.cpu, "{plan:?}");
    let said = format!("the most capable kind ({}, one of 2 kinds of core)", fast.0);
    assert!(plan.cpu_reason.contains(&said), "{}", plan.cpu_reason);

    let doctor = doctor.words();
    for said in [
        "pages of 16 KiB",
        "in pages of 32 MiB",
        "Arm (2 × Neoverse N1 with capacity 1024 + 2 × Neoverse N1 with capacity 512), 4 CPUs",
    ] {
        assert!(doctor.contains(said), "{said}: {doctor}");
    }
}
