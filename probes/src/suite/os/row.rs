//! Rows whose own doing looks like a disturbance: they fault, or give their CPU to what they start.

use std::io;
use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::harness::meter::{Meter, Reading};
use crate::harness::sampling::{ClockHistory, Collector, Patience, SamplingPlan};
use crate::harness::turns::{Amount, Sampled, Taken};
use card::declare::Unit;
use card::record::Point;

/// What a row does of what would otherwise spoil its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expect {
    /// An operation is a page fault: they are counted by the kernel, not by us.
    Fault,
    /// It makes so many operations, during which other tasks have the CPU.
    Switch(u64),
}

/// Samples of a row.
const WANT: usize = 5;
const MOST: usize = 9;

/// Runs before them: the first ones find caches and page tables cold, and take up to half as long
/// again.
const PRACTICE: usize = 8;

/// Each sample is worth so much time, where an operation is shorter.
const SAMPLE: Duration = Duration::from_micros(600);

/// What the card says of samples that do not verify.
pub(super) const UNEXPECTED: &str = "the kernel gave something else than was asked for";

/// Most operations of one sample.
const MOST_OPS: u64 = 64;

/// What comes round and round in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// What is not timed.
    Prepare,
    /// What is.
    Act,
    /// Whether it was what was asked for; not timed.
    Verify,
}

/// Samples a row and records its point. `act(true)` is timed, `act(false)` comes before it. An error
/// of the two ends the row without a point and is handed back.
pub(super) fn sample(
    bench: &mut Bench<'_>,
    quantity: &str,
    expect: Expect,
    note: Option<String>,
    mut act: impl FnMut(bool) -> io::Result<()>,
) -> anyhow::Result<io::Result<()>> {
    let step = |step: Step| {
        if step != Step::Verify {
            act(step == Step::Act)?;
        }
        Ok(true)
    };
    sample_verified(bench, quantity, expect, note, step)
}

/// The same where the kernel may do something else than it was asked for: samples that do not
/// verify are set aside.
pub(super) fn sample_verified(
    bench: &mut Bench<'_>,
    quantity: &str,
    expect: Expect,
    note: Option<String>,
    mut step: impl FnMut(Step) -> io::Result<bool>,
) -> anyhow::Result<io::Result<()>> {
    for practice in [Step::Prepare, Step::Act].repeat(PRACTICE) {
        if let Err(e) = step(practice) {
            return Ok(Err(e));
        }
    }
    let policy = SamplingPlan {
        min_samples: WANT,
        max_samples: MOST,
        sample: SAMPLE,
        need_idle_sibling: false,
        need_steady_clock: false,
        patience: Patience::BeyondRound,
        ..SamplingPlan::structural(bench.share(0.06))
    };
    let mut row = Row { expect, step, ops: 0, as_asked: true, otherwise: 0 };
    let Taken { collector, refused, .. } = bench.take(&mut row, &policy)?;
    let Row { ops, otherwise, .. } = row;
    if let Some(e) = refused {
        return Ok(Err(e));
    }
    if collector.samples.is_empty() && otherwise > 0 {
        return Ok(Err(io::Error::other(UNEXPECTED)));
    }
    let state = collector.state(&policy);
    let counted = || format!("{UNEXPECTED} in {otherwise} of {} samples", collector.taken());
    let note = if otherwise > 0 { Some(counted()) } else { note };
    let point = Point {
        ops,
        disturbances: collector.disturbances,
        note,
        ..bench.point(quantity, params([]), Unit::Ns, collector.samples, state)
    };
    bench.emit(point)?;
    Ok(Ok(()))
}

/// A row while it is sampled.
struct Row<F> {
    expect: Expect,
    step: F,
    /// Operations of the last sample.
    ops: u64,
    /// Whether that verified, and how many did not.
    as_asked: bool,
    otherwise: u64,
}

impl<F: FnMut(Step) -> io::Result<bool>> Sampled for Row<F> {
    fn amount(&self) -> Amount {
        Amount::Fixed(1)
    }

    fn take(&mut self, meter: &mut dyn Meter, times: u64) -> io::Result<Reading> {
        (self.step)(Step::Prepare)?;
        let mut done = Ok(true);
        let mut reading = meter.measure(times, &mut |_| done = (self.step)(Step::Act));
        done?;
        self.as_asked = (self.step)(Step::Verify)?;
        match self.expect {
            Expect::Fault => self.ops = std::mem::take(&mut reading.usage.faults),
            Expect::Switch(each) => {
                self.ops = each;
                reading.usage = Default::default();
            }
        }
        if self.ops == 0 {
            return Err(io::Error::other("the kernel counted no page fault"));
        }
        Ok(reading)
    }

    fn minds_steal(&self) -> bool {
        false
    }

    fn offer(
        &mut self,
        reading: &Reading,
        _: u64,
        (policy, history): (&SamplingPlan, &mut ClockHistory),
        collector: &mut Collector,
    ) -> bool {
        if !self.as_asked {
            self.otherwise += 1;
            return collector.accept(None);
        }
        collector.offer(reading, self.ops, policy, history)
    }
}

/// How many operations fill a sample, after two of them for practice.
pub(super) fn fitting(
    bench: &mut Bench<'_>,
    mut act: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<u64> {
    act(1)?;
    let mut done = Ok(());
    let ns = bench.meter.measure(2, &mut |ops| done = act(ops)).ns;
    done?;
    let each = (ns / 2.0).max(1.0);
    Ok(((SAMPLE.as_nanos() as f64 / each) as u64).clamp(1, MOST_OPS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::bench::tests::bare;
    use crate::harness::clock::{CoreClock, Timer};
    use crate::harness::meter::Hardware;
    use card::machine::Machine;
    use card::record::Record;

    /// What a row gives of which every second sample, or none, verifies.
    fn row(verifies: fn(usize) -> bool) -> (io::Result<()>, Vec<Point>) {
        let (machine, known) = (Machine::default(), Default::default());
        let mut meter = Hardware::new(CoreClock::learn(Timer::CLOCK), 0);
        let mut points = Vec::new();
        let mut sink = |record| {
            if let Record::Point(point) = record {
                points.push(point);
            }
            Ok(())
        };
        let mut bench = bare(&machine, &known, &mut meter, &mut sink);
        let mut asked = 0;
        let step = |step| {
            asked += usize::from(step == Step::Verify);
            Ok(step != Step::Verify || verifies(asked))
        };
        let done = sample_verified(&mut bench, "row", Expect::Switch(1), None, step).unwrap();
        (done, points)
    }

    #[test]
    fn samples_that_do_not_verify_are_set_aside_and_counted() {
        let (done, points) = row(|asked| asked % 2 == 0);
        done.unwrap();
        let [point] = &points[..] else { panic!("{points:?}") };
        let (kept, rejected) = (point.samples.len(), point.disturbances.rejected);
        assert!(kept <= MOST && rejected >= kept as u64, "{point:?}");
        assert!(point.note.as_ref().is_some_and(|note| note.starts_with(UNEXPECTED)), "{point:?}");
    }

    #[test]
    fn where_none_verifies_there_is_no_point() {
        let (done, points) = row(|_| false);
        assert!(done.is_err_and(|e| e.to_string() == UNEXPECTED) && points.is_empty());
        let (done, points) = row(|_| true);
        assert!(done.is_ok() && points[0].note.is_none(), "{points:?}");
    }
}
