//! Which hardware events were counted on a machine, and why others were not: data of the card.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::vocabulary;

/// How often each event happened during one sample.
pub type Counts = BTreeMap<Event, u64>;

/// Events that are counted for every probe, beside those that prove it.
const USUAL: [Event; 8] = [
    Event::CoreCycles,
    Event::Instructions,
    Event::Mispredicts,
    Event::L1dMisses,
    Event::LlcMisses,
    Event::RetiredSlots,
    Event::FrontendSlots,
    Event::BackendSlots,
];

/// A purpose: what is to be known, whatever a vendor calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Cycles of the core's own clock, not of a reference.
    CoreCycles,
    /// Instructions retired.
    Instructions,
    /// Branches retired.
    Branches,
    /// Branches retired that were mispredicted.
    Mispredicts,
    /// Loads that missed the first-level data cache.
    L1dMisses,
    /// Demand accesses that missed the second-level cache.
    L2Misses,
    /// Demand accesses that missed the last-level cache and went to memory.
    LlcMisses,
    /// Loads that missed the first-level data TLB.
    DtlbMisses,
    /// Page walks for data: misses of the last-level TLB.
    DtlbWalks,
    /// Loads that had to wait because a store could not be forwarded to them.
    StoreForwardBlocks,
    /// Fills from another core's cache, where the line may have been modified.
    RemoteFills,
    /// Interrupts taken.
    Interrupts,
    /// Dispatch slots whose operation retired (top-down level 1).
    RetiredSlots,
    /// Dispatch slots that the front end left empty.
    FrontendSlots,
    /// Dispatch slots that the back end had no room for.
    BackendSlots,
    /// Context switches of this thread.
    ContextSwitches,
    /// Moves of this thread to another CPU.
    Migrations,
    /// Page faults.
    Faults,
}

impl Event {
    /// All of them, the most wanted first.
    pub const ALL: [Event; 18] = [
        Event::CoreCycles,
        Event::Instructions,
        Event::Branches,
        Event::Mispredicts,
        Event::L1dMisses,
        Event::L2Misses,
        Event::LlcMisses,
        Event::DtlbMisses,
        Event::DtlbWalks,
        Event::StoreForwardBlocks,
        Event::RemoteFills,
        Event::Interrupts,
        Event::RetiredSlots,
        Event::FrontendSlots,
        Event::BackendSlots,
        Event::ContextSwitches,
        Event::Migrations,
        Event::Faults,
    ];

    /// In words, for one of them.
    pub fn title(self) -> &'static str {
        match self {
            Event::CoreCycles => "core cycles",
            Event::Instructions => "instructions",
            Event::Branches => "branches",
            Event::Mispredicts => "mispredicts",
            Event::L1dMisses => "L1D misses",
            Event::L2Misses => "L2 misses",
            Event::LlcMisses => "LLC misses",
            Event::DtlbMisses => "L1 DTLB misses",
            Event::DtlbWalks => "page walks",
            Event::StoreForwardBlocks => "store-forward blocks",
            Event::RemoteFills => "fills from another core",
            Event::Interrupts => "interrupts",
            Event::RetiredSlots => "slots retired",
            Event::FrontendSlots => "slots lost in the front end",
            Event::BackendSlots => "slots lost in the back end",
            Event::ContextSwitches => "context switches",
            Event::Migrations => "migrations",
            Event::Faults => "page faults",
        }
    }

    /// Counted by the kernel, not by the core.
    pub fn is_software(self) -> bool {
        matches!(self, Event::ContextSwitches | Event::Migrations | Event::Faults)
    }
}

/// How the kernel is asked for an event: `type` and `config` of its `perf_event_attr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// Which of the kernel's devices.
    pub kind: u32,
    /// Which of its events.
    pub config: u64,
}

/// A purpose, and what the CPU at hand has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The purpose.
    pub event: Event,
    /// The vendor's name of it, or the kernel's.
    pub name: String,
    /// How the kernel is asked.
    pub encoding: Encoding,
    /// What happens in the kernel counts as well: it is where its own events happen, and some
    /// counters cannot tell.
    #[serde(default)]
    pub in_kernel: bool,
}

/// What a round is to count, as its parent found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counting {
    /// What can be counted.
    #[serde(deserialize_with = "vocabulary::known")]
    pub events: Vec<Wanted>,
    /// Whether counters can be read without a system call.
    pub direct: bool,
}

impl Counting {
    /// The part of it that is of use to a probe which these events prove.
    pub fn proving(&self, proofs: impl Fn(Event) -> bool) -> Counting {
        let of_use = |w: &&Wanted| {
            let disturbs = matches!(w.event, Event::Interrupts | Event::Migrations);
            disturbs || USUAL.contains(&w.event) || proofs(w.event)
        };
        Counting {
            events: self.events.iter().filter(of_use).cloned().collect(),
            direct: self.direct,
        }
    }
}

/// What counters there are, and what becomes of the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CounterSupport {
    /// What will be counted.
    pub counting: Counting,
    /// What will not.
    #[serde(deserialize_with = "vocabulary::known")]
    pub missing: Vec<Missing>,
    /// What counters said of a known number of additions, where they said anything.
    #[serde(rename = "trial", skip_serializing_if = "Option::is_none")]
    pub self_test: Option<SelfTest>,
    /// Slots that this core can fill in a cycle, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_per_cycle: Option<u32>,
    /// Where the numbers of its own events are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An event that cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub event: Event,
    /// Why.
    pub reason: String,
    /// What would help.
    pub remedy: String,
    /// No setting is to blame: this CPU has no such event, or none is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherent: bool,
}

impl Missing {
    /// An event that some setting or its absence keeps from being counted.
    pub fn new(event: Event, reason: String, remedy: &str) -> Missing {
        Missing { event, reason, remedy: remedy.to_owned(), inherent: false }
    }
}

/// Events that are not counted for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable<'a> {
    /// The first of them, with the reason of all.
    pub why: &'a Missing,
    /// All of them.
    pub events: Vec<Event>,
}

/// A run of dependent additions, whose instructions and cycles are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTest {
    /// Additions done, each one cycle.
    pub additions: u64,
    /// Instructions that makes, the loop around them included.
    pub instructions: u64,
    /// Instructions counted; `None` if they cannot be.
    pub instructions_counted: Option<u64>,
    /// Core cycles counted.
    pub cycles_counted: Option<u64>,
}

impl CounterSupport {
    /// Whether anything that the core does is counted, not only what the kernel does.
    pub fn counts_core(&self) -> bool {
        self.counting.events.iter().any(|w| !w.event.is_software())
    }

    /// Why events are not counted, what matters most first. Where nothing of the core can be
    /// counted it does not matter which of its events nobody knows.
    pub fn unavailable(&self) -> Vec<Unavailable<'_>> {
        let mut all: Vec<Unavailable<'_>> = Vec::new();
        for why in &self.missing {
            let same = |o: &&mut Unavailable<'_>| {
                (&o.why.reason, &o.why.remedy) == (&why.reason, &why.remedy)
            };
            match all.iter_mut().find(same) {
                Some(obstacle) => obstacle.events.push(why.event),
                None => all.push(Unavailable { why, events: vec![why.event] }),
            }
        }
        let of_core = |o: &Unavailable<'_>| o.events.iter().any(|event| !event.is_software());
        if !self.counts_core() && all.iter().any(|o| of_core(o) && !o.why.inherent) {
            all.retain(|o| !o.why.inherent);
        }
        all.sort_by_key(|o| (o.why.inherent, !of_core(o)));
        all
    }

    /// Why nothing that the core does is counted, and what would help; `None` if something is.
    pub fn nothing(&self, machine: &Machine) -> Option<(String, &str)> {
        let why = self.unavailable().first().filter(|_| !self.counts_core())?.why;
        // Who may count has still nothing to count with.
        let no_pmu = machine.counters.core_pmus.reason().filter(|reason| *reason != why.reason);
        let besides = no_pmu.map(|reason| format!("; besides, {reason}")).unwrap_or_default();
        Some((format!("{}{besides}", why.reason), &why.remedy))
    }
}
