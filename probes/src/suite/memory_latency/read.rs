//! Reading 1 MB in a straight line.

use std::cell::Cell;
use std::time::Duration;

use super::READ_ID;
use crate::harness::backing;
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::stream;
use crate::sys::memory::Buffer;
use card::machine::human_bytes;
use card::record::Skip;

/// Dean's "1 MB".
const MEGABYTE: usize = 1_000_000;

/// What one takes of a buffer, and what is between two of them.
const STEP: usize = MEGABYTE.next_multiple_of(stream::BLOCK);

/// The smallest buffer: one is not read twice in a row.
pub(super) const LEAST: u64 = 2 * STEP as u64;

/// Of the round.
const SHARE: f64 = 1.0 / 16.0;

/// Says that what is read would come from a cache.
pub(super) fn skip(bench: &mut Bench<'_>, largest: u64) -> anyhow::Result<()> {
    let skip = Skip::new(
        "twice the last-level cache to read 1 MB from memory",
        format!("{} would be read from the last-level cache", human_bytes(largest)),
        "raise the memory limit",
    );
    bench.skip(skip.of([READ_ID]))
}

/// In this memory, which it writes to.
pub(super) fn measure(bench: &mut Bench<'_>, buffer: &mut Buffer) -> anyhow::Result<()> {
    for (i, word) in buffer.words_mut().iter_mut().enumerate() {
        *word = i as u64;
    }
    let slices = buffer.len() / STEP;
    let note = backing::note(buffer);
    let (next, sum) = (Cell::new(0), Cell::new(expected_sum(0, STEP)));
    let wrong = Cell::new(None);
    let offset = |n: usize| n % slices * STEP;
    let read = |_| {
        sum.set(stream::sum(buffer, offset(next.get()), MEGABYTE));
        next.set(next.get() + 1);
    };
    // The sum of the read before is checked outside the timed region.
    let check = |_| {
        let last = offset(next.get().saturating_sub(1));
        if sum.get() != expected_sum(last, STEP) {
            wrong.set(Some(last));
        }
    };
    let policy = SamplingPlan {
        min_samples: 9,
        // One read is one sample.
        sample: Duration::from_nanos(1),
        ..SamplingPlan::structural(bench.share(SHARE))
    };
    bench.sample(Arm::new("read_1m", params([]), read).prepared(check).noted(note), &policy)?;
    bench.check(wrong.get().is_none(), || format!("a wrong sum of the megabyte at {wrong:?}"))
}

/// Sum of the 32-bit halves of the words `offset/8 ..` of a buffer that counts its words: the
/// upper halves are zero below 32 GiB.
fn expected_sum(offset: usize, len: usize) -> u32 {
    let (first, count) = (offset as u64 / 8, len as u64 / 8);
    (first * count).wrapping_add(count * (count - 1) / 2) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::Pages;

    #[test]
    fn the_expected_sum_is_the_sum() {
        let mut buffer = Buffer::new(4 << 20, Pages::Small).unwrap();
        for (i, word) in buffer.words_mut().iter_mut().enumerate() {
            *word = i as u64;
        }
        for slice in 0..4 {
            let offset = slice * STEP;
            assert_eq!(stream::sum(&buffer, offset, MEGABYTE), expected_sum(offset, STEP));
        }
    }
}
