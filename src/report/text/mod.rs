//! The card in the terminal: no line is wider than asked for, colour only when told.

use std::cmp::Ordering;

use super::view::unit_twins::{Line, families};
use super::view::{bandwidth, machine_view, vectors as tables};
use card::declare::Unit;
use card::file::{End, EndState};
use card::findings::Severity;
use card::format;
use card::metrics::{Grade, State, Value};
use card::reference;
use card::summary::Summary;
use card::view::each_cpu::place;

mod counter_table;
mod each_cpu;
pub mod judgement;
mod memory;
mod rungs;
mod sheet;
mod vectors;

use sheet::{Cell, Sheet, Style};

/// Lines narrower than this are not attempted.
const NARROWEST: usize = 60;

/// The whole card as text that ends in a newline, at most `width` columns wide (60 at least).
/// With `color` it holds ANSI escapes; the caller knows whether there is a terminal.
pub fn card(summary: &Summary, width: usize, color: bool) -> String {
    let mut sheet = Sheet::new(width.max(NARROWEST), color);
    title(&mut sheet, summary);
    findings(&mut sheet, summary);
    each_cpu::draw(&mut sheet, &summary.card);
    rungs::draw(&mut sheet, summary);
    memory::draw(&mut sheet, summary);
    vectors::draw(&mut sheet, summary);
    metrics(&mut sheet, summary);
    counter_table::draw(&mut sheet, summary);
    rest(&mut sheet, summary);
    sheet.finish()
}

fn title(sheet: &mut Sheet, summary: &Summary) {
    let header = &summary.card.header;
    let machine = header.machine.title();
    let date = format::moment(&header.start);
    let room = sheet.width().saturating_sub(sheet::columns(&date) + 2);
    sheet.row(&[
        Cell::left(&machine, room, Style::Bold),
        Cell::right(&date, sheet.width() - room - 1, Style::Dim),
    ]);
    let state = match &summary.card.end {
        Some(End { state: EndState::Complete, wall_s }) => {
            format!("{} s", format::quantity(wall_s.round(), Unit::Count))
        }
        Some(End { state: EndState::Unknown, .. }) => machine_view::UNKNOWN_END.to_owned(),
        _ => "interrupted: run --resume goes on".to_owned(),
    };
    let plan = &header.plan;
    let tool = format!(
        "{} {} ({}) · tier {} · {} rounds on {} · {state}",
        header.tool.name,
        header.tool.version,
        header.tool.revision,
        plan.tier,
        plan.rounds,
        place(&summary.card)
    );
    sheet.wrapped("", &tool, Style::Dim);
}

fn findings(sheet: &mut Sheet, summary: &Summary) {
    if summary.findings.is_empty() {
        return;
    }
    sheet.heading("Findings");
    for finding in &summary.findings {
        let (mark, style) = match finding.severity {
            Severity::Corruption => ("✗ ", Style::Red),
            Severity::Warning => ("! ", Style::Yellow),
            Severity::Note => ("· ", Style::Plain),
        };
        sheet.wrapped(mark, &finding.text, style);
    }
}

fn metrics(sheet: &mut Sheet, summary: &Summary) {
    let key = machine_view::arch_key(&summary.card.header.machine);
    for family in families(&summary.metrics) {
        let in_table = |value: &Value| {
            bandwidth::in_table(&value.id)
                || (tables::in_table(&value.id) && value.state != State::Unavailable)
                || tables::behind_ratio(&value.id)
        };
        let own_line = family.lines.iter().filter(|p| !in_table(p.main));
        let (missing, there): (Vec<&Line<'_>>, Vec<&Line<'_>>) =
            own_line.partition(|p| p.main.state == State::Unavailable);
        if missing.is_empty() && there.is_empty() {
            continue;
        }
        sheet.heading(family.name);
        // Ids may take the room of a column that is empty.
        let cycles = there.iter().any(|p| p.cycles.is_some());
        for line in there {
            metric(sheet, line, key, cycles);
        }
        unavailable(sheet, &missing);
    }
    let used = |state| summary.metrics.0.iter().any(|v| v.state == state);
    let states = summary.metrics.0.iter().any(|v| !v.states.is_empty());
    if used(State::Noisy) || used(State::Inconsistent) || states {
        sheet.blank();
        sheet.wrapped(
            "",
            "~ noisy: the rounds differ by up to 25 % · ≈ by more · 2 two states, of which the larger is \
             shown · ≠ inconsistent: two methods disagree · – not measured",
            Style::Dim,
        );
    }
}

/// Mark, name, value, interval, cycles and, where there is room, what is published or the states.
fn metric(sheet: &mut Sheet, line: &Line<'_>, arch: Option<&str>, cycles: bool) {
    let value = line.main;
    let (mark, style) = mark(value);
    let states = match value.states.len() {
        0 => String::new(),
        count => count.to_string(),
    };
    let published = match sheet.width() {
        ..100 => 0,
        100..120 => 28,
        120.. => 34,
    };
    let twin = if sheet.width() >= 80 && cycles { 15 } else { 0 };
    let name = sheet.width() - (2 + 12 + 14 + 4 + twin + published);
    let number = value.value.map(|v| format::quantity(v, value.unit)).unwrap_or_default();
    let cycles = line
        .cycles
        .and_then(|c| Some(format::quantity(format::believable(c)?, c.unit)))
        .unwrap_or_default();
    let mut cells = vec![
        Cell::left(&format!("{mark:1}{states}"), 2, style),
        Cell::tail(line.name, name, Style::Plain),
        Cell::right(&number, 12, if value.state == State::Ok { Style::Bold } else { style }),
        Cell::left(&format::interval(value), 14, Style::Dim),
    ];
    if twin > 0 {
        cells.push(Cell::left(&cycles, twin, Style::Plain));
    }
    if published > 0 {
        let fits = |text: &String| sheet::columns(text) < published;
        let states = Some(format::states(value)).filter(fits);
        let text = arch.and_then(|key| printed(key, line)).or(states).unwrap_or_default();
        cells.push(Cell::left(&text, published - 1, Style::Dim));
    }
    sheet.row(&cells);
    // The interval stands there already.
    if let Some(reason) = value.reason.as_ref().filter(|_| !value.only_differs) {
        sheet.wrapped("    ", reason, Style::Dim);
    }
}

/// `published 12–18 cycles`, of the metric or its twin in cycles.
fn printed(arch: &str, line: &Line<'_>) -> Option<String> {
    let of = |value: &Value| {
        let p = reference::published(arch, &value.id)?;
        Some(format!("published {}", format::range(p.low, p.high, value.unit)))
    };
    line.cycles.and_then(of).or_else(|| of(line.main))
}

fn mark(value: &Value) -> (&'static str, Style) {
    match value.state {
        State::Ok => ("", Style::Plain),
        State::Noisy if value.grade == Some(Grade::Wider) => ("≈", Style::Yellow),
        State::Noisy => ("~", Style::Yellow),
        State::Inconsistent => ("≠", Style::Red),
        State::Unavailable => ("–", Style::Dim),
    }
}

/// What is missing for the same reason stands in one paragraph.
fn unavailable(sheet: &mut Sheet, lines: &[&Line<'_>]) {
    let reason = |p: &Line<'_>| p.main.reason.clone().unwrap_or_else(|| "not measured".into());
    for (reason, names) in grouped(lines.iter().map(|p| (reason(p), p.name))) {
        sheet.wrapped("– ", &format!("{}: {reason}", names.join(", ")), Style::Dim);
    }
}

/// Values by key, keys in the order of their first appearance.
fn grouped<'a>(items: impl Iterator<Item = (String, &'a str)>) -> Vec<(String, Vec<&'a str>)> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (key, value) in items {
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, values)) => values.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    groups
}

fn rest(sheet: &mut Sheet, summary: &Summary) {
    let card = &summary.card;
    if !card.skips.is_empty() {
        sheet.heading("Not run here");
        for skip in &card.skips {
            let text = format!(
                "{} needs {}: {}. Remedy: {}",
                skip.probe, skip.need, skip.reason, skip.remedy
            );
            sheet.wrapped("– ", &text, Style::Plain);
        }
    }
    if !card.fails.is_empty() {
        sheet.heading("Went wrong");
        for fail in &card.fails {
            let last = fail.stderr.lines().last().unwrap_or_default();
            let text =
                format!("{}, round {}: {} {last}", fail.probe, u64::from(fail.round) + 1, fail.how);
            sheet.wrapped("✗ ", &text, Style::Red);
        }
    }
    for remark in &card.remarks {
        sheet.wrapped("· ", &format!("card file: {remark}"), Style::Dim);
    }
}

/// Colour of a comparison: more time than the reference is worth a look, not an alarm.
fn order_style(order: Ordering) -> Style {
    match order {
        Ordering::Less => Style::Green,
        Ordering::Equal => Style::Plain,
        Ordering::Greater => Style::Yellow,
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::ladder;
    use super::*;
    use card::series::Met;
    use card::{clean, fixture};

    #[test]
    fn no_line_is_wider_than_asked_for() {
        for summary in
            [fixture::summary(), fixture::counted(), fixture::hostile(), fixture::empty()]
        {
            for width in [60, 80, 100, 120, 200] {
                let text = card(&summary, width, false);
                for line in text.lines() {
                    assert!(sheet::columns(line) <= width, "{width}: {line}");
                    assert_eq!(line, line.trim_end(), "trailing blanks");
                }
            }
        }
    }

    #[test]
    fn colour_only_when_asked_for() {
        let summary = fixture::summary();
        assert!(!card(&summary, 80, false).contains('\x1b'));
        let colored = card(&summary, 80, true);
        assert!(colored.contains("\x1b[1m") && colored.contains("\x1b[0m"));
    }

    #[test]
    fn a_card_cannot_send_escapes_to_the_terminal() {
        let text = card(&fixture::hostile(), 80, false);
        assert_eq!(text, clean::lines(&text));
    }

    #[test]
    fn everything_that_is_known_is_said() {
        let summary = fixture::summary();
        let text = card(&summary, 120, false);
        let rungs = ladder::rungs(&summary);
        let l1 = rungs.iter().find(|r| r.label() == "L1 cache reference").unwrap();
        let slower = ladder::ratio(l1.here.as_ref().unwrap(), l1.latest().unwrap());
        let cycles = summary.metrics.number("memory.latency.l1_cycles").unwrap();
        let id = "branch.mispredict_pipeline_cycles";
        let published = reference::published("zen4", id).unwrap();
        for part in [
            "L1 cache reference",
            "needs --peer HOST:PORT",
            &slower.text,
            "memory.latency.l1 ",
            &format::quantity(cycles, Unit::Cycles),
            &format!("published {}", format::range(published.low, published.high, Unit::Cycles)),
            "killed by signal",
        ] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = flat(&text);
        let findings = summary.findings.iter().map(|f| flat(&f.text));
        let remedies = summary.card.skips.iter().map(|skip| format!("Remedy: {}", skip.remedy));
        for part in findings.chain(remedies) {
            assert!(said.contains(&part), "{part} missing in\n{text}");
        }
    }

    #[test]
    fn grades_and_states_have_their_marks_and_room() {
        let mut summary = fixture::summary();
        let met = |value, share, rounds| Met { value, share, rounds };
        let line = |summary: &Summary, width| {
            let text = card(summary, width, false);
            text.lines().find(|l| l.contains(" branch.mispredict ")).unwrap().to_owned()
        };
        let set = |summary: &mut Summary, set: &dyn Fn(&mut Value)| {
            set(summary.metrics.0.iter_mut().find(|v| v.id == "branch.mispredict_ns").unwrap());
        };
        set(&mut summary, &|v| v.grade = Some(Grade::Within25));
        assert!(line(&summary, 80).starts_with("~  branch"), "{}", line(&summary, 80));
        set(&mut summary, &|v| {
            v.grade = Some(Grade::Wider);
            v.states = vec![met(4.71, 0.6, 3), met(9.02, 0.4, 3)];
        });
        assert!(line(&summary, 80).starts_with("≈2 branch"), "{}", line(&summary, 80));
        assert!(line(&summary, 120).ends_with("2 states: 4.71 60 %, 9.02 40 %"));
        assert!(card(&summary, 80, false).contains("≈ by more"));
    }

    #[test]
    fn an_empty_card_is_still_a_card() {
        let text = card(&fixture::empty(), 80, false);
        assert!(text.contains("interrupted") && text.contains("L1 cache reference"), "{text}");
    }
}
