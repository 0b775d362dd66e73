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
            "movi v0.2d, #0",
            "movi v1.2d, #0",
            "movi v2.2d, #0",
            "movi v3.2d, #0",
            ".p2align 6",
            "2:",
            ".irp at, 0, 64, 128, 192",
            "ldp q4, q5, [{at}, #\\at]",
            "ldp q6, q7, [{at}, #(\\at + 32)]",
            "add v0.4s, v0.4s, v4.4s",
            "add v1.4s, v1.4s, v5.4s",
            "add v2.4s, v2.4s, v6.4s",
            "add v3.4s, v3.4s, v7.4s",
            ".endr",
            "add {at}, {at}, #256",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "add v0.4s, v0.4s, v1.4s",
            "add v2.4s, v2.4s, v3.4s",
            "add v0.4s, v0.4s, v2.4s",
            "str q0, [{lanes}]",
            at = inout(reg) start => _,
            n = inout(reg) blocks => _,
            lanes = in(reg) lanes.as_mut_ptr(),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack),
        );
    }
    lanes.iter().fold(0, |a, &b| a.wrapping_add(b))
}
