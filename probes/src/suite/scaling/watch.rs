//! Threads that work until they are told to stop, watched from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::threads::team::Team;
use card::format::count;

/// When the watcher looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Windows {
    pub(super) count: usize,
    pub(super) length: Duration,
    /// For the threads to start.
    pub(super) before: Duration,
}

impl Windows {
    /// How long all of them take.
    pub(super) fn time(&self) -> Duration {
        self.before + self.length * self.count as u32
    }
}

/// Why there is no throughput.
#[derive(Debug, PartialEq)]
pub(super) enum Unable {
    /// A thread could not be started.
    Start(String),
    /// The work came out wrong.
    Wrong(String),
}

/// Where a thread says how much it has done; alone on its line, as all of them write all the time.
#[derive(Default)]
#[repr(align(128))]
struct Count(AtomicU64);

/// What a thread sees of its team.
pub(super) struct Post<'a> {
    count: &'a AtomicU64,
    team: &'a Team,
}

impl Post<'_> {
    /// Adds to what is done; `false` once it is enough.
    #[inline(always)]
    pub(super) fn done(&self, more: u64) -> bool {
        // No one else writes it.
        self.count.store(self.count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        !self.team.stopped()
    }
}

/// What came of the windows: ns per operation of all threads together, and all operations.
pub(super) struct Seen {
    pub(super) times: Vec<f64>,
    pub(super) total: u64,
}

/// Runs a thread for each worker and looks at what all of them have done after each window.
pub(super) fn watch<W: FnOnce(Post<'_>) + Send>(
    workers: Vec<W>,
    windows: &Windows,
) -> Result<Seen, String> {
    let counts: Vec<Count> = workers.iter().map(|_| Count::default()).collect();
    let total = || counts.iter().map(|count| count.0.load(Ordering::Relaxed)).sum::<u64>();
    let threads = workers.len();
    let started = workers
        .into_iter()
        .zip(&counts)
        .map(|(worker, Count(count))| move |team: &Team| worker(Post { count, team }));
    let times = Team::unpinned(started, |_| {
        thread::sleep(windows.before);
        let mut times = Vec::with_capacity(windows.count);
        let (mut then, mut before) = (Instant::now(), total());
        while times.len() < windows.count {
            thread::sleep(windows.length);
            let (now, after) = (Instant::now(), total());
            // A window in which nothing was done is longer.
            if after > before {
                times.push((now - then).as_nanos() as f64 / (after - before) as f64);
                (then, before) = (now, after);
            }
        }
        times
    });
    let times =
        times.map_err(|e| format!("{} cannot be started: {e}", count(threads, "thread")))?;
    Ok(Seen { times, total: total() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows =
        Windows { count: 3, length: Duration::from_millis(4), before: Duration::from_millis(2) };

    #[test]
    fn everybody_is_counted_and_stops() {
        // Each does 10 a millisecond, whoever has the CPU.
        let worker = |post: Post<'_>| {
            while post.done(10) {
                thread::sleep(Duration::from_millis(1));
            }
        };
        let seen = watch(vec![worker; 3], &WINDOWS).unwrap();
        assert_eq!(seen.times.len(), 3);
        assert!(seen.total.is_multiple_of(10) && seen.total >= 3 * 10 * 3);
        // At best 30 operations in 1 ms; sleepers are late.
        assert!(seen.times.iter().all(|ns| *ns > 25e3), "{:?}", seen.times);
    }

    #[test]
    fn a_window_is_as_long_as_it_takes_to_get_anything_done() {
        let slow = |post: Post<'_>| {
            while post.done(1) {
                thread::sleep(Duration::from_millis(10));
            }
        };
        let seen = watch(vec![slow], &WINDOWS).unwrap();
        assert!(seen.times.iter().all(|ns| ns.is_finite() && *ns >= 3e6), "{:?}", seen.times);
    }
}
