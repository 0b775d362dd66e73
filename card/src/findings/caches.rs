//! The caches: sizes and ways against what is claimed, and against one another.

use crate::machine::human_bytes;

use super::{Finding, claims};
use crate::file::Card;
use crate::format;
use crate::metrics::{Metrics, State, Value};

/// A level whose claims can be held against measurements.
struct Cache {
    name: &'static str,
    level: u8,
    /// Its size: by the probe that looks for it, and by the knee of the latency curve.
    sizes: [&'static str; 2],
    /// How much off each of them may be.
    tolerances: [f64; 2],
    ways: Option<&'static str>,
    /// What a shortfall means.
    short: &'static str,
}

/// The latency curve has four sizes an octave, and what is left of a shared L3 moves by the minute:
/// such a size is known to a fifth, so that only more than that is a contradiction.
const KNEE: f64 = 1.25;

const CACHES: [Cache; 3] = [
    Cache {
        name: "L1D",
        level: 1,
        sizes: ["cache.l1d_bytes", "cache.l1d_knee_bytes"],
        tolerances: [1.1, KNEE],
        ways: Some("cache.l1d_ways"),
        short: "a busy SMT sibling, or a hypervisor that shows another CPU's caches",
    },
    Cache {
        name: "L2",
        level: 2,
        sizes: ["cache.l2_bytes", "cache.l2_knee_bytes"],
        tolerances: [1.15, KNEE],
        ways: Some("cache.l2_ways"),
        short: "scattered host pages, partitioned, or busy",
    },
    Cache {
        name: "L3",
        level: 3,
        sizes: ["cache.l3_effective_bytes", "cache.l3_knee_bytes"],
        tolerances: [KNEE, KNEE],
        ways: None,
        short: "shared with neighbours, partitioned or busy",
    },
];

impl Cache {
    /// The measured size and its tolerance: the first one that was measured, or else the first one
    /// that says why it was not.
    fn size<'a>(&self, metrics: &'a Metrics) -> Option<(&'a Value, f64)> {
        let all = || {
            let both = self.sizes.iter().zip(self.tolerances);
            both.filter_map(|(id, tolerance)| Some((metrics.get(id)?, tolerance)))
        };
        all().find(|(v, _)| v.value.is_some()).or_else(|| all().next())
    }
}

/// The ids under which the data caches' sizes are measured, by level, the better one first.
pub fn size_ids() -> impl Iterator<Item = (u8, [&'static str; 2])> {
    CACHES.iter().map(|c| (c.level, c.sizes))
}

/// Where L1, L2 and L3 end as measured, as far as they do, in ascending order.
pub fn level_ends(metrics: &Metrics) -> Vec<(&'static str, f64)> {
    let mut ends: Vec<(&'static str, f64)> = Vec::new();
    for (cache, name) in CACHES.iter().zip(["L1", "L2", "L3"]) {
        let size = cache.size(metrics).and_then(|(v, _)| v.value);
        let before = ends.last().map_or(0.0, |end| end.1);
        ends.extend(size.filter(|bytes| *bytes > before).map(|bytes| (name, bytes)));
    }
    ends
}

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let sizes = CACHES.iter().filter_map(|c| size(card, metrics, c));
    let ways = CACHES.iter().filter_map(|c| ways(card, metrics, c));
    let sets = CACHES.iter().filter_map(|c| sets(metrics, c));
    sizes.chain(ways).chain(sets).chain(line(card, metrics)).collect()
}

pub(super) const LINE: &str = "cache.line_bytes";

fn line(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let claimed = claims(card)?.claimed_line_bytes()?;
    let measured = metrics.number(LINE)?;
    (measured != claimed as f64).then(|| {
        let headline = format!("cache lines of {measured} bytes, claimed {claimed}");
        let (claimed, measured) = (format!("line {claimed} B"), format!("{measured} B"));
        Finding::claim("LINE_SIZE", headline, claimed, measured).of(&[LINE])
    })
}

fn size(card: &Card, metrics: &Metrics, cache: &Cache) -> Option<Finding> {
    let claimed = claims(card)?.claimed_cache(cache.level, true)?.bytes;
    let (value, tolerance) = cache.size(metrics)?;
    let (name, claim) = (cache.name, human_bytes(claimed));
    let Some(measured) = value.value else {
        // Where the probe did not run there is nothing to say.
        let (headline, reason) =
            (format!("no end of {name} seen, claimed {claim}"), value.reason.as_ref()?);
        let seen = card.points.iter().any(|p| p.probe == value.probe);
        let code = format!("{name}_END_NOT_SEEN");
        return seen.then(|| Finding::quality(&code, headline).cause(reason).of(&[&value.id]));
    };
    // Rounds that scatter are a range, not a number.
    let effective = format::size(value);
    let code = format!("{name}_CAPACITY");
    // A claim that some round keeps is kept: a busy SMT sibling takes and feigns space.
    let of = |bytes: f64| bytes / claimed as f64;
    let (least, most) = (of(value.low.unwrap_or(measured)), of(value.high.unwrap_or(measured)));
    let finding = |headline, usable: String, cause| {
        let claimed = format!("{name} {claim}");
        Finding::claim(&code, headline, claimed, usable).cause(cause).of(&[&value.id])
    };
    if most < 1.0 / tolerance {
        let headline = format!("{effective} of {name} usable, claimed {claim}");
        let found = finding(headline, format!("{effective} usable"), cache.short);
        Some(match cache.level {
            3 => found.action("size working sets by what is usable"),
            _ => found,
        })
    } else if least > tolerance * spill(card, cache.level) {
        let headline = format!("{name} hits up to {effective}, claimed {claim}");
        Some(finding(headline, format!("hits up to {effective}"), "the claim is too small"))
    } else {
        None
    }
}

/// A last level that holds what the second throws out ends at the sum of both.
fn spill(card: &Card, level: u8) -> f64 {
    let claimed = |level| Some(claims(card)?.claimed_cache(level, true)?.bytes as f64);
    match (level, claimed(2), claimed(3)) {
        (3, Some(l2), Some(l3)) if l3 > 0.0 => 1.0 + l2 / l3,
        _ => 1.0,
    }
}

/// The number, if the rounds agree on it.
fn agreed(metrics: &Metrics, id: &str) -> Option<f64> {
    metrics.get(id).filter(|v| v.state == State::Ok).and_then(|v| v.value)
}

fn ways(card: &Card, metrics: &Metrics, cache: &Cache) -> Option<Finding> {
    let id = cache.ways?;
    let claimed = *claims(card)?.claimed_cache(cache.level, true)?.ways.known()?;
    let measured = agreed(metrics, id)?;
    (claimed > 0 && (measured - claimed as f64).abs() > 0.5).then(|| {
        let name = cache.name;
        let headline = format!("{name} has {measured:.0} ways, claimed {claimed}");
        let (claimed, ways) = (format!("{name} {claimed} ways"), format!("{measured:.0} ways"));
        Finding::claim(&format!("{name}_WAYS"), headline, claimed, ways)
            .cause("the hypervisor shows another CPU's caches, or a part of this one is reserved")
            .of(&[id])
    })
}

/// How far the number of sets may be from a power of two: the size comes from a grid.
const SETS: f64 = 1.1;

/// A cache has size ÷ (ways × line) sets, and in the first two levels that is a power of two.
fn sets(metrics: &Metrics, cache: &Cache) -> Option<Finding> {
    let ways_id = cache.ways?;
    let [size_id, _] = cache.sizes;
    let (bytes, ways) = (agreed(metrics, size_id)?, agreed(metrics, ways_id)?);
    let line = agreed(metrics, LINE)?;
    let sets = bytes / (ways * line);
    let power = sets.log2().round().exp2();
    let fits = sets.is_finite() && sets >= 1.0 && (sets / power).max(power / sets) <= SETS;
    (!fits).then(|| {
        let name = cache.name;
        let headline = format!("{name} size, ways and line size contradict one another");
        let cause = format!(
            "{} with {ways:.0} ways and {line:.0}-byte lines would have {sets:.0} sets, no power of \
             two: one of the three was measured wrong",
            human_bytes(bytes as u64)
        );
        let code = format!("{name}_GEOMETRY");
        Finding::quality(&code, headline).cause(cause).of(&[size_id, ways_id, LINE])
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{kib, said, value};
    use super::*;
    use crate::declare::Unit;

    #[test]
    fn a_small_share_of_a_shared_cache_is_named() {
        let short = vec![value("cache.l3_knee_bytes", Unit::Bytes, kib(6.0 * 1024.0))];
        let text = said(short).join("\n");
        let said_of =
            "6 MiB of L3 usable, claimed 32 MiB: shared with neighbours, partitioned or busy";
        assert!(text.starts_with(said_of), "{text}");
        // Rounds that scatter give a range.
        let mut range = value("cache.l3_knee_bytes", Unit::Bytes, kib(6.0 * 1024.0));
        (range.low, range.high) = (Some(kib(4096.0)), Some(kib(8192.0)));
        assert!(said(vec![range]).join("\n").contains("4.0–8.0 MiB of L3 usable"));
        let large = vec![value("cache.l1d_knee_bytes", Unit::Bytes, kib(96.0))];
        assert!(said(large).join("\n").contains("the claim is too small"));
    }

    #[test]
    fn the_probe_for_sizes_is_believed_before_the_knee() {
        let knee = || value("cache.l2_knee_bytes", Unit::Bytes, kib(512.0));
        let right = value("cache.l2_bytes", Unit::Bytes, kib(1024.0));
        assert_eq!(said(vec![knee(), right]), [] as [String; 0]);
        let mut unknown = value("cache.l2_bytes", Unit::Bytes, 0.0);
        (unknown.value, unknown.state) = (None, State::Unavailable);
        unknown.reason = Some("hidden by scattered pages".into());
        let text = said(vec![unknown, knee()]).join("\n");
        assert!(text.contains("512 KiB of L2 usable, claimed 1 MiB"), "{text}");
        // What is exact is held to more.
        let almost = value("cache.l1d_bytes", Unit::Bytes, kib(40.0));
        assert!(said(vec![almost]).join("\n").contains("40 KiB of L1D usable, claimed 48 KiB"));
        let coarse = value("cache.l1d_knee_bytes", Unit::Bytes, kib(40.0));
        assert_eq!(said(vec![coarse]), [] as [String; 0]);
    }

    #[test]
    fn a_claim_that_some_round_keeps_is_kept() {
        let l2 = |low, high| {
            let value = value("cache.l2_bytes", Unit::Bytes, kib(2624.0));
            said(vec![Value { low: Some(kib(low)), high: Some(kib(high)), ..value }])
        };
        assert_eq!(l2(1024.0, 2816.0), [] as [String; 0]);
        assert!(l2(2560.0, 2816.0)[0].contains("L2 hits up to 2.56 MiB, claimed 1 MiB"));
    }

    #[test]
    fn a_victim_cache_ends_at_the_sum_of_both_levels() {
        // 33 MiB is what a 32 MiB cache holds beside the 1 MiB of the level before it.
        let within = vec![value("cache.l3_knee_bytes", Unit::Bytes, kib(33.0 * 1024.0 * 1.2))];
        assert_eq!(said(within), [] as [String; 0]);
    }

    #[test]
    fn ways_that_are_not_the_claimed_ones_are_a_warning() {
        let ways = |n| value("cache.l2_ways", Unit::Count, n);
        assert_eq!(said(vec![ways(16.0)]), [] as [String; 0]);
        let text = said(vec![ways(8.0)]).join("\n");
        assert!(text.contains("L2 has 8 ways, claimed 16"), "{text}");
        let noisy = Value { state: State::Noisy, ..ways(8.0) };
        assert_eq!(said(vec![noisy]), [] as [String; 0]);
    }

    #[test]
    fn size_ways_and_line_must_fit_together() {
        let all = |size: f64, ways: f64| {
            vec![
                value("cache.l1d_bytes", Unit::Bytes, kib(size)),
                value("cache.l1d_ways", Unit::Count, ways),
                value("cache.line_bytes", Unit::Bytes, 64.0),
            ]
        };
        let inconsistent =
            |values| said(values).iter().any(|t| t.contains("contradict one another"));
        assert!(!inconsistent(all(48.0, 12.0)) && !inconsistent(all(32.0, 8.0)));
        // The size comes from a grid of 1 KiB.
        assert!(!inconsistent(all(47.0, 12.0)));
        assert!(inconsistent(all(48.0, 10.0)) && inconsistent(all(48.0, 0.0)));
        // Without one of the three nothing is said.
        assert!(!inconsistent(all(48.0, 10.0).into_iter().take(2).collect()));
    }

    #[test]
    fn levels_end_where_they_are_measured_to() {
        let values = |l3: f64| {
            Metrics(vec![
                value("cache.l1d_knee_bytes", Unit::Bytes, kib(48.0)),
                value("cache.l1d_bytes", Unit::Bytes, kib(46.0)),
                value("cache.l3_effective_bytes", Unit::Bytes, kib(l3)),
            ])
        };
        assert_eq!(level_ends(&values(4096.0)), [("L1", kib(46.0)), ("L3", kib(4096.0))]);
        // What is smaller than the level before it is none.
        assert_eq!(level_ends(&values(40.0)), [("L1", kib(46.0))]);
        assert!(level_ends(&Metrics::default()).is_empty());
    }
}
