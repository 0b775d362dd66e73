//! Points → metrics, when a card is read. Nothing here measures, and nothing here knows a probe:
//! each declared metric says itself how it is derived.

pub mod counters;
mod derive;
mod levels;
pub mod proofs;

use std::collections::BTreeMap;

use crate::declare::{Better, Derive, Level, Metric, NoiseClass, ReportOnly, Select, Unit};
use serde::{Deserialize, Serialize};

use crate::estimate::median;
use crate::file::{Card, Tool};
use crate::format;
use crate::series::{self, Met, RoundValue, Spread};
use derive::Rounds;

/// What a metric is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Measured, and the rounds agree.
    Ok,
    /// Measured, but the rounds disagree by more than 5 %, or too few samples were clean.
    Noisy,
    /// Not measured; `reason` says why.
    Unavailable,
    /// Two methods disagree; `reason` says which.
    Inconsistent,
}

impl State {
    /// The word on the card.
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Noisy => "noisy",
            State::Unavailable => "unavailable",
            State::Inconsistent => "inconsistent",
        }
    }
}

/// How far the rounds that count differ, relative to the number: what another run may differ by. Few
/// rounds differ by less than more of them would: what counts is what five would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grade {
    /// By 5 % at most.
    #[serde(rename = "within_5")]
    Within5,
    /// By 25 % at most.
    #[serde(rename = "within_25")]
    Within25,
    /// By more: an order of magnitude.
    #[serde(rename = "wider")]
    Wider,
}

/// A metric of one card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Stable id.
    #[serde(skip)]
    pub id: String,
    /// `None` when unavailable.
    pub value: Option<f64>,
    /// Lower end of the spread between rounds.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Unit of all three.
    pub unit: Unit,
    /// What it is worth.
    pub state: State,
    /// How far the rounds differ; `None` without a number, and of one round.
    pub grade: Option<Grade>,
    /// The values that it was met at, in ascending order, if there are several: `value` is that of the
    /// largest share, `low` and `high` are over all rounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Met>,
    /// Why it is not `ok`, or a note on how it was derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason says no more than the interval does.
    #[serde(skip)]
    pub only_differs: bool,
    /// Component family.
    pub family: String,
    /// Noise class.
    pub tier: NoiseClass,
    /// Which direction is good.
    pub better: Better,
    /// Rounds that contributed.
    pub rounds: u32,
    /// What each of them says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each_round: Vec<f64>,
    /// Why it never says by itself that a machine got worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_only: Option<ReportOnly>,
    /// The probe it comes from.
    pub probe: String,
    /// What it says, in one line.
    pub summary: String,
}

/// All metrics of a card, in the order of the declarations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(pub Vec<Value>);

impl Metrics {
    /// By id.
    pub fn get(&self, id: &str) -> Option<&Value> {
        self.0.iter().find(|v| v.id == id)
    }

    /// The number, if there is one.
    pub fn number(&self, id: &str) -> Option<f64> {
        self.get(id).and_then(|v| v.value)
    }
}

/// Rounds that differ by no more than this, relative to the number, agree; more makes a metric noisy.
const AGREE: f64 = 0.05;

/// Up to this they tell at least how much it is.
const ROUGHLY: f64 = 0.25;

/// Share of the rounds that must give a value.
const LEAST_ROUNDS: f64 = 0.6;

/// Share of the rounds that must agree on a property. Of a sweep with four sizes an octave three rounds
/// of five do so by chance.
const AGREEING_ROUNDS: f64 = 0.75;

/// How many times as far as so few rounds differ five of them do, on average: the expected range of
/// normal samples is 1.13, 1.69, 2.06 and 2.33 standard deviations of two to five. One tells nothing.
const STRETCH: [f64; 4] = [f64::INFINITY, 2.06, 1.38, 1.13];

/// The same of two rounds that are to show that all agree: every tenth pair lies within 0.18 standard
/// deviations by chance.
const STRETCH_OF_TWO: f64 = 13.1;

/// Rounds that agree on a property differ by no more than this, relative to their median.
const SAME: f64 = 0.02;

/// The sweeps have four sizes an octave.
const SIZE_STEP: f64 = 1.189;

/// A property is a count: where enough rounds agree on it, the others are wrong and not a spread.
fn agreeing(better: Better, rounds: Vec<&RoundValue>) -> (Vec<&RoundValue>, usize) {
    let all = rounds.len();
    let values: Vec<f64> = rounds.iter().map(|r| r.value).collect();
    let Some(middle) = median(&values).filter(|_| better == Better::Same) else {
        return (rounds, 0);
    };
    let close = |r: &&&RoundValue| (r.value / middle - 1.0).abs() <= SAME;
    let same: Vec<&RoundValue> = rounds.iter().filter(close).copied().collect();
    let enough = same.len() >= 3 && same.len() as f64 >= AGREEING_ROUNDS * all as f64;
    let strays = all - same.len();
    if enough { (same, strays) } else { (rounds, 0) }
}

/// Evaluates every declared metric.
pub fn evaluate(card: &Card) -> Metrics {
    let values = card.header.declarations.iter().flat_map(|declaration| {
        let rounds = Rounds::of(card, declaration);
        let verdicts = proofs::verdicts(card, declaration);
        declaration.metrics.iter().map(move |metric| {
            let value = value(card, &declaration.probe, metric, &rounds);
            match proofs::refuted(&verdicts, &metric.id) {
                Some(reason) if value.value.is_some() => {
                    Value { state: State::Inconsistent, reason: Some(reason), ..value }
                }
                _ => value,
            }
        })
    });
    Metrics(values.collect())
}

/// The numbers of those of these metrics that the card has so far.
pub fn numbers(card: &Card, ids: &[&str]) -> BTreeMap<String, f64> {
    let wanted = card.header.declarations.iter().flat_map(|declaration| {
        let rounds = Rounds::of(card, declaration);
        let metrics = declaration.metrics.iter().filter(|m| ids.contains(&m.id.as_ref()));
        metrics
            .filter_map(|m| {
                Some((m.id.to_string(), value(card, &declaration.probe, m, &rounds).value?))
            })
            .collect::<Vec<_>>()
    });
    wanted.collect()
}

fn value(card: &Card, probe: &str, metric: &Metric, rounds: &Rounds<'_>) -> Value {
    let mut value = Value {
        id: metric.id.to_string(),
        value: None,
        low: None,
        high: None,
        unit: metric.unit,
        state: State::Unavailable,
        grade: None,
        states: Vec::new(),
        reason: None,
        only_differs: false,
        family: metric.family.to_string(),
        tier: metric.tier,
        better: metric.better,
        rounds: 0,
        each_round: Vec::new(),
        report_only: metric.report_only,
        probe: probe.to_owned(),
        summary: metric.summary.to_string(),
    };
    if let Some(word) = unknown_word(metric) {
        let Tool { name, version, revision } = &card.header.tool;
        value.reason = Some(format!(
            "this version does not know {word}: read it with {name} {version} ({revision}), which \
             wrote the card, or a later one"
        ));
        return value;
    }
    let outcome = rounds.evaluate(metric);
    let (used, enough) = series::counted(&outcome.values);
    let planned = outcome.rounds.max(1);
    let (used, strays) = agreeing(metric.better, used);
    let Some(Spread { value: middle, low, high, states }) = Spread::of(&used, metric.better) else {
        if outcome.split || outcome.implausible {
            value.state = State::Inconsistent;
        }
        value.reason = Some(why_nothing(card, probe, &metric.id, outcome.errors));
        return value;
    };
    let middle = outcome.together.unwrap_or(middle);
    if !metric.unit.allows(middle) {
        value.state = State::Inconsistent;
        let middle = format::quantity(middle, metric.unit);
        value.reason =
            Some(format!("what comes of the rounds, {middle}, no machine can have given"));
        return value;
    }
    let (low, high) = (low.min(middle), high.max(middle));
    (value.value, value.low, value.high) = (Some(middle), Some(low), Some(high));
    if let Derive::Capacity(..) = metric.from {
        // The level ends between this size and the next one of the sweep.
        value.high = Some(high * SIZE_STEP);
    }
    value.rounds = u32::try_from(used.len()).unwrap_or(u32::MAX);
    value.each_round = used.iter().map(|round| round.value).collect();
    value.states = states;
    let spread = high - low;
    let grade = grade(spread, used.len(), middle, metric.unit);
    value.grade = grade;
    (value.state, value.reason) = if outcome.split {
        (State::Inconsistent, outcome.errors.into_iter().next())
    } else if !enough {
        let total = outcome.values.len();
        let reason = format!("fewer than two of {total} rounds had enough undisturbed samples");
        (State::Noisy, Some(reason))
    } else if (used.len() as f64) < LEAST_ROUNDS * planned as f64 {
        (State::Noisy, Some(format!("only {} of {planned} rounds gave a value", used.len())))
    } else if grade.is_none() {
        (State::Noisy, Some("one round tells nothing of how far another would differ".into()))
    } else if grade > Some(Grade::Within5) {
        let relative = 100.0 * spread / middle.abs();
        let reason = if middle == 0.0 {
            "the rounds disagree".to_owned()
        } else {
            format!("{} rounds differ by {relative:.1} %", used.len())
        };
        value.only_differs = middle != 0.0;
        (State::Noisy, Some(reason))
    } else {
        let strays = (strays > 0).then(|| format!("{} of {planned} rounds agree", used.len()));
        (State::Ok, outcome.notes.into_iter().next().or(strays))
    };
    if value.state == State::Noisy
        && let Some(own) = own_cause(card, probe)
    {
        value.reason = value.reason.map(|reason| format!("{own}; {reason}"));
        value.only_differs = false;
    }
    value
}

/// What a later version says of a metric and this one does not know.
fn unknown_word(metric: &Metric) -> Option<&'static str> {
    match metric {
        Metric { from: Derive::Unknown, .. } => Some("how it is derived"),
        Metric { unit: Unit::Unknown, .. } => Some("its unit"),
        Metric { better: Better::Unknown, .. } => Some("which direction of it is good"),
        _ => None,
    }
}

/// What the run did to the probe itself, which comes before what others may have done.
fn own_cause(card: &Card, probe: &str) -> Option<String> {
    card.throttled(|of| of == probe).by(card.header.machine.cpu_quota())
}

/// The grade of a spread of so many rounds around a number: what five rounds would have. `None` of one.
fn grade(spread: f64, rounds: usize, middle: f64, unit: Unit) -> Option<Grade> {
    let stretch = STRETCH.get(rounds.checked_sub(1)?).copied().unwrap_or(1.0);
    let none = if middle.abs() <= negligible(unit) { negligible(unit) } else { 0.0 };
    let within = |share: f64, stretch: f64| spread * stretch <= (share * middle.abs()).max(none);
    let to_agree = if rounds == 2 { STRETCH_OF_TWO } else { stretch };
    (rounds > 1).then(|| {
        if within(AGREE, to_agree) {
            Grade::Within5
        } else if within(ROUGHLY, stretch) {
            Grade::Within25
        } else {
            Grade::Wider
        }
    })
}

/// Differences that no one acts on, whatever they are relative to, where the number itself is no more:
/// of metrics whose usual value is zero.
fn negligible(unit: Unit) -> f64 {
    match unit {
        Unit::Cycles => 0.05,
        Unit::Ratio => 0.002,
        // One reading of the clock takes 0.04 ms.
        Unit::Ms => 0.1,
        _ => 0.0,
    }
}

/// The best reason there is: what was skipped or failed, else what the derivation said.
fn why_nothing(card: &Card, probe: &str, id: &str, errors: Vec<String>) -> String {
    let failed = card.fails.iter().find(|f| f.probe == probe).map(|f| f.how.clone());
    let ran = card.points.iter().any(|p| p.probe == probe);
    let skipped = card
        .skips
        .iter()
        // A probe that ran otherwise names the metrics that it skipped a part of itself for.
        .find(|s| s.probe == probe && (!ran || s.names(id)))
        .map(|s| format!("needs {}: {}", s.need, s.reason));
    skipped
        .or(if ran { None } else { failed.clone() })
        .or_else(|| {
            let error = errors.into_iter().next()?;
            Some(match own_cause(card, probe) {
                Some(own) => format!("{own}; {error}"),
                None => error,
            })
        })
        .or(failed)
        .unwrap_or_else(|| format!("{probe} was not measured in this run"))
}

/// A level of the memory hierarchy found on the latency curve, all rounds taken together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// Which.
    pub level: Level,
    /// Smallest working set on it, bytes.
    pub from: f64,
    /// Largest working set on it, bytes: the effective capacity (for DRAM the end of the sweep).
    pub to: f64,
    /// Its height in ns.
    pub ns: f64,
}

/// The levels of the curve of the selected points: medians over the rounds that saw them.
pub fn plateaus(card: &Card, probe: &str, select: &Select) -> Vec<Plateau> {
    let declared = card.header.declarations.iter().filter(|d| d.probe == probe);
    let found: Vec<levels::Found> =
        declared.flat_map(|declared| Rounds::of(card, declared).levels(select)).collect();
    [Level::L1, Level::L2, Level::L3, Level::Dram]
        .into_iter()
        .filter_map(|level| {
            let of = |get: fn(&levels::Found) -> f64| {
                median(&found.iter().filter(|f| f.level == level).map(get).collect::<Vec<_>>())
            };
            Some(Plateau {
                level,
                from: of(|f| f.from)?,
                to: of(|f| f.capacity)?,
                ns: of(|f| f.ns)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
