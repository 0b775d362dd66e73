//! The kernels in Criterion's hands: a second witness of what our own sampling says of them.
//!
//! Groups are named after the probes that use the same kernels. Kernels take the number of
//! operations, so that one iteration of Criterion's is one operation; what has to be prepared or
//! checked is so outside the timed region.

mod cycles;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use card::machine::Machine;
use criterion::{Criterion, SamplingMode};
use probecard_probes::kernel::bandwidth::{self, Kernel, StreamBuffers};
use probecard_probes::kernel::chase::{Order, Ring};
use probecard_probes::kernel::forward::{Shape, StoreLoadChain};
use probecard_probes::kernel::simd::{self, Chains, Op, Type};
use probecard_probes::kernel::{branch, chain, line};
use probecard_probes::sys::memory::{self, Buffer, Pages};

use cycles::Cycles;

fn main() {
    let machine = Machine::detect();
    let cycles = Cycles::on_quietest_cpu(&machine);
    // Samples of 0.3 ms, as the probes take them: a sibling's work within one shows at no end of it.
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(450))
        .sample_size(1_500)
        .nresamples(5_000)
        .with_measurement(cycles.clone());
    let mut benches = Benches { criterion: criterion.configure_from_args(), cycles };
    chains(&mut benches);
    chases(&mut benches, &machine);
    branches(&mut benches);
    forwarding(&mut benches);
    additions(&mut benches);
    arithmetic(&mut benches);
    bandwidths(&mut benches, &machine);
    benches.criterion.final_summary();
}

struct Benches {
    criterion: Criterion<Cycles>,
    cycles: Cycles,
}

impl Benches {
    /// A bench of what `make` makes once Criterion has chosen it; `run` gives the cycles of at least
    /// so many operations.
    fn add<T>(
        &mut self,
        (probe, name): (&str, &str),
        make: impl FnOnce() -> T,
        mut run: impl FnMut(&mut T, &Cycles, u64) -> f64,
    ) {
        let (mut make, mut made, mut before) = (Some(make), None, 0);
        let mut group = self.criterion.benchmark_group(probe);
        // All of the same length.
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(name, |bencher| {
            if let Some(make) = make.take() {
                made = Some(make());
                self.cycles.be_patient();
            }
            let Some(made) = &mut made else { return };
            bencher.iter_custom(|ops| {
                let mut measure = || run(made, &self.cycles, ops);
                // While it warms up, Criterion doubles the operations, and takes any time that
                // passes for theirs.
                if ops == std::mem::replace(&mut before, ops) {
                    self.cycles.alone(measure)
                } else {
                    measure()
                }
            });
        });
    }
}

/// The two chains that the core clock is read with.
fn chains(benches: &mut Benches) {
    let run = |kernel: &mut fn(u64) -> u64, cycles: &Cycles, ops| cycles.of(|| kernel(ops));
    benches.add(("clock", "add"), || chain::add as fn(u64) -> u64, run);
    benches.add(("clock", "mul"), || chain::mul as fn(u64) -> u64, run);
}

/// Dependent loads at random within each level of the memory hierarchy, as far as it is claimed.
fn chases(benches: &mut Benches, machine: &Machine) {
    let claimed = |level| usize::try_from(machine.claimed_cache(level, true)?.bytes).ok();
    let last = machine.last_cache_bytes().and_then(|bytes| usize::try_from(bytes).ok());
    // Half of L1; an eighth of L2, since the host's pages may crowd some of its sets; in L3, which
    // others use as well, twice what L2 holds; three times the last cache, where memory allows.
    let room = usize::try_from(machine.buffer_limit()).unwrap_or(usize::MAX);
    let levels = [
        ("l1", claimed(1).map(|bytes| bytes / 2)),
        ("l2", claimed(2).map(|bytes| bytes / 8)),
        ("l3", claimed(3).and(claimed(2)).map(|bytes| 2 * bytes)),
        ("dram", last.map(|bytes| 3 * bytes).filter(|&bytes| bytes <= room)),
    ];
    for (name, bytes) in levels {
        let Some(bytes) = bytes else { continue };
        let make = || {
            let mut ring = Ring::with_capacity(bytes, Pages::Huge).expect("memory for a ring");
            ring.lay(bytes, 64, Order::Random, &mut fastrand::Rng::new());
            ring
        };
        benches
            .add(("memory-latency", name), make, |ring, cycles, ops| cycles.of(|| ring.walk(ops)));
    }
}

/// Independent branches on fresh outcomes, and branches that always go the same way.
fn branches(benches: &mut Benches) {
    type Outcomes = fn(u64) -> u64;
    type Count = fn(&[u64]) -> u64;
    let random: Outcomes = |_| fastrand::u64(..);
    // Each branch of the unrolled kernel alternates too, not only their sequence.
    let alternating: Outcomes = |word| 0x5555_5555_5555_5555 << (word % 2);
    let kernels: [(&str, Outcomes, Count); 3] = [
        ("random", random, branch::parallel),
        ("alternating", alternating, branch::parallel),
        ("branch_free", random, branch::branch_free),
    ];
    for (name, outcomes, kernel) in kernels {
        benches.add(("branch", name), Vec::new, |words, cycles, ops| {
            words.clear();
            words.extend((0..ops.div_ceil(branch::BLOCK)).map(outcomes));
            let mut counted = 0;
            let took = cycles.of(|| counted = kernel(words));
            let clear: u64 = words.iter().map(|word| u64::from(word.count_zeros())).sum();
            assert_eq!(counted, clear, "{name}: clear bits");
            took
        });
    }
    let run = |kernel: &mut fn(u64), cycles: &Cycles, ops| cycles.of(|| kernel(ops));
    benches.add(("branch", "taken"), || branch::always_taken as fn(u64), run);
    benches.add(("branch", "not_taken"), || branch::never_taken as fn(u64), run);
}

/// A load from where the step before it stored, or half beside it, with a multiplication on the way;
/// and multiplications alone.
fn forwarding(benches: &mut Benches) {
    /// Away from any border.
    const INSIDE: usize = 1024;
    for (name, load) in [("same", INSIDE), ("overlap", INSIDE + 4)] {
        let make = || {
            let buffer = Buffer::new(2 * INSIDE, Pages::Small).expect("a page");
            let mut chain = StoreLoadChain::new(buffer, Shape::EightAndMultiply, INSIDE, load);
            let mut rng = fastrand::Rng::new();
            chain.start([(); 4].map(|()| rng.u64(..)), &mut rng);
            let expected = chain.expected();
            (chain, expected)
        };
        benches.add(("store-forwarding", name), make, |(chain, expected), cycles, ops| {
            let took = cycles.of(|| chain.run(ops));
            assert_eq!(chain.value(), *expected, "{name}: the value of the chain");
            took
        });
    }
    benches.add(
        ("store-forwarding", "multiply"),
        || (),
        |(), cycles, ops| cycles.of(|| chain::mul(ops)),
    );
}

/// Atomic additions to a line of one's own.
fn additions(benches: &mut Benches) {
    let make = || (AtomicU32::new(0), 0_u64);
    benches.add(("core-to-core", "fetch_add"), make, |(counter, added), cycles, ops| {
        let took = cycles.of(|| line::add_atomically(counter, ops));
        *added += ops;
        assert_eq!(counter.load(Ordering::Relaxed), *added as u32, "atomic additions");
        took
    });
}

/// One chain and twelve chains of an instruction, per instruction.
fn arithmetic(benches: &mut Benches) {
    let kinds = [("latency", 1), ("rate", 12)];
    for width in simd::Width::detect() {
        for (op, (kind, chains)) in
            [Op::Add, Op::Fma].into_iter().flat_map(|op| kinds.map(|k| (op, k)))
        {
            let Some(chains) = Chains::new(width, op, Type::F32, chains) else { continue };
            let name = format!("{}_{kind}_{}", op.name(), width.name());
            let block = chains.block();
            benches.add(
                ("simd-compute", &name),
                || chains,
                |chains, cycles, ops| {
                    let took = cycles.of(|| chains.run(ops.div_ceil(block)));
                    chains.check().expect("the chains hold what they should");
                    took
                },
            );
        }
    }
}

/// Bytes of one operation: a line loaded or stored.
const LINE: u64 = memory::LINE as u64;

/// Loads and stores within L1, per line.
fn bandwidths(benches: &mut Benches, machine: &Machine) {
    let Some(l1) = machine.claimed_cache(1, true) else { return };
    // As much of it as the probe takes, so that a call costs both the same.
    let bytes = usize::try_from(l1.bytes / 4 * 3).unwrap_or(usize::MAX);
    for kernel in [Kernel::Read, Kernel::Copy, Kernel::Memcpy] {
        for width in bandwidth::Width::detect() {
            // What chooses its own width is measured once.
            if !kernel.has_widths() && width.name() != "scalar" {
                continue;
            }
            let make = || {
                let mut buffers =
                    StreamBuffers::new(bytes, Pages::Huge, 1).expect("memory for streams");
                buffers.lay(kernel, bytes);
                buffers
            };
            let name = format!("{}_{}", kernel.name(), width.name());
            benches.add(("memory-bandwidth", &name), make, |buffers, cycles, ops| {
                buffers.prepare(ops * LINE);
                let took = cycles.of(|| buffers.run(width, ops * LINE));
                buffers.check().expect("the arrays hold what they should");
                took
            });
        }
    }
}
