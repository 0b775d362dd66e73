//! The latency staircase: the time of one dependent load against the working set, with the levels
//! that were found and the cache sizes that are claimed.

use card::declare::{Level, Select, Unit};

use super::canvas::Dash;
use super::chart::{Chart, Panel};
use super::curves::{Curves, Limit, Mark, Scale, Series, Span, bytes, ends, time};
use super::measured::{listed, metric, number, text, text_of};
use super::notes;
use super::theme::{BLUE_DEEP, BLUE_LIGHT, INK, ORANGE};
use crate::report::view::machine_view::{self, Claim};
use card::format;
use card::machine::human_bytes;
use card::metrics::{self, Plateau, Value};
use card::reference;
use card::series::{self, CurvePoint};
use card::summary::Summary;

const PROBE: &str = "memory-latency";

/// A kernel has one of the three sizes of small pages, and one of huge ones.
const VARIANTS: [(&str, &str, Look); 7] = [
    ("random_2m", "random, 2 MiB pages", Look::Huge),
    ("random_32m", "random, 32 MiB pages", Look::Huge),
    ("random_512m", "random, 512 MiB pages", Look::Huge),
    ("random_4k", "random, 4 KiB pages", Look::Small),
    ("random_16k", "random, 16 KiB pages", Look::Small),
    ("random_64k", "random, 64 KiB pages", Look::Small),
    ("sequential", "sequential", Look::Sequential),
];

#[derive(Clone, Copy, PartialEq)]
enum Look {
    Huge,
    Small,
    Sequential,
}

/// Less than this share of a claimed size is a claim that fails.
const HOLDS: f64 = 0.75;

/// A level as found: its place on the curve, and what the metrics say of it.
pub(super) struct Step<'a> {
    pub(super) name: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) ns: String,
    pub(super) cycles: Option<String>,
    /// Its size, by the better one of two methods; memory has none.
    size: Option<&'a Value>,
    id: &'static str,
}

/// A claim and the size that was measured.
pub(super) struct Held<'a> {
    pub(super) claim: Claim,
    pub(super) measured: Option<&'a Value>,
}

impl Held<'_> {
    pub(super) fn fails(&self) -> bool {
        let most = self.measured.and_then(|v| v.high.or(v.value));
        most.is_some_and(|bytes| bytes < HOLDS * self.claim.bytes as f64)
    }

    /// `L3 32 MiB`
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.claim.label, human_bytes(self.claim.bytes))
    }
}

/// The claimed caches, each with its size as measured.
pub(super) fn held(summary: &Summary) -> Vec<Held<'_>> {
    let claims = machine_view::claims(&summary.card.header.machine).into_iter();
    let best = |claim: &Claim| claim.metrics.iter().find_map(|id| metric(summary, id));
    claims.map(|claim| Held { measured: best(&claim), claim }).collect()
}

/// The levels on the curve of random loads in huge pages.
pub(super) fn steps(summary: &Summary) -> Vec<Step<'_>> {
    let huge = VARIANTS.iter().filter(|v| v.2 == Look::Huge);
    let of = |variant| metrics::plateaus(&summary.card, PROBE, &select(variant));
    huge.flat_map(|v| of(v.0)).map(|plateau| step(summary, plateau)).collect()
}

fn step(summary: &Summary, plateau: Plateau) -> Step<'_> {
    let (name, id, level) = match plateau.level {
        Level::L1 => ("L1D", "l1", Some(0)),
        Level::L2 => ("L2", "l2", Some(1)),
        Level::L3 => ("L3", "l3", Some(2)),
        Level::Dram => ("DRAM", "dram", None),
    };
    let ids = level.and_then(|level| card::findings::size_ids().nth(level));
    let size = ids.and_then(|(_, ids)| ids.into_iter().find_map(|id| metric(summary, id)));
    let text = |unit: &str| text_of(summary, &format!("memory.latency.{id}_{unit}"));
    let end = size.and_then(number).filter(|end| *end > plateau.from);
    Step {
        name,
        from: plateau.from,
        to: end.unwrap_or(plateau.to),
        ns: text("ns").unwrap_or_else(|| format::quantity(plateau.ns, Unit::Ns)),
        cycles: text("cycles"),
        size,
        id,
    }
}

impl Step<'_> {
    /// `L2: 1 MiB`
    fn head(&self) -> String {
        match self.size {
            Some(value) => format!("{}: {}", self.name, format::size(value)),
            None => self.name.to_owned(),
        }
    }

    /// What is published of it, in ns at this machine's clock.
    fn limit(&self, summary: &Summary) -> Option<Limit> {
        let key = machine_view::arch_key(&summary.card.header.machine)?;
        let cycles = reference::published(key, &format!("memory.latency.{}_cycles", self.id))?;
        let ghz = metric(summary, "clock.core_ghz").and_then(number)?;
        let y = (cycles.low + cycles.high) / 2.0 / ghz;
        Some(Limit { from: self.from, to: self.to, y })
    }
}

fn select(variant: &'static str) -> Select {
    Select::of("latency", &[("variant", variant)])
}

/// `None` when the card has no latency curve.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let curves: Vec<Series> =
        VARIANTS.into_iter().filter_map(|variant| curve(summary, variant)).collect();
    if curves.is_empty() {
        return None;
    }
    let steps = steps(summary);
    let held = held(summary);
    let points = || curves.iter().flat_map(|s| &s.points);
    let (x_low, x_high) = ends(points().map(|p| p.0));
    let bands = curves.iter().flat_map(|s| &s.band).flat_map(|b| [b.0, b.1]);
    let (y_low, y_high) = ends(points().map(|p| p.1).chain(bands));
    let mut panel = Curves::new(
        Scale::doubling("working set, log", (x_low, x_high.max(x_low * 2.0)), bytes),
        Scale::log("load-to-use latency, log", (y_low * 0.8, y_high * 1.25), time),
        curves,
    );
    panel.spans = steps
        .iter()
        .map(|step| Span {
            from: step.from,
            to: step.to,
            head: step.head(),
            lines: [step.ns.clone()].into_iter().chain(step.cycles.clone()).collect(),
        })
        .collect();
    panel.marks = held
        .iter()
        .map(|held| Mark {
            at: held.claim.bytes as f64,
            name: format!("claimed {}", held.name()),
            ink: if held.fails() { ORANGE } else { INK },
        })
        .collect();
    let limits = steps.iter().filter_map(|step| step.limit(summary)).collect();
    panel.limits = ("published latency", limits);
    Some(Chart {
        name: "staircase",
        title: title(&steps, &held),
        subtitle: "One dependent load at a time, by working set; pale: spread between rounds"
            .into(),
        says: says(&steps, &held),
        caption: format!(
            "Shaded: levels as measured. Dashed: sizes that the machine claims.{}{}",
            early(summary, &steps),
            notes(summary, PROBE, &["latency"])
        ),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Curves(panel)],
    })
}

fn points(summary: &Summary, variant: &'static str) -> Vec<CurvePoint> {
    let mut points = series::curve(&summary.card, PROBE, &select(variant), "working_set");
    points.retain(|p| p.x > 0.0 && p.low > 0.0 && p.high.is_finite());
    points
}

/// The latency of random loads by working set, ns, in the largest pages that there are.
pub(super) fn random(summary: &Summary) -> Vec<(f64, f64)> {
    let random = VARIANTS.iter().filter(|variant| variant.2 != Look::Sequential);
    let mut all = random.map(|variant| points(summary, variant.0));
    let points = all.find(|points| !points.is_empty()).unwrap_or_default();
    points.iter().map(|p| (p.x, p.value)).collect()
}

fn curve(summary: &Summary, (variant, name, look): (&'static str, &str, Look)) -> Option<Series> {
    let points = points(summary, variant);
    let end = points.last()?;
    let own = match look {
        Look::Huge => metric(summary, "memory.latency.dram_ns"),
        Look::Small => metric(summary, "memory.latency.dram_4k_ns"),
        Look::Sequential => None,
    };
    let value = own.map_or_else(|| format::within(end.value, (end.low, end.high), Unit::Ns), text);
    let band = points.iter().map(|p| (p.low, p.high)).collect();
    let series = Series::main(name, value, points.iter().map(|p| (p.x, p.value)).collect());
    Some(match look {
        Look::Huge => Series { band, ..series },
        Look::Small => series.look(BLUE_DEEP, Dash::Long, 1.8),
        Look::Sequential => series.look(BLUE_LIGHT, Dash::Solid, 1.8),
    })
}

/// `L1d and L2 as claimed, L3 ends at 3.4–8.9 MiB of 32 MiB`
fn title(steps: &[Step<'_>], held: &[Held<'_>]) -> String {
    let (fail, hold): (Vec<&Held<'_>>, Vec<_>) =
        held.iter().filter(|h| h.measured.is_some()).partition(|h| h.fails());
    let hold: Vec<String> = hold.iter().map(|h| h.claim.label.to_owned()).collect();
    let fails = fail.iter().filter_map(|h| {
        let claimed = human_bytes(h.claim.bytes);
        Some(format!("{} ends at {} of {claimed}", h.claim.label, format::size(h.measured?)))
    });
    let holds = (!hold.is_empty()).then(|| format!("{} as claimed", listed(&hold)));
    let parts: Vec<String> = holds.into_iter().chain(fails).collect();
    match (&parts[..], steps) {
        ([], [first, .., last]) => {
            format!("{} latency {}, {} {}", first.name, first.ns, last.name, last.ns)
        }
        ([], _) => "Latency by working set".into(),
        _ => parts.join(", "),
    }
}

fn says(steps: &[Step<'_>], held: &[Held<'_>]) -> String {
    let step = |s: &Step<'_>| {
        let cycles = s.cycles.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
        format!("{}, {}{cycles}", s.head(), s.ns)
    };
    let steps: Vec<String> = steps.iter().map(step).collect();
    let claimed: Vec<String> = held.iter().map(Held::name).collect();
    let claimed = match &claimed[..] {
        [] => String::new(),
        _ => format!(" Claimed: {}.", claimed.join(", ")),
    };
    format!("Latency rises in steps with the working set: {}.{claimed}", steps.join("; "))
}

/// The curve may leave a level before it ends: its lines collide where pages are scattered.
fn early(summary: &Summary, steps: &[Step<'_>]) -> String {
    let knee = metric(summary, "cache.l2_knee_bytes").and_then(number);
    let l2 = steps.iter().find(|s| s.id == "l2").and_then(|s| s.size).and_then(number);
    match (knee, l2) {
        (Some(knee), Some(l2)) if knee < HOLDS * l2 => {
            format!(" Early rise from {} on: 4 KiB host pages collide in L2 sets.", bytes(knee))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;
    use card::record::Param;

    #[test]
    fn levels_claims_and_units_are_drawn() {
        let svg = chart(&fixture::recorded()).unwrap().svg(Form::File);
        for text in ["L1D: ", "DRAM", "claimed", "KiB", "MiB", "100 ns", "cycles", "published"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    /// The size on the picture is that of the better method, and a failed claim is in orange.
    #[test]
    fn sizes_are_those_of_the_metrics() {
        let summary = fixture::recorded();
        let l2 = text(metric(&summary, "cache.l2_bytes").unwrap());
        let picture = chart(&summary).unwrap();
        let svg = picture.svg(Form::File);
        assert!(svg.contains(&format!("\nL2: {l2}\n")), "{l2}: {}", picture.says);
        let fails = held(&summary).iter().filter(|h| h.fails()).count();
        let dashes = svg.split("<g stroke-dasharray").skip(1);
        let orange = dashes.filter(|g| g.split("</g>").next().unwrap().contains(ORANGE.hex));
        assert_eq!(orange.count(), fails.min(1));
    }

    #[test]
    fn pages_of_other_kernels_are_drawn_as_large_as_they_are() {
        let mut summary = fixture::recorded();
        let as_4k = steps(&summary).len();
        for (old, new) in [("random_4k", "random_16k"), ("random_2m", "random_32m")] {
            let variants =
                summary.card.points.iter_mut().filter_map(|p| p.params.get_mut("variant"));
            variants.filter(|v| **v == Param::from(old)).for_each(|v| *v = Param::from(new));
        }
        assert_eq!(steps(&summary).len(), as_4k);
        let svg = chart(&summary).unwrap().svg(Form::File);
        assert!(svg.contains("random, 16 KiB pages") && svg.contains("random, 32 MiB pages"));
        assert!(!svg.contains(", 4 KiB pages") && !svg.contains(", 2 MiB pages"));
    }

    #[test]
    fn what_the_card_notes_on_a_curve_is_told() {
        let mut summary = fixture::recorded();
        let caption = |summary: &Summary| chart(summary).unwrap().caption;
        assert!(!caption(&summary).contains("huge pages not granted"));
        let huge = Param::from("random_2m");
        let points = summary.card.points.iter_mut();
        points
            .filter(|p| p.params.get("variant") == Some(&huge))
            .for_each(|p| p.note = Some("huge pages not granted: 4K".into()));
        assert!(caption(&summary).contains("huge pages not granted"));
    }

    #[test]
    fn no_curve_no_picture() {
        assert!(chart(&fixture::empty()).is_none());
    }
}
