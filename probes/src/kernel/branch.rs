//! Branches on fresh random bits: what a wrong prediction costs.

use super::{arch, whole_blocks};

/// Branches per word of outcomes, and per block of the fixed kernels.
pub const BLOCK: u64 = 64;

/// Multiplications by which [`serial`] can hold back the branch condition. Fewer than the carried
/// chain has, so that the delay is hidden unless the branch was mispredicted.
pub const DELAYS: [u32; 6] = [0, 1, 2, 3, 4, 5];

/// One branch per bit. Its condition waits for a chain of multiplications that goes through every
/// branch before it, and for one of [`DELAYS`] on top.
///
/// # Panics
/// With a delay that is not one of them.
#[inline]
pub fn serial(words: &[u64], delay: u32) -> u64 {
    use arch::branch::{CHAIN, serial};
    match delay {
        0 => serial::<CHAIN, 0>(words),
        1 => serial::<CHAIN, 1>(words),
        2 => serial::<CHAIN, 2>(words),
        3 => serial::<CHAIN, 3>(words),
        4 => serial::<CHAIN, 4>(words),
        5 => serial::<CHAIN, 5>(words),
        _ => panic!("no kernel holds the condition back by {delay} multiplications"),
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
    let set = arch::branch::set(words);
    words.len() as u64 * 64 - set
}

/// Branches that are always taken, each over one instruction.
#[inline]
pub fn always_taken(ops: u64) {
    arch::branch::fixed::<true>(whole_blocks(ops, BLOCK));
}

/// The same branches, never taken.
#[inline]
pub fn never_taken(ops: u64) {
    arch::branch::fixed::<false>(whole_blocks(ops, BLOCK));
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
        for delay in DELAYS {
            assert_eq!(serial(&words, delay), 1);
            assert_eq!(serial(&[], delay), 1);
        }
        for ops in [0, 1000] {
            always_taken(ops);
            never_taken(ops);
        }
    }
}
