//! Rows whose own doing looks like a disturbance: they fault, or give their CPU to what they start.

use std::io;
use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::harness::sampling::{Collector, Policy};
use card::declare::Unit;
use card::record::Point;

/// What a row does of what would otherwise spoil its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Does {
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
pub(super) const OTHERWISE: &str = "the kernel gave something else than was asked for";

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
    does: Does,
    note: Option<String>,
    mut act: impl FnMut(bool) -> io::Result<()>,
) -> anyhow::Result<io::Result<()>> {
    let step = |step: Step| {
        if step != Step::Verify {
            act(step == Step::Act)?;
        }
        Ok(true)
    };
    sample_verified(bench, quantity, does, note, step)
}

/// The same where the kernel may do something else than it was asked for: samples that do not
/// verify are set aside.
pub(super) fn sample_verified(
    bench: &mut Bench<'_>,
    quantity: &str,
    does: Does,
    note: Option<String>,
    mut step: impl FnMut(Step) -> io::Result<bool>,
) -> anyhow::Result<io::Result<()>> {
    for practice in [Step::Prepare, Step::Act].repeat(PRACTICE) {
        if let Err(e) = step(practice) {
            return Ok(Err(e));
        }
    }
    let policy = Policy {
        want: WANT,
        most: MOST,
        sample: SAMPLE,
        quiet: false,
        core_bound: false,
        spaced: false,
        time: bench.share(0.06),
    };
    let mut collector = Collector::default();
    let began = bench.meter.elapsed();
    let (mut ops, mut otherwise) = (0, 0);
    while collector.samples.len() < policy.most {
        if let Err(e) = step(Step::Prepare) {
            return Ok(Err(e));
        }
        let mut done = Ok(true);
        let mut reading = bench.meter.measure(1, &mut |_| done = step(Step::Act));
        let as_asked = match done.and_then(|_| step(Step::Verify)) {
            Ok(as_asked) => as_asked,
            Err(e) => return Ok(Err(e)),
        };
        match does {
            Does::Fault => ops = std::mem::take(&mut reading.usage.faults),
            Does::Switch(each) => {
                ops = each;
                reading.usage = Default::default();
            }
        }
        if ops == 0 {
            return Ok(Err(io::Error::other("the kernel counted no page fault")));
        }
        if as_asked {
            collector.offer(&reading, ops, &policy, &mut bench.history);
        } else {
            otherwise += 1;
            collector.disturbances.rejected += 1;
        }
        let spent = bench.meter.elapsed().saturating_sub(began);
        let enough = collector.samples.len() >= policy.want;
        let patience = if enough { policy.time } else { policy.time * 4 };
        if spent >= patience {
            break;
        }
    }
    if collector.samples.is_empty() && otherwise > 0 {
        return Ok(Err(io::Error::other(OTHERWISE)));
    }
    let state = collector.state(&policy);
    let counted = || format!("{OTHERWISE} in {otherwise} of {} samples", collector.taken());
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
    use crate::harness::clock::Timer;
    use crate::harness::meter::Hardware;
    use card::machine::Machine;
    use card::record::Record;

    /// What a row gives of which every second sample, or none, verifies.
    fn row(verifies: fn(usize) -> bool) -> (io::Result<()>, Vec<Point>) {
        let (machine, known) = (Machine::default(), Default::default());
        let mut meter = Hardware::new(Timer::CLOCK, 0);
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
        let done = sample_verified(&mut bench, "row", Does::Switch(1), None, step).unwrap();
        (done, points)
    }

    #[test]
    fn samples_that_do_not_verify_are_set_aside_and_counted() {
        let (done, points) = row(|asked| asked % 2 == 0);
        done.unwrap();
        let [point] = &points[..] else { panic!("{points:?}") };
        let (kept, rejected) = (point.samples.len(), point.disturbances.rejected);
        assert!(kept <= MOST && rejected >= kept as u64, "{point:?}");
        assert!(point.note.as_ref().is_some_and(|note| note.starts_with(OTHERWISE)), "{point:?}");
    }

    #[test]
    fn where_none_verifies_there_is_no_point() {
        let (done, points) = row(|_| false);
        assert!(done.is_err_and(|e| e.to_string() == OTHERWISE) && points.is_empty());
        let (done, points) = row(|_| true);
        assert!(done.is_ok() && points[0].note.is_none(), "{points:?}");
    }
}
