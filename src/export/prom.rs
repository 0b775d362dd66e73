//! Prometheus' text format, for the textfile collector of `node_exporter`.
//!
//! No timestamps, for which the collector would refuse the file: `probecard_last_run_timestamp_seconds` says how old
//! it all is.

use std::fmt::Write;

use card::summary::Summary;

use super::families;
use super::judged::Judged;

/// A text for `DIR/probecard.prom`. Times are in seconds, rates in bytes or operations per second, shares are of 1.
pub fn text(summary: &Summary, judged: Option<&Judged>) -> String {
    let mut text = String::new();
    for family in families::of(summary, judged) {
        let name = &family.name;
        // Quotes stay as they are here.
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        // An info is a gauge here.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        samples(&mut text, name, &family.samples);
    }
    text
}

/// Lines of samples, which are the same in `OpenMetrics`.
pub(super) fn samples(text: &mut String, name: &str, all: &[(Vec<(&'static str, String)>, f64)]) {
    for (labels, number) in all {
        let label = |(name, value): &(&str, String)| format!("{name}=\"{}\"", escaped(value));
        let labels: Vec<String> = labels.iter().map(label).collect();
        let labels = match &labels[..] {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        // With an exponent where it is far from 1, and always with a point.
        let _ = writeln!(text, "{name}{labels} {number:?}");
    }
}

/// A text between quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use card::fixture;
    use card::judge::Verdict;
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::{HOSTILE, hostile, judged, unescaped};

    #[test]
    fn a_metric_has_its_help_its_type_and_its_number() {
        let text = text(&fixture::recorded(), None);
        let at = text.find("# HELP probecard_clock_core_hertz ").unwrap();
        let lines: Vec<&str> = text[at..].lines().take(3).collect();
        assert!(lines[0].ends_with("(clock.core_ghz)"), "{lines:?}");
        assert_eq!(lines[1], "# TYPE probecard_clock_core_hertz gauge");
        let (name, number) = lines[2].split_once(' ').unwrap();
        assert_eq!(name, "probecard_clock_core_hertz");
        assert!((1e8..1e10).contains(&number.parse::<f64>().unwrap()), "{number}");
        assert!(text.ends_with('\n') && text.contains("\nprobecard_run_complete 1.0\n"));
    }

    #[test]
    fn every_line_is_one_of_the_format_and_every_name_has_one_family() {
        let text = text(&hostile(HOSTILE), Some(&judged(Verdict::Worse)));
        let mut families = std::collections::BTreeSet::new();
        let legal = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        for line in text.lines() {
            if let Some(of) = line.strip_prefix("# TYPE ") {
                let (name, kind) = of.split_once(' ').unwrap();
                assert!(kind == "gauge" && families.insert(name), "{line}");
            } else if !line.starts_with("# HELP ") {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(legal(name) && families.contains(name), "{line}");
                let number = line.rsplit(' ').next().unwrap();
                assert!(number.parse::<f64>().unwrap().is_finite(), "{line}");
            }
        }
        assert!(text.contains("probecard_check_verdict{verdict=\"worse\"} 1.0"), "{text}");
        assert!(text.contains("probecard_check_status{group=\"branch\"} 2.0"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_between_quotes_is_read_back(text in any::<String>()) {
            let quoted = escaped(&text);
            prop_assert!(!quoted.contains('\n'));
            prop_assert_eq!(unescaped(&quoted), Some(text));
        }
    }
}
