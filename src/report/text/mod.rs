//! The card in the terminal: no line is wider than asked for, colour only when told.

use std::cmp::Ordering;

use super::view::unit_twins::{self, Line, families};
use super::view::{bandwidth, machine_view, vectors as tables};
use card::declare::Unit;
use card::file::{Card, End, EndState};

use card::findings::Group;
use card::format;
use card::glob;
use card::machine::Machine;
use card::metrics::{Grade, State, Value};
use card::summary::Summary;
use card::view::each_cpu::place;

mod brief;
mod counter_table;
mod each_cpu;
pub mod judgement;
mod markdown;
mod memory;
mod rungs;
mod sheet;
mod vectors;
mod why;

pub use brief::brief;
pub use markdown::markdown;
pub use why::{codes, why};

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
    metrics(&mut sheet, summary, in_no_table);
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
    let state = run_state(&summary.card);
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

/// How the run ended.
fn run_state(card: &Card) -> String {
    match &card.end {
        Some(End { state: EndState::Complete, wall_s }) => {
            format!("{} s", format::quantity(wall_s.round(), Unit::Count))
        }
        Some(End { state: EndState::Unknown, .. }) => machine_view::UNKNOWN_END.to_owned(),
        _ => "interrupted: run --resume goes on".to_owned(),
    }
}

fn findings(sheet: &mut Sheet, summary: &Summary) {
    for group in Group::ALL {
        let of_group = || summary.findings.iter().filter(move |f| f.group == group);
        if of_group().next().is_none() {
            continue;
        }
        sheet.heading(group.title());
        let (mark, style) = match group {
            Group::Claim => ("! ", Style::Yellow),
            Group::Limit | Group::Advice | Group::Quality => ("· ", Style::Plain),
        };
        for finding in of_group() {
            sheet.wrapped(mark, &format!("{} [{}]", finding.text(), finding.code), style);
        }
    }
}

/// The metrics whose id or family the pattern matches, as on the whole card; `None` if there is none.
pub fn only(summary: &Summary, pattern: &str, width: usize, color: bool) -> Option<String> {
    let mut wanted = summary.clone();
    wanted.metrics.0.retain(|v| glob::matches(pattern, &v.id) || glob::matches(pattern, &v.family));
    let mut sheet = Sheet::new(width.max(NARROWEST), color);
    metrics(&mut sheet, &wanted, |_| true);
    (!wanted.metrics.0.is_empty()).then(|| sheet.finish().trim_start().to_owned())
}

/// The text for a reader whose locale has no letters but ASCII, each character in the place of one.
pub fn ascii(text: &str) -> String {
    let plain = |c: char| match c {
        '–' | '─' | '−' => '-',
        '·' | '…' => '.',
        '×' => 'x',
        'µ' => 'u',
        '≥' => '>',
        '≤' => '<',
        '≠' => '#',
        '≈' => '~',
        '✗' => 'X',
        '÷' => '/',
        '●' => '*',
        '□' | '◇' => 'o',
        c if c.is_ascii() => c,
        _ => '?',
    };
    text.chars().map(plain).collect()
}

/// What no table of the whole card has already.
fn in_no_table(value: &Value) -> bool {
    let in_vectors = tables::in_table(&value.id) && value.state != State::Unavailable;
    !bandwidth::in_table(&value.id) && !in_vectors && !tables::behind_ratio(&value.id)
}

fn metrics(sheet: &mut Sheet, summary: &Summary, wanted: fn(&Value) -> bool) {
    let machine = &summary.card.header.machine;
    for family in families(&summary.metrics) {
        let own_line = family.lines.iter().filter(|p| wanted(p.main));
        let (missing, there): (Vec<&Line<'_>>, Vec<&Line<'_>>) =
            own_line.partition(|p| p.main.state == State::Unavailable);
        if missing.is_empty() && there.is_empty() {
            continue;
        }
        sheet.heading(family.name);
        // Ids may take the room of a column that is empty.
        let cycles = there.iter().any(|p| p.cycles.is_some());
        for line in there {
            metric(sheet, line, machine, cycles);
        }
        unavailable(sheet, &missing);
    }
    let used = |state| summary.metrics.0.iter().any(|v| v.state == state);
    let states = summary.metrics.0.iter().any(|v| !v.states.is_empty());
    if used(State::Noisy) || used(State::Inconsistent) || states {
        sheet.blank();
        sheet.wrapped(
            "",
            "~ spread 5–25 % between rounds · ? > 25 %: do not quote · 2 two states, the more frequent \
             one shown · ≠ inconsistent: two methods disagree · – not measured",
            Style::Dim,
        );
    }
}

/// Mark, name, value, interval, cycles, and what is published: beside it where there is room, and else
/// on the next line. A name that is too long for its column has a line of its own: ids are copied.
fn metric(sheet: &mut Sheet, line: &Line<'_>, machine: &Machine, cycles: bool) {
    let value = line.main;
    let (mark, style) = mark(value);
    let states = match value.states.len() {
        0 => String::new(),
        count => count.to_string(),
    };
    let beside = match sheet.width() {
        ..100 => 0,
        100..120 => 28,
        120.. => 34,
    };
    let twin = if sheet.width() >= 80 && cycles { 15 } else { 0 };
    let name = sheet.width() - (2 + 12 + 14 + 4 + twin + beside);
    let number = format::shown(value);
    let cycles = line.cycles.map(format::measured).unwrap_or_default();
    let marks = Cell::left(&format!("{mark:1}{states}"), 2, style);
    let long = sheet::columns(line.name) > name;
    if long {
        sheet.row(&[marks.clone(), Cell::left(line.name, sheet.width() - 3, Style::Plain)]);
    }
    let (marks, label) = if long { (Cell::left("", 2, style), "") } else { (marks, line.name) };
    let mut cells = vec![
        marks,
        Cell::left(label, name, Style::Plain),
        Cell::right(&number, 12, if value.state == State::Ok { Style::Bold } else { style }),
        Cell::left(&format::interval(value), 14, Style::Dim),
    ];
    if twin > 0 {
        cells.push(Cell::left(&cycles, twin, Style::Plain));
    }
    let of = |value: &Value| Some(machine_view::published(machine, value)?.text);
    let published = line.cycles.and_then(of).or_else(|| of(value));
    let published = published.map(|range| format!("published {range}"));
    let text = published.or_else(|| Some(format::states(value)).filter(|text| !text.is_empty()));
    let fits = text.as_ref().is_some_and(|text| sheet::columns(text) < beside);
    if fits {
        cells.push(Cell::left(text.as_deref().unwrap_or_default(), beside - 1, Style::Dim));
    }
    sheet.row(&cells);
    if let Some(text) = text.filter(|_| !fits) {
        sheet.wrapped("    ", &text, Style::Dim);
    }
    // The interval stands there already.
    if let Some(reason) = value.reason.as_ref().filter(|_| !value.only_differs) {
        sheet.wrapped("    ", reason, Style::Dim);
    }
}

fn mark(value: &Value) -> (&'static str, Style) {
    match value.state {
        State::Ok => ("", Style::Plain),
        State::Noisy if value.grade == Some(Grade::Wider) => ("?", Style::Yellow),
        State::Noisy => ("~", Style::Yellow),
        State::Inconsistent => ("≠", Style::Red),
        State::Unavailable => ("–", Style::Dim),
    }
}

/// The same without the states that are none of spread.
fn grade(value: &Value) -> &'static str {
    if value.state == State::Noisy { mark(value).0 } else { "" }
}

/// What is missing for the same reason stands in one paragraph.
fn unavailable(sheet: &mut Sheet, lines: &[&Line<'_>]) {
    for (reason, names) in unit_twins::by_reason(lines) {
        sheet.wrapped("– ", &format!("{}: {reason}", names.join(", ")), Style::Dim);
    }
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
    use card::reference;
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
        let findings = summary.findings.iter().map(|f| flat(&f.text()));
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
        assert!(line(&summary, 80).starts_with("?2 branch"), "{}", line(&summary, 80));
        assert!(line(&summary, 120).ends_with("2 states: 4.71 60 %, 9.02 40 %"));
        assert!(card(&summary, 80, false).contains("? > 25 %"));
    }

    #[test]
    fn an_empty_card_is_still_a_card() {
        let text = card(&fixture::empty(), 80, false);
        assert!(text.contains("interrupted") && text.contains("L1 cache reference"), "{text}");
    }

    #[test]
    fn ids_are_never_cut_and_published_values_stand_at_any_width() {
        let summary = fixture::recorded();
        for width in [60, 80, 100, 120] {
            let text = card(&summary, width, false);
            let id = "context_switch.pipe.thread.same_cpu.round_trip";
            assert!(text.lines().any(|line| line.contains(id)), "{width}");
            assert!(text.contains("published 14"), "{width}");
        }
    }

    #[test]
    fn a_part_of_the_card_has_what_matches_and_nothing_else() {
        let summary = fixture::recorded();
        let text = only(&summary, "memory.latency.*", 80, false).unwrap();
        assert!(text.contains("memory.latency.l1") && !text.contains("branch"), "{text}");
        assert!(only(&summary, "branch", 80, false).unwrap().contains("branch.mispredict"));
        let rate = only(&summary, "memory.bandwidth.read.*", 80, false).unwrap();
        assert!(rate.contains("memory.bandwidth.read.l1"), "also what stands in a table: {rate}");
        assert_eq!(only(&summary, "no.such*", 80, false), None);
    }

    #[test]
    fn plain_letters_take_the_room_of_those_that_they_stand_for() {
        let text = brief(&fixture::recorded(), "x", 80, false);
        let plain = ascii(&text);
        assert!(plain.is_ascii());
        assert_eq!(plain.chars().count(), text.chars().count());
    }
}
