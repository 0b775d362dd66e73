//! Where the CPUs really are: hyperthreads that are shown as cores, and CPUs that the host moves. One
//! cause, seen by several probes, is one finding.

use crate::machine::Relation;

use super::coherence::{MEDIAN, SLOWDOWN};
use super::noise::SIBLING;
use super::{Finding, believed, claims};
use crate::file::Card;
use crate::metrics::Metrics;
use crate::view::core_matrix::{self, Pair, SIBLINGS_NS};
use crate::view::scaling;

const COMPUTE: &str = "scaling.compute_ratio";

/// A share of the time during which a sibling at work is worth a word.
const BUSY: f64 = 0.02;

/// Rounds further apart than this did not have the same CPUs.
const APART: f64 = 1.25;

pub(super) fn find(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let pairs = core_matrix::pairs(card, "cas");
    let machine = &card.header.machine;
    let guest = machine.host.guest_of().is_some();
    let own = claims(card).map_or(0, |machine| machine.siblings_of(card.header.plan.cpu).len());
    let busy = believed(metrics, SIBLING).filter(|busy| *busy > BUSY);
    let near = pairs.iter().any(|p| p.ns() < SIBLINGS_NS && p.claimed != Relation::Siblings);
    let distances = distances(&pairs);
    let rounds = false_sharing(card);
    let threads = compute(card);

    let mut measured = Vec::new();
    let mut evidence = Vec::new();
    if let Some(busy) = busy {
        measured.push(format!("SMT sibling active {:.0} % of the time", busy * 100.0));
        evidence.push(SIBLING);
    }
    let seen = [(&distances, MEDIAN), (&rounds, SLOWDOWN), (&threads, COMPUTE)];
    for (text, metric) in seen {
        if let Some(text) = text {
            measured.push(text.clone());
            evidence.push(metric);
        }
    }
    if near && distances.is_none() {
        let sure = |p: &&Pair| p.ns() < SIBLINGS_NS && p.claimed != Relation::Siblings;
        measured.extend(pairs.iter().find(sure).map(near_pair));
        evidence.push(MEDIAN);
    }
    let moved = distances.is_some() || rounds.is_some() || threads.is_some();
    let cause = match (guest, moved) {
        (true, true) => "vCPU placement changes between rounds",
        (true, false) => "the host shows SMT siblings as cores",
        (false, true) => {
            "CPU placement changes, other programs take CPU time, or the all-core clock is lower"
        }
        (false, false) => "firmware or kernel report another topology",
    };
    let all = measured.join("; ");
    let finding = if near || (busy.is_some() && own == 1) {
        let headline = match busy {
            Some(busy) => format!(
                "SMT sibling active {:.0} % of the time, claimed 1 thread per core",
                busy * 100.0
            ),
            None => "CPUs are SMT siblings, claimed to be cores".to_owned(),
        };
        Finding::claim("SMT_HIDDEN", headline, "1 thread per core", all)
            .cause(cause)
            .action("compare runs by state; only the host can pin vCPUs to cores")
    } else if moved {
        let first = distances.or(threads).or(rounds).unwrap_or_default();
        let code = if guest { "VCPU_PLACEMENT" } else { "CPU_PLACEMENT" };
        let headline = first.clone();
        let others = measured.into_iter().filter(|text| *text != first).collect::<Vec<String>>();
        let others = others.into_iter().fold(String::new(), |all, text| format!("{all}; {text}"));
        Finding::quality(code, headline).cause(format!("{cause}{others}"))
    } else {
        busy?;
        Finding::quality("SMT_BUSY", all).cause("disturbed samples were set aside")
    };
    Some(finding.of(&evidence))
}

fn near_pair(pair: &Pair) -> String {
    let (a, b) = pair.cpus;
    format!("{:.0} ns between CPUs {a} and {b}, claimed {}", pair.ns(), pair.claimed.words())
}

/// "core-to-core latency is multimodal: 10, 27 or 105 ns (25, 70, 5 %; n = 40)", of the pair that was met
/// at most places.
fn distances(pairs: &[Pair]) -> Option<String> {
    let moved = pairs.iter().filter(|pair| pair.was_moved());
    let most = moved.max_by_key(|pair| pair.states().len())?;
    let states = most.states();
    let list = |of: &dyn Fn(&crate::estimate::State) -> f64| {
        let all: Vec<String> = states.iter().map(|state| format!("{:.0}", of(state))).collect();
        all
    };
    let (ns, shares) = (list(&|s| s.value), list(&|s| 100.0 * s.share));
    let last = ns.len().checked_sub(1)?;
    Some(format!(
        "core-to-core latency is {}: {} or {} ns ({} %; n = {})",
        if last == 1 { "bimodal" } else { "multimodal" },
        ns[..last].join(", "),
        ns[last],
        shares.join(", "),
        most.visits.len()
    ))
}

/// What false-sharing saw of its two CPUs, where that was not the same in all rounds.
fn false_sharing(card: &Card) -> Option<String> {
    let own = card.points.iter().filter(|p| p.probe == "false-sharing" && p.quantity == "one_way");
    let visits: Vec<f64> = own.filter_map(|p| p.samples.first().copied()).collect();
    let near = visits.iter().filter(|ns| **ns < SIBLINGS_NS).count();
    let pair = Pair { cpus: (0, 0), claimed: Relation::Unclaimed, visits };
    (pair.was_moved() && near > 0)
        .then(|| format!("false sharing on SMT siblings in {near} of {} rounds", pair.visits.len()))
}

/// Computing needs nothing but the cores: rounds that differ had different ones.
fn compute(card: &Card) -> Option<String> {
    let (cpus, _) = scaling::all_cpus(card).filter(|(cpus, _)| *cpus > 1)?;
    let curves = scaling::curves(card);
    let point = curves.iter().find(|curve| curve.kind == "compute")?.at(cpus)?;
    let low = point.rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let high = point.rounds.iter().copied().fold(0.0, f64::max);
    (high > low * APART)
        .then(|| format!("compute scaling {low:.1} to {high:.1}× at {cpus} threads"))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::tests::value;
    use super::*;
    use crate::fixture;
    use crate::machine::Fact;
    use crate::record::Param;

    fn pair(claimed: Relation, visits: &[f64]) -> Pair {
        Pair { cpus: (0, 1), claimed, visits: visits.to_vec() }
    }

    #[test]
    fn a_pair_that_was_moved_is_told_with_its_states() {
        let mut visits = vec![10.3; 6];
        visits.extend([27.0; 18]);
        let text = distances(&[pair(Relation::SameL3, &visits)]).unwrap();
        assert_eq!(text, "core-to-core latency is bimodal: 10 or 27 ns (25, 75 %; n = 24)");
        assert!(distances(&[pair(Relation::SameL3, &[27.0; 24])]).is_none());
        // Lines that lie a little better are no CPU that was moved.
        visits[..6].fill(24.0);
        assert!(distances(&[pair(Relation::SameL3, &visits)]).is_none());
    }

    #[test]
    fn one_cause_that_several_probes_see_is_one_finding() {
        let mut card = fixture::recorded().card;
        card.header.machine.topology.cores = Fact::Known(vec![vec![0], vec![1]]);
        let busy = Metrics(vec![value(SIBLING, Unit::Ratio, 0.05)]);
        let found = find(&card, &busy).unwrap();
        assert_eq!(found.code, "SMT_HIDDEN");
        let measured = found.measured.unwrap();
        assert!(measured.starts_with("SMT sibling active 5 % of the time; "), "{measured}");
        assert!(measured.contains("compute scaling"), "{measured}");
        assert!(found.cause.unwrap().contains("vCPU placement changes"));
        assert_eq!(found.evidence, [SIBLING, COMPUTE]);
    }

    #[test]
    fn no_host_moves_the_cpus_of_bare_metal() {
        let mut card = fixture::recorded().card;
        card.header.machine.host.hypervisor = Fact::Known("none".into());
        let found = find(&card, &Metrics::default()).unwrap();
        assert_eq!(found.code, "CPU_PLACEMENT");
        let text = found.text();
        assert!(!text.contains("host") && text.contains("other programs"), "{text}");
    }

    #[test]
    fn a_claimed_sibling_that_works_is_no_false_claim() {
        let mut card = fixture::blank("test");
        card.header.machine.topology.cores = Fact::Known(vec![vec![0, 1]]);
        let busy = |ratio| find(&card, &Metrics(vec![value(SIBLING, Unit::Ratio, ratio)]));
        let found = busy(0.3).unwrap();
        assert_eq!((found.code.as_str(), found.headline.contains("30 %")), ("SMT_BUSY", true));
        assert_eq!(busy(0.001), None);
    }

    #[test]
    fn siblings_that_are_claimed_to_be_cores_are_named() {
        let with = |claimed: &[&[usize]], ns: f64| {
            let mut card = fixture::blank("test");
            let cores = claimed.iter().map(|core| core.to_vec()).collect();
            card.header.machine.topology.cores = Fact::Known(cores);
            let point = fixture::point("core-to-core", "one_way", 0, Unit::Ns, vec![ns]);
            let labels = [("method", "cas".into()), ("from", Param::Int(0)), ("to", "1".into())];
            card.points.push(fixture::with(point, &labels));
            find(&card, &Metrics::default())
        };
        assert!(with(&[&[0, 1]], 7.0).is_none());
        assert!(with(&[&[0], &[1]], 27.0).is_none());
        let found = with(&[&[0], &[1]], 7.0).unwrap();
        assert!(found.measured.unwrap().starts_with("7 ns between CPUs 0 and 1"));
    }

    #[test]
    fn false_sharing_on_siblings_is_told_by_rounds() {
        let mut card = fixture::cores(2).card;
        assert!(false_sharing(&card).is_none());
        let own = card.points.iter_mut().filter(|p| p.probe == "false-sharing");
        let own = own.filter(|p| p.quantity == "one_way" && p.round < 2);
        own.for_each(|p| p.samples = vec![10.8]);
        let text = false_sharing(&card).unwrap();
        assert_eq!(text, "false sharing on SMT siblings in 2 of 5 rounds");
    }
}
