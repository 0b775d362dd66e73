//! What a probe sees of the harness: it sets up arms, the bench samples them and hands over points.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::clock::{CoreClock, Timer};
use super::meter::{Meter, Reading};
use super::sampling::{ClockHistory, SamplingPlan};
use super::turns::{Amount, Sampled, Taken};
use crate::kernel::begin_line;
use crate::sys::thread;
use card::counters::Counts;
use card::declare::Unit;
use card::estimate::median;
use card::machine::Machine;
use card::peer::Peer;
use card::record::{Backing, Params, Point, PointState, Record, Skip, Strayed};

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// At most 30 s: fewer points, the same metrics.
    Quick,
    /// At most 110 s.
    Standard,
    /// At most 15 minutes.
    Thorough,
}

impl Effort {
    /// All of them.
    pub const ALL: [Effort; 3] = [Effort::Quick, Effort::Standard, Effort::Thorough];

    /// The word on the command line and on the card.
    pub fn name(self) -> &'static str {
        match self {
            Effort::Quick => "quick",
            Effort::Standard => "standard",
            Effort::Thorough => "thorough",
        }
    }

    /// The tier of that name.
    pub fn named(name: &str) -> Option<Effort> {
        Effort::ALL.into_iter().find(|t| t.name() == name)
    }
}

/// Work that is timed, and that can tell whether what it did was right.
///
/// A closure is a kernel whose answer someone else looks at.
pub trait Kernel {
    /// Work outside the timed region before each sample of so many operations: fresh data, for
    /// instance.
    fn prepare(&mut self, _ops: u64) {}
    /// Does so many operations.
    fn run(&mut self, ops: u64);
    /// What is wrong with all that it did so far. It is asked before each preparation and at the
    /// end, also if nothing was done in between.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

impl<F: FnMut(u64)> Kernel for F {
    #[inline(never)]
    fn run(&mut self, ops: u64) {
        begin_line();
        self(ops);
    }
}

/// A kernel with more to do before each sample.
struct Prepared<'k, P> {
    prepare: P,
    kernel: Box<dyn Kernel + 'k>,
}

impl<P: FnMut(u64)> Kernel for Prepared<'_, P> {
    fn prepare(&mut self, ops: u64) {
        self.kernel.prepare(ops);
        (self.prepare)(ops);
    }
    fn run(&mut self, ops: u64) {
        self.kernel.run(ops);
    }
    fn check(&mut self) -> Result<(), String> {
        self.kernel.check()
    }
}

/// One kernel at one setting, sampled in turn with the other arms of a comparison.
pub struct Arm<'k> {
    /// What is measured.
    pub quantity: &'static str,
    /// At which setting.
    pub params: Params,
    /// What is timed.
    pub kernel: Box<dyn Kernel + 'k>,
    /// The kernel does whole blocks of so many operations.
    pub block: u64,
    /// Which pages its memory has.
    pub backing: Backing,
    /// What the reader must know of it.
    pub note: Option<String>,
}

impl<'k> Arm<'k> {
    /// An arm whose answer is looked at elsewhere.
    pub fn new(quantity: &'static str, params: Params, work: impl FnMut(u64) + 'k) -> Arm<'k> {
        Arm::of(quantity, params, work)
    }

    /// An arm with a kernel that checks itself: the bench ends the round if it finds something
    /// wrong.
    pub fn of(quantity: &'static str, params: Params, kernel: impl Kernel + 'k) -> Arm<'k> {
        Arm {
            quantity,
            params,
            kernel: Box::new(kernel),
            block: 1,
            backing: Backing::AsAsked,
            note: None,
        }
    }

    /// Says that the kernel does whole blocks: the count is then rounded before the time is
    /// divided by it.
    pub fn in_blocks_of(mut self, block: u64) -> Arm<'k> {
        self.block = block;
        self
    }

    /// Adds work to be done before each sample, outside the timed region.
    pub fn prepared(mut self, prepare: impl FnMut(u64) + 'k) -> Arm<'k> {
        self.kernel = Box::new(Prepared { prepare, kernel: self.kernel });
        self
    }

    /// Says which pages its memory has, and notes it if they are not those that were asked for.
    pub fn backed(mut self, backing: Backing) -> Arm<'k> {
        self.note = backing.note();
        self.backing = backing;
        self
    }

    /// Adds a note for the reader.
    pub fn noted(mut self, note: Option<String>) -> Arm<'k> {
        self.note = note;
        self
    }
}

impl Sampled for Arm<'_> {
    fn amount(&self) -> Amount {
        Amount::Fill { first: self.block.max(64), block: self.block, least: self.block }
    }

    fn take(&mut self, meter: &mut dyn Meter, ops: u64) -> io::Result<Reading> {
        self.kernel.prepare(ops);
        Ok(meter.measure(ops, &mut |ops| self.kernel.run(ops)))
    }

    fn check(&mut self) -> Result<(), String> {
        self.kernel.check()
    }
}

/// Parameters in one line: `params([("variant", "random".into())])`.
pub fn params<const N: usize>(pairs: [(&str, card::record::Param); N]) -> Params {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A kernel computed something wrong: the CPU, the memory or we are broken.
#[derive(Debug, thiserror::Error)]
#[error("corruption on CPU {cpu}: {what}")]
pub struct WrongAnswer {
    /// Where it ran.
    pub cpu: usize,
    /// What is wrong.
    pub what: String,
}

/// One round of one probe.
pub struct Bench<'a> {
    /// Id of the probe.
    pub probe: &'static str,
    /// Which round.
    pub round: u32,
    /// How thorough the run is.
    pub tier: Effort,
    /// The machine and its claims.
    pub machine: &'a Machine,
    /// What other probes have measured so far, by metric.
    pub known: &'a BTreeMap<String, f64>,
    /// What earlier rounds of this probe could not measure; see [`Bench::gave_up`].
    pub skips: &'a [Skip],
    /// Where a probe may put files that vanish with it.
    pub scratch: &'a Path,
    /// Who may be asked over the network.
    pub peer: Option<&'a Peer>,
    /// The CPU this round is pinned to.
    pub cpu: usize,
    /// Stamps for probes that time more than batches.
    pub timer: Timer,
    /// The clock of the core that this round is pinned to.
    pub clock: CoreClock,
    /// Time that this round should take.
    pub slice: Duration,
    /// What it may take more, for memory that was slow to be found.
    pub waited: Duration,
    /// Seeded anew for each round.
    pub rng: fastrand::Rng,
    /// The hardware, or a test's script of it.
    pub meter: &'a mut dyn Meter,
    /// Where records go.
    pub sink: &'a mut dyn FnMut(Record) -> anyhow::Result<()>,
    /// Clock readings of the last moments.
    pub history: ClockHistory,
}

impl Bench<'_> {
    /// A fraction of this round's time.
    pub fn share(&self, fraction: f64) -> Duration {
        self.slice.mul_f64(fraction)
    }

    /// A metric that another probe has measured earlier in this run.
    pub fn known(&self, metric: &str) -> Option<f64> {
        self.known.get(metric).copied()
    }

    /// Whether an earlier round of this probe has skipped those metrics: what was waited for in vain
    /// once is not waited for in every round.
    pub fn gave_up(&self, metrics: &[&str]) -> bool {
        self.skips.iter().any(|skip| skip.metrics == metrics)
    }

    /// What is left of this round's time.
    pub fn left(&self) -> Duration {
        (self.slice + self.waited).saturating_sub(self.meter.elapsed())
    }

    /// Maps memory. Half of the slice remains for what is measured in it, however long the host takes to
    /// find it.
    ///
    /// # Errors
    /// As mapping it.
    pub fn map<T>(&mut self, map: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mapped = map();
        self.waited = self.waited.max(self.meter.elapsed().saturating_sub(self.slice / 2));
        mapped
    }

    /// Samples one kernel and records its point.
    ///
    /// # Errors
    ///
    /// A [`WrongAnswer`] of the kernel, or that the record could not be handed over.
    pub fn sample(&mut self, arm: Arm<'_>, policy: &SamplingPlan) -> anyhow::Result<()> {
        self.interleave(vec![arm], policy)
    }

    /// Samples several kernels in turn, in a new random order each time, so that whatever drifts
    /// drifts for all of them alike, and records a point for each.
    ///
    /// # Errors
    ///
    /// A [`WrongAnswer`] of a kernel, or that a record could not be handed over.
    pub fn interleave(
        &mut self,
        mut arms: Vec<Arm<'_>>,
        policy: &SamplingPlan,
    ) -> anyhow::Result<()> {
        let mut all: Vec<&mut dyn Sampled> =
            arms.iter_mut().map(|arm| arm as &mut dyn Sampled).collect();
        let taken = self.take_turns(&mut all, policy)?;
        for (arm, Taken { ops, collector, .. }) in arms.into_iter().zip(taken) {
            let state = collector.state(policy);
            self.emit(Point {
                counts: collector.middle_counts(),
                core_ghz: collector.core_ghz,
                disturbances: collector.disturbances,
                backing: arm.backing,
                note: arm.note,
                ops,
                ..self.point(arm.quantity, arm.params, Unit::Ns, collector.samples, state)
            })?;
        }
        Ok(())
    }

    /// Records samples that a probe took by other means than [`Bench::interleave`].
    ///
    /// # Errors
    ///
    /// That the record could not be handed over.
    pub fn record(
        &mut self,
        quantity: &str,
        params: Params,
        unit: Unit,
        samples: Vec<f64>,
    ) -> anyhow::Result<()> {
        let point = self.point(quantity, params, unit, samples, PointState::Ok);
        self.emit(point)
    }

    /// Says that a part of this probe cannot be measured here.
    ///
    /// # Errors
    ///
    /// That the record could not be handed over.
    pub fn skip(&mut self, skip: Skip) -> anyhow::Result<()> {
        let probe = self.probe.to_owned();
        (self.sink)(Record::Skip(Skip { probe, ..skip }))
    }

    /// Ends the round with a `corruption` row unless a kernel's answer is right.
    ///
    /// # Errors
    ///
    /// A [`WrongAnswer`] that says what is wrong, and on which CPU.
    pub fn check(&self, right: bool, what: impl FnOnce() -> String) -> anyhow::Result<()> {
        anyhow::ensure!(right, WrongAnswer { cpu: self.cpu, what: what() });
        Ok(())
    }

    /// Hands a finished point over. One whose samples were not looked at one by one is left without
    /// any if the thread is not where it belongs: then they may all be of another CPU.
    ///
    /// # Errors
    ///
    /// That the record could not be handed over.
    pub fn emit(&mut self, mut point: Point) -> anyhow::Result<()> {
        let d = &mut point.disturbances;
        if let (None, Some((home, cpu))) = (d.strayed, thread::strayed()) {
            let samples = std::mem::take(&mut point.samples).len() as u64;
            d.rejected += samples;
            d.strayed = Some(Strayed { home, cpu, samples });
            point.state = PointState::Noisy;
        }
        point.samples.iter_mut().for_each(|v| *v = concise(*v));
        point.core_ghz = condensed(&point.core_ghz);
        if point.core_ghz.is_empty() && !matches!(point.unit, Unit::Ghz | Unit::Cycles) {
            point.clock_doubt = None;
        }
        (self.sink)(Record::Point(point))
    }

    /// A point of this round.
    pub fn point(
        &self,
        quantity: &str,
        params: Params,
        unit: Unit,
        samples: Vec<f64>,
        state: PointState,
    ) -> Point {
        Point {
            probe: self.probe.to_owned(),
            round: self.round,
            quantity: quantity.to_owned(),
            params,
            unit,
            samples,
            ops: 1,
            core_ghz: Vec::new(),
            clock_doubt: self.clock.multiply.doubt.map(|doubt| doubt.to_string()),
            counts: Counts::new(),
            disturbances: Default::default(),
            state,
            backing: Backing::AsAsked,
            note: None,
        }
    }
}

/// A clock that stood still is one number: half the card would be repetitions of it. The middle of
/// several readings is better than each, which on a busy core may be off by half a hundredth.
fn condensed(core_ghz: &[f64]) -> Vec<f64> {
    let low = core_ghz.iter().copied().fold(f64::INFINITY, f64::min);
    let high = core_ghz.iter().copied().fold(0.0, f64::max);
    match median(core_ghz) {
        Some(middle) if high < low * 1.01 => vec![rounded(middle, 4)],
        _ => core_ghz.iter().map(|&ghz| rounded(ghz, 4)).collect(),
    }
}

/// As many digits as make a step of at most a 3000th: a tenth of the finest difference that is ever
/// judged, and a third of the bytes.
fn concise(value: f64) -> f64 {
    let leading = value.abs() / 10_f64.powf(value.abs().log10().floor());
    rounded(value, if leading < 3.0 { 5 } else { 4 })
}

/// So many significant digits.
fn rounded(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let magnitude = 10_f64.powi(digits - 1 - value.abs().log10().floor() as i32);
    (value * magnitude).round() / magnitude
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::multiply::Multiply;
    use super::super::sampling::tests::reading;
    use super::*;
    use crate::sys::thread::Usage;
    use card::counters::Event;
    use card::estimate::quantile;

    /// A machine without hardware: time passes only as the script says.
    pub(in crate::harness) struct Scripted<F> {
        now: Duration,
        script: F,
        calls: u64,
        pauses: u64,
    }

    impl<F> Scripted<F> {
        pub(in crate::harness) fn new(script: F) -> Scripted<F> {
            Scripted { now: Duration::ZERO, script, calls: 0, pauses: 0 }
        }
    }

    impl<F: FnMut(u64, u64) -> Reading> Meter for Scripted<F> {
        fn measure(&mut self, ops: u64, work: &mut dyn FnMut(u64)) -> Reading {
            work(ops);
            self.calls += 1;
            let reading = (self.script)(self.calls, ops);
            self.now += Duration::from_nanos(reading.ns as u64);
            reading
        }
        fn elapsed(&self) -> Duration {
            self.now
        }
        fn counts(&self, _: Event) -> bool {
            false
        }
        fn pause(&mut self, time: Duration) {
            self.pauses += 1;
            self.now += time;
        }
        fn steal_ticks(&self) -> u64 {
            // A tick is taken in the seventh batch.
            u64::from(self.calls >= 7)
        }
    }

    /// One second of a bench that nobody has told anything.
    pub(crate) fn bare<'a>(
        machine: &'a Machine,
        known: &'a BTreeMap<String, f64>,
        meter: &'a mut dyn Meter,
        sink: &'a mut dyn FnMut(Record) -> anyhow::Result<()>,
    ) -> Bench<'a> {
        Bench {
            probe: "test",
            round: 0,
            tier: Effort::Quick,
            machine,
            known,
            skips: &[],
            scratch: Path::new("."),
            peer: None,
            cpu: 0,
            timer: Timer::CLOCK,
            clock: CoreClock {
                timer: Timer::CLOCK,
                multiply: Multiply { cycles: 3.0, doubt: None },
            },
            slice: Duration::from_secs(1),
            waited: Duration::ZERO,
            rng: fastrand::Rng::with_seed(1),
            meter,
            sink,
            history: ClockHistory::default(),
        }
    }

    fn run<F: FnMut(u64, u64) -> Reading>(
        script: F,
        policy: &SamplingPlan,
        arms: Vec<Arm<'_>>,
    ) -> (Vec<Point>, u64) {
        let machine = Machine::default();
        let known = BTreeMap::new();
        let mut meter = Scripted::new(script);
        let mut points = Vec::new();
        let mut sink = |record| {
            if let Record::Point(p) = record {
                points.push(p);
            }
            Ok(())
        };
        let mut bench = bare(&machine, &known, &mut meter, &mut sink);
        bench.interleave(arms, policy).unwrap();
        let pauses = meter.pauses;
        (points, pauses)
    }

    /// Counts its operations, and is wrong from some number of checks on.
    #[derive(Default)]
    struct Checked {
        calls: String,
        checks: usize,
        right: usize,
    }

    impl Kernel for &mut Checked {
        fn prepare(&mut self, _: u64) {
            self.calls.push('p');
        }
        fn run(&mut self, _: u64) {
            self.calls.push('r');
        }
        fn check(&mut self) -> Result<(), String> {
            self.calls.push('c');
            self.checks += 1;
            (self.checks <= self.right).then_some(()).ok_or_else(|| "a lost word".into())
        }
    }

    /// What a kernel was asked for, and what became of its round.
    fn checked(right: usize) -> (Checked, anyhow::Result<()>, usize) {
        let (machine, known) = (Machine::default(), BTreeMap::new());
        let script = |_, ops| reading(ops as f64, 3.7, 0.0);
        let mut meter = Scripted::new(script);
        let mut points = 0;
        let mut sink = |_| {
            points += 1;
            Ok(())
        };
        let mut kernel = Checked { right, ..Checked::default() };
        let mut bench = bare(&machine, &known, &mut meter, &mut sink);
        let ended = bench.sample(Arm::of("a", Params::new(), &mut kernel), &policy());
        (kernel, ended, points)
    }

    #[test]
    fn a_kernel_is_checked_before_each_preparation_and_at_the_end() {
        let (kernel, ended, points) = checked(usize::MAX);
        ended.unwrap();
        assert_eq!(points, 1);
        let samples = kernel.calls.strip_suffix('c').unwrap();
        assert_eq!(samples, "cpr".repeat(samples.len() / 3));
    }

    #[test]
    fn a_wrong_answer_ends_the_round_at_the_next_look_and_without_a_point() {
        let (all, ..) = checked(usize::MAX);
        // In the calibration, in the middle, after the last sample.
        for right in [1, all.checks / 2, all.checks - 1] {
            let (kernel, ended, points) = checked(right);
            let said = ended.unwrap_err().downcast::<WrongAnswer>().unwrap();
            assert_eq!((said.cpu, &*said.what, points), (0, "a lost word", 0));
            assert_eq!(kernel.checks, right + 1);
        }
    }

    #[test]
    fn memory_that_was_slow_to_be_found_leaves_half_of_the_time() {
        let (machine, known) = (Machine::default(), BTreeMap::new());
        let mut meter = Scripted::new(|_, ops| reading(ops as f64, 3.7, 0.0));
        let mut sink = |_| Ok(());
        let mut bench = bare(&machine, &known, &mut meter, &mut sink);
        for (found_in, left) in [(300, 700), (2000, 500)] {
            bench.meter.pause(Duration::from_millis(found_in));
            bench.map(|| Ok(())).unwrap();
            assert_eq!(bench.left(), Duration::from_millis(left));
        }
    }

    fn arm(quantity: &'static str) -> Arm<'static> {
        Arm::new(quantity, Params::new(), |_| ())
    }

    fn policy() -> SamplingPlan {
        SamplingPlan::structural(Duration::from_millis(20))
    }

    #[test]
    fn a_steady_machine_gives_its_cost_and_stops_early() {
        let (points, _) =
            run(|_, ops| reading(2.0 * ops as f64, 3.7, 0.0), &policy(), vec![arm("a")]);
        assert_eq!(points[0].state, PointState::Ok);
        assert!(points[0].samples.iter().all(|&s| s == 2.0));
        assert!(points[0].samples.len() < policy().max_samples);
        // Samples last as long as the policy says.
        assert!((points[0].ops as f64 * 2.0 / 300_000.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn operations_come_in_whole_blocks() {
        let asked = std::cell::RefCell::new(Vec::new());
        let arm = Arm::new("a", Params::new(), |ops| asked.borrow_mut().push(ops)).in_blocks_of(64);
        // 290 ns each: 1034 would fit a sample.
        let (points, _) = run(|_, ops| reading(290.0 * ops as f64, 3.7, 0.0), &policy(), vec![arm]);
        assert_eq!(points[0].ops, 1024);
        assert_eq!(asked.borrow().last(), Some(&1024));
        assert!(points[0].samples.iter().all(|&s| s == 290.0));
    }

    #[test]
    fn spikes_do_not_move_the_quartile() {
        let spiky =
            |call, ops| reading(ops as f64 * if call % 3 == 0 { 1.5 } else { 1.0 }, 3.7, 0.0);
        let (points, _) = run(spiky, &policy(), vec![arm("a")]);
        assert_eq!(quantile(&points[0].samples, 0.25), Some(1.0));
    }

    #[test]
    fn drift_cancels_between_interleaved_arms() {
        // The machine slows down by 1 % per sample; the clock brackets do not show it.
        let current = std::cell::Cell::new(0.0);
        let slow = Arm::new("slow", Params::new(), |_| current.set(3.0));
        let fast = Arm::new("fast", Params::new(), |_| current.set(2.0));
        let script = |call: u64, ops: u64| {
            reading(ops as f64 * current.get() * (1.0 + 0.01 * call as f64), 3.7, 0.0)
        };
        let (points, _) = run(script, &policy(), vec![slow, fast]);
        let quartile = |i: usize| quantile(&points[i].samples, 0.25).unwrap();
        assert!((quartile(0) / quartile(1) - 1.5).abs() < 0.03);
    }

    #[test]
    fn an_arm_that_has_enough_waits_for_the_others() {
        let current = std::cell::Cell::new(0);
        let first = Arm::new("first", Params::new(), |_| current.set(0));
        let second = Arm::new("second", Params::new(), |_| current.set(1));
        // The second one is disturbed for long.
        let script = |call, ops| {
            let busy = current.get() == 1 && call < 60;
            reading(ops as f64, 3.7, if busy { 0.05 } else { 0.0 })
        };
        let policy = SamplingPlan { min_samples: 3, max_samples: 4, ..policy() };
        let (points, _) = run(script, &policy, vec![first, second]);
        assert_eq!(points[0].samples.len(), policy.max_samples);
        assert!(points[1].samples.len() >= policy.min_samples);
    }

    #[test]
    fn spaced_samples_cover_the_whole_time() {
        let policy = SamplingPlan { spread: true, budget: Duration::from_millis(500), ..policy() };
        let (points, pauses) = run(|_, ops| reading(ops as f64, 3.7, 0.0), &policy, vec![arm("a")]);
        assert_eq!(points[0].samples.len(), policy.max_samples);
        assert!(pauses > 50);
    }

    #[test]
    fn a_migration_costs_that_sample_only() {
        let script = |call, ops| Reading {
            migrated: call == 10,
            ..reading(if call == 10 { 9.0 } else { 1.0 } * ops as f64, 3.7, 0.0)
        };
        let (points, _) = run(script, &policy(), vec![arm("a")]);
        assert_eq!(points[0].disturbances.migrated, 1);
        assert!(points[0].samples.iter().all(|&s| s == 1.0));
    }

    #[test]
    fn a_pass_from_which_time_was_stolen_does_not_count() {
        let script = |call, ops| reading(if call == 7 { 5.0 } else { 1.0 } * ops as f64, 3.7, 0.0);
        let (points, _) = run(script, &policy(), vec![arm("a")]);
        assert_eq!(points[0].disturbances.steal, 1);
        assert!(points[0].samples.iter().all(|&s| s == 1.0));
    }

    #[test]
    fn a_busy_sibling_is_waited_for() {
        let script =
            |call, ops| reading(ops as f64, 3.7, if (5..40).contains(&call) { 0.05 } else { 0.0 });
        let (points, pauses) = run(script, &policy(), vec![arm("a")]);
        assert_eq!(points[0].state, PointState::Ok);
        assert!(pauses > 0 && points[0].disturbances.sibling > 0);
    }

    #[test]
    fn a_machine_that_is_never_quiet_gives_a_noisy_point_in_bounded_time() {
        let (points, _) = run(|_, ops| reading(ops as f64, 3.7, 0.05), &policy(), vec![arm("a")]);
        assert_eq!(points[0].state, PointState::Noisy);
        assert!(points[0].samples.is_empty());
    }

    #[test]
    fn switches_spoil_a_point_when_they_never_end() {
        let usage = Usage { nivcsw: 1, ..Usage::default() };
        let script = |_, ops: u64| Reading { usage, ..reading(ops as f64, 3.7, 0.0) };
        let (points, _) = run(script, &policy(), vec![arm("a")]);
        assert_eq!(points[0].state, PointState::Noisy);
        assert!(points[0].disturbances.nivcsw > 0);
    }

    #[test]
    fn a_clock_that_stood_still_is_one_number() {
        assert_eq!(condensed(&[3.6941, 3.6939, 3.695]), [3.694]);
        assert_eq!(condensed(&[3.69, 3.74]), [3.69, 3.74]);
        assert_eq!(condensed(&[]), [] as [f64; 0]);
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(rounded(1.234_567_8, 5), 1.2346);
        assert_eq!(rounded(123_456_789.0, 5), 123_460_000.0);
        assert_eq!(rounded(-0.000_123_456, 5), -0.000_123_46);
        assert_eq!(rounded(3.694_2, 4), 3.694);
        assert_eq!(rounded(0.0, 5), 0.0);
        assert_eq!(concise(2.345_678), 2.3457);
        assert_eq!(concise(0.034_567), 0.034_57);
        assert_eq!(concise(0.0), 0.0);
    }
}
