//! What no machine can have given. Cards come from anywhere, and a clock may have stood still or run
//! backwards: such a sample is no value, wherever it comes from.

use std::ops::RangeInclusive;

use crate::declare::Unit;
use crate::record::{Param, Point, PointState};

/// Of a sample in its unit, unless it is 0. Between a millionth of a core cycle and thirty years, or
/// an exabyte, there is everything that can be measured in a run, and every axis has a place for it.
const MAGNITUDES: RangeInclusive<f64> = 1e-9..=1e18;

/// Of a setting: sizes end below a petabyte, CPUs and offsets long before.
const LARGEST_SETTING: u64 = 1 << 50;

/// A point of which more is dropped than this share is noisy.
const MOST_DROPPED: f64 = 0.3;

impl Unit {
    /// Whether a machine can have given that value. No traffic, no share and no delay are values; no
    /// clock, no cycles and nothing in a cycle are none.
    pub fn allows(self, value: f64) -> bool {
        let never = [Unit::Ghz, Unit::Cycles, Unit::PerCycle, Unit::BytesPerCycle];
        MAGNITUDES.contains(&value) || value == 0.0 && !never.contains(&self)
    }
}

impl Point {
    /// Takes out the samples that no machine can have given, or whose clock none can have had, and
    /// counts them among those rejected.
    pub fn drop_impossible(&mut self) {
        let clocks = std::mem::take(&mut self.core_ghz);
        let samples = std::mem::take(&mut self.samples);
        let before = samples.len();
        let possible = |ns: f64| {
            // Many operations take some time, however short.
            self.unit.allows(ns) && !(ns == 0.0 && self.unit == Unit::Ns && self.ops > 1)
        };
        if clocks.len() == before && before > 1 {
            let both = samples.into_iter().zip(clocks);
            let kept = both.filter(|&(ns, ghz)| possible(ns) && Unit::Ghz.allows(ghz));
            (self.samples, self.core_ghz) = kept.unzip();
        } else if clocks.iter().all(|&ghz| Unit::Ghz.allows(ghz)) {
            self.samples = samples.into_iter().filter(|&ns| possible(ns)).collect();
            self.core_ghz = clocks;
        }
        let dropped = (before - self.samples.len()) as u64;
        if dropped as f64 > MOST_DROPPED * before as f64 {
            self.state = PointState::Noisy;
        }
        self.disturbances.impossible += dropped;
        self.disturbances.rejected += dropped;
    }

    /// Whether it can have been measured at such a setting: readers count and lay out by them.
    pub fn has_possible_settings(&self) -> bool {
        let possible = |param: &Param| match param {
            Param::Int(n) => n.unsigned_abs() <= LARGEST_SETTING,
            Param::Text(_) => true,
        };
        self.params.values().all(possible)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{point, with};

    fn kept(unit: Unit, ops: u64, samples: &[f64]) -> Vec<f64> {
        let mut point = point("p", "q", 0, unit, samples.to_vec());
        point.ops = ops;
        point.drop_impossible();
        assert_eq!(
            point.samples.len() as u64 + point.disturbances.impossible,
            samples.len() as u64
        );
        assert_eq!(point.disturbances.rejected, point.disturbances.impossible);
        point.samples
    }

    #[test]
    fn times_and_rates_that_no_machine_gives_are_no_samples() {
        let odd = [-1.0, 0.0, 5e-324, 1.5, 1e308, f64::NAN, f64::INFINITY];
        assert_eq!(kept(Unit::Ghz, 1, &odd), [1.5]);
        assert_eq!(kept(Unit::Ns, 100, &odd), [1.5]);
        // What happened once may have been shorter than the clock can tell.
        assert_eq!(kept(Unit::Ns, 1, &odd), [0.0, 1.5]);
        assert_eq!(kept(Unit::Gbs, 100, &odd), [0.0, 1.5]);
        assert_eq!(kept(Unit::Ratio, 1, &odd), [0.0, 1.5]);
    }

    #[test]
    fn a_sample_goes_with_its_clock() {
        let mut spoilt = point("p", "q", 0, Unit::Ns, vec![1.0, 2.0, 2.5, -3.0]);
        spoilt.core_ghz = vec![3.0, 3.1, 0.0, 3.2];
        spoilt.drop_impossible();
        assert_eq!((&spoilt.samples[..], &spoilt.core_ghz[..]), (&[1.0, 2.0][..], &[3.0, 3.1][..]));
        assert_eq!(spoilt.state, PointState::Noisy);
        spoilt.core_ghz = vec![-3.0];
        spoilt.drop_impossible();
        assert!(spoilt.samples.is_empty() && spoilt.core_ghz.is_empty());
    }

    #[test]
    fn settings_have_an_end() {
        let at = |n: i64| with(point("p", "q", 0, Unit::Ns, vec![1.0]), &[("n", n.into())]);
        assert!(at(1 << 50).has_possible_settings() && at(-1).has_possible_settings());
        assert!(!at(i64::MIN).has_possible_settings() && !at(1 << 51).has_possible_settings());
    }

    proptest! {
        #[test]
        fn what_is_left_is_finite_and_not_negative(
            samples in prop::collection::vec(prop::num::f64::ANY, 0..20),
            ghz in prop::collection::vec(prop::num::f64::ANY, 0..20),
        ) {
            let mut any = point("p", "q", 0, Unit::Ns, samples);
            any.core_ghz = ghz;
            any.drop_impossible();
            prop_assert!(any.samples.iter().all(|s| s.is_finite() && *s >= 0.0));
            let again = any.clone();
            any.drop_impossible();
            prop_assert_eq!(any, again);
        }
    }
}
