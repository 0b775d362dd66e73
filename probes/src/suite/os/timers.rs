//! How much later than asked for a sleeping thread is awake again.

use std::io;

use super::refused;
use crate::harness::bench::{Bench, params};
use crate::sys::time::{monotonic_raw_ns, set_timer_slack, sleep, timer_slack};
use card::declare::Unit;

/// Lengths of sleeps in ns, and how many of each.
const SLEEPS: [(u32, usize); 5] =
    [(SHORTEST, 7), (10_000, 7), (TYPICAL, MANY), (1_000_000, 7), (LONGEST, 3)];

/// So many that the latest hundredth is more than the latest one: 30 ms.
const MANY: usize = 200;

/// The length that most metrics are about, and the ends of the curve.
pub(super) const TYPICAL: u32 = 100_000;
pub(super) const SHORTEST: u32 = 1_000;
pub(super) const LONGEST: u32 = 10_000_000;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let slack = timer_slack();
    for (length, times) in SLEEPS {
        let samples = match late(length, times) {
            Ok(samples) => samples,
            Err(e) => return bench.skip(refused(["timer_lateness*"], "clock_nanosleep", &e)),
        };
        let labels = params([("sleep", u64::from(length).into())]);
        let note = slack.filter(|_| length == TYPICAL);
        let mut point =
            bench.point("timer_lateness", labels, Unit::Ns, samples, Default::default());
        point.note = note.map(|ns| format!("timer slack {ns} ns"));
        bench.emit(point)?;
    }
    // 1 is as little as can be asked for.
    if let Err(e) = set_timer_slack(1) {
        return bench.skip(refused(["timer_lateness_tight"], "prctl(PR_SET_TIMERSLACK)", &e));
    }
    let samples = late(TYPICAL, 7)?;
    set_timer_slack(0)?;
    bench.record("timer_lateness_tight", params([]), Unit::Ns, samples)
}

/// By how many nanoseconds each of so many sleeps was too long.
fn late(length: u32, times: usize) -> io::Result<Vec<f64>> {
    let one = |_| {
        let start = monotonic_raw_ns();
        sleep(length)?;
        Ok((monotonic_raw_ns() - start) as f64 - f64::from(length))
    };
    // The first one is for practice.
    let all: io::Result<Vec<f64>> = (0..=times).map(one).collect();
    all.map(|mut all| all.split_off(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::estimate::quantile;

    #[test]
    fn the_latest_hundredth_is_not_the_latest_one() {
        let mut late = vec![50e3; MANY];
        late[MANY / 2] = 10e6;
        assert_eq!(quantile(&late, 0.99), Some(50e3));
    }

    #[test]
    fn no_sleep_is_too_short() {
        let late = late(200_000, 5).unwrap();
        assert_eq!(late.len(), 5);
        // The two clocks may differ by a two-thousandth.
        assert!(late.iter().all(|&ns| ns > -200.0), "{late:?}");
    }
}
