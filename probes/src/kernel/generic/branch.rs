//! Conditional branches whose outcomes are the bits of a word. In these loops `n` counts down the
//! words that are left, label 2 is where a word begins, and label 3 where a branch goes.

/// A function with a branch on each bit of each word, whose condition waits for a chain of `K`
/// multiplications and then `D` more beside it. Returns the end of the chain, which must be 1.
///
/// One branch site at the head of each 64-byte line, 64 sites, and nothing of a block beyond its
/// line (so K + D is no more than `$most`): with a single site in a rolled loop the redirect lands
/// behind a taken back-edge, and with blocks of two or three lines the penalty reads 1.5 to 2.5 cycles
/// more.
macro_rules! serial {
    ($most:literal: [$($next:literal)+] [$copy:literal $delay:literal] [$($branch:literal)+]
     $add:literal $bit:literal $chain:literal) => {
        pub(in crate::kernel) fn serial<const K: usize, const D: usize>(words: &[u64]) -> u64 {
            const { assert!(K + D <= $most) };
            let mut chain = 1_u64;
            if words.is_empty() {
                return chain;
            }
            // SAFETY: `next` walks `n` words of the slice; nothing is written.
            unsafe {
                core::arch::asm!(
                    "2:",
                    $($next,)+
                    ".rept 64",
                    ".p2align 6",
                    // The condition: the lowest bit, through a mask that only the chain provides.
                    $copy,
                    ".rept {d}",
                    $delay,
                    ".endr",
                    $($branch,)+
                    $add,
                    "3:",
                    $bit,
                    ".rept {k}",
                    $chain,
                    ".endr",
                    ".endr",
                    crate::kernel::arch::again!(),
                    k = const K,
                    d = const D,
                    chain = inout(reg) chain,
                    next = inout(reg) words.as_ptr() => _,
                    n = inout(reg) words.len() => _,
                    zero = in(reg) 0_u64,
                    one = in(reg) 1_u64,
                    word = out(reg) _,
                    mask = out(reg) _,
                    options(readonly, nostack),
                );
            }
            chain
        }
    };
}

/// A function that takes each bit of each word and does `$each`; returns what that makes of 0.
macro_rules! bits {
    ($name:ident: [$($next:literal)+] [$($each:literal)+] [$($operands:tt)*]) => {
        pub(in crate::kernel) fn $name(words: &[u64]) -> u64 {
            let mut count = 0_u64;
            if words.is_empty() {
                return count;
            }
            // SAFETY: `next` walks `n` words of the slice; nothing is written.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    $($next,)+
                    ".rept 64",
                    $($each,)+
                    ".endr",
                    crate::kernel::arch::again!(),
                    count = inout(reg) count,
                    next = inout(reg) words.as_ptr() => _,
                    n = inout(reg) words.len() => _,
                    $($operands)*
                    word = out(reg) _,
                    options(readonly, nostack),
                );
            }
            count
        }
    };
}

/// A function that runs `blocks` times 64 conditional branches, 16 bytes apart, that are always or
/// never taken.
macro_rules! fixed {
    ($compare:literal $branch:literal) => {
        pub(in crate::kernel) fn fixed<const TAKEN: bool>(blocks: u64) {
            // SAFETY: no memory is touched; the counter is not zero (checked by the caller).
            unsafe {
                core::arch::asm!(
                    "2:",
                    ".rept 64",
                    ".p2align 4",
                    $compare,
                    $branch,
                    "nop",
                    "3:",
                    ".endr",
                    crate::kernel::arch::again!(),
                    n = inout(reg) blocks => _,
                    zero = in(reg) 0_u64,
                    other = in(reg) u64::from(!TAKEN),
                    options(nomem, nostack),
                );
            }
        }
    };
}

pub(in crate::kernel) use {bits, fixed, serial};
