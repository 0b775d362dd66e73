//! Reading memory in a straight line.

use super::arch;
use crate::sys::memory::Buffer;

/// Bytes per unrolled block; lengths are rounded up to whole blocks.
pub const BLOCK: usize = 256;

/// Reads `len` bytes from `offset` and adds them up as 32-bit words, wrapping.
///
/// # Panics
/// If the blocks are not inside the buffer or do not start at a multiple of 16.
pub fn sum(buffer: &Buffer, offset: usize, len: usize) -> u32 {
    let blocks = len.div_ceil(BLOCK).max(1);
    assert!(offset.is_multiple_of(16), "{offset} is no multiple of 16");
    let start = buffer.range(offset, blocks.saturating_mul(BLOCK));
    // SAFETY: `range` checked that the blocks are inside the buffer, whose base is 2 MiB aligned, so
    // that the start is 16-byte aligned.
    unsafe { arch::stream::sum(start, blocks) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::Pages;

    #[test]
    fn the_sum_is_that_of_the_scalar_loop() {
        let mut buffer = Buffer::new(64 << 10, Pages::Small).unwrap();
        let mut rng = fastrand::Rng::with_seed(11);
        rng.fill(buffer.bytes_mut());
        for (offset, len) in [(0_usize, 256_usize), (16, 512), (4096, 60 << 10), (48, 300)] {
            let end = offset + len.div_ceil(BLOCK) * BLOCK;
            let scalar = buffer.bytes()[offset..end]
                .chunks_exact(4)
                .map(|w| u32::from_ne_bytes(w.try_into().unwrap()))
                .fold(0_u32, u32::wrapping_add);
            assert_eq!(sum(&buffer, offset, len), scalar);
        }
    }

    #[test]
    #[should_panic = "not inside the buffer"]
    fn more_than_there_can_be_is_not_read() {
        sum(&Buffer::new(4096, Pages::Small).unwrap(), 16, usize::MAX);
    }
}
