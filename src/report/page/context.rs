//! What the page's template is filled in with: finished texts, nothing to compute.

use card::declare::Unit;
use serde::Serialize;

use super::counter_table::Counters;
use super::plots::table::Table;
use super::plots::{self, Picture};
use crate::report::view::ladder::{self, Rung};
use crate::report::view::unit_twins::{self, Line};
use crate::report::view::{bandwidth, each_cpu, machine_view};
use card::file::{End, EndState};
use card::findings::{Finding, Group, times};
use card::format;
use card::machine;
use card::metrics::{Grade, State, Value};
use card::record::{Fail, Skip};
use card::reference::{self, List, Row};
use card::summary::Summary;
use card::verdict::{Area, Verdict, Word};

/// The whole page.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    title: String,
    verdict: VerdictView,
    date: String,
    tool: String,
    run: String,
    headlines: Vec<Headline>,
    findings: Vec<FindingGroup>,
    parts: Vec<Part>,
    ladder: LadderView,
    each_cpu: Option<each_cpu::Table>,
    bandwidth: Option<BandwidthView>,
    families: Vec<FamilyView>,
    counters: Option<Counters>,
    machine: Vec<machine::Row>,
    skips: &'a [Skip],
    failures: &'a [Fail],
    remarks: &'a [String],
    /// The versions that have a column.
    lists: Vec<&'static List>,
    /// Those and the collections of single figures.
    sources: &'static [List],
    versions: Vec<VersionRow>,
}

#[derive(Serialize)]
struct Headline {
    number: String,
    text: String,
    noisy: bool,
}

#[derive(Serialize)]
struct VerdictView {
    word: String,
    class: &'static str,
    sentence: String,
    /// What may be trusted, what is published and measured again, and how many values repeat.
    lines: Vec<String>,
}

/// The findings of one group.
#[derive(Serialize)]
struct FindingGroup {
    id: &'static str,
    title: &'static str,
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct FindingView {
    code: String,
    headline: String,
    claimed: String,
    measured: String,
    interval: String,
    cause: String,
    action: String,
    metrics: String,
}

/// A part of the machine with its pictures and tables.
#[derive(Serialize)]
struct Part {
    id: &'static str,
    title: &'static str,
    pictures: Vec<PictureView>,
    tables: Vec<Table>,
}

/// The parts, with the names of what belongs to each.
const PARTS: [(&str, &str, &[&str]); 4] = [
    (
        "memory",
        "Memory",
        &["levels", "staircase", "bandwidth", "tlb", "parallelism", "loaded_latency", "numa"],
    ),
    ("core", "Core", &["structures", "branch", "vectors", "speed_up", "store_forwarding", "clock"]),
    ("sharing", "Sharing", &["core_to_core", "false_sharing", "scaling", "noise"]),
    ("system", "System", &["switches", "switch_ring", "prices", "storage", "idioms"]),
];

#[derive(Serialize)]
pub(super) struct PictureView {
    name: &'static str,
    title: String,
    subtitle: String,
    caption: String,
    wide: String,
    narrow: String,
}

/// The ladder beside all versions of the list, of which the reader sees one.
#[derive(Serialize)]
struct LadderView {
    years: Vec<YearView>,
    /// `None` when the card has none of the numbers.
    picture: Option<PictureView>,
    rows: Vec<RungView>,
}

#[derive(Serialize)]
struct YearView {
    year: u16,
    author: &'static str,
    computed: bool,
    /// Shown unless the reader chooses another one.
    first: bool,
}

#[derive(Serialize)]
struct RungView {
    label: &'static str,
    value: String,
    interval: String,
    noisy: bool,
    why: String,
    but: &'static str,
    years: Vec<QuoteView>,
    latest: QuoteView,
}

/// A line in a version of the list, and how this machine stands to it.
#[derive(Serialize)]
struct QuoteView {
    year: u16,
    text: String,
    ratio: String,
}

/// The bandwidths as a table.
#[derive(Serialize)]
struct BandwidthView {
    levels: Vec<&'static str>,
    rows: Vec<KernelView>,
    /// Cells without a value, and why.
    missing: Vec<String>,
    /// The same, metric by metric.
    families: Vec<FamilyView>,
}

#[derive(Serialize)]
struct KernelView {
    kernel: String,
    words: &'static str,
    /// In the order of the levels.
    cells: Vec<[RateView; 2]>,
    all_threads: RateView,
    bus: RateView,
}

/// A number, the state that must not be overlooked, and the spread between rounds or the reason.
#[derive(Default, Serialize)]
struct RateView {
    text: String,
    state: &'static str,
    more: String,
}

#[derive(Serialize)]
struct FamilyView {
    name: String,
    rows: Vec<MetricRow>,
}

#[derive(Serialize)]
struct MetricRow {
    id: String,
    summary: String,
    value: String,
    interval: String,
    cycles: String,
    state: &'static str,
    grade: &'static str,
    states: String,
    reason: String,
    published: String,
    source: String,
    claim: String,
    rounds: u32,
}

#[derive(Serialize)]
struct VersionRow {
    label: &'static str,
    values: Vec<String>,
    note: String,
}

impl<'a> Page<'a> {
    pub(super) fn of(summary: &'a Summary, pictures: &[Picture]) -> Page<'a> {
        let card = &summary.card;
        let header = &card.header;
        let tool = &header.tool;
        Page {
            title: header.machine.title(),
            verdict: verdict_view(&Verdict::of(summary)),
            date: format::moment(&header.start),
            tool: format!("{} {} ({})", tool.name, tool.version, tool.revision),
            run: run(summary),
            headlines: headlines(summary),
            findings: finding_groups(summary),
            parts: parts(summary, pictures),
            ladder: ladder_view(summary, pictures),
            each_cpu: each_cpu::table(card),
            bandwidth: bandwidth_view(summary),
            families: families(summary, |id| !bandwidth::in_table(id)),
            counters: Counters::of(card),
            machine: header.machine.rows(),
            skips: &card.skips,
            failures: &card.fails,
            remarks: &card.remarks,
            lists: main_lists().collect(),
            sources: &reference::ladder().lists,
            versions: versions(),
        }
    }
}

fn run(summary: &Summary) -> String {
    let plan = &summary.card.header.plan;
    let end = match &summary.card.end {
        Some(End { state: EndState::Complete, wall_s }) => {
            format!("complete in {} s", format::quantity(wall_s.round(), Unit::Count))
        }
        Some(End { state: EndState::Unknown, .. }) => machine_view::UNKNOWN_END.to_owned(),
        _ => "interrupted before the end; run --resume goes on".to_owned(),
    };
    format!(
        "tier {}, {} rounds, CPU {} ({}), {end}",
        plan.tier, plan.rounds, plan.cpu, plan.cpu_reason
    )
}

/// The few numbers that a reader should take away.
fn headlines(summary: &Summary) -> Vec<Headline> {
    [
        ("memory.latency.l1_ns", "L1 load latency"),
        ("memory.latency.dram_ns", "DRAM load latency"),
        ("memory.bandwidth.read.dram_gbs", "DRAM read, one thread"),
        ("branch.mispredict_ns", "branch mispredict"),
        ("clock.core_ghz", "core clock"),
        ("noise.gap_ratio", "of CPU time lost to gaps"),
    ]
    .into_iter()
    .filter_map(|(id, text)| {
        let value = summary.metrics.get(id)?;
        let number = format::quantity(format::believable(value)?, value.unit);
        Some(Headline { number, text: text.into(), noisy: value.state == State::Noisy })
    })
    .collect()
}

fn verdict_view(verdict: &Verdict) -> VerdictView {
    let named = |areas: &[Area]| areas.iter().map(|a| a.title()).collect::<Vec<&str>>().join(", ");
    let [quote, read, avoid] = verdict.trust();
    let trust = [
        ("Trust ", quote, ""),
        ("Read ", read, " with the interval"),
        ("Do not compare ", avoid, ": rounds differ by more than 25 %"),
    ];
    let trust = trust.iter().filter(|part| !part.1.is_empty());
    let mut lines: Vec<String> =
        trust.map(|(before, areas, after)| format!("{before}{}{after}.", named(areas))).collect();
    let areas: Vec<String> = verdict
        .published
        .iter()
        .map(|r| format!("{} {} of {}", r.area.title(), r.within, r.of))
        .collect();
    if !areas.is_empty() {
        let (within, of) = verdict.all_published();
        lines.push(format!(
            "{within} of {of} published values reproduced within 5 %: {}.",
            areas.join(", ")
        ));
    }
    let [good, fair, poor] = verdict.grades();
    let all = good + fair + poor;
    if all > 0 {
        lines.push(format!(
            "{good} of {all} values repeat within 5 %, {fair} within 25 % (~), {poor} do not (?)."
        ));
    }
    VerdictView {
        word: verdict.word.to_string(),
        class: word_class(verdict.word),
        sentence: verdict.sentence.clone(),
        lines,
    }
}

/// How the style sheet calls a verdict.
pub(super) fn word_class(word: Word) -> &'static str {
    match word {
        Word::Pass => "pass",
        Word::Check => "check",
        Word::Fail => "fail",
    }
}

fn finding_groups(summary: &Summary) -> Vec<FindingGroup> {
    let group = |group: Group| {
        let of_group = summary.findings.iter().filter(|f| f.group == group);
        FindingGroup {
            id: group.word(),
            title: group.title(),
            findings: of_group.map(finding).collect(),
        }
    };
    Group::ALL.map(group).into_iter().filter(|group| !group.findings.is_empty()).collect()
}

fn finding(finding: &Finding) -> FindingView {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    FindingView {
        code: finding.code.clone(),
        headline: finding.headline.clone(),
        claimed: text(&finding.claimed),
        measured: finding.factor.map_or_else(|| text(&finding.measured), times),
        interval: text(&finding.interval),
        cause: text(&finding.cause),
        action: text(&finding.action),
        metrics: finding.evidence.join(", "),
    }
}

/// Pictures and tables by the part that they belong to; the ladder has a section of its own.
fn parts(summary: &Summary, pictures: &[Picture]) -> Vec<Part> {
    let mut tables = plots::tables(summary);
    let part = |(id, title, names): (&'static str, &'static str, &[&str])| {
        let of_part = |name: &str| names.contains(&name);
        let pictures: Vec<&Picture> = pictures.iter().filter(|p| of_part(p.name)).collect();
        let (own, others) = std::mem::take(&mut tables).into_iter().partition(|t| of_part(t.name));
        tables = others;
        Part { id, title, pictures: pictures.into_iter().map(picture).collect(), tables: own }
    };
    let parts: Vec<Part> = PARTS.into_iter().map(part).collect();
    parts.into_iter().filter(|p| !p.pictures.is_empty() || !p.tables.is_empty()).collect()
}

pub(super) fn picture(picture: &Picture) -> PictureView {
    PictureView {
        name: picture.name,
        title: picture.title.clone(),
        subtitle: picture.subtitle.clone(),
        caption: picture.caption.clone(),
        wide: plots::themed(&picture.wide),
        narrow: plots::themed(&picture.narrow),
    }
}

/// The picture that has a place of its own.
const LADDER: &str = "ladder";

fn ladder_view(summary: &Summary, pictures: &[Picture]) -> LadderView {
    let lists = reference::ladder();
    let years = lists.years().into_iter().filter(|y| *y != reference::LATEST);
    let years: Vec<YearView> = years
        .filter_map(|year| {
            let list = lists.of(year)?;
            let (author, computed) = (list.author.as_str(), list.computed);
            Some(YearView { year, author, computed, first: year == reference::QUOTED })
        })
        .collect();
    let rungs = ladder::rungs(summary).into_iter().chain(ladder::extras(summary));
    let rows = rungs.map(|r| rung(&r, &years)).collect();
    let picture = pictures.iter().find(|p| p.name == LADDER).map(picture);
    LadderView { picture, rows, years }
}

fn rung(rung: &Rung, years: &[YearView]) -> RungView {
    let here = rung.here.as_ref().ok();
    let quoted = |quote: Option<reference::Quote>, year| {
        let other = |q: reference::Quote| q.list.year.filter(|y| *y != year);
        let other = quote.and_then(other).map(|y| format!(" ({y})")).unwrap_or_default();
        let text = quote.map(|q| format!("{}{other}", format::quoted(q.ns, Unit::Ns)));
        let ratio = here.zip(quote).map(|(h, q)| ladder::ratio(h, q).text);
        QuoteView { year, text: text.unwrap_or_default(), ratio: ratio.unwrap_or_default() }
    };
    RungView {
        label: rung.label(),
        value: here.map(|h| h.text()).unwrap_or_default(),
        interval: here.map(|h| h.interval()).unwrap_or_default(),
        noisy: here.is_some_and(|h| h.noisy),
        why: rung.here.as_ref().err().cloned().unwrap_or_default(),
        but: rung.but.filter(|_| here.is_some()).unwrap_or_default(),
        years: years.iter().map(|y| quoted(rung.beside(y.year), y.year)).collect(),
        latest: quoted(rung.latest(), reference::LATEST),
    }
}

/// Families with those of their metrics that are wanted.
fn families(summary: &Summary, wanted: fn(&str) -> bool) -> Vec<FamilyView> {
    unit_twins::families(&summary.metrics)
        .into_iter()
        .map(|family| FamilyView {
            name: family.name.to_owned(),
            rows: family
                .lines
                .iter()
                .filter(|line| wanted(&line.main.id))
                .map(|line| metric(summary, line))
                .collect(),
        })
        .filter(|family| !family.rows.is_empty())
        .collect()
}

fn bandwidth_view(summary: &Summary) -> Option<BandwidthView> {
    let rows = bandwidth::rows(&summary.metrics);
    let missing = bandwidth::missing(&rows).into_iter();
    (!rows.is_empty()).then(|| BandwidthView {
        levels: bandwidth::LEVELS.iter().map(|(_, name)| *name).collect(),
        rows: rows.iter().map(kernel).collect(),
        missing: missing.map(|(why, cells)| format!("{}: {why}", cells.join("; "))).collect(),
        families: families(summary, bandwidth::in_table),
    })
}

fn kernel(row: &bandwidth::Row<'_>) -> KernelView {
    KernelView {
        kernel: row.kernel.to_owned(),
        words: bandwidth::words(row.kernel),
        cells: row.levels.iter().map(|cell| [rate(cell.gbs), rate(cell.per_cycle)]).collect(),
        all_threads: rate(row.all_threads),
        bus: rate(row.bus),
    }
}

fn rate(value: Option<&Value>) -> RateView {
    let Some(value) = value else { return RateView::default() };
    let text = value.value.map_or_else(|| "–".to_owned(), format::number);
    let more = match value.state {
        State::Ok => format::interval(value),
        _ => [Some(format::interval(value)), value.reason.clone()]
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .collect::<Vec<String>>()
            .join("; "),
    };
    RateView { text, state: value.state.word(), more }
}

fn metric(summary: &Summary, line: &Line<'_>) -> MetricRow {
    let value = line.main;
    let machine = &summary.card.header.machine;
    let of = |v: &Value| machine_view::published(machine, v);
    let (published, source) = line.cycles.and_then(of).or_else(|| of(value)).unwrap_or_default();
    let claim = machine_view::claimed(machine, &value.id).unwrap_or_default();
    MetricRow {
        id: if line.cycles.is_some() {
            format!("{}_ns, _cycles", line.name)
        } else {
            line.name.to_owned()
        },
        summary: value.summary.clone(),
        value: value.value.map(|v| format::quantity(v, value.unit)).unwrap_or_default(),
        interval: format::interval(value),
        cycles: line
            .cycles
            .and_then(|c| Some(format::quantity(format::believable(c)?, c.unit)))
            .unwrap_or_default(),
        state: value.state.word(),
        grade: match value.grade.filter(|_| value.state == State::Noisy) {
            Some(Grade::Within25) => "within 25 %",
            Some(Grade::Wider) => "wider than 25 %",
            Some(Grade::Within5) | None => value.state.word(),
        },
        states: format::states(value),
        reason: value.reason.clone().unwrap_or_default(),
        published,
        source,
        claim,
        rounds: value.rounds,
    }
}

fn main_lists() -> impl Iterator<Item = &'static List> {
    reference::ladder().lists.iter().filter(|l| !l.elsewhere)
}

/// The lines of the list, then those of other collections.
fn versions() -> Vec<VersionRow> {
    let ladder = reference::ladder();
    ladder.rows.iter().chain(&ladder.extras).filter(|row| !row.ns.is_empty()).map(version).collect()
}

fn version(row: &'static Row) -> VersionRow {
    let value = |list: &List| row.ns.get(&list.id).map(|ns| format::quoted(*ns, Unit::Ns));
    let elsewhere = reference::ladder().lists.iter().filter(|l| l.elsewhere).filter_map(|list| {
        let year = list.year.map(|y| format!(", {y}")).unwrap_or_default();
        Some(format!("{} ({}{year})", value(list)?, list.author))
    });
    let notes: Vec<String> = elsewhere.chain(row.note.clone()).collect();
    VersionRow {
        label: &row.label,
        values: main_lists().map(|list| value(list).unwrap_or_default()).collect(),
        note: notes.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn every_picture_and_table_belongs_to_one_part() {
        for summary in
            [fixture::summary(), fixture::recorded(), fixture::two_nodes(), fixture::cores(16)]
        {
            let drawn = plots::all(&summary);
            let parts = parts(&summary, &drawn);
            let pictures: Vec<&str> =
                parts.iter().flat_map(|p| &p.pictures).map(|p| p.name).collect();
            let tables: Vec<&str> = parts.iter().flat_map(|p| &p.tables).map(|t| t.name).collect();
            let expected = drawn.iter().map(|p| p.name).filter(|name| *name != LADDER).count();
            assert_eq!(pictures.len(), expected, "{pictures:?}");
            assert_eq!(tables.len(), plots::tables(&summary).len(), "{tables:?}");
        }
    }
}
