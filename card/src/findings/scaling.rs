//! How many threads are worth having.

use super::Finding;
use crate::declare::Better;
use crate::file::Card;
use crate::format;
use crate::view::scaling::{self, Curve, Scaled};

pub(super) fn find(card: &Card) -> Vec<Finding> {
    let Some((cpus, quota)) = scaling::all_cpus(card) else { return Vec::new() };
    let mut found: Vec<Finding> = quota.map(|quota| limited(quota, cpus)).into_iter().collect();
    let curves = scaling::curves(card);
    found.extend(curves.iter().filter_map(|curve| worth(curve, cpus)));
    found.extend(curves.iter().filter_map(|curve| oversubscribed(curve, cpus)));
    found
}

fn limited(quota: &str, cpus: i64) -> Finding {
    let threads = if cpus == 1 { "1 thread".into() } else { format!("{cpus} threads") };
    let headline = format!("CPU quota: no gain beyond {threads}");
    Finding::limit("QUOTA_THREADS", headline).cause(quota)
}

fn words(kind: &str) -> &'static str {
    match kind {
        "compute" => "computing",
        "memory" => "DRAM reads",
        "lock" => "work under one lock",
        _ => "message passing",
    }
}

fn id(kind: &str, ratio: &str) -> String {
    match (kind, ratio) {
        ("compute", "oversubscribed_ratio") => "scaling.oversubscribed_ratio".into(),
        ("compute" | "memory" | "lock" | "message", "ratio") => format!("scaling.{kind}_ratio"),
        _ => format!("scaling.{kind}_{ratio}"),
    }
}

/// Rounds further apart than this did not have the same CPUs, and tell nothing of threads.
const APART: f64 = 1.25;

fn is_steady(point: &Scaled) -> bool {
    let low = point.rounds.iter().copied().fold(f64::INFINITY, f64::min);
    point.rounds.iter().all(|round| *round <= low * APART)
}

/// So near to the best, more threads are not worth having.
const NEAR_BEST: f64 = 0.95;

/// From where on more threads do not help. What one thread does alone is no measure of passing
/// messages, which it passes to itself.
fn worth(curve: &Curve, cpus: i64) -> Option<Finding> {
    let full = curve.at(cpus).filter(|point| cpus > 1 && is_steady(point))?.ratio;
    let within = || curve.points.iter().filter(|point| point.threads <= cpus);
    let best = within().map(|point| point.ratio).fold(1.0, f64::max);
    let enough = within().find(|point| point.ratio >= NEAR_BEST * best)?;
    let what = words(curve.kind);
    let alone = enough.threads == 1;
    if enough.threads >= cpus || (alone && curve.kind == "message") {
        return None;
    }
    let headline = if alone {
        format!("{what}: {cpus} threads reach {:.0} % of one thread", 100.0 * full)
    } else {
        let (threads, ratio) = (enough.threads, format::number(enough.ratio));
        format!("{what}: {ratio}× from {threads} threads on, {}× with {cpus}", format::number(full))
    };
    Some(Finding::limit("SCALING", headline).of(&[&id(curve.kind, "ratio")]))
}

/// A loss that more threads than CPUs are known to cost.
const LOSS: f64 = 0.93;

fn oversubscribed(curve: &Curve, cpus: i64) -> Option<Finding> {
    let (full, double) = (curve.at(cpus)?, curve.at(cpus.checked_mul(2)?)?);
    let ratio = full.time.with(&double.time, Better::Higher, |full, double| full / double)?.value;
    // As sure as the rounds are: the worst of one and the best of the other must differ.
    let best = double.rounds.iter().copied().fold(0.0, f64::max);
    let worst = full.rounds.iter().copied().fold(f64::INFINITY, f64::min);
    (ratio < LOSS && best < worst).then(|| {
        let lost = 100.0 * (1.0 - ratio);
        let headline = format!(
            "{}: twice as many threads as CPUs lose {lost:.0} % of the throughput",
            words(curve.kind)
        );
        Finding::advice("OVERSUBSCRIPTION", headline, 1.0 / ratio, "no more threads than CPUs")
            .of(&[&id(curve.kind, "oversubscribed_ratio")])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::Unit;
    use crate::fixture;

    fn curve(kind: &str, ratios: &[f64]) -> Curve {
        let mut card = fixture::blank("9B14");
        for (i, ratio) in ratios.iter().enumerate() {
            let labels = [("kind", kind.into()), ("threads", (i as u64 + 1).into())];
            card.points.extend((0..3).map(|round| {
                let time = vec![1.0 / ratio; 3];
                fixture::with(
                    fixture::point("scaling", "time_per_op", round, Unit::Ns, time),
                    &labels,
                )
            }));
        }
        scaling::curves(&card).remove(0)
    }

    #[test]
    fn memory_is_enough_for_some_threads_only() {
        let flat = curve("memory", &[1.0, 1.9, 2.5, 2.6, 2.6, 2.5]);
        let text = worth(&flat, 6).unwrap().headline;
        assert!(text.starts_with("DRAM reads: 2.50× from 3 threads on"), "{text}");
        assert!(worth(&curve("memory", &[1.0, 1.9, 2.8]), 3).is_none());
        assert!(worth(&flat, 1).is_none());
    }

    #[test]
    fn threads_that_only_lose_are_told_and_messages_to_oneself_are_no_measure() {
        let of = |kind| worth(&curve(kind, &[1.0, 0.53]), 2).map(|found| found.headline);
        assert_eq!(of("lock").unwrap(), "work under one lock: 2 threads reach 53 % of one thread");
        assert_eq!(of("message"), None);
    }

    #[test]
    fn rounds_that_had_other_cpus_tell_nothing_of_threads() {
        let mut moved = curve("lock", &[1.0, 0.53]);
        moved.points[1].rounds = vec![0.4, 0.53, 0.9];
        assert!(worth(&moved, 2).is_none());
    }

    #[test]
    fn a_card_that_says_absurd_things_is_read() {
        let mut curve = curve("memory", &[1.0, 1.9]);
        curve.points[0].threads = i64::MAX;
        assert!(oversubscribed(&curve, i64::MAX).is_none());
    }

    #[test]
    fn a_quota_is_named_with_the_threads_it_feeds() {
        let finding = limited("a quota of 1.5 CPUs (cgroup cpu.max /pod) on 8 CPUs", 2);
        assert!(finding.text().contains("1.5 CPUs"));
        assert!(finding.headline.contains("no gain beyond 2 threads"));
    }
}
