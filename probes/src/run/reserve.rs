//! Memory that the host has to find first, found once.
//!
//! A hypervisor that takes back what its guest has freed (balloon, free page reporting) may need
//! long to find it again: 10 ms for 1 MiB on a Firecracker guest, against 0.1 ms where the
//! guest keeps its memory. Each round is a process of its own, and those that work beyond the caches
//! would all wait for the same gigabytes: a round of memory-latency took 27 s there, and a run of 120 s
//! 213. So the run finds them once, holds them while others measure, and frees
//! them just before such a round, which then gets pages that are still the guest's.

use std::io;
use std::time::{Duration, Instant};

use crate::harness::levels;
use crate::kernel::chase::{Order, Ring};
use crate::sys::memory::{Buffer, LINE, Pages};
use card::machine::{BufferBound, Machine};

/// Memory is slow to be found if 1 MiB takes longer, on average: clearing it takes a fifth of that.
const SLOW: Duration = Duration::from_micros(500);

/// What is asked for beside smaller last caches is laid in no time.
const NO_MATTER: u64 = 256 << 20;

/// A ring that is laid to see what laying takes, and is neither in a second-level cache nor within
/// the reach of a TLB.
const TRIAL_RING: usize = 32 << 20;

/// How often a round of memory-latency maps its largest buffer anew, and how often it writes to all
/// lines of it: for a third of its sizes in two kinds of pages, and for page walks.
const MAPPED: f64 = 3.0;
const LAID: f64 = 5.0;

/// What is found sooner, whatever a MiB takes, every round may find for itself.
const WORTHWHILE: Duration = Duration::from_secs(1);

/// Memory to try the mapping of.
const TRIAL: usize = 128 << 20;

/// Between two looks at the time: a second where memory is slowest.
const STEP: usize = 32 << 20;

/// The part of a run after which no more than the least is waited for, and that after which nothing
/// is.
const PARTS: [u32; 2] = [6, 3];

/// What bounds the buffers of a round that has so much time, if it is less than the caches ask for:
/// beside a last cache of 480 MiB, a quick run has no time to go beyond it.
pub fn bound_by_time(machine: &Machine, slice: Duration) -> Option<BufferBound> {
    let wanted = levels::BEYOND * levels::last_cache(machine);
    let wanted = wanted.min(levels::LARGEST).min(machine.buffer_limit());
    if wanted <= NO_MATTER {
        return None;
    }
    let least = levels::LEAST_BEYOND * levels::last_cache(machine);
    let bytes = affordable(slice, mapping(), laying().ok()?);
    // More than the least beyond the caches is for those who have time for all.
    let bytes = if bytes < wanted { bytes.min(least) } else { bytes };
    let seconds = slice.as_secs_f64();
    let source = format!("the time of a round, {seconds:.1} s: a longer --budget gives more");
    (bytes < wanted).then_some(BufferBound { bytes, source })
}

/// What mapping 1 MiB takes that the host has.
fn mapping() -> Duration {
    let took = || {
        let began = Instant::now();
        let _mapped = Buffer::new(TRIAL, Pages::Huge);
        began.elapsed() / (TRIAL >> 20) as u32
    };
    took().min(took())
}

/// What writing to the lines of 1 MiB takes, each with the place of another one.
fn laying() -> io::Result<Duration> {
    let mut ring = Ring::with_capacity(TRIAL_RING, Pages::Small)?;
    let began = Instant::now();
    ring.lay(TRIAL_RING, LINE, Order::Random, &mut fastrand::Rng::with_seed(1));
    Ok(began.elapsed() / (TRIAL_RING >> 20) as u32)
}

/// Bytes of buffers that a round has the time for, if 1 MiB takes so long.
fn affordable(slice: Duration, mapping: Duration, laying: Duration) -> u64 {
    let mib = mapping.mul_f64(MAPPED) + laying.mul_f64(LAID);
    (slice.div_duration_f64(mib) * f64::from(1 << 20)) as u64
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
    /// Looks whether memory is slow to be found: `None` where it is not, and where there is none. What
    /// the guest has had in use lately says nothing of the rest, so all is asked for that lies beyond
    /// the caches at least.
    pub fn needed(machine: &Machine) -> Option<Reserve> {
        let last = levels::last_cache(machine);
        let most = (levels::BEYOND * last).min(levels::LARGEST).min(machine.buffer_limit());
        let least = usize::try_from(most.min(levels::LEAST_BEYOND * last)).ok()?;
        let held = Some(Buffer::untouched(usize::try_from(most).ok()?, Pages::Huge).ok()?);
        let mut reserve = Reserve { held, found: 0, took: Duration::ZERO };
        while reserve.found < least && reserve.took < SLOW * (least >> 20) as u32 {
            reserve.find_up_to(least.min(reserve.found + STEP));
        }
        let all = reserve.mib() * (most >> 20) as u32;
        (reserve.mib() > SLOW && all > WORTHWHILE).then_some(reserve)
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

    /// What bounds all buffers where not all was found: more would have to be found anew in each round.
    pub fn bound(&self) -> Option<BufferBound> {
        if self.held.as_ref().is_some_and(|held| self.found == held.len()) {
            return None;
        }
        let millis = self.mib().as_secs_f64() * 1e3;
        let source = format!(
            "the time that the host takes to find memory, {millis:.0} ms for 1 MiB: a longer --budget \
             gives more"
        );
        Some(BufferBound { bytes: self.found as u64, source })
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
    use card::machine::{Fact, MemoryBound};

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_least_is_waited_for_longer_than_the_most() {
        let after = |found| patience(found, GIB, Duration::from_secs(60)).as_secs();
        assert_eq!((after(GIB / 2), after(GIB)), (20, 10));
    }

    #[test]
    fn a_round_has_the_time_for_so_much() {
        let [mapping, laying] = [200, 280].map(Duration::from_micros);
        assert_eq!(affordable(Duration::from_millis(2048), mapping, laying), GIB);
        assert_eq!(affordable(Duration::from_millis(1024), mapping, laying), GIB / 2);
    }

    #[test]
    fn only_large_caches_are_a_matter_of_time() {
        let mut machine = Machine::default();
        let plenty = MemoryBound { available_bytes: 64 << 30, ..MemoryBound::default() };
        machine.limits.memory = vec![plenty];
        let slice = Duration::from_millis(1);
        assert_eq!(bound_by_time(&machine, slice), None, "4 x 64 MiB");
        let claims = r#"[{ "level": 3, "kind": "unified", "bytes": 503316480 }]"#;
        machine.caches = Fact::Known(serde_json::from_str(claims).unwrap());
        let bound = bound_by_time(&machine, slice).unwrap();
        assert!(bound.bytes < 960 << 20 && bound.source.contains("0.0 s"), "{bound:?}");
        assert_eq!(bound_by_time(&machine, Duration::from_secs(86_400)), None);
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
        let held = Some(Buffer::untouched(4 << 20, Pages::Huge).unwrap());
        let all = Reserve { held, found: 4 << 20, took: Duration::from_secs(1) };
        assert_eq!(all.bound(), None);
        let reserve = Reserve { held: None, found: 1 << 30, took: Duration::from_millis(10_240) };
        let bound = reserve.bound().unwrap();
        assert!(bound.source.contains("10 ms for 1 MiB"), "{}", bound.source);
        assert_eq!(bound.bytes, 1 << 30);
    }
}
