//! Cards side by side: up to four curves in a panel, from five cards on each in a panel of its own among
//! all others; and how far the CPUs of each are from one another.

use std::collections::BTreeSet;

use card::declare::{Better, Unit};
use card::estimate::middle;
use card::format;
use card::machine::Relation;
use card::summary::Summary;
use card::view::core_matrix::{self, Pair};

use super::canvas::{Dash, Sheet, Spot, Symbol};
use super::chart::{Chart, Panel};
use super::core_to_core::{MATRIX, block, claim, l3_borders, matrix};
use super::curves::{Curves, Scale, Series, bytes, ends, time};
use super::heat::Heat;
use super::measured::{metric, text_of};
use super::table::{Cell, Table};
use super::theme::{FAINT, INK, Ink, OTHERS};
use super::{Picture, bandwidth, staircase, themed};

pub use super::heat::FACTORS;

/// Curves that a panel holds.
const TOGETHER: usize = 4;
/// Curves that are nowhere further apart are one.
const COINCIDE: f64 = 0.02;

/// How each card is drawn: the first is what the others are held against.
const LOOKS: [(Symbol, Dash); 8] = [
    (Symbol::Dot, Dash::Solid),
    (Symbol::Square, Dash::Of(&[8.0, 4.0])),
    (Symbol::Diamond, Dash::Of(&[2.0, 3.0])),
    (Symbol::Up, Dash::Of(&[10.0, 3.0, 2.0, 3.0])),
    (Symbol::Down, Dash::Of(&[14.0, 5.0])),
    (Symbol::Plus, Dash::Of(&[4.0, 2.0])),
    (Symbol::Cross, Dash::Of(&[1.0, 3.0])),
    (Symbol::Ring, Dash::Of(&[6.0, 2.0, 1.0, 2.0])),
];

/// Cards that can be told apart.
pub const MOST: usize = LOOKS.len();

/// A card, and what it is called: `B · 29 Nov`.
pub struct Subject<'a> {
    /// What was measured.
    pub summary: &'a Summary,
    /// Its letter, with what tells it apart.
    pub name: String,
}

/// `A`, `B`, …
pub fn letter(card: usize) -> char {
    char::from(b'A' + card as u8)
}

fn ink(card: usize) -> Ink {
    card.checked_sub(1).map_or(INK, |other| OTHERS[other])
}

fn width(card: usize) -> f64 {
    if card == 0 { 2.8 } else { 2.0 }
}

/// A piece of a card's line, for the page.
pub fn swatch(card: usize) -> String {
    let (symbol, dash) = LOOKS[card];
    let mut sheet = Sheet::new(52.0, 16.0);
    sheet.path(&[(0.0, 8.0), (52.0, 8.0)], width(card), ink(card), dash);
    sheet.symbol(symbol, (26.0, 8.0), 5.0, ink(card));
    let line = format!("the line of card {}", letter(card));
    themed(&sheet.svg(&line, &line))
}

/// The pictures for which two cards or more have data.
pub fn pictures(cards: &[Subject<'_>]) -> Vec<Picture> {
    let drawn = [latency(cards), read(cards), matrices(cards)].into_iter().flatten();
    drawn.map(Picture::of).collect()
}

/// What is read rather than seen.
pub fn tables(cards: &[Subject<'_>]) -> Vec<Table> {
    distances(cards).into_iter().collect()
}

/// The curve of one card.
struct Line {
    card: usize,
    name: String,
    value: String,
    points: Vec<Spot>,
}

/// The cards that have a curve, and its number; `None` if fewer than two have one.
fn lines(
    cards: &[Subject<'_>],
    points: impl Fn(&Summary) -> Vec<Spot>,
    id: &str,
) -> Option<Vec<Line>> {
    let line = |(card, subject): (usize, &Subject<'_>)| {
        let points = points(subject.summary);
        let value = text_of(subject.summary, id).unwrap_or_default();
        (!points.is_empty()).then(|| Line { card, name: subject.name.clone(), value, points })
    };
    let lines: Vec<Line> = cards.iter().enumerate().filter_map(line).collect();
    (lines.len() > 1).then_some(lines)
}

/// Those that coincide are one, with the names of all.
fn series(lines: &[Line]) -> Vec<Series> {
    let all = lines.iter().map(|line| (line.name.clone(), line.points.clone())).collect();
    let merged = bandwidth::merged(all, COINCIDE, " = ").into_iter();
    let series = merged.filter_map(|(name, points)| {
        let line = lines.iter().find(|line| line.points == points)?;
        Some(Series { symbol: symbol(line.card), ..drawn(line, name) })
    });
    series.collect()
}

fn symbol(card: usize) -> Option<(Symbol, usize)> {
    // Symbols of cards whose curves lie close together lie side by side.
    Some((LOOKS[card].0, 2 * card))
}

fn drawn(line: &Line, name: String) -> Series {
    let (ink, dash, width) = (ink(line.card), LOOKS[line.card].1, width(line.card));
    Series::main(&name, line.value.clone(), line.points.clone()).look(ink, dash, width)
}

/// One panel, or one for each card in which all others are grey.
fn panels(lines: &[Line], scales: impl Fn() -> (Scale, Scale)) -> Vec<Panel> {
    let panel = |title: &str, series| {
        let (x, y) = scales();
        let mut curves = Curves::new(x, y, series);
        title.clone_into(&mut curves.title);
        Panel::Curves(curves)
    };
    if lines.len() <= TOGETHER {
        return vec![panel("", series(lines))];
    }
    let alone = |line: &Line| {
        let others = lines.iter().filter(|other| other.card != line.card);
        let grey = |other: &Line| {
            Series::main("", String::new(), other.points.clone()).look(FAINT, Dash::Solid, 1.2)
        };
        let own = drawn(line, letter(line.card).to_string());
        panel(&line.name, [own].into_iter().chain(others.map(grey)).collect())
    };
    lines.iter().map(alone).collect()
}

/// `A 161 ns, B 163 ns`
fn said(lines: &[Line]) -> String {
    let one = |line: &Line| format!("{} {}", letter(line.card), line.value).trim().to_owned();
    lines.iter().map(one).collect::<Vec<String>>().join(", ")
}

fn of_curves(
    name: &'static str,
    (title, subtitle): (&str, &str),
    lines: &[Line],
    scales: impl Fn((f64, f64), (f64, f64)) -> (Scale, Scale),
) -> Chart {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (x_low, x_high) = ends(points().map(|p| p.0));
    let (y_low, y_high) = ends(points().map(|p| p.1));
    let (x, y) = ((x_low, x_high.max(x_low * 2.0)), (y_low * 0.8, y_high * 1.25));
    let title = format!("{title}: {}", said(lines));
    Chart {
        name,
        says: format!("{title}."),
        title,
        subtitle: subtitle.into(),
        caption: String::new(),
        machine: String::new(),
        panels: panels(lines, || scales(x, y)),
    }
}

fn latency(cards: &[Subject<'_>]) -> Option<Chart> {
    let lines = lines(cards, staircase::random, "memory.latency.dram_ns")?;
    let texts = (
        "DRAM latency",
        "One dependent random load at a time, by working set, in the largest pages to be had",
    );
    Some(of_curves("latency", texts, &lines, |x, y| {
        let below = Scale::doubling("working set, log", x, bytes);
        (below, Scale::log("load-to-use latency, log", y, time))
    }))
}

fn read(cards: &[Subject<'_>]) -> Option<Chart> {
    let widest = |summary: &Summary| {
        let widest = bandwidth::lines(summary).into_iter().next();
        widest.map(|line| line.1).unwrap_or_default()
    };
    let lines = lines(cards, widest, "memory.bandwidth.read.dram_gbs")?;
    let texts = (
        "DRAM read bandwidth of one thread",
        "Read bandwidth of one thread by working set, at the widest loads of each machine",
    );
    Some(of_curves("read", texts, &lines, |x, y| {
        let below = Scale::doubling("working set, log", x, bytes);
        (below, Scale::log("read, GB/s, log", y, format::plain))
    }))
}

fn pairs(subject: &Subject<'_>) -> Vec<Pair> {
    core_matrix::pairs(&subject.summary.card, "cas")
}

/// Of two cards of as many CPUs: both matrices in the same colours, and by what factor they differ.
fn matrices(cards: &[Subject<'_>]) -> Option<Chart> {
    let [a, b] = cards else { return None };
    let both = [pairs(a), pairs(b)];
    let order = core_matrix::order(&a.summary.card, &both[0]);
    let cpus = |order: Vec<usize>| BTreeSet::from_iter(order);
    let same = cpus(order.clone()) == cpus(core_matrix::order(&b.summary.card, &both[1]));
    (same && (MATRIX..=Heat::LARGEST).contains(&order.len())).then_some(())?;
    let cells = both.map(|pairs| matrix(&order, &pairs));
    let block = block(&cells[0])?.max(block(&cells[1])?);
    let factor = |(a, b): (&Option<f64>, &Option<f64>)| Some((*b)? / (*a)?);
    let rows = cells[0].iter().zip(&cells[1]);
    let factors: Vec<Vec<Option<f64>>> =
        rows.map(|(a, b)| a.iter().zip(b).map(factor).collect()).collect();
    let names: Vec<String> = order.iter().map(usize::to_string).collect();
    let groups = l3_borders(&a.summary.card.header.machine, &order);
    let heat = |cells: &[Vec<Option<f64>>], unit, title: &str| {
        let heat = Heat::in_blocks(names.clone(), names.clone(), cells, unit, block)?;
        let mut heat = heat.titled(title, "CPU", "CPU");
        heat.groups.clone_from(&groups);
        Some(heat)
    };
    let [first, second] = heat(&cells[0], Unit::Ns, &format!("{}, ns", a.name))?
        .on_one_scale(heat(&cells[1], Unit::Ns, &format!("{}, ns", b.name))?);
    let third = heat(&factors, Unit::Ratio, "B divided by A")?.of_factors();
    let medians = [a, b].map(|c| text_of(c.summary, "core_to_core.median_ns").unwrap_or_default());
    let title = format!("Core to core: A {}, B {} in the middle", medians[0], medians[1]);
    let blocks = if block > 1 {
        format!("Each cell is the median of {block} by {block} CPUs. ")
    } else {
        String::new()
    };
    let lines = if groups.is_empty() { "" } else { "White lines: another L3." };
    Some(Chart {
        name: "core_to_core",
        says: format!("{title}."),
        title,
        subtitle: "One-way transfer of a cache line by compare-and-swap, and B's times as multiples of A's"
            .into(),
        caption: format!("{blocks}{lines}").trim().to_owned(),
        machine: String::new(),
        panels: [first, second, third].map(Panel::Heat).into(),
    })
}

/// The middle pair of each kind that the machines claim.
fn distances(cards: &[Subject<'_>]) -> Option<Table> {
    let all: Vec<Vec<Pair>> = cards.iter().map(pairs).collect();
    (all.iter().filter(|pairs| !pairs.is_empty()).count() > 1).then_some(())?;
    let kinds = [
        Relation::Siblings,
        Relation::SameL3,
        Relation::OtherL3,
        Relation::OtherNode,
        Relation::Unclaimed,
    ];
    let letters: Vec<String> = (0..cards.len()).map(|card| letter(card).to_string()).collect();
    let heads: Vec<&str> = [""].into_iter().chain(letters.iter().map(String::as_str)).collect();
    let mut table =
        Table::new("distances", "Core to core, the median pair by what CPUs share".into(), &heads);
    for kind in kinds {
        let middle_of = |pairs: &Vec<Pair>| {
            let of_kind = pairs.iter().filter(|pair| pair.claimed == kind).map(Pair::ns);
            middle(&of_kind.collect::<Vec<f64>>(), Better::Lower)
        };
        let cell =
            |(pairs, subject): (&Vec<Pair>, &Subject<'_>)| match (middle_of(pairs), &pairs[..]) {
                // Of two CPUs the only pair has a metric.
                (Some(_), [_]) => Cell::of(metric(subject.summary, "core_to_core.median_ns")),
                (Some(ns), _) => Cell::plain(format::quantity(ns, Unit::Ns)),
                (None, _) => Cell::plain("–".into()),
            };
        let any = all.iter().any(|pairs| middle_of(pairs).is_some());
        table.row("", claim(kind), any.then(|| all.iter().zip(cards).map(cell).collect()));
    }
    table.filled()
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::super::theme::SHIFT;
    use super::*;
    use card::fixture;

    fn subjects(summaries: &[Summary]) -> Vec<Subject<'_>> {
        let subject =
            |(i, summary)| Subject { summary, name: format!("{} · 29 Nov 15:47", letter(i)) };
        summaries.iter().enumerate().map(subject).collect()
    }

    /// The recorded card, and others whose random loads take ever longer.
    fn slower(count: usize) -> Vec<Summary> {
        let slower = |i: usize| {
            let mut card = fixture::recorded().card;
            for point in card.points.iter_mut().filter(|p| p.quantity == "latency") {
                point.samples.iter_mut().for_each(|ns| *ns *= 1.0 + 0.2 * i as f64);
            }
            Summary::of(card)
        };
        (0..count).map(slower).collect()
    }

    #[test]
    fn up_to_four_cards_share_a_panel_and_more_have_their_own() {
        for (count, panels) in [(2, 1), (4, 1), (5, 5), (8, 8)] {
            let summaries = slower(count);
            let chart = latency(&subjects(&summaries)).unwrap();
            assert_eq!(chart.panels.len(), panels, "{count} cards");
            let svg = chart.svg(Form::Wide);
            for card in 0..count {
                assert!(svg.contains(ink(card).hex), "{count} cards: {}", letter(card));
            }
        }
        assert!(latency(&subjects(&[fixture::recorded()])).is_none());
        assert!(latency(&subjects(&[fixture::recorded(), fixture::empty()])).is_none());
    }

    #[test]
    fn curves_that_coincide_are_named_together() {
        let summaries = [fixture::recorded(), fixture::recorded()];
        let svg = latency(&subjects(&summaries)).unwrap().svg(Form::Wide);
        assert!(svg.contains("A · 29 Nov 15:47 = B · 29 Nov 15:47"), "{svg}");
        assert!(!svg.contains(ink(1).hex));
    }

    #[test]
    fn large_matrices_and_their_ratio_are_drawn_in_blocks() {
        let mut far = fixture::cores(256).card;
        let own = far.points.iter_mut().filter(|p| p.quantity == "one_way");
        own.for_each(|p| p.samples.iter_mut().for_each(|ns| *ns *= 1.6));
        let summaries = [fixture::cores(256), Summary::of(far)];
        let chart = matrices(&subjects(&summaries)).unwrap();
        let heats: Vec<&Heat> = chart
            .panels
            .iter()
            .map(|panel| match panel {
                Panel::Heat(heat) => heat,
                _ => panic!("a matrix"),
            })
            .collect();
        assert_eq!(heats.iter().map(|heat| heat.block()).collect::<Vec<_>>(), [8, 8, 8]);
        let svg = chart.svg(Form::Wide);
        assert!(svg.contains("B divided by A") && svg.len() < 400_000, "{}", svg.len());
        // 1.6 times as far is one shade of more; the legend has each shade once.
        let cells = |shade: usize| svg.matches(SHIFT[shade].hex).count() - 1;
        assert!(cells(5) > 30 && cells(0) == 0, "{} {}", cells(5), cells(0));
        let table = distances(&subjects(&summaries)).unwrap();
        let rows: Vec<&str> = table.groups[0].rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(rows, ["same L3", "other L3", "other node"]);
        // Machines of different sizes have no common matrix.
        let unlike = [fixture::cores(16), fixture::cores(32)];
        assert!(matrices(&subjects(&unlike)).is_none());
        assert!(distances(&subjects(&unlike)).is_some());
    }

    #[test]
    fn no_text_is_cut_or_lies_on_another() {
        let many = slower(8);
        let cores = [fixture::cores(64), fixture::cores(64)];
        for summaries in [&many[..2], &many[..4], &many, &cores] {
            let subjects = subjects(summaries);
            let charts = [latency(&subjects), read(&subjects), matrices(&subjects)];
            for chart in charts.into_iter().flatten() {
                for form in [Form::Wide, Form::Narrow] {
                    chart.sheet(form).assert_words_are_apart(chart.name);
                }
            }
        }
    }
}
