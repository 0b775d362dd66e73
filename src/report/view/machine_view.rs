//! The few things a report asks of the machine that a card describes.

use card::machine::{Machine, human_bytes};

use card::findings;
use card::format;
use card::metrics::Value;
use card::reference;

/// How a run ended, where only a later version has a word for it.
pub(in crate::report) const UNKNOWN_END: &str = "ended in a way that this version does not know";

/// A cache size that the machine claims.
pub(in crate::report) struct Claim {
    /// `L1d`, `L2`, `L3`.
    pub(in crate::report) label: &'static str,
    /// The metrics that measure it.
    pub(in crate::report) metrics: [&'static str; 2],
    /// Its size.
    pub(in crate::report) bytes: u64,
}

/// The claimed data caches, innermost first; unknown ones are left out.
pub(in crate::report) fn claims(machine: &Machine) -> Vec<Claim> {
    let claim = |((level, metrics), label)| {
        let bytes = machine.claimed_cache(level, true)?.bytes;
        Some(Claim { label, metrics, bytes })
    };
    findings::size_ids().zip(["L1D", "L2", "L3"]).filter_map(claim).collect()
}

/// What the machine claims of the thing that a metric measures.
pub(in crate::report) fn claimed(machine: &Machine, metric: &str) -> Option<String> {
    let ways = |level| {
        let ways = machine.claimed_cache(level, true)?.ways.known()?;
        Some(ways.to_string())
    };
    match metric {
        "cache.l1d_ways" => ways(1),
        "cache.l2_ways" => ways(2),
        "cache.line_bytes" => machine.claimed_line_bytes().map(human_bytes),
        _ => {
            let claims = claims(machine);
            let size = claims.iter().find(|claim| claim.metrics.contains(&metric))?;
            Some(human_bytes(size.bytes))
        }
    }
}

/// The key under which values for this machine's cores are published.
pub(in crate::report) fn arch_key(machine: &Machine) -> Option<&str> {
    machine.cpu.microarchitecture.known().map(|m| m.key.as_str())
}

/// What is published of a metric.
pub(in crate::report) struct Beside {
    /// The range, with its unit.
    pub(in crate::report) text: String,
    /// Where it stands.
    pub(in crate::report) source: String,
    low: f64,
    high: f64,
}

impl Beside {
    /// How far a number is from the nearer end: `+9 %`, `in range`; nothing beside zero.
    pub(in crate::report) fn off(&self, number: f64) -> Option<String> {
        let nearer = number.clamp(self.low, self.high);
        let percent = (100.0 * (number / nearer - 1.0)).round();
        match percent {
            _ if !percent.is_finite() => None,
            0.0 => Some("in range".into()),
            _ if percent < 0.0 => Some(format!("−{:.0} %", -percent)),
            _ => Some(format!("+{percent:.0} %")),
        }
    }
}

/// What is published for this machine's cores of a metric.
pub(in crate::report) fn published(machine: &Machine, value: &Value) -> Option<Beside> {
    let p = reference::published(arch_key(machine)?, &value.id)?;
    let year = p.year.map(|y| format!(", {y}")).unwrap_or_default();
    let derived = if p.computed { "; derived" } else { "" };
    let note = p.note.map(|n| format!("; {n}")).unwrap_or_default();
    let source = format!("{}{year}{derived}{note}", p.title);
    let text = format::range(p.low, p.high, value.unit);
    Some(Beside { text, source, low: p.low, high: p.high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn every_claim_belongs_to_a_metric_that_is_declared() {
        let declared: Vec<&str> = fixture::all_declared()
            .iter()
            .flat_map(|d| d.metrics.iter())
            .map(|m| m.id.as_ref())
            .collect();
        let claims = claims(&fixture::recorded().card.header.machine);
        assert_eq!(claims.len(), 3);
        for claim in claims {
            let measured = claim.metrics.iter().any(|id| declared.contains(id));
            assert!(measured, "{:?}", claim.metrics);
        }
    }

    #[test]
    fn a_difference_is_to_the_nearer_end() {
        let beside = |low, high| Beside { text: String::new(), source: String::new(), low, high };
        let off = |number, (low, high)| beside(low, high).off(number);
        assert_eq!(off(54.6, (46.0, 50.0)).unwrap(), "+9 %");
        assert_eq!(off(4001.0, (7680.0, 7680.0)).unwrap(), "−48 %");
        assert_eq!(off(4.01, (4.0, 4.0)).unwrap(), "in range");
        assert_eq!(off(1.0, (0.0, 0.0)), None);
    }

    #[test]
    fn sizes_ways_and_lines_have_claims() {
        let machine = fixture::recorded().card.header.machine;
        let of = |id| claimed(&machine, id);
        assert_eq!(of("cache.l1d_knee_bytes").as_deref(), Some("32 KiB"));
        assert_eq!(of("cache.l1d_bytes"), of("cache.l1d_knee_bytes"));
        assert_eq!(of("cache.l3_effective_bytes").as_deref(), Some("32 MiB"));
        assert_eq!(of("cache.l2_ways").as_deref(), Some("8"));
        assert_eq!(of("cache.line_bytes").as_deref(), Some("64 B"));
        assert_eq!(of("memory.latency.l1_ns"), None);
    }
}
