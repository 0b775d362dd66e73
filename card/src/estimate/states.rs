//! States: the values that samples gather at, with gaps between them. A host that moves CPUs, a
//! buffer that lies here or there in a process, a sibling that wakes: what has two values has no
//! middle.

use std::ops::Range;

use super::quantile::{ascending, median, quantile};
use crate::declare::Better;

/// A value that a quantity is met at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// The middle of the values in it.
    pub value: f64,
    /// Their part of all values.
    pub share: f64,
    /// The lowest and the highest of them.
    pub range: (f64, f64),
}

impl State {
    /// Whether a value lies between the lowest and the highest of it.
    pub fn holds(&self, value: f64) -> bool {
        (self.range.0..=self.range.1).contains(&value)
    }
}

/// Two states lie further apart than this, relative to the larger value: rounds that differ by less
/// are said to agree.
const LEAST_DISTANCE: f64 = 0.05;

/// A state has this share of all values: what is rarer is a disturbance.
const LEAST_SHARE: f64 = 0.05;

/// And so many: one alone gathers with none.
const LEAST_VALUES: usize = 2;

/// Where so large a share is in no state, nothing gathers anywhere: that is one cloud.
pub const MOST_STRAY_VALUES: f64 = 0.2;

/// Whether two values are too far from each other for one state; the first is not the larger one.
fn apart(low: f64, high: f64) -> bool {
    high - low > LEAST_DISTANCE * low.abs().max(high.abs())
}

/// The states that values gather at, in ascending order. Values that form one cloud are one state,
/// and outliers are part of none; without a finite value there is no state.
///
/// A state begins where values lie densely. Two of them are one after all unless the gap between
/// them is wider than the scatter of either.
pub fn states(values: &[f64]) -> Vec<State> {
    let sorted = ascending(values);
    let mut groups = dense(&sorted);
    while let Some(at) = closest(&sorted, &groups) {
        groups[at].end = groups.remove(at + 1).end;
    }
    let strays = sorted.len() - groups.iter().map(Range::len).sum::<usize>();
    if strays as f64 >= MOST_STRAY_VALUES * sorted.len() as f64 {
        groups.clear();
        groups.push(0..sorted.len());
    }
    let state = |group: &Range<usize>| {
        let inside = &sorted[group.clone()];
        Some(State {
            value: median(inside)?,
            share: inside.len() as f64 / sorted.len() as f64,
            range: (*inside.first()?, *inside.last()?),
        })
    };
    groups.iter().filter_map(state).collect()
}

/// What stands for values that may have states: the middle of the state with the largest share, of
/// two alike the better one.
pub fn typical(values: &[f64], better: Better) -> Option<f64> {
    match &states(values)[..] {
        [] | [_] => middle(values, better),
        several => {
            let largest = several.iter().map(|s| s.share).fold(0.0, f64::max);
            let mut alike = several.iter().filter(|s| s.share == largest);
            let best = if better == Better::Higher { alike.next_back() } else { alike.next() };
            best.map(|state| state.value)
        }
    }
}

/// The median, which of an even number is no value in a gap: of two middle ones that are too far
/// apart for one state, it is the better.
pub fn middle(values: &[f64], better: Better) -> Option<f64> {
    let sorted = ascending(values);
    let (low, high) = (*sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted[sorted.len() / 2]);
    Some(match better {
        _ if !apart(low, high) => median(&sorted)?,
        Better::Higher => high,
        Better::Lower | Better::Same | Better::Unknown => low,
    })
}

/// Stretches of ascending values in which enough of them are near each other.
fn dense(sorted: &[f64]) -> Vec<Range<usize>> {
    let share = (LEAST_SHARE * sorted.len() as f64).ceil() as usize;
    let least = share.max(LEAST_VALUES);
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, window) in sorted.windows(least).enumerate() {
        if apart(window[0], window[least - 1]) {
            continue;
        }
        let end = at + least;
        match groups.last_mut() {
            Some(last) if !apart(sorted[last.end - 1], window[0]) => last.end = end,
            _ => groups.push(at..end),
        }
    }
    groups
}

/// The first of the two neighbours that are least of all states of their own, if any are none.
fn closest(sorted: &[f64], groups: &[Range<usize>]) -> Option<usize> {
    let width = |pair: &[Range<usize>]| {
        let gap = sorted[pair[1].start] - sorted[pair[0].end - 1];
        let scatter = |group: &Range<usize>| scatter(&sorted[group.clone()]);
        gap / scatter(&pair[0]).max(scatter(&pair[1]))
    };
    let widths = groups.windows(2).map(width).enumerate();
    let (at, least) = widths.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (least <= 1.0).then_some(at)
}

/// How wide the values of a state would lie if there were many of them: twice the range of their
/// middle half, and more where they are few, of which the range says little: four times the
/// distance of two values.
fn scatter(sorted: &[f64]) -> f64 {
    let half = quantile(sorted, 0.75).zip(quantile(sorted, 0.25)).map_or(0.0, |(b, a)| b - a);
    2.0 * half * (1.0 + 6.0 / sorted.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So many values around a middle, evenly over ± the width.
    fn cloud(middle: f64, width: f64, count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(move |i| middle + width * (2.0 * f64::from(i) / f64::from(count) - 1.0))
    }

    fn found(values: &[f64]) -> Vec<(f64, f64)> {
        states(values).iter().map(|s| (s.value, (100.0 * s.share).round())).collect()
    }

    #[test]
    fn rounds_of_two_states_are_told_apart() {
        assert_eq!(found(&[1.93, 2.17, 1.93, 2.17, 2.17]), [(1.93, 40.0), (2.17, 60.0)]);
        assert_eq!(found(&[10.0, 10.1, 27.0, 27.5]), [(10.05, 50.0), (27.25, 50.0)]);
        // Pooled allocation of one run: whichever way the pages lay.
        assert_eq!(found(&[10.3, 105.0, 26.5, 10.1, 106.0, 26.0]).len(), 3);
    }

    #[test]
    fn rounds_that_scatter_are_one_cloud() {
        for rounds in [
            &[0.9, 0.95, 1.0, 1.05, 1.1][..],
            &[85.0, 86.0, 97.0, 99.0, 118.0],
            &[100.0, 101.0, 107.0, 112.0, 119.0],
            &[1.00, 1.00, 1.00, 1.049, 1.05],
        ] {
            assert_eq!(states(rounds).len(), 1, "{rounds:?}");
        }
        // One alone is no state, and of three or four rounds too much for an outlier.
        assert_eq!(found(&[10.0, 10.0, 27.0]), [(10.0, 100.0)]);
        assert_eq!(found(&[10.0, 27.0]), [(18.5, 100.0)]);
        assert_eq!(found(&[5.0]), [(5.0, 100.0)]);
        assert!(states(&[]).is_empty() && states(&[f64::NAN]).is_empty());
    }

    #[test]
    fn the_two_states_of_a_penalty_are_told_apart() {
        let mut values: Vec<f64> = cloud(16.9, 0.3, 60).chain(cloud(22.1, 0.6, 30)).collect();
        // Samples during which the state changed lie in between.
        values.extend([17.9, 19.0, 20.4]);
        let two = states(&values);
        assert_eq!(two.len(), 2, "{two:?}");
        assert!((two[0].value - 16.9).abs() < 0.1 && (two[1].value - 22.1).abs() < 0.1);
        assert!((two[1].share - 30.0 / 93.0).abs() < 0.02, "{two:?}");
        assert!(two[0].holds(16.9) && !two[0].holds(22.1));
    }

    #[test]
    fn outliers_are_part_of_no_state() {
        let mut values: Vec<f64> = cloud(20.0, 0.1, 97).collect();
        values.extend([31.0, 45.0, 90.0]);
        let one = states(&values);
        assert_eq!(one.len(), 1);
        assert!(one[0].range.1 < 20.2 && one[0].share == 0.97, "{one:?}");
    }

    #[test]
    fn pairs_of_cpus_that_a_host_moves_have_three_states() {
        let moved: Vec<f64> =
            cloud(10.8, 0.2, 4).chain(cloud(28.0, 2.0, 10)).chain(cloud(109.0, 2.0, 6)).collect();
        let shares: Vec<f64> = states(&moved).iter().map(|s| s.share).collect();
        assert_eq!(shares, [0.2, 0.5, 0.3]);
    }

    #[test]
    fn nothing_is_averaged_across_a_gap() {
        let (less, more) = (Better::Lower, Better::Higher);
        assert_eq!(middle(&[10.0, 27.0], less), Some(10.0));
        assert_eq!(middle(&[10.0, 27.0], more), Some(27.0));
        assert_eq!(middle(&[10.0, 10.2], less), Some(10.1));
        assert_eq!(middle(&[10.1, 10.0, 27.0, 105.0], Better::Same), Some(10.1));
        assert_eq!(middle(&[3.0, 1.0, 2.0], more), Some(2.0));
        assert_eq!(middle(&[], less), None);
        // Of states the largest counts, of two alike the better one.
        assert_eq!(typical(&[10.0, 10.1, 10.2, 27.0, 27.1], more), Some(10.1));
        assert_eq!(typical(&[27.0, 10.0, 27.2, 10.2], less), Some(10.1));
        assert_eq!(typical(&[27.0, 10.0, 27.2, 10.2], more), Some(27.1));
    }

    /// Samples of up to four clouds, of any width.
    fn samples() -> impl Strategy<Value = Vec<f64>> {
        let cloud = (0.1..1000.0_f64, 0.0..0.3_f64, 1..40_u32);
        prop::collection::vec(cloud, 1..4)
            .prop_map(|clouds| clouds.into_iter().flat_map(|(m, w, n)| cloud_of(m, w, n)).collect())
    }

    fn cloud_of(middle: f64, width: f64, count: u32) -> Vec<f64> {
        cloud(middle, middle * width, count).collect()
    }

    proptest! {
        #[test]
        fn states_lie_within_the_samples_and_apart(values in samples()) {
            let found = states(&values);
            let all: f64 = found.iter().map(|s| s.share).sum();
            prop_assert!(!found.is_empty() && all > 1.0 - MOST_STRAY_VALUES && all < 1.0 + 1e-9);
            for state in &found {
                prop_assert!(state.holds(state.value));
                let (low, high) = state.range;
                prop_assert!(values.contains(&low) && values.contains(&high));
            }
            for two in found.windows(2) {
                prop_assert!(apart(two[0].range.1, two[1].range.0));
            }
        }

        #[test]
        fn neither_scale_nor_order_matters(values in samples(), exponent in -20_i32..20, by in 0_usize..100) {
            let scale = f64::from(exponent).exp2();
            let mut other: Vec<f64> = values.iter().map(|v| v * scale).collect();
            let by = by % other.len();
            other.rotate_left(by);
            other.reverse();
            let scaled: Vec<State> = states(&values)
                .into_iter()
                .map(|s| State { value: s.value * scale, range: (s.range.0 * scale, s.range.1 * scale), ..s })
                .collect();
            prop_assert_eq!(states(&other), scaled);
        }

        #[test]
        fn one_cloud_is_one_state(middle in 1e-3..1e6_f64, width in 0.0..0.4_f64, count in 1..200_u32) {
            prop_assert_eq!(states(&cloud_of(middle, width, count)).len(), 1);
        }

        #[test]
        fn two_clouds_far_apart_are_two(
            middle in 1e-3..1e6_f64, width in 0.0..0.03_f64, far in 1.6..50_f64,
            counts in (5..60_u32, 5..60_u32),
        ) {
            let values = [cloud_of(middle, width, counts.0), cloud_of(middle * far, width, counts.1)];
            let found = states(&values.concat());
            prop_assert_eq!(found.len(), 2, "{:?}", found);
            let share = f64::from(counts.0) / f64::from(counts.0 + counts.1);
            prop_assert!((found[0].share - share).abs() < 1e-9);
        }

        #[test]
        fn no_numbers_make_it_panic(values in prop::collection::vec(prop::num::f64::ANY, 0..60)) {
            let finite = values.iter().any(|v| v.is_finite());
            prop_assert_eq!(states(&values).is_empty(), !finite);
        }
    }
}
