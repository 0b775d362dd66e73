//! Pure functions from samples to estimates.

mod quantile;
mod states;

pub use quantile::{median, quantile};
pub use states::{MOST_STRAY_VALUES, State, middle, states, typical};

use crate::format::plain;

/// A least-squares line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Rise per unit of x.
    pub slope: f64,
    /// Value at x = 0.
    pub intercept: f64,
}

/// The least-squares line through points with at least two different x.
pub fn fit_line(points: &[(f64, f64)]) -> Option<Line> {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let sxx: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let sxy: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let slope = sxy / sxx;
    let line = Line { slope, intercept: mean_y - slope * mean_x };
    (sxx > 0.0 && slope.is_finite()).then_some(line)
}

/// A step must be at least so high.
const LEAST_STEP: f64 = 1.1;

/// Share of the points that may lie on the wrong side of a step.
const MOST_STRAYS: f64 = 0.1;

/// The first x behind a step of a curve, which may stray at a few points.
/// `rising`: low before and high after, else the other way round.
///
/// # Errors
///
/// The curve has no step, or more than one.
pub fn step(curve: &[(f64, f64)], rising: bool) -> Result<f64, String> {
    let values: Vec<f64> = curve.iter().map(|p| p.1).collect();
    let (low, high) =
        quantile(&values, 0.1).zip(quantile(&values, 0.9)).ok_or_else(|| "no points".to_owned())?;
    if low <= 0.0 || high <= low * LEAST_STEP {
        return Err(format!("no step: the curve stays between {low:.2} and {high:.2}"));
    }
    // The geometric middle, so that a contended side that is ten times higher does not pull it.
    let border = (low * high).sqrt();
    let strays = |split: usize| {
        let on_wrong_side = |(i, v): (usize, &f64)| (*v > border) != ((i >= split) == rising);
        values.iter().enumerate().filter(|&(i, v)| on_wrong_side((i, v))).count()
    };
    let split = (1..curve.len()).min_by_key(|&s| strays(s)).ok_or("too few points")?;
    if strays(split) as f64 > MOST_STRAYS * curve.len() as f64 {
        return Err("no clean step: high and low alternate".into());
    }
    Ok(curve[split].0)
}

/// The last x before a curve leaves its beginning for good: two points in a row that lie more than
/// `rise` above it. What it does afterwards does not matter.
///
/// # Errors
///
/// The curve is high from its beginning, or never rises.
pub fn last_before(curve: &[(f64, f64)], rise: f64) -> Result<f64, String> {
    let first: Vec<f64> = curve.iter().take((curve.len() / 4).max(3)).map(|p| p.1).collect();
    let border = quantile(&first, 0.25).ok_or("no points")? + rise;
    let leaves = |pair: &[(f64, f64)]| pair.iter().all(|p| p.1 > border);
    match curve.windows(2).position(leaves) {
        Some(0) => Err("the curve is high from the beginning".into()),
        Some(at) => Ok(curve[at - 1].0),
        None => Err(format!("the curve never rises by {} cycles", plain(rise))),
    }
}

/// The x at which a curve has covered `share` of the way from its beginning to its end for good (two
/// points in a row), between two x in proportion to their logarithms.
///
/// # Errors
///
/// The curve does not rise, or is high from its beginning.
pub fn crossing(curve: &[(f64, f64)], share: f64) -> Result<f64, String> {
    let some = (curve.len() / 4).max(3);
    let values = |points: &[(f64, f64)]| points.iter().map(|p| p.1).collect::<Vec<f64>>();
    let low = quantile(&values(&curve[..some.min(curve.len())]), 0.25).ok_or("no points")?;
    let high = values(curve)[curve.len() - 1];
    let border = low + share * (high - low);
    if high < low * LEAST_STEP {
        return Err(format!("the curve does not rise: from {low:.1} to {high:.1}"));
    }
    let beyond = |i: usize| curve.get(i).is_none_or(|p| p.1 > border);
    let after = (0..curve.len()).find(|&i| beyond(i) && beyond(i + 1)).ok_or("no crossing")?;
    let Some(before) = after.checked_sub(1) else {
        return Err("the curve is high from the beginning".into());
    };
    let (from, to) = (curve[before], curve[after]);
    let part = ((border - from.1) / (to.1 - from.1)).clamp(0.0, 1.0);
    Ok(from.0 * (to.0 / from.0).powf(part))
}

/// The power of two within a third of an octave: counts of sets are powers of two, and what counts
/// them is known to a sixth or better.
///
/// # Errors
///
/// No power of two is near.
pub fn power_of_two(value: f64) -> Result<f64, String> {
    let log = value.log2();
    if !log.is_finite() || (log - log.round()).abs() > 1.0 / 3.0 {
        return Err(format!("{value:.1} is not near a power of two"));
    }
    Ok(log.round().exp2())
}

/// A number of bytes that lines may have, or that they come together in.
///
/// # Errors
///
/// It is neither a power of two from 32 to 256 nor a multiple of a line of the claimed size.
pub fn line_size(bytes: f64, claimed: Option<u64>) -> Result<f64, String> {
    let usual = [32.0, 64.0, 128.0, 256.0].contains(&bytes);
    let multiple = claimed.is_some_and(|line| line > 0 && bytes % line as f64 == 0.0);
    if usual || (multiple && bytes > 0.0) {
        return Ok(bytes);
    }
    Err(format!("a step at {bytes} bytes, which no line is long"))
}

/// Where the second curve first reaches `share` of its highest value on the way up, the first one,
/// between two points in proportion. Both are over the same x.
///
/// # Errors
///
/// There are no rates, or already the lowest is above the share.
pub fn at_share(curve: &[(f64, f64)], rates: &[(f64, f64)], share: f64) -> Result<f64, String> {
    let mut both: Vec<(f64, f64)> =
        rates.iter().filter_map(|r| Some((r.1, curve.iter().find(|c| c.0 == r.0)?.1))).collect();
    both.sort_by(|a, b| a.0.total_cmp(&b.0));
    let goal = share * both.last().ok_or("no points")?.0;
    let after = both.iter().position(|b| b.0 >= goal).ok_or("no finite rates")?;
    let Some(before) = after.checked_sub(1) else {
        return Err(format!(
            "the lowest rate is already above {} % of the highest",
            plain(share * 100.0)
        ));
    };
    let (low, high) = (both[before], both[after]);
    let part = if high.0 > low.0 { (goal - low.0) / (high.0 - low.0) } else { 1.0 };
    Ok(low.1 + part * (high.1 - low.1))
}

/// Distance of the borders that accesses of `width` bytes pay for crossing, on a curve over the
/// offset of the access: the power of two whose crossing offsets cost more than the others.
///
/// # Errors
///
/// No offset costs more than the others.
pub fn borders(curve: &[(f64, f64)], width: f64) -> Result<f64, String> {
    let cost = |size: f64| {
        let crosses = |p: &&(f64, f64)| p.0 % size > size - width;
        let of = |crossing: bool, q: f64| {
            let chosen = curve.iter().filter(|p| crosses(p) == crossing);
            quantile(&chosen.map(|p| p.1).collect::<Vec<f64>>(), q)
        };
        // The cheaper ones of the crossing offsets: of half the distance every other border is none.
        Some(of(true, 0.25)? / of(false, 0.5)?)
    };
    let costs: Vec<(f64, f64)> =
        [16.0, 32.0, 64.0, 128.0].into_iter().filter_map(|s| Some((s, cost(s)?))).collect();
    let most = costs.iter().map(|c| c.1).fold(f64::NEG_INFINITY, f64::max);
    if most.is_nan() || most < LEAST_STEP {
        return Err(format!("no offset costs more than others (at most {most:.2} times)"));
    }
    // Every multiple of the distance costs as much; the distance is the smallest that does.
    let enough = |c: &&(f64, f64)| c.1 - 1.0 > 0.75 * (most - 1.0);
    costs.iter().find(enough).map(|c| c.0).ok_or_else(|| "no points".into())
}

/// The most frequent value and how often it occurs; the smaller one of equals.
pub fn mode(values: &[f64]) -> Option<(f64, usize)> {
    let count = |v: f64| values.iter().filter(|&&w| w == v).count();
    values.iter().map(|&v| (v, count(v))).max_by(|a, b| a.1.cmp(&b.1).then(b.0.total_cmp(&a.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ramp_is_crossed_between_two_sizes() {
        // From 10 to 110 cycles; half of the way lies half-way (in octaves) between 4 and 16.
        let ramp: Vec<(f64, f64)> =
            [(1.0, 10.0), (2.0, 10.0), (3.0, 10.0), (4.0, 10.0), (16.0, 110.0), (32.0, 110.0)]
                .into();
        assert_eq!(crossing(&ramp, 0.5), Ok(8.0));
        // One stray point is no crossing.
        let mut stray = ramp.clone();
        stray[1].1 = 90.0;
        assert_eq!(crossing(&stray, 0.5), Ok(8.0));
        assert!(crossing(&[(1.0, 5.0), (2.0, 5.0), (3.0, 5.0), (4.0, 5.1)], 0.5).is_err());
        assert!(crossing(&[], 0.5).is_err());
    }

    #[test]
    fn counts_of_sets_are_powers_of_two() {
        assert_eq!(power_of_two(1890.0), Ok(2048.0));
        assert_eq!(power_of_two(2300.0), Ok(2048.0));
        assert!(power_of_two(1448.0).is_err());
        assert!(power_of_two(0.0).is_err());
        assert!(power_of_two(f64::NAN).is_err());
    }

    #[test]
    fn lines_have_a_size_and_come_in_whole() {
        for bytes in [32.0, 64.0, 128.0, 256.0] {
            assert_eq!(line_size(bytes, None), Ok(bytes));
        }
        assert_eq!(line_size(192.0, Some(64)), Ok(192.0));
        for (bytes, claimed) in [(68.0, Some(64)), (84.0, None), (192.0, None), (0.0, Some(64))] {
            assert!(line_size(bytes, claimed).unwrap_err().contains("no line"), "{bytes}");
        }
        assert!(line_size(f64::NAN, Some(64)).is_err() && line_size(72.0, Some(0)).is_err());
    }

    #[test]
    fn a_curve_is_left_where_two_points_in_a_row_are_high() {
        let curve = |values: &[f64]| -> Vec<(f64, f64)> {
            values.iter().enumerate().map(|(i, &v)| (i as f64 + 1.0, v)).collect()
        };
        // A stray point is none; what lies behind the step, however low, does not matter.
        let steps = curve(&[4.0, 4.1, 9.0, 4.0, 4.0, 26.0, 20.0, 14.0, 4.0, 4.0]);
        assert_eq!(last_before(&steps, 1.0), Ok(5.0));
        assert!(last_before(&curve(&[4.0; 9]), 1.0).is_err());
        assert!(last_before(&curve(&[9.0, 9.0, 4.0, 4.0, 4.0, 4.0]), 1.0).is_err());
        assert!(last_before(&[], 1.0).is_err());
    }

    #[test]
    fn a_value_at_a_share_of_the_rate_lies_between_its_neighbours() {
        // Delay 0 gives the highest rate; the order of the delays does not matter.
        let latency = [(0.0, 300.0), (10.0, 150.0), (100.0, 100.0)];
        let rates = [(0.0, 40.0), (10.0, 30.0), (100.0, 10.0)];
        assert_eq!(at_share(&latency, &rates, 0.75), Ok(150.0));
        assert_eq!(at_share(&latency, &rates, 0.5), Ok(125.0));
        assert!(at_share(&latency, &rates, 0.2).is_err());
        assert!(at_share(&latency, &[], 0.5).is_err());
    }

    #[test]
    fn a_line_is_found() {
        let line = fit_line(&[(0.0, 3.0), (1.0, 5.0), (2.0, 7.0)]).unwrap();
        assert!((line.slope - 2.0).abs() < 1e-12 && (line.intercept - 3.0).abs() < 1e-12);
        assert_eq!(fit_line(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(fit_line(&[]), None);
    }

    #[test]
    fn steps_are_found_in_both_directions_despite_a_stray() {
        let mut down: Vec<(f64, f64)> =
            (1..32).map(|i| (f64::from(i) * 8.0, if i < 8 { 50.0 } else { 5.0 })).collect();
        assert_eq!(step(&down, false), Ok(64.0));
        down[20].1 = 50.0;
        assert_eq!(step(&down, false), Ok(64.0));
        let up: Vec<(f64, f64)> = down.iter().map(|&(x, y)| (x, 100.0 / y)).collect();
        assert_eq!(step(&up, true), Ok(64.0));
        assert!(step(&up, false).is_err());
        let flat: Vec<(f64, f64)> = (1..32).map(|i| (f64::from(i), 5.0)).collect();
        assert!(step(&flat, true).unwrap_err().contains("no step"));
        assert!(step(&[], true).is_err());
    }

    #[test]
    fn borders_are_found_despite_strays_and_holes() {
        let at = |line: u32| {
            let cost = |o: u32| if o % line > line - 8 { 5.0 } else { 4.0 };
            (0..131).map(|i| (f64::from(i * 2), cost(i * 2))).collect::<Vec<_>>()
        };
        for line in [32, 64, 128] {
            assert_eq!(borders(&at(line), 8.0), Ok(f64::from(line)));
        }
        let mut spoiled = at(64);
        spoiled.retain(|p| ![58.0, 124.0, 186.0].contains(&p.0));
        spoiled.iter_mut().step_by(6).for_each(|p| p.1 += 1.3);
        assert_eq!(borders(&spoiled, 8.0), Ok(64.0));
        let flat: Vec<(f64, f64)> = (0..131).map(|i| (f64::from(i * 2), 4.0)).collect();
        assert!(borders(&flat, 8.0).is_err());
        assert!(borders(&[], 8.0).is_err());
    }

    #[test]
    fn the_mode_is_the_most_frequent() {
        assert_eq!(mode(&[64.0, 128.0, 64.0]), Some((64.0, 2)));
        assert_eq!(mode(&[]), None);
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_its_values(values in prop::collection::vec(-1e9..1e9_f64, 1..50), q in 0.0..=1.0) {
            let x = quantile(&values, q).unwrap();
            prop_assert!(values.iter().any(|&v| v <= x) && values.iter().any(|&v| v >= x));
        }

        #[test]
        fn quantiles_do_not_depend_on_order(mut values in prop::collection::vec(-1e9..1e9_f64, 1..50), q in 0.0..=1.0) {
            let before = quantile(&values, q);
            values.reverse();
            prop_assert_eq!(before, quantile(&values, q));
        }

        #[test]
        fn a_line_through_exact_points_is_exact(slope in -10.0..10.0_f64, intercept in -10.0..10.0_f64) {
            let points: Vec<(f64, f64)> = (0..6).map(|x| (f64::from(x), intercept + slope * f64::from(x))).collect();
            let line = fit_line(&points).unwrap();
            prop_assert!((line.slope - slope).abs() < 1e-9 && (line.intercept - intercept).abs() < 1e-9);
        }

        #[test]
        fn any_clear_step_is_found(at in 2_usize..38, low in 1.0..100.0_f64, factor in 1.3..50.0_f64, rising: bool) {
            let curve: Vec<(f64, f64)> = (0..40)
                .map(|i| (i as f64, if (i >= at) == rising { low * factor } else { low }))
                .collect();
            // A step in the outermost tenth is indistinguishable from strays.
            prop_assume!((5..36).contains(&at));
            prop_assert_eq!(step(&curve, rising), Ok(at as f64));
        }

        #[test]
        fn nothing_panics_on_any_numbers(values in prop::collection::vec(prop::num::f64::ANY, 0..60)) {
            let curve: Vec<(f64, f64)> = values.iter().enumerate().map(|(i, &v)| (i as f64, v)).collect();
            let _ = (step(&curve, true), borders(&curve, 8.0), fit_line(&curve), mode(&values));
        }
    }
}
