//! What it costs to hand a CPU from one task to another: through the kernel, and without it.
//!
//! Method: two tasks answer each other, one message at a time, through a pipe, a futex, an eventfd;
//! or give the CPU away by `sched_yield`. The partner is a thread or a process, on the same CPU, on
//! a hyperthread sibling, on another CPU. A round trip is two messages: on one CPU two switches, two
//! calls that send and two that receive. `direct` is one switch alone: half of a round trip minus
//! one call that sends and one that receives, made by a task that has no one to switch to. Switches
//! are counted on both sides of every repetition (getrusage): one in which a task did not sleep as
//! often as it was answered is set aside; yields are divided by the switches they led to, after the
//! calls of either side that led to none are subtracted. A
//! wake-up is timed by a waker that does not sleep itself. A ring of tasks on one CPU passes a token;
//! who has it follows a chain of up to 1024 loads through memory of its own. What the same loads and
//! calls cost one task alone is subtracted: what is left is the switch, and the caches that others
//! have filled. Without
//! the kernel: two stacks by a few instructions of ours, which come back by a return or by an
//! indirect jump; a coroutine of the corosensei crate; two async tasks that wake each other through
//! a queue.
//! Blind spots: two tasks are not a busy machine, whose run queues are longer; no task uses wide
//! vector registers; across CPUs, how deep the other one sleeps decides, and in a virtual machine
//! the host with it. Partners that never sleep are threads only: between CPUs a process has the same
//! path through memory, and a shared word costs the same.
//! Expect: 0.7 to 2 µs per switch on one CPU, more between processes; 1 to 50 µs to wake another
//! CPU; 1 to 15 ns between two stacks; a return instead of a jump costs a misprediction more.

mod counted;
mod pairs;
mod ring;
mod user;

use crate::harness::bench::Bench;
use crate::probe::Probe;
use crate::threads::cpus;
use crate::threads::partner::Mechanism;
use card::counters::Event;
use card::declare::{
    Better, Declare, Derive, Estimator, NoiseClass, Points, ReportOnly, Text, Unit, at_most,
};
use card::record::Params;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "context-switch",
    summary: "context switches, cross-CPU wake-ups, user-level switches",
    needs: &[],
    uses: &[],
    seconds: 1.8,
    in_kernel: true,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("context-switch");
    let trip = d.quantity("round_trip", Unit::Ns, Estimator::Median);
    let without = d.quantity("without_switch", Unit::Ns, Estimator::Median);
    let of = |how: &str, kind: &str, place: &str| {
        trip.with("how", how).with("kind", kind).with("place", place)
    };
    round_trips(d, &of);
    let per_switch = of("pipe", "thread", "same_cpu").value().times(0.5);
    d.metric(
        "context_switch.per_switch_ns",
        NoiseClass::T4,
        per_switch.clone(),
        "one switch between threads on one CPU, system calls included: half of the pipe's round trip",
    );
    // Half of a round trip minus the calls of one side.
    for (stem, how, kind, calls) in [
        ("", "pipe", "thread", "the system calls"),
        ("process.", "pipe", "process", "the system calls"),
        ("futex.", "futex", "thread", "the system calls"),
        ("eventfd.", "eventfd", "thread", "the system calls"),
        ("yield.", "yield", "thread", "the system call"),
    ] {
        let (by, s) = (
            if how == "yield" { "sched_yield" } else { how },
            if kind == "process" { "es" } else { "s" },
        );
        d.metric(
            format!("context_switch.{stem}direct_ns"),
            NoiseClass::T4,
            of(how, kind, "same_cpu").value().times(0.5) - without.with("how", how).value(),
            format!("one switch between {kind}{s} alone, by {by}: {calls} subtracted"),
        );
    }
    wakeups(d);
    rings(d);
    user_switches(d, &per_switch);
}

fn round_trips(d: &mut Declare, of: &impl Fn(&str, &str, &str) -> Points) {
    const HOWS: [&str; 4] = ["pipe", "futex", "eventfd", "yield"];
    const PLACES: [(&str, &str, &[&str]); 3] = [
        ("same_cpu", "on the same CPU: two switches", &HOWS),
        ("sibling", "on an SMT sibling: two wake-ups", HOWS.split_at(3).0),
        ("other_cpu", "on another CPU: two wake-ups", HOWS.split_at(3).0),
    ];
    let placed = Some(ReportOnly::Placement);
    for (place, words, hows) in PLACES {
        d.report_only(placed.filter(|_| place != "same_cpu"));
        for how in hows {
            for kind in ["thread", "process"] {
                d.metric(
                    format!("context_switch.{how}.{kind}.{place}.round_trip_ns"),
                    NoiseClass::T4,
                    of(how, kind, place),
                    format!("round trip by {how} to a {kind} {words}"),
                );
            }
        }
    }
    d.report_only(placed);
    let spinning = d.quantity("spinning", Unit::Ns, Estimator::Median);
    for (place, words) in [("sibling", "an SMT sibling"), ("other_cpu", "another CPU")] {
        for how in Mechanism::ALL.map(Mechanism::name) {
            d.metric(
                format!("context_switch.{how}.thread.{place}.spinning_round_trip_ns"),
                NoiseClass::T4,
                spinning.with("how", how).with("place", place),
                format!("round trip by {how} to a thread on {words}, both spinning"),
            );
        }
    }
    d.report_only(None);
}

fn wakeups(d: &mut Declare) {
    let wakeup = d.quantity("wakeup", Unit::Ns, Estimator::Median).with("place", "other_cpu");
    let [a_moment, idle] = pairs::ASLEEP_US.map(|us| wakeup.with("asleep_us", us));
    d.metric(
        "context_switch.wakeup_ns",
        NoiseClass::T4,
        a_moment,
        "cross-CPU wake-up latency, asleep for 50 µs before",
    )
    .report_only(ReportOnly::Placement);
    d.metric(
        "context_switch.wakeup_idle_ns",
        NoiseClass::T4,
        idle,
        "cross-CPU wake-up latency, idle for 1 ms before",
    )
    .report_only(ReportOnly::Placement);
}

fn rings(d: &mut Declare) {
    let ring = d.quantity("ring", Unit::Ns, Estimator::Median).with("tasks", ring::MOST);
    let walk = d.quantity("walk", Unit::Ns, Estimator::Median);
    let words = [
        ("0k", "without a memory footprint"),
        ("16k", "with 16 KiB footprint each"),
        ("64k", "with 64 KiB footprint each"),
        ("256k", "with 256 KiB footprint each, 64 KiB read per turn"),
        ("1m", "with 1 MiB footprint each, 64 KiB read per turn"),
    ];
    for (bytes, (size, words)) in ring::FOOTPRINTS.into_iter().zip(words) {
        d.report_only((bytes > LARGEST_IN_L2).then_some(ReportOnly::Neighbours));
        d.metric(
            format!("context_switch.ring_{size}_ns"),
            NoiseClass::T4,
            ring.with("footprint", bytes) - walk.with("footprint", bytes),
            format!("context switch including cache refill, ring of 16 threads {words}"),
        );
    }
    d.report_only(None);
}

/// What each of the threads of a ring may visit, so that all of it stays in L2.
const LARGEST_IN_L2: usize = 16 << 10;

fn user_switches(d: &mut Declare, per_switch: &Derive) {
    let switch = d.quantity("user_switch", Unit::Ns, Estimator::LowerQuartile);
    let by = |how: &str| switch.with("how", how).value();
    let ways = [
        ("user", "jump", "user-level context switch by indirect jump"),
        ("user_return", "return", "user-level context switch by ret (RAS mispredict)"),
        ("coroutine", "coroutine", "one switch to or from a corosensei coroutine"),
        (
            "async",
            "async",
            "one switch between two async tasks that wake each other through a queue",
        ),
    ];
    for (name, how, summary) in ways {
        d.cost(&format!("context_switch.{name}"), NoiseClass::T2, by(how), summary);
    }
    d.metric(
        "context_switch.thread_to_user_ratio",
        NoiseClass::T4,
        per_switch.clone() / by("jump"),
        "thread switch, system calls included ÷ user-level switch",
    )
    .better(Better::Same);
    d.metric(
        "context_switch.thread_to_async_ratio",
        NoiseClass::T4,
        per_switch.clone() / by("async"),
        "thread switch, system calls included ÷ async task switch",
    )
    .better(Better::Same);
    // The kernel has no part in them.
    let ids = [
        "context_switch.user_ns",
        "context_switch.user_return_ns",
        "context_switch.coroutine_ns",
        "context_switch.async_ns",
    ];
    d.proof(ids, switch, Event::ContextSwitches, at_most(0.001));
}

/// The metrics that need a point of this quantity with these parameters.
fn metrics_of(quantity: &str, params: &Params) -> Vec<String> {
    let declared = PROBE.declaration();
    let of_it = declared.metrics.iter().filter(|metric| needs(&metric.from, quantity, params));
    of_it.map(|metric| metric.id.to_string()).collect()
}

fn needs(derive: &Derive, quantity: &str, params: &Params) -> bool {
    match derive {
        Derive::Value(select, _) => {
            let same = |(name, value): &(Text, Text)| {
                params.get(&**name).is_some_and(|param| param.to_string() == *value)
            };
            select.quantity == quantity && select.params.iter().all(same)
        }
        Derive::Times(_, parts) | Derive::Difference(parts) | Derive::Quotient(parts) => {
            parts.iter().any(|part| needs(part, quantity, params))
        }
        _ => false,
    }
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    user::run(bench)?;
    let cpus = cpus::pinnable(bench);
    if cpus.is_empty() {
        return bench.skip(cpus::unpinned(bench.machine, bench.cpu).of([
            "context_switch.*_trip_ns",
            "context_switch.*direct_ns",
            "context_switch.wakeup*",
            "context_switch.ring*",
            "context_switch.per_switch_ns",
            "context_switch.thread_to*",
        ]));
    }
    pairs::run(bench, &cpus)?;
    ring::run(bench)
}
