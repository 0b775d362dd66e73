//! The time stamp counter.
use core::arch::asm;

/// The counter after everything before it is done and before anything after it begins.
#[inline(always)]
pub(in crate::kernel) fn fenced_ticks() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: lfence and rdtsc read no memory. `nomem` is left off on purpose, so that the
    // compiler keeps memory accesses on their side of the stamp.
    unsafe {
        asm!("lfence", "rdtsc", "lfence", out("eax") low, out("edx") high, options(nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// The counter without fences: for loops that look for gaps.
#[inline(always)]
pub(in crate::kernel) fn ticks() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: rdtsc reads no memory.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nostack, nomem)) };
    u64::from(high) << 32 | u64::from(low)
}
