//! Axes: values to places, and where ticks and labels go.
//!
//! A card may say anything, so that every axis and its ticks first make of a range one that can be drawn.

/// The smallest and the largest value that an axis has a place for, of any unit. From here on there
/// are neither overflows nor numbers that lose their digits.
const DRAWABLE: (f64, f64) = (1e-9, 1e18);

/// Of more powers of ten than this, an axis shows every other one, or every third.
const MOST_DECADES: usize = 16;

/// More steps than this are no axis that could be read.
const MOST_STEPS: f64 = 20.0;

/// A logarithmic or linear axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Axis {
    /// `low..high`, both positive, drawn on `from..to`.
    pub(super) fn log(range: (f64, f64), (from, to): (f64, f64)) -> Axis {
        let (low, high) = ratio(range);
        Axis { low: low.ln(), high: high.ln(), from, to, log: true }
    }

    /// `low..high` drawn on `from..to`.
    pub(super) fn linear(range: (f64, f64), (from, to): (f64, f64)) -> Axis {
        let (low, high) = span(range);
        Axis { low, high, from, to, log: false }
    }

    /// The place of a value; values beyond the ends, and what is no number, stay at the ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = (value - self.low) / (self.high - self.low);
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self.from + share * (self.to - self.from)
    }
}

/// The ends of a logarithmic axis: positive, and apart.
fn ratio((low, high): (f64, f64)) -> (f64, f64) {
    let end = |value: f64| value.max(DRAWABLE.0).min(DRAWABLE.1);
    let (low, high) = (end(low), end(high));
    if high > low * 1.001 { (low, high) } else { (low / 2.0, low * 2.0) }
}

/// The ends of a linear axis: finite, and so far apart that values between them differ.
fn span((low, high): (f64, f64)) -> (f64, f64) {
    let end = |value: f64| value.max(-DRAWABLE.1).min(DRAWABLE.1);
    let (low, high) = (end(low), end(high));
    let largest = low.abs().max(high.abs());
    if high - low > (1e-6 * largest).max(DRAWABLE.0) {
        return (low, high);
    }
    let room = if low == 0.0 { 1.0 } else { (0.1 * largest).max(DRAWABLE.0) };
    (low - room, low + room)
}

/// Powers of ten from `low` to `high`, both included when they are one; of too many, some.
pub(super) fn decades(low: f64, high: f64) -> Vec<f64> {
    let (low, high) = ratio((low, high));
    let first = (low.log10() - 1e-9).ceil() as i32;
    let last = (high.log10() + 1e-9).floor() as i32;
    let all: Vec<f64> = (first..=last).map(|e| 10f64.powi(e)).collect();
    let step = all.len().div_ceil(MOST_DECADES).max(1);
    all.into_iter().step_by(step).collect()
}

/// 1, 2, 5, 10, 20, 50, … from `low` to `high`; where there is no room for them, powers of ten.
pub(super) fn one_two_five(low: f64, high: f64) -> Vec<f64> {
    let (low, high) = ratio((low, high));
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    if last - first > 8 {
        return decades(low, high);
    }
    (first..=last)
        .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
        .filter(|v| *v >= low * 0.999 && *v <= high * 1.001)
        .collect()
}

/// About `count` round values on a linear axis.
pub(super) fn round_ticks(low: f64, high: f64, count: f64) -> Vec<f64> {
    let (low, high) = span((low, high));
    let rough = (high - low) / count.clamp(1.0, MOST_STEPS);
    let power = 10f64.powf(rough.log10().floor());
    let step =
        power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Where the middle of a text is drawn that should be at `wanted` and stay within `low..high`; where it
/// is wider than that, it begins at `low`.
pub(super) fn within(wanted: f64, width: f64, (low, high): (f64, f64)) -> f64 {
    wanted.min(high - width / 2.0).max(low + width / 2.0)
}

/// Moves labels of the given sizes off one another, as little as needed, within `low..high`.
/// Returns their centres in the order in which they came.
pub(super) fn spread(wanted: &[f64], sizes: &[f64], low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut places = vec![0.0; wanted.len()];
    let mut edge = low;
    for &i in &order {
        places[i] = wanted[i].max(edge + sizes[i] / 2.0);
        edge = places[i] + sizes[i] / 2.0;
    }
    let mut edge = high;
    for &i in order.iter().rev() {
        places[i] = places[i].min(edge - sizes[i] / 2.0);
        edge = places[i] - sizes[i] / 2.0;
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn axes_put_values_in_their_place() {
        let axis = Axis::log((1.0, 100.0), (0.0, 200.0));
        assert!((axis.at(10.0) - 100.0).abs() < 1e-9);
        assert_eq!(axis.at(0.0), 0.0);
        assert_eq!(axis.at(1e9), 200.0);
        assert_eq!(Axis::linear((0.0, 4.0), (100.0, 0.0)).at(1.0), 75.0);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(decades(0.1, 100.0).len(), 4);
        assert_eq!(one_two_five(0.9, 25.0), [1.0, 2.0, 5.0, 10.0, 20.0]);
        let ticks = round_ticks(3.41, 3.79, 4.0);
        assert_eq!(ticks.len(), 3, "{ticks:?}");
        assert!((ticks[0] - 3.5).abs() < 1e-9);
    }

    #[test]
    fn what_is_all_alike_is_in_the_middle() {
        assert_eq!(Axis::log((7.0, 7.0), (0.0, 100.0)).at(7.0), 50.0);
        assert_eq!(Axis::linear((7.0, 7.0), (0.0, 100.0)).at(7.0), 50.0);
        assert_eq!(Axis::linear((0.0, 0.0), (0.0, 100.0)).at(0.0), 50.0);
    }

    #[test]
    fn labels_are_moved_off_one_another() {
        let places = spread(&[10.0, 12.0, 95.0], &[20.0; 3], 0.0, 100.0);
        assert_eq!(places, [10.0, 30.0, 90.0]);
    }
    #[test]
    fn a_text_stays_within_its_strip_or_begins_there() {
        assert_eq!(within(50.0, 20.0, (0.0, 100.0)), 50.0);
        assert_eq!(within(99.0, 20.0, (0.0, 100.0)), 90.0);
        assert_eq!(within(1.0, 300.0, (0.0, 100.0)), 150.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_range_can_be_drawn(low in any::<f64>(), high in any::<f64>(), value in any::<f64>()) {
            for axis in [Axis::log, Axis::linear] {
                let axis = axis((low, high), (300.0, 20.0));
                for value in [value, low, high, 0.0, f64::NAN] {
                    prop_assert!((20.0..=300.0).contains(&axis.at(value)), "{value}");
                }
            }
            for ticks in [decades(low, high), one_two_five(low, high), round_ticks(low, high, 7.0)] {
                prop_assert!(ticks.len() <= 30, "{ticks:?}");
                prop_assert!(ticks.iter().all(|t| t.is_finite()), "{ticks:?}");
                prop_assert!(ticks.is_sorted_by(|a, b| a < b), "{ticks:?}");
            }
        }
    }
}
