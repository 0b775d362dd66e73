//! A ring of tasks on one CPU, each with memory of its own, through which a token passes.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::counted::{self, About, Arm, Repetition};
use super::pairs::effort;
use crate::harness::bench::{Bench, params};
use crate::harness::meter::Meter;
use crate::probe::Unmet;
use crate::sys::memory::{Pages, SharedWords};
use crate::sys::thread::usage_of_all;

/// Tasks in the ring.
const TASKS: [usize; 4] = [2, 4, 8, 16];
const MOST: usize = TASKS[TASKS.len() - 1];

/// Bytes that each of them walks over.
const FOOTPRINTS: [usize; 5] = [0, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const LARGEST: usize = FOOTPRINTS[FOOTPRINTS.len() - 1];

/// Words of a line.
const LINE: usize = 16;

/// Tasks of the ring need next to no stack.
const STACK: usize = 64 << 10;

/// Share of the round's time.
const RING_SHARE: f64 = 0.3;

/// The token, and what ends a task instead.
const TOKEN: u8 = 1;
const STOP: u8 = 2;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let ring = match Ring::new() {
        Ok(ring) => ring,
        Err(e) => {
            return bench.skip(Unmet {
                need: format!("a ring of {MOST} threads with {} MiB each", LARGEST >> 20),
                reason: e.to_string(),
                remedy: "raise the limits on threads, files and memory (ulimit -u -n -v, pids.max)"
                    .into(),
            });
        }
    };
    let sizes = || FOOTPRINTS.into_iter();
    let mut arms: Vec<Arm<'_>> = sizes().map(|bytes| ring.alone(bytes)).collect();
    arms.extend(
        TASKS
            .into_iter()
            .flat_map(|tasks| sizes().map(move |bytes| (tasks, bytes)))
            .map(|(tasks, bytes)| ring.laps(tasks, bytes)),
    );
    let effort = effort(bench, RING_SHARE);
    counted::sample(bench, &mut arms, effort)?;
    drop(arms);
    let (lines, walked) = (ring.shared.due(), ring.shared.walked.load(Ordering::Relaxed));
    bench.check(lines == walked, || format!("{lines} lines of a ring were walked as {walked}"))
}

/// What the tasks have in common.
struct Shared {
    pipes: Vec<(PipeReader, PipeWriter)>,
    memory: SharedWords,
    tasks: AtomicUsize,
    footprint: AtomicUsize,
    /// Lines that were walked over, and that should have been.
    walked: AtomicU64,
    due: AtomicU64,
}

impl Shared {
    fn new() -> io::Result<Shared> {
        // All that is walked over, side by side: apart by powers of two they would share cache sets.
        let memory = SharedWords::new(MOST * LARGEST, Pages::Huge)?;
        // A line counts itself.
        memory.words().iter().step_by(LINE).for_each(|word| word.store(1, Ordering::Relaxed));
        Ok(Shared {
            pipes: (0..MOST).map(|_| io::pipe()).collect::<io::Result<_>>()?,
            memory,
            tasks: AtomicUsize::new(0),
            footprint: AtomicUsize::new(0),
            walked: AtomicU64::new(0),
            due: AtomicU64::new(0),
        })
    }

    fn set(&self, tasks: usize, footprint: usize) {
        self.tasks.store(tasks, Ordering::Relaxed);
        self.footprint.store(footprint, Ordering::Relaxed);
    }

    fn due(&self) -> u64 {
        self.due.load(Ordering::Relaxed)
    }

    /// One load from each line of the task's own memory.
    fn walk(&self, task: usize) {
        let words = self.footprint.load(Ordering::Relaxed) / 4;
        let own = &self.memory.words()[task * words..(task + 1) * words];
        let sum: u64 =
            own.iter().step_by(LINE).map(|word| u64::from(word.load(Ordering::Relaxed))).sum();
        self.walked.fetch_add(sum, Ordering::Relaxed);
    }

    fn pass(&self, to: usize, what: u8) -> io::Result<()> {
        (&self.pipes[to].1).write_all(&[what])
    }

    fn wait(&self, task: usize) -> io::Result<u8> {
        let mut token = [0];
        (&self.pipes[task].0).read_exact(&mut token)?;
        Ok(token[0])
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
    crew: Vec<JoinHandle<()>>,
}

impl Ring {
    /// Starts all of them on the CPU that the caller is pinned to.
    fn new() -> io::Result<Ring> {
        let mut ring = Ring { shared: Arc::new(Shared::new()?), crew: Vec::new() };
        for task in 1..MOST {
            let shared = Arc::clone(&ring.shared);
            let serve = move || shared.serve(task);
            ring.crew.push(std::thread::Builder::new().stack_size(STACK).spawn(serve)?);
        }
        Ok(ring)
    }

    /// The token passes through so many tasks; an operation is one step of it.
    fn laps(&self, tasks: usize, footprint: usize) -> Arm<'_> {
        let labels =
            params([("tasks", (tasks as u64).into()), ("footprint", (footprint as u64).into())]);
        self.arm("ring", labels, (tasks, footprint), About::Sleep)
    }

    /// The same walk and the same calls by one task.
    fn alone(&self, footprint: usize) -> Arm<'_> {
        let labels = params([("footprint", (footprint as u64).into())]);
        self.arm("walk", labels, (1, footprint), About::NoSwitch)
    }

    fn arm(
        &self,
        quantity: &'static str,
        params: crate::record::Params,
        (tasks, footprint): (usize, usize),
        about: About,
    ) -> Arm<'_> {
        let shared = &*self.shared;
        let repeat = move |meter: &mut dyn Meter, ops: u64| {
            shared.set(tasks, footprint);
            let laps = ops.div_ceil(tasks as u64);
            let steps = laps * tasks as u64;
            shared.due.fetch_add(steps * (footprint / 4 / LINE) as u64, Ordering::Relaxed);
            let mut done = Ok(());
            let before = usage_of_all();
            let reading = meter.measure(steps, &mut |_| {
                done = (0..laps).try_for_each(|_| {
                    shared.walk(0);
                    shared.pass(1 % tasks, TOKEN)?;
                    shared.wait(0).map(drop)
                });
            });
            let after = usage_of_all();
            done?;
            // One for each step, if every task slept for the token: of the ring as a whole.
            let all = (after.nvcsw + after.nivcsw) - (before.nvcsw + before.nivcsw);
            let own = Repetition::of(&reading, all);
            let per_step = ops as f64 / steps as f64;
            let counted = if about == About::Sleep { all } else { own.own };
            Ok(Repetition { ns: own.ns * per_step, own: counted, partner: counted, ..own })
        };
        Arm { quantity, params, about, repeat: Box::new(repeat), ops: None }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for (i, task) in self.crew.drain(..).enumerate() {
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
        let ring = Ring::new().unwrap();
        for (tasks, footprint) in [(2, 0), (16, 16 << 10), (1, 64 << 10), (4, 1 << 20)] {
            ring.shared.set(tasks, footprint);
            let before = ring.shared.walked.load(Ordering::Relaxed);
            for _ in 0..3 {
                ring.shared.walk(0);
                ring.shared.pass(1 % tasks, TOKEN).unwrap();
                assert_eq!(ring.shared.wait(0).unwrap(), TOKEN);
            }
            let walked = ring.shared.walked.load(Ordering::Relaxed) - before;
            assert_eq!(walked, (3 * tasks * footprint / 64) as u64);
        }
    }
}
