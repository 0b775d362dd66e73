//! What the page's template is filled in with: finished texts, nothing to compute.

use std::collections::BTreeMap;

use card::declare::Unit;
use serde::Serialize;

use super::counter_table::Counters;
use super::plots::table::Table;
use super::plots::{self, Picture};
use crate::report::view::ladder::{self, Rung};
use crate::report::view::unit_twins::{self, Line};
use crate::report::view::{bandwidth, each_cpu, machine_view};
use card::file::{End, EndState};
use card::findings::{Finding, Group};
use card::format;
use card::machine;
use card::metrics::{State, Value};
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
    /// Whether the card in one picture lies beside the page.
    has_card: bool,
    parts: Vec<Part>,
    ladder: LadderView,
    each_cpu: Option<each_cpu::Table>,
    bandwidth: Option<BandwidthView>,
    families: Vec<FamilyView>,
    /// Lines of all families.
    metrics: usize,
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
    mark: &'static str,
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
    /// The code, with a number from the second of its kind on.
    id: String,
    code: String,
    headline: String,
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
    mark: &'static str,
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

/// A number, and what may be thought of it.
#[derive(Default, Serialize)]
struct RateView {
    text: String,
    mark: &'static str,
}

#[derive(Serialize)]
struct FamilyView {
    name: String,
    rows: Vec<MetricRow>,
    gaps: Vec<GapView>,
}

#[derive(Serialize)]
struct MetricRow {
    id: String,
    summary: String,
    mark: &'static str,
    value: String,
    interval: String,
    range: Option<RangeView>,
    cycles: String,
    states: String,
    reason: String,
    claim: String,
    /// A finding says that the claim does not hold.
    claim_fails: bool,
    published: String,
    source: String,
    off: String,
}

/// The ends of an interval on a scale from a quarter below the value, which is 0, to a quarter above it,
/// which is 100.
#[derive(Debug, PartialEq, Serialize)]
struct RangeView {
    low: u8,
    high: u8,
}

/// Metrics without a value for one reason.
#[derive(Serialize)]
struct GapView {
    count: String,
    ids: String,
    reason: String,
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
        let families = families(summary);
        Page {
            title: header.machine.title(),
            verdict: verdict_view(&Verdict::of(summary)),
            date: format::moment(&header.start),
            tool: format!("{} {} ({})", tool.name, tool.version, tool.revision),
            run: run(summary),
            headlines: headlines(summary),
            findings: finding_groups(summary),
            has_card: plots::has_card(summary),
            parts: parts(summary, pictures),
            ladder: ladder_view(summary, pictures),
            each_cpu: each_cpu::table(card),
            bandwidth: bandwidth_view(summary),
            metrics: families.iter().map(|f| f.rows.len()).sum(),
            families,
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
        let number = format::measured(value);
        (!number.is_empty()).then_some(())?;
        Some(Headline { number, text: text.into(), mark: mark(value) })
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
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut group = |group: Group| {
        let of_group = summary.findings.iter().filter(|f| f.group == group);
        let findings = of_group.map(|found| {
            let times = seen.entry(&found.code).or_default();
            *times += 1;
            let again = if *times > 1 { format!("-{times}") } else { String::new() };
            finding(found, format!("{}{again}", found.code))
        });
        FindingGroup { id: group.word(), title: group.title(), findings: findings.collect() }
    };
    let groups = Group::ALL.into_iter().map(&mut group);
    groups.filter(|group| !group.findings.is_empty()).collect()
}

fn finding(finding: &Finding, id: String) -> FindingView {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    FindingView {
        id,
        code: finding.code.clone(),
        headline: finding.headline.clone(),
        // Unless the headline gives it.
        interval: text(&finding.interval.clone().filter(|i| !finding.headline.contains(i))),
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
        mark: here.map_or("", |h| plots::spread_mark(h.noisy, h.grade)),
        why: rung.here.as_ref().err().cloned().unwrap_or_default(),
        but: rung.but.filter(|_| here.is_some()).unwrap_or_default(),
        years: years.iter().map(|y| quoted(rung.beside(y.year), y.year)).collect(),
        latest: quoted(rung.latest(), reference::LATEST),
    }
}

/// Families with their metrics: those that have a value, and what is missing by its reason.
fn families(summary: &Summary) -> Vec<FamilyView> {
    let families = unit_twins::families(&summary.metrics).into_iter();
    let view = |family: unit_twins::Family<'_>| {
        let (missing, there): (Vec<&Line<'_>>, Vec<&Line<'_>>) =
            family.lines.iter().partition(|line| line.main.state == State::Unavailable);
        let gaps = unit_twins::by_reason(&missing).into_iter().map(|(reason, ids)| GapView {
            count: format::count(ids.len(), "metric"),
            ids: ids.join(", "),
            reason,
        });
        FamilyView {
            name: family.name.to_owned(),
            gaps: gaps.collect(),
            rows: there.into_iter().map(|line| metric(summary, line)).collect(),
        }
    };
    families.map(view).collect()
}

fn bandwidth_view(summary: &Summary) -> Option<BandwidthView> {
    let rows = bandwidth::rows(&summary.metrics);
    let missing = bandwidth::missing(&rows).into_iter();
    (!rows.is_empty()).then(|| BandwidthView {
        levels: bandwidth::LEVELS.iter().map(|(_, name)| *name).collect(),
        rows: rows.iter().map(kernel).collect(),
        missing: missing.map(|(why, cells)| format!("{}: {why}", cells.join("; "))).collect(),
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
    let text = if value.value.is_some() { format::bare(value) } else { "–".to_owned() };
    RateView { text, mark: mark(value) }
}

/// How far a number may be trusted: as in the pictures, and `≠` where two methods disagree.
fn mark(value: &Value) -> &'static str {
    if value.state == State::Inconsistent { "≠" } else { plots::mark(value) }
}

fn metric(summary: &Summary, line: &Line<'_>) -> MetricRow {
    let value = line.main;
    let machine = &summary.card.header.machine;
    let beside = [line.cycles, Some(value)].into_iter().flatten();
    let beside = beside.filter_map(|v| Some((v, machine_view::published(machine, v)?))).next();
    let rests_on = |f: &&Finding| f.evidence.contains(&value.id);
    let off = beside.as_ref().and_then(|(v, p)| p.off(format::believable(v)?));
    let mut on_it = summary.findings.iter().filter(rests_on);
    let is_bound = on_it.clone().any(|f| f.code == LOWER_BOUND);
    let (published, source) = beside.map(|(_, p)| (p.text, p.source)).unwrap_or_default();
    let claim = machine_view::claimed(machine, &value.id).unwrap_or_default();
    let symbol = value.value.map_or("", |v| format::scale(v, value.unit).symbol);
    MetricRow {
        id: if line.cycles.is_some() {
            format!("{}_ns, _cycles", line.name)
        } else {
            line.name.to_owned()
        },
        summary: value.summary.clone(),
        mark: mark(value),
        value: format::shown(value),
        interval: format::interval(value),
        range: range(value),
        cycles: line
            .cycles
            .filter(|c| format::believable(c).is_some())
            .map(format::bare)
            .unwrap_or_default(),
        states: format::states(value),
        reason: value.reason.clone().filter(|_| !value.only_differs).unwrap_or_default(),
        claim_fails: !claim.is_empty() && on_it.any(|f| f.group == Group::Claim),
        claim,
        published: match published.strip_suffix(symbol) {
            Some(bare) if !symbol.is_empty() => bare.trim_end().to_owned(),
            _ => published,
        },
        source,
        off: off.filter(|_| !is_bound).unwrap_or_default(),
    }
}

/// The code of findings on numbers whose method ends before what it measures.
const LOWER_BOUND: &str = "LOWER_BOUND";

/// `None` where no interval can be seen on the scale.
fn range(value: &Value) -> Option<RangeView> {
    let middle = format::believable(value).filter(|v| *v > 0.0)?;
    let at = |end: f64| (50.0 + 200.0 * (end / middle - 1.0)).clamp(0.0, 100.0).round() as u8;
    let (low, high) = (at(value.low?), at(value.high?));
    (low < high).then_some(RangeView { low, high })
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

    #[test]
    fn every_metric_has_a_row_or_a_reason() {
        let summary = fixture::summary();
        let families = families(&summary);
        let of = |id: &str| families.iter().flat_map(|f| &f.rows).find(|r| r.id == id).unwrap();
        let gaps = families.iter().flat_map(|f| &f.gaps);
        let missing: usize = gaps.map(|gap| gap.ids.split(", ").count()).sum();
        let rows: usize = families.iter().map(|f| f.rows.len()).sum();
        let lines: usize =
            unit_twins::families(&summary.metrics).iter().map(|f| f.lines.len()).sum();
        assert_eq!(rows + missing, lines);
        assert!(missing > 10, "{missing}");
        let l1 = of("memory.latency.l1_ns, _cycles");
        assert_eq!((l1.mark, l1.cycles.as_str()), ("", "4.00"));
        assert_eq!((l1.published.as_str(), l1.off.as_str()), ("4 cycles", "in range"));
        assert_eq!(of("cache.line_bytes").mark, "≠");
        let l3 = of("cache.l3_effective_bytes");
        assert!(l3.claim_fails && l3.claim == "32 MiB", "{}", l3.claim);
    }

    #[test]
    fn a_range_is_seen_against_a_quarter_of_the_value() {
        let summary = fixture::recorded();
        let mut value = summary.metrics.get("memory.latency.l1_ns").unwrap().clone();
        let mut of = |value_at, low, high| {
            (value.value, value.low, value.high) = (Some(value_at), Some(low), Some(high));
            range(&value)
        };
        assert_eq!(of(100.0, 90.0, 105.0), Some(RangeView { low: 30, high: 60 }));
        assert_eq!(of(100.0, 1.0, 1e308), Some(RangeView { low: 0, high: 100 }));
        assert_eq!(of(100.0, 100.0, 100.0), None);
        assert_eq!(of(-1.0, -2.0, 3.0), None);
    }

    #[test]
    fn findings_are_found_by_their_code() {
        let mut summary = fixture::recorded();
        summary.findings = [&summary.findings[..], &summary.findings[..1]].concat();
        let groups = finding_groups(&summary);
        let ids: Vec<&str> =
            groups.iter().flat_map(|g| &g.findings).map(|f| f.id.as_str()).collect();
        let distinct: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!((ids.len(), distinct.len()), (summary.findings.len(), ids.len()));
        assert!(ids.contains(&"L3_CAPACITY"), "{ids:?}");
    }
}
