//! The core: how far it looks ahead, and what its predictors remember, against what is published.

use super::Finding;
use crate::file::Card;
use crate::format;
use crate::metrics::{Metrics, State, Value};
use crate::reference::{self, Published};

const WINDOW: &str = "core.reorder_window_entries";
const LOADS: &str = "core.load_queue_entries";
const TARGETS: &str = "branch.btb_l2_entries";
const SAME_TARGET: &str = "branch.indirect_predicted_cycles";
const INDIRECT: &str = "branch.indirect_mispredict_cycles";

/// What is counted is held against what is published for the core.
const COUNTS: [&str; 6] = [
    WINDOW,
    LOADS,
    "core.store_queue_entries",
    "branch.return_depth_entries",
    "branch.btb_l1_entries",
    TARGETS,
];

/// A count is off if it differs by more than this.
const CLOSE: f64 = 0.05;

/// A jump to where the last one went, and the one back to it, cost three to seven cycles if they are
/// predicted at all, and fifteen where that is switched off.
const PREDICTED: f64 = 9.0;

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let arch = card.header.machine.cpu.microarchitecture.known();
    let off = |id: &&str| {
        let (arch, value) = (arch?, metrics.get(id)?);
        let believed = matches!(value.state, State::Ok | State::Noisy);
        let measured = value.value.filter(|_| believed)?;
        let published = reference::published(&arch.key, id)?;
        let low = measured < published.low * (1.0 - CLOSE);
        let high = measured > published.high * (1.0 + CLOSE);
        (low || high).then(|| count(metrics, value, measured, &published, &arch.name))
    };
    // A window that is halved explains itself, whatever is published.
    let halved = halved(card, metrics);
    let known = |id: &&&str| halved.is_none() || **id != WINDOW;
    let counts = COUNTS.iter().filter(known).filter_map(off);
    counts.chain(halved.clone()).chain(restricted(card, metrics)).collect()
}

fn count(
    metrics: &Metrics,
    value: &Value,
    measured: f64,
    published: &Published,
    arch: &str,
) -> Finding {
    let range = format::range(published.low, published.high, value.unit);
    let why = why(metrics, &value.id, measured).map_or(String::new(), |why| format!(": {why}"));
    let text = format!("{}: {measured:.0}, published for {arch} {range}{why}", value.summary);
    Finding::note(text, &[&value.id])
}

/// Reasons that are known for a count that is not the published one.
fn why(metrics: &Metrics, id: &str, measured: f64) -> Option<&'static str> {
    let window = metrics.number(WINDOW);
    match id {
        LOADS if window.is_some_and(|window| measured > 0.9 * window) => Some(
            "the window ends first, so that loads which are done do not keep their place in the queue",
        ),
        TARGETS => Some(
            "these jumps come in random order; if neighbouring branches share entries in the \
             published count, that is not seen here",
        ),
        _ => None,
    }
}

/// A core that runs two threads gives each of them half of its window.
fn halved(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let value = metrics.get(WINDOW)?;
    let (measured, low, high) = (value.value?, value.low?, value.high?);
    let half = |part: f64, whole: f64| (0.4..0.6).contains(&(part / whole));
    let arch = card.header.machine.cpu.microarchitecture.known();
    let published = arch.and_then(|arch| reference::published(&arch.key, WINDOW));
    let text = if half(low, high) {
        format!(
            "the core's window holds {low:.0} instructions in some rounds and {high:.0} in others: \
             it looks halved, because the sibling thread is busy, and other counts of this card may \
             be those of half a core too"
        )
    } else if let Some(published) = published.filter(|p| half(measured, p.high)) {
        format!(
            "the core's window holds {measured:.0} instructions, published {:.0}: it looks halved, \
             because the sibling thread is always busy or the core is split between two threads",
            published.high
        )
    } else {
        return None;
    };
    Some(Finding::warning(text, &[WINDOW]))
}

/// Mitigations against Spectre can switch the prediction of computed targets off.
fn restricted(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let value = metrics.get(SAME_TARGET).filter(|v| v.state != State::Inconsistent)?;
    // In every round: a busy sibling delays single ones.
    let cycles = value.value.filter(|_| value.low.is_some_and(|low| low > PREDICTED))?;
    let mitigations = card.header.machine.kernel.mitigations.known();
    let claim = mitigations
        .and_then(|all| all.get("spectre_v2"))
        .map_or(String::new(), |claim| format!(" (the kernel says: {claim})"));
    let text = format!(
        "indirect prediction is restricted by mitigations: an indirect jump to \
         where the last one went takes {cycles:.1} cycles{claim}"
    );
    Some(Finding::warning(text, &[SAME_TARGET, INDIRECT]))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::tests::{said, value};
    use super::*;

    fn entries(id: &str, n: f64) -> Value {
        value(id, Unit::Count, n)
    }

    #[test]
    fn counts_near_the_published_ones_need_no_words() {
        // Zen 5: a window of 448, 52 returns, 104 stores.
        let near = vec![
            entries(WINDOW, 441.0),
            entries("branch.return_depth_entries", 52.0),
            entries("core.store_queue_entries", 104.0),
            value(SAME_TARGET, Unit::Cycles, 4.1),
        ];
        assert_eq!(said(near), [] as [String; 0]);
    }

    #[test]
    fn other_counts_are_noted_with_their_reason_if_one_is_known() {
        let text = said(vec![entries("branch.return_depth_entries", 31.0)]).join("\n");
        assert!(text.contains("31, published for Zen 5 (Turin) 52"), "{text}");
        assert!(!text.contains("52:"), "no reason is made up: {text}");
        let loads = vec![entries(WINDOW, 445.0), entries(LOADS, 440.0)];
        let text = said(loads).join("\n");
        assert!(text.contains("the window ends first"), "{text}");
        let text = said(vec![entries(TARGETS, 4000.0)]).join("\n");
        assert!(text.contains("come in random order"), "{text}");
    }

    #[test]
    fn a_window_that_looks_halved_is_a_warning_and_said_once() {
        let all = said(vec![entries(WINDOW, 222.0)]);
        assert_eq!(all.len(), 1);
        assert!(all[0].contains("looks halved"), "{all:?}");
        let mut mixed = entries(WINDOW, 440.0);
        mixed.low = Some(220.0);
        assert!(said(vec![mixed]).join("\n").contains("220 instructions in some rounds"));
        // A window that is merely another one is not halved.
        assert!(!said(vec![entries(WINDOW, 320.0)]).join("\n").contains("halved"));
    }

    #[test]
    fn restricted_prediction_is_named_with_the_kernels_words() {
        let text = said(vec![value(SAME_TARGET, Unit::Cycles, 15.2)]).join("\n");
        assert!(text.contains("restricted by mitigations") && text.contains("15.2 cycles"));
    }
}
