//! CPUs that few machines have so: of two kinds with larger pages, very many, isolated, switched off
//! while a run is going on.

use std::collections::BTreeSet;

use card::file::{Card, EndState};
use card::findings::Finding;
use card::machine::Fact;
use card::metrics::State;
use card::record::{Backing, FailKind, Param, Point, Skip};
use card::summary::Summary;
use probecard::report::plots;

use super::{AARCH64, Architecture, Machine, Said, X86_64, explained, undisturbed, visit};

/// As Asahi and the Raspberry Pi 5 have it, and two kinds of core by what the scheduler is told.
const PAGES_OF_16_KIB: Machine = Machine {
    name: "pages of 16 KiB and two kinds of core",
    architecture: Architecture { kernel: "kernel-16k", ..AARCH64 },
    hardware: "-cpu neoverse-n1 -smp 4 -m 1024 -dtb kinds.dtb",
    kernel: "",
    arguments: "doctor , \
                first-round run --tier quick --budget 60s --only memory-latency --only tlb --only os",
};

/// Sixteen cores of two threads on two sockets, each a node: more than the host has by far.
const THIRTY_TWO: Machine = Machine {
    name: "32 CPUs on two sockets",
    architecture: X86_64,
    hardware: "-cpu max,vendor=GenuineIntel -smp 32,sockets=2,cores=8,threads=2 -m 2048 \
               -object memory-backend-ram,id=m0,size=1024M \
               -object memory-backend-ram,id=m1,size=1024M \
               -numa node,nodeid=0,cpus=0-15,memdev=m0 -numa node,nodeid=1,cpus=16-31,memdev=m1 \
               -numa dist,src=0,dst=1,val=21",
    kernel: "",
    arguments: "run --tier quick --budget 45s --only core-to-core --only false-sharing",
};

/// Every other CPU is isolated, and one of them without a tick.
const ISOLATED: Machine = Machine {
    name: "isolated CPUs",
    architecture: X86_64,
    hardware: "-cpu max -smp 4 -m 512",
    kernel: "isolcpus=1,3 nohz_full=3",
    arguments: "doctor , \
                first-round run --tier quick --budget 25s --only core-to-core --only scaling , \
                mask=0,1,2,3 first-round run --cpu 3 --tier quick --budget 15s --only scaling",
};

/// One CPU of three is off at first. Nothing holds a real-time class back that does not sleep.
const COMING_AND_GOING: Machine = Machine {
    name: "CPUs that come and go",
    architecture: X86_64,
    hardware: "-cpu max -smp 3 -m 512",
    kernel: "maxcpus=2 sysctl.kernel.sched_rt_runtime_us=-1",
    arguments: "real-time doctor , \
                real-time first-round run --tier quick --budget 20s --only locks , \
                on=2 off=1 run --cpu 1 --tier quick --budget 30s --only clock --only core-to-core",
};

/// The values of a parameter at the points of a probe.
fn settings(card: &Card, probe: &str, name: &str) -> BTreeSet<String> {
    let points = card.points.iter().filter(|p| p.probe == probe);
    points.filter_map(|p| p.params.get(name).map(ToString::to_string)).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn says(findings: &[Finding], what: &str) -> bool {
    findings.iter().any(|finding| finding.text().contains(what))
}

/// The CPUs between which a line was handed over.
fn met(card: &Card) -> BTreeSet<String> {
    let mut met = settings(card, "core-to-core", "from");
    let to = settings(card, "core-to-core", "to");
    met.extend(to.iter().flat_map(|to| to.split(',').map(str::to_owned)));
    met
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

pub(super) fn of_32_cpus_all_are_told_and_a_run_keeps_its_time() {
    let [run] = &visit(&THIRTY_TWO)[..] else { panic!("a run") };
    let card = run.card();
    let machine = &card.header.machine;
    let wrong = card.fails.iter().find(|fail| fail.cause == FailKind::Corruption);
    assert_eq!(wrong, None);
    assert!(card.is_complete());
    let (took, budget) = (card.end.as_ref().unwrap().wall_s, card.header.plan.budget_s);
    println!("{}: {took:.1} s of {budget} s", THIRTY_TWO.name);
    assert!(took <= 1.1 * budget, "{took} s of {budget} s");

    assert_eq!(machine.allowed_cpus().len(), 32);
    let cores = machine.topology.cores.known().unwrap();
    assert_eq!((cores.len(), machine.threads_per_core()), (16, Some(2)));
    let packages = machine.topology.packages.known().unwrap();
    assert_eq!(packages, &[(0..16).collect::<Vec<_>>(), (16..32).collect()]);
    let nodes = machine.numa_nodes();
    let distances: Vec<_> = nodes.iter().filter_map(|n| n.distances.known()).collect();
    assert_eq!(distances, [&vec![10, 21], &vec![21, 10]]);
    assert_eq!(nodes.iter().map(|n| n.cpus().len()).collect::<Vec<_>>(), [16, 16]);
    explained(&card);

    // Threads that share the host's CPUs see steps anywhere: only where a line may end are they one.
    let summary = Summary::of(card);
    let step = summary.metrics.get("false_sharing.step_bytes").unwrap();
    println!("{}: {step:?}", THIRTY_TWO.name);
    let line = summary.card.header.machine.claimed_line_bytes().unwrap() as f64;
    assert!(step.value.is_none_or(|bytes| bytes % line == 0.0 || bytes == 32.0), "{step:?}");
    if step.value.is_none() {
        assert!([State::Inconsistent, State::Unavailable].contains(&step.state), "{step:?}");
        assert!(!says(&summary.findings, "pad per-thread data"));
    }

    // Of 496 pairs there is time for few, and the picture is of those.
    let visited: BTreeSet<(String, String)> = pairs(&summary.card);
    println!("{}: {} pairs visited", THIRTY_TWO.name, visited.len());
    if !visited.is_empty() {
        let pictures = plots::all(&summary);
        let picture = pictures.iter().find(|p| p.name == "core_to_core").unwrap();
        let said = format!("{} of 496 pairs visited", visited.len());
        assert!(visited.len() == 496 || picture.svg.contains(&said), "{said}");
    }
}

/// The pairs between which a line was handed over, the lower number first.
fn pairs(card: &Card) -> BTreeSet<(String, String)> {
    let one_way = |p: &&Point| p.probe == "core-to-core" && p.quantity == "one_way";
    let both = card.points.iter().filter(one_way).flat_map(|p| {
        let (from, to) = (p.params["from"].to_string(), p.params["to"].to_string());
        let to: Vec<String> = to.split(',').map(str::to_owned).collect();
        to.into_iter().take(p.samples.len()).map(move |to| (from.clone(), to))
    });
    let number = |cpu: &str| cpu.parse::<usize>().unwrap();
    both.map(|(a, b)| if number(&a) < number(&b) { (a, b) } else { (b, a) }).collect()
}

pub(super) fn isolated_cpus_are_left_alone_unless_they_are_asked_for() {
    let [doctor, run, asked] = &visit(&ISOLATED)[..] else { panic!("a doctor and two runs") };
    let doctor = doctor.words();
    for said in ["2 of 4 CPUs", "isolated 1,3"] {
        assert!(doctor.contains(said), "{said}: {doctor}");
    }
    // The kernel leaves them out of the mask that processes begin with.
    let card = undisturbed(run, EndState::Interrupted);
    let machine = &card.header.machine;
    assert_eq!(machine.topology.isolated, Fact::Known(vec![1, 3]));
    assert_eq!(machine.allowed_cpus(), [0, 2]);
    assert!([0, 2].contains(&card.header.plan.cpu), "{:?}", card.header.plan);
    assert_eq!(met(&card), set(["0", "2"]));
    assert!(card.points.iter().all(|p| p.note.as_ref().is_none_or(|n| !n.contains("isolated"))));

    // Who may use them can measure on them, and is told that the scheduler leaves threads there.
    let card = undisturbed(asked, EndState::Interrupted);
    let (plan, machine) = (&card.header.plan, &card.header.machine);
    assert_eq!((plan.cpu, plan.pinned, machine.allowed_cpus()), (3, true, &[0, 1, 2, 3][..]));
    let full = |p: &&Point| p.params.get("at") == Some(&Param::from("full"));
    let notes: Vec<Option<&str>> =
        card.points.iter().filter(full).map(|p| p.note.as_deref()).collect();
    let said = "some of the CPUs are isolated (1,3): the scheduler leaves threads there";
    assert!(!notes.is_empty());
    assert!(notes.iter().all(|note| note.is_some_and(|n| n.starts_with(said))), "{notes:?}");
}

pub(super) fn cpus_may_come_and_go_and_a_real_time_class_is_left() {
    let [doctor, real_time, going] = &visit(&COMING_AND_GOING)[..] else { panic!("three") };
    // A CPU that is there and off is none.
    let words = doctor.words();
    let class = "started under SCHED_FIFO; a run measures under SCHED_OTHER";
    for said in ["Topology 2 CPUs ·", "2 CPUs allowed, 2 tried and could be pinned to", class] {
        assert!(words.contains(said), "{said}: {words}");
    }

    // Threads that spin in a real-time class would keep the ones that they wait for from their CPUs.
    let card = undisturbed(real_time, EndState::Interrupted);
    assert_eq!(card.header.machine.allowed_cpus(), [0, 1]);
    assert_eq!(card.header.machine.topology.possible, Fact::Known(3));
    assert_eq!(card.header.plan.left_class.as_deref(), Some("SCHED_FIFO"));
    assert!(!settings(&card, "locks", "threads").is_empty());
    assert!(says(&Summary::of(card).findings, "started under SCHED_FIFO and measured under"));

    gone(going);
}

/// The CPU that is measured was switched off: what there was before stays, and what cannot be
/// measured any more says so.
fn gone(run: &Said) {
    let card = run.card();
    assert_eq!(card.header.machine.allowed_cpus(), [0, 1, 2]);
    assert_eq!((card.header.plan.cpu, card.is_complete()), (1, true));
    for probe in ["clock", "core-to-core"] {
        assert!((0..3).all(|round| card.has_round(probe, round)), "{probe}: {:?}", card.rounds);
        let first = |p: &Point| p.probe == probe && p.round == 0;
        assert!(card.points.iter().any(first), "{probe}");
    }
    let fails: Vec<_> = card.fails.iter().map(|fail| (fail.round, fail.how.as_str())).collect();
    println!("{}: {fails:?}", COMING_AND_GOING.name);
    let why = "not pinned to CPU 1 as planned: sched_setaffinity: Invalid argument";
    let gone: Vec<u32> = fails.iter().filter(|f| f.1.starts_with(why)).map(|f| f.0).collect();
    assert!(!gone.is_empty() && gone.iter().all(|&round| round > 0), "{fails:?}");
    // Not that pinning has no effect, as some sandboxes have it.
    let said =
        |skip: &Skip| skip.reason.contains("without effect") || skip.reason.contains("no effect");
    assert!(!card.skips.iter().any(said), "{:?}", card.skips);
    assert!(says(&Summary::of(card).findings, why));
}
