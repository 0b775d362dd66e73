//! The points of a quantity by setting and round: the one way from samples to a number, for metrics,
//! curves and pictures alike.
//!
//! The samples of a round give one value, by the estimator that the quantity declares
//! ([`Quantities`]); the values of the rounds give the number and its interval ([`over_rounds`]).
//! Where samples or rounds gather at several values, the number is that of the largest state and
//! never one in between.
//! What is derived from two settings (a ratio, a difference) is derived in each round
//! ([`Setting::with`]), since what drifts drifts for both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::declare::{Better, Declaration, Estimator, Quantity, Select, Unit};
use crate::estimate::{MOST_STRAY_VALUES, State, middle, quantile, states, typical};
use crate::file::Card;
use crate::record::{Param, Params, Point, PointState};

/// What a probe declares of the quantities that it records.
#[derive(Clone, Copy, Debug)]
pub struct Quantities<'a>(&'a [Quantity]);

impl<'a> Quantities<'a> {
    /// Those of a declaration.
    pub fn of(declaration: &'a Declaration) -> Quantities<'a> {
        Quantities(&declaration.quantities)
    }

    /// Those of a probe of that card.
    pub fn in_card(card: &'a Card, probe: &str) -> Quantities<'a> {
        let declared = card.header.declarations.iter().find(|d| d.probe == probe);
        Quantities(declared.map_or(&[], |d| &d.quantities))
    }

    /// The statistic that stands for a point's samples: that of the narrowest declaration which the
    /// point is part of.
    pub fn estimator(self, point: &Point) -> Estimator {
        let matching = self.0.iter().filter(|q| q.at.holds(point));
        let narrowest = matching.max_by_key(|q| q.at.params.len());
        narrowest.map_or_else(|| usual(point.unit), |q| q.estimator)
    }

    /// Whether this version knows the unit and the estimator of a point.
    pub fn knows(self, point: &Point) -> bool {
        point.unit != Unit::Unknown && self.estimator(point) != Estimator::Unknown
    }

    /// The value of a round, in the unit of the samples.
    pub fn value(self, point: &Point) -> Option<f64> {
        let better = point.unit.usually_better();
        estimate(&point.samples, self.estimator(point), better).filter(|_| self.knows(point))
    }

    /// The same in core cycles, where it is a time with a known clock.
    pub fn cycles(self, point: &Point) -> Option<f64> {
        estimate(&point.cycles()?, self.estimator(point), Better::Lower)
    }
}

/// Noise takes from rates and adds to times: what cards of before there were declared quantities went
/// by.
pub fn usual(unit: Unit) -> Estimator {
    match unit {
        Unit::Ghz
        | Unit::Gbs
        | Unit::Gops
        | Unit::Gflops
        | Unit::PerCycle
        | Unit::BytesPerCycle => Estimator::UpperQuartile,
        _ => Estimator::LowerQuartile,
    }
}

/// That statistic of some samples, of which less or more is better.
pub fn estimate(samples: &[f64], estimator: Estimator, better: Better) -> Option<f64> {
    match estimator {
        Estimator::LowerQuartile => quantile(samples, 0.25),
        Estimator::UpperQuartile => quantile(samples, 0.75),
        Estimator::Median => typical(samples, better),
        Estimator::P99 => quantile(samples, 0.99),
        Estimator::Mean => {
            (!samples.is_empty()).then(|| samples.iter().sum::<f64>() / samples.len() as f64)
        }
        Estimator::Lowest => quantile(samples, 0.0),
        Estimator::Highest => quantile(samples, 1.0),
        Estimator::Unknown => None,
    }
}

impl Select {
    /// Whether a point is one of these.
    pub fn holds(&self, point: &Point) -> bool {
        point.quantity == self.quantity && self.fits(&point.params)
    }

    /// Whether parameters are those that are asked for.
    fn fits(&self, params: &Params) -> bool {
        self.params.iter().all(|(name, value)| match params.get(name.as_ref()) {
            Some(Param::Text(text)) => text == value,
            Some(number) => number.to_string() == *value,
            None => false,
        })
    }
}

/// What one round says.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundValue {
    /// Its number.
    pub value: f64,
    /// A point it rests on had too few clean samples.
    pub noisy: bool,
    /// The samples that it is the median of: what a scheduler or a host decides changes within a round
    /// too. Empty where noise only adds, and for what comes of several points.
    pub samples: Vec<f64>,
}

impl RoundValue {
    /// Whatever may gather at states.
    fn each(&self) -> &[f64] {
        if self.samples.is_empty() { std::slice::from_ref(&self.value) } else { &self.samples }
    }
}

/// Those of the rounds that count: one without enough clean samples only where there is nothing
/// better, and then the second is false.
pub fn counted(rounds: &[RoundValue]) -> (Vec<&RoundValue>, bool) {
    let (noisy, clean): (Vec<&RoundValue>, Vec<_>) = rounds.iter().partition(|r| r.noisy);
    let enough = clean.len() >= 2 || noisy.is_empty();
    (if enough { clean } else { [clean, noisy].concat() }, enough)
}

/// One of several values that a quantity was met at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Met {
    /// The middle of those near it.
    pub value: f64,
    /// Their part of all.
    pub share: f64,
    /// Rounds that met it.
    pub rounds: u32,
}

/// A number and the spread between rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle round, or the state with the largest share.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The states in ascending order, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Met>,
}

impl Spread {
    /// Of the rounds that count. With many of them the outermost are left out of the interval, so that
    /// a thorough run does not look worse than a quick one.
    pub fn of(used: &[&RoundValue], better: Better) -> Option<Spread> {
        let mut sorted: Vec<f64> = used.iter().map(|r| r.value).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let all: Vec<f64> = used.iter().flat_map(|round| round.each()).copied().collect();
        let states = met(used, &all);
        let value = match most(&states, better) {
            Some(state) => state.value,
            // What gathers is one collection, in pictures as well, whichever rounds it is from.
            None if all.len() > used.len() => typical(&all, better)?,
            None => middle(&sorted, better)?,
        };
        let cut = sorted.len() / 6;
        let (low, high) = (sorted[cut], sorted[sorted.len() - 1 - cut]);
        Some(Spread { value, low: low.min(value), high: high.max(value), states })
    }
}

/// The states that rounds met; none where there is but one. What one round alone met was a
/// disturbance, or just that round.
fn met(used: &[&RoundValue], all: &[f64]) -> Vec<Met> {
    let rounds = |state: &State| {
        let meets = |round: &&&RoundValue| round.each().iter().any(|v| state.holds(*v));
        used.iter().filter(meets).count()
    };
    let mut met: Vec<Met> = states(all)
        .iter()
        .map(|state| (state, rounds(state)))
        .filter(|(_, rounds)| *rounds >= used.len().min(2))
        .map(|(state, rounds)| Met {
            value: state.value,
            share: state.share,
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        })
        .collect();
    let inside: f64 = met.iter().map(|state| state.share).sum();
    if met.len() < 2 || inside <= 1.0 - MOST_STRAY_VALUES {
        met.clear();
    }
    met
}

/// The state with the largest share; of two alike the one of more rounds, then the better one.
fn most(states: &[Met], better: Better) -> Option<&Met> {
    let order = |a: &&Met, b: &&Met| {
        let value = a.value.total_cmp(&b.value);
        let better = if better == Better::Higher { value } else { value.reverse() };
        a.share.total_cmp(&b.share).then(a.rounds.cmp(&b.rounds)).then(better)
    };
    states.iter().max_by(order)
}

/// A number of several rounds, of which less or more is better.
pub fn over_rounds(rounds: &[RoundValue], better: Better) -> Option<Spread> {
    Spread::of(&counted(rounds).0, better)
}

/// One setting of a sweep, in all rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What was set.
    pub params: Params,
    /// The unit of the three numbers.
    pub unit: Unit,
    /// The middle round.
    pub value: f64,
    /// Lower end of the spread between rounds.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// A time in core cycles, where the clock beside it is known.
    pub cycles: Option<f64>,
    /// What the card notes on it.
    pub note: Option<String>,
    /// What each round says, by its number.
    rounds: BTreeMap<u32, Round>,
}

/// What a round says of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    value: f64,
    cycles: Option<f64>,
    noisy: bool,
}

impl Setting {
    pub(crate) fn of(
        quantities: Quantities<'_>,
        params: &Params,
        points: &[&Point],
    ) -> Option<Setting> {
        let unit = points.first()?.unit;
        let mut rounds = BTreeMap::new();
        let (mut recorded, mut in_cycles) = (BTreeMap::new(), BTreeMap::new());
        for point in points {
            let Some(value) = quantities.value(point) else { continue };
            let (cycles, noisy) = (quantities.cycles(point), point.state != PointState::Ok);
            let gathers = quantities.estimator(point) == Estimator::Median;
            let samples = |all: Vec<f64>| if gathers { all } else { Vec::new() };
            let own = samples(point.samples.clone());
            recorded.insert(point.round, RoundValue { value, noisy, samples: own });
            if let Some(value) = cycles {
                let samples = samples(point.cycles().unwrap_or_default());
                in_cycles.insert(point.round, RoundValue { value, noisy, samples });
            }
            rounds.insert(point.round, Round { value, cycles, noisy });
        }
        let over = |rounds: BTreeMap<u32, RoundValue>, better| {
            over_rounds(&rounds.into_values().collect::<Vec<RoundValue>>(), better)
        };
        let Spread { value, low, high, .. } =
            over(recorded, unit.usually_better()).filter(|s| s.low > 0.0)?;
        Some(Setting {
            params: params.clone(),
            unit,
            value,
            low,
            high,
            cycles: over(in_cycles, Better::Lower).map(|cycles| cycles.value),
            note: points.iter().find_map(|p| p.note.clone()),
            rounds,
        })
    }

    /// What comes of this setting and another one, in the rounds that have both; in cycles, which a
    /// wandering clock leaves alone, where they are known.
    pub fn with(
        &self,
        other: &Setting,
        better: Better,
        derive: impl Fn(f64, f64) -> f64,
    ) -> Option<Spread> {
        over_rounds(&self.each(other, derive), better)
    }

    /// The same for each of those rounds.
    pub fn each(&self, other: &Setting, derive: impl Fn(f64, f64) -> f64) -> Vec<RoundValue> {
        let both = self.rounds.iter().filter_map(|(round, a)| Some((a, other.rounds.get(round)?)));
        let value = |(a, b): (&Round, &Round)| {
            // Never a time of one by cycles of the other.
            let (one, other) = a.cycles.zip(b.cycles).unwrap_or((a.value, b.value));
            let noisy = a.noisy || b.noisy;
            RoundValue { value: derive(one, other), noisy, samples: Vec::new() }
        };
        both.map(value).collect()
    }

    /// A parameter as a number.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.params.get(name)? {
            Param::Int(n) => Some(*n),
            Param::Text(_) => None,
        }
    }

    /// A parameter as text.
    pub fn is(&self, name: &str, value: &str) -> bool {
        matches!(self.params.get(name), Some(Param::Text(text)) if text == value)
    }
}

/// Every setting at which a probe recorded a quantity, in the order of the parameters. Settings
/// without a finite, positive number are left out: no axis has a place for them.
pub fn settings(card: &Card, probe: &str, quantity: &str) -> Vec<Setting> {
    let mut by_params: BTreeMap<&Params, Vec<&Point>> = BTreeMap::new();
    for point in card.points.iter().filter(|p| p.probe == probe && p.quantity == quantity) {
        by_params.entry(&point.params).or_default().push(point);
    }
    let quantities = Quantities::in_card(card, probe);
    by_params.into_iter().filter_map(|(p, points)| Setting::of(quantities, p, &points)).collect()
}

/// One point of a curve over a parameter that is a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The parameter.
    pub x: f64,
    /// The middle round.
    pub value: f64,
    /// Lower end of the spread between rounds.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The selected settings of a probe against a parameter.
pub fn curve(card: &Card, probe: &str, select: &Select, x: &str) -> Vec<CurvePoint> {
    let settings = settings(card, probe, &select.quantity);
    let point = |s: &Setting| {
        let Setting { value, low, high, .. } = *s;
        Some(CurvePoint { x: s.int(x)? as f64, value, low, high })
    };
    let chosen = settings.iter().filter(|s| select.fits(&s.params));
    let mut curve: Vec<CurvePoint> = chosen.filter_map(point).collect();
    curve.sort_by(|a, b| a.x.total_cmp(&b.x));
    curve
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::declare::{Derive, Metric};
    use crate::metrics;

    /// A card that was measured.
    fn recorded() -> Card {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/sample");
        let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let card = files.find(|path| path.to_string_lossy().ends_with(".card.jsonl.zst")).unwrap();
        Card::read(&card).unwrap()
    }

    /// What a picture draws of a metric that is the number of one setting, or comes of two.
    fn drawn(card: &Card, probe: &str, metric: &Metric) -> Option<f64> {
        let cycles = !matches!(metric.unit, Unit::Ns | Unit::Gbs | Unit::Gops | Unit::Gflops);
        let one = |from: &Derive| {
            let Derive::Value(select, estimator) = from else { return None };
            let all = settings(card, probe, &select.quantity);
            let mut chosen = all.into_iter().filter(|s| select.fits(&s.params));
            let setting = chosen.next().filter(|_| chosen.next().is_none())?;
            let middle = [Estimator::LowerQuartile, Estimator::Median, Estimator::UpperQuartile];
            middle.contains(estimator).then_some(setting)
        };
        match &metric.from {
            from @ Derive::Value(..) => {
                let setting = one(from)?;
                Some(setting.cycles.filter(|_| cycles).unwrap_or(setting.value))
            }
            Derive::Quotient(parts) if cycles => {
                Some(one(&parts[0])?.with(&one(&parts[1])?, metric.better, |a, b| a / b)?.value)
            }
            _ => None,
        }
    }

    #[test]
    fn what_a_picture_draws_of_a_metric_is_the_number_of_the_metric() {
        let card = recorded();
        let all = metrics::evaluate(&card);
        let mut compared = 0;
        for declaration in &card.header.declarations {
            for metric in declaration.metrics.iter() {
                let value = all.get(&metric.id).unwrap();
                let Some(drawn) = drawn(&card, &declaration.probe, metric) else { continue };
                // Of a property the rounds that disagree are left out.
                if value.better != crate::declare::Better::Same {
                    assert_eq!(value.value, Some(drawn), "{}", metric.id);
                    compared += 1;
                }
            }
        }
        assert!(compared > 100, "{compared} numbers compared");
    }

    #[test]
    fn times_are_not_divided_by_cycles() {
        use crate::fixture::{blank, point, with};
        let mut card = blank("test");
        let at = |how: &str, ns: f64, ghz: &[f64]| {
            let point = with(point("p", "q", 0, Unit::Ns, vec![ns; 3]), &[("how", how.into())]);
            Point { core_ghz: ghz.to_vec(), ..point }
        };
        card.points = vec![at("a", 224.0, &[]), at("b", 14.0, &[3.7]), at("c", 28.0, &[7.4])];
        let all = settings(&card, "p", "q");
        let ratio =
            |one: usize, other: usize| all[one].with(&all[other], Better::Higher, |a, b| a / b);
        assert_eq!(ratio(0, 1).unwrap().value, 16.0);
        // Of two with a clock the cycles are compared: twice the time at twice the clock.
        assert!((ratio(2, 1).unwrap().value - 4.0).abs() < 1e-9);
    }

    fn round(value: f64) -> RoundValue {
        RoundValue { value, noisy: false, samples: Vec::new() }
    }

    fn over(values: &[f64], better: Better) -> Spread {
        over_rounds(&values.iter().map(|v| round(*v)).collect::<Vec<RoundValue>>(), better).unwrap()
    }

    #[test]
    fn the_number_of_several_states_is_that_of_the_largest() {
        let spread = over(&[2.17, 1.93, 2.17, 1.93, 2.17], Better::Lower);
        assert_eq!((spread.low, spread.value, spread.high), (1.93, 2.17, 2.17));
        let states = [(1.93, 0.4, 2), (2.17, 0.6, 3)].map(|(value, share, rounds)| Met {
            value,
            share,
            rounds,
        });
        assert_eq!(spread.states, states);
        // Of an even number of rounds none is averaged with one of another state.
        assert_eq!(over(&[1.93, 2.17, 1.93, 2.17], Better::Lower).value, 1.93);
        assert_eq!(over(&[1.93, 2.17, 1.93, 2.17], Better::Higher).value, 2.17);
        assert_eq!(over(&[10.0, 27.0], Better::Lower).value, 10.0);
        // One round of its own is none.
        let one = over(&[10.0, 10.0, 10.1, 10.1, 27.0], Better::Lower);
        assert_eq!((one.value, one.states.len()), (10.1, 0));
    }

    #[test]
    fn the_samples_of_all_rounds_show_states_that_no_round_decides() {
        let samples = |low: usize| [vec![10.0; low], vec![27.0; 10 - low]].concat();
        let gathered = |low: usize, value| RoundValue { samples: samples(low), ..round(value) };
        // Two rounds met little else than the near state, three slightly more of the far one.
        let near = [gathered(9, 10.0), gathered(9, 10.0)];
        let far = [gathered(4, 27.0), gathered(4, 27.0), gathered(4, 27.0)];
        let spread = over_rounds(&[&near[..], &far].concat(), Better::Lower).unwrap();
        assert_eq!((spread.low, spread.value, spread.high), (10.0, 10.0, 27.0));
        let shares: Vec<(f64, u32)> = spread.states.iter().map(|s| (s.share, s.rounds)).collect();
        assert_eq!(shares, [(0.6, 5), (0.4, 5)]);
        // Values of many kinds, each met again by some other round, are no states either.
        let kinds = |a: f64, b: f64| RoundValue { samples: vec![a, a, b, b], ..round(a) };
        let scattered = [kinds(10.0, 20.0), kinds(20.0, 40.0), kinds(80.0, 160.0)];
        assert!(over_rounds(&scattered, Better::Lower).unwrap().states.is_empty());
        // What one round alone met is that round, not a state.
        let odd = [gathered(10, 10.0), gathered(10, 10.0), gathered(0, 27.0)];
        let spread = over_rounds(&odd, Better::Lower).unwrap();
        assert_eq!((spread.value, spread.high, spread.states.len()), (10.0, 27.0, 0));
    }

    #[test]
    fn a_round_without_enough_clean_samples_counts_only_where_there_is_nothing_better() {
        let [first, second] = [1.0, 3.0].map(round);
        let noisy = RoundValue { noisy: true, ..round(9.0) };
        let two = [first.clone(), second.clone(), noisy.clone()];
        assert_eq!(counted(&two), (vec![&first, &second], true));
        assert_eq!(counted(&two[1..]), (vec![&second, &noisy], false));
        assert_eq!(over_rounds(&[], Better::Lower), None);
    }
}
