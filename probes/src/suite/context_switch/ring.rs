//! A ring of tasks on one CPU, each with memory of its own, through which a token passes.
//!
//! Who has the token follows a chain of loads through its memory: all lines of it in random order,
//! a part of them in each turn where it is large. What others have put into the caches meanwhile is
//! paid for line by line; of an ascending walk a prefetcher would hide most.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::counted::{self, Arm, Expect, Trial};
use super::pairs::effort;
use crate::harness::bench::{Bench, params};
use crate::harness::meter::Meter;
use crate::harness::need::Need;
use crate::sys::memory::{Pages, SharedWords, WORDS_IN_LINE};
use crate::sys::thread::usage_of_all;
use crate::threads::partner::start_thread;
use card::record::{Params, Skip};

/// Tasks in the ring.
const TASKS: [usize; 4] = [2, 4, 8, 16];
pub(super) const MOST: usize = TASKS[TASKS.len() - 1];

/// Bytes that each of them walks over. A line has a word for each footprint, with the way to the
/// next line.
pub(super) const FOOTPRINTS: [usize; 5] = [0, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const LARGEST: usize = FOOTPRINTS[FOOTPRINTS.len() - 1];

/// Lines that a task visits in a turn, at most: 0.1 ms if they are all in main memory.
const VISITS: usize = 1024;

/// Tasks that visit this much together are warmed up whole before each repetition; more than that
/// is in no cache of a core anyway.
const WARM: usize = 4 << 20;

/// Laps to warm up those that are not.
const FEW_LAPS: u64 = 4;

/// Share of the round's time.
const RING_SHARE: f64 = 0.3;

/// The token, and what ends a task instead.
const TOKEN: u8 = 1;
const STOP: u8 = 2;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if let Some(unmet) = Need::Memory((MOST * LARGEST) as u64).unmet(bench.machine) {
        return bench.skip(unmet.of(["context_switch.ring*"]));
    }
    let ring = match Ring::new(&mut bench.rng) {
        Ok(ring) => ring,
        Err(e) => {
            let need = format!("a ring of {MOST} threads with {} MiB each", LARGEST >> 20);
            let skip = Skip::new(need, counted::reason(&e), counted::remedy(&e));
            return bench.skip(skip.of(["context_switch.ring*"]));
        }
    };
    let levels = || 0..FOOTPRINTS.len();
    let mut arms: Vec<Arm<'_>> = levels().map(|level| ring.alone(level)).collect();
    for tasks in TASKS {
        arms.extend(levels().map(|level| ring.laps(tasks, level)));
    }
    let effort = effort(bench, RING_SHARE);
    counted::sample(bench, &mut arms, effort)?;
    drop(arms);
    let (due, closed) = (ring.shared.due(), ring.shared.closed.load(Ordering::Relaxed));
    bench.check(due == closed, || format!("{due} walks through a task's memory were {closed}"))
}

/// What the tasks have in common.
struct Shared {
    pipes: Vec<(PipeReader, PipeWriter)>,
    memory: SharedWords,
    tasks: AtomicUsize,
    /// Which of the footprints.
    level: AtomicUsize,
    /// Where each task is in the memory of each footprint.
    places: [[AtomicUsize; FOOTPRINTS.len()]; MOST],
    turns: [[AtomicU64; FOOTPRINTS.len()]; MOST],
    /// Walks that came back to where they had begun.
    closed: AtomicU64,
}

/// Lines of a task's memory.
const fn lines(level: usize) -> usize {
    FOOTPRINTS[level] / 4 / WORDS_IN_LINE
}

impl Shared {
    fn new(rng: &mut fastrand::Rng) -> io::Result<Shared> {
        let memory = SharedWords::new(MOST * LARGEST, Pages::Huge)?;
        let shared = Shared {
            pipes: (0..MOST).map(|_| io::pipe()).collect::<io::Result<_>>()?,
            memory,
            tasks: AtomicUsize::new(0),
            level: AtomicUsize::new(0),
            places: Default::default(),
            turns: Default::default(),
            closed: AtomicU64::new(0),
        };
        for level in 0..FOOTPRINTS.len() {
            (0..MOST).for_each(|task| shared.lay(task, level, rng));
        }
        Ok(shared)
    }

    /// The words of a task at which the lines of a footprint are linked. All that is walked over
    /// lies side by side: apart by powers of two it would share cache sets.
    fn first(task: usize, level: usize) -> usize {
        task * lines(level) * WORDS_IN_LINE + level
    }

    /// Links the lines in random order.
    fn lay(&self, task: usize, level: usize, rng: &mut fastrand::Rng) {
        let mut order: Vec<u32> = (0..lines(level) as u32).collect();
        rng.shuffle(&mut order);
        let at = |line: u32| Shared::first(task, level) + line as usize * WORDS_IN_LINE;
        let next = order.iter().cycle().skip(1);
        for (&line, &next) in order.iter().zip(next) {
            self.memory.words()[at(line)].store(at(next) as u32, Ordering::Relaxed);
        }
        self.places[task][level].store(Shared::first(task, level), Ordering::Relaxed);
    }

    fn set(&self, tasks: usize, level: usize) {
        self.tasks.store(tasks, Ordering::Relaxed);
        self.level.store(level, Ordering::Relaxed);
    }

    /// Walks that should have come to their end, by the turns that each task had.
    fn due(&self) -> u64 {
        let walks = |turns: &AtomicU64, level: usize| match lines(level) {
            0 => 0,
            lines => turns.load(Ordering::Relaxed) * (lines.min(VISITS) as u64) / lines as u64,
        };
        let of_task = |turns: &[AtomicU64; FOOTPRINTS.len()]| -> u64 {
            turns.iter().enumerate().map(|(level, turns)| walks(turns, level)).sum()
        };
        self.turns.iter().map(of_task).sum()
    }

    /// One load after the other, each of which needs what the one before has found.
    fn walk(&self, task: usize) {
        let level = self.level.load(Ordering::Relaxed);
        let words = self.memory.words();
        let next = |at: usize| AtomicU32::load(&words[at], Ordering::Relaxed) as usize;
        let place = &self.places[task][level];
        let from = place.load(Ordering::Relaxed);
        let to = (0..lines(level).min(VISITS)).fold(from, |at, _| next(at));
        place.store(to, Ordering::Relaxed);
        if lines(level) > 0 && to == Shared::first(task, level) {
            self.closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn pass(&self, to: usize, what: u8) -> io::Result<()> {
        (&self.pipes[to].1).write_all(&[what])
    }

    fn wait(&self, task: usize) -> io::Result<u8> {
        let mut token = [0];
        (&self.pipes[task].0).read_exact(&mut token)?;
        Ok(token[0])
    }

    /// So many laps of the token, from the first task and back to it.
    fn pass_around(&self, laps: u64) -> io::Result<()> {
        let tasks = self.tasks.load(Ordering::Relaxed);
        let level = self.level.load(Ordering::Relaxed);
        for turns in &self.turns[..tasks] {
            turns[level].fetch_add(laps, Ordering::Relaxed);
        }
        (0..laps).try_for_each(|_| {
            self.walk(0);
            self.pass(1 % tasks, TOKEN)?;
            self.wait(0).map(drop)
        })
    }

    fn serve(&self, task: usize) {
        while self.wait(task).is_ok_and(|token| token == TOKEN) {
            self.walk(task);
            if self.pass((task + 1) % self.tasks.load(Ordering::Relaxed), TOKEN).is_err() {
                return;
            }
        }
    }
}

/// The tasks, the first of which is the caller.
struct Ring {
    shared: Arc<Shared>,
    others: Vec<JoinHandle<()>>,
}

impl Ring {
    /// Starts all of them on the CPU that the caller is pinned to.
    fn new(rng: &mut fastrand::Rng) -> io::Result<Ring> {
        let mut ring = Ring { shared: Arc::new(Shared::new(rng)?), others: Vec::new() };
        for task in 1..MOST {
            let shared = Arc::clone(&ring.shared);
            ring.others.push(start_thread(move || shared.serve(task))?);
        }
        Ok(ring)
    }

    /// The token passes through so many tasks; an operation is one step of it.
    fn laps(&self, tasks: usize, level: usize) -> Arm<'_> {
        let labels = params([
            ("tasks", (tasks as u64).into()),
            ("footprint", (FOOTPRINTS[level] as u64).into()),
        ]);
        self.arm("ring", labels, (tasks, level), Expect::Sleep)
    }

    /// The same walk and the same calls by one task.
    fn alone(&self, level: usize) -> Arm<'_> {
        let labels = params([("footprint", (FOOTPRINTS[level] as u64).into())]);
        self.arm("walk", labels, (1, level), Expect::NoSwitch)
    }

    fn arm(
        &self,
        quantity: &'static str,
        params: Params,
        (tasks, level): (usize, usize),
        expect: Expect,
    ) -> Arm<'_> {
        let shared = &*self.shared;
        let repeat = move |meter: &mut dyn Meter, ops: u64| {
            shared.set(tasks, level);
            let whole = lines(level).div_ceil(VISITS) as u64;
            let small = tasks * FOOTPRINTS[level] <= WARM;
            shared.pass_around(if small { whole } else { FEW_LAPS })?;
            let laps = ops.div_ceil(tasks as u64);
            let before = usage_of_all();
            let mut done = Ok(());
            let reading = meter.measure(ops, &mut |_| done = shared.pass_around(laps));
            let after = usage_of_all();
            done?;
            let own = Trial::of(&reading, 0);
            // One for each step, if every task slept for the token: of the ring as a whole.
            let all = (after.nvcsw + after.nivcsw) - (before.nvcsw + before.nivcsw);
            let counted = if expect == Expect::Sleep { all } else { own.own };
            // Whole laps were done, which may be more than was asked for.
            let ns = own.ns * ops as f64 / (laps * tasks as u64) as f64;
            Ok(Trial { ns, own: counted, partner: counted, ..own })
        };
        Arm::new((quantity, params), expect, repeat)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for (i, task) in self.others.drain(..).enumerate() {
            let told = self.shared.pass(i + 1, STOP);
            // One that cannot be told ends with the round.
            let _ = told.map(|()| task.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_passes_through_all_tasks_and_their_memory() {
        let ring = Ring::new(&mut fastrand::Rng::with_seed(1)).unwrap();
        let shared = &ring.shared;
        for (tasks, level) in [(2, 0), (16, 1), (1, 2), (4, 3), (2, 4)] {
            let (due, closed) = (shared.due(), shared.closed.load(Ordering::Relaxed));
            shared.set(tasks, level);
            // A walk through 1 MiB takes 16 turns.
            shared.pass_around(16).unwrap();
            let walks = if level == 0 { 0 } else { 16 * VISITS.min(lines(level)) / lines(level) };
            assert_eq!(shared.due() - due, (tasks * walks) as u64);
            assert_eq!(shared.closed.load(Ordering::Relaxed) - closed, (tasks * walks) as u64);
        }
    }

    #[test]
    fn each_task_has_lines_of_its_own() {
        let shared = Shared::new(&mut fastrand::Rng::with_seed(1)).unwrap();
        for level in 1..FOOTPRINTS.len() {
            let mut seen = vec![false; MOST * lines(level)];
            for task in 0..MOST {
                let mut at = Shared::first(task, level);
                for _ in 0..lines(level) {
                    assert!(
                        !std::mem::replace(&mut seen[at / WORDS_IN_LINE], true),
                        "a line twice"
                    );
                    at = shared.memory.words()[at].load(Ordering::Relaxed) as usize;
                }
                assert_eq!(at, Shared::first(task, level));
            }
        }
    }
}
