//! How many threads are worth having.

use super::Finding;
use crate::declare::Better;
use crate::file::Card;
use crate::format;
use crate::view::scaling::{self, Curve};

pub(super) fn find(card: &Card) -> Vec<Finding> {
    let Some((cpus, quota)) = scaling::all_cpus(card) else { return Vec::new() };
    let mut found: Vec<Finding> = quota.map(|quota| limited(quota, cpus)).into_iter().collect();
    let curves = scaling::curves(card);
    let guest = card.header.machine.host.guest_of().is_some();
    found.extend(curves.iter().filter_map(|curve| moved(curve, cpus, guest)));
    found.extend(curves.iter().filter_map(|curve| worth(curve, cpus)));
    found.extend(curves.iter().filter_map(|curve| oversubscribed(curve, cpus)));
    found
}

fn limited(quota: &str, cpus: i64) -> Finding {
    let threads = if cpus == 1 { "1 thread".into() } else { format!("{cpus} threads") };
    let text = format!("{quota}: more than {threads} can only wait for each other's CPU time");
    Finding::warning(text, &[])
}

fn words(kind: &str) -> &'static str {
    match kind {
        "compute" => "computing",
        "memory" => "reading memory",
        "lock" => "work under a lock",
        _ => "passing messages",
    }
}

fn id(kind: &str, ratio: &str) -> String {
    match (kind, ratio) {
        ("compute", "oversubscribed_ratio") => "scaling.oversubscribed_ratio".into(),
        ("compute" | "memory" | "lock" | "message", "ratio") => format!("scaling.{kind}_ratio"),
        _ => format!("scaling.{kind}_{ratio}"),
    }
}

/// Rounds further apart than this did not have the same CPUs.
const APART: f64 = 1.25;

/// Computing needs nothing but the cores: rounds that differ had different ones.
fn moved(curve: &Curve, cpus: i64, guest: bool) -> Option<Finding> {
    let point = curve.at(cpus).filter(|_| curve.kind == "compute" && cpus > 1)?;
    let low = point.rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let high = point.rounds.iter().copied().fold(0.0, f64::max);
    (high > low * APART).then(|| {
        let why = if guest {
            "the host gives these CPUs now whole cores and now hyperthreads of one, or their time to \
             others"
        } else {
            "other programs take CPU time, or the clock falls when all cores work"
        };
        let text = format!(
            "{cpus} threads compute {low:.1} to {high:.1} times as much as one, from round to round: \
             {why}"
        );
        Finding::note(text, &["scaling.compute_ratio"])
    })
}

/// So near to the best, more threads are not worth having.
const NEAR_BEST: f64 = 0.95;

/// From where on more threads do not help.
fn worth(curve: &Curve, cpus: i64) -> Option<Finding> {
    let full = curve.at(cpus).filter(|_| cpus > 1)?.ratio;
    let within = || curve.points.iter().filter(|point| point.threads <= cpus);
    let best = within().map(|point| point.ratio).fold(1.0, f64::max);
    let enough = within().find(|point| point.ratio >= NEAR_BEST * best)?;
    let what = words(curve.kind);
    let text = if enough.threads == 1 {
        format!("{what}: {cpus} threads get {} done of what one does alone", share(full))
    } else if enough.threads < cpus {
        let (threads, ratio) = (enough.threads, format::number(enough.ratio));
        format!(
            "{what}: more than {threads} threads do not help ({ratio}×; {}× with {cpus})",
            format::number(full)
        )
    } else {
        return None;
    };
    Some(Finding::note(text, &[&id(curve.kind, "ratio")]))
}

/// "90 %", "6 %".
fn share(ratio: f64) -> String {
    format!("{:.0} %", 100.0 * ratio)
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
        let text = format!(
            "{}: twice as many threads as CPUs cost {:.0} % of the throughput",
            words(curve.kind),
            100.0 * (1.0 - ratio)
        );
        Finding::note(text, &[&id(curve.kind, "oversubscribed_ratio")])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::Unit;
    use crate::fixture;

    fn texts() -> Vec<String> {
        find(&fixture::recorded().card).into_iter().map(|f| f.text).collect()
    }

    #[test]
    fn moving_cpus_lost_throughput_and_useless_threads_are_told() {
        let texts = texts();
        let told = |what: &str| texts.iter().any(|text| text.contains(what));
        assert!(told("now whole cores and now hyperthreads"), "{texts:?}");
        assert!(told("work under a lock: 2 threads get 53 % done"), "{texts:?}");
        assert!(told("passing messages: 2 threads get 3 %"), "{texts:?}");
    }

    #[test]
    fn no_host_moves_the_cpus_of_bare_metal() {
        let mut card = fixture::recorded().card;
        card.header.machine.host.hypervisor = crate::machine::Fact::Known("none".into());
        let found = find(&card);
        let text = found.iter().map(|f| &f.text).find(|t| t.contains("from round to round"));
        assert!(text.is_some_and(|t| !t.contains("host") && t.contains("other programs")));
    }

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
        let text = worth(&flat, 6).unwrap().text;
        assert!(text.contains("more than 3 threads do not help (2.50×"), "{text}");
        assert!(worth(&curve("memory", &[1.0, 1.9, 2.8]), 3).is_none());
        assert!(worth(&flat, 1).is_none());
    }

    #[test]
    fn a_card_that_says_absurd_things_is_read() {
        let mut curve = curve("memory", &[1.0, 1.9]);
        curve.points[0].threads = i64::MAX;
        assert!(oversubscribed(&curve, i64::MAX).is_none());
    }

    #[test]
    fn every_metric_that_is_named_is_declared() {
        let summary = fixture::recorded();
        for finding in find(&summary.card) {
            assert!(
                finding.metrics.iter().all(|id| summary.metrics.get(id).is_some()),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn a_quota_is_a_warning() {
        let finding = limited("a quota of 1.5 CPUs (cgroup cpu.max /pod) on 8 CPUs", 2);
        assert!(finding.text.contains("1.5 CPUs") && finding.text.contains("more than 2 threads"));
    }
}
