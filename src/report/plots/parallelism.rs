//! Memory-level parallelism: what ever more independent accesses get out of main memory.

use card::declare::Unit;

use super::canvas::Dash;
use super::chart::{Chart, Panel};
use super::curves::{Curves, Scale, Series, ends};
use super::measured::{marked, metric, number, text_of, told};
use super::notes;
use super::theme::{BLUE, BLUE_DEEP, BLUE_LIGHT, FAINT, Ink};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const PROBE: &str = "memory-parallelism";
const LINE_BYTES: f64 = 64.0;

/// How lines are asked for: in words, the methods it sums up, what it gets in all on the card, and
/// how it is drawn.
type Way = (&'static str, &'static [&'static str], Option<&'static str>, (Ink, Dash, f64));

const WAYS: [Way; 3] = [
    (
        "demand misses",
        &["chase"],
        Some("memory.parallelism.dram_demand_gbs"),
        (BLUE, Dash::Solid, 2.6),
    ),
    ("gathers", &["gather"], None, (BLUE_LIGHT, Dash::Solid, 1.8)),
    (
        "software prefetches",
        &["prefetch", "prefetch_t0", "prefetch_t1"],
        Some("memory.parallelism.dram_prefetch_gbs"),
        (BLUE_DEEP, Dash::Long, 1.8),
    ),
];

/// `None` when the card has no parallel accesses to memory.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let settings = series::settings(&summary.card, PROBE, "time_per_load");
    let mut curves: Vec<Series> =
        WAYS.iter().filter_map(|way| curve(summary, &settings, way)).collect();
    if curves.is_empty() {
        return None;
    }
    let x = ends(curves.iter().flat_map(|c| &c.points).map(|p| p.0));
    let x = (x.0, x.1.max(x.0 * 2.0));
    let stream = [
        ("sequential read", "memory.bandwidth.read.dram_gbs"),
        ("sequential lines", "memory.parallelism.dram_stream_gbs"),
    ];
    let stream = stream.into_iter().find_map(|(name, id)| Some((name, metric(summary, id)?)));
    let rates = curves.iter().flat_map(|c| &c.points).map(|p| p.1);
    let rates = ends(rates.chain(stream.and_then(|s| number(s.1))));
    let y = (rates.0 * 0.9, rates.1.max(rates.0 * 2.0) * 1.25);
    if let Some((gbs, (name, value))) = stream.and_then(|s| Some((number(s.1)?, s))) {
        curves.push(Series::reference(name, marked(value), vec![(x.0, gbs), (x.1, gbs)]));
    }
    if let Some(one) = alone(&settings) {
        curves.push(Series {
            name: String::new(),
            ..Series::reference("", String::new(), ideal(one, x, y.1)).look(FAINT, Dash::Solid, 1.2)
        });
    }
    let count = |n: f64| format::quantity(n, Unit::Count);
    let panel = Curves::new(
        Scale::doubling("independent accesses, log", x, count),
        Scale::log("from DRAM, GB/s, log", y, format::plain),
        curves,
    );
    let [demand, prefetch] =
        [WAYS[0].2, WAYS[2].2].map(|id| metric(summary, id.unwrap_or_default()).map(told));
    let misses = metric(summary, "memory.parallelism.dram_misses").and_then(number);
    let title = match (misses, &demand) {
        (Some(misses), Some(gbs)) => {
            format!("MLP of one core: {misses:.0} outstanding demand misses, {gbs}")
        }
        (Some(misses), None) => format!("MLP of one core: {misses:.0} outstanding demand misses"),
        _ => "Memory-level parallelism of one core".into(),
    };
    let stream = stream.map(|(name, value)| format!("{name} gets {}", told(value)));
    let prefetch = prefetch.map(|gbs| format!("software prefetches get {gbs}"));
    let others: Vec<String> = prefetch.into_iter().chain(stream).collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    Some(Chart {
        name: "parallelism",
        says: format!("{title}{others}."),
        title,
        subtitle: "DRAM bandwidth of one core by independent accesses (MLP)".into(),
        caption: format!(
            "Grey slope: all accesses in flight (Little's law). A curve goes flat where the line fill \
             buffers (MSHRs) are full.{}",
            notes(summary, PROBE, &["time_per_load"])
        ),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Curves(panel)],
    })
}

/// Time per access against accesses offered, the shortest of these methods.
fn times(settings: &[Setting], methods: &[&str]) -> Vec<(f64, f64)> {
    let by = |s: &&Setting| methods.iter().any(|method| s.is("method", method));
    let of = settings.iter().filter(|s| s.is("level", "dram")).filter(by);
    let mut points: Vec<(f64, f64)> =
        of.filter_map(|s| Some((s.int("chains").filter(|n| *n > 0)? as f64, s.value))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup_by(|longer, kept| longer.0 == kept.0);
    points
}

/// What one access after the other gets, GB/s.
fn alone(settings: &[Setting]) -> Option<f64> {
    times(settings, &["chase"]).first().filter(|p| p.0 == 1.0).map(|p| LINE_BYTES / p.1)
}

/// So many times as much as one access gets, as far as the panel goes.
fn ideal(one: f64, (low, high): (f64, f64), most: f64) -> Vec<(f64, f64)> {
    let last = high.min(most / one).max(low);
    vec![(low, one * low), (last, one * last)]
}

fn curve(summary: &Summary, settings: &[Setting], way: &Way) -> Option<Series> {
    let (name, methods, id, (ink, dash, width)) = way;
    let points: Vec<(f64, f64)> =
        times(settings, methods).into_iter().map(|(n, ns)| (n, LINE_BYTES / ns)).collect();
    let best = points.iter().map(|p| p.1).fold(0.0, f64::max);
    let own = id.and_then(|id| text_of(summary, id));
    let value = own.unwrap_or_else(|| format::quantity(best, Unit::Gbs));
    (!points.is_empty()).then(|| Series::main(name, value, points).look(*ink, *dash, *width))
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn ways_and_the_stream_are_drawn_with_the_numbers_of_the_metrics() {
        let summary = fixture::recorded();
        let chart = chart(&summary).unwrap();
        let svg = chart.svg(Form::File);
        for text in ["demand misses", "software prefetches", "sequential read", "GB/s", "32"] {
            assert!(svg.contains(text), "{text}");
        }
        for id in ["memory.parallelism.dram_demand_gbs", "memory.parallelism.dram_prefetch_gbs"] {
            let text = text_of(&summary, id).unwrap();
            assert!(svg.contains(&format!("{text}\n")), "{id}: {text}");
        }
        let misses = summary.metrics.number("memory.parallelism.dram_misses").unwrap();
        assert!(chart.title.contains(&format!("{misses:.0} outstanding")), "{}", chart.title);
    }

    #[test]
    fn the_ideal_is_a_straight_line_within_the_panel() {
        assert_eq!(ideal(0.5, (1.0, 64.0), 16.0), [(1.0, 0.5), (32.0, 16.0)]);
        assert_eq!(ideal(0.5, (1.0, 8.0), 16.0), [(1.0, 0.5), (8.0, 4.0)]);
    }

    #[test]
    fn nothing_in_parallel_no_picture() {
        assert!(chart(&fixture::empty()).is_none());
    }
}
