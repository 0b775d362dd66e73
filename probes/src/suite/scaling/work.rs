//! The four kinds of work, each with a check of what it did.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::watch::{Post, Unable, Windows, watch};
use crate::harness::levels;
use crate::sys::memory::{Buffer, Pages};
use card::declare::Estimator;
use card::machine::{Machine, human_bytes};
use card::record::Skip;

/// What threads do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Compute,
    Memory,
    Lock,
    Message,
}

/// What threads work on, made once for all numbers of threads.
pub(super) enum Ground {
    Compute,
    /// Words of one value, beyond the caches.
    Memory(Buffer),
    Lock,
    Message,
}

/// More takes too long to fill.
const LARGEST: u64 = 1 << 30;

/// What is read at a time.
const CHUNK: usize = 64 << 10;

/// Every word of the buffer, so that a chunk has a known sum.
const WORD: u64 = 0x0001_0003_0005_0007;

/// Steps of computing at a time, some microseconds; and under the lock and outside, some 20 ns.
const STEPS: u64 = 2000;
const FEW_STEPS: u64 = 8;

/// Messages under way for each thread.
const UNDER_WAY: usize = 16;

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Compute, Kind::Memory, Kind::Lock, Kind::Message];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Compute => "compute",
            Kind::Memory => "memory",
            Kind::Lock => "lock",
            Kind::Message => "message",
        }
    }

    /// Others on the machine only ever take time from threads that work for themselves; threads that
    /// wait for each other are sometimes lucky.
    pub(super) fn estimator(self) -> Estimator {
        match self {
            Kind::Compute | Kind::Memory => Estimator::LowerQuartile,
            Kind::Lock | Kind::Message => Estimator::Median,
        }
    }

    /// The metric of its throughput with a thread for each CPU.
    pub(super) fn ratio(self) -> &'static str {
        match self {
            Kind::Compute => "scaling.compute_ratio",
            Kind::Memory => "scaling.memory_ratio",
            Kind::Lock => "scaling.lock_ratio",
            Kind::Message => "scaling.message_ratio",
        }
    }

    /// And with twice as many.
    pub(super) fn oversubscribed(self) -> &'static str {
        match self {
            Kind::Compute => "scaling.oversubscribed_ratio",
            Kind::Memory => "scaling.memory_oversubscribed_ratio",
            Kind::Lock => "scaling.lock_oversubscribed_ratio",
            Kind::Message => "scaling.message_oversubscribed_ratio",
        }
    }

    /// Makes what the threads work on.
    pub(super) fn prepare(self, machine: &Machine) -> Result<Ground, Skip> {
        match self {
            Kind::Compute => Ok(Ground::Compute),
            Kind::Memory => buffer(machine).map(Ground::Memory),
            Kind::Lock => Ok(Ground::Lock),
            Kind::Message => Ok(Ground::Message),
        }
    }
}

/// Threads on all CPUs share one buffer, and each cache keeps what its own threads have read.
fn buffer(machine: &Machine) -> Result<Buffer, Skip> {
    let cache = levels::last_caches(machine, machine.allowed_cpus());
    let bytes = (levels::BEYOND * cache).min(LARGEST).min(machine.buffer_limit());
    let need = format!("a buffer of twice all last caches, {}", human_bytes(cache));
    let ids = ["scaling.memory_*"];
    let remedy = "raise the memory limit of the container or free memory".to_owned();
    if bytes < levels::LEAST_BEYOND * cache {
        let source = machine.memory_limit_source();
        let reason = format!(
            "half of the memory that may be used is {} (limit set by {source}), and more than {} is \
             not filled",
            human_bytes(machine.buffer_limit()),
            human_bytes(LARGEST)
        );
        return Err(Skip::new(need, reason, remedy).of(ids));
    }
    let bytes = (bytes as usize).next_multiple_of(CHUNK) - CHUNK;
    let mut buffer = Buffer::untouched(bytes, Pages::Huge)
        .map_err(|e| Skip::new(need, format!("mmap: {e}"), remedy).of(ids))?;
    buffer.words_mut().fill(WORD);
    Ok(buffer)
}

impl Ground {
    /// Times per operation of so many threads together, one for each window.
    pub(super) fn throughput(&self, threads: usize, windows: &Windows) -> Result<Vec<f64>, Unable> {
        match self {
            Ground::Compute => compute(threads, windows),
            Ground::Memory(buffer) => memory(buffer, threads, windows),
            Ground::Lock => lock(threads, windows),
            Ground::Message => message(threads, windows),
        }
    }
}

/// The times, if all was right.
fn checked(
    seen: Result<super::watch::Seen, String>,
    right: impl FnOnce(u64) -> Result<(), String>,
) -> Result<Vec<f64>, Unable> {
    let seen = seen.map_err(Unable::Start)?;
    right(seen.total).map_err(Unable::Wrong)?;
    Ok(seen.times)
}

fn if_right(right: AtomicBool, what: &str) -> Result<(), String> {
    if right.into_inner() { Ok(()) } else { Err(what.to_owned()) }
}

/// Four chains of additions, multiplications and shifts: two hyperthreads get in each other's way,
/// as they do in programs.
#[inline(never)]
fn steps(count: u64, seed: u64) -> u64 {
    let mut chains = [seed, seed ^ 1, seed ^ 2, seed ^ 3];
    for _ in 0..count {
        for x in &mut chains {
            *x = (*x ^ (*x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(*x << 7);
        }
    }
    chains.into_iter().fold(0, |sum, x| sum ^ x)
}

fn compute(threads: usize, windows: &Windows) -> Result<Vec<f64>, Unable> {
    let expected = steps(STEPS, 1);
    let right = AtomicBool::new(true);
    let worker = |post: Post<'_>| {
        while post.done(STEPS) {
            if steps(std::hint::black_box(STEPS), 1) != expected {
                right.store(false, Ordering::Relaxed);
            }
        }
    };
    let seen = watch(vec![&worker; threads], windows);
    checked(seen, |_| if_right(right, "the same numbers gave another result"))
}

/// Of 64-bit words, 16 bytes at a time and more: no core reads its memory faster than that.
#[inline(never)]
fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| u64::wrapping_add(sum, u64::from_ne_bytes(*word)))
}

/// Threads begin at even distances and read all of the buffer round and round: before a line is read
/// again, all others have been.
fn memory(buffer: &Buffer, threads: usize, windows: &Windows) -> Result<Vec<f64>, Unable> {
    let bytes = buffer.bytes();
    let chunks = bytes.len() / CHUNK;
    let expected = WORD.wrapping_mul((CHUNK / 8) as u64);
    let right = AtomicBool::new(true);
    let worker = |thread: usize| {
        let right = &right;
        move |post: Post<'_>| {
            let mut chunk = thread * chunks / threads;
            while post.done(CHUNK as u64) {
                if sum(&bytes[chunk * CHUNK..][..CHUNK]) != expected {
                    right.store(false, Ordering::Relaxed);
                }
                chunk = (chunk + 1) % chunks;
            }
        }
    };
    let seen = watch((0..threads).map(worker).collect(), windows);
    checked(seen, |_| if_right(right, "memory did not hold what was written to it"))
}

fn lock(threads: usize, windows: &Windows) -> Result<Vec<f64>, Unable> {
    let shared = Mutex::new((0_u64, 0_u64));
    let worker = |post: Post<'_>| loop {
        {
            let mut shared = shared.lock().unwrap_or_else(|e| e.into_inner());
            shared.0 += 1;
            shared.1 = steps(FEW_STEPS, shared.1);
        }
        std::hint::black_box(steps(FEW_STEPS, 1));
        if !post.done(1) {
            return;
        }
    };
    let seen = watch(vec![&worker; threads], windows);
    let counted = shared.into_inner().unwrap_or_else(|e| e.into_inner()).0;
    checked(seen, |total| match counted == total {
        true => Ok(()),
        false => Err(format!("{total} additions under a lock gave {counted}")),
    })
}

/// A ring of threads, each with a channel to the next that holds every message there is: no one ever
/// waits for room, so that some thread always has a message or all are told to stop.
fn message(threads: usize, windows: &Windows) -> Result<Vec<f64>, Unable> {
    let (to, from): (Vec<SyncSender<u64>>, Vec<Receiver<u64>>) =
        (0..threads).map(|_| sync_channel(threads * UNDER_WAY)).unzip();
    for sender in &to {
        (0..UNDER_WAY).for_each(|_| sender.send(0).unwrap_or_default());
    }
    let right = AtomicBool::new(true);
    let mut next: Vec<SyncSender<u64>> = to;
    next.rotate_left(1);
    let worker = |(from, to): (Receiver<u64>, SyncSender<u64>)| {
        let right = &right;
        move |post: Post<'_>| {
            // Messages are numbered by their sender; the first ones have no number.
            let (mut sent, mut last) = (0, 0);
            // Each thread that leaves wakes the next one.
            while let Ok(number) = from.recv() {
                if number != 0 {
                    if number != last + 1 {
                        right.store(false, Ordering::Relaxed);
                    }
                    last = number;
                }
                sent += 1;
                if !post.done(1) || to.send(sent).is_err() {
                    return;
                }
            }
        }
    };
    let seen = watch(from.into_iter().zip(next).map(worker).collect(), windows);
    checked(seen, |_| if_right(right, "messages came out of order"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use card::machine::Fact;

    const WINDOWS: Windows =
        Windows { count: 2, length: Duration::from_millis(3), before: Duration::from_millis(1) };

    #[test]
    fn every_kind_works_with_any_number_of_threads() {
        for kind in Kind::ALL {
            let ground = match kind {
                Kind::Memory => {
                    let mut buffer = Buffer::new(1 << 20, Pages::Small).unwrap();
                    buffer.words_mut().fill(WORD);
                    Ground::Memory(buffer)
                }
                _ => kind.prepare(&Machine::default()).unwrap(),
            };
            for threads in [1, 2, 5] {
                let times = ground.throughput(threads, &WINDOWS).unwrap();
                assert_eq!(times.len(), 2);
                assert!(times.iter().all(|ns| ns.is_finite() && *ns > 0.0), "{kind:?} {times:?}");
            }
        }
    }

    #[test]
    fn memory_that_changed_is_a_wrong_answer() {
        let mut buffer = Buffer::new(1 << 20, Pages::Small).unwrap();
        buffer.words_mut().fill(WORD);
        buffer.bytes_mut()[5] ^= 1;
        let seen = Ground::Memory(buffer).throughput(1, &WINDOWS);
        assert!(matches!(seen, Err(Unable::Wrong(_))), "{seen:?}");
    }

    #[test]
    fn memory_is_beyond_the_caches_of_all_threads_together() {
        let mut machine = Machine::default();
        let last_caches = |machine: &Machine| levels::last_caches(machine, machine.allowed_cpus());
        assert_eq!(last_caches(&machine), levels::last_cache(&machine));
        let l3 = r#"[{ "level": 3, "kind": "unified", "bytes": 1048576 }]"#;
        machine.caches = Fact::Known(serde_json::from_str(l3).unwrap());
        assert_eq!(last_caches(&machine), 1 << 20);
        machine.topology.l3_groups = Fact::Known(vec![vec![0, 1], vec![2, 3], vec![4], vec![5]]);
        machine.limits.allowed_cpus = vec![1, 2, 3, 4];
        assert_eq!(last_caches(&machine), 3 << 20);
        let Ok(Ground::Memory(buffer)) = Kind::Memory.prepare(&machine) else { panic!() };
        assert_eq!(buffer.bytes().len(), (12 << 20) - CHUNK);
        machine.caches =
            Fact::Known(serde_json::from_str(&l3.replace("1048576", "268435456")).unwrap());
        let Err(unmet) = Kind::Memory.prepare(&machine) else { panic!("1.5 GiB take too long") };
        assert!(unmet.need.contains("768 MiB"), "{unmet:?}");
    }

    #[test]
    fn without_memory_there_is_a_reason() {
        let mut machine = Machine::default();
        let available_bytes = 20 << 20;
        let bound = card::machine::MemoryBound { available_bytes, ..Default::default() };
        machine.limits.memory = vec![bound];
        let Err(unmet) = Kind::Memory.prepare(&machine) else { panic!("10 MiB are too little") };
        assert!(unmet.reason.contains("10 MiB"), "{unmet:?}");
    }
}
