//! CPUs at one line: how far apart data must be, and which CPUs really are near each other.

use crate::machine::Relation;

use super::Finding;
use crate::estimate;
use crate::file::Card;
use crate::format;
use crate::metrics::{Metrics, State};
use crate::view::core_matrix::{self, Pair, SIBLINGS_NS};

const STEP: &str = "false_sharing.step_bytes";
const PADDING: &str = "false_sharing.safe_padding_bytes";
const SLOWDOWN: &str = "false_sharing.slowdown_ratio";
const PAIR: &str = "prefetch.adjacent_line_ratio";
const OUTER: &str = "prefetch.next_line_ratio";
const MEDIAN: &str = "core_to_core.median_ns";

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let pairs = core_matrix::pairs(card, "cas");
    let alone = [padding(metrics), moved(card), states(&pairs), siblings(&pairs)];
    let far = far_at_one_l3(card, &pairs);
    alone.into_iter().flatten().chain(far).collect()
}

/// The answer in one line.
fn padding(metrics: &Metrics) -> Option<Finding> {
    let sure = |id| {
        let value = metrics.get(id).filter(|v| matches!(v.state, State::Ok | State::Noisy))?;
        value.value
    };
    let step = sure(STEP)?;
    // Where the line beyond the pair comes along as well, it is not pairs that come.
    let neighbours = sure(OUTER).zip(sure(PAIR)).is_some_and(|(outer, pair)| outer < pair * 1.25);
    let prefetch = if neighbours { "neighbour" } else { "pair" };
    let safe = match sure(PADDING) {
        Some(safe) if safe > step => format!(" ({safe:.0} to be safe: {prefetch} prefetch seen)"),
        _ => String::new(),
    };
    let cost = sure(SLOWDOWN).map_or(String::new(), |ratio| {
        format!(": 8 bytes apart, atomic additions take {ratio:.1} times as long")
    });
    let text = format!("pad what different threads write to {step:.0} bytes{safe}{cost}");
    Some(Finding::note(text, &[STEP, PADDING, SLOWDOWN]))
}

/// What false-sharing saw of its two CPUs, where that was not the same in all rounds.
fn moved(card: &Card) -> Option<Finding> {
    let own = card.points.iter().filter(|p| p.probe == "false-sharing" && p.quantity == "one_way");
    let visits: Vec<f64> = own.filter_map(|p| p.samples.first().copied()).collect();
    let pair = Pair { cpus: (0, 0), claimed: Relation::Unclaimed, visits };
    let shares = shares(&pair).filter(|_| pair.was_moved() || pair.ns() < SIBLINGS_NS)?;
    let text = format!(
        "while false sharing was measured, a line took {shares} of {} rounds to cross: what it costs \
         differs with that",
        pair.visits.len()
    );
    Some(Finding::note(text, &[SLOWDOWN]))
}

/// "11 ns (as between hyperthreads of one core) in 25 %, 29 ns in 75 %".
fn shares(pair: &Pair) -> Option<String> {
    let words = |state: &estimate::State| {
        let near =
            if state.value < SIBLINGS_NS { " (as between hyperthreads of one core)" } else { "" };
        format!("{:.0} ns{near} in {:.0} %", state.value, 100.0 * state.share)
    };
    let all: Vec<String> = pair.states().iter().map(words).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Pairs that were met near and far, never averaged.
fn states(pairs: &[Pair]) -> Option<Finding> {
    let several = || pairs.iter().filter(|pair| pair.was_moved());
    let (first, count) = (several().next()?, several().count());
    let (a, b) = first.cpus;
    let text = format!(
        "a line goes between CPUs {a} and {b} in {} of {} visits{}: the host moves CPUs while they work",
        shares(first)?,
        first.visits.len(),
        match count {
            1 => String::new(),
            n => format!("; {} more pairs are as changeable", n - 1),
        },
    );
    Some(Finding::warning(text, &[MEDIAN]))
}

/// Pairs that are nearer than any two cores, and claimed to be cores.
fn siblings(pairs: &[Pair]) -> Option<Finding> {
    let near = |pair: &&Pair| pair.ns() < SIBLINGS_NS && pair.claimed != Relation::Siblings;
    let (first, count) = (pairs.iter().find(near)?, pairs.iter().filter(near).count());
    let text = format!(
        "CPUs {} and {} answer each other in {}, which only hyperthreads of one core do, and are claimed \
         to be {}{}",
        first.cpus.0,
        first.cpus.1,
        format::quantity(first.ns(), crate::declare::Unit::Ns),
        first.claimed.words(),
        others(count),
    );
    Some(Finding::warning(text, &[MEDIAN]))
}

fn others(count: usize) -> String {
    if count > 1 { format!(" ({} more pairs do so)", count - 1) } else { String::new() }
}

/// On AMD's cores with a level 3 cache for a few of them, everything at one cache is below this, and
/// nothing at another one; meshes have no such border.
const COMPLEX_NS: f64 = 60.0;

/// Pairs at one claimed L3 that are as far from each other as cores at different ones.
fn far_at_one_l3(card: &Card, pairs: &[Pair]) -> Option<Finding> {
    let amd = card.header.machine.cpu.vendor.known().is_some_and(|v| v == "AuthenticAMD");
    let is = |pair: &&Pair| pair.claimed == Relation::SameL3 && pair.ns() > COMPLEX_NS;
    let first = pairs.iter().find(is).filter(|_| amd)?;
    let text = format!(
        "CPUs {} and {} are claimed to share an L3 cache and are {} apart, as those with different \
         ones are{}: threads that work together are not near each other",
        first.cpus.0,
        first.cpus.1,
        format::quantity(first.ns(), crate::declare::Unit::Ns),
        others(pairs.iter().filter(is).count()),
    );
    Some(Finding::warning(text, &[MEDIAN]))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::tests::value;
    use super::*;
    use crate::fixture;

    fn pair(claimed: Relation, visits: &[f64]) -> Pair {
        Pair { cpus: (0, 1), claimed, visits: visits.to_vec() }
    }

    #[test]
    fn the_padding_is_one_line() {
        let values = |safe| {
            Metrics(vec![
                value(STEP, Unit::Bytes, 64.0),
                value(PADDING, Unit::Bytes, safe),
                value(SLOWDOWN, Unit::Ratio, 5.2),
            ])
        };
        let text = padding(&values(128.0)).unwrap().text;
        assert!(text.contains("to 64 bytes (128 to be safe: pair prefetch seen)"), "{text}");
        let text = padding(&values(64.0)).unwrap().text;
        assert!(
            text.contains("to 64 bytes: 8 bytes apart") && text.contains("5.2 times"),
            "{text}"
        );
        assert!(padding(&Metrics::default()).is_none());
    }

    #[test]
    fn states_are_told_with_their_shares() {
        let mut visits = vec![10.3; 6];
        visits.extend([27.0; 18]);
        let text = states(&[pair(Relation::SameL3, &visits)]).unwrap().text;
        let expected =
            "10 ns (as between hyperthreads of one core) in 25 %, 27 ns in 75 % of 24 visits";
        assert!(text.contains(expected), "{text}");
        assert!(states(&[pair(Relation::SameL3, &[27.0; 24])]).is_none());
        // Lines that lie a little better are no CPU that was moved.
        visits[..6].fill(24.0);
        assert!(states(&[pair(Relation::SameL3, &visits)]).is_none());
    }

    #[test]
    fn claims_that_do_not_hold_are_named() {
        assert!(siblings(&[pair(Relation::Siblings, &[7.0])]).is_none());
        let text = siblings(&[pair(Relation::SameL3, &[7.0])]).unwrap().text;
        assert!(text.contains("cores at one L3 cache"), "{text}");
        let card = fixture::cores(16).card;
        assert!(far_at_one_l3(&card, &[pair(Relation::SameL3, &[31.0])]).is_none());
        assert!(far_at_one_l3(&card, &[pair(Relation::OtherL3, &[127.0])]).is_none());
        assert!(far_at_one_l3(&card, &[pair(Relation::SameL3, &[127.0])]).is_some());
    }

    #[test]
    fn a_machine_that_is_what_it_claims_has_its_padding_only() {
        for cpus in [2, 16, 128, 512] {
            let summary = fixture::cores(cpus);
            let found = find(&summary.card, &summary.metrics);
            assert_eq!(found.len(), 1, "{cpus}: {found:?}");
            assert!(found[0].text.starts_with("pad what"), "{}", found[0].text);
        }
    }

    #[test]
    fn rounds_in_different_states_are_told() {
        let mut card = fixture::cores(2).card;
        assert!(moved(&card).is_none());
        let own = card.points.iter_mut().filter(|p| p.probe == "false-sharing");
        let own = own.filter(|p| p.quantity == "one_way" && p.round < 2);
        own.for_each(|p| p.samples = vec![10.8]);
        let text = moved(&card).unwrap().text;
        assert!(
            text.contains("11 ns (as between") && text.contains("in 40 %, 28 ns in 60 % of 5"),
            "{text}"
        );
    }
}
