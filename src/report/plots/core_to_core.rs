//! Core to core: how long a line takes between any two CPUs. From four CPUs on a matrix, below a strip
//! of the states that the samples gather at.

use std::collections::{HashMap, HashSet};

use card::declare::Unit;
use card::estimate::states;
use card::machine::{Machine, Relation};

use super::chart::{Chart, Panel};
use super::curves::{Bar, Curves, Scale, ends, time};
use super::heat::Heat;
use super::measured::{listed, metric, told};
use card::format;
use card::summary::Summary;
use card::view::core_matrix::{self, Distance, Pair, SIBLINGS_NS};

/// From so many CPUs on there is a matrix.
pub(super) const MATRIX: usize = 4;
/// More kinds of distances than this are no kinds.
const MOST_KINDS: usize = 6;
/// Share of the cells that must be known.
const FILLED: f64 = 0.85;
/// Cells of a row, below which they are not made fewer.
const FEWEST: usize = 16;

/// `None` without a pair.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let pairs = core_matrix::pairs(&summary.card, "cas");
    let met = core_matrix::order(&summary.card, &pairs);
    (!pairs.is_empty() && met.len() <= Heat::LARGEST).then_some(())?;
    let all = met.len().max(summary.card.header.machine.allowed_cpus().len());
    let of = all * all.saturating_sub(1) / 2;
    let visited = (pairs.len() < of).then(|| format!("{} of {of} pairs measured", pairs.len()));
    let kinds = kinds(&pairs);
    let (panel, what, mut caption) = if met.len() < MATRIX {
        let (panel, samples) = strip(&pairs)?;
        (
            Panel::Curves(panel),
            format!("share of {}", format::count(samples, "sample")),
            String::new(),
        )
    } else {
        let (heat, caption) = matrix_panel(summary, met, &pairs, &kinds, visited.as_deref())?;
        (Panel::Heat(heat), "ns between all pairs of CPUs".into(), caption)
    };
    if let Some(visited) = visited {
        caption = format!("{visited}. {caption}");
    }
    let median = metric(summary, "core_to_core.median_ns");
    let title = match (&kinds[..], median) {
        ([(_, near)], Some(value)) => {
            let near = near.claims.first().map(|c| format!(" {c}")).unwrap_or_default();
            format!("Core to core: {}{near}", told(value))
        }
        ([_, _, ..], _) if pairs.len() == 1 => {
            let mut states = pairs[0].states();
            states.sort_by(|a, b| b.share.total_cmp(&a.share));
            let range = ends(states.iter().map(|s| s.value));
            let part = |s: &card::estimate::State| {
                let ns = format::within(s.value, range, Unit::Ns);
                format!("{ns} in {:.0} %", 100.0 * s.share)
            };
            let parts: Vec<String> = states.iter().map(part).collect();
            format!("Core to core: {} of samples", listed(&parts))
        }
        ([_, ..], _) if kinds.len() <= 3 => {
            let part = |(_, kind): &(f64, Kind)| {
                let claim = kind.claims.first().map(|c| format!(" {c}")).unwrap_or_default();
                format!("{}{claim}", kind.head)
            };
            format!("Core to core: {}", kinds.iter().map(part).collect::<Vec<_>>().join(", "))
        }
        ([], Some(value)) => format!("Core to core: {}", told(value)),
        _ => {
            let (low, high) = ends(pairs.iter().map(Pair::ns));
            format!("Core to core: {}", format::range(low, high, Unit::Ns))
        }
    };
    let says: Vec<String> = kinds.iter().map(|(_, kind)| kind.words()).collect();
    Some(Chart {
        name: "core_to_core",
        says: format!("{title}. {}.", says.join("; ")),
        title,
        subtitle: format!("One-way transfer of a cache line by compare-and-swap, {what}"),
        caption: caption.trim().to_owned(),
        machine: summary.card.header.machine.title(),
        panels: vec![panel],
    })
}

/// The matrix, and what its caption says of it.
fn matrix_panel(
    summary: &Summary,
    met: Vec<usize>,
    pairs: &[Pair],
    kinds: &[(f64, Kind)],
    visited: Option<&str>,
) -> Option<(Heat, String)> {
    let cells = matrix(&met, pairs);
    let all = met.len();
    let (order, cells, block) = match block(&cells) {
        Some(block) => (met, cells, block),
        None => {
            let order = densest(met, pairs);
            let cells = matrix(&order, pairs);
            (order, cells, 1)
        }
    };
    let names: Vec<String> = order.iter().map(usize::to_string).collect();
    let row = visited.map_or("CPU".into(), |visited| format!("CPU; {visited}"));
    let heat = Heat::in_blocks(names.clone(), names, &cells, Unit::Ns, block)?;
    let mut heat = heat.titled("", &row, "CPU");
    heat.groups = l3_borders(&summary.card.header.machine, &order);
    heat.aside = kinds.iter().map(|(_, kind)| (kind.head.clone(), kind.lines())).collect();
    let mut caption = String::new();
    if !heat.groups.is_empty() {
        caption.push_str("White lines: another L3. ");
    }
    if block > 1 {
        caption.push_str(&format!("Each cell is the median of {block} by {block} CPUs. "));
    }
    if order.len() < all {
        caption.push_str(&format!("Shown: the {} CPUs whose pairs are known. ", order.len()));
    }
    Some((heat, caption))
}

/// Where in that order CPUs of another L3 begin, as shares of the whole.
pub(super) fn l3_borders(machine: &Machine, order: &[usize]) -> Vec<f64> {
    let groups = machine.l3_groups();
    let group = |cpu: &usize| groups.iter().position(|g| g.contains(cpu));
    let differs = |w: &[usize]| group(&w[0]) != group(&w[1]);
    let borders = order.windows(2).enumerate().filter(|(_, w)| differs(w));
    borders.map(|(i, _)| (i + 1) as f64 / order.len() as f64).collect()
}

/// The states of all samples of few pairs, and how many samples there are.
fn strip(pairs: &[Pair]) -> Option<(Curves, usize)> {
    let visits: Vec<f64> = pairs.iter().flat_map(|pair| pair.visits.clone()).collect();
    let (low, high) = ends(visits.iter().copied().filter(|ns| *ns > 0.0));
    let range = (low / 1.6, high * 1.6);
    let percent = |v: f64| match v {
        // Above that there is room for labels alone.
        v if v > 100.0 => String::new(),
        v => format!("{} %", format::plain(v)),
    };
    let mut panel = Curves::new(
        // Within one kind of neighbour a decade has too few ticks.
        if high > 4.0 * low {
            Scale::log("one way, log", range, time)
        } else {
            Scale::linear("one way", range, time)
        },
        Scale::linear("share of samples", (0.0, 125.0), percent),
        Vec::new(),
    );
    let states = states(&visits);
    let all = ends(states.iter().map(|s| s.value));
    let bar = |state: &card::estimate::State| {
        let width = 1.03;
        let share = 100.0 * state.share;
        let mut label = vec![format::within(state.value, all, Unit::Ns), format!("{share:.0} %")];
        if state.value < SIBLINGS_NS {
            label.push("SMT siblings".into());
        }
        Bar { from: state.range.0 / width, to: state.range.1 * width, height: share, label }
    };
    panel.bars = states.iter().map(bar).collect();
    (!panel.bars.is_empty()).then_some((panel, visits.len()))
}

/// Times of pairs, ns, by the places of their CPUs.
pub(super) fn matrix(order: &[usize], pairs: &[Pair]) -> Vec<Vec<Option<f64>>> {
    let place: HashMap<usize, usize> = order.iter().enumerate().map(|(i, &cpu)| (cpu, i)).collect();
    let mut cells = vec![vec![None; order.len()]; order.len()];
    for pair in pairs {
        let (Some(&a), Some(&b)) = (place.get(&pair.cpus.0), place.get(&pair.cpus.1)) else {
            continue;
        };
        let ns = Some(pair.ns()).filter(|ns| ns.is_finite());
        (cells[a][b], cells[b][a]) = (ns, ns);
    }
    cells
}

/// Of these CPUs those whose pairs are known: the one with the fewest goes until little is missing.
fn densest(mut cpus: Vec<usize>, pairs: &[Pair]) -> Vec<usize> {
    let mut known: HashMap<usize, HashSet<usize>> = HashMap::new();
    for (a, b) in pairs.iter().map(|pair| pair.cpus) {
        known.entry(a).or_default().insert(b);
        known.entry(b).or_default().insert(a);
    }
    let all = |count: usize| FILLED * (count * count.saturating_sub(1)) as f64;
    while (known.values().map(HashSet::len).sum::<usize>() as f64) < all(cpus.len()) {
        let count = |cpu: &usize| known.get(cpu).map_or(0, HashSet::len);
        let Some(fewest) = (0..cpus.len()).min_by_key(|&i| count(&cpus[i])) else { break };
        let gone = cpus.remove(fewest);
        known.remove(&gone);
        known.values_mut().for_each(|others| _ = others.remove(&gone));
    }
    cpus
}

/// So many CPUs to a cell that most cells are known; `None` where few would be left of them.
pub(super) fn block(cells: &[Vec<Option<f64>>]) -> Option<usize> {
    let count = cells.len();
    let filled = |block: usize| {
        let rows = count.div_ceil(block);
        let mut known = vec![false; rows * rows];
        for (a, row) in cells.iter().enumerate() {
            for b in row.iter().enumerate().filter(|(_, cell)| cell.is_some()).map(|(b, _)| b) {
                known[a / block * rows + b / block] = true;
            }
        }
        // A CPU has no way to itself.
        let all = if block == 1 { rows * rows - rows } else { rows * rows };
        known.iter().filter(|known| **known).count() as f64 >= FILLED * all as f64
    };
    let blocks = (0..10).map(|e| 1 << e).filter(|block| count.div_ceil(*block) <= Heat::MOST);
    let mut enough = blocks.filter(|&block| block == 1 || count / block >= FEWEST);
    enough.find(|&block| filled(block))
}

/// Pairs at one distance, or a state that the only pair was met in.
struct Kind {
    head: String,
    count: String,
    claims: Vec<&'static str>,
}

impl Kind {
    fn lines(&self) -> Vec<String> {
        let claims = self.claims.iter().map(|claim| (*claim).to_owned());
        [self.count.clone()].into_iter().chain(claims).collect()
    }

    fn words(&self) -> String {
        format!("{}: {}", self.head, self.lines().join(", "))
    }
}

/// The distances of a large machine, or the states of the only pair, each with its middle.
fn kinds(pairs: &[Pair]) -> Vec<(f64, Kind)> {
    if let [only] = pairs {
        let states = only.states();
        let all = ends(states.iter().map(|s| s.value));
        let state = |s: &card::estimate::State| {
            let count = format!("{:.0} % of {} samples", 100.0 * s.share, only.visits.len());
            let head = format::within(s.value, all, Unit::Ns);
            (s.value, Kind { head, count, claims: Vec::new() })
        };
        return states.iter().map(state).collect();
    }
    let distances = core_matrix::distances(pairs);
    if distances.len() > MOST_KINDS {
        return Vec::new();
    }
    let kind = |d: &Distance| {
        let head = format::range(d.range.0, d.range.1, Unit::Ns);
        let claims = d.claimed.iter().take(2).map(|c| claim(c.0)).collect();
        (d.ns, Kind { head, count: format::count(d.count, "pair"), claims })
    };
    distances.iter().map(kind).collect()
}

pub(super) fn claim(relation: Relation) -> &'static str {
    match relation {
        Relation::Siblings => "SMT siblings",
        Relation::SameL3 => "same L3",
        Relation::OtherL3 => "other L3",
        Relation::OtherNode => "other node",
        Relation::Unclaimed => "placement not claimed",
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    fn drawn(summary: &Summary) -> String {
        chart(summary).unwrap().svg(Form::File)
    }

    #[test]
    fn from_two_to_hundreds_of_cpus_there_is_a_picture() {
        for (cpus, block) in [(4, 1), (16, 1), (128, 1), (256, 8), (512, 16)] {
            let summary = fixture::cores(cpus);
            let chart = chart(&summary).unwrap();
            let Panel::Heat(heat) = &chart.panels[0] else { panic!("{cpus}: no matrix") };
            assert_eq!(heat.block(), block, "{cpus}");
            for form in [Form::File, Form::Narrow] {
                let drawn = chart.svg(form);
                assert!(!drawn.contains("NaN") && drawn.len() < 400_000, "{cpus}: {}", drawn.len());
            }
        }
        assert!(matches!(chart(&fixture::cores(2)).unwrap().panels[0], Panel::Curves(_)));
    }

    /// Of two CPUs, there is but one number: that of the metric.
    #[test]
    fn the_strip_says_what_the_metric_says() {
        let summary = fixture::recorded();
        let said = format::measured(summary.metrics.get("core_to_core.median_ns").unwrap());
        assert!(drawn(&summary).contains(&format!("\n{said}\n")), "{said}");
    }

    #[test]
    fn where_few_pairs_were_visited_what_is_known_is_drawn() {
        let mut summary = fixture::cores(64);
        summary.card.header.machine.limits.allowed_cpus = (0..64).collect();
        // All of the first four CPUs, and the way from CPU 7 to three others.
        let visited = |p: &card::record::Point| {
            let number =
                |name: &str| p.params.get(name).map(ToString::to_string).unwrap_or_default();
            p.quantity != "one_way" || ["0", "1", "2", "3", "7"].contains(&number("from").as_str())
        };
        summary.card.points.retain(visited);
        for point in summary.card.points.iter_mut().filter(|p| p.probe == "core-to-core") {
            let (from, to) = (point.params.get("from"), point.params.get("to"));
            let (Some(from), Some(to)) = (from, to) else { continue };
            let wanted: &[&str] =
                if from.to_string() == "7" { &["9", "11", "13"] } else { &["0", "1", "2", "3"] };
            let names = to.to_string();
            let mut kept: Vec<(&str, f64)> =
                names.split(',').zip(point.samples.iter().copied()).collect();
            kept.retain(|(cpu, _)| wanted.contains(cpu));
            let to: Vec<&str> = kept.iter().map(|k| k.0).collect();
            point.samples = kept.iter().map(|k| k.1).collect();
            let to = to.join(",");
            point.params.insert("to".into(), to.as_str().into());
        }
        let summary = Summary::of(summary.card);
        assert!(drawn(&summary).contains("9 of 2016 pairs measured"));
        let caption = chart(&summary).unwrap().caption;
        assert!(caption.contains("the 4 CPUs whose pairs are known"), "{caption}");
    }

    #[test]
    fn kinds_of_neighbours_and_sampling_are_told() {
        let caption = chart(&fixture::cores(512)).unwrap().caption;
        assert!(caption.contains("16 by 16 CPUs"), "{caption}");
        let drawn = drawn(&fixture::cores(128));
        for text in ["SMT siblings", "same L3", "other L3", "other node"] {
            assert!(drawn.contains(text), "{text}");
        }
    }

    #[test]
    fn the_states_of_two_cpus_are_named_with_their_shares() {
        let mut card = fixture::cores(2).card;
        let own = card.points.iter_mut().filter(|p| p.quantity == "one_way" && p.round == 0);
        own.for_each(|p| p.samples.iter_mut().for_each(|ns| *ns *= 4.0));
        let chart = chart(&Summary::of(card)).unwrap();
        assert!(chart.says.contains("20 % of 40 samples"), "{}", chart.says);
        assert!(chart.says.contains("80 % of 40 samples"), "{}", chart.says);
        assert!(chart.svg(Form::File).contains("\n20 %\n"));
        assert!(super::chart(&fixture::empty()).is_none());
    }
}
