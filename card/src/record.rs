//! What a probe hands over while it runs: the lines of a card that hold measurements.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::counters::{Counts, Event};
use crate::declare::Unit;
use crate::glob;
use crate::machine::human_bytes;
use crate::vocabulary::{self, Grows};

/// Value of one parameter of a point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// A size, an offset, a CPU number.
    Int(i64),
    /// A variant, a pattern, a method.
    Text(String),
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Param::Int(n) => write!(f, "{n}"),
            Param::Text(s) => f.write_str(s),
        }
    }
}

impl From<u64> for Param {
    fn from(n: u64) -> Self {
        Param::Int(n.cast_signed())
    }
}

impl From<i64> for Param {
    fn from(n: i64) -> Self {
        Param::Int(n)
    }
}

impl From<&str> for Param {
    fn from(s: &str) -> Self {
        Param::Text(s.to_owned())
    }
}

/// Parameters of a point by name.
pub type Params = BTreeMap<String, Param>;

/// One quantity at one parameter setting, measured in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Id of the probe.
    pub probe: String,
    /// Which round, from 0.
    pub round: u32,
    /// What was measured.
    pub quantity: String,
    /// At which setting.
    #[serde(default)]
    pub params: Params,
    /// Unit of the samples. Times are always ns; cycles come from `core_ghz`.
    pub unit: Unit,
    /// Accepted samples, raw, in the order they were taken; per operation.
    #[serde(deserialize_with = "numbers")]
    pub samples: Vec<f64>,
    /// Operations in one sample; absent from the card where it is one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub ops: u64,
    /// Core clock (two-chain clock) around each sample, or one value where it stood still; empty
    /// where it has no meaning.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "numbers")]
    pub core_ghz: Vec<f64>,
    /// Why the core's clock is not known, and with it nothing that is in its cycles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_doubt: Option<String>,
    /// How often events happened during one sample of `ops` operations, the middle one, in user
    /// space; absent where they were not counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "counts")]
    pub counts: Counts,
    /// What went on meanwhile.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disturbances: Disturbances,
    /// Whether enough clean samples came together.
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: PointState,
    /// Which pages its memory really had, where that is not what was asked for.
    #[serde(
        default,
        skip_serializing_if = "is_default",
        deserialize_with = "vocabulary::or_unknown"
    )]
    pub backing: Backing,
    /// What the reader must know of this point, such as the page size that was really had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Point {
    /// How often that event happened in one operation, if it was counted.
    pub fn count(&self, event: Event) -> Option<f64> {
        self.counts.get(&event).map(|&count| count as f64 / self.ops as f64)
    }

    /// The samples in core cycles, if they are times with a known clock.
    pub fn cycles(&self) -> Option<Vec<f64>> {
        let times = |ghz: &f64, ns: &f64| ns * ghz;
        match &self.core_ghz[..] {
            _ if self.unit != Unit::Ns => None,
            [ghz] => Some(self.samples.iter().map(|ns| times(ghz, ns)).collect()),
            each if each.len() == self.samples.len() => {
                Some(each.iter().zip(&self.samples).map(|(ghz, ns)| times(ghz, ns)).collect())
            }
            _ => None,
        }
    }
}

/// Which pages memory really had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backing {
    /// Those that were asked for.
    #[default]
    AsAsked,
    /// Small ones, where huge ones were asked for.
    TooFewHuge {
        /// Bytes in huge pages.
        huge: u64,
        /// Of so many.
        asked: u64,
    },
    /// Huge ones, where small ones were asked for.
    SurplusHuge {
        /// Bytes in huge pages.
        huge: u64,
    },
    /// The kernel does not tell.
    Untold {
        /// Why.
        reason: String,
    },
    /// In a way that this program does not know.
    Unknown,
}

impl Grows for Backing {
    const UNKNOWN: Self = Backing::Unknown;
}

impl Backing {
    /// In words, where there is something to say.
    pub fn note(&self) -> Option<String> {
        match self {
            Backing::AsAsked | Backing::Unknown => None,
            Backing::TooFewHuge { huge, asked } => Some(format!(
                "small pages: the kernel gave huge ones for {} of {}",
                human_bytes(*huge),
                human_bytes(*asked)
            )),
            Backing::SurplusHuge { huge } => Some(format!(
                "huge pages: the kernel made {} of them although small ones were asked for",
                human_bytes(*huge)
            )),
            Backing::Untold { reason } => Some(format!("page size unknown: {reason}")),
        }
    }
}

/// Events that spoil a sample, summed over all samples of the point, rejected ones too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disturbances {
    /// Voluntary context switches.
    #[serde(skip_serializing_if = "is_default")]
    pub nvcsw: u64,
    /// Involuntary context switches.
    #[serde(skip_serializing_if = "is_default")]
    pub nivcsw: u64,
    /// Minor and major page faults.
    #[serde(skip_serializing_if = "is_default")]
    pub minflt: u64,
    /// Ticks that the hypervisor took.
    #[serde(skip_serializing_if = "is_default")]
    pub steal: u64,
    /// Samples that ended on another CPU than they began on.
    #[serde(skip_serializing_if = "is_default")]
    pub migrated: u64,
    /// Samples that ran on another CPU than the one they were pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strayed: Option<Strayed>,
    /// Samples whose clock moved by more than 1 % or is off the run's median by more than 2 %.
    #[serde(skip_serializing_if = "is_default")]
    pub clock: u64,
    /// Samples during which the hyperthread sibling was busy.
    #[serde(skip_serializing_if = "is_default")]
    pub sibling: u64,
    /// Samples that an interrupt fell into, where the core counts them.
    #[serde(skip_serializing_if = "is_default")]
    pub interrupts: u64,
    /// Samples that no machine can have given; see [`crate::plausible`].
    #[serde(skip_serializing_if = "is_default")]
    pub impossible: u64,
    /// Samples rejected for any of these.
    #[serde(skip_serializing_if = "is_default")]
    pub rejected: u64,
}

/// JSON writes as `null` what is no finite number.
fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let all = Vec::<Option<f64>>::deserialize(from)?;
    Ok(all.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}

/// Counts of the events that this version knows.
fn counts<'de, D: Deserializer<'de>>(from: D) -> Result<Counts, D::Error> {
    let all = BTreeMap::<String, u64>::deserialize(from)?;
    let event = |name: String| Event::deserialize(serde_json::Value::String(name)).ok();
    Ok(all.into_iter().filter_map(|(name, count)| Some((event(name)?, count))).collect())
}

/// Samples of a thread that something had moved away from its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strayed {
    /// The CPU that it was pinned to.
    pub home: usize,
    /// Where it was at the last of them.
    pub cpu: usize,
    /// How many.
    pub samples: u64,
}

impl fmt::Display for Strayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Strayed { home, cpu, .. } = self;
        write!(
            f,
            "ran on CPU {cpu}, not on CPU {home} as pinned: something moves this process (taskset, a \
             cpuset, a CPU that was switched off)"
        )
    }
}

/// What is usual is left out of the card.
fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
fn is_one(ops: &u64) -> bool {
    *ops == 1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether a point can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointState {
    /// Enough clean samples.
    #[default]
    Ok,
    /// Fewer clean samples than wanted, or the scheduler hit more than 30 % of them.
    Noisy,
    /// Of a later version: nothing says that it can be believed.
    #[serde(other)]
    Unknown,
}

/// A probe, or a part of one, that cannot run here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Skip {
    /// Id of the probe.
    pub probe: String,
    /// Ids of the metrics that are missing for it, as patterns with `*` and `?`; none where it is the
    /// whole probe, or a part of it that no metric needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// What it would have needed.
    pub need: String,
    /// What is there instead.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

impl Skip {
    /// A whole probe that lacks something; which one the bench knows.
    pub fn new(
        need: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Skip {
        let (need, reason, remedy) = (need.into(), reason.into(), remedy.into());
        Skip { probe: String::new(), metrics: Vec::new(), need, reason, remedy }
    }

    /// Only these metrics of it, by id or pattern.
    #[must_use]
    pub fn of<S: ToString>(mut self, metrics: impl IntoIterator<Item = S>) -> Skip {
        self.metrics = metrics.into_iter().map(|id| id.to_string()).collect();
        self
    }

    /// Whether that metric is missing for it.
    pub fn names(&self, id: &str) -> bool {
        self.metrics.iter().any(|pattern| glob::matches(pattern, id))
    }
}

/// A round that went wrong: crashed, hung, or found a wrong answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fail {
    /// Id of the probe.
    pub probe: String,
    /// Which round.
    pub round: u32,
    /// On which CPU, where a round visits each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
    /// In what way.
    #[serde(default)]
    pub cause: FailKind,
    /// What happened, in words: "killed by signal 11 (SIGSEGV)".
    pub how: String,
    /// The end of what it wrote to standard error.
    #[serde(default)]
    pub stderr: String,
}

/// In what way a round went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailKind {
    /// A kernel computed something wrong: the CPU, the memory or we are broken.
    Corruption,
    /// Its process could not be started.
    NotStarted,
    /// It gave no result in time and was killed.
    TimedOut,
    /// A signal ended it.
    Killed,
    /// It ended itself with an error.
    Failed,
    /// It wrote something that is no record.
    InvalidRecord,
    /// Of a kind that this program does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// One line of a child's output, and a line of the card.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are points")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// A measurement.
    Point(Point),
    /// Something that could not be measured here.
    Skip(Skip),
    /// Something that went wrong.
    Fail(Fail),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_cycles_with_one_clock_or_with_one_for_each() {
        let text = r#"{"probe":"p","round":0,"quantity":"q","unit":"ns","samples":[1.0,2.0]}"#;
        let mut point: Point = serde_json::from_str(text).unwrap();
        assert_eq!(point.cycles(), None);
        point.core_ghz = vec![3.0];
        assert_eq!(point.cycles(), Some(vec![3.0, 6.0]));
        point.core_ghz = vec![3.0, 4.0];
        assert_eq!(point.cycles(), Some(vec![3.0, 8.0]));
        point.core_ghz = vec![3.0, 4.0, 5.0];
        assert_eq!(point.cycles(), None);
        (point.core_ghz, point.unit) = (vec![3.0], Unit::Ghz);
        assert_eq!(point.cycles(), None);
    }
}
