//! Cards without hardware: what runs of one machine look like, by the noise that was measured, with
//! faults where they are asked for. Judging is tested with them, and a fleet is tried out.
//!
//! Each metric starts from a real card's number. Its rounds differ as was learned of it; a metric that
//! was met at several values takes one of them in each round; sessions differ by class and by group; and
//! now and then someone disturbs a probe for some rounds. A fault multiplies what it touches.

use std::collections::HashMap;
use std::sync::LazyLock;

use fastrand::Rng;
use serde::Deserialize;

use crate::declare::Better;
use crate::estimate::median;
use crate::glob;
use crate::judge::prior::Prior;
use crate::judge::rules::rules;
use crate::metrics::State;
use crate::series::Met;
use crate::summary::{self, Summary};

const SCENARIOS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/reference/scenarios.toml"));

/// A fault by what it does to metrics.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name.
    pub id: String,
    /// What it is, in field terms.
    pub title: String,
    effects: Vec<Effect>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Effect {
    /// A group of metrics, or a pattern of their ids.
    group: Option<String>,
    metrics: Option<String>,
    /// So many times as long, or as low a rate.
    worse: f64,
    /// Only times: cycles of the core stay as they are.
    #[serde(default)]
    times_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

/// The faults that are known by name.
pub fn scenarios() -> &'static [Scenario] {
    static READ: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
        let file: File =
            toml::from_str(SCENARIOS).expect("scenarios.toml is compiled in and tested");
        file.scenario
    });
    &READ
}

/// How noisy a simulated machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Multiplies what the rounds differ by.
    pub rounds: f64,
    /// Multiplies what sessions differ by.
    pub sessions: f64,
    /// Share of the runs in which someone disturbs one probe.
    pub disturbed: f64,
}

/// As was measured: one standard run of nine had an episode, and its group's median moved.
pub const MEASURED: Weather = Weather { rounds: 1.0, sessions: 1.0, disturbed: 0.1 };

/// An episode makes rounds so much worse.
const DISTURBED_BY: std::ops::Range<f64> = 1.05..1.6;

/// One metric of the machine.
#[derive(Clone)]
struct Model {
    /// Place in the card.
    at: usize,
    value: f64,
    better: Better,
    rounds: usize,
    /// Standard deviation of the logarithm.
    spread: f64,
    between: f64,
    group: usize,
    probe: usize,
    states: Vec<Met>,
    /// What a fault does, on the logarithm.
    fault: f64,
}

/// A machine that is run again and again.
#[derive(Clone)]
pub struct Simulator {
    card: Summary,
    models: Vec<Model>,
    groups: Vec<f64>,
    probes: usize,
    weather: Weather,
    seed: u64,
    runs: u64,
}

impl Simulator {
    /// A machine like the one of that card.
    pub fn new(card: &Summary, prior: &Prior, weather: Weather, seed: u64) -> Simulator {
        let tier = card.card.header.plan.tier.clone();
        let mut probes: HashMap<&str, usize> = HashMap::new();
        let mut models = Vec::new();
        for (at, value) in card.metrics.0.iter().enumerate() {
            let usual = value.value.filter(|v| *v > 0.0);
            let (Some(usual), false) = (usual, value.state == State::Inconsistent) else {
                continue;
            };
            let next = probes.len();
            let probe = *probes.entry(value.probe.as_str()).or_insert(next);
            let place = rules().place(&value.id);
            let learned = prior.of(&value.id, &tier);
            let (class, group) = match place {
                Some((class, group)) => {
                    (Some(class), rules().groups.iter().position(|g| g.id == group.id))
                }
                None => (None, None),
            };
            let spread = learned.map(|l| l.spread).or(class.map(|c| c.rounds));
            models.push(Model {
                at,
                value: usual,
                better: value.better,
                rounds: value.each_round.len().max(1),
                // A property is what it is.
                spread: if value.better == Better::Same { 0.0 } else { spread.unwrap_or(0.1) },
                between: class.map_or(0.0, |class| {
                    // What is left of it beside what the whole group does.
                    let of_group = place.map_or(0.0, |(_, group)| group.between);
                    (class.between * class.between - of_group * of_group).max(0.0).sqrt()
                }),
                group: group.unwrap_or(rules().groups.len()),
                probe,
                states: value.states.clone(),
                fault: 0.0,
            });
        }
        let groups = rules().groups.iter().map(|group| group.between).chain([0.0]).collect();
        let (card, probes) = (card.clone(), probes.len());
        Simulator { card, models, groups, probes, weather, seed, runs: 0 }
    }

    /// The same machine with a fault from now on.
    pub fn break_down(&mut self, scenario: &Scenario) {
        for model in &mut self.models {
            let value = &self.card.metrics.0[model.at];
            let group = rules().groups.get(model.group).map(|group| group.id.as_str());
            for effect in &scenario.effects {
                let of_group = effect.group.as_deref().is_some_and(|wanted| group == Some(wanted));
                let named = effect.metrics.as_ref().is_some_and(|m| glob::matches(m, &value.id));
                let in_cycles = effect.times_only && value.unit.counts_cycles();
                if (of_group || named) && !in_cycles {
                    model.fault += effect.worse.ln();
                }
            }
        }
    }

    /// One more run.
    pub fn run(&mut self) -> &Summary {
        self.nth(self.runs + 1)
    }

    /// The run of that number, whichever were made before: several clones may share the work.
    pub fn nth(&mut self, number: u64) -> &Summary {
        let Simulator { card, models, groups, probes, weather, seed, runs } = self;
        *runs = number;
        let rng = &mut Random::with_seed(mixed(mixed(*seed).wrapping_add(number)));
        let header = &mut card.card.header;
        header.id = format!("simulated-{:016x}-{number}", rng.even.u64(..));
        let (day, hour) = (number / 24 % 28, number % 24);
        header.start = format!("2026-01-{:02}T{hour:02}:00:00Z", day + 1);
        let of_groups: Vec<f64> =
            groups.iter().map(|between| weather.sessions * between * rng.normal()).collect();
        let victim = (rng.even.f64() < weather.disturbed).then(|| rng.even.usize(..*probes));
        let episode = DISTURBED_BY.start + rng.even.f64() * (DISTURBED_BY.end - DISTURBED_BY.start);
        for model in models {
            let sign = if model.better == Better::Higher { -1.0 } else { 1.0 };
            let session = of_groups[model.group]
                + weather.sessions * model.between * rng.normal()
                + model.fault;
            let value = &mut card.metrics.0[model.at];
            value.each_round.resize(model.rounds, 0.0);
            for (round, number) in value.each_round.iter_mut().enumerate() {
                let usual = state(&model.states, &mut rng.even).unwrap_or(model.value);
                let mut off = session + weather.rounds * model.spread * rng.normal();
                // For some of its rounds, one after the other.
                if victim == Some(model.probe) && round * 2 >= model.rounds {
                    off += episode.ln();
                }
                *number = usual * (sign * off).exp();
            }
            value.value = median(&value.each_round);
            (value.low, value.high) = summary::ends(&value.each_round);
        }
        card
    }
}

/// A number of which no digit is like another number's.
fn mixed(number: u64) -> u64 {
    Rng::with_seed(number).u64(..)
}

/// One of several values, by their shares.
fn state(states: &[Met], rng: &mut Rng) -> Option<f64> {
    let mut left = rng.f64() * states.iter().map(|state| state.share).sum::<f64>();
    states
        .iter()
        .find(|state| {
            left -= state.share;
            left <= 0.0
        })
        .map(|state| state.value)
}

/// Random numbers: evenly spread ones, and normal ones.
struct Random {
    even: Rng,
    /// Normal numbers are made by twos.
    spare: Option<f64>,
}

impl Random {
    fn with_seed(seed: u64) -> Random {
        Random { even: Rng::with_seed(seed), spare: None }
    }

    /// A standard normal number, by Box and Muller.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.even.f64()).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.even.f64()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::recorded;
    use crate::judge::{Verdict, judge};

    fn simulator(weather: Weather, seed: u64) -> Simulator {
        Simulator::new(&recorded(), Prior::embedded(), weather, seed)
    }

    fn runs(simulator: &mut Simulator, count: usize) -> Vec<Summary> {
        (0..count).map(|_| simulator.run().clone()).collect()
    }

    #[test]
    fn a_seed_makes_the_same_cards_again() {
        let ids = |seed| simulator(MEASURED, seed).run().metrics.0.clone();
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        // Also a run of them by itself.
        let (mut one, mut another) = (simulator(MEASURED, 1), simulator(MEASURED, 1));
        let third = runs(&mut one, 3).pop().unwrap();
        let by_number = another.nth(3);
        assert_eq!(by_number.metrics.0, third.metrics.0);
        assert_eq!(by_number.card.header, third.card.header);
        assert_ne!(one.nth(2).metrics.0, third.metrics.0);
    }

    #[test]
    fn numbers_are_normal() {
        let mut random = Random::with_seed(3);
        let all: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|x| x * x).sum::<f64>() / all.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    /// Of so many machines without a fault, with five cards each of as many days, how many are suspect,
    /// and of how many a second run says the same.
    fn false_alarms(weather: Weather, machines: u64) -> (usize, usize) {
        let mut found = (0, 0);
        for seed in 0..machines {
            let mut machine = simulator(weather, seed);
            let baseline = runs(&mut machine, 5);
            let first = judge(&baseline, machine.run(), Prior::embedded());
            if first.verdict == Verdict::Suspect {
                let again = judge(&baseline, machine.run(), Prior::embedded());
                found.0 += 1;
                found.1 += usize::from(first.confirmed_by(&again).verdict == Verdict::Worse);
            }
        }
        found
    }

    #[test]
    fn a_machine_that_is_as_it_was_is_seldom_suspect_and_never_confirmed() {
        let quiet = Weather { disturbed: 0.0, ..MEASURED };
        // Twelve groups beyond three deviations and 250 metrics beyond four: 2.4 % of the runs.
        let (suspect, confirmed) = false_alarms(quiet, 50);
        assert!(suspect <= 5 && confirmed == 0, "{suspect} {confirmed}");
        // Also where what was learned is wrong by a factor of two, or someone disturbs every other run.
        for weather in [
            Weather { rounds: 0.5, ..quiet },
            Weather { rounds: 2.0, ..quiet },
            Weather { disturbed: 0.5, ..quiet },
        ] {
            assert!(false_alarms(weather, 25).1 <= 1, "{weather:?}");
        }
    }

    #[test]
    fn each_fault_is_seen_and_confirmed() {
        for scenario in scenarios() {
            let mut machine = simulator(MEASURED, 11);
            let baseline = runs(&mut machine, 5);
            machine.break_down(scenario);
            let mut confirmed = 0;
            for _ in 0..8 {
                let first = judge(&baseline, machine.run(), Prior::embedded());
                let again = judge(&baseline, machine.run(), Prior::embedded());
                let verdict = first.confirmed_by(&again).verdict;
                confirmed += usize::from(verdict == Verdict::Worse);
            }
            assert!(confirmed >= 6, "{}: {confirmed} of 8", scenario.id);
        }
    }
}
