//! What shares a cache line with what: flushing and contended additions.

use std::hint::black_box;
use std::sync::atomic::AtomicU32;

use super::arch;
use super::atomic::Form;
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
    touch(buffer, at + distance);
    flush(buffer, at).then(|| timed_load(buffer, at + distance))
}

/// Flushes the line at this offset; `false` where lines cannot be flushed.
///
/// # Panics
/// If the line is not inside the buffer.
pub fn flush(buffer: &Buffer, at: usize) -> bool {
    let line = buffer.range(at, 1);
    let able = can_flush();
    if able {
        // SAFETY: `range` checked that the address is inside the buffer, and clflush exists.
        unsafe { arch::line::flush(line) };
    }
    able
}

/// Ticks of one load of the word at this offset, fences and reading the ticks included.
///
/// # Panics
/// If the word is not inside the buffer.
pub fn timed_load(buffer: &Buffer, at: usize) -> u64 {
    let word = buffer.range(at, 4);
    // SAFETY: `range` checked that the word is inside the buffer.
    unsafe { arch::line::timed_load(word) }
}

/// Loads the byte at this offset.
///
/// Each caller has a load of its own: prefetchers learn by the address of the instruction.
#[inline(always)]
pub fn touch(buffer: &Buffer, at: usize) {
    black_box(buffer.bytes()[at]);
}

/// Ticks of one load of the word at `target`, which was loaded before and had to stand `passes` times
/// the loads of all these others. `mate` is in the same page but not of the set: it brings the
/// translation back, so that only the data may have been lost.
pub fn load_after(
    buffer: &Buffer,
    target: usize,
    mate: usize,
    others: &[usize],
    passes: u32,
) -> u64 {
    touch(buffer, target);
    for _ in 0..passes {
        others.iter().for_each(|&at| touch(buffer, at));
    }
    touch(buffer, mate);
    timed_load(buffer, target)
}

/// `ops` atomic additions to one counter.
#[inline]
pub fn add_atomically(counter: &AtomicU32, ops: u64) {
    add_in_form(Form::usual(), counter, ops);
}

/// The same in a form that need not be the usual one.
#[inline]
pub fn add_in_form(form: Form, counter: &AtomicU32, ops: u64) {
    for _ in 0..ops {
        form.add_one(counter);
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
    #[should_panic = "not inside the buffer"]
    fn no_word_before_the_buffer_is_loaded() {
        timed_load(&Buffer::new(4096, Pages::Small).unwrap(), usize::MAX - 3);
    }

    #[test]
    fn every_addition_counts() {
        let counter = AtomicU32::new(0);
        add_atomically(&counter, 1234);
        assert_eq!(counter.into_inner(), 1234);
    }
}
