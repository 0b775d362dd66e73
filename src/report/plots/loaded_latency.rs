//! Loaded latency: how long one load takes while others use up ever more of the bandwidth. Where there
//! are too few CPUs for a load, a table says the little that there is.

use std::collections::BTreeMap;

use card::declare::Unit;

use super::canvas::Dash;
use super::chart::{Chart, Panel};
use super::curves::{Curves, Mark, Scale, Series, ends};
use super::measured::{self, metric, number, text, told};
use super::notes;
use super::table::{Cell, Table};
use super::theme::{BLUE, BLUE_DEEP, BLUE_LIGHT, INK, Ink, MUTED};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const PROBE: &str = "loaded-latency";
/// With fewer, one or two loaders are all the load there can be.
const ENOUGH_CPUS: usize = 4;

/// Most loaders first.
const LOOKS: [(Ink, Dash, f64); 4] = [
    (BLUE, Dash::Solid, 2.6),
    (BLUE_DEEP, Dash::Long, 1.8),
    (BLUE_LIGHT, Dash::Solid, 1.8),
    (MUTED, Dash::Dots, 1.8),
];

/// At one delay of the loaders.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    gbs: f64,
    ns: f64,
    low: f64,
    high: f64,
}

/// Why a curve would say nothing: the machine cannot be loaded, or its rounds contradict one another.
fn no_curve(summary: &Summary) -> Option<String> {
    if summary.card.header.machine.allowed_cpus().len() < ENOUGH_CPUS {
        return Some(format!("Fewer than {ENOUGH_CPUS} CPUs do not saturate DRAM."));
    }
    let loaded = metric(summary, "memory.loaded_latency.at_75_ns");
    let unsteady = loaded.is_some_and(|value| measured::mark(value) == "?");
    unsteady.then(|| "Rounds differ by more than 25 %, or are too few: no curve is drawn.".into())
}

/// `None` when the card has no latency under load, or not the CPUs for it.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let latency = series::settings(&summary.card, PROBE, "latency");
    let load = series::settings(&summary.card, PROBE, "load");
    let curves = curves(&latency, &load);
    (no_curve(summary).is_none() && !curves.is_empty()).then_some(())?;
    let all = || curves.iter().flat_map(|c| &c.1);
    let idle = metric(summary, "memory.loaded_latency.idle_ns");
    let (_, most) = ends(all().map(|p| p.gbs));
    let floor = idle.and_then(number).into_iter().chain(all().map(|p| p.low));
    let (least, _) = ends(floor);
    let (_, slowest) = ends(all().map(|p| p.high));
    let unit = |unit: Unit| move |v: f64| format::quoted(v, unit);
    let x = (0.0, most * 1.02);
    let mut drawn: Vec<Series> = curves
        .iter()
        .rev()
        .zip(LOOKS)
        .map(|(curve, look)| {
            let (loaders, points) = curve;
            let end = points.last().map(|p| format::quantity(p.ns, Unit::Ns)).unwrap_or_default();
            let at = points.iter().map(|p| (p.gbs, p.ns)).collect();
            let name = format::count(*loaders as usize, "loader");
            let series = Series::main(&name, end, at).look(look.0, look.1, look.2);
            let band = match look.0 == BLUE {
                true => points.iter().map(|p| (p.low, p.high)).collect(),
                false => Vec::new(),
            };
            Series { band, ..series }
        })
        .collect();
    if let Some((value, ns)) = idle.and_then(|v| Some((v, number(v)?))) {
        drawn.push(Series::reference("idle", text(value), vec![(0.0, ns), (x.1, ns)]));
    }
    let mut panel = Curves::new(
        Scale::linear("injected bandwidth", x, unit(Unit::Gbs)),
        Scale::linear("time per load", (0.9 * least, slowest * 1.05), unit(Unit::Ns)),
        drawn,
    );
    let knee = curves.last().and_then(|curve| knee(&curve.1));
    panel.marks.extend(knee.map(|knee| Mark {
        at: knee.gbs,
        name: format!("knee {}", format::quantity(knee.gbs, Unit::Gbs)),
        ink: INK,
    }));
    let title = title(summary);
    Some(Chart {
        name: "loaded_latency",
        says: format!("{title}."),
        title,
        subtitle: "Loaded latency of DRAM by injected bandwidth of the other threads".into(),
        caption: notes(summary, PROBE, &["latency"]).trim().to_owned(),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Curves(panel)],
    })
}

/// The metrics, where a curve would say nothing.
pub(super) fn table(summary: &Summary) -> Option<Table> {
    if chart(summary).is_some() {
        return None;
    }
    let rows = [
        ("idle", "memory.loaded_latency.idle_ns"),
        ("at 25 % of peak", "memory.loaded_latency.at_25_ns"),
        ("at 50 % of peak", "memory.loaded_latency.at_50_ns"),
        ("at 75 % of peak", "memory.loaded_latency.at_75_ns"),
        ("peak load", "memory.loaded_latency.peak_gbs"),
    ];
    let mut table = Table::new("loaded_latency", title(summary), &["Load", "Latency"]);
    table.caption =
        format!("{}{}", no_curve(summary).unwrap_or_default(), notes(summary, PROBE, &["latency"]));
    for (name, id) in rows {
        table.row("", name, metric(summary, id).map(|v| vec![Cell::of(Some(v))]));
    }
    table.filled()
}

fn title(summary: &Summary) -> String {
    let get = |id: &str| metric(summary, &format!("memory.loaded_latency.{id}"));
    match (get("at_75_ns"), get("idle_ns")) {
        (Some(loaded), Some(idle)) => {
            format!(
                "Loaded latency {} at 75 % of peak bandwidth, {} idle",
                told(loaded),
                text(idle)
            )
        }
        _ => "Latency under load".into(),
    }
}

/// Latencies with the loads that were achieved beside them, by rising number of loaders and load.
fn curves(latency: &[Setting], load: &[Setting]) -> Vec<(i64, Vec<Load>)> {
    let mut by_loaders: BTreeMap<i64, Vec<Load>> = BTreeMap::new();
    for point in latency {
        // Without loaders there is no load that could be drawn.
        let loaders = point.int("loaders").unwrap_or(1);
        let beside = load.iter().find(|l| l.params == point.params);
        if let Some(beside) = beside.filter(|_| loaders > 0) {
            let (ns, low, high) = (point.value, point.low, point.high);
            by_loaders.entry(loaders).or_default().push(Load { gbs: beside.value, ns, low, high });
        }
    }
    let curves = by_loaders.into_iter().map(|(loaders, mut points)| {
        points.sort_by(|a, b| a.gbs.total_cmp(&b.gbs));
        (loaders, points)
    });
    curves.filter(|c| c.1.len() > 1).collect()
}

/// How far below the line between its ends, as a share of its height, a curve must sag.
const SAG: f64 = 0.15;
/// How much slower the fullest load must be than the least.
const RISE: f64 = 1.15;

/// The point farthest below the straight line between the first and the last.
fn knee(points: &[Load]) -> Option<Load> {
    let (first, last) = (points.first()?, points.last()?);
    let (width, height) = (last.gbs - first.gbs, last.ns - first.ns);
    if width <= 0.0 || last.ns < RISE * first.ns {
        return None;
    }
    let sag = |p: &Load| (p.gbs - first.gbs) / width - (p.ns - first.ns) / height;
    let knee = points.iter().max_by(|a, b| sag(a).total_cmp(&sag(b)))?;
    (sag(knee) >= SAG).then_some(*knee)
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    fn load(gbs: f64, ns: f64) -> Load {
        Load { gbs, ns, low: ns, high: ns }
    }

    #[test]
    fn the_knee_is_where_latency_starts_to_run_away() {
        let curve = [(1.0, 100.0), (5.0, 101.0), (10.0, 104.0), (15.0, 110.0), (20.0, 200.0)];
        let points: Vec<Load> = curve.iter().map(|&(gbs, ns)| load(gbs, ns)).collect();
        assert_eq!(knee(&points), Some(load(15.0, 110.0)));
        let even = [load(1.0, 100.0), load(10.0, 150.0), load(20.0, 200.0)];
        assert_eq!(knee(&even), None);
        assert_eq!(knee(&[load(1.0, 100.0), load(20.0, 101.0)]), None);
    }

    #[test]
    fn two_cpus_have_a_table_and_eight_a_curve() {
        let mut summary = fixture::recorded();
        assert!(chart(&summary).is_none());
        let idle = text(metric(&summary, "memory.loaded_latency.idle_ns").unwrap());
        let table = table(&summary).unwrap();
        assert!(table.texts().any(|t| t == idle), "{idle}");
        summary.card.header.machine.limits.allowed_cpus = (0..8).collect();
        let svg = chart(&summary).unwrap().svg(Form::File);
        assert!(super::table(&summary).is_none());
        for text in ["1 loader", "GB/s", &format!("\n{idle}\n")] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(chart(&fixture::empty()).is_none() && super::table(&fixture::empty()).is_none());
    }
}
