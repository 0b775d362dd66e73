//! Core to core: how long a line takes between any two CPUs, as a matrix and as a distribution.

use std::collections::{HashMap, HashSet};

use card::declare::Unit;
use card::estimate::State;
use card::machine::Relation;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{Frame, Label, Tick, WIDTH, heading, labels, time_label};
use super::heat::Heat;
use super::scale::{Axis, one_two_five};
use super::theme::{Align, BLUE, BODY, INK, Ink, PURPLE, SMALL, VERMILION};
use super::{Picture, picture};
use card::format;
use card::summary::Summary;
use card::view::core_matrix::{self, Distance, Pair};

const TITLE: &str = "Core to core: how far is the other CPU?";
const TOP: f64 = 132.0;
/// Left edge and side of the matrix.
const MATRIX: f64 = 66.0;
const SIDE: f64 = 400.0;
/// A cell of a small matrix.
const CELL: f64 = 150.0;
const HEIGHT: f64 = 640.0;
/// The distribution.
const LEFT_EDGE: f64 = 560.0;
const RIGHT_EDGE: f64 = 720.0;
/// More kinds of distances than this are no kinds.
const MOST_LABELS: usize = 6;
/// Steps of a distribution, of which more could not be seen.
const MOST_STEPS: usize = 160;
/// Share of the cells that must be known.
const FILLED: f64 = 0.85;
/// Cells of a row, below which they are not made fewer.
const FEWEST: usize = 16;

/// The data of the picture.
pub(super) struct CoreToCore {
    heat: Heat,
    /// Before which cells another L3 cache begins, in CPUs.
    borders: Vec<usize>,
    cpus: usize,
    /// CPUs of any pair, and all that there are.
    met: usize,
    all: usize,
    /// One-way times in ascending order, by method.
    curves: Vec<(&'static str, Ink, Vec<f64>)>,
    labels: Vec<(f64, String, Vec<String>)>,
    measured: usize,
    machine: String,
}

impl CoreToCore {
    /// `None` without a pair.
    pub(super) fn of(summary: &Summary) -> Option<CoreToCore> {
        let card = &summary.card;
        let pairs = core_matrix::pairs(card, "cas");
        let met = core_matrix::order(card, &pairs);
        (met.len() <= Heat::LARGEST).then_some(())?;
        let cells = matrix(&met, &pairs);
        let (order, cells, block) = match block(&cells) {
            Some(block) => (met.clone(), cells, block),
            None => {
                let order = densest(met.clone(), &pairs);
                let cells = matrix(&order, &pairs);
                (order, cells, 1)
            }
        };
        let names: Vec<String> = order.iter().map(usize::to_string).collect();
        let groups = card.header.machine.l3_groups();
        let group = |cpu: &usize| groups.iter().position(|g| g.contains(cpu));
        let differs = |w: &[usize]| group(&w[0]) != group(&w[1]);
        let borders = order.windows(2).enumerate().filter(|(_, w)| differs(w));
        let curve = |method, label, ink| {
            let all = core_matrix::pairs(card, method);
            let mut times: Vec<f64> = all.iter().flat_map(|p| p.visits.clone()).collect();
            times.sort_by(f64::total_cmp);
            (times.len() > 1).then_some((label, ink, times))
        };
        Some(CoreToCore {
            heat: Heat::in_blocks(names.clone(), names, &cells, Unit::Ns, block)?,
            borders: borders.map(|(i, _)| i + 1).collect(),
            cpus: order.len(),
            met: met.len(),
            all: met.len().max(card.header.machine.allowed_cpus().len()),
            curves: [
                curve("cas", "compare-and-swap", BLUE),
                curve("store_load", "store and load", PURPLE),
            ]
            .into_iter()
            .flatten()
            .collect(),
            labels: described(&pairs),
            measured: pairs.len(),
            machine: card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let block = self.heat.block();
        let cells = if block > 1 {
            format!(" Each cell is the median of what was measured of {block} by {block} CPUs.")
        } else {
            String::new()
        };
        let sampled = self.visited().map_or(String::new(), |text| format!(" {text}."));
        let sampled = if self.cpus < self.met {
            format!("{sampled} The matrix has the {} CPUs whose pairs are known.", self.cpus)
        } else {
            sampled
        };
        let caption = format!(
            "Two CPUs hand a word back and forth; half of a round trip is how long a line takes from \
             one to the other. CPUs are ordered by what they are claimed to share; lines in the \
             matrix mark where another L3 cache begins.{cells}{sampled} At the right, all visits of \
             all pairs by their time: each step is a kind of neighbour, or a state that a pair was \
             met in."
        );
        picture("core_to_core", TITLE, caption, self)
    }

    /// "36 of 2016 pairs visited", unless all were.
    fn visited(&self) -> Option<String> {
        let all = self.all * self.all.saturating_sub(1) / 2;
        (self.measured < all).then(|| format!("{} of {all} pairs visited", self.measured))
    }
}

/// Times of pairs, ns, by the places of their CPUs.
fn matrix(order: &[usize], pairs: &[Pair]) -> Vec<Vec<Option<f64>>> {
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
fn block(cells: &[Vec<Option<f64>>]) -> Option<usize> {
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

/// The distances of a large machine, or the states of the only pair.
fn described(pairs: &[Pair]) -> Vec<(f64, String, Vec<String>)> {
    if let [only] = pairs {
        let states = only.states();
        let words = |s: &State| {
            let share = format!("{:.0} % of {} visits", 100.0 * s.share, only.visits.len());
            (s.value, format::quantity(s.value, Unit::Ns), vec![share])
        };
        return states.iter().map(words).collect();
    }
    let distances = core_matrix::distances(pairs);
    if distances.len() > MOST_LABELS {
        return Vec::new();
    }
    let words = |d: &Distance| {
        let range = format::range(d.range.0, d.range.1, Unit::Ns);
        let count = match d.count {
            1 => "1 pair".to_owned(),
            n => format!("{n} pairs"),
        };
        let mut lines = vec![count];
        lines.extend(d.claimed.iter().take(2).map(|c| claim(c.0).to_owned()));
        (d.ns, range, lines)
    };
    distances.iter().map(words).collect()
}

fn claim(relation: Relation) -> &'static str {
    match relation {
        Relation::Siblings => "of one core",
        Relation::SameL3 => "at one L3 cache",
        Relation::OtherL3 => "at different L3s",
        Relation::OtherNode => "of different nodes",
        Relation::Unclaimed => "place not claimed",
    }
}

impl Drawing for CoreToCore {
    fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let (rows, _) = self.heat.size();
        let side = (rows as f64 * CELL).min(SIDE);
        c.text((MATRIX, TOP - 34.0), "Between CPUs", BODY.bold());
        let what = match self.heat.block() {
            1 => "CPU".to_owned(),
            n => format!("CPU, every {n}th named"),
        };
        let visited = self.visited().map_or(String::new(), |text| format!("; {text}"));
        c.text((MATRIX, TOP - 12.0), &format!("{what}; ns one way{visited}"), SMALL);
        self.heat.draw(c, (MATRIX, TOP), (side, side));
        for border in &self.borders {
            let at = side * *border as f64 / self.cpus as f64;
            c.line((MATRIX + at, TOP), (MATRIX + at, TOP + side), 0.8, VERMILION);
            c.line((MATRIX, TOP + at), (MATRIX + side, TOP + at), 0.8, VERMILION);
        }
        // The numbers in the cells of a small matrix say all.
        if self.cpus > 2 {
            self.heat.legend(c, (MATRIX, TOP + side + 40.0), 270.0, self.heat.unit().symbol());
        }
        if !self.curves.is_empty() {
            self.draw_distribution(c);
        }
    }
}

impl CoreToCore {
    fn draw_distribution<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        let bottom = TOP + SIDE;
        let all = || self.curves.iter().flat_map(|curve| &curve.2).copied();
        let (low, high) = (all().fold(f64::MAX, f64::min) * 0.8, all().fold(1.0, f64::max) * 1.25);
        let frame = Frame {
            left: LEFT_EDGE,
            right: RIGHT_EDGE,
            top: TOP,
            bottom,
            x: Axis::linear((0.0, 100.0), (LEFT_EDGE, RIGHT_EDGE)),
            y: Axis::log((low.max(0.1), high), (bottom, TOP)),
        };
        let x: Vec<Tick> = [0, 50, 100].map(|p| (f64::from(p), format!("{p} %"))).into();
        let y: Vec<Tick> =
            one_two_five(low.max(0.1), high).into_iter().map(|ns| (ns, time_label(ns))).collect();
        frame.grid(c, &x, &y);
        let left = LEFT_EDGE - 46.0;
        c.text((left, TOP - 34.0), "All visits by their time", BODY.bold());
        c.text((left, TOP - 12.0), "one way, logarithmic", SMALL);
        c.text((RIGHT_EDGE, bottom + 38.0), "share of the visits", SMALL.align(Align::Right));
        for (i, (label, ink, times)) in self.curves.iter().enumerate() {
            let steps = times.len().min(MOST_STEPS);
            let share = |i: usize| 100.0 * i as f64 / steps as f64;
            let at = |i: usize| times[i * times.len() / steps];
            let line: Vec<(f64, f64)> = (0..steps)
                .flat_map(|i| [(share(i), at(i)), (share(i + 1), at(i))])
                .map(|p| frame.place(p))
                .collect();
            c.path(&line, 2.0, *ink);
            let y = bottom + 60.0 + 18.0 * i as f64;
            c.line((left, y - 4.0), (left + 22.0, y - 4.0), 2.4, *ink);
            c.text((left + 30.0, y), label, SMALL.ink(INK));
        }
        let named = |(ns, head, lines): &(f64, String, Vec<String>)| Label {
            at: (RIGHT_EDGE, frame.y.at(*ns)),
            head: head.clone(),
            lines: lines.clone(),
            ink: BLUE,
        };
        let all: Vec<Label> = self.labels.iter().map(named).collect();
        labels(c, &all, RIGHT_EDGE + 24.0, (TOP - 10.0, bottom + 20.0), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn from_two_to_hundreds_of_cpus_there_is_a_picture() {
        for (cpus, block) in [(2, 1), (16, 1), (128, 1), (512, 16)] {
            let made = CoreToCore::of(&fixture::cores(cpus)).unwrap();
            assert_eq!((made.cpus, made.heat.block()), (cpus, block));
            let drawn = svg(&made, TITLE);
            assert!(!drawn.contains("NaN") && drawn.len() < 400_000, "{cpus}: {}", drawn.len());
        }
    }

    /// Of two CPUs, there is but one number: that of the metric.
    #[test]
    fn the_matrix_says_what_the_metric_says() {
        let summary = fixture::recorded();
        let metric = summary.metrics.get("core_to_core.median_ns").unwrap().value.unwrap();
        let drawn = svg(&CoreToCore::of(&summary).unwrap(), TITLE);
        let said = card::format::number(metric);
        assert_eq!(drawn.lines().filter(|line| *line == said).count(), 2, "{said}: {drawn}");
    }

    #[test]
    fn where_few_pairs_were_visited_what_is_known_is_drawn() {
        let mut summary = fixture::cores(64);
        summary.card.header.machine.limits.allowed_cpus = (0..64).collect();
        // All of the first three CPUs, and the way from CPU 7 to three others.
        let visited = |p: &card::record::Point| {
            let number =
                |name: &str| p.params.get(name).map(ToString::to_string).unwrap_or_default();
            p.quantity != "one_way" || ["0", "1", "2", "7"].contains(&number("from").as_str())
        };
        summary.card.points.retain(visited);
        for point in summary.card.points.iter_mut().filter(|p| p.probe == "core-to-core") {
            let (from, to) = (point.params.get("from"), point.params.get("to"));
            let (Some(from), Some(to)) = (from, to) else { continue };
            let wanted: &[&str] =
                if from.to_string() == "7" { &["9", "11", "13"] } else { &["0", "1", "2"] };
            let names = to.to_string();
            let mut kept: Vec<(&str, f64)> =
                names.split(',').zip(point.samples.iter().copied()).collect();
            kept.retain(|(cpu, _)| wanted.contains(cpu));
            let to: Vec<&str> = kept.iter().map(|k| k.0).collect();
            point.samples = kept.iter().map(|k| k.1).collect();
            let to = to.join(",");
            point.params.insert("to".into(), to.as_str().into());
        }
        let made = CoreToCore::of(&Summary::of(summary.card)).unwrap();
        assert_eq!((made.cpus, made.met, made.measured), (3, 7, 6));
        assert!(svg(&made, TITLE).contains("6 of 2016 pairs visited"));
        let caption = made.picture().caption;
        assert!(caption.contains("the 3 CPUs whose pairs are known"), "{caption}");
    }

    #[test]
    fn kinds_of_neighbours_and_sampling_are_told() {
        let caption = CoreToCore::of(&fixture::cores(512)).unwrap().picture().caption;
        assert!(caption.contains("pairs"), "{caption}");
        let drawn = svg(&CoreToCore::of(&fixture::cores(128)).unwrap(), TITLE);
        for text in ["of one core", "at one L3 cache", "at different L3s", "of different nodes"] {
            assert!(drawn.contains(text), "{text}");
        }
    }

    #[test]
    fn the_states_of_two_cpus_are_named_with_their_shares() {
        let mut card = fixture::cores(2).card;
        let own = card.points.iter_mut().filter(|p| p.quantity == "one_way" && p.round == 0);
        own.for_each(|p| p.samples.iter_mut().for_each(|ns| *ns *= 4.0));
        let drawn = svg(&CoreToCore::of(&Summary::of(card)).unwrap(), TITLE);
        assert!(drawn.contains("20 % of 40 visits") && drawn.contains("80 % of 40 visits"));
        assert!(CoreToCore::of(&fixture::empty()).is_none());
    }
}
