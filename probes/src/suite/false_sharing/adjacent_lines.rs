//! Whether lines come in pairs: one CPU reads even lines, the other adds to odd ones.

use std::sync::atomic::AtomicU32;

use super::states::{Gathered, Plan, gather};
use super::{L2, PAIRS, WINDOW, WORD, siblings, timed};
use crate::harness::bench::{Bench, params};
use crate::kernel::coherence::{add_in_turn, load_each};
use crate::sys::memory::{LINE, Pages, SharedWords};
use crate::threads::windows::{self, Window, Worker};
use card::declare::Unit;
use card::estimate::median;
use card::machine::human_bytes;
use card::record::{Point, PointState, Skip};
use card::view::core_matrix::SIBLINGS_NS;

/// Where the other lines of its pairs come along, additions to them take longer by more than this: by a
/// half and more on a core whose prefetcher looks both ways.
const TAKEN_AWAY: f64 = 1.25;

/// Below this the other line of a pair came with the first, as cache-structure sees it.
const CAME_ALONG: f64 = 0.7;

/// One CPU reads even lines, the other adds to odd ones.
struct PairSide<'a> {
    words: &'a [AtomicU32],
    lines: &'a PairLines,
    /// The arm of each window.
    plan: &'a [usize],
    leads: bool,
    /// The lines of this window, by words.
    at: &'a [u32],
    next: usize,
    /// All words together: as they must be, from the last look on.
    sum: u32,
}

/// Lines at a time: microseconds.
const CHUNK: usize = 1000;

impl Worker for PairSide<'_> {
    fn setup(&mut self, window: usize) {
        let (half, arm) = (self.plan[window] / ARMS.len(), self.plan[window] % ARMS.len());
        self.at = if self.leads { &self.lines.written[half][arm] } else { &self.lines.read[half] };
        self.next = 0;
        // The writer has all its lines before it begins, the reader what fits of its own.
        if self.leads {
            add_in_turn(self.words, self.at);
        }
        self.sum = load_each(self.words, self.at);
    }

    fn run_slice(&mut self) -> u64 {
        let all = self.at;
        let chunk = &all[self.next..(self.next + CHUNK).min(all.len())];
        if self.leads {
            add_in_turn(self.words, chunk);
            self.sum = self.sum.wrapping_add(chunk.len() as u32);
        } else {
            std::hint::black_box(load_each(self.words, chunk));
        }
        self.next = (self.next + CHUNK) % all.len().next_multiple_of(CHUNK);
        chunk.len() as u64
    }

    fn verify(&mut self) -> Result<(), String> {
        let lost = self.leads && load_each(self.words, self.at) != self.sum;
        (!lost).then_some(()).ok_or_else(|| "an atomic addition was lost".to_owned())
    }
}

/// Where the writer stores.
const ARMS: [&str; 3] = ["same_pairs", "other_pairs", "same_lines"];

/// Which lines the two work at, by words. The reader has one half of the memory or the other, so that
/// nothing comes of where in memory a line lies.
struct PairLines {
    read: [Vec<u32>; 2],
    /// By the reader's half, in the order of [`ARMS`].
    written: [[Vec<u32>; ARMS.len()]; 2],
    bytes: usize,
}

impl PairLines {
    /// The reader's lines do not fit its L2, so that it keeps asking for them; the writer's do, so
    /// that it would keep them. Lines of one half of all pairs have one half of the sets.
    fn new(l2: usize, rng: &mut fastrand::Rng) -> PairLines {
        let (read, count) = (l2 / LINE * 3 / 4, l2 / LINE / 4);
        let word = |pair: usize, odd: usize| ((2 * pair + odd) * LINE / WORD) as u32;
        let mut lines = |half: usize, odd: usize, count: usize| -> Vec<u32> {
            let mut pairs: Vec<usize> = (half * read..(half + 1) * read).collect();
            rng.shuffle(&mut pairs);
            pairs.into_iter().take(count).map(|pair| word(pair, odd)).collect()
        };
        PairLines {
            written: [0, 1]
                .map(|h| [lines(h, 1, count), lines(1 - h, 1, count), lines(h, 0, count)]),
            read: [0, 1].map(|h| lines(h, 0, read)),
            bytes: 4 * read * LINE,
        }
    }
}

/// Largest L2 that is believed; more would only take longer.
const LARGEST_L2: usize = 4 << 20;

/// Whether a reader takes away the other line of a pair, and what follows for the distance to keep.
pub(super) fn run(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<()> {
    let claimed = bench.machine.claimed_cache(2, true).map(|c| c.bytes as f64);
    let l2 = bench.known(L2).or(claimed).filter(|b| *b > 0.0).unwrap_or(1048576.0) as usize;
    let lines = PairLines::new(l2.min(LARGEST_L2), &mut bench.rng);
    if lines.bytes as u64 > bench.machine.buffer_limit() {
        return bench.skip(Skip::new(
            format!("{} for pairs of lines", human_bytes(lines.bytes as u64)),
            format!("buffers may not be so large ({})", bench.machine.buffer_limit_reason()),
            "raise the memory limit",
        ));
    }
    let plan = Plan::new(2 * ARMS.len(), &mut bench.rng);
    let shared = SharedWords::new(lines.bytes, Pages::Huge)?;
    let leader = bench.cpu;
    let make_worker = |cpu: usize| {
        let (words, plan) = (shared.words(), &plan.arms[plan.begin()..]);
        let leads = cpu == leader;
        Ok(PairSide { words, lines: &lines, plan, leads, at: &[], next: 0, sum: 0 })
    };
    let value = |_, window: &Window| {
        let leader =
            window.0.first().filter(|_| window.off_cpu_share() <= windows::MOST_OFF_CPU)?;
        Some(leader.ns / leader.amount as f64)
    };
    let gathered = gather(bench, partner, &plan, (4 * WINDOW, 0.25), make_worker, value)?;
    let Some(Gathered { arms, state }) = gathered else { return Ok(()) };
    let (first, second) = arms.split_at(ARMS.len());
    let both = first.iter().zip(second);
    let arms: Vec<(Vec<f64>, u64)> =
        both.map(|(a, b)| ([&a.0[..], &b.0[..]].concat(), a.1 + b.1)).collect();
    let middles: Vec<f64> = arms.iter().filter_map(|arm| median(&arm.0)).collect();
    for (name, (samples, rejected)) in ARMS.iter().zip(arms) {
        let labels = params([("lines", (*name).into())]);
        let point = timed(bench, "pair_add", labels, samples, rejected, siblings(state));
        bench.emit(point)?;
    }
    let [same, other, own] = middles[..] else { return Ok(()) };
    let flushed = bench.known(PAIRS);
    // Hyperthreads of one core share their L2: nothing can be taken away.
    // Nor is anything to be seen where not even the lines that it reads are.
    let taken = (state >= SIBLINGS_NS && own > other * TAKEN_AWAY).then_some(same / other);
    let come = [taken.map(|ratio| ratio > TAKEN_AWAY), flushed.map(|ratio| ratio < CAME_ALONG)];
    if come == [None; 2] {
        return Ok(());
    }
    let together = if come.contains(&Some(true)) { 2.0 } else { 1.0 };
    let labels = params([]);
    let point = bench.point("lines_together", labels, Unit::Count, vec![together], PointState::Ok);
    bench.emit(Point { note: Some(evidence(taken, flushed)), ..point })
}

/// By what lines were told to come in pairs or alone.
fn evidence(taken: Option<f64>, flushed: Option<f64>) -> String {
    let taken = match taken {
        Some(ratio) => {
            format!(
                "fetch_add to a line of a pair whose other line is read takes {ratio:.2}× the time"
            )
        }
        None => "the two CPUs share a cache, so that neither takes lines from the other".into(),
    };
    let flushed = match flushed {
        Some(ratio) => format!("after a flush the other line takes {ratio:.2}× a random one"),
        None => "cache-structure has not looked for pairs in this run".into(),
    };
    format!("{taken}; {flushed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_and_writer_meet_only_where_they_should() {
        let lines = PairLines::new(64 << 10, &mut fastrand::Rng::with_seed(3));
        let line = |at: &u32| *at as usize * WORD / LINE;
        for (read, [same, other, own]) in lines.read.iter().zip(&lines.written) {
            assert!(read.len() * LINE > 32 << 10);
            let all: std::collections::HashSet<usize> = read.iter().map(line).collect();
            assert_eq!(all.len(), read.len());
            let beside = |at: &u32| all.contains(&(line(at) - 1));
            assert!(same.iter().all(|at| !all.contains(&line(at)) && beside(at)));
            assert!(other.iter().all(|at| !all.contains(&line(at)) && !beside(at)));
            assert!(own.iter().all(|at| all.contains(&line(at))));
        }
        let all = lines.written.iter().flatten().chain(&lines.read).flatten();
        assert!(all.into_iter().all(|at| (*at as usize) < lines.bytes / WORD));
    }
}
