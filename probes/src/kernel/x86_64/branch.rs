//! Conditional branches whose outcomes are the bits of a word.
use core::arch::asm;
use std::num::NonZeroU64;

/// Multiplications from one branch of [`serial`] to the next.
pub(in crate::kernel) const CHAIN: usize = 7;

/// For each bit of each word: a branch on it whose condition waits for a chain of `K`
/// multiplications and then `D` more beside it. Returns the end of the chain, which must be 1.
///
/// One branch site at the head of each 64-byte line, 64 sites, and nothing of a block beyond its
/// line (so K + D <= 12): with a single site in a rolled loop the redirect lands behind a taken
/// back-edge, and with blocks of two or three lines the penalty reads 1.5 to 2.5 cycles more.
/// Multiplications, because they put three cycles into four bytes.
pub(in crate::kernel) fn serial<const K: usize, const D: usize>(words: &[u64]) -> u64 {
    let mut chain = 1_u64;
    if words.is_empty() {
        return chain;
    }
    // SAFETY: `next` walks `count` words of the slice; nothing is written.
    unsafe {
        asm!(
            "2:",
            "mov {word}, [{next}]",
            "add {next}, 8",
            ".rept 64",
            ".p2align 6",
            // The condition: the lowest bit, through a mask that only the chain provides.
            "mov {mask}, {chain}",
            ".rept {d}",
            "imul {mask}, {one}",
            ".endr",
            "test {word}, {mask}",
            "jz 3f",
            "add {chain}, {zero}",
            "3:",
            "shr {word}",
            ".rept {k}",
            "imul {chain}, {one}",
            ".endr",
            ".endr",
            "dec {count}",
            "jnz 2b",
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

/// For each bit of each word: a branch that is taken when the bit is set and otherwise falls into
/// one addition; nothing waits for anything else. Returns the number of clear bits.
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
            "mov {word}, [{next}]",
            "add {next}, 8",
            ".rept 64",
            "shr {word}",
            "jc 3f",
            "add {clear}, {one}",
            "3:",
            ".endr",
            "dec {count}",
            "jnz 2b",
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
            "mov {word}, [{next}]",
            "add {next}, 8",
            ".rept 64",
            "shr {word}",
            "adc {set}, {zero}",
            ".endr",
            "dec {count}",
            "jnz 2b",
            set = inout(reg) set,
            next = inout(reg) words.as_ptr() => _,
            count = inout(reg) words.len() => _,
            zero = in(reg) 0_u64,
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
            "je 3f",
            "nop",
            "3:",
            ".endr",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) blocks.get() => _,
            zero = in(reg) 0_u64,
            other = in(reg) u64::from(!TAKEN),
            options(nomem, nostack),
        );
    }
}
