//! Cards held against others: the verdict first, then the groups, then what stands out.

use super::NARROWEST;
use super::sheet::{Cell, Sheet, Style};
use crate::report::view::change::{is_of_rates, is_rate, percent, share};
use card::declare::Unit;
use card::format::{self, count, moment};
use card::judge::expect::Broken;
use card::judge::{
    GroupChange, Judgement, LEAST_CARDS, MetricChange, PropertyChange, Standing, Verdict,
};

/// Metrics that are listed under a group.
const LISTED: usize = 5;

/// A verdict for a terminal of that width.
pub fn verdict(judgement: &Judgement, width: usize, color: bool) -> String {
    let mut sheet = Sheet::new(width.max(NARROWEST), color);
    let style = match judgement.verdict {
        Verdict::Same => Style::Green,
        Verdict::Suspect | Verdict::CannotJudge => Style::Yellow,
        Verdict::Worse => Style::Red,
    };
    sheet.wrapped("", &headline(judgement), style);
    baseline(&mut sheet, judgement);
    facts(&mut sheet, judgement);
    if judgement.baseline > 0 {
        groups(&mut sheet, judgement, true);
        counts(&mut sheet, judgement);
    }
    causes(&mut sheet, judgement);
    if judgement.verdict == Verdict::Suspect {
        sheet.wrapped("", &next_step(judgement), Style::Plain);
    }
    sheet.finish()
}

/// Two sets of cards side by side, without a verdict.
pub fn comparison(judgement: &Judgement, width: usize, color: bool) -> String {
    let mut sheet = Sheet::new(width.max(NARROWEST), color);
    baseline(&mut sheet, judgement);
    facts(&mut sheet, judgement);
    if judgement.baseline > 0 {
        groups(&mut sheet, judgement, false);
        counts(&mut sheet, judgement);
    }
    sheet.finish()
}

/// One sentence that a pager can show.
pub fn headline(judgement: &Judgement) -> String {
    let reason = judgement.reasons.first();
    match judgement.verdict {
        Verdict::Same => match reason {
            Some(reason) => format!("same as the baseline: {reason}"),
            None => "same as the baseline".into(),
        },
        Verdict::CannotJudge => {
            format!("CANNOT JUDGE: {}", reason.map_or("nothing to compare", String::as_str))
        }
        Verdict::Suspect => format!("SUSPECT: {}", gist(judgement)),
        Verdict::Worse => match reason {
            Some(wrong_answer) => format!("FAIL: a wrong answer was computed: {wrong_answer}"),
            None => format!("FAIL: {}, in two runs", gist(judgement)),
        },
    }
}

/// What is worst, and how much else is.
fn gist(judgement: &Judgement) -> String {
    let counts = |confirmed: bool| judgement.verdict == Verdict::Suspect || confirmed;
    if let Some(clock) = judgement.clock.filter(|clock| clock.change > 0.0) {
        let lower = percent(share(clock.change, true));
        let [before, now] = [clock.before, clock.now].map(|ghz| format!("{ghz:.2}"));
        return format!("the core clock is {lower} lower ({before} → {now} GHz)");
    }
    let mut worse: Vec<&GroupChange> = judgement
        .groups
        .iter()
        .filter(|group| group.standing == Standing::Worse && counts(group.confirmed))
        .collect();
    let beyond = |group: &GroupChange| group.change.unwrap_or(0.0) / group.limit;
    worse.sort_by(|a, b| beyond(b).total_cmp(&beyond(a)));
    let single = judgement
        .metrics
        .iter()
        .filter(|m| m.standing == Standing::Worse && counts(m.confirmed))
        .max_by(|a, b| (a.change / a.limit).total_cmp(&(b.change / b.limit)));
    if let Some(broken) = judgement.expectations.iter().find(|b| counts(b.confirmed)) {
        return limit_of(broken);
    }
    let property = judgement.properties.iter().find(|p| counts(p.confirmed));
    match (&worse[..], property, single) {
        ([group, rest @ ..], ..) => {
            let by = percent(share(group.change.unwrap_or(0.0), is_of_rates(judgement, group)));
            let others = match rest.len() {
                0 => String::new(),
                n => format!(", and {} more", count(n, "group")),
            };
            format!("{}: {by} worse{others}", group.title)
        }
        (_, Some(property), _) => change_of(property),
        (.., Some(metric)) => {
            let numbers = from_to(metric.before, metric.now, metric.unit);
            format!("{} is worse ({numbers})", metric.id)
        }
        _ => "nothing".into(),
    }
}

fn change_of(property: &PropertyChange) -> String {
    let PropertyChange { id, unit, before, now, .. } = property;
    let [before, now] = [*before, *now].map(|value| format::quantity(value, *unit));
    format!("{id} was {before} and is {now}")
}

/// "memory.bandwidth.read.dram_gbs is 12.3, and 20 or more is expected".
fn limit_of(broken: &Broken) -> String {
    let number = |value: f64| format::quantity(value, broken.unit);
    let value = broken.value.map_or("not measured".into(), number);
    let expected = match (broken.min, broken.max) {
        (Some(min), Some(max)) => format!("{} to {}", number(min), number(max)),
        (Some(min), None) => format!("{} or more", number(min)),
        (None, Some(max)) => format!("{} or less", number(max)),
        (None, None) => "nothing".into(),
    };
    format!("{} is {value}, and {expected} is expected", broken.metric)
}

/// "5 cards of 29 Nov 2026 15:55 to 16:03, CPU 0, standard".
fn baseline(sheet: &mut Sheet, judgement: &Judgement) {
    let Some((from, to)) = &judgement.span else { return };
    let span =
        if from == to { moment(from) } else { format!("{} to {}", moment(from), moment(to)) };
    let now: Vec<String> = judgement.runs.iter().map(|start| moment(start)).collect();
    let Judgement { cpu, tier, .. } = judgement;
    sheet.wrapped(
        "",
        &format!(
            "{} of {span} against {}; {tier}, CPU {cpu}",
            count(judgement.baseline, "card"),
            now.join(", ")
        ),
        Style::Dim,
    );
}

/// What else differs, and which cards were not used.
fn facts(sheet: &mut Sheet, judgement: &Judgement) {
    for difference in &judgement.differences {
        let text = format!("{}: {} → {}", difference.fact, difference.then, difference.now);
        sheet.wrapped("  differs  ", &text, Style::Plain);
    }
    // Many are set aside for the same reason.
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for aside in &judgement.set_aside {
        match reasons.iter_mut().find(|(why, _)| *why == aside.why) {
            Some((_, times)) => *times += 1,
            None => reasons.push((&aside.why, 1)),
        }
    }
    for (why, times) in reasons {
        let text = format!("{} set aside: {why}", count(times, "card"));
        sheet.wrapped("  ", &text, Style::Dim);
    }
}

const NAME: usize = 24;
const NUMBER: usize = 10;

fn groups(sheet: &mut Sheet, judgement: &Judgement, verdict: bool) {
    sheet.blank();
    let (changed, limit) =
        if verdict { ("worse by", "alarm at") } else { ("worse by", "seen from") };
    sheet.row(&[
        Cell::left("  group", NAME, Style::Dim),
        Cell::right(changed, NUMBER, Style::Dim),
        Cell::right(limit, NUMBER, Style::Dim),
    ]);
    for group in &judgement.groups {
        let rate = is_of_rates(judgement, group);
        let change = group.change.map_or("–".to_owned(), |c| percent(share(c, rate)));
        let (mark, words, style) = standing(group.standing, group.confirmed, verdict);
        let words = match (group.id.as_str(), judgement.clock) {
            ("clock", Some(clock)) => format!("{:.2} → {:.2} GHz", clock.before, clock.now),
            _ => words.to_owned(),
        };
        sheet.row(&[
            Cell::left(&format!("  {}", group.title), NAME, Style::Plain),
            Cell::right(&change, NUMBER, style),
            Cell::right(&percent(share(group.limit, rate)), NUMBER, Style::Dim),
            Cell::left(&format!("{mark:2} {words}"), sheet.width() - NAME - 2 * NUMBER - 3, style),
        ]);
        let mut standing_out: Vec<&MetricChange> = judgement
            .metrics_of(group)
            .filter(|m| matches!(m.standing, Standing::Worse | Standing::Better))
            .filter(|m| !verdict || m.standing == Standing::Worse)
            .collect();
        standing_out
            .sort_by(|a, b| (b.change / b.limit).abs().total_cmp(&(a.change / a.limit).abs()));
        let listed = if verdict { LISTED } else { standing_out.len() };
        for metric in standing_out.iter().take(listed) {
            row_of(sheet, metric, verdict);
        }
        if standing_out.len() > listed {
            let rest = format!("and {} more", standing_out.len() - listed);
            sheet.wrapped("    ", &rest, Style::Dim);
        }
    }
    for broken in &judgement.expectations {
        let mark = if broken.confirmed { "!!" } else { "!" };
        sheet.wrapped("  ", &format!("{mark} {}", limit_of(broken)), Style::Yellow);
    }
    for property in &judgement.properties {
        let mark = if property.confirmed { "!!" } else { "!" };
        sheet.wrapped("  ", &format!("{mark} {}", change_of(property)), Style::Yellow);
    }
}

fn standing(
    standing: Standing,
    confirmed: bool,
    verdict: bool,
) -> (&'static str, &'static str, Style) {
    match standing {
        Standing::Worse if confirmed => ("!!", "", Style::Red),
        Standing::Worse => ("!", if verdict { "" } else { "worse" }, Style::Yellow),
        Standing::Better => ("", "better", Style::Green),
        Standing::ByTheClock => ("", "explained by the clock", Style::Plain),
        Standing::ByNeighbours => ("", "explained by the SMT sibling", Style::Plain),
        Standing::NotJudged => ("", "most of it is missing", Style::Dim),
        Standing::TooNoisy => ("", "too noisy to judge", Style::Dim),
        Standing::Within => ("", "", Style::Plain),
    }
}

/// "174 → 134 Gflop/s".
fn from_to(before: f64, now: f64, unit: Unit) -> String {
    let [before, now] = [before, now].map(|value| format::quantity(value, unit));
    match (before.split_once(' '), now.split_once(' ')) {
        (Some((number, old)), Some((_, new))) if old == new => format!("{number} → {now}"),
        _ => format!("{before} → {now}"),
    }
}

/// Columns of a metric's numbers: with their unit, or without where its id must do.
const NUMBERS: usize = 24;
const BARE_NUMBERS: usize = 16;

/// A metric with both numbers.
fn row_of(sheet: &mut Sheet, metric: &MetricChange, verdict: bool) {
    let rate = is_rate(metric.unit);
    let (mark, _, style) = standing(metric.standing, metric.confirmed, verdict);
    let bare = sheet.width() < 100;
    let unit = if bare { Unit::Ratio } else { metric.unit };
    let numbers = from_to(metric.before, metric.now, unit);
    let columns = if bare { BARE_NUMBERS } else { NUMBERS };
    let by = percent(share(metric.change, rate));
    let limit = percent(share(metric.limit, rate));
    let room = sheet.width() - 3 - columns - 8 - 8 - 2 - 5;
    sheet.row(&[
        Cell::left("   ", 3, Style::Plain),
        Cell::tail(&metric.id, room, Style::Plain),
        Cell::right(&numbers, columns, Style::Plain),
        Cell::right(&by, 8, style),
        Cell::right(&limit, 8, Style::Dim),
        Cell::left(mark, 2, style),
    ]);
}

fn counts(sheet: &mut Sheet, judgement: &Judgement) {
    let noisy = judgement.too_noisy();
    let mut parts = vec![format!(
        "{} and {} judged",
        count(judgement.metrics.len() - noisy, "metric"),
        many(judgement.properties_judged, "property", "properties")
    )];
    if noisy > 0 {
        parts.push(format!("{noisy} too noisy here to judge alone"));
    }
    if !judgement.missing.is_empty() {
        let missing = &judgement.missing;
        let first: Vec<&str> = missing.iter().take(3).map(String::as_str).collect();
        let more = if missing.len() > 3 { ", …" } else { "" };
        parts.push(format!("{} missing: {}{more}", missing.len(), first.join(", ")));
    }
    sheet.wrapped("  ", &parts.join("; "), Style::Dim);
    if !judgement.other_methods.is_empty() {
        let probes = judgement.other_methods.join(", ");
        let text = format!("not compared, since it is measured by another method now: {probes}");
        sheet.wrapped("  ", &text, Style::Plain);
    }
}

fn many(n: usize, one: &str, more: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{} {more}", format::quantity(n as f64, Unit::Count))
    }
}

fn causes(sheet: &mut Sheet, judgement: &Judgement) {
    let speaks = matches!(judgement.verdict, Verdict::Suspect | Verdict::Worse);
    for (at, cause) in judgement.causes.iter().filter(|_| speaks).enumerate() {
        if at == 0 {
            sheet.blank();
        }
        let mark = if at == 0 { "  Likely: " } else { "  or:     " };
        sheet.wrapped(mark, &format!("{}.", cause.title), Style::Bold);
        for fact in &cause.facts {
            sheet.wrapped("    this card says  ", fact, Style::Plain);
        }
        for look in &cause.look {
            sheet.wrapped("    look at         ", look, Style::Plain);
        }
    }
}

fn next_step(judgement: &Judgement) -> String {
    match judgement.reasons.first() {
        Some(reason) => format!("  {reason}"),
        None if judgement.baseline < LEAST_CARDS => format!(
            "  {} of baseline can only make suspects: add runs of when it was well (probecard baseline \
             add), {LEAST_CARDS} or more",
            count(judgement.baseline, "card")
        ),
        None => "  One run is no proof: check --confirm measures again in 10 minutes".into(),
    }
}
