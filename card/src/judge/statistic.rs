//! The arithmetic: from the rounds of two sides to a change, and how large one would have to be.
//!
//! All of it on the logarithm, turned so that more is worse: equal factors are equal steps. 0.05 is
//! 5 % more time, or the rate of a twentieth less.

use crate::declare::Better;
use crate::estimate::{median, quantile};

/// One card's rounds of one metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rounds {
    /// As they came.
    pub(super) each: Vec<f64>,
    /// The middle one.
    pub(super) median: f64,
    /// The best.
    pub(super) best: f64,
    /// Square of their spread, if there are two or more.
    pub(super) variance: Option<f64>,
    /// How many.
    pub(super) count: f64,
}

impl Rounds {
    /// Of values all of which are above zero, and of which less or more is better.
    pub(super) fn of(values: &[f64], better: Better) -> Option<Rounds> {
        let sign = match better {
            Better::Lower => 1.0,
            Better::Higher => -1.0,
            Better::Same | Better::Unknown => return None,
        };
        let y: Vec<f64> = values.iter().map(|v| sign * v.ln()).collect();
        y.iter().all(|y| y.is_finite()).then(|| Rounds::on_the_logarithm(y)).flatten()
    }

    fn on_the_logarithm(each: Vec<f64>) -> Option<Rounds> {
        let mut y = each.clone();
        y.sort_unstable_by(f64::total_cmp);
        let variance = spread(&y).map(|spread| spread * spread);
        let (best, count) = (*y.first()?, y.len() as f64);
        Some(Rounds { each, median: median(&y)?, best, variance, count })
    }

    /// The rounds of a group on one card: of each round the median over its metrics, each of which is
    /// held against its own centre.
    pub(super) fn of_group(metrics: &[(&Rounds, f64)]) -> Option<Rounds> {
        let longest = metrics.iter().map(|(rounds, _)| rounds.each.len()).max()?;
        let of_round = |round: usize| {
            let off = |(rounds, centre): &(&Rounds, f64)| Some(rounds.each.get(round)? - centre);
            median(&metrics.iter().filter_map(off).collect::<Vec<f64>>())
        };
        Rounds::on_the_logarithm((0..longest).filter_map(of_round).collect())
    }
}

/// A standard deviation of a few sorted values that one of them cannot spoil: of the middle ones, by
/// what these differ in normal samples of that size.
fn spread(sorted: &[f64]) -> Option<f64> {
    let y = |place: usize| sorted[place - 1];
    Some(match sorted.len() {
        0 | 1 => return None,
        2 => (y(2) - y(1)) / 1.13,
        3 => (y(3) - y(1)) / 1.69,
        4 => 0.7 * (y(3) - y(2)) / 0.594 + 0.3 * (y(4) - y(1)) / 2.06,
        5 => (y(4) - y(2)) / 0.99,
        _ => (quantile(sorted, 0.75)? - quantile(sorted, 0.25)?) / 1.2,
    })
}

/// How noisy a metric is, beside what its own rounds say. Shares of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Noise {
    /// What rounds differ by, as was learned.
    pub(super) rounds: f64,
    /// What sessions differ by beyond that.
    pub(super) between: f64,
    /// No smaller change counts.
    pub(super) floor: f64,
}

/// So many degrees of freedom is what was learned worth, beside one less than the rounds at hand.
const WORTH: f64 = 4.0;

/// Variance of a median, in variances of what it is of.
const OF_MEDIAN: f64 = std::f64::consts::FRAC_PI_2;

/// Standard errors beyond which a change is one. The largest of 72 runs that had none was 4.8 before
/// the floor and the best rounds were asked, and 0.9 limits after.
const ERRORS: f64 = 4.0;

/// The same for the median of a group, whose errors are those of whole runs.
const GROUP_ERRORS: f64 = 3.0;

/// A change with how large it must be to be one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    /// Of the middle rounds: what a group's median is made of.
    pub(super) middle: f64,
    /// That on which the middle and the best rounds agree, or zero.
    pub(super) agreed: f64,
    /// What it must be beyond.
    pub(super) limit: f64,
}

/// From the cards of the baseline to those at hand.
pub(super) fn change(now: &[Rounds], base: &[Rounds], noise: &Noise) -> Option<Change> {
    let of = |cards: &[Rounds], get: fn(&Rounds) -> f64| {
        median(&cards.iter().map(get).collect::<Vec<f64>>())
    };
    let middle = of(now, |rounds| rounds.median)? - of(base, |rounds| rounds.median)?;
    let best = of(now, |rounds| rounds.best)? - of(base, |rounds| rounds.best)?;
    let agreed = if middle.signum() == best.signum() {
        middle.signum() * middle.abs().min(2.0 * best.abs())
    } else {
        0.0
    };
    let variance = |cards: &[Rounds]| {
        let rounds: f64 = cards.iter().map(|rounds| rounds.count).sum();
        let of_sessions = noise.between * noise.between / cards.len() as f64;
        of_sessions + OF_MEDIAN * moderated(cards, noise) / rounds
    };
    let error = (variance(now) + variance(base)).sqrt();
    Some(Change { middle, agreed, limit: noise.floor.max(ERRORS * error) })
}

/// What one card of so many rounds must change by against a baseline of so many like it, if all of them
/// are as was learned.
pub(super) fn usual_limit(noise: &Noise, rounds: f64, cards: f64) -> f64 {
    let of_card = noise.between * noise.between + OF_MEDIAN * noise.rounds * noise.rounds / rounds;
    noise.floor.max(ERRORS * (of_card * (1.0 + 1.0 / cards)).sqrt())
}

/// A limit beyond this says nothing of a single metric.
pub(super) const BLIND: f64 = 0.25;

/// What rounds vary by: what was learned and what these cards say, by their worth.
fn moderated(cards: &[Rounds], noise: &Noise) -> f64 {
    let learned = noise.rounds * noise.rounds;
    let (sum, worth) =
        cards.iter().fold((WORTH * learned, WORTH), |(sum, worth), rounds| match rounds.variance {
            Some(variance) => (sum + (rounds.count - 1.0) * variance, worth + rounds.count - 1.0),
            None => (sum, worth),
        });
    sum / worth
}

/// What the median of a group must be beyond: `spread` from run to run as was learned, or what the
/// rounds of its cards say where these are noisier, and `between` sessions.
pub(super) fn group_limit(
    floor: f64,
    (spread, between): (f64, f64),
    (now, base): (&[Rounds], &[Rounds]),
) -> f64 {
    let variance = |cards: &[Rounds]| {
        let count = cards.len().max(1) as f64;
        let of_runs = OF_MEDIAN * own_variance(cards);
        (of_runs.max(spread * spread) + between * between) / count
    };
    floor.max(GROUP_ERRORS * (variance(now) + variance(base)).sqrt())
}

/// What the median over the rounds of one of these cards varies by, as the rounds of all of them say.
fn own_variance(cards: &[Rounds]) -> f64 {
    let known: Vec<f64> =
        cards.iter().filter_map(|rounds| Some(rounds.variance? / rounds.count)).collect();
    if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUIET: Noise = Noise { rounds: 0.01, between: 0.0, floor: 0.02 };

    fn lower(values: &[f64]) -> Rounds {
        Rounds::of(values, Better::Lower).unwrap()
    }

    #[test]
    fn the_spread_of_few_rounds_is_that_of_normal_samples() {
        let mut rng = fastrand::Rng::with_seed(7);
        // Twelve uniform numbers make a normal one.
        let mut normal = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        for count in 2..=11 {
            let spreads: Vec<f64> = (0..4000)
                .map(|_| {
                    let mut sample: Vec<f64> = (0..count).map(|_| normal()).collect();
                    sample.sort_unstable_by(f64::total_cmp);
                    spread(&sample).unwrap()
                })
                .collect();
            let mean = spreads.iter().sum::<f64>() / spreads.len() as f64;
            assert!((0.85..1.25).contains(&mean), "{count}: {mean}");
        }
        assert_eq!((spread(&[]), spread(&[1.0])), (None, None));
    }

    #[test]
    fn one_round_that_is_off_says_nothing() {
        let base = [lower(&[10.0; 5])];
        let off = change(&[lower(&[10.0, 10.0, 10.0, 10.0, 30.0])], &base, &QUIET).unwrap();
        assert_eq!((off.middle, off.agreed), (0.0, 0.0));
        // All rounds but the best one are worse: someone disturbed the run.
        let disturbed = change(&[lower(&[10.0, 13.0, 13.0, 13.0, 13.0])], &base, &QUIET).unwrap();
        assert!(disturbed.middle > 0.2 && disturbed.agreed == 0.0);
        let worse = change(&[lower(&[13.0; 5])], &base, &QUIET).unwrap();
        assert!((worse.agreed - 1.3_f64.ln()).abs() < 1e-12 && worse.agreed > worse.limit);
    }

    #[test]
    fn more_is_worse_of_times_and_better_of_rates() {
        let base = |better| [Rounds::of(&[100.0; 5], better).unwrap()];
        let now = |better| Rounds::of(&[110.0; 5], better).unwrap();
        let of = |better| change(&[now(better)], &base(better), &QUIET).unwrap().agreed;
        assert!(of(Better::Lower) > 0.09 && of(Better::Higher) < -0.09);
        assert_eq!(Rounds::of(&[1.0], Better::Same), None);
        for impossible in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Rounds::of(&[1.0, impossible], Better::Lower), None, "{impossible}");
        }
        assert!(Rounds::of(&[1e308, 1e-308], Better::Lower).is_some());
    }

    #[test]
    fn spread_learning_and_cards_decide_how_much_is_seen() {
        let limit = |now: &[f64], base: &[&[f64]], noise: Noise| {
            let base: Vec<Rounds> = base.iter().map(|values| lower(values)).collect();
            change(&[lower(now)], &base, &noise).unwrap().limit
        };
        let quiet: &[f64] = &[10.0; 5];
        let wild: &[f64] = &[8.0, 9.0, 10.0, 11.0, 12.0];
        let noisy = Noise { rounds: 0.2, ..QUIET };
        assert_eq!(limit(quiet, &[quiet], Noise { rounds: 0.0, ..QUIET }), QUIET.floor);
        assert!(limit(wild, &[quiet], QUIET) > limit(quiet, &[quiet], QUIET));
        assert!(limit(quiet, &[quiet], noisy) > limit(quiet, &[quiet], QUIET));
        assert!(limit(quiet, &[quiet; 5], noisy) < limit(quiet, &[quiet], noisy));
        // Five degrees of freedom of 100 say less than what was learned and they say together.
        let alone = limit(&[10.0], &[&[10.0]], noisy);
        assert!(alone > limit(quiet, &[quiet], noisy) && alone.is_finite());
    }

    #[test]
    fn the_usual_limit_is_that_of_cards_as_they_were_learned() {
        // Five rounds whose robust spread is what was learned.
        let y = 0.099_f64;
        let typical = lower(&[-y, -y / 2.0, 0.0, y / 2.0, y].map(f64::exp));
        let noise = Noise { rounds: y / 0.99, between: 0.01, floor: 0.02 };
        let base = vec![typical.clone(); 5];
        let limit = change(&[typical], &base, &noise).unwrap().limit;
        assert!((limit / usual_limit(&noise, 5.0, 5.0) - 1.0).abs() < 1e-6, "{limit}");
    }

    #[test]
    fn a_group_whose_rounds_differ_must_change_by_more() {
        let group = |of_rounds: &[f64]| {
            let metrics = [lower(of_rounds), lower(of_rounds), lower(&of_rounds[..2])];
            let centred: Vec<(&Rounds, f64)> = metrics.iter().map(|m| (m, m.median)).collect();
            Rounds::of_group(&centred).unwrap()
        };
        let (quiet, wild) = (group(&[10.0; 5]), group(&[8.0, 9.0, 10.0, 11.0, 12.0]));
        assert_eq!((quiet.count, quiet.median), (5.0, 0.0));
        let limit = |now: &Rounds, base: &[Rounds]| {
            group_limit(0.02, (0.01, 0.0), (std::slice::from_ref(now), base))
        };
        let usual = limit(&quiet, std::slice::from_ref(&quiet));
        assert!((usual - 3.0 * 0.02_f64.sqrt() * 0.1).abs() < 1e-9, "{usual}");
        assert!(limit(&wild, std::slice::from_ref(&quiet)) > 1.5 * usual);
        assert!(limit(&quiet, &[quiet.clone(), quiet.clone(), quiet.clone()]) < usual);
        assert_eq!(Rounds::of_group(&[]), None);
    }

    proptest! {
        #[test]
        fn a_change_is_finite_and_the_other_way_round_is_its_opposite(
            a in proptest::collection::vec(1e-3..1e9_f64, 1..11),
            b in proptest::collection::vec(1e-3..1e9_f64, 1..11),
        ) {
            let (a, b) = (lower(&a), lower(&b));
            let (a, b) = ([a], [b]);
            let there = change(&a, &b, &QUIET).unwrap();
            let back = change(&b, &a, &QUIET).unwrap();
            prop_assert!(there.agreed.is_finite() && there.limit >= QUIET.floor);
            prop_assert!((there.agreed + back.agreed).abs() < 1e-9);
            prop_assert!((there.limit - back.limit).abs() < 1e-9);
            prop_assert!(there.agreed.abs() <= there.middle.abs());
        }
    }
}
