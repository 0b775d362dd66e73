//! The virtual counter, which runs at one rate on all CPUs: 1 GHz since Armv8.6, 25 to 100 MHz
//! before.
use core::arch::asm;

/// The counter after everything before it is done and before anything after it begins.
#[inline(always)]
pub(in crate::kernel) fn fenced_ticks() -> u64 {
    let ticks;
    // A load may leave the pipeline before its data is there, so that the pipeline's own barrier
    // does not wait for it.
    // SAFETY: barriers and the counter read no memory. `nomem` is left off on purpose, so that the
    // compiler keeps memory accesses on their side of the stamp.
    unsafe {
        asm!(
            "dsb ishld",
            "isb",
            "mrs {ticks}, cntvct_el0",
            "isb",
            ticks = out(reg) ticks,
            options(nostack, preserves_flags),
        );
    }
    ticks
}

/// The counter without fences: for loops that look for gaps.
#[inline(always)]
pub(in crate::kernel) fn ticks() -> u64 {
    let ticks;
    // SAFETY: the counter is no memory.
    unsafe {
        asm!(
            "mrs {ticks}, cntvct_el0",
            ticks = out(reg) ticks,
            options(nostack, nomem, preserves_flags),
        );
    }
    ticks
}
