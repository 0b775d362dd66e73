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

use card::record::Skip;
use std::borrow::Cow;
use std::time::Duration;

use crate::harness::bench::{Arm, Bench, Tier as RunTier, params};
use crate::harness::clock;
use crate::harness::levels::{self, LEAST_BEYOND};
use crate::harness::sampling::Policy;
use crate::probe::Probe;
use card::declare::{Better, Derive, Estimator, Metric, Text, Tier, Unit, metric, select, text};
use card::machine::{Machine, human_bytes};

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
    summary: "calls, allocation, maps, growth, buffers, locks around I/O, memory order: as advised and not",
    needs: &[],
    uses: &[],
    seconds: 1.2,
    metrics: METRICS,
    proofs: &[],
    in_kernel: true,
    declare: |_| (),
    run,
};

const FAMILY: &str = "idioms";

/// One way of a pair, by the parameter `how`.
macro_rules! way {
    ($tier:ident $quantity:literal $how:literal) => {{
        const HOW: &[(Text, Text)] = &[(text("how"), text($how))];
        Derive::Value(select($quantity, HOW), way!($tier))
    }};
    // What the scheduler decides has no undisturbed time to come near to.
    (T4) => {
        Estimator::Median
    };
    ($tier:ident) => {
        Estimator::LowerQuartile
    };
}

/// `id: tier "quantity" "how", summary` is a time, with a second way the first divided by it.
macro_rules! metrics {
    ($($id:literal: $tier:ident $quantity:literal $how:literal $(/ $advised:literal)?, $summary:literal;)+) => {
        &[$(metrics!(@one $id, $tier, $quantity, $how $(, $advised)?, $summary)),+]
    };
    (@one $id:literal, $tier:ident, $quantity:literal, $how:literal, $summary:literal) => {
        in_family($id, $summary, Unit::Ns, Tier::$tier, way!($tier $quantity $how))
    };
    (@one $id:literal, $tier:ident, $quantity:literal, $how:literal, $advised:literal, $summary:literal) => {{
        const BOTH: &[Derive] = &[way!($tier $quantity $how), way!($tier $quantity $advised)];
        in_family($id, $summary, Unit::Ratio, Tier::$tier, Derive::Quotient(Cow::Borrowed(BOTH)))
    }};
}

const fn in_family(
    id: &'static str,
    summary: &'static str,
    unit: Unit,
    tier: Tier,
    from: Derive,
) -> Metric {
    metric(id, summary, unit, Better::Lower, tier, FAMILY, from)
}

const METRICS: &[Metric] = metrics! {
    "idioms.call_inlined_ns": T2 "call" "inlined",
        "one turn of a loop around a small function that is inlined";
    "idioms.call_direct_ns": T2 "call" "direct",
        "the same with a call: two taken branches more, both predicted";
    "idioms.call_indirect_ns": T2 "call" "indirect",
        "through a function pointer that always holds the same target: predicted like any branch";
    "idioms.call_dyn_ns": T2 "call" "dyn",
        "through a dyn object, always of the same type: two loads before a predicted call";
    "idioms.call_indirect_unpredicted_ns": T2 "call" "indirect_random",
        "through one of 16 function pointers at random: 15 of 16 calls are mispredicted";
    "idioms.call_dyn_unpredicted_ns": T2 "call" "dyn_random",
        "through one of 16 dyn objects at random: 15 of 16 calls are mispredicted";
    "idioms.alloc_64b_ns": T2 "alloc" "heap_64",
        "allocate 64 bytes on the heap and free an older block of the kind";
    "idioms.alloc_pooled_ns": T2 "alloc" "pool_64",
        "take 64 bytes from a pool and give an older block back: two pointers change places";
    "idioms.alloc_stack_ns": T2 "alloc" "stack_64",
        "64 bytes on the stack: nothing to do but the write";
    "idioms.alloc_4k_ns": T2 "alloc" "heap_4k",
        "allocate 4 KiB on the heap and free an older block of the kind: no cache of the allocator holds them";
    "idioms.alloc_4k_pooled_ns": T2 "alloc" "pool_4k",
        "take 4 KiB from a pool and give an older block back";
    "idioms.map_int_key_ns": T2 "map" "int",
        "one lookup in a hash map with integer keys, in cache, each needed for the next: hashing is most of it";
    "idioms.map_string_key_ns": T2 "map" "text",
        "the same with keys of 20 bytes: more to hash, all to compare";
    "idioms.map_int_key_dram_ns": T3 "map" "int_dram",
        "one lookup in a hash map with integer keys beyond the caches: two misses in a row, tag and entry";
    "idioms.map_string_key_dram_ns": T3 "map" "text_dram",
        "the same with keys of 20 bytes: a third miss, where the entry's key lies";
    "idioms.vec_grow_ratio": T2 "vector" "grown" / "reserved",
        "1000 pushes to an empty vector, relative to one with room for them: nine reallocations and copies";
    "idioms.string_concat_ratio": T2 "string" "copied" / "appended",
        "256 pieces of 16 bytes, each making a new string, relative to a buffer: 128 bytes copied for each byte added";
    "idioms.once_ns": T2 "once" "once",
        "reading a value that is made on first use: one load and a predicted branch more than a plain read";
    "idioms.write_unbuffered_ratio": T2 "write" "unbuffered" / "buffered",
        "writing single bytes to a file in memory, relative to a buffer of 8 KiB: a system call each";
    "idioms.lock_around_io_ratio": T4 "io_lock" "held" / "released",
        "two threads with a counter and a file each: the lock held during the write, relative to before it";
    "idioms.column_order_ratio": T3 "matrix" "columns" / "rows",
        "adding up a matrix beyond the caches by columns, relative to rows: each number is on another line and page, though the next columns find the lines in L2";
    "idioms.array_of_structs_ratio": T3 "field" "structs" / "arrays",
        "one field of 8 bytes of 64-byte records, relative to an array of its own: a line for each";
    "idioms.packed_ratio": T2 "packed" "packed" / "padded",
        "fields of 9-byte packed records in cache, relative to 16-byte aligned ones: one load in 9 crosses a line";
    "idioms.packed_dram_ratio": T3 "packed" "packed_dram" / "padded_dram",
        "the same beyond the caches, where the smaller is less to fetch";
};

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
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
    policy: Policy,
    note: Option<String>,
}

/// Few samples: three dozen settings share a round, and five rounds agree or not. A hyperthread
/// sibling at work is waited out for as long as the pair may take; where it does not rest, what is
/// measured beside it is better than nothing, and says so.
fn plan(bench: &mut Bench<'_>, share: f64) -> Plan {
    let policy = Policy { want: 3, most: 5, ..Policy::structural(bench.share(share)) };
    let until = bench.meter.elapsed() + policy.time * 2;
    let mut quiet = 0;
    while quiet < QUIET_LOOKS && bench.meter.elapsed() < until {
        if clock::bracket(&bench.timer).is_busy() {
            quiet = 0;
            bench.meter.pause(Duration::from_micros(500));
        } else {
            quiet += 1;
        }
    }
    let quiet = quiet == QUIET_LOOKS;
    let note = (!quiet).then(|| "beside a busy hyperthread sibling".into());
    Plan { policy: Policy { quiet, ..policy }, note }
}

/// Looks of some dozen microseconds each.
const QUIET_LOOKS: u32 = 3;

/// Where memory takes part, neither the core's clock nor its other thread decide.
fn memory_plan(bench: &Bench<'_>, share: f64) -> Plan {
    let structural = Policy::structural(bench.share(share));
    let policy = Policy { want: 3, most: 5, quiet: false, core_bound: false, ..structural };
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
fn fits(machine: &Machine, run: RunTier, need: &str, bytes: u64, memory: u64) -> Result<(), Skip> {
    let largest = if run == RunTier::Thorough { LARGEST_THOROUGH } else { LARGEST };
    let limit = machine.buffer_limit();
    let (reason, remedy) = if memory > limit {
        let reason = format!(
            "{} are needed, and half of the memory that may be used is {} (limit set by {})",
            human_bytes(memory),
            human_bytes(limit),
            machine.memory_limit_source()
        );
        (reason, "raise the memory limit of the container or free memory")
    } else if bytes > largest {
        let (bytes, largest) = (human_bytes(bytes), human_bytes(largest));
        let remedy = match run {
            RunTier::Thorough => "none: so large a cache leaves no time for data beyond it",
            _ => "run --tier thorough",
        };
        (format!("{bytes} are needed, and more than {largest} takes too long to fill"), remedy)
    } else {
        return Ok(());
    };
    let cache = human_bytes(levels::last_cache(machine));
    let need = format!("data of {LEAST_BEYOND} times the last cache, {cache} ({need})");
    Err(Skip::new(need, reason, remedy))
}

/// Samples the arms in turn.
fn interleave(bench: &mut Bench<'_>, arms: Vec<Arm<'_>>, plan: Plan) -> anyhow::Result<()> {
    let noted = arms.into_iter().map(|arm| arm.noted(plan.note.clone())).collect();
    bench.interleave(noted, &plan.policy)
}

/// An arm of the quantity, by its way.
fn way<'k>(quantity: &'static str, how: &str, work: impl FnMut(u64) + 'k) -> Arm<'k> {
    Arm::new(quantity, params([("how", how.into())]), work)
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
            fits(&machine, run, "idioms.x_ratio", bytes, 2 * bytes).err()
        };
        assert_eq!(says(64, 256, RunTier::Standard), None);
        let small = says(64, 255, RunTier::Standard).unwrap();
        assert!(small.need.contains("64 MiB (idioms.x_ratio)"), "{small:?}");
        assert!(small.reason.contains("256 MiB are needed") && small.remedy.contains("memory"));
        let large = says(96, 10_000, RunTier::Quick).unwrap();
        assert!(
            large.reason.contains("128 MiB takes too long") && large.remedy.contains("thorough")
        );
        assert_eq!(says(96, 10_000, RunTier::Thorough), None);
        assert!(says(1024, 10_000, RunTier::Thorough).unwrap().remedy.starts_with("none"));
    }

    #[test]
    fn what_the_scheduler_decides_is_judged_by_medians() {
        for metric in METRICS {
            let text = format!("{:?}", metric.from);
            assert_eq!(text.contains("Median"), metric.tier == Tier::T4, "{}", metric.id);
        }
    }
}
