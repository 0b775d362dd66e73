//! What counters said at the settings that metrics and proofs rest on, and of the clock by which
//! times become cycles.

use std::collections::BTreeMap;

use crate::counters::Event;
use crate::declare::{Declaration, Derive, Level, Select, Text, Unit};
use crate::record::{Param, Params, Point, PointState};
use serde::Serialize;

use super::derive::Rounds;
use super::proofs;
use crate::estimate::{median, quantile};
use crate::file::Card;
use crate::series::{Quantities, Setting};

/// What happened in one operation at one setting: medians over the rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub quantity: String,
    /// What was set.
    pub params: Params,
    /// Its number, if it is a time.
    pub ns: Option<f64>,
    /// The same in cycles of the two-chain clock.
    pub clock_cycles: Option<f64>,
    /// Events in one operation.
    pub counts: BTreeMap<Event, f64>,
}

impl Row {
    fn of(quantities: Quantities<'_>, quantity: &str, params: &Params, points: &[&Point]) -> Row {
        let setting = Setting::of(quantities, params, points);
        let middle = |of: &dyn Fn(&Point) -> Option<f64>| {
            median(&points.iter().filter_map(|p| of(p)).collect::<Vec<f64>>())
        };
        let count = |event| Some((event, middle(&|p| p.count(event))?));
        Row {
            quantity: quantity.to_owned(),
            params: params.clone(),
            ns: setting.as_ref().filter(|s| s.unit == Unit::Ns).map(|s| s.value),
            clock_cycles: setting.and_then(|s| s.cycles),
            counts: Event::ALL.into_iter().filter_map(count).collect(),
        }
    }

    /// How often that happened.
    pub fn count(&self, event: Event) -> Option<f64> {
        self.counts.get(&event).copied()
    }

    /// Instructions in a cycle.
    pub fn ipc(&self) -> Option<f64> {
        let cycles = self.count(Event::CoreCycles).filter(|cycles| *cycles > 0.0)?;
        Some(self.count(Event::Instructions)? / cycles)
    }

    /// Where the slots of its cycles went.
    pub fn slots(&self, per_cycle: u32) -> Option<Slots> {
        Slots::of(|event| self.count(event), per_cycle)
    }
}

/// Top-down level 1: shares of the slots that the core could have filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slots {
    /// Of operations that retired.
    pub retired: Option<f64>,
    /// That the front end left empty.
    pub frontend: Option<f64>,
    /// That the back end had no room for.
    pub backend: Option<f64>,
    /// All others; `None` where those known are more than there are.
    pub rest: Option<f64>,
}

/// Each share is counted in another sample than the cycles may be: together they may come to a
/// little more than all.
const MOST_SLOTS: f64 = 1.05;

impl Slots {
    fn of(count: impl Fn(Event) -> Option<f64>, per_cycle: u32) -> Option<Slots> {
        let all = count(Event::CoreCycles)? * f64::from(per_cycle);
        let share = |event| count(event).filter(|_| all > 0.0).map(|slots| slots / all);
        let retired = share(Event::RetiredSlots);
        let (frontend, backend) = (share(Event::FrontendSlots), share(Event::BackendSlots));
        let known: Vec<f64> = [retired, frontend, backend].into_iter().flatten().collect();
        let sum: f64 = known.iter().sum();
        let rest = (sum <= MOST_SLOTS).then(|| (1.0 - sum).max(0.0));
        (!known.is_empty()).then_some(Slots { retired, frontend, backend, rest })
    }
}

/// Cycles by the counter for each one by the two-chain clock, over all points that have both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClockRatio {
    /// The middle point.
    pub median: f64,
    /// One point in ten is below.
    pub low: f64,
    /// One in ten is above.
    pub high: f64,
    /// Points that have both.
    pub points: usize,
}

/// The two witnesses of the core clock, held against each other.
pub fn clock_ratio(card: &Card) -> Option<ClockRatio> {
    let ratio = |p: &Point| {
        let clock = median(&p.cycles()?).filter(|cycles| *cycles > 0.0)?;
        Some(p.count(Event::CoreCycles)? / clock)
    };
    let clean = card.points.iter().filter(|p| p.state == PointState::Ok);
    let ratios: Vec<f64> = clean.filter_map(ratio).collect();
    Some(ClockRatio {
        median: median(&ratios)?,
        low: quantile(&ratios, 0.1)?,
        high: quantile(&ratios, 0.9)?,
        points: ratios.len(),
    })
}

/// The settings of a probe that its proofs, and then its metrics, rest on, each once. Of a curve
/// that is its ends, or a size of each level; of others the best and the worst.
pub fn rows(card: &Card, declaration: &Declaration) -> Vec<Row> {
    let of_probe = |p: &&Point| p.probe == declaration.probe && !p.counts.is_empty();
    let mut settings: BTreeMap<(&str, &Params), Vec<&Point>> = BTreeMap::new();
    for point in card.points.iter().filter(of_probe) {
        settings.entry((&point.quantity, &point.params)).or_default().push(point);
    }
    let quantities = Quantities::of(declaration);
    let chooser = Chooser {
        settings: settings
            .iter()
            .map(|((q, params), points)| (Row::of(quantities, q, params, points), points[0]))
            .collect(),
        rounds: Rounds::of(card, declaration),
    };
    let mut chosen = Vec::new();
    for proof in declaration.proofs.iter() {
        let points = proofs::points(card, declaration, proof);
        let at =
            |p: &Point| points.iter().any(|q| q.params == p.params && q.quantity == p.quantity);
        chosen.extend(chooser.extremes(at, |row| row.count(proof.event)));
    }
    for metric in declaration.metrics.iter() {
        chooser.derived(&metric.from, &mut chosen);
    }
    let mut rows: Vec<&Row> = Vec::new();
    for row in chosen {
        if !rows.iter().any(|known| std::ptr::eq(*known, row)) {
            rows.push(row);
        }
    }
    rows.into_iter().cloned().collect()
}

/// The settings of a probe at which something was counted, each with one of its points.
struct Chooser<'a> {
    settings: Vec<(Row, &'a Point)>,
    rounds: Rounds<'a>,
}

impl Chooser<'_> {
    /// Those that a derivation looks at.
    fn derived<'s>(&'s self, from: &Derive, chosen: &mut Vec<&'s Row>) {
        match from {
            Derive::Value(select, _) | Derive::ModeValue(select, _) | Derive::SlowShare(select) => {
                chosen.extend(self.extremes(|p| select.holds(p), |row| row.ns));
            }
            Derive::Count(select, event) => {
                chosen.extend(self.extremes(|p| select.holds(p), |row| row.count(*event)));
            }
            Derive::Lowest(select) => {
                chosen.extend(self.extremes(|p| select.holds(p), |row| row.ns).first());
            }
            Derive::Highest(select) => {
                chosen.extend(self.extremes(|p| select.holds(p), |row| row.ns).last());
            }
            Derive::Plateau(select, level) | Derive::Capacity(select, level) => {
                chosen.extend(self.in_level(select, *level));
            }
            Derive::Borders(select, x, _)
            | Derive::StepDown(select, x)
            | Derive::StepUp(select, x)
            | Derive::Slope(select, x)
            | Derive::Intercept(select, x)
            | Derive::LastBefore(select, x, _)
            | Derive::Crossing(select, x, _)
            | Derive::AtShare(select, _, x, _) => {
                chosen.extend(self.extremes(|p| select.holds(p), |row| number(row, x)));
            }
            Derive::Vote(parts)
            | Derive::Difference(parts)
            | Derive::Quotient(parts)
            | Derive::Product(parts)
            | Derive::Times(_, parts)
            | Derive::Rate(_, parts)
            | Derive::PowerOfTwo(parts)
            | Derive::OfPublished(parts, _) => {
                parts.iter().for_each(|part| self.derived(part, chosen));
            }
            Derive::Unknown => {}
        }
    }

    /// The wanted settings with the lowest and with the highest figure.
    fn extremes(
        &self,
        wanted: impl Fn(&Point) -> bool,
        by: impl Fn(&Row) -> Option<f64>,
    ) -> Vec<&Row> {
        let wanted = self.settings.iter().filter(|(_, point)| wanted(point));
        let mut sorted: Vec<(f64, &Row)> =
            wanted.filter_map(|(row, _)| Some((by(row)?, row))).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rows: Vec<&Row> = sorted.into_iter().map(|(_, row)| row).collect();
        match &rows[..] {
            [least, .., most] => vec![least, most],
            few => few.to_vec(),
        }
    }

    /// The middle size of a level, of main memory the largest.
    fn in_level(&self, select: &Select, level: Level) -> Option<&Row> {
        let found = self.rounds.levels(select);
        let of_level = || found.iter().filter(|f| f.level == level);
        let from = median(&of_level().map(|f| f.from).collect::<Vec<f64>>())?;
        let to = median(&of_level().map(|f| f.to).collect::<Vec<f64>>())?;
        let wanted = if level == Level::Dram { to } else { (from * to).sqrt() };
        let distance = |(row, point): &(Row, &Point)| {
            let size =
                number(row, &Text::Borrowed("working_set")).filter(|_| select.holds(point))?;
            Some((size / wanted).ln().abs())
        };
        let near = self.settings.iter().filter_map(|s| Some((distance(s)?, &s.0)));
        near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, row)| row)
    }
}

fn number(row: &Row, name: &Text) -> Option<f64> {
    match row.params.get(name.as_ref())? {
        Param::Int(n) => Some(*n as f64),
        Param::Text(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn slots(events: &[(Event, f64)]) -> Option<Slots> {
        Slots::of(|event| events.iter().find(|e| e.0 == event).map(|e| e.1), 6)
    }

    fn about(share: Option<f64>, wanted: f64) -> bool {
        share.is_some_and(|share| (share - wanted).abs() < 1e-9)
    }

    #[test]
    fn what_is_neither_retired_nor_lost_at_an_end_is_the_rest() {
        use Event::{BackendSlots, CoreCycles, FrontendSlots, RetiredSlots};
        let all = [(CoreCycles, 100.0), (RetiredSlots, 150.0), (FrontendSlots, 60.0)];
        let whole = slots(&[&all[..], &[(BackendSlots, 330.0)]].concat()).unwrap();
        assert!(about(whole.retired, 0.25) && about(whole.frontend, 0.1));
        assert!(about(whole.backend, 0.55) && about(whole.rest, 0.1), "{whole:?}");
        // The unknown is part of the rest.
        let two = slots(&all).unwrap();
        assert_eq!(two.backend, None);
        assert!(about(two.rest, 0.65), "{two:?}");
        // A little too much is what separate samples do; more is a contradiction.
        let over = |backend| slots(&[&all[..], &[(BackendSlots, backend)]].concat()).unwrap().rest;
        assert_eq!(over(400.0), Some(0.0));
        assert_eq!(over(500.0), None);
        // Without cycles, or without any of the three, there is nothing to share out.
        assert_eq!(slots(&all[1..]), None);
        assert_eq!(slots(&all[..1]), None);
        assert_eq!(slots(&[(CoreCycles, 0.0), (RetiredSlots, 1.0)]), None);
    }

    #[test]
    fn cycles_by_the_counter_are_held_against_the_clock() {
        let mut card = fixture::empty().card;
        assert_eq!(clock_ratio(&card), None);
        for (round, counted) in [(0, 1010), (1, 1000), (2, 990), (3, 5000)] {
            let mut point = fixture::point("p", "q", round, Unit::Ns, vec![0.25; 3]);
            point.core_ghz = vec![4.0];
            point.counts = [(Event::CoreCycles, counted)].into();
            card.points.push(point);
        }
        card.points[3].state = PointState::Noisy;
        // Times without a clock, and rates, have nothing to compare.
        card.points.push(Point { core_ghz: Vec::new(), ..card.points[0].clone() });
        card.points.push(Point { unit: Unit::Gbs, ..card.points[0].clone() });
        let ratio = clock_ratio(&card).unwrap();
        assert_eq!((ratio.median, ratio.points), (1.0, 3));
        assert!(0.99 <= ratio.low && ratio.low < 1.0 && 1.0 < ratio.high && ratio.high <= 1.01);
    }

    #[test]
    fn a_curve_gives_a_size_of_each_level_and_the_proofs_come_first() {
        let card = fixture::counted().card;
        let declarations = &card.header.declarations;
        let declared = declarations.iter().find(|d| d.probe == "memory-latency").unwrap();
        let latency = rows(&card, declared);
        // Each of the first three proofs looks at one setting.
        for (row, proof) in latency.iter().zip(declared.proofs.iter()).take(3) {
            let at = proofs::points(&card, declared, proof);
            assert!(!at.is_empty() && at.iter().all(|p| p.params == row.params), "{row:?}");
        }
        let huge = Param::from("random_2m");
        let walk: Vec<&Row> =
            latency.iter().filter(|row| row.params.get("variant") == Some(&huge)).collect();
        assert!((4..=8).contains(&walk.len()), "{walk:#?}");
        let mut misses: Vec<f64> =
            walk.iter().filter_map(|row| row.count(Event::LlcMisses)).collect();
        misses.sort_by(f64::total_cmp);
        assert!(misses[0] < 0.01 && misses[misses.len() - 1] > 0.95, "{misses:?}");
        for (i, row) in latency.iter().enumerate() {
            assert!(!latency[..i].contains(row), "{row:?} twice");
        }
        assert_eq!(rows(&fixture::recorded().card, declared), []);
    }
}
