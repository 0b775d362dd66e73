//! How long a line takes from one CPU to another, for pairs of all CPUs, and what atomic additions
//! cost by where their line is.
//!
//! Method: two pinned threads hand a word back and forth, by compare-and-swap and by load and store,
//! without a pause while they wait; half of a round trip is one way. 16 lines and more are in memory
//! that the one touched first, as many in memory of the other; a line's time is the median of its
//! bursts, the pair's the median of its lines. Additions: to an owned line (M state), in each form that
//! the CPU has (on aarch64 single instructions, and loads and stores exclusive); to lines that the
//! other CPU has just changed; to lines that both have read; and all CPUs on one line for a fixed
//! time. On large machines each round takes other rows of the matrix, and some pairs of each row.
//! Blind spots: who has a line's home on the chip depends on its address; 32 lines are a sample of
//! them. In a virtual machine a CPU may be moved between two visits: visits are spread over time.
//! Expect: below 12 ns hyperthreads of one core, 15 to 60 ns cores at one L3, up to 130 ns across
//! the chip, more between sockets.

use crate::harness::bench::Bench;
use crate::harness::need::Need;
use crate::kernel::atomic::Form;
use crate::kernel::coherence::HandOver;
use crate::probe::Probe;
use crate::threads::cpus;
use card::counters::Event;
use card::declare::{Declare, Estimator, NoiseClass, ReportOnly, Unit, at_least, at_most};

mod additions;
mod contended;
mod matrix;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "core-to-core",
    summary: "cache-line transfer latency, core to core; atomic fetch_add by line state",
    needs: &[Need::Cpus(2)],
    uses: &[],
    seconds: 1.2,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("core-to-core");
    d.report_only(Some(ReportOnly::Placement));
    let one_way = d.quantity("one_way", Unit::Ns, Estimator::Median);
    let cas = one_way.with("method", HandOver::Cas.name());
    let mut way = |id: &'static str, estimator, summary: &'static str| {
        d.metric(id, NoiseClass::T4, cas.statistic(estimator), summary);
    };
    way(
        "core_to_core.median_ns",
        Estimator::Median,
        "cache-line transfer latency, core to core, compare-and-swap: median of all samples",
    );
    way(
        "core_to_core.min_ns",
        Estimator::Lowest,
        "cache-line transfer latency, core to core: lowest of any pair",
    );
    way(
        "core_to_core.max_ns",
        Estimator::Highest,
        "cache-line transfer latency, core to core: highest of any pair",
    );
    d.quantity("line", Unit::Ns, Estimator::Median);
    additions_declared(d);
    d.report_only(Some(ReportOnly::Contention));
    let contended = d.quantity("contended", Unit::Ns, Estimator::Median).with("cpus", "all");
    d.metric(
        "atomics.contended_gops",
        NoiseClass::T4,
        contended.value().rate(1.0),
        "contended fetch_add, all CPUs on one line, total",
    );
    let fairness = d.quantity("fairness", Unit::Ratio, Estimator::Median);
    d.metric(
        "atomics.fairness_ratio",
        NoiseClass::T4,
        fairness,
        "fairness of contended fetch_add (min share ÷ fair share)",
    );
}

fn additions_declared(d: &mut Declare) {
    let add = d.quantity("fetch_add", Unit::Ns, Estimator::LowerQuartile);
    let [owned, remote, shared] = ["owned", "remote", "shared"].map(|line| add.with("line", line));
    d.report_only(None);
    let of_own = "fetch_add to an owned line (M state)";
    d.cost("atomics.fetch_add_owned", NoiseClass::T1, owned.clone(), of_own);
    // The first one is what a compiler would choose, and has no name in the ids.
    for form in &Form::declared()[1..] {
        d.metric(
            format!("atomics.fetch_add_owned_{form}_cycles"),
            NoiseClass::T1,
            add.with("line", format!("owned_{form}")),
            format!("{of_own} by a load and a store {form}"),
        );
    }
    d.report_only(Some(ReportOnly::Placement));
    d.cost(
        "atomics.fetch_add_remote",
        NoiseClass::T4,
        remote.clone(),
        "fetch_add to a line modified by another CPU",
    );
    d.cost(
        "atomics.fetch_add_shared",
        NoiseClass::T4,
        shared,
        "fetch_add to a line shared by both CPUs",
    );
    // Where the other core is decides what the vendor calls it: a line of its own, a core's own
    // caches do not hold.
    let ids = ["atomics.fetch_add_owned_cycles", "atomics.fetch_add_owned_ns"];
    d.proof(ids, owned, Event::L1dMisses, at_most(0.01));
    let ids = ["atomics.fetch_add_remote_cycles", "atomics.fetch_add_remote_ns"];
    d.proof(ids, remote, Event::L1dMisses, at_least(0.9));
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let cpus = cpus::pinnable(bench);
    if cpus.len() < 2 {
        return bench.skip(cpus::unpinned(bench.machine, bench.cpu));
    }
    let Some(partner) = cpus::nearest(bench, &cpus) else { return Ok(()) };
    additions::run(bench, partner)?;
    contended::run(bench, &cpus)?;
    // Last, with all the time that is left: it has as many points as there is time for.
    matrix::run(bench, &cpus)
}
