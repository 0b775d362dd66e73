//! Branches: what a wrong guess costs, and what the predictors remember, against what is published.

use super::{Finding, published};
use crate::file::Card;
use crate::metrics::{Metrics, State};

pub(super) const SLOPE: &str = "branch.mispredict_fit_slope_ratio";
pub(super) const PIPELINE: &str = "branch.mispredict_pipeline_cycles";
const FAST: &str = "branch.mispredict_serial_cycles";
const SLOW: &str = "branch.mispredict_serial_slow_cycles";
const SHARE: &str = "branch.mispredict_slow_share_ratio";
const SAME_TARGET: &str = "branch.indirect_predicted_cycles";
const INDIRECT: &str = "branch.indirect_mispredict_cycles";

/// What is counted is held against what is published for the core.
const COUNTS: [&str; 3] =
    ["branch.return_depth_entries", "branch.btb_l1_entries", "branch.btb_l2_entries"];

/// An indirect jump to its previous target, and the jump back, cost three to seven cycles if they are
/// predicted at all, and fifteen where that is switched off.
const PREDICTED: f64 = 9.0;

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = penalty(metrics);
    found.extend(published::counts(card, metrics, &COUNTS, |_, _| None));
    found.extend(restricted(card, metrics));
    found
}

/// The mispredict penalty: whether half the branches failed, and whether it has two states.
fn penalty(metrics: &Metrics) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(slope) = metrics.number(SLOPE)
        && (slope - 1.0).abs() > 0.1
    {
        let headline =
            format!("mispredict penalty grows by {slope:.2} cycles per cycle of delay, not 1");
        let cause = "not half of the random branches mispredicted: the penalty is off as well";
        found.push(
            Finding::quality("MISPREDICT_METHOD", headline).cause(cause).of(&[SLOPE, PIPELINE]),
        );
    }
    // What one round alone saw was a disturbance, not a state of the machine.
    let rounds = |id| metrics.get(id).map_or(0, |value| value.rounds);
    let lasts = rounds(SLOW) >= rounds(FAST).min(2);
    let states = metrics.number(FAST).zip(metrics.number(SLOW)).filter(|_| lasts);
    if let Some(((fast, slow), share)) = states.zip(metrics.number(SHARE)) {
        let headline = format!("mispredict penalty has two states: {fast:.1} and {slow:.1} cycles");
        let cause = format!(
            "{fast:.1} cycles in {:.0} % of the samples, {slow:.1} in {:.0} %",
            100.0 * (1.0 - share),
            100.0 * share
        );
        found.push(
            Finding::limit("MISPREDICT_STATES", headline).cause(cause).of(&[FAST, SLOW, SHARE]),
        );
    }
    found
}

/// Mitigations against Spectre can switch the prediction of computed targets off.
fn restricted(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let value = metrics.get(SAME_TARGET).filter(|v| v.state != State::Inconsistent)?;
    // In every round: a busy sibling delays single ones.
    let cycles = value.value.filter(|_| value.low.is_some_and(|low| low > PREDICTED))?;
    let mitigations = card.header.machine.kernel.mitigations.known();
    let claim = mitigations.and_then(|all| all.get("spectre_v2"));
    let claim = claim.map_or(String::new(), |claim| format!(", and the kernel says: {claim}"));
    let headline =
        format!("indirect branch prediction is restricted: {cycles:.1} cycles to the last target");
    let cause = format!("mitigations switch the prediction of indirect targets off{claim}");
    Some(Finding::limit("INDIRECT_RESTRICTED", headline).cause(cause).of(&[SAME_TARGET, INDIRECT]))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::tests::{said, value};
    use super::*;
    use crate::metrics::Value;

    #[test]
    fn counts_near_the_published_ones_need_no_words() {
        // Zen 5: 52 returns.
        let near = vec![
            value("branch.return_depth_entries", Unit::Count, 52.0),
            value(SAME_TARGET, Unit::Cycles, 4.1),
        ];
        assert_eq!(said(near), [] as [String; 0]);
    }

    #[test]
    fn other_counts_are_noted_without_a_reason_that_is_made_up() {
        let text = said(vec![value("branch.return_depth_entries", Unit::Count, 31.0)]).join("\n");
        assert!(text.contains("31, published 52 (Zen 5 (Turin))"), "{text}");
        assert!(!text.contains(":  ") && !text.contains("ROB"), "no reason is made up: {text}");
    }

    #[test]
    fn two_states_of_the_penalty_come_with_their_shares() {
        let values = vec![
            value(FAST, Unit::Cycles, 14.2),
            value(SLOW, Unit::Cycles, 21.5),
            value(SHARE, Unit::Ratio, 0.25),
        ];
        let text = said(values.clone()).join("\n");
        assert!(text.contains("14.2 cycles in 75 %") && text.contains("21.5 in 25 %"), "{text}");
        let mut once = values;
        once[1] = Value { rounds: 1, ..value(SLOW, Unit::Cycles, 87.9) };
        assert_eq!(said(once), [] as [String; 0]);
        let text = said(vec![value(SLOPE, Unit::Ratio, 0.6)]).join("\n");
        assert!(text.contains("by 0.60 cycles"), "{text}");
    }

    #[test]
    fn restricted_prediction_is_named_with_the_kernels_words() {
        let text = said(vec![value(SAME_TARGET, Unit::Cycles, 15.2)]).join("\n");
        assert!(text.contains("prediction is restricted") && text.contains("15.2 cycles"));
    }
}
