//! Branches on fresh random bits: what a wrong prediction costs.

use super::arch;

/// Branches per word of outcomes, and per block of the fixed kernels.
pub const BLOCK: u64 = 64;

/// Additions on the carried chain between two branches of [`serial`] with no extra delay.
pub const CHAIN: u32 = 12;

/// Additions on the carried chain of [`delayed`]: more than the longest delay, so that the delay
/// is hidden behind it unless the branch was mispredicted.
pub const LONG_CHAIN: u32 = 40;

/// Cycles by which [`delayed`] can hold back the branch condition.
pub const DELAYS: [u32; 6] = [0, 4, 8, 16, 24, 32];

/// One branch per bit, waiting for a chain of [`CHAIN`] additions that waits for the branch before.
#[inline]
pub fn serial(words: &[u64]) -> u64 {
    arch::branch::serial::<{ CHAIN as usize }, 0>(words)
}

/// The same over [`LONG_CHAIN`] additions, the condition held back by one of [`DELAYS`].
///
/// # Panics
/// With a delay that is not one of them.
#[inline]
pub fn delayed(words: &[u64], delay: u32) -> u64 {
    const K: usize = LONG_CHAIN as usize;
    match delay {
        0 => arch::branch::serial::<K, 0>(words),
        4 => arch::branch::serial::<K, 4>(words),
        8 => arch::branch::serial::<K, 8>(words),
        16 => arch::branch::serial::<K, 16>(words),
        24 => arch::branch::serial::<K, 24>(words),
        32 => arch::branch::serial::<K, 32>(words),
        _ => panic!("no kernel holds the condition back by {delay} cycles"),
    }
}

/// One independent branch per bit, taken when it is set; counts the clear bits.
#[inline]
pub fn parallel(words: &[u64]) -> u64 {
    arch::branch::parallel(words)
}

/// Counts the clear bits without branching.
#[inline]
pub fn branch_free(words: &[u64]) -> u64 {
    arch::branch::branch_free(words)
}

/// Branches that are always taken, each over one instruction.
#[inline]
pub fn always_taken(ops: u64) {
    arch::branch::fixed::<true>(ops.div_ceil(BLOCK).max(1));
}

/// The same branches, never taken.
#[inline]
pub fn never_taken(ops: u64) {
    arch::branch::fixed::<false>(ops.div_ceil(BLOCK).max(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_right() {
        let mut rng = fastrand::Rng::with_seed(5);
        let words: Vec<u64> = (0..100).map(|_| rng.u64(..)).collect();
        let clear: u64 = words.iter().map(|w| u64::from(w.count_zeros())).sum();
        assert_eq!(parallel(&words), clear);
        assert_eq!(branch_free(&words), clear);
        assert_eq!(parallel(&[]), 0);
        assert_eq!(branch_free(&[]), 0);
    }

    #[test]
    fn the_chain_keeps_its_value() {
        let words = [u64::MAX, 0, 0xAAAA_AAAA_AAAA_AAAA];
        assert_eq!(serial(&words), 1);
        assert_eq!(serial(&[]), 1);
        for delay in DELAYS {
            assert_eq!(delayed(&words, delay), 1);
        }
        always_taken(1000);
        never_taken(1000);
    }
}
