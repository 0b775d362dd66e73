//! The noise histogram: how long, and how much of the time, somebody else had the CPU.

use card::declare::Unit;
use card::record::Point;

use super::chart::{Chart, Panel};
use super::curves::{Bar, Curves, Mark, Scale, time};
use super::measured::{interval, metric, number, text, told};
use super::theme::INK;
use card::format;
use card::summary::Summary;

/// Bars per factor of ten.
const PER_DECADE: f64 = 5.0;

/// Gaps of a like length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    gaps: f64,
    ns: f64,
}

/// From 1 µs upward, [`PER_DECADE`] bins to each factor of ten, and how long was watched.
fn bins(summary: &Summary) -> Option<(Vec<Bin>, f64)> {
    let samples = |quantity: &'static str| {
        let is = move |p: &&Point| p.quantity == quantity && p.probe == "noise";
        summary.card.points.iter().filter(is).flat_map(|p| p.samples.iter().copied())
    };
    let observed: f64 = samples("observed_ns").sum();
    let longest = samples("gap").fold(1e3, f64::max);
    (observed > 0.0 && observed.is_finite() && longest.is_finite()).then(|| {
        let mut bins = vec![Bin::default(); bin(longest).max(bin(1e6)) + 1];
        for ns in samples("gap").filter(|ns| *ns > 0.0) {
            let bin = &mut bins[bin(ns)];
            bin.gaps += 1.0;
            bin.ns += ns;
        }
        (bins, observed)
    })
}

/// `None` when the card does not say how long the thread was watched.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let (bins, observed) = bins(summary)?;
    let share = |ns: f64| 100.0 * ns / observed;
    let per_second = |gaps: f64| gaps / (observed / 1e9);
    let most = bins.iter().map(|bin| share(bin.ns)).fold(1e-4, f64::max);
    let percent = |v: f64| if v == 0.0 { "0".into() } else { format!("{} %", format::plain(v)) };
    let range = (edge(0), edge(bins.len()));
    let mut panel = Curves::new(
        Scale::log("length of a gap, log", range, time),
        Scale::linear("CPU time lost", (0.0, most * 1.15), percent),
        Vec::new(),
    );
    let bars = bins.iter().enumerate().filter(|(_, bin)| bin.gaps > 0.0);
    panel.bars = bars
        .map(|(i, bin)| Bar {
            from: edge(i),
            to: edge(i + 1),
            height: share(bin.ns),
            label: vec![format!("{}/s", rate(per_second(bin.gaps)))],
        })
        .collect();
    let p99 = metric(summary, "noise.gap_p99_ns");
    let mark = p99.and_then(|p99| {
        let at = number(p99).filter(|ns| *ns >= edge(0))?;
        Some(Mark { at, name: format!("p99 gap {}", text(p99)), ink: INK })
    });
    panel.marks.extend(mark);
    let gaps = rate(per_second(bins.iter().map(|bin| bin.gaps).sum()));
    // The metric's word where there is one: the page must not state the share twice, and
    // differently.
    let ratio = metric(summary, "noise.gap_ratio");
    let all = share(bins.iter().map(|bin| bin.ns).sum());
    let lost = ratio.map_or_else(|| percent(all), told);
    let rounds = ratio.map(|v| format!(" (rounds {})", interval(v))).unwrap_or_default();
    Some(Chart {
        name: "noise",
        title: format!("{lost} of CPU time lost to gaps above 1 µs, {gaps} a second"),
        subtitle: "OS and hypervisor noise by length of the gap".into(),
        says: format!(
            "A thread that never rests lost {lost}{rounds} of its time to gaps above 1 µs, {gaps} a \
             second{}.",
            p99.map(|v| format!("; 99 % of them are below {}", text(v))).unwrap_or_default()
        ),
        caption: format!(
            "On the bars: gaps per second. Observed for {}{rounds}.",
            format::quantity(observed, Unit::Ns)
        ),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Curves(panel)],
    })
}

/// The bin of a gap; shorter ones than a microsecond count as one.
fn bin(ns: f64) -> usize {
    ((ns / 1e3).max(1.0).log10() * PER_DECADE + 1e-9).floor() as usize
}

/// Where a bin begins, in ns.
fn edge(bin: usize) -> f64 {
    1e3 * 10f64.powf(bin as f64 / PER_DECADE)
}

/// Two digits are enough on a bar.
fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e6 => format::number(r),
        r if r >= 9.95 => format!("{r:.0}"),
        r if r >= 0.995 => format!("{r:.1}"),
        r if r >= 0.005 => format::plain((r * 100.0).round() / 100.0),
        _ => "<0.01".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn gaps_fall_into_bins_of_a_fifth_of_a_decade() {
        assert_eq!((bin(500.0), bin(1e3), bin(1e4), bin(1.01e6)), (0, 0, 5, 15));
        assert!((edge(5) - 1e4).abs() < 1e-6);
    }

    #[test]
    fn both_axes_have_units_and_nothing_observed_is_left_out() {
        let summary = fixture::recorded();
        let (bins, _) = bins(&summary).unwrap();
        let gaps = summary.card.points.iter().filter(|p| p.quantity == "gap");
        let gaps: Vec<f64> = gaps.flat_map(|p| p.samples.clone()).collect();
        assert_eq!(bins.iter().map(|b| b.gaps).sum::<f64>(), gaps.len() as f64);
        let lost = bins.iter().map(|b| b.ns).sum::<f64>() / gaps.iter().sum::<f64>();
        assert!((lost - 1.0).abs() < 1e-9, "{lost}");
        let chart = chart(&summary).unwrap();
        let svg = chart.svg(Form::File);
        for text in ["µs", "1 ms", "/s", "CPU time lost", "p99 gap"] {
            assert!(svg.contains(text), "{text}");
        }
        let share = told(summary.metrics.get("noise.gap_ratio").unwrap());
        assert!(chart.title.starts_with(&share), "{}", chart.title);
    }

    #[test]
    fn no_watching_no_picture() {
        assert!(chart(&fixture::empty()).is_none());
    }
}
