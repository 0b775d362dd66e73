//! Throughput against threads, relative to one, by kind of work. Where rounds contradict one another
//! or the number of CPUs, nothing is drawn: a table says how far they differ.

use super::canvas::Dash;
use super::chart::{Chart, Panel};
use super::curves::{Curves, Mark, Scale, Series, ends};
use super::measured::{interval, marked, metric, told};
use super::table::{Cell, Table};
use super::theme::{BLUE, BLUE_DEEP, BLUE_LIGHT, FAINT, Ink, MUTED};
use card::format;
use card::summary::Summary;
use card::view::scaling::{self, Curve, Scaled};

/// How readers know each of [`scaling::KINDS`], its metric, and how it is drawn.
type Kind = (&'static str, &'static str, (Ink, Dash, f64));

const KINDS: [Kind; 4] = [
    ("compute", "scaling.compute_ratio", (BLUE, Dash::Solid, 2.6)),
    ("DRAM reads", "scaling.memory_ratio", (BLUE_DEEP, Dash::Long, 1.8)),
    ("half in a lock", "scaling.lock_ratio", (BLUE_LIGHT, Dash::Solid, 1.8)),
    ("messages", "scaling.message_ratio", (MUTED, Dash::Dots, 1.8)),
];

/// Up to so many threads the axes are linear, which everybody reads right.
const FEW: i64 = 16;
/// Rounds that differ by more than this share are no line.
const REPEATABLE: f64 = 0.25;
/// More than each CPU's share by this is no throughput.
const ABOVE_IDEAL: f64 = 1.05;

fn kind(curve: &Curve) -> Option<Kind> {
    let at = scaling::KINDS.iter().position(|kind| *kind == curve.kind)?;
    KINDS.get(at).copied()
}

/// Whether the rounds of a point agree, and none is above what so many threads can do.
fn holds(point: &Scaled, cpus: i64) -> bool {
    let (low, high) = ends(point.rounds.iter().copied());
    let most = ABOVE_IDEAL * point.threads.min(cpus) as f64;
    (point.threads == 1 || high <= most) && high - low <= REPEATABLE * point.ratio
}

/// `None` when the card has no curves, or they cannot be believed.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let curves = scaling::curves(&summary.card);
    let (cpus, quota) = scaling::all_cpus(&summary.card)?;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    (!curves.is_empty() && points().all(|point| holds(point, cpus))).then_some(())?;
    let most = points().map(|point| point.threads).max().unwrap_or(2);
    let (low, high) = ends(points().map(|p| p.ratio).chain([1.0, cpus as f64]));
    let times = |v: f64| format!("{}×", format::plain(v));
    let (x, y) = if most <= FEW {
        (
            Scale::linear("threads", (1.0, most as f64), format::plain),
            Scale::linear("throughput of one thread = 1", (0.0, high * 1.08), times),
        )
    } else {
        (
            Scale::doubling("threads, log", (1.0, most as f64), format::plain),
            Scale::log("throughput of one thread = 1, log", (low / 1.2, high * 1.1), times),
        )
    };
    let mut drawn: Vec<Series> = Vec::new();
    for curve in &curves {
        let Some((name, id, (ink, dash, width))) = kind(curve) else { continue };
        let value = metric(summary, id).map(marked).map(|v| format!("{v}×")).unwrap_or_default();
        let points = curve.points.iter().map(|p| (p.threads as f64, p.ratio)).collect();
        drawn.push(Series::main(name, value, points).look(ink, dash, width));
    }
    drawn.push(Series {
        name: String::new(),
        ..Series::reference("", String::new(), ideal(cpus, most)).look(FAINT, Dash::Solid, 1.2)
    });
    let mut panel = Curves::new(x, y, drawn);
    panel.marks.push(Mark {
        at: cpus as f64,
        name: format::count(cpus as usize, "CPU"),
        ink: MUTED,
    });
    let title = title(summary, cpus);
    let quota = quota.map(|quota| format!(" This run had {quota}.")).unwrap_or_default();
    Some(Chart {
        name: "scaling",
        says: format!("{title}."),
        title,
        subtitle: "Throughput of several threads relative to one, by kind of work".into(),
        caption: format!("Grey: linear scaling.{quota}"),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Curves(panel)],
    })
}

/// In proportion up to the CPUs, level from there; in small steps, as it is bent where only one axis
/// is logarithmic.
fn ideal(cpus: i64, most: i64) -> Vec<(f64, f64)> {
    let cpus = cpus as f64;
    let rise = (0..=20).map(|i| 1.0 + (cpus - 1.0) * f64::from(i) / 20.0).map(|n| (n, n));
    rise.chain([(most as f64, cpus)]).collect()
}

fn title(summary: &Summary, cpus: i64) -> String {
    match metric(summary, KINDS[0].1) {
        Some(value) => format!("Compute scaling: {}× with {cpus} threads", told(value)),
        None => "Throughput by threads".into(),
    }
}

/// How far the rounds differ, where nothing can be drawn.
pub(super) fn table(summary: &Summary) -> Option<Table> {
    if chart(summary).is_some() {
        return None;
    }
    let (cpus, _) = scaling::all_cpus(&summary.card)?;
    let curves = scaling::curves(&summary.card);
    let all = curves.iter().flat_map(|c| &c.points).filter(|p| p.threads > 1);
    let (low, high) = ends(all.flat_map(|p| p.rounds.clone()));
    let title = format!(
        "Thread scaling cannot be read: rounds from {}× to {}× of one thread on {}",
        format::plain((low * 100.0).round() / 100.0),
        format::plain((high * 100.0).round() / 100.0),
        format::count(cpus as usize, "CPU"),
    );
    let heads = ["Work", "1 thread per CPU", "Rounds"];
    let mut table = Table::new("scaling", title, &heads);
    table.caption = "Rounds differ by more than 25 %: no curve is drawn.".into();
    for (name, id, _) in KINDS {
        let cells = metric(summary, id).map(|value| {
            let times = |text: String| if text.contains('%') { text } else { format!("{text}×") };
            vec![Cell::of(Some(value)).with(times), Cell::plain(times(interval(value)))]
        });
        table.row("", name, cells);
    }
    table.filled()
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    /// Every round as fast as the ideal, or once and a half as fast with two threads.
    fn card(factor: f64) -> Summary {
        let mut card = fixture::recorded().card;
        let own =
            card.points.iter_mut().filter(|p| p.probe == "scaling" && p.quantity == "time_per_op");
        for point in own {
            let threads = point.params["threads"].to_string().parse::<f64>().unwrap();
            let pace = if threads > 1.0 { threads.min(2.0) * factor } else { 1.0 };
            point.samples.iter_mut().for_each(|ns| *ns = 100.0 / pace);
            point.core_ghz.clear();
        }
        Summary::of(card)
    }

    #[test]
    fn a_line_is_drawn_where_rounds_agree_and_no_cpu_does_the_work_of_two() {
        let good = card(0.95);
        let svg = chart(&good).unwrap().svg(Form::File);
        for text in ["compute", "2 CPUs", "half in a lock"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(table(&good).is_none());
        let above = card(1.5);
        assert!(chart(&above).is_none());
        let table = table(&above).unwrap();
        assert!(table.title.contains("cannot be read"), "{}", table.title);
        assert!(chart(&fixture::empty()).is_none() && super::table(&fixture::empty()).is_none());
    }
}
