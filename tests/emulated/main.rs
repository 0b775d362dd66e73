//! The real program on machines that no one has at hand, emulated in software. Times mean nothing
//! there; what is claimed, placed, labelled and left out does. `tests/emulated/run.sh` prepares a
//! kernel and a static program for them and runs these tests.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod counting;
mod cpus;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use card::estimate::median;
use card::file::{Card, EndState};
use card::metrics::{self, Metrics};
use card::record::{Param, Point};
use libtest_mimic::{Arguments, Trial};

/// The folder that `run.sh` prepared.
const PREPARED: &str = "PROBECARD_EMULATED";

/// Tests with their names.
macro_rules! tests {
    ($($test:path,)+) => {
        vec![$(Trial::test(stringify!($test), || {
            $test();
            Ok(())
        }),)+]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if std::env::var_os(PREPARED).is_none() {
        println!("emulated machines: not booted; tests/emulated/run.sh prepares and boots them");
        return ExitCode::SUCCESS;
    }
    let tests = tests![
        two_nodes_give_a_matrix_of_two_by_two,
        a_node_without_cpus_is_read_from_the_other,
        a_node_without_memory_reads_the_other,
        without_a_claimed_l3_nothing_is_made_of_it,
        a_small_machine_that_claims_no_cache_is_measured_up_to_its_memory,
        hyperthreads_are_told_from_cores_and_a_slow_clock_is_named,
        one_arm_core_runs_every_probe_or_says_why_not,
        four_arm_cores_run_every_probe_but_those_for_a_disk,
        vectors_of_the_processors_length_are_measured_beside_those_of_128_bits,
        counting::every_instruction_and_every_cycle_is_counted_once,
        counting::cycles_that_are_not_those_of_the_chain_are_not_used,
        counting::four_cpus_count_as_one_does,
        counting::a_design_without_a_file_is_counted_by_the_kernels_names,
        counting::without_a_pmu_the_card_says_so_and_has_everything_else,
        counting::a_plain_user_is_told_which_level_forbids_counting,
        cpus::pages_of_16_kib_and_two_kinds_of_core_are_told_and_measured,
        cpus::of_32_cpus_all_are_told_and_a_run_keeps_its_time,
        cpus::isolated_cpus_are_left_alone_unless_they_are_asked_for,
        cpus::cpus_may_come_and_go_and_a_real_time_class_is_left,
    ];
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// What runs a machine's instructions.
struct Architecture {
    /// Folder of the kernel and the file system.
    folder: &'static str,
    kernel: &'static str,
    qemu: &'static [&'static str],
    console: &'static str,
}

const X86_64: Architecture = Architecture {
    folder: "x86_64",
    kernel: "kernel",
    qemu: &["qemu-system-x86_64", "-accel", "tcg"],
    console: "ttyS0",
};

const AARCH64: Architecture = Architecture {
    folder: "aarch64",
    kernel: "kernel",
    qemu: &["qemu-system-aarch64", "-accel", "tcg", "-M", "virt"],
    console: "ttyAMA0",
};

/// A machine to boot.
struct Machine {
    name: &'static str,
    architecture: Architecture,
    /// What QEMU is told of the hardware.
    hardware: &'static str,
    /// What the kernel is told.
    kernel: &'static str,
    /// What the program is told to do there, each with words of `emulated-init` before it and a comma
    /// in between. Time passes slowly, and what a budget has no time for is a failed round.
    arguments: &'static str,
}

const NUMA: &str = "run --only numa --tier quick --budget 45s";

const TWO_NODES: Machine = Machine {
    name: "two nodes",
    architecture: X86_64,
    hardware: "-cpu max -smp 4,sockets=2 -m 1024 \
               -object memory-backend-ram,id=m0,size=512M -object memory-backend-ram,id=m1,size=512M \
               -numa node,nodeid=0,cpus=0-1,memdev=m0 -numa node,nodeid=1,cpus=2-3,memdev=m1 \
               -numa dist,src=0,dst=1,val=21",
    kernel: "",
    arguments: NUMA,
};

const NODE_WITHOUT_CPUS: Machine = Machine {
    name: "a node without CPUs",
    architecture: X86_64,
    hardware: "-cpu max -smp 2 -m 1024 \
               -object memory-backend-ram,id=m0,size=512M -object memory-backend-ram,id=m1,size=512M \
               -numa node,nodeid=0,cpus=0-1,memdev=m0 -numa node,nodeid=1,memdev=m1 \
               -numa dist,src=0,dst=1,val=17",
    kernel: "",
    arguments: NUMA,
};

const NODE_WITHOUT_MEMORY: Machine = Machine {
    name: "a node without memory",
    architecture: X86_64,
    hardware: "-cpu max -smp 4,sockets=2 -m 512 \
               -object memory-backend-ram,id=m0,size=512M \
               -numa node,nodeid=0,cpus=0-1,memdev=m0 -numa node,nodeid=1,cpus=2-3 \
               -numa dist,src=0,dst=1,val=21",
    kernel: "",
    arguments: NUMA,
};

/// One CPU, no AVX, no third level among its claims, and every page a huge one unless it is
/// asked for otherwise.
const BARE: Machine = Machine {
    name: "no L3",
    architecture: X86_64,
    hardware: "-cpu qemu64,l3-cache=off -smp 1 -m 768",
    kernel: "transparent_hugepage=always",
    arguments: "run --tier quick --budget 150s --only memory-* --only cache-structure --only tlb \
                --only loaded-latency",
};

/// One CPU without AVX that claims no cache at all, and less memory than any instance to be had.
const SMALL: Machine = Machine {
    name: "160 MB and no cache directory",
    architecture: X86_64,
    hardware: "-cpu qemu64,xlevel=0x80000004 -smp 1 -m 160",
    kernel: "",
    arguments: "run --tier quick --budget 60s --only clock --only simd-compute --only memory-latency",
};

/// Two cores of two threads each, which QEMU tells only of Intel, and a clock that is slow to read.
const THREADS: Machine = Machine {
    name: "hyperthreads and hpet",
    architecture: X86_64,
    hardware: "-cpu max,vendor=GenuineIntel -machine hpet=on \
               -smp 4,sockets=1,cores=2,threads=2 -m 512",
    kernel: "clocksource=hpet",
    arguments: "run --tier quick --budget 30s --only clock",
};

/// One core of another architecture, without a claimed cache and with too little memory for the
/// sizes that this asks for.
const NEOVERSE: Machine = Machine {
    name: "Neoverse N1",
    architecture: AARCH64,
    hardware: "-cpu neoverse-n1 -smp 1 -m 320",
    kernel: "",
    arguments: "first-round run --tier quick --budget 200s",
};

/// Four of them with caches, so that there are levels to measure and to go beyond.
const NEOVERSE_WITH_CACHES: Machine = Machine {
    name: "four Neoverse N1 with caches",
    architecture: AARCH64,
    hardware: "-cpu neoverse-n1 -smp 4 -m 512 -dtb caches.dtb",
    kernel: "",
    arguments: "first-round run --tier quick --budget 250s",
};

/// A core with all that QEMU knows, SVE of 256 bits among it, as a Neoverse V1 has it.
const WITH_SVE: Machine = Machine {
    name: "a core with SVE",
    architecture: AARCH64,
    hardware: "-cpu max,pauth-impdef=on,sve256=on,sve512=off -smp 1 -m 320",
    kernel: "",
    arguments: "first-round run --tier quick --budget 75s --only simd-* --only memory-bandwidth \
                --only clock",
};

/// A machine boots, measures and powers off in a quarter of a minute, or in two with all probes;
/// much more is a hang.
const TIME_LIMIT: &str = "400";

/// Under an emulator on a busy host, one kernel in many hangs before it has begun; its first process
/// says when it has.
const BEGINS: &str = "emulated-init begins";
const LONGEST_BOOT: Duration = Duration::from_secs(90);
const ATTEMPTS: usize = 3;

/// What a machine prints from its start to its end; `None` if it never came to its first process.
fn console(machine: &Machine) -> Option<String> {
    let folder = std::env::var_os(PREPARED).expect("a folder, or `main` ends");
    let Architecture { folder: name, kernel: image, qemu, console } = &machine.architecture;
    let folder = PathBuf::from(folder).join(name);
    let (kernel, arguments) = (machine.kernel, machine.arguments);
    let append = format!("console={console} quiet loglevel=0 panic=-1 {kernel} -- {arguments}");
    let mut emulator = Command::new("timeout")
        .arg(TIME_LIMIT)
        .args(*qemu)
        .current_dir(folder)
        .args(["-nographic", "-no-reboot", "-kernel", image, "-initrd", "initramfs"])
        .args(machine.hardware.split_whitespace())
        .args(["-append", &append])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(emulator.stdout.take().unwrap());
    let (say, said) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).replace('\r', "");
            if line.contains(BEGINS) {
                // Nobody listens any more once it has begun.
                let _ = say.send(());
            }
            all += &line;
            all.push('\n');
        }
        all
    });
    let begun = said.recv_timeout(LONGEST_BOOT).is_ok();
    if !begun {
        // As `timeout` passes it on to what it runs.
        let id = emulator.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
    }
    emulator.wait().unwrap();
    let all = reader.join().unwrap();
    if !begun {
        println!("{}: did not come to its first process:\n{all}", machine.name);
    }
    begun.then_some(all)
}

/// What came of one thing that the program was told to do: what it printed, or the card that it wrote.
struct Said(String);

/// Boots a machine and returns what came of each thing that the program was told to do.
fn visit(machine: &Machine) -> Vec<Said> {
    let console = (0..ATTEMPTS).find_map(|_| console(machine)).expect("a kernel that boots");
    let marked = console.split("-----BEGIN-----\n").skip(1);
    let said: Vec<Said> = marked
        .filter_map(|part| Some(Said(part.split_once("-----END-----")?.0.to_owned())))
        .collect();
    let asked = machine.arguments.split(" , ").count();
    assert_eq!(said.len(), asked, "{}: not all was done\n{console}", machine.name);
    said
}

impl Said {
    /// The card that a run wrote.
    fn card(&self) -> Card {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("emulated.card.jsonl");
        std::fs::write(&path, &self.0).unwrap();
        Card::read(&path).unwrap()
    }

    /// What it printed, one space between words, wherever lines end.
    fn words(&self) -> String {
        self.0.split_whitespace().collect::<Vec<&str>>().join(" ")
    }
}

/// Boots a machine for one run and returns its card.
fn boot(machine: &Machine) -> Card {
    let [said] = &visit(machine)[..] else { panic!("{}: one run", machine.name) };
    let end = if machine.arguments.starts_with("first-round") {
        EndState::Interrupted
    } else {
        EndState::Complete
    };
    undisturbed(said, end)
}

/// The card of a run that ended so. Every round that was begun came to its end.
fn undisturbed(said: &Said, end: EndState) -> Card {
    let card = said.card();
    // A wrong answer is a failure too.
    assert!(card.fails.is_empty(), "{:?}", card.fails);
    assert_eq!(card.end.as_ref().map(|end| end.state), Some(end));
    card
}

type Matrix = BTreeMap<(i64, i64), Vec<Point>>;

/// The points of a quantity by node of the CPU and of the memory, in print as well.
fn matrix(machine: &Machine, card: &Card, quantity: &str) -> Matrix {
    let mut matrix = Matrix::new();
    for point in card.points.iter().filter(|p| p.quantity == quantity) {
        let node = |name: &str| match point.params[name] {
            Param::Int(node) => node,
            Param::Text(_) => panic!("{name} is a number"),
        };
        matrix.entry((node("cpu_node"), node("memory_node"))).or_default().push(point.clone());
    }
    for ((cpus, memory), points) in &matrix {
        let samples: Vec<f64> = points.iter().flat_map(|p| p.samples.clone()).collect();
        let middle = median(&samples).expect("samples");
        println!(
            "{}: {quantity} from CPUs of node {cpus} to memory of node {memory}: {middle:.4} ns \
             ({} samples)",
            machine.name,
            samples.len()
        );
        for point in points {
            assert!(point.samples.iter().all(|s| s.is_finite() && *s > 0.0), "{point:?}");
            let alone = card.header.machine.numa_nodes()[*memory as usize].is_memory_only();
            let other = if alone { "memory_only" } else { "remote" };
            let place = if cpus == memory { "local" } else { other };
            assert_eq!(point.params["place"], Param::from(place));
            let note = point.note.as_deref().unwrap_or_default();
            assert!(!note.contains("unverified") && !note.contains("first touch"), "{note}");
        }
    }
    matrix
}

/// Boots, and checks that exactly these pairs of nodes were measured.
fn measured(machine: &Machine, pairs: &[(i64, i64)]) -> (Card, Metrics) {
    let card = boot(machine);
    for quantity in ["latency", "time_per_byte"] {
        let matrix = matrix(machine, &card, quantity);
        assert_eq!(matrix.keys().copied().collect::<Vec<_>>(), pairs, "{quantity}");
    }
    let metrics = metrics::evaluate(&card);
    (card, metrics)
}

fn has(metrics: &Metrics, ids: &[&str]) {
    for id in ids {
        assert!(metrics.number(id).is_some_and(|v| v > 0.0), "{id}: {:?}", metrics.get(id));
    }
}

const ALL: [&str; 4] = ["numa.local_ns", "numa.remote_ns", "numa.local_gbs", "numa.remote_gbs"];
const MEMORY_ONLY: [&str; 2] = ["numa.memory_only_ns", "numa.memory_only_gbs"];

fn two_nodes_give_a_matrix_of_two_by_two() {
    let (card, metrics) = measured(&TWO_NODES, &[(0, 0), (0, 1), (1, 0), (1, 1)]);
    let nodes = card.header.machine.numa_nodes();
    let distances: Vec<_> = nodes.iter().filter_map(|n| n.distances.known()).collect();
    assert_eq!(distances, [&vec![10, 21], &vec![21, 10]]);
    assert_eq!(nodes[1].cpus(), [2, 3]);
    has(&metrics, &ALL);
    let [none_alone] = &card.skips[..] else { panic!("{:?}", card.skips) };
    assert!(none_alone.names(MEMORY_ONLY[0]), "{none_alone:?}");
}

fn a_node_without_cpus_is_read_from_the_other() {
    let (card, metrics) = measured(&NODE_WITHOUT_CPUS, &[(0, 0), (0, 1)]);
    has(&metrics, &MEMORY_ONLY);
    has(&metrics, &["numa.local_ns", "numa.local_gbs"]);
    let [skip, remote] = &card.skips[..] else { panic!("{:?}", card.skips) };
    assert!(
        skip.need.contains("a CPU on node 1") && skip.reason.contains("memory only"),
        "{skip:?}"
    );
    assert!(remote.names("numa.remote_ns"), "{remote:?}");
}

fn a_node_without_memory_reads_the_other() {
    let (card, metrics) = measured(&NODE_WITHOUT_MEMORY, &[(0, 0), (1, 0)]);
    has(&metrics, &ALL);
    let [skip, none_alone] = &card.skips[..] else { panic!("{:?}", card.skips) };
    assert!(none_alone.names(MEMORY_ONLY[0]), "{none_alone:?}");
    assert!(skip.need.contains("memory on node 1") && skip.reason.contains("none"), "{skip:?}");
}

fn without_a_claimed_l3_nothing_is_made_of_it() {
    let card = boot(&BARE);
    let machine = &card.header.machine;
    assert_eq!(machine.claimed_cache(3, true), None);
    assert_eq!(machine.allowed_cpus(), [0]);

    explained(&card);
    let setting = |point: &Point, name: &str| point.params.get(name).map(ToString::to_string);
    let level =
        |name: &str| card.points.iter().any(|p| setting(p, "level").as_deref() == Some(name));
    assert!(level("l2") && level("dram"), "what is beyond the last claimed cache is memory");
    let skipped = |need: &str| card.skips.iter().any(|s| s.need.contains(need));
    assert!(skipped("2 CPUs"), "{:?}", card.skips);

    // Widths that the CPU lacks are not there, and small pages are small where the kernel makes
    // huge ones by itself.
    let widths: BTreeSet<_> = card.points.iter().filter_map(|p| setting(p, "width")).collect();
    assert!(widths.contains("sse") && !widths.contains("avx"), "{widths:?}");
    for point in card.points.iter().filter(|p| p.probe == "memory-latency") {
        assert_eq!(point.note, None, "{point:?}");
    }
}

/// Every metric of the card has a value or says why not.
fn explained(card: &Card) {
    let metrics = metrics::evaluate(card);
    for metric in card.header.declarations.iter().flat_map(|d| d.metrics.iter()) {
        let value = metrics.get(&metric.id).expect("a declared metric");
        assert!(value.value.is_some() || value.reason.is_some(), "{}", metric.id);
    }
}

fn a_small_machine_that_claims_no_cache_is_measured_up_to_its_memory() {
    let card = boot(&SMALL);
    let machine = &card.header.machine;
    let reason = machine.caches.reason().expect("no cache is claimed");
    assert!(reason.contains("/cpu0/cache does not exist"), "{reason}");
    assert!(machine.buffer_limit() < 64 << 20);
    explained(&card);
    left_out(&card, "memory-latency", "256 MiB for the largest working set", "MemAvailable");
    let widths: BTreeSet<_> =
        card.points.iter().filter_map(|p| p.params.get("width").map(ToString::to_string)).collect();
    assert!(widths.contains("sse") && !widths.iter().any(|w| w.contains("avx")), "{widths:?}");
}

fn hyperthreads_are_told_from_cores_and_a_slow_clock_is_named() {
    let card = boot(&THREADS);
    let machine = &card.header.machine;
    assert_eq!(machine.allowed_cpus(), [0, 1, 2, 3]);
    assert_eq!(machine.siblings_of(0), [0, 1]);
    assert_eq!(machine.siblings_of(3), [2, 3]);
    assert_eq!(machine.kernel.clock_source.known().map(String::as_str), Some("hpet"));
    explained(&card);
}

/// What holds of every card from the emulated Neoverse N1.
fn is_neoverse(card: &Card) {
    let machine = &card.header.machine;
    assert_eq!(machine.cpu.architecture, "aarch64");
    assert_eq!(machine.cpu.vendor.known().map(String::as_str), Some("Arm"));
    assert_eq!(machine.cpu.model.known(), Some(&0xd0c));
    let design = machine.cpu.microarchitecture.known();
    assert_eq!(design.map(|d| d.key.as_str()), Some("neoverse-n1"));
    assert!(machine.has_feature("atomics") && machine.has_feature("asimd"));
    assert!(!machine.has_feature("sve"));

    // The counter that samples are timed with runs at the rate that is claimed.
    let claimed = machine.claimed_tsc_hz().expect("the kernel's loop waits by the counter");
    let metrics = metrics::evaluate(card);
    let measured = metrics.number("clock.tsc_ghz").expect("samples are timed by the counter");
    assert!((measured * 1e9 / claimed as f64 - 1.0).abs() < 0.01, "{measured} GHz, {claimed} Hz");

    explained(card);
    // No metric is of a width of x86.
    for metric in card.header.declarations.iter().flat_map(|d| d.metrics.iter()) {
        assert!(!metric.id.contains("avx") && !metric.id.contains(".sse"), "{}", metric.id);
    }
    let widths: BTreeSet<_> =
        card.points.iter().filter_map(|p| p.params.get("width").map(ToString::to_string)).collect();
    // A slow host has no time for what is naive.
    let known: BTreeSet<String> = ["naive", "neon", "scalar"].map(str::to_owned).into();
    assert!(widths.is_subset(&known) && widths.contains("neon"), "{widths:?}");
}

/// Probes with a point at least, in print as well as what was left out. Where the clock of the core
/// cannot be told, as under emulation, a point of what the core does by itself has no sample that
/// counts: its kernel ran, and its answer was checked.
fn measured_probes(machine: &Machine, card: &Card) -> BTreeSet<String> {
    let probes: BTreeSet<String> = card.points.iter().map(|point| point.probe.clone()).collect();
    println!("{}: measured {probes:?}", machine.name);
    let skips: BTreeSet<String> =
        card.skips.iter().map(|s| format!("{}: {}: {}", s.probe, s.need, s.reason)).collect();
    for skip in skips {
        println!("{}: left out: {skip}", machine.name);
    }
    probes
}

/// Whether a probe says that it needs this, for a reason with these words.
fn left_out(card: &Card, probe: &str, need: &str, reason: &str) {
    let found = card
        .skips
        .iter()
        .any(|s| s.probe == probe && s.need.contains(need) && s.reason.contains(reason));
    assert!(found, "{probe}: {need}: {reason}: {:?}", card.skips);
}

/// Probes without a point, each of which says why.
fn unmeasured(machine: &Machine, card: &Card) -> Vec<String> {
    let measured = measured_probes(machine, card);
    let planned = card.header.declarations.iter().map(|d| d.probe.to_string());
    let without: Vec<String> = planned.filter(|probe| !measured.contains(probe)).collect();
    for probe in &without {
        assert!(card.skips.iter().any(|s| s.probe == *probe), "{probe} does not say why not");
    }
    without
}

fn one_arm_core_runs_every_probe_or_says_why_not() {
    let card = boot(&NEOVERSE);
    is_neoverse(&card);
    // The device tree names no cache, and there is nothing like CPUID to ask instead.
    let reason = card.header.machine.caches.reason().expect("caches without a claim");
    assert!(reason.contains("/cache/index0/size does not exist"), "{reason}");

    let unmeasured = unmeasured(&NEOVERSE, &card);
    for probe in ["loaded-latency", "false-sharing", "core-to-core"] {
        assert!(unmeasured.iter().any(|p| p == probe), "{probe} needs two CPUs");
        left_out(&card, probe, "2 CPUs", "allows 1");
    }
    left_out(&card, "memory-latency", "256 MiB for the largest working set", "MemAvailable");
}

fn four_arm_cores_run_every_probe_but_those_for_a_disk() {
    let card = boot(&NEOVERSE_WITH_CACHES);
    is_neoverse(&card);
    let machine = &card.header.machine;
    assert_eq!(machine.allowed_cpus(), [0, 1, 2, 3]);
    let sizes = [1, 2, 3].map(|level| machine.claimed_cache(level, true).map(|cache| cache.bytes));
    assert_eq!(sizes, [Some(64 << 10), Some(1 << 20), Some(4 << 20)]);
    assert_eq!(machine.l3_groups(), [[0, 1, 2, 3]]);

    assert_eq!(unmeasured(&NEOVERSE_WITH_CACHES, &card), ["sustained-clock", "storage"]);
    left_out(&card, "storage", "a directory on a disk", "tmpfs");
    left_out(&card, "simd-compute", "SVE", "does not offer it");
    left_out(&card, "network", "--peer", "no other machine");
    left_out(&card, "context-switch", "an SMT sibling", "claims none");
    left_out(&card, "memory-bandwidth", "copies by itself", "x86 has it");
    let settings = |name: &str| -> BTreeSet<String> {
        card.points.iter().filter_map(|p| p.params.get(name).map(ToString::to_string)).collect()
    };
    assert_eq!(settings("level"), ["dram", "l1", "l2", "l3"].map(str::to_owned).into());
    // Atomic additions as one instruction, and as a load and a store exclusive.
    let lines = settings("line");
    assert!(lines.contains("owned") && lines.contains("owned_exclusive"), "{lines:?}");
}

fn vectors_of_the_processors_length_are_measured_beside_those_of_128_bits() {
    let card = boot(&WITH_SVE);
    assert!(card.header.machine.has_feature("sve"));
    assert_eq!(unmeasured(&WITH_SVE, &card), [] as [String; 0]);
    assert!(card.skips.iter().all(|skip| !skip.need.contains("SVE")), "{:?}", card.skips);
    let number = |id| metrics::evaluate(&card).number(id);
    assert_eq!(number("simd.sve_vector_bytes"), Some(32.0));
    for probe in ["simd-compute", "simd-memory", "memory-bandwidth", "clock"] {
        let points = card.points.iter().filter(|p| p.probe == probe);
        let widths: BTreeSet<String> =
            points.filter_map(|p| p.params.get("width").map(ToString::to_string)).collect();
        assert!(widths.contains("sve") && widths.contains("neon"), "{probe}: {widths:?}");
    }
}
