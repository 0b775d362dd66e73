//! Every CPU by itself, ranked: what the visits of the probe `each-cpu` say of each, and which are
//! slower than their like.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::declare::{Better, Unit};
use crate::estimate::median;
use crate::file::Card;
use crate::machine::Machine;
use crate::record::{FailKind, Param, PointState};
use crate::series::{Met, Quantities, RoundValue, Spread, over_rounds};

/// What a CPU is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trait {
    /// Core clock, GHz.
    CoreGhz,
    /// Load from L1, cycles.
    L1Load,
    /// Branch of which half are mispredicted, cycles.
    Branch,
    /// Vector operations per cycle.
    Flop,
}

impl Trait {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Trait; 4] = [Trait::CoreGhz, Trait::L1Load, Trait::Branch, Trait::Flop];

    /// The quantity of the probe.
    fn quantity(self) -> &'static str {
        match self {
            Trait::CoreGhz => "core_ghz",
            Trait::L1Load => "l1_load",
            Trait::Branch => "branch",
            Trait::Flop => "flop",
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Trait::CoreGhz => "core clock",
            Trait::L1Load => "load from L1",
            Trait::Branch => "unpredictable branch",
            Trait::Flop => "vector arithmetic",
        }
    }

    /// Behind a number.
    pub fn unit(self) -> &'static str {
        match self {
            Trait::CoreGhz => "GHz",
            Trait::L1Load | Trait::Branch => "cycles",
            Trait::Flop => "flop/cycle",
        }
    }

    /// Whether more of it is faster.
    fn is_rate(self) -> bool {
        matches!(self, Trait::CoreGhz | Trait::Flop)
    }

    /// How fast a value is beside a usual one: 1 as fast, below 1 slower.
    fn pace(self, value: f64, usual: f64) -> f64 {
        if self.is_rate() { value / usual } else { usual / value }
    }
}

/// One CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cpu {
    /// Its number.
    pub cpu: usize,
    /// Cycles of its multiplication.
    pub multiply_cycles: Option<f64>,
    /// What was measured of it, the middle visit with the spread between visits.
    pub traits: BTreeMap<Trait, Spread>,
    /// Its slowest trait beside the median of its kind: 1 as fast, below 1 slower.
    pub pace: Option<f64>,
    /// What it is slower at than the median of its kind, in all its visits.
    pub slow: Vec<Slow>,
    /// How a visit to it failed, a wrong answer before all else.
    pub failed: Option<String>,
    /// What two visits or more found undisturbed.
    #[serde(skip)]
    sure: BTreeSet<Trait>,
}

/// What a CPU is slow at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slow {
    /// At what.
    pub at: Trait,
    /// The median of its kind.
    pub usual: f64,
    /// Its middle visit beside that, below 1.
    pub pace: f64,
    /// CPUs of its kind.
    pub kind: usize,
}

/// What CPUs must share to be held against one another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Its place among the machine's kinds of core.
    Known(usize),
    /// Cycles of a multiplication.
    ByMultiply(Option<u64>),
}

/// A CPU that is further behind the others of its kind in all its visits is slow.
const BEHIND: f64 = 0.03;

/// The CPUs that were visited: those that failed, then the slowest first.
pub fn ranked(card: &Card) -> Vec<Cpu> {
    let mut cpus = measured(card);
    judge(&mut cpus, &card.header.machine);
    let key = |cpu: &Cpu| (cpu.failed.is_none(), cpu.pace.unwrap_or(0.0));
    cpus.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    cpus
}

fn measured(card: &Card) -> Vec<Cpu> {
    let quantities = Quantities::in_card(card, PROBE);
    let mut visits: BTreeMap<(usize, &str), Vec<RoundValue>> = BTreeMap::new();
    for point in card.points.iter().filter(|p| p.probe == PROBE) {
        let Some(Param::Int(cpu)) = point.params.get("cpu") else { continue };
        let Ok(cpu) = usize::try_from(*cpu) else { continue };
        let value = match point.unit {
            Unit::Ns => quantities.cycles(point),
            _ => quantities.value(point),
        };
        let noisy = point.state != PointState::Ok;
        let value = value.filter(|v| v.is_finite() && *v > 0.0);
        let of = visits.entry((cpu, &point.quantity)).or_default();
        of.extend(value.map(|value| RoundValue { value, noisy, samples: Vec::new() }));
    }
    let fails = card.fails.iter().filter(|f| f.cpu.is_some());
    let seen: BTreeSet<usize> =
        visits.keys().map(|(cpu, _)| *cpu).chain(fails.clone().filter_map(|f| f.cpu)).collect();
    let of = |cpu: usize, quantity| {
        let higher = quantity == Trait::CoreGhz.quantity();
        let better = if higher { Better::Higher } else { Better::Lower };
        over_rounds(visits.get(&(cpu, quantity))?, better)
    };
    let clean = |cpu: usize, quantity| {
        let visits = visits.get(&(cpu, quantity)).into_iter().flatten();
        visits.filter(|visit| !visit.noisy).count()
    };
    let cpu = |cpu: usize| {
        let spread = |at: Trait| {
            let spread = of(cpu, at.quantity())?;
            // The time of an operation, as a rate.
            let inverse = |s: Spread| Spread {
                value: 1.0 / s.value,
                low: 1.0 / s.high,
                high: 1.0 / s.low,
                states: s.states.iter().rev().map(|m| Met { value: 1.0 / m.value, ..*m }).collect(),
            };
            Some((at, if at == Trait::Flop { inverse(spread) } else { spread }))
        };
        let of_cpu = fails.clone().filter(|f| f.cpu == Some(cpu));
        let failed = of_cpu.min_by_key(|f| f.cause != FailKind::Corruption).map(|f| f.how.clone());
        Cpu {
            cpu,
            multiply_cycles: of(cpu, "multiply").map(|spread| spread.value),
            traits: Trait::ALL.into_iter().filter_map(spread).collect(),
            pace: None,
            slow: Vec::new(),
            failed,
            sure: Trait::ALL.into_iter().filter(|at| clean(cpu, at.quantity()) >= 2).collect(),
        }
    };
    seen.into_iter().map(cpu).collect()
}

/// Holds each CPU against the median of its kind: as the machine tells its kinds apart, and by what a
/// multiplication takes where it does not.
fn judge(cpus: &mut [Cpu], machine: &Machine) {
    let kind = |cpu: &Cpu| match machine.kinds().iter().position(|k| k.cpus.contains(&cpu.cpu)) {
        Some(kind) => Kind::Known(kind),
        None => Kind::ByMultiply(cpu.multiply_cycles.map(f64::to_bits)),
    };
    let mut values: BTreeMap<(Kind, Trait), Vec<f64>> = BTreeMap::new();
    for cpu in cpus.iter() {
        for (&at, spread) in &cpu.traits {
            values.entry((kind(cpu), at)).or_default().push(spread.value);
        }
    }
    for cpu in cpus {
        let own = kind(cpu);
        for (&at, spread) in &cpu.traits {
            let of_kind = &values[&(own, at)];
            let Some(usual) = median(of_kind) else { continue };
            let pace = at.pace(spread.value, usual);
            cpu.pace = Some(cpu.pace.map_or(pace, |slowest| slowest.min(pace)));
            let best = if at.is_rate() { spread.high } else { spread.low };
            if cpu.sure.contains(&at) && at.pace(best, usual) < 1.0 - BEHIND {
                cpu.slow.push(Slow { at, usual, pace, kind: of_kind.len() });
            }
        }
    }
}

/// Where the rounds of a card ran: "CPU 3", unless they did nothing but visit each.
pub fn place(card: &Card) -> String {
    let mut declared = card.header.declarations.iter();
    match declared.next() {
        Some(first) if first.probe == PROBE && declared.next().is_none() => "each CPU".into(),
        _ => format!("CPU {}", card.header.plan.cpu),
    }
}

const PROBE: &str = "each-cpu";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fixture::{blank, point, with};
    use crate::machine::{CoreKind, Fact};
    use crate::record::{Fail, Point};

    /// Three visits to each of these CPUs: clock, cycles of a multiplication, cycles of a load.
    pub(crate) fn card(cpus: &[(i64, f64, f64, f64)]) -> Card {
        let mut card = blank("test");
        for round in 0..3 {
            for &(cpu, ghz, multiply, load) in cpus {
                let mut put = |quantity: &str, unit, value: f64| {
                    let wobble = 1.0 + 0.002 * f64::from(round);
                    let point = point(PROBE, quantity, round, unit, vec![value * wobble; 3]);
                    let point = with(point, &[("cpu", Param::Int(cpu))]);
                    card.points.push(Point { core_ghz: vec![ghz], ..point });
                };
                put("core_ghz", Unit::Ghz, ghz);
                put("multiply", Unit::Cycles, multiply);
                put("l1_load", Unit::Ns, load / ghz);
            }
        }
        card
    }

    fn order(card: &Card) -> Vec<usize> {
        ranked(card).iter().map(|cpu| cpu.cpu).collect()
    }

    #[test]
    fn cpus_of_another_kind_are_not_slow_for_it() {
        let all: Vec<(i64, f64, f64, f64)> =
            (0..4).map(|cpu| (cpu, if cpu < 2 { 3.9 } else { 2.8 }, 2.0, 4.0)).collect();
        let mut card = card(&all);
        let slow = |card: &Card| ranked(card).iter().filter(|cpu| !cpu.slow.is_empty()).count();
        assert_eq!(slow(&card), 2, "as far as anyone knows");
        let kind = |cpus: &[usize]| CoreKind { cpus: cpus.to_vec(), ..CoreKind::default() };
        card.header.machine.cpu.kinds = Fact::Known(vec![kind(&[0, 1]), kind(&[2, 3])]);
        assert_eq!(slow(&card), 0);
    }

    #[test]
    fn the_slowest_comes_first_and_only_what_is_behind_in_all_visits_is_slow() {
        let card = card(&[
            (0, 3.5, 3.0, 4.0),
            (1, 3.2, 3.0, 4.0),
            (2, 3.45, 3.0, 4.0),
            (3, 3.5, 3.0, 4.0),
        ]);
        let all = ranked(&card);
        assert_eq!(order(&card)[..2], [1, 2]);
        assert!((all[0].pace.unwrap() - 3.2 / 3.475).abs() < 1e-3);
        assert_eq!(
            all[0].slow.iter().map(|s| (s.at, s.kind)).collect::<Vec<_>>(),
            [(Trait::CoreGhz, 4)]
        );
        assert!(all[1..].iter().all(|cpu| cpu.slow.is_empty()));
        let load = &all[0].traits[&Trait::L1Load];
        assert!((load.value - 4.0).abs() < 0.02, "{load:?}");
    }

    #[test]
    fn a_cpu_that_was_as_fast_once_is_only_noisy() {
        let mut card = card(&[(0, 3.5, 3.0, 4.0), (1, 3.5, 3.0, 4.0), (2, 3.0, 3.0, 4.0)]);
        let once = |p: &&mut Point| p.params["cpu"] == Param::Int(2) && p.quantity == "core_ghz";
        card.points.iter_mut().find(once).unwrap().samples = vec![3.5];
        let all = ranked(&card);
        assert!(all[0].cpu == 2 && all[0].slow.is_empty(), "{:?}", all[0]);
    }

    #[test]
    fn a_visit_that_was_disturbed_proves_nothing() {
        let mut card = card(&[(0, 3.5, 3.0, 4.0), (1, 3.5, 3.0, 4.0), (2, 3.0, 3.0, 4.0)]);
        for point in card.points.iter_mut().filter(|p| p.round < 2) {
            point.state = PointState::Noisy;
        }
        assert!(ranked(&card).iter().all(|cpu| cpu.slow.is_empty()));
    }

    #[test]
    fn kinds_of_cores_are_held_against_their_like() {
        let card = card(&[
            (0, 5.0, 3.0, 5.0),
            (1, 5.0, 3.0, 5.0),
            (2, 3.8, 5.0, 3.0),
            (3, 3.8, 5.0, 3.0),
            (4, 3.4, 5.0, 3.0),
        ]);
        let slow: Vec<usize> =
            ranked(&card).iter().filter(|cpu| !cpu.slow.is_empty()).map(|cpu| cpu.cpu).collect();
        assert_eq!(slow, [4]);
    }

    #[test]
    fn what_failed_comes_before_what_is_slow_and_a_wrong_answer_says_so() {
        let mut card = card(&[(0, 3.5, 3.0, 4.0), (1, 3.0, 3.0, 4.0)]);
        let fail = |cpu, cause, how: &str| Fail {
            probe: PROBE.into(),
            round: 0,
            cpu,
            cause,
            how: how.into(),
            stderr: String::new(),
        };
        card.fails = vec![
            fail(Some(7), FailKind::Killed, "killed"),
            fail(Some(7), FailKind::Corruption, "wrong"),
            fail(None, FailKind::Killed, "of another probe"),
        ];
        assert_eq!(order(&card), [7, 1, 0]);
        assert_eq!(ranked(&card)[0].failed.as_deref(), Some("wrong"));
        assert_eq!(order(&blank("test")), [0; 0]);
    }
}
