//! The core clock and the time counter: their own invariants, the counter's claimed rate, and what
//! wide vectors cost.

use super::{Finding, believed};
use crate::file::Card;
use crate::metrics::{Metrics, State};

pub(super) const MULTIPLY: &str = "clock.multiply_cycles";
pub(super) const MUL_ADD: &str = "clock.mul_add_ratio";
pub(super) const L1_CHASE: &str = "clock.l1_chase_cycles";
pub(super) const TSC: &str = "clock.tsc_ghz";
const CORE: &str = "clock.core_ghz";

/// What vectors may cost of the clock before it is worth a word.
const LEAST_RATIO: f64 = 0.97;

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = Vec::new();
    let steady = |id| metrics.get(id).filter(|v| v.state == State::Ok).and_then(|v| v.value);
    let multiply = metrics.get(MULTIPLY);
    // Three on cards of before that was measured.
    let taken = multiply.and_then(|m| m.value).unwrap_or(3.0);
    if let Some(doubtful) = multiply.filter(|m| m.state == State::Inconsistent) {
        let headline = "core clock not known: no number in cycles can be trusted";
        let reason = doubtful.reason.as_deref().unwrap_or_default();
        found.push(
            Finding::quality("CLOCK_UNKNOWN", headline)
                .cause(format!(
                    "{reason}: an SMT sibling that never rests, a vCPU that moves between kinds of \
                     cores, or an emulated core"
                ))
                .of(&[CORE, MULTIPLY]),
        );
    } else if let Some(ratio) = steady(MUL_ADD)
        && (ratio - taken).abs() > 0.02
    {
        let headline = format!("multiply latency is {ratio:.3} adds, not {taken}");
        let cause = "an SMT sibling that never rests, or the two-chain clock does not fit this core: \
                     cycles are not to be trusted";
        found.push(Finding::quality("CLOCK_METHOD", headline).cause(cause).of(&[MUL_ADD]));
    }
    if let Some(chase) = metrics.number(L1_CHASE)
        && (chase / chase.round() - 1.0).abs() > 0.01
    {
        let headline = format!("L1 latency {chase:.2} cycles is no whole number");
        let cause = "the core clock may be off by as much";
        found.push(Finding::quality("CLOCK_METHOD", headline).cause(cause).of(&[L1_CHASE, CORE]));
    }
    found.extend(counter(card, metrics));
    for (id, width) in [
        ("clock.neon_ratio", "128-bit"),
        ("clock.avx_ratio", "256-bit"),
        ("clock.avx512_ratio", "512-bit"),
    ] {
        if let Some(ratio) = steady(id)
            && ratio < LEAST_RATIO
        {
            let lost = 100.0 * (1.0 - ratio);
            let headline = format!("{width} FMA lowers the core clock by {lost:.0} %");
            found.push(Finding::limit("VECTOR_CLOCK", headline).of(&[id]));
        }
    }
    found
}

/// The time counter against what is claimed of it.
fn counter(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = Vec::new();
    let cpu = &card.header.machine.cpu;
    let name = if cpu.architecture == "x86_64" { "TSC" } else { "generic timer" };
    let rates = believed(metrics, TSC).and_then(|measured| {
        let claim =
            cpu.tsc.known()?.iter().find(|claim| claim.means_the_counter(measured * 1e9))?;
        Some((claim.hz as f64 / 1e9, measured))
    });
    if let Some((claimed, measured)) = rates
        && (measured / claimed - 1.0).abs() > 0.001
    {
        let headline = format!("{name} runs at {measured:.4} GHz, claimed {claimed:.4} GHz");
        let (claimed, measured) =
            (format!("{name} {claimed:.4} GHz"), format!("{measured:.4} GHz"));
        found.push(
            Finding::claim("TSC_RATE", headline, claimed, measured)
                .cause("programs that rely on the claimed rate measure time wrongly")
                .of(&[TSC]),
        );
    }
    if let Some(withdrawn) = card.header.machine.withdrawn_counter() {
        let headline = format!("{name} is not trusted by the kernel");
        let claimed = format!("{name} is constant");
        found.push(
            Finding::claim("TSC_WITHDRAWN", headline, claimed, "not trusted by the kernel")
                .cause(withdrawn)
                .action("look for its name in dmesg; do not measure time with it")
                .of(&[TSC]),
        );
    }
    found
}
