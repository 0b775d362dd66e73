//! What others took of the measured CPU.

use super::{Finding, believed};
use crate::file::Card;
use crate::metrics::Metrics;

pub(super) const GAPS: &str = "noise.gap_ratio";
pub(super) const SIBLING: &str = "noise.sibling_busy_ratio";

/// A share of the time that is worth a word.
const LOST: f64 = 0.01;

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let lost = believed(metrics, GAPS).filter(|lost| *lost > LOST).map(|lost| {
        let headline = format!("{:.1} % of the CPU's time lost to gaps above 1 µs", lost * 100.0);
        let quota = card.header.machine.cpu_quota();
        let own = card.throttled(|probe| probe == "noise").by(quota);
        let host = "interrupts, other threads or the hypervisor took it";
        Finding::quality("CPU_NOISE", headline).cause(own.as_deref().unwrap_or(host)).of(&[GAPS])
    });
    own_quota(card).into_iter().chain(lost).collect()
}

/// What this run did to itself by asking for more than its share.
fn own_quota(card: &Card) -> Option<Finding> {
    let all = card.throttled(|_| true);
    let cause = all.by(card.header.machine.cpu_quota())?;
    let headline =
        format!("CPU quota stopped this run for {:.1} s of its threads' time", all.seconds);
    let action =
        "what was measured then is the quota, not the machine: give the group more CPU time";
    Some(Finding::quality("CPU_QUOTA", headline).cause(cause).action(action))
}
