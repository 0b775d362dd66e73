//! `OpenMetrics`, for whoever scrapes a file over HTTP or loads it as such; the textfile collector does not read it.

use std::fmt::Write;

use card::summary::Summary;

use super::families::{self, Kind};
use super::judged::Judged;
use super::prom::{escaped, samples};

/// The same families as for Prometheus, with their units, and an end.
pub fn text(summary: &Summary, judged: Option<&Judged>) -> String {
    let mut text = String::new();
    for family in families::of(summary, judged) {
        let (name, kind) = match family.kind {
            Kind::Gauge => (family.name.as_str(), "gauge"),
            // The ending belongs to the sample.
            Kind::Info => (family.name.trim_end_matches("_info"), "info"),
        };
        let _ = writeln!(text, "# TYPE {name} {kind}");
        if let Some(unit) = family.unit {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(text, "# HELP {name} {}", escaped(&family.help));
        samples(&mut text, &family.name, &family.samples);
    }
    text + "# EOF\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::{HOSTILE, hostile};
    use card::fixture;

    #[test]
    fn units_are_what_names_end_in_and_the_end_is_the_end() {
        let text = text(&fixture::recorded(), None);
        assert!(text.contains(
            "# TYPE probecard_build info\n# HELP probecard_build The program that measured.\n\
             probecard_build_info{version="
        ));
        let units: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# UNIT ")).collect();
        assert!(units.len() > 300, "{}", units.len());
        for line in units {
            let (name, unit) = line.split_once(' ').unwrap();
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
        }
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
    }

    #[test]
    fn nothing_from_outside_begins_a_line() {
        let text = text(&hostile(HOSTILE), None);
        for line in text.lines() {
            assert!(line.starts_with("# ") || line.starts_with("probecard_"), "{line}");
        }
    }
}
