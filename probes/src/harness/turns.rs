//! The one loop in which everything is sampled: in turn, in a new random order each time, so that
//! whatever drifts drifts for all alike.

use std::io;
use std::time::Duration;

use super::bench::{Bench, WrongAnswer};
use super::meter::{Meter, Reading};
use super::sampling::{ClockHistory, Collector, Progress, SamplingPlan};

/// Something that is sampled in turn with others.
pub trait Sampled {
    /// How much of it makes a sample.
    fn amount(&self) -> Amount;

    /// Takes one sample of so many operations, with all that comes before and after it untimed.
    ///
    /// # Errors
    ///
    /// What the kernel refused: the others go on without this one.
    fn take(&mut self, meter: &mut dyn Meter, ops: u64) -> io::Result<Reading>;

    /// Accepts the reading that was just taken or sets it aside, and says which.
    fn offer(
        &mut self,
        reading: &Reading,
        ops: u64,
        (policy, history): (&SamplingPlan, &mut ClockHistory),
        collector: &mut Collector,
    ) -> bool {
        collector.offer(reading, ops, policy, history)
    }

    /// Whether ticks that the hypervisor took spoil its samples. Where many samples lie within one
    /// tick few of them would be left; and to ask the kernel between samples is work that changes
    /// what it does next: a fault on a 4 KiB page took 1.2 µs instead of 1.5 with it.
    fn minds_steal(&self) -> bool {
        true
    }

    /// What is wrong with all that was done so far; asked before each sample and at the end.
    ///
    /// # Errors
    ///
    /// Says what is wrong: the round ends with it.
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Operations of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Fixed(u64),
    /// As many as last as long as a sample should.
    Fill {
        /// How many are tried first.
        first: u64,
        /// They come in whole blocks of so many ...
        block: u64,
        /// ... and are no fewer than this.
        least: u64,
    },
}

/// What came of one that was sampled.
#[derive(Debug, Default)]
pub struct Taken {
    /// Operations of each sample.
    pub ops: u64,
    /// The samples, and what spoiled others.
    pub collector: Collector,
    /// What the kernel refused in the end: no samples come of it.
    pub refused: Option<io::Error>,
}

impl Bench<'_> {
    /// Samples all of them in turn until the policy says that it is enough. Fails where one
    /// computed something wrong.
    ///
    /// # Errors
    ///
    /// What was wrong, and on which CPU.
    pub fn take_turns(
        &mut self,
        arms: &mut [&mut dyn Sampled],
        policy: &SamplingPlan,
    ) -> Result<Vec<Taken>, WrongAnswer> {
        let began = self.meter.elapsed();
        let minds_steal = arms.iter().any(|arm| arm.minds_steal());
        let ticks = |meter: &dyn Meter| if minds_steal { meter.steal_ticks() } else { 0 };
        let mut steal = ticks(self.meter);
        let mut taken = Vec::with_capacity(arms.len());
        for arm in arms.iter_mut() {
            taken.push(self.calibrated(*arm, policy.sample)?);
        }
        let mut order: Vec<usize> = (0..arms.len()).collect();
        for passes in 1.. {
            self.rng.shuffle(&mut order);
            let readings = self.pass(arms, &mut taken, &order, policy.max_samples)?;
            // The kernel counts stolen ticks, not when they were stolen: the whole pass is spoiled.
            let now = ticks(self.meter);
            let stolen = now.saturating_sub(steal);
            steal = now;
            let mut disturbed = false;
            for (i, reading) in readings {
                let (reading, of) = (Reading { stolen, ..reading }, &mut taken[i]);
                let by = (policy, &mut self.history);
                disturbed |= !arms[i].offer(&reading, of.ops, by, &mut of.collector);
            }
            let spent = self.meter.elapsed().saturating_sub(began);
            let going = || taken.iter().filter(|t| t.refused.is_none()).map(|t| &t.collector);
            let few = going().any(|c| c.samples.len() < policy.min_samples);
            let progress = Progress { passes, spent, few, round_is_over: self.left().is_zero() };
            if policy.is_over(&progress) || going().all(|c| c.is_tight(policy, &mut self.rng)) {
                break;
            }
            if policy.spread {
                let all = u32::try_from(policy.max_samples).unwrap_or(u32::MAX);
                let due = policy.budget / all * taken[0].collector.taken();
                self.meter.pause(due.saturating_sub(spent));
            } else if disturbed && policy.need_idle_sibling {
                // Phases of a busy sibling last from 0.3 s to seconds; asking all the time only
                // costs clean samples elsewhere.
                self.meter.pause(Duration::from_micros(500));
            }
        }
        for arm in arms.iter_mut() {
            self.look_at(*arm)?;
        }
        Ok(taken)
    }

    /// The same for one alone.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn take(
        &mut self,
        arm: &mut dyn Sampled,
        policy: &SamplingPlan,
    ) -> Result<Taken, WrongAnswer> {
        Ok(self.take_turns(&mut [arm], policy)?.remove(0))
    }

    /// A sample of each that lacks some: more of the others is only a larger card.
    fn pass(
        &mut self,
        arms: &mut [&mut dyn Sampled],
        taken: &mut [Taken],
        order: &[usize],
        most: usize,
    ) -> Result<Vec<(usize, Reading)>, WrongAnswer> {
        let mut readings = Vec::with_capacity(order.len());
        for &i in order {
            let of = &mut taken[i];
            if of.refused.is_some() || of.collector.samples.len() >= most {
                continue;
            }
            match self.one(arms[i], of.ops)? {
                Ok(reading) => readings.push((i, reading)),
                Err(e) => of.refused = Some(e),
            }
        }
        Ok(readings)
    }

    fn calibrated(
        &mut self,
        arm: &mut dyn Sampled,
        sample: Duration,
    ) -> Result<Taken, WrongAnswer> {
        Ok(match self.calibrate(arm, sample)? {
            Ok(ops) => Taken { ops, ..Taken::default() },
            Err(e) => Taken { refused: Some(e), ..Taken::default() },
        })
    }

    /// Finds how many operations last as long as a sample should.
    fn calibrate(
        &mut self,
        arm: &mut dyn Sampled,
        sample: Duration,
    ) -> Result<io::Result<u64>, WrongAnswer> {
        let target = sample.as_nanos() as f64;
        let (mut ops, block, least) = match arm.amount() {
            Amount::Fixed(ops) => return Ok(Ok(ops)),
            Amount::Fill { first, block, least } => (first, block, least),
        };
        loop {
            let ns = match self.one(arm, ops)? {
                Ok(reading) => reading.ns.max(1.0),
                Err(e) => return Ok(Err(e)),
            };
            if ns >= target / 4.0 || ops >= 1 << 40 {
                let blocks = (ops as f64 * target / ns / block as f64).round() as u64;
                return Ok(Ok((blocks * block).max(least)));
            }
            // Short trials overrate the cost of an operation; grow by no more than 16.
            ops = (ops as f64 * (target / ns).clamp(2.0, 16.0)) as u64;
        }
    }

    /// One sample, after a look at what was done before.
    fn one(&mut self, arm: &mut dyn Sampled, ops: u64) -> Result<io::Result<Reading>, WrongAnswer> {
        self.look_at(arm)?;
        Ok(arm.take(self.meter, ops))
    }

    fn look_at(&self, arm: &mut dyn Sampled) -> Result<(), WrongAnswer> {
        arm.check().map_err(|what| WrongAnswer { cpu: self.cpu, what })
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::tests::{Scripted, bare};
    use super::super::sampling::Patience;
    use super::super::sampling::tests::reading;
    use super::*;
    use card::machine::Machine;

    /// What is refused at some sample, and of which only every second reading is good enough.
    struct Fussy {
        amount: Amount,
        refused_at: usize,
        asked: Vec<u64>,
    }

    impl Fussy {
        fn new(amount: Amount, refused_at: usize) -> Fussy {
            Fussy { amount, refused_at, asked: Vec::new() }
        }
    }

    impl Sampled for Fussy {
        fn amount(&self) -> Amount {
            self.amount
        }
        fn take(&mut self, meter: &mut dyn Meter, ops: u64) -> io::Result<Reading> {
            self.asked.push(ops);
            if self.asked.len() == self.refused_at {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(meter.measure(ops, &mut |_| ()))
        }
        fn offer(
            &mut self,
            reading: &Reading,
            ops: u64,
            _: (&SamplingPlan, &mut ClockHistory),
            collector: &mut Collector,
        ) -> bool {
            let even = self.asked.len().is_multiple_of(2);
            collector.accept(even.then_some(reading.ns / ops as f64))
        }
    }

    /// Eight passes at most, in which an operation takes 10 ns.
    fn turns(arms: &mut [Fussy]) -> Vec<Taken> {
        let (machine, known) = (Machine::default(), Default::default());
        let mut meter = Scripted::new(|_, ops| reading(10.0 * ops as f64, 3.7, 0.0));
        let mut sink = |_| Ok(());
        let mut bench = bare(&machine, &known, &mut meter, &mut sink);
        let patience = Patience::Passes(8);
        let policy = SamplingPlan {
            min_samples: 3,
            max_samples: 4,
            patience,
            ..SamplingPlan::structural(Duration::from_secs(1))
        };
        let mut all: Vec<&mut dyn Sampled> =
            arms.iter_mut().map(|arm| arm as &mut dyn Sampled).collect();
        bench.take_turns(&mut all, &policy).unwrap()
    }

    #[test]
    fn a_fixed_amount_is_all_that_is_ever_asked_for() {
        let mut arms = [Fussy::new(Amount::Fixed(5), usize::MAX)];
        let taken = turns(&mut arms);
        assert_eq!(arms[0].asked, [5; 8]);
        let Taken { ops, collector, refused } = &taken[0];
        assert_eq!((*ops, &collector.samples[..]), (5, &[10.0; 4][..]));
        assert_eq!((collector.disturbances.rejected, refused.is_none()), (4, true));
    }

    #[test]
    fn a_sample_is_filled_but_has_no_less_than_its_least() {
        let fill = |least| Fussy::new(Amount::Fill { first: 4, block: 3, least }, usize::MAX);
        let mut arms = [fill(3), fill(90_000)];
        let taken = turns(&mut arms);
        // 0.3 ms are 30,000 operations of 10 ns.
        assert_eq!((taken[0].ops, taken[1].ops), (30_000, 90_000));
        // 40 ns for the first trial: 16 times as many are the next one.
        assert_eq!(arms[0].asked[..3], [4, 64, 1024]);
    }

    #[test]
    fn the_others_go_on_without_one_that_is_refused() {
        for refused_at in [1, 3] {
            let amount = Amount::Fill { first: 30_000, block: 1, least: 1 };
            let mut arms = [Fussy::new(amount, refused_at), Fussy::new(amount, usize::MAX)];
            let taken = turns(&mut arms);
            assert!(taken[0].refused.is_some() && taken[1].refused.is_none());
            assert_eq!(arms[0].asked.len(), refused_at, "it is not asked again");
            assert_eq!(taken[1].collector.samples.len(), 4);
        }
    }

    /// Steady work that samples are taken of, which asking for stolen ticks disturbs or does not.
    struct Steady {
        minds_steal: bool,
    }

    impl Sampled for Steady {
        fn amount(&self) -> Amount {
            Amount::Fixed(1)
        }
        fn take(&mut self, meter: &mut dyn Meter, ops: u64) -> io::Result<Reading> {
            Ok(meter.measure(ops, &mut |_| ()))
        }
        fn minds_steal(&self) -> bool {
            self.minds_steal
        }
    }

    #[test]
    fn stolen_ticks_are_not_asked_for_where_they_do_not_matter() {
        for minds_steal in [true, false] {
            let (machine, known) = (Machine::default(), Default::default());
            let mut meter = Scripted::new(|_, _| reading(1000.0, 3.7, 0.0));
            let mut sink = |_| Ok(());
            let mut bench = bare(&machine, &known, &mut meter, &mut sink);
            let policy = SamplingPlan {
                min_samples: 20,
                max_samples: 20,
                ..SamplingPlan::structural(Duration::from_secs(1))
            };
            let taken = bench.take(&mut Steady { minds_steal }, &policy).unwrap();
            // The script takes a tick once.
            assert_eq!(taken.collector.disturbances.steal, u64::from(minds_steal));
        }
    }
}
