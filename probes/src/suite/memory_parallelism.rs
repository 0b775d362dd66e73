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

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::Context;

use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::levels::{self, Levels};
use crate::harness::need::Need;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::parallel::{AHEAD, CHASES, Gather, IN_REGISTERS, Lines, STREAMS, Way};
use crate::probe::Probe;
use crate::sys::memory::{LINE, Pages};
use card::counters::Event;
use card::declare::{Better, Declare, Estimator, Level, NoiseClass, ReportOnly, Unit, at_least};
use card::machine::human_bytes;
use card::record::{Params, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "memory-parallelism",
    summary: "memory-level parallelism (MLP) of one core by level; prefetches in flight",
    needs: &[Need::Memory(8 << 20)],
    uses: levels::USES,
    seconds: 1.0,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    let time = d.quantity(TIME, Unit::Ns, Estimator::LowerQuartile);
    let at = |level: Level| time.with("level", level.name());
    let one = |level| at(level).with("method", "chase").with("chains", 1);
    let fastest = |level, kind: Kind| at(level).with("kind", kind.name()).lowest();
    let in_flight = |level, kind| one(level) / fastest(level, kind);
    let caches = [
        (Level::L1, "outstanding L1 hits (MLP)", NoiseClass::T2, "l1-l2"),
        (Level::L2, "outstanding L2 hits (MLP)", NoiseClass::T2, "l1-l2"),
        (Level::L3, "outstanding L3 hits (MLP)", NoiseClass::T3, "l3"),
    ];
    for (level, summary, tier, family) in caches {
        d.family(family);
        let id = format!("memory.parallelism.{}_misses", level.name());
        d.report_only((level == Level::L3).then_some(ReportOnly::Neighbours));
        d.metric(id, tier, in_flight(level, Kind::Demand), summary).better(Better::Higher);
    }
    d.family("dram-bandwidth");
    let misses = [
        ("dram", Kind::Demand, "outstanding demand misses from DRAM (MLP)"),
        ("dram_prefetch", Kind::Prefetch, "outstanding software prefetches from DRAM (MLP)"),
        ("dram_stream", Kind::Stream, "outstanding hardware prefetches from DRAM, by Little's law"),
    ];
    for (name, kind, summary) in misses {
        let id = format!("memory.parallelism.{name}_misses");
        d.report_only((kind != Kind::Demand).then_some(ReportOnly::Repeats));
        d.metric(id, NoiseClass::T3, in_flight(Level::Dram, kind), summary).better(Better::Higher);
    }
    d.report_only(None);
    let rates = [
        (Kind::Demand, "random DRAM reads by demand misses, one core"),
        (Kind::Prefetch, "random DRAM reads by software prefetches, one core"),
        (Kind::Stream, "sequential DRAM reads by hardware prefetches, one core"),
    ];
    for (kind, summary) in rates {
        let id = format!("memory.parallelism.dram_{}_gbs", kind.name());
        d.metric(id, NoiseClass::T3, fastest(Level::Dram, kind).rate(LINE as f64), summary);
    }
    let dram = ["memory.parallelism.dram_misses"];
    d.proof(dram, one(Level::Dram), Event::LlcMisses, at_least(0.95));
}

const TIME: &str = "time_per_load";

/// What asks for the lines.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Demand,
    Prefetch,
    Stream,
}

impl Kind {
    fn name(self) -> &'static str {
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
            let skip = Skip::new(
                format!("a working set in {}", which.name()),
                levels.why_not(which),
                "none, unless the machine is partitioned or its memory limited",
            );
            bench.skip(skip.of([format!("memory.parallelism.{}_*", which.name())]))?;
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
    bench.interleave(
        arms,
        &SamplingPlan {
            min_samples: want,
            max_samples: most,
            ..SamplingPlan::structural(left / 4)
        },
    )?;
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
    use card::declare::{Derive, Select, Text};

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
        for select in PROBE.declaration().metrics.iter().flat_map(|metric| selects(&metric.from)) {
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
