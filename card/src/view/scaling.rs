//! Throughput against the number of threads: the curves of the probe `scaling`, each round held
//! against its own single thread.

use std::collections::BTreeMap;

use crate::declare::Better;
use crate::record::Param;

use crate::file::Card;
use crate::series::{self, Setting};

/// The kinds of work, as they are recorded.
pub const KINDS: [&str; 4] = ["compute", "memory", "lock", "message"];

/// One kind of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Which.
    pub kind: &'static str,
    /// By rising number of threads.
    pub points: Vec<Scaled>,
}

/// A number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaled {
    /// How many.
    pub threads: i64,
    /// Throughput relative to one thread.
    pub ratio: f64,
    /// The same in each round.
    pub rounds: Vec<f64>,
    /// Time of an operation.
    pub time: Setting,
}

impl Curve {
    /// The point with this number of threads.
    pub fn at(&self, threads: i64) -> Option<&Scaled> {
        self.points.iter().find(|point| point.threads == threads)
    }
}

/// The curves of a card, in the order of [`KINDS`]: each round is held against its own single thread.
pub fn curves(card: &Card) -> Vec<Curve> {
    let settings = series::settings(card, "scaling", "time_per_op");
    let curve = |kind: &&'static str| {
        let of_kind: BTreeMap<i64, &Setting> = settings
            .iter()
            .filter(|s| s.is("kind", kind))
            .filter_map(|s| Some((s.int("threads")?, s)))
            .collect();
        let one = of_kind.get(&1)?;
        let scaled = |(&threads, many): (&i64, &&Setting)| {
            // Throughput is one divided by time.
            let rounds = one.each(many, |one, many| one / many);
            let ratio = series::over_rounds(&rounds, Better::Higher)?.value;
            let rounds = rounds.iter().map(|r| r.value).collect();
            Some(Scaled { threads, ratio, rounds, time: (*many).clone() })
        };
        let points: Vec<Scaled> = of_kind.iter().filter_map(scaled).collect();
        (points.len() > 1).then_some(Curve { kind, points })
    };
    KINDS.iter().filter_map(curve).collect()
}

/// As many threads as were taken for all CPUs, and a quota of CPU time if that is why.
pub fn all_cpus(card: &Card) -> Option<(i64, Option<&str>)> {
    let full = |p: &&crate::record::Point| {
        p.probe == "scaling" && matches!(p.params.get("at"), Some(Param::Text(at)) if at == "full")
    };
    let point = card.points.iter().find(full)?;
    match point.params.get("threads")? {
        Param::Int(threads) => Some((*threads, point.note.as_deref())),
        Param::Text(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn each_round_is_held_against_its_own_single_thread() {
        let curves = curves(&fixture::recorded().card);
        assert_eq!(curves.iter().map(|c| c.kind).collect::<Vec<_>>(), KINDS);
        for curve in &curves {
            assert_eq!(curve.points.iter().map(|p| p.threads).collect::<Vec<_>>(), [1, 2, 4]);
            assert_eq!(curve.points[0].rounds, [1.0; 3]);
        }
        let compute = curves[0].at(2).unwrap();
        assert_eq!(compute.rounds.len(), 3);
        assert!(compute.ratio > 1.5 && curves[0].at(7).is_none());
    }

    #[test]
    fn a_round_without_a_single_thread_says_nothing() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.round > 0 || p.params.get("threads") != Some(&Param::Int(1)));
        assert!(curves(&card).iter().all(|c| c.points.iter().all(|p| p.rounds.len() == 2)));
        card.points.retain(|p| p.params.get("threads") != Some(&Param::Int(1)));
        assert!(curves(&card).is_empty());
    }

    #[test]
    fn all_cpus_are_what_was_measured_as_such() {
        assert_eq!(all_cpus(&fixture::recorded().card), Some((2, None)));
        assert_eq!(all_cpus(&fixture::empty().card), None);
    }
}
