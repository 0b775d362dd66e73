//! A whole quick run on whatever machine this is. Structure, counts, ratios and invariants: never
//! absolute times.

use std::collections::BTreeSet;

use card::metrics::{Metrics, State};
use card::record::{Param, Skip};
use probecard_probes::catalog;

use crate::common::run::{Run, measured_once, number};

/// What is there and not noisy is in order.
fn ascend(metrics: &Metrics, ids: &[&str]) {
    let believed = |id: &&str| metrics.get(id).filter(|v| v.state == State::Ok)?.value;
    let values: Vec<f64> = ids.iter().filter_map(believed).collect();
    assert!(values.windows(2).all(|w| w[0] < w[1]), "{values:?}");
}

#[test]
fn a_quick_run_measures_everything_and_its_numbers_hang_together() {
    let run = measured_once();
    let Run { card, metrics, .. } = run;
    // Drawing is not counted: it takes ten times as long in a debug build.
    let took = card.end.as_ref().unwrap().wall_s;
    assert!(took < 33.0, "quick takes 30 s and a tenth at most: {took}");

    // Every probe ran every round, or two where a slow host left no time for the third, which the card
    // says; and every declared metric has an answer or a reason.
    let rounds = |probe: &str| (0..3).filter(|&round| card.has_round(probe, round)).count();
    for probe in catalog::ALL {
        let late = |skip: &Skip| skip.probe == probe.name && skip.need == "time for every round";
        let least = if card.skips.iter().any(late) { 2 } else { 3 };
        assert!(rounds(probe.name) >= least, "{}", probe.name);
        for metric in &*probe.declaration().metrics {
            let value = metrics.get(&metric.id).expect("a declared metric");
            match value.state {
                State::Ok => {}
                _ => assert!(value.reason.is_some(), "{} has no reason", metric.id),
            }
        }
    }
    let raw: Vec<&f64> = card.points.iter().flat_map(|p| &p.samples).collect();
    assert!(raw.len() > 2000 && raw.iter().all(|s| s.is_finite() && **s >= 0.0));

    // The curve: at least four sizes an octave, from 4 KiB up, of which each round has a third.
    let sizes: BTreeSet<i64> = card
        .points
        .iter()
        .filter(|p| p.params.get("variant") == Some(&Param::Text("random_2m".into())))
        .filter_map(|p| number(p, "working_set"))
        .collect();
    let octaves = (*sizes.last().unwrap() as f64 / *sizes.first().unwrap() as f64).log2();
    assert!(sizes.first().is_some_and(|&least| least < 8192));
    let due = 4.0 * octaves * rounds("memory-latency") as f64 / 3.0;
    assert!(sizes.len() as f64 >= due.floor(), "{} sizes in {octaves} octaves", sizes.len());

    // Invariants that hold on every machine.
    ascend(
        metrics,
        &[
            "memory.latency.l1_ns",
            "memory.latency.l2_ns",
            "memory.latency.l3_ns",
            "memory.latency.dram_ns",
        ],
    );
    ascend(metrics, &["cache.l1d_knee_bytes", "cache.l2_knee_bytes", "cache.l3_knee_bytes"]);
    ascend(metrics, &["clock.empty_kernel_ns", "memory.read_1m_sequential_ns"]);
    let believed = |id: &str| metrics.get(id).filter(|v| v.state == State::Ok)?.value;
    if let (Some(ratio), Some(cycles)) =
        (believed("clock.mul_add_ratio"), believed("clock.multiply_cycles"))
    {
        // A busy sibling delays multiplications more than additions.
        let above = -0.1..0.5;
        assert!(
            above.contains(&(ratio - cycles)),
            "{cycles} cycles in the time of {ratio} additions"
        );
    }
    if let (Some(line), Some(claim)) =
        (believed("cache.line_bytes"), card.header.machine.claimed_line_bytes())
    {
        assert_eq!(line, claim as f64, "by vote of several methods");
    }
    if let (Some(ns), Some(cycles), Some(ghz)) = (
        believed("memory.latency.l1_ns"),
        believed("memory.latency.l1_cycles"),
        believed("clock.core_ghz"),
    ) {
        assert!((cycles / (ns * ghz) - 1.0).abs() < 0.1, "{ns} ns, {cycles} cycles, {ghz} GHz");
    }
}
