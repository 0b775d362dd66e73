//! From cards to a verdict: the clock, groups, single metrics.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::causes;
use super::comparable::{self, SetAside};
use super::judgement::{
    Clock, GroupChange, Judgement, MetricChange, PropertyChange, Standing, Verdict, same,
};
use super::neighbours::Neighbours;
use super::prior::Prior;
use super::rules::{Class, Group, rules};
use super::statistic::{self, BLIND, Change, Noise, Rounds};
use crate::declare::{Better, Unit};
use crate::estimate::median;
use crate::file::Header;
use crate::metrics::{State, Value};
use crate::record::FailKind;
use crate::summary::Summary;

/// A limit beyond this says nothing of a group.
const GROUP_BLIND: f64 = 0.5;

/// Of what the baseline has, without which a run was so disturbed that single metrics say nothing.
const MOST_MISSING: f64 = 0.25;

/// Rounds that must agree on a property.
const AGREEING: usize = 3;

/// Groups that another load cannot touch, and what is nothing of them.
const UNTOUCHED: [&str; 4] = ["clock", "core", "caches", "branch"];
const NOTHING: f64 = 0.01;

/// The group of clocks.
const CLOCK_GROUP: &str = "clock";

/// The core's clock.
const CLOCK: &str = "clock.core_ghz";

/// A card held against a baseline.
pub fn judge<C: Borrow<Summary>>(baseline: &[C], now: &Summary, prior: &Prior) -> Judgement {
    let baseline: Vec<&Summary> = baseline.iter().map(Borrow::borrow).collect();
    let mut judgement = compared(&baseline, &[now], &now.card.header, prior);
    let corrupt = now.card.fails.iter().find(|fail| fail.cause == FailKind::Corruption);
    if let Some(fail) = corrupt {
        judgement.verdict = Verdict::Worse;
        judgement.reasons = vec![format!("{}: {}", fail.probe, fail.how)];
        return judgement;
    }
    if judgement.baseline == 0 {
        judgement.verdict = Verdict::CannotJudge;
        let aside = judgement.set_aside.first().map(|aside| aside.why.clone());
        judgement.reasons = vec![match aside {
            Some(why) => format!("no card of the baseline can be compared ({why})"),
            None => "the baseline has no card".into(),
        }];
        return judgement;
    }
    if let Some(busy) = other_load(&judgement) {
        judgement.verdict = Verdict::CannotJudge;
        judgement.reasons = vec![busy];
        return judgement;
    }
    let missing = judgement.missing.len() as f64;
    let disturbed = missing > MOST_MISSING * (missing + judgement.metrics.len() as f64);
    let by_more_than_a_metric = judgement.groups.iter().any(|g| g.standing == Standing::Worse)
        || !judgement.properties.is_empty();
    if judgement.is_suspect() && (by_more_than_a_metric || !disturbed) {
        judgement.verdict = Verdict::Suspect;
        return judgement;
    }
    let blank = judgement.groups.iter().filter(|group| group.standing == Standing::NotJudged);
    let blank: Vec<&str> = blank.map(|group| group.title.as_str()).collect();
    // Of one's own causes first.
    let quota = now.findings.iter().find(|f| f.code == "CPU_QUOTA");
    let touched = judgement.neighbours.is_some() || !blank.is_empty() || disturbed;
    let reason = if let Some(quota) = quota.filter(|_| touched) {
        quota.text()
    } else if let Some(neighbours) = &judgement.neighbours {
        format!("{neighbours}: what is worse may be their work; measure again when they are idle")
    } else if judgement.metrics.is_empty() {
        "no metric is on both sides, measured by the same method".into()
    } else if !blank.is_empty() {
        format!(
            "the run was disturbed or too short: more than half of what the baseline has of these is \
             missing: {}; measure again, or with a longer --budget",
            blank.join(", ")
        )
    } else if disturbed {
        format!("the run was disturbed or too short: {missing} metrics are missing; measure again")
    } else {
        return judgement;
    };
    judgement.verdict = Verdict::CannotJudge;
    judgement.reasons = vec![reason];
    judgement
}

/// What other programs do to a machine, and a fault does not: programs or switches are slow and so is
/// more than one thing that the kernel and the memory do, while the core by itself is as it was.
fn other_load(judgement: &Judgement) -> Option<String> {
    let find = |id: &str| judgement.groups.iter().find(|group| group.id == id);
    let suspect = |id: &&str| find(id).is_some_and(|group| group.standing == Standing::Worse);
    let is_untouched =
        |id: &str| find(id).and_then(|g| g.change).is_some_and(|change| change.abs() < NOTHING);
    let untouched = UNTOUCHED.iter().all(|id| is_untouched(id));
    let shared = ["syscalls", "faults", "switches", "memory_latency", "memory_bandwidth"];
    let hit: Vec<&str> = shared.iter().filter(|id| suspect(id)).copied().collect();
    (untouched && suspect(&"programs") && hit.len() >= 2).then(|| {
        "the machine was busy with something else: programs, system calls or memory are slower and the \
         core by itself is not; run again when it is idle"
            .into()
    })
}

/// Cards held against others, without a verdict. They may be of different machines: what differs is named.
pub fn compare<C: Borrow<Summary>>(baseline: &[C], now: &[C], prior: &Prior) -> Judgement {
    let [baseline, now] = [baseline, now].map(|cards| cards.iter().map(Borrow::borrow));
    let baseline: Vec<&Summary> = baseline.collect();
    let Some(like) = baseline.first() else { return Judgement::of_nothing() };
    compared(&baseline, &now.collect::<Vec<_>>(), &like.card.header, prior)
}

/// Cards that are held against those of a baseline that are `like` that one.
fn compared<'a>(
    baseline: &[&'a Summary],
    now: &[&'a Summary],
    like: &Header,
    prior: &Prior,
) -> Judgement {
    let Some((&first, more)) = now.split_first() else { return Judgement::of_nothing() };
    let header = &first.card.header;
    let mut set_aside = Vec::new();
    // Those of a side that are alike, each run once.
    let mut add = |used: &mut Vec<&'a Summary>, cards: &[&'a Summary], like: &Header| {
        for &card in cards {
            let Header { id, start, .. } = &card.card.header;
            let judged = *id == header.id;
            let twice = used.iter().any(|known| known.card.header.id == *id);
            let why = judged
                .then(|| "it is the very run that is judged".to_owned())
                .or_else(|| comparable::obstacle(&card.card.header, like))
                .or_else(|| twice.then(|| "the same run is there already".into()));
            match why {
                None => used.push(card),
                Some(why) => {
                    set_aside.push(SetAside { run: id.clone(), start: start.clone(), why });
                }
            }
        }
    };
    let (mut base, mut now) = (Vec::new(), vec![first]);
    add(&mut base, baseline, like);
    add(&mut now, more, header);
    let mut starts: Vec<&str> = base.iter().map(|card| card.card.header.start.as_str()).collect();
    starts.sort_unstable();
    let latest = base.iter().max_by_key(|card| &card.card.header.start);
    let sides = Sides { base: &base, now: &now, tier: &header.plan.tier, prior };
    let mut judgement = Judgement {
        baseline: base.len(),
        span: starts.first().zip(starts.last()).map(|(a, b)| ((*a).to_owned(), (*b).to_owned())),
        runs: now.iter().map(|card| card.card.header.start.clone()).collect(),
        cpu: header.plan.cpu,
        tier: header.plan.tier.clone(),
        set_aside,
        differences: latest
            .map(|latest| comparable::differences(&latest.card.header, header))
            .unwrap_or_default(),
        ..Judgement::of_nothing()
    };
    if base.is_empty() {
        return judgement;
    }
    let probes = header.declarations.iter().map(|declaration| declaration.probe.as_ref());
    let differs = |probe: &&str| {
        !base.iter().any(|card| comparable::same_method(&card.card, &first.card, probe))
    };
    judgement.other_methods = probes.filter(differs).map(str::to_owned).collect();
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for value in &first.metrics.0 {
        sides.take(value, &mut judgement, &mut wanted);
    }
    by_the_clock(&mut judgement);
    judgement.groups =
        rules().groups.iter().filter_map(|g| sides.group(g, &judgement, &wanted)).collect();
    by_neighbours(&mut judgement, Neighbours::of(&now, &base), Neighbours::of(&base, &now));
    // Two machines differ by design, which has no cause.
    if comparable::obstacle(like, header).is_none() {
        judgement.causes = causes::nearest(&judgement.groups, &judgement.metrics, &header.machine);
    }
    judgement
}

/// What is compared.
struct Sides<'a> {
    base: &'a [&'a Summary],
    now: &'a [&'a Summary],
    tier: &'a str,
    prior: &'a Prior,
}

impl<'a> Sides<'a> {
    /// Takes in one metric. `wanted` counts what the baseline has of each group.
    fn take(
        &self,
        value: &'a Value,
        judgement: &mut Judgement,
        wanted: &mut BTreeMap<&'a str, usize>,
    ) {
        let id = value.id.as_str();
        let base: Vec<&Value> = self
            .base
            .iter()
            .filter(|card| comparable::same_method(&card.card, &self.now[0].card, &value.probe))
            .filter_map(|card| card.metrics.get(id))
            .filter(|value| is_judgeable(value))
            .collect();
        if value.report_only.is_some() || base.iter().any(|value| value.report_only.is_some()) {
            return;
        }
        let now: Vec<&Value> = self
            .now
            .iter()
            .filter_map(|card| card.metrics.get(id))
            .filter(|value| is_judgeable(value))
            .collect();
        if value.better == Better::Same {
            if let Some(change) = property(value, &base, &now, judgement) {
                judgement.properties.push(change);
            }
            return;
        }
        let Some((class, group)) = rules().place(id) else { return };
        if 2 * base.len() < self.base.len() || base.is_empty() {
            return;
        }
        *wanted.entry(group.id.as_str()).or_default() += 1;
        if now.len() < self.now.len() {
            judgement.missing.push(id.to_owned());
            return;
        }
        judgement.metrics.extend(self.metric(value, (class, group), &base, &now));
    }

    fn metric(
        &self,
        value: &Value,
        (class, group): (&Class, &Group),
        base: &[&Value],
        now: &[&Value],
    ) -> Option<MetricChange> {
        let rounds = |values: &[&Value]| -> Option<Vec<Rounds>> {
            values.iter().map(|v| Rounds::of(&v.each_round, value.better)).collect()
        };
        let noise = Noise {
            rounds: self.prior.of(&value.id, self.tier).map_or(class.rounds, |l| l.spread),
            between: between(self.prior, (class, group), self.tier),
            floor: class.floor,
        };
        let rounds = (rounds(now)?, rounds(base)?);
        let Change { middle, agreed, limit } = statistic::change(&rounds.0, &rounds.1, &noise)?;
        let typical = |values: &[&Value]| {
            median(&values.iter().filter_map(|value| value.value).collect::<Vec<f64>>())
        };
        Some(MetricChange {
            id: value.id.clone(),
            group: group.id.clone(),
            unit: value.unit,
            before: typical(base)?,
            now: typical(now)?,
            change: agreed,
            limit,
            standing: standing(agreed, limit),
            confirmed: false,
            middle,
            rounds,
            follows_clock: class.follows_clock
                && !value.unit.counts_cycles()
                && !matches!(value.unit, Unit::Ratio | Unit::Ghz),
        })
    }

    fn group(
        &self,
        group: &Group,
        judgement: &Judgement,
        wanted: &BTreeMap<&str, usize>,
    ) -> Option<GroupChange> {
        let wanted = *wanted.get(group.id.as_str())?;
        let of_group: Vec<&MetricChange> =
            judgement.metrics.iter().filter(|metric| metric.group == group.id).collect();
        let learned = self.prior.of_group(&group.id, self.tier);
        let spread = learned.map_or(group.spread, |learned| learned.spread);
        let between = between_group(self.prior, group, self.tier);
        let of_cards = |get: fn(&MetricChange) -> &Vec<Rounds>, cards: usize| -> Vec<Rounds> {
            let of_card = |card: usize| {
                let each = of_group.iter().filter_map(|m| get(m).get(card));
                let centred: Vec<(&Rounds, f64)> = each.map(|r| (r, r.median)).collect();
                Rounds::of_group(&centred)
            };
            (0..cards).filter_map(of_card).collect()
        };
        let now = of_cards(|metric| &metric.rounds.0, self.now.len());
        let base = of_cards(|metric| &metric.rounds.1, self.base.len());
        let limit = statistic::group_limit(group.floor, (spread, between), (&now, &base));
        let middle = |without_clock: bool| {
            let of = |metric: &&MetricChange| match judgement.clock {
                Some(clock) if without_clock && metric.follows_clock => {
                    metric.middle - clock.change
                }
                _ => metric.middle,
            };
            median(&of_group.iter().map(of).collect::<Vec<f64>>())
        };
        let enough = 2 * of_group.len() >= wanted;
        let change = middle(false).filter(|_| enough);
        let standing = match (change, middle(true)) {
            (Some(_), Some(_)) if limit > GROUP_BLIND => Standing::TooNoisy,
            (Some(change), Some(own)) => match standing_of_group(change, limit) {
                Standing::Worse if own <= limit => Standing::ByTheClock,
                other => other,
            },
            _ => Standing::NotJudged,
        };
        Some(GroupChange {
            id: group.id.clone(),
            title: group.title.clone(),
            change,
            limit,
            voters: of_group.len(),
            standing,
            confirmed: false,
        })
    }
}

/// What sessions differ by in the median of a group, as was learned or as is shipped.
fn between_group(prior: &Prior, group: &Group, tier: &str) -> f64 {
    prior.group_between(&group.id, tier).unwrap_or(group.between)
}

/// The same in a metric, which moves no less than its group.
pub(super) fn between(prior: &Prior, (class, group): (&Class, &Group), tier: &str) -> f64 {
    let of_class = prior.between(&class.id, tier).unwrap_or(class.between);
    of_class.max(between_group(prior, group, tier))
}

/// A number of two rounds or more, on which two methods do not disagree.
pub(super) fn is_judgeable(value: &Value) -> bool {
    value.value.is_some() && value.state != State::Inconsistent && value.each_round.len() > 1
}

fn standing(change: f64, limit: f64) -> Standing {
    if limit > BLIND { Standing::TooNoisy } else { standing_of_group(change, limit) }
}

fn standing_of_group(change: f64, limit: f64) -> Standing {
    if change > limit {
        Standing::Worse
    } else if change < -limit {
        Standing::Better
    } else {
        Standing::Within
    }
}

/// A property that all cards of the baseline agree on and the card at hand does not.
fn property(
    value: &Value,
    base: &[&Value],
    now: &[&Value],
    judgement: &mut Judgement,
) -> Option<PropertyChange> {
    let sure = |values: &[&Value]| -> Option<f64> {
        let sure = values.iter().filter(|v| v.state == State::Ok && v.each_round.len() >= AGREEING);
        let numbers: Vec<f64> = sure.filter_map(|v| v.value).collect();
        let middle = median(&numbers)?;
        numbers.iter().all(|&number| same(number, middle)).then_some(middle)
    };
    let (before, now) = (sure(base)?, sure(now)?);
    judgement.properties_judged += 1;
    (!same(before, now)).then(|| PropertyChange {
        id: value.id.clone(),
        unit: value.unit,
        before,
        now,
        confirmed: false,
    })
}

/// What others on the same core explain is not counted, but for the clock, which they do not touch.
fn by_neighbours(judgement: &mut Judgement, now: Neighbours, before: Neighbours) {
    let explain = now.explain();
    let explained = |change: f64, limit: f64| change <= limit + explain;
    for group in judgement.groups.iter_mut().filter(|g| g.standing == Standing::Worse) {
        if group.id != CLOCK_GROUP && group.change.is_some_and(|c| explained(c, group.limit)) {
            group.standing = Standing::ByNeighbours;
        }
    }
    for metric in judgement.metrics.iter_mut().filter(|m| m.standing == Standing::Worse) {
        if metric.group != CLOCK_GROUP && explained(metric.change, metric.limit) {
            metric.standing = Standing::ByNeighbours;
        }
    }
    // A sibling takes its part of what the core has, at whichever time it is there.
    let most = explain.max(before.explain());
    let by_sibling = |p: &PropertyChange| (p.now / p.before).ln().abs() <= most;
    let before = judgement.properties.len();
    judgement.properties.retain(|property| !by_sibling(property));
    let explained = judgement.groups.iter().any(|g| g.standing == Standing::ByNeighbours)
        || judgement.metrics.iter().any(|m| m.standing == Standing::ByNeighbours)
        || judgement.properties.len() < before;
    judgement.neighbours = explained.then(|| now.words());
}

/// If the clock has changed, what is no worse than the clock is not counted beside it.
fn by_the_clock(judgement: &mut Judgement) {
    let clock = judgement.metrics.iter().find(|metric| metric.id == CLOCK);
    let moved = clock.filter(|m| matches!(m.standing, Standing::Worse | Standing::Better));
    judgement.clock = moved.map(|m| Clock { before: m.before, now: m.now, change: m.change });
    let Some(clock) = judgement.clock else { return };
    for metric in judgement.metrics.iter_mut().filter(|metric| metric.follows_clock) {
        if metric.standing == Standing::Worse && metric.change - clock.change <= metric.limit {
            metric.standing = Standing::ByTheClock;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::recorded;
    use crate::judge::prior::Learned;
    use crate::simulate::{Scenario, Simulator, Weather, scenarios};

    /// A machine without a session's whims, five of whose runs are its baseline.
    fn machine() -> (Simulator, Vec<Summary>) {
        let still = Weather { rounds: 1.0, sessions: 0.0, disturbed: 0.0 };
        let mut machine = Simulator::new(&recorded(), Prior::embedded(), still, 1);
        let baseline = (0..5).map(|_| machine.run().clone()).collect();
        (machine, baseline)
    }

    fn known(id: &str) -> &'static Scenario {
        scenarios().iter().find(|scenario| scenario.id == id).unwrap()
    }

    fn effect(text: &str) -> Scenario {
        toml::from_str(&format!("id = \"x\"\ntitle = \"x\"\neffects = [{text}]")).unwrap()
    }

    fn standing(judgement: &Judgement, group: &str) -> Standing {
        judgement.groups.iter().find(|g| g.id == group).unwrap().standing
    }

    #[test]
    fn what_follows_the_clock_is_put_down_to_it() {
        let (mut machine, baseline) = machine();
        machine.break_down(known("turbo-off"));
        let judgement = judge(&baseline, machine.run(), Prior::embedded());
        let clock = judgement.clock.unwrap();
        assert!((clock.change - 1.25_f64.ln()).abs() < 0.01, "{clock:?}");
        assert_eq!(standing(&judgement, "syscalls"), Standing::ByTheClock);
        assert_eq!(standing(&judgement, "core"), Standing::Within);
        assert!(judgement.causes[0].title.contains("turbo"), "{:?}", judgement.causes);
        // What is slower than that is a matter of its own.
        machine.break_down(&effect(r#"{ group = "syscalls", worse = 1.3 }"#));
        let judgement = judge(&baseline, machine.run(), Prior::embedded());
        assert_eq!(standing(&judgement, "syscalls"), Standing::Worse);
        // A faster clock is told, and is nothing to worry about.
        let (mut machine, baseline) = self::machine();
        machine.break_down(&effect(r#"{ metrics = "clock.core_ghz", worse = 0.8 }"#));
        let judgement = judge(&baseline, machine.run(), Prior::embedded());
        assert!(judgement.clock.unwrap().change < 0.0 && judgement.verdict == Verdict::Same);
    }

    #[test]
    fn another_load_is_no_fault() {
        let (mut machine, baseline) = machine();
        let shared = ["programs", "syscalls", "switches", "memory_latency"];
        let of = |group: &&str| format!("{{ group = \"{group}\", worse = 1.5 }}");
        machine.break_down(&effect(&shared.iter().map(of).collect::<Vec<_>>().join(",")));
        let judgement = judge(&baseline, machine.run(), Prior::embedded());
        assert_eq!(judgement.verdict, Verdict::CannotJudge);
        assert!(judgement.reasons[0].contains("busy with something else"));
        // Where the core is slower as well, it is one.
        machine.break_down(&effect(r#"{ group = "core", worse = 1.1 }"#));
        assert_eq!(judge(&baseline, machine.run(), Prior::embedded()).verdict, Verdict::Suspect);
    }

    #[test]
    fn an_own_quota_is_named_before_neighbours_and_short_runs() {
        let (mut machine, baseline) = machine();
        let mut now = machine.run().clone();
        let core = |v: &&mut Value| rules().place(&v.id).is_some_and(|place| place.1.id == "core");
        now.metrics.0.iter_mut().filter(core).for_each(|value| value.value = None);
        let short = judge(&baseline, &now, Prior::embedded());
        assert!(short.reasons[0].contains("too short"), "{:?}", short.reasons);
        let mut quota = now.findings[0].clone();
        (quota.code, quota.headline) = ("CPU_QUOTA".into(), "CPU quota stopped this run".into());
        now.findings.push(quota);
        let named = judge(&baseline, &now, Prior::embedded());
        assert_eq!(named.verdict, Verdict::CannotJudge);
        assert!(named.reasons[0].starts_with("CPU quota stopped this run"), "{:?}", named.reasons);
    }

    #[test]
    fn what_a_busy_sibling_explains_is_not_judged_and_what_it_does_not_is() {
        let busy = |summary: &mut Summary, share: f64| {
            for value in &mut summary.metrics.0 {
                if value.id == "noise.sibling_busy_ratio" {
                    value.each_round = vec![share; 5];
                }
            }
        };
        let verdict = |worse: f64, share: f64| {
            let (mut machine, mut baseline) = machine();
            baseline.iter_mut().for_each(|card| busy(card, 0.02));
            machine.break_down(&effect(&format!("{{ group = \"caches\", worse = {worse} }}")));
            let mut now = machine.run().clone();
            busy(&mut now, share);
            judge(&baseline, &now, Prior::embedded())
        };
        assert_eq!(verdict(1.08, 0.02).verdict, Verdict::Suspect);
        let explained = verdict(1.08, 0.2);
        assert_eq!(explained.verdict, Verdict::CannotJudge, "{:?}", explained.reasons);
        assert!(explained.reasons[0].contains("active 20 % of the time, 2 % in the baseline"));
        assert_eq!(standing(&explained, "caches"), Standing::ByNeighbours);
        assert_eq!(verdict(1.6, 0.2).verdict, Verdict::Suspect);
        // The core's clock is none of their business.
        let (mut machine, mut baseline) = machine();
        baseline.iter_mut().for_each(|card| busy(card, 0.02));
        machine.break_down(known("turbo-off"));
        let mut now = machine.run().clone();
        busy(&mut now, 0.5);
        assert_eq!(judge(&baseline, &now, Prior::embedded()).verdict, Verdict::Suspect);
    }

    #[test]
    fn a_run_that_lacks_a_quarter_is_not_judged_by_single_metrics() {
        let (mut machine, baseline) = machine();
        machine
            .break_down(&effect(r#"{ metrics = "simd.fma.f32.sse.latency_cycles", worse = 2.0 }"#));
        let mut now = machine.run().clone();
        assert_eq!(judge(&baseline, &now, Prior::embedded()).verdict, Verdict::Suspect);
        for value in now.metrics.0.iter_mut().filter(|v| !v.id.starts_with("simd.f")).step_by(2) {
            value.value = None;
        }
        let judgement = judge(&baseline, &now, Prior::embedded());
        assert_eq!(judgement.verdict, Verdict::CannotJudge);
        assert!(judgement.reasons[0].contains("disturbed or too short"), "{:?}", judgement.reasons);
        // A whole group that is worse says it all the same.
        machine.break_down(known("mitigations"));
        let mut now = machine.run().clone();
        for value in now.metrics.0.iter_mut().filter(|v| !v.id.starts_with("os.")).step_by(2) {
            value.value = None;
        }
        assert_eq!(judge(&baseline, &now, Prior::embedded()).verdict, Verdict::Suspect);
    }

    #[test]
    fn a_wrong_answer_fails_at_once() {
        let (mut machine, baseline) = machine();
        let mut now = machine.run().clone();
        now.card.fails.push(crate::record::Fail {
            cpu: Some(1),
            probe: "simd-compute".into(),
            round: 0,
            cause: FailKind::Corruption,
            how: "corruption on CPU 1: 2 + 2 = 5".into(),
            stderr: String::new(),
        });
        let judgement = judge(&baseline, &now, Prior::embedded());
        assert_eq!(judgement.verdict, Verdict::Worse);
        assert!(judgement.reasons[0].contains("2 + 2 = 5"));
    }

    #[test]
    fn a_property_that_is_another_one_must_be_sure_on_both_sides() {
        let (mut machine, baseline) = machine();
        let halved = |rounds: usize, machine: &mut Simulator| {
            let mut now = machine.run().clone();
            let l1 = now.metrics.0.iter_mut().find(|v| v.id == "cache.l1d_bytes").unwrap();
            l1.value = l1.value.map(|bytes| bytes / 2.0);
            l1.each_round = vec![l1.value.unwrap(); rounds];
            judge(&baseline, &now, Prior::embedded())
        };
        let sure = halved(3, &mut machine);
        assert_eq!(sure.properties.len(), 1);
        assert_eq!(sure.verdict, Verdict::Suspect);
        assert_eq!(halved(2, &mut machine).properties, []);
        let again = halved(5, &mut machine);
        assert_eq!(sure.clone().confirmed_by(&again).verdict, Verdict::Worse);
        let whole = judge(&baseline, machine.run(), Prior::embedded());
        assert_eq!(sure.confirmed_by(&whole).verdict, Verdict::Same);
    }

    #[test]
    fn a_second_run_that_has_nothing_of_it_confirms_nothing_and_clears_nothing() {
        let (mut machine, baseline) = machine();
        machine.break_down(known("mitigations"));
        let first = judge(&baseline, machine.run(), Prior::embedded());
        let mut empty = machine.run().clone();
        empty.metrics.0.clear();
        let again = judge(&baseline, &empty, Prior::embedded());
        let judgement = first.clone().confirmed_by(&again);
        assert_eq!(judgement.verdict, Verdict::Suspect);
        assert!(judgement.reasons[0].contains("says nothing of what is suspect"));
        // Only what is suspect is measured again.
        let probes = first.suspect_probes(&machine.run().card);
        assert!(probes.contains(&"os".to_owned()) && !probes.contains(&"simd-compute".to_owned()));
    }

    #[test]
    fn what_sessions_differ_by_is_what_was_learned_of_it() {
        let (mut machine, baseline) = machine();
        let now = machine.run().clone();
        let limits = |prior: &Prior| {
            let judgement = judge(&baseline, &now, prior);
            let group = judgement.groups.iter().find(|g| g.id == "core").unwrap().limit;
            (group, judgement.metrics.iter().find(|m| m.id == CLOCK).unwrap().limit)
        };
        let mut prior = Prior::embedded().clone();
        let before = limits(&prior);
        let wild = Learned { spread: 0.05, rounds: 5 };
        prior.learn_between("clock", "standard", wild);
        assert_eq!(limits(&prior).0, before.0);
        assert!(limits(&prior).1 > 4.0 * 0.05 && before.1 < 0.05, "{before:?}");
        prior.learn_group_between("core", "standard", wild);
        assert!(limits(&prior).0 > 3.0 * 0.05 && before.0 < 0.05, "{before:?}");
    }

    #[test]
    fn another_method_is_never_compared_in_silence() {
        let (mut machine, baseline) = machine();
        let mut now = machine.run().clone();
        let numbered = |card: &mut Summary, method| {
            let os = card.card.header.declarations.iter_mut().find(|d| d.probe == "os").unwrap();
            os.method = method;
        };
        numbered(&mut now, 2);
        let judgement = judge(&baseline, &now, Prior::embedded());
        assert!(!judgement.metrics.iter().any(|m| m.id.starts_with("os.")));
        assert_eq!(judgement.other_methods, ["os"]);
        assert!(judgement.metrics.iter().any(|m| m.id.starts_with("memory.")));
        let mut base = baseline.clone();
        base.iter_mut().for_each(|card| numbered(card, 2));
        let judgement = judge(&base, &now, Prior::embedded());
        assert!(judgement.metrics.iter().any(|m| m.id.starts_with("os.")));
    }
}
