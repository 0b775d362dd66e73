//! The core-to-core matrix of a card: a point is a row of it, whose samples are in the order of the
//! CPUs that its parameter `to` names.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Relation;
use crate::record::Param;

use crate::declare::Better;
use crate::estimate::{State, median, states, typical};
use crate::file::Card;

/// Below this the two are hardware threads of one core: no other cache is so near, and none of the
/// published matrices has siblings above it.
pub const SIBLINGS_NS: f64 = 12.0;

/// What takes this many times as long comes from elsewhere: the line of a CPU that was moved. Where a
/// line lies at one place makes less of a difference.
const ELSEWHERE: f64 = 1.5;

/// Whether two one-way times are those of CPUs at one distance.
pub fn is_one_place(a: f64, b: f64) -> bool {
    a.max(b) < ELSEWHERE * a.min(b)
}

/// All that was measured between two CPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The CPUs, the lower number first.
    pub cpus: (usize, usize),
    /// What the machine claims of them.
    pub claimed: Relation,
    /// One-way times in ns, a number for each visit.
    pub visits: Vec<f64>,
}

impl Pair {
    /// The middle visit, of several states that of the largest.
    pub fn ns(&self) -> f64 {
        typical(&self.visits, Better::Lower).unwrap_or(f64::NAN)
    }

    /// The distances at which its visits cluster, nearest first: more than one if the hypervisor moved
    /// a CPU between visits. A visit that is alone in its cluster was disturbed.
    pub fn states(&self) -> Vec<State> {
        states(&self.visits)
    }

    /// Whether it was met near and far.
    pub fn was_moved(&self) -> bool {
        matches!(&self.states()[..], [near, .., far] if !is_one_place(near.value, far.value))
    }
}

/// The pairs of a card, by one way of handing over: `cas` or `store_load`.
pub fn pairs(card: &Card, method: &str) -> Vec<Pair> {
    let mut visits: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for point in &card.points {
        let is = |name: &str, text: &str| matches!(point.params.get(name), Some(Param::Text(t)) if t == text);
        if point.probe != "core-to-core" || point.quantity != "one_way" || !is("method", method) {
            continue;
        }
        let from = match point.params.get("from") {
            Some(Param::Int(from)) => usize::try_from(*from).ok(),
            _ => None,
        };
        let to = point.params.get("to").map(Param::to_string).unwrap_or_default();
        for (to, ns) in to.split(',').zip(&point.samples) {
            if let (Some(from), Ok(to)) = (from, to.parse::<usize>()) {
                visits.entry((from.min(to), from.max(to))).or_default().push(*ns);
            }
        }
    }
    let machine = &card.header.machine;
    let pair = |(cpus, visits): ((usize, usize), Vec<f64>)| Pair {
        cpus,
        claimed: machine.relation(cpus.0, cpus.1),
        visits,
    };
    visits.into_iter().map(pair).collect()
}

/// The CPUs of the pairs, in the order of what they are claimed to share: node, L3, core.
pub fn order(card: &Card, pairs: &[Pair]) -> Vec<usize> {
    let machine = &card.header.machine;
    let place = |groups: &[Vec<usize>], cpu: usize| groups.iter().position(|g| g.contains(&cpu));
    let nodes: Vec<Vec<usize>> = machine.numa_nodes().iter().map(|n| n.cpus().to_vec()).collect();
    let key = |&cpu: &usize| {
        let core = machine.siblings_of(cpu).first().copied();
        (place(&nodes, cpu), place(machine.l3_groups(), cpu), core, cpu)
    };
    let cpus: BTreeSet<usize> = pairs.iter().flat_map(|p| [p.cpus.0, p.cpus.1]).collect();
    let mut cpus: Vec<usize> = cpus.into_iter().collect();
    cpus.sort_by_key(key);
    cpus
}

/// Pairs that are about as far from each other, as measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// The nearest and the farthest of them, ns.
    pub range: (f64, f64),
    /// The middle one.
    pub ns: f64,
    /// How many.
    pub count: usize,
    /// How often the machine claims what of them, most often first.
    pub claimed: Vec<(Relation, usize)>,
}

/// Between one distance and the next, nothing is measured over at least this ratio.
const GAP: f64 = 1.3;

/// The distances that the gaps between the pairs' times show, nearest first.
pub fn distances(pairs: &[Pair]) -> Vec<Distance> {
    let mut sorted: Vec<(f64, Relation)> =
        pairs.iter().map(|p| (p.ns(), p.claimed)).filter(|p| p.0.is_finite()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let groups = sorted.chunk_by(|a, b| b.0 < a.0 * GAP);
    let distance = |group: &[(f64, Relation)]| {
        let mut counts: BTreeMap<Relation, usize> = BTreeMap::new();
        group.iter().for_each(|p| *counts.entry(p.1).or_default() += 1);
        let mut claimed: Vec<(Relation, usize)> = counts.into_iter().collect();
        claimed.sort_by_key(|c| std::cmp::Reverse(c.1));
        let times: Vec<f64> = group.iter().map(|p| p.0).collect();
        Some(Distance {
            range: (*times.first()?, *times.last()?),
            ns: median(&times)?,
            count: group.len(),
            claimed,
        })
    };
    groups.filter_map(distance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn pair(claimed: Relation, visits: &[f64]) -> Pair {
        Pair { cpus: (0, 1), claimed, visits: visits.to_vec() }
    }

    #[test]
    fn rows_become_pairs_whichever_cpu_came_first() {
        let card = fixture::cores(16).card;
        let pairs = pairs(&card, "cas");
        assert_eq!(pairs.len(), 16 * 15 / 2);
        assert!(pairs.iter().all(|p| p.cpus.0 < p.cpus.1 && p.visits.len() == 5));
        assert_eq!(pairs[0].cpus, (0, 1));
        let order = order(&card, &pairs);
        assert_eq!(order[..4], [0, 8, 1, 9], "siblings beside each other");
        assert!(super::pairs(&card, "smoke signals").is_empty());
    }

    #[test]
    fn distances_are_told_by_gaps_and_named_by_claims() {
        let card = fixture::cores(128).card;
        let found = distances(&pairs(&card, "cas"));
        let claims: Vec<Relation> = found.iter().map(|d| d.claimed[0].0).collect();
        assert_eq!(
            claims,
            [Relation::Siblings, Relation::SameL3, Relation::OtherL3, Relation::OtherNode]
        );
        assert!(found.windows(2).all(|w| w[1].range.0 >= w[0].range.1 * GAP));
        assert!(distances(&[]).is_empty());
    }

    #[test]
    fn places_differ_by_half_as_much_again() {
        assert!(is_one_place(10.0, 14.9) && is_one_place(14.9, 10.0));
        assert!(!is_one_place(10.0, 15.0) && !is_one_place(15.0, 10.0));
    }

    #[test]
    fn states_are_told_from_scatter() {
        let moved: Vec<f64> = (0..20)
            .map(|i| match i {
                0..6 => 109.0,
                6..10 => 10.8,
                _ => 28.0 + f64::from(i) / 10.0,
            })
            .collect();
        let states = pair(Relation::SameL3, &moved).states();
        let shares: Vec<f64> = states.iter().map(|s| s.share).collect();
        assert_eq!(shares, [0.2, 0.5, 0.3]);
        assert!(states[1].value > 28.0 && states[1].value < 30.0);
        let mut one: Vec<f64> = (0..20).map(|i| 30.0 + f64::from(i % 5)).collect();
        one.push(4000.0);
        assert_eq!(pair(Relation::SameL3, &one).states().len(), 1);
        assert_eq!(pair(Relation::SameL3, &[31.0]).states().len(), 1);
    }
}
