//! What hardware counters contradict: what a number is called, and the clock that cycles come from.

use super::Finding;
use crate::file::Card;
use crate::metrics::counters::{self, ClockRatio};
use crate::metrics::proofs;

pub(super) fn find(card: &Card) -> Vec<Finding> {
    let mut found = refuted(card);
    found.extend(counters::clock_ratio(card).and_then(clock));
    found
}

/// Proofs that fail: their metrics are not what they are called.
fn refuted(card: &Card) -> Vec<Finding> {
    let verdicts = card.header.declarations.iter().flat_map(|d| proofs::verdicts(card, d));
    let failed = verdicts.filter(|verdict| !verdict.holds());
    failed
        .map(|verdict| {
            let ids: Vec<&str> = verdict.proof.metrics.iter().map(|id| id.as_ref()).collect();
            let first = ids.first().copied().unwrap_or_default();
            let headline = format!("hardware counters refute {first}: do not quote it");
            Finding::quality("COUNTER_REFUTES", headline).cause(verdict.text()).of(&ids)
        })
        .collect()
}

/// The counter and the chains are witnesses of the same clock, each good to a hundredth.
const CLOCKS_APART: f64 = 0.03;

/// Fewer points may all have met the same disturbance.
const LEAST_POINTS: usize = 5;

fn clock(ratio: ClockRatio) -> Option<Finding> {
    let ClockRatio { median, low, high, points } = ratio;
    let apart = (median - 1.0).abs() > CLOCKS_APART && points >= LEAST_POINTS;
    apart.then(|| {
        let headline =
            format!("cycle counter and two-chain clock differ: {median:.3}× as many cycles counted");
        let cause = format!(
            "over {points} points, {low:.3} to {high:.3} in eight of ten: either the chains do not take \
             the cycles that they are taken for on this CPU, or the counter counts another clock; no \
             number in cycles is to be trusted"
        );
        Finding::quality("CLOCK_COUNTERS", headline).cause(cause).of(&["clock.core_ghz"])
    })
}

#[cfg(test)]
mod tests {
    use crate::counters::Event;

    use super::*;
    use crate::findings::Group;
    use crate::fixture;
    use crate::metrics::State;
    use crate::record::PointState;

    fn texts(card: &Card) -> Vec<String> {
        find(card).into_iter().map(|finding| finding.text()).collect()
    }

    #[test]
    fn a_refuted_metric_is_a_finding_and_inconsistent_and_json_says_both() {
        let summary = fixture::counted();
        let found = find(&summary.card);
        assert_eq!(found.len(), 1, "{found:?}");
        let ids = ["branch.indirect_mispredict_cycles", "branch.indirect_mispredict_ns"];
        assert_eq!(found[0].evidence, ids);
        assert_eq!(found[0].group, Group::Quality);
        assert!(found[0].text().contains("mispredicts per operation"), "{found:?}");
        let of = |id| summary.metrics.get(id).unwrap();
        assert!(ids.iter().all(|id| of(id).state == State::Inconsistent));
        assert_ne!(fixture::recorded().metrics.get(ids[1]).unwrap().state, State::Inconsistent);
        assert_ne!(of("memory.latency.dram_ns").state, State::Inconsistent);
        let json = crate::summary::json(&summary);
        let metric = &json["metrics"][ids[1]];
        assert_eq!(metric["state"], "inconsistent");
        assert!(metric["reason"].as_str().unwrap().contains("refuted by a counter"), "{metric}");
        let said = json["findings"].as_array().unwrap().iter();
        assert_eq!(said.filter(|f| f["headline"] == found[0].headline.as_str()).count(), 1);
    }

    #[test]
    fn clocks_that_differ_by_more_than_three_percent_are_a_finding() {
        let with_cycles = |factor: f64| {
            let mut card = fixture::counted().card;
            card.header.declarations.clear();
            for count in card.points.iter_mut().filter_map(|p| p.counts.get_mut(&Event::CoreCycles))
            {
                *count = (*count as f64 * factor).round() as u64;
            }
            card
        };
        assert_eq!(texts(&with_cycles(1.0)), [] as [String; 0]);
        assert_eq!(texts(&with_cycles(0.98)), [] as [String; 0]);
        for factor in [0.95, 1.06] {
            let text = texts(&with_cycles(factor)).join("\n");
            assert!(text.contains(&format!("{:.2}", factor * 1.001)[..4]), "{text}");
        }
        let few = |points: usize| {
            let mut card = with_cycles(1.5);
            card.points
                .retain(|p| p.state == PointState::Ok && p.counts.contains_key(&Event::CoreCycles));
            card.points.truncate(points);
            texts(&card).len()
        };
        assert_eq!((few(LEAST_POINTS - 1), few(LEAST_POINTS)), (0, 1));
        assert_eq!(texts(&fixture::recorded().card), [] as [String; 0]);
    }
}
