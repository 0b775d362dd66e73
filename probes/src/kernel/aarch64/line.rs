//! Loads after a flush, and atomic additions.
use core::arch::asm;

/// Whether the CPU can flush a line by address. Linux lets programs do it on every aarch64 CPU
/// (SCTLR_EL1.UCI), or does it for them where an erratum needs that.
pub(in crate::kernel) fn can_flush() -> bool {
    true
}

/// Cleans and invalidates the line at this address in all caches, and waits until that is done.
///
/// # Safety
/// It must point to readable memory.
pub(in crate::kernel) unsafe fn flush(line: *const u8) {
    // SAFETY: the address is readable (caller); a flush changes no contents.
    unsafe {
        asm!(
            "dsb ish",
            "dc civac, {line}",
            "dsb ish",
            "isb",
            line = in(reg) line,
            options(nostack, preserves_flags),
        );
    }
}

/// Ticks that one load of this address takes.
///
/// # Safety
/// It must point to readable memory.
pub(in crate::kernel) unsafe fn timed_load(at: *const u8) -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: the address is readable (caller).
    unsafe {
        asm!(
            "dsb ishld",
            "isb",
            "mrs {start}, cntvct_el0",
            "isb",
            "ldr {scratch:w}, [{at}]",
            "dsb ishld",
            "isb",
            "mrs {end}, cntvct_el0",
            "isb",
            at = in(reg) at,
            scratch = out(reg) _,
            start = out(reg) start,
            end = out(reg) end,
            options(nostack, readonly, preserves_flags),
        );
    }
    end.wrapping_sub(start)
}
