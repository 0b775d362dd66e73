//! Numbers as people read them: three significant digits and a fitting unit.

use crate::declare::Unit;

use crate::metrics::{State, Value};
use crate::series::Met;

/// A unit for people: what to divide by, and what to write behind the number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Recorded units in one printed unit.
    pub factor: f64,
    /// What is written behind the number; may be empty.
    pub symbol: &'static str,
}

const TIME: [Scale; 4] = [
    Scale { factor: 1.0, symbol: "ns" },
    Scale { factor: 1e3, symbol: "µs" },
    Scale { factor: 1e6, symbol: "ms" },
    Scale { factor: 1e9, symbol: "s" },
];

const BYTES: [Scale; 7] = [
    Scale { factor: 1.0, symbol: "B" },
    Scale { factor: (1u64 << 10) as f64, symbol: "KiB" },
    Scale { factor: (1u64 << 20) as f64, symbol: "MiB" },
    Scale { factor: (1u64 << 30) as f64, symbol: "GiB" },
    Scale { factor: (1u64 << 40) as f64, symbol: "TiB" },
    Scale { factor: (1u64 << 50) as f64, symbol: "PiB" },
    Scale { factor: (1u64 << 60) as f64, symbol: "EiB" },
];

/// The unit in which `value` is printed, and with it the ends of its interval.
pub fn scale(value: f64, unit: Unit) -> Scale {
    let fixed = |symbol| Scale { factor: 1.0, symbol };
    match unit {
        Unit::Ns => pick(&TIME, value),
        // Nothing has no scale of its own: what stands beside it does.
        Unit::Ms if value == 0.0 => fixed("ms"),
        Unit::Ms => {
            let time = pick(&TIME, value * 1e6);
            Scale { factor: time.factor / 1e6, symbol: time.symbol }
        }
        Unit::Bytes => pick(&BYTES, value),
        // A share of a thousandth is easier to read in per cent.
        Unit::Ratio if value != 0.0 && value.abs() < 0.1 => Scale { factor: 0.01, symbol: "%" },
        other => fixed(other.symbol()),
    }
}

/// The largest step that leaves at least one before the point, after rounding to three digits.
fn pick(steps: &[Scale], value: f64) -> Scale {
    let fits = |step: &&Scale| round3(value.abs() / step.factor) >= 1.0;
    *steps.iter().rev().find(fits).unwrap_or(&steps[0])
}

fn round3(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10f64.powf(value.abs().log10().floor() - 2.0);
    (value / unit).round() * unit
}

/// What has more zeros than anyone would count is written with an exponent.
const COUNTABLE: std::ops::Range<f64> = 1e-9..1e15;

/// Three significant digits: `1.09`, `20.6`, `118`, `4100`, `2.00e30`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    if !COUNTABLE.contains(&value.abs()) {
        return format!("{value:.2e}");
    }
    let rounded = round3(value);
    let digits = (2.0 - rounded.abs().log10().floor()).clamp(0.0, 9.0);
    format!("{rounded:.*}", digits as usize)
}

/// The number without zeros that say nothing: for figures that were printed, not measured.
pub fn plain(value: f64) -> String {
    let text = number(value);
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn with_symbol(number: String, symbol: &str) -> String {
    if symbol.is_empty() { number } else { format!("{number} {symbol}") }
}

fn digits(value: f64, unit: Unit) -> String {
    match unit {
        // Exact numbers, whose trailing zeros say nothing.
        Unit::Bytes | Unit::Count => counted(value),
        _ => number(value),
    }
}

/// 3072 entries are not 3070.
fn counted(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < COUNTABLE.end {
        format!("{value:.0}")
    } else {
        plain(value)
    }
}

/// So many of something: `1 CPU`, `2 CPUs`.
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A measured quantity with its unit: `1.09 ns`, `20.6 µs`, `48 KiB`.
pub fn quantity(value: f64, unit: Unit) -> String {
    let scale = scale(value, unit);
    with_symbol(digits(value / scale.factor, unit), scale.symbol)
}

/// The last digit worth a place: near a tenth of the spread, of three digits at most and one at least.
/// `None` where all of them are: of exact numbers, and of those that no digits are counted of.
fn last_digit(number: f64, (low, high): (f64, f64), unit: Unit) -> Option<f64> {
    let exact = unit == Unit::Count || (unit == Unit::Bytes && low == high);
    let power = number.abs().log10().floor();
    let spread = ((high - low).abs() / 10.0).log10().round();
    // Sizes lie on a grid of their own, which whole digits would miss.
    let most = if unit == Unit::Bytes { power.min(-1.0) } else { power };
    let step = 10f64.powf(spread.min(most).max(power - 2.0));
    (!exact && COUNTABLE.contains(&number.abs()) && step.is_normal()).then_some(step)
}

/// Numbers to that digit, in one scale.
struct Digits {
    scale: Scale,
    step: Option<f64>,
    unit: Unit,
}

impl Digits {
    /// Of a number between two others.
    fn of(number: f64, ends: (f64, f64), unit: Unit) -> Digits {
        let scaled = scale(number, unit);
        let ends = (ends.0 / scaled.factor, ends.1 / scaled.factor);
        let step = last_digit(number / scaled.factor, ends, unit).map(|step| step * scaled.factor);
        let rounded = step.map_or(number, |step| (number / step).round() * step);
        Digits { scale: scale(rounded, unit), step, unit }
    }

    fn text(&self, value: f64) -> String {
        let number = value / self.scale.factor;
        let Some(step) = self.step.map(|step| step / self.scale.factor) else {
            return digits(number, self.unit);
        };
        let rounded = (number / step).round() * step;
        // Not more than three digits where one end is far larger than the number.
        let three = 2.0 - rounded.abs().max(step).log10().floor();
        let places = (-step.log10()).round().min(three).clamp(0.0, 9.0) as usize;
        format!("{rounded:.places$}")
    }
}

/// A number with its unit, no digit much finer than a tenth of the distance of its ends: `20 µs`, `1.08 ns`.
pub fn within(number: f64, ends: (f64, f64), unit: Unit) -> String {
    let digits = Digits::of(number, ends, unit);
    with_symbol(digits.text(number), digits.scale.symbol)
}

/// The ends of a number in the unit and to the digit in which [`within`] prints it, without the unit.
pub fn ends(number: f64, (low, high): (f64, f64), unit: Unit) -> String {
    let digits = Digits::of(number, (low, high), unit);
    let (low, high) = (digits.text(low), digits.text(high));
    if low == high { low } else { format!("{low}–{high}") }
}

/// A metric's number with its unit, to the digit that its rounds agree on; empty if there is none.
pub fn shown(value: &Value) -> String {
    value.value.map_or(String::new(), |number| within(number, spread(value), value.unit))
}

/// Its number alone, for tables that have the unit above it.
pub fn bare(value: &Value) -> String {
    value.value.map_or(String::new(), |number| within(number, spread(value), Unit::Unknown))
}

/// [`shown`] of what may be drawn or compared.
pub fn measured(value: &Value) -> String {
    believable(value).map_or(String::new(), |_| shown(value))
}

/// Lowest and highest round; the number itself where they are not known.
pub fn spread(value: &Value) -> (f64, f64) {
    let number = value.value.unwrap_or_default();
    value.low.zip(value.high).unwrap_or((number, number))
}

/// Rounds of a size that differ by more are a range.
const SCATTERS: f64 = 1.25;

/// A measured size: `1 MiB`, or `4.4–7.1 MiB` where the rounds scatter.
pub fn size(value: &Value) -> String {
    let (low, high) = spread(value);
    match interval(value) {
        range if high > SCATTERS * low && !range.is_empty() => {
            let number = value.value.unwrap_or_default();
            with_symbol(range, Digits::of(number, (low, high), value.unit).scale.symbol)
        }
        _ => shown(value),
    }
}

/// A size: `64 B`, `32 KiB`, `1.25 MiB`.
pub fn human_bytes(bytes: u64) -> String {
    quantity(bytes as f64, Unit::Bytes)
}

/// A quoted quantity: `0.5 ns`, `10 ms`.
pub fn quoted(value: f64, unit: Unit) -> String {
    let scale = scale(value, unit);
    with_symbol(plain(value / scale.factor), scale.symbol)
}

/// `low–high` in the unit and to the digit in which the value is printed, without the unit; empty if
/// unknown.
pub fn interval(value: &Value) -> String {
    let (Some(middle), Some(low), Some(high)) = (value.value, value.low, value.high) else {
        return String::new();
    };
    ends(middle, (low, high), value.unit)
}

/// `2 states: 1.93 40 %, 2.17 60 %`, each with its share, in the unit in which the value is printed;
/// empty where there is but one.
pub fn states(value: &Value) -> String {
    let (Some(middle), count @ 2..) = (value.value, value.states.len()) else {
        return String::new();
    };
    let scale = scale(middle, value.unit);
    let state = |met: &Met| {
        format!("{} {:.0} %", digits(met.value / scale.factor, value.unit), 100.0 * met.share)
    };
    let all: Vec<String> = value.states.iter().map(state).collect();
    format!("{count} states: {}", all.join(", "))
}

/// `low` to `high` of a figure in print, with its unit: `12–18 cycles`, `4 cycles`.
pub fn range(low: f64, high: f64, unit: Unit) -> String {
    let scale = scale(high, unit);
    let count = unit == Unit::Count;
    let end = |x: f64| if count { counted(x) } else { plain(x / scale.factor) };
    let numbers = if low == high { end(low) } else { format!("{}–{}", end(low), end(high)) };
    with_symbol(numbers, scale.symbol)
}

/// A value that may be drawn or compared: measured, and not contradicted by a second method.
pub fn believable(value: &Value) -> Option<f64> {
    match value.state {
        State::Ok | State::Noisy => value.value.filter(|v| v.is_finite()),
        State::Unavailable | State::Inconsistent => None,
    }
}

/// `2025-11-22T04:08:09.123Z` → `2025-11-22 04:08 UTC`; anything else is left as it is.
pub fn moment(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

/// The same in short, for beside a picture: `22 Nov 04:08`.
pub fn short_moment(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%-d %b %H:%M").to_string(),
        Err(_) => shorten(rfc3339, 16),
    }
}

/// `text` cut to `most` characters, with an ellipsis where something is missing.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_fitting_unit() {
        assert_eq!(quantity(1.0912, Unit::Ns), "1.09 ns");
        assert_eq!(quantity(118.4, Unit::Ns), "118 ns");
        assert_eq!(quantity(20_612.0, Unit::Ns), "20.6 µs");
        assert_eq!(quantity(999.7, Unit::Ns), "1.00 µs");
        assert_eq!(quantity(0.09996, Unit::Cycles), "0.100 cycles");
        assert_eq!(quantity(12.0, Unit::Ms), "12.0 ms");
        assert_eq!(quantity(0.0, Unit::Ms), "0 ms");
        assert_eq!(quantity(49_152.0, Unit::Bytes), "48 KiB");
        assert_eq!(quantity(1_310_720.0, Unit::Bytes), "1.25 MiB");
        assert_eq!(quantity(0.000_812, Unit::Ratio), "0.0812 %");
        assert_eq!(quantity(1.02, Unit::Ratio), "1.02");
        assert_eq!(quantity(30_000.0, Unit::Count), "30000");
        assert_eq!(quantity(3072.0, Unit::Count), "3072");
        assert_eq!(quantity(3072.4, Unit::Count), "3070");
        assert_eq!(range(1600.0, 2048.0, Unit::Count), "1600–2048");
        assert_eq!(quoted(0.5, Unit::Ns), "0.5 ns");
        assert_eq!(quoted(150e6, Unit::Ns), "150 ms");
        assert_eq!(range(12.0, 18.0, Unit::Cycles), "12–18 cycles");
        assert_eq!(number(-1.0e308), "-1.00e308");
        assert_eq!(quantity(1e300, Unit::Count), "1.00e300");
        assert_eq!(plain(f64::MAX), "1.80e308");
    }

    #[test]
    fn counts_take_their_nouns_along() {
        assert_eq!((count(1, "CPU"), count(0, "CPU")), ("1 CPU".into(), "0 CPUs".into()));
    }

    #[test]
    fn sizes_have_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (64, "64 B"),
            (1023, "1023 B"),
            (32 << 10, "32 KiB"),
            (1023 << 10, "1023 KiB"),
            (1 << 20, "1 MiB"),
            (5 << 18, "1.25 MiB"),
            ((1 << 30) - 1, "1 GiB"),
            (24 << 30, "24 GiB"),
            (1536 << 30, "1.5 TiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn odd_numbers_do_not_panic() {
        for value in [0.0, -3.5, f64::NAN, f64::INFINITY, 5e-324, 1e-12, 1e15, 1e300, f64::MIN] {
            for unit in [Unit::Ns, Unit::Bytes, Unit::Count, Unit::Ratio, Unit::Ghz] {
                let text = quantity(value, unit);
                assert!(!text.is_empty() && text.len() < 16, "{text}");
                assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            }
        }
        assert_eq!((number(1e300), plain(1e300)), ("1.00e300".into(), "1.00e300".into()));
        assert_eq!(moment("yesterday"), "yesterday");
        assert_eq!(moment("2025-11-22T04:08:09.5Z"), "2025-11-22 04:08 UTC");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }

    #[test]
    fn ends_have_the_digits_of_their_number() {
        let of = |number: f64, low, high, unit| ends(number, (low, high), unit);
        assert_eq!(of(19_800.0, 16_000.0, 22_800.0, Unit::Ns), "16–23");
        assert_eq!(of(1.083, 1.08, 1.09, Unit::Ns), "1.08–1.09");
        assert_eq!(of(14.0, 14.0, 14.0, Unit::Cycles), "14.0");
        assert_eq!(of(99.0, 90.0, 1250.0, Unit::Ns), "90–1250");
        assert_eq!(of(0.0, 0.0, 1.0, Unit::Ns), "0–1.00");
        let mib = |n: f64| n * 1048576.0;
        let size = |number, low, high| {
            let value = crate::findings::tests::value("x", Unit::Bytes, mib(number));
            super::size(&Value { low: Some(mib(low)), high: Some(mib(high)), ..value })
        };
        assert_eq!(size(5.68, 4.43, 7.05), "4.4–7.1 MiB");
        assert_eq!(size(1.0, 1.0, 1.0), "1 MiB");
        assert_eq!(size(512.0, 512.0, 724.0), "512–724 MiB");
    }

    #[test]
    fn no_digit_is_finer_than_a_tenth_of_the_spread() {
        let value = |number: f64, low, high, unit| {
            let value = crate::findings::tests::value("x", unit, number);
            measured(&Value { low: Some(low), high: Some(high), ..value })
        };
        assert_eq!(value(19_800.0, 16_000.0, 22_800.0, Unit::Ns), "20 µs");
        assert_eq!(value(1.083, 1.08, 1.09, Unit::Ns), "1.08 ns");
        assert_eq!(value(33.6, 25.0, 38.0, Unit::Ratio), "34");
        assert_eq!(value(0.0128, 0.011, 0.03, Unit::Ratio), "1.3 %");
        assert_eq!(value(999_600.0, 999_600.0, 999_600.0, Unit::Ns), "1.00 ms");
        assert_eq!(value(5.0, 1.0, 1000.0, Unit::Ns), "5 ns");
        assert_eq!(value(32768.0, 32768.0, 32768.0, Unit::Bytes), "32 KiB");
        assert_eq!(
            value(5.68 * 1048576.0, 4.43 * 1048576.0, 7.05 * 1048576.0, Unit::Bytes),
            "5.7 MiB"
        );
        assert_eq!(value(162.0, 155.0, 163.0, Unit::Ns), "162 ns");
        assert_eq!(value(162.0, 105.0, 203.0, Unit::Ns), "160 ns");
        assert_eq!(value(4003.0, 3000.0, 5000.0, Unit::Count), "4003");
        assert_eq!(value(0.0, 0.0, 1.0, Unit::Ns), "0 ns");
        let missing = Value { value: None, ..crate::findings::tests::value("x", Unit::Ns, 1.0) };
        assert_eq!(measured(&missing), "");
    }
}
