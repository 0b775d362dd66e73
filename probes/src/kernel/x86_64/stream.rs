//! Reading memory in a straight line.
use core::arch::asm;

/// Adds up `blocks` blocks of 256 bytes as 32-bit lanes.
///
/// # Safety
/// `start` must be 16-byte aligned and `blocks` × 256 bytes readable from it; `blocks` > 0.
pub(in crate::kernel) unsafe fn sum(start: *const u8, blocks: usize) -> u32 {
    let mut lanes = [0_u32; 4];
    // SAFETY: reads blocks × 256 bytes from start (caller), writes 16 bytes to `lanes`.
    unsafe {
        asm!(
            "pxor xmm0, xmm0",
            "pxor xmm1, xmm1",
            "pxor xmm2, xmm2",
            "pxor xmm3, xmm3",
            ".p2align 6",
            "2:",
            "paddd xmm0, [{at}]",
            "paddd xmm1, [{at} + 16]",
            "paddd xmm2, [{at} + 32]",
            "paddd xmm3, [{at} + 48]",
            "paddd xmm0, [{at} + 64]",
            "paddd xmm1, [{at} + 80]",
            "paddd xmm2, [{at} + 96]",
            "paddd xmm3, [{at} + 112]",
            "paddd xmm0, [{at} + 128]",
            "paddd xmm1, [{at} + 144]",
            "paddd xmm2, [{at} + 160]",
            "paddd xmm3, [{at} + 176]",
            "paddd xmm0, [{at} + 192]",
            "paddd xmm1, [{at} + 208]",
            "paddd xmm2, [{at} + 224]",
            "paddd xmm3, [{at} + 240]",
            "add {at}, 256",
            "dec {n}",
            "jnz 2b",
            "paddd xmm0, xmm1",
            "paddd xmm2, xmm3",
            "paddd xmm0, xmm2",
            "movdqu [{lanes}], xmm0",
            at = inout(reg) start => _,
            n = inout(reg) blocks => _,
            lanes = in(reg) lanes.as_mut_ptr(),
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            options(nostack),
        );
    }
    lanes.iter().fold(0, |a, &b| a.wrapping_add(b))
}
