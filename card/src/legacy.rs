//! What cards of earlier programs said in words and today's say in fields.

use crate::record::Skip;

/// Metrics used to be named within the need: "2 CPUs (locks.*_contended_ns, locks.handoff*_ns)".
pub fn skip(skip: &mut Skip) {
    if !skip.metrics.is_empty() {
        return;
    }
    let is_id = |word: &&str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._*?".contains(c);
        word.contains('.') && !word.ends_with('.') && word.chars().all(allowed)
    };
    let words = skip.need.split([' ', ',', ':', '(', ')']);
    skip.metrics = words.filter(is_id).map(str::to_owned).collect();
    if let Some((plain, ids)) = skip.need.split_once(" (")
        && ids.contains('.')
    {
        skip.need = plain.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_taken_out_of_the_need() {
        let mut old = Skip::new("2 CPUs (locks.*_contended_ns, locks.handoff_ns)", "", "");
        skip(&mut old);
        assert_eq!(
            old,
            Skip::new("2 CPUs", "", "").of(["locks.*_contended_ns", "locks.handoff_ns"])
        );
        let mut inside = Skip::new("a set in l3 for simd.*.l3_ratio: none.", "", "");
        skip(&mut inside);
        assert!(inside.names("simd.sum.avx.l3_ratio") && !inside.names("simd.sum.avx.l2_ratio"));
        let mut whole = Skip::new("48 MiB for buffers", "", "");
        skip(&mut whole);
        assert_eq!(whole, Skip::new("48 MiB for buffers", "", ""));
    }
}
