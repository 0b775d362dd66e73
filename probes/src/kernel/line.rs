//! What shares a cache line with what: flushing and contended additions.

use std::sync::atomic::{AtomicU32, Ordering};

use super::arch;
use crate::sys::memory::Buffer;

/// Whether single lines can be flushed here.
pub fn can_flush() -> bool {
    arch::line::can_flush()
}

/// Ticks of one load at `at + distance` right after the line of `at` was flushed, or `None`
/// where lines cannot be flushed.
///
/// # Panics
/// If the addresses are not inside the buffer.
pub fn reload_after_flush(buffer: &Buffer, at: usize, distance: usize) -> Option<u64> {
    assert!(at + distance + 4 <= buffer.len(), "both loads are inside the buffer");
    let flushed = buffer.base().wrapping_add(at);
    let probe = flushed.wrapping_add(distance);
    // SAFETY: both addresses were checked to be inside the buffer, and clflush to exist.
    can_flush().then(|| unsafe { arch::line::reload_after_flush(flushed, probe) })
}

/// `ops` atomic additions (a locked read-modify-write each) to one counter.
#[inline]
pub fn add_atomically(counter: &AtomicU32, ops: u64) {
    for _ in 0..ops {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::Pages;

    #[test]
    fn a_reload_takes_time() {
        let buffer = Buffer::new(8192, Pages::Small).unwrap();
        if can_flush() {
            assert!(reload_after_flush(&buffer, 0, 256).unwrap() > 0);
        }
    }

    #[test]
    fn every_addition_counts() {
        let counter = AtomicU32::new(0);
        add_atomically(&counter, 1234);
        assert_eq!(counter.into_inner(), 1234);
    }
}
