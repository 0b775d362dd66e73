//! What `probecard check --json` said, as far as others pass it on.

use card::judge::{Standing, Verdict};
use serde::Deserialize;

/// A judgement as it is read from a file. What a later version says besides is no obstacle.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Judged {
    /// What came of it.
    pub verdict: Verdict,
    /// The same in one sentence. `probecard compare --json`, which judges nothing, has none.
    pub headline: String,
    /// When the card that was judged began, and the run that confirmed it; RFC 3339.
    pub runs: Vec<String>,
    /// Groups of metrics.
    pub groups: Vec<Group>,
    /// Single metrics.
    pub metrics: Vec<Metric>,
}

/// A group of metrics.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Group {
    /// A word that stays the same.
    pub id: String,
    /// On the natural logarithm, more is worse: 0.05 is 5 % more time, or 5 % less of a rate.
    pub change: Option<f64>,
    /// Where it stands.
    pub standing: Standing,
    /// A second run said the same.
    pub confirmed: bool,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Metric {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub standing: Standing,
    /// A second run said the same.
    pub confirmed: bool,
}
