//! Numbers of metrics as pictures and tables write them: the metric's own value, with no more digits
//! than the rounds agree on.

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
    number(value).map_or("–".into(), |_| format::measured(value))
}

/// The text of a metric by its id.
pub(super) fn text_of(summary: &Summary, id: &str) -> Option<String> {
    metric(summary, id).map(text)
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
    let text = text(value);
    match (format::interval(value), text.rsplit_once(' ')) {
        (ends, Some((_, unit))) if !ends.is_empty() => format!("{ends} {unit}"),
        (ends, None) if !ends.is_empty() => ends,
        _ => text,
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
