//! What the template of a comparison is filled in with: the judgement of `compare`, drawn.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use card::declare::{ReportOnly, Unit};
use card::estimate::quantile;
use card::findings::{Finding, Group};
use card::format::{self, count};
use card::judge::{GroupChange, Judgement, MetricChange, PropertyChange, Standing};
use card::metrics::Value;
use card::summary::Summary;
use card::verdict::Verdict;

use super::context::{PictureView, picture, word_class};
use crate::report::plots::Picture;
use crate::report::plots::beside::{self, Subject, letter};
use crate::report::plots::table::Table;
use crate::report::view::change::{is_of_rates, is_rate, percent, share};

/// Changed values that stand in the open; more are folded.
const OPEN: usize = 30;

/// The whole page.
#[derive(Serialize)]
pub(super) struct Page {
    title: String,
    tool: String,
    subjects: Vec<SubjectView>,
    /// What there is to say of each card beside the first one.
    sentences: Vec<String>,
    remarks: Vec<String>,
    facts: Vec<Cells>,
    claims: Vec<Cells>,
    claims_of_all: String,
    /// Of two cards the changes are drawn on an axis.
    two: bool,
    /// What the ends of that axis are.
    ends: [String; 2],
    changed: Vec<Line>,
    more: Vec<Line>,
    areas: Vec<AreaRow>,
    pictures: Vec<PictureView>,
    tables: Vec<Table>,
    families: Vec<Family>,
}

#[derive(Serialize)]
struct SubjectView {
    letter: char,
    swatch: String,
    machine: String,
    date: String,
    run: String,
    word: String,
    class: &'static str,
    sentence: String,
}

/// A row of texts, one for each card.
#[derive(Serialize)]
struct Cells {
    name: String,
    cells: Vec<String>,
}

/// A metric on all cards.
#[derive(Clone, Serialize)]
struct Line {
    id: String,
    words: String,
    values: Vec<Number>,
    /// For each card but the first.
    changes: Vec<Change>,
    /// `differs`, `same`, `open` (not judged) or `only` (on some cards alone).
    kind: &'static str,
    #[serde(skip)]
    size: f64,
}

#[derive(Clone, Serialize)]
struct Number {
    text: String,
    interval: String,
    reason: String,
}

#[derive(Clone, Default, Serialize)]
struct Change {
    /// `1.62× slower`; empty without two numbers.
    text: String,
    /// `worse`, `better`, `other` (a property), or empty: not told apart.
    class: &'static str,
    /// Why it is not one of these.
    why: &'static str,
    /// Which shade.
    shade: usize,
    /// The drawing; of two cards alone.
    plot: Option<Plot>,
}

/// In percent of the width: the rounds of the first card, those of the other one, and its number.
#[derive(Clone, Serialize)]
struct Plot {
    own: [f64; 2],
    other: [f64; 2],
    at: f64,
}

#[derive(Serialize)]
struct Family {
    name: String,
    rows: Vec<Line>,
}

/// A group of metrics, and what could have been seen of it.
#[derive(Serialize)]
struct AreaRow {
    title: String,
    differ: usize,
    alike: usize,
    noisy: usize,
    /// The group's change on each card but the first.
    changes: Vec<Change>,
    /// From how much on a change of the group would be seen.
    seen: String,
    /// The same of single metrics: the middle one, and that of nine in ten.
    single: [String; 2],
}

impl Page {
    /// Each judgement is of the card at the same place after the first one.
    pub(super) fn of(cards: &[Summary], judgements: &[Judgement], pictures: &[Picture]) -> Page {
        let against = Against { cards, judgements, reach: reach(judgements) };
        let all = against.lines();
        let mut changed: Vec<Line> =
            all.iter().filter(|line| line.kind == "differs").cloned().collect();
        changed.sort_by(|a, b| b.size.total_cmp(&a.size));
        let more = changed.split_off(changed.len().min(OPEN));
        let mut families: Vec<Family> = Vec::new();
        for line in all {
            let name = against.any(&line.id).map(|v| v.family.clone()).unwrap_or_default();
            match families.iter_mut().find(|family| family.name == name) {
                Some(family) => family.rows.push(line),
                None => families.push(Family { name, rows: vec![line] }),
            }
        }
        let (claims, claims_of_all) = claims(cards);
        let tool = &cards[0].card.header.tool;
        Page {
            title: title(cards),
            tool: format!("{} {}", tool.name, env!("CARGO_PKG_VERSION")),
            subjects: subjects(cards),
            sentences: judgements.iter().enumerate().map(|(i, j)| sentence(i + 1, j)).collect(),
            remarks: remarks(judgements),
            facts: facts(judgements),
            claims,
            claims_of_all,
            two: cards.len() == 2,
            ends: [1.0 / against.reach, against.reach]
                .map(|end| format!("{}×", format::plain(end))),
            changed,
            more,
            areas: areas(judgements),
            pictures: pictures.iter().map(picture).collect(),
            tables: beside::tables(&named(cards)),
            families,
        }
    }
}

/// The cards with their letters, and the date or the machine that tells them apart.
pub(super) fn named(cards: &[Summary]) -> Vec<Subject<'_>> {
    let short = |summary: &Summary| format::short_moment(&summary.card.header.start);
    let name =
        |(i, summary)| Subject { summary, name: format!("{} · {}", letter(i), short(summary)) };
    cards.iter().enumerate().map(name).collect()
}

fn title(cards: &[Summary]) -> String {
    let machines: BTreeSet<String> = cards.iter().map(|c| c.card.header.machine.title()).collect();
    let hosts: BTreeSet<&str> = cards
        .iter()
        .filter_map(|c| c.card.header.machine.host.name.known().map(String::as_str))
        .collect();
    let first = cards[0].card.header.machine.title();
    match (machines.len(), hosts.len()) {
        (1, 0 | 1) => format!("{} runs of {first}", cards.len()),
        (1, hosts) => format!("{hosts} machines of one model: {first}"),
        _ => format!("{first} and {}", count(cards.len() - 1, "other")),
    }
}

fn subjects(cards: &[Summary]) -> Vec<SubjectView> {
    let view = |(i, summary): (usize, &Summary)| {
        let header = &summary.card.header;
        let verdict = Verdict::of(summary);
        let host = header.machine.host.name.known().map(|name| format!("{name}, "));
        SubjectView {
            letter: letter(i),
            swatch: beside::swatch(i),
            machine: format!("{}{}", host.unwrap_or_default(), header.machine.title()),
            date: format::moment(&header.start),
            run: format!(
                "{} ({}), {}, {}, CPU {}",
                header.tool.version,
                header.tool.revision,
                header.plan.tier,
                count(header.plan.rounds as usize, "round"),
                header.plan.cpu
            ),
            word: verdict.word.to_string(),
            class: word_class(verdict.word),
            sentence: verdict.sentence,
        }
    };
    cards.iter().enumerate().map(view).collect()
}

/// `B: memory bandwidth 13.0 % worse, locks 4.0 % better; 11 other groups cannot be told apart`
fn sentence(card: usize, judgement: &Judgement) -> String {
    let told = |group: &GroupChange| {
        let change = group.change?;
        let by = percent(share(change.abs(), is_of_rates(judgement, group)));
        let word = match group.standing {
            Standing::Worse => "worse",
            Standing::Better => "better",
            Standing::ByTheClock => "worse, as the clock explains",
            Standing::ByNeighbours => "worse, as busier neighbours explain",
            _ => return None,
        };
        Some(format!("{} {by} {word}", group.title))
    };
    let mut groups: Vec<&GroupChange> = judgement.groups.iter().collect();
    let size = |group: &GroupChange| group.change.unwrap_or(0.0).abs();
    groups.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let told: Vec<String> = groups.into_iter().filter_map(told).collect();
    let rest = judgement.groups.len() - told.len();
    let letter = letter(card);
    match (told.len(), rest) {
        (0, 0) if !judgement.other_methods.is_empty() => format!(
            "Nothing of {letter} can be held against A: its version of the program measures by other methods."
        ),
        (0, 0) => format!("Nothing of {letter} can be held against A."),
        (_, 0) => format!("{letter}: {}.", told.join(", ")),
        (0, _) => format!("{letter} cannot be told from A in any of {}.", count(rest, "group")),
        _ => {
            let rest = count(rest, "other group");
            format!("{letter}: {}; {rest} cannot be told apart.", told.join(", "))
        }
    }
}

/// What was not compared, and what a reader must know before any number.
fn remarks(judgements: &[Judgement]) -> Vec<String> {
    let mut remarks = Vec::new();
    for (i, judgement) in judgements.iter().enumerate() {
        let letter = letter(i + 1);
        let stands = |standing| {
            let count = judgement.metrics.iter().filter(|m| m.standing == standing).count();
            if count == 0 { "none".to_owned() } else { count.to_string() }
        };
        if !judgement.metrics.is_empty() {
            remarks.push(format!(
                "{letter}: {} can be judged: {} worse, {} better, {}.",
                count(judgement.metrics.len(), "value"),
                stands(Standing::Worse),
                stands(Standing::Better),
                match judgement.properties.len() {
                    0 => "no property changed".into(),
                    1 => "1 property changed".into(),
                    n => format!("{n} properties changed"),
                },
            ));
        }
        if let Some(neighbours) = &judgement.neighbours {
            remarks.push(format!("{letter}: {neighbours}."));
        }
        if !judgement.other_methods.is_empty() && !judgement.metrics.is_empty() {
            let probes = judgement.other_methods.join(", ");
            remarks.push(format!("{letter}: measured by another method, not compared: {probes}."));
        }
        if !judgement.missing.is_empty() {
            let missing = count(judgement.missing.len(), "value");
            remarks.push(format!("{letter} lacks {missing} that A has."));
        }
    }
    remarks
}

/// Facts of the machines that differ, and what each card says of them.
fn facts(judgements: &[Judgement]) -> Vec<Cells> {
    let mut rows: Vec<(String, String, BTreeMap<usize, String>)> = Vec::new();
    for (card, judgement) in judgements.iter().enumerate() {
        for difference in &judgement.differences {
            let at = rows.iter().position(|row| row.0 == difference.fact).unwrap_or_else(|| {
                rows.push((difference.fact.clone(), difference.then.clone(), BTreeMap::new()));
                rows.len() - 1
            });
            rows[at].2.insert(card, difference.now.clone());
        }
    }
    let cells = |(name, first, others): (String, String, BTreeMap<usize, String>)| {
        let of = |card| others.get(&card).unwrap_or(&first).clone();
        Cells {
            name,
            cells: [first.clone()].into_iter().chain((0..judgements.len()).map(of)).collect(),
        }
    };
    rows.into_iter().map(cells).collect()
}

/// Claims that fail on some of the cards, and the codes of those that fail on all.
fn claims(cards: &[Summary]) -> (Vec<Cells>, String) {
    let of = |summary: &Summary, code: &str| -> Option<Finding> {
        let mut claims = summary.findings.iter().filter(|f| f.group == Group::Claim);
        claims.find(|finding| finding.code == code).cloned()
    };
    let all = cards.iter().flat_map(|c| &c.findings).filter(|f| f.group == Group::Claim);
    let mut codes: Vec<&str> = Vec::new();
    for finding in all {
        if !codes.contains(&finding.code.as_str()) {
            codes.push(&finding.code);
        }
    }
    let (everywhere, somewhere): (Vec<&str>, Vec<&str>) =
        codes.into_iter().partition(|code| cards.iter().all(|c| of(c, code).is_some()));
    let row = |code: &str| {
        let claimed = cards.iter().find_map(|c| of(c, code)?.claimed).unwrap_or_default();
        let cell = |summary: &Summary| match of(summary, code) {
            Some(finding) => finding.measured.unwrap_or(finding.headline),
            None => "holds, or not measured".into(),
        };
        Cells { name: format!("{code} {claimed}"), cells: cards.iter().map(cell).collect() }
    };
    (somewhere.into_iter().map(row).collect(), everywhere.join(", "))
}

/// The cards and what is judged of them.
struct Against<'a> {
    cards: &'a [Summary],
    judgements: &'a [Judgement],
    /// The factor at the right end of the axis of changes.
    reach: f64,
}

/// The smallest of a few factors that holds nine of ten changes.
fn reach(judgements: &[Judgement]) -> f64 {
    let differs = |m: &&MetricChange| matches!(m.standing, Standing::Worse | Standing::Better);
    let changed = judgements.iter().flat_map(|j| &j.metrics).filter(differs);
    let changes: Vec<f64> = changed.map(|m| (m.now / m.before).ln().abs()).collect();
    let most = quantile(&changes, 0.9).unwrap_or(0.0).exp();
    [1.25, 1.5, 2.0, 4.0].into_iter().find(|reach| most < *reach).unwrap_or(10.0)
}

impl Against<'_> {
    /// All metrics, in the order of the first card that has each.
    fn lines(&self) -> Vec<Line> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let all = self.cards.iter().flat_map(|card| &card.metrics.0);
        let measured = all.filter(|value| format::believable(value).is_some());
        measured.filter(|v| seen.insert(&v.id)).map(|v| self.line(&v.id)).collect()
    }

    /// A card's value.
    fn of(&self, card: usize, id: &str) -> Option<&Value> {
        self.cards[card].metrics.get(id)
    }

    fn any(&self, id: &str) -> Option<&Value> {
        (0..self.cards.len()).find_map(|card| self.of(card, id))
    }

    fn line(&self, id: &str) -> Line {
        let values: Vec<Option<&Value>> = (0..self.cards.len()).map(|c| self.of(c, id)).collect();
        let number = |value: &Option<&Value>| match value {
            Some(value) if format::believable(value).is_some() => Number {
                text: format::measured(value),
                interval: format::interval(value),
                reason: String::new(),
            },
            Some(value) => Number {
                text: "–".into(),
                interval: String::new(),
                reason: value.reason.clone().unwrap_or_default(),
            },
            None => Number { text: "–".into(), interval: String::new(), reason: String::new() },
        };
        let changes: Vec<Change> =
            (1..self.cards.len()).map(|card| self.change(card, id)).collect();
        let numbers = values.iter().flatten().filter_map(|value| format::believable(value));
        let of_change = |j: &Judgement| {
            let metric = j.metrics.iter().find(|metric| metric.id == id);
            let property = || j.properties.iter().find(|property| property.id == id);
            let pair =
                metric.map(|m| (m.before, m.now)).or_else(|| property().map(|p| (p.before, p.now)));
            pair.map_or(0.0, |(before, now)| (now / before).ln().abs())
        };
        Line {
            id: id.to_owned(),
            words: self.any(id).map(|v| v.summary.clone()).unwrap_or_default(),
            values: values.iter().map(number).collect(),
            kind: if numbers.count() < self.cards.len() {
                "only"
            } else if changes.iter().any(|change| !change.class.is_empty()) {
                "differs"
            } else if changes.iter().all(|change| change.why.is_empty()) {
                "same"
            } else {
                "open"
            },
            changes,
            size: self.judgements.iter().map(of_change).fold(0.0, f64::max),
        }
    }

    /// What became of a metric between the first card and another one.
    fn change(&self, card: usize, id: &str) -> Change {
        let judgement = &self.judgements[card - 1];
        let (Some(first), Some(other)) = (self.of(0, id), self.of(card, id)) else {
            return Change::default();
        };
        let numbers = format::believable(first).zip(format::believable(other));
        let Some((before, now)) = numbers.filter(|(a, b)| *a > 0.0 && *b > 0.0) else {
            return Change::default();
        };
        let metric = judgement.metrics.iter().find(|metric| metric.id == id);
        let property = judgement.properties.iter().any(|p: &PropertyChange| p.id == id);
        let cost = |v: f64| if is_rate(first.unit) { before / v } else { v / before };
        let factor = cost(now);
        let (class, why) = match metric.map(|m| m.standing) {
            _ if property => ("other", ""),
            Some(standing) => drawn(standing),
            None => ("", not_judged(first, other)),
        };
        Change {
            text: by(factor, first.unit),
            class,
            why,
            shade: shade(factor),
            plot: (self.cards.len() == 2).then(|| {
                let at = |v: f64| self.place(cost(v));
                let ends = |v: &Value, middle: f64| {
                    let ends = [v.low.unwrap_or(middle), v.high.unwrap_or(middle)].map(at);
                    [ends[0].min(ends[1]), ends[0].max(ends[1])]
                };
                Plot { own: ends(first, before), other: ends(other, now), at: at(now) }
            }),
        }
    }

    /// Where a factor is on the axis of changes, in percent.
    fn place(&self, factor: f64) -> f64 {
        let share = 50.0 + 50.0 * factor.ln() / self.reach.ln();
        if share.is_finite() { (share.clamp(1.0, 99.0) * 10.0).round() / 10.0 } else { 50.0 }
    }
}

/// How the style sheet calls a standing, and what explains it.
fn drawn(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Worse => ("worse", ""),
        Standing::Better => ("better", ""),
        Standing::ByTheClock => ("", "explained by the clock"),
        Standing::ByNeighbours => ("", "explained by the SMT sibling"),
        Standing::TooNoisy => ("", "too noisy to judge"),
        Standing::Within | Standing::NotJudged => ("", ""),
    }
}

/// Why there is no judgement of two numbers.
fn not_judged(first: &Value, other: &Value) -> &'static str {
    match first.report_only.or(other.report_only) {
        Some(ReportOnly::Quotient) => "not judged: a quotient",
        Some(ReportOnly::Repeats) => "not judged: judged in another unit",
        Some(ReportOnly::Device) => "not judged: a device's state decides",
        Some(ReportOnly::Placement) => "not judged: where threads and memory were put decides",
        Some(ReportOnly::Contention) => "not judged: who wins is chance",
        Some(ReportOnly::Neighbours) => "not judged: what neighbours leave of a cache decides",
        Some(ReportOnly::Tail) => "not judged: the tail of a distribution",
        Some(ReportOnly::Unsteady) => "not judged: runs of one machine do not agree on it",
        Some(ReportOnly::Unknown) => "not judged",
        None => "not judged: too few rounds, or another method",
    }
}

/// `1.62× slower`, `5 % faster`; of what is no speed, how many times as much.
fn by(factor: f64, unit: Unit) -> String {
    let (more, word) = match unit {
        Unit::Bytes | Unit::Count | Unit::Ratio | Unit::Unknown => {
            // The factor of a ratio is turned as that of a rate.
            let times = if is_rate(unit) { 1.0 / factor } else { factor };
            return format!("{}×", format::number(times));
        }
        _ if factor >= 1.0 => (factor, "slower"),
        _ => (1.0 / factor, "faster"),
    };
    match more {
        m if m < 1.0005 => "equal".into(),
        m if m < 1.1 => format!("{:.1} % {word}", 100.0 * (m - 1.0)),
        m => format!("{}× {word}", format::number(m)),
    }
}

/// One of seven, of which the middle one is no difference.
fn shade(factor: f64) -> usize {
    beside::FACTORS.iter().filter(|border| factor >= **border).count()
}

fn areas(judgements: &[Judgement]) -> Vec<AreaRow> {
    let mut groups: Vec<(&GroupChange, bool)> = Vec::new();
    for (judgement, group) in judgements.iter().flat_map(|j| j.groups.iter().map(move |g| (j, g))) {
        if !groups.iter().any(|known| known.0.id == group.id) {
            groups.push((group, is_of_rates(judgement, group)));
        }
    }
    let row = |(group, rate): (&GroupChange, bool)| {
        let of_group: Vec<(&Judgement, &GroupChange)> = judgements
            .iter()
            .filter_map(|j| Some((j, j.groups.iter().find(|g| g.id == group.id)?)))
            .collect();
        let metrics: Vec<&MetricChange> =
            of_group.iter().flat_map(|(j, group)| j.metrics_of(group)).collect();
        let standing =
            |wanted: &[Standing]| metrics.iter().filter(|m| wanted.contains(&m.standing)).count();
        let seen = |limit: f64| percent(share(limit, rate));
        let limits: Vec<f64> = metrics.iter().map(|m| m.limit).collect();
        let widest = of_group.iter().map(|(_, g)| g.limit).fold(0.0, f64::max);
        let change = |j: &Judgement| {
            let group = j.groups.iter().find(|g| g.id == group.id);
            let (text, class, why) = match group.map(|g| (g.change, g.standing)) {
                Some((Some(change), standing)) => {
                    let (class, why) = drawn(standing);
                    let by = percent(share(change.abs(), rate));
                    let word = match change {
                        _ if by == percent(0.0) => "",
                        c if c > 0.0 => " worse",
                        _ => " better",
                    };
                    (format!("{by}{word}"), class, why)
                }
                Some(_) => ("–".into(), "", "most of it is missing"),
                None => ("–".into(), "", ""),
            };
            Change { text, class, why, ..Change::default() }
        };
        AreaRow {
            title: group.title.clone(),
            differ: standing(&[Standing::Worse, Standing::Better]),
            alike: standing(&[Standing::Within, Standing::ByTheClock, Standing::ByNeighbours]),
            noisy: standing(&[Standing::TooNoisy]),
            changes: judgements.iter().map(change).collect(),
            seen: seen(widest),
            single: [0.5, 0.9].map(|q| quantile(&limits, q).map_or("–".into(), seen)),
        }
    };
    groups.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::balanced;
    use super::*;
    use card::fixture::{cores, hostile, recorded};
    use card::judge::{self, prior::Prior};
    use card::simulate::{Scenario, Simulator, Weather};

    fn page(cards: &[Summary]) -> String {
        let against =
            |other| judge::compare(&cards[..1], std::slice::from_ref(other), Prior::embedded());
        let judgements: Vec<Judgement> = cards[1..].iter().map(against).collect();
        super::super::comparison(cards, &judgements).unwrap()
    }

    /// A run as it was, and others whose memory answers later.
    fn slower(count: usize) -> Vec<Summary> {
        let still = Weather { rounds: 1.0, sessions: 0.0, disturbed: 0.0 };
        let mut machine = Simulator::new(&recorded(), Prior::embedded(), still, 1);
        let mut cards = vec![machine.run().clone()];
        let effects =
            "id = \"x\"\ntitle = \"x\"\neffects = [{ group = \"memory_latency\", worse = 1.5 }]";
        let slower: Scenario = toml::from_str(effects).unwrap();
        machine.break_down(&slower);
        cards.extend((1..count).map(|_| machine.run().clone()));
        cards
    }

    #[test]
    fn what_differs_stands_on_top_and_what_does_not_is_not_there() {
        let page = page(&slower(2));
        let (top, rest) = page.split_once("What these cards could have shown").unwrap();
        assert!(top.contains("B: memory latency"), "{top}");
        let (_, differs) = top.split_once("What differs, largest first").unwrap();
        assert!(differs.contains("memory.latency.dram_ns") && differs.contains("slower"));
        for other in ["simd.", "branch.", "os."] {
            assert!(!differs.contains(&format!("<code>{other}")), "{other}");
            assert!(rest.contains(&format!("<code>{other}")), "{other}");
        }
        balanced(&page);
    }

    #[test]
    fn what_is_alike_says_so() {
        let page = page(&[recorded(), slower(1).remove(0)]);
        assert!(page.contains("B cannot be told from A in any of"));
        assert!(page.contains("No value differs beyond its noise"));
    }

    #[test]
    fn eight_cards_have_a_column_each() {
        let page = page(&slower(8));
        for letter in ["B", "H"] {
            assert!(page.contains(&format!("{letter}: memory latency")), "{letter}");
            assert!(page.contains(&format!(">{letter} is</th>")), "{letter}");
        }
        assert!(page.contains("shift-") && !page.contains("class=\"plot\""));
        assert!(page.len() < 3 << 20, "{} bytes", page.len());
        balanced(&page);
    }

    #[test]
    fn machines_that_have_nothing_in_common_are_told_apart_by_their_facts() {
        let page = page(&[recorded(), cores(64)]);
        assert!(page.contains("Not the same on all of them") && page.contains("design of core"));
        assert!(page.contains("Nothing of B can be held against A"));
        assert!(page.contains("No value can be judged") && !page.contains("id=\"seen\""));
    }

    #[test]
    fn nothing_of_a_card_becomes_markup() {
        let page = page(&[recorded(), hostile()]);
        assert!(!page.contains("<script>alert") && !page.contains("\" onload="));
        assert!(page == card::clean::lines(&page), "a character that steers");
    }

    #[test]
    fn factors_are_told_in_the_direction_of_the_unit() {
        assert_eq!(by(1.62, Unit::Ns), "1.62× slower");
        assert_eq!(by(0.5, Unit::Gbs), "2.00× faster");
        assert_eq!(by(1.02, Unit::Ns), "2.0 % slower");
        assert_eq!(by(1.0, Unit::Ns), "equal");
        assert_eq!(by(2.0, Unit::Bytes), "2.00×");
        assert_eq!((shade(1.0), shade(0.3), shade(4.0)), (3, 0, 6));
    }
}
