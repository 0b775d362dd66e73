//! Counters that are known exactly. With `-icount shift=0` QEMU's PMU counts each instruction once
//! and a cycle for each; with `shift=1` two cycles. Events that it does not know open and stay 0.

use std::collections::BTreeSet;

use card::counters::{Event, Missing};
use card::file::Card;
use card::metrics::proofs;
use card::record::{Param, Point};
use probecard_probes::kernel::{chain, chase};

use super::{AARCH64, Machine, boot};

const CHAINS: &str = "run --only clock --tier quick --budget 30s";

const EXACT: Machine = Machine {
    name: "one instruction a cycle",
    architecture: AARCH64,
    hardware: "-cpu neoverse-n1 -icount shift=0 -smp 1 -m 512",
    kernel: "",
    arguments: "first-round run --only clock --only cache-line --tier quick --budget 30s",
};

const HALVED: Machine = Machine {
    name: "two cycles an instruction",
    architecture: AARCH64,
    hardware: "-cpu neoverse-n1 -icount shift=1 -smp 1 -m 512",
    kernel: "",
    arguments: CHAINS,
};

const FOUR: Machine = Machine {
    name: "one instruction a cycle, four CPUs",
    architecture: AARCH64,
    hardware: "-cpu neoverse-n1 -icount shift=0 -smp 4 -m 512",
    kernel: "",
    arguments: CHAINS,
};

const OLDER: Machine = Machine {
    name: "Cortex-A57",
    architecture: AARCH64,
    hardware: "-cpu cortex-a57 -icount shift=0 -smp 1 -m 512",
    kernel: "",
    arguments: CHAINS,
};

const WITHOUT: Machine = Machine {
    name: "no PMU",
    architecture: AARCH64,
    hardware: "-cpu neoverse-n1,pmu=off -smp 1 -m 512",
    kernel: "",
    arguments: CHAINS,
};

const FORBIDDEN: Machine = Machine {
    name: "a plain user",
    architecture: AARCH64,
    hardware: "-cpu neoverse-n1 -icount shift=0 -smp 1 -m 512",
    kernel: "",
    arguments: "plain-user run --only clock --tier quick --budget 30s",
};

/// The points of a quantity with this value of a parameter.
fn points<'a>(card: &'a Card, quantity: &str, name: &str, value: &str) -> Vec<&'a Point> {
    let is = |p: &&Point| {
        p.quantity == quantity && p.params.get(name).is_some_and(|v| v.to_string() == value)
    };
    let found: Vec<&Point> = card.points.iter().filter(is).collect();
    assert!(!found.is_empty(), "{quantity} with {name} {value}");
    found
}

fn count(point: &Point, event: Event) -> u64 {
    let count = point.counts.get(&event);
    *count.unwrap_or_else(|| panic!("{event:?} of {point:?}"))
}

/// Instructions that are not the kernel's: the same for every sample of it, and few.
fn around<'a>(points: impl IntoIterator<Item = &'a Point>, kernel: impl Fn(u64) -> u64) -> u64 {
    let rest: BTreeSet<u64> = points
        .into_iter()
        .map(|p| count(p, Event::Instructions).checked_sub(kernel(p.ops)).unwrap())
        .collect();
    println!("instructions around the kernel: {rest:?}");
    assert!(rest.len() == 1, "not always the same: {rest:?}");
    let rest = rest.into_iter().next().unwrap();
    assert!(rest < 1000, "{rest}");
    rest
}

fn missing(card: &Card, event: Event) -> &Missing {
    let found = card.header.counters.missing.iter().find(|m| m.event == event);
    found.unwrap_or_else(|| panic!("{event:?} is counted: {:?}", card.header.counters))
}

/// Each addition and multiplication of the two chains was counted, and nothing else but what is
/// around every sample; each cycle, too.
fn counts_chains_exactly(card: &Card) {
    let of = |op| points(card, "counted", "op", op);
    let additions = around(of("add"), chain::instructions);
    assert_eq!(around(of("mul"), chain::instructions), additions);
    let trial = card.header.counters.self_test.unwrap();
    assert_eq!(trial.instructions, chain::instructions(trial.additions));
    assert!(
        (trial.instructions..trial.instructions + 1000)
            .contains(&trial.instructions_counted.unwrap())
    );
    assert_eq!(trial.cycles_counted, trial.instructions_counted);
    let counted = card.points.iter().filter(|p| p.counts.contains_key(&Event::CoreCycles));
    for point in counted {
        assert_eq!(count(point, Event::CoreCycles), count(point, Event::Instructions), "{point:?}");
    }
}

pub(super) fn every_instruction_and_every_cycle_is_counted_once() {
    let card = boot(&EXACT);
    counts_chains_exactly(&card);
    // A chase is a load for each operation, and what closes a block, across lines or not.
    let counted = |p: &&Point| p.quantity == "split_load" && !p.counts.is_empty();
    let chases: Vec<&Point> = card.points.iter().filter(counted).collect();
    assert!(chases.len() > 50, "{} of them undisturbed", chases.len());
    around(chases, |loads| loads.div_ceil(chase::BLOCK) * (chase::BLOCK + 2));

    // What can be decided there is decided, and holds.
    let decided: Vec<proofs::Verdict> =
        card.header.declarations.iter().flat_map(|d| proofs::verdicts(&card, d)).collect();
    assert!(decided.len() >= 3, "{decided:?}");
    for verdict in decided {
        println!("{}", verdict.text());
        assert!(verdict.holds(), "{}", verdict.text());
    }

    // The PMU opens every event that the design has, and counts few of them.
    for event in [Event::Mispredicts, Event::L1dMisses, Event::DtlbWalks, Event::BackendSlots] {
        let reason = &missing(&card, event).reason;
        assert!(reason.contains("opens but stays 0 during"), "{event:?}: {reason}");
        assert!(card.points.iter().all(|p| !p.counts.contains_key(&event)));
    }
}

pub(super) fn cycles_that_are_not_those_of_the_chain_are_not_used() {
    let card = boot(&HALVED);
    let trial = card.header.counters.self_test.unwrap();
    let counted = trial.instructions_counted.unwrap();
    assert!((trial.instructions..trial.instructions + 1000).contains(&counted), "{trial:?}");
    assert_eq!(trial.cycles_counted.unwrap().div_ceil(2), counted, "{trial:?}");
    let reason = &missing(&card, Event::CoreCycles).reason;
    assert!(reason.contains("core cycles where 1000192 are known"), "{reason}");
    // Instructions are right, and are used.
    around(points(&card, "counted", "op", "add"), chain::instructions);
}

pub(super) fn four_cpus_count_as_one_does() {
    let card = boot(&FOUR);
    assert_eq!(card.header.machine.allowed_cpus(), [0, 1, 2, 3]);
    counts_chains_exactly(&card);
}

pub(super) fn a_design_without_a_file_is_counted_by_the_kernels_names() {
    let card = boot(&OLDER);
    counts_chains_exactly(&card);
    let missing = missing(&card, Event::BackendSlots);
    assert!(missing.inherent && missing.remedy.contains("--events"), "{missing:?}");
}

pub(super) fn without_a_pmu_the_card_says_so_and_has_everything_else() {
    let card = boot(&WITHOUT);
    let reason = &missing(&card, Event::Instructions).reason;
    assert!(reason.contains("no core PMU"), "{reason}");
    assert_eq!(card.header.counters.self_test, None);
    assert!(card.points.iter().all(|p| p.counts.keys().all(|event| event.is_software())));
    assert!(card.points.iter().any(|p| p.params.get("op") == Some(&Param::from("add"))));
}

pub(super) fn a_plain_user_is_told_which_level_forbids_counting() {
    let card = boot(&FORBIDDEN);
    let missing = missing(&card, Event::Instructions);
    assert!(missing.reason.contains("perf_event_paranoid is 3"), "{missing:?}");
    assert!(missing.remedy.contains("kernel.perf_event_paranoid=2"), "{missing:?}");
}
