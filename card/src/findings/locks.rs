//! What the prices of locks mean for programs.

use super::{Finding, believed};
use crate::metrics::Metrics;

const FAIR: &str = "locks.mutex_fairness_ratio";

/// Below half of an even share.
pub(super) fn find(metrics: &Metrics) -> Option<Finding> {
    let share = believed(metrics, FAIR).filter(|share| *share < 0.5)?;
    let headline =
        format!("contended mutex: fairness {:.0} % (min share ÷ fair share)", 100.0 * share);
    let cause = "the owner reacquires the lock before waiters wake up, or other work on a CPU";
    Some(Finding::limit("MUTEX_FAIRNESS", headline).cause(cause).of(&[FAIR]))
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
        assert!(text.contains("fairness 20 %") && text.contains("other work"), "{text}");
    }
}
