//! Two chains of dependent integer operations: the core's own clock.

use super::{arch, whole_blocks};

/// Operations per unrolled block; counts are rounded up to whole blocks.
pub const BLOCK: u64 = 256;

/// Runs dependent additions; the sum is the number of operations really done.
#[inline(always)]
pub fn add(ops: u64) -> u64 {
    arch::chain::add(whole_blocks(ops, BLOCK))
}

/// Runs dependent multiplications; the product is 3 to the number of operations done.
#[inline(always)]
pub fn mul(ops: u64) -> u64 {
    arch::chain::mul(whole_blocks(ops, BLOCK))
}

/// The multiplications of a core where each takes two cycles more: two additions follow it.
#[cfg(test)]
pub(crate) fn mul_add_add(ops: u64) -> u64 {
    arch::chain::mul_add_add(whole_blocks(ops, BLOCK))
}

/// Instructions of that many operations of either chain: a counter and a jump close each block.
pub fn instructions(ops: u64) -> u64 {
    whole_blocks(ops, BLOCK).get() * (BLOCK + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chains_do_as_many_operations_as_they_say() {
        for (ops, blocks) in [(0, 1), (1, 1), (BLOCK, 1), (3 * BLOCK, 3), (10 * BLOCK + 1, 11)] {
            let done = blocks * BLOCK;
            assert_eq!(add(ops), done);
            assert_eq!(mul(ops), 3_u64.wrapping_pow(u32::try_from(done).unwrap()));
        }
    }
}
