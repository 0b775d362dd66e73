//! Cache lines between CPUs: how far apart the data of threads must be, and claimed neighbours that
//! are none.

use crate::declare::Unit;
use crate::machine::Relation;

use super::{Finding, believed};
use crate::file::Card;
use crate::format;
use crate::metrics::Metrics;
use crate::view::core_matrix::{self, Pair};

const STEP: &str = "false_sharing.step_bytes";
const PADDING: &str = "false_sharing.safe_padding_bytes";
pub(super) const SLOWDOWN: &str = "false_sharing.slowdown_ratio";
const PAIR: &str = "prefetch.adjacent_line_ratio";
const OUTER: &str = "prefetch.next_line_ratio";
pub(super) const MEDIAN: &str = "core_to_core.median_ns";

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let pairs = core_matrix::pairs(card, "cas");
    padding(metrics).into_iter().chain(far_at_one_l3(card, &pairs)).collect()
}

/// False sharing, and the distance that ends it.
fn padding(metrics: &Metrics) -> Option<Finding> {
    let (step, ratio) = (believed(metrics, STEP)?, believed(metrics, SLOWDOWN)?);
    let headline = format!("false sharing: fetch_add takes {ratio:.1}× as long 8 B apart");
    // Where the line beyond the pair comes along as well, it is not pairs that come.
    let pair = believed(metrics, PAIR);
    let both = believed(metrics, OUTER).zip(pair).is_some_and(|(outer, pair)| outer < pair * 1.25);
    let prefetcher = if both { "neighbouring-line" } else { "adjacent-line" };
    let action = format!("pad per-thread data to {step:.0} B");
    let found = Finding::advice("FALSE_SHARING", headline, ratio, &action);
    let safe = believed(metrics, PADDING).filter(|safe| *safe > step);
    let cause = safe.map(|safe| format!("{safe:.0} B also keeps the {prefetcher} prefetcher out"));
    Some(Finding { cause, ..found }.of(&[SLOWDOWN, STEP, PADDING]))
}

/// On AMD's cores with a level 3 cache for a few of them, everything at one cache is below this, and
/// nothing at another one; meshes have no such border.
const COMPLEX_NS: f64 = 60.0;

/// Pairs at one claimed L3 that are as far from each other as cores at different ones.
fn far_at_one_l3(card: &Card, pairs: &[Pair]) -> Option<Finding> {
    let amd = card.header.machine.cpu.vendor.known().is_some_and(|v| v == "AuthenticAMD");
    let is = |pair: &&Pair| pair.claimed == Relation::SameL3 && pair.ns() > COMPLEX_NS;
    let first = pairs.iter().find(is).filter(|_| amd)?;
    let ((a, b), count) = (first.cpus, pairs.iter().filter(is).count());
    let apart = format::quantity(first.ns(), Unit::Ns);
    let headline = format!("CPUs {a} and {b} are {apart} apart, claimed to share an L3");
    let measured = format!("{apart} between CPUs {a} and {b}, as between two L3");
    let found = Finding::claim("L3_SHARING", headline, "one shared L3", measured);
    let cause = format!(
        "{} of {} pairs at one claimed L3 are as far apart as cores at different ones",
        count,
        pairs.iter().filter(|pair| pair.claimed == Relation::SameL3).count()
    );
    Some(found.cause(cause).of(&[MEDIAN]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;
    use crate::fixture;

    #[test]
    fn padding_has_one_answer_and_what_more_is_good_for() {
        let values = |safe| {
            Metrics(vec![
                value(STEP, Unit::Bytes, 64.0),
                value(PADDING, Unit::Bytes, safe),
                value(SLOWDOWN, Unit::Ratio, 5.2),
            ])
        };
        let text = padding(&values(128.0)).unwrap().text();
        assert!(
            text.contains("128 B also keeps the adjacent-line prefetcher out; pad per"),
            "{text}"
        );
        let found = padding(&values(64.0)).unwrap();
        assert!(found.text().ends_with("5.2× as long 8 B apart; pad per-thread data to 64 B"));
        assert_eq!(found.factor, Some(5.2));
        assert!(padding(&Metrics::default()).is_none());
    }

    #[test]
    fn neighbours_at_one_l3_that_are_none_are_named() {
        let card = fixture::cores(16).card;
        let far = |claimed, ns| {
            let pair = Pair { cpus: (0, 1), claimed, visits: vec![ns] };
            far_at_one_l3(&card, &[pair])
        };
        assert!(far(Relation::SameL3, 31.0).is_none());
        assert!(far(Relation::OtherL3, 127.0).is_none());
        assert!(far(Relation::SameL3, 127.0).unwrap().headline.contains("127 ns apart"));
    }

    #[test]
    fn a_machine_that_is_what_it_claims_has_its_padding_only() {
        for cpus in [2, 16, 128, 512] {
            let summary = fixture::cores(cpus);
            let found = super::super::find(&summary.card, &summary.metrics);
            let codes: Vec<&str> = found.iter().map(|f| f.code.as_str()).collect();
            assert_eq!(codes, ["FALSE_SHARING"], "{cpus}");
        }
    }
}
