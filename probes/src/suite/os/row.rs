//! Rows whose own doing looks like a disturbance: they fault, or give their CPU to what they start.

use std::io;
use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::harness::sampling::{Collector, Policy};
use crate::probe::Unit;
use crate::record::Point;

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

/// Most operations of one sample.
const MOST_OPS: u64 = 64;

/// Samples a row and records its point. `act` is timed, `prepare` comes before it. An error of the
/// two ends the row without a point and is handed back.
pub(super) fn sample(
    bench: &mut Bench<'_>,
    quantity: &str,
    does: Does,
    note: Option<String>,
    mut act: impl FnMut(bool) -> io::Result<()>,
) -> anyhow::Result<io::Result<()>> {
    for timed in [false, true].repeat(PRACTICE) {
        if let Err(e) = act(timed) {
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
    let mut ops = 0;
    while collector.samples.len() < policy.most {
        if let Err(e) = act(false) {
            return Ok(Err(e));
        }
        let mut done = Ok(());
        let mut reading = bench.meter.measure(1, &mut |_| done = act(true));
        if let Err(e) = done {
            return Ok(Err(e));
        }
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
        collector.offer(&reading, ops, &policy, &mut bench.history);
        let spent = bench.meter.elapsed().saturating_sub(began);
        let enough = collector.samples.len() >= policy.want;
        let patience = if enough { policy.time } else { policy.time * 4 };
        if spent >= patience {
            break;
        }
    }
    let state = collector.state(&policy);
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
