//! What cards held against a baseline come to, and what a second run, frozen cards and absolute limits
//! make of it.

use serde::{Deserialize, Serialize};

use super::causes::Cause;
use super::comparable::{Difference, SetAside};
use super::expect::Broken;
use super::statistic::Rounds;
use crate::declare::Unit;
use crate::file::Card;

/// What comes of it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is beyond its limit, or no second run confirms it.
    Same,
    /// Worse in two runs, or a kernel computed a wrong answer.
    Worse,
    /// The cards say too little, or say that the machine was busy.
    CannotJudge,
    /// Something is beyond its limit in one run.
    Suspect,
}

/// Where a group or a metric stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Within its limit.
    Within,
    /// Worse by more.
    Worse,
    /// Better by more.
    Better,
    /// Worse by no more than the clock is.
    ByTheClock,
    /// Worse by no more than what others on the same core explain.
    ByNeighbours,
    /// Its limit is so wide that it says nothing by itself.
    TooNoisy,
    /// Too few of its metrics are there.
    NotJudged,
}

/// A group of metrics. Shares of 1 on the logarithm, more is worse: 0.05 is 5 % more time, or 5 % less
/// of a rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupChange {
    /// As in `judging.toml`.
    pub id: String,
    /// What people read.
    pub title: String,
    /// The median over its metrics.
    pub change: Option<f64>,
    /// What it must be beyond.
    pub limit: f64,
    /// Metrics of it that there are on both sides.
    pub voters: usize,
    /// Where it stands.
    pub standing: Standing,
    /// A second run says the same.
    pub confirmed: bool,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricChange {
    /// Its id.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Its unit.
    pub unit: Unit,
    /// Median over the cards of the baseline.
    pub before: f64,
    /// And over those at hand.
    pub now: f64,
    /// On the logarithm, more is worse.
    pub change: f64,
    /// What it must be beyond.
    pub limit: f64,
    /// Where it stands.
    pub standing: Standing,
    /// A second run says the same.
    pub confirmed: bool,
    /// The change of the middle rounds, which its group is judged by.
    #[serde(skip)]
    pub(super) middle: f64,
    /// The rounds of the cards at hand and of the baseline.
    #[serde(skip)]
    pub(super) rounds: (Vec<Rounds>, Vec<Rounds>),
    /// What a slower clock makes of it.
    #[serde(skip)]
    pub(super) follows_clock: bool,
}

/// A property, such as the size of a cache, that is another one now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PropertyChange {
    /// Its id.
    pub id: String,
    /// Its unit.
    pub unit: Unit,
    /// In the baseline.
    pub before: f64,
    /// Now.
    pub now: f64,
    /// A second run says the same.
    pub confirmed: bool,
}

/// A change of the core's clock, which much else follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Clock {
    /// GHz in the baseline.
    pub before: f64,
    /// GHz now.
    pub now: f64,
    /// On the logarithm, more is slower.
    pub change: f64,
}

/// Cards held against a baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// What comes of it.
    pub verdict: Verdict,
    /// Why there is none, or why it is no other.
    pub reasons: Vec<String>,
    /// Cards of the baseline that were used.
    pub baseline: usize,
    /// When the first and the last of them began.
    pub span: Option<(String, String)>,
    /// When the card that was judged began, and the run that confirmed it.
    pub runs: Vec<String>,
    /// The CPU that was measured.
    pub cpu: usize,
    /// `quick`, `standard` or `thorough`.
    pub tier: String,
    /// Cards of the baseline that were not.
    pub set_aside: Vec<SetAside>,
    /// What else differs.
    pub differences: Vec<Difference>,
    /// A change of the clock.
    pub clock: Option<Clock>,
    /// All groups that the baseline has.
    pub groups: Vec<GroupChange>,
    /// All metrics that were judged.
    pub metrics: Vec<MetricChange>,
    /// How active others on the same core were, where they explain what would be suspect otherwise.
    pub neighbours: Option<String>,
    /// Properties that changed.
    pub properties: Vec<PropertyChange>,
    /// Properties that were compared.
    pub properties_judged: usize,
    /// Metrics that the baseline has and the card has not.
    pub missing: Vec<String>,
    /// Probes that measure by another method than in all of the baseline: nothing of them is compared.
    pub other_methods: Vec<String>,
    /// Absolute limits that are not kept.
    pub expectations: Vec<Broken>,
    /// What may be behind it.
    pub causes: Vec<Cause>,
}

/// Two properties that differ by no more than this are the same.
const SAME: f64 = 0.02;

/// Of its limit, what a second run must show.
pub const CONFIRMS: f64 = 0.75;

/// Cards of a baseline without which a machine is suspect at most.
pub const LEAST_CARDS: usize = 3;

impl Judgement {
    /// Groups and metrics of no such group that are worse.
    fn suspects(&self) -> impl Iterator<Item = (&GroupChange, Vec<&MetricChange>)> {
        self.groups.iter().filter_map(|group| {
            let single = self.metrics_of(group).filter(|m| m.standing == Standing::Worse);
            let single: Vec<&MetricChange> = single.collect();
            (group.standing == Standing::Worse || !single.is_empty()).then_some((group, single))
        })
    }

    /// Whether anything is beyond its limit.
    pub fn is_suspect(&self) -> bool {
        self.suspects().next().is_some()
            || !self.properties.is_empty()
            || !self.expectations.is_empty()
    }

    /// The metrics of a group.
    pub fn metrics_of<'a>(
        &'a self,
        group: &'a GroupChange,
    ) -> impl Iterator<Item = &'a MetricChange> {
        self.metrics.iter().filter(|metric| metric.group == group.id)
    }

    /// Metrics whose limits are too wide to say anything by themselves.
    pub fn too_noisy(&self) -> usize {
        self.metrics.iter().filter(|m| m.standing == Standing::TooNoisy).count()
    }

    /// The probes that measure what is suspect, by the declarations of that card.
    pub fn suspect_probes(&self, card: &Card) -> Vec<String> {
        let groups: Vec<&str> = self.suspects().map(|(group, _)| group.id.as_str()).collect();
        let wanted = |id: &str| {
            self.properties.iter().any(|property| property.id == id)
                || self.expectations.iter().any(|broken| broken.metric == id)
                || self.metrics.iter().any(|m| m.id == id && groups.contains(&m.group.as_str()))
        };
        let declared = card.header.declarations.iter();
        declared
            .filter(|d| d.metrics.iter().any(|metric| wanted(&metric.id)))
            .map(|d| d.probe.to_string())
            .collect()
    }

    /// What a second run, held against the same baseline, makes of it.
    #[must_use]
    pub fn confirmed_by(mut self, again: &Judgement) -> Judgement {
        if self.verdict != Verdict::Suspect {
            return self;
        }
        self.runs.extend(again.runs.iter().cloned());
        let mut asked_again = false;
        for group in self.groups.iter_mut().filter(|g| g.standing == Standing::Worse) {
            let other = again.groups.iter().find(|other| other.id == group.id);
            let change = other.and_then(|other| other.change);
            asked_again |= change.is_some();
            group.confirmed = change.is_some_and(|change| change >= CONFIRMS * group.limit);
        }
        for metric in self.metrics.iter_mut().filter(|m| m.standing == Standing::Worse) {
            let other = again.metrics.iter().find(|other| other.id == metric.id);
            asked_again |= other.is_some();
            metric.confirmed = other.is_some_and(|other| other.change >= CONFIRMS * metric.limit);
        }
        asked_again |= again.properties_judged > 0;
        for property in &mut self.properties {
            let mut others = again.properties.iter();
            property.confirmed =
                others.any(|other| other.id == property.id && same(other.now, property.now));
        }
        for broken in &mut self.expectations {
            let mut others = again.expectations.iter();
            broken.confirmed = others.any(|other| other.metric == broken.metric);
        }
        // A limit needs no baseline to say what is normal.
        let below_limits = self.expectations.iter().any(|broken| broken.confirmed);
        let confirmed = below_limits
            || self.groups.iter().any(|group| group.confirmed)
            || self.metrics.iter().any(|metric| metric.confirmed)
            || self.properties.iter().any(|property| property.confirmed);
        if !confirmed && !asked_again {
            let why = again.reasons.first().map_or("it has nothing of it", String::as_str);
            self.reasons = vec![format!("the second run says nothing of what is suspect: {why}")];
        } else if !confirmed {
            self.verdict = Verdict::Same;
            self.reasons = vec!["the second run does not confirm what was suspect".into()];
        } else if self.baseline < LEAST_CARDS && !below_limits {
            self.reasons = vec![format!(
                "confirmed, and yet only suspect: {} of baseline cannot tell how much runs of this \
                 machine differ; {LEAST_CARDS} can",
                crate::format::count(self.baseline, "card")
            )];
        } else {
            self.verdict = Verdict::Worse;
            self.reasons.clear();
        }
        self
    }

    /// What absolute limits say beside the baseline.
    #[must_use]
    pub fn with_limits(mut self, broken: Vec<Broken>) -> Judgement {
        self.expectations = broken;
        if self.verdict == Verdict::Same && !self.expectations.is_empty() {
            self.verdict = Verdict::Suspect;
        }
        self
    }

    /// What a frozen baseline says beside this one: what drifts so slowly that each card of a moving
    /// baseline is like the one before.
    #[must_use]
    pub fn beside_frozen(mut self, frozen: &Judgement) -> Judgement {
        if self.verdict == Verdict::Same && frozen.verdict == Verdict::Suspect {
            self.verdict = Verdict::Suspect;
            self.reasons = vec![
                "slow drift: within the noise of the last cards, and beyond that of \
                                 the frozen ones; the table is against these"
                    .into(),
            ];
            self.groups.clone_from(&frozen.groups);
            self.metrics.clone_from(&frozen.metrics);
            self.properties.clone_from(&frozen.properties);
            self.causes.clone_from(&frozen.causes);
            (self.baseline, self.span) = (frozen.baseline, frozen.span.clone());
        }
        self
    }

    /// Nothing held against nothing.
    pub(super) fn of_nothing() -> Judgement {
        Judgement {
            verdict: Verdict::Same,
            reasons: Vec::new(),
            baseline: 0,
            span: None,
            runs: Vec::new(),
            cpu: 0,
            tier: String::new(),
            set_aside: Vec::new(),
            differences: Vec::new(),
            clock: None,
            groups: Vec::new(),
            metrics: Vec::new(),
            neighbours: None,
            properties: Vec::new(),
            properties_judged: 0,
            missing: Vec::new(),
            other_methods: Vec::new(),
            expectations: Vec::new(),
            causes: Vec::new(),
        }
    }
}

pub(super) fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * a.abs().max(b.abs())
}
