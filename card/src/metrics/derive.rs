//! One declared derivation, evaluated round by round.

use std::collections::{BTreeMap, BTreeSet};

use crate::counters::{Event, Missing};
use crate::declare::{
    Better, Declaration, Derive, Estimator, Level, Metric, Mode, Select, Text, Unit,
};
use crate::format::quantity;
use crate::machine::human_bytes;
use crate::record::{Param, Point, PointState};

use super::levels::{self, Found, Size};
use crate::estimate::{self as stats, State, fit_line, median, states};
use crate::file::Card;
use crate::reference;
use crate::series::{Quantities, RoundValue, estimate};

/// The points of one probe, by round.
#[derive(Debug)]
pub(super) struct Rounds<'a> {
    by_number: BTreeMap<u32, Vec<&'a Point>>,
    quantities: Quantities<'a>,
    last_cache: Option<u64>,
    line: Option<u64>,
    arch: Option<&'a str>,
    /// Events that could not be counted.
    missing: &'a [Missing],
}

/// What all rounds say.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) values: Vec<RoundValue>,
    pub(super) errors: Vec<String>,
    pub(super) notes: BTreeSet<String>,
    /// Several methods voted and found no majority.
    pub(super) split: bool,
    /// A round gave what cannot be.
    pub(super) implausible: bool,
    /// What the samples of all rounds say together, where the middle round would be wrong.
    pub(super) together: Option<f64>,
    /// Rounds that were looked at.
    pub(super) rounds: usize,
}

impl<'a> Rounds<'a> {
    pub(super) fn of(card: &'a Card, declaration: &'a Declaration) -> Rounds<'a> {
        let mut rounds: BTreeMap<u32, Vec<&Point>> = BTreeMap::new();
        for point in card.points.iter().filter(|p| p.probe == declaration.probe) {
            rounds.entry(point.round).or_default().push(point);
        }
        let machine = &card.header.machine;
        let arch = machine.cpu.microarchitecture.known().map(|arch| arch.key.as_str());
        let missing = &card.header.counters.missing;
        let quantities = Quantities::of(declaration);
        let (last_cache, line) = (machine.last_cache_bytes(), machine.claimed_line_bytes());
        Rounds { by_number: rounds, quantities, last_cache, line, arch, missing }
    }

    pub(super) fn evaluate(&self, metric: &Metric) -> Outcome {
        let mut outcome = Outcome { rounds: self.by_number.len(), ..Outcome::default() };
        let mut doubts = Vec::new();
        for points in self.by_number.values() {
            let mut context = Context::new(self, points, metric.unit);
            let value = context.derive(&metric.from);
            outcome.notes.append(&mut context.notes);
            outcome.split |= context.split;
            doubts.extend(context.doubt.clone());
            outcome.implausible |= context.implausible;
            match value {
                Ok(value) if value.is_finite() => {
                    let noisy = context.noisy || context.doubt.is_some();
                    let samples = context.gathered(&metric.from);
                    outcome.values.push(RoundValue { value, noisy, samples });
                }
                Ok(value) => outcome.errors.push(format!("the derivation gave {value}")),
                Err(reason) => outcome.errors.push(reason),
            }
        }
        // A round in doubt counts only where there is nothing better, as a noisy one does.
        if !doubts.is_empty() && doubts.len() == outcome.rounds {
            outcome.split = true;
            outcome.errors.splice(..0, doubts);
        }
        if let Derive::SlowShare(select) = &metric.from
            && !outcome.values.is_empty()
        {
            // Beside a slow value the middle one of the rounds' shares could be 0.
            let modes = Context::new(self, &[], metric.unit).modes(select);
            outcome.together = Some(modes.map_or(0.0, |(_, slow)| slow.share));
        }
        outcome
    }

    /// The levels of a curve in every round.
    pub(super) fn levels(&self, select: &Select) -> Vec<Found> {
        let found = |points: &Vec<&Point>| Context::new(self, points, Unit::Cycles).levels(select);
        self.by_number.values().flat_map(found).collect()
    }
}

struct Context<'a> {
    all: &'a Rounds<'a>,
    points: &'a [&'a Point],
    cycles: bool,
    /// A time without a known clock has no place in the result: its unit says cycles.
    clocked: bool,
    /// The value rests on the core's clock.
    by_clock: bool,
    noisy: bool,
    notes: BTreeSet<String>,
    split: bool,
    /// Why the core's clock is not known.
    doubt: Option<String>,
    bytes: bool,
    implausible: bool,
}

/// Share of the points of a curve that may be noisy before the whole curve is.
const MOST_NOISY: f64 = 0.2;

/// Votes that settle a matter.
const SURE_VOTES: usize = 3;

impl<'a> Context<'a> {
    fn new(all: &'a Rounds<'a>, points: &'a [&'a Point], unit: Unit) -> Context<'a> {
        // Whatever is not asked for in ns is compared in cycles, which a wandering clock leaves
        // alone.
        let cycles = !matches!(unit, Unit::Ns | Unit::Gbs | Unit::Gops | Unit::Gflops);
        let clocked = matches!(unit, Unit::Cycles | Unit::PerCycle | Unit::BytesPerCycle);
        let by_clock = clocked || unit == Unit::Ghz;
        let (notes, bytes, doubt) = (BTreeSet::new(), unit == Unit::Bytes, None);
        let [noisy, split, implausible] = [false; 3];
        Context {
            all,
            points,
            cycles,
            clocked,
            by_clock,
            noisy,
            notes,
            split,
            doubt,
            bytes,
            implausible,
        }
    }

    fn derive(&mut self, from: &Derive) -> Result<f64, String> {
        match from {
            Derive::Value(select, estimator) => self.value(select, *estimator),
            Derive::Plateau(select, level) => {
                let found = self.level(select, *level)?;
                Ok(if self.cycles { found.cycles } else { found.ns })
            }
            Derive::Capacity(select, level) => {
                let capacity = self.level(select, *level)?.capacity;
                let next = self.levels(select).iter().any(|f| f.level > *level);
                next.then_some(capacity)
                    .ok_or_else(|| "the sweep ended before this level did".into())
            }
            Derive::Borders(select, x, width) => {
                let step = stats::borders(&self.curve(select, x)?, *width)?;
                self.plausible(step)
            }
            Derive::StepDown(select, x) => {
                let step = stats::step(&self.curve(select, x)?, false)?;
                self.plausible(step)
            }
            Derive::StepUp(select, x) => {
                let step = stats::step(&self.curve(select, x)?, true)?;
                self.plausible(step)
            }
            Derive::Vote(methods) => self.vote(methods),
            Derive::Slope(select, x) => Ok(self.line(select, x)?.slope),
            Derive::Intercept(select, x) => Ok(self.line(select, x)?.intercept),
            Derive::ModeValue(select, mode) => self.mode_value(select, *mode),
            Derive::SlowShare(select) => self.slow_share(select),
            Derive::Difference(parts) => self.pair(parts).map(|(a, b)| a - b),
            Derive::Quotient(parts) => self.pair(parts).map(|(a, b)| a / b),
            Derive::Times(factor, part) => {
                let [part] = &part[..] else { return Err(malformed()) };
                Ok(self.derive(part)? * factor)
            }
            Derive::Lowest(select) => {
                self.estimates(select)?.into_iter().min_by(f64::total_cmp).ok_or_else(infinite)
            }
            Derive::Highest(select) => {
                self.estimates(select)?.into_iter().max_by(f64::total_cmp).ok_or_else(infinite)
            }
            Derive::Rate(amount, time) => {
                let [time] = &time[..] else { return Err(malformed()) };
                Ok(amount / self.derive(time)?)
            }
            Derive::LastBefore(select, x, rise) => {
                stats::last_before(&self.curve(select, x)?, *rise)
            }
            Derive::Crossing(select, x, share) => stats::crossing(&self.curve(select, x)?, *share),
            Derive::Product(parts) => {
                parts.iter().try_fold(1.0, |product, part| Ok(product * self.derive(part)?))
            }
            Derive::PowerOfTwo(of) => {
                let [of] = &of[..] else { return Err(malformed()) };
                stats::power_of_two(self.derive(of)?)
            }
            Derive::Count(select, event) => self.count(select, *event),
            Derive::OfPublished(part, id) => {
                let [part] = &part[..] else { return Err(malformed()) };
                let limit = self.all.arch.and_then(|key| reference::published(key, id));
                let limit = limit.ok_or("nothing is published for this microarchitecture")?;
                Ok(self.derive(part)? / limit.high)
            }
            Derive::AtShare(curve, rates, x, share) => {
                let (curve, rates) = (self.curve(curve, x)?, self.curve(rates, x)?);
                stats::at_share(&curve, &rates, *share)
            }
            Derive::Unknown => Err(malformed()),
        }
    }

    /// A step in bytes is the size of a line, or none.
    fn plausible(&mut self, step: f64) -> Result<f64, String> {
        let line = stats::line_size(step, self.all.line);
        let line = if self.bytes { line } else { Ok(step) };
        self.implausible |= line.is_err();
        line
    }

    fn pair(&mut self, parts: &[Derive]) -> Result<(f64, f64), String> {
        let [first, second] = parts else { return Err(malformed()) };
        // Cycles of the one and nanoseconds of the other would be a quotient of nothing.
        let cycles = self.cycles;
        self.cycles &= self.clocked || parts.iter().all(|part| self.has_clock(part));
        let both = self.derive(first).and_then(|first| Ok((first, self.derive(second)?)));
        self.cycles = cycles;
        both
    }

    /// Whether all times that this comes from are known in cycles too.
    fn has_clock(&self, from: &Derive) -> bool {
        let selects = from.points();
        let chosen = self.points.iter().filter(|p| selects.iter().any(|select| select.holds(p)));
        let mut times = chosen.filter(|p| p.unit == Unit::Ns && !p.samples.is_empty());
        times.all(|point| point.cycles().is_some())
    }

    /// A value of a clock that is not known is one of several that are possible.
    fn heed_doubts(&mut self, chosen: &[&Point]) {
        if self.by_clock {
            self.doubt = chosen.iter().find_map(|p| p.clock_doubt.clone()).or(self.doubt.take());
        }
    }

    /// What stands for a point, by the estimator of its quantity; a time in cycles if wanted and
    /// possible.
    fn estimate(&self, point: &Point, cycles: bool) -> Option<f64> {
        let quantities = self.all.quantities;
        let known = quantities.knows(point);
        let better = point.unit.usually_better();
        estimate(&converted(point, cycles), quantities.estimator(point), better).filter(|_| known)
    }

    /// The selected points, of which there is at least one with a sample; without times whose clock
    /// is not known where cycles are asked for.
    fn chosen(&mut self, select: &Select) -> Result<Vec<&'a Point>, String> {
        let mut chosen: Vec<&Point> =
            self.points.iter().copied().filter(|p| select.holds(p)).collect();
        if chosen.is_empty() {
            return Err(format!("no {} was recorded", described(select)));
        }
        self.heed_doubts(&chosen);
        if !chosen.iter().all(|p| self.all.quantities.knows(p)) {
            return Err(format!(
                "{} was recorded in a unit, or with an estimator, that this version does not know",
                described(select)
            ));
        }
        if chosen.iter().all(|p| p.samples.is_empty()) {
            return Err(format!(
                "no sample of {} was accepted: {}",
                described(select),
                why(&chosen)
            ));
        }
        if self.clocked {
            chosen.retain(|p| p.unit != Unit::Ns || p.cycles().is_some());
        }
        if chosen.is_empty() {
            return Err(format!("the core clock beside {} is not known", described(select)));
        }
        Ok(chosen)
    }

    /// All samples of the selected points together. Clean points are preferred to noisy ones.
    fn samples(&mut self, select: &Select) -> Result<Vec<f64>, String> {
        let chosen = self.chosen(select)?;
        self.notes.extend(chosen.iter().filter_map(|p| p.note.clone()));
        let clean: Vec<&Point> =
            chosen.iter().copied().filter(|p| p.state == PointState::Ok).collect();
        let used = if clean.is_empty() { &chosen } else { &clean };
        self.noisy |= clean.is_empty();
        Ok(used.iter().flat_map(|p| converted(p, self.cycles)).collect())
    }

    fn value(&mut self, select: &Select, estimator: Estimator) -> Result<f64, String> {
        let samples = self.samples(select)?;
        let unit = self.points.iter().find(|p| select.holds(p)).map(|p| p.unit);
        let better = unit.map_or(Better::Lower, Unit::usually_better);
        estimate(&samples, estimator, better).ok_or_else(infinite)
    }

    /// The samples of whose median the result is a multiple or a rate, converted as it is: they may
    /// gather at states.
    fn gathered(&mut self, from: &Derive) -> Vec<f64> {
        let of =
            |part: Vec<f64>, convert: &dyn Fn(f64) -> f64| part.into_iter().map(convert).collect();
        match from {
            Derive::Value(select, Estimator::Median) => self.samples(select).unwrap_or_default(),
            Derive::Times(factor, part) => {
                let part = part.first().map(|part| self.gathered(part));
                of(part.unwrap_or_default(), &|sample| sample * factor)
            }
            Derive::Rate(amount, time) => {
                let time = time.first().map(|time| self.gathered(time));
                of(time.unwrap_or_default(), &|sample| amount / sample)
            }
            _ => Vec::new(),
        }
    }

    fn count(&mut self, select: &Select, event: Event) -> Result<f64, String> {
        let chosen = self.points.iter().filter(|p| select.holds(p));
        let counted: Vec<f64> = chosen.filter_map(|p| p.count(event)).collect();
        median(&counted).ok_or_else(|| {
            let missing = self.all.missing.iter().find(|m| m.event == event);
            let reason = missing.map_or("not in this run", |m| m.reason.as_str());
            format!("{} are not counted: {reason}", event.title())
        })
    }

    /// The selected points that are clean, or the noisy ones if none is.
    fn estimates(&mut self, select: &Select) -> Result<Vec<f64>, String> {
        self.samples(select)?;
        let chosen = self.chosen(select)?;
        let clean = |p: &Point| p.state == PointState::Ok;
        let any_clean = chosen.iter().any(|p| clean(p));
        Ok(chosen
            .into_iter()
            .filter(|p| !any_clean || clean(p))
            .filter_map(|p| self.estimate(p, self.cycles))
            .collect())
    }

    /// (parameter, estimate) in ascending order. Noisy points are part of it: a hole would
    /// move a step to the next parameter.
    fn curve(&mut self, select: &Select, x: &Text) -> Result<Vec<(f64, f64)>, String> {
        let chosen = self.chosen(select)?;
        let mut curve: Vec<(f64, f64)> = chosen
            .iter()
            .filter_map(|p| Some((number(p, x)?, self.estimate(p, self.cycles)?)))
            .collect();
        if curve.is_empty() {
            return Err(format!("no {} was recorded over {x}", described(select)));
        }
        let noisy = chosen.iter().filter(|p| p.state != PointState::Ok).count();
        self.noisy |= noisy as f64 > MOST_NOISY * chosen.len() as f64;
        curve.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(curve)
    }

    fn line(&mut self, select: &Select, x: &Text) -> Result<stats::Line, String> {
        let curve = self.curve(select, x)?;
        fit_line(&curve)
            .ok_or_else(|| format!("{} has too few points for a line", described(select)))
    }

    fn levels(&mut self, select: &Select) -> Vec<Found> {
        let sizes: Vec<Size> = {
            let mut sizes: Vec<Size> = self
                .points
                .iter()
                .filter(|p| select.holds(p) && p.state == PointState::Ok)
                .filter_map(|p| {
                    Some(Size {
                        bytes: number(p, "working_set")?,
                        ns: self.estimate(p, false)?,
                        cycles: self.estimate(p, true)?,
                    })
                })
                .collect();
            sizes.sort_by(|a, b| a.bytes.total_cmp(&b.bytes));
            sizes
        };
        levels::find(&sizes)
    }

    fn level(&mut self, select: &Select, level: Level) -> Result<Found, String> {
        // Notes (page size) and the share of noisy points come along.
        let curve = self.curve(select, &Text::Borrowed("working_set"))?;
        if level == Level::Dram {
            self.reaches_memory(curve.last().map_or(0.0, |p| p.0))?;
        }
        let selected = self.points.iter().filter(|p| select.holds(p));
        self.notes.extend(selected.filter_map(|p| p.note.clone()));
        self.levels(select).into_iter().find(|f| f.level == level).ok_or_else(|| match level {
            Level::Dram => "the sweep does not reach main memory: its end is no plateau".into(),
            _ => "the curve has no plateau here: this level is shared away, partitioned, or absent"
                .into(),
        })
    }

    /// A claimed cache is no proof that a sweep ends in main memory, but enough to doubt it.
    fn reaches_memory(&self, end: f64) -> Result<(), String> {
        let Some(claimed) = self.all.last_cache.filter(|&c| end < 2.0 * c as f64) else {
            return Ok(());
        };
        Err(format!(
            "the sweep ended at {}, within twice the claimed last cache ({}): more memory or time \
             is needed",
            human_bytes(end as u64),
            human_bytes(claimed)
        ))
    }

    /// The value on which more than half of the methods that gave one agree.
    fn vote(&mut self, methods: &[Derive]) -> Result<f64, String> {
        let (noisy, implausible) = (self.noisy, self.implausible);
        let ballots: Vec<(String, Result<f64, String>)> =
            methods.iter().map(|m| (name(m), self.derive(m))).collect();
        // One that says what cannot be has no vote.
        self.implausible = implausible;
        let votes: Vec<f64> = ballots.iter().filter_map(|b| b.1.clone().ok()).collect();
        let says = |b: &(String, Result<f64, String>)| match &b.1 {
            Ok(v) => format!("{} says {}", b.0, quantity(*v, Unit::Count)),
            Err(e) => format!("{} has no answer ({e})", b.0),
        };
        let everyone = || ballots.iter().map(says).collect::<Vec<String>>().join("; ");
        let (winner, count) = stats::mode(&votes).ok_or_else(everyone)?;
        if count * 2 <= votes.len() {
            self.split = true;
            return Err(format!("no majority: {}", everyone()));
        }
        if count < 2 {
            return Err(format!("one method is no vote: {}", everyone()));
        }
        if count >= SURE_VOTES {
            // Independent methods do not agree by chance, however noisy their points are.
            self.noisy = noisy;
        }
        let mut note = format!("{count} of {} methods agree", methods.len());
        for ballot in ballots.iter().filter(|b| b.1.as_ref() != Ok(&winner)) {
            note = note + "; " + &says(ballot);
        }
        self.notes.insert(note);
        Ok(winner)
    }

    /// The fastest state and the largest of the others. They are looked for in all rounds together:
    /// each may have met only one.
    fn modes(&self, select: &Select) -> Option<(State, State)> {
        let pooled: Vec<f64> = self
            .all
            .by_number
            .values()
            .flatten()
            .filter(|p| select.holds(p))
            .flat_map(|p| converted(p, self.cycles))
            .collect();
        let (fast, others) = states(&pooled).split_first().map(|(f, o)| (*f, o.to_vec()))?;
        Some((fast, others.into_iter().max_by(|a, b| a.share.total_cmp(&b.share))?))
    }

    fn mode_value(&mut self, select: &Select, mode: Mode) -> Result<f64, String> {
        let samples = self.samples(select)?;
        let Some((fast, slow)) = self.modes(select) else {
            return match mode {
                Mode::Fast => self.value(select, Estimator::LowerQuartile),
                Mode::Slow => Err("one state only: the samples do not fall into two groups".into()),
            };
        };
        let state = if mode == Mode::Slow { slow } else { fast };
        let inside: Vec<f64> = samples.into_iter().filter(|&v| state.holds(v)).collect();
        let fastest = estimate(&inside, Estimator::LowerQuartile, Better::Lower);
        fastest.ok_or_else(|| "this round met the other state only".into())
    }

    fn slow_share(&mut self, select: &Select) -> Result<f64, String> {
        let samples = self.samples(select)?;
        let Some((_, slow)) = self.modes(select) else { return Ok(0.0) };
        let inside = samples.iter().filter(|&&v| slow.holds(v)).count();
        Ok(inside as f64 / samples.len() as f64)
    }
}

fn infinite() -> String {
    "no finite samples".into()
}

fn malformed() -> String {
    "the card's declaration of this metric is malformed".into()
}

pub(super) fn described(select: &Select) -> String {
    let params: Vec<String> = select.params.iter().map(|(n, v)| format!("{n} {v}")).collect();
    if params.is_empty() {
        select.quantity.to_string()
    } else {
        format!("{} ({})", select.quantity, params.join(", "))
    }
}

/// What a method of a vote is called: the quantity it looks at.
fn name(method: &Derive) -> String {
    match method {
        Derive::Borders(s, ..) | Derive::StepDown(s, _) | Derive::StepUp(s, _) => {
            s.quantity.replace('_', " ")
        }
        other => format!("{other:?}"),
    }
}

fn number(point: &Point, name: &str) -> Option<f64> {
    match point.params.get(name)? {
        Param::Int(n) => Some(*n as f64),
        Param::Text(_) => None,
    }
}

/// The samples of a point, times as cycles if wanted and possible.
fn converted(point: &Point, cycles: bool) -> Vec<f64> {
    point.cycles().filter(|_| cycles).unwrap_or_else(|| point.samples.clone())
}

/// The most frequent reason for which samples were turned away.
fn why(points: &[&Point]) -> String {
    let sum = |get: fn(&Point) -> u64| points.iter().map(|p| get(p)).sum::<u64>();
    // It says more than that a thread was moved.
    if let Some(strayed) = points.iter().find_map(|p| p.disturbances.strayed) {
        return strayed.to_string();
    }
    let reasons = [
        ("the SMT sibling was active", sum(|p| p.disturbances.sibling)),
        ("the core clock moved", sum(|p| p.disturbances.clock)),
        ("the thread was switched out", sum(|p| p.disturbances.nivcsw + p.disturbances.nvcsw)),
        ("pages faulted", sum(|p| p.disturbances.minflt)),
        ("the thread changed its CPU", sum(|p| p.disturbances.migrated)),
        ("no machine can have given the value", sum(|p| p.disturbances.impossible)),
    ];
    let rejected = sum(|p| p.disturbances.rejected);
    match reasons.iter().max_by_key(|r| r.1) {
        Some((what, n)) if *n > 0 => format!("{what} in {n} of {rejected} samples"),
        _ => "none was taken".into(),
    }
}
