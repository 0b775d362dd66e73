//! Two CPUs hand a word back and forth: how long a line takes from one to the other.
//!
//! Half of the lines lie in memory that the first CPU touched first, half in memory of the second:
//! which cache or node keeps account of a line depends on its address. A line's time is the median
//! of a few bursts, so that one that an interrupt fell into does not count.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::pinning;
use super::team::Team;
use crate::harness::clock::Timer;
use crate::kernel::coherence::HandOver;
use crate::sys::memory::{Pages, SharedWords, WORDS_IN_LINE};
use crate::sys::thread::{current_cpu, usage};
use card::estimate::median;

/// Memory of each CPU, of which lines are chosen anew each time.
const BYTES: usize = 256 << 10;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisitPlan {
    /// Lines in the memory of each of the two.
    pub lines_each: usize,
    /// Bursts for each line and way of handing over.
    pub bursts: u64,
    /// Round trips in a burst: enough to make the cost of the time stamps small.
    pub trips: u64,
    /// Round trips before the first line: a CPU that was idle needs a moment to speed up.
    pub warm_up: u64,
}

/// Round trips on a new line before it is timed.
const FIRST: u64 = 4;

/// One-way times in ns, a number for each line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Visit {
    times: [[Vec<f64>; 2]; 2],
    /// How often the timing thread lost its CPU meanwhile.
    pub switches: u64,
}

impl Visit {
    /// Of the lines in the memory of the first CPU, and in that of the second.
    pub fn lines(&self, how: HandOver) -> &[Vec<f64>; 2] {
        &self.times[how as usize]
    }

    /// The median over all lines.
    pub fn middle(&self, how: HandOver) -> Option<f64> {
        median(&self.lines(how).concat())
    }
}

/// Whose turn it is.
const FIRST_TURN: u32 = 0;
const SECOND_TURN: u32 = 1;

/// Measures a pair of CPUs. Fails with the reason where that cannot be done, and with a wrong
/// answer where a word does not end as it must.
///
/// # Errors
///
/// Why the two could not start, or what was wrong.
pub fn visit(
    timer: &Timer,
    (first, second): (usize, usize),
    effort: &VisitPlan,
    rng: &mut fastrand::Rng,
) -> Result<Visit, String> {
    let homes: [OnceLock<Result<SharedWords, String>>; 2] = Default::default();
    let words = |home: usize| homes[home].get().and_then(|made| made.as_ref().ok());
    let turns = turns(effort, rng);
    let total = FIRST + effort.bursts * effort.trips;
    let follow = |team: &Team, cpu: usize| {
        let _ = homes[1].set(arrive(cpu));
        team.wait();
        let (Some(mine), Some(yours)) = (words(1), words(0)) else { return };
        let homes = [yours.words(), mine.words()];
        HandOver::Cas.pass(&mine.words()[0], SECOND_TURN, FIRST_TURN, effort.warm_up);
        for &(home, at, how) in &turns {
            how.pass(&homes[home][at], SECOND_TURN, FIRST_TURN, total);
        }
        team.wait();
    };
    let lead = |team: &Team| {
        let _ = homes[0].set(arrive(first));
        team.wait();
        let (Some(mine), Some(yours)) = (words(0), words(1)) else { return Visit::default() };
        let homes = [mine.words(), yours.words()];
        let before = usage().nivcsw;
        HandOver::Cas.pass(&yours.words()[0], FIRST_TURN, SECOND_TURN, effort.warm_up);
        let mut visit = Visit::default();
        for &(home, at, how) in &turns {
            let word = &homes[home][at];
            how.pass(word, FIRST_TURN, SECOND_TURN, FIRST);
            let burst = |_| {
                let start = timer.stamp();
                how.pass(word, FIRST_TURN, SECOND_TURN, effort.trips);
                // Two ways make a round trip.
                timer.ns_between(start, timer.stamp()) / (2 * effort.trips) as f64
            };
            let bursts: Vec<f64> = (0..effort.bursts).map(burst).collect();
            visit.times[how as usize][home].extend(median(&bursts));
        }
        visit.switches = usage().nivcsw - before;
        team.wait();
        visit
    };
    let visit = Team::pinned(first, &[second], follow, lead)
        .map_err(|e| format!("a second thread cannot be started: {e}"))?;
    for home in homes {
        let words = home.into_inner().unwrap_or_else(|| Err("a thread never arrived".into()))?;
        if words.words().iter().any(|word| word.load(Ordering::Relaxed) != FIRST_TURN) {
            return Err(WRONG.into());
        }
    }
    Ok(visit)
}

/// What [`visit`] says when a word was lost between the two.
pub const WRONG: &str = "a word that was handed back and forth did not come home";

/// A line and how it is handed over; both ways on each line, so that they are compared on the same.
fn turns(effort: &VisitPlan, rng: &mut fastrand::Rng) -> Vec<(usize, usize, HandOver)> {
    // The first line is the one to warm up on.
    let mut choose = |_| rng.choose_multiple(1..BYTES / 4 / WORDS_IN_LINE, effort.lines_each);
    let mut lines: Vec<(usize, usize)> = (0..2)
        .flat_map(|home| choose(home).into_iter().map(move |l| (home, l * WORDS_IN_LINE)))
        .collect();
    rng.shuffle(&mut lines);
    let both = |(home, at)| HandOver::ALL.map(|how| (home, at, how));
    lines.into_iter().flat_map(both).collect()
}

/// The memory of a thread, if that is where it should be: two threads on one CPU would wait for each
/// other for a time slice each time.
fn arrive(cpu: usize) -> Result<SharedWords, String> {
    if current_cpu().is_some_and(|here| here != cpu) {
        pinning::try_pin(cpu).map_err(|why| format!("CPU {cpu} cannot be had: {why}"))?;
    }
    SharedWords::new(BYTES, Pages::Small).map_err(|e| format!("cannot map {BYTES} bytes: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFORT: VisitPlan = VisitPlan { lines_each: 16, bursts: 3, trips: 2, warm_up: 2 };

    #[test]
    fn lines_of_both_homes_are_handed_over_both_ways() {
        let mut rng = fastrand::Rng::with_seed(1);
        let turns = turns(&EFFORT, &mut rng);
        assert_eq!(turns.len(), 2 * 2 * EFFORT.lines_each);
        let mut seen = std::collections::HashSet::new();
        for &(home, at, how) in &turns {
            assert!(at > 0 && at % WORDS_IN_LINE == 0 && at < BYTES / 4);
            assert!(seen.insert((home, at, how as usize)), "a line twice");
        }
        for pair in turns.chunks(2) {
            assert_eq!((pair[0].0, pair[0].1), (pair[1].0, pair[1].1));
        }
    }

    #[test]
    fn every_line_gets_a_time() {
        let cpus: Vec<usize> = (0..64).filter(|&cpu| crate::threads::pinning::pin(cpu)).collect();
        let [first, second, ..] = cpus[..] else { return };
        let mut rng = fastrand::Rng::with_seed(1);
        let visit = visit(&Timer::CLOCK, (first, second), &EFFORT, &mut rng).unwrap();
        for how in HandOver::ALL {
            for home in visit.lines(how) {
                assert_eq!(home.len(), EFFORT.lines_each);
                assert!(home.iter().all(|ns| *ns >= 0.0));
            }
            assert!(visit.middle(how).is_some());
        }
    }

    #[test]
    fn a_cpu_that_cannot_be_had_is_an_error() {
        let mut rng = fastrand::Rng::with_seed(1);
        let said = visit(&Timer::CLOCK, (0, 1_000_000), &EFFORT, &mut rng).unwrap_err();
        assert!(said.contains("CPU 1000000 cannot be had: sched_setaffinity: "), "{said}");
        // The first one may have been switched off since it was chosen.
        let said = visit(&Timer::CLOCK, (1_000_000, 0), &EFFORT, &mut rng).unwrap_err();
        assert_eq!(
            said,
            "CPU 1000000 cannot be had: sched_setaffinity: Invalid argument (os error 22)"
        );
    }
}
