//! Dependent integer chains.
use core::arch::asm;
use std::num::NonZeroU64;

/// Cycles of a multiplication: 2 to 5, by the design.
pub(in crate::kernel) const MUL_CYCLES: Option<f64> = None;

/// `blocks` times 256 dependent register adds. A register operand, because newer cores fold
/// additions of small constants at rename and would read several times too fast.
pub(in crate::kernel) fn add(blocks: NonZeroU64) -> u64 {
    let mut sum = 0_u64;
    // SAFETY: only the named registers change; the counter is not zero.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            ".rept 256",
            "add {sum}, {sum}, {one}",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            sum = inout(reg) sum,
            one = in(reg) 1_u64,
            n = inout(reg) blocks.get() => _,
            options(nomem, nostack),
        );
    }
    sum
}

/// `blocks` times 256 dependent multiplications by 3.
pub(in crate::kernel) fn mul(blocks: NonZeroU64) -> u64 {
    let mut product = 1_u64;
    // SAFETY: as above.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            ".rept 256",
            "mul {product}, {product}, {three}",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            product = inout(reg) product,
            three = in(reg) 3_u64,
            n = inout(reg) blocks.get() => _,
            options(nomem, nostack),
        );
    }
    product
}
