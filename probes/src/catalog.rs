//! The probes in the order of the report.

use crate::probe::Probe;
use crate::suite;

/// Every probe of a run that asks for none by its name.
pub const ALL: &[&Probe] = &[
    &suite::clock::PROBE,
    &suite::sustained_clock::PROBE,
    &suite::noise::PROBE,
    &suite::cache_line::PROBE,
    &suite::memory_latency::PROBE,
    &suite::cache_structure::PROBE,
    &suite::tlb::PROBE,
    &suite::memory_bandwidth::PROBE,
    &suite::store_forwarding::PROBE,
    &suite::numa::PROBE,
    &suite::memory_parallelism::PROBE,
    &suite::loaded_latency::PROBE,
    &suite::false_sharing::PROBE,
    &suite::core_to_core::PROBE,
    &suite::branch::PROBE,
    &suite::simd_compute::PROBE,
    &suite::simd_memory::PROBE,
    &suite::core_window::PROBE,
    &suite::locks::PROBE,
    &suite::context_switch::PROBE,
    &suite::os::PROBE,
    &suite::idioms::PROBE,
    &suite::scaling::PROBE,
    &suite::compress::PROBE,
    &suite::network::PROBE,
    &suite::storage::PROBE,
];

/// Probes that run only when asked for.
pub const ASKED: &[&Probe] = &[&suite::each_cpu::PROBE];

/// The probe that --each-cpu asks for.
pub const EACH_CPU: &str = suite::each_cpu::PROBE.name;

/// Whether a round of the probe is a visit to each CPU, in a process pinned to it.
pub fn visits_each_cpu(probe: &Probe) -> bool {
    [EACH_CPU, suite::faults::WRONG_CPU.name].contains(&probe.name)
}

/// Probes that go wrong on purpose, so that the ways a round can fail are tested with the real
/// program. They run only when named.
pub const FAULTS: &[&Probe] = &[
    &suite::faults::HANGS,
    &suite::faults::CRASHES,
    &suite::faults::ERRS,
    &suite::faults::WRONG_ANSWER,
    &suite::faults::WRONG_CPU,
];

/// A probe by its id.
pub fn find(name: &str) -> Option<&'static Probe> {
    ALL.iter().chain(ASKED).chain(FAULTS).copied().find(|p| p.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_metric_ids_are_unique_and_well_formed() {
        let mut seen = HashSet::new();
        for probe in ALL.iter().chain(ASKED) {
            assert!(seen.insert(probe.name.to_owned()), "{} twice", probe.name);
            let declared = probe.declaration();
            assert!(!declared.metrics.is_empty() && probe.seconds > 0.0);
            for metric in &*declared.metrics {
                assert!(seen.insert(metric.id.to_string()), "{} twice", metric.id);
                let allowed =
                    |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
                assert!(metric.id.chars().all(allowed), "{}", metric.id);
            }
        }
    }

    #[test]
    fn what_a_probe_uses_is_measured_by_others() {
        for probe in ALL {
            for used in probe.uses {
                let others = ALL.iter().filter(|p| p.name != probe.name);
                assert!(
                    others.flat_map(|p| p.declaration().metrics).any(|m| m.id == *used),
                    "{used}"
                );
            }
        }
    }

    #[test]
    fn what_a_probe_proves_is_its_own_and_can_fail() {
        for probe in ALL {
            let declared = probe.declaration();
            for proof in &*declared.proofs {
                for id in &*proof.metrics {
                    assert!(declared.metrics.iter().any(|m| m.id == *id), "{}: {id}", probe.name);
                }
                assert!(!proof.metrics.is_empty(), "{}", probe.name);
                let (least, most) = (proof.least.unwrap_or(0.0), proof.most.unwrap_or(f64::MAX));
                assert!(least < most && (least > 0.0 || most < f64::MAX), "{}", probe.name);
            }
        }
    }

    #[test]
    fn a_declaration_survives_the_card() {
        for probe in ALL {
            let declaration = probe.declaration();
            let text = serde_json::to_string(&declaration).unwrap();
            let back: card::declare::Declaration = serde_json::from_str(&text).unwrap();
            assert_eq!(back, declaration);
        }
    }
}
