//! The TLB: what an access costs by how many pages are touched, with the found reach of both levels
//! beside the published one.

use card::declare::Unit;

use super::canvas::Dash;
use super::chart::{Chart, Panel};
use super::curves::{Curves, Mark, Scale, Series, ends};
use super::measured::{listed, metric, number};
use super::notes;
use super::theme::{BLUE_DEEP, INK, MUTED};
use crate::report::view::machine_view;
use card::format;
use card::reference;
use card::series::{self, Setting};
use card::summary::Summary;

const PROBE: &str = "tlb";

/// A kernel has one of the three sizes of small pages, and one of huge ones.
const VARIANTS: [(&str, &str); 9] = [
    ("4k", "4 KiB pages"),
    ("16k", "16 KiB pages"),
    ("64k", "64 KiB pages"),
    ("2m", "in 2 MiB pages"),
    ("32m", "in 32 MiB pages"),
    ("512m", "in 512 MiB pages"),
    ("4k_control", "same lines, packed"),
    ("16k_control", "same lines, packed"),
    ("64k_control", "same lines, packed"),
];

/// A level of the TLB as found, with what is published of it.
struct Reach {
    name: &'static str,
    entries: f64,
    published: Option<String>,
}

/// `None` when the card has no such curve.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let settings = series::settings(&summary.card, PROBE, "latency");
    // Without the clock beside every point, times must do.
    let cycles = settings.iter().all(|s| s.cycles.is_some());
    let unit = if cycles { Unit::Cycles } else { Unit::Ns };
    let curve = |(variant, name): (&str, &str)| {
        let points = points(&settings, variant, cycles);
        let value = format::quantity(points.last().filter(|_| points.len() > 1)?.1, unit);
        let series = Series::main(name, value, points);
        Some(match variant {
            "4k" | "16k" | "64k" => series,
            "2m" | "32m" | "512m" => series.look(BLUE_DEEP, Dash::Long, 2.0),
            _ => series.look(MUTED, Dash::Solid, 1.4),
        })
    };
    let curves: Vec<Series> = VARIANTS.into_iter().filter_map(curve).collect();
    if curves.is_empty() {
        return None;
    }
    let levels = [("L1 DTLB", "tlb.l1_entries"), ("L2 DTLB", "tlb.l2_entries")];
    let reaches: Vec<Reach> = levels.into_iter().filter_map(|l| reach(summary, l)).collect();
    let all = || curves.iter().flat_map(|c| &c.points);
    let (x_low, x_high) = ends(all().map(|p| p.0));
    let (y_low, y_high) = ends(all().map(|p| p.1));
    let count = |n: f64| format::quantity(n, Unit::Count);
    let mut panel = Curves::new(
        Scale::doubling("pages touched, log", (x_low, x_high.max(x_low * 2.0)), count),
        Scale::log("time per access, log", (y_low * 0.8, y_high * 1.2), |v| {
            format::quoted(v, unit)
        }),
        curves,
    );
    let mark = |reach: &Reach| Mark {
        at: reach.entries,
        name: reach.text().replace(" entries", ""),
        ink: INK,
    };
    panel.marks = reaches.iter().map(mark).collect();
    // Each page gives one line: from here on they do not fit into L1.
    let l1 = metric(summary, "cache.l1d_bytes").and_then(number).map(|bytes| bytes / 64.0);
    let l1 = l1.filter(|lines| (x_low..x_high).contains(lines));
    panel.marks.extend(l1.map(|lines| Mark {
        at: lines,
        name: format!("L1D full: {lines:.0} lines"),
        ink: MUTED,
    }));
    let found: Vec<String> = reaches.iter().map(Reach::text).collect();
    Some(Chart {
        name: "tlb",
        title: match &found[..] {
            [] => "DTLB reach was not found".into(),
            _ => listed(&found),
        },
        subtitle: "DTLB reach: latency per access against pages touched".into(),
        says: format!("DTLB reach: {}.", listed(&found)),
        caption: format!(
            "Baseline: same lines packed; above it, address translation. Where huge pages rise with \
             small ones, the host backs them with small pages.{}",
            notes(summary, PROBE, &["latency"])
        ),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Curves(panel)],
    })
}

impl Reach {
    /// `L2 DTLB 3210 entries (3072 published)`
    fn text(&self) -> String {
        let entries = format::quantity(self.entries, Unit::Count);
        let published = self.published.as_ref();
        let published = published.map(|p| format!(" ({p} published)")).unwrap_or_default();
        format!("{} {entries} entries{published}", self.name)
    }
}

fn points(settings: &[Setting], variant: &str, cycles: bool) -> Vec<(f64, f64)> {
    let of = settings.iter().filter(|s| s.is("variant", variant));
    let y = |s: &Setting| if cycles { s.cycles } else { Some(s.value) };
    let mut points: Vec<(f64, f64)> =
        of.filter_map(|s| Some((s.int("pages").filter(|n| *n > 0)? as f64, y(s)?))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn reach(summary: &Summary, (name, id): (&'static str, &str)) -> Option<Reach> {
    let entries = metric(summary, id).and_then(number)?;
    let published = machine_view::arch_key(&summary.card.header.machine)
        .and_then(|key| reference::published(key, id))
        .map(|p| format::range(p.low, p.high, Unit::Count));
    Some(Reach { name, entries, published })
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn curves_reaches_and_published_values_are_drawn() {
        let summary = fixture::recorded();
        let svg = chart(&summary).unwrap().svg(Form::File);
        for text in ["4 KiB pages", "in 2 MiB pages", "same lines", "L1 DTLB", "cycles"] {
            assert!(svg.contains(text), "{text}");
        }
        for id in ["tlb.l1_entries", "tlb.l2_entries"] {
            let found = format::quantity(summary.metrics.number(id).unwrap(), Unit::Count);
            let published = reference::published("zen4", id).unwrap();
            let published = format::range(published.low, published.high, Unit::Count);
            let text = format!("{found} entries ({published} published)");
            assert!(svg.contains(&text), "{text}");
        }
    }

    #[test]
    fn without_a_clock_or_a_reach_times_are_drawn() {
        let mut summary = fixture::recorded();
        summary.card.points.iter_mut().for_each(|p| p.core_ghz = Vec::new());
        summary.metrics.0.retain(|v| !v.id.starts_with("tlb."));
        let svg = chart(&summary).unwrap().svg(Form::File);
        assert!(svg.contains("10 ns") && !svg.contains("cycles") && !svg.contains("NaN"));
    }

    #[test]
    fn one_variant_is_enough_and_none_is_no_picture() {
        let mut card = fixture::recorded().card;
        card.points.retain(|p| p.params.get("variant").is_some_and(|v| v.to_string() == "4k"));
        assert!(!chart(&Summary::of(card)).unwrap().svg(Form::File).contains("NaN"));
        assert!(chart(&fixture::empty()).is_none());
    }
}
