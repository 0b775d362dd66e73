//! The card in one picture of 1200 by 630 pixels, for chats and link previews, which show it half as
//! large: the verdict, one curve, a few numbers, and the claims that fail.

use card::format;
use card::metrics::Grade;
use card::summary::Summary;

use super::canvas::{Dash, Sheet, Spot, fit, text_width};
use super::curves::{bytes, ends, time};
use super::measured::{metric, text};
use super::scale::{Axis, decades, spread, within};
use super::staircase::{self, Held, Step};
use super::theme::{Align, BAND, BLUE, BLUE_PALE, FAINT, GRID, INK, MUTED, ORANGE, PAPER, Type};
use card::declare::Select;
use card::file::End;
use card::series::{self, CurvePoint};

/// What is said of a card as a whole.
#[derive(Clone, Debug, Default)]
pub struct Claims<'a> {
    /// `PASS`, `CHECK` or `FAIL`; empty where nothing was judged.
    pub verdict: &'a str,
    /// Why, in one line.
    pub sentence: &'a str,
    /// Claims that do not hold, each with what was measured.
    pub failed: Vec<(String, String)>,
}

/// Half the picture's pixels: a PNG is twice as large as its sheet.
const SIZE: (f64, f64) = (600.0, 315.0);
const LEFT: f64 = 30.0;
const RIGHT: f64 = 570.0;
/// The curve, and the column of numbers beside it.
const PLOT: (Spot, Spot) = ((62.0, 118.0), (326.0, 252.0));
const COLUMNS: [f64; 2] = [350.0, 464.0];
const MOST_CLAIMS: usize = 4;

const LARGE: Type = Type::new(20.0, INK).bold();
const NUMBER: Type = Type::new(17.0, INK).bold();
const LINE: Type = Type::new(13.0, INK);
const TEXT: Type = Type::new(11.0, INK);
const FINE: Type = Type::new(10.0, MUTED);

/// Key numbers: metric and what it is; the second four where no claim fails.
const NUMBERS: [(&str, &str); 8] = [
    ("memory.bandwidth.read.dram_gbs", "DRAM read, 1 thread"),
    ("clock.core_ghz", "core clock"),
    ("context_switch.per_switch_ns", "context switch"),
    ("os.syscall_ns", "system call"),
    ("branch.mispredict_ns", "branch mispredict"),
    ("core_to_core.median_ns", "core to core"),
    ("locks.mutex_uncontended_ns", "mutex, uncontended"),
    ("os.page_fault_4k_ns", "page fault, 4 KiB"),
];

/// `None` without anything that was measured.
pub(super) fn sheet(summary: &Summary, claims: &Claims<'_>) -> Option<Sheet> {
    let curve = HUGE.map(|variant| curve(summary, variant)).into_iter().find(|c| c.len() > 1);
    let numbers: Vec<(String, &str)> = NUMBERS
        .into_iter()
        .filter_map(|(id, name)| Some((text(metric(summary, id)?), name)))
        .collect();
    if curve.is_none() && numbers.is_empty() {
        return None;
    }
    let mut s = Sheet::new(SIZE.0, SIZE.1);
    let alarm = ["CHECK", "FAIL"].contains(&claims.verdict);
    s.rect((0.0, 0.0), (SIZE.0, 5.0), if alarm { ORANGE } else { BLUE });
    let title = summary.card.header.machine.title();
    s.text((LEFT, 39.0), &fit(&title, RIGHT - LEFT, LARGE), LARGE);
    // Where nothing was judged, the curve speaks.
    let curve_says = staircase::chart(summary).map(|chart| chart.title).unwrap_or_default();
    let sentence = if claims.sentence.is_empty() { &curve_says } else { claims.sentence };
    verdict(&mut s, claims, sentence, alarm);
    if let Some(curve) = curve {
        stairs(&mut s, summary, &curve);
    }
    let most = if claims.failed.is_empty() { NUMBERS.len() } else { NUMBERS.len() / 2 };
    for (i, (number, name)) in numbers.iter().take(most).enumerate() {
        let (x, y) = (COLUMNS[i % 2], 100.0 + 44.0 * (i / 2) as f64);
        s.text((x, y), number, NUMBER);
        s.text((x, y + 14.0), name, FINE);
    }
    failed(&mut s, claims);
    let footer = footer(summary);
    s.text((LEFT, 298.0), &fit(&footer, RIGHT - LEFT, FINE), FINE);
    Some(s)
}

fn verdict(s: &mut Sheet, claims: &Claims<'_>, sentence: &str, alarm: bool) {
    let mut x = LEFT;
    if !claims.verdict.is_empty() {
        let ink = if alarm { ORANGE } else { BLUE };
        let set = LINE.bold().ink(PAPER);
        let end = x + text_width(claims.verdict, set) + 20.0;
        s.dot((x + 10.0, 62.0), 10.0, ink);
        s.dot((end - 10.0, 62.0), 10.0, ink);
        s.rect((x + 10.0, 52.0), (end - 10.0, 72.0), ink);
        s.text(((x + end) / 2.0, 66.7), claims.verdict, set.align(Align::Center));
        x = end + 10.0;
    }
    s.text((x, 66.7), &fit(sentence, RIGHT - x, LINE), LINE);
}

fn failed(s: &mut Sheet, claims: &Claims<'_>) {
    if claims.failed.is_empty() {
        return;
    }
    let left = COLUMNS[0];
    s.line((left, 171.0), (RIGHT, 171.0), 1.0, FAINT);
    s.text((left, 187.0), "claims that do not hold", FINE.bold().ink(ORANGE));
    let shown = claims.failed.iter().take(MOST_CLAIMS);
    let names = shown.clone().map(|(claim, _)| text_width(claim, TEXT.bold())).fold(0.0, f64::max);
    let measured = (left + 14.0 + names + 12.0).min(COLUMNS[1]);
    for (i, (claim, found)) in shown.enumerate() {
        let y = 206.0 + 18.0 * i as f64;
        s.rect((left, y - 8.5), (left + 9.0, y + 0.5), ORANGE);
        let room = measured - left - 20.0;
        s.text((left + 14.0, y), &fit(claim, room, TEXT.bold()), TEXT.bold());
        s.text((measured, y), &fit(found, RIGHT - measured, TEXT), TEXT.ink(MUTED));
    }
    let more = claims.failed.len().saturating_sub(MOST_CLAIMS);
    if more > 0 {
        s.text((RIGHT, 187.0), &format!("and {more} more"), FINE.align(Align::Right));
    }
}

/// Variants of the latency curve that huge pages back, by kernel.
const HUGE: [&str; 3] = ["random_2m", "random_32m", "random_512m"];

fn curve(summary: &Summary, variant: &'static str) -> Vec<CurvePoint> {
    let select = Select::of("latency", &[("variant", variant)]);
    let mut points = series::curve(&summary.card, "memory-latency", &select, "working_set");
    points.retain(|p| p.x > 0.0 && p.low > 0.0 && p.high.is_finite());
    points
}

/// The staircase with its levels above it and the claimed sizes below.
fn stairs(s: &mut Sheet, summary: &Summary, curve: &[CurvePoint]) {
    let ((left, top), (right, bottom)) = PLOT;
    let (low, high) = ends(curve.iter().flat_map(|p| [p.low, p.high]));
    let x = Axis::log(ends(curve.iter().map(|p| p.x)), (left, right));
    let y = Axis::log((low * 0.9, high * 1.2), (bottom, top));
    let steps = staircase::steps(summary);
    let held = staircase::held(summary);
    for step in &steps {
        s.rect((x.at(step.from), top), (x.at(step.to), bottom), BAND);
    }
    for ns in decades(low * 0.9, high * 1.2) {
        s.line((left, y.at(ns)), (right, y.at(ns)), 1.0, GRID);
        s.text((left - 5.0, y.at(ns) + 3.5), &time(ns), FINE.align(Align::Right));
    }
    heads(s, &steps, &x);
    for held in &held {
        let at = x.at(held.claim.bytes as f64);
        let ink = if held.fails() { ORANGE } else { INK };
        s.path(&[(at, top), (at, bottom)], if held.fails() { 1.6 } else { 1.0 }, ink, Dash::Short);
    }
    let upper = curve.iter().map(|p| (x.at(p.x), y.at(p.high)));
    let lower = curve.iter().rev().map(|p| (x.at(p.x), y.at(p.low)));
    s.polygon(&upper.chain(lower).collect::<Vec<Spot>>(), BLUE_PALE);
    let line: Vec<Spot> = curve.iter().map(|p| (x.at(p.x), y.at(p.value))).collect();
    s.path(&line, 2.2, BLUE, Dash::Solid);
    names(s, &held, &x);
    let failing = held.iter().find(|h| h.fails());
    if let Some((held, measured)) = failing.and_then(|h| Some((h, h.measured?))) {
        let to = x.at(held.claim.bytes as f64);
        let from = x.at(measured.value.unwrap_or_default()).min(to - 8.0);
        let middle = top + 0.62 * (bottom - top);
        s.line((from, middle), (to - 3.0, middle), 1.2, ORANGE);
        let head =
            |tip: f64, back: f64| [(tip, middle), (back, middle - 3.0), (back, middle + 3.0)];
        s.polygon(&head(from, from + 5.0), ORANGE);
        s.polygon(&head(to - 2.0, to - 7.0), ORANGE);
        let text = format!("ends at {}", format::size(measured));
        let set = FINE.bold().ink(ORANGE).align(Align::Center);
        let at = within((from + to) / 2.0, text_width(&text, set), (left, right));
        s.tag((at, middle + 15.0), &text, set);
    }
}

/// What the levels take, above them.
fn heads(s: &mut Sheet, steps: &[Step<'_>], x: &Axis) {
    let ((left, top), (right, _)) = PLOT;
    let wanted: Vec<f64> =
        steps.iter().map(|step| (x.at(step.from) + x.at(step.to)) / 2.0).collect();
    let cycles =
        |step: &Step<'_>| step.cycles.as_deref().unwrap_or_default().replace("cycles", "cyc");
    let width = |step: &Step<'_>| {
        text_width(&step.ns, TEXT.bold()).max(text_width(&cycles(step), FINE)) + 8.0
    };
    let sizes: Vec<f64> = steps.iter().map(width).collect();
    for (step, at) in steps.iter().zip(spread(&wanted, &sizes, left - 14.0, right + 14.0)) {
        s.text((at, top - 18.0), &step.ns, TEXT.bold().align(Align::Center));
        s.text((at, top - 5.0), &cycles(step), FINE.align(Align::Center));
    }
}

/// What is claimed, below the curve.
fn names(s: &mut Sheet, held: &[Held<'_>], x: &Axis) {
    let ((left, _), (right, bottom)) = PLOT;
    let name = |held: &Held<'_>| {
        let claimed = if held.fails() { " claimed" } else { "" };
        format!("{} {}{claimed}", held.claim.label, bytes(held.claim.bytes as f64))
    };
    let wanted: Vec<f64> = held.iter().map(|h| x.at(h.claim.bytes as f64)).collect();
    let sizes: Vec<f64> = held.iter().map(|h| text_width(&name(h), FINE.bold()) + 6.0).collect();
    for (held, at) in held.iter().zip(spread(&wanted, &sizes, left - 14.0, right + 20.0)) {
        let set = if held.fails() { FINE.bold().ink(ORANGE) } else { FINE.ink(INK) };
        s.text((at, bottom + 16.0), &name(held), set.align(Align::Center));
    }
}

/// Where the numbers come from, and how far they can be trusted.
fn footer(summary: &Summary) -> String {
    let header = &summary.card.header;
    let date = header.start.split('T').next().unwrap_or_default();
    let took = match &summary.card.end {
        Some(End { wall_s, .. }) => format!(" in {wall_s:.0} s"),
        None => String::new(),
    };
    let graded: Vec<Grade> = summary.metrics.0.iter().filter_map(|value| value.grade).collect();
    let steady = graded.iter().filter(|grade| **grade == Grade::Within5).count();
    let repeat = match graded.len() {
        0 => String::new(),
        all => {
            format!(" · {:.0} % of values repeat within 5 %", 100.0 * steady as f64 / all as f64)
        }
    };
    let rounds = card::format::count(header.plan.rounds as usize, "round");
    format!("{} {} · {date} · {rounds}{took}{repeat}", header.tool.name, header.tool.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    fn claims() -> Claims<'static> {
        let failed = |i: i32| (format!("claim {i}"), format!("measured {i}"));
        Claims { verdict: "CHECK", sentence: "as published", failed: (0..6).map(failed).collect() }
    }

    #[test]
    fn the_picture_is_as_large_as_link_previews_want_it() {
        let sheet = sheet(&fixture::recorded(), &claims()).unwrap();
        let png = sheet.png();
        let decoder = png::Decoder::new(std::io::Cursor::new(&png));
        let reader = decoder.read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (1200, 630));
    }

    #[test]
    fn failed_claims_take_the_place_of_four_numbers() {
        let texts = |claims: &Claims<'_>| -> Vec<String> {
            let sheet = sheet(&fixture::recorded(), claims).unwrap();
            sheet.words().map(|words| words.text).collect()
        };
        let (check, pass) = (texts(&claims()), texts(&Claims::default()));
        let has = |texts: &[String], text: &str| texts.iter().any(|t| t == text);
        assert!(has(&check, "CHECK") && has(&check, "claim 3") && has(&check, "measured 3"));
        assert!(!has(&check, "claim 4") && has(&check, "and 2 more"));
        assert!(!has(&check, "mutex, uncontended") && has(&pass, "mutex, uncontended"));
        assert!(has(&pass, "system call") && !pass.iter().any(|t| t.contains("do not hold")));
        assert!(pass.iter().any(|t| t.contains("% of values repeat within 5 %")));
        let dram = text(metric(&fixture::recorded(), "memory.bandwidth.read.dram_gbs").unwrap());
        assert!(has(&check, &dram) && has(&pass, &dram), "{dram}");
    }

    #[test]
    fn nothing_measured_no_picture() {
        assert!(sheet(&fixture::empty(), &Claims::default()).is_none());
    }
}
