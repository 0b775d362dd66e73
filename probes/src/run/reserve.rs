//! Memory that the host has to find first, found once.
//!
//! A hypervisor that takes back what its guest has freed (balloon, free page reporting) may need
//! long to find it again: 10 ms for 1 MiB on a Firecracker guest, against 0.1 ms where the
//! guest keeps its memory. Each round is a process of its own, and those that work beyond the caches
//! would all wait for the same gigabytes: rounds of memory-latency took 27 s instead of 6 there, and
//! a run of 120 s took 213. So the run finds them once, holds them while others measure, and frees
//! them just before such a round, which then gets pages that are still the guest's.

use std::time::{Duration, Instant};

use crate::harness::levels;
use crate::sys::memory::{Buffer, Pages};
use card::machine::{Machine, MemoryBound};

/// Memory is slow to be found if 1 MiB takes longer, on average.
const SLOW: Duration = Duration::from_millis(2);

/// What a round that works beyond the caches takes for each MiB of them: writing to all pages, laying
/// rings of lines at random, a lap (a Sapphire Rapids guest).
const ROUND: Duration = Duration::from_micros(4500);

/// After so much, that is known.
const TRIAL: usize = 128 << 20;

/// Between two looks at the time: a second where memory is slowest.
const STEP: usize = 32 << 20;

/// The part of a run after which no more than the least is waited for, and that after which nothing
/// is.
const PARTS: [u32; 2] = [6, 3];

/// What bounds the buffers of a round that has so much time, if it is less than the caches ask for:
/// beside a last cache of 480 MiB, a quick run has no time to go beyond it.
pub fn bound_by_time(machine: &Machine, slice: Duration) -> Option<MemoryBound> {
    let bytes = (slice.div_duration_f64(ROUND) * f64::from(1 << 20)) as u64;
    let wanted = (levels::BEYOND * levels::last_cache(machine)).min(levels::LARGEST);
    let seconds = slice.as_secs_f64();
    let source = format!("the time of a round ({seconds:.1} s; a longer --budget gives more)");
    // Buffers take half of what is available.
    let bound = MemoryBound { source, limit_bytes: bytes, available_bytes: 2 * bytes };
    (bytes < wanted.min(machine.buffer_limit())).then_some(bound)
}

/// Memory that is kept from going back to the host.
#[derive(Debug)]
pub struct Reserve {
    /// `None` while it is lent.
    held: Option<Buffer>,
    /// So much of it has been found; the rest is address space.
    found: usize,
    took: Duration,
}

impl Reserve {
    /// Looks whether memory is slow to be found: `None` where it is not, and where there is none.
    pub fn needed(machine: &Machine) -> Option<Reserve> {
        let most = (levels::BEYOND * levels::last_cache(machine)).min(levels::LARGEST);
        let len = usize::try_from(most.min(machine.buffer_limit())).ok()?;
        let held = Some(Buffer::untouched(len, Pages::Huge).ok()?);
        let mut reserve = Reserve { held, found: 0, took: Duration::ZERO };
        reserve.find_up_to(TRIAL);
        (reserve.mib() > SLOW).then_some(reserve)
    }

    /// What 1 MiB takes to be found.
    pub fn mib(&self) -> Duration {
        self.took.div_f64((self.found >> 20).max(1) as f64)
    }

    /// Finds what rounds beyond the caches of this machine need, or as much as a run of so long has
    /// the time for.
    pub fn fill(&mut self, machine: &Machine, budget: Duration) {
        let least = levels::LEAST_BEYOND * levels::last_cache(machine);
        let len = self.held.as_ref().map_or(0, Buffer::len);
        while self.found < len && self.took < patience(self.found as u64, least, budget) {
            self.find_up_to(self.found + STEP);
        }
    }

    fn find_up_to(&mut self, end: usize) {
        let began = Instant::now();
        if let Some(buffer) = &mut self.held {
            let end = end.min(buffer.len());
            buffer.touch_part(self.found..end);
            self.found = end;
        }
        self.took += began.elapsed();
    }

    /// What bounds all buffers: more would have to be found anew in each round.
    pub fn bound(&self) -> MemoryBound {
        let millis = self.mib().as_secs_f64() * 1e3;
        let source = format!(
            "the time that the host takes to find memory ({millis:.0} ms for 1 MiB; a longer --budget \
             gives more)"
        );
        let bytes = self.found as u64;
        // Buffers take half of what is available.
        MemoryBound { source, limit_bytes: bytes, available_bytes: 2 * bytes }
    }

    /// Frees it for a round that is about to begin.
    pub fn lend(&mut self) {
        self.held = None;
    }

    /// Takes back what was lent, before the host does.
    pub fn take_back(&mut self) {
        if self.held.is_none() {
            self.held = Buffer::new(self.found, Pages::Huge).ok();
        }
    }
}

/// How long more is looked for, after so much of it.
fn patience(found: u64, least: u64, budget: Duration) -> Duration {
    let [most, for_least] = PARTS;
    budget / if found < least { for_least } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_least_is_waited_for_longer_than_the_most() {
        let after = |found| patience(found, GIB, Duration::from_secs(60)).as_secs();
        assert_eq!((after(GIB / 2), after(GIB)), (20, 10));
    }

    #[test]
    fn a_round_has_time_for_so_much_memory() {
        let mut machine = Machine::default();
        let claims = r#"[{ "level": 3, "kind": "unified", "bytes": 503316480 }]"#;
        machine.caches = card::machine::Fact::Known(serde_json::from_str(claims).unwrap());
        let plenty = MemoryBound { available_bytes: 64 << 30, ..MemoryBound::default() };
        machine.limits.memory = vec![plenty];
        let bound = bound_by_time(&machine, Duration::from_millis(1800)).unwrap();
        assert_eq!(bound.available_bytes, 2 * (400 << 20));
        assert!(bound.source.contains("(1.8 s;"), "{}", bound.source);
        assert_eq!(bound_by_time(&machine, Duration::from_secs(10)), None);
        machine.caches = card::machine::Fact::unknown("none");
        assert_eq!(bound_by_time(&machine, Duration::from_millis(1800)), None, "4 x 64 MiB");
    }

    #[test]
    fn what_is_lent_comes_back() {
        let held = Some(Buffer::untouched(64 << 20, Pages::Huge).unwrap());
        let mut reserve = Reserve { held, found: 0, took: Duration::ZERO };
        reserve.find_up_to(4 << 20);
        reserve.lend();
        assert!(reserve.held.is_none());
        reserve.take_back();
        assert_eq!(reserve.held.as_ref().map(Buffer::len), Some(4 << 20));
    }

    #[test]
    fn the_bound_says_what_a_mib_takes() {
        let reserve = Reserve { held: None, found: 1 << 30, took: Duration::from_millis(10_240) };
        let bound = reserve.bound();
        assert!(bound.source.contains("10 ms for 1 MiB"), "{}", bound.source);
        let mut machine = Machine::default();
        machine.limits.memory = vec![bound];
        assert_eq!(machine.buffer_limit(), 1 << 30);
    }
}
