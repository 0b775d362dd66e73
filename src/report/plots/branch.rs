//! The branch predictor: what a branch costs by the length of its pattern, and a jump by how many
//! jumps there are.

use std::collections::BTreeMap;

use card::declare::Unit;

use super::canvas::Dash;
use super::chart::{Chart, Panel};
use super::curves::{Curves, Mark, Scale, Series, ends};
use super::measured::{metric, number, text};
use super::notes;
use super::theme::{BLUE, BLUE_DEEP, BLUE_LIGHT, INK, Ink, MUTED};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const PROBE: &str = "branch";

/// The first series of a panel and those after it.
const LOOKS: [(Ink, Dash, f64); 4] = [
    (BLUE, Dash::Solid, 2.4),
    (BLUE_DEEP, Dash::Long, 1.8),
    (BLUE_LIGHT, Dash::Solid, 1.8),
    (MUTED, Dash::Dots, 1.8),
];

/// `None` when the card has neither patterns nor jumps.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let history = series::settings(&summary.card, PROBE, "history");
    let jumps = series::settings(&summary.card, PROBE, "jump");
    // Without the clock beside every point, times must do.
    let cycles = history.iter().chain(&jumps).all(|s| s.cycles.is_some());
    let panels: Vec<Panel> =
        [history_panel(summary, &history, cycles), jumps_panel(summary, &jumps, cycles)]
            .into_iter()
            .flatten()
            .map(Panel::Curves)
            .collect();
    let cost = metric(summary, "branch.mispredict_cycles").map(text);
    let learned = metric(summary, "branch.learnable_entries").map(text);
    let btb = metric(summary, "branch.btb_l1_entries").map(text);
    let parts = [
        cost.map(|cost| format!("mispredict penalty {cost}")),
        learned.map(|n| format!("pattern history {n} outcomes")),
        btb.map(|n| format!("L1 BTB {n} entries")),
    ];
    let title = parts.into_iter().flatten().collect::<Vec<String>>().join(", ");
    let title = if title.is_empty() { "Branch prediction".to_owned() } else { capital(&title) };
    (!panels.is_empty()).then(|| Chart {
        name: "branch",
        says: format!("{title}."),
        title,
        subtitle: "Time per branch by pattern period; time per taken jump by number of jumps"
            .into(),
        caption: format!(
            "Left: random pattern; a rise is a full pattern history. Right: a rise is a full level \
             of the BTB or of the instruction caches.{}",
            notes(summary, PROBE, &["history", "jump"])
        ),
        machine: summary.card.header.machine.title(),
        panels,
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Curves of one quantity: one for each value of a parameter, over another one.
fn curves(
    settings: &[Setting],
    (each, x): (&str, &str),
    cycles: bool,
    name: impl Fn(i64) -> String,
) -> Vec<Series> {
    let mut found: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    for s in settings {
        let y = if cycles { s.cycles } else { Some(s.value) };
        if let (Some(of), Some(x), Some(y)) = (s.int(each), s.int(x).filter(|n| *n > 0), y) {
            found.entry(of).or_default().push((x as f64, y));
        }
    }
    let lines = found.into_iter().filter(|(_, points)| points.len() > 1);
    let looks = LOOKS.into_iter().cycle();
    lines
        .zip(looks)
        .map(|((of, mut points), (ink, dash, width))| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series::main(&name(of), String::new(), points).look(ink, dash, width)
        })
        .collect()
}

fn panel(title: &str, (x, y): (&str, &str), cycles: bool, curves: Vec<Series>) -> Option<Curves> {
    let all = || curves.iter().flat_map(|c| &c.points);
    let (low, high) = ends(all().map(|p| p.0));
    let (_, most) = ends(all().map(|p| p.1).chain([1.0]));
    let symbol = if cycles { Unit::Cycles } else { Unit::Ns }.symbol();
    (!curves.is_empty()).then(|| Curves {
        title: title.into(),
        ..Curves::new(
            Scale::doubling(x, (low, high.max(low * 2.0)), count),
            Scale::linear(&format!("{symbol} per {y}"), (0.0, most * 1.15), format::plain),
            curves,
        )
    })
}

fn history_panel(summary: &Summary, settings: &[Setting], cycles: bool) -> Option<Curves> {
    let name = |n: i64| if n == 1 { "1 branch".into() } else { format!("{n} branches") };
    let curves = curves(settings, ("branches", "length"), cycles, name);
    let mut panel = panel("Pattern history", ("pattern period, log", "branch"), cycles, curves)?;
    panel.marks.extend(mark(summary, "branch.learnable_entries", "capacity"));
    Some(panel)
}

fn jumps_panel(summary: &Summary, settings: &[Setting], cycles: bool) -> Option<Curves> {
    let name = |bytes: i64| format!("{bytes} B apart");
    let curves = curves(settings, ("spacing", "jumps"), cycles, name);
    let mut panel = panel("Branch targets", ("jumps in the loop, log", "jump"), cycles, curves)?;
    panel.marks.extend(mark(summary, "branch.btb_l1_entries", "L1 BTB"));
    panel.marks.extend(mark(summary, "branch.btb_l2_entries", "L2 BTB"));
    Some(panel)
}

fn mark(summary: &Summary, id: &str, name: &str) -> Option<Mark> {
    let value = metric(summary, id)?;
    Some(Mark { at: number(value)?, name: format!("{name} {}", text(value)), ink: INK })
}

/// `512`, `4 K`.
fn count(n: f64) -> String {
    if n >= 1024.0 && n % 1024.0 == 0.0 {
        format!("{} K", n / 1024.0)
    } else {
        format::quantity(n, Unit::Count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn both_panels_have_their_curves_and_the_numbers_of_the_metrics() {
        let summary = fixture::recorded();
        let chart = chart(&summary).unwrap();
        assert_eq!(chart.panels.len(), 2);
        let svg = chart.svg(Form::File);
        for text in ["512 branches", " K", "16 B apart", "cycles per branch"] {
            assert!(svg.contains(text), "{text}");
        }
        let marks = [
            ("branch.learnable_entries", "capacity"),
            ("branch.btb_l1_entries", "L1 BTB"),
            ("branch.btb_l2_entries", "L2 BTB"),
        ];
        for (id, name) in marks {
            let said = text(summary.metrics.get(id).unwrap());
            assert!(svg.contains(&format!("\n{name} {said}\n")), "{id}");
        }
    }

    #[test]
    fn either_half_is_a_picture_and_none_is_none() {
        for half in ["jump", "history"] {
            let mut card = fixture::recorded().card;
            card.points.retain(|p| p.quantity == half);
            let chart = chart(&Summary::of(card)).unwrap();
            assert!(chart.panels.len() == 1 && !chart.svg(Form::Narrow).contains("NaN"));
        }
        assert!(chart(&fixture::empty()).is_none());
    }

    #[test]
    fn counts_are_short() {
        assert_eq!([512.0, 4096.0, 1536.0].map(count), ["512", "4 K", "1536"]);
    }
}
