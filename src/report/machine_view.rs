//! The few things a report asks of the machine that a card describes.

use probecard_probes::machine::{self, Machine};

/// A cache size that the machine claims.
pub(super) struct Claim {
    /// `L1d`, `L2`, `L3`.
    pub(super) label: &'static str,
    /// The metric that measures it.
    pub(super) metric: &'static str,
    /// Its size.
    pub(super) bytes: u64,
}

/// The claimed data caches, innermost first; unknown ones are left out.
pub(super) fn claims(machine: &Machine) -> Vec<Claim> {
    let levels = [
        (1, "L1d", "cache.l1d_knee_bytes"),
        (2, "L2", "cache.l2_knee_bytes"),
        (3, "L3", "cache.l3_knee_bytes"),
    ];
    let claim = |(level, label, metric)| {
        let bytes = machine.claimed_cache(level, true)?.bytes;
        Some(Claim { label, metric, bytes })
    };
    levels.into_iter().filter_map(claim).collect()
}

/// The key under which values for this machine's cores are published.
pub(super) fn arch_key(machine: &Machine) -> Option<&str> {
    machine.cpu.microarchitecture.known().map(|m| m.key.as_str())
}

/// `48 KiB`
pub(super) fn human_bytes(bytes: u64) -> String {
    machine::human_bytes(bytes)
}

/// Label, value and whether the value is known (else it is the reason), row by row.
pub(super) fn rows(machine: &Machine) -> impl Iterator<Item = (String, String, bool)> {
    machine.rows().into_iter().map(|row| (row.label, row.value, row.known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_claim_belongs_to_a_metric_that_is_declared() {
        let declared: Vec<&str> = probecard_probes::catalog::ALL
            .iter()
            .flat_map(|p| p.metrics)
            .map(|m| m.id.as_ref())
            .collect();
        let claims = claims(&fixture::summary().card.header.machine);
        assert_eq!(claims.len(), 3);
        for claim in claims {
            assert!(declared.contains(&claim.metric), "{}", claim.metric);
        }
    }
}
