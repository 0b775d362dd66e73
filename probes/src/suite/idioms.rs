//! What the advice of performance guides is worth here: pairs of programs that do the same, one as
//! advised and one not, and the times of what guides name as cheap or dear.
//!
//! Method: each pair is one loop with one difference, its arms sampled in turn, so that what drifts
//! drifts for both; each answer is checked. Calls: the same small function inlined, called, through
//! a pointer and through a `dyn` object, with one target all the time and with 16 in an order that
//! never comes back. Allocation: one of 64 live blocks is replaced, from the heap, a pool or the
//! stack. Maps: a chain in which each value found holds the next key. The rest as their files say.
//! Blind spots: these are the C library's allocator and the standard library's map (SipHash) and
//! lock; others have other prices. Pages are what the allocator gets, usually of 4 KiB. A compiler
//! can undo some of what is advised against; here it is kept from it.
//! Expect: a call below 2 ns, 5 to 10 ns mispredicted; 5 to 20 ns for a small block; 10 to 30 ns for
//! a lookup in cache, two or three misses beyond; columns 3 to 20 times as slow as rows.

use std::time::Duration;

use crate::harness::bench::{Arm, Bench, Effort, params};
use crate::harness::levels::{self, LEAST_BEYOND};
use crate::harness::sampling::SamplingPlan;
use crate::probe::Probe;
use crate::sys::process;
use card::declare::{Better, Declare, Estimator, NoiseClass, Points, Unit};
use card::machine::{Machine, human_bytes};
use card::record::Skip;

mod alloc;
mod calls;
mod growth;
mod io;
mod layout;
mod maps;
mod once;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "idioms",
    summary: "cost of anti-patterns: calls, allocation, maps, growth, buffering, data layout",
    needs: &[],
    uses: &[],
    seconds: 1.2,
    in_kernel: true,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("idioms");
    calls::declare(d);
    alloc::declare(d);
    maps::declare(d);
    growth::declare(d);
    once::declare(d);
    io::declare(d);
    layout::declare(d);
}

/// What tells the ways of a quantity apart.
const HOW: &str = "how";

/// Times of the core's own work.
fn times(d: &mut Declare, quantity: &'static str) -> Points {
    d.quantity(quantity, Unit::Ns, Estimator::LowerQuartile)
}

/// How many times as long one way takes as the one that guides advise.
fn ratio(
    d: &mut Declare,
    id: &'static str,
    tier: NoiseClass,
    (times, how, advised): (&Points, &'static str, &'static str),
    summary: &'static str,
) {
    let from = times.with(HOW, how) / times.with(HOW, advised);
    d.metric(id, tier, from, summary).better(Better::Lower);
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    process::keep_heap();
    calls::measure(bench)?;
    alloc::measure(bench)?;
    growth::measure(bench)?;
    once::measure(bench)?;
    layout::measure(bench)?;
    io::measure(bench)?;
    maps::measure(bench)
}

/// How a pair of the core's own work is sampled.
struct Plan {
    policy: SamplingPlan,
    note: Option<String>,
}

/// Few samples: three dozen settings share a round, and five rounds agree or not. A hyperthread
/// sibling at work is waited out for as long as the pair may take; where it does not rest, what is
/// measured beside it is better than nothing, and says so.
fn plan(bench: &mut Bench<'_>, share: f64) -> Plan {
    let policy = SamplingPlan {
        min_samples: 3,
        max_samples: 5,
        ..SamplingPlan::structural(bench.share(share))
    };
    let until = bench.meter.elapsed() + policy.budget * 2;
    let mut quiet = 0;
    while quiet < QUIET_LOOKS && bench.meter.elapsed() < until {
        if bench.clock.read().is_busy() {
            quiet = 0;
            bench.meter.pause(Duration::from_micros(500));
        } else {
            quiet += 1;
        }
    }
    let quiet = quiet == QUIET_LOOKS;
    let note = (!quiet).then(|| "beside an active SMT sibling".into());
    Plan { policy: SamplingPlan { need_idle_sibling: quiet, ..policy }, note }
}

/// Looks of some dozen microseconds each.
const QUIET_LOOKS: u32 = 3;

/// Where memory takes part, neither the core's clock nor its other thread decide.
fn memory_plan(bench: &Bench<'_>, share: f64) -> Plan {
    let structural = SamplingPlan::structural(bench.share(share));
    let policy = SamplingPlan {
        min_samples: 3,
        max_samples: 5,
        need_idle_sibling: false,
        need_steady_clock: false,
        ..structural
    };
    Plan { policy, note: None }
}

/// Largest data: filling them takes a quarter of a second, or seconds in a thorough run.
const LARGEST: u64 = 128 << 20;
const LARGEST_THOROUGH: u64 = 1 << 30;

/// Bytes of data beyond the caches.
fn beyond(machine: &Machine) -> u64 {
    LEAST_BEYOND * levels::last_cache(machine)
}

/// Whether there is time to fill data of so many bytes, and all the memory that they take.
fn fits(machine: &Machine, run: Effort, bytes: u64, memory: u64) -> Result<(), Skip> {
    let largest = if run == Effort::Thorough { LARGEST_THOROUGH } else { LARGEST };
    let limit = machine.buffer_limit();
    let (reason, remedy) = if memory > limit {
        let reason = format!(
            "{} are needed, and {} may be used ({})",
            human_bytes(memory),
            human_bytes(limit),
            machine.buffer_limit_reason()
        );
        (reason, "raise the memory limit of the container or free memory")
    } else if bytes > largest {
        let (bytes, largest) = (human_bytes(bytes), human_bytes(largest));
        let remedy = match run {
            Effort::Thorough => "none: so large a cache leaves no time for data beyond it",
            _ => "run --tier thorough",
        };
        (format!("{bytes} are needed, and more than {largest} takes too long to fill"), remedy)
    } else {
        return Ok(());
    };
    let cache = human_bytes(levels::last_cache(machine));
    let need = format!("data of {LEAST_BEYOND} times the last cache, {cache}");
    Err(Skip::new(need, reason, remedy))
}

/// Samples the arms in turn.
fn interleave(bench: &mut Bench<'_>, arms: Vec<Arm<'_>>, plan: Plan) -> anyhow::Result<()> {
    let noted = arms.into_iter().map(|arm| {
        let own = arm.note.clone();
        arm.noted(plan.note.clone().or(own))
    });
    let noted = noted.collect();
    bench.interleave(noted, &plan.policy)
}

/// An arm of the quantity, by its way.
fn way<'k>(quantity: &'static str, how: &str, work: impl FnMut(u64) + 'k) -> Arm<'k> {
    Arm::new(quantity, params([(HOW, how.into())]), work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::machine::{Fact, MemoryBound};

    fn machine(cache: u64, memory: u64) -> Machine {
        let claims = format!(r#"[{{ "level": 3, "kind": "unified", "bytes": {cache} }}]"#);
        let caches = Fact::Known(serde_json::from_str(&claims).unwrap());
        let mut machine = Machine { caches, ..Machine::default() };
        let bound = MemoryBound { available_bytes: 2 * memory, ..Default::default() };
        machine.limits.memory = vec![bound];
        machine
    }

    #[test]
    fn data_grow_with_the_last_cache_as_far_as_memory_and_time_go() {
        let says = |cache: u64, memory: u64, run| {
            let machine = machine(cache << 20, memory << 20);
            let bytes = beyond(&machine);
            assert_eq!(bytes, cache << 21);
            fits(&machine, run, bytes, 2 * bytes).err()
        };
        assert_eq!(says(64, 256, Effort::Standard), None);
        let small = says(64, 255, Effort::Standard).unwrap();
        assert!(small.need.ends_with("the last cache, 64 MiB"), "{small:?}");
        assert!(small.reason.contains("256 MiB are needed") && small.remedy.contains("memory"));
        let large = says(96, 10_000, Effort::Quick).unwrap();
        assert!(
            large.reason.contains("128 MiB takes too long") && large.remedy.contains("thorough")
        );
        assert_eq!(says(96, 10_000, Effort::Thorough), None);
        assert!(says(1024, 10_000, Effort::Thorough).unwrap().remedy.starts_with("none"));
    }

    #[test]
    fn what_the_scheduler_decides_is_judged_by_medians() {
        for metric in PROBE.declaration().metrics.iter() {
            let text = format!("{:?}", metric.from);
            assert_eq!(text.contains("Median"), metric.tier == NoiseClass::T4, "{}", metric.id);
        }
    }
}
