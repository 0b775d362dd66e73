//! What Prometheus and OpenMetrics have in common: families of samples, and their names and units.
//!
//! A family for each metric, as the conventions of names want it: a sum over a family means something, and a rule or a
//! graph names what it is about. That is 600 series of a machine and no more, whatever happens: no label but one with
//! a few fixed words, and what a card says of itself is on two series with the value 1.

use std::collections::BTreeSet;

use card::clean;
use card::declare::Unit;
use card::findings::Group;
use card::format::believable;
use card::judge::{Standing, Verdict};
use card::machine::Fact;
use card::metrics::{State, Value};
use card::summary::Summary;
use jiff::Timestamp;

use super::judged::Judged;
use super::tidy;

/// What kind a family is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number that goes up and down.
    Gauge,
    /// Labels of the value 1; its name ends in `_info`.
    Info,
}

/// Samples of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    /// The name of its samples.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What its name ends in, if that is a unit.
    pub(super) unit: Option<&'static str>,
    pub(super) help: String,
    /// Labels by name, and a number.
    pub(super) samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Family {
    /// One number without labels.
    fn gauge(name: &str, unit: Option<&'static str>, help: &str, number: f64) -> Family {
        Family::labelled(name, unit, help, vec![(Vec::new(), number)])
    }

    fn labelled(
        name: &str,
        unit: Option<&'static str>,
        help: &str,
        samples: Vec<(Vec<(&'static str, String)>, f64)>,
    ) -> Family {
        let name = format!("probecard_{name}");
        Family { name, kind: Kind::Gauge, unit, help: help.to_owned(), samples }
    }

    fn info(name: &str, help: &str, labels: Vec<(&'static str, &str)>) -> Family {
        let labels = labels.into_iter().map(|(name, text)| (name, clean::line(text))).collect();
        let family = Family::labelled(name, None, help, vec![(labels, 1.0)]);
        Family { kind: Kind::Info, ..family }
    }
}

/// All that is told of a card, and of what it was judged to be.
pub(super) fn of(summary: &Summary, judged: Option<&Judged>) -> Vec<Family> {
    let mut families = of_run(summary);
    families.extend(judged.into_iter().flat_map(of_judgement));
    families.extend(summary.metrics.0.iter().filter_map(of_metric));
    // Two ids may differ in nothing that a name may hold; a name twice would cost the whole file.
    let mut taken: BTreeSet<String> = BTreeSet::new();
    families.retain(|family| taken.insert(family.name.trim_end_matches("_info").to_owned()));
    families
}

fn of_run(summary: &Summary) -> Vec<Family> {
    let Summary { card, metrics, findings } = summary;
    let header = &card.header;
    let known = |fact: &Fact<String>| fact.known().cloned().unwrap_or_default();
    let (brand, microcode, kernel) = (
        known(&header.machine.cpu.brand),
        known(&header.machine.cpu.microcode),
        known(&header.machine.kernel.release),
    );
    let cpu = header.plan.cpu.to_string();
    let mut families = vec![
        Family::info(
            "build_info",
            "The program that measured.",
            vec![("version", &header.tool.version), ("revision", &header.tool.revision)],
        ),
        Family::info(
            "machine_info",
            "What was measured, and how thoroughly.",
            vec![
                ("processor", &brand),
                ("microcode", &microcode),
                ("kernel", &kernel),
                ("cpu", &cpu),
                ("tier", &header.plan.tier),
            ],
        ),
    ];
    if let Ok(start) = header.start.parse::<Timestamp>() {
        let seconds = start.as_second() as f64;
        let help = "When the last run began.";
        families.push(Family::gauge("last_run_timestamp_seconds", Some("seconds"), help, seconds));
    }
    let complete = f64::from(u8::from(card.is_complete()));
    let help = "Whether the last run did all that was planned.";
    families.push(Family::gauge("run_complete", None, help, complete));
    let failed = card.fails.len() as f64;
    let help = "Rounds of the last run that crashed, hung or computed a wrong answer.";
    families.push(Family::gauge("failed_rounds", None, help, failed));
    let states = [State::Ok, State::Noisy, State::Inconsistent, State::Unavailable];
    let of_state = |state: State| {
        let number = metrics.0.iter().filter(|value| value.state == state).count();
        (vec![("state", state.word().to_owned())], number as f64)
    };
    families.push(Family::labelled(
        "metrics",
        None,
        "Metrics of the last run by what they are worth.",
        states.map(of_state).to_vec(),
    ));
    let of_group = |group: Group| {
        let number = findings.iter().filter(|finding| finding.group == group).count();
        (vec![("group", group.word().to_owned())], number as f64)
    };
    families.push(Family::labelled(
        "findings",
        None,
        "What the last run found, such as claims that do not hold.",
        Group::ALL.map(of_group).to_vec(),
    ));
    families
}

fn of_judgement(judged: &Judged) -> Vec<Family> {
    let verdicts = [
        (Verdict::Same, "same"),
        (Verdict::Suspect, "suspect"),
        (Verdict::Worse, "worse"),
        (Verdict::CannotJudge, "cannot_judge"),
    ];
    let of_verdict = |(verdict, word): (Verdict, &str)| {
        let is = f64::from(u8::from(judged.verdict == verdict));
        (vec![("verdict", word.to_owned())], is)
    };
    let group = |id: &str| vec![("group", clean::line(id))];
    let judged_groups = || judged.groups.iter().filter(|g| g.standing != Standing::NotJudged);
    let status = judged_groups().map(|g| {
        let status = match (g.standing, g.confirmed) {
            (Standing::Worse, true) => 2.0,
            (Standing::Worse, false) => 1.0,
            _ => 0.0,
        };
        (group(&g.id), status)
    });
    let deviation = judged_groups().filter_map(|g| Some((group(&g.id), g.change?.exp_m1())));
    vec![
        Family::labelled(
            "check_verdict",
            None,
            "What the last run was judged to be: 1 of that verdict.",
            verdicts.map(of_verdict).to_vec(),
        ),
        Family::labelled(
            "check_status",
            None,
            "Groups of metrics against the baseline: 0 as before, 1 worse in one run, 2 in two.",
            status.collect(),
        ),
        Family::labelled(
            "deviation_ratio",
            Some("ratio"),
            "By how much groups of metrics are worse than the baseline, as a share of 1.",
            deviation.filter(|(_, ratio)| ratio.is_finite()).collect(),
        ),
    ]
}

/// How a unit of ours is told in base units: what ids end in, what names end in, and the number.
fn base(unit: Unit, value: f64) -> Option<(&'static str, &'static str, f64)> {
    Some(match unit {
        Unit::Ns => ("_ns", "seconds", value / 1e9),
        Unit::Ms => ("_ms", "seconds", value / 1e3),
        Unit::Ghz => ("_ghz", "hertz", value * 1e9),
        Unit::Gbs => ("_gbs", "bytes_per_second", value * 1e9),
        Unit::Gops => ("_gops", "operations_per_second", value * 1e9),
        Unit::Gflops => ("_gflops", "flops_per_second", value * 1e9),
        Unit::Bytes => ("_bytes", "bytes", value),
        Unit::Cycles => ("_cycles", "cycles", value),
        Unit::BytesPerCycle => ("_bytes_per_cycle", "bytes_per_cycle", value),
        Unit::PerCycle => ("_per_cycle", "per_cycle", value),
        Unit::Ratio => ("_ratio", "ratio", value),
        Unit::Count | Unit::Unknown => return None,
    })
}

/// A metric that has a number which no second method contradicts.
fn of_metric(value: &Value) -> Option<Family> {
    let number = believable(value)?;
    let (name, unit, number) = match base(value.unit, number) {
        Some((ending, unit, number)) => {
            let stem = value.id.strip_suffix(ending).unwrap_or(&value.id);
            (format!("{stem}_{unit}"), Some(unit), number)
        }
        // Its id ends in what is counted.
        None => (value.id.clone(), None, number),
    };
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(legal).collect();
    let help = clean::line(format!("{} ({})", value.summary, value.id).trim_start());
    number.is_finite().then(|| Family::gauge(&name, unit, &help, tidy(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn every_declared_metric_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for metric in fixture::all_declared().iter().flat_map(|d| &d.metrics) {
            let mut value = fixture::recorded().metrics.0[0].clone();
            (value.id, value.unit) = (metric.id.to_string(), metric.unit);
            (value.value, value.state) = (Some(1.0), State::Ok);
            let family = of_metric(&value).unwrap();
            assert!(family.unit.is_none_or(|unit| family.name.ends_with(unit)), "{}", family.name);
            assert!(names.insert(family.name), "{}", metric.id);
        }
    }

    #[test]
    fn units_are_those_without_a_factor() {
        let mut value = fixture::recorded().metrics.get("memory.latency.l1_ns").unwrap().clone();
        value.value = Some(1.09);
        let family = of_metric(&value).unwrap();
        assert_eq!(family.name, "probecard_memory_latency_l1_seconds");
        assert_eq!(family.samples, [(vec![], 1.09e-9)]);
        (value.id, value.unit) = ("memory.bandwidth.read.l1_gbs".into(), Unit::Gbs);
        value.value = Some(128.5);
        let family = of_metric(&value).unwrap();
        assert_eq!(family.name, "probecard_memory_bandwidth_read_l1_bytes_per_second");
        assert_eq!(family.samples, [(vec![], 128.5e9)]);
    }

    #[test]
    fn a_number_that_is_none_is_left_out() {
        let mut value = fixture::recorded().metrics.get("clock.core_ghz").unwrap().clone();
        assert!(of_metric(&value).is_some());
        for none in [None, Some(f64::NAN), Some(f64::INFINITY), Some(1e308)] {
            value.value = none;
            assert_eq!(of_metric(&value), None, "{none:?}");
        }
        (value.value, value.state) = (Some(3.7), State::Inconsistent);
        assert_eq!(of_metric(&value), None);
    }
}
