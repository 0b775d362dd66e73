//! What differs from what is published for this core.

use crate::declare::Unit;

use super::{Finding, believed, design, noun};
use crate::file::Card;
use crate::format;
use crate::metrics::{Metrics, State, Value};
use crate::reference;

/// How far outside a published range a value may lie unmentioned: the ranges themselves come from
/// measurements of this precision.
const PUBLISHED_TOLERANCE: f64 = 0.03;

/// The code of what is not as published.
const CODE: &str = "OFF_PUBLISHED";

/// `54.6 cycles, published 50 (Zen 4)`.
fn beside(value: &Value, measured: &str, range: &str, arch: &str) -> String {
    format!("{}: {measured}, published {range} ({arch})", noun(&value.summary))
}

/// Times in cycles outside the published range.
pub(super) fn cycles(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let Some(arch) = design(card) else { return Vec::new() };
    let outside = |value: &Value| {
        let (measured, range) = (value.value?, reference::published(&arch.key, &value.id)?);
        // Sizes are held against the machine's own claims.
        let cycles = value.unit == Unit::Cycles;
        let low = measured < range.low * (1.0 - PUBLISHED_TOLERANCE);
        let high = measured > range.high * (1.0 + PUBLISHED_TOLERANCE);
        (cycles && value.state != State::Inconsistent && (low || high)).then(|| {
            let published = if range.low == range.high {
                format!("{}", range.low)
            } else {
                format!("{} to {}", range.low, range.high)
            };
            let measured = format::measured(value);
            let headline = beside(value, &measured, &published, &arch.name);
            Finding::limit(CODE, headline).of(&[&value.id])
        })
    };
    metrics.0.iter().filter_map(outside).collect()
}

/// A count is off if it differs by more than this.
const CLOSE: f64 = 0.05;

/// Those of the counts that are not the published ones, each with the reason that `why` knows of: then
/// the method is at its end, and not the machine.
pub(super) fn counts(
    card: &Card,
    metrics: &Metrics,
    ids: &[&str],
    why: impl Fn(&str, f64) -> Option<&'static str>,
) -> Vec<Finding> {
    let Some(arch) = design(card) else { return Vec::new() };
    let off = |id: &&str| {
        let (value, measured) = (metrics.get(id)?, believed(metrics, id)?);
        let published = reference::published(&arch.key, id)?;
        let low = measured < published.low * (1.0 - CLOSE);
        let high = measured > published.high * (1.0 + CLOSE);
        (low || high).then(|| {
            let range = format::range(published.low, published.high, Unit::Count);
            match why(id, measured) {
                Some(why) => {
                    let headline = beside(
                        value,
                        &format!("≥ {}", format::measured(value)),
                        &range,
                        &arch.name,
                    );
                    Finding::quality("LOWER_BOUND", headline).cause(why).of(&[id])
                }
                None => {
                    let headline = beside(value, &format::measured(value), &range, &arch.name);
                    Finding::limit(CODE, headline).of(&[id])
                }
            }
        })
    };
    ids.iter().filter_map(off).collect()
}
