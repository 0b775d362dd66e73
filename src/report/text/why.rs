//! What a finding rests on: its evidence round by round, how that was measured, and what to do.

use card::findings::Finding;
use card::format;
use card::metrics::{State, Value};
use card::summary::Summary;

use super::sheet::{Sheet, Style};
use super::{NARROWEST, mark};
use crate::report::view::machine_view;

/// Everything on the findings with that code; `None` if the card has none.
pub fn why(summary: &Summary, code: &str, width: usize, color: bool) -> Option<String> {
    let found: Vec<&Finding> =
        summary.findings.iter().filter(|f| f.code.eq_ignore_ascii_case(code)).collect();
    let mut sheet = Sheet::new(width.max(NARROWEST), color);
    for (at, finding) in found.iter().enumerate() {
        if at > 0 {
            sheet.blank();
        }
        explain(&mut sheet, summary, finding);
    }
    (!found.is_empty()).then(|| sheet.finish())
}

/// The codes of a card, each once, in the order of its findings.
pub fn codes(summary: &Summary) -> Vec<&str> {
    let mut codes: Vec<&str> = summary.findings.iter().map(|f| f.code.as_str()).collect();
    let mut seen = std::collections::BTreeSet::new();
    codes.retain(|code| seen.insert(*code));
    codes
}

fn explain(sheet: &mut Sheet, summary: &Summary, finding: &Finding) {
    let title = format!("{}: {}", finding.code, finding.headline);
    sheet.wrapped("", &title, Style::Bold);
    let mut said = |name: &str, text: Option<&String>| {
        if let Some(text) = text {
            sheet.wrapped(&format!("  {name:<10}"), text, Style::Plain);
        }
    };
    said("claimed", finding.claimed.as_ref());
    said("measured", finding.measured.as_ref());
    said("cause", finding.cause.as_ref());
    said("do", finding.action.as_ref());
    let rounds =
        format!("{}, {} rounds", summary.card.header.plan.tier, summary.card.header.plan.rounds);
    said("run", Some(&rounds));
    for id in &finding.evidence {
        if let Some(value) = summary.metrics.get(id) {
            evidence(sheet, summary, value);
        }
    }
    let settles = match finding
        .evidence
        .iter()
        .filter_map(|id| summary.metrics.get(id))
        .collect::<Vec<_>>()
    {
        values if values.is_empty() => None,
        values if values.iter().any(|v| v.state != State::Ok) => Some(
            "the rounds differ: measure again on an idle machine with --tier thorough, and see whether \
             it stays",
        ),
        _ => Some("the rounds agree: another tool, or another machine of this model, settles it"),
    };
    if let Some(settles) = settles {
        sheet.wrapped("  settle    ", settles, Style::Plain);
    }
}

fn evidence(sheet: &mut Sheet, summary: &Summary, value: &Value) {
    let (mark, style) = mark(value);
    let interval = format::interval(value);
    let number = value.value.map_or("not measured".to_owned(), |_| format::shown(value));
    sheet.blank();
    sheet.wrapped(&format!("{mark:1} "), &format!("{} = {number} ({interval})", value.id), style);
    let mut said = |name: &str, text: String| {
        if !text.is_empty() {
            sheet.wrapped(&format!("    {name:<8}"), &text, Style::Dim);
        }
    };
    said("what", value.summary.clone());
    let each: Vec<String> =
        value.each_round.iter().map(|v| format::quantity(*v, value.unit)).collect();
    said("rounds", each.join(", "));
    said("states", format::states(value));
    said("note", value.reason.clone().unwrap_or_default());
    let machine = &summary.card.header.machine;
    said("claimed", machine_view::claimed(machine, &value.id).unwrap_or_default());
    said(
        "publ.",
        machine_view::published(machine, value)
            .map(|p| format!("{} ({})", p.text, p.source))
            .unwrap_or_default(),
    );
    said("probe", value.probe.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::{clean, fixture};

    #[test]
    fn a_finding_is_told_with_its_rounds_and_a_code_that_is_not_there_is_none() {
        let summary = fixture::recorded();
        let text = why(&summary, "l3_capacity", 80, false).unwrap();
        let value = summary.metrics.get("cache.l3_effective_bytes").unwrap();
        assert!(text.starts_with("L3_CAPACITY: "), "{text}");
        for round in &value.each_round {
            assert!(text.contains(&format::quantity(*round, value.unit)), "{text}");
        }
        assert!(text.contains("claimed   L3 32 MiB"), "{text}");
        assert_eq!(why(&summary, "NO_SUCH", 80, false), None);
        assert!(codes(&summary).contains(&"L3_CAPACITY"));
    }

    #[test]
    fn no_line_is_wider_than_asked_for_and_none_steers() {
        for summary in [fixture::recorded(), fixture::hostile()] {
            for code in codes(&summary) {
                let text = why(&summary, code, 60, false).unwrap();
                assert_eq!(text, clean::lines(&text));
                for line in text.lines() {
                    assert!(super::super::sheet::columns(line) <= 60, "{line}");
                }
            }
        }
    }
}
