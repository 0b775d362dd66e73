//! The card in at most sixty lines: the verdict, what it rests on, and the numbers that people ask for.

use card::counters::CounterSupport;
use card::file::Card;
use card::findings::{Finding, Group, times};
use card::format::{self, count};
use card::metrics::{Grade, Value};
use card::reference::{LATEST, QUOTED};
use card::summary::Summary;
use card::verdict::{Area, Verdict, Word};
use card::view::each_cpu::place;

use super::each_cpu;
use super::sheet::{Cell, Sheet, Style};
use super::{NARROWEST, grade, mark, run_state};
use crate::report::view::ladder::{self, Rung};
use crate::report::view::levels::{Level, levels};

/// Lines of the whole.
const MOST_LINES: usize = 60;

/// Lines are no wider, so that columns stay near each other.
const WIDEST: usize = 100;

/// The card in short, at most sixty lines; `file` is how one asks for more of it.
pub fn brief(summary: &Summary, file: &str, width: usize, color: bool) -> String {
    let verdict = Verdict::of(summary);
    // As many findings of each group as there is room for.
    let sheets = (1..=MOST_FINDINGS).rev().map(|most| {
        let mut sheet = Sheet::new(width.clamp(NARROWEST, WIDEST), color);
        draw(&mut sheet, summary, &verdict, most, file);
        sheet.finish()
    });
    let mut sheets = sheets.peekable();
    while let Some(text) = sheets.next() {
        if text.lines().count() <= MOST_LINES || sheets.peek().is_none() {
            return text;
        }
    }
    String::new()
}

/// Findings of a group; of advice twice as many.
const MOST_FINDINGS: usize = 6;

fn draw(sheet: &mut Sheet, summary: &Summary, verdict: &Verdict, most: usize, file: &str) {
    title(sheet, summary);
    sheet.blank();
    judged(sheet, verdict);
    each_cpu::draw(sheet, &summary.card);
    memory(sheet, summary);
    claims(sheet, summary, most);
    limits(sheet, summary, most);
    advice(sheet, summary, 2 * most);
    numbers(sheet, summary);
    quality(sheet, summary, verdict, most);
    sheet.blank();
    let why = verdict.codes.first().map_or("CODE", String::as_str);
    let more = format!("probecard show {file} --all | --only GLOB | --why {why}");
    sheet.wrapped("more  ", &more, Style::Dim);
}

fn title(sheet: &mut Sheet, summary: &Summary) {
    let header = &summary.card.header;
    let memory = header.machine.memory.total_bytes.known().copied();
    let memory = memory.map(|bytes| format!(", {}", format::human_bytes(bytes)));
    let machine = format!("{}{}", header.machine.title(), memory.unwrap_or_default());
    sheet.wrapped("", &machine, Style::Bold);
    let rounds = count(header.plan.rounds as usize, "round");
    let run = format!(
        "{} {} ({}) · {}, {rounds}, {} · {} · {}",
        header.tool.name,
        header.tool.version,
        header.tool.revision,
        header.plan.tier,
        run_state(&summary.card),
        place(&summary.card),
        format::moment(&header.start),
    );
    sheet.wrapped("", &run, Style::Dim);
}

fn judged(sheet: &mut Sheet, verdict: &Verdict) {
    let style = match verdict.word {
        Word::Pass => Style::Green,
        Word::Check => Style::Yellow,
        Word::Fail => Style::Red,
    };
    sheet.wrapped(&format!("{:<7}", verdict.word), &verdict.sentence, style);
    let named = |areas: &[Area]| areas.iter().map(|a| a.title()).collect::<Vec<&str>>().join(", ");
    let [quote, read, avoid] = verdict.trust();
    let parts = [
        ("", quote, ""),
        ("read ", read, " with the interval"),
        ("do not compare ", avoid, ": rounds differ by more than 25 %"),
    ];
    let parts = parts.iter().filter(|part| !part.1.is_empty());
    let parts: Vec<String> =
        parts.map(|(before, areas, after)| format!("{before}{}{after}", named(areas))).collect();
    if !parts.is_empty() {
        sheet.wrapped("Trust  ", &parts.join("; "), Style::Plain);
    }
}

const NAME: usize = 11;
const SIZE: usize = 15;
const CLAIMED: usize = 7;
const NS: usize = 8;
const INTERVAL: usize = 9;
const CYCLES: usize = 6;
const PUBLISHED: usize = 6;
const READ: usize = 11;

fn memory(sheet: &mut Sheet, summary: &Summary) {
    let levels = levels(summary);
    if levels.is_empty() {
        return;
    }
    sheet.blank();
    let head = |text, width| Cell::right(text, width, Style::Dim);
    sheet.row(&[
        Cell::left("Memory", NAME, Style::Bold),
        head("size", SIZE),
        head("claimed", CLAIMED),
        head("latency", NS),
        Cell::left("", INTERVAL, Style::Dim),
        head("cycles", CYCLES),
        head("publ.", PUBLISHED),
        head("read", READ),
    ]);
    for level in &levels {
        sheet.row(&level_row(level));
    }
    let all = summary.metrics.get("memory.bandwidth.read.dram_all_threads_gbs");
    if let Some(all) = all.filter(|all| all.value.is_some()) {
        let (text, style) = marked(all);
        let name = "all threads, DRAM";
        let room = NAME + SIZE + CLAIMED + NS + INTERVAL + CYCLES + PUBLISHED + 6;
        sheet.row(&[Cell::left(name, room, Style::Plain), Cell::right(&text, READ, style)]);
    }
}

fn level_row(level: &Level<'_>) -> Vec<Cell> {
    let failed = level.finding.is_some();
    let size = if failed { format!("! {}", level.size) } else { level.size.clone() };
    let value = |value: Option<&Value>| value.map(format::measured).unwrap_or_default();
    let style = level.ns.map_or(Style::Plain, |ns| mark(ns).1);
    let spread =
        level.ns.filter(|ns| !grade(ns).is_empty()).map(format::interval).unwrap_or_default();
    let (read, read_style) = level.read.map_or((String::new(), Style::Plain), marked);
    let cycles = level.cycles.filter(|c| format::believable(c).is_some()).map(format::bare);
    vec![
        Cell::left(&level.name, NAME, Style::Plain),
        Cell::right(&size, SIZE, if failed { Style::Yellow } else { Style::Plain }),
        Cell::right(&level.claimed, CLAIMED, Style::Plain),
        Cell::right(&value(level.ns), NS, if style == Style::Plain { Style::Bold } else { style }),
        Cell::left(&spread, INTERVAL, Style::Dim),
        Cell::right(&cycles.unwrap_or_default(), CYCLES, Style::Plain),
        Cell::right(&level.published, PUBLISHED, Style::Dim),
        Cell::right(&read, READ, read_style),
    ]
}

/// The number with its unit behind the mark of its grade.
fn marked(value: &Value) -> (String, Style) {
    let (mark, style) = mark(value);
    let text = format::measured(value);
    (if mark.is_empty() { text } else { format!("{mark} {text}") }, style)
}

fn of(summary: &Summary, group: Group) -> Vec<&Finding> {
    summary.findings.iter().filter(|f| f.group == group).collect()
}

/// The heading of a group, and how many of it are not shown.
fn heading(sheet: &mut Sheet, group: Group, all: usize, shown: usize) {
    sheet.blank();
    let more = if all > shown { format!(", {shown} of {all}") } else { String::new() };
    sheet.wrapped("", &format!("{}{more}", group.title()), Style::Bold);
}

fn claims(sheet: &mut Sheet, summary: &Summary, most: usize) {
    let all = of(summary, Group::Claim);
    if all.is_empty() {
        return;
    }
    heading(sheet, Group::Claim, all.len(), all.len().min(most));
    for finding in all.iter().take(most) {
        let claimed = finding.claimed.as_deref().unwrap_or_default();
        let measured = finding.measured.as_deref().unwrap_or_default();
        let cause = finding.cause.as_ref().map_or(String::new(), |cause| format!(": {cause}"));
        let name = format!("! {:<16} ", clipped(claimed, 16));
        sheet.wrapped(&name, &format!("{measured}{cause}"), Style::Yellow);
    }
}

fn clipped(text: &str, most: usize) -> String {
    format::shorten(&card::clean::line(text), most)
}

/// The mark of the first number that a finding rests on.
fn finding_mark(summary: &Summary, finding: &Finding) -> &'static str {
    finding.evidence.first().and_then(|id| summary.metrics.get(id)).map_or("", grade)
}

fn limits(sheet: &mut Sheet, summary: &Summary, most: usize) {
    let all = of(summary, Group::Limit);
    if all.is_empty() {
        return;
    }
    heading(sheet, Group::Limit, all.len(), all.len().min(most));
    for finding in all.iter().take(most) {
        let mark = finding_mark(summary, finding);
        sheet.wrapped(&format!("{mark:1} "), &finding.headline, Style::Plain);
    }
}

fn advice(sheet: &mut Sheet, summary: &Summary, most: usize) {
    let all = of(summary, Group::Advice);
    if all.is_empty() {
        return;
    }
    let (gains, none): (Vec<&Finding>, Vec<&Finding>) =
        all.into_iter().partition(|f| f.factor.is_some());
    sheet.blank();
    let more =
        if gains.len() > most { format!(", {most} of {}", gains.len()) } else { String::new() };
    let title = format!("{}, slowdown otherwise{more}", Group::Advice.title());
    sheet.wrapped("", &title, Style::Bold);
    let half = (sheet.width() - 3) / 2;
    let cells = |finding: &&Finding| {
        let factor = finding.factor.map(times).unwrap_or_default();
        let action = finding.action.as_deref().unwrap_or_default();
        [
            Cell::left(finding_mark(summary, finding), 1, Style::Plain),
            Cell::left(action, half - 10, Style::Plain),
            Cell::right(&factor, 7, Style::Bold),
        ]
    };
    in_two(sheet, &gains[..gains.len().min(most)].iter().map(cells).collect::<Vec<_>>());
    for finding in none {
        sheet.wrapped("  ", &finding.headline, Style::Dim);
    }
}

/// Two columns that are read downwards.
fn in_two<const N: usize>(sheet: &mut Sheet, items: &[[Cell; N]]) {
    let rows = items.len().div_ceil(2);
    for at in 0..rows {
        let mut cells: Vec<Cell> = items[at].to_vec();
        if let Some(right) = items.get(rows + at) {
            cells.push(Cell::left("", 1, Style::Plain));
            cells.extend(right.to_vec());
        }
        sheet.row(&cells);
    }
}

/// Rows of the list that fit in two columns.
const MOST_NUMBERS: usize = 16;

fn numbers(sheet: &mut Sheet, summary: &Summary) {
    let mut all: Vec<Rung> = ladder::rungs(summary);
    all.extend(ladder::extras(summary));
    all.retain(|rung| rung.here.is_ok() && rung.but.is_none());
    if all.is_empty() {
        return;
    }
    all.truncate(MOST_NUMBERS);
    let ns = |rung: &Rung| rung.here.as_ref().map_or(0.0, |here| here.ns);
    all.sort_by(|a, b| ns(a).total_cmp(&ns(b)));
    sheet.blank();
    let half = (sheet.width() - 3) / 2;
    let label = half - (2 + 9 + 7 + 7);
    let head = [
        Cell::left("", 1, Style::Dim),
        Cell::left("Latency", label, Style::Bold),
        Cell::right("here", 8, Style::Dim),
        Cell::right(&QUOTED.to_string(), 6, Style::Dim),
        Cell::right(&LATEST.to_string(), 6, Style::Dim),
    ];
    let mut right = head.to_vec();
    right[1] = Cell::left("", label, Style::Bold);
    let mut both = head.to_vec();
    both.push(Cell::left("", 1, Style::Plain));
    both.extend(right);
    sheet.row(&both);
    let row = |rung: &Rung| {
        let here = rung.here.as_ref().ok();
        let mark = here.map_or("", |here| grade_mark(here.grade));
        // Of that very year: another one's number would need a note.
        let quoted = |year| {
            let quote = if year == LATEST { rung.latest() } else { rung.of(year) };
            let text = quote.map(|q| format::quoted(q.ns, card::declare::Unit::Ns));
            Cell::right(&text.unwrap_or_else(|| "–".into()), 6, Style::Dim)
        };
        [
            Cell::left(mark, 1, Style::Yellow),
            Cell::left(rung.short(), label, Style::Plain),
            Cell::right(&here.map(|h| h.text()).unwrap_or_default(), 8, Style::Bold),
            quoted(QUOTED),
            quoted(LATEST),
        ]
    };
    in_two(sheet, &all.iter().map(row).collect::<Vec<_>>());
}

fn grade_mark(grade: Option<Grade>) -> &'static str {
    match grade {
        Some(Grade::Within25) => "~",
        Some(Grade::Wider) => "?",
        Some(Grade::Within5) | None => "",
    }
}

fn quality(sheet: &mut Sheet, summary: &Summary, verdict: &Verdict, most: usize) {
    let [good, fair, poor] = verdict.grades();
    let all = good + fair + poor;
    let mut lines = Vec::new();
    if all > 0 {
        lines.push(format!(
            "{good} of {all} values repeat within 5 %; {fair} within 25 % ~; {poor} do not ?"
        ));
    }
    lines.extend(uncounted(&summary.card));
    let found = of(summary, Group::Quality);
    lines.extend(found.iter().take(most).map(|f| f.headline.clone()));
    if found.len() > most {
        lines.push(format!("{} more: --all", found.len() - most));
    }
    let missing: Vec<&str> = summary.card.skips.iter().map(|s| s.probe.as_str()).collect();
    if !missing.is_empty() {
        let mut names = missing;
        names.sort_unstable();
        names.dedup();
        lines.push(format!("not or not wholly measured: {}", names.join(", ")));
    }
    lines.extend(summary.card.remarks.iter().take(most).map(|r| format!("card file: {r}")));
    if lines.is_empty() {
        return;
    }
    sheet.blank();
    for (at, line) in lines.iter().enumerate() {
        sheet.wrapped(if at == 0 { "Quality  " } else { "         " }, line, Style::Plain);
    }
}

/// That nothing was confirmed by hardware counters.
fn uncounted(card: &Card) -> Option<String> {
    let counted = card.points.iter().any(|p| !p.counts.is_empty());
    let known = card.header.counters != CounterSupport::default();
    (known && !counted).then(|| "no hardware counters: nothing was confirmed by them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::sheet::columns;
    use super::*;
    use card::{clean, fixture};

    fn all() -> Vec<Summary> {
        vec![
            fixture::summary(),
            fixture::recorded(),
            fixture::counted(),
            fixture::two_nodes(),
            fixture::hostile(),
            fixture::empty(),
        ]
    }

    #[test]
    fn a_card_has_sixty_lines_and_none_is_wider_than_asked_for() {
        for summary in all() {
            for width in [80, 100, 120, 200] {
                let text = brief(&summary, "x.card.jsonl", width, false);
                assert!(text.lines().count() <= MOST_LINES, "{}:\n{text}", text.lines().count());
                for line in text.lines() {
                    assert!(columns(line) <= width, "{width}: {line}");
                    assert_eq!(line, line.trim_end(), "trailing blanks");
                }
                assert_eq!(text, clean::lines(&text), "a character that acts on a terminal");
            }
        }
    }

    #[test]
    fn the_verdict_stands_first_and_the_numbers_are_those_of_the_metrics() {
        let summary = fixture::recorded();
        let text = brief(&summary, "x.card.jsonl", 80, false);
        let third = text.lines().find(|line| line.starts_with("CHECK")).unwrap();
        assert!(third.contains("claims do not hold") || text.contains("claims do not hold"));
        let value = |id: &str| format::measured(summary.metrics.get(id).unwrap());
        for part in [
            value("memory.latency.l1_ns"),
            value("memory.latency.dram_ns"),
            value("memory.bandwidth.read.dram_gbs"),
            "published".to_owned(),
            "--why L3_CAPACITY".to_owned(),
            "buffer 1-byte writes".to_owned(),
            "values repeat within 5 %".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} missing in\n{text}");
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut summary = fixture::recorded();
        let one = summary.findings.iter().find(|f| f.group == Group::Limit).unwrap().clone();
        summary.findings.extend(std::iter::repeat_n(one, 40));
        let text = brief(&summary, "x.card.jsonl", 80, false);
        assert!(text.contains("What limits this machine, "), "{text}");
    }
}
