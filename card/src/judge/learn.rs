//! What is normal: a prior from cards of machines that are believed to be well, and how often judging
//! by it would have raised a false alarm among them.

use std::collections::BTreeMap;

use super::judgement::Verdict;
use super::prior::{Learned, Prior};
use super::rules::rules;
use super::statistic::{BLIND, Noise, Rounds, usual_limit};
use super::verdict::{self, is_judgeable, judge};
use crate::estimate::median;
use crate::metrics::Value;
use crate::summary::Summary;

/// So many runs are the shipped spread of a group worth beside those that are learned from.
const SHIPPED_WORTH: f64 = 6.0;

/// Cards of a baseline by which it is said what is too noisy to speak alone.
const CARDS: f64 = 5.0;

/// What was learned, and what it is worth.
#[derive(Debug)]
pub struct Lesson {
    /// The table.
    pub prior: Prior,
    /// Cards that were held against the others of their session, and those of them that were suspect
    /// or could not be judged.
    pub replayed: usize,
    /// Those of them that were suspect.
    pub alarms: usize,
    /// Metrics whose rounds differ so much that they do not speak alone, by tier.
    pub blind: Vec<(String, String)>,
    /// Metrics that were met at several values, with the share of the cards that met them so.
    pub two_valued: Vec<(String, f64)>,
    /// The noisiest metrics with their spread, the worst first.
    pub noisiest: Vec<(String, f64)>,
}

/// Metrics that are listed as the noisiest.
const LISTED: usize = 20;

/// Runs of one machine, of one tier, on one CPU, by one program.
fn machine(card: &Summary) -> [String; 5] {
    let header = &card.card.header;
    [
        header.machine.title(),
        header.machine.host.name.known().cloned().unwrap_or_default(),
        header.plan.tier.clone(),
        header.plan.cpu.to_string(),
        header.tool.revision.clone(),
    ]
}

/// Those of one day; the sessions of a machine follow one another.
fn sessions(cards: &[Summary]) -> Vec<Vec<&Summary>> {
    let mut by_key: BTreeMap<_, Vec<&Summary>> = BTreeMap::new();
    for card in cards {
        let day: String = card.card.header.start.chars().take("2026-11-30".len()).collect();
        by_key.entry((machine(card), day)).or_default().push(card);
    }
    by_key.into_values().collect()
}

/// The rounds of what may be judged, where there are two or more.
fn rounds(value: &Value) -> Option<Rounds> {
    let judged = value.report_only.is_none() && is_judgeable(value);
    Rounds::of(&value.each_round, value.better).filter(|_| judged)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Learns from cards.
pub fn learn(cards: &[Summary], notes: Vec<String>) -> Lesson {
    let mut prior = Prior::about(notes);
    let sessions = sessions(cards);
    learn_groups(&sessions, &mut prior);
    learn_between(&sessions, &mut prior);
    let mut variances: BTreeMap<(&str, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for card in cards {
        for value in &card.metrics.0 {
            if rules().place(&value.id).is_none() {
                continue;
            }
            if let Some(Rounds { variance: Some(variance), count, .. }) = rounds(value) {
                let tier = card.card.header.plan.tier.as_str();
                variances.entry((value.id.as_str(), tier)).or_default().push((variance, count));
            }
        }
    }
    let mut noisiest: BTreeMap<&str, f64> = BTreeMap::new();
    let mut blind = Vec::new();
    for (&(id, tier), all) in &variances {
        let spread = mean(&all.iter().map(|(variance, _)| *variance).collect::<Vec<f64>>()).sqrt();
        let rounds = all.iter().map(|(_, count)| *count).sum::<f64>();
        prior.learn(id, tier, Learned { spread, rounds: rounds as u32 });
        let most = noisiest.entry(id).or_default();
        *most = most.max(spread);
        let Some(place) = rules().place(id) else { continue };
        let (class, between) = (place.0, verdict::between(&prior, place, tier));
        let noise = Noise { rounds: spread, between, floor: class.floor };
        if usual_limit(&noise, rounds / all.len() as f64, CARDS) > BLIND {
            blind.push((id.to_owned(), tier.to_owned()));
        }
    }
    let mut noisiest: Vec<(String, f64)> =
        noisiest.into_iter().map(|(id, spread)| (id.to_owned(), spread)).collect();
    noisiest.sort_by(|a, b| b.1.total_cmp(&a.1));
    noisiest.truncate(LISTED);
    let (replayed, alarms) = replay(&sessions, &prior);
    Lesson { replayed, alarms, blind, two_valued: two_valued(cards), noisiest, prior }
}

/// What the median of each group differs by between the runs of a session.
fn learn_groups(sessions: &[Vec<&Summary>], prior: &mut Prior) {
    let mut squares: BTreeMap<(&str, &str), (f64, f64)> = BTreeMap::new();
    for session in sessions.iter().filter(|session| session.len() > 1) {
        let mut of_group: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
        let tier = session[0].card.header.plan.tier.as_str();
        for value in &session[0].metrics.0 {
            let Some((_, group)) = rules().place(&value.id) else { continue };
            let each = session.iter().map(|card| rounds(card.metrics.get(&value.id)?));
            let Some(each) = each.collect::<Option<Vec<Rounds>>>() else { continue };
            let medians: Vec<f64> = each.iter().map(|rounds| rounds.median).collect();
            let Some(middle) = median(&medians) else { continue };
            let off = medians.iter().map(|m| m - middle).collect();
            of_group.entry(group.id.as_str()).or_default().push(off);
        }
        for (group, metrics) in of_group {
            let of_card = |card: usize| {
                median(&metrics.iter().map(|off| off[card]).collect::<Vec<f64>>()).unwrap_or(0.0)
            };
            let medians: Vec<f64> = (0..session.len()).map(of_card).collect();
            let centre = mean(&medians);
            let (sum, freedom) = squares.entry((group, tier)).or_default();
            *sum += medians.iter().map(|m| (m - centre) * (m - centre)).sum::<f64>();
            *freedom += medians.len() as f64 - 1.0;
        }
    }
    for ((id, tier), (sum, freedom)) in squares {
        let Some(group) = rules().groups.iter().find(|group| group.id == id) else { continue };
        let shipped = SHIPPED_WORTH * group.spread * group.spread;
        let spread = ((shipped + sum) / (SHIPPED_WORTH + freedom)).sqrt();
        prior.learn_group(id, tier, Learned { spread, rounds: freedom as u32 + 1 });
    }
}

/// Sessions of one machine, of two runs or more, from which it can be told what they differ by.
const LEAST_SESSIONS: usize = 5;

/// What sessions of one machine differ by, beyond what their runs do: of each class the mean over its
/// metrics, of each group its median.
fn learn_between(sessions: &[Vec<&Summary>], prior: &mut Prior) {
    let repeated: Vec<&Vec<&Summary>> = sessions.iter().filter(|runs| runs.len() > 1).collect();
    let machines = repeated.chunk_by(|a, b| machine(a[0]) == machine(b[0]));
    let (mut of_classes, mut of_groups) = (BTreeMap::new(), BTreeMap::new());
    for sessions in machines.filter(|sessions| sessions.len() >= LEAST_SESSIONS) {
        let first = sessions[0][0];
        let tier = first.card.header.plan.tier.as_str();
        let mut classes: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut groups: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
        let lengths: Vec<usize> = sessions.iter().map(|runs| runs.len()).collect();
        for value in &first.metrics.0 {
            let Some((class, group)) = rules().place(&value.id) else { continue };
            let runs = sessions.iter().flat_map(|runs| runs.iter());
            let each = runs.map(|card| Some(rounds(card.metrics.get(&value.id)?)?.median));
            let Some(each) = each.collect::<Option<Vec<f64>>>() else { continue };
            classes.entry(&class.id).or_default().push(between(&each, &lengths));
            let centre = mean(&each);
            groups.entry(&group.id).or_default().push(each.iter().map(|m| m - centre).collect());
        }
        // A machine has as much to say as it has sessions.
        let freedom = sessions.len() as f64 - 1.0;
        let add = |all: &mut BTreeMap<(String, String), (f64, f64)>, id: &str, variance: f64| {
            let (sum, all_freedom) = all.entry((id.to_owned(), tier.to_owned())).or_default();
            *sum += freedom * variance;
            *all_freedom += freedom;
        };
        for (id, variances) in classes {
            add(&mut of_classes, id, mean(&variances));
        }
        for (id, metrics) in groups {
            let of_run = |run: usize| {
                median(&metrics.iter().map(|off| off[run]).collect::<Vec<f64>>()).unwrap_or(0.0)
            };
            let medians: Vec<f64> = (0..lengths.iter().sum()).map(of_run).collect();
            add(&mut of_groups, id, between(&medians, &lengths));
        }
    }
    let learned = |(sum, freedom): (f64, f64)| Learned {
        spread: (sum / freedom).max(0.0).sqrt(),
        rounds: freedom as u32 + 1,
    };
    for ((id, tier), sums) in of_classes {
        prior.learn_between(&id, &tier, learned(sums));
    }
    for ((id, tier), sums) in of_groups {
        prior.learn_group_between(&id, &tier, learned(sums));
    }
}

/// The variance between sessions of so many runs each, less what their runs explain of it; below zero by
/// chance where there is none. Of means: how the medians of a few runs vary is another matter for each
/// number of them, and a run that was disturbed adds as much to what is taken away.
fn between(runs: &[f64], lengths: &[usize]) -> f64 {
    let mut rest = runs;
    let sessions: Vec<&[f64]> =
        lengths.iter().map(|&length| rest.split_off(..length).unwrap_or_default()).collect();
    let squares = |values: &[f64]| -> f64 {
        let centre = mean(values);
        values.iter().map(|v| (v - centre) * (v - centre)).sum()
    };
    let freedom = runs.len() - sessions.len();
    let within = sessions.iter().map(|session| squares(session)).sum::<f64>() / freedom as f64;
    let means: Vec<f64> = sessions.iter().map(|session| mean(session)).collect();
    let shares: Vec<f64> = lengths.iter().map(|&length| 1.0 / length as f64).collect();
    squares(&means) / (means.len() - 1) as f64 - within * mean(&shares)
}

/// Each card against the others of its session.
fn replay(sessions: &[Vec<&Summary>], prior: &Prior) -> (usize, usize) {
    let (mut replayed, mut alarms) = (0, 0);
    for session in sessions.iter().filter(|session| session.len() > 1) {
        for (at, card) in session.iter().enumerate() {
            let others: Vec<&Summary> =
                session.iter().enumerate().filter(|&(o, _)| o != at).map(|(_, c)| *c).collect();
            replayed += 1;
            alarms += usize::from(judge(&others, card, prior).verdict == Verdict::Suspect);
        }
    }
    (replayed, alarms)
}

fn two_valued(cards: &[Summary]) -> Vec<(String, f64)> {
    let mut met: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for value in cards.iter().flat_map(|card| &card.metrics.0).filter(|v| v.value.is_some()) {
        let (with, all) = met.entry(value.id.as_str()).or_default();
        *with += usize::from(value.states.len() > 1);
        *all += 1;
    }
    let share = |(with, all): (usize, usize)| with as f64 / all as f64;
    let several = met.into_iter().filter(|(_, counts)| counts.0 > 0);
    let mut shares: Vec<(String, f64)> =
        several.map(|(id, counts)| (id.to_owned(), share(counts))).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// So often at most, with 95 % certainty, what was seen `alarms` times in `trials`: the upper end of
/// the exact (Clopper-Pearson) interval.
pub fn upper_bound(alarms: usize, trials: usize) -> f64 {
    if alarms >= trials {
        return 1.0;
    }
    // The rate at which so few would be seen in 5 % of all cases. Terms on the logarithm: of many
    // trials the first is too small for a number.
    let at_most = |rate: f64| {
        let odds = rate.ln() - (1.0 - rate).ln();
        let (mut term, mut sum) = (trials as f64 * (1.0 - rate).ln(), 0.0);
        for seen in 0..=alarms {
            sum += term.exp();
            term += ((trials - seen) as f64 / (seen + 1) as f64).ln() + odds;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use std::f64::consts::FRAC_PI_2;

    use super::*;
    use crate::fixture::recorded;
    use crate::simulate::{Simulator, Weather};

    /// Runs of a machine that is another one in each session, by what is known of how much.
    fn in_sessions(sessions: usize, runs: usize, sessions_differ: f64) -> Vec<Summary> {
        let mut model = recorded();
        // One value each: what it is met at would be that of before.
        model.metrics.0.iter_mut().for_each(|value| value.states.clear());
        let still = Weather { rounds: 0.0, sessions: sessions_differ, disturbed: 0.0 };
        let mut machine = Simulator::new(&model, Prior::embedded(), still, 9);
        let of_session = |session: usize| {
            let now = Weather { rounds: 0.3, sessions: 0.0, disturbed: 0.0 };
            let mut session_of =
                Simulator::new(machine.run(), Prior::embedded(), now, session as u64);
            let run = |_| {
                let mut run = session_of.run().clone();
                run.card.header.start =
                    format!("2026-{:02}-{:02}", session / 28 + 1, session % 28 + 1);
                run
            };
            (0..runs).map(run).collect::<Vec<Summary>>()
        };
        (0..sessions).flat_map(of_session).collect()
    }

    #[test]
    fn what_sessions_differ_by_is_learned_back() {
        const SESSIONS: usize = 60;
        let lesson = learn(&in_sessions(SESSIONS, 2, 1.0), Vec::new());
        // A variance of so many is known to √(2 / (n − 1)) of itself; three times that.
        let error = 3.0 * (2.0 / (SESSIONS as f64 - 1.0)).sqrt();
        // What each metric differs by, its group's share in it, and the class.
        let mut expected: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for value in recorded().metrics.0.iter().filter(|value| rounds(value).is_some()) {
            let Some((class, group)) = rules().place(&value.id) else { continue };
            let shared = group.between * group.between;
            let own = (class.between * class.between - shared).max(0.0);
            for id in [format!("class {}", class.id), format!("group {}", group.id)] {
                expected.entry(id).or_default().push((shared, own));
            }
        }
        for (id, metrics) in expected {
            let [shared, own] = [|m: &(f64, f64)| m.0, |m: &(f64, f64)| m.1]
                .map(|part| mean(&metrics.iter().map(part).collect::<Vec<f64>>()));
            let (learned, variance) = match id.split_once(' ').unwrap() {
                ("class", id) => (lesson.prior.between(id, "standard"), shared + own),
                (_, id) => {
                    let of_median = (FRAC_PI_2 / metrics.len() as f64).min(1.0);
                    (lesson.prior.group_between(id, "standard"), shared + of_median * own)
                }
            };
            let ratio = learned.unwrap().powi(2) / variance;
            assert!((0.9 - error..1.1 + error).contains(&ratio), "{id}: {learned:?} {ratio}");
        }
        // Where there is nothing, next to nothing is learned.
        let alike = learn(&in_sessions(SESSIONS, 2, 0.0), Vec::new());
        for id in ["core", "syscall", "task"] {
            let [nothing, something] =
                [&alike, &lesson].map(|l| l.prior.between(id, "standard").unwrap());
            assert!(nothing < 0.5 * something, "{id}: {nothing} {something}");
        }
    }

    #[test]
    fn few_sessions_or_single_runs_teach_nothing_of_sessions() {
        for (sessions, runs, is_learned) in [(4, 3, false), (8, 1, false), (5, 2, true)] {
            let prior = learn(&in_sessions(sessions, runs, 1.0), Vec::new()).prior;
            assert_eq!(prior.between("core", "standard").is_some(), is_learned, "{sessions}");
            assert_eq!(prior.group_between("core", "standard").is_some(), is_learned, "{runs}");
        }
    }

    #[test]
    fn few_alarms_in_few_trials_are_no_small_rate() {
        // 1 − 0.05^(1/n) where nothing was seen.
        for (trials, bound) in [(9, 0.2831), (72, 0.0408), (300, 0.00994)] {
            assert!((upper_bound(0, trials) - bound).abs() < 2e-4, "{trials}");
        }
        assert!((upper_bound(1, 10) - 0.3942).abs() < 1e-3);
        assert_eq!((upper_bound(3, 3), upper_bound(0, 0)), (1.0, 1.0));
        // Many are known well: p̂ + 1.645 √(p̂ (1 − p̂) / n).
        for (alarms, trials, bound) in [(240, 10_000, 0.0265), (2_000, 10_000, 0.2066)] {
            assert!((upper_bound(alarms, trials) - bound).abs() < 3e-4, "{alarms} of {trials}");
        }
    }
}
