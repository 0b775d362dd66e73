//! `JUnit`'s XML, which CI systems show: a suite for each probe, a case for each metric.

use std::fmt::Write;

use card::clean;
use card::format::{interval, quantity};
use card::judge::Standing;
use card::metrics::{State, Value};
use card::record::Fail;
use card::summary::Summary;

use super::judged::Judged;

/// What is inconsistent, and what was judged to be worse, has failed; what is unavailable was skipped; a round that went
/// wrong is a case of its own, with an error. Times are the seconds that a probe took; a summary has none.
pub fn text(summary: &Summary, judged: Option<&Judged>) -> String {
    let header = &summary.card.header;
    let host = header.machine.host.name.known().map_or("unknown", String::as_str);
    let mut suites = String::new();
    let mut all = Counts::default();
    for values in summary.metrics.0.chunk_by(|a, b| a.probe == b.probe) {
        let probe = &values[0].probe;
        let mut cases: Vec<Case> = values.iter().map(|value| Case::of(value, judged)).collect();
        let failed = summary.card.fails.iter().filter(|fail| fail.probe == *probe);
        cases.extend(failed.map(Case::of_round));
        let counts = Counts::of(&cases);
        let rounds = summary.card.rounds.iter().filter(|round| round.probe == *probe);
        let seconds: f64 = rounds.map(|round| round.wall_s).filter(|s| s.is_finite()).sum();
        let _ = writeln!(
            suites,
            "  <testsuite name=\"{}\" {} skipped=\"{}\" time=\"{seconds:.3}\" timestamp=\"{}\" hostname=\"{}\">",
            escaped(probe),
            counts.attributes(),
            counts.skipped,
            escaped(&seconds_of(&header.start)),
            escaped(host),
        );
        cases.iter().for_each(|case| case.write(&mut suites, probe));
        suites += "  </testsuite>\n";
        all.add(&counts);
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"probecard\" {}>\n{suites}</testsuites>\n",
        all.attributes()
    )
}

/// A moment without fractions and zone, as the schema wants it.
fn seconds_of(start: &str) -> String {
    let time = start.parse::<jiff::Timestamp>();
    time.map_or_else(|_| start.to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// How a case came out.
enum Outcome {
    Passed,
    Failure(&'static str, String),
    Error(String, String),
    Skipped(String),
}

struct Case {
    name: String,
    outcome: Outcome,
    /// What was measured.
    output: Option<String>,
}

impl Case {
    fn of(value: &Value, judged: Option<&Judged>) -> Case {
        let reason = || value.reason.clone().unwrap_or_default();
        let worse = judged.into_iter().flat_map(|judged| &judged.metrics);
        let worse = worse.filter(|m| m.standing == Standing::Worse).find(|m| m.id == value.id);
        let outcome = match (value.state, worse) {
            (State::Unavailable, _) => Outcome::Skipped(reason()),
            (State::Inconsistent, _) => Outcome::Failure("inconsistent", reason()),
            (_, Some(metric)) if metric.confirmed => {
                Outcome::Failure("worse", "worse than the baseline in two runs".into())
            }
            (_, Some(_)) => {
                Outcome::Failure("suspect", "worse than the baseline in one run".into())
            }
            (State::Ok | State::Noisy, None) => Outcome::Passed,
        };
        let output = value.value.filter(|number| number.is_finite()).map(|number| {
            let noisy = if value.state == State::Noisy { ", noisy" } else { "" };
            format!("{} ({}{noisy})", quantity(number, value.unit), interval(value))
        });
        Case { name: value.id.clone(), outcome, output }
    }

    fn of_round(fail: &Fail) -> Case {
        let name = format!("round {}", fail.round);
        Case { name, outcome: Outcome::Error(fail.how.clone(), fail.stderr.clone()), output: None }
    }

    fn write(&self, text: &mut String, probe: &str) {
        let (name, class) = (escaped(&self.name), escaped(probe));
        let _ = writeln!(
            text,
            "    <testcase name=\"{name}\" classname=\"probecard.{class}\" time=\"0\">"
        );
        let _ = match &self.outcome {
            Outcome::Passed => Ok(()),
            Outcome::Failure(kind, why) => {
                writeln!(text, "      <failure type=\"{kind}\" message=\"{}\"/>", escaped(why))
            }
            Outcome::Error(how, stderr) => {
                let (how, stderr) = (escaped(how), escaped_lines(stderr));
                writeln!(text, "      <error type=\"round\" message=\"{how}\">{stderr}</error>")
            }
            Outcome::Skipped(why) => {
                writeln!(text, "      <skipped message=\"{}\"/>", escaped(why))
            }
        };
        if let Some(output) = &self.output {
            let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(output));
        }
        *text += "    </testcase>\n";
    }
}

#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of(cases: &[Case]) -> Counts {
        let mut counts = Counts { tests: cases.len(), ..Counts::default() };
        for case in cases {
            match case.outcome {
                Outcome::Passed => {}
                Outcome::Failure(..) => counts.failures += 1,
                Outcome::Error(..) => counts.errors += 1,
                Outcome::Skipped(..) => counts.skipped += 1,
            }
        }
        counts
    }

    fn add(&mut self, other: &Counts) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
    }

    /// Those that the schema has for suites and for all of them; of all it has no skipped ones.
    fn attributes(&self) -> String {
        let Counts { tests, failures, errors, .. } = self;
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"")
    }
}

/// A text of one line for an attribute or an element.
fn escaped(text: &str) -> String {
    escaped_lines(&clean::line(text))
}

/// The same with its lines.
fn escaped_lines(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean::lines(text).chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            // Which no XML may hold, escaped or not.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use card::fixture;
    use card::judge::Verdict;
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::{HOSTILE, hostile, judged};

    #[test]
    fn states_are_outcomes() {
        let text = text(&fixture::summary(), None);
        assert!(text.contains("<testcase name=\"clock.core_ghz\" classname=\"probecard.clock\" time=\"0\">\n      <system-out>"));
        assert!(text.contains(
            "<failure type=\"inconsistent\" message=\"two methods say 64 B, two say 128 B\"/>"
        ));
        assert!(text.contains("<error type=\"round\" message=\"killed by signal 11 (SIGSEGV)\">first line\nlast line</error>"));
        let count = |what: &str| text.matches(what).count();
        assert_eq!((count("<failure"), count("<error")), (1, 1));
        let skipped = count("<skipped message=\"");
        let all = format!(
            "<testsuites name=\"probecard\" tests=\"{}\" failures=\"1\" errors=\"1\">",
            count("<testcase")
        );
        assert!(skipped > 0 && text.contains(&all), "{all}");
        let of_suites =
            text.split(" skipped=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        assert_eq!(of_suites.map(|n| n.parse::<usize>().unwrap()).sum::<usize>(), skipped);
    }

    #[test]
    fn what_is_worse_fails() {
        let mut summary = fixture::recorded();
        let well = text(&summary, None).matches("<failure").count();
        let suspect = text(&summary, Some(&judged(Verdict::Suspect)));
        assert_eq!(suspect.matches("<failure type=\"suspect\"").count(), 1);
        let worse = text(&summary, Some(&judged(Verdict::Worse)));
        assert_eq!(worse.matches("<failure type=\"worse\"").count(), 1);
        assert_eq!(worse.matches("<failure").count(), well + 1);
        // Nobody can be worse at what was not measured.
        let id = judged(Verdict::Worse).metrics[0].id.clone();
        let value = summary.metrics.0.iter_mut().find(|v| v.id == id).unwrap();
        (value.value, value.state) = (None, State::Unavailable);
        assert_eq!(text(&summary, Some(&judged(Verdict::Worse))).matches("<failure").count(), well);
    }

    #[test]
    fn no_text_ends_an_attribute_or_an_element() {
        let text = text(&hostile(HOSTILE), None);
        let tags = text.matches('<').count();
        let plain = super::text(&hostile("plain"), None);
        assert_eq!(tags, plain.matches('<').count());
        assert!(!text.contains('\u{1b}') && !text.contains('\u{ffff}'));
    }

    proptest! {
        #[test]
        fn any_text_is_escaped(text in any::<String>()) {
            let escaped = escaped(&text);
            let forbidden = ['<', '>', '"', '\'', '\n', '\u{0}', '\u{fffe}', '\u{ffff}'];
            prop_assert!(!escaped.contains(forbidden));
            let back = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
            let back = back.iter().fold(escaped, |text, (from, to)| text.replace(from, to));
            prop_assert_eq!(back, clean::line(&text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"));
        }
    }
}
