//! Read bandwidth of one thread against working set, a line for each width of its loads.

use super::canvas::Dash;
use super::chart::{Chart, Panel};
use super::curves::{Curves, Limit, Scale, Series, Span, bytes, ends};
use super::measured::{marked, metric, number, text_of, told};
use super::notes;
use super::theme::{BLUE, BLUE_DEEP, BLUE_LIGHT, Ink, MUTED};
use crate::report::view::bandwidth::LEVELS;
use crate::report::view::machine_view;
use card::findings;
use card::format;
use card::reference;
use card::series::{self, Setting};
use card::summary::Summary;

const PROBE: &str = "memory-bandwidth";

/// Widths, the widest first.
const WIDTHS: [(&str, &str); 6] = [
    ("avx512", "512 bit"),
    ("sve", "SVE"),
    ("avx", "256 bit"),
    ("neon", "128 bit"),
    ("sse", "128 bit"),
    ("scalar", "scalar"),
];
/// The widest there is, and those below it.
const LOOKS: [(Ink, Dash, f64); 4] = [
    (BLUE, Dash::Solid, 2.6),
    (BLUE_DEEP, Dash::Long, 1.8),
    (BLUE_LIGHT, Dash::Solid, 1.8),
    (MUTED, Dash::Dots, 1.8),
];
/// Curves that are nowhere further apart are one.
const COINCIDE: f64 = 0.05;

/// A curve with its name.
type Line = (String, Vec<(f64, f64)>);

/// What one thread reads by working set, GB/s, with each width of loads, the widest first.
pub(super) fn lines(summary: &Summary) -> Vec<Line> {
    let mut settings = series::settings(&summary.card, PROBE, "time_per_byte");
    // Where there is one CPU, all of them together are one thread too.
    settings.retain(|s| {
        s.is("kernel", "read")
            && matches!(s.int("threads"), None | Some(1))
            && !s.params.contains_key("cpus")
    });
    let of_width = |(width, name): (&str, &str)| {
        let points = points(settings.iter().filter(|s| s.is("width", width)));
        (!points.is_empty()).then(|| (name.to_owned(), points))
    };
    WIDTHS.into_iter().filter_map(of_width).collect()
}

/// `None` when the card has no bandwidths.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let lines = merged(lines(summary), COINCIDE, ", ");
    if lines.is_empty() {
        return None;
    }
    let all = || lines.iter().flat_map(|line| &line.1);
    let (x_low, x_high) = ends(all().map(|p| p.0));
    let limits = limits(summary, (x_low, x_high));
    let (y_low, y_high) = ends(all().map(|p| p.1).chain(limits.iter().map(|l| l.y)));
    let series = lines.into_iter().zip(LOOKS).map(|((name, points), (ink, dash, width))| {
        Series::main(&name, String::new(), points).look(ink, dash, width)
    });
    let mut panel = Curves::new(
        Scale::doubling("working set, log", (x_low, x_high.max(x_low * 2.0)), bytes),
        Scale::log("read, GB/s, log", (y_low * 0.8, y_high * 1.25), format::plain),
        series.collect(),
    );
    panel.spans = spans(summary, (x_low, x_high));
    panel.limits = ("published limit", limits);
    let [dram, l1] = ["dram", "l1"]
        .map(|level| metric(summary, &format!("memory.bandwidth.read.{level}_gbs")).map(told));
    let title = match (&l1, &dram) {
        (Some(l1), Some(dram)) => format!("One thread reads {l1} from L1, {dram} from DRAM"),
        (_, Some(dram)) => format!("One thread reads {dram} from DRAM"),
        _ => "Read bandwidth of one thread".into(),
    };
    let each = LEVELS.iter().filter_map(|(id, name)| {
        Some(format!(
            "{} from {name}",
            text_of(summary, &format!("memory.bandwidth.read.{id}_gbs"))?
        ))
    });
    let each: Vec<String> = each.collect();
    Some(Chart {
        name: "bandwidth",
        title,
        subtitle: "Read bandwidth of one thread by working set and width of its loads".into(),
        says: format!("One thread reads {}.", each.join(", ")),
        caption: format!(
            "Other kernels are in the table of bandwidths.{}",
            notes(summary, PROBE, &["time_per_byte"])
        ),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Curves(panel)],
    })
}

/// In ascending order of sizes; of one size the highest rate.
fn points<'a>(settings: impl Iterator<Item = &'a Setting>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = settings
        .filter_map(|s| Some((s.int("working_set").filter(|b| *b > 0)? as f64, 1.0 / s.value)))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    points.dedup_by(|lower, kept| lower.0 == kept.0);
    points
}

/// Lines that are nowhere further apart than `within` as one, with all names.
pub(super) fn merged(lines: Vec<Line>, within: f64, and: &str) -> Vec<Line> {
    let mut kept: Vec<Line> = Vec::new();
    for (name, points) in lines {
        let same = |other: &[(f64, f64)]| {
            let near =
                |(a, b): (&(f64, f64), &(f64, f64))| a.0 == b.0 && (a.1 / b.1 - 1.0).abs() < within;
            other.len() == points.len() && other.iter().zip(&points).all(near)
        };
        match kept.iter_mut().find(|line| same(&line.1)) {
            Some(line) => line.0 = [&line.0, name.as_str()].join(and),
            None => kept.push((name, points)),
        }
    }
    kept
}

/// A level for each cache as measured, and what comes after them.
fn spans(summary: &Summary, (low, high): (f64, f64)) -> Vec<Span> {
    let ends = findings::level_ends(&summary.metrics);
    let mut from = low;
    let mut spans = Vec::new();
    let beyond = if ends.len() == 3 { ("DRAM", high) } else { ("beyond", high) };
    for (name, to) in ends.iter().copied().chain([beyond]) {
        let id = LEVELS.iter().find(|level| level.1 == name).map_or("dram", |level| level.0);
        let rate = metric(summary, &format!("memory.bandwidth.read.{id}_gbs")).map(marked);
        let to = to.clamp(from, high);
        let lines = rate.into_iter().collect();
        // Shade separates levels; what lies between two of them is in neither.
        let (inner, outer) = (from * 1.06, to / 1.06);
        if outer > inner && !ends.is_empty() {
            spans.push(Span { from: inner, to: outer, head: name.into(), lines });
        }
        from = to;
    }
    spans
}

/// What is published for each level, in GB/s at this machine's clock.
fn limits(summary: &Summary, (low, high): (f64, f64)) -> Vec<Limit> {
    let key = machine_view::arch_key(&summary.card.header.machine);
    let ghz = metric(summary, "clock.core_ghz").and_then(number);
    let (Some(key), Some(ghz)) = (key, ghz) else { return Vec::new() };
    let mut from = low;
    let mut limits = Vec::new();
    for (name, to) in findings::level_ends(&summary.metrics) {
        let Some((id, _)) = LEVELS.iter().find(|level| level.1 == name) else { continue };
        let id = format!("memory.bandwidth.read.{id}_bytes_per_cycle");
        if let Some(published) = reference::published(key, &id) {
            limits.push(Limit { from, to: to.clamp(from, high), y: published.high * ghz });
        }
        from = to.clamp(low, high);
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn one_panel_a_line_for_each_width_and_the_metrics_above_them() {
        let summary = fixture::recorded();
        let chart = chart(&summary).unwrap();
        let svg = chart.svg(Form::File);
        for text in ["512 bit", "scalar", "GB/s", "published limit", "DRAM"] {
            assert!(svg.contains(text), "{text}");
        }
        for level in ["l1", "l2", "dram"] {
            let value = metric(&summary, &format!("memory.bandwidth.read.{level}_gbs")).unwrap();
            let shown = format!("\n{}\n", marked(value));
            assert!(svg.contains(&shown), "{level}: {shown}");
        }
    }

    #[test]
    fn lines_that_coincide_are_one_with_both_names() {
        let at = |rate: f64| vec![(1024.0, rate), (4096.0, rate)];
        let lines = [("a", 100.0), ("b", 103.0), ("c", 50.0)].map(|(n, r)| (n.to_owned(), at(r)));
        let names: Vec<String> =
            merged(lines.into(), COINCIDE, ", ").into_iter().map(|line| line.0).collect();
        assert_eq!(names, ["a, b", "c"]);
    }

    #[test]
    fn a_card_without_caches_has_a_picture() {
        let mut summary = fixture::recorded();
        summary.metrics.0.retain(|v| !v.id.starts_with("cache."));
        let chart = chart(&summary).unwrap();
        assert!(!chart.svg(Form::File).contains("NaN"));
        assert!(super::chart(&fixture::empty()).is_none());
    }

    #[test]
    fn rates_are_per_byte_of_the_code() {
        let summary = fixture::recorded();
        let all = series::settings(&summary.card, PROBE, "time_per_byte");
        let own = all.iter().filter(|s| s.is("kernel", "read") && s.is("width", "avx"));
        let own: Vec<&Setting> = own.filter(|s| s.int("threads") == Some(1)).collect();
        let points = points(own.iter().copied());
        assert!(points.len() == own.len() && points.windows(2).all(|w| w[0].0 < w[1].0));
        let fastest = own.iter().map(|s| s.value).fold(f64::MAX, f64::min);
        let most = points.iter().map(|p| p.1).fold(0.0, f64::max);
        assert!((most - 1.0 / fastest).abs() < 1e-9);
    }
}
