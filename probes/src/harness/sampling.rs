//! Which batches count, and when there are enough.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::clock::{ClockReading, agree};
use super::meter::Reading;
use card::counters::{Counts, Event};
use card::estimate::{median, quantile};
use card::record::{Disturbances, PointState, Strayed};

/// How a point is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingPlan {
    /// Clean samples without which the point is `noisy`.
    pub min_samples: usize,
    /// Samples after which it is enough in any case.
    pub max_samples: usize,
    /// Length of one sample: below a 4 ms tick, so that most samples see none.
    pub sample: Duration,
    /// Only samples with a quiet hyperthread sibling count: for structure and capacity.
    pub need_idle_sibling: bool,
    /// Only samples during which the core's clock stood still count, and it is recorded with them:
    /// for all that the core itself does. Not for what it waits for, such as main memory.
    pub need_steady_clock: bool,
    /// Samples are spread over the whole time instead of ending as soon as they suffice: for
    /// quantities with states that last longer than a few samples.
    pub spread: bool,
    /// Time for all arms together.
    pub budget: Duration,
    /// How much longer it goes on while fewer than `min_samples` are clean.
    pub patience: Patience,
}

/// How long sampling goes on while there are too few clean samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Four times as long as there is time for, but not beyond what the whole round was given.
    WithinRound,
    /// The same, whatever is left of the round: for what has no other turn.
    BeyondRound,
    /// Until so many passes were made.
    Passes(usize),
    /// All have so many passes and twice their time, and `min_samples` passes in any case. For what
    /// the scheduler decides: once it does not play along, it seldom does later.
    Both(usize),
}

/// How far sampling has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Passes over all arms.
    pub passes: usize,
    /// Time since the first.
    pub spent: Duration,
    /// Whether an arm has fewer clean samples than wanted.
    pub few: bool,
    /// Whether the round has used up its time.
    pub round_is_over: bool,
}

impl SamplingPlan {
    /// Structural quantities: samples of 0.3 ms with a quiet sibling.
    pub const fn structural(budget: Duration) -> SamplingPlan {
        let sample = Duration::from_micros(300);
        SamplingPlan {
            min_samples: 5,
            max_samples: 64,
            sample,
            need_idle_sibling: true,
            need_steady_clock: true,
            spread: false,
            budget,
            patience: Patience::WithinRound,
        }
    }

    /// Whether sampling ends here, whatever there is by now.
    pub fn is_over(&self, progress: &Progress) -> bool {
        let Progress { passes, spent, few, round_is_over } = *progress;
        let late = spent >= if few { self.budget * 4 } else { self.budget };
        match self.patience {
            Patience::WithinRound => late || round_is_over,
            Patience::BeyondRound => late,
            Patience::Passes(most) => passes >= most || (!few && spent >= self.budget),
            Patience::Both(most) => {
                passes >= most || (passes >= self.min_samples && spent > self.budget * 2)
            }
        }
    }
}

/// A relative 95 % interval this narrow ends the sampling of a point early.
const TIGHT: f64 = 0.01;

/// Share of samples hit by the scheduler above which a point is unreliable. Samples set aside
/// because the sibling was busy, the clock moved or an interrupt came do not count: waiting for
/// quiet is the method, not a failure of it, and on a shared host most samples can go that way
/// while those that are left agree to a thousandth.
const MOST_REJECTED: f64 = 0.3;

/// The clock readings of the last moments: slow drift of a shared turbo is followed, a single
/// reading that is off by more than 2 % stands out.
#[derive(Debug, Default)]
pub struct ClockHistory(VecDeque<f64>);

impl ClockHistory {
    const KEPT: usize = 65;

    fn push(&mut self, ghz: f64) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(ghz);
    }

    fn is_off(&self, ghz: f64) -> bool {
        let recent: Vec<f64> = self.0.iter().copied().collect();
        match median(&recent) {
            Some(usual) if recent.len() >= 5 => !agree(ghz, usual, 0.02),
            _ => !ghz.is_finite(),
        }
    }
}

/// The samples of one point while they are taken.
#[derive(Debug, Default)]
pub struct Collector {
    /// Accepted samples, ns per operation.
    pub samples: Vec<f64>,
    /// Core clock around each, if it matters.
    pub core_ghz: Vec<f64>,
    /// What the counters said of each event, of the samples that it was counted in and that nobody
    /// interrupted.
    pub counts: BTreeMap<Event, Vec<u64>>,
    /// What spoiled the others.
    pub disturbances: Disturbances,
}

impl Collector {
    /// Takes a reading in or turns it away, and says which.
    pub fn offer(
        &mut self,
        reading: &Reading,
        ops: u64,
        policy: &SamplingPlan,
        history: &mut ClockHistory,
    ) -> bool {
        let d = &mut self.disturbances;
        let counts = (d.nvcsw, d.nivcsw, d.minflt, d.migrated, d.steal);
        d.nvcsw += reading.usage.nvcsw;
        d.nivcsw += reading.usage.nivcsw;
        d.minflt += reading.usage.faults;
        // A move there and back is seen only by the kernel.
        let moved = reading.counts.get(&Event::Migrations).is_some_and(|&n| n > 0);
        d.migrated += u64::from(reading.migrated || moved);
        if let Some((home, cpu)) = reading.strayed {
            let samples = d.strayed.map_or(0, |before| before.samples) + 1;
            d.strayed = Some(Strayed { home, cpu, samples });
        }
        d.steal += reading.stolen;
        let mut clean = counts == (d.nvcsw, d.nivcsw, d.minflt, d.migrated, d.steal);
        // A busy sibling and a wandering clock change times, not counts.
        if clean {
            let of_card = reading.counts.iter().filter(|(e, _)| **e != Event::Migrations);
            of_card.for_each(|(&event, &n)| self.counts.entry(event).or_default().push(n));
        }
        if policy.need_steady_clock
            && reading.counts.get(&Event::Interrupts).is_some_and(|&n| n > 0)
        {
            d.interrupts += 1;
            clean = false;
        }
        if policy.need_steady_clock && clock_moved(reading.before, reading.after, history) {
            d.clock += 1;
            clean = false;
        } else if policy.need_idle_sibling && (reading.before.is_busy() || reading.after.is_busy())
        {
            d.sibling += 1;
            clean = false;
        }
        if clean && reading.ns > 0.0 {
            self.samples.push(reading.ns / ops as f64);
            if policy.need_steady_clock {
                self.core_ghz.push(reading.before.core_ghz.midpoint(reading.after.core_ghz));
            }
        } else {
            d.rejected += 1;
            clean = false;
        }
        clean
    }

    /// Takes a sample in, or sets it aside where there is none, by what someone else knows of it.
    pub fn accept(&mut self, sample: Option<f64>) -> bool {
        self.samples.extend(sample);
        self.disturbances.rejected += u64::from(sample.is_none());
        sample.is_some()
    }

    /// Samples taken so far, accepted or not.
    pub fn taken(&self) -> u32 {
        u32::try_from(self.samples.len() as u64 + self.disturbances.rejected).unwrap_or(u32::MAX)
    }

    /// Whether the estimate is known well enough to stop.
    pub fn is_tight(&self, policy: &SamplingPlan, rng: &mut fastrand::Rng) -> bool {
        self.samples.len() >= policy.max_samples
            || (!policy.spread
                && self.samples.len() >= policy.min_samples.max(9)
                && relative_interval(&self.samples, rng) < TIGHT)
    }

    /// How often each event happened in one sample: the lower of the middle ones, as it was counted.
    pub fn middle_counts(&self) -> Counts {
        let middle = |counts: &Vec<u64>| {
            let mut sorted = counts.clone();
            sorted.sort_unstable();
            sorted.get(sorted.len().saturating_sub(1) / 2).copied()
        };
        self.counts.iter().filter_map(|(&event, counts)| Some((event, middle(counts)?))).collect()
    }

    /// What the point is worth.
    pub fn state(&self, policy: &SamplingPlan) -> PointState {
        let d = &self.disturbances;
        let spoiled = d.rejected.saturating_sub(d.sibling + d.clock + d.interrupts);
        let most = MOST_REJECTED * f64::from(self.taken());
        if self.samples.len() < policy.min_samples || spoiled as f64 > most {
            PointState::Noisy
        } else {
            PointState::Ok
        }
    }
}

fn clock_moved(before: ClockReading, after: ClockReading, history: &mut ClockHistory) -> bool {
    let moved = !agree(before.core_ghz, after.core_ghz, 0.01);
    let off = history.is_off(before.core_ghz) || history.is_off(after.core_ghz);
    if after.core_ghz.is_finite() {
        history.push(after.core_ghz);
    }
    moved || off
}

/// Width of the bootstrap 95 % interval of the lower quartile, relative to it.
fn relative_interval(samples: &[f64], rng: &mut fastrand::Rng) -> f64 {
    let mut resample = vec![0.0; samples.len()];
    let estimates: Vec<f64> = (0..80)
        .filter_map(|_| {
            resample.fill_with(|| samples[rng.usize(..samples.len())]);
            quantile(&resample, 0.25)
        })
        .collect();
    match (quantile(&estimates, 0.025), quantile(&estimates, 0.975), quantile(samples, 0.25)) {
        (Some(low), Some(high), Some(mid)) if mid > 0.0 => (high - low) / mid,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sys::thread::Usage;

    pub(in crate::harness) fn reading(ns: f64, ghz: f64, delay: f64) -> Reading {
        let bracket = ClockReading { core_ghz: ghz, sibling_delay_cycles: delay };
        let usage = Usage::default();
        let (before, after, counts) = (bracket, bracket, Counts::new());
        Reading { ns, before, after, usage, counts, ..Reading::default() }
    }

    const STRICT: SamplingPlan = SamplingPlan::structural(Duration::ZERO);

    fn offer(collector: &mut Collector, reading: &Reading) -> bool {
        collector.offer(reading, 10, &STRICT, &mut ClockHistory::default())
    }

    #[test]
    fn a_clean_reading_is_taken_per_operation() {
        let mut collector = Collector::default();
        assert!(offer(&mut collector, &reading(50.0, 3.7, 0.0)));
        assert_eq!(collector.samples, [5.0]);
        assert_eq!(collector.core_ghz, [3.7]);
        assert_eq!(collector.disturbances, Disturbances::default());
    }

    #[test]
    fn each_disturbance_is_counted_and_rejected() {
        let clean = || reading(50.0, 3.7, 0.0);
        let slower = ClockReading { core_ghz: 3.6, sibling_delay_cycles: 0.0 };
        let usage = |nvcsw, nivcsw, faults| Usage { nvcsw, nivcsw, faults };
        type Count = fn(&Disturbances) -> u64;
        let cases: [(Reading, Count); 9] = [
            (Reading { usage: usage(1, 0, 0), ..clean() }, |d| d.nvcsw),
            (Reading { usage: usage(0, 1, 0), ..clean() }, |d| d.nivcsw),
            (Reading { usage: usage(0, 0, 1), ..clean() }, |d| d.minflt),
            (Reading { migrated: true, ..clean() }, |d| d.migrated),
            (Reading { counts: [(Event::Migrations, 2)].into(), ..clean() }, |d| d.migrated),
            (Reading { stolen: 1, ..clean() }, |d| d.steal),
            (Reading { after: slower, ..clean() }, |d| d.clock),
            (Reading { counts: [(Event::Interrupts, 1)].into(), ..clean() }, |d| d.interrupts),
            (reading(50.0, 3.7, 0.04), |d| d.sibling),
        ];
        for (spoiled, count) in cases {
            let mut collector = Collector::default();
            assert!(!offer(&mut collector, &spoiled), "{spoiled:?}");
            assert_eq!(count(&collector.disturbances), 1);
            assert_eq!(collector.disturbances.rejected, 1);
            assert!(collector.samples.is_empty());
        }
    }

    #[test]
    fn a_sample_from_another_cpu_than_its_own_says_which() {
        let mut collector = Collector::default();
        for _ in 0..2 {
            let away = Reading { migrated: true, strayed: Some((1, 0)), ..reading(50.0, 3.7, 0.0) };
            assert!(!offer(&mut collector, &away));
        }
        assert!(offer(&mut collector, &reading(50.0, 3.7, 0.0)));
        let Disturbances { migrated, strayed, rejected, .. } = collector.disturbances;
        assert_eq!((migrated, rejected), (2, 2));
        assert_eq!(strayed, Some(Strayed { home: 1, cpu: 0, samples: 2 }));
    }

    #[test]
    fn the_middle_count_of_the_accepted_samples_stands_for_the_point() {
        let mut collector = Collector::default();
        for misses in [7, 5, 900, 6] {
            let counts = [(Event::L1dMisses, misses)].into();
            offer(&mut collector, &Reading { counts, ..reading(50.0, 3.7, 0.0) });
        }
        let counts = [(Event::L1dMisses, 1)].into();
        offer(&mut collector, &Reading { counts, migrated: true, ..reading(50.0, 3.7, 0.0) });
        // Events that another group counts have samples of their own.
        offer(&mut collector, &reading(50.0, 3.7, 0.0));
        assert_eq!(collector.middle_counts(), [(Event::L1dMisses, 6)].into());
    }

    #[test]
    fn a_busy_sibling_matters_only_where_quiet_is_asked_for() {
        let mut collector = Collector::default();
        let busy = reading(50.0, 3.7, 0.04);
        let policy = SamplingPlan { need_idle_sibling: false, ..STRICT };
        assert!(collector.offer(&busy, 1, &policy, &mut ClockHistory::default()));
    }

    #[test]
    fn a_clock_that_does_not_matter_is_not_looked_at() {
        let mut collector = Collector::default();
        let reading = reading(50.0, f64::NAN, f64::NAN);
        let policy = SamplingPlan { need_idle_sibling: false, need_steady_clock: false, ..STRICT };
        assert!(collector.offer(&reading, 10, &policy, &mut ClockHistory::default()));
        assert_eq!((collector.samples, collector.core_ghz), (vec![5.0], vec![]));
    }

    #[test]
    fn a_reading_off_the_usual_clock_is_rejected_but_drift_is_followed() {
        let mut history = ClockHistory::default();
        let mut collector = Collector::default();
        // 5 % of drift in a hundred small steps passes ...
        for step in 0..100 {
            let ghz = 3.7 * (1.0 + 0.0005 * f64::from(step));
            assert!(collector.offer(&reading(1.0, ghz, 0.0), 1, &STRICT, &mut history), "{step}");
        }
        // ... a jump of 4 % does not.
        assert!(!collector.offer(&reading(1.0, 3.7, 0.0), 1, &STRICT, &mut history));
        assert_eq!(collector.disturbances.clock, 1);
    }

    #[test]
    fn too_few_or_too_many_rejected_is_noisy() {
        let policy = SamplingPlan::structural(Duration::ZERO);
        let mut collector = Collector { samples: vec![1.0; 4], ..Collector::default() };
        assert_eq!(collector.state(&policy), PointState::Noisy);
        collector.samples = vec![1.0; 6];
        assert_eq!(collector.state(&policy), PointState::Ok);
        collector.disturbances = Disturbances { rejected: 30, sibling: 30, ..Default::default() };
        assert_eq!(collector.state(&policy), PointState::Ok);
        collector.disturbances = Disturbances { rejected: 3, ..Default::default() };
        assert_eq!(collector.state(&policy), PointState::Noisy);
    }

    #[test]
    fn patience_ends_with_time_passes_or_the_round() {
        let time = Duration::from_millis(10);
        let over = |patience, passes, ms, few, round_is_over| {
            let policy =
                SamplingPlan { patience, min_samples: 3, ..SamplingPlan::structural(time) };
            let spent = Duration::from_millis(ms);
            policy.is_over(&Progress { passes, spent, few, round_is_over })
        };
        for patience in [Patience::WithinRound, Patience::BeyondRound] {
            assert!(over(patience, 1, 10, false, false) && !over(patience, 99, 9, false, false));
            assert!(over(patience, 1, 40, true, false) && !over(patience, 99, 39, true, false));
        }
        assert!(over(Patience::WithinRound, 1, 1, true, true));
        assert!(!over(Patience::BeyondRound, 1, 1, true, true));
        let passes = Patience::Passes(8);
        assert!(over(passes, 8, 1, true, false) && !over(passes, 7, 99, true, true));
        assert!(over(passes, 1, 10, false, false));
        let both = Patience::Both(8);
        assert!(over(both, 8, 1, true, false) && !over(both, 7, 20, false, true));
        assert!(over(both, 3, 21, false, false) && !over(both, 2, 99, false, false));
    }

    #[test]
    fn spaced_samples_are_never_tight_before_there_are_all() {
        let policy = SamplingPlan { spread: true, ..SamplingPlan::structural(Duration::ZERO) };
        let mut rng = fastrand::Rng::with_seed(1);
        let with = |n| Collector { samples: vec![3.0; n], ..Collector::default() };
        assert!(!with(policy.max_samples - 1).is_tight(&policy, &mut rng));
        assert!(with(policy.max_samples).is_tight(&policy, &mut rng));
    }

    #[test]
    fn equal_samples_are_tight_and_scattered_ones_are_not() {
        let policy = SamplingPlan::structural(Duration::ZERO);
        let mut rng = fastrand::Rng::with_seed(1);
        let even = Collector { samples: vec![3.0; 12], ..Collector::default() };
        assert!(even.is_tight(&policy, &mut rng));
        let scattered: Vec<f64> = (0..12).map(|i| 3.0 + f64::from(i)).collect();
        let scattered = Collector { samples: scattered, ..Collector::default() };
        assert!(!scattered.is_tight(&policy, &mut rng));
    }
}
