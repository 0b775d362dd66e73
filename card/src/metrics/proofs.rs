//! What counters say of the points that a metric rests on.

use std::collections::BTreeMap;

use crate::counters::Event;
use crate::declare::{Declaration, Edge, Proof};
use crate::record::{Param, Point};
use serde::{Deserialize, Serialize};

use super::derive::described;
use crate::estimate::median;
use crate::file::Card;
use crate::format::plain;

/// One proof, held against a card on which its event was counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was to be proven.
    pub proof: Proof,
    /// How often the event happened in one operation: the median of all rounds and points.
    pub counted: f64,
}

impl Verdict {
    /// Whether the count is as it must be.
    pub fn holds(&self) -> bool {
        self.proof.least.is_none_or(|least| self.counted >= least)
            && self.proof.most.is_none_or(|most| self.counted <= most)
    }

    /// What it shows of the points, where it holds.
    pub fn shows(&self) -> &'static str {
        let Proof { event, least, most, .. } = &self.proof;
        let rare = least.is_none();
        match event {
            Event::LlcMisses if rare => "it stayed within the caches",
            Event::LlcMisses => "it really was main memory",
            Event::L2Misses if rare => "it stayed within L2",
            Event::L2Misses => "it really left L2",
            Event::L1dMisses if rare => "it stayed within the L1D",
            Event::L1dMisses => "it really left the L1D",
            Event::DtlbMisses if rare => "the first-level TLB held it",
            Event::DtlbMisses => "it really missed the first-level TLB",
            Event::DtlbWalks if rare => "there are no page walks in it",
            Event::DtlbWalks => "there really are page walks in it",
            Event::Mispredicts if rare => "they were predicted",
            Event::Mispredicts if most.is_some() => "the predictor could only guess",
            Event::Mispredicts => "they really were mispredicted",
            Event::StoreForwardBlocks if rare => "the store was forwarded",
            Event::StoreForwardBlocks => "the store really was not forwarded",
            Event::RemoteFills if rare => "no other core was asked for the line",
            Event::RemoteFills => "the line really came from another core",
            Event::ContextSwitches if rare => "no other thread came in between",
            Event::ContextSwitches => "the kernel really switched threads",
            Event::Migrations if rare => "the thread stayed on its CPU",
            Event::Migrations => "the thread really moved",
            Event::Faults if rare => "there are no page faults in it",
            Event::Faults => "the pages really were new",
            Event::Interrupts if rare => "nothing interrupted it",
            Event::CoreCycles
            | Event::Instructions
            | Event::Branches
            | Event::Interrupts
            | Event::RetiredSlots
            | Event::FrontendSlots
            | Event::BackendSlots => "the code is what it is called",
        }
    }

    /// In words: what was counted, and what was expected.
    pub fn text(&self) -> String {
        let Proof { at, end, event, least, most, .. } = &self.proof;
        let expected = match (least, most) {
            (Some(least), Some(most)) => format!("{} to {}", plain(*least), plain(*most)),
            (Some(least), None) => format!("at least {}", plain(*least)),
            (None, Some(most)) => format!("at most {}", plain(*most)),
            (None, None) => "anything".into(),
        };
        let end = match end {
            Some((name, Edge::Least)) => format!(" at the least {}", name.replace('_', " ")),
            Some((name, Edge::Most)) => format!(" at the largest {}", name.replace('_', " ")),
            None => String::new(),
        };
        format!(
            "{:.4} {} per operation of {}{end}, {expected} expected",
            self.counted,
            event.title(),
            described(at),
        )
    }
}

/// The proofs of a probe that its card can decide.
pub fn verdicts(card: &Card, declaration: &Declaration) -> Vec<Verdict> {
    let decide = |proof: &Proof| {
        let counted: Vec<f64> =
            points(card, declaration, proof).iter().filter_map(|p| p.count(proof.event)).collect();
        Some(Verdict { proof: proof.clone(), counted: median(&counted)? })
    };
    declaration.proofs.iter().filter_map(decide).collect()
}

/// The points that a proof looks at, in all rounds.
pub(super) fn points<'a>(
    card: &'a Card,
    declaration: &Declaration,
    proof: &Proof,
) -> Vec<&'a Point> {
    let of_probe = card.points.iter().filter(|p| p.probe == declaration.probe);
    let selected: Vec<&Point> = of_probe.filter(|p| proof.at.holds(p)).collect();
    let Some((name, edge)) = &proof.end else { return selected };
    let mut by_value: BTreeMap<i64, Vec<&Point>> = BTreeMap::new();
    for point in selected {
        if let Some(Param::Int(value)) = point.params.get(name.as_ref()) {
            by_value.entry(*value).or_default().push(point);
        }
    }
    let chosen = match edge {
        Edge::Least => by_value.pop_first(),
        Edge::Most => by_value.pop_last(),
    };
    chosen.map(|(_, points)| points).unwrap_or_default()
}

/// Why a metric is not what it is called, by the first proof of it that fails.
pub(super) fn refuted(verdicts: &[Verdict], metric: &str) -> Option<String> {
    let failed = |v: &&Verdict| !v.holds() && v.proof.metrics.iter().any(|id| id == metric);
    verdicts.iter().find(failed).map(|v| format!("refuted by a counter: {}", v.text()))
}

#[cfg(test)]
mod tests {
    use crate::declare::{Select, Unit};

    use super::*;
    use crate::fixture::{self, proof as proof_of};

    const ID: &[&str] = &["m"];

    /// A curve of two sizes, whose points say so many misses of 1000 operations.
    fn verdict(proof: Proof, near: u64, far: &[u64]) -> Option<Verdict> {
        let mut card = fixture::empty().card;
        let mut put = |size: i64, round: usize, misses: u64| {
            let round = u32::try_from(round).unwrap();
            let point = fixture::point("p", "q", round, Unit::Ns, vec![1.0]);
            let point = fixture::with(point, &[("size", Param::Int(size))]);
            card.points.push(Point { counts: [(Event::LlcMisses, misses)].into(), ..point });
        };
        put(4096, 0, near);
        far.iter().enumerate().for_each(|(round, &misses)| put(1 << 30, round, misses));
        let declaration = Declaration {
            probe: "p".into(),
            method: 1,
            quantities: Vec::new(),
            summary: "a probe".into(),
            metrics: Vec::new(),
            proofs: vec![proof],
        };
        verdicts(&card, &declaration).pop()
    }

    const SIZE: Option<(&str, Edge)> = Some(("size", Edge::Most));

    #[test]
    fn only_the_named_end_of_a_curve_is_held_against_the_proof() {
        let proof =
            || proof_of(ID, Select::of("q", &[]), SIZE, Event::LlcMisses, (Some(0.95), None));
        let good = verdict(proof(), 0, &[990, 100, 985]).unwrap();
        assert!(good.holds(), "{}", good.text());
        assert_eq!(refuted(&[good], "m"), None);
        let bad = verdict(proof(), 1000, &[990, 100, 110]).unwrap();
        assert_eq!(bad.counted, 0.11);
        let why = refuted(std::slice::from_ref(&bad), "m").unwrap();
        assert!(
            why.contains("0.11") && why.contains("LLC misses") && why.contains("0.95"),
            "{why}"
        );
        assert_eq!(refuted(&[bad], "another"), None);
    }

    #[test]
    fn both_ends_of_a_proof_count_and_what_was_not_counted_proves_nothing() {
        let proof = |event| proof_of(ID, Select::of("q", &[]), None, event, (Some(0.4), Some(0.6)));
        assert!(verdict(proof(Event::LlcMisses), 500, &[510]).unwrap().holds());
        assert!(!verdict(proof(Event::LlcMisses), 700, &[710]).unwrap().holds());
        assert!(!verdict(proof(Event::LlcMisses), 300, &[310]).unwrap().holds());
        assert_eq!(verdict(proof(Event::Mispredicts), 500, &[510]), None);
    }
}
