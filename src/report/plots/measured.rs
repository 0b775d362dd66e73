//! Numbers of metrics as pictures and tables write them: the metric's own value, with no more digits
//! than the rounds agree on.

use card::declare::Unit;
use card::format;
use card::metrics::{Grade, State, Value};
use card::summary::Summary;

/// A metric that may be drawn.
pub(super) fn metric<'a>(summary: &'a Summary, id: &str) -> Option<&'a Value> {
    summary.metrics.get(id).filter(|value| number(value).is_some())
}

/// Its number, if an axis has a place for it.
pub(super) fn number(value: &Value) -> Option<f64> {
    format::believable(value).filter(|v| *v > 0.0)
}

/// The number of a metric by its id.
pub(super) fn number_of(summary: &Summary, id: &str) -> Option<f64> {
    metric(summary, id).and_then(number)
}

/// `14.8 ns`, or `20 µs` where the rounds go from 16 to 23.
pub(super) fn text(value: &Value) -> String {
    let Some(number) = number(value) else { return "–".into() };
    said(number, ends(value), value.unit)
}

/// The text of a metric by its id.
pub(super) fn text_of(summary: &Summary, id: &str) -> Option<String> {
    metric(summary, id).map(text)
}

/// Lowest and highest round.
pub(super) fn ends(value: &Value) -> Option<(f64, f64)> {
    value.low.zip(value.high)
}

/// A number between two others, its last digit not far below a tenth of their distance.
pub(super) fn said(number: f64, ends: Option<(f64, f64)>, unit: Unit) -> String {
    let (low, high) = ends.unwrap_or((number, number));
    let power = (number.abs().log10().floor()).max(-300.0);
    let spread = ((high - low).abs() / 10.0).log10().round();
    // Three digits at most, and one at least.
    let step = 10f64.powf(spread.clamp(power - 2.0, power));
    if !step.is_normal() || matches!(unit, Unit::Bytes | Unit::Count) {
        return format::quantity(number, unit);
    }
    let rounded = (number / step).round() * step;
    let scale = format::scale(rounded, unit);
    let digits = rounded / scale.factor;
    let three = 2.0 - digits.abs().log10().floor();
    let decimals = (scale.factor / step).log10().round().min(three).clamp(0.0, 9.0) as usize;
    if !(1e-9..1e15).contains(&digits.abs()) {
        return format::quantity(number, unit);
    }
    [format!("{digits:.decimals$}"), scale.symbol.to_owned()].join(" ").trim_end().to_owned()
}

/// How far the rounds differ, as a mark behind a number: nothing within 5 %, `~` within 25 %, `?`
/// beyond.
pub(in crate::report) fn mark(value: &Value) -> &'static str {
    spread_mark(value.state == State::Noisy, value.grade)
}

/// The same of what is known of a value.
pub(in crate::report) fn spread_mark(noisy: bool, grade: Option<Grade>) -> &'static str {
    match grade {
        _ if !noisy => "",
        Some(Grade::Within25) => "~",
        _ => "?",
    }
}

/// The text with its mark before it.
pub(super) fn marked(value: &Value) -> String {
    [mark(value), &text(value)].join(" ").trim().to_owned()
}

/// In a sentence: `~33 GB/s` within 25 %, beyond that the interval alone.
pub(super) fn told(value: &Value) -> String {
    match mark(value) {
        "?" if value.low != value.high => interval(value),
        mark => format!("{mark}{}", text(value)),
    }
}

/// `13.7–15.1 ns`; only the number where both ends read alike.
pub(super) fn interval(value: &Value) -> String {
    match ends(value) {
        Some((low, high)) => format::range(low, high, value.unit),
        None => text(value),
    }
}

/// A size: where the rounds differ by more than a quarter, a range.
pub(super) fn size(value: &Value) -> String {
    match ends(value) {
        Some((low, high)) if high > 1.25 * low => {
            let scale = format::scale(high, Unit::Bytes);
            let end = |v: f64| format::plain((v / scale.factor * 10.0).round() / 10.0);
            format!("{}–{} {}", end(low), end(high), scale.symbol)
        }
        _ => number(value).map_or("–".into(), |v| format::quoted(v, Unit::Bytes)),
    }
}

/// `a, b and c`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_end_where_the_rounds_disagree() {
        let ns = |number, low, high| said(number, Some((low, high)), Unit::Ns);
        assert_eq!(ns(19_800.0, 16_000.0, 22_800.0), "20 µs");
        assert_eq!(ns(33.6, 32.0, 47.0), "34 ns");
        assert_eq!(ns(1.084, 1.083, 1.085), "1.08 ns");
        assert_eq!(ns(162.3, 155.0, 163.0), "162 ns");
        assert_eq!(ns(999_600.0, 999_600.0, 999_600.0), "1.00 ms");
        assert_eq!(ns(5.0, 1.0, 1000.0), "5 ns");
        assert_eq!(said(0.0128, Some((0.011, 0.03)), Unit::Ratio), "1.3 %");
        assert_eq!(said(3072.0, Some((10.0, 9000.0)), Unit::Count), "3072");
    }
}
