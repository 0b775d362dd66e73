//! What others on the same core explain: an SMT sibling at work takes up to as much of the core as it is
//! active, and what the noise probe lost is lost to the other probes too. How much that was in each round
//! is on the card; what counts is how much more it may have been than in the baseline.
//!
//! On an Ice Lake guest whose sibling was active for 0 to 72 % of a round, 11 of 15 pairs of six idle runs
//! within one hour were suspect by a prior of a quieter host, with L1 and L2 worse by 2.6 to 25 %.

use crate::summary::Summary;

const SIBLING: &str = "noise.sibling_busy_ratio";
const GAPS: &str = "noise.gap_ratio";

/// A share of time on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Share {
    now: f64,
    before: f64,
    /// Standard error of their difference.
    error: f64,
}

impl Share {
    fn of(id: &str, now: &[&Summary], base: &[&Summary]) -> Share {
        let rounds = |cards: &[&Summary]| -> Vec<f64> {
            let values = cards.iter().filter_map(|card| card.metrics.get(id));
            // What is no share was broken on the way here.
            let each = values.flat_map(|value| value.each_round.iter().copied());
            each.filter(|share| (0.0..=1.0).contains(share)).collect()
        };
        let (now, base) = (rounds(now), rounds(base));
        let error = (variance_of_mean(&now) + variance_of_mean(&base)).sqrt();
        Share { now: mean(&now), before: mean(&base), error }
    }

    /// By how much more it may be, at most.
    fn excess(self) -> f64 {
        (self.now - self.before + self.error).max(0.0)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn variance_of_mean(values: &[f64]) -> f64 {
    let (centre, count) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|v| (v - centre) * (v - centre)).sum();
    if values.len() < 2 { 0.0 } else { squares / (count * (count - 1.0)) }
}

/// How active others were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Neighbours {
    sibling: Share,
    lost: Share,
}

impl Neighbours {
    /// By the rounds of the noise probe, which sees a moment of each.
    pub(super) fn of(now: &[&Summary], base: &[&Summary]) -> Neighbours {
        Neighbours { sibling: Share::of(SIBLING, now, base), lost: Share::of(GAPS, now, base) }
    }

    /// A change for the worse that they may be behind, on the logarithm.
    pub(super) fn explain(self) -> f64 {
        (self.sibling.excess() + self.lost.excess()).ln_1p()
    }

    /// In words, for a verdict.
    pub(super) fn words(self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        format!(
            "the SMT sibling was active {} of the time, {} in the baseline; {} was lost to gaps, {} in the \
             baseline",
            percent(self.sibling.now),
            percent(self.sibling.before),
            percent(self.lost.now),
            percent(self.lost.before)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn with(id: &str, rounds: &[f64]) -> Summary {
        let mut summary = fixture::recorded();
        for value in
            summary.metrics.0.iter_mut().filter(|v| [SIBLING, GAPS].contains(&v.id.as_str()))
        {
            value.each_round = if value.id == id { rounds.to_vec() } else { vec![0.01; 5] };
        }
        summary
    }

    #[test]
    fn what_is_more_than_in_the_baseline_explains_and_its_error_too() {
        let explain = |now: &[f64], base: &[f64]| {
            let (now, base) = (with(SIBLING, now), with(SIBLING, base));
            Neighbours::of(&[&now], &[&base]).explain()
        };
        assert_eq!(explain(&[0.05; 5], &[0.05; 5]), 0.0, "as before");
        assert_eq!(explain(&[0.0; 5], &[0.3; 5]), 0.0, "quieter than before");
        assert!((explain(&[0.25; 5], &[0.05; 5]) - 1.2_f64.ln()).abs() < 1e-9);
        // Rounds that differ do not tell the mean.
        assert!(explain(&[0.0, 0.0, 0.5, 0.0, 0.0], &[0.1; 5]) > 0.09);
        // Many cards do.
        assert_eq!(explain(&[f64::NAN, 9.0, -1.0], &[]), 0.0, "no shares");
    }

    #[test]
    fn time_that_was_lost_counts_as_well() {
        let (now, base) = (with(GAPS, &[0.11; 5]), with(GAPS, &[0.01; 5]));
        let neighbours = Neighbours::of(&[&now], &[&base]);
        assert!((neighbours.explain() - 1.1_f64.ln()).abs() < 1e-9);
        assert!(
            neighbours.words().contains("11 % was lost to gaps, 1 % in"),
            "{}",
            neighbours.words()
        );
    }
}
