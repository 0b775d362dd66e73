//! Looking for the end of something before sampling around it: a few samples where they matter
//! instead of a fine grid everywhere.

use std::io;
use std::ops::Range;

use super::bench::Bench;

/// Quiet readings that a glance is content with.
const QUIET: usize = 3;
/// Readings after which it is, whether the sibling was quiet or not.
const MAX_READINGS: usize = 24;

/// A first look at what an operation costs, in ns: the quickest of a few readings, which are not
/// recorded.
pub fn glance(bench: &mut Bench<'_>, ops: u64, work: &mut dyn FnMut(u64)) -> f64 {
    let (mut best, mut quiet) = (f64::INFINITY, 0);
    for _ in 0..MAX_READINGS {
        let reading = bench.meter.measure(ops, work);
        best = best.min(reading.ns / ops as f64);
        quiet += usize::from(!reading.before.is_busy() && !reading.after.is_busy());
        if quiet == QUIET {
            break;
        }
    }
    best
}

/// The last number of the range that still fits, found by halving; its first number must fit, and
/// what lies behind one that does not fit must not either.
///
/// # Errors
///
/// Those of the measurement.
pub fn last_that_fits(
    range: Range<u64>,
    mut fits: impl FnMut(u64) -> io::Result<bool>,
) -> io::Result<u64> {
    let (mut fitting, mut beyond) = (range.start, range.end);
    while beyond - fitting > 1 {
        let middle = fitting.midpoint(beyond);
        if fits(middle)? {
            fitting = middle;
        } else {
            beyond = middle;
        }
    }
    Ok(fitting)
}

/// Numbers around another one, in order and none twice, from `least` on.
pub fn around(middle: u64, distances: &[i64], least: u64) -> Vec<u64> {
    let mut all: Vec<u64> =
        distances.iter().map(|&d| middle.saturating_add_signed(d).max(least)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_it_is() {
        for end in [1, 2, 320, 998, 999] {
            let mut asked = 0;
            let fits = |n| {
                asked += 1;
                Ok(n <= end)
            };
            assert_eq!(last_that_fits(1..1000, fits).unwrap(), end);
            assert!(asked <= 10);
        }
        let refused = |_| Err(io::ErrorKind::PermissionDenied.into());
        assert_eq!(last_that_fits(5..6, refused).unwrap(), 5, "nothing is left to ask");
        assert!(last_that_fits(5..9, refused).is_err());
    }

    #[test]
    fn numbers_around_another_are_in_order() {
        assert_eq!(around(10, &[-4, 0, 2, 1], 1), [6, 10, 11, 12]);
        assert_eq!(around(3, &[-64, -8, 0, 1], 2), [2, 3, 4]);
    }
}
