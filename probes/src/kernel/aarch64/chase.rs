//! Dependent loads.
use core::arch::asm;

/// `blocks` times 64 loads, each of whose addresses is the value of the load before it.
///
/// # Safety
/// From `start` on, every value loaded must be the address of 8 readable bytes, for ever.
pub(in crate::kernel) unsafe fn walk(start: *const u8, blocks: u64) -> *const u8 {
    let mut at = start;
    // SAFETY: the caller promises that each loaded value is a readable address; nothing is written.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            ".rept 64",
            "ldr {at}, [{at}]",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            at = inout(reg) at,
            n = inout(reg) blocks => _,
            options(readonly, nostack),
        );
    }
    at
}
