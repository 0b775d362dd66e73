//! Conditional branches whose outcomes are the bits of a word.
use core::arch::asm;
use std::num::NonZeroU64;

/// Multiplications from one branch of [`serial`] to the next: with the longest delay a block still
/// fits into its line.
pub(in crate::kernel) const CHAIN: usize = 6;

/// For each bit of each word: a branch on it whose condition waits for a chain of `K`
/// multiplications and then `D` more beside it. Returns the end of the chain, which must be 1.
///
/// One branch site at the head of each 64-byte line, 64 sites, and nothing of a block beyond its
/// line (so K + D <= 11), for the reasons that the x86 twin has.
pub(in crate::kernel) fn serial<const K: usize, const D: usize>(words: &[u64]) -> u64 {
    const { assert!(K + D <= 11) };
    let mut chain = 1_u64;
    if words.is_empty() {
        return chain;
    }
    // SAFETY: `next` walks `count` words of the slice; nothing is written.
    unsafe {
        asm!(
            "2:",
            "ldr {word}, [{next}], #8",
            ".rept 64",
            ".p2align 6",
            // The condition: the lowest bit, through a mask that only the chain provides.
            "mov {mask}, {chain}",
            ".rept {d}",
            "mul {mask}, {mask}, {one}",
            ".endr",
            "tst {word}, {mask}",
            "b.eq 3f",
            "add {chain}, {chain}, {zero}",
            "3:",
            "lsr {word}, {word}, #1",
            ".rept {k}",
            "mul {chain}, {chain}, {one}",
            ".endr",
            ".endr",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            k = const K,
            d = const D,
            chain = inout(reg) chain,
            next = inout(reg) words.as_ptr() => _,
            count = inout(reg) words.len() => _,
            zero = in(reg) 0_u64,
            one = in(reg) 1_u64,
            word = out(reg) _,
            mask = out(reg) _,
            options(readonly, nostack),
        );
    }
    chain
}

/// For each bit of each word, the highest first: a branch that is taken when the bit is set and
/// otherwise falls into one addition; nothing waits for anything else. Returns the number of clear
/// bits.
pub(in crate::kernel) fn parallel(words: &[u64]) -> u64 {
    let mut clear = 0_u64;
    if words.is_empty() {
        return clear;
    }
    // SAFETY: as above.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            "ldr {word}, [{next}], #8",
            ".rept 64",
            "adds {word}, {word}, {word}",
            "b.cs 3f",
            "add {clear}, {clear}, {one}",
            "3:",
            ".endr",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            clear = inout(reg) clear,
            next = inout(reg) words.as_ptr() => _,
            count = inout(reg) words.len() => _,
            one = in(reg) 1_u64,
            word = out(reg) _,
            options(readonly, nostack),
        );
    }
    clear
}

/// The same count without a branch.
pub(in crate::kernel) fn branch_free(words: &[u64]) -> u64 {
    let mut set = 0_u64;
    if words.is_empty() {
        return 0;
    }
    // SAFETY: as above.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            "ldr {word}, [{next}], #8",
            ".rept 64",
            "adds {word}, {word}, {word}",
            "adc {set}, {set}, xzr",
            ".endr",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            set = inout(reg) set,
            next = inout(reg) words.as_ptr() => _,
            count = inout(reg) words.len() => _,
            word = out(reg) _,
            options(readonly, nostack),
        );
    }
    words.len() as u64 * 64 - set
}

/// `blocks` times 64 conditional branches, 16 bytes apart, that are always or never taken.
pub(in crate::kernel) fn fixed<const TAKEN: bool>(blocks: NonZeroU64) {
    // SAFETY: no memory is touched; the counter is not zero.
    unsafe {
        asm!(
            "2:",
            ".rept 64",
            ".p2align 4",
            "cmp {zero}, {other}",
            "b.eq 3f",
            "nop",
            "3:",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            n = inout(reg) blocks.get() => _,
            zero = in(reg) 0_u64,
            other = in(reg) u64::from(!TAKEN),
            options(nomem, nostack),
        );
    }
}
