//! What cards of earlier programs said in words and today's say in fields.

use crate::declare::{
    Better, Derive, Estimator, Metric, NoiseClass, Quantity, ReportOnly, Select, mark_repeats,
};
use crate::file::{Card, Plan};
use crate::judge::rules::rules;
use crate::record::{Backing, Fail, FailKind, Point, Skip};
use crate::series::usual;

/// Estimators used to be said by each metric, and of curves by none: where all metrics of a quantity
/// agree on one, it is the quantity's; where they do not, that of what each of them selects.
pub fn quantities(card: &mut Card) {
    for declaration in card.header.declarations.iter_mut().filter(|d| d.quantities.is_empty()) {
        let mut said: Vec<(Select, Estimator)> = Vec::new();
        declaration.metrics.iter().for_each(|metric| values(&metric.from, &mut said));
        for point in card.points.iter().filter(|p| p.probe == declaration.probe) {
            let of_it = || said.iter().filter(|s| s.0.quantity == point.quantity);
            let first = of_it().next().map_or_else(|| usual(point.unit), |s| s.1);
            let mut ask = |at: Select, estimator| {
                if !declaration.quantities.iter().any(|q| q.at == at) {
                    declaration.quantities.push(Quantity { at, unit: point.unit, estimator });
                }
            };
            if of_it().all(|s| s.1 == first) {
                let name = point.quantity.clone();
                ask(Select::of(name, &[]), first);
            } else {
                of_it().for_each(|(at, estimator)| ask(at.clone(), *estimator));
            }
        }
    }
}

/// What may say that a machine got worse used to be nobody's matter: what is no quotient and no
/// repetition, and has a place among what is judged; of properties those that runs agree on.
pub fn policy(card: &mut Card) {
    for declaration in card.header.declarations.iter_mut().filter(|d| d.method == 0) {
        for metric in declaration.metrics.iter_mut().filter(|m| rules().place(&m.id).is_none()) {
            metric.report_only = metric.report_only.or_else(|| ReportOnly::of_unit(metric.unit));
        }
        let unsteady = |metric: &&mut Metric| {
            let shared = matches!(metric.tier, NoiseClass::T3 | NoiseClass::T4);
            // Found since then to differ between processes.
            metric.better == Better::Same && (shared || metric.id.starts_with("branch.btb_"))
        };
        for metric in declaration.metrics.iter_mut().filter(unsteady) {
            metric.report_only = metric.report_only.or(Some(ReportOnly::Unsteady));
        }
        mark_repeats(&mut declaration.metrics);
    }
}

/// The quantities of a derivation whose middle is asked for; tails and extremes say nothing of it.
fn values(from: &Derive, said: &mut Vec<(Select, Estimator)>) {
    match from {
        Derive::Value(
            select,
            estimator @ (Estimator::LowerQuartile | Estimator::Median | Estimator::UpperQuartile),
        ) => said.push((select.clone(), *estimator)),
        _ => from.parts().iter().for_each(|part| values(part, said)),
    }
}

/// The cause of a failure used to be in its words alone.
pub fn fail(fail: &mut Fail) {
    let said = [
        ("corruption", FailKind::Corruption),
        ("killed by", FailKind::Killed),
        ("gave no result", FailKind::TimedOut),
        ("ended with exit code", FailKind::Failed),
        ("wrote a line that is no record", FailKind::InvalidRecord),
    ];
    if fail.cause == FailKind::Unknown
        && let Some((_, cause)) = said.iter().find(|(words, _)| fail.how.starts_with(words))
    {
        fail.cause = *cause;
    }
}

/// What notes and skips said in words that are others today.
const REWORDED: [(&str, &str); 12] = [
    (
        "the two CPUs were hyperthreads of one core, as a line's way from one to the other told",
        "the two CPUs were SMT siblings, by their core-to-core latency",
    ),
    (
        "additions to lines whose other half is read take",
        "fetch_add to a line of a pair whose other line is read takes",
    ),
    (
        " times as long; after a flush such a line costs ",
        "× the time; after a flush the other line takes ",
    ),
    (" times a far one", "× a random one"),
    ("a busy hyperthread sibling", "an active SMT sibling"),
    ("a hyperthread sibling", "an SMT sibling"),
    ("the hyperthread sibling", "the SMT sibling"),
    (
        "whoever plays this disk may hold the file in memory",
        "the virtual disk's backend may cache the file",
    ),
    (
        "claims to rotate, but answers random reads within a millisecond",
        "reports rotational=1, but random reads take less than 1 ms",
    ),
    ("claims not to rotate", "reports rotational=0"),
    ("claims to rotate", "rotational=1"),
    ("a round visits", "a round measures"),
];

fn reword(text: &mut String) {
    for (old, new) in REWORDED {
        if text.contains(old) {
            *text = text.replace(old, new);
        }
    }
}

/// Which pages memory had used to be in a note alone.
pub fn point(point: &mut Point) {
    point.note.iter_mut().for_each(reword);
    let note = point.note.as_deref().unwrap_or_default();
    let of_pages = ["4 KiB pages", "4K pages", "2 MiB pages", "page size unknown"];
    if point.backing == Backing::AsAsked && of_pages.iter().any(|words| note.starts_with(words)) {
        point.backing = Backing::Unknown;
    }
}

/// That no thread could be pinned used to be said by the reason for the CPU.
pub fn plan(plan: &mut Plan) {
    plan.pinned &= !plan.cpu_reason.starts_with("not pinned");
}

/// Metrics used to be named within the need: "2 CPUs (locks.*_contended_ns, locks.handoff*_ns)".
pub fn skip(skip: &mut Skip) {
    [&mut skip.need, &mut skip.reason, &mut skip.remedy].into_iter().for_each(reword);
    if !skip.metrics.is_empty() {
        return;
    }
    let is_id = |word: &&str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._*?".contains(c);
        word.contains('.') && !word.ends_with('.') && word.chars().all(allowed)
    };
    let words = skip.need.split([' ', ',', ':', '(', ')']);
    skip.metrics = words.filter(is_id).map(str::to_owned).collect();
    if let Some((plain, ids)) = skip.need.split_once(" (")
        && ids.contains('.')
    {
        skip.need = plain.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::Unit;
    use crate::series::Quantities;

    #[test]
    fn notes_are_in_the_words_of_today() {
        let mut text =
            "x; additions to lines whose other half is read take 1.23 times as long; after a \
                        flush such a line costs 0.57 times a far one"
                .to_owned();
        reword(&mut text);
        assert_eq!(
            text,
            "x; fetch_add to a line of a pair whose other line is read takes 1.23× the time; after a \
             flush the other line takes 0.57× a random one"
        );
        let mut same = text.clone();
        reword(&mut same);
        assert_eq!(same, text);
    }

    #[test]
    fn causes_and_pinning_are_taken_out_of_words() {
        let cause = |how: &str, cause| {
            let (probe, stderr) = (String::new(), String::new());
            let mut old = Fail { probe, round: 0, cpu: None, cause, how: how.into(), stderr };
            fail(&mut old);
            old.cause
        };
        assert_eq!(cause("corruption on CPU 1: no", FailKind::Unknown), FailKind::Corruption);
        assert_eq!(cause("killed by SIGSEGV", FailKind::Unknown), FailKind::Killed);
        assert_eq!(cause("killed by SIGSEGV", FailKind::TimedOut), FailKind::TimedOut);
        assert_eq!(cause("something", FailKind::Unknown), FailKind::Unknown);
        let mut old = crate::fixture::blank("test").header.plan;
        plan(&mut old);
        assert!(old.pinned);
        old.cpu_reason = "not pinned: sched_setaffinity is not permitted here".into();
        plan(&mut old);
        assert!(!old.pinned);
    }

    #[test]
    fn a_quantity_takes_the_estimator_of_its_metrics_and_else_the_usual_one() {
        use crate::fixture::{blank, declared, point, with};
        let mut card = blank("test");
        card.header.declarations = vec![declared("scaling"), declared("idioms")];
        card.header.declarations.iter_mut().for_each(|d| d.quantities.clear());
        let kind = |kind: &str| {
            let labels = [("kind", kind.into()), ("at", "full".into())];
            with(point("scaling", "time_per_op", 0, Unit::Ns, vec![1.0]), &labels)
        };
        let lock = point("idioms", "io_lock", 0, Unit::Ns, vec![1.0]);
        let other = point("idioms", "other", 0, Unit::Gbs, vec![1.0]);
        card.points = vec![kind("compute"), kind("lock"), lock, other];
        quantities(&mut card);
        let estimators: Vec<Estimator> =
            card.points.iter().map(|p| Quantities::in_card(&card, &p.probe).estimator(p)).collect();
        let usual = [Estimator::Median, Estimator::UpperQuartile];
        assert_eq!(estimators[..2], [Estimator::LowerQuartile, Estimator::Median]);
        assert_eq!(estimators[2..], usual);
    }

    #[test]
    fn metrics_are_taken_out_of_the_need() {
        let mut old = Skip::new("2 CPUs (locks.*_contended_ns, locks.handoff_ns)", "", "");
        skip(&mut old);
        assert_eq!(
            old,
            Skip::new("2 CPUs", "", "").of(["locks.*_contended_ns", "locks.handoff_ns"])
        );
        let mut inside = Skip::new("a set in l3 for simd.*.l3_ratio: none.", "", "");
        skip(&mut inside);
        assert!(inside.names("simd.sum.avx.l3_ratio") && !inside.names("simd.sum.avx.l2_ratio"));
        let mut whole = Skip::new("48 MiB for buffers", "", "");
        skip(&mut whole);
        assert_eq!(whole, Skip::new("48 MiB for buffers", "", ""));
    }
}
