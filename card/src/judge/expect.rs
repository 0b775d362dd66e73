//! Absolute limits of a machine model, as its buyer states them: a machine that was slow from its first
//! day is like its baseline.

use serde::{Deserialize, Serialize};

use crate::declare::Unit;
use crate::glob;
use crate::summary::Summary;

/// Limits as a file states them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    expect: Vec<Expectation>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// Pattern of the processor's name; of any if it is not said.
    model: Option<String>,
    metric: String,
    min: Option<f64>,
    max: Option<f64>,
}

/// A limit that a card does not keep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    /// Id of the metric.
    pub metric: String,
    /// Its unit.
    pub unit: Unit,
    /// What the card says; `None`: nothing.
    pub value: Option<f64>,
    /// Expected at least.
    pub min: Option<f64>,
    /// And at most.
    pub max: Option<f64>,
    /// A second run says the same.
    pub confirmed: bool,
}

impl Expectations {
    /// Reads a file's text: `[[expect]]` with `metric`, `min`, `max` and, if only of some processors, a
    /// pattern for their name as `model`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Expectations, String> {
        let read: Expectations = toml::from_str(text).map_err(|error| error.to_string())?;
        match read.expect.iter().find(|e| e.min.is_none() && e.max.is_none()) {
            Some(idle) => Err(format!("{} is expected to be nothing: add min or max", idle.metric)),
            None => Ok(read),
        }
    }

    /// The limits that this card does not keep.
    ///
    /// # Errors
    /// Names a metric that there is none of.
    pub fn broken(&self, now: &Summary) -> Result<Vec<Broken>, String> {
        let brand = now.card.header.machine.cpu.brand.known().map_or("", String::as_str);
        let of_it = |e: &&Expectation| e.model.as_ref().is_none_or(|m| glob::matches(m, brand));
        let mut broken = Vec::new();
        for Expectation { metric, min, max, .. } in self.expect.iter().filter(of_it) {
            let value = now.metrics.get(metric);
            let value =
                value.ok_or_else(|| format!("no metric of this card is called {metric}"))?;
            let keeps = value.value.is_some_and(|value| {
                min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
            });
            if !keeps {
                broken.push(Broken {
                    metric: metric.clone(),
                    unit: value.unit,
                    value: value.value,
                    min: *min,
                    max: *max,
                    confirmed: false,
                });
            }
        }
        Ok(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::recorded;

    fn broken(text: &str) -> Result<Vec<String>, String> {
        let broken = Expectations::parse(text)?.broken(&recorded())?;
        Ok(broken.into_iter().map(|b| b.metric).collect())
    }

    #[test]
    fn what_is_not_kept_is_named() {
        let limit = |rest: &str| {
            broken(&format!("[[expect]]\nmetric = \"memory.latency.l1_cycles\"\n{rest}\n"))
        };
        let id = vec!["memory.latency.l1_cycles".to_owned()];
        assert_eq!(limit("max = 100.0"), Ok(vec![]));
        assert_eq!(limit("max = 1.0"), Ok(id.clone()));
        assert_eq!(limit("min = 100.0"), Ok(id.clone()));
        assert_eq!(limit("model = \"AMD*\"\nmin = 100.0"), Ok(id));
        assert_eq!(limit("model = \"Intel*\"\nmin = 100.0"), Ok(vec![]));
        // What was not measured keeps no limit.
        let absent = "[[expect]]\nmetric = \"numa.remote_ns\"\nmax = 1e9\n";
        assert_eq!(broken(absent), Ok(vec!["numa.remote_ns".to_owned()]));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        assert!(broken("[[expect]]\nmetric = \"a\"\n").unwrap_err().contains("add min or max"));
        assert!(
            broken("[[expect]]\nmetric = \"a\"\nmin = 1.0\n").unwrap_err().contains("called a")
        );
        assert!(broken("[[expect]]\nmetrics = \"a\"\n").unwrap_err().contains("metrics"));
        assert!(broken("").is_err());
    }
}
