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

use std::borrow::Cow;

use crate::harness::bench::Bench;
use crate::probe::Probe;
use crate::threads::pinning;
use card::counters::Event;
use card::declare::{
    Better, Derive, Estimator, Metric, Proof, Text, Tier, Unit, metric, select, text,
};
use card::record::Params;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "context-switch",
    summary: "handing a CPU, or a message, from one task to another",
    needs: &[],
    uses: &[],
    seconds: 1.8,
    metrics: METRICS,
    // The kernel has no part in them.
    proofs: &[Proof::at_most(
        USER_IDS,
        select("user_switch", &[]),
        None,
        Event::ContextSwitches,
        0.001,
    )],
    in_kernel: true,
    declare: |_| (),
    run,
};

const FAMILY: &str = "context-switch";

/// Parameters of a selection: constant, so that it needs a name of its own.
const USER_IDS: &[Text] = &[
    text("context_switch.user_ns"),
    text("context_switch.user_return_ns"),
    text("context_switch.coroutine_ns"),
    text("context_switch.async_ns"),
];

macro_rules! at {
    ($($name:literal: $value:expr),*) => {{
        const AT: &[(Text, Text)] = &[$((text($name), text($value))),*];
        AT
    }};
}

macro_rules! round_trip {
    ($how:literal, $kind:literal, $place:literal, $words:literal) => {
        metric(
            concat!("context_switch.", $how, ".", $kind, ".", $place, ".round_trip_ns"),
            concat!("round trip by ", $how, " to a ", $kind, " ", $words),
            Unit::Ns,
            Better::Lower,
            Tier::T4,
            FAMILY,
            Derive::Value(
                select("round_trip", at!("how": $how, "kind": $kind, "place": $place)),
                Estimator::Median,
            ),
        )
    };
}

macro_rules! spinning {
    ($how:literal, $place:literal, $words:literal) => {
        metric(
            concat!("context_switch.", $how, ".thread.", $place, ".spinning_round_trip_ns"),
            concat!("round trip by ", $how, " to a thread ", $words, ", neither of them sleeping"),
            Unit::Ns,
            Better::Lower,
            Tier::T4,
            FAMILY,
            Derive::Value(
                select("spinning", at!("how": $how, "place": $place)),
                Estimator::Median,
            ),
        )
    };
}

/// Half of a round trip minus the calls of one side.
macro_rules! direct {
    ($id:literal, $how:literal, $kind:literal, $summary:literal) => {
        metric($id, $summary, Unit::Ns, Better::Lower, Tier::T4, FAMILY, {
            const TRIP: &[Derive] = &[Derive::Value(
        select("round_trip", at!("how": $how, "kind": $kind, "place": "same_cpu")),
                Estimator::Median,
            )];
            const PARTS: &[Derive] = &[
                Derive::Times(0.5, Cow::Borrowed(TRIP)),
        Derive::Value(select("without_switch", at!("how": $how)), Estimator::Median),
            ];
            Derive::Difference(Cow::Borrowed(PARTS))
        })
    };
}

macro_rules! ring {
    ($id:literal, $bytes:literal, $words:literal) => {
        metric(
            $id,
            concat!("one switch in a ring of 16 threads ", $words, ", calls and walk subtracted"),
            Unit::Ns,
            Better::Lower,
            Tier::T4,
            FAMILY,
            {
                const PARTS: &[Derive] = &[
                    Derive::Value(
                select("ring", at!("tasks": "16", "footprint": $bytes)),
                        Estimator::Median,
                    ),
            Derive::Value(select("walk", at!("footprint": $bytes)), Estimator::Median),
                ];
                Derive::Difference(Cow::Borrowed(PARTS))
            },
        )
    };
}

const fn user(id: &'static str, summary: &'static str, from: Derive) -> Metric {
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T2, FAMILY, from)
}

const PIPE: &[Derive] = &[Derive::Value(
    select("round_trip", at!("how": "pipe", "kind": "thread", "place": "same_cpu")),
    Estimator::Median,
)];
const PER_SWITCH: Derive = Derive::Times(0.5, Cow::Borrowed(PIPE));
const BY_JUMP: Derive =
    Derive::Value(select("user_switch", at!("how": "jump")), Estimator::LowerQuartile);
const BY_RETURN: Derive =
    Derive::Value(select("user_switch", at!("how": "return")), Estimator::LowerQuartile);
const COROUTINE: Derive =
    Derive::Value(select("user_switch", at!("how": "coroutine")), Estimator::LowerQuartile);
const ASYNC: Derive =
    Derive::Value(select("user_switch", at!("how": "async")), Estimator::LowerQuartile);
const TO_USER: &[Derive] = &[PER_SWITCH, BY_JUMP];
const TO_ASYNC: &[Derive] = &[PER_SWITCH, ASYNC];

/// The metrics that need a point of this quantity with these parameters.
fn metrics_of(quantity: &str, params: &Params) -> Vec<&'static str> {
    let need = |metric: &&Metric| needs(&metric.from, quantity, params);
    let ids = METRICS.iter().filter(need);
    ids.map(|metric| &*metric.id).collect()
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

const METRICS: &[Metric] = &[
    round_trip!("pipe", "thread", "same_cpu", "on the same CPU: two switches"),
    round_trip!("pipe", "process", "same_cpu", "on the same CPU: two switches"),
    round_trip!("futex", "thread", "same_cpu", "on the same CPU: two switches"),
    round_trip!("futex", "process", "same_cpu", "on the same CPU: two switches"),
    round_trip!("eventfd", "thread", "same_cpu", "on the same CPU: two switches"),
    round_trip!("eventfd", "process", "same_cpu", "on the same CPU: two switches"),
    round_trip!("yield", "thread", "same_cpu", "on the same CPU: two switches"),
    round_trip!("yield", "process", "same_cpu", "on the same CPU: two switches"),
    round_trip!("pipe", "thread", "sibling", "on a hyperthread sibling: two wake-ups"),
    round_trip!("pipe", "process", "sibling", "on a hyperthread sibling: two wake-ups"),
    round_trip!("futex", "thread", "sibling", "on a hyperthread sibling: two wake-ups"),
    round_trip!("futex", "process", "sibling", "on a hyperthread sibling: two wake-ups"),
    round_trip!("eventfd", "thread", "sibling", "on a hyperthread sibling: two wake-ups"),
    round_trip!("eventfd", "process", "sibling", "on a hyperthread sibling: two wake-ups"),
    round_trip!("pipe", "thread", "other_cpu", "on another CPU: two wake-ups"),
    round_trip!("pipe", "process", "other_cpu", "on another CPU: two wake-ups"),
    round_trip!("futex", "thread", "other_cpu", "on another CPU: two wake-ups"),
    round_trip!("futex", "process", "other_cpu", "on another CPU: two wake-ups"),
    round_trip!("eventfd", "thread", "other_cpu", "on another CPU: two wake-ups"),
    round_trip!("eventfd", "process", "other_cpu", "on another CPU: two wake-ups"),
    spinning!("pipe", "sibling", "on a hyperthread sibling"),
    spinning!("futex", "sibling", "on a hyperthread sibling"),
    spinning!("eventfd", "sibling", "on a hyperthread sibling"),
    spinning!("pipe", "other_cpu", "on another CPU"),
    spinning!("futex", "other_cpu", "on another CPU"),
    spinning!("eventfd", "other_cpu", "on another CPU"),
    metric(
        "context_switch.per_switch_ns",
        "one switch between threads on one CPU, system calls included: half of the pipe's round trip",
        Unit::Ns,
        Better::Lower,
        Tier::T4,
        FAMILY,
        PER_SWITCH,
    ),
    direct!(
        "context_switch.direct_ns",
        "pipe",
        "thread",
        "one switch between threads alone, by pipe: the system calls subtracted"
    ),
    direct!(
        "context_switch.process.direct_ns",
        "pipe",
        "process",
        "one switch between processes alone, by pipe: the system calls subtracted"
    ),
    direct!(
        "context_switch.futex.direct_ns",
        "futex",
        "thread",
        "one switch between threads alone, by futex: the system calls subtracted"
    ),
    direct!(
        "context_switch.eventfd.direct_ns",
        "eventfd",
        "thread",
        "one switch between threads alone, by eventfd: the system calls subtracted"
    ),
    direct!(
        "context_switch.yield.direct_ns",
        "yield",
        "thread",
        "one switch between threads alone, by sched_yield: the system call subtracted"
    ),
    metric(
        "context_switch.wakeup_ns",
        "from the call that wakes a thread on another CPU to its answer, asleep for 50 µs before",
        Unit::Ns,
        Better::Lower,
        Tier::T4,
        FAMILY,
        Derive::Value(
            select("wakeup", at!("place": "other_cpu", "asleep_us": "50")),
            Estimator::Median,
        ),
    ),
    metric(
        "context_switch.wakeup_idle_ns",
        "the same with a CPU that was idle for 1 ms before",
        Unit::Ns,
        Better::Lower,
        Tier::T4,
        FAMILY,
        Derive::Value(
            select("wakeup", at!("place": "other_cpu", "asleep_us": "1000")),
            Estimator::Median,
        ),
    ),
    ring!("context_switch.ring_0k_ns", "0", "without memory of their own"),
    ring!("context_switch.ring_16k_ns", "16384", "that visit 16 KiB each"),
    ring!("context_switch.ring_64k_ns", "65536", "that visit 64 KiB each"),
    ring!("context_switch.ring_256k_ns", "262144", "with 256 KiB each, 64 KiB of it in a turn"),
    ring!("context_switch.ring_1m_ns", "1048576", "with 1 MiB each, 64 KiB of it in a turn"),
    user(
        "context_switch.user_ns",
        "one switch between two stacks without the kernel, back by an indirect jump",
        BY_JUMP,
    ),
    user(
        "context_switch.user_return_ns",
        "the same back by a return, which the CPU predicts wrong",
        BY_RETURN,
    ),
    user("context_switch.coroutine_ns", "one switch to or from a corosensei coroutine", COROUTINE),
    user(
        "context_switch.async_ns",
        "one switch between two async tasks that wake each other through a queue",
        ASYNC,
    ),
    metric(
        "context_switch.thread_to_user_ratio",
        "a switch between threads on one CPU, calls included, in switches between stacks",
        Unit::Ratio,
        Better::Same,
        Tier::T4,
        FAMILY,
        Derive::Quotient(Cow::Borrowed(TO_USER)),
    ),
    metric(
        "context_switch.thread_to_async_ratio",
        "a switch between threads on one CPU, calls included, in switches between async tasks",
        Unit::Ratio,
        Better::Same,
        Tier::T4,
        FAMILY,
        Derive::Quotient(Cow::Borrowed(TO_ASYNC)),
    ),
];

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    user::run(bench)?;
    let cpus = pinning::pinnable(bench.machine.allowed_cpus());
    pinning::pin(bench.cpu);
    if cpus.is_empty() {
        return bench.skip(pinning::unpinned().of([
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
