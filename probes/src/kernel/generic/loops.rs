//! The loops of single kernels: what goes around their instructions. In these, `n` counts down what
//! is left, and label 2 is where a lap begins.

/// A function that runs `blocks` times 256 of one instruction on `value`, each of which waits for the
/// one before; the other operand is `operand`.
macro_rules! chain {
    ($name:ident: $first:literal, $operand:literal, $step:literal) => {
        pub(in crate::kernel) fn $name(blocks: std::num::NonZeroU64) -> u64 {
            let mut value = $first;
            // SAFETY: only the named registers change; the counter is not zero.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    ".rept 256",
                    $step,
                    ".endr",
                    crate::kernel::arch::again!(),
                    value = inout(reg) value,
                    operand = in(reg) $operand,
                    n = inout(reg) blocks.get() => _,
                    options(nomem, nostack),
                );
            }
            value
        }
    };
}

/// A function that loads `blocks` times 64 words by one instruction, each of whose addresses is the
/// value of the load before it.
macro_rules! walk {
    ($step:literal) => {
        /// # Safety
        /// From `start` on, every value loaded must be the address of 8 readable bytes, for ever.
        pub(in crate::kernel) unsafe fn walk(start: *const u8, blocks: u64) -> *const u8 {
            let mut at = start;
            // SAFETY: the caller promises that each loaded value is a readable address; nothing is
            // written.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    ".rept 64",
                    $step,
                    ".endr",
                    crate::kernel::arch::again!(),
                    at = inout(reg) at,
                    n = inout(reg) blocks => _,
                    options(readonly, nostack),
                );
            }
            at
        }
    };
}

/// A function that reads one word from each line of `groups` groups of four lines, and after each
/// group lets `delay` dependent multiplications pass. Returns the sum of what the last group held.
/// Only the loads count: sums of all of them would halve the traffic.
macro_rules! read {
    ([$($group:literal)+] [$($delay:literal)+] $multiply:literal $repeat:literal) => {
        /// # Safety
        /// `start` must be aligned to 8 bytes, `groups` × 256 bytes readable from it, and `groups`
        /// not 0.
        pub(in crate::kernel) unsafe fn read(start: *const u8, groups: usize, delay: u64) -> u64 {
            let sum;
            // SAFETY: reads what the caller promised can be read; nothing is written.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    $($group,)+
                    $($delay,)+
                    "3:",
                    $multiply,
                    $repeat,
                    "4:",
                    crate::kernel::arch::again!(),
                    crate::kernel::arch::total!(),
                    at = inout(reg) start => _,
                    n = inout(reg) groups => _,
                    delay = in(reg) delay,
                    left = out(reg) _,
                    chain = inout(reg) 1_u64 => _,
                    a = out(reg) sum,
                    b = out(reg) _,
                    c = out(reg) _,
                    d = out(reg) _,
                    options(readonly, nostack),
                );
            }
            sum
        }
    };
}

/// A function that adds up `blocks` blocks of 256 bytes as 32-bit lanes.
macro_rules! sum {
    ([$($before:literal)+] [$($block:literal)+] [$($after:literal)+] [$($out:tt)+]) => {
        /// # Safety
        /// `start` must be 16-byte aligned and `blocks` × 256 bytes readable from it; `blocks` > 0.
        pub(in crate::kernel) unsafe fn sum(start: *const u8, blocks: usize) -> u32 {
            let mut lanes = [0_u32; 4];
            // SAFETY: reads blocks × 256 bytes from start (caller), writes 16 bytes to `lanes`.
            unsafe {
                core::arch::asm!(
                    $($before,)+
                    ".p2align 6",
                    "2:",
                    $($block,)+
                    crate::kernel::arch::again!(),
                    $($after,)+
                    at = inout(reg) start => _,
                    n = inout(reg) blocks => _,
                    lanes = in(reg) lanes.as_mut_ptr(),
                    $($out)+
                    options(nostack),
                );
            }
            lanes.iter().fold(0, |a, &b| a.wrapping_add(b))
        }
    };
}

/// A function that for each byte jumps to the target of that number; every target adds its number,
/// and the sum is returned. The targets lie 64 bytes apart, so that the address is computed and no
/// table is needed.
macro_rules! indirect {
    ($base:literal [$($go:literal)+] [$($target:literal)+]) => {
        /// Targets of [`indirect()`].
        pub(in crate::kernel) const TARGETS: u64 = 16;

        /// # Panics
        /// If there is no such target.
        pub(in crate::kernel) fn indirect(targets: &[u8]) -> u64 {
            let mut sum = 0_u64;
            assert!(targets.iter().all(|&t| u64::from(t) < TARGETS), "no such target");
            if targets.is_empty() {
                return sum;
            }
            // SAFETY: `next` walks `n` bytes of the slice, and each is the number of a target.
            unsafe {
                core::arch::asm!(
                    $base,
                    ".p2align 6",
                    "2:",
                    $($go,)+
                    ".p2align 6",
                    "4:",
                    ".irp t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                    ".p2align 6",
                    $($target,)+
                    ".endr",
                    "3:",
                    base = out(reg) _,
                    to = out(reg) _,
                    next = inout(reg) targets.as_ptr() => _,
                    n = inout(reg) targets.len() => _,
                    sum = inout(reg) sum,
                    options(readonly, nostack),
                );
            }
            sum
        }
    };
}

/// A function that runs `blocks` times 12 multiply-adds that do not wait for each other, in the
/// registers \r of a list; all that are copied hold the lanes at first.
macro_rules! multiply_add {
    ($name:ident $proof:ty: [$($begin:literal)+] $copied:literal $copy:literal
     $registers:literal $fma:literal [$($block:literal)*] [$($after:literal)*] [$($out:tt)+]) => {
        fn $name(_: $proof, blocks: u64) {
            // SAFETY: the width is there (the proof, or it is baseline); LANES holds what is read,
            // and only clobbered registers change.
            unsafe {
                core::arch::asm!(
                    $($begin,)+
                    concat!(".irp r, ", $copied),
                    $copy,
                    ".endr",
                    ".p2align 6",
                    "2:",
                    concat!(".irp r, ", $registers),
                    $fma,
                    ".endr",
                    $($block,)*
                    crate::kernel::arch::again!(),
                    $($after,)*
                    lanes = in(reg) LANES.as_ptr(),
                    n = inout(reg) blocks => _,
                    $($out)+
                    options(readonly, nostack),
                );
            }
        }
    };
}

pub(in crate::kernel) use {chain, indirect, multiply_add, read, sum, walk};
