//! Windows of the same two CPUs, repeated until one state of the machine has enough of each: a
//! hypervisor moves CPUs, and what was measured in different places does not belong together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::bench::Bench;
use crate::harness::clock::Timer;
use crate::kernel::coherence::HandOver;
use crate::sys::memory::{Pages, SharedWords};
use crate::threads::cpus;
use crate::threads::windows::{self, Window, Worker};
use card::estimate::median;
use card::view::core_matrix::{SIBLINGS_NS, is_one_place};

/// Windows of a setting that count.
const WINDOWS: usize = 5;

/// Passes over all arms at most.
const MOST_PASSES: usize = 40;

/// The order in which arms are measured: each once in every pass.
pub(super) struct Plan {
    pub(super) arms: Vec<usize>,
    count: usize,
    pass: AtomicUsize,
}

impl Plan {
    pub(super) fn new(count: usize, rng: &mut fastrand::Rng) -> Plan {
        let pass = |_| {
            let mut order: Vec<usize> = (0..count).collect();
            rng.shuffle(&mut order);
            order
        };
        let mut arms: Vec<usize> = (0..MOST_PASSES).flat_map(pass).collect();
        // Each pass looks one window further, only for the state that the two are in after it.
        arms.push(0);
        Plan { arms, count, pass: AtomicUsize::new(0) }
    }

    /// Where this pass begins.
    pub(super) fn begin(&self) -> usize {
        self.pass.load(Ordering::Relaxed) * self.count
    }
}

/// Samples of each arm with the number of disturbed ones, and how long a line took
/// meanwhile, ns.
pub(super) struct Gathered {
    pub(super) arms: Vec<(Vec<f64>, u64)>,
    pub(super) state: f64,
}

/// A worker that first hands a word back and forth with its partner.
struct Watched<'a, W> {
    worker: W,
    word: &'a AtomicU32,
    leads: bool,
    timer: &'a Timer,
    seen: &'a Mutex<Vec<f64>>,
}

impl<W: Worker> Worker for Watched<'_, W> {
    fn setup(&mut self, window: usize) {
        /// Some microseconds, up to a tenth of a window across a large machine.
        const TRIPS: u64 = 50;
        let (mine, theirs) = if self.leads { (0, 1) } else { (1, 0) };
        HandOver::Cas.pass(self.word, mine, theirs, TRIPS / 5);
        let start = self.timer.stamp();
        HandOver::Cas.pass(self.word, mine, theirs, TRIPS);
        let ns = self.timer.ns_between(start, self.timer.stamp()) / (2 * TRIPS) as f64;
        if let (true, Ok(mut seen)) = (self.leads, self.seen.lock()) {
            seen.push(ns);
        }
        self.worker.setup(window);
    }

    fn run_slice(&mut self) -> u64 {
        self.worker.run_slice()
    }

    fn verify(&mut self) -> Result<(), String> {
        self.worker.verify()
    }
}

/// A window's arm, the state that the two were in before and after it, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    arm: usize,
    state: Option<f64>,
    value: Option<f64>,
}

/// Passes over the plan until every arm has enough samples in one state or the time is up. `None` if
/// the reason was recorded why there are none.
pub(super) fn gather<W: Worker>(
    bench: &mut Bench<'_>,
    partner: usize,
    plan: &Plan,
    (length, share): (Duration, f64),
    make_worker: impl Fn(usize) -> Result<W, String> + Sync,
    value: impl Fn(usize, &Window) -> Option<f64>,
) -> anyhow::Result<Option<Gathered>> {
    let until = bench.meter.elapsed() + bench.share(share);
    let word = SharedWords::new(1, Pages::Small)?;
    let mut all: Vec<Seen> = Vec::new();
    for pass in 0..MOST_PASSES {
        plan.pass.store(pass, Ordering::Relaxed);
        let states = Mutex::new(Vec::new());
        let (timer, leader) = (bench.timer, bench.cpu);
        let watched = |cpu: usize| {
            let worker = make_worker(cpu)?;
            let (word, leads) = (&word.words()[0], cpu == leader);
            Ok(Watched { worker, word, leads, timer: &timer, seen: &states })
        };
        let team = (bench.cpu, &[partner][..]);
        let windows = match windows::measure(team, &timer, (plan.count + 1, length), watched) {
            Ok(windows) => windows,
            Err(reason) => {
                bench.skip(cpus::few_threads(2, reason))?;
                return Ok(None);
            }
        };
        let wrong = Window::wrong(&windows);
        bench.check(wrong.is_none(), || wrong.unwrap_or_default())?;
        let states = states.into_inner().unwrap_or_default();
        let arms = &plan.arms[plan.begin()..plan.begin() + plan.count];
        all.extend(arms.iter().zip(&windows).zip(states.windows(2)).map(|((&arm, window), s)| {
            let state = is_one_place(s[0], s[1]).then(|| s[0].midpoint(s[1]));
            Seen { arm, state, value: value(arm, window) }
        }));
        if best(&all, plan.count).is_some_and(|(_, least)| least >= WINDOWS)
            || bench.meter.elapsed() >= until
        {
            break;
        }
    }
    Ok(best(&all, plan.count).map(|(range, _)| chosen(&all, plan.count, range)))
}

/// The ranges of one-way times that were met, nearest first.
fn ranges(all: &[Seen]) -> Vec<(f64, f64)> {
    let mut times: Vec<f64> = all.iter().filter_map(|seen| seen.state).collect();
    times.sort_by(f64::total_cmp);
    let states = times.chunk_by(|&a, &b| is_one_place(a, b));
    states.filter_map(|state| Some((*state.first()?, *state.last()?))).collect()
}

fn is_in(seen: &Seen, range: (f64, f64)) -> bool {
    seen.state.is_some_and(|state| (range.0..=range.1).contains(&state))
}

/// The state to report, and how many samples it has for every arm at least: the nearest one of two
/// cores that has enough, else hyperthreads of one core, else whatever has most.
fn best(all: &[Seen], arms: usize) -> Option<((f64, f64), usize)> {
    let least = |&range: &(f64, f64)| {
        let of = |arm| {
            all.iter().filter(|s| s.arm == arm && s.value.is_some() && is_in(s, range)).count()
        };
        (0..arms).map(of).min().unwrap_or(0)
    };
    let (near, cores): (Vec<_>, Vec<_>) = ranges(all).into_iter().partition(|r| r.1 < SIBLINGS_NS);
    let found: Vec<((f64, f64), usize)> =
        cores.into_iter().chain(near).map(|range| (range, least(&range))).collect();
    let enough = found.iter().find(|f| f.1 >= WINDOWS).copied();
    let size = |range| all.iter().filter(|s| is_in(s, range)).count();
    enough.or_else(|| found.into_iter().max_by_key(|f| (f.1, size(f.0))))
}

/// The samples of one state.
fn chosen(all: &[Seen], arms: usize, range: (f64, f64)) -> Gathered {
    let own = |arm: usize| {
        let here = || all.iter().filter(|seen| seen.arm == arm && is_in(seen, range));
        let rejected = here().filter(|seen| seen.value.is_none()).count() as u64;
        (here().filter_map(|seen| seen.value).take(WINDOWS).collect(), rejected)
    };
    let states: Vec<f64> =
        all.iter().filter(|s| is_in(s, range)).filter_map(|seen| seen.state).collect();
    Gathered { arms: (0..arms).map(own).collect(), state: median(&states).unwrap_or(range.0) }
}

#[cfg(test)]
mod tests {
    use super::super::siblings;
    use super::*;

    fn seen(arm: usize, state: f64) -> Seen {
        Seen { arm, state: Some(state), value: Some(state / 3.0) }
    }

    #[test]
    fn two_cores_are_preferred_and_states_are_not_mixed() {
        // Each arm is met as siblings most often, in other states often enough.
        let mut all = Vec::new();
        for pass in 0..9 {
            all.extend([0, 1].map(|arm| seen(arm, 10.8 + f64::from(pass) / 10.0)));
            if pass < 6 {
                all.extend([0, 1].map(|arm| seen(arm, 109.0)));
                all.extend([0, 1].map(|arm| seen(arm, 28.0 + f64::from(pass))));
            }
        }
        assert_eq!(ranges(&all).len(), 3);
        let (range, least) = best(&all, 2).unwrap();
        assert_eq!((range, least), ((28.0, 33.0), 6));
        let gathered = chosen(&all, 2, range);
        for (samples, rejected) in &gathered.arms {
            assert!(samples.len() == WINDOWS && samples.iter().all(|s| *s > 9.0 && *s < 12.0));
            assert_eq!(*rejected, 0, "another state is no disturbance");
        }
        assert!((gathered.state - 30.5).abs() < 1.0);
        assert!(siblings(gathered.state).is_none() && siblings(10.8).is_some());
    }

    #[test]
    fn what_is_met_too_rarely_gives_way_to_what_is_there() {
        let mut all: Vec<Seen> = (0..2).flat_map(|_| [0, 1].map(|arm| seen(arm, 28.0))).collect();
        all.extend((0..7).flat_map(|_| [0, 1].map(|arm| seen(arm, 10.8))));
        all.push(Seen { state: None, ..seen(0, 28.0) });
        assert_eq!(best(&all, 2), Some(((10.8, 10.8), 7)));
        assert_eq!(best(&[], 2), None);
    }

    #[test]
    fn every_pass_has_every_arm() {
        let plan = Plan::new(5, &mut fastrand::Rng::with_seed(2));
        for pass in plan.arms[..5 * MOST_PASSES].chunks(5) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, [0, 1, 2, 3, 4]);
        }
        assert!(plan.arms.len() > 5 * MOST_PASSES, "the last pass looks one further");
    }
}
