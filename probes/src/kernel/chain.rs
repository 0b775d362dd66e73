//! Two chains of dependent integer operations with known latencies: the core's own clock.

use super::arch;

/// Operations per unrolled block; counts are rounded up to whole blocks.
pub const BLOCK: u64 = 256;

/// Cycles of one dependent addition.
pub const ADD_CYCLES: f64 = 1.0;

/// Cycles of one dependent 64-bit multiplication (every x86 since Nehalem and Zen).
pub const MUL_CYCLES: f64 = 3.0;

/// Runs dependent additions; the sum is the number of operations really done.
#[inline(always)]
pub fn add(ops: u64) -> u64 {
    arch::chain::add(ops.div_ceil(BLOCK).max(1))
}

/// Runs dependent multiplications; the product is 3 to the number of operations done.
#[inline(always)]
pub fn mul(ops: u64) -> u64 {
    arch::chain::mul(ops.div_ceil(BLOCK).max(1))
}

/// Instructions of that many operations of either chain: a counter and a jump close each block.
pub fn instructions(ops: u64) -> u64 {
    ops.div_ceil(BLOCK).max(1) * (BLOCK + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chains_do_as_many_operations_as_they_say() {
        for ops in [1, BLOCK, 3 * BLOCK, 10 * BLOCK + 1] {
            let done = ops.div_ceil(BLOCK) * BLOCK;
            assert_eq!(add(ops), done);
            assert_eq!(mul(ops), 3_u64.wrapping_pow(u32::try_from(done).unwrap()));
        }
    }
}
