//! How many misses one core keeps in flight: why one core cannot fill the memory.
//!
//! Method: by Little's law what is in flight is the latency of one load divided by the time per
//! load when as many as possible overlap. Lines in random order are read by 1 to 24 chains of
//! dependent loads, by gathers of up to 128, and from a list of addresses, where only the core's
//! window limits how many loads are under way; the fastest of these is what demand loads reach.
//! Beside it, in main memory: the list with each address prefetched up to 128 loads before it is
//! loaded, into the first or the second level, and one load from each line in straight lines, which
//! the hardware prefetchers foresee. All settings of a level take turns, since latency drifts. A
//! rate is 64 bytes in the time per line, as a stream of such loads would have it.
//! Blind spots: in main memory both times hold page walks where the host backs a guest with 4 KiB
//! pages; demand loads hardly notice, prefetches into the second level do (a third slower on a Zen 4
//! guest). Lines are taken for 64 bytes. What straight lines have in flight is counted as if each
//! line took as long as a random one, which needs a walk and an open row more. Prefetches that
//! nothing waits for would read many times faster: a CPU drops those it has no buffer for.
//! Expect: in L1 two or three loads a cycle over 4 or 5 cycles; then the buffers for L1 misses, 10 to
//! 24 on most cores; with prefetches those of L2, 32 to 64.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::Context;

use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::levels::{self, Levels};
use crate::harness::sampling::Policy;
use crate::kernel::parallel::{AHEAD, CHASES, Gather, IN_REGISTERS, Lines, STREAMS, Way};
use crate::probe::{Need, Probe};
use crate::sys::memory::{LINE, Pages};
use card::counters::Event;
use card::declare::{
    Better, Derive, Estimator, Level, Metric, Proof, Text, Tier, Unit, metric, select, text,
};
use card::machine::human_bytes;
use card::record::{Params, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "memory-parallelism",
    summary: "misses that one core keeps in flight, by level and by how they are asked for",
    needs: &[Need::Memory(8 << 20)],
    uses: levels::USES,
    seconds: 1.0,
    metrics: &[
        misses("memory.parallelism.l1_misses", "L1 hits in flight", Level::L1, L1_MISSES),
        misses("memory.parallelism.l2_misses", "L2 hits in flight", Level::L2, L2_MISSES),
        misses("memory.parallelism.l3_misses", "L3 hits in flight", Level::L3, L3_MISSES),
        misses(
            "memory.parallelism.dram_misses",
            "demand loads from main memory in flight",
            Level::Dram,
            DRAM_MISSES,
        ),
        misses(
            "memory.parallelism.dram_prefetch_misses",
            "lines in flight from main memory when prefetched by instructions",
            Level::Dram,
            DRAM_PREFETCH_MISSES,
        ),
        misses(
            "memory.parallelism.dram_stream_misses",
            "lines in flight from main memory when prefetched by hardware, as if each were random",
            Level::Dram,
            DRAM_STREAM_MISSES,
        ),
        rate(
            "memory.parallelism.dram_demand_gbs",
            "64-byte lines by as many demand loads from main memory as one core keeps in flight",
            DRAM_DEMAND,
        ),
        rate(
            "memory.parallelism.dram_prefetch_gbs",
            "64-byte lines from main memory at random, prefetched by instructions",
            DRAM_PREFETCH,
        ),
        rate(
            "memory.parallelism.dram_stream_gbs",
            "64-byte lines from main memory in straight lines, prefetched by hardware",
            DRAM_STREAM,
        ),
    ],
    proofs: &[Proof::at_least(DRAM_IDS, select(TIME, DRAM_ONE), None, Event::LlcMisses, 0.95)],
    in_kernel: false,
    declare: |_| (),
    run,
};

const fn misses(
    id: &'static str,
    summary: &'static str,
    level: Level,
    parts: &'static [Derive],
) -> Metric {
    let (tier, family) = match level {
        Level::L1 | Level::L2 => (Tier::T2, "l1-l2"),
        Level::L3 => (Tier::T3, "l3"),
        Level::Dram => (Tier::T3, "dram-bandwidth"),
    };
    let from = Derive::Quotient(Cow::Borrowed(parts));
    metric(id, summary, Unit::Count, Better::Higher, tier, family, from)
}

const fn rate(id: &'static str, summary: &'static str, time: &'static [Derive]) -> Metric {
    let from = Derive::Rate(LINE as f64, Cow::Borrowed(time));
    metric(id, summary, Unit::Gbs, Better::Higher, Tier::T3, "dram-bandwidth", from)
}

const DRAM_IDS: &[Text] = &[text("memory.parallelism.dram_misses")];
const TIME: &str = "time_per_load";

const fn level(level: Level) -> (Text, Text) {
    (text("level"), text(level.name()))
}

const KIND_DEMAND: (Text, Text) = (text("kind"), text(Kind::Demand.name()));
const KIND_PREFETCH: (Text, Text) = (text("kind"), text(Kind::Prefetch.name()));
const KIND_STREAM: (Text, Text) = (text("kind"), text(Kind::Stream.name()));
const CHASE: (Text, Text) = (text("method"), text("chase"));
const ONE: (Text, Text) = (text("chains"), text("1"));

const L1_ONE: &[(Text, Text)] = &[level(Level::L1), CHASE, ONE];
const L2_ONE: &[(Text, Text)] = &[level(Level::L2), CHASE, ONE];
const L3_ONE: &[(Text, Text)] = &[level(Level::L3), CHASE, ONE];
const DRAM_ONE: &[(Text, Text)] = &[level(Level::Dram), CHASE, ONE];
const L1_ALL: &[(Text, Text)] = &[level(Level::L1), KIND_DEMAND];
const L2_ALL: &[(Text, Text)] = &[level(Level::L2), KIND_DEMAND];
const L3_ALL: &[(Text, Text)] = &[level(Level::L3), KIND_DEMAND];
const DRAM_ALL: &[(Text, Text)] = &[level(Level::Dram), KIND_DEMAND];
const DRAM_PREFETCHED: &[(Text, Text)] = &[level(Level::Dram), KIND_PREFETCH];
const DRAM_STREAMED: &[(Text, Text)] = &[level(Level::Dram), KIND_STREAM];

const fn latency(params: &'static [(Text, Text)]) -> Derive {
    Derive::Value(select(TIME, params), Estimator::LowerQuartile)
}

const fn fastest(params: &'static [(Text, Text)]) -> Derive {
    Derive::Lowest(select(TIME, params))
}

const L1_MISSES: &[Derive] = &[latency(L1_ONE), fastest(L1_ALL)];
const L2_MISSES: &[Derive] = &[latency(L2_ONE), fastest(L2_ALL)];
const L3_MISSES: &[Derive] = &[latency(L3_ONE), fastest(L3_ALL)];
const DRAM_MISSES: &[Derive] = &[latency(DRAM_ONE), fastest(DRAM_ALL)];
const DRAM_PREFETCH_MISSES: &[Derive] = &[latency(DRAM_ONE), fastest(DRAM_PREFETCHED)];
const DRAM_STREAM_MISSES: &[Derive] = &[latency(DRAM_ONE), fastest(DRAM_STREAMED)];
const DRAM_DEMAND: &[Derive] = &[fastest(DRAM_ALL)];
const DRAM_PREFETCH: &[Derive] = &[fastest(DRAM_PREFETCHED)];
const DRAM_STREAM: &[Derive] = &[fastest(DRAM_STREAMED)];

/// What asks for the lines.
#[derive(Clone, Copy)]
enum Kind {
    Demand,
    Prefetch,
    Stream,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Demand => "demand",
            Kind::Prefetch => "prefetch",
            Kind::Stream => "stream",
        }
    }
}

/// The part of the largest working set that the ring lies in; streams read the rest. Both are more
/// than the last cache holds where memory allows, and each is read through before it is read again.
const RING: (usize, usize) = (2, 3);

/// Rings up to this size are walked until they are where they belong.
const CACHED: u64 = 64 << 20;

/// Walks before the first sample, in laps: what was there before goes away.
const WARM_UP: u64 = 4;

/// Samples of a setting. The quartile of a round needs no more; there are sixty settings.
const SAMPLES: (usize, usize) = (3, 5);

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let levels = Levels::of(bench);
    let sets = levels.working_sets();
    let largest = sets.iter().map(|set| set.1).max().context("no working set is known")?;
    let mut lines = Lines::new(usize::try_from(largest)?, Pages::Huge)
        .with_context(|| format!("cannot map {}", human_bytes(largest)))?;
    let notes = [levels.note.clone(), backing::note(lines.buffer())];
    let note = notes.into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
    let mut order = [Level::L1, Level::L2, Level::L3, Level::Dram];
    // What comes last may run out of time: not the same in every round.
    bench.rng.shuffle(&mut order);
    for (i, &which) in order.iter().enumerate() {
        let Some(&(_, bytes)) = sets.iter().find(|set| set.0 == which) else {
            bench.skip(Skip::new(
                format!("a working set in {} for memory-parallelism", which.name()),
                levels.why_not(which),
                "none, unless the machine is partitioned or its memory limited",
            ))?;
            continue;
        };
        let parts = order[i..].iter().map(|&level| part(level)).sum();
        let share = bench.left() / parts * part(which);
        measure(bench, &mut lines, which, bytes, share, note.as_deref())?;
    }
    Ok(())
}

/// Main memory has as many settings as two of the caches, and longer ones.
fn part(level: Level) -> u32 {
    if level == Level::Dram { 3 } else { 1 }
}

/// All settings of one level in turn.
fn measure(
    bench: &mut Bench<'_>,
    lines: &mut Lines,
    level: Level,
    bytes: u64,
    share: Duration,
    note: Option<&str>,
) -> anyhow::Result<()> {
    let began = bench.meter.elapsed();
    let bytes = usize::try_from(bytes)?;
    lines.lay(if level == Level::Dram { bytes / RING.1 * RING.0 } else { bytes }, &mut bench.rng);
    if level != Level::Dram && bytes as u64 <= CACHED {
        lines.read(Way::List, WARM_UP * lines.ring());
    }
    let (lines, right) = (&RefCell::new(lines), &Cell::new(true));
    let arm = |(way, setting): (Way, Params)| {
        let read = move |loads| lines.borrow_mut().read(way, loads);
        // The answer of the sample before is checked outside the timed region.
        let check = |_| right.set(right.get() && lines.borrow().is_right());
        Arm::new(TIME, setting, read)
            .prepared(check)
            .in_blocks_of(way.block())
            .noted(note.map(Into::into))
    };
    let arms: Vec<Arm<'_>> = settings(level).into_iter().map(arm).collect();
    let left = share.saturating_sub(bench.meter.elapsed() - began);
    let (want, most) = SAMPLES;
    // The bench waits for quiet up to four times as long as it is told, which is the share.
    bench.interleave(arms, &Policy { want, most, ..Policy::structural(left / 4) })?;
    let right = right.get() && lines.borrow().is_right() && lines.borrow().is_whole();
    bench.check(right, || format!("loads from a ring in {} went astray", level.name()))
}

/// What is compared at a level.
fn settings(level: Level) -> Vec<(Way, Params)> {
    let demand = |way, method: &str, chains: Option<usize>| {
        (way, setting(level, Kind::Demand, method, chains.map(|n| ("chains", n))))
    };
    let chase = |n| demand(Way::Chase(n), "chase", Some(n));
    if level == Level::L1 {
        // The other ways take more instructions than loads, and an L1 hit no longer than those.
        return CHASES.into_iter().filter(|&n| n <= IN_REGISTERS).map(chase).collect();
    }
    let mut all: Vec<(Way, Params)> = CHASES.map(chase).into();
    all.push(demand(Way::List, "list", None));
    if level == Level::Dram {
        if let Some(gather) = Gather::detect() {
            all.extend(gather.vectors().iter().map(|&vectors| {
                demand(Way::Gather(gather, vectors), "gather", Some(vectors * gather.lanes()))
            }));
        }
        for (near, method) in [(true, "prefetch_t0"), (false, "prefetch_t1")] {
            all.extend(AHEAD.map(|ahead| {
                let chains = Some(("chains", ahead));
                (Way::Prefetch { ahead, near }, setting(level, Kind::Prefetch, method, chains))
            }));
        }
        all.extend(STREAMS.map(|streams| {
            let number = Some(("streams", streams));
            (Way::Stream(streams), setting(level, Kind::Stream, "stream", number))
        }));
    }
    all
}

/// What a list or a stream offers at once has no number: the core takes what it can.
fn setting(level: Level, kind: Kind, method: &str, number: Option<(&str, usize)>) -> Params {
    let mut all = params([
        ("level", level.name().into()),
        ("kind", kind.name().into()),
        ("method", method.into()),
    ]);
    all.extend(number.map(|(name, n)| (name.to_owned(), (n as u64).into())));
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use card::declare::Select;

    const LEVELS: [Level; 4] = [Level::L1, Level::L2, Level::L3, Level::Dram];

    fn selects(from: &Derive) -> Vec<&Select> {
        match from {
            Derive::Quotient(parts) | Derive::Rate(_, parts) => {
                parts.iter().flat_map(selects).collect()
            }
            Derive::Value(select, _) | Derive::Lowest(select) => vec![select],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_metric_finds_its_settings() {
        let all: Vec<Params> =
            LEVELS.into_iter().flat_map(settings).map(|(_, params)| params).collect();
        for select in PROBE.metrics.iter().flat_map(|metric| selects(&metric.from)) {
            let found = all.iter().filter(|params| {
                let is = |(name, value): &(Text, Text)| {
                    params.get(name.as_ref()).is_some_and(|param| param.to_string() == *value)
                };
                select.params.iter().all(is)
            });
            assert!(found.count() > 0, "{select:?}");
        }
    }

    #[test]
    fn no_setting_is_measured_twice() {
        for level in LEVELS {
            let all = settings(level);
            let seen: BTreeSet<&Params> = all.iter().map(|(_, params)| params).collect();
            assert_eq!(seen.len(), all.len());
        }
    }
}
