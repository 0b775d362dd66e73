//! How a change is told: in the direction in which people think of the unit.

use card::declare::{Better, Unit};
use card::judge::{GroupChange, Judgement};

/// Shares of 1 of a change on the logarithm: how much lower a rate is, how much longer a time.
pub(in crate::report) fn share(change: f64, of_rate: bool) -> f64 {
    if of_rate { -(-change).exp_m1() } else { change.exp_m1() }
}

/// `12.5 %`
pub(in crate::report) fn percent(share: f64) -> String {
    // Without "-0.0".
    let tenths = (share * 1000.0).round() / 10.0 + 0.0;
    format!("{tenths:.1} %")
}

/// Whether more of it is better.
pub(in crate::report) fn is_rate(unit: Unit) -> bool {
    unit.usually_better() == Better::Higher
}

/// Whether most metrics of a group are rates.
pub(in crate::report) fn is_of_rates(judgement: &Judgement, group: &GroupChange) -> bool {
    let (mut rates, mut all) = (0, 0);
    for metric in judgement.metrics_of(group) {
        rates += usize::from(is_rate(metric.unit));
        all += 1;
    }
    2 * rates > all
}
