//! Latency and bandwidth between memory nodes: CPUs of each with memory of each.
//!
//! Method: a buffer of main-memory size on each node in turn (mbind before the first touch, which
//! is made by a CPU of that node; numa_maps says where the pages really are), and from one CPU of
//! each node a chase through it in random order, and one thread reading it in a straight line.
//! Blind spots: one CPU speaks for its node; in a virtual machine the nodes are what the
//! hypervisor says they are. Reading by one thread shows its own limit before the link's.
//! Expect: remote latency 1.3 to 2 times local, as the claimed distances (10 is local) roughly say.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use anyhow::Context;

use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::levels::{self, Levels};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chase::{self, Order, Ring};
use crate::kernel::stream;
use crate::probe::Probe;
use crate::sys::memory::{Buffer, LINE, Pages};
use crate::threads::pinning;
use card::declare::{Declare, Estimator, Level, NoiseClass, Unit};
use card::machine::{Machine, NumaNode, human_bytes};
use card::record::{Params, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "numa",
    summary: "latency and bandwidth between NUMA nodes",
    needs: &[Need::Memory(8 << 20)],
    uses: &[],
    seconds: 0.6,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let latency = d.quantity("latency", Unit::Ns, Estimator::LowerQuartile);
    let time = d.quantity("time_per_byte", Unit::Ns, Estimator::LowerQuartile);
    let [local_ns, local_gbs] = LOCAL;
    let [remote_ns, remote_gbs] = REMOTE;
    let [alone_ns, alone_gbs] = MEMORY_ONLY;
    d.family("dram-latency");
    d.metric(
        local_ns,
        NoiseClass::T3,
        latency.with("place", "local"),
        "load-to-use latency, local NUMA node",
    );
    d.family("core-to-core");
    d.metric(
        remote_ns,
        NoiseClass::T3,
        latency.with("place", "remote").highest(),
        "load-to-use latency, worst remote NUMA node with CPUs",
    );
    d.metric(
        alone_ns,
        NoiseClass::T3,
        latency.with("place", "memory_only").highest(),
        "load-to-use latency, worst memory-only NUMA node (CXL, HBM, a device)",
    );
    d.family("dram-bandwidth");
    d.metric(
        local_gbs,
        NoiseClass::T3,
        time.with("place", "local").value().rate(1.0),
        "read bandwidth of one thread, local NUMA node",
    );
    d.family("core-to-core");
    d.metric(
        remote_gbs,
        NoiseClass::T3,
        time.with("place", "remote").highest().rate(1.0),
        "read bandwidth of one thread, worst remote NUMA node with CPUs",
    );
    d.metric(
        alone_gbs,
        NoiseClass::T3,
        time.with("place", "memory_only").highest().rate(1.0),
        "read bandwidth of one thread, worst memory-only NUMA node (CXL, HBM, a device)",
    );
}

/// Metrics of latency and bandwidth within a node, between nodes with CPUs, and to memory on its own,
/// which is of another kind: its place says nothing of how far sockets are from each other.
const LOCAL: [&str; 2] = ["numa.local_ns", "numa.local_gbs"];
const REMOTE: [&str; 2] = ["numa.remote_ns", "numa.remote_gbs"];
const MEMORY_ONLY: [&str; 2] = ["numa.memory_only_ns", "numa.memory_only_gbs"];

/// Larger buffers take too long to lay a ring in, once for each node; twice the last cache it must
/// be.
const LARGEST: u64 = 512 << 20;

/// Loads before the first sample, a few milliseconds: caches and translations of a CPU that has
/// not seen the buffer yet.
const WARM_UP: u64 = 16_384;

/// Bytes that are read at a time: a tenth of a millisecond.
const CHUNK: usize = 2 << 20;

/// Part of the slice after which no further node is begun.
const MOST_OVERTIME: f64 = 1.5;

/// Time of one point, at least and at most.
const POINT: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(80));

/// Pages that may lie elsewhere: the kernel rounds to huge pages.
const ASTRAY: f64 = 0.01;

/// A node with a CPU that this process may use.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reader {
    node: usize,
    cpu: usize,
}

/// A node with memory that this process may use, and one of its CPUs if it has any.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Store {
    node: usize,
    cpu: Option<usize>,
    memory_only: bool,
}

impl Store {
    /// Where that is for the CPUs of a node, as in parameters.
    fn place(self, cpu_node: usize) -> &'static str {
        match self {
            Store { node, .. } if node == cpu_node => "local",
            Store { memory_only: true, .. } => "memory_only",
            Store { .. } => "remote",
        }
    }
}

/// What can be measured here, and what cannot.
#[derive(Debug, Default)]
struct Plan {
    readers: Vec<Reader>,
    stores: Vec<Store>,
    gaps: Vec<Skip>,
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let levels = Levels::of(bench);
    let dram = levels.working_sets().into_iter().find(|w| w.0 == Level::Dram);
    let Some((_, bytes)) = dram else {
        return bench.skip(Skip::new(
            "a buffer beyond the last cache",
            levels.why_not(Level::Dram),
            "raise the memory limit",
        ));
    };
    let least = levels::LEAST_BEYOND * levels::last_cache(bench.machine);
    let bytes = bytes.min(LARGEST.max(least));
    let mut plan = Plan::of(bench.machine, bench.cpu, bytes);
    for gap in plan.gaps.drain(..) {
        bench.skip(gap)?;
    }
    // What comes last may run out of time: not the same in every round.
    let begin = bench.round as usize % plan.stores.len().max(1);
    plan.stores.rotate_left(begin);
    for (done, store) in plan.stores.iter().enumerate() {
        if done > 0 && bench.meter.elapsed() > bench.share(MOST_OVERTIME) {
            let all = plan.stores.len();
            let reason = format!("round {}: {done} of {all} were measured", bench.round + 1);
            let remedy = "give the run more time (--tier thorough or --budget)";
            return bench.skip(Skip::new("time for the memory of every node", reason, remedy));
        }
        let points = 2 * plan.readers.len() * (plan.stores.len() - done);
        column(bench, *store, &plan.readers, usize::try_from(bytes)?, points)?;
    }
    Ok(())
}

impl Plan {
    /// `cpu` is the one that the run has chosen; it speaks for its node.
    fn of(machine: &Machine, cpu: usize, bytes: u64) -> Plan {
        let mut plan = Plan::default();
        let nodes = machine.numa_nodes();
        if nodes.is_empty() {
            // A kernel without NUMA does not tell memory apart.
            plan.readers.push(Reader { node: 0, cpu });
            plan.stores.push(Store { node: 0, cpu: Some(cpu), memory_only: false });
        }
        for node in nodes {
            match usable_cpu(machine, node, cpu) {
                Ok(cpu) => plan.readers.push(Reader { node: node.id, cpu }),
                Err(gap) => plan.gaps.push(gap),
            }
        }
        for node in nodes {
            let reader = plan.readers.iter().find(|r| r.node == node.id);
            match usable_memory(machine, node, bytes) {
                Ok(()) => {
                    plan.stores.push(Store {
                        node: node.id,
                        cpu: reader.map(|r| r.cpu),
                        memory_only: node.is_memory_only(),
                    });
                }
                Err(gap) => plan.gaps.push(gap),
            }
        }
        plan.without("local", "CPUs and memory of the same node", LOCAL);
        if let [only] = nodes {
            let reason = format!("node {} is the only one: every access is local", only.id);
            plan.gaps.push(no_second_node(reason));
        } else if let Some(reason) = machine.topology.numa_nodes.reason() {
            plan.gaps.push(no_second_node(format!("the kernel names none: {reason}")));
        } else {
            plan.without("remote", "CPUs and memory of different nodes", REMOTE);
        }
        let alone = "a memory node without CPUs";
        if nodes.iter().any(NumaNode::is_memory_only) {
            plan.without("memory_only", alone, MEMORY_ONLY);
        } else {
            plan.gaps.push(Skip::new(alone, "no node is known to be one", NOTHING).of(MEMORY_ONLY));
        }
        plan
    }

    /// Says that these metrics have no pair of nodes to rest on, if so.
    fn without(&mut self, place: &str, need: &str, metrics: [&str; 2]) {
        let mut pairs =
            self.readers.iter().flat_map(|r| self.stores.iter().map(|s| s.place(r.node)));
        if !pairs.any(|of_pair| of_pair == place) {
            let reason = "the nodes that may be used have none, as said beside this";
            self.gaps.push(Skip::new(need, reason, NOTHING).of(metrics));
        }
    }
}

const NOTHING: &str = "nothing to be done";

fn no_second_node(reason: String) -> Skip {
    Skip::new("a second memory node", reason, NOTHING).of(REMOTE)
}

/// The chosen CPU or else the first of those that may be used.
fn usable_cpu(machine: &Machine, node: &NumaNode, chosen: usize) -> Result<usize, Skip> {
    let allowed = |cpu: &usize| machine.allowed_cpus().contains(cpu);
    let mut usable = node.cpus().iter().copied().filter(allowed);
    let cpu = usable.clone().find(|&cpu| cpu == chosen).or_else(|| usable.next());
    let need = || format!("a CPU on node {}", node.id);
    cpu.ok_or_else(|| match node.cpus.as_result().map(Vec::as_slice) {
        Ok([]) => {
            Skip::new(need(), "it is memory only", "none; other nodes' CPUs measure its memory")
        }
        Ok(cpus) => Skip::new(
            need(),
            format!("none of its {} is in the affinity mask", cpus.len()),
            "give the process CPUs of every node (taskset, cpuset)",
        ),
        Err(reason) => Skip::new(
            need(),
            format!("its CPUs are not known: {reason}"),
            "make its cpulist readable; other nodes' CPUs measure its memory",
        ),
    })
}

fn usable_memory(machine: &Machine, node: &NumaNode, bytes: u64) -> Result<(), Skip> {
    let gap = |reason: String, remedy| {
        Err(Skip::new(
            format!("{} of memory on node {}", human_bytes(bytes), node.id),
            reason,
            remedy,
        ))
    };
    if node.memory_bytes.known() == Some(&0) {
        return gap("it has none".into(), "none; its CPUs are measured with other nodes' memory");
    }
    if machine.limits.memory_nodes.known().is_some_and(|nodes| !nodes.contains(&node.id)) {
        return gap("the cpuset forbids it".into(), "allow the node in cpuset.mems");
    }
    match node.available_bytes.known() {
        // Half of what is there, as everywhere.
        Some(&available) if available / 2 < bytes => gap(
            format!("{} are available, and half of that may be taken", human_bytes(available)),
            "free memory on that node",
        ),
        _ => Ok(()),
    }
}

/// Memory of one node from the CPUs of all.
fn column(
    bench: &mut Bench<'_>,
    store: Store,
    readers: &[Reader],
    bytes: usize,
    mut points: usize,
) -> anyhow::Result<()> {
    // The first touch is made from nearby, which decides where mbind is refused.
    if let Some(cpu) = store.cpu {
        moved(bench, cpu);
    }
    let (buffer, note) = match place(store, bytes)? {
        Ok(placed) => placed,
        Err(gap) => return bench.skip(gap),
    };
    let mut ring = Ring::over(buffer);
    ring.lay(bytes, LINE, Order::Random, &mut bench.rng);
    let sums = sums(ring.buffer());
    let mut readers = readers.to_vec();
    bench.rng.shuffle(&mut readers);
    let alone = readers.len() == 1;
    for reader in readers {
        if !moved(bench, reader.cpu) && !alone {
            let reason = "pinning is not permitted here (sched_setaffinity)";
            let remedy = "allow it in the seccomp profile";
            bench.skip(Skip::new(format!("to run on node {}", reader.node), reason, remedy))?;
            continue;
        }
        // Pauses would let the page tables leave the caches: loads follow each other throughout.
        ring.walk(WARM_UP);
        let setting = setting(reader.node, store);
        let policy = policy(bench, points);
        let arm = Arm::new("latency", setting.clone(), |loads| ring.walk(loads));
        bench.sample(arm.in_blocks_of(chase::BLOCK).noted(note.clone()), &policy)?;
        let end = ring.position();
        bench.check(end < bytes && end.is_multiple_of(LINE), || {
            format!("a chase through {} left its nodes", human_bytes(bytes as u64))
        })?;
        read(bench, ring.buffer(), &sums, setting, note.clone(), &policy)?;
        points -= 2;
    }
    Ok(())
}

/// Runs on another CPU from here on; `false` where that is not permitted.
fn moved(bench: &mut Bench<'_>, cpu: usize) -> bool {
    let moved = pinning::pin(cpu);
    if moved {
        bench.cpu = cpu;
    }
    moved
}

fn setting(cpu_node: usize, store: Store) -> Params {
    params([
        ("cpu_node", (cpu_node as u64).into()),
        ("memory_node", (store.node as u64).into()),
        ("place", store.place(cpu_node).into()),
    ])
}

fn policy(bench: &Bench<'_>, points: usize) -> SamplingPlan {
    let share = bench.left() / u32::try_from(points.max(1)).unwrap_or(u32::MAX);
    let time = share.clamp(POINT.0, POINT.1);
    // Eight nodes are 128 points a round: the card stays small.
    let most = (64 / points.max(1)).clamp(8, 24);
    // The core only waits; emulated cores, whose clock makes no sense, can wait as well.
    SamplingPlan {
        min_samples: 5,
        max_samples: most,
        need_idle_sibling: false,
        need_steady_clock: false,
        ..SamplingPlan::structural(time)
    }
}

/// A buffer on a node, with what the reader must know of it; or why there is none.
fn place(store: Store, bytes: usize) -> anyhow::Result<Result<(Buffer, Option<String>), Skip>> {
    let node = store.node;
    let cannot = || format!("cannot map {}", human_bytes(bytes as u64));
    let (buffer, refusal) = match Buffer::on_node(bytes, Pages::Huge, node) {
        Ok(buffer) => (buffer, None),
        Err(e) if refused(&e) => {
            (Buffer::new(bytes, Pages::Huge).with_context(cannot)?, Some(format!("mbind: {e}")))
        }
        Err(e) => return Err(e).with_context(cannot),
    };
    let gap = |why: String| {
        let reason = refusal.iter().cloned().chain([why]).collect::<Vec<_>>().join("; ");
        let remedy = "allow mbind (CAP_SYS_NICE, or the container's seccomp profile)";
        Ok(Err(Skip::new(format!("memory on node {node}"), reason, remedy)))
    };
    let mut notes = Vec::new();
    match buffer.bytes_by_node() {
        Ok(nodes) if !nodes.is_empty() => {
            let here = nodes.get(&node).copied().unwrap_or(0) as f64;
            let all = nodes.values().sum::<u64>() as f64;
            if here < (1.0 - ASTRAY) * all {
                return gap(format!(
                    "{:.0} % of the buffer lie elsewhere",
                    100.0 * (1.0 - here / all)
                ));
            }
        }
        _ if refusal.is_some() && store.cpu.is_none() => {
            return gap("it has no CPU that could touch it first".into());
        }
        Ok(_) => notes.push("placement unverified: the kernel does not tell memory apart".into()),
        Err(e) => notes.push(format!("placement unverified: /proc/self/numa_maps: {e}")),
    }
    notes.extend(refusal.map(|r| format!("{r}: placed by first touch")));
    notes.extend(backing::note(&buffer));
    Ok(Ok((buffer, Some(notes.join("; ")).filter(|n| !n.is_empty()))))
}

/// Whether it is the kernel that places nothing there, or a filter in front of it.
fn refused(e: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    [PermissionDenied, Unsupported, InvalidInput].contains(&e.kind())
}

/// What reading each chunk must give, by an ordinary loop.
fn sums(buffer: &Buffer) -> Vec<u32> {
    let words = |chunk: &[u8]| {
        chunk.as_chunks().0.iter().fold(0_u32, |sum, w| sum.wrapping_add(u32::from_ne_bytes(*w)))
    };
    buffer.bytes().chunks_exact(CHUNK).map(words).collect()
}

/// One thread reads on and on, so that nothing is read from a cache.
fn read(
    bench: &mut Bench<'_>,
    buffer: &Buffer,
    sums: &[u32],
    setting: Params,
    note: Option<String>,
    policy: &SamplingPlan,
) -> anyhow::Result<()> {
    let next = Cell::new(bench.rng.usize(..sums.len()));
    let wrong = Cell::new(None);
    let work = |bytes: u64| {
        for _ in 0..bytes.div_ceil(CHUNK as u64) {
            let chunk = next.get();
            if stream::sum(buffer, chunk * CHUNK, CHUNK) != sums[chunk] {
                wrong.set(Some(chunk * CHUNK));
            }
            next.set((chunk + 1) % sums.len());
        }
    };
    let arm = Arm::new("time_per_byte", setting, work).in_blocks_of(CHUNK as u64).noted(note);
    bench.sample(arm, policy)?;
    bench.check(wrong.get().is_none(), || format!("a wrong sum of the bytes at {wrong:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::machine::Fact;

    const SIZE: u64 = 64 << 20;

    fn node(id: usize, cpus: &[usize], memory: u64) -> NumaNode {
        NumaNode {
            id,
            cpus: Fact::Known(cpus.to_vec()),
            memory_bytes: Fact::Known(memory),
            available_bytes: Fact::Known(memory),
            distances: Fact::Known(Vec::new()),
        }
    }

    fn store(node: usize, cpu: Option<usize>) -> Store {
        Store { node, cpu, memory_only: false }
    }

    #[test]
    fn memory_alone_is_no_socket_and_each_kind_has_its_worst() {
        let plan = plan(
            vec![node(0, &[0, 1], 1 << 30), node(1, &[2, 3], 1 << 30), node(2, &[], 1 << 30)],
            &[0, 1, 2, 3],
        );
        let places = |cpu_node| plan.stores.iter().map(move |s| s.place(cpu_node));
        assert_eq!(places(0).collect::<Vec<_>>(), ["local", "remote", "memory_only"]);
        assert_eq!(places(1).collect::<Vec<_>>(), ["remote", "local", "memory_only"]);
        assert_eq!(plan.gaps.len(), 1, "{:?}", plan.gaps);
    }

    fn plan(nodes: Vec<NumaNode>, allowed: &[usize]) -> Plan {
        let mut machine = Machine::default();
        machine.topology.numa_nodes = Fact::Known(nodes);
        machine.limits.allowed_cpus = allowed.to_vec();
        Plan::of(&machine, 1, SIZE)
    }

    fn says(plan: &Plan, what: &str) -> bool {
        plan.gaps.iter().any(|g| format!("{}: {}", g.need, g.reason).contains(what))
    }

    /// Whether something costs exactly these metrics, for that reason.
    fn costs(plan: &Plan, metrics: [&str; 2], reason: &str) -> bool {
        plan.gaps.iter().any(|g| g.metrics == metrics && g.reason.contains(reason))
    }

    #[test]
    fn two_whole_nodes_have_no_gap() {
        let plan = plan(vec![node(0, &[0, 1], 1 << 30), node(1, &[2, 3], 1 << 30)], &[0, 1, 2, 3]);
        assert_eq!(plan.readers, [Reader { node: 0, cpu: 1 }, Reader { node: 1, cpu: 2 }]);
        assert_eq!(plan.stores, [store(0, Some(1)), store(1, Some(2))]);
        assert_eq!(plan.gaps.len(), 1, "{:?}", plan.gaps);
        assert!(costs(&plan, MEMORY_ONLY, "no node is known to be one"));
    }

    #[test]
    fn one_node_has_nothing_remote_and_says_so() {
        let plan = plan(vec![node(0, &[0, 1], 1 << 30)], &[0, 1]);
        assert_eq!((plan.readers.len(), plan.stores.len(), plan.gaps.len()), (1, 1, 2));
        assert!(costs(&plan, REMOTE, "node 0 is the only one"));
    }

    #[test]
    fn a_kernel_without_nodes_is_one_node() {
        let mut machine = Machine::default();
        machine.limits.allowed_cpus = vec![5];
        let plan = Plan::of(&machine, 5, SIZE);
        assert_eq!(plan.readers, [Reader { node: 0, cpu: 5 }]);
        assert_eq!(plan.stores, [store(0, Some(5))]);
        assert!(costs(&plan, REMOTE, "the kernel names none"));
    }

    #[test]
    fn a_node_without_cpus_is_read_by_others() {
        let plan = plan(vec![node(0, &[0, 1], 1 << 30), node(1, &[], 1 << 30)], &[0, 1]);
        assert_eq!(plan.readers, [Reader { node: 0, cpu: 1 }]);
        assert_eq!(plan.stores[1], Store { memory_only: true, ..store(1, None) });
        assert!(says(&plan, "a CPU on node 1: it is memory only"));
        // Its memory is not that of another socket.
        assert!(costs(&plan, REMOTE, "have none") && !costs(&plan, MEMORY_ONLY, ""));
        assert_eq!(plan.gaps.len(), 2);
    }

    #[test]
    fn a_node_whose_cpus_are_not_known_is_not_called_memory() {
        let unknown =
            NumaNode { cpus: Fact::unknown("its cpulist is no list"), ..node(1, &[], 1 << 30) };
        let plan = plan(vec![node(0, &[0, 1], 1 << 30), unknown], &[0, 1]);
        assert!(says(&plan, "a CPU on node 1: its CPUs are not known: its cpulist is no list"));
        assert!(!says(&plan, "memory only"));
        assert_eq!(plan.stores[1], Store { node: 1, cpu: None, memory_only: false });
    }

    #[test]
    fn a_node_without_memory_reads_that_of_others() {
        let plan = plan(vec![node(0, &[0, 1], 1 << 30), node(1, &[2], 0)], &[0, 1, 2]);
        assert_eq!(plan.readers.len(), 2);
        assert_eq!(plan.stores.len(), 1);
        assert!(says(&plan, "memory on node 1: it has none"));
        assert_eq!(plan.gaps.len(), 2);
    }

    #[test]
    fn cpus_outside_the_mask_are_not_used() {
        let nodes = vec![node(0, &[0, 1], 0), node(1, &[2, 3], 1 << 30)];
        let plan = plan(nodes, &[0, 1]);
        assert_eq!(plan.readers, [Reader { node: 0, cpu: 1 }]);
        assert_eq!(plan.stores, [store(1, None)]);
        assert!(says(&plan, "a CPU on node 1: none of its 2 is in the affinity mask"));
        assert!(says(&plan, "the same node") && costs(&plan, LOCAL, "have none"));
        assert!(!costs(&plan, REMOTE, ""));
    }

    #[test]
    fn memory_that_is_taken_or_forbidden_is_a_gap() {
        let nodes = vec![node(0, &[0], 1 << 30), node(1, &[1], SIZE)];
        let mut machine = Machine::default();
        machine.topology.numa_nodes = Fact::Known(nodes);
        machine.limits.allowed_cpus = vec![0, 1];
        machine.limits.memory_nodes = Fact::Known(vec![1]);
        let plan = Plan::of(&machine, 0, SIZE);
        assert!(plan.stores.is_empty());
        assert!(says(&plan, "memory on node 0: the cpuset forbids it"));
        assert!(says(&plan, "memory on node 1: 64 MiB are available"));
        assert!(says(&plan, "the same node") && says(&plan, "different nodes"));
    }

    #[test]
    fn memory_of_this_machine_is_placed_or_the_reason_is_told() {
        let machine = Machine::detect();
        let cpu = machine.allowed_cpus()[0];
        let own = machine.numa_nodes().iter().find(|n| n.cpus().contains(&cpu));
        pinning::pin(cpu);
        match place(store(own.map_or(0, |n| n.id), Some(cpu)), 8 << 20).unwrap() {
            Ok((buffer, _)) => assert_eq!(buffer.len(), 8 << 20),
            Err(gap) => assert!(!gap.reason.is_empty()),
        }
    }

    #[test]
    fn the_sums_are_those_of_the_kernel() {
        let mut buffer = Buffer::new(2 * CHUNK, Pages::Huge).unwrap();
        fastrand::Rng::with_seed(9).fill(buffer.bytes_mut());
        let sums = sums(&buffer);
        assert_eq!(sums, [0, CHUNK].map(|at| stream::sum(&buffer, at, CHUNK)));
        assert_ne!(sums[0], sums[1]);
    }
}
