//! Every CPU does the same for a fixed time, each on what is its own, and what all of them got done
//! is counted. A fixed amount for each would measure the slowest at the end, alone on the machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::team::Team;
use crate::harness::clock::Timer;
use crate::sys::time::thread_cpu_ns;
use card::format::count;
use card::record::{Disturbances, PointState};

/// What one thread of a team does. It is made by the thread itself, so that its memory is first
/// touched where it is used.
pub trait Worker {
    /// Before each window.
    fn setup(&mut self, window: usize);
    /// One slice of work, well below the length of a window; returns its amount.
    fn run_slice(&mut self) -> u64;
    /// After each window: what is wrong with the work, if anything.
    fn verify(&mut self) -> Result<(), String>;
}

/// What one thread did in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThreadSample {
    /// Amount of work.
    pub amount: u64,
    /// In how much time, from the common start to the end of its last slice.
    pub ns: f64,
    /// Nanoseconds of it during which this thread was not running.
    pub off_cpu_ns: f64,
    /// What is wrong with the work.
    pub wrong: Option<String>,
}

/// What all threads did in a window, the leader first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window(pub Vec<ThreadSample>);

impl Window {
    /// Amount of all threads together per nanosecond.
    pub fn rate(&self) -> f64 {
        self.0.iter().map(|share| share.amount as f64 / share.ns).sum()
    }

    /// What the one got that got least, relative to an even share.
    pub fn least_share(&self) -> f64 {
        let rates = || self.0.iter().map(|share| share.amount as f64 / share.ns);
        let least = rates().fold(f64::INFINITY, f64::min);
        least * self.0.len() as f64 / rates().sum::<f64>()
    }

    /// What is wrong with the work, if anything.
    pub fn wrong(windows: &[Window]) -> Option<String> {
        windows.iter().flat_map(|window| &window.0).find_map(|share| share.wrong.clone())
    }

    /// Share of the time of all threads in which they had no CPU.
    pub fn off_cpu_share(&self) -> f64 {
        let sum = |get: fn(&ThreadSample) -> f64| self.0.iter().map(get).sum::<f64>();
        sum(|share| share.off_cpu_ns) / sum(|share| share.ns)
    }
}

/// Share of the threads' time that others may have had in a window; beyond, it is set aside.
pub const MOST_OFF_CPU: f64 = 0.02;

/// The windows that ran undisturbed, or all of them if too few did, and what becomes of their point.
pub fn undisturbed(windows: &[Window]) -> (Vec<&Window>, PointState, Disturbances) {
    let kept: Vec<&Window> = windows.iter().filter(|w| w.off_cpu_share() <= MOST_OFF_CPU).collect();
    let rejected = (windows.len() - kept.len()) as u64;
    let disturbances = Disturbances { rejected, ..Disturbances::default() };
    if kept.len() * 2 > windows.len() {
        (kept, PointState::Ok, disturbances)
    } else {
        (windows.iter().collect(), PointState::Noisy, disturbances)
    }
}

/// What every thread of a team knows.
struct Plan<'a> {
    timer: &'a Timer,
    length: Duration,
    windows: usize,
    /// Windows that are over.
    over: AtomicUsize,
    samples: Vec<Mutex<ThreadSample>>,
}

/// Runs so many windows with a thread on `cpu` and one on each of the others. Fails with the reason
/// if a thread cannot be started or cannot make its worker.
///
/// # Errors
///
/// Why a thread could not be started or has nothing to work with.
pub fn measure<W: Worker>(
    (cpu, others): (usize, &[usize]),
    timer: &Timer,
    (windows, length): (usize, Duration),
    make_worker: impl Fn(usize) -> Result<W, String> + Sync,
) -> Result<Vec<Window>, String> {
    let plan = Plan {
        timer,
        length,
        windows,
        over: AtomicUsize::new(0),
        samples: (0..=others.len()).map(|_| Mutex::default()).collect(),
    };
    let follow = |team: &Team, cpu: usize| {
        let place = others.iter().position(|&other| other == cpu).map_or(0, |i| i + 1);
        // The leader is told as well.
        let _ = member(&plan, team, place, make_worker(cpu), &mut |_| ());
    };
    let mut seen = Vec::with_capacity(windows);
    let lead =
        |team: &Team| member(&plan, team, 0, make_worker(cpu), &mut |window| seen.push(window));
    Team::pinned(cpu, others, follow, lead)
        .map_err(|e| format!("{} cannot be started: {e}", count(others.len() + 1, "thread")))??;
    Ok(seen)
}

/// One thread through all windows; `see` gets each when all threads are through.
fn member<W: Worker>(
    plan: &Plan<'_>,
    team: &Team,
    place: usize,
    worker: Result<W, String>,
    see: &mut dyn FnMut(Window),
) -> Result<(), String> {
    let mut worker = team.all_ready(worker)?;
    for window in 0..plan.windows {
        worker.setup(window);
        if !team.wait() {
            return Ok(());
        }
        let share = one_window(plan, team, window, place == 0, &mut worker);
        store(&plan.samples[place], share);
        if !team.wait() {
            return Ok(());
        }
        if place == 0 {
            let shares = plan.samples.iter().filter_map(|share| Some(share.lock().ok()?.clone()));
            see(Window(shares.collect()));
        }
    }
    Ok(())
}

fn one_window(
    plan: &Plan<'_>,
    team: &Team,
    window: usize,
    leads: bool,
    worker: &mut impl Worker,
) -> ThreadSample {
    let length = plan.length.as_nanos() as f64;
    let cpu = thread_cpu_ns();
    let start = plan.timer.stamp();
    let mut amount = 0;
    let ns = loop {
        amount += worker.run_slice();
        let ns = plan.timer.ns_between(start, plan.timer.stamp());
        if leads && ns >= length {
            plan.over.store(window + 1, Ordering::Relaxed);
        }
        if plan.over.load(Ordering::Relaxed) > window || team.stopped() {
            break ns;
        }
    };
    // The second reading comes later than the end, so that a little less than nothing can be lost.
    let off_cpu_ns = (ns - (thread_cpu_ns() - cpu) as f64).max(0.0);
    ThreadSample { amount, ns, off_cpu_ns, wrong: worker.verify().err() }
}

/// A lock is poisoned only if a thread of the team panicked, which ends the round anyway.
fn store<T>(place: &Mutex<T>, value: T) {
    if let Ok(mut place) = place.lock() {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the leader cannot be pinned, the others' numbers are but names.
    const ANYWHERE: usize = usize::MAX;

    /// Counts what it is asked to do.
    struct Counter {
        cpu: usize,
        window: usize,
        slices: u64,
    }

    impl Worker for Counter {
        fn setup(&mut self, window: usize) {
            (self.window, self.slices) = (window, 0);
        }
        fn run_slice(&mut self) -> u64 {
            std::thread::sleep(Duration::from_micros(200));
            self.slices += 1;
            10
        }
        fn verify(&mut self) -> Result<(), String> {
            let right = self.slices > 0 && !(self.cpu == ANYWHERE && self.window == 1);
            right.then_some(()).ok_or_else(|| format!("{} slices", self.slices))
        }
    }

    fn make_worker(cpu: usize) -> Result<Counter, String> {
        Ok(Counter { cpu, window: 0, slices: 0 })
    }

    #[test]
    fn everybody_works_for_the_whole_window_and_stops() {
        let length = Duration::from_millis(5);
        // More threads than CPUs: they all sleep.
        let seen = measure((ANYWHERE, &[1, 2]), &Timer::CLOCK, (3, length), make_worker).unwrap();
        assert_eq!(seen.len(), 3);
        for (i, window) in seen.iter().enumerate() {
            assert_eq!(window.0.len(), 3);
            for share in &window.0 {
                assert!(share.amount >= 10 && share.amount % 10 == 0);
                assert!(share.ns >= 200e3 && share.off_cpu_ns > share.ns / 4.0, "{share:?}");
            }
            assert!(window.0[0].ns >= 5e6, "the leader decides on the end");
            assert_eq!(window.0[0].wrong.is_some(), i == 1);
        }
    }

    #[test]
    fn rates_add_up() {
        let share = |amount, off_cpu_ns| ThreadSample { amount, ns: 10.0, off_cpu_ns, wrong: None };
        let window = Window(vec![share(100, 1.0), share(30, 0.0)]);
        assert!((window.rate() - 13.0).abs() < 1e-9);
        assert!((window.off_cpu_share() - 0.05).abs() < 1e-9);
    }

    #[test]
    fn the_least_share_is_relative_to_an_even_one() {
        let share = |amount| ThreadSample { amount, ns: 10.0, ..ThreadSample::default() };
        assert!((Window(vec![share(100), share(100)]).least_share() - 1.0).abs() < 1e-9);
        assert!((Window(vec![share(300), share(100)]).least_share() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn disturbed_windows_are_set_aside_unless_most_are() {
        let window = |off_cpu_ns| {
            Window(vec![ThreadSample { amount: 1, ns: 100.0, off_cpu_ns, wrong: None }])
        };
        let one = [window(0.0), window(50.0), window(1.0)];
        let (kept, state, disturbances) = undisturbed(&one);
        assert_eq!(kept, [&one[0], &one[2]]);
        assert_eq!((state, disturbances.rejected), (PointState::Ok, 1));
        let most = [window(50.0), window(0.0), window(50.0)];
        let (kept, state, disturbances) = undisturbed(&most);
        assert_eq!((kept.len(), state, disturbances.rejected), (3, PointState::Noisy, 2));
    }

    #[test]
    fn one_who_cannot_work_keeps_nobody_waiting() {
        let make_worker =
            |cpu| if cpu == 2 { Err("no memory".to_owned()) } else { make_worker(cpu) };
        let said =
            measure((ANYWHERE, &[1, 2]), &Timer::CLOCK, (2, Duration::from_millis(1)), make_worker);
        assert_eq!(said.unwrap_err(), "no memory");
    }
}
