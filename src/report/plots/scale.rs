//! Axes: values to places, and where ticks and labels go.

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
    pub(super) fn log((low, high): (f64, f64), (from, to): (f64, f64)) -> Axis {
        Axis { low: low.ln(), high: high.ln(), from, to, log: true }
    }

    /// `low..high` drawn on `from..to`.
    pub(super) fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Axis {
        Axis { low, high, from, to, log: false }
    }

    /// The place of a value; values beyond the ends stay at the ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = (value - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

/// Powers of ten from `low` to `high`, both included when they are one.
pub(super) fn decades(low: f64, high: f64) -> Vec<f64> {
    let first = (low.log10() - 1e-9).ceil() as i32;
    let last = (high.log10() + 1e-9).floor() as i32;
    (first..=last).map(|e| 10f64.powi(e)).collect()
}

/// 1, 2, 5, 10, 20, 50, … from `low` to `high`.
pub(super) fn one_two_five(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last)
        .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
        .filter(|v| *v >= low * 0.999 && *v <= high * 1.001)
        .collect()
}

/// About `count` round values on a linear axis.
pub(super) fn round_ticks(low: f64, high: f64, count: f64) -> Vec<f64> {
    let rough = (high - low) / count;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
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
    fn labels_are_moved_off_one_another() {
        let places = spread(&[10.0, 12.0, 95.0], &[20.0; 3], 0.0, 100.0);
        assert_eq!(places, [10.0, 30.0, 90.0]);
    }
}
