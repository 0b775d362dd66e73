//! What a probe declares: quantities, the metrics that come of them, and what proves them.
//!
//! The declarations of every probe travel in the header of the card, so that whoever reads a
//! card (report, check, fleet) needs to know no probe by name. In particular each [`Metric`]
//! says in [`Derive`] how it is computed from the points of the card.

mod builder;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::Event;
use crate::vocabulary::{self, Grows};

pub use builder::{Bound, Declare, Points, at_least, at_most, between};

/// Text that is constant in the program and owned when it was read from a card.
pub type Text = Cow<'static, str>;

/// The part of a probe that is written into the card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Declaration {
    /// Stable id of the probe.
    pub probe: Text,
    /// One line.
    pub summary: Text,
    /// Which method it measures by: numbers by different ones are never compared silently. 0 on cards of
    /// before methods had numbers.
    #[serde(default)]
    pub method: u32,
    /// What it records; empty on cards of before there was this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantities: Vec<Quantity>,
    /// Its metrics.
    pub metrics: Vec<Metric>,
    /// What counters must say of its points, where this version knows the events.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "vocabulary::known"
    )]
    pub proofs: Vec<Proof>,
}

/// What a probe records, and the order statistic that stands for the samples of one round wherever
/// it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantity {
    /// Its points: all of that name, or those whose parameters have certain values.
    #[serde(flatten)]
    pub at: Select,
    /// Unit of the samples.
    pub unit: Unit,
    /// Which statistic.
    #[serde(deserialize_with = "vocabulary::or_unknown")]
    pub estimator: Estimator,
}

/// A named scalar of the card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Stable id, such as `memory.latency.l1_cycles`.
    pub id: Text,
    /// What it says, in one line.
    pub summary: Text,
    /// Its unit.
    pub unit: Unit,
    /// Which direction is good.
    pub better: Better,
    /// How much noise the fleet rules expect of it.
    pub tier: NoiseClass,
    /// The component family it speaks for.
    pub family: Text,
    /// Why it never says by itself that a machine got worse; `None`: it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_only: Option<ReportOnly>,
    /// How it comes from the points.
    #[serde(deserialize_with = "vocabulary::or_unknown")]
    pub from: Derive,
}

/// Why a metric is shown and never says by itself that a machine got worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOnly {
    /// A quotient: worse may be the numerator or a better denominator.
    Quotient,
    /// The same measurement in another unit: one event must not count twice.
    Repeats,
    /// A device's state decides: disks, networks.
    Device,
    /// Where the host or the kernel puts threads decides.
    Placement,
    /// Who wins is chance: contended locks, more threads than CPUs.
    Contention,
    /// What neighbours leave of a shared cache decides.
    Neighbours,
    /// The tail of a distribution.
    Tail,
    /// Runs of one machine do not agree on it.
    Unsteady,
    /// By a reason of a later version.
    #[serde(other)]
    Unknown,
}

impl ReportOnly {
    /// What the unit alone says.
    pub(crate) fn of_unit(unit: Unit) -> Option<ReportOnly> {
        (unit == Unit::Ratio).then_some(ReportOnly::Quotient)
    }
}

/// Of a measurement in two units one is judged: what a core does in cycles, what it waits for in time.
pub(crate) fn mark_repeats(metrics: &mut [Metric]) {
    // By its text, of which there is one for each rule: a card may declare very many.
    let rule = |metric: &Metric| serde_json::to_string(&metric.from).unwrap_or_default();
    let mut derived: BTreeMap<String, usize> = BTreeMap::new();
    metrics.iter().for_each(|metric| *derived.entry(rule(metric)).or_default() += 1);
    for metric in metrics {
        let waits = matches!(metric.tier, NoiseClass::T3 | NoiseClass::T4);
        if waits == metric.unit.counts_cycles() && derived[&rule(metric)] > 1 {
            metric.report_only = metric.report_only.or(Some(ReportOnly::Repeats));
        }
    }
}

/// What a counter must say of some points: without it, metrics are not what they are called.
/// Where nothing is counted it proves and refutes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Ids of the metrics.
    pub metrics: Vec<Text>,
    /// The points.
    pub at: Select,
    /// Of those only the ones where this parameter is least or most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<(Text, Edge)>,
    /// What is counted.
    pub event: Event,
    /// How often it must happen in one operation at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// And at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
}

/// An end of the values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// Where it is least.
    Least,
    /// Where it is most.
    Most,
}

/// Unit of a point or a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds, per operation unless the summary says otherwise.
    Ns,
    /// Core clock cycles, per operation.
    Cycles,
    /// 10⁹ per second.
    Ghz,
    /// Milliseconds.
    Ms,
    /// Bytes.
    Bytes,
    /// 10⁹ bytes per second.
    Gbs,
    /// 10⁹ operations per second.
    Gops,
    /// Bytes per core clock cycle.
    BytesPerCycle,
    /// 10⁹ floating-point operations per second.
    Gflops,
    /// Instructions or operations per core clock cycle.
    PerCycle,
    /// A number without unit.
    Ratio,
    /// A count.
    Count,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

impl Unit {
    /// The unit as it is printed behind a number.
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Ns => "ns",
            Unit::Cycles => "cycles",
            Unit::Ghz => "GHz",
            Unit::Ms => "ms",
            Unit::Bytes => "B",
            Unit::Gbs => "GB/s",
            Unit::Gops => "Gop/s",
            Unit::BytesPerCycle => "B/cycle",
            Unit::Gflops => "Gflop/s",
            Unit::PerCycle => "/cycle",
            Unit::Ratio | Unit::Count | Unit::Unknown => "",
        }
    }
}

impl Unit {
    /// Whether it counts in cycles of the core, which a slower clock leaves as they are.
    pub fn counts_cycles(self) -> bool {
        matches!(self, Unit::Cycles | Unit::PerCycle | Unit::BytesPerCycle)
    }

    /// The unit that an id ends in.
    ///
    /// # Panics
    /// Where it ends in none, which no declared metric does.
    pub fn of_id(id: &str) -> Unit {
        const ENDINGS: [(&str, Unit); 14] = [
            ("_bytes_per_cycle", Unit::BytesPerCycle),
            ("_per_cycle", Unit::PerCycle),
            ("_cycles", Unit::Cycles),
            ("_ns", Unit::Ns),
            ("_ms", Unit::Ms),
            ("_ghz", Unit::Ghz),
            ("_gbs", Unit::Gbs),
            ("_gops", Unit::Gops),
            ("_gflops", Unit::Gflops),
            ("_bytes", Unit::Bytes),
            ("_entries", Unit::Count),
            ("_ways", Unit::Count),
            ("_misses", Unit::Count),
            ("_ratio", Unit::Ratio),
        ];
        let ending = ENDINGS.iter().find(|ending| id.ends_with(ending.0));
        ending.unwrap_or_else(|| panic!("{id} does not end in a unit")).1
    }

    /// Which direction is good of most metrics of this unit.
    pub fn usually_better(self) -> Better {
        match self {
            Unit::Ns | Unit::Cycles | Unit::Ms => Better::Lower,
            Unit::Bytes | Unit::Count => Better::Same,
            _ => Better::Higher,
        }
    }
}

/// Which direction of a metric is an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// A property; any change is a finding.
    Same,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// Noise class of a metric, by what ten runs on a shared machine differed: T1 core cycles, T2
/// frequency, branches and cache bandwidth, T3 L3 and DRAM, T4 what the scheduler or the host
/// decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the fleet's, explained above")]
pub enum NoiseClass {
    T1,
    T2,
    T3,
    T4,
    #[serde(other)]
    Unknown,
}

/// Points of one quantity, narrowed by parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Select {
    /// Name of the quantity as recorded.
    pub quantity: Text,
    /// Parameters that must have these values, written as text.
    #[serde(rename = "where", default)]
    pub params: Vec<(Text, Text)>,
}

impl Select {
    /// Points of that quantity, narrowed by parameters.
    pub fn of(quantity: impl Into<Text>, params: &[(&'static str, &'static str)]) -> Select {
        let params = params.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Select { quantity: quantity.into(), params }
    }
}

/// Which order statistic of the samples stands for a point in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// 25th percentile: time-like quantities, whose noise only adds.
    LowerQuartile,
    /// 75th percentile: rates.
    UpperQuartile,
    /// 50th percentile: scheduler and contended quantities.
    Median,
    /// 99th percentile: tails.
    P99,
    /// Arithmetic mean: shares of time.
    Mean,
    /// The lowest: where each sample stands for something else, such as a pair of CPUs.
    Lowest,
    /// The highest of such samples.
    Highest,
    /// Of a later version.
    Unknown,
}

impl Grows for Estimator {
    const UNKNOWN: Self = Estimator::Unknown;
}

/// A level of the memory hierarchy on a latency curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    L1,
    L2,
    L3,
    Dram,
}

impl Level {
    /// As in parameters and ids.
    pub const fn name(self) -> &'static str {
        match self {
            Level::L1 => "l1",
            Level::L2 => "l2",
            Level::L3 => "l3",
            Level::Dram => "dram",
        }
    }
}

/// One of the two states of a bimodal quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The lower cluster, or the only one.
    Fast,
    /// The upper cluster.
    Slow,
}

/// How a metric is derived from the points of a card. Evaluated per round; the metric is the
/// median over rounds, its interval the spread between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Derive {
    /// One order statistic of the selected samples.
    Value(Select, Estimator),
    /// Height of a plateau of the curve over `working_set`.
    Plateau(Select, Level),
    /// The working set up to which the plateau of that level holds, in bytes.
    Capacity(Select, Level),
    /// Distance of the borders that an access of that width pays for crossing, from a curve over
    /// its offset.
    Borders(Select, Text, f64),
    /// First value of the parameter from which the curve stays low: `.0` before, lower after.
    StepDown(Select, Text),
    /// First value of the parameter from which the curve stays high.
    StepUp(Select, Text),
    /// The value on which most of these agree; `inconsistent` without a majority.
    Vote(Vec<Derive>),
    /// Slope of the least-squares line over the named parameter.
    Slope(Select, Text),
    /// Where that line meets zero.
    Intercept(Select, Text),
    /// Value of one of the two states of a bimodal quantity.
    ModeValue(Select, Mode),
    /// Share of the samples in the slow state.
    SlowShare(Select),
    /// First minus second.
    Difference(Vec<Derive>),
    /// First divided by second.
    Quotient(Vec<Derive>),
    /// A multiple of another one: a penalty from half a miss per branch, for instance.
    Times(f64, Vec<Derive>),
    /// The lowest of the selected points: the best of the settings that are not selected.
    Lowest(Select),
    /// The highest of the selected points: the worst of the settings that are not selected.
    Highest(Select),
    /// So many units in the time of another one: GB/s from ns per byte.
    Rate(f64, Vec<Derive>),
    /// The last value of the parameter before the curve leaves its beginning by that many cycles.
    LastBefore(Select, Text, f64),
    /// Where the curve has covered this share of the way from its beginning to its end, between
    /// two sizes in proportion.
    Crossing(Select, Text, f64),
    /// All of them multiplied.
    Product(Vec<Derive>),
    /// The power of two that another one is near to: a number of sets.
    PowerOfTwo(Vec<Derive>),
    /// The first curve where the second one reaches this share of its highest value; both are over
    /// the same parameter.
    AtShare(Select, Select, Text, f64),
    /// How often that event happened in one operation of the selected points, where it was counted.
    Count(Select, Event),
    /// A share of what is published for the metric of that id on this microarchitecture.
    OfPublished(Vec<Derive>, Text),
    /// By a rule of another version, or from what one of these rules knows nothing of.
    Unknown,
}

impl Derive {
    /// What it is put together from, if it is.
    pub fn parts(&self) -> &[Derive] {
        match self {
            Derive::Vote(parts)
            | Derive::Difference(parts)
            | Derive::Quotient(parts)
            | Derive::Times(_, parts)
            | Derive::Rate(_, parts)
            | Derive::Product(parts)
            | Derive::PowerOfTwo(parts)
            | Derive::OfPublished(parts, _) => parts,
            _ => &[],
        }
    }

    /// The points that it comes from.
    pub fn points(&self) -> Vec<&Select> {
        match self {
            Derive::Value(at, _)
            | Derive::Plateau(at, _)
            | Derive::Capacity(at, _)
            | Derive::Borders(at, ..)
            | Derive::StepDown(at, _)
            | Derive::StepUp(at, _)
            | Derive::Slope(at, _)
            | Derive::Intercept(at, _)
            | Derive::ModeValue(at, _)
            | Derive::SlowShare(at)
            | Derive::Lowest(at)
            | Derive::Highest(at)
            | Derive::LastBefore(at, ..)
            | Derive::Crossing(at, ..)
            | Derive::Count(at, _) => vec![at],
            Derive::AtShare(curve, rates, ..) => vec![curve, rates],
            _ => self.parts().iter().flat_map(Derive::points).collect(),
        }
    }
}

impl Grows for Derive {
    const UNKNOWN: Self = Derive::Unknown;
}
