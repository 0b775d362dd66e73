//! Measured against claimed and published.

use std::collections::BTreeMap;

use crate::record::{Backing, Fail, FailKind, Param, Point};
use serde::{Deserialize, Serialize};

use crate::file::Card;
use crate::metrics::{Metrics, State};

mod branch;
mod caches;
mod coherence;
mod core_window;
mod counter_findings;
mod each_cpu;
mod idioms;
mod locks;
mod memory;
mod network;
mod os;
mod published;
mod scaling;
mod storage;
mod switches;
mod vectors;

pub use caches::{level_ends, size_ids};
pub use memory::{one_core, sentences};
pub use network::own_peer;

/// How much a reader should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// A claim does not hold, or a number must be read with care.
    Warning,
    /// A kernel computed a wrong answer.
    Corruption,
}

/// A measurement that contradicts a claim, in plain words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// One or two sentences.
    pub text: String,
    /// The metrics it speaks of.
    pub metrics: Vec<String>,
}

impl Finding {
    fn new(severity: Severity, text: String, metrics: &[&str]) -> Finding {
        Finding { severity, text, metrics: metrics.iter().map(|&m| m.to_owned()).collect() }
    }

    fn note(text: String, metrics: &[&str]) -> Finding {
        Finding::new(Severity::Note, text, metrics)
    }

    fn warning(text: String, metrics: &[&str]) -> Finding {
        Finding::new(Severity::Warning, text, metrics)
    }
}

/// Everything worth saying of a card, what matters most first.
pub fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = failures(card);
    found.extend(placement(card));
    found.extend(each_cpu::find(card));
    found.extend(clock(card, metrics));
    found.extend(counter_findings::find(card));
    found.extend(line_size(card, metrics));
    found.extend(caches::find(card, metrics));
    found.extend(page_size(card));
    found.extend(memory::find(card, metrics));
    found.extend(coherence::find(card, metrics));
    found.extend(storage::find(card, metrics));
    found.extend(network::find(card, metrics));
    found.extend(vectors::find(metrics));
    found.extend(os::find(card, metrics));
    found.extend(locks::find(metrics));
    found.extend(noise(card, metrics));
    found.extend(branch::find(card, metrics));
    found.extend(core_window::find(card, metrics));
    found.extend(switches::find(card, metrics));
    found.extend(idioms::find(metrics));
    found.extend(scaling::find(card));
    found.extend(published::cycles(card, metrics));
    found.sort_by_key(|f| std::cmp::Reverse(f.severity));
    found
}

/// The number, unless two methods disagree on it.
fn believed(metrics: &Metrics, id: &str) -> Option<f64> {
    let value = metrics.get(id).filter(|v| matches!(v.state, State::Ok | State::Noisy))?;
    value.value.filter(|v| v.is_finite() && *v > 0.0)
}

/// Wrong answers, and probes that did not come to their end.
fn failures(card: &Card) -> Vec<Finding> {
    let mut by_probe: BTreeMap<(&str, Option<usize>), Vec<&Fail>> = BTreeMap::new();
    for fail in &card.fails {
        by_probe.entry((&fail.probe, fail.cpu)).or_default().push(fail);
    }
    by_probe
        .into_iter()
        .map(|((probe, cpu), fails)| {
            let corruption = fails.iter().find(|f| f.cause == FailKind::Corruption);
            let severity =
                if corruption.is_some() { Severity::Corruption } else { Severity::Warning };
            let how = &corruption.unwrap_or(&fails[0]).how;
            let rounds = card.header.plan.rounds;
            let place = cpu.map(|cpu| format!(" on {}", card.header.machine.cpu_name(cpu)));
            let place = place.unwrap_or_default();
            let text =
                format!("{probe} failed{place} in {} of {rounds} rounds: {how}", fails.len());
            Finding::new(severity, text, &[])
        })
        .collect()
}

fn placement(card: &Card) -> Option<Finding> {
    let plan = &card.header.plan;
    (!plan.pinned).then(|| Finding::warning(plan.cpu_reason.clone(), &[]))
}

/// The two-chain clock's own invariants, the counter's claimed rate, and vector clocks.
fn clock(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = Vec::new();
    let steady = |id| metrics.get(id).filter(|v| v.state == State::Ok).and_then(|v| v.value);
    let multiply = metrics.get(MULTIPLY);
    // Three on cards of before that was measured.
    let taken = multiply.and_then(|m| m.value).unwrap_or(3.0);
    if let Some(reason) = multiply.filter(|m| m.state == State::Inconsistent).map(|m| &m.reason) {
        let reason = reason.as_deref().unwrap_or_default();
        found.push(Finding::warning(
            format!(
                "the clock of the core is not known, and no number in cycles is to be trusted: \
                 {reason}. A hyperthread sibling that never rests, a virtual CPU that moves between \
                 kinds of cores, or an emulated core does that"
            ),
            &["clock.core_ghz", MULTIPLY],
        ));
    } else if let Some(ratio) = steady(MUL_ADD)
        && (ratio - taken).abs() > 0.02
    {
        found.push(Finding::warning(
            format!(
                "a multiplication takes {ratio:.3} additions, not {taken}: either a hyperthread \
                 sibling never rests, or the two-chain clock does not fit this CPU and cycle counts \
                 are not to be trusted"
            ),
            &[MUL_ADD],
        ));
    }
    if let Some(chase) = metrics.number(L1_CHASE)
        && (chase / chase.round() - 1.0).abs() > 0.01
    {
        found.push(Finding::warning(
            format!(
                "an L1 load takes {chase:.2} cycles, which is no whole number: the core clock may \
                 be off by as much"
            ),
            &[L1_CHASE, "clock.core_ghz"],
        ));
    }
    let claimed = card.header.machine.claimed_tsc_hz().map(|hz| hz as f64 / 1e9);
    if let Some((claimed, measured)) = claimed.zip(metrics.number(TSC))
        && (measured / claimed - 1.0).abs() > 0.001
    {
        found.push(Finding::warning(
            format!(
                "the time counter runs at {measured:.4} GHz, claimed {claimed:.4} GHz: programs that \
                 trust the claim measure time wrongly"
            ),
            &[TSC],
        ));
    }
    for (id, what) in [
        ("clock.neon_ratio", "128-bit"),
        ("clock.avx_ratio", "256-bit"),
        ("clock.avx512_ratio", "512-bit"),
    ] {
        if let Some(ratio) = steady(id)
            && ratio < 0.97
        {
            let lost = 100.0 * (1.0 - ratio);
            found.push(Finding::note(
                format!("{what} multiply-adds cost {lost:.0} % of the core clock"),
                &[id],
            ));
        }
    }
    found
}

fn line_size(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let claimed = card.header.machine.claimed_line_bytes()?;
    let value = metrics.get(LINE)?;
    let measured = value.value?;
    (measured != claimed as f64).then(|| {
        Finding::warning(
            format!("cache line claimed {claimed} bytes, measured {measured}"),
            &[LINE],
        )
    })
}

/// Pages that were asked for and not had.
fn page_size(card: &Card) -> Option<Finding> {
    let huge = |p: &&Point| p.params.get("variant") == Some(&Param::from("random_2m"));
    let other = card.points.iter().filter(huge).find(|p| p.backing != Backing::AsAsked)?;
    let note = other.backing.note().or_else(|| other.note.clone()).unwrap_or_default();
    Some(Finding::warning(
        format!("the 2 MiB latency curve is none ({note}): its upper half contains page walks"),
        &["memory.latency.dram_ns"],
    ))
}

fn noise(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(busy) = metrics.number(SIBLING)
        && busy > 0.02
    {
        let claim = match card.header.machine.threads_per_core() {
            Some(1) => ", although the machine claims one thread per core",
            _ => "",
        };
        found.push(Finding::note(
            format!(
                "something on the same core was at work {:.0} % of the time{claim}; disturbed \
                 samples were set aside",
                busy * 100.0
            ),
            &[SIBLING],
        ));
    }
    if let Some(lost) = metrics.number(GAPS)
        && lost > 0.01
    {
        found.push(Finding::warning(
            format!(
                "noisy host: {:.1} % of the CPU's time went to interrupts, other threads or the \
                 hypervisor",
                lost * 100.0
            ),
            &[GAPS],
        ));
    }
    found
}

const MULTIPLY: &str = "clock.multiply_cycles";
const MUL_ADD: &str = "clock.mul_add_ratio";
const L1_CHASE: &str = "clock.l1_chase_cycles";
const TSC: &str = "clock.tsc_ghz";
const LINE: &str = "cache.line_bytes";
const SIBLING: &str = "noise.sibling_busy_ratio";
const GAPS: &str = "noise.gap_ratio";

#[cfg(test)]
pub(crate) mod tests {
    use crate::declare::{Better, NoiseClass, Unit};

    use super::branch::{PIPELINE, SLOPE};
    use super::*;
    use crate::fixture::blank;
    use crate::metrics::Value;

    pub(crate) fn value(id: &str, unit: Unit, number: f64) -> Value {
        Value {
            id: id.into(),
            only_differs: false,
            value: Some(number),
            low: Some(number),
            high: Some(number),
            unit,
            state: State::Ok,
            reason: None,
            family: "f".into(),
            tier: NoiseClass::T1,
            better: Better::Lower,
            rounds: 5,
            probe: "p".into(),
            summary: "what it says".into(),
        }
    }

    /// What is said of a Zen 5 guest with 48 KiB, 1 MiB and 32 MiB of cache and these metrics.
    pub(crate) fn said(values: Vec<Value>) -> Vec<String> {
        find(&blank("test"), &Metrics(values)).into_iter().map(|f| f.text).collect()
    }

    pub(crate) fn kib(n: f64) -> f64 {
        n * 1024.0
    }

    #[test]
    fn nothing_is_said_of_a_machine_that_keeps_its_claims() {
        let values = vec![
            value(MUL_ADD, Unit::Ratio, 3.001),
            value(L1_CHASE, Unit::Cycles, 4.003),
            value("cache.l1d_knee_bytes", Unit::Bytes, kib(48.0)),
            value("cache.l2_knee_bytes", Unit::Bytes, kib(861.0)),
            value("cache.l3_knee_bytes", Unit::Bytes, kib(33.0 * 1024.0)),
            value("memory.latency.l1_cycles", Unit::Cycles, 4.01),
            value(PIPELINE, Unit::Cycles, 15.0),
            value(SLOPE, Unit::Ratio, 0.98),
            value(SIBLING, Unit::Ratio, 0.001),
            value(GAPS, Unit::Ratio, 0.0005),
        ];
        assert_eq!(said(values), [] as [String; 0]);
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_a_warning() {
        let text = said(vec![value(MUL_ADD, Unit::Ratio, 2.63)]).join("\n");
        assert!(text.contains("2.630 additions"), "{text}");
        let text = said(vec![value(L1_CHASE, Unit::Cycles, 4.5)]).join("\n");
        assert!(text.contains("no whole number"), "{text}");
        // Where it takes another number of cycles, that many additions are right.
        let of = |cycles, ratio| {
            let multiply = value(MULTIPLY, Unit::Cycles, cycles);
            said(vec![multiply, value(MUL_ADD, Unit::Ratio, ratio)]).join("\n")
        };
        assert!(!of(5.0, 4.999).contains("additions"));
        assert!(of(5.0, 4.83).contains("4.830 additions, not 5"));
        // A noisy value proves nothing.
        let noisy = Value { state: State::Noisy, ..value(MUL_ADD, Unit::Ratio, 2.63) };
        assert_eq!(said(vec![noisy]), [] as [String; 0]);
    }

    #[test]
    fn a_multiplication_is_held_against_what_is_published() {
        let text = said(vec![value(MULTIPLY, Unit::Cycles, 5.0)]).join("\n");
        assert!(text.contains("5.0 cycles, published for Zen 5 (Turin) 3"), "{text}");
        assert_eq!(said(vec![value(MULTIPLY, Unit::Cycles, 3.0)]), [] as [String; 0]);
    }

    #[test]
    fn a_clock_that_is_not_known_is_a_warning_with_its_reason() {
        let doubtful = Value {
            state: State::Inconsistent,
            reason: Some("3.00 to 5.00 additions".into()),
            ..value(MULTIPLY, Unit::Cycles, 5.0)
        };
        let text = said(vec![doubtful, value(MUL_ADD, Unit::Ratio, 3.9)]).join("\n");
        assert!(text.contains("not known") && text.contains("3.00 to 5.00"), "{text}");
        assert!(!text.contains("published") && !text.contains("not 5"), "{text}");
    }

    #[test]
    fn noise_and_the_hidden_sibling_are_named() {
        let text = said(vec![value(SIBLING, Unit::Ratio, 0.3)]).join("\n");
        assert!(text.contains("at work 30 % of the time"), "{text}");
        let text = said(vec![value(GAPS, Unit::Ratio, 0.025)]).join("\n");
        assert!(text.contains("noisy host: 2.5 %"), "{text}");
    }

    #[test]
    fn what_lies_outside_the_published_range_is_noted() {
        let text = said(vec![value("memory.latency.l1_cycles", Unit::Cycles, 5.0)]).join("\n");
        assert!(text.contains("5.0 cycles, published for Zen 5 (Turin) 4"), "{text}");
        let text = said(vec![value(PIPELINE, Unit::Cycles, 23.0)]).join("\n");
        assert!(text.contains("12 to 18"), "{text}");
    }

    #[test]
    fn corruption_comes_first() {
        let mut card = blank("test");
        let fail = |probe: &str, cause, how: &str| Fail {
            probe: probe.into(),
            round: 0,
            cpu: None,
            cause,
            how: how.into(),
            stderr: String::new(),
        };
        card.fails = vec![
            fail("a", FailKind::Killed, "killed by SIGSEGV"),
            fail("b", FailKind::Corruption, "on CPU 3: 1 + 1"),
        ];
        let found = find(&card, &Metrics(vec![value(GAPS, Unit::Ratio, 0.5)]));
        assert_eq!(found[0].severity, Severity::Corruption);
        assert!(found[0].text.contains("CPU 3"));
        assert_eq!(found.len(), 3);
    }
}
