//! What the page's template is filled in with: finished texts, nothing to compute.

use card::declare::Unit;
use serde::Serialize;

use super::counter_table::Counters;
use super::plots::{self, Picture};
use crate::report::view::ladder::{self, Rung};
use crate::report::view::unit_twins::{self, Line};
use crate::report::view::{bandwidth, each_cpu, machine_view};
use card::file::{End, EndState};
use card::findings::Finding;
use card::format;
use card::machine;
use card::metrics::{Grade, State, Value};
use card::record::{Fail, Skip};
use card::reference::{self, List, Row};
use card::summary::Summary;

/// The whole page.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    title: String,
    date: String,
    tool: String,
    run: String,
    headlines: Vec<Headline>,
    findings: Vec<FindingView>,
    pictures: Vec<PictureView>,
    /// The ladder beside each version of the list.
    ladders: Vec<LadderView>,
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
struct FindingView {
    group: &'static str,
    text: String,
    metrics: String,
}

#[derive(Serialize)]
struct PictureView {
    name: &'static str,
    title: String,
    caption: String,
    svg: String,
}

/// The ladder beside one version of the list.
#[derive(Serialize)]
struct LadderView {
    year: u16,
    author: &'static str,
    computed: bool,
    /// Shown unless the reader chooses another one.
    first: bool,
    /// What became faster since then.
    progress: String,
    /// Empty when the card has none of the numbers.
    svg: String,
    rows: Vec<RungView>,
}

#[derive(Serialize)]
struct RungView {
    label: &'static str,
    value: String,
    interval: String,
    noisy: bool,
    why: String,
    but: &'static str,
    old: String,
    old_ratio: String,
    new: String,
    new_ratio: String,
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
            date: format::moment(&header.start),
            tool: format!("{} {} ({})", tool.name, tool.version, tool.revision),
            run: run(summary),
            headlines: headlines(summary),
            findings: summary.findings.iter().map(finding).collect(),
            pictures: pictures.iter().map(picture).collect(),
            ladders: ladders(summary),
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
        ("memory.latency.l1_ns", "to read from the first cache"),
        ("memory.latency.dram_ns", "to read from main memory"),
        ("memory.bandwidth.read.dram_gbs", "read from main memory by one thread"),
        ("branch.mispredict_ns", "for a branch that was guessed wrong"),
        ("clock.core_ghz", "core clock under load"),
        ("noise.gap_ratio", "of the time taken away by others"),
    ]
    .into_iter()
    .filter_map(|(id, text)| {
        let value = summary.metrics.get(id)?;
        let number = format::quantity(format::believable(value)?, value.unit);
        Some(Headline { number, text: text.into(), noisy: value.state == State::Noisy })
    })
    .collect()
}

fn finding(finding: &Finding) -> FindingView {
    FindingView {
        group: finding.group.word(),
        text: finding.text(),
        metrics: finding.evidence.join(", "),
    }
}

fn picture(picture: &Picture) -> PictureView {
    PictureView {
        name: picture.name,
        title: picture.title.clone(),
        caption: picture.caption.clone(),
        svg: plots::themed(&picture.svg),
    }
}

fn ladders(summary: &Summary) -> Vec<LadderView> {
    let rungs = ladder::rungs(summary);
    let extras = ladder::extras(summary);
    let drawn = plots::ladders(summary);
    let lists = reference::ladder();
    let years = lists.years().into_iter().filter(|y| *y != reference::LATEST);
    years
        .filter_map(|year| {
            let list = lists.of(year)?;
            let svg = drawn.iter().find(|(of, _)| *of == year);
            Some(LadderView {
                year,
                author: &list.author,
                computed: list.computed,
                first: year == reference::QUOTED,
                progress: ladder::progress(&rungs, year).unwrap_or_default(),
                svg: svg.map(|(_, svg)| plots::themed(svg)).unwrap_or_default(),
                rows: rungs.iter().chain(&extras).map(|r| rung(r, year)).collect(),
            })
        })
        .collect()
}

fn rung(rung: &Rung, year: u16) -> RungView {
    let here = rung.here.as_ref().ok();
    let quoted = |quote: Option<reference::Quote>, column| {
        let other = |q: reference::Quote| q.list.year.filter(|y| *y != column);
        let other = quote.and_then(other).map(|y| format!(" ({y})")).unwrap_or_default();
        quote.map(|q| format!("{}{other}", format::quoted(q.ns, Unit::Ns))).unwrap_or_default()
    };
    let ratio = |quote: Option<reference::Quote>| {
        here.zip(quote).map(|(h, q)| ladder::ratio(h, q).text).unwrap_or_default()
    };
    RungView {
        label: rung.label(),
        value: here.map(|h| h.text()).unwrap_or_default(),
        interval: here.map(|h| h.interval()).unwrap_or_default(),
        noisy: here.is_some_and(|h| h.noisy),
        why: rung.here.as_ref().err().cloned().unwrap_or_default(),
        but: rung.but.filter(|_| here.is_some()).unwrap_or_default(),
        old: quoted(rung.beside(year), year),
        old_ratio: ratio(rung.beside(year)),
        new: quoted(rung.latest(), reference::LATEST),
        new_ratio: ratio(rung.latest()),
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
