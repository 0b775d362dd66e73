//! What the prices of locks mean for programs.

use super::{Finding, believed};
use crate::metrics::Metrics;

const FAIR: &str = "locks.mutex_fairness_ratio";

/// Below half of an even share.
pub(super) fn find(metrics: &Metrics) -> Option<Finding> {
    let share = believed(metrics, FAIR).filter(|share| *share < 0.5)?;
    let text = format!(
        "with all CPUs at one mutex, the one that had it least had {:.0} % of an even share while it \
         was watched: one that takes it again before others wake up, or a CPU that had other work, \
         looks like that",
        100.0 * share
    );
    Some(Finding::note(text, &[FAIR]))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::tests::{said, value};
    use super::*;

    #[test]
    fn an_unfair_mutex_is_told() {
        let fair = |share| said(vec![value(FAIR, Unit::Ratio, share)]);
        assert_eq!(fair(0.9), [] as [String; 0]);
        let text = fair(0.2).join("\n");
        assert!(text.contains("20 % of an even share") && text.contains("other work"), "{text}");
    }
}
