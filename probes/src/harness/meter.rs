//! One timed batch: the seam between the protocol and the hardware. Tests script it.

use std::time::{Duration, Instant};

use super::clock::{ClockReading, CoreClock};
use super::counters::Session;
use crate::sys::thread::{self, Usage};
use card::counters::{Counts, Event};

/// What one batch took, and what went on around it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Time of the batch.
    pub ns: f64,
    /// The core clock right before.
    pub before: ClockReading,
    /// The core clock right after.
    pub after: ClockReading,
    /// Context switches and faults during the batch.
    pub usage: Usage,
    /// Whether it ended on another CPU than it began on, or on one that it does not belong on.
    pub migrated: bool,
    /// The CPU that the thread is pinned to and the one that it was on instead.
    pub strayed: Option<(usize, usize)>,
    /// Ticks that the hypervisor took meanwhile, as far as the caller found out.
    pub stolen: u64,
    /// What the counters said, if there are any.
    pub counts: Counts,
}

/// Times batches of work. Everything that the protocol learns of time comes through here.
pub trait Meter {
    /// Runs `work(ops)` once, timed, between two readings of the core clock.
    fn measure(&mut self, ops: u64, work: &mut dyn FnMut(u64)) -> Reading;
    /// Time since the round began.
    fn elapsed(&self) -> Duration;
    /// Lets a disturbance pass.
    fn pause(&mut self, time: Duration);
    /// Ticks that the hypervisor took from this CPU since boot; always 0 where it does not tell.
    fn steal_ticks(&self) -> u64;
    /// Whether some readings say how often that happened.
    fn counts(&self, event: Event) -> bool;
}

/// The real thing.
#[derive(Debug)]
pub struct Hardware {
    clock: CoreClock,
    began: Instant,
    cpu: usize,
    steal_is_reported: bool,
    last: Option<(Instant, ClockReading)>,
    counters: Session,
    by_usage: bool,
}

/// A bracket this old still speaks for the batch that follows it.
const FRESH: Duration = Duration::from_micros(500);

impl Hardware {
    /// A meter on the CPU that this thread is pinned to, and whose clock this is.
    pub fn new(clock: CoreClock, cpu: usize) -> Hardware {
        let steal_is_reported = thread::steal_ticks(cpu).is_some_and(|ticks| ticks > 0);
        Hardware {
            clock,
            began: Instant::now(),
            cpu,
            steal_is_reported,
            last: None,
            counters: Session::default(),
            by_usage: false,
        }
    }

    /// Counts events during each batch.
    pub fn counting(self, counters: Session) -> Hardware {
        Hardware { counters, ..self }
    }

    /// Counts switches and faults as the kernel does anyway, without opening a counter.
    pub fn counting_by_usage(self) -> Hardware {
        Hardware { by_usage: true, ..self }
    }

    fn before(&self) -> ClockReading {
        match self.last {
            Some((at, bracket)) if at.elapsed() < FRESH => bracket,
            _ => self.clock.read(),
        }
    }
}

impl Meter for Hardware {
    fn measure(&mut self, ops: u64, work: &mut dyn FnMut(u64)) -> Reading {
        let before = self.before();
        let cpu = thread::current_cpu();
        let usage = thread::usage();
        self.counters.begin();
        let start = self.clock.timer.stamp();
        work(ops);
        let end = self.clock.timer.stamp();
        let mut counts = self.counters.end();
        let now = thread::usage();
        let usage = Usage {
            nvcsw: now.nvcsw - usage.nvcsw,
            nivcsw: now.nivcsw - usage.nivcsw,
            faults: now.faults - usage.faults,
        };
        if self.by_usage {
            counts.insert(Event::ContextSwitches, usage.nvcsw + usage.nivcsw);
            counts.insert(Event::Faults, usage.faults);
        }
        let strayed = thread::strayed();
        let migrated = thread::current_cpu() != cpu || strayed.is_some();
        let after = self.clock.read();
        self.last = Some((Instant::now(), after));
        Reading {
            ns: self.clock.timer.ns_between(start, end),
            before,
            after,
            usage,
            migrated,
            strayed,
            stolen: 0,
            counts,
        }
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn pause(&mut self, time: Duration) {
        // Spinning keeps the clock up; sleeping would begin a new ramp.
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::hint::black_box(crate::kernel::chain::add(crate::kernel::chain::BLOCK));
        }
    }

    fn counts(&self, event: Event) -> bool {
        let of_usage = matches!(event, Event::ContextSwitches | Event::Faults);
        self.counters.counts(event) || (self.by_usage && of_usage)
    }

    fn steal_ticks(&self) -> u64 {
        // Reading the counters of a large machine takes long; most have nothing to tell.
        if self.steal_is_reported { thread::steal_ticks(self.cpu).unwrap_or(0) } else { 0 }
    }
}
