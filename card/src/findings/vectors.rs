//! What vectors give, where that ends, and what they cost besides.

use super::{Finding, believed};
use crate::metrics::{Metrics, State};

/// The instruction sets that have speed-ups, widest first: as in ids, their names, and what to call
/// their vectors.
const WIDTHS: [(&str, &str, &str); 5] = [
    ("avx512", "AVX-512", "512-bit"),
    ("avx", "AVX", "256-bit"),
    ("sse", "SSE", "128-bit"),
    ("sve", "SVE", "SVE"),
    ("neon", "NEON", "128-bit"),
];
const PEAK: &str = "simd.peak.f32_gflops";
const PORTS: &str = "simd.peak_ratio";
const ALONE: &str = "simd.peak.f32_fma_flops_per_cycle";
const SUBNORMAL: &str = "simd.denormal_ratio";

pub(super) fn find(metrics: &Metrics) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        [headline(metrics), no_wider(metrics), peak(metrics), ports(metrics), subnormal(metrics)]
            .into_iter()
            .flatten()
            .collect();
    found.extend(WIDTHS.iter().filter_map(|(width, _, kind)| clock(metrics, width, kind)));
    found.extend(WIDTHS.iter().filter_map(|(width, _, kind)| warm_up(metrics, width, kind)));
    found
}

/// The number, if the rounds agree.
fn steady(metrics: &Metrics, id: &str) -> Option<f64> {
    metrics.get(id).filter(|v| v.state == State::Ok).and_then(|v| v.value)
}

/// "AVX-512 sums 15.8× as fast as scalar in L1, 1.1× in DRAM."
fn headline(metrics: &Metrics) -> Option<Finding> {
    let id = |width: &str, level: &str| format!("simd.sum.{width}.{level}_ratio");
    let (width, name, bits) =
        WIDTHS.iter().find(|w| believed(metrics, &id(w.0, "l1")).is_some())?;
    let (near, far) = (id(width, "l1"), id(width, "dram"));
    let (l1, dram) = (believed(metrics, &near)?, believed(metrics, &far)?);
    let naive = ["l1", "dram"].map(|level| believed(metrics, &id("naive", level)));
    let naive = match naive {
        [Some(near), Some(far)] => {
            format!(", {:.1}× and {:.1}× against one accumulator", l1 / near, dram / far)
        }
        _ => String::new(),
    };
    let narrower =
        WIDTHS.iter().skip_while(|w| w.0 != *width).skip(1).find_map(|(width, name, bits)| {
            let (l1_too, dram_too) = (id(width, "l1"), id(width, "dram"));
            let (l1_too, dram_too) = (believed(metrics, &l1_too)?, believed(metrics, &dram_too)?);
            (l1_too > l1 / MORE)
                .then(|| (bits, format!("; {name} reaches {l1_too:.1}× and {dram_too:.1}×")))
        });
    // The narrowest that does as well is what one needs.
    let (bits, narrower) = narrower.unwrap_or((bits, String::new()));
    let headline = format!("{name} sum {l1:.1}× scalar in L1, {dram:.1}× in DRAM");
    let cause = format!("against scalar code with 8 accumulators{naive}{narrower}");
    let action = format!("{bits} SIMD in cache");
    Some(Finding::advice("SIMD_GAIN", headline, l1, &action).cause(cause).of(&[&near, &far]))
}

/// Twice the width must give this much more to be worth its name.
const MORE: f64 = 1.1;

/// Wide registers on narrow ports.
fn no_wider(metrics: &Metrics) -> Option<Finding> {
    let [narrow, wide] = ["avx", "avx512"].map(|w| format!("simd.fma.f32.{w}.flops_per_cycle"));
    let (of_narrow, of_wide) = (believed(metrics, &narrow)?, believed(metrics, &wide)?);
    (of_wide < of_narrow * MORE).then(|| {
        let headline =
            format!("512-bit FMA {of_wide:.0} FLOP/cycle, 256-bit {of_narrow:.0}: no gain");
        Finding::no_gain("SIMD_512", headline).of(&[&wide, &narrow])
    })
}

/// What one core can do, and whether additions come on top of multiply-adds.
fn peak(metrics: &Metrics) -> Option<Finding> {
    let (gflops, alone) = (believed(metrics, PEAK)?, believed(metrics, ALONE)?);
    let mixes = WIDTHS.iter().filter_map(|(width, ..)| {
        let id = format!("simd.fma_add.f32.{width}.flops_per_cycle");
        Some((believed(metrics, &id)?, id))
    });
    let (mixed, id) = mixes.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let headline = format!("peak of one core: {gflops:.0} GFLOP/s in f32");
    let cause = if mixed > alone * MORE {
        format!(
            "FADD ports are separate: FMA + FADD reach {mixed:.0} FLOP/cycle, FMA alone {alone:.0}"
        )
    } else {
        format!("FMA and FADD share ports: FMA alone reaches {alone:.0} FLOP/cycle")
    };
    Some(Finding::limit("PEAK_FLOPS", headline).cause(cause).of(&[PEAK, ALONE, &id]))
}

/// Share of the published rate below which a core does not have the ports, or not for us.
const LEAST_SHARE: f64 = 0.97;

fn ports(metrics: &Metrics) -> Option<Finding> {
    let share = steady(metrics, PORTS).filter(|share| *share < LEAST_SHARE)?;
    let headline = format!("FMA reaches {:.0} % of the published throughput", 100.0 * share);
    let cause = "fewer FMA ports on this model, or an active SMT sibling";
    Some(Finding::limit("FMA_PORTS", headline).cause(cause).of(&[PORTS]))
}

/// Times from which a subnormal number is worth a word.
const SLOWER: f64 = 1.5;

fn subnormal(metrics: &Metrics) -> Option<Finding> {
    let value = metrics.get(SUBNORMAL).filter(|v| matches!(v.state, State::Ok | State::Noisy))?;
    let times = value.high.filter(|times| *times >= SLOWER)?;
    // What the control register calls it: that of x86, or of aarch64.
    let x86 = metrics.get("simd.add.f32.neon.latency_cycles").is_none();
    let flag = if x86 { "FTZ and DAZ" } else { "FPCR.FZ" };
    let headline = format!("multiply with subnormal result: up to {times:.1}×");
    let action = format!("{flag} for subnormals");
    Some(Finding::advice("SUBNORMALS", headline, times, &action).of(&[SUBNORMAL]))
}

fn clock(metrics: &Metrics, width: &str, kind: &str) -> Option<Finding> {
    let id = format!("simd.clock.{width}_all_core_ratio");
    let ratio = steady(metrics, &id).filter(|ratio| *ratio < LEAST_SHARE)?;
    let lost = 100.0 * (1.0 - ratio);
    let headline = format!("{kind} FMA on all CPUs: core clock {lost:.0} % below scalar on one");
    Some(Finding::limit("ALL_CORE_CLOCK", headline).of(&[&id]))
}

/// Upper lanes that power up take ten microseconds and more.
const POWERING_UP: f64 = 5000.0;

fn warm_up(metrics: &Metrics, width: &str, kind: &str) -> Option<Finding> {
    let id = format!("simd.warm_up.{width}_ns");
    let narrow = ["simd.warm_up.sse_ns", "simd.warm_up.neon_ns"].map(|id| metrics.number(id));
    let extra = believed(metrics, &id)? - narrow.into_iter().flatten().next()?;
    (extra > POWERING_UP).then(|| {
        let headline = format!("{kind} units power up in {:.0} µs after 1 ms idle", extra / 1000.0);
        Finding::limit("SIMD_WARM_UP", headline).of(&[&id])
    })
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::tests::{said, value};
    use super::*;
    use crate::fixture;
    use crate::metrics::Value;

    fn ratio(id: &str, number: f64) -> Value {
        value(id, Unit::Ratio, number)
    }

    fn per_cycle(id: &str, number: f64) -> Value {
        value(id, Unit::PerCycle, number)
    }

    #[test]
    fn the_headline_is_the_widest_in_l1_and_in_memory() {
        let mut values = vec![
            ratio("simd.sum.sse.l1_ratio", 4.0),
            ratio("simd.sum.avx512.l1_ratio", 15.8),
            ratio("simd.sum.avx512.dram_ratio", 1.1),
        ];
        let text = said(values.clone()).join("\n");
        assert!(text.contains("AVX-512 sum 15.8× scalar") && text.contains("1.1×"));
        assert!(!text.contains("accumulator,") && !text.contains("one accumulator"));
        values.push(ratio("simd.sum.naive.l1_ratio", 0.2));
        values.push(ratio("simd.sum.naive.dram_ratio", 0.5));
        let text = said(values).join("\n");
        assert!(text.contains("79.0× and 2.2× against one accumulator"), "{text}");
    }

    #[test]
    fn wide_registers_on_narrow_ports_are_named() {
        let of = |wide| {
            let values = vec![
                per_cycle("simd.fma.f32.avx.flops_per_cycle", 32.0),
                per_cycle("simd.fma.f32.avx512.flops_per_cycle", wide),
            ];
            said(values).join("\n")
        };
        assert!(of(32.1).contains("no gain"));
        assert_eq!(of(63.0), "");
    }

    #[test]
    fn what_is_slow_is_named_and_what_is_not_is_not() {
        let text = said(vec![ratio(SUBNORMAL, 160.0)]).join("\n");
        assert!(text.contains("160.0×") && text.contains("FTZ"), "{text}");
        let text = said(vec![ratio(PORTS, 0.5)]).join("\n");
        assert!(text.contains("50 % of the published"), "{text}");
        let text = said(vec![ratio("simd.clock.avx512_all_core_ratio", 0.8)]).join("\n");
        assert!(text.contains("20 % below"), "{text}");
        let ns = |id, n| value(id, Unit::Ns, n);
        let text =
            said(vec![ns("simd.warm_up.sse_ns", 900.0), ns("simd.warm_up.avx_ns", 14_900.0)]);
        assert!(text.join("\n").contains("power up in 14 µs"), "{text:?}");
        let quiet = vec![
            ratio(SUBNORMAL, 1.02),
            ratio(PORTS, 0.99),
            ratio("simd.clock.avx_all_core_ratio", 1.0),
            ns("simd.warm_up.sse_ns", 900.0),
            ns("simd.warm_up.avx_ns", 1100.0),
        ];
        assert_eq!(said(quiet), [] as [String; 0]);
    }

    #[test]
    fn arm_is_told_of_in_its_own_words() {
        let text = said(vec![
            ratio("simd.sum.neon.l1_ratio", 3.9),
            ratio("simd.sum.neon.dram_ratio", 1.1),
            ratio("simd.clock.neon_all_core_ratio", 0.9),
            ratio(SUBNORMAL, 20.0),
            value("simd.add.f32.neon.latency_cycles", Unit::Cycles, 2.0),
        ])
        .join("\n");
        for part in ["NEON sum 3.9×", "128-bit FMA on all CPUs", "FPCR.FZ"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_guest_on_zen_4_is_told_its_peak() {
        let summary = fixture::recorded();
        let found = find(&summary.metrics);
        let text: Vec<String> = found.iter().map(Finding::text).collect();
        let text = text.join("\n");
        assert!(text.contains("177 GFLOP/s") && text.contains("48 FLOP/cycle"), "{text}");
    }
}
