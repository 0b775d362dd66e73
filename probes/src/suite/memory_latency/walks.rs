//! The page walk, where it happens: in main memory.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Context;

use super::STRETCH;
use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, Effort, params};
use crate::harness::levels;
use crate::harness::sampling::SamplingPlan;
use crate::kernel::chase::{self, Rings};
use crate::sys::memory::{Buffer, LINE, Pages};
use card::machine::human_bytes;
use card::record::Skip;

/// Entries of the page table in a line: eight bytes each.
const PAGES_OF_A_LINE: usize = LINE / 8;

/// Of the round, for each page size.
const SHARE: f64 = 1.0 / 16.0;

/// Of the largest working set: pages are dear to link, and so many are beyond all caches but the largest.
const ENOUGH: u64 = 256 << 20;

/// What a MiB of it takes to be linked, in both kinds of pages, on a server of the day.
const LINKING: Duration = Duration::from_micros(3500);

/// What it tells.
pub(super) const METRICS: &str = "tlb.*";

/// Whether half of the slice is enough to link so many pages; says so where it is not.
pub(super) fn in_time(bench: &mut Bench<'_>, largest: u64) -> anyhow::Result<bool> {
    let bytes = enough(bench, largest)?;
    let time = LINKING * (bytes >> 20) as u32;
    if time <= bench.share(0.5) {
        return Ok(true);
    }
    let (bytes, seconds) = (human_bytes(bytes as u64), time.as_secs_f64());
    let skip = Skip::new(
        "time for page walks in main memory",
        format!("linking {bytes} of pages takes {seconds:.1} s beside so large a cache"),
        "give the run more time (--tier standard or --budget)",
    );
    bench.skip(skip.of([METRICS]))?;
    Ok(false)
}

/// In small pages, in memory of its own.
pub(super) fn in_small(bench: &mut Bench<'_>, largest: u64) -> anyhow::Result<()> {
    let bytes = enough(bench, largest)?;
    let map = |bytes: usize| Buffer::untouched(bytes, Pages::Small);
    let (buffer, apart, crowded) = match map(bytes * PAGES_OF_A_LINE) {
        Ok(buffer) => (buffer, PAGES_OF_A_LINE, None),
        Err(e) => {
            let wanted = human_bytes((bytes * PAGES_OF_A_LINE) as u64);
            let note = format!("pages side by side: {wanted} of address space: {e}");
            let buffer = map(bytes);
            let buffer =
                buffer.with_context(|| format!("cannot map {}", human_bytes(bytes as u64)))?;
            (buffer, 1, Some(note))
        }
    };
    measure(bench, buffer, bytes, apart, crowded)?;
    Ok(())
}

/// In this memory of huge pages, which it leaves.
pub(super) fn in_huge(
    bench: &mut Bench<'_>,
    buffer: Buffer,
    largest: u64,
) -> anyhow::Result<Buffer> {
    let bytes = enough(bench, largest)?;
    measure(bench, buffer, bytes, 1, None)
}

fn enough(bench: &Bench<'_>, largest: u64) -> anyhow::Result<usize> {
    let least = levels::LEAST_BEYOND * levels::last_cache(bench.machine);
    Ok(usize::try_from(largest.min(least.max(ENOUGH)))?)
}

/// Two rings through the same pages of main memory, which lie so far apart: one visits a line of a
/// random page, the other one two lines of each, which halves the page walks and changes nothing else.
fn measure(
    bench: &mut Bench<'_>,
    buffer: Buffer,
    bytes: usize,
    apart: usize,
    crowded: Option<String>,
) -> anyhow::Result<Buffer> {
    let (variant, page) = (buffer.pages().name(), Pages::Small.bytes());
    let [single, double] = visits(bytes / page, apart * page, page / LINE, &mut bench.rng);
    let rings = Rings::link(buffer, &[&single, &double]);
    let note = crowded.or(backing::note(rings.buffer()));
    let rings = RefCell::new(rings);
    let arm = |i: usize| {
        let setting =
            params([("variant", variant.as_str().into()), ("lines", (i as u64 + 1).into())]);
        let rings = &rings;
        let go_on = move |loads| rings.borrow_mut().walk(i, loads);
        // The other ring has driven the lines of this one out of the caches, and the page tables
        // have to come back.
        let arm = Arm::new("visit", setting, go_on).prepared(move |_| go_on(STRETCH));
        arm.in_blocks_of(chase::BLOCK).noted(note.clone())
    };
    let (want, most) = if bench.tier == Effort::Quick { (3, 6) } else { (5, 16) };
    let policy = SamplingPlan {
        min_samples: want,
        max_samples: most,
        sample: Duration::from_millis(2),
        ..SamplingPlan::structural(bench.share(SHARE))
    };
    bench.interleave(vec![arm(0), arm(1)], &policy)?;
    Ok(rings.into_inner().into_buffer())
}

/// Places of the lines of so many pages, which begin so many bytes apart and have so many lines each,
/// for two rings: each has half of each page, the second one visits two lines of a page at a time.
fn visits(pages: usize, apart: usize, lines: usize, rng: &mut fastrand::Rng) -> [Vec<usize>; 2] {
    let mut slots: Vec<usize> = (0..lines).map(|i| i * LINE).collect();
    let mut rings = [Vec::new(), Vec::new()];
    for page in 0..pages {
        rng.shuffle(&mut slots);
        for (ring, slots) in rings.iter_mut().zip(slots.chunks(lines / 2)) {
            ring.extend(slots.iter().map(|slot| page * apart + slot));
        }
    }
    let [single, double] = rings;
    [in_random_order(&single, 1, rng), in_random_order(&double, 2, rng)]
}

/// So many of them at a time.
fn in_random_order(lines: &[usize], together: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut groups: Vec<&[usize]> = lines.chunks(together).collect();
    rng.shuffle(&mut groups);
    groups.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::bench::tests::bare;
    use crate::harness::clock::{CoreClock, Timer};
    use crate::harness::meter::Hardware;
    use card::machine::{Fact, Machine};
    use card::record::Record;
    use std::collections::BTreeMap;

    #[test]
    fn page_walks_wait_for_a_round_that_has_the_time() {
        let claims = r#"[{ "level": 3, "kind": "unified", "bytes": 272629760 }]"#;
        let caches = Fact::Known(serde_json::from_str(claims).unwrap());
        let (machine, known) = (Machine { caches, ..Machine::default() }, BTreeMap::new());
        let mut meter = Hardware::new(CoreClock::learn(Timer::CLOCK), 0);
        let mut left_out = Vec::new();
        let mut sink = |record| {
            if let Record::Skip(skip) = record {
                left_out.push(skip);
            }
            Ok(())
        };
        let mut bench = bare(&machine, &known, &mut meter, &mut sink);
        assert!(!in_time(&mut bench, 520 << 20).unwrap());
        bench.slice = Duration::from_secs(4);
        assert!(in_time(&mut bench, 1040 << 20).unwrap());
        let reasons: Vec<&str> = left_out.iter().map(|skip| skip.reason.as_str()).collect();
        assert_eq!(reasons, ["linking 520 MiB of pages takes 1.8 s beside so large a cache"]);
        assert!(left_out[0].names("tlb.walk_ns"));
    }

    #[test]
    fn two_rings_share_the_pages_and_no_line() {
        let mut rng = fastrand::Rng::with_seed(1);
        for lines in [64, 256, 1024] {
            share_pages(lines, &mut rng);
        }
    }

    /// With pages of so many lines, eight of them apart.
    fn share_pages(lines_in_page: usize, rng: &mut fastrand::Rng) {
        let bytes = lines_in_page * LINE;
        let [single, double] = visits(64, 8 * bytes, lines_in_page, rng);
        let page = |line: usize| line / bytes;
        assert!(double.chunks(2).all(|pair| page(pair[0]) == page(pair[1])));
        let stays = |lines: &[usize]| lines.windows(2).filter(|w| page(w[0]) == page(w[1])).count();
        let all = single.len();
        assert!(stays(&single) < all / 20, "{} of {all} stay in their page", stays(&single));
        for lines in [&single, &double] {
            let mut sorted = lines.clone();
            sorted.sort_unstable();
            let pages = sorted.chunks(lines_in_page / 2).enumerate();
            assert!(pages.into_iter().all(|(i, of)| of.iter().all(|&line| page(line) == i * 8)));
        }
        let all: std::collections::HashSet<usize> = single.into_iter().chain(double).collect();
        assert_eq!(all.len(), 64 * lines_in_page);
    }
}
