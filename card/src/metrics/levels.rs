//! The levels of the memory hierarchy on a latency curve.

use crate::declare::Level;

use crate::estimate::median;

/// One working set on the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    /// Working set.
    pub(super) bytes: f64,
    /// Latency.
    pub(super) ns: f64,
    /// Latency in core cycles.
    pub(super) cycles: f64,
}

/// A level found on a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// Which.
    pub(super) level: Level,
    /// First and last size of the flat part.
    pub(super) from: f64,
    /// See `from`.
    pub(super) to: f64,
    /// Height in ns.
    pub(super) ns: f64,
    /// Height in cycles.
    pub(super) cycles: f64,
    /// Largest working set that still fits: before the curve has risen by 15 % of the way to the
    /// next level.
    pub(super) capacity: f64,
}

/// Every first-level data cache in use holds this.
const IN_L1: f64 = 16.0 * 1024.0;

/// Load-to-use latencies of second-level caches lie between these (published: 9 to 18 cycles; a
/// guest on splintered pages sees up to 10 more).
const L2_CYCLES: std::ops::Range<f64> = 8.0..30.0;

/// A third level is slower than any second one and faster than this share of main memory.
const L3_OF_DRAM: f64 = 0.6;

/// A stretch that rises faster than this, as a factor per octave, is a ramp and no level.
const STEEPEST: f64 = 1.3;

/// How far from its middle a level reaches, as a factor.
const BAND: f64 = 1.08;

/// The share of the way to the next level at which a capacity ends.
const KNEE: f64 = 0.15;

/// ... but no more than this factor above the level itself: L2 to L3 is a factor of four at most.
const FARTHEST_BORDER: f64 = 1.6;

/// The levels of a curve in ascending sizes; an absent level was not seen.
///
/// The first level is where every machine has it, main memory is the end of the sweep (if that is
/// long past the caches), and between them each level is the flattest stretch in its band of
/// latencies. Claims of the machine play no part.
pub(super) fn find(curve: &[Size]) -> Vec<Found> {
    let Some(l1) = first_level(curve) else { return Vec::new() };
    let dram = last_level(curve, l1.cycles);
    let ceiling = dram.map_or(f64::INFINITY, |d| d.cycles * L3_OF_DRAM);
    let l2 = flattest(
        curve,
        Level::L2,
        L2_CYCLES.start.max(l1.cycles * 1.3)..L2_CYCLES.end.min(ceiling),
    );
    let floor = l2.map_or(L2_CYCLES.end, |l| (l.cycles * 1.5).max(L2_CYCLES.start));
    let l3 = flattest(curve, Level::L3, floor..ceiling);
    let mut found: Vec<Found> = [Some(l1), l2, l3, dram].into_iter().flatten().collect();
    for i in 0..found.len().saturating_sub(1) {
        let border = found[i].cycles + KNEE * (found[i + 1].cycles - found[i].cycles);
        // Where the level in between was not seen, the next one is far away.
        let border = border.min(found[i].cycles * FARTHEST_BORDER);
        found[i].capacity = capacity(curve, found[i].from, border).unwrap_or(found[i].to);
    }
    found
}

fn first_level(curve: &[Size]) -> Option<Found> {
    let inside: Vec<Size> = curve.iter().copied().filter(|s| s.bytes <= IN_L1).collect();
    let l1 = level(&inside, Level::L1)?;
    // It reaches as far as the curve stays there.
    let to = curve.iter().take_while(|s| s.cycles < l1.cycles * BAND).last()?.bytes;
    Some(Found { to, ..l1 })
}

/// The last octave, if it is as high as main memory must be.
fn last_level(curve: &[Size], l1_cycles: f64) -> Option<Found> {
    let end = curve.last()?.bytes;
    let last: Vec<Size> = curve.iter().copied().filter(|s| s.bytes > end / 2.1).collect();
    let dram = level(&last, Level::Dram)?;
    let first = last.first()?;
    // Still climbing steeply: the sweep ended on the way out of a cache.
    let flat = dram.cycles < first.cycles * STEEPEST;
    // The fastest main memory answers in 40 ns, the slowest L3 in about 40 first-level hits.
    (flat && dram.ns > 40.0 && dram.cycles > 40.0 * l1_cycles).then_some(dram)
}

/// The flattest stretch of an octave within the band, as far as it reaches.
fn flattest(curve: &[Size], which: Level, band: std::ops::Range<f64>) -> Option<Found> {
    let inside: Vec<Size> = curve.iter().copied().filter(|s| band.contains(&s.cycles)).collect();
    let stretches = (0..inside.len()).filter_map(|start| {
        let from = inside[start].bytes;
        let stretch: Vec<Size> =
            inside[start..].iter().copied().take_while(|s| s.bytes <= from * 1.7).collect();
        // Three quarters of an octave, by three points at least.
        let long = stretch.len() >= 3 && stretch.last()?.bytes >= from * 1.45;
        let octaves = (stretch.last()?.bytes / from).log2();
        let rise = (highest(&stretch) / lowest(&stretch)).powf(1.0 / octaves);
        (long && rise < STEEPEST).then_some((rise, stretch))
    });
    let (_, core) = stretches.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let middle = level(&core, which)?;
    let within = |s: &&Size| s.cycles > middle.cycles / BAND && s.cycles < middle.cycles * BAND;
    let mut reach = inside.iter().filter(within).map(|s| s.bytes);
    let from = reach.next().unwrap_or(middle.from);
    Some(Found { from, to: reach.next_back().unwrap_or(middle.to).max(middle.to), ..middle })
}

fn highest(sizes: &[Size]) -> f64 {
    sizes.iter().map(|s| s.cycles).fold(0.0, f64::max)
}

fn lowest(sizes: &[Size]) -> f64 {
    sizes.iter().map(|s| s.cycles).fold(f64::INFINITY, f64::min)
}

fn level(sizes: &[Size], level: Level) -> Option<Found> {
    let of = |get: fn(&Size) -> f64| median(&sizes.iter().map(get).collect::<Vec<f64>>());
    Some(Found {
        level,
        from: sizes.first()?.bytes,
        to: sizes.last()?.bytes,
        ns: of(|s| s.ns)?,
        cycles: of(|s| s.cycles)?,
        capacity: sizes.last()?.bytes,
    })
}

/// The last size before two points in a row lie above the border, so that one stray point does not
/// end a level.
fn capacity(curve: &[Size], from: f64, border: f64) -> Option<f64> {
    let after: Vec<&Size> = curve.iter().filter(|s| s.bytes >= from).collect();
    let above = |i: usize| after.get(i).is_none_or(|s| s.cycles > border);
    let knee = (0..after.len()).find(|&i| above(i) && above(i + 1))?;
    after.get(knee.checked_sub(1)?).map(|s| s.bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A curve at 4 GHz: each (capacity, cycles) holds up to its capacity, then half an octave of
    /// ramp leads to the next.
    fn staircase(levels: &[(f64, f64)], end: f64) -> Vec<Size> {
        let mut sizes = Vec::new();
        let mut bytes = 4096.0_f64;
        while bytes <= end {
            sizes.push(Size { bytes, ns: 0.0, cycles: height(levels, bytes) });
            bytes *= 2.0_f64.powf(0.25);
        }
        sizes.iter_mut().for_each(|s| s.ns = s.cycles / 4.0);
        sizes
    }

    fn height(levels: &[(f64, f64)], bytes: f64) -> f64 {
        let i = levels.iter().position(|l| bytes <= l.0 * 1.001).unwrap_or(levels.len() - 1);
        let cycles = levels[i].1;
        match i.checked_sub(1).map(|b| levels[b]) {
            Some((cap, below)) if bytes < cap * 1.5 => {
                below + (cycles - below) * (bytes / cap).log2() / 1.5_f64.log2()
            }
            _ => cycles,
        }
    }

    const KIB: f64 = 1024.0;
    const MIB: f64 = 1024.0 * 1024.0;

    #[test]
    fn four_levels_with_their_capacities() {
        let curve = staircase(
            &[(32.0 * KIB, 4.0), (MIB, 14.0), (32.0 * MIB, 50.0), (f64::INFINITY, 420.0)],
            256.0 * MIB,
        );
        let found = find(&curve);
        let heights: Vec<f64> = found.iter().map(|f| f.cycles.round()).collect();
        assert_eq!(heights, [4.0, 14.0, 50.0, 420.0]);
        assert_eq!(found[3].ns, 105.0);
        let capacities: Vec<f64> = found[..3].iter().map(|f| f.capacity).collect();
        for (measured, real) in capacities.iter().zip([32.0 * KIB, MIB, 32.0 * MIB]) {
            assert!((measured / real - 1.0).abs() < 0.2, "{measured} for {real}");
        }
    }

    #[test]
    fn a_small_share_of_l3_is_still_a_level_and_a_ramp_is_none() {
        let share = [(48.0 * KIB, 4.0), (MIB, 14.0), (4.0 * MIB, 55.0), (f64::INFINITY, 480.0)];
        let found = find(&staircase(&share, 128.0 * MIB));
        assert!((found[2].capacity / MIB - 4.0).abs() < 1.0);
        let none = [(48.0 * KIB, 4.0), (MIB, 14.0), (f64::INFINITY, 480.0)];
        let found = find(&staircase(&none, 128.0 * MIB));
        assert_eq!(
            found.iter().map(|f| f.level).collect::<Vec<_>>(),
            [Level::L1, Level::L2, Level::Dram]
        );
    }

    #[test]
    fn an_unseen_level_does_not_lend_its_room_to_the_one_before() {
        // From the second level a slow ramp leads to memory: no third level is seen.
        let mut curve = staircase(&[(32.0 * KIB, 4.0), (f64::INFINITY, 14.0)], 128.0 * MIB);
        for size in curve.iter_mut().filter(|s| s.bytes > MIB) {
            size.cycles = (14.0 * (size.bytes / MIB).powf(1.0)).min(500.0);
            size.ns = size.cycles / 4.0;
        }
        let found = find(&curve);
        let l2 = found.iter().find(|f| f.level == Level::L2).unwrap();
        assert!(l2.capacity < 2.0 * MIB, "{found:?}");
        assert!(found.iter().all(|f| f.level != Level::L3), "{found:?}");
    }

    #[test]
    fn a_sweep_that_ends_in_a_cache_has_no_main_memory() {
        let levels = [(32.0 * KIB, 4.0), (MIB, 14.0), (f64::INFINITY, 50.0)];
        let found = find(&staircase(&levels, 8.0 * MIB));
        assert_eq!(found.last().unwrap().level, Level::L3);
        assert!(find(&[]).is_empty());
    }

    #[test]
    fn one_stray_point_does_not_end_a_level() {
        let levels = [(32.0 * KIB, 4.0), (MIB, 14.0), (f64::INFINITY, 420.0)];
        let mut curve = staircase(&levels, 64.0 * MIB);
        let stray = curve.iter().position(|s| s.bytes > 200.0 * KIB).unwrap();
        curve[stray].cycles = 40.0;
        let found = find(&curve);
        assert!((found[1].capacity / MIB - 1.0).abs() < 0.2, "{found:?}");
        assert_eq!(found[1].cycles, 14.0);
    }

    proptest! {
        #[test]
        fn any_hierarchy_is_found(l1 in 24_f64..80.0, l2 in 256_f64..2048.0, share in 6_f64..64.0,
                                  c2 in 9.0..18.0_f64, c3 in 34.0..90.0_f64, dram in 250.0..600.0_f64) {
            let l3 = l2 * KIB * share;
            let levels = [(l1 * KIB, 4.0), (l2 * KIB, c2), (l3, c3), (f64::INFINITY, dram)];
            let found = find(&staircase(&levels, l3 * 8.0));
            prop_assert_eq!(found.len(), 4, "{:?}", found);
            for (f, real) in found.iter().zip([4.0, c2, c3, dram]) {
                prop_assert!((f.cycles / real - 1.0).abs() < 0.03, "{} for {}", f.cycles, real);
            }
        }

        #[test]
        fn no_curve_makes_it_panic(cycles in prop::collection::vec(prop::num::f64::ANY, 0..80)) {
            let curve: Vec<Size> = cycles
                .iter()
                .enumerate()
                .map(|(i, &c)| Size { bytes: 4096.0 * (i as f64 / 4.0).exp2(), ns: c / 4.0, cycles: c })
                .collect();
            let _ = find(&curve);
        }
    }
}
